//! Hosts that nobody expects: password databases, homes, policies, configurations, profiles and arguments that are odd
//! and right, which the program takes, and such that are odd and wrong, which it refuses.
//!
//! `input_cases.tsv` says which of the known bad inputs is tested where.

#![expect(clippy::disallowed_methods, reason = "the tests lay out what is odd and read what is left")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a scene that can't be laid out stops the test")]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod arguments;
mod configurations;
mod homes;
mod profiles;
mod rules;
mod runs;

use support::{Run, Tree, assert_unchanged, fixture, have};

const MINE: &str = "etc/runner-prep/profiles/mine.toml";
const CONFIG: &str = "etc/gitlab-runner/config.toml";
const HOME: &str = "home/gitlab-runner";
const DIND: [&str; 2] = ["--profile", "dind"];
const IS_MINE: [&str; 2] = ["--profile", "mine"];

fn bare() -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner")
}

fn host() -> Tree {
    bare().config_toml(fixture("config-docker-runner.toml"))
}

fn mine(text: impl AsRef<[u8]>) -> Tree {
    host().file(MINE, text)
}

fn without_state(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !line.splitn(6, ' ').nth(5).unwrap_or_default().starts_with("var/lib"));
    lines
}

/// What a terminal would obey.
fn acts(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2066}')
}

fn apply(tree: &Tree, arguments: &[&str]) -> Run {
    let run = tree.run(&[&["apply", "--allow-pending"], arguments].concat());
    assert!(!run.stdout.contains(acts) && !run.stderr.contains(acts), "{:?} {:?}", run.stdout, run.stderr);
    run
}

/// It is prepared, and the second time nothing is written.
#[track_caller]
fn taken(name: &str, tree: &Tree, arguments: &[&str]) -> Run {
    let run = apply(tree, arguments);
    assert!(run.status == 0, "{name}: {run}");
    let before = tree.stamps();
    let again = apply(tree, arguments);
    assert!(again.status == 0, "{name}, again: {again}");
    assert_unchanged(&before, &tree.stamps());
    run
}

/// It is refused with these words, and nothing is changed.
#[track_caller]
fn refused(name: &str, tree: &Tree, arguments: &[&str], says: &str) {
    let before = without_state(tree.stamps());
    let run = apply(tree, arguments);
    assert!(run.status == 2 && run.stderr.starts_with("error: "), "{name}: exit code {}: {run}", run.status);
    assert!(run.contains(says), "{name}: nothing says `{says}`: {run}");
    assert_unchanged(&before, &without_state(tree.stamps()));
}

fn visudo() -> bool {
    have(&["visudo"])
}
