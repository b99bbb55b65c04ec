//! A throwaway host with real root, made by namespaces.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::listing::{listing, stamps};
use super::namespaces::{Namespaces, within};
use super::place::Place;
use super::process::{Run, program, run_limited};
use super::secrets::Secrets;
use super::tree::SUDOERS;
use super::{PATH, is_root, made, skip, source};

/// The directories that a host has of its own. The rest is the machine's, and cannot be written.
const OWN: &[&str] = &[
    "etc",
    "home",
    "root",
    "run",
    "var",
    "srv",
    "opt",
    "usr/local/bin",
    "usr/local/sbin",
    "usr/local/share",
    "tmp",
];

/// What the tools need of the machine's `/etc` to work as they do outside. Accounts, keys and sudoers rules
/// are not among it: those are the host's own.
const FROM_ETC: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "crypto-policies",
    "default",
    "environment",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "login.defs",
    "manpath.config",
    "mke2fs.conf",
    "nsswitch.conf",
    "os-release",
    "pam.conf",
    "pam.d",
    "profile",
    "protocols",
    "security",
    "services",
    "shells",
    "skel",
    "ssh/moduli",
    "ssh/ssh_config",
    "ssh/sshd_config",
    "sudo.conf",
    "xattr.conf",
];

/// Where the program under test lies in the host, on the search path of [`Host::sh`].
const PROGRAM: &str = "/opt/under-test/runner-prep";

/// A host that is laid out but does not run yet.
pub(crate) struct HostBuilder {
    place: Place,
    layers: Vec<PathBuf>,
    kept: tempfile::TempDir,
}

/// A running throwaway host: the machine's programs on directories of its own, with its own processes, host name
/// and loopback network. It starts with Debian's base accounts and sudo policy, and without an account for
/// the runner. Everything ends with the value.
pub(crate) struct Host {
    // First, so that it has ended when the directories go.
    namespaces: Namespaces,
    place: Place,
    _kept: tempfile::TempDir,
}

impl Host {
    /// Lays out a host, or says why there can be none here.
    #[expect(clippy::new_ret_no_self, reason = "a host is laid out first and started then")]
    pub(crate) fn new() -> Result<HostBuilder, String> {
        if !is_root() {
            return Err("a throwaway host needs root".into());
        }
        Namespaces::probe()?;
        let kept = tempfile::Builder::new().prefix("host-").tempdir().expect("a temporary directory");
        let place = Place::new(kept.path().to_path_buf());
        lay_out(&place);
        Ok(HostBuilder { place, layers: Vec::new(), kept })
    }

    /// [`Host::new`], with [`skip`] where there can be no host.
    pub(crate) fn or_skip() -> Option<HostBuilder> {
        Self::new().map_err(|reason| skip(&reason)).ok()
    }

    /// Runs a shell script as root, stopping at its first error. What the script starts in the background lives on
    /// until the host ends.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Run {
        run_limited(self.command("/bin/sh").args(["-euc", script]))
    }

    /// Runs a shell script as an account in a login shell of its own, the way gitlab-runner's shell executor starts
    /// a job, stopping at its first error.
    #[track_caller]
    pub(crate) fn as_account(&self, account: &str, script: &str) -> Run {
        let script = format!("set -eu\n{script}");
        run_limited(self.command("su").args(["--login", "--shell", "/bin/sh", account, "-c", &script]))
    }

    /// The command lines of what runs in it, sorted. What has ended waits for a first process that collects nothing.
    pub(crate) fn processes(&self) -> Vec<String> {
        let run = run_limited(self.command("ps").args(["-e", "-o", "args="]));
        let lines =
            run.stdout.lines().filter(|line| !line.contains("<defunct>") && !line.starts_with("ps -e "));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Open something in its network, where it stays: a server of the test itself.
    pub(crate) fn in_network<T: Send>(&self, open: impl FnOnce() -> T + Send) -> T {
        within(&format!("/proc/{}/ns/net", self.namespaces.id()), open)
    }

    /// Runs the program as root on `/`, and holds it to the rule about secrets.
    #[track_caller]
    pub(crate) fn prep(&self, arguments: &[&str]) -> Run {
        self.prep_command(self.command(PROGRAM).args(arguments))
    }

    /// Like [`Host::prep`], for a command that the test made with [`Host::command`].
    #[track_caller]
    pub(crate) fn prep_command(&self, command: &mut Command) -> Run {
        let secrets = Secrets::below(self.place.top());
        let run = run_limited(command);
        secrets.assert_kept(&run);
        run
    }

    /// The process that holds the host's namespaces.
    pub(crate) fn id(&self) -> u32 {
        self.namespaces.id()
    }

    /// What [`Host::prep`] looks for, for what reaches the program by another way.
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::below(self.place.top())
    }

    /// A command in this host as root, with the environment of a service.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new("nsenter");
        // The process we hold stayed outside the process namespace that its first child began.
        for (option, file) in
            [("mount", "mnt"), ("uts", "uts"), ("ipc", "ipc"), ("net", "net"), ("pid", "pid_for_children")]
        {
            command.arg(format!("--{option}=/proc/{}/ns/{file}", self.namespaces.id()));
        }
        command.args(["--", name]).env_clear().envs([("HOME", "/root"), ("LC_ALL", "C")]);
        command.env("PATH", format!("{PATH}:/opt/under-test"));
        command
    }

    /// Where a path of the host lies outside, to read it without a command. Only the host's own directories have
    /// one; links in them lead outside.
    #[track_caller]
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        checked(path);
        self.place.path(path)
    }

    /// The text of a file of the host.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
    }

    /// [`listing`] of everything that the host has of its own.
    pub(crate) fn listing(&self) -> Vec<String> {
        listing(self.place.top())
    }

    /// [`stamps`] of everything that the host has of its own.
    pub(crate) fn stamps(&self) -> Vec<String> {
        stamps(self.place.top())
    }
}

