//! One place through the runs that changed it: from what it is now back to what it was.

use std::fmt::Write as _;

use anyhow::Result;

use super::values::{Documents, OTHER, Reversal};
use crate::change::{FileKind, Owner, Place, ReadBy, Seen, Shown};
use crate::facts::Facts;
use crate::fault::{move_aside, quoted};
use crate::journal::{self, Entry, FileVersion, Id, Journal, KeptShown, Record, RecordedOp};
use crate::repair::Repair;
use crate::report::changed_lines;
use crate::runner_config::edits::RecordedEdits;
use crate::seen::Stat;
use crate::text::toml_patch::Toml;

/// Lines of a text diff that a refusal shows.
const MOST_LINES: usize = 40;

/// True for a private key in any of the usual formats.
fn is_private_key(seen: &Seen) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    seen.kind == FileKind::Regular && seen.bytes.windows(MARK.len()).any(|part| part == MARK)
}

/// Where the way back leads.
pub(super) enum Rewound {
    /// To this; `None` is nothing at all.
    To { state: Option<Seen>, shown: Option<Shown>, gone: Vec<String> },
    /// Somebody changed it since: the reasons, a line each.
    Refused(Vec<String>),
}

/// What the runs did to one place, the newest first.
pub(super) struct PathHistory<'a> {
    live: &'a Facts<'a>,
    journal: &'a Journal<'a>,
    documents: &'a Documents,
    pub(super) place: Place,
    links: Vec<HistoryEntry<'a>>,
}

#[derive(Clone, Copy)]
struct HistoryEntry<'a> {
    id: &'a Id,
    profiles: &'a [String],
    record: &'a Record,
    thing: &'a journal::RecordedFile,
}

/// The histories of all places, in the order in which they were changed last.
pub(super) fn all<'a>(
    live: &'a Facts<'a>,
    journal: &'a Journal<'a>,
    documents: &'a Documents,
    entries: &'a [Entry],
) -> Vec<PathHistory<'a>> {
    let mut histories: Vec<PathHistory<'_>> = Vec::new();
    for entry in entries {
        for record in entry.changes.iter().rev() {
            let Some(thing) = record.op.file() else {
                continue;
            };
            let link = HistoryEntry { id: &entry.id, profiles: &entry.profiles, record, thing };
            if let Some(history) = histories.iter_mut().find(|history| history.place == thing.place) {
                history.links.push(link);
            } else {
                let (place, links) = (thing.place.clone(), vec![link]);
                histories.push(PathHistory { live, journal, documents, place, links });
            }
        }
    }
    histories
}

impl HistoryEntry<'_> {
    fn is_file(&self) -> bool {
        matches!(self.record.op, RecordedOp::File(_))
    }

    fn kind(&self) -> FileKind {
        match self.record.op {
            RecordedOp::Directory(_) => FileKind::Directory,
            _ => FileKind::Regular,
        }
    }

    /// The mode that a thing gets back: a private key stays its owner's alone, what lies in a home lends nobody the
    /// rights of its owner or group, and what sudo reads is root's alone to write.
    fn kept_mode(&self, seen: &Seen, side: &FileVersion) -> u32 {
        let mode = match (&self.thing.place, self.record.kind.as_str()) {
            (Place::Home { .. }, _) => side.mode & 0o1777,
            (_, "sudoers" | "deploy") => side.mode & !0o022,
            _ => side.mode,
        };
        if mode & 0o077 != 0 && is_private_key(seen) { mode & !0o077 } else { mode }
    }

    /// In a home files are made with the account's rights, and what root gave away stays given: both come back as the
    /// account's own, whoever's they were.
    fn restored_owner(&self, side: &FileVersion) -> Owner {
        match &self.thing.place {
            Place::Home { account, .. } if self.is_file() || matches!(side.owner, Owner::Ids(0, _)) => {
                Owner::Account(account.clone())
            }
            _ => side.owner.clone(),
        }
    }

    /// True when a thing is as the run found or left it.
    fn fits(&self, live: &Facts<'_>, state: Option<&Seen>, side: Option<&FileVersion>) -> Result<bool> {
        let (Some(thing), Some(side)) = (state, side) else {
            return Ok(state.is_none() && side.is_none());
        };
        let owner = Some((thing.uid, thing.gid));
        let modes = [side.mode, self.kept_mode(thing, side)];
        Ok(thing.kind == self.kind()
            && modes.contains(&thing.mode)
            && (live.ids(&side.owner)? == owner || live.ids(&self.restored_owner(side))? == owner)
            && side.digest.as_ref().is_none_or(|digest| *digest == journal::digest(&thing.bytes)))
    }
}

