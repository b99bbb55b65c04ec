use super::*;

const LISTED: &str = "\
Matching Defaults entries for ci on host:
    env_reset, secure_path=/usr/bin\\:/bin, use_pty

User ci may run the following commands on host:

Sudoers entry: /etc/sudoers.d/gitlab-runner
    RunAsUsers: ALL
    Options: !authenticate
    Commands:
\t/usr/bin/rsync

Sudoers entry:
    RunAsUsers: www, deploy
    RunAsGroups: www
    Options: setenv, !authenticate
    Commands:
\t/usr/bin/rsync --chown\\=a\\:b .
\t/opt/bin/

Sudoers entry: /etc/sudoers.d/zz
    RunAsUsers: root
    Commands:
\t/usr/bin/id
\t!/usr/bin/rsync
";

#[test]
fn blocks_become_entries() {
    let found = entries(LISTED);
    let shown: Vec<(&str, bool, Option<&str>)> =
        found.iter().map(|entry| (entry.command.as_str(), entry.free, entry.file.as_deref())).collect();
    let (ours, theirs) = (Some("/etc/sudoers.d/gitlab-runner"), Some("/etc/sudoers.d/zz"));
    assert_eq!(
        shown,
        [
            ("/usr/bin/rsync", true, ours),
            ("/usr/bin/rsync --chown\\=a\\:b .", true, None),
            ("/opt/bin/", true, None),
            ("/usr/bin/id", false, theirs),
            ("!/usr/bin/rsync", false, theirs),
        ]
    );
}

fn ask<'a>(rules: &'a [ListedCommand], run_as: &str, wanted: &str) -> SudoVerdict<'a> {
    let (program, arguments) = wanted.split_once(' ').map_or((wanted, None), |(one, rest)| (one, Some(rest)));
    let same = |one: &str, other: &str| one.trim_start_matches("/usr") == other.trim_start_matches("/usr");
    verdict(rules, &Question { run_as, program, arguments, same: &same })
}

#[test]
fn the_last_rule_about_a_command_counts() {
    let found = entries(LISTED);
    assert_eq!(ask(&found, "root", "/usr/bin/rsync"), SudoVerdict::Denied(&found[4]));
    assert_eq!(ask(&found, "nobody", "/usr/bin/rsync"), SudoVerdict::Free(&found[0]));
    assert_eq!(ask(&found, "www", "/usr/bin/rsync --chown=a:b ."), SudoVerdict::Free(&found[1]));
    assert_eq!(ask(&found, "deploy", "/opt/bin/x"), SudoVerdict::Free(&found[2]));
    assert_eq!(ask(&found, "deploy", "/opt/bin/x/y"), SudoVerdict::Unknown);
    assert_eq!(ask(&found, "root", "/usr/bin/id"), SudoVerdict::Asks(&found[3]));
    assert_eq!(ask(&found, "www", "/usr/bin/id"), SudoVerdict::Unknown);
}

