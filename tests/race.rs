//! The account exchanges what is in its home for links to root's things in a tight loop, while root works there.
//!
//! What root owns must never be touched. `RUNNER_PREP_LONG=1` makes ten times as many rounds.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't be set up has to stop"
)]

mod support;

use std::fs::{File, set_permissions};
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, mkfifo, setgid, setgroups, setuid, unlinkat};
use support::{
    Run, Tree, assert_unchanged, have, is_root, listing, long, program, run_limited, skip, stamps,
};

const ACCOUNT: u32 = 61_998;
const HOME: &str = "/home/gitlab-runner";
/// Tells the test `attacker` what to exchange: two paths, the directory with what root made, and the text that the
/// first one gets again and again, if any.
const ORDERS: &str = "RUNNER_PREP_TEST_ATTACK";

/// Not a test: the attacker, started by [`Attack::start`] as a process of its own.
#[test]
fn attacker() {
    let Some(orders) = std::env::var_os(ORDERS) else { return };
    let orders = orders.into_string().unwrap();
    let [one, other, made, again] = orders.split('\u{1}').collect::<Vec<_>>().try_into().unwrap();
    setgroups(&[]).unwrap();
    setgid(Gid::from_raw(ACCOUNT)).unwrap();
    setuid(Uid::from_raw(ACCOUNT)).unwrap();
    let made = open(made, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    println!("ready");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0_u64.. {
        // Now at once, now after a while: the program has to get past each of its steps sometimes.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_micros((random >> 32) % 8 * (random % 128));
        let began = Instant::now();
        while began.elapsed() < pause {
            std::hint::spin_loop();
        }
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).ok();
        if round % 21 == 0 {
            // So that root has something to do again: a key to make, or a mode to repair.
            for name in ["id_ed25519", "id_ed25519.pub", ".gitconfig"] {
                if !other.ends_with(name) && !one.ends_with(name) {
                    unlinkat(&made, name, UnlinkatFlags::NoRemoveDir).ok();
                }
            }
            if !again.is_empty() {
                let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
                if let Ok(file) = open(one, flags, Mode::empty()) {
                    nix::unistd::write(file, again.as_bytes()).ok();
                }
            }
            fchmodat(&made, ".", Mode::from_bits_truncate(0o755), FchmodatFlags::FollowSymlink).ok();
            let key = "id_ed25519";
            let loose = Mode::from_bits_truncate(0o644);
            fchmodat(&made, key, loose, FchmodatFlags::NoFollowSymlink).ok();
            if nix::unistd::getppid().as_raw() == 1 {
                return;
            }
        }
    }
}

