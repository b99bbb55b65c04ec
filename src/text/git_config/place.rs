//! Where new keys go.

use super::parse::{Item, canonical, is_space};

/// Where keys are put in.
pub(super) struct KeyPlace {
    /// A byte of the file.
    pub(super) at: usize,
    /// Line ends that must come before them.
    pub(super) gap: &'static str,
    /// The blanks before each of them.
    pub(super) indent: String,
    /// There is no section yet.
    pub(super) new_section: bool,
}

/// Finds the place for keys of `section`, among the `items` of `text`: before anything that the file includes, so that
/// what is included keeps the last word.
pub(super) fn place(text: &[u8], items: &[Item], section: &str) -> KeyPlace {
    let section = canonical(section);
    let is_include =
        |item: &Item| matches!(item, Item::Section { name, .. } if super::condition_of(name).is_some());
    let include = items.iter().position(is_include);
    let before = items.get(..include.unwrap_or(items.len())).unwrap_or_default();
    let last = before.iter().rposition(|item| matches!(item, Item::Section { name, .. } if *name == section));
    let tail = before.get(last.unwrap_or(before.len())..).unwrap_or_default();
    // Of the section's own keys the last one, else its header.
    let own = tail.iter().skip(1).take_while(|item| matches!(item, Item::Variable { .. }));
    match own.last().or(tail.first()) {
        Some(Item::Variable { start, end, open, .. }) => KeyPlace {
            at: *end,
            gap: gap(text, *end, *open),
            indent: indent(text, *start),
            new_section: false,
        },
        Some(Item::Section { end, .. }) => {
            let rest = text.get(*end..).unwrap_or_default();
            let line = rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            let first = line.iter().find(|byte| !is_space(**byte));
            // A further header may follow on the same line.
            let alone = matches!(first, None | Some(b'#' | b';'));
            let at = if alone { end + line.len() } else { *end };
            KeyPlace {
                at,
                gap: if alone { gap(text, at, false) } else { "\n" },
                indent: "\t".to_owned(),
                new_section: false,
            }
        }
        None => {
            let at = match include.and_then(|index| items.get(index)) {
                Some(Item::Section { start, .. }) => above(text, *start),
                _ => text.len(),
            };
            let open = matches!(items.last(), Some(Item::Variable { open: true, .. })) && at == text.len();
            KeyPlace {
                at,
                // Nothing but, at most, a byte order mark.
                gap: if matches!(text.get(..at), Some(b"" | b"\xef\xbb\xbf")) {
                    ""
                } else {
                    gap(text, at, open)
                },
                indent: "\t".to_owned(),
                new_section: true,
            }
        }
    }
}

/// Where a new section goes that stands before the header at `start`: before its line and the comments above it.
fn above(text: &[u8], start: usize) -> usize {
    let line_start = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
    };
    let first = |from: usize, to: usize| {
        let line = text.get(from..to).unwrap_or_default();
        line.iter().copied().find(|byte| !is_space(*byte))
    };
    let mut at = line_start(start);
    if at == 0 && text.starts_with(b"\xef\xbb\xbf") {
        return 3.min(start);
    }
    if first(at, start).is_some() {
        return start;
    }
    while at > 0 {
        let above = line_start(at - 1);
        if !matches!(first(above, at), Some(b'#' | b';')) {
            break;
        }
        at = above;
    }
    at
}

/// What is missing before a new line can start at `at`.
fn gap(text: &[u8], at: usize, open: bool) -> &'static str {
    match text.get(..at) {
        // One line end continues the value, the next one ends it.
        Some([.., b'\n']) if open => "\n",
        _ if open => "\n\n",
        Some([.., b'\n']) => "",
        _ => "\n",
    }
}

/// The blanks before a key; a tab where something else stands before it.
fn indent(text: &[u8], start: usize) -> String {
    let before = text.get(..start).unwrap_or_default();
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
        String::from_utf8_lossy(line).into_owned()
    } else {
        "\t".to_owned()
    }
}
