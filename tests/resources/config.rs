//! Values of `config.toml`. How the text is edited is the business of `text::toml_patch`.

use serde_json::Value;

use super::{Expected, Host, changes, codes, converged, file, planned, possible, refused, refused_with};

pub(super) const PATH: &str = "/etc/gitlab-runner/config.toml";

const DIND: &str = include_str!("../../profiles/dind.toml");

/// The profile without what it extends.
fn dind() -> String {
    DIND.replace("extends = [\"shell\"]", "")
}

/// A runner whose `[runners.docker]` has these lines.
pub(super) fn docker(lines: &str) -> String {
    format!(
        "[[runners]]\n  name = \"a\"\n  id = 7\n  token = \"glrt-CANARY\"\n  executor = \"docker\"\n\
         \x20 environment = [\"DOCKER_TLS_CERTDIR=/certs\"]\n  [runners.docker]\n{lines}"
    )
}

pub(super) fn host(text: &str) -> Host {
    Host::new().file(PATH, 0o600, 0, text)
}

const RIGHT: &str = "    privileged = true\n    volumes = [\"/cache\", \"/certs/client\"]\n";

/// The values that a plan says of the runner `a`, before and after.
pub(super) fn said(document: &Value) -> (String, String) {
    let text = |side: &str| document["diff"][0][side].as_str().unwrap_or_default().to_owned();
    (text("before"), text("after"))
}

/// The same, written down: key, before, after.
pub(super) fn values(expected: &[(&str, Option<&str>, Option<&str>)]) -> (String, String) {
    let line = |key: &str, value: Option<&str>| {
        value.map(|value| format!("runners[0] \"a\": {key} = {value}\n")).unwrap_or_default()
    };
    let before = expected.iter().map(|(key, before, _)| line(key, *before)).collect();
    (before, expected.iter().map(|(key, _, after)| line(key, *after)).collect())
}

#[track_caller]
fn edits(name: &str, host: &Host, expected: &[(&str, Option<&str>, Option<&str>)]) -> Value {
    let document = changes(name, &dind(), host, &[Expected::new("update", PATH, None)]);
    assert_eq!(said(&document), values(expected), "{name}");
    document
}

#[test]
fn values_are_set_where_they_differ() {
    if !possible() {
        return;
    }
    converged("right", &dind(), &host(&docker(RIGHT)));
    edits(
        "missing",
        &host("[[runners]]\nname = \"a\"\nexecutor = \"docker\"\n"),
        &[
            ("environment", None, Some("\"DOCKER_TLS_CERTDIR=/certs\"")),
            ("docker.privileged", None, Some("true")),
            ("docker.volumes", None, Some("\"/certs/client\"")),
            ("docker.volumes", None, Some("\"/cache\"")),
        ],
    );
    edits(
        "drifted",
        &host(&docker(
            "    privileged = false\n    tls_verify = true\n    volumes = [\"/cache\", \"/certs/client\"]\n",
        )),
        &[
            ("docker.privileged", Some("false"), Some("true")),
            ("docker.tls_verify", Some("true"), Some("false")),
        ],
    );
    edits(
        "another value of the variable",
        &host(&docker(RIGHT).replace("=/certs", "=/tls")),
        &[("environment", Some("\"DOCKER_TLS_CERTDIR=/tls\""), Some("\"DOCKER_TLS_CERTDIR=/certs\""))],
    );
    edits(
        "of another type",
        &host(&docker("    privileged = \"CANARY\"\n    volumes = [\"/cache\", \"/certs/client\"]\n")),
        &[("docker.privileged", Some("(of another type)"), Some("true"))],
    );
    let shared = "    privileged = true\n    volumes = [\"/cache\", \"certs:/certs/client:rw\"]\n";
    assert_eq!(
        codes(&converged("known by its path", &dind(), &host(&docker(shared))), "warnings"),
        ["certs-shared"]
    );
}

