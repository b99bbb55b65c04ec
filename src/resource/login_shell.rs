//! `~/.bash_logout` of the distributions' skeletons: it fails without a console, and with it every shell
//! job ("prepare environment: exit status 1").
//!
//! Owns the known texts and their repair, which only puts comment marks before their commands. What
//! somebody wrote is named and not touched.

use anyhow::Result;

use super::context::Context;
use crate::change::{Change, FileKind, FileOp, Harm, Meta, Note, Notes, Owner, Seen};
use crate::fault::look_and_move_aside;

/// What is looked at in the home.
pub(super) const FILE: &str = ".bash_logout";

/// The commands of the known skeletons, without comments and indentation: Debian and Ubuntu, then the
/// older ones of Red Hat and SUSE.
const SKELETONS: [&[&str]; 4] = [
    &["if [ \"$SHLVL\" = 1 ]; then", "[ -x /usr/bin/clear_console ] && /usr/bin/clear_console -q", "fi"],
    &["/usr/bin/clear"],
    &["clear"],
    &["[ -x /usr/bin/clear ] && /usr/bin/clear"],
];

/// Words that mark a command that needs a console.
const SUSPICIOUS: [&str; 3] = ["clear_console", "/usr/bin/clear", "tput "];

/// The repair of the login shell, if it is needed and safe.
pub(super) fn plan(context: &Context<'_>, notes: &mut Notes) -> Result<Option<Change>> {
    let target = context.target;
    let Some(seen) = context.home_file(FILE)? else { return Ok(None) };
    let place = target.place(FILE);
    let is_odd = seen.kind != FileKind::Regular || seen.links != 1;
    // A directory the shell passes over, and what it may not read. For all else but a file it may wait.
    let read = |end: &Seen| match end.kind {
        FileKind::Regular => Some(end.text().into_owned()),
        FileKind::Directory => Some(String::new()),
        _ => None,
    };
    let text = match (seen.kind, &target.account) {
        (FileKind::Link, Some(account)) => {
            let end = context.facts.file_for(account, &place.path()).ok();
            end.and_then(|end| end.as_ref().map_or(Some(String::new()), read))
        }
        _ => read(&seen),
    };
    let commands: Vec<&str> = commands(text.as_deref().unwrap_or_default()).collect();
    let is_skeleton = SKELETONS.contains(&&commands[..]);
    let clears = || commands.iter().any(|line| SUSPICIOUS.iter().any(|word| line.contains(word)));
    if is_odd {
        let fails = text.is_none() || is_skeleton || clears();
        notes.say(Note::new(
            "login-shell",
            format!("{place} is {}; the login shell of every job reads it", seen.oddity()),
            look_and_move_aside(&target.name, &place.path()),
            if fails { Harm::Jobs } else { Harm::None },
        ));
        return Ok(None);
    }
    if commands.is_empty() {
        return Ok(None);
    }
    if !is_skeleton {
        if clears() {
            notes.harm(
                "login-shell",
                format!(
                    "{place} clears the console, which fails in a job; it is not the distribution's own text"
                ),
                // Jobs run it with `set -e`: a `true` at its end comes too late.
                mend!(
                    "put comment marks before those lines: $ sudo -u {} sed -i -E \
                     '/clear_console|\\/usr\\/bin\\/clear|tput /s/^[^#]/# &/' {}",
                    target.name,
                    place
                ),
            );
        }
        return Ok(None);
    }
    let repaired = comment_out(&seen.bytes);
    let meta = Meta { owner: Owner::Account(target.name.clone()), mode: seen.mode };
    let why = "it fails without a console, and with it every shell job";
    Ok(Some(Change::of("account", why, FileOp::new(place, Some(seen), repaired, meta))))
}

fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A mark before each command; every other byte stays, also where it is not UTF-8.
fn comment_out(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let is_command = |line: &[u8]| commands(&String::from_utf8_lossy(line)).next().is_some();
    lines
        .flat_map(|line| [if is_command(line) { &b"# "[..] } else { b"" }, line])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repaired_skeleton_has_no_command_left() {
        let text = "# ~/.bash_logout\n\nif [ \"$SHLVL\" = 1 ]; then\n    [ -x /usr/bin/clear_console ] && /usr/bin/clear_console -q\nfi\n";
        let lines: Vec<&str> = commands(text).collect();
        assert!(SKELETONS.contains(&&lines[..]));
        let repaired = String::from_utf8(comment_out(text.as_bytes())).unwrap();
        assert_eq!(commands(&repaired).count(), 0);
        assert_eq!(comment_out(b"# gr\xfc\xdfe\nclear"), b"# gr\xfc\xdfe\n# clear");
        assert_eq!(repaired.replace("# if", "if").replace("#     [", "    [").replace("# fi", "fi"), text);
    }
}
