//! One of the two rsyncs is the attacker's altogether: a program of that name that is found before the real one.

use std::os::unix::fs::PermissionsExt;

use super::{JOB, PROFILE, job, nothing_gained, outside, prepared, with_every_sudo, with_every_sudo_on};
use crate::support::{Host, assert_unchanged, have};

/// Puts a program in the place of rsync, for the sender or for the receiver.
pub(super) fn fake(host: &Host, script: &str) {
    let path = host.path("/usr/local/sbin/rsync");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\nexec /usr/bin/rsync \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const TRIES: &str = r#"
    try() { if "$@" >/dev/null 2>&1; then echo "GAINED: $*"; fi; }
    try touch /etc/evil
    try touch /srv/www/evil
    try touch /tmp/evil
    try sh -c 'echo x >> /etc/sudoers.d/evil'
    try chmod 4755 /usr/local/bin/tool
    try chmod 0666 /etc/shadow
    try chown 2001 /etc/shadow
    try cat /etc/shadow
    try ls /root
    try ls /home/gitlab-runner
    try mknod null c 1 3
    try mkfifo fifo
    touch own; chmod 0755 own
    try chmod 4755 own
    try chmod 2755 own
    try chmod u+s own
    try install -m 4755 /bin/sh sh
    try setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= own
    try mount -o remount,bind,rw /
    try umount /srv
    try mount -t tmpfs none .
    try nsenter -t 1 -m true
    try kill -0 1
    try chroot . true
    try cp /bin/true evil-program
    try ./evil-program
    try unshare -m true
    try sh -c 'echo x > /proc/1/comm'
    try hostname evil
    try perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0) && connect(S,pack_sockaddr_un("/run/roots")) or exit 1'
    try perl -MSocket -e 'socket(S,AF_INET,SOCK_STREAM,0) or exit 1'
    try perl -e '$! = 0; syscall(0x40000000|90,"own",04755)==0 or exit 1'
    try sh -c ': </dev/tty'
"#;

/// A socket that root alone may connect to.
const LISTEN: &str = "perl -MIO::Socket::UNIX -e 'umask 077; $s = IO::Socket::UNIX->new(Local=>\"/run/roots\", Listen=>1) or exit 1; sleep 300' &
    for i in $(seq 200); do test -S /run/roots && break; sleep 0.02; done; test -S /run/roots";

#[test]
fn a_receiver_that_was_taken_over_stays_in_the_target() {
    with_every_sudo(|host| {
        host.sh("cp /bin/true /usr/local/bin/tool; chmod 0755 /usr/local/bin/tool").ok();
        // Something that does what root asks, like systemd or Docker.
        host.sh(LISTEN).ok();
        job(host, "touch file").ok();
        fake(
            host,
            &format!("case \"$*\" in *--server*) exec /usr/bin/rsync \"$@\" ;; esac\n{TRIES}\nexit 7"),
        );
        let before = outside(host);
        let run = job(host, "sudo -n runner-deploy app");
        run.exit(7).says("GAINED: cp /bin/true evil-program");
        let gained: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("GAINED")).collect();
        assert_eq!(gained, ["GAINED: cp /bin/true evil-program"], "{run}");
        nothing_gained(host);
        assert_unchanged(&before, &outside(host));
        // The tries are none that could never succeed.
        let free = host.sh(&format!("mkdir /srv/www/free; cd /srv/www/free; {TRIES}"));
        assert!(free.stdout.lines().count() > 20, "{free}");
    });
}

#[test]
fn a_receiver_of_another_owner_has_no_power_at_all() {
    with_every_sudo_on(&format!("{PROFILE}owner = \"www:www\"\n"), |host| {
        fake(
            host,
            "case \"$*\" in *--server*) exec /usr/bin/rsync \"$@\" ;; esac\nid -u; id -G; touch /srv/www-home/x && echo GAINED\nexit 7",
        );
        job(host, "sudo -n runner-deploy app").exit(7).says("2002\n2002\n").says_not("GAINED");
    });
}

