//! Notations of TOML that gitlab-runner, or an older version of it, refuses although they are valid.

use anyhow::Result;

use super::DoctorContext;
use crate::finding::Findings;
use crate::runner_config::{Notation, notations, place_at};

/// Look at every value's notation.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = context.config.toml() else { return Ok(()) };
    let shown = context.shown();
    for notation in notations(toml, &shown) {
        let Some(who) = notation.who_refuses(context.version()) else { continue };
        let Notation { code, what, offset, repair, .. } = notation;
        let at = offset.map(|offset| place_at(toml, offset)).unwrap_or_default();
        let message = format!("{shown}: {at}{what}, which {who} refuses to read");
        match context.version() {
            Some(_) => findings.problem(code, message, repair),
            None => findings.note(code, message, repair),
        }
    }
    findings.else_fine("no notation that this gitlab-runner refuses");
    Ok(())
}
