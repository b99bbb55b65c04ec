//! `[sudoers]` and `[[sudoers.rule]]`: what is rendered is what sudo reads, and what can't be is refused.

#![expect(clippy::disallowed_methods, reason = "a test calls the tools itself")]

mod support;

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use runner_prep::text::sudo_rule::{CommandLine, Rule, RunAs};
use support::{Host, Run, Tree, have, run_limited};

const ACCOUNT: &str = "gitlab-runner";

fn profile(sudoers: &str) -> String {
    format!("summary = \"test\"\n{sudoers}\n")
}

/// A tree with the profile at a path of its own.
fn tree(sudoers: &str) -> Tree {
    Tree::new().account(ACCOUNT, 998, "/home/gitlab-runner").file("etc/test.toml", profile(sudoers))
}

fn run(tree: &Tree, command: &str) -> Run {
    let profile = tree.path("etc/test.toml").display().to_string();
    tree.run(&[command, "--profile", &profile])
}

const AS_WWW: &str = "[[sudoers.rule]]\nrun_as = \"deploy-www\"\ncommands = [\"/usr/bin/rsync\"]";

#[test]
fn the_simple_form_is_rendered_as_ever() {
    let tree = tree("[sudoers]\ncommands = [\"/usr/bin/rsync\"]");
    if !have(&["visudo"]) {
        return;
    }
    run(&tree, "apply").ok().says("makes every job root");
    let text = tree.text("etc/sudoers.d/gitlab-runner");
    assert!(text.ends_with("\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n"), "{text}");
}

#[test]
fn a_warning_is_told_whole_where_something_changes_and_in_one_line_after() {
    let tree = tree("[sudoers]\ncommands = [\"/usr/bin/rsync\"]");
    if !have(&["visudo"]) {
        return;
    }
    for command in ["plan", "apply"] {
        run(&tree, command).ok().says("makes every job root").says_not("-v shows");
    }
    for command in ["plan", "apply", "check"] {
        let brief = "1 warning: root-equivalent-command; -v shows it\n";
        assert_eq!(run(&tree, command).ok().stderr, brief, "{command}");
        let profile = tree.path("etc/test.toml").display().to_string();
        let with = |option| tree.run(&[command, "--profile", &profile, option]);
        with("-v").ok().says("makes every job root").says_not("-v shows");
        assert_eq!(with("--quiet").ok().stderr, "");
        let message = with("--json").ok().json()["warnings"][0]["message"].to_string();
        assert!(message.contains("makes every job root"), "{command}: {message}");
    }
}

#[test]
fn a_rule_for_another_account_is_rendered_and_converges() {
    if !have(&["visudo"]) {
        return;
    }
    let tree = tree(&AS_WWW.replace("rsync\"", "rsync -a --chown=deploy-www:deploy-www . /srv/www\""))
        .account("deploy-www", 997, "/srv/deploy");
    // Where arguments end can't be said to sudo; nothing else is to be warned of.
    let warned = run(&tree, "apply");
    warned.ok().says("merged into one argument");
    assert_eq!(warned.stderr.matches("warning:").count(), 1, "{warned}");
    let text = tree.text("etc/sudoers.d/gitlab-runner");
    let rule = r"gitlab-runner ALL=(deploy-www:deploy-www) NOPASSWD: /usr/bin/rsync -a --chown\=deploy-www\:deploy-www . /srv/www";
    assert!(text.ends_with(&format!("\n{rule}\n")), "{text}");
    let before = tree.stamps();
    run(&tree, "apply").ok();
    support::assert_unchanged(&before, &tree.stamps());
}

