//! Which account, home and configuration the gitlab-runner service uses: its systemd unit.
//!
//! The unit's text is read, `systemctl` is not asked: it costs a process, and a tree has no systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Facts, MOST_BYTES};
use crate::change::FileKind;
use crate::text::unit_file::{expanded, lines, split, value_of};

/// Where systemd looks for units, the strongest first (systemd.unit(5)).
pub(super) const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The unit's name in GitLab's package.
pub const UNIT: &str = "gitlab-runner.service";

/// Programs whose `run` starts a container. What gitlab-runner is given in there is its own matter.
const CONTAINERS: [&str; 3] = ["docker", "podman", "nerdctl"];

/// The other settings that are looked at.
const SETTINGS: [&str; 11] = [
    "TimeoutStopSec",
    "KillSignal",
    "NoNewPrivileges",
    "PrivateUsers",
    "ProtectHome",
    "ProtectSystem",
    "ReadWritePaths",
    "ReadWriteDirectories",
    "BindPaths",
    "StateDirectory",
    "CacheDirectory",
];

/// What the command line of the service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The unit file.
    pub unit: PathBuf,
    /// The program that it starts.
    pub program: Option<PathBuf>,
    /// True when the unit can't be started: it is empty, or a link to `/dev/null`.
    pub masked: bool,
    /// `User=` of the unit: as whom gitlab-runner itself runs; nothing means root.
    pub run_as: Option<String>,
    /// `--user`: the account of shell jobs.
    pub user: Option<String>,
    /// `--config`, else `CONFIG_FILE` of the environment: the configuration file.
    pub config: Option<PathBuf>,
    /// `--working-directory`: usually the account's home.
    pub directory: Option<PathBuf>,
    /// True when the command line does not show what gitlab-runner itself is given, as that of a shell.
    pub is_unclear: bool,
    /// The last value of each other setting.
    settings: BTreeMap<String, String>,
    /// The environment that the unit itself sets.
    environment: Vec<String>,
    /// The files with more of it.
    environment_files: Vec<PathBuf>,
}

/// The service as its unit and drop-ins describe it; `None` when no unit is installed.
///
/// # Errors
/// When a unit file can't be read.
pub fn observe(facts: &Facts<'_>) -> Result<Option<Service>> {
    for directory in UNIT_DIRECTORIES {
        let path = Path::new(directory).join(UNIT);
        let Some(file) = facts.file(&path, MOST_BYTES)? else { continue };
        match file.kind {
            FileKind::Directory => continue,
            FileKind::Regular if !file.bytes.trim_ascii().is_empty() => {}
            _ => return Ok(Some(Service { unit: path, masked: true, ..Service::default() })),
        }
        let mut text = file.text().into_owned();
        for path in drop_ins(facts)?.into_values() {
            if let Some(file) = facts.file(&path, MOST_BYTES)? {
                text.push('\n');
                text.push_str(&file.text());
            }
        }
        let (unit, mut words) = read(&text);
        if words.iter().any(|word| word.contains('$')) {
            words = expanded(&words, &unit.environment(facts)?);
        }
        let mut service = Service { unit: path, ..unit.with_command(&words) };
        if service.config.is_none() {
            service.config = service.variable("CONFIG_FILE", facts)?.map(PathBuf::from);
        }
        // Who is not root has a file of their own.
        service.is_unclear |=
            service.config.is_none() && service.run_as.as_deref().is_some_and(|user| user != "root");
        return Ok(Some(service));
    }
    Ok(None)
}

/// Where an administrator keeps what holds for all services.
pub(super) const OF_ALL: &str = "/etc/systemd/system/service.d";

/// The drop-ins in the order in which they are read: by their names, wherever they lie. Of two with one name
/// the stronger directory's counts, and that of the unit before that of all services.
pub(super) fn drop_ins(facts: &Facts<'_>) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    // The last one is another name of the one before it, but on old systems.
    let [all @ .., last] = &UNIT_DIRECTORIES;
    let is_other = facts.entry(Path::new("/lib"))?.is_some_and(|seen| seen.kind == FileKind::Directory);
    let own = is_other.then_some(last).into_iter().chain(all.iter().rev());
    let own = own.map(|directory| Path::new(directory).join(format!("{UNIT}.d")));
    for directory in [PathBuf::from(OF_ALL)].into_iter().chain(own) {
        for name in facts.names(&directory)? {
            if Path::new(&name).extension().is_some_and(|end| end == "conf") {
                let path = directory.join(&name);
                found.insert(name, path);
            }
        }
    }
    Ok(found)
}

