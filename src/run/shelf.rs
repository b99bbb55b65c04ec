//! Where profiles lie: local ones inside the tree, those given by path on the machine.

use std::path::Path;

use anyhow::Result;

use crate::change::FileKind;
use crate::cli::Environment;
use crate::facts::live::Live;
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::fault;
use crate::profile;
use crate::sys::identity;
use crate::sys::root::Root;

/// The profiles that a command line can name.
pub(super) struct Shelf<'a> {
    /// The tree.
    pub(super) facts: &'a Live<'a>,
    /// The machine that the program runs on.
    pub(super) machine: &'a Root,
    /// Who called.
    pub(super) environment: Environment,
}

impl profile::Shelf for Shelf<'_> {
    /// A profile is code that root runs, so nobody but root and the caller may be able to change it.
    fn read(&self, path: &Path) -> Result<Option<String>> {
        let local = path.starts_with(profile::DIRECTORY);
        let given = Live::new(self.machine, self.machine);
        let facts = if local { self.facts } else { &given };
        let absolute = std::path::absolute(path)?;
        let Some(seen) = facts.file(&absolute, MOST_BYTES)? else {
            return Ok(None);
        };
        let shown = path.display();
        if seen.kind != FileKind::Regular {
            return Err(fault(
                "profile-invalid",
                format!("{shown} is {}, not a profile", seen.kind),
                "give the path of a regular file",
            ));
        }
        let owners = [Some(0), Some(crate::facts::caller()), self.environment.sudo_uid];
        if identity::is_root() && (!owners.contains(&Some(seen.uid)) || seen.mode & 0o022 != 0) {
            return Err(fault(
                "profile-untrusted",
                format!(
                    "the profile {shown} can be changed by others than root: uid {}, mode {:04o}",
                    seen.uid, seen.mode
                ),
                format!("chown root: {shown}; chmod go-w {shown}"),
            ));
        }
        let text = String::from_utf8(seen.bytes);
        text.map(Some)
            .map_err(|_| fault("profile-invalid", format!("{shown} is no UTF-8 text"), "give a TOML file"))
    }

    fn names(&self) -> Result<Vec<String>> {
        self.facts.names(Path::new(profile::DIRECTORY))
    }
}
