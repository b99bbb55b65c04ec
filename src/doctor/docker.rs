//! The Docker daemon that the runners start containers with, and the images that it has to have.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use toml_edit::{Item, TableLike};

use super::DoctorContext;
use crate::facts::machine;
use crate::facts::programs::{DOCKERD, is_had, update_runner};
use crate::finding::Findings;
use crate::keys::Version;
use crate::repair::Repair;
use crate::runner_config::{self, Runner, SOCKET, Volume};

/// Storage drivers that are slow, or gone from Docker of today.
const POOR_DRIVERS: [&str; 4] = ["vfs", "aufs", "devicemapper", "overlay"];

/// The runners with executor docker, each with the socket of its daemon on this machine; `None` for an address of a
/// network. Machines and instances have daemons of their own.
pub(super) fn runners<'p>(context: &'p DoctorContext<'_>) -> Result<Vec<(Runner<'p>, Option<PathBuf>)>> {
    let of_service =
        context.service().map(|service| service.docker_host(context.facts)).transpose()?.flatten();
    let with_socket = |runner: Runner<'p>| {
        let host = runner.daemon().or(of_service.as_deref()).unwrap_or_default();
        let socket = match host.strip_prefix("unix://") {
            Some(path) => Some(PathBuf::from(path)),
            None if host.is_empty() => Some(PathBuf::from(SOCKET)),
            None => None,
        };
        (runner, socket)
    };
    let runners = context.docker_runners()?.into_iter();
    Ok(runners.filter(|runner| runner.has_executor("docker")).map(with_socket).collect())
}

/// The sockets of those daemons, each once, with the name of the first runner that uses it.
fn sockets(context: &DoctorContext<'_>) -> Result<Vec<(String, Option<PathBuf>)>> {
    let mut found: Vec<(String, Option<PathBuf>)> = Vec::new();
    for (runner, socket) in runners(context)? {
        if !found.iter().any(|(_, other)| *other == socket) {
            found.push((runner.title(), socket));
        }
    }
    Ok(found)
}

/// Where the daemons on this machine keep their data, each once, of those that answer.
pub(super) fn data_roots(context: &DoctorContext<'_>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for socket in sockets(context)?.into_iter().filter_map(|(_, socket)| socket) {
        let info = machine::ask_docker(&socket, "/info").ok();
        let path = info.as_ref().and_then(|info| info.get("DockerRootDir")?.as_str()).map(PathBuf::from);
        found.extend(path.filter(|path| path.is_absolute() && !found.contains(path)));
    }
    Ok(found)
}

/// The daemon answers.
pub(super) fn daemon(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (title, socket) in sockets(context)? {
        let Some(socket) = socket else {
            findings.unknown(
                "docker-remote",
                format!("{title}: its daemon is on a network, which is not asked"),
                "ask it with docker info, and --host with the address that is set for it",
            );
            continue;
        };
        match machine::ask_docker(&socket, "/info") {
            Ok(info) => {
                let version = info.get("ServerVersion").and_then(Value::as_str).unwrap_or("of Docker");
                findings.fine(format!("{title}: daemon {version} answers"));
                mapped_users(context, &socket, &info, findings)?;
                match machine::ask_docker(&socket, "/version") {
                    Ok(served) => {
                        // A daemon that does not name the oldest API serves all.
                        if let Some(oldest) = served.get("MinAPIVersion").and_then(Value::as_str) {
                            judge_api(&title, oldest, context, findings)?;
                            old_images(context, &socket, oldest, findings)?;
                        }
                    }
                    Err(error) => findings.unknown(
                        "docker-api-unknown",
                        format!("{title}: its daemon does not say which API it serves: {error:#}"),
                        "$ systemctl status docker",
                    ),
                }
            }
            Err(_)
                if Path::new(SOCKET) == socket && !is_had(context.facts, context.service(), DOCKERD)? =>
            {
                findings.unknown("docker-daemon-down", format!("{title}: there is no daemon"), "see programs");
            }
            Err(error) => findings.problem(
                "docker-daemon-down",
                // A path from config.toml is not shown.
                if socket == Path::new(SOCKET) {
                    format!("{title}: its Docker daemon at {SOCKET} can't be asked: {error:#}")
                } else {
                    format!("{title}: its Docker daemon can't be asked: {error:#}")
                },
                "$ systemctl start docker; $ systemctl status docker; or install it: https://docs.docker.com/engine/install/",
            ),
        }
    }
    findings.else_fine("no runner with executor docker is meant");
    Ok(())
}

