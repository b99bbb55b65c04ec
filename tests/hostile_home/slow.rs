//! What the account lays out so that root takes long, or needs much, to look at it.

use std::time::{Duration, Instant};

use super::ACCOUNT;
use crate::support::{Host, Run, have};

const PLAN: [&str; 5] = ["plan", "--profile", "shell", "--only", "git"];

/// A host on which the account has made its home ready.
fn host(script: &str) -> Option<Host> {
    let host = Host::or_skip().filter(|_| have(&["git", "ssh", "ssh-keygen", "su", "sudo"]))?;
    let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").start();
    host.as_account("gitlab-runner", script).ok();
    Some(host)
}

fn soon(host: &Host, arguments: &[&str]) -> Run {
    let began = Instant::now();
    let run = host.prep(arguments);
    assert!(began.elapsed() < Duration::from_secs(40), "it took {:?}: {run}", began.elapsed());
    run
}

/// Twelve times the next file, nine files deep: git itself reads for days.
#[test]
fn files_that_include_each_other_again_and_again_are_left_to_git() {
    let Some(host) = host(
        "cd; for i in 0 1 2 3 4 5 6 7 8; do { echo '[include]'
            for j in 1 2 3 4 5 6 7 8 9 10 11 12; do echo \"path = ~/inc$((i + 1))\"; done; } >inc$i; done
         echo >inc9; cp inc0 .gitconfig",
    ) else {
        return;
    };
    soon(&host, &PLAN).exit(2).says("did not finish within");
}

/// Tens of thousands of settings, and a program that says a lot when git ends.
#[test]
fn a_long_complaint_is_held_against_many_settings_once() {
    let Some(host) = host(
        "cd; { echo '#!/bin/sh'; echo \"yes 'fatal: odd, and of no setting' | head -c 250000 >&2; kill -9 \\$PPID\"; } >talk
         chmod 0755 talk
         { echo '[core]'; echo 'fsmonitor = ~/talk'; echo '[a]'; seq -f 'b%.0f=c' 60000; } >.gitconfig",
    ) else {
        return;
    };
    soon(&host, &PLAN).exit(2).says("git ends with this in every job");
}

/// A line that hangs where the one before it is left out takes nothing from what is known of a job.
#[test]
fn a_line_is_looked_for_beside_one_that_hangs() {
    let Some(host) = host("cd; printf 'umask 777\\nwait=no\\ntest \"$wait\" || sleep 600\\n' >.bash_profile")
    else {
        return;
    };
    host.prep(&["apply", "--profile", "shell", "--only", "git"]).ok();
    let run = host.sh("timeout 120 runner-prep doctor --profile shell || test $? = 1");
    run.ok().says("job-fails").says(".bash_profile, line 1").says_not("could-not-look");
}

/// git ends soon with all settings, and without one of them never.
#[test]
fn settings_are_left_out_in_turn_until_one_is_waited_for() {
    let Some(host) = host(
        "cd; printf '#!/bin/sh\\ngrep -c \"=c\" ~/.gitconfig | grep -q 20 || exec sleep 600\\necho fatal: odd >&2; kill -9 $PPID\\n' >talk
         chmod 0755 talk; { printf '[core]\\nfsmonitor = ~/talk\\n[a]\\n'; seq -f 'b%.0f=c' 20; } >.gitconfig",
    ) else {
        return;
    };
    soon(&host, &PLAN).exit(2).says("git ends with this in every job");
}

/// What git calls in place of ssh names more files of host keys than fit into memory.
#[test]
fn no_more_files_are_read_than_ssh_takes() {
    let Some(host) = host(
        "cd; mkdir h; truncate -s 1000000 h/k; seq -f h/%.0f 3000 | xargs -n 1 ln h/k
         printf '#!/bin/sh\n{ echo runner-prep-step:ssh; echo hostname gitlab.com; echo port 22
            echo project \"$*\"; echo userknownhostsfile $(seq -f ~/h/%%.0f 3000); echo runner-prep-step:served; } >&2
            exec ssh \"$@\" 2>/dev/null\n' >talk
         chmod 0755 talk; printf '[user]\nname=x\nemail=x\n[core]\nsshCommand = ~/talk\n' >.gitconfig",
    ) else {
        return;
    };
    host.sh("runner-prep apply --profile shell --only known_hosts --allow-pending").ok();
    let run = host.sh("ulimit -v 1000000; runner-prep doctor --profile shell || test $? = 1");
    run.ok().says("an ssh that reads no file with the server's keys");
}

