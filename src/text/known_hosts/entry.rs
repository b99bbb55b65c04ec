//! Keys that a person wants hosts to have.

use std::fmt;

use super::{HostKey, HostName};
use crate::text::position::TextError;
use crate::text::public_key::word;

/// The host keys of gitlab.com, as <https://docs.gitlab.com/user/gitlab_com/#ssh-known_hosts-entries> lists them.
pub const GITLAB_COM: &str = "\
gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf
gitlab.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsj2bNKTBSpIYDEGk9KxsGh3mySTRgMtXL583qmBpzeQ+jqCMRgBqB98u3z++J1sKlXHWfM9dyhSevkMwSbhoR8XIq/U0tCNyokEi/ueaBMCvbcTHhO7FcwzY92WK4Yt0aGROY5qX2UKSeOvuP4D6TPqKF1onrSzH9bx9XUf2lEdWT/ia1NEKjunUqu1xOB/StKDHMoX4/OKyIzuS0q/T1zOATthvasJFoPrAjkohTyaDUz2LN5JoH839hViyEG82yB+MjcFV5MU3N1l1QL3cVUCh93xSaua1N85qivl+siMkPGbO5xR/En4iEY6K2XPASUEMaieWVNTRCtJ4S8H+9
gitlab.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFSMqzJeV9rUzU4kWitGjeR4PWSa29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY=
";

/// A key that a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHost {
    /// The host.
    pub host: HostName,
    /// Its key.
    pub key: HostKey,
}

/// The line of `known_hosts`, without its newline.
impl fmt::Display for KnownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.host, self.key.kind(), self.key.base64())
    }
}

/// Reads key lines that a person gave: `gitlab.com ssh-ed25519 AAAA…`, also with several hosts joined by commas, and
/// `ssh-ed25519 AAAA…` for `host`. Comments and empty lines are skipped.
///
/// Stricter than [`super::merge`] is with lines that are there: markers, patterns and hashed names are mistakes here.
pub fn entries(text: &str, host: Option<&HostName>) -> Result<Vec<KnownHost>, TextError> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let start = line.len() - line.trim_start_matches([' ', '\t']).len();
        let content = line.get(start..).unwrap_or_default();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        entry_line(line, start, host, &mut entries)
            .map_err(|error| TextError { line: index + 1, ..error })?;
    }
    Ok(entries)
}

fn entry_line(
    line: &str,
    start: usize,
    host: Option<&HostName>,
    entries: &mut Vec<KnownHost>,
) -> Result<(), TextError> {
    let at = |offset: usize, message: &str| TextError::new(1, offset + 1, message);
    let text = |start| {
        let (bytes, next) = word(line.as_bytes(), start);
        (std::str::from_utf8(bytes).unwrap_or_default(), next)
    };
    let (first, second_at) = text(start);
    let (second, third_at) = text(second_at);
    // Every key starts with the length of its type's name, three zero bytes in front.
    let bare = second.starts_with("AAAA");
    let (kind, blob_at) = if bare { (first, second_at) } else { (second, third_at) };
    let (blob, _) = text(blob_at);
    if first.starts_with('@') {
        return Err(at(start, "markers such as @revoked are not taken here"));
    }
    if blob.is_empty() {
        return Err(at(blob_at, "a host, a key type and a key in base64 are wanted"));
    }
    let mut hosts = Vec::new();
    if bare {
        let host = host.ok_or_else(|| at(start, "there is no host before the key"))?;
        hosts.push(host.clone());
    } else {
        let mut offset = start;
        for name in first.split(',') {
            let host = HostName::parse(name)
                .map_err(|error| TextError { column: offset + error.column, ..error })?;
            hosts.push(host);
            offset += name.len() + 1;
        }
    }
    let key = HostKey::from_base64(kind, blob).map_err(|message| at(blob_at, message))?;
    entries.extend(hosts.into_iter().map(|host| {
        let key = key.clone();
        KnownHost { host, key }
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf";

    #[test]
    fn the_shipped_keys_have_the_documented_fingerprints() {
        let prints: Vec<_> = entries(GITLAB_COM, None)
            .unwrap()
            .into_iter()
            .map(|entry| {
                assert_eq!(entry.host.to_string(), "gitlab.com");
                entry.key.fingerprint()
            })
            .collect();
        assert_eq!(
            prints,
            [
                "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
                "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
                "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
            ]
        );
    }

    #[test]
    fn lines_are_read_with_and_without_hosts() {
        let host = HostName::parse("git.example.com:2222").unwrap();
        let text = format!("# mine\r\n\n A.org,b.org:7999\t{KEY} comment\r\n{KEY} x");
        let hosts: Vec<_> =
            entries(&text, Some(&host)).unwrap().iter().map(|entry| entry.host.to_string()).collect();
        assert_eq!(hosts, ["a.org", "[b.org]:7999", "[git.example.com]:2222"]);
    }

    #[test]
    fn mistakes_have_a_place() {
        let line = |host: &str| format!("#\n{host} {KEY}");
        for (text, place) in [
            (KEY.to_owned(), (1, 1)),
            (line("a,-b"), (2, 3)),
            (line("a,,b"), (2, 3)),
            (line("*.org"), (2, 1)),
            (line("|1|AAAA|AAAA"), (2, 1)),
            (line("@revoked a"), (2, 1)),
            ("a".to_owned(), (1, 2)),
            ("a ssh-ed25519".to_owned(), (1, 14)),
            (line("a").replace("ed25519", "rsa"), (2, 11)),
            (line("a").replace("AAAAIA", "AAAAIB=A"), (2, 15)),
        ] {
            let error = entries(&text, None).unwrap_err();
            assert_eq!((error.line, error.column), place, "{text}: {error}");
        }
    }
}
