//! Where jobs of the shell executor check out and keep their caches: in directories of the account's home, unless their
//! runner or the service names others.

use anyhow::Result;

use super::{Account, Facts};
use crate::change::{FileKind, Seen};
use crate::fault::{move_aside, quoted};
use crate::repair::Repair;

/// Where they check out. Looked at, and not read.
pub const BUILDS: &str = "builds/";
/// Where they keep caches.
pub const CACHE: &str = "cache/";

impl Facts<'_> {
    /// Why jobs can't use such a directory, with the repair; `None` where they can, or make it themselves.
    ///
    /// # Errors
    /// When the home can't be looked into.
    pub fn unusable(&self, account: &Account, name: &str) -> Result<Option<(String, Repair)>> {
        let Some((_, mode)) = self.opened_home(account)? else { return Ok(None) };
        let (user, path) = (&account.name, account.home.join(name.trim_end_matches('/')));
        let shown = path.display();
        Ok(match self.home_file(account, name)? {
            Some(seen) if !is_usable(&seen, account) => Some((
                format!(
                    "jobs of {user} can't write in {shown}: it is {} of uid {} with mode {:04o}",
                    seen.kind, seen.uid, seen.mode
                ),
                mend!("move it away, jobs make a new one: $ {}", move_aside(user, &path)),
            )),
            None if name == BUILDS && mode & 0o300 != 0o300 => Some((
                format!("jobs of {user} can't make {shown}: the home has mode {mode:04o}"),
                mend!("let it write in its home: $ sudo -u {} chmod u+rwx {}", user, quoted(&account.home)),
            )),
            _ => None,
        })
    }
}

/// Whether jobs can write there. A gitlab-runner that once ran without `--user` leaves it as root's.
fn is_usable(seen: &Seen, account: &Account) -> bool {
    let needed = match seen {
        _ if seen.uid == account.uid => 0o300,
        _ if seen.gid == account.gid => 0o030,
        _ => 0o003,
    };
    match seen.kind {
        // To another disk, as a rule; what is there is not looked at.
        FileKind::Link => true,
        kind => kind == FileKind::Directory && seen.mode & needed == needed,
    }
}
