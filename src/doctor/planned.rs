//! What the profile's own resources say: every change that `apply` would make is a problem here.

use anyhow::Result;

use super::DoctorContext;
use super::config_keys;
use super::context::refuse;
use crate::change::{AccountOp, Change, Harm, Note, Op, Shown};
use crate::finding::Findings;
use crate::plan::Plan;
use crate::repair::Repair;
use crate::text::toml_patch::Step;

/// Hold every section of the profile against the host.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for (kind, plan) in &context.plans {
        let mut own = Findings::of(&check_of(kind));
        match plan {
            Err(error) => refuse(&mut own, error),
            Ok(plan) => tell(context, plan, &mut own),
        }
        own.else_fine("as the profile wants it");
        findings.extend(own);
    }
    Ok(())
}

/// The name under which a kind of resource is told.
pub(super) fn check_of(kind: &str) -> String {
    kind.replace('_', "-")
}

fn tell(context: &DoctorContext<'_>, plan: &Plan, findings: &mut Findings) {
    let mut said = (String::new(), "");
    for change in &plan.changes {
        let mut known = plan.notes.meanings.iter().filter(|(kind, _)| *kind == change.kind).peekable();
        if known.peek().is_some() {
            for (_, Note { code, message, harm, .. }) in known {
                told(findings, *harm, code, message, &context.apply());
            }
            continue;
        }
        if let Some(identity) = made_up(context, change) {
            let what = format!("git has no identity and makes one up: {identity}");
            findings.note("git-identity-made-up", what, context.apply());
            continue;
        }
        for WantedDifference { code, message, subject } in differences(change) {
            // Both halves of a key are missing for one reason.
            let again = said == (code.clone(), &change.why) && code.ends_with("-missing");
            if !again {
                findings.about(subject).problem(&code, message, context.apply());
            }
            said = (code, &change.why);
        }
    }
    for Note { code, message, repair, harm, .. } in plan.notes.pending.iter().chain(&plan.notes.warnings) {
        told(findings, *harm, code, message, repair);
    }
}

fn told(findings: &mut Findings, harm: Harm, code: &str, message: &str, repair: &Repair) {
    match harm {
        Harm::Jobs => findings.problem(code, message, repair),
        Harm::None => findings.note(code, message, repair),
        // Checks of their own say it.
        Harm::Unknown | Harm::Examined => {}
    }
}

/// The identity with which git commits although none is set: where the host's name has a domain, it makes one up.
fn made_up(context: &DoctorContext<'_>, change: &Change) -> Option<String> {
    let account = context.account().filter(|_| change.kind == "git" && context.facts.is_host())?;
    let said = context.facts.ask(account, "git", &["var", "GIT_COMMITTER_IDENT"], b"").ok().flatten()?;
    // The time follows.
    let identity = said.stdout.trim().rsplit_once('>')?.0.to_owned() + ">";
    said.success().then_some(identity)
}

/// One thing that differs.
struct WantedDifference {
    code: String,
    message: String,
    /// The place of a value in config.toml; empty for everything else.
    subject: String,
}

/// A change in words, with a code made of its kind and of what is to be done. Only what the change itself
/// allows is shown.
fn differences(change: &Change) -> Vec<WantedDifference> {
    let kind = change.kind.replace('_', "-");
    let message = format!("{}: {}", change.id, change.why);
    let coded =
        |code: String| vec![WantedDifference { code, message: message.clone(), subject: String::new() }];
    let one = |what: &str| coded(format!("{kind}-{what}"));
    match &change.op {
        // Whether the file is there does not matter to whom it is missing.
        Op::File(_) | Op::Metadata { .. } if kind == "git" => one("identity"),
        Op::File(_) if kind == "known-hosts" => coded("host-key-missing".to_owned()),
        Op::Account(AccountOp::Create { .. }) => one("missing"),
        Op::Account(AccountOp::Join { .. }) => one("group"),
        Op::Register(_) => coded("runner-not-registered".to_owned()),
        // These directories are missing for the same reason as the file in them.
        Op::Directory { .. } if ["ca", "service"].contains(&&*kind) => Vec::new(),
        _ if kind == "ca" => one("certificates"),
        _ if kind == "service" => one("settings"),
        Op::Directory { before: None, .. } => one("directory-missing"),
        Op::Directory { .. } => one("directory-mode"),
        Op::RemoveDirectory { .. } => one("differs"),
        Op::Metadata { .. } => one("mode"),
        Op::File(file) => match &file.shown {
            Shown::Values(values) if kind == "config" => values
                .iter()
                .map(|value| {
                    let is_service = value.path.iter().any(|step| *step == Step::from("services"));
                    let key = match value.path.last() {
                        Some(_) if is_service => "services".to_owned(),
                        Some(key) => key.to_string().replace('_', "-").to_lowercase(),
                        None => "value".to_owned(),
                    };
                    let after = value.after.as_deref().unwrap_or("nothing");
                    let message = match &value.before {
                        Some(before) => format!("{}: {before}, wanted is {after}", value.name),
                        None => format!("{}: {after} is missing", value.name),
                    };
                    let code = format!("{kind}-{key}");
                    let is_listed = super::explain::code(&code).is_some();
                    let code = if is_listed { code } else { format!("{kind}-value") };
                    WantedDifference { code, message, subject: config_keys::place_of(&value.path) }
                })
                .collect(),
            _ if change.id.ends_with("/.bash_logout") => one("logout"),
            _ if file.before.is_none() => one("missing"),
            _ => one("differs"),
        },
    }
}
