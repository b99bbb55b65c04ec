//! The rule that profile `shell` gives, and what README says of it: every job becomes root with `sudo rsync`, and by
//! no other command.

use super::{ACCOUNT, PROFILE, described};
use crate::support::{Host, SUDOS, have, with_each};

/// A fresh host with the rule and the job's checkout for each version of sudo.
fn with_rule(test: impl Fn(&str, &Host)) {
    if !have(&["rsync"]) {
        return;
    }
    with_each(
        SUDOS,
        |host| described(host, PROFILE),
        |sudo, host| {
            host.prep(&["apply", "--profile", "shell", "--only", "sudoers"])
                .ok()
                .says("makes every job root");
            host.as_account(ACCOUNT, "mkdir p; echo hello > p/file").ok();
            test(sudo.name, host);
        },
    );
}

/// What a job runs to be root, each in its own way, and what it prints then.
const WAYS: [(&str, &str); 6] = [
    ("a remote shell", "sudo -n rsync -e 'sh -c \"id -u >&2; exit 1\"' x: y 2>&1 | head -n 1"),
    (
        "a program of the other side",
        "printf '#!/bin/sh\\nshift\\nexec sh -c \"$*\"\\n' > rsh; chmod 755 rsh
         sudo -n rsync -e ./rsh --rsync-path='id -u >&2; false' x: y 2>&1 | head -n 1",
    ),
    (
        "the setuid shell of a checkout",
        "cp /bin/bash p/suid; chmod 4755 p/suid
         sudo -n rsync -avu --exclude \".git\" --chown=root:root p/ /srv/app >/dev/null
         /srv/app/suid -p -c 'id -u'",
    ),
    (
        "a rule of its own",
        "echo 'gitlab-runner ALL=(ALL) NOPASSWD: ALL' > rule; chmod 0440 rule
         sudo -n rsync -p --chown=root:root rule /etc/sudoers.d/zz-own; sudo -n id -u",
    ),
    (
        "what root alone may read",
        "sudo -n rsync --chown=gitlab-runner /etc/shadow got; grep -q '^root:' got && echo 0",
    ),
    (
        "an account of its own",
        "sudo -n rsync /etc/passwd passwd; sudo -n rsync --chown=gitlab-runner passwd mine
         sed 's/^gitlab-runner:x:[0-9]*/gitlab-runner:x:0/' mine > new; chmod 644 new
         sudo -n rsync --chown=root:root new /etc/passwd; sed -n 's/^gitlab-runner:x:\\([0-9]*\\):.*/\\1/p' /etc/passwd",
    ),
];

#[test]
fn a_job_becomes_root_with_sudo_rsync() {
    with_rule(|sudo, host| {
        // Before it did so, nothing else is allowed to it.
        for call in ["id", "sh", "-u root id", "cp p/file /etc/file", "-e /etc/passwd", "-i", "rsync-ssl"] {
            assert_ne!(host.as_account(ACCOUNT, &format!("sudo -n {call}")).status, 0, "{sudo}: {call}");
        }
        assert_ne!(host.as_account(ACCOUNT, "cp p/file /etc/file || cat /etc/shadow").status, 0, "{sudo}");
        for (way, script) in WAYS {
            let run = host.as_account(ACCOUNT, script);
            assert_eq!(run.stdout, "0\n", "{sudo}: {way}: {run}");
        }
    });
}

#[test]
fn a_rule_with_all_its_arguments_fixed_is_root_by_a_setuid_shell() {
    with_rule(|sudo, host| {
        let line = "/usr/bin/rsync -avu --exclude .git --chown=root:root /home/gitlab-runner/p/ /srv/app";
        let rule = line.replace('=', "\\=").replace(':', "\\:");
        host.sh(&format!(
            "printf '%s\\n' 'gitlab-runner ALL=(root) NOPASSWD: {rule}' > /etc/sudoers.d/gitlab-runner"
        ))
        .ok();
        assert_ne!(host.as_account(ACCOUNT, "sudo -n rsync --version").status, 0, "{sudo}");
        let script = format!(
            "cp /bin/bash p/suid; chmod 4755 p/suid; sudo -n {line} >/dev/null; /srv/app/suid -p -c 'id -u'"
        );
        let run = host.as_account(ACCOUNT, &script);
        assert_eq!(run.stdout, "0\n", "{sudo}: {run}");
    });
}
