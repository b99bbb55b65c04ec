//! A `[[runners]]` entry of `config.toml`: which ones are meant, and what in them stands in the way.

use anyhow::Result;
use toml_edit::TableLike;

use super::settings::Setting;
use crate::change::Notes;
use crate::fault::fault;
use crate::profile::suggest;
use crate::runner_config::{DOCKER_EXECUTORS, Runner, container_path, is_daemon_socket, volumes};
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
/// `docker` in the job prefers the socket.
pub(super) fn refuse_clash(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    wanted: &[(String, Setting)],
    shown: &str,
    notes: &mut Notes,
) -> Result<()> {
    let found = volumes(docker);
    let asked: Vec<&str> = wanted
        .iter()
        .filter(|(key, _)| key == "volumes")
        .filter_map(|(_, setting)| match setting {
            Setting::List(list) => Some(list.iter().map(String::as_str)),
            Setting::Scalar(_) => None,
        })
        .flatten()
        .collect();
    let on = |name: &str| {
        wanted.iter().any(|(key, setting)| key == name && *setting == Setting::Scalar(Scalar::Bool(true)))
    };
    let is_certs = |volume: &&str| container_path(volume).starts_with("/certs");
    let wants_dind = on("privileged") || on("services_privileged") || asked.iter().any(is_certs);
    let has_socket = found.iter().any(|volume| is_daemon_socket(volume));
    let wants_socket = asked.iter().any(|volume| is_daemon_socket(volume));
    if (wants_dind && has_socket) || (wants_socket && found.iter().any(is_certs)) {
        return Err(fault(
            "docker-sock-and-dind",
            format!(
                "{shown}: {} mounts the host's docker.sock and is to run Docker-in-Docker: volumes go to the \
                 service too, and builds would silently use the host's daemon",
                runner.title()
            ),
            "take docker.sock (or /certs/client) out of its volumes, or name other runners with --runner",
        ));
    }
    if wants_socket {
        notes.warn(
            "root-equivalent-socket",
            format!(
                "{}: a job that reaches docker.sock is root on the host (docker run -v /:/host)",
                runner.title()
            ),
            "keep such a runner for jobs that you would let administer the host",
        );
    }
    Ok(())
}

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
    for volume in volumes(docker) {
        let path = container_path(volume);
        if path == "/certs" {
            notes.warn(
                "certs-ca-shared",
                format!(
                    "{}: the volume /certs hands the certificate authority's key to jobs",
                    runner.title()
                ),
                "use /certs/client instead",
            );
        } else if path == "/certs/client" && volume.trim_end_matches('/') != path {
            notes.warn(
                "certs-shared",
                format!(
                    "{}: /certs/client comes from one place for all jobs, which share certificates",
                    runner.title()
                ),
                "use the bare /certs/client: one volume for each project and job slot",
            );
        }
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
