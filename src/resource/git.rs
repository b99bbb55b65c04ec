//! The identity with which jobs commit: `user.name` and `user.email`, where git finds no value.
//!
//! Never overrides a value, never touches other settings.

mod effective;
mod judge;
mod login;
mod reach;

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use crate::change::{Change, FileKind, FileOp, Meta, Notes, Op, Owner, Place, Seen, Shown};
use crate::facts::MOST_BYTES;
use crate::fault::{self, Nature, fault, look_and_move_aside, quoted};
use crate::repair::{Repair, run};
use crate::text::git_config;
use effective::{EffectiveConfig, EffectiveValue, home_file, invalid, is_shut};
use judge::{JudgedSetting, SYSTEM, judge, look_at_service};

/// What git reads for an account besides the system's file, the stronger one last (git-config(1), FILES).
const FILES: [&str; 2] = [".config/git/config", ".gitconfig"];

/// The `[git]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Git {
    /// `user.name`, where git finds no value.
    name: CommitterName,
    /// `user.email`, likewise; by default the account at the host's name.
    email: Option<Email>,
}

/// A committer's name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1))]
struct CommitterName(String);

impl TryFrom<String> for CommitterName {
    type Error = anyhow::Error;
    fn try_from(name: String) -> Result<Self> {
        let shown = name.trim();
        // git itself drops these characters, and refuses what is left empty.
        if shown.is_empty() || name.chars().any(|c| c.is_control() || "<>".contains(c)) {
            anyhow::bail!(
                "{name:?} can't be a committer's name: it is empty or has a line break, `<` or `>`"
            );
        }
        Ok(Self(name))
    }
}

/// A committer's address.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^[^<>\\s]+$"))]
struct Email(String);

impl TryFrom<String> for Email {
    type Error = anyhow::Error;
    fn try_from(email: String) -> Result<Self> {
        let wrong = |c: char| c.is_control() || c.is_whitespace() || "<>".contains(c);
        if email.is_empty() || email.chars().any(wrong) {
            anyhow::bail!("{email:?} can't be a committer's address: it is empty or has a space, `<` or `>`");
        }
        Ok(Self(email))
    }
}

impl Resource for Git {
    fn in_home(&self) -> &'static [&'static str] {
        &[FILES[0], FILES[1], SYSTEM]
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        notes.call("git");
        let target = context.target;
        let seen = own_files(context)?;
        let system = context.facts.file(Path::new(SYSTEM), MOST_BYTES)?;
        let tops: Vec<(PathBuf, Option<&Seen>)> = std::iter::once((PathBuf::from(SYSTEM), system.as_ref()))
            // What the account locked itself out of git passes over.
            .chain(FILES.iter().zip(&seen).map(|(name, seen)| {
                (target.home.join(name), seen.as_ref().filter(|seen| !is_shut(context, seen)))
            }))
            .collect();
        let EffectiveConfig { identity: [name, email], settings, is_unclear, .. } =
            EffectiveConfig::of(context, &tops, notes)?;
        judge(context, &settings, is_unclear, notes)?;
        look_at_service(context, notes)?;
        let (mut missing, mut made) = (Vec::new(), None);
        if !name.is_sure {
            missing.push(("name", self.name.0.as_str()));
        }
        if !email.is_sure {
            missing.push((
                "email",
                match &self.email {
                    Some(Email(email)) => email,
                    None => made.insert(format!("{}@{}", target.name, context.facts.host_name()?)),
                },
            ));
        }
        // git itself drops these characters, and refuses what is left empty.
        let is_crud = |value: &str| value.chars().all(|c| c <= ' ' || ".,:;<>\"\\'".contains(c));
        if let Some(value) = name.value.as_ref().filter(|name| name.value.as_deref().is_some_and(is_crud)) {
            notes.wait(
                "git-name-empty",
                "git refuses to commit: user.name has a value, and no letter is in it",
                given(context, value, &target.name),
            );
        }
        self.tell_kept(context, &email, notes);
        if missing.is_empty() {
            notes.right("git", "user.name and user.email have values");
            return Ok(Vec::new());
        }
        if login::identifies(context)? {
            notes.right("git", "jobs have an identity by their login files");
            return Ok(Vec::new());
        }
        // Where `git config --global` writes: the second file only if it is the only one, or if it includes what gives
        // some repositories a value, which must keep the last word.
        let perhaps = |top: usize| !name.is_sure && name.perhaps[top] || !email.is_sure && email.perhaps[top];
        // What lies behind a link is somebody's own arrangement: nothing is written there.
        let is_elsewhere = seen[0].as_ref().is_some_and(|seen| seen.resolved.is_some());
        let in_second = perhaps(1) && !perhaps(2) && !is_elsewhere;
        let at = usize::from(is_elsewhere || !in_second && (seen[0].is_none() || seen[1].is_some()));
        if perhaps(0) || perhaps(1) && !in_second {
            let file = if perhaps(0) { PathBuf::from(SYSTEM) } else { target.home.join(FILES[0]) };
            notes.warn(
                "git-identity-overridden",
                format!("{} includes, for some repositories only, a file with an identity: the one in {} is stronger", file.display(), target.home.join(FILES[at]).display()),
                mend!("if jobs shall commit as the included file says, include it from {}", target.home.join(FILES[1]).display()),
            );
        }
        let place = target.place(FILES[at]);
        let before = seen.into_iter().nth(at).flatten();
        if let Some(link) = before.as_ref().filter(|seen| seen.resolved.is_some()) {
            return Err(odd(context, FILES[at], link));
        }
        let text = before.as_ref().map(|seen| seen.bytes.as_slice()).unwrap_or_default();
        let after = git_config::set_missing(text, "user", &missing)
            .map_err(|error| invalid(context, &target.home.join(FILES[at]), text, &error))?;
        let meta = Meta {
            owner: Owner::Account(target.name.clone()),
            mode: before.as_ref().map_or(0o644, |seen| seen.mode & 0o644 | 0o600),
        };
        let Some(after) = after else { return Ok(opened(context, place, before, meta)) };
        let names: Vec<String> = missing.iter().map(|(key, _)| format!("user.{key}")).collect();
        if let Some((_, email)) = missing.iter().find(|(key, _)| *key == "email" && self.email.is_none()) {
            let message = format!("jobs commit as {email}, made of the account and the host's name");
            notes.warn("git-email-default", message, "give git.email in a profile for another address");
        }
        let why = if (0..3).any(perhaps) {
            format!(
                "git finds {} in some repositories only, and refuses to commit in others",
                names.join(" and ")
            )
        } else {
            format!("git has no {} and refuses to commit", names.join(" and no "))
        };
        // The rest of the file may hold credentials: only what is set is shown.
        let shown = Shown::Values(missing.iter().map(|(key, value)| set(key, value)).collect());
        let file = FileOp { shown, ..FileOp::new(place, before, after, meta) };
        Ok(vec![Change::of("git", why, file)])
    }
}

