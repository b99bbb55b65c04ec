//! A throwaway Docker engine, with images made of this machine's own programs and a registry.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Namespaces, PATH, Run, have, is_root, run_within, skip, source, tool};

/// Far more than any step needs, so that only a hang meets it.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// The registry, at an address that all containers reach.
pub(crate) const REGISTRY: &str = "198.51.100.1:5000";
/// Who may push to it.
pub(crate) const USER: &str = "ci";
/// With this password.
pub(crate) const PASSWORD: &str = "not-a-secret";
const HTPASSWD: &str = "ci:$2y$05$abcdefghijklmnopqrstuuVPNOToLP9MHdthRCXkVoiIF0qNKnk2G\n";

/// What lies on the disk of the host, and that no job should read.
pub(crate) const SECRET: &str = "only for root of the host";

const IN_IMAGE: [&str; 17] = [
    "busybox",
    "containerd",
    "containerd-shim-runc-v2",
    "docker",
    "docker-init",
    "docker-proxy",
    "dockerd",
    "ip",
    "ip6tables",
    "iptables",
    "newgidmap",
    "newuidmap",
    "nsenter",
    "openssl",
    "rootlesskit",
    "runc",
    "slirp4netns",
];
const BESIDE: [&str; 5] = ["docker-registry", "findmnt", "mkfs.ext2", "tar", "unshare"];

/// A running engine. Everything ends with the value.
pub(crate) struct Engine {
    // First, so that all in it has ended when its directory goes.
    namespaces: Option<Namespaces>,
    kept: tempfile::TempDir,
    /// The device that stands for the host's disk.
    pub(crate) disk: String,
    groups: String,
}

impl Engine {
    /// An engine with all images, or `None` where there can be none.
    pub(crate) fn or_skip() -> Option<Self> {
        let engine = Self::without_images_or_skip()?;
        engine.make_images();
        Some(engine)
    }

    /// The same without any image.
    pub(crate) fn without_images_or_skip() -> Option<Self> {
        if !is_root() {
            skip("a Docker engine needs root");
            return None;
        }
        if !have(&[&IN_IMAGE[..], &BESIDE[..]].concat()) {
            return None;
        }
        Some(Self::start())
    }

