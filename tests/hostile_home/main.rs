//! A home whose owner is an enemy: what lies there, what happens to it meanwhile, and what the account can
//! do to a process that works there with its rights.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't be set up has to stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod children;
mod found;
mod meanwhile;
mod rehearsed;
mod slow;
mod told;
mod veto;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Run, Tree, assert_unchanged, is_root, skip};

const ACCOUNT: u32 = 61_999;
const SSH: &str = "home/gitlab-runner/.ssh";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";
const ONLY_KEY: [&str; 5] = ["apply", "--profile", "shell", "--only", "ssh_key"];

fn home() -> Tree {
    Tree::new().account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").dir(SSH, 0o700).own(SSH, ACCOUNT)
}

fn root() -> bool {
    if !is_root() {
        skip("only root can work as another account");
    }
    is_root()
}

/// The program refuses within seconds and changes nothing.
#[track_caller]
fn refused(tree: &Tree, arguments: &[&str], says: &str) -> Run {
    let before = without_state(tree);
    let began = Instant::now();
    let run = tree.run(arguments);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited");
    assert_unchanged(&before, &without_state(tree));
    run.exit(2).says(says);
    run
}

fn without_state(tree: &Tree) -> Vec<String> {
    tree.stamps().into_iter().filter(|line| !line.contains(" var/lib")).collect()
}

fn generated(tree: &Tree, path: &str, comment: &str) {
    let path = tree.path(path);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&path);
    assert!(command.status().unwrap().success());
    for file in [path.clone(), path.with_extension("pub")] {
        std::os::unix::fs::chown(&file, is_root().then_some(ACCOUNT), is_root().then_some(ACCOUNT)).unwrap();
    }
}
