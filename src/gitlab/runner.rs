//! Runners as GitLab knows them: what a profile wants of one, and what there is.
//!
//! Makes one where the project or group has none of that name, and widens one that is there. GitLab shows the token of a
//! new one once: it goes into a file that only its owner can read. What registers it on a host is `[[register]]`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::change::{ApiCall, Operation, ProjectChange, of_runner};
use super::connection::{Connection, UNSURE};
use super::plan::KIND;
use super::project;
use super::section::GitlabRunner;
use crate::change::Notes;
use crate::fault::{Nature, fault};
use crate::keys::Version;
use crate::repair::quoted;
use crate::sys::new_secret::NewSecret;

/// A runner in a list.
#[derive(Deserialize)]
struct ListedRunner {
    id: u64,
    description: Option<String>,
    runner_type: Option<String>,
    status: Option<String>,
}

impl ListedRunner {
    /// No gitlab-runner has asked for jobs with its token.
    fn is_idle(&self) -> bool {
        self.status.as_deref() == Some("never_contacted")
    }
}

/// What only a look at the runner itself tells.
#[derive(Deserialize)]
struct RunnerAnswer {
    tag_list: Vec<String>,
    run_untagged: bool,
    #[serde(default)]
    paused: bool,
    access_level: Option<String>,
}

/// What has to be done that GitLab knows the runner as it is wanted.
///
/// # Errors
/// When GitLab can't be asked, is too old, or does not show the project or group.
pub(super) fn plan(
    gitlab: &Connection,
    version: Option<Version>,
    wanted: &GitlabRunner,
    notes: &mut Notes,
) -> Result<Option<ProjectChange>> {
    let (name, path) = (&wanted.name, wanted.path());
    if version.is_some_and(|version| version < Version(16, 0, 0)) {
        return Err(fault(
            "gitlab-too-old",
            "[[gitlab.runner]] needs GitLab 16.0 or newer: an older one makes no runner before it is registered",
            "take it out of the profile, and register with the token that GitLab shows under Settings > CI/CD > Runners",
        ));
    }
    let cannot = || format!("cannot look at the runners of {path}");
    let (kind, id) = place(gitlab, wanted).with_context(cannot)?;
    let known = gitlab.list::<ListedRunner>(&format!("{kind}s/{id}/runners"), &[]).with_context(cannot)?;
    let of_place = format!("{kind}_type");
    let named = known.into_iter().flatten().filter(|runner| {
        runner.description.as_ref() == Some(name) && runner.runner_type.as_ref() == Some(&of_place)
    });
    let what = format!("runner {name}");
    let change = |why: &str, before, after, operation| ProjectChange {
        path: path.to_owned(),
        project: id.to_string(),
        what: what.clone(),
        why: why.to_owned(),
        before,
        after,
        operation,
    };
    // Of two, the one that works.
    let Some(found) = named.min_by_key(ListedRunner::is_idle) else {
        let after = jobs(&wanted.tags, wanted.takes_untagged());
        let why = format!("the {kind} has no runner of that name");
        return Ok(Some(change(&why, None, after, operation(wanted, &json!(id)))));
    };
    let runner: RunnerAnswer = gitlab.get(&format!("runners/{}", found.id))?;
    if found.is_idle() {
        notes.wait(
            "gitlab-runner-idle",
            format!("the runner {name} of {path} has never asked for jobs: no host has registered it"),
            mend!("on its host, put the token from {} into the file that `token_file` of [[register]] names, and apply there; if the token is lost, delete the runner in {}: {}, and run the same command again", quoted(token_name(name)), path, runners_page(wanted)),
        );
    }
    // Somebody may have had a reason, which the profile does not know.
    if runner.paused {
        let what = format!("the runner {name} of {path} is paused in GitLab, and takes no jobs");
        let repair = mend!("when it is to go on, in {}: {} > {} > Resume", path, runners_page(wanted), name);
        notes.wait("gitlab-runner-paused", what, repair);
    }
    if runner.access_level.as_deref() == Some("ref_protected") {
        let what = format!("the runner {name} of {path} takes jobs of protected branches and tags alone");
        let repair = mend!(
            "where that is not meant, in {}: {} > {} > Edit: untick \"Protected\"",
            path,
            runners_page(wanted),
            name
        );
        notes.warn("gitlab-runner-protected", what, repair);
    }
    let lacking = wanted.tags.iter().filter(|tag| !runner.tag_list.contains(tag)).cloned();
    let tags: Vec<String> = runner.tag_list.iter().cloned().chain(lacking).collect();
    let untagged = runner.run_untagged || wanted.takes_untagged();
    let why = if tags != runner.tag_list {
        "it lacks tags of jobs"
    } else if untagged != runner.run_untagged {
        "it takes no jobs without tags"
    } else {
        notes.right(KIND, format!("{path}: {what} takes {}", jobs(&tags, untagged)));
        return Ok(None);
    };
    let settings =
        |tags: &[String], untagged| json!({ "tag_list": tags.join(","), "run_untagged": untagged });
    let operation = Operation::ChangeRunner {
        id: found.id,
        before: settings(&runner.tag_list, runner.run_untagged),
        after: settings(&tags, untagged),
    };
    let before = jobs(&runner.tag_list, runner.run_untagged);
    Ok(Some(change(why, Some(before), jobs(&tags, untagged), operation)))
}

