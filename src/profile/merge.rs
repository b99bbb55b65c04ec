//! Several profiles become one: tables are joined, lists united, what a profile `replaces` is replaced, and any other
//! contradiction names both sides.
//!
//! Comments stay, because people read the result (`profile show`) and copy it.

use std::ops::Range;
use std::rc::Rc;

use anyhow::Result;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml_edit::{Document, DocumentMut, Item, Key, Table, TableLike, Value};

use super::position::{Excerpt, suggest};
use super::source::{HEAD, ProfileSource};
use crate::fault::fault;
use crate::repair::Repair;
use crate::text::toml_patch;

/// Let the values that a layer says it `replaces` take the place of those of the layers before it.
fn replace(into: &mut Table, own: &DocumentMut, layer: &ProfileSource) -> Result<()> {
    for (index, path) in layer.replaces()?.iter().enumerate() {
        let wrong = |message: String, repair: Repair| {
            let list = layer.document.get("replaces");
            let span = list.and_then(|list| list.get(index).map_or_else(|| list.span(), Item::span));
            fault("profile-invalid", layer.quoted().render(span, &message), repair)
        };
        let steps = steps(path);
        let new = find(own.as_table(), &steps).filter(|_| !HEAD.contains(&path.as_str()));
        let (Some((key, item)), Some((name, parents))) = (new, steps.split_last()) else {
            let what = format!("`{path}` is to be replaced, and there is no value for it here");
            return Err(wrong(what, mend!("give a value for {}, or take it out of `replaces`", path)));
        };
        let table = parents.iter().try_fold(&mut *into, |table, name| table.get_mut(name)?.as_table_mut());
        let Some(table) = table.filter(|table| table.contains_key(name)) else {
            let all = paths(into);
            let known: Vec<&str> =
                all.iter().map(|(path, _)| path.as_str()).filter(|path| *path != "summary").collect();
            let near =
                suggest(path, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(wrong(
                format!("`{path}` replaces nothing: no profile before this one has a value for it{near}"),
                mend!("take {} out of `replaces`, or name the profile that has it in `extends`", path),
            ));
        };
        table.insert(name, unplaced(item));
        if let Some(mut old) = table.key_mut(name) {
            *old.leaf_decor_mut() = key.leaf_decor().clone();
        }
    }
    Ok(())
}

/// The names of a dotted path, of which those with a dot stand in quotes.
fn steps(path: &str) -> Vec<String> {
    let keys = Key::parse(path).map(|keys| keys.iter().map(|key| key.get().to_owned()).collect());
    keys.unwrap_or_else(|_| vec![path.to_owned()])
}

/// The key and the value at a path.
fn find<'a>(top: &'a Table, steps: &[String]) -> Option<(&'a Key, &'a Item)> {
    let (name, parents) = steps.split_last()?;
    let mut table: &dyn TableLike = top;
    for name in parents {
        table = table.get(name)?.as_table_like()?;
    }
    table.get_key_value(name)
}

/// The dotted paths of all values, with their places in the text.
pub(super) fn paths(top: &dyn TableLike) -> Vec<(String, Option<Range<usize>>)> {
    let mut all = Vec::new();
    for (key, item) in top.iter() {
        let key = toml_patch::key(key);
        let below = item.as_table_like().map(paths).unwrap_or_default();
        let below = below.into_iter().map(|(path, span)| (format!("{key}.{path}"), span));
        all.extend([(key.clone(), item.span())].into_iter().chain(below));
    }
    all
}

/// Join the sections of all layers, the first layer's order kept.
pub(super) fn merge(layers: &[Rc<ProfileSource>]) -> Result<Document<String>> {
    let mut merged = DocumentMut::new();
    // Comments and spacing of a read-only document are places in its text; only copies carry them over.
    let documents: Vec<DocumentMut> = layers.iter().map(|layer| layer.document.clone().into_mut()).collect();
    // The most specific profile says what the whole is for, with the comment above it.
    if let Some((key, item)) = documents.iter().rev().find_map(|document| document.get_key_value("summary")) {
        merged.as_table_mut().insert_formatted(key, item.clone());
    }
    let mut trailing = String::new();
    for (layer, document) in layers.iter().zip(&documents) {
        replace(merged.as_table_mut(), document, layer)?;
        for (name, _) in document.iter() {
            let Some((key, item)) = document.get_key_value(name) else { continue };
            if !HEAD.contains(&name) {
                join(merged.as_table_mut(), key, item, name, layer, layers)?;
            }
        }
        trailing.push_str(document.trailing().as_str().unwrap_or_default());
    }
    merged.set_trailing(trailing);
    let text = merged.to_string();
    Document::parse(text)
        .map_err(|error| anyhow::anyhow!("the merged profile is not valid TOML: {}", error.message()))
}

