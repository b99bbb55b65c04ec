//! Who reads what a command says, and which options let another command work on the same.

use std::path::Path;

use anyhow::Result;

use super::exit::Call;
use crate::cli::{HostOptions, Selection};
use crate::fault::Nature;
use crate::keys::Version;
use crate::repair::{Reader, quoted};
use crate::report::text::Details;
use crate::sys::identity::is_root;
use crate::sys::root::Root;

/// Who reads the repairs, and what the options of the command were that say where it works.
pub(super) fn reader(call: Call<'_>, profiles: &[String], options: Vec<(&str, String)>) -> Reader {
    let tree =
        (call.cli.global.root != Path::new("/")).then(|| Root::open(&call.cli.global.root).ok()).flatten();
    let tree = tree.and_then(|root| root.prefix().map(Path::to_owned));
    let root = tree.as_ref().map(|tree| ("--root", tree.display().to_string()));
    let words = root.into_iter().chain(options);
    let options = words.map(|(option, value)| [" ", option, " ", &quoted(&value)].concat()).collect();
    let by_sudo = call.environment.sudo_uid.is_some_and(|uid| uid != 0);
    let chroots_by_sudo = tree.is_some() && !is_root();
    let (profiles, wants_all) = (profiles.join(","), call.style.details == Details::Checks);
    Reader { by_sudo, chroots_by_sudo, tree, profiles, wants_all, options }
}

/// The options that let another command work on the same.
pub(super) fn options(selection: &Selection) -> Vec<(&'static str, String)> {
    same_options(&selection.host, selection.runner_version)
}

pub(super) fn same_options(host: &HostOptions, version: Option<Version>) -> Vec<(&'static str, String)> {
    let config = host.config.as_ref().map(|path| ("--config", path.display().to_string()));
    let user = host.user.clone().map(|name| ("--user", name));
    let runners = host.runner.iter().map(|name| ("--runner", name.clone()));
    let version = version.map(|version| ("--runner-version", version.to_string()));
    config.into_iter().chain(user).chain(runners).chain(version).collect()
}

/// What works on the whole host needs all of root's rights.
pub(super) fn require_root(root: &Root, command: &str) -> Result<()> {
    if !root.is_host() || root.owner().uid == 0 {
        return Ok(());
    }
    Err(Nature::NotRoot.fault(
        "not-root",
        "runner-prep works on the whole host and must be root",
        mend!("call it with sudo, or give it a tree of your own with --root: $ sudo runner-prep {}", command),
    ))
}
