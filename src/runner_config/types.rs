//! The types of values as gitlab-runner wants them.

use toml_edit::{Item, TableLike};

use super::{Runner, kind, place, strings, tables};
use crate::keys::{self, GLOBAL, Key, Type};
use crate::repair::Repair;
use crate::text::toml_patch::Toml;

/// Values whose type makes gitlab-runner refuse the whole file: of each what is wrong, without the value, and what to do.
pub fn refused(toml: &Toml) -> Vec<(String, Repair)> {
    let mut found = Vec::new();
    refused_below(toml, toml.root(), GLOBAL, None, &mut found);
    found
}

/// The words for how an image is pulled.
pub const POLICIES: [&str; 3] = ["always", "if-not-present", "never"];

/// The keys that hold them.
pub const POLICY_KEYS: [&str; 2] = ["pull_policy", "allowed_pull_policies"];

/// Policies that gitlab-runner does not have, on which it fails each job: of each what is wrong, and what to do.
pub fn odd_policies(toml: &Toml) -> Vec<(String, Repair)> {
    let mut found = Vec::new();
    let runners = toml.root().get("runners").and_then(tables).unwrap_or_default();
    for (index, table) in runners.into_iter().enumerate() {
        let below = ["docker", "kubernetes"].map(|name| table.get(name).and_then(Item::as_table_like));
        for (section, key) in
            below.into_iter().flatten().flat_map(|below| POLICY_KEYS.map(|key| (below, key)))
        {
            let Some(item) = section.get(key) else { continue };
            let words = strings(item).unwrap_or_else(|| item.as_str().into_iter().collect());
            if words.iter().any(|word| !word.is_empty() && !POLICIES.contains(word)) {
                let (at, title) = (place(toml, item), Runner { index, table }.title());
                found.push((
                    format!(
                        "{at}{title}: `{key}` has a word that is no policy: every job fails with \"unsupported {key} \
                         config\""
                    ),
                    mend!("let `{}` have {} alone", key, POLICIES.join(", ")),
                ));
            }
        }
    }
    found
}

fn refused_below(
    toml: &Toml,
    table: &dyn TableLike,
    section: &'static str,
    runner: Option<Runner<'_>>,
    found: &mut Vec<(String, Repair)>,
) {
    for (name, item) in table.iter() {
        let Some(Key { name, kind: wanted, .. }) = keys::find_ignoring_case(section, name) else { continue };
        if let Some(wanted) = wrong_type(wanted, item) {
            let title = runner.map(|runner| format!("{}: ", runner.title())).unwrap_or_default();
            let (at, is) = (place(toml, item), kind(item));
            let what = format!(
                "{at}{title}`{name}` is {is}, gitlab-runner wants {wanted} and refuses the whole file"
            );
            found.push((what, mend!("give `{}` {}", name, wanted)));
            continue;
        }
        let Some(below) = keys::below(section, name) else { continue };
        if let Some(table) = item.as_table_like() {
            refused_below(toml, table, below, runner, found);
        }
        for (index, table) in tables(item).into_iter().flatten().enumerate() {
            let runner = if below == "runners" { Some(Runner { index, table }) } else { runner };
            refused_below(toml, table, below, runner, found);
        }
    }
}

/// What is wanted where a value is of another type.
pub fn wrong_type(wanted: Type, item: &Item) -> Option<&'static str> {
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
        Type::Texts => {
            let is_text = |(_, item): (&str, &Item)| item.is_str();
            (item.as_table_like().is_some_and(|table| table.iter().all(is_text)), "a table of strings")
        }
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
        assert_eq!((fits(Type::Map), fits(Type::Texts)), ("f".to_owned(), String::new()));
        assert_eq!(fits(Type::Tables), "hi");
        assert_eq!(fits(Type::Other), "abcdefhi");
    }
}
