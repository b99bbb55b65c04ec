//! One Ansible run over a fleet, in three ways that end the same: the module, the `command` module, and tasks of
//! Ansible's own modules. With two hosts in the suite; `tests/bench/run fleet` makes fifty and prints what it took.
//!
//! Nothing here demands a time.

#![allow(
    clippy::disallowed_methods,
    reason = "the time of a run and the machine's memory are what it prints"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runner_prep::text::known_hosts::GITLAB_COM;
use support::{Fleet, Host, Run, fixture, readme_block};

/// What prepares a host, for people, with the playbook and where that wants the program.
const WAYS: [(&str, &str, Option<&str>); 3] = [
    ("the module `runner_prep`", "module.yml", Some("library/runner_prep")),
    ("the `command` module", "command.yml", Some("runner-prep")),
    ("tasks of Ansible's own modules (`tests/bench/role.yml`)", "role.yml", None),
];

/// As many as the bench asks for by number.
fn size() -> usize {
    let asked = std::env::var("RUNNER_PREP_FLEET").ok();
    asked.map_or(2, |asked| asked.parse().unwrap())
}

fn playbook(name: &str) -> String {
    if name == "role.yml" { include_str!("bench/role.yml").to_owned() } else { readme_block(name) }
}

/// The last column but the failures: how many tasks changed each host.
#[track_caller]
fn changed(run: &Run, host: usize) -> u32 {
    let name = format!("host{host} ");
    let recap = run.stdout.lines().rev().find(|line| line.starts_with(&name)).unwrap_or_default();
    assert!(recap.contains(" unreachable=0 ") && recap.contains(" failed=0 "), "{name}: {run}");
    let word = recap.split_whitespace().find_map(|word| word.strip_prefix("changed="));
    word.unwrap_or_default().parse().unwrap()
}

/// Memory that the machine has to give, in kilobytes.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The work, and how much memory the whole machine gave for it at most, in kilobytes.
fn watched<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (before, ended) = (available(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let least = scope.spawn(|| {
            let mut least = before;
            while !ended.load(Ordering::Relaxed) {
                least = least.min(available());
                std::thread::sleep(Duration::from_millis(200));
            }
            least
        });
        let done = work();
        ended.store(true, Ordering::Relaxed);
        (done, before.saturating_sub(least.join().unwrap()))
    })
}

#[test]
fn three_ways_prepare_the_same_fleet() {
    let count = size();
    let mut table = String::new();
    for (name, file, program) in WAYS {
        let new = || Host::or_skip().map(|host| host.config_toml(fixture("config-docker-runner.toml")));
        let Some(fleet) = (0..count).map(|_| new()).collect::<Option<Vec<_>>>().and_then(Fleet::or_skip)
        else {
            return;
        };
        fleet.put(file, playbook(file));
        if let Some(program) = program {
            fleet.put_program(program);
        } else {
            fleet.put("host-keys", GITLAB_COM);
        }
        for round in ["first", "second"] {
            let ((run, took), memory) = watched(|| fleet.timed(&[file]));
            for host in 1..=count {
                assert_eq!(changed(run.ok(), host) > 0, round == "first", "{name}, {round} run\n{run}");
            }
            let total = took.as_secs_f64();
            let (each, memory) = (total / f64::from(u32::try_from(count).unwrap()), memory / 1024);
            let _ = writeln!(table, "| {name} | {round} | {total:.1} s | {each:.2} s | {memory} MB |");
        }
        for host in fleet.hosts() {
            host.prep(&["check", "--profile", "dind"]).ok();
        }
        assert_eq!(fleet.text("deploy-keys.txt").lines().count(), count);
    }
    println!("\n### A fleet of {count} hosts, one Ansible run with {} forks\n", support::FORKS);
    println!("| | run | time | per host | memory of the whole machine |\n|---|---|---|---|---|\n{table}");
}
