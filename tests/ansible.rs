//! Fleets: the playbooks of README.md, run by the real Ansible against hosts of their own.

#![expect(clippy::disallowed_methods, reason = "a test calls the program by its other name")]

mod support;

use support::{Fleet, Host, Run, Tree, differences, fixture, program, readme_block};

/// Three hosts: one from nothing, one with the account, one with a registered runner.
fn fleet() -> Option<Fleet> {
    let new = || Host::or_skip().map(|host| host.file("/etc/ssh/ssh_known_hosts", ""));
    Fleet::or_skip(vec![
        new()?,
        new()?.account("gitlab-runner", 998, "/home/gitlab-runner"),
        new()?.config_toml(fixture("config-docker-runner.toml")),
    ])
}

/// What the hosts are, without what Ansible and sudo leave behind by themselves.
fn state(fleet: &Fleet, stamps: bool) -> Vec<String> {
    let own = |line: &String| {
        let path = line.split(' ').nth(5).unwrap_or_default();
        !["home/ops", "root/.ansible", "run", "tmp", "var"].iter().any(|top| path.starts_with(top))
            && !["root", "."].contains(&path)
    };
    let of = |host: &Host| if stamps { host.stamps() } else { host.listing() };
    fleet.hosts().iter().flat_map(|host| of(host).into_iter().filter(own)).collect()
}

/// Demands of each host's line in the summary this number of changed tasks, and none failed.
#[track_caller]
fn assert_recap(run: &Run, changed: [u32; 3]) {
    for (index, wanted) in changed.iter().enumerate() {
        let name = format!("host{} ", index + 1);
        let recap = run.stdout.lines().rev().find(|line| line.starts_with(&name)).unwrap_or_default();
        assert!(recap.contains(&format!(" changed={wanted} ")), "{name}: not changed={wanted}\n{run}");
        assert!(recap.contains(" unreachable=0 ") && recap.contains(" failed=0 "), "{run}");
    }
}

/// Demands that the file of all keys holds what each host has.
fn assert_keys(fleet: &Fleet) {
    let collected = fleet.text("deploy-keys.txt");
    assert_eq!(collected.lines().count(), 3, "{collected}");
    for (index, host) in fleet.hosts().iter().enumerate() {
        let key = host.text("/home/gitlab-runner/.ssh/id_ed25519.pub");
        assert!(collected.contains(&format!("host{} {key}", index + 1)), "{collected}");
        host.sh("sudo -n -l -U gitlab-runner /usr/bin/rsync").ok();
    }
    assert!(fleet.hosts()[2].text("/etc/gitlab-runner/config.toml").contains("privileged = true"));
}

#[test]
fn a_binary_module_prepares_hosts_that_have_nothing() {
    let Some(fleet) = fleet() else { return };
    fleet.put("module.yml", readme_block("module.yml"));
    fleet.put_program("library/runner_prep");
    // There is no Python on these hosts, as far as Ansible is concerned.
    let inventory = fleet.text("inventory").replace("/usr/bin/python3", "/nonexistent");
    fleet.put("inventory", inventory);

    // README's own is the same without the keys.
    fleet.put("prepare.yml", readme_block("prepare.yml"));
    let before = state(&fleet, true);
    assert_recap(fleet.playbook(&["prepare.yml", "--check", "--diff"]).ok(), [1, 1, 1]);
    let run = fleet.playbook(&["module.yml", "--check", "--diff"]);
    assert_recap(run.ok(), [2, 1, 1]);
    run.says("+gitlab-runner ALL=(ALL)").says("privileged = true").says("no runner is registered yet");
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0], "{run}");
    assert!(!fleet.path("deploy-keys.txt").exists());

    assert_recap(fleet.playbook(&["module.yml"]).ok(), [2, 1, 1]);
    assert_keys(&fleet);

    let before = state(&fleet, true);
    let run = fleet.playbook(&["module.yml", "--diff", "-vvv"]);
    assert_recap(run.ok(), [0, 0, 0]);
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0], "{run}");
}

#[test]
fn a_module_fails_as_ansible_expects() {
    let Some(host) = Host::or_skip() else { return };
    let Some(fleet) = Fleet::or_skip(vec![host]) else { return };
    fleet.put_program("library/runner_prep");
    let tasks = [
        ("true", "{profile: dind, profle: dind}"),
        ("true", "{only: account}"),
        ("true", "{profile: shell, only: [acount]}"),
        ("false", "{profile: shell}"),
    ];
    let mut play = String::from("- hosts: runners\n  gather_facts: false\n  tasks:\n");
    for (root, arguments) in tasks {
        play +=
            &["    - runner_prep: ", arguments, "\n      become: ", root, "\n      ignore_errors: true\n"]
                .concat();
    }
    fleet.put("refused.yml", play);
    let before = state(&fleet, true);
    let run = fleet.playbook(&["refused.yml"]);
    run.ok().says(" failed=0 ").says(" ignored=4 ");
    run.says("Unsupported parameters").says("Supported parameters include: accept_new_host_keys");
    run.says("missing required arguments: profile").says("did you mean account?").says("set become: true");
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0]);

    fleet.put(
        "waits.yml",
        "- hosts: runners\n  gather_facts: false\n  tasks:\n    - runner_prep: {profile: dind, only: 'account,config'}\n      become: true\n",
    );
    let run = fleet.playbook(&["waits.yml"]);
    run.exit(2).says("no runner is registered yet").says("or set allow_pending");
    // All that could be done was done, and the next task of the play would have seen the failure.
    fleet.hosts()[0].sh("getent passwd gitlab-runner").ok();
}