/// The oldest API that the daemon serves, against the one that gitlab-runner speaks: at most 1.43 before 17.5, and
/// at least 1.44 since. A client that speaks a newer one than the daemon comes down to the daemon's.
fn judge_api(title: &str, text: &str, context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let runner = context.version();
    let oldest = text.parse::<Version>().ok();
    let speaks_new = runner.map(|runner| runner >= Version(17, 5, 0));
    match (oldest, speaks_new, runner) {
        (Some(oldest), Some(false), Some(runner)) if oldest >= Version(1, 44, 0) => findings.problem(
            "docker-api-too-new",
            format!(
                "{title}: the daemon serves API {text} and newer, and gitlab-runner {runner} speaks an older one: no job \
                 starts (\"client version is too old\")"
            ),
            Repair::from("let /etc/docker/daemon.json say {\"min-api-version\": \"1.25\"} until then, and restart Docker; ")
                + update_runner(context.facts, "17.5")?,
        ),
        // Each gitlab-runner that is still about speaks 1.25.
        (Some(oldest), ..) if oldest <= Version(1, 25, 0) => {}
        (Some(oldest), Some(true), _) if oldest <= Version(1, 44, 0) => {}
        _ => findings.unknown(
            "docker-api-unknown",
            format!("{title}: the daemon serves API {text} and newer; whether gitlab-runner speaks it is not known"),
            "where a job says \"client version is too old\": update gitlab-runner",
        ),
    }
    Ok(())
}

/// A daemon that maps users (`userns-remap`) starts a privileged container only where that is told to do without.
fn mapped_users(
    context: &DoctorContext<'_>,
    socket: &Path,
    info: &Value,
    findings: &mut Findings,
) -> Result<()> {
    let options = info.get("SecurityOptions").and_then(Value::as_array);
    let is_mapping =
        |option: &Value| option.as_str().is_some_and(|text| text.split(',').any(|one| one == "name=userns"));
    if !context.wanted.brings_dind() || !options.is_some_and(|options| options.iter().any(is_mapping)) {
        return Ok(());
    }
    for (runner, own) in runners(context)? {
        if own.as_deref() == Some(socket) && runner.docker_text("userns_mode") != Some("host") {
            findings.problem(
                "docker-users-mapped",
                format!(
                    "{}: its Docker daemon maps users and refuses what is privileged: no dind starts (\"privileged mode is \
                     incompatible with user namespaces\")",
                    runner.title()
                ),
                "let [runners.docker] in config.toml have userns_mode = \"host\"; or take \"userns-remap\" out of \
                 /etc/docker/daemon.json, and restart Docker",
            );
        }
    }
    Ok(())
}

/// Jobs that get the daemon's socket bring a client of their own: those of Docker 24 and older speak 1.43 at most.
fn old_images(
    context: &DoctorContext<'_>,
    socket: &Path,
    oldest: &str,
    findings: &mut Findings,
) -> Result<()> {
    if oldest.parse::<Version>().is_ok_and(|oldest| oldest < Version(1, 44, 0)) || oldest.is_empty() {
        return Ok(());
    }
    let has_socket = |runner: &Runner<'_>| {
        runner.docker_strings("volumes").iter().any(|volume| Volume::parse(volume).daemon_socket().is_some())
    };
    for (runner, own) in runners(context)? {
        if own.as_deref() == Some(socket) && has_socket(&runner) {
            let title = runner.title();
            let what = format!(
                "{title}: jobs reach a daemon that serves API {oldest} and newer: those whose image has Docker 24 or \
                     older fail (\"client version is too old\")"
            );
            findings.note("docker-api-old-images", what, "let such jobs use docker:28");
        }
    }
    Ok(())
}

