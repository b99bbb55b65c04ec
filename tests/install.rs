//! `install.sh`: what it installs and leaves, and where it finds or builds the program.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests lay out what the script finds, and look at what it leaves"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Host, HostBuilder, Run, assert_unchanged, have, listing, run_limited, source, stamps};

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

#[test]
fn the_program_beside_the_script_is_installed_once() {
    let place = Place::new();
    // As an archive unpacked with a strict umask leaves it.
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o600);
    let run = place.install("");
    run.ok().says("installed ").says_not("nothing to do");
    assert_eq!(run.stdout, "");
    assert_eq!(std::fs::read(place.installed()).unwrap(), PROGRAM.as_bytes());
    assert_eq!(mode(&place.installed()), 0o755);
    for directory in ["usr", "usr/local", "usr/local/bin", "etc/runner-prep", "etc/runner-prep/profiles"] {
        assert_eq!(mode(&place.dest().join(directory)), 0o755, "{directory}");
    }

    let before = stamps(place.dest());
    place.install("").ok().says("nothing to do");
    assert_unchanged(&before, &stamps(place.dest()));
}

#[test]
fn another_program_replaces_it_by_a_new_file_and_a_wrong_mode_is_repaired() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    place.install("").ok();
    let former = std::fs::File::open(place.installed()).unwrap();
    place.file("src/runner-prep", format!("{PROGRAM}# newer\n").as_bytes(), 0o755);
    place.install("").ok().says("installed ");
    // Whoever runs the former one keeps it whole.
    assert_eq!(former.metadata().unwrap().len(), PROGRAM.len() as u64);
    assert_eq!(former.metadata().unwrap().nlink(), 0);
    assert!(std::fs::read_to_string(place.installed()).unwrap().ends_with("# newer\n"));

    std::fs::set_permissions(place.installed(), std::fs::Permissions::from_mode(0o700)).unwrap();
    place.install("").ok().says("installed ");
    assert_eq!(mode(&place.installed()), 0o755);
    assert_eq!(std::fs::read_dir(place.dest().join("usr/local/bin")).unwrap().count(), 1);
}

#[test]
fn a_link_in_its_place_is_replaced_and_what_it_names_stays() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    place.file("elsewhere", PROGRAM.as_bytes(), 0o755);
    std::fs::create_dir_all(place.dest().join("usr/local/bin")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.installed()).unwrap();
    let before = stamps(place.path("elsewhere"));
    place.install("").ok().says("installed ");
    assert!(!place.installed().is_symlink());
    assert_unchanged(&before, &stamps(place.path("elsewhere")));
}

#[test]
fn arguments_after_the_dashes_reach_the_program_and_its_exit_code_comes_back() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    let run = place.install("-- apply --profile 'a  b' --json --root /tree");
    // Nothing of the script's own on standard output: that is one JSON document, in this case.
    assert_eq!(run.exit(3).stdout, "arguments: apply --profile a  b --json --root /tree\n");
    let run = place.install("-- check --root=/tree");
    assert_eq!(run.exit(3).stdout, "arguments: check --root=/tree\n");
    run.says("nothing to do");
}

#[test]
fn it_works_in_every_shell_and_without_standard_input() {
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        if support::tool(shell[0]).is_none() {
            continue;
        }
        let place = Place::new();
        place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
        run_limited(&mut place.command(shell, "-- hello --root=/ <&-")).exit(3).says("arguments: hello");
        run_limited(&mut place.command(shell, "<&- >&- 2>&-")).ok();
        run_limited(&mut place.command(shell, "--uninstall <&-")).ok();
        assert!(!place.installed().exists());
    }
}

#[test]
fn uninstall_keeps_profiles_of_ones_own() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    place.install("").ok();
    place.file("dest/etc/runner-prep/profiles/mine.toml", b"summary = \"mine\"\n", 0o644);
    place.file("dest/etc/sudoers.d/gitlab-runner", b"# a rule\n", 0o440);
    place.install("--uninstall").ok().says("removed ").says("kept ");
    assert!(!place.installed().exists());
    let before = stamps(place.dest());
    place.install("--uninstall").ok().says("nothing to remove");
    assert_unchanged(&before, &stamps(place.dest()));

    // The empty directories that it made are its own.
    std::fs::remove_file(place.dest().join("etc/runner-prep/profiles/mine.toml")).unwrap();
    place.install("--uninstall").ok();
    assert!(!place.dest().join("etc/runner-prep").exists());
    assert!(place.dest().join("etc/sudoers.d/gitlab-runner").exists());
}

