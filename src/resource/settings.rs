//! Values that a profile wants in `config.toml`, under `config.toml`'s own names and types.
//!
//! Owns their reading from a profile, checked against the table of keys, and their notation.

mod value;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use crate::keys::{self, GLOBAL, Type};
use crate::runner_config::{AUTHORITY, DOCKER, EXECUTORS, RUNNERS, SERVICES};
use crate::text::toml_patch::Scalar;
use value::{Executors, TypedValue, allowed};
pub(super) use value::{GivenService, Setting};

/// The `[config]` section.
#[derive(Debug, Clone, Default)]
pub struct ConfigSection {
    /// Which runners are meant, by their `executor`.
    pub executors: Vec<String>,
    /// Values by their section in the table of keys, those of one section together.
    tables: Vec<KeyTable>,
    /// Each runner of a server of one's own names the certificates of `[ca]`.
    pub(super) trusts_authority: bool,
    /// Tables of `[[runners.docker.services]]`.
    pub(super) services: Vec<GivenService>,
}

/// A section of the table of keys, and the wanted values of its keys.
type KeyTable = (&'static str, Vec<(String, Setting)>);

impl ConfigSection {
    /// The wanted values of a section.
    pub(super) fn of(&self, section: &str) -> &[(String, Setting)] {
        self.tables.iter().find(|(name, _)| *name == section).map_or(&[], |(_, settings)| settings)
    }

    /// What is wanted of a key.
    pub(super) fn setting(&self, section: &str, key: &str) -> Option<&Setting> {
        self.of(section).iter().find(|(name, _)| name == key).map(|(_, setting)| setting)
    }

    /// The wanted elements of a key; none where no list is wanted.
    pub(super) fn list(&self, section: &str, key: &str) -> &[String] {
        match self.setting(section, key) {
            Some(Setting::List(list)) => list,
            _ => &[],
        }
    }

    /// True when a key of `[runners.docker]` is to have that value.
    pub fn wants(&self, key: &str, value: bool) -> bool {
        self.setting(DOCKER, key) == Some(&Setting::Scalar(Scalar::Bool(value)))
    }

    /// True when something is wanted of a key of `[runners.docker]`.
    pub fn names(&self, key: &str) -> bool {
        self.setting(DOCKER, key).is_some()
    }

    /// True when services are to be privileged, as Docker-in-Docker has to be.
    pub fn brings_dind(&self) -> bool {
        self.wants("privileged", true) || self.wants("services_privileged", true)
    }

    /// True when no service may be privileged but those whose daemon is nobody.
    pub fn is_rootless(&self) -> bool {
        let allowed = self.list(DOCKER, "allowed_privileged_services");
        !allowed.is_empty() && allowed.iter().all(|pattern| pattern.contains("rootless"))
    }

    /// The sections that have values, of a runner or outside of all runners.
    pub(super) fn tables(&self, of_runner: bool) -> impl Iterator<Item = &KeyTable> {
        let is_meant =
            move |(section, settings): &&KeyTable| !settings.is_empty() && is_of_runner(section) == of_runner;
        self.tables.iter().filter(is_meant)
    }

    /// True when a file of certificates is named.
    pub(super) fn names_authority(&self) -> bool {
        self.of(RUNNERS).iter().any(|(key, _)| key == AUTHORITY)
    }

    /// True when nothing is wanted but what follows from other sections.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_for_runners() && self.tables(false).next().is_none()
    }

    /// True when something is wanted of `[runners.docker]`.
    pub(super) fn is_for_docker(&self) -> bool {
        !(self.of(DOCKER).is_empty() && self.services.is_empty())
    }

    /// True when something is wanted of runners, and not of what stands outside of them alone.
    pub(super) fn is_for_runners(&self) -> bool {
        !self.executors.is_empty() || !self.services.is_empty() || self.tables(true).next().is_some()
    }

    fn add(&mut self, section: &'static str, key: String, setting: Setting) {
        match self.tables.iter_mut().find(|(name, _)| *name == section) {
            Some((_, settings)) => settings.push((key, setting)),
            None => self.tables.push((section, vec![(key, setting)])),
        }
    }
}

