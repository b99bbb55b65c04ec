//! Hosts for `doctor`: one that lacks nothing, and what can be wrong with it, as data.

#![allow(dead_code, unused_imports, reason = "every test file uses another part of it")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests lay out their hosts themselves")]

mod codes;
mod faults;
mod host_faults;
mod other_profiles;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use runner_prep::text::key_pair;
use runner_prep::text::known_hosts::GITLAB_COM;

use crate::support::{Host, Tree};

pub(crate) use codes::{TO_LIST, codes, findings, has, listed, text};
pub(crate) use faults::STATUS;
pub(crate) use host_faults::HOST_FAULTS;

/// Every fault of a tree.
pub(crate) fn tree_faults() -> impl Iterator<Item = &'static Fault> {
    faults::TREE_FAULTS.iter().chain(other_profiles::OTHER_FAULTS)
}

pub(crate) const HOME: &str = "/home/gitlab-runner";

/// Two runners as `gitlab-runner register` and `apply --profile dind` leave them.
pub(crate) const CONFIG: &str = r#"concurrent = 2
check_interval = 0

[session_server]
  session_timeout = 1800

[[runners]]
  name = "images"
  url = "https://gitlab.com/"
  id = 1
  token = "glrt-CANARY-patient-1"
  token_obtained_at = 2023-09-01T08:54:52Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "docker"
  environment = ["DOCKER_TLS_CERTDIR=/certs"]
  [runners.docker]
    tls_verify = false
    image = "docker:19.03"
    privileged = true
    volumes = ["/certs/client", "/cache"]

[[runners]]
  name = "deploy"
  url = "https://gitlab.com/"
  id = 2
  token = "glrt-CANARY-patient-2"
  executor = "shell"
"#;

const UNIT: &str = "[Service]\nExecStart=/usr/bin/gitlab-runner run --config /etc/gitlab-runner/config.toml \
                    --working-directory /home/gitlab-runner --service gitlab-runner --user gitlab-runner\n";

pub(crate) const DPKG: &str = "Package: gitlab-runner\nStatus: install ok installed\nVersion: 17.4.0-1\n";

/// One thing that is done to the host that lacks nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Do {
    Put(&'static str, &'static str),
    Edit(&'static str, &'static str, &'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Mode(&'static str, u32),
    Make(&'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Fifo(&'static str),
    /// Make it larger than anything that is read.
    Grow(&'static str),
}

/// Something that is wrong, and what `doctor` says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [Do],
    pub(crate) status: &'static str,
    pub(crate) code: &'static str,
    /// Profile and options.
    pub(crate) args: &'static [&'static str],
}

/// What lies in the host that lacks nothing: path, text, mode, and whether it is the account's.
fn files() -> Vec<(&'static str, String, u32, bool)> {
    let pair = key_pair::ed25519("gitlab-runner").unwrap();
    let identity = "[user]\n\tname = gitlab-runner\n\temail = gitlab-runner@runner-host\n";
    let rule = "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n";
    vec![
        ("/etc/ssh/ssh_known_hosts", GITLAB_COM.to_owned(), 0o644, false),
        ("/etc/sudoers.d/gitlab-runner", rule.to_owned(), 0o440, false),
        ("/etc/systemd/system/gitlab-runner.service", UNIT.to_owned(), 0o644, false),
        ("/etc/gitlab-runner/config.toml", CONFIG.to_owned(), 0o600, false),
        ("/home/gitlab-runner/.gitconfig", identity.to_owned(), 0o644, true),
        ("/home/gitlab-runner/.ssh/id_ed25519", pair.private.to_string(), 0o600, true),
        ("/home/gitlab-runner/.ssh/id_ed25519.pub", pair.public, 0o644, true),
    ]
}

/// A tree that lacks nothing.
pub(crate) fn tree() -> Tree {
    let mut tree = Tree::new()
        .account("gitlab-runner", 998, HOME)
        .dir("/home/gitlab-runner/.ssh", 0o700)
        .dir("/home/gitlab-runner/builds", 0o755)
        // On another disk.
        .link("/home/gitlab-runner/cache", "/srv/cache");
    for program in ["git", "ssh", "gitlab-runner"] {
        tree = tree.file_mode(&format!("/usr/bin/{program}"), "#!/bin/sh\n", 0o755);
    }
    tree = tree.file_mode("/usr/bin/sudo", "#!/bin/sh\n", 0o4755).file("/var/lib/dpkg/status", DPKG);
    for (path, text, mode, is_own) in files() {
        tree = tree.file_mode(path, text, mode);
        if is_own {
            tree = tree.own(path, 998);
        }
    }
    tree.dir("/etc/gitlab-runner", 0o700)
        .own("/home/gitlab-runner/.ssh", 998)
        .own("/home/gitlab-runner/builds", 998)
}

/// Make a tree sick.
pub(crate) fn infect(tree: &Tree, fault: &Fault) {
    apply(tree, fault.steps);
}

