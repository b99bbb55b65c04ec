//! What a run does to single values of a `config.toml`, so that it can be taken back in a file that gitlab-runner wrote
//! anew since: each runner by what it is known by, each value by its way from there.
//!
//! Tokens and addresses are in it as salted digests: enough to tell which runner it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{RUNNERS, host_names, title};
use crate::change::ValueChange;
use crate::text::toml_patch::{Scalar, Step, Toml, View};

/// All that one run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedEdits {
    /// Of the digests.
    pub salt: String,
    /// The runners, and what stands outside of all.
    pub runners: Vec<RunnerEdits>,
    /// What was done to them. The same to many of them is there once.
    pub done: Vec<EditSet>,
}

/// What was done to one runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerEdits {
    /// Which one; `None` stands for what is outside of all.
    pub runner: Option<KnownRunner>,
    /// The place in [`RecordedEdits::done`].
    pub done: usize,
}

/// What a runner is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRunner {
    /// Its place in the list, counted from 0.
    pub index: usize,
    /// The digest of its server's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Its number, the digest of its token, its name: the surest first.
    pub words: [Option<Scalar>; 3],
}

/// What was done to the values of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditSet {
    /// Each value.
    pub values: Vec<RecordedEdit>,
    /// The services that they are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<FormerService>,
}

/// What was done to one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedEdit {
    /// The way from the runner, for an element to its list; from the top where it is outside of all.
    pub path: Vec<Step>,
    /// It is an element of a list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub element: bool,
    /// What it was; `None` when it was absent.
    pub before: Option<Scalar>,
    /// What it became; `None` when it went away.
    pub after: Option<Scalar>,
    /// So many steps of the path led to something before.
    pub led: usize,
    /// So many of them led to a table that only headers of tables below it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implicit: Vec<usize>,
}

/// A service before the run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerService {
    /// Its place in the list, counted from 0.
    pub index: usize,
    /// Its name and alias, as far as it had them.
    words: [Option<String>; 2],
}

/// The keys from a runner to its services.
pub const TO_SERVICES: [&str; 2] = ["docker", "services"];

/// The number of the service that a path, from its runner, is in.
pub fn service(path: &[Step]) -> Option<usize> {
    match path {
        [Step::Key(docker), Step::Key(services), Step::Index(index), ..]
            if [docker, services] == TO_SERVICES =>
        {
            Some(*index)
        }
        _ => None,
    }
}

/// The way from a runner to a service.
pub fn service_path(index: usize) -> [Step; 3] {
    [TO_SERVICES[0].into(), TO_SERVICES[1].into(), Step::Index(index)]
}

/// The list that a path goes into, where it is that of a word; else the path.
pub fn list_of(path: &[Step]) -> &[Step] {
    match path {
        [list @ .., Step::Index(_)] => list,
        path => path,
    }
}

fn scalar(view: View<'_>, key: &str) -> Option<Scalar> {
    view.below(&Step::from(key)).scalar().flatten()
}

/// What is at a path below a place.
pub fn below<'t>(view: View<'t>, path: &[Step]) -> View<'t> {
    path.iter().fold(view, View::below)
}

/// The runners of a document, of which each has to be a table.
pub fn runners(toml: &Toml) -> Vec<View<'_>> {
    View::Table(toml.root()).below(&Step::from(RUNNERS)).children().unwrap_or_default()
}

fn digest(salt: &str, text: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(text).finalize();
    let head = digest.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(head))
}

impl KnownRunner {
    /// The runner at a place of a document.
    pub fn of(index: usize, view: View<'_>, salt: &str) -> Self {
        let seal = |key| scalar(view, key).map(|value| digest(salt, &value.to_string()));
        let token = seal("token").map(Scalar::String);
        Self { index, server: seal("url"), words: [scalar(view, "id"), token, scalar(view, "name")] }
    }

    /// Both have a number of a server, and not the same one.
    pub fn is_another(&self, other: &Self) -> bool {
        let numbers = [self, other].map(|known| known.words[0].as_ref().zip(known.server.as_ref()));
        matches!(numbers, [Some(one), Some(two)] if one != two)
    }

    /// `runners[0] "name"`, as a plan names it.
    pub fn title(&self) -> String {
        title(self.index, self.words[2].as_ref().and_then(Scalar::text))
    }
}

impl RecordedEdit {
    /// Nothing was at its path, or at so many steps of it.
    pub fn made(&self, depth: usize) -> bool {
        depth > self.led
    }

