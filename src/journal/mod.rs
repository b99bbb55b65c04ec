//! What the last runs changed, with the former bytes: what `undo` works from.
//!
//! Owns `/var/lib/runner-prep/journal`: a directory for each run with `entry.json`, what was done to single values, and
//! the former bytes, which hold tokens and are root's alone. Must not decide what is undone.

mod entry;
mod former;
mod stamp;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

pub use entry::{Entry, FileVersion, KeptShown, Record, RecordedFile, RecordedOp, RunState, SCHEMA, digest};
pub use stamp::{Id, moment};

use former::FormerValue;

use crate::change::Change;
use crate::fault::{fault, quoted};
use crate::runner_config::edits::RecordedEdits;
use crate::sys::dir::{Dir, FileKind, Seen};
use crate::sys::root::Root;
use crate::sys::staged::{self, Staged};
use crate::sys::writable::read_only;
use crate::text::toml_patch::Toml;

/// Where the entries are.
pub const DIRECTORY: &str = "/var/lib/runner-prep/journal";

/// How many runs are kept.
const MOST_ENTRIES: usize = 10;

const ENTRY: &str = "entry.json";
/// A file of an entry. As large as a `config.toml` may be; what is done to many runners, each of which loses another
/// value, takes as much.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The open journal of a host or tree.
#[derive(Debug)]
pub struct Journal<'a> {
    root: &'a Root,
    dir: Rc<Dir>,
}

/// An entry by its name; the error when it can't be read.
pub type NamedEntry = (Id, Result<Entry>);

