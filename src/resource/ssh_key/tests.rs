//! The key pair on fed hosts.

use super::super::testing::{Did, Expected, changes, codes, converged, file, made, own, refused, repaired};
use crate::change::{FileKind, Swap};
use crate::facts::fake::{Fake, ID};
use crate::text::key_pair;

const PROFILE: &str = "[ssh_key]\n";
const DIRECTORY: &str = "/home/gitlab-runner/.ssh";
const ED25519: &str = "/home/gitlab-runner/.ssh/id_ed25519";
const ED25519_PUB: &str = "/home/gitlab-runner/.ssh/id_ed25519.pub";
const RSA: &str = "/home/gitlab-runner/.ssh/id_rsa";
const RSA_PUB: &str = "/home/gitlab-runner/.ssh/id_rsa.pub";
const ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAMCAQA=\n\
    -----END RSA PRIVATE KEY-----\n";
const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nMAMCAQA=\n-----END RSA PRIVATE KEY-----\n";

fn pair() -> (String, String) {
    let pair = key_pair::ed25519("somebody").expect("a key");
    (pair.private.to_string(), pair.public.clone())
}

/// The account with its directory.
fn home() -> Fake {
    Fake::host().dir(DIRECTORY, 0o700, ID)
}

/// The same with a pair at the usual place.
fn with(private: &str, public: &str) -> Fake {
    home().file(ED25519, 0o600, ID, private).file(ED25519_PUB, 0o644, ID, public)
}

/// A new half of a key: never over anything.
fn new(path: &str, mode: u32) -> Expected {
    let after = Some("(later)".to_owned());
    (path.into(), Did::File { before: None, after, meta: own(mode), swap: Swap::Fresh })
}

fn directory(before: (u32, u32, u32)) -> Expected {
    (DIRECTORY.into(), Did::Directory { before: Some(before), after: own(0o700) })
}

#[test]
fn a_pair_is_made_where_there_is_none() {
    let pair = [new(ED25519, 0o600), new(ED25519_PUB, 0o644)];
    let all = [&[made(DIRECTORY, own(0o700))], &pair[..]].concat();
    let notes = changes("no directory", PROFILE, &Fake::host(), &all);
    assert!(notes.public_key.is_none(), "it is not there yet");
    changes("empty directory", PROFILE, &home(), &pair);
    changes("other files", PROFILE, &home().file("/home/gitlab-runner/.ssh/config", 0o600, ID, ""), &pair);
    let rsa = "[ssh_key]\ntype = \"rsa\"\nbits = 2048\n";
    // An RSA key costs seconds: the plan must not make it, and here nobody asks for its bytes.
    let (found, _) =
        super::super::testing::plan(rsa, &home(), &super::super::Options::default()).expect("a plan");
    let ids: Vec<&str> = found.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids, [RSA, RSA_PUB]);
}

#[test]
fn a_good_key_of_any_usual_type_is_kept() {
    let (private, public) = pair();
    let notes = converged("right", PROFILE, &with(&private, &public));
    let key = notes.public_key.expect("the key is shown");
    assert_eq!((key.line.as_str(), key.path.to_str()), (public.trim_end(), Some(ED25519_PUB)));
    converged("another type is wanted", "[ssh_key]\ntype = \"rsa\"\n", &with(&private, &public));
    converged("read-only", PROFILE, &with(&private, &public).file(ED25519, 0o400, ID, &private));
    let (_, line) = pair();
    let pem = home().file(RSA, 0o600, ID, PEM).file(RSA_PUB, 0o644, ID, &line);
    converged("PEM", PROFILE, &pem.says("ssh-keygen", &line));
    // The one that ssh offers first is shown; the others stay.
    let two = with(&private, &public).file(RSA, 0o600, ID, PEM).file(RSA_PUB, 0o644, ID, &line);
    let notes = converged("two keys", PROFILE, &two.says("ssh-keygen", &line));
    assert_eq!(codes(&notes).0, ["ssh-keys-several"]);
    assert_eq!(notes.public_key.expect("a key").line, line.trim_end());
}