    /// For each table on its path, those outside first: no header and no key of its own made it before.
    pub fn made_tables(&self) -> impl Iterator<Item = bool> + '_ {
        let tables =
            if service(&self.path).is_some() { 1 } else { list_of(&self.path).len().saturating_sub(1) };
        (1..=tables).map(|depth| self.made(depth) || self.implicit.contains(&depth))
    }
}

impl FormerService {
    const KEYS: [&str; 2] = ["name", "alias"];

    /// A service of a document.
    pub fn of(index: usize, service: View<'_>) -> Self {
        let text = |key| Some(scalar(service, key)?.text()?.to_owned());
        Self { index, words: Self::KEYS.map(text) }
    }

    /// The host names that jobs reached it by.
    pub fn names(&self) -> Vec<String> {
        let [name, alias] = self.words.each_ref().map(|word| word.as_deref().unwrap_or_default());
        if name.is_empty() { Vec::new() } else { host_names(name, alias) }
    }

    /// The same after these values were set.
    pub fn names_after(&self, values: &[RecordedEdit]) -> Vec<String> {
        let mut after = self.clone();
        for (key, word) in Self::KEYS.iter().zip(&mut after.words) {
            let is_it = |edit: &&RecordedEdit| {
                service(&edit.path) == Some(self.index) && edit.path.last() == Some(&Step::from(*key))
            };
            if let Some(edit) = values.iter().find(is_it) {
                *word = edit.after.as_ref().and_then(Scalar::text).map(str::to_owned);
            }
        }
        after.names()
    }
}

