//! What git itself says of its settings: a value that it can't read ends it in every job, and one that makes it sign
//! needs a key.
//!
//! An identity and names of other places can't do either. Only where something else is set is git asked.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::change::Notes;
use crate::facts::rehearsal::{PushAnswer, ServerCall, addresses, complaint, pushed, pushes, script};
use crate::facts::ssh::{self, Client};
use crate::facts::{ASKING, Account, Finished};
use crate::fault::{fault, quoted};
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::git_config;
use crate::text::known_hosts::HostName;

/// What no command of a job stumbles over, whatever its value is.
const PLAIN: [&str; 6] =
    ["user.name", "user.email", "user.signingkey", "credential.", "url.", "safe.directory"];

/// A commit as a job makes it. Whether its hooks let it pass depends on what is committed: none is run.
const COMMIT: &str = "d=~/builds/runner-prep/0/group/project; { mkdir -p \"$d\" || { d=/tmp/job; mkdir $d; }; } && \
    cd \"$d\" && git -c core.hooksPath=/dev/null init -q . && for f in file pod.yaml index.html; do echo x >$f; done && \
    git add -f file pod.yaml index.html && \
    git -c core.hooksPath=/dev/null -c user.name=x -c user.email=x commit -q -m x";

/// How many settings are left out to find the one that is at fault.
const MOST_TRIED: usize = 12;

/// What git reads for every account.
pub(super) const SYSTEM: &str = "/etc/gitconfig";

/// Where nobody has a copy of root's file.
const OF_NOBODY: &str = "/tmp/.gitconfig";

/// What shows which file a setting is from. A pager is a program that the account names.
const SHOW: &str = "-H git --no-pager config --list --show-origin";

/// What makes git run programs that may refuse a commit, or lead a push elsewhere. The last one a rehearsal judges.
const PROGRAMS: [&str; 3] = ["core.hookspath", "init.templatedir", "core.sshcommand"];

/// What judges settings without a repository, and changes nothing.
const DIFF: [&str; 5] = ["diff", "--no-index", "--quiet", "/dev/null", "/dev/null"];

/// A setting that jobs come to.
#[derive(Debug)]
pub(super) struct JudgedSetting {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    /// As git compares it.
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// Nobody but root says that it is read.
    pub(super) of_root: bool,
    /// Every job comes to it.
    pub(super) is_sure: bool,
}

impl JudgedSetting {
    /// True where git takes an address of the web for one that ssh would reach: `url.HTTPS.insteadOf = git@…`. The
    /// address may hold a password, and is never shown.
    fn leads_past_ssh(&self) -> bool {
        let is_ssh = |value: &str| value.starts_with("git@") || value.starts_with("ssh://");
        leads_elsewhere(&self.name)
            && self.name.starts_with("url.http")
            && self.value.as_deref().is_some_and(is_ssh)
    }

    /// True where git takes another address for that of one of the servers.
    fn leads(&self, servers: &[HostName]) -> bool {
        let is_begin = |value| servers.iter().flat_map(addresses).any(|address| address.starts_with(value));
        leads_elsewhere(&self.name) && self.value.as_deref().is_some_and(is_begin)
    }

    /// What takes it out of a file, or gives it another value there; its name may hold a password.
    fn edit(&self, path: &Path, value: Option<&str>) -> String {
        let (path, name) = (quoted(path), quoted(&self.name));
        // git stumbles over its settings also where it is to change them.
        let git = format!("GIT_CONFIG_NOSYSTEM=1 git config --file {path}");
        match value {
            // The line stays, as a comment: others that are named with it keep their numbers.
            None if leads_elsewhere(&self.name) => format!("sed -i '{}s/^/#/' {path}", self.line),
            None => format!("{git} --unset-all {name}"),
            Some(value) => format!("{git} --replace-all {name} {value}"),
        }
    }

