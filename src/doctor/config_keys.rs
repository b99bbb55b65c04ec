//! Keys of `config.toml` that gitlab-runner does not read, in silence: misspelt, in the wrong place, of
//! another version; and values of a type that it refuses.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use super::Patient;
use crate::finding::Findings;
use crate::keys::{self, GLOBAL, Key, Type};
use crate::profile::suggest;
use crate::runner_config::{kind, place, tables};
use crate::text::toml_patch::Toml;

/// Where a key that stands in the wrong place may belong, the likeliest first.
const HOMES: [&str; 3] = ["runners.docker", "runners", GLOBAL];

/// Hold every key against the table of keys.
pub(super) fn look(patient: &Patient<'_>, findings: &mut Findings) -> Result<()> {
    let Some(toml) = patient.config.toml() else { return Ok(()) };
    let mut walk = Walk { patient, toml, findings, count: 0 };
    walk.table(toml.root(), GLOBAL, "");
    let count = walk.count;
    if findings.is_empty() {
        findings.fine(format!("gitlab-runner knows all {count} keys"));
    }
    Ok(())
}

struct Walk<'a, 'f> {
    patient: &'a Patient<'a>,
    toml: &'a Toml,
    findings: &'f mut Findings,
    count: usize,
}

impl Walk<'_, '_> {
    /// A table of this section; `title` names it for people.
    fn table(&mut self, table: &dyn TableLike, section: &'static str, title: &str) {
        for (name, item) in table.iter() {
            self.count += 1;
            match keys::find_ignoring_case(section, name) {
                Some(key) => self.known(key, item, title),
                None => self.unknown(section, name, item, title),
            }
        }
    }

    fn known(&mut self, key: Key, item: &Item, title: &str) {
        let Key { section, name, since, until, .. } = key;
        let at = self.at(item, title);
        if let Some(wanted) = wrong_type(key.kind, item) {
            self.findings.problem(
                "config-type",
                format!(
                    "{at}`{name}` is {}, gitlab-runner wants {wanted} and refuses the whole file",
                    kind(item)
                ),
                format!("give `{name}` {wanted}"),
            );
            return;
        }
        if let Some(version) = self.patient.version() {
            if let Some(since) = since.filter(|since| version < *since) {
                self.findings.problem(
                    "config-key-too-new",
                    format!("{at}gitlab-runner {version} ignores `{name}`, which came with {since}"),
                    format!("update gitlab-runner, or take `{name}` out"),
                );
            } else if let Some(until) = until.filter(|until| version >= *until) {
                self.findings.problem(
                    "config-key-removed",
                    format!("{at}gitlab-runner {version} ignores `{name}`, which went with {until}"),
                    format!("take `{name}` out, or use what came in its place"),
                );
            }
        }
        let Some(below) = keys::below(section, name) else { return };
        if let Some(table) = item.as_table_like() {
            self.table(table, below, title);
        } else if let Some(all) = tables(item) {
            for (index, table) in all.into_iter().enumerate() {
                let title = if below == "runners" { entry(index, table) } else { title.to_owned() };
                self.table(table, below, &title);
            }
        }
    }

    fn unknown(&mut self, section: &'static str, name: &str, item: &Item, title: &str) {
        let at = self.at(item, title);
        let here = header(section);
        let home =
            HOMES.iter().find(|home| **home != section && keys::find_ignoring_case(home, name).is_some());
        if let Some(home) = home {
            let there = header(home);
            self.findings.problem(
                "config-misplaced",
                format!("{at}`{name}` has no effect {here}: it belongs {there}"),
                format!("move `{name}`; it belongs {there}"),
            );
            return;
        }
        let known: Vec<&str> = keys::of(section).map(|key| key.name).collect();
        match suggest(&name.to_lowercase(), &known) {
            Some(near) => self.findings.problem(
                "config-key-unknown",
                format!("{at}gitlab-runner ignores `{name}` {here}; did you mean `{near}`?"),
                format!("rename it to `{near}`, or take it out"),
            ),
            None => self.findings.note(
                "config-key-foreign",
                format!(
                    "{at}gitlab-runner ignores `{name}` {here}, and loses it when it writes the file itself"
                ),
                "keep such notes somewhere else",
            ),
        }
    }

    fn at(&self, item: &Item, title: &str) -> String {
        let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
        format!("{}{title}", place(self.toml, item))
    }
}

/// For people: `runners[0] "name"`.
fn entry(index: usize, table: &dyn TableLike) -> String {
    crate::runner_config::Runner { index, table }.title()
}

fn header(section: &str) -> String {
    match section {
        GLOBAL => "at the top, before any header".to_owned(),
        "runners" => "under [[runners]]".to_owned(),
        section => format!("under [{section}]"),
    }
}

/// What is wanted where a value is of another type.
fn wrong_type(wanted: Type, item: &Item) -> Option<&'static str> {
    let value = item.as_value();
    let is_list = || {
        value
            .and_then(toml_edit::Value::as_array)
            .is_some_and(|list| list.iter().all(toml_edit::Value::is_str))
    };
    let (fits, words) = match wanted {
        Type::String => (item.is_str(), "a string"),
        Type::Bool => (item.is_bool(), "true or false"),
        Type::Int => (item.is_integer(), "a whole number"),
        Type::Float => (item.is_float() || item.is_integer(), "a number"),
        Type::List => (is_list(), "a list of strings"),
        Type::Strings => (item.is_str() || is_list(), "a string or a list of strings"),
        Type::Duration => (item.is_str() || item.is_integer(), "a time span like \"1h\""),
        Type::Map | Type::Table => (item.is_table_like(), "a table"),
        Type::Tables => {
            let empty = value.and_then(toml_edit::Value::as_array).is_some_and(toml_edit::Array::is_empty);
            (empty || tables(item).is_some(), "a list of tables")
        }
        Type::Other => (true, ""),
    };
    (!fits).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_held_as_gitlab_runner_holds_them() {
        let text = "a = \"x\"\nb = 1\nc = true\nd = [\"x\"]\ne = [1]\nf = { g = 1 }\nh = []\n[[i]]\n";
        let toml = Toml::parse(text.as_bytes()).unwrap();
        let fits = |kind: Type| -> String {
            let keys = ["a", "b", "c", "d", "e", "f", "h", "i"];
            keys.into_iter().filter(|key| wrong_type(kind, &toml.root()[key]).is_none()).collect()
        };
        assert_eq!(fits(Type::String), "a");
        assert_eq!(fits(Type::Int), "b");
        assert_eq!(fits(Type::Bool), "c");
        assert_eq!(fits(Type::List), "dh");
        assert_eq!(fits(Type::Strings), "adh");
        assert_eq!(fits(Type::Duration), "ab");
        assert_eq!(fits(Type::Map), "f");
        assert_eq!(fits(Type::Tables), "hi");
        assert_eq!(fits(Type::Other), "abcdefhi");
    }
}