impl PathHistory<'_> {
    /// The kind of resource that changed it.
    pub(super) fn kind(&self) -> &str {
        self.links.first().map_or("", |link| &link.record.kind)
    }

    /// The oldest run.
    pub(super) fn oldest(&self) -> String {
        self.links.last().map(|link| link.id.to_string()).unwrap_or_default()
    }

    /// The run that made it as an SSH key.
    pub(super) fn made_key(&self) -> Option<&Id> {
        self.links.iter().find(|link| link.thing.fresh && link.thing.before.is_none()).map(|link| link.id)
    }

    /// The oldest run, where it can be one of `key --rotate`: those name no profile.
    pub(super) fn rotation(&self) -> Option<String> {
        let oldest = self.links.last().filter(|link| link.profiles.is_empty())?;
        Some(oldest.id.to_string())
    }

    /// The program that reads it.
    pub(super) fn reader(&self) -> Option<&ReadBy> {
        self.links.iter().find_map(|link| link.thing.reader.as_ref())
    }

    /// True for gitlab-runner's own file, of which single values are ours.
    pub(super) fn is_config(&self) -> bool {
        self.reader() == Some(&ReadBy::Runner)
    }

    /// What may be shown of it: as little as the strictest of the runs.
    pub(super) fn shown(&self) -> KeptShown {
        let files = self.links.iter().filter(|link| link.is_file());
        let mut shown = files.map(|link| link.thing.shown);
        let first = shown.next().unwrap_or_default();
        if shown.all(|other| other == first) { first } else { KeptShown::Label }
    }

    /// The mode before the oldest run, where a thing does not get it back.
    pub(super) fn refused_mode(&self, state: &Seen) -> Option<u32> {
        let oldest = self.links.last()?;
        let side = oldest.thing.before.as_ref()?;
        (side.mode != oldest.kept_mode(state, side)).then_some(side.mode)
    }

    /// The file in the journal with the bytes from before the oldest run.
    pub(super) fn kept(&self) -> Option<std::path::PathBuf> {
        let oldest = self.links.last()?;
        Some(self.journal.path(oldest.id).join(oldest.thing.before.as_ref()?.bytes.as_ref()?))
    }

    /// What a person does to get past a refusal of what is there now.
    pub(super) fn by_hand(&self, now: Option<&Seen>) -> Repair {
        let place = &self.place;
        let oldest = self.links.last().map(|link| (link.id, link.thing.before.as_ref()));
        match oldest {
            // Of config.toml the former bytes would bring back tokens that are no longer valid.
            _ if self.is_config() && !now.is_some_and(|now| self.is_whole(&now.bytes)) => {
                mend!("correct {}, or put a copy of it back, so that gitlab-runner can read it", place)
            }
            _ if self.is_config() => {
                mend!("set what is another value now as runner-prep set it, in {}", place)
            }
            Some((_, None)) => match place {
                Place::Home { account, .. } => {
                    mend!("move it away: $ {}", move_aside(account, &place.path()))
                }
                Place::System(_) => mend!("move it away: $ mv {} /root/", quoted(place.path())),
            },
            Some((id, Some(FileVersion { owner: Owner::Ids(uid, gid), mode, bytes: Some(bytes), .. }))) => {
                let kept = self.journal.path(id).join(bytes);
                let (kept, path) = (quoted(&kept), quoted(place.path()));
                match place {
                    Place::Home { account, .. } => mend!(
                        "put it back by hand: $ sudo -u {0} tee {1} <{2} >/dev/null && sudo -u {0} chmod {3} {1}",
                        account,
                        path,
                        kept,
                        format_args!("{mode:04o}")
                    ),
                    Place::System(_) => mend!(
                        "put it back by hand: $ install -m {} -o {} -g {} {} {}",
                        format_args!("{mode:04o}"),
                        uid,
                        gid,
                        kept,
                        path
                    ),
                }
            }
            _ => mend!("set owner and mode of {} as runner-prep left them", place),
        }
    }

    /// Go back from what is there now.
    pub(super) fn rewind(&self, now: Option<&Seen>) -> Result<Rewound> {
        let mut state = now.cloned();
        let mut at = 0;
        while let Some(link) = self.links.get(at) {
            let before = link.thing.before.as_ref();
            if link.fits(self.live, state.as_ref(), link.thing.after.as_ref())? {
                state = self.former(link, state)?;
                at += 1;
                continue;
            }
            // Never done, or undone already: by hand, or by an undo that was killed, perhaps one of several runs.
            let mut done = None;
            for (index, older) in self.links.iter().enumerate().skip(at) {
                if older.fits(self.live, state.as_ref(), older.thing.before.as_ref())? {
                    done = Some(index);
                    break;
                }
            }
            // What was repaired is gone, and there is nothing to put back.
            let is_repair = !link.is_file() && before.is_some();
            match done {
                Some(index) => {
                    // What can't be relied on is said, also where it is not needed today.
                    if let (true, Some(link)) = (self.is_config(), self.links.get(index)) {
                        self.former(link, state.clone())?;
                    }
                    at = index + 1;
                }
                None if state.is_none() && is_repair => at += 1,
                None => return self.by_values(at, state),
            }
        }
        Ok(Rewound::To { state, shown: None, gone: Vec::new() })
    }

    /// The bytes are not ours any more. Of a file whose single values are ours, those can still be.
    fn by_values(&self, at: usize, state: Option<Seen>) -> Result<Rewound> {
        let mut thing = match state {
            Some(thing) if self.is_config() && thing.kind == FileKind::Regular => thing,
            state => return Ok(Rewound::Refused(self.differences(at, state.as_ref())?)),
        };
        if thing.bytes.trim_ascii().is_empty() {
            return Ok(Rewound::Refused(vec!["it is empty".to_owned()]));
        }
        let Some(runs) = self.edits(at)? else {
            return Ok(Rewound::Refused(vec![OTHER.to_owned()]));
        };
        let former = || {
            let newest = self.files(at).next()?;
            Toml::parse(&self.journal.bytes(newest.id, newest.thing.before.as_ref()?).ok()?).ok()
        };
        let way = Reversal::of(&thing.bytes, &runs, self.documents);
        let done = match way.and_then(|way| way.put_back(former)) {
            Ok(done) => done,
            Err(lines) => return Ok(Rewound::Refused(lines)),
        };
        thing.bytes = done.text.into_bytes();
        Ok(Rewound::To { state: Some(thing), shown: Some(Shown::Values(done.shown)), gone: done.gone })
    }

    fn files(&self, from: usize) -> impl Iterator<Item = &HistoryEntry<'_>> {
        self.links.iter().skip(from).filter(|link| link.is_file())
    }

    /// What the runs did to single values; `None` when one did more.
    fn edits(&self, from: usize) -> Result<Option<Vec<RecordedEdits>>> {
        self.files(from).map(|link| self.journal.edits(link.id, link.thing)).collect()
    }

    /// The single values for people, where the former bytes are put back.
    pub(super) fn shown_values(&self, now: &Seen) -> Result<Option<Shown>> {
        let runs = if self.is_config() { self.edits(0)? } else { None };
        let shown =
            |runs: &[RecordedEdits]| Reversal::of(&now.bytes, runs, self.documents).map(|way| way.shown());
        Ok(runs.map(|runs| Shown::Values(shown(&runs).unwrap_or_default())))
    }

    /// The bytes are whole: those that a run found or left, or a document.
    pub(super) fn is_whole(&self, bytes: &[u8]) -> bool {
        let digest = Some(journal::digest(bytes));
        let mut sides = self.links.iter().flat_map(|link| [&link.thing.after, &link.thing.before]);
        sides.any(|side| side.as_ref().is_some_and(|side| side.digest == digest))
            || (!bytes.trim_ascii().is_empty() && self.documents.read(bytes).is_ok())
    }

    /// In what the thing differs from what the run left.
    fn differences(&self, at: usize, state: Option<&Seen>) -> Result<Vec<String>> {
        let Some(link) = self.links.get(at) else {
            return Ok(Vec::new());
        };
        let (Some(thing), Some(after)) = (state, &link.thing.after) else {
            let word =
                if state.is_some() { "it is there again, and runner-prep removed it" } else { "it is gone" };
            return Ok(vec![word.to_owned()]);
        };
        let expected = link.kind();
        if thing.kind != expected {
            return Ok(vec![format!("it is {} now, runner-prep left {expected}", thing.kind)]);
        }
        let mut lines = Vec::new();
        if thing.mode != after.mode {
            lines.push(format!("its mode is {:04o}, runner-prep left {:04o}", thing.mode, after.mode));
        }
        match self.live.ids(&after.owner)? {
            Some((uid, gid)) if (uid, gid) != (thing.uid, thing.gid) => {
                lines
                    .push(format!("it belongs to {}:{}, runner-prep left {uid}:{gid}", thing.uid, thing.gid));
            }
            _ => {}
        }
        if after.digest.as_ref().is_some_and(|digest| *digest != journal::digest(&thing.bytes)) {
            match (&after.bytes, link.thing.shown) {
                (Some(_), KeptShown::Text) => {
                    let ours = self.journal.bytes(link.id, after)?;
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let mut shown = String::new();
                    for line in changed_lines(&text(&ours), &text(&thing.bytes), MOST_LINES) {
                        let _ = writeln!(shown, "{line}");
                    }
                    lines.extend(shown.lines().map(str::to_owned));
                }
                _ => lines.push(format!(
                    "it has {} bytes that are not those which run {} wrote",
                    thing.bytes.len(),
                    link.id
                )),
            }
        }
        Ok(lines)
    }

    /// What it was before a run.
    fn former(&self, link: &HistoryEntry<'_>, now: Option<Seen>) -> Result<Option<Seen>> {
        let Some(side) = &link.thing.before else {
            return Ok(None);
        };
        let bytes = match (&link.record.op, now) {
            (RecordedOp::File(_), _) => self.journal.bytes(link.id, side)?,
            (_, Some(now)) => now.bytes,
            (_, None) => Vec::new(),
        };
        let (uid, gid) = self.live.ids(&link.restored_owner(side))?.unwrap_or_default();
        let (kind, mode) = (link.kind(), side.mode);
        let (links, identity, modified, changed) = Default::default();
        let stat = Stat { kind, mode, uid, gid, links, size: 0, identity, modified, changed };
        let mut thing = Seen { bytes, ..stat.into() };
        thing.stat.mode = link.kept_mode(&thing, side);
        Ok(Some(thing))
    }
}
