//! Started by an enemy or a careless caller: without standard streams, with a full disk behind them, in a hostile
//! environment, with odd limits, masks and signals, in a directory that is gone, with arguments that are no text.
//!
//! Whatever the start, the same tree becomes the same tree, or the program says why not and changes nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "the test starts the program in odd ways and reads what it left"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a scene that can't be laid out stops the test; it prints its figures"
)]

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{PATH, Run, Tree, assert_unchanged, fixture, have, is_root, program, run_limited, skip};

const APPLY: [&str; 3] = ["apply", "--profile", "dind"];

fn scene() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
        .dir("var/lib/runner-prep", 0o700)
}

fn path_of(line: &str) -> &str {
    line.splitn(6, ' ').nth(5).unwrap_or_default()
}

/// Everything but contents, which hold keys and times: mode, owner, kind and path.
fn shape(tree: &Tree) -> Vec<String> {
    let line = |line: String| {
        let words: Vec<&str> = line.split(' ').take(3).collect();
        let parts = path_of(&line).split('/');
        let path: Vec<&str> = parts.map(|part| if part.starts_with("20") { "ID" } else { part }).collect();
        format!("{} - - {}", words.join(" "), path.join("/"))
    };
    tree.listing().into_iter().map(line).collect()
}

/// No file has a word of a report in it: a stream that was closed at the start was not taken by a file.
#[track_caller]
fn assert_no_report_in_a_file(name: &str, tree: &Tree) {
    for line in tree.listing().iter().filter(|line| line.contains(" f ")) {
        let path = path_of(line);
        let text = String::from_utf8_lossy(&tree.read(path)).into_owned();
        for word in ["makes every job root", "changes made", "as the profile wants", "cannot write"] {
            assert!(!text.contains(word), "{name}: {path} has a part of the report in it");
        }
    }
}

/// The program as `"$@"` of a shell script.
fn scripted(tree: &Tree, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program()).args(arguments).arg("--root").arg(tree.top());
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir(tree.top());
    command
}

/// Two runs in a row started like this: the first leaves what any leaves, the second writes nothing.
#[track_caller]
fn same_as_ever(name: &str, wanted: &[String], start: impl Fn(&Tree) -> Command) {
    let tree = scene();
    let run = tree.run_command(&mut start(&tree));
    assert!(run.status == 0, "{name}: exit code {}\n{run}", run.status);
    let left = shape(&tree);
    assert!(left == wanted, "{name}: {:?}", support::differences(wanted, &left));
    assert_no_report_in_a_file(name, &tree);
    let before = tree.stamps();
    let run = tree.run_command(&mut start(&tree));
    assert!(run.status == 0, "{name}: the second run exits with {}\n{run}", run.status);
    assert_unchanged(&before, &tree.stamps());
}

/// What a run leaves that was started as usual.
fn usual() -> Vec<String> {
    let tree = scene();
    tree.run(&APPLY).ok();
    shape(&tree)
}

#[test]
fn streams_that_are_closed_or_full() {
    if !have(&["visudo"]) {
        return;
    }
    let wanted = usual();
    for (name, script) in [
        ("no streams at all", "exec \"$@\" <&- >&- 2>&-"),
        ("no input", "exec \"$@\" <&-"),
        ("no output", "exec \"$@\" >&-"),
        ("no errors", "exec \"$@\" 2>&-"),
        ("no output and no errors", "exec \"$@\" >&- 2>&-"),
        ("no input and no output", "exec \"$@\" <&- >&-"),
        ("a full disk", "exec \"$@\" >/dev/full 2>/dev/full"),
        ("output for reading", "exec \"$@\" >&- 2>&- 1</dev/null 2</dev/null"),
        ("input is a directory", "exec \"$@\" </"),
        ("many handles", "exec 3</ 4</dev/null 5>/dev/null 6</etc 7</ 8</ 9</; exec \"$@\""),
    ] {
        same_as_ever(name, &wanted, |tree| scripted(tree, script, &APPLY));
    }
    // One document or none: never half of one and then a panic.
    let tree = scene();
    for script in ["exec \"$@\" >&-", "exec \"$@\" >/dev/full"] {
        tree.run_command(&mut scripted(&tree, script, &["plan", "--profile", "dind", "--json"])).ok();
    }
    let full = |command: &[&str]| {
        run_limited(
            Command::new("sh").args(["-c", "exec \"$@\" >/dev/full", "sh"]).arg(program()).args(command),
        )
    };
    // Where the output is all that was asked for, half of it must not pass for the whole.
    for command in [&["profile", "list"][..], &["man"], &["completions", "bash"]] {
        full(command).exit(2).says("cannot write the output: No space left on device");
    }
    for command in ["--help", "--version"] {
        let run = full(&[command]);
        assert!(run.status == 0 && run.stderr.is_empty(), "{command}: {run}");
    }
}

