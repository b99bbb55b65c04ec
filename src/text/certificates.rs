//! Certificates as PEM (RFC 7468): which ones a text has, and whether it has anything else.

use super::ssh_wire::from_base64;

/// Why a text is none of certificates alone. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCertificates {
    /// A private key is in it.
    Secret,
    /// No certificate is in it.
    None,
    /// Something else is in it, or a certificate is cut off or damaged: the line where that begins, counted from 1.
    Broken(usize),
}

/// The certificates of a text, each with its first and last line. What stands outside of them is left out.
///
/// # Errors
/// When the text holds no certificate, or anything else between such lines.
pub fn read(text: &str) -> Result<Vec<String>, NoCertificates> {
    if text.contains("PRIVATE KEY") {
        return Err(NoCertificates::Secret);
    }
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim).enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ") else { continue };
        let broken = NoCertificates::Broken(number + 1);
        if label != "CERTIFICATE-----" {
            return Err(broken);
        }
        let mut body = Vec::new();
        let ends = lines.by_ref().map(|(_, line)| line).find(|line| {
            body.push(*line);
            line.starts_with("-----")
        });
        if ends != Some("-----END CERTIFICATE-----") {
            return Err(broken);
        }
        body.pop();
        let der = from_base64(body.concat().as_bytes()).ok_or(broken)?;
        if !is_certificate(&der) {
            return Err(broken);
        }
        found.push(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", body.join("\n")));
    }
    if found.is_empty() { Err(NoCertificates::None) } else { Ok(found) }
}

/// True for one sequence in DER that is all there, and begins with another one, as a certificate does.
fn is_certificate(der: &[u8]) -> bool {
    let sequence = |der: &[u8]| -> Option<(usize, usize)> {
        let (&tag, &first) = (der.first()?, der.get(1)?);
        let count = usize::from(first & 0x7f);
        let (head, length) = match count {
            _ if first < 0x80 => (2, count),
            1..=4 => {
                let digits = der.get(2..2 + count)?;
                (2 + count, digits.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
            }
            _ => return None,
        };
        (tag == 0x30).then_some((head, length))
    };
    let Some((head, length)) = sequence(der) else { return false };
    let inner = der.get(head..).unwrap_or_default();
    inner.len() == length && sequence(inner).is_some_and(|(head, inside)| head + inside < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_certificates_are_taken() {
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        // SEQUENCE { SEQUENCE { INTEGER 1 }, INTEGER 1 }
        let whole = block("CERTIFICATE", "MAgwAwIBAQIBAQ==");
        assert_eq!(read(&format!("a comment\n{whole}\n\n{whole}")), Ok(vec![whole.clone(), whole.clone()]));
        assert_eq!(read(&whole.replace('\n', "\r\n")), Ok(vec![whole.clone()]));
        for (text, expected) in [
            (String::new(), NoCertificates::None),
            ("x\n".to_owned(), NoCertificates::None),
            (format!("{whole}{}", block("EC PRIVATE KEY", "AA==")), NoCertificates::Secret),
            (format!("{whole}{}", block("PUBLIC KEY", "AA==")), NoCertificates::Broken(4)),
            (block("CERTIFICATE", "MAgwAwIBAQIB"), NoCertificates::Broken(1)),
            (block("CERTIFICATE", "MAgwAwIBAQIBAQ"), NoCertificates::Broken(1)),
            (block("CERTIFICATE", "AgEB"), NoCertificates::Broken(1)),
            (block("CERTIFICATE", ""), NoCertificates::Broken(1)),
            (whole.replace("-----END CERTIFICATE-----\n", ""), NoCertificates::Broken(1)),
            (whole.replace("END CERTIFICATE", "END PUBLIC"), NoCertificates::Broken(1)),
            (block("CERTIFICATE", "MP////////////"), NoCertificates::Broken(1)),
        ] {
            assert_eq!(read(&text), Err(expected), "{text}");
        }
    }
}
