//! Whatever environment it is started in, as by cloud-init, cron or a package's script, the program leaves the same
//! tree with the same modes.

#![expect(clippy::disallowed_methods, reason = "the tests start the program from a shell of their own")]

mod support;

use std::process::Command;

use support::{Run, Tree, differences, fixture, program};

/// What a shell does first, and the whole environment.
const ENVIRONMENTS: &[(&str, &[&str])] = &[
    (
        "umask 022",
        &["HOME=/root", "TERM=xterm-256color", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    ),
    ("umask 000", &[]),
    ("umask 077; exec <&-", &["LANG=C.UTF-8", "PATH=/bin"]),
    ("umask 000; exec <&- >&- 2>&-", &["LC_ALL=C.UTF-8", "PATH="]),
    ("umask 0777", &["LANG=xx_YY.no-such", "TERM=no-such", "HOME=/nonexistent", "PATH=/nonexistent"]),
    ("umask 077; cd /proc/self/fd", &["HOME=", "TERM=", "LANG=", "TMPDIR=/nonexistent"]),
];

fn tree() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

#[track_caller]
fn run(tree: &Tree, first: &str, environment: &[&str], arguments: &[&str]) -> Run {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{first}\nexec \"$@\""), "sh", "/usr/bin/env", "-i"]).args(environment);
    command.arg(program()).args(arguments).arg("--root").arg(tree.top());
    tree.run_command(&mut command)
}

/// Mode, owner, kind and path of everything; a key and the time of a run are other ones each time.
fn shape(tree: &Tree) -> Vec<String> {
    let mut shape: Vec<String> = tree
        .listing()
        .iter()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            // 20261124T101502Z-0001
            let path: String = fields[5].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            [fields[0], fields[1], fields[2], &path].join(" ")
        })
        .collect();
    shape.sort();
    shape
}

#[test]
fn every_environment_gives_the_same_tree() {
    let mut first_shape: Option<Vec<String>> = None;
    let mut first_config = Vec::new();
    for (first, environment) in ENVIRONMENTS {
        let tree = tree();
        let done = run(&tree, first, environment, &["apply", "--profile", "dind"]);
        assert_eq!(done.status, 0, "{first} {environment:?}\n{done}");
        done.says_not("\u{1b}[");
        run(&tree, first, environment, &["check", "--profile", "dind"]).ok();
        let (shape, config) = (shape(&tree), tree.read("etc/gitlab-runner/config.toml"));
        let sudoers = tree.metadata("etc/sudoers.d/gitlab-runner");
        assert_eq!(sudoers.0, 0o440);
        if let Some(wanted) = &first_shape {
            assert_eq!(differences(wanted, &shape), [""; 0], "{first} {environment:?}");
            assert_eq!(first_config, config, "{first} {environment:?}");
        } else {
            (first_shape, first_config) = (Some(shape), config);
        }
    }
    assert!(first_shape.iter().flatten().any(|line| line.contains(" f home/gitlab-runner/.ssh/id_ed")));
}

#[test]
fn json_is_one_document_in_every_environment() {
    for (first, environment) in ENVIRONMENTS.iter().filter(|(first, _)| !first.contains(">&-")) {
        let tree = tree();
        let done = run(&tree, first, environment, &["apply", "--profile", "dind", "--json"]);
        assert_eq!(done.ok().json()["changed"], true, "{first} {environment:?}");
    }
}
