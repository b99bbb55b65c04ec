//! The account's SSH key pair. A good private key of any usual type is kept as it is; one is made where
//! there is none. No key is ever replaced or removed.

mod command;
mod fit;
mod found;
mod shown;
mod tried;

use std::cell::OnceCell;
use std::rc::Rc;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::context::{Context, Resource};
use super::target::Target;
use crate::change::{
    Change, Content, FileOp, Harm, Meta, NewKey, Notes, Op, Owner, Place, Seen, Shown, ShownKey, Swap,
};
use crate::facts::ssh;
use crate::fault::{self, Nature, fault, move_aside};
use crate::text::key_pair::{self, DEFAULT_RSA_BITS, KeyKind};
use crate::text::public_key::{PublicLine, public_line};
use command::{ByCommand, by_command};
use fit::check_regular;
pub use fit::weakness;
pub use found::ROTATED;
use found::{FoundKeys, SSH, Usable, observe, passphrase};
pub use shown::{Rotated, Rotation, public_key, rotation};
use tried::{Tried, other_key};

/// The directory, the keys that jobs can use, and the public half of the usual one.
const IN_HOME: [&str; 6] =
    [SSH, ssh::CONFIG, ".ssh/id_rsa", ".ssh/id_ecdsa", ".ssh/id_ed25519", ".ssh/id_ed25519.pub"];

/// The name of a new key, where no profile says its type.
const ED25519: &str = ".ssh/id_ed25519";

/// The `[ssh_key]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "SshKeySection")]
#[schemars(with = "SshKeySection")]
pub(super) struct SshKey {
    kind: KeyKind,
    comment: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SshKeySection {
    /// The type of a key that is made; an existing one of any type is kept.
    #[serde(rename = "type", default)]
    kind: SshKeyType,
    /// The size of an RSA key, a multiple of 8; for no other type.
    #[schemars(range(min = 2048, max = 8192), extend("multipleOf" = 8))]
    bits: Option<u32>,
    /// The last word of the public line.
    #[serde(default = "default_comment")]
    comment: String,
}

/// A type of SSH keys.
#[derive(Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
enum SshKeyType {
    #[default]
    Ed25519,
    Rsa,
}

fn default_comment() -> String {
    "gitlab-runner".to_owned()
}

impl TryFrom<SshKeySection> for SshKey {
    type Error = anyhow::Error;
    fn try_from(section: SshKeySection) -> Result<Self> {
        let kind = match (section.kind, section.bits) {
            (SshKeyType::Rsa, bits) => KeyKind::Rsa { bits: bits.unwrap_or(DEFAULT_RSA_BITS) },
            (SshKeyType::Ed25519, None) => KeyKind::Ed25519,
            (SshKeyType::Ed25519, Some(_)) => {
                anyhow::bail!("`bits` is for keys of type \"rsa\"; an Ed25519 key has one size")
            }
        };
        key_pair::validate(kind, &section.comment)?;
        Ok(Self { kind, comment: section.comment })
    }
}

impl Resource for SshKey {
    fn in_home(&self) -> &'static [&'static str] {
        &IN_HOME
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        notes.call("ssh");
        let target = context.target;
        let tried = Tried::of(context)?;
        let FoundKeys { directory, usable, weak, open, encrypted, mut broken } = match &target.account {
            Some(account) => observe(context.facts, account, context.options.adopt, &tried.names)?,
            None => FoundKeys::default(),
        };
        let mut usable = usable;
        tried.sort(&mut usable);
        let mut usable = usable.into_iter();
        let (first, others): (Option<Usable>, Vec<Usable>) = (usable.next(), usable.collect());
        notes.public_key = first.as_ref().map(|usable| usable.shown(context));
        let own = Owner::Account(target.name.clone());
        let ids = context.facts.ids(&own)?;
        let mut changes = Vec::new();
        let meta = |mode| Meta { owner: own.clone(), mode };
        changes.extend(directory_change(target, directory.as_ref(), ids, meta(0o700)));
        if first.is_none() {
            match by_command(context, notes)? {
                ByCommand::Nothing => {}
                ByCommand::Key(usable) => {
                    notes.public_key = Some(usable.shown(context));
                    return Ok(changes);
                }
                ByCommand::Unknown => return Ok(changes),
            }
        }
        let used = first.as_ref().or(weak.first().map(|(usable, _)| usable));
        tried.tell(context, used, self.name(), notes);
        if let Some((_, (message, repair))) = weak.into_iter().next() {
            if first.is_some() {
                // Servers are offered the next one.
                notes.warn("ssh-key-weak", message, repair);
            } else {
                notes.wait("ssh-key-weak", message, repair);
                return Ok(changes);
            }
        }
        let Some(usable) = first else {
            if !broken.is_empty() {
                return Err(broken.swap_remove(0));
            }
            if let Some(name) = encrypted.first() {
                let (message, repair) = passphrase(context, name);
                notes.wait("ssh-key-encrypted", message, repair);
            } else if tried.wants(self.name()) {
                check_publics(context, &tried.names)?;
                match other_key(context, &tried)? {
                    Some((message, repair)) => notes.wait("ssh-key-name", message, repair),
                    None => changes.extend(self.make(context, &meta)?),
                }
            }
            return Ok(changes);
        };
        warn(context, &usable, &others, &encrypted, &broken, notes);
        for (message, repair) in open {
            notes.warn("ssh-keys-several", message, repair);
        }
        let is_needed = !changes.is_empty() || is_needed(&usable, ids);
        let private = usable.private;
        if let Some(error) = &usable.lent {
            let place = target.place(&usable.name);
            let what =
                format!("{place} belongs to uid {}: it is left as it is, and jobs use it", private.uid);
            notes.warn("foreign-owner", what, fault::repair(error));
        } else if private.mode & 0o077 != 0
            || private.mode & 0o400 == 0
            || Some((private.uid, private.gid)) != ids
        {
            changes.push(change(
                wrong_meta(&private, "0600"),
                Op::Metadata { place: target.place(&usable.name), before: private, after: meta(0o600) },
            ));
        }
        let public_place = target.place(&format!("{}.pub", usable.name));
        let own = |seen: &Seen| ids.is_none_or(|(uid, _)| seen.uid == uid);
        match usable.public {
            None if usable.odd.is_some() => {}
            Some(seen) if is_of(&usable.line, &seen) && own(&seen) => {
                if seen.mode & 0o022 != 0 || Some((seen.uid, seen.gid)) != ids {
                    changes.push(change(
                        wrong_meta(&seen, "0644"),
                        Op::Metadata { place: public_place, before: seen, after: meta(0o644) },
                    ));
                }
            }
            before => {
                let text = format!("{}\n", usable.line).into_bytes();
                let (why, text) = match &before {
                    None => ("the public half of the key is missing".to_owned(), text),
                    // Written anew with the account's rights: root gives nothing away.
                    Some(seen) if is_of(&usable.line, seen) => (wrong_meta(seen, "0644"), seen.bytes.clone()),
                    Some(_) => ("the public half does not belong to the private key".to_owned(), text),
                };
                changes.push(change(why, FileOp::new(public_place, before, text, meta(0o644))));
            }
        }
        tell(&changes, is_needed, &target.place(&usable.name), tried.settings.asked, notes);
        Ok(changes)
    }
}

