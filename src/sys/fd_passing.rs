//! Handing two open handles, and what they are for, from one process to another over a socket.
//!
//! A program that starts its partner itself (as rsync starts a remote shell) starts a small stand-in instead,
//! which hands its own standard input and output over to a process with other rights. Must not start anything.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::fcntl::{OFlag, open};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::raw;

/// No message is longer.
const MOST_BYTES: usize = 64 * 1024;

/// One end of the connection.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What was handed over.
#[derive(Debug)]
pub struct ReceivedFds {
    /// What it is for.
    pub words: Vec<String>,
    /// What was the stand-in's standard input.
    pub input: OwnedFd,
    /// What was its standard output.
    pub output: OwnedFd,
}

impl Socket {
    /// Two connected ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// The end as a handle, to be given to a child.
    pub fn into_handle(self) -> OwnedFd {
        self.0
    }

    /// The end that this process was started with.
    pub fn inherited(number: RawFd) -> Option<Self> {
        raw::inherited(number).map(Self)
    }

    /// Hand over this process's own standard input and output.
    pub fn send(&self, words: &[String]) -> io::Result<()> {
        let (input, output) = (io::stdin(), io::stdout());
        let handles = [input.as_fd(), output.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&handles)) {
            return Err(io::Error::other("no room for the handles"));
        }
        let text = words.join("\0");
        let bytes = [IoSlice::new(text.as_bytes())];
        rustix::net::sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Wait for the handles; `None` when the other side ended without.
    pub fn receive(&self) -> io::Result<Option<ReceivedFds>> {
        let mut text = vec![0; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            let mut bytes = [IoSliceMut::new(&mut text)];
            let received = rustix::net::recvmsg(&self.0, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            Ok(received.bytes)
        })?;
        let mut handles = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                handles.extend(sent);
            }
        }
        if received == 0 && handles.is_empty() {
            return Ok(None);
        }
        let Ok([input, output]) = <[OwnedFd; 2]>::try_from(handles) else {
            return Err(io::Error::other("another number of handles was handed over than two"));
        };
        text.truncate(received);
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        Ok(Some(ReceivedFds { words: text.split('\0').map(str::to_owned).collect(), input, output }))
    }

    /// Say how it ended.
    pub fn answer(&self, code: u8) -> io::Result<()> {
        rustix::net::send(&self.0, &[code], SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Wait for how it ended; `None` when the other side is gone.
    pub fn wait_for_answer(&self) -> Option<u8> {
        let mut code = [0];
        let mut receive =
            || rustix::net::recv(&self.0, &mut code, RecvFlags::empty()).map(|(_, count)| count);
        let received = retry_on_intr(&mut receive);
        (received == Ok(1)).then_some(code[0])
    }

    /// The end that this process has as its standard input, which then leads nowhere.
    pub fn from_standard_input() -> io::Result<Self> {
        let copy = io::stdin().as_fd().try_clone_to_owned()?;
        nix::unistd::dup2_stdin(nowhere()?)?;
        Ok(Self(copy))
    }

    /// Make a copy of the handle that a started program inherits, and say its number.
    pub fn bequeath(self) -> io::Result<RawFd> {
        use std::os::fd::IntoRawFd;
        Ok(rustix::io::dup(&self.0)?.into_raw_fd())
    }
}

/// Let standard input and output lead nowhere, so that nobody waits for us to close them.
pub fn close_standard_streams() -> io::Result<()> {
    let nowhere = nowhere()?;
    nix::unistd::dup2_stdin(&nowhere)?;
    nix::unistd::dup2_stdout(&nowhere)?;
    Ok(())
}

fn nowhere() -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    Ok(open("/dev/null", flags, nix::sys::stat::Mode::empty())?)
}
