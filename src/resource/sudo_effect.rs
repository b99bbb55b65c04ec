//! Whether a rule of ours does what it is for. A rule that is read later, a terminal that is demanded or another
//! name of the account can take the effect away; then a person has to decide.
//!
//! sudo is asked only where its files leave a doubt, and with the account's rights: so it sees what it sees in a job.

mod order;
mod trial;

use std::path::Path;

use anyhow::Result;

use super::context::Context;
use super::sudo_policy::{Policy, PolicyLine, places};
use crate::change::{Harm, Note, Notes};
use crate::facts::before_rules::barred;
use crate::facts::machine::Finished;
use crate::facts::service::Service;
use crate::facts::{Account, Supposed};
use crate::fault::quoted;
use crate::policy::EFFECT;
use crate::repair::{Repair, run};
use crate::text::sudo_list::{
    ListedCommand, Question, ShownBy, SudoVerdict, entries, settings, special_words, verdict,
};

/// What sudo says of an account that PAM does not let in. No rule changes that.
const BY_PAM: [&str; 5] = [
    "unable to initialize PAM",
    "account validation failure",
    "PAM account management error",
    "Account or password is expired",
    "Account expired or PAM config",
];

fn wants_terminal(said: &Finished) -> bool {
    said.stderr.contains("must have a tty")
}

/// A command that the account may run through sudo without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    /// As whom; `None` for root.
    pub(super) run_as: Option<String>,
    /// Program and arguments.
    pub(super) command: Vec<String>,
}

/// The rules of one of our files, to be held against what sudo makes of them.
pub(super) struct Effect<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) policy: &'a Policy,
    /// The file.
    pub(super) ours: &'static str,
    /// The account, where it is there or made together with the file.
    pub(super) account: Option<Account>,
    /// The file and what belongs to it, as they will be; nothing where they are so already.
    pub(super) supposed: Vec<Supposed>,
    /// sudo may not let the account in, whatever they say.
    pub(super) may_refuse: bool,
}

