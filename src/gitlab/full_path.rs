//! The path of a project or a group in GitLab, as GitLab compares it.

use std::fmt;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;

/// The path of a project or a group.
#[derive(Debug, Clone, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct FullPath(String);

impl FullPath {
    /// The path itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for this path. GitLab takes no notice of capitals in paths.
    pub(super) fn is(&self, path: &str) -> bool {
        self.0.eq_ignore_ascii_case(path)
    }

    /// True when it is the path of this group, or of something below it.
    pub(super) fn is_below(&self, group: &str) -> bool {
        let (head, rest) = (self.0.get(..group.len()), self.0.as_bytes().get(group.len()));
        head.is_some_and(|head| head.eq_ignore_ascii_case(group)) && matches!(rest, None | Some(b'/'))
    }
}

impl PartialEq for FullPath {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.as_str())
    }
}

impl fmt::Display for FullPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FullPath {
    type Error = anyhow::Error;
    fn try_from(path: String) -> Result<Self> {
        let may_stand = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                && part.chars().all(may_stand)
                && !part.chars().all(|c| c == '.')
        };
        if path.contains("://") {
            bail!("a path in GitLab is wanted, without the server's address: group/name");
        }
        if let Some(name) = path.strip_suffix(".git") {
            bail!("{path:?} can't be a path in GitLab; did you mean {name:?}?");
        }
        if !path.split('/').all(is_name) {
            bail!("{path:?} can't be a path in GitLab, which is like group/name");
        }
        Ok(Self(path))
    }
}
