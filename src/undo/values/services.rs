//! The services of a runner: tables of a list, which may have other places by now.
//!
//! As in a plan, a service is known by the host names that jobs reach it by.

use std::collections::HashMap;

use super::runner_index::LiveRunner;
use crate::runner_config::edits::{EditSet, FormerService, TO_SERVICES};
use crate::text::toml_patch::Step;

/// The host names that the services of one runner have in the live document, and had in the runs seen so far.
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
