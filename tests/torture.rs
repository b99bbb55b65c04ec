//! An `apply` is killed at its system calls, and its system calls fail. After each: every file old or new
//! and whole, nothing wider than it was, the key pair whole or absent, no secret printed, no panic; the next
//! run converges and sweeps what was left, and the one after it writes nothing.
//!
//! A sample by default; `RUNNER_PREP_LONG=1` takes every call. Both print how many runs they made.

#![expect(
    clippy::disallowed_methods,
    reason = "the test starts the program under strace and reads what is left"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a scene that can't be laid out stops the test; it prints its figures"
)]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use support::{Run, Tree, fixture, have, is_root, long, program, run_limited, skip};

const CONFIG: &str = "/etc/gitlab-runner/config.toml";
const SUDOERS: &str = "/etc/sudoers.d/gitlab-runner";
const KEY: &str = "/home/gitlab-runner/.ssh/id_ed25519";
const PROFILE: [&str; 3] = ["apply", "--profile", "dind"];

/// What an interrupted run can lose by: calls that change something, and those before them.
const CHANGING: [&str; 15] = [
    "openat",
    "write",
    "fsync",
    "renameat2",
    "renameat",
    "unlinkat",
    "mkdirat",
    "fchown",
    "fchmod",
    "utimensat",
    "linkat",
    "fcntl",
    "flock",
    "setresuid",
    "fsetxattr",
];

/// What the issue of a disk, a kernel or an administrator is to a program.
const ERRORS: [&str; 11] =
    ["ENOSPC", "EIO", "EDQUOT", "EROFS", "EPERM", "EACCES", "EBUSY", "EINTR", "EMFILE", "ENOMEM", "ENOSYS"];

fn scene() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-hand-kept.toml"))
        .file_mode(
            SUDOERS,
            "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/true\n",
            0o440,
        )
}

/// How often each call is made by a run that is left alone, and what it leaves.
fn counted() -> (BTreeMap<String, usize>, Vec<u8>, Vec<u8>) {
    let tree = scene();
    let log = tree.path("/strace.log");
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", log.to_str().unwrap(), "-e", &format!("trace={}", CHANGING.join(","))]);
    traced(&tree, &mut command).ok();
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        if let Some((call, _)) = line.split_once('(') {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
    }
    (counts, tree.read(CONFIG), tree.read(SUDOERS))
}

/// The program under a tracer that is told what to do.
fn traced(tree: &Tree, command: &mut Command) -> Run {
    command.arg(program()).args(PROFILE).args(["--root", tree.top().to_str().unwrap()]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    run_limited(command)
}

/// One interrupted run, and all that has to hold after it.
fn torture(inject: &str, config: &[u8], sudoers: &[u8]) -> Vec<String> {
    let tree = scene();
    let (old_config, old_sudoers) = (tree.read(CONFIG), tree.read(SUDOERS));
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
    let run = traced(&tree, &mut command);
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{inject}: {what}\n{run}"));
        }
    };
    let said = format!("{}{}", run.stdout, run.stderr);
    demand(!said.contains("CANARY") && !said.contains("PRIVATE KEY"), "a secret is printed");
    demand(!said.contains("panicked") && !said.contains("a bug in runner-prep"), "it panics");
    demand(matches!(run.status, 0 | 2 | 137), "the exit code is none of 0, 2 and a kill");
    let now = tree.read(CONFIG);
    demand(now == old_config || now == config, "config.toml is neither old nor new");
    demand(tree.metadata(CONFIG).0 == 0o600, "config.toml has another mode");
    let now = tree.read(SUDOERS);
    demand(now == old_sudoers || now == sudoers, "the rule is neither old nor new");
    demand(tree.metadata(SUDOERS).0 == 0o440, "the rule has another mode");
    if tree.exists(KEY) {
        let pair =
            Command::new("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(tree.path(KEY)).output().unwrap();
        demand(pair.status.success(), "the private key is not whole");
        if tree.exists(&format!("{KEY}.pub")) {
            let public = String::from_utf8(tree.read(&format!("{KEY}.pub"))).unwrap_or_default();
            let same = String::from_utf8_lossy(&pair.stdout).split(' ').nth(1) == public.split(' ').nth(1);
            demand(same, "the halves of the key do not belong together");
        }
    }
    if run.status == 2 && tree.read(CONFIG) != old_config {
        // What stays after an error is named as done.
        let done = said.contains("everything was changed, but") || said.contains("still differs");
        demand(done, "an error left a new config.toml");
    }
    let next = tree.run(&PROFILE);
    demand(next.status == 0, &format!("the next run does not converge:\n{next}"));
    demand(tree.read(CONFIG) == config && tree.read(SUDOERS) == sudoers, "the next run leaves another state");
    let left: Vec<String> =
        tree.listing().into_iter().filter(|line| line.contains(".runner-prep.")).collect();
    demand(left.is_empty(), &format!("something is left behind: {left:?}"));
    let before = tree.stamps();
    let third = tree.run(&PROFILE);
    demand(third.status == 0 && before == tree.stamps(), "the third run writes something");
    wrong
}

/// Every call of a kind, or a sample that begins somewhere else for each kind.
fn moments(count: usize, sample: usize, offset: usize) -> Vec<usize> {
    let step = if long() { 1 } else { count.div_ceil(sample).max(1) };
    (1..=count).skip(offset % step).step_by(step).collect()
}

fn run_all(name: &str, injections: &[String], config: &[u8], sudoers: &[u8]) {
    let wrong = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(inject) =
                    injections.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let found = torture(inject, config, sudoers);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!("{name}: {} runs, {} violations", injections.len(), wrong.len());
    assert!(wrong.is_empty(), "{name}: {} violations\n{}", wrong.len(), wrong.join("\n"));
}

fn possible() -> bool {
    if !is_root() {
        skip("without root, strace does not see the files of a program that can't be traced");
        return false;
    }
    have(&["strace", "ssh-keygen", "visudo"])
}

#[test]
fn a_run_that_is_killed_leaves_old_or_new() {
    if !possible() {
        return;
    }
    let (counts, config, sudoers) = counted();
    let mut injections = Vec::new();
    for (kind, (call, count)) in counts.iter().enumerate() {
        let kill = |when: &usize| format!("{call}:signal=KILL:when={when}");
        injections.extend(moments(*count, 8, kind).iter().map(kill));
    }
    run_all("killed", &injections, &config, &sudoers);
}

#[test]
fn a_call_that_fails_leaves_old_or_new() {
    if !possible() {
        return;
    }
    let (counts, config, sudoers) = counted();
    let mut injections = Vec::new();
    for (kind, (call, count)) in counts.iter().enumerate() {
        // A guard that can't lay the account's rights down ends the process: that is a kill.
        if call == "setresuid" {
            continue;
        }
        for (number, when) in moments(*count, if long() { 40 } else { 7 }, kind).iter().enumerate() {
            let error = ERRORS[(number + kind) % ERRORS.len()];
            let errors: &[&str] = if long() { &ERRORS } else { &[error] };
            injections.extend(errors.iter().map(|error| format!("{call}:error={error}:when={when}")));
        }
    }
    run_all("failed", &injections, &config, &sudoers);
}
