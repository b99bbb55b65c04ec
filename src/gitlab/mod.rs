//! `runner-prep gitlab`: what a profile wants of projects in GitLab, by its API.
//!
//! Owns the way from the section to calls, with a plan in between as for a host: reads, shows what differs, writes that,
//! reads again. The one part of the program that opens a connection of its own. `doctor --online` comes here too,
//! and only reads.

pub mod allowlist;
mod answer;
pub mod branch;
pub mod by_hand;
pub mod change;
pub mod connection;
mod full_path;
pub mod plan;
pub mod project;
mod proxy;
pub mod public_keys;
pub mod runner;
pub mod section;
pub mod state;

use std::path::Path;

use anyhow::{Context, Result};

use crate::change::{Harm, Note, Notes, ValueChange};
use crate::fault::{fault, repair};
use crate::repair::quoted;
use crate::report::{DetailLevel, ManualStep, Report, ReportedChange};
use crate::text::public_key::PublicLine;
use change::{ApiCall, Operation, ProjectChange};
use connection::Connection;
use section::{GitlabSection, Url};
use state::DeployKey;

/// What is wanted, and for whom.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The profiles, as they were asked for.
    pub profiles: &'a [String],
    /// Their section.
    pub wanted: &'a GitlabSection,
    /// The keys that are to be deploy keys.
    pub keys: &'a [PublicLine],
    /// The directory for the tokens of new runners, where one is named.
    pub runner_tokens: Option<&'a Path>,
    /// How much of each change is shown.
    pub extent: DetailLevel,
}

/// What became of a change.
struct ProjectOutcome<'a> {
    change: &'a ProjectChange,
    outcome: &'static str,
    undo: Vec<ApiCall>,
}

impl<'a> ProjectOutcome<'a> {
    fn of(change: &'a ProjectChange, outcome: &'static str) -> Self {
        Self { change, outcome, undo: Vec::new() }
    }
}

/// What there is to do, as a report; nothing is written. `foresees` says that `apply` with the same options is meant to
/// follow, and what that would refuse is told.
///
/// # Errors
/// When GitLab can't be asked, or does not show what matters.
pub fn plan(gitlab: &Connection, asked: &Asked<'_>, foresees: bool) -> Result<Report> {
    let (changes, mut notes) = look(gitlab, asked)?;
    for error in changes.iter().filter(|_| foresees).filter_map(|change| token_place(change, asked).err()) {
        notes.warn("gitlab-runner-token", format!("{error:#}"), repair(&error));
    }
    if !changes.is_empty() {
        state::warn_of_scope(gitlab, &mut notes);
    }
    let outcomes: Vec<_> = changes.iter().map(|change| ProjectOutcome::of(change, "planned")).collect();
    Ok(report(asked, &outcomes, &notes))
}

/// Do it, and look again.
///
/// # Errors
/// As [`plan()`]; from the first change on, an error is part of the report.
pub fn apply(gitlab: &Connection, asked: &Asked<'_>) -> Result<Report> {
    let (changes, notes) = look(gitlab, asked)?;
    changes.iter().try_for_each(|change| token_place(change, asked))?;
    let (mut outcomes, mut errors, mut has_stopped) = (Vec::new(), Vec::new(), false);
    for change in &changes {
        if has_stopped {
            outcomes.push(ProjectOutcome::of(change, "not-reached"));
            continue;
        }
        let made = match carry_out(gitlab, change, asked.runner_tokens) {
            Ok(undo) => ProjectOutcome { change, outcome: "applied", undo },
            Err(Failure { error, stops }) => {
                has_stopped = stops;
                errors.push(error.context(format!("{}: {}", change.path, change.what)));
                ProjectOutcome::of(change, "failed")
            }
        };
        outcomes.push(made);
    }
    let mut report = match look(gitlab, asked).context("what was changed can't be looked at again") {
        _ if changes.is_empty() || has_stopped => report(asked, &outcomes, &notes),
        Ok((left, mut after)) => {
            // Whose key a new one is, is known before it is there.
            let is_new = |note: &Note| !after.pending.contains(note);
            let of_changes: Vec<Note> = notes.pending.into_iter().filter(is_new).collect();
            after.pending.extend(of_changes);
            after.warnings.extend(notes.warnings.into_iter().filter(|note| note.harm == Harm::Jobs));
            let has_failed = |left: &ProjectChange| {
                outcomes.iter().any(|made| made.outcome == "failed" && made.change.what == left.what)
            };
            if let Some(left) = left.iter().find(|left| !has_failed(left)) {
                errors.push(fault(
                    "not-converged",
                    format!("{}: {} still differs after it was changed: {}", left.path, left.what, left.why),
                    "GitLab said yes and ignores it, where a feature is switched off there, or another program changes it back: look at it in GitLab, then run the same command again",
                ));
            }
            report(asked, &outcomes, &after)
        }
        Err(error) => {
            errors.push(error);
            report(asked, &outcomes, &notes)
        }
    };
    for error in errors.iter().rev() {
        report.fail(error);
    }
    Ok(report)
}

