//! How a change is shown to people: the lines that differ, the values, owner and mode.

use std::borrow::Cow;

use similar::{ChangeTag, TextDiff};

use crate::change::{Change, Meta, Op, Owner, Shown, ValueChange};
use crate::text::public_key::PublicKey;

/// What a change does to the content, a line for each difference.
pub(super) fn details(change: &Change) -> Vec<String> {
    match &change.op {
        Op::Account(_) | Op::Register(_) | Op::RemoveDirectory { .. } => Vec::new(),
        Op::Directory { after, .. } | Op::Metadata { after, .. } => {
            vec![meta(after).trim().to_owned()]
        }
        Op::File(file) => match &file.shown {
            Shown::Label(label) => vec![label.clone()],
            Shown::Values(values) => values.iter().flat_map(value).collect(),
            Shown::Text => {
                let before = file.before.as_ref().map(|seen| seen.text().into_owned());
                let after =
                    file.after.as_ref().and_then(|content| content.peek()).map(String::from_utf8_lossy);
                lines(&before.unwrap_or_default(), &after.unwrap_or_default())
            }
        },
    }
}

pub(super) fn value(value: &ValueChange) -> Vec<String> {
    match (&value.before, &value.after) {
        (Some(before), Some(after)) => vec![format!("~ {}: {before} -> {after}", value.name)],
        (None, Some(after)) => vec![format!("+ {}: {after}", value.name)],
        (Some(before), None) => vec![format!("- {}: {before}", value.name)],
        (None, None) => Vec::new(),
    }
}

/// A text as it may be shown: a private key can lie in any file, also where a public one belongs.
pub(super) fn shown(text: &str) -> &str {
    if text.contains("PRIVATE KEY-----") { "(a private key)\n" } else { text }
}

/// A unified diff without its headers: three lines of context, as `git diff` has them.
fn lines(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(shown(before), shown(after));
    let sign = |tag| match tag {
        ChangeTag::Equal => ' ',
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
    };
    let groups = diff.grouped_ops(3);
    let changes = groups.iter().flatten().flat_map(|operation| diff.iter_changes(operation));
    changes
        .map(|change| format!("{} {}", sign(change.tag()), short(change.value().trim_end_matches('\n'))))
        .collect()
}

/// A line with the fingerprint of a public key in the place of the key: what people compare.
fn short(line: &str) -> Cow<'_, str> {
    let words: Vec<&str> = line.split(' ').collect();
    let keys = words.windows(2).filter_map(|pair| match pair {
        [kind, key] => Some((*key, PublicKey::from_base64(kind, key).ok()?)),
        _ => None,
    });
    keys.fold(Cow::Borrowed(line), |line, (text, key)| line.replace(text, &key.fingerprint()).into())
}

/// The lines that differ between two texts, `-` for old and `+` for new; at most `most` of them.
pub fn changed_lines(before: &str, after: &str, most: usize) -> Vec<String> {
    let differs = |line: &String| !line.starts_with(' ');
    lines(before, after).into_iter().filter(differs).take(most).collect()
}

/// Owner and mode in words.
pub(super) fn meta(meta: &Meta) -> String {
    let owner = match &meta.owner {
        Owner::Root => "root:root".to_owned(),
        Owner::Account(name) => name.clone(),
        Owner::Ids(uid, gid) => format!("{uid}:{gid}"),
    };
    format!("mode {:04o}, owner {owner}\n", meta.mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_shown_as_its_fingerprint_and_all_else_as_it_is() {
        let (_, line) = crate::text::known_hosts::GITLAB_COM
            .lines()
            .enumerate()
            .find(|(_, line)| line.contains("ed25519"))
            .unwrap();
        let shown = lines("", &format!("{line} a comment\nssh-ed25519 AAAA\n"));
        assert_eq!(
            shown,
            [
                "+ gitlab.com ssh-ed25519 SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8 a comment",
                "+ ssh-ed25519 AAAA"
            ]
        );
    }

    #[test]
    fn a_removed_line_is_marked() {
        assert_eq!(lines("a\nb\n", "a\nc\n"), ["  a", "- b", "+ c"]);
    }
}
