//! `config.toml` beside a gitlab-runner that rewrites it in place, without a lock, whenever it likes.

#![expect(clippy::disallowed_methods, reason = "a test plays the other program, and looks at files itself")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has to say why"
)]

#[path = "../support/mod.rs"]
mod support;

mod file;
mod writer;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use runner_prep::fault;
use runner_prep::seen::Seen;
use runner_prep::sys::dir::Dir;
use runner_prep::sys::root::Root;
use runner_prep::sys::shared::{After, Shared, SharedTarget};
use runner_prep::sys::waiting::Waiting;

/// A file in a directory of its own, beside a state directory.
struct Bench {
    kept: tempfile::TempDir,
    root: Root,
}

impl Bench {
    fn new(text: &str) -> Self {
        let kept = tempfile::Builder::new().prefix("shared-").tempdir().unwrap();
        for name in ["etc", "state"] {
            fs::create_dir(kept.path().join(name)).unwrap();
        }
        fs::write(kept.path().join("etc/config.toml"), text).unwrap();
        let root = Root::open(kept.path()).unwrap();
        Self { kept, root }
    }

    fn path(&self) -> PathBuf {
        self.kept.path().join("etc/config.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.kept.path().join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn dir(&self, path: &str) -> Rc<Dir> {
        self.root.secure_dir(Path::new(path)).unwrap()
    }

    fn target(&self) -> SharedTarget {
        SharedTarget {
            dir: self.dir("/etc"),
            name: "config.toml".into(),
            state: self.dir("/state"),
            waiting: Waiting::silent(),
        }
    }

    fn before(&self) -> Seen {
        self.dir("/etc").read(OsStr::new("config.toml"), 1 << 20).unwrap().unwrap()
    }

    fn stage_on(&self, before: Seen, text: &str) -> anyhow::Result<Shared> {
        let after = After { bytes: text.into(), owner: None, mode: before.mode };
        Shared::create(self.target(), before, after, None)
    }

    fn stage(&self, text: &str) -> Shared {
        self.stage_on(self.before(), text).unwrap()
    }

    fn replace(&self, text: &str) -> anyhow::Result<()> {
        let mut shared = self.stage_on(self.before(), text)?;
        match shared.commit().and_then(|()| shared.final_check()) {
            Ok(()) => shared.keep().finish(),
            Err(error) => {
                shared.roll_back().unwrap();
                Err(error)
            }
        }
    }

    /// The old file after the exchange, as a writer has it that found it under its name just before.
    fn aside(&self) -> PathBuf {
        let names = self.names("etc");
        let name = names.iter().find(|name| name.contains(".runner-prep.")).expect("a file set aside");
        self.kept.path().join("etc").join(name)
    }
}

#[track_caller]
fn code(result: anyhow::Result<()>) -> &'static str {
    match result {
        Ok(()) => "",
        Err(error) => fault::find(&error).map_or("no fault", |fault| fault.code),
    }
}

fn modified(path: &Path) -> (i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

/// What Go's `os.WriteFile` does: truncate on opening, one write, no lock, no fsync.
fn save(path: &Path, text: &str) {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim_start_matches([' ', '=']).parse().ok()
}
