//! The calls of shadow's tools: on the host itself, and for a tree.

use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::aside;
use crate::fault::{Nature, fault};
use crate::sys::dir::Dir;
use crate::sys::exec::{Finished, Tool, find};
use crate::sys::root::Root;

/// With this code useradd(8) says that the account, or a group of its name, is there.
const EXISTS: i32 = 9;

/// Where accounts are made: the tree, the machine whose tools are used, and the directory for notes.
#[derive(Debug, Clone, Copy)]
pub struct AccountsPlace<'a> {
    /// The tree.
    pub root: &'a Root,
    /// The machine itself.
    pub machine: &'a Root,
    /// Root's own directory.
    pub state: &'a Rc<Dir>,
}

/// Make a system account as GitLab's package does (its `post-install` script).
pub(super) fn create(place: AccountsPlace<'_>, name: &str, comment: &str, shell: &Path) -> Result<()> {
    let arguments = ["--system", "--shell"].map(OsString::from).into_iter();
    let arguments = arguments.chain([shell.as_os_str().to_owned()]);
    let rest = ["--comment", comment, "--create-home", "--skel", "/dev/null", name];
    let arguments: Vec<_> = arguments.chain(rest.map(OsString::from)).collect();
    let done = call(place, "useradd", &arguments)?;
    if done.success() {
        return Ok(());
    }
    if done.code == Some(EXISTS) {
        return Err(Nature::Raced.fault(
            "changed-meanwhile",
            format!("another program made the account {name} meanwhile: {}", done.complaint()),
            "run the same command again",
        ));
    }
    Err(fault(
        "account-not-made",
        format!("useradd could not make the account {name}: {}", done.complaint()),
        mend!(
            "make it by hand, then run again: $ useradd --system --shell {} --comment '{}' --create-home --skel /dev/null {}; a lock that nobody holds: $ ls -l /etc/*.lock",
            shell.display(),
            comment,
            name
        ),
    ))
}

/// Add an account to a supplementary group.
pub fn join(place: AccountsPlace<'_>, name: &str, group: &str) -> Result<()> {
    let arguments = ["--append", "--groups", group, name].map(OsString::from);
    let done = call(place, "usermod", &arguments)?;
    if done.success() {
        return Ok(());
    }
    Err(fault(
        "group-not-joined",
        format!("usermod could not add {name} to the group {group}: {}", done.complaint()),
        mend!("add it by hand, then run again: $ usermod --append --groups {} {}", group, name),
    ))
}

pub(super) fn call(place: AccountsPlace<'_>, tool: &str, arguments: &[OsString]) -> Result<Finished> {
    let program = find(place.machine, tool).ok_or_else(|| missing(tool))?;
    if place.root.is_host() {
        return Tool::new(&program).args(arguments).run();
    }
    aside::call(place.root, place.state, &program, arguments)
}

fn missing(tool: &str) -> anyhow::Error {
    Nature::Obstacle.fault(
        "tool-missing",
        format!("{tool} is not installed"),
        "install it: the package is called passwd (Debian) or shadow-utils (Fedora, RHEL)",
    )
}
