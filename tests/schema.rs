//! The schemas are true: what the program prints and what it reads meets them, and what it refuses does not.
//!
//! Held by another implementation of JSON Schema than the one that made them: Debian's python3-jsonschema.

#![allow(clippy::unwrap_used, reason = "a document that can't be read has to stop the tests")]

mod support;

use serde_json::Value;
use support::judge::{Cases, have_judge, judge};
use support::{Tree, fixture};

#[test]
fn every_document_meets_its_schema() {
    if !have_judge() {
        return;
    }
    let tree = Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"));
    let runs: &[(&str, &[&str])] = &[
        ("report", &["plan", "--profile", "dind"]),
        ("report", &["check", "--profile", "dind"]),
        ("report", &["plan", "--profile", "dnid"]),
        ("report", &["plan", "--profil", "dind"]),
        ("report", &["key"]),
        ("report", &["apply", "--profile", "dind"]),
        ("report", &["apply", "--profile", "dind"]),
        ("report", &["key"]),
        ("doctor", &["doctor", "--profile", "dind"]),
        ("doctor", &["doctor", "--profile", "dnid"]),
        ("explanation", &["doctor", "a password is required"]),
        ("explanation", &["doctor", "--explain", "git-identity"]),
        ("undo-list", &["undo", "--list"]),
        ("report", &["undo", "--dry-run"]),
        ("report", &["undo"]),
        ("undo-list", &["undo", "--list"]),
        ("profile-list", &["profile", "list"]),
        ("text", &["profile", "show", "dind"]),
        ("text", &["template", "--profile", "dind"]),
        ("text", &["man"]),
        ("text", &["man", "--list"]),
        ("text", &["completions", "bash"]),
        ("report", &["plan", "dind"]),
        ("report", &["template", "--profile", "shell"]),
    ];
    let names = ["report", "doctor", "explanation", "undo-list", "profile-list", "text", "output"];
    let mut cases = Cases::new();
    for (schema, arguments) in runs {
        let run = tree.run(&[arguments, &["--json"][..]].concat());
        let document = run.json();
        let name = arguments.join(" ");
        // Nothing at the top that the schema does not describe.
        let known = support::judge::schema(schema);
        for key in document.as_object().unwrap().keys() {
            assert!(known["properties"].get(key).is_some(), "{name}: the schema {schema} lacks {key}");
        }
        // Every field can be relied on: without it the document is another one.
        for key in known["required"].as_array().unwrap() {
            let mut less = document.clone();
            less.as_object_mut().unwrap().remove(key.as_str().unwrap());
            cases.push((format!("{name} without {key}"), schema, less, false));
        }
        cases.push((name.clone(), schema, document.clone(), true));
        cases.push((name, "output", document, true));
    }
    judge(&names, &cases);
}

