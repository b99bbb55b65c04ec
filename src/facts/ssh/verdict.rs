//! What ssh would say of a server's host keys.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Settings, Trust, is_usual_system};
use crate::change::FileKind;
use crate::facts::{Account, Facts, Finished, MOST_BYTES};
use crate::fault::{self, Nature};
use crate::text::known_hosts::{self, HostKey, HostLine};
use crate::text::public_key::public_line;

/// What ssh would say of a server's host keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshVerdict {
    /// It takes one of them, which this file has.
    Accepts(PathBuf),
    /// It takes any key, because it was told to.
    TakesAny,
    /// A file revokes all of them that are known: these lines of it.
    Revoked(PathBuf, Vec<usize>),
    /// The list in `RevokedHostKeys` does, or can't be read.
    RevokedByList(String),
    /// A file has another key, with this fingerprint, and none has the right one.
    Changed(PathBuf, HostKey),
    /// The right key is in a file that the account can't read because of this part of its path.
    Shut(PathBuf, PathBuf),
    /// This file is something that has no end, and ssh waits for it.
    Endless(PathBuf, FileKind),
    /// No file has a key of the server.
    Missing,
    /// `HostKeyAlgorithms` leaves none of the known keys.
    Algorithms,
    /// It can't be told, because of this.
    Unknown(String),
}

impl Settings {
    /// What ssh would say of a server with one of the `wanted` keys; of any key where none is given. Where a file
    /// is `planned`, it is judged with these bytes.
    ///
    /// # Errors
    /// When a file can't be looked at.
    pub fn verdict(
        &self,
        facts: &Facts<'_>,
        account: &Account,
        files: &mut HostKeyFiles,
        wanted: &[HostKey],
        planned: Option<(&Path, &[u8])>,
    ) -> Result<SshVerdict> {
        // Some versions of ssh expand such a name, and others do not.
        let is_plain = |list: &&String| list.starts_with('/') && !list.contains(['%', '$']);
        if let Some(list) = self.revoked.as_ref().filter(|list| !is_plain(list)) {
            return Ok(SshVerdict::Unknown(format!(
                "where {list} (RevokedHostKeys) leads only ssh can tell"
            )));
        }
        let mut verdict = self.by_name(facts, account, files, &self.name, (wanted, planned))?;
        if let Some(name) = self.without_port.as_ref().filter(|_| verdict == SshVerdict::Missing) {
            // ssh goes on to look without the port.
            verdict = self.by_name(facts, account, files, name, (wanted, planned))?;
        }
        Ok(match verdict {
            SshVerdict::Accepts(_) | SshVerdict::TakesAny | SshVerdict::Missing if self.command => {
                SshVerdict::Unknown(
                    "a program has a say on host keys, and ssh ends where it fails (KnownHostsCommand)"
                        .to_owned(),
                )
            }
            SshVerdict::Accepts(path) => SshVerdict::Accepts(path),
            _ if self.ways.contains(&"NoHostAuthenticationForLocalhost") => SshVerdict::Unknown(
                "ssh asks this very host for no key (NoHostAuthenticationForLocalhost)".to_owned(),
            ),
            verdict => verdict,
        })
    }