/// What a later rule with a password does to one without.
#[test]
fn a_pattern_is_judged_or_said_to_be_unclear() {
    let found = |run_as: &str, command: &str| {
        let text = format!(
            "Sudoers entry:\n RunAsUsers: ALL\n Options: !authenticate\n Commands:\n\t/usr/bin/rsync\n\n\
             Sudoers entry:\n RunAsUsers: {run_as}\n Commands:\n\t{command}\n"
        );
        let rules = entries(&text);
        match ask(&rules, "root", "/usr/bin/rsync") {
            SudoVerdict::Asks(_) => "asks",
            SudoVerdict::Denied(_) => "denied",
            SudoVerdict::Free(_) => "free",
            SudoVerdict::Unclear(_) => "unclear",
            SudoVerdict::Partly(_) => "partly",
            SudoVerdict::Unknown => "unknown",
        }
    };
    for (command, expected) in [
        ("ALL", "asks"),
        ("/usr/bin/rsy*", "asks"),
        ("/bin/r*", "asks"),
        ("/usr/bin/[r-s]sync", "asks"),
        ("/usr/bin/", "asks"),
        ("/bin/", "asks"),
        ("/bin/rsync", "asks"),
        ("!/usr/bin/rs*", "denied"),
        ("^/usr/bin/rs.*$", "asks"),
        ("^/usr/bin/rsync$", "asks"),
        ("/usr/bin/a*", "free"),
        ("/opt/*/apt", "free"),
        ("/opt/bin/", "free"),
        ("/opt/bin/rsync", "free"),
        ("^/usr/bin/apt.*$", "free"),
        ("^/usr/bin/rsync-ssl$", "free"),
        ("list", "free"),
        ("sudoedit /usr/bin/rsync", "free"),
        ("/*/*/rsync", "asks"),
        ("/*/bin/rsync*", "asks"),
        ("/*/sbin/rsync*", "unclear"),
        ("/usr/bin/rsyn[[:lower:]]", "unclear"),
        ("^/usr/s?bin/rsync$", "unclear"),
        ("^(/usr)?/bin/rsync$", "unclear"),
        ("sha224:abc /usr/bin/rsync", "unclear"),
        ("sha224:abc, sha256:def /usr/bin/rsync", "unclear"),
        ("sha224:abc, sha256:def /usr/bin/apt", "free"),
        ("/usr/bin/rsync -a *", "partly"),
        ("/usr/bin/rsync \"\"", "partly"),
    ] {
        assert_eq!(found("ALL", command), expected, "{command}");
    }
    for (run_as, expected) in [
        ("root", "asks"),
        ("#0", "asks"),
        ("daemon, root", "asks"),
        ("ALL, !root", "free"),
        ("!root", "free"),
        ("daemon", "free"),
        ("#7", "unclear"),
        ("%root", "unclear"),
        ("R", "unclear"),
    ] {
        assert_eq!(found(run_as, "ALL"), expected, "{run_as}");
    }
}

#[test]
fn settings_for_some_commands_are_told_apart() {
    let text = "Matching Defaults entries for ci on host:\n    env_reset\n\n\
        Runas and Command-specific defaults for ci:\n    Defaults>daemon ,www !authenticate    Defaults!/bin/id -u, \
        /bin/l*\n    !requiretty, !authenticate\n    Defaults!/bin/rsync authenticate\n\n\
        User ci may run the following commands on host:\n\nSudoers entry:\n    RunAsUsers: ALL\n    Options: \
        setenv, authenticate\n    Commands:\n\tALL\n\nSudoers entry:\n    RunAsUsers: ALL\n    Commands:\n\tALL\n";
    let found: Vec<(bool, bool)> = entries(text).iter().map(|entry| (entry.free, entry.own_word)).collect();
    assert_eq!(found, [(false, true), (false, false)]);
    for (run_as, program, expected) in [
        ("root", "/bin/id", &["!authenticate"][..]),
        ("root", "/bin/ls", &["!authenticate"]),
        ("root", "/bin/rsync", &["authenticate"]),
        ("root", "/bin/true", &[]),
        ("www", "/bin/true", &["!authenticate"]),
        ("daemon", "/bin/rsync", &["!authenticate", "authenticate"]),
    ] {
        let question = Question { run_as, program, arguments: None, same: &|one, other| one == other };
        let words = special_words(text, &question);
        let words: Vec<&str> = words.into_iter().filter(|word| word.ends_with("authenticate")).collect();
        assert_eq!(words, expected, "{run_as} {program}");
    }
}

#[test]
fn a_setting_for_all_rules_counts_where_no_rule_says_more() {
    let text = "Matching Defaults entries for ci on host:\n    !authenticate\n\nSudoers entry:\n    \
                RunAsUsers: root\n    Commands:\n\tALL\n\nSudoers entry:\n    RunAsUsers: root\n    \
                Options: authenticate\n    Commands:\n\t/bin/a\n";
    let free: Vec<bool> = entries(text).iter().map(|entry| entry.free).collect();
    assert_eq!(free, [true, false]);
    assert_eq!(entries("User ci is not allowed to run sudo on host.\n"), []);
}
