//! What may be taken for a key or a directory of keys, before anything else is asked of it.

use std::path::Path;

use anyhow::Result;

use crate::change::{FileKind, Seen};
use crate::facts::{Account, Facts};
use crate::fault::{Nature, fault, look_and_move_aside, move_aside, quoted};
use crate::repair::{Repair, run};
use crate::text::public_key::PublicKey;

/// Servers of today refuse what is shorter.
const LEAST_RSA_BITS: u32 = 2048;

/// What is so of a key that servers refuse, and what to do about it; `None` where they take it.
pub fn weakness(key: &PublicKey, account: &str, path: &Path, has_public: bool) -> Option<(String, Repair)> {
    let bits = key.bits();
    let what = match key.kind() {
        "ssh-dss" => "a DSA key".to_owned(),
        "ssh-rsa" if bits < LEAST_RSA_BITS => format!("an RSA key of only {bits} bits"),
        _ => return None,
    };
    let aside = both_aside(account, path, has_public);
    Some((
        format!("{} is {what}, which servers refuse", path.display()),
        Repair::from("move it away, then make another: ") + aside + "; $ runner-prep apply",
    ))
}

/// What moves a key away, and its public half, which alone would be a riddle.
pub(super) fn both_aside(account: &str, path: &Path, has_public: bool) -> Repair {
    let aside = run(move_aside(account, path));
    let public = format!("{}.pub", path.display());
    let public = has_public.then(|| run(move_aside(account, Path::new(&public))));
    Repair::all([aside].into_iter().chain(public))
}

/// Nothing but a file of one name is read as a key, or changed.
pub(super) fn check_regular(seen: &Seen, account: &str, path: &Path) -> Result<()> {
    let shown = path.display();
    if seen.kind != FileKind::Regular {
        let what = format!("{shown} is {}: it is not followed or replaced", seen.kind);
        return Err(fault("ssh-key-kind", what, look_and_move_aside(account, path)));
    }
    if seen.links != 1 {
        return Err(fault(
            "ssh-key-links",
            format!("{shown} has {} names (hard links): changing it would change another file", seen.links),
            mend!("see the other names: $ find / -xdev -samefile {}; then ", quoted(path))
                + own_file(account, path),
        ));
    }
    Ok(())
}

/// What puts a copy in the place of a link or of a further name.
pub(super) fn own_file(account: &str, path: &Path) -> Repair {
    mend!(
        "give it a file of its own: $ sudo -u {1} cp -p {0} {0}.new && sudo -u {1} mv -T {0}.new {0}",
        quoted(path),
        account
    )
}

/// What belongs to others is not ours to give away, what belongs to root least of all: in its home the account
/// can move such a thing to any name, a private key of root's for one. It is only given where that is harmless, or
/// where the administrator says so.
pub(super) fn check_owner(seen: &Seen, account: &Account, path: &Path, given: bool) -> Result<()> {
    // Whoever prepares a tree as an ordinary user owns all of it.
    let is_own = || seen.uid != 0 && seen.uid == crate::facts::caller();
    if seen.uid == account.uid || is_own() || given && seen.uid == 0 {
        return Ok(());
    }
    Err(crate::facts::foreign_owner(account, path, seen.uid))
}

/// Refuse to give the account a thing of root's that is only mounted in its home: it has another place as well, which
/// would change with it.
pub(super) fn refuse_mount(facts: &Facts<'_>, seen: &Seen, account: &Account, name: &str) -> Result<()> {
    if seen.uid != 0 || account.uid == 0 || !facts.is_mount(account, name)? {
        return Ok(());
    }
    let path = account.home.join(name);
    let (shown, path) = (path.display(), quoted(&path));
    Err(Nature::Foreign.fault(
        "foreign-owner",
        format!(
            "{shown} is a mount point of its own: what is mounted there belongs to root and is not given to {}",
            account.name
        ),
        mend!("see where it comes from: $ findmnt {0}; then unmount it and run again: $ umount {0}; or give it to {1} where it is mounted from", path, account.name),
    ))
}
