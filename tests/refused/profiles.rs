//! Profiles: what is wrong in them, what they mean on this host, and files that are no profile.

use super::{Expected, MINE, host, refused, with_profile};
use crate::support::{Tree, fixture, is_root};

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
        ("section is not a table", "sudoers = 1\n", ("profile-invalid", &["line 1, column 11: "])),
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
                &[
                    "line 3, column 14: ",
                    "`config.docker.privileged` is false here and true in",
                    "dind",
                    "replaces = [\"config.docker.privileged\"]",
                ],
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
                    "replaces = [\"config.environment\"]",
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
fn a_profile_that_replaces_nothing() {
    let cases: &[(&str, &str, Expected<'_>)] = &[
        (
            "replaces what nobody has",
            "replaces = [\"git.name\"]\n[git]\nname = \"x\"\n",
            (
                "profile-invalid",
                &["mine.toml: line 1, column 13: ", "`git.name` replaces nothing", "`extends`"],
            ),
        ),
        (
            "replaces a path with a slip in it",
            "extends = [\"shell\"]\nreplaces = [\"git.nane\"]\n[git]\nnane = \"x\"\n",
            ("profile-invalid", &["mine.toml: line 2, column 13: ", "did you mean `git.name`"]),
        ),
        (
            "replaces a section with a slip in it",
            "extends = [\"dind\"]\nreplaces = [\"config.dokcer\"]\n[config.dokcer]\nprivileged = false\n",
            ("profile-invalid", &["mine.toml: line 2, column 13: ", "did you mean `config.docker`"]),
        ),
        (
            "replaces what it has no value for",
            "extends = [\"shell\"]\nreplaces = [\"ssh_key.type\", \"git.name\"]\n[ssh_key]\ntype = \"rsa\"\n",
            ("profile-invalid", &["mine.toml: line 2, column 29: ", "`git.name`", "no value for it here"]),
        ),
        (
            "replaces with a path that is none",
            "extends = [\"shell\"]\nreplaces = [\"\"]\n[git]\nname = \"x\"\n",
            ("profile-invalid", &["line 2, column 13: ", "no value for it here"]),
        ),
        (
            "replaces no value",
            "extends = [\"shell\"]\nreplaces = [\"summary\"]\nsummary = \"x\"\n[git]\nname = \"gitlab-runner\"\n",
            ("profile-invalid", &["line 2, column 13: ", "no value for it here"]),
        ),
        (
            "replaces is not a list",
            "extends = [\"shell\"]\nreplaces = \"git.name\"\n[git]\nname = \"x\"\n",
            ("profile-invalid", &["line 2, column 12: ", "a list is wanted"]),
        ),
    ];
    for (name, text, expected) in cases {
        refused(name, &with_profile(text), &["--profile", "mine"], *expected);
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
        ("[config]\nrunners = [{ token = \"glrt-CANARY-x\" }]\n", "is a configuration of gitlab-runner"),
        ("[config]\nx = [{ a = 1, \"Token\" = \"glrt-CANARY-x\" }]\n", "line 2, column 1: unknown key `x`"),
        ("x = { y.password='glrt-CANARY-x' }\n", "line 1, column 1: unknown section `x`"),
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
    refused("no text", &tree, &["--profile", "mine"], ("profile-invalid", &["mine.toml is not UTF-8 text"]));
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
                &[
                    "mine.toml can be changed by others than root",
                    "mode 0666",
                    "install -o root -g root -m 0644",
                ],
            ),
        );
        let tree = host().file(MINE, "").own(MINE, 998);
        refused(
            "of the account",
            &tree,
            &["--profile", "mine"],
            ("profile-untrusted", &["uid 998", "install -o root -g root -m 0644"]),
        );
    }
    drop(secret);
}
