//! What `doctor` says of the machine: disks, network, kernel, Docker. Each trouble beside what only looks like it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod patients;
mod support;

use patients::Patient;
use support::{have, is_root, skip};

/// What is done to the host that lacks nothing, and what `doctor` says then of the code: the status, or nothing.
struct Case {
    name: &'static str,
    profile: &'static str,
    script: &'static str,
    code: &'static str,
    status: Option<&'static str>,
}

const fn case(
    code: &'static str,
    status: Option<&'static str>,
    name: &'static str,
    profile: &'static str,
    script: &'static str,
) -> Case {
    Case { name, profile, script, code, status }
}

const CASES: &[Case] = &[
    case(
        "disk-full",
        None,
        "a small file system with room",
        "shell",
        "mkdir /home/gitlab-runner/builds; mount -t tmpfs -o size=1m,uid=998 none /home/gitlab-runner/builds",
    ),
    case(
        "disk-full",
        None,
        "a file system without a number of inodes",
        "shell",
        "mkdir /home/gitlab-runner/builds; mount -t tmpfs -o nr_inodes=0,uid=998 none /home/gitlab-runner/builds",
    ),
    case(
        "disk-full",
        None,
        "a full file system that no job uses",
        "dind",
        "mkdir /srv/x; mount -t tmpfs -o size=1m none /srv/x; head -c 2M /dev/zero > /srv/x/x || :",
    ),
    case(
        "disk-full",
        None,
        "a directory of Docker that is in the daemon's own container",
        "dind",
        "sed -i 's|/var\"|/nowhere\"|' /run/docker.info",
    ),
    case(
        "dind-mtu",
        Some("ok"),
        "small packets, and jobs bring their dind",
        "dind",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1450 > /sys/class/net/lo/mtu",
    ),
    case(
        "dind-mtu",
        None,
        "small packets, and a dind that is told",
        "dind",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1450 > /sys/class/net/lo/mtu
         sed -i 's|    volumes|    services = [{ name = \"docker:dind\", command = [\"--mtu=1400\"] }]\\n&|' \
            /etc/gitlab-runner/config.toml",
    ),
    case(
        "dind-mtu",
        Some("problem"),
        "small packets, and a dind that is told too many",
        "dind",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1450 > /sys/class/net/lo/mtu
         sed -i 's|    volumes|    services = [{ name = \"docker:dind\", command = [\"--mtu\", \"1500\"] }]\\n&|' \
            /etc/gitlab-runner/config.toml",
    ),
    case(
        "dind-mtu",
        None,
        "packets of the usual size",
        "dind",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1500 > /sys/class/net/lo/mtu",
    ),
    case(
        "dind-mtu",
        None,
        "small packets, and jobs use the host's daemon",
        "docker-socket",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1450 > /sys/class/net/lo/mtu",
    ),
    case(
        "dind-rootless-kernel",
        None,
        "an old kernel, and a dind of root's",
        "dind",
        "echo 5.10.0 > /run/release; mount --bind /run/release /proc/sys/kernel/osrelease",
    ),
    case(
        "dind-rootless-kernel",
        Some("ok"),
        "an old kernel, and jobs bring a rootless dind",
        "dind-rootless",
        "echo 4.18.0-553.el8 > /run/release; mount --bind /run/release /proc/sys/kernel/osrelease",
    ),
    case(
        "dind-rootless-kernel",
        None,
        "the first kernel that can do it",
        "dind-rootless",
        "echo 5.11.0 > /run/release; mount --bind /run/release /proc/sys/kernel/osrelease",
    ),
    case(
        "storage-driver",
        None,
        "a storage driver for a dind that has it",
        "dind",
        "sed -i 's|/certs\"]|/certs\", \"DOCKER_DRIVER=overlay2\"]|; s|    volumes|    services = [{ name = \
         \"docker:28-dind\" }]\\n&|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "storage-driver",
        Some("ok"),
        "a storage driver for whichever dind jobs bring",
        "dind",
        "sed -i 's|/certs\"]|/certs\", \"DOCKER_DRIVER=overlay2\"]|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "storage-driver",
        None,
        "the storage driver of containerd",
        "dind",
        "sed -i 's|/certs\"]|/certs\", \"DOCKER_DRIVER=overlayfs\"]|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "docker-volumes-mount",
        None,
        "volumes without set-user-id and devices",
        "dind-rootless-closed",
        "mkdir /var/volumes; mount -t tmpfs -o nosuid,nodev none /var/volumes",
    ),
    case(
        "docker-volumes-mount",
        None,
        "a profile that is no such wall",
        "dind-rootless",
        "mkdir /var/volumes",
    ),
    case(
        "image-missing",
        None,
        "an image that is never pulled, and is there",
        "dind",
        "echo docker:19.03 > /run/docker.images
         sed -i 's|    volumes|    pull_policy = \"never\"\\n&|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "image-missing",
        Some("problem"),
        "a service that is never pulled",
        "dind",
        "echo docker:19.03 > /run/docker.images
         sed -i 's|    volumes|    pull_policy = [\"never\"]\\n    services = [{ name = \"registry.example.com:5000/a/docker:28-dind\" }]\\n&|' \
            /etc/gitlab-runner/config.toml",
    ),
    case(
        "image-missing",
        None,
        "an image that is pulled in the end",
        "dind",
        "sed -i 's|    volumes|    pull_policy = [\"never\", \"always\"]\\n&|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "image-unknown",
        None,
        "no daemon to ask, and images may be pulled",
        "dind",
        "rm /run/docker.sock",
    ),
    case(
        "image-unknown",
        Some("unknown"),
        "a name that no image can have",
        "dind",
        "sed -i 's|    volumes|    pull_policy = \"never\"\\n&|; s|docker:19.03|x HTTP/1.1\\\\r\\\\n|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "docker-api-old-images",
        None,
        "the host's older Docker for jobs",
        "docker-socket",
        "sed -i 's|1.44|1.24|' /run/docker.info
         sed -i 's|/certs/client|/var/run/docker.sock:/var/run/docker.sock|' /etc/gitlab-runner/config.toml",
    ),
    case(
        "disk-full",
        Some("problem"),
        "a directory of the host that containers have as their cache",
        "dind",
        "mkdir /srv/c; mount -t tmpfs -o size=1m none /srv/c; head -c 2M /dev/zero > /srv/c/x || :
         sed -i 's|\"/cache\"|\"/srv/c:/cache\"|' /etc/gitlab-runner/config.toml",
    ),
    case("docker-api-old-images", None, "a new Docker that jobs do not reach", "dind", "true"),
];

#[test]
fn the_machine_is_judged_as_it_is() {
    if !is_root() {
        return skip("a throwaway host needs root");
    }
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync", "ip"]) {
        return;
    }
    let mut wrong = Vec::new();
    for Case { name, profile, script, code, status } in CASES {
        let Some(Patient { host }) = Patient::admit(None) else { return };
        host.sh(script).ok();
        let run = host.prep(&["doctor", "--profile", profile, "--json"]);
        let document = run.json();
        let mut findings = document["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["code"] == *code);
        if found.map(|finding| finding["status"].as_str().unwrap()) != *status {
            wrong.push(format!("{name}: {code} is not {status:?}: {run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
