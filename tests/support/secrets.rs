//! The rule that every run of the program is held to: no secret leaves the file that it is in.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::CANARY;
use super::process::Run;

/// Secrets are small; what is larger is there to test limits.
const SIZE_LIMIT: u64 = 1 << 20;

/// The files with a secret in them, each with the permissions it had.
pub(crate) struct Secrets {
    top: PathBuf,
    modes: BTreeMap<PathBuf, u32>,
}

impl Secrets {
    /// Looks for secrets below `top` before a run.
    pub(crate) fn below(top: &Path) -> Self {
        Self {
            top: top.to_path_buf(),
            modes: find(top).into_iter().map(|found| (found.path, found.mode)).collect(),
        }
    }

    /// Demands after a run that nothing it printed holds a secret, and that no file with one is open to more
    /// people than before; a new one is its owner's alone.
    #[track_caller]
    pub(crate) fn assert_kept(&self, run: &Run) {
        let broken = self.broken(run);
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// What [`Secrets::assert_kept`] finds fault with.
    pub(crate) fn broken(&self, run: &Run) -> Vec<String> {
        let mut broken = Vec::new();
        for (stream, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            for forbidden in [CANARY, "PRIVATE KEY", "panicked at"] {
                // Not `run` itself: a report of a leak should not leak once more than needed.
                if text.contains(forbidden) {
                    broken.push(format!("{stream} of `{}` contains `{forbidden}`:\n{text}", run.command));
                }
            }
        }
        for found in find(&self.top) {
            let allowed = self.modes.get(&found.path).copied().unwrap_or(0o700);
            let shown = found.path.strip_prefix(&self.top).unwrap_or(&found.path).display().to_string();
            let command = &run.command;
            if found.mode & 0o777 & !allowed != 0 {
                let mode = found.mode & 0o7777;
                broken.push(format!(
                    "`{command}` left {shown} with a secret in it at mode {mode:04o}, not within {allowed:04o}"
                ));
            }
            if found.key_lines.iter().any(|line| run.stdout.contains(line) || run.stderr.contains(line)) {
                broken.push(format!("`{command}` prints a line of the private key {shown}"));
            }
        }
        broken
    }
}

struct Found {
    path: PathBuf,
    mode: u32,
    /// The lines of a private key's body that are not the same in every key.
    key_lines: Vec<String>,
}

fn find(top: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            if let Ok(entries) = std::fs::read_dir(&path) {
                waiting.extend(entries.flatten().map(|entry| entry.path()));
            }
        } else if meta.is_file() && meta.len() <= SIZE_LIMIT {
            let Ok(bytes) = std::fs::read(&path) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            let key = text.contains("PRIVATE KEY-----");
            if key || text.contains(CANARY) {
                let key_lines = if key { body(&text) } else { Vec::new() };
                found.push(Found { path, mode: meta.mode(), key_lines });
            }
        }
    }
    found
}

/// The first line of a key's body names the format and is the same for all; short ones prove nothing.
fn body(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).skip(1);
    lines.filter(|line| line.len() >= 16).map(String::from).collect()
}