fn is_of_runner(section: &str) -> bool {
    section == RUNNERS || section.starts_with("runners.")
}

impl<'de> Deserialize<'de> for ConfigSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SectionReader(RUNNERS).deserialize(deserializer)
    }
}

/// Reads the keys of one section of `config.toml`, and of those below it.
#[derive(Clone, Copy)]
struct SectionReader(&'static str);

/// What stands for a key of a section.
enum KeyMeaning {
    Executors,
    Services,
    /// The table of another section.
    Table(&'static str),
    Value(Type),
}

impl SectionReader {
    /// What a profile calls the tables of a section, and their sections. The top of `config.toml` and what stands beside
    /// the runners have places beside the tables of `[[runners]]`.
    fn below(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let Self(section) = self;
        let beside = [(GLOBAL, GLOBAL), (SESSION_SERVER, SESSION_SERVER)];
        let below = move |key: keys::Key| match key.kind {
            Type::Table => Some((key.name, keys::below(section, key.name)?)),
            Type::Texts => Some((key.name, keys::texts(section, key.name)?)),
            _ => None,
        };
        let tables = keys::of(section).filter_map(below);
        let tables = tables.filter(|(_, below)| *below != SESSION_SERVER);
        beside.into_iter().filter(move |_| section == RUNNERS).chain(tables)
    }

    /// The keys of a section that a profile may set.
    fn settable(self) -> impl Iterator<Item = keys::Key> {
        keys::of(self.0).filter(|key| key.kind.is_settable() && refusal(key.section, key.name).is_none())
    }

    /// Further words that stand for no key.
    fn words(self) -> &'static [&'static str] {
        match self.0 {
            RUNNERS => &["executors"],
            DOCKER => &["services"],
            _ => &[],
        }
    }

    /// What a key stands for, or why it can't be there.
    fn find(self, key: &str) -> Result<KeyMeaning, String> {
        let Self(section) = self;
        match (section, key) {
            (RUNNERS, "executors") => return Ok(KeyMeaning::Executors),
            (DOCKER, "services") => return Ok(KeyMeaning::Services),
            _ => {}
        }
        if let Some((_, below)) = self.below().find(|(name, _)| *name == key) {
            return Ok(KeyMeaning::Table(below));
        }
        if keys::holder(section).is_some() {
            let refused =
                refusal(section, key).map(|why| format!("`{key}` can't be set by a profile: {why}"));
            return refused.map_or(Ok(KeyMeaning::Value(Type::String)), Err);
        }
        match keys::find(section, key) {
            Some(known) if self.settable().any(|key| key == known) => Ok(KeyMeaning::Value(known.kind)),
            Some(_) => {
                let why = refusal(section, key).map(|why| format!(": {why}")).unwrap_or_default();
                Err(format!("`{key}` can't be set by a profile{why}"))
            }
            None if section == RUNNERS && keys::find(GLOBAL, key).is_some() => {
                Err(format!("`{key}` is no key of a runner: it belongs below [config.{GLOBAL}]"))
            }
            None => {
                let names = self.words().iter().copied().chain(self.settable().map(|known| known.name));
                let names = names.chain(self.below().map(|(name, _)| name));
                let list: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                Err(format!("unknown field `{key}`, expected one of {}", list.join(", ")))
            }
        }
    }
}

/// The section of terminals in the web.
const SESSION_SERVER: &str = "session_server";

/// Why a profile may not set a key of the table.
fn refusal(section: &str, key: &str) -> Option<&'static str> {
    const SECRET: &str = "it is a secret, and a profile is read by others than root and its values are shown: write it \
                          into config.toml by hand";
    match (section, key) {
        (RUNNERS, "name" | "url" | "id" | "token" | "executor") => {
            Some("it says who a runner is, which is for gitlab-runner register")
        }
        (GLOBAL, "user") => Some("gitlab-runner takes the account from its service, whatever stands there"),
        _ => keys::is_secret(key).then_some(SECRET),
    }
}

