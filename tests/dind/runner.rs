//! A stand-in for the docker executor of gitlab-runner: no package of it can be had here.
//!
//! It reads the real `config.toml` and starts containers as the source of gitlab-runner says (executors/docker/
//! docker.go, services.go, internal/volumes/manager.go): which of them are privileged, with what volumes,
//! variables, users and commands, and what a job waits for. A setting that it does not know stops the test.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use toml_edit::de::from_str;

use crate::engine::{Engine, LIMIT, PASSWORD, REGISTRY, USER};
use crate::support::Run;

/// A version of gitlab-runner, as far as it matters.
pub(crate) type Version = (u32, u32);
/// One that reads every key.
pub(crate) const NEW: Version = (19, 4);

#[derive(Debug, Deserialize)]
struct Configuration {
    runners: Vec<Settings>,
}

/// `[[runners]]`, of which much is about the server.
#[derive(Debug, Deserialize)]
struct Settings {
    executor: String,
    #[serde(default)]
    environment: Vec<String>,
    docker: Option<Docker>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that change nothing here are known all the same")]
#[expect(clippy::struct_excessive_bools, reason = "gitlab-runner's own keys")]
struct Docker {
    image: String,
    #[serde(default)]
    privileged: bool,
    services_privileged: Option<bool>,
    #[serde(default)]
    allowed_privileged_services: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    services: Vec<Service>,
    services_limit: Option<usize>,
    #[serde(default)]
    tls_verify: bool,
    #[serde(default)]
    disable_entrypoint_overwrite: bool,
    #[serde(default)]
    oom_kill_disable: bool,
    #[serde(default)]
    disable_cache: bool,
    #[serde(default)]
    shm_size: i64,
    #[serde(default)]
    network_mtu: i64,
}

/// A job of a `.gitlab-ci.yml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "tags choose the runner, and here there is one")]
pub(crate) struct Job {
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) services: Vec<Service>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) script: Vec<String>,
}

/// A service: a name, or a table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) user: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Name(String),
    Table {
        name: String,
        alias: Option<String>,
        #[serde(default)]
        entrypoint: Vec<String>,
        #[serde(default)]
        command: Vec<String>,
        #[serde(default)]
        docker: Options,
    },
}

/// `services:docker:` of a job.
#[derive(Default, Deserialize)]
struct Options {
    user: Option<String>,
}

impl From<Written> for Service {
    fn from(written: Written) -> Self {
        match written {
            Written::Name(name) => Self { name, ..Self::default() },
            Written::Table { name, alias, entrypoint, command, docker } => {
                Self { name, alias, entrypoint, command, user: docker.user }
            }
        }
    }
}

impl Service {
    /// What a job calls it: `docker` for `docker:28-dind`, or its alias as well.
    fn aliases(&self) -> Vec<String> {
        let name = self.name.split('@').next().unwrap_or_default();
        let tag = name.rfind(':').filter(|at| !name[*at..].contains('/'));
        let name = &name[..tag.unwrap_or(name.len())];
        let mut aliases = vec![name.replace('/', "__")];
        if name.contains('/') {
            aliases.push(name.replace('/', "-"));
        }
        aliases.extend(self.alias.clone());
        aliases
    }
}

/// The stand-in with its configuration.
pub(crate) struct Runner<'a> {
    engine: &'a Engine,
    settings: Settings,
    version: Version,
    /// `FF_NETWORK_PER_BUILD`.
    pub(crate) own_network: bool,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The job container, as far as it came.
    pub(crate) job: Run,
    /// What the services printed.
    pub(crate) services: String,
    /// Whether the wait for a service was in vain.
    pub(crate) warned: bool,
}

impl Trace {
    /// Demands a green job.
    #[track_caller]
    pub(crate) fn green(&self) -> &Self {
        assert!(self.job.status == 0, "{}\nservices:\n{}", self.job, self.services);
        self
    }

    /// Demands that something, the job or a service, printed a text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.contains(text), "nothing says `{text}`\n{}\nservices:\n{}", self.job, self.services);
        self
    }

    /// Demands that nothing did.
    #[track_caller]
    pub(crate) fn says_not(&self, text: &str) -> &Self {
        assert!(!self.contains(text), "something says `{text}`\n{}\nservices:\n{}", self.job, self.services);
        self
    }

    fn contains(&self, text: &str) -> bool {
        [&self.job.stdout, &self.job.stderr, &self.services].iter().any(|stream| stream.contains(text))
    }
}

