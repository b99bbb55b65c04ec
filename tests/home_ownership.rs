//! What root keeps in the account's home stays root's, wherever the account moves it.
//!
//! The account may rename what lies in its home, and who gave a thing its name can't be told. So nothing of
//! root's is given to the account that it could not read before, unless the administrator says so with `--adopt`.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has to stop")]

mod support;

use std::process::Command;

use support::{PATH, Tree, assert_unchanged, have, is_root, run_limited, skip};

const ACCOUNT: u32 = 61_997;
const HOME: &str = "home/gitlab-runner";
const SSH: &str = "home/gitlab-runner/.ssh";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";
const PUBLIC: &str = "home/gitlab-runner/.ssh/id_ed25519.pub";
const APPLY: [&str; 5] = ["apply", "--profile", "shell", "--only", "ssh_key"];
const ADOPT: [&str; 6] = ["apply", "--profile", "shell", "--only", "ssh_key", "--adopt"];

fn possible() -> bool {
    if !is_root() {
        skip("to an ordinary user everything in a tree belongs");
    }
    is_root() && have(&["ssh-keygen", "setpriv"])
}

fn home() -> Tree {
    Tree::new().account("gitlab-runner", ACCOUNT, "/home/gitlab-runner")
}

/// A pair that belongs to this account, with the modes that ssh-keygen gives it.
fn key_pair(tree: Tree, path: &str, owner: u32) -> Tree {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"]).arg(tree.path(path));
    assert!(command.status().unwrap().success());
    tree.own(path, owner).own(&format!("{path}.pub"), owner)
}

/// What the account does in its home.
fn as_account(tree: &Tree, script: &str) {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={ACCOUNT}"), format!("--regid={ACCOUNT}"), "--clear-groups".into()];
    command.args(ids).args(["sh", "-euc", script]).env("PATH", PATH).current_dir(tree.path(HOME));
    run_limited(&mut command).ok();
}

/// Neither looked into nor changed. The report says how to give it away, and how to be rid of it, and has no command
/// with which root would follow a link that the account lays on the way meanwhile.
#[track_caller]
fn refused(tree: &Tree, path: &str) {
    let before = home_stamps(tree);
    for arguments in [&APPLY[..], &["plan", "--profile", "shell", "--only", "ssh_key"], &["key"]] {
        let run = tree.run(arguments);
        run.exit(2).says(&format!("/{path} can't be used by gitlab-runner: it belongs to uid 0"));
        run.says_not("ssh-ed25519");
    }
    assert_unchanged(&before, &home_stamps(tree));
    let json = tree.run(&[&APPLY[..], &["--json"]].concat()).json();
    let repair = json["warnings"][0]["repair"].as_str().unwrap();
    let top = tree.path("").display().to_string();
    let top = top.trim_end_matches('/');
    let rid =
        format!("; if not, move it away: chroot --userspec=gitlab-runner {top} mv -T /{path} /{path}.old");
    assert!(
        repair.contains("if it is meant for jobs, run apply with --adopt") && repair.ends_with(&rid),
        "{repair}"
    );
    assert!(!repair.contains("chown"), "{repair}");
}

fn home_stamps(tree: &Tree) -> Vec<String> {
    tree.stamps().into_iter().filter(|line| line.contains(HOME)).collect()
}

#[test]
fn a_private_key_of_root_that_the_account_moved_stays_roots() {
    if !possible() {
        return;
    }
    for mode in [0o600, 0o644] {
        let tree = key_pair(home(), "home/gitlab-runner/backup.key", 0);
        tree.chmod("home/gitlab-runner/backup.key", mode);
        as_account(&tree, "mkdir .ssh; mv backup.key .ssh/id_ed25519; mv backup.key.pub .ssh/id_ed25519.pub");
        refused(&tree, KEY);
        assert_eq!(tree.metadata(KEY), (mode, 0, 0));
        // Root meant it.
        tree.run(&ADOPT).ok();
        tree.run(&APPLY).ok();
        assert_eq!(tree.metadata(KEY), (0o600, ACCOUNT, ACCOUNT));
    }
}

