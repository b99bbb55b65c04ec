//! The three walks of .github/CONTRIBUTING.md, gone on a copy of the sources: a kind of resource, a check, a profile.
//!
//! Each step half done is refused by the commands that the walk names, with what to add and where; each step done, they
//! pass. Takes a build of everything, so it is one of the long tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test prepares its copy itself, and stops where that fails"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Run, long, made, page, run_within, skipped, source};

/// A part of a walk: a file, after which line of it, and what is added; a new file has no line.
type Step = (&'static str, &'static str, &'static str);

/// One walk.
struct Walk {
    /// Its title in the page.
    title: &'static str,
    /// What somebody does who has not read to the end, and what the commands say then.
    first: &'static [Step],
    says: &'static [&'static str],
    /// The rest of it.
    then: &'static [Step],
}

const WALKS: [Walk; 3] = [
    Walk {
        title: "Add a kind of resource",
        first: &[
            ("src/resource/motd.rs", "", include_str!("fixtures/walks/motd.rs")),
            ("src/resource/mod.rs", "mod login_shell;", "mod motd;\n"),
            ("tests/resources/motd.rs", "", include_str!("fixtures/walks/motd_cases.rs")),
            ("tests/resources/main.rs", "mod known_hosts;", "mod motd;\n"),
            (
                "src/resource/mod.rs",
                "kind::<git::Git>",
                "    kind::<motd::Motd>(\"motd\", \"what people read who log in\"),\n",
            ),
        ],
        says: &[
            "motd-kind of src/resource is not listed: add its row to src/doctor/codes.tsv",
            "nothing brings motd-kind about: add a case to CASES of tests/errors/trees.rs",
        ],
        then: &[
            (
                "src/doctor/codes.tsv",
                "git-config-kind\t",
                "motd-kind\tmotd\ttree\tthe message of the day is not a regular file\n",
            ),
            (
                "tests/patients/faults.rs",
                "    note(\"no address of git\"",
                "    with(\n        OURS,\n        problem(\n            \"the message of the day is a directory\",\n            &[Put(OUR_PROFILE, \
                 \"summary = \\\"x\\\"\\n[motd]\\ntext = \\\"x\\\"\\n\"), Make(\"/etc/motd\")],\n            \"motd-kind\",\n        ),\n    ),\n",
            ),
            (
                "tests/errors/trees.rs",
                "pub(super) const CASES",
                "    case(\"motd-kind\", \"the message of the day is a directory\", || {\n        let text = \"summary = \
                 \\\"x\\\"\\n[motd]\\ntext = \\\"x\\\"\\n\";\n        on(&host().file(MINE, text).dir(\"etc/motd\", 0o755), \
                 &[\"plan\", \"--profile\", \"mine\"])\n    }),\n",
            ),
        ],
    },
    Walk {
        title: "Add a check to the doctor",
        first: &[
            ("src/doctor/logins.rs", "", include_str!("fixtures/walks/logins.rs")),
            ("src/doctor/mod.rs", "mod login;", "mod logins;\n"),
            (
                "src/doctor/mod.rs",
                "    check(\"login-shell\"",
                "    check(\"logins\", SHELL, &[], logins::look),\n",
            ),
        ],
        says: &[
            "logins-closed of src/doctor is not listed: add its row to src/doctor/codes.tsv",
            "the check logins has found nothing: add a fault for it to tests/patients/faults.rs",
        ],
        then: &[
            (
                "src/doctor/codes.tsv",
                "login-shell-fails\t",
                "logins-closed\tlogins\ttree\tnobody but root can log in\n",
            ),
            (
                "tests/patients/faults.rs",
                "    note(\"no address of git\"",
                "    problem(\"logins are closed\", &[Put(\"/etc/nologin\", \"\")], \"logins-closed\"),\n",
            ),
        ],
    },
    Walk {
        title: "Add a profile",
        first: &[
            ("profiles/lab.toml", "", include_str!("fixtures/walks/lab.toml")),
            (
                "src/profile/store.rs",
                "    (\"docker-socket\", include_str!",
                "    (\"lab\", include_str!(\"../../profiles/lab.toml\")),\n",
            ),
        ],
        says: &["README.md has no row for the profile lab: add `| `lab` |"],
        then: &[
            ("README.md", "| `dind-socket` |", "| `lab` | Docker-in-Docker of a laboratory |\n"),
            (
                "profiles/README.md",
                "| `dind-socket` |",
                "| `lab` | none | the same as with `dind` | nothing is kept from it |\n",
            ),
        ],
    },
];

fn go(copy: &Path, steps: &[Step]) {
    for (path, line, text) in steps {
        let path = copy.join(path);
        if line.is_empty() {
            std::fs::write(path, text).unwrap();
            continue;
        }
        let old = std::fs::read_to_string(&path).unwrap();
        let at = old.find(line).unwrap_or_else(|| panic!("{} has no {line:?}", path.display()));
        let end = at + old[at..].find('\n').unwrap() + 1;
        std::fs::write(path, [&old[..end], text, &old[end..]].concat()).unwrap();
    }
}

/// The command that a walk gives, and the files that it names.
fn command(title: &str) -> String {
    let text = page(".github/CONTRIBUTING.md");
    let walk = text.split("\n## ").find(|walk| walk.starts_with(title)).unwrap();
    let commands: Vec<&str> = walk.split('`').filter(|part| part.starts_with("cargo test ")).collect();
    let [command] = commands[..] else { panic!("{title} has {commands:?}") };
    command.to_owned()
}

fn run(copy: &Path, command: &str, renew: bool) -> Run {
    let command = command.replace("cargo test ", "cargo test --locked --no-fail-fast ").replace(" && ", "; ");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("set +e; {command}")]).current_dir(copy);
    shell
        .env("CARGO_TARGET_DIR", made("walks"))
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUNNER_PREP_SKIPPED");
    if renew {
        shell.env("RUNNER_PREP_RENEW", "1");
    }
    run_within(Duration::from_secs(3600), &mut shell)
}

#[test]
fn each_walk_ends_where_its_page_says() {
    if !long() {
        skipped(
            "RUNNER_PREP_LONG=1 builds a copy of the sources with a resource, a check and a profile more",
        );
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    let mut tar = Command::new("sh");
    tar.args(["-c", "tar --exclude ./target --exclude ./.git -cf - . | tar -xf - -C \"$1\"", "sh"]);
    run_within(Duration::from_secs(60), tar.arg(copy.path()).current_dir(source())).ok();
    for walk in &WALKS {
        go(copy.path(), walk.first);
    }
    for walk in &WALKS {
        let half = run(copy.path(), &command(walk.title), false);
        for line in walk.says {
            half.says(line);
        }
    }
    for walk in &WALKS {
        go(copy.path(), walk.then);
    }
    for walk in &WALKS {
        // What is generated is written by a first run.
        run(copy.path(), &command(walk.title), true);
        let whole = run(copy.path(), &command(walk.title), false);
        whole.says_not("test result: FAILED").says_not("error: could not compile");
        whole.says("test result: ok");
    }
}
