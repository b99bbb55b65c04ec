//! What a host looks like between two runs, and what may never be seen there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use super::scene::{CONFIG, Kind, SSH, Scene};
use super::support::{PATH, Tree, listing};

/// Our own state, which differs from run to run.
const STATE: &str = "var/lib/runner-prep";

/// Every file and directory of a host by its path, without our own state: mode, owner, kind and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    pub(crate) fn of(tree: &Tree) -> Self {
        let lines = listing(tree.top()).into_iter().filter_map(|line| {
            let mut fields = line.splitn(6, ' ');
            let (mode, owner, kind) = (fields.next()?, fields.next()?, fields.next()?);
            let (size, digest, path) = (fields.next()?, fields.next()?, fields.next()?);
            if path.starts_with(STATE) {
                return None;
            }
            // Every key is another one, what useradd writes has the day in it, and its backups are of its last
            // step.
            let random = path.contains("/.ssh/id_")
                || path.ends_with("shadow")
                || (path.starts_with("etc/") && path.ends_with('-'));
            let content = if random { "" } else { digest };
            let size = if random { "" } else { size };
            Some((named(path), format!("{mode} {owner} {kind} {size} {content}")))
        });
        Self(lines.collect())
    }
}

impl State {
    /// As it was before the run, but for an account.
    pub(crate) fn is_old(&self, scene: &Scene) -> bool {
        let rest = |state: &Self| {
            let rest = state.0.iter().filter(|(name, _)| scene.kind != Kind::Account || !is_of_account(name));
            rest.map(|(name, is)| (name.clone(), is.clone())).collect::<Vec<_>>()
        };
        rest(self) == rest(&scene.old)
    }

    /// Without what a run may leave for the next one to sweep.
    pub(crate) fn swept(&self) -> Self {
        let swept = self.0.iter().filter(|(name, _)| !name.contains(".runner-prep."));
        Self(swept.map(|(name, is)| (name.clone(), is.clone())).collect())
    }
}

/// What useradd makes stays also when all else is taken back: the account may own files by then.
fn is_of_account(name: &str) -> bool {
    let databases = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid", ".pwd"];
    let is_database = |name: &str| databases.contains(&name.trim_end_matches(['-', '+']));
    name.strip_prefix("etc/").is_some_and(|name| is_database(name.trim_end_matches(".lock")))
        || ["home/gitlab-runner", "var/mail/gitlab-runner"].contains(&name)
}

/// A path without what is another one in each run.
fn named(path: &str) -> String {
    let is_random = |word: &str| word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words: Vec<&str> = path
        .split('.')
        .map(|word| match word {
            word if is_random(word) => "RANDOM",
            word if word.starts_with("undone-") => "undone",
            word => word,
        })
        .collect();
    words.join(".")
}

/// The names of what lies in our own state, with what is said of each run.
fn own_state(tree: &Tree) -> String {
    let mut text = String::new();
    for line in listing(tree.path(STATE)) {
        let name = line.splitn(6, ' ').last().unwrap_or_default();
        let inside = tree.path(STATE).join(name);
        if name.ends_with("entry.json") {
            let entry = std::fs::read_to_string(inside).unwrap_or_default();
            let marks = entry.lines().filter(|line| line.contains("\"state\"") || line.contains("\"swept\""));
            text.extend(marks.map(str::trim));
        }
        let plain: String = named(name).chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        text.extend([line.split(' ').next().unwrap_or_default(), " ", &plain, "\n"]);
    }
    text
}

/// Everything that decides what the next run does.
pub(crate) fn fingerprint(tree: &Tree) -> String {
    format!("{:?}\n{}", State::of(tree).0, own_state(tree))
}

/// Every rule that holds at any instant, whatever happened.
pub(crate) fn violations(scene: &Scene, tree: &Tree) -> Vec<String> {
    let now = State::of(tree);
    let mut wrong = Vec::new();
    let names = now.0.keys().chain(scene.old.0.keys()).chain(scene.new.0.keys());
    for name in names.collect::<BTreeSet<_>>() {
        let (is, old, new) = (now.0.get(name), scene.old.0.get(name), scene.new.0.get(name));
        if is == old || is == new || is_allowed(scene.kind, name, is, tree) {
            continue;
        }
        wrong.push(format!("{name} is neither old nor new: {is:?}, not {old:?} or {new:?}"));
    }
    wrong.extend(key_pair(tree, scene.kind));
    wrong.extend(policy(tree));
    wrong
}

