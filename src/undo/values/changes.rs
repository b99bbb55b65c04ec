//! The values of one runner, held against what the runs made of them.

use std::collections::BTreeMap;

use super::document::Runner;
use super::services::{self, Deed};
use crate::change::ValueChange;
use crate::runner_config::identity;
use crate::text::toml_patch::{Action, Edit, Scalar, Step, View, dotted};

/// One value through all layers: its states from the newest to the oldest. The last one is wanted.
struct ValueHistory {
    states: Vec<Option<Scalar>>,
}

impl ValueHistory {
    fn target(&self) -> Option<&Scalar> {
        self.states.last().and_then(Option::as_ref)
    }

    fn newest(&self) -> Option<&Scalar> {
        self.states.first().and_then(Option::as_ref)
    }
}

/// One list of which elements are ours.
#[derive(Default)]
struct List {
    histories: Vec<ValueHistory>,
    /// The whole list was not there before the oldest layer.
    made: bool,
}

/// One list that is ours as a whole, by the places of the words that were changed.
#[derive(Default)]
struct Words {
    histories: BTreeMap<usize, ValueHistory>,
    /// It was not there before the oldest layer.
    made: bool,
}

/// What is to be changed in one runner.
pub(super) struct Changes<'a> {
    runner: &'a Runner<'a>,
    pub(super) edits: Vec<Edit>,
    pub(super) shown: Vec<ValueChange>,
    pub(super) lines: Vec<String>,
    pub(super) refused: bool,
}

