//! `[ca]` of a profile: the certificates of one's own authority, where gitlab-runner looks for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

mod support;

use support::{Host, Run, Tree, assert_unchanged, fixture, have};

const MINE: &str = "[ca]\nfile = \"/root/ca.pem\"\n";
const PROFILE: &str = "/etc/runner-prep/profiles/mine.toml";
const CONFIG: &str = "/etc/gitlab-runner/config.toml";
const PLACED: &str = "/etc/gitlab-runner/certs/gitlab.example.com.crt";

fn runner(url: &str, more: &str) -> String {
    format!(
        "[[runners]]\n  name = \"a\"\n  url = \"{url}\"\n  token = \"glrt-CANARY-1\"\n  executor = \"shell\"\n{more}"
    )
}

fn pem() -> String {
    String::from_utf8(fixture("authority.pem")).unwrap()
}

fn tree(config: &str, pem: &str) -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file(PROFILE, MINE)
        .file("/root/ca.pem", pem)
        .dir("/etc/gitlab-runner", 0o700)
        .config_toml(config)
}

fn codes(run: &Run) -> String {
    let document = run.json();
    let lists = ["warnings", "pending"].map(|list| document[list].as_array().cloned().unwrap_or_default());
    let codes = lists
        .concat()
        .iter()
        .map(|note| note["code"].as_str().unwrap_or_default().to_owned())
        .collect::<Vec<_>>();
    codes.join(" ")
}

