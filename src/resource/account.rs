//! The account that jobs run as. Made as GitLab's package makes it when it is missing; an existing one
//! gets what the profile names and nothing else. Never deleted, its uid never changed.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use super::target::{AccountName, USUAL_NAMES};
use crate::change::{AccountOp, Change, FileKind, Harm, Note, Notes, Op};
use crate::facts::before_rules::barred;
use crate::facts::checkouts::BUILDS;
use crate::facts::programs::{DOCKERD, is_there, is_whole};
use crate::facts::{Account, PASSWD};
use crate::fault::{fault, look_and_move, quoted};
use crate::policy::ROOT_GROUPS;
use crate::repair::Repair;

/// The `[account]` section.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountSection {
    /// The account's name, when it is not to be found by the service.
    pub(super) name: Option<AccountName>,
    /// Supplementary groups it must be a member of.
    #[serde(default)]
    pub(super) groups: Vec<AccountName>,
}

/// Prepared for one account, run as another: every shell job would fail.
fn warn_of_service(context: &Context<'_>, notes: &mut Notes) {
    let Some(service) = &context.target.service else { return };
    let name = &context.target.name;
    context.target.warn_if_unclear(notes);
    if let Some(user) = service.user.as_ref().filter(|user| *user != name) {
        let unit = service.unit.display();
        let what = format!("{unit} runs jobs as {user}, and this prepares {name}");
        let repair = mend!("correct --user in {}, or say here which account is meant: --user {}", unit, user);
        notes.examined("service-user", what, repair);
    }
}

/// The account will be made beside a usual one, as which jobs run wherever no service says otherwise.
fn warn_of_usual(context: &Context<'_>, notes: &mut Notes) -> Result<()> {
    let name = &context.target.name;
    if context.target.service.as_ref().is_some_and(|service| service.user.is_some()) {
        return Ok(());
    }
    for usual in USUAL_NAMES {
        if usual != name && context.facts.account(usual)?.is_some() {
            let what = format!("there is an account {usual} already, and this makes another one, {name}");
            let repair = mend!("leave it at this if jobs are to run as {}; else say: --user {}", name, usual);
            notes.warn("account-other", what, repair);
        }
    }
    Ok(())
}

/// A new home in which its own account could not write.
fn check_home_mode(context: &Context<'_>) -> Result<()> {
    let (mode, setting) = context.facts.new_home_mode()?;
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    let value = if setting == "UMASK" { "022" } else { "0755" };
    Err(fault(
        "home-mode",
        format!("{setting} in /etc/login.defs gives a new home mode {mode:04o}: jobs could not use it"),
        mend!(
            "say there: {0} {1}, for example: $ sed -i 's/^[[:space:]]*{0}.*/{0} {1}/' /etc/login.defs",
            setting,
            value
        ),
    ))
}

/// A directory above the home through which the account can't come: no job can use what is in it.
fn check_way(context: &Context<'_>, notes: &mut Notes) -> Result<()> {
    let Some(account) = &context.target.account else { return Ok(()) };
    let lacks = context.facts.lacks_home(account)?;
    notes.pending.extend(lacks.map(|(code, what, repair)| Note::new(code, what, repair, Harm::Examined)));
    let shut = context.facts.shut_out(account, &account.home)?.filter(|shut| *shut != account.home);
    if let Some(shut) = shut {
        notes.wait(
            "home-shut",
            format!(
                "{} can't come to its home {}: {} lets it not through, so that every job fails",
                account.name,
                account.home.display(),
                shut.display()
            ),
            Repair::from("let accounts through: ")
                + context.opening(&shut, format!("chmod o+x {}", quoted(&shut))),
        );
    }
    if account.is_hidden {
        let what = format!(
            "{} can't read {PASSWD}: ssh ends with \"No user exists for uid {}\"",
            account.name, account.uid
        );
        notes.wait("accounts-shut", what, mend!("$ chmod 0644 {}", PASSWD));
    }
    Ok(())
}

