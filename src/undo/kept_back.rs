//! What an undo leaves: an SSH key, which is moved aside; and a former file of sudo's that sudo does not take, which is not put
//! back and keeps nothing else from being undone.

use std::path::Path;

use anyhow::Result;

use super::history::PathHistory;
use crate::change::{Change, Harm, Note, Notes, Op, Place, Swap};
use crate::facts::Facts;
use crate::facts::sudo_policy::merged;
use crate::fault::quoted;
use crate::repair::Repair;
use crate::resource::ROTATED;

/// So long is a moment in the name of a file.
const STAMP: usize = "20261123T101502Z".len();

/// A key may be in use: it is moved, and GitLab still knows it. The one that it replaced gets its name back by hand.
pub(super) fn warn_of_key(
    live: &Facts<'_>,
    history: &PathHistory<'_>,
    op: &Op,
    would: bool,
    notes: &mut Notes,
) -> Result<()> {
    let Op::File(file) = op else { return Ok(()) };
    let Swap::Aside(name) = &file.swap else { return Ok(()) };
    let path = file.place.path();
    if path.extension().is_some() {
        return Ok(());
    }
    let mut repair = Repair::from(
        "remove its deploy key in GitLab too if nothing needs it: Settings, Repository, Deploy keys",
    );
    if let Some(back) = before_rotation(live, history, &file.place)? {
        repair = repair + ". The key before it then gets its name back: " + back;
    }
    let what = format!(
        "the SSH key {} {} moved to {}, not removed",
        path.display(),
        if would { "would be" } else { "is" },
        path.with_file_name(name).display()
    );
    notes.warn("ssh-key-aside", what, repair);
    Ok(())
}

/// The commands that give a key its name back which `key --rotate` moved aside, where the oldest run was one.
fn before_rotation(live: &Facts<'_>, history: &PathHistory<'_>, place: &Place) -> Result<Option<Repair>> {
    let (Some(run), Place::Home { account: name, home, relative }) = (history.rotation(), place) else {
        return Ok(None);
    };
    let (Some(account), Some(directory)) = (live.account(name)?, relative.parent()) else { return Ok(None) };
    let names = live.home_names(&account, directory)?;
    let names: Vec<_> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
    let start = relative.file_name().map(|name| format!("{}{ROTATED}", name.to_string_lossy()));
    // Its name says when: just before the run.
    let moment = |name: &str| Some(name.strip_prefix(start.as_deref()?)?.to_owned());
    // The account chooses its names: one of ours has nothing else in it.
    let is_ours = |moment: &str| moment.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let of_run = |name: &&String| {
        moment(name).is_some_and(|moment| {
            is_ours(&moment) && moment.len() >= STAMP && moment.get(..STAMP) <= run.get(..STAMP)
        })
    };
    let Some(aside) = names.iter().filter(of_run).max() else { return Ok(None) };
    let back = ["", ".pub"].iter().filter(|end| names.contains(&format!("{aside}{end}"))).map(|end| {
        let from = home.join(directory).join(format!("{aside}{end}"));
        let to = format!("{}{end}", home.join(relative).display());
        mend!("$ sudo -u {} mv -nT {} {}", name, quoted(&from), quoted(&to))
    });
    Ok(Some(Repair::all(back)))
}

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
