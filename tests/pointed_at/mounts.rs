//! Things of root's that are mounted in the account's home.

use super::{ACCOUNT, laid_out};

/// What is mounted where, and the path that is named. `made` holds a key of root's.
const MOUNTED: &[(&str, &str, &str)] = &[
    (
        "a file system of its own",
        "mkdir -m 700 $S; mount -t tmpfs -o mode=0755 made $S; cp /srv/made/id_ed25519 $S",
        ".ssh",
    ),
    ("an empty one", "mkdir -m 700 $S; mount -t tmpfs -o mode=0755 made $S", ".ssh"),
    ("a directory of root's", "mkdir -m 700 $S; mount --bind /srv/made $S", ".ssh"),
    (
        "the key alone",
        "mkdir -m 700 $S; : >$S/id_ed25519; mount --bind /srv/made/id_ed25519 $S/id_ed25519",
        ".ssh/id_ed25519",
    ),
];

#[test]
fn what_is_mounted_in_the_home_keeps_its_owner_and_mode() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    host.sh("mkdir -m 755 /srv/made; ssh-keygen -q -t ed25519 -N '' -f /srv/made/id_ed25519").ok();
    let home = format!("/home/{ACCOUNT}");
    for (name, script, named) in MOUNTED {
        host.sh(&format!("S={home}/.ssh; {script}; chown {ACCOUNT}: {home}; chown -h {ACCOUNT}: $S || true"))
            .ok();
        host.sh(&format!("S={home}/.ssh; mountpoint -q $S && chown root: $S; true")).ok();
        let path = format!("{home}/{named}");
        let look = || {
            host.sh(&format!("stat -c '%u %g %a' {path} /srv/made /srv/made/id_ed25519")).ok().stdout.clone()
        };
        let before = look();
        let words = ["--profile", "shell", "--only", "account,ssh_key", "--allow-pending", "--adopt"];
        for command in ["plan", "apply"] {
            let run = host.prep(&[&[command][..], &words].concat());
            assert_eq!(run.status, 2, "{name}: {run}");
            assert!(run.contains(&format!("{path} is a mount point")), "{name}: {run}");
            assert!(run.contains(&format!("umount {path}")), "{name}: {run}");
        }
        assert_eq!(before, look(), "{name}");
        // The repair works.
        host.sh(&format!("umount {path}; rm -f {home}/.ssh/id_ed25519")).ok();
        host.prep(&[&["apply"][..], &words].concat()).ok();
        host.sh(&format!("rm -r {home}/.ssh")).ok();
    }
    // What is mounted as the account's own is as good as any other directory.
    host.sh(&format!("mkdir {home}/.ssh; mount -t tmpfs -o mode=0700,uid=2001,gid=2001 made {home}/.ssh"))
        .ok();
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key", "--allow-pending"]).ok();
}
