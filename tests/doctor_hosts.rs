//! `doctor` on hosts as administrators have them, and against an account that does not want to be looked at.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use support::{Host, HostBuilder, Run, assert_unchanged, fixture, have, run_within};

const HOME: &str = "/home/gitlab-runner";
/// What no test can make of the machine's own kernel, and what depends on it.
const KERNEL: [&str; 2] = ["kernel", "cgroup"];

/// A machine with the tools, and nothing of GitLab's.
fn plain() -> Option<HostBuilder> {
    if have(&["sudo", "visudo", "su", "git", "ssh", "ssh-keygen", "rsync"]) { Host::or_skip() } else { None }
}

fn codes(run: &Run, status: &str) -> BTreeSet<String> {
    let document = run.json();
    let all = document["findings"].as_array().unwrap();
    let is_it = |finding: &&Value| {
        finding["status"] == status && !KERNEL.contains(&finding["check"].as_str().unwrap())
    };
    all.iter().filter(is_it).map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

fn set(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

/// People get lines that fit, and a repair for each problem.
fn assert_readable(run: &Run) {
    for line in run.stdout.lines().filter(|line| !line.starts_with("    ")) {
        assert!(line.chars().count() <= 80, "{line:?} is too long\n{run}");
    }
}

/// What the account's own files start in the background, in whatever session, holding our streams or not.
#[test]
fn nothing_that_the_account_starts_is_left() {
    let Some(host) = plain() else { return };
    let profile = "nohup sleep 1001 >/dev/null 2>&1 &\nsleep 1002 &\n(setsid sleep 1003 >/dev/null 2>&1 &)\n\
                   (setsid sh -c 'trap \"\" HUP TERM; sleep 1004 & wait; sleep 1005' &)\n";
    let ssh = "Match exec \"sh -c 'setsid sleep 1006 >/dev/null 2>&1 &'\"\n";
    let host = host
        .account("gitlab-runner", 998, HOME)
        .file(&format!("{HOME}/.profile"), profile)
        .own(&format!("{HOME}/.profile"), 998, 998)
        .dir(&format!("{HOME}/.ssh"), 0o700)
        .own(&format!("{HOME}/.ssh"), 998, 998)
        .file(&format!("{HOME}/.ssh/config"), ssh)
        .own(&format!("{HOME}/.ssh/config"), 998, 998)
        .start();
    let began = std::time::Instant::now();
    let run = host.prep(&["doctor", "--json"]);
    run.exit(1).says("it starts and ends as jobs need it");
    assert!(began.elapsed() < Duration::from_secs(12), "nobody is waited for: {:?}", began.elapsed());
    host.prep(&["plan", "--profile", "shell"]).ok();
    let left = host.sh("ps -e -o args | grep '[s]leep 100' || true").ok().stdout.clone();
    assert_eq!(left, "", "{run}");
    // What somebody else has started stays.
    host.sh("setsid sleep 1007 >/dev/null 2>&1 & runner-prep doctor >/dev/null || true; ps -e -o args | grep '[s]leep 1007'")
        .ok();
}

/// Which login files count says the shell of the runner.
#[test]
fn the_login_shell_is_the_one_of_the_runner() {
    let Some(host) = plain() else { return };
    let host = host.account("gitlab-runner", 998, HOME).start();
    let job = "printf 'set -e\nexit 0\n' | su -s /bin/sh gitlab-runner -c 'sh -l'";
    for (shell, file, is_sick) in [
        ("bash", ".bash_profile", true),
        ("sh", ".bash_profile", false),
        ("sh", ".profile", true),
        ("pwsh", ".profile", false),
    ] {
        host.sh(&format!(
            "mkdir -p -m 0700 /etc/gitlab-runner; cd {HOME}; rm -f .profile .bash_profile; echo 'exit 3' > {file}
             printf '[[runners]]\nexecutor = \"shell\"\nshell = \"{shell}\"\n' > /etc/gitlab-runner/config.toml"
        ))
        .ok();
        if shell == "sh" {
            assert_eq!(host.sh(job).status != 0, is_sick, "{file}");
        }
        let run = host.prep(&["doctor", "--json", "--profile", "shell"]);
        assert_eq!(codes(&run, "problem").contains("login-shell-fails"), is_sick, "{shell} {file}: {run}");
    }
}

/// Takes away what every test host has.
const WITHOUT_RUNNER: &str = "rm /usr/local/bin/gitlab-runner";

#[test]
fn a_plain_machine_lacks_what_it_lacks_each_told_once() {
    let Some(host) = plain() else { return };
    let host = host.start();
    host.sh(WITHOUT_RUNNER).ok();
    let before = host.stamps();
    let run = host.prep(&["doctor", "--json"]);
    assert_eq!(
        codes(run.exit(1), "problem"),
        set(&[
            "account-missing",
            "host-key-missing",
            "sudoers-missing",
            "git-identity",
            "ssh-key-directory-missing",
            "ssh-key-missing",
            "runner-missing",
            "runner-not-registered"
        ]),
        "{run}"
    );
    assert_readable(host.prep(&["doctor"]).exit(1));
    assert_readable(host.prep(&["doctor", "-v", "--profile", "dind"]).exit(1));
    assert_unchanged(&before, &host.stamps());
}

#[test]
fn what_apply_prepared_has_no_problem_but_what_apply_waits_for() {
    for (profile, config) in [
        ("dind", "config-docker-runner.toml"),
        ("dind-hardened", "config-docker-runner.toml"),
        ("docker-socket", "config-docker-runner.toml"),
    ] {
        let Some(host) = plain() else { return };
        let host = host.config_toml(fixture(config)).start();
        host.sh(WITHOUT_RUNNER).ok();
        let run = host.prep(&["apply", "--profile", profile, "--runner-version", "17.4.0"]);
        run.exit(3).says("gitlab-runner is missing on this host").says_not("dockerd");
        let run = host.prep(&["doctor", "--json", "--profile", profile]);
        // The machine has no gitlab-runner, and its Docker does not run.
        assert_eq!(
            codes(&run, "problem"),
            set(&["runner-missing", "docker-daemon-down"]),
            "{profile}: {run}"
        );
        let shown = host.prep(&["doctor", "--profile", profile]);
        assert_readable(&shown);
        assert!(shown.stdout.lines().count() < 30, "{shown}");
    }
}

#[test]
fn a_host_with_a_shell_runner_alone_needs_no_docker() {
    let Some(host) = plain() else { return };
    let text = "concurrent = 1\n[[runners]]\n  name = \"deploy\"\n  url = \"https://gitlab.com/\"\n  token = \"glrt-CANARY-1\"\n  executor = \"shell\"\n";
    let host = host
        .config_toml(text)
        .file_mode("/usr/local/bin/gitlab-runner", "#!/bin/sh\necho Version: 17.4.0\n", 0o755)
        .file(
            "/etc/systemd/system/gitlab-runner.service",
            "[Service]\nExecStart=/usr/local/bin/gitlab-runner run --config /etc/gitlab-runner/config.toml --user gitlab-runner\n",
        )
        .start();
    host.prep(&["apply", "--profile", "shell"]).ok();
    let run = host.prep(&["doctor", "--json"]);
    assert_eq!(codes(&run, "problem"), set(&["runner-not-running"]), "{run}");
    assert_eq!(codes(&run, "unknown"), set(&["runner-not-running"]), "{run}");
    // A job that is gone through gives sudo no rights, and this part of sudo wants to write its log.
    host.sh("echo 'Plugin audit_json audit_json.so' >> /etc/sudo.conf").ok();
    host.as_account("gitlab-runner", "sudo -n rsync --version").ok();
    let run = host.prep(&["doctor", "--json"]);
    assert_eq!(codes(&run, "problem"), set(&["runner-not-running"]), "{run}");
}

/// Login shells of an account that wants to stop, fool or use whoever looks at it.
const HOSTILE: &[(&str, &str, &str)] = &[
    ("never ends", "sleep 1000", "login-shell-fails"),
    ("ignores signals", "trap '' TERM HUP INT; while :; do sleep 1; done", "login-shell-fails"),
    ("writes without end", "exec cat /dev/zero", "login-shell-fails"),
    ("writes lines without end", "exec yes runner-prep-finds:git", "login-shell-fails"),
    ("stops itself", "kill -STOP $$", "login-shell-fails"),
    ("leaves a child with the pipe", "sleep 1000 &", "ok"),
    ("leaves a session of its own", "setsid sleep 1000 >/dev/null 2>&1 & exit 3", "login-shell-fails"),
    ("kills its parent", "kill -9 $PPID; kill -9 -1; exit 1", "login-shell-fails"),
    (
        "writes escape sequences",
        "printf '\\033]0;owned\\007\\033[2J'; printf '\\033[31mCANARY\\n' >&2; exit 7",
        "login-shell-fails",
    ),
    ("asks for a terminal", "exec </dev/tty || exit 9", "login-shell-fails"),
    ("has a git that fails", "git() { return 9; }", "login-shell-fails"),
    (
        "names a file of all accounts",
        "echo '+runner-prep-at:/etc/profile:3: x' >&2; exit 1",
        "login-shell-fails",
    ),
];

#[test]
fn a_hostile_login_shell_neither_stops_nor_fools_anybody() {
    std::thread::scope(|scope| {
        for (name, script, code) in HOSTILE {
            scope.spawn(move || hostile(name, script, code));
        }
    });
}

fn hostile(name: &str, script: &str, code: &str) {
    let Some(host) = plain() else { return };
    let profile = format!("id -u >> /home/gitlab-runner/ids; tty >> /home/gitlab-runner/ids\n{script}\n");
    let host = host
        .account("gitlab-runner", 998, HOME)
        .file_mode(&format!("{HOME}/.bash_profile"), &profile, 0o644)
        .own(&format!("{HOME}/.bash_profile"), 998, 998)
        .start();
    let run = run_within(
        Duration::from_secs(120),
        host.command("/opt/under-test/runner-prep").args(["doctor", "--json", "--profile", "shell"]),
    );
    let document = run.exit(1).json();
    let of_login = document["findings"].as_array().unwrap().iter().find(|one| one["check"] == "login-shell");
    assert_eq!(of_login.unwrap()["code"], *code, "{name}: {run}");
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{name}: {run}");
    // It ran as the account, and had no terminal, each time.
    let ids = host.text(&format!("{HOME}/ids"));
    let starts: Vec<&str> = ids.lines().collect();
    let is_right = |start: &[&str]| *start == ["998", "not a tty"];
    assert!(!starts.is_empty() && starts.chunks(2).all(is_right), "{name}: {starts:?}");
}

/// What a login file does to jobs, and what is said of it. Each is tried as gitlab-runner starts a job.
const LOGINS: &[(&str, &str, &str, &str)] = &[
    ("/etc/profile.d/ours.sh", "true\nexit 4\n", "login-shell-fails", "/etc/profile.d/ours.sh, line 2"),
    ("/etc/profile.d/ours.sh", "exit 0\n", "login-shell-skips", "at /etc/profile.d/ours.sh, line 1"),
    ("/home/gitlab-runner/.profile", "false\n", "ok", ""),
    ("/home/gitlab-runner/.profile", "readonly HOME XDG_CONFIG_HOME\n", "ok", ""),
    ("/home/gitlab-runner/.gitconfig", "[user\n", "ok", ""),
    ("/home/gitlab-runner/.profile", "set -e\nfalse\n", "login-shell-fails", ".profile, line 2"),
    ("/home/gitlab-runner/.profile", "exit 3\n", "login-shell-fails", ".profile, line 1"),
    (
        "/home/gitlab-runner/.profile",
        "exit 0\n",
        "login-shell-skips",
        "at /home/gitlab-runner/.profile, line 1",
    ),
    ("/home/gitlab-runner/.bash_profile", "exec true\n", "login-shell-skips", ".bash_profile, line 1"),
    ("/home/gitlab-runner/.bash_profile", "exec sh\n", "login-shell-fails", ".bash_profile, line 1"),
    ("/home/gitlab-runner/.bash_profile", "exec 2>/dev/null\nexit 0\n", "login-shell-skips", ""),
    ("/home/gitlab-runner/.bash_logout", "false\n", "login-shell-fails", ".bash_logout, line 1"),
];

#[test]
fn the_login_file_that_is_at_fault_is_named() {
    let Some(host) = plain() else { return };
    let host = host
        .account("gitlab-runner", 998, HOME)
        .file("/etc/profile", "for f in /etc/profile.d/*.sh; do [ -r $f ] && . $f; done\n")
        .dir("/etc/profile.d", 0o755)
        .start();
    for (path, text, code, says) in LOGINS {
        host.sh(&format!("printf '%b' '{text}' > {path}; chown 998:998 {path}")).ok();
        let job = host.sh(
            "printf 'set -eo pipefail\necho did-it\nexit 0\n' | su -s /bin/bash gitlab-runner -c 'bash -l'",
        );
        let is_skipped = job.status == 0 && !job.stdout.contains("did-it");
        let expected = match (job.status, is_skipped) {
            (0, true) => "login-shell-skips",
            (0, false) => "ok",
            _ => "login-shell-fails",
        };
        let run = host.prep(&["doctor", "--json", "--profile", "shell"]);
        let document = run.json();
        let all = document["findings"].as_array().unwrap();
        let found = all.iter().find(|one| one["check"] == "login-shell").unwrap();
        assert_eq!(
            (&found["code"], *code),
            (&serde_json::Value::from(expected), expected),
            "{path} {text}: {found}\n{job}"
        );
        assert!(found["message"].as_str().unwrap().contains(says), "{path} {text}: {found}");
        host.sh(&format!("rm {path}")).ok();
    }
}

/// Things in the home that are no files, or larger than any memory.
#[test]
fn a_hostile_home_is_seen_and_not_entered() {
    let Some(host) = plain() else { return };
    let host = host
        .account("gitlab-runner", 998, HOME)
        .dir(&format!("{HOME}/.ssh"), 0o700)
        .own(&format!("{HOME}/.ssh"), 998, 998)
        .file_mode("/root/secret", "CANARY-secret\n", 0o600)
        .start();
    for (name, script) in [
        ("FIFOs", "mkfifo .ssh/id_rsa .ssh/config .ssh/known_hosts .gitconfig .bash_logout"),
        ("huge", "for f in .ssh/id_rsa .ssh/config .gitconfig .bash_logout; do truncate -s 1T $f; done"),
        (
            "links",
            "for f in .ssh/id_rsa .ssh/deploy .ssh/config .gitconfig .bash_logout; do ln -s /root/secret $f; done",
        ),
        ("devices", "for f in .ssh/id_rsa .ssh/config .gitconfig; do ln -s /dev/zero $f; done"),
        ("link for .ssh", "rmdir .ssh; ln -s /root .ssh"),
        ("names", "cd .ssh; i=0; while [ $i -lt 3000 ]; do : > key$i; i=$((i+1)); done"),
    ] {
        host.sh(&format!(
            "cd {HOME}; rm -rf .ssh .gitconfig .bash_logout; setpriv --reuid 998 --regid 998 --clear-groups mkdir -m 0700 .ssh"
        ))
        .ok();
        host.sh(&format!("cd {HOME}; exec setpriv --reuid 998 --regid 998 --clear-groups sh -ec '{script}'"))
            .ok();
        let run = host.prep(&["doctor", "--profile", "shell"]);
        assert!(run.status == 1, "{name}: {run}");
        run.says_not("CANARY");
        assert_readable(&run);
    }
}
