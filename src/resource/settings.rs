//! Values that a profile wants in `config.toml`, under `config.toml`'s own names and types.
//!
//! Owns their reading from a profile, checked against the table of keys, and their notation.

mod services;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use crate::keys::{self, Type};
use crate::runner_config::{EXECUTORS, SERVICES, identity};
use crate::text::toml_patch::Scalar;
pub(super) use services::Service;
use services::Services;

/// The `[config]` section.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    /// Which runners are meant, by their `executor`.
    pub(super) executors: Vec<String>,
    /// Values of `[[runners]]`.
    pub(super) runner: Vec<(String, Setting)>,
    /// Values of `[runners.docker]`.
    pub(super) docker: Vec<(String, Setting)>,
    /// Tables of `[[runners.docker.services]]`.
    pub(super) services: Vec<Service>,
}

/// A wanted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// The key has this value.
    Scalar(Scalar),
    /// The list has these elements, among others.
    List(Vec<String>),
    /// The list has just these elements: the words of a command, policies in their order.
    Words(Vec<String>),
}

impl Setting {
    /// True for what gitlab-runner assumes where this key is absent.
    pub(super) fn is_default(&self, key: &str) -> bool {
        match self {
            _ if keys::differs_when_absent(key) => false,
            Self::Scalar(Scalar::Bool(value)) => !value,
            Self::Scalar(Scalar::Integer(value)) => *value == 0,
            Self::Scalar(Scalar::String(value)) => value.is_empty(),
            Self::List(list) | Self::Words(list) => list.is_empty(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::List(list) | Self::Words(list) => {
                let elements: Vec<String> =
                    list.iter().map(|text| Scalar::from(text.as_str()).to_string()).collect();
                write!(f, "[{}]", elements.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Section { name: "runners", extra: &["executors", "docker"] })
    }
}

/// Keys of `[[runners]]` that say who a runner is.
const IDENTITY: [&str; 5] = ["name", "url", "id", "token", "executor"];

/// Reads the keys of one section of `config.toml`.
#[derive(Clone, Copy)]
struct Section {
    name: &'static str,
    extra: &'static [&'static str],
}

impl<'de> Visitor<'de> for Section {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table of keys of [{}]", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut config = Config::default();
        while let Some((key, kind)) = map.next_key_seed(KnownKey(self))? {
            match key.as_str() {
                "executors" if !self.extra.is_empty() => config.executors = map.next_value_seed(Executors)?,
                "docker" if !self.extra.is_empty() => {
                    let docker =
                        map.next_value_seed(Section { name: "runners.docker", extra: &["services"] })?;
                    config.docker = docker.runner;
                    config.services = docker.services;
                }
                "services" if !self.extra.is_empty() => config.services = map.next_value_seed(Services)?,
                _ => {
                    let setting = map.next_value_seed(Value { section: self.name, key: &key, kind })?;
                    config.runner.push((key, setting));
                }
            }
        }
        if self.name == SERVICES && !config.runner.iter().any(|(key, _)| key == "name") {
            return Err(de::Error::missing_field("name"));
        }
        Ok(config)
    }
}

impl<'de> DeserializeSeed<'de> for Section {
    type Value = Config;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Config, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl JsonSchema for Config {
    fn schema_name() -> Cow<'static, str> {
        "Config".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = properties("runners");
        properties.insert(
            "executors".to_owned(),
            json!({ "type": "array", "items": { "enum": EXECUTORS }, "description": "Which runners are meant." }),
        );
        let mut service = json!({ "type": "object", "properties": self::properties(SERVICES), "required": ["name"], "additionalProperties": false });
        service["properties"]["name"]["pattern"] = json!(r"^[^\s$]+$");
        service["properties"]["alias"]["pattern"] = json!(r"^[^$]*$");
        let mut docker = self::properties("runners.docker");
        docker.insert(
            "services".to_owned(),
            json!({ "type": "array", "items": service, "description": "Services that every job has." }),
        );
        properties.insert(
            "docker".to_owned(),
            json!({ "type": "object", "properties": docker, "additionalProperties": false }),
        );
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// The keys of a section of `config.toml` that a profile may set, with the types of their values.
fn properties(section: &'static str) -> Map<String, Json> {
    let kind = |kind: Type| match kind {
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int => json!({ "type": "integer" }),
        Type::List => json!({ "type": "array", "items": { "type": "string" } }),
        Type::Strings => {
            json!({ "type": ["string", "array"], "items": { "type": "string" } })
        }
        _ => json!({ "type": "string" }),
    };
    settable(section).map(|key| (key.name.to_owned(), kind(key.kind))).collect()
}

/// The keys of a section that a profile may set. Who a runner is and what it may read is for
/// `gitlab-runner register`, never for a profile.
fn settable(section: &str) -> impl Iterator<Item = keys::Key> {
    keys::of(section).filter(is_settable)
}

fn is_settable(key: &keys::Key) -> bool {
    key.kind.is_settable() && !(key.section == "runners" && IDENTITY.contains(&key.name))
}

/// A key that the section has, with the type of its value; so that the error points at the key.
struct KnownKey(Section);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = (String, Type);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(String, Type), D::Error> {
        let key = String::deserialize(deserializer)?;
        let Self(Section { name: section, extra }) = self;
        if extra.contains(&key.as_str()) {
            return Ok((key, Type::Other));
        }
        match keys::find(section, &key) {
            Some(known) if is_settable(&known) => Ok((key, known.kind)),
            Some(_) => Err(de::Error::custom(format!("`{key}` can't be set by a profile"))),
            None => {
                let names = extra.iter().copied().chain(settable(section).map(|known| known.name));
                let list: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                Err(de::Error::custom(format!("unknown field `{key}`, expected one of {}", list.join(", "))))
            }
        }
    }
}

/// A value of the type that the key has.
struct Value<'k> {
    section: &'static str,
    key: &'k str,
    kind: Type,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Setting;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        let setting = match self.kind {
            Type::Bool => Setting::Scalar(Scalar::Bool(bool::deserialize(deserializer)?)),
            Type::Int => Setting::Scalar(Scalar::Integer(i64::deserialize(deserializer)?)),
            Type::List if self.section == SERVICES && self.key != "environment" => {
                Setting::Words(Vec::deserialize(deserializer)?)
            }
            Type::List => Setting::List(Vec::deserialize(deserializer)?),
            Type::Strings => match Strings::deserialize(deserializer)? {
                Strings::One(text) => Setting::Scalar(Scalar::String(text)),
                Strings::Many(list) => Setting::Words(list),
            },
            _ => Setting::Scalar(Scalar::String(String::deserialize(deserializer)?)),
        };
        let is_service = self.section == SERVICES;
        let of_service = || services::objection(self.key, &setting).filter(|_| is_service);
        match objection(self.key, &setting).or_else(of_service) {
            None => Ok(setting),
            Some(why) => Err(de::Error::custom(why)),
        }
    }
}

