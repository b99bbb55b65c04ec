//! On whole hosts: an account, sudo's own judgement, file systems that can't be written.

use crate::support::{self, Host, Run, Tree, assert_unchanged, fixture, have};

#[test]
fn an_account_stays_and_the_report_says_how_it_goes() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let host = host.config_toml(fixture("config-docker-runner.toml")).start();
    host.prep(&["apply", "--profile", "dind"]).ok();
    host.sh("sudo -n -l -U gitlab-runner /usr/bin/rsync").ok();
    let run = host.prep(&["undo"]);
    run.ok().says("userdel -r gitlab-runner");
    host.sh("getent passwd gitlab-runner; visudo -c").ok();
    assert!(!host.path("/etc/sudoers.d/gitlab-runner").exists());
    assert_eq!(
        host.text("/etc/gitlab-runner/config.toml").into_bytes(),
        fixture("config-docker-runner.toml")
    );
    // The account is gone, too: nothing more to say.
    host.prep(&["apply", "--profile", "dind"]).ok();
    host.sh("userdel -r gitlab-runner").ok();
    host.prep(&["undo"]).ok();
    host.prep(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn a_former_sudo_rule_that_sudo_no_longer_accepts_is_not_put_back() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode(
            "/etc/sudoers.d/gitlab-runner",
            "User_Alias CI = gitlab-runner\nCI ALL=(ALL) NOPASSWD: /usr/bin/true\n",
            0o440,
        )
        .start();
    host.prep(&["apply", "--profile", "shell", "--only", "sudoers", "--adopt"]).ok();
    host.sh("umask 226; echo 'User_Alias CI = root' > /etc/sudoers.d/a-clash; visudo -c").ok();
    let rules = |host: &Host| support::listing(host.path("/etc/sudoers.d"));
    let before = rules(&host);
    host.prep(&["undo"]).exit(2).says("visudo");
    assert_unchanged(&before, &rules(&host));
    host.sh("rm /etc/sudoers.d/a-clash").ok();
    host.prep(&["undo"]).ok();
    host.sh("visudo -c; sudo -n -l -U gitlab-runner /usr/bin/true").ok();
}

/// What an administrator had broken keeps nothing else from being undone, and is not put back.
#[test]
fn a_former_sudo_rule_that_never_was_one_keeps_nothing_else_back() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode("/etc/sudoers.d/gitlab-runner", "gitlab-runner ALL=(ALL NOPASSWD: ALL\n", 0o440)
        .start();
    host.prep(&["apply", "--profile", "shell", "--adopt"]).ok();
    let ours = host.text("/etc/sudoers.d/gitlab-runner");
    let dry = host.prep(&["undo", "--dry-run"]);
    dry.exit(3).says("would stay as it is").says("would be moved to").says_not(" is moved to");
    let run = host.prep(&["undo"]);
    run.exit(3).says("/etc/sudoers.d/gitlab-runner stays as it is").says("syntax error").says("is moved to");
    host.sh("visudo -c; sudo -n -l -U gitlab-runner /usr/bin/rsync").ok();
    assert_eq!(host.text("/etc/sudoers.d/gitlab-runner"), ours);
    assert!(!host.path("/home/gitlab-runner/.gitconfig").exists(), "the rest is undone");
    assert!(!host.path("/etc/ssh/ssh_known_hosts").exists());
    // What the message says helps, once the former file is one.
    let command = run.stderr.lines().find(|line| line.contains("visudo -c -f")).unwrap().trim().to_owned();
    let kept = command.split(' ').nth(3).unwrap();
    assert_ne!(host.sh(&command).status, 0, "{command}");
    host.sh(&format!("sed -i 's/(ALL /(ALL) /' {kept}; {command}; visudo -c")).ok();
    host.prep(&["undo"]).ok().says("nothing to undo");
}

/// Where there is nothing else to be undone, it is said as before, and keeps no older run from being undone.
#[test]
fn a_former_sudo_rule_that_never_was_one_is_left_alone_too() {
    if !have(&["visudo", "rsync"]) {
        return;
    }
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file_mode(
        "etc/sudoers.d/gitlab-runner",
        "gitlab-runner ALL=(ALL NOPASSWD: ALL\n",
        0o440,
    );
    tree.run(&["apply", "--profile", "shell", "--only", "git"]).ok();
    tree.run(&["apply", "--profile", "shell", "--only", "sudoers", "--adopt"]).ok();
    let ours = tree.text("etc/sudoers.d/gitlab-runner");
    let repair = |run: &Run| run.exit(3).json()["pending"][0]["repair"].clone();
    let dry = tree.run(&["undo", "--dry-run", "--json"]);
    let run = tree.run(&["undo", "--json"]);
    assert_eq!(repair(&dry), repair(&run), "{dry}\n{run}");
    run.says("can't be undone as it is");
    assert_eq!(tree.text("etc/sudoers.d/gitlab-runner"), ours);
    tree.run(&["undo", "--dry-run"]).ok().says("would be removed").says_not("former bytes");
    tree.run(&["undo"]).ok().says("/home/gitlab-runner/.gitconfig");
    assert!(!tree.path("home/gitlab-runner/.gitconfig").exists());
}

#[test]
fn a_read_only_file_system_is_named_and_nothing_is_half_done() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync", "mount"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
        .start();
    host.prep(&["apply", "--profile", "dind"]).ok();
    let mount = |directory: &str| {
        host.sh(&format!("mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}")).ok();
    };
    let before = host.listing();
    mount("/etc/gitlab-runner");
    for undo in [&["undo", "--dry-run"][..], &["undo"]] {
        host.prep(undo).exit(2).says("/etc/gitlab-runner is on a read-only file system");
    }
    assert_unchanged(&before, &host.listing());
    let repair = host.prep(&["undo", "--json"]).json()["warnings"][0]["repair"].as_str().unwrap().to_owned();
    host.sh(repair.split_once(": ").unwrap().1).ok();
    host.prep(&["undo", "--dry-run"]).ok();
    host.sh("umount /etc/gitlab-runner").ok();
    mount("/var/lib");
    host.prep(&["undo"]).exit(2).says("/var/lib");
    assert_unchanged(&before, &host.listing());
    host.sh("umount /var/lib").ok();
    host.prep(&["undo"]).ok();
}
