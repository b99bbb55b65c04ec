//! The way back for single values of a `config.toml` that was rewritten since: the tokens in it are new,
//! and the old bytes would lose them.
//!
//! Shows of the file only the values that a profile named, and the names of keys.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::change::ValueChange;
use crate::journal::values::{self, Value, View};
use crate::text::toml_patch::{Action, Edit, Scalar, Step, Toml};

/// What one run changed, and the document before it.
pub(super) struct Layer<'a> {
    pub(super) values: &'a [Value],
    pub(super) before: Toml,
}

/// A document with the values put back.
pub(super) struct PutBack {
    pub(super) text: String,
    pub(super) shown: Vec<ValueChange>,
    /// Runners that are no longer there.
    pub(super) gone: Vec<String>,
}

/// One value through all layers: its states from the newest to the oldest. The last one is wanted.
struct Course {
    states: Vec<Option<Scalar>>,
}

impl Course {
    fn target(&self) -> Option<&Scalar> {
        self.states.last().and_then(Option::as_ref)
    }

    fn newest(&self) -> Option<&Scalar> {
        self.states.first().and_then(Option::as_ref)
    }
}

/// All values through all layers.
#[derive(Default)]
struct Courses {
    scalars: BTreeMap<Vec<Step>, Course>,
    elements: BTreeMap<Vec<Step>, List>,
    gone: Vec<String>,
}

/// One list of which elements are ours.
#[derive(Default)]
struct List {
    courses: Vec<Course>,
    /// The whole list was not there before the oldest layer.
    made: bool,
}

