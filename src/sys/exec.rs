//! Other programs: found by absolute path, started with nothing of ours, stopped when they hang.
//!
//! Owns the search for tools and their environment. What a tool prints is data, never trusted text.

mod streams;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Pid, Uid, fchown, pipe2};
use streams::listen;

use super::confine::{self, StandIn, Supposed, suppose};
use super::dir::Dir;
use super::identity::Identity;
use super::lock::Lock;
use super::process_list::Adopted;
use super::raw;
use super::root::Root;
use super::waiting::Waiting;
use crate::fault::Nature;
use crate::seen::{FileKind, Stat};

/// Where the tools of a Linux distribution are, in the order that sudo's `secure_path` has them.
pub const TOOL_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// No tool that we start works longer than this, unless it is stopped or waits for somebody.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a tool may take to end once it was asked to; `su` gives its shell two seconds.
const GRACE: Duration = Duration::from_secs(4);

/// How long a killed tool has to be gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a tool did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl Finished {
    /// True for exit code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// True where it printed nothing.
    pub fn is_silent(&self) -> bool {
        [&self.stdout, &self.stderr].iter().all(|text| text.trim().is_empty())
    }

    /// The first line of complaint that is meant, else the first one at all, as [`Self::complaint`] has it.
    pub fn complaint_about(&self, is_meant: impl Fn(&str) -> bool) -> String {
        let meant = self.stderr.lines().find(|line| is_meant(line));
        meant.map_or_else(|| self.complaint(), short)
    }

    /// The first line of complaint, for messages: the tool's own words, as they are. A report shows what is in them.
    pub fn complaint(&self) -> String {
        // sudo says this of a host that does not know its own name, and goes on.
        let is_notice = |line: &str| line.contains("unable to resolve host");
        let said = || self.stderr.lines().chain(self.stdout.lines()).filter(|line| !line.trim().is_empty());
        let line = said().find(|line| !is_notice(line)).or_else(|| said().next());
        let silent = if self.code.is_none() { "it was killed" } else { "it said nothing" };
        short(line.unwrap_or(silent))
    }
}

/// A line of a tool's, for messages.
pub fn short(line: &str) -> String {
    line.trim().trim_end_matches('.').chars().take(300).collect()
}

/// A call of a tool.
#[must_use]
#[derive(Debug)]
pub struct Tool<'a> {
    program: &'a Path,
    arguments: Vec<OsString>,
    input: &'a [u8],
    stdin: Option<io::Result<OwnedFd>>,
    identity: Option<Identity>,
    groups: Vec<Gid>,
    environment: Vec<(&'static str, OsString)>,
    within: &'a Path,
    patience: Duration,
    leaves_nothing: bool,
    rehearses: bool,
    stand_in: Option<StandIn>,
    supposed: Vec<Supposed>,
}