    fn start() -> Self {
        let kept = tempfile::Builder::new().prefix("engine-").tempdir().expect("a temporary directory");
        let top = kept.path();
        lay_out(top);
        let groups = format!("/runner-prep-{}", std::process::id());
        let arguments = [top.as_os_str(), groups.as_ref()];
        let (namespaces, disk) = Namespaces::start(&[], include_str!("engine.sh"), arguments);
        assert!(disk.starts_with("/dev/loop"), "no loop device for the disk: {disk:?}");
        let engine = Self { namespaces: Some(namespaces), kept, disk, groups };
        let deadline = Instant::now() + LIMIT;
        while engine.try_docker(&["info"]).status != 0 {
            let log = fs::read_to_string(engine.top().join("dockerd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "dockerd does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        engine
    }

    /// What stands for the official images, and images that a job may bring.
    fn make_images(&self) {
        let tree = self.top().join("image");
        let files = |name: &str| source().join("tests/dind").join(name);
        let mut make = Command::new("/bin/sh");
        make.arg(files("image.sh")).arg(&tree).args(IN_IMAGE).env("PATH", PATH);
        // Some versions of the rootless daemon ask for it.
        make.args(tool("rootlesskit-docker-proxy").and(Some("rootlesskit-docker-proxy")));
        run_within(LIMIT, &mut make).ok();
        for name in ["docker-entrypoint.sh", "dockerd-entrypoint.sh"] {
            fs::copy(files(name), tree.join("usr/local/bin").join(name)).expect("an entry point");
        }
        // Before the real one on the search path.
        fs::create_dir_all(tree.join("usr/local/sbin")).expect("a directory");
        fs::copy(files("runc.sh"), tree.join("usr/local/sbin/runc")).expect("a wrapper");
        for directory in ["home/rootless/.local/share/docker", "run/user/1000"] {
            fs::create_dir_all(tree.join(directory)).expect("a directory");
        }
        for path in [
            "home/rootless",
            "home/rootless/.local",
            "home/rootless/.local/share",
            "home/rootless/.local/share/docker",
            "run/user/1000",
        ] {
            std::os::unix::fs::chown(tree.join(path), Some(1000), Some(1000)).expect("an owner");
        }
        for name in ["subuid", "subgid"] {
            fs::write(tree.join("etc").join(name), "rootless:100000:65536\n").expect("a file");
        }
        fs::create_dir_all(tree.join("etc/ssl/certs")).expect("a directory");
        fs::copy(self.top().join("registry/cert.pem"), tree.join("etc/ssl/certs/ca-certificates.crt"))
            .expect("a certificate");
        let socket = self.socket();
        let import = format!(
            "tar -C '{}' -c . | docker -H {socket} import -c 'ENV DOCKER_TLS_CERTDIR=/certs HOME=/root PATH={PATH}' - base",
            tree.display()
        );
        run_within(LIMIT, Command::new("/bin/sh").args(["-euc", &import]).env("PATH", PATH)).ok();
        let daemon = "ENTRYPOINT [\"dockerd-entrypoint.sh\"]\nEXPOSE 2375 2376\n";
        let rootful = format!("{daemon}VOLUME /var/lib/docker\n");
        let rootless = format!(
            "{daemon}USER rootless\nENV HOME=/home/rootless\nVOLUME /home/rootless/.local/share/docker\n"
        );
        let client = "ENTRYPOINT [\"docker-entrypoint.sh\"]\nCMD [\"sh\"]\n";
        // It tries what only a privileged container can do.
        let evil = "EXPOSE 2375\nENTRYPOINT [\"sh\", \"-c\", \"mount -t tmpfs none /mnt && echo it is privileged; exec nc -l -p 2375\"]\n";
        for (name, lines) in [
            ("docker:19.03", client),
            ("docker:28", client),
            ("docker:19.03-dind", &*rootful),
            ("docker:28-dind", &rootful),
            ("docker:28-dind-rootless", &rootless),
            ("evil:dind", evil),
            ("evil/docker:28-dind", evil),
            ("docker:evil", evil),
        ] {
            let place = self.top().join("build");
            fs::create_dir_all(&place).expect("a directory");
            fs::write(place.join("Dockerfile"), format!("FROM base\n{lines}")).expect("a file");
            self.docker(&["build", "-q", "-t", name, &place.display().to_string()]);
        }
    }

    fn top(&self) -> &Path {
        self.kept.path()
    }

    /// Where it listens, for `docker -H`.
    pub(crate) fn socket(&self) -> String {
        format!("unix://{}", self.top().join("docker.sock").display())
    }

    /// The client, talking to this engine.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env_clear().env("PATH", PATH).env("HOME", self.top()).env("DOCKER_BUILDKIT", "0");
        command.args(["-H", &self.socket()]).args(arguments);
        command
    }

    /// Runs the client, whatever comes of it.
    #[track_caller]
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Run {
        run_within(LIMIT, &mut self.client(arguments))
    }

    /// Runs the client and gives what it prints.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).ok().stdout.trim().to_owned()
    }

    /// Mounts a volume `nosuid,nodev`, as all are where the file system of Docker's volumes is.
    #[track_caller]
    pub(crate) fn no_setuid_no_devices(&self, volume: &str) {
        self.docker(&["volume", "create", volume]);
        let path = self.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume]);
        let namespace = self.namespaces.as_ref().map(|held| format!("--mount=/proc/{}/ns/mnt", held.id()));
        let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,nosuid,nodev \"$1\"";
        let mut command = Command::new("nsenter");
        command.args(namespace).args(["--", "/bin/sh", "-c", mount, "sh", &path]);
        run_within(LIMIT, &mut command).ok();
    }

    /// Whether the registry has this tag of this repository.
    pub(crate) fn is_pushed(&self, repository: &str, tag: &str) -> bool {
        let tags = format!("data/docker/registry/v2/repositories/{repository}/_manifests/tags");
        self.top().join("registry").join(tags).join(tag).is_dir()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.namespaces = None;
        // The control groups are the machine's, and empty now.
        let _ = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*{}*", self.groups)])
            .args(["-exec", "rmdir", "{}", ";"])
            .output();
    }
}

/// What the engine starts on: the disk, the registry's certificate and its rules.
fn lay_out(top: &Path) {
    let registry = top.join("registry");
    fs::create_dir_all(registry.join("data")).expect("a directory");
    fs::create_dir_all(top.join("disk")).expect("a directory");
    fs::create_dir_all(top.join("first")).expect("a directory");
    fs::copy(source().join("tests/dind/runc.sh"), top.join("first/runc")).expect("a wrapper");
    fs::write(top.join("disk/secret"), SECRET).expect("a file");
    fs::write(top.join("daemon.json"), "{}").expect("a file");
    fs::write(registry.join("htpasswd"), HTPASSWD).expect("a file");
    let at = registry.display();
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\n\
         http: {{addr: '{REGISTRY}', tls: {{certificate: {at}/cert.pem, key: {at}/key.pem}}}}\n\
         auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n"
    );
    fs::write(registry.join("config.yml"), config).expect("a file");
    let address = REGISTRY.split(':').next().unwrap_or_default();
    let make = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=registry' -addext 'subjectAltName=IP:{address}' \
         -keyout '{at}/key.pem' -out '{at}/cert.pem'
         truncate -s 1M '{0}/disk.img'
         mkfs.ext2 -q -d '{0}/disk' '{0}/disk.img'",
        top.display()
    );
    run_within(LIMIT, Command::new("/bin/sh").args(["-euc", &make]).env_clear().env("PATH", PATH)).ok();
}
