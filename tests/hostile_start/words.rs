//! The environment and the arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use super::support::{Run, Tree, assert_unchanged, have, program, run_limited};
use super::{APPLY, same_as_ever, scene, usual};

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
