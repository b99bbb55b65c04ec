//! `runner-prep key`: the public key that jobs push with; and `--rotate`, a new key in its place.
//!
//! To rotate, the old pair is moved aside first, as `undo` does it, and gets its name back where no new one can be made. The new
//! one is made as `apply` makes it, so that `undo` moves it aside in turn.

use std::path::Path;

use anyhow::Result;

use super::exit::{Call, Exit, Streams};
use super::output::{json, print};
use super::place::{Site, reader, require_root, same_options};
use crate::apply::caught;
use crate::change::{Note, Notes, Outcome, ShownKey};
use crate::cli::{HostOptions, KeyOptions};
use crate::facts::ssh::SYSTEM_HOSTS;
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::{Nature, fault, quoted};
use crate::journal;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::repair::Repair;
use crate::report::{DetailLevel, Report, escape};
use crate::resource::{self, Context, ExaminedConfig, Options, Rotated, Rotation, Target, Wanted};
use crate::runner_config::Runner;
use crate::sys::root::Root;
use crate::text::known_hosts::{HostName, hosts};

pub(super) fn rotate(call: Call<'_>, asked: &KeyOptions, streams: &mut Streams<'_>) -> Exit {
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
    find(&site.root, &site.facts(), asked.user.as_ref())?;
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
        let options = options(&facts, &target);
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
        let repair = mend!(
            "correct that, then run the same command again: $ runner-prep doctor --profile shell{}",
            of_user(self.user.as_ref())
        );
        Err(fault("key-not-rotated", format!("a new key would not be used: {why}"), repair))
    }
}

/// Each may cost a start of ssh.
const MOST_SERVERS: usize = 10;

/// What is printed: the line, its fingerprint or a document; and what a person should know beside it.
pub(super) fn show(
    call: Call<'_>,
    root: &Root,
    facts: &Facts<'_>,
    asked: &KeyOptions,
) -> Result<(String, String)> {
    let (found, notes) = find(root, facts, asked.user.as_ref())?;
    let shown = if asked.fingerprint { found.fingerprint.clone() } else { escape(&found.line) } + "\n";
    let mut report = Report::of_key(found);
    report.warn(&notes);
    let report = report.addressed(reader(call, &[], Vec::new()));
    if call.cli.global.json {
        return Ok((json(&report), String::new()));
    }
    Ok((shown, report.problems(call.style)))
}

/// The public key of the account that jobs run as.
pub(super) fn find(root: &Root, facts: &Facts<'_>, user: Option<&String>) -> Result<(ShownKey, Vec<Note>)> {
    let target = Target::find(facts, user.cloned())?;
    // The account may look at its own key; others would be told of a home that is not theirs.
    if target.account.as_ref().is_some_and(|account| account.uid != crate::facts::caller()) {
        require_root(root, "key")?;
    }
    let options = options(facts, &target);
    let (found, notes) = resource::public_key(&Context { facts, target: &target, options: &options })?;
    let found = found.ok_or_else(|| {
        let repair =
            mend!("make one: $ runner-prep apply --profile shell --only account,ssh_key{}", of_user(user));
        Nature::NoKey.fault("no-key", format!("{} has no SSH key that jobs can use", target.name), repair)
    })?;
    Ok((found, notes))
}

/// The option that lets another command work on the same account.
pub(super) fn of_user(user: Option<&String>) -> String {
    user.map(|name| format!(" --user {}", quoted(name))).unwrap_or_default()
}

/// What ssh of jobs depends on, where no profile says it.
pub(super) fn options(facts: &Facts<'_>, target: &Target) -> Options {
    let none = Options::default();
    let servers = servers(&Context { facts, target, options: &none });
    let server = servers.first().map_or_else(|| "git@gitlab.com".to_owned(), HostName::for_ssh);
    Options { server, servers, ..none }
}

/// The servers that jobs most likely push to: those that the runners are registered with, or else those whose host keys
/// are known here. What can't be read names none.
fn servers(context: &Context<'_>) -> Vec<HostName> {
    let config = ExaminedConfig::of(context);
    let runners = config.runners().unwrap_or_default();
    let mut servers: Vec<HostName> = runners.iter().filter_map(Runner::server).collect();
    servers.dedup();
    if servers.is_empty() {
        let known = context.facts.file(Path::new(SYSTEM_HOSTS), MOST_BYTES).ok().flatten();
        servers.extend(known.iter().flat_map(|seen| hosts(&seen.bytes)));
        servers.sort_by_key(|server| server.host() != "gitlab.com");
    }
    servers.truncate(MOST_SERVERS);
    servers
}
