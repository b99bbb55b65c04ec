//! One profile as it was written: its text, where it is from, and how much of it messages may show.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml_edit::{Document, DocumentMut, Item};

use super::position::{self, Excerpt, Quoted};
use super::store::{BUILT_IN, DIRECTORY, ProfileText, built_in};
use crate::fault::{self, fault};
use crate::repair::Repair;
use crate::text::toml_patch::Scalar;

/// What a profile says of itself; all else in it are sections.
pub(super) const HEAD: [&str; 3] = ["summary", "extends", "replaces"];

/// A profile's text and where it came from.
#[derive(Debug)]
pub struct ProfileSource {
    /// For messages: a path, or `built-in profile NAME`.
    pub origin: String,
    /// The name it was asked for by.
    pub name: String,
    pub(super) document: Document<String>,
    pub(super) show: Excerpt,
}

impl ProfileSource {
    pub(super) fn of_file(name: &str, origin: String, file: &ProfileText) -> Result<Self> {
        Self::given(name, origin, &file.text, if file.hidden { Excerpt::Nothing } else { Excerpt::Lines })
    }

    /// A text of somebody's.
    pub(super) fn given(name: &str, origin: String, text: &str, show: Excerpt) -> Result<Self> {
        // Given by mistake, its lines must not be shown: they hold tokens.
        if text.lines().map(position::first_word).any(|word| word.eq_ignore_ascii_case("runners")) {
            let what = format!("{origin} is a configuration of gitlab-runner, not a profile");
            return Err(fault("profile-invalid", what, "give a profile: $ runner-prep profile list"));
        }
        let source = Self::parse(name, origin, text, show)?;
        // A path names the file already, where it is said that nothing is wanted.
        if !name.contains('/') && source.document.iter().all(|(key, _)| key == "summary") {
            return Err(source.empty());
        }
        Ok(source)
    }

    /// The error of a profile without a section. Were it none, an empty file would make every host the one that is wanted.
    fn empty(&self) -> anyhow::Error {
        let Self { name, origin, .. } = self;
        let what = format!("{origin}: the profile {name} wants nothing: it has no section");
        if !BUILT_IN.iter().any(|(built_in, _)| built_in == name) {
            return fault(
                "profile-empty",
                what,
                "see what a profile can have: $ runner-prep profile show dind",
            );
        }
        let repair = mend!(
            "take it away: $ rm {0}; a copy of the built-in one needs another name: $ runner-prep profile show {1} \
                 > {2}/my-{1}.toml",
            crate::fault::quoted(origin),
            name,
            DIRECTORY
        );
        fault("profile-empty", format!("{what}, and it hides the built-in profile of that name"), repair)
    }

    pub(super) fn parse(name: &str, origin: String, text: &str, show: Excerpt) -> Result<Self> {
        match Document::parse(text.to_owned()) {
            Ok(document) => Ok(Self { origin, name: name.to_owned(), document, show }),
            Err(error) => Err(fault(
                "profile-invalid",
                Quoted::new(&origin, text, show).render(error.span(), error.message()),
                "correct the profile; its format is TOML 1.0",
            )),
        }
    }

    /// What is wrong with a profile that this one extends. A name may be no name but a secret.
    pub(super) fn missing(&self, parent: &str, error: anyhow::Error) -> anyhow::Error {
        let names_it = fault::find(&error).is_some_and(|fault| fault.what.contains(parent));
        if self.show != Excerpt::Nothing || !names_it {
            return error;
        }
        fault(
            "profile-unknown",
            format!("{}: a profile that it `extends` can't be read", self.origin),
            "see what there is: $ runner-prep profile list",
        )
    }

