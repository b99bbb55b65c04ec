//! A deployment: which account's checkouts go into which directory, and with which owner and modes.
//!
//! The same description stands in a profile (`[[deploy]]`) and, with the account, in the file that only root
//! can write and that `runner-deploy` obeys. Everything in it is checked when it is read, in both places.

use std::fmt::Write as _;
use std::path::{Component, Path};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sudo_rule::is_account_name;

/// Where the descriptions lie, a file `NAME.toml` each.
pub const DIRECTORY: &str = "/etc/runner-prep/deploy";

/// Directories below which lie programs, or texts that root's programs obey: whoever writes there is root.
const ROOTS_OWN: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/runner-prep",
    "/var/run",
    "/var/spool",
];

/// Directories for data among them.
const DATA: &[&str] = &["/usr/share", "/usr/local/share"];

/// What jobs call.
pub const ENTRY: &str = "/usr/local/sbin/runner-deploy";

/// The name of a deployment: the one argument of `runner-deploy`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^[a-z0-9][a-z0-9-]{0,63}$"))]
pub struct DeploymentName(String);

/// What a profile says of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// What jobs call it by.
    pub name: DeploymentName,
    /// The directory whose content is replaced.
    pub target: DeployTarget,
    /// Who owns what lies in it.
    #[serde(default)]
    pub owner: OwnerAndGroup,
    /// What becomes of the modes in the checkout.
    #[serde(default)]
    pub chmod: Modes,
    /// What is left out, in rsync's patterns.
    #[serde(default = "exclude_git")]
    pub exclude: Vec<Pattern>,
    /// Remove what the checkout does not have.
    #[serde(default)]
    pub delete: bool,
    /// How long the reading side may say nothing before the deployment is given up.
    #[serde(default)]
    pub timeout: IdleTimeout,
}

/// What `runner-deploy` reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Whose rights the reading side has, whoever calls.
    pub account: String,
    /// The deployment itself.
    #[serde(rename = "deploy")]
    pub deployment: Deployment,
}

/// An absolute path of a directory for data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^/"))]
pub struct DeployTarget(String);

/// `user:group`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("pattern" = "^[a-z_][a-z0-9_-]{0,31}(:[a-z_][a-z0-9_-]{0,31})?$"))]
pub struct OwnerAndGroup {
    /// Login name.
    pub user: String,
    /// Name of the group.
    pub group: String,
}

/// Modes as `chmod(1)` takes them, the part that gives nothing away.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1))]
pub struct Modes(String);

/// Seconds without a word. A living rsync says something every half of it, also when it has nothing to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(inline, extend("minimum" = 5, "maximum" = 86_400))]
pub struct IdleTimeout(u32);

/// A pattern of rsync's `--exclude`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("minLength" = 1))]
pub struct Pattern(String);

fn exclude_git() -> Vec<Pattern> {
    vec![Pattern(".git".to_owned())]
}

impl Default for OwnerAndGroup {
    fn default() -> Self {
        Self { user: "root".to_owned(), group: "root".to_owned() }
    }
}

impl Default for Modes {
    fn default() -> Self {
        Self("u=rwX,go=rX".to_owned())
    }
}

impl Default for IdleTimeout {
    fn default() -> Self {
        Self(300)
    }
}

impl IdleTimeout {
    /// As a span of time.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl OwnerAndGroup {
    /// True when the receiving side needs root's rights.
    pub fn is_root(&self) -> bool {
        self.user == "root"
    }
}

impl Modes {
    /// True when they may let the group write.
    pub fn lets_group_write(&self) -> bool {
        self.0.split(',').any(|clause| {
            let clause = clause.strip_prefix(['D', 'F']).unwrap_or(clause);
            let parts = clause.split_once(['=', '+']);
            parts.is_some_and(|(who, what)| who.contains(['g', 'a']) && what.contains('w'))
        })
    }
}

impl DeployTarget {
    /// The path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl DeploymentName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why content that others choose must not lie at a path; `None` when it may.
pub fn refuse_place(path: &Path) -> Option<String> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    if names < 2 {
        return Some(format!("{} is not a directory of one application", path.display()));
    }
    if DATA.iter().any(|top| path.starts_with(top) && path != Path::new(top)) {
        return None;
    }
    let top = ROOTS_OWN.iter().find(|top| path.starts_with(top))?;
    Some(format!("programs that run as root obey what lies below {top}, so jobs would be root"))
}

impl TryFrom<String> for DeploymentName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(allowed) {
            return Ok(Self(name));
        }
        Err(format!(
            "{name:?} can't be the name of a deployment: names are lower-case letters, digits and `-`"
        ))
    }
}

impl TryFrom<String> for DeployTarget {
    type Error = String;
    fn try_from(path: String) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{path:?} can't be the target of a deployment: {why}"));
        if !path.starts_with('/') {
            return refuse("it must be an absolute path");
        }
        if path.chars().any(char::is_control) {
            return refuse("it has control characters in it");
        }
        if path[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("it must name one directory, without `..`, `.`, `//` or a `/` at its end");
        }
        match refuse_place(Path::new(&path)) {
            Some(why) => refuse(&why),
            None => Ok(Self(path)),
        }
    }
}

