//! A former file of sudo's that sudo does not take: it is not put back, and keeps nothing else from being undone.

use std::path::Path;

use anyhow::Result;

use crate::change::{Change, Harm, Note};
use crate::facts::Facts;
use crate::facts::sudo_policy::merged;
use crate::fault::quoted;

/// What sudo's own tool objects to in the file that would be put back.
pub(super) fn objection(live: &Facts<'_>, change: &Change) -> Result<()> {
    let Some(file) = change.op.sudoers() else { return Ok(()) };
    let Some(content) = &file.after else { return Ok(()) };
    let path = file.place.path();
    let bytes = content.bytes()?;
    match live.policy_objection(&merged(live, &path, bytes, &path, bytes))? {
        Some(said) => Err(anyhow::Error::msg(said)),
        None => Ok(()),
    }
}

/// What is to be said of it; its bytes are kept there.
pub(super) fn refused(change: &Change, kept: Option<&Path>, error: &anyhow::Error, would: bool) -> Note {
    let (id, stays) = (&change.id, if would { "would stay" } else { "stays" });
    Note::new(
        "undo-rule-refused",
        format!("{id} {stays} as it is, because sudo does not take the former file: {error:#}"),
        match kept.map(quoted) {
            Some(kept) => mend!(
                "correct what it objects to, then: $ visudo -c -f {0} && install -m 0440 -o root -g root {0} {1}",
                kept,
                id
            ),
            None => "see what it objects to: $ visudo -c".into(),
        },
        Harm::Unknown,
    )
}
