//! Programs that pipelines call and the host lacks: named once, with one command that works as printed; and what does not
//! depend on them is done.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use serde_json::Value;
use support::{Run, Tree, fixture, is_root};

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
        (
            "usr/sbin/apk",
            "chroot DIR apk add --update-cache sudo rsync git openssh-client gitlab-runner".to_owned(),
        ),
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

/// What a tree with these programs and this `config.toml` lacks: the packages, in the order in which they are installed.
fn lacks(tree: &Tree, profile: &str) -> Vec<&'static str> {
    let run = tree.run(&["plan", "--profile", profile, "--json"]);
    let document = run.ok().json();
    let said: Vec<&str> = pending(&document, "programs-missing")
        .into_iter()
        .filter_map(|note| note["repair"].as_str())
        .collect();
    let packages = ["docker.io", "gitlab-runner"].into_iter();
    let lacks: Vec<&str> = packages
        .filter(|package| said.iter().any(|command| command.contains(&format!("-y {package}"))))
        .collect();
    assert_eq!(lacks.is_empty(), said.is_empty(), "{run}");
    // Whoever asks, it is the same.
    for command in ["check", "doctor"] {
        let run = tree.run(&[command, "--profile", profile, "--json"]);
        for package in ["docker.io", "gitlab-runner"] {
            let is_said = run.stdout.contains(&format!("apt-get install -y {package}"));
            assert_eq!(is_said, lacks.contains(&package), "{command}: {package}: {run}");
        }
    }
    lacks
}

const CONFIG: &str = "/etc/gitlab-runner/config.toml";

/// Files of a tree: path, text and mode.
type Put<'a> = &'a [(&'a str, &'a str, u32)];

#[test]
fn a_registered_runner_needs_the_daemon_that_it_names_by_nothing() {
    let config = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let host =
        |host: &str| config.replace("    tls_verify", &format!("    host = \"{host}\"\n    tls_verify"));
    let unit = |line: &str| format!("[Service]\n{line}\nExecStart=/usr/bin/gitlab-runner run\n");
    let service = "/etc/systemd/system/gitlab-runner.service";
    let docker = &["docker.io"][..];
    // What is put there, and what is missing then.
    let cases: &[(&str, Put<'_>, &[&str])] = &[
        ("nothing", &[], docker),
        ("a client alone", &[("/usr/bin/docker", "", 0o755)], docker),
        ("the usual socket by its name", &[(CONFIG, &host("unix:///var/run/docker.sock"), 0o600)], docker),
        ("and by the other", &[(CONFIG, &host("unix:///run/docker.sock"), 0o600)], docker),
        (
            "in the service",
            &[(service, &unit("Environment=DOCKER_HOST=unix:///run/docker.sock"), 0o644)],
            docker,
        ),
        ("the daemon", &[("/usr/sbin/dockerd", "", 0o755)], &[]),
        ("another one", &[("/usr/bin/podman", "", 0o755)], &[]),
        ("a socket", &[("/run/docker.sock", "", 0o600)], &[]),
        ("of a network", &[(CONFIG, &host("tcp://10.0.0.7:2376"), 0o600)], &[]),
        ("of a user", &[(CONFIG, &host("unix:///run/user/998/podman/podman.sock"), 0o600)], &[]),
        ("by the service", &[(service, &unit("Environment=DOCKER_HOST=tcp://10.0.0.7:2376"), 0o644)], &[]),
        (
            "by its file",
            &[
                (service, &unit("EnvironmentFile=-/etc/default/gitlab-runner"), 0o644),
                ("/etc/default/gitlab-runner", "DOCKER_HOST=ssh://ci@10.0.0.7\n", 0o644),
            ],
            &[],
        ),
        (
            "machines with one of their own",
            &[(CONFIG, &config.replace("\"docker\"", "\"docker-autoscaler\""), 0o600)],
            &[],
        ),
    ];
    for (name, put, wanted) in cases {
        let mut tree = system("usr/bin/apt-get", &ALL).config_toml(&config);
        for (path, text, mode) in *put {
            tree = tree.file_mode(path, text, *mode);
        }
        assert_eq!(lacks(&tree, "dind"), *wanted, "{name}");
        assert_eq!(lacks(&tree, "shell"), [""; 0], "{name}: for jobs that start no containers");
        let run = tree.run(&["apply", "--profile", "dind"]);
        assert_eq!(run.status, if wanted.is_empty() { 0 } else { 3 }, "{name}: {run}");
        assert!(tree.text(CONFIG).contains("privileged = true"), "{name}: what does not wait is done");
    }
    // Before one is registered the profile's own word counts.
    let ours = "summary = \"x\"\nextends = [\"dind\"]\n[config.docker]\nhost = \"tcp://10.0.0.7:2376\"\n";
    let tree = system("usr/bin/apt-get", &ALL).file("etc/runner-prep/profiles/ours.toml", ours);
    assert_eq!(lacks(&tree, "dind"), docker);
    assert_eq!(lacks(&tree, "ours"), [""; 0]);
}

#[test]
fn a_registered_runner_needs_gitlab_runner_in_a_file_or_a_container() {
    let config = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let unit = "[Service]\nExecStart=-/opt/ci/gitlab-runner run --user gitlab-runner\n";
    let service = "/etc/systemd/system/gitlab-runner.service";
    let both = &["docker.io", "gitlab-runner"][..];
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("nothing", &[], both),
        ("a place for a container", &["/usr/bin/dockerd"], &[]),
        ("a unit that leads nowhere", &[service], both),
        ("a unit's own program", &[service, "/opt/ci/gitlab-runner"], &["docker.io"]),
    ];
    for (name, put, wanted) in cases {
        let mut tree = system("usr/bin/apt-get", &ALL[..4]).config_toml(&config);
        for path in *put {
            tree = tree.file_mode(path, if *path == service { unit } else { "" }, 0o755);
        }
        assert_eq!(lacks(&tree, "dind"), *wanted, "{name}");
    }
    // On a host that is known.
    let Some(host) = support::Host::or_skip() else { return };
    let host = host.config_toml(&config).start();
    host.sh("rm /usr/local/bin/gitlab-runner").ok();
    host.prep(&["apply", "--profile", "dind"]).exit(3).says("gitlab-runner is missing on this host");
    host.prep(&["check", "--profile", "dind"]).exit(3).says("apt-get install -y gitlab-runner");
    host.sh("mkdir /run/image; mount -t tmpfs none /run/image; cd /run/image; mkdir usr proc dev
        mount --bind /usr usr; ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64
        mkfifo hold; cp /bin/bash gitlab-runner; chroot . /gitlab-runner -s run <>hold & sleep 0.3")
        .ok();
    host.prep(&["check", "--profile", "dind"]).ok();
}

#[test]
fn a_group_of_dockers_waits_for_docker() {
    let ours = "summary = \"x\"\nextends = [\"shell\"]\n[account]\ngroups = [\"docker\"]\n";
    let tree = system("usr/bin/apt-get", &ALL).file("etc/runner-prep/profiles/ours.toml", ours);
    let run = tree.run(&["apply", "--profile", "ours"]);
    run.exit(3).says("dockerd is missing in the tree").says("apt-get install -y docker.io");
    assert!(tree.exists("etc/sudoers.d/gitlab-runner"));
    let tree = tree.file_mode("usr/bin/dockerd", "", 0o755);
    tree.run(&["apply", "--profile", "ours"]).exit(2).says("there is no group docker");
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
