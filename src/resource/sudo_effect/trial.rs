//! A rule tried out: the command is called as a job calls it, where there is a call that does nothing. That is the one
//! answer in which all has a say: rules, settings, PAM and the file system.

use std::path::Path;

use anyhow::Result;

use super::{Allowed, Effect, wants_terminal};
use crate::change::{Harm, Note, Notes};
use crate::facts::machine::Finished;
use crate::fault::quoted;
use crate::policy::EFFECT;
use crate::repair::{Repair, run};
use crate::resource::sudo_policy::{PolicyLine, places};
use crate::text::sudo_list::{ListedCommand, ShownBy, SudoVerdict, entries, is_pattern, limit, words};

/// What README's job hands to rsync, and a word with which it does nothing.
const JOB: [&str; 7] =
    ["-avu", "--exclude", ".git", "--chown=root:root", "--version", "/builds/project/", "/srv/app"];

impl Effect<'_> {
    /// Whether sudo lists all of it as free of a password.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(in crate::resource) fn is_free(&self, allowed: &[Allowed]) -> Result<bool> {
        let said = self.ask(None, &["-n", "-ll", "-U", &self.context.target.name])?;
        let rules = said.filter(Finished::success).map(|said| entries(&said.stdout)).unwrap_or_default();
        Ok(allowed.iter().all(|one| matches!(self.verdict(one, &rules), SudoVerdict::Free(_))))
    }

    /// What comes of a call of the command that does nothing, as a job makes it; `None` where there is no such call, or
    /// where sudo has no rule of the account to go by and would tell root of an offence.
    pub(super) fn try_out(&self, allowed: &Allowed, has_rules: bool) -> Result<Option<Finished>> {
        let [program] = &allowed.command[..] else { return Ok(None) };
        if !has_rules || Path::new(program).file_name() != Some("rsync".as_ref()) {
            return Ok(None);
        }
        self.call(allowed, short(program), &["--version"])
    }

    fn call(&self, allowed: &Allowed, name: &str, arguments: &[&str]) -> Result<Option<Finished>> {
        let run_as = allowed.run_as.as_deref().map(|run_as| ["-u", run_as]);
        let words = ["-n"].into_iter().chain(run_as.into_iter().flatten()).chain([name]);
        self.ask(self.account.as_ref(), &words.chain(arguments.iter().copied()).collect::<Vec<_>>())
    }

    /// A trial that went well, or what it ended with and why.
    pub(super) fn tell_trial(
        &self,
        allowed: &Allowed,
        said: &Finished,
        rules: &[ListedCommand],
        listing: &str,
        notes: &mut Notes,
    ) -> Result<()> {
        let name = &self.context.target.name;
        let run_as = allowed.run_as.as_deref().unwrap_or("root");
        let shown = allowed.command.first().map_or("", String::as_str);
        let short = short(shown);
        let verdict = self.verdict(allowed, rules);
        if said.success() {
            let words = self.question(allowed, |question| words(listing, question));
            // Without a word on whom, a job becomes another one than its rule is about.
            let other = words.iter().filter_map(|word| word.strip_prefix("runas_default=")).next_back();
            if let Some(other) = other.filter(|other| allowed.run_as.is_none() && *other != "root") {
                if self.context.facts.account(other)?.is_some() {
                    let spots = self.doubts(|spot| spot.line.text.contains("runas_default"));
                    let what = format!(
                        "`sudo {short}` of {name} runs as {other} and not as root: {} says runas_default={other}",
                        places(&spots)
                    );
                    notes.wait("rule-without-effect", what, take_out(&spots));
                    return Ok(());
                }
            }
            let unshown = match verdict {
                SudoVerdict::Partly(entry) => {
                    self.tell_partly(allowed, entry, notes)?;
                    return Ok(());
                }
                SudoVerdict::Free(entry) | SudoVerdict::Asks(entry) | SudoVerdict::Unclear(entry)
                    if entry.shown_by == ShownBy::WholeCall =>
                {
                    Some(entry)
                }
                _ => self.by_itself(allowed, rules),
            };
            if unshown.is_some() {
                self.tell_untried(shown, &self.spots(unshown), notes);
                return Ok(());
            }
            if let Some(limit) = limit(words) {
                let name = limit.split('=').next().unwrap_or(limit);
                self.tell_untried(shown, &self.doubts(|spot| spot.line.text.contains(name)), notes);
                return Ok(());
            }
            let message = format!(
                "{name} runs {shown} as {run_as} without a password (tried: sudo -n {short} --version)"
            );
            notes.right(EFFECT, message);
            return Ok(());
        }
        match verdict {
            // The arguments of this call are among those that the rule decides about.
            SudoVerdict::Partly(entry)
                if entry.free || !entry.words().1.is_some_and(|text| is_pattern(&text)) =>
            {
                self.tell_partly(allowed, entry, notes)?;
                return Ok(());
            }
            SudoVerdict::Denied(entry) | SudoVerdict::Partly(entry) if entry.command.starts_with('!') => {
                self.tell_denied(shown, Some(entry), notes);
                return Ok(());
            }
            // What settings for some commands make of a rule is known then.
            SudoVerdict::Free(entry)
            | SudoVerdict::Asks(entry)
            | SudoVerdict::Unclear(entry)
            | SudoVerdict::Partly(entry)
                if said.stderr.contains(" is required") && !(entry.free && entry.own_word) =>
            {
                self.tell_password(shown, entry, notes);
                return Ok(());
            }
            _ => {}
        }
        let known = notes.pending.len();
        // By its rules it is free: then it is where sudo looks for it, or something else.
        let is_free = matches!(verdict, SudoVerdict::Free(_));
        if !is_free || !self.doubts(PolicyLine::is_about_paths).is_empty() {
            self.judge(allowed, rules, listing, notes)?;
        }
        if notes.pending.len() == known {
            // By its rules it is allowed, and something else keeps it from running.
            notes.right.retain(|(kind, what)| *kind != EFFECT || !what.contains(shown));
            let later = self.spots(None);
            let doubts = self.doubts(|_| true);
            let repair = if !later.is_empty() {
                self.repair(&later)
            } else if !doubts.is_empty() {
                take_out(&doubts)
            } else {
                mend!("see what a job sees: $ su -s /bin/sh {} -c 'sudo -n {} --version'", name, short)
            };
            let spots: Vec<&PolicyLine> = doubts.into_iter().chain(later).collect();
            let place = if spots.is_empty() { String::new() } else { format!("; see {}", places(&spots)) };
            let what = format!("`sudo {short}` of {name} does not run {shown}: {}{place}", said.complaint());
            notes.wait("rule-without-effect", what, repair);
        }
        Ok(())
    }

    /// The rule by which a job that does not say whom it becomes may become nobody else.
    pub(super) fn by_itself<'r>(
        &self,
        allowed: &Allowed,
        rules: &'r [ListedCommand],
    ) -> Option<&'r ListedCommand> {
        let name = &self.context.target.name;
        let itself = Allowed { run_as: Some(name.clone()), ..allowed.clone() };
        let is_it = |rule: &&ListedCommand| {
            rule.run_as == [name.as_str()]
                && !rule.with_groups
                && self.verdict(&itself, std::slice::from_ref(rule)) != SudoVerdict::Unknown
        };
        rules.iter().rfind(is_it).filter(|_| allowed.run_as.is_none())
    }

    pub(super) fn tell_partly(
        &self,
        allowed: &Allowed,
        entry: &ListedCommand,
        notes: &mut Notes,
    ) -> Result<()> {
        let shown = allowed.command.join(" ");
        if let [program] = &allowed.command[..] {
            let name = short(program);
            let said = if name == "rsync" { self.call(allowed, name, &JOB)? } else { None };
            if let Some(said) = said.filter(|said| !said.success() && !wants_terminal(said)) {
                let shown = format!("{shown} {}", JOB.join(" "));
                if said.stderr.contains(" is required") {
                    self.tell_password(&shown, entry, notes);
                } else {
                    self.tell_denied(&shown, Some(entry), notes);
                }
                return Ok(());
            }
        }
        let spots = self.spots(Some(entry));
        let what = format!(
            "{} comes after {} and decides where {shown} has the arguments of `{}`",
            places(&spots),
            self.ours,
            entry.command
        );
        notes.warn("sudo-some-arguments", what, self.repair(&spots));
        Ok(())
    }

    /// Of a command that is not tried, or not to its end: these lines could keep it from what it is for.
    pub(super) fn tell_untried(&self, shown: &str, spots: &[&PolicyLine], notes: &mut Notes) {
        let Some(PolicyLine { file, line, .. }) = spots.first() else { return };
        let is_setting = line.text.starts_with("Defaults");
        notes.say(Note::new(
            "sudo-effect-unknown",
            format!(
                "whether {shown} does for {} what it is for is not known, because only a whole call would tell: {}:{} says {}",
                self.context.target.name,
                file.display(),
                line.first,
                line.text
            ),
            if is_setting { take_out(&spots[..1]) } else { self.repair(spots) },
            Harm::Unknown,
        ));
    }

    /// The settings that leave a doubt of some kind.
    pub(super) fn doubts(&self, is_meant: impl Fn(&PolicyLine) -> bool) -> Vec<&PolicyLine> {
        self.policy.doubts.iter().filter(|spot| is_meant(spot)).collect()
    }
}

fn take_out(spots: &[&PolicyLine]) -> Repair {
    let edit = |PolicyLine { file, line, .. }: &&PolicyLine| {
        run(format!("sed -i '{},{}s/^/#/' {}", line.first, line.last, quoted(file)))
    };
    Repair::from("if that setting is not meant for jobs, take it out: ")
        + Repair::all(spots.iter().map(edit).chain([run("visudo -c")]))
}

/// A program as jobs call it.
fn short(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}
