//! `[[config.docker.services]]`: services that every job of a runner has.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::{Section, Setting};
use crate::runner_config::{SERVICES, host_names};
use crate::text::toml_patch::Scalar;

/// A wanted service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource) struct Service {
    /// Its keys, `name` among them.
    pub(in crate::resource) keys: Vec<(String, Setting)>,
}

impl Service {
    /// The text at a key.
    pub(in crate::resource) fn text(&self, key: &str) -> &str {
        match self.keys.iter().find(|(name, _)| name == key) {
            Some((_, Setting::Scalar(Scalar::String(text)))) => text,
            _ => "",
        }
    }

    /// The host names that jobs reach it by.
    pub(in crate::resource) fn host_names(&self) -> Vec<String> {
        host_names(self.text("name"), self.text("alias"))
    }

    /// Adds the keys of another text about the same service.
    fn join(&mut self, other: Self) -> Result<(), String> {
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
            super::value::objection(&key, known).map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// Reads the list.
pub(super) struct Services;

impl<'de> DeserializeSeed<'de> for Services {
    type Value = Vec<Service>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Service>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Services {
    type Value = Vec<Service>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of services")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Service>, A::Error> {
        let mut all: Vec<Service> = Vec::new();
        while let Some(read) = list.next_element_seed(Section(SERVICES))? {
            let service = Service { keys: read.of(SERVICES).to_vec() };
            let names = service.host_names();
            let shared = |known: &&mut Service| known.host_names().iter().any(|name| names.contains(name));
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