fn join(
    into: &mut Table,
    key: &Key,
    item: &Item,
    path: &str,
    from: &ProfileSource,
    all: &[Rc<ProfileSource>],
) -> Result<()> {
    let mut item = unplaced(item);
    let mut known = into.get_mut(key.get());
    // A list of tables has two notations.
    if let Some(known) = known.as_deref_mut() {
        match (known.is_array_of_tables(), item.is_array_of_tables()) {
            (true, false) => spread(&mut item),
            (false, true) => spread(known),
            _ => {}
        }
    }
    match (known, item) {
        (None, item) => {
            into.insert_formatted(key, item);
        }
        (Some(Item::Table(old)), Item::Table(new)) => {
            for (name, _) in &new {
                let Some((key, item)) = new.get_key_value(name) else { continue };
                join(old, key, item, &format!("{path}.{}", toml_patch::key(name)), from, all)?;
            }
        }
        (Some(Item::Value(Value::Array(old))), Item::Value(Value::Array(new))) => {
            let says = |value: &Value| meaning(&Item::Value(value.clone()));
            let known: Vec<_> = old.iter().map(says).collect();
            let is_missing = |value: &&Value| !known.contains(&says(value));
            let missing: Vec<Value> = new.iter().filter(is_missing).map(bare).collect();
            if !missing.is_empty() {
                for value in missing {
                    old.push_formatted(value);
                }
                old.fmt();
            }
        }
        (Some(Item::ArrayOfTables(old)), Item::ArrayOfTables(new)) => {
            for table in &new {
                let says = |table: &Table| meaning(&Item::Table(table.clone()));
                if !old.iter().any(|known| says(known) == says(table)) {
                    old.push(table.clone());
                }
            }
        }
        (Some(old), new) => {
            if meaning(old) != meaning(&new) {
                let (old, new) = (plain(old).to_string(), plain(&new).to_string());
                let first = all
                    .iter()
                    .find(|layer| !std::ptr::eq(layer.as_ref(), from) && own(layer, path).is_some());
                return Err(contradiction(path, &old, &new, first, from));
            }
        }
    }
    Ok(())
}

/// Inline tables in a list as tables; any other list stays.
fn spread(item: &mut Item) {
    let Some(array) = item.as_array() else { return };
    let table = |value: &Value| plain(&Item::Value(value.clone())).into_table().ok();
    if let Some(tables) = array.iter().map(table).collect() {
        *item = Item::ArrayOfTables(tables);
    }
}

/// What an item says, in whichever notation.
fn meaning(item: &Item) -> Option<serde_json::Value> {
    serde_json::Value::deserialize(item.clone().into_value().ok()?.into_deserializer()).ok()
}

/// A copy that may stand anywhere in the document, with its comments; inline tables as tables.
fn unplaced(item: &Item) -> Item {
    match item {
        Item::Value(Value::InlineTable(_)) => plain(item),
        Item::Table(table) => Item::Table(unplaced_table(table)),
        Item::ArrayOfTables(tables) => Item::ArrayOfTables(tables.iter().map(unplaced_table).collect()),
        other => other.clone(),
    }
}

fn unplaced_table(table: &Table) -> Table {
    let mut copy = Table::new();
    *copy.decor_mut() = table.decor().clone();
    copy.set_implicit(table.is_implicit());
    for (name, _) in table {
        if let Some((key, item)) = table.get_key_value(name) {
            copy.insert_formatted(key, unplaced(item));
        }
    }
    copy
}

/// A copy without comments and spacing, inline tables as tables, so that equal values look equal.
fn plain(item: &Item) -> Item {
    match item {
        Item::Value(Value::Array(array)) => Item::Value(Value::Array(array.iter().map(bare).collect())),
        Item::Value(Value::InlineTable(table)) => {
            Item::Table(table.iter().map(|(key, value)| (key, plain(&Item::Value(value.clone())))).collect())
        }
        Item::Value(value) => Item::Value(bare(value)),
        Item::Table(table) => Item::Table(plain_table(table)),
        Item::ArrayOfTables(tables) => Item::ArrayOfTables(tables.iter().map(plain_table).collect()),
        Item::None => Item::None,
    }
}

fn plain_table(table: &Table) -> Table {
    table.iter().map(|(key, item)| (key, plain(item))).collect()
}

fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    value.decor_mut().clear();
    value
}

/// The value that the layer itself has at this dotted path.
fn own<'l>(layer: &'l ProfileSource, path: &str) -> Option<&'l Item> {
    steps(path).iter().try_fold(layer.document.as_item(), |item, key| item.get(key))
}

fn contradiction(
    path: &str,
    old: &str,
    new: &str,
    first: Option<&Rc<ProfileSource>>,
    second: &ProfileSource,
) -> anyhow::Error {
    let shows =
        [Some(second), first.map(AsRef::as_ref)].into_iter().flatten().map(|layer| layer.quoted().show);
    let show = shows.min().unwrap_or(Excerpt::Lines);
    let first = first.map_or("another profile", |layer| layer.origin.as_str());
    let span = own(second, path).and_then(Item::span);
    let message = if show == Excerpt::Lines {
        format!("`{path}` is {} here and {} in {first}", new.trim(), old.trim())
    } else {
        format!("`{path}` is another here than in {first}")
    };
    fault("profile-contradiction", second.quoted().render(span, &message), second.how_to_replace(path))
}
