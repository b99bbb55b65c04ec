//! gitlab-runner writes at the same time: nothing of it is lost.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::long;
use super::{Bench, code, number, save};
use runner_prep::fault;

/// How many updates of the other program a test makes.
fn updates(usual: u64) -> u64 {
    if long() { 10 * usual } else { usual }
}

/// A stretch of time of up to that many microseconds, never twice the same.
fn think(most: u64) {
    static STEP: AtomicU64 = AtomicU64::new(1);
    let step = STEP.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    thread::sleep(Duration::from_micros((step >> 20) % most));
}

/// Loads, thinks, truncates and writes, that often. Returns how often its last update was gone.
fn run_writer(path: &Path, updates: u64) -> u64 {
    let mut gone = 0;
    for update in 1..=updates {
        let text = fs::read_to_string(path).unwrap();
        // Nobody but us ever sees a torn file: the exchange is atomic, and there is no other writer.
        let last =
            number(&text, "token").unwrap_or_else(|| panic!("update {update} finds a torn file: {text:?}"));
        gone += u64::from(last != update - 1);
        think(1500);
        let concurrent = number(&text, "concurrent").unwrap();
        save(path, &format!("concurrent = {concurrent}\ntoken = {update}\n"));
        think(3000);
    }
    let text = fs::read_to_string(path).unwrap();
    gone + u64::from(number(&text, "token") != Some(updates))
}

#[test]
fn no_update_of_a_writer_without_a_lock_is_lost() {
    let bench = Bench::new("concurrent = 0\ntoken = 0\n");
    let (path, updates, done) = (bench.path(), updates(3000), AtomicBool::new(false));
    let (mut made, mut meanwhile, mut torn) = (0, 0, 0);
    let began = Instant::now();
    let lost = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let lost = run_writer(&path, updates);
            done.store(true, Ordering::Release);
            lost
        });
        let mut last = 0;
        while !done.load(Ordering::Acquire) {
            let before = bench.before();
            let text = String::from_utf8(before.bytes.clone()).unwrap();
            let Some(token) = number(&text, "token") else {
                torn += 1;
                continue;
            };
            let wanted = last + 1;
            let result = bench.stage_on(before, &format!("concurrent = {wanted}\ntoken = {token}\n"));
            let result = result.and_then(|mut shared| {
                shared.commit().and_then(|()| shared.final_check()).and_then(|()| shared.keep().finish())
            });
            match result {
                Ok(()) => {
                    made += 1;
                    last = wanted;
                    // Ours is there, or the writer came later.
                    let now = bench.text();
                    let there = number(&now, "concurrent") == Some(wanted);
                    let later = number(&now, "token").is_none_or(|now| now > token);
                    assert!(there || later, "{now:?} after {wanted} on {token}");
                }
                Err(error) => {
                    assert_eq!(
                        fault::find(&error).map(|fault| fault.code),
                        Some("changed-meanwhile"),
                        "{error:#}"
                    );
                    meanwhile += 1;
                }
            }
        }
        writer.join().unwrap()
    });
    println!(
        "{updates} updates of the writer, {lost} lost; {made} of ours made, {meanwhile} planned again, {torn} torn reads; {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(lost, 0);
    assert!(made > 0);
    // With nobody beside us the next one holds.
    bench.replace(&format!("concurrent = 999999\ntoken = {updates}\n")).unwrap();
    assert_eq!(bench.text(), format!("concurrent = 999999\ntoken = {updates}\n"));
    assert_eq!(bench.names("etc"), ["config.toml"]);
    assert_eq!(bench.names("state"), Vec::<String>::new());
}

#[test]
fn a_writer_who_found_the_old_file_gets_its_place_back() {
    let bench = Bench::new("old");
    let mut shared = bench.stage("ours");
    shared.commit().unwrap();
    assert_eq!(bench.text(), "ours");
    let aside = bench.aside();
    let writer = thread::spawn(move || save(&aside, "theirs"));
    // It waits in the kernel for the lease.
    thread::sleep(Duration::from_millis(100));
    assert!(!writer.is_finished());
    assert_eq!(code(shared.final_check()), "changed-meanwhile");
    writer.join().unwrap();
    assert_eq!(bench.text(), "theirs");
    shared.roll_back().unwrap();
    drop(shared);
    assert_eq!(bench.text(), "theirs");
    assert_eq!(bench.names("etc"), ["config.toml"]);
}

#[test]
fn when_both_files_were_written_both_are_kept() {
    let bench = Bench::new("old");
    let mut shared = bench.stage("ours");
    shared.commit().unwrap();
    save(&bench.path(), "of one");
    let aside = bench.aside();
    let writer = thread::spawn(move || save(&aside, "of the other"));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(code(shared.final_check()), "conflict");
    writer.join().unwrap();
    assert_eq!(bench.text(), "of one");
    assert_eq!(bench.names("etc"), ["config.toml"]);
    let kept = bench.names("state");
    assert!(matches!(&kept[..], [name] if name.starts_with("config.toml.conflict-")), "{kept:?}");
    let kept = bench.kept.path().join("state").join(&kept[0]);
    assert_eq!(fs::read_to_string(&kept).unwrap(), "of the other");
    assert_eq!(fs::metadata(kept).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_writer_who_is_at_work_is_waited_for() {
    let bench = Bench::new("old");
    let before = bench.before();
    let mut open = OpenOptions::new().write(true).truncate(true).open(bench.path()).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        open.write_all(b"theirs").unwrap();
    });
    let mut shared = bench.stage_on(before, "ours").unwrap();
    let began = Instant::now();
    assert_eq!(code(shared.commit()), "changed-meanwhile");
    assert!(began.elapsed() > Duration::from_millis(100));
    writer.join().unwrap();
    drop(shared);
    assert_eq!(bench.text(), "theirs");
    assert_eq!(bench.names("etc"), ["config.toml"]);
}

#[test]
fn a_file_that_was_changed_or_exchanged_before_the_commit_stays() {
    let bench = Bench::new("old");
    let mut shared = bench.stage("ours");
    save(&bench.path(), "new");
    assert_eq!(code(shared.commit()), "changed-meanwhile");
    drop(shared);
    let mut shared = bench.stage("ours");
    fs::write(bench.kept.path().join("etc/next"), "new").unwrap();
    fs::rename(bench.kept.path().join("etc/next"), bench.path()).unwrap();
    assert_eq!(code(shared.commit()), "changed-meanwhile");
    drop(shared);
    let mut shared = bench.stage("ours");
    fs::set_permissions(bench.path(), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(code(shared.commit()), "changed-meanwhile");
    drop(shared);
    assert_eq!(bench.text(), "new");
    assert_eq!(bench.names("etc"), ["config.toml"]);
}
