//! What a run starts dies before its work, after it, or in the middle; or stops and never comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scene::{Kind, Scene};
use super::state::{State, converges, violations};
use super::support::{Secrets, Tree, long, run_limited, tool};
use super::{possible, run_all};

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
        wrong = half_made(scene, &tree).unwrap_or_else(|| converges(scene, &tree));
    }
    wrong
        .into_iter()
        .map(|what| format!("{:?}, {} {when} {title}: {what}\n{run}", scene.kind, blow.tool))
        .collect()
}

/// useradd that dies between its own files leaves an account without a home. Nobody can tell it from one that an
/// administrator made like that, so the next run says what to do, and after that all is well.
fn half_made(scene: &Scene, tree: &Tree) -> Option<Vec<String>> {
    let is_half = tree.text("/etc/passwd").contains("gitlab-runner") && !tree.exists("/home/gitlab-runner");
    if scene.kind != Kind::Account || !is_half {
        return None;
    }
    let mut wrong = Vec::new();
    let passwd = tree.text("/etc/passwd");
    let line = passwd.lines().find(|line| line.starts_with("gitlab-runner:")).unwrap();
    let ids: Vec<u32> = line.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    let said = scene.kind.run(tree);
    let command = format!("install -d -m 0755 -o gitlab-runner -g {} /home/gitlab-runner", ids[1]);
    if said.status != 2 || !said.contains(&command) {
        wrong.push(format!("half an account is not explained:\n{said}"));
    }
    let path = tree.path("/home/gitlab-runner");
    std::fs::create_dir(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(ids[0]), Some(ids[1])).unwrap();
    let next = scene.kind.run(tree);
    let before = tree.stamps();
    let third = scene.kind.run(tree);
    if (next.status, third.status) != (0, 0) || before != tree.stamps() {
        wrong.push(format!("it does not converge with a home:\n{next}\n{third}"));
    }
    Some(wrong)
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
                let mut fates = fates.to_vec();
                if name == "useradd" {
                    // Between any two of the files that it writes.
                    fates.extend((1..=if long() { 12 } else { 0 }).map(|step| {
                        let inject = format!("inject=rename,renameat,renameat2:signal=KILL:when={step}");
                        let fate = format!("exec strace -qq -o /dev/null -e {inject} \"$real\" \"$@\"");
                        (format!("killed at rename {step}"), fate)
                    }));
                }
                let short = if long() { fates.len() } else { 1 };
                let chosen = fates.into_iter().cycle().skip(if long() { 0 } else { when }).take(short);
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
