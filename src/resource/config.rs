//! Values of gitlab-runner's `config.toml`: of its `[[runners]]`, and of what stands outside of them.
//!
//! Owns single values, never the file: what the profile does not name keeps its bytes. Nothing of the
//! file but those values may ever be shown: it holds tokens.

mod comparison;
mod diff;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::{Context, Resource};
use super::gate;
use super::settings::{ConfigSection, GivenService, Setting};
use crate::change::{Change, Content, FileKind, FileOp, Harm, Note, Notes, Place, ReadBy, Seen, Shown, Swap};
use crate::facts::programs::DOCKERD;
use crate::facts::{MOST_CONFIG_BYTES, close};
use crate::fault::{fault, look_and_move, quoted};
use crate::keys::GLOBAL;
use crate::repair::Registration;
use crate::runner_config::{
    self, AUTHORITY, DOCKER, IMAGE, RUNNERS, Runner, SERVICES, USUAL_PATH, is_usual_daemon,
};
use crate::text::toml_patch::{self, Toml};
use diff::ConfigDiff;

impl Resource for ConfigSection {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        if context.options.config.is_none() {
            context.target.warn_if_unclear(notes);
        }
        let path = path(context);
        let shown = path.display().to_string();
        let Some((seen, toml)) = read(context, &path)? else {
            if self.is_empty() {
                return Ok(Vec::new());
            }
            gate::check(self, context, &|_| false, true, notes)?;
            let missing = format!("{shown} does not exist: no runner is registered yet");
            self.wait(context, notes, &shown, &missing, &[]);
            return Ok(Vec::new());
        };
        report_mode(&seen, &shown, notes);
        let mut diff = diff::diff(self, &toml, &context.options.runners, &shown)?;
        let after = diff.after.take();
        gate::say_read(std::mem::take(&mut diff.notes.warnings), context, notes)?;
        notes.executors = std::mem::take(&mut diff.executors);
        let at_last = after.as_ref().map_or(&diff, |after| &after.diff);
        tell_refused(at_last, context, &shown, notes)?;
        if at_last.needs_daemon && self.is_for_docker() {
            notes.call(DOCKERD);
        }
        let is_on = |key: &str| diff.on.contains(key);
        let waits = self.is_for_runners() && !diff.is_meant;
        gate::check(self, context, &is_on, waits || after.is_some(), notes)?;
        if waits {
            let executors = self.executors.join(", ");
            let missing = if executors.is_empty() {
                format!("the profile names no executors, and so no runner of {shown}")
            } else {
                format!("{shown} has no runner with executor {executors}")
            };
            self.wait(context, notes, &shown, &missing, &diff.without_executor);
        }
        let Some(after) = after else {
            if !waits {
                let keys = self.keys().join(", ");
                notes.right("config", format!("{shown} has the wanted values of {keys}"));
            }
            return Ok(Vec::new());
        };
        let place = Place::System(seen.resolved.clone().unwrap_or(path));
        let meta = seen.meta();
        let mut names: Vec<&str> = Vec::new();
        for name in diff.values.iter().map(|value| value.name.rsplit(' ').next().unwrap_or_default()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let why = format!("not as wanted: {}", names.join(", "));
        let (before, after) = (Some(seen), Some(Content::ready(after.text.into_bytes())));
        let (reader, swap) = (Some(ReadBy::Runner), Swap::Shared);
        let (shown, edits) = (Shown::Values(diff.values), diff.edits);
        let file = FileOp { place, before, after, meta, reader, shown, swap, edits };
        Ok(vec![Change::of("config", why, file)])
    }
}

impl ConfigSection {
    /// All that is wanted, in words.
    fn keys(&self) -> Vec<String> {
        let name = |section: &str, key: &str| match section.strip_prefix("runners").unwrap_or(section) {
            "" | GLOBAL => key.to_owned(),
            table => format!("{}.{key}", table.trim_start_matches('.')),
        };
        let tables = [false, true].into_iter().flat_map(|of_runner| self.tables(of_runner));
        let keys = tables.flat_map(|(section, all)| all.iter().map(|(key, _)| name(section, key)));
        let services = (!self.services.is_empty()).then(|| "docker.services".to_owned());
        let authority = self.trusts_authority.then(|| AUTHORITY.to_owned());
        keys.chain(services).chain(authority).collect()
    }

