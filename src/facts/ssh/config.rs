//! The files that configure ssh, read as far as to know whether they matter.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::change::{FileKind, Seen};
use crate::facts::{Account, Facts, MOST_BYTES};
use crate::text::known_hosts::{self, HostName};

/// The account's own configuration, below its home.
pub const CONFIG: &str = ".ssh/config";
/// Everybody's.
pub const SYSTEM: &str = "/etc/ssh/ssh_config";
const PARTS: &str = "/etc/ssh/ssh_config.d";

/// What `~/.ssh/config` and the system's files say without a word on host keys, names of hosts or own keys. True: the
/// value is yes or no; everything else is not understood by ssh.
const HARMLESS: [(&str, bool); 13] = [
    ("checkhostip", true),
    ("compression", true),
    ("forwardagent", true),
    ("forwardx11", true),
    ("forwardx11trusted", true),
    ("gssapiauthentication", true),
    ("gssapidelegatecredentials", true),
    ("hashknownhosts", true),
    ("passwordauthentication", true),
    ("sendenv", false),
    ("tcpkeepalive", true),
    ("updatehostkeys", true),
    ("visualhostkey", true),
];

/// What is common in blocks of other hosts, and harmless there with a value of one plain word.
const ELSEWHERE: [&str; 6] =
    ["hostname", "identitiesonly", "identityfile", "proxyjump", "proxyusefdpass", "user"];

/// True for a file that configures ssh of all accounts.
pub fn is_system_config(file: &Path) -> bool {
    file == Path::new(SYSTEM) || file.file_name().is_some() && file.parent() == Some(Path::new(PARTS))
}

/// A file that configures ssh; `None` where only ssh can judge it.
pub type ConfigText = Option<String>;

/// What ssh reads to configure itself, as far as it is there.
///
/// # Errors
/// When one of the system's files can't be read.
pub fn texts(facts: &Facts<'_>, account: Option<&Account>) -> Result<Vec<ConfigText>> {
    let mut texts = Vec::new();
    if let Some(account) = account {
        match facts.home_file(account, CONFIG) {
            Ok(None) => {}
            // ssh refuses one of somebody else, and one that others can write.
            Ok(Some(seen))
                if seen.kind == FileKind::Regular
                    && seen.mode & 0o022 == 0
                    && [0, account.uid].contains(&seen.uid) =>
            {
                texts.push(Some(seen.text().into_owned()));
            }
            _ => texts.push(None),
        }
    }
    let mut files = vec![PathBuf::from(SYSTEM)];
    let parts = facts.names(Path::new(PARTS))?;
    files.extend(
        parts
            .iter()
            .map(|name| Path::new(PARTS).join(name))
            .filter(|path| path.extension() == Some("conf".as_ref())),
    );
    for file in files {
        // Of what is included it refuses the same, and what it can't read.
        let users = [Some(0), account.map(|account| account.uid)];
        let is_clear = |seen: &Seen| {
            let is_own =
                file == Path::new(SYSTEM) || seen.mode & 0o022 == 0 && users.contains(&Some(seen.uid));
            !seen.kind.is_special()
                && (!facts.is_host() || is_own && seen.mode & 0o004 != 0 && is_reached(facts, seen))
        };
        let seen = facts.file(&file, MOST_BYTES)?;
        texts.extend(seen.map(|seen| is_clear(&seen).then(|| seen.text().into_owned())));
    }
    Ok(texts)
}

/// Whether everybody comes to where a link leads; ssh ends at a part of its configuration that it can't read. To what a
/// distribution has in `/usr` everybody does.
fn is_reached(facts: &Facts<'_>, seen: &Seen) -> bool {
    let file = seen.resolved.as_ref().filter(|file| !file.starts_with("/usr"));
    let mut above = file.iter().flat_map(|file| file.ancestors().skip(1));
    above.all(|directory| facts.lets_through(directory).unwrap_or(false))
}