#[test]
fn what_no_sudo_reads_alike_is_refused_with_the_reason() {
    for (rule, code) in [
        ("run_as = \"root\"\ncommands = [\"/usr/bin/rsync\"]", "uid 0"),
        ("run_as = \"toor\"\ncommands = [\"/usr/bin/rsync\"]", "no account toor"),
        ("run_as = \"ALL\"\ncommands = [\"/usr/bin/rsync\"]", "can't be the name"),
        ("run_as = \"#0\"\ncommands = [\"/usr/bin/rsync\"]", "can't be the name"),
        ("run_as = \"%sudo\"\ncommands = [\"/usr/bin/rsync\"]", "can't be the name"),
        ("run_as = \"gitlab-runner\"\ncommands = [\"/usr/bin/rsync\"]", "needs no sudo rule"),
        ("run_as = \"deploy-www\"\ncommands = []", "no commands"),
        ("run_as = \"deploy-www\"\ncommands = [\"rsync\"]", "absolute path"),
        ("run_as = \"deploy-www\"\ncommands = [\"/usr/bin/rsync *\"]", "pattern"),
        ("run_as = \"deploy-www\"\ncommands = [\"/usr/bin/rsync ^a$\"]", "regular expressions"),
        ("run_as = \"deploy-www\"\ncommands = [\"/usr/bin/rsync 'a b'\"]", "quotes"),
        ("run_as = \"deploy-www\"\ncommands = [\"/usr/bin/rsync a\\\\ b\"]", "backslash"),
        ("run_as = \"deploy-www\"\ncommands = [\"/usr/bin/nothing\"]", "does not exist"),
        ("run_as = \"deploy-www\"\ncommand = [\"/usr/bin/rsync\"]", "did you mean `commands`"),
        ("run_as = \"other-group\"\ncommands = [\"/usr/bin/rsync\"]", "the rule would give jobs both"),
    ] {
        let tree = tree(&format!("[[sudoers.rule]]\n{rule}"))
            .account("deploy-www", 997, "/srv/deploy")
            .file("etc/group", "root:x:0:\nother-group:x:4242:\n");
        let passwd = tree.text("etc/passwd");
        tree.put("etc/passwd", passwd + "toor-not:x:0:0::/:/bin/sh\nother-group:x:996:996::/:/bin/sh\n");
        let before = tree.stamps();
        run(&tree, "apply").exit(2).says(code);
        support::assert_unchanged(&before, &tree.stamps());
    }
}

#[test]
fn a_section_without_rules_takes_our_file_away_and_no_other() {
    if !have(&["visudo"]) {
        return;
    }
    let tree = tree("[sudoers]\ncommands = [\"/usr/bin/rsync\"]");
    run(&tree, "apply").ok();
    tree.put("etc/test.toml", profile("[sudoers]\ncommands = []"));
    run(&tree, "plan").ok().says("- gitlab-runner ALL");
    run(&tree, "apply").ok();
    assert!(!tree.exists("etc/sudoers.d/gitlab-runner"));
    let before = tree.stamps();
    run(&tree, "apply").ok();
    support::assert_unchanged(&before, &tree.stamps());
    let tree = tree.file_mode("etc/sudoers.d/gitlab-runner", "gitlab-runner ALL=(ALL) ALL\n", 0o440);
    run(&tree, "apply").exit(2).says("written by somebody else").says("--adopt");
}

#[test]
fn jobs_run_as_the_other_account_and_as_nobody_else() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync", "su"]) {
        return;
    }
    let host = host
        .account(ACCOUNT, 2001, "/home/gitlab-runner")
        .account("deploy-www", 2002, "/srv/www")
        .file("/etc/runner-prep/profiles/site.toml", profile(AS_WWW))
        .start();
    host.prep(&["apply", "--profile", "site"]).ok();
    host.as_account(ACCOUNT, "sudo -n -u deploy-www rsync --version").ok();
    host.as_account(ACCOUNT, "echo hello > f; sudo -n -u deploy-www rsync f /srv/www/f").ok();
    assert_eq!(host.sh("stat -c %U:%G /srv/www/f").ok().stdout, "deploy-www:deploy-www\n");
    for script in [
        "sudo -n rsync --version",
        "sudo -n -u root rsync --version",
        "sudo -n -u deploy-www id",
        "sudo -n -u deploy-www rsync /etc/shadow /tmp/s",
        "sudo -n -u deploy-www -g root rsync --version",
    ] {
        assert_ne!(host.as_account(ACCOUNT, script).status, 0, "{script}");
    }
}

/// A host with the simple rule in its profile and the account.
fn host() -> Option<Host> {
    let host = Host::or_skip()?;
    if !have(&["sudo", "visudo", "rsync", "su"]) {
        return None;
    }
    let profile = profile("[sudoers]\ncommands = [\"/usr/bin/rsync\"]");
    let host = host.account(ACCOUNT, 2001, "/home/gitlab-runner");
    Some(host.file("/etc/runner-prep/profiles/site.toml", profile).start())
}

