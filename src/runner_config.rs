//! The `[[runners]]` entries of a `config.toml`, in whichever notation they are written: pure, text in,
//! values out.
//!
//! Knows what the values mean to gitlab-runner, not what is wanted of them. Shows of a value its kind and
//! place, never the value itself.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use crate::fault::fault;
use crate::text::position::line_column;
use crate::text::toml_patch::Toml;

/// Where GitLab's package has the file.
pub const USUAL_PATH: &str = "/etc/gitlab-runner/config.toml";

/// The executors that read `[runners.docker]`.
pub const DOCKER_EXECUTORS: [&str; 4] = ["docker", "docker-windows", "docker+machine", "docker-autoscaler"];

/// The executors that gitlab-runner knows.
pub const EXECUTORS: [&str; 11] = [
    "shell",
    "custom",
    "instance",
    "docker",
    "docker-windows",
    "docker-autoscaler",
    "docker+machine",
    "kubernetes",
    "ssh",
    "parallels",
    "virtualbox",
];

/// One runner.
pub struct Runner<'a> {
    /// Its place in the list, counted from 0.
    pub index: usize,
    /// Its keys.
    pub table: &'a dyn TableLike,
}

/// All runners of a file.
///
/// # Errors
/// When `runners` is something else than a list of tables.
pub fn list<'a>(toml: &'a Toml, shown: &str) -> Result<Vec<Runner<'a>>> {
    let Some(item) = toml.root().get("runners") else { return Ok(Vec::new()) };
    let wrong = |item: &Item| {
        fault(
            "config-shape",
            format!(
                "{shown}: {}`runners` is {}, gitlab-runner wants [[runners]]",
                place(toml, item),
                kind(item)
            ),
            "write [[runners]] with two brackets for each runner",
        )
    };
    let tables = tables(item).ok_or_else(|| wrong(item))?;
    Ok(tables.into_iter().enumerate().map(|(index, table)| Runner { index, table }).collect())
}

/// The tables of a list of tables; `None` when it is something else.
#[must_use]
pub fn tables(item: &Item) -> Option<Vec<&dyn TableLike>> {
    match item {
        Item::ArrayOfTables(tables) => Some(tables.iter().map(|table| table as &dyn TableLike).collect()),
        Item::Value(value) => value.as_array().and_then(|array| {
            array.iter().map(|value| value.as_inline_table().map(|table| table as &dyn TableLike)).collect()
        }),
        _ => None,
    }
}

/// The elements of a list of strings; `None` when it is something else.
#[must_use]
pub fn strings(item: &Item) -> Option<Vec<&str>> {
    item.as_array()?.iter().map(toml_edit::Value::as_str).collect()
}

/// The elements of a list of strings at a key; none when it is absent or something else.
#[must_use]
pub fn strings_at<'a>(table: Option<&'a dyn TableLike>, key: &str) -> Vec<&'a str> {
    table.and_then(|table| table.get(key)).and_then(strings).unwrap_or_default()
}

/// The volumes of a `[runners.docker]`.
#[must_use]
pub fn volumes(docker: Option<&dyn TableLike>) -> Vec<&str> {
    strings_at(docker, "volumes")
}

/// The path in the container: `/p`, `SOURCE:/p` or `SOURCE:/p:MODE` (Docker's notation).
#[must_use]
pub fn container_path(volume: &str) -> &str {
    let mut parts = volume.split(':');
    let first = parts.next().unwrap_or_default();
    let path = parts.next().filter(|second| second.starts_with('/')).unwrap_or(first);
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

/// What makes two elements of a list the same one: a volume is known by its path in the container, a
/// variable by its name.
#[must_use]
pub fn identity<'e>(key: &str, element: &'e str) -> &'e str {
    match key {
        "environment" => element.split_once('=').map_or(element, |(name, _)| name),
        "volumes" => container_path(element),
        _ => element,
    }
}

