//! Commands that no rule may hold, and policies of sudo that no rule can join.

use super::{DROP_IN, Expected, host, refused, with_profile};
use crate::support::{self, assert_unchanged, is_root};

#[test]
fn commands_that_no_rule_may_hold() {
    let cases: &[(&str, &str, &str)] = &[
        ("relative", "rsync", "it must be an absolute path"),
        ("empty", "", "it must be an absolute path"),
        ("newline", "/usr/bin/rsync\\nALL ALL=(ALL) ALL", "'\\n' is not allowed"),
        ("comma", "/usr/bin/rsync,/bin/sh", "',' is not allowed"),
        ("star", "/usr/bin/*", "'*' is not allowed"),
        ("equals sign", "/usr/bin/x=y", "'=' is not allowed"),
        ("colon", "/usr/bin/rsync:ALL", "':' is not allowed"),
        ("space", "/usr/bin/rsync -a", "' ' is not allowed"),
        ("tab", "/usr/bin/rsync\\t-a", "'\\t' is not allowed"),
        ("backslash", "/usr/bin/rsync\\\\", "'\\\\' is not allowed"),
        ("comment", "/usr/bin/rsync#", "'#' is not allowed"),
        ("negation", "/usr/bin/!rsync", "'!' is not allowed"),
        ("regular expression", "^/usr/bin/rsync$", "it must be an absolute path"),
        ("NUL", "/usr/bin/rsync\\u0000", "'\\0' is not allowed"),
        ("other letters", "/usr/bin/rsÿnc", "'ÿ' is not allowed"),
        ("directory", "/usr/bin/", "it must name one file"),
        ("climbing", "/usr/bin/../bin/rsync", "it must name one file"),
        ("doubled", "/usr//bin/rsync", "it must name one file"),
    ];
    for (name, command, why) in cases {
        let tree = with_profile(&format!("[sudoers]\ncommands = [\"{command}\"]\n"));
        refused(
            name,
            &tree,
            &["--profile", "mine"],
            ("profile-invalid", &["mine.toml: line 2, column 12: ", why]),
        );
    }
}

#[test]
fn commands_that_are_not_what_a_rule_means() {
    let profile = |command: &str| with_profile(&format!("[sudoers]\ncommands = [\"{command}\"]\n"));
    let arguments = ["--profile", "mine"];
    let missing: Expected<'_> =
        ("command-missing", &["/usr/bin/rsynk does not exist", "correct it in sudoers.commands"]);
    refused("missing", &profile("/usr/bin/rsynk"), &arguments, missing);
    let is_directory: Expected<'_> = ("command-kind", &["/usr/bin", "it is a directory", "sudoers.commands"]);
    refused("directory", &profile("/usr/bin"), &arguments, is_directory);
    let no_program: Expected<'_> = ("command-kind", &["/usr/bin/rsync is not a program", "0644"]);
    refused(
        "not executable",
        &profile("/usr/bin/rsync").file_mode("usr/bin/rsync", "", 0o644),
        &arguments,
        no_program,
    );
    let writable: Expected<'_> =
        ("command-untrusted", &["/usr/bin/rsync can be changed by others than root", "has mode 0757"]);
    refused(
        "writable",
        &profile("/usr/bin/rsync").file_mode("usr/bin/rsync", "", 0o757),
        &arguments,
        writable,
    );
    let open: Expected<'_> = ("command-untrusted", &["/usr/bin/rsync", "/usr/bin has mode 0777"]);
    refused("in an open directory", &profile("/usr/bin/rsync").dir("usr/bin", 0o777), &arguments, open);
    let elsewhere: Expected<'_> = (
        "command-not-in-secure-path",
        &["`sudo rsync` does not find /opt/rsync", "secure_path is /usr/local/sbin"],
    );
    refused(
        "elsewhere",
        &profile("/opt/rsync").file_mode("opt/rsync", "", 0o755).file_mode("usr/bin/rsync", "", 0o644),
        &arguments,
        elsewhere,
    );
    let unlisted: Expected<'_> =
        ("command-not-in-secure-path", &["`sudo rsync` does not find /usr/bin/rsync", "/usr/sbin:/opt/x;"]);
    let include = "@includedir /etc/sudoers.d\n";
    let late = "Defaults env_reset, secure_path=\"/usr/sbin:/opt/x\"\n";
    for (name, tree) in [
        ("not the first setting", with_sudoers(&format!("{late}{include}"))),
        (
            "in another file",
            with_sudoers(&format!("Defaults secure_path=/usr/bin\n{include}")).file_mode(
                "etc/sudoers.d/path",
                late,
                0o440,
            ),
        ),
        (
            "of the account",
            with_sudoers(&format!("{include}Defaults:gitlab-runner secure_path=/usr/sbin:/opt/x\n")),
        ),
    ] {
        refused(name, &tree, &["--profile", "shell"], unlisted);
    }
    let shadowed: Expected<'_> =
        ("command-shadowed", &["/usr/local/bin/rsync before /usr/bin/rsync", "sudoers.commands"]);
    refused(
        "shadowed",
        &profile("/usr/bin/rsync").file_mode("usr/local/bin/rsync", "x", 0o755),
        &arguments,
        shadowed,
    );
    if is_root() {
        let owner: Expected<'_> = ("command-untrusted", &["/usr/bin/rsync belongs to uid 998"]);
        refused("of the account", &profile("/usr/bin/rsync").own("usr/bin/rsync", 998), &arguments, owner);
    }
}

