//! Drift: the timer that `install.sh --timer` installs, run by the real systemd on throwaway hosts.

#![expect(clippy::disallowed_methods, reason = "the tests lay out a release, and look at what it leaves")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::time::{Duration, Instant};

use support::{Host, HostBuilder, Systemd, differences, fixture, have};

const CHECK: &str = "runner-prep-check@dind.service";
const APPLY: &str = "runner-prep-apply@dind.service";

/// A host with an unpacked release and a registered runner.
fn host() -> Option<HostBuilder> {
    if !have(&["systemctl", "journalctl", "sudo", "rsync", "ssh-keygen", "git", "pgrep"]) {
        return None;
    }
    Some(Host::or_skip()?.release("/srv/release").config_toml(fixture("config-docker-runner.toml")))
}

/// What the host is, without what systemd keeps for itself.
fn state(host: &Host) -> Vec<String> {
    let own = |line: &String| {
        let path = line.split(' ').nth(5).unwrap_or_default();
        !["run", "tmp", "var/tmp", "var/log", "var/lib/systemd", "etc/systemd"]
            .iter()
            .any(|top| path.starts_with(top))
    };
    host.stamps().into_iter().filter(own).collect()
}

/// Starts a unit, and demands that a run in its sandbox ends and says as one without.
#[track_caller]
fn assert_as_by_hand(systemd: &Systemd<'_>, exit: i32) -> String {
    let by_hand = systemd.sh("runner-prep check --profile dind 2>&1 || exit $?");
    by_hand.exit(exit);
    systemd.sh("journalctl --sync; journalctl -q --rotate --vacuum-time=1s; systemctl reset-failed");
    let started = systemd.sh(&format!("systemctl start {CHECK}"));
    let journal = systemd.journal(CHECK);
    assert_eq!(started.status == 0, [0, 3].contains(&exit), "{started}\n{journal}");
    systemd.sh(&format!("systemctl show -P ExecMainStatus {CHECK}")).says(&format!("{exit}\n"));
    for line in by_hand.stdout.lines() {
        assert!(journal.lines().any(|said| said == line), "not in the journal: {line}\n{journal}");
    }
    assert!(!journal.contains("CANARY"), "{journal}");
    journal
}

