//! `runner-prep key --rotate`: a new key in the place of the one that jobs push with.
//!
//! The old pair is moved aside first, as `undo` does it, and gets its name back where no new one can be made. The new
//! one is made as `apply` makes it, so that `undo` moves it aside in turn.

use anyhow::Result;

use super::exit::{Call, Exit, Streams};
use super::key;
use super::output::print;
use super::place::Site;
use super::reader::{reader, require_root, same_options};
use crate::apply::caught;
use crate::change::{Note, Notes, Outcome};
use crate::cli::{HostOptions, KeyOptions};
use crate::fault::fault;
use crate::journal;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::repair::Repair;
use crate::report::{DetailLevel, Report};
use crate::resource::{self, Context, Rotated, Rotation, Target, Wanted};

pub(super) fn run(call: Call<'_>, asked: &KeyOptions, streams: &mut Streams<'_>) -> Exit {
    let report = work(call, asked, call.extent())
        .unwrap_or_else(|error| Report::failed(&[], &error))
        .addressed(reader(call, &[], user(asked)));
    print(&report, call, streams);
    Exit::of(&report)
}

fn user(asked: &KeyOptions) -> Vec<(&'static str, String)> {
    same_options(&HostOptions { user: asked.user.clone(), ..HostOptions::default() }, None)
}

fn work(call: Call<'_>, asked: &KeyOptions, extent: DetailLevel) -> Result<Report> {
    let site = &Site::open(call, asked.user.as_deref())?;
    require_root(&site.root, "key --rotate")?;
    // Before anything is made for it.
    key::find(&site.root, &site.facts(), asked.user.as_ref())?;
    let session = site.session(call)?;
    let ask = Ask { site, user: asked.user.clone() };
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
    plan.notes.warnings = warnings_of(&rotation);
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
            Repair::from(
                "in GitLab: add the new key, then remove the old one: Settings, Repository, Deploy keys. The way back: \
                 $ runner-prep undo; ",
            ) + back,
        );
    }
    notes.warnings
}

/// Where the key is, looked at anew each time: the host changes between.
struct Ask<'a> {
    site: &'a Site,
    user: Option<String>,
}

impl Ask<'_> {
    fn with<T>(&self, work: impl FnOnce(&Context<'_>) -> Result<T>) -> Result<T> {
        let facts = self.site.facts();
        let target = Target::find(&facts, self.user.clone())?;
        let options = key::options(&facts, &target);
        work(&Context { facts: &facts, target: &target, options: &options })
    }

    /// What is to be done for a key like the old one.
    fn plan(&self, rotation: &Rotation) -> Result<Plan> {
        let profile = Profile::load_with(&[], Some(&rotation.profile), &resource::names(), self.site)?;
        let wanted = Wanted::resolve(&profile, &|_| true)?;
        self.with(|context| Plan::build(&wanted, context))
    }

    fn new_key(&self, rotation: &Rotation) -> Result<Plan> {
        let plan = self.plan(rotation)?;
        if plan.changes.iter().any(|change| change.op.unmade_key().is_some()) {
            return Ok(plan);
        }
        let why = plan.notes.pending.first().or(plan.notes.warnings.first()).map_or_else(
            || "ssh of the account does not try the name that it would have".to_owned(),
            |note| note.message.clone(),
        );
        Err(fault(
            "key-not-rotated",
            format!("a new key would not be used: {why}"),
            mend!(
                "correct that, then run the same command again: $ runner-prep doctor --profile shell{}",
                key::of_user(self.user.as_ref())
            ),
        ))
    }
}
