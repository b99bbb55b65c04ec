//! What a job of ill will gets: nothing.

use super::{JOB, TARGET, job, nobody_left, nothing_gained, outside, with_every_sudo};
use crate::support::{Host, assert_unchanged, have};

/// Runs an attack and demands that nothing was gained, in the target or outside.
fn attack(host: &Host, script: &str) -> i32 {
    let before = outside(host);
    let run = job(host, script);
    nothing_gained(host);
    assert_unchanged(&before, &outside(host));
    run.status
}

#[test]
fn s1_s2_set_id_bits_and_wide_modes_do_not_arrive() {
    with_every_sudo(|host| {
        let script = "cp /bin/bash suid; chmod 4755 suid; cp /bin/bash sgid; chmod 2755 sgid; cp /bin/bash both; chmod 6777 both
            mkdir wide; chmod 7777 wide; mkdir sticky; chmod 1777 sticky; touch w; chmod 0666 w; chmod 0777 .
            sudo -n runner-deploy app; test -x /srv/www/app/suid; test -d /srv/www/app/wide
            ! /srv/www/app/suid -p -c 'test $(id -u) != $(id -ru)'";
        assert_eq!(attack(host, script), 0);
        // Onto what is there already, and by way of a file that grew its bits later.
        host.sh(&format!("chmod 0755 {TARGET}/suid")).ok();
        assert_eq!(attack(host, "echo more >> suid; chmod 6777 suid; sudo -n runner-deploy app"), 0);
    });
}

#[test]
fn s3_links_out_of_the_target_do_not_arrive() {
    with_every_sudo(|host| {
        let script = "ln -s /etc/shadow a; ln -s /etc b; ln -s ../../../etc/shadow c; mkdir d; ln -s ../../x d/e; ln -s d/../../x f
            ln -s /proc/self/root g; ln -s d h; touch ok; sudo -n runner-deploy app; test -e /srv/www/app/ok; test -L /srv/www/app/h
            # A directory that becomes a link, and then is written through.
            rm -r d; ln -s /etc d; sudo -n runner-deploy app
            rm d; mkdir d; touch d/evil; sudo -n runner-deploy app";
        assert_eq!(attack(host, script), 0);
        assert!(!host.path("/etc/evil").exists());
    });
}

#[test]
fn s4_what_root_may_read_and_the_account_may_not_is_not_read() {
    with_every_sudo(|host| {
        host.sh(&format!("echo 'root:secret' > {JOB}/roots; chmod 0600 {JOB}/roots")).ok();
        // By a name of the file's own, by a hard link where the kernel lets it, by a link to it.
        attack(
            host,
            "ln /etc/shadow hard 2>/dev/null || true; ln -s /etc/shadow soft; sudo -n runner-deploy app",
        );
        host.sh(&format!("test ! -e {TARGET}/roots")).ok();
    });
}

#[test]
fn s5_b6_b7_a_link_as_the_checkout_shows_what_the_account_may_read() {
    with_every_sudo(|host| {
        host.sh("echo root:secret > /root/secret").ok();
        for place in ["/root", "/etc/sudoers.d", "/proc/1/root/root"] {
            let script = format!("ln -sfn {place} link; cd link && sudo -n runner-deploy app");
            assert_ne!(attack(host, &script), 0, "{place}");
        }
        // The link is exchanged while the job stands in the directory.
        let script = "mkdir -p real; cd real; touch file; cd ..; mv real moved; ln -s /root real; cd moved
            sudo -n runner-deploy app";
        assert_eq!(attack(host, script), 0);
        // The directory is gone, or can't be read any more.
        assert_ne!(attack(host, "mkdir gone; cd gone; rmdir ../gone; sudo -n runner-deploy app"), 0);
        assert_ne!(attack(host, "mkdir shut; cd shut; chmod 0 ../shut; sudo -n runner-deploy app"), 0);
        job(host, "chmod 0700 shut; rmdir shut").ok();
    });
}

#[test]
fn s6_fifos_sockets_and_devices_hold_nothing_up() {
    with_every_sudo(|host| {
        let script = "mkfifo fifo; mkfifo .rsync-filter; touch file
            perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local=>\"socket\", Listen=>1)' || true
            sudo -n runner-deploy app; test -e /srv/www/app/file; test ! -e /srv/www/app/fifo";
        assert_eq!(attack(host, script), 0);
        host.sh(&format!("mknod {JOB}/null c 1 3; chmod 0666 {JOB}/null")).ok();
        assert_eq!(attack(host, "sudo -n runner-deploy app"), 0);
        // A FIFO in the target in the place of a file is none of the account's doing.
        host.sh(&format!("rm {TARGET}/file; mkfifo {TARGET}/file")).ok();
        job(host, "sudo -n runner-deploy app").ok();
        nothing_gained(host);
    });
}

