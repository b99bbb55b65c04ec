//! `doctor` with an error of a job, a log or a code: what it means, anywhere, and without a word of what was given.

#![allow(clippy::disallowed_methods, reason = "a test starts the program")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a table that can't be read has to stop the tests")]

mod patients;
mod support;

use std::process::Command;

use patients::{HOST_FAULTS, tree_faults};
use serde_json::Value;
use support::{Run, program, run_limited};

const CANARY: &str = "glpat-CANARY-in-the-log";

/// The program on no host at all, with a log as its input.
fn explain(arguments: &[&str], log: &[u8]) -> Run {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" < \"$0\""]).arg(file.path()).arg(program()).arg("doctor");
    let run = run_limited(command.args(arguments).env_clear());
    assert!(!run.contains("CANARY"), "{run}");
    run
}

/// The rows of the table of errors: text, origin or fault, then code or cause and repair.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = include_str!("../src/doctor/job_errors.tsv").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|l| l.split('\t').collect()).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The codes and causes that are given for a text of the table.
fn causes(document: &Value, subject: &str) -> Vec<String> {
    let found = list(document, "explanations").iter().filter(|one| one["subject"] == subject);
    let causes = found.flat_map(|one| list(one, "causes"));
    let said = causes.flat_map(|cause| [cause["code"].as_str(), cause["cause"].as_str()]);
    said.flatten().map(str::to_owned).collect()
}

#[test]
fn every_row_of_the_table_is_proven_and_explained() {
    let rows = rows();
    // All of them in one log, as a runner of GitLab dresses lines.
    let mut log = String::new();
    for row in &rows {
        let text = row[0].replace('…', "x-1").replace('\'', "’");
        let line = format!("\u{1b}[0K\u{1b}[31;1m{text}\u{1b}[0;m {CANARY}\r\nnothing\n");
        log.extend(["2026-01-01T00:00:00.000000Z 00O ", &line]);
    }
    let document = explain(&["-", "--json"], log.as_bytes()).exit(0).json();
    for row in &rows {
        let (text, origin, what) = (row[0], row[1], row[2]);
        let is_known = ["host", "job", "gitlab", "above"].contains(&origin);
        assert_eq!(row.len(), if is_known { 4 } else { 3 }, "{row:?}");
        if !is_known {
            // That the fault is found by its code is what the tests of the two tables prove.
            let in_tree = tree_faults().any(|one| (one.name, one.code) == (origin, what));
            let in_host = HOST_FAULTS.iter().any(|one| (one.name, one.code) == (origin, what));
            assert!(in_tree || in_host, "no such fault: {row:?}");
        }
        if origin != "above" {
            let found = causes(&document, text);
            assert!(found.iter().any(|one| one == what), "{row:?}: {found:?}");
        }
        assert!(text.split('…').all(|part| part.len() != 1) && text.len() >= 8, "{text} fits everything");
    }
    for cause in list(&document, "explanations").iter().flat_map(|one| list(one, "causes")) {
        let repair = cause["repair"].as_str().unwrap();
        assert!(
            !repair.is_empty() && !repair.contains("doctor shows where"),
            "no repair in general: {cause}"
        );
    }
    // A line that stands for another is said only where it is alone.
    let above = "fatal: Could not read from remote repository.";
    assert!(causes(&document, above).is_empty());
    explain(&[above], b"").exit(0).says("the line above");
}

