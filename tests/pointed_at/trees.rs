//! Trees: whatever links one holds, and whoever it belongs to, nothing outside it changes.

use super::{PERSON, by_sudo, laid_out};
use crate::support::{Host, assert_unchanged};

/// All that a profile can want of a tree, and that tools of the machine take a part in.
const PROFILE: &str = "extends = [\"dind\"]\n[account]\ngroups = [\"docker\"]\n";

/// What is done to the tree in which the script runs.
const HOSTILE: &[(&str, &str)] = &[
    ("etc by the kernel's link", "mv etc .etc; ln -s /proc/self/root/etc etc"),
    ("etc by a link of the machine's", "mv etc .etc; ln -s /var/run/../etc etc"),
    ("etc upwards", "mv etc .etc; ln -s ../../../../etc etc"),
    ("homes elsewhere", "mv home .home; ln -s /proc/self/root/opt home"),
    ("homes upwards", "mv home .home; ln -s ../../opt home"),
    ("var elsewhere", "mv var .var; ln -s /proc/self/root/var var"),
    ("our state elsewhere", "mkdir -p var/lib; ln -s /proc/self/root/srv/site var/lib/runner-prep"),
    (
        "all databases",
        "cd etc; for f in passwd shadow group gshadow; do ln -sf /proc/self/root/etc/$f $f; done",
    ),
    ("the groups", "ln -sf /var/run/../etc/group etc/group"),
    ("the passwords", "ln -sf ../../../etc/shadow etc/shadow"),
    ("a lock", "ln -s /proc/self/root/etc/shadow etc/passwd.lock"),
    ("a former database", "ln -s /proc/self/root/etc/hosts etc/passwd-"),
    ("the settings of useradd", "ln -sf /proc/self/root/etc/login.defs etc/login.defs"),
    ("homes by the settings of useradd", "printf 'HOME=/../../opt\\n' >etc/default/useradd"),
    (
        "homes by a link in the settings of useradd",
        "ln -s / r; printf 'HOME=/r/../../opt\\n' >etc/default/useradd",
    ),
    (
        "a home upwards",
        "printf 'gitlab-runner:x:990:990::/../../opt:/bin/bash\\n' >>etc/passwd; printf 'gitlab-runner:x:990:\\n' >>etc/group",
    ),
    (
        "a home by the kernel's link",
        "printf 'gitlab-runner:x:990:990::/proc/self/root/opt:/bin/bash\\n' >>etc/passwd; mkdir -p proc/self; ln -s / proc/self/root",
    ),
    ("rules of sudo", "rm -r etc/sudoers.d; ln -s /proc/self/root/etc/sudoers.d etc/sudoers.d"),
    ("the policy of sudo", "ln -sf /proc/self/root/etc/shadow etc/sudoers"),
    (
        "what sudo includes",
        "printf '@include /etc/more\\n' >>etc/sudoers; ln -s /proc/self/root/etc/shadow etc/more",
    ),
    ("host keys", "rm -r etc/ssh; ln -s /proc/self/root/etc/ssh etc/ssh"),
    ("config.toml", "ln -s /proc/self/root/etc/gitlab-runner etc/gitlab-runner"),
    ("local profiles", "mkdir etc/runner-prep; ln -s /proc/self/root/root etc/runner-prep/profiles"),
];

/// A host with a runner of its own, whose account is in no group, and the skeleton of a tree.
fn with_tree() -> Option<Host> {
    let config =
        "concurrent = 1\n[[runners]]\n  executor = \"docker\"\n  [runners.docker]\n    image = \"a\"\n";
    let host = laid_out()?
        .config_toml(config)
        .file("/root/all.toml", PROFILE)
        .file("/home/alice/all.toml", PROFILE)
        .own("/home/alice/all.toml", 3001, 3001)
        .start();
    host.sh(
        "groupadd --system --force docker; mkdir -p /srv/skeleton; cd /srv/skeleton
         mkdir -p etc/default etc/ssh etc/sudoers.d home root usr/bin var/lib var/mail tmp
         grep -v -e gitlab -e alice /etc/passwd >etc/passwd; grep -v -e gitlab -e alice /etc/group >etc/group
         cut -d: -f1 etc/passwd | sed 's/$/:*:19000:0:99999:7:::/' >etc/shadow; cut -d: -f1 etc/group | sed 's/$/:*::/' >etc/gshadow
         cp /etc/login.defs etc; printf 'SHELL=/bin/sh\\n' >etc/default/useradd; cp /etc/sudoers etc/sudoers
         printf '#!/bin/sh\\n' >usr/bin/rsync; chmod 0755 usr/bin/rsync; cp usr/bin/rsync usr/bin/bash; ln -s usr/bin bin",
    )
    .ok();
    Some(host)
}

