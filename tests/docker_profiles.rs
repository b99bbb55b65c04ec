//! The Docker profiles as texts: the `.gitlab-ci.yml` beside each agrees with what it sets, and what stands in
//! `config.toml` already is understood. `tests/dind` runs them on a real engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a profile that can't be read has to stop the test"
)]

mod support;

use std::collections::BTreeMap;

use runner_prep::profile::BUILT_IN;
use runner_prep::text::glob;
use serde_json::Value;
use support::{Run, Tree};

const CONFIG: &str = "/etc/gitlab-runner/config.toml";

/// A host with one runner; `docker` are lines of its `[runners.docker]`, `runner` of the runner itself.
fn host(runner: &str, docker: &str) -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(format!(
        "[[runners]]\n  name = \"a\"\n  executor = \"docker\"\n{runner}\n  [runners.docker]\n{docker}\n"
    ))
}

fn run(tree: &Tree, command: &str, profile: &str) -> Run {
    let arguments =
        [command, "--profile", profile, "--only", "config", "--runner-version", "19.4.0", "--json"];
    tree.run(&arguments)
}

fn codes(run: &Run) -> Vec<String> {
    let warnings = run.json()["warnings"].as_array().unwrap().clone();
    warnings.iter().map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
}

/// The profiles that have something to say about `[runners.docker]`.
fn docker_profiles() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).filter(|name| name.starts_with("di") || name.starts_with("do"))
}

/// The job that `profile show` prints beside a profile, and the profile's `[config]`.
fn shown(profile: &str) -> (Value, toml_edit::DocumentMut) {
    let tree = Tree::new();
    let text = tree.run(&["profile", "show", profile]).ok().stdout.clone();
    let lines = text.lines().skip_while(|line| *line != "#   image_build:");
    let yaml: Vec<&str> = lines.map_while(|line| line.strip_prefix("#   ")).collect();
    let jobs: BTreeMap<String, Value> = serde_saphyr::from_str(&yaml.join("\n")).unwrap();
    (jobs["image_build"].clone(), text.parse().unwrap())
}

