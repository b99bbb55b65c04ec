//! What takes rights away happens, whatever a job does in its home.

use super::ACCOUNT;
use crate::support::{Host, have};

const HOME: &str = "/home/gitlab-runner";
const RULE: &str = "/etc/sudoers.d/gitlab-runner";
const APPLY: [&str; 3] = ["apply", "--profile", "narrow"];

/// Without rsync, which makes a job root.
const NARROW: &str = "summary = \"one harmless command\"\n[account]\nname = \"gitlab-runner\"\n[git]\nname = \"ci\"\n\
    [ssh_key]\ntype = \"ed25519\"\n[sudoers]\ncommands = [\"/usr/bin/id\"]\n";

/// What a job can do, as the account in its home; and what the error says.
const VETOES: [(&str, &str, &str); 5] = [
    ("a FIFO", "mkfifo .gitconfig", "FIFO"),
    ("a broken file", "echo '[user' > .gitconfig", ".gitconfig"),
    ("a directory where the key should be", "mkdir -p -m 0700 .ssh/id_ed25519", "id_ed25519"),
    ("a file where a directory should be", "echo > .ssh", ".ssh"),
    (
        "a lease",
        // F_SETLEASE with F_WRLCK, by number.
        "touch .gitconfig; perl -e '$SIG{IO} = \"IGNORE\"; open my $f, \"+<\", \".gitconfig\" or die; \
            fcntl($f, 1024, 1) or die $!; open my $h, \">\", \"new\"; print $h $$; close $h; \
            rename \"new\", \"held\"; sleep 120' & n=0; until [ -e held ]; do sleep 0.01; n=$((n + 1)); [ $n -lt 500 ]; done",
        "holds a lease",
    ),
];

#[test]
fn no_job_keeps_a_rule_alive() {
    if !have(&["sudo", "visudo", "git", "rsync", "perl"]) {
        return;
    }
    for (what, script, reason) in VETOES {
        let Some(host) = Host::or_skip() else { return };
        let host = host
            .account("gitlab-runner", ACCOUNT, HOME)
            .file("/etc/runner-prep/profiles/narrow.toml", NARROW)
            .start();
        host.prep(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
        let may_rsync = "sudo -n -l -U gitlab-runner | grep -q rsync";
        host.sh(may_rsync).ok();
        host.as_account("gitlab-runner", &format!("cd; {script}")).ok();
        // Not by `prep`: what looks for secrets in the host's files would wait for the lease.
        let run = host.sh("/opt/under-test/runner-prep apply --profile narrow --json");
        let report = run.exit(2).json();
        host.as_account("gitlab-runner", "cd; [ ! -e held ] || kill $(cat held)").ok();
        assert!(report["msg"].as_str().unwrap().contains(reason), "{what}: {}", report["msg"]);
        assert_eq!(report["changed"], true, "{what}");
        let lines = report["changes"].as_array().unwrap();
        let rule = lines.iter().find(|line| line["id"] == RULE).unwrap();
        assert_eq!(rule["outcome"], "applied", "{what}");
        assert!(
            report["warnings"].as_array().unwrap().iter().any(|it| it["code"] == "only-rights"),
            "{what}"
        );
        host.sh(&format!("! {may_rsync}; visudo -c; ! ls -A /etc/sudoers.d | grep runner-prep")).ok();
        // It is in the journal like any other change, and nothing else of the run is.
        host.prep(&["undo", "--list"]).ok().says("complete").says_not("incomplete");
        host.prep(&["undo"]).ok();
        host.sh(may_rsync).ok();
        // And when there is no veto any more, everything is as wanted.
        host.as_account("gitlab-runner", "cd; rm -rf .gitconfig .ssh held").ok();
        host.prep(&APPLY).ok();
        host.prep(&["check", "--profile", "narrow"]).ok();
    }
}

/// Whoever can read a file can lock it.
#[test]
fn no_lock_keeps_a_rule_alive() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "visudo", "flock"])) else { return };
    let host = host
        .account("gitlab-runner", ACCOUNT, HOME)
        .file("/etc/runner-prep/profiles/narrow.toml", NARROW)
        .start();
    let apply = ["apply", "--profile", "narrow", "--only", "sudoers", "--json"];
    for (mode, is_open) in [("0644", true), ("0640", false), ("0440", false)] {
        host.prep(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
        // Root's own visudo holds one that is shut.
        let who = if is_open { "su -s /bin/sh gitlab-runner -c" } else { "sh -c" };
        let lock = format!(
            "{who} 'exec 9<{RULE}; flock -s 9; touch /tmp/held; exec sleep 60' >/dev/null 2>&1 & echo $! >/run/holder"
        );
        host.sh(&format!("chmod {mode} {RULE}; chmod 0755 /etc/sudoers.d; {lock}; until test -e /tmp/held; do sleep 0.02; done"))
            .ok();
        let run = host.prep(&apply);
        if is_open {
            run.ok();
            host.sh("! sudo -n -l -U gitlab-runner | grep -q rsync").ok();
        } else {
            run.exit(2).says("open in visudo");
        }
        host.sh("kill $(cat /run/holder); pkill -x sleep || true; rm /tmp/held").ok();
    }
}

/// A rule that only gives is not made while the rest fails.
#[test]
fn what_gives_rights_waits_for_the_rest() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "visudo", "git", "rsync"])) else { return };
    let host = host.account("gitlab-runner", ACCOUNT, HOME).start();
    host.as_account("gitlab-runner", "cd; mkfifo .gitconfig").ok();
    let run = host.prep(&["apply", "--profile", "shell", "--json"]);
    assert_eq!(run.exit(2).json()["changed"], false);
    host.sh(&format!("! test -e {RULE}")).ok();
}
