//! The program on `/` of a throwaway host with real root: what one command gives a new machine, in the eyes of the tools that
//! will use it, and what it refuses there.

#![expect(clippy::disallowed_methods, reason = "the test lays out a host")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::fmt::Write as _;

use support::{CANARY, Host, assert_unchanged, fixture, have, tool};

const APPLY: &[&str] = &["apply", "--profile", "dind"];

/// All that a host has, but our own state. A directory in which something was staged and taken back is newer.
fn listing(host: &Host) -> Vec<String> {
    let mut lines = host.listing();
    let ours = |line: &String| line.split(' ').nth(5).is_some_and(|path| path.starts_with("var/lib"));
    lines.retain(|line| !ours(line));
    lines
}

#[test]
fn one_command_gives_a_new_machine_what_jobs_need() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync", "su", "ssh-keygen", "git"]) {
        return;
    }
    let host = host.start();
    host.sh("mv /usr/local/bin/gitlab-runner /root").ok();
    let run = host.prep(&["apply", "--profile", "dind", "--json"]);
    let document = run.exit(3).json();
    assert_eq!((&document["changed"], &document["failed"]), (&true.into(), &false.into()), "{run}");
    assert_eq!(document["pending"][1]["code"], "runner-not-registered", "{run}");

    // The account, as GitLab's package makes it: `useradd --system`, the home without a skeleton.
    host.sh("getent passwd gitlab-runner").ok().says(":GitLab Runner:/home/gitlab-runner:/bin/bash");
    assert_eq!(host.sh("ls -A /home/gitlab-runner").ok().stdout, ".gitconfig\n.ssh\n");

    // The key, in the words of OpenSSH.
    let key = "/home/gitlab-runner/.ssh/id_ed25519";
    let (line, fingerprint) = (&document["public_key"]["line"], &document["public_key"]["fingerprint"]);
    let (line, fingerprint) = (line.as_str().unwrap(), fingerprint.as_str().unwrap());
    assert_eq!(
        host.sh(&format!("ssh-keygen -lf {key}")).ok().stdout,
        format!("256 {fingerprint} gitlab-runner (ED25519)\n")
    );
    assert_eq!(host.sh(&format!("ssh-keygen -yf {key}")).ok().stdout, format!("{line}\n"));
    assert_eq!(host.text(&format!("{key}.pub")), format!("{line}\n"));
    let modes = format!("stat -c '%a %U:%G' {key} {key}.pub /home/gitlab-runner/.ssh");
    let owner = "gitlab-runner:gitlab-runner";
    assert_eq!(host.sh(&modes).ok().stdout, format!("600 {owner}\n644 {owner}\n700 {owner}\n"));

    // The rule, in the words of sudo.
    let rule = "/etc/sudoers.d/gitlab-runner";
    let text = host.text(rule);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# ") && lines[0].contains("runner-prep"), "{text}");
    assert_eq!(lines[1..], ["gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync"]);
    assert_eq!(host.sh(&format!("stat -c '%a %U:%G' {rule}; visudo -c >&2")).ok().stdout, "440 root:root\n");
    assert_eq!(host.sh("sudo -n -l -U gitlab-runner /usr/bin/rsync").ok().stdout, "/usr/bin/rsync\n");
    host.as_account("gitlab-runner", "sudo -n rsync --version").ok().says("protocol version");
    host.as_account("gitlab-runner", "sudo -n id").exit(1).says("a password is required");
    host.as_account("gitlab-runner", "git config user.name && git config user.email").ok();

    let before = host.stamps();
    host.prep(&["apply", "--profile", "dind", "--allow-pending"]).ok();
    host.prep(APPLY).exit(3);
    assert_unchanged(&before, &host.stamps());

    // A runner is registered: the three values, and nothing else.
    host.sh("mv /root/gitlab-runner /usr/local/bin; install -d -m 0700 /etc/gitlab-runner").ok();
    let config = "/etc/gitlab-runner/config.toml";
    std::fs::write(host.path(config), fixture("config-docker-runner.toml")).unwrap();
    host.sh(&format!("chmod 0600 {config}; cp {config} /root/before")).ok();
    host.prep(APPLY).ok();
    let changed = host.sh(&format!("diff /root/before {config} | grep '^[<>]' || true"));
    assert_eq!(
        changed.ok().stdout,
        ">   environment = [\"DOCKER_TLS_CERTDIR=/certs\"]\n<     privileged = false\n>     privileged = true\n\
         <     volumes = [\"/cache\"]\n>     volumes = [\"/cache\", \"/certs/client\"]\n"
    );
    let before = host.stamps();
    assert_eq!(host.prep(&["apply", "--profile", "dind", "--json"]).ok().json()["changed"], false);
    host.prep(&["check", "--profile", "dind"]).ok();
    assert_unchanged(&before, &host.stamps());
    host.sh(&format!("sed -i 's/privileged = true/privileged = false/' {config}")).ok();
    host.prep(&["check", "--profile", "dind"]).exit(1);
    let plan = host.prep(&["plan", "--profile", "dind"]);
    plan.ok().says("docker.privileged: false -> true").says("1 change to make").says_not(CANARY);
}