/// All that the host has outside the trees.
fn outside(host: &Host) -> Vec<String> {
    let is_inside = |line: &String| {
        let path = line.splitn(6, ' ').last().unwrap_or_default();
        ["srv/tree", "home/alice", "run", "tmp", "var/log", "var/lib/sudo", "var/mail"]
            .iter()
            .any(|top| path.starts_with(top))
            || path == "srv"
    };
    host.listing().into_iter().filter(|line| !is_inside(line)).collect()
}

#[test]
fn nothing_outside_a_tree_of_roots_changes_whatever_links_it_holds() {
    let Some(host) = with_tree() else { return };
    let before = outside(&host);
    for (name, script) in HOSTILE {
        // As root unpacks it.
        host.sh(&format!("rm -rf /srv/tree; cp -a /srv/skeleton /srv/tree; cd /srv/tree; {script}")).ok();
        for words in [
            &["apply", "--profile", "/root/all.toml"][..],
            &["apply", "--profile", "shell", "--only", "account"],
            &["doctor", "--profile", "/root/all.toml"],
            &["undo"],
        ] {
            let run = host.prep(&[words, &["--root", "/srv/tree"]].concat());
            assert!(!run.contains("root:*"), "{name}: a line of the machine's\n{run}");
        }
        assert_unchanged(&before, &outside(&host));
    }
}

#[test]
fn nothing_outside_a_tree_of_a_persons_changes_with_their_rights_or_with_roots() {
    let Some(host) = with_tree() else { return };
    let before = outside(&host);
    for (_, script) in HOSTILE {
        host.sh(&format!(
            "rm -rf /home/alice/tree; cp -a /srv/skeleton /home/alice/tree; cd /home/alice/tree; {script}
             chown -hR alice: /home/alice/tree"
        ))
        .ok();
        host.prep(&["apply", "--profile", "/root/all.toml", "--root", "/home/alice/tree"])
            .exit(2)
            .says("/home/alice belongs to uid 3001");
        by_sudo(&host, PERSON, "apply --profile ./all.toml --root tree");
        host.as_account(
            PERSON,
            "cd; /opt/under-test/runner-prep apply --profile ./all.toml --root tree || true",
        )
        .ok();
        assert_unchanged(&before, &outside(&host));
    }
}

#[test]
fn a_plain_tree_gets_its_account_from_root_from_a_person_and_without_root() {
    let Some(host) = with_tree() else { return };
    host.sh("cp -a /srv/skeleton /srv/tree; cp -a /srv/skeleton /home/alice/rooted; cp -a /srv/skeleton /home/alice/own; chown -hR alice: /home/alice/own")
        .ok();
    let words = "apply --allow-pending --profile shell --root";
    host.prep(&["apply", "--profile", "/root/all.toml", "--allow-pending", "--root", "/srv/tree"]).ok();
    by_sudo(&host, PERSON, &format!("{words} rooted")).ok();
    host.as_account(PERSON, &format!("cd; /opt/under-test/runner-prep {words} own")).ok();
    for tree in ["/srv/tree", "/home/alice/rooted", "/home/alice/own"] {
        let said = host.sh(&format!(
            "cd {tree}/etc; grep -c ^gitlab-runner: passwd shadow group gshadow; ls -A . ../var/lib/runner-prep; stat -c '%a %U' shadow ../home/gitlab-runner; test ! -e passwd.lock"
        ));
        said.ok().says("passwd:1").says("shadow:1").says("group:1").says("gshadow:1").says_not("accounts");
        said.says_not(".runner-prep.");
    }
    host.sh("cd /srv/tree/etc; grep docker:.*:gitlab-runner$ group; passwd=$(grep ^gitlab-runner: passwd); echo \"$passwd\"")
        .ok()
        .says(":GitLab Runner:/home/gitlab-runner:/bin/bash");
    host.prep(&["apply", "--profile", "/root/all.toml", "--allow-pending", "--root", "/srv/tree"]).ok();
}