impl<'a> Journal<'a> {
    /// The journal, for reading; `None` when nothing was ever applied.
    ///
    /// # Errors
    /// When it can't be opened, or others than root could have changed it.
    pub fn open(root: &'a Root) -> Result<Option<Self>> {
        let path = Path::new(DIRECTORY);
        let found = root.dir(path).with_context(|| format!("cannot open {DIRECTORY}"))?;
        if found.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { root, dir: root.secure_dir(path)? }))
    }

    /// The journal below the state directory, made when it is missing.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn make(root: &'a Root, state: &Dir) -> Result<Self> {
        let path = Path::new(DIRECTORY);
        let cannot = || format!("cannot make {DIRECTORY}");
        if root.dir(path).with_context(cannot)?.is_none() {
            let name = path.file_name().unwrap_or_default();
            state.make_child(name, None, 0o700).with_context(cannot)?;
            state.sync().with_context(cannot)?;
        }
        Ok(Self { root, dir: root.secure_dir(path)? })
    }

    /// All entries, the newest first. What a run left that was killed before it changed anything is none.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn list(&self) -> Result<Vec<NamedEntry>> {
        let mut entries = Vec::new();
        for id in self.ids()?.iter().rev() {
            entries.extend(self.find(id)?);
        }
        Ok(entries)
    }

    fn find(&self, id: &Id) -> Result<Option<NamedEntry>> {
        let Some(dir) = self.dir.child(name(id).as_ref()).with_context(|| self.cannot(id))? else {
            return Ok(None);
        };
        Ok(self.read_entry(&dir, id).transpose().map(|entry| (id.clone(), entry)))
    }

    /// Keep what these changes are about to change. Durable when it returns.
    ///
    /// # Errors
    /// When it can't be written: then nothing may be changed either.
    pub fn begin(&self, profiles: &[String], changes: &[Change]) -> Result<Id> {
        let now = stamp::now();
        let id = Id::next(now, self.ids()?.last());
        let mut blobs = Vec::new();
        let records =
            changes.iter().enumerate().map(|(index, change)| entry::record(index, change, &mut blobs));
        let entry = Entry {
            schema: SCHEMA,
            id: id.clone(),
            time: stamp::long(now),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profiles: profiles.to_vec(),
            state: RunState::Incomplete,
            swept: false,
            changes: records.collect::<Result<_>>()?,
        };
        let cannot = || format!("cannot keep the former state in {DIRECTORY}, so nothing was changed");
        let written = (|| -> Result<()> {
            self.dir.make_child(name(&id).as_ref(), None, 0o700)?;
            let dir = self.child(&id)?;
            for blob in &blobs {
                write(&dir, blob.name.as_ref(), blob.bytes)?;
            }
            // The description last: without it the directory is not an entry.
            write_entry(&dir, &entry)?;
            Ok(self.dir.sync()?)
        })();
        if let Err(error) = written {
            self.remove(&id).ok();
            return Err(explain(error)).with_context(cannot);
        }
        Ok(id)
    }

    /// Say how far a run came.
    ///
    /// # Errors
    /// When the entry can't be read or written.
    pub fn mark(&self, id: &Id, state: RunState) -> Result<()> {
        self.rewrite(id, |entry| entry.state = state)
    }

    /// Say that what a killed run left beside its files is gone.
    ///
    /// # Errors
    /// When the entry can't be read or written.
    pub fn mark_swept(&self, id: &Id) -> Result<()> {
        self.rewrite(id, |entry| entry.swept = true)
    }

    /// The runs that were killed and not cleaned up after.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn unswept(&self) -> Result<Vec<Entry>> {
        let entries = self.list()?.into_iter().filter_map(|(_, entry)| entry.ok());
        Ok(entries.filter(Entry::is_unswept).collect())
    }

    /// Remove an entry.
    ///
    /// # Errors
    /// When something in it can't be removed.
    pub fn remove(&self, id: &Id) -> Result<()> {
        let cannot = || format!("cannot remove {}", self.path(id).display());
        let Some(dir) = self.dir.child(name(id).as_ref()).with_context(cannot)? else {
            return Ok(());
        };
        // The description first: without it the rest is not an entry.
        let mut names = dir.names().with_context(cannot)?;
        names.sort_by_key(|file| file != ENTRY);
        for file in names {
            dir.unlink(&file).with_context(cannot)?;
        }
        self.dir.remove_child(name(id).as_ref()).with_context(cannot)?;
        self.dir.sync().with_context(cannot)
    }

    /// Remove all but the newest entries, and what is none.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn prune(&self) -> Result<()> {
        let mut kept = 0;
        for id in self.ids()?.iter().rev() {
            let dir = self.dir.child(name(id).as_ref()).with_context(|| self.cannot(id))?;
            let has_entry = |dir: Dir| dir.stat_entry(ENTRY.as_ref()).map(|entry| entry.is_some());
            let is_entry = dir.map_or(Ok(false), has_entry).with_context(|| self.cannot(id))?;
            kept += usize::from(is_entry);
            if !is_entry || kept > MOST_ENTRIES {
                self.remove(id)?;
            }
        }
        Ok(())
    }

    /// The bytes that belong to one side of a change.
    ///
    /// # Errors
    /// When they are missing or not what they were.
    pub fn bytes(&self, id: &Id, side: &FileVersion) -> Result<Vec<u8>> {
        let file = side.bytes.as_deref().unwrap_or(Path::new(""));
        let path = self.path(id).join(file);
        let damaged = |why: &str| damaged(&self.path(id), &format!("{}: {why}", path.display()));
        // One plain name: an entry names nothing outside its directory.
        let Some(name) = file.file_name().filter(|name| Path::new(name) == file) else {
            return Err(damaged("no name of a file"));
        };
        let read = self.child(id)?.read(name, MOST_BYTES);
        let found = read.with_context(|| format!("cannot read {}", path.display()))?;
        let found = found.ok_or_else(|| damaged("it is missing"))?;
        self.check(&found, &path)?;
        if side.digest.as_ref() != Some(&digest(&found.bytes)) {
            return Err(damaged("its bytes are not those that were kept"));
        }
        Ok(found.bytes)
    }

    /// What a run did to single values of a file; `None` when it did more, or something else.
    ///
    /// # Errors
    /// When it is missing or not what it was.
    pub fn edits(&self, id: &Id, thing: &RecordedFile) -> Result<Option<RecordedEdits>> {
        if let Some(kept) = &thing.edits {
            let edits = serde_json::from_slice(&self.bytes(id, kept)?);
            return edits.map(Some).map_err(|error| self.not_ours(id, kept.bytes.as_deref(), &error));
        }
        let (Some(values), Some(before)) = (&thing.values, &thing.before) else { return Ok(None) };
        let changes: Vec<_> = values.iter().flat_map(FormerValue::changes).collect();
        let former = Toml::parse(&self.bytes(id, before)?).ok();
        Ok(former.and_then(|former| RecordedEdits::of(&changes, &former)))
    }

    /// Where an entry is, for people.
    pub fn path(&self, id: &Id) -> PathBuf {
        Path::new(DIRECTORY).join(name(id))
    }

    fn ids(&self) -> Result<Vec<Id>> {
        let names = self.dir.names().with_context(|| format!("cannot list {DIRECTORY}"))?;
        Ok(names.into_iter().filter_map(|name| Id::try_from(name.into_string().ok()?).ok()).collect())
    }

    fn child(&self, id: &Id) -> Result<Rc<Dir>> {
        let found = self.dir.child(name(id).as_ref()).with_context(|| self.cannot(id))?;
        found.map(Rc::new).ok_or_else(|| damaged(&self.path(id), "it is gone"))
    }

    fn cannot(&self, id: &Id) -> String {
        format!("cannot read {}", self.path(id).display())
    }

    /// The description of a run; `None` where there is none.
    fn read_entry(&self, dir: &Dir, id: &Id) -> Result<Option<Entry>> {
        #[derive(serde::Deserialize)]
        struct Version {
            schema: u32,
            version: Option<String>,
        }
        let path = self.path(id).join(ENTRY);
        let found = dir.read(ENTRY.as_ref(), MOST_BYTES).with_context(|| self.cannot(id))?;
        let Some(found) = found else { return Ok(None) };
        self.check(&found, &path)?;
        let wrong = |error: serde_json::Error| self.not_ours(id, None, &error);
        let Version { schema, version } = serde_json::from_slice(&found.bytes).map_err(wrong)?;
        if !(1..=SCHEMA).contains(&schema) {
            let what = format!(
                "the journal entry {id} has the format {schema}, of runner-prep {}; this one knows up to {SCHEMA}",
                version.unwrap_or_else(|| "?".to_owned())
            );
            return Err(fault("journal-schema", what, "undo it with the runner-prep that applied it"));
        }
        let entry: Entry = serde_json::from_slice(&found.bytes).map_err(wrong)?;
        if entry.id != *id {
            return Err(damaged(&self.path(id), "it is the description of another entry"));
        }
        Ok(Some(entry))
    }

    /// Of the parser's error only the place: it may quote a value.
    fn not_ours(&self, id: &Id, file: Option<&Path>, error: &serde_json::Error) -> anyhow::Error {
        let (line, column) = (error.line(), error.column());
        let file = file.unwrap_or(Path::new(ENTRY)).display();
        damaged(
            &self.path(id),
            &format!("{file}, line {line}, column {column}: not as runner-prep writes it"),
        )
    }

    /// Only what nobody else could have written is put back.
    fn check(&self, file: &Seen, path: &Path) -> Result<()> {
        let why = match self.root.distrust(path, file.stat) {
            _ if file.kind != FileKind::Regular => "it is not a regular file".to_owned(),
            Some(reason) => reason,
            None => return Ok(()),
        };
        Err(damaged(path.parent().unwrap_or(path), &format!("{}: {why}", path.display())))
    }

    fn rewrite(&self, id: &Id, change: impl FnOnce(&mut Entry)) -> Result<()> {
        let dir = self.child(id)?;
        let entry = self.read_entry(&dir, id)?;
        let mut entry = entry.ok_or_else(|| damaged(&self.path(id), "it is gone"))?;
        // What a run left here that was killed while it wrote the description.
        staged::sweep(&dir, ENTRY.as_ref()).with_context(|| self.cannot(id))?;
        change(&mut entry);
        write_entry(&dir, &entry)
            .map_err(explain)
            .with_context(|| format!("cannot write {}", self.path(id).join(ENTRY).display()))
    }
}

