//! One element of `volumes`: where it comes from, where it goes in the container, and what for.

/// One element of `volumes`, in Docker's notation: `/p`, `SOURCE:/p`, either with `:MODE` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume<'a> {
    /// A path of the host or a name that all jobs share; `None` for a volume of one project and job slot.
    pub source: Option<&'a str>,
    /// The path in the container, without a `/` at its end.
    pub path: &'a str,
    /// True when nothing in a container can write there. Without a source gitlab-runner ignores the mode.
    pub is_read_only: bool,
}

impl<'a> Volume<'a> {
    /// Take an element apart.
    pub fn parse(text: &'a str) -> Self {
        let mut parts = text.split(':');
        let first = parts.next().unwrap_or_default();
        let mut rest = parts.clone();
        let (source, path) = match rest.next().filter(|second| second.starts_with('/')) {
            Some(path) => (Some(first), path),
            None => (None, first),
        };
        let modes = parts.skip(usize::from(source.is_some())).flat_map(|mode| mode.split(','));
        let is_read_only = source.is_some() && modes.into_iter().any(|mode| mode.eq_ignore_ascii_case("ro"));
        Self { source, path: without_end(path), is_read_only }
    }

    /// The path of the host that it brings into containers, without detours. What does not begin with a `/` is a volume
    /// of Docker's own, and so is one without a source: always a directory, and never a socket.
    pub fn host_path(&self) -> Option<String> {
        self.source.filter(|source| source.starts_with('/')).map(clean)
    }

    /// The path in the container, without detours: where Docker can mount one thing alone.
    pub fn mount_point(&self) -> String {
        straight(self.path)
    }

    /// The place that this is in a container where `/var/run` is `/run`.
    pub fn place(&self) -> String {
        clean(self.path)
    }

    /// True where gitlab-runner can read this: `/p`, `/h:/p` or `NAME:/p`, then `:ro` or the like, a label, and how
    /// mounts spread, in that order.
    pub fn is_readable(text: &'a str) -> bool {
        let is_name = |name: &str| {
            !name.is_empty() && !name.contains(['\\', '/', '*', '?', '"', '<', '>', '|', '\r', '\n'])
        };
        let is_path = |path: &str| {
            let names = path.strip_prefix('/').map(|path| path.strip_suffix('/').unwrap_or(path));
            names.is_some_and(|names| names.split('/').all(is_name))
        };
        let Self { source, .. } = Self::parse(text);
        let mut parts = text.split(':').skip(usize::from(source.is_some()));
        let is_placed = parts.next().is_some_and(is_path);
        let words = parts.flat_map(|part| part.split(',')).map(str::to_ascii_lowercase);
        let mut ranks = words.map(|word| match word.as_str() {
            "ro" | "rw" | "o" => Some(1),
            "z" => Some(2),
            "shared" | "slave" | "private" | "rshared" | "rslave" | "rprivate" => Some(3),
            _ => None,
        });
        let mut last = 0;
        let is_next = |rank: Option<i32>| rank.is_some_and(|rank| rank > std::mem::replace(&mut last, rank));
        is_placed
            && source.is_none_or(|source| is_path(source) || is_name(source) || source == "/")
            && ranks.all(is_next)
    }

    /// The socket of a daemon of the host that it brings into containers, by its name: its own, or that in a directory
    /// of the host which holds one at its usual place. Where it lies in the container does not matter.
    pub fn daemon_socket(&self) -> Option<&'static str> {
        let path = self.host_path()?;
        let is_it = |socket: &&str| holds(&path, socket) || name_of(&path) == name_of(socket);
        SOCKETS.into_iter().find(is_it).map(name_of)
    }

    /// True where what it brings is of an ordinary user, and so is a daemon there.
    pub fn is_of_user(&self) -> bool {
        self.host_path()
            .is_some_and(|path| path.starts_with("/run/user/") && !path.starts_with("/run/user/0/"))
    }

    /// True where it brings the socket to the place at which clients look for one by themselves.
    pub fn is_where_clients_look(&self) -> bool {
        ["/run", SOCKETS[0]].contains(&self.place().as_str())
    }

    /// True where it lies just where clients look for the socket, and a daemon makes its own.
    pub fn takes_socket_place(&self) -> bool {
        self.place() == SOCKETS[0]
    }

    /// True for what only Docker-in-Docker needs: its certificates, or its own socket.
    pub fn is_for_dind(&self) -> bool {
        ["/certs", "/runner/services/docker"].iter().any(|place| holds(place, &self.place()))
    }
}

/// Sockets of daemons that start containers as root, where they usually are.
const SOCKETS: [&str; 4] =
    ["/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock"];