#[test]
fn a_directory_of_root_that_the_account_moved_stays_roots() {
    if !possible() {
        return;
    }
    for mode in [0o700, 0o750, 0o755] {
        let tree = home().file_mode("home/gitlab-runner/backup/secret", "of root\n", 0o640);
        let tree = tree.dir("home/gitlab-runner/backup", mode);
        as_account(&tree, "mv backup .ssh");
        refused(&tree, SSH);
        assert_eq!(tree.metadata(SSH), (mode, 0, 0));
        tree.run(&ADOPT).ok();
        tree.run(&APPLY).ok();
    }
    // One that others can put something into, and one with a directory of root's in it.
    let tree = home().dir("home/gitlab-runner/open", 0o777);
    as_account(&tree, "mv open .ssh");
    refused(&tree, SSH);
    let tree = home().dir("home/gitlab-runner/deep/er", 0o755);
    as_account(&tree, "mv deep .ssh");
    refused(&tree, SSH);
    // A key of root's in a directory of root's that was moved as a whole.
    let tree = home().dir("home/gitlab-runner/backup", 0o755);
    let tree = key_pair(tree, "home/gitlab-runner/backup/id_ed25519", 0);
    as_account(&tree, "mv backup .ssh");
    refused(&tree, SSH);
}

/// `sudo mkdir ~gitlab-runner/.ssh`, or one chown too many: the account could read all that is in there.
#[test]
fn a_directory_of_root_that_keeps_nothing_back_is_given() {
    if !possible() {
        return;
    }
    let empty = home().dir(SSH, 0o700);
    let readable =
        home().file(&format!("{SSH}/known_hosts"), "example.com ssh-ed25519 AAAA\n").dir(SSH, 0o700);
    let own = key_pair(home().dir(SSH, 0o700), KEY, ACCOUNT);
    let known = own.text(PUBLIC);
    for tree in [empty, readable, own] {
        assert_eq!(tree.metadata(SSH), (0o700, 0, 0));
        let plan = ["plan", "--profile", "shell", "--only", "ssh_key"];
        tree.run(&plan).ok().says("owner 0:0");
        tree.run(&APPLY).ok();
        for (path, mode) in [(SSH, 0o700), (KEY, 0o600), (PUBLIC, 0o644)] {
            assert_eq!(tree.metadata(path), (mode, ACCOUNT, ACCOUNT), "{path}");
        }
        let before = tree.stamps();
        tree.run(&APPLY).ok();
        assert_unchanged(&before, &tree.stamps());
        // It is the account's by then.
        tree.run(&["undo"]).ok();
        assert_eq!(tree.metadata(SSH), (0o700, ACCOUNT, ACCOUNT));
        assert!(!tree.exists(KEY) || tree.text(PUBLIC) == known);
    }
}

/// Only what is root's: whoever else owns a key there has to be asked.
#[test]
fn the_administrator_gives_a_key_away_with_adopt() {
    if !possible() {
        return;
    }
    for owner in [0, ACCOUNT] {
        let tree = key_pair(home().dir(SSH, 0o755).own(SSH, owner), KEY, 0);
        let (key, line) = (tree.read(KEY), tree.text(PUBLIC));
        refused(&tree, if owner == 0 { SSH } else { KEY });
        tree.run(&ADOPT).ok().says(line.trim());
        assert_eq!((tree.read(KEY), tree.text(PUBLIC)), (key, line));
        for (path, mode) in [(SSH, 0o700), (KEY, 0o600), (PUBLIC, 0o644)] {
            assert_eq!(tree.metadata(path), (mode, ACCOUNT, ACCOUNT), "{path}");
        }
        tree.run(&APPLY).ok();
        tree.run(&["undo"]).ok();
        assert_eq!(tree.metadata(KEY), (0o600, ACCOUNT, ACCOUNT));
    }
    let tree = key_pair(home().dir(SSH, 0o700).own(SSH, ACCOUNT), KEY, ACCOUNT + 1);
    tree.run(&ADOPT).exit(2).says("it belongs to uid 61998");
    // A second name could be anybody's file.
    let tree = key_pair(home().dir(SSH, 0o700).own(SSH, ACCOUNT), KEY, 0);
    std::fs::hard_link(tree.path(KEY), tree.path("root/key")).unwrap();
    tree.run(&ADOPT).exit(2);
    assert_eq!(tree.metadata("root/key"), (0o600, 0, 0));
}

