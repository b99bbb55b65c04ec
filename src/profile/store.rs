//! Where profiles come from: those that are built in, and the files that the caller reads.

use std::path::Path;

use anyhow::Result;

/// Where local profiles lie, inside the tree that is worked on.
pub const DIRECTORY: &str = "/etc/runner-prep/profiles";

/// The profiles compiled into the program: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("dind", include_str!("../../profiles/dind.toml")),
    ("dind-hardened", include_str!("../../profiles/dind-hardened.toml")),
    ("dind-no-tls", include_str!("../../profiles/dind-no-tls.toml")),
    ("dind-rootless", include_str!("../../profiles/dind-rootless.toml")),
    ("dind-rootless-closed", include_str!("../../profiles/dind-rootless-closed.toml")),
    ("dind-socket", include_str!("../../profiles/dind-socket.toml")),
    ("docker-socket", include_str!("../../profiles/docker-socket.toml")),
    ("shell", include_str!("../../profiles/shell.toml")),
    ("shell-hardened", include_str!("../../profiles/shell-hardened.toml")),
];

/// The text of a file.
#[derive(Debug)]
pub struct ProfileText {
    /// All of it.
    pub text: String,
    /// Nothing of it may be shown in a message: whoever called could not read the file.
    pub hidden: bool,
}

/// Where the files of profiles are read.
pub trait ProfileStore {
    /// The text of the file at a path; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be read, or is not to be trusted.
    fn read(&self, path: &Path) -> Result<Option<ProfileText>>;

    /// The names of the files in [`DIRECTORY`].
    ///
    /// # Errors
    /// When they can't be listed.
    fn names(&self) -> Result<Vec<String>>;
}

/// A store whose files are known by their paths alone.
impl<F: Fn(&Path) -> Result<Option<String>>> ProfileStore for F {
    fn read(&self, path: &Path) -> Result<Option<ProfileText>> {
        Ok(self(path)?.map(|text| ProfileText { text, hidden: false }))
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Where a built-in profile comes from, in words.
pub(super) fn built_in(name: &str) -> String {
    format!("built-in profile {name}")
}
