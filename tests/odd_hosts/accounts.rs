//! Password databases, and names of accounts.

use super::{DIND, host, refused, taken, visudo};
use crate::support::is_root;

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