/// Put the values back, the newest layer first.
///
/// # Errors
/// When one of them is no longer what was set: a line for each value, none with anything else of the file.
pub(super) fn put_back(live: &Toml, layers: &[Layer<'_>]) -> Result<PutBack, Vec<String>> {
    let (change, gone) = changes(live, layers)?;
    let patched = live.patch(&change.edits).map_err(|error| vec![error.to_string()])?;
    Ok(PutBack { text: patched.text, shown: change.shown, gone })
}

/// What is to be changed in the live document, and the runners that are no longer there.
fn changes<'a>(live: &'a Toml, layers: &[Layer<'_>]) -> Result<(Changes<'a>, Vec<String>), Vec<String>> {
    let courses = courses(live, layers)?;
    let mut change =
        Changes { live, edits: Vec::new(), shown: Vec::new(), lines: Vec::new(), refused: false };
    for (path, course) in &courses.scalars {
        change.scalar(path, course);
    }
    for (path, list) in &courses.elements {
        change.list(path, list);
    }
    if change.refused {
        change.lines.extend(other_keys(live, layers));
        return Err(change.lines);
    }
    Ok((change, courses.gone))
}

/// What a report shows of the way from one document to another that is its former bytes.
pub(super) fn shown(live: &Toml, layers: &[Layer<'_>]) -> Vec<ValueChange> {
    changes(live, layers).map(|(change, _)| change.shown).unwrap_or_default()
}

fn courses(live: &Toml, layers: &[Layer<'_>]) -> Result<Courses, Vec<String>> {
    let mut courses = Courses::default();
    let mut twins = Twins::default();
    let mut named = HashSet::new();
    for Layer { values, before } in layers {
        let places = values.iter().flat_map(|value| value.paths().map(move |path| (value, path)));
        for (Value { element, before: old, after: new, .. }, old_path) in places {
            let path = match find(before, live, &old_path, &mut twins) {
                Found::At(path) => path,
                Found::Gone(name) => {
                    if named.insert(name.clone()) {
                        courses.gone.push(name);
                    }
                    continue;
                }
                Found::Several(name) => {
                    return Err(vec![format!("{name}: several runners could be the one that was changed")]);
                }
            };
            let states = vec![new.clone(), old.clone()];
            if *element {
                let list = courses.elements.entry(path).or_default();
                list.made = matches!(at(before, &old_path), View::Nothing);
                let list = &mut list.courses;
                // An older layer that made what a newer one found is the same element's course.
                let same = list.iter_mut().find(|course| new.is_some() && course.states.last() == Some(new));
                match same {
                    Some(course) => course.states.push(old.clone()),
                    None => list.push(Course { states }),
                }
            } else {
                courses
                    .scalars
                    .entry(path)
                    .or_insert_with(|| Course { states: vec![new.clone()] })
                    .states
                    .push(old.clone());
            }
        }
    }
    Ok(courses)
}

struct Changes<'a> {
    live: &'a Toml,
    edits: Vec<Edit>,
    shown: Vec<ValueChange>,
    lines: Vec<String>,
    refused: bool,
}

impl Changes<'_> {
    fn scalar(&mut self, path: &[Step], course: &Course) {
        let name = self.name(path);
        let set = text(course.newest());
        let Some(now) = at(self.live, path).scalar() else {
            return self.refuse(format!("{name} is no single value, runner-prep set {set}"));
        };
        if !course.states.contains(&now) {
            return self.refuse(format!("{name} is {}, runner-prep set {set}", text(now.as_ref())));
        }
        self.lines.push(format!("{name} still is {}", text(now.as_ref())));
        let action = match course.target() {
            wanted if wanted == now.as_ref() => return,
            Some(wanted) => Action::Set(wanted.clone()),
            None => Action::Remove,
        };
        self.push(path, false, name, [now.as_ref(), course.target()], action);
    }

    fn list(&mut self, path: &[Step], list: &List) {
        let first = self.edits.len();
        for course in &list.courses {
            self.element(path, course);
        }
        // A list that only our elements brought into being goes with the last of them.
        let rest = at(self.live, path).strings().unwrap_or_default();
        let goes = |element: &&str| {
            let removes = Action::RemoveElement((*element).to_owned());
            self.edits.iter().skip(first).any(|edit| edit.action == removes)
        };
        if list.made && !rest.is_empty() && rest.iter().all(goes) {
            self.edits.truncate(first);
            self.edits.push(Edit::new(path, Action::Remove));
        }
    }

    fn element(&mut self, path: &[Step], course: &Course) {
        let name = self.name(path);
        let set = text(course.newest());
        let Some(list) = at(self.live, path).strings() else {
            return self.refuse(format!("{name} is no list of strings, runner-prep added {set}"));
        };
        let place = |wanted: &Scalar| match wanted {
            Scalar::String(wanted) => list.iter().position(|element| element == wanted),
            _ => None,
        };
        let present = course.states.iter().flatten().find_map(|state| Some((state, place(state)?)));
        let absent_is_known = course.states.contains(&None);
        let Some((now, index)) = present else {
            // Where absence is one of the known states, and the wanted one, all is as it was; unless
            // somebody gave the same variable another value.
            if let Some(other) = course.newest().and_then(|set| same_variable(path, set, &list)) {
                return self.refuse(format!("{name} has {}, runner-prep set {set}", text(Some(&other))));
            }
            if absent_is_known && course.target().is_none() {
                return;
            }
            return self.refuse(format!("{name} no longer has {set}"));
        };
        self.lines.push(format!("{name} still has {}", text(Some(now))));
        let action = match (now, course.target()) {
            (now, Some(wanted)) if now == wanted => return,
            (_, Some(Scalar::String(value))) => Action::Replace { index, value: value.clone() },
            (Scalar::String(value), None) => Action::RemoveElement(value.clone()),
            _ => return self.refuse(format!("{name} has no strings")),
        };
        self.push(path, true, name, [Some(now), course.target()], action);
    }

    fn push(
        &mut self,
        path: &[Step],
        element: bool,
        name: String,
        sides: [Option<&Scalar>; 2],
        action: Action,
    ) {
        let [before, after] = sides.map(|value| value.map(ToString::to_string));
        self.shown.push(ValueChange { name, path: path.to_vec(), element, before, after });
        self.edits.push(Edit::new(path, action));
    }

    fn refuse(&mut self, line: String) {
        self.lines.push(line);
        self.refused = true;
    }

    /// `runners[0] "name": docker.privileged`, as a plan names it.
    fn name(&self, path: &[Step]) -> String {
        let Some(end) = path.iter().rposition(|step| matches!(step, Step::Index(_))) else {
            return dotted(path);
        };
        let (element, rest) = path.split_at(end + 1);
        format!("{}: {}", title(at(self.live, element), element), dotted(rest))
    }
}

/// The element that gives the variable of an environment list its value.
fn same_variable(path: &[Step], set: &Scalar, list: &[&str]) -> Option<Scalar> {
    let is_environment = path.last() == Some(&Step::Key("environment".to_owned()));
    let (Scalar::String(set), true) = (set, is_environment) else {
        return None;
    };
    let variable = set.split_once('=')?.0;
    let found = list.iter().find(|element| element.split_once('=').is_some_and(|(name, _)| name == variable));
    found.map(|element| Scalar::String((*element).to_owned()))
}

fn text(value: Option<&Scalar>) -> String {
    value.map_or_else(|| "absent".to_owned(), ToString::to_string)
}

fn at<'t>(toml: &'t Toml, path: &[Step]) -> View<'t> {
    path.iter().fold(View::root(toml), View::below)
}

