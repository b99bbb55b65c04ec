//! The same without a token: what a person clicks in GitLab, or asks glab to do.

use serde_json::{Value, json};

use super::change::{Operation, encoded};
use super::plan::{role_of, title};
use super::runner::{jobs, operation, runners_page};
use super::section::{Access, GitlabRunner, GitlabSection, Project, Url};
use crate::repair::quoted;
use crate::report::ManualStep;
use crate::text::public_key::PublicLine;

/// All steps for what is wanted, whatever of it is done already: nobody was asked.
pub fn steps(wanted: &GitlabSection, keys: &[PublicLine]) -> Vec<ManualStep> {
    let of_projects = wanted.projects.iter().flat_map(|project| of(project, &wanted.url, keys));
    of_projects.chain(wanted.runners.iter().map(|runner| of_runner(runner, &wanted.url))).collect()
}

/// glab wants the number of the place, which stands first in what GitLab says of it.
fn of_runner(runner: &GitlabRunner, url: &Url) -> ManualStep {
    let (path, jobs) = (runner.path(), jobs(&runner.tags, runner.takes_untagged()));
    let kind = if runner.group.is_some() { "groups" } else { "projects" };
    let place = format!(
        "{} {kind}/{} | grep -oE '\"id\": ?[0-9]+' | head -n1 | grep -oE '[0-9]+'",
        url.glab(),
        encoded(path)
    );
    let command = operation(runner, &json!("PLACE")).call("").glab(url);
    let button = if runner.group.is_some() { "Create group runner" } else { "Create project runner" };
    ManualStep {
        what: format!(
            "in {path}: {} > {button}: for {jobs}, with the description {}; keep the token that is shown next",
            runners_page(runner),
            runner.name
        ),
        command: command.replace("PLACE", &format!("\"$({place})\"")),
    }
}

fn of(project: &Project, url: &Url, keys: &[PublicLine]) -> Vec<ManualStep> {
    let path = project.path.as_str();
    let mut steps = Vec::new();
    let mut add = |clicks: String, command: String| {
        steps.push(ManualStep { what: format!("in {path}: Settings > {clicks}"), command });
    };
    let glab = |operation: Operation| operation.call(&encoded(path)).glab(url);
    for (access, key) in
        project.deploy_key.iter().flat_map(|access| keys.iter().map(move |key| (access, key)))
    {
        let push = *access == Access::Push;
        let (title, line) = (title(key), key.to_string());
        let grant = if push {
            "tick \"Grant write permissions to this key\" (where the key is there already: by Edit), "
        } else {
            ""
        };
        add(
            format!("Repository > Deploy keys > Add new key: title {title}, {grant}and as the key:\n{line}"),
            glab(Operation::AddKey { line, title, push }),
        );
    }
    for from in &project.job_tokens_from {
        let mutation = format!(
            "mutation {{ ciJobTokenScopeAddGroupOrProject(input: {{ projectPath: \"{path}\", targetPath: \"{from}\" }}) {{ errors }} }}"
        );
        let what = format!("CI/CD > Job token permissions > Add group or project: {from}");
        add(what, format!("{} graphql -f {}", url.glab(), quoted(format!("query={mutation}"))));
    }
    if let Some(role) = project.pipeline_variables {
        let name = "ci_pipeline_variables_minimum_override_role";
        let operation = Operation::Set { name, before: Value::Null, after: json!(role_of(role)) };
        add(format!("CI/CD > Variables > Minimum role to use pipeline variables: {role:?}"), glab(operation));
    }
    if project.push_by_job_token {
        let name = "ci_push_repository_for_job_token_allowed";
        add(
            "CI/CD > Job token permissions > tick \"Allow Git push requests to the repository\"".to_owned(),
            glab(Operation::Set { name, before: Value::Null, after: json!(true) }),
        );
    }
    steps
}
