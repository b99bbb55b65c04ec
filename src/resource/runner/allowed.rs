//! The allow-lists of a runner's services, held against Docker-in-Docker as jobs bring it, and as the file has it.

use super::daemon::Daemon;
use super::services;
use crate::change::{Harm, Note, Notes};
use crate::resource::settings::ConfigSection;
use crate::runner_config::dind::is_dind;
use crate::runner_config::{DOCKER, IMAGE, Runner};
use crate::text::glob;

/// The list of services that may be privileged.
const PRIVILEGED: &str = "allowed_privileged_services";

/// The list of images that jobs may have.
const IMAGES: &str = "allowed_images";

/// The ways to write an image of Docker's: a name counts as the job writes it.
const SPELLINGS: [&str; 2] = ["", "docker.io/library/"];

/// Say which dind the lists keep from jobs. What the profile adds to them is in them.
pub(super) fn warn(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    for (key, effect) in [
        (PRIVILEGED, "so that dind runs unprivileged and dies"),
        ("allowed_services", "so that jobs with dind are refused"),
    ] {
        let found = runner.docker_strings(key);
        let asked = config.list(DOCKER, key).iter().map(String::as_str);
        let all: Vec<&str> = found.iter().copied().chain(asked).collect();
        if all.is_empty() {
            continue;
        }
        let list = AllowList { key, effect, patterns: all };
        if config.brings_dind() {
            list.warn_of_malformed(found.len(), notes);
            list.warn_of_usual(config.is_rootless(), notes);
        }
        if key == PRIVILEGED {
            list.warn_of_unlisted(runner, config, notes);
        }
    }
    let asked = config.list(DOCKER, IMAGES).iter().map(String::as_str);
    let patterns: Vec<&str> = runner.docker_strings(IMAGES).into_iter().chain(asked).collect();
    if !patterns.is_empty() && Daemon::of(config).is_some() {
        AllowList { key: IMAGES, effect: "so that jobs are refused", patterns }.warn_of_client(runner, notes);
    }
}

struct AllowList<'a> {
    key: &'static str,
    /// What becomes of a dind that it does not match.
    effect: &'static str,
    patterns: Vec<&'a str>,
}

impl AllowList<'_> {
    fn allows(&self, image: &str) -> bool {
        self.patterns.iter().any(|pattern| glob::matches(pattern, image) == Some(true))
    }

    fn warn_of_malformed(&self, of_file: usize, notes: &mut Notes) {
        let key = self.key;
        for (index, pattern) in self.patterns.iter().enumerate().take(of_file) {
            if glob::matches(pattern, "").is_none() {
                let what = format!("element {index} of {key} is not a pattern and matches nothing");
                let repair = "correct its brackets; `*` stops at a `/`, `**` does not";
                notes.harm_by("allow-list-malformed", key, what, repair);
            }
        }
    }

    /// The images that jobs usually name, of the kind that the profile is for.
    fn warn_of_usual(&self, is_rootless: bool, notes: &mut Notes) {
        let Self { key, effect, .. } = self;
        let images = |kind: &str| -> Vec<String> {
            let names = ["docker:dind".to_owned(), format!("{IMAGE}-dind")];
            let spelt = SPELLINGS
                .iter()
                .flat_map(|spelling| names.iter().map(move |name| format!("{spelling}{name}{kind}")));
            spelt.collect()
        };
        let (own, other) = if is_rootless { ("-rootless", "") } else { ("", "-rootless") };
        let (allowed, missed): (Vec<String>, Vec<String>) =
            images(own).into_iter().partition(|image| self.allows(image));
        if missed.is_empty() {
            return;
        }
        let is_for_dind = || {
            self.patterns.iter().any(|pattern| is_dind(pattern))
                || images(other).iter().any(|image| self.allows(image))
        };
        if allowed.is_empty() && !is_for_dind() {
            let what = format!("{key} matches no usual dind image, {effect}");
            let repair = mend!(
                "add \"docker:dind\", \"docker:*-dind\" and \"docker.io/library/docker:*-dind\" to {}",
                key
            );
            notes.harm_by("allow-list-misses-dind", key, what, repair);
        } else {
            self.tell_missed(&missed, notes);
        }
    }

    /// The images with `docker` in them that jobs usually name. The runner's own is allowed by itself.
    fn warn_of_client(&self, runner: &Runner<'_>, notes: &mut Notes) {
        let usual = SPELLINGS.map(|spelling| format!("{spelling}{IMAGE}"));
        let own = runner.docker_text("image").unwrap_or_default();
        let is_allowed = |image: &String| image == own || self.allows(image);
        if !usual.iter().any(is_allowed) {
            self.tell_missed(&usual, notes);
        }
    }

    fn tell_missed(&self, missed: &[String], notes: &mut Notes) {
        let Self { key, effect, .. } = self;
        let note = Note::new(
            "allow-list-one-spelling",
            format!("{key} does not match {}, {effect} where a job brings one of these", missed.join(", ")),
            "the name counts as the job writes it, with docker.io/library/ or without: list what jobs bring",
            Harm::None,
        );
        notes.say(Note { key: Some(key), ..note });
    }

    /// A service of the file that the list does not name, as it is written there.
    fn warn_of_unlisted(&self, runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
        let key = self.key;
        for service in services::kept(runner, config) {
            if service.image.contains('$') || self.allows(service.image) {
                continue;
            }
            let what = format!(
                "docker.services[{}] is Docker-in-Docker, and no element of {key} matches its name as it \
                 is written there: it runs unprivileged and dies",
                service.index
            );
            let repair = mend!(
                "add its name to {}, which makes it privileged for every job; or take the service out",
                key
            );
            notes.harm_by("service-not-allowed", key, what, repair);
        }
    }
}
