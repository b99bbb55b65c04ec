//! The sudo rules of the account: one file, `/etc/sudoers.d/gitlab-runner`.
//!
//! Owns what the section means. The rendering is [`crate::text::sudo_rule`]'s, the file that of
//! [`super::drop_in`]. A section without any rule takes a file of ours away: that is how a host leaves a
//! profile whose rule made every job root.

use std::path::Path;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use super::drop_in::DropIn;
use super::sudo_policy::{Policy, RULES, has_sudo};
use super::target::{AccountName, check_name};
use crate::change::{Change, FileKind, Notes, Seen};
use crate::facts::{Facts, close, programs};
use crate::fault::{fault, look_and_move, quoted};
use crate::policy::{ROOT_GROUPS, way_to_root};
use crate::repair::Repair;
use crate::text::sudo_rule::{CommandLine, Program, Rule, RunAs};

/// The `[sudoers]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sudoers {
    /// Programs that run as anybody, with any arguments.
    #[serde(default)]
    commands: Vec<Program>,
    /// Commands that run with the rights of one other account.
    #[serde(default)]
    rule: Vec<AsAccount>,
}

/// A `[[sudoers.rule]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AsAccount {
    /// The account whose rights the commands have.
    run_as: AccountName,
    /// Programs, with literal arguments or with any.
    commands: Vec<CommandLine>,
}

/// The programs that jobs of a profile start through sudo.
#[derive(Debug, Clone, Default)]
pub struct SudoPrograms {
    /// With the rights of anybody.
    pub as_anybody: Vec<String>,
    /// With those of one account, which a `[[sudoers.rule]]` names.
    pub as_account: Vec<String>,
}

impl From<Sudoers> for SudoPrograms {
    fn from(section: Sudoers) -> Self {
        let of_rules = section.rule.iter().flat_map(|rule| &rule.commands);
        Self {
            as_anybody: section.commands.iter().map(|program| program.as_str().to_owned()).collect(),
            as_account: of_rules.map(|command| command.program().as_str().to_owned()).collect(),
        }
    }
}

impl Resource for Sudoers {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let account = &context.target.name;
        check_name(account)?;
        let missing = format!("the rule is missing that lets {account} use sudo without a password");
        let mut drop_in = DropIn { kind: "sudoers", path: RULES, missing, ..DropIn::default() };
        let simple: Vec<CommandLine> = self.commands.iter().cloned().map(CommandLine::from).collect();
        if !simple.is_empty() {
            for command in &simple {
                warn_of_root(command.program().as_str(), notes);
            }
            drop_in.add(&Rule { account, run_as: RunAs::Anyone, commands: &simple });
        }
        for AsAccount { run_as, commands } in &self.rule {
            let name = run_as.as_str();
            check_run_as(context, name, notes)?;
            if commands.is_empty() {
                let what = format!("the sudo rule for {name} has no commands");
                let repair = "name at least one program in its commands, or take the rule out";
                return Err(fault("sudo-rule-empty", what, repair));
            }
            for command in commands.iter().filter(|command| command.arguments().len() > 1) {
                warn_of_merging(command, name, notes);
            }
            drop_in.add(&Rule { account, run_as: RunAs::Account(name), commands });
        }
        let mut policy = None;
        if !drop_in.rules.is_empty() {
            let all = || self.rule.iter().flat_map(|rule| &rule.commands).chain(&simple);
            let names = || all().map(|command| command.program().as_str());
            if !has_sudo(context.facts, notes)? {
                programs::lacks(context.facts, names(), notes)?;
                return Ok(Vec::new());
            }
            let policy = policy.insert(Policy::read(context, RULES, notes)?);
            let mut lacks = false;
            for program in names() {
                // What was not looked at gets no rule, also where somebody puts it there meanwhile.
                if !check_command(context.facts, policy, Path::new(program))? {
                    notes.lacks.push(program.rsplit('/').next().unwrap_or(program).to_owned());
                    lacks = true;
                }
            }
            if lacks {
                return Ok(Vec::new());
            }
        }
        let changes = drop_in.plan(context, policy.as_ref(), notes)?;
        if changes.is_empty() && !drop_in.rules.is_empty() {
            notes.right("sudoers", format!("{} has the profile's rules, mode 0440 and root", drop_in.path));
        }
        Ok(changes)
    }
}

