//! The way back for single values of a `config.toml` that was rewritten since: the tokens in it are new,
//! and the old bytes would lose them.
//!
//! Shows of the file only the values that a profile named, and the names of keys.

mod changes;
mod document;
mod services;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::change::ValueChange;
use crate::journal::values::{self, Value};
use crate::runner_config::RUNNERS;
use crate::text::toml_patch::{Step, Toml, dotted};
use changes::Changes;
use document::{Runner, Twins};
use services::{Deed, Services, below};

/// What one run changed, and the bytes of the document before it.
pub(super) struct RunValues<'a> {
    pub(super) values: &'a [Value],
    pub(super) before: Vec<u8>,
}

/// A document with the values put back.
#[derive(Default)]
pub(super) struct PutBack {
    pub(super) text: String,
    pub(super) shown: Vec<ValueChange>,
    /// Runners that are no longer there.
    pub(super) gone: Vec<String>,
}

/// Put the values back, the newest layer first.
///
/// # Errors
/// When one of them is no longer what was set: a line for each value, none with anything else of the file.
pub(super) fn put_back(live: &[u8], layers: &[RunValues<'_>]) -> Result<PutBack, Vec<String>> {
    Documents::of(live, layers)?.put_back()
}

/// True for bytes that are a TOML document.
pub(super) fn is_document(bytes: &[u8]) -> bool {
    Toml::parse(bytes).is_ok()
}

/// What a report shows of the way from one document to another that is its former bytes.
pub(super) fn shown(live: &[u8], layers: &[RunValues<'_>]) -> Vec<ValueChange> {
    put_back(live, layers).map(|done| done.shown).unwrap_or_default()
}

/// What stands in the way where a run changed more than that.
pub(super) const OTHER: &str = "its bytes are others, and what runner-prep changed were not single values";

fn other() -> Vec<String> {
    vec![OTHER.to_owned()]
}

/// What was done to each runner, by its number in the live document; and outside of all.
type ByRunner<'a> = BTreeMap<Option<usize>, Vec<Deed<'a>>>;

/// The live document, and each layer with the document before it.
struct Documents<'a> {
    live: Toml,
    layers: Vec<(&'a [Value], Toml)>,
}

impl<'a> Documents<'a> {
    fn of(live: &[u8], layers: &'a [RunValues<'a>]) -> Result<Self, Vec<String>> {
        let live = Toml::parse(live).map_err(|error| vec![format!("it can't be read: {error}")])?;
        let layer = |layer: &'a RunValues<'a>| Some((layer.values, Toml::parse(&layer.before).ok()?));
        let layers = layers.iter().map(layer).collect::<Option<_>>().ok_or_else(other)?;
        Ok(Self { live, layers })
    }

    fn put_back(&self) -> Result<PutBack, Vec<String>> {
        let (deeds, gone) = self.deeds()?;
        let (mut lines, mut refused, mut edits) = (Vec::new(), false, Vec::new());
        let mut done = PutBack { gone, ..PutBack::default() };
        for (index, deeds) in &deeds {
            let runner = Runner::of(&self.live, *index).ok_or_else(other)?;
            let mut change = Changes::of(&runner, deeds);
            done.shown.append(&mut change.shown);
            lines.append(&mut change.lines);
            edits.append(&mut change.edits);
            refused |= change.refused;
        }
        if refused {
            lines.extend(self.other_keys());
            return Err(lines);
        }
        done.text = self.live.patch(&edits).map_err(|error| vec![error.to_string()])?.text;
        Ok(done)
    }

    /// What was done to each runner that is still there, by its number in the live document; and those that are not.
    fn deeds(&self) -> Result<(ByRunner<'_>, Vec<String>), Vec<String>> {
        let mut twins = Twins::default();
        for index in 0..document::count(&self.live) {
            twins.add(Runner::of(&self.live, Some(index)).ok_or_else(other)?.known());
        }
        let mut found = ByRunner::new();
        let mut all_services: HashMap<usize, Services> = HashMap::new();
        let (mut gone, mut named) = (Vec::new(), HashSet::new());
        for (values, before) in &self.layers {
            let mut by_runner = by_runner(values).ok_or_else(other)?;
            if let Some(values) = by_runner.remove(&None) {
                let top = Runner::of(before, None).ok_or_else(other)?;
                let deeds = values.into_iter().map(|value| services::deed(&top, value, &HashMap::new()));
                found.entry(None).or_default().extend(deeds);
            }
            for index in 0..document::count(before) {
                let Some(values) = by_runner.remove(&Some(index)) else { continue };
                let runner = Runner::of(before, Some(index)).ok_or_else(other)?;
                match twins.twin(&runner.known()) {
                    Ok(Some(twin)) => {
                        let mut places = HashMap::new();
                        if values.iter().any(|value| services::number(below(value)).is_some()) {
                            let live = Runner::of(&self.live, Some(twin)).ok_or_else(other)?;
                            let services = all_services.entry(twin).or_insert_with(|| Services::of(&live));
                            places = services.places(&runner, &values);
                        }
                        let deeds = values.into_iter().map(|value| services::deed(&runner, value, &places));
                        found.entry(Some(twin)).or_default().extend(deeds);
                    }
                    Ok(None) => {
                        if named.insert(runner.title()) {
                            gone.push(runner.title());
                        }
                    }
                    Err(()) => {
                        let line =
                            format!("{}: several runners could be the one that was changed", runner.title());
                        return Err(vec![line]);
                    }
                }
            }
            if !by_runner.is_empty() {
                return Err(other());
            }
        }
        Ok((found, gone))
    }

    /// The names of other keys that are not as the newest run found them.
    fn other_keys(&self) -> Option<String> {
        const MOST: usize = 8;
        let (_, before) = self.layers.first()?;
        let difference = values::compare(before, &self.live);
        let ours: HashSet<Vec<Step>> =
            self.layers.iter().flat_map(|(values, _)| *values).flat_map(Value::paths).collect();
        // A list that got longer differs as a whole.
        let is_ours = |path: &[Step]| ours.iter().any(|known| known.starts_with(path));
        let paths = difference.values.into_iter().map(|value| value.path).chain(difference.others);
        let mut names: Vec<String> = paths.filter(|path| !is_ours(path)).map(|path| dotted(&path)).collect();
        names.dedup();
        let more = if names.len() > MOST { ", …" } else { "" };
        names.truncate(MOST);
        (!names.is_empty()).then(|| format!("also changed since: {}{more}", names.join(", ")))
    }
}

/// The values by the number of their runner, those outside of all without one; `None` when one is the list itself.
fn by_runner(values: &[Value]) -> Option<HashMap<Option<usize>, Vec<&Value>>> {
    let mut found: HashMap<Option<usize>, Vec<&Value>> = HashMap::new();
    for value in values {
        match value.path.as_slice() {
            [Step::Key(list), Step::Index(index), _, ..] if list == RUNNERS => {
                for index in std::iter::once(index).chain(&value.also) {
                    found.entry(Some(*index)).or_default().push(value);
                }
            }
            [Step::Key(key), ..] if key != RUNNERS => found.entry(None).or_default().push(value),
            _ => return None,
        }
    }
    Some(found)
}
