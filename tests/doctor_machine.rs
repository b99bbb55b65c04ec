//! What `doctor` says of the machine: disks, network, kernel, Docker. Each trouble beside what only looks like it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod patients;
mod support;

use patients::Patient;
use support::{have, is_root, skip};

/// What is done to the host that lacks nothing, and what `doctor` says then of the code: the status, or nothing.
struct Case {
    name: &'static str,
    profile: &'static str,
    script: &'static str,
    code: &'static str,
    status: Option<&'static str>,
}

const fn case(
    code: &'static str,
    status: Option<&'static str>,
    name: &'static str,
    profile: &'static str,
    script: &'static str,
) -> Case {
    Case { name, profile, script, code, status }
}

const CASES: &[Case] = &[
    case(
        "disk-full",
        None,
        "a small file system with room",
        "shell",
        "mkdir /home/gitlab-runner/builds; mount -t tmpfs -o size=1m,uid=998 none /home/gitlab-runner/builds",
    ),
    case(
        "disk-full",
        None,
        "a file system without a number of inodes",
        "shell",
        "mkdir /home/gitlab-runner/builds; mount -t tmpfs -o nr_inodes=0,uid=998 none /home/gitlab-runner/builds",
    ),
    case(
        "disk-full",
        None,
        "a full file system that no job uses",
        "dind",
        "mkdir /srv/x; mount -t tmpfs -o size=1m none /srv/x; head -c 2M /dev/zero > /srv/x/x || :",
    ),
    case(
        "disk-full",
        None,
        "a directory of Docker that is in the daemon's own container",
        "dind",
        "sed -i 's|/var\"|/nowhere\"|' /run/docker.info",
    ),
];

#[test]
fn the_machine_is_judged_as_it_is() {
    if !is_root() {
        return skip("a throwaway host needs root");
    }
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync"]) {
        return;
    }
    let mut wrong = Vec::new();
    for Case { name, profile, script, code, status } in CASES {
        let Some(Patient { host }) = Patient::admit(None) else { return };
        host.sh(script).ok();
        let run = host.prep(&["doctor", "--profile", profile, "--json"]);
        let document = run.json();
        let mut findings = document["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["code"] == *code);
        if found.map(|finding| finding["status"].as_str().unwrap()) != *status {
            wrong.push(format!("{name}: {code} is not {status:?}: {run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
