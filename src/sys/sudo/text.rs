//! sudo's policy as one text, in the order in which sudo reads it: for `visudo`, which then opens no file of it.

use std::path::{Path, PathBuf};

use super::INPUT;

/// A name under which nobody ever finds a file, for one that can't be read in.
const MISSING: &str = "/proc/self/missing-";

/// A file of the policy.
#[derive(Debug)]
pub struct PolicyFile {
    /// Its path.
    pub path: PathBuf,
    /// When it changed last.
    pub changed: (i64, i64),
    /// The file that includes it, with the numbers of the first and the last line that say so; `None` for the main one.
    pub by: Option<(usize, usize, usize)>,
}

/// The text, and where each of its lines is from.
#[derive(Debug, Default)]
pub struct PolicyText {
    text: String,
    /// File and line, for each line of the text.
    places: Vec<(usize, usize)>,
    /// The files that were read, the main one first.
    pub files: Vec<PolicyFile>,
    /// What lies in a directory that is read, and could not be read in.
    pub passed: Vec<PathBuf>,
    /// What is wrong with lines that read others, each by its line of the text.
    lacks: Vec<(usize, String)>,
}

impl PolicyText {
    /// Begin a file; its number.
    pub fn begin(&mut self, file: PolicyFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    /// The number of the file that a line of the text is from, which counts from 1, and its number there.
    pub fn place(&self, line: usize) -> Option<(usize, usize)> {
        self.places.get(line.checked_sub(1)?).copied()
    }

    /// Whether a line reads what can't be read.
    pub fn lacks_any(&self) -> bool {
        !self.lacks.is_empty()
    }

    /// Add a line of a file.
    pub fn push(&mut self, file: usize, number: usize, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.places.push((file, number));
    }

    /// Add a line that reads what can't be read.
    pub fn lack(&mut self, file: usize, number: usize, why: String) {
        let place = self.places.len() + 1;
        self.lacks.push((place, why));
        self.push(file, number, &format!("@include {MISSING}{place}"));
    }

    /// Add what stands behind the path in a line that reads others: not every sudo takes it.
    pub fn rest(&mut self, file: usize, number: usize, rest: &str) {
        self.push(file, number, &format!("@includedir {MISSING}0{rest}"));
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file in which it begins.
    pub fn main(&self) -> &Path {
        self.files.first().map_or(Path::new("/"), |file| &file.path)
    }

    /// A complaint with the file and the line that the administrator knows.
    pub(super) fn as_seen(&self, said: &str) -> String {
        // The longest number first: one may begin with another.
        for (place, why) in self.lacks.iter().rev() {
            if said.contains(&format!("{MISSING}{place}")) {
                return format!("{}: {why}", self.at(*place).unwrap_or_default());
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
        seen().unwrap_or_else(|| said.replace(INPUT, &self.main().display().to_string()))
    }

    /// File and line of a line of the text, which counts from 1.
    fn at(&self, line: usize) -> Option<String> {
        let (file, number) = self.place(line)?;
        Some(format!("{}:{number}", self.files.get(file)?.path.display()))
    }
}
