//! `[[config.docker.services]]` on fed hosts.

use super::super::super::testing::{codes, converged, plan, refused};
use super::{docker, host, values};
use crate::change::{Change, Notes, Op};
use crate::keys::Version;
use crate::resource::Options;

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

/// What a change makes of the lines behind `privileged`.
fn text(change: &Change) -> String {
    let Op::File(file) = &change.op else { panic!("config.toml is a file") };
    let bytes = file.after.as_ref().expect("a content").bytes().expect("bytes");
    let text = String::from_utf8(bytes.to_vec()).expect("a text");
    text.split_once("    privileged = true\n").expect("the table").1.to_owned()
}

/// A value: place below `docker.services`, before, after.
type Said = (String, Option<String>, Option<String>);

/// The new text, and what was said to change.
#[track_caller]
fn planned(services: &str, lines: &str) -> (String, Vec<Said>, Notes) {
    let profile = profile(services);
    let host = host(&docker(&format!("    privileged = true\n{lines}")));
    let (found, notes) = plan(&profile, &host, &Options::default()).expect("a plan");
    let own = |text: Option<&str>| text.map(str::to_owned);
    let said = values(&found).into_iter().map(|(path, before, after)| {
        let path = path.strip_prefix("runners.0.docker.services.").expect("only services differ");
        (path.to_owned(), own(before), own(after))
    });
    let said = said.collect();
    converged(lines, &profile, &host.after(&found));
    let text = found.first().map_or_else(|| lines.to_owned(), text);
    (text, said, notes)
}

#[test]
fn a_service_that_is_missing_comes_behind_the_others() {
    let all = |index: usize| {
        [
            ("name", "\"docker:28-dind\""),
            ("alias", "\"build\""),
            ("command.0", "\"--mtu\""),
            ("command.1", "\"1400\""),
            ("environment", "\"A=1\""),
        ]
        .map(|(key, after)| (format!("{index}.{key}"), None, Some(after.to_owned())))
    };
    let (text, said, _) = planned(DIND, "");
    assert_eq!(text, RIGHT);
    assert_eq!(said, all(0));
    // Those of others stay where they are, with their comments.
    let other = "    # ours\n    [[runners.docker.services]] # db\n      name = \"postgres:16\" # pinned\n";
    let (text, said, _) = planned(DIND, other);
    assert_eq!(text, format!("{other}{RIGHT}"));
    assert_eq!(said, all(1));
    let (text, _, _) = planned(DIND, "    services = [{ name = \"postgres:16\" }]\n");
    assert_eq!(
        text,
        "    services = [{ name = \"postgres:16\" }, { name = \"docker:28-dind\", alias = \"build\", \
         command = [\"--mtu\", \"1400\"], environment = [\"A=1\"] }]\n"
    );
    // Two at once, and one text about each of them.
    let two = format!("{DIND}[[config.docker.services]]\nname = \"redis:7\"\n");
    let (text, said, _) = planned(&two, other);
    assert_eq!(text, format!("{other}{RIGHT}    [[runners.docker.services]]\n      name = \"redis:7\"\n"));
    assert_eq!(said.len(), 6);
}

#[test]
fn a_service_is_known_by_the_host_names_that_jobs_reach_it_by() {
    let one =
        |name: &str, rest: &str| format!("    [[runners.docker.services]]\n      name = \"{name}\"\n{rest}");
    let wanted = "[[config.docker.services]]\nname = \"docker:28-dind\"\n";
    let to = |before: &str| {
        let before = Some(format!("\"{before}\""));
        vec![("1.name".to_owned(), before, Some("\"docker:28-dind\"".to_owned()))]
    };
    let redis = one("redis:7", "");
    for (name, rest) in [
        ("docker:19.03-dind", ""),
        ("docker@sha256:0123", ""),
        ("mirror.example.com/dind", "      alias = \"docker\"\n"),
        ("x", "      alias = \"a, docker\"\n      command = [\"--mtu\"]\n"),
    ] {
        let (text, said, _) = planned(wanted, &format!("{redis}{}", one(name, rest)));
        assert_eq!(text, format!("{redis}{}", one("docker:28-dind", rest)), "{name}");
        assert_eq!(said, to(name));
    }
    // Another image has other host names, and of two with the same the first is meant.
    let (text, said, _) = planned(wanted, &one("registry.example.com/docker:28-dind", ""));
    assert!(text.ends_with(&one("docker:28-dind", "")) && said.len() == 1, "{text}");
    let twice = format!("{}{}", one("docker:28-dind", ""), one("docker:dind", ""));
    let (text, said, notes) = planned(wanted, &twice);
    assert_eq!((text, said, codes(&notes).0), (twice, Vec::new(), Vec::new()));
}

#[test]
fn a_command_is_taken_as_a_whole_and_variables_one_by_one() {
    let found = RIGHT
        .replace("[\"--mtu\", \"1400\"]", "[\"--mtu\", \"9000\", \"-D\"]")
        .replace("A=1\"", "A=2\", \"B=1\"");
    let (text, said, _) = planned(DIND, &found);
    assert_eq!(text, RIGHT.replace("A=1\"", "A=1\", \"B=1\""));
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(
        said,
        [
            ("0.command.1".to_owned(), own("\"9000\""), own("\"1400\"")),
            ("0.command.2".to_owned(), own("\"-D\""), None),
            ("0.environment".to_owned(), own("\"A=2\""), own("\"A=1\"")),
        ]
    );
    let none = "[[config.docker.services]]\nname = \"docker:28-dind\"\ncommand = []\nalias = \"\"\n";
    let (text, _, _) = planned(none, &RIGHT.replace("      alias = \"build\"\n", ""));
    assert!(text.contains("command = []") && !text.contains("alias"), "{text}");
}

#[test]
fn more_services_than_a_job_may_have_are_refused() {
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
        let options = Options { runner_version: Some(Version(16, 9, 0)), ..Options::default() };
        let (found, _) = plan(&wanted, &with(&lines), &options).expect("a plan");
        assert!(values(&found).iter().all(|(path, ..)| path.ends_with("services_limit")), "{lines}");
    }
}

#[test]
fn a_version_that_does_not_count_services_is_refused() {
    let wanted = profile(&format!("services_limit = 1\n{DIND}"));
    let at = |version, wanted: &str| plan(wanted, &host(&docker("")).version(version), &Options::default());
    let error = at(Version(16, 8, 1), &wanted).expect_err("too old");
    assert_eq!(crate::fault::find(&error).map(|fault| fault.code), Some("runner-too-old"));
    assert!(at(Version(16, 9, 0), &wanted).is_ok());
    // What only has no effect is said.
    let notes = at(Version(13, 5, 0), &profile(DIND)).expect("a plan").1;
    assert_eq!(codes(&notes).0, ["config-key-too-new"; 2], "command and environment");
}

#[test]
fn odd_services_are_refused() {
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
