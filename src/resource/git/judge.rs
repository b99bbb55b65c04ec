//! What git itself says of its settings: a value that it can't read ends it in every job, and one that makes it sign
//! needs a key.
//!
//! An identity and names of other places can't do either. Only where something else is set is git asked.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::Notes;
use crate::facts::Finished;
use crate::facts::rehearsal::{Pushed, addresses, pushed, pushes};
use crate::fault::{fault, quoted};
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::git_config;
use crate::text::known_hosts::HostName;

/// What no command of a job stumbles over, whatever its value is.
const PLAIN: [&str; 6] =
    ["user.name", "user.email", "user.signingkey", "credential.", "url.", "safe.directory"];

/// A commit as a job makes it. Whether its hooks let it pass depends on what is committed: none is run.
const COMMIT: &str = "cd /tmp && git -c core.hooksPath=/dev/null init -q job && cd job && \
    git -c core.hooksPath=/dev/null -c user.name=x -c user.email=x commit -q --allow-empty -m x";

/// What shows which file a setting is from. A pager is a program that the account names.
const SHOW: &str = "-H git --no-pager config --list --show-origin";

/// What makes git run programs that may refuse a commit, or lead a push elsewhere.
const HOOKS: [&str; 2] = ["core.hookspath", "init.templatedir"];

/// What git calls in place of ssh.
const SSH_COMMAND: &str = "core.sshcommand";

/// A complaint of git's is shorter.
const MOST_COMPLAINT: usize = 4096;

/// What judges settings without a repository, and changes nothing: all commands go by what the first reads, those that
/// compare go by what the second does.
const JUDGES: [&[&str]; 2] = [
    &["-c", "user.name=x", "-c", "user.email=x", "var", "GIT_COMMITTER_IDENT"],
    &["diff", "--no-index", "--quiet", "/dev/null", "/dev/null"],
];

/// A setting that every job comes to.
#[derive(Debug)]
pub(super) struct JudgedSetting {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    /// As git compares it.
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// Nobody but root says that it is read.
    pub(super) of_root: bool,
}

impl JudgedSetting {
    /// True where git may end at it.
    pub(super) fn is_doubtful(&self) -> bool {
        !PLAIN.iter().any(|plain| self.name == *plain || plain.ends_with('.') && self.name.starts_with(plain))
    }

    /// True where git takes an address of the web for one that ssh would reach: `url.HTTPS.insteadOf = git@…`. The
    /// address may hold a password, and is never shown.
    fn leads_past_ssh(&self) -> bool {
        let is_ssh = |value: &str| value.starts_with("git@") || value.starts_with("ssh://");
        self.leads_elsewhere()
            && self.name.starts_with("url.http")
            && self.value.as_deref().is_some_and(is_ssh)
    }

    /// True where git takes another address for one that begins so.
    pub(super) fn leads_elsewhere(&self) -> bool {
        [".insteadof", ".pushinsteadof"].iter().any(|end| self.name.ends_with(end))
    }

    /// True where git takes another address for that of a server.
    fn leads(&self, host: &HostName) -> bool {
        let is_begin = |value| addresses(host).iter().any(|address| address.starts_with(value));
        self.leads_elsewhere() && self.value.as_deref().is_some_and(is_begin)
    }

    /// The command that takes its line away, whose name may hold a password.
    fn gone(&self, context: &Context<'_>) -> Repair {
        if self.of_root || !context.is_of_root(&self.path) {
            run(context.command_at(&format!("sed -i {}d", self.line), &self.path))
        } else {
            mend!("see which file of the account includes it: $ {}", context.as_account(SHOW))
        }
    }