/// Dates past which no job begins. Where the file can't be read, doctor says so.
fn check_dates(context: &Context<'_>, account: &Account, notes: &mut Notes) {
    let found = context.facts.is_host().then(|| barred(context.facts, &account.name).ok()).flatten();
    let dates = found.into_iter().flatten();
    notes.pending.extend(dates.map(|(code, what, repair)| Note::new(code, what, repair, Harm::Examined)));
}

impl Resource for AccountSection {
    fn in_home(&self) -> &'static [&'static str] {
        &[super::login_shell::FILE, BUILDS]
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        // Every job begins with a clone.
        notes.call("git");
        notes.call("gitlab-runner");
        let mut changes = Vec::new();
        let name = &context.target.name;
        warn_of_service(context, notes);
        if context.target.account.is_none() {
            if context.facts.group_id(name)?.is_some() {
                return Err(fault(
                    "group-alone",
                    format!("there is a group {name} and no account {name}: useradd makes both, or none"),
                    mend!(
                        "make the account with that group: $ useradd --system --gid {0} --create-home --skel /dev/null --shell /bin/bash --comment 'GitLab Runner' {0}",
                        name
                    ),
                ));
            }
            // useradd takes it as it is, and whose number the account gets nobody knows before.
            if let Some(seen) = context.facts.entry(&context.target.home)? {
                let home = context.target.home.display();
                let what = match seen.kind {
                    FileKind::Directory => format!("it is there already and belongs to uid {}", seen.uid),
                    kind => format!("it is {kind}"),
                };
                let message =
                    format!("the home directory {home} can't be used for the new account {name}: {what}");
                return Err(fault("home-unusable", message, look_and_move(&context.target.home)));
            }
            check_home_mode(context)?;
            warn_of_usual(context, notes)?;
            changes.push(Change {
                kind: "account",
                id: name.clone(),
                why: format!("there is no account {name}: shell jobs have nobody to run as"),
                op: Op::Account(AccountOp::Create {
                    name: name.clone(),
                    comment: "GitLab Runner".to_owned(),
                    shell: "/bin/bash".into(),
                    home: context.target.home.clone(),
                }),
            });
        }
        if let Some(account) = &context.target.account {
            let (uid, home) = (account.uid, account.home.display());
            notes.right("account", format!("{name} is there: uid {uid}, home {home}"));
            check_way(context, notes)?;
            check_dates(context, account, notes);
        }
        let lacks_docker =
            || -> Result<bool> { Ok(is_whole(context.facts) && !is_there(context.facts, DOCKERD)?) };
        for group in self.groups.iter().map(AccountName::as_str) {
            if let Some((_, way)) = ROOT_GROUPS.iter().find(|(root_group, _)| *root_group == group) {
                notes.examined(
                    "root-equivalent-group",
                    format!("membership in the group {group} makes every job root: {way}"),
                    mend!("take {} out of account.groups unless the jobs are trusted like root", group),
                );
            }
            let members = context.facts.members(group)?;
            // Docker's package makes the group; without Docker it is not there yet.
            if group == "docker" && members.is_none() && lacks_docker()? {
                notes.lacks.push(DOCKERD.to_owned());
                continue;
            }
            let members = members.ok_or_else(|| {
                let repair = mend!("install what brings it, or make it: $ groupadd --system {}", group);
                fault("group-missing", format!("there is no group {group} that {name} could be in"), repair)
            })?;
            if members.contains(name) {
                notes.right("account", format!("{name} is in the group {group}"));
            } else {
                notes.joins.push(group.to_owned());
                changes.push(Change {
                    kind: "account",
                    id: format!("{name}:{group}"),
                    why: format!("{name} is not a member of the group {group}"),
                    op: Op::Account(AccountOp::Join { name: name.clone(), group: group.to_owned() }),
                });
            }
        }
        changes.extend(super::login_shell::plan(context, notes)?);
        Ok(changes)
    }
}