impl<'a> Tool<'a> {
    /// A call of the program at this absolute path.
    pub fn new(program: &'a Path) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            input: &[],
            stdin: None,
            identity: None,
            groups: Vec::new(),
            environment: Vec::new(),
            within: Path::new("/"),
            patience: PATIENCE,
            leaves_nothing: false,
            rehearses: false,
            stand_in: None,
            supposed: Vec::new(),
        }
    }

    /// Add an argument. Never a secret: arguments are visible to every account.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Add arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Give these bytes on standard input; at most what a pipe holds (64 KiB).
    pub fn input(mut self, bytes: &'a [u8]) -> Self {
        self.input = bytes;
        self
    }

    /// Give it this directory as `/proc/self/fd/0`, which leads there whatever becomes of the path.
    pub fn directory(mut self, directory: &Dir) -> Self {
        self.stdin = Some(directory.as_fd().try_clone_to_owned());
        self
    }

    /// Let it hold this lock until it ends, even if we are killed before: what it does must not be done again beside it.
    /// The lock's empty file is its standard input.
    pub fn holding(mut self, lock: &Lock) -> Self {
        self.stdin = Some(lock.handle());
        self
    }

    /// Run it with the rights of an account and with all its groups, as a job has them. It can be traced and stopped by
    /// that account, so what it says is the account's word.
    pub fn account(mut self, name: &str, identity: Identity) -> Self {
        let words = std::ffi::CString::new(name).unwrap_or_default();
        self.groups = nix::unistd::getgrouplist(&words, Gid::from_raw(identity.gid)).unwrap_or_default();
        // Those of the files that it is to find, too.
        for file in self.supposed.iter().filter(|file| file.path.ends_with("group")) {
            for line in String::from_utf8_lossy(&file.bytes).lines() {
                let [_, _, gid, members] = line.split(':').collect::<Vec<_>>()[..] else { continue };
                let is_in = members.split(',').any(|member| member == name);
                self.groups.extend(gid.parse().ok().filter(|_| is_in).map(Gid::from_raw));
            }
        }
        self.identity = Some(identity);
        self
    }

    /// Add a variable to its otherwise clean environment.
    pub fn env(mut self, name: &'static str, value: &OsStr) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Run it in this directory.
    pub fn within(mut self, directory: &'a Path) -> Self {
        self.within = directory;
        self
    }

    /// Wait no longer than this for it.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// End with it what it has started in the background. So it always is with the rights of an account, whose files
    /// say what is started.
    pub fn leaving_nothing(mut self) -> Self {
        self.leaves_nothing = true;
        self
    }

    /// Let nothing stay of what it writes, neither in the directory in which it runs nor elsewhere, and let it reach no
    /// network. It begins in a `/tmp` of its own. Where the kernel does not allow that it is not started.
    pub fn rehearsing(mut self, stand_in: Option<StandIn>) -> Self {
        (self.rehearses, self.stand_in) = (true, stand_in);
        self
    }

    /// Let it find these files where they are not, or not like that. Nobody else does, and they go with it. Where the kernel
    /// does not allow that it is not started.
    pub fn supposing(mut self, files: &[Supposed]) -> Self {
        self.supposed = files.to_vec();
        self
    }

    /// Run it to its end.
    pub fn run(self) -> Result<Finished> {
        let name = self.program.display().to_string();
        let mut command = clean(self.program);
        command
            .args(&self.arguments)
            .envs(self.environment)
            .current_dir(if self.rehearses { Path::new("/") } else { self.within })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = if let Some(handle) = self.stdin {
            command.stdin(handle.context("cannot pass a handle on")?);
            None
        } else if self.input.is_empty() {
            command.stdin(Stdio::null());
            None
        } else {
            let (theirs, ours) =
                pipe(self.identity).with_context(|| format!("cannot make a pipe for {name}"))?;
            command.stdin(theirs);
            Some(ours)
        };
        raw::in_new_session(&mut command);
        if self.rehearses {
            let home = self.within.to_path_buf();
            raw::before_rights(&mut command, move || confine::leave_nothing(&home, self.stand_in.as_ref()));
        }
        if !self.supposed.is_empty() {
            raw::before_rights(&mut command, move || suppose(&self.supposed));
        }
        // After what only root can do.
        if let Some(Identity { uid, gid }) = self.identity {
            raw::with_groups(&mut command, Uid::from_raw(uid), Gid::from_raw(gid), self.groups);
        }
        let adopted = (self.leaves_nothing || self.identity.is_some()).then(Adopted::begin);
        let child = start(&mut command).with_context(|| format!("cannot start {name}"));
        // Closes our copy of the reading end: a tool that ends early is then noticed by the write.
        drop(command);
        let mut child = child?;
        let feed = input.map(|ours| (File::from(ours), self.input));
        let deadline = Instant::now() + self.patience;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let listened = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => {
                // Whoever is left could hold the streams open.
                let mut look = || {
                    if let (Some(adopted), Ok(Some(_))) = (&adopted, child.try_wait()) {
                        adopted.end();
                    }
                };
                listen(feed, stdout, &mut out, stderr, &mut err, deadline, &mut look)
            }
            _ => Ok(()),
        };
        let status = end_of(&mut child, deadline).with_context(|| format!("cannot wait for {name}"))?;
        if status.is_none() {
            stop(&mut child);
        }
        if let Some(adopted) = adopted {
            adopted.end();
        }
        let Some(status) = status else {
            return Err(Nature::Hangs.fault(
                "tool-hangs",
                format!("{name} did not finish within {} s", self.patience.as_secs()),
                mend!("run it by hand to see what it waits for: {}", name),
            ));
        };
        listened.with_context(|| format!("cannot read what {name} prints"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Finished { code: status.code(), stdout: text(out), stderr: text(err) })
    }
}

