//! Each version of sudo that can be had reads what is rendered alike, and `apply` never breaks any of them.
//!
//! `tests/sudos.sh` fetches the versions; [`support::SUDOS`] names them.
//!
//! What a rule goes through, in this order, and the test of each step:
//!
//! 1. It is made of checked values alone: `nothing_else_gets_through` and `every_rule_is_accepted_and_read_back…` of
//!    `sudo_rules.rs`, `commands_that_no_rule_may_hold` of `refused/sudo.rs`.
//! 2. `/etc/sudoers` is never written, and has to read the directory: `sudo_policies_that_no_rule_can_join` of
//!    `refused/sudo.rs`, and all golden trees. What lies in the directory and is not a file is named: `what_is_no_file_in_the_directory…`.
//! 3. Nobody edits it meanwhile: `a_file_that_visudo_has_open_is_left_alone`.
//! 4. Every visudo says whether the policy is good before: [`a_policy_that_is_broken_already_is_left_alone`],
//!    [`the_main_file_of_sudo_rs_is_judged_too`].
//! 5. The file alone, and in a copy of the whole policy: [`what_clashes_with_another_file_is_found_before_it_is_live`],
//!    [`what_the_policy_includes_is_read_as_sudo_reads_it`].
//! 6. It goes live whole, by rename: `torture`.
//! 7. The live policy is not a worse, or the old bytes come back: [`a_policy_that_turns_out_worse_gets_its_old_bytes_back`].
//! 8. sudo itself allows what the rule says: [`what_a_rule_says_is_allowed_and_nothing_else`],
//!    [`the_rule_that_is_read_last_wins_and_is_named`].

#![expect(clippy::disallowed_methods, reason = "a test lays out files itself")]
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test says what it ran with, and stops where it can't"
)]

mod support;

use support::{Host, HostBuilder, SUDOS, assert_unchanged, with_each};

const ACCOUNT: &str = "gitlab-runner";
const FILE: &str = "/etc/sudoers.d/gitlab-runner";

/// Prints its arguments, one a line in brackets, and who runs it.
const ARGS: &str = "#!/bin/sh\nid -un\nfor a; do printf '[%s]\\n' \"$a\"; done\n";

/// Every character that an argument may have is in one of these.
const PROFILE: &str = r#"
summary = "test"
[sudoers]
commands = ["/usr/bin/rsync"]
[[sudoers.rule]]
run_as = "deploy-www"
commands = [
    "/usr/local/bin/args -a --b=c:d,e /x/ @f %g +h i_j .k 0",
    "/usr/local/bin/args --one",
]
[[deploy]]
name = "app"
target = "/srv/www/app"
"#;

fn lay_out(host: HostBuilder) -> HostBuilder {
    host.account(ACCOUNT, 2001, "/home/gitlab-runner")
        .account("deploy-www", 2002, "/srv/deploy")
        .file_mode("/usr/local/bin/args", ARGS, 0o755)
        .file("/etc/runner-prep/profiles/site.toml", PROFILE)
}

/// A host with the profile applied.
fn prepare(host: &Host) {
    host.sh("install -m 0755 /opt/under-test/runner-prep /usr/local/bin/runner-prep").ok();
    host.prep(&["apply", "--profile", "site"]).ok();
}

