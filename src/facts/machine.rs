//! What only the running machine can tell, not a tree: its processes, daemons, and what tools say.
//!
//! Read-only as all facts are: the tools that are started are those that look. Each has a time limit.

use std::path::Path;

use anyhow::{Context, Result};

use super::service::Service;
use super::{ASKING, Facts};
use crate::sys::exec::Tool;
use crate::sys::process_list::{self, Process};
use crate::sys::{accounts, mounts, unix_http};

pub use crate::sys::exec::Finished;
pub use crate::sys::mounts::{FileSystem, Room};

/// The names that the program had.
const NAMES: [&str; 2] = ["gitlab-runner", "gitlab-ci-multi-runner"];

/// A running `gitlab-runner run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRunner {
    /// Its number.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// When it was started, in seconds since 1970.
    pub started: i64,
    /// True when its `/` is not the machine's: it runs in a container.
    pub elsewhere: bool,
    /// The user whose container that is, root for the machine itself; `None` where no account has that number.
    pub maker: Option<u32>,
    /// What its command line says.
    pub says: Service,
}

impl Facts<'_> {
    /// What a tool says to root; `None` when it is not installed, and for a tree.
    ///
    /// # Errors
    /// When it can't be started, or does not end in time.
    pub fn ask_tool(&self, tool: &str, arguments: &[&str], input: &[u8]) -> Result<Option<Finished>> {
        let Some(program) = self.tool(tool).filter(|_| self.is_host()) else { return Ok(None) };
        Tool::new(&program).args(arguments).input(input).patience(ASKING).leaving_nothing().run().map(Some)
    }

    /// The processes that take jobs.
    ///
    /// # Errors
    /// When `/proc` can't be read, or there is too much in it.
    pub fn runners(&self) -> Result<Vec<RunningRunner>> {
        let all = process_list::named(self.root, &NAMES).context("cannot list the processes in /proc")?;
        let takes_jobs = |process: &Process| process.arguments.iter().skip(1).any(|word| word == "run");
        let has_user = |uid: &u32| *uid == 0 || accounts::is_somebody(self.root, *uid).unwrap_or(false);
        Ok(all
            .into_iter()
            .filter(takes_jobs)
            .map(|Process { pid, uid, arguments, started, elsewhere, maker }| RunningRunner {
                pid,
                uid,
                started,
                elsewhere,
                maker: Some(maker).filter(has_user),
                says: Service::of_arguments(&arguments),
            })
            .collect())
    }

    /// True when one of them is there by its own word, in a container too; `None` in a tree. Another user's program can
    /// be seen only with more rights than `check` has in its unit.
    pub fn runs_runner(&self) -> Option<Result<bool>> {
        let says =
            || process_list::says(self.root, &NAMES, "run").context("cannot list the processes in /proc");
        self.is_host().then(says)
    }

    /// A process that has this file alone mounted, as a container with `--volume FILE:FILE` does; `None` when
    /// none has, or the file is gone, and for a tree.
    ///
    /// # Errors
    /// When the file or `/proc` can't be read, or there is too much in it.
    pub fn mounted_alone(&self, path: &Path) -> Result<Option<u32>> {
        let cannot = || format!("cannot see who has {} mounted", path.display());
        let Some(found) = self.root.walk(path, true).with_context(cannot)?.filter(|_| self.is_host()) else {
            return Ok(None);
        };
        let file = found.dir.open(&found.name).with_context(cannot)?;
        mounts::holder(self.root, &file).with_context(cannot)
    }

    /// The file system of a directory, links resolved; `None` when there is no such directory.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn file_system(&self, directory: &Path) -> Result<Option<FileSystem>> {
        let cannot = || format!("cannot see the file system of {}", directory.display());
        mounts::file_system(self.root, directory).with_context(cannot)
    }
}

/// What the Docker daemon behind a Unix socket says of itself at a path of its API: `/info` as `docker info`, `/version` as
/// `docker version`.
///
/// # Errors
/// When it does not answer, or not with what Docker says.
pub fn ask_docker(socket: &Path, path: &str) -> Result<serde_json::Value> {
    let (status, body) = unix_http::get(socket, path).context("it does not answer")?;
    anyhow::ensure!(status == 200, "it answers with status {status}");
    serde_json::from_str(&body).context("its answer is not Docker's")
}

/// Whether it has an image (`docker image inspect`).
///
/// # Errors
/// When it does not answer, or not with what Docker says; also for a name that no image can have.
pub fn docker_has_image(socket: &Path, name: &str) -> Result<bool> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    anyhow::ensure!(!name.is_empty() && name.bytes().all(is_usual), "that can't be the name of an image");
    let (status, _) =
        unix_http::get(socket, &format!("/images/{name}/json")).context("it does not answer")?;
    match status {
        200 => Ok(true),
        404 => Ok(false),
        _ => anyhow::bail!("it answers with status {status}"),
    }
}

/// The time, in seconds since 1970.
pub fn now() -> i64 {
    crate::sys::waiting::now().0
}