/// A pipe whose reading end belongs to whoever reads it: a tool that opens `/dev/stdin` by name is asked for its
/// rights on the pipe, and one made by root is closed to an account.
fn pipe(reader: Option<Identity>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
    if let Some(Identity { uid, gid }) = reader {
        fchown(&theirs, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok((theirs, ours))
}

/// `spawn` panics when it can't hear from the child whether the program was started.
fn start(command: &mut Command) -> io::Result<Child> {
    let quiet = AssertUnwindSafe(|| command.spawn());
    catch_unwind(quiet).unwrap_or_else(|_| Err(io::Error::other("the kernel does not say whether it runs")))
}

/// Ask it to end, then kill it and take its exit status: `su` and `sudo` pass only the polite signal on to
/// what they started in a session of its own. For the status it waits only a moment: whoever traces a
/// process is told of its end first, and an account can trace what runs with its rights and keep quiet.
fn stop(child: &mut Child) {
    // It leads a session and a group of its own.
    if let Ok(group) = i32::try_from(child.id()).map(Pid::from_raw) {
        killpg(group, Signal::SIGTERM).ok();
        end_of(child, Instant::now() + GRACE).ok();
        killpg(group, Signal::SIGKILL).ok();
    }
    child.kill().ok();
    end_of(child, Instant::now() + FAREWELL).ok();
}

/// Wait for the end of a child, at most until then; `None` where it lives on.
pub fn end_of(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let left = deadline.saturating_duration_since(Instant::now());
    Waiting::silent().until("a child to end", left, Duration::from_millis(2), || child.try_wait())
}

/// A program with an environment that has nothing of ours, to be started by a caller who minds its streams,
/// its time and its rights.
pub fn clean(program: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one file that starts programs")]
    let mut command = Command::new(program);
    // It is refused for no signal that there is.
    raw::hear_of_children().ok();
    command.env_clear().env("PATH", TOOL_PATH.join(":")).env("LC_ALL", "C");
    command
}

/// The file that this process runs.
pub fn own_program() -> Option<PathBuf> {
    // After an update its name ends in ` (deleted)`, and leads nowhere.
    std::env::current_exe().ok().filter(|path| path.is_absolute() && path.exists())
}

/// The program of that name in the directories of [`TOOL_PATH`]; `None` when it is not installed.
pub fn find(root: &Root, name: &str) -> Option<PathBuf> {
    find_all(root, name).next()
}

/// Every program of that name in the directories of [`TOOL_PATH`].
pub fn find_all<'a>(root: &'a Root, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    TOOL_PATH.iter().map(move |dir| Path::new(dir).join(name)).filter(|path| is_program(root, path))
}

/// True for an executable regular file.
pub fn is_program(root: &Root, path: &Path) -> bool {
    program(root, path).is_some()
}

/// What is known of an executable regular file; `None` for anything else.
pub fn program(root: &Root, path: &Path) -> Option<Stat> {
    let stat = root.stat(path, true).ok().flatten();
    stat.filter(|stat| stat.kind == FileKind::Regular && stat.mode & 0o111 != 0)
}
