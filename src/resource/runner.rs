//! A `[[runners]]` entry of `config.toml`: which ones are meant, and what in them stands in the way.

use anyhow::Result;
use toml_edit::{Item, TableLike};

use super::config::strings;
use super::settings::Setting;
use crate::change::Notes;
use crate::fault::fault;
use crate::profile::suggest;
use crate::text::position::line_column;
use crate::text::toml_patch::{Scalar, Toml};

/// One runner, in whichever notation it is written.
pub(super) struct Runner<'a> {
    /// Its place in the list, counted from 0.
    pub(super) index: usize,
    /// Its keys.
    pub(super) table: &'a dyn TableLike,
}

/// All runners of a file.
///
/// # Errors
/// When `runners` is something else than a list of tables.
pub(super) fn list<'a>(toml: &'a Toml, shown: &str) -> Result<Vec<Runner<'a>>> {
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
    let tables: Option<Vec<&dyn TableLike>> = match item {
        Item::ArrayOfTables(tables) => Some(tables.iter().map(|table| table as &dyn TableLike).collect()),
        Item::Value(value) => value.as_array().and_then(|array| {
            array.iter().map(|value| value.as_inline_table().map(|table| table as &dyn TableLike)).collect()
        }),
        _ => None,
    };
    let tables = tables.ok_or_else(|| wrong(item))?;
    Ok(tables.into_iter().enumerate().map(|(index, table)| Runner { index, table }).collect())
}

/// The runners that are meant: those that were named, else those with one of the executors.
///
/// # Errors
/// When a name fits none or several.
pub(super) fn select<'r, 'a>(
    runners: &'r [Runner<'a>],
    executors: &[String],
    names: &[String],
    shown: &str,
) -> Result<Vec<&'r Runner<'a>>> {
    if names.is_empty() {
        let meant = |runner: &&Runner<'_>| {
            executors.iter().any(|name| Some(name.as_str()) == runner.text("executor"))
        };
        return Ok(runners.iter().filter(meant).collect());
    }
    let mut meant: Vec<&Runner<'a>> = Vec::new();
    for name in names {
        let fits = |runner: &&Runner<'_>| {
            runner.text("name") == Some(name) || runner.id().is_some_and(|id| id.to_string() == *name)
        };
        let found: Vec<&Runner<'a>> = runners.iter().filter(fits).collect();
        match found[..] {
            [one] => meant.push(one),
            [] => {
                let known: Vec<&str> = runners.iter().filter_map(|runner| runner.text("name")).collect();
                let near =
                    suggest(name, &known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                return Err(fault(
                    "runner-unknown",
                    format!("{shown} has no runner with the name or id {name:?}{near}"),
                    format!("its runners are: {}", known.join(", ")),
                ));
            }
            _ => {
                return Err(fault(
                    "runner-ambiguous",
                    format!("{shown} has {} runners with the name or id {name:?}", found.len()),
                    "name the one that is meant by its id, or give the runners different names",
                ));
            }
        }
    }
    meant.sort_by_key(|runner| runner.index);
    meant.dedup_by_key(|runner| runner.index);
    Ok(meant)
}

/// What makes two elements of a list the same one: a volume is known by its path in the container, a
/// variable by its name.
pub(super) fn identity<'e>(key: &str, element: &'e str) -> &'e str {
    match key {
        "environment" => element.split_once('=').map_or(element, |(name, _)| name),
        "volumes" => container_path(element),
        _ => element,
    }
}