    fn by_name(
        &self,
        facts: &Facts<'_>,
        account: &Account,
        files: &mut HostKeyFiles,
        name: &str,
        (wanted, planned): (&[HostKey], Option<(&Path, &[u8])>),
    ) -> Result<SshVerdict> {
        let mut lines: Vec<(PathBuf, Option<PathBuf>, HostLine)> = Vec::new();
        let mut unknown = None;
        for file in &self.files {
            let path = match file {
                Ok(path) => path,
                Err(name) => {
                    unknown.get_or_insert(format!("where {name} leads only ssh can tell"));
                    continue;
                }
            };
            let seen = match (files.look(facts, account, path)?, planned) {
                // What is written is written so that it can be read; the way there is not ours.
                (seen, Some((planned, bytes))) if planned == path => match seen {
                    Readable::Bytes(_, Some(shut)) if shut != path => {
                        Readable::Bytes(bytes.to_vec(), Some(shut.clone()))
                    }
                    _ => Readable::Bytes(bytes.to_vec(), None),
                },
                (seen, _) => seen.clone(),
            };
            match seen {
                Readable::No => {}
                Readable::Endless(kind) => return Ok(SshVerdict::Endless(path.clone(), kind)),
                Readable::Bytes(bytes, shut) => {
                    let found = known_hosts::look_up(&bytes, name);
                    lines.extend(found.into_iter().map(|found| (path.clone(), shut.clone(), found)));
                }
                Readable::Unknown(why) => drop(unknown.get_or_insert(why)),
            }
        }
        let is_wanted = |key: &HostKey| wanted.is_empty() || wanted.contains(key);
        let (open, shut): (Vec<_>, Vec<_>) = lines.into_iter().partition(|(_, shut, _)| shut.is_none());
        let (revoked, plain): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, _, found)| found.revoked);
        let is_revoked = |key: &HostKey| revoked.iter().any(|(_, _, found)| found.key == *key);
        let mut right: Vec<_> =
            plain.iter().filter(|(_, _, found)| is_wanted(&found.key) && !is_revoked(&found.key)).collect();
        if !right.is_empty() {
            right.retain(|(_, _, found)| is_taken(&self.algorithms, found.key.kind()));
            if right.is_empty() {
                return Ok(SshVerdict::Algorithms);
            }
            right.retain(|(_, _, found)| !self.is_listed(facts, account, &found.key));
            return Ok(match (right.first(), &self.revoked) {
                (Some((path, ..)), _) => SshVerdict::Accepts(path.clone()),
                (None, list) => SshVerdict::RevokedByList(list.clone().unwrap_or_default()),
            });
        }
        // The list counts, whatever else is taken.
        if let Some(list) = self.revoked.as_ref().filter(|_| !wanted.is_empty()) {
            if wanted.iter().all(|key| self.is_listed(facts, account, key)) {
                return Ok(SshVerdict::RevokedByList(list.clone()));
            }
        }
        if self.trust == Trust::All {
            return Ok(SshVerdict::TakesAny);
        }
        let revoking = || revoked.iter().filter(|(_, _, found)| is_wanted(&found.key));
        if let Some((path, ..)) = revoking().next() {
            let lines = revoking().filter(|(other, ..)| other == path).map(|(_, _, found)| found.line);
            return Ok(SshVerdict::Revoked(path.clone(), lines.collect()));
        }
        if let Some((path, Some(by), _)) = shut.into_iter().find(|(_, _, found)| is_wanted(&found.key)) {
            return Ok(SshVerdict::Shut(path, by));
        }
        let is_rival = |found: &HostLine| wanted.iter().any(|key| key.kind() == found.key.kind());
        if let Some((path, _, found)) = plain.into_iter().find(|(_, _, found)| is_rival(found)) {
            return Ok(SshVerdict::Changed(path, found.key));
        }
        Ok(match unknown {
            _ if self.trust == Trust::Strangers => SshVerdict::TakesAny,
            Some(why) => SshVerdict::Unknown(why),
            None => SshVerdict::Missing,
        })
    }

    /// Whether `RevokedHostKeys` revokes a key.
    fn is_listed(&self, facts: &Facts<'_>, account: &Account, key: &HostKey) -> bool {
        let listed = |list: &String| is_listed(facts, account, list, key).unwrap_or(true);
        self.revoked.as_ref().is_some_and(listed)
    }
}

/// Whether a key of this type may be used with one of the algorithms; none means all.
pub fn is_taken(algorithms: &[String], kind: &str) -> bool {
    let fits = |name: &String| name == kind || kind == "ssh-rsa" && name.starts_with("rsa-sha2-");
    algorithms.is_empty() || algorithms.iter().any(fits)
}

