//! `runner-prep doctor`: from the arguments to findings and an exit code.

use std::cell::OnceCell;

use anyhow::Result;

use super::exit::{Call, Exit, Streams};
use super::output::{json, write};
use super::place::{Site, reader, same_options};
use super::store::{resolve, sections};
use crate::cli::DoctorOptions;
use crate::doctor::{self, DoctorContext};
use crate::facts::Facts;
use crate::fault::{self, Nature};
use crate::finding::Findings;
use crate::gitlab::section;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::repair::Reader;
use crate::report::{Diagnosis, Status};
use crate::resource::{self, Context, ExaminedConfig, Options, Target, Wanted};
use crate::runner_config::Runner;
use crate::sys::identity;

/// Examine the host, and say what was found.
pub(super) fn run(call: Call<'_>, asked: &DoctorOptions, streams: &mut Streams<'_>) -> Exit {
    let diagnosis = examine(call, asked).unwrap_or_else(|error| Diagnosis::failed(&asked.profile, &error));
    let reader = reader_of(call, asked, &diagnosis.profiles);
    let diagnosis = diagnosis.addressed(&reader);
    if call.cli.global.json {
        write(streams.out, &json(&diagnosis));
    } else {
        write(streams.out, &diagnosis.results(call.style));
        write(streams.err, &diagnosis.problems(call.style));
    }
    match diagnosis.status {
        Status::Failed => Exit::Error,
        Status::Differs => Exit::Differs,
        // What could have been seen and was not is not fine.
        _ if diagnosis.is_incomplete() => Exit::Error,
        _ => Exit::Converged,
    }
}

fn reader_of(call: Call<'_>, asked: &DoctorOptions, names: &[String]) -> Reader {
    reader(call, names, same_options(&asked.host, asked.runner_version))
}

fn examine(call: Call<'_>, asked: &DoctorOptions) -> Result<Diagnosis> {
    let site = Site::open(call, asked.host.user.as_deref())?;
    let (root, facts) = (&site.root, site.facts());
    if root.is_host() && !identity::is_root() {
        return Err(Nature::NotRoot.fault(
            "not-root",
            "runner-prep looks at the whole host and must be root",
            "call it with sudo, or give it a tree of your own with --root: $ sudo runner-prep doctor",
        ));
    }
    let mut options = Options {
        config: asked.host.config.clone(),
        runners: asked.host.runner.clone(),
        runner_version: asked.runner_version,
        ask_sudo: true,
        ..Options::default()
    };
    let (names, chosen) = match &asked.profile[..] {
        [] => choose(&facts, asked, &options)?,
        names => (names.to_vec(), None),
    };
    options.profiles.clone_from(&names);
    options.command = reader_of(call, asked, &names).apply();
    let profile = Profile::load(&names, &sections(), &site)?;
    let Options { server, servers, trusts_authority, .. } = resource::options(&profile)?;
    (options.server, options.servers, options.trusts_authority) = (server, servers, trusts_authority);
    let kinds: Vec<&str> = resolve(&profile, &|_| true)?.kinds().collect();
    let name = resource::account_name(&profile, asked.host.user.as_ref())?;
    let target = match Target::find(&facts, name) {
        Ok(target) => target,
        Err(error) => return no_account(&names, chosen, error),
    };
    let context = Context { facts: &facts, target: &target, options: &options };
    let plan = |kind: &str| Plan::build(&Wanted::resolve(&profile, &|one| one == kind)?, &context);
    let all = || -> Vec<_> { kinds.iter().map(|kind| (*kind, plan(kind))).collect() };
    let plans = site.look(call, all, |plans| plans.iter().any(|(_, plan)| plan.is_err()));
    let (wanted, sudo_programs) = resource::wanted_of(&profile)?;
    let gitlab = section::of(&profile)?;
    let config = ExaminedConfig::of(&context);
    let version = match asked.runner_version {
        Some(version) => Ok(Some(version)),
        None => facts.runner_version(true),
    };
    let context = DoctorContext {
        facts: &facts,
        target: &target,
        options: &options,
        wanted,
        sudo_programs,
        projects: gitlab.as_ref().map(|gitlab| {
            (gitlab.url.as_str(), gitlab.projects.iter().map(|project| project.path.as_str()).collect())
        }),
        plans,
        config,
        version,
        online: asked.online,
        registries: &asked.registry,
        login: OnceCell::new(),
    };
    let mut found = doctor::examine(&context);
    if asked.online && root.is_host() {
        found.extend(super::gitlab::findings(asked, &profile, (root, &facts)));
    }
    Ok(Diagnosis::of(&names, chosen, found))
}

/// Without a profile: the one that the registered runners suggest, and why.
fn choose(
    facts: &Facts<'_>,
    asked: &DoctorOptions,
    options: &Options,
) -> Result<(Vec<String>, Option<String>)> {
    let answer = |name: &str, why: &str| Ok((vec![name.to_owned()], Some(why.to_owned())));
    let target = match Target::find(facts, asked.host.user.clone()) {
        Ok(target) => target,
        Err(error) if fault::is(&error, Nature::NoAccount) => {
            return answer("shell", "no profile was named");
        }
        Err(error) => return Err(error),
    };
    let config = ExaminedConfig::of(&Context { facts, target: &target, options });
    if config.runners().is_ok_and(|runners| runners.iter().any(Runner::starts_containers)) {
        answer("dind", "no profile was named, and a runner starts containers")
    } else {
        answer("shell", "no profile was named, and no runner starts containers")
    }
}

/// Without a usable account nothing else can be looked at: that is the finding.
fn no_account(names: &[String], chosen: Option<String>, error: anyhow::Error) -> Result<Diagnosis> {
    match fault::find(&error) {
        Some(found) if found.nature == Nature::NoAccount => {
            let mut findings = Findings::of("account");
            findings.problem(found.code, format!("{error:#}"), &found.repair);
            Ok(Diagnosis::of(names, chosen, findings.into_list()))
        }
        _ => Err(error),
    }
}
