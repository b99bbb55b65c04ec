//! A profile of which a part can't be planned: every part that can't is told, and what takes rights away goes on
//! without them.

use anyhow::Result;

use crate::apply::{Session, takes_rights_away};
use crate::change::Outcome;
use crate::doctor::root_causes;
use crate::plan::Plan;
use crate::report::{DetailLevel, Report};
use crate::resource::Wanted;

/// The report of a plan that ended with an error: with those of each resource alone. Where `open` gives a session, what
/// the others want that takes rights away is done.
pub(super) fn alone<'a>(
    names: &[String],
    wanted: &Wanted,
    error: anyhow::Error,
    open: Option<impl FnOnce() -> Result<Session<'a>>>,
    of_kind: impl Fn(&str) -> Result<Plan>,
    extent: DetailLevel,
) -> Report {
    let (mut changes, mut errors) = (Vec::new(), Vec::new());
    for kind in wanted.kinds() {
        match of_kind(kind) {
            Ok(plan) => changes.extend(plan.changes.into_iter().filter(|change| change.op.is_system())),
            Err(error) => errors.push((kind, error)),
        }
    }
    let narrows = changes.iter().any(takes_rights_away);
    let session = open.filter(|_| narrows).and_then(|open| open().ok());
    let mut report = match session {
        Some(session) => {
            let mut outcome = Outcome::not_begun(&changes, error);
            session.narrow(&changes, names, &mut outcome);
            Report::applied(names, &Plan { changes, ..Plan::default() }, &outcome, None, extent)
        }
        None => Report::failed(names, &error),
    };
    report.fail_beside(&root_causes(errors));
    report
}
