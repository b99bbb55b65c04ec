//! The services that `config.toml` gives jobs: those with a daemon, and how many there may be.

use crate::change::Notes;
use crate::resource::settings::ConfigSection;
use crate::runner_config::dind::{CONTAINERD, DindService, is_dind, keeps_with_containerd};
use crate::runner_config::{Runner, host_names, tables};

/// Storage drivers that containerd does not have by these names.
const OLD_DRIVERS: [&str; 4] = ["overlay2", "overlay", "aufs", "devicemapper"];

/// The services with a daemon that the profile does not replace by one of its own, with the same host name.
pub(super) fn kept<'r>(runner: &Runner<'r>, config: &ConfigSection) -> impl Iterator<Item = DindService<'r>> {
    let is_replaced = |service: &DindService<'_>| {
        let names = host_names(service.image, service.text("alias"));
        config.services.iter().any(|wanted| wanted.host_names().iter().any(|name| names.contains(name)))
    };
    DindService::of(runner.docker_table()).filter(move |service| !is_replaced(service))
}

/// A daemon that serves another thing than the profile has jobs ask for.
pub(super) fn warn_of_other_daemon(
    runner: &Runner<'_>,
    config: &ConfigSection,
    (directory, port): (&str, u16),
    notes: &mut Notes,
) {
    for service in kept(runner, config) {
        let at = format!("docker.services[{}]", service.index);
        let variables = service.strings("environment");
        let own = variables.iter().rev().find_map(|element| element.strip_prefix("DOCKER_TLS_CERTDIR="));
        if let Some(own) = own.filter(|own| own.trim_end_matches('/') != directory && !own.contains('$')) {
            let harm = match (own.is_empty(), directory.is_empty()) {
                (true, _) => "it has no TLS, and who reaches its port 2375 on the jobs' network commands it",
                (false, true) => "it has TLS, and does not serve port 2375 that jobs ask for",
                (false, false) => "its certificates are where jobs do not find them",
            };
            let message = format!("{at} has another DOCKER_TLS_CERTDIR than the profile: {harm}");
            let repair = mend!("take DOCKER_TLS_CERTDIR out of `environment` of {}", at);
            notes.harm("dind-service-tls", message, repair);
        }
        let command = service.strings("command");
        let has_entry = !service.strings("entrypoint").is_empty();
        let replaces = |command: &[&str]| {
            let says = |what: &str| command.iter().any(|word| word.contains(what));
            command.first().is_some_and(|first| !first.starts_with('-'))
                && !says("dockerd-entrypoint")
                && !says(&port.to_string())
        };
        if !has_entry && replaces(&command) {
            let message = format!(
                "`command` of {at} takes the place of what the image does by itself, and names no port \
                 {port}: jobs can't connect"
            );
            let repair = mend!("let `command` of {} have options of dockerd alone, which begin with -", at);
            notes.harm("dind-service-command", message, repair);
        }
        let is_open = |word: &&str| ["--tlsverify=false", "--tlsverify=0"].contains(word);
        if !directory.is_empty() && command.iter().any(is_open) {
            let what = format!(
                "by `command` of {at} its daemon asks for no certificate: who reaches its port on the \
                 jobs' network commands it"
            );
            notes.harm("dind-service-tls", what, mend!("take --tlsverify=false out of `command` of {}", at));
        }
    }
}

/// gitlab-runner counts the services of `config.toml` with those of the job, which brings Docker-in-Docker where the
/// file does not.
pub(super) fn warn_of_limit(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    let is_ours = config.names("services_limit");
    let limit = runner.docker_number("services_limit");
    // A profile's own number is held against the services where they are planned; below 0 there is no limit.
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|_| !is_ours) else {
        return;
    };
    let count = runner.docker_item("services").and_then(tables).map_or(0, |found| found.len());
    let has_dind = DindService::of(runner.docker_table()).next().is_some() || !config.services.is_empty();
    let needed = count + usize::from(!has_dind);
    if limit < needed {
        let what = format!(
            "services_limit = {limit} leaves no room for Docker-in-Docker: jobs fail with \"too many services \
             requested\""
        );
        let repair = mend!("let services_limit be {} or more, or take it out", needed);
        notes.harm_by("services-limit-low", "services_limit", what, repair);
    }
}

/// A storage driver that `environment` gives the daemons in services, and that one of today may not have.
pub(super) fn warn_of_driver(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    if !runner.has_executor("docker") || runner.is_remote() {
        return;
    }
    let environment = runner.environment();
    let driver = environment.iter().rev().find_map(|element| element.strip_prefix("DOCKER_DRIVER="));
    let Some(driver) = OLD_DRIVERS.into_iter().find(|old| Some(*old) == driver) else { return };
    let repair =
        "take DOCKER_DRIVER out of `environment` in config.toml: each release finds the right one by itself";
    // Those of the file, and those that the profile brings.
    let images = DindService::of(runner.docker_table()).map(|service| service.image);
    let brought = config.services.iter().map(|service| service.text("name")).filter(|image| is_dind(image));
    let keeps: Vec<_> = images.chain(brought).map(keeps_with_containerd).collect();
    if keeps.contains(&Some(true)) {
        let what = format!(
            "DOCKER_DRIVER={driver} in `environment` keeps the daemon of its service from starting \
             (\"snapshotter not loaded: {driver}\")"
        );
        notes.harm("storage-driver", what, repair);
    } else if keeps.contains(&None) || (keeps.is_empty() && config.brings_dind()) {
        let what = format!(
            "DOCKER_DRIVER={driver} in `environment` reaches the daemons in services, and Docker \
             {CONTAINERD} and later do not start with it (\"snapshotter not loaded: {driver}\")"
        );
        notes.warn("storage-driver", what, repair);
    }
}

/// Without the wait a job starts before dind has made its certificates.
pub(super) fn warn_of_no_wait(runner: &Runner<'_>, notes: &mut Notes) {
    if runner.docker_number("wait_for_services_timeout").is_some_and(|timeout| timeout < 0) {
        notes.harm(
            "wait-for-services-off",
            "wait_for_services_timeout is negative: jobs start before dind has its certificates",
            "take it out (30 seconds), or give a positive number",
        );
    }
}
