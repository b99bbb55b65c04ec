//! What a run starts dies before its work, after it, or in the middle; or stops and never comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scene::{Kind, Scene};
use super::state::{State, converges, violations};
use super::support::{Secrets, long, run_limited, tool};
use super::{possible, run_all, sample};

/// What becomes of a child, as a line of shell; `$real` is the program that it was to be.
const FATES: [(&str, &str); 3] = [
    ("killed before", "kill -KILL $$"),
    ("killed after", "\"$real\" \"$@\"; kill -KILL $$"),
    ("fails after", "\"$real\" \"$@\"; exit 7"),
];

/// A child of a run, and its fate.
struct Blow<'a> {
    scene: &'a Scene,
    tool: &'static str,
    when: usize,
    title: String,
    fate: String,
}

/// The run with something else in the place of a tool: the mount is seen by the run alone.
fn shadowed(kind: Kind, top: &Path, tool: &Path, by: &Path) -> Command {
    let script = "mount --bind \"$2\" \"$1\"; shift 2; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"]).arg(tool).arg(by);
    let plain = kind.command(top);
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(top);
    command
}

/// A script that counts how often it is started, and meets its fate in one of them.
fn stand_in(kept: &Path, tool: &Path, when: usize, fate: &str) -> PathBuf {
    let (real, script) = (kept.join("real"), kept.join("stand-in"));
    std::fs::copy(tool, &real).unwrap();
    let (count, real) = (kept.join("count"), real.display());
    let text = format!(
        "#!/bin/sh\nreal={real}\necho >> {count}\nif [ \"$(wc -l < {count})\" = {when} ]; then {fate}; fi\nexec \"$real\" \"$@\"\n",
        count = count.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

/// How often a tool is started by a run that is left alone.
fn starts(scene: &Scene, tool: &Path) -> usize {
    let (tree, kept) = (scene.before.copy(), tempfile::tempdir().unwrap());
    let script = stand_in(kept.path(), tool, 0, ":");
    run_limited(&mut shadowed(scene.kind, tree.top(), tool, &script)).ok();
    std::fs::read_to_string(kept.path().join("count")).map_or(0, |text| text.lines().count())
}

fn strike(blow: &Blow<'_>) -> Vec<String> {
    let Blow { scene, when, title, fate, .. } = blow;
    let (tree, kept) = (scene.before.copy(), tempfile::tempdir().unwrap());
    let secrets = Secrets::below(tree.top());
    let tool = tool(blow.tool).unwrap();
    let script = stand_in(kept.path(), &tool, *when, fate);
    let run = run_limited(&mut shadowed(scene.kind, tree.top(), &tool, &script));
    let mut wrong = violations(scene, &tree);
    wrong.extend(secrets.broken(&run));
    let now = State::of(&tree).swept();
    // What was refused or taken back is as it was; what a tool said of the rules it read need not matter.
    let holds = match run.status {
        0 => now == scene.new,
        2 => now.is_old(scene),
        _ => false,
    };
    if !holds {
        wrong.push("the exit code does not fit the state".to_owned());
    }
    if wrong.is_empty() {
        wrong = converges(scene, &tree);
    }
    wrong
        .into_iter()
        .map(|what| format!("{:?}, {} {when} {title}: {what}\n{run}", scene.kind, blow.tool))
        .collect()
}

/// The calls by which useradd changes something, and how many of each there are (shadow 4.13; the later ones of a
/// version that makes fewer are runs without a blow).
const STEPS: [(&str, usize); 9] = [
    ("?link,linkat", 4),
    ("?unlink,unlinkat", 8),
    ("?rename,?renameat,renameat2", 4),
    ("?mkdir,mkdirat", 1),
    ("?chown,fchownat", 2),
    ("?chmod,fchmodat", 2),
    ("fsync", 8),
    ("write", 10),
    ("openat", 110),
];

/// useradd dies at one of its own calls, or one fails: a full disk, or a broken one.
fn inside_useradd() -> Vec<(String, String)> {
    let mut fates = Vec::new();
    for (number, (call, count)) in STEPS.into_iter().enumerate() {
        let size = if count > 4 { 2 } else { count };
        for when in sample(count, size, number) {
            let blows = ["signal=KILL", "error=ENOSPC", "error=EIO"];
            let chosen = if long() { 0..blows.len() } else { 0..2 };
            for blow in &blows[chosen] {
                let inject = format!("inject={call}:{blow}:when={when}");
                let fate = format!("exec strace -qq -o /dev/null -e {inject} \"$real\" \"$@\"");
                fates.push((inject, fate));
            }
        }
    }
    fates
}

#[test]
fn a_child_that_dies_leaves_old_or_new() {
    if !possible(&["unshare", "mount"]) {
        return;
    }
    let scenes = [Kind::First, Kind::Account, Kind::Undo].map(Scene::new);
    let mut work = Vec::new();
    for scene in &scenes {
        for name in ["visudo", "useradd"] {
            let fates = FATES.map(|(title, fate)| (title.to_owned(), fate.to_owned()));
            for when in 1..=starts(scene, &tool(name).unwrap()) {
                let fates = fates.to_vec();
                let short = if long() { fates.len() } else { 1 };
                let inside = if name == "useradd" { inside_useradd() } else { Vec::new() };
                let chosen = fates.into_iter().cycle().skip(if long() { 0 } else { when }).take(short);
                let chosen = chosen.chain(inside);
                work.extend(chosen.map(|(title, fate)| Blow { scene, tool: name, when, title, fate }));
            }
        }
    }
    assert!(work.len() > 5, "{}", work.len());
    assert_eq!(run_all("child dies", &work, &strike), 0);
}

/// Each waits as long as a tool may take.
#[test]
fn a_child_that_stops_is_given_up() {
    if !long() || !possible(&["unshare", "mount"]) {
        return;
    }
    let scene = Scene::new(Kind::First);
    let stops = |when| Blow {
        scene: &scene,
        tool: "visudo",
        when,
        title: "stops".to_owned(),
        fate: "kill -STOP $$".to_owned(),
    };
    let work: Vec<_> = (1..=starts(&scene, &tool("visudo").unwrap())).map(stops).collect();
    assert_eq!(run_all("child stops", &work, &strike), 0);
}
