//! What a `config.toml` has, held against what a profile wants of its runners: pure, bytes in, edits out.
//!
//! The new text is held against the profile as well: what it still lacks is known before anything is written.

use std::collections::BTreeSet;

use anyhow::Result;

use super::comparison::ConfigComparison;
use crate::change::{Notes, ValueChange};
use crate::fault::fault;
use crate::resource::settings::ConfigSection;
use crate::resource::{gate, runner};
use crate::runner_config::edits::RecordedEdits;
use crate::runner_config::{self, Notation, RefusedValue, Runner};
use crate::text::toml_patch::{Edit, Patched, Toml};

/// What was found.
pub(super) struct ConfigDiff {
    /// The profile is about at least one of the runners.
    pub(super) is_meant: bool,
    /// The executors of all runners, meant or not.
    pub(super) executors: BTreeSet<String>,
    /// Runners whose executor is none, as `runners[0] "name"`.
    pub(super) without_executor: Vec<String>,
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
    /// What gitlab-runner refuses.
    pub(super) refused: Vec<RefusedValue>,
    /// There is no slot for a job, and gitlab-runner ends where it sees that.
    pub(super) has_no_slot: bool,
    /// What older versions of it refuse.
    pub(super) notations: Vec<Notation>,
    /// The file as it should be; `None` when it is.
    pub(super) after: Option<EditedConfig>,
}

/// The new text, and what will be found in it.
pub(super) struct EditedConfig {
    pub(super) text: String,
    pub(super) diff: Box<ConfigDiff>,
}

/// Look at a file that people know as `shown`. `names` are those that the command line has.
///
/// # Errors
/// When something in it can't be.
pub(super) fn diff(config: &ConfigSection, toml: &Toml, names: &[String], shown: &str) -> Result<ConfigDiff> {
    let look = |toml: &Toml| -> Result<(ConfigDiff, Vec<Edit>)> {
        let runners = runner_config::list(toml, shown)?;
        let meant = runner::select(&runners, &config.executors, names, shown)?;
        let (notes, values, edits) = Default::default();
        let mut comparison = ConfigComparison { config, toml, file: shown, notes, values, edits };
        comparison.plan_tables(None)?;
        for runner in &meant {
            comparison.plan_runner(runner)?;
        }
        for runner in runners.iter().filter(|_| config.trusts_authority) {
            comparison.plan_authority(runner)?;
        }
        let is_on = |key: &&str| meant.iter().any(|runner| runner.docker_flag(key) == Some(true));
        let executor = |runner: &Runner<'_>| runner.text("executor").map(str::to_owned);
        let ConfigComparison { notes, values, edits, .. } = comparison;
        let found = ConfigDiff {
            is_meant: !meant.is_empty(),
            executors: runners.iter().filter_map(executor).collect(),
            without_executor: (runners.iter().filter(|runner| !runner.has_some_executor()))
                .map(Runner::title)
                .collect(),
            needs_daemon: meant.iter().any(|runner| runner.has_usual_daemon()),
            on: gate::ASKED.into_iter().filter(is_on).collect(),
            notes,
            values,
            edits: None,
            refused: runner_config::refused_values(toml),
            has_no_slot: runner_config::slots(toml) < 1,
            notations: runner_config::notations(toml, shown),
            after: None,
        };
        Ok((found, edits))
    };
    let (mut diff, edits) = look(toml)?;
    if !edits.is_empty() {
        let (Patched { text, .. }, new) = toml.patch_and_read(&edits).map_err(|error| {
            let what = format!("{shown}: {error}");
            fault("config-shape", what, "write that part as a plain table, then run again")
        })?;
        diff.edits = RecordedEdits::of(&diff.values, toml).and_then(|edits| serde_json::to_vec(&edits).ok());
        diff.after = Some(EditedConfig { text, diff: Box::new(look(new.as_ref().unwrap_or(toml))?.0) });
    }
    Ok(diff)
}
