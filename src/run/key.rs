//! `runner-prep key`: the public key that jobs push with.

use anyhow::Result;

use super::output::json;
use super::reader::{reader, require_root};
use crate::change::{Note, PublicKey};
use crate::cli::{Cli, Environment, Key};
use crate::facts::live::Live;
use crate::fault::fault;
use crate::report::{Report, Style, escape};
use crate::resource::{self, Context, Options, Target};
use crate::sys::root::Root;

/// What is printed: the line, its fingerprint or a document; and what a person should know beside it.
pub(super) fn show(
    cli: &Cli,
    environment: Environment,
    root: &Root,
    facts: &Live<'_>,
    asked: &Key,
    style: Style,
) -> Result<(String, String)> {
    let (found, notes) = find(root, facts, asked.user.as_ref())?;
    let shown = if asked.fingerprint { found.fingerprint.clone() } else { escape(&found.line) } + "\n";
    let mut report = Report::of_key(found);
    report.warn(&notes);
    let report = report.addressed(reader(cli, environment, &[], Vec::new()));
    if cli.global.json {
        return Ok((json(&report), String::new()));
    }
    Ok((shown, report.problems(style)))
}

/// The public key of the account that jobs run as.
pub(super) fn find(root: &Root, facts: &Live<'_>, user: Option<&String>) -> Result<(PublicKey, Vec<Note>)> {
    let target = Target::find(facts, user.cloned())?;
    // The account may look at its own key; others would be told of a home that is not theirs.
    if target.account.as_ref().is_some_and(|account| account.uid != crate::facts::caller()) {
        require_root(root, "key")?;
    }
    let options = Options::default();
    let (found, notes) = resource::public_key(&Context { facts, target: &target, options: &options })?;
    let found = found.ok_or_else(|| {
        fault(
            "no-key",
            format!("{} has no SSH key that jobs can use", target.name),
            "make one: runner-prep apply --profile shell --only account,ssh_key",
        )
    })?;
    Ok((found, notes))
}
