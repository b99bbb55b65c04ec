//! `install.sh`: what it installs and leaves, and where it finds or builds the program.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests lay out what the script finds, and look at what it leaves"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

#[path = "../support/mod.rs"]
mod support;

mod builds;
mod files;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Run, run_limited, source};

/// Stands for the built program: says its version, and its arguments with exit code 3.
const PROGRAM: &str = "#!/bin/sh
[ \"$1\" = --version ] && { echo 'runner-prep 9.9'; exit; }
echo \"arguments: $*\"
exit 3
";

/// Stands for the source. No real Rust is this new, so that only a stub can build it.
const CARGO_TOML: &str = "[package]\nname = \"runner-prep\"\nrust-version = \"99.1\" # for a test\n";

/// A cargo that says a version, and whose build leaves the program where the real one does.
fn stub_cargo(version: &str) -> String {
    format!(
        "#!/bin/sh
if [ \"$1\" = --version ]; then echo 'cargo {version} (0123456 2026-01-01)'; exit; fi
echo \"$(id -un): $*\" > built-by || echo 'cannot write here' >&2
while [ $# -gt 1 ]; do [ \"$1\" = --target-dir ] && target=$2; shift; done
mkdir -p \"$target/release\" && cat > \"$target/release/runner-prep\" <<'EOF'
{PROGRAM}EOF
"
    )
}

fn script() -> Vec<u8> {
    std::fs::read(source().join("install.sh")).unwrap()
}

/// A directory with the script, and an empty one to install into.
struct Place {
    kept: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { kept: tempfile::tempdir().unwrap() };
        std::fs::set_permissions(place.kept.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        place.file("src/install.sh", &script(), 0o755);
        for unit in std::fs::read_dir(source().join(".package/systemd")).unwrap() {
            let unit = unit.unwrap();
            let name = unit.file_name().into_string().unwrap();
            place.file(&format!("src/.package/systemd/{name}"), &std::fs::read(unit.path()).unwrap(), 0o644);
        }
        std::fs::create_dir(place.dest()).unwrap();
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.kept.path().join(path)
    }

    fn file(&self, path: &str, bytes: &[u8], mode: u32) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn dest(&self) -> PathBuf {
        self.path("dest")
    }

    fn installed(&self) -> PathBuf {
        self.dest().join("usr/local/bin/runner-prep")
    }

    /// The script under a shell with a hostile umask, as cloud-init starts it: without HOME.
    fn command(&self, shell: &[&str], arguments: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        let script = self.path("src/install.sh");
        let line = format!("umask 077; exec {} '{}' {arguments}", shell.join(" "), script.display());
        command.args(["-c", &line]).env_clear().current_dir("/");
        command
            .env("DESTDIR", self.dest())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("stubs").display()));
        command
    }

    fn install(&self, arguments: &str) -> Run {
        run_limited(&mut self.command(&["sh"], arguments))
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}