/// How the daemon keeps images.
pub(super) fn storage(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (title, socket) in sockets(context)? {
        let info = socket.and_then(|socket| machine::ask_docker(&socket, "/info").ok());
        let driver = info.as_ref().and_then(|info| info.get("Driver")).and_then(Value::as_str);
        match driver {
            None => findings.unknown("docker-daemon-down", format!("{title}: its daemon could not be asked"), "see docker-daemon"),
            // Jobs are slow with it, not red.
            Some(driver) if POOR_DRIVERS.contains(&driver) => findings.note(
                "docker-storage-driver",
                format!("{title}: the daemon keeps images with {driver}, which is slow and fills the disk"),
                "let /etc/docker/daemon.json say {\"storage-driver\": \"overlay2\"} on a file system that can do it",
            ),
            Some(driver) => findings.fine(format!("{title}: {driver}")),
        }
    }
    findings.else_fine("no runner with executor docker is meant");
    Ok(())
}

/// Look for each image that config.toml names where the one policy is never to pull.
pub(super) fn missing_images(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (runner, socket) in runners(context)? {
        let (Some(table), Some(socket)) = (runner.docker_table(), socket) else { continue };
        if !pulls_nothing(table) {
            continue;
        }
        let title = runner.title();
        for NamedImage { key, name, effect } in images(table) {
            match machine::docker_has_image(&socket, name) {
                Ok(true) => {}
                // The name is a value of config.toml: it is not shown.
                Ok(false) => findings.problem(
                    "image-missing",
                    format!(
                        "{title}: pull_policy is \"never\", and the Docker daemon does not have the image of `{key}`: \
                         {effect}"
                    ),
                    mend!("give the daemon that image, by docker pull or docker build with the name that stands in `{}`; \
                         or let pull_policy in config.toml be \"if-not-present\"", key),
                ),
                Err(error) => findings.unknown(
                    "image-unknown",
                    format!("{title}: whether the daemon has the image of `{key}` is not known: {error:#}"),
                    "$ systemctl start docker; $ systemctl status docker",
                ),
            }
        }
    }
    findings.else_fine("no image is missing that may not be pulled");
    Ok(())
}

/// The runner never pulls an image. A list is tried from its beginning.
fn pulls_nothing(docker: &dyn TableLike) -> bool {
    match docker.get("pull_policy") {
        Some(item) if item.is_str() => item.as_str() == Some("never"),
        Some(item) => {
            let policies = runner_config::strings(item).unwrap_or_default();
            !policies.is_empty() && policies.iter().all(|policy| *policy == "never")
        }
        None => false,
    }
}

/// An image that config.toml names.
struct NamedImage<'a> {
    key: String,
    name: &'a str,
    /// What becomes of jobs without it.
    effect: &'static str,
}

/// The images of a `[runners.docker]`; a name with a variable depends on the job.
fn images(docker: &dyn TableLike) -> Vec<NamedImage<'_>> {
    let all = "every job fails (\"No such image\")";
    let of = |key: &str, effect| {
        let name = docker.get(key).and_then(Item::as_str)?;
        Some(NamedImage { key: key.to_owned(), name, effect })
    };
    let services = docker.get("services").and_then(runner_config::tables).unwrap_or_default();
    let of_services = services.into_iter().enumerate().filter_map(|(index, service)| {
        let name = service.get("name").and_then(Item::as_str)?;
        Some(NamedImage { key: format!("services[{index}]"), name, effect: all })
    });
    let own = [of("image", "a job that names no image fails (\"No such image\")"), of("helper_image", all)];
    let named = own.into_iter().flatten().chain(of_services);
    named.filter(|image| !image.name.is_empty() && !image.name.contains('$')).collect()
}
