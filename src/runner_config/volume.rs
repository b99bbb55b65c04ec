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

    /// The socket of the host's own daemon that it brings into containers, wherever it lies on either side: its
    /// name. A directory that holds the socket at its usual place counts.
    pub fn daemon_socket(&self) -> Option<&'static str> {
        const RUN: [&str; 2] = ["/run", "/var/run"];
        let source = self.source.map(without_end);
        if source.is_some_and(|source| RUN.contains(&source)) && RUN.contains(&self.path) {
            return Some("docker.sock");
        }
        // Below /runner GitLab's own set-up has the socket of the daemon in the service.
        let sides =
            [source, Some(self.path)].into_iter().flatten().filter(|path| !path.starts_with("/runner/"));
        let mut names = sides.filter_map(|path| path.rsplit_once('/')).map(|(_, name)| name);
        names.find_map(|name| ["docker.sock", "podman.sock"].into_iter().find(|socket| *socket == name))
    }

    /// True where it brings the socket to the place at which clients look for one by themselves.
    pub fn is_where_clients_look(&self) -> bool {
        ["/run", "/var/run", "/run/docker.sock", "/var/run/docker.sock"].contains(&self.path)
    }

    /// True for what only Docker-in-Docker needs: its certificates, or its own socket.
    pub fn is_for_dind(&self) -> bool {
        ["/certs", "/runner/services/docker"]
            .iter()
            .filter_map(|place| self.path.strip_prefix(place))
            .any(|rest| rest.is_empty() || rest.starts_with('/'))
    }
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
    fn the_hosts_socket_is_known_by_every_spelling() {
        for volume in [
            "/var/run/docker.sock:/var/run/docker.sock",
            "/run/docker.sock:/var/run/docker.sock:ro",
            "/var/run/docker.sock:/tmp/d",
            "/var/run/docker.sock/:/tmp/d",
            "/srv/engine/docker.sock:/x/docker.sock:rw,z",
            "/srv/engine.sock:/var/run/docker.sock",
            "/run/user/1000/docker.sock:/var/run/docker.sock",
            "/run/podman/podman.sock:/var/run/docker.sock",
            "/run/user/990/podman/podman.sock:/run/podman/podman.sock",
            "/var/run/docker.sock",
            "/var/run:/var/run",
            "/run/:/var/run/:ro",
        ] {
            assert!(Volume::parse(volume).daemon_socket().is_some(), "{volume}");
        }
        for volume in [
            "/runner/services/docker/docker.sock",
            "/run/x:/run/x",
            "/certs/client",
            "a:/docker.sock.d",
            "/run",
        ] {
            assert_eq!(Volume::parse(volume).daemon_socket(), None, "{volume}");
        }
        assert!(Volume::parse("certs:/certs").is_for_dind());
        assert!(Volume::parse("/runner/services/docker").is_for_dind());
        assert!(!Volume::parse("/certstore").is_for_dind());
    }
}
