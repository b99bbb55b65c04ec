//! Which keys ssh of the account tries, and in which order.

use anyhow::Result;

use super::found::Usable;
use crate::change::Notes;
use crate::facts::ssh::{Client, Settings, USUAL_KEYS};
use crate::resource::Context;
use crate::text::known_hosts::HostName;

/// The private keys that ssh tries.
pub(super) struct Tried {
    /// Below the home, in their order.
    pub(super) names: Vec<String>,
    /// ssh itself said so.
    pub(super) asked: bool,
    /// All of them as a person knows them; those of which only ssh can tell as they are written.
    shown: Vec<String>,
    /// How many are not below the home, or only ssh can tell where.
    others: usize,
    /// Somebody named keys in the configuration of ssh.
    is_named: bool,
    /// ssh uses no key at all.
    is_off: bool,
    /// Why nobody knows.
    unknown: Option<&'static str>,
}

impl Tried {
    /// Ask for the first server of the profile, or else for gitlab.com.
    pub(super) fn of(context: &Context<'_>) -> Result<Self> {
        let target = context.target;
        let usual = || USUAL_KEYS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut tried = Self {
            names: usual(),
            asked: false,
            shown: Vec::new(),
            others: 0,
            is_named: false,
            is_off: false,
            unknown: None,
        };
        let server = match context.options.servers.first() {
            Some(server) => server.clone(),
            None => HostName::parse("gitlab.com").map_err(|error| anyhow::anyhow!("{error}"))?,
        };
        match target.ssh(context.facts, &server)? {
            Client::Does(Settings { keys, asked, offers_keys, .. }) => {
                let below = |key: &std::path::PathBuf| {
                    Some(key.strip_prefix(&target.home).ok()?.to_str()?.to_owned())
                };
                let own = |key: &Result<std::path::PathBuf, String>| key.as_ref().ok().and_then(below);
                tried.names = keys.iter().filter_map(own).collect();
                tried.others = keys.len() - tried.names.len();
                let shown = |key: &Result<std::path::PathBuf, String>| match (own(key), key) {
                    (Some(name), _) => format!("~/{name}"),
                    (None, Ok(path)) => path.display().to_string(),
                    (None, Err(text)) => text.clone(),
                };
                tried.shown = keys.iter().map(shown).collect();
                tried.asked = asked;
                tried.is_off = !offers_keys;
                tried.is_named = !USUAL_KEYS.iter().all(|name| tried.names.iter().any(|tried| tried == name));
            }
            // What it does not read is told with the host keys.
            Client::Refuses(_) => {}
            Client::Unknown(why) => tried.unknown = Some(why),
        }
        // For those somebody has to touch a token.
        tried.names.retain(|name| !name.ends_with("_sk"));
        Ok(tried)
    }

    /// True when ssh does not try the names that this program gives to a key.
    pub(super) fn misses_usual(&self) -> bool {
        self.is_named
            && !["id_ed25519", "id_rsa"].iter().all(|name| self.names.contains(&format!(".ssh/{name}")))
    }

    /// What a person should know of it.
    pub(super) fn tell(&self, context: &Context<'_>, used: Option<&Usable>, notes: &mut Notes) {
        let account = &context.target.name;
        let named = self.shown.join(", ");
        let see = format!("see which keys ssh offers: sudo -u {account} ssh -G git@gitlab.com");
        if let Some(why) = self.unknown {
            notes.warn(
                "ssh-config-unknown",
                format!("which keys ssh of {account} offers is not known: {why}"),
                see,
            );
        } else if self.is_off {
            notes.wait(
                "ssh-key-unused",
                format!("ssh of {account} uses no key (PubkeyAuthentication no)"),
                context.first_line(&["PubkeyAuthentication"], "PubkeyAuthentication yes"),
            );
        } else if self.is_named && used.is_some() {
            notes.warn("ssh-key-configured", format!("the configuration of ssh names the key: {named}"), see);
        } else if self.is_named && self.others == 0 {
            notes.wait(
                "ssh-key-not-tried",
                if named.is_empty() {
                    format!("ssh of {account} tries no key at all (IdentityFile none)")
                } else {
                    format!(
                        "ssh of {account} tries only {named} (IdentityFile), and jobs can use none of them"
                    )
                },
                context.first_line(&["IdentityFile"], "IdentityFile ~/.ssh/id_ed25519"),
            );
        } else if self.is_named {
            notes.warn(
                "ssh-key-configured",
                format!("the configuration of ssh names keys that are not looked at here: {named}"),
                see,
            );
        }
    }
}
