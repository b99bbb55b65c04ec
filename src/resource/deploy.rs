//! Deployments: `[[deploy]]` lets jobs put their checkout into a root-owned directory, and nothing else.
//!
//! Owns what must be there for `sudo runner-deploy NAME` ([`crate::deploy`]): the description of each deployment, the
//! entry point, the target, and the sudo rule. The rule has a drop-in of its own,
//! `/etc/sudoers.d/gitlab-runner-deploy`, so that each of the two sections of a profile is the whole truth
//! about one file, that `--only deploy` gives something that works, and that an administrator sees by
//! the file's name what it is for. It is read after `gitlab-runner`, so no rule of ours takes it back.
//!
//! The entry point is one line that names this program as its interpreter. It is not a copy and no link: `sudo`
//! compares paths as they are typed, an update of the program must reach it, and the truncated rule
//! `… NOPASSWD: /usr/local/sbin/runner-deploy` still allows deployments alone.

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use super::drop_in::DropIn;
use super::root_file::{RootFile, marked, plan_directories};
use super::sudo_policy::{DEPLOYMENTS, Policy, has_sudo};
use crate::change::{Change, FileKind, Meta, Notes, Op, Owner, Place};
use crate::facts::{Facts, MOST_BYTES, close, programs};
use crate::fault::{fault, look_and_move, quoted, repair};
use crate::repair::Repair;
use crate::text::deployment::{DIRECTORY, Deployment, Description, ENTRY, refuse_place};
use crate::text::sudo_rule::{CommandLine, Rule, RunAs};

/// Where `install.sh` and packages put the program.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/runner-prep", "/usr/bin/runner-prep"];

/// The `[[deploy]]` sections.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Deployment>")]
pub(super) struct Deployments(Vec<Deployment>);

impl TryFrom<Vec<Deployment>> for Deployments {
    type Error = String;
    fn try_from(all: Vec<Deployment>) -> Result<Self, String> {
        for (index, one) in all.iter().enumerate() {
            if all[..index].iter().any(|other| other.name == one.name) {
                return Err(format!("there are two deployments named {}", one.name.as_str()));
            }
        }
        Ok(Self(all))
    }
}

impl Resource for Deployments {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let account = &context.target.name;
        super::target::check_name(account)?;
        let mut changes = Vec::new();
        let mut drop_in = DropIn { kind: "deploy", path: DEPLOYMENTS, ..DropIn::default() };
        if self.0.is_empty() {
            return drop_in.plan(context, None, notes);
        }
        let facts = context.facts;
        let rsync = facts.installed("rsync");
        if programs::lacks(facts, rsync.is_none().then_some("/usr/bin/rsync").into_iter(), notes)? {
            return Ok(Vec::new());
        }
        let distrusted = rsync.as_deref().map(|path| facts.distrust(path)).transpose()?.flatten();
        if let (Some(path), Some(reason)) = (rsync, distrusted) {
            let what = format!("{} can be changed by others than root: {reason}", path.display());
            let repair = Repair::from("unless somebody has changed it already: ") + close(facts, &path)?;
            return Err(fault("command-untrusted", what, repair));
        }
        has_sudo(facts, notes)?;
        let policy = Policy::read(context, DEPLOYMENTS, notes)?;
        warn_of_kernel(facts, notes)?;
        for deployment in &self.0 {
            plan_target(context, deployment, &mut changes)?;
        }

