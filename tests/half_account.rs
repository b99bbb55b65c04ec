//! A note in the state directory says that a run was making an account. What is exactly what that run asked for is
//! finished; whatever else somebody made of it meanwhile is theirs.
//!
//! `tests/torture/children.rs` has what a dying `useradd` really leaves.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has to stop")]

mod support;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Host, Run, Tree, have, is_root, skip};

/// Not the usual name: runs wait for a useradd that makes the account of theirs, on the whole machine.
const NAME: &str = "half-runner";
const NOTE: &str = "var/lib/runner-prep/account-half-runner";
const HOME: &str = "home/half-runner";
const LINE: &str = "half-runner:x:990:990:GitLab Runner:/home/half-runner:/bin/bash\n";
const APPLY: [&str; 7] = ["apply", "--profile", "shell", "--only", "account", "--user", NAME];

/// What else is on the host.
type LayOut = fn(Tree) -> Tree;

fn possible() -> bool {
    if !is_root() {
        skip("only root makes accounts");
    }
    is_root() && have(&["useradd", "usermod", "groupadd", "groupmod"])
}

/// A killed run left its note and this line, and no more.
fn half_made(line: &str) -> Tree {
    let note = "{\"name\":\"half-runner\",\"comment\":\"GitLab Runner\",\"shell\":\"/bin/bash\",\
                \"home\":\"/home/half-runner\"}";
    let tree = Tree::new().dir("var/lib/runner-prep", 0o700).file_mode(NOTE, note, 0o600);
    add(&tree, "etc/passwd", line);
    tree
}

