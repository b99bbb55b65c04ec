//! What lies in the home.

use std::fs::File;
use std::os::unix::net::UnixListener;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{ACCOUNT, KEY, ONLY_KEY, SSH, generated, home, refused, root};
use crate::support::{is_root, skip};

#[test]
fn special_files_where_a_key_belongs() {
    let tree = home().fifo(KEY);
    refused(&tree, &ONLY_KEY, "a FIFO");

    let tree = home();
    let _socket = UnixListener::bind(tree.path(KEY)).unwrap();
    refused(&tree, &ONLY_KEY, "a socket");

    let tree = home().dir(KEY, 0o700);
    refused(&tree, &ONLY_KEY, "a directory");

    let tree = home().link(KEY, "/etc/shadow");
    refused(&tree, &ONLY_KEY, "a symbolic link");

    let tree = home();
    File::create(tree.path(KEY)).unwrap().set_len(1 << 40).unwrap();
    refused(&tree, &ONLY_KEY, "larger than");
}

#[test]
fn a_device_where_a_key_belongs() {
    if !root() {
        return;
    }
    let tree = home();
    let path = tree.path(KEY);
    if mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5)).is_err() {
        return skip("no device can be made here");
    }
    refused(&tree, &ONLY_KEY, "a device");
}

#[test]
fn hard_links_are_no_way_to_the_files_of_others() {
    let tree = home().file_mode("victim", "root's own\n", 0o600);
    std::fs::hard_link(tree.path("victim"), tree.path(KEY)).unwrap();
    // To an ordinary user who makes a tree, all of it belongs.
    refused(&tree, &ONLY_KEY, if is_root() { "can't be used by" } else { "2 names" });

    // One that the account can read.
    let tree = home();
    generated(&tree, KEY, "x");
    std::fs::hard_link(tree.path(KEY), tree.path("second")).unwrap();
    tree.chmod(KEY, 0o644);
    refused(&tree, &ONLY_KEY, "2 names");
}

#[test]
fn a_directory_of_somebody_else() {
    if !root() {
        return;
    }
    let tree = home().own(SSH, 4321);
    refused(&tree, &ONLY_KEY, "belongs to uid 4321");
    tree.chmod(SSH, 0o777);
    refused(&tree, &ONLY_KEY, "belongs to uid 4321");
}

/// What root left in the home can be moved by the account to any name there. Its text must not come into a
/// file that the account can read, nor into a report.
#[test]
fn secrets_of_root_in_the_home_stay_secret() {
    if !root() {
        return;
    }
    let text = "[core]\n\tpager = secret-of-root\n";
    let profile = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n[git]\nname = \"x\"\n";
    for path in [".gitconfig", ".config/git/config", ".ssh/known_hosts"] {
        let path = format!("home/gitlab-runner/{path}");
        let tree = home().dir("home/gitlab-runner/.config/git", 0o755).file("profile.toml", profile);
        let tree = tree.file_mode(&path, text, 0o600);
        let given = tree.path("profile.toml");
        for command in ["plan", "apply"] {
            let run = refused(&tree, &[command, "--profile", given.to_str().unwrap()], "belongs to uid 0");
            run.says_not("secret-of-root");
        }
    }
}

/// A killed run leaves files, which go. What the account makes of their names holds no later run up.
#[test]
fn leftovers_that_the_account_made_up_hold_nothing_up() {
    let tree = home().dir(SSH, 0o700).own(SSH, ACCOUNT);
    let forged = |name: &str| format!("{SSH}/.id_ed25519.runner-prep.{name}");
    let [directory, file, link] = ["1", "2", "3"].map(forged);
    let tree = tree.dir(&directory, 0o700).own(&directory, ACCOUNT).file(&file, "").own(&file, ACCOUNT);
    let tree = tree.file_mode("root/secret", "x", 0o600).link(&link, "../../../root/secret");
    tree.run(&ONLY_KEY).ok().says("2 changes made");
    assert!(tree.exists(&directory) && !tree.exists(&file) && !tree.exists(&link));
    assert!(tree.exists("root/secret"));
    // After a killed run every place that it changed is swept, before undo too.
    let journal = tree.path("var/lib/runner-prep/journal");
    let entry = std::fs::read_dir(journal).unwrap().next().unwrap().unwrap().path().join("entry.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, text.replace("\"complete\"", "\"incomplete\"")).unwrap();
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(KEY));
}
