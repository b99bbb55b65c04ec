//! SSH key pairs: making one, and telling what a private key file is.

use std::error::Error;
use std::fmt;

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use zeroize::Zeroizing;

mod inspect;

pub use super::public_key::{PublicLine, public_line};
pub use inspect::{Inspection, inspect};

/// The size of an RSA key that nobody chose, in bits: what `ssh-keygen` takes.
pub const DEFAULT_RSA_BITS: u32 = 3072;

/// The type of a key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `ssh-ed25519`, made within a millisecond.
    Ed25519,
    /// `ssh-rsa`, which `ssh-keygen` makes and takes seconds for.
    Rsa {
        /// The size of the modulus in bits: 2048 to 8192, a multiple of 8.
        bits: u32,
    },
}

/// A new key pair, as the two files that `ssh-keygen` would write.
pub struct KeyPair {
    /// The private key in OpenSSH's format, unencrypted. Wiped from memory when it is dropped.
    pub private: Zeroizing<String>,
    /// The line of the `.pub` file, with its newline.
    pub public: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public.trim_end())
    }
}

/// Why no key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerateError {
    /// The kernel gave no random bytes (getrandom(2)).
    Random(getrandom::Error),
    /// An RSA key of this size is not made.
    Bits(u32),
    /// The comment holds a control character.
    Comment,
    /// The new key is none, or could not be written down.
    SelfCheck,
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(error) => write!(f, "the kernel gives no random bytes: {error}"),
            Self::Bits(bits) => write!(f, "an RSA key has 2048 to 8192 bits, a multiple of 8, not {bits}"),
            Self::Comment => f.write_str("a key's comment can't hold control characters"),
            Self::SelfCheck => f.write_str("the new key failed its own check"),
        }
    }
}

impl Error for GenerateError {}

/// Checks that a key of this kind, with this comment, can be made.
pub fn validate(kind: KeyKind, comment: &str) -> Result<(), GenerateError> {
    match kind {
        KeyKind::Rsa { bits } if !(2048..=8192).contains(&bits) || bits % 8 != 0 => {
            Err(GenerateError::Bits(bits))
        }
        _ if comment.contains(char::is_control) => Err(GenerateError::Comment),
        _ => Ok(()),
    }
}

/// Makes an Ed25519 pair from the kernel's random bytes.
pub fn ed25519(comment: &str) -> Result<KeyPair, GenerateError> {
    validate(KeyKind::Ed25519, comment)?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(GenerateError::Random)?;
    let data = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    let key = PrivateKey::new(data, comment).map_err(|_| GenerateError::SelfCheck)?;
    KeyPair::of(key.to_openssh(LineEnding::LF).map_err(|_| GenerateError::SelfCheck)?)
}

impl KeyPair {
    /// The pair of a private key that was made just now, in OpenSSH's format and without a passphrase.
    pub fn of(private: Zeroizing<String>) -> Result<Self, GenerateError> {
        match inspect(private.as_bytes()) {
            Inspection::OpenSsh { public, encrypted: false } => {
                Ok(Self { private, public: format!("{public}\n") })
            }
            _ => Err(GenerateError::SelfCheck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_never_the_same() {
        let make = || ed25519("gitlab-runner").unwrap();
        let (one, two) = (make(), make());
        assert_ne!(one.public, two.public);
        assert!(one.private.ends_with("-----END OPENSSH PRIVATE KEY-----\n"));
        assert!(!one.private.contains('\r'));
        assert!(one.public.ends_with(" gitlab-runner\n"));
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }

    #[test]
    fn odd_sizes_and_comments_are_refused() {
        for bits in [0, 1024, 2047, 2050, 8200, u32::MAX] {
            let error = validate(KeyKind::Rsa { bits }, "").unwrap_err();
            assert_eq!(error, GenerateError::Bits(bits));
        }
        let error = ed25519("a\nb").unwrap_err();
        assert_eq!(error, GenerateError::Comment);
    }
}