/// Somebody else is not told that the account's home is wrong.
#[test]
fn the_key_is_shown_to_root_and_to_the_account() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["su"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .account("someone", 1234, "/home/someone")
        .start();
    let key = |user: &str| host.sh(&format!("su {user} -s /bin/sh -c '/opt/under-test/runner-prep key'"));
    key("someone").exit(2).says("must be root");
    key("gitlab-runner").exit(2).says("no SSH key");
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    assert_eq!(key("gitlab-runner").ok().stdout, host.prep(&["key"]).ok().stdout);
    key("someone").exit(2).says("must be root");
}

#[test]
fn what_cannot_be_done_here_is_refused_and_nothing_is_changed() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "su", "mount"]) {
        return;
    }
    let host = host.account("someone", 1234, "/home/someone").start();
    let before = listing(&host);
    // Each in mounts of its own, which end with it.
    let within = |mounts: &str, run: &str| {
        let script = format!("set -eu; {mounts}; exec {run}");
        let run =
            host.prep_command(host.command("unshare").args(["--mount", "--", "/bin/sh", "-c", &script]));
        assert_unchanged(&before, &listing(&host));
        run
    };
    let apply = "/opt/under-test/runner-prep apply --profile dind";

    for words in ["apply", "plan", "check"] {
        let script = format!("/opt/under-test/runner-prep {words} --profile dind");
        within("true", &format!("su someone -s /bin/sh -c '{script}'")).exit(2).says("must be root");
        let run = within("true", &format!("su someone -s /bin/sh -c '{script} --json'"));
        assert_eq!(run.exit(2).json()["warnings"][0]["code"], "not-root", "{run}");
    }

    let mut hidden = String::from("true");
    for path in ["visudo", "visudo-rs", "visudo.ws"].into_iter().filter_map(tool) {
        let _ = write!(hidden, "; mount --bind /dev/null {}", path.display());
    }
    if std::path::Path::new("/usr/lib/cargo/bin/visudo").exists() {
        hidden += "; mount --bind /dev/null /usr/lib/cargo/bin/visudo";
    }
    within(&hidden, apply).exit(2).says("visudo is not installed").says("apt-get install sudo");

    for (directory, what) in [("/etc/sudoers.d", "0750"), ("/etc/ssh", "0755")] {
        let full = format!(
            "mount -t tmpfs -o size=4k,mode={what} tmpfs {directory}; head -c 4096 /dev/zero > {directory}/full.x"
        );
        within(&full, apply).exit(2).says(directory).says("no space left");
        let read_only = format!("mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}");
        within(&read_only, apply).exit(2).says(directory).says("read-only");
    }
    assert_ne!(
        host.sh("getent passwd gitlab-runner").status,
        0,
        "an account was made by a run that was refused"
    );
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["visudo"]) {
        return;
    }
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    // Whoever redirects an answer into a file must not go on with an empty one.
    let run = |words: &str| host.sh(&format!("runner-prep {words} || echo \"exit $?\" >&2"));
    run("template --profile dind > /dev/full").says("error: cannot write the output").says("exit 2");
    run("profile show dind > /dev/full").says("exit 2");
    // A reader that has enough is none.
    run("profile show dind | true").says_not("exit").says_not("error");
    // Work is done all the same, and its report is not the work.
    run("apply --profile shell > /dev/full").says_not("exit");
    run("check --profile shell > /dev/full").says_not("exit");
    run("key >&-").says_not("panicked");
}