#[test]
fn a_reader_that_is_gone() {
    if !have(&["visudo"]) {
        return;
    }
    let wanted = usual();
    let tree = scene();
    // run_limited gives the streams itself.
    let gone = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        Stdio::from(std::os::fd::OwnedFd::from(ours))
    };
    for expected in [&wanted, &wanted] {
        let mut command = tree.command(&APPLY);
        let status = command.stdin(Stdio::null()).stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        assert_eq!(&shape(&tree), expected);
    }
}

#[test]
fn masks_directories_signals_and_limits() {
    if !have(&["visudo", "python3"]) {
        return;
    }
    let wanted = usual();
    // SIGCHLD ignored: the kernel forgets the exit codes of children.
    let ignored = "import os, signal, sys\nfor s in (1, 2, 3, 10, 12, 13, 14, 15, 17): signal.signal(s, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])";
    let blocked = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nos.execv(sys.argv[1], sys.argv[1:])";
    for (name, script) in [
        ("umask 000", "umask 000; exec \"$@\"".to_owned()),
        ("umask 777", "umask 777; exec \"$@\"".to_owned()),
        ("a directory that is gone", "d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$@\"".to_owned()),
        ("a directory that is closed", "cd /; exec \"$@\"".to_owned()),
        ("signals ignored", format!("exec python3 -c '{ignored}' \"$@\"")),
        ("signals blocked", format!("exec python3 -c '{blocked}' \"$@\"")),
        ("core dumps wanted", "ulimit -c unlimited 2>/dev/null; exec \"$@\"".to_owned()),
        ("few handles", "ulimit -n 64; exec \"$@\"".to_owned()),
        ("a small stack", "ulimit -s 512; exec \"$@\"".to_owned()),
        ("a low priority", "exec nice -n 19 \"$@\"".to_owned()),
    ] {
        same_as_ever(name, &wanted, |tree| scripted(tree, &script, &APPLY));
    }
}

/// Limits that leave no room for the work: an error that says so, and nothing changed.
#[test]
fn limits_that_leave_no_room() {
    if !have(&["visudo"]) {
        return;
    }
    for (script, says) in [
        ("ulimit -n 6; exec \"$@\"", "Too many open files"),
        ("ulimit -f 0; exec \"$@\"", "File too large"),
        ("ulimit -f 1; exec \"$@\"", "File too large"),
    ] {
        let tree = scene();
        let before = without_state(tree.listing());
        // The limit is for our own output as well.
        let script = format!("({script}) 2>&1 | cat; exit 7");
        let run = tree.run_command(&mut scripted(&tree, &script, &APPLY));
        run.exit(7).says("error: ").says(says);
        assert_unchanged(&before, &without_state(tree.listing()));
        tree.run(&APPLY).ok();
    }
}

fn without_state(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !path_of(line).starts_with("var/lib"));
    lines
}

