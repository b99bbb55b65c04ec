//! The values of the runners, held against what the runs made of them.

use std::collections::BTreeMap;

use super::runner_index::{LiveEdit, LiveRunner};
use crate::change::ValueChange;
use crate::runner_config::edits::{TO_SERVICES, list_of, service, service_path};
use crate::runner_config::identity;
use crate::text::toml_patch::{Action, Edit, Scalar, Step, View};

/// One value through all runs: its states from the newest to the oldest. The last one is wanted.
struct ValueHistory<'a> {
    /// Its number, where it is a word.
    place: Option<usize>,
    states: Vec<Option<&'a Scalar>>,
}

impl<'a> ValueHistory<'a> {
    fn target(&self) -> Option<&'a Scalar> {
        self.states.last().copied().flatten()
    }

    fn newest(&self) -> Option<&'a Scalar> {
        self.states.first().copied().flatten()
    }
}

/// What there can be at a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SlotKind {
    Scalar,
    /// A list of which elements are ours.
    List,
    /// A list that is ours as a whole: the words of a command.
    Words,
}

/// All values at one path.
#[derive(Default)]
struct Slot<'a> {
    histories: Vec<ValueHistory<'a>>,
    /// Nothing was there before the oldest run.
    made: bool,
}

/// What is to be changed.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) edits: Vec<Edit>,
    pub(super) shown: Vec<ValueChange>,
    /// Why not; and what is as it was set, where that is asked for.
    pub(super) lines: Vec<String>,
    pub(super) says_all: bool,
    pub(super) refused: bool,
}

