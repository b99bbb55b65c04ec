//! `[[config.docker.services]]`: services that every job of a runner has.

use super::setting::Setting;
use super::value::objection;
use crate::runner_config::host_names;

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
