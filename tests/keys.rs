//! The table of gitlab-runner's keys: the script that renews it, and the gates by version that it feeds.

#![allow(clippy::disallowed_methods, reason = "the script is started as people start it")]

mod patients;
mod support;

use std::process::Command;

use patients::{HOME, tree};
use support::{Host, Tree, assert_unchanged, have, run_limited, source};

#[test]
fn the_table_is_renewed_from_gitlab_runners_source() {
    if !have(&["python3"]) {
        return;
    }
    let top = source();
    let mut renew = Command::new("/usr/bin/env");
    renew
        .args(["python3", "tests/renew-keys.py", "20.0", "2027-01", "tests/fixtures/runner-config.go"])
        .current_dir(&top);
    let text = run_limited(&mut renew).ok().stdout.clone();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("at 20.0 (2027-01)"), "{}", lines[0]);
    for line in [
        "global\tlog_level\tstring",
        "global\tconnection_max_age\tduration",
        // New keys come with the version, known ones keep theirs.
        "runners\tquite_new\tbool\t20.0",
        "runners\ttoken_expires_at\tdatetime\t15.3",
        "runners.docker\tservices_privileged\tbool\t15.6.1",
        "runners.docker\tallowed_pull_policies\tlist",
        "runners.docker\tpull_policy\tstrings",
        "runners.docker\thost\tstring",
        "runners.docker.services\tname\tstring",
        "runners.machine\tIdleScaleFactor\tfloat",
        "runners.kubernetes\tvolumes\ttable",
        // What is gone is known to be gone; what lies in a file that was not given stays.
        "runners\turl\tstring\t\t20.0",
        "runners\tpre_clone_script\tstring\t\t16.0",
        "runners.cache.s3\tBucketName\tstring",
    ] {
        assert!(lines.contains(&line), "no line {line:?}");
    }
    for absent in ["runners.kubernetes.volumes", "Loaded", "labels\t"] {
        let is_new =
            |line: &&str| line.contains(absent) && !line.ends_with("20.0") && !line.contains("usage_logger");
        assert_eq!(lines.iter().find(|line| is_new(line)), None);
    }
}

const STATUS: &str = "/var/lib/dpkg/status";

fn old(version: &str) -> Tree {
    let tree = tree();
    tree.put(STATUS, format!("Package: gitlab-runner\nStatus: install ok installed\nVersion: {version}\n"));
    tree
}

/// A profile of these lines, given by its path.
fn own(tree: &Tree, docker: &str) -> String {
    tree.put("/etc/own.toml", format!("[config]\nexecutors = [\"docker\"]\n[config.docker]\n{docker}\n"));
    tree.path("/etc/own.toml").display().to_string()
}

#[test]
fn a_key_that_fails_open_where_it_is_ignored_is_refused() {
    for profile in ["dind-hardened", "dind-rootless"] {
        for tree in [old("15.11.0-1"), old("16.0.3-1")] {
            let before = tree.listing();
            for command in ["apply", "plan", "check"] {
                let run = tree.run(&[command, "--profile", profile]);
                run.exit(2).says("ignores `allowed_privileged_services`, which came with 16.1.0");
            }
            assert_unchanged(&before, &tree.listing());
            // Also before a runner is registered.
            tree.remove("/etc/gitlab-runner/config.toml");
            tree.run(&["check", "--profile", profile]).exit(2).says("--runner-version");
        }
        old("16.1.0-1").run(&["plan", "--profile", profile]).ok().says_not("ignores");
    }
    let tree = old("15.6.0");
    let profile = own(&tree, "privileged = true\nservices_privileged = false");
    tree.run(&["plan", "--profile", &profile]).exit(2).says("`services_privileged`, which came with 15.6.1");
}

#[test]
fn a_key_that_only_has_no_effect_is_a_warning() {
    let tree = old("15.0.0");
    for docker in [
        "volume_keep = true",
        "allowed_privileged_services = [\"docker:*\"]\nprivileged = false",
        "services_privileged = true",
    ] {
        let profile = own(&tree, docker);
        let run = tree.run(&["plan", "--profile", &profile, "--json"]);
        assert_eq!(run.ok().json()["warnings"][0]["code"], "config-key-too-new", "{docker}: {run}");
    }
}

#[test]
fn the_version_of_an_image_is_said() {
    let tree = old("15.0.0");
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "16.1.0"]).ok();
    tree.remove(STATUS);
    let run = tree.run(&["plan", "--profile", "dind-hardened"]);
    run.ok().says("the version of gitlab-runner is not known here").says("--runner-version X.Y.Z");
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "v15.0.0"]).exit(2);
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "newest"])
        .exit(2)
        .says("a version is X.Y.Z");
    // No gated key, no word.
    tree.run(&["plan", "--profile", "dind"]).ok().says_not("version of gitlab-runner");
}

#[test]
fn a_converged_run_does_not_start_gitlab_runner() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "su"]) {
        return;
    }
    let asked = "#!/bin/sh\ntouch /run/asked\necho Version: 17.4.0\n";
    let host = host
        .account("gitlab-runner", 998, HOME)
        .file_mode("/usr/local/bin/gitlab-runner", asked, 0o755)
        .config_toml(patients::CONFIG)
        .start();
    let only = ["--profile", "dind-hardened", "--only", "config"];
    host.prep(&[&["apply"], &only[..]].concat()).ok();
    assert!(host.path("/run/asked").exists(), "the version decides, so it was asked for");
    host.sh("rm /run/asked").ok();
    host.prep(&[&["check"], &only[..]].concat()).ok();
    host.prep(&[&["apply"], &only[..]].concat()).ok().says_not("version");
    assert!(!host.path("/run/asked").exists(), "a converged run starts no process");
}

#[test]
fn what_a_profile_applies_has_no_problem_for_doctor() {
    for (name, _) in runner_prep::profile::BUILT_IN {
        // What `shell-hardened` lets jobs call is the installed program.
        let tree = tree().file_mode("/usr/local/bin/runner-prep", "the program", 0o755);
        let registered = patients::CONFIG
            .replace("  environment = [\"DOCKER_TLS_CERTDIR=/certs\"]\n", "")
            .replace("privileged = true", "privileged = false")
            .replace("\"/certs/client\", ", "");
        tree.put("/etc/gitlab-runner/config.toml", registered);
        let before = tree.listing();
        tree.run(&["apply", "--profile", name]).ok();
        let is_changed = before != tree.listing();
        let stamps = tree.stamps();
        tree.run(&["doctor", "--profile", name]).ok().says("no problem found");
        assert_unchanged(&stamps, &tree.stamps());
        assert_eq!(is_changed, *name != "shell", "{name}");
    }
}
