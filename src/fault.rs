//! Errors that a person can act on: what, where, why, and what to do now.
//!
//! Lies below all other modules. Must not hold secrets: a fault is shown, logged and put into `--json`.

use std::{fmt, io};

use crate::repair::Repair;
pub use crate::repair::quoted;

/// An error with its repair. Everything else in a chain of contexts says where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable identifier for `--json`, in `kebab-case`.
    pub code: &'static str,
    /// What is wrong and where, one sentence without a final stop.
    pub what: String,
    /// What to do now: a command or a setting.
    pub repair: Repair,
    /// What it means to whoever meets it.
    pub nature: Nature,
}

/// What an error means to whoever meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Something is wrong.
    Wrong,
    /// It kept from looking: what is so is not known.
    Obstacle,
    /// A program did not end in time, which keeps from looking, too.
    Hangs,
    /// Somebody else was at it meanwhile: a second try, from a new look on, can succeed.
    Raced,
    /// It is somebody else's.
    Foreign,
    /// Nobody is there whom the work could be for.
    NoAccount,
    /// The account has no key.
    NoKey,
    /// sudo would not take its policy.
    Policy,
    /// Nobody can tell whether sudo takes its policy.
    NoChecker,
    /// The caller is not root.
    NotRoot,
}

impl Fault {
    /// Of something that is wrong.
    pub fn new(code: &'static str, what: impl Into<String>, repair: impl Into<Repair>) -> Self {
        Self { code, what: what.into(), repair: repair.into(), nature: Nature::Wrong }
    }
}

