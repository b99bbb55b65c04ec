//! The runners of one document held against a profile, value by value: what differs, as edits and for people.

use std::mem::discriminant;

use anyhow::Result;
use toml_edit::{Item, TableLike};

use crate::change::{Notes, ValueChange};
use crate::fault::fault;
use crate::keys::{self, Type};
use crate::resource::runner;
use crate::resource::settings::{Config, Setting};
use crate::runner_config::{Runner, host_names, identity, strings, tables};
use crate::text::toml_patch::{Action, Edit, Scalar, Step, Toml, dotted};

/// The list of runners.
pub(super) const LIST: &str = "runners";

/// One document being held against a profile: the edits of all its runners, and the same for people.
pub(super) struct Work<'a> {
    pub(super) toml: &'a Toml,
    /// Which runner of the file the document's list begins with.
    pub(super) first: usize,
    pub(super) file: &'a str,
    pub(super) notes: &'a mut Notes,
    pub(super) values: &'a mut Vec<ValueChange>,
    pub(super) edits: Vec<Edit>,
}

impl Work<'_> {
    fn push(
        &mut self,
        runner: &Runner<'_>,
        keys: &[Step],
        before: Option<String>,
        after: String,
        action: Action,
    ) {
        let element = matches!(action, Action::Insert(_) | Action::Replace { .. });
        self.edit(runner, keys, action);
        self.show(runner, keys, element, [before, Some(after)]);
    }

    /// What is done to the document.
    fn edit(&mut self, runner: &Runner<'_>, keys: &[Step], action: Action) {
        self.edits.push(Edit::new(path(runner.index - self.first, keys), action));
    }

    /// The same for people and for `undo`: before and after.
    fn show(
        &mut self,
        runner: &Runner<'_>,
        keys: &[Step],
        element: bool,
        [before, after]: [Option<String>; 2],
    ) {
        let name = format!("{}: {}", runner.title(), dotted(keys));
        self.values.push(ValueChange { name, path: path(runner.index, keys), element, before, after });
    }

    /// Hold one value against the file. `keys` makes the way to it, which is of interest only where it differs.
    fn plan_value(
        &mut self,
        runner: &Runner<'_>,
        keys: &dyn Fn() -> Vec<Step>,
        key: &str,
        item: Option<&Item>,
        setting: &Setting,
    ) -> Result<()> {
        let list = || match item {
            None => Ok(Vec::new()),
            Some(item) => strings(item).ok_or_else(|| {
                runner.wrong(self.toml, item, &dotted(&keys()), "a list of strings", self.file)
            }),
        };
        // gitlab-runner takes a text for a list with this one element, where it takes both.
        let takes_both =
            || keys::find("runners.docker", key).is_some_and(|known| known.kind == Type::Strings);
        match setting {
            Setting::Scalar(Scalar::String(wanted)) if item.and_then(strings).is_some() && takes_both() => {
                return self.plan_value(runner, keys, key, item, &Setting::Words(vec![wanted.clone()]));
            }
            Setting::Words(wanted) if item.is_some_and(Item::is_str) && takes_both() => {
                let [wanted] = &wanted[..] else {
                    return Err(fault(
                        "config-shape",
                        format!(
                            "{}: {}: `{key}` is one text, and the profile wants a list",
                            self.file,
                            runner.title()
                        ),
                        format!("write the text of `{key}` in brackets, as a list, then run again"),
                    ));
                };
                let wanted = Setting::Scalar(Scalar::from(wanted.as_str()));
                return self.plan_value(runner, keys, key, item, &wanted);
            }
            Setting::Scalar(wanted) => {
                let now = item.and_then(scalar);
                if now.as_ref() == Some(wanted) || (item.is_none() && setting.is_default(key)) {
                    return Ok(());
                }
                // A value of another type is not the value of this key: it is not shown.
                let is_alike = |now: &&Scalar| discriminant::<Scalar>(now) == discriminant(wanted);
                let shown = now.as_ref().filter(is_alike).map(ToString::to_string);
                let before = item.map(|_| shown.unwrap_or_else(|| "(of another type)".to_owned()));
                self.push(runner, &keys(), before, wanted.to_string(), Action::Set(wanted.clone()));
            }
            Setting::List(wanted) => {
                let found = list()?;
                if key.starts_with("allowed_privileged_") {
                    runner::warn_of_extra(runner, key, &found, wanted, self.notes);
                }
                for element in wanted {
                    // Of two variables with one name the last one counts.
                    let same = found.iter().rposition(|old| identity(key, old) == identity(key, element));
                    let quoted = || Scalar::from(element.as_str()).to_string();
                    match same {
                        Some(index) if key == "environment" && found[index] != element.as_str() => {
                            let before = Some(Scalar::from(found[index]).to_string());
                            let action = Action::Replace { index, value: element.clone() };
                            self.push(runner, &keys(), before, quoted(), action);
                        }
                        Some(_) => {}
                        None => self.push(runner, &keys(), None, quoted(), Action::Insert(element.clone())),
                    }
                }
            }
            Setting::Words(wanted) => {
                let found = list()?;
                if found != *wanted {
                    let keys = keys();
                    let shown = |word: &str| Scalar::from(word).to_string();
                    for index in 0..found.len().max(wanted.len()) {
                        let sides = [found.get(index).copied(), wanted.get(index).map(String::as_str)];
                        if sides[0] != sides[1] {
                            let word = [&keys[..], &[index.into()]].concat();
                            self.show(runner, &word, false, sides.map(|side| side.map(shown)));
                        }
                    }
                    self.edit(runner, &keys, Action::SetList(wanted.clone()));
                }
            }
        }
        Ok(())
    }

    /// Hold the services against the file. One that has a host name of a wanted one is that one.
    fn plan_services(
        &mut self,
        config: &Config,
        runner: &Runner<'_>,
        docker: Option<&dyn TableLike>,
    ) -> Result<()> {
        let is_asked = config.docker.iter().any(|(key, _)| key == "services_limit");
        if config.services.is_empty() && !is_asked {
            return Ok(());
        }
        let step = ["docker", "services"].map(Step::from);
        let found = match docker.and_then(|docker| docker.get("services")) {
            None => Vec::new(),
            Some(item) => tables(item).ok_or_else(|| {
                runner.wrong(self.toml, item, &dotted(&step), "a list of tables", self.file)
            })?,
        };
        let text = |table: &dyn TableLike, key: &str| {
            table.get(key).and_then(Item::as_str).unwrap_or_default().to_owned()
        };
        let mut taken = Vec::new();
        let mut count = found.len();
        for service in &config.services {
            let names = service.host_names();
            let is_it = |table: &&dyn TableLike| {
                let has = host_names(&text(*table, "name"), &text(*table, "alias"));
                has.iter().any(|name| names.contains(name))
            };
            let place = (0..found.len()).find(|index| !taken.contains(index) && is_it(&found[*index]));
            let index = place.unwrap_or(count);
            count = count.max(index + 1);
            taken.push(index);
            for (key, setting) in &service.keys {
                let keys = || [&step[..], &[index.into(), key.as_str().into()]].concat();
                let item = place.and_then(|place| found[place].get(key));
                self.plan_value(runner, &keys, key, item, setting)?;
            }
        }
        runner::check_limit(runner, docker, &config.docker, count, self.file)
    }

    /// Hold one runner against the profile.
    pub(super) fn plan_runner(&mut self, config: &Config, runner: &Runner<'_>) -> Result<()> {
        let docker = runner.docker(self.toml, self.file)?;
        if !config.docker.is_empty() || !config.services.is_empty() {
            runner::check_reads_docker(runner, self.file)?;
            runner::refuse_clash(runner, docker, &config.docker, self.file, self.notes)?;
            runner::warn(runner, docker, config, self.notes);
        }
        for (key, setting) in &config.runner {
            let keys = || vec![key.as_str().into()];
            self.plan_value(runner, &keys, key, runner.table.get(key), setting)?;
        }
        for (key, setting) in &config.docker {
            let item = docker.and_then(|docker| docker.get(key));
            if key == "tls_verify" && Runner::is_remote(docker) {
                if item.and_then(Item::as_bool).unwrap_or_default() && setting.is_default(key) {
                    self.notes.warn(
                        "tls-verify-remote",
                        format!("{}: tls_verify is left alone, `host` is a remote address", runner.title()),
                        "it is about the link from gitlab-runner to that daemon, not about dind",
                    );
                }
                continue;
            }
            let keys = || vec!["docker".into(), key.as_str().into()];
            self.plan_value(runner, &keys, key, item, setting)?;
        }
        self.plan_services(config, runner, docker)
    }
}

/// The way to a value of a runner.
fn path(index: usize, keys: &[Step]) -> Vec<Step> {
    [&[Step::from(LIST), index.into()], keys].concat()
}

fn scalar(item: &Item) -> Option<Scalar> {
    let text = || item.as_str().map(Scalar::from);
    item.as_bool().map(Scalar::Bool).or_else(|| item.as_integer().map(Scalar::Integer)).or_else(text)
}