fn list(item: Option<&toml_edit::Item>) -> Vec<String> {
    let array = item.and_then(toml_edit::Item::as_array);
    array.into_iter().flatten().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_job_beside_a_profile_agrees_with_it() {
    assert_eq!(docker_profiles().count(), 7);
    for profile in docker_profiles() {
        let (job, text) = shown(profile);
        let config = &text["config"];
        let docker = &config["docker"];
        let volumes = list(docker.get("volumes"));
        let has = |path: &str| volumes.iter().any(|volume| volume == path);
        let patterns = list(docker.get("allowed_privileged_services"));
        let brought = job.get("services").and_then(Value::as_array).into_iter().flatten();
        let mut services: Vec<&str> = brought.map(|service| service.as_str().unwrap()).collect();
        let given = docker.get("services").and_then(toml_edit::Item::as_array_of_tables);
        services.extend(given.into_iter().flatten().map(|service| service["name"].as_str().unwrap()));
        // gitlab-runner counts those of config.toml with those of the job.
        let limit = docker.get("services_limit").and_then(toml_edit::Item::as_integer);
        assert!(limit.is_none_or(|limit| i64::try_from(services.len()).unwrap() == limit), "{profile}");
        for name in services.iter().copied() {
            // Unprivileged it would die.
            let matches = |pattern: &String| glob::matches(pattern, name) == Some(true);
            assert!(patterns.is_empty() || patterns.iter().any(matches), "{profile}: {name}");
            assert!(name.starts_with("docker:"), "{profile}: the job calls the service `docker`");
            let is_privileged = |key: &str| docker.get(key).and_then(toml_edit::Item::as_bool) == Some(true);
            assert!(is_privileged("privileged") || is_privileged("services_privileged"), "{profile}");
        }
        // The variables that the job gets: the runner's, then its own.
        let runner = list(config.get("environment"));
        let mut variables: BTreeMap<String, String> = runner
            .iter()
            .map(|element| element.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in job.get("variables").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap();
            if let Some(old) = variables.insert(name.clone(), value.to_owned()) {
                assert_eq!(old, value, "{profile}: {name} of the job is not that of the runner");
            }
        }
        let host = variables.get("DOCKER_HOST").map(String::as_str);
        // The image's own default is /certs.
        let certificates = variables.get("DOCKER_TLS_CERTDIR").map_or("/certs", String::as_str);
        match (services.is_empty(), host) {
            (true, None) => assert!(has("/var/run/docker.sock:/var/run/docker.sock"), "{profile}"),
            (false, None) => assert!(has(&format!("{certificates}/client")), "{profile}"),
            (false, Some("tcp://docker:2375")) => assert_eq!(certificates, "", "{profile}"),
            (false, Some(host)) => {
                let socket = host.strip_prefix("unix://").unwrap();
                assert!(has(socket.rsplit_once('/').unwrap().0), "{profile}");
            }
            (true, Some(host)) => panic!("{profile}: nobody listens at {host}"),
        }
    }
}

#[test]
fn a_shown_profile_keeps_its_comments_and_says_the_same_when_it_is_copied() {
    for (profile, source) in BUILT_IN {
        let tree = host("", "    privileged = false");
        let text = tree.run(&["profile", "show", profile]).ok().stdout.clone();
        for comment in source.lines().filter(|line| line.starts_with('#')) {
            assert!(text.lines().any(|line| line == comment), "{profile}: lost {comment}");
        }
        tree.put("/etc/copy.toml", &text);
        let copy = tree.path("/etc/copy.toml").display().to_string();
        assert_eq!(tree.run(&["profile", "show", &copy]).ok().stdout, text, "{profile}");
        if docker_profiles().any(|name| name == *profile) {
            assert_eq!(
                run(&tree, "plan", &copy).json()["changes"],
                run(&tree, "plan", profile).json()["changes"]
            );
        }
    }
}

#[test]
fn a_volume_is_known_by_its_place_in_the_container() {
    // What is there, what is warned of, and whether the bare volume is still added.
    for (volumes, warning, is_added) in [
        ("\"/cache\"", None, true),
        ("\"/certs/client\", \"/cache\"", None, false),
        ("\"/certs/client/\", \"/cache\"", None, false),
        ("\"/certs/client:rw\", \"/cache\"", None, false),
        ("\"certs:/certs/client\", \"/cache\"", Some("certs-shared"), false),
        ("\"/srv/certs:/certs/client:rw\", \"/cache\"", Some("certs-shared"), false),
        ("\"/srv/certs:/certs/client:ro\", \"/cache\"", Some("certs-read-only"), false),
        ("\"/certs\", \"/cache\"", Some("certs-ca-shared"), true),
        ("\"certs:/certs\", \"/cache\"", Some("certs-ca-shared"), true),
        ("\"/cache\", \"/certs/clients\"", None, true),
    ] {
        let tree = host(
            "  environment = [\"DOCKER_TLS_CERTDIR=/certs\"]",
            &format!("    privileged = true\n    volumes = [{volumes}]"),
        );
        let applied = run(&tree, "apply", "dind");
        assert_eq!(codes(applied.ok()), Vec::from_iter(warning), "{volumes}");
        let text = tree.text(CONFIG);
        let added = if is_added {
            format!("volumes = [{volumes}, \"/certs/client\"]")
        } else {
            format!("volumes = [{volumes}]")
        };
        assert!(text.contains(&added), "{volumes}: {text}");
        assert_eq!(run(&tree, "check", "dind").ok().json()["status"], "converged", "{volumes}");
    }
}

#[test]
fn of_two_variables_the_last_one_counts() {
    for (before, after) in [
        ("\"DOCKER_TLS_CERTDIR=\"", "\"DOCKER_TLS_CERTDIR=/certs\""),
        ("\"DOCKER_TLS_CERTDIR=/tls\", \"A=1\"", "\"DOCKER_TLS_CERTDIR=/certs\", \"A=1\""),
        (
            "\"DOCKER_TLS_CERTDIR=/certs\", \"DOCKER_TLS_CERTDIR=\"",
            "\"DOCKER_TLS_CERTDIR=/certs\", \"DOCKER_TLS_CERTDIR=/certs\"",
        ),
        (
            "\"DOCKER_TLS_CERTDIR=\", \"DOCKER_TLS_CERTDIR=/certs\"",
            "\"DOCKER_TLS_CERTDIR=\", \"DOCKER_TLS_CERTDIR=/certs\"",
        ),
    ] {
        let tree = host(&format!("  environment = [{before}]"), "    privileged = true");
        run(&tree, "apply", "dind").ok();
        assert!(
            tree.text(CONFIG).contains(&format!("environment = [{after}]")),
            "{before}: {}",
            tree.text(CONFIG)
        );
    }
}

#[test]
fn the_hosts_socket_and_dind_exclude_each_other() {
    let refused = |docker: &str, profile: &str| {
        let tree = host("", docker);
        let before = tree.listing();
        for command in ["plan", "check", "apply"] {
            run(&tree, command, profile).exit(2).says("docker-sock-and-dind").says("a\\\"");
        }
        support::assert_unchanged(&before, &tree.listing());
    };
    let dind = || docker_profiles().filter(|name| name.starts_with("dind"));
    assert_eq!(dind().count(), 6);
    for volume in [
        "/var/run/docker.sock:/var/run/docker.sock",
        "/run/docker.sock:/var/run/docker.sock:ro",
        "/srv/engine.sock:/run/docker.sock",
        "/run/podman/podman.sock:/run/podman/podman.sock",
        "/run:/run",
    ] {
        for profile in dind() {
            refused(&format!("    volumes = [\"{volume}\"]"), profile);
        }
    }
    for docker in [
        "    volumes = [\"/certs/client\"]",
        "    volumes = [\"certs:/certs/client\"]",
        "    volumes = [\"/runner/services/docker\"]",
        "    services_privileged = true",
    ] {
        refused(docker, "docker-socket");
    }
    // Both from profiles, on a runner that has neither.
    for profile in dind() {
        let tree = host("", "    volumes = [\"/cache\"]");
        let both = run(&tree, "plan", &format!("{profile},docker-socket"));
        both.exit(2);
        assert!(both.contains("docker-sock-and-dind") || both.contains("profile-contradiction"), "{both}");
    }
    // What is not a dind stands beside it.
    let tree = host("", "    volumes = [\"/cache\", \"/certstore\"]");
    assert_eq!(codes(run(&tree, "apply", "docker-socket").ok()), ["root-equivalent-socket"]);
    assert!(tree.text(CONFIG).contains("\"/certstore\", \"/var/run/docker.sock:/var/run/docker.sock\""));
}

#[test]
fn a_runner_that_makes_no_volumes_is_reported() {
    let disabled = || host("", "    disable_cache = true");
    for profile in ["dind", "dind-hardened", "dind-rootless", "dind-rootless-closed", "dind-socket"] {
        assert!(
            codes(run(&disabled(), "plan", profile).ok()).contains(&"cache-disabled".to_owned()),
            "{profile}"
        );
    }
    disabled()
        .run(&["doctor", "--profile", "dind"])
        .exit(1)
        .says("many versions of gitlab-runner make no volume");
    assert!(!codes(run(&disabled(), "plan", "dind-no-tls").ok()).contains(&"cache-disabled".to_owned()));
}

#[test]
fn services_that_are_kept_unprivileged_are_reported() {
    let tree = host("", "    privileged = true\n    services_privileged = false");
    assert!(codes(run(&tree, "plan", "dind").ok()).contains(&"services-unprivileged".to_owned()));
    tree.run(&["doctor", "--profile", "dind"])
        .exit(1)
        .says("services_privileged = false keeps dind from starting");
    assert!(!codes(run(&tree, "plan", "dind-hardened").ok()).contains(&"services-unprivileged".to_owned()));
}

#[test]
fn deployments_can_take_the_place_of_the_rule_for_rsync() {
    let rules = |arguments: &[&str]| {
        let tree =
            host("", "").file_mode("usr/local/bin/runner-prep", "#!/bin/sh\n", 0o755).dir("srv", 0o755);
        let run = tree.run(&[&["plan", "--json"], arguments].concat());
        let changes = run.ok().json()["changes"].as_array().unwrap().clone();
        let paths = changes.iter().filter_map(|change| change["path"].as_str().map(str::to_owned));
        (paths.filter(|path| path.contains("sudoers")).collect::<Vec<_>>(), codes(&run))
    };
    let is_root = "root-equivalent-command".to_owned();
    let (paths, warnings) = rules(&["--profile", "dind"]);
    assert_eq!(paths, ["/etc/sudoers.d/gitlab-runner"]);
    assert!(warnings.contains(&is_root));
    let (paths, warnings) = rules(&["--profile", "dind,shell-hardened", "--skip", "sudoers"]);
    assert_eq!(paths, ["/etc/sudoers.d/gitlab-runner-deploy"]);
    assert!(!warnings.contains(&is_root));
}
