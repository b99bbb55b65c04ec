//! Profiles: TOML texts, found by name, joined with what they extend, merged to one.
//!
//! Owns finding, parsing and merging. Knows no section's meaning: each resource parses its own. Must
//! not look at the host beyond the profile files that the caller reads for it.

mod merge;
mod position;
mod source;
mod store;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use serde::de::DeserializeOwned;
use toml_edit::Document;

use crate::fault::fault;
use position::{Excerpt, Quoted};
pub use position::{did_you_mean, suggest};
pub use source::ProfileSource;
use source::section;
use store::built_in;
pub use store::{BUILT_IN, DIRECTORY, ProfileStore, ProfileText};

/// Profiles extend one another no deeper than this.
const MOST_LEVELS: usize = 16;

/// One or several profiles, resolved: what they extend comes first.
#[derive(Debug)]
pub struct Profile {
    /// The names that were asked for.
    pub names: Vec<String>,
    layers: Vec<Rc<ProfileSource>>,
    /// Made when it is asked for: mostly each section stands in one of the profiles.
    merged: OnceCell<Document<String>>,
}

impl Profile {
    /// Find and merge the profiles of these names or paths.
    ///
    /// # Errors
    /// When one is unknown, is not valid TOML, extends itself, or contradicts another.
    pub fn load(names: &[String], sections: &[&str], store: &dyn ProfileStore) -> Result<Self> {
        Self::load_with(names, None, sections, store)
    }

    /// Find and merge these profiles, and sections that were given beside their names, as TOML.
    ///
    /// # Errors
    /// As [`Profile::load`]; what is given is one more profile.
    pub fn load_with(
        names: &[String],
        given: Option<&str>,
        sections: &[&str],
        store: &dyn ProfileStore,
    ) -> Result<Self> {
        let mut layers = Vec::new();
        for name in names {
            gather(name, store, &mut layers, &mut Vec::new())?;
        }
        if let Some(text) = given {
            layers.push(Rc::new(ProfileSource::given(
                "",
                String::from("the arguments of the task"),
                text,
                Excerpt::Keys,
            )?));
        }
        for layer in &layers {
            layer.check_sections(sections)?;
        }
        let profile = Self { names: names.to_vec(), layers, merged: OnceCell::new() };
        let shares = |section: &&str| profile.layers.iter().filter(|layer| layer.has(section)).count();
        if profile.layers.iter().any(|layer| layer.has("replaces"))
            || sections.iter().any(|section| shares(section) > 1)
        {
            // Where two say something of the same, they may contradict each other.
            profile.merged()?;
        }
        Ok(profile)
    }

    fn merged(&self) -> Result<&Document<String>> {
        if let Some(merged) = self.merged.get() {
            return Ok(merged);
        }
        let merged = merge::merge(&self.layers)?;
        Ok(self.merged.get_or_init(|| merged))
    }

    /// The resolved profile as TOML.
    ///
    /// # Errors
    /// When it can't be written as one.
    pub fn text(&self) -> Result<&str> {
        Ok(self.merged()?.raw())
    }

    /// What a section says; `None` when no profile has it. A profile that extends another need not be whole
    /// by itself, so that one value can be added.
    ///
    /// # Errors
    /// With file, line, column and caret when a key is unknown or a value is not what it must be.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let layers: Vec<_> = self.layers.iter().filter(|layer| layer.has(name)).collect();
        let merged = match layers[..] {
            [] => return Ok(None),
            [layer] => return layer.section(name),
            _ => self.merged()?,
        };
        let error = match section::<T>(merged, name) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // Where it stands in a file of its author, if one file alone is wrong.
        for layer in &layers {
            match section::<T>(&layer.document, name) {
                Err(own) if own.message() == error.message() => return Err(layer.explain(&own)),
                _ => {}
            }
        }
        let origins: Vec<&str> = layers.iter().map(|layer| layer.origin.as_str()).collect();
        let origin = format!("{} together", origins.join(" and "));
        let show = layers.iter().map(|layer| layer.show).min().unwrap_or(Excerpt::Lines);
        // A list that has become one of two values for one name.
        let place = merge::paths(merged.as_table())
            .into_iter()
            .find(|(_, span)| span.is_some() && *span == error.span());
        let repair = match (place, layers.last()) {
            (Some((path, _)), Some(own)) => own.how_to_replace(&path),
            _ => "use one of these profiles alone, or correct one of them".into(),
        };
        Err(fault(
            "profile-invalid",
            Quoted::new(&origin, merged.raw(), show).render(error.span(), error.message()),
            repair,
        ))
    }
}

