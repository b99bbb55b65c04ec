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
}
