//! The runners of a `config.toml`, and which of them is the one that a former document had.

use std::collections::HashMap;

use crate::runner_config::RUNNERS;
use crate::text::toml_patch::{Scalar, Step, Toml, View};

/// The scalar that a key of a table has.
pub(super) fn key(view: View<'_>, key: &str) -> Option<Scalar> {
    view.below(&Step::from(key)).scalar().flatten()
}

/// What a runner is known by, the surest first.
const WORDS: [&str; 3] = ["id", "token", "name"];

fn list(toml: &Toml) -> View<'_> {
    View::Table(toml.root()).below(&Step::from(RUNNERS))
}

/// How many runners there are.
pub(super) fn count(toml: &Toml) -> usize {
    list(toml).children().map_or(0, |children| children.len())
}

/// A runner of a document; without a number it is what stands outside of all.
pub(super) struct Runner<'d> {
    toml: &'d Toml,
    index: Option<usize>,
}

impl<'d> Runner<'d> {
    /// `None` when there is none of that number.
    pub(super) fn of(toml: &'d Toml, index: Option<usize>) -> Option<Self> {
        let runner = Self { toml, index };
        matches!(runner.view(), View::Table(_)).then_some(runner)
    }

    pub(super) fn view(&self) -> View<'_> {
        match self.index {
            Some(index) => list(self.toml).below(&Step::Index(index)),
            None => View::Table(self.toml.root()),
        }
    }

    /// What is at a path below it.
    pub(super) fn at(&self, below: &[Step]) -> View<'_> {
        below.iter().fold(self.view(), View::below)
    }

    /// True when no header and no key of its own makes the table at a path below it.
    pub(super) fn lacks_table(&self, below: &[Step]) -> bool {
        matches!(self.at(below), View::Nothing) || self.toml.is_implicit(&self.path(below))
    }

    /// The path from the top of the document.
    pub(super) fn path(&self, below: &[Step]) -> Vec<Step> {
        let list = self.index.map(|index| [Step::from(RUNNERS), Step::Index(index)]);
        list.into_iter().flatten().chain(below.iter().cloned()).collect()
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
