//! sudo's policy, read as sudo reads it: every file that one of it includes, at any depth, links resolved inside a tree.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Facts, MOST_BYTES};
use crate::change::{FileKind, Seen};
pub use crate::sys::sudo::{PolicyFile, PolicyText};
use crate::text::sudo_line::{LineKind, lines};

/// More than anybody includes.
const MOST_FILES: usize = 1000;

/// The main files of sudo: the administrator's, and where there is none the distribution's (openSUSE).
pub const SUDOERS: [&str; 2] = ["/etc/sudoers", "/usr/etc/sudoers"];

/// What sudo-rs reads instead of `/etc/sudoers` when it is there.
pub const RUST_SUDOERS: &str = "/etc/sudoers-rs";

/// What stands for a file of ours that is not there.
pub const NO_RULE: &[u8] = b"# No rule at all.\n";

/// What each sudo begins with, where it is there.
///
/// # Errors
/// When one can't be read.
pub fn mains(facts: &Facts<'_>) -> Result<Vec<(&'static Path, Seen)>> {
    let mut found = Vec::new();
    for main in [SUDOERS[0], SUDOERS[1], RUST_SUDOERS].map(Path::new) {
        if main == Path::new(SUDOERS[1]) && !found.is_empty() {
            continue;
        }
        let file = facts.file(main, MOST_BYTES)?.filter(|file| file.kind == FileKind::Regular);
        found.extend(file.map(|file| (main, file)));
    }
    Ok(found)
}

/// All that follows from each of them, as if `ours` said this.
///
/// # Errors
/// When a main file can't be read.
pub fn whole(facts: &Facts<'_>, ours: &Path, candidate: &[u8]) -> Result<Vec<PolicyText>> {
    let mains = mains(facts)?.into_iter();
    Ok(mains.map(|(main, file)| merged(facts, main, &file.bytes, ours, candidate)).collect())
}

/// A file with these bytes and all that it includes.
pub fn merged(facts: &Facts<'_>, file: &Path, bytes: &[u8], ours: &Path, candidate: &[u8]) -> PolicyText {
    let found = PolicyText::default();
    let mut walk = PolicyFiles { facts, ours, candidate, found, open: Vec::new(), files: 0 };
    walk.read(file, bytes, (0, 0), None);
    walk.found
}

/// The names that sudo reads in a directory, in its order: every sudo skips others (sudoers(5), "Including other files").
fn names(mut entries: Vec<(String, Option<FileKind>)>) -> Vec<String> {
    entries.retain(|(name, _)| is_read(name));
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries.into_iter().map(|(name, _)| name).collect()
}

/// Whether sudo reads a file of this name in a directory.
fn is_read(name: &str) -> bool {
    !name.contains('.') && !name.ends_with('~')
}

/// A path of a line that reads files: `%h` is the host's short name.
fn path_of(facts: &Facts<'_>, path: &Path) -> PathBuf {
    let Some(text) = path.to_str().filter(|text| text.contains("%h")) else { return path.to_path_buf() };
    let name = facts.host_name().unwrap_or_default();
    PathBuf::from(text.replace("%h", name.split('.').next().unwrap_or_default()))
}

struct PolicyFiles<'a> {
    facts: &'a Facts<'a>,
    ours: &'a Path,
    candidate: &'a [u8],
    found: PolicyText,
    /// The files by which the one that is being read is included: a circle has ever other paths.
    open: Vec<(u64, u64)>,
    files: usize,
}

impl PolicyFiles<'_> {
    fn read(&mut self, file: &Path, bytes: &[u8], changed: (i64, i64), by: Option<(usize, usize, usize)>) {
        let text = String::from_utf8_lossy(bytes);
        let beside = file.parent().unwrap_or(Path::new("/"));
        let raw: Vec<&str> = text.lines().collect();
        let at = self.found.begin(PolicyFile { path: file.to_path_buf(), changed, by });
        for line in lines(&text) {
            let LineKind::Include(it) = line.kind(beside) else {
                for number in line.first..=line.last {
                    self.found.push(at, number, raw.get(number - 1).copied().unwrap_or_default());
                }
                // What goes on behind the end of its file goes on nowhere.
                if line.last == raw.len() && raw.last().is_some_and(|last| last.ends_with('\\')) {
                    self.found.push(at, line.last, "");
                }
                continue;
            };
            if !it.rest.trim().is_empty() {
                self.found.rest(at, line.first, &it.rest);
            }
            let mut paths = vec![path_of(self.facts, &it.path)];
            if it.is_directory {
                let directory = self.as_ours(paths.remove(0));
                let mut all = self.facts.entries(&directory).unwrap_or_default();
                let name = self.ours.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if self.ours.parent() == Some(&*directory) {
                    match all.iter().find(|(known, _)| *known == name) {
                        None => all.push((name, None)),
                        Some((_, Some(FileKind::Regular))) => {}
                        Some(_) => self.found.passed.push(self.ours.to_path_buf()),
                    }
                }
                paths.extend(names(all).iter().map(|name| directory.join(name)));
            }
            let by = Some((at, line.first, line.last));
            for path in paths {
                let Some(why) = self.include(&path, by) else { continue };
                if it.is_directory && ![CIRCLE, TOO_MANY].contains(&why.as_str()) {
                    self.found.passed.push(path);
                    continue;
                }
                self.found.lack(at, line.first, format!("it includes {}, which {why}", it.path.display()));
                break;
            }
        }
    }

    /// The directory of our file by that name, where another path leads to it.
    fn as_ours(&self, directory: PathBuf) -> PathBuf {
        let Some(usual) = self.ours.parent().filter(|usual| *usual != directory) else { return directory };
        let identity = |path: &Path| self.facts.stat(path).ok().flatten().map(|seen| seen.identity);
        let is_it = identity(&directory).is_some_and(|seen| identity(usual) == Some(seen));
        if is_it { usual.to_path_buf() } else { directory }
    }

    /// Read it in, or say why that can't be.
    fn include(&mut self, path: &Path, by: Option<(usize, usize, usize)>) -> Option<String> {
        self.files += 1;
        if self.files > MOST_FILES {
            return Some(TOO_MANY.to_owned());
        }
        if path == self.ours {
            self.read(path, self.candidate, (0, 0), by);
            return None;
        }
        match self.facts.file(path, MOST_BYTES) {
            Ok(Some(seen)) if seen.kind == FileKind::Regular => {
                if self.open.contains(&seen.identity) {
                    return Some(CIRCLE.to_owned());
                }
                self.open.push(seen.identity);
                self.read(path, &seen.bytes, seen.changed, by);
                self.open.pop();
                None
            }
            Ok(Some(seen)) => Some(format!("is {} and no file", seen.kind)),
            Ok(None) => Some("is not there".to_owned()),
            Err(error) => Some(format!("can't be read: {error:#}")),
        }
    }
}

const CIRCLE: &str = "leads back to it";
const TOO_MANY: &str = "is one of more files than are read";
