//! `known_hosts` against the real `ssh-keygen`, and against any bytes.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test runs the real program on files of its own"
)]

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use runner_prep::text::key_pair::ed25519;
use runner_prep::text::known_hosts::{
    Conflict, GITLAB_COM, HostKey, HostName, KnownHost, entries, keys_of, merge,
};
use runner_prep::text::public_key::public_line;

const KEYS: [&str; 3] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFSMqzJeV9rUzU4kWitGjeR4PWSa29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY=",
];

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

/// Keys wanted for gitlab.com, by their index.
fn want(keys: &[usize]) -> Vec<KnownHost> {
    let lines: Vec<_> = keys.iter().map(|key| KEYS[*key]).collect();
    entries(&lines.join("\n"), Some(&host("gitlab.com"))).unwrap()
}

fn text_of(existing: &str, wanted: &[usize], accept_new: bool) -> Option<String> {
    let merged = merge(existing.as_bytes(), &want(wanted), accept_new).unwrap()?;
    Some(String::from_utf8(merged.text).unwrap())
}

fn conflicts(existing: &str, wanted: &[usize], accept_new: bool) -> Vec<Conflict> {
    merge(existing.as_bytes(), &want(wanted), accept_new).unwrap_err().0
}

#[test]
fn missing_lines_are_added_at_the_end() {
    let [a, b, c] = KEYS;
    let new = format!("gitlab.com {a}\n");
    let new_line = format!("\n{new}");
    for (before, wanted, added) in [
        (String::new(), &[0][..], new.as_str()),
        (format!("gitlab.com {a} x\r\n"), &[0], ""),
        (format!("other,GitLab.com\t{a}"), &[0, 0], ""),
        (format!("@cert-authority gitlab.com {b}\n"), &[0], &new),
        (format!("other {b}"), &[0], &new_line),
        (format!("*,!gitlab.com {b}\n"), &[0], &new),
        (format!("gitlab.com {c}\n"), &[0, 2], &new),
        (format!("gitlab.com {b}\n"), &[0, 1], &new),
        (format!("[gitlab.com]:2222 {b}\n#gitlab.com {b}\n"), &[0], &new),
        (format!("gitlab.com {}\n", &b[..60]), &[0], &new),
        (format!("@revoked * {b}\n"), &[0], &new),
    ] {
        let after = text_of(&before, wanted, false);
        assert_eq!(after.unwrap_or(before.clone()), before + added);
    }
}

#[test]
fn another_key_is_a_conflict_with_both_fingerprints() {
    let [a, b, _] = KEYS;
    for line in [
        format!("gitlab.com {b}"),
        format!(" x,gitlab.com\t{b} x"),
        format!("*.com {b}"),
        format!("gitlab.com {a}\ngitlab.com {b}"),
    ] {
        let found = conflicts(&format!("\n{line}\n"), &[0], false);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, line.lines().count() + 1);
        assert_eq!(found[0].wanted, "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8");
        assert_ne!(found[0].existing, found[0].wanted);
        assert!(!found[0].revoked);
    }
    for accept_new in [false, true] {
        let found = conflicts(&format!("gitlab.com {a}\n@revoked * {a}\n"), &[0], accept_new);
        assert!(found[0].revoked && found[0].line == 2);
    }
    assert!(keys_of(format!("gitlab.com {a}\n@revoked * {a}\n").as_bytes(), &host("gitlab.com")).is_empty());
}

#[test]
fn accepted_keys_take_the_place_of_the_old_ones() {
    let [a, b, c] = KEYS;
    for (before, wanted, after) in [
        (format!("x {c}\ngitlab.com {b} old\r\ny {c}"), &[0][..], format!("x {c}\ngitlab.com {a}\r\ny {c}")),
        (format!("gitlab.com {b}"), &[0, 2], format!("gitlab.com {a}\ngitlab.com {c}\n")),
        (format!("gitlab.com {b}\ngitlab.com {b}\n"), &[0], format!("gitlab.com {a}\n")),
        (format!("gitlab.com {b}\ngitlab.com {a}\n"), &[0], format!("gitlab.com {a}\n")),
        (format!("x,GitLab.com {b} z\n"), &[0], format!("x {b} z\ngitlab.com {a}\n")),
        (format!("*.com {b}\n"), &[0], format!("*.com,!gitlab.com {b}\ngitlab.com {a}\n")),
    ] {
        let text = text_of(&before, wanted, true).unwrap();
        assert_eq!(text, after, "{before}");
        assert_eq!(text_of(&text, wanted, false), None);
    }
}

