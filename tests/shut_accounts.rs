//! What keeps su or ssh from the account although it is there: every command says so until it is mended.

mod support;

use support::repairs::commands;
use support::{Host, have};

/// Lay each of these out on a host that is as wanted: the account has a job where no code is expected, every command but
/// `plan` ends with 3 where one is, and its repair gives the job back.
fn waits_until_mended(job: &str, rows: &[(&str, Option<&str>)]) {
    if !have(&["sudo", "visudo", "su", "useradd", "chage", "ssh-keygen", "ssh", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.prep(&["apply", "--profile", "shell"]).ok();
    host.sh("cp -a /etc/shadow /root/shadow; cp -a /etc/passwd /root/passwd").ok();
    let works = || host.sh(&format!("su -s /bin/bash gitlab-runner -c '{job}'")).status == 0;
    for (lay_out, code) in rows {
        host.sh("rm -rf /etc/shadow /etc/shadow.old; cp -a /root/shadow /etc/shadow; cp -a /root/passwd /etc/passwd").ok();
        host.sh(lay_out).ok();
        assert_eq!(works(), code.is_none(), "{lay_out}");
        for command in ["plan", "apply", "check"] {
            let run = host.prep(&[command, "--json", "--profile", "shell"]);
            let pending = run.json()["pending"].clone();
            let expected = if code.is_none() || command == "plan" { 0 } else { 3 };
            assert_eq!(run.status, expected, "{lay_out}: {run}");
            assert_eq!(pending[0]["code"].as_str(), *code, "{lay_out}: {run}");
            if let (Some(repair), "check") = (pending[0]["repair"].as_str(), command) {
                host.sh(&commands(repair).join("\n")).ok();
                assert!(works(), "{lay_out}: {repair}");
                host.prep(&["check", "--profile", "shell"]).ok();
            }
        }
    }
}

#[test]
fn a_date_that_is_past_waits_for_a_person() {
    waits_until_mended(
        "true",
        &[
            ("chage -E -1 gitlab-runner", None),
            ("chage -E 2999-01-01 -M 30000 -W 7 gitlab-runner", None),
            ("chage -E 2020-01-01 gitlab-runner", Some("account-expired")),
            ("chage -d 0 gitlab-runner", Some("password-expired")),
            ("chage -d 2020-01-01 -M 30 gitlab-runner", Some("password-expired")),
            (
                "sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0:99999:7:: 1:/' /etc/shadow",
                Some("account-expired"),
            ),
        ],
    );
}

#[test]
fn an_account_without_a_line_of_its_own_waits_for_a_person() {
    let missing = Some("shadow-line-missing");
    waits_until_mended(
        "true",
        &[
            ("sed -i '/^gitlab-runner:/d' /etc/shadow", missing),
            ("rm /etc/shadow", missing),
            ("rm /etc/shadow; mkdir /etc/shadow", missing),
            ("ln -sf /nowhere /etc/shadow", missing),
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:/' /etc/shadow", missing),
            // What the C library passes over: too few fields, too many, and what is no number.
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0:99999:7::/' /etc/shadow", missing),
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0/' /etc/shadow", missing),
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0:99999:7::::::/' /etc/shadow", missing),
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0:-1:7:::/' /etc/shadow", missing),
            ("sed -i 's/$/\\r/' /etc/shadow", missing),
            ("sed -i 's/^gitlab-runner:.*/gitlab-runner:!:19000:0:99999/' /etc/shadow", None),
            ("sed -i '1i gitlab-runner:!:x' /etc/shadow", None),
            // Without the mark in /etc/passwd nothing is looked up.
            (
                "sed -i 's/^gitlab-runner:x:/gitlab-runner:*:/' /etc/passwd; sed -i '/^gitlab-runner:/d' /etc/shadow",
                None,
            ),
        ],
    );
}

#[test]
fn accounts_that_the_account_can_not_read_wait_for_a_person() {
    waits_until_mended(
        "ssh -G gitlab.com >/dev/null",
        &[("chmod 0600 /etc/passwd", Some("accounts-shut")), ("chmod 0444 /etc/passwd", None)],
    );
}

#[test]
fn a_directory_that_shell_jobs_can_not_use_is_told_where_there_are_such_jobs() {
    let runner = "[[runners]]\nname = \"x\"\nurl = \"https://gitlab.com\"\ntoken = \"glrt-0123456789abcdefghij\"\n\
                  executor = \"shell\"\n";
    let Some(host) = Host::or_skip() else { return };
    let host = host.config_toml(runner).start();
    host.prep(&["apply", "--profile", "shell"]).ok();
    for (lay_out, executor, profile, is_told) in [
        ("mkdir builds", "shell", "shell", true),
        ("mkdir builds", "docker", "dind", false),
        ("mkdir builds; chown gitlab-runner: builds", "shell", "shell", false),
        ("touch builds", "shell", "shell", true),
        ("chmod 0555 .", "shell", "shell", true),
    ] {
        host.sh(&format!("cd /home/gitlab-runner; rm -rf builds; chmod 0755 .; {lay_out}")).ok();
        host.sh(&format!("sed -i 's/executor.*/executor = \"{executor}\"/' /etc/gitlab-runner/config.toml"))
            .ok();
        for command in ["plan", "apply", "check"] {
            let run = host.prep(&[command, "--json", "--profile", profile]);
            let document = run.ok().json();
            let warnings = document["warnings"].as_array().cloned().unwrap_or_default();
            let found = warnings.iter().any(|warning| warning["code"] == "builds-unusable");
            assert_eq!(found, is_told, "{command} {lay_out} {executor}: {run}");
        }
    }
}

#[test]
fn an_account_without_a_home_waits_for_a_person() {
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    let prep = |command| host.prep(&[command, "--json", "--profile", "shell", "--only", "account,sudoers"]);
    prep("apply").ok();
    host.sh("rm -rf /home/gitlab-runner").ok();
    for command in ["apply", "check"] {
        let run = prep(command);
        assert_eq!(run.exit(3).json()["pending"][0]["code"], "home-missing", "{run}");
    }
    let repair = prep("check").json()["pending"][0]["repair"].as_str().unwrap_or_default().to_owned();
    host.sh(&commands(&repair).join("\n")).ok();
    host.as_account("gitlab-runner", "touch ~/x").ok();
    prep("check").ok();
}
