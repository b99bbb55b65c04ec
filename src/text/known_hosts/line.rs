//! One line of a `known_hosts` file, read as OpenSSH's `hostfile.c` and `match.c` do.

use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::text::public_key::{PublicKey, word};
use crate::text::ssh_wire::from_base64;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// Nothing: the hosts have this key.
    None,
    /// `@revoked`: the key must never be accepted.
    Revoked,
    /// `@cert-authority`: the key signs the hosts' certificates.
    CertAuthority,
}

/// A line that holds a key.
#[derive(Debug)]
pub(super) struct KeyLine<'a> {
    pub(super) marker: Marker,
    /// Patterns joined by commas, or one hashed name.
    pub(super) hosts: &'a [u8],
    /// The line after `hosts`.
    pub(super) tail: &'a [u8],
    pub(super) key: PublicKey,
}

impl<'a> KeyLine<'a> {
    /// Reads a line without its line end. `None` for anything that ssh skips: comments, empty lines, lines that it can't read.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.split(|byte| *byte == 0).next()?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let mut start = blanks.count();
        let (mut hosts, mut next) = word(line, start);
        // A marker ends at the first space of the line, and at a tab only where there is none.
        let ends_at_tab = hosts.starts_with(b"@") && line.get(start + hosts.len()) == Some(&b'\t');
        let marker = match hosts {
            _ if ends_at_tab && line.contains(&b' ') => return None,
            b"@revoked" => Marker::Revoked,
            b"@cert-authority" => Marker::CertAuthority,
            [] | [b'#' | b'@', ..] => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            start = next;
            (hosts, next) = word(line, start);
        }
        let (kind, blob_at) = word(line, next);
        let (blob, _) = word(line, blob_at);
        let key = PublicKey::from_blob(&from_base64(blob)?).ok()?;
        let tail = line.get(start + hosts.len()..)?;
        says(std::str::from_utf8(kind).ok()?, key.kind()).then_some(Self { marker, hosts, tail, key })
    }

    /// Whether the line speaks of `host`, given in lower case as [`super::HostName`] writes it.
    pub(super) fn names(&self, host: &str) -> bool {
        if self.hosts.first() == Some(&b'|') {
            return is_hash_of(self.hosts, host).unwrap_or(false);
        }
        matches_list(self.hosts, host)
    }

    /// The patterns of the line so that they name none of `hosts` any more. `None` if nothing else is left.
    pub(super) fn hosts_without(&self, hosts: &[String]) -> Option<Vec<u8>> {
        if self.hosts.first() == Some(&b'|') {
            return None;
        }
        let removed =
            |pattern: &&[u8]| !hosts.iter().any(|host| pattern.eq_ignore_ascii_case(host.as_bytes()));
        let rest: Vec<&[u8]> = self.hosts.split(|byte| *byte == b',').filter(removed).collect();
        if rest.iter().all(|pattern| matches!(pattern.first(), None | Some(b'!'))) {
            return None;
        }
        let mut rest = rest.join(&b',');
        for host in hosts {
            if matches_list(&rest, host) {
                rest.extend_from_slice(b",!");
                rest.extend_from_slice(host.as_bytes());
            }
        }
        Some(rest)
    }
}

/// Whether the written type stands for a key of `kind`: its name, its short name, or a signature algorithm of it.
fn says(written: &str, kind: &str) -> bool {
    let short = match kind {
        "ssh-rsa" if written.starts_with("rsa-sha2-") => return true,
        "ssh-rsa" => "RSA",
        "ssh-dss" => "DSA",
        "ssh-ed25519" => "ED25519",
        "sk-ssh-ed25519@openssh.com" => "ED25519-SK",
        "sk-ecdsa-sha2-nistp256@openssh.com" => "ECDSA-SK",
        _ => "ECDSA",
    };
    written == kind || written.eq_ignore_ascii_case(short)
}

/// Whether `|1|salt|hash` is the HMAC-SHA1 of `host`. `None` if it is malformed.
fn is_hash_of(hashed: &[u8], host: &str) -> Option<bool> {
    let rest = hashed.strip_prefix(b"|1|")?;
    let bar = rest.iter().position(|byte| *byte == b'|')?;
    let (salt, hash) = (rest.get(..bar)?, rest.get(bar + 1..)?);
    let (salt, hash) = (from_base64(salt)?, from_base64(hash)?);
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(host.as_bytes());
    Some(salt.len() == 20 && mac.verify_slice(&hash).is_ok())
}

/// Whether a list of patterns names `host`: one matches, and none that is negated (`!`) does.
pub(super) fn matches_list(list: &[u8], host: &str) -> bool {
    /// What is longer names nothing, and with it the whole list.
    const LONGEST: usize = 1022;
    let mut positive = false;
    for pattern in list.split(|byte| *byte == b',') {
        if pattern.strip_prefix(b"!").unwrap_or(pattern).len() > LONGEST {
            return false;
        }
        match pattern.strip_prefix(b"!") {
            Some(negated) if matches(negated, host.as_bytes()) => return false,
            Some(_) => {}
            None => positive |= matches(pattern, host.as_bytes()),
        }
    }
    positive
}

/// Whether a pattern with `*` and `?` matches the whole of `text`. Case does not matter.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if the present attempt fails: after the last `*`, with one more byte swallowed by it.
    let mut retry = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
            }
            (Some(b'?'), Some(_)) => (p, t) = (p + 1, t + 1),
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => (p, t) = (p + 1, t + 1),
            (None, None) => return true,
            _ => match retry {
                Some((after, swallowed)) if swallowed < text.len() => {
                    (p, t) = (after, swallowed + 1);
                    retry = Some((p, t));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_ssh() {
        for (list, host, expected) in [
            ("gitlab.com", "gitlab.com", true),
            ("GitLab.com", "gitlab.com", true),
            ("gitlab.co", "gitlab.com", false),
            ("a,,gitlab.com", "gitlab.com", true),
            ("*.com", "gitlab.com", true),
            ("*", "[gitlab.com]:2222", true),
            ("gitlab.???", "gitlab.com", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxxbd", false),
            ("*,!gitlab.com", "gitlab.com", false),
            ("!gitlab.com,*", "gitlab.com", false),
            ("!other", "gitlab.com", false),
            ("[gitlab.com]:22", "gitlab.com", false),
            ("", "gitlab.com", false),
        ] {
            assert_eq!(matches_list(list.as_bytes(), host), expected, "{list}");
        }
        // Exponential in a naive matcher.
        let pattern = "*a".repeat(400) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }

    #[test]
    fn a_hash_is_compared_with_its_salt() {
        // From sshd(8).
        let hashed = b"|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM=";
        assert_eq!(is_hash_of(hashed, "gitlab.com"), Some(false));
        assert_eq!(is_hash_of(b"|1|AAAA|AAAA", "gitlab.com"), Some(false));
        assert_eq!(is_hash_of(b"|2|AAAA|AAAA", "gitlab.com"), None);
        assert_eq!(is_hash_of(b"|1|AAAA", "gitlab.com"), None);
    }
}