impl Git {
    /// An address of somebody else's stays, also where the profile gives another one.
    fn tell_kept(&self, context: &Context<'_>, email: &EffectiveValue, notes: &mut Notes) {
        let Some(Email(wanted)) = &self.email else { return };
        let found = email.value.as_ref().filter(|found| found.value.as_ref() != Some(wanted));
        if let Some(found) = found.filter(|_| email.is_sure) {
            let what = format!(
                "user.email has a value already, which stays: jobs do not commit as {wanted}, the git.email of the \
                 profile"
            );
            let repair = Repair::from("for that address: ") + given(context, found, wanted);
            notes.warn("git-identity-kept", what, repair);
        }
    }
}

/// The account's own files, as far as git reads them.
fn own_files(context: &Context<'_>) -> Result<Vec<Option<Seen>>> {
    let target = context.target;
    let mut seen = Vec::new();
    for name in FILES {
        let path = target.home.join(name);
        let found = match (home_file(context, name), &target.account) {
            // git passes over the first one in a directory where the account may not go.
            (Err(error), Some(account))
                if fault::is(&error, Nature::Foreign)
                    && context.facts.shut_out(account, &path)?.is_some_and(|shut| shut != path) =>
            {
                None
            }
            (Ok(Some(link)), Some(account)) if link.kind == FileKind::Link => {
                let end = context.facts.file_for(account, &path).ok().flatten();
                Some(end.filter(|end| end.kind == FileKind::Regular).unwrap_or(link))
            }
            (found, _) => found?,
        };
        if let Some(seen) = found.as_ref().filter(|seen| seen.kind != FileKind::Regular || seen.links != 1) {
            return Err(odd(context, name, seen));
        }
        seen.push(found);
    }
    // In a directory that the account locked itself out of nothing is for git.
    if let (Some(account), Some(Some(first))) = (&target.account, seen.first()) {
        let path = target.home.join(FILES[0]);
        if !is_shut(context, first) && context.facts.shut_out(account, &path)?.is_some() {
            seen[0] = None;
        }
    }
    Ok(seen)
}

/// A file of the account's own that git may read, and that this program neither follows nor replaces.
fn odd(context: &Context<'_>, name: &str, seen: &Seen) -> anyhow::Error {
    let path = context.target.home.join(name);
    let oddity = if seen.resolved.is_some() { FileKind::Link.to_string() } else { seen.oddity() };
    let what = format!("{} is {oddity}: it is not followed or replaced", path.display());
    fault("git-config-kind", what, look_and_move_aside(&context.target.name, &path))
}

/// The command that gives a key another value: in the account's file that has it, else in the one that is read last.
fn given(context: &Context<'_>, found: &JudgedSetting, value: &str) -> Repair {
    let home = &context.target.home;
    let last = home.join(FILES[1]);
    let file = Some(&found.path).filter(|path| path.starts_with(home)).unwrap_or(&last);
    let (file, value) = (quoted(file), quoted(value));
    run(context.as_account(&format!("git config --file {file} --replace-all {} {value}", found.name)))
}

/// A file that has the values and that git can't read becomes the account's to read.
fn opened(context: &Context<'_>, place: Place, before: Option<Seen>, after: Meta) -> Vec<Change> {
    let shut = before.filter(|seen| is_shut(context, seen));
    let open = shut.map(|before| {
        let why =
            format!("git passes over it, because it has mode {:04o}, and refuses to commit", before.mode);
        Change::of("git", why, Op::Metadata { place, before, after })
    });
    open.into_iter().collect()
}

fn set(key: &str, value: &str) -> crate::change::ValueChange {
    crate::change::ValueChange {
        name: format!("user.{key}"),
        path: vec!["user".into(), key.into()],
        element: false,
        before: None,
        after: Some(value.to_owned()),
    }
}