/// A text, or a list of texts that counts as a whole.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings is wanted")]
enum Strings {
    One(String),
    Many(Vec<String>),
}

/// What keeps a text of the right type from meaning anything where gitlab-runner uses it.
fn objection(key: &str, setting: &Setting) -> Option<String> {
    let texts = match setting {
        Setting::Scalar(Scalar::String(text)) => std::slice::from_ref(text),
        Setting::List(list) | Setting::Words(list) => list,
        Setting::Scalar(_) => return None,
    };
    if let Some(text) = texts.iter().find(|text| text.contains('\0')) {
        return Some(format!("`{key}`: {text:?} has a NUL in it, which no program can be given"));
    }
    let names_a_variable = |text: &String| {
        let name = text.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if let Some(text) = texts.iter().find(|text| key == "environment" && !names_a_variable(text)) {
        return Some(format!("`environment`: {text:?} is not a variable: write NAME=VALUE"));
    }
    let is_volume = |text: &String| !text.is_empty() && !text.contains(char::is_control);
    if let Some(text) = texts.iter().find(|text| key == "volumes" && !is_volume(text)) {
        return Some(format!("`volumes`: {text:?} is not a volume"));
    }
    if matches!(setting, Setting::Words(_)) { None } else { both(key, texts) }
}

/// Two elements that mean the same thing can't both be in a list: the host would never be as wanted.
fn both(key: &str, list: &[String]) -> Option<String> {
    list.iter().enumerate().find_map(|(index, element)| {
        let other = list[..index].iter().find(|other| identity(key, other) == identity(key, element))?;
        Some(format!(
            "`{key}` has both {other:?} and {element:?}, of which only one can be: they have the same name or path"
        ))
    })
}

/// Names of executors.
struct Executors;

impl<'de> DeserializeSeed<'de> for Executors {
    type Value = Vec<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        match names.iter().find(|name| !EXECUTORS.contains(&name.as_str())) {
            Some(name) => Err(de::Error::custom(format!(
                "gitlab-runner has no executor {name:?}; there are {}",
                EXECUTORS.join(", ")
            ))),
            None => Ok(names),
        }
    }
}
