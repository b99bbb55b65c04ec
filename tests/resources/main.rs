//! What each section of a profile makes of a host: missing, right, drifted, of the wrong kind.
//!
//! A case is a host and what is to come out. The plan must name it, `apply` must bring it about, and a second plan must be
//! empty; what is refused leaves the host as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a host that can't be laid out stops the test")]

#[path = "../support/mod.rs"]
mod support;

mod account;
mod config;
mod deploy;
mod git;
mod known_hosts;
mod services;
mod ssh_key;
mod sudoers;

use serde_json::Value;
use support::{Run, Tree, assert_unchanged, have, is_root, skip};

const ACCOUNT: &str = "gitlab-runner";
const ID: u32 = 998;
const HOME: &str = "/home/gitlab-runner";

/// Owners tell the cases apart, which only root can give.
fn possible() -> bool {
    if !is_root() {
        skip("the owners of a host's files are given by root");
    }
    is_root() && have(&["visudo", "useradd", "usermod", "ssh-keygen"])
}

/// A host that is laid out.
struct Host(Tree);

impl Host {
    /// Debian with sudo and rsync, and without an account for the runner.
    fn bare() -> Self {
        let tree = Tree::new().dir("srv", 0o755).file_mode("usr/local/bin/runner-prep", "", 0o755);
        Self(tree).file("/usr/bin/sudo", 0o4755, 0, "")
    }

    /// The same with the account and its home.
    fn new() -> Self {
        Self::bare().account(ACCOUNT, ID, HOME)
    }

    fn account(self, name: &str, id: u32, home: &str) -> Self {
        Self(self.0.account(name, id, home))
    }

    fn group(self, name: &str, id: u32, members: &str) -> Self {
        let others = self.0.text("etc/group");
        let others = others.lines().filter(|line| !line.starts_with(&format!("{name}:")));
        let text: String = others.flat_map(|line| [line, "\n"]).collect();
        self.0.put("etc/group", format!("{text}{name}:x:{id}:{members}\n"));
        self
    }

    /// A file of that user and the group of the same number.
    fn file(self, path: &str, mode: u32, owner: u32, text: impl AsRef<[u8]>) -> Self {
        let tree = self.without(path).0.file_mode(path, text, mode).own(path, owner);
        tree.chmod(path, mode);
        Self(tree)
    }

    fn dir(self, path: &str, mode: u32, owner: u32) -> Self {
        Self(self.0.dir(path, mode).own(path, owner))
    }

    fn fifo(self, path: &str) -> Self {
        Self(self.without(path).0.fifo(path))
    }

    fn link(self, path: &str, target: &str) -> Self {
        Self(self.without(path).0.link(path, target))
    }

    /// A second name for a file that is there already.
    fn hard_linked(self, path: &str) -> Self {
        std::fs::hard_link(self.0.path(path), self.0.path(&format!("{path}.second"))).unwrap();
        self
    }

    /// Nothing is at this path.
    fn without(self, path: &str) -> Self {
        if self.0.exists(path) {
            self.0.remove(path);
        }
        self
    }

    /// gitlab-runner is installed in this version.
    fn version(self, version: &str) -> Self {
        let text = format!("Package: gitlab-runner\nStatus: install ok installed\nVersion: {version}\n\n");
        self.file("/var/lib/dpkg/status", 0o644, 0, text)
    }

    fn copy(&self) -> Self {
        Self(self.0.copy())
    }

    /// Runs a command of the program with a profile's text.
    fn run(&self, command: &str, profile: &str, options: &[&str]) -> Run {
        self.0.put("mine.toml", profile);
        let all = [&[command, "--json", "--profile", "./mine.toml"], options].concat();
        self.0.run(&all)
    }

    /// Brings the host into the state that the profile describes.
    #[track_caller]
    fn applied(self, profile: &str, options: &[&str]) -> Self {
        let run = self.run("apply", profile, &[&["--allow-pending"], options].concat());
        assert!(run.status == 0, "{run}");
        self
    }
}

/// Permission bits and the number of the owner and its group.
type Meta = (u32, u32);

fn root(mode: u32) -> Meta {
    (mode, 0)
}

