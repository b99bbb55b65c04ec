//! A `[[runners]]` entry of `config.toml`: which ones are meant, and what in them stands in the way.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use super::settings::{Config, Setting};
use crate::change::Notes;
use crate::fault::fault;
use crate::profile::suggest;
use crate::runner_config::{
    DOCKER, EXECUTORS, RUNNERS, Runner, Volume, host_names, sections, strings_at, table_of, tables, volumes,
};
use crate::text::glob;
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
                let all = runners.iter().map(Runner::title).collect::<Vec<_>>().join(", ");
                let all = if all.is_empty() { "none".to_owned() } else { all };
                let near = suggest(name, &known);
                let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                return Err(fault(
                    "runner-unknown",
                    format!("{shown} has no runner with the name or id {name:?}{near}"),
                    format!("its runners are: {all}"),
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

/// A table that is for other executors means nothing to this runner: what a profile puts there would have no effect.
pub(super) fn check_reads(runner: &Runner<'_>, section: &str, shown: &str) -> Result<()> {
    let executor = runner.text("executor").unwrap_or_default();
    let table = table_of(section);
    let readers: Vec<&str> = EXECUTORS.into_iter().filter(|one| sections(one).contains(&table)).collect();
    if readers.is_empty() || readers.contains(&executor) {
        return Ok(());
    }
    Err(fault(
        "runner-executor",
        format!("{shown}: {} has the executor {executor:?}, which does not read [{table}]", runner.title()),
        format!("name a runner with one of the executors {}", readers.join(", ")),
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
    let mounts = |volumes: &[Volume<'_>]| {
        let socket = |volume: &Volume<'_>| Some((volume.daemon_socket()?, volume.is_where_clients_look()));
        volumes.iter().filter_map(socket).max_by_key(|(_, is_found)| *is_found)
    };
    let (has_socket, asks_socket) = (mounts(&found), mounts(&asked));
    let clash = if asks_dind { has_socket.or(asks_socket) } else { asks_socket.filter(|_| has_dind) };
    if let Some((socket, is_found)) = clash {
        let harm = if is_found {
            "volumes go to the service too, and builds would silently use the host's daemon"
        } else {
            "under another name, so that clients do not take it by themselves, but a job that does is root on the host, \
             whatever the profile keeps from it"
        };
        let ways = if !asks_dind {
            "take /certs/client and /runner/services/docker out of its volumes, and services_privileged"
                .to_owned()
        } else if has_dind {
            format!("take {socket} out of its volumes")
        } else {
            format!(
                "where its jobs are to use the host's daemon, as now: --profile docker-socket in place of this one. Where \
                 they are to have a daemon of their own: take {socket} out of its volumes"
            )
        };
        return Err(fault(
            "docker-sock-and-dind",
            if asks_dind {
                format!(
                    "{shown}: {} mounts the host's {socket} and is to run Docker-in-Docker: {harm}",
                    runner.title()
                )
            } else {
                format!(
                    "{shown}: {} is set up for Docker-in-Docker and is to mount the host's {socket}: {harm}",
                    runner.title()
                )
            },
            format!("{ways}. Or name other runners with --runner"),
        ));
    }
    if let Some((socket, _)) = asks_socket {
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
    let mut bare = asked.iter().filter(|volume| volume.is_for_dind() && volume.source.is_none());
    if is_true(docker, "disable_cache") && bare.next().is_some() {
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

/// Where a job's `docker` finds the daemon that a profile gives it.
enum Daemon<'p> {
    /// At the host `docker`, with TLS or without.
    Port(u16),
    /// At a socket below this path.
    Socket(&'p str),
}

impl<'p> Daemon<'p> {
    fn of(config: &'p Config) -> Option<Self> {
        let lists = |settings: &'p [(String, Setting)], key: &str| {
            settings.iter().filter(move |(name, _)| name == key).find_map(|(_, setting)| match setting {
                Setting::List(list) => Some(list.iter()),
                Setting::Scalar(_) | Setting::Words(_) => None,
            })
        };
        let socket = |volume: &'p String| {
            let volume = Volume::parse(volume);
            let is_socket = volume.daemon_socket().is_some() || volume.path == "/runner/services/docker";
            is_socket.then_some(Self::Socket(volume.path))
        };
        let directory = |variable: &'p String| variable.strip_prefix("DOCKER_TLS_CERTDIR=");
        let port = |directory: &str| Self::Port(if directory.is_empty() { 2375 } else { 2376 });
        let sockets = lists(config.of(DOCKER), "volumes").into_iter().flatten().find_map(socket);
        sockets.or_else(|| {
            lists(config.of(RUNNERS), "environment").into_iter().flatten().find_map(directory).map(port)
        })
    }

    /// What `DOCKER_HOST` has to be; `None` where this value is right, or not for us to judge.
    fn objection(&self, host: &str) -> Option<String> {
        match self {
            Self::Port(port) => {
                let at_service = ["2375", "2376"].map(|port| format!("tcp://docker:{port}"));
                let right = format!("tcp://docker:{port}");
                let is_judged = at_service.iter().any(|known| known == host.trim_end_matches('/'))
                    || host == "unix:///var/run/docker.sock";
                (is_judged && host.trim_end_matches('/') != right).then_some(right)
            }
            Self::Socket(path) => {
                let is_below = host.strip_prefix("unix://").is_some_and(|socket| socket.starts_with(path));
                let name = if path.rsplit('.').next() == Some("sock") { "" } else { "/docker.sock" };
                (host.starts_with("tcp://docker:") && !is_below).then(|| format!("unix://{path}{name}"))
            }
        }
    }
}

/// Jobs get `DOCKER_HOST` from the runner's environment and from its script before each job: where it names another
/// place than that of the daemon, they fail, although nothing says so.
fn warn_of_docker_host(runner: &Runner<'_>, config: &Config, notes: &mut Notes) {
    let Some(daemon) = Daemon::of(config) else { return };
    let environment = strings_at(Some(runner.table), "environment");
    let variable = environment.iter().rev().find_map(|element| element.strip_prefix("DOCKER_HOST="));
    let script = runner.text("pre_build_script").and_then(exported_docker_host);
    for (key, value) in [("environment", variable), ("pre_build_script", script)] {
        let Some(right) = value.and_then(|value| daemon.objection(value)) else { continue };
        notes.warn(
            "docker-host-wrong",
            format!(
                "{}: DOCKER_HOST in `{key}` names a place where this profile has no daemon: jobs that do not set it \
                 themselves can't connect",
                runner.title()
            ),
            format!("take DOCKER_HOST out of `{key}`, or say {right}"),
        );
    }
}

/// The value that a script gives `DOCKER_HOST` last, outside comments.
fn exported_docker_host(script: &str) -> Option<&str> {
    let lines = script.lines().rev().filter(|line| !line.trim_start().starts_with('#'));
    let value = |line: &'_ str| -> Option<(usize, usize)> {
        let at = line.rfind("DOCKER_HOST=")? + "DOCKER_HOST=".len();
        let rest = line.get(at..)?;
        let start = at + usize::from(rest.starts_with(['"', '\'']));
        let end = line[start..].find(|c: char| c.is_whitespace() || "\"';&|)".contains(c));
        Some((start, end.map_or(line.len(), |end| start + end)))
    };
    lines.into_iter().find_map(|line| value(line).and_then(|(start, end)| line.get(start..end)))
}

/// A service of the file that is Docker-in-Docker and that no allow-list names runs unprivileged, and dies. The name
/// counts as it is written there.
fn warn_of_unlisted_dind(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    config: &Config,
    notes: &mut Notes,
) {
    const KEY: &str = "allowed_privileged_services";
    let asked = config.of(DOCKER).iter().find_map(|(key, setting)| match setting {
        Setting::List(list) if key == KEY => Some(list.iter().map(String::as_str)),
        _ => None,
    });
    let allowed: Vec<&str> = strings_at(docker, KEY).into_iter().chain(asked.into_iter().flatten()).collect();
    if allowed.is_empty() {
        return;
    }
    let services = docker.and_then(|docker| docker.get("services")).and_then(tables).unwrap_or_default();
    for (index, service) in services.into_iter().enumerate() {
        let text = |key: &str| service.get(key).and_then(Item::as_str).unwrap_or_default();
        let (name, names) = (text("name"), host_names(text("name"), text("alias")));
        let image = name.split('@').next().unwrap_or_default();
        let is_dind = image.rsplit('/').next().is_some_and(|last| last.contains("dind"));
        let is_replaced =
            config.services.iter().any(|wanted| wanted.host_names().iter().any(|name| names.contains(name)));
        let is_allowed = allowed.iter().any(|pattern| glob::matches(pattern, name) == Some(true));
        if is_dind && !name.contains('$') && !is_replaced && !is_allowed {
            notes.warn(
                "service-not-allowed",
                format!(
                    "{}: docker.services[{index}] is Docker-in-Docker, and no element of {KEY} matches its name as it \
                     is written there: it runs unprivileged and dies",
                    runner.title()
                ),
                format!("add its name to {KEY}, which makes it privileged for every job; or take the service out"),
            );
        }
    }
}

fn is_true(docker: Option<&dyn TableLike>, key: &str) -> bool {
    docker.and_then(|docker| docker.get(key)).and_then(Item::as_bool).unwrap_or_default()
}

/// The form of the volume that keeps jobs apart.
const BARE: &str = "use the bare /certs/client: one volume for each project and job slot";

/// Values that have no effect where they stand, or share what should not be shared.
pub(super) fn warn(runner: &Runner<'_>, docker: Option<&dyn TableLike>, config: &Config, notes: &mut Notes) {
    warn_of_docker_host(runner, config, notes);
    warn_of_unlisted_dind(runner, docker, config, notes);
    for key in ["privileged", "volumes", "image", "tls_verify", "services_privileged"] {
        if runner.table.contains_key(key) {
            let is_there = docker.is_some_and(|docker| docker.contains_key(key));
            notes.warn(
                "config-misplaced",
                format!("{}: `{key}` under [[runners]] has no effect", runner.title()),
                if is_there {
                    format!("take `{key}` out: it stands below [runners.docker] already")
                } else {
                    format!("move `{key}` below [runners.docker]")
                },
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
        let (title, extra) = (runner.title(), extra.join(", "));
        notes.warn(
            "allow-list-wider",
            format!("{title}: {key} also allows {extra}, which the profile does not ask for"),
            format!("take those elements out of {key} by hand if nobody needs them"),
        );
    }
}