#[test]
fn what_a_rule_says_is_allowed_and_nothing_else() {
    with_each(SUDOS, lay_out, |sudo, host| {
        prepare(host);
        let before = host.stamps();
        host.prep(&["apply", "--profile", "site"]).ok().says("as the profile wants it");
        assert_unchanged(&before, &host.stamps());
        let job = |script: &str| host.as_account(ACCOUNT, script);
        for call in [
            "rsync --version",
            "/usr/bin/rsync --version",
            "-u deploy-www rsync --version",
            "runner-deploy app",
            "-u root /usr/local/sbin/runner-deploy app",
        ] {
            job(&format!("sudo -n {call}")).ok();
        }
        let said = job("sudo -n -u deploy-www args -a --b=c:d,e /x/ @f %g +h i_j .k 0").ok().stdout.clone();
        assert_eq!(
            said, "deploy-www\n[-a]\n[--b=c:d,e]\n[/x/]\n[@f]\n[%g]\n[+h]\n[i_j]\n[.k]\n[0]\n",
            "{sudo:?}"
        );
        job("sudo -n -u deploy-www /usr/local/bin/args --one").ok();
        for call in [
            "id",
            "-u deploy-www id",
            "-i",
            "-s",
            "sh",
            "-u deploy-www -s",
            // As somebody else than the rule has.
            "args --one",
            "-u root args --one",
            "-u nobody args --one",
            "-u deploy-www -g root args --one",
            "-g root args --one",
            "-u nobody runner-deploy app",
            "-g shadow runner-deploy app",
            // Other arguments: none, more, fewer, another order, a prefix, a suffix, a pattern, another case.
            "-u deploy-www args",
            "-u deploy-www args --one x",
            "-u deploy-www args x --one",
            "-u deploy-www args --on",
            "-u deploy-www args --one=",
            "-u deploy-www args --One",
            "-u deploy-www args '--one '",
            "-u deploy-www args ' --one'",
            "-u deploy-www args --one ''",
            "-u deploy-www args '' --one",
            "-u deploy-www args '--on?'",
            "-u deploy-www args '*'",
            "-u deploy-www args '--one\n'",
            "-u deploy-www args \"$(printf -- '--one\\n')x\"",
            "-u deploy-www args '\\--one'",
            "-u deploy-www args -a --b=c:d,e /x/ @f %g +h i_j .k",
            "-u deploy-www args -a --b=c:d,e /x/ @f %g +h i_j .k 0 1",
            "-u deploy-www args --b=c:d,e -a /x/ @f %g +h i_j .k 0",
            "-u deploy-www args -a --b=c:d e /x/ @f %g +h i_j .k 0",
            "-u deploy-www args -a '--b\\=c\\:d\\,e' /x/ @f %g +h i_j .k 0",
            "-u deploy-www args -a --b=c:d,e /x/../etc/ @f %g +h i_j .k 0",
            "-u deploy-www args -a --b=c:d,e /x/ @f %g +h i_j xk 0",
            // Another program, or the same by another way.
            "-u deploy-www ./args --one",
            "/usr/bin/rsyncx",
            "visudo -c",
            "sudoedit /etc/passwd",
            "-e /etc/passwd",
            "runner-deploy",
            "runner-deploy app app",
            "runner-deploy 'app app'",
            "runner-deploy app ''",
            "runner-deploy 'app '",
            "runner-deploy ap",
            "runner-deploy appp",
        ] {
            let run =
                job(&format!("printf '#!/bin/sh\necho [evil]\n' > args; chmod 755 args; sudo -n {call}"));
            assert!(run.status != 0 && !run.stdout.contains('['), "{}: {run}", sudo.name);
        }
        // Merged: sudo joins the arguments before it compares them, and sudo-rs does not.
        let merged = job("sudo -n -u deploy-www args '-a --b=c:d,e' /x/ @f %g +h i_j .k 0");
        assert_eq!(merged.status == 0, !sudo.is_rust, "{}: {merged}", sudo.name);
    });
}

#[test]
fn a_policy_that_is_broken_already_is_left_alone() {
    let host = |host: HostBuilder| {
        lay_out(host).file_mode("/etc/sudoers.d/admin", "admin ALL=(ALL) NOPASSWD /bin/ls\n", 0o440)
    };
    with_each(SUDOS, host, |_, host| {
        let rules = |host: &Host| {
            host.listing().into_iter().filter(|line| line.contains(" etc/")).collect::<Vec<_>>()
        };
        let before = rules(host);
        host.prep(&["apply", "--profile", "site", "--only", "sudoers"])
            .exit(2)
            .says("broken already, not by runner-prep")
            .says("/etc/sudoers.d/admin")
            .says("visudo -c");
        assert_unchanged(&before, &rules(host));
    });
}

