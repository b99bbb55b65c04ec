//! `known_hosts` (sshd(8), "SSH\_KNOWN\_HOSTS FILE FORMAT"): reading it, and adding keys to it without touching any other line.

use std::fmt;

use line::{KeyLine, Marker};

mod entry;
mod host_name;
mod line;

pub use super::public_key::PublicKey as HostKey;
pub use entry::{GITLAB_COM, KnownHost, entries};
pub use host_name::HostName;

/// A line that speaks of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLine {
    /// The line, counted from 1.
    pub line: usize,
    /// Its key.
    pub key: HostKey,
    /// The line says `@revoked`: the key is never accepted.
    pub revoked: bool,
}

/// The lines with a key for a name as ssh looks it up (see [`HostName`]). Those of certificate authorities are none.
pub fn look_up(existing: &[u8], name: &str) -> Vec<HostLine> {
    let lines = existing.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, raw)| {
            let line = KeyLine::parse(raw).filter(|line| line.marker != Marker::CertAuthority)?;
            let revoked = line.marker == Marker::Revoked;
            line.names(name).then_some(HostLine { line: index + 1, key: line.key, revoked })
        })
        .collect()
}

/// The servers that lines of keys name in plain words, each once.
pub fn hosts(existing: &[u8]) -> Vec<HostName> {
    let lines = existing.split(|byte| *byte == b'\n').filter_map(KeyLine::parse);
    let mut hosts: Vec<HostName> = Vec::new();
    for line in lines.filter(|line| line.marker == Marker::None) {
        for name in line.hosts.split(|byte| *byte == b',') {
            let host = std::str::from_utf8(name).ok().and_then(|name| HostName::parse(name).ok());
            hosts.extend(host.filter(|host| !hosts.contains(host)));
        }
    }
    hosts
}

/// The keys that ssh would accept for `host`. Certificate authorities and revoked keys are none.
pub fn keys_of(existing: &[u8], host: &HostName) -> Vec<HostKey> {
    let (revoked, plain): (Vec<_>, Vec<_>) =
        look_up(existing, &host.to_string()).into_iter().partition(|found| found.revoked);
    let good = |key: &HostKey| revoked.iter().all(|found| found.key != *key);
    plain.into_iter().map(|found| found.key).filter(good).collect()
}

/// Whether one of the patterns names `host`, and none that is negated (`!`) does, as in a line of `known_hosts` or
/// after `Host` in `ssh_config`.
pub fn names(patterns: &str, host: &str) -> bool {
    line::matches_list(patterns.as_bytes(), host)
}

/// A line that contradicts a wanted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The host that both speak of.
    pub host: HostName,
    /// The type that both keys have.
    pub kind: String,
    /// The fingerprint of the key in the file.
    pub existing: String,
    /// The fingerprint of the (first) wanted key of this type.
    pub wanted: String,
    /// The line in the file, counted from 1.
    pub line: usize,
    /// The line says `@revoked` of the very key that is wanted: nothing overrides that.
    pub revoked: bool,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, kind, existing, wanted, line, revoked } = self;
        if *revoked {
            write!(f, "line {line}: the {kind} key {wanted} of {host} is revoked")
        } else {
            write!(f, "line {line}: {host} has the {kind} key {existing}, not {wanted}")
        }
    }
}

/// Everything in the file that contradicts the wanted keys: a rotation of the server's keys, or an attack. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

/// A `known_hosts` file with the wanted keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The new text of the file.
    pub text: Vec<u8>,
    /// The keys that were missing, in the order they were wanted in. Those that replaced another one are among them.
    pub added: Vec<KnownHost>,
    /// The keys that are no longer accepted.
    pub replaced: Vec<Conflict>,
}