#[test]
fn profiles_that_the_program_takes_meet_the_schema_and_no_others() {
    if !have_judge() {
        return;
    }
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    let mut cases = Cases::new();
    let mut case = |name: &str, text: &str, valid: bool| {
        let document = toml_edit::de::from_str::<Value>(text).unwrap();
        cases.push((name.to_owned(), "profile", document, valid));
    };
    for (name, text) in runner_prep::profile::BUILT_IN {
        case(name, text, true);
        case(&format!("profile show {name}"), &tree.run(&["profile", "show", name]).stdout, true);
    }
    let ours = [
        "[known_hosts]\nhosts = [{ host = \"git.example.com:2222\", fingerprint = \"SHA256:6Rw0fVPrbR+jkESnDmvWELcdeP/W9LgT7v6yj7Cr/s4\" }]",
        "[known_hosts]\nhosts = [{ host = \"git.example.com\", file = \"/etc/ssh/theirs\" }]\nfile = \"account\"",
        "[ssh_key]\ntype = \"rsa\"\nbits = 4096",
        "[git]\nname = \"ci\"\nemail = \"ci@example.com\"",
        "[account]\nname = \"runner\"\ngroups = [\"docker\"]",
        "[[sudoers.rule]]\nrun_as = \"www\"\ncommands = [\"/usr/bin/rsync -a\"]",
        "[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\nowner = \"www:www\"\nexclude = []\ndelete = true\ntimeout = 60",
        "[ca]\nfile = \"/root/ca.pem\"",
        "[service]\nstop_timeout = \"1h 30min\"\nhttp_proxy = \"http://a:1\"\nno_proxy = \"a,.b\"",
        "[config.global]\nconcurrent = 4\nconnection_max_age = \"1h\"\n[config.cache]\nType = \"s3\"\n[config.session_server]\nsession_timeout = 9",
        "[config]\nlimit = 3\nenvironment = [\"A=b\"]\n[config.docker]\nprivileged = true\nshm_size = 1",
    ];
    let wrong = [
        "nope = 1",
        "summary = 1",
        "extends = \"shell\"",
        "[acount]\nname = \"runner\"",
        "[account]\nnmae = \"runner\"",
        "[account]\nname = \"Runner\"",
        "[account]\ngroups = \"docker\"",
        "[ssh_key]\ntype = \"dsa\"",
        "[ssh_key]\ntype = \"rsa\"\nbits = 1024",
        "[ssh_key]\ntype = \"rsa\"\nbits = 3071",
        "[known_hosts]\nfile = \"system\"",
        "[known_hosts]\nhosts = [1]",
        "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"mine\"",
        "[known_hosts]\nhosts = [{ host = \"a.example\", fingerprint = \"MD5:1\" }]",
        "[known_hosts]\nhosts = [{ host = \"a.example\", file = \"theirs\" }]",
        "[git]\nemail = \"ci@example.com\"",
        "[git]\nname = \"\"",
        "[git]\nname = \"ci\"\nemail = \"ci at example\"",
        "[sudoers]\ncommands = [\"rsync\"]",
        "[sudoers]\ncommands = [\"/usr/bin/rsync -a\"]",
        "[[sudoers.rule]]\ncommands = [\"/usr/bin/rsync\"]",
        "[[sudoers.rule]]\nrun_as = \"ALL\"\ncommands = [\"/usr/bin/rsync\"]",
        "[[deploy]]\nname = \"app\"",
        "[[deploy]]\nname = \"App\"\ntarget = \"/srv/app\"",
        "[[deploy]]\nname = \"app\"\ntarget = \"srv/app\"",
        "[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\nowner = \"0:0\"",
        "[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\ntimeout = 0",
        "[config]\nexecutors = [\"dokcer\"]",
        "[config]\ntoken = \"x\"",
        "[config]\nconcurrent = 4",
        "[config.global]\nconcurrent = 0",
        "[config.global]\nlog_level = \"loud\"",
        "[config.cache.s3]\nSecretKey = \"x\"",
        "[config.feature_flags]\nFF_NONE = true",
        "[ca]\nfile = \"ca.pem\"",
        "[ca]\n",
        "[service]\nstop_timeout = \"2 hours\"",
        "[service]\nhttp_proxy = \"http://a:b@c\"",
        "[service]\nno_proxy = \"a b\"",
        "[config]\nlimit = \"3\"",
        "[config.docker]\nprivilaged = true",
        "[config.docker]\nprivileged = \"yes\"",
        "[config.docker]\nvolumes = \"/cache\"",
    ];
    for (texts, valid) in [(&ours[..], true), (&wrong[..], false)] {
        for text in texts {
            case(text, text, valid);
            tree.put("etc/runner-prep/profiles/mine.toml", text);
            // The schema and the program say the same.
            let run = tree.run(&["profile", "show", "mine"]);
            assert_eq!(run.status == 0, valid, "{text}: {run}");
        }
    }
    judge(&["profile"], &cases);
}
