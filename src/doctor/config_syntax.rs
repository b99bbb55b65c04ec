//! Notations of TOML that gitlab-runner, or an older version of it, refuses although they are valid.

use anyhow::Result;

use super::Patient;
use crate::finding::Findings;
use crate::runner_config::{Notation, notations, place_at};

/// Look at every value's notation.
pub(super) fn look(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = patient.config.toml() else { return Ok(()) };
    let shown = patient.shown();
    for Notation { code, what, offset, repair, since } in notations(toml, &shown) {
        let at = offset.map(|offset| place_at(toml, offset)).unwrap_or_default();
        match patient.version() {
            Some(version) if version >= since => {}
            Some(version) => findings.problem(
                code,
                format!("{shown}: {at}{what}, which gitlab-runner {version} refuses to read"),
                repair,
            ),
            None => findings.note(
                code,
                format!("{shown}: {at}{what}, which gitlab-runner before {since} refuses to read"),
                repair,
            ),
        }
    }
    findings.else_fine("no notation that this gitlab-runner refuses");
    Ok(())
}
