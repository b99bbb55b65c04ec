//! An account's home, opened so that everything in it happens with the account's rights.

use std::io;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::Root;
use crate::fault::fault;
use crate::sys::dir::Dir;
use crate::sys::identity::Identity;

impl Root {
    /// The home at `path`; `None` when it does not exist. Links above the home are the administrator's
    /// and are followed; the home itself must belong to the account.
    pub fn home(&self, path: &Path, identity: Identity) -> Result<Option<Rc<Dir>>> {
        if !path.is_absolute() {
            return Err(unusable_home(path, "it is not an absolute path"));
        }
        let cannot = || format!("cannot open the home directory {}", path.display());
        let Some(home) = self.home_dir(path)? else {
            return Ok(None);
        };
        let owner = home.stat().with_context(cannot)?.uid;
        if owner != identity.uid {
            return Err(unusable_home(
                path,
                &format!("it belongs to uid {owner}, the account is uid {}", identity.uid),
            ));
        }
        let rights = (self.owner.uid == 0 && identity.uid != 0).then_some(identity);
        Ok(Some(Rc::new(home.with_identity(rights, path.to_path_buf(), self.gives))))
    }

    /// The same with a handle of its own: the one that others came by has no account's rights.
    fn home_dir(&self, path: &Path) -> Result<Option<Dir>> {
        let cannot = || format!("cannot open the home directory {}", path.display());
        // Nearly always a directory, and no link to one.
        for follow in [false, true] {
            let Some(found) = self.walk(path, follow).with_context(cannot)? else { return Ok(None) };
            if found.name.is_empty() {
                let Some((parent, name)) = found.dir.path().parent().zip(found.dir.path().file_name()) else {
                    return Err(unusable_home(path, "it is the root directory"));
                };
                let parent = self.dir(parent).with_context(cannot)?;
                return parent.map_or(Ok(None), |parent| parent.child(name)).with_context(cannot);
            }
            match found.dir.child(&found.name) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                opened => return opened.with_context(cannot),
            }
        }
        Err(unusable_home(path, "it is not a directory"))
    }
}

fn unusable_home(path: &Path, why: &str) -> anyhow::Error {
    fault(
        "home-unusable",
        format!("the home directory {} can't be used: {why}", path.display()),
        "give the account a home directory of its own with `usermod --home`; what is wrong with this one says: runner-prep doctor",
    )
}
