//! Golden trees: what a host looks like after `apply`, whole, for a handful of hosts as they are met.
//!
//! Each file of `tests/fixtures/golden` is the tree after `apply --profile dind`: a line for everything in it, with mode,
//! owner by name and size, then what every file that is new or changed has in it. Keys are different each time, so their
//! bytes are not there. To renew the files after a change that is meant, and to see what it does to hosts:
//!
//! ```sh
//! RUNNER_PREP_RENEW=1 cargo test --test golden; git diff tests/fixtures/golden
//! ```
//!
//! On the way every tree is held to the rules that no command but `apply` writes, and that a second `apply` writes nothing.

#![expect(clippy::disallowed_methods, reason = "the test reads and renews its own fixtures")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has to stop")]
#![allow(clippy::print_stdout, reason = "whoever renews a file sees what changed in it")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use similar::{ChangeTag, TextDiff};
use support::{Tree, assert_unchanged, fixture, have, is_root, skip, source};

/// Copies that `useradd` leaves, which differ between its versions.
const LEFT_BY_USERADD: &[&str] = &[
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
];
const JOURNAL: &str = "var/lib/runner-prep/journal/";
const HOME: &str = "home/gitlab-runner";
const SKELETON: &str = "# ~/.bash_logout: executed by bash(1) when login shell exits.\n\nif [ \"$SHLVL\" = 1 ]; then\n    \
    [ -x /usr/bin/clear_console ] && /usr/bin/clear_console -q\nfi\n";

/// A host where GitLab's package is installed and nothing else was done.
fn packaged() -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner")
}

/// A file of the account's.
fn theirs(tree: Tree, path: &str, bytes: &str, mode: u32) -> Tree {
    tree.file_mode(path, bytes, mode).own(path, 998)
}

#[test]
fn an_empty_debian() {
    if !is_root() {
        return skip("only root makes accounts");
    }
    if have(&["useradd"]) {
        check("empty-debian", &Tree::new(), 3);
    }
}

#[test]
fn a_registered_docker_runner() {
    check("docker-runner", &packaged().config_toml(fixture("config-docker-runner.toml")), 0);
}

#[test]
fn a_configuration_that_people_keep() {
    let tree = packaged().config_toml(fixture("config-hand-kept.toml"));
    check("hand-kept", &tree.file("etc/gitlab-runner/certs/README", "ours\n"), 0);
}

#[test]
fn a_host_that_somebody_prepared_by_hand() {
    let tree = packaged().config_toml(fixture("config-already-right.toml"));
    let tree = tree.file_mode(
        "etc/sudoers.d/gitlab-runner",
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n",
        0o440,
    );
    let pair = runner_prep::text::key_pair::ed25519("root@rack4").unwrap();
    let tree = tree.dir(&format!("{HOME}/.ssh"), 0o700).own(&format!("{HOME}/.ssh"), 998);
    let tree = theirs(tree, &format!("{HOME}/.ssh/id_ed25519"), &pair.private, 0o600);
    let tree = theirs(tree, &format!("{HOME}/.ssh/id_ed25519.pub"), &pair.public, 0o644);
    let tree =
        theirs(tree, &format!("{HOME}/.gitconfig"), "[user]\n\tname = CI\n\temail = ci@example.com\n", 0o644);
    let tree = tree.file("etc/ssh/ssh_known_hosts", runner_prep::text::known_hosts::GITLAB_COM);
    check("by-hand", &tree, 0);
}

#[test]
fn an_account_with_the_old_name() {
    let tree = Tree::new().account("gitlab_ci_multi_runner", 997, "/srv/ci");
    let tree = tree.file_mode("srv/ci/.bash_logout", SKELETON, 0o644).own("srv/ci/.bash_logout", 997);
    check("old-name", &tree.config_toml(fixture("config-docker-runner.toml")), 0);
}

