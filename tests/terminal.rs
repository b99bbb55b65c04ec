//! What a person at a terminal sees and a log does not.

#![allow(clippy::disallowed_methods, reason = "the test plays another program that has a file open")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod patients;
mod support;

use std::fs::File;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use patients::Do::{Edit, Put};
use patients::{Fault, infect};
use support::{Run, Tree, fixture, have, run_at_terminal};

const SLOW: &str = "summary = \"a key\"\n[ssh_key]\ntype = \"rsa\"\nbits = 3072\ncomment = \"a\"\n";

/// The widths of terminals as people have them, the widest last.
const WIDTHS: [u16; 5] = [40, 60, 80, 100, 120];

#[test]
fn something_moves_on_a_terminal_while_a_key_is_made_and_nowhere_else() {
    if !have(&["script", "stty"]) {
        return;
    }
    let tree = || Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file("slow.toml", SLOW);
    let arguments = ["apply", "--profile", "./slow.toml"];
    let at_terminal =
        |tree: &Tree, more: &[&str]| run_at_terminal(80, tree.command(&arguments).args(more), "");

    let run = at_terminal(&tree(), &[]);
    run.ok().says("\r| making a key ").says("\r\u{1b}[K").says("change");
    at_terminal(&tree(), &["--quiet"]).ok().says_not("making");
    // What is made at once shows nothing, and neither does a plan, which makes no key.
    let quick = tree();
    quick.put("slow.toml", SLOW.replace("rsa", "ed25519").replace("bits = 3072\n", ""));
    at_terminal(&quick, &[]).ok().says_not("making");
    at_terminal(&tree(), &["--dry-run"]).ok().says_not("making");

    tree().run(&arguments).ok().says_not("making").says_not("\r");
}

/// Run something while somebody else holds what it needs, and lets go after more than a second.
fn while_held<H: Send>(held: H, run: impl FnOnce() -> Run) -> Run {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(1500));
            drop(held);
        });
        run()
    })
}

#[test]
fn a_person_at_a_terminal_is_told_what_is_waited_for_and_nobody_else() {
    if !have(&["script", "stty"]) {
        return;
    }
    let tree = || {
        Tree::new()
            .account("gitlab-runner", 998, "/home/gitlab-runner")
            .config_toml(fixture("config-docker-runner.toml"))
            .dir("var/lib/runner-prep", 0o700)
            .file_mode("var/lib/runner-prep/lock", "", 0o600)
    };
    let lock = |tree: &Tree| {
        let file = File::options().write(true).open(tree.path("var/lib/runner-prep/lock")).unwrap();
        Flock::lock(file, FlockArg::LockExclusive).unwrap()
    };
    let open =
        |tree: &Tree| File::options().append(true).open(tree.path("etc/gitlab-runner/config.toml")).unwrap();
    let arguments = ["apply", "--profile", "dind", "--only", "config"];

    let host = tree();
    let run = while_held(lock(&host), || run_at_terminal(80, &host.command(&arguments), ""));
    let what = "waiting for another runner-prep to end: /var/lib/runner-prep/lock ";
    run.ok()
        .says(&format!("\r| {what}"))
        .says(&format!("\r/ {what}"))
        .says("\r\u{1b}[K")
        .says("1 change made");

    let host = tree();
    let run = while_held(open(&host), || run_at_terminal(80, &host.command(&arguments), ""));
    let what = "\r| waiting for the program that has /etc/gitlab-runner/config.toml open \r";
    run.ok().says(what).says("\r\u{1b}[K").says("1 change made");
    // A line that is longer than the terminal would stay.
    let host = tree();
    let run = while_held(lock(&host), || run_at_terminal(30, &host.command(&arguments), ""));
    run.ok().says("\r| waiting for another runner \r");
    // One that can't take a line back gets it once.
    let host = tree();
    let mut command = host.command(&arguments);
    let run = while_held(lock(&host), || run_at_terminal(80, command.env("TERM", "dumb"), ""));
    assert_eq!(run.ok().stdout.matches("waiting for").count(), 1, "{run}");
    run.says_not("\u{1b}");

    let host = tree();
    let mut command = host.command(&arguments);
    while_held(lock(&host), || run_at_terminal(80, command.arg("-q"), "")).ok().says_not("waiting");
    let host = tree();
    while_held(lock(&host), || host.run(&arguments)).ok().says_not("waiting");
    // What is there at once is not a wait.
    let host = tree();
    run_at_terminal(80, &host.command(&arguments), "").ok().says_not("waiting");
}

