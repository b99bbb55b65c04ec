//! sudo's policy as one text, in the order in which sudo reads it: for `visudo`, which then opens no file of it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::facts::INPUT;

/// A name under which nobody ever finds a file, for one that is missing.
const MISSING: &str = "/proc/self/missing-";

/// The text, and where each of its lines is from.
#[derive(Default)]
pub(super) struct PolicyText {
    text: String,
    /// File and line, for each line of the text.
    places: Vec<(usize, usize)>,
    /// The files that were read.
    files: Vec<PathBuf>,
    /// Those that are not there, each by its line of the text.
    missing: Vec<(usize, PathBuf)>,
    /// When the last of them changed.
    pub(super) changed: (i64, i64),
    /// A line has no form that sudo reads, as it seems, or names a file that is not there.
    pub(super) is_odd: bool,
}

impl PolicyText {
    /// Begin a file that changed then; its number.
    pub(super) fn begin(&mut self, file: &Path, changed: (i64, i64)) -> usize {
        self.changed = self.changed.max(changed);
        self.files.push(file.to_path_buf());
        self.files.len() - 1
    }

    /// Add lines of a file, which count from 1.
    pub(super) fn add(&mut self, file: usize, raw: &[&str], numbers: RangeInclusive<usize>) {
        let last = *numbers.end();
        for number in numbers {
            let line = raw.get(number - 1).copied().unwrap_or_default();
            self.push(file, number, line);
            // What goes on behind the end of its file goes on nowhere.
            if number == last && number == raw.len() && line.ends_with('\\') {
                self.push(file, number, "");
            }
        }
    }

    /// A line that reads a file which is not there.
    pub(super) fn lack(&mut self, file: usize, number: usize, path: &Path) {
        self.is_odd = true;
        let place = self.places.len() + 1;
        self.missing.push((place, path.to_path_buf()));
        self.push(file, number, &format!("@include {MISSING}{place}"));
    }

    fn push(&mut self, file: usize, number: usize, line: &str) {
        let _ = writeln!(self.text, "{line}");
        self.places.push((file, number));
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A complaint with the file and the line that the administrator knows.
    pub(super) fn as_seen(&self, said: &str, main: &Path) -> String {
        // The longest number first: one may begin with another.
        for (place, path) in self.missing.iter().rev() {
            if said.contains(&format!("{MISSING}{place}")) {
                let file = self.at(*place).unwrap_or_default();
                return format!("{file}: it includes {}, which is not there", path.display());
            }
        }
        let seen = || {
            let (before, after) = said.split_once(INPUT)?;
            let start = after.find(|c: char| c.is_ascii_digit())?;
            let end =
                after[start..].find(|c: char| !c.is_ascii_digit()).map_or(after.len(), |end| start + end);
            let place = self.at(after[start..end].parse().ok()?)?;
            let (file, number) = place.rsplit_once(':')?;
            Some(format!("{before}{file}{}{number}{}", &after[..start], &after[end..]))
        };
        seen().unwrap_or_else(|| said.replace(INPUT, &main.display().to_string()))
    }

    /// File and line of a line of the text, which counts from 1.
    fn at(&self, line: usize) -> Option<String> {
        let (file, number) = self.places.get(line.checked_sub(1)?)?;
        Some(format!("{}:{number}", self.files.get(*file)?.display()))
    }
}