#[test]
fn a_hostile_environment() {
    if !have(&["visudo", "git", "ssh-keygen"]) {
        return;
    }
    let wanted = usual();
    let evil = tempfile::tempdir().unwrap();
    let caught = evil.path().join("caught");
    for tool in
        ["visudo", "git", "ssh-keygen", "useradd", "gitlab-runner", "sh", "sudo", "rpm", "systemctl", "su"]
    {
        let script = format!("#!/bin/sh\n: >'{}'\nexit 1\n", caught.display());
        let path = evil.path().join(tool);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let config = evil.path().join("config");
    std::fs::write(&config, "[user]\nname = evil\nemail = evil@example.com\n[core]\npager = evil\n").unwrap();
    let evil = evil.path().to_str().unwrap();
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let environment: Vec<(&str, OsString)> = vec![
        ("PATH", evil.into()),
        ("IFS", "/ .".into()),
        ("HOME", evil.into()),
        ("TMPDIR", "/nonexistent".into()),
        ("ENV", format!("{evil}/sh").into()),
        ("BASH_ENV", format!("{evil}/sh").into()),
        ("BASH_FUNC_visudo%%", "() { echo evil; }".into()),
        ("CDPATH", evil.into()),
        ("PS4", "$(touch evil)".into()),
        ("SHELL", format!("{evil}/sh").into()),
        ("EDITOR", format!("{evil}/sh").into()),
        ("SUDO_EDITOR", format!("{evil}/sh").into()),
        ("SUDO_ASKPASS", format!("{evil}/sh").into()),
        ("SUDO_UID", "0x0".into()),
        ("SUDO_COMMAND", "\u{1b}[2J".into()),
        ("GIT_DIR", evil.into()),
        ("GIT_CONFIG", config.clone().into()),
        ("GIT_CONFIG_GLOBAL", config.clone().into()),
        ("GIT_CONFIG_SYSTEM", config.into()),
        ("GIT_CONFIG_COUNT", "1".into()),
        ("GIT_CONFIG_KEY_0", "user.name".into()),
        ("GIT_CONFIG_VALUE_0", "evil".into()),
        ("GIT_AUTHOR_NAME", "evil".into()),
        ("GIT_EXEC_PATH", evil.into()),
        ("GIT_SSH_COMMAND", format!("{evil}/sh").into()),
        ("GIT_TRACE", format!("{evil}/caught").into()),
        ("SSH_AUTH_SOCK", format!("{evil}/none").into()),
        ("SSH_ASKPASS", format!("{evil}/sh").into()),
        ("SSH_ASKPASS_REQUIRE", "force".into()),
        ("LD_PRELOAD", format!("{evil}/evil.so").into()),
        ("LD_LIBRARY_PATH", evil.into()),
        ("LD_BIND_NOW", "1".into()),
        ("GCONV_PATH", evil.into()),
        ("NLSPATH", format!("{evil}/%N").into()),
        ("MALLOC_PERTURB_", "165".into()),
        ("TZ", ":/etc/shadow".into()),
        ("TERM", "\u{1b}[2J".into()),
        ("COLUMNS", "-1".into()),
        ("CLICOLOR_FORCE", "1".into()),
        ("LANG", "tr_TR.UTF-8".into()),
        ("LC_ALL", "xx_XX.none".into()),
        ("LANGUAGE", "tr".into()),
        ("RUST_BACKTRACE", "full".into()),
        ("RUST_LOG", "trace".into()),
        ("RUST_MIN_STACK", "1".into()),
        ("HOSTALIASES", "/etc/shadow".into()),
        ("NOT_UTF8", bytes(b"\xff\xfe\x80")),
        ("TOKEN", "glrt-CANARY-of-the-environment".into()),
        ("HUGE", "x".repeat(100_000).into()),
    ];
    let start = |tree: &Tree| {
        let mut command = tree.command(&APPLY);
        command.env_clear().envs(environment.iter().map(|(name, value)| (*name, value)));
        command
    };
    same_as_ever("a hostile environment", &wanted, start);
    let tree = scene();
    tree.run_command(&mut start(&tree)).ok();
    assert!(
        !Path::new(&caught).exists(),
        "a program of the caller's PATH ran, or a file of its choice was written"
    );
    let identity = tree.text("home/gitlab-runner/.gitconfig");
    assert!(!identity.contains("evil"), "{identity}");
    same_as_ever("no environment at all", &wanted, |tree| {
        let mut command = tree.command(&APPLY);
        command.env_clear();
        command
    });
}

#[test]
fn locales_change_nothing_that_is_written_or_said() {
    if !have(&["visudo"]) {
        return;
    }
    let said = |locale: Option<&str>| {
        let tree = scene();
        let mut command = tree.command(&["plan", "--profile", "dind"]);
        command.env_remove("LC_ALL");
        if let Some(locale) = locale {
            command.env("LC_ALL", locale).env("LANG", locale);
        }
        let run = tree.run_command(&mut command);
        run.ok();
        (run.stdout.clone(), run.stderr.clone())
    };
    let usual = said(None);
    for locale in
        ["C", "C.UTF-8", "tr_TR.UTF-8", "de_DE.ISO-8859-1", "POSIX", "../../etc/shadow", "\u{1b}[2J"]
    {
        assert_eq!(said(Some(locale)), usual, "{locale:?}");
    }
}

#[test]
fn arguments_that_are_no_text_or_have_no_end() {
    let tree = scene();
    let before = tree.stamps();
    let not_utf8 = OsString::from_vec(b"\xff\xfe\x1b[2J".to_vec());
    let sequences = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let huge = "x".repeat(120_000);
    let many: Vec<String> = (0..20_000).map(|n| format!("--runner=r{n}")).collect();
    let with = |arguments: &[&std::ffi::OsStr]| {
        let mut command = tree.command(&[]);
        command.args(arguments);
        tree.run_command(&mut command)
    };
    let word = std::ffi::OsStr::new;
    let refused: Vec<Run> = vec![
        with(&[&not_utf8]),
        with(&[word("plan"), word("--profile"), &not_utf8]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--user"), &not_utf8]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--config"), &not_utf8]),
        with(&[word("plan"), word("--json"), word("--profile"), &not_utf8]),
        with(&[word(sequences)]),
        with(&[word("plan"), word("--profile"), word("dind"), word(sequences)]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--only"), word(sequences)]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--runner"), word(sequences)]),
        with(&[word("plan"), word("--profile"), word("dind"), word(&format!("--col={sequences}"))]),
        with(&[word("undo"), word("--to"), word(sequences)]),
        with(&[word("undo"), word("--to"), word("../../../etc")]),
        with(&[word("plan"), word("--profile"), word(&huge)]),
        with(&[word("plan"), word("--profile"), word(&format!("/{huge}.toml"))]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--user"), word(&huge)]),
        with(&[word("plan"), word("--profile"), word(&",".repeat(50_000))]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--user"), word("")]),
        with(&[word("plan"), word("--profile"), word("dind"), word("--config"), word("")]),
        with(&[word("man"), word(sequences)]),
        with(&[word("completions"), word(sequences)]),
    ];
    for run in refused {
        let shown: String = run.command.chars().take(200).collect();
        assert!(run.status == 2, "{shown:?}: exit code {}: {}{}", run.status, run.stdout, run.stderr);
        let acts = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!run.stdout.contains(acts) && !run.stderr.contains(acts), "{shown:?}: {:?}", run.stderr);
    }
    let mut command = tree.command(&["plan", "--profile", "dind"]);
    let run = tree.run_command(command.args(many));
    assert!(run.status == 2 && run.contains("no runner with the name or id"), "{}", run.status);
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn no_name_of_its_own_and_not_a_single_argument() {
    if !have(&["python3"]) {
        return;
    }
    let script = "import ctypes, os, sys\nnone = (ctypes.c_char_p * 1)(None)\nctypes.CDLL(None).execve(os.fsencode(sys.argv[1]), none, none)\nsys.exit(99)";
    let run = run_limited(Command::new("python3").args(["-c", script]).arg(program()));
    assert!(run.status == 2 && run.stderr.contains("Usage: "), "{run}");
}

