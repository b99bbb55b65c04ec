//! `apply` and `undo` are killed at their system calls, their system calls fail, the power is cut, and what they
//! start dies or hangs. After each: every file old or new and whole, nothing wider than it was, the key pair
//! whole, sudo's policy good, no secret printed, no panic; the next run converges and sweeps what was left,
//! and the one after it writes nothing.
//!
//! A sample by default. `RUNNER_PREP_LONG=1` takes every call, and every error with each that changes something;
//! `RUNNER_PREP_LONG=20` takes every twentieth of those runs. All print how many they made and how many
//! violations they found.

#![expect(
    clippy::disallowed_methods,
    reason = "the test starts the program under strace and reads what is left"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a scene that can't be laid out stops the test; it prints its figures"
)]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod children;
mod disk;
mod power;
mod scene;
mod state;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{have, is_root, long, skip};

/// Whether a run can be interrupted here at all.
fn possible(tools: &[&str]) -> bool {
    if !is_root() {
        skip("without root, strace does not see the files of a program that can't be traced");
        return false;
    }
    have(&[&["strace", "ssh-keygen", "visudo", "useradd"], tools].concat())
}

/// Every one of so many, or a sample of that size that begins somewhere else for each kind.
fn sample(count: usize, size: usize, kind: usize) -> impl Iterator<Item = usize> {
    let step = if long() { 1 } else { count.div_ceil(size).max(1) };
    (1..=count).skip(kind % step).step_by(step)
}

/// Every how many of the runs are made.
fn thinned() -> usize {
    let wanted = std::env::var("RUNNER_PREP_LONG").ok().and_then(|text| text.parse().ok());
    wanted.filter(|_| long()).map_or(1, |every: usize| every.max(1))
}

/// Do all the work on as many threads as there are processors; every violation that is found ends the test,
/// after the figures.
fn run_all<T: Sync>(title: &str, work: &[T], one: &(dyn Fn(&T) -> Vec<String> + Sync)) -> usize {
    let work: Vec<&T> = work.iter().step_by(thinned()).collect();
    let (wrong, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = one(item);
                    wrong.lock().unwrap().extend(found);
                    let done = ended.fetch_add(1, Ordering::Relaxed) + 1;
                    if done % 500 == 0 {
                        let (all, wrong) = (work.len(), wrong.lock().unwrap().len());
                        eprintln!("{title}: {done} of {all} runs, {wrong} violations so far");
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!("{title}: {} runs, {} violations", work.len(), wrong.len());
    for text in wrong.iter().take(20) {
        eprintln!("{text}\n");
    }
    wrong.len()
}
