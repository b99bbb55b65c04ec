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
        let checked = run(&tree, "check", "dind").ok().json();
        assert_eq!(checked["status"], "converged", "{volumes}");
        if warning == Some("certs-ca-shared") {
            assert!(checked["warnings"].to_string().contains("take docker.volumes[0] out"), "{checked}");
        }
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

/// Profiles that keep something from jobs.
const WALLS: [&str; 3] = ["dind-hardened", "dind-rootless", "dind-rootless-closed"];

#[test]
fn the_hosts_socket_is_judged_by_its_source() {
    // Wherever it lies in the container, and in whichever directory of the host.
    for volume in [
        "/var/run/docker.sock:/tmp/engine",
        "/run/docker.sock:/x/y:ro",
        "/var/../run//docker.sock:/x",
        "/run/containerd/containerd.sock:/x",
        "/var/run:/x",
        "/run:/x:ro",
        "/:/host",
        "/:/host:ro",
    ] {
        for profile in docker_profiles().filter(|name| name.starts_with("dind")) {
            let tree = host("", &format!("    volumes = [\"/cache\", \"{volume}\"]"));
            let run = run(&tree, "plan", profile);
            run.exit(2).says("docker-sock-and-dind").says("docker.volumes[1]").says("under another name");
        }
    }
    // What is of Docker's own is a directory: no socket for the one, and in the way of the other.
    for volume in ["/var/run/docker.sock", "sock:/var/run/docker.sock", "docker.sock:/run/docker.sock:rw"] {
        let tree = host("", &format!("    volumes = [\"{volume}\"]"));
        let before = tree.text(CONFIG);
        run(&tree, "check", "docker-socket").exit(1);
        run(&tree, "apply", "docker-socket").ok();
        let text = tree.text(CONFIG);
        assert!(text.contains("\"/var/run/docker.sock:/var/run/docker.sock\""), "{volume}: {text}");
        assert!(!text.contains(&format!("\"{volume}\"")), "{volume}: {text}");
        run(&tree, "check", "docker-socket").ok();
        tree.run(&["undo"]).ok();
        assert_eq!(tree.text(CONFIG), before, "{volume}");
        for (profile, is_harmed) in [
            ("dind", true),
            ("dind-no-tls", true),
            ("dind-hardened", true),
            ("dind-socket", false),
            ("dind-rootless", false),
        ] {
            let codes = codes(run(&tree, "plan", profile).ok());
            assert_eq!(codes.contains(&"docker-sock-place".to_owned()), is_harmed, "{volume} {profile}");
        }
    }
    // Another path of the host may be a socket, and stays.
    let tree = host("", "    volumes = [\"/srv/x:/var/run/docker.sock\", \"/cache\"]");
    assert!(codes(run(&tree, "apply", "docker-socket").ok()).contains(&"docker-sock-other".to_owned()));
    assert!(tree.text(CONFIG).contains("[\"/srv/x:/var/run/docker.sock\", \"/cache\"]"));
    run(&tree, "plan", "dind").exit(2).says("where clients look for docker.sock");
    // A daemon of somebody else's is one, too.
    for source in ["/run/user/1000/docker.sock", "/run/podman/podman.sock"] {
        let tree = host("", &format!("    volumes = [\"{source}:/var/run/docker.sock\", \"/cache\"]"));
        assert_eq!(codes(run(&tree, "check", "docker-socket").ok()), ["root-equivalent-socket"]);
    }
}

