//! git's configuration files against the real `git`, and against any bytes.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test runs the real program on files of its own"
)]

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use runner_prep::text::git_config::{get, lines, set_missing};
use tempfile::TempDir;

/// What git finds: `Err` if it refuses the file.
type Found = Result<Option<String>, ()>;

/// Git before 2.45 reads every blank outside of quotation marks as a space.
fn blanks(found: Found) -> Found {
    found.map(|value| value.map(|value| value.replace(['\t', '\r'], " ")))
}

/// What this module finds.
fn ours(text: &[u8], section: &str) -> Found {
    get(text, section, "name").map_err(|_| ())
}

/// `git config --file FILE --get NAME`, or nothing where git is missing.
fn git(dir: &TempDir, text: &[u8], name: &str) -> Option<Found> {
    let file = dir.path().join("config");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("git");
    command.env("HOME", dir.path()).current_dir(dir.path());
    command.args(["config", "--no-includes", "-z", "--file"]).arg(&file);
    let Ok(output) = command.args(["--get", name]).output() else {
        println!("skipped: there is no git");
        return None;
    };
    let value = String::from_utf8_lossy(&output.stdout);
    Some(match output.status.code() {
        Some(0) => Ok(Some(value.strip_suffix('\0').unwrap_or(&value).to_owned())),
        Some(1) => Ok(None),
        _ => Err(()),
    })
}

#[test]
fn values_are_read_as_git_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    for text in [
        "",
        "[user]",
        "[user]\nname",
        "[user]\nname=",
        "[user]\nname = a b  \n",
        "[USER] NAME = a;b\n",
        "[user]name=a\n",
        "[user]\nname = a\nname = b\n",
        "[user]\nname = a\n[core]\nname = c\n[user]\nname = b",
        "[user]\r\nname = a\r\n",
        "[user]\nname = \"a # b\" # c\n",
        "[user]\nname = a \" b \" c \n",
        "[user]\nname = \\\"a\\\\\\n\\t\\b\n",
        "[user]\nname = a \\\n  b\\\n c\n",
        "[user]\nname = a\\",
        "[user]\nname = a\\\r\nb\r\n",
        "[user]\nname = a\r",
        "\u{feff}[user]\nname=a",
        "[user \"x\"]\nname = a\n",
        "[user.x]\nname = a\n",
        "[user]\nname = a\tb\n",
        "[user]\nname = # a\n",
        "[user]\nname = \"\" \"\"\n",
        "[user]\nname = \" a",
        "[user]\nname = \\x",
        "[user]\nname a",
        "[user\nname = a",
        "name = a",
        "[user] ] name = a",
        "[user]\nna me = a",
        "[user]\n1name = a",
        "[user ]\nname = a",
        "[user \"\"]\nname = a",
        "[]\nname = a",
        "[user]\nname = ä\n",
        "[user]\n\u{b}name = a\n",
    ] {
        for (section, name) in [("user", "user.name"), ("user.x", "user.x.name"), ("user.", "user..name")] {
            let Some(found) = git(&dir, text.as_bytes(), name) else {
                return;
            };
            assert_eq!(blanks(ours(text.as_bytes(), section)), blanks(found), "{name} in {text:?}");
        }
    }
}

#[test]
fn a_section_with_a_subsection_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let section = "branch.My \"own\" \\ one";
    let text = set_missing(b"[core]\n", section, &[("remote", "x")]).unwrap().unwrap();
    assert_eq!(get(&text, section, "remote").unwrap().as_deref(), Some("x"));
    let Some(found) = git(&dir, &text, &format!("{section}.remote")) else {
        return;
    };
    assert_eq!(found, Ok(Some("x".to_owned())));
}

/// Pieces of configuration, whole and broken, in any order.
fn any_text() -> impl Strategy<Value = String> {
    let piece = "(\\[user\\]|\\[|\\[ |\\.|\\[\\]|1-|\\[User \"x\"\\]|\\[core\\]|name|Name|email| = |=|a b|\"| |\t|\\\\|\\\\n|\\\\\"|#|;|\n|\n|\r\n|\r|\u{b}|é|\\]|x)";
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(100))]
    #[test]
    fn git_reads_the_same(start in "(\\[user\\]||\u{feff})", text in any_text(), value in "([ -~]|\n|\t|\r|é|\"|\\\\|#|;){0,12}") {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{start}{text}");
        let Some(found) = git(&dir, text.as_bytes(), "user.name") else { return Ok(()) };
        prop_assert_eq!(blanks(ours(text.as_bytes(), "user")), blanks(found.clone()), "{:?}", text);
        let Ok(Some(new)) = set_missing(text.as_bytes(), "user", &[("name", &value)]) else { return Ok(()) };
        prop_assert_eq!(found, Ok(None));
        prop_assert_eq!(git(&dir, &new, "user.name").unwrap(), Ok(Some(value)), "{:?}", String::from_utf8_lossy(&new));
        for other in ["user.email", "user.x.name", "core.name", "core.email"] {
            prop_assert_eq!(git(&dir, text.as_bytes(), other), git(&dir, &new, other), "{} in {:?}", other, text);
        }
    }
}

proptest! {
    #![proptest_config(config(2000))]
    #[test]
    fn everything_else_stays(text in any_text(), value in "\\PC{0,8}") {
        let wanted = [("name", value.as_str()), ("email", "e")];
        let Ok(Some(new)) = set_missing(text.as_bytes(), "user", &wanted) else { return Ok(()) };
        prop_assert_eq!(set_missing(&new, "user", &wanted).unwrap(), None);
        let added = new.len() - text.len();
        let same = new.iter().zip(text.as_bytes()).take_while(|(one, other)| one == other).count();
        prop_assert!((0..=same).any(|at| new[at + added..] == text.as_bytes()[at..]), "{:?}", text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = get(&bytes, "user", "name");
        let _ = lines(&bytes);
        let _ = set_missing(&bytes, "user", &[("name", "n")]);
    }
}
