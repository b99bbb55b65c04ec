//! `[[deploy]]` and `runner-deploy`: what jobs may deploy arrives, and no attack gains anything.
//!
//! The attacks run on throwaway hosts with the real rsync and with the machine's sudo and sudo-rs
//! (`tests/sudos.sh`), with `RUNNER_PREP_LONG=1` with every version of them.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test looks at a host's files from outside, and has to stop where it cannot be set up"
)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod hijack;
mod jobs;
mod literal;
mod refusals;
mod still;

use support::{Host, HostBuilder, Run, SUDOS, Sudo, have, with_each};

const ACCOUNT: &str = "gitlab-runner";
const TARGET: &str = "/srv/www/app";
const JOB: &str = "/home/gitlab-runner/builds/x/0/group/project";
const PROFILE: &str = "\
summary = \"test\"
[[deploy]]
name = \"app\"
target = \"/srv/www/app\"
";

/// A host with the accounts and the profile, not yet started.
fn laid_out(profile: &str) -> Option<HostBuilder> {
    let host = Host::or_skip()?;
    have(&["sudo", "visudo", "rsync", "su"]).then(|| described(host, profile))
}

fn described(host: HostBuilder, profile: &str) -> HostBuilder {
    let sudoers = support::SUDOERS.replace("Defaults\tenv_reset", KEEP_MUCH);
    host.account(ACCOUNT, 2001, "/home/gitlab-runner")
        .account("www", 2002, "/srv/www-home")
        .file_mode("/etc/sudoers", sudoers, 0o440)
        .file("/etc/runner-prep/profiles/site.toml", profile)
}

/// The worst that an administrator may have done to the environment.
const KEEP_MUCH: &str = "Defaults\tenv_reset\n\
    Defaults\tenv_keep += \"HOME RSYNC_RSH RSYNC_PROXY RSYNC_PARTIAL_DIR RSYNC_PROTECT_ARGS RSYNC_OLD_ARGS IFS LC_ALL\"";

/// Makes it run, with the program installed and the profile applied.
fn start(host: HostBuilder) -> Host {
    let host = host.start();
    make_ready(&host);
    host
}

fn make_ready(host: &Host) {
    host.sh("install -m 0755 /opt/under-test/runner-prep /usr/local/bin/runner-prep").ok();
    host.as_account(ACCOUNT, &format!("mkdir -p {JOB}")).ok();
    host.prep(&["apply", "--profile", "site"]).ok();
}

fn prepared(profile: &str) -> Option<Host> {
    Some(start(laid_out(profile)?))
}

/// The same test for sudo and sudo-rs.
fn with_every_sudo(test: impl Fn(&Host)) {
    with_every_sudo_on(PROFILE, test);
}

fn with_every_sudo_on(profile: &str, test: impl Fn(&Host)) {
    if !have(&["rsync"]) {
        return;
    }
    let newest_rust = SUDOS.iter().rfind(|sudo| sudo.is_rust);
    let few: Vec<&'static Sudo> = SUDOS.first().into_iter().chain(newest_rust).collect();
    let sudos = if support::long() { SUDOS.iter().collect() } else { few };
    with_each(
        sudos,
        |host| described(host, profile),
        |_, host| {
            make_ready(host);
            test(host);
        },
    );
}

/// Runs a job's script in its checkout.
#[track_caller]
fn job(host: &Host, script: &str) -> Run {
    host.as_account(ACCOUNT, &format!("cd {JOB}\n{script}"))
}

/// Everything that a job must not be able to change.
fn outside(host: &Host) -> Vec<String> {
    let mine = |line: &String| {
        let path = line.splitn(6, ' ').last().unwrap_or_default();
        !["srv/www/app", "home/", "var/log", "run", "tmp", "opt/", "usr/local/sbin/rsync"]
            .iter()
            .any(|own| path.starts_with(own))
    };
    host.listing().into_iter().filter(mine).collect()
}

/// Demands that nothing in the target is a way to root or out of it, and that nothing of root's leaked into it.
#[track_caller]
fn nothing_gained(host: &Host) {
    let bad = host.sh(&format!(
        "cd {TARGET}
         find . '(' -perm /7000 -o -perm /0022 ! -type l -o ! -user root -o ! -group root ')' -printf 'bad: %M %u:%g %p\\n'
         find . ! -type f ! -type d ! -type l -printf 'special: %M %p\\n'
         find . -type l '(' -lname '/*' -o -lname '*..*' ')' -printf 'link: %p %l\\n'
         grep -rl -e '^root:' -e '^gitlab-runner ALL' . || true"
    ));
    assert_eq!(bad.ok().stdout, "", "{bad}");
}

/// Demands that all processes of deployments end. The host's first process collects no dead ones.
#[track_caller]
fn nobody_left(host: &Host) {
    host.sh("alive() { ps -e -o stat=,comm= | grep -v '^Z' | grep -E 'rsync|runner-prep'; }
        for i in $(seq 100); do alive >/dev/null || exit 0; sleep 0.05; done; alive; exit 1")
        .ok();
}
