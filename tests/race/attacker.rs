//! The attacker: a process of its own, with the account's rights.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, setgid, setgroups, setuid, unlinkat};

use super::ACCOUNT;

/// Tells the test `attacker` what to exchange: two paths, the directory with what root made, and the text that the
/// first one gets again and again, if any.
const ORDERS: &str = "RUNNER_PREP_TEST_ATTACK";

/// Not a test: the attacker, started by [`Attack::start`] as a process of its own.
#[test]
fn attacker() {
    let Some(orders) = std::env::var_os(ORDERS) else { return };
    let orders = orders.into_string().unwrap();
    let [one, other, made, again] = orders.split('\u{1}').collect::<Vec<_>>().try_into().unwrap();
    setgroups(&[]).unwrap();
    setgid(Gid::from_raw(ACCOUNT)).unwrap();
    setuid(Uid::from_raw(ACCOUNT)).unwrap();
    let made = open(made, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    println!("ready");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0_u64.. {
        // Now at once, now after a while: the program has to get past each of its steps sometimes.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pause = Duration::from_micros((random >> 32) % 8 * (random % 128));
        let began = Instant::now();
        while began.elapsed() < pause {
            std::hint::spin_loop();
        }
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).ok();
        if round % 21 == 0 {
            // So that root has something to do again: a key to make, or a mode to repair.
            for name in ["id_ed25519", "id_ed25519.pub", ".gitconfig"] {
                if !other.ends_with(name) && !one.ends_with(name) {
                    unlinkat(&made, name, UnlinkatFlags::NoRemoveDir).ok();
                }
            }
            if !again.is_empty() {
                let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
                if let Ok(file) = open(one, flags, Mode::empty()) {
                    nix::unistd::write(file, again.as_bytes()).ok();
                }
            }
            fchmodat(&made, ".", Mode::from_bits_truncate(0o755), FchmodatFlags::FollowSymlink).ok();
            let key = "id_ed25519";
            let loose = Mode::from_bits_truncate(0o644);
            fchmodat(&made, key, loose, FchmodatFlags::NoFollowSymlink).ok();
            if nix::unistd::getppid().as_raw() == 1 {
                return;
            }
        }
    }
}

/// A running attacker, and its output: it ends when nobody listens.
pub(crate) struct Attack {
    child: Child,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Attack {
    pub(crate) fn start(one: &Path, other: &Path, made: &Path, again: &str) -> Self {
        let paths = [one, other, made].map(|path| path.to_str().unwrap());
        let orders = [&paths[..], &[again]].concat().join("\u{1}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacker::attacker", "--nocapture"])
            .env(ORDERS, orders)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "the attacker does not start");
        Self { child, _output: lines }
    }

    /// It attacked all the time.
    pub(crate) fn end(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the attacker ended before its time");
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
