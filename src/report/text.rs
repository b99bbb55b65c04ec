//! The report as text: a line for each change, then what it changes, then what waits, then one summary.

use std::fmt::Write as _;

use super::document::{Remark, Report, Status, plural};
use super::wrap::{wrap, wrap_repair};
use crate::repair::Repair;

/// How the text is dressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Use colours.
    pub color: bool,
    /// Leave out what is not a problem.
    pub quiet: bool,
    /// How much is shown of each thing.
    pub details: Details,
    /// Columns of the terminal; `None` where there is none.
    pub columns: Option<usize>,
}

/// How much is shown of each thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Details {
    /// That it is.
    #[default]
    Few,
    /// The differences, too.
    Differences,
    /// And what was looked at and is as wanted.
    Checks,
}

impl Style {
    /// Lines are made to fit: the terminal's, or the 80 columns of mails and logs.
    pub(super) fn width(self) -> usize {
        self.columns.unwrap_or(80).clamp(40, 120)
    }

    /// This style, with at least the differences shown.
    #[must_use]
    pub fn with_differences(self) -> Self {
        Self { details: self.details.max(Details::Differences), ..self }
    }

    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

pub(super) const GREEN: &str = "32";
pub(super) const RED: &str = "31";
pub(super) const YELLOW: &str = "33";
pub(super) const DIM: &str = "2";
pub(super) const BOLD: &str = "1";

impl Report {
    /// The results: what changes or was changed, and the summary. For standard output.
    pub fn results(&self, style: Style) -> String {
        let mut out = String::new();
        if style.quiet {
            return out;
        }
        for (index, line) in self.changes.iter().enumerate() {
            let (symbol, code) = match (line.outcome, line.action) {
                ("failed", _) => ("✗", RED),
                ("rolled-back", _) => ("↶", YELLOW),
                ("not-reached", _) => ("·", DIM),
                (_, "create") => ("+", GREEN),
                (_, "remove") => ("-", RED),
                _ => ("~", YELLOW),
            };
            let what = format!("{:<11} {}", line.kind, escape(&line.id));
            let _ = writeln!(out, "{} {what}", style.paint(code, symbol));
            for part in wrap(&escape(&line.why), style.width() - 4, style.width() - 4) {
                let _ = writeln!(out, "    {}", style.paint(DIM, &part));
            }
            for detail in self.shown.get(index).into_iter().flatten() {
                let code = match detail.chars().next() {
                    Some('+') => GREEN,
                    Some('-') => RED,
                    Some('~') => YELLOW,
                    _ => DIM,
                };
                let _ = writeln!(out, "    {}", style.paint(code, &escape(detail)));
            }
        }
        for (kind, what) in self.right.iter().filter(|_| style.details == Details::Checks) {
            let kind = format!("{kind:<11} ");
            let first = style.width().saturating_sub(kind.chars().count() + 2);
            let lines = wrap(&escape(what), first, style.width() - 4);
            let _ = writeln!(out, "{} {kind}{}", style.paint(GREEN, "✓"), lines.join("\n    "));
        }
        let made = self.changes.iter().any(|line| line.kind == "ssh_key" && line.outcome == "applied");
        if let Some(key) = self.public_key.as_ref().filter(|_| made) {
            let _ = writeln!(out, "key {}", escape(&key.fingerprint));
            let _ = writeln!(out, "    {}", escape(&key.line));
            let mut what = Repair::from(
                "In GitLab: Settings, Repository, Deploy keys, add that line and check \
                 \"Grant write permissions to this key\".",
            );
            if self.reader.tree.is_none() {
                what = what + mend!(" Then, as the account, test it:\n$ {}", key.test);
            }
            repair(&mut out, style, &what, false);
        }
        if !self.undo.is_empty() {
            let _ = writeln!(out, "to take it back:");
        }
        for step in &self.undo {
            let _ = writeln!(out, "    {}", escape(&step.command));
        }
        for step in &self.by_hand {
            let mut lines = step.what.lines();
            let first = escape(lines.next().unwrap_or_default());
            let more = wrap(&first, style.width(), style.width() - 2).join("\n  ");
            let _ = writeln!(out, "{more}");
            // What is to be copied stays on one line.
            for line in lines.chain([step.command.as_str()]) {
                let _ = writeln!(out, "    {}", escape(line));
            }
        }
        if !self.failed {
            let code = if self.status == Status::Pending { YELLOW } else { BOLD };
            let about = escape(&self.profiles.join(","));
            let about = if about.is_empty() { about } else { about + ": " };
            let first = style.width().saturating_sub(about.chars().count());
            let lines = wrap(&escape(&self.msg), first, style.width());
            let lines: Vec<String> = lines.iter().map(|line| style.paint(code, line)).collect();
            let _ = writeln!(out, "{about}{}", lines.join("\n"));
        }
        out
    }