/// Do these things to it.
pub(crate) fn apply(tree: &Tree, steps: &[Do]) {
    for step in steps {
        match *step {
            Do::Put(path, text) => {
                let is_new = !tree.exists(path);
                write(tree, path, text);
                if is_new && path.starts_with(HOME) {
                    give(&tree.path(path));
                }
            }
            Do::Edit(path, from, to) => write(tree, path, &edited(&tree.text(path), from, to)),
            Do::Rename(from, to) => std::fs::rename(tree.path(from), tree.path(to)).unwrap(),
            Do::Remove(path) => tree.remove(path),
            Do::Mode(path, mode) => tree.chmod(path, mode),
            Do::Make(path) => std::fs::create_dir(tree.path(path)).unwrap(),
            Do::Link(path, target) => std::os::unix::fs::symlink(target, tree.path(path)).unwrap(),
            Do::Hard(path, other) => std::fs::hard_link(tree.path(path), tree.path(other)).unwrap(),
            Do::Fifo(path) => {
                nix::unistd::mkfifo(&tree.path(path), nix::sys::stat::Mode::S_IRUSR).unwrap();
            }
            Do::Grow(path) => {
                let file = std::fs::OpenOptions::new().write(true).open(tree.path(path)).unwrap();
                file.set_len(1 << 30).unwrap();
            }
        }
    }
}

/// Write a file, also one that its own owner may only read.
fn write(tree: &Tree, path: &str, text: &str) {
    if !tree.exists(path) {
        return tree.put(path, text);
    }
    let (mode, ..) = tree.metadata(path);
    tree.chmod(path, mode | 0o200);
    tree.put(path, text);
    tree.chmod(path, mode);
}

/// A running host that lacks nothing; its Docker daemon answers as long as the value lives.
pub(crate) struct Patient {
    pub(crate) host: Host,
}

/// A fault of a host is a script that runs in it. `START` is where gitlab-runner is started.
pub(crate) struct HostFault {
    pub(crate) name: &'static str,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    pub(crate) status: &'static str,
    pub(crate) code: &'static str,
    /// Profile and options.
    pub(crate) args: &'static [&'static str],
}

/// Programs of a host that has none of GitLab's and Docker's.
const RUNNER: &str = "#!/bin/sh\ncase $1 in --version) echo 'Version:      19.4.0' ;; esac\n";
const SILENT: &str = "#!/bin/sh\nexit 1\n";

/// `begin` starts what looks like gitlab-runner, `end` ends it.
const START: &str = r#"begin() {
    [ -p /run/hold ] || mkfifo /run/hold
    mkdir -p /srv/running; cp /bin/bash /srv/running/gitlab-runner
    /srv/running/gitlab-runner -s run "$@" <>/run/hold &
    echo $! > /run/gitlab-runner.pid
    until [ "$(readlink /proc/$!/exe)" = /srv/running/gitlab-runner ]; do sleep 0.01; done
}
end() {
    kill -9 $(cat /run/gitlab-runner.pid)
    while kill -0 $(cat /run/gitlab-runner.pid) 2>/dev/null; do sleep 0.01; done
}
"#;
const BEGIN: &str = "begin --config /etc/gitlab-runner/config.toml --working-directory /home/gitlab-runner --service \
                     gitlab-runner --user gitlab-runner";

impl Patient {
    /// Start a host, with one thing wrong or none.
    pub(crate) fn admit(fault: Option<&HostFault>) -> Option<Self> {
        let mut builder = Host::or_skip()?
            .account("gitlab-runner", 998, HOME)
            .dir("/etc/gitlab-runner", 0o700)
            .dir("/home/gitlab-runner/.ssh", 0o700)
            .own("/home/gitlab-runner/.ssh", 998, 998)
            .file_mode("/usr/local/bin/gitlab-runner", RUNNER, 0o755)
            .file_mode("/usr/local/bin/journalctl", SILENT, 0o755)
            .file(
                "/run/docker.info",
                r#"{"ServerVersion": "29.0.4", "Driver": "overlayfs", "MinAPIVersion": "1.44", "DockerRootDir": "/var"}"#,
            );
        for (path, text, mode, is_own) in files() {
            builder = builder.file_mode(path, text, mode);
            if is_own {
                builder = builder.own(path, 998, 998);
            }
        }
        let host = builder.start();
        let socket = host.path("/run/docker.sock");
        let info = host.path("/run/docker.info");
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &info);
            }
        });
        let (before, after) = fault.map_or(("", ""), |fault| (fault.before, fault.after));
        let script = [START, before, "\n", BEGIN, "\n", after, "\n"].concat();
        host.sh(&script).ok();
        Some(Self { host })
    }
}

/// What a Docker daemon says to `GET /info`, `GET /version`, and of an image: it has those that a file lists.
fn answer(mut stream: std::os::unix::net::UnixStream, info: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut asked, mut line) = (String::new(), String::new());
    let _ = reader.read_line(&mut asked);
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    let image = asked.split("/images/").nth(1).and_then(|rest| rest.split("/json").next());
    let images = std::fs::read_to_string(info.with_extension("images")).unwrap_or_default();
    let status = match image {
        Some(image) if !images.lines().any(|line| line == image) => "404 Not Found",
        _ => "200 OK",
    };
    let body = std::fs::read_to_string(info).unwrap_or_default();
    let _ = write!(stream, "HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}");
}

fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in:\n{text}");
    text.replacen(from, to, 1)
}

fn give(path: &Path) {
    if crate::support::is_root() {
        std::os::unix::fs::lchown(path, Some(998), Some(998)).unwrap();
    }
}
