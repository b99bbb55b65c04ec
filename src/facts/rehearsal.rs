//! What a job does, gone through so that nothing of it stays and no server hears of it: ssh says how it was called, and
//! git pushes to an empty project beside it.
//!
//! So the tools themselves say what comes of settings, login files and limits, whatever form these have.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::live::or_forbidden;
use super::ssh::{HostKeyFiles, Settings, SshVerdict, is_taken};
use super::{ASKING, Account, Facts, Finished, rights};
use crate::sys::confine::HIDDEN;
use crate::sys::exec::{Tool, short};
use crate::sys::identity;
use crate::text::known_hosts::HostName;

/// Marks where a new step begins.
pub const STEP: &str = "runner-prep-step:";

/// How git is called. Left out are hooks, whose answer depends on what is committed, the web, and what git does in the
/// background.
pub const GIT: &str = "git -c maintenance.auto=false -c gc.auto=0 -c core.hooksPath=/dev/null -c commit.gpgSign=false \
    -c protocol.http.allow=never -c protocol.https.allow=never -c protocol.git.allow=never";

/// Files as jobs write them: what is set for files of such names counts.
pub const FILES: &str = "file pod.yaml index.html";

/// The project that is pushed to.
const PROJECT: &str = "group/project.git";

/// What jobs do with a project of a server, which has this address and is the remote `origin`.
const CALLS: [&str; 3] = [
    "jgit push -q ADDRESS HEAD:main",
    "rm -rf .fresh && jgit init -q .fresh && cd .fresh && jgit remote add origin ADDRESS && jgit fetch -q origin main && \
     jgit checkout -q -f FETCH_HEAD",
    "rm -rf .fresh && jgit clone -q ADDRESS .fresh && cd .fresh && jgit fetch -q origin && \
     jgit -c user.name=x -c user.email=x commit -q --allow-empty -m x && jgit push -q origin HEAD:main",
];

/// What is done by a further address: a push, and more only where a fetch goes elsewhere.
const ALIKE: &str = "jgit config remote.other.url ADDRESS && jgit push -q other HEAD:main && \
    { test \"$(jgit ls-remote --get-url other)\" = ADDRESS || jgit ls-remote -q other; }";

/// What stands in for ssh: it says what ssh would do, and then is the server, with a project of some files;
/// what is pushed is a new branch of it.
const SERVER: &str = r#"#!/bin/sh
for last; do :; done
case $1$last in
-G*) exec HIDDEN "$@" ;;
esac
echo "
STEPssh" >&2
HIDDEN -G "$@" >&2 || exit
echo "project $last" >&2
echo "
STEPcalled" >&2
case $last in
"git-receive-pack '"*) to=receive-pack ;;
"git-upload-pack '"*) to=upload-pack ;;
*) exit 1 ;;
esac
env -i PATH="$PATH" HOME=/tmp/.none GIT_CONFIG_NOSYSTEM=1 sh -c 'umask 022; project=/tmp/.$0 whole=/tmp/.upload-pack
    if ! [ -e $whole ]; then
        git init -q --bare --template= $whole && cd $whole || exit
        blob=$(echo x | git hash-object -w --stdin) by="x <x> 1 +0000"
        tree=$(for file in FILES; do printf "100644 blob $blob\t$file\n"; done | git mktree)
        git update-ref refs/heads/other $(printf "tree $tree\nauthor $by\ncommitter $by\n\nx\n" | git hash-object -t commit -w --stdin)
        git update-ref refs/heads/main refs/heads/other && git symbolic-ref HEAD refs/heads/main || exit
    fi
    if [ "$0" = receive-pack ]; then
        rm -rf $project && cp -r $whole $project && git -C $project update-ref -d refs/heads/main || exit
    fi
    cd $project && git -c receive.advertisePushOptions=true -c receive.autogc=false "$0" . && git show-ref -q main' "$to" 2>/dev/null || exit
echo "
STEPserved" >&2
"#;

/// The kinds of keys that ssh uses where nothing is configured, and servers take.
const KEY_KINDS: [&str; 3] = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"];

/// What git's push to a server comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// To ssh, which would do this.
    ToSsh(Box<Settings>),
    /// To another program or way: git says this of it.
    Elsewhere(String),
    /// To nothing.
    Nowhere(String),
}

/// How a push is something else than what a plain ssh of the account would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushAnswer {
    /// It does not come to its end, because of this.
    Fails(String),
    /// Whether it does is not known, because of this.
    Unclear(String),
}

