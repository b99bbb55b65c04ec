//! Hosts that nobody expects: password databases, homes, policies, configurations, profiles and arguments that are odd
//! and right, which the program takes, and such that are odd and wrong, which it refuses.
//!
//! `input_cases.tsv` says which of the known bad inputs is tested where.

#![expect(clippy::disallowed_methods, reason = "the tests lay out what is odd and read what is left")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a scene that can't be laid out stops the test")]

mod support;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Host, Run, Tree, assert_unchanged, fixture, have, is_root, program, run_limited, skip};

const MINE: &str = "etc/runner-prep/profiles/mine.toml";
const CONFIG: &str = "etc/gitlab-runner/config.toml";
const HOME: &str = "home/gitlab-runner";
const DIND: [&str; 2] = ["--profile", "dind"];
const IS_MINE: [&str; 2] = ["--profile", "mine"];

fn bare() -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner")
}

fn host() -> Tree {
    bare().config_toml(fixture("config-docker-runner.toml"))
}

fn mine(text: impl AsRef<[u8]>) -> Tree {
    host().file(MINE, text)
}

fn without_state(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !line.splitn(6, ' ').nth(5).unwrap_or_default().starts_with("var/lib"));
    lines
}

/// What a terminal would obey.
fn acts(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2066}')
}

fn apply(tree: &Tree, arguments: &[&str]) -> Run {
    let run = tree.run(&[&["apply", "--allow-pending"], arguments].concat());
    assert!(!run.stdout.contains(acts) && !run.stderr.contains(acts), "{:?} {:?}", run.stdout, run.stderr);
    run
}

/// It is prepared, and the second time nothing is written.
#[track_caller]
fn taken(name: &str, tree: &Tree, arguments: &[&str]) -> Run {
    let run = apply(tree, arguments);
    assert!(run.status == 0, "{name}: {run}");
    let before = tree.stamps();
    let again = apply(tree, arguments);
    assert!(again.status == 0, "{name}, again: {again}");
    assert_unchanged(&before, &tree.stamps());
    run
}

/// It is refused with these words, and nothing is changed.
#[track_caller]
fn refused(name: &str, tree: &Tree, arguments: &[&str], says: &str) {
    let before = without_state(tree.stamps());
    let run = apply(tree, arguments);
    assert!(run.status == 2 && run.stderr.starts_with("error: "), "{name}: exit code {}: {run}", run.status);
    assert!(run.contains(says), "{name}: nothing says `{says}`: {run}");
    assert_unchanged(&before, &without_state(tree.stamps()));
}

fn visudo() -> bool {
    have(&["visudo"])
}

#[test]
fn configurations_in_every_notation() {
    if !visudo() {
        return;
    }
    let only = ["--profile", "dind", "--only", "config"];
    for name in [
        "config-inline-tables.toml",
        "config-inline-docker.toml",
        "config-quoted-keys.toml",
        "config-crlf.toml",
        "config-no-final-newline.toml",
        "config-array-comments.toml",
        "config-hand-kept.toml",
        "config-shell-between.toml",
        "config-already-right.toml",
        "config-bom.toml",
        "config-dotted-keys.toml",
    ] {
        let tree = bare().config_toml(fixture(name));
        let old = tree.text(CONFIG);
        taken(name, &tree, &only);
        let new = tree.text(CONFIG);
        assert!(new.contains("privileged"), "{name}");
        assert_eq!(old.starts_with('\u{feff}'), new.starts_with('\u{feff}'), "{name}: byte order mark");
        assert_eq!(old.ends_with('\n'), new.ends_with('\n'), "{name}: end of the file");
        if name == "config-crlf.toml" {
            assert_eq!(new.matches('\n').count(), new.matches("\r\n").count(), "{name}: line ends");
        }
    }
    let mut many = String::from("concurrent = 1\n");
    for number in 0..10_000 {
        writeln!(
            many,
            "[[runners]]\nname = \"r{number}\"\ntoken = \"glrt-CANARY-{number}\"\nexecutor = \"shell\""
        )
        .unwrap();
    }
    let tree =
        bare().config_toml(format!("{many}{}", "[[runners]]\nname = \"last\"\nexecutor = \"docker\"\n"));
    taken("10,000 runners", &tree, &only);
    assert!(tree.text(CONFIG).starts_with(&many), "the other runners keep their bytes");
    let tree = bare()
        .config_toml("[[runners]]\nname = \"a\" # n\ntoken = \"$TOKEN\"\nexecutor = \"docker\" # keep\n");
    taken("a variable for a token", &tree, &only);
    assert!(
        tree.text(CONFIG)
            .starts_with("[[runners]]\nname = \"a\" # n\ntoken = \"$TOKEN\"\nexecutor = \"docker\" # keep\n")
    );
    let tree = host();
    tree.chmod(CONFIG, 0o644);
    taken("readable by all", &tree, &only).says("0644");
    assert_eq!(tree.metadata(CONFIG).0, 0o644, "a mode that nobody asked to change");
}