#[test]
fn owner_and_mode_stay_and_the_exchange_is_the_careful_one() {
    if !possible() {
        return;
    }
    let text = docker("    privileged = false\n    volumes = [\"/cache\", \"/certs/client\"]\n");
    let after = text.replace("privileged = false", "privileged = true");
    for (mode, owner) in [(0o600, 0), (0o640, 42), (0o644, 998)] {
        let host = Host::new().file(PATH, mode, owner, &text);
        let expected = file(PATH, Some(&text), &after, (mode, owner));
        let notes = changes("mode and owner", &dind(), &host, &[expected]);
        let open: &[&str] = if mode == 0o600 { &[] } else { &["config-mode"] };
        assert_eq!(codes(&notes, "warnings"), open);
    }
    let linked = Host::new().link(PATH, "/srv/config.toml").file("/srv/config.toml", 0o600, 0, &text);
    let found = planned(&linked.run("plan", &dind(), &[]).json());
    assert_eq!(found[0].1, "/srv/config.toml", "the link's target is replaced");
}

#[test]
fn a_host_without_such_a_runner_waits() {
    if !possible() {
        return;
    }
    let waits = |name, host: &Host| {
        assert_eq!(codes(&converged(name, &dind(), host), "pending"), ["runner-not-registered"]);
    };
    waits("no file", &Host::new());
    waits("no runner", &host("concurrent = 1\n"));
    waits("another executor", &host("[[runners]]\nname = \"a\"\nexecutor = \"shell\"\n"));

    // gitlab-runner would write the usual file.
    let line = |options: &[&str]| {
        let document = Host::new().run("plan", &dind(), options).json();
        document["pending"][0]["repair"].as_str().unwrap().to_owned()
    };
    assert!(!line(&[]).contains("--config"));
    let asked = line(&["--config", "/srv/config.toml"]);
    assert!(
        asked.contains("gitlab-runner register --non-interactive --config /srv/config.toml \\\n"),
        "{asked}"
    );
}

#[test]
fn only_the_runners_that_are_meant_are_touched() {
    if !possible() {
        return;
    }
    let two = format!("{}[[runners]]\nname = \"b\"\nid = 8\nexecutor = \"docker+machine\"\n", docker(""));
    let paths = |names: &[&str]| -> Vec<usize> {
        let options: Vec<&str> = names.iter().flat_map(|name| ["--runner", name]).collect();
        let after = said(&host(&two).run("plan", &dind(), &options).json()).1;
        (0..2).filter(|index| after.contains(&format!("runners[{index}] "))).collect()
    };
    assert_eq!(paths(&[]), [0, 1]);
    assert_eq!(paths(&["b"]), [1]);
    assert_eq!(paths(&["7"]), [0]);
    assert_eq!(paths(&["8", "a"]), [0, 1]);
    let refused =
        |name: &str, text: &str, code| refused_with(name, &dind(), &host(text), &["--runner", name], code);
    refused("c", &two, "runner-unknown");
    refused("a", &two.replace("\"b\"", "\"a\""), "runner-ambiguous");
    refused("b", &two.replace("docker+machine", "shell"), "runner-executor");
    let nobody = converged("nobody is meant", "[config]\nlimit = 3\n", &host(&two));
    assert_eq!(codes(&nobody, "pending"), ["runner-not-registered"]);
}

#[test]
fn a_remote_daemons_link_is_left_alone() {
    if !possible() {
        return;
    }
    let remote = |host: &str| docker(&format!("    host = \"{host}\"\n    tls_verify = true\n{RIGHT}"));
    for address in ["tcp://10.0.0.1:2376", "ssh://ci@build", "tcp://[2001:db8::1]:2376"] {
        let notes = converged(address, &dind(), &host(&remote(address)));
        assert_eq!(codes(&notes, "warnings"), ["tls-verify-remote"]);
    }
    for address in
        ["unix:///run/docker.sock", "tcp://127.0.0.1:2376", "tcp://localhost:2376", "tcp://[::1]:2376"]
    {
        edits(address, &host(&remote(address)), &[("docker.tls_verify", Some("true"), Some("false"))]);
    }
}

