//! What one run changed, as it stands in `entry.json`.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::former::FormerValue;
use super::stamp::Id;
use crate::change::{AccountOp, Change, Content, FileOp, Meta, Op, Owner, Place, ReadBy, Shown, Swap};

/// The version of this format. A reader takes the earlier ones, too, and refuses another one.
pub const SCHEMA: u32 = 2;

/// One run that changed the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`SCHEMA`] of the program that made it.
    pub schema: u32,
    /// The entry's name, also that of its directory.
    pub id: Id,
    /// When it began, UTC.
    pub time: String,
    /// The version of the program.
    pub version: String,
    /// The profiles that were applied.
    pub profiles: Vec<String>,
    /// How far it came.
    pub state: RunState,
    /// What a killed run left beside its files was looked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swept: bool,
    /// What it changed, in the order of application.
    pub changes: Vec<Record>,
}

impl Entry {
    /// The run was killed and not cleaned up after.
    pub fn is_unswept(&self) -> bool {
        self.state == RunState::Incomplete && !self.swept
    }
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It was killed, or what it did could not be taken back: some changes may be live.
    Incomplete,
    /// All changes are live.
    Complete,
    /// All changes were taken back.
    Undone,
}

impl RunState {
    /// The word for people and for `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Complete => "complete",
            Self::Undone => "undone",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The kind of resource.
    pub kind: String,
    /// What was changed.
    pub id: String,
    /// `create`, `update`, `remove` or `repair`.
    pub action: String,
    /// What was done to it.
    pub op: RecordedOp,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum RecordedOp {
    /// An account was made, or with `group` joined to that group.
    Account {
        /// Login name.
        name: String,
        /// The group.
        group: Option<String>,
    },
    /// A directory was made or repaired.
    Directory(RecordedFile),
    /// A file was made, replaced or removed.
    File(RecordedFile),
    /// Owner and mode of a file were repaired.
    Metadata(RecordedFile),
}

impl RecordedOp {
    /// The file or directory; `None` for an account.
    pub fn file(&self) -> Option<&RecordedFile> {
        match self {
            Self::Account { .. } => None,
            Self::Directory(thing) | Self::File(thing) | Self::Metadata(thing) => Some(thing),
        }
    }
}

/// A file or directory, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFile {
    /// Where it is.
    pub place: Place,
    /// What it was; `None` when it was missing.
    pub before: Option<FileVersion>,
    /// What it became; `None` when it was removed.
    pub after: Option<FileVersion>,
    /// What may be shown of it.
    #[serde(default, skip_serializing_if = "KeptShown::is_label")]
    pub shown: KeptShown,
    /// It is an SSH key that we made: it is moved aside, never removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// Which program reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReadBy>,
    /// For `config.toml`, in the first format: the single values that were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<FormerValue>>,
    /// For `config.toml`, since: the file with what was done to single values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits: Option<FileVersion>,
}

/// What may be shown of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptShown {
    /// Its text.
    Text,
    /// Only the single values that were changed.
    Values,
    /// Nothing.
    #[default]
    Label,
}

impl KeptShown {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    fn is_label(&self) -> bool {
        *self == Self::Label
    }
}

/// A file or directory at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileVersion {
    /// Who owned it.
    pub owner: Owner,
    /// Its permission bits.
    pub mode: u32,
    /// SHA-256 of its bytes; `None` where they were not ours to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The file beside `entry.json` that has its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<PathBuf>,
}

/// A file beside `entry.json`, to be written.
pub(super) struct Blob<'c> {
    pub(super) name: String,
    pub(super) bytes: &'c [u8],
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What is to be kept of one change.
pub(super) fn record<'c>(index: usize, change: &'c Change, blobs: &mut Vec<Blob<'c>>) -> Result<Record> {
    let op = match &change.op {
        Op::Account(AccountOp::Create { name, .. }) => {
            RecordedOp::Account { name: name.clone(), group: None }
        }
        Op::Account(AccountOp::Join { name, group }) => {
            RecordedOp::Account { name: name.clone(), group: Some(group.clone()) }
        }
        // It comes first, on its own, and nothing could take it back.
        Op::Register(_) => anyhow::bail!("{} went out of config.toml after it was registered", change.id),
        Op::Directory { place, before, after } => {
            RecordedOp::Directory(RecordedFile::plain(place, before.as_ref().map(side), Some(side(after))))
        }
        Op::RemoveDirectory { place, before } => {
            RecordedOp::Directory(RecordedFile::plain(place, Some(side(before)), None))
        }
        Op::Metadata { place, before, after } => {
            RecordedOp::Metadata(RecordedFile::plain(place, Some(side(&before.meta())), Some(side(after))))
        }
        Op::File(file) => RecordedOp::File(recorded_file(index, file, blobs)?),
    };
    let (kind, action) = (change.kind.to_owned(), change.op.action().to_owned());
    Ok(Record { kind, id: change.id.clone(), action, op })
}

impl RecordedFile {
    fn plain(place: &Place, before: Option<FileVersion>, after: Option<FileVersion>) -> Self {
        let place = place.clone();
        let shown = KeptShown::Label;
        Self { place, before, after, shown, fresh: false, reader: None, values: None, edits: None }
    }
}

