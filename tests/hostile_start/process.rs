//! What a process gets from its parent: masks, directories, signals and limits.

use std::process::Command;

use super::support::{PATH, assert_unchanged, differences, have, is_root, long, program, run_limited, skip};
use super::{APPLY, path_of, same_as_ever, scene, scripted, shape, usual};

#[test]
fn masks_directories_signals_and_limits() {
    if !have(&["visudo", "python3"]) {
        return;
    }
    let wanted = usual();
    // SIGCHLD ignored: the kernel forgets the exit codes of children.
    let ignored = "import os, signal, sys\nfor s in (1, 2, 3, 10, 12, 13, 14, 15, 17): signal.signal(s, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])";
    let blocked = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nos.execv(sys.argv[1], sys.argv[1:])";
    for (name, script) in [
        ("umask 000", "umask 000; exec \"$@\"".to_owned()),
        ("umask 777", "umask 777; exec \"$@\"".to_owned()),
        ("a directory that is gone", "d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$@\"".to_owned()),
        ("a directory that is closed", "cd /; exec \"$@\"".to_owned()),
        ("signals ignored", format!("exec python3 -c '{ignored}' \"$@\"")),
        ("signals blocked", format!("exec python3 -c '{blocked}' \"$@\"")),
        ("core dumps wanted", "ulimit -c unlimited 2>/dev/null; exec \"$@\"".to_owned()),
        ("few handles", "ulimit -n 64; exec \"$@\"".to_owned()),
        ("a small stack", "ulimit -s 512; exec \"$@\"".to_owned()),
        ("a low priority", "exec nice -n 19 \"$@\"".to_owned()),
    ] {
        same_as_ever(name, &wanted, |tree| scripted(tree, &script, &APPLY));
    }
}

/// Limits that leave no room for the work: an error that says so, and nothing changed.
#[test]
fn limits_that_leave_no_room() {
    if !have(&["visudo"]) {
        return;
    }
    for (script, says) in [
        ("ulimit -n 6; exec \"$@\"", "Too many open files"),
        ("ulimit -f 0; exec \"$@\"", "File too large"),
        ("ulimit -f 1; exec \"$@\"", "File too large"),
    ] {
        let tree = scene();
        let before = without_state(tree.listing());
        // The limit is for our own output as well.
        let script = format!("({script}) 2>&1 | cat; exit 7");
        let run = tree.run_command(&mut scripted(&tree, &script, &APPLY));
        run.exit(7).says("error: ").says(says);
        assert_unchanged(&before, &without_state(tree.listing()));
        tree.run(&APPLY).ok();
    }
}

fn without_state(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !path_of(line).starts_with("var/lib"));
    lines
}

/// A signal in the middle: before the first write the program ends, later it ends its work first.
#[test]
fn a_signal_in_the_middle_drops_or_finishes_the_work() {
    if !is_root() {
        return skip("without root, strace does not see a program that can't be traced");
    }
    if !have(&["strace", "visudo", "ssh-keygen"]) {
        return;
    }
    let wanted = usual();
    let old = {
        let tree = scene();
        without_state(shape(&tree))
    };
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let tree = scene();
    let log = tree.path("/tmp/strace.log");
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "signal=none", "-o"]).arg(&log).arg(program()).args(APPLY);
    command.arg("--root").arg(tree.top()).env_clear().env("PATH", PATH);
    run_limited(&mut command).ok();
    let log = std::fs::read_to_string(log).unwrap();
    for call in log.lines().filter_map(|line| Some(line.split_once('(')?.0)) {
        *counts.entry(call).or_default() += 1;
    }
    let calls = ["openat", "fsync", "renameat2", "unlinkat", "write", "wait4", "close"];
    let (mut runs, mut dropped) = (0, 0);
    for (number, call) in calls.iter().enumerate() {
        let count = counts.get(call).copied().unwrap_or_default();
        let step = if long() { 1 } else { count.div_ceil(5).max(1) };
        for (round, when) in (1 + number % step..=count).step_by(step).enumerate() {
            let signal = ["INT", "TERM", "HUP"][(round + number) % 3];
            let tree = scene();
            let mut command = Command::new("strace");
            let inject = format!("inject={call}:signal={signal}:when={when}");
            command.args(["-qq", "-o", "/dev/null", "-e", &inject]).arg(program()).args(APPLY);
            command.arg("--root").arg(tree.top()).env_clear().env("PATH", PATH);
            let run = tree.run_command(&mut command);
            runs += 1;
            let left: Vec<String> = shape(&tree);
            if run.status == 0 {
                assert!(left == wanted, "{inject}: {:?}\n{run}", differences(&wanted, &left));
            } else {
                dropped += 1;
                assert!([129, 130, 143].contains(&run.status), "{inject}: {run}");
                assert_unchanged(&old, &without_state(left));
            }
            tree.run(&APPLY).ok();
            assert_eq!(shape(&tree).len(), wanted.len(), "{inject}");
        }
    }
    eprintln!(
        "signals: {runs} runs, {dropped} ended before the first write, {} after the last",
        runs - dropped
    );
    assert!(dropped > 0 && dropped < runs, "the signals meet both halves of a run");
}
