//! What ssh of the account does for a server: where it looks for host keys and under which name, and which of the
//! account's keys it offers.
//!
//! Where the configuration of ssh has nothing to say about that, ssh's own defaults are the answer. Everything else is
//! asked of `ssh -G`, which talks to no network.

mod config;
mod verdict;

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::{Account, Facts};
use crate::fault::{self, Nature};
use crate::sys::exec::Finished;
use crate::text::known_hosts::HostName;
use config::read;
pub use config::{CONFIG, ConfigText, SYSTEM as SYSTEM_CONFIG, is_system_config, names_key, texts};
pub use verdict::{HostKeyFiles, SshVerdict, is_taken};

/// How a person calls ssh of an account: without their terminal, into which programs that its configuration names could
/// type.
pub const BY_HAND: &str = "setsid -w ssh";

/// Where ssh of every account looks for host keys.
pub const SYSTEM_HOSTS: &str = "/etc/ssh/ssh_known_hosts";
/// Where ssh of this account does, below its home.
pub const OWN_HOSTS: [&str; 2] = [".ssh/known_hosts", ".ssh/known_hosts2"];

const SYSTEM_HOSTS_2: &str = "/etc/ssh/ssh_known_hosts2";

/// The keys that ssh offers when nobody names others, in its order.
pub const USUAL_KEYS: [&str; 5] =
    [".ssh/id_rsa", ".ssh/id_ecdsa", ".ssh/id_ecdsa_sk", ".ssh/id_ed25519", ".ssh/id_ed25519_sk"];

/// What keeps ssh from handing on what git and the server say: a keyword, what it is usually, and what it may not be.
const SESSION: [(&str, &str, &[&str]); 3] = [
    ("SessionType", "default", &["none", "subsystem"]),
    ("StdinNull", "no", &["yes", "true"]),
    ("RequestTTY", "no", &["force"]),
];

/// What says which way ssh takes to a server, where only a connection can tell whether it leads there.
const WAYS: &str = "AddressFamily BindAddress BindInterface ControlMaster ExitOnForwardFailure \
    NoHostAuthenticationForLocalhost PermitLocalCommand ProxyCommand ProxyJump";

/// What any server of today offers of what both sides have to agree on. With nothing of it, only a connection can tell.
const OFFERED: [(&str, &str); 3] = [
    (
        "Ciphers",
        "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr",
    ),
    (
        "KexAlgorithms",
        "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,\
         diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,\
         diffie-hellman-group-exchange-sha256",
    ),
    (
        "MACs",
        "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,\
         umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512",
    ),
];

/// So long is the name of a socket with its end (`sun_path` of unix(7)): ssh ends at a longer one.
const MOST_SOCKET: usize = 108;

/// So many files of host keys, and so many keys, ssh takes (`SSH_MAX_HOSTS_FILES`, `SSH_MAX_IDENTITY_FILES`). What it says
/// may be the account's word.
const MOST_FILES: [usize; 2] = [32, 100];

/// True for a file of host keys that ssh reads for every account, where nothing else is configured.
pub fn is_usual_system(file: &Path) -> bool {
    [SYSTEM_HOSTS, SYSTEM_HOSTS_2].iter().any(|usual| file == Path::new(usual))
}

/// What is known of ssh.
#[expect(clippy::large_enum_variant, reason = "there is one for each server")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// What it does.
    Does(Settings),
    /// It ends with this message, whatever a job wants of it.
    Refuses(String),
    /// The configuration has something to say, and nobody can be asked.
    Unknown(&'static str),
}

/// What ssh does for a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Who is called, and by which port.
    pub server: (String, String),
    /// `ssh -G` said so; the files alone left a doubt.
    pub asked: bool,
    /// The name under which host keys are looked up.
    pub name: String,
    /// The name that is looked up next, where the first one has a port.
    pub without_port: Option<String>,
    /// The files with host keys, in the order in which they are read. `Err`: a name that only ssh can tell.
    pub files: Vec<Result<PathBuf, String>>,
    /// The private keys that are tried, in this order. `Err`: a name that only ssh can tell.
    pub keys: Vec<Result<PathBuf, String>>,
    /// Which keys are taken although they are not known.
    pub trust: Trust,
    /// A program gives host keys, too.
    pub command: bool,
    /// A list of revoked keys.
    pub revoked: Option<String>,
    /// What keeps ssh from using own keys at all: the keyword, and a value that lets it.
    pub refuses_keys: Option<(&'static str, &'static str)>,
    /// What keeps ssh from doing the work of git: the same.
    pub refuses_git: Option<(&'static str, &'static str)>,
    /// Which way it takes to a server, if not the usual one: the keywords.
    pub ways: Vec<&'static str>,
    /// The algorithms with which own keys may be used; empty: all.
    pub key_algorithms: Vec<String>,
    /// An agent or a token may have further keys.
    pub has_provider: bool,
    /// The algorithms of host keys, when they were asked for.
    pub algorithms: Vec<String>,
}

