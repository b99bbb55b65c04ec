//! The services that `config.toml` gives jobs: those with a daemon, and how many there may be.

use toml_edit::{Item, TableLike};

use crate::change::Notes;
use crate::resource::settings::ConfigSection;
use crate::runner_config::{DOCKER, Runner, host_names, strings_at, tables};
use crate::text::glob;

fn services(docker: Option<&dyn TableLike>) -> Vec<&dyn TableLike> {
    docker.and_then(|docker| docker.get("services")).and_then(tables).unwrap_or_default()
}

fn text_of<'t>(service: &'t dyn TableLike, key: &str) -> &'t str {
    service.get(key).and_then(Item::as_str).unwrap_or_default()
}

fn is_dind(service: &dyn TableLike) -> bool {
    let image = text_of(service, "name").split('@').next().unwrap_or_default();
    image.rsplit('/').next().is_some_and(|last| last.contains("dind"))
}

/// A service of the profile has one of these names, and takes the place of what had it.
fn is_replaced(service: &dyn TableLike, config: &ConfigSection) -> bool {
    let names = host_names(text_of(service, "name"), text_of(service, "alias"));
    config.services.iter().any(|wanted| wanted.host_names().iter().any(|name| names.contains(name)))
}

/// A daemon that serves another thing than the profile has jobs ask for.
pub(super) fn warn_of_other_daemon(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    config: &ConfigSection,
    (directory, port): (&str, u16),
    notes: &mut Notes,
) {
    let title = runner.title();
    for (index, service) in services(docker).into_iter().enumerate() {
        if !is_dind(service) || is_replaced(service, config) {
            continue;
        }
        let at = format!("docker.services[{index}]");
        let variables = strings_at(Some(service), "environment");
        let own = variables.iter().rev().find_map(|element| element.strip_prefix("DOCKER_TLS_CERTDIR="));
        if let Some(own) = own.filter(|own| own.trim_end_matches('/') != directory && !own.contains('$')) {
            let harm = match (own.is_empty(), directory.is_empty()) {
                (true, _) => "it has no TLS, and who reaches its port 2375 on the jobs' network commands it",
                (false, true) => "it has TLS, and does not serve port 2375 that jobs ask for",
                (false, false) => "its certificates are where jobs do not find them",
            };
            notes.harm(
                "dind-service-tls",
                format!("{title}: {at} has another DOCKER_TLS_CERTDIR than the profile: {harm}"),
                mend!("take DOCKER_TLS_CERTDIR out of `environment` of {}", at),
            );
        }
        let command = strings_at(Some(service), "command");
        let has_entry = !strings_at(Some(service), "entrypoint").is_empty();
        let replaces = |command: &[&str]| {
            let says = |what: &str| command.iter().any(|word| word.contains(what));
            command.first().is_some_and(|first| !first.starts_with('-'))
                && !says("dockerd-entrypoint")
                && !says(&port.to_string())
        };
        if !has_entry && replaces(&command) {
            notes.harm(
                "dind-service-command",
                format!(
                    "{title}: `command` of {at} takes the place of what the image does by itself, and names no port \
                     {port}: jobs can't connect"
                ),
                mend!("let `command` of {} have options of dockerd alone, which begin with -", at),
            );
        }
        let is_open = |word: &&str| ["--tlsverify=false", "--tlsverify=0"].contains(word);
        if !directory.is_empty() && command.iter().any(is_open) {
            notes.harm(
                "dind-service-tls",
                format!(
                    "{title}: by `command` of {at} its daemon asks for no certificate: who reaches its port on the \
                     jobs' network commands it"
                ),
                mend!("take --tlsverify=false out of `command` of {}", at),
            );
        }
    }
}

/// gitlab-runner counts the services of `config.toml` with those of the job, which brings Docker-in-Docker where the
/// file does not.
pub(super) fn warn_of_limit(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    config: &ConfigSection,
    notes: &mut Notes,
) {
    let is_ours = config.setting(DOCKER, "services_limit").is_some();
    let limit = docker.and_then(|docker| docker.get("services_limit")).and_then(Item::as_integer);
    // A profile's own number is held against the services where they are planned; below 0 there is no limit.
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|_| !is_ours) else {
        return;
    };
    let found = services(docker);
    let has_dind = found.iter().any(|service| is_dind(*service)) || !config.services.is_empty();
    let needed = found.len() + usize::from(!has_dind);
    if limit < needed {
        notes.harm_by(
            "services-limit-low",
            "services_limit",
            format!(
                "{}: services_limit = {limit} leaves no room for Docker-in-Docker: jobs fail with \"too many services \
                 requested\"",
                runner.title()
            ),
            mend!("let services_limit be {} or more, or take it out", needed),
        );
    }
}

/// A service of the file that is Docker-in-Docker and that no allow-list names runs unprivileged, and dies. The name
/// counts as it is written there.
pub(super) fn warn_of_unlisted_dind(
    runner: &Runner<'_>,
    docker: Option<&dyn TableLike>,
    config: &ConfigSection,
    notes: &mut Notes,
) {
    const KEY: &str = "allowed_privileged_services";
    let asked = config.list(DOCKER, KEY).iter().map(String::as_str);
    let allowed: Vec<&str> = strings_at(docker, KEY).into_iter().chain(asked).collect();
    if allowed.is_empty() {
        return;
    }
    for (index, service) in services(docker).into_iter().enumerate() {
        let name = text_of(service, "name");
        let is_replaced = is_replaced(service, config);
        let is_allowed = allowed.iter().any(|pattern| glob::matches(pattern, name) == Some(true));
        let is_dind = is_dind(service);
        if is_dind && !name.contains('$') && !is_replaced && !is_allowed {
            notes.harm_by(
                "service-not-allowed",
                KEY,
                format!(
                    "{}: docker.services[{index}] is Docker-in-Docker, and no element of {KEY} matches its name as it \
                     is written there: it runs unprivileged and dies",
                    runner.title()
                ),
                mend!("add its name to {}, which makes it privileged for every job; or take the service out", KEY),
            );
        }
    }
}
