//! Host keys of the servers that jobs push to.
//!
//! Adds missing lines only; a different key of the same host and type is an error, never an append. By
//! default in `/etc/ssh/ssh_known_hosts`, where no job can prepare a man in the middle for the next.

mod judge;

use std::path::{Path, PathBuf};

use anyhow::Result;
use judge::{ALT_GITLAB_COM, JudgedFile, SYSTEM};
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use crate::change::{Change, FileKind, FileOp, Meta, Notes, Op, Owner, Place, Seen};
use crate::facts::{MOST_BYTES, ssh};
use crate::fault::{fault, look_and_move, look_and_move_aside};
use crate::text::known_hosts::{self, GITLAB_COM, HostKey, HostName, KnownHost};

const HOME: &str = ssh::OWN_HOSTS[0];
/// The `[known_hosts]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownHosts {
    /// The servers.
    hosts: Vec<Host>,
    /// Which file holds their keys.
    #[serde(default)]
    file: HostsFile,
}

/// Which file holds the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum HostsFile {
    /// `/etc/ssh/ssh_known_hosts`.
    #[default]
    System,
    /// `~/.ssh/known_hosts`, which jobs can change.
    Account,
}

/// A server and where its keys come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Given")]
#[schemars(with = "Given")]
struct Host {
    name: HostName,
    source: KeysFrom,
}

