//! The keys of gitlab-runner's `config.toml`, as data (`keys.tsv`): section, type, versions.
//!
//! Imports nothing of the crate. A profile is checked against it, so that a typing error never reaches
//! a host: gitlab-runner ignores unknown keys without a word. `doctor` checks the host's own file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A list of texts.
    List,
    /// A text or a list of texts.
    Strings,
    /// A time span: a text like `1h30m`, or nanoseconds.
    Duration,
    /// A time.
    Datetime,
    /// A table of free names, each with a text.
    Texts,
    /// The same with whole numbers.
    Ints,
    /// The same with `true` or `false`.
    Bools,
    /// The same with lists of texts.
    Lists,
    /// One with other values.
    Map,
    /// A table.
    Table,
    /// A list of tables.
    Tables,
    /// Anything else: lists of numbers.
    Other,
}

impl Type {
    /// True for values that a profile may give.
    pub fn is_settable(self) -> bool {
        matches!(self, Self::String | Self::Bool | Self::Int | Self::List | Self::Strings | Self::Duration)
    }

    /// The type of the values in a table of free names.
    pub fn of_free_names(self) -> Option<Self> {
        match self {
            Self::Texts => Some(Self::String),
            Self::Ints => Some(Self::Int),
            Self::Bools => Some(Self::Bool),
            Self::Lists => Some(Self::List),
            _ => None,
        }
    }
}

/// A version of gitlab-runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A text that is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoVersion;

impl fmt::Display for NoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version is X.Y.Z, as gitlab-runner --version prints it")
    }
}

impl std::error::Error for NoVersion {}

impl FromStr for Version {
    type Err = NoVersion;

    /// Read `16.1.0`, `16.1`, `v16.1.0`, and what packages add: `16.1.0-1`, `16.1.0~beta.5.g1`.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let text = text.trim().trim_start_matches('v');
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text[..end].trim_end_matches('.').split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        let (major, minor) = (next().ok_or(NoVersion)?, next().ok_or(NoVersion)?);
        Ok(Self(major, minor, next().unwrap_or(0)))
    }
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table it belongs to: `runners`, `runners.docker`, …; [`GLOBAL`] for the top.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Type,
    /// The first version of gitlab-runner that reads it; `None` for those that 12.0 has.
    pub since: Option<Version>,
    /// The first version that no longer does.
    pub until: Option<Version>,
}

impl Key {
    /// True where this version reads it, or may: its number is not known.
    pub fn is_read_by(&self, version: Option<Version>) -> bool {
        let is_of = |version: Version| {
            self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version < until)
        };
        version.is_none_or(is_of)
    }
}

/// The name of the section of keys outside all tables.
pub const GLOBAL: &str = "global";

/// The section of the feature flags, which are no keys to gitlab-runner's reader of TOML but names of its own.
pub const FLAGS: &str = "runners.feature_flags";

const DATA: &str = include_str!("keys.tsv");

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| DATA.lines().filter_map(parse).collect());

/// The keys of each section, which stand together in the table.
static SECTIONS: LazyLock<BTreeMap<&'static str, &'static [Key]>> = LazyLock::new(|| {
    let sections = KEYS.chunk_by(|one, next| one.section == next.section);
    sections.filter_map(|keys| Some((keys.first()?.section, keys))).collect()
});

/// The version of gitlab-runner whose keys these are. Of a newer one it is not known what else it reads.
pub static TABLE: LazyLock<Version> = LazyLock::new(|| {
    let words = DATA.lines().next().into_iter().flat_map(|line| line.split(' '));
    words
        .skip_while(|word| *word != "at")
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(Version(0, 0, 0))
});

/// What is to be said beside what the table knows, where that version is newer: what it does is not known here.
pub fn doubt(version: Option<Version>) -> Option<String> {
    let Version(major, minor, _) = *TABLE;
    let newer = version.filter(|version| (version.0, version.1) > (major, minor))?;
    Some(format!("; that is so up to gitlab-runner {major}.{minor}, and {newer} is newer"))
}

/// All keys.
pub fn all() -> impl Iterator<Item = Key> {
    KEYS.iter().copied()
}

/// The keys of a section.
pub fn of(section: &str) -> impl Iterator<Item = Key> {
    SECTIONS.get(section).copied().unwrap_or_default().iter().copied()
}

fn path(section: &str, name: &str) -> String {
    if section == GLOBAL { name.to_owned() } else { format!("{section}.{name}") }
}

/// The section of the table that a key holds.
pub fn below(section: &str, name: &str) -> Option<&'static str> {
    SECTIONS.get_key_value(path(section, name).as_str()).map(|(section, _)| *section)
}

/// The tables of free names with texts: each as a section, and its key.
static TEXTS: LazyLock<Vec<(String, Key)>> = LazyLock::new(|| {
    let tables = all().filter(|key| key.kind == Type::Texts);
    tables.map(|key| (path(key.section, key.name), key)).collect()
});

/// The section that a table of free names is.
pub fn texts(section: &str, name: &str) -> Option<&'static str> {
    let path = path(section, name);
    TEXTS.iter().map(|(section, _)| section.as_str()).find(|section| *section == path)
}

/// The key whose table of free names a section is.
pub fn holder(section: &str) -> Option<Key> {
    TEXTS.iter().find(|(name, _)| name == section).map(|(_, key)| *key)
}

/// The key of that name in a section.
pub fn find(section: &str, name: &str) -> Option<Key> {
    of(section).find(|key| key.name == name)
}