#[test]
fn the_path_of_a_tree_is_roots_and_the_callers() {
    let Some(host) = with_tree() else { return };
    for (script, path, says) in [
        (
            "su gitlab-runner -s /bin/sh -c 'ln -s / ~/tree'",
            "/home/gitlab-runner/tree",
            "belongs to uid 2001",
        ),
        ("su gitlab-runner -s /bin/sh -c 'ln -s / /tmp/tree'", "/tmp/tree", "/tmp/tree is a link"),
        ("ln -s /srv/skeleton /srv/tree", "/srv/tree", "/srv/tree is a link"),
        (
            "rm /srv/tree; cp -a /srv/skeleton /srv/tree; chown gitlab-runner: /srv/tree",
            "/srv/tree",
            "/srv/tree belongs to uid 2001",
        ),
        ("chown root: /srv/tree; chmod 0777 /srv/tree", "/srv/tree", "/srv/tree has mode 0777"),
        ("true", "/proc/self/root", "is a link"),
        ("true", "/tmp", "/tmp has mode 1777"),
    ] {
        host.sh(script).ok();
        let before = outside(&host);
        host.prep(&["apply", "--profile", "shell", "--root", path]).exit(2).says(says);
        assert_unchanged(&before, &outside(&host));
    }
    // Where a link of root's leads, it says.
    host.sh("rm -r /srv/tree; ln -s skeleton /srv/tree").ok();
    host.prep(&["check", "--profile", "shell", "--root", "/srv/tree"]).exit(2).says("--root /srv/skeleton");
    // No other notation of the machine itself is a tree.
    for path in ["/.", "//", "/srv/.."] {
        host.prep(&["plan", "--profile", "shell", "--only", "account", "--root", path])
            .ok()
            .says_not("useradd");
    }
}