        for deployment in &self.0 {
            let path = Path::new(DIRECTORY).join(format!("{}.toml", deployment.name.as_str()));
            let description = Description { account: account.clone(), deployment: deployment.clone() };
            let text = Some(marked(&description.render()));
            let why = format!("{} is not described as the profile has it", deployment.name.as_str());
            RootFile::new("deploy", &path, text, &why).plan(context, &mut changes)?;
        }
        let entry = format!(
            "#!{} deploy\n# Managed by runner-prep. Called by jobs: sudo runner-deploy NAME\n",
            find_program(facts)?.display()
        );
        let why = "the entry point of deployments is not as it must be";
        let file = RootFile::new("deploy", Path::new(ENTRY), Some(entry), why);
        RootFile { mode: 0o755, ..file }.plan(context, &mut changes)?;
        let mut lines = Vec::new();
        for deployment in &self.0 {
            let name = deployment.name.as_str();
            let command = CommandLine::try_from(format!("{ENTRY} {name}")).map_err(anyhow::Error::msg)?;
            drop_in.add(&Rule { account, run_as: RunAs::Account("root"), commands: &[command] });
            lines.push(format!("`sudo {} {name}`", policy.name_of(Path::new(ENTRY))));
        }
        drop_in.missing = format!("jobs deploy with {} in their checkout", lines.join(", "));
        changes.extend(drop_in.plan(context, Some(&policy), notes)?);
        for deployment in self.0.iter().filter(|_| changes.is_empty()) {
            let (name, target) = (deployment.name.as_str(), deployment.target.path().display());
            notes.right("deploy", format!("jobs can deploy {name}, to {target}"));
        }
        Ok(changes)
    }
}

/// The target must be its owner's alone, and what leads to it root's.
fn plan_target(context: &Context<'_>, deployment: &Deployment, changes: &mut Vec<Change>) -> Result<()> {
    let facts = context.facts;
    let path = deployment.target.path();
    let shown = path.display();
    let owner = &deployment.owner;
    if owner.user == context.target.name {
        let what = format!("{} itself is to own {shown}: jobs can write there without help", owner.user);
        return Err(fault("deploy-owner", what, "leave the deployment out, or give it another owner"));
    }
    let (uid, gid) = owner_ids(facts, deployment)?;
    // A receiver that works where the account can exchange what it just looked at is what all this is against.
    if deployment.chmod.lets_group_write() {
        let refused = if context.target.is_in(facts, &owner.group)? {
            Some((format!("{} is in it", context.target.name), "name another group in owner"))
        } else {
            // The first deployment would open the target, and all others refuse it.
            let why = "root writes only where nobody else can".to_owned();
            (owner.is_root() && gid != 0).then_some((why, "name another account than root in owner"))
        };
        if let Some((why, other)) = refused {
            let what = format!("chmod lets the group {} write to {shown}, and {why}", owner.group);
            return Err(fault("deploy-group", what, mend!("leave `w` out for the group, or {}", other)));
        }
    }
    let seen = facts.file(path, MOST_BYTES)?;
    if let Some(seen) = &seen {
        if seen.kind != FileKind::Directory {
            let what = format!("the target {shown} is {}", seen.kind);
            return Err(fault("deploy-target", what, look_and_move(path)));
        }
        let root = facts.ids(&Owner::Root)?.map(|(uid, _)| uid);
        let is_owned = seen.uid == uid || (owner.is_root() && Some(seen.uid) == root);
        if !is_owned || seen.mode & 0o002 != 0 {
            return Err(fault(
                "deploy-target",
                format!(
                    "the target {shown} belongs to uid {} with mode {:04o}; it must belong to {} and be closed to others",
                    seen.uid, seen.mode, owner.user
                ),
                mend!("$ chown {0}:{1} {2}; $ chmod go-w {2}", owner.user, owner.group, quoted(path)),
            ));
        }
    }
    let is_there = seen.is_some();
    let resolved = seen.and_then(|seen| seen.resolved);
    for place in [Some(path), resolved.as_deref()].into_iter().flatten() {
        let place = if owner.is_root() { place } else { place.parent().unwrap_or(place) };
        if let Some(reason) = facts.distrust(place)? {
            let what = format!("the target {shown} can be exchanged by others than root: {reason}");
            return Err(fault("deploy-target", what, close(facts, place)?));
        }
    }
    if let Some(why) = resolved.as_deref().and_then(refuse_place) {
        return Err(fault("deploy-target", format!("{shown}: {why}"), "name another target in the profile"));
    }
    if is_there {
        let inside = resolved.as_deref().unwrap_or(path).join(deployment.name.as_str());
        let writable = facts.check_writable(&Place::System(inside), false, context.options.confined);
        return writable.map_err(|error| {
            let what = format!("nothing can be put into the target {shown}: {error:#}");
            fault("deploy-target", what, repair(&error))
        });
    }
    if let Some(parent) = path.parent() {
        plan_directories(facts, "deploy", parent, 0o755, changes)?;
    }
    let meta = if owner.is_root() && gid == 0 { Owner::Root } else { Owner::Ids(uid, gid) };
    let after = Meta { owner: meta, mode: 0o755 };
    let op = Op::Directory { place: Place::System(path.into()), before: None, after };
    changes.push(Change::of("deploy", format!("the target of {} is missing", deployment.name.as_str()), op));
    Ok(())
}

