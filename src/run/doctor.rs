//! `runner-prep doctor`: from the arguments to findings, or to what an error of a job means, and an exit code.

use std::cell::OnceCell;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::exit::{Call, Exit, Streams};
use super::output::{json, print, write};
use super::place::{Site, machine, reader, same_options};
use super::store::{resolve, sections};
use crate::cli::DoctorOptions;
use crate::doctor::explain::{self, Errors};
use crate::doctor::{self, DoctorContext};
use crate::facts::Facts;
use crate::fault::{self, Nature, quoted};
use crate::finding::Findings;
use crate::gitlab::section;
use crate::plan::Plan;
use crate::profile::{self, Profile};
use crate::repair::Reader;
use crate::report::{Diagnosis, Explanation, Report, Status};
use crate::resource::{self, Context, ExaminedConfig, Options, Target, Wanted};
use crate::runner_config::Runner;
use crate::sys::dir::FileKind;
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

/// No more of a log is read. GitLab keeps 4 MiB of a job by default.
const MOST_BYTES: u64 = 16 << 20;

/// No known text is shorter.
const LEAST_BYTES: usize = 8;

/// Explain what was given. Exit code 0 where something of it is known, 1 where nothing is.
pub(super) fn explain(call: Call<'_>, asked: &DoctorOptions, streams: &mut Streams<'_>) -> Exit {
    let explanation = match answer(call, asked) {
        Ok(explanation) => explanation,
        Err(error) => {
            print(&Report::failed(&[], &error), call, streams);
            return Exit::Error;
        }
    };
    if call.cli.global.json {
        write(streams.out, &json(&explanation));
    } else {
        write(streams.out, &explanation.results(call.style));
    }
    if explanation.explanations.is_empty() { Exit::Differs } else { Exit::Converged }
}

fn answer(call: Call<'_>, asked: &DoctorOptions) -> Result<Explanation> {
    // A log may hold secrets: no core dump, no reader of this memory.
    identity::harden()?;
    if let Some(code) = &asked.explain {
        let found: Vec<_> = explain::code(code).into_iter().collect();
        let mut explanation = Explanation::of(found, "");
        if explanation.explanations.is_empty() {
            let codes: Vec<&str> = explain::codes().map(|(code, _)| code).collect();
            let near = profile::suggest(code, &codes).map(|near| format!("; did you mean {near}?"));
            explanation.msg = format!(
                "doctor has no such code{}",
                near.as_deref().unwrap_or("; it shows its codes in brackets: sudo runner-prep doctor")
            );
        }
        return Ok(explanation);
    }
    let mut errors = Errors::known();
    if asked.text == ["-"] {
        let is_whole = read(std::io::stdin().lock(), &mut errors)?;
        let rest = "only the first 16 MiB were read: give the end of the log alone, through tail -c 4000000";
        return Ok(Explanation::of(errors.met(), if is_whole { "" } else { rest }));
    }
    // Several words are a text without quotes around it.
    let text = asked.text.join(" ");
    for (index, line) in text.split('\n').enumerate() {
        errors.read(index + 1, line);
    }
    errors.read_part(&text);
    let mut explanation = Explanation::of(errors.met(), "");
    if explanation.explanations.is_empty() && is_file(call, Path::new(&text)) {
        let shown = quoted(text);
        explanation.msg = format!("{shown} is a file; for the errors in it: runner-prep doctor - < {shown}");
    }
    Ok(explanation)
}

/// True when the text is the path of a log, in the place of the log itself.
fn is_file(call: Call<'_>, path: &Path) -> bool {
    let found = machine(call.environment, None).and_then(|machine| machine.given_file(path, MOST_BYTES));
    found.is_ok_and(|found| found.is_some_and(|entry| entry.kind == FileKind::Regular))
}

/// Read a log line by line; false where it is longer than what is read.
fn read(input: impl BufRead, errors: &mut Errors) -> Result<bool> {
    let mut input = input.take(MOST_BYTES + 1);
    let mut line = Zeroizing::new(Vec::new());
    let (mut number, mut bytes) = (0, 0);
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).context("cannot read standard input")?;
        if read == 0 {
            return Ok(bytes <= MOST_BYTES);
        }
        (number, bytes) = (number + 1, bytes + read as u64);
        if read >= LEAST_BYTES {
            errors.read(number, &String::from_utf8_lossy(&line));
        }
    }
}