/// What sudo's policy of a tree includes: how, what the tree and the machine have there, and what is said of it. Nothing
/// is said where the tree is good.
const INCLUDED: &[(&str, &str, &str)] = &[
    (
        "good, at two levels",
        "main '@include /srv/rel/x'; echo '@include /srv/rel/y' >srv/rel/x; good srv/rel/y",
        "",
    ),
    (
        "broken, at two levels",
        "main '@include /srv/rel/x'; echo '@include /srv/rel/y' >srv/rel/x; bad srv/rel/y",
        "srv/rel/y:1",
    ),
    (
        "broken, at three levels",
        "main '#include \"/srv/rel/x\"'; echo '@include y' >srv/rel/x; echo '#includedir /srv/more' >srv/rel/y; bad srv/more/a",
        "srv/more/a:1",
    ),
    ("good, by a drop-in", "main ''; echo '@include /srv/rel/y' >etc/sudoers.d/aa; good srv/rel/y", ""),
    (
        "broken, by a drop-in",
        "main ''; echo '@include /srv/rel/y' >etc/sudoers.d/aa; bad srv/rel/y",
        "srv/rel/y:1",
    ),
    ("good, by a link", "main '@include /srv/rel/x'; ln -s /srv/rel/y srv/rel/x; good srv/rel/y", ""),
    (
        "broken, by a link",
        "main '@include /srv/rel/x'; ln -s /srv/rel/y srv/rel/x; bad srv/rel/y",
        "srv/rel/x:1",
    ),
    ("a directory by a link", "main '@includedir /srv/d'; ln -s more srv/d; bad srv/more/a", "srv/d/a:1"),
    ("upwards", "main '@include ../srv/rel/x'; bad srv/rel/x", "srv/rel/x:1"),
    (
        "by the host's name",
        "main '@include /srv/rel/%h'; echo box.example.com >etc/hostname; bad srv/rel/box",
        "srv/rel/box:1",
    ),
    (
        "good by the host's name",
        "main '@include /srv/rel/%h'; echo box.example.com >etc/hostname; good srv/rel/box",
        "",
    ),
    ("with a space", "main '@include \"/srv/rel/a b\"'; bad 'srv/rel/a b'", "srv/rel/a b:1"),
    ("missing", "main '@include /srv/rel/y'", "srv/rel/y"),
    ("a directory that is missing", "main '@includedir /srv/none'", ""),
    (
        "a link to the machine's passwords",
        "main '@include /srv/rel/x'; rm etc/shadow; ln -s /etc/shadow srv/rel/x",
        "srv/rel/x",
    ),
    (
        "the kernel's link",
        "main '@include /srv/rel/x'; ln -s /proc/self/root/etc/shadow srv/rel/x",
        "srv/rel/x",
    ),
    (
        "the kernel's link on the way",
        "main '@include /srv/w/etc/shadow'; ln -s /proc/self/root srv/w",
        "srv/w/etc/shadow",
    ),
    (
        "a FIFO",
        "main '@include /srv/rel/x'; mkfifo srv/rel/x",
        "/etc/sudoers:3: it includes /srv/rel/x, which is a FIFO",
    ),
    (
        "a FIFO by a drop-in",
        "main ''; printf '# x\\n@include /srv/rel/x\\n' >etc/sudoers.d/aa; mkfifo srv/rel/x",
        "/etc/sudoers.d/aa:2: it includes /srv/rel/x, which is a FIFO",
    ),
    (
        "a device by a link",
        "main '@include /srv/rel/x'; mknod srv/rel/y c 1 5; ln -s y srv/rel/x",
        "it includes /srv/rel/x, which is a device",
    ),
    (
        "a circle",
        "main '@include /srv/rel/x'; echo '@include y' >srv/rel/x; echo '@include x' >srv/rel/y",
        "which leads back to it",
    ),
    (
        "an ever longer circle",
        "main '@include /srv/rel/x'; echo '@include ../rel/x' >srv/rel/x",
        "leads back",
    ),
    (
        "circles without end",
        "main '@include /srv/rel/x'; printf '@include ../rel/x\\n@include ../../srv/rel/x\\n' >srv/rel/x",
        "leads back to it",
    ),
];

#[test]
fn what_the_policy_of_a_tree_includes_is_the_trees() {
    let Some(host) = with_tree() else { return };
    for (name, script, says) in INCLUDED {
        host.sh(&format!(
            "rm -rf /srv/tree /srv/rel /srv/more; cp -a /srv/skeleton /srv/tree; cd /srv/tree; mkdir -p srv/rel srv/more
             main() {{ printf 'root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n%s\n' \"$1\" >etc/sudoers; }}
             good() {{ echo '# good' >\"$1\"; mkdir -p /srv/rel /srv/more; echo 'not ( good' >\"/$1\"; }}
             bad() {{ echo 'not ( good' >\"$1\"; mkdir -p /srv/rel /srv/more; echo '# good' >\"/$1\"; }}
             {script}"
        ))
        .ok();
        let began = std::time::Instant::now();
        let run =
            host.prep(&["apply", "--profile", "shell", "--only", "account,sudoers", "--root", "/srv/tree"]);
        assert!(began.elapsed().as_secs() < 15, "{name}: it waited\n{run}");
        assert!(!run.contains("root:*"), "{name}: a line of the machine's\n{run}");
        assert_eq!(run.status, if says.is_empty() { 0 } else { 2 }, "{name}: {run}");
        assert!(run.contains(says), "{name}: {run}");
        assert_eq!(host.path("/srv/tree/etc/sudoers.d/gitlab-runner").exists(), says.is_empty(), "{name}");
        host.sh("rm -f /srv/rel/* /srv/more/*").ok();
    }
}
