//! What a job of good will gets.

use super::{
    ACCOUNT, JOB, PROFILE, TARGET, job, laid_out, nobody_left, nothing_gained, prepared, start,
    with_every_sudo,
};
use crate::support::{Host, assert_unchanged};

const CHECKOUT: &str = "mkdir -p .git dir/sub; echo secret > .git/config; echo one > file; echo two > dir/sub/file
    printf '#!/bin/sh\\n' > run.sh; chmod 0775 run.sh; chmod 0600 file; chmod 0700 dir; ln -s dir/sub/file link";

fn tree(host: &Host) -> String {
    let script = format!("cd {TARGET}; find . -mindepth 1 -printf '%M %u:%g %P %l\\n' | LC_ALL=C sort -k 3");
    host.sh(&script).ok().stdout.clone()
}

#[test]
fn a_checkout_arrives_with_roots_owner_and_modes() {
    with_every_sudo(|host| {
        let run = job(host, &format!("{CHECKOUT}\nsudo -n runner-deploy app"));
        run.ok().says("dir/sub/file").says_not("goes without");
        assert_eq!(
            tree(host),
            "drwxr-xr-x root:root dir \ndrwxr-xr-x root:root dir/sub \n-rw-r--r-- root:root dir/sub/file \n\
             -rw-r--r-- root:root file \nlrwxrwxrwx root:root link dir/sub/file\n-rwxr-xr-x root:root run.sh \n"
        );
        nothing_gained(host);
        // By the whole path, and with nothing to do.
        job(host, "sudo -n /usr/local/sbin/runner-deploy app").ok().says_not("dir/sub/file");
        // Changed in the checkout, and changed by hand in the target.
        host.sh(&format!("chmod 0666 {TARGET}/dir/sub/file; chown 2001 {TARGET}/file")).ok();
        job(host, "rm file; echo three > dir/sub/file; sudo -n runner-deploy app").ok();
        assert_eq!(host.text("/srv/www/app/dir/sub/file"), "three\n");
        job(host, "echo four > file; touch -d '1 hour' file; sudo -n runner-deploy app").ok();
        nothing_gained(host);
    });
}

#[test]
fn applying_twice_changes_nothing() {
    let Some(host) = prepared(PROFILE) else { return };
    let before = host.stamps();
    host.prep(&["apply", "--profile", "site"]).ok().says("as the profile wants it");
    host.prep(&["check", "--profile", "site"]).ok();
    assert_unchanged(&before, &host.stamps());
    assert_eq!(
        host.text("/etc/sudoers.d/gitlab-runner-deploy").lines().last(),
        Some("gitlab-runner ALL=(root:root) NOPASSWD: /usr/local/sbin/runner-deploy app")
    );
    assert!(host.text("/usr/local/sbin/runner-deploy").starts_with("#!/usr/local/bin/runner-prep deploy\n"));
    host.sh("stat -c '%a %U:%G' /srv/www /srv/www/app").ok().says("755 root:root\n755 root:root");
}

#[test]
fn what_is_excluded_and_deleted_is_the_profiles_word() {
    let profile = format!(
        "{PROFILE}exclude = [\".git\", \"*.tmp\", \"/keep\"]\ndelete = true\nchmod = \"u=rwX,g=rX,o=\"\n"
    );
    let Some(host) = prepared(&profile) else { return };
    host.sh(&format!("mkdir {TARGET}/keep; touch {TARGET}/keep/mine {TARGET}/old")).ok();
    job(&host, "touch a b.tmp; mkdir .git; sudo -n runner-deploy app").ok().says("deleting old");
    let found =
        host.sh(&format!("cd {TARGET}; find . -printf '%P %m\\n' | LC_ALL=C sort")).ok().stdout.clone();
    assert_eq!(found, " 750\na 640\nkeep 755\nkeep/mine 644\n");
}