impl Pushed {
    /// Hold it against what ssh is `known` to do for that server.
    ///
    /// # Errors
    /// When a file with host keys can't be looked at.
    pub fn answer(
        &self,
        facts: &Facts<'_>,
        account: &Account,
        known: &Settings,
    ) -> Result<Option<PushAnswer>> {
        let job = match self {
            Self::Nowhere(why) => {
                return Ok(Some(PushAnswer::Fails(format!("does not come to its end: {why}"))));
            }
            Self::Elsewhere(why) => {
                let why = format!("does not go by the ssh that was looked at: {why}");
                return Ok(Some(PushAnswer::Unclear(why)));
            }
            Self::ToSsh(job) => job,
        };
        let (server, port) = &job.server;
        let is_as_known = (&job.files, &job.name) == (&known.files, &known.name);
        let is_missing = |key: &Result<PathBuf, String>| {
            let Ok(path) = key else { return false };
            let seen = match path.strip_prefix(&account.home).ok().and_then(Path::to_str) {
                Some(below) => facts.home_file(account, below),
                None => facts.stat(path),
            };
            seen.is_ok_and(|seen| seen.is_none())
        };
        // What this run makes is not there yet.
        let has_none = |keys: &[Result<PathBuf, String>]| keys.iter().all(is_missing);
        let takes = |settings: &Settings, kind| is_taken(&settings.key_algorithms, kind);
        let verdict = || job.verdict(facts, account, &mut HostKeyFiles::default(), &[], None);
        Ok(if job.server != known.server {
            let why = format!("goes to {server}, port {port}, and whether it is let in there is not known");
            Some(PushAnswer::Unclear(why))
        } else if let (Some((keyword, _)), None) = (job.refuses_keys, known.refuses_keys) {
            Some(PushAnswer::Fails(format!("goes by an ssh that uses no key ({keyword})")))
        } else if let (Some((keyword, _)), None) = (job.refuses_git, known.refuses_git) {
            Some(PushAnswer::Fails(format!("goes by an ssh that does not hand on what git says ({keyword})")))
        } else if !job.has_provider && has_none(&job.keys) && !has_none(&known.keys) {
            Some(PushAnswer::Fails(
                "goes by an ssh that tries no key which is there (IdentityFile)".to_owned(),
            ))
        } else if let Some(kind) = KEY_KINDS.into_iter().find(|kind| takes(known, kind) && !takes(job, kind))
        {
            let why = format!("goes by an ssh that uses no {kind} key (PubkeyAcceptedAlgorithms)");
            Some(PushAnswer::Unclear(format!("{why}, and whether it has another is not known")))
        } else if !is_as_known && verdict()? == SshVerdict::Missing {
            Some(PushAnswer::Fails("goes by an ssh that reads no file with the server's keys".to_owned()))
        } else {
            None
        })
    }
}

impl Facts<'_> {
    /// What a script says that a shell of the account runs in its home. `None` where the kernel does not allow that
    /// nothing stays, and where nobody's rights but the account's are there.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn rehearse(&self, account: &Account, script: &str) -> Result<Option<Finished>> {
        let Some(shell) = self.tool("sh") else { return Ok(None) };
        let tool = Tool::new(&shell).args(["-c", script]).account(&account.name, rights(account));
        let tool = tool.env("HOME", account.home.as_os_str()).env("USER", account.name.as_ref());
        self.rehearsed(tool.env("LOGNAME", account.name.as_ref()), account)
    }

    /// The same of what its login shell reads, as gitlab-runner starts it for a job by this command, after the account did
    /// something else.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn rehearse_job(
        &self,
        account: &Account,
        (shell, command): (&str, &str),
        before: &str,
        job: &str,
    ) -> Result<Option<Finished>> {
        let (Some(sh), true) = (self.tool("sh"), self.tool("su").is_some()) else { return Ok(None) };
        let calls = "su -s /bin/sh \"$1\" -c \"$3\" </dev/null >/dev/null 2>&1; exec su -s \"/bin/$2\" \"$1\" -c \"$4\"";
        let tool = Tool::new(&sh).args(["-c", calls, "sh", &account.name, shell, before, command]);
        self.rehearsed(tool.input(job.as_bytes()).leaving_nothing(), account)
    }

    fn rehearsed(&self, tool: Tool<'_>, account: &Account) -> Result<Option<Finished>> {
        if !self.root.is_host() || !identity::is_root() {
            return Ok(None);
        }
        let stand_in = self
            .tool("ssh")
            .map(|ssh| (ssh, SERVER.replace("HIDDEN", HIDDEN).replace("STEP", STEP).replace("FILES", FILES)));
        let tool = tool.within(&account.home).patience(ASKING).rehearsing(stand_in);
        or_forbidden(tool.run(), true)
    }
}

/// The ways in which a job may name a project of a server.
pub fn addresses(host: &HostName) -> Vec<String> {
    let name = host.host();
    match host.port() {
        22 => vec![format!("git@{name}:{PROJECT}"), format!("ssh://git@{name}/{PROJECT}")],
        port => vec![format!("ssh://git@{name}:{port}/{PROJECT}")],
    }
}

