//! The program has to be built: with which cargo, as whom.

use super::support::{self, Host, HostBuilder, assert_unchanged, have, stamps};
use super::{CARGO_TOML, PROGRAM, Place, script, stub_cargo};

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
        return support::skipped(
            "root would look at the machine's own packages; a host of its own tries that",
        );
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

/// Each is a cargo that is not root's at the end of the way to it.
#[test]
fn a_cargo_of_nobody_known_or_behind_a_link_never_runs_as_root() {
    let Some(host) = host_of_alice() else { return };
    let host = host
        .file_mode("/home/alice/cargo", stub_cargo("99.2.0"), 0o755)
        .own("/home/alice/cargo", 4242, 4242)
        .start();
    host.sh("ln -s /home/alice/cargo /usr/local/bin/cargo; chmod 0777 /home/alice/src").ok();
    host.sh("/home/alice/src/install.sh --no-packages").exit(2);
    host.sh("! test -e /home/alice/src/built-by").ok();
    host.sh("chown alice: /home/alice/cargo; chmod 0755 /home/alice/src").ok();
    host.sh("/home/alice/src/install.sh").ok().says("as alice");
    assert!(host.text("/home/alice/src/built-by").starts_with("alice: build"));
}

/// As on Alpine, whose tools are busybox's alone.
#[test]
fn the_tools_of_busybox_are_enough() {
    let Some(busybox) = support::tool("busybox") else {
        return support::skipped("there is no busybox");
    };
    let place = Place::new();
    place.file("src/Cargo.toml", CARGO_TOML.as_bytes(), 0o644);
    place.file("stubs/cargo", stub_cargo("99.10.0").as_bytes(), 0o755);
    let applets = support::run_limited(std::process::Command::new(&busybox).arg("--list"));
    for applet in applets.ok().stdout.lines() {
        std::os::unix::fs::symlink(&busybox, place.path("stubs").join(applet)).unwrap();
    }
    place.install("").ok().says("building with ");
    place.install("").ok().says("nothing to do").says_not("invalid option");
    place.install("--uninstall").ok().says("removed ");
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

/// Package managers are root's: whoever installs into their own home gets the command.
#[test]
fn an_ordinary_user_is_told_the_command_that_installs_what_is_missing() {
    let Some(host) = host_of_alice() else { return };
    let host = with_apt(host, &[("cargo", "99.1.0-2")]).start();
    let run = host.as_account("alice", "PREFIX=$HOME/.local src/install.sh");
    run.exit(2).says("missing: cargo").says("sudo apt-get install -y --no-install-recommends cargo");
    host.sh("! test -e /var/log/apt; ! test -e /home/alice/.local").ok();
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
