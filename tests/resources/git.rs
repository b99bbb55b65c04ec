//! The identity.

use super::{Host, ID, changes, codes, converged, file, own, possible, refused};

const PROFILE: &str = "[git]\nname = \"ci\"\nemail = \"ci@example.com\"\n";
const CONFIG: &str = "/home/gitlab-runner/.gitconfig";
const XDG: &str = "/home/gitlab-runner/.config/git/config";
const BOTH: &str = "[user]\n\tname = ci\n\temail = ci@example.com\n";

fn host(mode: u32, owner: u32, text: &str) -> Host {
    Host::new().file(CONFIG, mode, owner, text)
}

/// The file that git reads beside the first one.
fn xdg(text: &str) -> Host {
    let dir = |host: Host, path| host.dir(path, 0o755, ID);
    let host = dir(dir(Host::new(), "/home/gitlab-runner/.config"), "/home/gitlab-runner/.config/git");
    host.file(XDG, 0o644, ID, text)
}

#[test]
fn an_identity_is_set_where_git_finds_none() {
    if !possible() {
        return;
    }
    let missing = changes("missing", PROFILE, &Host::new(), &[file(CONFIG, None, BOTH, own(0o644))]);
    assert_eq!(codes(&missing, "warnings"), [""; 0]);
    let short = "[git]\nname = \"ci\"\n";
    let by_name = "[user]\n\tname = ci\n\temail = gitlab-runner@runner-host\n";
    let notes = changes("no address", short, &Host::new(), &[file(CONFIG, None, by_name, own(0o644))]);
    assert_eq!(codes(&notes, "warnings"), ["git-email-default"]);
    // Where `git config --global` writes.
    let second = xdg("[core]\n");
    changes(
        "second file alone",
        PROFILE,
        &second,
        &[file(XDG, Some("[core]\n"), &format!("[core]\n{BOTH}"), own(0o644))],
    );
    changes(
        "both files",
        PROFILE,
        &second.file(CONFIG, 0o644, ID, ""),
        &[file(CONFIG, Some(""), BOTH, own(0o644))],
    );
}

#[test]
fn a_value_that_is_there_stays_whatever_it_is() {
    if !possible() {
        return;
    }
    converged("right", PROFILE, &host(0o644, ID, BOTH));
    let other = "[user]\n\tname = Somebody\n\temail = a@example.com\n";
    converged("another's", PROFILE, &host(0o644, ID, other));
    converged("of the system", PROFILE, &Host::new().file("/etc/gitconfig", 0o644, 0, other));
    converged("in the second file", PROFILE, &xdg(other));
    let half = "[user]\n\tname = Somebody\n";
    let whole = "[user]\n\tname = Somebody\n\temail = ci@example.com\n";
    changes("half", PROFILE, &host(0o644, ID, half), &[file(CONFIG, Some(half), whole, own(0o644))]);
    let included = "[include]\n\tpath = ours\n";
    converged(
        "included",
        PROFILE,
        &host(0o644, ID, included).file("/home/gitlab-runner/ours", 0o644, ID, other),
    );
    let set = format!("{BOTH}{included}");
    changes(
        "not included",
        PROFILE,
        &host(0o644, ID, included),
        &[file(CONFIG, Some(included), &set, own(0o644))],
    );
}

#[test]
fn modes_are_kept_but_for_what_others_may_write() {
    if !possible() {
        return;
    }
    for (mode, after) in [(0o600, 0o600), (0o666, 0o644), (0o444, 0o644), (0o755, 0o644)] {
        let expected = file(CONFIG, Some(""), BOTH, own(after));
        changes("mode", PROFILE, &host(mode, ID, ""), &[expected]);
    }
    changes("made by root", PROFILE, &host(0o644, 0, ""), &[file(CONFIG, Some(""), BOTH, own(0o644))]);
    converged("made by root, right", PROFILE, &host(0o644, 0, BOTH));
}

#[test]
fn what_is_no_file_or_no_configuration_is_refused() {
    if !possible() {
        return;
    }
    refused("link", PROFILE, &Host::new().link(CONFIG, "/etc/shadow"), "git-config-kind");
    refused("FIFO", PROFILE, &Host::new().fifo(CONFIG), "git-config-kind");
    refused("second file", PROFILE, &Host::new().dir(XDG, 0o755, ID), "git-config-kind");
    refused("two names", PROFILE, &host(0o644, ID, "").hard_linked(CONFIG), "git-config-kind");
    refused("no section", PROFILE, &host(0o644, ID, "[user\n"), "git-config-invalid");
    refused("kept from the account", PROFILE, &host(0o600, 4711, ""), "foreign-owner");
}
