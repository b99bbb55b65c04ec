//! How the tests of resources ask: a section of a profile held against a fed host, and what comes out
//! compared as data. What was asked for is then made on the host, and a second plan must be empty.

use std::path::Path;

use anyhow::Result;

use super::context::{Context, Options};
use super::target::Target;
use super::{Wanted, names};
use crate::change::{AccountOp, Change, FileKind, Meta, Notes, Op, Owner, Swap};
use crate::facts::fake::{ACCOUNT, Fake};
use crate::fault;
use crate::profile::Profile;

/// What a change does, without what only a person or `apply` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Did {
    /// Made or extended an account.
    Account(AccountOp),
    /// Made a directory, or repaired one that had this mode, user and group.
    Directory { before: Option<(u32, u32, u32)>, after: Meta },
    /// Made, replaced or removed a file. New key material is the text `(later)`.
    File { before: Option<String>, after: Option<String>, meta: Meta, swap: Swap },
    /// Repaired a file that had this mode, user and group.
    Metadata { before: (u32, u32, u32), after: Meta },
}

/// A change as the tests write it: its identifier, and what it does.
pub(super) type Expected = (String, Did);

/// Owner and mode of a thing of root's.
pub(super) fn root(mode: u32) -> Meta {
    Meta { owner: Owner::Root, mode }
}

/// Owner and mode of a thing of the account's.
pub(super) fn own(mode: u32) -> Meta {
    Meta { owner: Owner::Account(ACCOUNT.into()), mode }
}

/// A file that is made or replaced by renaming.
pub(super) fn file(path: &str, before: Option<&str>, after: &str, meta: Meta) -> Expected {
    let (before, after) = (before.map(str::to_owned), Some(after.to_owned()));
    (path.into(), Did::File { before, after, meta, swap: Swap::Replace })
}

/// A file that goes away.
pub(super) fn gone(path: &str, before: &str, meta: Meta) -> Expected {
    (path.into(), Did::File { before: Some(before.into()), after: None, meta, swap: Swap::Replace })
}

/// A directory that is made.
pub(super) fn made(path: &str, after: Meta) -> Expected {
    (path.into(), Did::Directory { before: None, after })
}

/// A file whose mode and owner are repaired.
pub(super) fn repaired(path: &str, before: (u32, u32, u32), after: Meta) -> Expected {
    (path.into(), Did::Metadata { before, after })
}

/// Demands these changes of a profile's text, and none of a second plan after they were made.
#[track_caller]
pub(super) fn changes(name: &str, profile: &str, host: &Fake, expected: &[Expected]) -> Notes {
    let (found, notes) =
        plan(profile, host, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let said: Vec<Expected> = found.iter().map(|change| (change.id.clone(), did(change))).collect();
    assert_eq!(said, expected, "{name}");
    let again = plan(profile, &host.after(&found), &Options::default());
    let (again, _) = again.unwrap_or_else(|error| panic!("{name}, again: {error:#}"));
    assert!(again.is_empty(), "{name}: a second plan has {again:?}");
    notes
}

/// Demands that the host is as the profile wants it.
#[track_caller]
pub(super) fn converged(name: &str, profile: &str, host: &Fake) -> Notes {
    changes(name, profile, host, &[])
}

/// Demands a refusal with this code.
#[track_caller]
pub(super) fn refused(name: &str, profile: &str, host: &Fake, code: &str) {
    match plan(profile, host, &Options::default()) {
        Ok((found, _)) => panic!("{name}: not refused: {found:?}"),
        Err(error) => {
            let fault = fault::find(&error).unwrap_or_else(|| panic!("{name}: no fault: {error:#}"));
            assert_eq!(fault.code, code, "{name}: {error:#}");
            assert!(!fault.repair.is_empty(), "{name}: no repair");
        }
    }
}

/// The codes of warnings and of what waits.
pub(super) fn codes(notes: &Notes) -> (Vec<&'static str>, Vec<&'static str>) {
    let codes = |notes: &[crate::change::Note]| notes.iter().map(|note| note.code).collect();
    (codes(&notes.warnings), codes(&notes.pending))
}

/// The changes of a profile's text on a host, as `plan` finds them.
pub(super) fn plan(profile: &str, host: &Fake, options: &Options) -> Result<(Vec<Change>, Notes)> {
    let read = |_: &Path| Ok(Some(profile.to_owned()));
    let profile = Profile::load(&["./test.toml".to_owned()], &names(), &read)?;
    let wanted = Wanted::resolve(&profile, &|_| true)?;
    let target = Target::find(host, super::account_name(&profile)?)?;
    let mut notes = Notes::default();
    let found = wanted.plan(&Context { facts: host, target: &target, options }, &mut notes)?;
    Ok((found, notes))
}

fn did(change: &Change) -> Did {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &change.op {
        Op::Account(account) => Did::Account(account.clone()),
        Op::Directory { before, after, .. } => {
            let before = before.as_ref().map(|meta| match meta.owner {
                Owner::Ids(uid, gid) => (meta.mode, uid, gid),
                _ => panic!("the owner of what is there is known by number"),
            });
            Did::Directory { before, after: after.clone() }
        }
        Op::File(file) => Did::File {
            before: file.before.as_ref().map(|seen| text(&seen.bytes)),
            after: file.after.as_ref().map(|content| content.peek().map_or_else(|| "(later)".into(), text)),
            meta: file.meta.clone(),
            swap: file.swap.clone(),
        },
        Op::Metadata { before, after, .. } => {
            assert_eq!(before.kind, FileKind::Regular);
            Did::Metadata { before: (before.mode, before.uid, before.gid), after: after.clone() }
        }
        Op::Register(_) => panic!("only gitlab-runner registers"),
        Op::RemoveDirectory { .. } => panic!("no resource removes a directory"),
    }
}
