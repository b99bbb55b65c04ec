//! The Docker daemon of the host, and what Docker-in-Docker needs of the kernel.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::Item;

use super::Patient;
use crate::facts::MOST_BYTES;
use crate::finding::Findings;
use crate::runner_config::Runner;

/// Where the daemon listens when nobody says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// Storage drivers that are slow, or gone from Docker of today.
const POOR_DRIVERS: [&str; 4] = ["vfs", "aufs", "devicemapper", "overlay"];

/// The sockets of the runners' daemons on this machine, each once; `None` for an address of a network.
fn sockets(patient: &Patient<'_>) -> Result<Vec<(String, Option<PathBuf>)>> {
    let mut found: Vec<(String, Option<PathBuf>)> = Vec::new();
    for runner in patient.docker_runners()? {
        // Machines and instances have daemons of their own.
        if runner.text("executor") != Some("docker") {
            continue;
        }
        let docker = runner.docker_table();
        let host = docker.and_then(|docker| docker.get("host")).and_then(Item::as_str).unwrap_or_default();
        let socket = match host.strip_prefix("unix://") {
            Some(path) => Some(PathBuf::from(path)),
            None if host.is_empty() => Some(PathBuf::from(SOCKET)),
            None => None,
        };
        if !found.iter().any(|(_, other)| *other == socket) {
            found.push((runner.title(), socket));
        }
    }
    Ok(found)
}

/// The daemon answers.
pub(super) fn daemon(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    for (title, socket) in sockets(patient)? {
        let Some(socket) = socket else {
            findings.unknown(
                "docker-remote",
                format!("{title}: its daemon is on a network, which is not asked"),
                "",
            );
            continue;
        };
        match machine.docker_info(&socket) {
            Ok(info) => {
                let version = info.get("ServerVersion").and_then(serde_json::Value::as_str).unwrap_or("of Docker");
                findings.fine(format!("{title}: daemon {version} answers"));
            }
            Err(error) => findings.problem(
                "docker-daemon-down",
                // A path from config.toml is not shown.
                format!("{title}: its Docker daemon is not to be had: {error:#}"),
                "systemctl start docker; systemctl status docker; or install it: https://docs.docker.com/engine/install/",
            ),
        }
    }
    if findings.is_empty() {
        findings.fine("no runner with executor docker is meant");
    }
    Ok(())
}

/// How the daemon keeps images.
pub(super) fn storage(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(machine) = patient.machine else { return Ok(()) };
    for (title, socket) in sockets(patient)? {
        let info = socket.and_then(|socket| machine.docker_info(&socket).ok());
        let driver = info.as_ref().and_then(|info| info.get("Driver")).and_then(serde_json::Value::as_str);
        match driver {
            None => findings.unknown("docker-daemon-down", format!("{title}: its daemon could not be asked"), ""),
            Some(driver) if POOR_DRIVERS.contains(&driver) => findings.problem(
                "docker-storage-driver",
                format!("{title}: the daemon keeps images with {driver}, which is slow and fills the disk"),
                "let /etc/docker/daemon.json say {\"storage-driver\": \"overlay2\"} on a file system that can do it",
            ),
            Some(driver) => findings.fine(format!("{title}: {driver}")),
        }
    }
    if findings.is_empty() {
        findings.fine("no runner with executor docker is meant");
    }
    Ok(())
}

/// What the kernel has, as far as dind is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kernel {
    overlay: bool,
    legacy_tables: bool,
    new_tables: bool,
}

