//! A wanted value: of the type that its key has, something that gitlab-runner takes, and its notation.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer};

use crate::keys::{self, GLOBAL, Type};
use crate::runner_config::{
    DOCKER, EXECUTORS, POLICIES, POLICY_KEYS, RUNNERS, SERVICES, duration, host_names, identity,
};
use crate::text::toml_patch::Scalar;

/// A wanted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource) enum Setting {
    /// The key has this value.
    Scalar(Scalar),
    /// The list has these elements, among others.
    List(Vec<String>),
    /// The list has just these elements: the words of a command, policies in their order.
    Words(Vec<String>),
}

impl Setting {
    /// The text that it is, or the elements of the list.
    pub(in crate::resource) fn texts(&self) -> &[String] {
        match self {
            Self::Scalar(Scalar::String(text)) => std::slice::from_ref(text),
            Self::List(list) | Self::Words(list) => list,
            Self::Scalar(_) => &[],
        }
    }

    /// True for what gitlab-runner assumes where this key is absent.
    pub(in crate::resource) fn is_default(&self, section: &str, key: &str) -> bool {
        match self {
            // Without it there is one slot.
            Self::Scalar(Scalar::Integer(value)) if key == "concurrent" => *value == 1,
            _ if keys::differs_when_absent(key) => false,
            // Of the others it is not known.
            _ if ![GLOBAL, "session_server", RUNNERS, DOCKER, SERVICES].contains(&section) => false,
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

/// A value of the type that the key has.
pub(super) struct TypedValue<'k> {
    pub(super) section: &'static str,
    pub(super) key: &'k str,
    pub(super) kind: Type,
}

impl<'de> DeserializeSeed<'de> for TypedValue<'_> {
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
        if keys::holder(self.section).is_some() {
            return no_nul(self.key, &setting).map_or(Ok(setting), |why| Err(de::Error::custom(why)));
        }
        let is_service = self.section == SERVICES;
        let of_service = || objection_of_service(self.key, &setting).filter(|_| is_service);
        let of_kind = || objection_to(self.section, self.key, self.kind, &setting);
        match objection(self.key, &setting).or_else(of_service).or_else(of_kind) {
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

fn no_nul(key: &str, setting: &Setting) -> Option<String> {
    let text = setting.texts().iter().find(|text| text.contains('\0'))?;
    Some(format!("`{key}`: {text:?} has a NUL in it, which no program can be given"))
}

/// What keeps a text of the right type from meaning anything where gitlab-runner uses it.
fn objection(key: &str, setting: &Setting) -> Option<String> {
    if let Some(why) = no_nul(key, setting) {
        return Some(why);
    }
    let texts = setting.texts();
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
    let is_policy = |text: &String| POLICIES.contains(&text.as_str());
    if let Some(text) = texts.iter().find(|text| POLICY_KEYS.contains(&key) && !is_policy(text)) {
        return Some(format!("`{key}`: {text:?} is none of {}", POLICIES.join(", ")));
    }
    if matches!(setting, Setting::Words(_)) { None } else { both(key, texts) }
}

/// The words that a key may have, where gitlab-runner refuses or ignores others.
pub(super) fn allowed(section: &str, key: &str) -> Option<&'static [&'static str]> {
    match (section, key) {
        (GLOBAL, "log_level") => {
            Some(&["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"])
        }
        (GLOBAL, "log_format") => Some(&["runner", "text", "json"]),
        ("runners.cache", "Type") => Some(&["s3", "s3v2", "gcs", "gcsv2", "azure"]),
        ("runners.cache.s3", "AuthenticationType") => Some(&["iam", "access-key"]),
        ("runners.cache.s3", "ServerSideEncryption") => Some(&["S3", "KMS", "DSSE-KMS"]),
        _ => None,
    }
}

/// What is wrong with a value of one key. gitlab-runner refuses the whole file for most of it.
fn objection_to(section: &str, key: &str, kind: Type, setting: &Setting) -> Option<String> {
    match setting {
        Setting::Scalar(Scalar::String(text)) => {
            let words = allowed(section, key).filter(|words| !words.contains(&text.as_str()));
            if let Some(words) = words {
                return Some(format!("`{key}`: {text:?} is none of {}", words.join(", ")));
            }
            if kind == Type::Duration && duration(text).is_none() {
                return Some(format!("`{key}`: {text:?} is no time span: write one like \"1h30m\""));
            }
            let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
            let is_address =
                !host.contains(|c: char| c.is_whitespace() || c == '/') && port.parse::<u16>().is_ok();
            (key == "listen_address" && !is_address).then(|| {
                format!("`{key}`: {text:?} is no address: write HOST:PORT, as in \"127.0.0.1:9252\"")
            })
        }
        Setting::Scalar(Scalar::Integer(number)) if key == "concurrent" && *number < 1 => {
            Some("`concurrent` below 1 keeps gitlab-runner from starting".to_owned())
        }
        _ => None,
    }
}

/// What is wrong with a value of a service. gitlab-runner puts variables, those of the job too, into the name and the
/// alias: who writes the job would choose the image.
fn objection_of_service(key: &str, setting: &Setting) -> Option<String> {
    let Setting::Scalar(Scalar::String(text)) = setting else { return None };
    if ["name", "alias"].contains(&key) && text.contains('$') {
        return Some(format!("`{key}` of a service: {text:?} has a variable in it, which a job could set"));
    }
    let is_odd = text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control());
    (key == "name" && is_odd).then(|| format!("`name` of a service: {text:?} is not a name of an image"))
}

/// Two elements that mean the same thing can't both be in a list: the host would never be as wanted.
fn both(key: &str, list: &[String]) -> Option<String> {
    let mut known = BTreeMap::new();
    list.iter().find_map(|element| {
        let other = known.insert(identity(key, element), element)?;
        Some(format!(
            "`{key}` has both {other:?} and {element:?}, of which only one can be: they have the same name or path"
        ))
    })
}

/// Names of executors.
pub(super) struct Executors;

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

/// A wanted service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource) struct GivenService {
    /// Its keys, `name` among them.
    pub(in crate::resource) keys: Vec<(String, Setting)>,
}

impl GivenService {
    /// The text at a key.
    pub(in crate::resource) fn text(&self, key: &str) -> &str {
        let found = self.keys.iter().find(|(name, _)| name == key);
        found.and_then(|(_, setting)| setting.texts().first()).map_or("", String::as_str)
    }

    /// The host names that jobs reach it by.
    pub(in crate::resource) fn host_names(&self) -> Vec<String> {
        host_names(self.text("name"), self.text("alias"))
    }

    /// Adds the keys of another text about the same service.
    pub(super) fn join(&mut self, other: Self) -> Result<(), String> {
        for (key, setting) in other.keys {
            let Some((_, known)) = self.keys.iter_mut().find(|(known, _)| *known == key) else {
                self.keys.push((key, setting));
                continue;
            };
            if let (Setting::List(known), Setting::List(new)) = (&mut *known, &setting) {
                let missing: Vec<String> = new.iter().filter(|new| !known.contains(new)).cloned().collect();
                known.extend(missing);
            } else if *known != setting {
                return Err(format!("`{key}` of one service can't be both {known} and {setting}"));
            }
            objection(&key, known).map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}