#[test]
fn a_receiver_that_was_taken_over_chooses_nothing_for_the_sender() {
    with_every_sudo_on(&format!("{PROFILE}owner = \"www:www\"\n"), |host| {
        job(host, "echo kept >file; umask 077; echo private >/home/gitlab-runner/secret").ok();
        host.sh("echo 'echo evil' >/srv/www/app/evil; chown www:www /srv/www/app/evil").ok();
        // The owner of the target traces its own receiver, and asks through it for what the account may do.
        for (index, wants) in [
            "checkout:/home/gitlab-runner/secret ./",
            "checkout:./ ./ --copy-unsafe-links --remove-source-files",
            "checkout:./ ./ --files-from=:/home/gitlab-runner/secret",
            "checkout:./ ./ -M--log-file=/home/gitlab-runner/planted",
            "./evil checkout:/home/gitlab-runner/planted",
            "./evil checkout:./planted",
        ]
        .iter()
        .enumerate()
        {
            fake(
                host,
                &format!(
                    "case \"$*\" in *--server*) exec /usr/bin/rsync \"$@\" ;; esac
                    while test \"$1\" != -e; do shift; done
                    exec /usr/bin/rsync -rlptu -e \"$2\" {wants}"
                ),
            );
            let run = job(host, "timeout 20 sudo -n runner-deploy app");
            assert!(run.status != 0 && run.status != 124, "{index}: {run}");
            run.says("asks its other side for something else than the checkout");
            host.sh(&format!(
                "! grep -rl private /srv/www && ! test -e /home/gitlab-runner/planted && cd {JOB} && test -e file && ! test -e planted"
            ))
            .ok();
        }
    });
}

#[test]
fn the_sender_is_the_accounts_and_has_nothing_of_ours() {
    let Some(host) = prepared(PROFILE) else { return };
    fake(
        &host,
        "case \"$*\" in *--server*)
            ls /proc/self/fd >/home/gitlab-runner/handles
            exec 2>/home/gitlab-runner/seen
            { id; grep -E '^(Uid|Gid|NoNewPrivs|Cap(Eff|Prm|Inh|Amb)|Seccomp):' /proc/self/status
              echo tty $(ps -o tty= -p $$); sh -c ': </dev/tty' 2>/dev/null && echo TERMINAL
              ps -o sid= -p $$ | grep -qw $$ && echo leader; env; umask; ulimit -c; pwd; } >&2 ;;
        esac",
    );
    // With a terminal of root's, as when an administrator tries it.
    let run =
        host.sh(&format!("cd {JOB}; touch file; SECRET=canary script -qec 'runner-deploy app' /dev/null"));
    run.ok();
    // The last is that of the directory.
    assert_eq!(host.text("/home/gitlab-runner/handles"), "0\n1\n2\n3\n");
    let seen = host.text("/home/gitlab-runner/seen");
    for wanted in [
        "uid=2001(gitlab-runner) gid=2001(gitlab-runner) groups=2001(gitlab-runner)\n",
        "Uid:\t2001\t2001\t2001\t2001\n",
        "Gid:\t2001\t2001\t2001\t2001\n",
        "CapPrm:\t0000000000000000\n",
        "CapEff:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
        "tty ?\n",
        "leader\n",
        "\n0022\n0\n",
        JOB,
    ] {
        assert!(seen.contains(wanted), "{wanted:?} is not in\n{seen}");
    }
    for unwanted in ["TERMINAL", "SECRET", "SUDO_", "HOME=", "TERM="] {
        assert!(!seen.contains(unwanted), "{unwanted:?} is in\n{seen}");
    }
}

#[test]
fn what_a_sender_says_on_standard_error_does_not_reach_a_terminal_raw() {
    with_every_sudo(|host| {
        fake(host, "case \"$*\" in *--server*) printf '\\033]0;evil\\007said\\n' >&2; exit 5 ;; esac");
        let run = job(host, "sudo -n runner-deploy app");
        assert_ne!(run.status, 0);
        run.says("?]0;evil?said").says_not("\u{1b}");
    });
}

