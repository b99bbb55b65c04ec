//! Arguments that are none, and names in them of what is not there.

use super::{Expected, check_text, host, refused, without_state};
use crate::support::{self, assert_unchanged, is_root, program, run_limited};

#[test]
fn names_that_are_none() {
    let cases: &[(&str, &[&str], Expected<'_>)] = &[
        (
            "near miss",
            &["--profile", "dnid"],
            ("profile-unknown", &["there is no profile dnid; did you mean dind?", "profile list"]),
        ),
        (
            "unknown",
            &["--profile", "kubernetes"],
            ("profile-unknown", &["there is no profile kubernetes", "profile list"]),
        ),
        (
            "climbing path",
            &["--profile", "/etc/../etc/shadow"],
            ("profile-unknown", &["/etc/../etc/shadow", "no `..` in it"]),
        ),
        ("climbing path to a profile", &["--profile", "a/../b.toml"], ("profile-unknown", &["a/../b.toml"])),
        ("climbing name", &["--profile", "../shell"], ("profile-unknown", &["../shell"])),
        ("no profile's name", &["--profile", "/etc/passwd"], ("profile-unknown", &["/etc/passwd", ".toml"])),
        (
            "no file",
            &["--profile", "./none.toml"],
            ("profile-unknown", &["there is no profile file ./none.toml"]),
        ),
        ("empty", &["--profile", ""], ("profile-unknown", &["\"\" can't be the name"])),
        (
            "capital letters",
            &["--profile", "Dind"],
            ("profile-unknown", &["\"Dind\" can't be the name", "lower-case"]),
        ),
        ("control characters", &["--profile", "di\u{1b}[2Jnd"], ("profile-unknown", &["can't be the name"])),
        (
            "unknown kind",
            &["--profile", "dind", "--only", "sudoer"],
            ("kind-unknown", &["\"sudoer\"", "did you mean sudoers?"]),
        ),
        (
            "unknown kind to skip",
            &["--profile", "dind", "--skip", "nothing"],
            ("kind-unknown", &["\"nothing\"", "the kinds are account"]),
        ),
        (
            "relative configuration",
            &["--profile", "dind", "--config", "config.toml"],
            ("config-path", &["config.toml is not an absolute path", "--config"]),
        ),
        (
            "unknown runner",
            &["--profile", "dind", "--runner", "docker-runer"],
            (
                "runner-unknown",
                &["no runner with the name or id \"docker-runer\"", "did you mean \"docker-runner\"?"],
            ),
        ),
        (
            "runner of another executor",
            &["--profile", "dind", "--runner", "shell-runner"],
            (
                "runner-executor",
                &["\"shell-runner\" has the executor \"shell\"", "[runners.docker]", "docker+machine"],
            ),
        ),
        (
            "nothing is left",
            &["--profile", "dind", "--only", "deploy"],
            ("nothing-chosen", &["leave nothing of the profile dind", "profile show dind"]),
        ),
        (
            "account with a newline",
            &["--profile", "dind", "--user", "a\nb"],
            ("account-name", &["can't be the name of the account"]),
        ),
        ("root", &["--profile", "dind", "--user", "root"], ("account-is-root", &["uid 0"])),
    ];
    let tree = host();
    for (name, arguments, expected) in cases {
        refused(name, &tree, arguments, *expected);
    }
}

#[test]
fn a_tree_that_is_none() {
    let tree = host();
    let mut run = support::run_limited(std::process::Command::new(support::program()).args([
        "apply",
        "--profile",
        "dind",
        "--root",
        "/nowhere/at/all",
    ]));
    check_text("no tree", &run, &["/nowhere/at/all"]);
    let file = tree.path("etc/passwd");
    run = support::run_limited(
        std::process::Command::new(support::program())
            .args(["apply", "--profile", "dind", "--root"])
            .arg(&file),
    );
    check_text("a file for a tree", &run, &[&file.display().to_string()]);
}

#[test]
fn arguments_that_are_none() {
    let tree = host();
    let before = tree.stamps();
    for arguments in [
        &["apply"][..],
        &["apply", "--profil", "dind"],
        &["aply", "--profile", "dind"],
        &["apply", "--profile", "dind", "--only", "sudoers", "--skip", "config"],
        &["apply", "--profile", "dind", "extra"],
        &["apply", "--profile"],
        &["apply", "--profile", "dind", "--color", "sometimes"],
        &[],
    ] {
        let run = tree.run(arguments);
        run.exit(2);
        assert!(run.stdout.is_empty(), "{run}");
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let document = tree.run(&arguments).exit(2).json();
        assert_eq!(document["failed"], true, "{document}");
        assert_eq!(document["warnings"][0]["code"], "usage");
        assert!(document["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{document}");
    }
    tree.run(&["aply"]).says("apply");
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_tree_that_its_owner_may_not_write() {
    if is_root() {
        return support::skipped("root may write everywhere");
    }
    let tree = host();
    for path in ["etc/gitlab-runner", "etc/sudoers.d", "home/gitlab-runner"] {
        let (mode, ..) = tree.metadata(path);
        tree.chmod(path, 0o500);
        let before = without_state(tree.listing());
        let run = tree.run(&["apply", "--profile", "dind"]);
        check_text(path, &run, &["no permission to write", path, "run as that user or as root"]);
        // What was staged before is gone again; only the directories it lay in know.
        assert_unchanged(&before, &without_state(tree.listing()));
        tree.chmod(path, mode);
    }
    tree.run(&["apply", "--profile", "dind"]).ok();
}

#[test]
fn wrong_arguments_are_told_whole_and_help_is_a_command_too() {
    let tree = host();
    let run = tree.run(&["plan", "--json"]);
    let said = run.exit(2).json()["msg"].as_str().map(str::to_owned);
    assert_eq!(said.as_deref(), Some("the following required arguments were not provided: --profile <NAME>"));
    for command in ["apply", "plan", "check", "template"] {
        let tree = host()
            .file("etc/runner-prep/profiles/ours.toml", "summary = \"Of our own\"\n[git]\nname = \"x\"\n");
        let run = tree.run(&[command]);
        let lines: Vec<&str> = run.exit(2).stderr.lines().collect();
        for (name, summary) in [("ours", "Of our own"), ("dind", "Docker-in-Docker")] {
            let is_row = |line: &&str| line.starts_with(&format!("{name} ")) && line.contains(summary);
            assert!(lines.iter().any(is_row), "{name}: {run}");
        }
        run.says("--profile dind");
        let run = tree.run(&[command, "--json"]);
        let repair = run.exit(2).json()["warnings"][0]["repair"].to_string();
        assert!(repair.contains("--profile dind") && repair.contains(", ours, "), "{run}");
    }
    let said = tree.run(&["aply", "--json"]).exit(2).json()["msg"].clone();
    assert_eq!(said, "unrecognized subcommand 'aply'; a similar subcommand exists: 'apply'");

    let said = |words: &[&str]| {
        let run = run_limited(std::process::Command::new(program()).args(words));
        run.ok().stdout.clone()
    };
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "apply"]), said(&["apply", "--help"]));
    assert_eq!(said(&["help", "profile", "show"]), said(&["profile", "show", "--help"]));
}
