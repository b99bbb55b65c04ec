//! What it never does, seen by the kernel: every command runs under `strace` on a host of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::collections::BTreeSet;

use support::{Host, fixture, have};

/// All that it may start; `doctor` also the account's login shell, and what a login shell starts.
const STARTS: &[&str] = &["useradd", "visudo", "ssh-keygen", "git", "sudo"];
/// What would do something that it promises not to do.
const NEVER: &[&str] = &[
    "systemctl",
    "service",
    "ssh",
    "ssh-keyscan",
    "curl",
    "wget",
    "apt-get",
    "userdel",
    "usermod",
    "passwd",
];

/// One traced command: what it started, and the calls of the trace.
fn traced(host: &Host, arguments: &str) -> (BTreeSet<String>, String) {
    let calls = "execve,execveat,socket,connect,sendto,sendmsg,kill,tgkill,pidfd_send_signal,unlink,unlinkat,rename,renameat,renameat2";
    let trace = "/root/trace";
    host.sh(&format!(
        "strace -f -qq -s 200 -e trace={calls} -o {trace} /opt/under-test/runner-prep {arguments}"
    ));
    let text = host.text(trace);
    assert!(text.contains("execve("), "{text}");
    let started = text
        .lines()
        .filter(|line| line.contains("execve(") && line.ends_with("= 0"))
        .filter_map(|line| line.split('"').nth(1))
        .filter_map(|path| path.rsplit('/').next())
        .map(str::to_owned)
        .collect();
    (started, text)
}

#[test]
fn no_network_no_signal_no_service_and_no_key_removed() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["strace", "sudo", "visudo", "useradd", "ssh-keygen", "git", "rsync"]) {
        return;
    }
    let host = host.file("/srv/registered.toml", fixture("config-docker-runner.toml")).start();
    // An empty host, a registered runner, a look around, all of it back.
    let commands = [
        "apply --profile dind --allow-pending",
        "apply --profile dind",
        "plan --profile dind",
        "check --profile dind",
        "doctor --profile dind",
        "key",
        "template --profile dind",
        "undo",
        "undo",
    ];
    for (number, arguments) in commands.into_iter().enumerate() {
        if number == 1 {
            host.sh("install -d -m 0700 /etc/gitlab-runner; install -m 0600 /srv/registered.toml /etc/gitlab-runner/config.toml")
                .ok();
        }
        let (started, trace) = traced(&host, arguments);
        for line in trace.lines() {
            assert!(!(line.contains("socket(") && line.contains("AF_INET")), "{arguments}: {line}");
            let signals = ["kill(", "pidfd_send_signal("].iter().any(|call| line.contains(call));
            assert!(!signals, "{arguments}: {line}");
            assert!(!(line.contains("unlink") && line.contains("\"id_ed25519")), "{arguments}: {line}");
        }
        let ours: BTreeSet<String> = started.into_iter().filter(|name| name != "runner-prep").collect();
        println!("{arguments}: starts {ours:?}");
        let known = |name: &String| STARTS.contains(&name.as_str()) || arguments.starts_with("doctor");
        assert!(ours.iter().all(known), "{arguments} starts {ours:?}");
        // In the job that it goes through a script stands in for ssh, and asks ssh itself what it would do (`-G`).
        let stands_in = |name: &str| name == "ssh" && arguments.starts_with("doctor");
        let is_never = |name: &String| NEVER.contains(&name.as_str()) && !stands_in(name);
        assert!(!ours.iter().any(is_never), "{arguments} starts {ours:?}");
        let asks =
            |line: &str| line.contains("execve(") && line.contains("/.hidden\"") && !line.contains("\"-G\"");
        assert!(!trace.lines().any(asks), "{arguments}: ssh is to do something");
    }
    host.sh("ls /home/gitlab-runner/.ssh").ok().says("id_ed25519");
}
