//! What `apply` and `runner-deploy` refuse, each with the reason.

use super::{ACCOUNT, JOB, PROFILE, TARGET, job, prepared};
use crate::support::{Tree, assert_unchanged, have};

fn tree(deploy: &str) -> Tree {
    Tree::new()
        .account(ACCOUNT, 2001, "/home/gitlab-runner")
        .account("www", 2002, "/srv/www-home")
        .file_mode("usr/local/bin/runner-prep", "#!/bin/sh\n", 0o755)
        .dir("srv/www", 0o755)
        .file("etc/test.toml", format!("summary = \"test\"\n{deploy}\n"))
}

fn profile(tree: &Tree) -> String {
    tree.path("etc/test.toml").display().to_string()
}

#[test]
fn a_profile_that_would_give_root_away_is_refused() {
    for (values, reason) in [
        ("name = \"app\"\ntarget = \"/etc/cron.d\"", "obey what lies below /etc"),
        ("name = \"app\"\ntarget = \"/usr/local/bin/x\"", "obey what lies below /usr"),
        ("name = \"app\"\ntarget = \"/srv\"", "not a directory of one application"),
        ("name = \"app\"\ntarget = \"/\"", "can't be the target"),
        ("name = \"app\"\ntarget = \"srv/www\"", "absolute"),
        ("name = \"app\"\ntarget = \"/srv/www/../../etc\"", "`..`"),
        ("name = \"app\"", "target"),
        ("target = \"/srv/www/app\"", "name"),
        ("name = \"../app\"\ntarget = \"/srv/www/app\"", "can't be the name"),
        ("name = \"--root\"\ntarget = \"/srv/www/app\"", "can't be the name"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nchmod = \"u+s\"", "always taken off"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nchmod = \"a=rwX\"", "lets everybody write"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nchmod = \"0777\"", "numbers"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nexclude = [\"- /\"]", "another kind"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nowner = \"#0\"", "can't be an owner"),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\nowner = \"nobody-there\"", "there is no nobody-there"),
        (
            "name = \"app\"\ntarget = \"/srv/www/app\"\nowner = \"gitlab-runner\"",
            "can write there without help",
        ),
        (
            "name = \"app\"\ntarget = \"/srv/www/app\"\nowner = \"root:gitlab-runner\"\nchmod = \"ug=rwX,o=rX\"",
            "gitlab-runner is in it",
        ),
        (
            "name = \"app\"\ntarget = \"/srv/www/app\"\nowner = \"root:www\"\nchmod = \"ug=rwX,o=rX\"",
            "root writes only where nobody else can",
        ),
        ("name = \"app\"\ntarget = \"/srv/www/app\"\ndeletes = true", "did you mean `delete`"),
        (
            "name = \"app\"\ntarget = \"/srv/www/a\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/www/b\"",
            "two deployments named app",
        ),
        ("name = \"app\"\ntarget = \"/home/gitlab-runner/app\"", "home/gitlab-runner belongs to uid"),
        ("name = \"app\"\ntarget = \"/tmp/app\"", "/tmp has mode 1777"),
        ("name = \"app\"\ntarget = \"/srv/www/file\"", "is a regular file"),
        ("name = \"app\"\ntarget = \"/srv/www/open\"", "closed to others"),
        ("name = \"app\"\ntarget = \"/srv/www/link\"", "obey what lies below /etc"),
    ] {
        let tree = tree(&format!("[[deploy]]\n{values}"))
            .file("srv/www/file", "")
            .dir("srv/www/open", 0o777)
            .link("srv/www/link", "/etc/ssh");
        // Who owns the whole tree owns the home as well, and all accounts in it are in the one group: then there is nobody
        // to protect from.
        if !crate::support::is_root() && (values.contains("/home/") || values.contains("root:www")) {
            continue;
        }
        let before = tree.stamps();
        tree.run(&["apply", "--profile", &profile(&tree)]).exit(2).says(reason);
        assert_unchanged(&before, &tree.stamps());
    }
}

