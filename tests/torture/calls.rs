//! Every system call of a run is its last one, fails, or is met by a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::scene::{Kind, NOWHERE, Scene};
use super::state::{State, converges, fingerprint, violations};
use super::support::{Run, long, run_limited, tool};
use super::{possible, run_all, sample};

/// Calls that change something, that say whether something may be changed, or that the standard library takes for
/// infallible.
const CHANGING: [&str; 21] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "ftruncate",
    "fallocate",
    "renameat2",
    "renameat",
    "unlinkat",
    "mkdirat",
    "fchown",
    "fchmod",
    "utimensat",
    "linkat",
    "fcntl",
    "flock",
    "setresuid",
    "setresgid",
    "fsetxattr",
    "wait4",
    "clock_nanosleep",
];

/// What a disk, a kernel or an administrator has against a program.
const ERRORS: [&str; 11] =
    ["ENOSPC", "EIO", "EDQUOT", "EROFS", "EPERM", "EACCES", "EBUSY", "EINTR", "EMFILE", "ENOMEM", "ENOSYS"];

/// What the standard library prepares a program with: its streams, its signals, and a stack for them.
const PREPARING: [&str; 4] = ["poll", "rt_sigaction", "mprotect", "sigaltstack"];

/// What it says when it can't.
const NOT_BEGUN: &str = "fatal runtime error: initialization or cleanup bug, aborting";

/// What asks a program to end, with the exit code that a shell gives to it.
const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// A call to interrupt, and how.
struct Blow<'a> {
    scene: &'a Scene,
    call: &'a str,
    when: usize,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Kill,
    Error(&'static str),
    Signal(&'static str, i32),
}

impl Blow<'_> {
    fn inject(&self) -> String {
        let (call, when) = (self.call, self.when);
        match self.how {
            How::Kill => format!("inject={call}:signal=KILL:when={when}"),
            How::Error(error) => format!("inject={call}:error={error}:when={when}"),
            How::Signal(signal, _) => format!("inject={call}:signal={signal}:when={when}"),
        }
    }
}

