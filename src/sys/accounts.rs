//! Accounts and groups: looked up through NSS on the host, in the tree's own files elsewhere.
//!
//! Owns reading the databases and the calls of `useradd` and its kin. Never deletes an account, never
//! changes a uid. Must not decide whether an account is wanted.

mod fit;
pub mod tools;
pub mod unfinished;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use users::os::unix::{GroupExt, UserExt};

use super::root::Root;
use crate::fault::{fault, look_and_move};

pub use fit::check;

/// No account database of a single host is larger.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The files that shadow's tools lock: each by a link `NAME.lock` that holds their process id, made as `NAME.PID`. In
/// the order in which they are written.
const DATABASES: [&str; 6] = ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"];

/// The password database.
pub const PASSWD: &str = "/etc/passwd";

/// An entry of the password database, passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// The name that others take the number for, where the database has another one before this.
    pub alias: Option<String>,
    /// Others can't read the database that has it.
    pub is_hidden: bool,
}

/// The account of that name; `None` when there is none.
///
/// # Errors
/// When the database can't be read, or gives the account a number that is none: chown(2) and setresuid(2) take -1
/// for "leave it as it is", and what was meant for the account would stay root's.
pub fn account(root: &Root, name: &str) -> Result<Option<Account>> {
    let found = look_up(root, name)?;
    if found.as_ref().is_some_and(|account| account.uid == u32::MAX || account.gid == u32::MAX) {
        return Err(fault(
            "account-number",
            format!("the account {name} has the number {}, which means none at all", u32::MAX),
            "give it numbers of its own in /etc/passwd and /etc/group, with vipw and vigr",
        ));
    }
    Ok(found)
}

fn look_up(root: &Root, name: &str) -> Result<Option<Account>> {
    if !root.is_host() {
        let text = text(root, PASSWD)?;
        return Ok(lines(&text).find_map(|line| entry(line, name)).map(|account| account.among(&text)));
    }
    let name_services = root.name_services().context("cannot read /etc/nsswitch.conf")?;
    for database in ["passwd", "group"] {
        if !has_sources(&name_services, database) {
            return Err(fault(
                "name-services-empty",
                format!(
                    "/etc/nsswitch.conf: `{database}:` does not begin with somebody to ask, and programs that ask fall over"
                ),
                mend!(
                    "let it name the files: $ sed -i 's/^[[:blank:]]*{0}:.*/{0}: files/' /etc/nsswitch.conf",
                    database
                ),
            ));
        }
    }
    // Nearly always the account is in the files, and they are asked first: what NSS would say, without starting it.
    if let Some(account) = in_first_files(root, name) {
        return Ok(Some(account));
    }
    Ok(users::get_user_by_name(name).map(|user| Account {
        name: name.to_owned(),
        uid: user.uid(),
        gid: user.primary_group_id(),
        home: user.home_dir().to_path_buf(),
        shell: user.shell().to_path_buf(),
        alias: users::get_user_by_uid(user.uid())
            .map(|first| first.name().to_string_lossy().into_owned())
            .filter(|first| first != name),
        is_hidden: false,
    }))
}

/// Whether each line about a database begins with somebody to ask; in brackets stands what becomes of an answer. Where one
/// does not, the C library ends the process that asks.
fn has_sources(name_services: &str, database: &str) -> bool {
    let about = |line| str::trim_start(line).strip_prefix(database)?.strip_prefix(':')?.split('#').next();
    let begins = |sources: &str| sources.trim_start().starts_with(|first| first != '[');
    lines(name_services).filter_map(about).all(begins)
}

/// What `/etc/passwd` says of an account, where NSS takes that before it asks anybody else, nsswitch.conf(5). Of a
/// line that is not plain NSS makes what it makes.
fn in_first_files(root: &Root, name: &str) -> Option<Account> {
    let text = root.name_services().ok()?;
    let mut found = lines(&text).filter_map(|line| line.trim_start().strip_prefix("passwd:"));
    let mut sources = found.next().filter(|_| found.next().is_none())?.split_whitespace();
    // In brackets stands what becomes of an answer.
    if sources.next() != Some("files") || sources.next().is_some_and(|next| next.starts_with('[')) {
        return None;
    }
    let database = root.read(Path::new(PASSWD), MOST_BYTES).ok()??;
    let text = database.text();
    let line = lines(&text).find(|line| line.split(':').next() == Some(name))?;
    // What is not UTF-8 text was replaced, and is not a path.
    let account = entry(line, name).filter(|_| !line.contains('\u{fffd}'))?;
    Some(Account { is_hidden: database.mode & 0o004 == 0, ..account.among(&text) })
}

impl Account {
    /// With the first name of its number.
    fn among(self, passwd: &str) -> Self {
        let first = lines(passwd).find_map(|line| owner(line).filter(|(_, uid)| *uid == self.uid));
        let alias = first.map(|(name, _)| name.to_owned()).filter(|first| *first != self.name);
        Self { alias, ..self }
    }
}

