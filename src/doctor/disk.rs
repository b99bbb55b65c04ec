//! Room for jobs: the file systems of checkouts, of caches, and of the Docker daemon's data.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{DoctorContext, docker};
use crate::facts::machine::{FileSystem, Room};
use crate::finding::Findings;
use crate::repair::{Repair, quoted};
use crate::runner_config::Volume;

/// What gitlab-runner's package has against full disks.
const CLEAR: &str = "/usr/share/gitlab-runner/clear-docker-cache";

/// Less than a twentieth, and less than these, is as good as nothing for a job.
const LEAST_BYTES: u64 = 1024 * 1024 * 1024;
const LEAST_INODES: u64 = 10_000;

/// A directory that jobs fill.
struct Filled {
    /// For messages.
    what: String,
    /// Where it is.
    path: PathBuf,
    /// How it is called in a command; `None` where the path is a value of config.toml.
    shown: Option<String>,
    is_docker: bool,
}

/// Each file system that jobs fill has room, said once.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let mut found: Vec<(FileSystem, Vec<Filled>)> = Vec::new();
    let of_docker = of_volumes(context)?.into_iter().chain(of_docker(context)?);
    for place in of_jobs(context)?.into_iter().chain(of_docker) {
        let Some(system) = existing(context, &place.path)? else { continue };
        match found.iter_mut().find(|(other, _)| other.device == system.device) {
            Some((_, places)) => places.push(place),
            None => found.push((system, vec![place])),
        }
    }
    for (system, places) in &found {
        judge(context, *system, places, findings)?;
    }
    findings.else_fine("the file systems that jobs fill have room");
    Ok(())
}

/// Where runners of the shell executor have checkouts and caches, as far as it is known.
fn of_jobs(context: &DoctorContext<'_>) -> Result<Vec<Filled>> {
    let mut found: Vec<Filled> = Vec::new();
    let home = context.account().map(|account| &account.home);
    let base = context.service().and_then(|service| service.directory.as_ref()).or(home);
    for runner in context.all_runners()?.iter().filter(|runner| runner.has_executor("shell")) {
        for (key, name) in [("builds_dir", "builds"), ("cache_dir", "cache")] {
            let place = match runner.text(key).filter(|text| !text.is_empty()) {
                Some(text) if text.starts_with('/') && !text.contains('$') => {
                    let what = format!("`{key}` of {}", runner.title());
                    Filled { what, path: text.into(), shown: None, is_docker: false }
                }
                // It depends on the job.
                Some(_) => continue,
                None => {
                    let Some(path) = base.map(|base| base.join(name)) else { continue };
                    let shown = path.display().to_string();
                    Filled { what: shown.clone(), path, shown: Some(shown), is_docker: false }
                }
            };
            if !found.iter().any(|other| other.path == place.path) {
                found.push(place);
            }
        }
    }
    Ok(found)
}

/// Directories of the host that containers have as their builds or cache.
fn of_volumes(context: &DoctorContext<'_>) -> Result<Vec<Filled>> {
    let mut found = Vec::new();
    for (runner, socket) in docker::runners(context)? {
        let of_jobs = ["/builds", "/cache", runner.text("builds_dir").unwrap_or_default()];
        for volume in runner.docker_strings("volumes").into_iter().map(Volume::parse) {
            let source = volume.source.filter(|source| source.starts_with('/') && !source.contains('$'));
            if let Some(source) = source.filter(|_| socket.is_some() && of_jobs.contains(&volume.path)) {
                let what = format!("the directory that {} mounts at {}", runner.title(), volume.path);
                found.push(Filled { what, path: source.into(), shown: None, is_docker: false });
            }
        }
    }
    Ok(found)
}

/// Where the daemons on this machine keep images, containers and volumes.
fn of_docker(context: &DoctorContext<'_>) -> Result<Vec<Filled>> {
    let mut found = Vec::new();
    for path in docker::data_roots(context)? {
        // A daemon in a container means a path of that container.
        if context.facts.file_system(&path)?.is_some() {
            let shown = path.display().to_string();
            found.push(Filled {
                what: format!("Docker's {shown}"),
                path,
                shown: Some(shown),
                is_docker: true,
            });
        }
    }
    Ok(found)
}

/// The file system of a directory, or where it will be made.
fn existing(context: &DoctorContext<'_>, path: &Path) -> Result<Option<FileSystem>> {
    for path in path.ancestors() {
        if let Some(found) = context.facts.file_system(path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn judge(
    context: &DoctorContext<'_>,
    system: FileSystem,
    places: &[Filled],
    findings: &mut Findings,
) -> Result<()> {
    let is_low = |room: Room, least: u64| room.free < least && room.free < room.total / 20;
    let FileSystem { bytes, inodes, .. } = system;
    let mut left = Vec::new();
    if is_low(bytes, LEAST_BYTES) {
        left.push(format!("{} of {}", size(bytes.free), size(bytes.total)));
    }
    if is_low(inodes, LEAST_INODES) {
        left.push(format!("{} of {} inodes", inodes.free, inodes.total));
    }
    if left.is_empty() {
        return Ok(());
    }
    let names = places.iter().map(|place| place.what.as_str()).collect::<Vec<_>>().join(", ");
    let mut steps = Vec::new();
    if places.iter().any(|place| place.is_docker) {
        let clear = context.facts.stat(Path::new(CLEAR))?.map(|_| mend!("$ bash {}; ", CLEAR));
        steps.push(
            Repair::from("remove caches and containers that nothing uses: ")
                + clear.unwrap_or_default()
                + "$ docker system prune --force",
        );
    }
    let shown: Vec<String> = places
        .iter()
        .filter(|place| !place.is_docker)
        .filter_map(|place| place.shown.as_deref())
        .map(quoted)
        .collect();
    if !shown.is_empty() {
        steps.push(mend!(
            "see which checkouts are large, and remove those that no job needs: $ du -xsh {}",
            shown.join(" ")
        ));
    } else if steps.is_empty() {
        steps.push("see what fills it, and remove what no job needs: $ df -h; $ df -i".into());
    }
    let left = left.join(" and ");
    let what = format!(
        "the file system of {names} has only {left} left: jobs fail with \"no space left on device\""
    );
    findings.problem("disk-full", what, Repair::all(steps));
    Ok(())
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes / 1024, 0);
    while value >= 10 * 1024 && unit + 1 < units.len() {
        (value, unit) = (value / 1024, unit + 1);
    }
    format!("{value} {}", units[unit])
}
