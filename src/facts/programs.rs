//! The programs that pipelines call: which of them a host lacks, and the one command that installs those.
//!
//! Owns what a program's package is called, by package manager. Nobody else names a package.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Facts;
use super::service::Service;
use crate::change::{Notes, Owner};
use crate::repair::{Repair, run};
use crate::seen::Stat;

/// Where distributions and administrators put programs.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"];

/// Where package managers are.
const OF_SYSTEM: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// What shows that a daemon serves clients of Docker, beside its program and podman.
const DAEMON: [&str; 2] = ["/run/docker.sock", "/snap/bin/docker"];

/// A package manager.
struct Manager {
    program: &'static str,
    /// What comes first, for lists that an image does not have.
    refresh: Option<&'static str>,
    install: &'static str,
    /// Packages of another name than the program's.
    names: &'static [(&'static str, &'static str)],
    /// GitLab's own repository has packages for it: the name of the script that sets it up.
    script: Option<&'static str>,
    /// The package of Docker; where the distributions have none, it comes from Docker's repository.
    docker: Option<&'static str>,
    /// What starts its daemon, where the package does not.
    start: Option<&'static str>,
}

/// The one that a system has. The first that is there counts: dnf and the like can be installed on Debian, and the
/// other way round, but come later there.
const MANAGERS: [Manager; 7] = [
    Manager {
        program: "apt-get",
        refresh: Some("apt-get update"),
        install: "apt-get install -y",
        names: &[("ssh", "openssh-client"), ("useradd", "passwd"), ("su", "util-linux")],
        script: Some("script.deb.sh"),
        docker: Some("docker.io"),
        start: None,
    },
    Manager { program: "dnf", install: "dnf install -y", ..RED_HAT },
    Manager { program: "microdnf", install: "microdnf install -y", ..RED_HAT },
    Manager { program: "yum", install: "yum install -y", ..RED_HAT },
    Manager {
        program: "zypper",
        install: "zypper --non-interactive install",
        names: &[("ssh", "openssh-clients"), ("useradd", "shadow"), ("su", "util-linux")],
        docker: Some("docker"),
        ..RED_HAT
    },
    Manager {
        program: "apk",
        refresh: None,
        // Its lists are not there either in an image.
        install: "apk add --update-cache",
        names: &[("ssh", "openssh-client"), ("useradd", "shadow"), ("su", "util-linux")],
        script: None,
        docker: Some("docker"),
        start: Some("rc-update add docker default && rc-service docker start"),
    },
    Manager {
        program: "pacman",
        refresh: None,
        install: "pacman -Sy --noconfirm --needed",
        names: &[("ssh", "openssh"), ("useradd", "shadow"), ("su", "util-linux")],
        script: None,
        docker: Some("docker"),
        ..RED_HAT
    },
];

const RED_HAT: Manager = Manager {
    program: "",
    refresh: None,
    install: "",
    names: &[("ssh", "openssh-clients"), ("useradd", "shadow-utils"), ("su", "util-linux")],
    script: Some("script.rpm.sh"),
    docker: None,
    start: Some("systemctl enable --now docker"),
};

/// Programs whose package is known on every system; the names of the others' are anybody's guess.
const KNOWN: [&str; 9] = ["sudo", "rsync", "git", "ssh", "gitlab-runner", "docker", DOCKERD, "useradd", "su"];

/// What a gitlab-runner leaves that has registered a runner.
const REGISTERED: &str = "/etc/gitlab-runner/config.toml";

/// The daemon that starts containers for gitlab-runner.
pub const DOCKERD: &str = "dockerd";

/// True for a program that [`install`] can install.
pub fn is_known(program: &str) -> bool {
    KNOWN.contains(&program)
}

/// A program in the directories where programs are, with what is known of its file.
pub fn located(facts: &Facts<'_>, name: &str) -> Option<(PathBuf, Stat)> {
    located_in(facts, DIRECTORIES, name)
}