#[test]
fn a_tree_gets_all_files_and_converges() {
    if !crate::support::have(&["visudo"]) {
        return;
    }
    let tree = tree("[[deploy]]\nname = \"app\"\ntarget = \"/srv/www/deep/app\"");
    tree.run(&["apply", "--profile", &profile(&tree)]).ok();
    for (path, mode) in [
        ("etc/runner-prep/deploy/app.toml", 0o644),
        ("usr/local/sbin/runner-deploy", 0o755),
        ("etc/sudoers.d/gitlab-runner-deploy", 0o440),
        ("srv/www/deep", 0o755),
        ("srv/www/deep/app", 0o755),
    ] {
        assert_eq!(tree.metadata(path).0, mode, "{path}");
    }
    let before = tree.stamps();
    tree.run(&["apply", "--profile", &profile(&tree)]).ok();
    assert_unchanged(&before, &tree.stamps());
    tree.remove("usr/local/bin/runner-prep");
    tree.run(&["check", "--profile", &profile(&tree)]).exit(2).says("not installed").says("DESTDIR");
}

#[test]
fn a_directory_above_the_target_is_not_copied_into_it() {
    let Some(host) = prepared(PROFILE) else { return };
    for above in ["/", "/srv", "/srv/www", "/srv/www/app/../"] {
        let run = job(&host, &format!("cd {above} && sudo -n runner-deploy app"));
        assert_ne!(run.status, 0, "{above}: {run}");
        run.says("the directory to deploy");
        host.sh("! ls -A /srv/www/app | grep .").ok();
    }
    job(&host, "touch file; sudo -n runner-deploy app; test -e /srv/www/app/file").ok();
}

#[test]
fn a_host_that_was_loosened_since_is_refused_at_run_time() {
    let Some(host) = prepared(PROFILE) else { return };
    job(&host, "touch file").ok();
    for (loosen, reason, tighten) in [
        (
            "chmod 0666 /etc/runner-prep/deploy/app.toml",
            "can be changed by others",
            "chmod 0644 /etc/runner-prep/deploy/app.toml",
        ),
        ("chown 2001 /etc/runner-prep/deploy", "can be changed by others", "chown 0 /etc/runner-prep/deploy"),
        ("chmod 0777 /srv/www", "can be changed by others", "chmod 0755 /srv/www"),
        ("chown 2001 /srv/www/app", "can be changed by others", "chown 0 /srv/www/app"),
        (
            "mv /srv/www/app /srv/www/x; ln -s /etc /srv/www/app",
            "jobs would be root|not a directory of one",
            "rm /srv/www/app; mv /srv/www/x /srv/www/app",
        ),
        ("mv /srv/www/app /srv/www/x", "is not there", "mv /srv/www/x /srv/www/app"),
        ("chmod 0777 /usr/local/bin", "can be changed by others", "chmod 0755 /usr/local/bin"),
        (
            "sed -i s/gitlab-runner/root/ /etc/runner-prep/deploy/app.toml",
            "not root's",
            "sed -i s/root/gitlab-runner/ /etc/runner-prep/deploy/app.toml; sed -i '/owner/s/.*/owner = \"root:root\"/' /etc/runner-prep/deploy/app.toml",
        ),
        (
            "sed -i 's/name = .*/name = \"other\"/' /etc/runner-prep/deploy/app.toml",
            "no deployment app",
            "sed -i 's/name = .*/name = \"app\"/' /etc/runner-prep/deploy/app.toml",
        ),
    ] {
        host.sh(loosen).ok();
        let run = job(&host, "sudo -n runner-deploy app");
        assert!(reason.split('|').any(|reason| run.stderr.contains(reason)), "{loosen}: {run}");
        run.exit(2);
        host.sh(tighten).ok();
    }
    host.sh(&format!("test ! -e {TARGET}/file; test ! -e /etc/file")).ok();
    job(&host, "sudo -n runner-deploy app").ok();
}

