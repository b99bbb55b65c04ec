//! Values of `[[runners]]` in gitlab-runner's `config.toml`.
//!
//! Owns single values, never the file: what the profile does not name keeps its bytes. Nothing of the
//! file but those values may ever be shown: it holds tokens.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml_edit::Item;

use super::settings::{Config, Setting};
use super::{Context, Resource, gate, runner};
use crate::change::{
    Change, Check, Content, FileKind, FileOp, Meta, Notes, Op, Owner, Place, Seen, Shown, Swap, ValueChange,
};
use crate::facts::MOST_CONFIG_BYTES;
use crate::fault::fault;
use crate::runner_config::{self, Runner, USUAL_PATH, strings};
use crate::text::toml_patch::{Action, Edit, Scalar, Step, Toml};

impl Resource for Config {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let path = path(context);
        let Some((seen, toml)) = read(context, &path)? else {
            gate::check(self, context, &|_| false, true, notes)?;
            self.wait(
                context,
                notes,
                &format!("{} does not exist: no runner is registered yet", path.display()),
            );
            return Ok(Vec::new());
        };
        let shown = path.display().to_string();
        report_file(&seen, &toml, &shown, notes);
        let runners = runner_config::list(&toml, &shown)?;
        let meant = runner::select(&runners, &self.executors, &context.options.runners, &shown)?;
        let is_on = |key: &str| {
            let value = |runner: &&Runner<'_>| runner.docker_table()?.get(key)?.as_bool();
            meant.iter().any(|runner| value(runner).unwrap_or_default())
        };
        if meant.is_empty() {
            gate::check(self, context, &is_on, true, notes)?;
            let executors = self.executors.join(", ");
            let missing = if executors.is_empty() {
                format!("the profile names no executors, and so no runner of {shown}")
            } else {
                format!("{shown} has no runner with executor {executors}")
            };
            self.wait(context, notes, &missing);
            return Ok(Vec::new());
        }
        let mut work = Work { toml: &toml, file: &shown, notes, edits: Vec::new(), values: Vec::new() };
        for runner in &meant {
            self.plan_runner(runner, &mut work)?;
        }
        let Work { edits, values, .. } = work;
        gate::check(self, context, &is_on, !edits.is_empty(), notes)?;
        if edits.is_empty() {
            return Ok(Vec::new());
        }
        let patched = toml.patch(&edits).map_err(|error| {
            fault(
                "config-shape",
                format!("{shown}: {error}"),
                "write that part as a plain table, then run again",
            )
        })?;
        if patched.used_dotted_key {
            notes.warn(
                "config-dotted-keys",
                format!(
                    "{shown} has dotted keys (docker.image = …), which old versions of gitlab-runner refuse"
                ),
                "write them under a [runners.docker] header",
            );
        }
        let place = Place::System(seen.resolved.clone().unwrap_or(path));
        let meta = Meta { owner: Owner::Ids(seen.uid, seen.gid), mode: seen.mode };
        let why = values.iter().map(|value| value.name.rsplit(' ').next().unwrap_or_default());
        let mut names: Vec<&str> = why.collect();
        names.dedup();
        Ok(vec![Change {
            kind: "config",
            id: place.to_string(),
            why: format!("not as wanted: {}", names.join(", ")),
            op: Op::File(Box::new(FileOp {
                place,
                before: Some(seen),
                after: Some(Content::ready(patched.text.into_bytes())),
                meta,
                check: Check::RunnerConfig,
                shown: Shown::Values(values),
                swap: Swap::Shared,
            })),
        }])
    }
}

/// One file being held against a profile: the edits of all runners, and the same for people.
struct Work<'a> {
    toml: &'a Toml,
    file: &'a str,
    notes: &'a mut Notes,
    edits: Vec<Edit>,
    values: Vec<ValueChange>,
}