#[test]
fn a_terminal_of_any_width() {
    if !have(&["script", "stty"]) {
        return;
    }
    let tree = scene();
    for columns in ["0", "1", "2", "39", "80", "65535"] {
        let inner = format!(
            "stty cols {columns} rows 1; exec '{}' plan --profile dind --root '{}'",
            program().display(),
            tree.top().display()
        );
        let mut command = Command::new("script");
        command.args(["-qec", &inner, "/dev/null"]).env_clear().env("PATH", PATH).env("TERM", "xterm");
        let run = tree.run_command(&mut command);
        let plain: String = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        run.ok();
        for word in ["docker.privileged", "/etc/sudoers.d/gitlab-runner", "changes to make"] {
            assert!(plain.contains(word), "{columns} columns: {run}");
        }
    }
}

/// A signal in the middle: before the first write the program ends, later it ends its work first.
#[test]
fn a_signal_in_the_middle_drops_or_finishes_the_work() {
    if !is_root() {
        return skip("without root, strace does not see a program that can't be traced");
    }
    if !have(&["strace", "visudo", "ssh-keygen"]) {
        return;
    }
    let wanted = usual();
    let old = {
        let tree = scene();
        without_state(shape(&tree))
    };
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let tree = scene();
    let log = tree.path("/tmp/strace.log");
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "signal=none", "-o"]).arg(&log).arg(program()).args(APPLY);
    command.arg("--root").arg(tree.top()).env_clear().env("PATH", PATH);
    run_limited(&mut command).ok();
    let log = std::fs::read_to_string(log).unwrap();
    for call in log.lines().filter_map(|line| Some(line.split_once('(')?.0)) {
        *counts.entry(call).or_default() += 1;
    }
    let calls = ["openat", "fsync", "renameat2", "unlinkat", "write", "wait4", "close"];
    let (mut runs, mut dropped) = (0, 0);
    for (number, call) in calls.iter().enumerate() {
        let count = counts.get(call).copied().unwrap_or_default();
        let step = if support::long() { 1 } else { count.div_ceil(5).max(1) };
        for (round, when) in (1 + number % step..=count).step_by(step).enumerate() {
            let signal = ["INT", "TERM", "HUP"][(round + number) % 3];
            let tree = scene();
            let mut command = Command::new("strace");
            let inject = format!("inject={call}:signal={signal}:when={when}");
            command.args(["-qq", "-o", "/dev/null", "-e", &inject]).arg(program()).args(APPLY);
            command.arg("--root").arg(tree.top()).env_clear().env("PATH", PATH);
            let run = tree.run_command(&mut command);
            runs += 1;
            let left: Vec<String> = shape(&tree);
            if run.status == 0 {
                assert!(left == wanted, "{inject}: {:?}\n{run}", support::differences(&wanted, &left));
            } else {
                dropped += 1;
                assert!([129, 130, 143].contains(&run.status), "{inject}: {run}");
                assert_unchanged(&old, &without_state(left));
            }
            tree.run(&APPLY).ok();
            assert_eq!(shape(&tree).len(), wanted.len(), "{inject}");
        }
    }
    eprintln!(
        "signals: {runs} runs, {dropped} ended before the first write, {} after the last",
        runs - dropped
    );
    assert!(dropped > 0 && dropped < runs, "the signals meet both halves of a run");
}
