//! The value of a key as git finds it where jobs stand: in its files, and in those that they include.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::judge::{JudgedSetting, is_doubtful, leads_elsewhere};
use super::reach::{Written, holds, place};
use crate::change::{FileKind, Notes, Seen};
use crate::facts::{Account, MOST_BYTES};
use crate::fault::{self, fault, look_and_move, look_and_move_aside};
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::git_config::{self, ConfigLine};
use crate::text::position::TextError;

/// How deep git includes files before it gives up.
const MOST_DEEP: usize = 10;

/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// What a file counts for at least, each time that it is read. When all together are beyond `MOST_BYTES`, git itself is asked.
const BLOCK: u64 = 4096;

/// So many lines of a file are made comments to let git read it; with more of them it is no configuration.
const MOST_COMMENTED: usize = 20;

/// What was seen of one key.
#[derive(Debug, Default)]
pub(super) struct EffectiveValue {
    /// Every job finds a value.
    pub(super) is_sure: bool,
    /// The last one that every job finds.
    pub(super) value: Option<JudgedSetting>,
    /// Some repositories have one, by a file that is included on a condition: from the system's file, the second and the
    /// first one of the account.
    pub(super) perhaps: [bool; 3],
}

/// The keys of an identity, as git compares them.
const IDENTITY: [&str; 2] = ["user.name", "user.email"];

/// What git finds where jobs stand.
pub(super) struct EffectiveConfig<'a> {
    context: &'a Context<'a>,
    notes: &'a mut Notes,
    /// The name and the address.
    pub(super) identity: [EffectiveValue; 2],
    /// A file could not be followed as git does.
    pub(super) is_unclear: bool,
    /// So much was read.
    read: u64,
    /// What else is set for every job, and may be more than git can take.
    pub(super) settings: Vec<JudgedSetting>,
}

/// The way to a file: what includes what.
struct IncludeChain<'a> {
    path: &'a Path,
    above: Option<&'a IncludeChain<'a>>,
    depth: usize,
    /// Every job comes to this file.
    is_sure: bool,
    top: usize,
}

impl IncludeChain<'_> {
    /// True where root alone says what is read: in this file, and in those that lead to it.
    fn is_of_root(&self, context: &Context<'_>) -> bool {
        context.is_of_root(self.path) && self.above.is_none_or(|above| above.is_of_root(context))
    }

    /// What takes a line out of the file.
    fn without(&self, context: &Context<'_>, line: usize) -> Repair {
        mend!("take the line out: $ {}", context.command_at(&format!("sed -i '{line}d'"), self.path))
    }
}

impl<'a> EffectiveConfig<'a> {
    /// Look through git's own files, the strongest last.
    ///
    /// # Errors
    /// When git refuses one of them, and with it every job.
    pub(super) fn of(
        context: &'a Context<'a>,
        tops: &[(PathBuf, Option<&Seen>)],
        notes: &'a mut Notes,
    ) -> Result<Self> {
        let (identity, settings) = Default::default();
        let mut effective = Self { context, notes, identity, is_unclear: false, read: 0, settings };
        for (top, (path, seen)) in tops.iter().enumerate() {
            let Some(seen) = seen else { continue };
            if let Some(harm) = harm(seen.kind, path) {
                return Err(special(context, path, "", &harm));
            }
            if !path.starts_with(&context.target.home) {
                readable(context, path)?;
            }
            let chain = IncludeChain { path, above: None, depth: 0, is_sure: true, top };
            effective.file(&chain, &seen.bytes)?;
        }
        let account = context.target.account.as_ref().filter(|_| context.facts.is_host());
        if let Some(account) = account.filter(|_| effective.is_unclear) {
            for (key, found) in
                IDENTITY.iter().zip(&mut effective.identity).filter(|(_, found)| !found.is_sure)
            {
                let said = context.facts.ask(account, "git", &["config", "--includes", "--get", key], b"")?;
                found.is_sure = said.is_some_and(|said| said.success());
            }
        }
        Ok(effective)
    }

