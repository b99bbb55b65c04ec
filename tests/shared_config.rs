//! `config.toml` beside a gitlab-runner that rewrites it in place, without a lock, whenever it likes.

#![expect(clippy::disallowed_methods, reason = "a test plays the other program, and looks at files itself")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has to say why"
)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use runner_prep::fault;
use runner_prep::sys::dir::Dir;
use runner_prep::sys::root::Root;
use runner_prep::sys::shared::{After, Before, Shared, Target};
use runner_prep::sys::waiting::Waiting;
use support::{have, is_root, long, tool};

/// A file in a directory of its own, beside a state directory.
struct Bench {
    kept: tempfile::TempDir,
    root: Root,
}

impl Bench {
    fn new(text: &str) -> Self {
        let kept = tempfile::Builder::new().prefix("shared-").tempdir().unwrap();
        for name in ["etc", "state"] {
            fs::create_dir(kept.path().join(name)).unwrap();
        }
        fs::write(kept.path().join("etc/config.toml"), text).unwrap();
        let root = Root::open(kept.path()).unwrap();
        Self { kept, root }
    }

    fn path(&self) -> PathBuf {
        self.kept.path().join("etc/config.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.kept.path().join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn dir(&self, path: &str) -> Rc<Dir> {
        self.root.secure_dir(Path::new(path)).unwrap()
    }

    fn target(&self) -> Target {
        Target {
            dir: self.dir("/etc"),
            name: "config.toml".into(),
            state: self.dir("/state"),
            waiting: Waiting::silent(),
        }
    }

    fn before(&self) -> Before {
        let entry = self.dir("/etc").read(OsStr::new("config.toml"), 1 << 20).unwrap().unwrap();
        let stat = entry.stat;
        Before { bytes: entry.bytes, identity: stat.identity, meta: (stat.mode, stat.uid, stat.gid) }
    }

    fn stage_on(&self, before: Before, text: &str) -> anyhow::Result<Shared> {
        let after = After { bytes: text.into(), owner: None, mode: before.meta.0 };
        Shared::create(self.target(), before, after, None)
    }

    fn stage(&self, text: &str) -> Shared {
        self.stage_on(self.before(), text).unwrap()
    }

    fn replace(&self, text: &str) -> anyhow::Result<()> {
        let mut shared = self.stage_on(self.before(), text)?;
        let done = shared.commit().and_then(|()| shared.settle()).and_then(|()| shared.finish());
        if done.is_err() {
            shared.roll_back().unwrap();
        }
        done
    }

    /// The old file after the exchange, as a writer has it that found it under its name just before.
    fn aside(&self) -> PathBuf {
        let names = self.names("etc");
        let name = names.iter().find(|name| name.contains(".runner-prep.")).expect("a file set aside");
        self.kept.path().join("etc").join(name)
    }
}

#[track_caller]
fn code(result: anyhow::Result<()>) -> &'static str {
    match result {
        Ok(()) => "",
        Err(error) => fault::find(&error).map_or("no fault", |fault| fault.code),
    }
}

