//! The public keys that are to be deploy keys: lines of `runner-prep key`, or its documents, of any number of hosts.

use anyhow::Result;
use serde::Deserialize;

use crate::fault::fault;
use crate::text::public_key::{PublicLine, public_line};

/// What a document of `runner-prep key --json` holds, as far as it matters here.
#[derive(Deserialize)]
struct KeyDocument {
    public_key: Option<DocumentKey>,
}

#[derive(Deserialize)]
struct DocumentKey {
    line: String,
}

/// Read a text with public keys, each once: lines, or JSON documents, on one line each or on several. `origin` is
/// where it came from.
///
/// # Errors
/// When something in it is not a public key; the error never shows what, since it may be a private one.
pub fn read(text: &[u8], origin: &str) -> Result<Vec<PublicLine>> {
    let wrong = |line: usize, why: &str| {
        fault(
            "gitlab-keys",
            format!("{origin}: line {line}: {why}"),
            "give what this prints on each host: $ runner-prep key",
        )
    };
    let mut found: Vec<PublicLine> = Vec::new();
    let mut rest = text;
    let number = |rest: &[u8]| text[..text.len() - rest.len()].split(|byte| *byte == b'\n').count();
    loop {
        rest = rest.trim_ascii_start();
        let line = number(rest);
        let key = match rest.first() {
            None => break,
            Some(b'{') => {
                let mut documents = serde_json::Deserializer::from_slice(rest).into_iter::<KeyDocument>();
                let Some(Ok(document)) = documents.next() else {
                    return Err(wrong(line, "this is not a whole JSON document of runner-prep key --json"));
                };
                rest = rest.get(documents.byte_offset()..).unwrap_or_default();
                let key =
                    document.public_key.ok_or_else(|| wrong(line, "this document holds no public key"))?;
                public_line(key.line.as_bytes())
            }
            Some(_) => {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let (own, after) = rest.split_at(end);
                rest = after;
                if own.starts_with(b"#") {
                    continue;
                }
                public_line(own)
            }
        };
        let key = key.map_err(|error| wrong(line, &error.message))?;
        if !found.iter().any(|known| known.same_key(&key)) {
            found.push(key);
        }
    }
    if found.is_empty() {
        return Err(wrong(1, "there is no public key"));
    }
    Ok(found)
}
