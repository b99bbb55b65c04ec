//! Several profiles become one: tables are joined, lists united, and a contradiction names both sides.

use std::rc::Rc;

use anyhow::Result;
use toml_edit::{Array, Document, DocumentMut, Item, Table, Value};

use super::{Source, position};
use crate::fault::fault;

/// Join the sections of all layers, the first layer's order kept.
pub(super) fn merge(layers: &[Rc<Source>]) -> Result<Document<String>> {
    let mut merged = DocumentMut::new();
    // The most specific profile says what the whole is for.
    if let Some(summary) = layers.iter().rev().find_map(|layer| layer.summary()) {
        merged.insert("summary", toml_edit::value(summary));
    }
    for layer in layers {
        for (key, item) in layer.document.iter() {
            if key != "summary" && key != "extends" {
                join(merged.as_table_mut(), key, item, key, layer, layers)?;
            }
        }
    }
    let text = merged.to_string();
    Document::parse(text)
        .map_err(|error| anyhow::anyhow!("the merged profile is no valid TOML: {}", error.message()))
}

fn join(
    into: &mut Table,
    key: &str,
    item: &Item,
    path: &str,
    from: &Source,
    all: &[Rc<Source>],
) -> Result<()> {
    let item = plain(item);
    match (into.get_mut(key), item) {
        (None, item) => {
            into.insert(key, item);
        }
        (Some(Item::Table(old)), Item::Table(new)) => {
            for (key, item) in &new {
                join(old, key, item, &format!("{path}.{key}"), from, all)?;
            }
        }
        (Some(Item::Value(Value::Array(old))), Item::Value(Value::Array(new))) => {
            for value in &new {
                if !old.iter().any(|known| known.to_string() == value.to_string()) {
                    old.push_formatted(value.clone());
                }
            }
            old.fmt();
        }
        (Some(Item::ArrayOfTables(old)), Item::ArrayOfTables(new)) => {
            for table in &new {
                if !old.iter().any(|known| known.to_string() == table.to_string()) {
                    old.push(table.clone());
                }
            }
        }
        (Some(old), new) if old.to_string().trim() == new.to_string().trim() => {}
        (Some(old), new) => {
            let first = all.iter().find(|layer| !std::ptr::eq(layer.as_ref(), from) && says(layer, path));
            return Err(contradiction(path, &old.to_string(), &new.to_string(), first, from));
        }
    }
    Ok(())
}

/// A copy without comments and spacing, inline tables as tables, so that equal values look equal.
fn plain(item: &Item) -> Item {
    match item {
        Item::Value(Value::Array(array)) => Item::Value(Value::Array(plain_array(array))),
        Item::Value(Value::InlineTable(table)) => {
            Item::Table(table.iter().map(|(key, value)| (key, plain(&Item::Value(value.clone())))).collect())
        }
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            Item::Value(value)
        }
        Item::Table(table) => Item::Table(plain_table(table)),
        Item::ArrayOfTables(tables) => Item::ArrayOfTables(tables.iter().map(plain_table).collect()),
        Item::None => Item::None,
    }
}

fn plain_table(table: &Table) -> Table {
    table.iter().map(|(key, item)| (key, plain(item))).collect()
}

fn plain_array(array: &Array) -> Array {
    let mut copy = Array::new();
    for value in array {
        let mut value = value.clone();
        value.decor_mut().clear();
        copy.push_formatted(value);
    }
    copy
}

/// True when the layer itself has a value at this dotted path.
fn says(layer: &Source, path: &str) -> bool {
    let mut item: Option<&Item> = Some(layer.document.as_item());
    for key in path.split('.') {
        item = item.and_then(|item| item.get(key));
    }
    item.is_some()
}

fn contradiction(
    path: &str,
    old: &str,
    new: &str,
    first: Option<&Rc<Source>>,
    second: &Source,
) -> anyhow::Error {
    let first = first.map_or("another profile", |layer| layer.origin.as_str());
    let span =
        path.split('.').try_fold(second.document.as_item(), |item, key| item.get(key)).and_then(Item::span);
    let message = format!("`{path}` is {} here and {} in {first}", new.trim(), old.trim());
    fault(
        "profile-contradiction",
        position::render(&second.origin, second.document.raw(), span, &message),
        "use one of the two profiles alone, or give the same value in both",
    )
}