#[test]
fn a_messy_host() {
    let unit = "[Service]\nExecStart=/usr/bin/gitlab-runner \"run\" \"--config\" \"/etc/gitlab-runner/config.toml\" \"--user\" \"nobody\"\n";
    let drop_in = "[Service]\nExecStart=\nExecStart=/usr/bin/gitlab-runner run --config /srv/conf/config.toml --user gitlab-runner\n";
    let pair = runner_prep::text::key_pair::ed25519("x").unwrap();
    let tree = packaged()
        .file("etc/systemd/system/gitlab-runner.service", unit)
        .file("usr/lib/systemd/system/gitlab-runner.service.d/10-ours.conf", drop_in)
        .file_mode("srv/real/runners.toml", fixture("config-crlf.toml"), 0o640)
        .link("srv/conf/config.toml", "../real/runners.toml")
        .file_mode(
            "etc/sudoers.d/gitlab-runner",
            "# Managed by runner-prep\n#998 ALL=(ALL) NOPASSWD: ALL\n",
            0o644,
        )
        .file_mode("etc/sudoers.d/gitlab-runner.bak", "gitlab-runner ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        .file(
            "etc/ssh/ssh_known_hosts",
            "# rack4\n|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 \
            AAAAC3NzaC1lZDI1NTE5AAAAIJ3q8kq0Tn5oSgWcY7pPz1m2Hn0D4Vn8yqk6vYxk3RrT",
        )
        .dir(&format!("{HOME}/.ssh"), 0o755)
        .own(&format!("{HOME}/.ssh"), 998);
    let tree = theirs(tree, &format!("{HOME}/.ssh/id_ed25519"), &pair.private, 0o644);
    // Root made it, as people do with `sudo ssh-keygen -y`.
    let tree = tree.file(&format!("{HOME}/.ssh/id_ed25519.pub"), &pair.public);
    let tree = theirs(tree, &format!("{HOME}/.gitconfig"), "# mine\r\n[user]\r\n\tname = CI\r\n", 0o666);
    check("messy", &theirs(tree, &format!("{HOME}/.bash_logout"), SKELETON, 0o600), 0);
}

/// Applies the profile and holds what comes out against the golden file.
#[track_caller]
fn check(name: &str, tree: &Tree, exit: i32) {
    if !have(&["visudo"]) {
        return;
    }
    let before = tree.stamps();
    let start = texts(tree);
    let only_looks = |before: &[String]| {
        for words in [
            &["plan", "--profile", "dind"][..],
            &["plan", "-v", "--json", "--profile", "dind"],
            &["check", "--profile", "dind"],
            &["doctor", "--profile", "dind"],
        ] {
            let run = tree.run(words);
            assert!(run.status != 2, "{run}");
            assert_unchanged(before, &tree.stamps());
        }
    };
    only_looks(&before);
    tree.run(&["apply", "--profile", "dind"]).exit(exit);
    let after = tree.stamps();
    only_looks(&after);
    tree.run(&["apply", "--profile", "dind"]).exit(exit);
    assert_unchanged(&after, &tree.stamps());

    let found = render(tree, &start);
    let path = source().join("tests/fixtures/golden").join(format!("{name}.txt"));
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    // Everything belongs to an ordinary user who prepares a tree.
    let (expected, found) = if is_root() { (golden, found) } else { (anyones(&golden), anyones(&found)) };
    if expected == found {
        return;
    }
    let difference = difference(&expected, &found);
    if support::renew() && is_root() {
        std::fs::write(&path, found).unwrap();
        println!("renewed {}:\n{difference}", path.display());
        return;
    }
    panic!(
        "{name} is not as {} has it:\n{difference}\nif that is meant: RUNNER_PREP_RENEW=1 cargo test --test golden (as root)",
        path.display()
    );
}

/// The texts of all files.
fn texts(tree: &Tree) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(tree.top(), Path::new(""), &mut |path, meta| {
        if meta.is_file() {
            found.insert(path.to_owned(), String::from_utf8_lossy(&tree.read(path)).into_owned());
        }
    });
    found
}

