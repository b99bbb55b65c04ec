//! git's configuration files (git-config(1), "CONFIGURATION FILE"): reading values, and adding those that are missing.

use super::position::TextError;
use parse::{Item, canonical, parse};
use place::place;

mod parse;
mod place;

/// The value of a key, as `git config --file FILE --get SECTION.KEY` prints it. The last one wins; a key without `=` has an empty one.
///
/// A subsection follows its section after a dot, such as `branch.main`. Bytes that are not UTF-8 come as replacement characters.
/// Tabs within a value are kept, as since git 2.45; older ones make them spaces. Includes are not followed: see [`has_includes`]. A file that git would refuse is an error.
pub fn get(text: &[u8], section: &str, key: &str) -> Result<Option<String>, TextError> {
    let items = parse(text)?;
    let value = find(&items, section, key);
    Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
}

/// Whether the file includes others (`[include]`, `[includeIf "…"]`), which may hold values, too.
pub fn has_includes(text: &[u8]) -> Result<bool, TextError> {
    let mut including = false;
    for item in parse(text)? {
        match item {
            Item::Section { name, .. } => {
                including = name == b"include" || name.starts_with(b"includeif.");
            }
            Item::Variable { key, .. } if including && key == b"path" => return Ok(true),
            Item::Variable { .. } => {}
        }
    }
    Ok(false)
}

/// Adds keys to a section where they have no value; `None` if all have one. An empty value is a value.
///
/// They come after the last key of the last such section, indented alike, or in a new section at the end. All other bytes stay.
/// Refused: a file that git would refuse, a value with a NUL, and names that git does not take; the last two stand at line 1.
pub fn set_missing(
    text: &[u8],
    section: &str,
    wanted: &[(&str, &str)],
) -> Result<Option<Vec<u8>>, TextError> {
    check_names(section, wanted)?;
    let items = parse(text)?;
    let mut missing: Vec<(&str, &str)> = Vec::new();
    for (key, value) in wanted {
        let twice = missing.iter().any(|(other, _)| other.eq_ignore_ascii_case(key));
        if !twice && find(&items, section, key).is_none() {
            missing.push((key, value));
        }
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let place = place(text, &items, section);
    let (before, after) = text.split_at_checked(place.at).unwrap_or((text, &[]));
    let end = line_end(text);
    let mut added = place.gap.replace('\n', end);
    if place.new_section {
        added.push_str(&header(section));
        added.push_str(end);
    }
    for (key, value) in missing {
        added.push_str(&place.indent);
        added.extend([key, " = ", &quote(value), end]);
    }
    Ok(Some([before, added.as_bytes(), after].concat()))
}

fn find<'a>(items: &'a [Item], section: &str, key: &str) -> Option<&'a [u8]> {
    let section = canonical(section);
    let mut inside = false;
    let mut found = None;
    for item in items {
        match item {
            Item::Section { name, .. } => inside = *name == section,
            Item::Variable { key: name, value, .. } => {
                if inside && name.eq_ignore_ascii_case(key.as_bytes()) {
                    found = Some(value.as_deref().unwrap_or_default());
                }
            }
        }
    }
    found
}

/// The line end of the file's first line.
fn line_end(text: &[u8]) -> &'static str {
    match text.split_inclusive(|byte| *byte == b'\n').next() {
        Some([.., b'\r', b'\n']) => "\r\n",
        _ => "\n",
    }
}

fn header(section: &str) -> String {
    match section.split_once('.') {
        None => format!("[{section}]"),
        Some((name, sub)) => {
            let sub = sub.replace('\\', "\\\\").replace('"', "\\\"");
            format!("[{name} \"{sub}\"]")
        }
    }
}

/// A value as git writes it.
fn quote(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    for c in value.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '"' | '\\' => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    if value.starts_with(' ') || value.ends_with(' ') || value.contains(['#', ';', '\r']) {
        format!("\"{text}\"")
    } else {
        text
    }
}

