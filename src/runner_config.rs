//! The `[[runners]]` entries of a `config.toml`, in whichever notation: pure, text in, values out.
//!
//! Knows what the values mean to gitlab-runner, not what is wanted of them. Shows of a value its kind and
//! place, never the value itself.

pub mod dind;
mod duration;
pub mod edits;
mod hosts;
mod images;
mod limits;
mod notation;
mod refused;
mod types;
mod volume;
mod wall;

use std::borrow::Cow;

use anyhow::Result;
use toml_edit::{Item, TableLike};

pub use duration::{duration, nanoseconds};
pub use hosts::{host_names, host_of, own_server};
pub use notation::{Notation, notations};
pub use refused::{POLICIES, POLICY_KEYS, refused_values};
pub use types::{RefusedValue, slots, wrong_type};
pub use volume::Volume;
pub use wall::{Exposure, Grant, allows_anybody, exposures};

use crate::fault::fault;
use crate::keys;
use crate::text::known_hosts::HostName;
use crate::text::toml_patch::Toml;

/// The image for jobs of a runner that is registered today. docker:19.03 does not start where there are control groups
/// of version 2 alone.
pub const IMAGE: &str = "docker:28";

/// Where GitLab's package has the file.
pub const USUAL_PATH: &str = "/etc/gitlab-runner/config.toml";

/// What keeps a runner from asking for jobs: [`Runner::has_odd_address`], [`Runner::has_token`].
pub const NO_ADDRESS: &str = "its `url` is no address with https:// or http://, where it could ask for jobs";

/// The same.
pub const NO_TOKEN: &str = "it has no token: it can't ask for jobs";

/// The section of the runners.
pub const RUNNERS: &str = "runners";

/// The section of the containers of their jobs.
pub const DOCKER: &str = "runners.docker";

/// The section of the services that a runner gives its jobs.
pub const SERVICES: &str = "runners.docker.services";

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

/// The tables below `[[runners]]` that an executor reads and others do not, its own first.
pub fn sections(executor: &str) -> &'static [&'static str] {
    match executor {
        "docker" | "docker-windows" => &["runners.docker"],
        "docker+machine" => &["runners.docker", "runners.machine"],
        "docker-autoscaler" => &["runners.docker", "runners.autoscaler"],
        "instance" => &["runners.instance", "runners.autoscaler"],
        "kubernetes" => &["runners.kubernetes"],
        "custom" => &["runners.custom"],
        "ssh" => &["runners.ssh"],
        "parallels" => &["runners.parallels", "runners.ssh"],
        "virtualbox" => &["runners.virtualbox", "runners.ssh"],
        _ => &[],
    }
}

/// The table of `[[runners]]` that a section is in: of `runners.cache.s3` it is `runners.cache`.
pub fn table_of(section: &str) -> &str {
    section.match_indices('.').nth(1).map_or(section, |(end, _)| &section[..end])
}

/// The socket of the daemon when nobody says otherwise.
pub const SOCKET: &str = "/var/run/docker.sock";

/// True for an address that is that socket, under either name.
pub fn is_usual_daemon(host: &str) -> bool {
    host.strip_prefix("unix://")
        .is_some_and(|path| path == SOCKET || SOCKET.strip_prefix("/var") == Some(path))
}

/// One runner.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Its place in the list, counted from 0.
    pub index: usize,
    /// Its keys.
    pub table: &'a dyn TableLike,
}

/// How people are told of a runner: `runners[0] "name"`.
pub fn title(index: usize, name: Option<&str>) -> String {
    let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
    format!("{RUNNERS}[{index}]{name}")
}