/// Adds the wanted keys that are missing. `None` if none is: the file is as wanted.
///
/// A host may be wanted with several keys, also of one type. A line that gives the host another key of a wanted type is a conflict;
/// with `accept_new` it loses the host instead. A wanted key that is `@revoked` for its host is always a conflict.
/// Other lines keep their bytes. Takes time linear in the size of the file, for each wanted host.
pub fn merge(existing: &[u8], wanted: &[KnownHost], accept_new: bool) -> Result<Option<Merge>, Conflicts> {
    let mut missing: Vec<&KnownHost> = Vec::new();
    let mut hosts: Vec<(&HostName, String)> = Vec::new();
    for entry in wanted {
        if !missing.contains(&entry) {
            missing.push(entry);
        }
        if hosts.iter().all(|(host, _)| **host != entry.host) {
            hosts.push((&entry.host, entry.host.to_string()));
        }
    }
    let mut conflicts = Vec::new();
    for (index, raw) in existing.split(|byte| *byte == b'\n').enumerate() {
        let Some(line) = KeyLine::parse(raw).filter(|line| line.marker != Marker::CertAuthority) else {
            continue;
        };
        let revoked = line.marker == Marker::Revoked;
        for (host, _) in hosts.iter().filter(|(_, name)| line.names(name)) {
            let rivals =
                || wanted.iter().filter(|entry| entry.host == **host && entry.key.kind() == line.key.kind());
            let equal = rivals().any(|entry| entry.key == line.key);
            if equal && !revoked {
                missing.retain(|entry| entry.host != **host || entry.key != line.key);
            }
            if equal != revoked {
                continue;
            }
            let Some(rival) = rivals().find(|entry| !revoked || entry.key == line.key) else {
                continue;
            };
            conflicts.push(Conflict {
                host: (*host).clone(),
                kind: line.key.kind().to_owned(),
                existing: line.key.fingerprint(),
                wanted: rival.key.fingerprint(),
                line: index + 1,
                revoked,
            });
        }
    }
    if conflicts.iter().any(|conflict| conflict.revoked || !accept_new) {
        return Err(Conflicts(conflicts));
    }
    if conflicts.is_empty() && missing.is_empty() {
        return Ok(None);
    }
    Ok(Some(write(existing, &missing, conflicts)))
}

/// The file without the conflicts, and with what is missing.
fn write(existing: &[u8], missing: &[&KnownHost], replaced: Vec<Conflict>) -> Merge {
    let added = missing.iter().map(|entry| (*entry).clone()).collect();
    let mut missing = missing.to_vec();
    let mut text = Vec::with_capacity(existing.len() + missing.len() * 500);
    let mut conflicts = replaced.iter().peekable();
    for (index, raw) in existing.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let mut here = Vec::new();
        while let Some(conflict) = conflicts.next_if(|conflict| conflict.line == index + 1) {
            here.push(conflict);
        }
        match KeyLine::parse(raw.strip_suffix(b"\n").unwrap_or(raw)) {
            Some(line) if !here.is_empty() => rewrite(&mut text, raw, &line, &here, &mut missing),
            _ => text.extend_from_slice(raw),
        }
    }
    if !text.is_empty() && !text.ends_with(b"\n") && !missing.is_empty() {
        text.push(b'\n');
    }
    for entry in missing {
        text.extend_from_slice(format!("{entry}\n").as_bytes());
    }
    Merge { text, added, replaced }
}

/// Takes the hosts of the conflicts out of a line. A line that has no other host gets the new key, or goes.
fn rewrite(
    text: &mut Vec<u8>,
    raw: &[u8],
    line: &KeyLine<'_>,
    conflicts: &[&Conflict],
    missing: &mut Vec<&KnownHost>,
) {
    let hosts: Vec<String> = conflicts.iter().map(|conflict| conflict.host.to_string()).collect();
    let end = if raw.ends_with(b"\r\n") { "\r\n" } else { "\n" };
    if let Some(others) = line.hosts_without(&hosts) {
        text.extend_from_slice(&others);
        text.extend_from_slice(line.tail);
        text.extend_from_slice(end.as_bytes());
        return;
    }
    let [conflict] = conflicts else { return };
    let new = |entry: &&KnownHost| entry.host == conflict.host && entry.key.kind() == conflict.kind;
    if let Some(index) = missing.iter().position(new) {
        let key = &missing.remove(index).key;
        text.extend_from_slice(line.hosts);
        text.extend_from_slice(format!(" {} {}{end}", key.kind(), key.base64()).as_bytes());
    }
}
