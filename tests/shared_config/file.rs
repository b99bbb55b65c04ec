//! The file itself: what it keeps, what is refused, and what a killed run leaves.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::support::{have, is_root, skip, tool};
use super::{Bench, code, modified, save};
use runner_prep::fault;
use runner_prep::seen::Stat;
use runner_prep::sys::shared::{After, Shared};

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

    if !is_root() {
        return skip("only root makes files immutable");
    }
    if !have(&["chattr"]) {
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
        assert!(repair.unwrap().text().contains(&format!("chattr -{flag}")));
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
    let Stat { mode, uid, gid, .. } = before.stat;
    let owner = is_root().then_some(runner_prep::sys::identity::Identity { uid, gid });
    let after = After { bytes: b"ours".to_vec(), owner, mode };
    let mut shared = Shared::create(bench.target(), before, after, None).unwrap();
    shared.commit().unwrap();
    shared.keep().finish().unwrap();
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
