//! What is refused: exit code 2, a message that says what, where, why and what to do now, and nothing changed.
//!
//! Every case is held to the same rule on a tree whose stamps must stay: `apply` with text and with `--json`,
//! and `plan` and `check` where the refusal comes before anything is written.

#![expect(clippy::disallowed_methods, reason = "the tests lay out what is refused")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::os::unix::net::UnixListener;

use support::{Run, Tree, assert_unchanged, fixture, is_root, program, run_limited};

/// The state directory, which `apply` makes before it writes or asks `visudo`.
const STATE: &str = "var/lib/runner-prep";

const MINE: &str = "etc/runner-prep/profiles/mine.toml";
const CONFIG: &str = "etc/gitlab-runner/config.toml";
const DROP_IN: &str = "etc/sudoers.d/gitlab-runner";
const HOME: &str = "home/gitlab-runner";

/// The begin of a configuration.
const RUNNER: &str = "[[runners]]\nname = \"a\"\ntoken = \"glrt-CANARY-1\"\nexecutor = \"docker\"\n";

/// What the message has to have: the code for programs, then texts for people.
type Expected<'a> = (&'a str, &'a [&'a str]);

/// A host that would take the profile `dind`.
fn host() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

/// A host with a profile `mine`.
fn with_profile(text: &str) -> Tree {
    host().file(MINE, text)
}

/// A host with this configuration.
fn with_config(text: impl AsRef<[u8]>) -> Tree {
    host().config_toml(text)
}

/// Demands the refusal by every command: what refuses to apply must not be planned.
#[track_caller]
fn refused(name: &str, tree: &Tree, arguments: &[&str], expected: Expected<'_>) {
    let before = stamps(tree);
    let run = |words: &[&str]| tree.run(&[words, arguments].concat());
    check_text(name, &run(&["plan"]), expected.1);
    check_json(name, &run(&["check", "--json"]), expected);
    check_text(name, &run(&["apply"]), expected.1);
    assert_unchanged(&before, &stamps(tree));
}