#[test]
fn a_timer_is_laid_out_for_a_package_and_removed_again() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    let units = |directory: &str| {
        let mut names: Vec<_> = std::fs::read_dir(place.dest().join(directory))
            .map(|all| all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    };
    let install = |arguments| run_limited(place.command(&["sh"], arguments).env("PREFIX", "/usr"));
    install("--timer").ok().says("systemctl enable --now runner-prep-check@PROFILE.timer");
    let directory = "usr/lib/systemd/system";
    assert_eq!(units(directory), ["runner-prep-check@.service", "runner-prep-check@.timer"]);
    let service = place.dest().join(directory).join("runner-prep-check@.service");
    assert_eq!(mode(&service), 0o644);
    assert!(
        std::fs::read_to_string(&service)
            .unwrap()
            .contains("\nExecStart=/usr/bin/runner-prep check --profile %i\n")
    );
    let before = stamps(place.dest());
    install("--timer=check").ok().says("nothing to do");
    assert_unchanged(&before, &stamps(place.dest()));

    install("--timer=apply").ok();
    assert_eq!(units(directory).len(), 4);
    // What an administrator adds is theirs.
    place.file("dest/etc/systemd/system/runner-prep-check@.timer.d/weekly.conf", b"[Timer]\n", 0o644);
    install("--uninstall").ok().says("runner-prep-apply@.timer");
    assert_eq!(units(directory), [""; 0]);
    assert_eq!(units("etc/systemd/system"), ["runner-prep-check@.timer.d"]);

    // For this machine alone, where administrators put theirs.
    place.install("--timer").ok();
    assert_eq!(units("etc/systemd/system").len(), 3);
}

#[test]
fn what_cannot_be_is_refused_before_anything_changes() {
    let place = Place::new();
    let before = listing(place.dest());
    place.install("").exit(2).says("neither the program nor its source");
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    place.install("apply").exit(2).says("./install.sh -- apply");
    place.install("--uninstall -- check --root /tree").exit(2).says("cannot be run");
    // It would be this machine that it changes, and not the tree.
    place.install("-- apply --profile dind").exit(2).says("-- apply --profile dind --root /");
    run_limited(place.command(&["sh"], "").env("PREFIX", "opt")).exit(2).says("no absolute path");
    place.install("--profile dind").exit(2).says("./install.sh -- apply --profile dind");
    place.install("--timer --profile").exit(2).says("needs a name");
    for name in ["/tmp/ours.toml", "shell,dind", "-x", "a@b", "'a b'"] {
        place.install(&format!("--timer --profile {name}")).exit(2).says("for a profile by its name");
    }
    place.install("--timer=undo").exit(2).says("unknown argument");
    place.install("--uninstall --timer").exit(2).says("goes with the program");
    assert_unchanged(&before, &listing(place.dest()));

    std::fs::create_dir_all(place.installed()).unwrap();
    place.install("").exit(2).says("is a directory");
    std::fs::remove_dir_all(place.dest().join("usr")).unwrap();
    std::fs::write(place.dest().join("usr"), "in the way").unwrap();
    place.install("").exit(2).says("cannot write in").says("PREFIX=");
    let help = place.install("--help");
    assert!(help.ok().stdout.contains("-- apply --profile dind"));
    assert!(help.stdout.lines().all(|line| line.len() <= 80), "{help}");
}

#[test]
fn without_a_program_cargo_builds_it() {
    let place = Place::new();
    place.file("src/Cargo.toml", CARGO_TOML.as_bytes(), 0o644);
    place.file("stubs/cargo", stub_cargo("99.1.0").as_bytes(), 0o755);
    place.install("-- check --root=/").exit(3).says("building with ").says("arguments: check");
    let built = std::fs::read_to_string(place.path("src/built-by")).unwrap();
    assert!(built.contains(": build --release --locked --target-dir "), "{built}");
    let before = stamps(place.dest());
    place.install("").ok().says("nothing to do");
    assert_unchanged(&before, &stamps(place.dest()));
}

