//! Configurations of gitlab-runner: every notation, no runner, links and a device.

use std::fmt::Write as _;
use std::process::Command;

use super::{CONFIG, DIND, bare, host, refused, taken, visudo, without_state};
use crate::support::{assert_unchanged, fixture, is_root, run_limited, skip};

#[test]
fn configurations_in_every_notation() {
    if !visudo() {
        return;
    }
    let only = ["--profile", "dind", "--only", "config"];
    for name in [
        "config-inline-tables.toml",
        "config-inline-docker.toml",
        "config-quoted-keys.toml",
        "config-crlf.toml",
        "config-no-final-newline.toml",
        "config-array-comments.toml",
        "config-hand-kept.toml",
        "config-shell-between.toml",
        "config-already-right.toml",
        "config-bom.toml",
        "config-dotted-keys.toml",
    ] {
        let tree = bare().config_toml(fixture(name));
        let old = tree.text(CONFIG);
        taken(name, &tree, &only);
        let new = tree.text(CONFIG);
        assert!(new.contains("privileged"), "{name}");
        assert_eq!(old.starts_with('\u{feff}'), new.starts_with('\u{feff}'), "{name}: byte order mark");
        assert_eq!(old.ends_with('\n'), new.ends_with('\n'), "{name}: end of the file");
        if name == "config-crlf.toml" {
            assert_eq!(new.matches('\n').count(), new.matches("\r\n").count(), "{name}: line ends");
        }
    }
    let mut many = String::from("concurrent = 1\n");
    for number in 0..10_000 {
        writeln!(
            many,
            "[[runners]]\nname = \"r{number}\"\ntoken = \"glrt-CANARY-{number}\"\nexecutor = \"shell\""
        )
        .unwrap();
    }
    let tree =
        bare().config_toml(format!("{many}{}", "[[runners]]\nname = \"last\"\nexecutor = \"docker\"\n"));
    taken("10,000 runners", &tree, &only);
    assert!(tree.text(CONFIG).starts_with(&many), "the other runners keep their bytes");
    let tree = bare()
        .config_toml("[[runners]]\nname = \"a\" # n\ntoken = \"$TOKEN\"\nexecutor = \"docker\" # keep\n");
    taken("a variable for a token", &tree, &only);
    assert!(
        tree.text(CONFIG)
            .starts_with("[[runners]]\nname = \"a\" # n\ntoken = \"$TOKEN\"\nexecutor = \"docker\" # keep\n")
    );
    let tree = host();
    tree.chmod(CONFIG, 0o644);
    taken("readable by all", &tree, &only).says("0644");
    assert_eq!(tree.metadata(CONFIG).0, 0o644, "a mode that nobody asked to change");
}

#[test]
fn configurations_without_a_runner() {
    for (name, tree) in [
        ("only comments", bare().config_toml("# nothing\n# [[runners]]\n")),
        ("no runner", bare().config_toml("concurrent = 1\ncheck_interval = 0\n")),
        ("no file", bare()),
        ("an empty list", bare().config_toml("runners = []\n")),
        (
            "a runner of another executor",
            bare().config_toml("[[runners]]\nname = \"s\"\nexecutor = \"shell\"\n"),
        ),
    ] {
        let before = without_state(tree.stamps());
        let run = tree.run(&["apply", "--profile", "dind", "--only", "config"]);
        assert!(run.status == 3 && run.contains("waiting: "), "{name}: {run}");
        assert_unchanged(&before, &without_state(tree.stamps()));
    }
}

#[test]
fn configurations_behind_links() {
    if !visudo() {
        return;
    }
    let text = fixture("config-docker-runner.toml");
    let only = ["--profile", "dind", "--only", "config"];
    let tree =
        bare().dir("srv/gitlab-runner", 0o700).file_mode("srv/gitlab-runner/config.toml", &text, 0o600);
    let tree = tree.link("etc/gitlab-runner", "/srv/gitlab-runner");
    taken("the directory is a link", &tree, &only);
    assert!(tree.text("srv/gitlab-runner/config.toml").contains("privileged = true"));
    assert!(std::fs::symlink_metadata(tree.path("etc/gitlab-runner")).unwrap().is_symlink());
    let tree = bare().dir("etc/gitlab-runner", 0o700).file_mode("srv/real.toml", &text, 0o600);
    let tree = tree.link(CONFIG, "../../srv/real.toml");
    taken("the file is a link", &tree, &only);
    assert!(std::fs::symlink_metadata(tree.path(CONFIG)).unwrap().is_symlink());
    if is_root() {
        let tree =
            bare().dir("etc/gitlab-runner", 0o700).file_mode("home/gitlab-runner/c.toml", &text, 0o600);
        let tree = tree.own("home/gitlab-runner/c.toml", 998).link(CONFIG, "/home/gitlab-runner/c.toml");
        refused("a link into a home", &tree, &only, "belongs to uid 998");
        let tree = bare().dir("srv/open", 0o777).file_mode("srv/open/config.toml", &text, 0o600);
        let tree = tree.link("etc/gitlab-runner", "/srv/open");
        refused("a link to an open directory", &tree, &only, "0777");
    }
}

#[test]
fn a_device_for_a_configuration() {
    if !is_root() {
        return skip("only root makes devices");
    }
    let tree = bare().dir("etc/gitlab-runner", 0o700);
    let made = nix::sys::stat::mknod(
        &tree.path(CONFIG),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o600),
        nix::sys::stat::makedev(1, 5),
    );
    if made.is_err() {
        return skip("no device can be made here");
    }
    refused("a device", &tree, &DIND, "a device");
    assert!(run_limited(Command::new("test").arg("-c").arg(tree.path(CONFIG))).status == 0);
}

#[test]
fn the_environment_of_the_unit_names_the_file() {
    let unit = "etc/systemd/system/gitlab-runner.service";
    let start = "ExecStart=/usr/bin/gitlab-runner run";
    let here = "Environment=A=b \"CONFIG_FILE=/etc/other.toml\"\n";
    for (name, text, changed) in [
        ("the unit itself", format!("[Service]\n{here}{start}\n"), true),
        ("a file", format!("[Service]\nEnvironmentFile=-/etc/default/gitlab-runner\n{start}\n"), true),
        (
            "an option is stronger",
            format!("[Service]\n{here}{start} -c /etc/gitlab-runner/config.toml\n"),
            false,
        ),
    ] {
        let toml = host().text("etc/gitlab-runner/config.toml");
        let tree = host()
            .file(unit, text)
            .file("etc/default/gitlab-runner", "CONFIG_FILE=/etc/other.toml\n")
            .file_mode("etc/other.toml", &toml, 0o600);
        taken(name, &tree, &["--profile", "dind", "--only", "config"]);
        assert_eq!(tree.text("etc/other.toml") != toml, changed, "{name}");
        assert_eq!(tree.text("etc/gitlab-runner/config.toml") == toml, changed, "{name}");
    }
}