/// True for the socket of the host's daemon, as source or in the container.
#[must_use]
pub fn is_daemon_socket(volume: &str) -> bool {
    volume.split(':').any(|part| part.ends_with("/docker.sock") && !part.starts_with("/runner/"))
}

impl<'a> Runner<'a> {
    /// The text at a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.table.get(key).and_then(Item::as_str)
    }

    /// The number that GitLab gave it.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.table.get("id").and_then(Item::as_integer)
    }

    /// True when it is meant by this name or id.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.text("name") == Some(name) || self.id().is_some_and(|id| id.to_string() == *name)
    }

    /// For people: `runners[0] "name"`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.text("name") {
            Some(name) => format!("runners[{}] {name:?}", self.index),
            None => format!("runners[{}]", self.index),
        }
    }

    /// The `[runners.docker]` table, when there is one.
    ///
    /// # Errors
    /// When `docker` is something else.
    pub fn docker(&self, toml: &Toml, shown: &str) -> Result<Option<&'a dyn TableLike>> {
        let Some(item) = self.table.get("docker") else { return Ok(None) };
        match item.as_table_like() {
            Some(table) => Ok(Some(table)),
            None => Err(self.wrong(toml, item, &["docker"], "a table", shown)),
        }
    }

    /// The `[runners.docker]` table; what is no table counts as none.
    #[must_use]
    pub fn docker_table(&self) -> Option<&'a dyn TableLike> {
        self.table.get("docker").and_then(Item::as_table_like)
    }

    /// True when `host` is the address of another machine's daemon.
    #[must_use]
    pub fn is_remote(docker: Option<&dyn TableLike>) -> bool {
        let Some(host) = docker.and_then(|docker| docker.get("host")).and_then(Item::as_str) else {
            return false;
        };
        let Some((scheme, rest)) = host.split_once("://") else { return false };
        let name = rest.trim_start_matches('[').split([':', '/', ']']).next().unwrap_or_default();
        let local = rest.starts_with("[::1]") || name == "localhost" || name.starts_with("127.");
        matches!(scheme, "tcp" | "http" | "https" | "ssh") && !local
    }

    /// A value of another type than gitlab-runner wants.
    #[must_use]
    pub fn wrong(&self, toml: &Toml, item: &Item, keys: &[&str], want: &str, shown: &str) -> anyhow::Error {
        let keys = keys.join(".");
        fault(
            "config-shape",
            format!("{shown}: {}{}: `{keys}` is {}, not {want}", place(toml, item), self.title(), kind(item)),
            format!("correct `{keys}` by hand; gitlab-runner can't read it either"),
        )
    }
}

/// `line L, column C: `, never the line itself.
#[must_use]
pub fn place(toml: &Toml, item: &Item) -> String {
    item.span().map(|span| place_at(toml, span.start)).unwrap_or_default()
}

/// The same for an offset in the text.
#[must_use]
pub fn place_at(toml: &Toml, offset: usize) -> String {
    let (line, column) = line_column(toml.text(), offset);
    format!("line {line}, column {column}: ")
}

/// What a value is, in words.
#[must_use]
pub fn kind(item: &Item) -> &'static str {
    match item {
        Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "a list of tables",
        Item::Value(value) if value.is_str() => "a string",
        Item::Value(value) if value.is_array() => "a list",
        Item::Value(value) if value.is_inline_table() => "a table",
        Item::Value(value) if value.is_bool() => "a truth value",
        Item::Value(_) => "a number or a time",
        Item::None => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_known_by_their_path_in_the_container() {
        for (volume, path) in [
            ("/cache", "/cache"),
            ("/certs/client/", "/certs/client"),
            ("certs:/certs/client", "/certs/client"),
            ("/srv/a:/b:ro", "/b"),
            ("/", "/"),
        ] {
            assert_eq!(container_path(volume), path);
        }
        assert!(is_daemon_socket("/run/docker.sock:/var/run/docker.sock"));
        assert!(!is_daemon_socket("/runner/services/docker/docker.sock"));
    }
}
