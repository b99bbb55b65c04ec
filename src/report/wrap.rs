//! Breaking text into lines that fit, at spaces and never within a word.

use crate::repair::Repair;

/// Break a text at spaces: the first line has room for `first` characters, the others for `rest`. A longer word has a line
/// of its own.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    fill(text.split(' '), first, rest)
}

/// Break a repair into lines: a command stays whole, and the further lines of a longer one keep their shape.
pub(super) fn wrap_repair(repair: &Repair, room: usize, shown: impl Fn(&str) -> String) -> Vec<String> {
    let shown = |line: Vec<String>| line.iter().map(|piece| shown(piece)).collect::<Vec<_>>();
    let lines = repair.lines().into_iter().map(shown);
    lines.flat_map(|line| fill(line.iter().map(String::as_str), room, room)).collect()
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
    use crate::repair::run;

    #[test]
    fn lines_fit_and_words_are_whole() {
        assert_eq!(wrap("aa bb cc dddddddd e", 5, 6), ["aa bb", "cc", "dddddddd", "e"]);
        assert_eq!(wrap("", 5, 5), [""]);
        assert_eq!(wrap("a  b", 80, 80), ["a  b"]);
    }

    #[test]
    fn commands_stay_whole() {
        let wrapped = |words: &'static str, room| wrap_repair(&words.into(), room, str::to_owned);
        assert_eq!(
            wrapped(
                "make it by hand, then run again: $ useradd --system --create-home ci; or see: $ ls -l /etc/group",
                30
            ),
            [
                "make it by hand, then run",
                "again:",
                "useradd --system --create-home ci;",
                "or see: ls -l /etc/group"
            ]
        );
        for whole in ["chown root: /etc/a", "runner-prep template --profile dind > /root/runner.toml"] {
            assert_eq!(wrap_repair(&run(whole), 10, str::to_owned), [whole]);
        }
        assert_eq!(
            wrapped(
                "then:\n$ A=x gitlab-runner register \\\n    --url https://gitlab.com --executor docker\n$ ls",
                10
            ),
            [
                "then:",
                "A=x gitlab-runner register \\",
                "    --url https://gitlab.com --executor docker",
                "ls"
            ]
        );
        // What a name brings along is shown on the line.
        let shown = |piece: &str| piece.escape_default().to_string();
        assert_eq!(wrap_repair(&mend!("see: $ ls {}", "a\nb"), 10, shown), ["see:", "ls a\\nb"]);
        assert_eq!(wrapped("find the others", 10), ["find the", "others"]);
    }
}
