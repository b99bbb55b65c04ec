//! README's first command on a machine that has nothing: trees of Debian with no more than apt, which `tests/run.sh`
//! makes. The packages come out of the tree's own archive, so that no network is needed.
//!
//! `RUNNER_PREP_LONG=1` takes more releases, builds the program inside of some of them, and needs the network for that.

#![expect(clippy::disallowed_methods, reason = "the tests lay out a machine, and look at what is on it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

#[path = "../support/mod.rs"]
mod support;

mod machine;

use std::process::Command;

use machine::{FIRST, LIMIT, Machine, own_release, stripped};
use support::{assert_unchanged, long, run_limited, run_within, source};

/// What the first command leaves, as somebody would look for it.
fn assert_prepared(machine: &Machine) {
    machine
        .sh("runner-prep --version
            test -s /usr/local/share/man/man1/runner-prep.1.gz -a -s /usr/local/share/man/man1/runner-prep-apply.1.gz \
                || test -s /usr/share/man/man1/runner-prep.1.gz
            id gitlab-runner
            ssh-keygen -l -f /home/gitlab-runner/.ssh/id_ed25519.pub
            visudo -c
            su -s /bin/sh gitlab-runner -c 'sudo -n rsync --version && git --version && test -x /usr/bin/ssh'")
        .ok();
}

/// Nothing of ours is on the machine, whole or half: no program, page, unit, account or rule.
fn assert_nothing_installed(machine: &Machine) {
    machine
        .sh("! find / -xdev -path /srv -prune -o -name '*runner-prep*' -print | grep .
            ! grep gitlab-runner /etc/passwd; ! ls /etc/sudoers.d/gitlab-runner /tmp/* 2>/dev/null")
        .ok();
}

/// The first command twice: the second time nothing is changed.
fn first_command_twice(machine: &Machine, directory: &str) {
    let line = format!("cd {directory}; exec {FIRST}");
    let run = machine.sh(&line);
    assert!([0, 3].contains(&run.status), "{run}");
    run.says("missing: sudo rsync git ssh").says("changes made");
    assert_prepared(machine);
    let before = machine.stamps();
    let again = machine.sh(&line);
    assert_eq!(again.status, run.status, "{again}");
    again.says("nothing to do").says_not("missing:");
    assert_unchanged(&before, &machine.stamps());
}

#[test]
fn one_command_from_nothing_in_a_clone_and_in_the_archive() {
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    machine.clone_with_program();
    machine.sh("cd /srv/clone && ./install.sh --no-packages").exit(2);
    first_command_twice(&machine, "/srv/clone");
    let documents = machine
        .sh("find /usr/local/share -name '*runner-prep*' -type f | grep -c .")
        .ok()
        .stdout
        .trim()
        .to_owned();
    machine
        .sh("cd /srv/clone && ./install.sh --uninstall")
        .ok()
        .says(&format!("removed {documents} manual pages and completions"));
    machine.sh("! find /usr/local -name '*runner-prep*' | grep .").ok();

    // The same out of the archive, with the timer.
    machine.archive();
    let line = "cd /srv/runner-prep-*; ./install.sh --timer -- check --profile dind";
    let run = machine.sh(line);
    assert!([0, 3].contains(&run.status), "{run}");
    machine.sh("test -s /etc/systemd/system/runner-prep-check@.timer").ok();
}

#[test]
fn without_packages_the_line_that_it_names_does_all() {
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    machine.clone_with_program();
    let before = machine.stamps();
    let run = machine.sh("cd /srv/clone; ./install.sh --no-packages -- apply --profile dind");
    run.exit(2).says("missing: sudo rsync git ssh").says("nothing was changed");
    assert_unchanged(&before, &machine.stamps());
    let (_, line) = run.stderr.split_once("what installs all of it: ").unwrap();
    let line = line.lines().next().unwrap();
    machine.sh(line).ok();
    let run = machine.sh("cd /srv/clone; exec ./install.sh --no-packages -- apply --profile dind");
    assert!([0, 3].contains(&run.status), "{run}");
    assert_prepared(&machine);
}

#[test]
fn each_package_manager_is_called_by_its_own_words() {
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    machine.clone_with_program();
    machine.sh("rm /usr/bin/apt-get").ok();
    let install = format!("cd /srv/clone; exec {FIRST}");
    machine
        .sh(&install)
        .exit(2)
        .says("missing: sudo rsync git ssh")
        .says("no package manager that is known here");
    for (manager, words) in [
        ("dnf", "-y install sudo rsync git openssh-clients"),
        ("zypper", "-n install sudo rsync git openssh-clients"),
        ("apk", "--update-cache add sudo rsync git openssh-client"),
        ("pacman", "-Sy --noconfirm --needed sudo rsync git openssh"),
    ] {
        let place = format!("/usr/bin/{manager}");
        machine.put(&place, "#!/bin/sh\necho \"$*\" >/srv/called\necho 'no mirror'\nexit 1\n");
        machine.sh(&format!("chmod 0755 {place}")).ok();
        let run = machine.sh(&install);
        run.exit(2).says("no mirror").says(&format!("{manager} cannot install sudo rsync git"));
        assert_eq!(machine.sh("cat /srv/called; rm /srv/called").ok().stdout, format!("{words}\n"));
        machine.sh(&format!("rm {place}")).ok();
    }
    assert_nothing_installed(&machine);
}

#[test]
fn a_distribution_without_a_new_rust_says_so_before_anything_is_changed() {
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    // Its archive has no Rust at all.
    machine.clone_alone();
    machine.sh("apt-get update").ok();
    let before = machine.stamps();
    let run = machine.sh(&format!("cd /srv/clone; exec {FIRST}"));
    run.exit(2).says("no Rust").says("release archive").says(".deb").says("nothing was changed");
    // Its cache is apt's own.
    let changed = support::differences(&before, &machine.stamps());
    assert!(
        changed.iter().all(|line| line.contains("var/cache/apt") || line.contains("var/lib/apt")),
        "{changed:#?}"
    );
    assert_nothing_installed(&machine);
}

/// Each is a machine on which nothing can be installed: what makes it one, and what has to be said.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        "no network",
        "echo 'deb [trusted=yes] http://127.0.0.1:9/debian stable main' >/etc/apt/sources.list",
        &["Failed to fetch", "apt-get cannot install", "runner-prep was not installed"],
    ),
    (
        "an interrupted package manager",
        "touch /var/lib/dpkg/updates/0001",
        &["dpkg --configure -a", "apt-get cannot install", "runner-prep was not installed"],
    ),
    (
        "a full disk",
        "apt-get update -qq; cat /dev/zero >/srv/filler 2>/dev/null || :",
        &["space", "apt-get cannot install", "runner-prep was not installed"],
    ),
    (
        "an older C library",
        // The oldest version that the program asks for becomes one that no library has.
        "sed -i 's/GLIBC_2\\.34/GLIBC_9.99/g' /srv/clone/runner-prep",
        &[
            "does not run on this machine",
            "glibc 9.99 or newer",
            "this machine has glibc 2.",
            "nothing was installed",
        ],
    ),
    (
        "a program for another machine",
        "printf '\\177ELF of another machine' >/srv/clone/runner-prep",
        &["does not run on this machine", "nothing was installed"],
    ),
];

#[test]
fn where_nothing_can_be_installed_nothing_is_half_installed() {
    for (name, makes, says) in BAD {
        let Some(machine) = Machine::or_skip(&own_release()) else { return };
        machine.clone_with_program();
        let run = machine.sh(&format!("{makes}\ncd /srv/clone; exec {FIRST}"));
        assert_eq!(run.status, 2, "{name}: {run}");
        for text in *says {
            assert!(run.contains(text), "{name}: nothing says `{text}`: {run}");
        }
        assert_nothing_installed(&machine);
    }
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    machine.clone_with_program();
    machine.read_only("/usr");
    machine
        .sh(&format!("cd /srv/clone; exec {FIRST}"))
        .exit(2)
        .says("cannot write in /usr/local/bin")
        .says("read-only");
    assert_nothing_installed(&machine);
}

#[test]
fn a_disk_that_fills_up_while_files_are_laid_out_keeps_the_former_program() {
    let Some(machine) = Machine::or_skip(&own_release()) else { return };
    machine.clone_with_program();
    // Tools that are there, so that no package is wanted.
    machine.sh("for name in sudo rsync git ssh; do ln -s /bin/true /usr/bin/$name; done").ok();
    let run = machine.sh("cat /dev/zero >/srv/filler 2>/dev/null || :
        truncate -s -1M /srv/filler; cd /srv/clone; exec ./install.sh");
    run.exit(2).says("No space left on device").says("nothing was installed");
    assert_nothing_installed(&machine);
    // With room for the program, but not for its pages, neither is there.
    let size = std::fs::metadata(machine.path("/srv/clone/runner-prep")).unwrap().len();
    let run = machine
        .sh(&format!("truncate -s -{} /srv/filler; cd /srv/clone; exec ./install.sh", size - 1_000_000));
    run.exit(2).says("No space left on device");
    assert_nothing_installed(&machine);
    machine
        .sh("rm /srv/filler; cd /srv/clone; exec ./install.sh")
        .ok()
        .says("installed /usr/local/bin/runner-prep");
}

/// A `.deb` brings sudo, rsync, git and the SSH client with it.
#[test]
fn apt_installs_the_package_with_all_that_it_needs() {
    let tool = support::made("tools/bin/cargo-deb");
    if !long() || !tool.is_file() {
        support::skipped("RUNNER_PREP_LONG=1 tests/run.sh builds cargo-deb, which makes the package");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut build = Command::new(source().join(".package/build"));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let path = [tool.parent().unwrap(), std::path::Path::new(&cargo).parent().unwrap()]
        .map(|dir| dir.display().to_string());
    build
        .arg(place.path())
        .env("BINARY", stripped(place.path()))
        .env("PATH", format!("{}:{}", path.join(":"), support::PATH));
    run_within(LIMIT, &mut build).ok();
    for release in ["bullseye", "bookworm", "trixie", "sid"] {
        let Some(machine) = Machine::or_skip(release) else { return };
        let mut copy = Command::new("/bin/sh");
        copy.args(["-euc", "cp \"$1\"/*.deb \"$2\"", "sh"]).arg(place.path()).arg(machine.path("/srv"));
        run_limited(&mut copy).ok();
        let install =
            machine.sh("apt-get update; apt-get install -y --no-install-recommends /srv/runner-prep_*.deb");
        if install.status != 0 {
            // It was built with a newer C library than the release has.
            install.says("Depends: libc6 (>= ");
            assert_nothing_installed(&machine);
            continue;
        }
        let run = machine.sh("exec runner-prep apply --profile dind");
        assert!([0, 3].contains(&run.status), "{release}: {run}");
        assert_prepared(&machine);
    }
}

/// From the source, as in README: on each release that has a Rust for it. It takes many minutes.
#[test]
fn one_command_builds_it_from_nothing_on_debian_13() {
    builds_it_from_nothing("trixie");
}

#[test]
fn one_command_builds_it_from_nothing_on_debian_12() {
    builds_it_from_nothing("bookworm");
}

#[test]
fn one_command_builds_it_from_nothing_on_sid() {
    builds_it_from_nothing("sid");
}

/// Its archive has no Rust that is new enough, or names one that is not there any more.
#[test]
fn debian_11_has_no_rust_and_says_so_at_once() {
    let Some(machine) = connected("bullseye") else { return };
    machine.online(&format!("cd /srv/clone; exec {FIRST}")).exit(2).says("release archive");
    assert_nothing_installed(&machine);
    runs_the_built_program("bullseye");
}

fn connected(release: &str) -> Option<Machine> {
    if !long() {
        support::skipped("RUNNER_PREP_LONG=1 builds the program on bare machines, through the network");
        return None;
    }
    let machine = Machine::or_skip(release)?;
    machine.clone_alone();
    machine.connect();
    Some(machine)
}

fn builds_it_from_nothing(release: &str) {
    let Some(machine) = connected(release) else { return };
    let run = machine.online(&format!("cd /srv/clone; exec {FIRST}"));
    assert!([0, 3].contains(&run.status), "{run}");
    run.says("missing: sudo rsync git ssh")
        .says("installing the packages")
        .says("building with /usr/bin/cargo");
    assert_prepared(&machine);
    machine.online(&format!("cd /srv/clone; exec {FIRST}")).exit(run.status).says("nothing to do");
    runs_the_built_program(release);
}

/// The program of this machine, where the release's C library is new enough; else it says so.
fn runs_the_built_program(release: &str) {
    let Some(machine) = Machine::or_skip(release) else { return };
    machine.clone_with_program();
    let run = machine.sh(&format!("cd /srv/clone; exec {FIRST}"));
    if run.status == 2 {
        run.says("needs the C library glibc").says("nothing was installed");
        assert_nothing_installed(&machine);
    } else {
        assert!([0, 3].contains(&run.status), "{run}");
        assert_prepared(&machine);
    }
}
