//! Breaking text into lines that fit, at spaces and never within a word.

/// Programs that repairs name. What follows one is for copying, and stays on one line.
const PROGRAMS: [&str; 38] = [
    "apt-get",
    "chattr",
    "chgrp",
    "chmod",
    "chown",
    "df",
    "diff",
    "docker",
    "echo",
    "find",
    "findmnt",
    "fuser",
    "git",
    "gitlab-runner",
    "glab",
    "gpasswd",
    "groupadd",
    "id",
    "install",
    "journalctl",
    "ls",
    "lsattr",
    "mount",
    "mv",
    "namei",
    "ps",
    "rm",
    "runner-prep",
    "sed",
    "ssh",
    "ssh-keygen",
    "ssh-keyscan",
    "sudo",
    "systemctl",
    "useradd",
    "userdel",
    "usermod",
    "visudo",
];

/// Those of them that a sentence can begin with, too.
const WORDS: [&str; 7] = ["docker", "echo", "find", "git", "install", "mount", "ssh"];

/// Break a text at spaces: the first line has room for `first` characters, the others for `rest`. A longer word has a line
/// of its own.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    fill(text.split(' '), first, rest)
}

/// The same for what is to be done: a command stays whole.
pub(super) fn wrap_repair(line: &str, room: usize) -> Vec<String> {
    // A line of a longer command has its shape already.
    if line.starts_with(' ') || line.ends_with('\\') {
        vec![line.to_owned()]
    } else {
        fill(pieces(line), room, room)
    }
}

fn fill<'a>(pieces: impl IntoIterator<Item = &'a str>, first: usize, rest: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in pieces {
        let room = if lines.len() == 1 { first } else { rest };
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + piece.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(piece);
        }
    }
    lines
}

/// Words, and whole commands: one begins with a program's name after a colon or a semicolon, or where the line does, and
/// ends at a semicolon.
fn pieces(line: &str) -> Vec<&str> {
    let (mut found, mut rest): (Vec<&str>, _) = (Vec::new(), line);
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        let may_begin = found.last().is_none_or(|before| before.ends_with([':', ';']));
        // `install it: …` is no command, `install -d …` is one.
        let is_prose = found.is_empty()
            && WORDS.contains(&&rest[..word])
            && !rest[word..].trim_start().starts_with(['-', '/', '+']);
        let is_command = may_begin && PROGRAMS.contains(&&rest[..word]) && !is_prose;
        let end = if is_command { rest.find("; ").map_or(rest.len(), |at| at + 1) } else { word };
        found.push(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_words_are_whole() {
        assert_eq!(wrap("aa bb cc dddddddd e", 5, 6), ["aa bb", "cc", "dddddddd", "e"]);
        assert_eq!(wrap("", 5, 5), [""]);
        assert_eq!(wrap("a  b", 80, 80), ["a  b"]);
    }

    #[test]
    fn commands_stay_whole() {
        assert_eq!(
            wrap_repair(
                "make it by hand, then run again: useradd --system --create-home ci; or see: ls -l /etc/group",
                30
            ),
            [
                "make it by hand, then run",
                "again:",
                "useradd --system --create-home ci;",
                "or see: ls -l /etc/group"
            ]
        );
        for whole in [
            "chown root: /etc/a",
            "runner-prep template --profile dind > /root/runner.toml",
            "mv /home/gitlab-runner/.ssh/id_ed25519 /root/",
            "    --url https://gitlab.com --executor docker \\",
            "CI_SERVER_TOKEN=x gitlab-runner register \\",
        ] {
            assert_eq!(wrap_repair(whole, 10), [whole]);
        }
        assert_eq!(
            wrap_repair("install it: apt-get install rsync", 15),
            ["install it:", "apt-get install rsync"]
        );
        assert_eq!(wrap_repair("find the others", 10), ["find the", "others"]);
    }
}
