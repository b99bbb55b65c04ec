//! The key that jobs use, for whoever registers it.

use anyhow::Result;

use super::ED25519;
use super::command::{ByCommand, by_command};
use super::found::{observe, passphrase};
use super::other::other_key;
use super::tried::Tried;
use crate::change::{Note, Notes, ShownKey};
use crate::fault::{Fault, fault};
use crate::resource::Context;

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
            notes.warn(
                "ssh-keys-several",
                format!(
                    "this is {}, which ssh offers first; there is {}, too",
                    target.place(&first.name),
                    others.join(", ")
                ),
                "register the first one; a server that does not know it is offered the next",
            );
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