#[test]
fn configurations_without_a_runner() {
    for (name, tree) in [
        ("only comments", bare().config_toml("# nothing\n# [[runners]]\n")),
        ("no runner", bare().config_toml("concurrent = 1\ncheck_interval = 0\n")),
        ("no file", bare()),
        ("an empty list", bare().config_toml("runners = []\n")),
        (
            "a runner of another executor",
            bare().config_toml("[[runners]]\nname = \"s\"\nexecutor = \"shell\"\n"),
        ),
    ] {
        let before = without_state(tree.stamps());
        let run = tree.run(&["apply", "--profile", "dind", "--only", "config"]);
        assert!(run.status == 3 && run.contains("waiting: "), "{name}: {run}");
        assert_unchanged(&before, &without_state(tree.stamps()));
    }
}

#[test]
fn configurations_behind_links() {
    if !visudo() {
        return;
    }
    let text = fixture("config-docker-runner.toml");
    let only = ["--profile", "dind", "--only", "config"];
    let tree =
        bare().dir("srv/gitlab-runner", 0o700).file_mode("srv/gitlab-runner/config.toml", &text, 0o600);
    let tree = tree.link("etc/gitlab-runner", "/srv/gitlab-runner");
    taken("the directory is a link", &tree, &only);
    assert!(tree.text("srv/gitlab-runner/config.toml").contains("privileged = true"));
    assert!(std::fs::symlink_metadata(tree.path("etc/gitlab-runner")).unwrap().is_symlink());
    let tree = bare().dir("etc/gitlab-runner", 0o700).file_mode("srv/real.toml", &text, 0o600);
    let tree = tree.link(CONFIG, "../../srv/real.toml");
    taken("the file is a link", &tree, &only);
    assert!(std::fs::symlink_metadata(tree.path(CONFIG)).unwrap().is_symlink());
    if is_root() {
        let tree =
            bare().dir("etc/gitlab-runner", 0o700).file_mode("home/gitlab-runner/c.toml", &text, 0o600);
        let tree = tree.own("home/gitlab-runner/c.toml", 998).link(CONFIG, "/home/gitlab-runner/c.toml");
        refused("a link into a home", &tree, &only, "belongs to uid 998");
        let tree = bare().dir("srv/open", 0o777).file_mode("srv/open/config.toml", &text, 0o600);
        let tree = tree.link("etc/gitlab-runner", "/srv/open");
        refused("a link to an open directory", &tree, &only, "0777");
    }
}

