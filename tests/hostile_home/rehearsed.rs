//! What is gone through with the account's rights so that nothing stays.

use super::ACCOUNT;
use crate::support::{Host, have};

/// The directory above a home may be the account's as well. What lies at its path is looked at once: it is exchanged for a
/// link to a directory of root's, which then would be the account's to write in, where programs of root's look.
#[test]
fn a_home_that_is_exchanged_meanwhile_is_no_way_to_root() {
    let Some(host) = Host::or_skip().filter(|_| have(&["git", "ssh", "strace", "su"])) else { return };
    let host = host
        .account("gitlab-runner", ACCOUNT, "/srv/ci/home")
        .own("/srv/ci", ACCOUNT, ACCOUNT)
        .file("/srv/ci/home/.gitconfig", "[core]\n\tsshCommand = /srv/ci/talk\n")
        .file_mode(
            "/srv/ci/talk",
            "#!/bin/sh\ncd /etc/pam.d && rm -f su\n\
             printf 'auth sufficient pam_permit.so\\naccount sufficient pam_permit.so\\nsession optional pam_permit.so\\n' >su\n\
             su root -c 'mount -o remount,bind,rw /run; touch /run/was-root' </dev/null\n",
            0o755,
        )
        .start();
    // As soon as a child prepares the rehearsal, and until it is a program.
    let exchange =
        "cd /srv/ci; child() { [ $(cat /proc/[0-9]*/comm 2>/dev/null | grep -cx runner-prep) -gt 1 ]; }
        until child && sleep 0.2 && child; do sleep 0.02; done
        mv home away; ln -s /etc/pam.d home
        while child; do sleep 0.02; done
        rm home; mv away home; touch done";
    host.sh(&format!("su -s /bin/sh gitlab-runner -c '{exchange}' >/dev/null 2>&1 &")).ok();
    let slowed = "strace -f -o /dev/null -e trace=unshare -e inject=unshare:delay_exit=500000";
    host.sh(&format!("{slowed} /opt/under-test/runner-prep plan --profile shell --only git || true"));
    host.sh("test -e /srv/ci/done").ok();
    host.sh("test ! -e /run/was-root").ok();
}