/// The fields of a line about a name, where it has so many.
fn fields<'l, const COUNT: usize>(line: &'l str, name: &str) -> Option<[&'l str; COUNT]> {
    let fields: [&str; COUNT] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
    Some(fields).filter(|fields| fields.first() == Some(&name))
}

/// The name of a line and its number, as the C library reads them: it passes over comments, lines with `+` or `-`, and those
/// without numbers.
fn owner(line: &str) -> Option<(&str, u32)> {
    let fields: Vec<&str> = line.trim_start().split(':').collect();
    let number = |at: usize| fields.get(at)?.trim_start().parse::<u32>().ok();
    let uid = number(2).filter(|_| number(3).is_some())?;
    Some((fields[0], uid)).filter(|(name, _)| !name.starts_with(['#', '+', '-']))
}

fn entry(line: &str, name: &str) -> Option<Account> {
    let [_, _, uid, gid, _, home, shell] = fields(line, name)?;
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: PathBuf::from(home),
        shell: PathBuf::from(shell),
        alias: None,
        is_hidden: false,
    })
}

/// Names of the members of a group; `None` when there is no such group.
pub fn members(root: &Root, group: &str) -> Result<Option<Vec<String>>> {
    if root.is_host() {
        return Ok(users::get_group_by_name(group).map(|group| {
            group.members().iter().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect()
        }));
    }
    Ok(lines(&text(root, "/etc/group")?).find_map(|line| {
        let [_, _, _, members] = fields(line, group)?;
        Some(members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }))
}

/// The number of a group; `None` when there is no such group.
pub fn group_id(root: &Root, name: &str) -> Result<Option<u32>> {
    if root.is_host() {
        return Ok(users::get_group_by_name(name).map(|group| group.gid()));
    }
    let of_line = |line: &str| fields(line, name).and_then(|[_, _, gid, _]| gid.parse().ok());
    Ok(lines(&text(root, "/etc/group")?).find_map(of_line))
}

/// A database as text; empty when there is none.
fn text(root: &Root, path: &str) -> Result<String> {
    let read = root.read(Path::new(path), MOST_BYTES).with_context(|| format!("cannot read {path}"))?;
    let bytes = read.map(|entry| entry.bytes).unwrap_or_default();
    Ok(String::from_utf8(bytes).unwrap_or_else(|no| String::from_utf8_lossy(no.as_bytes()).into_owned()))
}

/// The lines of a database. A carriage return belongs to the last field.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
}

fn irregular(path: &Path) -> anyhow::Error {
    fault(
        "accounts-kind",
        format!("{} is not a regular file, and accounts are changed in regular files alone", path.display()),
        // What the tools keep of the one before nobody misses.
        if path.as_os_str().as_bytes().ends_with(b"-") {
            look_and_move(path)
        } else {
            "put the file itself there, and run again".into()
        },
    )
}

/// The fields of the first line about a name; `None` when there is none.
fn row(root: &Root, path: &str, name: &str) -> Result<Option<Vec<String>>> {
    let text = text(root, path)?;
    let line = lines(&text).find(|line| line.split(':').next() == Some(name));
    Ok(line.map(|line| line.split(':').map(str::to_owned).collect()))
}

/// True when an account has this number.
///
/// # Errors
/// When `/etc/passwd` can't be read.
pub fn is_somebody(root: &Root, uid: u32) -> Result<bool> {
    if root.is_host() && users::get_user_by_uid(uid).is_some() {
        return Ok(true);
    }
    let uid = uid.to_string();
    Ok(lines(&text(root, "/etc/passwd")?).any(|line| line.split(':').nth(2) == Some(&uid)))
}

/// A value of `/etc/login.defs`, login.defs(5); the last one counts.
fn setting(root: &Root, name: &str) -> Result<Option<String>> {
    let text = text(root, "/etc/login.defs")?;
    let values = lines(&text).filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == name).and_then(|_| words.next())
    });
    Ok(values.last().map(str::to_owned))
}

/// The mode of a new home, never writable by others, and the setting that says so (useradd(8), `HOME_MODE`).
///
/// # Errors
/// When `/etc/login.defs` can't be read.
pub fn home_mode(root: &Root) -> Result<(u32, &'static str)> {
    // As strtol(3) reads a number: octal where it begins with a zero.
    let number =
        |text: String| if text.starts_with('0') { u32::from_str_radix(&text, 8) } else { text.parse() };
    let number = |name| Ok::<_, anyhow::Error>(setting(root, name)?.and_then(|text| number(text).ok()));
    if let Some(mode) = number("HOME_MODE")? {
        return Ok((mode & 0o755, "HOME_MODE"));
    }
    Ok((0o755 & !number("UMASK")?.unwrap_or(0o022), "UMASK"))
}
