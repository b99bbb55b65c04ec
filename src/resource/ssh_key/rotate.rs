//! The keys that jobs use, moved aside so that a new one can take their place. Nothing is removed.

use anyhow::Result;

use super::change;
use super::found::{ROTATED, observe};
use super::tried::Tried;
use crate::change::{Change, FileOp, Seen, Shown, Swap};
use crate::fault::quoted;
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::toml_patch::Scalar;

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
    for number in 1_u32.. {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        if context.home_file(&name)?.is_none() {
            return Ok(name);
        }
    }
    Ok(name.to_owned())
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