#[test]
fn a_sender_that_speaks_garbage_gains_nothing() {
    with_every_sudo(|host| {
        job(host, "touch file; sudo -n runner-deploy app").ok();
        let before = outside(host);
        for (index, says) in [
            "true",
            "cat /dev/zero | head -c 1000000",
            "cat /dev/urandom | head -c 1000000",
            "printf '\\040\\000\\000\\000'; head -c 100000 /dev/urandom",
            "printf '\\037\\000\\000\\000\\000\\000\\000\\000\\000'; head -c 100000 /dev/urandom",
            "printf '\\035\\000\\000\\000\\001\\000\\000\\000'; head -c 100000 /dev/urandom",
            "printf '\\377\\377\\377\\177'",
            "echo 'rsync: hello'; sleep 1",
            "exec >&-; sleep 1",
            "kill -SEGV $$",
        ]
        .iter()
        .enumerate()
        {
            fake(host, &format!("case \"$*\" in *--server*) ({says}) 2>/dev/null; exit 0 ;; esac"));
            let run = job(host, "timeout 20 sudo -n runner-deploy app");
            assert!(run.status != 0 && run.status != 124, "{index}: {run}");
            nothing_gained(host);
            assert_unchanged(&before, &outside(host));
        }
    });
}

#[test]
fn a_wall_that_cannot_be_had_is_named_and_the_others_stand() {
    let Some(host) = prepared(PROFILE) else { return };
    job(&host, "touch file").ok();
    // As in a container without that power.
    let script =
        format!("cd {JOB}; setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin runner-deploy app");
    host.sh(&script).ok().says("goes without read-only file systems (no private mounts").says_not("Landlock");
    nothing_gained(&host);
    host.sh("test -e /srv/www/app/file").ok();
}

#[test]
fn without_landlock_a_receiver_still_writes_nowhere_else() {
    let Some(host) = prepared(PROFILE) else { return };
    if !have(&["strace"]) {
        return;
    }
    job(&host, "touch file").ok();
    // As on a kernel that was built without it.
    let deploy = format!(
        "cd {JOB}; strace -f -qq -o /dev/null -e trace=landlock_create_ruleset \
         -e inject=landlock_create_ruleset:error=ENOSYS /usr/local/bin/runner-prep deploy /usr/local/sbin/runner-deploy app"
    );
    host.sh(&deploy).ok().says("goes without Landlock").says_not("read-only");
    host.sh("test -e /srv/www/app/file").ok();
    host.sh("cp /bin/true /usr/local/bin/tool; chmod 0755 /usr/local/bin/tool").ok();
    host.sh(LISTEN).ok();
    fake(&host, &format!("case \"$*\" in *--server*) exec /usr/bin/rsync \"$@\" ;; esac\n{TRIES}\nexit 7"));
    let before = outside(&host);
    let run = host.sh(&deploy);
    run.exit(7);
    // That it can read what root can, and run what it wrote, is what Landlock is there for.
    let gained: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("GAINED")).collect();
    assert_eq!(
        gained,
        [
            "GAINED: cat /etc/shadow",
            "GAINED: ls /root",
            "GAINED: ls /home/gitlab-runner",
            "GAINED: kill -0 1",
            "GAINED: cp /bin/true evil-program",
            "GAINED: ./evil-program",
        ],
        "{run}"
    );
    nothing_gained(&host);
    assert_unchanged(&before, &outside(&host));
}

/// A file list of rsync's protocol 29, as a server that sends would begin it.
struct List(Vec<u8>);

impl List {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// An entry: name, mode with the type, and the rest that its kind has.
    fn entry(mut self, name: &[u8], mode: u32, length: u32, rest: &[u8]) -> Self {
        // Long name, and the uid and gid of the entry before, which are 0.
        self.0.push(0x40 | 0x08 | 0x10);
        self.0.extend((name.len() as u32).to_le_bytes());
        self.0.extend(name);
        self.0.extend(length.to_le_bytes());
        self.0.extend(1_700_000_000_u32.to_le_bytes());
        self.0.extend(mode.to_le_bytes());
        self.0.extend(rest);
        self
    }