fn check_names(section: &str, wanted: &[(&str, &str)]) -> Result<(), TextError> {
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let (name, sub) = section.split_once('.').unwrap_or((section, ""));
    let key = |key: &str| plain(key) && key.starts_with(|c: char| c.is_ascii_alphabetic());
    if !plain(name) || sub.contains(['\n', '\0']) {
        return Err(TextError::new(1, 1, "git does not take this name of a section"));
    }
    if !wanted.iter().all(|(name, _)| key(name)) {
        return Err(TextError::new(1, 1, "git does not take this name of a key"));
    }
    if wanted.iter().any(|(_, value)| value.contains('\0')) {
        return Err(TextError::new(1, 1, "a value of git's can't hold a NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Option<String> {
        let wanted = [("name", "n"), ("email", "a@b")];
        let bytes = set_missing(text.as_bytes(), "user", &wanted).unwrap()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn missing_keys_find_their_place() {
        let both = "\tname = n\n\temail = a@b\n";
        for (before, after) in [
            ("", format!("[user]\n{both}")),
            ("\u{feff}", format!("\u{feff}[user]\n{both}")),
            ("[core]\n\tx = 1", format!("[core]\n\tx = 1\n[user]\n{both}")),
            ("[core]\nx = 1\\", format!("[core]\nx = 1\\\n\n[user]\n{both}")),
            ("# note", format!("# note\n[user]\n{both}")),
            ("[user]", format!("[user]\n{both}")),
            ("[User] # me\n[core]\n", format!("[User] # me\n{both}[core]\n")),
            ("[user] [core] x = 1\n", format!("[user]\n{both} [core] x = 1\n")),
            ("[user]\n  NAME = x\n\n[core]\n", "[user]\n  NAME = x\n  email = a@b\n\n[core]\n".to_owned()),
            ("[user] name = x\n", "[user] name = x\n\temail = a@b\n".to_owned()),
            ("[user]\nname = x\\", "[user]\nname = x\\\n\nemail = a@b\n".to_owned()),
            ("[user]\nname = x\\\n", "[user]\nname = x\\\n\nemail = a@b\n".to_owned()),
            ("[core]\nx = 1\\\n", format!("[core]\nx = 1\\\n\n[user]\n{both}")),
            ("[user]\r\n\tname = x", "[user]\r\n\tname = x\r\n\temail = a@b\r\n".to_owned()),
            ("[user \"x\"]\nname = y\n", format!("[user \"x\"]\nname = y\n[user]\n{both}")),
        ] {
            let text = set(before).unwrap();
            assert_eq!(text, after);
            assert_eq!(set(&text), None);
        }
        assert_eq!(set("[user]\nname=\n[core]\n[USER]email"), None);
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, place) in [
            ("= 1", (1, 1)),
            ("[a]\n=", (2, 1)),
            ("[a\n", (1, 3)),
            ("[a b]", (1, 4)),
            ("[a \"b\n", (1, 6)),
            ("[a \"b\"x]", (1, 7)),
            ("[a]\nb c", (2, 3)),
            ("[a]\nb = \"c\n", (2, 7)),
            ("[a]\r\nb = \\x", (2, 5)),
        ] {
            let error = get(text.as_bytes(), "a", "b").unwrap_err();
            assert_eq!((error.line, error.column), place, "{text:?}: {error}");
        }
        for (section, key, value) in
            [("a b", "c", ""), ("a", "b c", ""), ("a", "1", ""), ("", "b", ""), ("a", "b", "\0")]
        {
            assert!(set_missing(b"", section, &[(key, value)]).is_err());
        }
    }

    #[test]
    fn includes_are_seen() {
        assert!(has_includes(b"[Include]\n path = x").unwrap());
        assert!(has_includes(b"[includeIf \"gitdir:~/\"]\npath = x").unwrap());
        assert!(!has_includes(b"[include]\n[core]\npath = x").unwrap());
    }
}