/// The path in the container: `/p`, `SOURCE:/p` or `SOURCE:/p:MODE` (Docker's notation).
pub(super) fn container_path(volume: &str) -> &str {
    let mut parts = volume.split(':');
    let first = parts.next().unwrap_or_default();
    let path = parts.next().filter(|second| second.starts_with('/')).unwrap_or(first);
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

/// True for the socket of the host's daemon, as source or in the container.
fn is_daemon_socket(volume: &str) -> bool {
    volume.split(':').any(|part| part.ends_with("/docker.sock") && !part.starts_with("/runner/"))
}

impl<'a> Runner<'a> {
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.table.get(key).and_then(Item::as_str)
    }

    fn id(&self) -> Option<i64> {
        self.table.get("id").and_then(Item::as_integer)
    }

    /// For people: `runners[0] "name"`.
    pub(super) fn title(&self) -> String {
        match self.text("name") {
            Some(name) => format!("runners[{}] {name:?}", self.index),
            None => format!("runners[{}]", self.index),
        }
    }

    /// The `[runners.docker]` table, when there is one.
    pub(super) fn docker(&self, toml: &Toml, shown: &str) -> Result<Option<&'a dyn TableLike>> {
        let Some(item) = self.table.get("docker") else { return Ok(None) };
        match item.as_table_like() {
            Some(table) => Ok(Some(table)),
            None => Err(self.wrong(toml, item, &["docker"], "a table", shown)),
        }
    }

    /// True when `host` is the address of another machine's daemon.
    pub(super) fn is_remote(docker: Option<&dyn TableLike>) -> bool {
        let Some(host) = docker.and_then(|docker| docker.get("host")).and_then(Item::as_str) else {
            return false;
        };
        let Some((scheme, rest)) = host.split_once("://") else { return false };
        let name = rest.trim_start_matches('[').split([':', '/', ']']).next().unwrap_or_default();
        let local = rest.starts_with("[::1]") || name == "localhost" || name.starts_with("127.");
        matches!(scheme, "tcp" | "http" | "https" | "ssh") && !local
    }

    /// Docker-in-Docker and the host's own socket exclude each other: volumes go to services too, and
    /// `docker` in the job prefers the socket.
    pub(super) fn refuse_clash(
        &self,
        docker: Option<&dyn TableLike>,
        wanted: &[(String, Setting)],
        shown: &str,
        notes: &mut Notes,
    ) -> Result<()> {
        let found = volumes(docker);
        let asked: Vec<&str> = wanted
            .iter()
            .filter(|(key, _)| key == "volumes")
            .filter_map(|(_, setting)| match setting {
                Setting::List(list) => Some(list.iter().map(String::as_str)),
                Setting::Scalar(_) => None,
            })
            .flatten()
            .collect();
        let on = |name: &str| {
            wanted.iter().any(|(key, setting)| key == name && *setting == Setting::Scalar(Scalar::Bool(true)))
        };
        let is_certs = |volume: &&str| container_path(volume).starts_with("/certs");
        let wants_dind = on("privileged") || on("services_privileged") || asked.iter().any(is_certs);
        let has_socket = found.iter().any(|volume| is_daemon_socket(volume));
        let wants_socket = asked.iter().any(|volume| is_daemon_socket(volume));
        if (wants_dind && has_socket) || (wants_socket && found.iter().any(is_certs)) {
            return Err(fault(
                "docker-sock-and-dind",
                format!(
                    "{shown}: {} mounts the host's docker.sock and is to run Docker-in-Docker: volumes go to the \
                     service too, and builds would silently use the host's daemon",
                    self.title()
                ),
                "take docker.sock (or /certs/client) out of its volumes, or name other runners with --runner",
            ));
        }
        if wants_socket {
            notes.warn(
                "root-equivalent-socket",
                format!(
                    "{}: a job that reaches docker.sock is root on the host (docker run -v /:/host)",
                    self.title()
                ),
                "keep such a runner for jobs that you would let administer the host",
            );
        }
        Ok(())
    }

    /// Values that have no effect where they stand, or share what should not be shared.
    pub(super) fn warn(&self, docker: Option<&dyn TableLike>, notes: &mut Notes) {
        for key in ["privileged", "volumes", "image", "tls_verify", "services_privileged"] {
            if self.table.contains_key(key) {
                notes.warn(
                    "config-misplaced",
                    format!("{}: `{key}` under [[runners]] has no effect", self.title()),
                    format!("move `{key}` below [runners.docker]"),
                );
            }
        }
        for volume in volumes(docker) {
            let path = container_path(volume);
            if path == "/certs" {
                notes.warn(
                    "certs-ca-shared",
                    format!(
                        "{}: the volume /certs hands the certificate authority's key to jobs",
                        self.title()
                    ),
                    "use /certs/client instead",
                );
            } else if path == "/certs/client" && volume.trim_end_matches('/') != path {
                notes.warn(
                    "certs-shared",
                    format!(
                        "{}: /certs/client comes from one place for all jobs, which share certificates",
                        self.title()
                    ),
                    "use the bare /certs/client: one volume for each project and job slot",
                );
            }
        }
    }

    /// An allow-list of privileged images is only as narrow as its widest element, and elements that are
    /// there stay.
    pub(super) fn warn_of_extra(&self, key: &str, found: &[&str], wanted: &[String], notes: &mut Notes) {
        let extra: Vec<&str> =
            found.iter().copied().filter(|element| !wanted.iter().any(|wanted| wanted == element)).collect();
        if !extra.is_empty() {
            notes.warn(
                "allow-list-wider",
                format!(
                    "{}: {key} also allows {}, which the profile does not ask for",
                    self.title(),
                    extra.join(", ")
                ),
                format!("take those elements out of {key} by hand if nobody needs them"),
            );
        }
    }

    /// A value of another type than gitlab-runner wants.
    pub(super) fn wrong(
        &self,
        toml: &Toml,
        item: &Item,
        keys: &[&str],
        want: &str,
        shown: &str,
    ) -> anyhow::Error {
        let keys = keys.join(".");
        fault(
            "config-shape",
            format!("{shown}: {}{}: `{keys}` is {}, not {want}", place(toml, item), self.title(), kind(item)),
            format!("correct `{keys}` by hand; gitlab-runner can't read it either"),
        )
    }
}

fn volumes(docker: Option<&dyn TableLike>) -> Vec<&str> {
    docker.and_then(|docker| docker.get("volumes")).and_then(strings).unwrap_or_default()
}

/// `line L, column C: `, never the line itself.
fn place(toml: &Toml, item: &Item) -> String {
    match item.span() {
        Some(span) => {
            let (line, column) = line_column(toml.text(), span.start);
            format!("line {line}, column {column}: ")
        }
        None => String::new(),
    }
}

fn kind(item: &Item) -> &'static str {
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