fn own(mode: u32) -> Meta {
    (mode, ID)
}

/// What a case wants to come out: the verb of the plan, what it is about, and what is there then.
#[derive(Debug, Clone)]
struct Expected {
    action: &'static str,
    id: String,
    /// Owner and mode, and the text of a file, as far as they are known before.
    after: Option<(Meta, Option<String>)>,
}

impl Expected {
    fn new(action: &'static str, id: &str, after: Option<(Meta, Option<String>)>) -> Self {
        Self { action, id: id.to_owned(), after }
    }
}

/// A file that is made or replaced.
fn file(path: &str, before: Option<&str>, after: &str, meta: Meta) -> Expected {
    let action = if before.is_some() { "update" } else { "create" };
    Expected::new(action, path, Some((meta, Some(after.to_owned()))))
}

/// A file that goes away.
fn gone(path: &str) -> Expected {
    Expected::new("remove", path, None)
}

/// A directory that is made, or a file whose text nobody knows before.
fn made(path: &str, meta: Meta) -> Expected {
    Expected::new("create", path, Some((meta, None)))
}

/// A thing whose mode and owner are repaired.
fn repaired(path: &str, meta: Meta) -> Expected {
    Expected::new("repair", path, Some((meta, None)))
}

/// The codes that a document says under a key: `warnings` or `pending`.
fn codes(document: &Value, key: &str) -> Vec<String> {
    let remarks = document[key].as_array().unwrap();
    remarks.iter().map(|remark| remark["code"].as_str().unwrap().to_owned()).collect()
}

fn planned(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = document["changes"].as_array().unwrap();
    changes.iter().map(|change| (text(&change["action"]), text(&change["id"]))).collect()
}

/// Demands these changes, and none of a second plan after they were made. Returns the first plan.
#[track_caller]
fn changes(name: &str, profile: &str, host: &Host, expected: &[Expected]) -> Value {
    let host = host.copy();
    let plan = host.run("plan", profile, &[]);
    let document = plan.json();
    let wanted: Vec<(String, String)> =
        expected.iter().map(|one| (one.action.to_owned(), one.id.clone())).collect();
    assert_eq!(planned(&document), wanted, "{name}: {plan}");
    assert_eq!(document["failed"], false, "{name}: {plan}");
    let before = host.0.listing();
    let host = host.applied(profile, &[]);
    if expected.is_empty() {
        assert_unchanged(&before, &host.0.listing());
    }
    for Expected { action, id, after } in expected {
        assert!(*action != "remove" || !host.0.exists(id), "{name}: {id}");
        let Some(((mode, owner), text)) = after else { continue };
        assert_eq!(host.0.metadata(id), (*mode, *owner, *owner), "{name}: {id}");
        if let Some(text) = text {
            assert_eq!(host.0.text(id), *text, "{name}: {id}");
        }
    }
    let again = host.run("plan", profile, &[]);
    assert!(planned(&again.json()).is_empty(), "{name}: a second plan: {again}");
    document
}

/// Demands that the host is as the profile wants it.
#[track_caller]
fn converged(name: &str, profile: &str, host: &Host) -> Value {
    changes(name, profile, host, &[])
}

/// Demands a refusal with this code, with a repair and without a change.
#[track_caller]
fn refused(name: &str, profile: &str, host: &Host, code: &str) {
    refused_with(name, profile, host, &[], code);
}

#[track_caller]
fn refused_with(name: &str, profile: &str, host: &Host, options: &[&str], code: &str) {
    host.0.put("mine.toml", profile);
    let before = host.0.stamps();
    let run = host.run("plan", profile, options);
    let document = run.json();
    assert_eq!(document["failed"], true, "{name}: {run}");
    let remark = &document["warnings"][0];
    assert_eq!(remark["code"], code, "{name}: {run}");
    assert!(remark["repair"].as_str().is_some_and(|repair| !repair.is_empty()), "{name}: no repair: {run}");
    let written = |line: &String| !line.contains("mine.toml");
    let only = |lines: Vec<String>| lines.into_iter().filter(written).collect::<Vec<_>>();
    assert_unchanged(&only(before), &only(host.0.stamps()));
}