    /// The command that does that, with the rights of whoever says that the file is read.
    fn changed(&self, context: &Context<'_>, value: Option<&str>) -> Repair {
        let command = self.edit(&self.path, value);
        if self.of_root {
            run(command)
        } else if context.is_of_root(&self.path) {
            mend!("see which file of the account includes it: $ {}", context.as_account(SHOW))
        } else {
            run(context.as_account(&format!("env HOME=/ {command}")))
        }
    }
}

/// True for the name of a setting at which git may end.
pub(super) fn is_doubtful(name: &str) -> bool {
    !PLAIN.iter().any(|plain| *plain == name || plain.ends_with('.') && name.starts_with(plain))
}

/// True for the name of a setting by which git takes another address for one that begins with its value.
pub(super) fn leads_elsewhere(name: &str) -> bool {
    [".insteadof", ".pushinsteadof"].iter().any(|end| name.ends_with(end))
}

/// Say which variables of the service git goes by in jobs: su hands them on.
///
/// # Errors
/// When a file with settings of the service can't be read.
pub(super) fn look_at_service(context: &Context<'_>, notes: &mut Notes) -> Result<()> {
    let Some(service) = &context.target.service else { return Ok(()) };
    let unit = service.unit.display();
    for name in service.variables(context.facts)?.iter().filter(|name| git_config::goes_by(name)) {
        notes.warn(
            "git-environment",
            format!("{unit} sets {name} for jobs: what their git makes of that is not known, because only its files were looked at"),
            mend!("see where it is set, and take it out if jobs need it not: $ cat {}", quoted(&service.unit)),
        );
    }
    Ok(())
}

/// Ask git where the settings, or a file that could not be followed, leave a doubt.
///
/// # Errors
/// When git ends in every job.
pub(super) fn judge(
    context: &Context<'_>,
    settings: &[JudgedSetting],
    is_unclear: bool,
    notes: &mut Notes,
) -> Result<()> {
    for setting in settings.iter().filter(|setting| setting.is_sure && setting.leads_past_ssh()) {
        let (at, out) = place_of(context, Some(setting));
        let value = setting.value.as_deref().unwrap_or_default();
        notes.warn(
            "git-url-rewritten",
            format!("{at}git takes an address of the web for those that begin with {value}: jobs push there without the SSH key"),
            out,
        );
    }
    let account = context.target.account.as_ref().filter(|_| context.facts.is_host());
    let servers = context.options.pushed_to();
    let is_in_doubt = |setting: &JudgedSetting| is_doubtful(&setting.name) || setting.leads(&servers);
    let mut is_tried = false;
    if let Some(account) = account.filter(|_| is_unclear || settings.iter().any(is_in_doubt)) {
        let rehearsals = Rehearsals { context, account, settings, begun: Instant::now() };
        let calls = pushes(&servers);
        if let Some((said, all)) = rehearsals.rehearsed(account, "", &calls)? {
            rehearsals.accept(&said)?;
            rehearsals.tell(&calls, &all, notes);
            is_tried = true;
        } else if let Some(said) = context.facts.ask(account, "git", &DIFF, b"")? {
            rehearsals.accept(&said)?;
        }
    }
    let open = if is_tried { &PROGRAMS[..2] } else { &PROGRAMS[..] };
    let is_open = |setting: &&JudgedSetting| setting.is_sure && open.contains(&setting.name.as_str());
    for setting in settings.iter().filter(is_open) {
        let (at, out) = place_of(context, Some(setting));
        notes.warn(
            "git-hooks-unknown",
            format!("{at}by {} git runs other programs in every job; whether they let it commit and push is not known here", setting.name),
            mend!("see what it is, and unless jobs need it, take it out: ") + out,
        );
    }
    sign(context, settings, notes)
}

/// What became of a commit, and of what follows it: to which server it was said, and how it is not as it should be.
type Rehearsed<'c> = (Finished, Vec<(&'c HostName, Option<PushAnswer>)>);

/// A job's commit and pushes, with all settings and without some.
struct Rehearsals<'a> {
    context: &'a Context<'a>,
    account: &'a Account,
    settings: &'a [JudgedSetting],
    /// What is tried runs programs of the account: when they take long, no other try begins.
    begun: Instant,
}