#[test]
fn password_databases() {
    if !visudo() {
        return;
    }
    let with = |edit: &dyn Fn(String) -> Vec<u8>| {
        let tree = host();
        let text = edit(tree.text("etc/passwd"));
        tree.file("etc/passwd", text)
    };
    let entry = |text: &str| text.lines().last().unwrap().to_owned();
    let many: String = (0..50_000)
        .fold(String::new(), |text, n| text + &format!("u{n}:x:{}:100::/home/u:/bin/sh\n", 20_000 + n));
    for (name, tree) in [
        ("no last newline", with(&|text| text.trim_end().into())),
        (
            "blank and broken lines",
            with(&|text| format!("\n:::::::\nx\n#c:x:1:1::/:/\ngitlab-runner\n{text}\n\n").into()),
        ),
        ("lines of NIS", with(&|text| format!("+::::::\n-nobody\n+@group::::::\n{text}").into())),
        (
            "not UTF-8",
            with(&|text| {
                [b"odd:x:5000:5000:\xff\xfe:/home/\xe4:/bin/sh\n".as_slice(), text.as_bytes()].concat()
            }),
        ),
        ("50,000 accounts", with(&|text| format!("{many}{text}").into())),
        (
            "a line of a megabyte",
            with(&|text| format!("long:x:5000:5000:{}:/:/\n{text}", "x".repeat(1 << 20)).into()),
        ),
        (
            "the same uid twice",
            with(&|text| {
                format!("other{}\n{text}", entry(&text).strip_prefix("gitlab-runner").unwrap()).into()
            }),
        ),
        ("the same name twice", with(&|text| format!("{text}gitlab-runner:x:0:0::/root:/bin/bash\n").into())),
        (
            "no login shell",
            with(&|text| text.replace("gitlab-runner:/bin/bash", "gitlab-runner:/usr/sbin/nologin").into()),
        ),
        (
            "a home by a detour",
            with(&|text| text.replace(":/home/gitlab-runner:", ":/home/../home/./gitlab-runner/:").into()),
        ),
    ] {
        taken(name, &tree, &DIND);
        assert!(tree.exists("home/gitlab-runner/.ssh/id_ed25519"), "{name}");
    }
    let tree = host();
    let group = tree.text("etc/group").replace("gitlab-runner:x", "renamed:x");
    taken("a primary group without a name", &tree.file("etc/group", group), &DIND);
    let uid = |uid: &str| {
        with(&|text| {
            let entry = entry(&text);
            let mut fields: Vec<&str> = entry.split(':').collect();
            fields[2] = uid;
            text.replace(&entry, &fields.join(":")).into()
        })
    };
    refused("uid 0", &uid("0"), &DIND, "uid 0");
    refused("uid 00", &uid("00"), &DIND, "uid 0");
    // What chown(2) and setresuid(2) take for "leave it as it is".
    refused("uid -1", &uid("4294967295"), &DIND, "has the number 4294967295");
    let home = |home: &str| with(&|text| text.replace(":/home/gitlab-runner:", &format!(":{home}:")).into());
    refused("no home", &home("/nonexistent"), &DIND, "does not exist");
    refused("a device for a home", &home("/dev/null"), &DIND, "/dev/null");
    if is_root() {
        // It is the tree's own /etc, and that is root's; in a tree of one's own everything is one's own.
        refused("a home above the tree", &home("/../../../../etc"), &DIND, "home directory");
    }
}

#[test]
fn password_databases_that_are_no_files() {
    let without = || {
        let tree = host();
        tree.remove("etc/passwd");
        tree
    };
    for (name, tree) in [
        ("FIFO", without().fifo("etc/passwd")),
        ("directory", without().dir("etc/passwd", 0o755)),
        ("missing", without()),
    ] {
        // Without an account there is one to be made; nothing waits for a FIFO.
        let run = tree.run(&["plan", "--profile", "dind"]);
        assert!(run.status == 0 || run.status == 2, "{name}: {run}");
        assert!(run.status == 2 || run.contains("there is no account gitlab-runner"), "{name}: {run}");
    }
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("passwd");
    std::fs::write(&file, "gitlab-runner:x:998:998::/home/gitlab-runner:/bin/sh\n").unwrap();
    let tree = without().link("etc/passwd", file.to_str().unwrap());
    let run = tree.run(&["plan", "--profile", "dind"]);
    assert!(
        !run.contains("/.ssh/id_ed25519") || run.contains("there is no account"),
        "a link leads out of the tree: {run}"
    );
}

#[test]
fn names_of_accounts() {
    let tree = host();
    let long = "x".repeat(300);
    for name in [
        "a\nb",
        "#0",
        "%g",
        "ALL",
        "!x",
        "x,y",
        "../x",
        &long,
        "",
        " ",
        "-x",
        "a b",
        "a:b",
        "a=b",
        "a\\",
        "ä",
        "A",
        "0",
        "x\u{0301}",
        "+",
        "@g",
        "root\u{200b}",
        "$USER",
        "a\u{1b}[2J",
        "%#0",
        "x)y",
        "\"x\"",
    ] {
        let argument = format!("--user={name}");
        refused(name, &tree, &["--profile", "dind", &argument], "can't be the name of the account");
    }
}

