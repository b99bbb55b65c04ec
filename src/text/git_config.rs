//! git's configuration files (git-config(1), "CONFIGURATION FILE"): reading values, and adding those that are missing.

use super::position::TextError;
use parse::{Item, canonical, parse};
use place::place;

mod parse;
mod place;

/// The value of a key, as `git config --file FILE --get SECTION.KEY` prints it. The last one wins; a key without `=` has an empty one.
///
/// A subsection follows its section after a dot, such as `branch.main`. Bytes that are not UTF-8 come as replacement characters.
/// Tabs within a value are kept, as since git 2.45; older ones make them spaces. Includes are not followed: see [`lines`]. A file that git would refuse is an error.
pub fn get(text: &[u8], section: &str, key: &str) -> Result<Option<String>, TextError> {
    let items = parse(text)?;
    let value = find(&items, section, key);
    Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
}

/// One line of a file that counts for whoever looks for values: git reads them in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigLine {
    /// A key: its whole name as git compares it, and its value; `None` without a `=`, which git takes for an error where it
    /// wants text.
    Setting(String, Option<String>),
    /// Another file is read here (`[include]`, `[includeIf "…"]`).
    Include {
        /// What stands in the quotation marks; empty: always.
        condition: String,
        /// As it is written; `None` without a `=`, which is an error.
        path: Option<String>,
    },
}

/// The keys and the files that are included, in their order, each with its line. Bytes that are not UTF-8
/// come as replacement characters. A file that git would refuse is an error.
pub fn lines(text: &[u8]) -> Result<Vec<(usize, ConfigLine)>, TextError> {
    let mut lines = Vec::new();
    let (mut condition, mut header) = (None, String::new());
    let (mut line, mut counted) = (1, 0);
    for item in parse(text)? {
        match item {
            Item::Section { name, .. } => {
                condition = condition_of(&name);
                header = String::from_utf8_lossy(&name).into_owned();
            }
            Item::Variable { key, value, start, .. } => {
                let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
                let since = text.get(counted..start).unwrap_or_default();
                line += since.split(|byte| *byte == b'\n').count() - 1;
                counted = start;
                let found = match &condition {
                    Some(condition) if key == b"path" => {
                        ConfigLine::Include { condition: condition.clone(), path: value }
                    }
                    _ => ConfigLine::Setting(format!("{header}.{}", String::from_utf8_lossy(&key)), value),
                };
                lines.push((line, found));
            }
        }
    }
    Ok(lines)
}

/// On which condition the files of a section are included; `None` for every other section.
fn condition_of(section: &[u8]) -> Option<String> {
    match section.strip_prefix(b"includeif.") {
        // An empty one is never true.
        Some(b"") => Some("never".to_owned()),
        Some(condition) => Some(String::from_utf8_lossy(condition).into_owned()),
        None => (section == b"include").then(String::new),
    }
}

/// True for the name of a variable by which git reads other files, takes other settings, or names somebody else.
pub fn goes_by(variable: &str) -> bool {
    variable == "XDG_CONFIG_HOME"
        || ["GIT_CONFIG", "GIT_AUTHOR_", "GIT_COMMITTER_"].iter().any(|start| variable.starts_with(start))
}

/// Adds keys to a section where they have no value; `None` if all have one. An empty value is a value.
///
/// They come after the last key of the last such section, indented alike, or in a new section at the end; in a file that
/// includes others before the first of them. All other bytes stay.
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
    fn values_and_includes_come_in_their_order() {
        let text = b"[include]\n path = x\n[core]\npath = y\n[User]\nname\nname = a\n[includeIf \"gitdir:~/\"]path\n";
        let include = |condition: &str, path: Option<&str>| ConfigLine::Include {
            condition: condition.to_owned(),
            path: path.map(str::to_owned),
        };
        let setting =
            |name: &str, value: Option<&str>| ConfigLine::Setting(name.to_owned(), value.map(str::to_owned));
        let expected = [
            (2, include("", Some("x"))),
            (4, setting("core.path", Some("y"))),
            (6, setting("user.name", None)),
            (7, setting("user.name", Some("a"))),
            (8, include("gitdir:~/", None)),
        ];
        assert_eq!(lines(text).unwrap(), expected);
    }

    #[test]
    fn what_is_included_keeps_the_last_word() {
        let both = "[user]\n\tname = n\n\temail = a@b\n";
        for (before, after) in [
            ("[include]\npath = x\n", format!("{both}[include]\npath = x\n")),
            (
                "[core]\nx = 1\n# mine\n[include]\npath = x",
                format!("[core]\nx = 1\n{both}# mine\n[include]\npath = x"),
            ),
            ("[core] [include] path = x\n", format!("[core] \n{both}[include] path = x\n")),
            ("\u{feff}[include]\npath = x\n", format!("\u{feff}{both}[include]\npath = x\n")),
            ("[user]\n[include]\npath = x\n", format!("{both}[include]\npath = x\n")),
            (
                "[include]\npath = x\n[user]\nemail = y\n",
                "[user]\n\tname = n\n[include]\npath = x\n[user]\nemail = y\n".to_owned(),
            ),
        ] {
            let text = set(before).unwrap();
            assert_eq!(text, after);
            assert_eq!(set(&text), None);
        }
    }
}