/// What a file of `ssh_config(5)` says of a host: whether it has a line that may matter, or that ssh may refuse; and which
/// keys it names.
pub(super) fn read(text: &str, host: &HostName) -> (bool, Vec<String>) {
    let mut inside = true;
    let (mut matters, mut keys) = (false, Vec::new());
    for line in text.lines().map(str::trim_ascii).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // ssh knows no other blanks.
        let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, value) = line.split_at(end);
        let value = value.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=');
        let is_plain = !value.is_empty() && !value.contains(['"', '\'', '#']);
        let keyword = keyword.to_ascii_lowercase();
        let is_yes_or_no = || ["yes", "no"].contains(&value.to_ascii_lowercase().as_str());
        let is_quiet = match keyword.as_str() {
            _ if !is_plain => false,
            "host" => {
                let patterns = value.split_whitespace().collect::<Vec<_>>().join(",");
                inside = known_hosts::names(&patterns, host.host());
                true
            }
            "include" => value == "/etc/ssh/ssh_config.d/*.conf",
            "proxycommand" => !inside,
            keyword if !inside && ELSEWHERE.contains(&keyword) => !value.contains(char::is_whitespace),
            "identityfile" => {
                keys.push(value.to_owned());
                true
            }
            // With it the keys that are named, and those of no agent.
            "identitiesonly" => is_yes_or_no(),
            keyword => HARMLESS.iter().any(|(name, choice)| *name == keyword && (!choice || is_yes_or_no())),
        };
        matters |= !is_quiet;
    }
    (matters, keys)
}

/// Whether a file of ssh's configuration names a key for any server, by the last part of its path; also where a token
/// could stand for it.
pub fn names_key(texts: &[ConfigText], file: &str) -> bool {
    let names = |line: &str| {
        let line = line.trim().to_ascii_lowercase();
        line.strip_prefix("identityfile").is_some_and(|value| {
            let value = value.trim_matches(|c: char| c.is_whitespace() || "=\"'".contains(c));
            value.contains(['%', '$']) || value.rsplit('/').next() == Some(&file.to_ascii_lowercase())
        })
    };
    texts.iter().any(|text| text.as_ref().is_none_or(|text| text.lines().any(names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_for_any_server() {
        for (text, expected) in [
            ("", false),
            ("# IdentityFile ~/.ssh/deploy\n", false),
            ("Host x\n\tIdentityFile ~/.ssh/deploy2\n", false),
            ("Host x\n\tidentityfile = \"~/.ssh/deploy\"\n", true),
            ("Match host x\nIdentityFile ~/.ssh/%h\n", true),
        ] {
            assert_eq!(names_key(&[Some(text.to_owned())], "deploy"), expected, "{text}");
        }
        assert!(names_key(&[None], "deploy"));
    }

    #[test]
    fn only_what_may_matter_raises_a_doubt() {
        let host = HostName::parse("gitlab.com").unwrap();
        for (text, expected) in [
            ("", false),
            ("# GlobalKnownHostsFile /x\n  Host *\n SendEnv LANG LC_*\n\tHashKnownHosts yes\n", false),
            ("Include /etc/ssh/ssh_config.d/*.conf\n", false),
            ("Include /etc/ssh/more\n", true),
            ("Host unix/* vsock/*\n ProxyCommand /usr/lib/x %h %p\n ProxyUseFdpass yes\n", false),
            ("Host github.com\n HostName ssh.github.com\n IdentityFile ~/.ssh/x\n", false),
            ("Host github.com\n Port 443\n", true),
            ("Host *.com\n HostName x\n", true),
            ("Host * !gitlab.com\n IdentitiesOnly yes\n", false),
            ("Host github.com\nHost *\n User x\n", true),
            ("Match all\n", true),
            ("HashKnownHosts=no\n", false),
            ("HashKnownHosts maybe\n", true),
            ("HashKnownHosts\u{a0}yes\n", true),
            ("Misspelt yes\n", true),
            ("GlobalKnownHostsFile none\n", true),
        ] {
            assert_eq!(read(text, &host), (expected, Vec::new()), "{text}");
        }
        let keys = vec!["~/.ssh/x".to_owned(), "~/.ssh/z".to_owned()];
        let text = "identityfile=~/.ssh/x\nHost a\nIdentityFile ~/.ssh/y\nHost *\n\tIdentityFile ~/.ssh/z\n";
        assert_eq!(read(text, &host), (false, keys));
    }
}