fn add(tree: &Tree, path: &str, line: &str) {
    let mut file = std::fs::File::options().append(true).open(tree.path(path)).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn has(tree: &Tree, path: &str) -> bool {
    tree.text(path).lines().any(|line| line.starts_with("half-runner:"))
}

fn apply(tree: &Tree) -> Run {
    let run = tree.run(&APPLY);
    assert!(run.status == 2 || !tree.exists(NOTE), "the note stays\n{run}");
    run
}

#[test]
fn what_is_missing_is_added() {
    if !possible() {
        return;
    }
    let tree = half_made(LINE);
    tree.run(&["plan", "--profile", "shell", "--user", NAME])
        .exit(2)
        .says("did not finish making an account");
    // A number that the half account has already is not given to another one.
    apply(&tree).ok().says("left the account half-runner half made; it is whole now");
    for path in ["etc/shadow", "etc/group", "etc/gshadow"] {
        assert!(has(&tree, path), "{path}");
    }
    assert!(tree.text("etc/group").contains("half-runner:x:990:"));
    assert_eq!(tree.metadata(HOME), (0o755, 990, 990));
    let before = tree.stamps();
    apply(&tree).ok().says_not("half made");
    support::assert_unchanged(&before, &tree.stamps());
}

#[test]
fn what_somebody_made_of_it_is_theirs() {
    if !possible() {
        return;
    }
    for line in [
        LINE.replace("/bin/bash", "/bin/sh"),
        LINE.replace("GitLab Runner", "of the operators"),
        LINE.replace(":x:", "::"),
        LINE.replace("/home/half-runner", "/home/other"),
        LINE.replace("990:990", "0:0"),
        LINE.replace("990:990", "990:0"),
    ] {
        let tree = half_made(&line);
        tree.run(&APPLY).says_not("whole now");
        for path in ["etc/shadow", "etc/group", "etc/gshadow"] {
            assert!(!has(&tree, path), "{line}: {path}");
        }
        assert!(!tree.exists(HOME) && tree.text("etc/passwd").contains(&line), "{line}");
    }
    // A password was given to it.
    let tree = half_made(LINE);
    add(&tree, "etc/shadow", "half-runner:$y$j9T$x:19000:0:99999:7:::\n");
    let before = tree.read("etc/shadow");
    tree.run(&APPLY).says_not("whole now");
    assert!(tree.read("etc/shadow") == before && !tree.exists(HOME));
}

#[test]
fn a_home_of_somebody_else_is_not_given_away() {
    if !possible() {
        return;
    }
    let cases: [(&str, LayOut); 4] = [
        ("a directory with something in it", |tree| {
            tree.dir(HOME, 0o755).file_mode("home/half-runner/secret", "x", 0o600)
        }),
        ("a directory of another account", |tree| tree.dir(HOME, 0o755).own(HOME, 33)),
        ("a link", |tree| tree.link(HOME, "../root")),
        ("a file", |tree| tree.file(HOME, "x")),
    ];
    for (name, lay) in cases {
        let tree = lay(half_made(LINE));
        let before = (tree.metadata(HOME), tree.metadata("root"));
        tree.run(&APPLY);
        assert_eq!((tree.metadata(HOME), tree.metadata("root")), before, "{name}");
    }
    // Root's, empty, and not there before: useradd made it and did not get to give it away.
    let tree = half_made(LINE).dir(HOME, 0o000);
    apply(&tree).ok().says("whole now");
    assert_eq!(tree.metadata(HOME), (0o755, 990, 990));
    // The account's, and killed before it got its mode: that of login.defs, whether wider or narrower.
    for (begun, setting, mode) in [(0o700, "", 0o755), (0o755, "HOME_MODE 0700\n", 0o700)] {
        let tree = half_made(LINE).dir(HOME, begun).own(HOME, 990).file("etc/login.defs", setting);
        apply(&tree).ok().says("whole now");
        assert_eq!(tree.metadata(HOME), (mode, 990, 990), "{begun:o}");
    }
    // A mode that nobody begins with is somebody's choice.
    let tree = half_made(LINE).dir(HOME, 0o711).own(HOME, 990);
    apply(&tree).ok();
    assert_eq!(tree.metadata(HOME), (0o711, 990, 990));
}

#[test]
fn a_note_that_is_none_is_named() {
    if !possible() {
        return;
    }
    for text in ["", "{", "[]", "{\"name\":\"half-runner\"}"] {
        let tree = Tree::new().dir("var/lib/runner-prep", 0o700).file_mode(NOTE, text, 0o600);
        tree.run(&APPLY).exit(2).says(&format!("/{NOTE} is not a note of ours; move it away"));
        assert!(tree.exists(NOTE) && !tree.exists(HOME), "{text}");
    }
}

#[test]
fn a_useradd_that_outlived_its_run_is_waited_for() {
    if !possible() || !have(&["bash"]) {
        return;
    }
    let tree = half_made(LINE);
    let mut useradd = useradd("exec bash -c \"$USERADD\"", 2);
    apply(&tree).ok().says("whole now");
    assert!(useradd.try_wait().unwrap().is_some(), "it was not waited for");
}

#[test]
fn a_useradd_of_a_container_is_not_waited_for() {
    if !possible() || !have(&["bash", "unshare", "mount", "chroot"]) {
        return;
    }
    let tree = half_made(LINE);
    let contained =
        "exec unshare --mount sh -euc 'mount -t tmpfs none /mnt; cd /mnt; mkdir usr; mount --rbind /usr usr
        for name in bin lib lib64; do ln -s usr/$name $name; done
        mkdir -p .$(dirname $PROGRAM); cp $PROGRAM .$PROGRAM; exec chroot . bash -c \"$USERADD\"'";
    not_waited_for(&tree, contained);
}

#[test]
fn copies_of_the_databases_that_an_administrator_made_stay() {
    if !possible() {
        return;
    }
    // No process has such a number, and the names are like those of useradd's own locks.
    let copies = ["etc/passwd.20240229", "etc/shadow.20240229", "etc/group.9999999", "etc/gshadow.4194305"];
    for tree in [Tree::new(), half_made(LINE)] {
        let tree =
            copies.into_iter().fold(tree, |tree, copy| tree.file_mode(copy, "root:x:0:0::/root:\n", 0o600));
        // What a killed useradd leaves goes: its number and NUL, or nothing yet.
        let tree = tree.file_mode("etc/passwd.4194306", "4194306\0", 0o600);
        let tree = tree.file_mode("etc/shadow.4194307", "", 0o600);
        apply(&tree).ok();
        for copy in copies {
            assert!(tree.exists(copy), "{copy} is gone");
        }
        assert!(!tree.exists("etc/passwd.4194306") && !tree.exists("etc/shadow.4194307"));
    }
}

#[test]
fn a_directory_of_homes_that_others_may_write_to_holds_nothing_up() {
    if !possible() {
        return;
    }
    // useradd made the home and gave it away; nothing is left to be done there.
    let tree = Tree::new().dir("home", 0o775).own("home", 1234);
    apply(&tree).ok();
    assert!(has(&tree, "etc/shadow") && tree.exists(HOME));
    // Where it was killed before that, nobody is kept from going on: the next plan says what is wrong with the home.
    let tree = half_made(LINE).dir("home", 0o775).own("home", 1234);
    apply(&tree).says("whole now").says_not("/home can be changed");
    assert!(has(&tree, "etc/shadow") && !tree.exists(HOME));
}

#[test]
fn a_locked_password_is_written_in_several_ways() {
    if !possible() {
        return;
    }
    for locked in ["!", "!!", "*", "!*"] {
        let tree = half_made(LINE);
        add(&tree, "etc/shadow", &format!("half-runner:{locked}:19000::::::\n"));
        apply(&tree).ok().says("whole now");
        assert!(has(&tree, "etc/group") && tree.exists(HOME), "{locked}");
    }
}

#[test]
fn a_program_of_another_account_that_calls_itself_useradd_is_not_waited_for() {
    if !possible() || !have(&["bash", "setpriv"]) {
        return;
    }
    let tree = half_made(LINE);
    let foreign = "exec setpriv --reuid=1234 --regid=1234 --clear-groups bash -c \"$USERADD\"";
    not_waited_for(&tree, foreign);
}

/// On `/` of a host, where useradd works without `--prefix`, the whole profile follows.
#[test]
fn a_host_on_which_useradd_dies_is_prepared_by_the_next_run() {
    const BLOWS: [&str; 4] = [
        "?rename,?renameat,renameat2:when=2",
        "?rename,?renameat,renameat2:when=4",
        "?mkdir,mkdirat:when=1",
        "?chown,fchownat:when=2",
    ];
    for blow in BLOWS {
        let Some(host) = Host::or_skip() else { return };
        if !have(&["strace", "useradd", "sudo", "visudo", "ssh-keygen", "rsync"]) {
            return;
        }
        let (call, when) = blow.split_once(':').unwrap();
        let real = support::tool("useradd").unwrap();
        let dying = format!(
            "#!/bin/sh\nexec strace -qq -o /dev/null -e inject={call}:signal=KILL:{when} {} \"$@\"\n",
            real.display()
        );
        let host = host.file_mode("/usr/local/sbin/useradd", dying, 0o755).start();
        host.prep(&["apply", "--profile", "shell"]).exit(2).says("it was killed; a part of it is there");
        host.sh("rm /usr/local/sbin/useradd").ok();
        host.prep(&["apply", "--profile", "shell"]).ok().says("it is whole now");
        let before = host.stamps();
        host.prep(&["apply", "--profile", "shell"]).ok().says_not("whole now");
        support::assert_unchanged(&before, &host.stamps());
        // It is an account like any other: files that belong together, a home, a rule, a key.
        host.sh("pwck -rq && grpck -r && getent group gitlab-runner").ok();
        host.as_account("gitlab-runner", "cd && test -O . && touch x && sudo -n /usr/bin/rsync --version")
            .ok();
    }
}

/// As GitLab's package and cloud-init make it, at the same time.
#[test]
fn another_useradd_of_the_same_account_breaks_nothing() {
    if !possible() {
        return;
    }
    for round in 0..6 {
        let tree = Tree::new();
        let mut other = Command::new("useradd");
        other.arg("half-runner").arg("--prefix").arg(tree.top());
        other.args(["--system", "--create-home", "--skel", "/dev/null"]).stderr(Stdio::null());
        let mut other = other.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round));
        let apply = ["apply", "--profile", "shell", "--only", "account,ssh_key", "--user", NAME];
        let run = tree.run(&apply);
        other.wait().unwrap();
        // It may have looked between the other's account and its home: then it is told that there is no home.
        if run.status != 0 {
            run.exit(2).says("home directory /home/half-runner");
            tree.run(&apply).ok();
        }
        let owner = tree.metadata(HOME).1;
        assert!(
            tree.text("etc/passwd").contains(&format!("half-runner:x:{owner}:{owner}:")),
            "round {round}"
        );
        assert!(!tree.exists(NOTE), "round {round}");
    }
}

