//! Homes, and what lies in their `.ssh`.

use super::{HOME, host, refused};
use crate::support::{is_root, skip};

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
        (
            "home-missing",
            &["the home directory /home/none of gitlab-runner does not exist", "mkdir -p -m 0755"],
        ),
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

/// A file of the account's names a path, and root is not told to do anything there.
#[test]
fn root_is_sent_to_no_path_that_the_account_names() {
    if !is_root() {
        return skip("the account's files are another's, which root alone can make");
    }
    let profile = ["--profile", "shell", "--only", "git"];
    for named in
        ["/etc/shadow", "/root/kept/config", "/run/fifo", "/etc/passwd", "/srv/evil", "/srv/evil-value"]
    {
        let tree = host()
            .file_mode("etc/shadow", "root:*:1::::::\n", 0o640)
            .dir("root/kept", 0o700)
            .file("root/kept/config", "[user]\n")
            .fifo("run/fifo")
            .file("srv/evil", "[user\n")
            .own("srv/evil", 998)
            .file("srv/evil-value", "[commit]\n\tgpgsign = perhaps\n")
            .own("srv/evil-value", 998)
            .file("home/gitlab-runner/.gitconfig", format!("[include]\n\tpath = {named}\n"))
            .own("home/gitlab-runner/.gitconfig", 998);
        let run = tree.run(&[&["plan", "--json"][..], &profile].concat());
        let document = run.exit(2).json();
        let repair = document["warnings"][0]["repair"].as_str().unwrap();
        let is_at = repair.contains(named);
        assert!(repair.contains("--userspec=gitlab-runner"), "{named}: {repair}");
        assert!(!is_at || named == "/srv/evil-value", "{named}: {repair}");
    }
    // What root's own file names is root's to open.
    let tree = host()
        .file_mode("etc/git-for-all", "[user]\n", 0o600)
        .file("etc/gitconfig", "[include]\n\tpath = /etc/git-for-all\n");
    let run = tree.run(&[&["plan", "--json"][..], &profile].concat());
    let repair = run.exit(2).json()["warnings"][0]["repair"].as_str().unwrap().to_owned();
    assert!(repair.ends_with("chmod a+rX /etc/git-for-all"), "{repair}");
}

/// The name of a file is the account's choice, and no part of a command.
#[test]
fn a_name_of_the_accounts_is_no_command() {
    let made = host();
    let select = ["--profile", "shell", "--only", "ssh_key"];
    made.run(&[&["apply", "--quiet"][..], &select].concat()).ok();
    let key = made.read(&format!("{HOME}/.ssh/id_ed25519"));
    for (name, is_told) in [
        ("deploy", true),
        ("x';touch evil;'", true),
        ("x$(touch evil)`touch evil`", true),
        ("x\n    touch evil", false),
        ("x\\nProxyCommand evil", false),
        ("x\u{1b}[2J", false),
    ] {
        for config in ["", "IdentityFile ~/.ssh/id_rsa\n"] {
            let (ssh, path, settings) =
                (format!("{HOME}/.ssh"), format!("{HOME}/.ssh/{name}"), format!("{HOME}/.ssh/config"));
            let tree = host().dir(&ssh, 0o700).own(&ssh, 998).file_mode(&path, &key, 0o600).own(&path, 998);
            let tree = tree.file(&settings, config).own(&settings, 998);
            let run = tree.run(&[&["plan", "--json"][..], &select].concat());
            let document = run.json();
            let told: Vec<&str> = document["pending"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one["repair"].as_str())
                .collect();
            assert!(!is_told || !told.is_empty(), "{name:?}: {run}");
            assert!(is_told || !run.contains("evil") && !run.contains("[2J"), "{name:?}: {run}");
            for repair in told {
                let script = format!("chroot() {{ :; }}; sudo() {{ :; }}; cd \"$0\"; {repair}");
                let place = tempfile::tempdir().unwrap();
                let done = std::process::Command::new("/bin/sh")
                    .args(["-c", &script])
                    .arg(place.path())
                    .status()
                    .unwrap();
                assert!(done.success() && !place.path().join("evil").exists(), "{name:?}: {repair}");
            }
        }
    }
}

#[test]
fn all_that_is_in_the_way_is_told_at_once() {
    let gitconfig = format!("{HOME}/.gitconfig");
    let tree = host()
        .config_toml("[[runners]\n")
        .file(&format!("{HOME}/.ssh"), "")
        .file(&gitconfig, "[user\n")
        .own(&gitconfig, 998);
    let codes = |document: &serde_json::Value| -> Vec<String> {
        let remarks = document["warnings"].as_array().unwrap();
        remarks.iter().map(|remark| remark["code"].as_str().unwrap().to_owned()).collect()
    };
    for command in ["plan", "check", "apply"] {
        let run = tree.run(&[command, "--profile", "dind"]);
        assert_eq!(run.status, 2, "{run}");
        for text in [".ssh is a regular file", ".gitconfig: line 1", "config.toml: line 1"] {
            assert_eq!(run.stderr.matches(text).count(), 1, "{command}: {text}\n{run}");
        }
        assert_eq!(run.stderr.matches("error: ").count(), 3, "{run}");
        let run = tree.run(&[command, "--profile", "dind", "--json"]);
        let document = run.json();
        assert_eq!(codes(&document), ["ssh-directory", "git-config-invalid", "config-invalid"], "{run}");
        assert_eq!(document["msg"], document["warnings"][0]["message"], "{run}");
        // What is left out is not in the way.
        let run = tree.run(&[command, "--profile", "dind", "--only", "config", "--json"]);
        assert_eq!(codes(&run.json()), ["config-invalid"], "{run}");
    }
}