/// File systems and packet filters that dind uses and can't load itself.
pub(super) fn kernel(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    if !patient.wants_dind() || !patient.docker_runners()?.iter().any(is_local) {
        findings.fine("no Docker-in-Docker is wanted here");
        return Ok(());
    }
    let has = |path: &str| patient.facts.stat(Path::new(path)).map(|seen| seen.is_some());
    let filesystems = patient.facts.file(Path::new("/proc/filesystems"), MOST_BYTES)?;
    let filesystems =
        filesystems.map(|seen| String::from_utf8_lossy(&seen.bytes).into_owned()).unwrap_or_default();
    judge_kernel(
        Kernel {
            overlay: filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay")),
            legacy_tables: has("/sys/module/ip_tables")? || has("/proc/net/ip_tables_names")?,
            new_tables: has("/sys/module/nf_tables")?,
        },
        findings,
    );
    Ok(())
}

fn is_local(runner: &Runner<'_>) -> bool {
    runner.text("executor") == Some("docker")
}

fn judge_kernel(kernel: Kernel, findings: &mut Findings) {
    if !kernel.overlay {
        findings.problem(
            "kernel-overlay",
            "the kernel has no overlay file system loaded: dind falls back to vfs or dies",
            "modprobe overlay; and for the next start: echo overlay > /etc/modules-load.d/overlay.conf",
        );
    }
    if !kernel.legacy_tables && !kernel.new_tables {
        findings.problem(
            "kernel-packet-filter",
            "the kernel has no packet filter loaded: dockerd in dind can't make its network",
            "modprobe ip_tables iptable_nat; and for the next start: echo iptable_nat > /etc/modules-load.d/dind.conf",
        );
    } else if !kernel.legacy_tables {
        findings.note(
            "kernel-ip-tables",
            "ip_tables is not loaded: images of dind before 20.10 need it, newer ones may use nf_tables",
            "where a job says \"can't initialize iptables table\": modprobe ip_tables iptable_nat",
        );
    }
    if findings.is_empty() {
        findings.fine("overlay and packet filter are there");
    }
}

/// Which control groups the host has.
pub(super) fn cgroup(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    if !patient.wants_dind() || !patient.docker_runners()?.iter().any(is_local) {
        findings.fine("no Docker-in-Docker is wanted here");
        return Ok(());
    }
    let has = |path: &str| patient.facts.stat(Path::new(path)).map(|seen| seen.is_some());
    judge_cgroup(has("/sys/fs/cgroup/cgroup.controllers")?, has("/sys/fs/cgroup/devices")?, findings);
    Ok(())
}

fn judge_cgroup(unified: bool, devices: bool, findings: &mut Findings) {
    match (unified, devices) {
        (_, true) => findings.fine("version 1"),
        (true, false) => findings.note(
            "cgroup-v2",
            "version 2 only: dockerd before 20.10 does not start with it, so docker:19.03-dind may fail",
            "use docker:20.10-dind or newer in jobs; or start the host with systemd.unified_cgroup_hierarchy=0",
        ),
        (false, false) => findings.problem(
            "cgroup-missing",
            "no control groups are mounted at /sys/fs/cgroup: no container starts",
            "mount them, as systemd does; inside a container, give it --cgroupns=host and /sys/fs/cgroup",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(look: impl Fn(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::of("x");
        look(&mut findings);
        findings.into_list().into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn kernels_are_judged_by_what_they_have() {
        let kernel = |overlay, legacy_tables, new_tables| {
            codes(|findings| judge_kernel(Kernel { overlay, legacy_tables, new_tables }, findings))
        };
        assert_eq!(kernel(true, true, false), ["ok"]);
        assert_eq!(kernel(true, false, true), ["kernel-ip-tables"]);
        assert_eq!(kernel(false, false, false), ["kernel-overlay", "kernel-packet-filter"]);
    }

    #[test]
    fn control_groups_are_judged_by_their_version() {
        let cgroup = |unified, devices| codes(|findings| judge_cgroup(unified, devices, findings));
        assert_eq!(cgroup(false, true), ["ok"]);
        assert_eq!(cgroup(true, true), ["ok"]);
        assert_eq!(cgroup(true, false), ["cgroup-v2"]);
        assert_eq!(cgroup(false, false), ["cgroup-missing"]);
    }
}
