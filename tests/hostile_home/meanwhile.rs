//! What the account does between plan and apply, and to the process meanwhile.

use std::fs::{File, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ACCOUNT, KEY, ONLY_KEY, generated, home, root};
use crate::support::{PATH, Tree, have, is_root, run_limited};

/// Start the program and hold it where the plan is made and nothing is written: we have its lock.
struct Held {
    child: Child,
    lock: Flock<File>,
}

impl Held {
    fn start(tree: &Tree, arguments: &[&str]) -> Self {
        tree.run(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
        let lock = File::options().write(true).open(tree.path("var/lib/runner-prep/lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let mut command = tree.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let path = tree.path("var/lib/runner-prep/lock");
        let held = Self { child, lock };
        let deadline = Instant::now() + Duration::from_secs(30);
        // To an ordinary user its handles are not shown.
        while is_root() && !held.handles().contains(&path) {
            assert!(Instant::now() < deadline, "it never asks for the lock");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(if is_root() { 0 } else { 2_000 }));
        held
    }

    fn handles(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        entries.into_iter().flatten().flatten().filter_map(|it| std::fs::read_link(it.path()).ok()).collect()
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Let it go on, to its end.
    fn go_on(self) -> (i32, String) {
        let Self { child, lock } = self;
        drop(lock);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }
}

#[test]
fn a_key_that_appears_between_plan_and_apply_is_kept() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let tree = home();
    let held = Held::start(&tree, &ONLY_KEY);
    generated(&tree, KEY, "of the account");
    let key = tree.read(KEY);
    let (exit, said) = held.go_on();
    // It plans again, and the key is as wanted.
    assert_eq!(exit, 0, "{said}");
    assert!(tree.read(KEY) == key);
    tree.run(&ONLY_KEY).ok();
    assert!(tree.read(KEY) == key);
}

#[test]
fn a_key_exchanged_between_plan_and_apply_is_not_repaired() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let tree = home();
    generated(&tree, KEY, "of the account");
    tree.chmod(KEY, 0o644);
    let held = Held::start(&tree, &ONLY_KEY);
    let victim = tree.path("victim");
    std::fs::copy(tree.path(KEY), &victim).unwrap();
    set_permissions(&victim, PermissionsExt::from_mode(0o644)).unwrap();
    tree.remove(KEY);
    // The same bytes, and still not what was looked at.
    std::fs::hard_link(&victim, tree.path(KEY)).unwrap();
    let before = std::fs::metadata(&victim).unwrap();
    let (exit, said) = held.go_on();
    assert_eq!(exit, 2, "{said}");
    let after = std::fs::metadata(&victim).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.ctime_nsec()),
        (before.mode(), before.uid(), before.ctime_nsec())
    );
}

#[test]
fn nobody_looks_into_a_run_that_holds_secrets() {
    if !have(&["visudo", "strace", "setpriv"]) {
        return;
    }
    let held = Held::start(&home(), &ONLY_KEY);
    let limits = held.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    if is_root() {
        outsider(&held.child, false);
    }
}

/// Everything that the account could try on a process of root's.
fn outsider(child: &Child, stopped: bool) {
    let pid = child.id();
    let attempts = [
        format!("kill -0 {pid}"),
        format!("kill -STOP {pid}"),
        format!("kill -KILL {pid}"),
        format!("strace -o /dev/null -p {pid}"),
        format!("cat /proc/{pid}/environ"),
        format!("cat /proc/{pid}/maps"),
        format!("head -c 1 /proc/{pid}/mem"),
        format!("ls /proc/{pid}/fd/"),
        format!("ls /proc/{pid}/cwd/"),
        format!("cat /proc/{pid}/stack"),
        format!("echo 1 > /proc/{pid}/oom_score_adj"),
    ];
    for attempt in attempts {
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={ACCOUNT}"), format!("--regid={ACCOUNT}"), "--clear-groups".into()];
        command.args(ids).args(["/bin/sh", "-c", &attempt]).env("PATH", PATH);
        let run = run_limited(&mut command);
        assert_ne!(run.status, 0, "the account may: {attempt}\n{run}");
        let refused = ["not permitted", "ermission denied"].iter().any(|it| run.stderr.contains(it));
        assert!(refused, "{attempt}: {run}");
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(status.contains("T (stopped)"), stopped, "{status}");
    assert!(status.contains("TracerPid:\t0\n"));
}

/// The same with the account's effective ids, caught in the act.
#[test]
fn the_account_has_no_power_over_a_process_with_its_rights() {
    if !root() || !have(&["strace", "setpriv", "ssh-keygen"]) {
        return;
    }
    let wanted = format!("Uid:\t0\t{ACCOUNT}\t0\t{ACCOUNT}\n");
    for attempt in 1..=3_000 {
        let tree = home();
        let mut command = tree.command(&ONLY_KEY);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let status = format!("/proc/{pid}/status");
        let mut caught = false;
        while let Ok(text) = std::fs::read_to_string(&status)
            && !text.contains("State:\tZ")
        {
            if text.contains(&wanted) {
                kill(pid, Signal::SIGSTOP).unwrap();
                std::thread::sleep(Duration::from_millis(2));
                let text = std::fs::read_to_string(&status).unwrap();
                caught = text.contains(&wanted) && text.contains("T (stopped)");
                if caught {
                    println!("caught in attempt {attempt}");
                    outsider(&child, true);
                }
                kill(pid, Signal::SIGCONT).unwrap();
                if caught {
                    break;
                }
            }
        }
        let exit = child.wait().unwrap();
        assert_eq!(exit.code(), Some(0));
        if caught {
            return;
        }
    }
    panic!("never caught it with the account's ids");
}
