//! sudo's policy as its files show it: what decides whether a drop-in means anything, and what leaves a doubt that
//! only sudo can settle ([`super::sudo_effect`]).

mod files;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::Context;
use super::root_file::MARK;
use crate::change::{FileKind, Harm, Note, Notes, Seen};
use crate::facts::broken;
use crate::facts::sudo_policy::{NO_RULE, PolicyText, RUST_SUDOERS, SUDOERS, mains, merged};
use crate::facts::{Facts, MOST_BYTES, close, programs};
use crate::fault::{fault, quoted};
use crate::policy::{SECURE_PATH, SUDOERS_DIRECTORY as DIRECTORY};
use crate::text::sudo_line::{Defaults, LineKind, SudoLine, is_harmless, lines};
use files::{include_it, look_around, not_included, rules_by_rust, wait_for_main};

/// The file of `[sudoers]`.
pub(super) const RULES: &str = "/etc/sudoers.d/gitlab-runner";
/// The file of `[[deploy]]`.
pub(super) const DEPLOYMENTS: &str = "/etc/sudoers.d/gitlab-runner-deploy";

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
    /// All that sudo reads, without a rule of ours.
    text: PolicyText,
}

/// Whether sudo is there. One that can't become root waits for a person, as no rule helps then; where that is the usual
/// one, the one counts that jobs find first.
pub(super) fn has_sudo(facts: &Facts<'_>, notes: &mut Notes) -> Result<bool> {
    let Some(usual) = programs::located(facts, "sudo") else { return programs::is_there(facts, "sudo") };
    if programs::powerless(facts, &usual)?.is_some() {
        let first = programs::located_in(facts, SECURE_PATH.split(':'), "sudo").unwrap_or(usual);
        let found = programs::powerless(facts, &first)?;
        let note = |(what, repair)| Note::new("sudo-not-setuid", what, repair, Harm::Examined);
        notes.pending.extend(found.map(note));
    }
    Ok(true)
}

impl Policy {
    /// Read sudo's files and look at the drop-in directory, for the sake of an account and one of our files.
    pub(super) fn read(context: &Context<'_>, ours: &str, notes: &mut Notes) -> Result<Self> {
        let facts = context.facts;
        let mains = mains(facts)?;
        let Some((main, file)) = mains.first().filter(|(main, _)| *main != Path::new(RUST_SUDOERS)) else {
            let what = format!("{} does not exist: sudo is not installed", SUDOERS[0]);
            return Err(fault("sudo-missing", what, programs::install(facts, &["sudo"])?));
        };
        wait_for_main(main, file, facts, notes)?;
        let read = |(main, file): &(&Path, Seen)| {
            (merged(facts, main, &file.bytes, Path::new(ours), NO_RULE), file.changed)
        };
        let texts: Vec<_> = mains.iter().map(read).collect();
        let make = format!("install -d -m 0750 -o root -g root {DIRECTORY}");
        let entry = facts.entry(Path::new(DIRECTORY))?;
        // Said last; what is no directory is told before.
        let directory = entry.as_ref().filter(|seen| seen.kind == FileKind::Directory);
        let distrust = directory.map(|seen| facts.distrust_seen(Path::new(DIRECTORY), seen)).transpose();
        if directory.is_some() && matches!(distrust, Ok(Some(None))) {
            look_around(facts, texts.iter().flat_map(|(text, _)| &text.passed), notes)?;
        }
        let mut found = None;
        for (text, changed) in texts {
            let is_rust = text.main() == Path::new(RUST_SUDOERS);
            let policy = Self::of(text, changed, &context.target.name, Path::new(ours));
            if !is_rust {
                found = policy;
            } else if rules_by_rust(facts)? {
                // Of two sudos on a host the one that jobs start counts.
                found = Some(policy.ok_or_else(|| not_included(Path::new(RUST_SUDOERS)))?);
            } else if policy.is_none() {
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
                let what = format!("{DIRECTORY} does not exist");
                return Err(fault("sudoers-directory", what, mend!("make it: $ {}", make)));
            }
        }
        if let Some(reason) = distrust?.flatten() {
            let what = format!("sudo ignores {DIRECTORY} or others can write there: {reason}");
            return Err(fault("sudoers-directory", what, close(facts, Path::new(DIRECTORY))?));
        }
        Ok(found)
    }

