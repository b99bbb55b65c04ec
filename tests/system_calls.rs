//! What a converged run asks of the kernel, counted by `strace`: a count is the same on a slow and on a busy machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::collections::BTreeMap;

use support::{Host, fixture, have};

/// As many as a converged run of any command may make, with what begins and ends the program: about 60 of them.
const MOST: usize = 199;

/// How often each system call was made.
fn calls(host: &Host, command: &str) -> BTreeMap<String, usize> {
    let program = "/opt/under-test/runner-prep";
    host.sh(&format!("strace -f -qq -o /root/trace {program} {command} --profile dind >/root/said")).ok();
    let mut found = BTreeMap::new();
    for line in host.text("/root/trace").lines() {
        let call = line.split_once(' ').unwrap().1.trim_start();
        let (name, rest) = call.split_once('(').unwrap_or((call, ""));
        // Only the standard library's debug build asks that, before each close.
        if !(name == "fcntl" && rest.contains("F_GETFD")) {
            *found.entry(name.to_owned()).or_default() += 1;
        }
    }
    found
}

/// A host that is as the profile wants it.
fn converged() -> Option<Host> {
    let host = Host::or_skip()?;
    if !have(&["strace", "sudo", "visudo", "useradd", "ssh-keygen", "rsync"]) {
        return None;
    }
    let host = host.config_toml(fixture("config-docker-runner.toml")).start();
    // What others have there; the number of settings does not matter.
    host.sh("for i in $(seq 30); do printf '[credential \"https://%s.example.com\"]\n\thelper = x\n' $i; done >/etc/gitconfig
         for i in $(seq 30); do echo 'Defaults lecture=never'; done >/etc/sudoers.d/zz
         chmod 0644 /etc/gitconfig; chmod 0440 /etc/sudoers.d/zz")
    .ok();
    host.prep(&["apply", "--profile", "dind"]).ok();
    Some(host)
}

#[test]
fn a_converged_run_asks_little() {
    let Some(host) = converged() else { return };
    // As `gitlab-runner install` leaves it.
    let unit =
        "[Service]\nExecStart=/usr/bin/gitlab-runner \"run\" \"--user\" \"gitlab-runner\"\nRestart=always\n";
    let install =
        format!("mkdir -p /etc/systemd/system; printf '{unit}' >/etc/systemd/system/gitlab-runner.service");
    for (service, prepare) in [("no service", "true"), ("a service", &install)] {
        host.sh(prepare).ok();
        for command in ["apply", "check", "plan"] {
            let found = calls(&host, command);
            let all: usize = found.values().sum();
            println!("{command}, {service}: {all} system calls");
            assert!(all <= MOST, "{command} makes {all} system calls, more than {MOST}: {found:#?}");
            is_quiet(command, &found);
        }
    }
}

/// It starts nothing, writes nothing, and asks nobody.
fn is_quiet(command: &str, found: &BTreeMap<String, usize>) {
    assert_eq!(found.get("execve"), Some(&1), "{command} starts a program: {found:#?}");
    for starts in ["fork", "vfork", "clone", "clone3", "execveat"] {
        assert_eq!(found.get(starts), None, "{command} starts a process: {found:#?}");
    }
    // The account's rights are taken once for all that is read in its home, and laid down once.
    assert_eq!(found.get("setresuid"), Some(&2), "{command}: {found:#?}");
    for writes in ["fsync", "fdatasync", "write", "pwrite64", "renameat2", "unlinkat", "mkdirat"] {
        let said = if writes == "write" { 2 } else { 0 };
        assert!(found.get(writes).is_none_or(|count| *count <= said), "{command} writes: {found:#?}");
    }
    for network in ["socket", "connect", "sendto"] {
        assert_eq!(found.get(network), None, "{command} asks somebody: {found:#?}");
    }
}

/// Where somebody else is asked before the files, that one's word counts.
#[test]
fn the_files_are_asked_first_only_where_they_come_first() {
    let Some(host) = converged() else { return };
    for sources in ["systemd files", "files [NOTFOUND=return] systemd", "files systemd\npasswd: files"] {
        host.sh(&format!("printf 'passwd: {sources}\n' >/etc/nsswitch.conf")).ok();
        let found = calls(&host, "check");
        // NSS begins with the daemon that caches names.
        assert!(found.contains_key("connect"), "{sources}: {found:#?}");
    }
    host.sh("printf ' passwd:\tfiles systemd # and so on\n' >/etc/nsswitch.conf").ok();
    assert_eq!(calls(&host, "check").get("connect"), None);
}

/// Linux before 5.6, and what some containers make of a newer one.
#[test]
fn without_openat2_the_answers_are_the_same() {
    let Some(host) = converged() else { return };
    for (shut, open, code) in [
        ("true", "true", 0),
        ("chmod 0600 /etc/ssh/ssh_known_hosts", "chmod 0644 /etc/ssh/ssh_known_hosts", 1),
        ("chmod 0700 /etc/ssh", "chmod 0755 /etc/ssh", 3),
        ("chmod 0600 /etc/gitconfig", "chmod 0644 /etc/gitconfig", 2),
        ("chmod 0700 /home", "chmod 0755 /home", 3),
        ("mv /etc/ssh /srv/ssh; ln -s ../srv/ssh /etc/ssh", "rm /etc/ssh; mv /srv/ssh /etc/ssh", 0),
    ] {
        host.sh(shut).ok();
        let check = "/opt/under-test/runner-prep check --profile dind -v 2>&1";
        let plain = host.sh(check);
        assert_eq!(plain.status, code, "{shut}: {plain}");
        for error in ["ENOSYS", "EPERM"] {
            let without =
                host.sh(&format!("strace -f -qq -o /root/trace -e inject=openat2:error={error} {check}"));
            assert_eq!((&without.stdout, without.status), (&plain.stdout, code), "{shut}, {error}");
        }
        host.sh(open).ok();
    }
}