/// The same in other directories.
pub fn located_in<'d>(
    facts: &Facts<'_>,
    directories: impl IntoIterator<Item = &'d str>,
    name: &str,
) -> Option<(PathBuf, Stat)> {
    let mut paths = directories.into_iter().map(|dir| Path::new(dir).join(name));
    paths.find_map(|path| facts.program_stat(&path).map(|stat| (path, stat)))
}

/// That this sudo can't become root, and what mends it.
///
/// # Errors
/// When the owner's number can't be looked up.
pub fn powerless(facts: &Facts<'_>, (sudo, stat): &(PathBuf, Stat)) -> Result<Option<(String, Repair)>> {
    let (root, _) = facts.ids(&Owner::Root)?.unwrap_or_default();
    let is_it = stat.mode & 0o4000 == 0 || stat.uid != root;
    let shown = sudo.display();
    Ok(is_it.then(|| {
        let what = format!("{shown} can't become root: it is not a setuid program of root's");
        let repair = mend!("$ chown root: {0}; $ chmod 4755 {0}", shown);
        let doubt = "its owner could write it: let the package manager reinstall sudo; or, where its content is known to be good: ";
        (what, if stat.uid == root { repair } else { Repair::from(doubt) + repair })
    }))
}

/// True when a program is there, by its name or by its path.
///
/// # Errors
/// When it can't be looked at.
pub fn is_there(facts: &Facts<'_>, program: &str) -> Result<bool> {
    if program.starts_with('/') {
        return Ok(facts.stat(Path::new(program))?.is_some());
    }
    let is_program = |name: &str| located(facts, name).is_some();
    let is_one_there =
        |paths: &[&str]| paths.iter().any(|path| matches!(facts.stat(Path::new(path)), Ok(Some(_))));
    Ok(is_program(program)
        || match program {
            DOCKERD => is_program("podman") || is_one_there(&DAEMON),
            // A part of a system, such as a tree of files that others lay over it, need not have the program.
            "sudo" if !is_whole(facts) => is_one_there(&["/etc/sudoers", "/usr/etc/sudoers"]),
            _ => false,
        })
}

/// [`is_there`], also for what the service of gitlab-runner has from elsewhere: itself out of any file or out of a
/// container, and a daemon at an address.
///
/// # Errors
/// When it can't be looked at.
pub fn is_had(facts: &Facts<'_>, service: Option<&Service>, program: &str) -> Result<bool> {
    if is_there(facts, program)? {
        return Ok(true);
    }
    match program {
        "gitlab-runner" => {
            let is_one = |program: &str| matches!(is_there(facts, program), Ok(true));
            let of_unit = service.and_then(|service| service.program.as_ref()?.to_str());
            let in_container = || match facts.runs_runner() {
                Some(answer) => answer.unwrap_or(true),
                // Whether something will start it in a tree is not known, but that it was there before.
                None => is_one(REGISTERED) && is_one(DOCKERD),
            };
            Ok(of_unit.is_some_and(is_one) || facts.runner_version(false)?.is_some() || in_container())
        }
        DOCKERD => {
            let host = service.map(|service| service.docker_host(facts)).transpose()?.flatten();
            Ok(host.is_some_and(|host| !host.ends_with(DAEMON[0])))
        }
        _ => Ok(false),
    }
}

/// Without sudo, or a program that it is to run, nothing can be allowed: true when one is missing that can be installed,
/// which is noted.
///
/// # Errors
/// When it can't be looked at.
pub fn lacks<'p>(
    facts: &Facts<'_>,
    commands: impl Iterator<Item = &'p str>,
    notes: &mut Notes,
) -> Result<bool> {
    let mut lacks = false;
    for program in ["sudo"].into_iter().chain(commands) {
        let name = program.rsplit('/').next().unwrap_or(program);
        if is_known(name) && !is_there(facts, program)? {
            notes.lacks.push(name.to_owned());
            lacks = true;
        }
    }
    Ok(lacks)
}

