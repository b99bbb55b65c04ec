//! `DESTDIR=TREE install.sh`: what root installs into a tree stays in it.

use super::laid_out;
use crate::support::{Host, assert_unchanged, source};

/// What somebody made of the tree, and what the script says of it.
const HOSTILE: &[(&str, &str)] = &[
    ("ln -s /etc etc", "/srv/tree/etc is a link"),
    ("ln -s /proc/self/root/etc etc", "/srv/tree/etc is a link"),
    ("mkdir etc; ln -s /etc/systemd etc/systemd", "/srv/tree/etc/systemd is a link"),
    ("mkdir etc; ln -s /srv/site etc/runner-prep", "/srv/tree/etc/runner-prep is a link"),
    ("ln -s ../../usr usr", "/srv/tree/usr is a link"),
    ("mkdir -p usr/local; ln -s /etc/cron.daily usr/local/bin", "/srv/tree/usr/local/bin is a link"),
    (
        "mkdir -p usr/local/share/man; ln -s /etc usr/local/share/man/man1",
        "usr/local/share/man/man1 is a link",
    ),
    ("mkdir -p usr/local/bin; chown gitlab-runner: usr/local", "/srv/tree/usr/local belongs to uid 2001"),
    ("mkdir -p usr/local/bin; chmod 0777 usr", "everybody can write in /srv/tree/usr"),
    ("chown gitlab-runner: .", "/srv/tree belongs to uid 2001"),
    ("cd ..; rmdir tree; ln -s / tree", "/srv/tree is a link"),
];

fn ready() -> Option<Host> {
    let mut host = laid_out()?;
    for name in [
        "install.sh",
        ".package/systemd/runner-prep-check@.service",
        ".package/systemd/runner-prep-check@.timer",
    ] {
        let text = std::fs::read(source().join(name)).unwrap();
        host = host.file_mode(&format!("/srv/release/{name}"), text, 0o755);
    }
    let host = host.start();
    host.sh("cp /opt/under-test/runner-prep /srv/release/runner-prep; mkdir -p /etc/cron.daily /etc/systemd/system").ok();
    Some(host)
}

#[test]
fn nothing_is_installed_outside_a_tree() {
    let Some(host) = ready() else { return };
    for (script, says) in HOSTILE {
        host.sh(&format!("rm -rf /srv/tree; mkdir /srv/tree; cd /srv/tree; {script}")).ok();
        let before = host.listing();
        for words in ["--no-packages --timer", "--uninstall"] {
            let run = host.sh(&format!("DESTDIR=/srv/tree /srv/release/install.sh {words}; true"));
            assert!(words == "--uninstall" || run.contains(says), "{script}: nothing says `{says}`\n{run}");
            let outside = |lines: Vec<String>| -> Vec<String> {
                lines
                    .into_iter()
                    .filter(|line| !line.contains(" srv/tree") && !line.ends_with(" srv"))
                    .collect()
            };
            assert_unchanged(&outside(before.clone()), &outside(host.listing()));
        }
    }
}

#[test]
fn a_tree_of_ones_own_is_installed_into() {
    let Some(host) = ready() else { return };
    host.sh("mkdir /srv/tree; cd /srv; DESTDIR=tree/ release/install.sh --no-packages --timer; test -x tree/usr/local/bin/runner-prep; DESTDIR=/srv/tree release/install.sh --uninstall; test ! -e tree/usr/local/bin/runner-prep")
        .ok();
    let run = host.as_account(
        super::PERSON,
        "mkdir ~/tree; DESTDIR=$HOME/tree /srv/release/install.sh --no-packages; test -x ~/tree/usr/local/bin/runner-prep",
    );
    run.ok();
    let run = host.sh("DESTDIR=/home/alice/tree /srv/release/install.sh --no-packages");
    run.exit(2).says("belongs to uid 3001");
}
