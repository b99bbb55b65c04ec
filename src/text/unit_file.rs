//! The notation of systemd's units: lines, words, and variables (systemd.syntax(7)).

/// The lines of a unit: one that ends with a backslash goes on in the next, and comments count for nothing, wherever
/// they stand (systemd.syntax(7)).
pub fn lines(text: &str) -> Vec<String> {
    let (mut all, mut goes_on) = (Vec::<String>::new(), false);
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        let part = line.strip_suffix('\\');
        let text = part.unwrap_or(line);
        match all.last_mut().filter(|_| goes_on) {
            Some(last) => last.extend([" ", text]),
            None => all.push(text.to_owned()),
        }
        goes_on = part.is_some();
    }
    all
}

/// What systemd makes of `$NAME`, which may be many words, and of `${NAME}`: nothing where no file sets it.
pub fn expanded(words: &[String], environment: &[String]) -> Vec<String> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let value = |name: &str| value_of(name, environment).unwrap_or_default();
    let mut all = Vec::new();
    for word in words {
        if let Some(name) = word.strip_prefix('$').filter(|name| is_name(name)) {
            all.extend(split(&value(name)));
            continue;
        }
        let (mut text, mut rest) = (String::new(), word.as_str());
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            let braced = after.strip_prefix('{').and_then(|name| name.split_once('}'));
            rest = after.strip_prefix('$').unwrap_or(after);
            if let Some((name, after)) = braced {
                text.push_str(&value(name));
                rest = after;
            } else {
                text.push('$');
            }
        }
        all.push(text + rest);
    }
    all
}

/// The value that the last of these settings gives a variable.
pub fn value_of(name: &str, settings: &[String]) -> Option<String> {
    let value = settings.iter().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

/// Words of a command line, quotes removed and escapes resolved (systemd.syntax(7)).
pub fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (_, '\\') => {
                let escape = rest.as_str();
                let (letter, length) = unescaped(escape);
                word.push(letter);
                rest = escape.get(length..).unwrap_or_default().chars();
            }
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => (quote, open) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The character behind a backslash, and how many bytes stand for it.
fn unescaped(text: &str) -> (char, usize) {
    let by_number = |digits: std::ops::Range<usize>, radix| {
        let number = u32::from_str_radix(text.get(digits.clone())?, radix).ok()?;
        Some((char::from_u32(number)?, digits.end))
    };
    let Some(first) = text.chars().next() else { return ('\\', 0) };
    let found = match first {
        'x' => by_number(1..3, 16),
        'u' => by_number(1..5, 16),
        'U' => by_number(1..9, 16),
        '0'..='7' => by_number(0..3, 8),
        'a' => Some(('\u{7}', 1)),
        'b' => Some(('\u{8}', 1)),
        'f' => Some(('\u{c}', 1)),
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        's' => Some((' ', 1)),
        't' => Some(('\t', 1)),
        'v' => Some(('\u{b}', 1)),
        '\\' | '"' | '\'' => Some((first, 1)),
        _ => None,
    };
    // systemd takes another one as it stands.
    found.unwrap_or(('\\', 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_past_comments() {
        let text = "A=1 \\\n; no\n 2\n# once \\\nB=3\n";
        assert_eq!(lines(text), ["A=1   2", "B=3"]);
    }

    #[test]
    fn variables_are_what_systemd_makes_of_them() {
        let set = ["WHO=ci", "MORE=--config '/srv/my runner.toml'"].map(str::to_owned);
        for (word, words) in [
            ("${WHO}2", &["ci2"][..]),
            ("-$$-${NONE}", &["-$-"]),
            ("$MORE", &["--config", "/srv/my runner.toml"]),
            ("$NONE", &[]),
            ("a$WHO", &["a$WHO"]),
        ] {
            assert_eq!(expanded(&[word.to_owned()], &set), words, "{word}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(split("/srv/it\\'s c\\151 'a b'"), ["/srv/it's", "ci", "a b"]);
        assert_eq!(split("a\\qb c\\"), ["a\\qb", "c\\"]);
    }
}
