//! The way back for single values of a `config.toml` that was rewritten since: the tokens in it are new,
//! and the old bytes would lose them.
//!
//! Shows of the file only the values that a profile named, and the names of keys.

mod changes;
mod runner_index;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::change::ValueChange;
use crate::runner_config::edits::{self, KnownRunner, RecordedEdit, RecordedEdits};
use crate::text::position::TextError;
use crate::text::toml_patch::{Difference, Patched, Step, Toml, View, dotted};
use changes::Changes;
use runner_index::{LiveEdit, LiveRunner, RunnerIndex, Services};

/// A document with the values put back.
pub(super) struct PutBack {
    pub(super) text: String,
    pub(super) shown: Vec<ValueChange>,
    /// Runners that are no longer there.
    pub(super) gone: Vec<String>,
}

/// What stands in the way where a run changed more than that.
pub(super) const OTHER: &str = "its bytes are others, and what runner-prep changed were not single values";

fn other() -> Vec<String> {
    vec![OTHER.to_owned()]
}

/// The document that was read or made last: it may be long, and is looked at several times.
#[derive(Debug, Default)]
pub struct Documents(RefCell<Option<Rc<Toml>>>);

impl Documents {
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Rc<Toml>, TextError> {
        let known = self.0.take().filter(|known| known.is(bytes));
        let toml = known.map_or_else(|| Toml::parse(bytes).map(Rc::new), Ok)?;
        self.0.replace(Some(Rc::clone(&toml)));
        Ok(toml)
    }
}

/// What was done to each runner, by its number in the live document; and outside of all.
type ByRunner<'a> = BTreeMap<Option<usize>, Vec<LiveEdit<'a>>>;

/// A live document, and what runs did, the newest first.
pub(super) struct Reversal<'a> {
    documents: &'a Documents,
    live: Rc<Toml>,
    runs: &'a [RecordedEdits],
}

impl<'a> Reversal<'a> {
    /// # Errors
    /// When the document can't be read.
    pub(super) fn of(
        live: &[u8],
        runs: &'a [RecordedEdits],
        documents: &'a Documents,
    ) -> Result<Self, Vec<String>> {
        let live = documents.read(live).map_err(|error| vec![format!("it can't be read: {error}")])?;
        Ok(Self { documents, live, runs })
    }

    /// Put the values back. `former` is the document before the newest run.
    ///
    /// # Errors
    /// When one of them is no longer what was set: a line for each value, none with anything else of the file.
    pub(super) fn put_back(&self, former: impl FnOnce() -> Option<Toml>) -> Result<PutBack, Vec<String>> {
        let (found, gone) = self.find()?;
        let Changes { edits, shown, refused, .. } = self.hold(&found, false);
        if refused {
            // What is as it was set is of interest only now.
            let mut lines = self.hold(&found, true).lines;
            lines.extend(former().and_then(|former| self.other_keys(&former)));
            return Err(lines);
        }
        let done = self.live.patch_and_read(&edits).map_err(|error| vec![error.to_string()])?;
        let (Patched { text }, after) = done;
        if let Some(after) = after {
            self.documents.0.replace(Some(Rc::new(after)));
        }
        Ok(PutBack { text, shown, gone })
    }

    /// What a report shows of the way to the former bytes.
    pub(super) fn shown(&self) -> Vec<ValueChange> {
        self.find().map(|(found, _)| self.hold(&found, false).shown).unwrap_or_default()
    }

    /// Hold the live values against what was made of them.
    fn hold(&self, found: &ByRunner<'_>, says_all: bool) -> Changes {
        let (root, runners) = (View::Table(self.live.root()), edits::runners(&self.live));
        let mut all = Changes { says_all, ..Changes::default() };
        for (index, edits) in found {
            let view = index.map_or(root, |index| runners[index]);
            all.hold(&LiveRunner { index: *index, view }, edits);
        }
        all
    }

    /// What was done to each runner that is still there, by its number in the live document; and those that are not.
    fn find(&self) -> Result<(ByRunner<'a>, Vec<String>), Vec<String>> {
        let runners = edits::runners(&self.live);
        if !runners.iter().all(|runner| matches!(runner, View::Table(_))) {
            return Err(other());
        }
        let mut found = ByRunner::new();
        let mut all_services: HashMap<usize, Services> = HashMap::new();
        let (mut gone, mut named) = (Vec::new(), HashSet::new());
        for run in self.runs {
            let known = |(index, view): (usize, &View<'_>)| KnownRunner::of(index, *view, &run.salt);
            let known: Vec<KnownRunner> = runners.iter().enumerate().map(known).collect();
            let runner_index = RunnerIndex::of(&known);
            for of in &run.runners {
                let done = run.done.get(of.done).ok_or_else(other)?;
                let (mut twin, mut places) = (None, HashMap::new());
                if let Some(old) = &of.runner {
                    twin = runner_index.twin(old).map_err(|()| {
                        vec![format!("{}: several runners could be the one that was changed", old.title())]
                    })?;
                    let Some(twin) = twin else {
                        if named.insert(old.title()) {
                            gone.push(old.title());
                        }
                        continue;
                    };
                    if !done.services.is_empty() {
                        let live = LiveRunner { index: Some(twin), view: runners[twin] };
                        places = all_services.entry(twin).or_insert_with(|| Services::of(&live)).places(done);
                    }
                }
                let live = |edit: &'a RecordedEdit| {
                    let mut path = Cow::Borrowed(edit.path.as_slice());
                    let place = edits::service(&path).and_then(|index| places.get(&index));
                    if let Some(place) = place {
                        path.to_mut()[edits::TO_SERVICES.len()] = Step::Index(*place);
                    }
                    LiveEdit { edit, path }
                };
                found.entry(twin).or_default().extend(done.values.iter().map(live));
            }
        }
        Ok((found, gone))
    }

    /// The names of other keys that are not as the newest run found them.
    fn other_keys(&self, former: &Toml) -> Option<String> {
        const MOST: usize = 8;
        let difference = Difference::between(former, &self.live);
        let mut ours = BTreeSet::<Vec<Step>>::new();
        for run in self.runs {
            for of in &run.runners {
                let runner =
                    LiveRunner { index: of.runner.as_ref().map(|runner| runner.index), view: View::Nothing };
                for edit in run.done.get(of.done).into_iter().flat_map(|done| &done.values) {
                    ours.insert(runner.path(&edit.path));
                }
            }
        }
        // A list that got longer differs as a whole.
        let is_ours =
            |path: &Vec<Step>| ours.range(path.clone()..).next().is_some_and(|known| known.starts_with(path));
        let paths = difference.values.into_iter().chain(difference.others);
        let mut names: Vec<String> = paths.filter(|path| !is_ours(path)).map(|path| dotted(&path)).collect();
        names.dedup();
        let more = if names.len() > MOST { ", …" } else { "" };
        names.truncate(MOST);
        (!names.is_empty()).then(|| format!("also changed since: {}{more}", names.join(", ")))
    }
}
