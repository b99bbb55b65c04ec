//! Keys that came or went with a certain version of gitlab-runner, against the version that is installed.
//!
//! Another one ignores them without a word. Where that only has no effect it is a warning; where the key
//! keeps something from jobs, ignoring it gives it to them, and the profile is refused.
//!
//! An image is often built before gitlab-runner is in it. Then there is no version to read, and the profile
//! is applied with a warning: whoever builds the image knows which version goes in, and says so with
//! `--runner-version X.Y.Z`, which counts before whatever is installed and turns the warning into an answer.

use anyhow::Result;

use super::context::Context;
use super::runner::DISABLE_CACHE;
use super::settings::{ConfigSection, Setting};
use crate::change::{Note, Notes};
use crate::facts::programs::update_runner;
use crate::fault::fault;
use crate::keys::{self, Key, Version};
use crate::repair::Repair;
use crate::runner_config::{DOCKER, SERVICES};
use crate::text::toml_patch::Scalar;

/// The truth values of `[runners.docker]` that [`check`] asks for.
pub(super) const ASKED: [&str; 2] = ["privileged", "services_privileged"];

/// Refuse or warn. `is_on` tells whether a truth value of `[runners.docker]` is true now for a runner that is
/// meant; only where something is to be written is gitlab-runner started to ask for its version.
pub(super) fn check(
    config: &ConfigSection,
    context: &Context<'_>,
    is_on: &dyn Fn(&str) -> bool,
    will_write: bool,
    notes: &mut Notes,
) -> Result<()> {
    let mut gated: Vec<Gated<'_>> = gated(config).collect();
    gated.dedup_by_key(|gated| (gated.section, gated.key));
    if gated.is_empty() {
        return Ok(());
    }
    let version = version(context, will_write)?;
    let Some(version) = version else {
        if will_write {
            warn_unknown(&gated, notes);
        }
        return Ok(());
    };
    let update = |since: Version| update_runner(context.facts, &since.to_string());
    let is_on = |key: &str| wanted(config, key).unwrap_or_else(|| is_on(key));
    for Gated { section, key, since, until, setting } in gated {
        if let Some(until) = until.filter(|until| version >= *until) {
            let message =
                format!("gitlab-runner {version} ignores `{key}`, which went with {until}: it has no effect");
            notes.harm("config-key-removed", message, mend!("take `{}` out of the profile", key));
        }
        let Some(since) = since.filter(|since| version < *since) else { continue };
        let opens = match key {
            "allowed_privileged_images" | "services_privileged" => is_on("privileged"),
            "allowed_privileged_services" => is_on("privileged") || is_on("services_privileged"),
            _ => true,
        };
        let is_off = *setting == Setting::Scalar(Scalar::Bool(false));
        if keys::is_restricting(key, is_off) && opens && !setting.is_default(section, key) {
            return Err(fault(
                "runner-too-old",
                format!(
                    "gitlab-runner {version} ignores `{key}`, which came with {since}: jobs would get what it is to \
                     keep from them"
                ),
                Repair::from("for an image, say with --runner-version which one goes in; else ")
                    + update(since)?,
            ));
        }
        let what =
            format!("gitlab-runner {version} ignores `{key}`, which came with {since}: it has no effect");
        notes.harm("config-key-too-new", what, update(since)?);
    }
    Ok(())
}

/// The version that counts; gitlab-runner is started for it only where it has to be known.
pub(super) fn version(context: &Context<'_>, is_needed: bool) -> Result<Option<Version>> {
    match context.options.runner_version {
        Some(version) => Ok(Some(version)),
        None => context.facts.runner_version(is_needed),
    }
}

/// From here on gitlab-runner makes volumes without a source where `disable_cache` is true, too, one for each job.
const MAKES_VOLUMES: Version = Version(18, 11, 0);

/// Say what was found in the file, but for what is so by a key that the installed version does not read, or that does no
/// harm there.
pub(super) fn say_read(found: Vec<Note>, context: &Context<'_>, notes: &mut Notes) -> Result<()> {
    let is_needed = found.iter().any(|note| note.key.is_some());
    let version = if is_needed { version(context, true)? } else { None };
    for note in found {
        if let Some(key) = note.key {
            let is_harmless = key == DISABLE_CACHE && version.is_some_and(|version| version >= MAKES_VOLUMES);
            if is_harmless || keys::find(DOCKER, key).is_some_and(|key| !key.is_read_by(version)) {
                continue;
            }
        }
        notes.say(note);
    }
    Ok(())
}

/// A value of the profile whose key not every version has.
struct Gated<'a> {
    section: &'static str,
    key: &'a str,
    since: Option<Version>,
    until: Option<Version>,
    setting: &'a Setting,
}

fn gated(config: &ConfigSection) -> impl Iterator<Item = Gated<'_>> {
    let tables = [true, false].into_iter().flat_map(|of_runner| config.tables(of_runner));
    let tables = tables.flat_map(|(section, all)| all.iter().map(|(key, setting)| (*section, key, setting)));
    let services = config.services.iter().flat_map(|service| &service.keys);
    let services = services.map(|(key, setting)| (SERVICES, key, setting));
    tables.chain(services).filter_map(|(section, key, setting)| {
        // Free names came with their table.
        let holder = keys::holder(section);
        let Key { since, until, .. } = keys::find(section, key).or(holder)?;
        let key = holder.map_or(key.as_str(), |key| key.name);
        (since.is_some() || until.is_some()).then_some(Gated { section, key, since, until, setting })
    })
}

/// The truth value that the profile gives a key of `[runners.docker]`.
fn wanted(config: &ConfigSection, key: &str) -> Option<bool> {
    config.setting(DOCKER, key).map(|setting| *setting == Setting::Scalar(Scalar::Bool(true)))
}

fn warn_unknown(gated: &[Gated<'_>], notes: &mut Notes) {
    let name = |gated: &Gated<'_>| {
        // Nobody has those that are older.
        let since = gated.since.filter(|since| *since >= Version(13, 0, 0))?;
        Some(format!("`{}` ({since})", gated.key))
    };
    let names: Vec<String> = gated.iter().filter_map(name).collect();
    if names.is_empty() {
        return;
    }
    notes.warn(
        "runner-version-unknown",
        format!("the version of gitlab-runner is not known here; older ones ignore {}", names.join(", ")),
        "say with --runner-version which one runs, or goes into this image",
    );
}
