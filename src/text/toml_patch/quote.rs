//! Keys, strings and lists written as TOML 1.0.

use std::fmt::Write as _;

/// A string in double quotes, on one line.
pub(super) fn string(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            // C1 controls are legal unescaped, but an escape keeps terminals and diffs quiet.
            control if control.is_control() => {
                // Writing into a String can't fail.
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A key, bare where TOML allows it.
pub fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { string(name) }
}

/// A list of strings on one line.
pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let elements: Vec<String> = values.into_iter().map(string).collect();
    format!("[{}]", elements.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_toml_1_0_wants_escaped() {
        for (value, expected) in [
            ("", r#""""#),
            ("/certs/client", r#""/certs/client""#),
            ("C:\\x \"y\"", r#""C:\\x \"y\"""#),
            ("\t\n\r\u{8}\u{c}\0\u{1b}\u{7f}", r#""\t\n\r\b\f\u0000\u001B\u007F""#),
            ("é€\u{1f600}\u{85}", "\"é€\u{1f600}\\u0085\""),
        ] {
            assert_eq!(string(value), expected);
        }
    }

    #[test]
    fn quotes_a_key_only_where_it_must() {
        for (name, expected) in [
            ("tls_verify", "tls_verify"),
            ("a-1", "a-1"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a.b", "\"a.b\""),
            ("é", "\"é\""),
        ] {
            assert_eq!(key(name), expected);
        }
    }
}
