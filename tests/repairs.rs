//! Whatever is wrong with a host is found by `doctor`; every repair that it prints is carried out as it stands, and what
//! it repairs is gone after.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod patients;
mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;

use patients::{
    DPKG, Do, Fault, HOST_FAULTS, HostFault, Patient, STATUS, findings, has, listed, text, tree_faults,
};
use support::judge::{Cases, have_judge, judge};
use support::repairs::{commands, has_gap, wrong_with};
use support::{Tree, have, is_root, run_limited, skip, tool};

/// What a person has to do, because no command can: why, and the rows.
const BY_HAND: &[(&str, &[&str])] = &[
    (
        "only who keeps config.toml knows what is meant, or whether the line is needed",
        &[
            "config.toml empty",
            "config.toml broken",
            "dotted keys",
            "dotted keys for an old runner",
            "TOML 1.0 for an old runner",
            "TOML 1.1",
            "volume without a path",
            "two volumes at one path",
            "misspelt key",
            "key of somebody else",
            "key in the wrong place",
            "volumes is a string",
            "key removed",
            "environment without TLS",
            "service that no allow-list names",
            "key of a newer runner",
            "no executor",
            "tls_verify without certificates",
            "remote daemon",
            "docker.sock and dind",
            "shared certificates",
            "certificates in a directory of the host",
            "certificates that dind can't write",
            "no volumes of its own",
            "unprivileged services",
            "shared authority",
            "allow-list misses dind",
            "allow-list stops at a slash",
            "allow-list malformed",
            "allow-list with one spelling",
            "no wait for services",
            "client variables for all jobs",
            "unknown executor",
            "an address without https",
            "no policy that is allowed",
            "a directory for builds that is no path",
            "a device that is not there",
            "registered twice",
            "runner with another author",
            "token that is rotated",
            "two entries with a token that is rotated",
            "variable in a token that is rotated",
            "runners is a number",
            "a key in another case",
            "wide allow-list",
            "more services than the limit",
            "small packets and a dind that is not told",
            "an image that is never pulled",
            "a storage driver for the newest dind",
            "DOCKER_HOST in the job itself",
            "certificates looked for elsewhere",
            "jobs on the host's network",
            "jobs without a network",
            "no room for dind",
            "a dind without TLS",
            "a dind with another command",
            "a volume in the place of the socket",
            "a policy that there is not",
            "privileged services of anybody",
            "the host's /etc in jobs",
            "a capability for jobs",
            "no filter of system calls",
            "another path in the place of the socket",
        ],
    ),
    (
        "it is done in GitLab, which also gives the token",
        &[
            "key that GitLab holds",
            "nothing registered",
            "a word for a token",
            "no runners",
            "no shell runner",
            "no token",
            "token expired",
        ],
    ),
    (
        "the call, or the unit, has to name something else, and only its author knows what",
        &[
            "the account is root",
            "version not known",
            "unit of another account",
            "a slip in the account",
            "unit of another file",
            "no absolute path",
            "home of a strange name",
            "no runner of that name",
            "a runner that reads no [runners.docker]",
            "two of one name",
            "version not said",
        ],
    ),
    (
        "the profile has to name something else, and only its author knows what",
        &[
            "other server",
            "other host key",
            "no address of git",
            "command missing",
            "command outside secure_path",
            "rsync as root",
            "rule as root",
            "rule as itself",
            "rule without commands",
            "target of the account",
            "target that the account could write",
            "rule with several arguments",
        ],
    ),
    (
        "which rule of somebody else's is meant is for that person to say",
        &[
            "sudoers syntax error",
            "rule taken away",
            "later rule asks for a password",
            "rule for everything",
            "rule for everybody and our own program",
            "rule for our own program by another name",
            "sudo-rs reads another file",
            "PAM refuses the account",
            "PAM's file for sudo names one that is not there",
        ],
    ),
    (
        "the cause has to be looked at first, or is a matter of taste",
        &[
            "unit that starts a shell",
            "key named in .ssh/config",
            "socket for jobs",
            ".bash_logout fails",
            "/etc/profile.d fails",
            "service with settings of git",
            "systemctl does not answer",
            "lint objects",
            "reload failed",
            "poor storage driver",
            "a Docker that maps users",
            "started by something else",
            "runs in user mode",
            "runs in a container",
            "file alone in a container",
            "no unit, other account",
            "no unit, other file",
            "daemon of another machine",
            "daemon of another machine, said by the service",
            "no control groups",
            "new control groups alone",
        ],
    ),
    ("ssh-keygen asks for the passphrase, which only its owner knows", &["key with a passphrase"]),
    (
        "whoever wrote the file for some repositories knows what is meant",
        &["an identity that the system's file includes on a branch"],
    ),
    (
        "a tree can't be asked; the running host is, and says it with another code",
        &["a configuration that only ssh reads", "later rule"],
    ),
    (
        "which checkouts and caches go is for a person to say",
        &["disk of the builds full", "no inodes for the cache"],
    ),
    ("it is said in each job", &["the host's new Docker for jobs"]),
    ("another kernel has to be started", &["kernel too old for a rootless dind"]),
    ("a server has to be reached", &["fingerprint alone"]),
    ("what hides the program in this host is a mount, not a missing package", &["no visudo", "no su"]),
    (
        "the program is installed in this host, elsewhere too",
        &[
            "program not installed",
            "program that others can change",
            "no systemd, and settings of the service",
        ],
    ),
    (
        "who keeps the authority has its certificate, and its server needs a runner",
        &[
            "no file of the authority",
            "the key of the authority",
            "an authority, and runners of GitLab.com",
            "an authority, and a runner that names another file",
        ],
    ),
    ("the value has to be changed first", &["an address that is read at the start alone"]),
    ("whoever wrote the other drop-in knows what it is for", &["another drop-in has the last word"]),
    ("no version is known that speaks it", &["a Docker newer than is known"]),
];