#[test]
fn keys_of_every_usual_name_are_meant() {
    if !possible() {
        return;
    }
    for name in ["id_ecdsa", "id_rsa"] {
        let tree = key_pair(home(), "home/gitlab-runner/backup", 0);
        as_account(&tree, &format!("mkdir -m 700 .ssh; mv backup .ssh/{name}"));
        refused(&tree, &format!("{SSH}/{name}"));
    }
}

#[test]
fn a_public_half_that_root_made_is_written_anew_as_the_account() {
    if !possible() {
        return;
    }
    let tree = key_pair(home().dir(SSH, 0o700).own(SSH, ACCOUNT), KEY, ACCOUNT).own(PUBLIC, 0);
    let (bytes, inode) = (tree.read(PUBLIC), inode(&tree, PUBLIC));
    tree.run(&APPLY).ok().says("owner 0:0");
    assert_eq!((tree.read(PUBLIC), tree.metadata(PUBLIC)), (bytes.clone(), (0o644, ACCOUNT, ACCOUNT)));
    assert_ne!(self::inode(&tree, PUBLIC), inode, "root's file was given away");
    let before = tree.stamps();
    tree.run(&APPLY).ok();
    assert_unchanged(&before, &tree.stamps());
    // What undo writes in a home is the account's, too.
    tree.run(&["undo"]).ok();
    assert_eq!((tree.read(PUBLIC), tree.metadata(PUBLIC)), (bytes, (0o644, ACCOUNT, ACCOUNT)));
    tree.run(&["undo"]).ok().says("nothing to undo");

    // One that the account can't read is none of its own.
    let tree = tree.file_mode(PUBLIC, "of root\n", 0o600).own(PUBLIC, 0);
    refused(&tree, PUBLIC);
}

#[test]
fn a_wrong_group_is_repaired_and_put_back() {
    if !possible() {
        return;
    }
    let tree = key_pair(home().dir(SSH, 0o750).own(SSH, ACCOUNT), KEY, ACCOUNT);
    for path in [SSH, KEY, PUBLIC] {
        std::os::unix::fs::lchown(tree.path(path), None, Some(0)).unwrap();
    }
    tree.chmod(SSH, 0o2750);
    tree.run(&APPLY).ok();
    for (path, mode) in [(SSH, 0o700), (KEY, 0o600), (PUBLIC, 0o644)] {
        assert_eq!(tree.metadata(path), (mode, ACCOUNT, ACCOUNT), "{path}");
    }
    // The bit that would lend root's group does not come back.
    tree.run(&["undo"]).ok();
    for (path, mode) in [(SSH, 0o750), (KEY, 0o600), (PUBLIC, 0o644)] {
        assert_eq!(tree.metadata(path), (mode, ACCOUNT, 0), "{path}");
    }
    tree.run(&["undo"]).ok().says("nothing to undo");
}