const FILE: &str = "/etc/sudoers.d/gitlab-runner";

#[test]
fn a_file_that_visudo_has_open_is_left_alone() {
    let Some(host) = host() else { return };
    let old = "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/id\n";
    std::fs::write(host.path(FILE), old).unwrap();
    host.sh("chmod 0440 /etc/sudoers.d/gitlab-runner").ok();
    // visudo of sudo: its editor waits until it is told to end.
    host.sh(
        "printf '#!/bin/sh\\ntouch /run/edits; while [ -e /run/edits ]; do sleep 0.02; done\\n' > /run/editor
        chmod 0755 /run/editor
        (EDITOR=/run/editor visudo -f /etc/sudoers.d/gitlab-runner) >/dev/null 2>&1 &
        for i in $(seq 300); do test -e /run/edits && break; sleep 0.02; done; test -e /run/edits",
    )
    .ok();
    let before = host.stamps();
    host.prep(&["apply", "--profile", "site"]).exit(2).says("in visudo").says("wait until they are done");
    let of_file = |stamps: &[String]| {
        stamps.iter().find(|line| line.contains(" etc/sudoers.d/gitlab-runner ")).cloned()
    };
    assert_eq!(of_file(&before), of_file(&host.stamps()));
    host.sh("rm /run/edits; for i in $(seq 300); do ps -C visudo -o stat= | grep -q '^[^Z]' || break; sleep 0.02; done")
        .ok();
    // visudo of sudo-rs: flock(2).
    host.sh("flock -n /etc/sudoers.d/gitlab-runner -c 'touch /run/held; while [ -e /run/held ]; do sleep 0.02; done' &
        for i in $(seq 300); do test -e /run/held && break; sleep 0.02; done; test -e /run/held")
    .ok();
    host.prep(&["apply", "--profile", "site"]).exit(2).says("in visudo");
    assert_eq!(host.text(FILE), old);
    host.sh("rm /run/held; for i in $(seq 300); do flock -n /etc/sudoers.d/gitlab-runner true && break; sleep 0.02; done").ok();
    host.prep(&["apply", "--profile", "site"]).ok();
    assert!(host.text(FILE).ends_with("NOPASSWD: /usr/bin/rsync\n"));
}

#[test]
fn a_later_rule_that_asks_for_a_password_is_named() {
    let Some(host) = host() else { return };
    std::fs::write(host.path("/etc/sudoers.d/zz-all"), "gitlab-runner ALL=(ALL) ALL\n").unwrap();
    host.sh("chmod 0440 /etc/sudoers.d/zz-all").ok();
    let run = host.prep(&["apply", "--profile", "site"]);
    run.exit(3)
        .says("asks gitlab-runner for a password")
        .says("/etc/sudoers.d/zz-all:1")
        .says("the last one counts");
    assert_ne!(host.as_account(ACCOUNT, "sudo -n rsync --version").status, 0);
    // The other way round there is nothing to warn of.
    host.sh("mv /etc/sudoers.d/zz-all /etc/sudoers.d/aa-all; rm /etc/sudoers.d/gitlab-runner").ok();
    host.prep(&["apply", "--profile", "site"]).ok().says_not("asks gitlab-runner");
    host.as_account(ACCOUNT, "sudo -n rsync --version").ok();
    // A rule at the end of the main file.
    host.sh("rm /etc/sudoers.d/gitlab-runner; chmod u+w /etc/sudoers; echo 'gitlab-runner ALL=(ALL) ALL' >> /etc/sudoers; chmod u-w /etc/sudoers").ok();
    host.prep(&["apply", "--profile", "site"]).exit(3).says("asks gitlab-runner").says("/etc/sudoers:");
    // One that takes the right away waits for a person, too.
    host.sh("rm /etc/sudoers.d/gitlab-runner; sed -i '$d' /etc/sudoers; echo 'gitlab-runner ALL=(ALL) !/usr/bin/rsync' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz").ok();
    host.prep(&["apply", "--profile", "site"])
        .exit(3)
        .says("does not allow gitlab-runner")
        .says("/etc/sudoers.d/zz:1");
}

#[test]
fn what_is_no_file_in_the_directory_is_reported_before_anything_is_written() {
    let tree = tree("[sudoers]\ncommands = [\"/usr/bin/rsync\"]").fifo("etc/sudoers.d/pipe");
    let before = tree.stamps();
    run(&tree, "apply").exit(2).says("etc/sudoers.d/pipe is a FIFO").says("sudo-rs waits");
    support::assert_unchanged(&before, &tree.stamps());
    tree.remove("etc/sudoers.d/pipe");
    let tree = tree
        .dir("etc/sudoers.d/dir", 0o755)
        .link("etc/sudoers.d/gone", "/nowhere")
        .fifo("etc/sudoers.d/pipe.off");
    run(&tree, "plan")
        .ok()
        .says("dir is a directory")
        .says("gone is a link that leads nowhere")
        .says_not("pipe");
}

fn word() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._/@%+,:=-]{1,20}"
}

