//! `[service]` of a profile: one drop-in of gitlab-runner's unit, and what waits for a person until it is done.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

mod support;

use support::{Host, Run, Systemd, Tree, assert_unchanged, have};

const DROP_IN: &str = "/etc/systemd/system/gitlab-runner.service.d/runner-prep.conf";
const UNIT: &str = "/etc/systemd/system/gitlab-runner.service";
const PROFILE: &str = "/etc/runner-prep/profiles/mine.toml";

const MINE: &str = "[service]\nstop_timeout = \"2h\"\nhttps_proxy = \"http://proxy.example.com:3128\"\nno_proxy = \
                    \"localhost,10.0.0.0/8,.example.com\"\n";

const OURS: &str = "# Managed by runner-prep: edit its profile, not this file.\n[Service]\nTimeoutStopSec=2h\nKillSignal=SIGQUIT\n\
    Environment=\"https_proxy=http://proxy.example.com:3128\"\nEnvironment=\"HTTPS_PROXY=http://proxy.example.com:3128\"\n\
    Environment=\"no_proxy=localhost,10.0.0.0/8,.example.com\"\nEnvironment=\"NO_PROXY=localhost,10.0.0.0/8,.example.com\"\n";

fn tree(profile: &str) -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file(PROFILE, profile).file_mode(
        "/usr/lib/systemd/systemd",
        "",
        0o755,
    )
}

