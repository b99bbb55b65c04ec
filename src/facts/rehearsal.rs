//! What a job does, gone through so that nothing of it stays and no server hears of it: git comes as far as to ssh, and
//! ssh says how it was called.
//!
//! So the tools themselves say what comes of settings, login files and limits, whatever form these have.

use anyhow::Result;

use super::live::or_forbidden;
use super::ssh::Settings;
use super::{ASKING, Account, Facts, Finished, rights};
use crate::sys::confine::HIDDEN;
use crate::sys::exec::{Rehearsal, Tool, short};
use crate::sys::identity;
use crate::text::known_hosts::HostName;

/// Marks where a new step begins.
pub const STEP: &str = "runner-prep-step:";

/// How git is called. Left out are hooks, whose answer depends on what is committed, the web, and what git does in the
/// background.
pub const GIT: &str = "git -c maintenance.auto=false -c gc.auto=0 -c core.hooksPath=/dev/null -c commit.gpgSign=false -c push.gpgSign=false \
    -c protocol.http.allow=never -c protocol.https.allow=never -c protocol.git.allow=never";

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

impl Pushed {
    /// Whether both come to the same server, or are refused with the same words.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ToSsh(one), Self::ToSsh(other)) => one.server == other.server,
            _ => self == other,
        }
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

    /// The same of what its login shell reads, as gitlab-runner starts it for a job, after the account did something else.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn rehearse_job(
        &self,
        account: &Account,
        shell: &str,
        before: &str,
        job: &str,
    ) -> Result<Option<Finished>> {
        let (Some(sh), true) = (self.tool("sh"), self.tool("su").is_some()) else { return Ok(None) };
        let calls = "su -s /bin/sh \"$1\" -c \"$3\" </dev/null >/dev/null 2>&1; exec su -s \"/bin/$2\" \"$1\" -c \"$2 -l\"";
        let tool = Tool::new(&sh).args(["-c", calls, "sh", &account.name, shell, before]);
        self.rehearsed(tool.input(job.as_bytes()).leaving_nothing(), account)
    }

    fn rehearsed(&self, tool: Tool<'_>, account: &Account) -> Result<Option<Finished>> {
        if !self.root.is_host() || !identity::is_root() {
            return Ok(None);
        }
        let says =
            format!("#!/bin/sh\necho {STEP}ssh >&2\n{HIDDEN} -G \"$@\" >&2\necho {STEP}called >&2\nexit 1\n");
        let stand_in = self.tool("ssh").map(|ssh| (ssh, says));
        let tool = tool.within(&account.home).patience(ASKING).rehearsing(Rehearsal { stand_in });
        or_forbidden(tool.run(), true)
    }
}

/// The ways in which a job may name a project of a server.
pub fn addresses(host: &HostName) -> Vec<String> {
    let (name, path) = (host.host(), "group/project.git");
    match host.port() {
        22 => vec![format!("git@{name}:{path}"), format!("ssh://git@{name}/{path}")],
        port => vec![format!("ssh://git@{name}:{port}/{path}")],
    }
}

/// The lines of a script that push what is committed where it stands to each of these servers.
pub fn pushes(hosts: &[HostName]) -> String {
    let push = |address| format!("{}{GIT} push -q \"{address}\" HEAD:main || true\n", step("push"));
    hosts.iter().flat_map(addresses).map(push).collect()
}

/// The line of a script that says which step begins. A shell that is ended repeats what it read: that is no step.
pub fn step(name: &str) -> String {
    format!("echo {}{name} >&2\n", STEP.replacen('-', "-\"\"", 1))
}

/// What was said in each step, with its name, where a script that says its steps was rehearsed.
pub fn steps(said: &Finished) -> Vec<(&str, &str)> {
    said.stderr.split(STEP).skip(1).map(|step| step.split_once('\n').unwrap_or((step, ""))).collect()
}

/// What the [`pushes`] came to, each answer once.
///
/// # Errors
/// When the name of this host can't be read.
pub fn pushed<'h>(
    facts: &Facts<'_>,
    account: &Account,
    hosts: &'h [HostName],
    said: &Finished,
) -> Result<Vec<(&'h HostName, Pushed)>> {
    let (steps, local) = (steps(said), facts.host_name()?);
    let begins = steps.iter().enumerate().filter(|(_, (name, _))| *name == "push").map(|(at, _)| at);
    let of = |(at, host): (usize, &'h HostName)| {
        let is_of_it =
            |(at, (name, _)): &(usize, &(&str, &str))| *at == 0 || ["ssh", "called"].contains(name);
        let (mut told, mut called) = (String::new(), None);
        for (_, (name, text)) in steps[at..].iter().enumerate().take_while(is_of_it) {
            if *name == "ssh" && text.lines().any(|line| line.starts_with("hostname ")) {
                called = Some(Settings::told(text, account, host, &local));
            } else {
                told.push_str(text);
            }
        }
        let why = complaint(&told);
        let is_open = told.trim().is_empty()
            || ["fatal: Could not read from remote", "fatal: transport 'http"]
                .iter()
                .any(|start| why.starts_with(start));
        (
            host,
            match called {
                Some(settings) => Pushed::ToSsh(Box::new(settings)),
                None if is_open => Pushed::Elsewhere(why),
                None => Pushed::Nowhere(why),
            },
        )
    };
    let hosts = hosts.iter().flat_map(|host| vec![host; addresses(host).len()]);
    let mut all: Vec<_> = begins.zip(hosts).map(of).collect();
    all.dedup();
    Ok(all)
}

/// Why a step failed: what ends git, else the last word before the shell repeats what it read.
pub fn complaint(told: &str) -> String {
    let told = told.split("| eval").next().unwrap_or_default();
    let last = || told.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line =
        told.lines().find(|line| line.starts_with("fatal: ")).or_else(last).unwrap_or("it said nothing");
    short(line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '))
}
