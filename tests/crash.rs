//! The program ends by a signal while it holds secrets: nothing of its memory is left in a file.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test looks at files, and says why it can't"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Tree, fixture, have, program, run_limited};

/// What it does when the signal comes: it has read `config.toml`, and makes its own files durable.
const MOMENT: &str = "fsync";

#[test]
fn a_crash_leaves_no_core() {
    if !have(&["strace"]) {
        return;
    }
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) {
        // A distribution's own reporter gets them, and no test can see what it would do.
        println!("skipped: cores do not come into the directory of the process here: {}", pattern.trim());
        return;
    }
    let kept = tempfile::tempdir().unwrap();
    let cores = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
    let crash = |directory: &Path, words: &[&str]| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]).args(words).current_dir(directory);
        run_limited(&mut command)
    };
    // Any other program leaves one.
    crash(kept.path(), &["/bin/sh", "-c", "kill -SEGV $$"]);
    if cores(kept.path()) == 0 {
        println!("skipped: the limit on cores can't be lifted here");
        return;
    }
    for signal in ["SEGV", "ABRT", "BUS", "QUIT"] {
        let kept = tempfile::tempdir().unwrap();
        let tree = Tree::new()
            .account("gitlab-runner", 998, "/home/gitlab-runner")
            .config_toml(fixture("config-docker-runner.toml"));
        // Again and again: the standard library ignores the first fault that is not an overflow of the stack.
        let inject = format!("inject={MOMENT}:signal={signal}:when=1+");
        let (program, top) = (program(), tree.top().to_owned());
        let words = ["strace", "-o", "/dev/null", "-e", &format!("trace={MOMENT}"), "-e", &inject];
        let words = words.into_iter().chain([
            program.to_str().unwrap(),
            "apply",
            "--profile",
            "dind",
            "--only",
            "config",
        ]);
        let words: Vec<&str> = words.chain(["--root", top.to_str().unwrap()]).collect();
        let run = crash(kept.path(), &words);
        // QUIT waits until the work is done, and ends it then.
        assert!(run.status > 128 || signal == "QUIT", "{signal} at {MOMENT}: no crash\n{run}");
        assert_eq!(cores(kept.path()), 0, "{signal} at {MOMENT} leaves a core");
        let found = tree.listing().into_iter().filter(|line| line.contains("/core")).count();
        assert_eq!(found, 0, "{signal} at {MOMENT} leaves a core in the tree");
    }
}
