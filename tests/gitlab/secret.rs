//! The token is sent, and shown to nobody: not to whoever watches the program's system calls, either.

use std::process::Command;

use super::support::gitlab::{GitLab, State};
use super::support::{CANARY, have, run_limited};
use super::{ALL, Desk};

#[test]
fn no_argument_and_no_write_but_to_a_socket_holds_the_token() {
    if !have(&["strace"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(gitlab) = GitLab::start_tls(State::default(), directory.path()) else { return };
    let desk = Desk::at(gitlab, ALL);
    std::fs::copy(directory.path().join("ca.pem"), desk.path("ca.pem")).unwrap();
    for words in [["plan", "--json"], ["apply", "--verbose"], ["check", "--timeout=60"]] {
        let program = desk.command(&[&words[..], &["--public-key", "keys", "--ca-file", "ca.pem"]].concat());
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "-s",
            "100000",
            "-e",
            "trace=!read,pread64,readv",
            "-o",
            "trace",
            "-E",
            "GITLAB_TOKEN",
        ]);
        strace.arg(program.get_program()).args(program.get_args());
        strace.args(["--token-file", "token"]).current_dir(desk.directory.path()).env_remove("https_proxy");
        let run = run_limited(&mut strace);
        assert!(run.status < 2, "{run}");
        run.says_not(CANARY);
        let trace = std::fs::read_to_string(desk.path("trace")).unwrap();
        assert!(trace.contains("connect(") && trace.contains("execve("), "strace saw it work");
        let shown: Vec<&str> = trace.lines().filter(|line| line.contains(CANARY)).collect();
        assert!(shown.is_empty(), "{shown:?}");
        // No core either.
        assert!(
            trace.contains("RLIMIT_CORE") && trace.contains("PR_SET_DUMPABLE, SUID_DUMP_DISABLE"),
            "{trace}"
        );
    }
}

#[test]
fn a_server_that_gives_the_token_back_is_not_quoted() {
    use super::support::gitlab::Quirk;
    let says = "{\"message\":{\"token\":[\"glpat-CANARY is odd\"],\"x\":\"glpat-CANARY\"}}";
    for (status, header) in [
        (400, ""),
        (401, ""),
        (403, ""),
        (404, ""),
        (409, ""),
        (422, ""),
        (500, "Retry-After: 0"),
        (302, "Location: https://evil.example/?t=glpat-CANARY"),
        (200, ""),
        (200, "X-Next-Page: glpat-CANARY"),
    ] {
        for from in 0..16 {
            let quirk = Some((from, Quirk::Status(status, header, says, 99)));
            let desk = Desk::new(State { quirk, ..State::default() }, ALL);
            desk.run(&["apply", "--json"]);
            desk.gitlab.state().quirk = Some((0, Quirk::Status(status, header, says, 99)));
            desk.run(&["check"]);
        }
    }
}