#[test]
fn s7_r8_other_arguments_are_refused() {
    with_every_sudo(|host| {
        job(host, "touch file").ok();
        for arguments in [
            "",
            "app x",
            "'app x'",
            "app --root /tmp",
            "'app --root=/tmp'",
            "--root / app",
            "-e sh",
            "--help",
            "--version",
            "'app\n'",
            "'\napp'",
            "'app '",
            "' app'",
            "''",
            "app ''",
            "'app' '' ''",
            "App",
            "other",
            "../app",
            "/etc/runner-prep/deploy/app.toml",
            "'*'",
            "'a?p'",
            "'app\\'",
            "\"$(printf 'app\\303\\251')\"",
        ] {
            assert_ne!(attack(host, &format!("sudo -n runner-deploy {arguments}")), 0, "{arguments:?}");
            assert_ne!(
                attack(host, &format!("/usr/local/sbin/runner-deploy {arguments}")),
                0,
                "{arguments:?} without sudo"
            );
        }
        for call in [
            "sudo -n runner-prep deploy x app",
            "sudo -n runner-prep apply --profile shell",
            "sudo -n runner-prep deploy-receive 0 0 /etc /usr/bin/rsync /bin/sh",
            "sudo -n /usr/local/sbin/../sbin/runner-deploy app; false",
            "sudo -n /usr/local/bin/runner-prep deploy /usr/local/sbin/runner-deploy app",
            "ln -s /usr/local/sbin/runner-deploy /tmp/runner-deploy; sudo -n /tmp/runner-deploy x",
            "cp /bin/sh runner-deploy; PATH=.:$PATH sudo -n ./runner-deploy app",
            "sudo -n rsync -a . /srv/www/app",
            "sudo -n -u gitlab-runner -g root runner-deploy app",
            "runner-prep deploy-send root 0 0 /bin/sh -c id",
            "runner-prep deploy-connect 1 x; runner-prep deploy-connect 9 x",
            "runner-prep deploy-receive 0 0 /etc /bin/true /bin/true",
        ] {
            assert_ne!(attack(host, call), 0, "{call}");
        }
        host.sh(&format!("test ! -e {TARGET}/runner-deploy")).ok();
    });
}

#[test]
fn the_environment_and_files_of_the_caller_have_no_effect() {
    with_every_sudo(|host| {
        let script = "touch file
            printf 'rsync alias -a --log-file=/etc/popt\\nrsync alias -v --log-file=/etc/popt\\n' > ~/.popt
            printf '#!/bin/sh\\nid > /tmp/ran; chmod 666 /tmp/ran\\n' > evil; chmod 755 evil
            export HOME RSYNC_RSH=$PWD/evil RSYNC_PROXY=127.0.0.1:1 RSYNC_PARTIAL_DIR=/etc RSYNC_OLD_ARGS=1
            export RSYNC_CONNECT_PROG=$PWD/evil RSYNC_CHECKSUM_LIST=none IFS=/ LD_PRELOAD=$PWD/evil BASH_ENV=$PWD/evil ENV=$PWD/evil
            export RUST_BACKTRACE=full PERL5OPT=-Mx TMPDIR=/etc GCONV_PATH=$PWD LOCPATH=$PWD
            cp evil rsync; export PATH=$PWD:$PATH
            umask 000; ulimit -c unlimited; ulimit -f unlimited
            /usr/bin/env -u LD_PRELOAD \"$(command -v sudo)\" -n /usr/local/sbin/runner-deploy app";
        assert_eq!(attack(host, script), 0);
        assert!(!host.path("/tmp/ran").exists());
    });
}

#[test]
fn hostile_names_are_data() {
    with_every_sudo(|host| {
        let script = "touch -- '-e sh' '--rsync-path=x' '--delete' '-e' '$(id>x)' '`id`' '*' '?' \"new
line\" 'a b' ';id' '|id' 'a\"b' \"a'b\" '\\' \"$(printf '\\033[2J')\" \"$(printf '\\377')\" 'checkout:x' '::x' '.~tmp~'
            mkdir -- '-d' '..x' '...'; touch -- '-d/-e' '..x/f'
            sudo -n runner-deploy app
            diff -r --exclude .git . /srv/www/app";
        assert_eq!(attack(host, script), 0);
    });
}

