//! Completions in the real shells: what a press of the key makes of a line, and that `config.toml` can't say anything to a
//! shell.

#![allow(clippy::disallowed_methods, reason = "the test lays out a place for shells")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::{Host, Tree, have, program, run_at_terminal, run_limited};

/// Runners whose names a shell would obey, one that can be completed only in part, and harmless ones.
const CONFIG: &str = r#"
[[runners]]
  name = "docker-runner"
  id = 1
  token = "glrt-CANARY-1"
  executor = "docker"
[[runners]]
  name = "a@b:c+d"
  id = 2
  token = "glrt-CANARY-2"
  executor = "shell"
[[runners]]
  name = "$(touch /tmp/gotcha)"
  id = 3
  token = "glrt-CANARY-3"
  executor = "`id`"
[[runners]]
  name = "two words\nwords"
  id = 4
  token = "glrt-CANARY-4"
[[runners]]
  name = "--adopt"
  id = 5
[[runners]]
  name = "twin"
  id = 6
[[runners]]
  name = "twin"
  id = 7
[[runners]]
  name = "\u001b[2J"
[[runners]]
  name = "8"
[[runners]]
  name = "of its own id"
  id = 8
"#;

fn tree() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(CONFIG)
        .file(
            "etc/runner-prep/profiles/ours.toml",
            "summary = \"of \\u001B[2J our own\"\n[git]\nname = \"x\"\n",
        )
        .file("conf-of-ours.toml", "")
}

/// What the program answers the scripts.
fn answer(tree: &Tree, words: &[&str]) -> String {
    let arguments: Vec<&str> =
        ["__complete", "--", "runner-prep", "--root", "."].iter().chain(words).copied().collect();
    let mut command = Command::new(program());
    command.args(arguments).env_clear().current_dir(tree.top());
    let run = tree.run_command(&mut command);
    assert_eq!(run.ok().stderr, "", "{run}");
    run.stdout
}

/// Lines without an end, and what a shell makes of them when the key is pressed.
const LINES: &[(&str, &str)] = &[
    ("runner-prep che", "runner-prep check"),
    ("runner-prep apply --prof", "runner-prep apply --profile"),
    ("runner-prep apply --profile dind-h", "runner-prep apply --profile dind-hardened"),
    ("runner-prep apply --profile=dind-h", "runner-prep apply --profile=dind-hardened"),
    ("runner-prep --root . plan -p shell,ou", "runner-prep --root . plan -p shell,ours"),
    ("runner-prep check --skip account,ssh", "runner-prep check --skip account,ssh_key"),
    ("runner-prep --root . doctor --runner doc", "runner-prep --root . doctor --runner docker-runner"),
    ("runner-prep --root . doctor --runner=a@b:", "runner-prep --root . doctor --runner=a@b:c+d"),
    ("runner-prep --root . doctor --runner a", "runner-prep --root . doctor --runner a@b:c+d"),
    ("runner-prep doctor --config ./conf-", "runner-prep doctor --config ./conf-of-ours.toml"),
    ("runner-prep plan -p ./conf-", "runner-prep plan -p ./conf-of-ours.toml"),
    ("runner-prep --root ./us", "runner-prep --root ./usr"),
    ("runner-prep completions z", "runner-prep completions zsh"),
    ("runner-prep profile show docker-s", "runner-prep profile show docker-socket"),
    ("runner-prep man profile-s", "runner-prep man profile-show"),
    // Nothing fits, and nothing is said.
    ("runner-prep nonsense --no", "runner-prep nonsense --no"),
];

