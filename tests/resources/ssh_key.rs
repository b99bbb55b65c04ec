//! The key pair.

use runner_prep::text::key_pair;

use super::{
    Expected, Host, ID, changes, codes, converged, file, made, own, planned, possible, refused, repaired,
};

const PROFILE: &str = "[ssh_key]\n";
const DIRECTORY: &str = "/home/gitlab-runner/.ssh";
const ED25519: &str = "/home/gitlab-runner/.ssh/id_ed25519";
const ED25519_PUB: &str = "/home/gitlab-runner/.ssh/id_ed25519.pub";
const RSA: &str = "/home/gitlab-runner/.ssh/id_rsa";
const RSA_PUB: &str = "/home/gitlab-runner/.ssh/id_rsa.pub";
const ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAMCAQA=\n\
    -----END RSA PRIVATE KEY-----\n";

fn pair() -> (String, String) {
    let pair = key_pair::ed25519("somebody").unwrap();
    (pair.private.to_string(), pair.public.clone())
}

/// The account with its directory.
fn home() -> Host {
    Host::new().dir(DIRECTORY, 0o700, ID)
}

/// The same with a pair at the usual place.
fn with(private: &str, public: &str) -> Host {
    home().file(ED25519, 0o600, ID, private).file(ED25519_PUB, 0o644, ID, public)
}

#[test]
fn a_pair_is_made_where_there_is_none() {
    if !possible() {
        return;
    }
    let pair = [made(ED25519, own(0o600)), made(ED25519_PUB, own(0o644))];
    let all = [&[made(DIRECTORY, own(0o700))], &pair[..]].concat();
    let notes = changes("no directory", PROFILE, &Host::new(), &all);
    assert!(notes["public_key"].is_null(), "it is not there yet");
    changes("empty directory", PROFILE, &home(), &pair);
    changes("other files", PROFILE, &home().file("/home/gitlab-runner/.ssh/config", 0o600, ID, ""), &pair);
    let rsa = "[ssh_key]\ntype = \"rsa\"\nbits = 2048\n";
    // An RSA key costs seconds: only the plan.
    let ids: Vec<String> =
        planned(&home().run("plan", rsa, &[]).json()).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [RSA, RSA_PUB]);
}

#[test]
fn a_good_key_of_any_usual_type_is_kept() {
    if !possible() {
        return;
    }
    let (private, public) = pair();
    let notes = converged("right", PROFILE, &with(&private, &public));
    assert_eq!(notes["public_key"]["line"], public.trim_end());
    assert_eq!(notes["public_key"]["path"], ED25519_PUB);
    converged("another type is wanted", "[ssh_key]\ntype = \"rsa\"\n", &with(&private, &public));
    converged("read-only", PROFILE, &with(&private, &public).file(ED25519, 0o400, ID, &private));
    let (other, line) = pair();
    // The one that ssh offers first is shown; the others stay.
    let two = with(&private, &public).file(RSA, 0o600, ID, &other).file(RSA_PUB, 0o644, ID, &line);
    let notes = converged("two keys", PROFILE, &two);
    assert_eq!(codes(&notes, "warnings"), ["ssh-keys-several"]);
    assert_eq!(notes["public_key"]["line"], line.trim_end());
}

#[test]
fn the_public_half_follows_the_private_one() {
    if !possible() {
        return;
    }
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
    if !possible() {
        return;
    }
    let (private, public) = pair();
    let host = || with(&private, &public);
    let cases: [(&str, Host, Expected); 4] = [
        ("open directory", host().dir(DIRECTORY, 0o755, ID), repaired(DIRECTORY, own(0o700))),
        ("shut directory", host().dir(DIRECTORY, 0o500, ID), repaired(DIRECTORY, own(0o700))),
        ("open key", host().file(ED25519, 0o644, ID, &private), repaired(ED25519, own(0o600))),
        ("public half", host().file(ED25519_PUB, 0o666, ID, &public), repaired(ED25519_PUB, own(0o644))),
    ];
    for (name, host, expected) in cases {
        changes(name, PROFILE, &host, &[expected]);
    }
    let expected = repaired(DIRECTORY, own(0o700));
    changes("directory of root's that gives nothing", PROFILE, &host().dir(DIRECTORY, 0o700, 0), &[expected]);
    // Written anew: root gives nothing in a home away.
    let expected = file(ED25519_PUB, Some(&public), &public, own(0o644));
    changes("public half of root's", PROFILE, &host().file(ED25519_PUB, 0o644, 0, &public), &[expected]);
}

#[test]
fn a_key_with_a_passphrase_is_reported_and_never_touched() {
    if !possible() {
        return;
    }
    let host = home().file(RSA, 0o644, ID, ENCRYPTED);
    let notes = converged("alone", PROFILE, &host);
    assert_eq!(codes(&notes, "pending"), ["ssh-key-encrypted"]);
    let (private, public) = pair();
    let notes =
        converged("beside another", PROFILE, &with(&private, &public).file(RSA, 0o644, ID, ENCRYPTED));
    assert_eq!(codes(&notes, "warnings"), ["ssh-key-encrypted"]);
    assert_eq!(codes(&notes, "pending"), [""; 0]);
}

#[test]
fn what_is_no_key_or_not_the_accounts_is_refused() {
    if !possible() {
        return;
    }
    let (private, public) = pair();
    let host = || with(&private, &public);
    refused("no key", PROFILE, &home().file(ED25519, 0o600, ID, "CANARY"), "ssh-key-unreadable");
    refused("cut short", PROFILE, &home().file(ED25519, 0o600, ID, &private[..99]), "ssh-key-unreadable");
    // The message names the kind of the file, which the rule about secrets takes for a part of it.
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMAMCAQA=\n-----END RSA PRIVATE KEY-----\n";
    let host_with_pem = home().file(RSA, 0o600, ID, pem).file("/mine.toml", 0o644, 0, PROFILE);
    let plan = host_with_pem.0.command(&["plan", "--json", "--profile", "./mine.toml"]).output().unwrap();
    assert!(String::from_utf8_lossy(&plan.stdout).contains("\"code\": \"ssh-key-unreadable\""));
    refused("public half alone", PROFILE, &home().file(ED25519_PUB, 0o644, ID, &public), "ssh-key-half");
    refused("FIFO", PROFILE, &home().fifo(ED25519), "ssh-key-kind");
    refused("link", PROFILE, &home().link(ED25519, "/etc/shadow"), "ssh-key-kind");
    refused("public half is a link", PROFILE, &host().link(ED25519_PUB, "/etc/shadow"), "ssh-key-kind");
    refused("two names", PROFILE, &host().hard_linked(ED25519), "ssh-key-links");
    refused("directory is a link", PROFILE, &Host::new().link(DIRECTORY, "/root/.ssh"), "ssh-directory");
    refused("directory is a file", PROFILE, &Host::new().file(DIRECTORY, 0o600, ID, ""), "ssh-directory");
    let kept = host().dir(DIRECTORY, 0o700, 0).file("/home/gitlab-runner/.ssh/other", 0o600, 0, "");
    refused("root's directory with a file of root's", PROFILE, &kept, "foreign-owner");
    refused("root's key", PROFILE, &host().file(ED25519, 0o600, 0, &private), "foreign-owner");
    refused("another's directory", PROFILE, &host().dir(DIRECTORY, 0o700, 4711), "foreign-owner");
    refused("another's key", PROFILE, &host().file(ED25519, 0o600, 4711, &private), "foreign-owner");
}
