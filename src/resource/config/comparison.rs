//! One document held against a profile, value by value: what differs, as edits and for people.

use std::collections::BTreeMap;
use std::mem::discriminant;

use anyhow::Result;
use toml_edit::{Item, TableLike};

use crate::change::{Notes, ValueChange};
use crate::fault::fault;
use crate::keys::{self, FLAGS, GLOBAL, Type};
use crate::resource::runner;
use crate::resource::settings::{ConfigSection, Setting};
use crate::runner_config::{
    self, AUTHORITY, DOCKER, RUNNERS, Runner, SERVICES, Volume, host_names, identity, strings, tables,
    unusual_case,
};
use crate::text::toml_patch::{Action, Edit, Scalar, Step, Toml, dotted};

/// One document being held against a profile: all its edits, and the same for people.
pub(super) struct ConfigComparison<'a> {
    pub(super) config: &'a ConfigSection,
    pub(super) toml: &'a Toml,
    pub(super) file: &'a str,
    pub(super) notes: Notes,
    pub(super) values: Vec<ValueChange>,
    pub(super) edits: Vec<Edit>,
}

/// A value that is wanted: of a runner, or outside of all.
#[derive(Clone, Copy)]
struct WantedValue<'p, 'r> {
    runner: Option<&'p Runner<'r>>,
    section: &'static str,
    key: &'p str,
    /// The way to it, from the runner or from the top.
    keys: &'p [Step],
}

impl WantedValue<'_, '_> {
    /// For people: `runners[0] "name": docker.privileged`.
    fn name(&self, keys: &[Step]) -> String {
        title(self.runner) + &dotted(keys)
    }

    /// The keys from the top of the document.
    fn path(&self, keys: &[Step]) -> Vec<Step> {
        let list = self.runner.map(|runner| [RUNNERS.into(), runner.index.into()]);
        list.into_iter().flatten().chain(keys.iter().cloned()).collect()
    }

    /// What gitlab-runner reads there.
    fn kind(&self) -> Option<Type> {
        keys::find(self.section, self.key).map(|key| key.kind)
    }
}