/// A warning for each of thousands of lines hides all others.
#[test]
fn of_many_alike_a_few_are_told_and_how_many_more() {
    let lines = "{ echo '[url \"https://x/\"]'; seq -f 'insteadOf=git@a%.0f' 3000; } >.gitconfig";
    let Some(host) = host(&format!("cd; {lines}")) else { return };
    let told = |run: &Run, list: &str| {
        let document = run.json();
        let of_code = |one: &&serde_json::Value| one["code"] == "git-url-rewritten";
        document[list].as_array().unwrap().iter().filter(of_code).cloned().collect::<Vec<_>>()
    };
    for (command, list) in [("plan", "warnings"), ("doctor", "findings")] {
        let json = [command, "--profile", "shell", "--json"];
        let found = told(&host.prep(&json), list);
        assert_eq!(found.len(), 20, "{command}");
        assert!(found[18]["message"].as_str().unwrap().contains("line 20"), "{}", found[18]);
        let more = found[19]["message"].as_str().unwrap();
        assert!(more.starts_with("2981 more like it are left out here"), "{more}");
        let repair = found[19]["repair"].as_str().unwrap();
        assert_eq!(repair, format!("runner-prep {command} --profile shell -v"));
        assert_eq!(told(&host.prep(&[&json[..], &["-v"]].concat()), list).len(), 3000, "{command}");
    }
    let run = host.prep(&["plan", "--profile", "shell"]);
    assert!(run.stderr.lines().count() < 100, "{run}");
    run.ok().says("2981 more like it are left out here");
    let run = host.prep(&["doctor", "--profile", "shell"]);
    let remarks = run.stdout.split(" remarks").next().and_then(|before| before.rsplit(' ').next());
    assert!(remarks.unwrap().parse::<usize>().unwrap() >= 3000, "{run}");
    // Where all else is as wanted, people are told how many there are.
    host.prep(&["apply", "--profile", "shell", "--only", "git"]).ok();
    host.prep(&PLAN).ok().says("3000 warnings: git-url-rewritten; -v shows them");
}

/// Who takes calls where a daemon should may be the account itself, which runs one of its own.
#[test]
fn a_daemon_that_says_a_little_now_and_then_is_not_waited_for() {
    let config = "[[runners]]\nname = \"x\"\nurl = \"https://gitlab.com\"\ntoken = \"glrt-x\"\nexecutor = \"docker\"\n\
        [runners.docker]\nimage = \"x\"\nhost = \"unix:///srv/socket\"\n";
    for answer in
        ["while (accept(my $c, $s)) { $c->autoflush(1); print $c qq(x) and sleep 1 while 1 }", "sleep 600"]
    {
        let Some(host) = Host::or_skip().filter(|_| have(&["perl", "su"])) else { return };
        let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").config_toml(config).start();
        let listen =
            "use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Local => q(/srv/socket), Listen => 1) or die;";
        // Where nobody takes them, calls wait in line, and then before it.
        let fill = "for (1..8) { fork or do { IO::Socket::UNIX->new(Peer => q(/srv/socket)); sleep 600 } }";
        let fill = if answer == "sleep 600" { fill } else { "" };
        host.sh(&format!(
            "chmod 0777 /srv; su -s /bin/sh gitlab-runner -c 'exec perl -e \"{}\"' >/dev/null 2>&1 &
             until test -S /srv/socket; do sleep 0.02; done; sleep 0.5",
            format!("{listen} {fill} {answer}").replace('$', "\\$")
        ))
        .ok();
        let began = Instant::now();
        let run = host.sh("timeout 120 runner-prep doctor --profile dind --json || true");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        run.ok().says("docker-daemon-down");
    }
}