/// All runners of a file.
///
/// # Errors
/// When `runners` is something else than a list of tables, or a key of them is written in an unusual case.
pub fn list<'a>(toml: &'a Toml, shown: &str) -> Result<Vec<Runner<'a>>> {
    usual_case(toml, toml.root(), keys::GLOBAL, shown)?;
    let Some(item) = toml.root().get("runners") else { return Ok(Vec::new()) };
    let wrong = |item: &Item| {
        let what = format!(
            "{shown}: {}`runners` is {}, gitlab-runner wants [[runners]]",
            place(toml, item),
            kind(item)
        );
        fault("config-shape", what, "write [[runners]] with two brackets for each runner")
    };
    let tables = tables(item).ok_or_else(|| wrong(item))?;
    for table in &tables {
        usual_case(toml, *table, "runners", shown)?;
        let Some(docker) = table.get("docker").and_then(Item::as_table_like) else { continue };
        usual_case(toml, docker, "runners.docker", shown)?;
        for service in docker.get("services").and_then(self::tables).into_iter().flatten() {
            usual_case(toml, service, SERVICES, shown)?;
        }
    }
    Ok(tables.into_iter().enumerate().map(|(index, table)| Runner { index, table }).collect())
}

/// gitlab-runner finds `Privileged` where it looks for `privileged`, and of both in one table takes either.
fn usual_case(toml: &Toml, table: &dyn TableLike, section: &str, shown: &str) -> Result<()> {
    // No key of these sections has capitals.
    for (name, item) in table.iter().filter(|(name, _)| name.bytes().any(|byte| byte.is_ascii_uppercase())) {
        if let Some(usual) = keys::find_ignoring_case(section, name).filter(|key| key.name != name) {
            return Err(unusual_case(toml, item, &format!("`{name}`"), usual.name, shown));
        }
    }
    Ok(())
}

/// The tables of a list of tables; `None` when it is something else.
pub fn tables(item: &Item) -> Option<Vec<&dyn TableLike>> {
    match item {
        Item::ArrayOfTables(tables) => Some(tables.iter().map(|table| table as &dyn TableLike).collect()),
        Item::Value(value) => value.as_array().and_then(|array| {
            array.iter().map(|value| value.as_inline_table().map(|table| table as &dyn TableLike)).collect()
        }),
        _ => None,
    }
}

/// The key of a runner that names the file with the certificates to trust.
pub const AUTHORITY: &str = "tls-ca-file";

/// Where gitlab-runner looks for those of a server by itself.
pub fn certificates_of(server: &str) -> String {
    format!("/etc/gitlab-runner/certs/{server}.crt")
}

/// The elements of a list of strings; `None` when it is something else.
pub fn strings(item: &Item) -> Option<Vec<&str>> {
    item.as_array()?.iter().map(toml_edit::Value::as_str).collect()
}

/// The elements of a list of strings at a key; none when it is absent or something else.
pub fn strings_at<'a>(table: Option<&'a dyn TableLike>, key: &str) -> Vec<&'a str> {
    table.and_then(|table| table.get(key)).and_then(strings).unwrap_or_default()
}

/// What makes two elements of a list the same one: a volume is known by its path in the container, a variable by its
/// name.
pub fn identity<'e>(key: &str, element: &'e str) -> Cow<'e, str> {
    match key {
        "environment" => element.split_once('=').map_or(element, |(name, _)| name).into(),
        "volumes" => Volume::parse(element).place().into(),
        _ => element.into(),
    }
}