/// A host whose main file of sudo says this.
fn with_sudoers(text: &str) -> crate::support::Tree {
    let tree = host();
    tree.remove("etc/sudoers");
    tree.file_mode("etc/sudoers", format!("root ALL=(ALL:ALL) ALL\n{text}"), 0o440)
}

#[test]
fn sudo_policies_that_no_rule_can_join() {
    let dind = ["--profile", "dind"];
    let foreign: Expected<'_> = (
        "sudoers-foreign",
        &[
            "/etc/sudoers.d/gitlab-runner was written by somebody else and says:",
            "gitlab-runner ALL=(ALL) NOPASSWD: ALL",
            "--adopt",
        ],
    );
    let text = "# by hand\ngitlab-runner ALL=(ALL) NOPASSWD: ALL\n";
    refused("written by somebody else", &host().file_mode(DROP_IN, text, 0o440), &dind, foreign);
    refused(
        "directory",
        &host().dir(DROP_IN, 0o750),
        &dind,
        ("sudoers-kind", &["gitlab-runner is a directory", "ls -l"]),
    );
    refused("FIFO", &host().fifo(DROP_IN), &dind, ("sudoers-special-file", &["gitlab-runner is a FIFO"]));
    refused(
        "link",
        &host().link(DROP_IN, "/etc/passwd"),
        &dind,
        ("sudoers-kind", &["gitlab-runner is a symbolic link"]),
    );
    let tree = host();
    tree.remove("etc/sudoers.d");
    refused(
        "no directory",
        &tree,
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d does not exist", "install -d -m 0750"]),
    );
    let tree = host().dir("srv/sudoers.d", 0o750);
    tree.remove("etc/sudoers.d");
    let tree = tree.link("etc/sudoers.d", "/srv/sudoers.d");
    refused(
        "directory is a link",
        &tree,
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d is a symbolic link", "cp -aT /srv/sudoers.d"]),
    );
    refused(
        "open directory",
        &host().dir("etc/sudoers.d", 0o777),
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d", "mode 0777", "chmod go-w"]),
    );
    let tree = host();
    tree.remove("etc/sudoers");
    let tree = tree.file_mode("etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440);
    refused(
        "not included",
        &tree,
        &dind,
        (
            "sudoers-not-included",
            &["/etc/sudoers does not include /etc/sudoers.d", "@includedir /etc/sudoers.d"],
        ),
    );
}

#[test]
fn a_policy_that_somebody_else_broke() {
    if !support::have(&["visudo"]) {
        return;
    }
    let broken: Expected<'_> = (
        "policy-broken",
        &["sudo's policy is broken already, not by runner-prep", "/etc/sudoers.d/zz-vendor", "visudo -c"],
    );
    let tree = host().file_mode("etc/sudoers.d/zz-vendor", "this is ( no rule\n", 0o440);
    refused("third party's file", &tree, &["--profile", "dind"], broken);
    assert!(!tree.exists(DROP_IN));
    // What it includes is the tree's, also for whoever only asks about that file.
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "CANARY of the machine (\n").unwrap();
    let text = format!("this is ( no rule\n@include {}\n", secret.display());
    let tree = host().file_mode("etc/sudoers.d/zz-vendor", text, 0o440);
    for command in ["plan", "check", "apply"] {
        let run = tree.run(&[command, "--profile", "dind"]);
        run.exit(2).says("/etc/sudoers.d/zz-vendor:1").says_not("CANARY").says_not("secret");
    }
    // As much as a file may hold, of which visudo complains line by line: neither waits for the other.
    let tree = host().file_mode("etc/sudoers.d/zz-vendor", "this is ( no rule\n".repeat(50_000), 0o440);
    tree.run(&["plan", "--profile", "dind"]).exit(2).says("/etc/sudoers.d/zz-vendor:1");
    // Only visudo sees that; it is asked before anything is written.
    let tree = host().file_mode("etc/sudoers.d/zz-vendor", "root ALL=(ALL) ALL ALL\n", 0o440);
    refused("third party's line", &tree, &["--profile", "dind"], broken);
    assert!(!tree.exists(DROP_IN));
    // A rule that is ours and right already stays, and nothing is said of others' files.
    let tree = host();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let tree = tree.file_mode("etc/sudoers.d/zz-vendor", "this is ( no rule\n", 0o440);
    let before = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_rule_that_clashes_with_the_policy() {
    if !support::have(&["visudo"]) {
        return;
    }
    // Read after ours, and of the same line: visudo has nothing against it, so it is not a clash.
    let tree = host().file_mode("etc/sudoers.d/zz", "gitlab-runner ALL=(ALL) ALL\n", 0o440);
    tree.run(&["apply", "--profile", "dind"]).ok();
}