#[test]
fn errors_as_jobs_show_them_are_known() {
    for (text, wanted) in [
        (
            "sudo: a terminal is required to read the password; either use the -S option to read from standard input or configure an askpass helper",
            "sudoers-missing",
        ),
        ("sudo: a password is required", "sudoers-missing"),
        ("sudo: /etc/sudoers.d/gitlab-runner is owned by uid 998, should be 0", "sudoers-mode"),
        ("/etc/sudoers.d/gitlab-runner:1:24: syntax error", "policy-broken"),
        ("bash: line 72: sudo: command not found", "sudo-missing"),
        ("git@git.example.com: Permission denied (publickey,password).", "ssh-key-missing"),
        ("Permissions 0644 for '/home/ci/.ssh/id_rsa' are too open.", "ssh-key-mode"),
        (
            "mkdir: cannot create directory ‘/home/gitlab-runner/builds/t1_aaaa’: Permission denied",
            "builds-unusable",
        ),
        (
            "ERROR: Job failed: prepare environment: exit status 1. Check https://docs.gitlab.com/",
            "account-logout",
        ),
        ("ERROR: Job failed (system failure): prepare environment: exit status 1.", "account-logout"),
        (
            "*** WARNING: Service runner-abc-project-1-concurrent-0-docker-0 probably didn't start properly.",
            "config-privileged",
        ),
        (
            "error during connect: Post \"https://docker:2376/v1.24/build?x=1\": dial tcp: lookup docker on 198.51.100.53:53: no such host",
            "config-privileged",
        ),
        ("level=fatal msg=\"service \\\"runner-x-wait-for-service\\\" timeout\"", "config-privileged"),
        (
            "failed to connect to the docker API at tcp://docker:2375: lookup docker on 10.0.0.2:53: no such host",
            "config-privileged",
        ),
        ("invalid volume specification: \"cache:cached\"", "volume-refused"),
        ("toml: incompatible types: TOML value has type int64; destination has type boolean", "config-type"),
        ("FATAL: Concurrent is less than 1 - no jobs will be processed", "concurrent-zero"),
        ("sudo: I'm sorry gitlab-runner. I'm afraid I can't do that", "sudoers-missing"),
        ("sudo: /etc/sudoers.d/gitlab-runner is mode 0666, should be 0440", "sudoers-mode"),
        ("x509: certificate is valid for docker, localhost, not dind", "alias: docker"),
        (
            "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
            "docker executor",
        ),
        ("ssh: connect to host git.example.com port 22: Connection refused", "port 22"),
        ("too many services requested: 3, only 2 allowed", "services-limit"),
        ("FATAL: toml: cannot load TOML value of type string into a Go slice", "config-type"),
        ("toml: incompatible types: TOML value has type string; destination has type slice", "config-type"),
        ("http: server gave HTTP response to HTTPS client", "tls-verify-local"),
        ("Insufficient permissions to set pipeline variables", "Minimum role to use pipeline variables"),
        ("This project does not allow access with this job token", "Job token permissions"),
        ("remote: Authentication by CI/CD job token not allowed from a/b to c/d.", "Job token permissions"),
        ("remote: You are not allowed to upload code.", "Allow Git push requests"),
        ("ERROR: Registering runner... 410 Gone - runner registration disallowed", "authentication token"),
        (
            "ERROR: Preparation failed: Error response from daemon: client version 1.43 is too old. Minimum supported API version is 1.44",
            "17.5",
        ),
        ("Error response from daemon: client version 1.40 is too old.", "docker:28"),
        ("snapshotter not loaded: overlay2: invalid argument", "DOCKER_DRIVER"),
        ("fatal: unable to get password from user", "18.6.2"),
        ("write /var/lib/docker/tmp/x: no space left on device", "df -i"),
        ("OSError: [Errno 28] No space left on device", "df -h"),
    ] {
        explain(&[text], b"").exit(0).says(wanted);
        // The same from a log, between other lines.
        explain(&["-", "--json"], format!("$ ./go {CANARY}\n{text}\ndone\n").as_bytes()).exit(0).says(wanted);
        // And as words without quotes.
        let words: Vec<&str> = text.split(' ').filter(|word| !word.starts_with('-')).collect();
        assert!([0, 1].contains(&explain(&words, b"").status));
    }
}

#[test]
fn of_a_long_log_nothing_is_shown_again() {
    let line = format!("export TOKEN={CANARY} PASSWORD=CANARY\n");
    let mut log = line.repeat(4000).into_bytes();
    log.extend(b"\xff\xfe\0\x1b]0;CANARY\x07\x1b[0Ksudo: \x1b[31ma password\x1b[0m is required CANARY\r\n");
    log.extend(line.repeat(1000).as_bytes());
    explain(&["-"], &log).exit(0).says("sudo: a password is required (line 4001)").says("doctor says which");
    let document = explain(&["-", "--json"], &log).exit(0).json();
    assert_eq!(document["explanations"][0]["line"], 4001);
    assert_eq!((&document["changed"], &document["schema"]), (&Value::from(false), &Value::from(1)));
    // More than is read, and a line without an end.
    explain(&["-"], &vec![b'\n'; 17 << 20]).exit(1).says("only the first 16 MiB");
    explain(&["-"], &vec![0; 1 << 20]).exit(1);
}

