//! What the unit of gitlab-runner keeps from the jobs that it starts (systemd.exec(5)).

use std::path::Path;

use super::Account;
use super::service::{Service, UNIT};
use crate::repair::Repair;

/// Settings that leave directories open all the same. Which ones is not followed.
const OPEN: [&str; 5] =
    ["ReadWritePaths", "ReadWriteDirectories", "BindPaths", "StateDirectory", "CacheDirectory"];

/// The directories that `ProtectHome=` closes.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

impl Service {
    /// True where nothing that it starts becomes root any more, by sudo or otherwise.
    pub fn keeps_from_root(&self) -> bool {
        self.is_on("NoNewPrivileges", &[])
    }

    /// Why shell jobs of the account can't work, with the repair: they don't become the account, or don't write where they
    /// have their keys or checkouts.
    pub fn confines(&self, account: &Account) -> Option<(String, Repair)> {
        let mut places = [Some(&account.home), self.directory.as_ref()].into_iter().flatten();
        let (setting, place) = places.find_map(|place| Some((self.closes(place)?, place)))?;
        let (unit, name, place) = (self.unit.display(), &account.name, place.display());
        let what = format!("{unit} or a drop-in of it sets {setting}: jobs of {name} can't work in {place}");
        Some((what, Self::without(setting)))
    }

    /// What switches a setting off.
    pub fn without(setting: &str) -> Repair {
        let directory = format!("/etc/systemd/system/{UNIT}.d");
        mend!(
            "switch it off in the last drop-in: $ mkdir -p {0}; $ printf '[Service]\\n{1}=no\\n' > {0}/zz-{1}.conf; \
             $ systemctl daemon-reload; then, when no job runs: $ systemctl restart gitlab-runner",
            directory,
            setting
        )
    }

    /// The setting that closes a directory.
    fn closes(&self, place: &Path) -> Option<&'static str> {
        if self.is_on("PrivateUsers", &["self"]) {
            return Some("PrivateUsers");
        }
        let is_open = OPEN.iter().any(|name| self.setting(name).is_some());
        let is_home = HOMES.iter().any(|directory| place.starts_with(directory));
        match () {
            () if is_open => None,
            () if is_home && self.is_on("ProtectHome", &["read-only", "tmpfs"]) => Some("ProtectHome"),
            () if self.setting("ProtectSystem") == Some("strict") => Some("ProtectSystem"),
            () => None,
        }
    }

    /// Whether a setting says yes, or one of these words.
    fn is_on(&self, name: &str, words: &[&str]) -> bool {
        let value = self.setting(name).unwrap_or_default().to_ascii_lowercase();
        ["1", "yes", "y", "true", "t", "on"].iter().chain(words).any(|word| *word == value)
    }
}
