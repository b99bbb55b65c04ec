//! The program lies beside the script: what is installed, kept and removed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::support::{self, assert_unchanged, have, listing, run_limited, source, stamps};
use super::{PROGRAM, Place, mode};

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
fn a_signal_leaves_nothing_or_all_of_it() {
    let place = Place::new();
    place.file("src/runner-prep", PROGRAM.as_bytes(), 0o755);
    let interrupt = |tool: &str| {
        let stub = format!("#!/bin/sh\n/bin/{tool} \"$@\" && kill -TERM $PPID\n");
        place.file(&format!("stubs/{tool}"), stub.as_bytes(), 0o755);
    };
    interrupt("cp");
    place.install("").exit(130);
    assert_eq!(std::fs::read_dir(place.dest()).unwrap().count(), 0);
    std::fs::remove_file(place.path("stubs/cp")).unwrap();
    interrupt("mv");
    place.install("").ok();
    std::fs::remove_file(place.path("stubs/mv")).unwrap();
    place.install("").ok().says("nothing to do");
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
    run_limited(place.command(&["sh"], "").env("PREFIX", "opt")).exit(2).says("not an absolute path");
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
fn the_scripts_pass_shellcheck() {
    if !have(&["shellcheck"]) {
        return;
    }
    let mut command = Command::new("shellcheck");
    command
        .args([
            "install.sh",
            ".ci/run",
            "tests/run.sh",
            "tests/tools.sh",
            "tests/sudos.sh",
            "tests/oldest-rust.sh",
            "tests/bare.sh",
        ])
        .args(["tests/bench/run", "tests/fuzz/run.sh", ".package/build"])
        .args(["tests/support/host.sh", "tests/support/systemd.sh"])
        .current_dir(source());
    run_limited(&mut command).ok();
}