impl<'de> Visitor<'de> for SectionReader {
    type Value = ConfigSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match keys::holder(self.0) {
            Some(_) => write!(f, "a table of names with texts, as of [{}]", self.0),
            None => write!(f, "a table of keys of [{}]", self.0),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigSection, A::Error> {
        let mut config = ConfigSection::default();
        while let Some((key, known)) = map.next_key_seed(KnownKey(self))? {
            match known {
                KeyMeaning::Executors => config.executors = map.next_value_seed(Executors)?,
                KeyMeaning::Services => config.services = map.next_value_seed(ServicesReader)?,
                KeyMeaning::Table(section) => {
                    let below = map.next_value_seed(SectionReader(section))?;
                    config.tables.extend(below.tables);
                    config.services.extend(below.services);
                }
                KeyMeaning::Value(kind) => {
                    let setting = map.next_value_seed(TypedValue { section: self.0, key: &key, kind })?;
                    config.add(self.0, key, setting);
                }
            }
        }
        if self.0 == SERVICES && !config.of(SERVICES).iter().any(|(key, _)| key == "name") {
            return Err(de::Error::missing_field("name"));
        }
        Ok(config)
    }
}

impl<'de> DeserializeSeed<'de> for SectionReader {
    type Value = ConfigSection;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ConfigSection, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Reads the list of services.
struct ServicesReader;

impl<'de> DeserializeSeed<'de> for ServicesReader {
    type Value = Vec<GivenService>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<GivenService>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ServicesReader {
    type Value = Vec<GivenService>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of services")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<GivenService>, A::Error> {
        let mut all: Vec<GivenService> = Vec::new();
        while let Some(read) = list.next_element_seed(SectionReader(SERVICES))? {
            let service = GivenService { keys: read.of(SERVICES).to_vec() };
            let names = service.host_names();
            let shared =
                |known: &&mut GivenService| known.host_names().iter().any(|name| names.contains(name));
            match all.iter_mut().find(shared) {
                None => all.push(service),
                Some(known) => known.join(service).map_err(|why| {
                    let names = names.join(", ");
                    de::Error::custom(format!("two services with the host name {names}: {why}"))
                })?,
            }
        }
        Ok(all)
    }
}

impl JsonSchema for ConfigSection {
    fn schema_name() -> Cow<'static, str> {
        "Config".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = SectionReader(RUNNERS).schema();
        schema["properties"]["executors"] = json!({ "type": "array", "items": { "enum": EXECUTORS }, "description": "Which runners are meant." });
        let mut service = SectionReader(SERVICES).schema();
        service["required"] = json!(["name"]);
        service["properties"]["name"]["pattern"] = json!(r"^[^\s$]+$");
        service["properties"]["alias"]["pattern"] = json!(r"^[^$]*$");
        schema["properties"]["docker"]["properties"]["services"] =
            json!({ "type": "array", "items": service, "description": "Services that every job has." });
        json_schema!({ "type": "object", "properties": schema["properties"], "additionalProperties": false })
    }
}

impl SectionReader {
    /// What a profile may say in a section, and below it, with the types of the values.
    fn schema(self) -> Json {
        let kind = |key: &keys::Key| match (key.kind, allowed(self.0, key.name)) {
            (_, Some(words)) => json!({ "enum": words }),
            (Type::Bool, _) => json!({ "type": "boolean" }),
            (Type::Int, _) if key.name == "concurrent" => json!({ "type": "integer", "minimum": 1 }),
            (Type::Int, _) => json!({ "type": "integer" }),
            (Type::List, _) => json!({ "type": "array", "items": { "type": "string" } }),
            (Type::Strings, _) => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
            _ => json!({ "type": "string" }),
        };
        if keys::holder(self.0).is_some() {
            return json!({ "type": "object", "additionalProperties": { "type": "string" } });
        }
        let values = self.settable().map(|key| (key.name.to_owned(), kind(&key)));
        let tables = self.below().map(|(name, below)| (name.to_owned(), Self(below).schema()));
        let properties: Map<String, Json> = values.chain(tables).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// A key that the section has, and what it stands for; so that the error points at the key.
struct KnownKey(SectionReader);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = (String, KeyMeaning);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(String, KeyMeaning), D::Error> {
        let key = String::deserialize(deserializer)?;
        let known = self.0.find(&key).map_err(de::Error::custom)?;
        Ok((key, known))
    }
}
