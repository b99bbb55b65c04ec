//! `runner-prep __complete`, which the scripts for shells call: quiet, quick, and never an error.
//!
//! `config.toml` may hold what somebody else wrote. What a shell is given are only words that mean nothing to it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::exit::{Exit, Streams};
use super::output::write;
use super::place::Site;
use crate::cli::Environment;
use crate::completion::{self, CandidateKind, CompletionPoint, Word};
use crate::profile::{self, ProfileStore as _};
use crate::report::escape;
use crate::resource::{Context, ExaminedConfig, KINDS, Options, Target};
use crate::runner_config::{EXECUTORS, Runner};

/// Longer names are no help to anybody who completes them.
const MOST_CHARACTERS: usize = 100;

/// Print what could stand at the end of the line.
pub fn complete(words: &[String], environment: Environment, streams: &mut Streams<'_>) -> Exit {
    let place = completion::place(words);
    // Who may not look gets less.
    let known = match &place.candidates {
        CandidateKind::Words(words) => words.clone(),
        CandidateKind::Profile => profiles(&place, environment).unwrap_or_default(),
        CandidateKind::Kind => KINDS.iter().map(|kind| Word::new(kind.name, kind.summary)).collect(),
        CandidateKind::Runner => runners(&place, environment).unwrap_or_default(),
        CandidateKind::File | CandidateKind::Directory | CandidateKind::Nothing => Vec::new(),
    };
    write(streams.out, &place.answer(&known));
    Exit::Converged
}

fn tree(asked: &CompletionPoint, environment: Environment) -> Result<Site> {
    Site::at(asked.root.as_deref().unwrap_or(Path::new("/")), environment, None)
}

/// Built-in and local ones. One that can't be read has no summary.
fn profiles(place: &CompletionPoint, environment: Environment) -> Result<Vec<Word>> {
    let site = tree(place, environment)?;
    if let Ok(list) = profile::list(&site) {
        return Ok(list.into_iter().map(|(name, summary, _)| Word::new(name, escape(&summary))).collect());
    }
    let names = profile::names(&site.names().unwrap_or_default());
    Ok(names.into_iter().map(|name| Word::new(name, "")).collect())
}

/// By name where a shell can be given it, else by id; only what means one runner and no other.
fn runners(place: &CompletionPoint, environment: Environment) -> Result<Vec<Word>> {
    let site = tree(place, environment)?;
    let facts = site.facts();
    let target = Target::find(&facts, None)?;
    let options = Options { config: place.config.clone(), ..Options::default() };
    let config = ExaminedConfig::of(&Context { facts: &facts, target: &target, options: &options });
    let runners = config.runners()?;
    // Counted once, because there may be thousands.
    let mut called: HashMap<String, usize> = HashMap::new();
    for runner in &runners {
        let name = runner.text("name").map(str::to_owned);
        let id = runner.id().map(|id| id.to_string()).filter(|id| Some(id) != name.as_ref());
        for one in [name, id].into_iter().flatten() {
            *called.entry(one).or_default() += 1;
        }
    }
    let is_one = |name: &String| called.get(name) == Some(&1);
    let word = |runner: &Runner<'_>| {
        let name = runner.text("name").filter(|name| is_plain(name)).map(str::to_owned);
        let id = runner.id().filter(|id| *id >= 0).map(|id| id.to_string());
        let text = [name, id].into_iter().flatten().find(is_one)?;
        let executor = runner.text("executor").filter(|executor| EXECUTORS.contains(executor));
        Some(Word::new(text, executor.unwrap_or_default()))
    };
    Ok(runners.iter().filter_map(word).collect())
}

/// True for a name that is one word to every shell, and no option.
fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._@:+-".contains(c);
    name.len() <= MOST_CHARACTERS && !name.is_empty() && !name.starts_with('-') && name.chars().all(fits)
}
