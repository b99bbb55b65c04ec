//! Several throwaway hosts with a server for SSH each, and a machine apart from which they are managed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::host::{Host, HostBuilder};
use super::namespaces::Namespaces;
use super::process::{Run, program, run_limited, run_within};
use super::{PATH, have, made, skip, tool};

/// Ansible takes seconds for a host where the program takes milliseconds, more of them on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
const LIMIT_OF_ONE: Duration = Duration::from_secs(30);

/// How many hosts Ansible works on at once: each takes a process of 60 MB, and the hosts share its processors here.
pub(crate) const FORKS: u32 = 10;

/// The account that a person or Ansible logs in to; it may use sudo for everything, as on a cloud's image.
const OPERATOR: &str = "ops";

/// Everything that the servers need, and nothing of the machine's own settings.
const SSHD: &str = "HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin no
MaxStartups 100
Subsystem sftp internal-sftp
";

/// Hosts on a network of their own. Everything ends with the value.
pub(crate) struct Fleet {
    hosts: Vec<Host>,
    control: Namespaces,
    kept: tempfile::TempDir,
    ansible: PathBuf,
}

impl Fleet {
    /// As many hosts as there are builders, named `host1` and so on in the inventory group `runners`; `None` where
    /// that or Ansible cannot be.
    pub(crate) fn or_skip(hosts: Vec<HostBuilder>) -> Option<Self> {
        if !have(&["ip", "ssh", "ssh-keygen", "sshd", "strip", "sudo"]) {
            return None;
        }
        let Some(ansible) = ansible() else {
            skip("no ansible-playbook, neither in target/ansible/bin nor in PATH");
            return None;
        };
        let kept = tempfile::Builder::new().prefix("fleet-").tempdir().expect("a temporary directory");
        let script = "ip link set lo up; echo ready; exec cat >/dev/null";
        let (control, _) = Namespaces::start(&[], script, [""; 0]);
        let mut fleet = Self { hosts: Vec::new(), control, kept, ansible };
        for key in ["operator", "server"] {
            let path = fleet.path(key);
            run_limited(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))
                .ok();
        }
        let mut inventory = String::from("[runners]\n");
        let mut known = String::new();
        for (index, host) in hosts.into_iter().enumerate() {
            let number = index + 1;
            let address = fleet.connect(host, number);
            let _ = writeln!(inventory, "host{number} ansible_host={address}");
            let _ = write!(known, "{address} {}", fleet.text("server.pub"));
        }
        let _ = write!(
            inventory,
            "\n[all:vars]\nansible_user={OPERATOR}\nansible_python_interpreter=/usr/bin/python3\n"
        );
        fleet.put("inventory", inventory);
        fleet.put("known_hosts", known);
        Some(fleet)
    }

    /// The hosts, in the order of their names.
    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Where a file of the managing machine lies, relative to where Ansible is started.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.kept.path().join(name)
    }

    /// The text of a file of the managing machine.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file of the managing machine, with the directories above it.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }

    /// Copies the program under test to the managing machine, without what only a debugger wants: a copy to each host
    /// is what costs time.
    pub(crate) fn put_program(&self, name: &str) {
        self.put(name, "");
        run_limited(Command::new("strip").arg("-o").arg(self.path(name)).arg(program())).ok();
    }

    /// Runs `ansible-playbook` against the hosts, and holds it and what it started to the rule about secrets.
    #[track_caller]
    pub(crate) fn playbook(&self, arguments: &[&str]) -> Run {
        let secrets: Vec<_> = self.hosts.iter().map(Host::secrets).collect();
        let (run, _) = self.timed(arguments);
        for secrets in secrets {
            secrets.assert_kept(&run);
        }
        run
    }

    /// Runs `ansible-playbook` against the hosts, whatever it prints, and says how long that took.
    #[track_caller]
    pub(crate) fn timed(&self, arguments: &[&str]) -> (Run, Duration) {
        let hosts = u32::try_from(self.hosts.len()).expect("a number of hosts");
        let limit = LIMIT.max(LIMIT_OF_ONE * hosts);
        let began = Instant::now();
        let run = run_within(limit, self.command(&self.ansible).args(["-i", "inventory"]).args(arguments));
        (run, began.elapsed())
    }

    /// A command on the managing machine: its own network and processes, the machine's files.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        for (option, file) in [("mount", "mnt"), ("net", "net"), ("pid", "pid_for_children")] {
            command.arg(format!("--{option}=/proc/{}/ns/{file}", self.control.id()));
        }
        let ssh = format!(
            "-F none -i {} -o UserKnownHostsFile={} -o ControlMaster=auto -o ControlPersist=60",
            self.path("operator").display(),
            self.path("known_hosts").display()
        );
        command.args(["--", "/bin/sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh"]);
        command.arg(self.kept.path()).arg(program);
        command.env_clear().envs([("PATH", PATH), ("LC_ALL", "C.UTF-8"), ("ANSIBLE_NOCOLOR", "1")]);
        command
            .env("HOME", self.path("home"))
            .env("ANSIBLE_SSH_ARGS", ssh)
            .env("ANSIBLE_FORKS", FORKS.to_string());
        command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.path("cp"));
        command
    }

    /// Starts a host with its server, and lays a cable to it.
    fn connect(&mut self, host: HostBuilder, number: usize) -> String {
        let key = std::fs::read(self.path("server")).expect("the key of the servers");
        let host = host
            .sshd()
            .account(OPERATOR, 1100, "/home/ops")
            .dir("/home/ops/.ssh", 0o700)
            .own("/home/ops/.ssh", 1100, 1100)
            .file("/home/ops/.ssh/authorized_keys", self.text("operator.pub"))
            .own("/home/ops/.ssh/authorized_keys", 1100, 1100)
            .file_mode("/etc/sudoers.d/ops", format!("{OPERATOR} ALL=(ALL) NOPASSWD: ALL\n"), 0o440)
            .file_mode("/etc/ssh/ssh_host_ed25519_key", key, 0o600)
            .file("/etc/ssh/sshd_fleet", SSHD)
            .start();
        let (control, id) = (self.control.id(), host.id());
        let cable = format!(
            "nsenter --net=/proc/{control}/ns/net ip link add to{number} type veth peer name eth0 netns {id}
            nsenter --net=/proc/{control}/ns/net ip addr add 198.18.{number}.1/30 dev to{number}
            nsenter --net=/proc/{control}/ns/net ip link set to{number} up
            nsenter --net=/proc/{id}/ns/net ip addr add 198.18.{number}.2/30 dev eth0
            nsenter --net=/proc/{id}/ns/net ip link set eth0 up"
        );
        run_limited(Command::new("/bin/sh").args(["-euc", &cable]).env("PATH", PATH)).ok();
        // An account whose password is locked may not log in at all; one without a password may, by key.
        host.sh("usermod -p '*' ops; /usr/sbin/sshd -f /etc/ssh/sshd_fleet").ok();
        self.hosts.push(host);
        format!("198.18.{number}.2")
    }
}

/// Where Ansible is: `tests/run.sh` installs it for the tests.
fn ansible() -> Option<PathBuf> {
    let ours = made("ansible/bin/ansible-playbook");
    if ours.is_file() { Some(ours) } else { tool("ansible-playbook") }
}
