//! Values of `config.toml` on fed hosts. How the text is edited is the business of `text::toml_patch`.

mod services;

use super::super::Options;
use super::super::testing::{Did, changes, codes, converged, plan, refused};
use crate::change::{Change, FileKind, Meta, Notes, Op, Owner, Shown, Swap, ValueChange};
use crate::facts::fake::Fake;
use crate::keys::Version;
use crate::runner_config::USUAL_PATH as PATH;

const DIND: &str = include_str!("../../../profiles/dind.toml");

/// The profile without what it extends.
fn dind() -> String {
    DIND.replace("extends = [\"shell\"]", "")
}

/// A runner whose `[runners.docker]` has these lines.
fn docker(lines: &str) -> String {
    format!(
        "[[runners]]\n  name = \"a\"\n  id = 7\n  token = \"glrt-CANARY\"\n  executor = \"docker\"\n\
         \x20 environment = [\"DOCKER_TLS_CERTDIR=/certs\"]\n  [runners.docker]\n{lines}"
    )
}

fn host(text: &str) -> Fake {
    Fake::host().file(PATH, 0o600, 0, text)
}

const RIGHT: &str = "    privileged = true\n    volumes = [\"/cache\", \"/certs/client\"]\n";

/// The values that a plan changes: place, before, after.
fn values(found: &[Change]) -> Vec<(String, Option<&str>, Option<&str>)> {
    let all = found.iter().flat_map(|change| match &change.op {
        Op::File(file) => match &file.shown {
            Shown::Values(values) => values.iter(),
            _ => panic!("config.toml is shown by its values alone"),
        },
        _ => panic!("config.toml is a file"),
    });
    let path = |value: &ValueChange| value.path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    all.map(|value| (path(value), value.before.as_deref(), value.after.as_deref())).collect()
}

