//! A copy of the whole policy for `visudo`: every file that one of it includes, at any depth.
//!
//! Read by handle, so that links stay inside a tree: `visudo` itself would open what the machine has at a path.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

use crate::fault::{Nature, look_and_move};
use crate::sys::dir::{Dir, FileKind};
use crate::sys::root::Root;
use crate::sys::staged::write;

const MAIN: &str = "/etc/sudoers";
/// What sudo-rs reads instead, where it is.
const RUST_MAIN: &str = "/etc/sudoers-rs";
const DROP_INS: &str = "/etc/sudoers.d";
/// No policy file is larger.
const MOST_BYTES: u64 = 1024 * 1024;
/// sudo includes nothing deeper.
const MOST_DEEP: usize = 128;
/// More that is included is taken for a circle with ever longer paths.
const MOST_INCLUDES: usize = 1000;

/// The mode of copies: what visudo wants.
const MODE: u32 = 0o440;

/// Where a copy is to read what a line reads: by the number of the line, whether it is a directory, and its path.
type CopyPlace<'a> = &'a mut dyn FnMut(usize, bool, &Path) -> Result<PathBuf>;

/// Copies a file of the policy that lies in a directory, with other places for what it includes.
pub type Redirect = fn(&[u8], &Path, CopyPlace<'_>) -> Result<Vec<u8>>;

/// A copy of the policy in a directory that only root can enter, removed on drop.
pub(super) struct Stage<'a> {
    root: &'a Root,
    redirect: Redirect,
    scratch: Rc<Dir>,
    top: Rc<Dir>,
    drop_ins: Rc<Dir>,
    name: OsString,
    /// The main files that there are.
    pub(super) mains: Vec<&'static str>,
    /// What `%h` stands for.
    host: String,
    /// Files and directories of the policy, and the copy of each.
    copies: Vec<(PathBuf, PathBuf)>,
    /// How many of them lines of the policy name.
    includes: usize,
    todo: VecDeque<Todo>,
}

/// A file that is yet to be copied.
struct Todo {
    from: PathBuf,
    dir: Rc<Dir>,
    name: OsString,
    depth: usize,
    /// The file and the line that name it; `None` for one that is read because of where it lies.
    by: Option<(PathBuf, usize)>,
}

impl<'a> Stage<'a> {
    /// Copy the policy, with `candidate` as the drop-in of this name.
    pub(super) fn build(
        root: &'a Root,
        redirect: Redirect,
        scratch: &Rc<Dir>,
        name: &OsStr,
        candidate: &[u8],
    ) -> Result<Self> {
        let cannot = "cannot copy sudo's policy to check it";
        let directory = OsString::from("policy");
        scratch.remove_scratch(&directory).context(cannot)?;
        let top = scratch.make_scratch(&directory).context(cannot)?;
        let drop_ins = top.make_scratch(OsStr::new("sudoers.d")).context(cannot)?;
        let mut stage = Self {
            root,
            redirect,
            scratch: Rc::clone(scratch),
            top,
            drop_ins,
            name: directory,
            mains: Vec::new(),
            host: short_name(root).context(cannot)?,
            copies: Vec::new(),
            includes: 0,
            todo: VecDeque::new(),
        };
        let (top, drop_ins) = (Rc::clone(&stage.top), Rc::clone(&stage.drop_ins));
        stage.copies.push((PathBuf::from(DROP_INS), drop_ins.path().to_path_buf()));
        stage.copies.push((Path::new(DROP_INS).join(name), stage.drop_in(name)));
        write(&drop_ins, name, candidate, MODE).context(cannot)?;
        if let Some(dir) = root.dir(Path::new(DROP_INS)).context(cannot)? {
            stage.members(&dir, Path::new(DROP_INS), &drop_ins, 1).context(cannot)?;
        }
        for main in [MAIN, RUST_MAIN] {
            let is_there = root.stat(Path::new(main), true).with_context(|| format!("cannot read {main}"))?;
            if main == MAIN || is_there.is_some() {
                stage.mains.push(main);
                stage.plan(Path::new(main), &top, copy_name(main), 0, None);
                if is_there.is_none() {
                    write(&top, copy_name(main), b"", MODE).context(cannot)?;
                }
            }
        }
        while let Some(next) = stage.todo.pop_front() {
            stage.copy_file(&next)?;
        }
        Ok(stage)
    }

    /// The copy of a main file.
    pub(super) fn copy(&self, main: &str) -> PathBuf {
        self.top.path().join(copy_name(main))
    }

    /// The copy of a drop-in.
    pub(super) fn drop_in(&self, name: &OsStr) -> PathBuf {
        self.drop_ins.path().join(name)
    }

    /// A complaint with the paths that the administrator knows.
    pub(super) fn as_seen(&self, said: &str) -> String {
        self.copies.iter().fold(said.to_owned(), |said, (from, copy)| {
            said.replace(&copy.display().to_string(), &from.display().to_string())
        })
    }

    fn plan(&mut self, from: &Path, dir: &Rc<Dir>, name: &OsStr, depth: usize, by: Option<(PathBuf, usize)>) {
        self.copies.push((from.to_path_buf(), dir.path().join(name)));
        let (dir, name) = (Rc::clone(dir), name.to_owned());
        self.todo.push_back(Todo { from: from.to_path_buf(), dir, name, depth, by });
    }

