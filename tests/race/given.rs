//! What root gives to the account, or moves aside, is exchanged meanwhile.

use std::fs::{File, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, mkfifo, unlinkat};

use super::attacker::Attack;
use super::support::{Run, Tree, assert_unchanged, listing, run_limited, stamps};
use super::{ACCOUNT, Figures, HOME, root_key, rounds, scene, turn};

/// What lies where the key will be, at every other moment.
#[derive(Debug, Clone, Copy)]
enum Other {
    /// `~/.ssh` is a link to root's directory.
    Directory,
    /// The key is a link to root's key.
    Link,
    /// It is root's key, under a second name. Where `fs.protected_hardlinks` is 0 the account makes one itself.
    HardLink,
    Fifo,
}

impl Other {
    const ALL: [Self; 4] = [Self::Directory, Self::Link, Self::HardLink, Self::Fifo];

    /// What root has there. The account's own renames change the ctime of a file with a second name.
    fn state(self, victim: &Path) -> Vec<String> {
        if matches!(self, Self::HardLink) { listing(victim) } else { stamps(victim) }
    }

    /// Lay it ready; returns what it is exchanged with.
    fn lay(self, tree: &Tree, victim: &Path) -> (PathBuf, PathBuf) {
        let (ready, key) = (tree.path("home/gitlab-runner/ready"), victim.join("id_ed25519"));
        match self {
            Self::Directory => symlink(victim, &ready),
            Self::Link => symlink(key, &ready),
            Self::HardLink => std::fs::hard_link(key, &ready),
            Self::Fifo => mkfifo(&ready, Mode::from_bits_truncate(0o666)).map_err(std::io::Error::from),
        }
        .unwrap();
        let ssh = tree.path("home/gitlab-runner/.ssh");
        (if matches!(self, Self::Directory) { ssh } else { ssh.join("id_ed25519") }, ready)
    }
}

/// What root does in a tree: how that ended, and whether it did what is attacked.
type Round = Box<dyn Fn(&Tree) -> (Run, bool)>;

/// Each of [`Other`] is exchanged with what root works on, again and again. `prepare` makes a tree ready, with the directory
/// of root's outside the home, and gives what is to be done in it. It has to succeed at least once.
fn against_all(what: &str, prepare: &dyn Fn(&Tree, &Path) -> Round) {
    let began = Instant::now();
    for other in Other::ALL {
        let (tree, victim) = scene();
        root_key(&victim.join("id_ed25519"));
        let round = prepare(&tree, &victim);
        let (one, ready) = other.lay(&tree, &victim);
        let before = other.state(&victim);
        let attack = Attack::start(&one, &ready, &tree.path("home/gitlab-runner"), "");
        let (mut figures, mut done) = (Figures::default(), 0);
        while figures.rounds < rounds(50) || (done == 0 && figures.rounds < rounds(2_000)) {
            let (run, did) = round(&tree);
            figures.count(run.status, &run.stderr);
            done += u32::from(did);
            figures.touched += u32::from(other.state(&victim) != before);
        }
        attack.end();
        println!("{what}, {other:?}: {figures:?}, did it {done} times");
        assert_unchanged(&before, &other.state(&victim));
        assert_eq!(figures.touched, 0);
        assert!(done > 0, "{what} never did it, so that nothing was tried: {figures:?}");
    }
    println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
}

/// Root gives away a key of its own (`--adopt`): only what it looked at, whatever the account puts in its place.
#[test]
fn only_what_was_looked_at_is_given_away() {
    let Some(_turn) = turn() else { return };
    against_all("--adopt", &|tree, victim| {
        set_permissions(victim.join("id_ed25519"), PermissionsExt::from_mode(0o644)).unwrap();
        let path = tree.path("home/gitlab-runner/.ssh/id_ed25519");
        root_key(&path);
        let key = File::open(&path).unwrap();
        Box::new(move |tree| {
            fchown(&key, Some(0), Some(0)).unwrap();
            let adopt = ["apply", "--profile", "shell", "--only", "ssh_key", "--adopt"];
            let run = run_limited(&mut tree.command(&adopt));
            (run, key.metadata().unwrap().uid() == ACCOUNT)
        })
    });
}

/// An empty directory of root's becomes the account's where `.ssh` has to be; one that holds something does not, also
/// when the two are exchanged between the look and the change.
#[test]
fn a_directory_of_root_exchanged_for_an_empty_one_stays_roots() {
    let Some(_turn) = turn() else { return };
    let began = Instant::now();
    let tree = Tree::new()
        .account("gitlab-runner", ACCOUNT, HOME)
        .dir("home/gitlab-runner/.ssh", 0o700)
        .file_mode("home/gitlab-runner/backup/secret", "root's own\n", 0o600)
        .dir("home/gitlab-runner/backup", 0o700);
    let (ssh, backup) = (tree.path("home/gitlab-runner/.ssh"), tree.path("home/gitlab-runner/backup"));
    let (empty, full) = (File::open(&ssh).unwrap(), File::open(&backup).unwrap());
    let attack = Attack::start(&ssh, &backup, &tree.path("home/gitlab-runner"), "");
    let (mut figures, mut given) = (Figures::default(), 0);
    while figures.rounds < rounds(500) || (given == 0 && figures.rounds < rounds(5_000)) {
        let run = run_limited(&mut tree.command(&["apply", "--profile", "shell", "--only", "ssh_key"]));
        figures.count(run.status, &run.stderr);
        figures.touched += u32::from(full.metadata().unwrap().uid() != 0);
        given += u32::from(empty.metadata().unwrap().uid() == ACCOUNT);
        for name in ["id_ed25519", "id_ed25519.pub"] {
            unlinkat(&empty, name, UnlinkatFlags::NoRemoveDir).ok();
        }
        for directory in [&empty, &full] {
            fchown(directory, Some(0), Some(0)).unwrap();
        }
    }
    attack.end();
    let seconds = began.elapsed().as_secs_f64();
    println!("~/.ssh and another directory of root's: {figures:?}, {given} times given, {seconds:.1} s");
    assert_eq!(figures.touched, 0);
    assert!(given > 0, "the empty one was never given away, so that nothing was tried: {figures:?}");
}

/// `undo` moves a key aside that `apply` made: in the account's own directory, and no other file.
#[test]
fn undo_moves_nothing_of_roots_aside() {
    let Some(_turn) = turn() else { return };
    against_all("undo", &|_, victim| {
        // As tempting as can be: with the account's rights as with root's, only the way there is closed.
        set_permissions(victim, PermissionsExt::from_mode(0o777)).unwrap();
        Box::new(|tree| {
            run_limited(&mut tree.command(&["apply", "--profile", "shell", "--only", "ssh_key"]));
            let run = run_limited(&mut tree.command(&["undo"]));
            let moved = run.status == 0 && run.contains("is moved to");
            (run, moved)
        })
    });
}