#[test]
fn each_server_of_ones_own_gets_the_certificates_once() {
    let config = [
        runner("https://gitlab.example.com:8443/", ""),
        runner("https://git.example.org", ""),
        runner("https://gitlab.com/", ""),
        runner("http://plain.example.com", ""),
        runner("https://$HOST/", ""),
        runner("https://../etc/", ""),
    ];
    let tree = tree(&config.concat(), &format!("# kept for us\n{}\n{}", pem(), pem()).replace('\n', "\r\n"));
    let before = tree.stamps();
    tree.run(&["plan", "--profile", "mine"]).ok().says(PLACED);
    tree.run(&["check", "--profile", "mine"]).exit(1);
    assert_unchanged(&before, &tree.stamps());
    tree.run(&["apply", "--profile", "mine"]).ok();
    let expected = format!("# Managed by runner-prep: edit its profile, not this file.\n{}{}", pem(), pem());
    for path in [PLACED, "/etc/gitlab-runner/certs/git.example.org.crt"] {
        assert_eq!(tree.text(path), expected);
        assert_eq!(tree.metadata(path).0, 0o644);
    }
    assert_eq!(tree.metadata("/etc/gitlab-runner/certs").0, 0o700);
    let placed = tree.listing().into_iter().filter(|line| line.contains("certs/")).count();
    assert_eq!(placed, 2, "{:?}", tree.listing());
    let stamps = tree.stamps();
    assert_eq!(tree.run(&["apply", "--profile", "mine", "--json"]).ok().json()["changed"], false);
    tree.run(&["check", "--profile", "mine"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
    // Another authority.
    tree.put("/root/ca.pem", pem());
    tree.run(&["check", "--profile", "mine"]).exit(1);
    tree.run(&["apply", "--profile", "mine"]).ok();
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(PLACED), expected);
    tree.run(&["undo"]).ok();
    assert!(!tree.exists("/etc/gitlab-runner/certs"));
}

#[test]
fn each_runner_of_such_a_server_names_the_certificates() {
    let named = |file: &str| format!("  tls-ca-file = \"{file}\"\n");
    let config = |mine: &str| {
        [
            "# ours\nconcurrent = 4\n".to_owned(),
            runner("https://gitlab.example.com:8443/", mine),
            runner("https://gitlab.com/", ""),
            runner("http://gitlab.example.com", "  tls-ca-file = \"\"\n"),
        ]
        .concat()
    };
    for (before, profile, changes) in [
        (String::new(), MINE.to_owned(), true),
        (named(""), MINE.to_owned(), true),
        (named("/srv/gone.pem"), MINE.to_owned(), true),
        (named(PLACED), MINE.to_owned(), false),
        (named("/srv/gone.pem"), format!("extends = [\"dind\"]\n{MINE}"), true),
    ] {
        let tree = tree(&config(&before), &pem());
        tree.put(PROFILE, &profile);
        let options =
            ["--profile", "mine", "--only", "ca,config", "--allow-pending", "--runner-version", "19.4.0"];
        let run = |command: &str| tree.run(&[&[command], &options[..]].concat());
        let stamps = tree.stamps();
        let plan = run("plan");
        plan.ok();
        assert_eq!(plan.contains("tls-ca-file"), changes, "{before} {profile}: {plan}");
        assert_unchanged(&stamps, &tree.stamps());
        run("apply").ok();
        let stamps = tree.stamps();
        run("apply").ok();
        run("check").ok();
        assert_unchanged(&stamps, &tree.stamps());
        assert_eq!(tree.text(CONFIG), config(&named(PLACED)), "{before} {profile}");
        tree.run(&["undo"]).ok();
        assert_eq!(tree.text(CONFIG), config(&before), "{before} {profile}");
        assert!(!tree.exists(PLACED));
    }
}

#[test]
fn what_is_no_certificate_is_refused_and_never_copied() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nCANARY\n-----END EC PRIVATE KEY-----\n";
    let cases = [
        (String::new(), "ca-file"),
        ("CANARY\n".to_owned(), "ca-file"),
        (key.to_owned(), "ca-private-key"),
        (pem() + key, "ca-private-key"),
        (key.replace("EC PRIVATE", "ENCRYPTED PRIVATE") + &pem(), "ca-private-key"),
        (pem().replace("CERTIFICATE", "CERTIFICATE REQUEST"), "ca-file"),
        (pem().replace("-----END CERTIFICATE-----\n", ""), "ca-file"),
        (pem().replacen("MIIB", "MIIC", 1), "ca-file"),
        (pem().replace("MIIB", "????"), "ca-file"),
        (pem() + "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "ca-file"),
    ];
    for (text, code) in cases {
        let tree = tree(&runner("https://gitlab.example.com", ""), &text);
        let before = tree.stamps();
        assert_eq!(codes(tree.run(&["plan", "--profile", "mine", "--json"]).exit(2)), code, "{text}");
        tree.run(&["apply", "--profile", "mine"]).exit(2).says("/root/ca.pem").says_not("CANARY");
        assert_unchanged(&before, &tree.stamps());
    }
    let tree = tree(&runner("https://gitlab.example.com", ""), &pem());
    tree.remove("/root/ca.pem");
    assert_eq!(codes(&tree.run(&["plan", "--profile", "mine", "--json"])), "ca-file");
    tree.put(PROFILE, "[ca]\nfile = \"ca.pem\"\n");
    tree.run(&["plan", "--profile", "mine"]).exit(2).says("`file` is an absolute path");
}

#[test]
fn a_file_of_somebody_else_stays_unless_it_says_the_same() {
    let config = runner("https://gitlab.example.com", "");
    let other = tree(&config, &pem()).file(PLACED, pem());
    let run = other.run(&["apply", "--profile", "mine", "--only", "ca", "--json"]);
    assert_eq!(run.ok().json()["changed"], false);
    let other = tree(&config, &pem()).file(PLACED, pem() + &pem());
    let before = other.stamps();
    assert_eq!(codes(other.run(&["apply", "--profile", "mine", "--json"]).exit(2)), "file-foreign");
    assert_unchanged(&before, &other.stamps());
    other.run(&["apply", "--profile", "mine", "--adopt"]).ok();
    other.run(&["undo"]).ok();
    assert_eq!(other.text(PLACED), pem() + &pem());
}

#[test]
fn a_runner_that_names_another_file_is_told_and_one_that_is_missing_waits() {
    let config = runner("https://gitlab.example.com", "  tls-ca-file = \"/srv/CANARY.pem\"\n");
    let named = tree(&config, &pem());
    let without = named.run(&["apply", "--profile", "mine", "--only", "ca", "--json"]);
    assert_eq!(codes(without.ok()), "ca-overridden");
    assert_eq!(named.text(CONFIG), config);
    let profile = |file: &str| format!("{MINE}[config]\nexecutors = [\"shell\"]\ntls-ca-file = \"{file}\"\n");
    named.put(PROFILE, profile("/srv/CANARY.pem"));
    assert_eq!(codes(named.run(&["check", "--profile", "mine", "--json"]).ok()), "ca-overridden");
    named.put(PROFILE, profile(PLACED));
    named.run(&["apply", "--profile", "mine"]).ok();
    assert_eq!(codes(named.run(&["check", "--profile", "mine", "--json"]).ok()), "");
    let none = tree(&runner("https://gitlab.com", ""), &pem());
    assert_eq!(codes(none.run(&["apply", "--profile", "mine", "--json"]).exit(3)), "ca-no-server");
    assert!(!none.exists("/etc/gitlab-runner/certs"));
}

#[test]
fn a_runner_is_registered_at_a_server_that_only_this_authority_vouches_for() {
    if !have(&["python3", "sudo"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let program =
        "#!/bin/sh\necho \"$4 ${SSL_CERT_FILE-none}\" >>/var/log/called\nexec /opt/gitlab-runner.py \"$@\"\n";
    let register = |name: &str, url: &str| {
        format!(
            "[[register]]\nname = \"{name}\"\nurl = \"{url}\"\nexecutor = \"shell\"\ntoken_file = \"/root/token\"\n"
        )
    };
    let profile = MINE.to_owned()
        + &register("own", "https://gitlab.example.com")
        + &register("com", "https://gitlab.com");
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode("/usr/local/bin/gitlab-runner", program.replace("$4", "$*"), 0o755)
        .file_mode("/opt/gitlab-runner.py", fixture("gitlab-runner.py"), 0o755)
        .file_mode("/root/token", "glrt-CANARY-1\n", 0o600)
        .file("/root/ca.pem", pem())
        .file(PROFILE, profile)
        .start();
    host.prep(&["apply", "--profile", "mine"]).ok().says(PLACED);
    let called = host.text("/var/log/called");
    let of =
        |url: &str| called.lines().find(|line| line.contains(&format!("--url {url} "))).unwrap().to_owned();
    assert!(of("https://gitlab.example.com").ends_with(" /root/ca.pem"), "{called}");
    assert!(of("https://gitlab.com").ends_with(" none"), "{called}");
    assert!(host.text(PLACED).contains("BEGIN CERTIFICATE"));
    host.prep(&["check", "--profile", "mine"]).ok();
}