/// A running attacker, and its output: it ends when nobody listens.
struct Attack {
    child: Child,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Attack {
    fn start(one: &Path, other: &Path, made: &Path, again: &str) -> Self {
        let paths = [one, other, made].map(|path| path.to_str().unwrap());
        let orders = [&paths[..], &[again]].concat().join("\u{1}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacker", "--nocapture"])
            .env(ORDERS, orders)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "the attacker does not start");
        Self { child, _output: lines }
    }

    /// It attacked all the time.
    fn end(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the attacker ended before its time");
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A tree with an account and, outside its home, what it wants root to change.
fn scene() -> (Tree, PathBuf) {
    let tree = Tree::new()
        .account("gitlab-runner", ACCOUNT, HOME)
        .dir("home/gitlab-runner/.ssh", 0o755)
        .own("home/gitlab-runner/.ssh", ACCOUNT)
        .dir("victim", 0o755)
        .file_mode("victim/secret", "root's own\n", 0o600);
    let victim = tree.path("victim");
    (tree, victim)
}

/// A key of root's, which would be given away if a link to it were followed.
fn root_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "root", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Figures {
    rounds: u32,
    done: u32,
    refused: u32,
    half_way: u32,
    touched: u32,
}

impl Figures {
    fn count(&mut self, exit: i32, said: &str) {
        self.rounds += 1;
        // An error that names a change comes from the middle of the writing.
        self.half_way += u32::from(
            ["ssh_key ", "git ", "known_hosts ", "account ", "and taking"]
                .iter()
                .any(|it| said.starts_with(&format!("error: {it}"))),
        );
        match exit {
            0 => self.done += 1,
            2 => self.refused += 1,
            _ => panic!("exit code {exit}: {said}"),
        }
    }
}

/// Let the program work under attack; after each round root's things must be what they were.
fn attack(tree: &Tree, victim: &Path, swap: (&str, &str), made: &str, rounds: u32) -> Figures {
    let usual = ["apply", "--profile", "shell", "--only", "ssh_key,git"];
    attack_on(tree, victim, swap, (made, ""), &usual, rounds)
}

/// The same with other arguments, and a text that is put back where the program mended it. With such a
/// text it goes on until one round came to its end: a program that always refuses would never be touched.
fn attack_on(
    tree: &Tree,
    victim: &Path,
    swap: (&str, &str),
    (made, again): (&str, &str),
    arguments: &[&str],
    rounds: u32,
) -> Figures {
    let attack = Attack::start(&tree.path(swap.0), &tree.path(swap.1), &tree.path(made), again);
    let before = stamps(victim);
    let mut figures = Figures::default();
    let most = if again.is_empty() { rounds } else { rounds * 20 };
    while figures.rounds < rounds || (figures.done == 0 && figures.rounds < most) {
        let ended = tree.command(arguments).output().unwrap();
        figures.count(ended.status.code().unwrap_or(-1), &String::from_utf8_lossy(&ended.stderr));
        figures.touched += u32::from(stamps(victim) != before);
    }
    attack.end();
    assert_unchanged(&before, &stamps(victim));
    figures
}

fn rounds(short: u32) -> u32 {
    if long() { short * 10 } else { short }
}

/// One attack at a time: each takes a core.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> Option<MutexGuard<'static, ()>> {
    if !is_root() {
        skip("only root can work as another account");
        return None;
    }
    have(&["ssh-keygen"]).then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn a_directory_exchanged_for_a_link_leads_nowhere() {
    let Some(_turn) = turn() else { return };
    let began = Instant::now();
    let mut all = Figures::default();
    for with_key in [false, true] {
        let (tree, victim) = scene();
        if with_key {
            root_key(&victim.join("id_ed25519"));
            set_permissions(victim.join("id_ed25519"), PermissionsExt::from_mode(0o644)).unwrap();
        }
        symlink(&victim, tree.path("home/gitlab-runner/lnk")).unwrap();
        chown_link(&tree.path("home/gitlab-runner/lnk"));
        // The link does not lead out of the tree for the program, so that its own way to the place is tried, too.
        let inside = tree.path("home/gitlab-runner/inside");
        symlink("/victim", &inside).unwrap();
        let swap = |link: &'static str| ("home/gitlab-runner/.ssh", link);
        for link in ["home/gitlab-runner/lnk", "home/gitlab-runner/inside"] {
            let real = "home/gitlab-runner/.ssh";
            let found = attack(&tree, &victim, swap(link), real, rounds(500));
            put_back(&tree, link);
            all.rounds += found.rounds;
            all.done += found.done;
            all.refused += found.refused;
            all.half_way += found.half_way;
            all.touched += found.touched;
        }
    }
    println!("~/.ssh exchanged: {all:?}, {:.1} s", began.elapsed().as_secs_f64());
    println!("touched: {}", all.touched);
    assert_eq!(all.touched, 0);
    // It has to have come between the steps, or nothing was tried.
    assert!(all.half_way > 0, "the attacker never met the program: {all:?}");
}

#[test]
fn a_file_exchanged_for_a_link_leads_nowhere() {
    let Some(_turn) = turn() else { return };
    let began = Instant::now();
    let (tree, victim) = scene();
    root_key(&victim.join("id_ed25519"));
    let key = tree.path("home/gitlab-runner/.ssh/id_ed25519");
    root_key(&key);
    chown(&key, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    chown(key.with_extension("pub"), Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    symlink(victim.join("id_ed25519"), tree.path("home/gitlab-runner/.ssh/lnk")).unwrap();
    let swap = ("home/gitlab-runner/.ssh/id_ed25519", "home/gitlab-runner/.ssh/lnk");
    let keys = attack(&tree, &victim, swap, "home/gitlab-runner/.ssh", rounds(300));

    let (tree, victim) = scene();
    let tree = tree.file("home/gitlab-runner/.gitconfig", "[core]\n\tbare = false\n");
    let tree = tree.own("home/gitlab-runner/.gitconfig", ACCOUNT);
    std::fs::write(victim.join("gitconfig"), "[core]\n").unwrap();
    symlink(victim.join("gitconfig"), tree.path("home/gitlab-runner/lnk")).unwrap();
    let swap = ("home/gitlab-runner/.gitconfig", "home/gitlab-runner/lnk");
    let git = attack(&tree, &victim, swap, "home/gitlab-runner/.ssh", rounds(200));

    let profile = "[account]\n[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
    let mut others = Vec::new();
    for (name, text) in [(".ssh/known_hosts", "# none\n"), (".bash_logout", "clear\n")] {
        let (tree, victim) = scene();
        let path = format!("home/gitlab-runner/{name}");
        let tree = tree.file("profile.toml", profile).file(&path, text).own(&path, ACCOUNT);
        // The account may read it, so that its text is no reason to refuse; it is root's to write.
        std::fs::write(victim.join("file"), text).unwrap();
        symlink(victim.join("file"), tree.path("home/gitlab-runner/.ssh/lnk")).unwrap();
        let profile = tree.path("profile.toml");
        let arguments = ["apply", "--profile", profile.to_str().unwrap()];
        let swap = (&*path, "home/gitlab-runner/.ssh/lnk");
        let found =
            attack_on(&tree, &victim, swap, ("home/gitlab-runner/.ssh", text), &arguments, rounds(100));
        println!("~/{name}: {found:?}");
        others.push(found);
    }
    assert!(others.iter().all(|found| found.touched == 0 && found.done > 0), "{others:?}");

    println!("a key: {keys:?}, ~/.gitconfig: {git:?}, {:.1} s", began.elapsed().as_secs_f64());
    println!("touched: {}", keys.touched + git.touched);
    assert_eq!(keys.touched + git.touched, 0);
}

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

/// That the attack is one: what programs usually do falls to it.
#[test]
fn the_attack_works_against_the_usual_way() {
    let Some(_turn) = turn() else { return };
    let (tree, victim) = scene();
    symlink(&victim, tree.path("home/gitlab-runner/lnk")).unwrap();
    let ssh = tree.path("home/gitlab-runner/.ssh");
    let link = tree.path("home/gitlab-runner/lnk");
    let _attack = Attack::start(&ssh, &link, &ssh, "");
    let before = stamps(&victim);
    let began = Instant::now();
    for round in 1.. {
        // Is it a directory of the account's? Then go ahead, by name.
        if std::fs::symlink_metadata(&ssh).is_ok_and(|meta| meta.is_dir()) {
            std::fs::write(ssh.join("id_ed25519"), "a key").ok();
            chown(ssh.join("id_ed25519"), Some(ACCOUNT), Some(ACCOUNT)).ok();
        }
        if stamps(&victim) != before {
            println!("the usual way: touched in round {round}");
            return;
        }
        assert!(began.elapsed().as_secs() < 60, "the attacker is too weak: {round} rounds");
    }
}

/// After an attack either name may have the directory.
fn put_back(tree: &Tree, link: &str) {
    let (ssh, link) = (tree.path("home/gitlab-runner/.ssh"), tree.path(link));
    if ssh.is_symlink() {
        renameat2(AT_FDCWD, &ssh, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).unwrap();
    }
    File::open(&ssh).unwrap();
    assert!(program().exists());
}

fn chown_link(path: &Path) {
    nix::unistd::fchownat(
        AT_FDCWD,
        path,
        Some(Uid::from_raw(ACCOUNT)),
        Some(Gid::from_raw(ACCOUNT)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
}
