//! Which single values differ between two TOML documents: what a change of `config.toml` did.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::change::ValueChange;
use crate::text::toml_patch::{Scalar, Step, Toml, View};

/// One value that was changed: a scalar, or an element of a list of strings. Where the same was done to many
/// runners, that is one record: a file of 50,000 of them needs no larger an entry than their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The way from the root of the document; for an element, to its list.
    pub path: Vec<Step>,
    /// Further places in the first list of the path where the same was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<usize>,
    /// It is an element of a list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub element: bool,
    /// What it was; `None` when it was absent.
    pub before: Option<Scalar>,
    /// What it became; `None` when it went away.
    pub after: Option<Scalar>,
}

impl Value {
    /// Every path where this was done.
    pub fn paths(&self) -> impl Iterator<Item = Vec<Step>> + '_ {
        let list = first_index(&self.path);
        std::iter::once(self.path.clone()).chain(self.also.iter().map(move |index| {
            let mut path = self.path.clone();
            if let Some(step) = list.and_then(|at| path.get_mut(at)) {
                *step = Step::Index(*index);
            }
            path
        }))
    }
}

fn first_index(path: &[Step]) -> Option<usize> {
    path.iter().position(|step| matches!(step, Step::Index(_)))
}

/// What was done to a value, without the place in the first list of its path.
#[derive(PartialEq, Eq, Hash)]
struct EditKey<'c> {
    list: &'c [Step],
    below: &'c [Step],
    element: bool,
    before: Option<&'c str>,
    after: Option<&'c str>,
}

/// What a run is about to change, as it is kept; `None` when one of the values was of another type, which
/// can't be put back as a single value.
pub fn record(changes: &[ValueChange]) -> Option<Vec<Value>> {
    let scalar = |text: &Option<String>| match text {
        None => Some(None),
        Some(text) => Scalar::read(text).map(Some),
    };
    let mut values: Vec<Value> = Vec::new();
    let mut known: HashMap<EditKey<'_>, usize> = HashMap::new();
    for ValueChange { path, element, before, after, .. } in changes {
        let (list, rest) = path.split_at(first_index(path).unwrap_or(path.len()));
        let below = rest.get(1..).unwrap_or_default();
        let key =
            EditKey { list, below, element: *element, before: before.as_deref(), after: after.as_deref() };
        let same = known.get(&key).and_then(|place| values.get_mut(*place));
        if let (Some(value), Some(Step::Index(index))) = (same, rest.first()) {
            value.also.push(*index);
            continue;
        }
        known.insert(key, values.len());
        let (before, after) = (scalar(before)?, scalar(after)?);
        values.push(Value { path: path.clone(), also: Vec::new(), element: *element, before, after });
    }
    Some(values)
}

/// What differs between two documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The single values that differ.
    pub values: Vec<Value>,
    /// The places where something else than a single value differs.
    pub others: Vec<Vec<Step>>,
}

/// Compare two documents.
pub fn compare(before: &Toml, after: &Toml) -> Difference {
    let mut search = Search::default();
    search.views(View::Table(before.root()), View::Table(after.root()));
    search.found
}

/// The values that differ; `None` when more than single values does, or one of the texts is not TOML.
#[cfg(test)]
pub(crate) fn changed(before: &[u8], after: &[u8]) -> Option<Vec<Value>> {
    let difference = compare(&Toml::parse(before).ok()?, &Toml::parse(after).ok()?);
    difference.others.is_empty().then_some(difference.values)
}

#[derive(Default)]
struct Search {
    path: Vec<Step>,
    found: Difference,
}

impl Search {
    fn below(&mut self, step: Step, before: View<'_>, after: View<'_>) {
        self.path.push(step);
        self.views(before, after);
        self.path.pop();
    }

    fn views(&mut self, before: View<'_>, after: View<'_>) {
        if let (Some(mut keys), Some(new)) = (before.keys(), after.keys()) {
            let known = keys.len();
            keys.extend(new);
            for (index, key) in keys.iter().enumerate() {
                let step = Step::Key((*key).to_owned());
                let below = before.below(&step);
                // A key that both have was seen on the first side.
                if index < known || matches!(below, View::Nothing) {
                    let other = after.below(&step);
                    self.below(step, below, other);
                }
            }
        } else if let (Some(before), Some(after)) = (before.strings(), after.strings()) {
            self.elements(&before, &after);
        } else if let (Some(before), Some(after)) = (before.scalar(), after.scalar()) {
            if before != after {
                self.found.values.push(Value {
                    path: self.path.clone(),
                    also: Vec::new(),
                    element: false,
                    before,
                    after,
                });
            }
        } else if let (Some(before), Some(after)) = (before.children(), after.children()) {
            if before.len() != after.len() {
                self.found.others.push(self.path.clone());
            }
            for (index, (before, after)) in before.into_iter().zip(after).enumerate() {
                self.below(Step::Index(index), before, after);
            }
        } else if !alike(before, after) {
            self.found.others.push(self.path.clone());
        }
    }