impl TryFrom<String> for OwnerAndGroup {
    type Error = String;
    fn try_from(owner: String) -> Result<Self, String> {
        let (user, group) = owner.split_once(':').unwrap_or((&owner, &owner));
        if is_account_name(user) && is_account_name(group) {
            return Ok(Self { user: user.to_owned(), group: group.to_owned() });
        }
        Err(format!("{owner:?} can't be an owner: write user:group, names of [a-z_][a-z0-9_-]*"))
    }
}

impl TryFrom<String> for Modes {
    type Error = String;
    fn try_from(modes: String) -> Result<Self, String> {
        for clause in modes.split(',') {
            if let Some(why) = refuse_clause(clause) {
                return Err(format!("{modes:?} can't be the modes of a deployment: {why}"));
            }
        }
        Ok(Self(modes))
    }
}

/// Why a clause like `Dgo=rX` is not possible; `None` when it is.
fn refuse_clause(clause: &str) -> Option<String> {
    let rest = clause.strip_prefix(['D', 'F']).unwrap_or(clause);
    let shape = || Some(format!("{clause:?} is none of u=rwX, go=rX, Dg+w, … (numbers are not understood)"));
    let Some((at, operator)) = rest.char_indices().find(|(_, c)| "=+-".contains(*c)) else {
        return shape();
    };
    let (who, what) = (&rest[..at], &rest[at + 1..]);
    if who.is_empty() || !who.chars().all(|c| "ugoa".contains(c)) {
        return shape();
    }
    if what.contains(['s', 't']) {
        return Some(format!("{clause:?}: setuid, setgid and sticky bits are always taken off"));
    }
    if !what.chars().all(|c| "rwxX".contains(c)) {
        return shape();
    }
    let others = who.contains(['o', 'a']) && operator != '-' && what.contains('w');
    others.then(|| format!("{clause:?} lets everybody write there"))
}

impl TryFrom<u32> for IdleTimeout {
    type Error = String;
    fn try_from(seconds: u32) -> Result<Self, String> {
        if (5..=86_400).contains(&seconds) {
            return Ok(Self(seconds));
        }
        Err(format!("{seconds} can't be the timeout of a deployment: write seconds, 5 to 86400"))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(pattern: String) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{pattern:?} can't be excluded: {why}"));
        if pattern.is_empty() || pattern.chars().any(char::is_control) {
            return refuse("it is empty or has control characters in it");
        }
        if pattern == "!" || pattern.starts_with("+ ") || pattern.starts_with("- ") {
            return refuse("rsync reads it as a rule of another kind");
        }
        Ok(Self(pattern))
    }
}

impl From<OwnerAndGroup> for String {
    fn from(owner: OwnerAndGroup) -> Self {
        format!("{}:{}", owner.user, owner.group)
    }
}

impl Description {
    /// Read a description.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml_edit::de::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// The text that [`Description::parse`] reads.
    pub fn render(&self) -> String {
        let value = |text: &str| toml_edit::Value::from(text).to_string();
        let Deployment { name, target, owner, chmod, exclude, delete, timeout } = &self.deployment;
        let mut text = format!("account = {}\n\n[deploy]\n", value(&self.account));
        let exclude: Vec<String> = exclude.iter().map(|pattern| value(&pattern.0)).collect();
        for (key, value) in [
            ("name", value(&name.0)),
            ("target", value(&target.0)),
            ("owner", value(&String::from(owner.clone()))),
            ("chmod", value(&chmod.0)),
            ("exclude", format!("[{}]", exclude.join(", "))),
            ("delete", delete.to_string()),
            ("timeout", timeout.0.to_string()),
        ] {
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }
}

impl Deployment {
    /// The options of the receiving rsync. `owner` is what everything is given to: numbers of user and group;
    /// `None` when the receiver is the owner itself.
    pub fn rsync_options(&self, owner: Option<(u32, u32)>) -> Vec<String> {
        // Not -a: no devices, no owners of the sender's choice. --perms, so that old files get the modes too.
        let mut options: Vec<String> =
            ["-v", "-rlptu", "--safe-links", "--no-devices", "--no-specials"].map(str::to_owned).to_vec();
        // Not with --perms alone: u=rwX keeps a setuid bit, and whoever has no clause keeps what the job gave.
        let group = if self.chmod.lets_group_write() { "" } else { "g" };
        options.push(format!("--chmod={},ug-s,-t,{group}o-w", self.chmod.0));
        if let Some((user, group)) = owner {
            options.push(format!("--chown={user}:{group}"));
        }
        options.extend(self.exclude.iter().map(|pattern| format!("--exclude={}", pattern.0)));
        if self.delete {
            options.push("--delete".to_owned());
        }
        options
    }
}

#[cfg(test)]
mod tests;