#[track_caller]
fn code(run: &Run) -> String {
    let document = run.json();
    let notes = ["warnings", "pending"]
        .iter()
        .flat_map(|list| document[list].as_array().cloned().unwrap_or_default());
    notes.map(|note| note["code"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
}

/// The account of jobs, and whether it and the file are seen.
#[test]
fn whom_the_unit_means_is_seen_or_said_not_to_be() {
    for (lines, account, is_unclear) in [
        ("ExecStart=/x run -u ci", "ci", false),
        ("Environment=WHO=ci\nExecStart=/x run --user ${WHO}", "ci", false),
        ("EnvironmentFile=-/etc/default/gitlab-runner\nExecStart=/x run $OPTIONS $NONE", "ci", false),
        ("ExecStart=/x run \\\n# or root\n  --user ci", "ci", false),
        ("# ExecStart=/x run \\\nExecStart=/x run --user ci", "ci", false),
        (
            "ExecStart=/usr/bin/docker run --rm -u 0 -d gitlab/gitlab-runner run --user=ci",
            "gitlab-runner",
            true,
        ),
        ("User=ci\nExecStart=/x run", "ci", true),
        ("User=ci\nExecStart=/x run --config /etc/gitlab-runner/config.toml", "ci", false),
    ] {
        let tree = Tree::new()
            .account("gitlab-runner", 998, "/home/gitlab-runner")
            .account("ci", 999, "/home/ci")
            .file("/etc/default/gitlab-runner", "OPTIONS=\"--user ci\"\n")
            .file(UNIT, format!("[Service]\n{lines}\n"));
        let run = tree.run(&["plan", "--profile", "shell", "--only", "account,git", "--json"]);
        let document = run.ok().json();
        let path = document["changes"][0]["path"].as_str().unwrap();
        assert_eq!(path, format!("/home/{account}/.gitconfig"), "{lines}");
        assert_eq!(
            document["warnings"].to_string().contains("service-unclear"),
            is_unclear,
            "{lines}: {run}"
        );
    }
}

#[test]
fn one_file_is_made_mended_and_goes_away() {
    let tree = tree(MINE);
    let before = tree.listing();
    tree.run(&["plan", "--profile", "mine"]).ok().says(DROP_IN).says("TimeoutStopSec=2h");
    assert_eq!(before, tree.listing());
    tree.run(&["apply", "--profile", "mine"]).ok();
    assert_eq!(tree.text(DROP_IN), OURS);
    assert_eq!(tree.metadata(DROP_IN).0, 0o644);
    let stamps = tree.stamps();
    assert_eq!(tree.run(&["apply", "--profile", "mine", "--json"]).ok().json()["changed"], false);
    tree.run(&["check", "--profile", "mine"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
    tree.chmod(DROP_IN, 0o666);
    tree.run(&["check", "--profile", "mine"]).exit(1).says("mode 0666");
    tree.run(&["apply", "--profile", "mine"]).ok();
    assert_eq!(tree.metadata(DROP_IN).0, 0o644);
    // A profile that wants nothing of it takes ours away, and no other.
    tree.put(PROFILE, "[service]\n");
    tree.run(&["apply", "--profile", "mine"]).ok();
    assert!(!tree.exists(DROP_IN));
    tree.put(DROP_IN, "[Service]\nNice=1\n");
    tree.run(&["apply", "--profile", "mine"]).ok();
    assert!(tree.exists(DROP_IN));
}

#[test]
fn undo_takes_it_away_with_its_directories() {
    let tree = tree(MINE);
    let before = tree.listing();
    tree.run(&["apply", "--profile", "mine"]).ok();
    tree.run(&["undo"]).ok();
    let left: Vec<String> = tree
        .listing()
        .into_iter()
        .filter(|line| !before.contains(line) && !line.contains("runner-prep"))
        .collect();
    assert!(!tree.exists(DROP_IN) && !tree.exists("/etc/systemd/system"), "{left:?}");
}

#[test]
fn a_file_of_somebody_else_needs_adopt() {
    let theirs = "[Service]\nTimeoutStopSec=1h\n";
    let tree = tree(MINE).file(DROP_IN, theirs);
    let before = tree.stamps();
    let run = tree.run(&["apply", "--profile", "mine"]);
    run.exit(2).says("was written by somebody else").says("--adopt --only service");
    assert_eq!(code(&tree.run(&["plan", "--profile", "mine", "--json"])), "file-foreign");
    assert_unchanged(&before, &tree.stamps());
    tree.run(&["apply", "--profile", "mine", "--adopt"]).ok();
    assert_eq!(tree.text(DROP_IN), OURS);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(DROP_IN), theirs);
    for kind in ["link", "directory"] {
        let tree = self::tree(MINE);
        let tree = if kind == "link" { tree.link(DROP_IN, "/etc/passwd") } else { tree.dir(DROP_IN, 0o755) };
        assert_eq!(
            code(&tree.run(&["apply", "--profile", "mine", "--adopt", "--json"])),
            "file-kind",
            "{kind}"
        );
    }
}

#[test]
fn values_that_would_say_something_else_are_refused() {
    let spans = ["", " ", "2", "2h", "1h 30min", "1h30min", "90 s", "infinity", "500ms", "1w"];
    for span in &spans[2..] {
        let tree = tree(&format!("[service]\nstop_timeout = \"{span}\"\n"));
        tree.run(&["apply", "--profile", "mine"]).ok();
        assert!(tree.text(DROP_IN).contains(&format!("TimeoutStopSec={span}\n")), "{span}");
    }
    let wrong = [
        ("stop_timeout", "2 hours ago"),
        ("stop_timeout", "-1"),
        ("stop_timeout", "0"),
        ("stop_timeout", "h"),
        ("stop_timeout", "2hh"),
        ("stop_timeout", "2h\\nExecStartPre=/bin/sh"),
        ("stop_timeout", "1.5h"),
        ("stop_timeout", "99999999999999999999"),
        ("http_proxy", "proxy:3128"),
        ("http_proxy", "ftp://proxy:3128"),
        ("http_proxy", "http://"),
        ("http_proxy", "http://a\\nExecStartPre=/bin/sh"),
        ("http_proxy", "http://a\\\" \\\"LD_PRELOAD=/tmp/x"),
        ("http_proxy", "http://a b"),
        ("https_proxy", "http://%h:1"),
        ("https_proxy", "http://a\\\\"),
        ("https_proxy", "http://a$b"),
        ("no_proxy", ""),
        ("no_proxy", "a, b"),
        ("no_proxy", "a\\\"b"),
        ("no_proxy", "a\\nb"),
        ("no_proxy", "%i"),
    ];
    let spans = spans[..2].iter().map(|span| ("stop_timeout", *span));
    for (key, value) in wrong.into_iter().chain(spans) {
        let tree = tree(&format!("[service]\n{key} = \"{value}\"\n"));
        let before = tree.stamps();
        tree.run(&["apply", "--profile", "mine"]).exit(2).says("line 2, column");
        assert_unchanged(&before, &tree.stamps());
    }
    for (line, said) in [
        ("https_proxy = \"http://me:CANARY@proxy:3128\"", "everybody on the host can read it"),
        ("https_proxi = \"http://proxy:3128\"", "did you mean `https_proxy`?"),
        ("stop_timeout = 7200", "string"),
    ] {
        tree(&format!("[service]\n{line}\n"))
            .run(&["apply", "--profile", "mine"])
            .exit(2)
            .says(said)
            .says_not("CANARY");
    }
}

#[test]
fn where_no_systemd_is_nothing_is_written_and_it_is_said() {
    let tree = tree(MINE);
    tree.remove("/usr/lib/systemd/systemd");
    let before = tree.stamps();
    let run = tree.run(&["apply", "--profile", "mine", "--json"]);
    assert_eq!(code(run.exit(3)), "service-no-systemd");
    tree.run(&["apply", "--profile", "mine"]).exit(3).says("systemd is not installed here");
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_file_with_the_last_word_is_named() {
    let unit = "[Service]\nExecStart=/usr/bin/gitlab-runner run --user gitlab-runner\n";
    for (name, lines, what) in [
        ("zz.conf", "TimeoutStopSec=5\n", "TimeoutStopSec"),
        ("zz.conf", "KillSignal=SIGTERM\n", "KillSignal"),
        ("zz.conf", "Environment=HTTPS_PROXY=http://other:1\n", "HTTPS_PROXY"),
        ("zz.conf", "Environment=\n", "https_proxy, HTTPS_PROXY, no_proxy, NO_PROXY"),
        ("aa.conf", "TimeoutStopSec=5\nEnvironment=HTTPS_PROXY=http://other:1\n", ""),
    ] {
        let path = format!("{UNIT}.d/{name}");
        let tree = tree(MINE).file(UNIT, unit).file(&path, format!("[Service]\n{lines}"));
        let run = tree.run(&["apply", "--profile", "mine", "--json"]);
        assert_eq!(code(run.ok()), if what.is_empty() { "" } else { "service-overridden" }, "{lines}");
        let run = tree.run(&["check", "-v", "--profile", "mine"]);
        if !what.is_empty() {
            run.ok().says(&format!("the last word on {what}"));
        }
    }
}

#[test]
fn where_files_say_that_all_is_well_no_program_is_started() {
    if !have(&["systemctl", "strace", "pgrep"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file(PROFILE, MINE)
        .file(UNIT, "[Service]\nExecStart=/usr/local/bin/gitlab-runner run --user gitlab-runner\n")
        .file_mode("/usr/local/bin/gitlab-runner", "#!/bin/sh\nsleep 1000 & exec sleep 1000\n", 0o755)
        // What most hosts have of their own: a generator of units.
        .file_mode("/etc/systemd/system-generators/units", "#!/bin/sh\ntouch \"$1/one.service\"\n", 0o755)
        .start();
    let Some(systemd) = Systemd::or_skip(&host) else { return };
    let traced = |words: &str| {
        let trace = "rm -f /tmp/trace; strace -f -qq -e trace=execve -o /tmp/trace";
        let run = systemd.sh(&format!("{trace} /opt/under-test/runner-prep {words} || test $? = 3"));
        let started =
            systemd.sh("grep -c ' execve(.*= 0$' /tmp/trace || test $? = 1").stdout.trim().to_owned();
        (run, started)
    };
    systemd.sh("/opt/under-test/runner-prep apply --profile mine || test $? = 3").ok();
    // Files are compared by the second.
    systemd.sh("sleep 1.1; systemctl daemon-reload; sleep 1.1").ok();
    for running in [false, true] {
        systemd.sh(if running { "systemctl start gitlab-runner" } else { ":" }).ok();
        for words in ["check --profile mine", "apply --profile mine"] {
            let (run, started) = traced(words);
            run.ok().says("as the profile wants it");
            assert_eq!(started, "1", "running: {running}, {words}: {}", systemd.sh("cat /tmp/trace").stdout);
        }
    }
    // Whatever leaves a doubt is asked, and answered as before.
    systemd.sh(&format!("sleep 1.1; touch {DROP_IN}")).ok();
    let (run, started) = traced("check --profile mine");
    run.says("systemd has not read the files");
    assert_ne!(started, "1");
    systemd.sh("sleep 1.1; systemctl daemon-reload").ok();
    systemd.sh(&format!("echo 'http_proxy = \"http://proxy.example.com:3128\"' >>{PROFILE}")).ok();
    systemd.sh("/opt/under-test/runner-prep apply --profile mine || test $? = 3; sleep 1.1; systemctl daemon-reload").ok();
    let (run, started) = traced("check --profile mine");
    run.says("was started without this http_proxy, HTTP_PROXY");
    assert_ne!(started, "1");
}

#[test]
fn a_real_systemd_reads_it_and_what_waits_is_said_until_it_is_done() {
    if !have(&["systemctl", "systemd-analyze", "journalctl", "pgrep", "man"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let unit = "[Service]\nExecStart=/usr/local/bin/gitlab-runner run --user gitlab-runner\n";
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file(PROFILE, MINE)
        .file(UNIT, unit)
        .file_mode("/usr/local/bin/gitlab-runner", "#!/bin/sh\nexec sleep 1000\n", 0o755)
        .start();
    let Some(systemd) = Systemd::or_skip(&host) else { return };
    systemd.sh("systemctl daemon-reload; systemctl start gitlab-runner").ok();
    let prep = |words: &str| systemd.sh(&format!("/opt/under-test/runner-prep {words}"));
    prep("apply --profile mine")
        .exit(3)
        .says("systemctl daemon-reload")
        .says("systemctl restart gitlab-runner");
    assert_eq!(host.text(DROP_IN), OURS);
    prep("check --profile mine").exit(3);
    systemd.sh("systemctl daemon-reload").ok();
    prep("check --profile mine").exit(3).says_not("systemd has not read").says("was started without this");
    // At once, as a play does it: the new process may not be the program yet.
    for _ in 0..3 {
        systemd.sh("systemctl restart gitlab-runner; /opt/under-test/runner-prep check --profile mine").ok();
    }
    prep("apply --profile mine").ok();
    let shown = systemd.sh("systemctl show gitlab-runner -p TimeoutStopUSec -p KillSignal -p Environment");
    shown
        .ok()
        .says("TimeoutStopUSec=2h")
        .says("KillSignal=3")
        .says("NO_PROXY=localhost,10.0.0.0/8,.example.com");
    assert_eq!(systemd.sh(&format!("systemd-analyze verify {UNIT}")).ok().stderr, "");
    prep("undo").ok().says("systemctl daemon-reload");
    assert!(!host.path(DROP_IN).exists());
}