#[test]
fn the_public_half_follows_the_private_one() {
    let (private, public) = pair();
    let (_, other) = pair();
    let without = home().file(ED25519, 0o600, ID, &private);
    changes("missing", PROFILE, &without, &[file(ED25519_PUB, None, &public, own(0o644))]);
    for wrong in [other.as_str(), "", "ssh-ed25519 AAAA\n", &private] {
        let expected = file(ED25519_PUB, Some(wrong), &public, own(0o644));
        changes("another's", PROFILE, &with(&private, wrong), &[expected]);
    }
    let renamed = public.replace("somebody", "laptop of mine");
    converged("another comment", PROFILE, &with(&private, &renamed));
}

#[test]
fn modes_and_owners_are_repaired() {
    let (private, public) = pair();
    let host = || with(&private, &public);
    let cases: [(&str, Fake, Expected); 4] = [
        ("open directory", host().dir(DIRECTORY, 0o755, ID), directory((0o755, ID, ID))),
        ("shut directory", host().dir(DIRECTORY, 0o500, ID), directory((0o500, ID, ID))),
        (
            "open key",
            host().file(ED25519, 0o644, ID, &private),
            repaired(ED25519, (0o644, ID, ID), own(0o600)),
        ),
        (
            "public half",
            host().file(ED25519_PUB, 0o666, ID, &public),
            repaired(ED25519_PUB, (0o666, ID, ID), own(0o644)),
        ),
    ];
    for (name, host, expected) in cases {
        changes(name, PROFILE, &host, &[expected]);
    }
    let expected = directory((0o700, 0, 0));
    changes("directory of root's that gives nothing", PROFILE, &host().dir(DIRECTORY, 0o700, 0), &[expected]);
    // Written anew: root gives nothing in a home away.
    let expected = file(ED25519_PUB, Some(&public), &public, own(0o644));
    changes("public half of root's", PROFILE, &host().file(ED25519_PUB, 0o644, 0, &public), &[expected]);
}

#[test]
fn a_key_with_a_passphrase_is_reported_and_never_touched() {
    let host = home().file(RSA, 0o644, ID, ENCRYPTED);
    let notes = converged("alone", PROFILE, &host);
    assert_eq!(codes(&notes).1, ["ssh-key-encrypted"]);
    let (private, public) = pair();
    let notes =
        converged("beside another", PROFILE, &with(&private, &public).file(RSA, 0o644, ID, ENCRYPTED));
    assert_eq!(codes(&notes), (vec!["ssh-key-encrypted"], vec![]));
}

#[test]
fn what_is_no_key_or_not_the_accounts_is_refused() {
    let (private, public) = pair();
    let host = || with(&private, &public);
    refused("no key", PROFILE, &home().file(ED25519, 0o600, ID, "CANARY"), "ssh-key-unreadable");
    refused("cut short", PROFILE, &home().file(ED25519, 0o600, ID, &private[..99]), "ssh-key-unreadable");
    refused("PEM that nobody reads", PROFILE, &home().file(RSA, 0o600, ID, PEM), "ssh-key-unreadable");
    refused("public half alone", PROFILE, &home().file(ED25519_PUB, 0o644, ID, &public), "ssh-key-half");
    let fifo = FileKind::Special("a FIFO");
    refused("FIFO", PROFILE, &home().special(ED25519, fifo), "ssh-key-kind");
    refused("link", PROFILE, &home().link(ED25519, "/etc/shadow"), "ssh-key-kind");
    refused("public half is a link", PROFILE, &host().link(ED25519_PUB, "/etc/shadow"), "ssh-key-kind");
    refused("two names", PROFILE, &host().hard_linked(ED25519), "ssh-key-links");
    refused("directory is a link", PROFILE, &Fake::host().link(DIRECTORY, "/root/.ssh"), "ssh-directory");
    refused("directory is a file", PROFILE, &Fake::host().file(DIRECTORY, 0o600, ID, ""), "ssh-directory");
    if crate::facts::caller() == 0 {
        let kept = host().dir(DIRECTORY, 0o700, 0).file("/home/gitlab-runner/.ssh/other", 0o600, 0, "");
        refused("root's directory with a file of root's", PROFILE, &kept, "foreign-owner");
        refused("root's key", PROFILE, &host().file(ED25519, 0o600, 0, &private), "foreign-owner");
    }
    refused("another's directory", PROFILE, &host().dir(DIRECTORY, 0o700, 4711), "foreign-owner");
    refused("another's key", PROFILE, &host().file(ED25519, 0o600, 4711, &private), "foreign-owner");
    refused("unreadable", PROFILE, &host().unreadable(ED25519), "not-permitted");
}
