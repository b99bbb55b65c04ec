//! A shell script as the first process of namespaces of its own: throwaway hosts, managing machines, engines.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATH;

/// What `unshare` is told in any case: everything in it ends with the first process, and that with its starter.
const ALWAYS: [&str; 8] =
    ["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child", "--net"];

/// It runs. Its first process, and with it everything else in it, ends with the value.
pub(crate) struct Namespaces {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Namespaces {
    /// Whether there can be any here; if not, why.
    pub(crate) fn probe() -> Result<(), String> {
        match Command::new("unshare").args(ALWAYS).arg("true").stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("no namespaces: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("cannot start unshare: {error}")),
        }
    }

    /// Starts the script, with more namespaces of its own if `more` names them, and gives the first line that it
    /// prints. A script that prints none has failed: then its errors stand in the message.
    ///
    /// It ends when its standard input does, so it has to read that to its end.
    #[track_caller]
    pub(crate) fn start<S: AsRef<OsStr>>(
        more: &[&str],
        script: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> (Self, String) {
        let mut errors = tempfile::tempfile().expect("a temporary file for the errors");
        let mut child = Command::new("unshare")
            .args(ALWAYS)
            .args(more)
            .args(["--", "/bin/sh", "-c", script, "sh"])
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().expect("a second handle of the errors"))
            .spawn()
            .expect("unshare");
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let started = Self { child, stdin };
        if !line.ends_with('\n') {
            let mut text = String::new();
            let _ = errors.rewind().and_then(|()| errors.read_to_string(&mut text));
            panic!("the first process of new namespaces does not start: {text}");
        }
        line.pop();
        (started, line)
    }

    /// The process id of what started it; `pid_for_children` and the other namespaces of its are those that were made.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The end of its input ends the first process, and the kernel everything else with it.
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Run this in another network: what it opens stays there.
pub(crate) fn within<T: Send>(network: &str, open: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let network = std::fs::File::open(network).unwrap();
        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        open()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
}