/// The files of host keys, each looked at once.
#[derive(Debug, Default)]
pub struct HostKeyFiles(BTreeMap<PathBuf, Readable>);

impl HostKeyFiles {
    /// With one that was read already.
    ///
    /// # Errors
    /// When it can't be told whether the account can read it.
    pub fn with(facts: &Facts<'_>, account: &Account, path: &Path, bytes: Option<&[u8]>) -> Result<Self> {
        let readable = match bytes {
            Some(bytes) => Readable::Bytes(bytes.to_vec(), facts.shut_out(account, path)?),
            None => Readable::No,
        };
        Ok(Self(BTreeMap::from([(path.to_owned(), readable)])))
    }

    fn look(&mut self, facts: &Facts<'_>, account: &Account, path: &Path) -> Result<&Readable> {
        Ok(match self.0.entry(path.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(content(facts, account, path)?),
        })
    }
}

/// What a file of host keys is for the account.
#[derive(Debug, Clone)]
enum Readable {
    No,
    /// Nothing that ends.
    Endless(FileKind),
    /// Its bytes, and what shuts the account out.
    Bytes(Vec<u8>, Option<PathBuf>),
    Unknown(String),
}

fn content(facts: &Facts<'_>, account: &Account, path: &Path) -> Result<Readable> {
    let own = path.strip_prefix(&account.home).ok().and_then(Path::to_str);
    let usual = is_usual_system(path);
    let looked = match own {
        Some(own) => facts.home_file(account, own),
        None if usual => facts.file(path, MOST_BYTES),
        None => Ok(None),
    };
    // Where the account has a say in what is named, it is looked at with its rights, and is nobody else's matter.
    let of_account = match (own, &looked) {
        (Some(_), looked) => matches!(looked, Ok(Some(seen)) if seen.kind == FileKind::Link),
        (None, _) => !usual,
    };
    let seen = match if of_account { facts.file_for(account, path) } else { looked } {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok(Readable::No),
        // What the account can't read it passes over.
        Err(error) if fault::is(&error, Nature::Foreign) => return Ok(Readable::No),
        Err(error) if of_account || fault::is(&error, Nature::Obstacle) => {
            return Ok(Readable::Unknown(format!("{error:#}")));
        }
        Err(error) => return Err(error),
    };
    Ok(match seen.kind {
        FileKind::Regular => match facts.shut_out(account, seen.resolved.as_deref().unwrap_or(path))? {
            // What it has locked itself out of, too.
            Some(_) if own.is_some() => Readable::No,
            shut => Readable::Bytes(seen.bytes, shut),
        },
        _ if seen.resolved.as_deref().unwrap_or(path) == Path::new("/dev/null") => {
            Readable::Bytes(Vec::new(), None)
        }
        kind @ (FileKind::Fifo | FileKind::Device) => Readable::Endless(kind),
        _ => Readable::No,
    })
}

/// Whether the list that `RevokedHostKeys` names has a key: one that `ssh-keygen -k` made, or lines of public keys. One
/// that can't be read, or whose lines can't be up to the key, revokes every key.
fn is_listed(facts: &Facts<'_>, account: &Account, list: &str, key: &HostKey) -> Result<bool> {
    let Readable::Bytes(bytes, None) = content(facts, account, Path::new(list))? else { return Ok(true) };
    if bytes.starts_with(b"SSHKRL\n\0") {
        let line = format!("{} {}\n", key.kind(), key.base64());
        let said = facts.ask(account, "ssh-keygen", &["-Q", "-f", list, "/dev/stdin"], line.as_bytes())?;
        return Ok(!said.as_ref().is_some_and(Finished::success));
    }
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    let mut lines = lines.filter(|line| !matches!(line.first(), None | Some(b'#')));
    Ok(lines.any(|line| public_line(line).map_or(true, |line| line.key() == key)))
}
