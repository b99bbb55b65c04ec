//! Host keys.

use runner_prep::text::known_hosts::GITLAB_COM;

use super::{
    Host, ID, Meta, changes, codes, converged, file, made, own, planned, possible, refused, repaired, root,
};

const SYSTEM: &str = "/etc/ssh/ssh_known_hosts";

const PROFILE: &str = "[known_hosts]\nhosts = [\"gitlab.com\"]\n";
const IN_HOME: &str = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
const HOME: &str = "/home/gitlab-runner/.ssh/known_hosts";
const DIRECTORY: &str = "/home/gitlab-runner/.ssh";
/// Another key of gitlab.com's first type.
const OTHER: &str =
    "gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3q8kq0Tn5oSgWcY7pPz1m2Hn0D4Vn8yqk6vYxk3RrT\n";
const FINGERPRINT: &str = "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8";

fn host(mode: u32, owner: u32, text: &str) -> Host {
    Host::new().file(SYSTEM, mode, owner, text)
}

fn of(mode: u32, id: u32) -> Meta {
    (mode, id)
}

#[test]
fn missing_lines_are_added_and_nothing_else_changes() {
    if !possible() {
        return;
    }
    changes("missing", PROFILE, &Host::new(), &[file(SYSTEM, None, GITLAB_COM, root(0o644))]);
    converged("right", PROFILE, &host(0o644, 0, GITLAB_COM));
    let first = GITLAB_COM.split_inclusive('\n').next().unwrap();
    let rest = &GITLAB_COM[first.len()..];
    let part = format!("# ours\n{first}");
    let whole = format!("# ours\n{first}{rest}");
    changes("drifted", PROFILE, &host(0o644, 0, &part), &[file(SYSTEM, Some(&part), &whole, of(0o644, 0))]);
    // The owner is the administrator's business; jobs must be able to read it.
    changes("owner", PROFILE, &host(0o664, 42, &part), &[file(SYSTEM, Some(&part), &whole, of(0o664, 42))]);
    changes("mode", PROFILE, &host(0o600, 42, &part), &[file(SYSTEM, Some(&part), &whole, of(0o644, 42))]);
    let opened = repaired(SYSTEM, of(0o644, 42));
    changes("mode, all there", PROFILE, &host(0o600, 42, &whole), &[opened]);
    converged("readable by its group", PROFILE, &host(0o640, ID, &whole));
    let shut = host(0o644, 0, &whole).dir("/etc/ssh", 0o700, 0);
    assert_eq!(codes(&converged("a directory on the way", PROFILE, &shut), "pending"), ["host-keys-shut"]);
    let no_directory = Host::new().without("/etc/ssh");
    let expected = [made("/etc/ssh", root(0o755)), file(SYSTEM, None, GITLAB_COM, root(0o644))];
    changes("no directory", PROFILE, &no_directory, &expected);
    let linked = Host::new().link(SYSTEM, "/etc/ssh/hosts").file("/etc/ssh/hosts", 0o644, 0, &part);
    let found = planned(&linked.run("plan", PROFILE, &[]).json());
    assert_eq!(found[0].1, "/etc/ssh/hosts", "a link of the administrator's is followed");
}

#[test]
fn another_key_is_an_error_until_it_is_accepted() {
    if !possible() {
        return;
    }
    refused("another key", PROFILE, &host(0o644, 0, OTHER), "host-key-differs");
    converged("accepted", PROFILE, &host(0o644, 0, OTHER).applied(PROFILE, &["--accept-new-host-keys"]));
    let revoked = GITLAB_COM.replacen("gitlab.com", "@revoked gitlab.com", 1);
    refused("revoked", PROFILE, &host(0o644, 0, &revoked), "host-key-differs");
}

#[test]
fn the_accounts_own_file_is_not_followed_anywhere() {
    if !possible() {
        return;
    }
    let home = Host::new().dir(DIRECTORY, 0o700, ID);
    let missing = [made(DIRECTORY, own(0o700)), file(HOME, None, GITLAB_COM, own(0o644))];
    changes("no directory", IN_HOME, &Host::new(), &missing);
    changes("missing", IN_HOME, &home, &missing[1..]);
    converged("right", IN_HOME, &home.copy().file(HOME, 0o600, ID, GITLAB_COM));
    let expected = file(HOME, Some("# a\n"), &format!("# a\n{GITLAB_COM}"), own(0o644));
    changes("writable by others", IN_HOME, &home.copy().file(HOME, 0o666, ID, "# a\n"), &[expected]);
    refused("link", IN_HOME, &home.copy().link(HOME, "/etc/shadow"), "known-hosts-kind");
    refused("FIFO", IN_HOME, &home.copy().fifo(HOME), "known-hosts-kind");
    let two = home.copy().file(HOME, 0o644, ID, "").hard_linked(HOME);
    refused("two names", IN_HOME, &two, "known-hosts-kind");
    refused("kept from the account", IN_HOME, &home.file(HOME, 0o600, 4711, ""), "foreign-owner");
    refused("directory", PROFILE, &Host::new().dir(SYSTEM, 0o755, 0), "known-hosts-kind");
}

#[test]
fn keys_come_from_lines_a_file_or_a_fingerprint() {
    if !possible() {
        return;
    }
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf";
    let profile =
        |rest: &str| format!("[known_hosts]\nhosts = [{{ host = \"git.example.com:2222\", {rest} }}]\n");
    let line = format!("[git.example.com]:2222 {key}\n");
    let wanted = [file(SYSTEM, None, &line, root(0o644))];
    changes("lines", &profile(&format!("keys = [\"{key}\"]")), &Host::new(), &wanted);
    let from_file = profile("file = \"/root/hosts\"");
    changes("file", &from_file, &Host::new().file("/root/hosts", 0o600, 0, &line), &wanted);
    refused("no file", &from_file, &Host::new(), "host-key-missing");
    refused("FIFO", &from_file, &Host::new().fifo("/root/hosts"), "host-key-missing");
    let by_fingerprint = profile(&format!("fingerprint = \"{FINGERPRINT}\""));
    assert_eq!(
        codes(&converged("not asked", &by_fingerprint, &Host::new()), "pending"),
        ["host-key-unscanned"]
    );
    converged("known", &by_fingerprint, &host(0o644, 0, &line));
}