/// Demands the refusal by `apply`, where only the writing or `visudo` shows that it can't be.
#[track_caller]
fn refused_late(name: &str, tree: &Tree, arguments: &[&str], expected: Expected<'_>) {
    let before = stamps(tree);
    let run = |words: &[&str]| tree.run(&[words, arguments].concat());
    check_text(name, &run(&["apply"]), expected.1);
    check_json(name, &run(&["apply", "--json"]), expected);
    assert_unchanged(&before, &stamps(tree));
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

fn stamps(tree: &Tree) -> Vec<String> {
    without_state(tree.stamps())
}

/// All but our own state directory.
fn without_state(mut lines: Vec<String>) -> Vec<String> {
    let ours = |line: &String| {
        let path = line.split(' ').nth(5).unwrap_or_default();
        path == "var/lib" || path == STATE || path.starts_with("var/lib/runner-prep/")
    };
    lines.retain(|line| !ours(line));
    lines
}

#[track_caller]
fn check_text(name: &str, run: &Run, texts: &[&str]) {
    assert!(run.status == 2, "{name}: exit code {}\n{run}", run.status);
    assert!(run.stdout.is_empty() || !run.stdout.contains("error"), "{name}: an error on stdout\n{run}");
    assert!(run.stderr.starts_with("error: "), "{name}: no error on stderr\n{run}");
    for text in texts {
        assert!(run.contains(text), "{name}: nothing says `{text}`\n{run}");
    }
}

#[track_caller]
fn check_json(name: &str, run: &Run, (code, texts): Expected<'_>) {
    assert!(run.status == 2, "{name}: exit code {} with --json\n{run}", run.status);
    let document = run.json();
    assert_eq!(document["failed"], true, "{name}\n{run}");
    assert_eq!(document["changed"], false, "{name}\n{run}");
    assert_eq!(document["status"], "failed", "{name}\n{run}");
    let remark = &document["warnings"][0];
    assert_eq!(remark["code"], code, "{name}\n{run}");
    assert_eq!(remark["message"], document["msg"], "{name}\n{run}");
    let repair = remark["repair"].as_str().unwrap_or_default();
    assert!(!repair.is_empty(), "{name}: no repair\n{run}");
    let said = format!("{} {repair}", remark["message"].as_str().unwrap_or_default());
    for text in texts {
        assert!(said.contains(text), "{name}: --json does not say `{text}`\n{run}");
    }
}

#[test]
fn profiles_that_are_none() {
    let cases: &[(&str, &str, Expected<'_>)] = &[
        (
            "unknown key",
            "[config]\nexecutors = [\"docker\"]\n[config.docker]\nprivilaged = true\n",
            (
                "profile-invalid",
                &[
                    "mine.toml: line 4, column 1: unknown key `privilaged`; did you mean `privileged`?",
                    "4 | privilaged = true",
                    "  | ^^^^^^^^^^",
                ],
            ),
        ),
        (
            "unknown section",
            "[sudoer]\ncommands = []\n",
            (
                "profile-invalid",
                &["mine.toml: line 1, column 2: unknown section `sudoer`", "did you mean `sudoers`?"],
            ),
        ),
        (
            "wrong type",
            "[config.docker]\nprivileged = \"yes\"\n",
            (
                "profile-invalid",
                &["mine.toml: line 2, column 14: ", "true or false", "  |              ^^^^^"],
            ),
        ),
        (
            "list where a text belongs",
            "[ssh_key]\ncomment = [\"a\"]\n",
            ("profile-invalid", &["line 2, column 11: ", "string"]),
        ),
        ("section is no table", "sudoers = 1\n", ("profile-invalid", &["line 1, column 11: "])),
        (
            "value of a runner's own",
            "[config]\ntoken = \"x\"\n",
            ("profile-invalid", &["line 2, column 1: `token` can't be set"]),
        ),
        (
            "bits of an Ed25519 key",
            "[ssh_key]\nbits = 4096\n",
            ("profile-invalid", &["mine.toml: line 1", "`bits` is for keys of type \"rsa\""]),
        ),
        (
            "weak RSA key",
            "[ssh_key]\ntype = \"rsa\"\nbits = 512\n",
            ("profile-invalid", &["mine.toml: line 1", "bits"]),
        ),
        (
            "unknown executor",
            "[config]\nexecutors = [\"dokcer\"]\n",
            ("profile-invalid", &["line 2, column 13: ", "dokcer"]),
        ),
        ("not TOML", "[config\n", ("profile-invalid", &["mine.toml: line 1, column ", "format is TOML"])),
        (
            "duplicate key",
            "[ssh_key]\ntype = \"rsa\"\ntype = \"rsa\"\n",
            ("profile-invalid", &["line 3, column 1: duplicate key"]),
        ),
        (
            "extends itself",
            "extends = [\"mine\"]\n",
            ("profile-invalid", &["mine extends itself: mine → mine", "extends"]),
        ),
        (
            "extends what is not there",
            "extends = [\"shel\"]\n",
            ("profile-unknown", &["there is no profile shel; did you mean shell?"]),
        ),
        (
            "extends a local one that is not there",
            "extends = [\"mien\"]\n",
            ("profile-unknown", &["there is no profile mien; did you mean mine?"]),
        ),
        (
            "extends a file elsewhere",
            "extends = [\"../../../shadow\"]\n",
            ("profile-unknown", &["../../../shadow"]),
        ),
    ];
    for (name, text, expected) in cases {
        refused(name, &with_profile(text), &["--profile", "mine"], *expected);
    }
}

#[test]
fn profiles_that_mean_nothing_here() {
    let cases: &[(&str, &str, Expected<'_>)] = &[
        (
            "contradiction",
            "extends = [\"dind\"]\n[config.docker]\nprivileged = false\n",
            (
                "profile-contradiction",
                &["line 3, column 14: ", "`config.docker.privileged` is false here and true in", "dind"],
            ),
        ),
        (
            "one variable, two values",
            "extends = [\"dind\"]\n[config]\nenvironment = [\"DOCKER_TLS_CERTDIR=\"]\n",
            (
                "profile-invalid",
                &[
                    "dind and",
                    "mine.toml together",
                    "`environment` has both \"DOCKER_TLS_CERTDIR=/certs\" and",
                ],
            ),
        ),
        (
            "one path, two volumes",
            "[config.docker]\nvolumes = [\"/cache\", \"cache:/cache\"]\n",
            ("profile-invalid", &["line 2, column 11: `volumes` has both"]),
        ),
        (
            "account is a group",
            "[account]\nname = \"%sudo\"\n",
            ("profile-invalid", &["line 2, column 8: \"%sudo\" can't be the name"]),
        ),
        (
            "account is everybody",
            "[account]\nname = \"ALL\"\n",
            ("profile-invalid", &["\"ALL\" can't be the name of the account"]),
        ),
        (
            "account is a number",
            "[account]\nname = \"#0\"\n",
            ("profile-invalid", &["\"#0\" can't be the name"]),
        ),
        (
            "account is negated",
            "[account]\nname = \"!x\"\n",
            ("profile-invalid", &["\"!x\" can't be the name"]),
        ),
        (
            "account is root",
            "[account]\nname = \"root\"\n",
            ("account-is-root", &["the account root has uid 0", "--user"]),
        ),
        ("an empty file", "", ("profile-empty", &["the profile mine wants nothing"])),
        ("only a comment", "# nothing", ("profile-empty", &["the profile mine wants nothing"])),
        ("only a summary", "summary = \"mine\"\n", ("profile-empty", &["the profile mine wants nothing"])),
        (
            "group that is not there",
            "[account]\ngroups = [\"docker\"]\n",
            ("group-missing", &["there is no group docker", "groupadd --system docker"]),
        ),
    ];
    for (name, text, expected) in cases {
        refused(name, &with_profile(text), &["--profile", "mine"], *expected);
    }
}

#[test]
fn commands_that_no_rule_may_hold() {
    let cases: &[(&str, &str, &str)] = &[
        ("relative", "rsync", "it must be an absolute path"),
        ("empty", "", "it must be an absolute path"),
        ("newline", "/usr/bin/rsync\\nALL ALL=(ALL) ALL", "'\\n' is not allowed"),
        ("comma", "/usr/bin/rsync,/bin/sh", "',' is not allowed"),
        ("star", "/usr/bin/*", "'*' is not allowed"),
        ("equals sign", "/usr/bin/x=y", "'=' is not allowed"),
        ("colon", "/usr/bin/rsync:ALL", "':' is not allowed"),
        ("space", "/usr/bin/rsync -a", "' ' is not allowed"),
        ("tab", "/usr/bin/rsync\\t-a", "'\\t' is not allowed"),
        ("backslash", "/usr/bin/rsync\\\\", "'\\\\' is not allowed"),
        ("comment", "/usr/bin/rsync#", "'#' is not allowed"),
        ("negation", "/usr/bin/!rsync", "'!' is not allowed"),
        ("regular expression", "^/usr/bin/rsync$", "it must be an absolute path"),
        ("NUL", "/usr/bin/rsync\\u0000", "'\\0' is not allowed"),
        ("other letters", "/usr/bin/rsÿnc", "'ÿ' is not allowed"),
        ("directory", "/usr/bin/", "it must name one file"),
        ("climbing", "/usr/bin/../bin/rsync", "it must name one file"),
        ("doubled", "/usr//bin/rsync", "it must name one file"),
    ];
    for (name, command, why) in cases {
        let tree = with_profile(&format!("[sudoers]\ncommands = [\"{command}\"]\n"));
        refused(
            name,
            &tree,
            &["--profile", "mine"],
            ("profile-invalid", &["mine.toml: line 2, column 12: ", why]),
        );
    }
}

#[test]
fn commands_that_are_not_what_a_rule_means() {
    let profile = |command: &str| with_profile(&format!("[sudoers]\ncommands = [\"{command}\"]\n"));
    let arguments = ["--profile", "mine"];
    let missing: Expected<'_> =
        ("command-missing", &["/usr/bin/rsynk does not exist", "apt-get install rsynk"]);
    refused("missing", &profile("/usr/bin/rsynk"), &arguments, missing);
    let is_directory: Expected<'_> = ("command-kind", &["/usr/bin", "it is a directory", "sudoers.commands"]);
    refused("directory", &profile("/usr/bin"), &arguments, is_directory);
    let no_program: Expected<'_> = ("command-kind", &["/usr/bin/rsync is no program", "0644"]);
    refused(
        "not executable",
        &profile("/usr/bin/rsync").file_mode("usr/bin/rsync", "", 0o644),
        &arguments,
        no_program,
    );
    let writable: Expected<'_> =
        ("command-untrusted", &["/usr/bin/rsync can be changed by others than root", "has mode 0757"]);
    refused(
        "writable",
        &profile("/usr/bin/rsync").file_mode("usr/bin/rsync", "", 0o757),
        &arguments,
        writable,
    );
    let open: Expected<'_> = ("command-untrusted", &["/usr/bin/rsync", "/usr/bin has mode 0777"]);
    refused("in an open directory", &profile("/usr/bin/rsync").dir("usr/bin", 0o777), &arguments, open);
    let elsewhere: Expected<'_> = (
        "command-not-in-secure-path",
        &["`sudo rsync` does not find /opt/rsync", "secure_path is /usr/local/sbin"],
    );
    refused(
        "elsewhere",
        &profile("/opt/rsync").file_mode("opt/rsync", "", 0o755).file_mode("usr/bin/rsync", "", 0o644),
        &arguments,
        elsewhere,
    );
    let shadowed: Expected<'_> =
        ("command-shadowed", &["/usr/local/bin/rsync before /usr/bin/rsync", "sudoers.commands"]);
    refused(
        "shadowed",
        &profile("/usr/bin/rsync").file_mode("usr/local/bin/rsync", "x", 0o755),
        &arguments,
        shadowed,
    );
    if is_root() {
        let owner: Expected<'_> = ("command-untrusted", &["/usr/bin/rsync belongs to uid 998"]);
        refused("of the account", &profile("/usr/bin/rsync").own("usr/bin/rsync", 998), &arguments, owner);
    }
}

#[test]
fn names_that_are_none() {
    let cases: &[(&str, &[&str], Expected<'_>)] = &[
        (
            "near miss",
            &["--profile", "dnid"],
            ("profile-unknown", &["there is no profile dnid; did you mean dind?", "profile list"]),
        ),
        (
            "unknown",
            &["--profile", "kubernetes"],
            ("profile-unknown", &["there is no profile kubernetes", "profile list"]),
        ),
        (
            "climbing path",
            &["--profile", "/etc/../etc/shadow"],
            ("profile-unknown", &["/etc/../etc/shadow", "no `..` in it"]),
        ),
        ("climbing path to a profile", &["--profile", "a/../b.toml"], ("profile-unknown", &["a/../b.toml"])),
        ("climbing name", &["--profile", "../shell"], ("profile-unknown", &["../shell"])),
        ("no profile's name", &["--profile", "/etc/passwd"], ("profile-unknown", &["/etc/passwd", ".toml"])),
        (
            "no file",
            &["--profile", "./none.toml"],
            ("profile-unknown", &["there is no profile file ./none.toml"]),
        ),
        ("empty", &["--profile", ""], ("profile-unknown", &["\"\" can't be the name"])),
        (
            "capital letters",
            &["--profile", "Dind"],
            ("profile-unknown", &["\"Dind\" can't be the name", "lower-case"]),
        ),
        ("control characters", &["--profile", "di\u{1b}[2Jnd"], ("profile-unknown", &["can't be the name"])),
        (
            "unknown kind",
            &["--profile", "dind", "--only", "sudoer"],
            ("kind-unknown", &["\"sudoer\"", "did you mean sudoers?"]),
        ),
        (
            "unknown kind to skip",
            &["--profile", "dind", "--skip", "nothing"],
            ("kind-unknown", &["\"nothing\"", "the kinds are account"]),
        ),
        (
            "relative configuration",
            &["--profile", "dind", "--config", "config.toml"],
            ("config-path", &["config.toml is no absolute path", "--config"]),
        ),
        (
            "unknown runner",
            &["--profile", "dind", "--runner", "docker-runer"],
            (
                "runner-unknown",
                &["no runner with the name or id \"docker-runer\"", "did you mean \"docker-runner\"?"],
            ),
        ),
        (
            "runner of another executor",
            &["--profile", "dind", "--runner", "shell-runner"],
            (
                "runner-executor",
                &["\"shell-runner\" has the executor \"shell\"", "[runners.docker]", "docker+machine"],
            ),
        ),
        (
            "nothing is left",
            &["--profile", "dind", "--only", "deploy"],
            ("nothing-chosen", &["leave nothing of the profile dind", "profile show dind"]),
        ),
        (
            "account with a newline",
            &["--profile", "dind", "--user", "a\nb"],
            ("account-name", &["can't be the name of the account"]),
        ),
        ("root", &["--profile", "dind", "--user", "root"], ("account-is-root", &["uid 0"])),
    ];
    let tree = host();
    for (name, arguments, expected) in cases {
        refused(name, &tree, arguments, *expected);
    }
}

#[test]
fn profile_files_that_are_none() {
    let given = |tree: &Tree, name: &str| tree.path(name).display().to_string();
    let secret = host();
    refused(
        "configuration instead of a profile",
        &host().file_mode("root/config.toml", fixture("config-docker-runner.toml"), 0o600),
        &["--profile", "root/config.toml"],
        ("profile-invalid", &["root/config.toml is a configuration of gitlab-runner"]),
    );
    refused(
        "configuration in another notation instead of a profile",
        &host().file_mode("root/config.toml", "runners = [{ token = \"glrt-CANARY-x\" }]\n", 0o600),
        &["--profile", "root/config.toml"],
        ("profile-invalid", &["root/config.toml is a configuration of gitlab-runner"]),
    );
    refused(
        "broken configuration instead of a profile",
        &host().file_mode("root/config.toml", "[[runners]\ntoken = glrt-CANARY-x\n", 0o600),
        &["--profile", "root/config.toml"],
        ("profile-invalid", &["root/config.toml"]),
    );
    // However it is written, and whatever is wrong with it: a message must not show a line with a token.
    for (text, says) in [
        ("[[ runners ]]\ntoken = glrt-CANARY-x\n", "is a configuration of gitlab-runner"),
        ("\u{feff}[[\"runners\"]]\r\ntoken = glrt-CANARY-x\r\n", "is a configuration of gitlab-runner"),
        ("runners = [ { token = glrt-CANARY-x } ]\n", "is a configuration of gitlab-runner"),
        ("[runners.docker]\nimage = glrt-CANARY-x\n", "is a configuration of gitlab-runner"),
        ("x = glrt-CANARY-x\n'token' = 1\n", "line 1, column 5: "),
        ("[registry]\ntoken = glrt-CANARY-x\n", "line 2, column 9: "),
        ("[db]\n  Password = glrt-CANARY-x\n", "line 2, column 14: "),
        ("[git]\ntoken = \"glrt-CANARY-x\"\n", "line 2, column 1: unknown key `token`"),
    ] {
        let tree = host().file_mode("root/secret.toml", text, 0o600);
        refused(text, &tree, &["--profile", "root/secret.toml"], ("profile-invalid", &[says]));
    }
    let tree = host().fifo("root/pipe.toml");
    refused(
        "FIFO",
        &tree,
        &["--profile", &given(&tree, "root/pipe.toml")],
        ("profile-invalid", &["pipe.toml is a FIFO"]),
    );
    let tree = host().dir("root/directory.toml", 0o755);
    refused(
        "directory",
        &tree,
        &["--profile", "root/directory.toml"],
        ("profile-invalid", &["directory.toml is a directory"]),
    );
    let tree = host().file(MINE, b"\xff\xfe\x00");
    refused("no text", &tree, &["--profile", "mine"], ("profile-invalid", &["mine.toml is no UTF-8 text"]));
    let tree = host().file("root/sparse.toml", "");
    std::fs::File::options()
        .write(true)
        .open(tree.path("root/sparse.toml"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    refused(
        "huge",
        &tree,
        &["--profile", "root/sparse.toml"],
        ("file-too-large", &["sparse.toml is larger than 1048576 bytes"]),
    );
    if is_root() {
        let tree = host().file_mode(MINE, "", 0o666);
        refused(
            "writable",
            &tree,
            &["--profile", "mine"],
            (
                "profile-untrusted",
                &["mine.toml can be changed by others than root", "mode 0666", "chmod go-w"],
            ),
        );
        let tree = host().file(MINE, "").own(MINE, 998);
        refused(
            "of the account",
            &tree,
            &["--profile", "mine"],
            ("profile-untrusted", &["uid 998", "chown root"]),
        );
    }
    drop(secret);
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
    let shape = "config-shape";
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
        ("path-unusable", &["config.toml", "namei -l"]),
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
        ("path-unusable", &["etc/gitlab-runner", "namei -l"]),
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

#[test]
fn sudo_policies_that_no_rule_can_join() {
    let dind = ["--profile", "dind"];
    let foreign: Expected<'_> = (
        "sudoers-foreign",
        &[
            "/etc/sudoers.d/gitlab-runner was written by somebody else and says:",
            "gitlab-runner ALL=(ALL) NOPASSWD: ALL",
            "--adopt",
        ],
    );
    let text = "# by hand\ngitlab-runner ALL=(ALL) NOPASSWD: ALL\n";
    refused("written by somebody else", &host().file_mode(DROP_IN, text, 0o440), &dind, foreign);
    refused(
        "directory",
        &host().dir(DROP_IN, 0o750),
        &dind,
        ("sudoers-kind", &["gitlab-runner is a directory", "ls -l"]),
    );
    refused("FIFO", &host().fifo(DROP_IN), &dind, ("sudoers-special-file", &["gitlab-runner is a FIFO"]));
    refused(
        "link",
        &host().link(DROP_IN, "/etc/passwd"),
        &dind,
        ("sudoers-kind", &["gitlab-runner is a symbolic link"]),
    );
    let tree = host();
    tree.remove("etc/sudoers.d");
    refused(
        "no directory",
        &tree,
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d does not exist", "install -d -m 0750"]),
    );
    let tree = host().dir("srv/sudoers.d", 0o750);
    tree.remove("etc/sudoers.d");
    let tree = tree.link("etc/sudoers.d", "/srv/sudoers.d");
    refused(
        "directory is a link",
        &tree,
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d is a symbolic link"]),
    );
    refused(
        "open directory",
        &host().dir("etc/sudoers.d", 0o777),
        &dind,
        ("sudoers-directory", &["/etc/sudoers.d", "mode 0777", "chmod 0750"]),
    );
    let tree = host();
    tree.remove("etc/sudoers");
    refused(
        "no sudo",
        &tree,
        &dind,
        ("sudo-missing", &["/etc/sudoers does not exist", "apt-get install sudo"]),
    );
    let tree = host();
    tree.remove("etc/sudoers");
    let tree = tree.file_mode("etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440);
    refused(
        "not included",
        &tree,
        &dind,
        (
            "sudoers-not-included",
            &["/etc/sudoers does not include /etc/sudoers.d", "@includedir /etc/sudoers.d"],
        ),
    );
}

#[test]
fn a_policy_that_somebody_else_broke() {
    if !support::have(&["visudo"]) {
        return;
    }
    let broken: Expected<'_> = (
        "policy-broken",
        &["sudo's policy is broken already, not by runner-prep", "/etc/sudoers.d/zz-vendor", "visudo -c"],
    );
    let tree = host().file_mode("etc/sudoers.d/zz-vendor", "this is ( no rule\n", 0o440);
    refused_late("third party's file", &tree, &["--profile", "dind"], broken);
    assert!(!tree.exists(DROP_IN));
    // A rule that is ours and right already stays, and nothing is said of others' files.
    let tree = host();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let tree = tree.file_mode("etc/sudoers.d/zz-vendor", "this is ( no rule\n", 0o440);
    let before = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_rule_that_clashes_with_the_policy() {
    if !support::have(&["visudo"]) {
        return;
    }
    // Read after ours, and of the same line: visudo has nothing against it, so it is no clash.
    let tree = host().file_mode("etc/sudoers.d/zz", "gitlab-runner ALL=(ALL) ALL\n", 0o440);
    tree.run(&["apply", "--profile", "dind"]).ok();
}

#[test]
fn homes_and_keys_that_are_not_followed() {
    let ssh = || host().dir("home/gitlab-runner/.ssh", 0o700).own("home/gitlab-runner/.ssh", 998);
    let key = |name: &str| format!("{HOME}/.ssh/{name}");
    let dind = ["--profile", "dind"];
    let tree = host().link(&format!("{HOME}/.ssh"), "/root");
    refused(
        ".ssh is a link",
        &tree,
        &dind,
        ("ssh-directory", &["/home/gitlab-runner/.ssh is a symbolic link", "not followed", "ls -ld"]),
    );
    let tree = host().file(&format!("{HOME}/.ssh"), "");
    refused(
        ".ssh is a file",
        &tree,
        &dind,
        ("ssh-directory", &["/home/gitlab-runner/.ssh is a regular file"]),
    );
    let tree = host().fifo(&format!("{HOME}/.ssh"));
    refused(".ssh is a FIFO", &tree, &dind, ("ssh-directory", &["is a FIFO"]));
    let tree = ssh().link(&key("id_ed25519"), "/root/secret");
    refused("key is a link", &tree, &dind, ("ssh-key-kind", &["id_ed25519 is a symbolic link", "ls -l"]));
    refused("key is a FIFO", &ssh().fifo(&key("id_rsa")), &dind, ("ssh-key-kind", &["id_rsa is a FIFO"]));
    refused(
        "key is a directory",
        &ssh().dir(&key("id_ecdsa"), 0o700),
        &dind,
        ("ssh-key-kind", &["id_ecdsa is a directory"]),
    );
    let tree = ssh().file_mode(&key("id_ed25519"), "no key\n", 0o600).own(&key("id_ed25519"), 998);
    refused(
        "no key",
        &tree,
        &dind,
        ("ssh-key-unreadable", &["id_ed25519 is no SSH private key", "never replaced", "mv "]),
    );
    let tree = ssh().file_mode(&key("id_ed25519"), "", 0o600).own(&key("id_ed25519"), 998);
    refused("empty key", &tree, &dind, ("ssh-key-unreadable", &["id_ed25519 is no SSH private key"]));
    let tree = ssh().file(&key("id_ed25519.pub"), "x\n").own(&key("id_ed25519.pub"), 998);
    refused(
        "public half alone",
        &tree,
        &dind,
        ("ssh-key-half", &["id_ed25519.pub is there without its private key", "mv "]),
    );
    let tree = ssh().link(&key("id_ed25519.pub"), "/etc/shadow");
    refused("public half is a link", &tree, &dind, ("ssh-key-kind", &["id_ed25519.pub is a symbolic link"]));
    let tree = ssh().file_mode(&key("id_rsa"), "", 0o600).own(&key("id_rsa"), 998);
    std::fs::File::options().write(true).open(tree.path(&key("id_rsa"))).unwrap().set_len(1 << 40).unwrap();
    refused("sparse key", &tree, &dind, ("file-too-large", &["id_rsa is larger than 1048576 bytes"]));
    let tree = ssh().file_mode(&key("id_rsa"), "x", 0o600).own(&key("id_rsa"), 998);
    std::fs::hard_link(tree.path(&key("id_rsa")), tree.path(&format!("{HOME}/second"))).unwrap();
    refused("key with two names", &tree, &dind, ("ssh-key-links", &["id_rsa has 2 names"]));
    if is_root() {
        let tree = ssh().file_mode(&key("id_rsa"), "x", 0o600).own(&key("id_rsa"), 4321);
        refused(
            "key of a third account",
            &tree,
            &dind,
            (
                "foreign-owner",
                &[
                    "id_rsa can't be used by gitlab-runner: it belongs to uid 4321",
                    "sudo -u gitlab-runner mv -T",
                ],
            ),
        );
        let tree = host().own(HOME, 4321);
        refused(
            "home of a third account",
            &tree,
            &dind,
            ("home-unusable", &["/home/gitlab-runner", "belongs to uid 4321"]),
        );
        let tree = host().own(HOME, 0);
        refused(
            "home of root",
            &tree,
            &dind,
            ("home-unusable", &["/home/gitlab-runner", "belongs to uid 0"]),
        );
    }
}

#[test]
fn homes_that_are_none() {
    let passwd = |home: &str| {
        let tree = host();
        let text = tree.text("etc/passwd").replace(":/home/gitlab-runner:", &format!(":{home}:"));
        tree.file("etc/passwd", text)
    };
    let dind = ["--profile", "dind"];
    refused(
        "root directory",
        &passwd("/"),
        &dind,
        ("home-unusable", &["the home directory / can't be used", "usermod --home"]),
    );
    refused(
        "file",
        &passwd("/etc/passwd"),
        &dind,
        ("home-unusable", &["/etc/passwd", "it is not a directory"]),
    );
    refused(
        "missing",
        &passwd("/home/none"),
        &dind,
        ("home-missing", &["the home directory /home/none of gitlab-runner does not exist", "install -d"]),
    );
    refused("relative", &passwd("somewhere"), &dind, ("home-unusable", &["somewhere"]));
    refused("empty", &passwd(""), &dind, ("home-unusable", &["home directory"]));
}

#[test]
fn a_tree_that_is_none() {
    let tree = host();
    let mut run = support::run_limited(std::process::Command::new(support::program()).args([
        "apply",
        "--profile",
        "dind",
        "--root",
        "/nowhere/at/all",
    ]));
    check_text("no tree", &run, &["/nowhere/at/all"]);
    let file = tree.path("etc/passwd");
    run = support::run_limited(
        std::process::Command::new(support::program())
            .args(["apply", "--profile", "dind", "--root"])
            .arg(&file),
    );
    check_text("a file for a tree", &run, &[&file.display().to_string()]);
}

#[test]
fn arguments_that_are_none() {
    let tree = host();
    let before = tree.stamps();
    for arguments in [
        &["apply"][..],
        &["apply", "--profil", "dind"],
        &["aply", "--profile", "dind"],
        &["apply", "--profile", "dind", "--only", "sudoers", "--skip", "config"],
        &["apply", "--profile", "dind", "extra"],
        &["apply", "--profile"],
        &["apply", "--profile", "dind", "--color", "sometimes"],
        &[],
    ] {
        let run = tree.run(arguments);
        run.exit(2);
        assert!(run.stdout.is_empty(), "{run}");
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let document = tree.run(&arguments).exit(2).json();
        assert_eq!(document["failed"], true, "{document}");
        assert_eq!(document["warnings"][0]["code"], "usage");
        assert!(document["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{document}");
    }
    tree.run(&["aply"]).says("apply");
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_tree_that_its_owner_may_not_write() {
    if is_root() {
        return;
    }
    let tree = host();
    for path in ["etc/gitlab-runner", "etc/sudoers.d", "home/gitlab-runner"] {
        let (mode, ..) = tree.metadata(path);
        tree.chmod(path, 0o500);
        let before = without_state(tree.listing());
        let run = tree.run(&["apply", "--profile", "dind"]);
        check_text(path, &run, &["no permission to write", path, "run as root"]);
        // What was staged before is gone again; only the directories it lay in know.
        assert_unchanged(&before, &without_state(tree.listing()));
        tree.chmod(path, mode);
    }
    tree.run(&["apply", "--profile", "dind"]).ok();
}

#[test]
fn wrong_arguments_are_told_whole_and_help_is_a_command_too() {
    let tree = host();
    let run = tree.run(&["plan", "--json"]);
    let said = run.exit(2).json()["msg"].as_str().map(str::to_owned);
    assert_eq!(said.as_deref(), Some("the following required arguments were not provided: --profile <NAME>"));
    let said = tree.run(&["aply", "--json"]).exit(2).json()["msg"].clone();
    assert_eq!(said, "unrecognized subcommand 'aply'; a similar subcommand exists: 'apply'");

    let said = |words: &[&str]| {
        let run = run_limited(std::process::Command::new(program()).args(words));
        run.ok().stdout.clone()
    };
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "apply"]), said(&["apply", "--help"]));
    assert_eq!(said(&["help", "profile", "show"]), said(&["profile", "show", "--help"]));
}
