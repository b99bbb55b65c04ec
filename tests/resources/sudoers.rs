//! The drop-in.

use super::{Host, changes, codes, converged, file, gone, planned, possible, refused, repaired, root};

const FILE: &str = "/etc/sudoers.d/gitlab-runner";

const RSYNC: &str = "[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";
const NOTHING: &str = "[sudoers]\ncommands = []\n";
const OURS: &str = "# Managed by runner-prep: edit its profile, not this file.\n\
    gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n";

fn host(mode: u32, owner: u32, text: &str) -> Host {
    Host::new().file(FILE, mode, owner, text)
}

#[test]
fn the_file_is_made_kept_and_repaired() {
    if !possible() {
        return;
    }
    let notes = changes("missing", RSYNC, &Host::new(), &[file(FILE, None, OURS, root(0o440))]);
    assert_eq!(codes(&notes, "warnings"), ["root-equivalent-command"]);
    converged("right", RSYNC, &host(0o440, 0, OURS));
    let by_hand = "  gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\t\n\n# by hand\n";
    converged("right, by hand", RSYNC, &host(0o440, 0, by_hand));
    for (mode, owner) in [(0o644, 0), (0o400, 0), (0o440, 998), (0o666, 4711)] {
        let expected = repaired(FILE, root(0o440));
        changes("mode or owner", RSYNC, &host(mode, owner, OURS), &[expected]);
    }
}

#[test]
fn a_rule_of_ours_that_says_something_else_is_replaced() {
    if !possible() {
        return;
    }
    let mark = "# Managed by runner-prep: edit its profile, not this file.\n";
    for rest in [
        "",
        "gitlab-runner ALL=(ALL) NOPASSWD: ALL\n",
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\nci ALL=(ALL) ALL\n",
        // A user by number, which looks like a comment.
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n#998 ALL=(ALL) NOPASSWD: ALL\n",
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n#-1 ALL=(ALL) NOPASSWD: ALL\n",
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n#include /tmp/x\n",
        // sudo refuses the line.
        "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\r\n",
        "gitlab-runner ALL=(ALL)\u{a0}NOPASSWD: /usr/bin/rsync\n",
    ] {
        let text = format!("{mark}{rest}");
        let expected = file(FILE, Some(&text), OURS, root(0o440));
        changes(rest, RSYNC, &host(0o440, 0, &text), &[expected]);
    }
}

#[test]
fn what_somebody_else_wrote_is_refused_without_consent() {
    if !possible() {
        return;
    }
    let text = "#998 ALL=(ALL) NOPASSWD: ALL\n";
    refused("foreign", RSYNC, &host(0o440, 0, text), "sudoers-foreign");
    refused("foreign, and nothing is wanted", NOTHING, &host(0o440, 0, text), "sudoers-foreign");
    let adopted = host(0o440, 0, text).run("plan", RSYNC, &["--adopt"]);
    assert_eq!(planned(&adopted.json()).len(), 1);
    refused("FIFO", RSYNC, &Host::new().fifo(FILE), "sudoers-special-file");
    refused("directory", RSYNC, &Host::new().dir(FILE, 0o750, 0), "sudoers-kind");
    refused("link", RSYNC, &Host::new().link(FILE, "/etc/sudoers"), "sudoers-kind");
}

#[test]
fn a_profile_without_rules_takes_ours_away_and_no_other() {
    if !possible() {
        return;
    }
    converged("nothing there", NOTHING, &Host::new());
    changes("ours", NOTHING, &host(0o440, 0, OURS), &[gone(FILE)]);
    converged("comments of somebody else", NOTHING, &host(0o440, 0, "# soon\n"));
}

#[test]
fn a_rule_means_what_it_says_or_is_refused() {
    if !possible() {
        return;
    }
    let with = |section: &str| format!("[sudoers]\n{section}\n");
    let other = Host::new().account("www", 33, "/srv/www");
    let rule = "[[sudoers.rule]]\nrun_as = \"www\"\ncommands = [\"/usr/bin/rsync -a ./ /srv/www/\"]\n";
    let text = "# Managed by runner-prep: edit its profile, not this file.\n\
        gitlab-runner ALL=(www:www) NOPASSWD: /usr/bin/rsync -a ./ /srv/www/\n";
    let notes = changes("as another account", rule, &other, &[file(FILE, None, text, root(0o440))]);
    assert_eq!(codes(&notes, "warnings"), ["sudo-arguments-merge"]);
    refused("no such account", rule, &Host::new(), "run-as-missing");
    refused(
        "another's group",
        rule,
        &Host::new().account("www", 33, "/srv").group("www", 50, ""),
        "run-as-group",
    );
    let both = "[[sudoers.rule]]\nrun_as = \"gitlab-runner\"\ncommands = [\"/usr/bin/rsync\"]\n";
    refused("itself", both, &Host::new(), "run-as-itself");
    refused("missing", &with("commands = [\"/usr/bin/rsyncd\"]"), &Host::new(), "command-missing");
    refused("no program", &with("commands = [\"/etc/sudoers\"]"), &Host::new(), "command-kind");
    let open = Host::new().dir("/usr/bin", 0o777, 0);
    refused("others write there", RSYNC, &open, "command-untrusted");
    let shadowed = Host::new().file("/usr/local/bin/rsync", 0o755, 0, "");
    refused("another is found first", RSYNC, &shadowed, "command-shadowed");
    let aside = Host::new().file("/opt/bin/x", 0o755, 0, "");
    refused("not found", &with("commands = [\"/opt/bin/x\"]"), &aside, "command-not-in-secure-path");
}

#[test]
fn a_policy_that_would_not_read_the_rule_is_refused() {
    if !possible() {
        return;
    }
    refused("no sudo", RSYNC, &Host::new().without("/etc/sudoers"), "sudo-missing");
    let lonely = Host::new().file("/etc/sudoers", 0o440, 0, "root ALL=(ALL:ALL) ALL\n");
    refused("not included", RSYNC, &lonely, "sudoers-not-included");
    refused("no directory", RSYNC, &Host::new().without("/etc/sudoers.d"), "sudoers-directory");
    let open = Host::new().dir("/etc/sudoers.d", 0o777, 0);
    refused("open directory", RSYNC, &open, "sudoers-directory");
}