/// The tree as the golden file has it.
fn render(tree: &Tree, start: &BTreeMap<String, String>) -> String {
    let users = names(&tree.text("etc/passwd"));
    let groups = names(&tree.text("etc/group"));
    let (mut listing, mut content) = (String::new(), String::new());
    let mut runs = 0;
    walk(tree.top(), Path::new(""), &mut |path, meta| {
        if LEFT_BY_USERADD.contains(&path) {
            return;
        }
        if path.starts_with(JOURNAL) {
            // What is in it has the time in it, and is the business of the tests of undo.
            runs += usize::from(path.matches('/').count() == 4);
            return;
        }
        let of = |names: &BTreeMap<u32, String>, id: u32| {
            names.get(&id).cloned().unwrap_or_else(|| id.to_string())
        };
        let kind = meta.file_type();
        let (letter, rest) = if kind.is_symlink() {
            ("l", format!(" -> {}", std::fs::read_link(tree.path(path)).unwrap().display()))
        } else {
            (if kind.is_dir() { "d" } else { "f" }, String::new())
        };
        let mode = meta.mode() & 0o7777;
        let mode = if kind.is_symlink() { "----".to_owned() } else { format!("{mode:04o}") };
        let _ = writeln!(
            listing,
            "{letter} {mode} {}:{} /{path}{rest}",
            of(&users, meta.uid()),
            of(&groups, meta.gid())
        );
        if meta.is_file() {
            let bytes = String::from_utf8_lossy(&tree.read(path)).into_owned();
            describe(path, start.get(path).map(String::as_str), &bytes, &mut content);
        }
    });
    format!("{listing}\nruns in the journal: {runs}\n{content}")
}

/// What is in a file that is new, or what changed in it.
fn describe(path: &str, before: Option<&str>, after: &str, out: &mut String) {
    if before == Some(after) {
        return;
    }
    let _ = writeln!(out, "\n== /{path}{}", if before.is_none() { ", new" } else { "" });
    let (before, after) = (masked(before.unwrap_or_default()), masked(after));
    for change in TextDiff::from_lines(&before, &after).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Delete => "-",
            ChangeTag::Insert => "+",
        };
        let text = change.value();
        let line = text.strip_suffix('\n').unwrap_or(text).replace('\r', "\\r");
        let _ = writeln!(out, "{sign}{line}");
        if !text.ends_with('\n') {
            let _ = writeln!(out, "(no newline)");
        }
    }
}

/// Without what is made anew each time: keys, and the day in the shadow database.
fn masked(text: &str) -> String {
    if text.contains("PRIVATE KEY-----") {
        return "(a private key)\n".to_owned();
    }
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if line.starts_with("ssh-ed25519 ") && words.len() > 1 {
            "(a key)".clone_into(&mut words[1]);
        }
        let mut fields: Vec<&str> = line.split(':').collect();
        if fields.len() == 9 && fields[0].starts_with("gitlab") {
            fields[2] = "(today)";
            out.push_str(&fields.join(":"));
        } else {
            out.push_str(&words.join(" "));
        }
    }
    out
}

/// Without owners.
fn anyones(text: &str) -> String {
    let line = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            [kind @ ("d" | "f" | "l"), mode, _, path] => format!("{kind} {mode} {path}\n"),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn difference(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(2).to_string()
}

/// The names of a database by number.
fn names(database: &str) -> BTreeMap<u32, String> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    database.lines().filter_map(entry).collect()
}

fn walk(top: &Path, below: &Path, each: &mut dyn FnMut(&str, &std::fs::Metadata)) {
    let mut entries: Vec<_> =
        std::fs::read_dir(top.join(below)).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let meta = std::fs::symlink_metadata(top.join(&path)).unwrap();
        each(path.to_str().unwrap(), &meta);
        if meta.is_dir() {
            walk(top, &path, each);
        }
    }
}
