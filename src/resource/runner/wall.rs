//! Values that take away what a profile keeps from jobs: `privileged = false` alone is no wall.

use crate::change::Notes;
use crate::resource::settings::{ConfigSection, Setting};
use crate::runner_config::{DOCKER, Exposure, Grant, Runner, Volume, allows_anybody, exposures};
use crate::text::glob;

/// The list whose services are privileged.
pub(super) const LIST: &str = "allowed_privileged_services";

/// Images with a daemon that is root, as jobs name them.
const WITH_ROOT: [&str; 4] =
    ["docker:dind", "docker:28-dind", "docker.io/library/docker:dind", "docker.io/library/docker:28-dind"];

/// True for a profile that keeps jobs from root on the host: it wants their containers unprivileged, and gives them
/// no socket of the host's daemon.
pub(super) fn is_wanted(config: &ConfigSection) -> bool {
    config.wants("privileged", false)
        && !config
            .list(DOCKER, "volumes")
            .iter()
            .any(|volume| Volume::parse(volume).daemon_socket().is_some())
}

/// What a profile wants of a key of `[runners.docker]`, as texts.
fn texts(config: &ConfigSection, key: &str) -> Vec<String> {
    config.setting(DOCKER, key).map(Setting::texts).unwrap_or_default().to_vec()
}

/// True for an element of an allow-list of privileged services that opens what the profile closes.
pub(super) fn is_hole(element: &str, config: &ConfigSection) -> bool {
    let brings_root = || WITH_ROOT.iter().any(|image| glob::matches(element, image) == Some(true));
    is_wanted(config)
        && !config.list(DOCKER, LIST).iter().any(|pattern| pattern == element)
        && glob::matches(element, "").is_some()
        && (allows_anybody(element) || (config.is_rootless() && brings_root()))
}

/// Say what of a runner's values opens the wall that the profile is.
pub(super) fn warn(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    if !is_wanted(config) {
        return;
    }
    let mut found = exposures(runner.docker_table(), &|key| texts(config, key));
    if config.wants("services_privileged", true) || runner.docker_flag("services_privileged") == Some(true) {
        for (index, element) in runner.docker_strings(LIST).into_iter().enumerate() {
            if is_hole(element, config) {
                let grant = Grant::Root(if allows_anybody(element) {
                    "bring an image of their own as a privileged service"
                } else {
                    "bring a privileged service that is root"
                });
                found.push(Exposure { place: format!("docker.{LIST}[{index}]"), grant });
            }
        }
    }
    for Exposure { place, grant } in found {
        let repair = mend!(
            "take {} out; jobs that need it are trusted with the host, and get a runner of their own",
            place
        );
        match grant {
            Grant::Root(grant) => notes.harm(
                "wall-open",
                format!("by {place} jobs {grant}: the profile keeps nothing from a job that wants it"),
                repair,
            ),
            Grant::Layer(grant) => notes.warn(
                "wall-thinner",
                format!("by {place} jobs {grant}: one wall less between them and the host"),
                repair,
            ),
        }
    }
}
