//! The key that jobs use, for whoever registers it; and moved aside, so that a new one can take its place. Nothing is removed.

use anyhow::Result;

use super::command::{ByCommand, by_command};
use super::found::{ROTATED, observe, passphrase};
use super::tried::{Tried, other_key};
use super::{ED25519, change};
use crate::change::{Change, FileOp, Note, Notes, Seen, Shown, ShownKey, Swap};
use crate::fault::{Fault, fault, quoted};
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::toml_patch::Scalar;

/// The public key that jobs use: of the usable ones the one that ssh offers first. With it what a person should know who
/// registers it.
///
/// # Errors
/// When the home can't be read, or holds something that is no key where one belongs.
pub fn public_key(context: &Context<'_>) -> Result<(Option<ShownKey>, Vec<Note>)> {
    let target = context.target;
    let Some(account) = &target.account else { return Ok((None, Vec::new())) };
    let mut notes = Notes::default();
    match by_command(context, &mut notes)? {
        ByCommand::Nothing => {}
        ByCommand::Key(usable) => {
            return Ok((Some(usable.shown(context)), notes.warnings));
        }
        ByCommand::Unknown => return Err(decided(notes)),
    }
    let tried = Tried::of(context)?;
    let mut found = observe(context.facts, account, false, &tried.names)?;
    tried.sort(&mut found.usable);
    if found.usable.is_empty() && !found.weak.is_empty() {
        let (usable, (message, repair)) = found.weak.swap_remove(0);
        notes.warn("ssh-key-weak", message, repair);
        found.usable.push(usable);
    }
    tried.tell(context, found.usable.first(), ED25519, &mut notes);
    match &found.usable[..] {
        [] => match (found.broken.pop(), found.encrypted.first()) {
            (Some(error), None) => return Err(error),
            (_, Some(name)) => {
                let (message, repair) = passphrase(context, name);
                return Err(fault("ssh-key-encrypted", message, repair));
            }
            (None, None) => {
                // What keeps ssh from the usual keys, or nobody knows, is the answer.
                if !notes.pending.is_empty() || !notes.warnings.is_empty() {
                    return Err(decided(notes));
                }
                if let Some((message, repair)) = other_key(context, &tried)? {
                    return Err(fault("ssh-key-name", message, repair));
                }
            }
        },
        [_] => {}
        [first, others @ ..] => {
            let others: Vec<String> =
                others.iter().map(|other| target.place(&other.name).to_string()).collect();
            let what = format!(
                "this is {}, which ssh offers first; there is {}, too",
                target.place(&first.name),
                others.join(", ")
            );
            let repair = "register the first one; a server that does not know it is offered the next";
            notes.warn("ssh-keys-several", what, repair);
        }
    }
    let key = found.usable.first().map(|usable| usable.shown(context));
    Ok((key, notes.warnings.into_iter().chain(notes.pending).collect()))
}

/// What waits, or is not known, as the error of a command that wants an answer.
fn decided(notes: Notes) -> anyhow::Error {
    let note = notes.pending.into_iter().chain(notes.warnings).next();
    note.map_or_else(
        || anyhow::anyhow!("nothing is known of the key"),
        |Note { code, message, repair, .. }| Fault::new(code, message, repair).into(),
    )
}

/// What a rotation begins with.
#[derive(Debug, Default)]
pub struct Rotation {
    /// Both halves of every key that ssh offers get another name.
    pub changes: Vec<Change>,
    /// The way back from each of them, to be made when no new key could be made.
    pub names: Vec<(String, String)>,
    /// The keys, for people.
    pub keys: Vec<Rotated>,
    /// A profile's text that asks for a key like the first of them.
    pub profile: String,
}

/// A key that is moved aside.
#[derive(Debug)]
pub struct Rotated {
    /// How GitLab shows it.
    pub fingerprint: String,
    /// Where it lies then.
    pub aside: String,
    /// The commands that give it its name back.
    pub back: Repair,
}

/// The keys as they are now, to be moved aside at `moment`; empty where jobs have none.
///
/// # Errors
/// When the home can't be read, or holds something that is no key where one belongs.
pub fn rotation(context: &Context<'_>, moment: &str) -> Result<Rotation> {
    let target = context.target;
    let mut rotation = Rotation::default();
    let Some(account) = &target.account else { return Ok(rotation) };
    let tried = Tried::of(context)?;
    for key in observe(context.facts, account, false, &tried.names)?.all() {
        // What is in the way of the new key, or not ours to move.
        if let Some(error) = key.odd.or(key.lent) {
            return Err(error);
        }
        if rotation.profile.is_empty() {
            let kind = if key.line.key().kind() == "ssh-rsa" { "rsa" } else { "ed25519" };
            let comment = Scalar::from(key.line.comment()).to_string();
            rotation.profile = format!("[ssh_key]\ntype = \"{kind}\"\ncomment = {comment}\n");
        }
        let aside = free(context, &format!("{}{ROTATED}{moment}", key.name))?;
        let public = key.public.map(|seen| (format!("{}.pub", key.name), format!("{aside}.pub"), seen));
        let (from, to) = (target.home.join(&key.name), target.home.join(&aside));
        let back = |end: &str| {
            let [to, from] = [&to, &from].map(|path| quoted(format!("{}{end}", path.display())));
            run(context.as_account(&format!("mv -nT {to} {from}")))
        };
        let halves = if public.is_some() { &["", ".pub"][..] } else { &[""] };
        rotation.keys.push(Rotated {
            fingerprint: key.line.key().fingerprint(),
            aside: to.display().to_string(),
            back: Repair::all(halves.iter().map(|end| back(end))),
        });
        for (name, aside, seen) in
            [Some((key.name.clone(), aside, key.private)), public].into_iter().flatten()
        {
            rotation.changes.push(moved(context, &name, &aside, seen));
            rotation.names.push((aside, name));
        }
    }
    Ok(rotation)
}

/// A name that nothing has: of two rotations in one second the later one gets a number.
fn free(context: &Context<'_>, name: &str) -> Result<String> {
    let (mut free, mut number) = (name.to_owned(), 1);
    while context.home_file(&free)?.is_some() {
        number += 1;
        free = format!("{name}-{number}");
    }
    Ok(free)
}

impl Rotation {
    /// The changes that give the keys their names back.
    ///
    /// # Errors
    /// When the home can't be read.
    pub fn back(&self, context: &Context<'_>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (aside, name) in &self.names {
            if let Some(seen) = context.home_file(aside)? {
                changes.push(moved(context, aside, name, seen));
            }
        }
        Ok(changes)
    }
}

fn moved(context: &Context<'_>, from: &str, to: &str, seen: Seen) -> Change {
    // In the same directory.
    let to = to.rsplit('/').next().unwrap_or(to).to_owned();
    let meta = seen.meta();
    let file = FileOp {
        after: None,
        shown: Shown::Label(format!("moved to {to}")),
        swap: Swap::Aside(to),
        ..FileOp::new(context.target.place(from), Some(seen), Vec::new(), meta)
    };
    change("a new key takes its place", file)
}
