//! Homes, and in them keys, `known_hosts` and git's configuration.

use std::process::{Command, Stdio};

use super::{DIND, HOME, IS_MINE, apply, host, mine, refused, taken, visudo};
use crate::support::{Tree, have};

#[test]
fn homes_that_are_links_or_open() {
    if !visudo() {
        return;
    }
    let tree = Tree::new().dir("var/home", 0o755);
    tree.remove("home");
    let tree = tree.link("home", "var/home").account("gitlab-runner", 998, "/var/home/gitlab-runner");
    let passwd = tree.text("etc/passwd").replace("/var/home/", "/home/");
    let tree = tree.file("etc/passwd", passwd);
    taken("/home is a link", &tree, &DIND);
    assert!(tree.exists("var/home/gitlab-runner/.ssh/id_ed25519"));
    let tree =
        Tree::new().account("gitlab-runner", 998, "/srv/runner").link("home/gitlab-runner", "/srv/runner");
    let passwd = tree.text("etc/passwd").replace("/srv/runner", "/home/gitlab-runner");
    let tree = tree.file("etc/passwd", passwd);
    taken("the home is a link", &tree, &DIND);
    assert!(tree.exists("srv/runner/.ssh/id_ed25519"));
    let ssh = format!("{HOME}/.ssh");
    let tree = host().dir(&ssh, 0o777).own(&ssh, 998);
    taken(".ssh open to all", &tree, &DIND);
    assert_eq!(tree.metadata(&ssh).0, 0o700);
}

#[test]
fn keys_that_need_a_repair() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let ssh = format!("{HOME}/.ssh");
    let key = format!("{ssh}/id_ed25519");
    let made = |edit: &dyn Fn(&Tree)| {
        let tree = host().dir(&ssh, 0o700).own(&ssh, 998);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"]).arg(tree.path(&key));
        assert!(command.status().unwrap().success());
        let tree = tree.own(&key, 998).own(&format!("{key}.pub"), 998);
        edit(&tree);
        tree
    };
    let public = format!("{key}.pub");
    for (name, edit) in [
        ("open to all", &(|tree: &Tree| tree.chmod(&key, 0o644)) as &dyn Fn(&Tree)),
        ("no public half", &|tree: &Tree| tree.remove(&public)),
        ("another public half", &|tree: &Tree| {
            tree.put(
                &public,
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x\n",
            );
        }),
        ("a public half without an end", &|tree: &Tree| tree.put(&public, "ssh-ed25519 AAAA")),
        ("a public half of random bytes", &|tree: &Tree| tree.put(&public, b"\xff\x00\x1b[2J")),
    ] {
        let tree = made(edit);
        let private = tree.read(&key);
        taken(name, &tree, &["--profile", "shell", "--only", "ssh_key"]);
        assert!(tree.read(&key) == private, "{name}: the key is another");
        assert_eq!(tree.metadata(&key).0, 0o600, "{name}");
        let derived = Command::new("ssh-keygen").arg("-yf").arg(tree.path(&key)).output().unwrap();
        let derived = String::from_utf8(derived.stdout).unwrap();
        assert_eq!(tree.text(&public).split(' ').nth(1), derived.split(' ').nth(1), "{name}");
    }
    let tree = made(&|tree: &Tree| {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-p", "-P", "", "-N", "a phrase", "-f"])
            .arg(tree.path(&key))
            .stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    });
    let tree = tree.own(&key, 998);
    let private = tree.read(&key);
    let run = tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]);
    assert!(run.contains("passphrase") || run.contains("encrypted"), "{run}");
    assert!(tree.read(&key) == private, "an encrypted key was touched");
}

