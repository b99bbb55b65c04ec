//! The account's SSH key pair. A good private key of any usual type is kept as it is; one is made where
//! there is none. No key is ever replaced or removed.

mod fit;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Resource};
use crate::change::{
    Change, Check, Content, FileKind, FileOp, Meta, Notes, Op, Owner, Place, PublicKey, Seen, Shown, Swap,
};
use crate::facts::{Account, Facts};
use crate::fault::{fault, look_and_move_aside, move_aside};
use crate::text::key_pair::{self, DEFAULT_RSA_BITS, Inspection, KeyKind, KeyPair};
use crate::text::public_key::{PublicLine, public_line};
use fit::{check_owner, check_regular};

/// The names that ssh tries by itself (`IdentityFile` in `ssh_config(5)`), the strongest first.
const NAMES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
const SSH: &str = ".ssh";
/// The directory, and both halves of each key.
const IN_HOME: [&str; 7] = [
    SSH,
    ".ssh/id_ed25519",
    ".ssh/id_ed25519.pub",
    ".ssh/id_ecdsa",
    ".ssh/id_ecdsa.pub",
    ".ssh/id_rsa",
    ".ssh/id_rsa.pub",
];

/// The `[ssh_key]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "Section")]
#[schemars(with = "Section")]
pub(super) struct SshKey {
    kind: KeyKind,
    comment: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Section {
    /// The type of a key that is made; an existing one of any type is kept.
    #[serde(rename = "type", default)]
    kind: Type,
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
enum Type {
    #[default]
    Ed25519,
    Rsa,
}

fn default_comment() -> String {
    "gitlab-runner".to_owned()
}

impl TryFrom<Section> for SshKey {
    type Error = anyhow::Error;
    fn try_from(section: Section) -> Result<Self> {
        let kind = match (section.kind, section.bits) {
            (Type::Rsa, bits) => KeyKind::Rsa { bits: bits.unwrap_or(DEFAULT_RSA_BITS) },
            (Type::Ed25519, None) => KeyKind::Ed25519,
            (Type::Ed25519, Some(_)) => {
                anyhow::bail!("`bits` is for keys of type \"rsa\"; an Ed25519 key has one size")
            }
        };
        key_pair::validate(kind, &section.comment)?;
        Ok(Self { kind, comment: section.comment })
    }
}

/// A private key that jobs can use, and its public half.
struct Usable {
    name: &'static str,
    private: Seen,
    public: Option<Seen>,
    line: PublicLine,
}

/// What was found in `~/.ssh`.
#[derive(Default)]
struct Found {
    directory: Option<Seen>,
    usable: Option<Usable>,
    encrypted: Vec<&'static str>,
    lonely: Vec<&'static str>,
}

impl Resource for SshKey {
    fn in_home(&self) -> &'static [&'static str] {
        &IN_HOME
    }

    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        notes.call("ssh");
        let target = context.target;
        let found = match &target.account {
            Some(account) => observe(context.facts, account, context.options.adopt)?,
            None => Found::default(),
        };
        notes.public_key = found
            .usable
            .as_ref()
            .map(|usable| usable.shown(target.name.clone(), &target.home, &context.options.server));
        let own = Owner::Account(target.name.clone());
        let ids = context.facts.ids(&own)?;
        let mut changes = Vec::new();
        let place = |name: &str| Place::Home {
            account: target.name.clone(),
            home: target.home.clone(),
            relative: PathBuf::from(SSH).join(name),
        };
        let directory =
            Place::Home { account: target.name.clone(), home: target.home.clone(), relative: SSH.into() };
        let private_meta = Meta { owner: own.clone(), mode: 0o600 };
        let public_meta = Meta { owner: own.clone(), mode: 0o644 };
        let directory_meta = Meta { owner: own, mode: 0o700 };
        match &found.directory {
            None => changes.push(change(
                "the account has no directory for SSH keys".to_owned(),
                Op::Directory { place: directory, before: None, after: directory_meta },
            )),
            Some(seen)
                if seen.mode & 0o077 != 0
                    || seen.mode & 0o700 != 0o700
                    || Some((seen.uid, seen.gid)) != ids =>
            {
                let before = Some(Meta { owner: Owner::Ids(seen.uid, seen.gid), mode: seen.mode });
                changes.push(change(
                    wrong_meta(seen, "0700"),
                    Op::Directory { place: directory, before, after: directory_meta },
                ));
            }
            Some(_) => {}
        }
        let Some(usable) = found.usable else {
            if found.encrypted.is_empty() {
                changes.extend(self.make(&target.name, &found.lonely, &place, private_meta, public_meta)?);
            } else {
                notes.wait(
                    "ssh-key-encrypted",
                    format!("the key {} has a passphrase: no job can use it", place(found.encrypted[0])),
                    format!(
                        "take the passphrase off: sudo -u {0} ssh-keygen -p -N '' -f {1}; or move the key away and run again",
                        target.name,
                        place(found.encrypted[0])
                    ),
                );
            }
            return Ok(changes);
        };
        for name in &found.encrypted {
            notes.warn(
                "ssh-key-encrypted",
                format!("the key {} has a passphrase: no job can use it", place(name)),
                "jobs use the other key; move this one away if nobody needs it",
            );
        }
        let private = usable.private;
        if private.mode & 0o077 != 0 || private.mode & 0o400 == 0 || Some((private.uid, private.gid)) != ids {
            changes.push(change(
                wrong_meta(&private, "0600"),
                Op::Metadata { place: place(usable.name), before: private, after: private_meta },
            ));
        }
        let public_place = place(&format!("{}.pub", usable.name));
        let own = |seen: &Seen| ids.is_none_or(|(uid, _)| seen.uid == uid);
        match usable.public {
            Some(seen) if is_of(&usable.line, &seen) && own(&seen) => {
                if seen.mode & 0o022 != 0 || Some((seen.uid, seen.gid)) != ids {
                    changes.push(change(
                        wrong_meta(&seen, "0644"),
                        Op::Metadata { place: public_place, before: seen, after: public_meta },
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
                changes.push(change(
                    why,
                    file(public_place, before, Content::ready(text), public_meta, Shown::Text, Swap::Replace),
                ));
            }
        }
        if changes.is_empty() {
            let key = place(usable.name);
            notes.right("ssh_key", format!("{key} can be used by jobs alone, and its public half fits"));
        }
        Ok(changes)
    }
}

impl SshKey {
    /// A new pair, made when it is written.
    fn make(
        &self,
        account: &str,
        lonely: &[&str],
        place: &dyn Fn(&str) -> Place,
        private_meta: Meta,
        public_meta: Meta,
    ) -> Result<Vec<Change>> {
        let (name, label) = match self.kind {
            KeyKind::Ed25519 => ("id_ed25519", "Ed25519".to_owned()),
            KeyKind::Rsa { bits } => ("id_rsa", format!("RSA, {bits} bits")),
        };
        if lonely.contains(&name) {
            let public = place(&format!("{name}.pub"));
            return Err(fault(
                "ssh-key-half",
                format!("{public} is there without its private key"),
                format!(
                    "put the private key back, or move the public one away: {}",
                    move_aside(account, &public.path())
                ),
            ));
        }
        let pair = Rc::new(OnceCell::new());
        let (kind, comment) = (self.kind, self.comment.clone());
        let get = move || -> Result<Rc<KeyPair>> {
            if let Some(made) = pair.get() {
                return Ok(Rc::clone(made));
            }
            let made = Rc::new(key_pair::generate(kind, &comment)?);
            Ok(Rc::clone(pair.get_or_init(|| made)))
        };
        let get_public = get.clone();
        let slow = matches!(self.kind, KeyKind::Rsa { .. });
        let private = Content::later(move || Ok(get()?.private.as_bytes().to_vec())).slow(slow);
        let public = Content::later(move || Ok(get_public()?.public.clone().into_bytes())).slow(slow);
        let why = "jobs have no SSH key to push with".to_owned();
        let shown = |half: &str| Shown::Label(format!("new {half} key ({label}, comment {})", self.comment));
        Ok(vec![
            change(
                why.clone(),
                file(place(name), None, private, private_meta, shown("private"), Swap::Fresh),
            ),
            change(
                why,
                file(place(&format!("{name}.pub")), None, public, public_meta, shown("public"), Swap::Fresh),
            ),
        ])
    }
}

/// The public key that jobs use: the usable key that ssh would try first.
///
/// # Errors
/// When the home can't be read, or holds something that is no key where one belongs.
pub fn public_key(facts: &dyn Facts, account: &Account) -> Result<Option<PublicKey>> {
    Ok(observe(facts, account, false)?
        .usable
        .map(|usable| usable.shown(account.name.clone(), &account.home, "")))
}

impl Usable {
    fn shown(&self, account: String, home: &std::path::Path, server: &str) -> PublicKey {
        PublicKey {
            account,
            server: server.to_owned(),
            path: home.join(SSH).join(format!("{}.pub", self.name)),
            fingerprint: self.line.key().fingerprint(),
            line: self.line.to_string(),
        }
    }
}

/// Look at the directory and at every key of a usual name.
fn observe(facts: &dyn Facts, account: &Account, adopt: bool) -> Result<Found> {
    // Without a real directory the paths below it would fail with less to say.
    let directory = facts.home(account, &[SSH])?.into_iter().next().flatten();
    let path = account.home.join(SSH);
    let Some(directory) = directory else {
        return Ok(Found::default());
    };
    if directory.kind != FileKind::Directory {
        return Err(fault(
            "ssh-directory",
            format!("{} is {}: it is not followed or replaced", path.display(), directory.kind),
            look_and_move_aside(&account.name, &path),
        ));
    }
    let given = adopt || (directory.uid == 0 && facts.keeps_nothing_back(account, SSH)?);
    check_owner(&directory, account, &path, given)?;
    let mut seen = facts.home(account, &IN_HOME[1..])?.into_iter();
    let mut found = Found { directory: Some(directory), ..Found::default() };
    for name in NAMES {
        let (private, public) = (seen.next().flatten(), seen.next().flatten());
        let path = path.join(name);
        let public_path = path.with_extension("pub");
        if let Some(public) = &public {
            check_regular(public, &account.name, &public_path)?;
        }
        let Some(private) = private else {
            if public.is_some() {
                found.lonely.push(name);
            }
            continue;
        };
        check_regular(&private, &account.name, &path)?;
        check_owner(&private, account, &path, adopt)?;
        match half_of(facts, account, &private, public.as_ref())? {
            Half::Encrypted => found.encrypted.push(name),
            Half::Public(line) if found.usable.is_none() => {
                found.usable = Some(Usable { name, private, public, line });
            }
            Half::Public(_) => {}
            Half::No(reason) => {
                return Err(fault(
                    "ssh-key-unreadable",
                    format!("{} is no SSH private key: {reason}", path.display()),
                    format!("it is never replaced; move it away: {}", move_aside(&account.name, &path)),
                ));
            }
        }
    }
    Ok(found)
}

/// What a private key file yields.
enum Half {
    Public(PublicLine),
    Encrypted,
    No(String),
}

fn half_of(facts: &dyn Facts, account: &Account, private: &Seen, public: Option<&Seen>) -> Result<Half> {
    Ok(match key_pair::inspect(&private.bytes) {
        Inspection::OpenSsh { encrypted: true, .. } | Inspection::Foreign { encrypted: true, .. } => {
            Half::Encrypted
        }
        Inspection::OpenSsh { public, .. } => Half::Public(public),
        Inspection::NotAKey { reason } => Half::No(reason.to_owned()),
        Inspection::Foreign { format, .. } => {
            let asked = facts.public_half(account, &private.bytes)?;
            let line = asked.and_then(|line| public_line(line.as_bytes()).ok());
            // Its format keeps no comment; the one of the public file stays.
            let comment = public.and_then(|public| public_line(&public.bytes).ok());
            match line {
                Some(line) => {
                    let comment = comment.map(|line| line.comment().to_owned()).unwrap_or_default();
                    Half::Public(PublicLine::new(line.key().clone(), &comment))
                }
                None => Half::No(format!("ssh-keygen can't read it either ({format})")),
            }
        }
    })
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

fn change(why: String, op: Op) -> Change {
    let id = op.place().map(ToString::to_string).unwrap_or_default();
    Change { kind: "ssh_key", id, why, op }
}

fn file(place: Place, before: Option<Seen>, after: Content, meta: Meta, shown: Shown, swap: Swap) -> Op {
    Op::File(Box::new(FileOp { place, before, after: Some(after), meta, check: Check::None, shown, swap }))
}