impl Effect<'_> {
    /// Say what sudo makes of them; `in_doubt` says that it may not read its files at all.
    pub(super) fn look(&self, allowed: &[Allowed], in_doubt: bool, notes: &mut Notes) -> Result<()> {
        let Self { context, policy, .. } = self;
        if self.has_other_name(notes) || self.is_kept_from_root(notes) {
            return Ok(());
        }
        let (Some(account), true) = (&self.account, context.facts.is_host()) else {
            self.read_files(notes);
            return Ok(());
        };
        let is_asked = context.options.ask_sudo && self.supposed.is_empty();
        let doubt = in_doubt
            || self.may_refuse
            || !policy.later.is_empty()
            || policy.needs_terminal
            || !policy.doubts.is_empty();
        if !doubt && !is_asked && !self.has_other_sources()? {
            return Ok(());
        }
        let Some(said) = self.ask(Some(account), &["-n", "-ll"])? else {
            self.read_files(notes);
            return Ok(());
        };
        let complaint = said.complaint();
        let by_pam = BY_PAM.iter().any(|words| complaint.contains(words));
        // A terminal for the list is none for each command.
        let list = said.success() || wants_terminal(&said);
        let mut listing = list.then_some(said.stdout.clone());
        if listing.is_none() && !by_pam {
            // A password for the list is none for the command.
            let by_root = self.ask(None, &["-n", "-ll", "-U", &account.name])?;
            listing = by_root.filter(Finished::success).map(|said| said.stdout);
        }
        let Some(listing) = listing else {
            let name = &account.name;
            if by_pam {
                notes.wait(
                    "sudo-account-refused",
                    format!("sudo refuses {name} before it looks at a rule: {complaint}"),
                    match barred(context.facts, name)?.pop() {
                        Some((_, _, repair)) => repair,
                        None => mend!("correct /etc/pam.d/sudo; see what a job sees: $ su -s /bin/sh {} -c 'sudo -n -ll'", name),
                    },
                );
                return Ok(());
            }
            notes.doubt(
                "sudo-effect-unknown",
                format!(
                    "whether sudo lets {name} run its commands is unknown, because sudo says: {complaint}"
                ),
                mend!("see what it says in a job: $ su -s /bin/sh {} -c 'sudo -n -ll'; $ visudo -c", name),
            );
            return Ok(());
        };
        let rules = entries(&listing);
        for one in allowed {
            match self.try_out(one, !rules.is_empty() || listing.is_empty())? {
                Some(said) if wants_terminal(&said) => self.demand_terminal(notes),
                Some(said) => self.tell_trial(one, &said, &rules, &listing, notes)?,
                None => self.judge(one, &rules, &listing, notes)?,
            }
        }
        Ok(())
    }

    fn ask(&self, account: Option<&Account>, words: &[&str]) -> Result<Option<Finished>> {
        self.context.facts.sudo(account, words, &self.supposed)
    }

    /// sudo takes the first name that the password database has for a number.
    fn has_other_name(&self, notes: &mut Notes) -> bool {
        let Some(account) = &self.account else { return false };
        let (Some(other), uid) = (&account.alias, account.uid) else { return false };
        notes.wait(
            "sudo-other-name",
            format!(
                "the rule for {} has no effect: {other} has the same uid {uid} and comes first in /etc/passwd, and sudo takes the first name",
                account.name
            ),
            mend!("if both are meant to be one account, put {0} behind it: $ sed -i -e '/^{0}:/{h;d}' -e '$G' /etc/passwd", other),
        );
        true
    }

    /// Where what jobs are started by can't become root, no rule helps.
    fn is_kept_from_root(&self, notes: &mut Notes) -> bool {
        let service = self.context.target.service.as_ref().filter(|service| service.keeps_from_root());
        if let Some(service) = service {
            let what = format!(
                "{} or a drop-in of it sets NoNewPrivileges: nothing that its jobs start becomes root, and sudo \
                 refuses them",
                service.unit.display()
            );
            notes.wait("sudo-no-new-privileges", what, Service::without("NoNewPrivileges"));
        }
        service.is_some()
    }

    /// Rules can come from a directory server, too.
    fn has_other_sources(&self) -> Result<bool> {
        let sources = self.context.facts.name_services("sudoers")?;
        Ok(sources.iter().any(|sources| sources != "files"))
    }

    /// What the files show where sudo can't be asked: those of a tree, or where the kernel lets no program see rules that
    /// are not there yet.
    fn read_files(&self, notes: &mut Notes) {
        if self.policy.needs_terminal {
            self.demand_terminal(notes);
        }
        let spots: Vec<&PolicyLine> = self.policy.later.iter().chain(&self.policy.doubts).collect();
        if spots.is_empty() {
            return;
        }
        let repair = self.repair(&self.spots(None));
        let what = format!("whether jobs can use {} is unknown, because only sudo", self.ours);
        let places = places(&spots);
        if self.context.facts.is_host() {
            let what = format!("{what} can judge {places}, and here not before that file is there");
            notes.doubt("sudo-effect-unknown", what, repair);
        } else {
            notes.warn("sudo-later-rule", format!("{what} on the running host can judge {places}"), repair);
        }
    }

    fn demand_terminal(&self, notes: &mut Notes) {
        let spots: Vec<&PolicyLine> = self.policy.terminal.iter().collect();
        // The word alone, where it is in no text; else a line behind it, with the same word on whom.
        let edit = |spot: &&PolicyLine| {
            let PolicyLine { file, line, .. } = spot;
            let file = quoted(file);
            let scope = line.text.split_whitespace().next().unwrap_or("Defaults");
            if line.text.contains(['"', '\\']) {
                return run(format!("sed -i '{}a {scope} !requiretty' {file}", line.last));
            }
            let word = r"s/(^|[ \t,])(!!)*requiretty([ \t,]|$)/\1!requiretty\3/";
            run(format!("sed -i -E '{},{}{word}' {file}", line.first, line.last))
        };
        notes.wait(
            "sudo-requiretty",
            format!("{} says `Defaults requiretty`: jobs have no terminal", places(&spots)),
            Repair::from("switch it off: ") + Repair::all(spots.iter().map(edit).chain([run("visudo -c")])),
        );
    }

    fn question<R>(&self, allowed: &Allowed, ask: impl FnOnce(&Question<'_>) -> R) -> R {
        let same = |one: &str, other: &str| self.is_same(one, other);
        let (program, arguments) = allowed
            .command
            .split_first()
            .map_or(("", String::new()), |(one, rest)| (one.as_str(), rest.join(" ")));
        let run_as = allowed.run_as.as_deref().unwrap_or("root");
        let arguments = Some(arguments.as_str()).filter(|arguments| !arguments.is_empty());
        ask(&Question { run_as, program, arguments, same: &same })
    }

    fn verdict<'r>(&self, allowed: &Allowed, rules: &'r [ListedCommand]) -> SudoVerdict<'r> {
        self.question(allowed, |question| verdict(rules, question))
    }

    fn judge(
        &self,
        allowed: &Allowed,
        rules: &[ListedCommand],
        listing: &str,
        notes: &mut Notes,
    ) -> Result<()> {
        let Allowed { run_as, command } = allowed;
        let name = &self.context.target.name;
        let shown = command.join(" ");
        let run_as = run_as.as_deref().unwrap_or("root");
        // For a command, or for whoever is become.
        let special = self.question(allowed, |question| special_words(listing, question));
        if special.iter().rfind(|word| word.ends_with("requiretty")) == Some(&"requiretty") {
            self.demand_terminal(notes);
            return Ok(());
        }
        let by_setting = special.iter().any(|word| word.ends_with("authenticate"));
        let is_unclear =
            |entry: &ListedCommand| entry.shown_by > ShownBy::Text || by_setting && !entry.own_word;
        let mut verdict = match self.verdict(allowed, rules) {
            SudoVerdict::Free(entry) | SudoVerdict::Asks(entry) if is_unclear(entry) => {
                SudoVerdict::Unclear(entry)
            }
            verdict => verdict,
        };
        let decided;
        if matches!(verdict, SudoVerdict::Unclear(_)) || listing.is_empty() {
            let words: Vec<&str> =
                ["-n", "-ll", "-u", run_as].into_iter().chain(command.iter().map(String::as_str)).collect();
            let said = self.ask(self.account.as_ref(), &words)?.filter(|said| !wants_terminal(said));
            let Some(said) = said else {
                // What a setting for the command says of a terminal only a call tells.
                match self.doubts(|spot| spot.line.text.contains("!requiretty"))[..] {
                    [] => self.demand_terminal(notes),
                    ref spots => self.tell_untried(&shown, spots, notes),
                }
                return Ok(());
            };
            // Newer versions of sudo name the rule that decides.
            decided = entries(&[settings(listing), &said.stdout].concat()).pop();
            verdict = match &decided {
                _ if !said.success() => SudoVerdict::Unknown,
                Some(entry) if is_unclear(entry) => SudoVerdict::Unclear(entry),
                Some(entry) if entry.free => SudoVerdict::Free(entry),
                Some(entry) => SudoVerdict::Asks(entry),
                None if listing.is_empty() => {
                    self.tell_untried(&shown, &self.policy.terminal.iter().collect::<Vec<_>>(), notes);
                    return Ok(());
                }
                None => verdict,
            };
        }
        match verdict {
            SudoVerdict::Asks(_) if self.is_exempt(listing)? => return self.find(run_as, command, notes),
            SudoVerdict::Free(_) => {
                let mut spots = self.doubts(|spot| !spot.is_about_paths());
                if let Some(entry) = self.by_itself(allowed, rules) {
                    spots.extend(self.spots(Some(entry)));
                }
                self.tell_untried(&shown, &spots, notes);
                if self.may_refuse && spots.is_empty() {
                    let what = format!(
                        "whether sudo runs {shown} for {name} is not known, because only a whole call would tell what \
                         /etc/sudo.conf and PAM make of it"
                    );
                    let repair =
                        mend!("see what a job sees: $ su -s /bin/sh {} -c 'sudo -n {}'", name, shown);
                    notes.say(Note::new("sudo-effect-unknown", what, repair, Harm::Unknown));
                }
                return self.find(run_as, command, notes);
            }
            SudoVerdict::Partly(entry) => self.tell_partly(allowed, entry, notes)?,
            SudoVerdict::Asks(entry) => self.tell_password(&shown, entry, notes),
            SudoVerdict::Denied(entry) => self.tell_denied(&shown, Some(entry), notes),
            SudoVerdict::Unknown => self.tell_denied(&shown, None, notes),
            SudoVerdict::Unclear(entry) => {
                let what = format!(
                    "whether sudo lets {name} run {shown} is unknown, because only sudo itself can judge `{}`",
                    entry.command
                );
                let (what, repair) = self.told(&what, Some(entry));
                notes.doubt("sudo-effect-unknown", what, repair);
            }
        }
        Ok(())
    }

    fn tell_password(&self, shown: &str, entry: &ListedCommand, notes: &mut Notes) {
        let what = format!("sudo asks {} for a password before it runs {shown}", self.context.target.name);
        let (what, repair) = self.told(&what, Some(entry));
        notes.wait("sudo-password-asked", what, repair);
    }

    fn tell_denied(&self, shown: &str, entry: Option<&ListedCommand>, notes: &mut Notes) {
        let what = format!("sudo does not allow {} to run {shown}", self.context.target.name);
        let (what, repair) = self.told(&what, entry);
        notes.wait("rule-without-effect", what, repair);
    }

    /// What it comes to, with the place and the repair.
    fn told(&self, what: &str, entry: Option<&ListedCommand>) -> (String, Repair) {
        let spots = self.spots(entry);
        if spots.is_empty() && entry.is_none() {
            let name = &self.context.target.name;
            return (
                format!("{what}: it does not go by {}", self.ours),
                mend!("see which files it reads: $ cat /etc/sudo.conf; $ sudo -n -ll -U {}", name),
            );
        }
        let what = format!("{what}: {} comes after {}, and the last one counts", places(&spots), self.ours);
        (what, self.repair(&spots))
    }

    /// sudo asks the members of one group for no password.
    fn is_exempt(&self, listing: &str) -> Result<bool> {
        let mut words = settings(listing).split([',', '\n']).map(str::trim);
        let Some(group) = words.rfind(|word| word.contains("exempt_group")) else { return Ok(false) };
        let Some(group) = group.strip_prefix("exempt_group=") else { return Ok(false) };
        self.context.target.is_in(self.context.facts, group)
    }

    /// The rule is there; whether sudo finds the program by its name is another matter where that was not to be read.
    fn find(&self, run_as: &str, command: &[String], notes: &mut Notes) -> Result<()> {
        let name = &self.context.target.name;
        let Some((program, arguments)) = command.split_first() else { return Ok(()) };
        let fine =
            format!("{name} runs {} as {run_as} without a password (asked: sudo -n -ll)", command.join(" "));
        let by_setting = self.doubts(PolicyLine::is_about_paths);
        let Some(spot) = by_setting.last() else {
            notes.right(EFFECT, fine);
            return Ok(());
        };
        let short = program.rsplit('/').next().unwrap_or(program);
        let words: Vec<&str> = ["-n", "-l", "-u", run_as, short]
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        let Some(said) = self.ask(self.account.as_ref(), &words)? else { return Ok(()) };
        let found = said.stdout.split_whitespace().next().unwrap_or_default();
        if said.success() && self.is_same(found, program) {
            notes.right(EFFECT, fine);
        } else {
            let what = format!(
                "`sudo {short}` does not find {program} for {name}: sudo says {}; see {}",
                said.complaint(),
                places(&[*spot])
            );
            let repair = mend!(
                "jobs can call it by its path: sudo {}; or see that line's secure_path: $ sed -n {}p {}",
                program,
                spot.line.first,
                quoted(&spot.file)
            );
            notes.wait("command-not-in-secure-path", what, repair);
        }
        Ok(())
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        let identity =
            |path: &str| self.context.facts.stat(Path::new(path)).ok().flatten().map(|seen| seen.identity);
        one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
    }
}
