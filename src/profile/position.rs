//! Messages about a place in a profile: line, column, the line itself and a caret.
//!
//! Only for profiles. A line of `config.toml` is never shown: it may hold a token. Nor is one of another file with
//! secrets that was given for a profile by mistake.

use std::ops::Range;

use toml_edit::{Document, Item};

use crate::keys;
use crate::text::position::{floor, line_column};

/// How much of a line is shown, beside its number, where what is wrong in it ends before.
const MOST_COLUMNS: usize = 70;

/// How much of a text may stand in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Excerpt {
    /// Neither values nor the names of keys: whoever called could not read it.
    Nothing,
    /// The names of keys: the values may be secrets.
    Keys,
    /// The line that a message is about.
    Lines,
}

/// A text as messages quote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'a> {
    /// Where it is from.
    pub(super) origin: &'a str,
    pub(super) text: &'a str,
    pub(super) show: Excerpt,
}

impl<'a> Quoted<'a> {
    /// Of a file with secrets the lines are not shown.
    pub(super) fn new(origin: &'a str, text: &'a str, show: Excerpt) -> Self {
        let is_secret = |word: &str| {
            keys::is_secret(word)
                || SECRETS.iter().any(|key| word.eq_ignore_ascii_case(key))
                || is_secret_variable(word)
        };
        let has_secret = text.lines().map(first_word).chain(names(text)).any(is_secret);
        Self { origin, text, show: if has_secret { show.min(Excerpt::Keys) } else { show } }
    }

    /// A message with the place it is about. It may repeat a value of the text, where those may be shown.
    pub(super) fn render(&self, span: Option<Range<usize>>, message: &str) -> String {
        without_credentials(&self.rendered(span, message))
    }

    fn rendered(&self, span: Option<Range<usize>>, message: &str) -> String {
        let Self { origin, text, show } = *self;
        let message = message.trim().replace('\n', ", ");
        let message = if show == Excerpt::Lines { message } else { without_values(text, &message) };
        let Some(span) = span else {
            return format!("{origin}: {message}");
        };
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let (number, column) = line_column(text, start);
        let room = line.chars().count().saturating_sub(column - 1).max(1);
        let end = floor(text, span.end.max(start));
        let length = text[start..end].lines().next().unwrap_or_default().chars().count().clamp(1, room);
        if show != Excerpt::Lines {
            return format!("{origin}: line {number}, column {column}: {message}");
        }
        let mut clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A comment at its end is nothing that a terminal should wrap for.
        let shown = MOST_COLUMNS.max(column - 1 + length);
        if let Some((cut, _)) = clean.char_indices().nth(shown) {
            clean.replace_range(cut.., "…");
        }
        let margin = " ".repeat(number.to_string().len());
        let carets = "^".repeat(length);
        let indent = " ".repeat(column - 1);
        format!(
            "{origin}: line {number}, column {column}: {message}\n\
             {margin} |\n{number} | {clean}\n{margin} | {indent}{carets}"
        )
    }

    /// An unknown word, by name where that may be shown or is nearly a known one.
    pub(super) fn unknown(&self, what: &str, key: &str, known: &[&str]) -> String {
        match suggest(key, known) {
            None if self.show == Excerpt::Nothing => {
                format!("unknown {what}; there are {}", known.join(", "))
            }
            _ => unknown(what, key, known),
        }
    }

    /// Say more plainly what serde found.
    pub(super) fn improve(&self, message: &str) -> String {
        let known = unknown_field(message).filter(|_| self.show == Excerpt::Nothing);
        known.map_or_else(|| improve(message), |(key, known)| self.unknown("key", key, &known))
    }
}

/// A message without the values of a text that it repeats, and without their parts.
fn without_values(text: &str, message: &str) -> String {
    let Ok(document) = Document::parse(text) else { return message.to_owned() };
    let mut values = Vec::new();
    collect(document.as_item(), &mut values);
    let mut parts: Vec<String> = Vec::new();
    for value in values {
        let escaped = format!("{value:?}");
        let between = |c: char| c.is_whitespace() || "=:,/\"'".contains(c);
        parts.extend(value.split(between).filter(|part| part.chars().count() >= FEWEST).map(str::to_owned));
        parts.extend([escaped[1..escaped.len() - 1].to_owned(), value]);
    }
    parts.retain(|part| !part.is_empty());
    // A longer one may hold a shorter one.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let mut message = message.to_owned();
    for part in parts {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let mut from = 0;
        while let Some(at) = message[from..].find(&part).map(|at| from + at) {
            let end = at + part.len();
            let is_inside = is_word(part.chars().next()) && is_word(message[..at].chars().next_back())
                || is_word(part.chars().next_back()) && is_word(message[end..].chars().next());
            if is_inside {
                from = end;
            } else {
                message.replace_range(at..end, "…");
                from = at + '…'.len_utf8();
            }
        }
    }
    message
}

/// A part of a value that is shorter says nothing.
const FEWEST: usize = 4;

/// The texts and numbers in a document, as its author means them.
fn collect(item: &Item, values: &mut Vec<String>) {
    if let Some(table) = item.as_table_like() {
        table.iter().for_each(|(_, item)| collect(item, values));
    } else if let Some(tables) = item.as_array_of_tables() {
        tables.iter().flat_map(|table| table.iter()).for_each(|(_, item)| collect(item, values));
    } else if let Some(array) = item.as_array() {
        array.iter().for_each(|value| collect(&Item::Value(value.clone()), values));
    } else if let Some(text) = item.as_str() {
        values.push(text.to_owned());
    } else if item.as_bool().is_none() {
        values.push(item.to_string().trim().to_owned());
    }
}

