//! sudo's policy as its files show it: what decides whether a drop-in means anything, and what leaves a doubt that
//! only sudo can settle ([`super::sudo_effect`]).

mod files;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::Context;
use super::root_file::MARK;
use crate::change::{FileKind, Notes, Seen};
use crate::facts::broken;
use crate::facts::sudo_policy::{NO_RULE, RUST_SUDOERS, SUDOERS, names, path_of, whole};
use crate::facts::{Facts, MOST_BYTES, close, programs};
use crate::fault::{fault, quoted};
use crate::policy::{SECURE_PATH, SUDOERS_DIRECTORY as DIRECTORY};
use crate::text::sudo_line::{Defaults, LineKind, SudoLine, is_harmless, lines};
use files::{include_it, look_around, not_included, rules_by_rust, wait_for_main};

/// The file of `[sudoers]`.
pub(super) const RULES: &str = "/etc/sudoers.d/gitlab-runner";
/// The file of `[[deploy]]`.
pub(super) const DEPLOYMENTS: &str = "/etc/sudoers.d/gitlab-runner-deploy";

/// No more included files are looked at: they may include one another in a circle.
const MOST_FILES: usize = 1000;

/// A line of the policy, and where it is.
#[derive(Debug, Clone)]
pub(super) struct PolicyLine {
    /// The file.
    pub(super) file: PathBuf,
    /// The line, joined with those that it goes on with.
    pub(super) line: SudoLine,
    /// The last line of the main file that this one is read by or is.
    pub(super) by: usize,
    /// The file of the usual directory that this one is in or is read by.
    pub(super) through: Option<PathBuf>,
}

impl PolicyLine {
    /// Whether a setting is about where programs are looked for: what it comes to is asked.
    pub(super) fn is_about_paths(&self) -> bool {
        ["secure_path", "exempt_group"].iter().any(|word| self.line.text.contains(word))
    }

    fn is_at(&self, other: &Self) -> bool {
        (&self.file, self.line.first) == (&other.file, other.line.first)
    }
}

/// The parts of sudo's policy that decide whether a drop-in means anything.
pub(super) struct Policy {
    /// The main file.
    pub(super) main: PathBuf,
    /// The line of the main file that our file is read by.
    pub(super) by: usize,
    /// It is a line of its own, and does not go on over several.
    pub(super) is_one_line: bool,
    /// Rules that are read after our file and may be about the account.
    pub(super) later: Vec<PolicyLine>,
    /// Lines that demand a terminal.
    pub(super) terminal: Vec<PolicyLine>,
    /// Whether they hold for the account, as far as the files show it.
    pub(super) needs_terminal: bool,
    /// Settings that leave open where sudo looks for programs, whether it wants a terminal, or what else it does.
    pub(super) doubts: Vec<PolicyLine>,
    /// When the last of its files changed.
    changed: (i64, i64),
    /// A line has no form that sudo reads, as it seems, or names a file that is not there.
    is_odd: bool,
    /// Where sudo looks for programs.
    pub(super) secure_path: String,
}

