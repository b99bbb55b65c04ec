//! Host keys on fed hosts.

use super::super::Options;
use super::super::testing::{changes, codes, converged, file, made, own, plan, refused, repaired, root};
use super::SYSTEM;
use crate::change::{FileKind, Meta, Owner};
use crate::facts::fake::{Fake, ID};
use crate::text::known_hosts::GITLAB_COM;

const PROFILE: &str = "[known_hosts]\nhosts = [\"gitlab.com\"]\n";
const IN_HOME: &str = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
const HOME: &str = "/home/gitlab-runner/.ssh/known_hosts";
const DIRECTORY: &str = "/home/gitlab-runner/.ssh";
/// Another key of gitlab.com's first type.
const OTHER: &str =
    "gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3q8kq0Tn5oSgWcY7pPz1m2Hn0D4Vn8yqk6vYxk3RrT\n";
const FINGERPRINT: &str = "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8";

fn host(mode: u32, owner: u32, text: &str) -> Fake {
    Fake::host().file(SYSTEM, mode, owner, text)
}

fn of(mode: u32, id: u32) -> Meta {
    Meta { owner: Owner::Ids(id, id), mode }
}

#[test]
fn missing_lines_are_added_and_nothing_else_changes() {
    changes("missing", PROFILE, &Fake::host(), &[file(SYSTEM, None, GITLAB_COM, root(0o644))]);
    converged("right", PROFILE, &host(0o644, 0, GITLAB_COM));
    let first = GITLAB_COM.split_inclusive('\n').next().expect("a line");
    let rest = &GITLAB_COM[first.len()..];
    let part = format!("# ours\n{first}");
    let whole = format!("# ours\n{first}{rest}");
    changes("drifted", PROFILE, &host(0o644, 0, &part), &[file(SYSTEM, Some(&part), &whole, of(0o644, 0))]);
    // The owner is the administrator's business; jobs must be able to read it.
    changes("owner", PROFILE, &host(0o664, 42, &part), &[file(SYSTEM, Some(&part), &whole, of(0o664, 42))]);
    changes("mode", PROFILE, &host(0o600, 42, &part), &[file(SYSTEM, Some(&part), &whole, of(0o644, 42))]);
    let opened = repaired(SYSTEM, (0o600, 42, 42), of(0o644, 42));
    changes("mode, all there", PROFILE, &host(0o600, 42, &whole), &[opened]);
    converged("readable by its group", PROFILE, &host(0o640, ID, &whole));
    let shut = host(0o644, 0, &whole).dir("/etc/ssh", 0o700, 0);
    assert_eq!(codes(&converged("a directory on the way", PROFILE, &shut)).1, ["host-keys-shut"]);
    let no_directory = Fake::host().without("/etc/ssh");
    let expected = [made("/etc/ssh", root(0o755)), file(SYSTEM, None, GITLAB_COM, root(0o644))];
    changes("no directory", PROFILE, &no_directory, &expected);
    let linked = Fake::host().link(SYSTEM, "/etc/ssh/hosts").file("/etc/ssh/hosts", 0o644, 0, &part);
    let (found, _) = plan(PROFILE, &linked, &Options::default()).expect("a plan");
    assert_eq!(found[0].id, "/etc/ssh/hosts", "a link of the administrator's is followed");
}

#[test]
fn another_key_is_an_error_until_it_is_accepted() {
    refused("another key", PROFILE, &host(0o644, 0, OTHER), "host-key-differs");
    let accept = Options { accept_new_host_keys: true, ..Options::default() };
    let (found, _) = plan(PROFILE, &host(0o644, 0, OTHER), &accept).expect("a plan");
    assert_eq!(found.len(), 1);
    let after = host(0o644, 0, OTHER).after(&found);
    converged("accepted", PROFILE, &after);
    let revoked = GITLAB_COM.replacen("gitlab.com", "@revoked gitlab.com", 1);
    refused("revoked", PROFILE, &host(0o644, 0, &revoked), "host-key-differs");
}

#[test]
fn the_accounts_own_file_is_not_followed_anywhere() {
    let home = Fake::host().dir(DIRECTORY, 0o700, ID);
    let missing = [made(DIRECTORY, own(0o700)), file(HOME, None, GITLAB_COM, own(0o644))];
    changes("no directory", IN_HOME, &Fake::host(), &missing);
    changes("missing", IN_HOME, &home, &missing[1..]);
    converged("right", IN_HOME, &home.clone().file(HOME, 0o600, ID, GITLAB_COM));
    let expected = file(HOME, Some("# a\n"), &format!("# a\n{GITLAB_COM}"), own(0o644));
    changes("writable by others", IN_HOME, &home.clone().file(HOME, 0o666, ID, "# a\n"), &[expected]);
    refused("link", IN_HOME, &home.clone().link(HOME, "/etc/shadow"), "known-hosts-kind");
    refused("FIFO", IN_HOME, &home.clone().special(HOME, FileKind::Special("a FIFO")), "known-hosts-kind");
    let two = home.clone().file(HOME, 0o644, ID, "").hard_linked(HOME);
    refused("two names", IN_HOME, &two, "known-hosts-kind");
    refused("kept from the account", IN_HOME, &home.file(HOME, 0o600, 4711, ""), "foreign-owner");
    refused("unreadable", PROFILE, &Fake::host().unreadable(SYSTEM), "not-permitted");
    refused("directory", PROFILE, &Fake::host().dir(SYSTEM, 0o755, 0), "known-hosts-kind");
}

#[test]
fn keys_come_from_lines_a_file_or_a_fingerprint() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf";
    let profile =
        |rest: &str| format!("[known_hosts]\nhosts = [{{ host = \"git.example.com:2222\", {rest} }}]\n");
    let line = format!("[git.example.com]:2222 {key}\n");
    let wanted = [file(SYSTEM, None, &line, root(0o644))];
    changes("lines", &profile(&format!("keys = [\"{key}\"]")), &Fake::host(), &wanted);
    let from_file = profile("file = \"/root/hosts\"");
    changes("file", &from_file, &Fake::host().file("/root/hosts", 0o600, 0, &line), &wanted);
    refused("no file", &from_file, &Fake::host(), "host-key-missing");
    refused(
        "FIFO",
        &from_file,
        &Fake::host().special("/root/hosts", FileKind::Special("a FIFO")),
        "host-key-missing",
    );
    let by_fingerprint = profile(&format!("fingerprint = \"{FINGERPRINT}\""));
    assert_eq!(codes(&converged("not asked", &by_fingerprint, &Fake::host())).1, ["host-key-unscanned"]);
    converged("known", &by_fingerprint, &host(0o644, 0, &line));
    let scan = Options { scan_host_keys: true, ..Options::default() };
    let shows = |scanned: &str| Fake::host().scanned(scanned);
    let (found, _) = plan(&by_fingerprint, &shows(&line), &scan).expect("a plan");
    assert_eq!(found.len(), 1);
    let other = OTHER.replace("gitlab.com", "[git.example.com]:2222");
    let error = plan(&by_fingerprint, &shows(&other), &scan).expect_err("another key");
    assert_eq!(crate::fault::find(&error).map(|fault| fault.code), Some("host-key-differs"));
}
