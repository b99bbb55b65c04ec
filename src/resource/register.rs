//! Runners that `gitlab-runner register` registers, where `config.toml` has none of that name and address.
//!
//! Never unregisters and never changes one that is there: its values are those of `[config]`.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ExaminedConfig;
use super::context::{Context, Resource};
use crate::change::{Change, Content, FileKind, Notes, Op, RegisterOp};
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::{fault, quoted};
use crate::repair::Repair;
use crate::runner_config::{DOCKER_EXECUTORS, EXECUTORS, Runner, own_server};

/// What the tokens of runners begin with that were made in GitLab first.
const PREFIX: &str = "glrt-";

/// The `[[register]]` sections.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<WantedRunner>")]
pub(super) struct Registrations(Vec<WantedRunner>);

/// A runner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedRunner {
    /// What it is called. With `url` it says whether the runner is there already.
    name: String,
    /// The address of the GitLab server.
    #[serde(default = "gitlab_com")]
    url: String,
    /// How it runs jobs: `docker`, `shell`, …
    executor: String,
    /// The image of jobs that name none: for Docker executors, which need one.
    image: Option<String>,
    /// The file with the token that GitLab shows for a new runner (`glrt-…`). Nobody but root may read it.
    token_file: PathBuf,
}

fn gitlab_com() -> String {
    "https://gitlab.com".to_owned()
}

impl TryFrom<Vec<WantedRunner>> for Registrations {
    type Error = String;
    fn try_from(all: Vec<WantedRunner>) -> Result<Self, String> {
        for (index, one) in all.iter().enumerate() {
            one.check().map_err(|what| format!("the runner {:?}: {what}", one.name))?;
            let is_at = |other: &&WantedRunner| server(&other.url) == server(&one.url);
            let mut others = all[..index].iter().filter(is_at);
            if let Some(other) =
                others.find(|other| other.name == one.name || other.token_file == one.token_file)
            {
                return Err(if other.name == one.name {
                    format!("there are two runners {:?} at {}", one.name, one.address())
                } else {
                    format!(
                        "the runners {:?} and {:?} have one `token_file`: it is that of one runner of GitLab",
                        other.name, one.name
                    )
                });
            }
        }
        Ok(Self(all))
    }
}

impl Registrations {
    /// The addresses of the servers.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|one| one.url.clone()).collect()
    }
}

impl WantedRunner {
    fn check(&self) -> Result<(), String> {
        let is_text = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_text(&self.name) {
            return Err("`name` is wanted, in one line".to_owned());
        }
        let server = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let is_strange = |c: char| c.is_control() || c.is_whitespace() || "@?#$'\"\\".contains(c);
        if server.is_none_or(|server| server.is_empty() || server.contains(is_strange)) {
            return Err(
                "`url` is like https://gitlab.example.com, without user, query and fragment".to_owned()
            );
        }
        if !EXECUTORS.contains(&self.executor.as_str()) {
            return Err(format!("`executor` is one of {}", EXECUTORS.join(", ")));
        }
        match (&self.image, DOCKER_EXECUTORS.contains(&self.executor.as_str())) {
            (None, true) => return Err(format!("the executor {} needs an `image`", self.executor)),
            (Some(_), false) => return Err(format!("the executor {} has no `image`", self.executor)),
            (Some(image), true) if !is_text(image) => return Err("`image` is empty".to_owned()),
            _ => {}
        }
        if !self.token_file.is_absolute() {
            return Err("`token_file` is an absolute path".to_owned());
        }
        Ok(())
    }

    fn address(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// An address with a variable may be any.
    fn is_at(&self, runner: &Runner<'_>) -> bool {
        let is_its = |url: &str| url.contains('$') || server(url) == server(&self.url);
        runner.text("url").is_some_and(is_its)
    }

    fn is_there(&self, runner: &Runner<'_>) -> bool {
        runner.text("name") == Some(&self.name) && self.is_at(runner)
    }

    /// The token, from a file that nobody else can read or change.
    fn token(&self, facts: &Facts<'_>) -> Result<Content> {
        let path = self.token_file.display();
        let refuse = |what: String, repair: Repair| Err(fault("register-token", what, repair));
        let fresh =
            "put the token into it that GitLab shows under Settings, CI/CD, Runners, Create project runner";
        let seen = facts.given_file(&self.token_file, MOST_BYTES)?;
        let Some(seen) = seen.filter(|seen| seen.kind == FileKind::Regular) else {
            return refuse(
                format!("{path} with the token of the runner {:?} is missing, or no file", self.name),
                mend!(
                    "{} (until then the rest is done with --skip register). First make it: $ install -m 0600 /dev/null {}",
                    fresh,
                    quoted(&self.token_file)
                ),
            );
        };
        if seen.mode & 0o077 != 0 {
            let repair = mend!(
                "make another runner in GitLab if anybody may have read it; for its token: $ chmod 0600 {}",
                quoted(&self.token_file)
            );
            return refuse(format!("others can read the token in {path}: mode {:04o}", seen.mode), repair);
        }
        let token = String::from_utf8_lossy(&seen.bytes).trim().to_owned();
        if !token.starts_with(PREFIX) {
            let what = format!(
                "{path} has no token that begins with {PREFIX}: registration tokens of the old kind, which did not, \
                 are refused by GitLab"
            );
            return refuse(what, mend!("make a runner in GitLab, and {}: {}", fresh, path));
        }
        if token.len() == PREFIX.len() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse(format!("{path} has more or less than one token"), mend!("{}: {}", fresh, path));
        }
        Ok(Content::ready(token.into_bytes()))
    }
}

