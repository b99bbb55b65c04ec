//! Repairs: text with commands in it, and how these are called by whoever reads them.
//!
//! A repair is written for root on the machine. Here it becomes one for a user with sudo, and one for a `--root` tree, so
//! that no other module thinks of either. Must not look at the host.

mod reader;

use std::fmt::{Display, Write as _};
use std::ops::Add;
use std::path::Path;

use serde::Serialize;

pub use reader::Reader;

/// What to do now: text, and commands in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Repair(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Command(String),
}

/// A repair in its author's words, as [`worded`] reads them, with a value for each place in them.
macro_rules! mend {
    ($words:literal $(, $value:expr)* $(,)?) => {
        $crate::repair::worded(
            {
                const WORDS: &str =
                    $crate::repair::counted($words, <[&str]>::len(&[$(stringify!($value)),*]));
                WORDS
            },
            &[$(&$value),*],
        )
    };
}

/// These words, which have so many places for values.
///
/// # Panics
/// In the compiler, where they have not.
pub const fn counted(words: &'static str, values: usize) -> &'static str {
    let (mut rest, mut unnamed, mut numbered) = (words.as_bytes(), 0, 0);
    while let [first, after @ ..] = rest {
        match after {
            [b'}', ..] if *first == b'{' => unnamed += 1,
            [digit @ b'0'..=b'9', b'}', ..] if *first == b'{' => {
                let number = (*digit - b'0') as usize + 1;
                numbered = if number > numbered { number } else { numbered };
            }
            _ => {}
        }
        rest = after;
    }
    assert!(values == if unnamed > numbered { unnamed } else { numbered });
    words
}

/// A repair in its author's words: a command begins after `$ `, and ends before a semicolon or with its line. Each `{}` is
/// the next of the values, each `{0}` the first of them; nothing in a value has a meaning.
pub fn worded(words: &'static str, values: &[&dyn Display]) -> Repair {
    let (mut repair, mut unnamed) = (Repair::default(), 0..);
    let (mut said, mut is_command, mut quote, mut before) = (String::new(), false, None, ' ');
    let mut rest = words;
    while let Some(c) = rest.chars().next() {
        let place =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).filter(|_| !values.is_empty());
        let index =
            place.and_then(|(index, _)| if index.is_empty() { unnamed.next() } else { index.parse().ok() });
        rest = &rest[c.len_utf8()..];
        if let (Some(value), Some((_, after))) = (index.and_then(|index| values.get(index)), place) {
            let _ = write!(said, "{value}");
            rest = after;
        } else if !is_command && c == '$' && rest.starts_with(' ') {
            repair.push(Part::Text(std::mem::take(&mut said)));
            (is_command, rest) = (true, rest.trim_start());
        } else {
            if is_command && quote.is_none() && (c == ';' || c == '\n' && before != '\\') {
                repair.push(Part::Command(std::mem::take(&mut said)));
                is_command = false;
            }
            quote = match quote {
                None if is_command && (c == '\'' || c == '"') => Some(c),
                Some(open) if open == c => None,
                quote => quote,
            };
            said.push(c);
        }
        before = c;
    }
    repair.push(if is_command { Part::Command(said) } else { Part::Text(said) });
    repair
}

/// A command alone.
pub fn run(command: impl Display) -> Repair {
    mend!("$ {}", command)
}

impl Repair {
    fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (_, Part::Text(said)) if said.is_empty() => {}
            (Some(Part::Text(text)), Part::Text(said)) => text.push_str(&said),
            (_, part) => self.0.push(part),
        }
    }

    /// Repairs to be made one after the other.
    pub fn all(repairs: impl IntoIterator<Item = Self>) -> Self {
        repairs.into_iter().reduce(|all, next| all + "; " + next).unwrap_or_default()
    }

    /// Nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole repair as a text.
    pub fn text(&self) -> String {
        self.clone().into()
    }

    /// This repair with other commands.
    fn with(&self, command: impl Fn(&str) -> String) -> Self {
        let part = |part: &Part| match part {
            Part::Command(said) => Part::Command(command(said)),
            text @ Part::Text(_) => text.clone(),
        };
        Self(self.0.iter().map(part).collect())
    }

    /// Its lines, each in pieces that stay whole: words, and commands with what ends them. What begins with a space has its
    /// shape, and so has a command of several lines.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut piece) = (Vec::new(), Vec::new(), String::new());
        for part in &self.0 {
            let (is_command, said): (_, Vec<&str>) = match part {
                Part::Text(said) => (false, said.split('\n').collect()),
                Part::Command(said) => (true, said.split_inclusive("\\\n").collect()),
            };
            for (index, said) in said.into_iter().enumerate() {
                if index > 0 {
                    line.push(std::mem::take(&mut piece));
                    lines.push(std::mem::take(&mut line));
                }
                let is_whole = is_command || index > 0 && said.starts_with(' ');
                for (index, word) in said.splitn(if is_whole { 1 } else { usize::MAX }, ' ').enumerate() {
                    if index > 0 {
                        line.push(std::mem::take(&mut piece));
                    }
                    piece.push_str(word.trim_end_matches('\n'));
                }
            }
        }
        line.push(piece);
        lines.push(line);
        lines
    }
}