fn modified(path: &Path) -> (i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

/// What Go's `os.WriteFile` does: truncate on opening, one write, no lock, no fsync.
fn save(path: &Path, text: &str) {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim_start_matches([' ', '=']).parse().ok()
}

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
                shared.commit().and_then(|()| shared.settle()).and_then(|()| shared.finish())
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
    assert_eq!(code(shared.settle()), "changed-meanwhile");
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
    assert_eq!(code(shared.settle()), "conflict");
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

#[test]
fn a_roll_back_brings_the_former_file_and_makes_it_news_to_gitlab_runner() {
    let bench = Bench::new("old");
    let inode = fs::metadata(bench.path()).unwrap().ino();
    let mut shared = bench.stage("ours");
    shared.commit().unwrap();
    let ours = modified(&bench.path());
    shared.roll_back().unwrap();
    assert_eq!(bench.text(), "old");
    assert_eq!(fs::metadata(bench.path()).unwrap().ino(), inode);
    assert!(modified(&bench.path()) > ours);
    assert_eq!(bench.names("etc"), ["config.toml"]);
    // What somebody wrote after us is not taken back.
    let mut shared = bench.stage("ours");
    shared.commit().unwrap();
    save(&bench.path(), "ours and theirs");
    assert_eq!(code(shared.roll_back()), "not-taken-back");
    drop(shared);
    assert_eq!(bench.text(), "ours and theirs");
    assert_eq!(bench.names("etc"), ["config.toml"]);
}

#[test]
fn dropped_half_way_it_leaves_the_file_as_it_was() {
    let bench = Bench::new("old");
    drop(bench.stage("ours"));
    assert_eq!(bench.text(), "old");
    let mut shared = bench.stage("ours");
    shared.commit().unwrap();
    drop(shared);
    assert_eq!(bench.text(), "old");
    assert_eq!(bench.names("etc"), ["config.toml"]);
}

#[test]
fn the_new_file_is_newer_whatever_the_clock_says() {
    let bench = Bench::new("old");
    let future = SystemTime::now() + Duration::from_secs(3600);
    File::options().write(true).open(bench.path()).unwrap().set_modified(future).unwrap();
    let before = modified(&bench.path());
    bench.replace("ours").unwrap();
    assert!(modified(&bench.path()) > before);
    let now = modified(&bench.path());
    bench.replace("ours again").unwrap();
    assert!(modified(&bench.path()) > now);
    // The usual case: it has the time of the change, not of the file before.
    save(&bench.path(), "x");
    let clock = SystemTime::now();
    bench.replace("ours").unwrap();
    assert!(fs::metadata(bench.path()).unwrap().modified().unwrap() >= clock);
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_written() {
    let bench = Bench::new("old");
    fs::hard_link(bench.path(), bench.kept.path().join("etc/second")).unwrap();
    assert_eq!(code(bench.replace("ours")), "hard-links");
    assert_eq!(bench.names("etc"), ["config.toml", "second"]);
    fs::remove_file(bench.kept.path().join("etc/second")).unwrap();

    if !is_root() || !have(&["chattr"]) {
        return;
    }
    for flag in ["i", "a"] {
        let chattr = |sign: &str| {
            let mut command = std::process::Command::new("chattr");
            command.arg(format!("{sign}{flag}")).arg(bench.path());
            assert!(command.status().unwrap().success(), "chattr {sign}{flag}");
        };
        chattr("+");
        let result = bench.replace("ours");
        chattr("-");
        let repair = result.as_ref().err().and_then(fault::find).map(|fault| fault.repair.clone());
        assert_eq!(code(result), "immutable");
        assert!(repair.unwrap().contains(&format!("chattr -{flag}")));
        assert_eq!(bench.names("etc"), ["config.toml"]);
    }
    bench.replace("ours").unwrap();
}

#[test]
fn owner_mode_acl_and_attributes_are_kept() {
    if !have(&["setfacl", "getfacl", "setfattr", "getfattr"]) {
        return;
    }
    let bench = Bench::new("old");
    let ask_of = |path: &Path, program: &str, arguments: &[&str]| {
        let program = tool(program).unwrap();
        let output = std::process::Command::new(program).args(arguments).arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let ask = |program: &str, arguments: &[&str]| ask_of(&bench.path(), program, arguments);
    // What the directory hands down to new files must not come on top.
    ask_of(&bench.kept.path().join("etc"), "setfacl", &["-d", "-m", "u:daemon:rwx,g::r"]);
    ask("setfacl", &["-m", "u:nobody:r"]);
    ask("setfattr", &["-n", "user.note", "-v", "kept"]);
    if is_root() {
        std::os::unix::fs::chown(bench.path(), Some(1234), Some(5678)).unwrap();
        ask("setfattr", &["-n", "trusted.note", "-v", "kept as well"]);
    }
    let facts = || {
        let acl = ask("getfacl", &["--absolute-names", "--numeric"]);
        let attributes = ask("getfattr", &["--absolute-names", "-d", "-m", "-"]);
        let meta = fs::metadata(bench.path()).unwrap();
        (acl, attributes, meta.mode(), meta.ino())
    };
    let old = facts();
    let before = bench.before();
    let (mode, uid, gid) = before.meta;
    let owner = is_root().then_some(runner_prep::sys::identity::Identity { uid, gid });
    let after = After { bytes: b"ours".to_vec(), owner, mode };
    let mut shared = Shared::create(bench.target(), before, after, None).unwrap();
    shared.commit().unwrap();
    shared.finish().unwrap();
    let new = facts();
    assert_ne!(old.3, new.3);
    assert_eq!((&old.0, &old.1, old.2), (&new.0, &new.1, new.2));
    assert!(new.0.contains("user:65534:r--") && new.1.contains("user.note"), "{new:?}");
}

#[test]
fn what_a_killed_run_left_is_swept_and_an_update_in_it_is_kept() {
    // A candidate that never went live: it was made after the live file.
    let bench = Bench::new("old");
    fs::write(bench.kept.path().join("etc/.config.toml.runner-prep.1"), "candidate").unwrap();
    bench.replace("ours").unwrap();
    assert_eq!(bench.names("etc"), ["config.toml"]);
    assert_eq!(bench.names("state"), Vec::<String>::new());

    // An old file that had the place, untouched since.
    let bench = Bench::new("old");
    let aside = bench.kept.path().join("etc/.config.toml.runner-prep.1");
    fs::rename(bench.path(), &aside).unwrap();
    thread::sleep(Duration::from_millis(20));
    fs::write(bench.path(), "live").unwrap();
    bench.replace("ours").unwrap();
    assert_eq!(bench.names("etc"), ["config.toml"]);
    assert_eq!(bench.names("state"), Vec::<String>::new());

    // The same, and a writer came to it after the run had died.
    fs::rename(bench.path(), &aside).unwrap();
    thread::sleep(Duration::from_millis(20));
    fs::write(bench.path(), "live").unwrap();
    thread::sleep(Duration::from_millis(20));
    save(&aside, "theirs");
    let shared = bench.stage("ours");
    assert_eq!(shared.warnings().iter().map(|fault| fault.code).collect::<Vec<_>>(), ["conflict"]);
    drop(shared);
    assert_eq!(bench.names("etc"), ["config.toml"]);
    let kept = bench.names("state");
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read_to_string(bench.kept.path().join("state").join(&kept[0])).unwrap(), "theirs");

    // Killed between the two halves of an exchange on a file system that has none.
    let bench = Bench::new("old");
    fs::hard_link(bench.path(), bench.kept.path().join("etc/.config.toml.runner-prep.1.old")).unwrap();
    bench.replace("ours").unwrap();
    assert_eq!(bench.names("etc"), ["config.toml"]);
    assert_eq!(bench.names("state"), Vec::<String>::new());
}