impl Resource for Registrations {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let facts = context.facts;
        let examined = ExaminedConfig::of(context).checked()?;
        let (shown, runners) = (examined.shown(), examined.runners()?);
        let mut changes = Vec::new();
        for wanted in &self.0 {
            let WantedRunner { name, executor, image, token_file, .. } = wanted;
            let url = wanted.address().to_owned();
            if runners.iter().any(|runner| wanted.is_there(runner)) {
                notes.right("register", format!("{shown} has the runner {name} of {url}"));
                continue;
            }
            notes.registers = true;
            notes.call("gitlab-runner");
            if !facts.is_host() {
                notes.wait(
                    "register-tree",
                    format!("the runner {name} of {url} is registered on the host where it is to run, and not in a tree"),
                    "nothing to do here: the first apply on the host itself registers it",
                );
                continue;
            }
            let Some(program) = facts.tool("gitlab-runner") else {
                notes.lacks.push("gitlab-runner".to_owned());
                let what =
                    format!("the runner {name} of {url} is registered by gitlab-runner, which is missing");
                notes.wait("runner-not-registered", what, mend!("after that: $ {}", context.options.command));
                continue;
            };
            let token = wanted.token(facts)?;
            let is_its = |runner: &&Runner<'_>| {
                wanted.is_at(runner) && runner.text("token").map(str::as_bytes) == token.peek()
            };
            if let Some(known) = runners.iter().find(is_its) {
                let what = format!(
                    "the token in {} is that of {} in {shown} already: registered again, one runner of GitLab would be two here",
                    token_file.display(),
                    known.title()
                );
                let repair = mend!(
                    "let `name` and `url` in the profile be those of that runner; for another one make a runner in GitLab, and put its token into {}",
                    token_file.display()
                );
                return Err(fault("register-token", what, repair));
            }
            let ca = context.options.ca.as_ref().filter(|_| own_server(&wanted.url).is_some());
            let is_twin = |other: &&WantedRunner| other.name == *name;
            let is_alone = self.0.iter().filter(is_twin).count() == 1;
            changes.push(Change {
                kind: "register",
                id: if is_alone { name.clone() } else { format!("{name} at {url}") },
                why: format!(
                    "{shown} has no runner of that name at {url}; undo can't take a registration back"
                ),
                op: Op::Register(Box::new(RegisterOp {
                    name: name.clone(),
                    url,
                    executor: executor.clone(),
                    image: image.clone(),
                    token_file: token_file.clone(),
                    token,
                    template: context.options.template.clone(),
                    config: examined.path.clone(),
                    ca: ca.cloned(),
                    program,
                })),
            });
        }
        Ok(changes)
    }
}

/// The server of an address, however it is written: gitlab-runner takes `/ci` at its end for nothing.
fn server(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let (scheme, rest) = url.strip_suffix("/ci").unwrap_or(url).split_once("://").unwrap_or(("", url));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let port = if scheme == "http" { ":80" } else { ":443" };
    format!("{scheme}://{}{path}", host.strip_suffix(port).unwrap_or(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for (one, other, same) in [
            ("https://gitlab.com", "https://gitlab.com/", true),
            ("https://gitlab.com", "https://GitLab.com//", true),
            ("https://gitlab.com", "HTTPS://gitlab.com:443", true),
            ("https://gitlab.com", "https://gitlab.com/ci", true),
            ("http://git.example.com:80/", "http://git.example.com", true),
            ("https://git.example.com/gitlab", "https://git.example.com:443/gitlab/ci/", true),
            ("https://git.example.com/gitlab", "https://git.example.com/GitLab", false),
            ("https://git.example.com:8443", "https://git.example.com", false),
            ("http://git.example.com", "https://git.example.com", false),
            ("https://git.example.com:80", "https://git.example.com", false),
        ] {
            assert_eq!(server(one) == server(other), same, "{one} {other}");
        }
    }
}