    pub(super) fn quoted(&self) -> Quoted<'_> {
        Quoted::new(&self.origin, self.document.raw(), self.show)
    }

    pub(super) fn has(&self, section: &str) -> bool {
        self.document.contains_key(section)
    }

    /// The names in `extends`.
    pub(super) fn parents(&self) -> Result<Vec<String>> {
        let array = self.document.get("extends").and_then(Item::as_array);
        let texts =
            array.and_then(|array| array.iter().map(|name| name.as_str().map(str::to_owned)).collect());
        // What is not a list of texts, serde has the words for.
        texts.map_or_else(|| self.section("extends").map(Option::unwrap_or_default), Ok)
    }

    /// The dotted paths whose values take the place of those of the profiles before this one.
    pub(super) fn replaces(&self) -> Result<Vec<String>> {
        self.section("replaces").map(Option::unwrap_or_default)
    }

    /// What to do for this profile's value at a dotted path to win.
    pub(super) fn how_to_replace(&self, path: &str) -> Repair {
        let name = &self.name;
        if name.is_empty() {
            return mend!("for the value of the task, add to it: replaces: [{}]", path);
        }
        // Each line to be copied stays one.
        let path = Scalar::from(path);
        let replaces = format!("  replaces = [{path}]");
        if self.origin == built_in(name) {
            return mend!(
                "for a value of your own, write a profile with it that begins so:\n  extends = [\"{}\"]\n{}",
                name,
                replaces
            );
        }
        if self.has("replaces") {
            return mend!("for the value of {}, add {} to its `replaces`", name, path);
        }
        mend!("for the value of {}, add this line above its first section:\n{}", name, replaces)
    }

    pub(super) fn section<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        section(&self.document, name).map_err(|error| self.explain(&error))
    }

    /// The one line that says what the profile is for.
    pub(super) fn summary(&self) -> Option<&str> {
        self.document.get("summary").and_then(Item::as_str)
    }

    pub(super) fn check_sections(&self, known: &[&str]) -> Result<()> {
        if self.summary().is_none() {
            self.section::<String>("summary")?;
        }
        let known: Vec<&str> = HEAD.iter().chain(known).copied().collect();
        for (key, item) in self.document.iter() {
            // A line at the end of a file belongs to the last section of it.
            let below = item.as_table().filter(|_| !HEAD.contains(&key));
            if let Some((below, _)) = HEAD.iter().find_map(|head| below?.get_key_value(head)) {
                let name = below.get();
                return Err(fault(
                    "profile-invalid",
                    self.quoted().render(below.span(), &format!("`{name}` has no place in [{key}]")),
                    mend!("move that line above the first section of {}", self.origin),
                ));
            }
            if !known.contains(&key) {
                let span = self.document.key(key).and_then(toml_edit::Key::span);
                let message = self.quoted().unknown("section", key, &known);
                return Err(fault(
                    "profile-invalid",
                    self.quoted().render(span, &message),
                    "correct the profile; all sections with their keys: $ runner-prep schema profile",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn explain(&self, error: &toml_edit::de::Error) -> anyhow::Error {
        let message = self.quoted().improve(error.message());
        fault(
            "profile-invalid",
            self.quoted().render(error.span(), &message),
            "correct the profile; all sections with their keys: $ runner-prep schema profile",
        )
    }
}

/// Deserialize the value of one key of a document, keeping the places of errors.
pub(super) fn section<T: DeserializeOwned>(
    document: &Document<String>,
    name: &str,
) -> Result<Option<T>, toml_edit::de::Error> {
    // The section alone: a copy of the whole document for each of them is most of what a converged run does.
    let Some(item) = document.get(name) else { return Ok(None) };
    if let Item::Table(table) = item {
        let alone = DocumentMut::from(table.clone());
        if let Ok(section) = T::deserialize(toml_edit::de::Deserializer::from(alone)) {
            return Ok(Some(section));
        }
    }
    // Under its name, so that an error about all of it has a place.
    let mut alone = DocumentMut::new();
    alone.insert(name, item.clone());
    let sections = BTreeMap::<String, T>::deserialize(toml_edit::de::Deserializer::from(alone))?;
    Ok(sections.into_values().next())
}