fn key(view: View<'_>, key: &str) -> Option<Scalar> {
    view.below(&Step::Key(key.to_owned())).scalar().flatten()
}

fn title(element: View<'_>, path: &[Step]) -> String {
    match key(element, "name") {
        Some(Scalar::String(name)) => format!("{} {name:?}", dotted(path)),
        _ => dotted(path),
    }
}

fn dotted(path: &[Step]) -> String {
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Index(index) => shown.extend(["[", &index.to_string(), "]"]),
            Step::Key(key) => {
                let dot = if shown.is_empty() { "" } else { "." };
                shown.extend([dot, key]);
            }
        }
    }
    shown
}

enum Found {
    At(Vec<Step>),
    Gone(String),
    Several(String),
}

/// The same place in the live document: runners may have come and gone in front of it.
fn find<'t>(before: &Toml, live: &'t Toml, path: &[Step], twins: &mut Twins<'t>) -> Found {
    let (mut old, mut new) = (View::root(before), View::root(live));
    let mut found = Vec::new();
    for (depth, step) in path.iter().enumerate() {
        let below = old.below(step);
        let is_table = matches!(below, View::Table(_));
        let step = match step {
            Step::Index(_) if is_table => match twins.of(&found, new).twin(below) {
                Ok(Some(index)) => Step::Index(index),
                Ok(None) => return Found::Gone(title(below, &path[..=depth])),
                Err(()) => return Found::Several(title(below, &path[..=depth])),
            },
            _ => step.clone(),
        };
        old = below;
        new = new.below(&step);
        found.push(step);
    }
    Found::At(found)
}

/// What a runner is known by, the surest first.
const WORDS: [&str; 3] = ["id", "token", "name"];

/// The lists of the live document in which elements of old were looked for.
#[derive(Default)]
struct Twins<'t>(HashMap<Vec<Step>, Candidates<'t>>);

/// The elements of one list by the words that they are known by.
struct Candidates<'t> {
    elements: Vec<View<'t>>,
    by_word: [HashMap<Scalar, Vec<usize>>; 3],
}

impl<'t> Twins<'t> {
    fn of(&mut self, path: &[Step], list: View<'t>) -> &Candidates<'t> {
        self.0.entry(path.to_vec()).or_insert_with(|| {
            let elements = list.children().unwrap_or_default();
            let by_word = WORDS.map(|word| {
                let mut found: HashMap<Scalar, Vec<usize>> = HashMap::new();
                for (index, view) in elements.iter().enumerate() {
                    if let Some(value) = key(*view, word) {
                        found.entry(value).or_default().push(index);
                    }
                }
                found
            });
            Candidates { elements, by_word }
        })
    }
}

impl Candidates<'_> {
    /// Which element is the one of old: by its number at its server, by its token, by its name.
    fn twin(&self, old: View<'_>) -> Result<Option<usize>, ()> {
        let number = |view: View<'_>| key(view, "id").zip(key(view, "url"));
        let own = number(old);
        let is_another = |index: &usize| {
            let other = self.elements.get(*index).and_then(|view| number(*view));
            matches!((&own, other), (Some(old), Some(new)) if *old != new)
        };
        let mut several = false;
        for (word, by_word) in WORDS.iter().zip(&self.by_word) {
            let Some(wanted) = key(old, word) else {
                continue;
            };
            let same = by_word.get(&wanted).map(Vec::as_slice).unwrap_or_default();
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

/// The names of other keys that are not as the newest run found them.
fn other_keys(live: &Toml, layers: &[Layer<'_>]) -> Option<String> {
    const MOST: usize = 8;
    let newest = layers.first()?;
    let difference = values::compare(&newest.before, live);
    let ours: HashSet<Vec<Step>> =
        layers.iter().flat_map(|layer| layer.values).flat_map(Value::paths).collect();
    let paths = difference.values.into_iter().map(|value| value.path).chain(difference.others);
    let mut names: Vec<String> =
        paths.filter(|path| !ours.contains(path)).map(|path| dotted(&path)).collect();
    names.dedup();
    let more = if names.len() > MOST { ", …" } else { "" };
    names.truncate(MOST);
    (!names.is_empty()).then(|| format!("also changed since: {}{more}", names.join(", ")))
}
