//! The programs that the profile's pipelines call: there, and found by the account.
//!
//! The one check that says what is not installed, with one command for all of it.

use std::path::Path;

use anyhow::Result;

use super::DoctorContext;
use super::context::{Login, Running};
use super::login;
use crate::facts::programs::{DOCKERD, install, is_had, is_known, is_there, is_whole};
use crate::finding::Findings;
use crate::repair::{Repair, quoted};
use crate::resource::SudoPrograms;
use crate::runner_config::Runner;

/// Where programs are found when nobody says otherwise.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let mut wanted = Vec::new();
    let mut want = |program: &'static str, is_wanted: bool| {
        if is_wanted {
            wanted.push(program);
        }
    };
    let SudoPrograms { as_anybody, as_account } = &context.sudo_programs;
    let commands = || as_anybody.iter().chain(as_account);
    let calls = |name: &str| commands().any(|command| Path::new(command).ends_with(name));
    want("sudo", context.wants("deploy") || commands().next().is_some());
    want("rsync", context.wants("deploy") || calls("rsync"));
    want("git", context.wants_any(super::context::SHELL));
    want("ssh", context.wants_any(&["ssh_key", "known_hosts"]));
    want(
        "docker",
        context.account().is_some() && context.target.is_in(context.facts, "docker")? || calls("docker"),
    );
    want("gitlab-runner", true);
    want(DOCKERD, needs_daemon(context));
    let mut missing = Vec::new();
    for program in wanted.iter().copied() {
        let is_missing = match program {
            "gitlab-runner" | DOCKERD => !is_had(context.facts, context.service(), program)?,
            "docker" => context.find(USUAL_PATH.split(':'), program).is_none(),
            // The rule names a path.
            _ => match commands().find(|command| Path::new(command).ends_with(program)) {
                Some(path) => !is_there(context.facts, path)?,
                None => !is_there(context.facts, program)?,
            },
        };
        if is_missing && is_known(program) {
            missing.push(program);
        }
    }
    let repair = if missing.is_empty() { Repair::default() } else { install(context.facts, &missing)? };
    for program in &missing {
        let code = match *program {
            "sudo" => "sudo-missing".to_owned(),
            "gitlab-runner" => "runner-missing".to_owned(),
            name => format!("{name}-not-found"),
        };
        findings.problem(&code, format!("{program} is not installed"), &repair);
    }
    let of_jobs = wanted.into_iter().filter(|name| login::PROGRAMS.contains(name) && !missing.contains(name));
    if let Login::Good(found) = login::tried(context)? {
        let hidden: Vec<&str> = of_jobs.filter(|name| !found.iter().any(|one| one == name)).collect();
        let by_line = if hidden.is_empty() { None } else { login::hides(context, &hidden) };
        for name in hidden {
            let path = context.find(USUAL_PATH.split(':'), name).unwrap_or_default();
            let link = Path::new("/usr/local/bin").join(name);
            let correct = || mend!("correct PATH in the login files of {}", context.name());
            let by = by_line.as_ref().map(|(_, line)| format!("; so it is by {line}")).unwrap_or_default();
            findings.problem(
                &format!("{name}-not-found"),
                format!("{} does not find {name}, which is {}{by}", context.name(), path.display()),
                match &by_line {
                    Some((repair, _)) => repair.clone(),
                    None if path == link => correct(),
                    None => correct() + mend!(", or: $ ln -s {} {}", quoted(&path), link.display()),
                },
            );
        }
    }
    if findings.is_empty() {
        let contained = matches!(context.running()?, Running::Contained(_));
        let place = if contained { "; gitlab-runner is in a container's image" } else { "" };
        findings.fine(format!("all that jobs call is there{place}"));
    }
    Ok(())
}

/// True when a runner of the profile starts containers with the usual daemon, or will once it is registered. What others
/// lay over a part of a system is not known.
fn needs_daemon(context: &DoctorContext<'_>) -> bool {
    let needs = || match context.docker_runners() {
        Ok(runners) if !runners.is_empty() => runners.iter().any(Runner::has_usual_daemon),
        _ => context.wanted.wants_usual_daemon(),
    };
    context.wants("config") && needs() && is_whole(context.facts)
}
