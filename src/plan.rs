//! The plan: what a profile would change on a host, as data. Built first, shown or applied after.
//!
//! Must not touch the host; a plan that is empty is a host as wanted.

use std::path::Path;

use anyhow::Result;

use crate::change::{AccountOp, Change, FileKind, Harm, Note, Notes, Op, Place, Seen, Swap};
use crate::facts::checkouts::BUILDS;
use crate::facts::{Facts, programs};
use crate::fault::{fault, look_and_move, make_home};
use crate::resource::{Context, Target, Wanted};

/// All that is to be done, and what is to be said beside it.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In the order of application.
    pub changes: Vec<Change>,
    /// What the resources say beside them.
    pub notes: Notes,
}

impl Plan {
    /// Hold what is wanted against the host.
    ///
    /// # Errors
    /// When the host can't be read, holds something that must not be touched, or two resources want
    /// the same thing.
    pub fn build(wanted: &Wanted, context: &Context<'_>) -> Result<Self> {
        let mut notes = Notes::default();
        let mut changes: Vec<Change> = Vec::new();
        for change in wanted.plan(context, &mut notes)? {
            let twin = changes.iter().find(|earlier| earlier.id == change.id);
            if twin.is_some_and(|twin| is_same_directory(&twin.op, &change.op)) {
                continue;
            }
            if twin.is_some() {
                let what = format!("two resources want to change {}", change.id);
                return Err(fault("plan-conflict", what, "leave one of them out with --skip"));
            }
            changes.push(change);
        }
        check_home(&changes, context)?;
        check_places(&changes, context.facts, context.options.confined)?;
        let lacks = lacks(context, &notes)?;
        let has_jobs = has_shell_jobs(&notes);
        if has_jobs && wanted.kinds().any(|kind| kind == "account") {
            check_jobs(context, &mut notes);
        }
        if !has_jobs && has_rule(wanted, &changes, &notes) {
            notes.warn(
                "no-shell-runner",
                "no runner of this host has executor shell: the sudo rule and the SSH key serve no job yet",
                "register one for the jobs that deploy: $ gitlab-runner register --executor shell; or leave the rule out: --skip sudoers",
            );
        }
        if !lacks.is_empty() {
            notes.pending.insert(0, missing(context, &lacks)?);
        }
        Ok(Self { changes, notes })
    }
}

/// False where runners are registered, and none of them runs jobs as the account.
fn has_shell_jobs(notes: &Notes) -> bool {
    // A custom executor starts its programs as the account, too.
    let has_shell = ["shell", "custom"].iter().any(|executor| notes.executors.contains(*executor));
    has_shell || notes.executors.is_empty() || notes.registers
}

/// What keeps such jobs from their account, and from the directory in which they check out.
fn check_jobs(context: &Context<'_>, notes: &mut Notes) {
    let Target { service, account: Some(account), .. } = context.target else { return };
    let confined = service.as_ref().and_then(|service| service.confines(account));
    let waits = |(what, repair)| Note::new("service-confined", what, repair, Harm::Examined);
    notes.pending.extend(confined.map(waits));
    let directory = service.as_ref().and_then(|service| service.directory.as_ref());
    if directory.is_none_or(|directory| *directory == account.home) {
        // What keeps anybody from opening the home is told by those that look into it.
        if let Some((what, repair)) = context.facts.unusable(account, BUILDS).ok().flatten() {
            let what =
                format!("{what}; that is no matter where each of their runners has another `builds_dir`");
            notes.examined("builds-unusable", what, repair);
        }
    }
}

/// There is a sudo rule for such jobs, or will be.
fn has_rule(wanted: &Wanted, changes: &[Change], notes: &Notes) -> bool {
    let is_rule = |change: &Change| matches!(&change.op, Op::File(file) if file.after.is_some());
    wanted.kinds().any(|kind| kind == "sudoers")
        && (notes.right.iter().any(|(kind, _)| *kind == "sudoers")
            || changes.iter().any(|change| change.kind == "sudoers" && is_rule(change)))
}

/// The programs that the profile's pipelines call and that are not there, each once. In a tree that may be a part of a
/// system only what something waits for is known to be missing.
fn lacks(context: &Context<'_>, notes: &Notes) -> Result<Vec<String>> {
    let mut lacks: Vec<String> = Vec::new();
    let service = context.target.service.as_ref();
    let is_whole = !notes.calls.is_empty() && programs::is_whole(context.facts);
    for program in notes.lacks.iter().chain(notes.calls.iter().filter(|_| is_whole)) {
        if !lacks.contains(program)
            && (notes.lacks.contains(program) || !programs::is_had(context.facts, service, program)?)
        {
            lacks.push(program.clone());
        }
    }
    Ok(lacks)
}