/// Which keys of hosts ssh takes (`StrictHostKeyChecking`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that it knows.
    #[default]
    Known,
    /// Those of unknown hosts, too.
    Strangers,
    /// All.
    All,
}

impl Client {
    /// What ssh of the account does for `git@HOST`, configured by these [`texts`].
    ///
    /// # Errors
    /// When ssh can't be started.
    pub fn of(
        facts: &Facts<'_>,
        account: Option<&Account>,
        home: &Path,
        texts: &[ConfigText],
        host: &HostName,
    ) -> Result<Self> {
        let usual = Settings::usual(home, host);
        let (mut is_clear, mut named) = (true, Vec::new());
        for text in texts {
            let (matters, keys) = text.as_ref().map_or((true, Vec::new()), |text| read(text, host));
            is_clear &= !matters;
            named.extend(keys);
        }
        if is_clear && named.is_empty() {
            return Ok(Self::Does(usual));
        }
        let Some(account) = account else { return Ok(Self::Unknown("the account is not there yet")) };
        if !facts.is_host() {
            // Only keys are named, and nothing on the way to them is decided by anything else.
            let keys: Option<Vec<_>> = named.iter().map(|name| plain_path(account, name)).collect();
            return Ok(match keys.filter(|_| is_clear) {
                Some(keys) => Self::Does(Settings { keys: keys.into_iter().map(Ok).collect(), ..usual }),
                None => Self::Unknown("only ssh on the running host can read this ssh_config"),
            });
        }
        // To find another name for a host ssh would ask the network.
        let asks = |line: &str| {
            let line = line.trim().to_ascii_lowercase();
            line.strip_prefix("canonicalizehostname")
                .is_some_and(|value| value.trim_matches([' ', '\t', '=']) != "no")
        };
        if texts.iter().flatten().flat_map(|text| text.lines()).any(asks) {
            return Ok(Self::Unknown("CanonicalizeHostname asks the network what a host is called"));
        }
        let (port, server) = (host.port().to_string(), format!("git@{}", host.host()));
        // As git calls it: with a command.
        let mut arguments = vec!["-G", "-o", "CanonicalizeHostname=no"];
        if host.port() != 22 {
            arguments.extend(["-p", &port]);
        }
        arguments.extend(["--", &server, "git-receive-pack"]);
        match facts.ask(account, "ssh", &arguments, b"") {
            Ok(Some(said)) if said.success() => {
                Ok(Self::Does(Settings::told(&said.stdout, account, host, &facts.host_name()?)))
            }
            Ok(Some(said)) => Ok(Self::Refuses(Self::complaint(&said))),
            Ok(None) => Ok(Self::Unknown("ssh is not installed")),
            Err(error) if fault::is(&error, Nature::Hangs) => Ok(Self::Refuses(format!("{error:#}"))),
            Err(error) => Err(error),
        }
    }

    /// Why it ended: where it names a place, that.
    pub fn complaint(said: &Finished) -> String {
        said.complaint_about(|line| line.contains(" line "))
    }
}

impl Settings {
    /// What it does where nothing is configured.
    pub fn usual(home: &Path, host: &HostName) -> Self {
        let own = OWN_HOSTS.iter().map(|name| home.join(name));
        let system = [SYSTEM_HOSTS, SYSTEM_HOSTS_2].into_iter().map(PathBuf::from);
        Self {
            server: (format!("git@{}", host.host()), host.port().to_string()),
            name: host.to_string(),
            without_port: (host.port() != 22).then(|| host.host().to_owned()),
            files: own.chain(system).map(Ok).collect(),
            keys: USUAL_KEYS.iter().map(|name| Ok(home.join(name))).collect(),
            ..Self::default()
        }
    }

