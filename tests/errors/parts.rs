//! What a part of the program says where no run is sure to come to it: of an instant between two others, or after a
//! minute.

use std::path::Path;
use std::time::Duration;

use runner_prep::change::{Change, Meta, Op, Owner, Place};
use runner_prep::journal::Journal;
use runner_prep::run::{Streams, crashed};
use runner_prep::sys::exec::Tool;
use runner_prep::sys::lock::Lock;
use runner_prep::sys::root::Root;
use runner_prep::sys::shared::{After, Shared, SharedTarget};
use runner_prep::sys::waiting::Waiting;

use super::said::{Said, of_error};
use super::{Case, case};
use crate::support::tool;

const STATE: &str = "/var/lib/runner-prep";

pub(super) const CASES: &[Case] = &[
    case("internal", "a panic", || {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let _ = crashed("src/plan.rs:1", &mut Streams { out: &mut out, err: &mut err, columns: None });
        Some(vec![Said::plain("internal", String::from_utf8(err).unwrap())])
    }),
    case("tool-hangs", "a tool that does not come to its end", || {
        let sleep = tool("sleep")?;
        let error = Tool::new(&sleep).arg("60").patience(Duration::from_secs(1)).run().unwrap_err();
        Some(of_error(&error, &[]))
    }),
    case("locked", "another run that does not come to its end", || {
        let bench = Bench::new();
        let dir = bench.root.secure_dir(Path::new(STATE)).unwrap();
        let _held = Lock::take(&dir, Duration::ZERO, &Waiting::silent()).unwrap();
        bench.says(Lock::take(&dir, Duration::from_secs(1), &Waiting::silent()).err())
    }),
    case("directory-missing", "a directory that went since the plan", || {
        let bench = Bench::new();
        bench.says(bench.root.secure_dir(Path::new("/etc/ssh")).err())
    }),
    case("hard-links", "a file that got another name since the plan", || {
        let bench = Bench::new();
        std::fs::hard_link(bench.path("etc/config.toml"), bench.path("etc/second")).unwrap();
        bench.says(bench.stage().err())
    }),
    case("not-taken-back", "a file that was written before the way back", || {
        let bench = Bench::new();
        let mut shared = bench.stage().unwrap();
        shared.commit().unwrap();
        std::fs::write(bench.path("etc/config.toml"), "theirs").unwrap();
        bench.says(shared.roll_back().err())
    }),
    case("journal-too-large", "more than a journal keeps", || {
        let bench = Bench::new();
        let state = bench.root.secure_dir(Path::new(STATE)).unwrap();
        let journal = Journal::make(&bench.root, &state).unwrap();
        let place = Place::System("/etc/ssh".into());
        let after = Meta { owner: Owner::Root, mode: 0o755 };
        let op = Op::Directory { place, before: None, after };
        let change = Change { kind: "config", id: "x".repeat(65 << 20), why: String::new(), op };
        bench.says(journal.begin(&[], &[change]).err())
    }),
];

/// A file that others write, and a state directory.
struct Bench {
    kept: tempfile::TempDir,
    root: Root,
}

impl Bench {
    fn new() -> Self {
        let kept = tempfile::Builder::new().prefix("errors-").tempdir().unwrap();
        for name in ["etc", &STATE[1..]] {
            std::fs::create_dir_all(kept.path().join(name)).unwrap();
        }
        std::fs::write(kept.path().join("etc/config.toml"), "old").unwrap();
        let root = Root::open(kept.path()).unwrap();
        Self { kept, root }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.kept.path().join(path)
    }

    fn stage(&self) -> anyhow::Result<Shared> {
        let dir = |path: &str| self.root.secure_dir(Path::new(path)).unwrap();
        let target = SharedTarget {
            dir: dir("/etc"),
            name: "config.toml".into(),
            state: dir(STATE),
            waiting: Waiting::silent(),
        };
        let before = target.dir.read(&target.name, 1 << 20).unwrap().unwrap();
        let after = After { bytes: "ours".into(), owner: None, mode: before.mode };
        Shared::create(target, before, after, None)
    }

    #[track_caller]
    fn says(&self, error: Option<anyhow::Error>) -> Option<Vec<Said>> {
        let top = self.kept.path().display().to_string();
        Some(of_error(&error.expect("an error"), &[(&top, "")]))
    }
}
