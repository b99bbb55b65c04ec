//! The same without a token: what a person clicks in GitLab, or asks glab to do.

use serde_json::{Value, json};

use super::change::{Call, Change, Deed, encoded};
use super::plan::{role_of, title};
use super::section::{Access, Gitlab, Project, Url};
use crate::repair::quoted;
use crate::report::Step;
use crate::text::public_key::PublicLine;

/// All steps for what is wanted, whatever of it is done already: nobody was asked.
pub fn steps(wanted: &Gitlab, keys: &[PublicLine]) -> Vec<Step> {
    wanted.projects.iter().flat_map(|project| of(project, &wanted.url, keys)).collect()
}

fn of(project: &Project, url: &Url, keys: &[PublicLine]) -> Vec<Step> {
    let path = project.path.as_str();
    let mut steps = Vec::new();
    let mut add = |clicks: String, command: String| {
        steps.push(Step { what: format!("in {path}: Settings > {clicks}"), command });
    };
    let glab = |deed: Deed| call(path, deed).glab(url);
    for (access, key) in
        project.deploy_key.iter().flat_map(|access| keys.iter().map(move |key| (access, key)))
    {
        let push = *access == Access::Push;
        let (title, line) = (title(key), key.to_string());
        let grant = if push { "tick \"Grant write permissions to this key\", " } else { "" };
        add(
            format!("Repository > Deploy keys > Add new key: title {title}, {grant}and as the key:\n{line}"),
            glab(Deed::AddKey { line, title, push }),
        );
    }
    for from in &project.job_tokens_from {
        let mutation = format!(
            "mutation {{ ciJobTokenScopeAddGroupOrProject(input: {{ projectPath: \"{path}\", targetPath: \"{from}\" }}) {{ errors }} }}"
        );
        add(
            format!("CI/CD > Job token permissions > Add group or project: {from}"),
            format!("{} graphql -f {}", url.glab(), quoted(format!("query={mutation}"))),
        );
    }
    if let Some(role) = project.pipeline_variables {
        let name = "ci_pipeline_variables_minimum_override_role";
        let deed = Deed::Set { name, before: Value::Null, after: json!(role_of(role)) };
        add(format!("CI/CD > Variables > Minimum role to use pipeline variables: {role:?}"), glab(deed));
    }
    if project.push_by_job_token {
        let name = "ci_push_repository_for_job_token_allowed";
        add(
            "CI/CD > Job token permissions > tick \"Allow Git push requests to the repository\"".to_owned(),
            glab(Deed::Set { name, before: Value::Null, after: json!(true) }),
        );
    }
    steps
}

/// The call for a project whose number nobody knows.
fn call(path: &str, deed: Deed) -> Call {
    let (what, why, after) = (String::new(), String::new(), String::new());
    Change { path: path.to_owned(), project: encoded(path), what, why, before: None, after, deed }.call()
}
