//! What `apply` would refuse, `plan` refuses in the same words, before an account or a file is made.

#![allow(clippy::disallowed_methods, reason = "a test prepares the file system itself")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has to stop")]

mod support;

use support::repairs::commands;
use support::{Host, Run, have};

/// What is done to a host without the account, what takes it back, and what both commands say.
const STATES: &[(&str, &str, &str)] = &[
    ("chattr +i /etc/shadow", "chattr -i /etc/shadow", "/etc/shadow is immutable"),
    ("chattr +i /etc/group", "chattr -i /etc/group", "/etc/group is immutable"),
    ("chattr +a /etc/gshadow", "chattr -a /etc/gshadow", "/etc/gshadow is append-only"),
    (
        "cp /etc/passwd /etc/passwd-; chattr +i /etc/passwd-",
        "chattr -i /etc/passwd-",
        "/etc/passwd- is immutable",
    ),
    (
        "touch /etc/.pwd.lock; chattr +i /etc/.pwd.lock",
        "chattr -i /etc/.pwd.lock",
        "/etc/.pwd.lock is immutable",
    ),
    ("echo x > /etc/passwd.lock", "rm /etc/passwd.lock", "/etc/passwd.lock"),
    ("printf 1 > /etc/shadow.lock", "rm /etc/shadow.lock", "/etc/shadow.lock"),
    (": > /etc/group.lock", "rm /etc/group.lock", "/etc/group.lock"),
    ("mkdir /etc/gshadow.lock", "rmdir /etc/gshadow.lock", "/etc/gshadow.lock"),
    ("ln -s nowhere /etc/passwd.lock", "rm /etc/passwd.lock", "/etc/passwd.lock"),
    (
        "cp /etc/passwd /srv; mount --bind /srv/passwd /etc/passwd",
        "umount /etc/passwd",
        "/etc/passwd is a mount point",
    ),
    ("mv /etc/gshadow /srv; mkdir /etc/gshadow", "rmdir /etc/gshadow; mv /srv/gshadow /etc", "/etc/gshadow"),
    ("rm -f /etc/passwd-; mkdir /etc/passwd-", "rmdir /etc/passwd-", "/etc/passwd- is not a regular file"),
    (
        "mkdir -m 0700 -p /var/lib/runner-prep/journal; chattr +i /var/lib/runner-prep/journal",
        "chattr -i /var/lib/runner-prep/journal",
        "/var/lib/runner-prep/journal is immutable",
    ),
    (
        "mkdir -m 0700 -p /var/lib/runner-prep; touch /var/lib/runner-prep/lock; chattr +i /var/lib/runner-prep/lock",
        "chattr -i /var/lib/runner-prep/lock",
        "/var/lib/runner-prep/lock is immutable",
    ),
    ("chmod 0777 /etc", "chmod 0755 /etc", "/etc has mode 0777"),
    ("chmod 0777 /etc/ssh", "chmod 0755 /etc/ssh", "/etc/ssh has mode 0777"),
    ("touch /var/lib/runner-prep", ":", "/var/lib/runner-prep"),
    ("ln -s nowhere /var/lib/runner-prep", "rm /var/lib/runner-prep", "/var/lib/runner-prep"),
    ("ln -s /srv /var/lib/runner-prep", "rm /var/lib/runner-prep", "/var/lib/runner-prep"),
    (
        "mkdir -m 0777 /var/lib/runner-prep",
        "rmdir /var/lib/runner-prep",
        "/var/lib/runner-prep has mode 0777",
    ),
    ("mkdir -p -m 0700 /var/lib/runner-prep/lock", "rm -r /var/lib/runner-prep", "/var/lib/runner-prep/lock"),
    (
        "mkdir -m 0700 /var/lib/runner-prep; touch /var/lib/runner-prep/journal",
        "rm -r /var/lib/runner-prep",
        "/var/lib/runner-prep/journal",
    ),
    (
        "mkdir -m 0700 /var/lib/runner-prep; ln -s /srv/x /var/lib/runner-prep/lock",
        "rm -r /var/lib/runner-prep",
        "/var/lib/runner-prep/lock",
    ),
    ("chmod 1777 /var/lib", "chmod 0755 /var/lib", "/var/lib has mode 1777"),
    (
        "touch /etc/ssh/ssh_known_hosts /srv/keys; mount --bind /srv/keys /etc/ssh/ssh_known_hosts",
        "umount /etc/ssh/ssh_known_hosts; rm /etc/ssh/ssh_known_hosts",
        "/etc/ssh/ssh_known_hosts is a mount point",
    ),
    ("ln -s nowhere /etc/ssh/ssh_known_hosts", "rm /etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts"),
    (
        "cp /etc/login.defs /srv; echo 'HOME_MODE 0000' >> /etc/login.defs",
        "cp /srv/login.defs /etc",
        "HOME_MODE",
    ),
    (
        "cp /etc/login.defs /srv; sed -i /HOME_MODE/d /etc/login.defs; echo 'UMASK 0777' >> /etc/login.defs",
        "cp /srv/login.defs /etc",
        "UMASK",
    ),
    ("chmod 0777 /etc/sudoers.d", "chmod 0755 /etc/sudoers.d", "/etc/sudoers.d has mode 0777"),
    (
        "rm -r /etc/sudoers.d; touch /etc/sudoers.d",
        "rm /etc/sudoers.d; mkdir -m 0750 /etc/sudoers.d",
        "/etc/sudoers.d",
    ),
    ("mv /etc/ssh /srv; touch /etc/ssh", "rm /etc/ssh; mv /srv/ssh /etc", "/etc/ssh"),
    ("mv /etc/ssh /srv; ln -s /nowhere /etc/ssh", "rm /etc/ssh; mv /srv/ssh /etc", "/etc/ssh"),
    ("mount --bind /dev/null $(command -v useradd)", "umount /usr/sbin/useradd", "useradd is not installed"),
];

