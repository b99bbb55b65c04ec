//! The lines of a sudoers file that read other files: sudoers(5), "Including other files from within sudoers".

use std::path::{Path, PathBuf};

/// What such a line reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Every file of a directory, instead of one file.
    pub is_directory: bool,
    /// Its path, absolute.
    pub path: PathBuf,
    /// What stands behind the path: a comment, which not every sudo takes.
    pub rest: String,
}

/// Read a line of a file in the directory `beside`; `None` for every other line.
pub fn include(line: &str, beside: &Path) -> Option<Include> {
    let line = line.trim();
    let rest = line.strip_prefix(['@', '#'])?.strip_prefix("include")?;
    let (is_directory, rest) = rest.strip_prefix("dir").map_or((false, rest), |rest| (true, rest));
    // `#includes` is a comment like any other.
    let written = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (path, rest) = word(written)?;
    Some(Include { is_directory, path: beside.join(path), rest: rest.to_owned() })
}

/// A path in quotes, or up to the first space without a `\` before it; and what follows.
fn word(written: &str) -> Option<(String, &str)> {
    let (end, written) = match written.strip_prefix('"') {
        Some(rest) => (Some('"'), rest),
        None => (None, written),
    };
    let mut path = String::new();
    let mut letters = written.chars();
    loop {
        let here = letters.as_str();
        match (letters.next(), end) {
            (Some('\\'), _) => path.extend(letters.next()),
            (Some('"'), Some(_)) => return Some((path, letters.as_str())),
            (None, Some(_)) => return None,
            (Some(letter), None) if letter.is_whitespace() => return Some((path, here)),
            (Some(letter), _) => path.push(letter),
            (None, None) => return (!path.is_empty()).then_some((path, "")),
        }
    }
}

/// A copy of a file of the directory `beside` that reads other places: `place` gives one for each line that reads
/// something, by its number, whether it reads a directory, and the absolute path.
///
/// # Errors
/// The errors of `place`.
pub fn redirect<E>(
    bytes: &[u8],
    beside: &Path,
    mut place: impl FnMut(usize, bool, &Path) -> Result<PathBuf, E>,
) -> Result<Vec<u8>, E> {
    let mut copy = Vec::with_capacity(bytes.len());
    for (index, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match include(&String::from_utf8_lossy(text), beside) {
            Some(it) => {
                let path = place(index + 1, it.is_directory, &it.path)?;
                copy.extend_from_slice(line(it.is_directory, &path, &it.rest).as_bytes());
            }
            None => copy.extend_from_slice(text),
        }
    }
    Ok(copy)
}

/// The line that reads this, as every sudo understands it.
fn line(is_directory: bool, path: &Path, rest: &str) -> String {
    let kind = if is_directory { "@includedir" } else { "@include" };
    let path = path.display().to_string().replace('\\', "\\\\").replace(' ', "\\ ");
    format!("{kind} {path}{rest}\n")
}

/// A text without the lines that include other files; the other lines keep their numbers.
pub fn without_includes(text: &str, beside: &Path) -> String {
    text.lines()
        .map(|line| if include(line, beside).is_some() { "\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(bool, String)> {
        include(text, Path::new("/etc")).map(|it| (it.is_directory, it.path.display().to_string()))
    }

    #[test]
    fn each_form_is_read() {
        for text in
            ["@includedir /etc/sudoers.d", "#includedir\t/etc/sudoers.d ", "  @includedir \"/etc/sudoers.d\""]
        {
            assert_eq!(read(text), Some((true, "/etc/sudoers.d".into())), "{text}");
        }
        assert_eq!(read("@includedir sudoers.d"), Some((true, "/etc/sudoers.d".into())));
        assert_eq!(read("#include sudoers.local # ours"), Some((false, "/etc/sudoers.local".into())));
        assert_eq!(read("@include /a\\ b"), Some((false, "/a b".into())));
        assert_eq!(read("@include \"/a b\""), Some((false, "/a b".into())));
    }

    #[test]
    fn everything_else_is_not() {
        for text in
            ["", "# include x", "#includes", "@include", "@included x", "root ALL=(ALL) ALL", "@include \"x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let path = Path::new("/var/a b\\c");
        let found = include(&line(true, path, " # ours"), Path::new("/")).unwrap();
        assert_eq!((found.is_directory, found.path.as_path(), found.rest.as_str()), (true, path, " # ours"));
    }
}
