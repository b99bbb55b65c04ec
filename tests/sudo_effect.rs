//! Policies of sudo in which somebody else's line decides what becomes of our rule: what a real sudo does in a job, and
//! what is said of it, each time the same.

#![allow(
    clippy::print_stderr,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test says what it ran with, and stops where it can't"
)]

mod support;

use support::{Host, HostBuilder, Run, SUDOS, Sudo, Tree, have, with_each};

const ACCOUNT: &str = "gitlab-runner";
const PROFILE: &str = "summary = \"test\"\n[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";

/// Where the lines of a case are put.
#[derive(Debug, Clone, Copy)]
enum At {
    /// In a file that is read after ours.
    LaterFile,
    /// In `/etc/sudoers`, behind the line that reads the directory.
    MainEnd,
    /// In a file that is read before ours.
    EarlierFile,
}

/// What has to be said where the real sudo refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    /// One of these codes, whatever this sudo thinks of it.
    Code(&'static str),
    /// The same, or that only sudo can judge it.
    CodeOrUnknown(&'static str),
}
use Say::{Code, CodeOrUnknown};

const ASKS: Say = Code("sudo-password-asked");
const DENIED: Say = Code("rule-without-effect");
const NOT_FOUND: Say = Code("command-not-in-secure-path");

#[rustfmt::skip]
const CASES: &[(At, &str, Say)] = &[
    (At::LaterFile, "# a comment, and an alias\nUser_Alias X = gitlab-runner", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/bin/rsy*", ASKS),
    (At::LaterFile, "%gitlab-runner ALL=(ALL) /usr/bin/r*", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ^/usr/bin/rs.*$", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ^/usr/(s?)bin/rsync$", CodeOrUnknown("sudo-password-asked")),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ^/usr/bin/apt-.*$", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/bin/", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /bin/rsync", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/*/rsync", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/bin/apt*, /usr/sbin/", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) !/usr/bin/rs*", DENIED),
    (At::LaterFile, "gitlab-runner ALL=(ALL) NOPASSWD: ALL, !/usr/bin/rsync", DENIED),
    (At::LaterFile, "gitlab-runner ALL=(ALL) NOPASSWD: ALL, PASSWD: /usr/bin/r*", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) PASSWD: ALL, NOPASSWD: /usr/bin/rsync", ASKS),
    (At::LaterFile, "Cmnd_Alias A=/usr/bin/r*\nCmnd_Alias B=A,/bin/ls\nUser_Alias U=%gitlab-runner\nU ALL=(ALL) B", ASKS),
    (At::LaterFile, "Cmnd_Alias A=/usr/bin/r*\nCmnd_Alias B=ALL,!A\ngitlab-runner ALL=(ALL) NOPASSWD: B", DENIED),
    (At::LaterFile, "Host_Alias H=otherhost\ngitlab-runner H=(ALL) ALL", ASKS),
    (At::LaterFile, "Host_Alias H=runner-host\ngitlab-runner H=(ALL) \\\n  ALL", ASKS),
    (At::LaterFile, "Runas_Alias R=root,daemon\ngitlab-runner ALL=(R) /usr/bin/rsync", CodeOrUnknown("sudo-password-asked")),
    (At::LaterFile, "gitlab-runner ALL=(#0) ALL", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(%root) ALL", CodeOrUnknown("sudo-password-asked")),
    (At::LaterFile, "gitlab-runner ALL=(ALL, !root) ALL", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(daemon) ALL", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(:ALL) ALL", ASKS),
    (At::LaterFile, "#2001 ALL=(ALL) PASSWD: ALL", ASKS),
    (At::LaterFile, "%#2001 ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "%daemon ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "%more ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "%:nonunix ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "+netgroup ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "ALL ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "root, daemon ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "Defaults !authenticate\ngitlab-runner ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "Defaults exempt_group=gitlab-runner\ngitlab-runner ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/rsync !authenticate", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/rsync authenticate", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ALL\nDefaults !authenticate\nDefaults!/usr/bin/rsync authenticate", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ALL\nDefaults>root !authenticate", ASKS),
    (At::LaterFile, "Defaults !root_sudo", ASKS),
    (At::LaterFile, "Defaults !root_sudo\n%gitlab-runner ALL=(ALL) ALL", ASKS),
    (At::LaterFile, "Defaults listpw=always", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/bin/rsync *", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) /usr/bin/rsync -*", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) ^/usr/bin/rsync$ ^.*$", ASKS),
    (At::LaterFile, "gitlab-runner ALL=(ALL) !/usr/bin/rsync *", DENIED),
    (At::LaterFile, "gitlab-runner ALL=(ALL) CWD=/nope NOPASSWD: /usr/bin/rsync", DENIED),
    (At::LaterFile, "gitlab-runner ALL=(ALL) CHROOT=/srv NOPASSWD: /usr/bin/rsync", DENIED),
    (At::LaterFile, "gitlab-runner ALL=(ALL) NOTAFTER=20200101000000Z /usr/bin/rsync", ASKS),
    (At::LaterFile, "Defaults runcwd=/nope", DENIED),
    (At::LaterFile, "Defaults:gitlab-runner runchroot=/srv", DENIED),
    (At::LaterFile, "Defaults log_output, iolog_dir=/proc/x", DENIED),
    (At::EarlierFile, "Defaults log_output", DENIED),
    (At::LaterFile, "Defaults !!requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults!/usr/bin/id requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults>daemon requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults passprompt=requiretty, requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults badpass_message=\"no requiretty\", requiretty", Code("sudo-requiretty")),
    (At::MainEnd, "%gitlab-runner ALL=(ALL) ALL", ASKS),
    (At::MainEnd, "root ALL=(ALL) ALL\ngitlab-runner ALL = \\\n (root) /usr/bin/r*\n# end", ASKS),
    (At::MainEnd, "gitlab-runner ALL=(ALL) !/usr/bin/rsync", DENIED),
    (At::EarlierFile, "gitlab-runner ALL=(ALL) ALL, !/usr/bin/rsync", ASKS),
    (At::EarlierFile, "Defaults requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults env_reset, requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults:%gitlab-runner \\\n  requiretty", Code("sudo-requiretty")),
    (At::MainEnd, "Defaults!/usr/bin/rsync requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults requiretty\nDefaults:daemon, gitlab-runner !requiretty", ASKS),
    (At::LaterFile, "Defaults:%gitlab-runner secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults:#2001 secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "User_Alias CIS = gitlab-runner\nDefaults:CIS secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults>root secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults:%daemon secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults:gitlab-runner secure_path=/usr/sbin\nDefaults secure_path=/usr/bin", NOT_FOUND),
    (At::LaterFile, "Defaults:daemon, root secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults exempt_group=gitlab-runner, secure_path=/usr/sbin", NOT_FOUND),
    (At::LaterFile, "Defaults>root requiretty", Code("sudo-requiretty")),
    (At::LaterFile, "Defaults requiretty\nDefaults!/usr/bin/rsync !requiretty", ASKS),
    (At::LaterFile, "Defaults requiretty\nDefaults!/usr/bin/rsync !requiretty\ngitlab-runner ALL=(ALL) ALL", CodeOrUnknown("rule-without-effect")),
    (At::LaterFile, "Defaults runas_default=nobody-has-it", ASKS),
    (At::LaterFile, "Defaults log_output, iolog_dir=/proc/x\nDefaults pam_service=su", DENIED),
    (At::LaterFile, "@include /etc/sudoers.more", ASKS),
    (At::LaterFile, "@includedir /etc/more.d", ASKS),
];

fn lay_out(host: HostBuilder) -> HostBuilder {
    host.account(ACCOUNT, 2001, "/home/gitlab-runner").file("/etc/runner-prep/profiles/site.toml", PROFILE)
}

fn put(host: &Host, at: At, text: &str) {
    let (file, how) = match at {
        At::LaterFile => ("/etc/sudoers.d/zz", ">"),
        At::MainEnd => ("/etc/sudoers", ">>"),
        At::EarlierFile => ("/etc/sudoers.d/aa", ">"),
    };
    host.sh(&format!(
        "rm -f /etc/sudoers.d/*; cp /etc/sudoers.first /etc/sudoers; cat {how} {file} <<'END'\n{text}\nEND\n\
         chmod 0440 /etc/sudoers {file}"
    ))
    .ok();
}

fn works(host: &Host) -> bool {
    host.as_account(ACCOUNT, "sudo -n rsync --version").status == 0
}

fn apply(host: &Host) -> Run {
    host.prep(&["--json", "apply", "--profile", "site", "--only", "sudoers"])
}

/// Every command that answers says the same.
fn answers(sudo: &Sudo, host: &Host, case: &str, say: Say, all: bool) {
    let name = format!("{}: {case}", sudo.name);
    let plan = host.prep(&["--json", "plan", "--profile", "site", "--only", "sudoers"]);
    let first = apply(host);
    let truth = works(host);
    let again = apply(host);
    let check = host.prep(&["--json", "check", "--profile", "site", "--only", "sudoers"]);
    for run in [&first, &again, &check] {
        let found = run.json()["pending"].clone();
        if truth {
            assert!(run.status == 0 && found.as_array().is_none_or(Vec::is_empty), "{name}: {run}");
            continue;
        }
        let code = found[0]["code"].as_str().unwrap_or_default();
        let is_said = match say {
            Code(expected) => code == expected,
            CodeOrUnknown(expected) => code == expected || code == "sudo-effect-unknown",
        };
        assert!(run.status == 3 && is_said, "{name}: {run}");
    }
    // Said before the rule is there as it is afterwards.
    let told = |run: &Run| {
        let document = run.json();
        [document["pending"].clone(), document["warnings"].clone()]
    };
    assert!(plan.status == 0 && told(&plan) == told(&check), "{name}: {plan}\n{check}");
    if !all {
        return;
    }
    let doctor = host.prep(&["doctor", "--profile", "site", "--json"]).json();
    let effect: Vec<&serde_json::Value> =
        doctor["findings"].as_array().unwrap().iter().filter(|one| one["check"] == "sudo-effect").collect();
    assert_eq!(effect.iter().any(|one| one["status"] == "ok"), truth, "{name}: {effect:?}");
    if truth {
        return;
    }
    let repair = again.json()["pending"][0]["repair"].as_str().unwrap().to_owned();
    let (_, command) =
        repair.split_once(": ").unwrap_or_else(|| unreachable!("{name}: no command in {repair}"));
    if say == NOT_FOUND {
        let call = command.split(';').next().unwrap();
        host.as_account(ACCOUNT, &format!("{} --version", call.replace("sudo", "sudo -n"))).ok();
        return;
    }
    let done = host.sh(command);
    assert!(works(host), "{name}: {repair}\n{done}");
    assert_eq!(apply(host).status, 0, "{name}: {repair}");
}

/// Where `all`, every command is asked, and the repair carried out.
fn table(sudos: &'static [Sudo], all: bool) {
    with_each(sudos, lay_out, |sudo, host| {
        host.sh(&format!(
            "cp /etc/sudoers /etc/sudoers.first; groupadd more; usermod -aG more {ACCOUNT}; mkdir /etc/more.d
             echo '{ACCOUNT} ALL=(ALL) ALL' | tee /etc/sudoers.more >/etc/more.d/x
             chmod 0440 /etc/sudoers.more /etc/more.d/x"
        ))
        .ok();
        for (at, text, say) in CASES {
            put(host, *at, text);
            // What this sudo does not read at all is not a policy.
            let is_read = host.sh("visudo -c || exit 9").status != 9;
            if !is_read || host.as_account(ACCOUNT, "sudo -n -l").contains("panicked") {
                eprintln!("{}: not its language: {text}", sudo.name);
                continue;
            }
            answers(sudo, host, text, *say, all);
        }
    });
}

#[test]
fn what_takes_a_rule_away_is_said_each_time() {
    table(&SUDOS[..1], true);
}

#[test]
fn what_takes_a_rule_away_is_said_each_time_with_other_versions() {
    table(&SUDOS[1..4], false);
}

#[test]
fn what_takes_a_rule_away_is_said_each_time_with_sudo_rs() {
    table(&SUDOS[4..], false);
}

#[test]
fn another_name_of_the_same_number_takes_the_rule_away() {
    with_each([&SUDOS[0], &SUDOS[5]], lay_out, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first; sed -i '1i twin:x:2001:2001::/home/gitlab-runner:/bin/sh' /etc/passwd; echo 'twin:!:19000::::::' >> /etc/shadow").ok();
        answers(sudo, host, "twin", Code("sudo-other-name"), true);
        host.sh("sed -i 's/^twin:x:2001/twin:x: 02001/' /etc/passwd").ok();
        answers(sudo, host, "twin, padded", Code("sudo-other-name"), true);
    });
}

#[test]
fn lines_that_the_c_library_passes_over_take_no_name_away() {
    let Some(host) = Host::or_skip() else { return };
    let host = lay_out(host).start();
    apply(&host).exit(0);
    for line in
        ["twin:x:2001", "#twin:x:2001:2001::/:/bin/sh", "-twin:x:2001:2001::/:", "+twin:x:2001:2001::/:"]
    {
        host.sh(&format!("sed -i '1i {line}' /etc/passwd")).ok();
        assert!(works(&host), "{line}");
        host.prep(&["check", "--profile", "site"]).exit(0);
    }
}

#[test]
fn a_policy_that_works_is_not_refused() {
    with_each([&SUDOS[0], &SUDOS[2], &SUDOS[5]], lay_out, |sudo, host| {
        // Another path leads to the directory.
        host.sh("ln -s sudoers.d /etc/more.d; cp /etc/sudoers /etc/first").ok();
        for path in ["/etc/more.d", "/etc/../etc/sudoers.d", "/etc/sudoers.d/"] {
            host.sh(&format!("sed 's#^@includedir.*#@includedir {path}#' /etc/first >/etc/sudoers")).ok();
            host.sh("rm -f /etc/sudoers.d/gitlab-runner").ok();
            assert_eq!(apply(host).status, 0, "{}: {path}", sudo.name);
            assert!(works(host), "{}: {path}", sudo.name);
        }
        host.sh("cp /etc/first /etc/sudoers").ok();
        // The file that reads the directory is read itself, and nobody's file has the name of ours.
        host.sh("sed -i 's/^@includedir.*/@include sudoers.more/' /etc/sudoers; echo '@includedir /etc/sudoers.d' > /etc/sudoers.more; chmod 0440 /etc/sudoers.more").ok();
        for text in ["", "# to be filled in"] {
            host.sh(&format!(
                "echo '{text}' > /etc/sudoers.d/gitlab-runner; chmod 0440 /etc/sudoers.d/gitlab-runner"
            ))
            .ok();
            assert_eq!(apply(host).status, 0, "{}", sudo.name);
            assert!(works(host), "{}", sudo.name);
        }
    });
    let tree = Tree::new().account(ACCOUNT, 998, "/home/gitlab-runner").file("etc/site.toml", PROFILE);
    tree.remove("etc/sudoers");
    let tree = tree.file_mode("usr/etc/sudoers", "root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440);
    let profile = tree.path("etc/site.toml").display().to_string();
    tree.run(&["plan", "--profile", &profile]).ok().says("+ gitlab-runner ALL");
    if have(&["visudo"]) {
        tree.run(&["apply", "--profile", &profile]).ok();
    }
}

#[test]
fn what_can_not_be_written_is_refused_before_an_account_is_made() {
    let Some(host) = Host::or_skip() else { return };
    let host = host.file("/etc/runner-prep/profiles/site.toml", PROFILE).start();
    let shell = ["--profile", "shell"];
    for (name, before, after, text) in [
        ("root's home", "mkdir /home/gitlab-runner", "rmdir /home/gitlab-runner", "belongs to uid 0"),
        (
            "another's home",
            "mkdir /home/gitlab-runner; chown 4321 /home/gitlab-runner",
            "rmdir /home/gitlab-runner",
            "uid 4321",
        ),
        ("a file", "touch /home/gitlab-runner", "rm /home/gitlab-runner", "is a regular file"),
        (
            "read-only directory",
            "mount --bind /etc/ssh /etc/ssh; mount -o remount,bind,ro /etc/ssh",
            "umount /etc/ssh",
            "/etc/ssh is on a read-only file system",
        ),
        (
            "read-only state",
            "mkdir -p /var/lib/runner-prep; mount --bind /var/lib/runner-prep /var/lib/runner-prep; mount -o remount,bind,ro /var/lib/runner-prep",
            "umount /var/lib/runner-prep; rmdir /var/lib/runner-prep",
            "read-only",
        ),
        (
            "read-only /home",
            "mount --bind /home /home; mount -o remount,bind,ro /home",
            "umount /home",
            "/home is on a read-only",
        ),
        (
            "append-only directory",
            "chattr +a /etc/sudoers.d",
            "chattr -a /etc/sudoers.d",
            "/etc/sudoers.d is append-only",
        ),
        (
            "immutable directory",
            "chattr +i /etc/sudoers.d",
            "chattr -i /etc/sudoers.d",
            "/etc/sudoers.d is immutable",
        ),
    ] {
        host.sh(before).ok();
        let stamps = host.stamps();
        for command in ["plan", "check", "apply"] {
            let run = host.prep(&[&[command], &shell[..]].concat());
            // `check` itself runs where everything is read-only to it (its units), and only compares.
            let refused = if command == "check" && name.starts_with("read-only") {
                run.status == 1
            } else {
                run.status == 2 && run.contains(text)
            };
            assert!(refused, "{name}: {run}");
        }
        support::assert_unchanged(&stamps, &host.stamps());
        host.sh(after).ok();
    }
    host.prep(&["apply", "--profile", "shell"]).ok();
    // What gitlab-runner writes, too.
    host.sh("mkdir -m 0700 /etc/gitlab-runner; touch /etc/gitlab-runner/config.toml").ok();
    host.sh("printf '[[runners]]\nname = \"x\"\nurl = \"https://gitlab.com\"\ntoken = \"x\"\nexecutor = \"docker\"\n' > /etc/gitlab-runner/config.toml
         chmod 0600 /etc/gitlab-runner/config.toml; mount --bind /etc/gitlab-runner /etc/gitlab-runner; mount -o remount,bind,ro /etc/gitlab-runner").ok();
    for command in ["plan", "apply"] {
        let run = host.prep(&[command, "--profile", "dind", "--only", "config"]);
        run.exit(2).says("error: /etc/gitlab-runner is on a read-only file system").says_not("config.toml");
    }
    host.sh("umount /etc/gitlab-runner").ok();
    host.prep(&["plan", "--profile", "dind", "--only", "config"]).ok();
    let repair = "rm -r /home/gitlab-runner/.ssh; chmod 0555 /home/gitlab-runner";
    host.sh(repair).ok();
    let run = host.prep(&["--json", "plan", "--profile", "shell"]);
    run.exit(2);
    let repair = run.json()["warnings"][0]["repair"].as_str().unwrap().to_owned();
    host.sh(repair.split_once(": ").unwrap().1).ok();
    host.prep(&["apply", "--profile", "shell"]).ok();
}

/// A file of somebody else's that sudo does not read to its end: said by all commands, before anything is written.
#[test]
fn a_policy_that_is_broken_elsewhere_is_told_before_anything_is_written() {
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    for line in [
        "this is (broken",
        "gitlab-runner ALL=(ALL NOPASSWD: ALL",
        "ops ALL=",
        "Defaults no_such_thing",
        "Defaults passwd_tries=many",
        "User_Alias A = x\\nUser_Alias A = y",
        "@include /etc/nowhere",
    ] {
        let Some(host) = Host::or_skip() else { return };
        let host = host
            .account(ACCOUNT, 998, "/home/gitlab-runner")
            .file("/etc/runner-prep/profiles/test.toml", PROFILE)
            .start();
        host.prep(&["apply", "--profile", "test", "--only", "sudoers"]).ok();
        let zz =
            format!("umask 027; printf '%b\\n' '{line}' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz");
        host.sh(&zz).ok();
        let said = "sudo's policy is broken already, not by runner-prep: /etc/sudoers.d/zz:";
        // Whether jobs can use it all the same is sudo's own affair.
        let works = host.sh("su -s /bin/sh gitlab-runner -c 'sudo -n rsync --version'").status == 0;
        for command in ["plan", "check", "apply"] {
            let run = host.prep(&[command, "--profile", "test", "--only", "sudoers", "-v"]);
            run.says(said).says("visudo -c").says_not("panicked");
            let waits = if works || command == "plan" { 0 } else { 3 };
            assert_eq!(run.status, waits, "{line}: {run}");
        }
        // doctor has a check of its own for it.
        let document = host.prep(&["doctor", "--profile", "test", "--json"]).json();
        let all = document["findings"].as_array().unwrap();
        let told = all.iter().filter(|one| one["code"] == "policy-broken").count();
        assert_eq!(told, 1, "{line}: {document}");
        host.sh("rm /etc/sudoers.d/gitlab-runner").ok();
        for command in ["plan", "check"] {
            host.prep(&[command, "--profile", "test", "--only", "sudoers"]).exit(2).says(said);
        }
        host.prep(&["apply", "--profile", "test", "--only", "sudoers"]).exit(2).says("/etc/sudoers.d/zz");
    }
}

/// Where a file has changed since ours was written, visudo is asked; where there is none, that is said as it is.
#[test]
fn what_has_changed_since_is_asked_of_visudo_and_nothing_else_is() {
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host
        .account(ACCOUNT, 998, "/home/gitlab-runner")
        .file("/etc/runner-prep/profiles/test.toml", PROFILE)
        .start();
    let check = ["check", "--profile", "test", "--only", "sudoers", "--json"];
    let codes = |host: &Host| {
        let document = host.prep(&check).ok().json();
        let all = document["warnings"].as_array().unwrap();
        all.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    host.prep(&["apply", "--profile", "test", "--only", "sudoers"]).ok();
    let before = codes(&host);
    host.sh("umask 027; echo 'ops ALL=(ALL) ALL' > /etc/sudoers.d/aa").ok();
    assert_eq!(codes(&host), before, "a file that visudo takes");
    host.sh("mount --bind /dev/null $(command -v visudo)").ok();
    assert_eq!(codes(&host), [&before[..], &["policy-unknown".to_owned()]].concat());
    host.sh("rm /etc/sudoers.d/aa").ok();
    assert_eq!(codes(&host), before, "nothing leaves a doubt");
}

/// What a repair moves away takes nobody else's place.
#[test]
fn a_repair_leaves_the_rules_of_others() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    apply(&host).exit(0);
    host.sh(
        "echo '# of somebody' > /etc/sudoers.d/00-zz; echo 'gitlab-runner ALL=(ALL) ALL' > /etc/sudoers.d/zz
         chmod 0440 /etc/sudoers.d/*zz",
    )
    .ok();
    let run = apply(&host);
    let repair = run.exit(3).json()["pending"][0]["repair"].as_str().unwrap().to_owned();
    host.sh(repair.split_once(": ").unwrap().1).ok();
    apply(&host).exit(0);
    assert_eq!(host.text("/etc/sudoers.d/00-zz"), "# of somebody\n");
    assert!(works(&host));
}

/// A file of the name of our second one, which somebody else wrote, is read like any other.
#[test]
fn a_foreign_file_with_a_name_of_ours_counts() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    apply(&host).exit(0);
    for line in ["gitlab-runner ALL=(ALL) PASSWD: /usr/bin/rsync", "Defaults:gitlab-runner requiretty"] {
        let file = "/etc/sudoers.d/gitlab-runner-deploy";
        host.sh(&format!("rm -f {file}; echo '{line}' > {file}; chmod 0440 {file}")).ok();
        assert!(!works(&host), "{line}");
        apply(&host).exit(3);
        host.prep(&["check", "--profile", "site", "--only", "sudoers"]).exit(3);
    }
}

#[test]
fn whom_a_job_becomes_is_looked_at() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    apply(&host).exit(0);
    host.sh("echo 'Defaults runas_default=daemon' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz").ok();
    host.prep(&["check", "--profile", "site", "--only", "sudoers"])
        .exit(3)
        .says("runs as daemon and not as root: /etc/sudoers.d/zz:1 says runas_default=daemon");
}

/// sudo reads no rule at all then.
#[test]
fn the_main_file_is_roots_alone() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    apply(&host).exit(0);
    for spoil in [
        "chmod 0666 /etc/sudoers",
        "chown 2001 /etc/sudoers",
        "chgrp 2001 /etc/sudoers; chmod 0460 /etc/sudoers",
    ] {
        host.sh(spoil).ok();
        assert!(!works(&host), "{spoil}");
        let run = host.prep(&["--json", "check", "--profile", "site", "--only", "sudoers"]);
        let pending = run.exit(3).json()["pending"][0].clone();
        assert_eq!(pending["code"], "sudoers-main-mode", "{run}");
        host.sh(pending["repair"].as_str().unwrap().split_once(": ").unwrap().1).ok();
        assert!(works(&host), "{spoil}");
        host.prep(&["check", "--profile", "site", "--only", "sudoers"]).exit(0);
    }
}

/// What only visudo sees is known before anything is written, too.
#[test]
fn a_plan_refuses_what_apply_would_refuse() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    for line in [
        "Defaults foobar",
        "Defaults secure_path",
        "Defaults umask=9999",
        "root ALL=(ALL) rsync",
        "User_Alias A = ops\nUser_Alias A = dev",
        "ops ALL=(ALL) FOO: ALL",
        "ops ALL=(ALL) ALL,",
        "@include /nosuch",
    ] {
        host.sh(&format!(
            "rm -f /etc/sudoers.d/*; printf '{line}\\n' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz"
        ))
        .ok();
        for command in ["plan", "check", "apply"] {
            let run = host.prep(&["--json", command, "--profile", "site", "--only", "sudoers"]);
            assert_eq!(run.exit(2).json()["warnings"][0]["code"], "policy-broken", "{line}: {run}");
        }
    }
    // The files together, of which each is good alone.
    host.sh("rm -f /etc/sudoers.d/*; for f in x y; do echo 'User_Alias A = ops' > /etc/sudoers.d/$f; done
         chmod 0440 /etc/sudoers.d/*")
        .ok();
    host.prep(&["plan", "--profile", "site", "--only", "sudoers"]).exit(2).says("/etc/sudoers.d/y:1");
}

/// PAM and sudo.conf have a say before any rule: what they refuse is said each time, whenever it was that they changed.
#[test]
fn what_is_refused_before_a_rule_is_read_is_said_each_time() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    host.sh("cp -a /etc/pam.d /root/pam.d; cp -a /etc/sudo.conf /root/sudo.conf || touch /root/sudo.conf")
        .ok();
    let check = || host.prep(&["--json", "check", "--profile", "site", "--only", "sudoers"]);
    for change in [
        "sed -i '1i account required pam_deny.so' /etc/pam.d/sudo",
        "sed -i '1i account [success=ok default=die] pam_nowhere.so' /etc/pam.d/sudo",
        "sed -i '1i account required pam_nowhere.so' /etc/pam.d/sudo",
        "sed -i '1i account required pam_succeed_if.so quiet user != gitlab-runner' /etc/pam.d/sudo",
        "rm /etc/pam.d/sudo; printf '%s required pam_deny.so\\n' account session >/etc/pam.d/other",
        "sed -i '1i Account Required pam_deny.so' /etc/pam.d/sudo",
        "sed -i '1i account [default=1] pam_permit.so' /etc/pam.d/sudo",
        "sed -i '1i account include nowhere' /etc/pam.d/sudo",
        "echo '@include nowhere' >>/etc/pam.d/sudo",
        "echo 'session required pam_limits.so conf=/etc/nowhere' >>/etc/pam.d/sudo",
        "sed -i 's/$/\\r/' /etc/pam.d/sudo",
        "echo 'Plugin sudoers_policy nowhere.so' >/etc/sudo.conf",
        "install -m 0440 /dev/null /etc/others; echo 'Plugin sudoers_policy sudoers.so sudoers_file=/etc/others' >/etc/sudo.conf",
    ] {
        host.sh("rm -rf /etc/pam.d /etc/sudoers.d/gitlab-runner; cp -a /root/pam.d /etc; cp -a /root/sudo.conf /etc").ok();
        apply(&host).exit(0);
        assert!(works(&host) && check().status == 0, "{change}: before");
        for since in [true, false] {
            if !since {
                host.sh("rm /etc/sudoers.d/gitlab-runner").ok();
            }
            host.sh(if since { change } else { "true" }).ok();
            let plan = host.prep(&["--json", "plan", "--profile", "site", "--only", "sudoers"]);
            for run in [apply(&host), apply(&host), check()] {
                assert!(!works(&host) && run.status == 3, "{change}, since: {since}: {run}");
            }
            assert_eq!(plan.json()["pending"], check().json()["pending"], "{change}, since: {since}");
        }
    }
}

/// A command that is not called to try it: what only a call would tell is not known.
#[test]
fn what_only_a_call_would_tell_is_not_known() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo"]) {
        return;
    }
    let rule = "summary = \"test\"\n[[sudoers.rule]]\nrun_as = \"daemon\"\ncommands = [\"/usr/bin/id\"]\n";
    let host = lay_out(host).file("/etc/runner-prep/profiles/rule.toml", rule).start();
    let check = || host.prep(&["check", "--profile", "rule", "--only", "sudoers"]);
    host.prep(&["apply", "--profile", "rule", "--only", "sudoers"]).exit(0);
    for text in [
        "Defaults runcwd=/nope",
        "gitlab-runner ALL=(ALL) CWD=/nope NOPASSWD: ALL",
        "gitlab-runner ALL=(ALL) NOTBEFORE=20900101000000Z ALL",
    ] {
        host.sh(&format!("install -m 0440 /dev/stdin /etc/sudoers.d/zz <<'END'\n{text}\nEND")).ok();
        let run = check();
        assert!(run.contains("not known") || run.contains("unknown"), "{text}: {run}");
        host.sh("rm /etc/sudoers.d/gitlab-runner").ok();
        let plan = host.prep(&["plan", "--profile", "rule", "--only", "sudoers"]);
        assert!(plan.contains("not known") || plan.contains("unknown"), "{text}: {plan}");
        host.prep(&["apply", "--profile", "rule", "--only", "sudoers"]);
    }
    host.sh("rm /etc/sudoers.d/zz").ok();
    check().exit(0);
}

/// Where the kernel lets no program see what is not there, the answer is not known; after it, nothing of it is left.
#[test]
fn what_can_not_be_foreseen_is_not_known() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync", "setpriv"]) {
        return;
    }
    let host = lay_out(host).start();
    let plan = |by: &str| {
        host.sh(&format!("{by} /opt/under-test/runner-prep plan --profile site --only sudoers --json"))
    };
    let without = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin";
    for (rule, code) in [
        ("gitlab-runner ALL=(ALL) ALL", Some("sudo-password-asked")),
        ("gitlab-runner ALL=(ALL) /usr/bin/id", None),
    ] {
        host.sh(&format!("echo '{rule}' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz")).ok();
        // Below /run sudo notes whom it has asked for a password.
        let left = || {
            let stamps = host.stamps().into_iter().filter(|line| !line.contains(" run"));
            [
                stamps.collect(),
                host.sh("cat /proc/self/mountinfo").stdout.lines().map(str::to_owned).collect(),
            ]
        };
        let before: [Vec<String>; 2] = left();
        let seen = plan("").exit(0).json()["pending"].clone();
        assert_eq!(seen[0]["code"].as_str(), code, "{rule}: {seen}");
        let unseen = plan(without).exit(0).json()["pending"].clone();
        assert_eq!(unseen[0]["code"], "sudo-effect-unknown", "{rule}: {unseen}");
        let message = unseen[0]["message"].as_str().unwrap();
        assert!(message.contains("only sudo can judge /etc/sudoers.d/zz:1"), "{rule}: {unseen}");
        assert_eq!(before, left(), "{rule}");
        // What it says to do helps before the rule is there as well as after.
        if let Some(repair) = seen[0]["repair"].as_str() {
            host.sh(repair.split_once(": ").unwrap().1).ok();
            assert_eq!(plan("").exit(0).json()["pending"].as_array().map(Vec::len), Some(0));
            apply(&host).exit(0);
            assert!(works(&host));
            host.sh("rm /etc/sudoers.d/*").ok();
        }
    }
}

/// Lines about commands that are not called to try them.
#[rustfmt::skip]
const UNTRIED: &[&str] = &[
    "gitlab-runner ALL=(ALL) /usr/bin/id",
    "gitlab-runner ALL=(ALL) /usr/bin/true",
    "gitlab-runner ALL=(ALL) !/usr/bin/id",
    "gitlab-runner ALL=(daemon) ALL",
    "gitlab-runner ALL=(ALL) ALL\nDefaults !authenticate",
    "gitlab-runner ALL=(ALL) PASSWD: ALL\nDefaults !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults:gitlab-runner !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/id !authenticate",
    "gitlab-runner ALL=(ALL) PASSWD: ALL\nDefaults!/usr/bin/id !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/true, /usr/bin/id !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/i* !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/true !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults !authenticate\nDefaults!/usr/bin/id authenticate",
    "gitlab-runner ALL=(ALL) ALL\nCmnd_Alias I = /usr/bin/id\nDefaults!I !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults>daemon !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults>root !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/id !requiretty, !authenticate",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/bin/id !authenticate\nDefaults!/usr/bin/id authenticate",
    "gitlab-runner ALL=(ALL) !/usr/bin/id\nDefaults!/usr/bin/id !authenticate",
    "Defaults!/usr/bin/id authenticate",
    "Defaults!/usr/bin/id requiretty",
    "Defaults!/usr/bin/true requiretty",
    "Defaults!/usr/bin/true !closefrom_override, requiretty, !log_input\nDefaults!/usr/bin/id !closefrom_override, !requiretty",
    "Defaults>daemon requiretty",
    "Defaults>root requiretty",
    "Defaults requiretty\nDefaults>daemon !requiretty",
    "Defaults requiretty\nDefaults!/usr/bin/id !requiretty",
    "gitlab-runner ALL=(ALL) TIMEOUT=1h NOPASSWD: ALL",
    "Defaults!/usr/bin/id requiretty\nDefaults!/usr/bin/id !requiretty",
    "gitlab-runner ALL=(ALL) ALL\nDefaults!/usr/local/sbin/runner-deploy !authenticate",
    "gitlab-runner ALL=(root) /usr/local/sbin/runner-deploy",
    "gitlab-runner ALL=(root) /usr/local/sbin/runner-deploy app",
    "gitlab-runner ALL=(root) /usr/local/sbin/runner-*",
    "gitlab-runner ALL=(root) ^/usr/local/(s|)bin/runner-deploy$",
    "gitlab-runner ALL=(%daemon) /usr/bin/id",
    "Defaults secure_path=/usr/bin",
    "Defaults:%daemon secure_path=/usr/bin",
];

/// Commands that are not called to try them: what is said is so or is not known, before the rules are there as afterwards.
#[test]
fn what_is_not_tried_is_told_as_it_is_or_not_known() {
    let profile = "summary = \"test\"\n[[sudoers.rule]]\nrun_as = \"daemon\"\ncommands = [\"/usr/bin/id\"]\n\
                   [[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n";
    let layout = |host| lay_out(host).file("/etc/runner-prep/profiles/rule.toml", profile);
    with_each([&SUDOS[0], &SUDOS[1], &SUDOS[3], &SUDOS[5]], layout, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first; install -m 0755 /opt/under-test/runner-prep /usr/local/bin/runner-prep").ok();
        for text in UNTRIED {
            put(host, At::LaterFile, text);
            host.sh("rm -f /usr/local/sbin/runner-deploy").ok();
            if host.sh("visudo -c || exit 9").status == 9 {
                eprintln!("{}: not its language: {text}", sudo.name);
                continue;
            }
            let name = format!("{}: {}", sudo.name, text.replace('\n', " / "));
            let call =
                |command| host.prep(&["--json", command, "--profile", "rule", "--only", "sudoers,deploy"]);
            let plan = call("plan");
            call("apply");
            let check = call("check");
            for key in ["pending", "warnings"] {
                assert_eq!(plan.json()[key], check.json()[key], "{name}");
            }
            let pending = check.json()["pending"].as_array().cloned().unwrap_or_default();
            let warnings = check.json()["warnings"].as_array().cloned().unwrap_or_default();
            let is_unknown = |shown: &str| {
                let begin = format!("whether {shown} does");
                warnings.iter().any(|one| one["message"].as_str().unwrap().starts_with(&begin))
            };
            let codes = |text: &str| -> Vec<String> {
                let about = pending.iter().filter(|one| one["message"].as_str().unwrap().contains(text));
                about.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
            };
            let mut without_terminal = 0;
            let calls =
                [("/usr/bin/id", "sudo -n -u daemon"), ("/usr/local/sbin/runner-deploy app", "sudo -n")];
            for (shown, sudo) in calls {
                let run = host.as_account(ACCOUNT, &format!("{sudo} {shown}"));
                if run.contains("must have a tty") {
                    without_terminal += usize::from(!is_unknown(shown));
                    continue;
                }
                let works = !run.contains("sudo") && !run.contains("Sorry");
                let said = codes(shown);
                let is_so = said.is_empty() == works || said == ["sudo-effect-unknown"] || is_unknown(shown);
                assert!(is_so, "{name}: {said:?}: {run}");
            }
            assert_eq!(codes("`Defaults requiretty`").len(), without_terminal, "{name}: {check}");
        }
    });
}

/// A job's own call, and the codes of what is said of it before and after `apply`.
fn whole_call(host: &Host, text: &str) -> (bool, Vec<String>) {
    put(host, At::LaterFile, text);
    let call = |command| host.prep(&["--json", command, "--profile", "site", "--only", "sudoers"]).json();
    let codes = |document: &serde_json::Value| -> Vec<String> {
        let all = ["pending", "warnings"].map(|key| document[key].as_array().cloned().unwrap_or_default());
        let codes = all.concat().into_iter().map(|one| one["code"].as_str().unwrap().to_owned());
        codes.filter(|code| code != "root-equivalent-command").collect()
    };
    let plan = codes(&call("plan"));
    call("apply");
    assert!(works(host), "{text}");
    host.sh("rm -rf /srv/app; mkdir /srv/app").ok();
    let job = host.as_account(ACCOUNT, "sudo -n rsync -a checkout/ /srv/app/");
    assert_eq!(plan, codes(&call("check")), "{text}");
    let doctor = host.prep(&["doctor", "--profile", "site", "-v"]);
    assert_eq!(doctor.contains("without a password (tried"), plan.is_empty(), "{text}: {doctor}");
    (job.status == 0, plan)
}

/// Rules and settings under which a call that does nothing goes well, and a job's own does not.
#[test]
fn what_only_a_whole_call_would_tell_is_not_known_either() {
    with_each([&SUDOS[0], &SUDOS[1], &SUDOS[3]], lay_out, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first").ok();
        host.as_account(ACCOUNT, "mkdir -m 0700 checkout; head -c 100000 /dev/zero >checkout/big").ok();
        for (text, code) in [
            ("Defaults rlimit_fsize=1000", Some("sudo-effect-unknown")),
            ("Defaults:%gitlab-runner rlimit_fsize=\"1000,infinity\"", Some("sudo-effect-unknown")),
            ("Defaults>root rlimit_nofile=6", Some("sudo-effect-unknown")),
            ("Defaults!/usr/bin/rsync rlimit_fsize=1000", Some("sudo-effect-unknown")),
            ("Defaults rlimit_fsize=1000\nDefaults pam_service=su", Some("sudo-effect-unknown")),
            ("gitlab-runner ALL=() ALL", Some("sudo-effect-unknown")),
            ("gitlab-runner ALL=(ALL) NOPASSWD: ALL, !/usr/bin/rsync -a *", Some("sudo-some-arguments")),
            ("Defaults runas_default=daemon", Some("rule-without-effect")),
            ("Defaults!/usr/bin/rsync runas_default=daemon", Some("rule-without-effect")),
            ("Defaults>root runas_default=daemon", Some("rule-without-effect")),
            ("Defaults rlimit_core=0", None),
            ("Defaults rlimit_fsize=infinity", None),
            ("Defaults rlimit_fsize=1000\nDefaults !rlimit_fsize", None),
            ("Defaults pam_service=su\nDefaults runas_default=root", None),
        ] {
            host.sh(&format!("printf '{text}\n' >/root/text")).ok();
            if host.sh("visudo -c -f /root/text || exit 9").status == 9 {
                eprintln!("{}: not its language: {text}", sudo.name);
                continue;
            }
            let (goes_well, said) = whole_call(host, text);
            // Newer ones become root by a rule that names nobody.
            let is_so = goes_well == code.is_none() || goes_well && text.contains("()");
            assert!(is_so, "{}: {text}", sudo.name);
            assert_eq!(said, Vec::from_iter(code), "{}: {text}", sudo.name);
        }
    });
}

/// What a rule says of the arguments of the call that is tried says nothing of others.
#[test]
fn a_rule_about_the_call_that_is_tried_decides_nothing_else() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "rsync"]) {
        return;
    }
    let host = lay_out(host).start();
    host.sh("cp /etc/sudoers /etc/sudoers.first").ok();
    for text in [
        "gitlab-runner ALL=(ALL) /usr/bin/rsync --version",
        "gitlab-runner ALL=(ALL) !/usr/bin/rsync --version",
    ] {
        put(&host, At::LaterFile, text);
        apply(&host).exit(0);
        assert!(!works(&host), "{text}");
        host.as_account(ACCOUNT, "touch x; sudo -n rsync x /srv").ok();
        let check = host.prep(&["check", "--profile", "site", "--only", "sudoers", "-v"]);
        check.exit(0).says("decides where /usr/bin/rsync has the arguments of");
    }
}

/// A later rule for some arguments waits for a person where README's own job has them.
#[test]
fn a_later_rule_for_the_arguments_of_readmes_job_waits() {
    let with = |text: &str, host: &Host| {
        host.sh(&format!(
            "install -m 0440 /dev/null /etc/sudoers.d/zz; printf '%s\\n' '{text}' >/etc/sudoers.d/zz"
        ))
        .ok();
        host.sh("rm -rf /srv/app; mkdir -p /srv/app").ok();
        let job = "mkdir -p x; sudo -n rsync -avu --exclude .git --chown=root:root x/ /srv/app";
        let is_green = host.as_account(ACCOUNT, job).status == 0;
        let check = host.prep(&["check", "--profile", "site", "--only", "sudoers", "-v"]);
        assert_eq!(check.status, if is_green { 0 } else { 3 }, "{text}: {check}");
        assert_eq!(host.prep(&["apply", "--profile", "site", "--only", "sudoers"]).status, check.status);
        is_green
    };
    with_each(SUDOS, lay_out, |sudo, host| {
        apply(host).exit(0);
        let waits = [
            "/usr/bin/rsync -avu *",
            "/usr/bin/rsync -a*",
            "/usr/bin/rsync -*",
            "!/usr/bin/rsync -avu *",
            "/usr/bin/rsync -avu --exclude .git *",
            "/usr/bin/rsync -avu *, /usr/bin/rsync --daemon",
        ];
        for rule in waits {
            if host.sh(&format!("printf '%s\\n' '{ACCOUNT} ALL=(ALL) {rule}' >/root/text; visudo -c -f /root/text || exit 9")).status == 9 {
                eprintln!("{}: not its language: {rule}", sudo.name);
                continue;
            }
            // Some versions of sudo-rs read such a rule letter by letter.
            let is_green = with(&format!("{ACCOUNT} ALL=(ALL) {rule}"), host);
            assert!(!is_green || sudo.name.contains("sudo-rs"), "{}: {rule}", sudo.name);
        }
        for rule in ["/usr/bin/rsync --daemon", "/usr/bin/rsync -z", "NOPASSWD: /usr/bin/rsync -avu *"] {
            assert!(with(&format!("{ACCOUNT} ALL=(ALL) {rule}"), host), "{}: {rule}", sudo.name);
        }
    });
}

/// `visudo` finds nothing wrong with it that it could name, and sudo works.
#[test]
fn a_locale_that_the_host_lacks_breaks_no_policy() {
    with_each([&SUDOS[0], &SUDOS[1], &SUDOS[3]], lay_out, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first").ok();
        for at in [At::EarlierFile, At::MainEnd] {
            put(host, at, "Defaults sudoers_locale=xx_YY");
            host.prep(&["plan", "--profile", "site", "--only", "sudoers"]).exit(0);
            apply(host).exit(0);
            assert!(works(host), "{}", sudo.name);
            host.prep(&["check", "--profile", "site", "--only", "sudoers"]).exit(0);
            host.prep(&["doctor", "--profile", "site"]).says_not("visudo objects");
            // It still tells what is wrong.
            put(host, at, "Defaults sudoers_locale=xx_YY\nops ALL = (");
            apply(host).exit(2).says("policy-broken");
        }
    });
}

/// A group that the account is given by the same run, and a later rule about it.
#[test]
fn what_a_new_group_brings_is_said_before_it_is_there() {
    let profile =
        "summary = \"test\"\n[account]\ngroups = [\"late\"]\n[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";
    let layout = |host| lay_out(host).file("/etc/runner-prep/profiles/join.toml", profile);
    with_each([&SUDOS[0], &SUDOS[3], &SUDOS[5]], layout, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first; groupadd late").ok();
        let call =
            |command| host.prep(&["--json", command, "--profile", "join", "--only", "account,sudoers"]);
        for text in ["%late ALL=(ALL) ALL", "Defaults:%late !authenticate", "%late ALL=(ALL) NOPASSWD: ALL"] {
            put(host, At::LaterFile, text);
            if host.sh("visudo -c || exit 9").status == 9 {
                eprintln!("{}: not its language: {text}", sudo.name);
                continue;
            }
            // With the rule, and with a rule that is there already.
            for _ in 0..2 {
                let plan = call("plan").json()["pending"].clone();
                call("apply");
                let check = call("check");
                assert_eq!(check.status == 0, works(host), "{}: {text}: {check}", sudo.name);
                assert_eq!(plan, check.json()["pending"], "{}: {text}", sudo.name);
                host.sh("gpasswd -d gitlab-runner late").ok();
            }
        }
    });
}

/// The account is not there yet, either.
#[test]
fn what_takes_a_rule_away_is_said_before_the_account_is_made() {
    let profile = "summary = \"test\"\n[account]\n[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";
    let layout = |host: HostBuilder| host.file("/etc/runner-prep/profiles/new.toml", profile);
    if !have(&["useradd", "userdel"]) {
        return;
    }
    with_each([&SUDOS[0], &SUDOS[1], &SUDOS[3], &SUDOS[5]], layout, |sudo, host| {
        host.sh("cp /etc/sudoers /etc/sudoers.first; groupadd more").ok();
        for text in [
            "gitlab-runner ALL=(ALL) ALL",
            "gitlab-runner ALL=(ALL) NOPASSWD: ALL",
            "gitlab-runner ALL=(ALL) !/usr/bin/rsync",
            "gitlab-runner ALL=(ALL) /usr/bin/rsync -*",
            "%gitlab-runner ALL=(ALL) ALL",
            "%more ALL=(ALL) ALL",
            "%daemon ALL=(ALL) ALL",
            "+netgroup ALL=(ALL) ALL",
            "ALL ALL=(ALL) ALL",
            "Defaults requiretty",
            "Defaults:%gitlab-runner requiretty",
            "Defaults:%more requiretty",
            "Defaults:%gitlab-runner secure_path=/usr/sbin",
        ] {
            put(host, At::LaterFile, text);
            if host.sh("visudo -c || exit 9").status == 9 {
                eprintln!("{}: not its language: {text}", sudo.name);
                continue;
            }
            let call =
                |command| host.prep(&["--json", command, "--profile", "new", "--only", "account,sudoers"]);
            let etc = || host.stamps().into_iter().filter(|line| line.contains(" etc/")).collect::<Vec<_>>();
            let before = etc();
            let plan = call("plan");
            support::assert_unchanged(&before, &etc());
            let apply = call("apply");
            let check = call("check");
            let name = format!("{}: {text}", sudo.name);
            assert_eq!(check.status == 3, !works(host), "{name}: {check}");
            for run in [&plan, &apply] {
                assert_eq!(run.json()["pending"], check.json()["pending"], "{name}: {run}");
                assert_eq!(run.json()["warnings"], check.json()["warnings"], "{name}: {run}");
            }
            host.sh("userdel -r gitlab-runner").ok();
        }
    });
}