/// True for a system that has a package manager, so that what is not in it is missing. A tree without one may be a part
/// of a system.
pub fn is_whole(facts: &Facts<'_>) -> bool {
    facts.is_host() || manager(facts).is_some()
}

fn manager(facts: &Facts<'_>) -> Option<&'static Manager> {
    for manager in &MANAGERS {
        for directory in OF_SYSTEM {
            if facts.stat(&Path::new(directory).join(manager.program)).is_ok_and(|seen| seen.is_some()) {
                return Some(manager);
            }
        }
    }
    None
}

/// The command that installs these programs, on one line.
///
/// # Errors
/// When the host can't be looked at.
pub fn install(facts: &Facts<'_>, programs: &[&str]) -> Result<Repair> {
    let Some(manager) = manager(facts) else {
        let programs: Vec<&str> =
            programs.iter().map(|name| if *name == "ssh" { "the SSH client" } else { name }).collect();
        return Ok(mend!("put {} there by hand, because no package manager is known", programs.join(", ")));
    };
    let from_gitlab = manager.script.filter(|_| programs.contains(&"gitlab-runner"));
    let is_docker = |program: &&str| ["docker", DOCKERD].contains(program);
    let from_docker = manager.docker.is_none() && programs.iter().any(is_docker);
    let name = |program: &'static str| match program {
        "gitlab-runner" if from_gitlab.is_some() => None,
        _ if is_docker(&program) => manager.docker,
        _ => {
            let known = manager.names.iter().find(|(name, _)| *name == program);
            Some(known.map_or(program, |(_, package)| *package))
        }
    };
    let known = KNOWN.into_iter().filter(|known| programs.contains(known));
    let mut packages: Vec<&str> = known.filter_map(name).collect();
    // Docker's client and its daemon, side by side.
    packages.dedup();
    if (from_gitlab.is_some() || from_docker) && !is_there(facts, "curl")? {
        packages.extend(["curl", "ca-certificates"]);
    }
    let mut steps: Vec<String> = Vec::new();
    if !packages.is_empty() || from_gitlab.is_some() {
        steps.extend(manager.refresh.map(str::to_owned));
    }
    if !packages.is_empty() {
        steps.push(format!("{} {}", manager.install, packages.join(" ")));
    }
    if from_docker {
        let system = system(facts)?;
        steps.push(format!(
            "curl -fsSL https://download.docker.com/linux/{system}/docker-ce.repo -o /etc/yum.repos.d/docker-ce.repo"
        ));
        steps.push(format!("{} docker-ce docker-ce-cli containerd.io", manager.install));
    }
    if let Some(script) = from_gitlab {
        // The distributions' own gitlab-runner is years old, or there is none.
        let file = "/root/gitlab-runner.repository.sh";
        steps.push(format!(
            "curl -fsSL https://packages.gitlab.com/install/repositories/runner/gitlab-runner/{script} -o {file}"
        ));
        steps.push(format!("bash {file}"));
        steps.push(format!("{} gitlab-runner", manager.install));
    }
    steps.extend(manager.start.filter(|_| programs.contains(&DOCKERD)).map(str::to_owned));
    Ok(run(steps.join(" && ")))
}

/// How gitlab-runner becomes that version or a newer one.
///
/// # Errors
/// When the host can't be looked at.
pub fn update_runner(facts: &Facts<'_>, version: &str) -> Result<Repair> {
    let what = mend!("update gitlab-runner to {} or later", version);
    if manager(facts).is_none() {
        return Ok(what);
    }
    Ok(what + ": " + install(facts, &["gitlab-runner"])?)
}

/// Docker's name for a system of Red Hat's kind.
fn system(facts: &Facts<'_>) -> Result<&'static str> {
    let text = facts.text(Path::new("/etc/os-release"))?;
    let id = text.lines().find_map(|line| line.strip_prefix("ID=")).map(|id| id.trim_matches('"').to_owned());
    Ok(match id.as_deref() {
        Some("fedora") => "fedora",
        Some("rhel") => "rhel",
        _ => "centos",
    })
}
