//! The architecture as a test: which module may import which, which files may say `unsafe`, how long a file is.

#![expect(clippy::disallowed_methods, reason = "the test reads the source itself")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has to stop")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Modules with their rank. A module imports only what has a lower one.
const RANKS: &[(&str, u32)] = &[
    // Imported by everybody, import nobody.
    ("fault", 0),
    ("keys", 0),
    ("finding", 0),
    ("text", 0),
    ("change", 1),
    ("sys", 1),
    ("facts", 2),
    ("profile", 2),
    ("runner_config", 2),
    ("policy", 2),
    ("resource", 3),
    ("plan", 4),
    ("journal", 4),
    ("apply", 5),
    ("report", 5),
    ("undo", 6),
    ("doctor", 5),
    ("cli", 6),
    ("manual", 7),
    ("schema", 7),
    ("deploy", 6),
    ("completion", 8),
    ("run", 9),
    ("ansible", 10),
    ("main", 11),
    ("lib", 11),
];

/// Imports beside the ranks, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("report", "apply", "what became of each change is apply's result, and report shows it")];

/// Who may touch the operating system.
const MAY_USE_SYS: &[&str] = &["facts", "journal", "apply", "undo", "run", "deploy", "ansible", "main"];

/// Files of `src/resource` that several resources use, each with its reason.
const SHARED: &[(&str, &str)] = &[
    ("target", "the account that jobs run as is one and the same for all resources"),
    ("testing", "how the tests of all resources ask, in tests only"),
    ("settings", "the values of [config], read from a profile apart from their comparison"),
    ("login_shell", "a part of the account: what its login shell reads"),
    ("gate", "what a version of gitlab-runner ignores, a part of [config]"),
    ("drop_in", "one file of sudoers.d, whichever resource wants it"),
    ("runner", "the entries of config.toml, apart from what is wanted of them"),
];