impl Policy {
    /// Read sudo's files and look at the drop-in directory, for the sake of an account and one of our files.
    pub(super) fn read(context: &Context<'_>, ours: &str, notes: &mut Notes) -> Result<Self> {
        let facts = context.facts;
        let mut main = None;
        for path in SUDOERS {
            let file = facts.file(Path::new(path), MOST_BYTES)?;
            if let Some(file) = file.filter(|file| file.kind == FileKind::Regular) {
                wait_for_main(Path::new(path), &file, facts, notes)?;
                main = Some((Path::new(path), file));
                break;
            }
        }
        let Some((main, file)) = main else {
            return Err(fault(
                "sudo-missing",
                format!("{} does not exist: sudo is not installed", SUDOERS[0]),
                programs::install(facts, &["sudo"])?,
            ));
        };
        let make = format!("install -d -m 0750 -o root -g root {DIRECTORY}");
        // Said last.
        let distrust = facts.distrust(Path::new(DIRECTORY));
        let entry = facts.entry(Path::new(DIRECTORY))?;
        let names = match entry.as_ref().map(|seen| seen.kind) {
            Some(FileKind::Directory) if matches!(distrust, Ok(None)) => look_around(facts, notes)?,
            _ => Vec::new(),
        };
        let account = context.target.name.as_str();
        let walk =
            |main: &Path, file: &Seen| PolicyWalk::over(facts, account, Path::new(ours), &names, main, file);
        let mut found = walk(main, &file);
        if let Some(file) = facts.file(Path::new(RUST_SUDOERS), MOST_BYTES)? {
            let other = walk(Path::new(RUST_SUDOERS), &file);
            let is_read = other.is_some();
            // Of two sudos on a host the one that jobs start counts.
            if rules_by_rust(facts)? {
                found = Some(other.ok_or_else(|| not_included(Path::new(RUST_SUDOERS)))?);
            } else if !is_read {
                notes.warn(
                    "sudoers-rs",
                    format!("sudo-rs reads {RUST_SUDOERS} instead of {}, and it does not include {DIRECTORY}: a rule there is dead for it", main.display()),
                    include_it(Path::new(RUST_SUDOERS)),
                );
            }
        }
        let found = found.ok_or_else(|| not_included(main))?;
        let kind = entry.map(|seen| seen.kind);
        match kind {
            Some(FileKind::Directory) => {}
            Some(kind) => {
                let led = facts
                    .file(Path::new(DIRECTORY), MOST_BYTES)?
                    .filter(|led| led.kind == FileKind::Directory);
                let repair = match led.and_then(|led| led.resolved) {
                    // The rules in it go on all the time but for an instant.
                    Some(led) => mend!(
                        "put a directory with the same files there: $ cp -aT {0} {1}.new && mv -T {1} {1}.old && mv -T {1}.new {1}",
                        quoted(&led),
                        DIRECTORY
                    ),
                    None => mend!(
                        "move it away, then its rules into a new one: $ mv {0} {0}.old; $ {1}",
                        DIRECTORY,
                        make
                    ),
                };
                return Err(fault("sudoers-directory", format!("{DIRECTORY} is {kind}"), repair));
            }
            None => {
                return Err(fault(
                    "sudoers-directory",
                    format!("{DIRECTORY} does not exist"),
                    mend!("make it: $ {}", make),
                ));
            }
        }
        if let Some(reason) = distrust? {
            return Err(fault(
                "sudoers-directory",
                format!("sudo ignores {DIRECTORY} or others can write there: {reason}"),
                close(facts, Path::new(DIRECTORY))?,
            ));
        }
        Ok(found)
    }

    /// Refuse to plan a change of a policy that is broken: `apply` would not write it. visudo is asked.
    pub(super) fn check_whole(&self, facts: &Facts<'_>, ours: &str) -> Result<()> {
        let whole = whole(facts, Path::new(ours), NO_RULE)?;
        for text in whole.iter().filter(|text| text.main() == self.main) {
            if let Some(said) = facts.policy_objection(text)? {
                return Err(broken(&said, &self.main));
            }
        }
        Ok(())
    }

    /// Whether nobody has said yet that sudo can read the policy as it is: a line looks odd, or a file has changed since
    /// ours was written, which visudo had accepted with all that was there.
    pub(super) fn is_unchecked(&self, ours: (i64, i64)) -> bool {
        self.is_odd || self.changed >= ours
    }

    /// What to type for a program: its name where sudo finds it by that, else its path.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let found = self.secure_path.split(':').any(|dir| Some(Path::new(dir)) == path.parent());
        let shown = if found { path.file_name() } else { Some(path.as_os_str()) };
        shown.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// The way through sudo's files in the order in which it reads them.
struct PolicyWalk<'a> {
    facts: &'a Facts<'a>,
    account: &'a str,
    ours: &'a Path,
    /// The files of the usual directory, which was looked at already.
    names: &'a [String],
    found: Policy,
    is_met: bool,
    /// The line of the main file that is being read.
    by: usize,
    is_one_line: bool,
    /// The file of the usual directory that is being read, or by which another one is.
    through: Option<PathBuf>,
    files: usize,
}

impl<'a> PolicyWalk<'a> {
    /// `None` where our file would not be read.
    fn over(
        facts: &'a Facts<'a>,
        account: &'a str,
        ours: &'a Path,
        names: &'a [String],
        main: &Path,
        file: &Seen,
    ) -> Option<Policy> {
        let found = Policy {
            main: main.to_path_buf(),
            by: 0,
            is_one_line: true,
            later: Vec::new(),
            terminal: Vec::new(),
            needs_terminal: false,
            doubts: Vec::new(),
            changed: (0, 0),
            is_odd: false,
            secure_path: SECURE_PATH.to_owned(),
        };
        let mut walk = PolicyWalk {
            facts,
            account,
            ours,
            names,
            found,
            is_met: false,
            by: 0,
            is_one_line: true,
            through: None,
            files: 0,
        };
        walk.read(main, file);
        walk.is_met.then_some(walk.found)
    }

