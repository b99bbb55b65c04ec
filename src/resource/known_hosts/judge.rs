//! What ssh of the account says of the servers: whether it reads the file that the profile means, and takes the keys
//! in it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::{FileKind, Harm, Notes, Place};
use crate::facts::ssh::{self, Client, HostKeyFiles, Settings, SshVerdict, Trust};
use crate::fault::{move_aside, quoted};
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::known_hosts::{HostKey, HostName, KnownHost};

/// The algorithms of the keys that a profile can name.
const ALGORITHMS: &str =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

pub(super) const SYSTEM: &str = ssh::SYSTEM_HOSTS;

/// GitLab.com's second SSH server, for networks that let only port 443 out. It has the same keys.
pub(super) const ALT_GITLAB_COM: &str = "[altssh.gitlab.com]:443";

/// The file of host keys that the profile means, in the eyes of ssh.
pub(super) struct JudgedFile<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) place: &'a Place,
    /// It is the one of all accounts.
    pub(super) system: bool,
}

impl JudgedFile<'_> {
    /// The path by which ssh comes to the file.
    fn path(&self) -> PathBuf {
        if self.system { PathBuf::from(SYSTEM) } else { self.place.path() }
    }

    /// Which part of the way to the system's file keeps the account from reading it, if any: the file itself by its
    /// mode, or a directory.
    pub(super) fn shut(&self) -> Result<Option<PathBuf>> {
        let facts = self.context.facts;
        let (Some(account), true) = (&self.context.target.account, self.system) else { return Ok(None) };
        let path = self.path();
        match facts.shut_out(account, &path)? {
            Some(shut) if shut == path => facts.shut_out(account, &self.place.path()),
            shut => Ok(shut),
        }
    }

    /// A directory that keeps the account out is somebody else's decision, and waits for that person; where ssh has the
    /// keys from elsewhere, it is only worth knowing.
    fn tell_shut(&self, shut: Option<&Path>, all_known: bool, notes: &mut Notes) -> Result<()> {
        let Some(shut) = shut.filter(|shut| **shut != *self.place.path()) else { return Ok(()) };
        let mode = self.context.facts.stat(shut)?.map_or(0o755, |seen| seen.mode | 0o111);
        let (account, directory) = (&self.context.target.name, shut.display());
        let message =
            format!("{account} can't enter {directory}: ssh of its jobs finds no host key in {}", self.place);
        let repair = self.context.opening(shut, format!("chmod {mode:04o} {}", quoted(shut)));
        if all_known {
            notes.warn("host-keys-shut", message, repair);
        } else {
            notes.wait("host-keys-shut", message, repair);
        }
        Ok(())
    }

    /// Ask what ssh of the account says of each server, now and when the file has the `planned` bytes. True when the
    /// program itself was asked.
    pub(super) fn ask<'h>(
        &self,
        hosts: impl Iterator<Item = &'h HostName>,
        wanted: &[KnownHost],
        (existing, planned): (Option<&[u8]>, &[u8]),
        shut: Option<&Path>,
        notes: &mut Notes,
    ) -> Result<bool> {
        let Some(account) = &self.context.target.account else { return Ok(false) };
        let (facts, path) = (self.context.facts, self.path());
        let (mut asked, mut all_known, mut unknown) = (false, true, None);
        let mut files = HostKeyFiles::with(facts, account, &path, existing)?;
        for host in hosts {
            let keys: Vec<HostKey> =
                wanted.iter().filter(|entry| entry.host == *host).map(|entry| entry.key.clone()).collect();
            if keys.is_empty() {
                continue;
            }
            let command = format!("{} -G git@{}", ssh::BY_HAND, host.host());
            let settings = match self.context.target.ssh(facts, host)? {
                Client::Does(settings) => settings,
                Client::Refuses(why) => {
                    let message = format!("ssh of {} does nothing, it ends with: {why}", account.name);
                    notes.wait("ssh-config-refused", message, self.correct(&why, &command));
                    all_known = false;
                    continue;
                }
                Client::Unknown(why) => {
                    self.doubt(host, why, notes);
                    all_known = false;
                    continue;
                }
            };
            asked |= settings.asked;
            self.tell_ways(host, &settings, notes);
            match settings.verdict(facts, account, &mut files, &keys, None)? {
                SshVerdict::Accepts(_) | SshVerdict::TakesAny => {}
                // What is not known is no problem of jobs.
                SshVerdict::Unknown(why) => {
                    unknown.get_or_insert(why);
                }
                now => {
                    all_known = false;
                    if let SshVerdict::Changed(file, key) = now {
                        let (file, kind, print) = (file.display(), key.kind(), key.fingerprint());
                        notes.means("known_hosts", "host-key-changed", format!("{file} has another {kind} key of {host}, {print}: ssh says that it has changed"), Harm::Jobs);
                    }
                }
            }
            let then = settings.verdict(facts, account, &mut files, &keys, Some((&path, planned)))?;
            self.tell(host, &settings, &then, notes);
        }
        self.tell_shut(shut, all_known, notes)?;
        if all_known {
            let (name, place) = (&account.name, self.place);
            let what = unknown.map_or_else(
                || format!("ssh of {name} has the keys from another file than {place}"),
                |why| format!("{place} lacks keys, and whether ssh of {name} has them is not known: {why}"),
            );
            notes.means("known_hosts", "host-key-in-other-file", what, Harm::None);
        }
        Ok(asked)
    }

    /// What else than keys keeps git from the server, or may.
    fn tell_ways(&self, host: &HostName, settings: &Settings, notes: &mut Notes) {
        let account = &self.context.target.name;
        if let Some((keyword, usual)) = settings.refuses_git {
            let message = format!(
                "ssh of {account} does not hand on what git and {host} say to each other ({keyword})"
            );
            notes.wait("ssh-config-refused", message, self.context.first_line(&format!("{keyword} {usual}")));
        }
        if !settings.ways.is_empty() {
            let why =
                format!("only a connection would tell whether it comes there ({})", settings.ways.join(", "));
            self.doubt(host, &why, notes);
        }
    }

    /// What makes a configuration right that ssh refuses. What ssh said is the account's word, which may have had a program
    /// speak: what is everybody's is changed where ssh of nobody says the same of everybody's configuration alone.
    fn correct(&self, why: &str, command: &str) -> Repair {
        let facts = self.context.facts;
        let own = self.context.target.home.join(ssh::CONFIG);
        // With the account's rights, whichever file it says.
        let of_home = why.rsplit_once("Bad owner or permissions on ").map(|(_, file)| Path::new(file));
        if let Some(file) = of_home.filter(|file| file.starts_with(&self.context.target.home)) {
            let (file, new) = (quoted(file), quoted(format!("{}.new", file.display())));
            let make = self.context.as_account(&format!("install -m 0600 {file} {new}"));
            return mend!("$ {} && {}", make, self.context.as_account(&format!("mv -T {new} {file}")));
        }
        let shut = || {
            why.strip_prefix("Can't open user config file ")?
                .strip_suffix(": Permission denied")
                .map(Path::new)
        };
        let is_of_all = |file: &Path| ssh::is_system_config(file) && self.is_of_all(why);
        // Whose it is root sees itself; nobody may be that.
        let is_theirs = |file: &Path| {
            let seen = facts.stat(file).ok().flatten();
            seen.is_some_and(|seen| seen.uid != 0 || seen.mode & 0o022 != 0)
        };
        if let Some(file) = of_home.filter(|file| ssh::is_system_config(file) && is_theirs(file)) {
            let file = quoted(file);
            return run(format!("chown root:root {file} && chmod go-w {file}"));
        }
        // Root opens for everybody what root alone put there: on the way of a link may be what the account chose.
        if let Some(file) = shut().filter(|file| is_of_all(file) && self.context.is_of_root(file)) {
            let (here, new) = (quoted(file), quoted(format!("{}.new", file.display())));
            // Where a link leads, others may have good reasons.
            let is_link = facts.entry(file).ok().flatten().is_some_and(|seen| seen.kind == FileKind::Link);
            let copy = || format!("install -m 0644 {here} {new} && mv -T {new} {here}");
            return run(if is_link { copy() } else { format!("chmod a+r {here}") });
        }
        if why.contains("command-line and remote command") {
            return self.context.first_line("RemoteCommand none");
        }
        let found = why.split_once("line ").and_then(|(file, rest)| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            Some((Path::new(file.trim_end_matches([':', ' '])), digits.parse::<u32>().ok()?))
        });
        match found {
            Some((file, line)) if file == own || is_of_all(file) => {
                // What stands below a condition is not for everything without it.
                let mark = if why.contains("Match") { "s/.*/#&\\nHost !*/" } else { "s/^/#/" };
                run(self.context.command_at(&format!("sed -i '{line}{mark}'"), file))
            }
            _ if self.line_with_token(why).is_some() => {
                let line = self.line_with_token(why).unwrap_or_default();
                run(self.context.command_at(&format!("sed -i '{line}s/^/#/'"), &own))
            }
            // It names no line, and everybody's configuration is not at fault.
            _ if self.own_text().is_some() && !self.is_of_all(why) => {
                run(move_aside(&self.context.target.name, &own))
            }
            _ => mend!(
                "correct what it complains of in ~/.ssh/config or {}; see it: $ {}",
                ssh::SYSTEM_CONFIG,
                self.context.as_account(command)
            ),
        }
    }

    /// Whether ssh complains of that also where it reads everybody's configuration alone.
    fn is_of_all(&self, why: &str) -> bool {
        let asked = ["-G", "-F", ssh::SYSTEM_CONFIG, "--", "git@localhost", "git-receive-pack"];
        let facts = self.context.facts;
        let ask = |nobody| facts.ask(&nobody, "ssh", &asked, b"").ok().flatten();
        let account = self.context.target.account.as_ref();
        let nobody = account.and_then(|account| facts.nobody(account).ok()?);
        nobody.and_then(ask).is_some_and(|said| !said.success() && Client::complaint(&said) == why)
    }

    /// The line of the account's own configuration with the token or variable that ssh does not know.
    fn line_with_token(&self, why: &str) -> Option<usize> {
        let token = why.split_whitespace().find(|word| word.starts_with(['%', '$']))?;
        let at = self.own_text()?.lines().position(|line| line.contains(token))?;
        Some(at + 1)
    }

    /// The account's own configuration.
    fn own_text(&self) -> Option<String> {
        Some(self.context.home_file(ssh::CONFIG).ok()??.text().into_owned())
    }

    fn doubt(&self, host: &HostName, why: &str, notes: &mut Notes) {
        let message = format!(
            "whether ssh of {} finds the keys of {host} is not known: {why}",
            self.context.target.name
        );
        let repair = mend!(
            "see what it reads on the running host: $ sudo -u {} {} -G git@{}",
            self.context.target.name,
            ssh::BY_HAND,
            host.host()
        );
        notes.warn("ssh-config-unknown", message, repair);
    }

    /// What keeps ssh from taking the server's keys although the file has them.
    fn tell(&self, host: &HostName, settings: &Settings, verdict: &SshVerdict, notes: &mut Notes) {
        let (account, place) = (&self.context.target.name, self.place);
        match verdict {
            SshVerdict::Accepts(_) => {}
            // The directory was named already.
            SshVerdict::Shut(file, _) if *file == self.path() => {}
            SshVerdict::Unknown(why) => self.doubt(host, why, notes),
            SshVerdict::TakesAny => {
                let (takes, of) = if settings.trust == Trust::Strangers {
                    ("the first key", " accept-new")
                } else {
                    ("any key", "")
                };
                // Where it reads no file with the keys, it is to read one before it insists.
                let mut lines = "StrictHostKeyChecking yes".to_owned();
                if !settings.files.iter().flatten().any(|file| *file == self.path()) {
                    lines = format!("{lines}\\n{}", self.reading(settings));
                }
                notes.warn(
                    "host-keys-unchecked",
                    format!("ssh of {account} takes {takes} that {host} shows (StrictHostKeyChecking{of}): nobody is safe from a false server"),
                    self.context.first_line(&lines),
                );
            }
            SshVerdict::Shut(file, by) => notes.wait(
                "host-keys-shut",
                format!("{account} can't read {}, where ssh looks for keys of {host}", file.display()),
                self.context.opening(by, format!("chmod a+rX {}", quoted(by))),
            ),
            SshVerdict::Endless(file, kind) => notes.wait(
                "host-keys-not-read",
                format!("{} is {kind}: ssh of {account} reads it for host keys, and never comes to its end", file.display()),
                if file.starts_with(&self.context.target.home) {
                    run(move_aside(account, file))
                } else {
                    self.context.first_line(&format!("UserKnownHostsFile ~/.ssh/known_hosts\\nGlobalKnownHostsFile {SYSTEM}"))
                },
            ),
            SshVerdict::Revoked(file, lines) => {
                let numbers: Vec<String> = lines.iter().map(ToString::to_string).collect();
                let repair = run(self.context.command_at(&format!("sed -i '{}d'", numbers.join("d;")), file));
                let (file, numbers) = (file.display(), numbers.join(", "));
                let message = format!(
                    "{file}, line {numbers}: the keys of {host} are revoked (@revoked), and ssh refuses them"
                );
                notes.wait("host-key-revoked", message, repair);
            }
            SshVerdict::RevokedByList(list) => notes.wait(
                "host-key-revoked",
                format!(
                    "{list} (RevokedHostKeys) revokes the keys of {host} or can't be read: ssh refuses them"
                ),
                self.context.first_line("RevokedHostKeys none"),
            ),
            SshVerdict::Algorithms => notes.wait(
                "host-key-algorithms",
                format!(
                    "HostKeyAlgorithms of ssh leaves no type of the keys of {host}: ssh takes none of them"
                ),
                self.context.first_line(&format!("HostKeyAlgorithms {ALGORITHMS}")),
            ),
            _ if settings.name != host.to_string() => notes.wait(
                "host-name-elsewhere",
                format!(
                    "ssh of {account} takes {host} for {} (HostName, Port or HostKeyAlias), of which it knows no key that the profile names",
                    settings.name
                ),
                self.back(host, settings),
            ),
            _ => {
                let files: Vec<String> =
                    settings.files.iter().flatten().map(|file| file.display().to_string()).collect();
                let read = if files.is_empty() { "no file".to_owned() } else { files.join(", ") };
                let keyword = self.keyword();
                let what =
                    format!("ssh of {account} reads host keys from {read} and not from {place} ({keyword})");
                notes.wait("host-keys-not-read", what, self.context.first_line(&self.reading(settings)));
            }
        }
    }

    /// Which word of `ssh_config` names files as this one.
    fn keyword(&self) -> &'static str {
        if self.system { "GlobalKnownHostsFile" } else { "UserKnownHostsFile" }
    }

    /// The line that makes ssh read the file, and those of its kind that it reads.
    fn reading(&self, settings: &Settings) -> String {
        // The account chose them: what would not be one word of the line stays out.
        let is_word = |file: &Path| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=".contains(c);
            file.to_str().is_some_and(|file| file.chars().all(plain))
        };
        let others = settings.files.iter().flatten().filter(|file| {
            file.starts_with(&self.context.target.home) != self.system
                && *file != Path::new("/dev/null")
                && is_word(file)
        });
        others.fold(format!("{} {}", self.keyword(), self.path().display()), |line, file| {
            format!("{line} {}", file.display())
        })
    }

    /// What makes ssh look for a server under its own name again.
    fn back(&self, host: &HostName, settings: &Settings) -> Repair {
        if settings.name == ALT_GITLAB_COM && host.to_string() == "gitlab.com" {
            return "name it in known_hosts.hosts of a profile, its keys are built in: \"altssh.gitlab.com:443\"".into();
        }
        let (name, port) = (host.host(), host.port());
        let block =
            format!("Host {name}\\n  HostName {name}\\n  Port {port}\\n  HostKeyAlias {host}\\nHost *");
        self.context.first_line(&block)
    }
}
