//! The keys of gitlab-runner's `config.toml`, as data (`keys.tsv`): section, type, first version.
//!
//! Imports nothing of the crate. A profile is checked against it, so that a typing error never reaches
//! a host: gitlab-runner ignores unknown keys without a word.

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A list of texts.
    List,
    /// Anything that a profile does not set: tables, lists of tables, times.
    Other,
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table it belongs to: `runners`, `runners.docker`, …
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Type,
    /// The first version of gitlab-runner that reads it, as (major, minor); `None` for old ones.
    pub since: Option<(u32, u32)>,
}

const DATA: &str = include_str!("keys.tsv");

/// All keys.
pub fn all() -> impl Iterator<Item = Key> {
    DATA.lines().filter_map(parse)
}

/// The keys of a section.
pub fn of(section: &str) -> impl Iterator<Item = Key> {
    all().filter(move |key| key.section == section)
}

/// The key of that name in a section.
#[must_use]
pub fn find(section: &str, name: &str) -> Option<Key> {
    // Most lines are passed over by their beginning: a converged run asks this for every key of its profile.
    let is_it = |line: &&str| {
        let rest = line.strip_prefix(section).and_then(|rest| rest.strip_prefix('\t'));
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('\t'))
    };
    DATA.lines().find(is_it).and_then(parse)
}

fn parse(line: &'static str) -> Option<Key> {
    let mut fields = line.split('\t');
    let (section, name, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let kind = match kind {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "list" => Type::List,
        _ => Type::Other,
    };
    let since = fields.next().and_then(|version| version.split_once('.'));
    let since = since.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    Some(Key { section, name, kind, since })
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
            Some((16, 1))
        );
        assert_eq!(find("runners.docker", "privileged").map(|key| key.kind), Some(Type::Bool));
        assert_eq!(find("runners", "privileged"), None);
    }
}