impl Nature {
    /// An error of this nature.
    pub fn fault(
        self,
        code: &'static str,
        what: impl Into<String>,
        repair: impl Into<Repair>,
    ) -> anyhow::Error {
        Fault { nature: self, ..Fault::new(code, what, repair) }.into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// Make a [`Fault`] as an error value, of something that is wrong.
pub fn fault(code: &'static str, what: impl Into<String>, repair: impl Into<Repair>) -> anyhow::Error {
    Nature::Wrong.fault(code, what, repair)
}

/// The command with which a person moves something in an account's home aside. With the account's rights: root's mv(1)
/// follows the links that the account lays there, and in root's home the thing would have a meaning.
pub fn move_aside(account: &str, path: &std::path::Path) -> String {
    format!("sudo -u {account} {}", mv_aside(path))
}

/// How a person comes to move something of the system away that is not what it should be.
pub fn look_and_move(path: &std::path::Path) -> Repair {
    let look = quoted(path);
    if is_of_system(path) {
        return mend!(
            "see what it is: $ ls -ld {}; it belongs to the system and stays: name another path where this one is named",
            look
        );
    }
    mend!("see what it is: $ ls -ld {}; then move it away: $ {}", look, mv_aside(path))
}

/// [`look_and_move`] for something in an account's home.
pub fn look_and_move_aside(account: &str, path: &std::path::Path) -> Repair {
    let aside = move_aside(account, path);
    mend!("see what it is: $ ls -ld {}; then move it away: $ {}", quoted(path), aside)
}

/// The command that gives something another name beside it. Of a link it moves the link.
fn mv_aside(path: &std::path::Path) -> String {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    format!("mv -T {} {}", quoted(path), quoted(old))
}

/// What a running system needs where it is: the devices, the root directory, and the directories below it.
fn is_of_system(path: &std::path::Path) -> bool {
    let mut names = path.iter().skip(1);
    let first = names.next().unwrap_or_default().to_string_lossy();
    !path.is_absolute() || ["", "dev", "proc", "sys"].contains(&&*first) || names.next().is_none()
}

/// What lies where an account's home should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtHome {
    /// Nothing.
    Nothing,
    /// What is no directory.
    Other,
    /// A directory of somebody else.
    Foreign,
}

/// How an account comes to a home that jobs can write. What belongs to the system is neither given away nor moved.
pub fn make_home(account: &str, gid: u32, home: &std::path::Path, found: AtHome) -> Repair {
    const OF_SYSTEM: [&str; 15] = [
        "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "root", "run", "sbin", "sys", "tmp",
        "usr", "",
    ];
    let parts: Vec<_> = home.iter().skip(1).map(|part| part.to_string_lossy()).collect();
    let first = parts.first().map_or("", |part| part);
    let is_elsewhere =
        !home.is_absolute() || OF_SYSTEM.contains(&first) || parts.len() < if first == "var" { 3 } else { 2 };
    // By its name it was made for this account. Everything else that is there is somebody's.
    let is_anothers = found != AtHome::Nothing && parts.last().is_none_or(|name| name != account);
    if is_elsewhere || is_anothers {
        let own = format!("/home/{account}");
        return mend!(
            "give it a home of its own: $ mkdir -p {0} && chown -h {1}: {0} && usermod --home {0} {1}",
            own,
            account
        );
    }
    let aside = mv_aside(home);
    let home = quoted(home);
    // By number: the account may be half made, without a group of its name. Through no link, which it may lay there.
    let make = format!("mkdir -p -m 0755 {home} && chown -h {account}:{gid} {home}");
    match found {
        AtHome::Nothing => mend!("make it: $ {}", make),
        AtHome::Other => mend!("move it away and make a home: $ {}; $ {}", aside, make),
        AtHome::Foreign => mend!("give it to {0}: $ chown -h {0}: {1}", account, home),
    }
}

/// The first [`Fault`] in a chain of causes, if one is there.
pub fn find(error: &anyhow::Error) -> Option<&Fault> {
    error.chain().find_map(|cause| cause.downcast_ref::<Fault>())
}

/// True for an error of this nature.
pub fn is(error: &anyhow::Error, nature: Nature) -> bool {
    find(error).is_some_and(|fault| fault.nature == nature)
}

/// The same fault with another repair. An error of the system keeps what its kind calls for.
pub fn with_repair(error: anyhow::Error, repair: Repair) -> anyhow::Error {
    match find(&error) {
        Some(fault) => fault.nature.fault(fault.code, format!("{error:#}"), repair),
        None => error,
    }
}

/// What to do about an error: its own repair, or what its kind calls for where the system refused something.
pub fn repair(error: &anyhow::Error) -> Repair {
    use io::ErrorKind as Kind;
    if let Some(fault) = find(error) {
        return fault.repair.clone();
    }
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    // Contexts name the path.
    let words = format!("{error:#}");
    let path = words
        .split(' ')
        .map(|word| word.trim_end_matches([':', ',', ';']))
        .find(|word| word.starts_with('/'));
    let look = |command: &str| path.map(|path| mend!("$ {} {}; ", command, quoted(path))).unwrap_or_default();
    match refused.map(io::Error::kind) {
        Some(Kind::StorageFull | Kind::QuotaExceeded) => "make room there: $ df -h; $ df -i",
        Some(Kind::ReadOnlyFilesystem) => "mount it writable; what is mounted where: $ findmnt",
        Some(Kind::PermissionDenied) => {
            return Repair::from(
                "run as root; root is refused by mounts of users and servers, flags and security modules: ",
            ) + look("findmnt -T")
                + look("lsattr -d")
                + "$ dmesg";
        }
        Some(Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory) => {
            return Repair::from("see which part of the path is not as it should be, and run again: ")
                + look("namei -l")
                + "$ dmesg";
        }
        Some(Kind::OutOfMemory) => "see what memory there is, and run again: $ free -m",
        Some(Kind::TimedOut | Kind::WouldBlock | Kind::Interrupted) => "run the same command again",
        // Too many open files, a disk with faults, and what nobody has thought of.
        Some(_) => "see what the kernel says, and run again: $ dmesg; ulimit -a",
        None => "run the same command again; if it stays, please report it with the command and this line",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn what_is_the_systems_or_somebody_elses_stays() {
        for (path, expected) in [
            ("/etc/ssh/x y", "mv -T '/etc/ssh/x y' '/etc/ssh/x y.old'"),
            ("/srv/it's", "mv -T '/srv/it'\\''s' '/srv/it'\\''s.old'"),
            ("/dev/null", "stays"),
            ("/proc/1/fd", "stays"),
            ("/etc", "stays"),
            ("/", "stays"),
        ] {
            assert!(look_and_move(path.as_ref()).text().contains(expected), "{path}");
        }
        let own = "mkdir -p /home/ci && chown -h ci: /home/ci && usermod --home /home/ci ci";
        for (home, found, expected) in [
            ("/", AtHome::Foreign, own),
            ("/home", AtHome::Foreign, own),
            ("/var/lib", AtHome::Foreign, own),
            ("/home/alice", AtHome::Foreign, own),
            ("/var/lib/docker", AtHome::Foreign, own),
            ("/srv/file", AtHome::Other, own),
            ("", AtHome::Foreign, own),
            ("/var/lib/ci", AtHome::Foreign, "chown -h ci: /var/lib/ci"),
            ("/srv/a b/ci", AtHome::Foreign, "chown -h ci: '/srv/a b/ci'"),
            ("/srv/builds", AtHome::Nothing, "mkdir -p -m 0755 /srv/builds && chown -h ci:9 /srv/builds"),
        ] {
            let told = make_home("ci", 9, home.as_ref(), found).text();
            assert!(told.ends_with(expected), "{home}: {told}");
        }
    }

    #[test]
    fn every_error_has_a_repair() {
        assert_eq!(repair(&fault("x", "y", "z").context("cannot go on")), "z".into());
        for (number, says) in [
            (28, "df -h"),
            (30, "findmnt"),
            (13, "lsattr -d /etc/it; dmesg"),
            (1, "lsattr -d /etc/it; dmesg"),
            (2, "namei -l /etc/it; dmesg"),
            (24, "ulimit"),
            (5, "dmesg"),
        ] {
            let error = Err::<(), _>(io::Error::from_raw_os_error(number));
            let error = error.context("cannot read /etc/it").unwrap_err();
            let told = repair(&error).text();
            assert!(told.contains(says), "{number}: {told}");
        }
        assert!(repair(&anyhow::anyhow!("odd")).text().contains("report it"));
    }
}