#[test]
fn another_owner_receives_with_its_own_rights() {
    let profile = format!("{PROFILE}owner = \"www:www\"\n");
    let Some(host) = prepared(&profile) else { return };
    host.sh("stat -c '%a %U:%G' /srv/www /srv/www/app").ok().says("755 root:root\n755 www:www");
    job(&host, "echo hello > file; mkdir d; sudo -n runner-deploy app").ok().says_not("goes without");
    host.sh("stat -c '%a %U:%G' /srv/www/app/file /srv/www/app/d").ok().says("644 www:www\n755 www:www");
    // Root's files in there are not the owner's to replace.
    host.sh("install -d -m 0755 /srv/www/app/roots; touch /srv/www/app/roots/file").ok();
    assert_eq!(job(&host, "mkdir roots; echo x > roots/file; sudo -n runner-deploy app").status, 23);
    host.sh("test ! -s /srv/www/app/roots/file").ok();
    host.prep(&["check", "--profile", "site"]).ok();
}

#[test]
fn several_deployments_have_a_rule_each() {
    let profile = format!("{PROFILE}[[deploy]]\nname = \"docs\"\ntarget = \"/srv/www/docs\"\n");
    let Some(host) = prepared(&profile) else { return };
    job(&host, "touch file; sudo -n runner-deploy docs").ok();
    host.sh("test -e /srv/www/docs/file; test ! -e /srv/www/app/file").ok();
    // A deployment that the profile no longer has can no longer be called.
    std::fs::write(host.path("/etc/runner-prep/profiles/site.toml"), PROFILE).unwrap();
    host.prep(&["apply", "--profile", "site"]).ok();
    assert_ne!(job(&host, "sudo -n runner-deploy docs").status, 0);
    job(&host, "sudo -n runner-deploy app").ok();
}

#[test]
fn the_account_of_the_description_reads_whoever_calls() {
    let Some(host) = prepared(PROFILE) else { return };
    job(&host, "echo mine > mine").ok();
    host.sh(&format!("echo root: > {JOB}/roots; chmod 0600 {JOB}/roots")).ok();
    // rsync says by 23 that something could not be read.
    let run = host.sh(&format!("cd {JOB}; SUDO_USER=root SUDO_UID=0 SUDO_GID=0 runner-deploy app"));
    run.exit(23).says("Permission denied");
    host.sh(&format!("test -e {TARGET}/mine; test ! -e {TARGET}/roots")).ok();
    // Without root's rights there is nothing to be had.
    job(&host, "/usr/local/sbin/runner-deploy app").exit(2).says("works with root's rights");
}

#[test]
fn an_end_in_the_middle_leaves_whole_files_and_no_process() {
    with_every_sudo(|host| {
        let script = "head -c 300000000 /dev/zero > large; echo old > small; sudo -n runner-deploy app >/dev/null & p=$!
            for i in $(seq 200); do ls -A /srv/www/app | grep -q . && break; sleep 0.02; done
            kill $p; wait $p && exit 1; exit 0";
        job(host, script).ok().says("code 20");
        nobody_left(host);
        let left = host.sh(&format!("ls -A {TARGET}")).ok().stdout.clone();
        assert!(!left.contains(".large."), "{left}");
        job(host, "test ! -e /srv/www/app/large || cmp large /srv/www/app/large; sudo -n runner-deploy app")
            .ok();
        job(host, "cmp large /srv/www/app/large; cmp small /srv/www/app/small").ok();
    });
}

#[test]
fn the_hardened_profile_takes_the_wide_rule_away() {
    let Some(host) = laid_out(PROFILE) else { return };
    let host = start(host);
    host.prep(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
    job(&host, "sudo -n rsync --version").ok();
    host.prep(&["apply", "--profile", "shell-hardened", "--skip", "known_hosts"]).ok();
    assert_ne!(job(&host, "sudo -n rsync --version").status, 0);
    job(&host, "touch file; sudo -n runner-deploy app").ok();
    let before = host.stamps();
    host.prep(&["apply", "--profile", "shell-hardened", "--skip", "known_hosts"]).ok();
    assert_unchanged(&before, &host.stamps());
    assert_eq!(host.as_account(ACCOUNT, "id -un").ok().stdout, "gitlab-runner\n");
}
