//! The drop-in on fed hosts.

use super::super::Options;
use super::super::testing::{changes, codes, converged, file, gone, plan, refused, repaired, root};
use crate::change::FileKind;
use crate::facts::fake::Fake;
use crate::resource::sudo_policy::RULES as FILE;

const RSYNC: &str = "[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";
const NOTHING: &str = "[sudoers]\ncommands = []\n";
const OURS: &str = "# Managed by runner-prep: edit its profile, not this file.\n\
    gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n";

fn host(mode: u32, owner: u32, text: &str) -> Fake {
    Fake::host().file(FILE, mode, owner, text)
}

#[test]
fn the_file_is_made_kept_and_repaired() {
    let notes = changes("missing", RSYNC, &Fake::host(), &[file(FILE, None, OURS, root(0o440))]);
    assert_eq!(codes(&notes).0, ["root-equivalent-command"]);
    converged("right", RSYNC, &host(0o440, 0, OURS));
    let by_hand = "  gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\t\n\n# by hand\n";
    converged("right, by hand", RSYNC, &host(0o440, 0, by_hand));
    for (mode, owner) in [(0o644, 0), (0o400, 0), (0o440, 998), (0o666, 4711)] {
        let expected = repaired(FILE, (mode, owner, owner), root(0o440));
        changes("mode or owner", RSYNC, &host(mode, owner, OURS), &[expected]);
    }
}

#[test]
fn a_rule_of_ours_that_says_something_else_is_replaced() {
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
    let text = "#998 ALL=(ALL) NOPASSWD: ALL\n";
    refused("foreign", RSYNC, &host(0o440, 0, text), "sudoers-foreign");
    refused("foreign, and nothing is wanted", NOTHING, &host(0o440, 0, text), "sudoers-foreign");
    let adopt = Options { adopt: true, ..Options::default() };
    let (found, _) = plan(RSYNC, &host(0o440, 0, text), &adopt).unwrap();
    assert_eq!(found.len(), 1);
    refused("FIFO", RSYNC, &Fake::host().special(FILE, FileKind::Special("a FIFO")), "sudoers-special-file");
    refused("directory", RSYNC, &Fake::host().dir(FILE, 0o750, 0), "sudoers-kind");
    refused("link", RSYNC, &Fake::host().link(FILE, "/etc/sudoers"), "sudoers-kind");
    refused("unreadable", RSYNC, &host(0o440, 0, OURS).unreadable(FILE), "not-permitted");
}

#[test]
fn a_profile_without_rules_takes_ours_away_and_no_other() {
    converged("nothing there", NOTHING, &Fake::host());
    changes("ours", NOTHING, &host(0o440, 0, OURS), &[gone(FILE, OURS, root(0o440))]);
    converged("comments of somebody else", NOTHING, &host(0o440, 0, "# soon\n"));
}

#[test]
fn a_rule_means_what_it_says_or_is_refused() {
    let with = |section: &str| format!("[sudoers]\n{section}\n");
    let other = Fake::host().account("www", 33, "/srv/www");
    let rule = "[[sudoers.rule]]\nrun_as = \"www\"\ncommands = [\"/usr/bin/rsync -a ./ /srv/www/\"]\n";
    let text = "# Managed by runner-prep: edit its profile, not this file.\n\
        gitlab-runner ALL=(www:www) NOPASSWD: /usr/bin/rsync -a ./ /srv/www/\n";
    let notes = changes("as another account", rule, &other, &[file(FILE, None, text, root(0o440))]);
    assert_eq!(codes(&notes).0, ["sudo-arguments-merge"]);
    refused("no such account", rule, &Fake::host(), "run-as-missing");
    refused(
        "another's group",
        rule,
        &Fake::host().account("www", 33, "/srv").group("www", 50, &[]),
        "run-as-group",
    );
    let both = "[[sudoers.rule]]\nrun_as = \"gitlab-runner\"\ncommands = [\"/usr/bin/rsync\"]\n";
    refused("itself", both, &Fake::host(), "run-as-itself");
    refused("missing", &with("commands = [\"/usr/bin/rsyncd\"]"), &Fake::host(), "command-missing");
    refused("no program", &with("commands = [\"/etc/sudoers\"]"), &Fake::host(), "command-kind");
    let open = Fake::host().untrusted("/usr/bin", "/usr/bin has mode 0777");
    refused("others write there", RSYNC, &open, "command-untrusted");
    let shadowed = Fake::host().file("/usr/local/bin/rsync", 0o755, 0, "");
    refused("another is found first", RSYNC, &shadowed, "command-shadowed");
    let aside = Fake::host().file("/opt/bin/x", 0o755, 0, "");
    refused("not found", &with("commands = [\"/opt/bin/x\"]"), &aside, "command-not-in-secure-path");
}

#[test]
fn a_policy_that_would_not_read_the_rule_is_refused() {
    refused("no sudo", RSYNC, &Fake::host().without("/etc/sudoers"), "sudo-missing");
    let lonely = Fake::host().file("/etc/sudoers", 0o440, 0, "root ALL=(ALL:ALL) ALL\n");
    refused("not included", RSYNC, &lonely, "sudoers-not-included");
    refused("no directory", RSYNC, &Fake::host().without("/etc/sudoers.d"), "sudoers-directory");
    let open = Fake::host().untrusted("/etc/sudoers.d", "/etc/sudoers.d has mode 0777");
    refused("open directory", RSYNC, &open, "sudoers-directory");
}
