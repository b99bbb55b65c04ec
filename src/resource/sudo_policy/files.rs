//! What lies in sudo's directory, and what is wrong with a file of sudo's whatever it says.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::{FileKind, Notes, Owner, Seen};
use crate::facts::Facts;
use crate::facts::sudo_policy::{RUST_SUDOERS, SUDOERS};
use crate::fault::{fault, look_and_move};
use crate::policy::SUDOERS_DIRECTORY as DIRECTORY;
use crate::repair::Repair;

/// sudo reads nothing where somebody else could write its main file.
pub(super) fn wait_for_main(path: &Path, file: &Seen, facts: &Facts<'_>, notes: &mut Notes) -> Result<()> {
    let (root, group) = facts.ids(&Owner::Root)?.unwrap_or_default();
    let by_group = file.mode & 0o020 != 0 && file.gid != group;
    if file.uid == root && file.mode & 0o002 == 0 && !by_group {
        return Ok(());
    }
    let (path, mode) = (path.display(), file.mode);
    notes.wait(
        "sudoers-main-mode",
        format!(
            "sudo reads no rule at all: {path} has mode {mode:04o} and belongs to {}:{}",
            file.uid, file.gid
        ),
        mend!("see that nobody changed it, then: $ chown root:root {0}; $ chmod 0440 {0}; $ visudo -c", path),
    );
    Ok(())
}

/// Whether the `sudo` of the host is sudo-rs. Asked only where it has a main file of its own.
pub(super) fn rules_by_rust(facts: &Facts<'_>) -> Result<bool> {
    let said = facts.sudo(None, &["--version"], &[])?;
    // sudo-rs 0.2.5 says it on standard error.
    Ok(said.is_some_and(|said| [said.stdout, said.stderr].iter().any(|text| text.starts_with("sudo-rs"))))
}

pub(super) fn not_included(main: &Path) -> anyhow::Error {
    if main == Path::new(RUST_SUDOERS) {
        let what = format!(
            "sudo-rs reads {RUST_SUDOERS} instead of {}, and it does not include {DIRECTORY}: a rule there would be dead",
            SUDOERS[0]
        );
        return fault("sudoers-rs", what, include_it(main));
    }
    let what = format!("{} does not include {DIRECTORY}, a rule there would be dead", main.display());
    fault("sudoers-not-included", what, include_it(main))
}

pub(super) fn include_it(main: &Path) -> Repair {
    let main = main.display();
    mend!("add that line at its end: $ echo '@includedir {0}' >> {1}; $ visudo -c -f {1}", DIRECTORY, main)
}

/// Tell what lies in the directory and is not a file, where sudo looks for files.
pub(super) fn look_around<'a>(
    facts: &Facts<'_>,
    passed: impl Iterator<Item = &'a PathBuf>,
    notes: &mut Notes,
) -> Result<()> {
    for path in passed.filter(|path| path.parent() == Some(Path::new(DIRECTORY))) {
        let shown = path.display();
        let repair = look_and_move(path);
        match facts.stat(path)?.map(|seen| seen.kind) {
            Some(FileKind::Regular) => {}
            Some(kind) if kind.is_special() => {
                let what = format!("{shown} is {kind}: sudo-rs waits for it for ever, at every call");
                return Err(fault("sudoers-special-file", what, repair));
            }
            Some(kind) => notes.warn(
                "sudoers-no-file",
                format!("{shown} is {kind}: sudo passes over it, and sudo-rs complains of it at every call"),
                repair,
            ),
            None => notes.warn(
                "sudoers-no-file",
                format!("{shown} is a link that leads nowhere: sudo passes over it, sudo-rs complains of it"),
                repair,
            ),
        }
    }
    Ok(())
}
