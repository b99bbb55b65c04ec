//! Which keys ssh of the account tries, and in which order; and a key that lies where it does not look.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::found::{ROTATED, SSH, Said, Usable};
use crate::change::{FileKind, Notes};
use crate::facts::ssh::{self, Client, Settings, USUAL_KEYS, is_taken, names_key};
use crate::fault::quoted;
use crate::repair::{Repair, run};
use crate::resource::Context;
use crate::text::key_pair::{self, Inspection};
use crate::text::known_hosts::HostName;

/// The private keys that ssh tries.
pub(super) struct Tried {
    /// Below the home, in their order.
    pub(super) names: Vec<String>,
    /// The server for which it was looked.
    server: HostName,
    /// What ssh does for it.
    pub(super) settings: Settings,
    /// All of them as a person knows them; those of which only ssh can tell as they are written.
    shown: Vec<String>,
    /// Those outside the home that ssh can use, as far as can be told.
    outside: Vec<PathBuf>,
    /// Somebody named keys in the configuration of ssh.
    is_named: bool,
    /// Why nobody knows.
    unknown: Option<&'static str>,
    /// Servers that jobs push to as well, and for which ssh has no key.
    without: Vec<HostName>,
}

impl Tried {
    /// Ask for the server that jobs push to: of several the first one for which there is a key, else gitlab.com.
    pub(super) fn of(context: &Context<'_>) -> Result<Self> {
        let servers = context.options.pushed_to();
        let (mut with, mut without) = (None, Vec::new());
        for server in &servers {
            let tried = Self::at(context, server)?;
            if servers.len() == 1 {
                return Ok(tried);
            }
            if tried.finds_one(context)? {
                with = with.or(Some(tried));
            } else {
                without.push(tried);
            }
        }
        let Some(mut first) = with else { return Ok(without.swap_remove(0)) };
        let is_sure = |tried: &Self| tried.unknown.is_none() && !tried.has_others();
        first.without = without.into_iter().filter(is_sure).map(|tried| tried.server).collect();
        Ok(first)
    }

    fn finds_one(&self, context: &Context<'_>) -> Result<bool> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        Ok(context.home(&names)?.iter().any(Option::is_some))
    }

    fn at(context: &Context<'_>, server: &HostName) -> Result<Self> {
        let target = context.target;
        let usual = || Settings::usual(&target.home, server);
        let (settings, unknown) = match target.ssh(context.facts, server)? {
            Client::Does(settings) => (settings, None),
            // What it does not read is told with the host keys.
            Client::Refuses(_) => (usual(), None),
            Client::Unknown(why) => (usual(), Some(why)),
        };
        let below = |path: &Path| Some(path.strip_prefix(&target.home).ok()?.to_str()?.to_owned());
        let (mut names, mut shown, mut outside) = (Vec::new(), Vec::new(), Vec::new());
        for key in &settings.keys {
            match key.as_ref().map(|path| (below(path), path)) {
                Ok((Some(name), _)) => {
                    shown.push(format!("~/{name}"));
                    names.push(name);
                }
                Ok((None, path)) => {
                    shown.push(path.display().to_string());
                    outside.extend(Some(path.clone()).filter(|path| is_open(context, path)));
                }
                Err(text) => shown.push(text.clone()),
            }
        }
        let is_named = !USUAL_KEYS.iter().all(|usual| names.iter().any(|name| name == usual));
        // For those somebody has to touch a token.
        names.retain(|name| !name.ends_with("_sk"));
        let server = server.clone();
        Ok(Self { names, server, settings, shown, outside, is_named, unknown, without: Vec::new() })
    }

    /// True when ssh would use a key of this name, and of no other place.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|tried| tried == name) && !self.has_others()
    }

    /// Somebody named keys that are not looked at here: they lie outside, only ssh can tell the path, or an agent has them.
    fn has_others(&self) -> bool {
        let has_more = || self.settings.has_provider || self.settings.keys.iter().any(Result::is_err);
        self.is_named && (!self.outside.is_empty() || has_more())
    }

    /// The names, for people.
    pub(super) fn listed(&self) -> String {
        if self.is_named { self.shown.join(", ") } else { "id_rsa, id_ecdsa and id_ed25519".to_owned() }
    }

    /// Those that ssh can offer come first, in its order.
    pub(super) fn sort(&self, usable: &mut [Usable]) {
        usable.sort_by_key(|usable| !is_taken(&self.settings.key_algorithms, usable.line.key().kind()));
    }

    /// What a person should know of it; a new key would be `made` under this name.
    pub(super) fn tell(&self, context: &Context<'_>, used: Option<&Usable>, made: &str, notes: &mut Notes) {
        let account = &context.target.name;
        let named = self.shown.join(", ");
        let see = match &self.outside[..] {
            [key, ..] if used.is_none() => {
                let show = context.as_account(&format!("ssh-keygen -y -f {}", quoted(key)));
                mend!("see the public line of the key: $ {}", show)
            }
            _ => {
                let ask = context.as_account(&format!("{} -G {}", ssh::BY_HAND, self.server.for_ssh()));
                mend!("see which keys ssh offers: $ {}", ask)
            }
        };
        for server in &self.without {
            let ask = context.as_account(&format!("{} -G {}", ssh::BY_HAND, server.for_ssh()));
            let message = format!(
                "none of the keys that ssh of {account} has for {server} is there: jobs can't push to it"
            );
            notes.warn("ssh-key-configured", message, mend!("see which keys ssh offers: $ {}", ask));
        }
        let left_out = used
            .map(|used| used.line.key().kind())
            .filter(|kind| !is_taken(&self.settings.key_algorithms, kind));
        if let Some(why) = self.unknown {
            let what = format!("which keys ssh of {account} offers is not known: {why}");
            notes.warn("ssh-config-unknown", what, see);
        } else if let Some((keyword, usual)) = self.settings.refuses_keys {
            let what = format!("ssh of {account} uses no key ({keyword})");
            notes.wait("ssh-key-unused", what, context.first_line(&format!("{keyword} {usual}")));
        } else if let Some(kind) = left_out {
            let usual = if kind == "ssh-rsa" { "rsa-sha2-512,rsa-sha2-256" } else { kind };
            let what = format!("ssh of {account} uses no {kind} key (PubkeyAcceptedAlgorithms)");
            let repair = context.first_line(&format!("PubkeyAcceptedAlgorithms +{usual}"));
            notes.wait("ssh-key-unused", what, repair);
        } else if self.is_named && used.is_some() {
            notes.warn("ssh-key-configured", format!("the configuration of ssh names the key: {named}"), see);
        } else if self.has_others() {
            let what = format!("the configuration of ssh names keys that are not looked at here: {named}");
            notes.warn("ssh-key-configured", what, see);
        } else if used.is_none() && !self.wants(made) {
            // With the public half alone only an agent could sign.
            let halves = self.names.iter().filter_map(|name| name.strip_suffix(".pub"));
            let mut keys = halves.filter(|name| matches!(context.home_file(name), Ok(Some(_))));
            let key = keys.next().map_or_else(|| format!("~/{made}"), |name| format!("\"~/{name}\""));
            notes.wait(
                "ssh-key-not-tried",
                if named.is_empty() {
                    format!("ssh of {account} tries no key at all (IdentityFile none)")
                } else {
                    format!(
                        "ssh of {account} tries only {named} (IdentityFile), and jobs can use none of them"
                    )
                },
                context.first_line(&format!("IdentityFile {key}")),
            );
        }
    }
}

