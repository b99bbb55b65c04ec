//! The types of values as gitlab-runner wants them.

use toml_edit::{Datetime, Item, TableLike};

use super::{Runner, duration, kind, place, tables};
use crate::keys::{self, FLAGS, GLOBAL, Key, Type, Version};
use crate::repair::Repair;
use crate::text::toml_patch::Toml;

/// A value that gitlab-runner refuses.
#[derive(Debug, Clone)]
pub struct RefusedValue {
    /// Stable identifier, in `kebab-case`.
    pub code: &'static str,
    /// What is wrong, without the value.
    pub what: String,
    /// What to do.
    pub repair: Repair,
    /// Its key; `None` for a flag.
    pub(super) key: Option<Key>,
    /// It is a word that a newer version may have, and not a type.
    pub(super) is_word: bool,
}

impl RefusedValue {
    /// True where this version minds: what it does not read it passes over.
    pub fn is_for(&self, version: Option<Version>) -> bool {
        self.key.is_none_or(|key| key.is_read_by(version))
    }

    /// What is to be said beside it where this version is newer than what is known here.
    pub fn doubt(&self, version: Option<Version>) -> Option<String> {
        keys::doubt(version).filter(|_| self.is_word)
    }
}

/// Values whose type makes gitlab-runner refuse the whole file, or pass over the value.
pub(super) fn wrong_types(toml: &Toml, found: &mut Vec<RefusedValue>) {
    wrong_below(toml, toml.root(), GLOBAL, None, found);
}

/// How many jobs run at once.
pub fn slots(toml: &Toml) -> i64 {
    toml.root().get("concurrent").and_then(Item::as_integer).unwrap_or(1)
}

fn wrong_below(
    toml: &Toml,
    table: &dyn TableLike,
    section: &'static str,
    runner: Option<Runner<'_>>,
    found: &mut Vec<RefusedValue>,
) {
    for (name, item) in table.iter() {
        let key = keys::find_ignoring_case(section, name).filter(|_| section != FLAGS);
        let (name, of) = match key {
            Some(Key { name, kind, .. }) => (name, kind),
            // Those of other flags are read as well.
            None if section == FLAGS => (name, Type::Bool),
            None => continue,
        };
        if let Some(wanted) = wrong_type(of, item) {
            let title = runner.map(|runner| format!("{}: ", runner.title())).unwrap_or_default();
            let (at, is) = (place(toml, item), kind(item));
            // In the place of a table of free names its reader passes over everything else.
            let is_free = of == Type::Map || of.of_free_names().is_some() || is_flags(section, name);
            let harm = if is_free && !item.is_table_like() { "ignores it" } else { "refuses the whole file" };
            let what = format!("{at}{title}`{name}` is {is}, gitlab-runner wants {wanted} and {harm}");
            let repair = mend!("give `{}` {}", name, wanted);
            found.push(RefusedValue { code: "config-type", what, repair, key, is_word: false });
            continue;
        }
        let Some(below) = keys::below(section, name) else { continue };
        if let Some(table) = item.as_table_like() {
            wrong_below(toml, table, below, runner, found);
        }
        for (index, table) in tables(item).into_iter().flatten().enumerate() {
            let runner = if below == "runners" { Some(Runner { index, table }) } else { runner };
            wrong_below(toml, table, below, runner, found);
        }
    }
}

fn is_flags(section: &str, name: &str) -> bool {
    FLAGS.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')) == Some(name)
}

/// A time as RFC 3339 writes it, which is narrower than TOML.
fn is_time(text: &str) -> bool {
    let has_all = |time: Datetime| time.date.is_some() && time.time.is_some() && time.offset.is_some();
    text.contains('T') && !text.contains('z') && text.parse().is_ok_and(has_all)
}

/// What is wanted where a value is of another type.
pub fn wrong_type(wanted: Type, item: &Item) -> Option<&'static str> {
    let value = item.as_value();
    let is_list = || {
        value
            .and_then(toml_edit::Value::as_array)
            .is_some_and(|list| list.iter().all(toml_edit::Value::is_str))
    };
    let holds_only = |kind: Type| {
        let fits = |(_, item): (&str, &Item)| wrong_type(kind, item).is_none();
        item.as_table_like().is_some_and(|table| table.iter().all(fits))
    };
    let (fits, words) = match wanted {
        Type::String => (item.is_str(), "a string"),
        Type::Bool => (item.is_bool(), "true or false"),
        Type::Int => (item.is_integer(), "a whole number"),
        Type::Float => (item.is_float() || item.is_integer(), "a number"),
        Type::List => (is_list(), "a list of strings"),
        Type::Strings => (item.is_str() || is_list(), "a string or a list of strings"),
        Type::Duration => {
            let is_span = |text: &str| duration(text).is_some();
            let words = "a time span in hours, minutes and seconds like \"1h30m\"";
            (item.is_integer() || item.as_str().is_some_and(is_span), words)
        }
        Type::Datetime => {
            let is_text = || item.as_str().is_some_and(is_time);
            (item.is_datetime() || is_text(), "a time like 2030-01-31T00:00:00Z")
        }
        Type::Texts => (holds_only(Type::String), "a table of strings"),
        Type::Ints => (holds_only(Type::Int), "a table of whole numbers"),
        Type::Bools => (holds_only(Type::Bool), "a table of true or false"),
        Type::Lists => (holds_only(Type::List), "a table of lists of strings"),
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
        assert_eq!(fits(Type::Duration), "b");
        assert_eq!((fits(Type::Map), fits(Type::Texts)), ("f".to_owned(), String::new()));
        assert_eq!((fits(Type::Ints), fits(Type::Datetime)), ("f".to_owned(), String::new()));
        assert_eq!(fits(Type::Tables), "hi");
        assert_eq!(fits(Type::Other), "abcdefhi");
    }
}