/// Names and summaries of all profiles, local ones first where they hide a built-in one.
///
/// # Errors
/// When a local profile can't be read or parsed.
pub fn list(store: &dyn ProfileStore) -> Result<Vec<(String, String, String)>> {
    let row = |name: String| {
        let mut source = find(&name, store)?;
        if source.origin == built_in(&name) {
            source.origin = String::from("built-in");
        }
        let summary = source.summary().unwrap_or_default().to_owned();
        Ok((name, summary, source.origin))
    };
    names(&store.names()?).into_iter().map(row).collect()
}

/// The names that profiles have: local ones, whose files are `local`, and built-in ones.
pub fn names(local: &[String]) -> Vec<String> {
    let local = local.iter().filter_map(|file| file.strip_suffix(".toml"));
    let mut names: Vec<String> = local.filter(|name| check_name(name).is_ok()).map(str::to_owned).collect();
    names.extend(BUILT_IN.iter().map(|(name, _)| (*name).to_owned()));
    names.sort();
    names.dedup();
    names
}

/// Add the profile of that name to `layers`, what it extends first.
fn gather(
    name: &str,
    store: &dyn ProfileStore,
    layers: &mut Vec<Rc<ProfileSource>>,
    open: &mut Vec<String>,
) -> Result<()> {
    if open.iter().any(|outer| outer == name) || open.len() > MOST_LEVELS {
        let what = format!("the profile {name} extends itself: {} → {name}", open.join(" → "));
        return Err(fault("profile-invalid", what, "take one of these names out of `extends`"));
    }
    if layers.iter().any(|layer| layer.name == name) {
        return Ok(());
    }
    let source = find(name, store)?;
    open.push(name.to_owned());
    for parent in source.parents()? {
        gather(&parent, store, layers, open).map_err(|error| source.missing(&parent, error))?;
    }
    open.pop();
    layers.push(Rc::new(source));
    Ok(())
}

fn find(name: &str, store: &dyn ProfileStore) -> Result<ProfileSource> {
    if name.contains('/') {
        let path = check_path(name)?;
        let text = store.read(&path)?.ok_or_else(|| {
            let what = format!("there is no profile file {name}");
            fault("profile-unknown", what, "give the path of one, or a name: $ runner-prep profile list")
        })?;
        return ProfileSource::of_file(name, name.to_owned(), &text);
    }
    check_name(name)?;
    let path = Path::new(DIRECTORY).join(format!("{name}.toml"));
    if let Some(text) = store.read(&path)? {
        return ProfileSource::of_file(name, path.display().to_string(), &text);
    }
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return ProfileSource::parse(name, built_in(name), text, Excerpt::Lines);
    }
    let names = names(&store.names().unwrap_or_default());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let repair = mend!("see what there is: $ runner-prep profile list; local ones lie in {}", DIRECTORY);
    Err(fault("profile-unknown", format!("there is no profile {name}{}", did_you_mean(name, &names)), repair))
}

fn check_name(name: &str) -> Result<()> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(valid) {
        return Ok(());
    }
    let what = format!("{name:?} can't be the name of a profile");
    Err(fault("profile-unknown", what, "names are lower-case letters, digits and `-`; a path contains a `/`"))
}

fn check_path(path: &str) -> Result<PathBuf> {
    let parsed = PathBuf::from(path);
    let climbs = parsed.components().any(|part| part == std::path::Component::ParentDir);
    if !climbs && parsed.extension().is_some_and(|extension| extension == "toml") {
        return Ok(parsed);
    }
    let what = format!("{path:?} can't be the path of a profile");
    Err(fault("profile-unknown", what, "the path of a profile ends in .toml and has no `..` in it"))
}
