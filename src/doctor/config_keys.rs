//! Keys of `config.toml` that gitlab-runner does not read, in silence: misspelt, in the wrong place, of
//! another version. Values that it refuses are [`runner_config::refused_values`].
//!
//! What a gitlab-runner newer than the table of keys reads, or one whose version is not known, nobody here knows: a key
//! that the table lacks is then `unknown`, never a problem.

use anyhow::Result;
use toml_edit::{Item, TableLike, Value};

use super::DoctorContext;
use crate::facts::programs::update_runner;
use crate::finding::Findings;
use crate::keys::{self, FLAGS, GLOBAL, Key, Type};
use crate::runner_config::{self, Runner, place, tables, wrong_type};
use crate::text::toml_patch::{Step, Toml};

/// Settings of a runner that GitLab holds.
const HELD_BY_GITLAB: [&str; 10] = [
    "access_level",
    "description",
    "locked",
    "maintenance_note",
    "maximum_timeout",
    "paused",
    "protected",
    "run_untagged",
    "tag_list",
    "tags",
];

/// Hold every key against the table of keys.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = context.config.toml() else { return Ok(()) };
    let refused = runner_config::refused_values(toml).into_iter();
    for value in refused.filter(|value| value.is_for(context.version())) {
        match value.doubt(context.version()) {
            Some(doubt) => findings.unknown(value.code, value.what + &doubt, value.repair),
            None => findings.problem(value.code, value.what, value.repair),
        }
    }
    let mut walk = KeyWalk { context, toml, findings, count: 0 };
    walk.table(toml.root(), GLOBAL, None);
    let count = walk.count;
    findings.else_fine(format!("gitlab-runner knows all {count} keys"));
    Ok(())
}

struct KeyWalk<'a, 'f> {
    context: &'a DoctorContext<'a>,
    toml: &'a Toml,
    findings: &'f mut Findings,
    count: usize,
}

/// A key that is looked at, and where it stands.
#[derive(Clone, Copy)]
struct FoundKey<'t> {
    section: &'static str,
    name: &'t str,
    item: &'t Item,
    table: &'t dyn TableLike,
    runner: Option<Runner<'t>>,
}

impl KeyWalk<'_, '_> {
    /// A table of this section, of that runner.
    fn table(&mut self, table: &dyn TableLike, section: &'static str, runner: Option<Runner<'_>>) {
        for (name, item) in table.iter() {
            self.count += 1;
            match keys::find_ignoring_case(section, name) {
                Some(key) => self.known(key, item, runner),
                None => self.unknown(FoundKey { section, name, item, table, runner }),
            }
        }
    }

    fn known(&mut self, key: Key, item: &Item, runner: Option<Runner<'_>>) {
        let Key { section, name, since, until, kind } = key;
        let at = self.at(item, runner);
        if key.is_read_by(self.context.version()) && wrong_type(kind, item).is_some() {
            return;
        }
        // What says the same as nothing is no loss.
        let version =
            self.context.version().filter(|_| keys::differs_when_absent(name) || !says_nothing(item));
        if let Some(version) = version {
            if let Some(since) = since.filter(|since| version < *since) {
                let update = update_runner(self.context.facts, &since.to_string());
                let update = update.unwrap_or_else(|_| "update gitlab-runner".into());
                let what = format!("{at}gitlab-runner {version} ignores `{name}`, which came with {since}");
                self.findings.problem("config-key-too-new", what, update + mend!("; or take `{}` out", name));
            } else if let Some(until) = until.filter(|until| version >= *until) {
                self.findings.problem(
                    "config-key-removed",
                    format!("{at}gitlab-runner {version} ignores `{name}`, which went with {until}"),
                    mend!("take `{}` out, or use what came in its place", name),
                );
            }
        }
        let Some(below) = keys::below(section, name) else { return };
        if runner.is_some_and(|runner| !runner.reads(below)) {
            return;
        }
        if let Some(table) = item.as_table_like() {
            self.table(table, below, runner);
        } else if let Some(all) = tables(item) {
            for (index, table) in all.into_iter().enumerate() {
                let runner = if below == "runners" { Some(Runner { index, table }) } else { runner };
                self.table(table, below, runner);
            }
        }
    }