/// What a person decides.
const BY_HAND: &[&str] = &["/etc/gshadow is not a regular file", "useradd is not installed"];

#[test]
fn a_plan_refuses_what_apply_would_refuse() {
    if !have(&["useradd", "chattr", "sudo", "visudo", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    let said = |run: &Run| run.json()["warnings"][0].clone();
    for (before, after, text) in STATES {
        host.sh(before).ok();
        let stamps = host.stamps();
        let [plan, apply] =
            ["plan", "apply"].map(|command| host.prep(&[command, "--profile", "shell", "--json"]));
        assert_eq!((plan.status, apply.status), (2, 2), "{before}\n{plan}\n{apply}");
        assert_eq!(said(&plan), said(&apply), "{before}");
        assert!(said(&plan)["message"].as_str().unwrap().contains(text), "{before}: {plan}");
        support::assert_unchanged(&stamps, &host.stamps());
        // Carried out as it stands, the repair is one.
        let steps = commands(said(&plan)["repair"].as_str().unwrap());
        for step in &steps {
            host.sh(step);
        }
        let again = host.prep(&["plan", "--profile", "shell", "--json"]);
        let is_mended = again.status == 0 || said(&again)["message"] != said(&plan)["message"];
        assert!(is_mended || BY_HAND.iter().any(|part| plan.contains(part)), "{before}: {steps:?}\n{again}");
        host.sh(&format!("set +e; {after}"));
        host.sh("rm -rf /var/lib/runner-prep").ok();
    }
    // useradd makes a home also where others make things.
    host.sh("chmod 1777 /home").ok();
    host.prep(&["plan", "--profile", "shell"]).ok();
    host.prep(&["apply", "--profile", "shell"]).ok();
}

/// A tool that changes accounts meanwhile lets its lock go; one that does not is told.
#[test]
fn a_lock_is_waited_for_as_long_as_a_tool_may_have_it() {
    if !have(&["useradd"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.file("/etc/.pwd.lock", "").start();
    let plan = ["plan", "--profile", "shell", "--only", "account"];
    host.sh("printf 1 > /etc/passwd.lock; (sleep 0.5; rm /etc/passwd.lock) > /dev/null 2>&1 &").ok();
    host.prep(&plan).ok();
    // Nobody has the number any more: useradd takes such a lock, and so does the plan.
    host.sh("printf 4000000 > /etc/group.lock").ok();
    host.prep(&plan).ok();
    let file = std::fs::File::options().write(true).open(host.path("/etc/.pwd.lock")).unwrap();
    lock(&file);
    host.prep(&plan).exit(2).says("/etc/.pwd.lock is held by");
    drop(file);
    host.prep(&["apply", "--profile", "shell", "--only", "account"]).ok();
}

/// As lckpwdf(3) does.
fn lock(file: &std::fs::File) {
    let lock = nix::libc::flock {
        l_type: nix::libc::F_WRLCK.try_into().unwrap(),
        l_whence: nix::libc::SEEK_SET.try_into().unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}