    /// What sudo reads in a directory.
    fn members(&mut self, dir: &Dir, from: &Path, copy: &Rc<Dir>, depth: usize) -> std::io::Result<()> {
        for name in dir.names()?.into_iter().filter(|name| is_read(name)) {
            let path = from.join(&name);
            // The candidate stands for its file.
            if path.parent() != Some(Path::new(DROP_INS)) || self.known(&path).is_none() {
                self.plan(&path, copy, &name, depth, None);
            }
        }
        Ok(())
    }

    fn known(&self, path: &Path) -> Option<&Path> {
        self.copies.iter().find(|(from, _)| from == path).map(|(_, copy)| copy.as_path())
    }

    fn copy_file(&mut self, file: &Todo) -> Result<()> {
        let shown = file.from.display();
        let cannot = || match &file.by {
            Some((by, line)) => {
                format!("cannot read {shown}, which {} includes in line {line}", by.display())
            }
            None => format!("cannot read {shown}"),
        };
        let Some((read, _)) = self.root.read(&file.from, MOST_BYTES).with_context(cannot)? else {
            return Ok(());
        };
        match (read.stat.kind, &file.by) {
            (FileKind::Regular, _) => {
                let beside = file.from.parent().unwrap_or(Path::new("/"));
                let root = self.root;
                let copy = (self.redirect)(&read.bytes, beside, &mut |line, is_directory, path| {
                    let copy = self.included(is_directory, path, (&file.from, line), file.depth + 1)?;
                    Ok(root.on_machine(&copy))
                })?;
                write(&file.dir, &file.name, &copy, MODE).with_context(cannot)
            }
            (FileKind::Directory, Some(_)) => file.dir.make_scratch(&file.name).map(drop).with_context(cannot),
            (kind, Some((by, line))) => Err(Nature::Policy.fault(
                "policy-broken",
                format!(
                    "sudo's policy is broken already, not by runner-prep: {}, line {line}: it includes {shown}, which is {kind} and no file",
                    by.display()
                ),
                look_and_move(&file.from),
            )),
            // In a directory sudo passes over it.
            _ => Ok(()),
        }
    }

    /// Where the copy of what a line reads is, or will be. What is missing has none, as `visudo` is to find it.
    fn included(
        &mut self,
        is_directory: bool,
        path: &Path,
        by: (&Path, usize),
        depth: usize,
    ) -> Result<PathBuf> {
        let from = match path.to_str() {
            Some(path) if path.contains("%h") => PathBuf::from(path.replace("%h", &self.host)),
            _ => path.to_path_buf(),
        };
        if let Some(copy) = self.known(&from) {
            return Ok(copy.to_path_buf());
        }
        self.includes += 1;
        if self.includes > MOST_INCLUDES || depth > MOST_DEEP {
            return Err(Nature::Policy.fault(
                "policy-broken",
                format!(
                    "sudo's policy is broken already, not by runner-prep: {}, line {}: more than {MOST_INCLUDES} files are included, or more than {MOST_DEEP} deep",
                    by.0.display(),
                    by.1
                ),
                mend!("take out the line if it closes a circle: {}", by.0.display()),
            ));
        }
        let (top, name) = (Rc::clone(&self.top), OsString::from(format!("{}.copy", self.includes)));
        let copy = top.path().join(&name);
        if !is_directory {
            self.plan(&from, &top, &name, depth, Some((by.0.to_path_buf(), by.1)));
            return Ok(copy);
        }
        self.copies.push((from.clone(), copy.clone()));
        let cannot =
            || format!("cannot read {}, which {} includes in line {}", from.display(), by.0.display(), by.1);
        match self.root.dir(&from) {
            Ok(None) => {}
            Ok(Some(dir)) => {
                let members = top.make_scratch(&name).with_context(cannot)?;
                self.members(&dir, &from, &members, depth).with_context(cannot)?;
            }
            // `visudo` finds a file there, too.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                write(&top, &name, b"", MODE).with_context(cannot)?;
            }
            Err(error) => return Err(error).with_context(cannot),
        }
        Ok(copy)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next check.
        self.scratch.remove_scratch(&self.name).ok();
    }
}

/// What sudo puts for `%h` on this host, or on the host that a tree becomes.
fn short_name(root: &Root) -> Result<String> {
    let of_tree = if root.is_host() { None } else { root.read(Path::new("/etc/hostname"), MOST_BYTES)? };
    let name = of_tree.map(|(file, _)| String::from_utf8_lossy(&file.bytes).trim().to_owned());
    let name = match name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => nix::unistd::gethostname()?.to_string_lossy().into_owned(),
    };
    Ok(name.split('.').next().unwrap_or_default().to_owned())
}

/// sudo skips names with a dot and those that end in `~` (sudoers(5), "Including other files").
fn is_read(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.contains(&b'.') && !name.ends_with(b"~")
}

/// What a copy of a main file is called.
fn copy_name(main: &str) -> &OsStr {
    Path::new(main).file_name().unwrap_or_default()
}