/// See that there is a place for the token of a runner that is to be made.
fn token_place(change: &ProjectChange, asked: &Asked<'_>) -> Result<()> {
    let Operation::MakeRunner { name, .. } = &change.operation else { return Ok(()) };
    let place = runner::place_of_token(name, asked.runner_tokens);
    place.map(drop).with_context(|| format!("{}: {}", change.path, change.what))
}

/// Look at all projects and runners.
fn look(gitlab: &Connection, asked: &Asked<'_>) -> Result<(Vec<ProjectChange>, Notes)> {
    let (mut changes, mut notes) = (Vec::new(), Notes::default());
    let version = state::version(gitlab)?;
    for project in &asked.wanted.projects {
        let state = state::read(gitlab, version, project, asked.keys)?;
        changes.extend(plan::plan(project, asked.keys, &state, &mut notes)?);
    }
    for runner in &asked.wanted.runners {
        changes.extend(runner::plan(gitlab, version, runner, &mut notes)?);
    }
    Ok((changes, notes))
}

/// Why a change was not made.
struct Failure {
    error: anyhow::Error,
    /// None of the others will be made either.
    stops: bool,
}

/// Make one change. Returns the calls that take it back: none where somebody else made it meanwhile.
fn carry_out(
    gitlab: &Connection,
    change: &ProjectChange,
    runner_tokens: Option<&Path>,
) -> Result<Vec<ApiCall>, Failure> {
    let stopped = |error| Failure { error, stops: true };
    let undo = |made| change.operation.undo(&change.project, made).into_iter().collect();
    let call = change.operation.call(&change.project);
    if let Operation::MakeRunner { name, .. } = &change.operation {
        let made = runner::make(gitlab, &call, name, runner_tokens);
        return made.map(|id| undo(Some(id))).map_err(|error| Failure { error, stops: false });
    }
    let answer = gitlab.write(&call).map_err(stopped)?;
    if answer.status >= 400 {
        let said = &answer.said;
        let is_there =
            matches!(change.operation, Operation::Allow { .. }) && said.contains("already in the job token");
        return if is_there {
            Ok(Vec::new())
        } else {
            Err(Failure { error: refused(change, gitlab.url(), said), stops: false })
        };
    }
    let (Operation::AddKey { push, .. } | Operation::EnableKey { push, .. }) = change.operation else {
        return Ok(undo(None));
    };
    let key: DeployKey = answer.content().context(connection::UNSURE).map_err(stopped)?;
    // A key that somebody else added meanwhile, or that was enabled, is given back as it is.
    if push && !key.can_push {
        gitlab
            .write(&change::may_push(&change.project, key.id, true))
            .and_then(|answer| answer.check())
            .map_err(stopped)?;
    }
    Ok(undo(Some(key.id)))
}

/// What a refusal of this change means.
fn refused(change: &ProjectChange, url: &Url, said: &str) -> anyhow::Error {
    let path = &change.path;
    match &change.operation {
        Operation::AddKey { line, .. } if said.contains("taken") => fault(
            "gitlab-key-taken",
            format!(
                "GitLab has this key already, as the SSH key of a user or as a deploy key of a project that the token's user can't see, and a key is only one of them ({said})"
            ),
            mend!(
                "if it is a user's, remove it there: user settings > SSH keys; an administrator finds it with: $ {} {}",
                url.glab(),
                quoted(format!("keys?fingerprint={}", change::encoded(&fingerprint(line))))
            ),
        ),
        Operation::Set { .. } if said.contains("not allowed") => fault(
            "gitlab-refused",
            format!("the token's user may not change it from this value ({said})"),
            mend!(
                "have an Owner of {} set it: Settings > CI/CD > Variables > Minimum role to use pipeline variables; or take an Owner's token",
                path
            ),
        ),
        _ => fault(
            "gitlab-refused",
            format!("GitLab refuses it: {said}"),
            mend!("see what it says, and look at the settings of {}", path),
        ),
    }
}

fn fingerprint(line: &str) -> String {
    let line = crate::text::public_key::public_line(line.as_bytes());
    line.map(|line| line.key().fingerprint()).unwrap_or_default()
}

fn report(asked: &Asked<'_>, outcomes: &[ProjectOutcome<'_>], notes: &Notes) -> Report {
    let changes = outcomes.iter().map(|made| {
        let ProjectChange { path, what, why, before, after, .. } = made.change;
        let (id, why, action) = (format!("{path}: {what}"), why.clone(), made.change.action());
        let change = ReportedChange { kind: plan::KIND, id, action, path: None, why, outcome: made.outcome };
        let (name, before, after) = (what.clone(), before.clone(), Some(after.clone()));
        (change, ValueChange { name, path: Vec::new(), element: false, before, after })
    });
    let undo = outcomes.iter().rev().flat_map(|made| {
        made.undo.iter().map(|call| ManualStep {
            what: format!("{}: {}: {} {}", made.change.path, made.change.what, call.method, call.path),
            command: call.glab(&asked.wanted.url),
        })
    });
    Report::remote(asked.profiles, changes.collect(), undo.collect(), notes, asked.extent)
}