/// One thing that a job does with a project of a server.
#[derive(Debug)]
pub struct ServerCall<'h> {
    /// The server.
    pub host: &'h HostName,
    line: String,
}

/// A push of what is committed where the script stands, and a fetch, in every way in which a job may say it. What git
/// makes of the address is all that differs from one server to the next.
pub fn pushes(hosts: &[HostName]) -> Vec<ServerCall<'_>> {
    let mut all: Vec<_> = hosts.iter().flat_map(|host| calls(host, ALIKE)).collect();
    if let Some(first) = hosts.first() {
        let whole = CALLS.iter().filter_map(|call| calls(first, call).into_iter().next());
        all.splice(..1, whole);
    }
    all
}

/// Something that is done with a project of a server, by each of its addresses.
pub fn calls<'h>(host: &'h HostName, call: &str) -> Vec<ServerCall<'h>> {
    let line = |address| call.replace("ADDRESS", &format!("\"{address}\""));
    addresses(host).into_iter().map(|address| ServerCall { host, line: line(address) }).collect()
}

/// The lines of a script that make these calls, one after the other.
pub fn script(calls: &[ServerCall<'_>]) -> String {
    let (begin, failed) = (step("push"), step("failed"));
    let line = |call: &ServerCall<'_>| format!("{begin}( {} ) || {failed}", call.line);
    format!("jgit() {{ {GIT} \"$@\"; }}\n{}", calls.iter().map(line).collect::<String>())
}

/// The line of a script that says which step begins. A shell that is ended repeats what it read, and one with `set -x` what
/// it does: that is no step.
pub fn step(name: &str) -> String {
    format!("printf \"\\n%s\\n\" {}{name} >&2\n", STEP.replacen('-', "-\"\"", 1))
}

/// What was said in each step, with its name, where a script that says its steps was rehearsed.
pub fn steps(said: &Finished) -> Vec<(&str, &str)> {
    let begin = format!("\n{STEP}");
    let parts: Vec<&str> = said.stderr.split(begin.as_str()).skip(1).collect();
    parts.into_iter().map(|step| step.split_once('\n').unwrap_or((step, ""))).collect()
}

/// What each of the calls of a [`script`] came to, as far as it went.
///
/// # Errors
/// When the name of this host can't be read.
pub fn pushed<'c, 'h>(
    facts: &Facts<'_>,
    account: &Account,
    calls: &'c [ServerCall<'h>],
    said: &Finished,
) -> Result<Vec<(&'c ServerCall<'h>, Pushed)>> {
    let (steps, local) = (steps(said), facts.host_name()?);
    let begins = steps.iter().enumerate().filter(|(_, (name, _))| *name == "push").map(|(at, _)| at);
    let of = |(at, call): (usize, &'c ServerCall<'h>)| {
        let host = call.host;
        let (mut told, mut called, mut failed, mut served) = (steps[at].1.to_owned(), None, false, false);
        let usual = Settings::usual(&account.home, host).server;
        for (name, text) in steps[at + 1..].iter().take_while(|(name, _)| *name != "push") {
            failed |= *name == "failed";
            served |= *name == "served";
            if *name != "ssh" || !text.lines().any(|line| line.starts_with("hostname ")) {
                told.push_str(text);
            } else if called.as_ref().is_none_or(|settings: &Settings| settings.server == usual) {
                let mut settings = Settings::told(text, account, host, &local);
                let project = text.lines().find_map(|line| line.strip_prefix("project "));
                let path = project.and_then(|project| project.split('\'').nth(1)).unwrap_or_default();
                if path.trim_start_matches('/') != PROJECT {
                    settings.server.0 = format!("{}:{path}", settings.server.0);
                }
                called = Some(settings);
            }
        }
        let why = complaint(&told);
        let is_way = ["fatal: Could not read from remote", "fatal: transport 'http"];
        let is_open = !failed || is_way.iter().any(|start| why.starts_with(start));
        (
            call,
            match called {
                Some(settings) if served && !failed => Pushed::ToSsh(Box::new(settings)),
                None if is_open => Pushed::Elsewhere(why),
                _ => Pushed::Nowhere(why),
            },
        )
    };
    Ok(begins.zip(calls).map(of).collect())
}

/// Why a step failed: what ends git, else the last word before the shell repeats what it read.
pub fn complaint(told: &str) -> String {
    let told = told.split("| eval").next().unwrap_or_default();
    let last = || told.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line =
        told.lines().find(|line| line.starts_with("fatal: ")).or_else(last).unwrap_or("it said nothing");
    short(line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '))
}
