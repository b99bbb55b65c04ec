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
use crate::text::toml_patch::{Parts, Step, dotted};
use changes::Changes;
use document::{Document, Twins};
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

/// Why they can't be.
enum Stop {
    /// A document can't be taken runner by runner.
    Odd,
    /// For the reasons in these lines.
    Refused(Vec<String>),
}

/// Put the values back, the newest layer first.
///
/// # Errors
/// When one of them is no longer what was set: a line for each value, none with anything else of the file.
pub(super) fn put_back(live: &[u8], layers: &[RunValues<'_>]) -> Result<PutBack, Vec<String>> {
    match Documents::blocks(live, layers).and_then(|documents| documents.put_back(true)) {
        Ok(done) => Ok(done),
        // Found again, and explained, on the whole documents.
        Err(_) => Documents::whole(live, layers)?.put_back(true).map_err(Stop::lines),
    }
}

/// True for bytes that are a TOML document.
pub(super) fn is_document(bytes: &[u8]) -> bool {
    Parts::is_document(bytes, RUNNERS)
}

/// What a report shows of the way from one document to another that is its former bytes.
pub(super) fn shown(live: &[u8], layers: &[RunValues<'_>]) -> Vec<ValueChange> {
    let mut found = Documents::blocks(live, layers).and_then(|documents| documents.put_back(false));
    if let Err(Stop::Odd) = found {
        let whole = Documents::whole(live, layers).map_err(Stop::Refused);
        found = whole.and_then(|documents| documents.put_back(false));
    }
    found.map(|done| done.shown).unwrap_or_default()
}

impl Stop {
    fn lines(self) -> Vec<String> {
        match self {
            Self::Odd => vec![OTHER.to_owned()],
            Self::Refused(lines) => lines,
        }
    }
}

/// What stands in the way where a run changed more than that.
pub(super) const OTHER: &str = "its bytes are others, and what runner-prep changed were not single values";

/// What was done to each runner, by its number in the live document; and outside of all.
type ByRunner<'a> = BTreeMap<Option<usize>, Vec<Deed<'a>>>;

/// The live document, and each layer with the document before it.
struct Documents<'a> {
    live: Document<'a>,
    layers: Vec<(&'a [Value], Document<'a>)>,
}

impl<'a> Documents<'a> {
    fn blocks(live: &'a [u8], layers: &'a [RunValues<'a>]) -> Result<Self, Stop> {
        let layer = |layer: &'a RunValues<'a>| Some((layer.values, Document::blocks(&layer.before)?));
        let layers = layers.iter().map(layer).collect::<Option<_>>().ok_or(Stop::Odd)?;
        Ok(Self { live: Document::blocks(live).ok_or(Stop::Odd)?, layers })
    }

    fn whole(live: &'a [u8], layers: &'a [RunValues<'a>]) -> Result<Self, Vec<String>> {
        let live = Document::whole(live).map_err(|error| vec![format!("it can't be read: {error}")])?;
        let layer = |layer: &'a RunValues<'a>| Some((layer.values, Document::whole(&layer.before).ok()?));
        let layers = layers.iter().map(layer).collect::<Option<_>>();
        Ok(Self { live, layers: layers.ok_or_else(|| vec![OTHER.to_owned()])? })
    }

    /// The values put back; without the text where it is not to be written.
    fn put_back(&self, write: bool) -> Result<PutBack, Stop> {
        let (deeds, gone) = self.deeds()?;
        let mut lines = Vec::new();
        let mut refused = false;
        let mut done = PutBack { gone, ..PutBack::default() };
        let mut writer = if write { Some(self.live.writer()) } else { None };
        for (index, deeds) in &deeds {
            let runner = self.live.runner(*index).ok_or(Stop::Odd)?;
            let mut change = Changes::of(&runner, deeds);
            done.shown.append(&mut change.shown);
            lines.append(&mut change.lines);
            refused |= change.refused;
            if let Some(writer) = &mut writer {
                writer.patch(&runner, change.edits).ok_or(Stop::Odd)?;
            }
        }
        if refused {
            lines.extend(self.other_keys());
            return Err(Stop::Refused(lines));
        }
        if let Some(writer) = writer {
            done.text =
                writer.finish().map_err(|line| line.map_or(Stop::Odd, |line| Stop::Refused(vec![line])))?;
        }
        Ok(done)
    }

    /// What was done to each runner that is still there, by its number in the live document; and those that are not.
    fn deeds(&self) -> Result<(ByRunner<'_>, Vec<String>), Stop> {
        let mut twins = Twins::default();
        for index in 0..self.live.count() {
            twins.add(self.live.runner(Some(index)).ok_or(Stop::Odd)?.known());
        }
        let mut found = ByRunner::new();
        let mut all_services: HashMap<usize, Services> = HashMap::new();
        let (mut gone, mut named) = (Vec::new(), HashSet::new());
        for (values, before) in &self.layers {
            let mut by_runner = by_runner(values).ok_or(Stop::Odd)?;
            if let Some(values) = by_runner.remove(&None) {
                let top = before.runner(None).ok_or(Stop::Odd)?;
                let deeds = values.into_iter().map(|value| services::deed(&top, value, &HashMap::new()));
                found.entry(None).or_default().extend(deeds);
            }
            for index in 0..before.count() {
                // Also those that were not changed: one that can't be taken alone means that none can.
                let runner = before.runner(Some(index)).ok_or(Stop::Odd)?;
                let Some(values) = by_runner.remove(&Some(index)) else { continue };
                match twins.twin(&runner.known()) {
                    Ok(Some(twin)) => {
                        let mut places = HashMap::new();
                        if values.iter().any(|value| services::number(below(value)).is_some()) {
                            let live = self.live.runner(Some(twin)).ok_or(Stop::Odd)?;
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
                        return Err(Stop::Refused(vec![line]));
                    }
                }
            }
            if !by_runner.is_empty() {
                return Err(Stop::Odd);
            }
        }
        Ok((found, gone))
    }

    /// The names of other keys that are not as the newest run found them.
    fn other_keys(&self) -> Option<String> {
        const MOST: usize = 8;
        let (Document::Whole(live), Some((_, Document::Whole(before)))) = (&self.live, self.layers.first())
        else {
            return None;
        };
        let difference = values::compare(before, live);
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