#[test]
fn host_key_files() {
    let profile = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
    let ssh = format!("{HOME}/.ssh");
    let file = format!("{ssh}/known_hosts");
    let with = || mine(profile).dir(&ssh, 0o700).own(&ssh, 998);
    let text = |bytes: &[u8]| with().file_mode(&file, bytes, 0o600).own(&file, 998);
    refused("FIFO", &with().fifo(&file), &IS_MINE, "a FIFO");
    refused("directory", &with().dir(&file, 0o700), &IS_MINE, "a directory");
    refused("link", &with().link(&file, "/etc/shadow"), &IS_MINE, "a symbolic link");
    let tree = text(b"");
    std::fs::File::options().write(true).open(tree.path(&file)).unwrap().set_len(50 << 20).unwrap();
    refused("50 MB", &tree, &IS_MINE, "larger than");
    for (name, bytes) in [
        ("no last newline", b"other.org ssh-ed25519 AAAA".as_slice()),
        ("CRLF", b"other.org ssh-ed25519 AAAA\r\n# x\r\n"),
        ("NUL and random bytes", b"\x00\xff\xfe\x1b[2J\n|1|x|y z\n"),
        ("hashed and broken", b"|1|AAAA|BBBB ssh-ed25519 AAAA\n|1|\n|\n"),
        ("markers", b"@cert-authority * ssh-ed25519 AAAA\n@unknown gitlab.com x\n@revoked\n"),
        ("a line without an end", &b"x".repeat(200_000)),
        ("old DSA lines", b"gitlab.com ssh-dss AAAAB3NzaC1kc3MAAACBAA==\n"),
    ] {
        let tree = text(bytes);
        taken(name, &tree, &IS_MINE);
        let new = tree.read(&file);
        assert!(
            new.starts_with(bytes)
                && new[bytes.len()..].starts_with(if bytes.ends_with(b"\n") { b"g" } else { b"\n" }),
            "{name}"
        );
    }
    let system = host().file_mode("etc/ssh/ssh_known_hosts", "", 0o644);
    std::fs::File::options()
        .write(true)
        .open(system.path("etc/ssh/ssh_known_hosts"))
        .unwrap()
        .set_len(50 << 20)
        .unwrap();
    refused("50 MB of root's", &system, &["--profile", "shell", "--only", "known_hosts"], "larger than");
}

#[test]
fn git_configurations() {
    let profile = "[git]\nname = \"x\"\nemail = \"x@example.com\"\n";
    let file = format!("{HOME}/.gitconfig");
    let text = |bytes: &[u8]| mine(profile).file(&file, bytes).own(&file, 998);
    for (name, bytes) in [
        ("CRLF", b"[core]\r\n\tpager = x\r\n".as_slice()),
        ("BOM", "\u{feff}[core]\n\tx = y\n".as_bytes()),
        ("no last newline", b"[core]\n\tx = y"),
        ("only a comment", b"# x"),
        ("not UTF-8", b"[core]\n\tx = \xff\n"),
        ("a value over two lines", b"[core]\n\tx = a\\\n  b\n"),
        ("a section twice", b"[user]\n\tname = a\n[user]\n"),
    ] {
        let tree = text(bytes);
        taken(name, &tree, &IS_MINE);
        assert!(String::from_utf8_lossy(&tree.read(&file)).contains("email = x@example.com"), "{name}");
    }
    // git's own lock of a killed git: we take none, and leave it.
    let lock = format!("{HOME}/.gitconfig.lock");
    let tree = text(b"").file(&lock, "");
    taken("a stale lock", &tree, &IS_MINE);
    assert!(tree.exists(&lock));
    refused("FIFO", &mine(profile).fifo(&file), &IS_MINE, "a FIFO");
    refused("link", &mine(profile).link(&file, "/root/.gitconfig"), &IS_MINE, "a symbolic link");
    refused("directory", &mine(profile).dir(&file, 0o755), &IS_MINE, "a directory");
    refused("no syntax", &text(b"[user\nname = a\n"), &IS_MINE, ".gitconfig");
    refused("NUL", &text(b"[user]\n\tname = a\x00b\n\x00"), &IS_MINE, ".gitconfig");
    let tree = text(b"");
    std::fs::File::options().write(true).open(tree.path(&file)).unwrap().set_len(1 << 40).unwrap();
    refused("a sparse terabyte", &tree, &IS_MINE, "larger than");
    // It includes itself; whether another file sets a value is git's to say.
    let run = apply(&text(b"[include]\n\tpath = ~/.gitconfig\n"), &IS_MINE);
    assert!([0, 2].contains(&run.status), "{run}");
}
