//! Which file an include means, and which jobs come to it.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use crate::resource::Context;

/// Whether a condition holds for every job: `Some(false)` perhaps for some, `None` never.
pub(super) fn holds(context: &Context<'_>, file: &Path, condition: &str) -> Option<bool> {
    let (keyword, pattern) = condition.split_once(':').unwrap_or((condition, ""));
    match keyword {
        "" => Some(true),
        "gitdir" | "gitdir/i" => {
            let service = context.target.service.as_ref().and_then(|service| service.directory.as_ref());
            let builds = service.unwrap_or(&context.target.home).join("builds");
            let whole = match (pattern.strip_prefix("~/"), pattern.strip_prefix("./")) {
                (Some(rest), _) => context.target.home.join(rest).display().to_string(),
                (None, Some(rest)) => file.parent().unwrap_or(file).join(rest).display().to_string(),
                (None, None) => pattern.to_owned(),
            };
            // `DIR/` means everything below it, and so does `DIR/**`.
            let Some(above) = whole.strip_suffix("/**").or_else(|| whole.strip_suffix('/')) else {
                return Some(whole == "**");
            };
            let (mut above, mut builds) = (above.to_owned(), builds.join("").display().to_string());
            if keyword == "gitdir/i" {
                (above, builds) = (above.to_lowercase(), builds.to_lowercase());
            }
            Some(
                above == "**"
                    || above.is_empty()
                    || above.starts_with('/') && builds.starts_with(&format!("{above}/")),
            )
        }
        "onbranch" | "hasconfig" => Some(false),
        _ => None,
    }
}

/// A file as it is written.
pub(super) enum Written {
    At(PathBuf),
    /// In the home of an account that is not there.
    OfNobody(String),
    /// Only git can tell.
    Unclear,
}

/// The file that is meant.
pub(super) fn place(context: &Context<'_>, from: &Path, written: &str) -> Result<Written> {
    let path = if let Some(rest) = written.strip_prefix("~/") {
        context.target.home.join(rest)
    } else if let Some(rest) = written.strip_prefix('~') {
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match context.facts.account(name)? {
            Some(account) => account.home.join(rest),
            None => return Ok(Written::OfNobody(name.to_owned())),
        }
    } else if written.starts_with("%(prefix)") {
        return Ok(Written::Unclear);
    } else {
        from.parent().unwrap_or(from).join(written)
    };
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(Written::At(clean))
}
