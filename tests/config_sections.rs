//! `[config.global]`, `[config.session_server]`, `[config.cache]`, `[config.feature_flags]` from a profile to
//! `config.toml` and back: byte for byte, in every layout, and refused where gitlab-runner would not read it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

mod support;

use serde_json::Value;
use support::{Tree, assert_unchanged};

const CONFIG: &str = "/etc/gitlab-runner/config.toml";
const PROFILE: &str = "/etc/runner-prep/profiles/mine.toml";

const RUNNER: &str = "[[runners]]\n  name = \"a\"\n  token = \"glrt-CANARY-1\"\n  executor = \"docker\"\n";

fn tree(profile: &str, config: impl AsRef<[u8]>) -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(config)
        .file(PROFILE, profile)
}

/// Applies, demands this text, and that a second run writes nothing.
#[track_caller]
fn applied(name: &str, profile: &str, before: &str, after: &str) -> Tree {
    let tree = tree(profile, before);
    let stamps = tree.stamps();
    tree.run(&["plan", "--profile", "mine", "--runner-version", "19.4.0"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
    tree.run(&["apply", "--profile", "mine", "--runner-version", "19.4.0"]).ok();
    assert_eq!(tree.text(CONFIG), after, "{name}");
    let stamps = tree.stamps();
    let again = tree.run(&["apply", "--profile", "mine", "--runner-version", "19.4.0", "--json"]);
    assert_eq!(again.ok().json()["changed"], false, "{name}");
    tree.run(&["check", "--profile", "mine"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
    tree
}

/// The profile's keys; the file before and after.
type Edit = (&'static str, &'static str, String, String);

fn edits() -> Vec<Edit> {
    let global = "[config.global]\nconcurrent = 4\nlog_level = \"info\"\n";
    let session = "[config.session_server]\nsession_timeout = 900\n";
    let cache = "[config]\nexecutors = [\"docker\"]\n[config.cache]\nType = \"s3\"\n[config.cache.s3]\nBucketName = \"b\"\n";
    let flags = "[config]\nexecutors = [\"docker\"]\n[config.feature_flags]\nFF_TIMESTAMPS = false\n";
    let with = |head: &str| format!("{head}\n{RUNNER}");
    vec![
        (
            "a comment behind the value",
            global,
            with("concurrent = 1     # one core\n"),
            with("concurrent = 4     # one core\nlog_level = \"info\"\n"),
        ),
        (
            "carriage returns",
            global,
            with("concurrent = 1 # c\n").replace('\n', "\r\n"),
            with("concurrent = 4 # c\nlog_level = \"info\"\n").replace('\n', "\r\n"),
        ),
        (
            "no key at the top",
            global,
            format!("# ours\n{RUNNER}"),
            format!("concurrent = 4\nlog_level = \"info\"\n\n# ours\n{RUNNER}"),
        ),
        (
            "quoted",
            global,
            with("\"concurrent\" = 0x1\n'log_level' = 'debug'\n"),
            with("\"concurrent\" = 4\n'log_level' = \"info\"\n"),
        ),
        (
            "a list of tables stands last, which a key at the end would belong to",
            session,
            RUNNER.to_owned(),
            format!("{RUNNER}\n[session_server]\n  session_timeout = 900\n"),
        ),
        (
            "a table between",
            session,
            with("[session_server] # web\n  # how long\n  session_timeout = 1800\n"),
            with("[session_server] # web\n  # how long\n  session_timeout = 900\n"),
        ),
        (
            "a table behind the runners",
            session,
            format!("{RUNNER}\n[session_server]\n  listen_address = \":8093\"\n"),
            format!("{RUNNER}\n[session_server]\n  listen_address = \":8093\"\n  session_timeout = 900\n"),
        ),
        (
            "an inline table",
            session,
            with("session_server = { listen_address = \":8093\" } # web\n"),
            with("session_server = { listen_address = \":8093\", session_timeout = 900 } # web\n"),
        ),
        (
            "a dotted key",
            session,
            with("session_server.session_timeout = 1800\n"),
            with("session_server.session_timeout = 900\n"),
        ),
        (
            "a table without its parent",
            cache,
            format!("{RUNNER}  [runners.cache.s3]\n    BucketName = \"a\" # old\n"),
            format!(
                "{RUNNER}  [runners.cache]\n    Type = \"s3\"\n  [runners.cache.s3]\n    BucketName = \"b\" # old\n"
            ),
        ),
        (
            "an inline table in an inline table",
            cache,
            format!("{RUNNER}  cache = {{ Type = \"gcs\", s3 = {{ BucketName = \"a\" }} }}\n"),
            format!("{RUNNER}  cache = {{ Type = \"s3\", s3 = {{ BucketName = \"b\" }} }}\n"),
        ),
        (
            "dotted keys in a table",
            cache,
            format!("{RUNNER}  cache.Type = \"gcs\"\n  cache.s3.BucketName = \"a\"\n"),
            format!("{RUNNER}  cache.Type = \"s3\"\n  cache.s3.BucketName = \"b\"\n"),
        ),
        (
            "a flag that is false differs from none",
            flags,
            RUNNER.to_owned(),
            format!("{RUNNER}  [runners.feature_flags]\n    FF_TIMESTAMPS = false\n"),
        ),
    ]
}

/// The same for tables.
fn tables() -> Vec<Edit> {
    let cache = "[config]\nexecutors = [\"docker\"]\n[config.cache]\nType = \"s3\"\n[config.cache.s3]\nBucketName = \"b\"\n";
    vec![
        (
            "tables of free names, in a case of their own",
            "[config]\nexecutors = [\"docker\"]\n[config.global.labels]\nenvironment = \"x\"\n[config.docker]\nsysctls = { \"net.core.somaxconn\" = \"1024\", A = \"1\" }\n",
            format!("{RUNNER}  [runners.docker.sysctls]\n    a = \"2\"\n"),
            format!(
                "{RUNNER}  [runners.docker.sysctls]\n    a = \"2\"\n    \"net.core.somaxconn\" = \"1024\"\n    A = \"1\"\n\n[labels]\n  environment = \"x\"\n"
            ),
        ),
        (
            "a table of free names that was not there",
            "[config]\nexecutors = [\"docker\"]\n[config.docker.sysctls]\n\"a.b\" = \"1\"\n",
            RUNNER.to_owned(),
            format!("{RUNNER}    [runners.docker.sysctls]\n      \"a.b\" = \"1\"\n"),
        ),
        (
            "a table between braces below braces",
            cache,
            format!("{RUNNER}  cache = {{ Type = \"gcs\" }}\n"),
            format!("{RUNNER}  cache = {{ Type = \"s3\", s3 = {{ BucketName = \"b\" }} }}\n"),
        ),
    ]
}

#[test]
fn single_values_are_edited_in_every_layout_and_come_back() {
    for (name, profile, before, after) in edits().into_iter().chain(tables()) {
        let tree = applied(name, profile, &before, &after);
        tree.run(&["undo"]).ok();
        assert_eq!(tree.text(CONFIG), before, "{name}");
    }
}

/// gitlab-runner wrote the file anew: another token.
fn rotate(text: &str) -> String {
    text.replace("glrt-CANARY-1", "glrt-CANARY-2")
}

#[test]
fn after_a_rewrite_the_values_alone_come_back() {
    for (name, profile, before, after) in edits().into_iter().chain(tables()) {
        let tree = applied(name, profile, &before, &after);
        tree.put(CONFIG, rotate(&after));
        tree.run(&["undo", "--dry-run", "-v"]).ok();
        tree.run(&["undo"]).ok().says("undone");
        // Of a value in another notation its meaning alone is known.
        let expected = rotate(&before).replace("0x1", "1").replace("'debug'", "\"debug\"");
        assert_eq!(tree.text(CONFIG), expected, "{name}");
        tree.run(&["undo"]).ok().says("nothing to undo");
    }
}

#[test]
fn a_value_that_somebody_changed_since_is_named_and_stays() {
    let (profile, before) = (
        "[config]\nexecutors = [\"docker\"]\nlimit = 2\n[config.global]\nconcurrent = 4\nlog_level = \"info\"\n",
        format!("concurrent = 1\n\n{RUNNER}"),
    );
    let tree = tree(profile, &before);
    tree.run(&["apply", "--profile", "mine"]).ok();
    let ours = tree.text(CONFIG);
    tree.put(CONFIG, ours.replace("concurrent = 4", "concurrent = 9"));
    let stamps = tree.stamps();
    let run = tree.run(&["undo"]);
    run.exit(2)
        .says("nothing was undone")
        .says("concurrent is 9, runner-prep set 4")
        .says("log_level still is \"info\"");
    run.says_not("CANARY");
    assert_unchanged(&stamps, &tree.stamps());
    // Its own value back: then all goes, in two runs as well as in one.
    tree.put(CONFIG, rotate(&ours));
    tree.put(PROFILE, profile.replace("concurrent = 4", "concurrent = 6"));
    tree.run(&["apply", "--profile", "mine"]).ok();
    tree.put(CONFIG, tree.text(CONFIG).replace("CANARY-2", "CANARY-3"));
    let runs = tree.run(&["undo", "--list", "--json"]).ok().json();
    let oldest = runs["runs"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    tree.run(&["undo", "--to", &oldest]).ok();
    assert_eq!(tree.text(CONFIG), before.replace("CANARY-1", "CANARY-3"));
}

#[test]
fn many_runners_and_a_value_outside_of_them() {
    let many = format!(
        "concurrent = 1\n{}",
        (0..500).map(|number| RUNNER.replace("\"a\"", &format!("\"r{number}\""))).collect::<String>()
    );
    let profile = "[config]\nexecutors = [\"docker\"]\nlimit = 2\n[config.global]\nconcurrent = 4\n";
    let tree = tree(profile, &many);
    tree.run(&["apply", "--profile", "mine"]).ok();
    let expected =
        many.replace("concurrent = 1", "concurrent = 4").replace("\"docker\"\n", "\"docker\"\n  limit = 2\n");
    assert_eq!(tree.text(CONFIG), expected);
    assert_eq!(tree.run(&["apply", "--profile", "mine", "--json"]).ok().json()["changed"], false);
    tree.put(CONFIG, expected.replacen("r7\"", "r7\" # mine", 1));
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), many.replacen("r7\"", "r7\" # mine", 1));
}

#[test]
fn what_stands_outside_needs_no_runner_and_waits_for_none() {
    let profile = "[config.global]\nconcurrent = 4\n";
    applied("no runner", profile, "concurrent = 1\n", "concurrent = 4\n");
    // With a runner wanted that is not there, it is done all the same, and the runner waits.
    let tree = tree(&format!("[config]\nexecutors = [\"docker\"]\nlimit = 2\n{profile}"), "concurrent = 1\n");
    tree.run(&["apply", "--profile", "mine"]).exit(3).says("gitlab-runner register");
    assert_eq!(tree.text(CONFIG), "concurrent = 4\n");
    // Nothing is there that could be edited.
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file(PROFILE, profile);
    tree.run(&["apply", "--profile", "mine"]).exit(3).says("does not exist");
    assert!(!tree.exists(CONFIG));
    // One slot is what gitlab-runner assumes.
    let one = "[config.global]\nconcurrent = 1\ncheck_interval = 0\n";
    applied("one slot", one, RUNNER, RUNNER);
    applied("no slot", one, &format!("concurrent = 0\n{RUNNER}"), &format!("concurrent = 1\n{RUNNER}"));
}

#[test]
fn what_is_read_at_the_start_alone_is_said_with_the_change() {
    for profile in [
        "[config.global]\nlisten_address = \":9252\"\n",
        "[config.session_server]\nlisten_address = \":8093\"\n",
    ] {
        let tree = tree(profile, RUNNER);
        tree.run(&["apply", "--profile", "mine", "-v"])
            .ok()
            .says("only when it starts")
            .says("systemctl restart gitlab-runner");
        tree.run(&["apply", "--profile", "mine", "-v"]).ok().says_not("only when it starts");
    }
}

#[test]
fn a_time_span_is_the_same_however_it_is_written() {
    let profile = "[config.global]\nconnection_max_age = \"1h30m\"\n";
    for same in ["\"1h30m\"", "\"1h30m0s\"", "\"90m\"", "\"1.5h\"", "5400000000000", "\"5400s\""] {
        let text = format!("connection_max_age = {same}\n{RUNNER}");
        applied(same, profile, &text, &text);
    }
    for other in ["\"1h\"", "\"1h30\"", "90", "\"\""] {
        let text = format!("connection_max_age = {other}\n{RUNNER}");
        applied(other, profile, &text, &text.replace(other, "\"1h30m\""));
    }
}

#[test]
fn what_gitlab_runner_would_not_read_is_refused_before_the_host_is_looked_at() {
    let cases = [
        ("[config.global]\nconcurent = 4", "did you mean `concurrent`?"),
        ("[config.global]\nconcurrent = \"4\"", "a whole number is wanted"),
        ("[config.global]\nconcurrent = 0", "keeps gitlab-runner from starting"),
        ("[config.global]\nlog_level = \"loud\"", "\"loud\" is none of panic, fatal,"),
        ("[config.global]\nlog_format = \"xml\"", "is none of runner, text, json"),
        ("[config.global]\nconnection_max_age = \"15\"", "is no time span"),
        ("[config.global]\nlisten_address = \"http://a:1\"", "is no address"),
        ("[config.global]\nlisten_address = \"a:70000\"", "is no address"),
        ("[config.global]\nuser = \"root\"", "`user` can't be set by a profile"),
        (
            "[config.global]\nsentry_dsn = \"https://CANARY@x/1\"",
            "`sentry_dsn` can't be set by a profile: it is a secret",
        ),
        ("[config.global]\nlabels = { a = 1 }", "integer `1` where a string is wanted"),
        ("[config.global]\nlabels = [\"a\"]", "a table of names with texts, as of [labels] is wanted"),
        ("[config.docker]\nsysctls = { a = \"b\\u0000\" }", "has a NUL in it"),
        (
            "[config.docker.log_options]\nsplunk-token = \"CANARY\"",
            "`splunk-token` can't be set by a profile: it is a secret",
        ),
        ("[config.docker.services_devices]\na = [\"b\"]", "`services_devices` can't be set by a profile"),
        ("[config.global.session_server]\nsession_timeout = 1", "`session_server` can't be set by a profile"),
        ("[config]\nconcurrent = 4", "it belongs below [config.global]"),
        ("[config.session_server]\nsession_timout = 4", "did you mean `session_timeout`?"),
        ("[config.cache]\nType = \"s4\"", "is none of s3,"),
        ("[config.cache]\ntype = \"s3\"", "did you mean `Type`?"),
        ("[config.cache.s3]\nBuketName = \"b\"", "did you mean `BucketName`?"),
        (
            "[config.cache.s3]\nAccessKey = \"CANARY\"",
            "`AccessKey` can't be set by a profile: it is a secret",
        ),
        (
            "[config.cache.s3]\nSecretKey = \"CANARY\"",
            "`SecretKey` can't be set by a profile: it is a secret",
        ),
        (
            "[config.cache.s3]\nSessionToken = \"CANARY\"",
            "`SessionToken` can't be set by a profile: it is a secret",
        ),
        (
            "[config.cache.gcs]\nPrivateKey = \"CANARY\"",
            "`PrivateKey` can't be set by a profile: it is a secret",
        ),
        (
            "[config.cache.azure]\nAccountKey = \"CANARY\"",
            "`AccountKey` can't be set by a profile: it is a secret",
        ),
        (
            "[config.kubernetes]\nbearer_token = \"CANARY\"",
            "`bearer_token` can't be set by a profile: it is a secret",
        ),
        ("[config.ssh]\npassword = \"CANARY\"", "`password` can't be set by a profile: it is a secret"),
        ("[config.feature_flags]\nFF_TIMESTAMP = true", "did you mean `FF_TIMESTAMPS`?"),
        ("[config.feature_flags]\nFF_TIMESTAMPS = \"true\"", "true or false is wanted"),
        ("[config.cachee]\nType = \"s3\"", "did you mean `cache`?"),
        ("[[config.cache]]\nType = \"s3\"", "a list where a table of keys of [runners.cache] is wanted"),
        ("[config]\ncache = 1", "a table of keys of [runners.cache] is wanted"),
    ];
    for (lines, said) in cases {
        let tree = tree(&format!("{lines}\n"), RUNNER);
        let before = tree.stamps();
        for command in ["plan", "apply", "check", "template"] {
            let run = tree.run(&[command, "--profile", "mine"]);
            run.exit(2).says(said).says_not("CANARY");
        }
        assert_unchanged(&before, &tree.stamps());
    }
}

#[test]
fn a_name_with_dots_is_replaced_by_the_line_that_is_printed() {
    let value = |value: &str| format!("[config.docker.sysctls]\n\"net.core.somaxconn\" = \"{value}\"\n");
    let tree = tree(&format!("extends = [\"base\"]\n{}", value("2")), RUNNER);
    tree.put(
        "/etc/runner-prep/profiles/base.toml",
        format!("[config]\nexecutors = [\"docker\"]\n{}", value("1")),
    );
    let refused = tree.run(&["plan", "--profile", "mine", "--json"]).exit(2).json();
    let repair = refused["warnings"][0]["repair"].as_str().unwrap().to_owned();
    let line = repair.lines().last().unwrap().trim();
    tree.run(&["plan", "--profile", "mine"]).exit(2).says("line 3").says("is \"2\" here and \"1\" in");
    tree.put(PROFILE, format!("{line}\n{}", tree.text(PROFILE)));
    tree.run(&["plan", "--profile", "mine"]).ok().says("net.core.somaxconn: \"2\"");
}

#[test]
fn what_stands_in_the_way_in_the_file_is_refused() {
    let session = "[config.session_server]\nsession_timeout = 900\n";
    let cache = "[config]\nexecutors = [\"docker\"]\n[config.cache]\nType = \"s3\"\n";
    let cases = [
        (
            session,
            format!("[[session_server]]\nsession_timeout = 1\n{RUNNER}"),
            "config-shape",
            "`session_server` is a list of tables, not a table",
        ),
        (session, format!("session_server = 1\n{RUNNER}"), "config-shape", "`session_server` is a number"),
        (
            session,
            format!("[session_server]\nSession_Timeout = 1\n{RUNNER}"),
            "config-key-case",
            "as `session_timeout`",
        ),
        (
            cache,
            format!("{RUNNER}  [[runners.cache]]\n    Type = \"gcs\"\n"),
            "config-shape",
            "`cache` is a list of tables, not a table",
        ),
        (
            cache,
            format!("{RUNNER}  [runners.cache]\n    type = \"gcs\"\n"),
            "config-key-case",
            "`type` as `Type`",
        ),
        (
            cache,
            format!("{RUNNER}  [runners.Cache]\n    Type = \"gcs\"\n"),
            "config-key-case",
            "`Cache` as `cache`",
        ),
        (
            "[config]\nexecutors = [\"docker\"]\n[config.kubernetes]\nimage = \"a\"\n",
            RUNNER.to_owned(),
            "runner-executor",
            "does not read [runners.kubernetes]",
        ),
    ];
    for (profile, config, code, words) in cases {
        let tree = tree(profile, &config);
        let before = tree.stamps();
        for command in ["plan", "apply"] {
            let run = tree.run(&[command, "--profile", "mine", "--json"]);
            let document = run.exit(2).json();
            assert_eq!(document["warnings"][0]["code"], code, "{config}: {document}");
            tree.run(&[command, "--profile", "mine"]).exit(2).says(words).says_not("CANARY");
        }
        assert_unchanged(&before, &tree.stamps());
    }
}

#[test]
fn an_old_gitlab_runner_is_named_with_what_it_ignores() {
    let cases = [
        ("[config.global]\nshutdown_timeout = 60\n", "15.5.0", "`shutdown_timeout`, which came with 15.6.0"),
        (
            "[config.global]\nconnection_max_age = \"1h\"\n",
            "16.8.0",
            "`connection_max_age`, which came with 16.9.0",
        ),
        (
            "[config]\nexecutors = [\"docker\"]\n[config.cache.s3]\nRoleARN = \"a\"\n",
            "17.7.0",
            "`RoleARN`, which came with 17.8.0",
        ),
        (
            "[config]\nexecutors = [\"docker\"]\n[config.feature_flags]\nFF_TIMESTAMPS = true\n",
            "16.10.0",
            "`FF_TIMESTAMPS`, which came with 16.11.0",
        ),
        (
            "[config]\nexecutors = [\"docker\"]\n[config.feature_flags]\nFF_SKIP_NOOP_BUILD_STAGES = true\n",
            "19.3.0",
            "which went with 19.3.0",
        ),
    ];
    for (profile, version, said) in cases {
        let tree = tree(profile, RUNNER);
        tree.run(&["plan", "--profile", "mine", "--runner-version", version]).ok().says(said);
        tree.run(&["plan", "--profile", "mine", "--runner-version", "19.2.0"]).ok().says_not("ignores");
    }
}

#[test]
fn a_runner_that_is_registered_later_gets_the_same() {
    let profile = "[config]\nexecutors = [\"docker\"]\nlimit = 2\n[config.docker]\nimage = \"a\"\n[config.global]\nconcurrent = 4\n\
                   [config.cache]\nType = \"s3\"\n[config.cache.s3]\nBucketName = \"b\"\n[config.feature_flags]\nFF_TIMESTAMPS = true\n";
    let run = tree(profile, RUNNER).run(&["template", "--profile", "mine"]);
    let expected = "[[runners]]\n  limit = 2\n  [runners.docker]\n    image = \"a\"\n  [runners.cache]\n    Type = \"s3\"\n    \
                    [runners.cache.s3]\n      BucketName = \"b\"\n  [runners.feature_flags]\n    FF_TIMESTAMPS = true\n";
    assert_eq!(run.ok().stdout, expected);
}

#[test]
fn a_profile_mends_what_doctor_finds() {
    let two = format!(
        "concurrent = 1\n{RUNNER}{}",
        RUNNER.replace("\"a\"", "\"b\"").replace("CANARY-1", "CANARY-2")
    );
    let tree = tree("[config.global]\nconcurrent = 2\n", &two);
    let doctor = || tree.run(&["doctor", "--profile", "mine", "--json"]).json()["findings"].clone();
    let codes = |findings: &Value| -> Vec<String> {
        findings
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    };
    let found = doctor();
    assert!(codes(&found).contains(&"concurrent-low".to_owned()), "{found}");
    assert!(codes(&found).contains(&"config-concurrent".to_owned()), "{found}");
    tree.run(&["apply", "--profile", "mine"]).ok();
    let left = codes(&doctor());
    assert!(!left.iter().any(|code| code.contains("concurrent")), "{left:?}");
}