/// How often each call is made by a run that is left alone.
pub(crate) fn counted(scene: &Scene) -> BTreeMap<String, usize> {
    let tree = scene.before.copy();
    let log = tempfile::NamedTempFile::new().unwrap();
    run_limited(&mut scene.kind.traced(tree.top(), log.path(), &[])).ok();
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(log.path()).unwrap().lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        // The tracer makes the first one itself, and the last ones end the process whatever they return.
        let counts_not = ["execve", "exit_group", "exit", "rt_sigreturn"].contains(&call);
        if !counts_not && call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// States that were followed to the end already: what a run does next depends on nothing else.
type Known = Mutex<BTreeSet<String>>;

/// One interrupted run, and all that has to hold after it.
fn strike(blow: &Blow<'_>, known: &Known) -> Vec<String> {
    let Blow { scene, call, how, .. } = blow;
    let tree = scene.before.copy();
    let secrets = super::support::Secrets::below(tree.top());
    let inject = blow.inject();
    let run = run_limited(&mut scene.kind.traced(tree.top(), NOWHERE.as_ref(), &["-e", &inject]));
    if scene.kind == Kind::Account {
        wait_for_children(&tree.top().to_string_lossy());
    }
    let mut wrong = violations(scene, &tree);
    if !run.contains(NOT_BEGUN) {
        wrong.extend(secrets.broken(&run));
    }
    let now = State::of(&tree).swept();
    let (is_old, is_new) = (now.is_old(scene), now == scene.new);
    wrong.extend(exit(*how, call, &run, is_old, is_new));
    if run.contains("a bug in runner-prep") {
        wrong.push("it panics".to_owned());
    }
    if wrong.is_empty() && known.lock().unwrap().insert(format!("{:?} {}", scene.kind, fingerprint(&tree))) {
        wrong = converges(scene, &tree);
    }
    wrong.into_iter().map(|what| format!("{:?}, {inject}: {what}\n{run}", scene.kind)).collect()
}

/// What the exit code says has to be so.
fn exit(how: How, call: &str, run: &Run, is_old: bool, is_new: bool) -> Option<String> {
    let holds = match (how, run.status) {
        // It was not reached in this run, or was survived.
        (_, 0) => is_new,
        (How::Kill, 137) => true,
        // Signals are held back from the first write on: before it, they end a run that has done nothing.
        (How::Signal(_, code), status) => status == code && is_old,
        // Everything was taken back, or the report says what was not.
        (How::Error(_), 2) => {
            is_old
                || [
                    "everything was changed, but",
                    "still differs",
                    "taking the changes back failed",
                    "not all was cleaned up",
                    "all is as it was, but",
                    "everything was put back, but",
                ]
                .iter()
                .any(|it| run.contains(it))
        }
        // The standard library prepares a program before it begins, and aborts when it can't.
        (How::Error(_), 134) if PREPARING.contains(&call) => is_old,
        // Laying the account's rights down failed, or there was no memory at all: as good as a kill.
        (How::Error(_), 134) => {
            ["setres", "mmap", "brk", "mremap", "munmap"].iter().any(|it| call.contains(it))
        }
        // The program never began.
        (How::Error(_), 127 | 139) => is_old,
        _ => false,
    };
    (!holds).then(|| {
        format!(
            "exit code {} with a state that is {}",
            run.status,
            if is_old {
                "old"
            } else if is_new {
                "new"
            } else {
                "mixed"
            }
        )
    })
}

/// What a killed run had started goes on to its end.
fn wait_for_children(top: &str) {
    for _ in 0..500 {
        let found = Command::new(tool("pgrep").unwrap()).args(["-f", top]).output().unwrap();
        if found.stdout.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("something of the run in {top} never ends");
}

/// Every call of these kinds of hosts with each of these blows, or a sample of them.
fn torture(title: &str, kinds: &[(Kind, usize)], blows: &dyn Fn(&str, usize) -> Vec<How>) {
    let scenes: Vec<(Scene, usize)> = kinds.iter().map(|(kind, size)| (Scene::new(*kind), *size)).collect();
    let counts: Vec<_> = scenes.iter().map(|(scene, _)| counted(scene)).collect();
    let mut work = Vec::new();
    for ((scene, size), counts) in scenes.iter().zip(&counts) {
        let meant = counts.iter().filter(|(call, _)| long() || CHANGING.contains(&call.as_str()));
        for (number, (call, count)) in meant.enumerate() {
            for when in sample(*count, *size, number) {
                let each = blows(call, number + when);
                work.extend(each.into_iter().map(|how| Blow { scene, call, when, how }));
            }
        }
    }
    let known = Known::default();
    let wrong = run_all(title, &work, &|blow| strike(blow, &known));
    eprintln!("{title}: {} different states were followed to the end", known.into_inner().unwrap().len());
    assert_eq!(wrong, 0, "{title}");
}

#[test]
fn a_run_that_is_killed_leaves_old_or_new() {
    if !possible(&["pgrep", "unshare"]) {
        return;
    }
    let kinds =
        [(Kind::First, 4), (Kind::Account, 1), (Kind::Config, 2), (Kind::InPlace, 2), (Kind::Undo, 3)];
    torture("killed", &kinds, &|_, _| vec![How::Kill]);
}

#[test]
fn a_call_that_fails_leaves_old_or_new() {
    if !possible(&["pgrep", "unshare"]) {
        return;
    }
    let kinds =
        [(Kind::First, 4), (Kind::Account, 1), (Kind::Config, 1), (Kind::InPlace, 2), (Kind::Undo, 2)];
    torture("failed", &kinds, &|call, number| {
        let each: Vec<How> = ERRORS.into_iter().map(How::Error).collect();
        // A close that fails has closed on Linux, close(2); the tracer would leave it out. The others never fail.
        if ["close", "umask", "geteuid", "getrandom"].contains(&call) {
            return Vec::new();
        }
        // What changes nothing fails alike whatever the error is: one of them for each call.
        if long() && CHANGING.contains(&call) { each } else { vec![each[number % each.len()]] }
    });
}

#[test]
fn a_signal_ends_nothing_half_way() {
    if !possible(&["pgrep", "unshare"]) {
        return;
    }
    let kinds = [(Kind::First, 1), (Kind::Config, 1), (Kind::Undo, 1)];
    torture("signalled", &kinds, &|call, number| {
        let each: Vec<How> = SIGNALS.into_iter().map(|(name, code)| How::Signal(name, code)).collect();
        if long() && CHANGING.contains(&call) { each } else { vec![each[number % each.len()]] }
    });
}
