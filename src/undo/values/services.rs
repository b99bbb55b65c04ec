//! The services of a runner: tables of a list, which may have other places by now.
//!
//! As in a plan, a service is known by the host names that jobs reach it by.

use std::collections::HashMap;

use super::document::{Runner, key};
use crate::journal::values::Value;
use crate::runner_config::{RUNNERS, host_names};
use crate::text::toml_patch::{Scalar, Step, View};

/// One value of a layer that was changed in a runner.
pub(super) struct Deed<'a> {
    pub(super) value: &'a Value,
    /// The way to it from its runner in the live document.
    pub(super) path: Vec<Step>,
    /// Before that, nothing was at its path.
    pub(super) made: bool,
    /// Before that, the tables on its path had no header of their own and no key; those outside first.
    pub(super) made_tables: Vec<bool>,
    /// Before that, its service was not there.
    pub(super) made_service: bool,
    /// The runner had no list of services before.
    pub(super) made_services: bool,
}

/// The way to a value from its runner; from the top where it is outside of all.
pub(super) fn below(value: &Value) -> &[Step] {
    match value.path.as_slice() {
        [Step::Key(list), Step::Index(_), below @ ..] if list == RUNNERS => below,
        path => path,
    }
}

/// The keys from a runner to its services.
pub(super) const KEYS: [&str; 2] = ["docker", "services"];

/// The number of the service that a path, from its runner, is in.
pub(super) fn number(path: &[Step]) -> Option<usize> {
    match path {
        [Step::Key(docker), Step::Key(services), Step::Index(index), ..] if [docker, services] == KEYS => {
            Some(*index)
        }
        _ => None,
    }
}

/// The way from a runner to a service.
pub(super) fn path(index: usize) -> Vec<Step> {
    [KEYS[0].into(), KEYS[1].into(), Step::Index(index)].to_vec()
}

/// The host names that the services of one runner have in the live document, and had in the layers seen so far.
/// Those behind the last live one are gone.
pub(super) struct Services(Vec<Vec<String>>);

impl Services {
    pub(super) fn of(live: &Runner<'_>) -> Self {
        let list = live.at(&KEYS.map(Step::from));
        Self(list.children().unwrap_or_default().into_iter().map(|service| names(service, &[])).collect())
    }

    /// Where the services that a layer changed stand now, by their numbers in it. `before` is its runner.
    pub(super) fn places(&mut self, before: &Runner<'_>, values: &[&Value]) -> HashMap<usize, usize> {
        let mut numbers: Vec<usize> = values.iter().filter_map(|value| number(below(value))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut places = HashMap::new();
        for index in numbers {
            let old = before.at(&path(index));
            let changed: Vec<&Value> =
                values.iter().copied().filter(|value| number(below(value)) == Some(index)).collect();
            let new = names(old, &changed);
            let is_it = |(place, known): &(usize, &Vec<String>)| {
                !places.values().any(|taken| taken == place) && known.iter().any(|name| new.contains(name))
            };
            let found = self.0.iter().enumerate().find(is_it).map(|(place, _)| place);
            let place = found.unwrap_or(self.0.len());
            if place == self.0.len() {
                self.0.push(new);
            }
            // An older layer left it with the names that this one found.
            if let Some(known) = self.0.get_mut(place) {
                known.extend(names(old, &[]));
            }
            places.insert(index, place);
        }
        places
    }
}

/// The host names of a service, with the values that a run gave it; nothing has none.
fn names(service: View<'_>, values: &[&Value]) -> Vec<String> {
    let text = |name: &str| {
        let set = values.iter().find(|value| below(value).last() == Some(&Step::from(name)));
        match set.map_or_else(|| key(service, name), |value| value.after.clone()) {
            Some(Scalar::String(text)) => text,
            _ => String::new(),
        }
    };
    let name = text("name");
    if name.is_empty() { Vec::new() } else { host_names(&name, &text("alias")) }
}

/// What was done to a value of a runner, with its path in the live document.
pub(super) fn deed<'a>(before: &Runner<'_>, value: &'a Value, places: &HashMap<usize, usize>) -> Deed<'a> {
    let mut live = below(value).to_vec();
    let is_nothing = |path: &[Step]| matches!(before.at(path), View::Nothing);
    let service = number(&live);
    let tables = if service.is_some() { 1 } else { list_of(&live).len() - 1 };
    if let (Some(step), Some(place)) =
        (live.get_mut(KEYS.len()), service.and_then(|index| places.get(&index)))
    {
        *step = Step::Index(*place);
    }
    Deed {
        value,
        made: is_nothing(list_of(below(value))),
        made_tables: (1..=tables).map(|depth| before.lacks_table(&below(value)[..depth])).collect(),
        made_service: service.is_some_and(|index| is_nothing(&path(index))),
        made_services: is_nothing(&KEYS.map(Step::from)),
        path: live,
    }
}

/// The list that a path goes into, where it is that of a word; else the path.
pub(super) fn list_of(path: &[Step]) -> &[Step] {
    match path {
        [list @ .., Step::Index(_)] => list,
        path => path,
    }
}