impl From<&'static str> for Repair {
    fn from(words: &'static str) -> Self {
        worded(words, &[])
    }
}

impl From<&Self> for Repair {
    fn from(repair: &Self) -> Self {
        repair.clone()
    }
}

impl From<Repair> for String {
    fn from(repair: Repair) -> Self {
        repair.0.into_iter().map(|(Part::Text(said) | Part::Command(said))| said).collect()
    }
}

/// One behind the other, as if they were written so.
impl<R: Into<Self>> Add<R> for Repair {
    type Output = Self;

    fn add(mut self, rest: R) -> Self {
        rest.into().0.into_iter().for_each(|part| self.push(part));
        self
    }
}

/// A path, or another word, as one word of a shell.
pub fn quoted(word: impl AsRef<Path>) -> String {
    let word = word.as_ref().display().to_string();
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c)) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// How a runner is registered that is right from the start.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The profiles whose settings it gets; none, and it gets gitlab-runner's own.
    pub profiles: Option<&'a str>,
    /// The server's address without `https://`.
    pub server: &'a str,
    /// The configuration file, where it is not the usual one.
    pub config: Option<&'a str>,
    /// The executor.
    pub executor: &'a str,
    /// The image of its jobs, where they run in containers.
    pub image: Option<&'a str>,
    /// What is run when it is registered.
    pub then: &'a str,
}

impl Registration<'_> {
    /// The commands, a line each, in their order. The token is the reader's.
    pub fn commands(&self) -> Repair {
        let Self { server, executor, .. } = self;
        let file = self.config.map(|path| format!(" --config {}", quoted(path))).unwrap_or_default();
        let image = self.image.map(|image| format!(" --docker-image {image}")).unwrap_or_default();
        let (before, with) = match self.profiles {
            Some(profiles) => (
                mend!("$ runner-prep template --profile {} > /root/runner.toml\n", profiles),
                " \\\n    --template-config /root/runner.toml",
            ),
            None => (Repair::default(), ""),
        };
        Repair::from("let CI_SERVER_TOKEN be the token that GitLab shows for a new runner, then:\n")
            + before
            + mend!(
                "$ CI_SERVER_TOKEN=${CI_SERVER_TOKEN:?} gitlab-runner register --non-interactive{} \\\n    \
                 --url https://{} --executor {}{}{}\n$ {}",
                file,
                server,
                executor,
                image,
                with,
                self.then
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_begins_or_ends_a_command() {
        let by_sudo = Reader { by_sudo: true, ..Reader::default() };
        for name in [
            "a; rm -rf b",
            "a: rm b",
            "$ rm a",
            "{}",
            "a && rm b",
            "a > b",
            "a | sh",
            "it's > a",
            "`a`",
            "a\nrm b",
        ] {
            let word = quoted(name);
            let repair = mend!("see {}: $ ls -l {1}; then $ mv {1} {1}.old && rm {1} >> /a", name, word);
            let expected = format!(
                "see {name}: sudo ls -l {word}; then sudo mv {word} {word}.old && sudo rm {word} | sudo tee -a /a >/dev/null"
            );
            assert_eq!(by_sudo.address(&repair).text(), expected);
            let pieces = repair.lines().concat();
            assert_eq!(pieces.iter().filter(|piece| piece.contains(&word)).count(), 2, "{pieces:?}");
        }
    }
}