/// Whoever is told that a host is as wanted deploys there, each time; whoever can't deploy is told so before.
#[test]
fn what_check_says_is_what_a_deployment_finds() {
    let open = format!("chmod -R 0777 {JOB}");
    for (more, script, exit) in [
        ("", "true", 0),
        ("", "chmod 0700 /srv/www/app; chgrp www /srv/www/app", 0),
        ("", "chmod 0775 /srv/www/app; chgrp www /srv/www/app", 2),
        ("", "chmod 0775 /srv/www; chgrp www /srv/www", 2),
        ("", "rmdir /srv/www/app; mkdir /opt/r; ln -s /opt/r /srv/www/app", 0),
        ("", "rmdir /srv/www/app; install -d -o www /opt/a; mkdir /opt/a/r; ln -s /opt/a/r /srv/www/app", 2),
        ("", "rmdir /srv/www/app; ln -s /opt/none /srv/www/app", 2),
        ("", "install -m 0777 /usr/bin/rsync /usr/local/bin/rsync", 2),
        ("", "install -o www /usr/bin/rsync /usr/local/sbin/rsync", 2),
        ("", "install /usr/bin/rsync /usr/local/sbin/rsync", 0),
        ("owner = \"www\"", "true", 0),
        ("owner = \"www\"", "chmod 0775 /srv/www/app", 0),
        ("owner = \"www\"", "chown root:root /srv/www/app", 2),
        (
            "owner = \"www\"",
            "rmdir /srv/www/app; install -d -o www /opt/a /opt/a/r; ln -s /opt/a/r /srv/www/app",
            2,
        ),
        (
            "owner = \"www\"",
            "rmdir /srv/www/app; mkdir /opt/a; install -d -o www /opt/a/r; ln -s /opt/a/r /srv/www/app",
            0,
        ),
        // Who has no clause keeps nothing that opens the target.
        ("chmod = \"Du=rwx,Fu=rw\"", &open, 0),
        ("chmod = \"u=rwX,g=rX\"", &open, 0),
        ("chmod = \"u=rwX,o=rX\"\nowner = \"root:www\"", &open, 0),
        ("chmod = \"u=rwX\"\nowner = \"www\"", &open, 0),
        ("chmod = \"ug=rwX,o=rX\"\nowner = \"www\"", &open, 0),
        ("chmod = \"ug=rwX,o=rX\"", &open, 0),
    ] {
        let Some(host) = prepared(&format!("{PROFILE}{more}\n")) else { return };
        job(&host, "echo a > file").ok();
        host.sh(script).ok();
        for _ in 0..2 {
            let check = host.prep(&["check", "--profile", "site"]);
            let run = job(&host, "echo >> file; sudo -n runner-deploy app");
            let is_as_wanted = (check.status, run.status == 0) == (exit, exit == 0);
            assert!(is_as_wanted, "{more} {script}\n{check}\n{run}");
        }
        host.sh(&format!("test -z \"$(find {TARGET}/ -perm /002)\"")).ok();
        let by_group = host.sh(&format!("find {TARGET}/ -perm /020 | grep -c ."));
        assert!(
            exit == 2 || script.contains("0775") || by_group.status != 0 || more.contains("ug="),
            "{more} {by_group}"
        );
    }
}

/// Where the kernel lets nobody put anything, the first to say so is not a job.
#[test]
fn a_target_that_takes_nothing_is_told() {
    if !have(&["chattr"]) {
        return;
    }
    let Some(host) = prepared(PROFILE) else { return };
    job(&host, "echo a > file").ok();
    host.sh(&format!("chattr +i {TARGET}")).ok();
    let check = host.prep(&["check", "--profile", "site"]);
    let run = job(&host, "sudo -n runner-deploy app");
    // Before anything is asserted: the host could not be removed with it.
    host.sh(&format!("chattr -i {TARGET}")).ok();
    check.exit(2).says("nothing can be put into the target").says(&format!("chattr -i {TARGET}"));
    assert_ne!(run.status, 0, "{run}");
    host.prep(&["check", "--profile", "site"]).exit(0);
    job(&host, "sudo -n runner-deploy app").ok();
}