    /// What `ssh -G` printed (`ssh_config(5)`).
    pub fn told(text: &str, account: &Account, host: &HostName, local: &str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
        };
        let is_set = |key: &str| value(key).filter(|value| !value.eq_ignore_ascii_case("none"));
        // A list in which nothing is left has one empty word.
        let words = |key: &str| value(key).map(|list| list.split(',').map(str::to_owned).collect());
        let hostname = value("hostname").unwrap_or(host.host()).to_ascii_lowercase();
        let port = value("port").unwrap_or("22");
        let alias = value("hostkeyalias").map(str::to_ascii_lowercase);
        let without_port = (port != "22" && alias.is_none()).then(|| hostname.clone());
        let by_port = if port == "22" { hostname.clone() } else { format!("[{hostname}]:{port}") };
        let name = alias.unwrap_or(by_port);
        let server = (format!("{}@{hostname}", value("user").unwrap_or("git")), port.to_owned());
        let tokens = Tokens {
            account,
            values: [
                ('%', "%".to_owned()),
                ('d', account.home.display().to_string()),
                ('h', hostname),
                ('i', account.uid.to_string()),
                ('L', local.split('.').next().unwrap_or(local).to_owned()),
                ('l', local.to_owned()),
                ('k', value("hostkeyalias").unwrap_or(host.host()).to_owned()),
                ('n', host.host().to_owned()),
                ('p', port.to_owned()),
                ('r', value("user").unwrap_or("git").to_owned()),
                ('u', account.name.clone()),
            ],
        };
        let named = |key: &str| is_set(key).unwrap_or_default().split_whitespace().take(MOST_FILES[0]);
        let own = named("userknownhostsfile").map(|file| tokens.expand(file));
        // In these names ssh expands no token.
        let whole = |file: &str| whole_path(account, file).ok_or_else(|| file.to_owned());
        let system = named("globalknownhostsfile").map(whole);
        let files = own.chain(system).collect();
        let keys = text.lines().filter_map(|line| line.strip_prefix("identityfile "));
        let keys = keys.map(str::trim).filter(|file| !file.eq_ignore_ascii_case("none"));
        let keys = keys.map(|file| tokens.expand(file));
        let trust = match value("stricthostkeychecking") {
            Some("false" | "no" | "off") => Trust::All,
            Some("accept-new") => Trust::Strangers,
            _ => Trust::Known,
        };
        let offers_none = |(keyword, usual): &&(&str, &str)| {
            let list = value(&keyword.to_ascii_lowercase());
            list.is_some_and(|list| !list.split(',').any(|word| usual.split(',').any(|one| one == word)))
        };
        Self {
            server,
            asked: true,
            name,
            without_port,
            files,
            keys: keys.take(MOST_FILES[1]).collect(),
            trust,
            command: is_set("knownhostscommand").is_some(),
            revoked: is_set("revokedhostkeys").map(str::to_owned),
            refuses_keys: match (value("pubkeyauthentication"), value("preferredauthentications")) {
                (Some("no" | "false"), _) => Some(("PubkeyAuthentication", "yes")),
                (_, Some(ways)) if ways.split(',').all(|way| way != "publickey") => {
                    Some(("PreferredAuthentications", "publickey"))
                }
                _ => None,
            },
            refuses_git: SESSION.into_iter().find_map(|(keyword, usual, others)| {
                let value = value(&keyword.to_ascii_lowercase())?;
                others.contains(&value).then_some((keyword, usual))
            }),
            ways: WAYS
                .split_whitespace()
                .filter(|keyword| {
                    !matches!(is_set(&keyword.to_ascii_lowercase()), None | Some("any" | "no" | "false"))
                })
                .chain(OFFERED.iter().filter(offers_none).map(|(keyword, _)| *keyword))
                .chain((port != host.port().to_string()).then_some("Port"))
                .chain(is_set("controlpath").filter(|path| path.len() >= MOST_SOCKET).map(|_| "ControlPath"))
                .collect(),
            // Before OpenSSH 8.5 by another name.
            key_algorithms: words("pubkeyacceptedalgorithms")
                .or_else(|| words("pubkeyacceptedkeytypes"))
                .unwrap_or_default(),
            has_provider: is_set("pkcs11provider").is_some() || is_set("identityagent").is_some(),
            algorithms: words("hostkeyalgorithms").unwrap_or_default(),
        }
    }
}

/// What stands for what in the name of a file (`ssh_config(5)`, TOKENS).
struct Tokens<'a> {
    account: &'a Account,
    values: [(char, String); 11],
}

impl Tokens<'_> {
    /// The path that a name means, or the name where only ssh can tell.
    fn expand(&self, name: &str) -> Result<PathBuf, String> {
        let mut text = String::new();
        // Of the variables those that every login has.
        let home = self.account.home.display().to_string();
        let variables =
            [("${HOME}", home.as_str()), ("${USER}", &self.account.name), ("${LOGNAME}", &self.account.name)];
        let known =
            variables.iter().fold(name.to_owned(), |text, (variable, value)| text.replace(variable, value));
        let mut rest = known.chars();
        while let Some(c) = rest.next() {
            match c {
                '%' => {
                    let token = rest.next();
                    let value = self.values.iter().find(|(letter, _)| Some(*letter) == token);
                    text.push_str(&value.ok_or_else(|| name.to_owned())?.1);
                }
                '$' => return Err(name.to_owned()),
                c => text.push(c),
            }
        }
        plain_path(self.account, &text).ok_or_else(|| name.to_owned())
    }
}

/// A path without tokens.
fn plain_path(account: &Account, name: &str) -> Option<PathBuf> {
    whole_path(account, name).filter(|_| !name.contains(['%', '$']))
}

/// A path as it stands. A relative one is relative to wherever a job stands, and `..` to wherever a link leads.
pub fn whole_path(account: &Account, name: &str) -> Option<PathBuf> {
    let path = name.strip_prefix("~/").map_or_else(|| PathBuf::from(name), |rest| account.home.join(rest));
    Some(path)
        .filter(|path| path.is_absolute() && !path.components().any(|part| part == Component::ParentDir))
}