#[test]
fn homes_that_are_links_or_open() {
    if !visudo() {
        return;
    }
    let tree = Tree::new().dir("var/home", 0o755);
    tree.remove("home");
    let tree = tree.link("home", "var/home").account("gitlab-runner", 998, "/var/home/gitlab-runner");
    let passwd = tree.text("etc/passwd").replace("/var/home/", "/home/");
    let tree = tree.file("etc/passwd", passwd);
    taken("/home is a link", &tree, &DIND);
    assert!(tree.exists("var/home/gitlab-runner/.ssh/id_ed25519"));
    let tree =
        Tree::new().account("gitlab-runner", 998, "/srv/runner").link("home/gitlab-runner", "/srv/runner");
    let passwd = tree.text("etc/passwd").replace("/srv/runner", "/home/gitlab-runner");
    let tree = tree.file("etc/passwd", passwd);
    taken("the home is a link", &tree, &DIND);
    assert!(tree.exists("srv/runner/.ssh/id_ed25519"));
    let ssh = format!("{HOME}/.ssh");
    let tree = host().dir(&ssh, 0o777).own(&ssh, 998);
    taken(".ssh open to all", &tree, &DIND);
    assert_eq!(tree.metadata(&ssh).0, 0o700);
}

#[test]
fn keys_that_need_a_repair() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let ssh = format!("{HOME}/.ssh");
    let key = format!("{ssh}/id_ed25519");
    let made = |edit: &dyn Fn(&Tree)| {
        let tree = host().dir(&ssh, 0o700).own(&ssh, 998);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"]).arg(tree.path(&key));
        assert!(command.status().unwrap().success());
        let tree = tree.own(&key, 998).own(&format!("{key}.pub"), 998);
        edit(&tree);
        tree
    };
    let public = format!("{key}.pub");
    for (name, edit) in [
        ("open to all", &(|tree: &Tree| tree.chmod(&key, 0o644)) as &dyn Fn(&Tree)),
        ("no public half", &|tree: &Tree| tree.remove(&public)),
        ("another public half", &|tree: &Tree| {
            tree.put(
                &public,
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x\n",
            );
        }),
        ("a public half without an end", &|tree: &Tree| tree.put(&public, "ssh-ed25519 AAAA")),
        ("a public half of random bytes", &|tree: &Tree| tree.put(&public, b"\xff\x00\x1b[2J")),
    ] {
        let tree = made(edit);
        let private = tree.read(&key);
        taken(name, &tree, &["--profile", "shell", "--only", "ssh_key"]);
        assert!(tree.read(&key) == private, "{name}: the key is another");
        assert_eq!(tree.metadata(&key).0, 0o600, "{name}");
        let derived = Command::new("ssh-keygen").arg("-yf").arg(tree.path(&key)).output().unwrap();
        let derived = String::from_utf8(derived.stdout).unwrap();
        assert_eq!(tree.text(&public).split(' ').nth(1), derived.split(' ').nth(1), "{name}");
    }
    let tree = made(&|tree: &Tree| {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-p", "-P", "", "-N", "a phrase", "-f"])
            .arg(tree.path(&key))
            .stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    });
    let tree = tree.own(&key, 998);
    let private = tree.read(&key);
    let run = tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]);
    assert!(run.contains("passphrase") || run.contains("encrypted"), "{run}");
    assert!(tree.read(&key) == private, "an encrypted key was touched");
}

#[test]
fn host_key_files() {
    let profile = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
    let ssh = format!("{HOME}/.ssh");
    let file = format!("{ssh}/known_hosts");
    let with = || mine(profile).dir(&ssh, 0o700).own(&ssh, 998);
    let text = |bytes: &[u8]| with().file_mode(&file, bytes, 0o600).own(&file, 998);
    refused("FIFO", &with().fifo(&file), &IS_MINE, "a FIFO");
    refused("directory", &with().dir(&file, 0o700), &IS_MINE, "a directory");
    refused("link", &with().link(&file, "/etc/shadow"), &IS_MINE, "a symbolic link");
    let tree = text(b"");
    std::fs::File::options().write(true).open(tree.path(&file)).unwrap().set_len(50 << 20).unwrap();
    refused("50 MB", &tree, &IS_MINE, "larger than");
    for (name, bytes) in [
        ("no last newline", b"other.org ssh-ed25519 AAAA".as_slice()),
        ("CRLF", b"other.org ssh-ed25519 AAAA\r\n# x\r\n"),
        ("NUL and random bytes", b"\x00\xff\xfe\x1b[2J\n|1|x|y z\n"),
        ("hashed and broken", b"|1|AAAA|BBBB ssh-ed25519 AAAA\n|1|\n|\n"),
        ("markers", b"@cert-authority * ssh-ed25519 AAAA\n@unknown gitlab.com x\n@revoked\n"),
        ("a line without an end", &b"x".repeat(200_000)),
        ("old DSA lines", b"gitlab.com ssh-dss AAAAB3NzaC1kc3MAAACBAA==\n"),
    ] {
        let tree = text(bytes);
        taken(name, &tree, &IS_MINE);
        let new = tree.read(&file);
        assert!(
            new.starts_with(bytes)
                && new[bytes.len()..].starts_with(if bytes.ends_with(b"\n") { b"g" } else { b"\n" }),
            "{name}"
        );
    }
    let system = host().file_mode("etc/ssh/ssh_known_hosts", "", 0o644);
    std::fs::File::options()
        .write(true)
        .open(system.path("etc/ssh/ssh_known_hosts"))
        .unwrap()
        .set_len(50 << 20)
        .unwrap();
    refused("50 MB of root's", &system, &["--profile", "shell", "--only", "known_hosts"], "larger than");
}