/// True for a directory that a path lies in, and for the path itself.
pub(super) fn holds(directory: &str, path: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The last name of a path.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A path without `.`, `..`, and doubled `/`.
fn straight(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The same on a system: `/var/run` is `/run` since long.
fn clean(path: &str) -> String {
    let path = straight(path);
    if holds("/var/run", &path) { path["/var".len()..].to_owned() } else { path }
}

fn without_end(path: &str) -> &str {
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_known_by_their_path_in_the_container() {
        for (volume, source, path, is_read_only) in [
            ("/cache", None, "/cache", false),
            ("/certs/client/", None, "/certs/client", false),
            ("/certs/client:rw", None, "/certs/client", false),
            ("/certs/client:ro", None, "/certs/client", false),
            ("certs:/certs/client", Some("certs"), "/certs/client", false),
            ("certs:/certs/client/:rw,z", Some("certs"), "/certs/client", false),
            ("/srv/a:/b:ro", Some("/srv/a"), "/b", true),
            ("/srv/a:/b:z,RO", Some("/srv/a"), "/b", true),
            ("/", None, "/", false),
            ("", None, "", false),
        ] {
            assert_eq!(Volume::parse(volume), Volume { source, path, is_read_only }, "{volume}");
        }
    }

    #[test]
    fn what_gitlab_runner_can_read_is_a_volume() {
        for text in [
            "/cache",
            "/cache/",
            "/certs/client:ro",
            "cache:/cache",
            "/a:/b:rw,z",
            "/a:/b:Z",
            "/a:/b:RO:rslave",
            "/:/host:ro",
            "$X:/b",
            "/a b:/c d",
            "/a/./b",
        ] {
            assert!(Volume::is_readable(text), "{text}");
        }
        for text in [
            "cache",
            " /cache",
            "/certs//client",
            "/",
            "/a:/",
            "/a:b",
            "./a:/b",
            "/a:$HOME/b",
            "/a:/b:cached",
            "/a:/b:ro,cached",
            "/a:/b:z,rw",
            "/a:/b:ro,rw",
            "/a:/b:",
            ":/b",
            "C:\\a:C:\\b",
            "//./pipe/docker_engine://./pipe/docker_engine",
        ] {
            assert!(!Volume::is_readable(text), "{text}");
        }
    }

    #[test]
    fn the_hosts_socket_is_known_by_its_source() {
        for (volume, socket) in [
            ("/var/run/docker.sock:/var/run/docker.sock", "docker.sock"),
            ("/run/docker.sock:/var/run/docker.sock:ro", "docker.sock"),
            ("/var/run/docker.sock:/tmp/d", "docker.sock"),
            ("/var/run/docker.sock/:/tmp/d", "docker.sock"),
            ("/var//run/../run/./docker.sock:/tmp/d", "docker.sock"),
            ("/srv/engine/docker.sock:/x/engine:rw,z", "docker.sock"),
            ("/run/user/1000/docker.sock:/var/run/docker.sock", "docker.sock"),
            ("/run/podman/podman.sock:/var/run/docker.sock", "podman.sock"),
            ("/run/user/990/podman/podman.sock:/run/podman/podman.sock", "podman.sock"),
            ("/run/containerd:/x", "containerd.sock"),
            ("/run/k3s/containerd/containerd.sock:/x", "containerd.sock"),
            ("/var/run/crio/crio.sock:/x", "crio.sock"),
            ("/var/run:/var/run", "docker.sock"),
            ("/run/:/var/run/:ro", "docker.sock"),
            ("/var/run:/x", "docker.sock"),
            ("/:/host:ro", "docker.sock"),
        ] {
            assert_eq!(Volume::parse(volume).daemon_socket(), Some(socket), "{volume}");
        }
        for volume in [
            "/var/run/docker.sock",
            "sock:/var/run/docker.sock",
            "docker.sock:/var/run/docker.sock",
            "/srv/engine.sock:/var/run/docker.sock",
            "/runner/services/docker",
            "/run/x:/run/x",
            "/var:/v",
            "/running:/run",
            "/certs/client",
            "a:/docker.sock.d",
            "/run",
        ] {
            assert_eq!(Volume::parse(volume).daemon_socket(), None, "{volume}");
        }
        assert!(Volume::parse("/srv/x:/var/run//docker.sock").takes_socket_place());
        assert!(!Volume::parse("/var/run/docker.sock:/tmp/d").takes_socket_place());
        assert!(Volume::parse("certs:/certs").is_for_dind());
        assert!(Volume::parse("/certs/./client").is_for_dind());
        assert!(Volume::parse("/runner/services/docker").is_for_dind());
        assert!(!Volume::parse("/certstore").is_for_dind());
    }
}