static NEXT: AtomicU32 = AtomicU32::new(1);

impl<'a> Runner<'a> {
    /// Reads a configuration as this version does.
    pub(crate) fn new(engine: &'a Engine, config: &str, version: Version) -> Self {
        let read: Configuration = from_str(config).expect("a configuration that the stand-in knows");
        let settings = read.runners.into_iter().find(|runner| runner.executor == "docker").expect("a runner");
        Self { engine, settings, version, own_network: false }
    }

    fn docker(&self) -> &Docker {
        self.settings.docker.as_ref().expect("[runners.docker]")
    }

    /// `(services_privileged if set, else privileged) && match(name, allowed_privileged_services)`, where older
    /// versions do not know the keys.
    fn is_privileged(&self, service: &Service) -> bool {
        let docker = self.docker();
        let wanted =
            docker.services_privileged.filter(|_| self.version >= (15, 7)).unwrap_or(docker.privileged);
        let patterns = &docker.allowed_privileged_services;
        let allowed = self.version < (16, 1)
            || patterns.is_empty()
            || patterns.iter().any(|pattern| matches(pattern, &service.name));
        wanted && allowed
    }

    /// Runs a job of a project to its end.
    pub(crate) fn run(&self, project: &str, job: &Job) -> Trace {
        let docker = self.docker();
        let id = format!("runner-{project}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let binds = self.binds(project, &id);
        let configured = docker.services.iter().chain(&job.services);
        let services: Vec<&Service> = configured.collect();
        if docker.services_limit.is_some_and(|limit| services.len() > limit) {
            let error = format!("too many services requested: {}", services.len());
            let job = Run { command: id, status: 1, stdout: String::new(), stderr: error };
            return Trace { job, services: String::new(), warned: false };
        }
        let mut network = Vec::new();
        if self.own_network {
            self.engine.docker(&["network", "create", &id]);
            network.extend(["--network".to_owned(), id.clone()]);
        }
        let environment = self.variables(job, &[]);
        let mut names = Vec::new();
        for (index, service) in services.iter().enumerate() {
            let name = format!("{id}-{index}");
            let mut line = words(&["run", "-d", "--name", &name]);
            line.extend(network.clone());
            if self.own_network {
                line.extend(service.aliases().iter().flat_map(|alias| words(&["--network-alias", alias])));
            }
            if self.is_privileged(service) {
                line.push("--privileged".to_owned());
            }
            line.extend(binds.clone());
            line.extend(environment.clone());
            line.extend(service.user.iter().flat_map(|user| words(&["--user", user])));
            let mut command = service.command.clone();
            if let Some((first, rest)) =
                service.entrypoint.split_first().filter(|_| !docker.disable_entrypoint_overwrite)
            {
                line.extend(words(&["--entrypoint", first]));
                command.splice(0..0, rest.iter().cloned());
            }
            line.push(service.name.clone());
            line.extend(command);
            self.docker_line(&line);
            names.push(name);
        }
        let warned = names.iter().any(|name| !self.is_up(name, &network));
        let predefined = [
            ("CI_REGISTRY", REGISTRY.to_owned()),
            ("CI_REGISTRY_IMAGE", format!("{REGISTRY}/group/{project}")),
            ("CI_REGISTRY_USER", USER.to_owned()),
            ("CI_REGISTRY_PASSWORD", PASSWORD.to_owned()),
            ("CI_COMMIT_SHORT_SHA", "0123abcd".to_owned()),
        ];
        let mut line = words(&["run", "-i", "--rm", "--name", &id, "-w", "/builds/project"]);
        line.extend(network.clone());
        if docker.privileged {
            line.push("--privileged".to_owned());
        }
        line.extend(binds);
        line.extend(self.variables(job, &predefined));
        if !self.own_network {
            for (name, service) in names.iter().zip(&services).filter(|(name, _)| self.is_running(name)) {
                line.extend(
                    service.aliases().iter().flat_map(|alias| words(&["--link", &format!("{name}:{alias}")])),
                );
            }
        }
        let image = if job.image.is_empty() { &docker.image } else { &job.image };
        line.extend(words(&[
            image,
            "sh",
            "-c",
            "if [ -x /bin/bash ]; then exec /bin/bash; else exec /bin/sh; fi",
        ]));
        let script = format!("set -e\n{}\n", job.script.join("\n"));
        let job = self.with_input(&line, script.as_bytes());
        let mut printed = String::new();
        for name in &names {
            let logs = self.engine.try_docker(&["logs", name]);
            printed = printed + "--- " + name + "\n" + &logs.stdout + &logs.stderr;
            self.engine.docker(&["rm", "-f", "-v", name]);
        }
        if self.own_network {
            self.engine.docker(&["network", "rm", &id]);
        }
        Trace { job, services: printed, warned }
    }

    /// The runner's `environment` first, then what is predefined, then the job's own: the last one counts.
    fn variables(&self, job: &Job, predefined: &[(&str, String)]) -> Vec<String> {
        let runner = self.settings.environment.iter().filter_map(|element| element.split_once('='));
        let mut all: BTreeMap<&str, &str> = runner.collect();
        all.extend(predefined.iter().map(|(name, value)| (*name, &**value)));
        all.extend(job.variables.iter().map(|(name, value)| (&**name, &**value)));
        all.iter().flat_map(|(name, value)| words(&["-e", &format!("{name}={value}")])).collect()
    }

    /// The volumes of job and services. A bare path is a volume of the project and its slot.
    fn binds(&self, project: &str, id: &str) -> Vec<String> {
        let docker = self.docker();
        let mut binds = Vec::new();
        // What the helper does: volumes that everybody can write (`cache-init`), and the checkout.
        let mut script = String::from(
            "mkdir -p /builds/project; cd /builds/project; cp /usr/bin/busybox .
             printf 'FROM scratch\\nCOPY busybox /bin/busybox\\nRUN [\"/bin/busybox\", \"touch\", \"/built\"]\\n' >Dockerfile\n",
        );
        for volume in &docker.volumes {
            if volume.split(':').nth(1).is_some_and(|second| second.starts_with('/')) {
                binds.extend(words(&["-v", volume]));
            } else {
                let owner = if docker.disable_cache { id } else { project };
                binds.extend(words(&["-v", &format!("cache-{owner}{}:{volume}", volume.replace('/', "-"))]));
                script = script + "chmod 0777 " + volume + "\n";
            }
        }
        binds.extend(words(&["-v", &format!("builds-{project}:/builds")]));
        let mut line = words(&["run", "--rm", "--network", "none"]);
        line.extend(binds.clone());
        line.extend(words(&["base", "sh", "-euc", &script]));
        self.docker_line(&line);
        binds
    }

    /// Waits for a service as the health check does: until a port that its image exposes takes a connection. Gives
    /// up at once where the service is gone; gitlab-runner would wait on, for 30 seconds in all.
    fn is_up(&self, name: &str, network: &[String]) -> bool {
        let wait = format!("{name}-wait-for-service");
        let mut line = words(&["run", "-d", "--name", &wait]);
        if network.is_empty() {
            if !self.is_running(name) {
                return false;
            }
            line.extend(words(&["--link", &format!("{name}:service")]));
        } else {
            line.extend(network.iter().cloned());
        }
        let host = if network.is_empty() { "service" } else { name };
        let script = format!(
            "while :; do for port in 2376 2375; do nc -w 1 {host} $port -e true && exit 0; done; sleep 0.1; done"
        );
        line.extend(words(&["base", "sh", "-c", &script]));
        self.docker_line(&line);
        let deadline = Instant::now() + LIMIT;
        while self.is_running(&wait) && self.is_running(name) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        let up = !self.is_running(&wait);
        self.engine.docker(&["rm", "-f", &wait]);
        up
    }

    fn is_running(&self, name: &str) -> bool {
        self.engine.docker(&["inspect", "-f", "{{.State.Running}}", name]) == "true"
    }

    fn docker_line(&self, line: &[String]) -> String {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        self.engine.docker(&line)
    }

    fn with_input(&self, line: &[String], input: &[u8]) -> Run {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut command = self.engine.client(&line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the client");
        child.stdin.take().expect("its input").write_all(input).expect("the script");
        let output = child.wait_with_output().expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Run {
            command: format!("docker {}", line.join(" ")),
            status: output.status.code().unwrap_or(255),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The part of doublestar that the profiles use: `*` stands for anything without a `/`.
fn matches(pattern: &str, name: &str) -> bool {
    assert!(!pattern.contains(['?', '[', '{', '\\']) && !pattern.contains("**"), "not known here: {pattern}");
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    ends.take_while(|at| !name[..*at].contains('/')).any(|at| matches(rest, &name[at..]))
}