#[test]
fn git_configurations() {
    let profile = "[git]\nname = \"x\"\nemail = \"x@example.com\"\n";
    let file = format!("{HOME}/.gitconfig");
    let text = |bytes: &[u8]| mine(profile).file(&file, bytes).own(&file, 998);
    for (name, bytes) in [
        ("CRLF", b"[core]\r\n\tpager = x\r\n".as_slice()),
        ("BOM", "\u{feff}[core]\n\tx = y\n".as_bytes()),
        ("no last newline", b"[core]\n\tx = y"),
        ("only a comment", b"# x"),
        ("not UTF-8", b"[core]\n\tx = \xff\n"),
        ("a value over two lines", b"[core]\n\tx = a\\\n  b\n"),
        ("a section twice", b"[user]\n\tname = a\n[user]\n"),
    ] {
        let tree = text(bytes);
        taken(name, &tree, &IS_MINE);
        assert!(String::from_utf8_lossy(&tree.read(&file)).contains("email = x@example.com"), "{name}");
    }
    // git's own lock of a killed git: we take none, and leave it.
    let lock = format!("{HOME}/.gitconfig.lock");
    let tree = text(b"").file(&lock, "");
    taken("a stale lock", &tree, &IS_MINE);
    assert!(tree.exists(&lock));
    refused("FIFO", &mine(profile).fifo(&file), &IS_MINE, "a FIFO");
    refused("link", &mine(profile).link(&file, "/root/.gitconfig"), &IS_MINE, "a symbolic link");
    refused("directory", &mine(profile).dir(&file, 0o755), &IS_MINE, "a directory");
    refused("no syntax", &text(b"[user\nname = a\n"), &IS_MINE, ".gitconfig");
    refused("NUL", &text(b"[user]\n\tname = a\x00b\n\x00"), &IS_MINE, ".gitconfig");
    let tree = text(b"");
    std::fs::File::options().write(true).open(tree.path(&file)).unwrap().set_len(1 << 40).unwrap();
    refused("a sparse terabyte", &tree, &IS_MINE, "larger than");
    // It includes itself; whether another file sets a value is git's to say.
    let run = apply(&text(b"[include]\n\tpath = ~/.gitconfig\n"), &IS_MINE);
    assert!([0, 2].contains(&run.status), "{run}");
}

