//! One question over a Unix socket that speaks HTTP, such as that of the Docker daemon.
//!
//! Local by construction: no address of a network can be given.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// As much of an answer as is read.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// How long the daemon may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET` a path: the status code and the body.
pub fn get(socket: &Path, path: &str) -> io::Result<(u16, String)> {
    let deadline = Instant::now() + PATIENCE;
    let stream = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connecting waits, too, where nobody takes calls.
    set_socket_timeout(&stream, Timeout::Send, Some(PATIENCE))?;
    net::connect(&stream, &SocketAddrUnix::new(socket)?)?;
    let mut stream = UnixStream::from(stream);
    // HTTP 1.0: the answer ends with the connection, and comes in one piece.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    // Who takes calls may be anybody, and say a little now and then.
    while bytes.len() < MOST_BYTES {
        stream.set_read_timeout(Some(deadline.saturating_duration_since(Instant::now())))?;
        match stream.read(&mut chunk)? {
            0 => break,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    match (status, text.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")),
    }
}