#[test]
fn the_journal_says_what_differs_and_nothing_is_changed() {
    let Some(host) = host() else { return };
    let host = host.start();
    let Some(systemd) = Systemd::or_skip(&host) else { return };
    let line = "/srv/release/install.sh --timer --profile dind -- apply --profile dind";
    systemd.sh(line).ok().says("enabled runner-prep-check@dind.timer");
    let before = host.stamps();
    systemd.sh("/srv/release/install.sh --timer --profile dind").ok().says("nothing to do");
    let changed = differences(&before, &host.stamps());
    assert!(changed.iter().all(|line| line.contains(" run") || line.contains(" tmp ")), "{changed:#?}");
    systemd.sh("systemctl is-active runner-prep-check@dind.timer; systemctl list-timers").ok().says(CHECK);
    // Writing is for who asks for it.
    systemd.sh("! systemctl cat runner-prep-apply@dind.service").ok();

    let before = state(&host);
    assert_as_by_hand(&systemd, 0);
    assert_eq!(differences(&before, &state(&host)), [""; 0]);
    systemd.sh("systemctl --failed").ok().says("0 loaded units");

    // Three people were here; the third one broke a file in the account's home.
    host.sh("rm /etc/sudoers.d/gitlab-runner
        sed -i 's/privileged = true/privileged = false/' /etc/gitlab-runner/config.toml
        chmod 0644 /home/gitlab-runner/.ssh/id_ed25519")
        .ok();
    let before = state(&host);
    let journal = assert_as_by_hand(&systemd, 1);
    for said in ["/etc/sudoers.d/gitlab-runner", "docker.privileged", "/.ssh/id_ed25519", "status=1/FAILURE"]
    {
        assert!(journal.contains(said), "{said}\n{journal}");
    }
    systemd.sh("systemctl --failed").ok().says(CHECK);
    assert_eq!(differences(&before, &state(&host)), [""; 0]);

    // Something that waits for a person is not a drift.
    host.sh("runner-prep apply -q --profile dind; mv /etc/gitlab-runner/config.toml /srv").ok();
    let journal = assert_as_by_hand(&systemd, 3);
    assert!(journal.contains("no runner is registered"), "{journal}");
    systemd.sh("systemctl --failed").ok().says("0 loaded units");

    // What can't be judged is an error.
    host.sh("mv /srv/config.toml /etc/gitlab-runner; echo '[[runners' >> /etc/gitlab-runner/config.toml")
        .ok();
    assert_as_by_hand(&systemd, 2);
    systemd.sh("systemctl --failed").ok().says(CHECK);

    systemd.sh("/srv/release/install.sh --uninstall").ok().says("disabled runner-prep-check@dind.timer");
    systemd
        .sh("systemctl list-units --all 'runner-prep*'; systemctl list-timers")
        .ok()
        .says_not("runner-prep-");
    host.sh("! find /etc/systemd /usr/local /var/lib/systemd -name '*runner-prep*' | grep .").ok();
}

/// The figure that the page on packages gives for a unit, in a row of its table.
fn readme_figure(unit: &str) -> f64 {
    let page = support::page(".package/README.md");
    let row = page.lines().find(|line| line.starts_with(&format!("| `{unit}`"))).unwrap();
    row.rsplit('|').nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn the_units_are_sound_and_as_tight_as_readme_says() {
    if !have(&["systemd-analyze"]) {
        return;
    }
    let Some(host) = host() else { return };
    let host = host.start();
    host.sh("/srv/release/install.sh --timer=apply")
        .ok()
        .says("enable --now runner-prep-apply@PROFILE.timer");
    host.sh("! ls /etc/systemd/system/timers.target.wants").ok();
    // `verify` has `man` look for the page of `Documentation=`.
    if !have(&["man"]) {
        return;
    }
    for action in ["check", "apply"] {
        let unit = format!("/etc/systemd/system/runner-prep-{action}@");
        for kind in ["service", "timer"] {
            let run = host.sh(&format!("systemd-analyze verify {unit}.{kind}"));
            // What it only warns of, an unknown key for example, would not be in force.
            assert_eq!(run.ok().stderr, "");
        }
        let run = host.sh(&format!("systemd-analyze security --no-pager --offline=true {unit}.service"));
        let level = run.ok().stdout.rsplit_once("service: ").unwrap().1.split(' ').next().unwrap();
        let said = readme_figure(&format!("runner-prep-{action}@.service"));
        assert!(level.parse::<f64>().unwrap() <= said, "{run}");
    }
}

#[test]
fn the_timer_starts_it_and_only_the_other_one_writes() {
    let Some(host) = host() else { return };
    let host = host
        .file(
            "/etc/systemd/system/runner-prep-check@.timer.d/soon.conf",
            "[Timer]\nOnCalendar=\nOnActiveSec=10ms\nRandomizedDelaySec=0\nAccuracySec=1ms\n",
        )
        .file(
            "/etc/runner-prep/profiles/app.toml",
            "extends = [\"shell-hardened\"]\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/www/app\"\n",
        )
        .dir("/srv/www/app", 0o755)
        .start();
    let Some(systemd) = Systemd::or_skip(&host) else { return };
    systemd.sh("/srv/release/install.sh --timer=apply --profile dind").ok();
    let before = state(&host);
    systemd.sh("systemctl start runner-prep-check@dind.timer").ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    while systemd.sh(&format!("systemctl is-failed {CHECK} || :")).stdout != "failed\n" {
        assert!(Instant::now() < deadline, "{}", systemd.journal(CHECK));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        systemd.journal(CHECK).contains("there is no account gitlab-runner"),
        "{}",
        systemd.journal(CHECK)
    );
    assert_eq!(differences(&before, &state(&host)), [""; 0]);

    // From nothing to the end, inside of its sandbox.
    systemd.sh(&format!("systemctl start {APPLY} || {{ journalctl -u {APPLY}; exit 1; }}")).ok();
    assert_as_by_hand(&systemd, 0);
    assert!(host.text("/etc/gitlab-runner/config.toml").contains("privileged = true"));
    systemd.sh("runner-prep undo").ok();
    systemd.sh(&format!("systemctl start {APPLY}")).ok();
    assert_as_by_hand(&systemd, 0);
    systemd.sh("su --login gitlab-runner -c 'sudo -n rsync --version'").ok();

    // A profile of one's own, which puts an entry point into /usr/local.
    systemd
        .sh("systemctl start runner-prep-apply@app || { journalctl -u runner-prep-apply@app; exit 1; }")
        .ok();
    systemd.sh("runner-prep check --profile app; test -x /usr/local/sbin/runner-deploy").ok();
}