#[test]
fn the_rule_that_is_read_last_wins_and_is_named() {
    with_each(SUDOS, lay_out, |sudo, host| {
        let apply = || host.prep(&["apply", "--profile", "site", "--only", "sudoers"]);
        let works = || host.as_account(ACCOUNT, "sudo -n rsync --version").status == 0;
        let rule = |text: &str| {
            host.sh(&format!("rm -f {FILE} /etc/sudoers.d/zz; echo '{text}' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz")).ok();
        };
        rule("gitlab-runner ALL=(ALL) ALL");
        apply()
            .exit(3)
            .says("asks gitlab-runner for a password")
            .says("/etc/sudoers.d/zz:1")
            .says("the last one counts");
        assert!(!works(), "{sudo:?}");
        rule("gitlab-runner ALL=(ALL) !/usr/bin/rsync");
        apply()
            .exit(3)
            .says("does not allow gitlab-runner to run /usr/bin/rsync")
            .says("/etc/sudoers.d/zz:1");
        rule("gitlab-runner ALL=(ALL) NOPASSWD: ALL");
        apply().ok().says_not("asks gitlab-runner");
        assert!(works(), "{sudo:?}");
    });
}

#[test]
fn what_clashes_with_another_file_is_found_before_it_is_live() {
    let host = |host: HostBuilder| {
        lay_out(host).file_mode(
            "/etc/sudoers.d/aa",
            "User_Alias CI = gitlab-runner\nCI ALL=(root) NOPASSWD: /usr/bin/id\n",
            0o440,
        )
    };
    with_each(SUDOS, host, |sudo, host| {
        // A file of ours that somebody broke, and one that is read before it: the new one mends it.
        host.sh(&format!(
            "printf '# Managed by runner-prep\\nUser_Alias CI = nobody\\n' > {FILE}; chmod 0440 {FILE}"
        ))
        .ok();
        host.prep(&["apply", "--profile", "site", "--only", "sudoers"]).ok();
        host.as_account(ACCOUNT, "sudo -n rsync --version; sudo -n id").ok();
        host.sh("visudo -c").ok();
        assert!(host.text(FILE).ends_with("args --one\n"), "{sudo:?}");
    });
}

#[test]
fn a_policy_that_turns_out_worse_gets_its_old_bytes_back() {
    with_each(SUDOS, lay_out, |sudo, host| {
        let old = "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/id\n";
        std::fs::write(host.path(FILE), old).unwrap();
        host.sh(&format!("chmod 0440 {FILE}")).ok();
        // Content with every copy, and not with the file where it is live.
        let picky = format!(
            "#!/bin/sh\ncase \"$*\" in -c) grep -q rsync {FILE} && {{ echo 'no, not live' >&2; exit 1; }} ;; esac\nexit 0\n"
        );
        std::fs::write(host.path("/usr/local/sbin/visudo"), picky).unwrap();
        host.sh("chmod 0755 /usr/local/sbin/visudo").ok();
        host.prep(&["apply", "--profile", "site", "--only", "sudoers"])
            .exit(2)
            .says("/usr/local/sbin/visudo does not accept the rule: no, not live");
        assert_eq!(host.text(FILE), old, "{sudo:?}");
        host.as_account(ACCOUNT, "sudo -n id").ok();
        // One visudo that is content with everything does not hide the next one from us.
        std::fs::write(host.path("/usr/local/sbin/visudo"), "#!/bin/sh\nexit 0\n").unwrap();
        let second = "#!/bin/sh\nfor file; do :; done\ncase \"$*\" in *-f*) grep -rq rsync \"$(dirname \"$file\")\" && { echo 'no, says the second' >&2; exit 1; } ;; esac\nexit 0\n";
        std::fs::write(host.path("/usr/local/bin/visudo"), second).unwrap();
        host.sh("chmod 0755 /usr/local/bin/visudo").ok();
        host.prep(&["apply", "--profile", "site", "--only", "sudoers"])
            .exit(2)
            .says("/usr/local/bin/visudo does not accept the rule: no, says the second");
        assert_eq!(host.text(FILE), old, "{sudo:?}");
    });
}

