//! A disk that loses power: ext4 in a file, mounted through a loop device.
//!
//! The file holds what was written out. A copy of it, taken while the file system is in use, is what a disk has
//! after the power went: without the pages that were never synced. `noauto_da_alloc` and a long `commit`
//! keep the kernel from writing more than it was asked to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::support::run_limited;

const OPTIONS: &str = "loop,noauto_da_alloc,commit=300";

/// A file that holds a file system.
pub(crate) struct Image {
    path: PathBuf,
    _kept: tempfile::TempDir,
}

impl Image {
    /// An empty one, or why there can be none here.
    pub(crate) fn new() -> Result<Self, String> {
        let image = Self::unmade();
        File::create(&image.path).and_then(|file| file.set_len(32 << 20)).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image.path).output();
        let made = made.map_err(|error| format!("mkfs.ext4: {error}"))?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).trim().to_owned());
        }
        image.try_mount().map(|_| ())?;
        Ok(image)
    }

    fn unmade() -> Self {
        let kept = tempfile::Builder::new().prefix("disk-").tempdir().unwrap();
        std::fs::create_dir(kept.path().join("mounted")).unwrap();
        Self { path: kept.path().join("image"), _kept: kept }
    }

    /// What is on the disk now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::unmade();
        let done =
            Command::new("cp").arg("--sparse=always").arg(&self.path).arg(&copy.path).status().unwrap();
        assert!(done.success(), "copy of an image");
        copy
    }

    pub(crate) fn mount(&self) -> Mounted {
        self.try_mount().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    fn try_mount(&self) -> Result<Mounted, String> {
        let at = self.path.with_file_name("mounted");
        let run =
            run_limited(Command::new("mount").args(["-t", "ext4", "-o", OPTIONS]).arg(&self.path).arg(&at));
        if run.status == 0 { Ok(Mounted { at }) } else { Err(run.stderr) }
    }
}

/// A file system in use; unmounted with the value.
pub(crate) struct Mounted {
    at: PathBuf,
}

impl Mounted {
    pub(crate) fn top(&self) -> &Path {
        &self.at
    }

    /// Some other program asks for its own file: with it the journal of the file system is written, all
    /// names and sizes in it, and no byte of the files that nobody asked for.
    pub(crate) fn let_others_sync(&self) {
        let file = File::create(self.at.join("of-another-program")).unwrap();
        file.sync_all().unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What a killed run had started may still be at work there.
        for _ in 0..200 {
            let run = run_limited(Command::new("umount").arg(&self.at));
            if run.status == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(std::thread::panicking(), "{} stays in use", self.at.display());
    }
}

/// From here on this thread has mounts of its own, which end with it whatever happens.
pub(crate) fn mounts_of_our_own() -> Result<(), String> {
    let none: Option<&str> = None;
    let done = unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none));
    done.map_err(|error| format!("no mounts of our own: {error}"))
}
