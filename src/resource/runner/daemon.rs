//! The daemon that a profile gives jobs, and what in a runner's values keeps them from it.

use super::services;
use crate::change::Notes;
use crate::resource::settings::ConfigSection;
use crate::runner_config::{DOCKER, RUNNERS, Runner, Volume};
use crate::text::script::handed_on;

/// Where a job's `docker` finds the daemon that a profile gives it.
pub(super) enum Daemon<'p> {
    /// At the host `docker`; with TLS it keeps the certificates of clients in `client` below this directory, and without
    /// it the text is empty.
    Service(&'p str),
    /// At a socket below this path.
    Socket(&'p str),
}

impl<'p> Daemon<'p> {
    pub(super) fn of(config: &'p ConfigSection) -> Option<Self> {
        let socket = |volume: &'p String| {
            let volume = Volume::parse(volume);
            let is_socket = volume.daemon_socket().is_some() || volume.path == "/runner/services/docker";
            is_socket.then_some(Self::Socket(volume.path))
        };
        let directory = |variable: &'p String| variable.strip_prefix("DOCKER_TLS_CERTDIR=");
        let sockets = config.list(DOCKER, "volumes").iter().find_map(socket);
        sockets.or_else(|| config.list(RUNNERS, "environment").iter().find_map(directory).map(Self::Service))
    }

    /// The port of a service.
    fn port(&self) -> Option<u16> {
        match self {
            Self::Service("") => Some(2375),
            Self::Service(_) => Some(2376),
            Self::Socket(_) => None,
        }
    }

    /// What `DOCKER_HOST` has to be; `None` where this value is right, or not for us to judge.
    fn objection(&self, host: &str) -> Option<String> {
        // gitlab-runner puts in what the variable is.
        if host.is_empty() || host.contains('$') {
            return None;
        }
        let host = host.trim_end_matches('/');
        let (scheme, rest) = host.split_once("://").unwrap_or(("tcp", host));
        let (name, port) = rest.rsplit_once(':').unwrap_or((rest, "2375"));
        let is_service = scheme == "tcp" && name.eq_ignore_ascii_case("docker");
        // The job's own container, in which no daemon is.
        let is_own = scheme == "tcp" && ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", ""].contains(&name);
        // `docker` takes no other address.
        let is_none = match scheme {
            "unix" => !rest.starts_with('/'),
            "tcp" | "ssh" | "npipe" | "fd" => host.contains(['"', '\'', ' ']),
            _ => true,
        };
        match self {
            Self::Service(_) => {
                let right = self.port().unwrap_or_default().to_string();
                let is_other = is_service && port != right && ["2375", "2376"].contains(&port);
                let is_usual = ["unix:///var/run/docker.sock", "unix:///run/docker.sock"].contains(&host);
                (is_none || is_own || is_other || is_usual).then(|| format!("tcp://docker:{right}"))
            }
            Self::Socket(path) => {
                let name = if path.rsplit('.').next() == Some("sock") { "" } else { "/docker.sock" };
                (is_none || is_own || is_service).then(|| format!("unix://{path}{name}"))
            }
        }
    }
}

/// A runner, and the daemon that its jobs are to have.
struct Case<'c> {
    runner: &'c Runner<'c>,
    config: &'c ConfigSection,
    daemon: Daemon<'c>,
}

/// Say what keeps jobs from the daemon: nothing else would.
pub(super) fn warn(runner: &Runner<'_>, config: &ConfigSection, notes: &mut Notes) {
    let Some(daemon) = Daemon::of(config) else { return };
    let case = Case { runner, config, daemon };
    if !case.warn_of_network(notes) {
        case.warn_of_docker_host(notes);
    }
    case.warn_of_tls(notes);
    case.warn_of_other_socket(notes);
    case.warn_of_socket_place(notes);
    if case.config.brings_dind() {
        if let (Daemon::Service(directory), Some(port)) = (&case.daemon, case.daemon.port()) {
            services::warn_of_other_daemon(runner, config, (directory, port), notes);
        }
        services::warn_of_limit(runner, config, notes);
        services::warn_of_no_wait(runner, notes);
    }
}