#[test]
fn what_takes_the_wall_away_is_named() {
    for (docker, code) in [
        ("volumes = [\"/etc:/e\"]", "wall-open"),
        ("volumes = [\"/etc:/e:ro\"]", "wall-open"),
        ("volumes = [\"/var:/v\"]", "wall-open"),
        ("volumes = [\"/usr/bin/docker:/usr/bin/docker\"]", "wall-open"),
        ("volumes = [\"/home/gitlab-runner:/h\"]", "wall-open"),
        ("cap_add = [\"SYS_ADMIN\"]", "wall-open"),
        ("cap_add = [\"NET_ADMIN\", \"CAP_DAC_READ_SEARCH\"]", "wall-open"),
        ("cap_add = [\"ALL\"]", "wall-open"),
        ("devices = [\"/dev/fuse\", \"/dev/sda\"]", "wall-open"),
        ("device_cgroup_rules = [\"b 8:* rwm\"]", "wall-open"),
        ("services_devices = { \"postgres:*\" = [\"/dev/nvme0n1\"] }", "wall-open"),
        ("pid_mode = \"host\"", "wall-open"),
        ("allowed_privileged_services = [\"*\"]", "wall-open"),
        ("allowed_privileged_services = [\"**/docker:*-dind-rootless\"]", "wall-open"),
        ("security_opt = [\"seccomp:unconfined\"]", "wall-thinner"),
        ("security_opt = [\"apparmor=unconfined\"]", "wall-thinner"),
        ("services_security_opt = [\"label=disable\"]", "wall-thinner"),
        ("volumes_from = [\"data\"]", "wall-thinner"),
        ("ipcmode = \"host\"", "wall-thinner"),
        ("network_mode = \"host\"", "wall-thinner"),
        ("userns_mode = \"host\"", "wall-thinner"),
        ("volumes = [\"/srv/cache:/x\", \"/etc/ssl/certs:/etc/ssl/certs:ro\", \"/etc\"]", ""),
        ("volumes = [\"/lib/modules:/lib/modules:ro\", \"etc:/etc\"]", ""),
        ("cap_add = [\"NET_ADMIN\", \"SYS_PTRACE\"]", ""),
        ("devices = [\"/dev/kvm\", \"/dev/net/tun:/dev/net/tun:rwm\"]", ""),
        ("device_cgroup_rules = [\"c 189:* rmw\"]", ""),
        ("security_opt = [\"no-new-privileges:true\", \"seccomp=/etc/s.json\"]", ""),
        ("network_mode = \"gitlab-network\"", ""),
        // Of what is not privileged none is, whatever the list says.
        ("allowed_privileged_images = [\"*\"]", ""),
        ("allowed_privileged_services = [\"registry.example.com/our/docker:*-dind-rootless\"]", ""),
    ] {
        let tree = host("", &format!("    {docker}"));
        for profile in WALLS {
            for command in ["plan", "apply", "check"] {
                let said = run(&tree, command, profile);
                let walls: Vec<String> =
                    codes(&said).into_iter().filter(|code| code.starts_with("wall-")).collect();
                assert_eq!(
                    walls,
                    Vec::from_iter(Some(code.to_owned()).filter(|code| !code.is_empty())),
                    "{docker} {profile}: {said}"
                );
            }
            let said = tree.run(&["doctor", "--profile", profile, "--runner-version", "19.4.0", "--json"]);
            let findings = said.json()["findings"].as_array().unwrap().clone();
            let of_wall =
                findings.iter().filter(|finding| finding["code"].as_str().unwrap().starts_with("wall-"));
            let said: Vec<(&str, bool)> = of_wall
                .map(|finding| (finding["code"].as_str().unwrap(), finding["status"] == "problem"))
                .collect();
            assert_eq!(
                said,
                Vec::from_iter(Some((code, code == "wall-open")).filter(|_| !code.is_empty())),
                "{docker} {profile}"
            );
            tree.run(&["undo"]).ok();
        }
        // Profiles that promise no wall have none to lose.
        for profile in ["dind", "dind-no-tls", "dind-socket", "docker-socket"] {
            assert!(!run(&tree, "plan", profile).contains("wall-"), "{docker} {profile}");
        }
    }
    // A rootless daemon is the wall of its profiles: a root one is none.
    let tree = host("", "    allowed_privileged_services = [\"docker:*\"]");
    for (profile, is_open) in
        [("dind-hardened", false), ("dind-rootless", true), ("dind-rootless-closed", true)]
    {
        let codes = codes(run(&tree, "plan", profile).ok());
        assert_eq!(codes.contains(&"wall-open".to_owned()), is_open, "{profile}: {codes:?}");
        assert_eq!(codes.contains(&"allow-list-wider".to_owned()), !is_open, "{profile}: {codes:?}");
    }
    // What the profile itself brings is no better.
    let text = "extends = [\"dind-hardened\"]\n[config.docker]\ncap_add = [\"SYS_ADMIN\"]\nvolumes = [\"/var:/v\"]\n";
    let tree = host("", "").file("etc/runner-prep/profiles/mine.toml", text);
    for command in ["plan", "apply"] {
        let said = run(&tree, command, "mine");
        assert_eq!(codes(said.ok()), ["wall-open", "wall-open"], "{said}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn what_keeps_jobs_from_the_daemon_of_their_service_is_named() {
    let service = |keys: &str| format!("    services = [{{ name = \"docker:28-dind\", {keys} }}]");
    let environment = |variables: &str| format!("  environment = [{variables}]");
    let script = |text: &str| format!("  pre_build_script = \"{text}\"");
    for (runner, docker, profile, expected) in [
        (environment("\"DOCKER_HOST=tcp://localhost:2376\""), String::new(), "dind", "docker-host-wrong"),
        (script("export DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", "docker-host-wrong"),
        (
            script("if true; then export A=1 DOCKER_HOST='tcp://docker:2375'; fi"),
            String::new(),
            "dind",
            "docker-host-wrong",
        ),
        (
            script("DOCKER_HOST=tcp://docker:2375\\nexport DOCKER_HOST"),
            String::new(),
            "dind",
            "docker-host-wrong",
        ),
        (script("echo export DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", ""),
        (script("# export DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", ""),
        (script("DOCKER_HOST=tcp://docker:2375 docker info"), String::new(), "dind", ""),
        (script("DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", ""),
        (script("export DOCKER_HOST=tcp://docker:2375; unset DOCKER_HOST"), String::new(), "dind", ""),
        (
            environment("\"DOCKER_HOST=tcp://127.0.0.1:2375/\""),
            String::new(),
            "dind-no-tls",
            "docker-host-wrong",
        ),
        (
            environment("\"DOCKER_HOST=tcp://localhost:2375\""),
            String::new(),
            "dind-socket",
            "docker-host-wrong",
        ),
        (environment("\"DOCKER_HOST=tcp://localhost.example:2376\""), String::new(), "dind", ""),
        (environment("\"DOCKER_CERT_PATH=/certs\""), String::new(), "dind", "docker-tls-wrong"),
        (environment("\"DOCKER_CERT_PATH=/certs/client\""), String::new(), "dind", "docker-tls-wrong"),
        (environment("\"DOCKER_TLS_VERIFY=1\""), String::new(), "dind-hardened", "docker-tls-wrong"),
        (environment("\"DOCKER_TLS_VERIFY=0\""), String::new(), "dind-no-tls", "docker-tls-wrong"),
        (environment("\"DOCKER_TLS_VERIFY=1\""), String::new(), "docker-socket", "docker-tls-wrong"),
        (environment("\"DOCKER_TLS_VERIFY=\""), String::new(), "dind-no-tls", ""),
        (
            environment("\"DOCKER_TLS_VERIFY=1\", \"DOCKER_CERT_PATH=/certs/client/\""),
            String::new(),
            "dind",
            "",
        ),
        (
            environment("\"DOCKER_CERT_PATH=$DOCKER_TLS_CERTDIR/client\", \"DOCKER_TLS_VERIFY=1\""),
            String::new(),
            "dind",
            "",
        ),
        (
            environment(
                "\"DOCKER_HOST=tcp://10.0.0.1:2376\", \"DOCKER_TLS_VERIFY=1\", \"DOCKER_CERT_PATH=/mine\"",
            ),
            String::new(),
            "dind",
            "",
        ),
        (String::new(), "    network_mode = \"host\"".to_owned(), "dind", "dind-network"),
        (
            String::new(),
            "    network_mode = \"container:x\"".to_owned(),
            "dind-rootless-closed",
            "dind-network",
        ),
        (String::new(), "    network_mode = \"host\"".to_owned(), "dind-socket", ""),
        (
            String::new(),
            "    network_mode = \"host\"\n    extra_hosts = [\"docker:127.0.0.1\"]".to_owned(),
            "dind",
            "",
        ),
        (
            environment("\"DOCKER_HOST=tcp://localhost:2376\""),
            "    network_mode = \"host\"".to_owned(),
            "dind",
            "",
        ),
        (String::new(), "    network_mode = \"none\"".to_owned(), "dind-socket", "network-none"),
        (String::new(), "    network_mode = \"bridge\"".to_owned(), "dind", ""),
        (String::new(), "    services_limit = 0".to_owned(), "dind", "services-limit-low"),
        (
            String::new(),
            "    services_limit = 1\n    services = [{ name = \"postgres:16\" }]".to_owned(),
            "dind",
            "services-limit-low",
        ),
        (String::new(), "    services_limit = 1".to_owned(), "dind", ""),
        (String::new(), "    services_limit = -1".to_owned(), "dind", ""),
        (String::new(), format!("    services_limit = 1\n{}", service("alias = \"d\"")), "dind", ""),
        (String::new(), "    services_limit = 0".to_owned(), "docker-socket", ""),
        (String::new(), service("environment = [\"DOCKER_TLS_CERTDIR=\"]"), "dind", "dind-service-tls"),
        (String::new(), service("environment = [\"DOCKER_TLS_CERTDIR=/tls\"]"), "dind", "dind-service-tls"),
        (
            String::new(),
            service("environment = [\"DOCKER_TLS_CERTDIR=/certs\"]"),
            "dind-no-tls",
            "dind-service-tls",
        ),
        (String::new(), service("environment = [\"DOCKER_TLS_CERTDIR=/certs/\"]"), "dind", ""),
        (String::new(), service("command = [\"--tlsverify=false\"]"), "dind", "dind-service-tls"),
        // Tried with dockerd 20.10: beside the image's own --tlsverify it does nothing.
        (String::new(), service("command = [\"--tls=false\"]"), "dind", ""),
        (String::new(), service("command = [\"--mtu=1360\"]"), "dind", ""),
        (
            String::new(),
            service("command = [\"dockerd\", \"--host=tcp://0.0.0.0:2375\"]"),
            "dind",
            "dind-service-command",
        ),
        (String::new(), service("command = [\"dockerd\", \"--host=tcp://0.0.0.0:2375\"]"), "dind-no-tls", ""),
        (String::new(), service("command = [\"dockerd-entrypoint.sh\", \"--mtu=1360\"]"), "dind", ""),
        (String::new(), service("command = [\"x\"], entrypoint = [\"/y\"]"), "dind", ""),
    ] {
        let tree = host(&runner, &docker);
        let codes = codes(run(&tree, "plan", profile).ok());
        let found: Vec<&str> = [
            "docker-host-wrong",
            "docker-tls-wrong",
            "dind-network",
            "network-none",
            "services-limit-low",
            "dind-service-tls",
            "dind-service-command",
        ]
        .into_iter()
        .filter(|code| codes.iter().any(|said| said == code))
        .collect();
        assert_eq!(
            found,
            Vec::from_iter(Some(expected).filter(|code| !code.is_empty())),
            "{runner} {docker} {profile}"
        );
        let doctor = tree.run(&["doctor", "--profile", profile, "--json"]);
        if !expected.is_empty() {
            doctor.exit(1).says(expected);
        }
    }
}

/// What keeps dind from working in every job is a problem; what keeps some images of it is worth knowing.
#[test]
fn a_dind_that_can_not_start_is_told_by_plan_and_doctor_alike() {
    let privileged = |list: &str| format!("    allowed_privileged_services = [{list}]");
    let of_job = |lists: &[&str]| privileged(&lists.join(", "));
    let driver = "  environment = [\"DOCKER_DRIVER=overlay2\"]";
    let service = |image: &str| format!("    services = [{{ name = \"{image}\" }}]");
    let usual = ["\"docker:dind\"", "\"docker:*-dind\"", "\"docker.io/library/docker:*dind\""];
    let (lists, place) = ("allow-list-one-spelling", "docker-sock-place");
    for (runner, docker, profile, expected, is_problem) in [
        ("", of_job(&usual), "dind", "", false),
        ("", of_job(&usual[..2]), "dind", lists, false),
        ("", privileged("\"docker:dind\""), "dind", lists, false),
        ("", privileged("\"docker:*-dind-rootless\""), "dind", lists, false),
        ("", privileged("\"registry.example.com/docker:28-dind\""), "dind", lists, false),
        ("", privileged("\"docker:28.0.1-dind\""), "dind", lists, false),
        ("", privileged("\"docker:2?\""), "dind", "allow-list-misses-dind", true),
        ("", privileged("\"docker:28-dind\""), "dind-hardened", "", false),
        ("", "    allowed_services = [\"postgres:*\"]".to_owned(), "dind", "allow-list-misses-dind", true),
        (
            "",
            "    allowed_services = [\"docker:[\", \"**\"]".to_owned(),
            "dind",
            "allow-list-malformed",
            true,
        ),
        ("", "    allowed_services = [\"postgres:*\"]".to_owned(), "docker-socket", "", false),
        ("", "    allowed_images = [\"ruby:*\"]".to_owned(), "dind", lists, false),
        ("", "    allowed_images = [\"ruby:*\"]".to_owned(), "docker-socket", lists, false),
        ("", "    allowed_images = [\"ruby:*\", \"docker:2?\"]".to_owned(), "dind", "", false),
        ("", "    wait_for_services_timeout = -1".to_owned(), "dind-no-tls", "wait-for-services-off", true),
        ("", "    wait_for_services_timeout = 0".to_owned(), "dind", "", false),
        (driver, service("docker:dind"), "dind", "storage-driver", true),
        (driver, service("docker:28-dind"), "dind", "", false),
        (driver, service("postgres:16"), "dind", "storage-driver", false),
        (driver, String::new(), "docker-socket", "", false),
        (driver, String::new(), "dind", "storage-driver", false),
        (driver, String::new(), "dind-rootless-closed", "", false),
        ("", service("docker:28-dind"), "docker-socket", place, false),
        ("", service("docker:28-dind-rootless"), "docker-socket", "", false),
        ("", service("dind.example.com/db:1"), "docker-socket", "", false),
    ] {
        let tree = host(runner, &docker);
        let is_meant = |code: &&str| {
            code.starts_with("allow-list-m")
                || [lists, place, "wait-for-services-off", "storage-driver"].contains(code)
        };
        let expected = Vec::from_iter(Some(expected).filter(|code| !code.is_empty()));
        for command in ["plan", "apply", "check"] {
            let codes = codes(run(&tree, command, profile).ok());
            let found: Vec<&str> = codes.iter().map(String::as_str).filter(is_meant).collect();
            assert_eq!(found, expected, "{command} {runner} {docker} {profile}");
        }
        let document = tree.run(&["doctor", "--profile", profile, "--json"]).json();
        let findings = document["findings"].as_array().unwrap();
        let of =
            |finding: &Value| Some((finding["code"].as_str()?.to_owned(), finding["status"] == "problem"));
        let found: Vec<_> =
            findings.iter().filter_map(of).filter(|(code, _)| is_meant(&code.as_str())).collect();
        let expected: Vec<_> = expected.into_iter().map(|code| (code.to_owned(), is_problem)).collect();
        assert_eq!(found, expected, "{runner} {docker} {profile}");
    }
}

#[test]
fn a_policy_that_there_is_not_is_reported() {
    for (line, is_odd) in [
        ("pull_policy = \"foo\"", true),
        ("pull_policy = [\"always\", \"Never\"]", true),
        ("allowed_pull_policies = [\"missing\"]", true),
        ("pull_policy = [\"always\", \"if-not-present\", \"never\"]", false),
        // Not the same as none.
        ("pull_policy = \"\"", true),
        ("pull_policy = []", false),
    ] {
        let tree = host("", &format!("    {line}"));
        let is_said = codes(run(&tree, "plan", "dind").ok()).contains(&"pull-policy-unknown".to_owned());
        assert_eq!(is_said, is_odd, "{line}");
        assert_eq!(tree.run(&["doctor", "--profile", "dind"]).contains("is no policy"), is_odd, "{line}");
    }
    let tree =
        host("", "").file("etc/runner-prep/profiles/mine.toml", "[config.docker]\npull_policy = \"foo\"\n");
    run(&tree, "plan", "mine").exit(2).says("is none of always, if-not-present, never");
}

#[test]
fn a_runner_that_makes_no_volumes_is_reported() {
    let tree = host("", "    disable_cache = true");
    let plan = |profile: &str, version: &str| {
        let arguments =
            ["plan", "--profile", profile, "--only", "config", "--json", "--runner-version", version];
        codes(tree.run(&arguments).ok()).contains(&"cache-disabled".to_owned())
    };
    for profile in ["dind", "dind-hardened", "dind-rootless", "dind-rootless-closed", "dind-socket"] {
        assert!(plan(profile, "18.10.1") && !plan(profile, "18.11.0"), "{profile}");
    }
    assert!(!plan("dind-no-tls", "18.10.1"));
    tree.run(&["doctor", "--profile", "dind"]).exit(1).says("before 18.11 makes no volume");
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
