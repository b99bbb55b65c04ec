//! What `--only` and `--skip` leave of a profile.

use anyhow::Result;

use crate::cli::Selection;
use crate::fault::fault;
use crate::{profile, resource};

/// Which kinds `--only` and `--skip` leave.
pub(super) fn kinds(selection: &Selection) -> Result<impl Fn(&str) -> bool> {
    let kinds = resource::names();
    for name in selection.only.iter().chain(&selection.skip) {
        if !kinds.contains(&name.as_str()) {
            return Err(fault(
                "kind-unknown",
                format!("there is no kind of resource {name:?}{}", profile::did_you_mean(name, &kinds)),
                mend!("the kinds are {}", kinds.join(", ")),
            ));
        }
    }
    let (only, skip) = (selection.only.clone(), selection.skip.clone());
    Ok(move |kind: &str| {
        (only.is_empty() || only.iter().any(|name| name == kind)) && !skip.iter().any(|name| name == kind)
    })
}

/// The error of a profile of which nothing is left.
pub(super) fn nothing(names: &[String], selection: &Selection) -> anyhow::Error {
    let names = names.join(",");
    // Were this no error, an empty file would make every host the one that is wanted.
    if selection.only.is_empty() && selection.skip.is_empty() {
        return fault(
            "profile-empty",
            format!("the profile {names} wants nothing of a host: it has no section of one"),
            "see what a profile can have: $ runner-prep profile show dind",
        );
    }
    fault(
        "nothing-chosen",
        format!("--only and --skip leave nothing of the profile {names}"),
        mend!("see what it has: $ runner-prep profile show {}", names),
    )
}
