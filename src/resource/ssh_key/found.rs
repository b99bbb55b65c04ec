//! The keys that lie in the account's home, each by what jobs can do with it.

use std::path::Path;

use anyhow::Result;
use zeroize::Zeroizing;

use super::fit::{both_aside, check_owner, check_regular, own_file, refuse_mount, weakness};
use crate::change::{FileKind, Seen};
use crate::facts::{Account, Facts, Finished};
use crate::fault::{self, Nature, fault, look_and_move_aside, quoted};
use crate::repair::Repair;
use crate::resource::Context;
use crate::text::key_pair::{self, Inspection};
use crate::text::public_key::{PublicLine, public_line};

pub(super) const SSH: &str = ".ssh";

/// What stands before the time in the name of a key that `key --rotate` moved aside.
pub const ROTATED: &str = ".rotated-";

/// A private key that jobs can use, and its public half.
pub(super) struct Usable {
    /// Below the home.
    pub(super) name: String,
    pub(super) private: Seen,
    pub(super) public: Option<Seen>,
    /// Why the public half is left as it is: it can't be replaced, which keeps no job from using the key.
    pub(super) odd: Option<anyhow::Error>,
    /// Why the program leaves a key of somebody else's alone, which the account may read and ssh takes as it is.
    pub(super) lent: Option<anyhow::Error>,
    pub(super) line: PublicLine,
}

/// What was found of the keys that ssh tries.
#[derive(Default)]
pub(super) struct FoundKeys {
    pub(super) directory: Option<Seen>,
    /// In the order in which ssh offers them.
    pub(super) usable: Vec<Usable>,
    /// Those that a job could use, and servers refuse.
    pub(super) weak: Vec<(Usable, Said)>,
    /// Those that others can read, beside one of `usable`: ssh passes them over.
    pub(super) open: Vec<Said>,
    pub(super) encrypted: Vec<String>,
    /// What is no key, or kept from the account: ssh passes it over.
    pub(super) broken: Vec<anyhow::Error>,
}

impl FoundKeys {
    /// The keys that jobs use, whether servers take them or not.
    pub(super) fn all(self) -> impl Iterator<Item = Usable> {
        self.usable.into_iter().chain(self.weak.into_iter().map(|(usable, _)| usable))
    }

    /// A key of the account's own that others can read ssh passes over. Made readable for the account alone it would come
    /// before the one that jobs use: only where there is no other it is one to be used.
    ///
    /// Those of somebody else the account may have moved there: without one of its own they are nobody's to register.
    fn leave(&mut self, account: &Account) {
        let is_passed_over = |usable: &Usable| usable.lent.is_none() && usable.private.mode & 0o477 != 0o400;
        if self.usable.iter().all(|usable| usable.lent.is_some()) {
            self.broken.extend(self.usable.drain(..).filter_map(|usable| usable.lent));
        }
        let mut needs_one = self.usable.iter().all(|usable| usable.lent.is_some() || is_passed_over(usable));
        for usable in std::mem::take(&mut self.usable) {
            if !is_passed_over(&usable) || std::mem::take(&mut needs_one) {
                self.usable.push(usable);
                continue;
            }
            let path = account.home.join(usable.name);
            let aside = both_aside(&account.name, &path, usable.public.is_some());
            let mode = usable.private.mode;
            self.open.push((
                format!(
                    "{} has mode {mode:04o}, for which ssh passes it over and goes on to the next key",
                    path.display()
                ),
                Repair::from("if nobody needs it, move it away: ") + aside,
            ));
        }
    }
}

