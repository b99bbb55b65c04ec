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
    /// Keys that are tried and lie elsewhere.
    elsewhere: Vec<String>,
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
            elsewhere: Vec::new(),
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
                let (own, elsewhere): (Vec<_>, Vec<_>) =
                    keys.into_iter().partition(|key| key.starts_with(&target.home));
                let below = |key: &std::path::PathBuf| {
                    Some(key.strip_prefix(&target.home).ok()?.to_str()?.to_owned())
                };
                tried.names = own.iter().filter_map(below).collect();
                tried.elsewhere = elsewhere.iter().map(|key| key.display().to_string()).collect();
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
        let named: Vec<String> =
            self.names.iter().map(|name| format!("~/{name}")).chain(self.elsewhere.clone()).collect();
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
            notes.warn(
                "ssh-key-configured",
                format!("the configuration of ssh names the key: {}", named.join(", ")),
                see,
            );
        } else if self.is_named && self.elsewhere.is_empty() {
            notes.wait(
                "ssh-key-not-tried",
                format!(
                    "ssh of {account} tries only {} (IdentityFile), and jobs can use none of them",
                    named.join(", ")
                ),
                context.first_line(&["IdentityFile"], "IdentityFile ~/.ssh/id_ed25519"),
            );
        } else if self.is_named {
            notes.warn(
                "ssh-key-configured",
                format!(
                    "the configuration of ssh names keys outside the home: {}",
                    self.elsewhere.join(", ")
                ),
                "",
            );
        }
    }
}
