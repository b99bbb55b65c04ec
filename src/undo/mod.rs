//! The way back: turns journal entries into changes that bring the former state.
//!
//! Decides what is put back and what is refused; `apply` carries it out, with the same staging, checks and
//! rollback as everything else. Must not write.

mod history;
mod kept_back;
mod values;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::{Change, Content, FileKind, FileOp, Notes, Op, Place, ReadBy, Seen, Shown, Swap};
use crate::facts::Facts;
use crate::fault::{self, Nature, fault, quoted};
use crate::journal::{Entry, Id, Journal, KeptShown, RecordedOp, RunState};
use crate::plan::{Plan, check_places};
use crate::repair::Repair;
use crate::resource;
use history::{PathHistory, Rewound};
pub use values::Documents;

/// What is to be undone, and by which changes.
#[derive(Debug, Default)]
pub struct Undo {
    /// The changes and what is to be said beside them.
    pub plan: Plan,
    /// The entries, the newest first; none when there is nothing to undo.
    pub ids: Vec<Id>,
    /// Their profiles.
    pub profiles: Vec<String>,
    /// Every place that they changed.
    pub places: Vec<Place>,
    /// Where the former bytes are kept of the files that sudo reads, by the change.
    kept: Vec<(String, PathBuf)>,
}

/// Plan the undoing of the last run, or of all back to `to` and with it. `would` is for those who only look: what is said
/// then has not happened. `in_detail` is for those who want to see each value.
///
/// # Errors
/// When an entry can't be used, or somebody changed since what it changed.
pub fn plan(
    live: &Facts<'_>,
    journal: &Journal<'_>,
    documents: &Documents,
    to: Option<&str>,
    would: bool,
    in_detail: bool,
) -> Result<Undo> {
    let entries = entries(journal, to)?;
    let mut undo = Undo::default();
    let mut notes = Notes::default();
    for entry in &entries {
        undo.ids.push(entry.id.clone());
        for profile in &entry.profiles {
            if !undo.profiles.contains(profile) {
                undo.profiles.push(profile.clone());
            }
        }
        for record in &entry.changes {
            if let RecordedOp::Account { name, group } = &record.op {
                warn_of_account(live, name, group.as_deref(), &mut notes)?;
            }
        }
    }
    let histories = history::all(live, journal, documents, &entries);
    undo.places = histories.iter().map(|history| history.place.clone()).collect();
    let mut refused = Vec::new();
    let mut changes = Vec::new();
    for history in &histories {
        let Some(place) = present(live, history, &mut notes)? else {
            continue;
        };
        let now = look(live, &place, history)?;
        match history.rewind(now.as_ref())? {
            Rewound::Refused(lines) => refused.push((history, lines, history.by_hand(now.as_ref()))),
            Rewound::To { state, shown, gone } => {
                for runner in gone {
                    notes.warn(
                        "runner-gone",
                        format!("{runner} is no longer in {place}: there is nothing to put back for it"),
                        "nothing; a runner that is registered again is another one",
                    );
                }
                if let Some(mode) = state.as_ref().and_then(|state| history.refused_mode(state)) {
                    notes.warn(
                        "mode-stays",
                        format!(
                            "{place} {} not get its mode {mode:04o} back: it would let others in or lend them rights",
                            if would { "would" } else { "does" }
                        ),
                        match &place {
                            Place::Home { account, .. } => {
                                mend!("if it must have it: $ sudo -u {} chmod {} {}", account, format_args!("{mode:04o}"), quoted(place.path()))
                            }
                            Place::System(_) => mend!("if it must have it: $ chmod {} {}", format_args!("{mode:04o}"), quoted(place.path())),
                        },
                    );
                }
                let kind =
                    resource::names().into_iter().find(|kind| *kind == history.kind()).unwrap_or("other");
                let why = format!("as it was before {}", history.oldest());
                if let (Some(ReadBy::Sudo { .. }), Some(path)) = (history.reader(), history.kept()) {
                    undo.kept.push((place.to_string(), path));
                }
                let is_other = |now: &&Seen| state.as_ref().is_some_and(|state| state.bytes != now.bytes);
                let shown = match now.as_ref().filter(is_other) {
                    Some(now) if in_detail && shown.is_none() => history.shown_values(now)?,
                    _ => shown,
                };
                if let Some(op) = operation(history, place.clone(), now, state, shown, would)? {
                    kept_back::warn_of_key(live, history, &op, would, &mut notes)?;
                    changes.push(Change { kind, id: place.to_string(), why, op });
                }
            }
        }
    }
    if !refused.is_empty() {
        return Err(refusal(refused));
    }
    for change in &changes {
        if change.kind == "service" && live.is_host() && matches!(change.op, Op::File(_)) {
            notes.warn(
                "service-reload",
                format!("systemd and gitlab-runner go on with what {} said", change.id),
                "when no job runs: $ systemctl daemon-reload && systemctl restart gitlab-runner",
            );
        }
    }
    if would {
        changes.retain(|change| match kept_back::objection(live, change) {
            Ok(()) => true,
            Err(error) => {
                notes.pending.push(kept_back::refused(change, undo.kept(change), &error, would));
                false
            }
        });
    }
    let changes = directories_last(live, changes)?;
    check_places(&changes, live, false)?;
    undo.plan = Plan { changes, notes };
    Ok(undo)
}

