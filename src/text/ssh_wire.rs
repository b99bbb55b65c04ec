//! Reading SSH's binary encoding (RFC 4251, section 5) and its base64.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// A reader over encoded bytes. Every method takes from the front; `None` means that the bytes don't hold it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

impl<'a> Wire<'a> {
    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    /// `uint32`: big endian.
    pub(super) fn number(&mut self) -> Option<u32> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*front))
    }

    /// `string`: a length and as many bytes.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).ok()?)
    }

    /// `mpint`, which must be positive: its magnitude without leading zeros, at most 16384 bits as in OpenSSH.
    pub(super) fn positive(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|first| *first >= 0x80) {
            return None;
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let magnitude = bytes.get(zeros..)?;
        (!magnitude.is_empty() && magnitude.len() <= 2048).then_some(magnitude)
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The number of significant bits of a magnitude without leading zeros.
pub(super) fn bit_length(magnitude: &[u8]) -> u32 {
    let bits = magnitude.first().map_or(0, |first| magnitude.len() * 8 - first.leading_zeros() as usize);
    u32::try_from(bits).unwrap_or(u32::MAX)
}

/// Decodes padded base64, skipping white space as OpenSSH does (`b64_pton`).
pub(super) fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Never longer, so that no part of a key stays where the buffer was before it grew.
    let mut buffer = Zeroizing::new(Vec::with_capacity(text.len()));
    buffer.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let length = Base64::decode_in_place(&mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_goes_past_the_end() {
        assert_eq!(Wire(&[0, 0, 0, 2, b'a']).string(), None);
        assert_eq!(Wire(&[255, 255, 255, 255]).string(), None);
        assert_eq!(Wire(&[0, 0, 0]).number(), None);
        assert_eq!(Wire(&[0, 0, 0, 1, b'a', 9]).string(), Some(&b"a"[..]));
    }

    #[test]
    fn integers_are_positive_and_lose_their_sign_byte() {
        assert_eq!(Wire(&[0, 0, 0, 2, 0, 0x80]).positive(), Some(&[0x80][..]));
        assert_eq!(Wire(&[0, 0, 0, 1, 0x80]).positive(), None);
        assert_eq!(Wire(&[0, 0, 0, 1, 0]).positive(), None);
        assert_eq!(bit_length(&[1, 0]), 9);
        assert_eq!(bit_length(&[]), 0);
    }

    #[test]
    fn base64_is_strict_about_padding_only() {
        assert_eq!(from_base64(b"YQ==\r\n").as_deref(), Some(&b"a".to_vec()));
        assert_eq!(from_base64(b"YQ"), None);
        assert_eq!(from_base64(b"YQ==YQ=="), None);
        assert_eq!(from_base64("é".as_bytes()), None);
    }
}
