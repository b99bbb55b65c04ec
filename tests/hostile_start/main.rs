//! Started by an enemy or a careless caller: without standard streams, with a full disk behind them, in a hostile
//! environment, with odd limits, masks and signals, in a directory that is gone, with arguments that are no text.
//!
//! Whatever the start, the same tree becomes the same tree, or the program says why not and changes nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "the test starts the program in odd ways and reads what it left"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a scene that can't be laid out stops the test; it prints its figures"
)]

#[path = "../support/mod.rs"]
mod support;

mod process;
mod streams;
mod words;

use std::process::Command;

use support::{PATH, Tree, assert_unchanged, fixture, program};

const APPLY: [&str; 3] = ["apply", "--profile", "dind"];

fn scene() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
        .dir("var/lib/runner-prep", 0o700)
}

fn path_of(line: &str) -> &str {
    line.splitn(6, ' ').nth(5).unwrap_or_default()
}

/// Everything but contents, which hold keys and times: mode, owner, kind and path.
fn shape(tree: &Tree) -> Vec<String> {
    let line = |line: String| {
        let words: Vec<&str> = line.split(' ').take(3).collect();
        let parts = path_of(&line).split('/');
        let path: Vec<&str> = parts.map(|part| if part.starts_with("20") { "ID" } else { part }).collect();
        format!("{} - - {}", words.join(" "), path.join("/"))
    };
    tree.listing().into_iter().map(line).collect()
}

/// No file has a word of a report in it: a stream that was closed at the start was not taken by a file.
#[track_caller]
fn assert_no_report_in_a_file(name: &str, tree: &Tree) {
    for line in tree.listing().iter().filter(|line| line.contains(" f ")) {
        let path = path_of(line);
        let text = String::from_utf8_lossy(&tree.read(path)).into_owned();
        for word in ["makes every job root", "changes made", "as the profile wants", "cannot write"] {
            assert!(!text.contains(word), "{name}: {path} has a part of the report in it");
        }
    }
}

/// The program as `"$@"` of a shell script.
fn scripted(tree: &Tree, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program()).args(arguments).arg("--root").arg(tree.top());
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir(tree.top());
    command
}

/// Two runs in a row started like this: the first leaves what any leaves, the second writes nothing.
#[track_caller]
fn same_as_ever(name: &str, wanted: &[String], start: impl Fn(&Tree) -> Command) {
    let tree = scene();
    let run = tree.run_command(&mut start(&tree));
    assert!(run.status == 0, "{name}: exit code {}\n{run}", run.status);
    let left = shape(&tree);
    assert!(left == wanted, "{name}: {:?}", support::differences(wanted, &left));
    assert_no_report_in_a_file(name, &tree);
    let before = tree.stamps();
    let run = tree.run_command(&mut start(&tree));
    assert!(run.status == 0, "{name}: the second run exits with {}\n{run}", run.status);
    assert_unchanged(&before, &tree.stamps());
}

/// What a run leaves that was started as usual.
fn usual() -> Vec<String> {
    let tree = scene();
    tree.run(&APPLY).ok();
    shape(&tree)
}