/// Read the last effective `ExecStart=`, as its words, `User=` and `Environment=`, and the names of the files with more
/// of the last; an empty one takes the earlier ones back (systemd.service(5)).
fn read(text: &str) -> (Service, Vec<String>) {
    let (mut words, mut unit) = (Vec::new(), Service::default());
    for line in lines(text) {
        match line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some(("ExecStart", command)) => words = split(command),
            Some(("User", user)) => unit.run_as = Some(user.to_owned()).filter(|user| !user.is_empty()),
            Some(("Environment", "")) => unit.environment.clear(),
            Some(("Environment", settings)) => unit.environment.extend(split(settings)),
            Some(("EnvironmentFile", "")) => unit.environment_files.clear(),
            // With `-` it may be missing.
            Some(("EnvironmentFile", path)) => {
                unit.environment_files.push(PathBuf::from(path.trim_start_matches('-')));
            }
            Some((name, value)) if SETTINGS.contains(&name) => {
                unit.settings.insert(name.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    (unit, words)
}

/// The command of gitlab-runner whose options follow.
fn is_run(word: &String) -> bool {
    word == "run"
}

impl Service {
    /// `DOCKER_HOST` of its environment: the daemon of runners that name none.
    ///
    /// # Errors
    /// When a file with settings can't be read.
    pub fn docker_host(&self, facts: &Facts<'_>) -> Result<Option<String>> {
        self.variable("DOCKER_HOST", facts)
    }

    /// The last value that a file gives another setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// The names of all variables of its environment.
    ///
    /// # Errors
    /// When a file with settings can't be read.
    pub fn variables(&self, facts: &Facts<'_>) -> Result<BTreeSet<String>> {
        let words = self.environment(facts)?;
        Ok(words.iter().filter_map(|word| Some(word.split_once('=')?.0.to_owned())).collect())
    }

    /// The value of a variable of its environment.
    ///
    /// # Errors
    /// When a file with settings can't be read.
    pub fn variable(&self, name: &str, facts: &Facts<'_>) -> Result<Option<String>> {
        Ok(value_of(name, &self.environment(facts)?))
    }

    /// Its environment: the later ones win, and all files over the unit (systemd.exec(5)).
    fn environment(&self, facts: &Facts<'_>) -> Result<Vec<String>> {
        let mut words = self.environment.clone();
        for path in &self.environment_files {
            let Some(file) = facts.file(path, MOST_BYTES)? else { continue };
            words.extend(file.text().lines().flat_map(split));
        }
        Ok(words)
    }

    /// The unit with the command that it starts.
    fn with_command(self, words: &[String]) -> Self {
        // What stands before its path says how it is started (systemd.service(5)).
        let program = words.first().map(|word| word.trim_start_matches(['@', '-', ':', '+', '!', '|']));
        let program = program.filter(|program| program.starts_with('/')).map(PathBuf::from);
        let mut outer = words.iter().take_while(|word| !is_run(word));
        let is_container =
            outer.any(|word| CONTAINERS.contains(&word.rsplit('/').next().unwrap_or_default()));
        let is_unclear = !words.is_empty() && (is_container || !words.iter().any(is_run));
        let said = if is_container { Self::default() } else { Self::of_arguments(words) };
        Self { program, is_unclear, user: said.user, config: said.config, directory: said.directory, ..self }
    }

    /// What a command line says, without a unit.
    pub fn of_arguments(words: &[String]) -> Self {
        let value = |names: [&str; 2]| {
            // Those before are another program's: of a shell, of `env`.
            let mut words = words.iter().skip_while(|word| !is_run(word));
            while let Some(word) = words.next() {
                let (name, value) =
                    word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
                if names.contains(&name) {
                    return value.or_else(|| words.next().cloned()).filter(|value| !value.is_empty());
                }
            }
            None
        };
        Service {
            user: value(["--user", "-u"]),
            config: value(["--config", "-c"]).map(PathBuf::from),
            directory: value(["--working-directory", "-d"]).map(PathBuf::from),
            ..Service::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Service {
        let (unit, words) = read(text);
        let words = expanded(&words, &unit.environment);
        unit.with_command(&words)
    }

    #[test]
    fn the_options_of_a_container_are_not_gitlab_runners() {
        for command in
            ["/usr/bin/docker run --rm -u 0 -d gitlab/gitlab-runner", "/bin/podman run -c 5 x run -u ci"]
        {
            let service = parse(&format!("ExecStart={command}\n"));
            assert_eq!((service.is_unclear, service.user, service.config), (true, None, None), "{command}");
        }
    }

    #[test]
    fn the_packaged_unit_names_account_and_configuration() {
        let service = parse(
            "[Service]\nExecStart=/usr/bin/gitlab-runner \"run\" \"--config\" \"/etc/gitlab-runner/config.toml\" \
             \"--working-directory\" \"/srv/ci\" \"--service\" \"gitlab-runner\" \"--user\" \"ci\"\n",
        );
        assert_eq!(service.user.as_deref(), Some("ci"));
        assert_eq!(service.config, Some(PathBuf::from("/etc/gitlab-runner/config.toml")));
        assert_eq!(service.directory, Some(PathBuf::from("/srv/ci")));
        assert_eq!(service.program, Some(PathBuf::from("/usr/bin/gitlab-runner")));
        assert_eq!(parse("ExecStart=-!/opt/x run").program, Some(PathBuf::from("/opt/x")));
    }

    #[test]
    fn what_a_unit_leaves_open_is_not_called_closed() {
        let at = |home: &str| crate::facts::Account {
            name: "ci".to_owned(),
            uid: 1,
            gid: 1,
            home: home.into(),
            shell: "/bin/sh".into(),
            alias: None,
            is_hidden: false,
        };
        for (settings, home, is_closed) in [
            ("ProtectHome=yes", "/home/ci", true),
            ("ProtectHome=read-only", "/root/ci", true),
            ("ProtectHome=yes", "/srv/ci", false),
            ("ProtectHome=yes\nProtectHome=no", "/home/ci", false),
            ("ProtectSystem=strict", "/srv/ci", true),
            ("ProtectSystem=full", "/srv/ci", false),
            ("ProtectSystem=strict\nReadWritePaths=/srv", "/srv/ci", false),
            ("ProtectSystem=strict\nStateDirectory=ci", "/var/lib/ci", false),
            ("PrivateUsers=self", "/srv/ci", true),
            ("PrivateUsers=identity", "/srv/ci", false),
            ("ProtectHome=yes\nExecStart=\nExecStart=/x run -d /srv/ci", "/home/ci", true),
            ("ProtectHome=yes\nExecStart=\nExecStart=/x run -d /home/builds", "/srv/ci", true),
        ] {
            let service = parse(&format!("[Service]\nExecStart=/x run\n{settings}\n"));
            assert_eq!(service.confines(&at(home)).is_some(), is_closed, "{settings} {home}");
        }
    }

    #[test]
    fn escapes_are_resolved_as_systemd_does() {
        let service = parse(
            "ExecStart=/usr/bin/gitlab-runner run --config /etc/my\\x20runner/config.toml -d '/srv/it\\'s' --user=c\\151\n",
        );
        assert_eq!(service.config, Some(PathBuf::from("/etc/my runner/config.toml")));
        assert_eq!(service.directory, Some(PathBuf::from("/srv/it's")));
        assert_eq!(service.user.as_deref(), Some("ci"));
        assert_eq!(split("a\\qb c\\"), ["a\\qb", "c\\"]);
    }

    #[test]
    fn a_drop_in_replaces_the_command() {
        let service = parse(
            "ExecStart=/x run --user a\n[Service]\nExecStart=\nExecStart=/x run --user=b \\\n --config /y\n",
        );
        assert_eq!(service.user.as_deref(), Some("b"));
        assert_eq!(service.config, Some(PathBuf::from("/y")));
    }

    #[test]
    fn the_user_of_the_unit_is_not_the_user_of_the_jobs() {
        let service = parse("[Service]\nUser = ci\nExecStart=/x run\n");
        assert_eq!((service.run_as.as_deref(), service.user), (Some("ci"), None));
        assert_eq!(parse("User=ci\n[Service]\nUser=\n").run_as, None);
    }

    #[test]
    fn what_a_shell_is_given_is_not_read_as_gitlab_runners() {
        let service = parse("ExecStart=/bin/sh -c \"exec gitlab-runner run --user ci\"\n");
        let program = Some("/bin/sh".into());
        assert_eq!(service, Service { program, is_unclear: true, ..Service::default() });
        let service = parse("ExecStart=/usr/bin/env -u TZ gitlab-runner run -u ci\n");
        assert_eq!((service.is_unclear, service.user.as_deref()), (false, Some("ci")));
    }

    #[test]
    fn an_option_without_a_value_is_no_value() {
        assert_eq!(parse("ExecStart=/x run --user").user, None);
    }

    #[test]
    fn the_environment_names_the_docker_daemon() {
        let host = |text: &str| value_of("DOCKER_HOST", &parse(text).environment);
        let said = "Environment=A=b \"DOCKER_HOST=unix:///run/user/998/docker.sock\"\nEnvironment=C=d\n";
        assert_eq!(host(said).as_deref(), Some("unix:///run/user/998/docker.sock"));
        assert_eq!(host(&format!("{said}Environment=\n")), None);
        let files =
            parse("EnvironmentFile=/a\nEnvironmentFile=\nEnvironmentFile=-/etc/sysconfig/gitlab-runner\n")
                .environment_files;
        assert_eq!(files, [PathBuf::from("/etc/sysconfig/gitlab-runner")]);
    }
}
