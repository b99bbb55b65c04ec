//! `runner-prep key`: the public key that jobs push with.

use std::path::Path;

use anyhow::Result;

use super::exit::Call;
use super::output::json;
use super::reader::{reader, require_root};
use crate::change::{Note, ShownKey};
use crate::cli::KeyOptions;
use crate::facts::Facts;
use crate::facts::MOST_BYTES;
use crate::facts::ssh::SYSTEM_HOSTS;
use crate::fault::{Nature, quoted};
use crate::report::{Report, escape};
use crate::resource::{self, Context, ExaminedConfig, Options, Target};
use crate::runner_config::Runner;
use crate::sys::root::Root;
use crate::text::known_hosts::{HostName, hosts};

/// Each may cost a start of ssh.
const MOST_SERVERS: usize = 10;

/// What is printed: the line, its fingerprint or a document; and what a person should know beside it.
pub(super) fn show(
    call: Call<'_>,
    root: &Root,
    facts: &Facts<'_>,
    asked: &KeyOptions,
) -> Result<(String, String)> {
    let (found, notes) = find(root, facts, asked.user.as_ref())?;
    let shown = if asked.fingerprint { found.fingerprint.clone() } else { escape(&found.line) } + "\n";
    let mut report = Report::of_key(found);
    report.warn(&notes);
    let report = report.addressed(reader(call, &[], Vec::new()));
    if call.cli.global.json {
        return Ok((json(&report), String::new()));
    }
    Ok((shown, report.problems(call.style)))
}

/// The public key of the account that jobs run as.
pub(super) fn find(root: &Root, facts: &Facts<'_>, user: Option<&String>) -> Result<(ShownKey, Vec<Note>)> {
    let target = Target::find(facts, user.cloned())?;
    // The account may look at its own key; others would be told of a home that is not theirs.
    if target.account.as_ref().is_some_and(|account| account.uid != crate::facts::caller()) {
        require_root(root, "key")?;
    }
    let options = options(facts, &target);
    let (found, notes) = resource::public_key(&Context { facts, target: &target, options: &options })?;
    let found = found.ok_or_else(|| {
        Nature::NoKey.fault(
            "no-key",
            format!("{} has no SSH key that jobs can use", target.name),
            mend!("make one: $ runner-prep apply --profile shell --only account,ssh_key{}", of_user(user)),
        )
    })?;
    Ok((found, notes))
}

/// The option that lets another command work on the same account.
pub(super) fn of_user(user: Option<&String>) -> String {
    user.map(|name| format!(" --user {}", quoted(name))).unwrap_or_default()
}

/// What ssh of jobs depends on, where no profile says it.
pub(super) fn options(facts: &Facts<'_>, target: &Target) -> Options {
    let none = Options::default();
    let servers = servers(&Context { facts, target, options: &none });
    let server = servers.first().map_or_else(|| "git@gitlab.com".to_owned(), HostName::for_ssh);
    Options { server, servers, ..none }
}

/// The servers that jobs most likely push to: those that the runners are registered with, or else those whose host keys
/// are known here. What can't be read names none.
fn servers(context: &Context<'_>) -> Vec<HostName> {
    let config = ExaminedConfig::of(context);
    let runners = config.runners().unwrap_or_default();
    let mut servers: Vec<HostName> = runners.iter().filter_map(Runner::server).collect();
    servers.dedup();
    if servers.is_empty() {
        let known = context.facts.file(Path::new(SYSTEM_HOSTS), MOST_BYTES).ok().flatten();
        servers.extend(known.iter().flat_map(|seen| hosts(&seen.bytes)));
        servers.sort_by_key(|server| server.host() != "gitlab.com");
    }
    servers.truncate(MOST_SERVERS);
    servers
}
