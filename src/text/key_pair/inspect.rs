//! What a private key file is: OpenSSH's `PROTOCOL.key`, and the traditional PEM kinds (RFC 7468).
//!
//! Not by the crate `ssh-key`: it refuses lines of another width than 70, empty lines, text after the key, and comments that
//! are no UTF-8, all of which `ssh-keygen` reads; and takes CRLF, and a last line without its newline, which
//! `ssh-keygen` refuses (`tests/key_pair.rs` asks it).

use ssh_key::private::Ed25519Keypair;

use crate::text::public_key::{PublicKey, PublicLine, UNKNOWN_TYPE};
use crate::text::ssh_wire::{Wire, from_base64};

const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &[u8] = b"\n-----END OPENSSH PRIVATE KEY-----\n";

/// The labels of PEM blocks that `ssh-keygen` reads as private keys.
const PEM_LABELS: [&str; 5] =
    ["RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

/// What the bytes of a private key file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// A key in OpenSSH's own format.
    OpenSsh {
        /// Its public half. The comment of an encrypted key can't be read, and is empty.
        public: PublicLine,
        /// Whether a passphrase is needed. Then only the public half was checked.
        encrypted: bool,
    },
    /// A key in a format whose public half this module can't derive: ask `ssh-keygen -y -P ''`, which may still refuse it.
    Foreign {
        /// The label of its PEM block, such as `RSA PRIVATE KEY`, or the type of an OpenSSH key that is not known here.
        format: String,
        /// Whether a passphrase is needed.
        encrypted: bool,
    },
    /// Nothing that ssh would take for a private key.
    NotAKey {
        /// Why, for a human. Never a part of the content.
        reason: &'static str,
    },
}

/// Tells what a private key file is. Takes any bytes, never panics, and takes time linear in their number.
pub fn inspect(bytes: &[u8]) -> Inspection {
    let result = if bytes.starts_with(BEGIN) { openssh(bytes) } else { pem(bytes) };
    result.unwrap_or_else(|reason| Inspection::NotAKey { reason })
}

/// Reads OpenSSH's format with the strictness of OpenSSH 9.2: line ends are LF, and the last line has one. Text after it is ignored.
fn openssh(bytes: &[u8]) -> Result<Inspection, &'static str> {
    const CUT: &str = "it is cut short, or damaged";
    const DAMAGED: &str = "its private part is damaged";
    // The newline before END may be the one of BEGIN.
    let text = bytes.get(BEGIN.len() - 1..).unwrap_or_default();
    let end = find(text, END).ok_or("it has no last line, or that line no newline")?;
    let text = text.get(..end).unwrap_or_default();
    let decoded = from_base64(text).ok_or("it is not valid base64")?;

    let mut wire = Wire(&decoded);
    if wire.bytes(15) != Some(b"openssh-key-v1\0") {
        return Err("it does not hold an OpenSSH key");
    }
    let cipher = wire.string().ok_or(CUT)?;
    let kdf = wire.string().ok_or(CUT)?;
    let _options = wire.string().ok_or(CUT)?;
    if wire.number().ok_or(CUT)? != 1 {
        return Err("it holds several keys");
    }
    let blob = wire.string().ok_or(CUT)?;
    let private = wire.string().ok_or(CUT)?;
    let encrypted = cipher != b"none";
    if encrypted != (kdf != b"none") {
        return Err("its encryption is contradictory");
    }
    let key = match PublicKey::from_blob(blob) {
        Ok(key) => key,
        Err(UNKNOWN_TYPE) => {
            let format = type_name(blob).ok_or(UNKNOWN_TYPE)?;
            return Ok(Inspection::Foreign { format, encrypted });
        }
        Err(reason) => return Err(reason),
    };
    if encrypted {
        let public = PublicLine::new(key, "");
        return Ok(Inspection::OpenSsh { public, encrypted });
    }
    if !wire.is_empty() || private.is_empty() || private.len() % 8 != 0 {
        return Err(CUT);
    }
    let mut wire = Wire(private);
    if wire.number().ok_or(CUT)? != wire.number().ok_or(CUT)? {
        return Err(DAMAGED);
    }
    if !belongs(&mut wire, &key).ok_or(DAMAGED)? {
        return Err("its private half does not belong to its public half");
    }
    let comment = wire.string().ok_or(DAMAGED)?;
    if !wire.0.iter().copied().eq((1..=255).take(wire.0.len())) {
        return Err(DAMAGED);
    }
    let public = PublicLine::new(key, &String::from_utf8_lossy(comment));
    Ok(Inspection::OpenSsh { public, encrypted })
}

