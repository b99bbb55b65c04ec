//! `[[config.docker.services]]`.

use serde_json::Value;

use super::config::{PATH, docker, host, said, values};
use super::{Expected, changes, codes, converged, possible, refused};

/// A profile with these services.
fn profile(services: &str) -> String {
    format!(
        "summary = \"x\"\n[config]\nexecutors = [\"docker\"]\n[config.docker]\nprivileged = true\n{services}"
    )
}

const DIND: &str = "[[config.docker.services]]\nname = \"docker:28-dind\"\nalias = \"build\"\ncommand = [\"--mtu\", \"1400\"]\n\
     environment = [\"A=1\"]\n";

/// What `[runners.docker]` has then.
const RIGHT: &str = "    [[runners.docker.services]]\n      name = \"docker:28-dind\"\n      alias = \"build\"\n\
    \x20     command = [\"--mtu\", \"1400\"]\n      environment = [\"A=1\"]\n";

/// The lines behind `privileged` that come out, and what was said to change: before and after.
#[track_caller]
fn applied(services: &str, lines: &str) -> (String, (String, String), Value) {
    let profile = profile(services);
    let host = host(&docker(&format!("    privileged = true\n{lines}")));
    let document = host.run("plan", &profile, &[]).json();
    let host = host.applied(&profile, &[]);
    converged(lines, &profile, &host);
    let text = host.0.text(PATH);
    let text = text.split_once("    privileged = true\n").unwrap().1.to_owned();
    (text, said(&document), document)
}

/// Values below `docker.services`: place, before, after.
fn of_services(expected: &[(&str, Option<&str>, Option<&str>)]) -> (String, String) {
    let names: Vec<String> = expected.iter().map(|(name, ..)| format!("docker.services{name}")).collect();
    let all: Vec<_> = names
        .iter()
        .zip(expected)
        .map(|(name, (_, before, after))| (name.as_str(), *before, *after))
        .collect();
    values(&all)
}

#[test]
fn a_service_that_is_missing_comes_behind_the_others() {
    if !possible() {
        return;
    }
    let all = |index: usize| {
        let keys = [
            ("name", "\"docker:28-dind\""),
            ("alias", "\"build\""),
            ("command[0]", "\"--mtu\""),
            ("command[1]", "\"1400\""),
            ("environment", "\"A=1\""),
        ];
        let names = keys.map(|(key, _)| format!("[{index}].{key}"));
        let all: Vec<_> =
            names.iter().zip(keys).map(|(name, (_, after))| (name.as_str(), None, Some(after))).collect();
        of_services(&all)
    };
    let (text, said, _) = applied(DIND, "");
    assert_eq!(text, RIGHT);
    assert_eq!(said, all(0));
    // Those of others stay where they are, with their comments.
    let other = "    # ours\n    [[runners.docker.services]] # db\n      name = \"postgres:16\" # pinned\n";
    let (text, said, _) = applied(DIND, other);
    assert_eq!(text, format!("{other}{RIGHT}"));
    assert_eq!(said, all(1));
    let (text, _, _) = applied(DIND, "    services = [{ name = \"postgres:16\" }]\n");
    assert_eq!(
        text,
        "    services = [{ name = \"postgres:16\" }, { name = \"docker:28-dind\", alias = \"build\", \
         command = [\"--mtu\", \"1400\"], environment = [\"A=1\"] }]\n"
    );
    // Two at once, and one text about each of them.
    let two = format!("{DIND}[[config.docker.services]]\nname = \"redis:7\"\n");
    let (text, said, _) = applied(&two, other);
    assert_eq!(text, format!("{other}{RIGHT}    [[runners.docker.services]]\n      name = \"redis:7\"\n"));
    assert_eq!(said.1.lines().count(), 6);
}

#[test]
fn a_service_is_known_by_the_host_names_that_jobs_reach_it_by() {
    if !possible() {
        return;
    }
    let one =
        |name: &str, rest: &str| format!("    [[runners.docker.services]]\n      name = \"{name}\"\n{rest}");
    let wanted = "[[config.docker.services]]\nname = \"docker:28-dind\"\n";
    let to = |before: &str| {
        of_services(&[("[1].name", Some(&format!("\"{before}\"")), Some("\"docker:28-dind\""))])
    };
    let redis = one("redis:7", "");
    for (name, rest) in [
        ("docker:19.03-dind", ""),
        ("docker@sha256:0123", ""),
        ("mirror.example.com/dind", "      alias = \"docker\"\n"),
        ("x", "      alias = \"a, docker\"\n      command = [\"--mtu\"]\n"),
    ] {
        let (text, said, _) = applied(wanted, &format!("{redis}{}", one(name, rest)));
        assert_eq!(text, format!("{redis}{}", one("docker:28-dind", rest)), "{name}");
        assert_eq!(said, to(name));
    }
    // Another image has other host names, and of two with the same the first is meant.
    let (text, said, _) = applied(wanted, &one("registry.example.com/docker:28-dind", ""));
    assert!(text.ends_with(&one("docker:28-dind", "")) && said.1.lines().count() == 1, "{text}");
    let twice = format!("{}{}", one("docker:28-dind", ""), one("docker:dind", ""));
    let (text, said, notes) = applied(wanted, &twice);
    assert_eq!((text, said), (twice, values(&[])));
    assert_eq!(codes(&notes, "warnings"), [""; 0]);
}