/// Whatever root made in the home and the account moved to a name that we use: it is not followed, not read, not
/// changed, and nobody waits for it.
#[test]
fn special_things_of_root_are_left_alone() {
    if !possible() {
        return;
    }
    let profile = "[account]\n[ssh_key]\n[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n[git]\nname = \"x\"\n";
    let made: [(&str, &str); 6] = [
        ("FIFO", "mkfifo -m 666 X"),
        ("device", "mknod -m 666 X c 1 5"),
        ("directory", "mkdir -m 755 X"),
        ("link", "ln -s /etc/shadow X"),
        ("sparse", "truncate -s 1T X"),
        ("socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"X\")'; chmod 666 X"),
    ];
    for target in
        [".ssh", ".ssh/id_ed25519", ".ssh/id_rsa.pub", ".ssh/known_hosts", ".gitconfig", ".bash_logout"]
    {
        for (what, script) in made {
            // A directory is `.ssh` itself, and into another one only its owner moves it.
            if what == "directory" && target.starts_with(".ssh") {
                continue;
            }
            let tree = home().file("profile.toml", profile);
            let made = run_limited(Command::new("sh").args(["-euc", script]).current_dir(tree.path(HOME)));
            if made.status != 0 {
                skip(&format!("no {what} can be made here"));
                continue;
            }
            let parent = if target.starts_with(".ssh/") { "mkdir -m 700 .ssh; " } else { "" };
            as_account(&tree, &format!("{parent}mv X {target}"));
            let path = format!("{HOME}/{target}");
            let line = |tree: &Tree| -> Vec<String> {
                let ends = |line: &String| line.contains(&format!(" {path} inode="));
                tree.stamps().into_iter().filter(ends).collect()
            };
            let before = line(&tree);
            assert_eq!(before.len(), 1, "{target} {what}");
            let began = std::time::Instant::now();
            let run = tree.run(&["apply", "--profile", tree.path("profile.toml").to_str().unwrap()]);
            assert!(began.elapsed().as_secs() < 20, "{target} {what}: it waited");
            assert_unchanged(&before, &line(&tree));
            // What a login shell reads is the account's own affair, if it can be looked at; all else is refused.
            assert_eq!(
                run.status,
                if target == ".bash_logout" && what != "sparse" { 0 } else { 2 },
                "{target} {what}: {run}"
            );
            assert!(run.contains(&format!("/{path}")), "{target} {what}: {run}");
        }
    }
}

fn inode(tree: &Tree, path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(tree.path(path)).unwrap().ino()
}

/// Beside an ACL the mode's second digit is not a right of the group: copied without the ACL it becomes one.
#[test]
fn an_acl_stays_and_lets_no_group_in() {
    if !possible() || !have(&["setfacl", "getfacl"]) {
        return;
    }
    let files =
        ["home/gitlab-runner/.bash_logout", "home/gitlab-runner/.gitconfig", "etc/ssh/ssh_known_hosts"];
    let tree =
        home().file(files[0], "clear\n").file_mode(files[1], "[core]\n", 0o600).file(files[2], "# ours\n");
    let acl = |path: &str| {
        let done = Command::new("getfacl").args(["-n", "-c", "-p"]).arg(tree.path(path)).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    for path in &files[..2] {
        std::os::unix::fs::chown(tree.path(path), Some(ACCOUNT), Some(100)).unwrap();
    }
    std::os::unix::fs::chown(tree.path(files[2]), None, Some(50)).unwrap();
    for path in files {
        let done = Command::new("setfacl").args(["-m", "u:3000:rw"]).arg(tree.path(path)).status().unwrap();
        if !done.success() {
            return skip("this file system has no ACLs");
        }
    }
    let before = files.map(acl);
    let apply = ["apply", "--profile", "shell", "--only", "account,git,known_hosts"];
    tree.run(&apply).ok().says("3 changes made");
    let (after, modes) = (files.map(acl), files.map(|path| tree.metadata(path).0));
    assert_eq!(after[0], before[0]);
    assert_eq!(after[2], before[2]);
    assert!(after[1].contains("user:3000:rw-\t#effective:r--\ngroup::---\n"), "{}", after[1]);
    assert_eq!(modes, [0o664, 0o640, 0o664]);
    tree.run(&["undo"]).ok();
    assert!(files.map(acl)[0] == before[0] && files.map(acl)[2] == before[2]);
    assert!(acl(files[1]).contains("group::---\n"));
}
