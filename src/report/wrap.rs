//! Breaking text into lines that fit, at spaces and never within a word.

use crate::repair::pieces;

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
        fill(pieces(line).into_iter().map(|(_, piece)| piece), room, room)
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
