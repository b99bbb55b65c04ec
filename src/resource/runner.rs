//! A `[[runners]]` entry of `config.toml`: which ones are meant, and what in them stands in the way.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use super::settings::Setting;
use crate::change::Notes;
use crate::fault::fault;
use crate::profile::suggest;
use crate::runner_config::{DOCKER_EXECUTORS, Runner, Volume, volumes};
use crate::text::toml_patch::Scalar;

/// The runners that are meant: those that were named, else those with one of the executors.
///
/// # Errors
/// When a name fits none or several.
pub(super) fn select<'r, 'a>(
    runners: &'r [Runner<'a>],
    executors: &[String],
    names: &[String],
    shown: &str,
) -> Result<Vec<&'r Runner<'a>>> {
    if names.is_empty() {
        let meant = |runner: &&Runner<'_>| {
            executors.iter().any(|name| Some(name.as_str()) == runner.text("executor"))
        };
        return Ok(runners.iter().filter(meant).collect());
    }
    let mut meant: Vec<&Runner<'a>> = Vec::new();
    for name in names {
        let found: Vec<&Runner<'a>> = runners.iter().filter(|runner| runner.is_called(name)).collect();
        match found[..] {
            [one] => meant.push(one),
            [] => {
                let known: Vec<&str> = runners.iter().filter_map(|runner| runner.text("name")).collect();
                let near =
                    suggest(name, &known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                return Err(fault(
                    "runner-unknown",
                    format!("{shown} has no runner with the name or id {name:?}{near}"),
                    format!("its runners are: {}", known.join(", ")),
                ));
            }
            _ => {
                return Err(fault(
                    "runner-ambiguous",
                    format!("{shown} has {} runners with the name or id {name:?}", found.len()),
                    "name the one that is meant by its id, or give the runners different names",
                ));
            }
        }
    }
    meant.sort_by_key(|runner| runner.index);
    meant.dedup_by_key(|runner| runner.index);
    Ok(meant)
}

/// `[runners.docker]` means nothing to the other executors: what a profile puts there would have no effect.
pub(super) fn check_reads_docker(runner: &Runner<'_>, shown: &str) -> Result<()> {
    let executor = runner.text("executor").unwrap_or_default();
    if DOCKER_EXECUTORS.contains(&executor) {
        return Ok(());
    }
    Err(fault(
        "runner-executor",
        format!(
            "{shown}: {} has the executor {executor:?}, which does not read [runners.docker]",
            runner.title()
        ),
        format!("name a runner with one of the executors {}", DOCKER_EXECUTORS.join(", ")),
    ))
}

