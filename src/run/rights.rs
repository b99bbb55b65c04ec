//! A profile of which a part can't be planned: what takes rights away goes on without it.

use anyhow::Result;

use crate::apply::{Session, takes_rights_away};
use crate::change::Outcome;
use crate::plan::Plan;
use crate::report::{DetailLevel, Report};
use crate::resource::Wanted;

/// When one resource can't even be planned: what the others want that takes rights away.
pub(super) fn alone<'a>(
    names: &[String],
    wanted: &Wanted,
    error: anyhow::Error,
    session: Option<Session<'a>>,
    open: impl FnOnce() -> Result<Session<'a>>,
    of_kind: impl Fn(&str) -> Result<Plan>,
    extent: DetailLevel,
) -> Result<Report> {
    let plans = wanted.kinds().filter_map(|kind| of_kind(kind).ok());
    let changes: Vec<_> =
        plans.flat_map(|plan| plan.changes).filter(|change| change.op.is_system()).collect();
    let session = match session {
        _ if !changes.iter().any(takes_rights_away) => return Err(error),
        None => open().map(Some),
        open => Ok(open),
    };
    let Ok(Some(session)) = session else { return Err(error) };
    let mut outcome = Outcome::not_begun(&changes, error);
    session.narrow(&changes, names, &mut outcome);
    Ok(Report::applied(names, &Plan { changes, ..Plan::default() }, &outcome, None, extent))
}
