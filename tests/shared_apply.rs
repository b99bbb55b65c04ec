//! The whole program on a `config.toml` that others write to, can't be replaced, or was left half written.

#![expect(clippy::disallowed_methods, reason = "a test plays the other program, and looks at files itself")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has to say why"
)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::{Host, Run, Tree, fixture, have, long, program};

const CONFIG: &str = "etc/gitlab-runner/config.toml";
const APPLY: [&str; 5] = ["apply", "--profile", "dind", "--only", "config"];
const CHECK: [&str; 5] = ["check", "--profile", "dind", "--only", "config"];

fn tree() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

fn host() -> Option<Host> {
    let host = Host::or_skip()?.account("gitlab-runner", 998, "/home/gitlab-runner");
    Some(host.config_toml(fixture("config-docker-runner.toml")).start())
}

/// Whether strace can tell which file a call is about: the program lets nobody but root look into it.
fn can_fail_calls() -> bool {
    if !support::is_root() {
        support::skip("strace sees the handles of the program as root only");
        return false;
    }
    have(&["strace"])
}

/// The program on the tree, with system calls on `config.toml` and its directory that fail as told.
fn run_with(tree: &Tree, faults: &[&str], arguments: &[&str]) -> Run {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    // The journal has files of its own.
    for path in [CONFIG, "etc/gitlab-runner"] {
        command.arg("-P").arg(tree.path(path));
    }
    for fault in faults {
        command.arg("-e").arg(format!("inject={fault}"));
    }
    command
        .arg(program())
        .args(arguments)
        .arg("--root")
        .arg(tree.top())
        .env_clear()
        .env("PATH", support::PATH);
    tree.run_command(&mut command)
}

#[track_caller]
fn assert_tidy(tree: &Tree) {
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(tree.path(path)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("etc/gitlab-runner"), ["config.toml"]);
    let left: Vec<_> = names("var/lib/runner-prep")
        .into_iter()
        .filter(|name| name.contains("in-place") || name.contains("conflict") || name.starts_with('.'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

fn token(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("token = \"glrt-CANARY-")?;
    rest.split('"').next()?.parse().ok()
}

/// What gitlab-runner does at each rotation of a token, with `privileged` switched off now and then.
fn run_writer(path: &Path, updates: u64) -> u64 {
    let mut gone = 0;
    for update in 1..=updates {
        let text = fs::read_to_string(path).unwrap();
        let last = token(&text).unwrap_or_else(|| panic!("update {update} finds a torn file"));
        gone += u64::from(last != update - 1);
        thread::sleep(Duration::from_millis(update % 7));
        let text = text.replace(&format!("CANARY-{last}\""), &format!("CANARY-{update}\""));
        let text =
            if update % 8 == 0 { text.replace("privileged = true", "privileged = false") } else { text };
        fs::write(path, text).unwrap();
        thread::sleep(Duration::from_millis(3 + update % 23));
    }
    gone + u64::from(token(&fs::read_to_string(path).unwrap()) != Some(updates))
}

/// The fixture with a token that counts.
fn counted() -> String {
    String::from_utf8(fixture("config-docker-runner.toml")).unwrap().replacen(
        "CANARY-docker-1",
        "CANARY-0",
        1,
    )
}

/// Lets the program and the writer go at the same file; returns the writer's last update.
fn race(path: &Path, apply: &dyn Fn() -> Run) -> u64 {
    let (updates, done) = (if long() { 2_500 } else { 250 }, AtomicBool::new(false));
    let (mut made, mut reported) = (0, 0);
    let gone = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let gone = run_writer(path, updates);
            done.store(true, Ordering::Release);
            gone
        });
        while !done.load(Ordering::Acquire) && !writer.is_finished() {
            let run = apply();
            if run.status == 0 {
                made += u64::from(run.json()["changed"] == true);
            } else {
                let code = run.exit(2).json()["warnings"][0]["code"].clone();
                // What stays torn for three looks is refused.
                let known = ["changed-meanwhile", "not-converged", "config-empty", "config-invalid"];
                assert!(known.iter().any(|known| code == *known), "{run}");
                reported += 1;
            }
        }
        writer.join().unwrap()
    });
    println!("{updates} updates of the writer, {gone} lost; {made} of ours made, {reported} reported");
    assert_eq!(gone, 0);
    assert!(made + reported > 0);
    updates
}

#[test]
fn apply_loses_no_update_of_gitlab_runner() {
    let tree = tree().config_toml(counted());
    let updates = race(&tree.path(CONFIG), &|| tree.run(&[&APPLY[..], &["--json"]].concat()));
    tree.run(&APPLY).ok();
    tree.run(&CHECK).ok();
    assert_eq!(token(&tree.text(CONFIG)), Some(updates));
    assert_tidy(&tree);
}