#[test]
fn a_setuid_program_that_an_account_calls_useradd_is_not_waited_for() {
    if !possible() || !have(&["bash", "setpriv", "sudo"]) {
        return;
    }
    let tree = half_made(LINE);
    // It waits for a password, with root's rights and under that name.
    let asking = "exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -c \
        'exec -a useradd sudo -S -k -p \"\" useradd half-runner'";
    not_waited_for(&tree, asking);
}

/// A run ends while what the script starts under that name goes on.
fn not_waited_for(tree: &Tree, script: &str) {
    let mut useradd = useradd(script, 60);
    apply(tree).ok().says("whole now");
    assert!(useradd.try_wait().unwrap().is_none(), "it was waited for");
    useradd.kill().unwrap();
    useradd.wait().unwrap();
}

/// Something that is useradd by its name and makes the account, started by a script once that is ready.
fn useradd(script: &str, seconds: u32) -> Child {
    let programs = support::source().join("target/named-useradd");
    std::fs::create_dir_all(&programs).unwrap();
    let program = programs.join("useradd");
    // Another test may have made it, and run it by now.
    let fresh = programs.join(format!("{}.new", std::process::id()));
    std::fs::copy("/bin/bash", &fresh).unwrap();
    std::fs::rename(&fresh, &program).unwrap();
    let itself =
        format!("exec -a useradd {} -c 'read -t {seconds}; :' useradd half-runner", program.display());
    let mut useradd = Command::new("bash");
    useradd
        .args(["-c", script])
        .env("USERADD", itself)
        .env("PROGRAM", &program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let useradd = useradd.spawn().unwrap();
    let begun = Instant::now();
    let line = format!("/proc/{}/cmdline", useradd.id());
    while std::fs::read(&line).is_ok_and(|it| !it.starts_with(b"useradd\0")) {
        assert!(begun.elapsed() < Duration::from_secs(10), "no useradd");
        std::thread::sleep(Duration::from_millis(5));
    }
    useradd
}