    /// The problems: the error, warnings and what waits. For standard error.
    pub fn problems(&self, style: Style) -> String {
        let mut out = String::new();
        let is_brief = !self.failed && style.details != Details::Checks;
        let (repeated, told) = self.warnings.split_at(if is_brief { self.repeated } else { 0 });
        if !repeated.is_empty() && !style.quiet {
            let mut codes: Vec<&str> = repeated.iter().map(|remark| remark.code.as_str()).collect();
            codes.dedup();
            let count = plural(repeated.len() + self.left_out, "warning");
            let rest = format!(
                ": {}; -v shows {}",
                codes.join(", "),
                if repeated.len() == 1 { "it" } else { "them" }
            );
            let first = style.width().saturating_sub(count.len());
            let lines = wrap(&rest, first, style.width() - 2);
            let _ = writeln!(out, "{}{}", style.paint(YELLOW, &count), lines.join("\n  "));
        }
        for (index, remark) in told.iter().enumerate() {
            let is_error = index < self.errors;
            let (word, code) = if is_error { ("error", RED) } else { ("warning", YELLOW) };
            if is_error || !style.quiet {
                problem(&mut out, style, word, code, remark);
            }
        }
        for remark in &self.pending {
            problem(&mut out, style, "waiting", YELLOW, remark);
        }
        // Of what waits in GitLab, or is undone, doctor on a host knows nothing: that reader has no profiles.
        if !self.pending.is_empty() && !self.reader.profiles.is_empty() {
            let what = self.reader.address(&"to see what else jobs need: $ runner-prep doctor".into());
            for line in wrap_repair(&what, style.width(), escape) {
                let _ = writeln!(out, "{line}");
            }
        }
        out
    }
}

/// An error, a warning or something that waits, with what to do about it.
pub(super) fn problem(out: &mut String, style: Style, word: &str, code: &str, remark: &Remark) {
    let mut lines = remark.message.lines();
    let first = escape(lines.next().unwrap_or_default());
    let (room, rest) = (style.width().saturating_sub(word.len() + 2), style.width() - 2);
    let _ = writeln!(out, "{}: {}", style.paint(code, word), wrap(&first, room, rest).join("\n  "));
    // The caret of a profile's error stands below its word: those lines keep their shape.
    for line in lines {
        let _ = writeln!(out, "{}", escape(line));
    }
    repair(out, style, &remark.repair, false);
}

/// What to do, in lines for below what is wrong, four columns in and perhaps dim.
pub(super) fn repair(out: &mut String, style: Style, repair: &Repair, is_dim: bool) {
    let lines = if repair.is_empty() { Vec::new() } else { wrap_repair(repair, style.width() - 4, escape) };
    for line in lines {
        let _ = writeln!(out, "    {}", if is_dim { style.paint(DIM, &line) } else { line });
    }
}

/// Less room is none for a text beside its name.
const LEAST_ROOM: usize = 20;

/// Names with what they are, in two columns that fit a terminal; on a narrow one below each other; elsewhere each on
/// one line, whatever its length.
pub fn table(rows: &[(String, String)], columns: Option<usize>) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 2;
    let beside = columns.map_or(usize::MAX, |columns| columns.saturating_sub(width));
    let is_narrow = beside < LEAST_ROOM;
    let (indent, room) = match columns {
        Some(columns) if is_narrow => (4, columns.saturating_sub(4).max(LEAST_ROOM)),
        _ => (width, beside),
    };
    let mut out = String::new();
    for (name, what) in rows {
        if is_narrow {
            let _ = writeln!(out, "{name}");
        }
        for (index, part) in wrap(&escape(what), room, room).iter().enumerate() {
            let name = if index == 0 && !is_narrow { name.as_str() } else { "" };
            let _ = writeln!(out, "{name:indent$}{part}");
        }
    }
    out
}

/// Make control characters visible: shown data may come from a job, and a terminal obeys them.
pub fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Make control characters visible in a JSON document, where they stand in its strings. Its own line breaks stay.
pub fn escape_json(document: &str) -> String {
    let mut clean = String::with_capacity(document.len());
    for c in document.chars() {
        if acts(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(clean, "\\u{unit:04x}");
            }
        } else {
            clean.push(c);
        }
    }
    clean
}

/// True for control characters, for those that turn the direction of text around, and for those that nobody sees.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(escape("a\u{1b}[2Jb\u{9b}\u{202e}\u{feff}é"), "a\\u{1b}[2Jb\\u{9b}\\u{202e}\\u{feff}é");
    }

    #[test]
    fn a_document_means_the_same_without_them() {
        let value = serde_json::json!({ "a": "\u{1b}[2J\u{9b}\u{202e}é\n\"\u{e0041}" });
        let document = escape_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(document.contains("\\u009b\\u202eé\\n\\\"\\udb40\\udc41"), "{document}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap(), value);
    }
}
