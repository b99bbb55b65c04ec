//! Keys are moved aside, and modes and directories in `.ssh` put back.

use super::{JOURNAL, SSH, entries, listing, tree};
use crate::support::{Tree, assert_unchanged, differences, is_root};

#[test]
fn a_key_that_apply_made_is_moved_aside() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let key = tree.read(&format!("{SSH}/id_ed25519"));
    let public = tree.read(&format!("{SSH}/id_ed25519.pub"));
    let id = entries(&tree).pop().unwrap();
    let entry = tree.text(&format!("{JOURNAL}/{id}/entry.json"));
    assert!(!entry.contains("PRIVATE KEY"));
    assert_eq!(std::fs::read_dir(tree.path(&format!("{JOURNAL}/{id}"))).unwrap().count(), 1);

    tree.run(&["undo"]).ok().says(&format!("id_ed25519.undone-{id}")).says("Deploy keys");
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.undone-{id}")), key);
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.pub.undone-{id}")), public);
    assert_eq!(tree.metadata(&format!("{SSH}/id_ed25519.undone-{id}")).0, 0o600);
    let new: Vec<String> = differences(&before, &listing(&tree));
    assert_eq!(new.len(), 3, "the directory and the two halves: {new:?}");

    // A new key is made, and the old one stays where it is.
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    assert_ne!(tree.read(&format!("{SSH}/id_ed25519")), key);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.undone-{id}")), key);
    assert!(!tree.exists(&format!("{SSH}/id_ed25519")));
}

#[test]
fn modes_are_put_back() {
    let (key, public) = (format!("{SSH}/id_ed25519"), format!("{SSH}/id_ed25519.pub"));
    let pair = fixture_pair();
    let tree = tree()
        .dir(SSH, 0o755)
        .file_mode(&key, pair.0, 0o644)
        .file_mode(&public, pair.1, 0o666)
        .own(SSH, 998)
        .own(&key, 998)
        .own(&public, 998);
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    for (path, mode) in [(SSH, 0o700), (&key, 0o600), (&public, 0o644)] {
        assert_eq!(tree.metadata(path), (mode, Tree::uid(998), Tree::uid(998)).into_meta());
    }
    tree.run(&["undo"]).ok().says("does not get its mode 0644 back");
    assert_eq!(tree.metadata(&key).0, 0o600, "a private key is never opened to others");
    tree.chmod(&key, 0o644);
    assert_unchanged(&before, &listing(&tree));
    tree.run(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn a_sudo_file_that_others_could_write_stays_roots_alone() {
    let (rule, text) = ("etc/sudoers.d/gitlab-runner", "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n");
    for (mode, back) in [(0o666, 0o644), (0o660, 0o640), (0o646, 0o644)] {
        let tree = tree().file_mode(rule, text, mode);
        tree.run(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
        assert_eq!(tree.metadata(rule).0, 0o440);
        tree.run(&["undo"]).ok().says(&format!("does not get its mode {mode:04o} back"));
        assert_eq!(tree.metadata(rule).0, back);
        tree.run(&["undo"]).ok().says("nothing to undo");
    }
}

/// The group of an ordinary user need not have the user's number.
trait IntoMeta {
    fn into_meta(self) -> (u32, u32, u32);
}

impl IntoMeta for (u32, u32, u32) {
    fn into_meta(self) -> (u32, u32, u32) {
        if is_root() { self } else { (self.0, self.1, nix::unistd::getegid().as_raw()) }
    }
}

/// A private key and its public half.
fn fixture_pair() -> (Vec<u8>, Vec<u8>) {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    (tree.read(&format!("{SSH}/id_ed25519")), tree.read(&format!("{SSH}/id_ed25519.pub")))
}

#[test]
fn a_file_in_the_way_of_a_key_is_kept() {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    let aside = format!("{SSH}/id_ed25519.undone-{id}");
    let tree = tree.file_mode(&aside, "mine", 0o600).own(&aside, 998);
    let before = listing(&tree);
    tree.run(&["undo"]).exit(2);
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn directories_stay_while_something_is_in_them() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    for name in ["id_ed25519", "id_ed25519.pub"] {
        tree.remove(&format!("{SSH}/{name}"));
    }
    let tree = tree.file_mode(&format!("{SSH}/mine"), "x", 0o600).own(&format!("{SSH}/mine"), 998);
    tree.run(&["undo"]).ok();
    assert!(tree.exists(&format!("{SSH}/mine")));
    // Empty, it goes.
    tree.remove(&format!("{SSH}/mine"));
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"undone\"", "\"complete\""));
    tree.run(&["undo"]).ok();
    assert_unchanged(&before, &listing(&tree));
}
