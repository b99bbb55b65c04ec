//! The identity with which jobs commit: `user.name` and `user.email`, where git finds no value.
//!
//! Never overrides a value, never touches other settings.

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Resource};
use crate::change::{Change, Check, Content, FileKind, FileOp, Meta, Notes, Op, Owner, Seen, Shown, Swap};
use crate::facts::MOST_BYTES;
use crate::fault::{fault, look_and_move_aside};
use crate::text::git_config;

/// What git reads for an account besides the system's file, the stronger one last (git-config(1), FILES).
const FILES: [&str; 2] = [".config/git/config", ".gitconfig"];
const SYSTEM: &str = "/etc/gitconfig";

/// The `[git]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Git {
    /// `user.name`, where git finds no value.
    name: Name,
    /// `user.email`, likewise; by default the account at the host's name.
    email: Option<Email>,
}

/// A committer's name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1))]
struct Name(String);

impl TryFrom<String> for Name {
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
        &FILES
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        notes.call("git");
        let target = context.target;
        let seen = target.home(context.facts, &FILES)?;
        for (name, seen) in FILES.iter().zip(&seen) {
            if let Some(seen) = seen.as_ref().filter(|seen| seen.kind != FileKind::Regular || seen.links != 1)
            {
                let path = target.home.join(name);
                return Err(fault(
                    "git-config-kind",
                    format!("{} is {}: it is not followed or replaced", path.display(), seen.oddity()),
                    look_and_move_aside(&target.name, &path),
                ));
            }
        }
        let system = context.facts.file(Path::new(SYSTEM), MOST_BYTES)?;
        let lacks = |key: &str| Ok::<_, anyhow::Error>(!has_value(context, system.as_ref(), &seen, key)?);
        let (mut missing, mut made) = (Vec::new(), None);
        if lacks("name")? {
            missing.push(("name", self.name.0.as_str()));
        }
        if lacks("email")? {
            missing.push((
                "email",
                match &self.email {
                    Some(Email(email)) => email,
                    None => made.insert(format!("{}@{}", target.name, context.facts.host_name()?)),
                },
            ));
        }
        if missing.is_empty() {
            notes.right("git", "user.name and user.email have values");
            return Ok(Vec::new());
        }
        // Where `git config --global` writes: the second file only if it is the only one.
        let at = usize::from(seen[0].is_none() || seen[1].is_some());
        let place = target.place(FILES[at]);
        let before = seen.into_iter().nth(at).flatten();
        let text = before.as_ref().map(|seen| seen.bytes.as_slice()).unwrap_or_default();
        let after = git_config::set_missing(text, "user", &missing)
            .map_err(|error| invalid(&place.to_string(), &error))?;
        let Some(after) = after else { return Ok(Vec::new()) };
        let names: Vec<String> = missing.iter().map(|(key, _)| format!("user.{key}")).collect();
        if let Some((_, email)) = missing.iter().find(|(key, _)| *key == "email" && self.email.is_none()) {
            notes.warn(
                "git-email-default",
                format!("jobs commit as {email}, made of the account and the host's name"),
                "give git.email in a profile for another address",
            );
        }
        Ok(vec![Change {
            kind: "git",
            id: place.to_string(),
            why: format!("git has no {} and refuses to commit", names.join(" and no ")),
            op: Op::File(Box::new(FileOp {
                meta: Meta {
                    owner: Owner::Account(target.name.clone()),
                    mode: before.as_ref().map_or(0o644, |seen| seen.mode & 0o644 | 0o600),
                },
                place,
                before,
                after: Some(Content::ready(after)),
                check: Check::None,
                // The rest of the file may hold credentials: only what is set is shown.
                shown: Shown::Values(missing.iter().map(|(key, value)| set(key, value)).collect()),
                swap: Swap::Replace,
            })),
        }])
    }
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

/// True when git finds a value in any of its files, or in one that they include.
fn has_value(context: &Context<'_>, system: Option<&Seen>, home: &[Option<Seen>], key: &str) -> Result<bool> {
    let paths = [
        Path::new(SYSTEM).to_path_buf(),
        context.target.home.join(FILES[0]),
        context.target.home.join(FILES[1]),
    ];
    let mut includes = false;
    for (path, seen) in paths.iter().zip(std::iter::once(system).chain(home.iter().map(Option::as_ref))) {
        let Some(seen) = seen else { continue };
        let shown = path.display().to_string();
        let value = git_config::get(&seen.bytes, "user", key).map_err(|error| invalid(&shown, &error))?;
        if value.is_some() {
            return Ok(true);
        }
        includes |= git_config::has_includes(&seen.bytes).map_err(|error| invalid(&shown, &error))?;
    }
    match &context.target.account {
        Some(account) if includes => context.facts.git_has_value(account, &format!("user.{key}")),
        _ => Ok(false),
    }
}

fn invalid(path: &str, error: &crate::text::position::TextError) -> anyhow::Error {
    fault(
        "git-config-invalid",
        format!("{path}: {error}"),
        format!("git can't read it either; correct it by hand: {path}"),
    )
}
