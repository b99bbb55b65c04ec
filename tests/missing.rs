//! Programs that pipelines call and the host lacks: named once, with one command that works as printed; and what does not
//! depend on them is done.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use serde_json::Value;
use support::{Run, Tree, is_root};

/// A tree of a system with this package manager and these programs.
fn system(manager: &str, programs: &[&str]) -> Tree {
    let mut tree = Tree::new().file_mode(manager, "#!/bin/sh\n", 0o755);
    tree.remove("usr/bin/rsync");
    for program in programs {
        let mode = if program.ends_with("sudo") { 0o4755 } else { 0o755 };
        tree = tree.file_mode(program, "#!/bin/sh\n", mode);
    }
    tree
}

const ALL: [&str; 5] =
    ["usr/bin/sudo", "usr/bin/rsync", "usr/bin/git", "usr/bin/ssh", "usr/bin/gitlab-runner"];

/// A command as its reader gets it: who is not root can't do `chroot` without sudo, also where the tree is their own.
fn to_reader(command: &str) -> String {
    if is_root() {
        return command.to_owned();
    }
    let token = "CI_SERVER_TOKEN=${CI_SERVER_TOKEN:?} ";
    command
        .replace("chroot ", "sudo chroot ")
        .replace(&format!("{token}sudo "), &format!("{token}sudo --preserve-env=CI_SERVER_TOKEN "))
}

/// What waits, by its code.
fn pending<'v>(document: &'v Value, code: &str) -> Vec<&'v Value> {
    document["pending"].as_array().unwrap().iter().filter(|one| one["code"] == code).collect()
}

fn repair(run: &Run) -> String {
    let document = run.json();
    let found = pending(&document, "programs-missing");
    assert_eq!(found.len(), 1, "{run}");
    found[0]["repair"].as_str().unwrap().to_owned()
}

#[test]
fn everything_is_named_once_with_one_command_of_the_trees_own_package_manager() {
    let curl = "curl -fsSL https://packages.gitlab.com/install/repositories/runner/gitlab-runner/script";
    let own = |install: &str| {
        format!(
            "chroot DIR {install} && chroot DIR {curl}.rpm.sh -o /root/gitlab-runner.repository.sh && chroot DIR bash \
             /root/gitlab-runner.repository.sh && chroot DIR {} gitlab-runner",
            install.split(" sudo").next().unwrap()
        )
    };
    for (manager, command) in [
        (
            "usr/bin/apt-get",
            format!(
                "chroot DIR apt-get update && chroot DIR apt-get install -y sudo rsync git openssh-client curl \
                 ca-certificates && chroot DIR {curl}.deb.sh -o /root/gitlab-runner.repository.sh && chroot DIR bash \
                 /root/gitlab-runner.repository.sh && chroot DIR apt-get install -y gitlab-runner"
            ),
        ),
        ("usr/bin/dnf", own("dnf install -y sudo rsync git openssh-clients curl ca-certificates")),
        ("usr/bin/yum", own("yum install -y sudo rsync git openssh-clients curl ca-certificates")),
        (
            "usr/bin/zypper",
            own("zypper --non-interactive install sudo rsync git openssh-clients curl ca-certificates"),
        ),
        ("usr/sbin/apk", "chroot DIR apk add sudo rsync git openssh-client gitlab-runner".to_owned()),
        (
            "usr/bin/pacman",
            "chroot DIR pacman -Sy --noconfirm --needed sudo rsync git openssh gitlab-runner".to_owned(),
        ),
    ] {
        let command = to_reader(&command);
        let tree = system(manager, &[]);
        let said = |run: &Run| repair(run).replace(&tree.top().display().to_string(), "DIR");
        for words in [&["plan", "--json"][..], &["check", "--json"]] {
            let run = tree.run(&[words, &["--profile", "shell"]].concat());
            assert_eq!(said(&run), command, "{manager}");
        }
        let run = tree.run(&["apply", "--profile", "shell", "--json"]);
        assert_eq!(said(run.exit(3)), command, "{manager}");
        // All but the rule is done.
        for path in
            ["home/gitlab-runner/.ssh/id_ed25519", "home/gitlab-runner/.gitconfig", "etc/ssh/ssh_known_hosts"]
        {
            assert!(tree.exists(path), "{manager}: {path}");
        }
        assert!(!tree.exists("etc/sudoers.d/gitlab-runner"), "{manager}");
        tree.run(&["apply", "--profile", "shell", "--allow-pending"]).ok().says("waiting: ");
        let run = tree.run(&["doctor", "--profile", "shell", "--json"]);
        let document = run.exit(1).json();
        let findings = document["findings"].as_array().unwrap();
        let missing: Vec<_> = findings.iter().filter(|one| one["check"] == "programs").collect();
        let codes: Vec<&str> = missing.iter().map(|one| one["code"].as_str().unwrap()).collect();
        assert_eq!(
            codes,
            ["sudo-missing", "rsync-not-found", "git-not-found", "ssh-not-found", "runner-missing"],
            "{run}"
        );
        for one in missing {
            let said = one["repair"].as_str().unwrap().replace(&tree.top().display().to_string(), "DIR");
            assert_eq!(said, command);
        }
        let others = findings.iter().filter(|one| one["check"] != "programs");
        for one in others {
            assert!(!one["message"].as_str().unwrap().contains("is not installed"), "{one}");
        }
        // For people: the command once.
        let text = tree.run(&["doctor", "--profile", "shell"]).exit(1).stdout.clone();
        let command = command.replace("DIR", &tree.top().display().to_string());
        assert_eq!(text.matches(&command).count(), 1, "{text}");
    }
}