fn side(meta: &Meta) -> FileVersion {
    FileVersion { owner: meta.owner.clone(), mode: meta.mode, digest: None, bytes: None }
}

fn recorded_file<'c>(index: usize, file: &'c FileOp, blobs: &mut Vec<Blob<'c>>) -> Result<RecordedFile> {
    let fresh = file.swap == Swap::Fresh;
    let mut keep = |name: String, bytes: &'c [u8]| {
        blobs.push(Blob { name: name.clone(), bytes });
        Some(PathBuf::from(name))
    };
    let before = file.before.as_ref().map(|seen| FileVersion {
        digest: Some(digest(&seen.bytes)),
        bytes: keep(format!("{index}.before"), &seen.bytes),
        ..side(&seen.meta())
    });
    let bytes = file.after.as_ref().map(Content::bytes).transpose()?;
    let after = bytes.map(|bytes| FileVersion {
        digest: Some(digest(bytes)),
        // For a refusal that shows what somebody changed since.
        bytes: if file.shown == Shown::Text { keep(format!("{index}.after"), bytes) } else { None },
        ..side(&file.meta)
    });
    let shown = match &file.shown {
        Shown::Text => KeptShown::Text,
        Shown::Label(_) => KeptShown::Label,
        Shown::Values(_) => KeptShown::Values,
    };
    let edits = file.edits.as_deref().map(|bytes| FileVersion {
        owner: Owner::Root,
        mode: 0o600,
        digest: Some(digest(bytes)),
        bytes: keep(format!("{index}.edits"), bytes),
    });
    let (place, reader) = (file.place.clone(), file.reader.clone());
    Ok(RecordedFile { place, before, after, shown, fresh, reader, values: None, edits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Seen, ValueChange};
    use crate::seen::Stat;

    /// The format on disk: a change here needs another [`SCHEMA`].
    #[test]
    fn an_entry_is_written_like_this() {
        let config = FileOp {
            place: Place::System("/etc/gitlab-runner/config.toml".into()),
            before: Some(Seen {
                bytes: b"[[runners]]\n".to_vec(),
                ..Seen::from(Stat {
                    kind: crate::change::FileKind::Regular,
                    mode: 0o600,
                    uid: 0,
                    gid: 0,
                    links: 1,
                    size: 12,
                    identity: (1, 2),
                    modified: (0, 0),
                    changed: (0, 0),
                })
            }),
            after: Some(Content::ready(b"[[runners]]\nlimit = 1\n".to_vec())),
            meta: Meta { owner: Owner::Ids(0, 0), mode: 0o600 },
            reader: Some(ReadBy::Runner),
            shown: Shown::Values(vec![ValueChange {
                name: "runners[0]: limit".into(),
                path: vec!["runners".into(), 0.into(), "limit".into()],
                element: false,
                before: None,
                after: Some("1".into()),
            }]),
            swap: Swap::Shared,
            edits: Some(b"{}".to_vec()),
        };
        let key = FileOp {
            place: Place::Home {
                account: "ci".into(),
                home: "/home/ci".into(),
                relative: ".ssh/id_rsa".into(),
            },
            before: None,
            after: Some(Content::ready(b"secret".to_vec())),
            meta: Meta { owner: Owner::Account("ci".into()), mode: 0o600 },
            reader: None,
            shown: Shown::Label("new key".into()),
            swap: Swap::Fresh,
            edits: None,
        };
        let change = |kind, op: Op| Change { kind, id: "x".into(), why: String::new(), op };
        let mut blobs = Vec::new();
        let mut text = String::new();
        let joined = AccountOp::Join { name: "ci".into(), group: "docker".into() };
        let changes = [
            change("account", Op::Account(joined)),
            change("ssh_key", Op::File(Box::new(key))),
            change("config", Op::File(Box::new(config))),
        ];
        for (index, change) in changes.iter().enumerate() {
            let record = record(index, change, &mut blobs).unwrap();
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
            text += &(json + "\n");
        }
        let digests = [b"secret".as_slice(), b"[[runners]]\n", b"[[runners]]\nlimit = 1\n"].map(digest);
        assert_eq!(
            text,
            format!(
                r#"{{"kind":"account","id":"x","action":"update","op":{{"account":{{"name":"ci","group":"docker"}}}}}}
{{"kind":"ssh_key","id":"x","action":"create","op":{{"file":{{"place":{{"home":{{"account":"ci","home":"/home/ci","relative":".ssh/id_rsa"}}}},"before":null,"after":{{"owner":{{"account":"ci"}},"mode":384,"digest":"{}"}},"fresh":true}}}}}}
{{"kind":"config","id":"x","action":"update","op":{{"file":{{"place":{{"system":"/etc/gitlab-runner/config.toml"}},"before":{{"owner":{{"ids":[0,0]}},"mode":384,"digest":"{}","bytes":"2.before"}},"after":{{"owner":{{"ids":[0,0]}},"mode":384,"digest":"{}"}},"shown":"values","reader":"runner","edits":{{"owner":"root","mode":384,"digest":"{}","bytes":"2.edits"}}}}}}}}
"#,
                digests[0],
                digests[1],
                digests[2],
                digest(b"{}")
            )
        );
        let names: Vec<&str> = blobs.iter().map(|blob| blob.name.as_str()).collect();
        assert_eq!(names, ["2.before", "2.edits"]);
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
