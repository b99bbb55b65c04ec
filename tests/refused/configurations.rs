//! Configurations of gitlab-runner that nobody can read, or that have another shape than gitlab-runner's.

use std::os::unix::net::UnixListener;

use super::{CONFIG, Expected, host, refused};
use crate::support::{Tree, is_root};

/// The begin of a configuration.
const RUNNER: &str = "[[runners]]\nname = \"a\"\ntoken = \"glrt-CANARY-1\"\nexecutor = \"docker\"\n";

/// A host with this configuration.
fn with_config(text: impl AsRef<[u8]>) -> Tree {
    host().config_toml(text)
}

/// Cases side by side: a file that may be torn is looked at for more than half a second.
fn together<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    for cases in cases.chunks(8) {
        std::thread::scope(|scope| {
            for case in cases {
                scope.spawn(|| check(case));
            }
        });
    }
}

#[test]
fn configurations_that_no_runner_reads() {
    let with = |rest: &str| format!("{RUNNER}{rest}");
    let invalid = "config-invalid";
    let cases: &[(&str, Vec<u8>, Expected<'_>)] = &[
        (
            "not TOML",
            b"[[runners]]\ntoken = glrt-CANARY-1\n".into(),
            (invalid, &["config.toml: line 2, column 9: "]),
        ),
        (
            "open list",
            b"[[runners]\ntoken = \"glrt-CANARY-1\"\n".into(),
            (invalid, &["config.toml: line 1, column "]),
        ),
        (
            "open text",
            b"[[runners]]\ntoken = \"glrt-CANARY-1\n".into(),
            (invalid, &["config.toml: line 2, column "]),
        ),
        (
            "duplicate keys",
            with("token = \"glrt-CANARY-2\"\n").into(),
            (invalid, &["line 5, column 1: duplicate key"]),
        ),
        (
            "duplicate tables",
            with("[runners.docker]\n[runners.docker]\n").into(),
            (invalid, &["line 6, column "]),
        ),
        (
            "not UTF-8",
            b"token = \"glrt-CANARY-1\"\nname = \"\xe4\"\n".into(),
            (invalid, &["line 2, column 9: not UTF-8"]),
        ),
        ("UTF-16", b"\xff\xfe[\x00".into(), (invalid, &["line 1, column 1: not UTF-8"])),
        ("NUL", b"concurrent = 1\n\x00".into(), (invalid, &["line 2, column 1: NUL byte"])),
        (
            "lone carriage return",
            b"concurrent = 1\rx = 2\n".into(),
            (invalid, &["line 1, column 15: carriage return"]),
        ),
        (
            "deeply nested",
            [b"x = ".to_vec(), vec![b'['; 100_000]].concat(),
            (invalid, &["config.toml: line 1, column "]),
        ),
        ("huge number", with("limit = 99999999999999999999\n").into(), (invalid, &["line 5, column 9: "])),
    ];
    together(cases, |(name, text, expected)| {
        refused(name, &with_config(text), &["--profile", "dind"], *expected);
    });
}

#[test]
fn configurations_of_another_shape() {
    let with = |rest: &str| format!("{RUNNER}{rest}");
    let (shape, case) = ("config-shape", "config-key-case");
    let cases: &[(&str, Vec<u8>, Expected<'_>)] = &[
        ("empty", Vec::new(), ("config-empty", &["config.toml is empty", "restore it"])),
        ("only blanks", b" \n\t\n".into(), ("config-empty", &["config.toml is empty"])),
        (
            "runners is a table",
            b"[runners]\ntoken = \"glrt-CANARY-1\"\n".into(),
            (
                shape,
                &["line 1, column 1: `runners` is a table, gitlab-runner wants [[runners]]", "two brackets"],
            ),
        ),
        (
            "a key in another case",
            with("[runners.docker]\n  Privileged = true\n").into(),
            (case, &["line 6, column 16: gitlab-runner reads `Privileged` as `privileged`", "once"]),
        ),
        ("a table in another case", with("[runners.Docker]\n").into(), (case, &["`Docker` as `docker`"])),
        (
            "runners in another case",
            b"[[Runners]]\nname = \"a\"\n".into(),
            (case, &["`Runners` as `runners`"]),
        ),
        (
            "a service in another case",
            with("[[runners.docker.services]]\nName = \"a:1\"\n").into(),
            (case, &["`Name` as `name`"]),
        ),
        (
            "runners is a text",
            b"runners = \"CANARY\"\n".into(),
            (shape, &["line 1, column 11: `runners` is a string"]),
        ),
        (
            "runners are numbers",
            b"runners = [1]\n".into(),
            (shape, &["`runners` is a list, gitlab-runner wants [[runners]]"]),
        ),
        (
            "docker is a text",
            with("docker = \"CANARY\"\n").into(),
            (shape, &["line 5, column 10: runners[0] \"a\": `docker` is a string, not a table"]),
        ),
        (
            "docker is a list",
            with("[[runners.docker]]\nimage = \"x\"\n").into(),
            (shape, &["`docker` is a list of tables, not a table"]),
        ),
        (
            "volumes is a text",
            with("[runners.docker]\nvolumes = \"/cache\"\n").into(),
            (
                shape,
                &["line 6, column 11: runners[0] \"a\": `docker.volumes` is a string, not a list of strings"],
            ),
        ),
        (
            "volumes are numbers",
            with("[runners.docker]\nvolumes = [1]\n").into(),
            (shape, &["`docker.volumes` is a list, not a list of strings"]),
        ),
        (
            "environment is a table",
            with("environment = { A = \"CANARY\" }\n").into(),
            (shape, &["`environment` is a table, not a list of strings"]),
        ),
        (
            "the host's own daemon",
            with("[runners.docker]\nvolumes = [\"/var/run/docker.sock:/var/run/docker.sock\"]\n").into(),
            (
                "docker-sock-and-dind",
                &[
                    "runners[0] \"a\" mounts the host's docker.sock",
                    "Docker-in-Docker",
                    "builds would silently use the host's daemon",
                    "--runner",
                ],
            ),
        ),
        (
            "the host's own daemon by another path",
            with("[runners.docker]\nvolumes = [\"/run/docker.sock:/var/run/docker.sock:ro\"]\n").into(),
            ("docker-sock-and-dind", &["docker.sock"]),
        ),
    ];
    together(cases, |(name, text, expected)| {
        refused(name, &with_config(text), &["--profile", "dind"], *expected);
    });
}

#[test]
fn two_runners_of_one_name_are_not_told_apart() {
    let text = "[[runners]]\nname = \"a\"\nid = 7\nexecutor = \"docker\"\n[[runners]]\nname = \"a\"\nid = 8\nexecutor = \"docker\"\n";
    let expected: Expected<'_> = ("runner-ambiguous", &["2 runners with the name or id \"a\"", "by its id"]);
    refused("ambiguous", &with_config(text), &["--profile", "dind", "--runner", "a"], expected);
}

#[test]
fn configurations_that_are_no_files() {
    let bare =
        || Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").dir("etc/gitlab-runner", 0o700);
    let dind = ["--profile", "dind"];
    refused(
        "directory",
        &bare().dir(CONFIG, 0o700),
        &dind,
        ("config-kind", &["config.toml is a directory, not a regular file", "ls -ld"]),
    );
    refused("FIFO", &bare().fifo(CONFIG), &dind, ("config-kind", &["config.toml is a FIFO"]));
    refused(
        "link to nowhere",
        &bare().link(CONFIG, "/srv/none.toml"),
        &dind,
        ("config-dangling", &["config.toml is a link to nowhere", "ls -l"]),
    );
    refused(
        "link to itself",
        &bare().link(CONFIG, "config.toml"),
        &dind,
        ("path-unusable", &["config.toml", "mv -T /etc/gitlab-runner/config.toml"]),
    );
    refused(
        "link to a FIFO",
        &bare().fifo("srv/pipe").link(CONFIG, "/srv/pipe"),
        &dind,
        ("config-kind", &["is a FIFO"]),
    );
    refused(
        "below a file",
        &Tree::new().file("etc/gitlab-runner", ""),
        &dind,
        ("path-unusable", &["etc/gitlab-runner", "mv -T /etc/gitlab-runner /etc/gitlab-runner.old"]),
    );
    let tree = bare();
    let _socket = UnixListener::bind(tree.path(CONFIG)).unwrap();
    refused("socket", &tree, &dind, ("config-kind", &["config.toml is a socket"]));
    let tree = host();
    std::fs::hard_link(tree.path(CONFIG), tree.path("etc/gitlab-runner/second")).unwrap();
    refused("hard link", &tree, &dind, ("config-links", &["config.toml has 2 names", "-samefile"]));
    let tree = host();
    std::fs::File::options().write(true).open(tree.path(CONFIG)).unwrap().set_len(1 << 40).unwrap();
    refused("huge", &tree, &dind, ("file-too-large", &["config.toml is larger than"]));
    if !is_root() {
        let tree = host();
        tree.chmod(CONFIG, 0o000);
        refused(
            "unreadable",
            &tree,
            &dind,
            ("not-permitted", &["config.toml can't be read: permission denied", "sudo"]),
        );
    }
}