impl Undo {
    /// Where the former bytes are kept of a file that sudo reads.
    fn kept(&self, change: &Change) -> Option<&Path> {
        self.kept.iter().find(|(id, _)| *id == change.id).map(|(_, path)| path.as_path())
    }

    /// Leave what sudo does not take as it is, where something else can be undone, or never could this: no rule is written
    /// that `visudo` refuses, and it keeps nothing else back. `failed` is the change at which the undoing ended. True when
    /// it is left, and the rest is to be tried.
    pub fn leave(&mut self, live: &Facts<'_>, failed: usize, error: &anyhow::Error) -> bool {
        let is_objection = fault::is(error, Nature::Policy);
        let Some(change) = self.plan.changes.get(failed) else { return false };
        let is_left = if self.plan.changes.len() < 2 {
            is_objection && kept_back::objection(live, change).is_err()
        } else {
            is_objection || fault::is(error, Nature::NoChecker)
        };
        if !is_left {
            return false;
        }
        let change = self.plan.changes.remove(failed);
        let note = kept_back::refused(&change, self.kept(&change), error, false);
        self.plan.notes.pending.push(note);
        true
    }
}

/// The error when a run is asked for that the journal does not have.
pub fn unknown(to: &str) -> anyhow::Error {
    let what = format!("there is no run {to:?} in the journal");
    fault("undo-unknown", what, "see which there are: $ runner-prep undo --list")
}

/// The entries that are meant, the newest first: the last run, or all back to `to` and with it.
///
/// # Errors
/// When one can't be used.
pub fn entries(journal: &Journal<'_>, to: Option<&str>) -> Result<Vec<Entry>> {
    let entries = journal.list()?;
    if let Some(to) = to.filter(|to| !entries.iter().any(|(id, _)| id.to_string() == *to)) {
        return Err(unknown(to));
    }
    let mut meant = Vec::new();
    for (id, entry) in entries {
        if to.map_or(!meant.is_empty(), |to| id.to_string().as_str() < to) {
            break;
        }
        let entry = entry?;
        if entry.state != RunState::Undone {
            meant.push(entry);
        }
    }
    Ok(meant)
}

/// An account may own files by now, and other programs may know its number.
fn warn_of_account(live: &Facts<'_>, name: &str, group: Option<&str>, notes: &mut Notes) -> Result<()> {
    if live.account(name)?.is_none() {
        return Ok(());
    }
    match group {
        None => notes.warn(
            "account-stays",
            format!("the account {name}, which runner-prep made, stays: it may own files by now"),
            mend!("if nothing needs it, as root: $ userdel -r {}", name),
        ),
        Some(group)
            if live.members(group)?.is_some_and(|members| members.iter().any(|member| member == name)) =>
        {
            let repair = mend!("if nothing needs it, as root: $ gpasswd --delete {} {}", name, group);
            notes.warn("membership-stays", format!("{name} stays a member of the group {group}"), repair);
        }
        Some(_) => {}
    }
    Ok(())
}

/// The place where it is now; `None` when its account is gone, and with it whatever was in its home.
fn present(live: &Facts<'_>, history: &PathHistory<'_>, notes: &mut Notes) -> Result<Option<Place>> {
    let Place::Home { account, relative, .. } = &history.place else {
        return Ok(Some(history.place.clone()));
    };
    let Some(found) = live.account(account)? else {
        notes.warn(
            "account-gone",
            format!("the account {account} does not exist any more: {} is left as it is", history.place),
            "remove what is left of its home by hand",
        );
        return Ok(None);
    };
    Ok(Some(Place::Home { account: account.clone(), home: found.home, relative: relative.clone() }))
}

/// What is at a place now, no link followed.
fn look(live: &Facts<'_>, place: &Place, history: &PathHistory<'_>) -> Result<Option<Seen>> {
    match place {
        Place::Home { account, relative, .. } => {
            let Some(account) = live.account(account)? else {
                return Ok(None);
            };
            Ok(live.home_file(&account, &relative.to_string_lossy())?)
        }
        Place::System(path) => match live.entry(path)? {
            Some(seen) if seen.kind == FileKind::Regular => {
                let whole = |bytes: &[u8]| !history.is_config() || history.is_whole(bytes);
                live.settled(path, crate::facts::MOST_CONFIG_BYTES, &whole)
            }
            other => Ok(other),
        },
    }
}