#[test]
fn what_keeps_sudo_rs_from_its_rules_is_named() {
    with_each(SUDOS.iter().filter(|sudo| sudo.is_rust), lay_out, |_, host| {
        let apply = || host.prep(&["apply", "--profile", "site", "--only", "sudoers"]);
        host.sh("mkfifo /etc/sudoers.d/pipe").ok();
        host.as_account(ACCOUNT, "timeout 2 sudo -n id").exit(124);
        apply().exit(2).says("/etc/sudoers.d/pipe is a FIFO").says("sudo-rs waits for it for ever");
        host.sh("rm /etc/sudoers.d/pipe").ok();
        // A main file of its own, without the directory.
        host.sh("echo 'root ALL=(ALL:ALL) ALL' > /etc/sudoers-rs; chmod 0440 /etc/sudoers-rs").ok();
        apply()
            .exit(2)
            .says("a rule there would be dead")
            .says("sudo-rs reads /etc/sudoers-rs instead of /etc/sudoers");
        assert!(!host.path(FILE).exists());
        host.prep(&["doctor", "--profile", "site"]).exit(1).says("sudo-rs reads /etc/sudoers-rs instead of");
        host.sh("echo '@includedir /etc/sudoers.d' >> /etc/sudoers-rs").ok();
        apply().ok().says_not("sudoers-rs");
        host.as_account(ACCOUNT, "sudo -n rsync --version").ok();
        host.prep(&["doctor", "--profile", "site"]).says_not("sudoers-rs");
    });
}

/// How `/etc/sudoers` reads the drop-ins, and other files beside it.
#[test]
fn what_the_policy_includes_is_read_as_sudo_reads_it() {
    let main = "root ALL=(ALL:ALL) ALL\n@include sudoers.local\n#includedir sudoers.d\n";
    let lay_out = |host: HostBuilder| {
        lay_out(host)
            .file_mode("/etc/sudoers", main, 0o440)
            .file_mode("/etc/sudoers.local", "User_Alias LOCAL = deploy-www\n", 0o440)
            .file_mode(
                "/etc/sudoers.d/10-more",
                "LOCAL ALL=(ALL) NOPASSWD: /usr/bin/true\n@include more.conf\n",
                0o440,
            )
            .file_mode("/etc/sudoers.d/more.conf", "Cmnd_Alias MORE = /usr/bin/true\n", 0o440)
    };
    with_each(SUDOS, lay_out, |_, host| {
        host.sh("visudo -c >&2; su deploy-www -c 'sudo -n true'").ok();
        prepare(host);
        host.as_account(ACCOUNT, "sudo -n rsync --version").ok();
        host.prep(&["check", "--profile", "site"]).ok();
        // An alias of a file that is read from there is known in the copy, too.
        host.sh("rm /etc/sudoers.d/gitlab-runner; echo 'MORE = /usr/bin/id' >>/etc/sudoers.local").ok();
        host.prep(&["apply", "--profile", "site"]).exit(2).says("/etc/sudoers.local").says("broken already");
    });
}

/// sudo-rs reads `/etc/sudoers-rs` instead, where that is.
#[test]
fn the_main_file_of_sudo_rs_is_judged_too() {
    let lay_out = |host: HostBuilder| {
        let policy = "root ALL=(ALL:ALL) ALL\nUser_Alias OURS = gitlab-runner\n@includedir /etc/sudoers.d\n";
        lay_out(host).file_mode("/etc/sudoers-rs", policy, 0o440)
    };
    with_each(SUDOS.iter().filter(|sudo| sudo.is_rust), lay_out, |_, host| {
        prepare(host);
        host.as_account(ACCOUNT, "sudo -n rsync --version").ok();
        host.sh("rm /etc/sudoers.d/gitlab-runner; echo 'OURS ALL = (' >>/etc/sudoers-rs").ok();
        let run = host.prep(&["apply", "--profile", "site"]);
        run.exit(2).says("broken already").says("/etc/sudoers-rs:4:");
        host.sh("test ! -e /etc/sudoers.d/gitlab-runner").ok();
    });
}