/// How many there are, so that none slips in.
const COUNT_BY_HAND: usize = 144;

/// A manager of services that knows two.
const SYSTEMCTL: &str = r#"#!/bin/bash
set -eu
end() {
    kill -9 "$(cat /run/gitlab-runner.pid)" 2>/dev/null || return 0
    while [ -e "/proc/$(cat /run/gitlab-runner.pid)/exe" ]; do sleep 0.01; done
}
begin() {
    local words
    read -r -a words < <(sed -n 's/^ExecStart=//p' /etc/systemd/system/gitlab-runner.service)
    mapfile -t settings < <(sed -n 's/^Environment="\(.*\)"$/\1/p' /etc/systemd/system/gitlab-runner.service.d/*.conf)
    cp /bin/bash /srv/running/new
    mv /srv/running/new /srv/running/gitlab-runner
    env "${settings[@]}" /srv/running/gitlab-runner -s "${words[@]:1}" <>/run/hold >/dev/null 2>&1 &
    echo $! > /run/gitlab-runner.pid
    sleep 0.2
}
case "$*" in
    *docker) [ "$1" != start ] || mv /run/docker.stopped /run/docker.sock ;;
    daemon-reload) touch /run/reloaded ;;
    show*)
        [ -e /run/reloaded ] || echo NeedDaemonReload=yes
        echo "MainPID=$(cat /run/gitlab-runner.pid)" ;;
    stop*) end ;;
    start* | restart* | enable*) end; begin ;;
    unmask*) rm -f /etc/systemd/system/gitlab-runner.service ;;
esac
"#;

/// gitlab-runner, as old as the package is, with its own way to install the service.
const RUNNER: &str = r#"#!/bin/sh
set -eu
unit=/etc/systemd/system/gitlab-runner.service
case $1 in
    --version) sed -n 's/^Version: \(.*\)-1$/Version: \1/p' /var/lib/dpkg/status ;;
    uninstall) rm -f $unit ;;
    install)
        shift
        echo '[Service]' > $unit
        echo "ExecStart=/usr/bin/gitlab-runner run --config /etc/gitlab-runner/config.toml $*" >> $unit
        ;;
    start) systemctl start gitlab-runner ;;
esac
"#;

/// A manager of packages that has what the machine has.
const PACKAGES: &str = r#"#!/bin/sh
set -eu
for package do
    case $package in
        gitlab-runner)
            mkdir -p /var/lib/dpkg; echo "Package: $package" > /var/lib/dpkg/status
            printf 'Status: install ok installed\nVersion: 19.4.0-1\n' >> /var/lib/dpkg/status
            place=/usr/local/bin; [ -e $place/gitlab-runner ] || place=/usr/bin
            cp /run/runner $place/new; chmod 0755 $place/new; mv $place/new $place/gitlab-runner
            continue ;;
        docker*)
            for name in docker dockerd; do
                install -m 0755 /dev/null /usr/bin/$name || install -m 0755 /dev/null /usr/local/bin/$name
            done
            continue ;;
        git | rsync | sudo) program=$package ;;
        openssh*) program=ssh ;;
        *) continue ;;
    esac
    cp -a "/run/usr/whole/$program" /usr/bin/
done
[ -e /etc/sudoers ] || install -m 0440 /run/usr/sudoers /etc/sudoers
"#;

/// What fetches GitLab's script that sets up its repository, without a network.
const CURL: &str = "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n: > \"$1\"\n";

/// Makes the machine's programs the host's own, so that they can be taken away.
const OWN_PROGRAMS: &str = "
    mkdir /run/usr; mount -t tmpfs none /run/usr; mkdir /run/usr/up /run/usr/work /run/usr/whole
    mount --bind /usr/bin /run/usr/whole; cp /etc/sudoers /run/usr/sudoers
    mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/usr/up,workdir=/run/usr/work usr /usr/bin
    rm -f /usr/local/bin/gitlab-runner /usr/bin/docker; install -m 0755 /run/runner /usr/bin/gitlab-runner
    sed -i '/^docker:/d' /etc/group /etc/gshadow
    install -d -o gitlab-runner -g gitlab-runner /home/gitlab-runner/builds";

/// Something that is wrong, on whichever kind of host.
enum Row {
    Tree(&'static Fault),
    Host(&'static HostFault),
}

impl Row {
    fn name(&self) -> &'static str {
        match self {
            Self::Tree(fault) => fault.name,
            Self::Host(fault) => fault.name,
        }
    }

    /// A host with it, its code, and what doctor is called with.
    fn admit(&self) -> Option<(Patient, &'static str, &'static [&'static str])> {
        let (patient, code, args) = match self {
            Self::Tree(fault) => (Patient::admit(None)?, fault.code, fault.args),
            Self::Host(fault) => (Patient::admit(Some(fault))?, fault.code, fault.args),
        };
        let host = &patient.host;
        let etc = host.path("/etc");
        let tree = Tree::at(etc.parent().unwrap()).file_mode("/usr/local/bin/systemctl", SYSTEMCTL, 0o755);
        let mut tree = tree.file("/run/runner", RUNNER).file_mode("/usr/local/bin/curl", CURL, 0o755);
        for manager in
            ["apt-get", "dnf", "zypper", "apk", "pacman"].iter().filter(|name| tool(name).is_some())
        {
            tree = tree.file_mode(&format!("/usr/local/bin/{manager}"), PACKAGES, 0o755);
        }
        let Self::Tree(fault) = self else {
            if code == "service-missing" {
                let _ = tree.file_mode("/usr/local/bin/gitlab-runner", RUNNER, 0o755).file(STATUS, DPKG);
            }
            return Some((patient, code, args));
        };
        let tree = tree.file(STATUS, DPKG);
        host.sh(OWN_PROGRAMS).ok();
        if ["service-missing", "runner-missing"].contains(&fault.code) {
            host.sh("systemctl stop gitlab-runner").ok();
        }
        for step in fault.steps {
            let script = match *step {
                Do::Remove(path) if path.starts_with("/usr/bin/") => format!("rm {path}"),
                Do::Mode(path, mode) if path.starts_with("/usr/bin/") => format!("chmod {mode:o} {path}"),
                other => {
                    patients::apply(&tree, &[other]);
                    continue;
                }
            };
            host.sh(&script).ok();
        }
        Some((patient, code, args))
    }

    /// The host as it was, for what nobody mends by a command.
    fn admit_by_hand(&self) -> Option<(Patient, &'static str, &'static [&'static str])> {
        match self {
            Self::Tree(_) => None,
            Self::Host(fault) => Some((Patient::admit(Some(fault))?, fault.code, fault.args)),
        }
    }

    /// Holds what doctor says of it to what it has to say, and carries the repair out; what is wrong.
    fn treat(&self, is_by_hand: bool, documents: &Mutex<Cases>) -> Vec<String> {
        let admitted = if is_by_hand { self.admit_by_hand() } else { self.admit() };
        let Some((Patient { host }, code, args)) = admitted else { return Vec::new() };
        let look = || host.prep(&[&["doctor", "--json"], args].concat());
        let before = host.processes();
        let run = look();
        let left: Vec<_> = host.processes().into_iter().filter(|one| !before.contains(one)).collect();
        let all = findings(&run);
        let mut wrong: Vec<String> = all.iter().filter_map(|finding| listed(finding).err()).collect();
        if !left.is_empty() {
            wrong.push(format!("{}: left behind: {left:?}", self.name()));
        }
        if let Self::Host(fault) = self {
            documents.lock().unwrap().push((fault.name.to_owned(), "doctor", run.json(), true));
            if !has(&all, fault.status, code) {
                let codes: Vec<&str> =
                    all.iter().map(|finding| text(finding, "code")).filter(|code| *code != "ok").collect();
                wrong.push(format!("{}: no {} {code} among {codes:?}", fault.name, fault.status));
            }
        }
        if is_by_hand {
            return wrong;
        }
        let Some(found) = all.iter().find(|one| text(one, "code") == code) else {
            wrong.push(format!("{}: not sick: {all:?}", self.name()));
            return wrong;
        };
        let repair = text(found, "repair");
        let mut said = format!("{} ({code}): {repair}\n", self.name());
        let commands = commands(repair);
        for command in &commands {
            let run = run_limited(host.command("/bin/sh").args(["-c", command]));
            said.extend([run.to_string(), "\n".to_owned()]);
        }
        if commands.is_empty() || findings(&look()).iter().any(|one| text(one, "code") == code) {
            wrong.push(format!("does not repair: {said}"));
        }
        wrong
    }
}

#[test]
fn what_is_wrong_is_found_and_every_repair_repairs() {
    let by_hand: BTreeSet<&str> = BY_HAND.iter().flat_map(|(_, names)| *names).copied().collect();
    assert_eq!(by_hand.len(), COUNT_BY_HAND);
    let mut rows: Vec<Row> = tree_faults().map(Row::Tree).chain(HOST_FAULTS.iter().map(Row::Host)).collect();
    let names: BTreeSet<&str> = rows.iter().map(Row::name).collect();
    let gone: Vec<_> = by_hand.iter().filter(|name| !names.contains(*name)).collect();
    assert!(gone.is_empty(), "no such rows: {gone:?}");
    if !is_root() {
        return skip("a throwaway host needs root");
    }
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync"]) {
        return;
    }
    rows.retain(|row| matches!(row, Row::Host(_)) || !by_hand.contains(row.name()));
    let (rows, wrong) = (Mutex::new(rows.into_iter()), Mutex::new(Vec::new()));
    let documents = Mutex::new(Cases::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(row) = rows.lock().unwrap().next() else { return };
                    let said = row.treat(by_hand.contains(row.name()), &documents);
                    wrong.lock().unwrap().extend(said);
                }
            });
        }
    });
    if have_judge() {
        judge(&["doctor"], &documents.into_inner().unwrap());
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} answers or repairs are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A tree is never asked by a command that acts on the machine, and nothing is left to fill in.
#[test]
fn a_repair_of_a_tree_is_for_the_tree() {
    let mut wrong = Vec::new();
    for fault in tree_faults() {
        let tree = patients::tree();
        patients::infect(&tree, fault);
        let top = tree.top().display().to_string();
        for command in ["doctor", "plan"] {
            let document = tree.run(&[&[command, "--json"], fault.args].concat()).json();
            let lists = ["findings", "warnings", "pending"].map(|list| document[list].as_array().cloned());
            for said in lists.into_iter().flatten().flatten() {
                let repair = said["repair"].as_str().unwrap();
                let mut found = wrong_with(repair, Some(&top));
                if has_gap(said["message"].as_str().unwrap()) {
                    found.push(format!("names nothing: {}", said["message"]));
                }
                wrong.extend(found.iter().map(|why| format!("{} ({}): {why}", fault.name, said["code"])));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