#[derive(Debug, Clone)]
enum KeysFrom {
    Keys(Vec<KnownHost>),
    File(PathBuf),
    Fingerprint(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a host name, or a table with `host` and one of `keys`, `file`, `fingerprint`")]
enum Given {
    /// A server whose keys are built in.
    Name(String),
    /// A server, and one of the ways to know its keys.
    Table(HostTable),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HostTable {
    /// A name or an address, and `:PORT` where it is not 22.
    host: String,
    /// Its keys, as `ssh-keyscan` prints them or without the name.
    keys: Option<Vec<String>>,
    /// A file in the format of `known_hosts`.
    #[schemars(extend("pattern" = "^/"))]
    file: Option<PathBuf>,
    /// `SHA256:…`; the key is then fetched, but only with `--scan-host-keys`.
    #[schemars(extend("pattern" = "^SHA256:[A-Za-z0-9+/]{43}$"))]
    fingerprint: Option<String>,
}

impl TryFrom<Given> for Host {
    type Error = anyhow::Error;
    fn try_from(given: Given) -> Result<Self> {
        let (host, keys, file, fingerprint) = match given {
            Given::Name(host) => (host, None, None, None),
            Given::Table(HostTable { host, keys, file, fingerprint }) => (host, keys, file, fingerprint),
        };
        let name =
            HostName::parse(&host).map_err(|error| anyhow::anyhow!("host {host:?}: {}", error.message))?;
        let source = match (keys, file, fingerprint) {
            (None, None, None) => KeysFrom::Keys(pinned(&name)?),
            (Some(lines), None, None) => KeysFrom::Keys(given_keys(&name, &lines)?),
            (None, Some(path), None) if path.is_absolute() => KeysFrom::File(path),
            (None, Some(path), None) => {
                anyhow::bail!("`file` must be an absolute path, {} is none", path.display())
            }
            (None, None, Some(fingerprint)) => KeysFrom::Fingerprint(check_fingerprint(fingerprint)?),
            _ => anyhow::bail!("give {name} one of `keys`, `file` and `fingerprint`, not several"),
        };
        Ok(Self { name, source })
    }
}

/// The keys shipped with the program.
fn pinned(name: &HostName) -> Result<Vec<KnownHost>> {
    let all = known_hosts::entries(GITLAB_COM, None)?;
    if all.iter().all(|entry| entry.host != *name) && name.to_string() != ALT_GITLAB_COM {
        anyhow::bail!(
            "there are no built-in keys of {name}; give `keys`, `file` or `fingerprint` beside `host`"
        );
    }
    Ok(all.into_iter().map(|entry| KnownHost { host: name.clone(), ..entry }).collect())
}

fn given_keys(name: &HostName, lines: &[String]) -> Result<Vec<KnownHost>> {
    let mut keys = Vec::new();
    for line in lines {
        let parsed = known_hosts::entries(line, Some(name)).map_err(|error| {
            anyhow::anyhow!("a key of {name}: column {}: {}", error.column, error.message)
        })?;
        if parsed.len() != 1 {
            anyhow::bail!("a key of {name} must be one line: `ssh-ed25519 AAAA…`");
        }
        if let Some(other) = parsed.iter().find(|entry| entry.host != *name) {
            anyhow::bail!("a key of {name} is for another host: {}", other.host);
        }
        keys.extend(parsed);
    }
    if keys.is_empty() {
        anyhow::bail!("the list of keys of {name} is empty");
    }
    Ok(keys)
}

fn check_fingerprint(fingerprint: String) -> Result<String> {
    let base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    match fingerprint.strip_prefix("SHA256:") {
        Some(rest) if rest.len() == 43 && rest.chars().all(base64) => Ok(fingerprint),
        _ => anyhow::bail!("a fingerprint is `SHA256:` and 43 characters, as ssh-keygen -l prints it"),
    }
}

impl Resource for KnownHosts {
    fn in_home(&self) -> &'static [&'static str] {
        &[ssh::CONFIG, ssh::OWN_HOSTS[0], ssh::OWN_HOSTS[1], SYSTEM]
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        notes.call("ssh");
        let (place, before) = self.look(context)?;
        let existing = before.as_ref().map(|seen| seen.bytes.as_slice()).unwrap_or_default();
        let mut wanted = Vec::new();
        for host in &self.hosts {
            wanted.extend(host.keys(context, existing, notes)?);
        }
        let accept = context.options.accept_new_host_keys;
        let merged = known_hosts::merge(existing, &wanted, accept).map_err(|conflicts| {
            fault(
                "host-key-differs",
                format!("{place}: {conflicts}"),
                "a rotation of the server's keys, or an attack: ask its administrator, then correct the profile or \
                 run with --accept-new-host-keys",
            )
        })?;
        let judge = JudgedFile { context, place: &place, system: self.file == HostsFile::System };
        let shut = judge.shut()?;
        let planned = merged.as_ref().map_or(existing, |merged| &merged.text);
        let asked = judge.ask(
            self.servers(),
            &wanted,
            (before.as_ref().map(|_| existing), planned),
            shut.as_deref(),
            notes,
        )?;
        let shut = shut.is_some_and(|shut| shut == place.path());
        let mut names: Vec<String> = wanted.iter().map(|entry| entry.host.to_string()).collect();
        let own = Owner::Account(context.target.name.clone());
        let meta = match (&before, self.file) {
            (Some(seen), HostsFile::System) if shut => Meta { mode: seen.mode | 0o644, ..seen.meta() },
            (Some(seen), HostsFile::System) => seen.meta(),
            (None, HostsFile::System) => Meta { owner: Owner::Root, mode: 0o644 },
            (seen, HostsFile::Account) => Meta {
                owner: own.clone(),
                mode: seen.as_ref().map_or(0o644, |seen| seen.mode & 0o644 | 0o600),
            },
        };
        let shut_why = |seen: &Seen| {
            format!(
                "it has mode {:04o}: jobs of {} can't read the host keys in it",
                seen.mode, context.target.name
            )
        };
        // No mode shuts it then.
        if let Some(seen) = before.as_ref().filter(|seen| shut && meta.mode == seen.mode) {
            let path = place.path();
            let repair = context.opening(&path, context.command_at("chmod a+r", &path));
            notes.wait("host-keys-shut", format!("{place}: {}", shut_why(seen)), repair);
            return Ok(Vec::new());
        }
        let Some(merged) = merged else {
            let Some(before) = before.filter(|_| shut) else {
                names.dedup();
                if !names.is_empty() {
                    let asked = if asked { "; ssh was asked what it reads (ssh -G)" } else { "" };
                    notes
                        .right("known_hosts", format!("{place} has the keys of {}{asked}", names.join(", ")));
                }
                return Ok(Vec::new());
            };
            let (why, op) = (shut_why(&before), Op::Metadata { place, before, after: meta });
            return Ok(vec![Change::of("known_hosts", why, op)]);
        };
        let mut names: Vec<String> = merged.added.iter().map(|entry| entry.host.to_string()).collect();
        names.dedup();
        let mut why = format!("it lacks keys of {}: ssh would refuse to connect", names.join(", "));
        if let Some(seen) = before.as_ref().filter(|_| shut) {
            why = format!("{why}; {}", shut_why(seen));
        }
        let mut changes = Vec::new();
        if before.is_none() {
            changes.extend(self.directory(context, own)?);
        }
        changes.push(Change::of("known_hosts", why, FileOp::new(place, before, merged.text, meta)));
        Ok(changes)
    }
}

impl KnownHosts {
    /// The names of the servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = &HostName> {
        self.hosts.iter().map(|host| &host.name)
    }

    /// The file and what is in it.
    fn look(&self, context: &Context<'_>) -> Result<(Place, Option<Seen>)> {
        let target = context.target;
        let (place, seen) = match self.file {
            HostsFile::System => {
                let path = Path::new(SYSTEM);
                let seen = context.facts.file(path, MOST_BYTES)?;
                let resolved = seen.as_ref().and_then(|seen| seen.resolved.clone());
                (Place::System(resolved.unwrap_or_else(|| path.into())), seen)
            }
            HostsFile::Account => {
                let place = target.place(HOME);
                (place, context.home_file(HOME)?)
            }
        };
        match seen {
            Some(seen) if seen.kind != FileKind::Regular || seen.links != 1 => Err(fault(
                "known-hosts-kind",
                match seen.resolved.as_ref().filter(|_| self.file == HostsFile::System) {
                    Some(to) => format!(
                        "{SYSTEM} leads to {}, which is {}: it is not replaced",
                        to.display(),
                        seen.oddity()
                    ),
                    None => format!("{place} is {}: it is not followed or replaced", seen.oddity()),
                },
                match self.file {
                    // Not what a link leads to, which may be the system's.
                    HostsFile::System => look_and_move(Path::new(SYSTEM)),
                    HostsFile::Account => look_and_move_aside(&target.name, &place.path()),
                },
            )),
            seen => Ok((place, seen)),
        }
    }

    /// The directory that a new file needs.
    fn directory(&self, context: &Context<'_>, own: Owner) -> Result<Option<Change>> {
        let (place, meta, exists) = match self.file {
            HostsFile::System => {
                let path = Path::new("/etc/ssh");
                let exists = context.facts.stat(path)?.is_some();
                (Place::System(path.into()), Meta { owner: Owner::Root, mode: 0o755 }, exists)
            }
            HostsFile::Account => {
                let exists = context.home_file(".ssh")?.is_some();
                (context.target.place(".ssh"), Meta { owner: own, mode: 0o700 }, exists)
            }
        };
        let op = Op::Directory { place, before: None, after: meta };
        Ok((!exists).then(|| Change::of("known_hosts", "there is no directory for host keys", op)))
    }

    /// What ssh is told to reach the server that is meant.
    pub(super) fn server(&self) -> String {
        let is_own = |name: &&HostName| !name.host().ends_with("gitlab.com");
        self.servers().find(is_own).map_or_else(|| "git@gitlab.com".to_owned(), HostName::for_ssh)
    }
}

impl Host {
    /// The keys that are wanted, from wherever the profile says.
    fn keys(&self, context: &Context<'_>, existing: &[u8], notes: &mut Notes) -> Result<Vec<KnownHost>> {
        let name = &self.name;
        match &self.source {
            KeysFrom::Keys(keys) => Ok(keys.clone()),
            KeysFrom::File(path) => {
                let shown = path.display();
                let file =
                    context.facts.given_file(path, MOST_BYTES)?.filter(|file| file.kind == FileKind::Regular);
                let keys = file.map(|file| known_hosts::keys_of(&file.bytes, name)).unwrap_or_default();
                if keys.is_empty() {
                    let repair = mend!(
                        "put the server's key lines there, or name another file in known_hosts.hosts: {}",
                        shown
                    );
                    return Err(fault("host-key-missing", format!("{shown} has no key of {name}"), repair));
                }
                Ok(self.entries(keys))
            }
            KeysFrom::Fingerprint(wanted) => self.by_fingerprint(context, existing, wanted, notes),
        }
    }