/// The operation that brings the wanted state; `None` when it is there already.
fn operation(
    history: &PathHistory<'_>,
    place: Place,
    now: Option<Seen>,
    wanted: Option<Seen>,
    shown: Option<Shown>,
    would: bool,
) -> Result<Option<Op>> {
    Ok(match (now, wanted) {
        (None, None) => None,
        (Some(seen), Some(thing)) if seen.meta() == thing.meta() && seen.bytes == thing.bytes => None,
        (Some(seen), None) if seen.kind == FileKind::Directory => {
            Some(Op::RemoveDirectory { before: seen.meta(), place })
        }
        (now, Some(thing)) if now.as_ref().unwrap_or(&thing).kind == FileKind::Directory => {
            Some(Op::Directory { place, before: now.as_ref().map(Seen::meta), after: thing.meta() })
        }
        (Some(seen), Some(thing)) if seen.bytes == thing.bytes => {
            Some(Op::Metadata { place, before: seen, after: thing.meta() })
        }
        (now, wanted) => {
            let Some(meta) = wanted.as_ref().or(now.as_ref()).map(Seen::meta) else { return Ok(None) };
            let name = place.path().file_name().map(|name| name.to_string_lossy().into_owned());
            let aside = history.made_key().map(|id| format!("{}.undone-{id}", name.unwrap_or_default()));
            let swap = match (&wanted, aside) {
                (None, Some(aside)) => Swap::Aside(aside),
                (Some(_), _) if history.is_config() => Swap::Shared,
                _ => Swap::Replace,
            };
            let label = match &swap {
                Swap::Aside(name) => format!("{}moved to {name}", if would { "would be " } else { "" }),
                _ if wanted.is_none() => if would { "would be removed" } else { "removed" }.to_owned(),
                _ if would => "would get its former bytes back".to_owned(),
                _ => "the former bytes".to_owned(),
            };
            let shown = shown.unwrap_or(match history.shown() {
                KeptShown::Text => Shown::Text,
                KeptShown::Values | KeptShown::Label => Shown::Label(label),
            });
            let after = wanted.map(|thing| Content::ready(thing.bytes));
            // What a former file allowed is its own affair: only the policy must stay whole.
            let reader = history.reader().cloned();
            let file = FileOp { place, before: now, after, meta, reader, shown, swap, edits: None };
            Some(file.into())
        }
    })
}

/// Directories after what is in them, the deepest first; those that would not be empty stay.
fn directories_last(live: &Facts<'_>, changes: Vec<Change>) -> Result<Vec<Change>> {
    let (mut directories, mut ordered): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| {
            matches!(change.op, Op::RemoveDirectory { .. } | Op::Directory { before: Some(_), .. })
        });
    directories.sort_by_key(|change| std::cmp::Reverse(depth(change)));
    for change in directories {
        if let Op::RemoveDirectory { place, .. } = &change.op {
            let path = place.path();
            let names = match place {
                Place::System(path) => live.names(path)?.into_iter().map(Into::into).collect(),
                Place::Home { account, relative, .. } => match live.account(account)? {
                    Some(account) => live.home_names(&account, relative)?,
                    None => Vec::new(),
                },
            };
            let goes = |change: &Change| match &change.op {
                Op::RemoveDirectory { .. } => true,
                Op::File(file) => file.after.is_none() && !matches!(file.swap, Swap::Aside(_)),
                _ => false,
            };
            let leaves = |name: &std::ffi::OsString| {
                let entry = path.join(name);
                ordered.iter().any(|change| {
                    goes(change) && change.op.place().is_some_and(|place| place.path() == entry)
                })
            };
            if !names.iter().all(leaves) {
                continue;
            }
        }
        ordered.push(change);
    }
    Ok(ordered)
}

fn depth(change: &Change) -> usize {
    change.op.place().map_or(0, |place| place.path().components().count())
}

/// What stands in the way, all of it at once.
fn refusal(refused: Vec<(&PathHistory<'_>, Vec<String>, Repair)>) -> anyhow::Error {
    let mut what = "nothing was undone, because somebody changed since what runner-prep wrote:".to_owned();
    let mut repair = Repair::default();
    for (history, lines, by_hand) in refused {
        what.extend(["\n", &history.place.to_string()]);
        for line in &lines {
            what.extend(["\n    ", line]);
        }
        repair = repair + by_hand + "\n";
    }
    fault("undo-changed-since", what, repair + "then, once more: $ runner-prep undo")
}
