//! `undo`: what `apply` changed is as it was before, or nothing is touched and the reason is said.

#![expect(clippy::disallowed_methods, reason = "a test looks at the journal itself")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

#[path = "../support/mod.rs"]
mod support;

mod earlier;
mod edited;
mod hosts;
mod journal;
mod keys;
mod killed;
mod runs;

use support::{Tree, fixture};

const CONFIG: &str = "etc/gitlab-runner/config.toml";
const SUDOERS: &str = "etc/sudoers.d/gitlab-runner";
const JOURNAL: &str = "var/lib/runner-prep/journal";
const SSH: &str = "home/gitlab-runner/.ssh";

/// A tree with an account and two runners, on which every kind of change has something to do.
fn tree() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

/// The listing without our own state.
fn listing(tree: &Tree) -> Vec<String> {
    let ours = |line: &String| line.contains(" var/lib/runner-prep");
    tree.listing().into_iter().filter(|line| !ours(line)).collect()
}

/// The names of the entries, the oldest first.
fn entries(tree: &Tree) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(tree.path(JOURNAL)) else {
        return Vec::new();
    };
    let mut names: Vec<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
