//! Registrations come before all else: gitlab-runner writes `config.toml` anew, and then the rest is planned on that.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::explain::of_change;
use super::in_progress::{self, TEMPLATE};
use super::{Session, caught};
use crate::change::{Change, ChangeOutcome, Op, Outcome, RegisterOp};
use crate::fault::{fault, quoted};
use crate::plan::Plan;
use crate::sys::exec::{Finished, Tool};
use crate::sys::identity;
use crate::sys::staged::{self, Staged};

/// gitlab-runner asks its server, and tries again by itself.
const PATIENCE: Duration = Duration::from_secs(120);

impl Session<'_> {
    /// Register what the plan has to be registered, and plan again. Returns what was registered, and the outcome where
    /// nothing else is to be done.
    pub(super) fn register_first(
        &self,
        plan: &mut Plan,
        again: &dyn Fn() -> Result<Plan>,
    ) -> (Vec<Change>, Option<Outcome>) {
        let mut done = Vec::new();
        if position(plan).is_none() {
            return (done, None);
        }
        let stopped = |plan: &Plan, failed: Option<usize>, error| {
            let mut outcome = Outcome::not_begun(&plan.changes, error);
            if let Some(fate) = failed.and_then(|index| outcome.fates.get_mut(index)) {
                *fate = ChangeOutcome::Failed;
            }
            Some(outcome)
        };
        // Another run may have registered it before we had the lock.
        match again() {
            Ok(next) => *plan = next,
            Err(error) => return (done, stopped(plan, None, error)),
        }
        while let Some(index) = position(plan) {
            let change = &plan.changes[index];
            let Op::Register(wanted) = &change.op else { break };
            if let Err(error) = caught(|| self.register(wanted)) {
                let error = of_change(error, change.kind, &change.id);
                return (done, stopped(plan, Some(index), error));
            }
            done.push(plan.changes.remove(index));
        }
        if !done.is_empty() {
            match again() {
                Ok(next) => *plan = next,
                Err(error) => return (done, stopped(plan, None, error)),
            }
        }
        if let Some(index) = position(plan) {
            let Change { id, kind, why, .. } = &plan.changes[index];
            let why = why.split_once(';').map_or(why.as_str(), |(why, _)| why);
            let error = fault(
                "register-failed",
                format!("gitlab-runner said that it registered {id}, but {why}"),
                "see what it registered: $ gitlab-runner list",
            );
            return (Vec::new(), stopped(plan, Some(index), of_change(error, kind, id)));
        }
        let outcome = plan.changes.is_empty().then(Outcome::default);
        (done, outcome)
    }

    fn register(&self, wanted: &RegisterOp) -> Result<()> {
        in_progress::begin(&self.state)?;
        let done = self.call(wanted);
        // A template that did not go keeps the mark, for the next run.
        let swept = staged::sweep(&self.state, TEMPLATE.as_ref()).context("cannot remove the template");
        done.and(swept.and_then(|_| in_progress::end(&self.state)))
    }

    /// Start gitlab-runner. The template goes away at the end; that of a killed run is swept by the next one.
    fn call(&self, wanted: &RegisterOp) -> Result<()> {
        let template = wanted
            .template
            .as_ref()
            .map(|text| {
                let owner = identity::is_root().then(|| self.root.owner());
                Staged::create(&self.state, TEMPLATE.as_ref(), text.as_bytes(), owner, 0o600, None)
            })
            .transpose()
            .context("cannot write the template")?;
        let token = std::str::from_utf8(wanted.token.bytes()?)?;
        let mut tool = Tool::new(&wanted.program)
            .args(["register", "--non-interactive", "--config"])
            .arg(&wanted.config)
            .args(["--name", &wanted.name, "--url", &wanted.url, "--executor", &wanted.executor])
            .env("CI_SERVER_TOKEN", OsStr::new(token))
            .env("HOME", OsStr::new("/root"))
            .holding(&self.lock)
            .patience(PATIENCE);
        if let Some(image) = &wanted.image {
            tool = tool.args(["--docker-image", image]);
        }
        if let Some(ca) = &wanted.ca {
            // In place of the system's own, for this server alone, before the file is where gitlab-runner looks.
            tool = tool.env("SSL_CERT_FILE", ca.as_os_str());
        }
        if let Some(template) = &template {
            tool = tool.arg("--template-config").arg(template.path());
        }
        self.waiting.tell(Some("gitlab-runner to register a runner"));
        let finished = tool.run();
        self.waiting.tell(None);
        let finished = finished?;
        if finished.success() {
            return Ok(());
        }
        Err(fault(
            "register-failed",
            format!("gitlab-runner could not register it at {}: {}", wanted.url, said(&finished, token)),
            mend!(
                "make another runner in GitLab if that one is gone, and put its token into {}; this host has to reach \
                 the server: $ curl -fsSI {}",
                quoted(&wanted.token_file),
                quoted(&wanted.url)
            ),
        ))
    }
}

fn position(plan: &Plan) -> Option<usize> {
    plan.changes.iter().position(|change| matches!(change.op, Op::Register(_)))
}

/// What gitlab-runner complains of, without colours and without the token, of which it shows the beginning itself.
fn said(finished: &Finished, token: &str) -> String {
    let mut text = String::new();
    let all = [finished.stderr.as_str(), "\n", finished.stdout.as_str()].concat();
    let mut chars = all.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => drop(chars.find(char::is_ascii_alphabetic)),
            '\n' => text.push('\n'),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    let rest = token.strip_prefix("glrt-").unwrap_or(token);
    for secret in [Some(token), Some(rest), rest.get(..9), rest.get(..8)].into_iter().flatten() {
        text = text.replace(secret, "[MASKED]");
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_complaint = |line: &&str| ["ERROR", "FATAL", "PANIC"].iter().any(|word| line.starts_with(word));
    let mut told: Vec<&str> =
        lines().filter(is_complaint).take(4).map(|line| line.trim_end_matches('.')).collect();
    if told.is_empty() {
        told.extend(lines().next_back().map(|line| line.trim_end_matches('.')));
    }
    let told = told.join("; ");
    if told.is_empty() { "it said nothing".to_owned() } else { told.chars().take(600).collect() }
}
