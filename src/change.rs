//! What a resource wants done, as plain data: the vocabulary between resources, `apply` and `report`.
//!
//! Owns the closed set of operations. Must not touch the host, and knows nothing of runners or profiles.

mod note;
mod outcome;

use std::cell::OnceCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use crate::seen::{FileKind, Seen};
use crate::text::key_pair::{KeyKind, KeyPair};
use crate::text::toml_patch::Step;
pub use note::{Harm, Note, Notes, ShownKey};
pub use outcome::{ChangeOutcome, Outcome};

/// One wanted change of the host, with its reason.
#[derive(Debug, Clone)]
pub struct Change {
    /// Name of the resource kind, as in a profile's section: `sudoers`, `config`, …
    pub kind: &'static str,
    /// What is changed, unique within a plan: a path, or an account's name.
    pub id: String,
    /// Why, for a person, in one line.
    pub why: String,
    /// What to do.
    pub op: Op,
}

impl Change {
    /// A change that is called after its place.
    pub fn of(kind: &'static str, why: impl Into<String>, op: impl Into<Op>) -> Self {
        let op = op.into();
        let id = op.place().map(ToString::to_string).unwrap_or_default();
        Self { kind, id, why: why.into(), op }
    }
}

/// The closed set of operations that `apply` knows.
#[derive(Debug, Clone)]
pub enum Op {
    /// Make or extend an account. Never undone: an account may own files by then.
    Account(AccountOp),
    /// Make a directory, or repair its owner and mode.
    Directory {
        /// Where it is.
        place: Place,
        /// Owner and mode now; `None` when it is missing.
        before: Option<Meta>,
        /// Owner and mode wanted.
        after: Meta,
    },
    /// Remove a directory that an undone change made: last of all, and only when nothing is in it by then.
    RemoveDirectory {
        /// Where it is.
        place: Place,
        /// Owner and mode now.
        before: Meta,
    },
    /// Make, replace or remove a regular file, whole.
    File(Box<FileOp>),
    /// Repair owner and mode of a file whose bytes stay.
    Metadata {
        /// Where it is.
        place: Place,
        /// What was seen when planning; `apply` compares again.
        before: Seen,
        /// Owner and mode wanted.
        after: Meta,
    },
    /// Have gitlab-runner register a runner, before all else. Never undone: GitLab knows of it by then.
    Register(Box<RegisterOp>),
}

/// A runner to be registered by `gitlab-runner register`.
#[derive(Debug, Clone)]
pub struct RegisterOp {
    /// What GitLab and `config.toml` call it.
    pub name: String,
    /// The address of the GitLab server.
    pub url: String,
    /// How it runs jobs.
    pub executor: String,
    /// The image of jobs that name none, where the executor wants one.
    pub image: Option<String>,
    /// The file that the token came from, for messages.
    pub token_file: PathBuf,
    /// The runner's authentication token.
    pub token: Content,
    /// What else the profile wants of it, for `--template-config`.
    pub template: Option<String>,
    /// The certificates that its server is trusted by; `None` for the system's own.
    pub ca: Option<PathBuf>,
    /// The configuration file that gets the runner.
    pub config: PathBuf,
    /// Where gitlab-runner is.
    pub program: PathBuf,
}

/// Make or extend an account of the password database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountOp {
    /// `useradd` with the arguments of GitLab's own package.
    Create {
        /// Login name.
        name: String,
        /// The comment (GECOS) field.
        comment: String,
        /// Login shell, an absolute path.
        shell: PathBuf,
        /// The home directory that `useradd` will give it.
        home: PathBuf,
    },
    /// `usermod --append --groups`.
    Join {
        /// Login name.
        name: String,
        /// Name of the supplementary group.
        group: String,
    },
}

/// A file to be made, replaced or removed.
#[derive(Debug, Clone)]
pub struct FileOp {
    /// Where it is.
    pub place: Place,
    /// What was seen when planning; `None` when it was missing. `apply` compares again.
    pub before: Option<Seen>,
    /// The wanted bytes; `None` removes the file.
    pub after: Option<Content>,
    /// Owner and mode wanted.
    pub meta: Meta,
    /// How the candidate is checked before it is live, and the host after.
    pub reader: Option<ReadBy>,
    /// What may be shown of the content.
    pub shown: Shown,
    /// How the candidate takes the place of the old file.
    pub swap: Swap,
    /// What is done to single values of it, as the journal keeps that.
    pub edits: Option<Vec<u8>>,
}

impl FileOp {
    /// A file that gets these bytes: without secrets, and read by no program that has a say.
    pub fn new(place: Place, before: Option<Seen>, after: Vec<u8>, meta: Meta) -> Self {
        let after = Some(Content::ready(after));
        let (shown, swap) = (Shown::Text, Swap::Replace);
        Self { place, before, after, meta, reader: None, shown, swap, edits: None }
    }
}

impl From<FileOp> for Op {
    fn from(file: FileOp) -> Self {
        Self::File(Box::new(file))
    }
}

/// How a candidate becomes the live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// Rename over the old file.
    Replace,
    /// Appear only where nothing is: an SSH key is never replaced.
    Fresh,
    /// Other programs rewrite this file without a lock: exchange under a lease and look back
    /// (`sys::shared`). Attributes and links of the old file are kept.
    Shared,
    /// For a removal: the file gets this free name in the same directory. An SSH key is never deleted.
    Aside(String),
}