    /// A runner that is right from the start would start containers with the usual daemon of the host.
    pub fn wants_usual_daemon(&self) -> bool {
        let host = self.setting(DOCKER, "host").and_then(|host| host.texts().first());
        let is_docker = self.is_for_docker() && self.executors.iter().any(|name| name == "docker");
        is_docker && host.is_none_or(|host| is_usual_daemon(host))
    }

    /// No runner is there to be configured: say how to register one that is right from the start. Where the one that is
    /// meant may only be misspelt, a second one would not help it.
    fn wait(&self, context: &Context<'_>, notes: &mut Notes, path: &str, why: &str, misspelt: &[String]) {
        let is_docker = self.is_for_docker();
        notes.call("gitlab-runner");
        if self.wants_usual_daemon() {
            notes.call(DOCKERD);
        }
        if notes.registers {
            return;
        }
        if !misspelt.is_empty() && !self.executors.is_empty() {
            let message = format!("{why}; {} has none that gitlab-runner knows", misspelt.join(", "));
            let repair = mend!("let `executor` of the one that is meant be {}", self.executors.join(", or "));
            notes.pending.push(Note::new("executor-unknown", message, repair, Harm::Examined));
            return;
        }
        let options = context.options;
        let profiles = options.profiles.join(",");
        let commands = Registration {
            profiles: Some(&profiles),
            server: options.url(),
            // Without it gitlab-runner writes the usual file.
            config: Some(path).filter(|path| *path != USUAL_PATH),
            executor: self.executors.first().map_or("docker", String::as_str),
            image: is_docker.then_some(IMAGE),
            then: &options.command,
        };
        notes.wait("runner-not-registered", why, commands.commands());
    }
}

/// The configuration file: as asked, as the service has it, or the usual one.
fn path(context: &Context<'_>) -> PathBuf {
    let by_service = context.target.service.as_ref().and_then(|service| service.config.clone());
    context.options.config.clone().or(by_service).unwrap_or_else(|| USUAL_PATH.into())
}

/// The configuration file of gitlab-runner as it is.
pub struct ExaminedConfig {
    /// Where it is.
    pub path: PathBuf,
    /// What was found there: `None` when nothing is.
    pub found: Result<Option<(Seen, Toml)>>,
}

impl ExaminedConfig {
    /// Look at the one that is meant.
    pub fn of(context: &Context<'_>) -> Self {
        let path = path(context);
        Self { found: read(context, &path), path }
    }

    /// The same, unless it could not be read.
    pub(super) fn checked(self) -> Result<Self> {
        Ok(Self { found: Ok(self.found?), ..self })
    }

    /// Its values, when it could be read.
    pub fn toml(&self) -> Option<&Toml> {
        self.found.as_ref().ok()?.as_ref().map(|(_, toml)| toml)
    }

    /// Its runners; none where it has no values.
    pub fn runners(&self) -> Result<Vec<Runner<'_>>> {
        self.toml().map_or(Ok(Vec::new()), |toml| runner_config::list(toml, &self.shown()))
    }

    /// Its path, for messages.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// Read the file and what it says; what can't be a configuration is refused.