impl<'a> Runner<'a> {
    /// The text at a key.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.table.get(key).and_then(Item::as_str)
    }

    /// The server that it is registered with.
    pub fn server(&self) -> Option<HostName> {
        self.text("url").and_then(host_of).and_then(|host| HostName::parse(host).ok())
    }

    /// True for an address that gitlab-runner can't ask for jobs, as far as is seen: what a variable in it holds is not.
    pub fn has_odd_address(&self) -> bool {
        self.text("url").filter(|url| !url.contains('$')).is_some_and(|url| {
            let scheme = url.split_once("://").unwrap_or_default().0.to_ascii_lowercase();
            !["http", "https"].contains(&&*scheme) || host_of(url).is_none()
        })
    }

    /// True when it has a token to ask with.
    pub fn has_token(&self) -> bool {
        self.text("token").is_some_and(|token| !token.is_empty())
    }

    /// True when its executor is one that some version has.
    pub fn has_some_executor(&self) -> bool {
        self.text("executor").is_some_and(|name| EXECUTORS.contains(&name) || name.starts_with("docker-ssh"))
    }

    /// The number that GitLab gave it.
    pub fn id(&self) -> Option<i64> {
        self.table.get("id").and_then(Item::as_integer)
    }

    /// True when this is its executor.
    pub fn has_executor(&self, name: &str) -> bool {
        self.text("executor") == Some(name)
    }

    /// True when its executor starts containers.
    pub fn starts_containers(&self) -> bool {
        self.text("executor").is_some_and(|executor| DOCKER_EXECUTORS.contains(&executor))
    }

    /// True unless a section is for other executors than this runner's.
    pub fn reads(&self, section: &str) -> bool {
        let table = table_of(section);
        let is_of = |executor: &&str| sections(executor).contains(&table);
        let own = self.text("executor").filter(|own| EXECUTORS.contains(own));
        own.is_none_or(|own| is_of(&own)) || !EXECUTORS.iter().any(is_of)
    }

    /// True when it is meant by this name or id.
    pub fn is_called(&self, name: &str) -> bool {
        self.text("name") == Some(name) || self.id().is_some_and(|id| id.to_string() == *name)
    }

    /// For people: `runners[0] "name"`.
    pub fn title(&self) -> String {
        title(self.index, self.text("name"))
    }

    /// The `[runners.docker]` table; what is not a table counts as none.
    pub fn docker_table(&self) -> Option<&'a dyn TableLike> {
        self.table.get("docker").and_then(Item::as_table_like)
    }

    /// What stands at a key of `[runners.docker]`.
    pub fn docker_item(&self, key: &str) -> Option<&'a Item> {
        self.docker_table()?.get(key)
    }

    /// The text there.
    pub fn docker_text(&self, key: &str) -> Option<&'a str> {
        self.docker_item(key)?.as_str()
    }

    /// The number there.
    pub fn docker_number(&self, key: &str) -> Option<i64> {
        self.docker_item(key)?.as_integer()
    }

    /// The truth value there.
    pub fn docker_flag(&self, key: &str) -> Option<bool> {
        self.docker_item(key)?.as_bool()
    }

    /// The elements of a list of texts there.
    pub fn docker_strings(&self, key: &str) -> Vec<&'a str> {
        strings_at(self.docker_table(), key)
    }

    /// The variables that it gives jobs.
    pub fn environment(&self) -> Vec<&'a str> {
        strings_at(Some(self.table), "environment")
    }

    /// The address of the daemon that it starts containers with; nothing means that of the service, or the usual one.
    pub fn daemon(&self) -> Option<&'a str> {
        self.docker_text("host").filter(|host| !host.is_empty())
    }

    /// True when it starts containers with the usual daemon of this machine, unless the service says otherwise. Machines
    /// and instances have daemons of their own.
    pub fn has_usual_daemon(&self) -> bool {
        self.has_executor("docker") && self.daemon().is_none_or(is_usual_daemon)
    }

    /// True when its daemon is another machine's.
    pub fn is_remote(&self) -> bool {
        let address = self.daemon().and_then(|host| host.split_once("://"));
        let Some((scheme, rest)) = address else { return false };
        let name = rest.trim_start_matches('[').split([':', '/', ']']).next().unwrap_or_default();
        let local = rest.starts_with("[::1]") || name == "localhost" || name.starts_with("127.");
        matches!(scheme, "tcp" | "http" | "https" | "ssh") && !local
    }
}

/// A key that gitlab-runner finds although it is not written as usual.
pub fn unusual_case(toml: &Toml, item: &Item, written: &str, usual: &str, shown: &str) -> anyhow::Error {
    let at = place(toml, item);
    let what = format!("{shown}: {at}gitlab-runner reads {written} as `{usual}`, other programs do not");
    fault("config-key-case", what, mend!("write it as `{}`, once, then run again", usual))
}

/// `line L, column C: `, never the line itself.
pub fn place(toml: &Toml, item: &Item) -> String {
    item.span().map(|span| place_at(toml, span.start)).unwrap_or_default()
}

/// The same for an offset in the text.
pub fn place_at(toml: &Toml, offset: usize) -> String {
    let (line, column) = toml.line_column(offset);
    format!("line {line}, column {column}: ")
}

/// What a value is, in words.
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
