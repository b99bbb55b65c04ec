//! A key that lies where ssh does not look.

use std::path::PathBuf;

use anyhow::Result;

use super::found::{ROTATED, SSH, Said};
use super::tried::Tried;
use crate::change::FileKind;
use crate::facts::ssh::names_key;
use crate::fault::quoted;
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::key_pair::{self, Inspection};

/// A key in `~/.ssh` of a name that ssh does not try: whoever put it there means it for jobs, so that a second one would
/// only hide that it is not used.
pub(super) fn other_key(context: &Context<'_>, tried: &Tried) -> Result<Option<Said>> {
    let Some(account) = &context.target.account else { return Ok(None) };
    let facts = context.facts;
    // A directory that is shut to the account is made its own first.
    let Ok(all) = facts.home_names(account, SSH.as_ref()) else { return Ok(None) };
    let texts = context.target.ssh_texts(facts)?;
    let all: Vec<String> = all.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    // What `undo` moved aside, what a person did, and what a killed run left is no key that somebody wants to use.
    let is_other = |name: &&String| {
        let is_aside = [".pub", ".old", ".bak"].iter().any(|end| name.ends_with(end))
            || [".undone-", ROTATED].iter().any(|word| name.contains(word));
        !is_aside
            && !name.starts_with('.')
            // Nobody means a name for jobs that would break the lines of a report, or of ssh's configuration.
            && !name.contains(|c: char| c.is_control() || "\\\"".contains(c))
            && !tried.names.contains(&format!("{SSH}/{name}"))
            // It is another server's.
            && !names_key(texts, name)
            && !name.ends_with("_sk")
    };
    for name in all.iter().filter(is_other).take(50) {
        let name = format!("{SSH}/{name}");
        // What the account can't read, ssh can't either.
        let Ok(seen) = facts.home_file(account, &name) else { continue };
        let Some(seen) = seen.filter(|seen| seen.kind == FileKind::Regular) else { continue };
        let usual = match key_pair::inspect(&seen.bytes) {
            Inspection::NotAKey { .. } => continue,
            Inspection::OpenSsh { public, .. } => match public.key().kind() {
                "ssh-ed25519" => "id_ed25519",
                "ssh-rsa" => "id_rsa",
                kind if kind.starts_with("ecdsa-") => "id_ecdsa",
                _ => continue,
            },
            Inspection::Foreign { format, .. } if format.starts_with("EC ") => "id_ecdsa",
            Inspection::Foreign { .. } => "id_rsa",
        };
        let (from, to) = (context.target.home.join(&name), context.target.home.join(SSH).join(usual));
        let rename = |end: &str| {
            run(context.command_at(
                &format!("mv -nT {}", quoted(format!("{}{end}", from.display()))),
                &PathBuf::from(format!("{}{end}", to.display())),
            ))
        };
        let message =
            format!("{} is a key, but ssh tries only {}: no job uses it", from.display(), tried.listed());
        if !tried.names.contains(&format!("{SSH}/{usual}")) {
            return Ok(Some((message, context.first_line(&format!("IdentityFile \"~/{name}\"")))));
        }
        let has_public = all.iter().any(|other| format!("{SSH}/{other}") == format!("{name}.pub"));
        let ends = if has_public { &["", ".pub"][..] } else { &[""] };
        return Ok(Some((message, Repair::all(ends.iter().copied().map(rename)))));
    }
    Ok(None)
}