/// A change of a value as others are compared with it: path, whether it is an element, both sides, and of [`RecordedEdit`] `led`
/// and `implicit`.
type Found<'c> = (&'c [Step], bool, [Option<&'c str>; 2], usize, Vec<usize>);

/// `start` is the length of the path to the runner, which is at `here`.
fn found<'c>(change: &'c ValueChange, start: usize, mut here: View<'_>, toml: &Toml) -> Found<'c> {
    let path = &change.path[start..];
    let (mut led, mut implicit) = (0, Vec::new());
    for (depth, step) in (1..).zip(path) {
        here = here.below(step);
        if matches!(here, View::Nothing) {
            break;
        }
        led = depth;
        if matches!(here, View::Table(_)) && toml.is_implicit(&change.path[..start + depth]) {
            implicit.push(depth);
        }
    }
    (path, change.element, [change.before.as_deref(), change.after.as_deref()], led, implicit)
}

fn edit((path, element, sides, led, implicit): &Found<'_>) -> Option<RecordedEdit> {
    let [before, after] = sides.map(|side| side.map(Scalar::read));
    let is_single = before != Some(None) && after != Some(None);
    let (path, implicit) = (path.to_vec(), implicit.clone());
    let (before, after) = (before.flatten(), after.flatten());
    is_single.then_some(RecordedEdit { path, element: *element, before, after, led: *led, implicit })
}

impl RecordedEdits {
    /// What changes of values do to the document that they were planned for. `None` when one of the values was of another
    /// type, or is the list of runners itself: that can't be put back as single values.
    pub fn of(changes: &[ValueChange], toml: &Toml) -> Option<Self> {
        let mut by_runner = BTreeMap::<Option<usize>, Vec<&ValueChange>>::new();
        for change in changes {
            let runner = match change.path.as_slice() {
                [Step::Key(list), Step::Index(index), _, ..] if list == RUNNERS => Some(*index),
                [Step::Key(key), ..] if key != RUNNERS => None,
                _ => return None,
            };
            by_runner.entry(runner).or_default().push(change);
        }
        let runners = runners(toml);
        let mut edits = Self { salt: digest("", toml.text()), ..Self::default() };
        let mut known = HashMap::new();
        for (index, changes) in by_runner {
            let (start, view) = match index {
                Some(index) => (2, *runners.get(index).filter(|runner| matches!(runner, View::Table(_)))?),
                None => (0, View::Table(toml.root())),
            };
            let found: Vec<_> = changes.iter().map(|change| found(change, start, view, toml)).collect();
            let numbers: BTreeSet<usize> = found.iter().filter_map(|found| service(found.0)).collect();
            let of = |index| FormerService::of(index, below(view, &service_path(index)));
            let services: Vec<FormerService> = numbers.into_iter().map(of).collect();
            let (key, next) = ((found, services), edits.done.len());
            let done = known.get(&key).copied().unwrap_or(next);
            if done == next {
                let values = key.0.iter().map(edit).collect::<Option<_>>()?;
                edits.done.push(EditSet { values, services: key.1.clone() });
                known.insert(key, next);
            }
            let runner = index.map(|index| KnownRunner::of(index, view, &edits.salt));
            edits.runners.push(RunnerEdits { runner, done });
        }
        Some(edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &[Step], element: bool, before: Option<&str>, after: Option<&str>) -> ValueChange {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let (before, after) = (own(before), own(after));
        ValueChange { name: String::new(), path: path.to_vec(), element, before, after }
    }

    fn of(changes: &[ValueChange], text: &str) -> Option<RecordedEdits> {
        RecordedEdits::of(changes, &Toml::parse(text.as_bytes()).unwrap())
    }

    /// Seven runners; the last has a list.
    fn document() -> String {
        let runner = |number: usize| {
            format!(
                "[[runners]]\nid = {number}\nurl = 'https://u'\ntoken = 'CANARY-{number}'\n[runners.docker]\n"
            )
        };
        (0..7).map(runner).collect::<String>() + "volumes = ['/a']\n"
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
        changes.push(change(&path(6, "volumes"), true, None, Some("\"/c\"")));
        changes.push(change(&["concurrent".into()], false, None, Some("1")));
        let edits = of(&changes, &document()).unwrap();
        let shown: Vec<String> = edits.done.iter().map(|done| serde_json::to_string(done).unwrap()).collect();
        assert_eq!(
            shown,
            [
                r#"{"values":[{"path":["concurrent"],"before":null,"after":1,"led":0}]}"#,
                r#"{"values":[{"path":["docker","privileged"],"before":false,"after":true,"led":1},{"path":["docker","volumes"],"element":true,"before":null,"after":"/c","led":1}]}"#,
                r#"{"values":[{"path":["docker","privileged"],"before":null,"after":true,"led":1},{"path":["docker","volumes"],"element":true,"before":null,"after":"/c","led":2}]}"#,
            ]
        );
        let of = |of: &RunnerEdits| (of.runner.as_ref().map(|runner| runner.index), of.done);
        let runners: Vec<_> = edits.runners.iter().map(of).collect();
        assert_eq!(runners, [(None, 0), (Some(0), 1), (Some(2), 1), (Some(5), 1), (Some(6), 2)]);
    }

    #[test]
    fn a_runner_is_known_without_its_token() {
        let limit = ["runners".into(), 3.into(), "limit".into()];
        let changes = [change(&limit, false, None, Some("1"))];
        let first = of(&changes, &document()).unwrap();
        let text = serde_json::to_string(&first).unwrap();
        assert!(!text.contains("CANARY") && !text.contains("https"), "{text}");
        assert_eq!(serde_json::from_str::<RecordedEdits>(&text).unwrap(), first);
        // Each file has another salt: nobody sees from outside that two have one token.
        let second = of(&changes, &(document() + "# x\n")).unwrap();
        let known = |edits: &RecordedEdits| edits.runners[0].runner.clone().unwrap();
        assert_eq!(known(&first).words[0], known(&second).words[0]);
        assert!(known(&first).words[1].is_some());
        assert_ne!(known(&first).words[1], known(&second).words[1]);
    }

    #[test]
    fn a_table_that_others_only_imply_is_none_of_its_own() {
        let text = "[[runners]]\n[runners.cache.s3]\n";
        let path = |key: &str| ["runners".into(), 0.into(), "cache".into(), key.into()];
        let edits = of(&[change(&path("Type"), false, None, Some("\"s3\""))], text).unwrap();
        let made = |edits: &RecordedEdits| edits.done[0].values[0].made_tables().collect::<Vec<_>>();
        assert_eq!(made(&edits), [true]);
        assert!(!edits.done[0].values[0].made(1));
        let edits =
            of(&[change(&path("Type"), false, None, Some("\"s3\""))], &text.replace(".s3", "")).unwrap();
        assert_eq!(made(&edits), [false]);
    }

    #[test]
    fn a_value_of_another_type_is_not_kept_as_one() {
        assert_eq!(of(&[change(&["a".into()], false, Some("(of another type)"), Some("1"))], ""), None);
        assert_eq!(of(&[change(&["runners".into()], false, None, Some("1"))], ""), None);
        let beyond = ["runners".into(), 7.into(), "limit".into()];
        assert_eq!(of(&[change(&beyond, false, None, Some("1"))], &document()), None);
    }
}