/// The account must be there and must not be root by any name.
fn check_run_as(context: &Context<'_>, name: &str, notes: &mut Notes) -> Result<()> {
    let account = context.facts.account(name)?.ok_or_else(|| {
        let repair = mend!("make it: $ useradd --system --user-group --shell /usr/sbin/nologin {}", name);
        fault("run-as-missing", format!("there is no account {name} for a sudo rule to run as"), repair)
    })?;
    if account.uid == 0 {
        return Err(fault(
            "run-as-root",
            format!("the account {name} of a sudo rule has uid 0"),
            "name an account that owns the target of the deployment and nothing else; as root there is [[deploy]]",
        ));
    }
    if name == context.target.name {
        let what = format!("{name} needs no sudo rule to run as {name}");
        return Err(fault("run-as-itself", what, "name the account that owns the target of the deployment"));
    }
    // The rule lets jobs choose the group of that name, too.
    if let Some(gid) = context.facts.group_id(name)?.filter(|gid| *gid != account.gid) {
        let what = format!(
            "the group {name} (gid {gid}) is not the own group of the account {name} (gid {}): the rule would give jobs both",
            account.gid
        );
        let repair = mend!(
            "name an account with a group of its own, or give this one its own: $ groupmod --new-name {0}-old {0}; $ groupadd --gid {1} {0}",
            name,
            account.gid
        );
        return Err(fault("run-as-group", what, repair));
    }
    for (group, way) in ROOT_GROUPS {
        if context.facts.members(group)?.is_some_and(|members| members.iter().any(|member| member == name)) {
            notes.warn(
                "root-equivalent-account",
                format!("sudo as {name} makes every job root: {name} is in the group {group}, and {way}"),
                mend!("take it out of the group: $ gpasswd --delete {} {}", name, group),
            );
        }
    }
    Ok(())
}

/// What no rule can say to sudo: where one argument ends and the next begins.
fn warn_of_merging(command: &CommandLine, run_as: &str, notes: &mut Notes) {
    let command = command.words().join(" ");
    notes.warn(
        "sudo-arguments-merge",
        format!("sudo joins arguments with spaces before it compares them (sudo-rs does not): jobs can call `{command}` as {run_as} with neighbours merged into one argument"),
        mend!("see that no merging of them gives {} more to do than you want; a program with one fixed argument has no neighbours", run_as),
    );
}

fn warn_of_root(command: &str, notes: &mut Notes) {
    let name = command.rsplit('/').next().unwrap_or_default();
    if let Some(way) = way_to_root(name) {
        notes.warn(
            "root-equivalent-command",
            format!("sudo {name} without a password makes every job root: {way}"),
            "run it as an account that owns the target ([[sudoers.rule]]), or use [[deploy]]: $ runner-prep profile show shell-hardened",
        );
    }
}

/// The program must be root's own, and the one that `sudo NAME` finds. False: it is missing, and can be installed.
fn check_command(facts: &Facts<'_>, policy: &Policy, path: &Path) -> Result<bool> {
    let shown = path.display();
    let name = path.file_name().context("a checked path names a file")?.to_string_lossy();
    let itself = facts.entry(path)?.filter(|seen| seen.kind != FileKind::Link);
    let Some(seen) = itself.clone().map_or_else(|| facts.stat(path), |seen| Ok(Some(seen)))? else {
        if programs::is_known(&name) {
            return Ok(false);
        }
        let repair = "correct it in sudoers.commands of the profile, or install the program that it means";
        return Err(fault("command-missing", format!("the command {shown} does not exist"), repair));
    };
    if seen.kind != FileKind::Regular || seen.mode & 0o111 == 0 {
        return Err(fault(
            "command-kind",
            format!("the command {shown} is not a program: it is {} with mode {:04o}", seen.kind, seen.mode),
            match seen.kind {
                FileKind::Regular => mend!(
                    "name a program in sudoers.commands, or make this one: $ chmod 0755 {}",
                    quoted(path)
                ),
                _ => "name an executable file in sudoers.commands".into(),
            },
        ));
    }
    let distrust = itself.map_or_else(|| facts.distrust(path), |seen| facts.distrust_seen(path, &seen))?;
    if let Some(reason) = distrust {
        let what = format!(
            "the command {shown} can be changed by others than root, who would then be root: {reason}"
        );
        let repair = Repair::from("unless somebody has changed it already: ") + close(facts, path)?;
        return Err(fault("command-untrusted", what, repair));
    }
    // Where sudo looks is then asked of sudo itself.
    if !policy.doubts.is_empty() {
        return Ok(true);
    }
    let secure_path = &policy.secure_path;
    let found =
        secure_path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(&*name));
    for candidate in found {
        if candidate == path {
            return Ok(true);
        }
        let is_program = |seen: &Seen| seen.kind == FileKind::Regular && seen.mode & 0o111 != 0;
        let Some(first) = facts.stat(&candidate)?.filter(is_program) else { continue };
        if first.identity == seen.identity {
            return Ok(true);
        }
        return Err(shadowed(path, &candidate));
    }
    let what = format!("`sudo {name}` does not find {shown}: it is in no directory of secure_path");
    let repair = mend!("secure_path is {}; name a program that lies there", secure_path);
    Err(fault("command-not-in-secure-path", what, repair))
}

fn shadowed(path: &Path, candidate: &Path) -> anyhow::Error {
    let what = format!(
        "`sudo` finds {} before {}, and the rule would not match it",
        candidate.display(),
        path.display()
    );
    let repair = mend!("put {} into sudoers.commands, or ", candidate.display()) + look_and_move(candidate);
    fault("command-shadowed", what, repair)
}