fn command() -> impl Strategy<Value = String> {
    let path = "(/[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,8}){1,4}";
    (path, proptest::collection::vec(word(), 0..5))
        .prop_map(|(path, words)| words.iter().fold(path, |line, word| format!("{line} {word}")))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_-]{0,30}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_is_accepted_and_read_back_as_it_was_meant(
        account in name(),
        run_as in proptest::option::of(name()),
        lines in proptest::collection::vec(command(), 1..5),
    ) {
        let (Some(visudo), Some(cvtsudoers)) = (support::tool("visudo"), support::tool("cvtsudoers")) else {
            support::skip("not installed: visudo or cvtsudoers");
            return Ok(());
        };
        let commands: Vec<CommandLine> =
            lines.iter().map(|line| CommandLine::try_from(line.clone()).unwrap()).collect();
        let run_as = run_as.as_deref().map_or(RunAs::Anyone, RunAs::Account);
        let rule = Rule { account: &account, run_as, commands: &commands };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rule");
        std::fs::write(&file, format!("{rule}\n")).unwrap();
        let call = |tool: &Path, arguments: &[&str]| run_limited(Command::new(tool).args(arguments).arg(&file));
        let checked = call(&visudo, &["-c", "-f"]);
        prop_assert!(checked.status == 0, "{rule}: {checked}");
        let read = call(&cvtsudoers, &["-f", "json"]);
        let specs = &read.json()["User_Specs"];
        prop_assert_eq!(specs.as_array().map(Vec::len), Some(1));
        prop_assert_eq!(&specs[0]["User_List"], &serde_json::json!([{ "username": account }]));
        prop_assert_eq!(&specs[0]["Host_List"], &serde_json::json!([{ "hostname": "ALL" }]));
        let spec = &specs[0]["Cmnd_Specs"][0];
        let (user, group) = match run_as {
            RunAs::Anyone => (serde_json::json!([{ "username": "ALL" }]), serde_json::Value::Null),
            RunAs::Account(name) => {
                (serde_json::json!([{ "username": name }]), serde_json::json!([{ "usergroup": name }]))
            }
        };
        prop_assert_eq!(&spec["runasusers"], &user);
        prop_assert_eq!(&spec["runasgroups"], &group);
        prop_assert_eq!(&spec["Options"], &serde_json::json!([{ "authenticate": false }]));
        let found: Vec<&str> =
            spec["Commands"].as_array().unwrap().iter().filter_map(|c| c["command"].as_str()).collect();
        prop_assert_eq!(found, lines.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Whatever the text, either it is refused or it is one line of plain characters.
    #[test]
    fn nothing_else_gets_through(text in "\\PC{0,40}|/[ -~\\n\\t]{0,40}") {
        if let Ok(command) = CommandLine::try_from(text.clone()) {
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._/@%+-,:=".contains(&b)), "{text:?}");
            prop_assert_eq!(command.words().join(" "), text);
        }
    }
}

/// As a copy of a system has it that kept no special modes: no rule helps, and each command says so.
#[test]
fn a_sudo_that_can_not_become_root_waits_for_a_person() {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    tree.run(&["apply", "--profile", "shell", "--allow-pending"]).ok();
    tree.put("/usr/bin/sudo", "#!/bin/sh\n");
    for (mode, code) in [(0o755, 3), (0o4755, 0)] {
        tree.chmod("/usr/bin/sudo", mode);
        for command in ["apply", "check"] {
            let run = tree.run(&[command, "--profile", "shell", "--only", "sudoers"]);
            assert_eq!(run.exit(code).contains("is not a setuid program of root's"), code == 3, "{run}");
        }
    }
}
