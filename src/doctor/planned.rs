//! What the profile's own resources say: every change that `apply` would make is a problem here.

use anyhow::Result;

use super::Patient;
use super::check::refuse;
use super::config_keys;
use crate::change::{Change, Meaning, Note, Op, Shown};
use crate::finding::Findings;
use crate::plan::{PROGRAMS_MISSING, Plan};
use crate::policy::{POLICY_BROKEN, UNKNOWN_EFFECT};
use crate::text::toml_patch::Step;

/// Warnings of the plan that make jobs fail or leak; the others are worth knowing.
const HARMFUL: [&str; 19] = [
    "cache-disabled",
    "certs-ca-shared",
    "certs-read-only",
    "certs-shared",
    "config-key-removed",
    "config-key-too-new",
    "dind-network",
    "dind-service-command",
    "dind-service-tls",
    "docker-host-wrong",
    "docker-sock-place",
    "docker-tls-wrong",
    "foreign-owner",
    "login-shell",
    "network-none",
    "service-not-allowed",
    "services-limit-low",
    "services-unprivileged",
    "wall-open",
];

/// Warnings that a check of its own gives, with more to say.
const OWNED: [&str; 10] = [
    "config-misplaced",
    "config-bom",
    "config-dotted-keys",
    "config-mode",
    "config-toml-1-1",
    "config-type",
    "pull-policy-unknown",
    "root-equivalent-group",
    "service-user",
    "ssh-key-weak",
];

/// Hold every section of the profile against the host.
pub(super) fn look(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    for (kind, plan) in &patient.plans {
        let mut own = Findings::of(&kind.replace('_', "-"));
        match plan {
            Err(error) => refuse(&mut own, error),
            Ok(plan) => tell(patient, plan, &mut own),
        }
        if own.is_empty() {
            own.fine("as the profile wants it");
        }
        findings.extend(own);
    }
    Ok(())
}

fn tell(patient: &Patient<'_>, plan: &Plan, findings: &mut Findings) {
    let mut said = (String::new(), "");
    for change in &plan.changes {
        let mut known = plan.meanings.iter().filter(|meaning| meaning.kind == change.kind).peekable();
        if known.peek().is_some() {
            for Meaning { code, message, harmless, .. } in known {
                if *harmless {
                    findings.note(code, message, patient.apply());
                } else {
                    findings.problem(code, message, patient.apply());
                }
            }
            continue;
        }
        if let Some(identity) = made_up(patient, change) {
            findings.note(
                "git-identity-made-up",
                format!("git has no identity and makes one up: {identity}"),
                patient.apply(),
            );
            continue;
        }
        for Difference { code, message, subject } in differences(change) {
            // Both halves of a key are missing for one reason.
            let again = said == (code.clone(), &change.why) && code.ends_with("-missing");
            if !again {
                findings.about(subject).problem(&code, message, patient.apply());
            }
            said = (code, &change.why);
        }
    }
    // What is not installed, and what sudo makes of a rule, are checks of their own.
    let of_policy = if patient.machine.is_some() { &[POLICY_BROKEN, "policy-unknown"][..] } else { &[] };
    let is_other = |note: &&Note| {
        ![PROGRAMS_MISSING, UNKNOWN_EFFECT].contains(&note.code) && !of_policy.contains(&note.code)
    };
    for Note { code, message, repair } in plan.pending.iter().filter(is_other) {
        findings.problem(code, message, repair);
    }
    for Note { code, message, repair } in plan.warnings.iter().filter(is_other) {
        if HARMFUL.contains(code) {
            findings.problem(code, message, repair);
        } else if !OWNED.contains(code) {
            findings.note(code, message, repair);
        }
    }
}

/// The identity with which git commits although none is set: where the host's name has a domain, it makes one up.
fn made_up(patient: &Patient<'_>, change: &Change) -> Option<String> {
    let account = patient.account.filter(|_| change.kind == "git" && patient.facts.is_host())?;
    let said = patient.facts.ask(account, "git", &["var", "GIT_COMMITTER_IDENT"], b"").ok().flatten()?;
    // The time follows.
    let identity = said.stdout.trim().rsplit_once('>')?.0.to_owned() + ">";
    said.success().then_some(identity)
}

/// One thing that differs.
struct Difference {
    code: String,
    message: String,
    /// The place of a value in config.toml; empty for everything else.
    subject: String,
}

impl Difference {
    fn of(code: String, message: String) -> Self {
        Self { code, message, subject: String::new() }
    }
}

/// A change in words, with a code made of its kind and of what is to be done. Only what the change itself
/// allows is shown.
fn differences(change: &Change) -> Vec<Difference> {
    let kind = change.kind.replace('_', "-");
    let message = format!("{}: {}", change.id, change.why);
    let one = |what: &str| vec![Difference::of(format!("{kind}-{what}"), message.clone())];
    match &change.op {
        // Whether the file is there does not matter to whom it is missing.
        Op::File(_) | Op::Metadata { .. } if kind == "git" => {
            vec![Difference::of("git-identity".to_owned(), message)]
        }
        Op::File(_) if kind == "known-hosts" => vec![Difference::of("host-key-missing".to_owned(), message)],
        Op::Account(crate::change::AccountOp::Create { .. }) => one("missing"),
        Op::Account(crate::change::AccountOp::Join { .. }) => one("group"),
        Op::Register(_) => vec![Difference::of("runner-not-registered".to_owned(), message)],
        // They are missing for the reason for which the file is.
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
                    Difference { code, message, subject: config_keys::place_of(&value.path) }
                })
                .collect(),
            _ if change.id.ends_with("/.bash_logout") => one("logout"),
            _ if file.before.is_none() => one("missing"),
            _ => one("differs"),
        },
    }
}
