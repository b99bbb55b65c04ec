//! What Docker-in-Docker needs of the kernel: the daemon in the service can load nothing itself.

use std::path::Path;

use anyhow::Result;

use super::DoctorContext;
use crate::finding::Findings;

/// What the kernel has of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    /// It is loaded, or part of the kernel.
    Here,
    /// It is installed, and not loaded.
    Installed,
    /// It is nowhere.
    Missing,
    /// It is not loaded, and there is no list of what is installed.
    Unknown,
}

/// File systems and packet filters that dind uses.
pub(super) fn modules(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    if !is_asked(context, findings)? {
        return Ok(());
    }
    let text = |path: &str| context.facts.text(Path::new(path));
    let has = |path: &str| context.facts.stat(Path::new(path)).map(|seen| seen.is_some());
    let release = text("/proc/sys/kernel/osrelease")?;
    let lists = format!("/lib/modules/{}", release.trim());
    let (built_in, installed) =
        (text(&format!("{lists}/modules.builtin"))?, text(&format!("{lists}/modules.dep"))?);
    let module = |name: &str, is_loaded: bool| {
        if is_loaded || names(&built_in, name) {
            Module::Here
        } else if names(&installed, name) {
            Module::Installed
        } else if built_in.is_empty() && installed.is_empty() {
            Module::Unknown
        } else {
            Module::Missing
        }
    };
    let file_systems = text("/proc/filesystems")?;
    let has_overlay = file_systems.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    let legacy = has("/sys/module/ip_tables")? || has("/proc/net/ip_tables_names")?;
    judge_modules(
        module("overlay", has_overlay),
        module("ip_tables", legacy),
        module("nf_tables", has("/sys/module/nf_tables")?),
        findings,
    );
    Ok(())
}

/// A line of `modules.dep` or `modules.builtin` is about this module: `kernel/fs/overlayfs/overlay.ko.xz: …`
fn names(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.strip_prefix(name).is_some_and(|end| end == ".ko" || end.starts_with(".ko."))
    })
}

/// Docker-in-Docker is wanted, and runs on this machine.
fn is_asked(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<bool> {
    let is_asked = context.wanted.brings_dind()
        && context.docker_runners()?.iter().any(|runner| runner.has_executor("docker"));
    if !is_asked {
        findings.fine("no Docker-in-Docker is wanted here");
    }
    Ok(is_asked)
}

fn judge_modules(overlay: Module, legacy: Module, new: Module, findings: &mut Findings) {
    match overlay {
        // The kernel loads it by itself when somebody mounts it.
        Module::Here | Module::Installed => {}
        Module::Missing => findings.problem(
            "kernel-overlay",
            "the kernel has no overlay file system: dind falls back to vfs, or dies",
            "install the modules of the running kernel, on Ubuntu: $ apt-get install -y linux-modules-extra-$(uname -r); \
             or start the kernel that is installed: $ uname -r; $ ls /lib/modules",
        ),
        Module::Unknown => findings.unknown(
            "kernel-overlay",
            "no overlay file system is loaded, and no list of modules says whether there is one",
            "$ modprobe overlay",
        ),
    }
    match (legacy, new) {
        (Module::Here, _) => {}
        (Module::Missing, Module::Missing) => findings.problem(
            "kernel-packet-filter",
            "the kernel has neither ip_tables nor nf_tables: dockerd in dind can't make its network",
            "install the package with the modules of the running kernel, or start the kernel that is installed: \
             $ uname -r; $ ls /lib/modules",
        ),
        (_, Module::Here) => findings.note(
            "kernel-ip-tables",
            "ip_tables is not loaded: images of dind before 20.10 need it, newer ones may use nf_tables",
            "where a job says \"can't initialize iptables table\": $ modprobe ip_tables iptable_nat",
        ),
        _ => findings.unknown(
            "kernel-packet-filter",
            "no packet filter is loaded; the host's Docker daemon loads one when it starts",
            "where a job says \"can't initialize iptables table\": $ modprobe ip_tables iptable_nat",
        ),
    }
    findings.else_fine("overlay and packet filter are there");
}

/// Which control groups the host has.
pub(super) fn cgroup(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    if !is_asked(context, findings)? {
        return Ok(());
    }
    let has = |path: &str| context.facts.stat(Path::new(path)).map(|seen| seen.is_some());
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
        findings
            .into_list()
            .into_iter()
            .map(|finding| format!("{:?} {}", finding.status, finding.code))
            .collect()
    }

    #[test]
    fn kernels_are_judged_by_what_they_have() {
        use Module::{Here, Installed, Missing, Unknown};
        let kernel = |overlay, legacy, new| codes(|findings| judge_modules(overlay, legacy, new, findings));
        assert_eq!(kernel(Here, Here, Missing), ["Ok ok"]);
        assert_eq!(kernel(Installed, Here, Here), ["Ok ok"]);
        assert_eq!(kernel(Here, Installed, Here), ["Ok kernel-ip-tables"]);
        assert_eq!(kernel(Here, Installed, Installed), ["Unknown kernel-packet-filter"]);
        assert_eq!(
            kernel(Unknown, Unknown, Unknown),
            ["Unknown kernel-overlay", "Unknown kernel-packet-filter"]
        );
        assert_eq!(
            kernel(Missing, Missing, Missing),
            ["Problem kernel-overlay", "Problem kernel-packet-filter"]
        );
    }

    #[test]
    fn lists_of_modules_are_read() {
        let list = "kernel/fs/overlayfs/overlay.ko.xz: kernel/a.ko\nkernel/net/ip_tables.ko:\nkernel/x/nf_tables_ipv4.ko:\n";
        assert!(names(list, "overlay") && names(list, "ip_tables"));
        assert!(!names(list, "nf_tables") && !names(list, "a") && !names("", ""));
    }

    #[test]
    fn control_groups_are_judged_by_their_version() {
        let cgroup = |unified, devices| codes(|findings| judge_cgroup(unified, devices, findings));
        assert_eq!(cgroup(false, true), ["Ok ok"]);
        assert_eq!(cgroup(true, true), ["Ok ok"]);
        assert_eq!(cgroup(true, false), ["Ok cgroup-v2"]);
        assert_eq!(cgroup(false, false), ["Problem cgroup-missing"]);
    }
}