#[test]
fn imports_only_go_down() {
    let mut wrong = String::new();
    for source in Source::all() {
        let from = source.module.first().map_or("lib", String::as_str);
        let rank = rank(from);
        for import in source.imports() {
            let Some(to) = import.first().map(String::as_str) else { continue };
            if to == from || EXCEPTIONS.iter().any(|(a, b, _)| (*a, *b) == (from, to)) {
                continue;
            }
            let mut complain = |why: &str| {
                let _ = writeln!(wrong, "{}: `{}` {why}", source.name, import.join("::"));
            };
            // `lib` declares the modules, `crate::NAME` without a module is declared there.
            if self::rank_of(to).is_none() {
                complain("is no module with a rank: give it one in this test");
            } else if self::rank(to) >= rank {
                complain("goes up or sideways");
            } else if to == "sys" && !MAY_USE_SYS.contains(&from) {
                complain("touches the operating system; ask crate::facts instead");
            } else if from == "sys" && to != "fault" {
                complain("is nothing that sys may know");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn resources_do_not_know_each_other() {
    let mut wrong = String::new();
    for source in Source::all() {
        let [top, one, ..] = source.module.as_slice() else { continue };
        if top != "resource" {
            continue;
        }
        for import in source.imports() {
            if let [top, other, ..] = import.as_slice() {
                let is_module = Path::new(&format!("src/resource/{other}.rs")).exists()
                    || Path::new(&format!("src/resource/{other}")).is_dir();
                let is_shared = SHARED.iter().any(|(shared, _)| shared == other);
                if top == "resource" && is_module && other != one && !is_shared {
                    let _ = writeln!(wrong, "{} imports the resource {other}", source.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_resource_is_registered() {
    let sources = Source::all();
    let register = sources.iter().find(|source| source.name == "src/resource/mod.rs").unwrap();
    let register: String = register.words.iter().map(|word| word.text.as_str()).collect();
    let mut count = 0;
    for source in sources.iter().filter(|source| source.name.starts_with("src/resource/")) {
        let words: Vec<&str> = source.words.iter().map(|word| word.text.as_str()).collect();
        for found in words.windows(4).filter(|found| found[..3] == ["impl", "Resource", "for"]) {
            count += 1;
            let entry = format!("::{}>(", found[3]);
            assert!(register.contains(&entry), "{} of {} is not in KINDS", found[3], source.name);
        }
    }
    assert_eq!(count, register.matches("kind::<").count(), "as many kinds as resources");
    assert!(count >= 4, "the scan finds the resources");
}

#[test]
fn unsafe_stands_in_one_file() {
    let is_unsafe = |source: &&Source| source.words.iter().any(|word| word.text == "unsafe");
    let found: Vec<String> =
        Source::all().iter().filter(is_unsafe).map(|source| source.name.clone()).collect();
    assert_eq!(found, ["src/sys/raw.rs"]);
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    let long = |source: &&Source| source.lines > 400;
    let found: Vec<String> = Source::all()
        .iter()
        .filter(long)
        .map(|source| format!("{}: {} lines", source.name, source.lines))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_scan_sees_every_notation() {
    let text = "use crate::{fault, sys::{dir, root}};\nuse super::super::plan;\nuse super::{a::A, self};\n\
        // use crate::comment;\n/* crate::block */ const S: &str = \"crate::text\"; const C: char = '\\'';\n\
        fn f<'a>(x: &'a str) { crate::apply::go(); r#\"crate::raw\"#; }\npub(crate) fn g() {}\n\
        mod tests { use super::*; use super::super::up; mod deep { use super::x; } }\nuse super::last;\n";
    let source = Source::parse(Path::new("src/resource/config/value.rs"), text);
    let imports: Vec<String> = source.imports().into_iter().map(|path| path.join("::")).collect();
    let expected = [
        "apply",
        "fault",
        "resource::config",
        "resource::config::a",
        "resource::config::last",
        "resource::config::tests::x",
        "resource::config::up",
        "resource::config::value",
        "resource::plan",
        "sys",
    ];
    // The module `tests` lies inside the file: its `super` is the file, not the directory.
    let expected: BTreeSet<String> =
        expected.iter().map(|path| path.replace("config::tests::x", "config::value::tests::x")).collect();
    assert_eq!(imports.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn rank_of(module: &str) -> Option<u32> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

fn rank(module: &str) -> u32 {
    rank_of(module).unwrap_or_else(|| panic!("{module} has no rank: give it one in this test"))
}

/// A file of `src`, without comments and texts.
struct Source {
    name: String,
    module: Vec<String>,
    words: Vec<Word>,
    lines: usize,
}

/// An identifier, `::` or another character, with the number of modules inside the file that it is in.
struct Word {
    text: String,
    inner: Vec<String>,
}

impl Source {
    fn all() -> Vec<Self> {
        let top = support::source();
        let mut found = Vec::new();
        let mut waiting = vec![top.join("src")];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Self::parse(path.strip_prefix(&top).unwrap(), &text));
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(found.len() > 30, "the sources are found");
        found
    }

    fn parse(path: &Path, text: &str) -> Self {
        let mut module: Vec<String> = path
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        module.retain(|part| part != "mod");
        Self {
            name: path.display().to_string(),
            module,
            words: with_modules(&words(text)),
            lines: text.lines().count(),
        }
    }

    /// The paths that this file names by `crate::` and `super::`, one step below the named module.
    fn imports(&self) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        let text = |index: usize| self.words.get(index).map_or("", |word| word.text.as_str());
        let mut index = 0;
        while index < self.words.len() {
            let mut base = match text(index) {
                "crate" if text(index + 1) == "::" => Vec::new(),
                "super" if text(index + 1) == "::" => {
                    let mut base = self.module.clone();
                    base.extend(self.words[index].inner.iter().cloned());
                    base.pop();
                    base
                }
                _ => {
                    index += 1;
                    continue;
                }
            };
            index += 2;
            while text(index) == "super" {
                base.pop();
                index += 2;
            }
            for name in self.heads(index) {
                let mut path = base.clone();
                path.extend(name);
                found.insert(path);
            }
        }
        found
    }

    /// The first name at `index`; of a group in braces, that of each element.
    fn heads(&self, index: usize) -> Vec<Option<String>> {
        let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let name = |text: &str| Some(text.to_owned()).filter(|text| is_name(text) && text != "self");
        let text = |index: usize| self.words.get(index).map_or("", |word| word.text.as_str());
        if text(index) != "{" {
            return vec![name(text(index))];
        }
        let (mut depth, mut at_start, mut names) = (0, false, Vec::new());
        for word in &self.words[index..] {
            match word.text.as_str() {
                "{" => {
                    depth += 1;
                    at_start = depth == 1;
                }
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                "," => at_start = depth == 1,
                text if at_start => {
                    names.push(name(text));
                    at_start = false;
                }
                _ => {}
            }
        }
        names
    }
}

/// Identifiers and punctuation of Rust source, without comments, texts and characters.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut index) = (Vec::new(), 0);
    while index < chars.len() {
        let c = at(index);
        if c == '/' && at(index + 1) == '/' {
            while index < chars.len() && at(index) != '\n' {
                index += 1;
            }
        } else if c == '/' && at(index + 1) == '*' {
            index += 2;
            while index < chars.len() && !(at(index) == '*' && at(index + 1) == '/') {
                index += 1;
            }
            index += 2;
        } else if let Some(end) = raw_text(&chars, index) {
            index = end;
        } else if c == '"' {
            index += 1;
            while index < chars.len() && at(index) != '"' {
                index += if at(index) == '\\' { 2 } else { 1 };
            }
            index += 1;
        } else if c == '\'' && (at(index + 1) == '\\' || at(index + 2) == '\'') {
            index += if at(index + 1) == '\\' { 3 } else { 2 };
            while index < chars.len() && at(index) != '\'' {
                index += 1;
            }
            index += 1;
        } else if is_word(c) {
            let begin = index;
            while is_word(at(index)) {
                index += 1;
            }
            found.push(chars[begin..index].iter().collect());
        } else if c == ':' && at(index + 1) == ':' {
            found.push("::".to_owned());
            index += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            index += 1;
        }
    }
    found
}

/// The end of a raw text that begins at `index`.
fn raw_text(chars: &[char], index: usize) -> Option<usize> {
    let before = index.checked_sub(1).and_then(|index| chars.get(index)).copied().unwrap_or(' ');
    if chars.get(index) != Some(&'r') || before.is_alphanumeric() || before == '_' {
        return None;
    }
    let hashes = chars[index + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(index + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = index + 2 + hashes;
    while end < chars.len() {
        let closes = chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        end += 1;
        if closes {
            return Some(end + hashes);
        }
    }
    Some(end)
}

/// Says of each word in which modules inside the file it stands.
fn with_modules(words: &[String]) -> Vec<Word> {
    let (mut depth, mut open): (usize, Vec<(usize, String)>) = (0, Vec::new());
    let mut found: Vec<Word> = Vec::with_capacity(words.len());
    for (index, text) in words.iter().enumerate() {
        if text == "{" {
            depth += 1;
            if index >= 2 && words[index - 2] == "mod" {
                open.push((depth, words[index - 1].clone()));
            }
        } else if text == "}" {
            open.retain(|(begin, _)| *begin < depth);
            depth = depth.saturating_sub(1);
        }
        found.push(Word { text: text.clone(), inner: open.iter().map(|(_, name)| name.clone()).collect() });
    }
    found
}
