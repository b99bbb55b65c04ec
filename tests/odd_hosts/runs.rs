//! Several runs at once, no process more, and a caller who is not root.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::{host, visudo, without_state};
use crate::support::{Host, assert_unchanged, have, is_root, program, skip, skipped};

#[test]
fn many_at_once() {
    if !visudo() {
        return;
    }
    let tree = host();
    let children: Vec<_> = (0..9)
        .map(|number| {
            let name = if number % 3 == 1 { "plan" } else { "apply" };
            let mut command = tree.command(&[name, "--profile", "dind"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let before = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&before, &tree.stamps());
    let left: Vec<_> = tree.listing().into_iter().filter(|line| line.contains(".runner-prep.")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What another run has half done is no fault of the host: an error counts when nobody is at work.
#[test]
fn what_another_run_has_half_done_is_looked_at_again() {
    if !visudo() {
        return;
    }
    let alone = "is there without its private key";
    for (command, fault) in [
        (&["plan", "--profile", "dind"][..], alone),
        (&["check", "--profile", "dind"], alone),
        (&["doctor"], alone),
        (&["key"], "has no SSH key"),
    ] {
        let tree = host();
        tree.run(&["apply", "--profile", "dind"]).ok();
        let key = tree.path("home/gitlab-runner/.ssh/id_ed25519");
        let aside = tree.path("home/gitlab-runner/aside");
        std::fs::rename(&key, &aside).unwrap();
        tree.run(command).says(fault);
        let lock = std::fs::File::open(tree.path("var/lib/runner-prep/lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        let mut late = tree.command(command);
        let late = late.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(400));
        std::fs::rename(&aside, &key).unwrap();
        drop(lock);
        let output = late.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains(fault), "{command:?}: {said}");
        if command != ["doctor"] {
            assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
        }
    }
}

/// The very first runs on a host meet before there is a lock, because the lock lies in the state directory.
#[test]
fn the_first_run_finds_the_state_directory_made_by_another() {
    if !visudo() {
        return;
    }
    if !is_root() {
        return skip("without root, strace does not see a program that can't be traced");
    }
    if !have(&["strace"]) {
        return;
    }
    // What is there already, and what both want to make.
    for (there, name) in [(None, "var"), (Some("var"), "lib"), (Some("var/lib"), "runner-prep")] {
        let tree = host();
        let var = tree.top().join("var");
        if var.exists() {
            std::fs::remove_dir_all(&var).unwrap();
        }
        if let Some(there) = there {
            std::fs::create_dir_all(tree.top().join(there)).unwrap();
        }
        let log = tree.top().with_extension("log");
        let mut late = Command::new("strace");
        late.args(["-qq", "-e", "trace=mkdirat", "-e"])
            .arg("inject=mkdirat:delay_enter=2s:when=1")
            .arg("-o")
            .arg(&log)
            .arg(program())
            .args(["apply", "--profile", "dind", "--root"])
            .arg(tree.top())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let late = late.spawn().unwrap();
        // It has looked and found nothing when strace begins to hold it.
        let met = || std::fs::read_to_string(&log).unwrap_or_default().contains(&format!("\"{name}\", 0700"));
        let begun = Instant::now();
        while !met() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        tree.run(&["apply", "--profile", "dind"]).ok().says("changes made");
        let output = late.wait_with_output().unwrap();
        let trace = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert!(trace.contains("EEXIST"), "{name}: it was made before: {trace}");
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn no_process_more() {
    if is_root() {
        return skipped("the limit of processes does not hold for root");
    }
    if !have(&["visudo", "prlimit"]) {
        return;
    }
    let tree = host();
    let before = without_state(tree.listing());
    let mut command = Command::new("prlimit");
    command
        .args(["--nproc=1:1", "--"])
        .arg(program())
        .args(["apply", "--profile", "dind", "--root"])
        .arg(tree.top());
    let run = tree.run_command(&mut command);
    run.exit(2).says("cannot start");
    assert_unchanged(&before, &without_state(tree.listing()));
}

#[test]
fn the_host_is_roots_alone_to_change() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["setpriv"]) {
        return;
    }
    let host = host.start();
    let before = host.stamps();
    for command in ["apply", "plan", "check", "undo", "doctor"] {
        let profile = if ["undo", "doctor"].contains(&command) { "" } else { "--profile dind" };
        let run = host.sh(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups /opt/under-test/runner-prep {command} {profile}"));
        run.exit(2).says("must be root").says("sudo runner-prep");
    }
    assert_unchanged(&before, &host.stamps());
}
