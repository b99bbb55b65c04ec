//! sudo's policy as one text, in the order in which sudo reads it: for `visudo`, which then opens no file of it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::facts::live::INPUT;

/// A name under which nobody ever finds a file, for one that is missing.
const MISSING: &str = "/proc/self/missing-";

/// The text, and where each of its lines is from.
#[derive(Default)]
pub(super) struct Whole {
    text: String,
    /// File and line, for each line of the text.
    places: Vec<(usize, usize)>,
    /// The files that were read.
    files: Vec<PathBuf>,
    /// When the last of them changed.
    pub(super) changed: (i64, i64),
    /// A line has no form that sudo reads, as it seems, or names a file that is not there.
    pub(super) is_odd: bool,
}

impl Whole {
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
    pub(super) fn lack(&mut self, file: usize, number: usize) {
        self.is_odd = true;
        let place = self.places.len() + 1;
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
        for name in [INPUT, MISSING] {
            let Some((before, after)) = said.split_once(name) else { continue };
            let Some(start) = after.find(|c: char| c.is_ascii_digit()) else { continue };
            let end =
                after[start..].find(|c: char| !c.is_ascii_digit()).map_or(after.len(), |end| start + end);
            let place = after[start..end]
                .parse::<usize>()
                .ok()
                .and_then(|line| self.places.get(line.checked_sub(1)?));
            let file = place.and_then(|(file, _)| self.files.get(*file));
            let (Some((_, number)), Some(file)) = (place, file) else { continue };
            let file = file.display();
            return if name == MISSING {
                format!("{file}:{number}: it includes a file that is not there")
            } else {
                format!("{before}{file}{}{number}{}", &after[..start], &after[end..])
            };
        }
        said.replace(INPUT, &main.display().to_string())
    }
}