/// Which program reads a file, so that it is asked about the candidate, and about the former bytes too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ReadBy {
    /// sudo: `visudo` on the candidate and on the merged policy, before and after.
    Sudo {
        /// The account whose rights the rule changes.
        account: String,
    },
    /// GitLab Runner's configuration: `gitlab-runner lint` where it is installed.
    Runner,
}

/// What a report may show of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// No secrets: a text diff.
    Text,
    /// Only these values, never a line of the file.
    Values(Vec<ValueChange>),
    /// Nothing but this description.
    Label(String),
}

/// One value of a configuration file, before and after, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// Which value, for a person: `runners[0] "docker-runner": docker.privileged`.
    pub name: String,
    /// Machine-readable place: keys and indices; for an element of a list, that of the list.
    pub path: Vec<Step>,
    /// It is an element of a list.
    pub element: bool,
    /// The value before in TOML's notation; `None` when it was absent.
    pub before: Option<String>,
    /// The value after in TOML's notation; `None` when it goes away.
    pub after: Option<String>,
}

/// A place on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Place {
    /// An absolute path that only root may change.
    System(PathBuf),
    /// Below the account's home: jobs can write there, so no link is followed and the account's
    /// own rights are used.
    Home {
        /// The account's login name.
        account: String,
        /// The account's home directory, absolute.
        home: PathBuf,
        /// The path below it.
        relative: PathBuf,
    },
}

impl Place {
    /// The absolute path, as a person writes it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::System(path) => path.clone(),
            Self::Home { home, relative, .. } => home.join(relative),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

/// Owner and mode of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who owns it.
    pub owner: Owner,
    /// Permission bits, without the file type: `0o640`.
    pub mode: u32,
}

impl Seen {
    /// Owner and mode.
    pub fn meta(&self) -> Meta {
        Meta { owner: Owner::Ids(self.uid, self.gid), mode: self.mode }
    }
}

/// The owner of a file, by role: numbers are known only when the account exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// `root:root`; in a `--root` tree of an ordinary user, that user.
    Root,
    /// The named account and its own group.
    Account(String),
    /// User and group by number, to keep what is there.
    Ids(u32, u32),
}

/// The bytes of a file. A new key is made only when it is to be written: a plan that is only shown needs none. They are
/// wiped after the last use: it may be a private key.
#[derive(Clone)]
pub enum Content {
    /// Bytes that are there already.
    Ready(Rc<Zeroizing<Vec<u8>>>),
    /// The private half of a new key.
    Private(Rc<NewKey>),
    /// Its public half.
    Public(Rc<NewKey>),
}

/// A key pair that `apply` makes.
pub struct NewKey {
    /// Its type.
    pub kind: KeyKind,
    /// The last word of its public line.
    pub comment: String,
    /// The pair, once it was made.
    pub made: OnceCell<KeyPair>,
}

impl Content {
    /// Bytes that are there already.
    pub fn ready(bytes: Vec<u8>) -> Self {
        Self::Ready(Rc::new(Zeroizing::new(bytes)))
    }

    /// The key whose half this is, while it is not made yet.
    pub fn unmade(&self) -> Option<&NewKey> {
        match self {
            Self::Ready(_) => None,
            Self::Private(key) | Self::Public(key) => Some(&**key).filter(|key| key.made.get().is_none()),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// When they are those of a key that nobody made before.
    pub fn bytes(&self) -> anyhow::Result<&[u8]> {
        self.peek().context("the new key is not made yet")
    }

    /// The bytes if they are there already: enough for a diff.
    pub fn peek(&self) -> Option<&[u8]> {
        match self {
            Self::Ready(bytes) => Some(bytes),
            Self::Private(key) => key.made.get().map(|pair| pair.private.as_bytes()),
            Self::Public(key) => key.made.get().map(|pair| pair.public.as_bytes()),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

impl Op {
    /// The place that is changed; `None` for an account and a registration.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Account(_) | Self::Register(_) => None,
            Self::Directory { place, .. }
            | Self::RemoveDirectory { place, .. }
            | Self::Metadata { place, .. } => Some(place),
            Self::File(file) => Some(&file.place),
        }
    }

    /// The key that this writes a half of, while it is not made yet.
    pub fn unmade_key(&self) -> Option<&NewKey> {
        match self {
            Self::File(file) => file.after.as_ref()?.unmade(),
            _ => None,
        }
    }

    /// The file with sudo rules that this changes.
    pub fn sudoers(&self) -> Option<&FileOp> {
        match self {
            Self::File(file) if matches!(file.reader, Some(ReadBy::Sudo { .. })) => Some(file),
            _ => None,
        }
    }

    /// True for a change outside the account's home.
    pub fn is_system(&self) -> bool {
        matches!(self.place(), Some(Place::System(_)))
    }

    /// True for a change below the account's home.
    pub fn is_home(&self) -> bool {
        matches!(self.place(), Some(Place::Home { .. }))
    }

    /// The verb for reports and `--json`: `create`, `update`, `remove` or `repair`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Account(AccountOp::Join { .. }) => "update",
            Self::Account(AccountOp::Create { .. })
            | Self::Register(_)
            | Self::Directory { before: None, .. } => "create",
            Self::Directory { .. } | Self::Metadata { .. } => "repair",
            Self::RemoveDirectory { .. } => "remove",
            Self::File(file) => match (&file.before, &file.after) {
                (_, None) => "remove",
                (None, Some(_)) => "create",
                (Some(_), Some(_)) => "update",
            },
        }
    }
}