/// The same as gitlab-runner finds it, which does not mind upper and lower case.
pub fn find_ignoring_case(section: &str, name: &str) -> Option<Key> {
    // The keys of a map are names, which it does mind.
    let is_alike = |key: &Key| section != FLAGS && key.name.eq_ignore_ascii_case(name);
    find(section, name).or_else(|| of(section).find(is_alike))
}

/// Keys whose value is a secret.
const SECRETS: [&str; 9] = [
    "AccessKey",
    "AccountKey",
    "PrivateKey",
    "SecretKey",
    "SessionToken",
    "bearer_token",
    "password",
    "sentry_dsn",
    "token",
];

/// True for a key whose value is a secret, however it is written. Of a free name, as `splunk-token`, the end tells.
pub fn is_secret(name: &str) -> bool {
    let end = name.rsplit(['.', '-']).next().unwrap_or_default();
    [name, end].iter().any(|name| SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name)))
}

/// Keys that take rights away, beside the allow-lists. A version that ignores one of them gives the rights.
const RESTRICTING: [&str; 5] =
    ["clean_git_config", "debug_trace_disabled", "services_limit", "services_security_opt", "user"];

/// True when a value of this key keeps something from jobs, so that ignoring it fails open.
/// `services_privileged = false` does, where `privileged` is true.
pub fn is_restricting(name: &str, value_is_false: bool) -> bool {
    match name {
        "services_privileged" => value_is_false,
        _ => (RESTRICTING.contains(&name) || name.starts_with("allowed_")) && !value_is_false,
    }
}

/// Keys whose absence gitlab-runner tells from every value.
const OTHERWISE_WHEN_ABSENT: [&str; 4] =
    ["clean_git_config", "safe_directory_checkout", "services_limit", "services_privileged"];

/// True for keys whose absence is not the same as zero or false: without `services_limit` there is none, and without
/// `services_privileged` services are privileged where jobs are.
pub fn differs_when_absent(name: &str) -> bool {
    OTHERWISE_WHEN_ABSENT.contains(&name)
}

fn parse(line: &'static str) -> Option<Key> {
    let mut fields = line.split('\t');
    let (section, name, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let kind = match kind {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "float" => Type::Float,
        "list" => Type::List,
        "strings" => Type::Strings,
        "duration" => Type::Duration,
        "datetime" => Type::Datetime,
        "texts" => Type::Texts,
        "ints" => Type::Ints,
        "bools" => Type::Bools,
        "lists" => Type::Lists,
        "map" => Type::Map,
        "table" => Type::Table,
        "tables" => Type::Tables,
        _ => Type::Other,
    };
    let mut version = || fields.next().and_then(|version| version.parse().ok());
    Some(Key { section, name, kind, since: version(), until: version() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = DATA.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!(all().count(), lines);
        assert_eq!(
            find("runners.docker", "allowed_privileged_services").and_then(|key| key.since),
            Some(Version(16, 1, 0))
        );
        assert_eq!(find("runners", "pre_clone_script").and_then(|key| key.until), Some(Version(17, 0, 0)));
        assert_eq!(find("runners.docker", "privileged").map(|key| key.kind), Some(Type::Bool));
        assert_eq!(find("runners", "privileged"), None);
        assert!(find_ignoring_case("runners.machine", "idlecount").is_some());
    }

    #[test]
    fn a_section_is_known_by_its_whole_name() {
        assert_eq!(of("runners.dock").count() + of("runner").count() + of("").count(), 0);
    }

    #[test]
    fn sections_lead_to_sections() {
        assert_eq!(below(GLOBAL, "runners"), Some("runners"));
        assert_eq!(below("runners", "docker"), Some("runners.docker"));
        assert_eq!(below("runners.kubernetes", "affinity"), Some("runners.kubernetes.affinity"));
        assert_eq!(below("runners.docker", "sysctls"), None);
        assert!(*TABLE >= Version(19, 4, 0), "{}", *TABLE);
    }

    #[test]
    fn no_key_stands_twice_and_every_section_is_a_table() {
        let mut seen = std::collections::BTreeSet::new();
        for key in all() {
            assert!(seen.insert((key.section, key.name)), "{} {}", key.section, key.name);
            let (parent, name) = key.section.rsplit_once('.').unwrap_or((GLOBAL, key.section));
            let is_table =
                find(parent, name).is_some_and(|key| matches!(key.kind, Type::Table | Type::Tables));
            assert!(key.section == GLOBAL || is_table, "{}", key.section);
        }
        for name in RESTRICTING {
            let known = ["runners", "runners.docker"].into_iter().find_map(|section| find(section, name));
            assert!(known.is_some(), "{name}");
        }
    }

    #[test]
    fn every_secret_is_known_as_one() {
        let is_text = |key: &Key| key.kind == Type::String;
        let sounds = |key: &Key| {
            let name = key.name.to_lowercase();
            ["key", "token", "password", "dsn"].iter().any(|end| name.ends_with(end))
        };
        // `key` is that of a label of Kubernetes.
        let secrets = all().filter(is_text).filter(sounds).filter(|key| key.name != "key");
        let names: std::collections::BTreeSet<&str> =
            secrets.map(|key| key.name).filter(|name| *name != "topology_key").collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), SECRETS);
    }

    #[test]
    fn versions_are_read_as_programs_and_packages_write_them() {
        for (text, version) in [
            ("16.1.0", Version(16, 1, 0)),
            ("16.1", Version(16, 1, 0)),
            ("v15.6.1", Version(15, 6, 1)),
            ("17.11.2-1", Version(17, 11, 2)),
            ("18.0.0~pre.5.gabc", Version(18, 0, 0)),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
        for text in ["", "16", "x", "16.x", "development version"] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text}");
        }
        assert!(Version(15, 6, 1) < Version(15, 10, 0));
    }
}