/// Say that all is as wanted, or that jobs do without what is not.
fn tell(changes: &[Change], is_needed: bool, key: &Place, asked: bool, notes: &mut Notes) {
    match changes {
        [] => {
            let asked = if asked { "; ssh was asked which it offers (ssh -G)" } else { "" };
            let what = format!("{key} can be used by jobs alone, and its public half fits{asked}");
            notes.right("ssh_key", what);
        }
        [only] if !is_needed => {
            let is_mode = matches!(only.op, Op::Metadata { .. });
            let code = if is_mode { "ssh-key-mode" } else { "ssh-key-differs" };
            let what = format!("{}: {}; jobs do without it", only.id, only.why);
            notes.means("ssh_key", code, what, Harm::None);
        }
        _ => {}
    }
}

/// Whether jobs can't use the pair as it is, or others could change it. ssh takes the public half of another key at its
/// word, and passes over what is none.
fn is_needed(usable: &Usable, ids: Option<(u32, u32)>) -> bool {
    let Usable { private, public, line, .. } = usable;
    let is_wrong = |seen: &Seen| {
        seen.mode & 0o022 != 0 || public_line(&seen.bytes).is_ok_and(|found| !found.same_key(line))
    };
    let of_other = ids.is_some_and(|(uid, _)| uid != private.uid);
    let is_unfit = usable.lent.is_none() && (private.mode & 0o477 != 0o400 || of_other);
    is_unfit || public.as_ref().is_some_and(is_wrong)
}

