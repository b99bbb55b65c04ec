//! Again from the plan, when somebody else wrote a file between our look at it and our write.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Session;
use crate::change::Change;
use crate::change::{ChangeOutcome, Outcome};
use crate::fault::{self, Nature};
use crate::plan::Plan;

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
