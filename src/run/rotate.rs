//! `runner-prep key --rotate`: a new key in the place of the one that jobs push with.
//!
//! The old pair is moved aside first, as `undo` does it, and gets its name back where no new one can be made. The new
//! one is made as `apply` makes it, so that `undo` moves it aside in turn.

use anyhow::Result;

use super::exit::{Exit, Streams, extent};
use super::output::print;
use super::reader::{reader, require_root, same_options};
use super::{key, place, spinner};
use crate::apply::{Session, caught};
use crate::change::{Note, Notes, Outcome};
use crate::cli::{Cli, Environment, Key};
use crate::facts::Facts;
use crate::fault::fault;
use crate::journal;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::report::{DetailLevel, Report, Status, Style};
use crate::resource::{self, Context, Rotated, Rotation, Target, Wanted};
use crate::run::shelf::Shelf;
use crate::sys::identity;
use crate::sys::root::Root;

pub(super) fn run(
    cli: &Cli,
    environment: Environment,
    asked: &Key,
    streams: &mut Streams<'_>,
    style: Style,
) -> Exit {
    let report = work(cli, environment, asked, extent(cli, style))
        .unwrap_or_else(|error| Report::failed(&[], &error))
        .addressed(reader(cli, environment, &[], user(asked)));
    print(&report, cli, style, streams);
    if report.status == Status::Failed { Exit::Error } else { Exit::Converged }
}

fn user(asked: &Key) -> Vec<(&'static str, String)> {
    same_options(None, asked.user.as_deref(), &[], None)
}

fn work(cli: &Cli, environment: Environment, asked: &Key, extent: DetailLevel) -> Result<Report> {
    identity::harden()?;
    let (root, other) = place::open(&cli.global.root, environment, asked.user.as_deref())?;
    require_root(&root, "key --rotate")?;
    let machine = other.as_ref().unwrap_or(&root);
    // Before anything is made for it.
    key::find(&root, &Facts::new(&root, machine), asked.user.as_ref())?;
    let session = Session::open(&root, machine, spinner::waiting(cli, environment))?;
    let ask = Ask { root: &root, machine, environment, user: asked.user.clone() };
    let (rotation, moved) = ask.with(|context| {
        let rotation = resource::rotation(context, &journal::moment())?;
        let moved = session.undo(&rotation.changes, &[]);
        Ok((rotation, moved))
    })?;
    let mut plan = Plan { changes: rotation.changes.clone(), ..Plan::default() };
    if moved.error.is_some() {
        return Ok(Report::applied(&[], &plan, &moved, None, extent));
    }
    let made = caught(|| ask.new_key(&rotation)).and_then(|new| {
        let outcome = session.apply(&new.changes, &[]);
        plan.changes.extend(new.changes);
        outcome.error.map_or(Ok((outcome.fates, outcome.warnings)), Err)
    });
    let (fates, warnings) = match made {
        Ok(made) => made,
        Err(error) => {
            let back = ask.with(|context| Ok(session.undo(&rotation.back(context)?, &[])))?;
            let mut report =
                Report::failed(&[], &error.context("no new key was made, and the old one is back"));
            if let Some(error) = back.error {
                report.warn(&warnings_of(&rotation));
                report.fail(&error.context("no new key was made, and the old one did not get its name back"));
            }
            return Ok(report);
        }
    };
    let outcome = Outcome { fates: [moved.fates, fates].concat(), warnings, ..Outcome::default() };
    plan.warnings = warnings_of(&rotation);
    let after = ask.plan(&rotation)?;
    Ok(Report::applied(&[], &plan, &outcome, Some(&after), extent))
}

/// What a person has to do in GitLab, and how it is taken back.
fn warnings_of(rotation: &Rotation) -> Vec<Note> {
    let mut notes = Notes::default();
    for Rotated { fingerprint, aside, back } in &rotation.keys {
        notes.warn(
            "ssh-key-rotated",
            format!(
                "the SSH key {fingerprint} is moved to {aside}, not removed: GitLab lets it in as long as it is a deploy \
                 key there"
            ),
            format!(
                "in GitLab: add the new key, then remove the old one: Settings, Repository, Deploy keys. The way back: \
                 runner-prep undo; {back}"
            ),
        );
    }
    notes.warnings
}

/// Where the key is, looked at anew each time: the host changes between.
struct Ask<'a> {
    root: &'a Root,
    machine: &'a Root,
    environment: Environment,
    user: Option<String>,
}

impl Ask<'_> {
    fn with<T>(&self, work: impl FnOnce(&Context<'_>) -> Result<T>) -> Result<T> {
        let facts = Facts::new(self.root, self.machine);
        let target = Target::find(&facts, self.user.clone())?;
        let options = key::options(&facts, &target);
        work(&Context { facts: &facts, target: &target, options: &options })
    }

    /// What is to be done for a key like the old one.
    fn plan(&self, rotation: &Rotation) -> Result<Plan> {
        let facts = Facts::new(self.root, self.machine);
        let profiles =
            Shelf { root: self.root, facts: &facts, machine: self.machine, environment: self.environment };
        let profile = Profile::load_with(&[], Some(&rotation.profile), &resource::names(), &profiles)?;
        let wanted = Wanted::resolve(&profile, &|_| true)?;
        self.with(|context| Plan::build(&wanted, context))
    }

    fn new_key(&self, rotation: &Rotation) -> Result<Plan> {
        let plan = self.plan(rotation)?;
        if plan.changes.iter().any(|change| change.op.unmade_key().is_some()) {
            return Ok(plan);
        }
        let why = plan.pending.first().or(plan.warnings.first()).map_or_else(
            || "ssh of the account does not try the name that it would have".to_owned(),
            |note| note.message.clone(),
        );
        Err(fault(
            "key-not-rotated",
            format!("a new key would not be used: {why}"),
            "correct that, then run the same command again: runner-prep doctor --profile shell",
        ))
    }
}
