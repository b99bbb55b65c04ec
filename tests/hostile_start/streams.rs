//! Standard streams that are closed, full or gone, and terminals of any width.

use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::support::{PATH, have, program, run_limited};
use super::{APPLY, same_as_ever, scene, scripted, shape, usual};

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