    fn file(&mut self, chain: &IncludeChain<'_>, bytes: &[u8]) -> Result<()> {
        let context = self.context;
        self.read += BLOCK.max(bytes.len() as u64);
        let lines = git_config::lines(bytes).map_err(|error| invalid(context, chain.path, bytes, &error))?;
        for (line, found) in lines {
            let setting = |name, value, is_sure| {
                let (path, of_root) = (chain.path.to_path_buf(), chain.is_of_root(context));
                JudgedSetting { path, line, name, value, of_root, is_sure }
            };
            match found {
                ConfigLine::Setting(name, value) => match IDENTITY.iter().position(|key| *key == name) {
                    Some(_) if value.is_none() => return Err(no_value(context, chain.path, line, &name)),
                    Some(at) if chain.is_sure => {
                        self.identity[at].is_sure = true;
                        self.identity[at].value = Some(setting(name, value, true));
                    }
                    Some(at) => self.identity[at].perhaps[chain.top] = true,
                    None if is_doubtful(&name) || leads_elsewhere(&name) => {
                        self.settings.push(setting(name, value, chain.is_sure));
                    }
                    None => {}
                },
                ConfigLine::Include { .. } if self.read > MOST_BYTES => self.is_unclear = true,
                ConfigLine::Include { path: None, .. } => {
                    return Err(no_value(context, chain.path, line, "include.path"));
                }
                ConfigLine::Include { path: Some(path), condition } => {
                    let Some(is_sure) = holds(context, chain.path, &condition) else { continue };
                    let is_sure = is_sure && chain.is_sure;
                    let Err(error) = self.include(chain, line, &path, is_sure) else { continue };
                    // Root changes nothing at a path that a file of the account names.
                    let error = if outside(context, chain, &path) {
                        fault::with_repair(error, chain.without(context, line))
                    } else {
                        error
                    };
                    if is_sure {
                        return Err(error);
                    }
                    let name = format!("includeif.{condition}.path");
                    self.settings.push(setting(name, Some(path), is_sure));
                    let what = format!("{error:#}; jobs that it is included for fail");
                    self.notes.warn("git-include-broken", what, fault::repair(&error));
                }
            }
        }
        Ok(())
    }

    fn include(&mut self, chain: &IncludeChain<'_>, line: usize, written: &str, is_sure: bool) -> Result<()> {
        let context = self.context;
        let from = chain.path.display();
        let without = || chain.without(context, line);
        let path = match place(context, chain.path, written)? {
            Written::At(path) => path,
            Written::Unclear => {
                self.is_unclear = true;
                return Ok(());
            }
            Written::OfNobody(name) => {
                let what = format!(
                    "{from}, line {line}: it includes {written}, and there is no account {name}: git gives up in every job"
                );
                return Err(fault("git-config-invalid", what, without()));
            }
        };
        let fatal = |why: &str| {
            format!("{from}, line {line}: it includes {}, {why}: git gives up in every job", path.display())
        };
        let above = || std::iter::successors(Some(chain), |one| one.above).map(|one| one.path);
        let is_circle = above().any(|one| one == path);
        if is_circle || chain.depth + 1 > MOST_DEEP {
            let why = if is_circle { "which includes it in turn" } else { "more than ten files deep" };
            let take_out = run(context.command_at(&format!("sed -i '{line}d'"), chain.path));
            return Err(fault("git-config-circle", fatal(why), take_out));
        }
        if path.iter().any(|name| name.len() > LONGEST_NAME) {
            return Err(fault("git-config-kind", fatal("whose name is too long for a file"), without()));
        }
        let in_home = path.strip_prefix(&context.target.home).ok().and_then(Path::to_str);
        let in_home = in_home.filter(|relative| !relative.is_empty());
        let seen = match in_home {
            Some(relative) => home_file(context, relative)?,
            None => context.facts.file(&path, MOST_BYTES)?,
        };
        if in_home.is_none() && seen.is_some() {
            readable(context, &path)?;
        }
        match &seen {
            // The account locked itself out of it.
            Some(seen) if is_shut(context, seen) => readable(context, &path)?,
            // Whether it is there git can't see, and then it gives up.
            None if !path.starts_with(&context.target.home) => {
                if let Some(shut) = shut(context, &path)? {
                    let what = format!(
                        "{from}, line {line}: it includes {}, and {} can't be entered by {}: git gives up in every job",
                        path.display(),
                        shut.display(),
                        context.target.name
                    );
                    return Err(fault("git-config-shut", what, without()));
                }
            }
            _ => {}
        }
        match seen {
            // git goes on without it.
            None => Ok(()),
            Some(seen) if seen.kind == FileKind::Directory => {
                Err(fault("git-config-kind", fatal("which is a directory"), without()))
            }
            Some(seen) if seen.kind == FileKind::Regular => {
                let chain = IncludeChain {
                    path: &path,
                    above: Some(chain),
                    depth: chain.depth + 1,
                    is_sure,
                    top: chain.top,
                };
                self.file(&chain, &seen.bytes)
            }
            Some(seen) => {
                // git follows links.
                let end = if seen.kind == FileKind::Link { context.facts.stat(&path)? } else { Some(seen) };
                let is_end = |one: &Path| {
                    let one = context.facts.stat(one).ok().flatten();
                    end.as_ref().is_some_and(|end| one.is_some_and(|one| one.identity == end.identity))
                };
                if above().any(is_end) {
                    return Err(fault("git-config-circle", fatal("a link to what includes it"), without()));
                }
                if let Some(harm) = end.and_then(|end| harm(end.kind, &path)) {
                    return Err(special(
                        context,
                        &path,
                        &format!("{from}, line {line}: it includes "),
                        &harm,
                    ));
                }
                self.is_unclear = true;
                Ok(())
            }
        }
    }
}