    /// What the files say of the account; `None` where our file would not be read.
    fn of(text: PolicyText, changed: (i64, i64), account: &str, ours: &Path) -> Option<Self> {
        let mut found = Self {
            main: text.main().to_path_buf(),
            by: 0,
            is_one_line: true,
            later: Vec::new(),
            terminal: Vec::new(),
            needs_terminal: false,
            doubts: Vec::new(),
            changed,
            is_odd: text.lacks_any(),
            secure_path: SECURE_PATH.to_owned(),
            text: PolicyText::default(),
        };
        let (mut is_met, mut passed) = (false, None);
        for mut line in lines(text.text()) {
            let (Some((index, first)), Some((_, last))) = (text.place(line.first), text.place(line.last))
            else {
                continue;
            };
            let Some(file) = text.files.get(index) else { continue };
            (line.first, line.last) = (first, last);
            // Our other file is about other commands and sets nothing.
            let is_our_other = || [RULES, DEPLOYMENTS].iter().any(|path| file.path == Path::new(path));
            if line.first == 1 && is_our_other() && line.text.starts_with(MARK.trim_end()) {
                passed = Some(index);
            }
            let (mut by, mut through) = ((index, line.first, line.last), None);
            while let Some((file, outer)) = text.files.get(by.0).and_then(|file| Some((file, file.by?))) {
                if file.path.parent() == Some(Path::new(DIRECTORY)) {
                    through = Some(file.path.clone());
                }
                by = outer;
            }
            let (_, first, by) = by;
            if file.path == ours {
                is_met = true;
                (found.by, found.is_one_line) = (by, first == by);
                found.later.clear();
                continue;
            }
            if passed == Some(index) {
                continue;
            }
            found.changed = found.changed.max(file.changed);
            let kind = line.kind(Path::new("/"));
            let spot = PolicyLine { file: file.path.clone(), line, by, through };
            match kind {
                LineKind::Defaults(defaults) => found.take(&defaults, account, &spot),
                LineKind::Rule => {
                    found.is_odd |= spot.line.looks_odd();
                    if is_met && spot.line.may_be_about(account) {
                        found.later.push(spot);
                    }
                }
                LineKind::Include(_) | LineKind::Other => {}
            }
        }
        found.text = text;
        is_met.then_some(found)
    }

    fn take(&mut self, defaults: &Defaults, account: &str, spot: &PolicyLine) {
        let holds = defaults.holds_for(account);
        for (name, value) in &defaults.settings {
            let plain = name.trim_start_matches('!');
            // Of two negations each takes the other back.
            let is_on = (name.len() - plain.len()) % 2 == 0;
            if holds == Some(false) || is_harmless(plain) {
                continue;
            }
            if plain == "requiretty" && is_on {
                self.terminal.push(spot.clone());
            }
            match (plain, holds) {
                ("secure_path", Some(true)) => {
                    // Switched off, sudo looks where the account does.
                    let value = value.clone().filter(|value| !value.is_empty());
                    self.secure_path = value.unwrap_or_else(|| SECURE_PATH.to_owned());
                }
                ("requiretty", Some(true)) => self.needs_terminal = is_on,
                // For a group, by an alias, or one of many that can keep a job from running what its rule allows.
                _ if self.doubts.last().is_some_and(|known| known.is_at(spot)) => {}
                _ => self.doubts.push(spot.clone()),
            }
        }
    }

    /// Refuse to plan a change of a policy that is broken: `apply` would not write it. visudo is asked.
    pub(super) fn check_whole(&self, facts: &Facts<'_>) -> Result<()> {
        match facts.policy_objection(&self.text)? {
            Some(said) => Err(broken(&said, &self.main)),
            None => Ok(()),
        }
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

/// Files and lines, for a person.
pub(super) fn places(spots: &[&PolicyLine]) -> String {
    let shown: Vec<String> =
        spots.iter().take(3).map(|spot| format!("{}:{}", spot.file.display(), spot.line.first)).collect();
    if shown.is_empty() { "another rule".to_owned() } else { shown.join(", ") }
}