#[test]
fn a_task_names_what_it_adds_to_a_profile() {
    let Some(fleet) = Host::or_skip().and_then(|host| Fleet::or_skip(vec![host])) else { return };
    fleet.put_program("library/runner_prep");
    fleet.put(
        "sections.yml",
        "- hosts: runners
  become: true
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        src: library/runner_prep
        dest: /usr/local/bin/runner-prep
        mode: \"0755\"
      tags: program
    - runner_prep:
        profile: shell-hardened
        git: {name: gitlab-runner, email: ci@example.com}
        deploy:
          - {name: site, target: /srv/www/site, exclude: [.git]}
",
    );
    // A job's `sudo runner-deploy` starts a program of the host's.
    fleet
        .playbook(&["sections.yml", "--skip-tags", "program"])
        .exit(2)
        .says("install it as /usr/local/bin/runner-prep");
    fleet.playbook(&["sections.yml", "--tags", "program"]).ok().says(" changed=1 ");
    let before = state(&fleet, true);
    let run = fleet.playbook(&["sections.yml", "--check", "--diff"]);
    run.ok().says(" changed=1 ").says("ci@example.com").says("runner-deploy site");
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0]);

    fleet.playbook(&["sections.yml"]).ok().says(" changed=1 ");
    let host = &fleet.hosts()[0];
    host.as_account("gitlab-runner", "git config user.email").ok().says("ci@example.com");
    host.sh("install -d /srv/www/site").ok();
    host.as_account(
        "gitlab-runner",
        "mkdir -p builds/app && cd builds/app && echo new >index.html && sudo -n runner-deploy site",
    )
    .ok();
    assert_eq!(host.text("/srv/www/site/index.html"), "new\n");
    fleet.playbook(&["sections.yml"]).ok().says(" changed=0 ");
}

#[test]
fn the_command_module_prepares_hosts_and_checks_them() {
    let Some(fleet) = fleet() else { return };
    fleet.put("command.yml", readme_block("command.yml"));
    fleet.put_program("runner-prep");

    let before = state(&fleet, true);
    assert_recap(fleet.playbook(&["command.yml", "--check", "--diff"]).ok(), [1, 1, 1]);
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0]);

    let run = fleet.playbook(&["command.yml", "--diff"]);
    assert_recap(run.ok(), [3, 2, 2]);
    run.says("gitlab-runner ALL=(ALL)").says("privileged = true");
    assert_keys(&fleet);

    let before = state(&fleet, true);
    assert_recap(fleet.playbook(&["command.yml"]).ok(), [0, 0, 0]);
    assert_recap(fleet.playbook(&["command.yml", "--check"]).ok(), [0, 0, 0]);
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0]);

    // What somebody changed by hand is found, and stays until it is asked for.
    fleet.hosts()[1].sh("rm /etc/sudoers.d/gitlab-runner").ok();
    let before = state(&fleet, true);
    let run = fleet.playbook(&["command.yml", "--check", "--diff"]);
    assert_recap(run.ok(), [0, 1, 0]);
    run.says("NOPASSWD: /usr/bin/rsync");
    assert_eq!(differences(&before, &state(&fleet, true)), [""; 0]);
}

#[test]
fn sections_of_a_profile_are_arguments() {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    std::os::unix::fs::symlink(program(), tree.path("runner_prep")).unwrap();
    let replacing = |replaces: serde_json::Value, git: serde_json::Value| {
        let arguments = serde_json::json!({
            "profile": "shell", "root": tree.top(), "replaces": replaces, "git": git, "_ansible_check_mode": false, "_ansible_diff": true,
        });
        tree.put("arguments", arguments.to_string());
        let mut command = std::process::Command::new(tree.path("runner_prep"));
        tree.run_command(command.arg(tree.path("arguments")))
    };
    let call = |git| replacing(serde_json::Value::Null, git);
    let refused = call(serde_json::json!({ "emial": "ci@example.com" }));
    assert_eq!(refused.exit(1).json()["failed"], true);
    refused.says("the arguments of the task").says("did you mean `email`");
    // It is one more profile, so it can't contradict the named one without a word.
    call(serde_json::json!({ "name": "somebody" }))
        .exit(1)
        .says("the arguments of the task")
        .says("replaces: [git.name]");
    replacing(serde_json::json!("git.name"), serde_json::json!({ "name": "bot" }))
        .exit(1)
        .says("a list is wanted");
    replacing(
        serde_json::json!(["git.name"]),
        serde_json::json!({ "name": "bot", "email": "b@example.com" }),
    )
    .ok();
    assert!(tree.text("home/gitlab-runner/.gitconfig").contains("name = bot"));
    std::fs::remove_file(tree.path("home/gitlab-runner/.gitconfig")).unwrap();
    let wanted = serde_json::json!({ "name": "gitlab-runner", "email": "ci@example.com" });
    let done = call(wanted.clone());
    assert_eq!(done.ok().json()["changed"], true);
    assert!(tree.text("home/gitlab-runner/.gitconfig").contains("email = ci@example.com"));
    assert_eq!(call(wanted).ok().json()["changed"], false);
}
