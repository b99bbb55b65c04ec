//! A `config.toml`, runner by runner: as one tree, or where that means the same each as a document of its own.

use std::collections::HashMap;
use std::ops::Deref;

use crate::journal::values::View;
use crate::runner_config::RUNNERS;
use crate::text::position::TextError;
use crate::text::toml_patch::{Edit, Parts, PartsCopy, Scalar, Step, Toml};

/// The scalar that a key of a table has.
pub(super) fn key(view: View<'_>, key: &str) -> Option<Scalar> {
    view.below(&Step::from(key)).scalar().flatten()
}

/// What a runner is known by, the surest first.
const WORDS: [&str; 3] = ["id", "token", "name"];

/// A document and how it is taken.
pub(super) enum Document<'t> {
    /// One block after the other: what is done needs the memory of one.
    Blocks(Parts<'t>),
    /// As one tree, which takes many times the memory of the text.
    Whole(Toml),
}

impl<'t> Document<'t> {
    /// `None` where it can't be cut.
    pub(super) fn blocks(bytes: &'t [u8]) -> Option<Self> {
        Parts::cut(bytes, RUNNERS).map(Self::Blocks)
    }

    pub(super) fn whole(bytes: &[u8]) -> Result<Self, TextError> {
        Toml::parse(bytes).map(Self::Whole)
    }

    /// How many runners there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Blocks(parts) => parts.count(),
            Self::Whole(toml) => list(toml).children().map_or(0, |children| children.len()),
        }
    }

    /// A copy of it, to be written runner by runner.
    pub(super) fn writer(&self) -> Writer<'_, 't> {
        match self {
            Self::Blocks(parts) => Writer::Blocks(parts.copy()),
            Self::Whole(toml) => Writer::Whole(toml, Vec::new()),
        }
    }

    /// A runner, or with no number the whole document; `None` when there is none of that number, or its block means
    /// something else by itself.
    pub(super) fn runner(&self, index: Option<usize>) -> Option<Runner<'_>> {
        let (toml, place) = match self {
            Self::Blocks(parts) => (Held::Own(Box::new(parts.block(index?)?)), Some(0)),
            Self::Whole(toml) => (Held::Lent(toml), index),
        };
        let runner = Runner { toml, index, place };
        matches!(runner.view(), View::Table(_)).then_some(runner)
    }
}

fn list(toml: &Toml) -> View<'_> {
    View::root(toml).below(&Step::from(RUNNERS))
}

/// A document with edits in some of its runners.
pub(super) enum Writer<'d, 't> {
    Blocks(PartsCopy<'d, 't>),
    Whole(&'d Toml, Vec<Edit>),
}

impl Writer<'_, '_> {
    /// Makes edits in a runner. The runners must come in their order. `None` when a block can't take them.
    pub(super) fn patch(&mut self, runner: &Runner<'_>, mut edits: Vec<Edit>) -> Option<()> {
        match self {
            Self::Blocks(copy) if !edits.is_empty() => {
                copy.patch(runner.index?, &runner.toml, &edits).map(drop)
            }
            Self::Blocks(_) => Some(()),
            Self::Whole(_, all) => {
                all.append(&mut edits);
                Some(())
            }
        }
    }

    /// The whole new text.
    ///
    /// # Errors
    /// Why the document can't take the edits; nothing when a block does not say it.
    pub(super) fn finish(self) -> Result<String, Option<String>> {
        match self {
            Self::Blocks(copy) => copy.finish().map(|patched| patched.text).ok_or(None),
            Self::Whole(toml, edits) => {
                toml.patch(&edits).map(|patched| patched.text).map_err(|error| Some(error.to_string()))
            }
        }
    }
}

/// A document with one runner in it that is meant; without a number it is what stands outside of all.
pub(super) struct Runner<'d> {
    toml: Held<'d>,
    /// Its number in the file.
    pub(super) index: Option<usize>,
    /// Its number in the document.
    place: Option<usize>,
}

enum Held<'d> {
    Own(Box<Toml>),
    Lent(&'d Toml),
}

impl Deref for Held<'_> {
    type Target = Toml;

    fn deref(&self) -> &Toml {
        match self {
            Self::Own(toml) => toml,
            Self::Lent(toml) => toml,
        }
    }
}

impl Runner<'_> {
    pub(super) fn view(&self) -> View<'_> {
        match self.place {
            Some(place) => list(&self.toml).below(&Step::Index(place)),
            None => View::root(&self.toml),
        }
    }

    /// What is at a path below it.
    pub(super) fn at(&self, below: &[Step]) -> View<'_> {
        below.iter().fold(self.view(), View::below)
    }

    /// The path in its document.
    pub(super) fn inner_path(&self, below: &[Step]) -> Vec<Step> {
        path(self.place, below)
    }

    /// The path in the file.
    pub(super) fn path(&self, below: &[Step]) -> Vec<Step> {
        path(self.index, below)
    }

    /// `runners[0] "name"`, as a plan names it.
    pub(super) fn title(&self) -> String {
        let Some(index) = self.index else { return String::new() };
        let list = format!("{RUNNERS}[{index}]");
        match key(self.view(), "name") {
            Some(Scalar::String(name)) => format!("{list} {name:?}"),
            _ => list,
        }
    }

    pub(super) fn known(&self) -> Known {
        let number = key(self.view(), "id").zip(key(self.view(), "url"));
        Known { number, words: WORDS.map(|word| key(self.view(), word)) }
    }
}

fn path(index: Option<usize>, below: &[Step]) -> Vec<Step> {
    let list = index.map(|index| [Step::from(RUNNERS), Step::Index(index)]);
    list.into_iter().flatten().chain(below.iter().cloned()).collect()
}

/// What a runner is known by.
pub(super) struct Known {
    /// Its number, and the server that gave it.
    number: Option<(Scalar, Scalar)>,
    words: [Option<Scalar>; 3],
}

impl Known {
    /// Both have a number of a server, and not the same one.
    fn is_another(&self, other: &Self) -> bool {
        matches!((&self.number, &other.number), (Some(one), Some(two)) if one != two)
    }
}

/// The runners of the live document by the words that they are known by.
#[derive(Default)]
pub(super) struct Twins {
    all: Vec<Known>,
    by_word: [HashMap<Scalar, Vec<usize>>; 3],
}

impl Twins {
    pub(super) fn add(&mut self, known: Known) {
        for (word, by_word) in known.words.iter().zip(&mut self.by_word) {
            if let Some(word) = word {
                by_word.entry(word.clone()).or_default().push(self.all.len());
            }
        }
        self.all.push(known);
    }

    /// Which runner is the one of old: by its number at its server, by its token, by its name. `None` when it is
    /// gone.
    ///
    /// # Errors
    /// When several could be it.
    pub(super) fn twin(&self, old: &Known) -> Result<Option<usize>, ()> {
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