impl<'a> Changes<'a> {
    /// `deeds` are the values of this runner that the runs changed, those of the newest run first.
    pub(super) fn of(runner: &'a Runner<'a>, deeds: &[Deed<'_>]) -> Self {
        let mut change =
            Self { runner, edits: Vec::new(), shown: Vec::new(), lines: Vec::new(), refused: false };
        let mut services = BTreeMap::<usize, Vec<&Deed<'_>>>::new();
        let mut others = Vec::new();
        for deed in deeds {
            match services::number(&deed.path) {
                Some(index) => services.entry(index).or_default().push(deed),
                None => others.push(deed),
            }
        }
        change.values(&others);
        let first = change.edits.len();
        for (index, deeds) in services {
            change.service(index, &deeds);
        }
        let made = deeds.iter().rfind(|deed| services::number(&deed.path).is_some());
        if made.is_some_and(|deed| deed.made_services) {
            change.inline_services(first);
        }
        change.tables(deeds);
        change
    }

    /// A table that only our values brought into being goes with the last of them.
    fn tables(&mut self, deeds: &[Deed<'_>]) {
        let mut made = BTreeMap::new();
        // What the oldest run found counts.
        for deed in deeds {
            for (depth, is_made) in (1..).zip(&deed.made_tables) {
                made.insert(&deed.path[..depth], *is_made);
            }
        }
        let made = made.into_iter().filter(|(_, is_made)| *is_made);
        self.edits.extend(made.map(|(path, _)| Edit::new(self.runner.path(path), Action::Unmake)));
    }

    /// A list of inline tables that only our services brought into being goes with the last of them. Other services
    /// have no list without them.
    fn inline_services(&mut self, first: usize) {
        let list = services::KEYS.map(Step::from);
        let View::Value(toml_edit::Value::Array(services)) = self.runner.at(&list) else { return };
        let goes = |index| {
            let path = self.runner.path(&services::path(index));
            self.edits.iter().skip(first).any(|edit| edit.path == path && edit.action == Action::Remove)
        };
        if (0..services.len()).all(goes) {
            self.edits.truncate(first);
            self.edits.push(Edit::new(self.runner.path(&list), Action::Remove));
        }
    }

    fn values(&mut self, deeds: &[&Deed<'_>]) {
        let (mut scalars, mut lists) = (BTreeMap::<_, ValueHistory>::new(), BTreeMap::<_, List>::new());
        let mut words = BTreeMap::<_, Words>::new();
        for Deed { value, path, made, .. } in deeds {
            let path = path.as_slice();
            let (new, old) = (&value.after, &value.before);
            let begun = || ValueHistory { states: vec![new.clone()] };
            if let ([list @ .., Step::Index(index)], false) = (path, value.element) {
                let words = words.entry(list).or_default();
                words.made = *made;
                words.histories.entry(*index).or_insert_with(begun).states.push(old.clone());
                continue;
            }
            if !value.element {
                scalars.entry(path).or_insert_with(begun).states.push(old.clone());
                continue;
            }
            let list = lists.entry(path).or_default();
            list.made = *made;
            // An older layer that made what a newer one found is the same element's history.
            let same = |history: &&mut ValueHistory| new.is_some() && history.states.last() == Some(new);
            match list.histories.iter_mut().find(same) {
                Some(history) => history.states.push(old.clone()),
                None => list.histories.push(ValueHistory { states: vec![new.clone(), old.clone()] }),
            }
        }
        for (path, history) in scalars {
            self.scalar(path, &history);
        }
        for (path, list) in lists {
            self.list(path, &list);
        }
        for (path, words) in words {
            self.words(path, &words);
        }
    }

    /// A service: one that the oldest run made goes as a whole, if it holds nothing of anybody else.
    fn service(&mut self, index: usize, deeds: &[&Deed<'_>]) {
        let path = services::path(index);
        let service = self.runner.at(&path);
        let is_made = deeds.last().is_some_and(|deed| deed.made_service);
        if matches!(service, View::Nothing) {
            if !is_made {
                let name = deeds.iter().find(|deed| deed.path.last() == Some(&Step::from("name")));
                let name = name.map(|deed| format!(" {}", text(deed.value.after.as_ref())));
                let list = self.name(services::list_of(&path));
                self.refuse(format!("{list} no longer has the service{}", name.unwrap_or_default()));
            }
            return;
        }
        let first = self.edits.len();
        self.values(deeds);
        if !is_made {
            return;
        }
        let depth = path.len();
        for key in service.keys().unwrap_or_default() {
            let step = Step::from(key);
            let is_ours = |deed: &&Deed<'_>| deed.path.get(depth) == Some(&step);
            let below = [&path[..], std::slice::from_ref(&step)].concat();
            let name = self.name(&below);
            let inner = self.runner.path(&below);
            let goes = |element: &&str| {
                let removes = Action::RemoveElement((*element).to_owned());
                let is_it = |action: &Action| *action == removes || *action == Action::Remove;
                self.edits.iter().skip(first).any(|edit| edit.path == inner && is_it(&edit.action))
            };
            let elements = self.runner.at(&below).strings().unwrap_or_default();
            if !deeds.iter().any(is_ours) {
                self.refuse(format!("{name} is there, runner-prep did not set it"));
            } else if key == "environment" && !elements.iter().all(goes) {
                self.refuse(format!("{name} has more than runner-prep set"));
            }
        }
        self.edits.truncate(first);
        self.edits.push(Edit::new(self.runner.path(&path), Action::Remove));
    }

    /// A list that a profile gives as a whole: the words of a command.
    fn words(&mut self, path: &[Step], words: &Words) {
        let name = self.name(path);
        let Some(list) = self.runner.at(path).strings() else {
            return self.refuse(format!("{name} is not a list of strings"));
        };
        let mut target: Vec<Option<String>> = list.iter().map(|word| Some((*word).to_owned())).collect();
        for (index, history) in &words.histories {
            let now = list.get(*index).map(|word| Scalar::from(*word));
            let name = self.name(&[path, &[Step::Index(*index)]].concat());
            if !history.states.contains(&now) {
                let [now, set] = [now.as_ref(), history.newest()].map(text);
                self.refuse(format!("{name} is {now}, runner-prep set {set}"));
                continue;
            }
            self.lines.push(format!("{name} still is {}, as it was set", text(now.as_ref())));
            if now.as_ref() != history.target() {
                let place = [path, &[Step::Index(*index)]].concat();
                self.show(&place, false, name, [now.as_ref(), history.target()]);
            }
            target.resize(target.len().max(index + 1), None);
            if let Some(word) = target.get_mut(*index) {
                *word = match history.target() {
                    Some(Scalar::String(word)) => Some(word.clone()),
                    _ => None,
                };
            }
        }
        while target.last() == Some(&None) {
            target.pop();
        }
        let Some(target) = target.into_iter().collect::<Option<Vec<String>>>() else {
            return self.refuse(format!("{name} has more words than runner-prep set"));
        };
        let action = match target.is_empty() && words.made {
            true if matches!(self.runner.at(path), View::Nothing) => return,
            true => Action::Remove,
            false if list == target => return,
            false => Action::SetList(target),
        };
        self.edits.push(Edit::new(self.runner.path(path), action));
    }

    fn scalar(&mut self, path: &[Step], history: &ValueHistory) {
        let name = self.name(path);
        let set = text(history.newest());
        let Some(now) = self.runner.at(path).scalar() else {
            return self.refuse(format!("{name} is not a single value, runner-prep set {set}"));
        };
        if !history.states.contains(&now) {
            return self.refuse(format!("{name} is {}, runner-prep set {set}", text(now.as_ref())));
        }
        self.lines.push(format!("{name} still is {}, as it was set", text(now.as_ref())));
        let action = match history.target() {
            wanted if wanted == now.as_ref() => return,
            Some(wanted) => Action::Set(wanted.clone()),
            None => Action::Remove,
        };
        self.push(path, false, name, [now.as_ref(), history.target()], action);
    }

    fn list(&mut self, path: &[Step], list: &List) {
        let first = self.edits.len();
        for history in &list.histories {
            self.element(path, history);
        }
        // A list that only our elements brought into being goes with the last of them.
        let rest = self.runner.at(path).strings().unwrap_or_default();
        let goes = |element: &&str| {
            let removes = Action::RemoveElement((*element).to_owned());
            self.edits.iter().skip(first).any(|edit| edit.action == removes)
        };
        if list.made && !rest.is_empty() && rest.iter().all(goes) {
            self.edits.truncate(first);
            self.edits.push(Edit::new(self.runner.path(path), Action::Remove));
        }
    }

    fn element(&mut self, path: &[Step], history: &ValueHistory) {
        let name = self.name(path);
        let set = text(history.newest());
        let Some(list) = self.runner.at(path).strings() else {
            return self.refuse(format!("{name} is not a list of strings, runner-prep added {set}"));
        };
        let is_environment = path.last() == Some(&Step::from("environment"));
        let variable = |element: &str| identity("environment", element).to_owned();
        let place = |wanted: &Scalar| match wanted {
            // Of two variables with one name the last one counts, here as in the plan.
            Scalar::String(wanted) if is_environment => {
                let index = list.iter().rposition(|element| variable(element) == variable(wanted))?;
                (list[index] == wanted).then_some(index)
            }
            Scalar::String(wanted) => list.iter().position(|element| element == wanted),
            _ => None,
        };
        let present = history.states.iter().flatten().find_map(|state| Some((state, place(state)?)));
        let absent_is_known = history.states.contains(&None);
        let Some((now, index)) = present else {
            // Where absence is one of the known states, and the wanted one, all is as it was; unless
            // somebody gave the same variable another value.
            let other = history.newest().filter(|_| is_environment).and_then(|set| same_variable(set, &list));
            if let Some(other) = other {
                return self.refuse(format!("{name} has {}, runner-prep set {set}", text(Some(&other))));
            }
            if absent_is_known && history.target().is_none() {
                return;
            }
            return self.refuse(format!("{name} no longer has {set}"));
        };
        self.lines.push(format!("{name} still has {}, as it was set", text(Some(now))));
        let action = match (now, history.target()) {
            (now, Some(wanted)) if now == wanted => return,
            (_, Some(Scalar::String(value))) => Action::Replace { index, value: value.clone() },
            (Scalar::String(value), None) => Action::RemoveElement(value.clone()),
            _ => return self.refuse(format!("{name} has no strings")),
        };
        self.push(path, true, name, [Some(now), history.target()], action);
    }

    fn push(
        &mut self,
        path: &[Step],
        element: bool,
        name: String,
        sides: [Option<&Scalar>; 2],
        action: Action,
    ) {
        self.show(path, element, name, sides);
        self.edits.push(Edit::new(self.runner.path(path), action));
    }

    fn show(&mut self, path: &[Step], element: bool, name: String, sides: [Option<&Scalar>; 2]) {
        let [before, after] = sides.map(|value| value.map(ToString::to_string));
        self.shown.push(ValueChange { name, path: self.runner.path(path), element, before, after });
    }

    fn refuse(&mut self, line: String) {
        self.lines.push(line);
        self.refused = true;
    }

    /// `runners[0] "name": docker.privileged`, as a plan names it.
    fn name(&self, path: &[Step]) -> String {
        match self.runner.title() {
            title if title.is_empty() => dotted(path),
            title => format!("{title}: {}", dotted(path)),
        }
    }
}

/// The element that gives the variable of an environment list its value.
fn same_variable(set: &Scalar, list: &[&str]) -> Option<Scalar> {
    let Scalar::String(set) = set else { return None };
    let variable = identity("environment", set);
    let found = list.iter().rfind(|element| identity("environment", element) == variable);
    found.map(|element| Scalar::String((*element).to_owned()))
}

fn text(value: Option<&Scalar>) -> String {
    value.map_or_else(|| "absent".to_owned(), ToString::to_string)
}