#[test]
fn what_is_not_known_is_said() {
    // A part of a line is enough where it is all that was given; in a log it is another line.
    explain(&["a password is required"], b"").exit(0).says("sudoers-missing");
    explain(&["-"], b"a password is required\n").exit(1);
    for text in ["CANARY is a text that nobody knows", "", " ", "sudo", "…", "…………………………", "\u{1b}[31m"]
    {
        explain(&[text], b"").exit(1).says("nothing in it is known");
        explain(&["-"], text.as_bytes()).exit(1).says("nothing in it is known");
        let document = explain(&[text, "--json"], b"").exit(1).json();
        assert_eq!(document["explanations"], serde_json::json!([]));
    }
    // A profile that stands alone.
    let run = run_limited(Command::new(program()).args(["plan", "dind"]));
    run.exit(2)
        .says("unexpected argument 'dind'")
        .says("tip: a profile is named by --profile: --profile dind");
    run_limited(Command::new(program()).args(["plan", "dnid"])).exit(2).says_not("tip:");
    // The name of a log in place of its text.
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("a job.log");
    std::fs::write(&log, "sudo: a password is required\n").unwrap();
    let name = log.to_str().unwrap();
    let command = format!("runner-prep doctor - < '{name}'");
    explain(&[name], b"").exit(1).says(&format!("'{name}' is a file; for the errors in it: {command}"));
    explain(&[directory.path().to_str().unwrap()], b"").exit(1).says("nothing in it is known");
    explain(&["--explain", "CANARY"], b"")
        .exit(1)
        .says("doctor has no such code; it shows its codes in brackets");
    explain(&["--explain", "sudo-mising"], b"").exit(1).says("did you mean sudo-missing?");
    explain(&["--explain", "git-identity", "a text"], b"").exit(2);
    explain(&["a text", "--profile", "dind"], b"").exit(2);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$0\" doctor - <&-"]).arg(program());
    assert!([1, 2].contains(&run_limited(&mut command).status), "no input at all");
}

/// Of an error that goes on in the log, what is shown does not end in the middle.
#[test]
fn no_text_is_cut_in_a_bracket() {
    let log = b"git@git.example.com: Permission denied (publickey,password).\n";
    explain(&["-"], log).exit(0).says("Permission denied (publickey\u{2026}) (line 1)");
}

#[test]
fn every_code_is_explained() {
    let lines = include_str!("../src/doctor/codes.tsv").lines();
    for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let row: Vec<&str> = line.split('\t').collect();
        let document = explain(&["--explain", row[0], "--json"], b"").exit(0).json();
        let [one] = list(&document, "explanations") else { panic!("{line}: {document}") };
        let cause = &one["causes"][0];
        assert_eq!((&one["subject"], &cause["cause"]), (&Value::from(row[0]), &Value::from(row[3])));
        assert!(cause["repair"].as_str().is_some_and(|repair| repair.contains(' ')), "{line}");
    }
    let run = explain(&["--explain", "tls-verify-local"], b"");
    run.exit(0).says("http: server gave HTTP response to HTTPS client").says("set tls_verify = false");
}

#[test]
fn a_text_that_means_something_else_here_is_not_taken_for_the_error() {
    for (text, not) in [
        (
            "WARNING: Service runner-x-docker.io__library__postgres-0 probably didn't start properly.",
            "config-privileged",
        ),
        ("wget: server returned error: HTTP/1.1 410 Gone", "glrt-"),
        ("curl: (22) The requested URL returned error: 403", "Job token"),
        (
            "Error response from daemon: Get \"https://r:5000/v2/\": http: server gave HTTP response to HTTPS client",
            "tls-verify",
        ),
        ("ERROR: Preparation failed: Cannot connect to the Docker daemon at unix:///x.", "services: [docker"),
        (
            "failed to connect to the docker API at tcp://docker:2376: lookup docker: no such host",
            "listen with TLS",
        ),
    ] {
        explain(&["-"], format!("{text}\n").as_bytes()).says_not(not);
    }
    // What says less is told of the line that says no more.
    let log = "Preparation failed: x client version 1.43 is too old\nclient version 1.40 is too old\n";
    explain(&["-"], log.as_bytes()).exit(0).says("(line 1)").says("(line 2)");
}
