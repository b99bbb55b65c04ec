//! What `/etc/login.defs` says of new accounts, login.defs(5).

use anyhow::Result;

use super::{lines, text};
use crate::sys::root::Root;

/// A value of `/etc/login.defs`, login.defs(5); the last one counts.
pub(super) fn setting(root: &Root, name: &str) -> Result<Option<String>> {
    let text = text(root, "/etc/login.defs")?;
    let values = lines(&text).filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == name).and_then(|_| words.next())
    });
    Ok(values.last().map(str::to_owned))
}

/// The mode of a new home, never writable by others, and the setting that says so (useradd(8), `HOME_MODE`).
///
/// # Errors
/// When `/etc/login.defs` can't be read.
pub fn home_mode(root: &Root) -> Result<(u32, &'static str)> {
    // As strtol(3) reads a number: octal where it begins with a zero.
    let number =
        |text: String| if text.starts_with('0') { u32::from_str_radix(&text, 8) } else { text.parse() };
    let number = |name| Ok::<_, anyhow::Error>(setting(root, name)?.and_then(|text| number(text).ok()));
    if let Some(mode) = number("HOME_MODE")? {
        return Ok((mode & 0o755, "HOME_MODE"));
    }
    Ok((0o755 & !number("UMASK")?.unwrap_or(0o022), "UMASK"))
}