    fn unknown(&mut self, found: FoundKey<'_>) {
        let FoundKey { section, name, item, table, runner } = found;
        // Said of its type.
        if section == FLAGS && wrong_type(Type::Bool, item).is_some() {
            return;
        }
        let at = self.at(item, runner);
        let here = header(section);
        if section == "runners" && HELD_BY_GITLAB.contains(&name.replace('-', "_").as_str()) {
            let what = format!("{at}GitLab holds `{name}` of a runner: gitlab-runner ignores it {here}");
            let repair = mend!("set it in GitLab, on the runner's page, and take `{}` out", name);
            self.findings.note("config-key-of-gitlab", what, repair);
            return;
        }
        // Without a type there is no cache, whatever else is said of it.
        let is_off = || section == "runners.cache" && table.get("Type").is_none_or(says_nothing);
        let nothing = says_nothing(item) || is_off();
        let meant = self.meant(found).filter(|_| !nothing);
        let meant_words = meant.map(|(home, near)| {
            if home == section { format!("`{near}`") } else { format!("`{near}` {}", header(home)) }
        });
        let hint = meant_words.map(|words| format!("; did you mean {words}?")).unwrap_or_default();
        let of_table = (keys::TABLE.0, keys::TABLE.1);
        match self.context.version() {
            Some(version) if (version.0, version.1) <= of_table => {}
            version => {
                let (why, repair) = match version {
                    Some(version) => {
                        (format!("{version}, which is newer, may"), "see its manual for that key")
                    }
                    None => (
                        "which version runs is not known here".to_owned(),
                        "say with --runner-version which version runs",
                    ),
                };
                let message = format!(
                    "{at}gitlab-runner up to {}.{} does not read `{name}` {here}; {why}{hint}",
                    of_table.0, of_table.1
                );
                self.findings.unknown("config-key-unjudged", message, repair);
                return;
            }
        }
        // It keeps the names of flags, of whatever kind.
        let loss = if section == FLAGS { "" } else { ", and loses it when it writes the file itself" };
        let ignored = format!("{at}gitlab-runner ignores `{name}` {here}{loss}");
        if let Some((home, is_there)) = self.home(found) {
            let there = header(home);
            let message = format!("{at}`{name}` has no effect {here}: it belongs {there}");
            if nothing {
                self.findings.note("config-key-foreign", message, mend!("take `{}` out", name));
            } else {
                let repair = if is_there {
                    mend!("take `{}` out: it stands {} already", name, there)
                } else {
                    mend!("move `{}`; it belongs {}", name, there)
                };
                let subject = subject(home, name, runner);
                self.findings.about(subject).problem("config-misplaced", message, repair);
            }
        } else if let Some((home, near)) = meant {
            let repair = if home == section {
                mend!("rename it to `{}`, or take it out", near)
            } else {
                mend!("write it as `{}` {}, or take it out", near, header(home))
            };
            self.findings.about(subject(home, near, runner)).problem(
                "config-key-unknown",
                format!("{at}gitlab-runner ignores `{name}` {here}{hint}"),
                repair,
            );
        } else {
            self.findings.note("config-key-foreign", ignored, "keep such notes somewhere else");
        }
    }