impl Work<'_> {
    fn push(
        &mut self,
        runner: &Runner<'_>,
        keys: &[&str],
        before: Option<String>,
        after: String,
        action: Action,
    ) {
        let mut path = vec![Step::from("runners"), Step::from(runner.index)];
        path.extend(keys.iter().map(|key| Step::from(*key)));
        let mut machine = vec!["runners".to_owned(), runner.index.to_string()];
        machine.extend(keys.iter().map(|key| (*key).to_owned()));
        let name = format!("{}: {}", runner.title(), keys.join("."));
        self.edits.push(Edit::new(path, action));
        self.values.push(ValueChange { name, path: machine, before, after: Some(after) });
    }

    /// Hold one value against the file.
    fn plan_value(
        &mut self,
        runner: &Runner<'_>,
        keys: &[&str],
        item: Option<&Item>,
        setting: &Setting,
    ) -> Result<()> {
        match setting {
            Setting::Scalar(wanted) => {
                let now = item.and_then(scalar);
                if now.as_ref() == Some(wanted) || (item.is_none() && setting.is_default()) {
                    return Ok(());
                }
                // A value of another type is not the value of this key: it is not shown.
                let before =
                    item.map(|_| now.as_ref().map_or("(of another type)".to_owned(), ToString::to_string));
                self.push(runner, keys, before, wanted.to_string(), Action::Set(wanted.clone()));
            }
            Setting::List(wanted) => {
                let found = match item {
                    None => Vec::new(),
                    Some(item) => strings(item)
                        .ok_or_else(|| runner.wrong(self.toml, item, keys, "a list of strings", self.file))?,
                };
                let key = keys.last().copied().unwrap_or_default();
                if key.starts_with("allowed_privileged_") {
                    runner::warn_of_extra(runner, key, &found, wanted, self.notes);
                }
                for element in wanted {
                    let same = found
                        .iter()
                        .position(|old| runner::identity(key, old) == runner::identity(key, element));
                    let quoted = Scalar::from(element.as_str()).to_string();
                    match same {
                        Some(index) if key == "environment" && found[index] != element.as_str() => {
                            let before = Some(Scalar::from(found[index]).to_string());
                            let action = Action::Replace { index, value: element.clone() };
                            self.push(runner, keys, before, quoted, action);
                        }
                        Some(_) => {}
                        None => self.push(runner, keys, None, quoted, Action::Insert(element.clone())),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Config {
    fn plan_runner(&self, runner: &Runner<'_>, work: &mut Work<'_>) -> Result<()> {
        let docker = runner.docker(work.toml, work.file)?;
        if !self.docker.is_empty() {
            runner::refuse_clash(runner, docker, &self.docker, work.file, work.notes)?;
            runner::warn(runner, docker, work.notes);
        }
        for (key, setting) in &self.runner {
            work.plan_value(runner, &[key], runner.table.get(key), setting)?;
        }
        for (key, setting) in &self.docker {
            let item = docker.and_then(|docker| docker.get(key));
            if key == "tls_verify" && Runner::is_remote(docker) {
                if item.and_then(Item::as_bool).unwrap_or_default() && setting.is_default() {
                    work.notes.warn(
                        "tls-verify-remote",
                        format!("{}: tls_verify is left alone, `host` is a remote address", runner.title()),
                        "it is about the link from gitlab-runner to that daemon, not about dind",
                    );
                }
                continue;
            }
            work.plan_value(runner, &["docker", key], item, setting)?;
        }
        Ok(())
    }

    /// No runner is there to be configured: say how to register one that is right from the start.
    fn wait(&self, context: &Context<'_>, notes: &mut Notes, why: &str) {
        let executor = self.executors.first().map_or("docker", String::as_str);
        let profiles = context.options.profiles.join(",");
        let image = if self.docker.is_empty() { "" } else { " --docker-image docker:19.03" };
        notes.wait(
            "runner-not-registered",
            why,
            format!(
                "runner-prep template --profile {profiles} > /root/runner.toml\n\
                 CI_SERVER_TOKEN=glrt-… gitlab-runner register --non-interactive \\\n    \
                 --url https://gitlab.com --executor {executor}{image} \\\n    \
                 --template-config /root/runner.toml\n\
                 then run this again"
            ),
        );
    }
}

fn scalar(item: &Item) -> Option<Scalar> {
    let text = || item.as_str().map(Scalar::from);
    item.as_bool().map(Scalar::Bool).or_else(|| item.as_integer().map(Scalar::Integer)).or_else(text)
}

/// The configuration file: as asked, as the service has it, or the usual one.
fn path(context: &Context<'_>) -> PathBuf {
    let by_service = context.target.service.as_ref().and_then(|service| service.config.clone());
    context.options.config.clone().or(by_service).unwrap_or_else(|| USUAL_PATH.into())
}

/// Where the configuration file is, and what was found there: `None` when nothing is.
pub fn look(context: &Context<'_>) -> (PathBuf, Result<Option<(Seen, Toml)>>) {
    let path = path(context);
    let found = read(context, &path);
    (path, found)
}

/// Read the file; what can't be a configuration is refused.
fn read(context: &Context<'_>, path: &Path) -> Result<Option<(Seen, Toml)>> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(fault(
            "config-path",
            format!("{shown} is no absolute path"),
            "give --config an absolute path",
        ));
    }
    // Parsed while it settles, and not a second time after.
    let parsed = RefCell::new(None);
    let whole = |bytes: &[u8]| {
        let toml = Toml::parse(bytes);
        let whole = toml.is_ok() && !bytes.trim_ascii().is_empty();
        *parsed.borrow_mut() = Some(toml);
        whole
    };
    let Some(seen) = context.facts.settled(path, MOST_CONFIG_BYTES, &whole)? else {
        return match context.facts.entry(path)? {
            Some(link) if link.kind == FileKind::Link => Err(fault(
                "config-dangling",
                format!("{shown} is a link to nowhere"),
                format!("point it at the real file, or remove it: ls -l {shown}"),
            )),
            _ => Ok(None),
        };
    };
    if seen.kind != FileKind::Regular {
        return Err(fault(
            "config-kind",
            format!("{shown} is {}, not a regular file", seen.kind),
            format!("see what it is: ls -ld {shown}"),
        ));
    }
    if seen.links != 1 {
        return Err(fault(
            "config-links",
            format!("{shown} has {} names (hard links): replacing it would part them", seen.links),
            format!("remove the other names: find / -xdev -samefile {shown}"),
        ));
    }
    if seen.bytes.trim_ascii().is_empty() {
        return Err(fault(
            "config-empty",
            format!("{shown} is empty: gitlab-runner may be writing it, or lost it"),
            "run again; if it stays empty, restore it or register the runners again",
        ));
    }
    let toml = parsed.into_inner().unwrap_or_else(|| Toml::parse(&seen.bytes)).map_err(|error| {
        fault(
            "config-invalid",
            format!("{shown}: {error}"),
            "correct it by hand; gitlab-runner can't read it either",
        )
    })?;
    Ok(Some((seen, toml)))
}

/// What is worth knowing of the file as a whole.
fn report_file(seen: &Seen, toml: &Toml, shown: &str, notes: &mut Notes) {
    if seen.mode & 0o077 != 0 {
        notes.warn(
            "config-mode",
            format!("{shown} has mode {:04o}: others can read the tokens in it", seen.mode),
            format!("chmod 0600 {shown}"),
        );
    }
    if toml.has_bom() {
        notes.warn(
            "config-bom",
            format!("{shown} begins with a byte order mark, which old versions of gitlab-runner refuse"),
            format!("remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' {shown}"),
        );
    }
}

/// The file for `gitlab-runner register --template-config`: exactly one `[[runners]]`, only what the
/// profile wants.
pub(super) fn template(config: &Config) -> String {
    let lines = |settings: &[(String, Setting)], indent: &str| -> String {
        settings
            .iter()
            .map(|(key, setting)| [indent, key, " = ", &setting.to_string(), "\n"].concat())
            .collect()
    };
    let docker = if config.docker.is_empty() { "" } else { "  [runners.docker]\n" };
    ["[[runners]]\n", &lines(&config.runner, "  "), docker, &lines(&config.docker, "    ")].concat()
}
