//! The runners in `config.toml`: registered, allowed to work, with tokens that live.

use std::collections::BTreeMap;

use anyhow::Result;

use super::DoctorContext;
use crate::facts::machine;
use crate::finding::Findings;
use crate::keys::{self, Version};
use crate::repair::quoted;
use crate::runner_config::{self, EXECUTORS, NO_ADDRESS, NO_TOKEN, Runner};
use crate::text::{git_config, time};

/// Executors that not all versions have: the first that has it, and the first that no longer does.
const OF_SOME_VERSIONS: [(&str, Version, Version); 4] = [
    ("instance", Version(15, 5, 0), NEVER),
    ("docker-autoscaler", Version(15, 11, 0), NEVER),
    ("docker-ssh", Version(0, 0, 0), Version(16, 0, 0)),
    ("docker-ssh+machine", Version(0, 0, 0), Version(16, 0, 0)),
];
const NEVER: Version = Version(u32::MAX, 0, 0);

/// Variables in a runner's environment by which git of its jobs goes.
fn git_environment(title: &str, runner: &Runner<'_>, findings: &mut Findings) {
    let elements = runner.environment();
    let names = elements.iter().filter_map(|element| Some(element.split_once('=')?.0));
    for name in names.filter(|name| git_config::goes_by(name)) {
        let message = format!(
            "{title}: {name} in `environment` reaches git in every job: what it makes of that is not known here"
        );
        let repair = mend!("if jobs need {} not, take it out of `environment`", name);
        findings.note("git-environment", message, repair);
    }
}

/// There are runners, each with an executor that exists, and enough slots for all of them.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = context.config.toml() else { return Ok(()) };
    let runners = context.all_runners()?;
    let shown = context.shown();
    if runners.is_empty() {
        let what = format!("{shown} has no [[runners]]: nothing is registered");
        findings.problem("no-runner", what, "register one: $ gitlab-runner register");
        return Ok(());
    }
    for runner in &runners {
        let title = runner.title();
        git_environment(&title, runner, findings);
        let executor = runner.text("executor").unwrap_or_default();
        let is_of = |version: Version, (_, since, until): &(&str, Version, Version)| {
            (*since..*until).contains(&version)
        };
        let of_some = |name: &str| OF_SOME_VERSIONS.iter().find(|(one, ..)| *one == name);
        let has = |version: Version, name: &str| of_some(name).is_none_or(|one| is_of(version, one));
        let version = context.version();
        let names = EXECUTORS.into_iter().filter(|name| version.is_none_or(|version| has(version, name)));
        let known = mend!("`executor` is one of {}", names.collect::<Vec<_>>().join(", "));
        let is_known = EXECUTORS.contains(&executor);
        match version {
            _ if executor.is_empty() => {
                let message = format!("{title} has no `executor`: it can't run jobs");
                findings.problem("executor-missing", message, known);
            }
            Some(version) if (is_known || of_some(executor).is_some()) && has(version, executor) => {}
            None if is_known => {}
            None if of_some(executor).is_some() => findings.unknown(
                "executor-unknown",
                format!("{title}: newer versions of gitlab-runner have no executor of that name, and which one runs is not known here"),
                "say with --runner-version which version runs",
            ),
            _ => {
                let who = version.map(|version| format!(" {version}")).unwrap_or_default();
                let message = format!("{title}: gitlab-runner{who} has no executor of that name");
                match keys::doubt(version) {
                    Some(doubt) => findings.unknown("executor-unknown", message + &doubt, known),
                    None => findings.problem("executor-unknown", message, known),
                }
            }
        }
    }
    let concurrent = runner_config::slots(toml);
    let needed = i64::try_from(runners.len()).unwrap_or(i64::MAX);
    let raise = || {
        let is_plain = |line: &str| {
            line.trim_start_matches(' ')
                .strip_prefix("concurrent")
                .is_some_and(|rest| rest.trim_start_matches(' ').starts_with('='))
        };
        let step = match toml.root().get("concurrent") {
            Some(_) if toml.text().lines().any(is_plain) => {
                format!("0,/^ *concurrent *=.*/s//concurrent = {needed}/")
            }
            None if !toml.has_bom() => format!("1i concurrent = {needed}"),
            _ => return mend!("let `concurrent` be {}, or more", needed),
        };
        mend!("let `concurrent` be {}, or more: $ sed -i '{}' {}", needed, step, quoted(&shown))
    };
    if concurrent < 1 {
        let what = format!("{shown}: `concurrent` below 1 keeps gitlab-runner from starting");
        findings.problem("concurrent-zero", what, raise());
    } else if concurrent < needed {
        // Jobs are late by it, not red: some want just that.
        findings.note(
            "concurrent-low",
            format!(
                "{shown}: `concurrent` is lower than the {needed} runners: they wait for one another, also while \
                 they only ask for jobs"
            ),
            raise(),
        );
    }
    if context.wants("sudoers") && !runners.iter().any(|runner| runner.has_executor("shell")) {
        findings.note(
            "no-shell-runner",
            format!("{shown} has no runner with executor shell: sudo rule and SSH key serve no job yet"),
            "register one for the jobs that deploy: $ gitlab-runner register --executor shell",
        );
    }
    let plural = if needed == 1 { "" } else { "s" };
    findings.else_fine(format!("{needed} runner{plural} registered"));
    Ok(())
}

