//! A deployment that stands still ends, one that is slow goes on, and neither minds what becomes of the target's name.

use std::time::{Duration, Instant};

use super::hijack::fake;
use super::{
    JOB, PROFILE, TARGET, job, make_ready, nobody_left, nothing_gained, outside, prepared, with_every_sudo,
};
use crate::support::{Host, assert_unchanged};

/// The shortest that a profile may say.
const LIMIT: Duration = Duration::from_secs(5);

fn profile() -> String {
    format!("{PROFILE}timeout = {}\n", LIMIT.as_secs())
}

/// Demands that the deployment was given up for its silence, and that nothing is left of it.
#[track_caller]
fn given_up(host: &Host, script: &str) {
    let before = outside(host);
    let begin = Instant::now();
    let run = job(host, script);
    assert!(begin.elapsed() >= LIMIT, "{run}");
    run.exit(2)
        .says("error: the reading side stood still for 5 s and was ended")
        .says("run the job again")
        .says_not("panicked");
    nobody_left(host);
    nothing_gained(host);
    assert_unchanged(&before, &outside(host));
    // No file of rsync's own, and none that is half.
    host.sh(&format!(
        "cd {TARGET}; test -z \"$(ls -A | grep '^[.]')\"; for f in *; do test ! -e \"$f\" || cmp \"$f\" {JOB}/\"$f\"; done"
    ))
    .ok();
}

#[test]
fn a_stopped_sender_is_given_up() {
    with_every_sudo(|host| {
        std::fs::write(host.path("/etc/runner-prep/profiles/site.toml"), profile()).unwrap();
        make_ready(host);
        job(host, "head -c 300000000 /dev/zero > large; for i in $(seq 50); do echo $i > f$i; done").ok();
        // Before it says anything, and in the middle of a file.
        for moment in ["true", "ls -A /srv/www/app | grep -q '^[.]large'"] {
            host.sh(&format!("rm -rf {TARGET}/*")).ok();
            given_up(
                host,
                &format!(
                    "sudo -n runner-deploy app >/dev/null & p=$!
                     for i in $(seq 2000); do pgrep -u $(id -u) 'rsync|runner' >/dev/null && {moment} && break; done
                     pkill -STOP -u $(id -u) 'rsync|runner'; wait $p"
                ),
            );
        }
        job(host, "sudo -n runner-deploy app; cmp large /srv/www/app/large").ok();
    });
}

#[test]
fn a_sender_that_lives_and_says_nothing_is_given_up() {
    let Some(host) = prepared(&profile()) else { return };
    job(&host, "echo hello > file").ok();
    let server = |script: &str| fake(&host, &format!("case \"$*\" in *--server*) {script} ;; esac"));
    for script in [
        // From the beginning, after half a greeting, and after all is done.
        "exec sleep 300",
        "printf '\\040'; exec sleep 300",
        "/usr/bin/rsync \"$@\"; exec sleep 300 >&-",
        "trap '' TERM HUP INT; while :; do sleep 1; done",
    ] {
        server(script);
        given_up(&host, "sudo -n runner-deploy app >/dev/null");
        host.sh("pkill -KILL sleep || true").ok();
    }
    host.sh("rm /usr/local/sbin/rsync").ok();
    job(&host, "sudo -n runner-deploy app").ok();
}

#[test]
fn a_slow_sender_goes_on() {
    let Some(host) = prepared(&profile()) else { return };
    job(&host, "head -c 1200000 /dev/urandom > file").ok();
    // A slow link: every word comes in time.
    fake(
        &host,
        "case \"$*\" in *--server*) shift; exec /usr/bin/rsync --server --bwlimit=150 \"$@\" ;; esac",
    );
    let begin = Instant::now();
    job(&host, "sudo -n runner-deploy app; cmp file /srv/www/app/file").ok();
    assert!(begin.elapsed() > LIMIT, "{:?}", begin.elapsed());
    // One that is stopped again and again, never for long.
    host.sh(&format!("rm {TARGET}/*")).ok();
    let begin = Instant::now();
    job(
        &host,
        "sudo -n runner-deploy app >/dev/null & p=$!
         (for i in 1 2; do sleep 0.5; pkill -STOP -u $(id -u) -x rsync || break; sleep 2.5; pkill -CONT -u $(id -u) -x rsync; done) &
         wait $p; cmp file /srv/www/app/file",
    )
    .ok();
    assert!(begin.elapsed() > LIMIT, "{:?}", begin.elapsed());
}

#[test]
fn a_sender_that_waits_for_a_slow_disk_of_roots_goes_on() {
    let Some(host) = prepared(&profile()) else { return };
    job(&host, "for i in $(seq 2000); do echo $i > f$i; done").ok();
    let begin = Instant::now();
    host.sh(&format!(
        "cd {JOB}; runner-deploy app >/dev/null & p=$!
         until test -e {TARGET}/f1; do :; done
         pkill -STOP -u root -x rsync; sleep 12; pkill -CONT -u root -x rsync; wait $p; cmp f999 {TARGET}/f999"
    ))
    .ok();
    assert!(begin.elapsed() > LIMIT * 2, "{:?}", begin.elapsed());
}

#[test]
fn a_target_that_is_renamed_or_replaced_meanwhile_leads_nowhere_else() {
    let Some(host) = prepared(PROFILE) else { return };
    job(&host, "head -c 600000 /dev/urandom > file; mkdir d; echo late > d/late").ok();
    fake(
        &host,
        "case \"$*\" in *--server*) shift; exec /usr/bin/rsync --server --bwlimit=300 \"$@\" ;; esac",
    );
    for replacement in ["ln -s /etc app", "mkdir -m 0777 app", "true"] {
        host.sh(&format!("rm -rf {TARGET}/*")).ok();
        let before = outside(&host);
        host.sh(&format!(
            "cd {JOB}; runner-deploy app > /tmp/said 2>&1 & p=$!
             for i in $(seq 1000); do ls -A {TARGET} | grep -q . && break; sleep 0.01; done
             cd /srv/www; mv app moved; {replacement}; wait $p || true
             test ! -e app/file; test ! -e app/d; test ! -L app || rm app; test ! -e app || rmdir app; mv moved app
             cmp {JOB}/file app/file; cmp {JOB}/d/late app/d/late"
        ))
        .ok();
        nothing_gained(&host);
        assert_unchanged(&before, &outside(&host));
    }
    nobody_left(&host);
}