#[test]
fn directories_of_rules() {
    if !visudo() {
        return;
    }
    let dropped = |name: &str, bytes: &[u8]| host().file_mode(&format!("etc/sudoers.d/{name}"), bytes, 0o440);
    for (name, tree) in [
        ("an escape sequence in a name", dropped("a\u{1b}[2Jb", b"# x\n")),
        ("a newline in a name", dropped("a\nb", b"# x\n")),
        ("a name with a space", dropped("a b", b"# x\n")),
        (
            "names that sudo skips",
            dropped("a.b", b"not ( a rule\n").file("etc/sudoers.d/x~", "not ( a rule\n"),
        ),
        ("a rule that is not UTF-8", dropped("latin", b"# \xe4\xf6\xfc\n")),
        ("a subdirectory", host().dir("etc/sudoers.d/more", 0o755)),
        (
            "500 files",
            (0..500).fold(host(), |tree, n| tree.file_mode(&format!("etc/sudoers.d/f{n}"), "# x\n", 0o440)),
        ),
        ("an alias of somebody's", dropped("alias", b"User_Alias CI = daemon\nCI ALL=(ALL) /bin/true\n")),
    ] {
        taken(name, &tree, &["--profile", "shell", "--only", "sudoers"]);
    }
    for (name, tree) in [
        (
            "an alias of two files",
            dropped("a", b"User_Alias X = daemon\n").file_mode(
                "etc/sudoers.d/b",
                "User_Alias X = bin\n",
                0o440,
            ),
        ),
        ("a file that goes on and on", dropped("zz", b"root ALL=(ALL) /bin/true, \\")),
        ("a file that includes itself", dropped("zz", b"@include /etc/sudoers.d/zz\n")),
        ("two megabytes", dropped("zz", &vec![b'#'; 2 << 20])),
    ] {
        let before = without_state(tree.stamps());
        let run = apply(&tree, &["--profile", "shell", "--only", "sudoers"]);
        // Different releases of sudo judge differently; broken it is never left.
        assert!(run.status == 0 || run.status == 2, "{name}: {run}");
        if run.status == 2 {
            assert_unchanged(&before, &without_state(tree.stamps()));
        }
    }
    for (name, bytes) in [
        ("no last newline", b"gitlab-runner ALL=(ALL) NOPASSWD: ALL".as_slice()),
        ("NUL", b"\x00\n"),
        ("BOM", "\u{feff}# Managed by runner-prep\nx\n".as_bytes()),
        ("an end that goes on", b"gitlab-runner ALL=(ALL) NOPASSWD: ALL \\"),
        ("escape sequences", b"\x1b[2Jgitlab-runner ALL=(ALL) ALL\n"),
        (
            "our words in the middle",
            b"x ALL=(ALL) ALL\n# Managed by runner-prep: edit its profile, not this file.\n",
        ),
    ] {
        let tree = dropped("gitlab-runner", bytes);
        refused(name, &tree, &["--profile", "shell", "--only", "sudoers"], "gitlab-runner");
    }
}

#[test]
fn profiles_that_are_odd_and_right() {
    for (name, text) in [
        ("BOM", "\u{feff}[git]\nname = \"x\"\n".to_owned()),
        ("CRLF", "[git]\r\nname = \"x\"\r\n".to_owned()),
        ("dotted keys", "git.name = \"x\"\n".to_owned()),
        ("inline", "git = { name = \"x\" }\n".to_owned()),
        ("quoted keys", "[\"git\"]\n'name' = \"x\"\n".to_owned()),
        ("letters of the world", "[git]\nname = \"Ünï 執行器 🚀\"\n".to_owned()),
        (
            "5,000 volumes",
            format!(
                "[config.docker]\nvolumes = [{}]\n",
                (0..5_000).fold(String::new(), |text, n| text + &format!("\"/v{n}\","))
            ),
        ),
    ] {
        taken(name, &mine(text), &IS_MINE);
    }
    // Each extends two that extend two: 2^14 ways to the last one, and each is read once.
    let mut tree = host();
    for level in 0..14 {
        let below = match level {
            13 => "[]\n[git]\nname = \"x\"".to_owned(),
            _ => format!("[\"l{0}\", \"r{0}\"]", level + 1),
        };
        for side in ["l", "r"] {
            tree = tree.file(
                &format!("etc/runner-prep/profiles/{side}{level}.toml"),
                format!("extends = {below}\n"),
            );
        }
    }
    taken("many ways to one profile", &tree, &["--profile", "l0,r0,l0"]);
}

