//! Before and after, one small document at a time.

mod errors;
mod lists;
mod lists_of_tables;
mod tables;
mod values;

use super::*;

/// A path written as `runners.0.docker`; a number is a place in a list.
fn path(words: &str) -> Vec<Step> {
    let step = |word: &str| word.parse::<usize>().map_or_else(|_| word.into(), Step::Index);
    words.split('.').map(step).collect()
}

fn set(words: &str, value: impl Into<Scalar>) -> Edit {
    Edit::set(path(words), value)
}

fn insert(words: &str, value: &str) -> Edit {
    Edit::insert(path(words), value)
}

fn parse(text: &str) -> Toml {
    Toml::parse(text.as_bytes()).unwrap()
}

fn patch(before: &str, edits: &[Edit]) -> String {
    let patched = parse(before).patch(edits);
    patched.unwrap_or_else(|error| panic!("{error}\n{before}")).text
}

#[track_caller]
fn check(before: &str, edits: &[Edit], after: &str) {
    let patched = patch(before, edits);
    assert_eq!(patched, after, "\n--- got\n{patched}\n--- expected\n{after}");
    // A text of one line without an ending shows no manner to follow.
    let crlf = |text: &str| text.replace('\n', "\r\n");
    if before.contains('\n') {
        assert_eq!(patch(&crlf(before), edits), crlf(after), "with CRLF");
    }
    let bom = |text: &str| format!("\u{feff}{text}");
    assert_eq!(patch(&bom(before), edits), bom(after), "with a byte order mark");
}

#[track_caller]
fn fails(before: &str, edits: &[Edit], error: &str) {
    let found = parse(before).patch(edits).unwrap_err();
    assert_eq!(found.to_string(), error);
}