#[test]
fn a_command_is_taken_as_a_whole_and_variables_one_by_one() {
    if !possible() {
        return;
    }
    let found = RIGHT
        .replace("[\"--mtu\", \"1400\"]", "[\"--mtu\", \"9000\", \"-D\"]")
        .replace("A=1\"", "A=2\", \"B=1\"");
    let (text, said, _) = applied(DIND, &found);
    assert_eq!(text, RIGHT.replace("A=1\"", "A=1\", \"B=1\""));
    assert_eq!(
        said,
        of_services(&[
            ("[0].command[1]", Some("\"9000\""), Some("\"1400\"")),
            ("[0].command[2]", Some("\"-D\""), None),
            ("[0].environment", Some("\"A=2\""), Some("\"A=1\"")),
        ])
    );
    let none = "[[config.docker.services]]\nname = \"docker:28-dind\"\ncommand = []\nalias = \"\"\n";
    let (text, _, _) = applied(none, &RIGHT.replace("      alias = \"build\"\n", ""));
    assert!(text.contains("command = []") && !text.contains("alias"), "{text}");
}

#[test]
fn more_services_than_a_job_may_have_are_refused() {
    if !possible() {
        return;
    }
    let limit = |limit: u8| profile(&format!("services_limit = {limit}\n{DIND}"));
    let with = |lines: &str| host(&docker(&format!("    privileged = true\n{lines}")));
    let other = "    [[runners.docker.services]]\n      name = \"redis:7\"\n";
    refused("none", &limit(0), &with(""), "services-limit");
    refused("another", &limit(1), &with(other), "services-limit");
    refused("of the file", &profile(DIND), &with("    services_limit = 0\n"), "services-limit");
    refused("the limit alone", &profile("services_limit = 0\n"), &with(other), "services-limit");
    for (wanted, lines) in [
        (limit(1), RIGHT.to_owned()),
        (limit(2), format!("{other}{RIGHT}")),
        (profile(DIND), format!("    services_limit = -1\n{RIGHT}")),
    ] {
        let run = with(&lines).run("plan", &wanted, &["--runner-version", "16.9.0"]);
        let after = said(&run.json()).1;
        assert!(run.status < 2 && after.lines().all(|line| line.contains("services_limit")), "{run}");
    }
}

#[test]
fn a_version_that_does_not_count_services_is_refused() {
    if !possible() {
        return;
    }
    let wanted = profile(&format!("services_limit = 1\n{DIND}"));
    let at = |version| host(&docker("")).version(version);
    refused("too old", &wanted, &at("16.8.1"), "runner-too-old");
    let expected = [Expected::new("update", PATH, None)];
    changes("new enough", &wanted, &at("16.9.0"), &expected);
    // What only has no effect is said.
    let notes = changes("old", &profile(DIND), &at("13.5.0"), &expected);
    assert_eq!(codes(&notes, "warnings"), ["config-key-too-new"; 2], "command and environment");
}

#[test]
fn odd_services_are_refused() {
    if !possible() {
        return;
    }
    for (name, lines, code) in [
        ("a list of texts", "    services = [\"redis:7\"]\n", "config-shape"),
        ("a table", "    [runners.docker.services]\n      name = \"redis:7\"\n", "config-shape"),
        (
            "a command in one text",
            "    [[runners.docker.services]]\n      name = \"docker\"\n      command = \"x\"\n",
            "config-shape",
        ),
    ] {
        refused(name, &profile(DIND), &host(&docker(lines)), code);
        converged(name, &profile(""), &host(&docker(&format!("    privileged = true\n{lines}"))));
    }
    for (name, services) in [
        ("no name", "[[config.docker.services]]\nalias = \"a\"\n"),
        ("an empty name", "[[config.docker.services]]\nname = \"\"\n"),
        ("a name of two words", "[[config.docker.services]]\nname = \"a b\"\n"),
        ("an image that a job chooses", "[[config.docker.services]]\nname = \"$DIND\"\n"),
        ("a tag that a job chooses", "[[config.docker.services]]\nname = \"docker:${TAG}\"\n"),
        ("an alias that a job chooses", "[[config.docker.services]]\nname = \"a\"\nalias = \"$B\"\n"),
        ("an unknown key", "[[config.docker.services]]\nname = \"a\"\nprivileged = true\n"),
        (
            "one host name, two images",
            "[[config.docker.services]]\nname = \"a:1\"\n[[config.docker.services]]\nname = \"a:2\"\n",
        ),
        ("a table", "[config.docker.services]\nname = \"a\"\n"),
    ] {
        refused(name, &profile(services), &host(&docker("")), "profile-invalid");
    }
}