/// True for a file that lies outside the home, and that not root alone chose.
fn outside(context: &Context<'_>, chain: &IncludeChain<'_>, written: &str) -> bool {
    let is_own = |path: &Path| path.starts_with(&context.target.home);
    let path = place(context, chain.path, written);
    let is_there = matches!(&path, Ok(Written::At(path)) if is_own(path));
    !is_there && !chain.is_of_root(context)
}

/// What git does where it is to read what is not a file, if that is not to pass over it.
fn harm(kind: FileKind, path: &Path) -> Option<String> {
    match kind {
        FileKind::Fifo => Some("is a FIFO: git waits for it for ever, in every job".to_owned()),
        FileKind::Regular | FileKind::Link => None,
        _ if path == Path::new("/dev/null") => None,
        _ => Some(format!("is {kind}: git can't read it, in no job")),
    }
}

fn special(context: &Context<'_>, path: &Path, by: &str, harm: &str) -> anyhow::Error {
    let repair = if path.starts_with(&context.target.home) {
        look_and_move_aside(&context.target.name, path)
    } else {
        look_and_move(path)
    };
    fault("git-config-kind", format!("{by}{} {harm}", path.display()), repair)
}

/// A file of the home as git comes to it: through links, too. What can't be reached is nothing to it, but for a circle.
pub(super) fn home_file(context: &Context<'_>, relative: &str) -> Result<Option<Seen>> {
    let seen = context.home_file(relative);
    match (&seen, &context.target.account) {
        (Err(error), Some(account))
            if fault::find(error).is_some_and(|fault| fault.code == "path-unusable") =>
        {
            context.facts.file_for(account, &context.target.home.join(relative)).or(seen)
        }
        _ => seen,
    }
}

/// True for a file of the account's own that it can't read. With root's rights it was read all the same.
pub(super) fn is_shut(context: &Context<'_>, seen: &Seen) -> bool {
    let is_own = |account: &Account| account.uid != 0 && account.uid == seen.uid;
    seen.kind == FileKind::Regular
        && seen.mode & 0o400 == 0
        && context.target.account.as_ref().is_some_and(is_own)
}

/// git gives up where it may not read one of its files.
fn readable(context: &Context<'_>, path: &Path) -> Result<()> {
    let Some(shut) = shut(context, path)? else { return Ok(()) };
    let what =
        format!("{} can't be read by {}: git gives up in every job", path.display(), context.target.name);
    Err(fault("git-config-shut", what, context.opening(&shut, context.command_at("chmod a+rX", &shut))))
}

fn shut(context: &Context<'_>, path: &Path) -> Result<Option<PathBuf>> {
    let account = context.target.account.as_ref();
    account.map_or(Ok(None), |account| context.facts.shut_out(account, path))
}

fn no_value(context: &Context<'_>, path: &Path, line: usize, key: &str) -> anyhow::Error {
    let what = format!("{}: line {line}: {key} has no value, which git takes for an error", path.display());
    fault("git-config-invalid", what, run(context.command_at(&format!("sed -i '{line}s/^/#/'"), path)))
}

/// The error where git can't read one of its files with these bytes.
pub(super) fn invalid(context: &Context<'_>, path: &Path, bytes: &[u8], error: &TextError) -> anyhow::Error {
    let repair = match unreadable_lines(bytes) {
        Some(lines) => {
            let marks: Vec<String> = lines.iter().map(|line| format!("{line}s/^/#/")).collect();
            run(context.command_at(&format!("sed -i '{}'", marks.join(";")), path))
        }
        None => mend!("git can't read it either; correct it by hand: {}", path.display()),
    };
    fault("git-config-invalid", format!("{}: {error}", path.display()), repair)
}

/// The lines without which git can read a text.
fn unreadable_lines(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let mut found = Vec::new();
    while found.len() < MOST_COMMENTED {
        let Err(error) = git_config::lines(&lines.join(&b'\n')) else { return Some(found) };
        let line = lines.get_mut(error.line.checked_sub(1)?)?;
        if line.is_empty() || line.starts_with(b"#") {
            return None;
        }
        line.insert(0, b'#');
        found.push(error.line);
    }
    None
}
