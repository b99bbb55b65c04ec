//! Homes, and what lies in their `.ssh`.

use super::{HOME, host, refused};
use crate::support::is_root;

#[test]
fn homes_and_keys_that_are_not_followed() {
    let ssh = || host().dir("home/gitlab-runner/.ssh", 0o700).own("home/gitlab-runner/.ssh", 998);
    let key = |name: &str| format!("{HOME}/.ssh/{name}");
    let dind = ["--profile", "dind"];
    let tree = host().link(&format!("{HOME}/.ssh"), "/root");
    refused(
        ".ssh is a link",
        &tree,
        &dind,
        ("ssh-directory", &["/home/gitlab-runner/.ssh is a symbolic link", "not followed", "ls -ld"]),
    );
    let tree = host().file(&format!("{HOME}/.ssh"), "");
    refused(
        ".ssh is a file",
        &tree,
        &dind,
        ("ssh-directory", &["/home/gitlab-runner/.ssh is a regular file"]),
    );
    let tree = host().fifo(&format!("{HOME}/.ssh"));
    refused(".ssh is a FIFO", &tree, &dind, ("ssh-directory", &["is a FIFO"]));
    let tree = ssh().link(&key("id_ed25519"), "/root/secret");
    refused("key is a link", &tree, &dind, ("ssh-key-kind", &["id_ed25519 is a symbolic link", "ls -l"]));
    refused("key is a FIFO", &ssh().fifo(&key("id_rsa")), &dind, ("ssh-key-kind", &["id_rsa is a FIFO"]));
    refused(
        "key is a directory",
        &ssh().dir(&key("id_ecdsa"), 0o700),
        &dind,
        ("ssh-key-kind", &["id_ecdsa is a directory"]),
    );
    let tree = ssh().file_mode(&key("id_ed25519"), "no key\n", 0o600).own(&key("id_ed25519"), 998);
    refused(
        "no key",
        &tree,
        &dind,
        ("ssh-key-unreadable", &["id_ed25519 is not an SSH private key", "never replaced", "mv "]),
    );
    let tree = ssh().file_mode(&key("id_ed25519"), "", 0o600).own(&key("id_ed25519"), 998);
    refused("empty key", &tree, &dind, ("ssh-key-unreadable", &["id_ed25519 is not an SSH private key"]));
    let tree = ssh().file(&key("id_ed25519.pub"), "x\n").own(&key("id_ed25519.pub"), 998);
    refused(
        "public half alone",
        &tree,
        &dind,
        ("ssh-key-half", &["id_ed25519.pub is there without its private key", "mv "]),
    );
    let tree = ssh().link(&key("id_ed25519.pub"), "/etc/shadow");
    refused("public half is a link", &tree, &dind, ("ssh-key-kind", &["id_ed25519.pub is a symbolic link"]));
    let tree = ssh().file_mode(&key("id_rsa"), "", 0o600).own(&key("id_rsa"), 998);
    std::fs::File::options().write(true).open(tree.path(&key("id_rsa"))).unwrap().set_len(1 << 40).unwrap();
    refused("sparse key", &tree, &dind, ("file-too-large", &["id_rsa is larger than 1048576 bytes"]));
    let tree = ssh().file_mode(&key("id_rsa"), "x", 0o600).own(&key("id_rsa"), 998);
    std::fs::hard_link(tree.path(&key("id_rsa")), tree.path(&format!("{HOME}/second"))).unwrap();
    refused("key with two names", &tree, &dind, ("ssh-key-links", &["id_rsa has 2 names"]));
    if is_root() {
        let tree = ssh().file_mode(&key("id_rsa"), "x", 0o600).own(&key("id_rsa"), 4321);
        refused(
            "key of a third account",
            &tree,
            &dind,
            (
                "foreign-owner",
                &[
                    "id_rsa can't be used by gitlab-runner: it belongs to uid 4321",
                    "chroot --userspec=gitlab-runner ",
                ],
            ),
        );
        let tree = host().own(HOME, 4321);
        refused(
            "home of a third account",
            &tree,
            &dind,
            ("home-unusable", &["/home/gitlab-runner", "belongs to uid 4321"]),
        );
        let tree = host().own(HOME, 0);
        refused(
            "home of root",
            &tree,
            &dind,
            ("home-unusable", &["/home/gitlab-runner", "belongs to uid 0"]),
        );
    }
}

#[test]
fn homes_that_are_none() {
    let passwd = |home: &str| {
        let tree = host();
        let text = tree.text("etc/passwd").replace(":/home/gitlab-runner:", &format!(":{home}:"));
        tree.file("etc/passwd", text)
    };
    let dind = ["--profile", "dind"];
    refused(
        "root directory",
        &passwd("/"),
        &dind,
        ("home-unusable", &["the home directory / can't be used", "usermod --home"]),
    );
    refused(
        "file",
        &passwd("/etc/passwd"),
        &dind,
        ("home-unusable", &["/etc/passwd", "it is not a directory", "usermod --home /home/gitlab-runner"]),
    );
    refused(
        "missing",
        &passwd("/home/none"),
        &dind,
        ("home-missing", &["the home directory /home/none of gitlab-runner does not exist", "install -d"]),
    );
    if is_root() {
        // What is the system's is not given away.
        refused(
            "of the system",
            &passwd("/usr/sbin"),
            &dind,
            ("home-unusable", &["/usr/sbin can't be used", "usermod --home /home/gitlab-runner"]),
        );
    }
    refused("relative", &passwd("somewhere"), &dind, ("home-unusable", &["somewhere"]));
    refused("empty", &passwd(""), &dind, ("home-unusable", &["home directory"]));
}
