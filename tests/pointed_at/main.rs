//! What root is pointed at: profiles, files and trees that somebody else had a hand in.
//!
//! The attacks run on throwaway hosts with the real sudo and the real useradd. Nothing that the account laid out may
//! decide what root does, nothing outside a tree may change, and no secret of root's may be read by a message.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test looks at a host's files from outside, and has to stop where it cannot be set up"
)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod mounts;
mod packages;
mod told;
mod trees;

use support::{Host, HostBuilder, Run, have};

/// The account that jobs run as, and the enemy.
const ACCOUNT: &str = "gitlab-runner";

/// A person who may do everything by sudo.
const PERSON: &str = "alice";

/// A host with the account, a person, a directory of deployments that holds what the account wanted, and a place of
/// root's.
fn laid_out() -> Option<HostBuilder> {
    if !have(&["sudo", "visudo", "su", "useradd"]) {
        return None;
    }
    let host = Host::or_skip()?
        .account(ACCOUNT, 2001, "/home/gitlab-runner")
        .account(PERSON, 3001, "/home/alice")
        .file_mode("/etc/sudoers.d/alice", "alice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
        .dir("/srv/www/app", 0o755)
        .dir("/srv/site", 0o755);
    Some(host)
}

/// The program called by sudo from an account, in a directory of its own.
#[track_caller]
fn by_sudo(host: &Host, account: &str, words: &str) -> Run {
    host.as_account(account, &format!("cd; sudo -n /opt/under-test/runner-prep {words}"))
}

/// Rules of sudo that the account has got.
fn rules(host: &Host) -> bool {
    host.path("/etc/sudoers.d/gitlab-runner").exists()
}
