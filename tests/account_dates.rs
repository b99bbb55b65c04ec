//! Dates in `/etc/shadow`: past one of them su starts no job as the account, and every command says so until it is gone.

mod support;

use support::{Host, have};

#[test]
fn a_date_that_is_past_waits_for_a_person() {
    if !have(&["sudo", "visudo", "su", "useradd", "chage", "ssh-keygen", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.prep(&["apply", "--profile", "shell"]).ok();
    host.sh("cp -a /etc/shadow /root/shadow").ok();
    let works = || host.sh("su -s /bin/bash gitlab-runner -c true").status == 0;
    for (dates, code) in [
        ("-E -1", None),
        ("-E 2999-01-01 -M 30000 -W 7", None),
        ("-E 2020-01-01", Some("account-expired")),
        ("-d 0", Some("password-expired")),
        ("-d 2020-01-01 -M 30", Some("password-expired")),
    ] {
        host.sh(&format!("cp -a /root/shadow /etc/shadow; chage {dates} gitlab-runner")).ok();
        assert_eq!(works(), code.is_none(), "{dates}");
        for command in ["plan", "apply", "check"] {
            let run = host.prep(&[command, "--json", "--profile", "shell"]);
            let pending = run.json()["pending"].clone();
            let expected = if code.is_none() || command == "plan" { 0 } else { 3 };
            assert_eq!(run.status, expected, "{dates}: {run}");
            assert_eq!(pending[0]["code"].as_str(), code, "{dates}: {run}");
            if let (Some(repair), "check") = (pending[0]["repair"].as_str(), command) {
                host.sh(repair).ok();
                assert!(works(), "{dates}: {repair}");
                host.prep(&["check", "--profile", "shell"]).ok();
            }
        }
    }
}
