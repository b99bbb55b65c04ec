//! The calls of shadow's tools: on the host itself, and for a tree, of which they see a copy of its databases and never the
//! tree.
//!
//! With `--prefix` they follow links as the machine sees them, so that a tree with `etc -> /proc/self/root/etc` would
//! have them change the machine itself. The copy lies in root's own directory and is given to them as an open handle;
//! what they made of it is put back file by file, each whole, in the order in which they write.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::{DATABASES, MOST_BYTES, irregular};
use crate::fault::{Nature, fault};
use crate::sys::dir::{Dir, FileKind};
use crate::sys::exec::{Finished, Tool, find};
use crate::sys::identity::{Identity, is_root};
use crate::sys::root::Root;
use crate::sys::staged::{self, Staged};

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
        let what = format!("another program made the account {name} meanwhile: {}", done.complaint());
        return Err(Nature::Raced.fault("changed-meanwhile", what, "run the same command again"));
    }
    let what = format!("useradd could not make the account {name}: {}", done.complaint());
    let repair = mend!(
        "make it by hand, then run again: $ useradd --system --shell {} --comment '{}' --create-home --skel /dev/null {}; a lock that nobody holds: $ ls -l /etc/*.lock",
        shell.display(),
        comment,
        name
    );
    Err(fault("account-not-made", what, repair))
}

/// Add an account to a supplementary group.
pub fn join(place: AccountsPlace<'_>, name: &str, group: &str) -> Result<()> {
    let arguments = ["--append", "--groups", group, name].map(OsString::from);
    let done = call(place, "usermod", &arguments)?;
    if done.success() {
        return Ok(());
    }
    let what = format!("usermod could not add {name} to the group {group}: {}", done.complaint());
    let repair = mend!("add it by hand, then run again: $ usermod --append --groups {} {}", group, name);
    Err(fault("group-not-joined", what, repair))
}

pub(super) fn call(place: AccountsPlace<'_>, tool: &str, arguments: &[OsString]) -> Result<Finished> {
    let program = find(place.machine, tool).ok_or_else(|| missing(tool))?;
    if place.root.is_host() {
        return Tool::new(&program).args(arguments).run();
    }
    call_on_copy(place.root, place.state, &program, arguments)
}

fn missing(tool: &str) -> anyhow::Error {
    Nature::Obstacle.fault(
        "tool-missing",
        format!("{tool} is not installed"),
        "install it: the package is called passwd (Debian) or shadow-utils (Fedora, RHEL)",
    )
}

/// The copy, in the state directory.
const COPY: &str = "accounts";

/// What else of `/etc` the tools read.
const SETTINGS: [&str; 2] = ["login.defs", "default/useradd"];

/// Run a tool on a copy of the tree's databases, and put back what it changed if it is content.
fn call_on_copy(root: &Root, state: &Rc<Dir>, program: &Path, arguments: &[OsString]) -> Result<Finished> {
    let cannot = || format!("cannot copy the accounts of {}", root.on_machine(Path::new("/")).display());
    forget(state)?;
    let etc = root.secure_dir(Path::new("/etc"))?;
    let top = state.make_scratch(OsStr::new(COPY)).with_context(cannot)?;
    let copy = top.make_scratch(OsStr::new("etc")).with_context(cannot)?;
    let names = etc.names().with_context(cannot)?;
    for name in names.iter().filter(|name| is_of_database(name)) {
        staged::write(&copy, name, &read(&etc, name)?, 0o600).with_context(cannot)?;
    }
    let defaults = copy.make_scratch(OsStr::new("default")).with_context(cannot)?;
    for path in SETTINGS.map(Path::new) {
        let found = root.read(&Path::new("/etc").join(path), MOST_BYTES).with_context(cannot)?;
        let dir = if path.parent() == Some(Path::new("")) { &copy } else { &defaults };
        if let (Some(file), Some(name)) = (found, path.file_name()) {
            staged::write(dir, name, &file.bytes, 0o600).with_context(cannot)?;
        }
    }
    // By the handle: whoever owns the tree may move what is above the copy.
    let prefix = ["--prefix", "/proc/self/fd/0"];
    let done = Tool::new(program).directory(&top).args(prefix).args(arguments).run()?;
    if done.success() {
        put_back(&etc, &copy, &names)?;
    }
    forget(state)?;
    Ok(done)
}

/// Remove the copy, also one that a killed run left.
pub(super) fn forget(state: &Rc<Dir>) -> Result<()> {
    state.remove_scratch(OsStr::new(COPY)).context("cannot remove a copy of a tree's accounts")
}

fn put_back(etc: &Rc<Dir>, copy: &Rc<Dir>, former: &[OsString]) -> Result<()> {
    for database in DATABASES {
        // The one before, which the tools keep, first.
        for name in [format!("{database}-"), database.to_owned()].map(OsString::from) {
            let cannot = || format!("cannot write /etc/{}", Path::new(&name).display());
            let Some(new) = copy.read(&name, MOST_BYTES).with_context(cannot)? else { continue };
            let old = etc.read(&name, MOST_BYTES).with_context(cannot)?;
            if old.as_ref().is_some_and(|old| old.bytes == new.bytes) {
                continue;
            }
            let base = etc.stat_entry(OsStr::new(database)).with_context(cannot)?;
            let meta = old.as_ref().map(|old| old.stat).or(base).unwrap_or(new.stat);
            let owner = is_root().then_some(Identity { uid: meta.uid, gid: meta.gid });
            let like: Option<File> =
                old.as_ref().map(|_| etc.open(&name)).transpose().with_context(cannot)?;
            staged::sweep(etc, &name).with_context(cannot)?;
            let mut staged = Staged::create(etc, &name, &new.bytes, owner, meta.mode, like.as_ref())
                .with_context(cannot)?;
            let committed = staged.commit(old.map(|old| old.identity));
            committed.and_then(|()| staged.finish()).with_context(cannot)?;
        }
    }
    // Locks that nobody holds any more the tools remove.
    for name in former.iter().filter(|name| is_of_database(name) && !is_database(name)) {
        if copy.stat_entry(name)?.is_none() {
            etc.unlink(name).with_context(|| format!("cannot remove /etc/{}", Path::new(name).display()))?;
        }
    }
    etc.sync().context("cannot make /etc durable")
}

/// A database, the one before it, or what its locks are made of.
fn is_of_database(name: &OsStr) -> bool {
    let base = name.to_str().map_or("", |name| name.split('.').next().unwrap_or_default());
    is_database(name) || DATABASES.contains(&base)
}

fn is_database(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| DATABASES.contains(&name.strip_suffix('-').unwrap_or(name)))
}

fn read(etc: &Dir, name: &OsStr) -> Result<Vec<u8>> {
    let shown = || format!("cannot read /etc/{}", Path::new(name).display());
    let entry = etc.read(name, MOST_BYTES).with_context(shown)?.with_context(shown)?;
    if entry.kind != FileKind::Regular {
        return Err(irregular(&Path::new("/etc").join(name)));
    }
    Ok(entry.bytes)
}
