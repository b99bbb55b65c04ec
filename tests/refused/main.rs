//! What is refused: exit code 2, a message that says what, where, why and what to do now, and nothing changed.
//!
//! Every case is held to the same rule on a tree whose stamps must stay: `apply` with text and with `--json`,
//! and `plan` and `check` where the refusal comes before anything is written.

#![expect(clippy::disallowed_methods, reason = "the tests lay out what is refused")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod configurations;
mod homes;
mod profiles;
mod sudo;

use support::{Run, Tree, assert_unchanged, fixture};

/// The state directory, which `apply` makes before it writes or asks `visudo`.
const STATE: &str = "var/lib/runner-prep";

const MINE: &str = "etc/runner-prep/profiles/mine.toml";
const CONFIG: &str = "etc/gitlab-runner/config.toml";
const DROP_IN: &str = "etc/sudoers.d/gitlab-runner";
const HOME: &str = "home/gitlab-runner";

/// What the message has to have: the code for programs, then texts for people.
type Expected<'a> = (&'a str, &'a [&'a str]);

/// A host that would take the profile `dind`.
fn host() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

/// A host with a profile `mine`.
fn with_profile(text: &str) -> Tree {
    host().file(MINE, text)
}

/// Demands the refusal by every command: what refuses to apply must not be planned.
#[track_caller]
fn refused(name: &str, tree: &Tree, arguments: &[&str], expected: Expected<'_>) {
    let before = stamps(tree);
    let run = |words: &[&str]| tree.run(&[words, arguments].concat());
    check_text(name, &run(&["plan"]), expected.1);
    check_json(name, &run(&["check", "--json"]), expected);
    check_text(name, &run(&["apply"]), expected.1);
    assert_unchanged(&before, &stamps(tree));
}

fn stamps(tree: &Tree) -> Vec<String> {
    without_state(tree.stamps())
}

/// All but our own state directory.
fn without_state(mut lines: Vec<String>) -> Vec<String> {
    let ours = |line: &String| {
        let path = line.split(' ').nth(5).unwrap_or_default();
        path == "var/lib" || path == STATE || path.starts_with("var/lib/runner-prep/")
    };
    lines.retain(|line| !ours(line));
    lines
}

#[track_caller]
fn check_text(name: &str, run: &Run, texts: &[&str]) {
    assert!(run.status == 2, "{name}: exit code {}\n{run}", run.status);
    assert!(run.stdout.is_empty() || !run.stdout.contains("error"), "{name}: an error on stdout\n{run}");
    assert!(run.stderr.starts_with("error: "), "{name}: no error on stderr\n{run}");
    assert!(!run.stderr.contains("\nerror: "), "{name}: one fault is told twice\n{run}");
    for text in texts {
        assert!(run.contains(text), "{name}: nothing says `{text}`\n{run}");
    }
}

#[track_caller]
fn check_json(name: &str, run: &Run, (code, texts): Expected<'_>) {
    assert!(run.status == 2, "{name}: exit code {} with --json\n{run}", run.status);
    let document = run.json();
    assert_eq!(document["failed"], true, "{name}\n{run}");
    assert_eq!(document["changed"], false, "{name}\n{run}");
    assert_eq!(document["status"], "failed", "{name}\n{run}");
    let remark = &document["warnings"][0];
    assert_eq!(remark["code"], code, "{name}\n{run}");
    assert_eq!(remark["message"], document["msg"], "{name}\n{run}");
    let repair = remark["repair"].as_str().unwrap_or_default();
    assert!(!repair.is_empty(), "{name}: no repair\n{run}");
    let said = format!("{} {repair}", remark["message"].as_str().unwrap_or_default());
    for text in texts {
        assert!(said.contains(text), "{name}: --json does not say `{text}`\n{run}");
    }
}