/// Look at the directory and at every key that ssh tries.
pub(super) fn observe(
    facts: &Facts<'_>,
    account: &Account,
    adopt: bool,
    names: &[String],
) -> Result<FoundKeys> {
    // Without a real directory the paths below it would fail with less to say.
    let directory = facts.home_file(account, SSH)?;
    let path = account.home.join(SSH);
    if let Some(directory) = &directory {
        if directory.kind != FileKind::Directory {
            let what = format!("{} is {}: it is not followed or replaced", path.display(), directory.kind);
            return Err(fault("ssh-directory", what, look_and_move_aside(&account.name, &path)));
        }
        let given = adopt || (directory.uid == 0 && facts.keeps_nothing_back(account, SSH)?);
        check_owner(directory, account, &path, given)?;
        refuse_mount(facts, directory, account, SSH)?;
    }
    let mut found = FoundKeys { directory, ..FoundKeys::default() };
    let in_ssh = Path::new(SSH);
    if found.directory.is_none() && names.iter().all(|name| Path::new(name).starts_with(in_ssh)) {
        return Ok(found);
    }
    for name in names {
        let public_name = format!("{name}.pub");
        let path = account.home.join(name);
        let private = match facts.home_file(account, name) {
            Ok(Some(private)) => private,
            Ok(None) => continue,
            Err(error) if fault::is(&error, Nature::Foreign) => {
                found.broken.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let (public, odd) = public_half(facts, account, &public_name)?;
        if let Err(error) = check_regular(&private, &account.name, &path) {
            // What a directory is called ssh passes over.
            if private.kind == FileKind::Directory {
                let aside = both_aside(&account.name, &path, public.is_some());
                found.broken.push(fault::with_repair(error, Repair::from("move it away: ") + aside));
                continue;
            }
            // With the key that it leads to jobs do well.
            let is_key = || facts.file_for(account, &path).is_ok_and(|end| end.is_some());
            return Err(match private.kind {
                FileKind::Link if is_key() => fault::with_repair(error, own_file(&account.name, &path)),
                _ => error,
            });
        }
        if let Some(public) = &public {
            check_regular(public, &account.name, &account.home.join(&public_name))?;
        }
        let lent = match check_owner(&private, account, &path, adopt) {
            Ok(()) => {
                refuse_mount(facts, &private, account, name)?;
                None
            }
            Err(error) if is_readable(&private, account) => Some(error),
            Err(error) => {
                found.broken.push(error);
                continue;
            }
        };
        match inspect_private(facts, account, &private, public.as_ref())? {
            PrivateFile::Encrypted => found.encrypted.push(name.clone()),
            // Somebody has to touch a token for it.
            PrivateFile::Public(line) if line.key().kind().starts_with("sk-") => {}
            PrivateFile::Public(line) => {
                let weakness = weakness(line.key(), &account.name, &path, public.is_some());
                let usable = Usable { name: name.clone(), private, public, odd, lent, line };
                match weakness {
                    Some(said) => found.weak.push((usable, said)),
                    None => found.usable.push(usable),
                }
            }
            // The public half of a key that an agent would have.
            PrivateFile::No(_)
                if name.strip_suffix(".pub").is_some() && public_line(&private.bytes).is_ok() => {}
            PrivateFile::No(reason) => found.broken.push(fault(
                "ssh-key-unreadable",
                format!("{} is not an SSH private key: {reason}", path.display()),
                mended(&private.bytes, account, &path).unwrap_or_else(|| {
                    let aside = both_aside(&account.name, &path, public.is_some());
                    Repair::from("it is never replaced; move it away: ") + aside
                }),
            )),
        }
    }
    found.leave(account);
    Ok(found)
}

/// Whether the mode of somebody else's file lets the account read it.
fn is_readable(seen: &Seen, account: &Account) -> bool {
    seen.mode & 0o004 != 0 || seen.mode & 0o040 != 0 && seen.gid == account.gid
}

/// The public half of a key, and why it is left as it is, if it is.
fn public_half(
    facts: &Facts<'_>,
    account: &Account,
    name: &str,
) -> Result<(Option<Seen>, Option<anyhow::Error>)> {
    match facts.home_file(account, name) {
        Ok(Some(seen)) if seen.kind == FileKind::Directory || seen.links != 1 => {
            Ok((None, check_regular(&seen, &account.name, &account.home.join(name)).err()))
        }
        seen => Ok((seen?, None)),
    }
}

/// What a private key file yields.
enum PrivateFile {
    Public(PublicLine),
    Encrypted,
    No(String),
}

fn inspect_private(
    facts: &Facts<'_>,
    account: &Account,
    private: &Seen,
    public: Option<&Seen>,
) -> Result<PrivateFile> {
    Ok(match key_pair::inspect(&private.bytes) {
        Inspection::OpenSsh { encrypted: true, .. } | Inspection::Foreign { encrypted: true, .. } => {
            PrivateFile::Encrypted
        }
        Inspection::OpenSsh { public, .. } => PrivateFile::Public(public),
        Inspection::NotAKey { reason } => PrivateFile::No(reason.to_owned()),
        Inspection::Foreign { format, .. } => {
            let asked =
                facts.ask(account, "ssh-keygen", &["-y", "-P", "", "-f", "/dev/stdin"], &private.bytes)?;
            let asked = asked.filter(Finished::success);
            let line = asked.and_then(|said| public_line(said.stdout.trim().as_bytes()).ok());
            // Its format keeps no comment; the one of the public file stays.
            let comment = public.and_then(|public| public_line(&public.bytes).ok());
            match line {
                Some(line) => {
                    let comment = comment.map(|line| line.comment().to_owned()).unwrap_or_default();
                    PrivateFile::Public(PublicLine::new(line.key().clone(), &comment))
                }
                None => {
                    PrivateFile::No(format!("ssh-keygen can't read it either ({})", format.to_lowercase()))
                }
            }
        }
    })
}

/// The command after which the text of a key is one that ssh reads, where only the ends or the beginnings of its lines, or
/// what stands before it, are not.
fn mended(bytes: &[u8], account: &Account, path: &Path) -> Option<Repair> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.skip_while(|line| !line.starts_with(b"-----BEGIN ")).collect();
    let mut text = Zeroizing::new(lines.join(&b'\n'));
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let is_key = **text != *bytes
        && matches!(key_pair::inspect(&text), Inspection::OpenSsh { .. } | Inspection::Foreign { .. });
    let sed = format!(
        "sudo -u {} sed -i -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' -e '/^-----BEGIN /,$!d' -e '$a\\' {}",
        account.name,
        quoted(path)
    );
    is_key.then(|| mend!("give it the form that ssh wants: $ {}", sed))
}

/// What is so, and what to do about it.
pub(super) type Said = (String, Repair);

/// A key that only a person can use.
pub(super) fn passphrase(context: &Context<'_>, name: &str) -> Said {
    let place = context.target.place(name);
    let command = context.command_at("ssh-keygen -p -N '' -f", &place.path());
    (
        format!("the key {place} has a passphrase: no job can use it"),
        mend!("take the passphrase off: $ {}; or move the key away and run again", command),
    )
}
