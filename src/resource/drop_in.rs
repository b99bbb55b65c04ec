//! What every sudo drop-in has in common: the file that holds its rules, which have to be there and to have an
//! effect.
//!
//! Whether sudo accepts a rule is asked by `apply`, from the real `visudo`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::Context;
use super::root_file::{RootFile, marked};
use super::sudo_effect::{Allowed, Effect};
use super::sudo_policy::Policy;
use crate::change::{Change, Harm, Note, Notes};
use crate::facts::{Account, Facts, Supposed, before_rules};
use crate::fault::{self, Nature};
use crate::policy::EFFECT;
use crate::text::sudo_line::is_comment;
use crate::text::sudo_rule::{CommandLine, Rule, RunAs};

const MODE: u32 = 0o440;

/// A file of rules below `/etc/sudoers.d`.
#[derive(Default)]
pub(super) struct DropIn {
    /// The kind of the resource that it belongs to.
    pub(super) kind: &'static str,
    /// Where it is.
    pub(super) path: &'static str,
    /// Its lines, without newlines. None: the account may run nothing, and a file of ours goes away.
    pub(super) rules: Vec<String>,
    /// What must be allowed by them.
    pub(super) allowed: Vec<Allowed>,
    /// Why it is made when it is missing.
    pub(super) missing: String,
}

impl DropIn {
    /// Add a rule, and what it must allow.
    pub(super) fn add(&mut self, rule: &Rule<'_>) {
        self.rules.push(rule.to_string());
        let run_as = match rule.run_as {
            RunAs::Anyone | RunAs::Account("root") => None,
            RunAs::Account(name) => Some(name.to_owned()),
        };
        let allowed = |command: &CommandLine| Allowed { run_as: run_as.clone(), command: command.words() };
        self.allowed.extend(rule.commands.iter().map(allowed));
    }

    /// The change that makes the file what it must be; none when it is, and then whether sudo does what it says.
    /// Without a rule no policy is needed.
    pub(super) fn plan(
        &self,
        context: &Context<'_>,
        policy: Option<&Policy>,
        notes: &mut Notes,
    ) -> Result<Vec<Change>> {
        let file = RootFile {
            kind: self.kind,
            path: Path::new(self.path),
            text: (!self.rules.is_empty()).then(|| self.text()),
            mode: MODE,
            directories: 0o750,
            why: [&self.missing, "its rules are not the ones of the profile"],
            meaning: rules,
            of_sudo: true,
        };
        let mut changes = Vec::new();
        let written = match file.plan(context, &mut changes) {
            // Whose rule it is does not matter to jobs.
            Err(error) if fault::is(&error, Nature::Foreign) && self.works(context, policy, notes) => {
                notes.warn("sudoers-foreign", format!("{error:#}"), fault::repair(&error));
                return Ok(Vec::new());
            }
            written => written?,
        };
        let facts = context.facts;
        match policy {
            Some(policy) if !self.rules.is_empty() => {
                let is_broken = if changes.is_empty() {
                    policy.is_unchecked(written) && tell_broken(&policy.check_whole(facts), facts, notes)
                } else {
                    policy.check_whole(facts)?;
                    if self.works(context, Some(policy), notes) {
                        let name = &context.target.name;
                        let what = format!("{name} runs the commands of the profile by another rule");
                        notes.means(self.kind, "sudoers-other-rule", what, Harm::None);
                        return Ok(changes);
                    }
                    false
                };
                let mut effect = self.effect(context, policy);
                effect.may_refuse = before_rules::may_refuse(facts)?;
                self.foresee(&mut effect, !changes.is_empty(), &notes.joins)?;
                let right = notes.right.len();
                effect.look(&self.allowed, is_broken, notes)?;
                if !effect.supposed.is_empty() {
                    notes.right.truncate(right);
                }
            }
            None if !changes.is_empty() => {
                // To take a file away no policy is needed, but one that is broken is not touched.
                if let Ok(policy) = Policy::read(context, self.path, &mut Notes::default()) {
                    policy.check_whole(facts)?;
                }
            }
            _ => {}
        }
        Ok(changes)
    }

    /// Whether sudo lets the account do all of it already, where it may be asked: then another rule does.
    fn works(&self, context: &Context<'_>, policy: Option<&Policy>, notes: &mut Notes) -> bool {
        let Some(policy) = policy.filter(|_| context.options.ask_sudo) else { return false };
        // sudo tells root of what it refuses: it is tried only where its list says that it is free.
        let effect = self.effect(context, policy);
        if !effect.is_free(&self.allowed).unwrap_or_default() {
            return false;
        }
        let mut tried = Notes::default();
        let looked = effect.look(&self.allowed, false, &mut tried);
        let is_right = |(kind, _): &&(&str, String)| *kind == EFFECT;
        let works = looked.is_ok()
            && tried.pending.is_empty()
            && tried.right.iter().filter(is_right).count() == self.allowed.len();
        if works {
            notes.right.append(&mut tried.right);
        }
        works
    }