impl<'a> Rehearsals<'a> {
    /// What becomes of a commit and these calls after some command.
    fn rehearsed<'c>(
        &self,
        account: &Account,
        before: &str,
        calls: &'c [ServerCall<'_>],
    ) -> Result<Option<Rehearsed<'c>>> {
        let facts = self.context.facts;
        let unsigned = COMMIT.replace(" commit ", " -c commit.gpgsign=false commit ");
        let (diff, calls_made) = (DIFF.join(" "), script(calls));
        let script = format!("{before}\ngit {diff} && {{ {unsigned}; }} || exit 1\n{calls_made}");
        let Some(said) = facts.rehearse(account, &script)? else { return Ok(None) };
        let texts = ssh::texts(facts, Some(account))?;
        let mut all = Vec::new();
        for (call, pushed) in pushed(facts, account, calls, &said)? {
            // What ssh refuses is told with the host keys.
            let client = Client::of(facts, Some(account), &account.home, &texts, call.host)?;
            let answer = match client {
                Client::Does(known) => pushed.answer(facts, account, &known)?,
                _ => None,
            };
            all.push((call.host, answer));
        }
        Ok(Some((said, all)))
    }

    /// The same of nobody, who goes by root's file alone. Programs and processes of the account talk as well: their word
    /// moves root to nothing.
    fn by_nobody<'c>(&self, before: &str, calls: &'c [ServerCall<'_>]) -> Option<Rehearsed<'c>> {
        let nobody = self.context.facts.nobody(self.account).ok()??;
        let own =
            format!("export HOME=/tmp GIT_CONFIG_NOSYSTEM=1; cp {SYSTEM} {OF_NOBODY} || exit 1; {before}");
        self.rehearsed(&nobody, &own, calls).ok()?
    }

    /// The last setting without which it is not `so` any more that these calls are made.
    fn at_fault(
        &self,
        calls: &[ServerCall<'_>],
        so: &dyn Fn(&Rehearsed<'_>) -> bool,
    ) -> Option<&'a JudgedSetting> {
        let without = |setting: &JudgedSetting| {
            let edit = |path| setting.edit(path, None);
            match setting.of_root {
                true if setting.path != Path::new(SYSTEM) => None,
                true => self.by_nobody(&edit(Path::new(OF_NOBODY)), calls),
                false => self
                    .rehearsed(self.account, &format!("env HOME=/ {}", edit(&setting.path)), calls)
                    .ok()?,
            }
        };
        let is_it = |setting: &&JudgedSetting| {
            self.begun.elapsed() < ASKING
                && without(setting).is_some_and(|said| !so(&said))
                && (!setting.of_root || self.by_nobody("", calls).is_some_and(|said| so(&said)))
        };
        self.settings.iter().rev().take(MOST_TRIED).find(is_it)
    }

    /// Refuse settings with which git ends.
    fn accept(&self, said: &Finished) -> Result<()> {
        if said.success() {
            return Ok(());
        }
        let why = complaint(&said.stderr);
        let setting = self.at_fault(&[], &|(then, _)| complaint(&then.stderr) == why);
        Err(ends(self.context, setting, &why))
    }

    /// Say where something does not come to its end, or to another server than the one that it is for: each cause once.
    fn tell(&self, calls: &[ServerCall<'_>], all: &[(&HostName, Option<PushAnswer>)], notes: &mut Notes) {
        let (context, user) = (self.context, &self.context.target.name);
        let mut told = Vec::new();
        for (at, (host, answer)) in all.iter().enumerate() {
            let Some(answer) = answer else { continue };
            if all[..at].iter().any(|before| *before == (*host, Some(answer.clone()))) {
                continue;
            }
            let is_so =
                |(_, then): &Rehearsed<'_>| then.iter().any(|(_, other)| other.as_ref() == Some(answer));
            let setting = self.at_fault(&calls[at..=at], &is_so);
            let cause = (setting.map(|one| &one.name), Some(answer).filter(|_| setting.is_none()));
            if told.contains(&cause) {
                continue;
            }
            told.push(cause);
            let (at, repair) = place_of(context, setting);
            let what = |why| format!("{at}what git of {user} does with git@{} {why}", host.host());
            match answer {
                PushAnswer::Fails(why) => notes.wait("git-push-refused", what(why), repair),
                // Said already.
                PushAnswer::Unclear(_) if setting.is_some_and(JudgedSetting::leads_past_ssh) => {}
                PushAnswer::Unclear(why) => notes.warn(
                    "git-push-elsewhere",
                    what(why),
                    Repair::from("unless that is meant: ") + repair,
                ),
            }
        }
    }
}

/// Where a setting stands, and what takes it out; what shows all of them where nobody knows which one it is.
fn place_of(context: &Context<'_>, setting: Option<&JudgedSetting>) -> (String, Repair) {
    match setting {
        Some(one) => (format!("{}: line {}: ", one.path.display(), one.line), one.changed(context, None)),
        None => (String::new(), mend!("see where it stands: $ {}", context.as_account(SHOW))),
    }
}

fn ends(context: &Context<'_>, setting: Option<&JudgedSetting>, why: &str) -> anyhow::Error {
    let (at, repair) = place_of(context, setting);
    fault("git-config-refused", format!("{at}git ends with this in every job: {why}"), repair)
}

/// Where commits are to be signed there has to be a key.
fn sign(context: &Context<'_>, settings: &[JudgedSetting], notes: &mut Notes) -> Result<()> {
    let last = |name: &str| settings.iter().rev().find(|setting| setting.is_sure && setting.name == name);
    let Some(setting) = last("commit.gpgsign") else { return Ok(()) };
    let value = setting.value.as_deref().unwrap_or("true").to_lowercase();
    if ["false", "no", "off", "0", ""].contains(&value.as_str()) {
        return Ok(());
    }
    if !["true", "yes", "on"].contains(&value.as_str()) && value.parse::<i64>().is_err() {
        let why = format!("{} is {value:?}, and not true or false", setting.name);
        return Err(ends(context, Some(setting), &why));
    }
    let (path, line) = (setting.path.display(), setting.line);
    let repair = setting.changed(context, Some("false"));
    let is_usual = last("gpg.program").is_none() && last("gpg.openpgp.program").is_none();
    let format = last("gpg.format").and_then(|format| format.value.as_deref());
    let is_usual = is_usual && format.is_none_or(|format| format == "openpgp");
    let account = context.target.account.as_ref().filter(|_| context.facts.is_host());
    let tried = account.map(|account| context.facts.rehearse(account, COMMIT)).transpose()?.flatten();
    if tried.as_ref().is_some_and(Finished::success) {
        return Ok(());
    }
    // What gpg does depends on its agent, too.
    let cannot = format == Some("ssh") && tried.is_some();
    if cannot || is_usual && !has_key(context)? {
        let said = tried.map(|said| format!(" ({})", said.complaint())).unwrap_or_default();
        notes.wait(
            "git-signs",
            format!("{path}: line {line}: git is to sign commits, and {} has no key for that: it refuses to commit{said}", context.target.name),
            repair,
        );
    } else {
        notes.warn(
            "git-signs-unknown",
            format!("{path}: line {line}: git is to sign commits; whether it can do that in a job is not known, because only a signature would tell"),
            repair,
        );
    }
    Ok(())
}

/// Whether gpg could have a key of the account's.
fn has_key(context: &Context<'_>) -> Result<bool> {
    let Some(account) = &context.target.account else { return Ok(false) };
    if context.facts.is_host() && context.facts.tool("gpg").is_none() {
        return Ok(false);
    }
    let old = context.home_file(".gnupg/secring.gpg")?;
    let new = context.facts.home_names(account, Path::new(".gnupg/private-keys-v1.d"))?;
    Ok(old.is_some() || new.iter().any(|name| Path::new(name).extension() == Some("key".as_ref())))
}
