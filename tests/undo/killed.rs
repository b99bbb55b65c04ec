//! Runs that were killed.

use super::{CONFIG, JOURNAL, SUDOERS, entries, listing, tree};
use crate::support::{self, Tree, assert_unchanged, fixture, have};

#[test]
fn an_incomplete_run_can_be_undone() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "dind", "--skip", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"complete\"", "\"incomplete\""));
    // What did not go live, and what the killed run left beside.
    tree.put(CONFIG, fixture("config-docker-runner.toml"));
    let left = "etc/gitlab-runner/.config.toml.runner-prep.0123456789abcdef";
    let tree = tree.file_mode(left, "token = \"glrt-CANARY-left\"", 0o600);
    tree.run(&["undo", "--list"]).ok().says("incomplete");
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(left));
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn the_run_after_a_killed_one_cleans_up_also_when_nothing_is_to_be_changed() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let after = listing(&tree);
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"complete\"", "\"incomplete\""));
    // What a run that was killed leaves to tell of itself, before anybody opens the journal.
    std::fs::create_dir(tree.path("var/lib/runner-prep/working")).unwrap();
    let left = "etc/gitlab-runner/.config.toml.runner-prep.0123456789abcdef";
    let tree = tree.file_mode(left, "token = \"glrt-CANARY-left\"", 0o600);
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&after, &listing(&tree));
    let stamps = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
}

/// Runs the program until the `nth` call of a system call, and kills it there; false when it ended before.
fn killed(tree: &Tree, arguments: &[&str], call: &str, nth: u32) -> bool {
    let plain = tree.command(arguments);
    let mut command = std::process::Command::new(support::tool("strace").unwrap());
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    command.arg(format!("inject={call}:signal=KILL:when={nth}"));
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().env("PATH", support::PATH).current_dir(tree.top());
    let run = tree.run_command(&mut command);
    assert!([0, 137].contains(&run.status), "{run}");
    run.status == 137
}

const APPLY: &[&str] = &["apply", "--profile", "dind", "--skip", "ssh_key"];

/// `RUNNER_PREP_LONG=1` kills at more kinds of calls.
#[test]
fn a_kill_at_any_step_of_apply_or_undo_can_be_undone() {
    if !have(&["strace", "visudo"]) {
        return;
    }
    let long = std::env::var_os("RUNNER_PREP_LONG").is_some();
    let calls: &[&str] =
        if long { &["renameat2", "unlinkat", "fsync", "fchmod", "mkdirat"] } else { &["renameat2"] };
    let (mut kills, mut whole) = (0, Vec::new());
    for undoes in [false, true] {
        for call in calls {
            for nth in 1.. {
                let tree = tree();
                let before = listing(&tree);
                if undoes {
                    tree.run(APPLY).ok();
                }
                if whole.is_empty() {
                    let other = self::tree();
                    other.run(APPLY).ok();
                    whole = [other.read(CONFIG), other.read(SUDOERS)].to_vec();
                }
                let arguments = if undoes { &["undo"] } else { APPLY };
                if !killed(&tree, arguments, call, nth) {
                    break;
                }
                kills += 1;
                let config = tree.read(CONFIG);
                assert!(config == whole[0] || config == fixture("config-docker-runner.toml"), "{call} {nth}");
                assert!(!tree.exists(SUDOERS) || tree.read(SUDOERS) == whole[1], "{call} {nth}");
                tree.run(&["undo"]).ok();
                assert_unchanged(&before, &listing(&tree));
                tree.run(&["undo"]).ok().says("nothing to undo");
            }
        }
    }
    println!("killed {kills} times");
    assert!(kills > if long { 60 } else { 8 }, "{kills}");
}
