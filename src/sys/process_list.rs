//! The processes of the machine, as `/proc` shows them: a snapshot.
//!
//! Any account can start thousands of processes, give them any name and arguments, and mount things by the ten
//! thousand in namespaces of its own. So a process is what its program's file and its real user say, and a look at
//! all of them has an end: who needs more than the `Look` gives gets an error, and does without the answer.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::dir::Dir;
use super::raw;
use super::root::Root;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, which is 100 wherever Rust's Linux targets run.
const TICKS: i64 = 100;

/// How long one look may take, whatever there is to see. Hosts with ten thousand processes need a tenth of it.
const MOST_TIME: Duration = Duration::from_secs(3);

/// How much of other processes one look reads. A host with five hundred containers has half of it.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The real user, who started it: a setuid program has root's rights and is still that user's.
    pub uid: u32,
    /// Program and arguments, in its own words.
    pub arguments: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started: i64,
    /// True when its `/` is not the machine's: it runs in a container, or a changed root directory.
    pub elsewhere: bool,
    /// The user who made the user namespace that it is in; root where that is our own.
    pub maker: u32,
}

/// One look at `/proc`, with what is left to spend on it.
#[derive(Debug)]
pub(super) struct Look {
    proc: Rc<Dir>,
    deadline: Instant,
    bytes: u64,
}

