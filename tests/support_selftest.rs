//! Proves that what the other tests stand on holds: the throwaway host is real, and the machine stays as it is.

#![expect(clippy::disallowed_methods, reason = "a test reads the machine itself")]

mod support;

use support::{Host, Tree, assert_unchanged, fixture, have, is_root, listing, stamps};

/// What of the machine a host could harm if it were no host.
fn machine() -> Vec<String> {
    let mut lines = listing("/etc");
    // Not what lies in people's homes: that is much, and it changes while they work.
    for entry in std::fs::read_dir("/home").into_iter().flatten().flatten() {
        lines.push(format!("{}", entry.path().display()));
    }
    lines.sort();
    lines
}

#[test]
fn a_host_has_real_accounts_and_real_sudo_and_leaves_the_machine_alone() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync", "su"]) {
        return;
    }
    let before = machine();
    let host = host.file_mode("/etc/sudoers.d/README", "# nothing\n", 0o440).start();

    host.sh("useradd --system --shell /bin/bash --create-home --skel /dev/null gitlab-runner").ok();
    host.sh("getent passwd gitlab-runner").ok().says("/home/gitlab-runner");
    host.sh("stat -c %U:%a /home/gitlab-runner").ok().says("gitlab-runner:755");
    host.sh("umask 226
        echo 'gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync' > /etc/sudoers.d/gitlab-runner
        visudo -c")
        .ok();
    assert_eq!(host.sh("sudo -n -l -U gitlab-runner /usr/bin/rsync").ok().stdout, "/usr/bin/rsync\n");
    host.as_account("gitlab-runner", "sudo -n rsync --version").ok().says("protocol version");
    assert_ne!(host.as_account("gitlab-runner", "sudo -n id").status, 0);
    let account = host.as_account("gitlab-runner", "id -un; pwd; touch here; hostname");
    assert_eq!(account.ok().stdout, "gitlab-runner\n/home/gitlab-runner\nrunner-host\n");
    assert!(host.path("/home/gitlab-runner/here").exists());
    // Outside its own directories a host can write nothing.
    assert_ne!(host.sh("touch /usr/bin/made-by-a-test").status, 0);
    drop(host);

    assert_unchanged(&before, &machine());
}

#[test]
fn a_host_starts_without_a_runner_and_with_the_program() {
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("someone", 1234, "/home/someone").start();
    assert_ne!(host.sh("getent passwd gitlab-runner").status, 0);
    host.sh("test -x \"$(command -v runner-prep)\"").ok();
    assert_eq!(host.as_account("someone", "id -u; id -g").ok().stdout, "1234\n1234\n");
    assert_eq!(host.sh("ps -e -o comm= | head -n 1").ok().stdout, "cat\n");
}

#[test]
fn a_host_keeps_its_background_processes_until_it_ends() {
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.sh("sleep 300 & echo $! > /run/sleeper").ok();
    host.sh("kill -0 $(cat /run/sleeper)").ok();
    let began = std::time::Instant::now();
    drop(host);
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn two_hosts_do_not_meet() {
    let (Some(one), Some(two)) = (Host::or_skip(), Host::or_skip()) else {
        return;
    };
    let (one, two) = (one.start(), two.start());
    one.sh("touch /etc/only-here /tmp/only-here /run/only-here").ok();
    two.sh("test ! -e /etc/only-here; test ! -e /tmp/only-here; test ! -e /run/only-here").ok();
}

#[test]
fn a_tree_is_laid_out_for_whoever_runs_the_test() {
    let tree = Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode("/home/gitlab-runner/.ssh/id_rsa", "x", 0o600)
        .own("/home/gitlab-runner/.ssh/id_rsa", 998)
        .link("etc/elsewhere", "/nowhere")
        .fifo("etc/pipe")
        .config_toml(fixture("config-docker-runner.toml"));
    let uid = Tree::uid(998);
    assert_eq!(is_root(), uid == 998);
    assert_eq!(tree.metadata("home/gitlab-runner").1, uid);
    assert_eq!(tree.metadata("home/gitlab-runner/.ssh/id_rsa").0, 0o600);
    assert_eq!(tree.metadata("etc/gitlab-runner/config.toml").0, 0o600);
    assert!(tree.text("etc/passwd").contains(&format!("gitlab-runner:x:{uid}:")));
    assert!(tree.exists("etc/elsewhere"));
    assert!(tree.listing().iter().any(|line| line.contains(" p - - etc/pipe")));
}

#[test]
fn stamps_see_a_write_that_changes_nothing() {
    let tree = Tree::new().file("etc/motd", "same");
    let (lines, before) = (tree.listing(), tree.stamps());
    assert_unchanged(&before, &stamps(tree.top()));
    // Past one tick of the kernel's clock for files.
    std::thread::sleep(std::time::Duration::from_millis(20));
    tree.put("etc/motd", "same");
    assert_unchanged(&lines, &tree.listing());
    assert_ne!(before, tree.stamps());
}

#[test]
fn every_secret_in_a_fixture_is_a_canary() {
    let mut paths = vec![support::source().join("tests/fixtures")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().filter(|line| line.trim_start().starts_with("token = \"")) {
            assert!(line.contains(support::CANARY), "{}: a token without the canary", path.display());
        }
    }
}

/// Whether a command on a tree with secrets is found to break the rule about them.
fn is_found_leaking(script: &str) -> bool {
    let tree = Tree::new()
        .config_toml(fixture("config-docker-runner.toml"))
        .file_mode(
            "root/.ssh/id_rsa",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nc2VjcmV0IGJ5dGVzIG9mIGEga2V5\n",
            0o600,
        );
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(tree.top());
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tree.run_command(&mut command))).is_err()
}

#[test]
fn a_leak_is_found_wherever_it_is() {
    assert!(!is_found_leaking("echo privileged"));
    assert!(is_found_leaking("cat etc/gitlab-runner/config.toml"));
    assert!(is_found_leaking("grep token etc/gitlab-runner/config.toml >&2"));
    assert!(is_found_leaking("tail -n 1 root/.ssh/id_rsa"));
    assert!(is_found_leaking("chmod 640 etc/gitlab-runner/config.toml"));
    assert!(is_found_leaking("umask 022; cat root/.ssh/id_rsa > etc/copy"));
    assert!(!is_found_leaking("umask 077; cat root/.ssh/id_rsa > etc/copy"));
}
