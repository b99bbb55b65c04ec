//! The edits of one patch as a tree in the shape of the document, so that one walk serves them all.

use std::collections::{BTreeMap, HashMap};

use toml_edit::Value;

use super::edit::{Action, Edit, Scalar, Step};
use super::quote;

/// Deeper paths are refused; the parser itself goes down 80 steps.
const MAX_DEPTH: usize = 64;

/// What is asked of one value and of the values below it.
#[derive(Debug, Default)]
pub(super) struct Node<'e> {
    /// The keys asked for below a table, in the order of the edits.
    pub(super) keys: Vec<(&'e str, Node<'e>)>,
    by_key: HashMap<&'e str, usize>,
    /// The elements asked for below a list.
    pub(super) indexes: BTreeMap<usize, Node<'e>>,
    /// What is asked of the value itself. A node has either this or nodes below.
    pub(super) target: Option<EditTarget<'e>>,
    /// The table goes when no key of it is left.
    pub(super) unmakes: bool,
}

/// What is asked of one value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EditTarget<'e> {
    Scalar(&'e Scalar),
    Absent,
    List(&'e [String]),
    Elements(Elements<'e>),
}

/// What is asked of the elements of one list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elements<'e> {
    pub(super) insert: Vec<&'e str>,
    pub(super) replace: BTreeMap<usize, &'e str>,
    pub(super) remove: Vec<&'e str>,
}

impl<'e> Node<'e> {
    /// Sorts the edits into a tree; fails with the edit that can't stand beside the earlier ones.
    pub(super) fn from_edits(edits: &'e [Edit]) -> Result<Self, (&'e Edit, &'static str)> {
        let mut root = Self::default();
        for edit in edits {
            root.add(edit).map_err(|message| (edit, message))?;
        }
        Ok(root)
    }

    fn add(&mut self, edit: &'e Edit) -> Result<(), &'static str> {
        const CLASH: &str = "two edits of one patch contradict each other";
        if edit.path.is_empty() {
            return Err("the path of an edit is empty");
        }
        if edit.path.len() > MAX_DEPTH {
            return Err("the path of an edit is too long");
        }
        let mut here = self;
        for step in &edit.path {
            // What has keys is a table, and what has numbers a list.
            let is_other = match step {
                Step::Key(_) => !here.indexes.is_empty(),
                Step::Index(_) => !here.keys.is_empty(),
            };
            if here.target.is_some() || is_other {
                return Err(CLASH);
            }
            here = match step {
                Step::Key(key) => here.entry(key)?,
                Step::Index(index) => here.indexes.entry(*index).or_default(),
            };
        }
        if edit.action == Action::Unmake {
            here.unmakes = true;
            return if here.target.is_some() { Err(CLASH) } else { Ok(()) };
        }
        if !here.keys.is_empty() || !here.indexes.is_empty() || here.unmakes {
            return Err(CLASH);
        }
        EditTarget::add(&mut here.target, &edit.action).ok_or(CLASH)
    }

    fn entry(&mut self, key: &'e str) -> Result<&mut Self, &'static str> {
        let next = self.keys.len();
        let place = *self.by_key.entry(key).or_insert(next);
        if place == next {
            self.keys.push((key, Self::default()));
        }
        let found = self.keys.get_mut(place).map(|(_, node)| node);
        found.ok_or("the tree of edits is broken")
    }

    /// What is asked below a key.
    pub(super) fn key(&self, key: &str) -> Option<&Self> {
        let place = *self.by_key.get(key)?;
        self.keys.get(place).map(|(_, node)| node)
    }

    /// Whether the value is to go.
    pub(super) fn removes(&self) -> bool {
        self.target == Some(EditTarget::Absent)
    }

    /// Whether a value is to go: by itself, or as a table between braces with all its keys.
    pub(super) fn takes(&self, value: &Value) -> bool {
        let goes = |(key, value): (&str, &Value)| self.key(key).is_some_and(|node| node.takes(value));
        match value {
            Value::InlineTable(table) => self.unmakes && table.iter().all(goes),
            _ => self.removes(),
        }
    }
}

impl<'e> EditTarget<'e> {
    /// Joins an action to what is asked already; `None` if the two contradict each other.
    fn add(slot: &mut Option<Self>, action: &'e Action) -> Option<()> {
        match action {
            Action::Set(value) => Self::only(slot, Self::Scalar(value)),
            Action::Remove => Self::only(slot, Self::Absent),
            Action::Unmake => None,
            Action::SetList(values) => Self::only(slot, Self::List(values)),
            Action::Insert(value) => {
                Self::elements(slot)?.insert.push(value);
                Some(())
            }
            Action::RemoveElement(value) => {
                Self::elements(slot)?.remove.push(value);
                Some(())
            }
            Action::Replace { index, value } => {
                let before = Self::elements(slot)?.replace.insert(*index, value);
                before.is_none_or(|before| before == value).then_some(())
            }
        }
    }

    fn only(slot: &mut Option<Self>, target: Self) -> Option<()> {
        if let Some(before) = slot {
            return (*before == target).then_some(());
        }
        *slot = Some(target);
        Some(())
    }

    fn elements<'s>(slot: &'s mut Option<Self>) -> Option<&'s mut Elements<'e>> {
        match slot.get_or_insert_with(|| Self::Elements(Elements::default())) {
            Self::Elements(elements) => Some(elements),
            _ => None,
        }
    }

    /// The value to write where there is none; `Ok(None)` if nothing is to be written.
    pub(super) fn fresh(&self) -> Result<Option<String>, String> {
        match self {
            Self::Scalar(value) => Ok(Some(value.to_string())),
            Self::Absent => Ok(None),
            _ => Ok(self.list(None)?.map(quote::list)),
        }
    }

    /// The list that a list becomes; `Ok(None)` if there is none and none is to be made.
    pub(super) fn list<'a>(&'a self, old: Option<&[&'a str]>) -> Result<Option<Vec<&'a str>>, String> {
        match self {
            Self::Scalar(_) | Self::Absent => Err("is a list, and a single value is asked for".to_owned()),
            Self::List(new) => Ok(Some(new.iter().map(String::as_str).collect())),
            Self::Elements(elements) => elements.list(old),
        }
    }
}

impl Elements<'_> {
    fn list<'a>(&'a self, old: Option<&[&'a str]>) -> Result<Option<Vec<&'a str>>, String> {
        let length = old.map_or(0, <[_]>::len);
        if let Some((index, _)) = self.replace.range(length..).next() {
            return Err(format!("has no element {index}, only {length}"));
        }
        if old.is_none() && self.insert.is_empty() {
            return Ok(None);
        }
        let kept = old.unwrap_or_default().iter().enumerate();
        let kept = kept.filter_map(|(index, value)| match self.replace.get(&index) {
            Some(new) => Some(*new),
            None => (!self.removes(value)).then_some(*value),
        });
        Ok(Some(kept.chain(self.insert.iter().copied()).collect()))
    }

    /// Whether an element with this value goes.
    pub(super) fn removes(&self, value: &str) -> bool {
        self.remove.contains(&value)
    }
}