/// Press the key at the end of each line, in a shell that reads the script first.
#[track_caller]
fn press(shell: &str, arguments: &[&str], prepare: &str) {
    if !have(&["script", "stty", shell]) {
        return;
    }
    let tree = tree();
    let bin = tree.path("opt/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let wrapper = bin.join("runner-prep");
    // A line that was completed wrongly must not do anything either.
    let text =
        format!("#!/bin/sh\n[ \"$1\" = __complete ] && exec {} \"$@\"\nexit 99\n", program().display());
    std::fs::write(&wrapper, text).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = tree.path("script");
    std::fs::write(&script, run_limited(Command::new(program()).args(["completions", shell])).stdout)
        .unwrap();

    // To its begin, around it, and to its end: the line is shown as it is then, and not carried out.
    let press = |(line, _): &(&str, &str)| [line, "\t\u{1}echo \"GOT:\u{5}\"\n"].concat();
    let typed = format!("{prepare}source ./script\n{}exit\n", LINES.iter().map(press).collect::<String>());
    let mut command = Command::new(shell);
    command.args(arguments).current_dir(tree.top());
    command.env("PATH", format!("{}:{}", bin.display(), support::PATH)).env("HOME", tree.top());
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    let run = run_at_terminal(200, &command, &typed);
    let mut got = Vec::new();
    for (at, found) in run.stdout.match_indices("GOT:") {
        if !run.stdout[..at].ends_with('"') {
            let rest = &run.stdout[at + found.len()..];
            // Zsh takes a final slash away when the cursor leaves the word.
            got.push(rest.split(['\r', '\n']).next().unwrap_or_default().trim_end().trim_end_matches('/'));
        }
    }
    let expected: Vec<&str> = LINES.iter().map(|(_, line)| *line).collect();
    assert_eq!(got, expected, "{shell}\n{run}");
}

#[test]
fn bash_completes() {
    press("bash", &["--norc", "--noprofile", "-i"], "");
}

#[test]
fn zsh_completes() {
    press("zsh", &["-f", "-i"], "autoload -Uz compinit; compinit -u -D\n");
}

#[test]
fn fish_completes() {
    press("fish", &["--no-config", "--interactive"], "");
}

#[test]
fn runners_are_given_by_words_that_mean_nothing_to_a_shell() {
    let tree = tree();
    assert_eq!(
        answer(&tree, &["apply", "--runner", ""]),
        "words\ndocker-runner\tdocker\na@b:c+d\tshell\n3\t\n4\t\n5\t\n6\t\n7\t\n"
    );
    assert_eq!(answer(&tree, &["apply", "--runner", "doc"]), "words\ndocker-runner\tdocker\n");
    // Whatever the file is, there is an answer, and no complaint.
    for text in ["", "runners = 1\n", "not toml", "[[runners]]\nname = 1\n"] {
        tree.put("etc/gitlab-runner/config.toml", text);
        assert_eq!(answer(&tree, &["apply", "--runner", ""]), "words\n", "{text:?}");
    }
    tree.remove("etc/gitlab-runner/config.toml");
    assert_eq!(answer(&tree, &["apply", "--runner", ""]), "words\n");
    tree.put("etc/other.toml", CONFIG);
    assert!(
        answer(&tree, &["apply", "--config", "/etc/other.toml", "--runner", "d"]).contains("docker-runner")
    );
}

#[test]
fn profiles_are_given_with_what_they_are_for() {
    let tree = tree();
    let all = answer(&tree, &["apply", "--profile", ""]);
    assert!(all.contains("\ndind\tDocker-in-Docker with TLS"), "{all}");
    assert!(all.contains("\nours\tof \\u{1b}[2J our own\n"), "{all}");
    assert_eq!(all.lines().count(), runner_prep::profile::BUILT_IN.len() + 2, "{all}");
    // One that can't be read takes nothing from the others.
    tree.put("etc/runner-prep/profiles/broken.toml", "[");
    tree.put("etc/runner-prep/profiles/Not A Name.toml", "");
    let all = answer(&tree, &["apply", "--profile", ""]);
    assert!(
        all.contains("\nours\t\n") && all.contains("\nbroken\t\n") && all.contains("\ndind\t\n"),
        "{all}"
    );
    assert!(!all.contains("Not"), "{all}");
}

#[test]
fn no_line_is_an_error() {
    let tree = tree();
    for words in [
        &[][..],
        &[""],
        &["--"],
        &["--root"],
        &["--root", "/nowhere", "apply", "--runner", ""],
        &["apply", "--", "--profile", ""],
        &["apply", "--profile=,,,"],
        &["\u{1b}[2J", "-", "--=", "-=", "---"],
        &["apply", "--json", "--json", "--color", "x", "-pvq", "-"],
    ] {
        let answer = answer(&tree, words);
        assert!(
            answer.starts_with("words\n") || answer == "files\n" || answer == "directories\n",
            "{words:?}: {answer}"
        );
        assert!(!answer.contains('\u{1b}'), "{words:?}");
    }
    let strange = OsString::from_vec(vec![b'a', 0xff]);
    let mut command = Command::new(program());
    let run = run_limited(command.args(["__complete", "--", "runner-prep"]).arg(&strange).arg(""));
    assert!(run.ok().stderr.is_empty() && run.stdout.starts_with("words\n"), "{run}");
}

#[test]
fn who_may_not_read_the_configuration_gets_no_names_and_no_complaint() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["su"]) {
        return;
    }
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(CONFIG).start();
    let ask = "/opt/under-test/runner-prep __complete -- runner-prep doctor --runner ''";
    assert!(host.sh(ask).ok().stdout.contains("docker-runner"));
    let run = host.as_account("gitlab-runner", ask);
    assert_eq!((run.ok().stdout.as_str(), run.stderr.as_str()), ("words\n", ""));
    let run = host
        .as_account("gitlab-runner", "/opt/under-test/runner-prep __complete -- runner-prep plan -p dind-h");
    assert!(run.ok().stdout.contains("dind-hardened"), "{run}");
}
