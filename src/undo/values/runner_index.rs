//! The runners of the live document and their services, and which of them are those that a run changed.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::runner_config::edits::{EditSet, FormerService, KnownRunner, RecordedEdit, TO_SERVICES, below};
use crate::runner_config::{RUNNERS, title};
use crate::text::toml_patch::{Scalar, Step, View, dotted};

/// A runner of the live document; without a number it is what stands outside of all.
pub(super) struct LiveRunner<'d> {
    pub(super) index: Option<usize>,
    pub(super) view: View<'d>,
}

impl<'d> LiveRunner<'d> {
    /// What is at a path below it.
    pub(super) fn at(&self, path: &[Step]) -> View<'d> {
        below(self.view, path)
    }

    /// The path from the top of the document.
    pub(super) fn path(&self, below: &[Step]) -> Vec<Step> {
        let list = self.index.map(|index| [Step::from(RUNNERS), Step::Index(index)]);
        list.into_iter().flatten().chain(below.iter().cloned()).collect()
    }

    /// `runners[0] "name": docker.privileged`, as a plan names it.
    pub(super) fn name(&self, path: &[Step]) -> String {
        let Some(index) = self.index else { return dotted(path) };
        let name = self.at(&["name".into()]).scalar().flatten();
        format!("{}: {}", title(index, name.as_ref().and_then(Scalar::text)), dotted(path))
    }
}

/// One value that a run changed, with the way to it from its runner in the live document.
pub(super) struct LiveEdit<'a> {
    pub(super) edit: &'a RecordedEdit,
    pub(super) path: Cow<'a, [Step]>,
}

/// Runners by the words that they are known by.
pub(super) struct RunnerIndex<'k> {
    all: &'k [KnownRunner],
    by_word: [HashMap<&'k Scalar, Vec<usize>>; 3],
}

impl<'k> RunnerIndex<'k> {
    pub(super) fn of(all: &'k [KnownRunner]) -> Self {
        let mut by_word: [HashMap<_, Vec<usize>>; 3] = Default::default();
        for (place, known) in all.iter().enumerate() {
            for (word, by_word) in known.words.iter().zip(&mut by_word) {
                if let Some(word) = word {
                    by_word.entry(word).or_default().push(place);
                }
            }
        }
        Self { all, by_word }
    }

    /// Which runner is the one of old: by its number at its server, by its token, by its name. `None` when it is
    /// gone.
    ///
    /// # Errors
    /// When several could be it.
    pub(super) fn twin(&self, old: &KnownRunner) -> Result<Option<usize>, ()> {
        let is_another = |index: &&usize| self.all.get(**index).is_some_and(|new| old.is_another(new));
        let mut several = false;
        for (word, by_word) in old.words.iter().zip(&self.by_word) {
            let Some(word) = word else { continue };
            let same = by_word.get(word).map(Vec::as_slice).unwrap_or_default();
            let mut fits = same.iter().filter(|index| !is_another(index));
            match (fits.next(), fits.next()) {
                (Some(index), None) => return Ok(Some(*index)),
                (Some(_), Some(_)) => several = true,
                (None, _) => {}
            }
        }
        if several { Err(()) } else { Ok(None) }
    }
}

/// The services of a runner: tables of a list, which may have other places by now. As in a plan, a service is known by the
/// host names that jobs reach it by: those that the services of one runner have in the live document, and had in the runs seen so far.
/// Those behind the last live one are gone.
pub(super) struct Services(Vec<Vec<String>>);

impl Services {
    pub(super) fn of(live: &LiveRunner<'_>) -> Self {
        let list = live.at(&TO_SERVICES.map(Step::from)).children().unwrap_or_default();
        Self(list.into_iter().map(|service| FormerService::of(0, service).names()).collect())
    }

    /// Where the services that a run changed stand now, by their numbers before it.
    pub(super) fn places(&mut self, done: &EditSet) -> HashMap<usize, usize> {
        let mut places = HashMap::new();
        for service in &done.services {
            let new = service.names_after(&done.values);
            let is_it = |(place, known): &(usize, &Vec<String>)| {
                !places.values().any(|taken| taken == place) && known.iter().any(|name| new.contains(name))
            };
            let found = self.0.iter().enumerate().find(is_it).map(|(place, _)| place);
            let place = found.unwrap_or(self.0.len());
            if place == self.0.len() {
                self.0.push(new);
            }
            // An older run left it with the names that this one found.
            if let Some(known) = self.0.get_mut(place) {
                known.extend(service.names());
            }
            places.insert(service.index, place);
        }
        places
    }
}
