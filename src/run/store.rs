//! Where profiles lie: local ones inside the tree, those given by path on the machine. And what `--only` and `--skip` leave of
//! them.

use std::path::Path;

use anyhow::Result;

use super::exit::Call;
use super::place::Site;
use crate::cli::Selection;
use crate::facts::{MOST_BYTES, unreadable};
use crate::fault::{fault, quoted};
use crate::gitlab::section;
use crate::profile::{self, Profile, ProfileText};
use crate::resource::{self, Wanted};
use crate::sys::dir::FileKind;
use crate::sys::identity;
use crate::sys::root::pointed::{Blame, Refusal};

/// Our own directory in `/etc`.
const HOME: &str = "/etc/runner-prep";

/// The profiles that a command line can name.
impl profile::ProfileStore for Site {
    /// A profile is code that root runs, so nobody but root and the caller may be able to change it.
    fn read(&self, path: &Path) -> Result<Option<ProfileText>> {
        let local = path.starts_with(profile::DIRECTORY);
        let root = if local { &self.root } else { self.machine() };
        let shown = path.display();
        let (entry, is_open) = match root.pointed_at(path, MOST_BYTES) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(Refusal::System(error)) => return Err(unreadable(None, path, MOST_BYTES, error)),
            Err(Refusal::Distrust(distrust)) => {
                let file = std::path::absolute(path)?;
                let inside = distrust.at.starts_with(HOME);
                // What others put beside it comes along to no new directory.
                let repair = if local && inside && distrust.what == Blame::Place {
                    let (old, new) = (quoted(&distrust.at), quoted(&file));
                    let rest = file.strip_prefix(&distrust.at).unwrap_or(&file);
                    let kept = quoted(distrust.at.with_extension("old").join(rest));
                    mend!(
                        "make the directory anew, and read what you put back: $ mv -T {0} {0}.old && install -D -o root -g root -m 0644 {1} {2} && cat {2}",
                        old,
                        kept,
                        new
                    )
                } else {
                    distrust.repair(&file)
                };
                let repair = if local { repair } else { repair.on_machine() };
                return Err(fault(
                    "profile-untrusted",
                    distrust.told(&format!("the profile {shown}")),
                    repair,
                ));
            }
        };
        if entry.kind != FileKind::Regular {
            let kind = entry.kind;
            let what = format!("{shown} is {kind}, not a profile");
            return Err(fault("profile-invalid", what, "give the path of a regular file"));
        }
        let caller = self.environment.sudo_uid.unwrap_or_else(identity::user);
        let hidden = identity::is_root() && !is_open && entry.uid != caller;
        match String::from_utf8(entry.bytes) {
            Ok(text) => Ok(Some(ProfileText { text, hidden })),
            Err(_) => Err(fault("profile-invalid", format!("{shown} is not UTF-8 text"), "give a TOML file")),
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        self.facts().names(Path::new(profile::DIRECTORY))
    }
}

/// The sections that a profile may have.
pub(super) fn sections() -> Vec<&'static str> {
    let mut names = resource::names();
    names.push(section::NAME);
    names
}

/// What a profile wants of a host. What it wants of GitLab is checked with it, and no more.
pub(super) fn resolve(profile: &Profile, chosen: &dyn Fn(&str) -> bool) -> Result<Wanted> {
    section::of(profile)?;
    Wanted::resolve(profile, chosen)
}

/// The profiles that there are on the host or in the tree: name, summary, origin.
pub(super) fn listed(call: Call<'_>) -> Result<Vec<(String, String, String)>> {
    profile::list(&Site::open(call, None)?)
}

/// Which kinds `--only` and `--skip` leave.
pub(super) fn kinds(selection: &Selection) -> Result<impl Fn(&str) -> bool> {
    let kinds = resource::names();
    for name in selection.only.iter().chain(&selection.skip) {
        if !kinds.contains(&name.as_str()) {
            let what =
                format!("there is no kind of resource {name:?}{}", profile::did_you_mean(name, &kinds));
            return Err(fault("kind-unknown", what, mend!("the kinds are {}", kinds.join(", "))));
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
    let repair = mend!("see what it has: $ runner-prep profile show {}", names);
    fault("nothing-chosen", format!("--only and --skip leave nothing of the profile {names}"), repair)
}
