//! A rule tried out: the command is called as a job calls it, where there is a call that does nothing. That is the one
//! answer in which all has a say: rules, settings, PAM and the file system.

use std::path::Path;

use anyhow::Result;

use super::{Allowed, Effect};
use crate::change::Notes;
use crate::facts::machine::Finished;
use crate::fault::quoted;
use crate::policy::EFFECT;
use crate::resource::sudo_policy::{PolicyLine, places};
use crate::text::sudo_list::{ListedCommand, SudoVerdict, entries, settings};

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
    /// where sudo knows no rule of the account and would tell root of an offence.
    pub(super) fn try_out(&self, allowed: &Allowed, rules: &[ListedCommand]) -> Result<Option<Finished>> {
        let [program] = &allowed.command[..] else { return Ok(None) };
        if rules.is_empty() || Path::new(program).file_name() != Some("rsync".as_ref()) {
            return Ok(None);
        }
        let name = short(program);
        let run_as = allowed.run_as.as_deref().map(|run_as| ["-u", run_as]);
        let words: Vec<&str> =
            ["-n"].into_iter().chain(run_as.into_iter().flatten()).chain([name, "--version"]).collect();
        self.ask(self.account.as_ref(), &words)
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
        if said.success() {
            // Without a word on whom, a job becomes another one than its rule is about.
            let other = settings(listing).split([',', '\n']).map(str::trim);
            let other = other.filter_map(|word| word.strip_prefix("runas_default=")).next_back();
            if let Some(other) = other.filter(|other| allowed.run_as.is_none() && *other != "root") {
                let spots: Vec<&PolicyLine> = self.policy.doubt.iter().collect();
                notes.wait(
                    "rule-without-effect",
                    format!("`sudo {short}` of {name} runs as {other} and not as root: {} says runas_default={other}", places(&spots)),
                    "take runas_default out of that line with visudo; or let jobs say it: sudo -u root",
                );
                return Ok(());
            }
            if let SudoVerdict::Partly(entry) = self.verdict(allowed, rules) {
                self.tell_partly(shown, entry, notes);
            }
            notes.right(
                EFFECT,
                format!(
                    "{name} runs {shown} as {run_as} without a password (tried: sudo -n {short} --version)"
                ),
            );
            return Ok(());
        }
        if let SudoVerdict::Partly(entry) = self.verdict(allowed, rules) {
            // The arguments of this call are among those that the rule decides about.
            if entry.command.starts_with('!') {
                self.tell_denied(shown, Some(entry), notes);
            } else {
                self.tell_password(shown, entry, notes);
            }
            return Ok(());
        }
        // What settings for some commands make of a rule is known then.
        if said.stderr.contains(" is required") {
            if let SudoVerdict::Asks(entry) | SudoVerdict::Free(entry) = self.verdict(allowed, rules) {
                if !(entry.free && entry.own_word) {
                    self.tell_password(shown, entry, notes);
                    return Ok(());
                }
            }
        }
        let known = notes.pending.len();
        // By its rules it is free: then it is where sudo looks for it, or something else.
        let is_free = matches!(self.verdict(allowed, rules), SudoVerdict::Free(_));
        if !is_free || self.policy.doubt.as_ref().is_some_and(is_about_paths) {
            self.judge(allowed, rules, listing, notes)?;
        }
        if notes.pending.len() == known {
            // By its rules it is allowed, and something else keeps it from running.
            notes.right.retain(|(kind, what)| *kind != EFFECT || !what.contains(shown));
            let later: Vec<&PolicyLine> = self.policy.later.iter().collect();
            let repair = match &self.policy.doubt {
                _ if !later.is_empty() => self.repair(&later),
                Some(PolicyLine { file, line, .. }) => mend!(
                    "if that setting is not meant for jobs, take it out: $ sed -i '{},{}s/^/#/' {}; $ visudo -c",
                    line.first,
                    line.last,
                    quoted(file)
                ),
                None => {
                    mend!("see what a job sees: $ su -s /bin/sh {} -c 'sudo -n {} --version'", name, short)
                }
            };
            let spots: Vec<&PolicyLine> = self.policy.doubt.iter().chain(later).collect();
            let place = if spots.is_empty() { String::new() } else { format!("; see {}", places(&spots)) };
            let what = format!("`sudo {short}` of {name} does not run {shown}: {}{place}", said.complaint());
            notes.wait("rule-without-effect", what, repair);
        }
        Ok(())
    }

    pub(super) fn tell_partly(&self, shown: &str, entry: &ListedCommand, notes: &mut Notes) {
        let spots = self.spots(Some(entry));
        notes.warn(
            "sudo-some-arguments",
            format!(
                "{} comes after {} and decides where {shown} has the arguments of `{}`",
                places(&spots),
                self.ours,
                entry.command
            ),
            self.repair(&spots),
        );
    }

    /// Of a command that is not tried: a setting could keep it from running, whatever its rules say.
    pub(super) fn tell_untried(&self, shown: &str, notes: &mut Notes) {
        let Some(spot) = self.policy.doubt.as_ref().filter(|spot| !is_about_paths(spot)) else { return };
        let (name, text) = (&self.context.target.name, &spot.line.text);
        notes.warn(
            "sudo-effect-unknown",
            format!(
                "whether {shown} runs for {name} is not known, because only a call would tell: {} says {text}",
                places(&[spot])
            ),
            mend!("see that line: $ sed -n {}p {}", spot.line.first, quoted(&spot.file)),
        );
    }
}

/// A program as jobs call it.
fn short(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether a setting is about where programs are looked for: what it comes to is asked.
fn is_about_paths(spot: &PolicyLine) -> bool {
    ["secure_path", "exempt_group"].iter().any(|word| spot.line.text.contains(word))
}