#[test]
fn a_failed_build_leaves_the_former_program() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    place.install("").ok();
    std::fs::remove_file(place.path("src/runner-prep")).unwrap();
    place.file("src/Cargo.toml", CARGO_TOML.as_bytes(), 0o644);
    let failing = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'cargo 99.1.0'; exit; }\necho 'error: E0000' >&2\nexit 101\n";
    place.file("stubs/cargo", failing.as_bytes(), 0o755);
    let before = stamps(place.dest());
    place.install("").exit(2).says("E0000").says("nothing was installed");
    assert_unchanged(&before, &stamps(place.dest()));
}

#[test]
fn an_ordinary_user_is_told_what_to_do_about_an_old_rust() {
    if support::is_root() {
        // Root would look at the packages of the real distribution: that is tried on a host of its own.
        return;
    }
    let place = Place::new();
    place.file("src/Cargo.toml", CARGO_TOML.as_bytes(), 0o644);
    place.file("stubs/cargo", stub_cargo("99.0.9").as_bytes(), 0o755);
    place
        .install("")
        .exit(2)
        .says("99.0.9")
        .says("no Rust 99.1 or newer")
        .says("rustup")
        .says("release archive");
    assert_eq!(std::fs::read_dir(place.dest()).unwrap().count(), 0);
}

/// A host on which the user alice has a clone, and may use sudo.
fn host_of_alice() -> Option<HostBuilder> {
    if !have(&["sudo"]) {
        return None;
    }
    Some(
        Host::or_skip()?
            .account("alice", 1000, "/home/alice")
            .dir("/home/alice/src", 0o755)
            .own("/home/alice/src", 1000, 1000)
            .file_mode("/home/alice/src/install.sh", script(), 0o755)
            .file("/home/alice/src/Cargo.toml", CARGO_TOML)
            .file_mode("/etc/sudoers.d/alice", "alice ALL=(ALL) NOPASSWD: ALL\n", 0o440),
    )
}

/// Nothing in alice's home belongs to anybody else but what the test put there.
fn assert_only_hers(host: &Host) {
    let found =
        host.sh("find /home/alice ! -user alice ! -name Cargo.toml ! -name install.sh ! -path '*/.cargo*'");
    assert_eq!(found.ok().stdout, "");
}

#[test]
fn behind_sudo_the_callers_own_cargo_builds_as_the_caller() {
    let Some(host) = host_of_alice() else { return };
    let host = host.file_mode("/home/alice/.cargo/bin/cargo", stub_cargo("99.1.0"), 0o755).start();
    host.sh("chown -R alice: /home/alice/.cargo").ok();
    let run = host.as_account("alice", "cd src && sudo -n ./install.sh -- apply --profile dind");
    run.exit(3).says("as alice").says("arguments: apply --profile dind");
    assert!(host.text("/home/alice/src/built-by").starts_with("alice: build"));
    host.sh("stat -c '%U:%G %a' /usr/local/bin/runner-prep").ok().says("root:root 755");
    host.sh("stat -c '%U:%G %a' /etc/runner-prep/profiles").ok().says("root:root 755");
    assert_only_hers(&host);
}

#[test]
fn a_systems_cargo_builds_as_the_caller_and_as_root_leaves_nothing_in_anothers_clone() {
    let Some(host) = host_of_alice() else { return };
    let host = host.file_mode("/usr/local/bin/cargo", stub_cargo("99.2.0"), 0o755).start();
    host.as_account("alice", "cd src && sudo -n ./install.sh").ok().says("as alice");
    assert_only_hers(&host);
    // Root without sudo: there is no caller, and the clone is not root's.
    host.sh("rm -r /usr/local/bin/runner-prep /home/alice/src/target").ok();
    host.sh("/home/alice/src/install.sh").ok().says_not("as alice");
    host.sh("test -x /usr/local/bin/runner-prep; test ! -e /home/alice/src/target").ok();
    // Nor does what it built with stay anywhere else.
    assert_eq!(host.sh("ls /tmp").ok().stdout, "");
}

#[test]
fn a_cargo_of_somebody_else_never_runs_as_root() {
    let Some(host) = host_of_alice() else { return };
    let host = host
        .file_mode("/usr/local/bin/cargo", stub_cargo("99.2.0"), 0o755)
        .own("/usr/local/bin/cargo", 1000, 1000)
        .start();
    host.sh("/home/alice/src/install.sh").ok().says("as alice");
    assert!(host.text("/home/alice/src/built-by").starts_with("alice: build"));
}