impl HostBuilder {
    /// A file of root's at 0644, with the directories above it.
    #[track_caller]
    pub(crate) fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.file_mode(path, bytes, 0o644)
    }

    /// A file of root's with its mode.
    #[track_caller]
    pub(crate) fn file_mode(self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Self {
        checked(path);
        self.place.file(path, bytes.as_ref(), mode);
        self
    }

    /// A directory of root's with its mode.
    #[track_caller]
    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        checked(path);
        self.place.dir(path, mode);
        self
    }

    /// What an unpacked release holds that `install.sh` reads.
    pub(crate) fn release(self, path: &str) -> Self {
        let file =
            |name: &str| std::fs::read(source().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut host = self.file_mode(&format!("{path}/install.sh"), file("install.sh"), 0o755).file_mode(
            &format!("{path}/runner-prep"),
            std::fs::read(program()).expect("the program"),
            0o755,
        );
        for unit in ["check@.service", "check@.timer", "apply@.service", "apply@.timer"] {
            let name = format!(".package/systemd/runner-prep-{unit}");
            host = host.file(&format!("{path}/{name}"), file(&name));
        }
        host
    }

    /// A symbolic link.
    #[track_caller]
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        checked(path);
        self.place.link(path, target);
        self
    }

    /// An account with its own group and a home at 0755.
    #[track_caller]
    pub(crate) fn account(self, name: &str, uid: u32, home: &str) -> Self {
        checked(home);
        self.place.account(name, uid, home);
        self
    }

    /// Gives a thing to an owner.
    #[track_caller]
    pub(crate) fn own(self, path: &str, uid: u32, gid: u32) -> Self {
        checked(path);
        self.place.own(path, uid, gid);
        self
    }

    /// `/etc/gitlab-runner/config.toml` at 0600 in a directory at 0700, as gitlab-runner keeps it.
    pub(crate) fn config_toml(self, bytes: impl AsRef<[u8]>) -> Self {
        self.dir("/etc/gitlab-runner", 0o700).file_mode("/etc/gitlab-runner/config.toml", bytes, 0o600)
    }

    /// Directories laid over the machine's `/usr`, the upper one first.
    pub(crate) fn layers(mut self, layers: Vec<PathBuf>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// A server for SSH: the machine's, or the one that `tests/run.sh` unpacked, with its account.
    pub(crate) fn sshd(mut self) -> Self {
        if Path::new("/usr/sbin/sshd").is_file() {
            return self;
        }
        self.layers.push(made("servers/usr"));
        self.account("sshd", 64999, "/run/sshd").own("/run/sshd", 0, 0)
    }

    /// Makes the host run.
    pub(crate) fn start(self) -> Host {
        // The caller's is not that of a service.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let Self { place, layers, kept } = self;
        let layers = layers.iter().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":");
        let program = program();
        let arguments = [place.top().as_os_str(), program.as_os_str(), layers.as_ref()];
        let (namespaces, line) = Namespaces::start(&["--uts", "--ipc"], include_str!("host.sh"), arguments);
        assert_eq!(line, "ready", "the throwaway host does not start");
        Host { namespaces, place, _kept: kept }
    }
}