/// What may lie there beside the old and the new state.
fn is_allowed(kind: Kind, name: &str, is: Option<&String>, tree: &Tree) -> bool {
    // A candidate or an old file, as narrow as the file itself.
    if name.contains(".runner-prep.") {
        let secret =
            ["config.toml", "id_ed25519."].iter().any(|it| name.contains(it)) && !name.contains(".pub");
        return is.is_some_and(|is| {
            let mode = u32::from_str_radix(is.split(' ').next().unwrap_or("7777"), 8).unwrap_or(0o7777);
            mode & if secret { 0o177 } else { 0o133 } == 0
        });
    }
    // The next run repairs it from its copy, and until then every command refuses.
    let torn = kind == Kind::InPlace && CONFIG.ends_with(name);
    if torn {
        let copies = std::fs::read_dir(tree.path(STATE)).into_iter().flatten().flatten();
        return copies.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("in-place-"));
    }
    // useradd's own: its backups, and an account that is half made.
    kind == Kind::Account && is_of_account(name)
}

/// The private key is absent or whole, and its public half absent or its own.
fn key_pair(tree: &Tree, kind: Kind) -> Vec<String> {
    let mut wrong = Vec::new();
    let Ok(entries) = std::fs::read_dir(tree.path(SSH)) else { return wrong };
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let found = |start: &str| {
        let name = names.iter().find(|name| *name == start || name.starts_with(&format!("{start}.undone-")));
        name.map(|name| tree.path(SSH).join(name))
    };
    let (private, public) = (found("id_ed25519"), found("id_ed25519.pub"));
    let Some(private) = private else {
        if public.is_some() {
            wrong.push("the public half is there without the private one".to_owned());
        }
        return wrong;
    };
    let Some(derived) = derived(&private) else {
        wrong.push("the private key is not whole".to_owned());
        return wrong;
    };
    match public.map(|public| std::fs::read_to_string(public).unwrap_or_default()) {
        Some(public) if public.split(' ').nth(1) != derived.split(' ').nth(1) => {
            wrong.push("the halves of the key do not belong together".to_owned());
        }
        None if kind == Kind::Undo => wrong.push("the public half is gone".to_owned()),
        _ => {}
    }
    wrong
}

/// The public half as the real ssh-keygen derives it, asked once for each key.
fn derived(private: &Path) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<Vec<u8>, String>> = Mutex::new(BTreeMap::new());
    let bytes = std::fs::read(private).unwrap();
    if let Some(known) = KNOWN.lock().unwrap().get(&bytes) {
        return Some(known.clone());
    }
    let asked = Command::new("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(private).output().unwrap();
    let line = asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).into_owned())?;
    KNOWN.lock().unwrap().insert(bytes, line.clone());
    Some(line)
}

/// The real visudo takes what sudo would read; asked once for each state of the directory.
fn policy(tree: &Tree) -> Option<String> {
    static KNOWN: Mutex<BTreeSet<Vec<String>>> = Mutex::new(BTreeSet::new());
    let rules = tree.path("/etc/sudoers.d");
    let state = listing(&rules);
    if KNOWN.lock().unwrap().contains(&state) {
        return None;
    }
    let kept = tempfile::tempdir().unwrap();
    let main = kept.path().join("sudoers");
    std::fs::write(&main, format!("root ALL=(ALL:ALL) ALL\n@includedir {}\n", rules.display())).unwrap();
    let mut visudo = Command::new("visudo");
    visudo.arg("-c").arg("-f").arg(&main).env("PATH", PATH).env("LC_ALL", "C");
    let asked = visudo.output().unwrap();
    if asked.status.success() {
        KNOWN.lock().unwrap().insert(state);
        return None;
    }
    let said = [asked.stdout, asked.stderr].concat();
    Some(format!("visudo: {}", String::from_utf8_lossy(&said)))
}

/// What is left that the next run has to remove, and did not.
fn leftovers(tree: &Tree) -> Vec<String> {
    let ours = |line: &String| {
        line.contains(".runner-prep.") || line.contains(&format!("{STATE}/.")) || line.contains("/in-place-")
    };
    tree.listing().into_iter().filter(ours).collect()
}

/// The next run brings the wanted state and sweeps, and the one after it writes nothing.
pub(crate) fn converges(scene: &Scene, tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let next = scene.kind.run(tree);
    if next.status != 0 {
        return vec![format!("the next run does not converge:\n{next}")];
    }
    let now = State::of(tree);
    if now != scene.new {
        wrong.push(format!("the next run leaves another state: {:?}", difference(&now, &scene.new)));
    }
    let left = leftovers(tree);
    if !left.is_empty() {
        wrong.push(format!("something is left behind: {left:?}"));
    }
    let before = tree.stamps();
    let third = scene.kind.run(tree);
    if third.status != 0 || before != tree.stamps() {
        wrong.push(format!("the third run writes something:\n{third}"));
    }
    wrong
}

fn difference(one: &State, other: &State) -> Vec<String> {
    let all = one.0.iter().chain(&other.0);
    all.filter(|(name, _)| one.0.get(*name) != other.0.get(*name))
        .map(|(name, is)| format!("{name}: {is}"))
        .collect()
}
