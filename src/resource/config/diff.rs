//! What a `config.toml` has, held against what a profile wants of its runners: pure, bytes in, edits out.
//!
//! The new text is held against the profile as well: what it still lacks is known before anything is written, and a file that turns out to have
//! that text need not be read again.

use std::collections::BTreeSet;

use anyhow::Result;
use toml_edit::Item;

use super::comparison::ConfigComparison;
use crate::change::{Notes, ValueChange};
use crate::fault::fault;
use crate::repair::Repair;
use crate::resource::settings::ConfigSection;
use crate::resource::{gate, runner};
use crate::runner_config::edits::RecordedEdits;
use crate::runner_config::{self, Notation, Runner, WrongType};
use crate::text::position::TextError;
use crate::text::toml_patch::{Edit, Patched, Toml};

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigDiff {
    /// The profile is about at least one of the runners.
    pub(super) is_meant: bool,
    /// The executors of all runners, meant or not.
    pub(super) executors: BTreeSet<String>,
    /// One of those starts containers with the usual daemon of the host.
    pub(super) needs_daemon: bool,
    /// The truth values that [`gate`] asks for and that are true for one of those.
    pub(super) on: BTreeSet<&'static str>,
    /// What is to be said.
    pub(super) notes: Notes,
    /// What differs.
    pub(super) values: Vec<ValueChange>,
    /// The same as the journal keeps it; `None` when it can't be put back value by value.
    pub(super) edits: Option<Vec<u8>>,
    /// What makes gitlab-runner refuse the whole file.
    pub(super) wrong_types: Vec<WrongType>,
    /// What makes it fail every job of a runner: what is wrong, and what to do.
    pub(super) policies: Vec<(String, Repair)>,
    /// There is no slot for a job, and gitlab-runner ends where it sees that.
    pub(super) has_no_slot: bool,
    /// What older versions of it refuse.
    pub(super) notations: Vec<Notation>,
    /// The file as it should be; `None` when it is.
    pub(super) after: Option<EditedConfig>,
}

/// The new text, and what will be found in it.
#[derive(Debug, Clone)]
pub(super) struct EditedConfig {
    pub(super) text: String,
    pub(super) diff: Box<ConfigDiff>,
}

/// Look at the bytes of a file that people know as `shown`. `names` are those that the command line has.
///
/// # Errors
/// The outer one when the bytes are no TOML, the inner one when something in them can't be.
pub(super) fn diff(
    config: &ConfigSection,
    bytes: &[u8],
    names: &[String],
    shown: &str,
) -> Result<Result<ConfigDiff>, TextError> {
    let toml = Toml::parse(bytes)?;
    Ok(whole(config, &toml, names, shown))
}

fn whole(config: &ConfigSection, toml: &Toml, names: &[String], shown: &str) -> Result<ConfigDiff> {
    let look = |toml: &Toml| -> Result<(ConfigDiff, Vec<Edit>)> {
        let runners = runner_config::list(toml, shown)?;
        let meant = runner::select(&runners, &config.executors, names, shown)?;
        let mut found = ConfigDiff {
            executors: runners.iter().filter_map(executor).collect(),
            wrong_types: runner_config::wrong_types(toml),
            policies: runner_config::odd_policies(toml),
            has_no_slot: runner_config::slots(toml) < 1,
            notations: runner_config::notations(toml, shown),
            ..ConfigDiff::default()
        };
        let edits = found.hold(config, toml, &runners, &meant, shown)?;
        Ok((found, edits))
    };
    let (mut diff, edits) = look(toml)?;
    if !edits.is_empty() {
        let (Patched { text, .. }, new) = toml.patch_and_read(&edits).map_err(|error| {
            fault(
                "config-shape",
                format!("{shown}: {error}"),
                "write that part as a plain table, then run again",
            )
        })?;
        diff.edits = RecordedEdits::of(&diff.values, toml).and_then(|edits| serde_json::to_vec(&edits).ok());
        diff.after = Some(EditedConfig { text, diff: Box::new(look(new.as_ref().unwrap_or(toml))?.0) });
    }
    Ok(diff)
}

fn executor(runner: &Runner<'_>) -> Option<String> {
    runner.text("executor").map(str::to_owned)
}

impl ConfigDiff {
    /// Hold runners of a document against the profile, and what stands outside of them.
    fn hold(
        &mut self,
        config: &ConfigSection,
        toml: &Toml,
        runners: &[Runner<'_>],
        meant: &[&Runner<'_>],
        file: &str,
    ) -> Result<Vec<Edit>> {
        self.is_meant |= !meant.is_empty();
        self.needs_daemon |= meant.iter().any(|runner| runner.has_usual_daemon());
        let Self { notes, values, .. } = self;
        let mut comparison = ConfigComparison { config, toml, file, notes, values, edits: Vec::new() };
        comparison.plan_tables(config, None)?;
        for runner in meant {
            comparison.plan_runner(config, runner)?;
        }
        if config.trusts_authority {
            for runner in runners {
                comparison.plan_authority(runner)?;
            }
        }
        let edits = comparison.edits;
        for key in gate::ASKED {
            let is_on = |runner: &&&Runner<'_>| {
                let value = runner.docker_table().and_then(|docker| docker.get(key));
                value.and_then(Item::as_bool).unwrap_or_default()
            };
            if meant.iter().any(|runner| is_on(&runner)) {
                self.on.insert(key);
            }
        }
        Ok(edits)
    }
}