#[test]
fn apply_in_place_loses_no_update_of_gitlab_runner() {
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(counted()).start();
    host.sh("mount --bind /etc/gitlab-runner/config.toml /etc/gitlab-runner/config.toml").ok();
    let path = host.path("/etc/gitlab-runner/config.toml");
    let inode = fs::metadata(&path).unwrap().ino();
    let updates = race(&path, &|| host.prep(&[&APPLY[..], &["--json"]].concat()));
    host.prep(&APPLY).ok();
    host.prep(&CHECK).ok();
    assert_eq!(token(&fs::read_to_string(&path).unwrap()), Some(updates));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    host.sh("! ls /var/lib/runner-prep | grep -E 'in-place|conflict'").ok();
}

#[test]
fn file_systems_without_exchange_or_leases_are_served() {
    if !can_fail_calls() {
        return;
    }
    for (faults, detail) in [
        (&["renameat2:error=EINVAL"][..], None),
        (&["fcntl:error=EINVAL"], Some("no leases")),
        (&["renameat2:error=EINVAL", "fcntl:error=ENOLCK"], Some("no leases")),
        (&["renameat2:error=EBUSY:when=1"], Some("written in place")),
        (
            &["renameat2:error=EBUSY:when=1", "fcntl:error=EINVAL", "fallocate:error=EOPNOTSUPP"],
            Some("written in place"),
        ),
    ] {
        let tree = tree();
        let (before, stat) = (tree.text(CONFIG), fs::metadata(tree.path(CONFIG)).unwrap());
        let run = run_with(&tree, faults, &[&APPLY[..], &["-v"]].concat());
        run.ok();
        if let Some(detail) = detail {
            run.says(detail);
        }
        tree.run(&CHECK).ok();
        assert_ne!(tree.text(CONFIG), before);
        let now = fs::metadata(tree.path(CONFIG)).unwrap();
        assert_eq!((now.mode(), now.uid(), now.gid(), now.nlink()), (stat.mode(), stat.uid(), stat.gid(), 1));
        assert!((now.mtime(), now.mtime_nsec()) > (stat.mtime(), stat.mtime_nsec()));
        assert_eq!(now.ino() == stat.ino(), faults[0].contains("EBUSY"));
        assert_tidy(&tree);
    }
}

#[test]
fn a_full_disk_or_a_broken_one_leaves_the_old_file() {
    if !can_fail_calls() {
        return;
    }
    for faults in [
        &["renameat2:error=EIO:when=1"][..],
        &["renameat2:error=EINVAL", "renameat:error=EIO:when=1"],
        &["renameat2:error=EBUSY:when=1", "fallocate:error=ENOSPC"],
        &["renameat2:error=EBUSY:when=1", "pwrite64:error=EIO:when=1"],
        &["renameat2:error=EBUSY:when=1", "ftruncate:error=EIO:when=1"],
    ] {
        let tree = tree();
        let before = tree.text(CONFIG);
        run_with(&tree, faults, &APPLY).exit(2);
        assert_eq!(tree.text(CONFIG), before, "{faults:?}");
        assert_tidy(&tree);
        tree.run(&APPLY).ok();
        tree.run(&CHECK).ok();
    }
}

#[test]
fn a_write_in_place_that_was_killed_is_repaired_by_the_next_apply() {
    if !can_fail_calls() {
        return;
    }
    let busy = "renameat2:error=EBUSY:when=1";
    // Before the first byte; after some, so that the rest is a mixture; after the last.
    for (faults, torn) in [
        (&[busy, "fallocate:signal=KILL"][..], false),
        (&[busy, "pwrite64:retval=600:when=1", "ftruncate:signal=KILL"], true),
        (&[busy, "ftruncate:signal=KILL"], false),
        (&[busy, "utimensat:signal=KILL"], false),
    ] {
        let tree = tree();
        let before = tree.text(CONFIG);
        run_with(&tree, faults, &APPLY).exit(137);
        let now = tree.text(CONFIG);
        let state = tree.path("var/lib/runner-prep");
        let copies: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap()).collect();
        let copy = copies.iter().find(|entry| entry.file_name().to_string_lossy().starts_with("in-place-"));
        assert_eq!(copy.expect("a copy for repair").metadata().unwrap().mode() & 0o7777, 0o600);

        tree.run(&CHECK).exit(2).says("killed while it wrote a file in place");
        assert_eq!(tree.text(CONFIG), now);
        let run = tree.run(&APPLY);
        run.ok();
        if torn {
            run.says("its former bytes are back");
            assert_ne!(now, before);
        }
        tree.run(&CHECK).ok();
        assert_tidy(&tree);
        let done = tree.text(CONFIG);
        let fresh = self::tree();
        fresh.run(&APPLY).ok();
        assert_eq!(done, fresh.text(CONFIG));
    }
    // What gitlab-runner wrote since stays.
    let tree = tree();
    run_with(&tree, &[busy, "pwrite64:retval=600:when=1", "ftruncate:signal=KILL"], &APPLY).exit(137);
    let theirs =
        String::from_utf8(fixture("config-docker-runner.toml")).unwrap().replace("docker-1", "rotated");
    tree.put(CONFIG, &theirs);
    tree.run(&APPLY).ok().says_not("former bytes");
    assert!(tree.text(CONFIG).contains("CANARY-rotated"));
    tree.run(&CHECK).ok();
    assert_tidy(&tree);
}