    /// The sections where a key that stands in the wrong place could have an effect, the likeliest first: the tables
    /// that the runner's executor reads, then what lies above them.
    fn homes(&self, found: FoundKey<'_>) -> Vec<&'static str> {
        let FoundKey { section, table, runner, .. } = found;
        let mut homes = Vec::new();
        if section == "runners.cache" {
            homes.push(match table.get("Type").and_then(Item::as_str) {
                Some("gcs") => "runners.cache.gcs",
                Some("azure") => "runners.cache.azure",
                _ => "runners.cache.s3",
            });
        }
        let runners = self.runners(runner);
        let executors = runners.iter().filter_map(|runner| runner.text("executor"));
        let tables = executors.flat_map(runner_config::sections).copied();
        for home in tables.chain(["runners", "session_server", GLOBAL]) {
            if home != section && !homes.contains(&home) {
                homes.push(home);
            }
        }
        homes
    }

    /// The runner that a key is of, or all runners where the key stands above them.
    fn runners<'t>(&'t self, runner: Option<Runner<'t>>) -> Vec<Runner<'t>> {
        runner.map_or_else(|| self.context.all_runners().unwrap_or_default(), |runner| vec![runner])
    }

    /// True where the section has the key, in any spelling of capitals.
    fn has(&self, section: &str, name: &str, runner: Option<Runner<'_>>) -> bool {
        let is_there = |top: &dyn TableLike, path: &str| {
            let mut steps = path.split('.').filter(|step| !step.is_empty());
            let table = steps.try_fold(top, |table, step| table.get(step)?.as_table_like());
            table.is_some_and(|table| table.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)))
        };
        match section.strip_prefix("runners") {
            Some(path) => self.runners(runner).iter().any(|runner| is_there(runner.table, path)),
            None => is_there(self.toml.root(), if section == GLOBAL { "" } else { section }),
        }
    }

    /// The first of those sections that knows the key, and whether it has it already.
    fn home(&self, found: FoundKey<'_>) -> Option<(&'static str, bool)> {
        let fits = |key: &Key| key.until.is_none() && wrong_type(key.kind, found.item).is_none();
        self.homes(found).into_iter().find_map(|home| {
            let key = keys::find_ignoring_case(home, found.name).filter(fits)?;
            Some((home, self.has(home, key.name, found.runner)))
        })
    }

    /// The key that was meant, and its section: one that differs by a slip, takes such a value, and is not there yet.
    fn meant(&self, found: FoundKey<'_>) -> Option<(&'static str, &'static str)> {
        let FoundKey { section, name, item, table, runner } = found;
        let plain = |name: &str| name.to_lowercase().replace('-', "_");
        let is_there = |home: &str, name: &str| {
            if home == FLAGS {
                table.contains_key(name)
            } else if home == section {
                table.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
            } else {
                self.has(home, name, runner)
            }
        };
        let sections = std::iter::once(section).chain(self.homes(found)).enumerate();
        let keys = sections.flat_map(|(rank, home)| keys::of(home).map(move |key| (rank, home, key)));
        keys.filter_map(|(rank, home, key)| {
            let slips = strsim::damerau_levenshtein(&plain(name), &plain(key.name));
            // A short word of another section is near to many.
            let most = (key.name.len() / 4).min(3).max(usize::from(rank == 0));
            let fits = slips <= most
                && key.until.is_none()
                && wrong_type(key.kind, item).is_none()
                && !is_there(home, key.name);
            fits.then_some((slips, rank, key.name, home))
        })
        .min()
        .map(|(_, _, name, home)| (home, name))
    }

    fn at(&self, item: &Item, runner: Option<Runner<'_>>) -> String {
        let title = runner.map(|runner| format!("{}: ", runner.title())).unwrap_or_default();
        format!("{}{title}", place(self.toml, item))
    }
}

/// True for a value that gitlab-runner takes where the key is absent: `false`, 0, nothing in it.
fn says_nothing(item: &Item) -> bool {
    if let Some(table) = item.as_table_like() {
        return table.iter().all(|(_, item)| says_nothing(item));
    }
    match item {
        Item::ArrayOfTables(tables) => tables.is_empty(),
        Item::Value(Value::Boolean(value)) => !value.value(),
        Item::Value(Value::Integer(value)) => *value.value() == 0,
        Item::Value(Value::Float(value)) => *value.value() == 0.0,
        Item::Value(Value::String(value)) => value.value().is_empty(),
        Item::Value(Value::Array(list)) => list.is_empty(),
        _ => false,
    }
}

/// The place of a value as one text, by which findings about it know each other.
pub(super) fn place_of(path: &[Step]) -> String {
    path.iter().map(Step::to_string).collect::<Vec<_>>().join(".")
}

/// The place of a key of a section, which may be one of this runner.
fn subject(section: &str, name: &str, runner: Option<Runner<'_>>) -> String {
    match (section.strip_prefix("runners"), runner) {
        (Some(below), Some(runner)) => format!("runners.{}{below}.{name}", runner.index),
        _ if section == GLOBAL => name.to_owned(),
        _ => format!("{section}.{name}"),
    }
}

fn header(section: &str) -> String {
    match section {
        GLOBAL => "at the top, before any header".to_owned(),
        "runners" => "under [[runners]]".to_owned(),
        section => format!("under [{section}]"),
    }
}
