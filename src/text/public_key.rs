//! Public SSH keys: the blob of RFC 4253 section 6.6, and the line of a `.pub` file (`ssh-keygen(1)`).
//!
//! Not by the crate `ssh-key`: it refuses numbers with zeros before them, which `ssh-keygen` reads, and takes compressed
//! points, and numbers of any size, which `ssh-keygen` refuses (`tests/key_pair.rs` asks it).

use std::fmt;

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use super::position::TextError;
use super::ssh_wire::{Wire, bit_length, from_base64};

/// The elliptic curves of RFC 5656: type of key, name of curve, bits.
const CURVES: [(&str, &str, u32); 3] = [
    ("ecdsa-sha2-nistp256", "nistp256", 256),
    ("ecdsa-sha2-nistp384", "nistp384", 384),
    ("ecdsa-sha2-nistp521", "nistp521", 521),
];

/// The reason why a key of an unknown type is not read, which a newer OpenSSH may know.
pub(super) const UNKNOWN_TYPE: &str = "the key is of a type that is not known";

/// A public key of a type that OpenSSH knows, well-formed. Two are equal if their blobs are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: String,
    bits: u32,
    blob: Vec<u8>,
}

impl PublicKey {
    /// Reads a key in its binary encoding. The error says what is wrong, never a byte of it.
    pub fn from_blob(blob: &[u8]) -> Result<Self, &'static str> {
        let mut wire = Wire(blob);
        let kind = wire.string().ok_or("the key is cut short")?;
        let kind = std::str::from_utf8(kind).map_err(|_| "the key's type is not text")?;
        let bits = fields(kind, &mut wire)?.ok_or("the key's numbers are malformed")?;
        if !wire.is_empty() {
            return Err("there are bytes after the end of the key");
        }
        let kind = kind.to_owned();
        let blob = blob.to_vec();
        Ok(Self { kind, bits, blob })
    }

    /// Reads a key as it stands in a `.pub` or `known_hosts` line: its type, and its blob in base64.
    pub fn from_base64(kind: &str, text: &str) -> Result<Self, &'static str> {
        let blob = from_base64(text.as_bytes()).ok_or("the key is not valid base64, or cut short")?;
        let key = Self::from_blob(&blob)?;
        if key.kind == kind {
            Ok(key)
        } else {
            Err("the key is of another type than the one written before it")
        }
    }

    /// The type as OpenSSH names it, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The size in bits as `ssh-keygen -l` shows it.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The binary encoding.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The blob in base64, as it stands in a line.
    pub fn base64(&self) -> String {
        Base64::encode_string(&self.blob)
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(&self.blob)))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.fingerprint())
    }
}

/// Reads the fields after the type and gives the size in bits; `Ok(None)` if they are malformed.
fn fields(kind: &str, wire: &mut Wire<'_>) -> Result<Option<u32>, &'static str> {
    let bits = match kind {
        "ssh-ed25519" => ed25519(wire),
        "sk-ssh-ed25519@openssh.com" => ed25519(wire).filter(|_| wire.string().is_some()),
        "ssh-rsa" => {
            // OpenSSH reads no RSA key below 1024 bits.
            let _exponent = wire.positive();
            wire.positive().map(bit_length).filter(|bits| *bits >= 1024)
        }
        "ssh-dss" => {
            let prime = wire.positive().map(bit_length);
            let others = [wire.positive(), wire.positive(), wire.positive()];
            prime.filter(|_| others.iter().all(Option::is_some))
        }
        "sk-ecdsa-sha2-nistp256@openssh.com" => point(wire, CURVES[0]).filter(|_| wire.string().is_some()),
        _ => match CURVES.into_iter().find(|(name, ..)| *name == kind) {
            Some(curve) => point(wire, curve),
            None => return Err(UNKNOWN_TYPE),
        },
    };
    Ok(bits)
}

fn ed25519(wire: &mut Wire<'_>) -> Option<u32> {
    wire.string().filter(|key| key.len() == 32).map(|_| 256)
}

/// A curve's name and an uncompressed point on it.
fn point(wire: &mut Wire<'_>, (_, curve, bits): (&str, &str, u32)) -> Option<u32> {
    let named = wire.string()? == curve.as_bytes();
    let point = wire.string()?;
    let length = 1 + 2 * usize::try_from(bits.div_ceil(8)).ok()?;
    (named && point.first() == Some(&4) && point.len() == length).then_some(bits)
}

/// A line of a `.pub` file: a key and its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicLine {
    key: PublicKey,
    comment: String,
}

