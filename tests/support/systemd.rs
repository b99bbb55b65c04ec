//! The real systemd as the first process of a part of a throwaway host.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::host::Host;
use super::process::{Run, run_limited};
use super::skip;

/// How long it may take to start. It takes a second; a machine that can't do it says so at once, mostly.
const LIMIT: Duration = Duration::from_secs(30);

const BOOT: &str = include_str!("systemd.sh");

/// A systemd that manages units of its host. It ends with the value.
pub(crate) struct Systemd<'a> {
    host: &'a Host,
    child: Child,
    id: String,
    /// Below the machine's control groups. Two that shared one would stop each other's services.
    group: String,
}

impl<'a> Systemd<'a> {
    /// Starts it, or says why that cannot be here.
    pub(crate) fn or_skip(host: &'a Host) -> Option<Self> {
        let group = format!("throwaway-{}", host.id());
        let mut command = host.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["--", "/bin/sh", "-c", BOOT, "systemd.sh", &group, "outside", BOOT])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("nsenter, which the host needs as well");
        let mut started = Self { host, child, id: String::new(), group };
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = started.child.try_wait() {
                break;
            }
            // It takes requests once this is there; it replaced the shell that was started.
            if host.path("/run/systemd/private").exists() {
                let found = host.sh("pgrep -o -x systemd");
                found.ok().stdout.trim().clone_into(&mut started.id);
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut text = String::new();
        let _ = started.child.kill();
        if let Some(mut stderr) = started.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        }
        skip(&format!("systemd does not start in namespaces: {}", text.trim()));
        None
    }

    /// A command beside it, as root.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = self.host.command("nsenter");
        command.args(["--target", &self.id, "--mount", "--pid", "--cgroup", "--", name]);
        command
    }

    /// Runs a shell script as root, stopping at its first error.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Run {
        run_limited(self.command("/bin/sh").args(["-euc", script]))
    }

    /// Everything that a unit said, and what systemd said of it.
    #[track_caller]
    pub(crate) fn journal(&self, unit: &str) -> String {
        let run = self.sh(&format!("journalctl --sync; journalctl --no-pager -o cat -u {unit}"));
        run.ok().stdout.clone()
    }
}

impl Drop for Systemd<'_> {
    fn drop(&mut self) {
        // All that it started ends with it. Without its number it never became one, and ends with the host.
        if !self.id.is_empty() {
            let _ = self.host.command("kill").args(["-KILL", &self.id]).status();
            let _ = self.child.wait();
        }
        let tidy =
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup && cd /sys/fs/cgroup && for try in 1 2 3 4 5 6 7 8 9; do
            find \"$1\" -depth -type d -exec rmdir {} + 2>/dev/null && exit; sleep 0.1; done";
        let _ = Command::new("unshare").args(["--mount", "sh", "-c", tidy, "sh", &self.group]).status();
    }
}