impl SshKey {
    /// What a new key is called.
    fn name(&self) -> &'static str {
        match self.kind {
            KeyKind::Ed25519 => ED25519,
            KeyKind::Rsa { .. } => ".ssh/id_rsa",
        }
    }

    /// A new pair, made when it is written.
    fn make(&self, context: &Context<'_>, meta: &dyn Fn(u32) -> Meta) -> Result<Vec<Change>> {
        let name = self.name();
        let label = match self.kind {
            KeyKind::Ed25519 => "Ed25519".to_owned(),
            KeyKind::Rsa { bits } => format!("RSA, {bits} bits"),
        };
        let place = |name: &str| context.target.place(name);
        let public = format!("{name}.pub");
        if context.home_file(&public)?.is_some() {
            let public = place(&public);
            let repair = mend!(
                "put the private key back, or move the public one away: $ {}",
                move_aside(&context.target.name, &public.path())
            );
            return Err(fault("ssh-key-half", format!("{public} is there without its private key"), repair));
        }
        if matches!(self.kind, KeyKind::Rsa { .. }) && context.facts.tool("ssh-keygen").is_none() {
            let repair = context.facts.install_tool("ssh")?;
            return Err(Nature::Obstacle.fault(
                "tool-missing",
                "ssh-keygen of this machine is not installed",
                repair,
            ));
        }
        let (comment, made) = (self.comment.clone(), OnceCell::new());
        let key = Rc::new(NewKey { kind: self.kind, comment, made });
        let (private, public) = (Content::Private(Rc::clone(&key)), Content::Public(key));
        let file = |name: &str, half: &str, content: Content, meta: Meta| {
            let shown = Shown::Label(format!("new {half} key ({label}, comment {})", self.comment));
            let (place, after, swap) = (place(name), Some(content), Swap::Fresh);
            let file = FileOp { after, shown, swap, ..FileOp::new(place, None, Vec::new(), meta) };
            change("jobs have no SSH key to push with", file)
        };
        Ok(vec![
            file(name, "private", private, meta(0o600)),
            file(&format!("{name}.pub"), "public", public, meta(0o644)),
        ])
    }
}

/// Where there is no private key, its public half is a file or nothing all the same.
fn check_publics(context: &Context<'_>, names: &[String]) -> Result<()> {
    let target = context.target;
    for name in names {
        let public = format!("{name}.pub");
        if let Some(seen) = context.home_file(&public)? {
            check_regular(&seen, &target.name, &target.home.join(&public))?;
        }
    }
    Ok(())
}

/// What a person should know although jobs have a key.
fn warn(
    context: &Context<'_>,
    usable: &Usable,
    others: &[Usable],
    encrypted: &[String],
    broken: &[anyhow::Error],
    notes: &mut Notes,
) {
    let target = context.target;
    if let Some(error) = &usable.odd {
        notes.warn("ssh-key-passed-over", format!("{error:#}; jobs do without it"), fault::repair(error));
    }
    for name in encrypted {
        let what = format!("the key {} has a passphrase: no job can use it", target.place(name));
        let repair = "jobs use the other key; move this one away if nobody needs it";
        notes.warn("ssh-key-encrypted", what, repair);
    }
    for error in broken {
        let what = format!("{error:#}; ssh goes on to the next key");
        notes.warn("ssh-key-passed-over", what, fault::repair(error));
    }
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(|other| target.place(&other.name).to_string()).collect();
        notes.warn(
            "ssh-keys-several",
            format!(
                "ssh offers {} first, then {}: a server that knows the first one, of another project perhaps, asks for no other",
                target.place(&usable.name),
                names.join(", ")
            ),
            mend!("if jobs need another one, move the first away: $ {}", move_aside(&target.name, &target.home.join(&usable.name))),
        );
    }
}

impl Usable {
    fn shown(&self, context: &Context<'_>) -> ShownKey {
        ShownKey {
            account: context.target.name.clone(),
            server: context.options.server.clone(),
            path: context.target.home.join(format!("{}.pub", self.name)),
            fingerprint: self.line.key().fingerprint(),
            line: self.line.to_string(),
        }
    }
}

/// True when a file holds that public key.
fn is_of(line: &PublicLine, seen: &Seen) -> bool {
    public_line(&seen.bytes).is_ok_and(|found| found.same_key(line))
}

fn wrong_meta(seen: &Seen, mode: &str) -> String {
    format!(
        "it has mode {:04o} and owner {}:{}; ssh wants {mode} and the account",
        seen.mode, seen.uid, seen.gid
    )
}

fn change(why: impl Into<String>, op: impl Into<Op>) -> Change {
    Change::of("ssh_key", why, op)
}

/// What has to be done about the directory of the keys, which is to be the account's alone; `ids` are the account's.
fn directory_change(
    target: &Target,
    found: Option<&Seen>,
    ids: Option<(u32, u32)>,
    after: Meta,
) -> Option<Change> {
    let operation = |before| Op::Directory { place: target.place(SSH), before, after };
    let Some(seen) = found else {
        return Some(change("the account has no directory for SSH keys", operation(None)));
    };
    let is_open = seen.mode & 0o077 != 0 || seen.mode & 0o700 != 0o700;
    (is_open || Some((seen.uid, seen.gid)) != ids)
        .then(|| change(wrong_meta(seen, "0700"), operation(Some(seen.meta()))))
}