#[test]
fn profiles_that_are_odd_and_wrong() {
    let cases: &[(&str, &str, &str)] = &[
        ("control characters in a name", "[git]\nname = \"a\\u0000b\"\n", "line 2"),
        ("a newline in a comment", "[ssh_key]\ncomment = \"a\\nssh-rsa AAAA\"\n", "comment"),
        ("a host with a space", "[known_hosts]\nhosts = [\"a b\"]\n", "line 2"),
        ("a host with a comma", "[known_hosts]\nhosts = [\"a,b\"]\n", "line 2"),
        ("any host", "[known_hosts]\nhosts = [\"*\"]\n", "line 2"),
        ("a host with a newline", "[known_hosts]\nhosts = [\"a\\nb ssh-rsa AAAA\"]\n", "line 2"),
        ("a negated host", "[known_hosts]\nhosts = [\"!a\"]\n", "line 2"),
        ("a port beyond all", "[known_hosts]\nhosts = [\"a:99999\"]\n", "line 2"),
        ("a variable without a name", "[config]\nenvironment = [\"=x\"]\n", "environment"),
        ("a variable without a value", "[config]\nenvironment = [\"A\"]\n", "environment"),
        ("a variable with NUL", "[config]\nenvironment = [\"A=\\u0000\"]\n", "environment"),
        ("an empty variable", "[config]\nenvironment = [\"\"]\n", "environment"),
        ("a date for a name", "[git]\nname = 2026-01-01\n", "line 2"),
        (
            "nesting",
            "x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            "line 1",
        ),
        ("sections twice", "[git]\nname = \"a\"\n[git]\nname = \"b\"\n", "line 3"),
        ("a number for a list", "extends = 7\n", "line 1"),
        ("direction of text", "[\u{202e}tig]\nname = \"a\"\n", "line 1"),
        ("a group for a command", "[sudoers]\ncommands = [\"%sudo\"]\n", "line 2"),
        ("a number too large", "[ssh_key]\ntype = \"rsa\"\nbits = 99999999999999999999\n", "line 3"),
        ("very many bits", "[ssh_key]\ntype = \"rsa\"\nbits = 1000000\n", "bits"),
    ];
    for (name, text, says) in cases {
        refused(name, &mine(text), &IS_MINE, says);
    }
    let mut tree = host();
    for level in 0..200 {
        let text = format!("extends = [\"p{}\"]\n", level + 1);
        tree = tree.file(&format!("etc/runner-prep/profiles/p{level}.toml"), text);
    }
    refused("a ladder of 200 profiles", &tree, &["--profile", "p0"], "extends");
    for path in ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/dev/fd/0", "/proc/self/mem"] {
        refused(path, &host(), &["--profile", path], "can't be the path of a profile");
    }
    let tree = host().link("root/zero.toml", "/dev/zero").link("root/stdin.toml", "/dev/stdin");
    let path = |name: &str| tree.path(name).display().to_string();
    refused("a link to a device", &tree, &["--profile", &path("root/zero.toml")], "zero.toml");
    refused("a link to standard input", &tree, &["--profile", &path("root/stdin.toml")], "stdin.toml");
}