    /// Read a file and those that it includes. What can't be read is visudo's matter.
    fn read(&mut self, file: &Path, seen: &Seen) {
        let text = seen.text();
        let beside = file.parent().unwrap_or(Path::new("/"));
        self.found.changed = self.found.changed.max(seen.changed);
        for line in lines(&text) {
            if file == self.found.main {
                (self.by, self.is_one_line) = (line.last, line.first == line.last);
            }
            let kind = line.kind(beside);
            self.found.is_odd |= kind == LineKind::Rule && line.looks_odd();
            match kind {
                LineKind::Include(it) if it.is_directory => {
                    let is_usual = it.path == Path::new(DIRECTORY);
                    let mut names = if is_usual {
                        self.names.to_vec()
                    } else {
                        names(self.facts.entries(&it.path).unwrap_or_default())
                    };
                    // Also where it is not there yet.
                    if let Some(name) = self.ours.file_name().filter(|_| is_usual) {
                        let name = name.to_string_lossy().into_owned();
                        if let Err(place) = names.binary_search(&name) {
                            names.insert(place, name);
                        }
                    }
                    let outer = self.through.clone();
                    for path in names.into_iter().map(|name| it.path.join(name)) {
                        if is_usual && outer.is_none() {
                            self.through = Some(path.clone());
                        }
                        self.include(&path);
                    }
                    self.through = outer;
                }
                LineKind::Include(it) => {
                    let is_there = self.include(&it.path);
                    self.found.is_odd |= !is_there;
                }
                LineKind::Defaults(defaults) => self.take(&defaults, file, line),
                LineKind::Rule if self.is_met && line.may_be_about(self.account) => {
                    let spot = self.spot(file, line);
                    self.found.later.push(spot);
                }
                LineKind::Rule | LineKind::Other => {}
            }
        }
    }

    /// False for a file that is not there.
    fn include(&mut self, file: &Path) -> bool {
        if file == self.ours {
            self.is_met = true;
            (self.found.by, self.found.is_one_line) = (self.by, self.is_one_line);
            self.found.later.clear();
        }
        if self.files < MOST_FILES && file != self.ours {
            self.files += 1;
            let file = path_of(self.facts, file);
            match self.facts.file(&file, MOST_BYTES) {
                // Our other file is about other commands and sets nothing.
                Ok(Some(seen))
                    if [RULES, DEPLOYMENTS].iter().any(|ours| file == Path::new(ours))
                        && seen.text().starts_with(MARK) => {}
                Ok(Some(seen)) => self.read(&file, &seen),
                Ok(None) => return false,
                // What is not a file has nothing to read.
                Err(_) => {}
            }
        }
        true
    }

    fn spot(&self, file: &Path, line: SudoLine) -> PolicyLine {
        PolicyLine { file: file.to_path_buf(), line, by: self.by, through: self.through.clone() }
    }

    fn take(&mut self, defaults: &Defaults, file: &Path, line: SudoLine) {
        let holds = defaults.holds_for(self.account);
        let spot = self.spot(file, line);
        for (name, value) in &defaults.settings {
            let plain = name.trim_start_matches('!');
            // Of two negations each takes the other back.
            let is_on = (name.len() - plain.len()) % 2 == 0;
            if holds == Some(false) || is_harmless(plain) {
                continue;
            }
            if plain == "requiretty" && is_on {
                self.found.terminal.push(spot.clone());
            }
            match (plain, holds) {
                ("secure_path", Some(true)) => {
                    // Switched off, sudo looks where the account does.
                    let value = value.clone().filter(|value| !value.is_empty());
                    self.found.secure_path = value.unwrap_or_else(|| SECURE_PATH.to_owned());
                }
                ("requiretty", Some(true)) => self.found.needs_terminal = is_on,
                // For a group, by an alias, or one of many that can keep a job from running what its rule allows.
                _ if self.found.doubts.last().is_some_and(|known| known.is_at(&spot)) => {}
                _ => self.found.doubts.push(spot.clone()),
            }
        }
    }
}

/// Files and lines, for a person.
pub(super) fn places(spots: &[&PolicyLine]) -> String {
    let shown: Vec<String> =
        spots.iter().take(3).map(|spot| format!("{}:{}", spot.file.display(), spot.line.first)).collect();
    if shown.is_empty() { "another rule".to_owned() } else { shown.join(", ") }
}