/// Docker-in-Docker and the host's own socket exclude each other: volumes go to services too, and
/// `docker` in the job prefers the socket. It does not matter which of them the profile brings, or both.
pub(super) fn refuse_clash(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    wanted: &[(String, Setting)],
    shown: &str,
    notes: &mut Notes,
) -> Result<()> {
    let found: Vec<Volume<'_>> = volumes(docker).into_iter().map(Volume::parse).collect();
    let asked: Vec<Volume<'_>> = wanted
        .iter()
        .filter(|(key, _)| key == "volumes")
        .filter_map(|(_, setting)| match setting {
            Setting::List(list) => Some(list.iter().map(|element| Volume::parse(element))),
            Setting::Scalar(_) | Setting::Words(_) => None,
        })
        .flatten()
        .collect();
    let is_asked = |name: &str| {
        wanted.iter().any(|(key, setting)| key == name && *setting == Setting::Scalar(Scalar::Bool(true)))
    };
    let asks_dind =
        is_asked("privileged") || is_asked("services_privileged") || asked.iter().any(Volume::is_for_dind);
    let has_dind = is_true(docker, "services_privileged") || found.iter().any(Volume::is_for_dind);
    let socket = |volumes: &[Volume<'_>]| volumes.iter().find_map(Volume::daemon_socket);
    let (has_socket, asks_socket) = (socket(&found), socket(&asked));
    let clash = if asks_dind { has_socket.or(asks_socket) } else { asks_socket.filter(|_| has_dind) };
    if let Some(socket) = clash {
        return Err(fault(
            "docker-sock-and-dind",
            format!(
                "{shown}: {} mounts the host's {socket} and is to run Docker-in-Docker: volumes go to the \
                 service too, and builds would silently use the host's daemon",
                runner.title()
            ),
            format!(
                "take {socket} out of its volumes (or /certs/client, /runner/services/docker and \
                 services_privileged), or name other runners with --runner"
            ),
        ));
    }
    if let Some(socket) = asks_socket {
        notes.warn(
            "root-equivalent-socket",
            format!(
                "{}: a job that reaches {socket} is root on the host (docker run -v /:/host)",
                runner.title()
            ),
            "keep such a runner for jobs that you would let administer the host",
        );
    }
    if is_asked("privileged")
        && !wanted.iter().any(|(key, _)| key == "services_privileged")
        && docker.and_then(|docker| docker.get("services_privileged")).and_then(Item::as_bool) == Some(false)
    {
        notes.warn(
            "services-unprivileged",
            format!("{}: services_privileged = false keeps dind from starting", runner.title()),
            "take services_privileged out, or set it to true",
        );
    }
    let is_bare = |volume: &Volume<'_>| volume.is_for_dind() && volume.source.is_none();
    if is_true(docker, "disable_cache") && asked.iter().any(is_bare) {
        notes.warn(
            "cache-disabled",
            format!(
                "{}: with disable_cache = true many versions of gitlab-runner make no volume without a source: the \
                 job then does not find what dind puts there",
                runner.title()
            ),
            "set disable_cache = false; the job's log says \"cache volumes creation is disabled\" where it does harm",
        );
    }
    Ok(())
}

fn is_true(docker: Option<&dyn TableLike>, key: &str) -> bool {
    docker.and_then(|docker| docker.get(key)).and_then(Item::as_bool).unwrap_or_default()
}

/// The form of the volume that keeps jobs apart.
const BARE: &str = "use the bare /certs/client: one volume for each project and job slot";

/// Values that have no effect where they stand, or share what should not be shared.
pub(super) fn warn(runner: &Runner<'_>, docker: Option<&dyn TableLike>, notes: &mut Notes) {
    for key in ["privileged", "volumes", "image", "tls_verify", "services_privileged"] {
        if runner.table.contains_key(key) {
            notes.warn(
                "config-misplaced",
                format!("{}: `{key}` under [[runners]] has no effect", runner.title()),
                format!("move `{key}` below [runners.docker]"),
            );
        }
    }
    let title = || runner.title();
    for volume in volumes(docker).into_iter().map(Volume::parse) {
        match volume.path {
            "/certs" => notes.warn(
                "certs-ca-shared",
                format!("{}: the volume /certs hands the certificate authority's key to jobs", title()),
                "use /certs/client instead",
            ),
            "/certs/client" if volume.is_read_only => notes.warn(
                "certs-read-only",
                format!("{}: /certs/client is read-only: dind can't put its certificates there", title()),
                BARE,
            ),
            "/certs/client" if volume.source.is_some() => notes.warn(
                "certs-shared",
                format!(
                    "{}: /certs/client comes from one place for all jobs, which share certificates",
                    title()
                ),
                BARE,
            ),
            _ => {}
        }
    }
}

/// gitlab-runner counts the services of `config.toml` with those of the job: with more of them than the limit
/// every job fails.
pub(super) fn check_limit(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    wanted: &[(String, Setting)],
    count: usize,
    shown: &str,
) -> Result<()> {
    let asked = wanted.iter().find_map(|(key, setting)| match setting {
        Setting::Scalar(Scalar::Integer(limit)) if key == "services_limit" => Some(*limit),
        _ => None,
    });
    let found = || docker.and_then(|docker| docker.get("services_limit")).and_then(Item::as_integer);
    let limit = asked.or_else(found).and_then(|limit| usize::try_from(limit).ok());
    match limit.filter(|limit| count > *limit) {
        None => Ok(()),
        Some(limit) => Err(fault(
            "services-limit",
            format!(
                "{shown}: {} would have {count} services of its own with services_limit = {limit}: every job would \
                 fail with \"too many services requested\"",
                runner.title()
            ),
            "take services out of [[runners.docker.services]] by hand, or give services_limit a higher number",
        )),
    }
}

/// An allow-list of privileged images is only as narrow as its widest element, and elements that are
/// there stay.
pub(super) fn warn_of_extra(
    runner: &Runner<'_>,
    key: &str,
    found: &[&str],
    wanted: &[String],
    notes: &mut Notes,
) {
    let extra: Vec<&str> =
        found.iter().copied().filter(|element| !wanted.iter().any(|wanted| wanted == element)).collect();
    if !extra.is_empty() {
        notes.warn(
            "allow-list-wider",
            format!(
                "{}: {key} also allows {}, which the profile does not ask for",
                runner.title(),
                extra.join(", ")
            ),
            format!("take those elements out of {key} by hand if nobody needs them"),
        );
    }
}