/// A package manager that offers a version of each package and installs a cargo of that version.
fn with_apt(host: HostBuilder, offers: &[(&str, &str)]) -> HostBuilder {
    let mut answers = String::new();
    let mut numbered = String::new();
    let mut host = host;
    for (package, version) in offers {
        answers = answers + "'policy " + package + "') echo '  Candidate: " + version + "' ;;\n";
        if package.starts_with("cargo-") {
            numbered = numbered + package + " ";
        }
        let cargo = stub_cargo(&version.replace("1:", ""));
        host = host.file_mode(&format!("/opt/archive/{package}"), cargo, 0o755);
    }
    let policy =
        format!("#!/bin/sh\ncase \"$1 $2\" in\n{answers}search*) printf '%s - Rust\\n' {numbered};;\nesac\n");
    host.file_mode("/usr/local/bin/apt-cache", policy, 0o755).file_mode(
        "/usr/local/bin/apt-get",
        "#!/bin/sh
echo \"$DEBIAN_FRONTEND apt-get $*\" >> /var/log/apt
[ \"$1\" = install ] || exit 0
for name; do if [ -f /opt/archive/$name ]; then cp /opt/archive/$name /usr/local/bin/; fi; done\n",
        0o755,
    )
}

#[test]
fn the_distributions_rust_is_installed_when_it_is_new_enough() {
    let Some(host) = host_of_alice() else { return };
    let host = with_apt(host, &[("cargo", "1:99.1.0+dfsg1-2")]).start();
    host.sh("/home/alice/src/install.sh").ok().says("installing the packages");
    assert!(
        host.text("/var/log/apt")
            .contains("noninteractive apt-get install -y --no-install-recommends cargo\n")
    );
    host.sh("test -x /usr/local/bin/runner-prep").ok();
    let before = host.stamps();
    let again = host.sh("/home/alice/src/install.sh");
    again.ok().says("nothing to do");
    let changed = support::differences(&before, &host.stamps());
    assert!(
        changed.iter().all(|line| line.contains(" home/alice/src") || line.contains(" tmp ")),
        "{changed:#?}"
    );
}

#[test]
fn a_rust_that_is_too_old_is_not_installed() {
    let Some(host) = host_of_alice() else { return };
    let host = with_apt(host, &[("cargo", "1.63.0-1"), ("cargo-98.7", "98.7")])
        .file_mode("/root/.cargo/bin/cargo", stub_cargo("99.0.0"), 0o755)
        .start();
    let before = host.listing();
    let run = host.sh("/home/alice/src/install.sh");
    run.exit(2).says("99.0.0").says("1.63.0").says("no Rust 99.1 or newer").says("rustup");
    assert_unchanged(&before, &host.listing());
}

#[test]
fn a_host_without_rust_and_lists_is_told_what_to_do() {
    let Some(host) = host_of_alice() else { return };
    let host = with_apt(host, &[]).start();
    let run = host.sh("/home/alice/src/install.sh");
    run.exit(2).says("apt-get, which offers no cargo").says("what helps");
    assert_eq!(host.text("/var/log/apt"), " apt-get update\n");
}

#[test]
fn a_program_for_another_kind_of_machine_is_not_installed() {
    let Some(host) = host_of_alice() else { return };
    let host = host
        .file_mode("/srv/archive/install.sh", script(), 0o755)
        .file_mode("/srv/archive/runner-prep", "\x7fELF, of some other machine", 0o755)
        .start();
    let before = host.listing();
    host.sh("/srv/archive/install.sh").exit(2).says("does not run on this machine");
    assert_unchanged(&before, &host.listing());
}

#[test]
fn the_scripts_pass_shellcheck() {
    if !have(&["shellcheck"]) {
        return;
    }
    let mut command = Command::new("shellcheck");
    command
        .args(["install.sh", ".ci/run", "tests/run.sh", "tests/sudos.sh", "tests/oldest-rust.sh"])
        .args(["tests/bench/run", "tests/fuzz/run.sh", ".package/build"])
        .args(["tests/support/host.sh", "tests/support/systemd.sh"])
        .current_dir(source());
    run_limited(&mut command).ok();
}