    fn by_fingerprint(
        &self,
        context: &Context<'_>,
        existing: &[u8],
        wanted: &str,
        notes: &mut Notes,
    ) -> Result<Vec<KnownHost>> {
        let name = &self.name;
        let fits = |keys: Vec<HostKey>| -> Vec<HostKey> {
            keys.into_iter().filter(|key| key.fingerprint() == wanted).collect()
        };
        let known = fits(known_hosts::keys_of(existing, name));
        if !known.is_empty() {
            return Ok(self.entries(known));
        }
        if !context.options.scan_host_keys {
            let what = format!("the key {wanted} of {name} is not known yet, and the network is not asked");
            notes.wait("host-key-unscanned", what, mend!("$ {} --scan-host-keys", context.options.command));
            return Ok(Vec::new());
        }
        let scanned = context.facts.scan_host_keys(name.host(), name.port())?;
        let scanned = known_hosts::keys_of(scanned.as_bytes(), name);
        let found: Vec<String> = scanned.iter().map(HostKey::fingerprint).collect();
        let keys = fits(scanned);
        if keys.is_empty() {
            let found = if found.is_empty() { "no key".to_owned() } else { found.join(", ") };
            let what = format!("{name} does not show the key {wanted} but {found}");
            let repair = "a wrong fingerprint in the profile, or an attack: ask the server's administrator";
            return Err(fault("host-key-differs", what, repair));
        }
        Ok(self.entries(keys))
    }

    fn entries(&self, keys: Vec<HostKey>) -> Vec<KnownHost> {
        keys.into_iter().map(|key| KnownHost { host: self.name.clone(), key }).collect()
    }
}