/// Tokens: never shown, only what becomes of them.
pub(super) fn tokens(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let runners = context.all_runners()?;
    let mut of_token: BTreeMap<&str, Vec<&Runner<'_>>> = BTreeMap::new();
    for runner in &runners {
        of_token.entry(runner.text("token").unwrap_or_default()).or_default().push(runner);
    }
    for runner in &runners {
        let title = runner.title();
        let token = runner.text("token").unwrap_or_default();
        if !runner.has_token() {
            let what = format!("{title}: {NO_TOKEN}");
            findings.problem("token-missing", what, "register it again: $ gitlab-runner register");
            continue;
        }
        if runner.has_odd_address() {
            let what = format!("{title}: {NO_ADDRESS}");
            findings.problem("runner-url", what, "let its `url` be that of GitLab, as https://gitlab.com");
        }
        if is_placeholder(token) {
            let what =
                format!("{title}: its token looks like a word to be replaced, and GitLab would refuse it");
            findings.note("token-placeholder", what, "register it: $ gitlab-runner register");
            continue;
        }
        let entries = of_token.get(token).map(Vec::as_slice).unwrap_or_default();
        // The entries of one token are one thing.
        let first = entries.first().map_or(String::new(), |first| first.title());
        if first != title {
            findings.about(&first).note(
                "runner-twice",
                format!("{title} is registered twice: two entries have one token"),
                "take one of the two entries out",
            );
        }
        let expires = runner.table.get("token_expires_at").and_then(|item| match item.as_datetime() {
            Some(time) => time::seconds(time),
            None => time::iso(item.as_str()?),
        });
        // A year long ago means "never" to gitlab-runner, which writes the year 1.
        let Some(expires) = expires.filter(|expires| *expires > 0) else { continue };
        let is_variable =
            ["token", "url"].iter().any(|key| runner.text(key).is_some_and(|text| text.contains('$')));
        if is_variable {
            findings.problem(
                "token-variable",
                format!(
                    "{title}: `token` or `url` holds a variable, and the token will be rotated: gitlab-runner then \
                     writes the value itself into the file"
                ),
                "write the token itself, or register a runner whose token does not expire",
            );
        }
        if context.facts.is_host() && machine::now() > expires {
            let what = format!("{title}: its token has expired; GitLab refuses it");
            findings.problem("token-expired", what, "register it again: $ gitlab-runner register");
            continue;
        }
        // gitlab-runner gets a new token before the old one ends, and only the entry that asked knows it.
        if entries.len() > 1 {
            findings.about(&first).problem(
                "token-shared",
                format!("{title} has a token that will be rotated, and shares it: one entry then loses it"),
                "take one of the two entries out",
            );
        } else {
            findings.about(&first).note(
                "token-shared",
                format!(
                    "{title}: its token will be rotated: a host with a copy of it can then ask for no job"
                ),
                "where several hosts have this token: register a runner for each of them",
            );
        }
    }
    findings.else_fine("every runner has a token of its own");
    Ok(())
}

/// True for what a manual or a template has in the place of a token: `<token>`, `YOUR_TOKEN`, `xxxx`.
fn is_placeholder(token: &str) -> bool {
    let words =
        ["token", "redacted", "changeme", "change_me", "change-me", "replace", "placeholder", "example"];
    let lower = token.to_lowercase();
    let is_variable = token.starts_with('$');
    let has_word =
        || words.iter().any(|word| lower.contains(word)) && !token.bytes().any(|byte| byte.is_ascii_digit());
    let is_one_letter = || {
        let rest = token.strip_prefix("glrt-").unwrap_or(token);
        rest.chars().all(|c| rest.starts_with(c))
    };
    !is_variable
        && (token.contains(['<', '>', '{', '}', '[', ' ', '*', '…'])
            || token.contains("...")
            || has_word()
            || is_one_letter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_to_be_replaced_are_no_tokens() {
        for token in [
            "<token>",
            "YOUR_TOKEN",
            "TOKEN",
            "{{ token }}",
            "glrt-xxxxxxxxxxxx",
            "glrt-...",
            "MY-AWESOME-TOKEN",
        ] {
            assert!(is_placeholder(token), "{token}");
        }
        for token in [
            "glrt-CANARY-patient-1",
            "glrt-t1_Zk3xExampLe9",
            "sJ8vToKenK2mXq4T",
            "$CI_TOKEN",
            "${TOKEN}",
            "a1b2",
        ] {
            assert!(!is_placeholder(token), "{token}");
        }
    }
}
