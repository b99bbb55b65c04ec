//! `runner-prep gitlab` against a GitLab on loopback that has the habits of the real one (`tests/support/gitlab.rs`).

#![allow(clippy::disallowed_methods, reason = "a test lays out files and starts the program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod given;
mod matrix;
mod places;
mod playbook;
mod project;
mod proxies;
mod runner;
mod secret;
mod undo;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use support::gitlab::{GitLab, ID, Key, State};
use support::{CANARY, PATH, Run, program, run_limited};

/// Public keys of two hosts.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf gitlab-runner";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOraX2nfhzSdKNMv26cWdUO90q2OW1RoaTfOlaHE05K runner@two";

/// What the pipelines of the manual need.
const ALL: &str =
    "deploy_key = \"push\"\njob_tokens_from = [\"group/code-repo\"]\npipeline_variables = \"developer\"";

/// Somebody with a profile, keys and a token, and no host at all.
struct Desk {
    directory: tempfile::TempDir,
    gitlab: GitLab,
}

impl Desk {
    fn new(state: State, project: &str) -> Self {
        Self::at(GitLab::start(state), project)
    }

    fn at(gitlab: GitLab, project: &str) -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap(), gitlab };
        desk.put("ours.toml", &desk.gitlab.profile(project));
        desk.put("keys", &format!("{KEY}\n"));
        desk.put("token", &format!("glpat-{CANARY}\n"));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file that nobody else can read.
    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("gitlab").args(words).args(["--profile", "./ours.toml"]);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir(self.directory.path());
        command
    }

    /// Run it with the keys and the token. The token is nowhere in what it prints.
    #[track_caller]
    fn run(&self, words: &[&str]) -> Run {
        let keys = if words.contains(&"--public-key") { None } else { Some(["--public-key", "keys"]) };
        let mut command = self.command(words);
        let run = run_limited(command.args(keys.into_iter().flatten()).args(["--token-file", "token"]));
        run.says_not(CANARY);
        run
    }

    /// `apply`, then again: nothing is written any more.
    #[track_caller]
    fn settles(&self) -> Vec<String> {
        self.run(&["apply"]).ok();
        let written = self.gitlab.written();
        self.run(&["check"]).ok();
        self.run(&["apply"]).ok().says("GitLab is as the profile wants it");
        assert_eq!(self.gitlab.written(), Vec::<String>::new(), "the second run only reads");
        written
    }
}

fn deploy_key(line: &str, can_push: bool) -> Key {
    Key { id: 5, line: line.to_owned(), can_push, expires_at: None, projects: vec![ID], sha256: None }
}
