//! What a Docker daemon in a service of jobs gets from the host, and can't know by itself: the size of packets, what
//! the kernel can do, and how the host's own daemon mounts volumes.

use std::path::Path;

use anyhow::Result;

use super::{DoctorContext, docker};
use crate::finding::Findings;
use crate::repair::Repair;
use crate::runner_config::Runner;
use crate::runner_config::dind::{CONTAINERD, DindService, keeps_with_containerd};

/// What dockerd takes for the size of packets where nobody says another.
const USUAL_MTU: u32 = 1500;

/// The first kernel in which an ordinary user can mount an overlay.
const KERNEL: (u32, u32) = (5, 11);

/// The runners that start containers with a daemon of this machine, each with the daemons that it gives jobs. Where
/// there are none, jobs bring their own, if the profile is for that.
fn local<'p>(context: &'p DoctorContext<'_>) -> Result<Vec<(Runner<'p>, Vec<DindService<'p>>)>> {
    let is_local = |runner: &Runner<'_>| runner.has_executor("docker") && !runner.is_remote();
    let runners = context.docker_runners()?.into_iter().filter(is_local);
    let with_services =
        runners.map(|runner| (runner, DindService::of(runner.docker_table()).collect::<Vec<_>>()));
    Ok(with_services.filter(|(_, services)| context.wanted.brings_dind() || !services.is_empty()).collect())
}

/// Packets that the way out of the machine carries.
pub(super) fn packets(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let text = |path: &str| context.facts.text(Path::new(path));
    let routes = text("/proc/net/route")?;
    let Some(interface) = default_interface(&routes) else {
        findings.fine("no way out of the machine is known");
        return Ok(());
    };
    let Ok(mtu) = text(&format!("/sys/class/net/{interface}/mtu"))?.trim().parse::<u32>() else {
        findings.unknown("dind-mtu", format!("the MTU of {interface} could not be read"), "");
        return Ok(());
    };
    if mtu >= USUAL_MTU {
        findings.fine(format!("{interface} carries {mtu} bytes a packet"));
        return Ok(());
    }
    let effect = format!(
        "{interface} carries {mtu} bytes a packet (MTU), and a Docker daemon in a service sends {USUAL_MTU} unless it is \
         told: downloads in its containers hang"
    );
    for (runner, services) in local(context)? {
        let title = runner.title();
        if services.is_empty() {
            findings.note(
                "dind-mtu",
                format!("{title}: {effect}"),
                mend!("in the jobs: services: [{ name: \"docker:28-dind\", alias: docker, command: [\"--mtu={}\"] }]", mtu),
            );
        }
        let sends_more =
            |service: &DindService<'_>| told_mtu(&service.strings("command")).is_none_or(|told| told > mtu);
        if services.iter().any(sends_more) {
            let what = format!("{title}: {effect}; its service has no --mtu of {mtu} or less");
            let repair = mend!(
                "let `command` of that service in config.toml have \"--mtu={}\", and no other MTU",
                mtu
            );
            findings.problem("dind-mtu", what, repair);
        }
    }
    findings.else_fine(format!("{interface} carries {mtu} bytes a packet, and no service sends more"));
    Ok(())
}

/// The MTU in a command of dockerd.
fn told_mtu(command: &[&str]) -> Option<u32> {
    let after = |at: usize| command.get(at + 1).and_then(|word| word.parse().ok());
    command.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--mtu") {
        Some("") => after(at),
        Some(rest) => rest.strip_prefix('=')?.parse().ok(),
        None => None,
    })
}

/// The interface of the default route with the lowest metric, as `/proc/net/route` has it.
fn default_interface(routes: &str) -> Option<&str> {
    let metric_of = |line: &str| -> Option<u32> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, destination, _, flags, _, _, metric, mask, ..] = fields[..] else { return None };
        let is_up = u32::from_str_radix(flags, 16).ok()? & 1 != 0;
        let is_default = destination == "00000000" && mask == "00000000" && is_up;
        metric.parse().ok().filter(|_| is_default)
    };
    let routes = routes.lines().filter_map(|line| Some((metric_of(line)?, line.split_whitespace().next()?)));
    let is_name = |name: &&str| !name.contains('/') && *name != "." && *name != "..";
    routes.min_by_key(|(metric, _)| *metric).map(|(_, name)| name).filter(is_name)
}

