//! Names of SSH servers.

use std::fmt;
use std::net::Ipv6Addr;

use crate::text::position::TextError;

/// The port that `known_hosts` does not write down.
const DEFAULT_PORT: u16 = 22;

/// The name or address of an SSH server, with its port. Lower case, as ssh looks it up; free of anything that `known_hosts` takes for syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName {
    host: String,
    port: u16,
}

impl HostName {
    /// Reads `host`, `host:port`, `[host]:port` or a bare IPv6 address.
    ///
    /// A host has at most 255 bytes of ASCII letters, digits, `.`, `-` and `_`, and does not start with a dash. International names
    /// are written in Punycode. The error stands on line 1, at the column of the mistake.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if text.contains("://") {
            return Err(at(0, "a server's name is wanted, not the address of a page"));
        }
        let (host, port, port_at) = if let Some(inner) = text.strip_prefix('[') {
            let (host, rest) =
                inner.split_once(']').ok_or_else(|| at(text.len(), "`]` is missing after the host"))?;
            let port_at = host.len() + 3;
            let port = rest
                .strip_prefix(':')
                .ok_or_else(|| at(port_at - 1, "`:` and a port are missing after `]`"))?;
            (host, Some(port), port_at)
        } else {
            match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port), host.len() + 1),
                _ => (text, None, 0),
            }
        };
        let host_at = usize::from(text.starts_with('['));
        let host = check(host).map_err(|(offset, message)| at(host_at + offset, message))?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| at(port_at, "a port is a number from 1 to 65535"))?,
            Some(_) => return Err(at(port_at, "a port is a number from 1 to 65535")),
        };
        Ok(Self { host, port })
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 22 where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The arguments by which ssh calls it as git does.
    pub fn for_ssh(&self) -> String {
        let port = if self.port == DEFAULT_PORT { String::new() } else { format!("-p {} ", self.port) };
        format!("{port}git@{}", self.host)
    }
}

/// As `known_hosts` and `ssh-keygen -F` name it: `host`, or `[host]:port` where the port is not 22.
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == DEFAULT_PORT {
            f.write_str(&self.host)
        } else {
            write!(f, "[{}]:{}", self.host, self.port)
        }
    }
}

/// A mistake after `offset` bytes.
fn at(offset: usize, message: &str) -> TextError {
    TextError::new(1, offset + 1, message)
}

/// The host in lower case, or the offset of a mistake in it.
fn check(host: &str) -> Result<String, (usize, &'static str)> {
    if host.is_empty() {
        return Err((0, "the host's name is empty"));
    }
    if host.len() > 255 {
        return Err((255, "the host's name is longer than 255 bytes"));
    }
    if host.starts_with('-') {
        return Err((0, "a host's name can't start with a dash"));
    }
    if host.contains(':') {
        let address = host.parse::<Ipv6Addr>();
        // ssh looks an address up in its canonical form.
        return address
            .map(|address| address.to_string())
            .map_err(|_| (0, "this is neither a host, nor host and port, nor an IPv6 address"));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match host.find(|c| !fine(c)) {
        Some(offset) => Err((offset, "a host's name has only ASCII letters, digits, `.`, `-` and `_`")),
        None => Ok(host.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, name) in [
            ("gitlab.com", "gitlab.com"),
            ("GitLab.Com:22", "gitlab.com"),
            ("[gitlab.com]:22", "gitlab.com"),
            ("altssh.gitlab.com:443", "[altssh.gitlab.com]:443"),
            ("[git_1.local]:2222", "[git_1.local]:2222"),
            ("172.65.251.78", "172.65.251.78"),
            ("::1", "::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("[::1]:2222", "[::1]:2222"),
        ] {
            let host = HostName::parse(text).unwrap();
            assert_eq!(host.to_string(), name);
            assert_eq!(HostName::parse(name).unwrap(), host);
        }
    }

    #[test]
    fn what_known_hosts_would_misread_is_refused() {
        for (text, column) in [
            ("", 1),
            ("-oProxyCommand=x", 1),
            ("a b", 2),
            ("a\nb", 2),
            ("a,b", 2),
            ("https://a", 1),
            ("*", 1),
            ("a?", 2),
            ("!a", 1),
            ("|1|x", 1),
            ("#a", 1),
            ("@a", 1),
            ("a\tb", 2),
            ("a\0", 2),
            ("é.org", 1),
            ("[a]", 4),
            ("[a", 3),
            ("[a]22", 4),
            ("[]:22", 2),
            ("[a b]:22", 3),
            ("a:", 3),
            ("a:0", 3),
            ("a:65536", 3),
            ("a:+22", 3),
            ("a: 22", 3),
            ("[a]:22\n", 5),
            ("a:22:", 1),
            ("[-a]:22", 2),
            ("user@host", 5),
        ] {
            let error = HostName::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (1, column), "{text:?}: {error}");
        }
        assert!(HostName::parse(&"a".repeat(255)).is_ok());
        assert!(HostName::parse(&"a".repeat(256)).is_err());
    }
}
