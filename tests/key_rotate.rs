//! `key --rotate`: a new key in the place of the old one, which is kept, and the way back as the report gives it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test makes the account's files itself")]

mod support;

use support::{Host, Run, Tree, have, is_root};

const HOME: &str = "home/gitlab-runner";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";

fn tree() -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner")
}

/// A tree whose account has a key.
fn with_key(profile: &str) -> Tree {
    let tree = tree().file("/etc/runner-prep/profiles/mine.toml", format!("summary = \"x\"\n{profile}"));
    tree.run(&["apply", "--profile", "mine", "--quiet"]).ok();
    tree
}

/// The names in the account's directory of keys.
fn names(tree: &Tree) -> Vec<String> {
    let mut names: Vec<String> = tree
        .listing()
        .iter()
        .filter_map(|line| Some(line.split_once(".ssh/")?.1.split(' ').next()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn repair(run: &Run) -> String {
    let document = run.json();
    let notes = document["warnings"].as_array().into_iter().flatten();
    let mut repairs = notes.filter(|note| note["code"] == "ssh-key-rotated").map(|note| &note["repair"]);
    repairs.next().and_then(|repair| repair.as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_new_key_of_the_same_type_takes_its_place_and_the_old_one_is_kept() {
    let profiles = [
        ("[ssh_key]\ncomment = \"a \\\"b\\\" c\"\n", "ssh-ed25519 ", "id_ed25519"),
        ("[ssh_key]\ntype = \"rsa\"\nbits = 2048\n", "ssh-rsa ", "id_rsa"),
    ];
    for (profile, kind, name) in profiles {
        if kind == "ssh-rsa " && !have(&["ssh-keygen"]) {
            return;
        }
        let tree = with_key(profile);
        // Of an RSA key the private file shows the public part, too, so that nothing may print the line here.
        let line = || tree.text(&format!("{HOME}/.ssh/{name}.pub"));
        let old = line();
        let private = tree.text(&format!("{HOME}/.ssh/{name}"));
        if kind == "ssh-rsa " {
            tree.run(&["key", "--rotate", "--quiet"]).ok();
        } else {
            let run = tree.run(&["key", "--rotate"]);
            run.ok().says("4 changes made").says("not removed: GitLab lets it in").says_not("PRIVATE KEY");
        }
        let new = line();
        assert!(new.starts_with(kind) && new != old, "{new}");
        let comment = |line: &str| line.splitn(3, ' ').nth(2).map(str::to_owned);
        assert_eq!(comment(&new), comment(&old));
        let aside = names(&tree).into_iter().find(|found| found.starts_with(&format!("{name}.rotated-")));
        let aside = aside.unwrap_or_default();
        assert_eq!(tree.text(&format!("{HOME}/.ssh/{aside}")), private, "{profile}");
        assert_eq!(tree.text(&format!("{HOME}/.ssh/{aside}.pub")), old, "{profile}");
        // Neither is taken for another key of the account's.
        tree.run(&["check", "--profile", "mine", "--quiet"]).ok();
        // Another one, at once.
        tree.run(&["key", "--rotate", "--quiet"]).ok();
        assert_eq!(names(&tree).len(), 6, "{:?}", names(&tree));
        assert_ne!(line(), new);
        tree.run(&["check", "--profile", "mine", "--quiet"]).ok();
    }
}

#[test]
fn where_no_new_key_can_be_made_nothing_has_changed() {
    let before = |tree: &Tree| tree.listing();
    // Nothing to rotate.
    let none = tree();
    let was = before(&none);
    none.run(&["key", "--rotate"]).exit(2).says("no SSH key that jobs can use");
    support::assert_unchanged(&was, &before(&none));
    // ssh tries another name, and would not use the new key.
    let named = with_key("[ssh_key]\n");
    for end in ["", ".pub"] {
        let (from, to) = (format!("{KEY}{end}"), format!("{HOME}/.ssh/deploy{end}"));
        std::fs::rename(named.path(&from), named.path(&to)).unwrap();
    }
    named.put(&format!("{HOME}/.ssh/config"), "IdentityFile ~/.ssh/deploy\n");
    if is_root() {
        std::os::unix::fs::chown(named.path(&format!("{HOME}/.ssh/config")), Some(998), Some(998)).unwrap();
    }
    let old = named.run(&["key"]).ok().stdout.clone();
    named.run(&["key", "--rotate"]).exit(2).says("a new key would not be used").says("the old one is back");
    assert_eq!(names(&named), ["config", "deploy", "deploy.pub"]);
    assert_eq!(named.run(&["key"]).ok().stdout, old);
    named.run(&["key", "--rotate", "--fingerprint"]).exit(2).says("--fingerprint");
}

#[test]
fn the_way_back_works_as_it_is_printed() {
    if !have(&["sudo", "ssh-keygen"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let old = host.prep(&["key"]).ok().stdout.clone();
    host.as_account("gitlab-runner", "/opt/under-test/runner-prep key --rotate").exit(2).says("must be root");
    let run = host.prep(&["key", "--rotate", "--json"]);
    let repair = repair(run.ok());
    host.as_account("gitlab-runner", "ssh-keygen -y -P '' -f ~/.ssh/id_ed25519").ok().says_not("incorrect");
    let way = repair.split_once("The way back: ").map(|(_, way)| way.to_owned()).unwrap_or_default();
    host.sh(&way).ok();
    assert_eq!(host.prep(&["key"]).ok().stdout, old, "{repair}");
    host.prep(&["check", "--profile", "shell", "--only", "ssh_key"]).ok();
}
