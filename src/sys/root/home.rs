//! An account's home, opened so that everything in it happens with the account's rights.

use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::Root;
use crate::fault::{AtHome, fault, make_home};
use crate::seen::Stat;
use crate::sys::dir::Dir;
use crate::sys::identity::Identity;

impl Root {
    /// The home at `path`; `None` when it does not exist. Links above the home are the administrator's
    /// and are followed; the home itself must belong to the account.
    pub fn home(&self, account: &str, path: &Path, identity: Identity) -> Result<Option<(Rc<Dir>, u32)>> {
        let unusable = |why: &str, found| {
            let what = format!("the home directory {} can't be used: {why}", path.display());
            fault("home-unusable", what, make_home(account, identity.gid, path, found))
        };
        if !path.is_absolute() {
            return Err(unusable("it is not an absolute path", AtHome::Other));
        }
        let cannot = || format!("cannot open the home directory {}", path.display());
        let home = self.home_dir(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotADirectory => Err(unusable("it is not a directory", AtHome::Other)),
            io::ErrorKind::IsADirectory => Err(unusable("it is the root directory", AtHome::Other)),
            _ => Err(error).with_context(cannot),
        })?;
        let Some(home) = home else { return Ok(None) };
        let Stat { uid: owner, mode, .. } = home.stat().with_context(cannot)?;
        if owner != identity.uid {
            let why = format!("it belongs to uid {owner}, the account is uid {}", identity.uid);
            return Err(unusable(&why, AtHome::Foreign));
        }
        let rights = (self.owner.uid == 0 && identity.uid != 0).then_some(identity);
        Ok(Some((Rc::new(home.with_identity(rights, path.to_path_buf(), self.adopts)), mode)))
    }

    /// The home at a path, opened anew: a handle that the tree keeps has no account's rights. The root directory can't be
    /// a home.
    fn home_dir(&self, path: &Path) -> io::Result<Option<Dir>> {
        // Nearly always a directory, and no link to one.
        for follow in [false, true] {
            let Some(found) = self.walk(path, follow)? else { return Ok(None) };
            if found.name.is_empty() {
                let place = found.dir.path().parent().zip(found.dir.path().file_name());
                let Some((parent, name)) = place else { return Err(io::ErrorKind::IsADirectory.into()) };
                return self.dir(parent)?.map_or(Ok(None), |parent| parent.child(name));
            }
            match found.dir.child(&found.name) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                opened => return opened,
            }
        }
        Err(io::ErrorKind::NotADirectory.into())
    }
}