    /// Elements keep their places; what is longer has elements of its own at the end.
    fn elements(&mut self, before: &[&str], after: &[&str]) {
        let scalar = |text: Option<&&str>| text.map(|text| Scalar::String((*text).to_owned()));
        for index in 0..before.len().max(after.len()) {
            let (before, after) = (scalar(before.get(index)), scalar(after.get(index)));
            if before != after {
                self.found.values.push(Value {
                    path: self.path.clone(),
                    also: Vec::new(),
                    element: true,
                    before,
                    after,
                });
            }
        }
    }
}

/// Times and fractions, which only people write here.
fn alike(before: View<'_>, after: View<'_>) -> bool {
    match (before, after) {
        (View::Value(before), View::Value(after)) => before.to_string().trim() == after.to_string().trim(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> Option<Vec<String>> {
        let values = changed(before.as_bytes(), after.as_bytes())?;
        Some(values.iter().map(|value| serde_json::to_string(value).unwrap()).collect())
    }

    #[test]
    fn the_values_that_differ_are_found_with_their_places() {
        let before = "a = 1\nt = 1.5\n[[r]]\ntoken = 'x'\nenv = ['A=1', 'B=1']\n[r.d]\ni = 'u'\n[[r]]\n";
        let after = "a = 2 # c\nt = 1.5\n[[r]]\ntoken = \"x\"\nenv = ['A=2', 'B=1', 'C=1']\n[r.d]\ni = 'u'\np = true\n[[r]]\n[r.d]\nv = ['/x']\n";
        assert_eq!(
            shown(before, after).unwrap(),
            [
                r#"{"path":["a"],"before":1,"after":2}"#,
                r#"{"path":["r",0,"env"],"element":true,"before":"A=1","after":"A=2"}"#,
                r#"{"path":["r",0,"env"],"element":true,"before":null,"after":"C=1"}"#,
                r#"{"path":["r",0,"d","p"],"before":null,"after":true}"#,
                r#"{"path":["r",1,"d","v"],"element":true,"before":null,"after":"/x"}"#,
            ]
        );
        assert_eq!(
            shown("r = [{a = 1}]", "r = [{a = 2}]").unwrap(),
            [r#"{"path":["r",0,"a"],"before":1,"after":2}"#]
        );
        assert_eq!(shown(before, before).unwrap(), [""; 0]);
    }

    #[test]
    fn other_differences_are_no_single_values() {
        for (before, after) in [
            ("[[r]]", "[[r]]\n[[r]]"),
            ("a = 1.5", "a = 2.5"),
            ("a = {}", "a = 1"),
            ("a = [1]", "a = [2, 3]"),
            ("a = ", "a = 1"),
        ] {
            assert_eq!(shown(before, after), None, "{before} -> {after}");
        }
    }

    fn change(path: &[Step], element: bool, before: Option<&str>, after: Option<&str>) -> ValueChange {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let (before, after) = (own(before), own(after));
        ValueChange { name: String::new(), path: path.to_vec(), element, before, after }
    }

    #[test]
    fn what_was_done_to_many_runners_is_one_record() {
        let path =
            |index: usize, key: &str| [Step::from("runners"), index.into(), "docker".into(), key.into()];
        let mut changes = Vec::new();
        for index in [0, 2, 5] {
            changes.push(change(&path(index, "privileged"), false, Some("false"), Some("true")));
            changes.push(change(&path(index, "volumes"), true, None, Some("\"/c\"")));
        }
        changes.push(change(&path(6, "privileged"), false, None, Some("true")));
        let values = record(&changes).unwrap();
        let shown: Vec<String> = values.iter().map(|value| serde_json::to_string(value).unwrap()).collect();
        assert_eq!(
            shown,
            [
                r#"{"path":["runners",0,"docker","privileged"],"also":[2,5],"before":false,"after":true}"#,
                r#"{"path":["runners",0,"docker","volumes"],"also":[2,5],"element":true,"before":null,"after":"/c"}"#,
                r#"{"path":["runners",6,"docker","privileged"],"before":null,"after":true}"#,
            ]
        );
        let mut paths: Vec<Vec<Step>> = values.iter().flat_map(Value::paths).collect();
        let mut all: Vec<Vec<Step>> = changes.iter().map(|change| change.path.clone()).collect();
        paths.sort();
        all.sort();
        assert_eq!(paths, all);
    }

    #[test]
    fn a_value_of_another_type_is_not_kept_as_one() {
        assert_eq!(record(&[change(&["a".into()], false, Some("(of another type)"), Some("1"))]), None);
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let text = r#"{"path":["r",0,"0"],"element":true,"before":null,"after":"0"}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.path, [Step::Key("r".into()), Step::Index(0), Step::Key("0".into())]);
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}