    /// The command that takes it away, or gives it another value.
    fn changed(&self, context: &Context<'_>, value: Option<&str>) -> Repair {
        let name = quoted(&self.name);
        let what = value
            .map_or_else(|| format!("--unset-all {name}"), |value| format!("--replace-all {name} {value}"));
        // git stumbles over its settings also where it is to change them.
        let command = format!("GIT_CONFIG_NOSYSTEM=1 git config --file {} {what}", quoted(&self.path));
        run(if self.of_root { command } else { context.as_account(&format!("env HOME=/ {command}")) })
    }
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
    for setting in settings.iter().filter(|setting| setting.leads_past_ssh()) {
        let (path, line) = (&setting.path, setting.line);
        notes.warn(
            "git-url-rewritten",
            format!(
                "{}: line {line}: git takes an address of the web for those that begin with {}: jobs push there without \
                 the SSH key",
                path.display(),
                setting.value.as_deref().unwrap_or_default()
            ),
            setting.gone(context),
        );
    }
    let account = context.target.account.as_ref().filter(|_| context.facts.is_host());
    let servers = &context.options.servers;
    let is_in_doubt =
        |setting: &JudgedSetting| setting.is_doubtful() || servers.iter().any(|host| setting.leads(host));
    let mut reaches_ssh = false;
    if let Some(account) = account.filter(|_| is_unclear || settings.iter().any(is_in_doubt)) {
        let unsigned = COMMIT.replace(" commit ", " -c commit.gpgsign=false commit ");
        // Programs and processes of the account talk as well: their word moves root to nothing.
        let by_nobody = LazyCell::new(|| {
            let script = format!(
                "export HOME=/tmp GIT_CONFIG_GLOBAL=/dev/null; git {} && {{ {unsigned}; }} || exit 1\n{}",
                JUDGES[1].join(" "),
                pushes(servers)
            );
            let nobody = context.facts.nobody(account).ok()??;
            let said = context.facts.rehearse(&nobody, &script).ok()??;
            let all = pushed(context.facts, &nobody, servers, &said).ok()?;
            Some((said, all))
        });
        let answers = |said: &Finished| {
            if said.success() {
                return Ok(());
            }
            let culprit = culprit(settings, &said.stderr);
            let is_of_all = |culprit: &JudgedSetting| {
                by_nobody.as_ref().is_some_and(|(said, _)| !said.success() && naming(&said.stderr)(culprit))
            };
            let culprit = culprit.filter(|culprit| !culprit.of_root || is_of_all(culprit));
            let complaint = said.complaint_about(|line| culprit.is_some_and(naming(line)));
            Err(refused(context, culprit, &complaint))
        };
        for asked in JUDGES {
            let Some(said) = context.facts.ask(account, "git", asked, b"")? else { break };
            answers(&said)?;
        }
        if settings.iter().any(is_in_doubt) {
            let script = format!("{{ {unsigned}; }} || exit 1\n{}", pushes(servers));
            if let Some(said) = context.facts.rehearse(account, &script)? {
                answers(&said)?;
                let all = pushed(context.facts, account, servers, &said)?;
                reaches_ssh = !all.is_empty() && all.iter().all(|(_, one)| matches!(one, Pushed::ToSsh(_)));
                for (host, one) in all {
                    let is_of_all = || {
                        let all = by_nobody.as_ref().map(|(_, all)| all.as_slice()).unwrap_or_default();
                        all.iter().any(|(of, other)| *of == host && one.is_like(other))
                    };
                    tell_push(context, settings, host, &one, &is_of_all, notes);
                }
            }
        }
    }
    let is_open = |setting: &&JudgedSetting| {
        HOOKS.contains(&setting.name.as_str()) || setting.name == SSH_COMMAND && !reaches_ssh
    };
    for setting in settings.iter().filter(is_open) {
        notes.warn(
            "git-hooks-unknown",
            format!(
                "{}: line {}: by {} git runs other programs in every job; whether they let it commit and push is not known here",
                setting.path.display(),
                setting.line,
                setting.name
            ),
            mend!("see what it is, and unless jobs need it, take it out: ") + setting.changed(context, None),
        );
    }
    sign(context, settings, notes)
}

/// The last setting that a complaint of git's is about.
fn culprit<'s>(settings: &'s [JudgedSetting], complaint: &str) -> Option<&'s JudgedSetting> {
    let names = naming(complaint);
    settings.iter().rev().find(|setting| names(setting))
}