/// What is missing, in one note with one command.
fn missing(context: &Context<'_>, lacks: &[String]) -> Result<Note> {
    let names: Vec<&str> = lacks.iter().map(String::as_str).collect();
    let place = if context.facts.is_host() { "on this host" } else { "in the tree" };
    let be = if names.len() == 1 { "is" } else { "are" };
    let message = format!(
        "{} {be} missing {place}, and jobs call {}",
        names.join(", "),
        if names.len() == 1 { "it" } else { "them" }
    );
    let repair = programs::install(context.facts, &names)?;
    Ok(Note::new("programs-missing", message, repair, Harm::Examined))
}

/// Our own state, which is written with every change: the lock, the journal and scratch copies. Root's alone.
pub const STATE: &str = "/var/lib/runner-prep";

/// Refuse what can't be written, before anything is. A `confined` process does not ask whether a file system is read-only.
///
/// # Errors
/// What is in the way of the first change that can't be made.
pub fn check_places(changes: &[Change], facts: &Facts<'_>, confined: bool) -> Result<()> {
    for change in changes {
        if let Op::Account(account) = &change.op {
            facts.check_accounts(confined)?;
            if let AccountOp::Create { home, .. } = account {
                facts.check_writable(&Place::System(home.clone()), false, confined)?;
            }
        }
        // What is closed now may be opened by a change before.
        let Some(place) = change.op.place().filter(|place| !is_below_changed(changes, place)) else {
            continue;
        };
        if let Place::System(path) = place {
            facts.check_trusted(path)?;
            check_free(&change.op, path, facts)?;
        }
        match &change.op {
            // One that is shared is written in place where it is mounted.
            Op::File(file) => facts.check_writable(place, file.swap != Swap::Shared, confined)?,
            _ => facts.check_writable(place, false, confined)?,
        }
    }
    if changes.is_empty() { Ok(()) } else { check_state(facts, confined) }
}

/// What is to be made must not be there: a link that leads nowhere looks like nothing. What another run made since it was
/// looked at is no link; the write finds it, and plans again.
fn check_free(op: &Op, path: &Path, facts: &Facts<'_>) -> Result<()> {
    let is_new = match op {
        Op::File(file) => file.before.is_none(),
        Op::Directory { before, .. } => before.is_none(),
        _ => false,
    };
    if is_new && facts.entry(path)?.is_some_and(|seen| seen.kind == FileKind::Link) {
        let what = format!("{} is a link that leads nowhere", path.display());
        return Err(fault("path-unusable", what, look_and_move(path)));
    }
    Ok(())
}

/// Refuse a state directory that can't be used.
///
/// # Errors
/// What is wrong with it.
pub fn check_state(facts: &Facts<'_>, confined: bool) -> Result<()> {
    let state = Path::new(STATE);
    let lock = state.join("lock");
    for path in [&lock, &state.join("journal/entry")] {
        facts.check_trusted(path)?;
        facts.check_writable(&Place::System(path.clone()), false, confined)?;
    }
    let is_link = |seen: &Seen| seen.kind == FileKind::Link;
    // Its mode is repaired, but not that of whatever a link leads to.
    let open = facts.stat(state)?.filter(|seen| seen.mode & 0o077 != 0);
    if let Some(open) =
        open.filter(|_| facts.entry(state).is_ok_and(|seen| seen.is_some_and(|seen| is_link(&seen))))
    {
        let what = format!(
            "{STATE} is a link to a directory of mode {:04o}, and what is kept there is root's alone",
            open.mode
        );
        return Err(fault("path-unusable", what, look_and_move(state)));
    }
    match facts.entry(&lock)?.filter(|seen| seen.kind != FileKind::Regular) {
        Some(seen) => Err(fault(
            "path-unusable",
            format!("{} is {}, and a file belongs there", lock.display(), seen.kind),
            look_and_move(&lock),
        )),
        None => Ok(()),
    }
}

fn is_below_changed(changes: &[Change], place: &Place) -> bool {
    let is_above = |dir: &Place| dir != place && place.path().starts_with(dir.path());
    changes
        .iter()
        .any(|change| matches!(change.op, Op::Directory { .. }) && change.op.place().is_some_and(is_above))
}

/// What lies in the home needs one; `useradd` makes it only with a new account.
fn check_home(changes: &[Change], context: &Context<'_>) -> Result<()> {
    let target = context.target;
    let is_home = |change: &&Change| matches!(change.op.place(), Some(Place::Home { .. }));
    let (Some(change), Some(account)) = (changes.iter().find(is_home), &target.account) else {
        return Ok(());
    };
    if context.facts.stat(&target.home)?.is_some() {
        return Ok(());
    }
    let (name, home) = (&target.name, target.home.display());
    Err(fault(
        "home-missing",
        format!("the home directory {home} of {name} does not exist, and {} belongs in it", change.id),
        make_home(name, account.gid, &target.home, context.facts.where_home_is_missing(&target.home)?),
    ))
}

/// Two resources may need the same directory.
fn is_same_directory(one: &Op, other: &Op) -> bool {
    match (one, other) {
        (Op::Directory { after, .. }, Op::Directory { after: other, .. }) => after == other,
        _ => false,
    }
}
