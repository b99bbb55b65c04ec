//! `runner-prep undo`: what can be undone, what would be, and the undoing.

use std::fmt::Write as _;

use anyhow::Result;

use super::exit::{Call, Exit, Streams};
use super::output::{fail, json, print, write};
use super::place::{Site, reader, require_root};
use crate::apply::Leftovers;
use crate::change::{Change, ChangeOutcome};
use crate::cli::UndoOptions as Command;
use crate::fault::fault;
use crate::journal::{Entry, Id, Journal, NamedEntry, Record, RunState};
use crate::report::{DetailLevel, Report, Run, RunChange, Runs, Status, escape};
use crate::undo::{self, Documents, Undo};

pub(super) fn run(call: Call<'_>, command: &Command, streams: &mut Streams<'_>) -> Exit {
    if command.list {
        return match list(call) {
            Ok(text) => {
                write(streams.out, &text);
                Exit::Converged
            }
            Err(error) => fail(&error, call, streams),
        };
    }
    let call = if command.dry_run { call.with_differences() } else { call };
    match work(call, command, call.extent()) {
        Ok(report) => {
            let report = report.addressed(reader(call, &[], Vec::new()));
            print(&report, call, streams);
            Exit::of(&report)
        }
        Err(error) => fail(&error, call, streams),
    }
}

fn work(call: Call<'_>, command: &Command, extent: DetailLevel) -> Result<Report> {
    let site = Site::open(call, None)?;
    let root = &site.root;
    require_root(root, "undo")?;
    let facts = site.facts();
    let (to, documents) = (command.to.as_deref(), Documents::default());
    let plan = |journal: &Journal<'_>, in_detail: bool| {
        undo::plan(&facts, journal, &documents, to, command.dry_run, in_detail)
    };
    if Leftovers::find(root).broken.is_some() && !command.dry_run {
        // Repairs what was left half written, before it is held against the journal.
        drop(site.session(call)?);
    }
    let nothing = || to.map_or_else(|| Ok(planned(&Undo::default(), extent)), |to| Err(undo::unknown(to)));
    let Some(journal) = Journal::open(root)? else { return nothing() };
    if command.dry_run {
        return Ok(planned(&plan(&journal, true)?, extent));
    }
    if undo::entries(&journal, to)?.is_empty() {
        return Ok(planned(&Undo::default(), extent));
    }
    let session = site.session(call)?;
    // Nobody else undoes or applies anything from here on.
    let mut found = plan(session.journal(), extent != DetailLevel::Lines)?;
    if found.ids.is_empty() {
        return Ok(planned(&found, extent));
    }
    let outcome = loop {
        let outcome = session.undo(&found.plan.changes, &found.places);
        let failed = outcome.fates.iter().position(|fate| *fate == ChangeOutcome::Failed);
        match (&outcome.error, failed) {
            (Some(error), Some(failed)) if outcome.taken_back && found.leave(&facts, failed, error) => {}
            _ => break outcome,
        }
    };
    if outcome.error.is_some() {
        // What was to be said of the changes is not so.
        found.plan.notes.warnings.clear();
    }
    let mut report = Report::applied(&found.profiles, &found.plan, &outcome, None, extent);
    if outcome.error.is_some() {
        return Ok(report);
    }
    let again = match plan(session.journal(), false) {
        Ok(again) => again,
        Err(error) => {
            report.fail(&error.context("everything was put back, but the host can't be looked at again"));
            return Ok(report);
        }
    };
    // What waits for a person is told, and keeps no older run from being undone.
    let is_left = |change: &&Change| found.plan.notes.pending.is_empty() || change.op.sudoers().is_none();
    if let Some(left) = again.plan.changes.iter().find(is_left) {
        report.fail(&fault(
            "not-converged",
            format!("{} {} is not as it was after it was put back: {}", left.kind, left.id, left.why),
            "another program may be changing it; see: $ runner-prep undo --dry-run",
        ));
        return Ok(report);
    }
    for id in &found.ids {
        if let Err(error) = session.journal().mark(id, RunState::Undone) {
            report.fail(&fault(
                "left-behind",
                format!("all is as it was, but the journal could not be told: {error:#}"),
                "run the same command again, it finds nothing left to put back",
            ));
            return Ok(report);
        }
    }
    if found.plan.changes.is_empty() && found.plan.notes.pending.is_empty() {
        report.status = Status::Converged;
        report.msg = format!("{}: nothing of it was left to put back", names(&found.ids));
    } else if found.plan.changes.is_empty() {
        let ids = names(&found.ids);
        report.msg = format!("{ids} can't be undone as it is; another undo goes one run further back");
    } else {
        report.msg = format!("{}, {} undone", report.msg, names(&found.ids));
    }
    report.undone = found.ids.iter().map(ToString::to_string).collect();
    Ok(report)
}

fn planned(found: &Undo, extent: DetailLevel) -> Report {
    let mut report = Report::planned(&found.profiles, &found.plan, extent);
    report.msg = match (found.ids.is_empty(), found.plan.changes.is_empty()) {
        (true, _) => "nothing to undo".to_owned(),
        (_, true) if !found.plan.notes.pending.is_empty() => {
            format!("{} can't be undone as it is", names(&found.ids))
        }
        (_, true) => format!("{}: nothing of it is left to put back", names(&found.ids)),
        (_, false) => format!("{} to undo {}", report.msg, names(&found.ids)),
    };
    report
}

fn names(ids: &[Id]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The runs that are kept, as text or as one document.
fn list(call: Call<'_>) -> Result<String> {
    let site = Site::open(call, None)?;
    let root = &site.root;
    require_root(root, "undo --list")?;
    let entries = match Journal::open(root)? {
        Some(journal) => journal.list()?,
        None => Vec::new(),
    };
    let runs: Vec<Run> = entries.into_iter().map(document).collect();
    if call.cli.global.json {
        return Ok(json(&Runs::of(runs)));
    }
    if runs.is_empty() {
        return Ok("no run is kept\n".to_owned());
    }
    Ok(runs.iter().map(line).collect())
}

fn document((id, entry): NamedEntry) -> Run {
    let id = id.to_string();
    let change = |Record { kind, id, action, .. }| RunChange { kind, id, action };
    match entry {
        Ok(Entry { time, version, profiles, state, changes, .. }) => Run {
            id,
            state: state.word(),
            time: Some(time),
            version: Some(version),
            profiles,
            changes: changes.into_iter().map(change).collect(),
            error: None,
        },
        Err(error) => Run { id, state: "damaged", error: Some(format!("{error:#}")), ..Run::default() },
    }
}

fn line(run: &Run) -> String {
    let Run { id, state, time, profiles, changes, error, .. } = run;
    if let Some(error) = error {
        return format!("{id}  {state:<10}  {}\n", escape(error));
    }
    let (time, profiles) = (time.as_deref().unwrap_or_default(), profiles.join(","));
    let mut text = format!("{id}  {state:<10}  {}  {}\n", escape(time), escape(&profiles));
    for RunChange { kind, id, action } in changes {
        let symbol = match action.as_str() {
            "create" => '+',
            "remove" => '-',
            _ => '~',
        };
        let _ = writeln!(text, "    {symbol} {:<11} {}", escape(kind), escape(id));
    }
    text
}
