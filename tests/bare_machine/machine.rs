//! A bare machine: a tree that `tests/bare.sh` made, with a disk of its own over it, and processes in namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{
    Namespaces, PATH, Run, is_root, made, program, run_limited, run_within, skip, source, stamps,
};

/// README's first command, as root types it.
pub(crate) const FIRST: &str = "./install.sh -- apply --profile dind";

/// A build takes minutes on a slow machine; a mirror can be slow, too.
pub(crate) const LIMIT: Duration = Duration::from_secs(3600);

/// Lays a disk over the tree, small enough to be filled by a test. It holds the mounts until its input ends.
const START: &str = "mount -t tmpfs -o mode=0755,size=$3 tmpfs \"$1\"
mkdir \"$1/upper\" \"$1/work\" \"$1/root\"
mount -t overlay -o \"lowerdir=$2,upperdir=$1/upper,workdir=$1/work\" overlay \"$1/root\"
mount -t tmpfs -o mode=0755 tmpfs \"$1/root/dev\"
for device in null zero full random urandom; do
    : >\"$1/root/dev/$device\"
    mount --bind \"/dev/$device\" \"$1/root/dev/$device\"
done
ln -s /proc/self/fd \"$1/root/dev/fd\"
echo ready
exec cat >/dev/null";

/// A release that this machine's own programs run on.
pub(crate) fn own_release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or("unknown").to_owned()
}

/// It runs; everything ends with the value.
pub(crate) struct Machine {
    namespaces: Namespaces,
    tree: PathBuf,
    kept: tempfile::TempDir,
}

impl Machine {
    /// A bare machine of a release, which finds packages in an archive on its disk; or a word why there is none.
    pub(crate) fn or_skip(release: &str) -> Option<Self> {
        if !is_root() {
            skip("a bare machine needs root");
            return None;
        }
        let tree = made("bare").join(release);
        if !tree.is_dir() {
            skip(&format!("no bare {release} in {}: tests/run.sh makes it", made("bare").display()));
            return None;
        }
        let kept = tempfile::Builder::new().prefix("bare-").tempdir().unwrap();
        let tree = tree.canonicalize().unwrap();
        let size = if crate::support::long() { "8G" } else { "600M" };
        let arguments = [kept.path().as_os_str(), tree.as_os_str(), size.as_ref()];
        let (namespaces, line) = Namespaces::start(&[], START, arguments);
        assert_eq!(line, "ready");
        let machine = Self { namespaces, tree, kept };
        machine.put("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/archive ./\n");
        Some(machine)
    }

    /// Where a path of the machine lies for this process.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let root = self.kept.path().join("root").join(path.trim_start_matches('/'));
        Path::new("/proc")
            .join(self.namespaces.id().to_string())
            .join("root")
            .join(root.strip_prefix("/").unwrap())
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(path), bytes).unwrap();
    }

    /// Runs a shell script as root and as the first process, without a network.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Run {
        self.run(&["--net"], script)
    }

    /// [`Machine::sh`] with this machine's network.
    #[track_caller]
    pub(crate) fn online(&self, script: &str) -> Run {
        self.run(&[], script)
    }

    #[track_caller]
    fn run(&self, more: &[&str], script: &str) -> Run {
        let root = self.kept.path().join("root");
        let enter = "mount -t proc proc \"$1/proc\"
            exec chroot \"$1\" /usr/bin/env -i LC_ALL=C PATH=\"$2\" /bin/sh -euc \"$3\"";
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.namespaces.id())).args(["--", "unshare"]);
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--uts",
            "--ipc",
        ]);
        command.args(more).args(["--", "/bin/sh", "-euc", enter, "sh"]).arg(root).args([PATH, script]);
        run_within(LIMIT, &mut command)
    }

    /// Lets nothing be written in a directory any more.
    pub(crate) fn read_only(&self, path: &str) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.namespaces.id())).args(["--", "/bin/sh", "-euc"]);
        command.args(["mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"", "sh"]);
        run_limited(command.arg(self.kept.path().join("root").join(path.trim_start_matches('/')))).ok();
    }

    /// A clone of the repository: what git knows of.
    pub(crate) fn clone_alone(&self) {
        let copy = "cd \"$1\"; mkdir \"$2\"; { git ls-files -z 2>/dev/null | grep -qz . && git ls-files -z || \
            find . -path ./target -prune -o -type f -print0; } | tar --null -T - -cf - | tar -xf - -C \"$2\"";
        let mut command = Command::new("/bin/sh");
        run_limited(command.args(["-euc", copy, "sh"]).arg(source()).arg(self.path("/srv/clone"))).ok();
    }

    /// A clone with the built program in it, as README has it for a machine without Rust.
    pub(crate) fn clone_with_program(&self) {
        self.clone_alone();
        let built = stripped(self.kept.path().parent().unwrap());
        std::fs::copy(&built, self.path("/srv/clone/runner-prep")).unwrap();
        std::fs::remove_file(built).unwrap();
    }

    /// The archive of a release, unpacked in `/srv`.
    pub(crate) fn archive(&self) {
        let place = tempfile::tempdir().unwrap();
        let mut build = Command::new(source().join(".package/build"));
        build.arg("--archive").arg(place.path()).env("BINARY", stripped(place.path()));
        run_limited(&mut build).ok();
        let mut copy = Command::new("/bin/sh");
        copy.args(["-euc", "cp \"$1\"/*.tar.gz \"$2\"", "sh"]).arg(place.path()).arg(self.path("/srv"));
        run_limited(&mut copy).ok();
        self.sh("cd /srv; tar -xzf runner-prep-*.tar.gz").ok();
    }

    /// Gives it this machine's ways to the registries: names, certificates, Cargo's settings and the release's mirror.
    pub(crate) fn connect(&self) {
        let copy = "cp /etc/resolv.conf /etc/hosts \"$1/etc/\"
            cp \"$2/etc/apt/sources.list\" \"$1/etc/apt/sources.list\"
            mkdir -p \"$1/usr/local/share/ca-certificates\" \"$1/root/.cargo\"
            cp /etc/ssl/certs/ca-certificates.crt \"$1/usr/local/share/ca-certificates/machine.crt\"
            for file in \"${CARGO_HOME:-$HOME/.cargo}\"/config*; do [ ! -f \"$file\" ] || cp \"$file\" \"$1/root/.cargo/\"; done";
        let mut command = Command::new("/bin/sh");
        run_limited(command.args(["-euc", copy, "sh"]).arg(self.path("/")).arg(&self.tree)).ok();
    }

    /// [`stamps`] of all that differs from the bare tree, without what says when it was used.
    pub(crate) fn stamps(&self) -> Vec<String> {
        let upper = self.path("/").parent().unwrap().join("upper");
        let used = ["var/log/", "var/lib/runner-prep", " . inode", " tmp ", " dev", " run"];
        stamps(upper).into_iter().filter(|line| !used.iter().any(|path| line.contains(path))).collect()
    }
}

/// The program under test without its symbols, as a release has it, in a directory.
pub(crate) fn stripped(directory: &Path) -> PathBuf {
    let binary = tempfile::Builder::new().prefix("program-").tempfile_in(directory).unwrap().into_temp_path();
    let binary = binary.keep().unwrap();
    run_limited(Command::new("strip").arg("-o").arg(&binary).arg(program())).ok();
    binary
}