/// What stands on the screen, without colours.
fn screen(run: &Run) -> Vec<String> {
    let mut parts = run.stdout.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    text.extend(parts.filter_map(|part| part.split_once('m')).map(|(_, rest)| rest));
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

/// True for what is for copying or has its own shape, and for what has no place to be broken at.
fn may_be_wide(line: &str, columns: usize) -> bool {
    const COMMANDS: [&str; 14] = [
        "chroot ",
        "apt-get ",
        "runner-prep ",
        "sudo ",
        "install ",
        "ls ",
        "mv ",
        "chmod ",
        "chown ",
        "echo ",
        "CI_SERVER_TOKEN=",
        "--url ",
        "--template-config ",
        "ssh-ed25519 ",
    ];
    let text = line.trim_start();
    // A difference, four columns in.
    let is_difference =
        line.starts_with("    ") && text.starts_with(['+', '-', '~']) || text.starts_with("new p");
    // A path behind its kind or another word, a fingerprint.
    let longest = text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
    is_difference
        || longest + 15 > columns
        || text.starts_with("Usage: ")
        || COMMANDS.iter().any(|command| text.starts_with(command))
}

#[test]
fn lines_fit_every_terminal_and_no_word_is_torn() {
    if !have(&["script", "stty", "visudo"]) {
        return;
    }
    let packaged = || {
        Tree::new()
            .account("gitlab-runner", 998, "/home/gitlab-runner")
            .config_toml(fixture("config-docker-runner.toml"))
            .file("etc/runner-prep/profiles/wrong.toml", "summary = \"x\"\n[git]\nnaem = \"x\"\n")
    };
    let bare = || Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    let sick = || {
        let tree = patients::tree();
        let toml = "/etc/gitlab-runner/config.toml";
        let steps: &'static [patients::Do] = &[
            Edit("/etc/gitlab-runner/config.toml", "privileged = true", "privileged = false"),
            Edit("/etc/gitlab-runner/config.toml", "concurrent = 2", "concurrent = 0"),
            Put("/home/gitlab-runner/.bash_logout", "date\n/usr/bin/clear\n"),
        ];
        infect(&tree, &Fault { name: "several", steps, status: "", code: "", args: &[] });
        tree.chmod(toml, 0o644);
        tree
    };
    let cases: &[(&dyn Fn() -> Tree, &[&str])] = &[
        (&packaged, &["plan", "--profile", "dind"]),
        (&packaged, &["apply", "--profile", "dind", "-v"]),
        (&packaged, &["check", "--profile", "shell"]),
        (&packaged, &["plan", "--profile", "wrong"]),
        (&packaged, &["plan", "--profile", "dnid"]),
        (&packaged, &["profile", "list"]),
        (&bare, &["apply", "--profile", "dind"]),
        (&patients::tree, &["check", "--profile", "dind", "-v"]),
        (&patients::tree, &["doctor", "--profile", "dind", "-v"]),
        (&sick, &["doctor", "--profile", "dind"]),
        (&sick, &["plan", "--profile", "dind"]),
        (&packaged, &["-h"]),
        (&packaged, &["apply", "-h"]),
        (&packaged, &["undo", "--help"]),
    ];
    let mut wrong = Vec::new();
    for (tree, arguments) in cases {
        let shown = arguments.join(" ");
        let mut widest: Vec<String> = Vec::new();
        for columns in WIDTHS.into_iter().rev() {
            let tree = tree();
            let lines = screen(&run_at_terminal(columns, &tree.command(arguments), ""));
            let wide = |line: &&String| {
                line.chars().count() > usize::from(columns) && !may_be_wide(line, columns.into())
            };
            wrong.extend(lines.iter().filter(wide).map(|line| format!("{shown}, {columns} columns: {line}")));
            // The same words, whatever the width. Where a reason has a line of its own, no colon stands before it.
            let words: Vec<String> = lines
                .iter()
                .flat_map(|line| line.split_whitespace())
                .map(|word| word.trim_end_matches(':').to_owned())
                .filter(|word| !word.contains("AAAA") && !word.contains("SHA256") && !word.contains("/tree-"))
                .collect();
            assert!(words.len() > 8, "{shown}: {lines:?}");
            if columns == 120 {
                widest = words;
            } else if words != widest {
                wrong.push(format!("{shown}: other words with {columns} columns\n{words:?}\n{widest:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_terminal_that_does_not_know_its_width_has_80_columns() {
    if !have(&["script", "stty"]) {
        return;
    }
    let tree = patients::tree();
    let lines =
        |columns| screen(&run_at_terminal(columns, &tree.command(&["check", "-p", "dind", "-v"]), ""));
    assert_eq!(lines(0), lines(80));
}

#[test]
fn verbose_says_what_was_looked_at_and_quiet_says_problems_alone() {
    if !have(&["visudo"]) {
        return;
    }
    let tree = patients::tree();
    let run = tree.run(&["check", "--profile", "dind", "-v"]);
    for kind in ["account", "ssh_key", "known_hosts", "git", "sudoers", "config"] {
        assert!(run.ok().stdout.contains(&format!("✓ {kind:<11} ")), "{kind}\n{run}");
    }
    tree.run(&["check", "--profile", "dind"]).ok().says_not("✓");
    assert_eq!(tree.run(&["check", "--profile", "dind", "-q"]).ok().stdout, "");

    // What is wrong is not among it; after it was mended, it is.
    tree.put("/etc/gitlab-runner/config.toml", fixture("config-docker-runner.toml"));
    tree.run(&["plan", "--profile", "dind", "-v"]).ok().says("✓ sudoers").says_not("✓ config");
    tree.run(&["apply", "--profile", "dind", "-v"]).ok().says("~ config").says("✓ config");
    // With differences, and without anything more.
    tree.run(&["plan", "--profile", "dind"]).ok().says_not("✓");
    tree.put("/etc/gitlab-runner/config.toml", "");
    let run = tree.run(&["check", "--profile", "dind", "-q"]);
    assert_eq!(run.exit(2).stdout, "");
    run.says("error: ");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    if !have(&["script", "stty"]) {
        return;
    }
    let tree = patients::tree();
    let colours = |name: &str, value: &str, color: &str| {
        let mut command = tree.command(&["check", "--profile", "dind", "--color", color]);
        run_at_terminal(80, command.env(name, value), "").contains("\u{1b}[")
    };
    assert!(colours("TERM", "xterm", "auto"));
    assert!(colours("NO_COLOR", "", "auto"), "an empty one says nothing: https://no-color.org");
    assert!(!colours("NO_COLOR", "1", "auto"));
    assert!(!colours("TERM", "dumb", "auto"));
    assert!(!colours("TERM", "xterm", "never"));
    assert!(colours("NO_COLOR", "1", "always"));
    tree.run(&["check", "--profile", "dind"]).ok().says_not("\u{1b}");
}