impl PublicLine {
    /// A line for `key`. Line breaks in the comment become spaces, since they would end the line.
    pub fn new(key: PublicKey, comment: &str) -> Self {
        let comment = comment.replace(['\n', '\r', '\0'], " ");
        Self { key, comment }
    }

    /// The key of the line.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The comment, which may hold any characters but line breaks; mostly `user@host`, may be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether two lines hold the same key, whatever their comments.
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// The line as `ssh-keygen` writes it, without its newline.
impl fmt::Display for PublicLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key.kind, self.key.base64())?;
        if self.comment.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.comment)
    }
}

/// Reads a `.pub` file: the first line that is neither empty nor a comment (`#`) must be a key, as for `ssh-keygen -l`.
///
/// A comment that is not UTF-8 is read with replacement characters. The error tells the place, never the content.
pub fn public_line(text: &[u8]) -> Result<PublicLine, TextError> {
    let mut lines = text.split(|byte| *byte == b'\n').enumerate();
    let (index, line) = lines
        .find(|(_, line)| !matches!(line.trim_ascii_start().first(), None | Some(b'#')))
        .ok_or_else(|| TextError::new(1, 1, "there is no public key"))?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let start = line.len() - line.trim_ascii_start().len();
    let at = |column: usize, message: &str| TextError::new(index + 1, column + 1, message);

    let (kind, rest) = word(line, start);
    let kind = std::str::from_utf8(kind).map_err(|_| at(start, "the key's type is not text"))?;
    let (blob, comment) = word(line, rest);
    let blob = std::str::from_utf8(blob).map_err(|_| at(rest, "the key is not valid base64"))?;
    if blob.is_empty() {
        return Err(at(start, "this is not a public key: a type and a key in base64 are wanted"));
    }
    let key = PublicKey::from_base64(kind, blob).map_err(|message| at(rest, message))?;
    let comment = line.get(comment..).unwrap_or_default();
    Ok(PublicLine::new(key, &String::from_utf8_lossy(comment)))
}

/// The word that starts at `start`, and where the next one starts.
pub(super) fn word(line: &[u8], start: usize) -> (&[u8], usize) {
    let rest = line.get(start..).unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = rest.iter().position(blank).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(end);
    let gap = tail.iter().take_while(|byte| blank(byte)).count();
    (word, start + end + gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf";

    #[test]
    fn a_line_is_read_and_written_back() {
        for comment in ["", " a b  c", " é\tx#\"", " \u{1b}[2J"] {
            let text = format!("{LINE}{comment}");
            let line = public_line(text.as_bytes()).unwrap();
            assert_eq!(line.to_string(), text);
            assert_eq!(line.comment(), comment.trim_start());
            assert_eq!(line.key().bits(), 256);
            assert_eq!(line.key().fingerprint(), "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, place) in [
            (String::new(), (1, 1)),
            ("# note\n\n".to_owned(), (1, 1)),
            ("\n  ssh-ed25519\n".to_owned(), (2, 3)),
            (LINE.replacen("ssh-ed25519", "ssh-rsa", 1), (1, 9)),
            (LINE[..60].to_owned(), (1, 13)),
            (LINE.replace("NTE5", "NTE4"), (1, 13)),
        ] {
            let error = public_line(text.as_bytes()).unwrap_err();
            assert_eq!((error.line, error.column), place, "{text}: {error}");
        }
    }

    #[test]
    fn a_comment_can_not_end_the_line() {
        let key = public_line(LINE.as_bytes()).unwrap().key().clone();
        let line = PublicLine::new(key, "a\nb");
        assert_eq!(line.to_string(), format!("{LINE} a b"));
    }
}