#[test]
fn what_cannot_work_is_refused() {
    if !possible() {
        return;
    }
    let socket = docker("    volumes = [\"/var/run/docker.sock:/var/run/docker.sock\"]\n");
    refused("the host's socket", &dind(), &host(&socket), "docker-sock-and-dind");
    for (name, text) in [
        ("not TOML", "[[runners]\n"),
        ("two values", "[[runners]]\nname = \"a\"\nname = \"b\"\n"),
        ("no text", "\u{0}"),
    ] {
        refused(name, &dind(), &host(text), "config-invalid");
    }
    for (name, text) in [
        ("a table of runners", "[runners]\nname = \"a\"\n"),
        ("docker is a text", "[[runners]]\nexecutor = \"docker\"\ndocker = \"x\"\n"),
        ("volumes is a text", &docker("    volumes = \"/cache\"\n")),
    ] {
        refused(name, &dind(), &host(text), "config-shape");
    }
    refused("empty", &dind(), &host("\n"), "config-empty");
    refused("directory", &dind(), &Host::new().dir(PATH, 0o700, 0), "config-kind");
    refused("FIFO", &dind(), &Host::new().fifo(PATH), "config-kind");
    refused("a link to nowhere", &dind(), &Host::new().link(PATH, "/srv/gone"), "config-dangling");
    refused("two names", &dind(), &host(&docker(RIGHT)).hard_linked(PATH), "config-links");
}

#[test]
fn a_version_that_ignores_what_keeps_jobs_from_something_is_refused() {
    if !possible() {
        return;
    }
    let profile = include_str!("../../profiles/dind-hardened.toml").replace("extends = [\"shell\"]", "");
    let host = host(&docker(""));
    refused("too old", &profile, &host.copy().version("16.0.3"), "runner-too-old");
    let expected = [Expected::new("update", PATH, None)];
    let notes = changes("new enough", &profile, &host.copy().version("16.1.0"), &expected);
    assert_eq!(codes(&notes, "warnings"), [""; 0]);
    let notes = changes("not known", &profile, &host, &expected);
    assert_eq!(codes(&notes, "warnings"), ["runner-version-unknown"]);
}

/// What keeps something from jobs must not be taken for granted: for most keys zero and false are what absence means.
#[test]
fn a_limit_of_nothing_is_written() {
    if !possible() {
        return;
    }
    for (wanted, path) in [
        ("[config.docker]\nservices_privileged = false\n", "docker.services_privileged"),
        ("[config.docker]\nservices_limit = 0\n", "docker.services_limit"),
        ("clean_git_config = false\n", "clean_git_config"),
        ("safe_directory_checkout = false\n", "safe_directory_checkout"),
    ] {
        let profile = format!("[config]\nexecutors = [\"docker\"]\n{wanted}");
        let host = host(&docker("    privileged = true\n"));
        let document = changes(path, &profile, &host, &[Expected::new("update", PATH, None)]);
        let after = wanted.rsplit_once("= ").map(|(_, value)| value.trim());
        assert_eq!(said(&document), values(&[(path, None, after)]));
    }
    for wanted in ["limit = 0\n", "[config.docker]\nprivileged = false\noom_score_adjust = 0\nuser = \"\"\n"]
    {
        let profile = format!("[config]\nexecutors = [\"docker\"]\n{wanted}");
        converged(wanted, &profile, &host(&docker("    image = \"a\"\n")));
    }
}

#[test]
fn a_profile_does_not_contradict_itself() {
    if !possible() {
        return;
    }
    for (name, lines) in [
        ("one variable, two values", "environment = [\"A=1\", \"A=2\"]\n"),
        ("twice the same", "environment = [\"A=1\", \"A=1\"]\n"),
        ("no value", "environment = [\"A\"]\n"),
        ("one path, two volumes", "[config.docker]\nvolumes = [\"/cache\", \"x:/cache:ro\"]\n"),
    ] {
        let profile = format!("[config]\nexecutors = [\"docker\"]\n{lines}");
        refused(name, &profile, &host(&docker(RIGHT)), "profile-invalid");
    }
}