/// Which settings a complaint names. What ends git it says last; before that programs of the account may say anything.
fn naming(complaint: &str) -> impl Fn(&JudgedSetting) -> bool {
    let end = complaint.len().saturating_sub(MOST_COMPLAINT);
    let text = String::from_utf8_lossy(&complaint.as_bytes()[end..]).to_lowercase();
    let words = text.split(|c: char| c.is_whitespace() || "'\"".contains(c)).map(str::to_owned);
    let words: BTreeSet<String> = words.collect();
    move |setting| {
        let value = setting.value.as_deref().unwrap_or_default().to_lowercase();
        let key = setting.name.rsplit('.').next().unwrap_or_default();
        text.contains(&setting.name) || words.contains(key) && words.contains(&value)
    }
}

/// Say where a push does not come to ssh, or to another server than the one that it is for; `is_of_all` says whether so
/// it is by root's files alone.
fn tell_push(
    context: &Context<'_>,
    settings: &[JudgedSetting],
    host: &HostName,
    pushed: &Pushed,
    is_of_all: &dyn Fn() -> bool,
    notes: &mut Notes,
) {
    let (user, server) = (&context.target.name, host.host());
    let last = |is_it: &dyn Fn(&JudgedSetting) -> bool| settings.iter().rev().find(|setting| is_it(setting));
    let see = || mend!("see where it stands: $ {}", context.as_account(SHOW));
    let is_movable = |setting: &&JudgedSetting| !setting.of_root || is_of_all();
    match pushed {
        Pushed::Nowhere(why) => {
            let by_protocol = |setting: &JudgedSetting| {
                setting.name.starts_with("protocol.") && why.contains("not allowed")
            };
            let setting = culprit(settings, why)
                .or_else(|| last(&by_protocol))
                .or_else(|| last(&|setting| setting.leads(host)));
            notes.wait(
                "git-push-refused",
                format!("git of {user} can't push to git@{server}: {why}"),
                setting.filter(is_movable).map_or_else(see, |setting| {
                    if setting.leads_elsewhere() {
                        setting.gone(context)
                    } else {
                        setting.changed(context, None)
                    }
                }),
            );
        }
        Pushed::ToSsh(does) => {
            let Some(setting) = last(&|setting| setting.leads(host)) else { return };
            let [usual, port] = [format!("git@{server}"), host.port().to_string()];
            if does.server != (usual, port) {
                notes.warn(
                    "git-push-elsewhere",
                    format!(
                        "git of {user} pushes to {}, port {}, what is for git@{server}: whether it is let in there is not known",
                        does.server.0, does.server.1
                    ),
                    Repair::from("unless that is meant: ")
                        + Some(setting).filter(is_movable).map_or_else(see, |setting| setting.gone(context)),
                );
            }
        }
        Pushed::Elsewhere(_) => {}
    }
}

fn refused(context: &Context<'_>, culprit: Option<&JudgedSetting>, complaint: &str) -> anyhow::Error {
    let ends = format!("git ends with this in every job: {complaint}");
    let Some(setting) = culprit else {
        let see = mend!("see where it stands: $ {}", context.as_account(SHOW));
        return fault("git-config-refused", ends, see);
    };
    fault(
        "git-config-refused",
        format!("{}: line {}: {ends}", setting.path.display(), setting.line),
        mend!("take {} out: ", setting.name) + setting.changed(context, None),
    )
}

/// Where commits are to be signed there has to be a key.
fn sign(context: &Context<'_>, settings: &[JudgedSetting], notes: &mut Notes) -> Result<()> {
    let last = |name: &str| settings.iter().rev().find(|setting| setting.name == name);
    let Some(setting) = last("commit.gpgsign") else { return Ok(()) };
    let value = setting.value.as_deref().unwrap_or("true").to_lowercase();
    match value.as_str() {
        "true" | "yes" | "on" => {}
        "false" | "no" | "off" | "" => return Ok(()),
        number => match number.parse::<i64>() {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(_) => {
                let complaint = format!("{} is {value:?}, and not true or false", setting.name);
                return Err(refused(context, Some(setting), &complaint));
            }
        },
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
    let old = context.target.home(context.facts, &[".gnupg/secring.gpg"])?.into_iter().next().flatten();
    let new = context.facts.home_names(account, Path::new(".gnupg/private-keys-v1.d"))?;
    Ok(old.is_some() || new.iter().any(|name| Path::new(name).extension() == Some("key".as_ref())))
}