impl Look {
    pub(super) fn begin(machine: &Root) -> io::Result<Self> {
        let proc = machine.dir(Path::new("/proc"))?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { proc, deadline: Instant::now() + MOST_TIME, bytes: MOST_BYTES })
    }

    /// The numbers of all processes.
    pub(super) fn all(&self) -> io::Result<Vec<u32>> {
        Ok(self.proc.names()?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// An error when this look has taken its time.
    pub(super) fn go_on(&self) -> io::Result<()> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(too_much()) }
    }

    /// Where a link of a process leads.
    pub(super) fn link(&self, pid: u32, name: &str) -> io::Result<OsString> {
        Ok(self.proc.read_link(format!("{pid}/{name}").as_ref())?.into_os_string())
    }

    /// The whole of a file of a process, whose size says nothing; `None` where it can't be read, as that of a
    /// process which has ended.
    pub(super) fn bytes(&mut self, pid: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Ok(mut file) = self.proc.open(Path::new(pid).join(name).as_os_str()) else { return Ok(None) };
        let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
        loop {
            self.go_on()?;
            match file.read(&mut chunk) {
                Ok(0) => return Ok(Some(bytes)),
                Ok(count) => {
                    self.bytes = self.bytes.checked_sub(count as u64).ok_or_else(too_much)?;
                    bytes.extend_from_slice(&chunk[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(None),
            }
        }
    }

    fn text(&mut self, pid: u32, name: &str) -> io::Result<Option<String>> {
        let bytes = self.bytes(&pid.to_string(), name)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Who made the user namespace that a namespace of a process belongs to (`user`, `mnt`); root where it is ours.
    /// An account can make any, and be root in it. What the kernel does not tell lies outside of our own.
    pub(super) fn maker(&self, pid: u32, kind: &str) -> u32 {
        self.ask_maker(pid, kind).unwrap_or(0)
    }

    fn ask_maker(&self, pid: u32, kind: &str) -> io::Result<u32> {
        let open = |pid: &str, kind: &str| self.proc.open_through(format!("{pid}/ns/{kind}").as_ref());
        let mut space = open(&pid.to_string(), kind)?;
        if kind != "user" {
            space = raw::user_namespace(space.as_fd())?.into();
        }
        let identity = |file| nix::sys::stat::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
        if identity(&space)? == identity(&open("self", "user")?)? {
            return Ok(0);
        }
        raw::maker_of_user_namespace(space.as_fd())
    }
}

/// The processes that run a program of one of these names.
pub fn named(machine: &Root, names: &[&str]) -> io::Result<Vec<Process>> {
    let mut look = Look::begin(machine)?;
    let stat = look.bytes("", "stat")?.ok_or(io::ErrorKind::NotFound)?;
    let stat = String::from_utf8_lossy(&stat);
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let boot = boot.ok_or(io::ErrorKind::InvalidData)?;
    let top = machine.dir(Path::new("/"))?.ok_or(io::ErrorKind::NotFound)?.stat()?.identity;
    let mut found = Vec::new();
    for pid in look.all()? {
        look.go_on()?;
        // A process may end while we look, and the kernel's own have no program.
        let Ok(program) = look.link(pid, "exe") else { continue };
        if !names.iter().any(|name| is_program(program.as_bytes(), name)) {
            continue;
        }
        let Some(uid) = look.text(pid, "status")?.as_deref().and_then(real_user) else { continue };
        let Some(arguments) = look.text(pid, "cmdline")? else { continue };
        let Some(ticks) = look.text(pid, "stat")?.as_deref().and_then(start_ticks) else { continue };
        let Ok(own_top) = look.proc.stat_through(format!("{pid}/root").as_ref()) else { continue };
        let arguments = arguments.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        let (started, elsewhere) = (boot + ticks / TICKS, own_top.identity != top);
        found.push(Process { pid, uid, arguments, started, elsewhere, maker: look.maker(pid, "user") });
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// True when a process says of itself that its program has one of these names, and that it was given this argument.
pub fn says(machine: &Root, names: &[&str], argument: &str) -> io::Result<bool> {
    let mut look = Look::begin(machine)?;
    for pid in look.all()? {
        let Some(bytes) = look.bytes(&pid.to_string(), "cmdline")? else { continue };
        let mut words = bytes.split(|byte| *byte == 0);
        let is_it = words.next().is_some_and(|program| names.iter().any(|name| is_program(program, name)));
        if is_it && words.any(|word| word == argument.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The children of this process.
fn children() -> io::Result<Vec<u32>> {
    let mut look = Look::begin(&Root::open(Path::new("/")).map_err(io::Error::other)?)?;
    let own = std::process::id();
    let number = |word: &str| word.parse().ok();
    // All were started by the first thread, or came to it.
    if let Some(bytes) = look.bytes(&format!("self/task/{own}"), "children")? {
        return Ok(String::from_utf8_lossy(&bytes).split_whitespace().filter_map(number).collect());
    }
    let mut found = Vec::new();
    for pid in look.all()? {
        let stat = look.text(pid, "stat")?;
        let parent =
            stat.as_deref().and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        found.extend(Some(pid).filter(|_| parent == Some(own)));
    }
    Ok(found)
}

/// The program's file has this name, or the one under which it can be downloaded, `NAME-linux-amd64`.
fn is_program(path: &[u8], name: &str) -> bool {
    // So the kernel marks a file that was replaced while it runs.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let rest = file.strip_prefix(name.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-linux-"))
}

/// The first of the four users in `/proc/PID/status`: real, effective, saved, that of the file system.
fn real_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}

/// The 22nd field of `/proc/PID/stat`; the second is the program's name, which may hold anything.
fn start_ticks(stat: &str) -> Option<i64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

fn too_much() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "there are more processes and mounts than can be looked through")
}

/// How long what is left has to be gone. An account can start faster than anybody ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a program has started in the background, and left running at its end. For as long as this lives, this process gets
/// every orphan below it as a child of its own, so that it finds them, whatever session or group they went to. A child keeps
/// its number until it is waited for: nobody else is killed.
#[derive(Debug)]
pub(super) struct Adopted {
    own: Vec<u32>,
}

impl Adopted {
    /// Adopt from now on.
    pub(super) fn begin() -> Self {
        set_child_subreaper(true).ok();
        Self { own: children().unwrap_or_default() }
    }

    /// End all that was adopted, and what those have started in turn.
    pub(super) fn end(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let all = children().unwrap_or_default();
            let mut left = all.into_iter().filter(|pid| !self.own.contains(pid)).peekable();
            if left.peek().is_none() {
                return;
            }
            for pid in left.filter_map(|pid| i32::try_from(pid).ok()).map(Pid::from_raw) {
                // What has ended by itself only waits to be collected.
                if !matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
                    continue;
                }
                kill(pid, Signal::SIGKILL).ok();
                // Whoever traces it is told of its end first, and may keep quiet: no waiting.
                waitpid(pid, Some(WaitPidFlag::WNOHANG)).ok();
            }
            super::waiting::rest(Duration::from_millis(2));
        }
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        set_child_subreaper(false).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";
        assert_eq!(start_ticks(stat), Some(4242));
        // Nor does one that looks like a line: the kernel writes a newline in it as `\n`.
        assert_eq!(real_user("Name:\ta\\nUid:\t0\nUid:\t998\t0\t0\t0\n"), Some(998));
    }

    #[test]
    fn the_programs_file_names_it_and_not_its_words() {
        let is = |path: &str| is_program(path.as_bytes(), "gitlab-runner");
        assert!(is("/usr/bin/gitlab-runner") && is("/opt/gitlab-runner (deleted)"));
        assert!(is("/root/gitlab-runner-linux-amd64"));
        assert!(!is("/usr/bin/gitlab-runner-helper") && !is("/usr/bin/sudo") && !is("/gitlab-runner/x"));
    }

    #[test]
    fn this_process_is_found_and_started_before_now() {
        let own = std::env::current_exe().unwrap();
        let own = own.file_name().unwrap().to_str().unwrap();
        let found = named(&Root::open(Path::new("/")).unwrap(), &[own]).unwrap();
        let me = found.iter().find(|process| process.pid == std::process::id()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let age = i64::try_from(now).unwrap() - me.started;
        assert!((-2..3600).contains(&age), "{age}");
        assert!(!me.elsewhere);
        assert_eq!((me.uid, me.maker), (nix::unistd::getuid().as_raw(), 0));
    }
}