/// `ssh-keygen -F`: the keys that it finds for a name, or nothing where it is missing.
fn found_by_keygen(file: &[u8], name: &str) -> Option<Vec<HostKey>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known_hosts");
    fs::write(&path, file).unwrap();
    let Ok(output) = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(&path).output() else {
        println!("skipped: there is no ssh-keygen");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with(['#', '@']));
    let keys = lines.map(|line| {
        let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).skip(1).take(2).collect();
        public_line(words.join(" ").as_bytes()).unwrap().key().clone()
    });
    Some(keys.collect())
}

#[test]
fn ssh_keygen_finds_what_was_merged_also_among_hashed_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known_hosts");
    let wanted = [GITLAB_COM, &GITLAB_COM.replace("gitlab.com", "git.example.com:2222")].concat();
    let wanted = entries(&wanted, None).unwrap();
    let foreign = format!("# note\nelsewhere.org {}", KEYS[1]);
    let text = merge(foreign.as_bytes(), &wanted, false).unwrap().unwrap().text;
    fs::write(&path, &text).unwrap();
    let hashing = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&path).output();
    if hashing.is_err() {
        println!("skipped: there is no ssh-keygen");
        return;
    }
    let hashed = fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&hashed).contains("gitlab.com"));
    for file in [&text, &hashed] {
        assert_eq!(merge(file, &wanted, false).unwrap(), None);
        for name in ["gitlab.com", "[git.example.com]:2222", "elsewhere.org", "unknown.org"] {
            assert_eq!(found_by_keygen(file, name).unwrap(), keys_of(file, &host(name)), "{name}");
        }
    }
    // A hashed line keeps its hash when its key is replaced.
    let key = ed25519("").unwrap().public;
    let new = entries(&key, Some(&host("gitlab.com"))).unwrap();
    let found = merge(&hashed, &new, false).unwrap_err().0;
    assert_eq!(found.len(), 1);
    let replaced = merge(&hashed, &new, true).unwrap().unwrap();
    assert_eq!(replaced.replaced, found);
    assert!(!String::from_utf8_lossy(&replaced.text).contains("gitlab.com"));
    assert!(found_by_keygen(&replaced.text, "gitlab.com").unwrap().contains(&new[0].key));
}

/// Lines of many sorts, whole and broken.
fn any_line() -> impl Strategy<Value = String> {
    let names = "(gitlab\\.com|GITLAB\\.com|a\\.org|\\*|\\*\\.com|!gitlab\\.com|g\\?tlab\\.com|\\[gitlab\\.com\\]:2222|)";
    let hosts = prop::collection::vec(names, 1..3).prop_map(|names| names.join(","));
    let marker = "(|||@revoked |@cert-authority |@x |#| )";
    let known = (marker, hosts, "( |\t)", 0..3_usize, "(| x|\r| y\r)")
        .prop_map(|(marker, hosts, gap, key, end)| format!("{marker}{hosts}{gap}{}{end}", KEYS[key]));
    prop_oneof![4 => known, 1 => "\\PC{0,40}", 1 => "[ -~\t\r]{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,60}") {
        let _ = entries(&text, None);
        let _ = HostName::parse(&text);
        let merged = merge(&bytes, &want(&[0, 2]), true);
        if let Ok(Some(merged)) = merged {
            prop_assert!(merged.text.starts_with(&bytes));
        }
    }

    #[test]
    fn merging_twice_is_merging_once(lines in prop::collection::vec(any_line(), 0..8), last in "(|\n)", accept_new: bool) {
        let before = lines.join("\n") + &last;
        let wanted = want(&[0, 2]);
        let Ok(Some(merged)) = merge(before.as_bytes(), &wanted, accept_new) else { return Ok(()) };
        prop_assert_eq!(merge(&merged.text, &wanted, accept_new).unwrap(), None);
        let text = String::from_utf8(merged.text.clone()).unwrap();
        let changed: Vec<_> = merged.replaced.iter().map(|conflict| conflict.line).collect();
        let mut rest = text.split('\n');
        for (index, line) in before.split('\n').enumerate() {
            if !changed.contains(&(index + 1)) {
                prop_assert!(rest.any(|other| other == line), "line {} is gone", index + 1);
            }
        }
        let found = keys_of(&merged.text, &host("gitlab.com"));
        prop_assert!(wanted.iter().all(|entry| found.contains(&entry.key)));
        if !accept_new {
            prop_assert!(merged.text.starts_with(before.as_bytes()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn ssh_keygen_finds_the_same_keys(lines in prop::collection::vec(any_line(), 0..8)) {
        let plain: Vec<_> = lines.into_iter().filter(|line| !line.contains("@revoked")).collect();
        let text = plain.join("\n") + "\n";
        for name in ["gitlab.com", "[gitlab.com]:2222", "a.org"] {
            let Some(found) = found_by_keygen(text.as_bytes(), name) else { return Ok(()) };
            prop_assert_eq!(found, keys_of(text.as_bytes(), &host(name)), "{} in {:?}", name, text);
        }
    }
}