/// The call that makes a runner in the project or group of this number.
pub(super) fn operation(wanted: &GitlabRunner, place: &Value) -> Operation {
    let (kind, of) = if wanted.group.is_some() { ("group", "group_id") } else { ("project", "project_id") };
    Operation::MakeRunner {
        name: wanted.name.clone(),
        runner: json!({
            "runner_type": format!("{kind}_type"), of: place, "description": wanted.name,
            "tag_list": wanted.tags.join(","), "run_untagged": wanted.takes_untagged(),
        }),
    }
}

/// What it belongs to, and the number of that.
fn place(gitlab: &Connection, wanted: &GitlabRunner) -> Result<(&'static str, u64)> {
    if let Some(path) = &wanted.project {
        return Ok(("project", project::find(gitlab, path)?.id));
    }
    let group = wanted.group.as_ref().map(|path| project::find_group(gitlab, path)).transpose()?;
    group.flatten().map(|id| ("group", id)).ok_or_else(|| {
        Nature::Obstacle.fault(
            "gitlab-refused",
            format!("the group {} is not there, or the token's user can't see it", wanted.path()),
            "compare the path with the address of the group's page; the token's user has to be an Owner there: Manage > Members",
        )
    })
}

/// Where GitLab shows its runners.
pub(super) fn runners_page(wanted: &GitlabRunner) -> &'static str {
    if wanted.group.is_some() { "Build > Runners" } else { "Settings > CI/CD > Runners" }
}

/// The jobs that a runner takes.
pub(super) fn jobs(tags: &[String], untagged: bool) -> String {
    let tagged = (!tags.is_empty()).then(|| format!("jobs tagged {}", tags.join(", ")));
    let untagged = untagged.then(|| "jobs without tags".to_owned());
    tagged.into_iter().chain(untagged).collect::<Vec<_>>().join(" and ")
}

/// The name of the file with the token of a runner.
pub(super) fn token_name(name: &str) -> String {
    format!("{name}.token")
}

/// A new runner: its number is for whoever takes it back.
#[derive(Deserialize)]
struct NewRunner {
    id: u64,
    token: String,
}

/// Where the token of a new runner goes: a file that is not there yet.
///
/// # Errors
/// When no directory is named, or something has that name.
pub(super) fn place_of_token(name: &str, directory: Option<&Path>) -> Result<PathBuf> {
    let Some(directory) = directory else {
        return Err(fault(
            "gitlab-runner-token",
            format!("GitLab shows the token of the new runner {name} once, and no place is named for it"),
            mend!(
                "name a directory of yours: `gitlab apply` with --runner-tokens . puts it into {} there",
                quoted(token_name(name))
            ),
        ));
    };
    let path = directory.join(token_name(name));
    if NewSecret::is_taken(&path) {
        let what = format!(
            "the token of the runner {name} can't be put into {}: that is there already",
            path.display()
        );
        let repair = mend!("it has the token of a former runner: $ mv -n {0} {0}.old", quoted(&path));
        return Err(fault("gitlab-runner-token", what, repair));
    }
    Ok(path)
}

/// Make a runner, and keep its token in a new file below `directory`. Returns its number.
///
/// # Errors
/// When there is no place for the token: then nothing was sent. When GitLab refuses. When the token could not be
/// written: then the runner is deleted again.
pub(super) fn make(gitlab: &Connection, call: &ApiCall, name: &str, directory: Option<&Path>) -> Result<u64> {
    let path = place_of_token(name, directory)?;
    let below = path.parent().unwrap_or(&path);
    let file = NewSecret::create(&path).map_err(|error| {
        let what = format!("the token of the runner {name} can't be put into {}: {error}", path.display());
        let repair = mend!("see that the directory is there and yours: $ ls -ld {}", quoted(below));
        fault("gitlab-runner-token", what, repair)
    })?;
    let answer = gitlab.write(call)?;
    if answer.status >= 400 {
        return Err(fault(
            "gitlab-refused",
            format!("GitLab refuses it: {}", answer.said),
            "a runner of a project is made by a Maintainer or Owner of it, and one of a group by an Owner: take such a token",
        ));
    }
    let made: NewRunner = answer.content().context(UNSURE)?;
    file.keep(made.token.as_bytes()).map_err(|error| {
        let delete = of_runner("DELETE", made.id, None);
        let undone = gitlab.write(&delete).and_then(|answer| answer.check());
        let left = if undone.is_ok() { "it was deleted again" } else { "it is still there" };
        let what = format!(
            "the token of the new runner {name} can't be written to {}: {error}; {left}",
            path.display()
        );
        let repair = mend!("make room there, and run the same command again: $ df -h {}", quoted(below));
        fault("gitlab-runner-token", what, repair)
    })?;
    Ok(made.id)
}