fn read(context: &Context<'_>, path: &Path) -> Result<Option<(Seen, Toml)>> {
    let shown = path.display();
    if !path.is_absolute() {
        let what = format!("{shown} is not an absolute path");
        return Err(fault("config-path", what, "give --config an absolute path"));
    }
    if let Some(reason) = context.facts.way_of_others(path)? {
        let what = format!("others than root can put another file in the place of {shown}: {reason}");
        return Err(fault("config-untrusted", what, close(context.facts, path.parent().unwrap_or(path))?));
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
                mend!(
                    "see where it points: $ ls -l {0}; then point it at the real file, or remove it: $ rm {0}",
                    quoted(path)
                ),
            )),
            _ => Ok(None),
        };
    };
    if seen.kind != FileKind::Regular {
        let what = format!("{shown} is {}, not a regular file", seen.kind);
        return Err(fault("config-kind", what, look_and_move(path)));
    }
    if seen.links != 1 {
        let what = format!("{shown} has {} names (hard links): replacing it would part them", seen.links);
        let repair = mend!(
            "see the other names: $ find / -xdev -samefile {0}; then give it a file of its own: $ cp -p {0} \
             {0}.new && mv -T {0}.new {0}",
            quoted(path)
        );
        return Err(fault("config-links", what, repair));
    }
    if seen.bytes.trim_ascii().is_empty() {
        let what = format!("{shown} is empty: gitlab-runner may be writing it, or lost it");
        let repair = "run again; if it stays empty, restore it or register the runners again";
        return Err(fault("config-empty", what, repair));
    }
    let toml = parsed.into_inner().unwrap_or_else(|| Toml::parse(&seen.bytes)).map_err(|error| {
        fault("config-invalid", format!("{shown}: {error}"), "correct that place by hand, then run again")
    })?;
    Ok(Some((seen, toml)))
}

/// Say what gitlab-runner refuses in the file. Its version is asked for only where something depends on it; where it is not
/// known, what an older one than the newest could not read is told as well.
fn tell_refused(found: &ConfigDiff, context: &Context<'_>, shown: &str, notes: &mut Notes) -> Result<()> {
    let is_needed = !found.refused.is_empty() || !found.notations.is_empty();
    let version = if is_needed { gate::version(context, true)? } else { None };
    for value in found.refused.iter().filter(|value| value.is_for(version)) {
        let what = format!("{shown}: {}{}", value.what, value.doubt(version).unwrap_or_default());
        notes.say(Note::new(value.code, what, &value.repair, Harm::Examined));
    }
    if found.has_no_slot {
        let what = format!("{shown}: `concurrent` below 1 keeps gitlab-runner from starting");
        notes.examined("concurrent-zero", what, "let `concurrent` be 1, or more");
    }
    for notation in &found.notations {
        if let Some(who) = notation.who_refuses(version) {
            let what = format!("{shown} has {}, which {who} refuses to read", notation.what);
            notes.say(Note::new(notation.code, what, &notation.repair, Harm::Examined));
        }
    }
    Ok(())
}

/// Who can read it.
fn report_mode(seen: &Seen, shown: &str, notes: &mut Notes) {
    if seen.mode & 0o077 != 0 {
        let what = format!("{shown} has mode {:04o}: others can read the tokens in it", seen.mode);
        notes.examined("config-mode", what, mend!("$ chmod 0600 {}", quoted(shown)));
    }
}

/// The file for `gitlab-runner register --template-config`: exactly one `[[runners]]`, only what the
/// profile wants.
pub(super) fn template(config: &ConfigSection) -> String {
    let lines = |settings: &[(String, Setting)], indent: &str| -> String {
        settings
            .iter()
            .map(|(key, setting)| [indent, &toml_patch::key(key), " = ", &setting.to_string(), "\n"].concat())
            .collect()
    };
    let table = |(section, settings): &(&str, Vec<(String, Setting)>)| {
        let indent = "  ".repeat(section.matches('.').count());
        [&indent, "[", section, "]\n", &lines(settings, &[&indent, "  "].concat())].concat()
    };
    let tables: String = config.tables(true).filter(|(section, _)| *section != RUNNERS).map(table).collect();
    let service = |service: &GivenService| format!("    [[{SERVICES}]]\n{}", lines(&service.keys, "      "));
    let services: String = config.services.iter().map(service).collect();
    ["[[runners]]\n", &lines(config.of(RUNNERS), "  "), &tables, &services].concat()
}