impl ConfigComparison<'_> {
    /// What is done to the document, with the value before and after.
    fn push(&mut self, at: WantedValue<'_, '_>, before: Option<String>, after: String, action: Action) {
        let element = matches!(action, Action::Insert(_) | Action::Replace { .. });
        self.edits.push(Edit::new(at.path(at.keys), action));
        self.show(at, at.keys, element, [before, Some(after)]);
    }

    /// The same for people and for `undo`: before and after.
    fn show(
        &mut self,
        place: WantedValue<'_, '_>,
        keys: &[Step],
        element: bool,
        [before, after]: [Option<String>; 2],
    ) {
        let (name, path) = (place.name(keys), place.path(keys));
        self.values.push(ValueChange { name, path, element, before, after });
    }

    /// A value of another type than gitlab-runner wants, of a runner or outside of all.
    fn wrong_shape(&self, runner: Option<&Runner<'_>>, item: &Item, keys: &str, want: &str) -> anyhow::Error {
        let title = title(runner);
        let (at, is) = (runner_config::place(self.toml, item), runner_config::kind(item));
        let what = format!("{}: {at}{title}`{keys}` is {is}, not {want}", self.file);
        fault("config-shape", what, mend!("let `{}` be {}, then run again", keys, want))
    }

    /// Hold one value against the file.
    fn plan_value(&mut self, at: WantedValue<'_, '_>, item: Option<&Item>, setting: &Setting) -> Result<()> {
        let WantedValue { runner, section, key, keys } = at;
        let list = || match item {
            None => Ok(Vec::new()),
            Some(item) => strings(item)
                .ok_or_else(|| self.wrong_shape(runner, item, &dotted(keys), "a list of strings")),
        };
        // gitlab-runner takes a text for a list with this one element, where it takes both.
        let takes_both = || at.kind() == Some(Type::Strings);
        match setting {
            Setting::Scalar(Scalar::String(wanted)) if item.and_then(strings).is_some() && takes_both() => {
                return self.plan_value(at, item, &Setting::Words(vec![wanted.clone()]));
            }
            Setting::Words(wanted) if item.is_some_and(Item::is_str) && takes_both() => {
                let [wanted] = &wanted[..] else {
                    let what =
                        format!("{}: {} is one text, and the profile wants a list", self.file, at.name(keys));
                    let repair = mend!("write the text of `{}` in brackets, as a list, then run again", key);
                    return Err(fault("config-shape", what, repair));
                };
                let wanted = Setting::Scalar(Scalar::from(wanted.as_str()));
                return self.plan_value(at, item, &wanted);
            }
            Setting::Scalar(wanted) => {
                let now = item.and_then(Item::as_value).and_then(Scalar::of);
                let is_same = match (at.kind(), &now, wanted) {
                    // gitlab-runner writes `15m0s` where it read `15m`.
                    (Some(Type::Duration), Some(now), Scalar::String(wanted)) => {
                        runner_config::nanoseconds(now) == runner_config::duration(wanted)
                    }
                    _ => now.as_ref() == Some(wanted),
                };
                if is_same || (item.is_none() && setting.is_default(section, key)) {
                    return Ok(());
                }
                if runner.is_none() && key == "listen_address" {
                    let what =
                        format!("{}: gitlab-runner reads {} only when it starts", self.file, at.name(keys));
                    let repair = "after the change, when no job runs: $ systemctl restart gitlab-runner";
                    self.notes.warn("config-restart", what, repair);
                }
                // A value of another type is not the value of this key: it is not shown.
                let is_alike = |now: &&Scalar| discriminant::<Scalar>(now) == discriminant(wanted);
                let shown = now.as_ref().filter(is_alike).map(ToString::to_string);
                let before = item.map(|_| shown.unwrap_or_else(|| "(of another type)".to_owned()));
                self.push(at, before, wanted.to_string(), Action::Set(wanted.clone()));
            }
            Setting::List(wanted) => {
                let found = list()?;
                if let Some(runner) = runner.filter(|_| key.starts_with("allowed_privileged_")) {
                    runner::warn_of_extra(runner, key, self.config, &mut self.notes);
                }
                // Of two variables with one name the last one counts.
                let known: BTreeMap<_, _> =
                    found.iter().enumerate().map(|(index, old)| (identity(key, old), index)).collect();
                for element in wanted {
                    let same = known.get(&identity(key, element)).copied();
                    let quoted = || Scalar::from(element.as_str()).to_string();
                    match same {
                        Some(index) if is_replaced(key, found[index], element) => {
                            let before = Some(Scalar::from(found[index]).to_string());
                            let action = Action::Replace { index, value: element.clone() };
                            self.push(at, before, quoted(), action);
                        }
                        Some(_) => {}
                        None => self.push(at, None, quoted(), Action::Insert(element.clone())),
                    }
                }
            }
            Setting::Words(wanted) => {
                let found = list()?;
                if found != *wanted {
                    let shown = |word: &str| Scalar::from(word).to_string();
                    for index in 0..found.len().max(wanted.len()) {
                        let sides = [found.get(index).copied(), wanted.get(index).map(String::as_str)];
                        if sides[0] != sides[1] {
                            let word = [keys, &[index.into()]].concat();
                            self.show(at, &word, false, sides.map(|side| side.map(shown)));
                        }
                    }
                    self.edits.push(Edit::new(at.path(keys), Action::SetList(wanted.clone())));
                }
            }
        }
        Ok(())
    }

    /// Hold the services against the file. One that has a host name of a wanted one is that one.
    fn plan_services(&mut self, runner: &Runner<'_>) -> Result<()> {
        let config = self.config;
        if config.services.is_empty() && !config.names("services_limit") {
            return Ok(());
        }
        let step = ["docker", "services"].map(Step::from);
        let found = match runner.docker_item("services") {
            None => Vec::new(),
            Some(item) => tables(item)
                .ok_or_else(|| self.wrong_shape(Some(runner), item, &dotted(&step), "a list of tables"))?,
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
                let keys = [&step[..], &[index.into(), key.as_str().into()]].concat();
                let item = place.and_then(|place| found[place].get(key));
                let at = WantedValue { runner: Some(runner), section: SERVICES, key, keys: &keys };
                self.plan_value(at, item, setting)?;
            }
        }
        runner::check_limit(runner, config, count, self.file)
    }

    /// Hold one runner against the profile.
    pub(super) fn plan_runner(&mut self, runner: &Runner<'_>) -> Result<()> {
        if let Some(item) = runner.table.get("docker").filter(|item| !item.is_table_like()) {
            return Err(self.wrong_shape(Some(runner), item, "docker", "a table"));
        }
        self.notes.about = format!("{}: ", runner.title());
        runner::check_asks(runner, &mut self.notes);
        if self.config.is_for_docker() {
            runner::check_reads(runner, DOCKER, self.file)?;
            runner::refuse_clash(runner, self.config, self.file, &mut self.notes)?;
            runner::warn(runner, self.config, &mut self.notes);
        }
        self.plan_tables(Some(runner))?;
        self.plan_services(runner)?;
        self.notes.about.clear();
        Ok(())
    }

    /// The certificates of `[ca]`, by the name that they have for the server of this runner.
    pub(super) fn plan_authority(&mut self, runner: &Runner<'_>) -> Result<()> {
        let Some(server) = runner.text("url").and_then(runner_config::own_server) else { return Ok(()) };
        let wanted = Setting::Scalar(Scalar::String(runner_config::certificates_of(server)));
        let item = self.look(Some(runner.table), AUTHORITY, Some(runner), false)?;
        let keys = [Step::from(AUTHORITY)];
        let place = WantedValue { runner: Some(runner), section: RUNNERS, key: AUTHORITY, keys: &keys };
        self.plan_value(place, item, &wanted)
    }

    /// Hold the tables of one runner against the profile, or those outside of all runners.
    pub(super) fn plan_tables(&mut self, runner: Option<&Runner<'_>>) -> Result<()> {
        let top: &dyn TableLike = match runner {
            Some(runner) => runner.table,
            None => self.toml.root(),
        };
        for (section, settings) in self.config.tables(runner.is_some()) {
            let path = if *section == GLOBAL { None } else { Some(section.split('.')) };
            let steps: Vec<&str> = path.into_iter().flatten().skip(usize::from(runner.is_some())).collect();
            if let Some(runner) = runner {
                runner::check_reads(runner, section, self.file)?;
            }
            let mut table = Some(top);
            for (depth, step) in steps.iter().enumerate() {
                let item = self.look(table, step, runner, false)?;
                let wrong = |item: &Item| {
                    let name = steps[..=depth].join(".");
                    self.wrong_shape(runner, item, &name, "a table")
                };
                table = item.map(|item| item.as_table_like().ok_or_else(|| wrong(item))).transpose()?;
            }
            let is_free = *section == FLAGS || keys::holder(section).is_some();
            for (key, setting) in settings {
                let item = self.look(table, key, runner, is_free)?;
                let keys: Vec<Step> = steps.iter().copied().chain([key.as_str()]).map(Step::from).collect();
                let place = WantedValue { runner, section, key, keys: &keys };
                if *section == DOCKER && key == "tls_verify" && runner.is_some_and(has_link) {
                    self.leave_tls_verify(place, item, setting);
                } else {
                    self.plan_value(place, item, setting)?;
                }
            }
        }
        Ok(())
    }

    /// What stands at a key of a table. In another case than the usual one gitlab-runner finds it, too, unless it is a free
    /// name.
    fn look<'t>(
        &self,
        table: Option<&'t dyn TableLike>,
        key: &str,
        runner: Option<&Runner<'_>>,
        is_free: bool,
    ) -> Result<Option<&'t Item>> {
        let Some(table) = table else { return Ok(None) };
        let found = table.get(key);
        if found.is_some() || is_free {
            return Ok(found);
        }
        match table.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
            None => Ok(None),
            Some((name, item)) => {
                Err(unusual_case(self.toml, item, &format!("{}`{name}`", title(runner)), key, self.file))
            }
        }
    }

    fn leave_tls_verify(&mut self, place: WantedValue<'_, '_>, item: Option<&Item>, setting: &Setting) {
        let is_on = item.and_then(Item::as_bool).unwrap_or_default();
        if is_on && setting.is_default(place.section, place.key) {
            self.notes.warn(
                "tls-verify-remote",
                "tls_verify is left alone, `host` is an address of a network",
                "it is about the link from gitlab-runner to that daemon, not about dind",
            );
        }
    }
}

/// What a message about a value begins with; nothing outside of all runners.
fn title(runner: Option<&Runner<'_>>) -> String {
    runner.map(|runner| format!("{}: ", runner.title())).unwrap_or_default()
}

/// True where gitlab-runner reaches its daemon by a network: another machine's, or one to which it has certificates.
fn has_link(runner: &Runner<'_>) -> bool {
    let has_path = runner.docker_text("tls_cert_path").is_some_and(|path| !path.is_empty());
    runner.is_remote() || (has_path && runner.daemon().is_some_and(|host| host.starts_with("tcp://")))
}

/// True where the element of that identity is not the wanted one: a variable with another value; a volume of Docker's
/// own, which is a directory, where a socket of the host is wanted. Who shares another path of the host knows why.
fn is_replaced(key: &str, found: &str, wanted: &str) -> bool {
    match key {
        "environment" => found != wanted,
        "volumes" => {
            Volume::parse(wanted).daemon_socket().is_some() && Volume::parse(found).host_path().is_none()
        }
        _ => false,
    }
}