/// A kernel in which a daemon of an ordinary user can keep images.
pub(super) fn rootless(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let text = context.facts.text(Path::new("/proc/sys/kernel/osrelease"))?;
    let mut numbers =
        text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        findings.unknown("dind-rootless-kernel", "the kernel does not say its release", "");
        return Ok(());
    };
    if (major, minor) >= KERNEL {
        findings.fine(format!("kernel {major}.{minor}"));
        return Ok(());
    }
    let (wanted_major, wanted_minor) = KERNEL;
    let repair = mend!("start the host with kernel {}.{} or later", wanted_major, wanted_minor);
    for (runner, services) in local(context)? {
        let title = runner.title();
        let mut rootless = services.iter().filter(|service| service.is_rootless()).peekable();
        if services.is_empty() && context.wanted.is_rootless() {
            findings.note(
                "dind-rootless-kernel",
                format!("{title}: with kernel {major}.{minor}, docker:{CONTAINERD}-dind-rootless and later start no container"),
                Repair::from("use docker:28-dind-rootless in jobs; or ") + &repair,
            );
        } else if rootless.peek().is_some() {
            if rootless.all(|service| keeps_with_containerd(service.image) == Some(false)) {
                findings.note(
                    "dind-rootless-kernel",
                    format!("{title}: with kernel {major}.{minor}, its rootless daemon keeps images in a slow way, and from release {CONTAINERD} on starts no container"),
                    &repair,
                );
            } else {
                findings.problem(
                    "dind-rootless-kernel",
                    format!("{title}: with kernel {major}.{minor}, the rootless daemon of its service starts no container"),
                    Repair::from("let that service in config.toml be docker:28-dind-rootless; or ") + &repair,
                );
            }
        }
    }
    findings.else_fine("no rootless daemon is wanted here");
    Ok(())
}

/// What a job leaves in a volume must be no way to root, where the profile is a wall.
pub(super) fn volumes(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let is_closed = context.wanted.names("services_limit");
    if !is_closed || !context.wanted.is_rootless() {
        findings.fine("the profile relies on no mount of volumes");
        return Ok(());
    }
    let roots = docker::data_roots(context)?;
    if roots.is_empty() && !local(context)?.is_empty() {
        findings.unknown("docker-daemon-down", "no daemon says where it keeps volumes", "see docker-daemon");
    }
    for path in roots.iter().map(|root| root.join("volumes")) {
        let shown = path.display().to_string();
        let Some(system) = context.facts.file_system(&path)? else {
            findings.unknown(
                "docker-volumes-mount",
                format!("Docker says that its volumes are in {shown}, which is not there"),
                "where the daemon runs in a container, look there how it is mounted",
            );
            continue;
        };
        if !(system.nosuid && system.nodev) {
            let is_plain = shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
            findings.problem(
                "docker-volumes-mount",
                format!(
                    "the file system of {shown} is mounted without nosuid,nodev: what a job leaves in a volume can make \
                     the next one root, and {} is no wall",
                    context.options.profiles.join(",")
                ),
                if is_plain {
                    mend!("mount it so, now and with the machine: $ printf '%s\\n' '{0} {0} none bind,nosuid,nodev 0 0' >> \
                         /etc/fstab && mount {0}", shown)
                } else {
                    "mount that directory with nosuid,nodev by a line in /etc/fstab".into()
                },
            );
        }
    }
    findings.else_fine("Docker's volumes are mounted with nosuid,nodev");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let route = |name: &str, to: &str, flags: &str, metric: u32| {
            format!("{name}\t{to}\t0100A8C0\t{flags}\t0\t0\t{metric}\t{to}\t0\t0\t0\n")
        };
        let table = [
            head,
            &route("wlan0", "00000000", "0003", 600),
            &route("eth0", "00000000", "0003", 100),
            &route("down0", "00000000", "0002", 1),
            &route("docker0", "000011AC", "0001", 0),
        ]
        .concat();
        assert_eq!(default_interface(&table), Some("eth0"));
        assert_eq!(default_interface(head), None);
        assert_eq!(default_interface(&route("../x", "00000000", "0003", 0)), None);
    }

    #[test]
    fn the_mtu_in_a_command() {
        for (command, told) in [
            (&["--mtu=1400"][..], Some(1400)),
            (&["dockerd", "--mtu", "1360"], Some(1360)),
            (&["--mtu"], None),
            (&["--mtus=1"], None),
            (&[], None),
        ] {
            assert_eq!(told_mtu(command), told, "{command:?}");
        }
    }
}