#[test]
fn a_sender_that_is_killed_stopped_or_traced_gains_nothing() {
    with_every_sudo(|host| {
        job(host, "for i in $(seq 300); do echo $i > f$i; done; head -c 50000000 /dev/zero > large").ok();
        // The sender is the account's, and the account does to it what it likes. One that is caught when all is sent has
        // done its work.
        let script = "sudo -n runner-deploy app >/dev/null 2>&1 & p=$!
            for i in $(seq 400); do pkill -KILL -u $(id -u) -x rsync && break; sleep 0.01; done
            wait $p || exit 0; diff -r --exclude .git . /srv/www/app";
        assert_eq!(attack(host, script), 0);
        let script = "sudo -n runner-deploy app >/dev/null 2>&1 & p=$!
            for i in $(seq 400); do pkill -STOP -u $(id -u) -x rsync && break; sleep 0.01; done
            sleep 0.3; kill $p || true; wait $p || exit 0; diff -r --exclude .git . /srv/www/app";
        assert_eq!(attack(host, script), 0);
        nobody_left(host);
        if have(&["strace"]) {
            let mut traced = 0;
            for fault in [
                "read:error=EIO:when=9+",
                "write:retval=1:when=3+",
                "openat:error=ENOENT",
                "write:error=EPIPE:when=4",
            ] {
                // All of it is to be sent again, and the sender stands still until the tracer holds it.
                host.sh(&format!("rm -rf {TARGET}/*")).ok();
                let script = format!(
                    "rm -f traced; (for i in $(seq 800); do q=$(pgrep -u $(id -u) -x rsync | head -n 1)
                     if [ -n \"$q\" ]; then kill -STOP $q; (sleep 0.5; kill -CONT $q) &
                     timeout 5 strace -qq -f -o /dev/null -e inject={fault} -p $q; touch traced; break; fi; sleep 0.005; done) &
                     timeout 10 sudo -n runner-deploy app >/dev/null 2>&1 || true; wait"
                );
                attack(host, &script);
                traced += usize::from(host.path(&format!("{JOB}/traced")).exists());
            }
            // Whether the tracer comes in time is the scheduler's choice; what is gained is not.
            eprintln!("{traced} of 4 senders were traced");
        }
        // The receiver and this program are root's: no signal and no tracer reaches them. A sender may have been
        // root's when it was listed and is the account's by now: what was reached has to be root's still.
        let script = "sudo -n runner-deploy app >/dev/null 2>&1 & p=$!; sleep 0.05
            for q in $(pgrep -u root 'runner|rsync'); do
                kill -0 $q 2>/dev/null || continue
                grep -q '^Uid:[[:space:]]*0[[:space:]]' /proc/$q/status 2>/dev/null && exit 9
                kill -KILL $q 2>/dev/null || true
            done; wait $p || true; exit 0";
        assert_eq!(attack(host, script), 0);
    });
}

#[test]
fn directories_that_change_under_the_feet_gain_nothing() {
    with_every_sudo(|host| {
        let script = "mkdir -p d e; for i in $(seq 50); do touch d/f$i; done; ln -s /etc l
            (while :; do mv d x; mv l d; mv d l; mv x d; done) 2>/dev/null & loop=$!
            (cd ..; while :; do mv project y; ln -s /root project; rm project; mv y project; done) 2>/dev/null & loop2=$!
            for i in 1 2 3 4 5 6; do sudo -n runner-deploy app >/dev/null 2>&1 || true; done
            kill $loop $loop2; wait || true";
        let before = outside(host);
        job(host, script);
        nothing_gained(host);
        assert_unchanged(&before, &outside(host));
    });
}