/// The numbers of the owner, who must be there already.
fn owner_ids(facts: &Facts<'_>, deployment: &Deployment) -> Result<(u32, u32)> {
    let owner = &deployment.owner;
    let user = facts.account(&owner.user)?.map(|account| account.uid);
    let (Some(uid), Some(gid)) = (user, facts.group_id(&owner.group)?) else {
        return Err(fault(
            "deploy-owner",
            format!(
                "there is no {}:{} to own what {} deploys",
                owner.user,
                owner.group,
                deployment.name.as_str()
            ),
            mend!("make it: $ useradd --system --user-group --shell /usr/sbin/nologin {}", owner.user),
        ));
    };
    if uid == 0 && !owner.is_root() {
        let what = format!("the account {} is root by another name", owner.user);
        return Err(fault("deploy-owner", what, "write root, or name an account that is not root's"));
    }
    Ok((uid, gid))
}

/// The program that the entry point names: the installed one, so that it stays the same whichever copy plans.
fn find_program(facts: &Facts<'_>) -> Result<PathBuf> {
    let (mut reasons, mut open): (Vec<String>, Option<PathBuf>) = (Vec::new(), None);
    for path in PROGRAMS.map(PathBuf::from).into_iter().chain(facts.program()) {
        let Some(seen) = facts.stat(&path)? else { continue };
        let is_program = seen.kind == FileKind::Regular && seen.mode & 0o111 != 0;
        // The kernel takes the first line apart at spaces and reads 127 bytes of it.
        let is_word =
            path.to_str().is_some_and(|path| path.len() < 100 && !path.contains(char::is_whitespace));
        match facts.distrust(&path)? {
            None if is_program && is_word => return Ok(path),
            None => reasons.push(format!("{} is not a program that an entry point can name", path.display())),
            Some(reason) => {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
                if PROGRAMS.iter().any(|place| path == Path::new(place)) {
                    open.get_or_insert(path);
                }
            }
        }
    }
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    Err(fault(
        "program-not-installed",
        format!("runner-prep is not installed where nobody but root can change it{why}"),
        match open {
            Some(path) => Repair::from("unless somebody has changed it already: ") + close(facts, &path)?,
            None => mend!(
                "install it as {} with its install.sh; in a tree: with the tree as DESTDIR",
                PROGRAMS[0]
            ),
        },
    ))
}

/// Say it where the kernel is known to lack the inner wall. Where it is not known, each deployment says it.
fn warn_of_kernel(facts: &Facts<'_>, notes: &mut Notes) -> Result<()> {
    if !facts.is_host() {
        return Ok(());
    }
    let modules = facts.text(Path::new("/sys/kernel/security/lsm"))?;
    if !modules.is_empty() && !modules.split(',').any(|module| module.trim() == "landlock") {
        notes.warn(
            "deploy-without-landlock",
            "this kernel runs without Landlock: one of three walls around the receiving rsync is missing",
            "switch it on: put landlock into the list of the kernel's parameter lsm=",
        );
    }
    Ok(())
}