#[track_caller]
fn edits(name: &str, host: &Fake, expected: &[(&str, Option<&str>, Option<&str>)]) -> Notes {
    let (found, notes) =
        plan(&dind(), host, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let values = values(&found);
    let said: Vec<_> = values.iter().map(|(path, before, after)| (path.as_str(), *before, *after)).collect();
    assert_eq!(said, expected, "{name}");
    converged(name, &dind(), &host.after(&found));
    notes
}

#[test]
fn values_are_set_where_they_differ() {
    converged("right", &dind(), &host(&docker(RIGHT)));
    edits(
        "missing",
        &host("[[runners]]\nname = \"a\"\nexecutor = \"docker\"\n"),
        &[
            ("runners.0.environment", None, Some("\"DOCKER_TLS_CERTDIR=/certs\"")),
            ("runners.0.docker.privileged", None, Some("true")),
            ("runners.0.docker.volumes", None, Some("\"/certs/client\"")),
            ("runners.0.docker.volumes", None, Some("\"/cache\"")),
        ],
    );
    edits(
        "drifted",
        &host(&docker(
            "    privileged = false\n    tls_verify = true\n    volumes = [\"/cache\", \"/certs/client\"]\n",
        )),
        &[
            ("runners.0.docker.privileged", Some("false"), Some("true")),
            ("runners.0.docker.tls_verify", Some("true"), Some("false")),
        ],
    );
    edits(
        "another value of the variable",
        &host(&docker(RIGHT).replace("=/certs", "=/tls")),
        &[(
            "runners.0.environment",
            Some("\"DOCKER_TLS_CERTDIR=/tls\""),
            Some("\"DOCKER_TLS_CERTDIR=/certs\""),
        )],
    );
    edits(
        "of another type",
        &host(&docker("    privileged = \"CANARY\"\n    volumes = [\"/cache\", \"/certs/client\"]\n")),
        &[("runners.0.docker.privileged", Some("(of another type)"), Some("true"))],
    );
    let shared = "    privileged = true\n    volumes = [\"/cache\", \"certs:/certs/client:rw\"]\n";
    assert_eq!(codes(&converged("known by its path", &dind(), &host(&docker(shared)))).0, ["certs-shared"]);
}

#[test]
fn owner_and_mode_stay_and_the_exchange_is_the_careful_one() {
    let text = docker("    privileged = false\n    volumes = [\"/cache\", \"/certs/client\"]\n");
    let after = text.replace("privileged = false", "privileged = true");
    for (mode, owner) in [(0o600, 0), (0o640, 42), (0o644, 998)] {
        let meta = Meta { owner: Owner::Ids(owner, owner), mode };
        let (before, after) = (Some(text.clone()), Some(after.clone()));
        let expected = Did::File { before, after, meta, swap: Swap::Shared };
        let host = Fake::host().file(PATH, mode, owner, &text);
        let notes = changes("mode and owner", &dind(), &host, &[(PATH.into(), expected)]);
        let open: &[&str] = if mode == 0o600 { &[] } else { &["config-mode"] };
        assert_eq!(codes(&notes).0, open);
    }
    let linked = Fake::host().link(PATH, "/srv/config.toml").file("/srv/config.toml", 0o600, 0, &text);
    let (found, _) = plan(&dind(), &linked, &Options::default()).expect("a plan");
    assert_eq!(found[0].id, "/srv/config.toml", "the link's target is replaced");
}

#[test]
fn a_host_without_such_a_runner_waits() {
    let waits =
        |name, host: &Fake| assert_eq!(codes(&converged(name, &dind(), host)).1, ["runner-not-registered"]);
    waits("no file", &Fake::host());
    waits("no runner", &host("concurrent = 1\n"));
    waits("another executor", &host("[[runners]]\nname = \"a\"\nexecutor = \"shell\"\n"));

    // gitlab-runner would write the usual file.
    let line = |options: &Options| {
        plan(&dind(), &Fake::host(), options).expect("a plan").1.pending[0].repair.clone()
    };
    assert!(!line(&Options::default()).contains("--config"));
    let options = Options { config: Some("/srv/config.toml".into()), ..Options::default() };
    assert!(
        line(&options).contains("gitlab-runner register --non-interactive --config /srv/config.toml \\\n")
    );
}

#[test]
fn only_the_runners_that_are_meant_are_touched() {
    let two = format!("{}[[runners]]\nname = \"b\"\nid = 8\nexecutor = \"docker+machine\"\n", docker(""));
    let paths = |names: &[&str]| -> Vec<usize> {
        let runners = names.iter().map(|name| (*name).to_owned()).collect();
        let (found, _) =
            plan(&dind(), &host(&two), &Options { runners, ..Options::default() }).expect("a plan");
        let mut indices: Vec<usize> =
            values(&found).iter().filter_map(|(path, ..)| path.split('.').nth(1)?.parse().ok()).collect();
        indices.dedup();
        indices
    };
    assert_eq!(paths(&[]), [0, 1]);
    assert_eq!(paths(&["b"]), [1]);
    assert_eq!(paths(&["7"]), [0]);
    assert_eq!(paths(&["8", "a"]), [0, 1]);
    let code = |names: &str, text: &str| {
        let options = Options { runners: vec![names.to_owned()], ..Options::default() };
        let error = plan(&dind(), &host(text), &options).expect_err("refused");
        crate::fault::find(&error).map(|fault| fault.code)
    };
    assert_eq!(code("c", &two), Some("runner-unknown"));
    assert_eq!(code("a", &two.replace("\"b\"", "\"a\"")), Some("runner-ambiguous"));
    assert_eq!(code("b", &two.replace("docker+machine", "shell")), Some("runner-executor"));
    let nobody = converged("nobody is meant", "[config]\nlimit = 3\n", &host(&two));
    assert_eq!(codes(&nobody).1, ["runner-not-registered"]);
}

#[test]
fn a_remote_daemons_link_is_left_alone() {
    let remote = |host: &str| docker(&format!("    host = \"{host}\"\n    tls_verify = true\n{RIGHT}"));
    for address in ["tcp://10.0.0.1:2376", "ssh://ci@build", "tcp://[2001:db8::1]:2376"] {
        let notes = converged(address, &dind(), &host(&remote(address)));
        assert_eq!(codes(&notes).0, ["tls-verify-remote"]);
    }
    for address in
        ["unix:///run/docker.sock", "tcp://127.0.0.1:2376", "tcp://localhost:2376", "tcp://[::1]:2376"]
    {
        edits(
            address,
            &host(&remote(address)),
            &[("runners.0.docker.tls_verify", Some("true"), Some("false"))],
        );
    }
}

#[test]
fn what_cannot_work_is_refused() {
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
    refused("directory", &dind(), &Fake::host().dir(PATH, 0o700, 0), "config-kind");
    refused("FIFO", &dind(), &Fake::host().special(PATH, FileKind::Special("a FIFO")), "config-kind");
    refused("a link to nowhere", &dind(), &Fake::host().link(PATH, "/srv/gone"), "config-dangling");
    refused("two names", &dind(), &host(&docker(RIGHT)).hard_linked(PATH), "config-links");
    refused("unreadable", &dind(), &Fake::host().unreadable(PATH), "not-permitted");
}

#[test]
fn a_version_that_ignores_what_keeps_jobs_from_something_is_refused() {
    let profile = include_str!("../../../profiles/dind-hardened.toml").replace("extends = [\"shell\"]", "");
    let found = |version| plan(&profile, &host(&docker("")).version(version), &Options::default());
    let error = found(Version(16, 0, 3)).expect_err("too old");
    assert_eq!(crate::fault::find(&error).map(|fault| fault.code), Some("runner-too-old"));
    let (edits, notes) = found(Version(16, 1, 0)).expect("new enough");
    assert_eq!((edits.len(), codes(&notes).0.is_empty()), (1, true));
    let notes = plan(&profile, &host(&docker("")), &Options::default()).expect("not known").1;
    assert_eq!(codes(&notes).0, ["runner-version-unknown"]);
}

/// What keeps something from jobs must not be taken for granted: for most keys zero and false are what absence means.
#[test]
fn a_limit_of_nothing_is_written() {
    for (wanted, path) in [
        ("[config.docker]\nservices_privileged = false\n", "docker.services_privileged"),
        ("[config.docker]\nservices_limit = 0\n", "docker.services_limit"),
        ("clean_git_config = false\n", "clean_git_config"),
        ("safe_directory_checkout = false\n", "safe_directory_checkout"),
    ] {
        let profile = format!("[config]\nexecutors = [\"docker\"]\n{wanted}");
        let host = host(&docker("    privileged = true\n"));
        let found = plan(&profile, &host, &Options::default()).expect("a plan").0;
        let said: Vec<_> = values(&found).into_iter().map(|(path, before, _)| (path, before)).collect();
        assert_eq!(said, [(format!("runners.0.{path}"), None)]);
        converged(path, &profile, &host.after(&found));
    }
    for wanted in ["limit = 0\n", "[config.docker]\nprivileged = false\noom_score_adjust = 0\nuser = \"\"\n"]
    {
        let profile = format!("[config]\nexecutors = [\"docker\"]\n{wanted}");
        converged(wanted, &profile, &host(&docker("    image = \"a\"\n")));
    }
}

#[test]
fn a_profile_does_not_contradict_itself() {
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