impl Changes {
    /// `edits` are the values of a runner that the runs changed, those of the newest run first.
    pub(super) fn hold(&mut self, runner: &LiveRunner<'_>, edits: &[LiveEdit<'_>]) {
        let mut services = BTreeMap::<usize, Vec<&LiveEdit<'_>>>::new();
        let mut others = Vec::new();
        for edit in edits {
            match service(&edit.path) {
                Some(index) => services.entry(index).or_default().push(edit),
                None => others.push(edit),
            }
        }
        self.values(runner, &others);
        let first = self.edits.len();
        for (index, edits) in &services {
            self.service(runner, *index, edits);
        }
        let oldest = edits.iter().rfind(|edit| service(&edit.path).is_some());
        if oldest.is_some_and(|edit| edit.edit.made(TO_SERVICES.len())) {
            self.inline_services(runner, first);
        }
        self.tables(runner, edits);
    }

    /// A table that only our values brought into being goes with the last of them.
    fn tables(&mut self, runner: &LiveRunner<'_>, edits: &[LiveEdit<'_>]) {
        let mut made = BTreeMap::new();
        // What the oldest run found counts.
        for edit in edits {
            for (depth, is_made) in (1..).zip(edit.edit.made_tables()) {
                made.insert(&edit.path[..depth], is_made);
            }
        }
        let made = made.into_iter().filter(|(_, is_made)| *is_made);
        self.edits.extend(made.map(|(path, _)| Edit::new(runner.path(path), Action::Unmake)));
    }

    /// A list of inline tables that only our services brought into being goes with the last of them. Other services
    /// have no list without them.
    fn inline_services(&mut self, runner: &LiveRunner<'_>, first: usize) {
        let list = TO_SERVICES.map(Step::from);
        let View::Value(toml_edit::Value::Array(services)) = runner.at(&list) else { return };
        let goes = |index| {
            let path = runner.path(&service_path(index));
            self.edits.iter().skip(first).any(|edit| edit.path == path && edit.action == Action::Remove)
        };
        if (0..services.len()).all(goes) {
            self.edits.truncate(first);
            self.edits.push(Edit::new(runner.path(&list), Action::Remove));
        }
    }

    fn values(&mut self, runner: &LiveRunner<'_>, edits: &[&LiveEdit<'_>]) {
        let mut slots = BTreeMap::<_, Slot<'_>>::new();
        for LiveEdit { edit, path } in edits {
            let (new, old) = (edit.after.as_ref(), edit.before.as_ref());
            let (kind, path, place) = match &path[..] {
                path if edit.element => (SlotKind::List, path, None),
                [list @ .., Step::Index(word)] => (SlotKind::Words, list, Some(*word)),
                path => (SlotKind::Scalar, path, None),
            };
            let slot = slots.entry((kind, path)).or_default();
            slot.made = edit.made(path.len());
            let is_it = |history: &&mut ValueHistory<'_>| match kind {
                // An older run that made what a newer one found is the same element's history.
                SlotKind::List => new.is_some() && history.target() == new,
                _ => history.place == place,
            };
            match slot.histories.iter_mut().find(is_it) {
                Some(history) => history.states.push(old),
                None => slot.histories.push(ValueHistory { place, states: vec![new, old] }),
            }
        }
        for ((kind, path), mut slot) in slots {
            slot.histories.sort_by_key(|history| history.place);
            match kind {
                SlotKind::Scalar => {
                    slot.histories.iter().for_each(|history| self.scalar(runner, path, history));
                }
                SlotKind::List => self.list(runner, path, &slot),
                SlotKind::Words => self.words(runner, path, &slot),
            }
        }
    }

    /// A service: one that the oldest run made goes as a whole, if it holds nothing of anybody else.
    fn service(&mut self, runner: &LiveRunner<'_>, index: usize, edits: &[&LiveEdit<'_>]) {
        let path = service_path(index);
        let service = runner.at(&path);
        let is_made = edits.last().is_some_and(|edit| edit.edit.made(path.len()));
        if matches!(service, View::Nothing) {
            if !is_made {
                let name = edits.iter().find(|edit| edit.path.last() == Some(&Step::from("name")));
                let name = name.map(|edit| format!(" {}", text(edit.edit.after.as_ref())));
                let list = runner.name(list_of(&path));
                self.refuse(format!("{list} no longer has the service{}", name.unwrap_or_default()));
            }
            return;
        }
        let first = self.edits.len();
        self.values(runner, edits);
        if !is_made {
            return;
        }
        for key in service.keys().unwrap_or_default() {
            let step = Step::from(key);
            let is_ours = |edit: &&LiveEdit<'_>| edit.path.get(path.len()) == Some(&step);
            let below = [&path[..], std::slice::from_ref(&step)].concat();
            let inner = runner.path(&below);
            let goes = |element: &&str| {
                let removes = Action::RemoveElement((*element).to_owned());
                let is_it = |action: &Action| *action == removes || *action == Action::Remove;
                self.edits.iter().skip(first).any(|edit| edit.path == inner && is_it(&edit.action))
            };
            let elements = runner.at(&below).strings().unwrap_or_default();
            if !edits.iter().any(is_ours) {
                self.refuse(format!("{} is there, runner-prep did not set it", runner.name(&below)));
            } else if key == "environment" && !elements.iter().all(goes) {
                self.refuse(format!("{} has more than runner-prep set", runner.name(&below)));
            }
        }
        self.edits.truncate(first);
        self.edits.push(Edit::new(runner.path(&path), Action::Remove));
    }

    fn words(&mut self, runner: &LiveRunner<'_>, path: &[Step], words: &Slot<'_>) {
        let Some(list) = runner.at(path).strings() else {
            return self.refuse(format!("{} is not a list of strings", runner.name(path)));
        };
        let mut target: Vec<Option<String>> = list.iter().map(|word| Some((*word).to_owned())).collect();
        for history in &words.histories {
            let index = history.place.unwrap_or_default();
            let now = list.get(index).map(|word| Scalar::from(*word));
            let place = [path, &[Step::Index(index)]].concat();
            if !self.knows(runner, &place, history, now.as_ref()) {
                continue;
            }
            if now.as_ref() != history.target() {
                self.show(runner, &place, false, [now.as_ref(), history.target()]);
            }
            target.resize(target.len().max(index + 1), None);
            if let Some(word) = target.get_mut(index) {
                *word = history.target().and_then(Scalar::text).map(str::to_owned);
            }
        }
        while target.last() == Some(&None) {
            target.pop();
        }
        let Some(target) = target.into_iter().collect::<Option<Vec<String>>>() else {
            return self.refuse(format!("{} has more words than runner-prep set", runner.name(path)));
        };
        let action = match target.is_empty() && words.made {
            true if matches!(runner.at(path), View::Nothing) => return,
            true => Action::Remove,
            false if list == target => return,
            false => Action::SetList(target),
        };
        self.edits.push(Edit::new(runner.path(path), action));
    }

    fn scalar(&mut self, runner: &LiveRunner<'_>, path: &[Step], history: &ValueHistory<'_>) {
        let Some(now) = runner.at(path).scalar() else {
            let set = text(history.newest());
            return self
                .refuse(format!("{} is not a single value, runner-prep set {set}", runner.name(path)));
        };
        if !self.knows(runner, path, history, now.as_ref()) || now.as_ref() == history.target() {
            return;
        }
        self.show(runner, path, false, [now.as_ref(), history.target()]);
        let action = history.target().map_or(Action::Remove, |wanted| Action::Set(wanted.clone()));
        self.edits.push(Edit::new(runner.path(path), action));
    }

    /// The value is one that it had.
    fn knows(
        &mut self,
        runner: &LiveRunner<'_>,
        path: &[Step],
        history: &ValueHistory<'_>,
        now: Option<&Scalar>,
    ) -> bool {
        let is_known = history.states.contains(&now);
        let name = || runner.name(path);
        if is_known {
            self.still(|| format!("{} still is {}, as it was set", name(), text(now)));
        } else {
            self.refuse(format!("{} is {}, runner-prep set {}", name(), text(now), text(history.newest())));
        }
        is_known
    }

    fn list(&mut self, runner: &LiveRunner<'_>, path: &[Step], list: &Slot<'_>) {
        let first = self.edits.len();
        for history in &list.histories {
            self.element(runner, path, history);
        }
        // A list that only our elements brought into being goes with the last of them.
        let rest = runner.at(path).strings().unwrap_or_default();
        let goes = |element: &&str| {
            let is_it = |edit: &Edit| matches!(&edit.action, Action::RemoveElement(gone) if gone == element);
            self.edits.iter().skip(first).any(is_it)
        };
        if list.made && !rest.is_empty() && rest.iter().all(goes) {
            self.edits.truncate(first);
            self.edits.push(Edit::new(runner.path(path), Action::Remove));
        }
    }

    fn element(&mut self, runner: &LiveRunner<'_>, path: &[Step], history: &ValueHistory<'_>) {
        let name = || runner.name(path);
        let set = || text(history.newest());
        let Some(list) = runner.at(path).strings() else {
            return self.refuse(format!("{} is not a list of strings, runner-prep added {}", name(), set()));
        };
        let is_environment = path.last() == Some(&Step::from("environment"));
        // Of two variables with one name the last one counts, here as in the plan.
        let variable = |wanted: &str| {
            let variable = identity("environment", wanted);
            list.iter().rposition(|element| identity("environment", element) == variable)
        };
        let place = |wanted: &Scalar| match wanted {
            Scalar::String(wanted) if is_environment => {
                variable(wanted).filter(|index| list[*index] == wanted)
            }
            Scalar::String(wanted) => list.iter().position(|element| element == wanted),
            _ => None,
        };
        let present = history.states.iter().flatten().find_map(|state| Some((*state, place(state)?)));
        let Some((now, index)) = present else {
            // Where absence is one of the known states, and the wanted one, all is as it was; unless
            // somebody gave the same variable another value.
            let other = match history.newest() {
                Some(Scalar::String(set)) if is_environment => variable(set),
                _ => None,
            };
            if let Some(other) = other.map(|index| Scalar::from(list[index])) {
                let now = text(Some(&other));
                return self.refuse(format!("{} has {now}, runner-prep set {}", name(), set()));
            }
            if !history.states.contains(&None) || history.target().is_some() {
                self.refuse(format!("{} no longer has {}", name(), set()));
            }
            return;
        };
        self.still(|| format!("{} still has {}, as it was set", name(), text(Some(now))));
        let action = match (now, history.target()) {
            (now, Some(wanted)) if now == wanted => return,
            (_, Some(Scalar::String(value))) => Action::Replace { index, value: value.clone() },
            (Scalar::String(value), None) => Action::RemoveElement(value.clone()),
            _ => return self.refuse(format!("{} has no strings", name())),
        };
        self.show(runner, path, true, [Some(now), history.target()]);
        self.edits.push(Edit::new(runner.path(path), action));
    }

    fn show(&mut self, runner: &LiveRunner<'_>, path: &[Step], element: bool, sides: [Option<&Scalar>; 2]) {
        let [before, after] = sides.map(|value| value.map(ToString::to_string));
        let (name, path) = (runner.name(path), runner.path(path));
        self.shown.push(ValueChange { name, path, element, before, after });
    }

    /// What is of interest only where something else is refused.
    fn still(&mut self, line: impl FnOnce() -> String) {
        if self.says_all {
            self.lines.push(line());
        }
    }

    fn refuse(&mut self, line: String) {
        self.lines.push(line);
        self.refused = true;
    }
}

fn text(value: Option<&Scalar>) -> String {
    value.map_or_else(|| "absent".to_owned(), ToString::to_string)
}