/// Demands a path in one of the host's own directories, so that a test cannot believe it wrote elsewhere.
#[track_caller]
fn checked(path: &str) {
    let path = Path::new(path.trim_start_matches('/'));
    assert!(
        OWN.iter().any(|own| path.starts_with(own)),
        "/{} is the machine's, not the host's",
        path.display()
    );
}

fn lay_out(place: &Place) {
    for (path, mode) in [
        ("etc/ssh", 0o755),
        ("etc/sudoers.d", 0o750),
        ("home", 0o755),
        ("root", 0o700),
        ("run/lock", 0o1777),
        ("run/sshd", 0o755),
        ("var/cache", 0o755),
        ("var/lib", 0o755),
        ("var/log", 0o755),
        ("var/mail", 0o2775),
        ("var/spool", 0o755),
        ("var/tmp", 0o1777),
        ("srv", 0o755),
        ("opt/under-test", 0o755),
        ("usr/local/bin", 0o755),
        ("usr/local/sbin", 0o755),
        ("usr/local/share", 0o755),
        ("tmp", 0o1777),
    ] {
        place.dir(path, mode);
    }
    place.link("var/run", "/run");
    place.link("var/lock", "/run/lock");
    copy_etc(place);
    databases(place);
    for (path, text, mode) in [
        ("etc/hostname", "runner-host\n", 0o644),
        ("etc/hosts", "127.0.0.1 localhost runner-host\n::1 localhost\n", 0o644),
        ("etc/resolv.conf", "", 0o644),
        ("etc/subuid", "", 0o644),
        ("etc/subgid", "", 0o644),
        ("etc/sudoers", SUDOERS, 0o440),
        // The program is mounted on it.
        ("opt/under-test/runner-prep", "", 0o755),
        // A host that lacks nothing. What is there says no version, and takes no jobs.
        ("usr/local/bin/gitlab-runner", "#!/bin/sh\n", 0o755),
        ("usr/local/bin/dockerd", "#!/bin/sh\n", 0o755),
    ] {
        place.file(path, text.as_bytes(), mode);
    }
    std::fs::set_permissions(place.top(), std::fs::Permissions::from_mode(0o755)).expect("mode of the host");
}

fn copy_etc(place: &Place) {
    let present =
        FROM_ETC.iter().filter(|name| std::fs::symlink_metadata(Path::new("/etc").join(name)).is_ok());
    let copied = Command::new("cp")
        .args(["-a", "--parents"])
        .args(present)
        .arg(place.path("etc"))
        .current_dir("/etc")
        .output()
        .expect("cp");
    assert!(copied.status.success(), "copy of /etc: {}", String::from_utf8_lossy(&copied.stderr));
}

/// The machine's own system accounts, which its programs rely on, without people, runners and passwords.
fn databases(place: &Place) {
    let passwd = kept_lines("/etc/passwd");
    let group = kept_lines("/etc/group");
    let names = |lines: &[String], rest: &str| -> String {
        let names = lines.iter().filter_map(|line| line.split(':').next());
        names.fold(String::new(), |all, name| all + name + rest + "\n")
    };
    place.file("etc/passwd", (passwd.join("\n") + "\n").as_bytes(), 0o644);
    place.file("etc/group", (group.join("\n") + "\n").as_bytes(), 0o644);
    place.file("etc/shadow", names(&passwd, ":*:19000:0:99999:7:::").as_bytes(), 0o640);
    place.file("etc/gshadow", names(&group, ":*::").as_bytes(), 0o640);
    let shadow =
        group.iter().find_map(|line| line.strip_prefix("shadow:x:")?.split(':').next()?.parse().ok());
    for database in ["etc/shadow", "etc/gshadow"] {
        place.own(database, 0, shadow.unwrap_or(0));
    }
}

/// The lines of system accounts or groups. Members of groups are dropped: they may be people.
fn kept_lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .filter(|line| {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            let id: Option<u32> = fields.nth(1).and_then(|id| id.parse().ok());
            !name.starts_with("gitlab") && id.is_some_and(|id| id < 1000 || id == 65534)
        })
        .map(|line| {
            // A group has four fields, the last one its members.
            let fields: Vec<_> = line.split(':').collect();
            if fields.len() == 4 { fields[..3].join(":") + ":" } else { line.to_owned() }
        })
        .collect()
}