/// Called by the name of a module, with a file of arguments that Ansible would not write.
#[test]
fn arguments_of_a_module() {
    let place = tempfile::tempdir().unwrap();
    let module = place.path().join("runner_prep");
    std::os::unix::fs::symlink(program(), &module).unwrap();
    let tree = host();
    let before = tree.stamps();
    let top = serde_json::to_string(tree.top().to_str().unwrap()).unwrap();
    let root = format!("\"root\": {top}");
    let file = place.path().join("arguments");
    let answer = |words: &[&std::path::Path]| {
        let run = tree.run_command(Command::new(&module).args(words).env("LC_ALL", "C"));
        let document = run.json();
        assert_eq!(document["changed"], false, "{run}");
        assert!(!run.stdout.contains(acts) && run.stderr.is_empty(), "{run:?}");
        (run.status, document["failed"] == true, document["msg"].as_str().unwrap_or_default().to_owned())
    };
    let deep = "[".repeat(100_000);
    let long = format!("{{\"profile\": \"{}\", {root}}}", "x".repeat(900_000));
    for text in [
        b"".as_slice(),
        b"not JSON glrt-CANARY-x",
        b"[]",
        b"null",
        b"\"dind\"",
        b"{\"profile\": \"dind\"",
        b"\xff\xfe{\x00}\x00",
        b"{\"profile\": \xff}",
        deep.as_bytes(),
        long.as_bytes(),
        b"#<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>",
        b"profile=dind",
        b"{}",
        b"{\"profile\": null}",
        b"{\"profile\": {\"a\": 1}}",
        b"{\"profile\": [[\"dind\"]]}",
        b"{\"profile\": \"--help\"}",
        b"{\"profile\": \"dind\", \"--dry-run\": true}",
        b"{\"profile\": \"dind\", \"help\": true}",
        "{\"profile\": \"dind\", \"odd\u{1b}[2J\": 1}".as_bytes(),
        b"{\"profile\": \"dind\", \"odd\\u001b[2J\": 1}",
        b"{\"profile\": \"a\\u0000b\\u001b[2J\"}",
        b"{\"profile\": \"dind\", \"runner\": 1e999}",
        b"{\"profile\": \"dind\", \"adopt\": \"perhaps\"}",
        b"{\"profile\": \"dind\", \"config\": \"relative\"}",
        b"{\"profile\": \"dind\", \"root\": \"/nonexistent\"}",
        b"{\"profile\": \"dind\", \"root\": \"/dev/null\"}",
    ] {
        std::fs::write(&file, text).unwrap();
        let (exit, failed, message) = answer(&[&file]);
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert!(exit == 1 && failed && !message.is_empty(), "{shown:?}: {exit} {failed} {message}");
    }
    std::fs::remove_file(&file).unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let sparse = place.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let odd: [&[&std::path::Path]; 6] =
        [&[], &[&file], &[place.path()], &[&fifo], &[&sparse], &[&fifo, &sparse]];
    for words in odd {
        let (exit, failed, message) = answer(words);
        assert!(exit == 1 && failed && !message.is_empty(), "{words:?}: {message}");
    }
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn many_at_once() {
    if !visudo() {
        return;
    }
    let tree = host();
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = tree.command(&["apply", "--profile", "dind"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let before = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&before, &tree.stamps());
    let left: Vec<_> = tree.listing().into_iter().filter(|line| line.contains(".runner-prep.")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The very first runs on a host meet before there is a lock, because the lock lies in the state directory.
#[test]
fn the_first_run_finds_the_state_directory_made_by_another() {
    if !visudo() {
        return;
    }
    if !is_root() {
        return skip("without root, strace does not see a program that can't be traced");
    }
    if !have(&["strace"]) {
        return;
    }
    // What is there already, and what both want to make.
    for (there, name) in [(None, "var"), (Some("var"), "lib"), (Some("var/lib"), "runner-prep")] {
        let tree = host();
        let var = tree.top().join("var");
        if var.exists() {
            std::fs::remove_dir_all(&var).unwrap();
        }
        if let Some(there) = there {
            std::fs::create_dir_all(tree.top().join(there)).unwrap();
        }
        let log = tree.top().with_extension("log");
        let mut late = Command::new("strace");
        late.args(["-qq", "-e", "trace=mkdirat", "-e"])
            .arg("inject=mkdirat:delay_enter=2s:when=1")
            .arg("-o")
            .arg(&log)
            .arg(program())
            .args(["apply", "--profile", "dind", "--root"])
            .arg(tree.top())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let late = late.spawn().unwrap();
        // It has looked and found nothing when strace begins to hold it.
        let met = || std::fs::read_to_string(&log).unwrap_or_default().contains(&format!("\"{name}\", 0700"));
        let begun = Instant::now();
        while !met() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        tree.run(&["apply", "--profile", "dind"]).ok().says("changes made");
        let output = late.wait_with_output().unwrap();
        let trace = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert!(trace.contains("EEXIST"), "{name}: it was made before: {trace}");
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn no_process_more() {
    if is_root() {
        // The limit of processes does not hold for root.
        return;
    }
    if !have(&["visudo", "prlimit"]) {
        return;
    }
    let tree = host();
    let before = without_state(tree.listing());
    let mut command = Command::new("prlimit");
    command
        .args(["--nproc=1:1", "--"])
        .arg(program())
        .args(["apply", "--profile", "dind", "--root"])
        .arg(tree.top());
    let run = tree.run_command(&mut command);
    run.exit(2).says("cannot start");
    assert_unchanged(&before, &without_state(tree.listing()));
}

#[test]
fn the_host_is_roots_alone_to_change() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["setpriv"]) {
        return;
    }
    let host = host.start();
    let before = host.stamps();
    for command in ["apply", "plan", "check", "undo", "doctor"] {
        let profile = if ["undo", "doctor"].contains(&command) { "" } else { "--profile dind" };
        let run = host.sh(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups /opt/under-test/runner-prep {command} {profile}"));
        run.exit(2).says("must be root").says("sudo runner-prep");
    }
    assert_unchanged(&before, &host.stamps());
}

#[test]
fn a_device_for_a_configuration() {
    if !is_root() {
        return skip("only root makes devices");
    }
    let tree = bare().dir("etc/gitlab-runner", 0o700);
    let made = nix::sys::stat::mknod(
        &tree.path(CONFIG),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o600),
        nix::sys::stat::makedev(1, 5),
    );
    if made.is_err() {
        return skip("no device can be made here");
    }
    refused("a device", &tree, &DIND, "a device");
    assert!(run_limited(Command::new("test").arg("-c").arg(tree.path(CONFIG))).status == 0);
}
