//! The account exchanges what is in its home for links to root's things in a tight loop, while root works there.
//!
//! What root owns must never be touched. `RUNNER_PREP_LONG=1` makes ten times as many rounds.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't be set up has to stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod attacker;
mod exchanged;
mod given;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{Tree, have, is_root, long, skip};

const ACCOUNT: u32 = 61_998;
const HOME: &str = "/home/gitlab-runner";

/// A tree with an account and, outside its home, what it wants root to change.
fn scene() -> (Tree, PathBuf) {
    let tree = Tree::new()
        .account("gitlab-runner", ACCOUNT, HOME)
        .dir("home/gitlab-runner/.ssh", 0o755)
        .own("home/gitlab-runner/.ssh", ACCOUNT)
        .dir("victim", 0o755)
        .file_mode("victim/secret", "root's own\n", 0o600);
    let victim = tree.path("victim");
    (tree, victim)
}

/// A key of root's, which would be given away if a link to it were followed.
fn root_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "root", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Figures {
    rounds: u32,
    done: u32,
    refused: u32,
    half_way: u32,
    touched: u32,
}

impl Figures {
    fn count(&mut self, exit: i32, said: &str) {
        self.rounds += 1;
        // An error that names a change comes from the middle of the writing.
        self.half_way += u32::from(
            ["ssh_key ", "git ", "known_hosts ", "account ", "and taking"]
                .iter()
                .any(|it| said.starts_with(&format!("error: {it}"))),
        );
        match exit {
            0 => self.done += 1,
            2 => self.refused += 1,
            _ => panic!("exit code {exit}: {said}"),
        }
    }
}

fn rounds(short: u32) -> u32 {
    if long() { short * 10 } else { short }
}

/// One attack at a time: each takes a core.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> Option<MutexGuard<'static, ()>> {
    if !is_root() {
        skip("only root can work as another account");
        return None;
    }
    have(&["ssh-keygen"]).then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}