#[test]
fn a_bind_mounted_file_is_written_in_place() {
    let Some(host) = host() else { return };
    host.sh("mount --bind /etc/gitlab-runner/config.toml /etc/gitlab-runner/config.toml").ok();
    let inode = host.sh("stat -c %i:%a /etc/gitlab-runner/config.toml").ok().stdout.clone();
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says("written in place");
    host.prep(&CHECK).ok();
    assert_eq!(host.sh("stat -c %i:%a /etc/gitlab-runner/config.toml").ok().stdout, inode);
    host.sh("test \"$(ls -A /etc/gitlab-runner)\" = config.toml").ok();
    host.sh("! ls /var/lib/runner-prep | grep in-place").ok();
}

#[test]
fn a_container_that_was_given_the_file_alone_sees_the_change() {
    let Some(host) = host() else { return };
    host.sh("touch /srv/config.toml
        unshare --mount sh -c 'mount --bind /etc/gitlab-runner/config.toml /srv/config.toml; touch /run/ready; sleep 300; :' &
        echo $! > /run/container
        while [ ! -e /run/ready ]; do sleep 0.01; done")
        .ok();
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says("has it as a mount of its own");
    host.prep(&CHECK).ok();
    host.sh(
        "nsenter --mount --target $(cat /run/container) cmp /srv/config.toml /etc/gitlab-runner/config.toml",
    )
    .ok();
    host.sh("nsenter --mount --target $(cat /run/container) grep 'privileged = true' /srv/config.toml").ok();
    // And what the container writes arrives.
    host.sh("nsenter --mount --target $(cat /run/container) sh -c 'echo \"# theirs\" >> /srv/config.toml'")
        .ok();
    host.sh("grep theirs /etc/gitlab-runner/config.toml").ok();
}

/// What a job runs to make `apply` write in place, or to make it look for ever, changes nothing.
#[test]
fn what_an_account_mounts_in_its_own_namespaces_does_not_count() {
    let Some(host) = host() else { return };
    host.sh("chmod 0755 /etc/gitlab-runner; install -d -m 0777 /run/of-jobs").ok();
    let spy = "touch /tmp/spy; unshare -Urm sh -c '
        mount --bind /etc/gitlab-runner/config.toml /tmp/spy && touch /run/of-jobs/ready; sleep 300; :' &
        sleep 0.5";
    host.as_account("gitlab-runner", spy).ok();
    host.sh("test -e /run/of-jobs/ready").ok();
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says_not("in place").says_not("/proc");
}

/// As many mounts as a namespace may have, in three of them that root made: no more is read than there is room for,
/// and the file is written in the way that is right whoever has it mounted.
#[test]
fn a_look_at_mounts_without_end_ends() {
    if !can_fail_calls() {
        return;
    }
    let Some(host) = host() else { return };
    host.sh("mkdir /srv/many; mount -t tmpfs many /srv/many; for n in 1 2 3; do
        unshare -m sh -c 'cd /srv/many; mkdir -p a
            for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do mkdir -p b$i; mount --rbind /srv/many /srv/many/b$i; done
            touch /run/ready'$n'; sleep 300; :' &
        done; until [ -e /run/ready1 -a -e /run/ready2 -a -e /run/ready3 ]; do sleep 0.05; done")
        .ok();
    let mut arguments =
        vec!["-f", "-qq", "-y", "-e", "trace=read", "-o", "/run/log", "/opt/under-test/runner-prep"];
    arguments.extend(APPLY);
    arguments.push("-v");
    let mut strace = host.command("strace");
    host.prep_command(strace.args(arguments)).ok().says("in place").says("more processes and mounts");
    let log = host.text("/run/log");
    let of_others = log.lines().filter(|line| line.contains("/mountinfo>"));
    let read: u64 = of_others.filter_map(|line| line.rsplit("= ").next()?.parse::<u64>().ok()).sum();
    assert!((1 << 20..9 << 20).contains(&read), "{read} bytes");
}

#[test]
fn a_directory_that_is_mounted_elsewhere_takes_the_usual_way() {
    let Some(host) = host() else { return };
    host.sh("mkdir /srv/runner; mount --bind /etc/gitlab-runner /srv/runner").ok();
    let inode = host.sh("stat -c %i /etc/gitlab-runner/config.toml").ok().stdout.clone();
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says_not("in place");
    assert_ne!(host.sh("stat -c %i /srv/runner/config.toml").ok().stdout, inode);
}

#[test]
fn tmpfs_takes_the_usual_way() {
    let Some(host) = host() else { return };
    host.sh("cp -a /etc/gitlab-runner /srv/saved
        mount -t tmpfs -o mode=0700 tmpfs /etc/gitlab-runner
        cp -a /srv/saved/config.toml /etc/gitlab-runner/
        setfacl -m u:daemon:r /etc/gitlab-runner/config.toml")
        .ok();
    let acl = host.sh("getfacl -c /etc/gitlab-runner/config.toml; stat -c %a /etc/gitlab-runner/config.toml");
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says_not("in place").says_not("no leases");
    host.prep(&CHECK).ok();
    let now = host.sh("getfacl -c /etc/gitlab-runner/config.toml; stat -c %a /etc/gitlab-runner/config.toml");
    assert_eq!(now.ok().stdout, acl.ok().stdout);
    host.sh("test \"$(ls -A /etc/gitlab-runner)\" = config.toml").ok();
}

/// As in an image: the file lies in a layer that can't be written.
#[test]
fn overlayfs_takes_the_usual_way_also_for_a_file_of_a_lower_layer() {
    let Some(host) = host() else { return };
    host.sh("mkdir /srv/upper /srv/work
        mount -t tmpfs tmpfs /srv/work; mkdir /srv/work/up /srv/work/work
        mount -t overlay -o lowerdir=/etc/gitlab-runner,upperdir=/srv/work/up,workdir=/srv/work/work overlay /etc/gitlab-runner")
        .ok();
    host.prep(&[&APPLY[..], &["-v"]].concat()).ok().says_not("in place");
    host.prep(&CHECK).ok();
    host.sh("test \"$(ls -A /etc/gitlab-runner)\" = config.toml; test \"$(stat -c %a /etc/gitlab-runner/config.toml)\" = 600").ok();
    // Now it lies in the upper layer.
    host.sh("sed -i 's/privileged = true/privileged = false/' /etc/gitlab-runner/config.toml").ok();
    host.prep(&APPLY).ok();
    host.prep(&CHECK).ok();
    host.prep(&["undo"]).ok();
    host.sh("test \"$(ls -A /etc/gitlab-runner)\" = config.toml").ok();
}

/// With any name and arguments, and through a program that has root's rights, it is still the account's.
#[test]
fn a_command_of_an_account_is_not_taken_for_gitlab_runner() {
    let Some(host) = host() else { return };
    let setuid = "mkfifo /tmp/hold; for name in gitlab-runner /usr/bin/gitlab-runner; do
            bash -c \"exec -a $name sudo -S -k register --config /etc/gitlab-runner/config.toml\" <>/tmp/hold &
            bash -c \"exec -a $name bash -s register\" <>/tmp/hold &
        done
        cp /bin/bash /tmp/gitlab-runner; /tmp/gitlab-runner -s register <>/tmp/hold &
        sleep 0.5; ps -e -o euid,args | grep '^ *0 gitlab-runner.*register'";
    host.as_account("gitlab-runner", setuid).ok();
    host.prep(&APPLY).ok().says_not("register");
}

#[test]
fn a_command_that_will_write_the_file_is_named() {
    let Some(host) = host() else { return };
    host.sh(
        "cp /bin/bash /srv/gitlab-runner; /srv/gitlab-runner -c 'touch /run/ready; sleep 300; :' register &
        while [ ! -e /run/ready ]; do sleep 0.01; done",
    )
    .ok();
    let run = host.prep(&[&APPLY[..], &["--json"]].concat());
    let warnings = run.ok().json()["warnings"].clone();
    assert!(
        warnings.as_array().unwrap().iter().any(|warning| warning["code"] == "runner-command-running"),
        "{warnings}"
    );
    // With nothing to write nobody looks.
    host.prep(&APPLY).ok().says_not("gitlab-runner register");
}
