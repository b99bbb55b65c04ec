//! What is done where a plan can't be done at once: again from the plan, when somebody else wrote a file between our look at it
//! and our write; and what takes rights away, when the whole can't be done.
//!
//! A plan is done whole or not at all. But most of it lies in the account's home, where a job can hold anything up,
//! and with it a rule that makes every job root. So when a plan failed and was taken back, root's own part of it is
//! tried once more if rights are taken away by it, and where that fails, too, the changes that take them away alone.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Session;
use crate::change::{
    Change, ChangeOutcome, Content, Harm, Note, Op, Outcome, ReadBy, Seen, Shown, ValueChange,
};
use crate::fault::{self, Nature};
use crate::plan::Plan;
use crate::policy::way_to_root;
use crate::text::toml_patch::Step;

/// How often and how long; whoever still writes then does nothing else.
const MOST_ATTEMPTS: u32 = 50;
const MOST_TIME: Duration = Duration::from_secs(60);

/// Time for the other program to end its write.
const PAUSE: Duration = Duration::from_millis(20);

impl Session<'_> {
    /// Apply a plan, and where a file was changed meanwhile, ask `again` for a new plan and apply that.
    ///
    /// `plan` becomes what was applied in the end, together with what earlier attempts did that stays.
    pub fn apply_settled(
        &self,
        plan: &mut Plan,
        profiles: &[String],
        again: &dyn Fn() -> Result<Plan>,
    ) -> Outcome {
        let began = Instant::now();
        let (mut stays, stopped) = self.register_first(plan, again);
        let mut warnings = self.repaired().to_vec();
        let mut attempt = 0;
        let mut outcome = if let Some(outcome) = stopped {
            outcome
        } else {
            loop {
                attempt += 1;
                let mut outcome = self.apply(&plan.changes, profiles);
                warnings.append(&mut outcome.warnings);
                let is_last = attempt >= MOST_ATTEMPTS || began.elapsed() >= MOST_TIME;
                if is_last || !outcome.error.as_ref().is_some_and(|error| fault::is(error, Nature::Raced)) {
                    break outcome;
                }
                self.waiting.tell(Some("another program that goes on changing the same file"));
                crate::sys::waiting::rest(PAUSE);
                match again() {
                    Ok(next) => {
                        stays.append(&mut applied(plan, &outcome));
                        *plan = next;
                    }
                    Err(error) => break Outcome { error: Some(error), ..outcome },
                }
                if plan.changes.is_empty() {
                    break Outcome::default();
                }
            }
        };
        if attempt > 1 {
            self.waiting.tell(None);
        }
        if outcome.taken_back {
            self.narrow(&plan.changes, profiles, &mut outcome);
        }
        let shift = stays.len();
        outcome.fates.splice(0..0, vec![ChangeOutcome::Applied; shift]);
        plan.changes.splice(0..0, stays);
        for (index, _) in &mut outcome.details {
            *index += shift;
        }
        warnings.dedup();
        Outcome { warnings, ..outcome }
    }
}

/// What can't be taken back: accounts.
fn applied(plan: &Plan, outcome: &Outcome) -> Vec<Change> {
    let fates = plan.changes.iter().zip(&outcome.fates);
    fates.filter(|(_, fate)| **fate == ChangeOutcome::Applied).map(|(change, _)| change.clone()).collect()
}

impl Session<'_> {
    /// Try it, and write into `outcome` what became of it. `changes` are those that failed.
    pub fn narrow(&self, changes: &[Change], profiles: &[String], outcome: &mut Outcome) {
        let failed = outcome.fates.iter().position(|fate| *fate == ChangeOutcome::Failed);
        let is_open = |index: usize| {
            Some(index) != failed
                && outcome.fates.get(index).is_some_and(|fate| *fate != ChangeOutcome::Applied)
        };
        for is_meant in [(|change| change.op.is_system()) as fn(&Change) -> bool, takes_rights_away] {
            let (indices, part): (Vec<usize>, Vec<Change>) = changes
                .iter()
                .enumerate()
                .filter(|(index, change)| is_open(*index) && is_meant(change))
                .map(|(index, change)| (index, change.clone()))
                .unzip();
            if !part.iter().any(takes_rights_away) {
                return;
            }
            let done = self.apply(&part, profiles);
            if done.error.is_some() {
                continue;
            }
            let ids = part.iter().map(|change| change.id.as_str()).collect::<Vec<_>>().join(", ");
            outcome.warnings.extend(done.warnings);
            outcome.warnings.push(Note::new(
                "only-rights",
                format!(
                    "the rest failed, and this is live all the same, because it takes rights away: {ids}"
                ),
                "correct what failed, then run the same command again; undo puts back what is live",
                Harm::None,
            ));
            outcome.details.extend(done.details.into_iter().map(|(at, text)| (indices[at], text)));
            for index in indices {
                outcome.fates[index] = ChangeOutcome::Applied;
            }
            return;
        }
    }
}

/// True where something that sudo or gitlab-runner allows before is not allowed after.
pub fn takes_rights_away(change: &Change) -> bool {
    let Op::File(file) = &change.op else { return false };
    match (&file.reader, &file.shown) {
        (Some(ReadBy::Sudo { .. }), _) => {
            let before = file.before.as_ref().map(Seen::text).unwrap_or_default();
            let after = file.after.as_ref().and_then(Content::peek).unwrap_or_default();
            let after = String::from_utf8_lossy(after);
            let rules = |text| {
                let lines = str::lines(text).map(str::trim);
                lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
            };
            // Whoever is root afterwards has lost nothing.
            !rules(&after).any(gives_root)
                && rules(&before).any(|rule| rules(&after).all(|other| other != rule))
        }
        (Some(ReadBy::Runner), Shown::Values(values)) => values.iter().any(value_takes_rights_away),
        _ => false,
    }
}

/// True for a rule of ours, as it is rendered, with a command that equals root.
fn gives_root(rule: &str) -> bool {
    let Some((whose, commands)) = rule.split_once(" NOPASSWD: ") else { return false };
    let program = |command: &str| command.split(' ').next()?.rsplit('/').next().and_then(way_to_root);
    whose.ends_with("(ALL)") && commands.split(", ").any(|command| program(command).is_some())
}

/// Lists of `config.toml` that forbid what is not in them, or more with each element.
const WALLS: [&str; 4] = ["allowed_", "cap_drop", "security_opt", "services_security_opt"];

/// The switch to a container with root's rights is turned off, an element of a list goes, or a wall is built.
fn value_takes_rights_away(value: &ValueChange) -> bool {
    let names = |is_it: &dyn Fn(&str) -> bool| {
        value.path.iter().any(|step| matches!(step, Step::Key(key) if is_it(key)))
    };
    let is_wall = names(&|key| WALLS.iter().any(|wall| key.starts_with(wall)));
    let is_on = |value: &Option<String>| value.as_deref() == Some("true");
    let is_off = names(&|key| key.ends_with("privileged")) && is_on(&value.before) && !is_on(&value.after);
    is_off || (is_wall && value.after.is_some()) || (value.element && !is_wall && value.after.is_none())
}
