//! A child that works with the account's rights: what it has, and what the account does to it.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{ACCOUNT, ONLY_KEY};
use crate::support::{Host, have};

/// A host with a key that only ssh-keygen reads, and a script in its place that says what a child can do.
fn host_with_tool(script: &str) -> Option<Host> {
    let host = Host::or_skip()?;
    if !have(&["ssh-keygen"]) {
        return None;
    }
    let made = tempfile::tempdir().unwrap();
    let key = made.path().join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f"]).arg(&key);
    assert!(command.status().unwrap().success());
    let host = host
        .account("gitlab-runner", ACCOUNT, "/home/gitlab-runner")
        .dir("/home/gitlab-runner/.ssh", 0o700)
        .own("/home/gitlab-runner/.ssh", ACCOUNT, ACCOUNT)
        .file_mode("/home/gitlab-runner/.ssh/id_ecdsa", std::fs::read(&key).unwrap(), 0o600)
        .own("/home/gitlab-runner/.ssh/id_ecdsa", ACCOUNT, ACCOUNT)
        .file_mode("/usr/local/bin/ssh-keygen", script, 0o755);
    Some(host.start())
}

/// Formats that only `ssh-keygen` reads: it is asked with the account's rights, and has to get at what it is asked.
#[test]
fn keys_in_old_formats_are_kept() {
    if !have(&["ssh-keygen"]) {
        return;
    }
    // Not RSA in PKCS8: there a line that holds only the modulus stands in the public key as well, letter by letter.
    for (kind, format) in [("rsa", "PEM"), ("ecdsa", "PEM"), ("ecdsa", "PKCS8")] {
        let Some(host) = Host::or_skip() else { return };
        let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").start();
        let make = format!(
            "mkdir -m 700 ~/.ssh && ssh-keygen -q -t {kind} -m {format} -N '' -f ~/.ssh/id_{kind} &&
            mv ~/.ssh/id_{kind}.pub ~/was.pub && sha256sum ~/.ssh/id_{kind} >~/was.sum"
        );
        host.as_account("gitlab-runner", &make).ok();
        host.prep(&ONLY_KEY).ok();
        let same = format!(
            "cut -d' ' -f1,2 ~/was.pub >~/was && cut -d' ' -f1,2 ~/.ssh/id_{kind}.pub | cmp - ~/was && sha256sum -c ~/was.sum"
        );
        host.as_account("gitlab-runner", &same).ok();
        host.prep(&["check", "--profile", "shell", "--only", "ssh_key"]).ok();
    }
}

/// A child that runs as the account has no terminal to type into, and no handle of ours or our caller's.
#[test]
fn a_child_gets_no_terminal_and_no_handles() {
    let script = "#!/bin/sh\nexec >/tmp/child 2>&1\nid -u\nid -G\nls /proc/self/fd | wc -l\n\
        (: </dev/tty) || echo no terminal\n(: <&9) || echo no handle\ngrep -c . /proc/self/environ\nenv | sort\npwd\n";
    let Some(host) = host_with_tool(script) else { return };
    if !have(&["script"]) {
        return;
    }
    host.sh("cd /root; SECRET=1 script -qec 'exec 9<>/dev/tty; runner-prep plan --profile shell --only ssh_key' /dev/null; test -s /tmp/child");
    let child = host.text("/tmp/child");
    let lines: Vec<_> = child.lines().collect();
    assert_eq!(lines[..2], [ACCOUNT.to_string(), ACCOUNT.to_string()], "{child}");
    // 0, 1, 2 and what `ls` itself opened.
    assert_eq!(lines[2], "4", "{child}");
    for said in ["no terminal", "no handle", "LC_ALL=C", "\n/\n"] {
        assert!(child.contains(said), "{said}: {child}");
    }
    assert!(!child.contains("SECRET"), "{child}");
}

/// The account stops what runs with its rights, traces it, and never lets its end be known.
#[test]
fn a_child_held_by_the_account_is_given_up() {
    let Some(host) = host_with_tool("#!/bin/sh\nexec sleep 1000\n") else { return };
    if !have(&["strace", "setpriv"]) {
        return;
    }
    let script = format!(
        "exec setpriv --reuid {ACCOUNT} --regid {ACCOUNT} --clear-groups sh -c '
        until child=$(pgrep -u {ACCOUNT} -x sleep); do sleep .1; done
        strace -o /dev/null -p $child & sleep 1; kill -STOP $! $child; exec sleep 2000' >/dev/null 2>&1 &"
    );
    host.sh(&script).ok();
    let began = Instant::now();
    let run = host.prep(&["plan", "--profile", "shell", "--only", "ssh_key"]);
    run.exit(2).says("did not finish within 30 s");
    assert!(began.elapsed() < Duration::from_secs(45));
}
