//! What every resource is asked for, and what it may ask: the host, the account, the command line.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::target::Target;
use crate::change::{Change, FileKind, Notes, Seen};
use crate::facts::Facts;
use crate::facts::ssh::CONFIG;
use crate::keys::Version;
use crate::repair::{Repair, quoted, run};
use crate::text::known_hosts::HostName;

/// Something on the host that a profile describes.
pub trait Resource {
    /// The changes that bring the host to the described state; none when it is there already.
    ///
    /// # Errors
    /// When the host can't be read, or holds something that must not be touched.
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>>;

    /// What it will look at below the account's home, in any case; by an absolute path, what it will ask whether the
    /// account can read it.
    fn in_home(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What every resource may ask.
pub struct Context<'a> {
    /// The host.
    pub facts: &'a Facts<'a>,
    /// The account that jobs run as.
    pub target: &'a Target,
    /// What the command line said.
    pub options: &'a Options,
}

impl Context<'_> {
    /// Files of the account; all missing when the account is.
    pub(super) fn home(&self, relative: &[&str]) -> Result<Vec<Option<Seen>>> {
        let Some(account) = &self.target.account else { return Ok(vec![None; relative.len()]) };
        self.facts.home(account, relative)
    }

    /// One of them.
    pub(super) fn home_file(&self, relative: &str) -> Result<Option<Seen>> {
        self.target.account.as_ref().map_or(Ok(None), |account| self.facts.home_file(account, relative))
    }

    /// A command with the rights of the account.
    pub(super) fn as_account(&self, command: &str) -> String {
        format!("sudo -u {} {command}", self.target.name)
    }

    /// A command that changes what lies at a path, which is its last word. With the account's rights, where anybody but
    /// root has a hand in it: root would follow the links that are laid there, and files of the account name paths.
    pub(super) fn command_at(&self, command: &str, path: &Path) -> String {
        let command = format!("{command} {}", quoted(path));
        if self.is_of_root(path) { command } else { self.as_account(&command) }
    }

    /// True for a path outside the account's home which nobody but root can change, and nothing on the way to it.
    pub(super) fn is_of_root(&self, path: &Path) -> bool {
        !path.starts_with(&self.target.home) && matches!(self.facts.distrust(path), Ok(None))
    }

    /// What lets the account read a file, or come through a directory: `chmod`, but where the mode lets everybody do so
    /// already, and an access list says otherwise of this account.
    pub(super) fn opening(&self, path: &Path, chmod: String) -> Repair {
        let mode = self.facts.stat(path).ok().flatten().map_or(0, |seen| match seen.kind {
            FileKind::Directory => seen.mode | 0o666,
            _ => seen.mode | 0o333,
        });
        if mode & 0o777 != 0o777 {
            return run(chmod);
        }
        run(self.command_at(&format!("setfacl -m u:{}:rX", self.target.name), path))
    }

    /// The command that puts a line first in the account's configuration of ssh, where the first word on a thing counts.
    /// What ssh said may be the account's word: it is put where only the account goes by it.
    pub(super) fn first_line(&self, line: &str) -> Repair {
        let seen = self.home_file(CONFIG).ok().flatten();
        let [file, directory] = [CONFIG, ".ssh"].map(|name| quoted(self.target.home.join(name)));
        let sed = self.as_account(&format!("sed -i {} {file}", quoted(format!("1i {line}"))));
        if seen.is_some_and(|seen| seen.kind == FileKind::Link || !seen.bytes.is_empty()) {
            return run(sed);
        }
        // It puts nothing before what is not there.
        let make = self.as_account(&format!("install -d -m 0700 {directory}"));
        mend!("$ {} && echo '#' | {} && {}", make, self.as_account(&format!("tee -a {file}")), sed)
    }
}

/// The command line's word on what resources do.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line of its own")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Take over a sudoers file that somebody else wrote.
    pub adopt: bool,
    /// The configuration file of gitlab-runner, when it is not where the service says.
    pub config: Option<PathBuf>,
    /// Names or ids of the runners that are meant; empty means all of the profile's executors.
    pub runners: Vec<String>,
    /// The profiles as they were asked for, for messages.
    pub profiles: Vec<String>,
    /// The command that applies them here again, without what it leaves out.
    pub command: String,
    /// The server that jobs push to, as ssh is called for it; gitlab.com's where the profile names none.
    pub server: String,
    /// Accept another host key than the known one.
    pub accept_new_host_keys: bool,
    /// Ask servers for their keys where the profile gives a fingerprint.
    pub scan_host_keys: bool,
    /// Ask sudo for the effect of its rules also where its files leave no doubt.
    pub ask_sudo: bool,
    /// The version of gitlab-runner, whatever is installed.
    pub runner_version: Option<Version>,
    /// The command only compares, as `check` does, whose units see the whole host read-only.
    pub confined: bool,
    /// What the profile wants of a runner, for registering one: that of [`super::template`].
    pub template: Option<String>,
    /// The addresses of the servers of runners that are to be registered.
    pub registers: Vec<String>,
    /// `[config]` is chosen, and gives each runner of a server of one's own the certificates of `[ca]`.
    pub trusts_authority: bool,
    /// The certificates that gitlab-runner is to trust for a server of one's own.
    pub ca: Option<PathBuf>,
    /// The servers that the profile names, by which ssh chooses among keys.
    pub servers: Vec<HostName>,
}

impl Options {
    /// The servers that jobs push to; gitlab.com where nobody names one.
    pub(super) fn pushed_to(&self) -> Vec<HostName> {
        let usual = || HostName::parse("gitlab.com").into_iter().collect();
        if self.servers.is_empty() { usual() } else { self.servers.clone() }
    }

    /// The name of the server in addresses of the web.
    pub(super) fn url(&self) -> &str {
        let name = self.server.rsplit('@').next().unwrap_or_default();
        if name.is_empty() { "gitlab.com" } else { name }
    }
}
