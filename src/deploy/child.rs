//! The processes of a deployment between their start and the moment they become rsync.
//!
//! Each is this program again, with one thread and nothing read, so that giving up rights is a plain
//! sequence of calls. Called by [`super`] alone; called by anybody else they have no rights to give up.

use std::io::{Write, stderr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::sys::fd_passing::{Socket, close_standard_streams};
use crate::sys::identity::{Identity, is_root};
use crate::sys::{confine, exec};

/// `deploy-receive UID GID TARGET RSYNC PROGRAM OPTION…`, with the socket as standard input: put up the walls
/// and become the receiving rsync in the target.
pub(super) fn receive(words: &[String]) -> Result<u8> {
    let [uid, gid, target, rsync, program, options @ ..] = words else {
        bail!("deploy-receive is runner-deploy's own");
    };
    if !is_root() {
        bail!("deploy-receive is runner-deploy's own");
    }
    let owner = Identity { uid: uid.parse()?, gid: gid.parse()? };
    let (target, rsync, program) = (Path::new(target), Path::new(rsync), Path::new(program));
    // The path becomes a word of a command line that rsync takes apart at spaces.
    let is_word = |path: &str| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c));
    if !program.to_str().is_some_and(is_word) {
        bail!("{} has characters that rsync would take apart; install it elsewhere", program.display());
    }
    confine::begin(Signal::SIGTERM)?;
    confine::leave_terminal()?;
    confine::lift_limits();
    let socket = Socket::from_standard_input().and_then(Socket::bequeath).context("no socket")?;
    let mut missing = Vec::new();
    if let Err(error) = confine::read_only_but(target) {
        missing.push(format!("read-only file systems ({error:#})"));
    }
    std::env::set_current_dir(target).context("cannot enter the target")?;
    if owner.uid == 0 {
        if let Err(error) = confine::keep_file_powers() {
            missing.push(format!("fewer capabilities ({error:#})"));
        }
    } else {
        confine::become_account(None, owner)?;
        confine::end_with_parent(Signal::SIGTERM)?;
    }
    confine::no_new_privileges()?;
    if !confine::reach_only(target, &[rsync, program])? {
        missing.push("Landlock (not in this kernel)".to_owned());
    }
    match confine::filter_calls() {
        Ok(true) => {}
        Ok(false) => missing.push("the filter of system calls (not for this machine)".to_owned()),
        Err(error) => missing.push(format!("the filter of system calls ({error:#})")),
    }
    if !missing.is_empty() {
        complain(&format!("the receiver goes without {}", missing.join(", ")));
    }
    let shell = format!("{} deploy-connect {socket}", program.display());
    let mut command = exec::clean(rsync);
    command.args(options).arg("-e").arg(shell).arg(format!("{PEER}:./")).arg("./");
    become_it(command, rsync)
}

/// `deploy-send ACCOUNT UID GID RSYNC OPTION…`, with rsync's pipes as standard streams: give root's rights up for
/// good and become the sending rsync in the directory where the job called.
pub(super) fn send(words: &[String]) -> Result<u8> {
    let [account, uid, gid, rsync, options @ ..] = words else {
        bail!("deploy-send is runner-deploy's own");
    };
    if !is_root() {
        bail!("deploy-send is runner-deploy's own");
    }
    let identity = Identity { uid: uid.parse()?, gid: gid.parse()? };
    confine::begin(Signal::SIGKILL)?;
    confine::leave_terminal()?;
    confine::become_account(Some(account), identity)?;
    confine::end_with_parent(Signal::SIGKILL)?;
    confine::no_new_privileges()?;
    let rsync = Path::new(rsync);
    let mut command = exec::clean(rsync);
    command.args(options);
    become_it(command, rsync)
}

/// `deploy-connect SOCKET PEER RSYNC OPTION…`: what rsync takes for a remote shell.
pub(super) fn connect(words: &[String]) -> Result<u8> {
    let [socket, wanted @ ..] = words else {
        bail!("deploy-connect is runner-deploy's own");
    };
    let socket = Socket::inherited(socket.parse()?).context("deploy-connect is runner-deploy's own")?;
    socket.send(wanted).context("cannot hand rsync's pipes over")?;
    close_standard_streams().context("cannot let rsync's pipes go")?;
    Ok(socket.wait_for_answer().unwrap_or(ERROR))
}

/// Become another program; comes back only with an error.
fn become_it(mut command: Command, program: &Path) -> Result<u8> {
    Err(command.exec()).with_context(|| format!("cannot start {}", program.display()))
}

/// Our own exit code for errors, as everywhere in this program. Everything else is rsync's.
pub(super) const ERROR: u8 = 2;

/// What rsync calls the other side; nobody reads it.
pub(super) const PEER: &str = "checkout";

/// As a shell says it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(ERROR)
}

/// A line for people, on standard error; a closed one is no reason to stop.
pub(super) fn complain(text: &str) {
    writeln!(stderr(), "runner-deploy: {}", plain(text)).ok();
}

/// The text without characters that a terminal obeys.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c }).collect()
}