#[test]
fn limits_that_the_job_sets_take_no_wall_away() {
    with_every_sudo(|host| {
        job(host, "for i in $(seq 30); do head -c 200000 /dev/zero > f$i; done").ok();
        let (mut done, mut last) = (0, String::new());
        // From too few handles for anything to enough for all of it.
        for handles in [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 20, 30, 64] {
            let run = job(host, &format!("ulimit -n {handles}; sudo -n runner-deploy app"));
            run.says_not("goes without");
            last = run.stderr.clone();
            done += usize::from(run.status == 0);
            nothing_gained(host);
        }
        assert!(done > 0, "no limit was enough: {last}");
        host.sh(&format!("rm -rf {TARGET}/*")).ok();
        for limit in ["-f 1", "-d 2000", "-s 200", "-u 0", "-u 1", "-l 0", "-v 40000", "-c unlimited", "-t 1"]
        {
            let run = job(host, &format!("ulimit -S {limit} && sudo -n runner-deploy app || exit 7"));
            run.says_not("goes without");
            nothing_gained(host);
        }
        // A limit that the job sets on its sizes cuts no file of root's.
        job(host, "ulimit -S -f 1; touch -d 1hour f1; sudo -n runner-deploy app; cmp f1 /srv/www/app/f1")
            .ok();
        nobody_left(host);
    });
}

#[test]
fn handles_that_the_job_closes_or_leaves_open_change_nothing() {
    with_every_sudo(|host| {
        job(host, "echo hello > file").ok();
        for handles in
            ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "5</etc/passwd 9>&1", "</dev/zero >/dev/full"]
        {
            host.sh(&format!("rm -rf {TARGET}/*")).ok();
            attack(host, &format!("sudo -n runner-deploy app {handles}"));
            host.sh(&format!("find {TARGET} -type f ! -path {TARGET}/file | grep . && exit 1; true")).ok();
        }
        attack(host, "sudo -n runner-deploy app | true");
        attack(host, "sudo -n runner-deploy app");
        assert_eq!(host.text("/srv/www/app/file"), "hello\n");
        nobody_left(host);
    });
}

#[test]
fn a_caller_that_is_gone_or_stands_still_leaves_nothing_behind() {
    with_every_sudo(|host| {
        job(host, "head -c 100000000 /dev/zero > large; echo small > small").ok();
        for signal in ["KILL", "HUP", "INT", "QUIT", "STOP", "TSTP", "USR1", "ALRM", "PIPE"] {
            host.sh(&format!("rm -rf {TARGET}/*")).ok();
            let script = format!(
                "sudo -n runner-deploy app >/dev/null 2>&1 & p=$!
                 for i in $(seq 200); do ls -A /srv/www/app | grep -q . && break; sleep 0.01; done
                 kill -{signal} $p 2>/dev/null; sleep 0.1; kill -CONT $p 2>/dev/null; wait $p; exit 0"
            );
            attack(host, &script);
            nobody_left(host);
            // Nothing half: either it is there as it is in the checkout, or it is not there.
            host.sh(&format!(
                "cd {TARGET}; for f in *; do test ! -e \"$f\" || cmp \"$f\" {JOB}/\"$f\"; done"
            ))
            .ok();
        }
    });
}

#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    with_every_sudo(|host| {
        job(host, "echo old > file; sudo -n runner-deploy app").ok();
        host.sh(&format!("mount -t tmpfs -o size=1m,mode=755 full {TARGET}; echo old > {TARGET}/file")).ok();
        let run = job(
            host,
            "sleep 0.01; head -c 5000000 /dev/zero > file; touch -d 1hour file; sudo -n runner-deploy app",
        );
        assert_ne!(run.status, 0, "{run}");
        assert_eq!(
            host.sh(&format!("cat {TARGET}/file; ls -A {TARGET}; umount {TARGET}")).ok().stdout,
            "old\nfile\n"
        );
    });
}

#[test]
fn deep_and_large_trees_arrive_or_are_refused_whole() {
    with_every_sudo(|host| {
        // As deep as a path can be, and deeper.
        let script = "mkfifo .git; d=$(printf 'd%.0s' $(seq 200)); for i in $(seq 18); do mkdir $d && cd -P $d; done; touch leaf
            cd ~/builds/x/0/group/project; mkdir many; (cd many; seq 3000 | xargs touch)
            sudo -n runner-deploy app; test $(ls /srv/www/app/many | wc -l) = 3000; test ! -e /srv/www/app/.git";
        assert_eq!(attack(host, script), 0);
        host.sh(&format!("rm -rf {TARGET}/*")).ok();
        let script = "cd many; perl -e 'for (1..60) { mkdir(\"e\" x 200); chdir(\"e\" x 200) }'; cd ..
            timeout 30 sudo -n runner-deploy app; test $? != 124; ls /srv/www/app/many | grep -q 2999";
        attack(host, script);
        host.sh(&format!("rm -rf {TARGET}/* {JOB}/many")).ok();
    });
}