fn name(id: &Id) -> OsString {
    OsString::from(id.to_string())
}

fn write_entry(dir: &Rc<Dir>, entry: &Entry) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(entry).context("a path is not UTF-8 text")?;
    text.push(b'\n');
    write(dir, ENTRY.as_ref(), &text)
}

/// Write a file of ours, whole or not at all, root's alone.
fn write(dir: &Rc<Dir>, name: &OsStr, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(fault(
            "journal-too-large",
            format!("what is to be kept of this run takes {} bytes, more than {MOST_BYTES}", bytes.len()),
            "change fewer runners at once, and then the others: apply takes --runner with the name of one",
        ));
    }
    Staged::create(dir, name, bytes, None, 0o600, None)?.replace()?;
    Ok(dir.sync()?)
}

fn damaged(entry: &Path, why: &str) -> anyhow::Error {
    let repair =
        mend!("look at it; to undo older runs without it, move it away: $ mv {} /root/", quoted(entry));
    fault("journal-damaged", format!("the journal entry {} can't be used: {why}", entry.display()), repair)
}

/// The errors of a full or read-only disk, with the repair.
pub(crate) fn explain(error: anyhow::Error) -> anyhow::Error {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(StorageFull | QuotaExceeded) => fault(
            "disk-full",
            format!("no space left for {DIRECTORY}"),
            "make room: $ df -h /var/lib; $ df -i /var/lib",
        ),
        Some(ReadOnlyFilesystem) => read_only(Path::new(DIRECTORY)),
        _ => error,
    }
}