/// Whether ssh of the account can read a key outside its home. In doubt it can.
fn is_open(context: &Context<'_>, path: &Path) -> bool {
    let Ok(seen) = context.facts.stat(path) else { return true };
    let (Some(seen), Some(account)) = (seen, &context.target.account) else { return false };
    // Of the account's own keys it passes over those that others can read.
    let is_open = seen.uid == account.uid && seen.mode & 0o077 != 0;
    let is_shut = || context.facts.shut_out(account, path).is_ok_and(|shut| shut.is_some());
    seen.kind == FileKind::Regular && !is_open && !is_shut()
}

/// A key in `~/.ssh` of a name that ssh does not try: whoever put it there means it for jobs, so that a second one would
/// only hide that it is not used.
pub(super) fn other_key(context: &Context<'_>, tried: &Tried) -> Result<Option<Said>> {
    let Some(account) = &context.target.account else { return Ok(None) };
    let facts = context.facts;
    // A directory that is shut to the account is made its own first.
    let Ok(all) = facts.home_names(account, SSH.as_ref()) else { return Ok(None) };
    let texts = context.target.ssh_texts(facts)?;
    let all: Vec<String> = all.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    // What `undo` moved aside, what a person did, and what a killed run left is no key that somebody wants to use.
    let is_other = |name: &&String| {
        let is_aside = [".pub", ".old", ".bak"].iter().any(|end| name.ends_with(end))
            || [".undone-", ROTATED].iter().any(|word| name.contains(word));
        !is_aside
            && !name.starts_with('.')
            // Nobody means a name for jobs that would break the lines of a report, or of ssh's configuration.
            && !name.contains(|c: char| c.is_control() || "\\\"".contains(c))
            && !tried.names.contains(&format!("{SSH}/{name}"))
            // It is another server's.
            && !names_key(texts, name)
            && !name.ends_with("_sk")
    };
    for name in all.iter().filter(is_other).take(50) {
        let name = format!("{SSH}/{name}");
        // What the account can't read, ssh can't either.
        let Ok(seen) = facts.home_file(account, &name) else { continue };
        let Some(seen) = seen.filter(|seen| seen.kind == FileKind::Regular) else { continue };
        let usual = match key_pair::inspect(&seen.bytes) {
            Inspection::NotAKey { .. } => continue,
            Inspection::OpenSsh { public, .. } => match public.key().kind() {
                "ssh-ed25519" => "id_ed25519",
                "ssh-rsa" => "id_rsa",
                kind if kind.starts_with("ecdsa-") => "id_ecdsa",
                _ => continue,
            },
            Inspection::Foreign { format, .. } if format.starts_with("EC ") => "id_ecdsa",
            Inspection::Foreign { .. } => "id_rsa",
        };
        let (from, to) = (context.target.home.join(&name), context.target.home.join(SSH).join(usual));
        let rename = |end: &str| {
            run(context.command_at(
                &format!("mv -nT {}", quoted(format!("{}{end}", from.display()))),
                &PathBuf::from(format!("{}{end}", to.display())),
            ))
        };
        let message =
            format!("{} is a key, but ssh tries only {}: no job uses it", from.display(), tried.listed());
        if !tried.names.contains(&format!("{SSH}/{usual}")) {
            return Ok(Some((message, context.first_line(&format!("IdentityFile \"~/{name}\"")))));
        }
        let has_public = all.iter().any(|other| format!("{SSH}/{other}") == format!("{name}.pub"));
        let ends = if has_public { &["", ".pub"][..] } else { &[""] };
        return Ok(Some((message, Repair::all(ends.iter().copied().map(rename)))));
    }
    Ok(None)
}