    /// Let sudo be asked as if this run had made its changes, `is_new` ones of this file among them.
    fn foresee(&self, effect: &mut Effect<'_>, is_new: bool, joins: &[String]) -> Result<()> {
        let facts = effect.context.facts;
        let file = |path: &Path, bytes, mode| Supposed { path: path.into(), bytes, mode };
        let is_changed = facts.is_host() && (effect.account.is_none() || !joins.is_empty());
        if !is_new && !is_changed {
            return Ok(());
        }
        let supposed = &mut effect.supposed;
        supposed.push(file(Path::new(self.path), self.text().into_bytes(), MODE));
        for program in self.allowed.iter().filter_map(|one| one.command.first()).map(Path::new) {
            if facts.stat(program)?.is_none() && !supposed.iter().any(|known| known.path == program) {
                supposed.push(file(program, Vec::new(), 0o755));
            }
        }
        if is_changed {
            let files = account_to_be(effect.context, &mut effect.account, joins)?;
            supposed.extend(files.map(|(path, text)| file(Path::new(path), text.into_bytes(), 0o644)));
        }
        Ok(())
    }

    fn effect<'a>(&self, context: &'a Context<'_>, policy: &'a Policy) -> Effect<'a> {
        let account = context.target.account.clone();
        Effect { context, policy, ours: self.path, account, supposed: Vec::new(), may_refuse: false }
    }

    fn text(&self) -> String {
        marked(&(self.rules.join("\n") + "\n"))
    }
}

/// The databases that have the account as it will be: as `useradd` makes it where there is none, and in these groups. Which
/// number it gets no rule can know.
fn account_to_be(
    context: &Context<'_>,
    account: &mut Option<Account>,
    joins: &[String],
) -> Result<[(&'static str, String); 2]> {
    let (name, home) = (&context.target.name, &context.target.home);
    let read = |path| Ok::<_, anyhow::Error>(context.facts.text(Path::new(path))?.trim_end().to_owned());
    let (users, groups) = (read("/etc/passwd")?, read("/etc/group")?);
    let [mut users, mut groups] =
        [&users, &groups].map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    for line in
        groups.iter_mut().filter(|line| joins.iter().any(|group| line.split(':').next() == Some(group)))
    {
        // An empty member is none.
        line.push_str(&[",", name].concat());
    }
    if account.is_none() {
        let has =
            |id: u32| users.iter().chain(&groups).any(|line| line.split(':').nth(2) == Some(&id.to_string()));
        let id = (1..1000).rev().find(|id| !has(*id)).unwrap_or(1000);
        let shell = PathBuf::from("/bin/bash");
        // Without the `x` no other file is asked for the password.
        users.push(format!("{name}:*:{id}:{id}::{}:{}", home.display(), shell.display()));
        groups.push(format!("{name}:x:{id}:"));
        let made = Account {
            name: name.clone(),
            uid: id,
            gid: id,
            home: home.clone(),
            shell,
            alias: None,
            is_hidden: false,
        };
        *account = Some(made);
    }
    Ok([("/etc/passwd", users), ("/etc/group", groups)].map(|(path, lines)| (path, lines.join("\n") + "\n")))
}

/// Say what is wrong with the policy although the rule is there, and nothing is to be written: true where it may be that
/// sudo does not read it.
fn tell_broken(checked: &Result<()>, facts: &Facts<'_>, notes: &mut Notes) -> bool {
    let Err(error) = checked else { return false };
    let (message, repair) = (format!("{error:#}"), fault::repair(error));
    // On a machine `doctor` asks visudo itself.
    let harm = if facts.is_host() { Harm::Examined } else { Harm::None };
    notes.say(match fault::find(error).map(|fault| fault.nature) {
        // Many a sudo goes on without the line: it is asked, where there is one.
        Some(Nature::Policy) => Note::new("policy-broken", message, repair, harm),
        _ => Note::new(
            "policy-unknown",
            format!("whether sudo can read its policy as it is now is not known: {message}"),
            repair,
            harm,
        ),
    });
    true
}

/// What a sudoers file says, without comments and blanks at the ends. A carriage return is not a blank: sudo
/// refuses the line that has one.
fn rules(text: &str) -> String {
    let lines = text.split('\n').map(|line| line.trim_matches([' ', '\t']));
    lines.filter(|line| !line.is_empty() && !is_comment(line)).collect::<Vec<_>>().join("\n")
}