impl Case<'_> {
    /// A variable of every job, as it will be.
    fn variable(&self, name: &str) -> Option<&str> {
        let value = |element: &'_ str| {
            element.split_once('=').is_some_and(|(key, _)| key == name).then_some(name.len() + 1)
        };
        let asked = self.config.list(RUNNERS, "environment").iter().map(String::as_str);
        let found = self.runner.environment().into_iter();
        // Of several the last one counts, and the profile's replaces it.
        found.chain(asked).rev().find_map(|element| value(element).and_then(|at| element.get(at..)))
    }

    /// A network in which a service has no address of its own, so that no name leads there. True where the job shares
    /// the network of its service, whose address is then its own.
    fn warn_of_network(&self, notes: &mut Notes) -> bool {
        let Some(mode) = self.runner.docker_text("network_mode") else { return false };
        if mode == "none" {
            notes.harm(
                "network-none",
                "network_mode = \"none\": jobs reach no server, not even GitLab for their sources",
                "take network_mode out",
            );
            return true;
        }
        let is_shared = mode == "host" || mode.starts_with("container:");
        let Some(port) = self.daemon.port().filter(|_| is_shared) else { return false };
        let names = self.runner.docker_strings("extra_hosts");
        let is_own =
            |host: &str| ["tcp://localhost", "tcp://127.0.0.1"].iter().any(|own| host.starts_with(own));
        let has_way = names.iter().any(|name| name.starts_with("docker:"))
            || self.variable("DOCKER_HOST").is_some_and(is_own);
        if !has_way {
            notes.harm(
                "dind-network",
                "with this network_mode services have no address of their own: the name `docker` leads jobs nowhere",
                mend!("take network_mode out; or, for one job at a time, let `environment` have \
                     \"DOCKER_HOST=tcp://localhost:{}\"", port),
            );
        }
        true
    }

    /// Jobs get `DOCKER_HOST` from the runner's environment and from its script before each job: where it names another
    /// place than that of the daemon, they fail, although nothing says so.
    fn warn_of_docker_host(&self, notes: &mut Notes) {
        let script = self.runner.text("pre_build_script");
        let script = script.and_then(|script| handed_on(script, "DOCKER_HOST"));
        // The script comes later.
        let (key, value) = match script.as_deref() {
            Some(value) => ("pre_build_script", Some(value)),
            None => ("environment", self.variable("DOCKER_HOST")),
        };
        if let Some(right) = value.and_then(|value| self.daemon.objection(value)) {
            let what = format!(
                "DOCKER_HOST in `{key}` names a place where this profile has no daemon: jobs that do not set it \
                 themselves can't connect"
            );
            let repair = mend!("take DOCKER_HOST out of `{}`, or say {}", key, right);
            notes.harm("docker-host-wrong", what, repair);
        }
    }

    /// The images of Docker set both variables of TLS where neither is there. A client takes its certificates from
    /// `~/.docker` where one is missing, and speaks no TLS where the other is.
    fn warn_of_tls(&self, notes: &mut Notes) {
        let set = |name: &str| self.variable(name).filter(|value| !value.is_empty() && !value.contains('$'));
        let (verify, path) = (set("DOCKER_TLS_VERIFY"), set("DOCKER_CERT_PATH"));
        // Another daemon has other certificates.
        if self
            .variable("DOCKER_HOST")
            .is_some_and(|host| self.daemon.objection(host).is_none() && self.is_elsewhere(host))
        {
            return;
        }
        let (what, repair) = match (&self.daemon, verify, path) {
            (Daemon::Service(directory), _, Some(path)) if !directory.is_empty() && !is_client(path, directory) => (
                format!("DOCKER_CERT_PATH in `environment` is not {directory}/client, where the daemon puts certificates for jobs"),
                "take DOCKER_CERT_PATH out of `environment`: the images of Docker find the certificates by themselves".into(),
            ),
            (Daemon::Service(directory), Some(_), None) if !directory.is_empty() && self.variable("DOCKER_CERT_PATH").is_none() => (
                "DOCKER_TLS_VERIFY stands in `environment` without DOCKER_CERT_PATH: `docker` then looks for certificates in ~/.docker".to_owned(),
                mend!("take DOCKER_TLS_VERIFY out of `environment`, or add \"DOCKER_CERT_PATH={}/client\"", directory),
            ),
            (Daemon::Service(directory), None, Some(_)) if !directory.is_empty() && self.variable("DOCKER_TLS_VERIFY").is_none_or(str::is_empty) => (
                "DOCKER_CERT_PATH stands in `environment` without DOCKER_TLS_VERIFY: the images of Docker then speak no TLS".to_owned(),
                "take DOCKER_CERT_PATH out of `environment`, or add \"DOCKER_TLS_VERIFY=1\"".into(),
            ),
            (Daemon::Service("") | Daemon::Socket(_), Some(_), _) => (
                "DOCKER_TLS_VERIFY in `environment` has jobs speak TLS to a daemon that has none".to_owned(),
                "take DOCKER_TLS_VERIFY out of `environment`".into(),
            ),
            _ => return,
        };
        let message = format!("{what}. Jobs that do not set it themselves can't connect");
        notes.harm("docker-tls-wrong", message, repair);
    }

    /// True for a daemon that is neither this profile's nor a place at which none is.
    fn is_elsewhere(&self, host: &str) -> bool {
        let host = host.trim_end_matches('/');
        match self.daemon {
            Daemon::Service(_) => {
                self.daemon.port().is_some_and(|port| host != format!("tcp://docker:{port}"))
            }
            Daemon::Socket(_) => !host.starts_with("unix://"),
        }
    }

    /// Another path of the host where the profile has the socket of its daemon. It stays: it may be a socket that lets
    /// jobs do less.
    fn warn_of_other_socket(&self, notes: &mut Notes) {
        let mut wanted = self.config.list(DOCKER, "volumes").iter().map(|volume| Volume::parse(volume));
        if !wanted.any(|volume| volume.daemon_socket().is_some()) {
            return;
        }
        for (index, volume) in self.runner.docker_strings("volumes").into_iter().enumerate() {
            let volume = Volume::parse(volume);
            let is_other = volume.host_path().is_some() && volume.daemon_socket().is_none();
            if volume.takes_socket_place() && is_other {
                notes.warn(
                    "docker-sock-other",
                    format!(
                        "docker.volumes[{index}] has another path of the host than a daemon's usual socket where jobs \
                         look for it: they reach one only if a daemon listens there, and have its rights"
                    ),
                    mend!("where none does: take docker.volumes[{}] out, and run apply again", index),
                );
            }
        }
    }

    /// A volume where the daemon of a service makes its socket: it can't remove what is there, and dies.
    fn warn_of_socket_place(&self, notes: &mut Notes) {
        let brings_socket = |volume: &String| Volume::parse(volume).is_where_clients_look();
        if self.config.list(DOCKER, "volumes").iter().any(brings_socket) {
            let kept = services::kept(self.runner, self.config);
            for service in kept.filter(|service| !service.is_rootless()) {
                notes.warn(
                    "docker-sock-place",
                    format!(
                        "docker.services[{}] is Docker-in-Docker, which dies where the host's socket is mounted: \
                         each job waits for it, and one that asks for it by DOCKER_HOST fails",
                        service.index
                    ),
                    mend!("take docker.services[{}] out: jobs have the host's daemon", service.index),
                );
            }
        }
        if !self.config.brings_dind() || self.config.is_rootless() || self.daemon.port().is_none() {
            return;
        }
        for (index, volume) in self.runner.docker_strings("volumes").into_iter().enumerate() {
            let volume = Volume::parse(volume);
            // What is of the host is refused before.
            if volume.takes_socket_place() && volume.host_path().is_none() {
                let what = format!(
                    "docker.volumes[{index}] is no socket of the host, but a directory where dind makes its own: it \
                     dies with \"can't create unix socket\""
                );
                notes.harm("docker-sock-place", what, mend!("take docker.volumes[{}] out", index));
            }
        }
    }
}

fn is_client(path: &str, directory: &str) -> bool {
    path.trim_end_matches('/').strip_suffix("/client") == Some(directory.trim_end_matches('/'))
}