/// Keys that other files with secrets have, such as the credentials of a package registry.
const SECRETS: [&str; 3] = ["passwd", "secret", "key"];

/// True for the name of a variable that holds a secret, such as `REGISTRY_PASSWORD`.
fn is_secret_variable(word: &str) -> bool {
    let is_one = |part: &str| VARIABLES.contains(&part);
    word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && word.split('_').any(is_one)
}

/// Parts of such names.
const VARIABLES: [&str; 8] = ["TOKEN", "PASSWORD", "PASSWD", "PASS", "SECRET", "KEY", "AUTH", "CREDENTIALS"];

/// A text without what an address says of a user, and mostly of a password: `https://****@example.com`.
fn without_credentials(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(piece.len());
        let user = piece.get(..end).and_then(|address| address.rfind('@')).unwrap_or_default();
        let (user, rest) = piece.split_at(user);
        clean.push_str("://");
        clean.extend(user.chars().map(|_| '*'));
        clean.push_str(rest);
    }
    clean
}

/// The key or the name of the table that a line begins with, in whichever way TOML writes it: `[[runners]]`,
/// `[ runners . docker ]`, `"runners" = …`. The text need not be TOML at all.
pub(super) fn first_word(line: &str) -> &str {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || "[{\"'\u{feff}".contains(c));
    let end = line.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').unwrap_or(line.len());
    &line[..end]
}

/// What stands before each `=`, as in an inline table.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('=').map(|(place, _)| {
        let before = text[..place].trim_end_matches(|c: char| c.is_whitespace() || "\"'".contains(c));
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        &before[start.map_or(0, |start| start + before[start..].chars().next().map_or(0, char::len_utf8))..]
    })
}

/// Say more plainly what serde found: ``unknown field `a`, expected one of `b`, `c` ``, or `invalid type: map,
/// expected a sequence`.
fn improve(message: &str) -> String {
    if let Some((found, wanted)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        let plain = |word: &str| match word {
            "map" => "a table".to_owned(),
            "a sequence" | "sequence" => "a list".to_owned(),
            "i64" | "u64" | "u32" | "u16" => "a whole number".to_owned(),
            "a boolean" => "true or false".to_owned(),
            word => word.to_owned(),
        };
        let how = if (found, wanted) == ("map", "a sequence") { ": [[…]] starts one" } else { "" };
        return format!("{} where {} is wanted{how}", plain(found), plain(wanted));
    }
    unknown_field(message).map_or_else(|| message.to_owned(), |(key, known)| unknown("key", key, &known))
}

/// The key that serde does not know, and those that it does.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// An unknown word with the near miss, or with what there is.
fn unknown(what: &str, key: &str, known: &[&str]) -> String {
    match suggest(key, known) {
        Some(near) => format!("unknown {what} `{key}`; did you mean `{near}`?"),
        None if known.is_empty() => format!("unknown {what} `{key}`"),
        None => format!("unknown {what} `{key}`; there are {}", known.join(", ")),
    }
}

/// The known word that was probably meant.
pub fn suggest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known));
    near.filter(|(distance, known)| *distance <= 1.max(known.len() / 3)).min().map(|(_, known)| known)
}

/// The end of a sentence about a word that is not known; empty where no known one is near.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    suggest(word, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_user() {
        for (text, expected) in [
            ("a \"http://me:secret@b:1\" c", "a \"http://*********@b:1\" c"),
            ("http://me:se/cr@et@b x@y", "http://***********@b x@y"),
            ("http://b/c d@e", "http://b/c d@e"),
            ("git@b", "git@b"),
            ("://@", "://@"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }

    #[test]
    fn the_caret_stands_below_the_word() {
        let text = "a = 1\n  privilaged = true\n";
        let shown = Quoted::new("x.toml", text, Excerpt::Lines)
            .render(Some(8..18), &improve("unknown field `privilaged`, expected `privileged`"));
        assert_eq!(
            shown,
            "x.toml: line 2, column 3: unknown key `privilaged`; did you mean `privileged`?\n  \
             |\n2 |   privilaged = true\n  |   ^^^^^^^^^^"
        );
    }

    #[test]
    fn types_have_the_names_that_people_know() {
        assert_eq!(
            improve("invalid type: string \"dind\", expected a sequence"),
            "string \"dind\" where a list is wanted"
        );
        assert_eq!(
            improve("invalid type: map, expected a sequence"),
            "a table where a list is wanted: [[…]] starts one"
        );
        assert_eq!(
            improve("invalid type: string \"true\", expected a boolean"),
            "string \"true\" where true or false is wanted"
        );
    }

    #[test]
    fn any_span_is_survived() {
        let text = "ä = \"é\u{1b}\"";
        for start in 0..20 {
            for end in 0..20 {
                let shown = Quoted::new("x", text, Excerpt::Lines).render(Some(start..end), "m");
                assert!(!shown.contains('\u{1b}'), "{shown}");
            }
        }
    }

    #[test]
    fn near_misses_are_suggested_and_others_not() {
        assert_eq!(suggest("dnid", &["dind", "shell"]), Some("dind"));
        assert_eq!(suggest("kubernetes", &["dind", "shell"]), None);
    }
}