/// The type of a key that this module does not know, such as a certificate, if it is a proper name.
fn type_name(blob: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(Wire(blob).string()?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-@._".contains(c);
    (!name.is_empty() && name.len() <= 64 && name.chars().all(plain)).then(|| name.to_owned())
}

/// Reads the private fields of `key`, and compares them with it as far as this is possible without the curve's arithmetic.
fn belongs(wire: &mut Wire<'_>, key: &PublicKey) -> Option<bool> {
    let kind = wire.string()?;
    let mut public = Wire(key.blob());
    let mut same = kind == public.string()?;
    match key.kind() {
        "ssh-ed25519" => {
            let point = wire.string()?;
            let secret: &[u8; 64] = wire.string()?.try_into().ok()?;
            let (seed, copy) = secret.split_first_chunk()?;
            let derived = Ed25519Keypair::from_seed(seed).public;
            same &= point == public.string()? && point == copy && point == derived.as_ref();
        }
        "ssh-rsa" => {
            let (n, e) = (wire.positive()?, wire.positive()?);
            same &= e == public.positive()? && n == public.positive()?;
            let (_d, _iqmp) = (wire.positive()?, wire.positive()?);
            same &= residue(n) == residue(wire.positive()?) * residue(wire.positive()?) % PRIME;
        }
        "ssh-dss" => {
            for _ in 0..4 {
                same &= wire.positive()? == public.positive()?;
            }
            wire.positive()?;
        }
        security_key if security_key.starts_with("sk-") => {
            // Key and application (for ECDSA the curve too), then what the token needs.
            while !public.is_empty() {
                same &= wire.string()? == public.string()?;
            }
            let (_flags, _handle, _reserved) = (wire.bytes(1)?, wire.string()?, wire.string()?);
        }
        _ecdsa => {
            same &= wire.string()? == public.string()? && wire.string()? == public.string()?;
            wire.positive()?;
        }
    }
    Some(same)
}

/// A Mersenne prime. That a modulus is the product of its primes is compared modulo this: no damage keeps that by chance.
const PRIME: u128 = (1 << 61) - 1;

/// A big-endian number modulo [`PRIME`].
fn residue(number: &[u8]) -> u128 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u128::from(*byte)) % PRIME)
}

/// Finds a PEM block with the private key's label, as OpenSSL does: a byte order mark and text before it are skipped, line ends may be CRLF.
fn pem(bytes: &[u8]) -> Result<Inspection, &'static str> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let label = lines.by_ref().find_map(|line| {
        let label = line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
        PEM_LABELS.into_iter().find(|known| known.as_bytes() == label)
    });
    let Some(label) = label else {
        return Err(no_key(bytes));
    };
    let end = format!("-----END {label}-----");
    let mut encrypted = label == PEM_LABELS[4];
    let mut body = Vec::new();
    loop {
        match lines.next() {
            None => return Err("it is cut short: the last line is missing"),
            Some(line) if line == end.as_bytes() => break,
            Some(line) if line.starts_with(b"Proc-Type:") => {
                encrypted |= line.ends_with(b"ENCRYPTED");
            }
            Some(line) if line.contains(&b':') => {}
            Some(line) => body.extend_from_slice(line),
        }
    }
    let body = zeroize::Zeroizing::new(body);
    let der = from_base64(&body).ok_or("it is not valid base64")?;
    // A DER sequence with all its bytes, unless the whole of it is encrypted.
    let scrambled = encrypted && label != PEM_LABELS[4];
    if der.is_empty() || !scrambled && !is_sequence(&der) {
        return Err("it is cut short, or damaged");
    }
    let format = label.to_owned();
    Ok(Inspection::Foreign { format, encrypted })
}

/// Whether the bytes start with a DER sequence (X.690, 8.1.3) that ends within them.
fn is_sequence(der: &[u8]) -> bool {
    let Some(([0x30, first], rest)) = der.split_first_chunk() else {
        return false;
    };
    let octets = usize::from(first.saturating_sub(0x80));
    let Some((octets, content)) = rest.split_at_checked(octets) else {
        return false;
    };
    let long = octets
        .iter()
        .try_fold(0_usize, |length, octet| length.checked_mul(256)?.checked_add(usize::from(*octet)));
    let length = if *first < 0x80 { Some(usize::from(*first)) } else { long };
    length.is_some_and(|length| length > 0 && length <= content.len())
}

/// Why bytes that hold no key hold none, as far as their looks tell.
fn no_key(bytes: &[u8]) -> &'static str {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    if bytes.is_empty() {
        "it is empty"
    } else if starts(b"\xef\xbb\xbf") || starts(b"\xff\xfe") || starts(b"\xfe\xff") {
        "it starts with a byte order mark, which ssh does not take"
    } else if starts(b"-----BEGIN OPENSSH PRIVATE KEY-----\r\n") {
        "its lines end in CRLF, which ssh does not take"
    } else if starts(b"PuTTY-User-Key-File-") {
        "it is in PuTTY's format, which ssh does not read"
    } else if super::public_line(bytes).is_ok() {
        "it is a public key, not a private one"
    } else {
        "it is not in a format of private keys"
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told_without_its_content() {
        let key = super::super::ed25519("c").unwrap();
        let text = key.private.as_str();
        let middle = text.len() / 2;
        let flipped = [&text[..middle], "~", &text[middle + 1..]].concat();
        for (bytes, reason) in [
            (String::new(), "empty"),
            (format!("\u{feff}{text}"), "byte order mark"),
            (text.replace('\n', "\r\n"), "CRLF"),
            (text[..text.len() - 1].to_owned(), "no last line"),
            (text[..200].to_owned(), "no last line"),
            (key.public.clone(), "public key"),
            (flipped, "base64"),
            ("CANARY".repeat(9), "not in a format"),
            (" -----BEGIN PRIVATE KEY-----\n".to_owned(), "not in a format"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n".to_owned(), "cut short"),
        ] {
            match inspect(bytes.as_bytes()) {
                Inspection::NotAKey { reason: got } => {
                    assert!(got.contains(reason) && !got.contains("CANARY"), "{reason}: {got}");
                }
                other => panic!("{reason}: {other:?}"),
            }
        }
    }
}