    fn link(self, name: &[u8], target: &[u8]) -> Self {
        let mut rest = (target.len() as u32).to_le_bytes().to_vec();
        rest.extend(target);
        self.entry(name, 0o120_777, target.len() as u32, &rest)
    }

    /// Protocol version, checksum seed, and the list in one message.
    fn stream(mut self) -> Vec<u8> {
        // End of the list, no names of users, none of groups, no error.
        self.0.extend([0; 13]);
        let mut stream = 29_u32.to_le_bytes().to_vec();
        stream.extend(7_u32.to_le_bytes());
        stream.extend((self.0.len() as u32 | 7 << 24).to_le_bytes());
        stream.extend(self.0);
        // Nothing is sent: the end of both phases.
        let done = [0xff_u8; 4].repeat(6);
        stream.extend((done.len() as u32 | 7 << 24).to_le_bytes());
        stream.extend(done);
        stream
    }
}

#[test]
fn a_crafted_file_list_gains_nothing() {
    let directory = 0o040_755;
    let top = || List::new().entry(b".", directory, 4096, b"");
    let lists = [
        ("harmless", top().entry(b"dir", directory, 4096, b"").link(b"link", b"dir")),
        ("set-id directory", top().entry(b"wide", 0o047_777, 4096, b"")),
        ("device", top().entry(b"null", 0o020_666, 0, b"")),
        ("block device", top().entry(b"disk", 0o060_666, 0, b"")),
        ("fifo", top().entry(b"fifo", 0o010_666, 0, b"")),
        ("socket", top().entry(b"sock", 0o140_777, 0, b"")),
        ("absolute link", top().link(b"a", b"/etc/shadow")),
        ("climbing link", top().link(b"a", b"../../../etc")),
        ("climbing link, hidden", top().entry(b"d", directory, 4096, b"").link(b"d/a", b"./.././../../etc")),
        ("absolute directory", top().entry(b"/etc/evil", directory, 4096, b"")),
        ("climbing directory", top().entry(b"../evil", directory, 4096, b"")),
        (
            "climbing directory, hidden",
            top().entry(b"dir", directory, 4096, b"").entry(b"dir/../../evil", directory, 4096, b""),
        ),
        ("through a link", top().link(b"a", b"/etc").entry(b"a/evil", directory, 4096, b"")),
        (
            "twice the same name",
            top().link(b"a", b"..").entry(b"a", directory, 4096, b"").entry(b"a/evil", directory, 4096, b""),
        ),
        ("no name", top().entry(b"", directory, 4096, b"")),
        ("two dots", top().entry(b"..", directory, 4096, b"")),
        ("NUL", top().entry(b"a\0b", directory, 4096, b"")),
        ("excluded", top().entry(b".git", directory, 4096, b"")),
        ("long", top().entry(&b"a/".repeat(5000), directory, 4096, b"")),
        ("negative length", top().entry(b"a", 0o100_644, u32::MAX, b"")),
        ("bad mode", top().entry(b"a", 0o177_777, 0, b"")),
    ];
    let lists = lists.map(|(name, list)| (name, list.stream()));
    with_every_sudo(|host| {
        fake(host, "case \"$*\" in *--server*) cat /opt/list; sleep 0.2; exit 0 ;; esac");
        let before = outside(host);
        for (name, list) in &lists {
            std::fs::write(host.path("/opt/list"), list).unwrap();
            let run = job(host, "timeout 20 sudo -n runner-deploy app");
            assert_ne!(run.status, 124, "{name}: {run}");
            nothing_gained(host);
            let now: Vec<String> =
                outside(host).into_iter().filter(|line| !line.ends_with(" opt/list")).collect();
            assert_unchanged(&before, &now);
            if *name == "harmless" {
                // The list is understood: else the others would prove nothing.
                host.sh("test -d /srv/www/app/dir; test -L /srv/www/app/link").ok();
            }
            if *name == "excluded" {
                host.sh("test ! -e /srv/www/app/.git").ok();
            }
        }
    });
}