#[test]
fn each_thing_that_is_missing_is_the_only_one_named() {
    for (missing, package, has_rule) in [
        ("usr/bin/sudo", "sudo", false),
        ("usr/bin/rsync", "rsync", false),
        ("usr/bin/git", "git", true),
        ("usr/bin/ssh", "openssh-client", true),
    ] {
        let there: Vec<&str> = ALL.iter().copied().filter(|path| *path != missing).collect();
        let tree = system("usr/bin/apt-get", &there);
        let run = tree.run(&["apply", "--profile", "shell", "--json"]);
        let top = tree.top().display();
        assert_eq!(
            repair(run.exit(3)),
            to_reader(&format!("chroot {top} apt-get update && chroot {top} apt-get install -y {package}"))
        );
        assert_eq!(tree.exists("etc/sudoers.d/gitlab-runner"), has_rule, "{missing}");
        // Then it is installed, and the rest is done.
        let tree = tree.file_mode(missing, "#!/bin/sh\n", 0o4755);
        tree.run(&["apply", "--profile", "shell"]).ok();
        assert!(tree.exists("etc/sudoers.d/gitlab-runner"), "{missing}");
    }
    // No change waits for gitlab-runner, and no job comes without it.
    let tree = system("usr/bin/apt-get", &ALL[..4]);
    let run = tree.run(&["apply", "--profile", "shell"]);
    run.exit(3).says("gitlab-runner is missing in the tree").says("apt-get install -y gitlab-runner");
    assert!(tree.exists("etc/sudoers.d/gitlab-runner"));
    tree.run(&["check", "--profile", "shell"]).exit(3);
    tree.run(&["apply", "--profile", "shell", "--allow-pending"]).ok();
}

#[test]
fn a_part_of_a_system_need_not_have_what_others_bring() {
    let tree = Tree::new();
    tree.run(&["apply", "--profile", "shell"]).ok();
    let tree = Tree::new();
    tree.remove("usr/bin/rsync");
    tree.run(&["apply", "--profile", "shell"]).exit(3).says("rsync is missing in the tree");
}

#[test]
fn what_must_be_done_stands_in_the_order_of_doing_it() {
    let tree = system("usr/bin/apt-get", &ALL[..4]);
    let run = tree.run(&["apply", "--profile", "dind"]);
    let text = run.exit(3).stderr.replace(&tree.top().display().to_string(), "DIR");
    let mut rest = text.as_str();
    for next in [
        "chroot DIR apt-get update && chroot DIR apt-get install -y docker.io",
        "chroot DIR apt-get install -y gitlab-runner",
        "runner-prep template --profile dind | chroot DIR tee /root/runner.toml >/dev/null",
        "CI_SERVER_TOKEN=${CI_SERVER_TOKEN:?} chroot DIR gitlab-runner register",
        "--url https://gitlab.com --executor docker --docker-image docker:28",
        "runner-prep apply --profile dind --root DIR",
        "runner-prep doctor --profile dind --root DIR",
    ] {
        let (_, after) = rest
            .split_once(&to_reader(next))
            .unwrap_or_else(|| panic!("no {next:?} in its place in\n{text}"));
        rest = after;
    }
}

#[test]
fn a_server_of_ones_own_is_the_one_that_commands_name() {
    let tree = Tree::new().file(
        "etc/runner-prep/profiles/ours.toml",
        "summary = \"x\"\nextends = [\"dind\"]\n[[known_hosts.hosts]]\nhost = \"git.example.com:2222\"\nkeys = \
         [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\"]\n",
    );
    let run = tree.run(&["apply", "--profile", "ours"]);
    assert!([2, 3].contains(&run.status), "{run}");
    if run.status == 3 {
        run.says("--url https://git.example.com ");
    }
}

/// A user with sudo copies the same lines: each begins with sudo.
#[test]
fn a_user_with_sudo_gets_commands_with_sudo() {
    let Some(host) = support::Host::or_skip() else { return };
    let host = host.start();
    host.sh("rm /usr/local/bin/gitlab-runner").ok();
    let script = "SUDO_UID=1000 runner-prep plan --profile dind 2>&1";
    host.sh(script)
        .ok()
        .says("sudo apt-get update && sudo curl -fsSL https://packages.gitlab.com/")
        .says("&& sudo bash /root/gitlab-runner.repository.sh && sudo apt-get install -y gitlab-runner\n")
        .says("sudo runner-prep template --profile dind | sudo tee /root/runner.toml >/dev/null")
        .says(
            "CI_SERVER_TOKEN=${CI_SERVER_TOKEN:?} sudo --preserve-env=CI_SERVER_TOKEN gitlab-runner register",
        )
        .says("sudo runner-prep apply --profile dind");
    host.sh("SUDO_UID=0 runner-prep plan --profile dind 2>&1")
        .ok()
        .says("runner-prep template --profile dind > /root/runner.toml")
        .says_not("sudo runner-prep");
}
