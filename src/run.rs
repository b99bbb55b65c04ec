//! The commands: from the arguments to a report and an exit code.
//!
//! Owns the order of the steps. Decides nothing about a resource.

mod complete;
mod doctor;
mod exit;
mod gitlab;
mod key;
mod output;
mod place;
mod spinner;
mod store;
mod undo;

use anyhow::Result;
use output::{deliver, fail, json, print};
use place::{Site, options, reader, require_root};
use spinner::Spinner;
use store::{kinds, listed, nothing, resolve, sections};

use crate::apply::{Leftovers, STATE, Session, caught, takes_rights_away};
use crate::change::{Harm, Note, Outcome};
use crate::cli::{self, Cli, Command, Environment, Selection};
use crate::doctor::root_causes;
use crate::fault::{self, fault};
use crate::plan::Plan;
use crate::profile::Profile;
use crate::report::{DetailLevel, Listed, Profiles, Report, Text, text};
use crate::resource::{self, Context, Options, Target, Wanted};
use crate::text::key_pair::KeyKind;
use crate::{completion, manual, schema};

pub use complete::complete;
pub use exit::{Call, Exit, Streams};
pub(crate) use output::write;
pub use output::{crashed, usage};
pub(crate) use place::machine;

/// Run the program.
pub fn run(cli: &Cli, environment: Environment, streams: &mut Streams<'_>) -> Exit {
    let call = Call::new(cli, environment, streams.columns);
    match &cli.command {
        Command::Doctor(asked) if asked.explains() => doctor::explain(call, asked, streams),
        Command::Doctor(asked) => doctor::run(call, asked, streams),
        Command::Key(key) if key.rotate => key::rotate(call, key, streams),
        Command::Profile(_)
        | Command::Key(_)
        | Command::Template(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Schema(_) => answer(call, streams),
        Command::Gitlab(command) => gitlab::run(call, command, streams),
        Command::Undo(command) => undo::run(call, command, streams),
        Command::Apply(apply) => {
            let write = !apply.dry_run;
            let call = if write { call } else { call.with_differences() };
            let report = host(call, &apply.selection, write, call.extent());
            print(&report, call, streams);
            match Exit::of(&report) {
                Exit::Pending if apply.selection.allow_pending => Exit::Converged,
                exit => exit,
            }
        }
        Command::Plan(plan) => {
            let call = call.with_differences();
            let report = host(call, &plan.selection, false, call.extent());
            print(&report, call, streams);
            Exit::looked(&report, plan.exit_code, false)
        }
        Command::Check(check) => {
            let selection = &check.selection;
            let report = host(call, selection, false, call.extent());
            print(&report, call, streams);
            Exit::looked(&report, true, !selection.allow_pending)
        }
    }
}

/// Plan, and write if asked to; every error becomes part of the report.
pub fn host(call: Call<'_>, selection: &Selection, write: bool, extent: DetailLevel) -> Report {
    let names = &selection.profile;
    work(call, selection, write, extent)
        .unwrap_or_else(|error| Report::failed(names, &error))
        .addressed(reader(call, names, options(selection)))
}

/// What the command line says to the resources.
fn wanted_options(call: Call<'_>, selection: &Selection, profile: &Profile) -> Result<Options> {
    let names = &selection.profile;
    let of_profile = resource::options(profile)?;
    Ok(Options {
        trusts_authority: kinds(selection)?("config") && of_profile.trusts_authority,
        adopt: selection.adopt,
        config: selection.host.config.clone(),
        runners: selection.host.runner.clone(),
        profiles: names.clone(),
        command: reader(call, names, options(selection)).apply(),
        accept_new_host_keys: selection.accept_new_host_keys,
        scan_host_keys: selection.scan_host_keys,
        runner_version: selection.runner_version,
        confined: matches!(call.cli.command, Command::Check(_)),
        ..of_profile
    })
}

fn work(call: Call<'_>, selection: &Selection, write: bool, extent: DetailLevel) -> Result<Report> {
    let names = &selection.profile;
    let mut site = Site::open(call, selection.host.user.as_deref())?;
    site.root.set_adopts(selection.adopt);
    let (root, facts) = (&site.root, &site.facts());
    let profile = &Profile::load_with(names, selection.given.as_deref(), &sections(), &site)?;
    let wanted = &resolve(profile, &kinds(selection)?)?;
    if wanted.kinds().next().is_none() {
        return Err(nothing(names, selection));
    }
    require_root(root, if write { "apply" } else { "plan" })?;
    let options = wanted_options(call, selection, profile)?;
    let name = resource::account_name(profile, selection.host.user.as_ref())?;
    let plan_of = |wanted: &Wanted| -> Result<Plan> {
        let target = Target::find(facts, name.clone())?;
        let context = Context { facts, target: &target, options: &options };
        Plan::build(wanted, &context)
    };
    let build = || plan_of(wanted);
    // What an earlier run left half written or half made is repaired before anybody plans on it.
    let mut session = None;
    let left = site.look(call, || Leftovers::find(root), |left| left.broken.is_some() && !write);
    if let Some(what) = left.broken {
        if !write {
            let what = format!("a run {what}, or one is at it now: {STATE} has what it kept");
            return Err(fault("interrupted-write", what, "repair it, and go on: $ runner-prep apply"));
        }
        session = Some(site.session(call)?);
    }
    let planned = if session.is_some() { build() } else { site.look(call, build, Result::is_err) };
    let mut plan = match planned {
        Err(error) => {
            let open = write.then_some(|| session.map_or_else(|| site.session(call), Ok));
            let of_kind = |kind: &str| plan_of(&Wanted::resolve(profile, &|one| one == kind)?);
            return Ok(alone(names, wanted, error, open, of_kind, extent));
        }
        Ok(plan) => plan,
    };
    if session.is_none() && write && (!plan.changes.is_empty() || left.unswept) {
        session = Some(site.session(call)?);
    }
    let Some(session) = session else {
        return Ok(Report::planned(names, &plan, extent).brief());
    };
    if plan.changes.is_empty() {
        let mut report = Report::planned(names, &plan, extent).brief();
        report.warn(session.repaired());
        return Ok(report);
    }
    let mut keys = plan.changes.iter().filter_map(|change| change.op.unmade_key());
    if keys.any(|key| key.kind != KeyKind::Ed25519) {
        if let Some(spinner) = Spinner::new(call) {
            // An error comes again when the key is to be written, and is told then.
            spinner.during("making a key", || session.make_keys(&plan.changes).is_ok());
        }
    }
    let outcome = session.apply_settled(&mut plan, names, &build);
    if outcome.error.is_some() {
        return Ok(Report::applied(names, &plan, &outcome, None, extent));
    }
    // The host is planned on once more: what still differs is an error, never silence.
    let after = match caught(build) {
        Ok(after) => after,
        Err(error) => {
            let mut report = Report::applied(names, &plan, &outcome, None, extent);
            report.warn(&[Note::new(
                "left-behind",
                format!("everything was changed, but the host can't be looked at again: {error:#}"),
                fault::repair(&error),
                Harm::None,
            )]);
            return Ok(report);
        }
    };
    if plan.changes.is_empty() {
        // Somebody else made the change meanwhile.
        let mut report = Report::planned(names, &after, extent);
        report.warn(&outcome.warnings);
        return Ok(report);
    }
    let mut report = Report::applied(names, &plan, &outcome, Some(&after), extent);
    if let Some(left) = after.changes.first() {
        report.fail(&fault(
            "not-converged",
            format!("{} {} still differs after it was changed: {}", left.kind, left.id, left.why),
            "another program may be changing it back; see: $ runner-prep plan",
        ));
    }
    Ok(report)
}

/// The commands that only answer a question: their whole output, or an error.
fn ask(call: Call<'_>, streams: &mut Streams<'_>) -> Result<String> {
    match &call.cli.command {
        Command::Completions(asked) => {
            return Ok(text_or_json(call.cli, &[], &completion::script(asked.shell)?));
        }
        Command::Man(asked) => {
            let text = if asked.list {
                manual::names().join("\n") + "\n"
            } else {
                manual::page(asked.command.as_deref())?
            };
            return Ok(text_or_json(call.cli, &[], &text));
        }
        Command::Schema(asked) => return Ok(json(&schema::of(asked.document))),
        _ => {}
    }
    let site = Site::open(call, None)?;
    let facts = site.facts();
    let load = |names: &[String]| -> Result<Profile> {
        let profile = Profile::load(names, &sections(), &site)?;
        resolve(&profile, &|_| true)?;
        Ok(profile)
    };
    match &call.cli.command {
        Command::Profile(cli::ProfileCommand::Show { name }) => {
            let profile = load(name)?;
            Ok(text_or_json(call.cli, name, profile.text()?))
        }
        Command::Template(template) => {
            let text = resource::template(&load(&template.profile)?)?.ok_or_else(|| {
                let names = template.profile.join(",");
                let what = format!("the profile {names} wants nothing of config.toml: no template is needed");
                fault("no-template", what, "register the runner without --template-config")
            })?;
            Ok(text_or_json(call.cli, &template.profile, &text))
        }
        Command::Key(key) => {
            let (line, remarks) =
                site.look(call, || key::show(call, &site.root, &facts, key), Result::is_err)?;
            // Not on standard output, which is the line alone.
            write(streams.err, &remarks);
            Ok(line)
        }
        _ => {
            let list = listed(call)?;
            if call.cli.global.json {
                let listed = list.into_iter().map(|(name, summary, origin)| Listed { name, summary, origin });
                return Ok(json(&Profiles { profiles: listed.collect() }));
            }
            let row = |(name, summary, origin): (String, String, _)| {
                (name, if summary.is_empty() { origin } else { summary })
            };
            let rows = list.into_iter().map(row);
            Ok(text::table(&rows.collect::<Vec<_>>(), streams.columns))
        }
    }
}

fn text_or_json(cli: &Cli, names: &[String], text: &str) -> String {
    if cli.global.json {
        json(&Text { profiles: names.to_vec(), text: text.to_owned() })
    } else {
        text.to_owned()
    }
}

fn answer(call: Call<'_>, streams: &mut Streams<'_>) -> Exit {
    match ask(call, streams) {
        Ok(text) => deliver(streams, &text),
        Err(error) => fail(&error, call, streams),
    }
}

/// The report of a plan that ended with an error, where a part of a profile can't be planned: every part that can't is told,
/// and what takes rights away goes on without them: with those of each resource alone. Where `open` gives a session, what
/// the others want that takes rights away is done.
fn alone<'a>(
    names: &[String],
    wanted: &Wanted,
    error: anyhow::Error,
    open: Option<impl FnOnce() -> Result<Session<'a>>>,
    of_kind: impl Fn(&str) -> Result<Plan>,
    extent: DetailLevel,
) -> Report {
    let (mut changes, mut errors) = (Vec::new(), Vec::new());
    for kind in wanted.kinds() {
        match of_kind(kind) {
            Ok(plan) => changes.extend(plan.changes.into_iter().filter(|change| change.op.is_system())),
            Err(error) => errors.push((kind, error)),
        }
    }
    let narrows = changes.iter().any(takes_rights_away);
    let session = open.filter(|_| narrows).and_then(|open| open().ok());
    let mut report = match session {
        Some(session) => {
            let mut outcome = Outcome::not_begun(&changes, error);
            session.narrow(&changes, names, &mut outcome);
            Report::applied(names, &Plan { changes, ..Plan::default() }, &outcome, None, extent)
        }
        None => Report::failed(names, &error),
    };
    report.fail_beside(&root_causes(errors));
    report
}
