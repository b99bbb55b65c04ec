//! Completions for shells: what could stand at the end of a line that is not finished.
//!
//! The scripts ask the program itself on each press of the key, so that they know profiles and runners of this host. Owns
//! the place on the line; what only the host knows is looked up by whoever has it. Must not fail: a line that makes no
//! sense has no completions.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::doctor::explain;
use crate::manual;

/// The script for a shell.
///
/// # Errors
/// When it is not UTF-8 text, which would be a fault of the generator.
pub fn script(shell: Shell) -> Result<String> {
    Ok(match shell {
        Shell::Bash => include_str!("completion/runner-prep.bash").to_owned(),
        Shell::Fish => include_str!("completion/runner-prep.fish").to_owned(),
        Shell::Zsh => include_str!("completion/runner-prep.zsh").to_owned(),
        // These complete what is always the same.
        other => {
            let mut bytes = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "runner-prep", &mut bytes);
            String::from_utf8(bytes)?
        }
    })
}

/// The line that a script asks about; `None` when the arguments are something else. It is not a command of the command line,
/// so that no word of an unfinished line can be an error.
pub fn asked(arguments: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    let mut words = arguments.skip(1).map(|word| word.to_string_lossy().into_owned());
    (words.next()? == "__complete" && words.next()? == "--").then(|| words.collect())
}

/// A word that could stand there, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// What it means, in one line; empty where it says so itself.
    pub about: String,
}

impl Word {
    /// A word with its meaning.
    pub fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self { text: text.into(), about: about.into() }
    }
}

/// What could stand at the end of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompletionPoint {
    /// What is wanted.
    pub candidates: CandidateKind,
    /// What of the last word stands before the part that is wanted: `--profile=`, and elements of a list.
    pub before: String,
    /// What is there of the part that is wanted.
    pub begun: String,
    /// Elements of the same list that stand there already.
    pub taken: Vec<String>,
    /// The value of `--root` on the line.
    pub root: Option<PathBuf>,
    /// The value of `--config` on the line.
    pub config: Option<PathBuf>,
}

/// A kind of thing that could stand at a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CandidateKind {
    /// One of these words.
    Words(Vec<Word>),
    /// The name of a profile, or the path of one.
    Profile,
    /// A kind of resource.
    Kind,
    /// The name or id of a runner.
    Runner,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Nothing that anybody could know.
    #[default]
    Nothing,
}

/// Understand a line: all words up to the one under the cursor, which may be empty, the program's name first.
pub fn place(words: &[String]) -> CompletionPoint {
    let mut top = Cli::command().disable_help_subcommand(true);
    top.build();
    let Some((last, before)) = words.get(1..).unwrap_or_default().split_last() else {
        return CompletionPoint::default();
    };
    let mut line = LineSoFar { command: &top, open: None, is_escaped: false, position: 0, seen: Vec::new() };
    let mut place = CompletionPoint::default();
    for word in before {
        line.read(word, &mut place);
    }
    let (candidates, mut before) = line.at(last);
    let mut begun = last.get(before.len()..).unwrap_or_default();
    // An element of a list: what stands before it stays.
    if let (CandidateKind::Profile | CandidateKind::Kind, Some((elements, rest))) =
        (&candidates, begun.rsplit_once(','))
    {
        place.taken = elements.split(',').map(str::to_owned).collect();
        before.extend([elements, ","]);
        begun = rest;
    }
    let candidates = if candidates == CandidateKind::Profile && begun.contains('/') {
        CandidateKind::File
    } else {
        candidates
    };
    CompletionPoint { candidates, before, begun: begun.to_owned(), ..place }
}

/// The part of a line that was read.
struct LineSoFar<'a> {
    command: &'a Command,
    /// An option whose value comes next.
    open: Option<&'a Arg>,
    /// After `--` there are no options.
    is_escaped: bool,
    /// How many arguments without an option there were.
    position: usize,
    /// Options that stand there.
    seen: Vec<&'a Arg>,
}

impl<'a> LineSoFar<'a> {
    fn read(&mut self, word: &str, place: &mut CompletionPoint) {
        if let Some(argument) = self.open.take() {
            note(argument, word, place);
        } else if self.is_escaped {
            self.position += 1;
        } else if word == "--" {
            self.is_escaped = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let Some(argument) = self.options().find(|argument| argument.get_long() == Some(name)) else {
                return;
            };
            self.seen.push(argument);
            match value {
                Some(value) => note(argument, value, place),
                None => self.open = Some(argument).filter(|argument| takes_value(argument)),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for (at, letter) in letters.char_indices() {
                let found = self.options().find(|argument| argument.get_short() == Some(letter));
                let Some(argument) = found else { return };
                self.seen.push(argument);
                if takes_value(argument) {
                    let is_last = at + letter.len_utf8() == letters.len();
                    self.open = Some(argument).filter(|_| is_last);
                    return;
                }
            }
        } else if let Some(below) = self.commands().find(|below| below.get_name() == word) {
            (self.command, self.position) = (below, 0);
        } else {
            self.position += 1;
        }
    }

    /// What could stand in the place of the last word, and what of it stays.
    fn at(&self, word: &str) -> (CandidateKind, String) {
        if let Some(argument) = self.open {
            return (of(argument), String::new());
        }
        if !self.is_escaped {
            if let Some((name, _)) = word.strip_prefix("--").and_then(|long| long.split_once('=')) {
                let found = self.options().find(|argument| argument.get_long() == Some(name));
                return (found.map(of).unwrap_or_default(), format!("--{name}="));
            }
            if word.starts_with('-') {
                return (CandidateKind::Words(self.unused()), String::new());
            }
        }
        let commands: Vec<Word> =
            self.commands().map(|below| Word::new(below.get_name(), about(below.get_about()))).collect();
        if !commands.is_empty() {
            return (CandidateKind::Words(commands), String::new());
        }
        // The last one may stand there several times.
        let repeats =
            |argument: &&Arg| argument.get_num_args().is_some_and(|count| count.max_values() > self.position);
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        let last = positionals.last().copied().filter(repeats);
        match positionals.get(self.position).copied().or(last) {
            Some(argument) => (of(argument), String::new()),
            None if word.is_empty() && !self.is_escaped => {
                (CandidateKind::Words(self.unused()), String::new())
            }
            None => (CandidateKind::Nothing, String::new()),
        }
    }

    fn commands(&self) -> impl Iterator<Item = &'a Command> + use<'a> {
        self.command.get_subcommands()
    }

    fn options(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        self.command.get_arguments().filter(|argument| !argument.is_positional())
    }

    /// The options that can be given once more.
    fn unused(&self) -> Vec<Word> {
        let is_free = |argument: &&Arg| {
            matches!(argument.get_action(), ArgAction::Append)
                || !self.seen.iter().any(|seen| seen.get_id() == argument.get_id())
        };
        let word = |argument: &Arg| {
            Some(Word::new(format!("--{}", argument.get_long()?), about(argument.get_help())))
        };
        self.options().filter(is_free).filter_map(word).collect()
    }
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Keep what decides where the host is looked for.
fn note(argument: &Arg, value: &str, place: &mut CompletionPoint) {
    match argument.get_id().as_str() {
        "root" => place.root = Some(value.into()),
        "config" => place.config = Some(value.into()),
        _ => {}
    }
}

/// What could be the value of an argument.
fn of(argument: &Arg) -> CandidateKind {
    let values: Vec<Word> = argument
        .get_possible_values()
        .iter()
        .map(|value| Word::new(value.get_name(), about(value.get_help())))
        .collect();
    match argument.get_id().as_str() {
        _ if !takes_value(argument) => CandidateKind::Nothing,
        _ if !values.is_empty() => CandidateKind::Words(values),
        "profile" | "name" => CandidateKind::Profile,
        "only" | "skip" => CandidateKind::Kind,
        "explain" => {
            CandidateKind::Words(explain::codes().map(|(code, about)| Word::new(code, about)).collect())
        }
        "runner" => CandidateKind::Runner,
        "config" | "public_key" | "token_file" | "ca_file" => CandidateKind::File,
        "root" => CandidateKind::Directory,
        "command" => {
            CandidateKind::Words(manual::names().into_iter().map(|name| Word::new(name, "")).collect())
        }
        _ => CandidateKind::Nothing,
    }
}

/// The first line, without what only terminals understand.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

impl CompletionPoint {
    /// What the scripts read: how to go on, then a word a line with its meaning after a tab.
    pub fn answer(&self, words: &[Word]) -> String {
        match self.candidates {
            CandidateKind::File => return "files\n".to_owned(),
            CandidateKind::Directory => return "directories\n".to_owned(),
            _ => {}
        }
        let fits = |word: &&Word| word.text.starts_with(&self.begun) && !self.taken.contains(&word.text);
        let line = |word: &Word| format!("{}{}\t{}\n", self.before, word.text, word.about);
        std::iter::once("words\n".to_owned()).chain(words.iter().filter(fits).map(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> CompletionPoint {
        place(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn words(line: &str) -> Vec<String> {
        let place = at(line);
        let CandidateKind::Words(words) = &place.candidates else {
            return vec![format!("{:?}", place.candidates)];
        };
        let text = place.answer(words);
        text.lines().skip(1).map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn commands_and_options_are_known() {
        assert!(words("runner-prep ").contains(&"apply".to_owned()));
        assert_eq!(words("runner-prep ap"), ["apply"]);
        assert_eq!(words("runner-prep --json do"), ["doctor"]);
        assert_eq!(words("runner-prep profile "), ["list", "show"]);
        assert_eq!(words("runner-prep apply --dry"), ["--dry-run"]);
        assert_eq!(words("runner-prep apply --dry-run --dry"), [""; 0]);
        assert_eq!(words("runner-prep plan --runn"), ["--runner", "--runner-version"]);
        assert!(words("runner-prep apply ").contains(&"--profile".to_owned()), "what is missing is offered");
        assert_eq!(words("runner-prep completions z"), ["zsh"]);
        assert_eq!(words("runner-prep plan --color=a"), ["--color=auto", "--color=always"]);
        assert!(words("runner-prep man ").contains(&"profile-show".to_owned()));
        for nothing in ["runner-prep apply x", "runner-prep x --", "runner-prep plan --user ", "x", ""] {
            assert!(
                ["Nothing", ""].contains(&words(nothing).join("").as_str()) || nothing.contains("--"),
                "{nothing}"
            );
        }
    }

    #[test]
    fn values_are_known_by_their_option() {
        for (line, candidates) in [
            ("runner-prep apply --profile ", CandidateKind::Profile),
            ("runner-prep apply -p ", CandidateKind::Profile),
            ("runner-prep apply -vp ", CandidateKind::Profile),
            ("runner-prep apply --profile=", CandidateKind::Profile),
            ("runner-prep profile show ", CandidateKind::Profile),
            ("runner-prep profile show dind ", CandidateKind::Profile),
            ("runner-prep apply --profile ./pro", CandidateKind::File),
            ("runner-prep check --only ", CandidateKind::Kind),
            ("runner-prep --json check --skip=a,", CandidateKind::Kind),
            ("runner-prep doctor --runner ", CandidateKind::Runner),
            ("runner-prep doctor --config ", CandidateKind::File),
            ("runner-prep --root ", CandidateKind::Directory),
            ("runner-prep apply --user ", CandidateKind::Nothing),
            ("runner-prep apply -- --profile", CandidateKind::Nothing),
        ] {
            assert_eq!(at(line).candidates, candidates, "{line}");
        }
        let place = at("runner-prep apply --root /srv/x --config=/y -p a,b,c");
        assert_eq!((place.before.as_str(), place.begun.as_str()), ("a,b,", "c"));
        assert_eq!(place.taken, ["a", "b"]);
        assert_eq!((place.root, place.config), (Some("/srv/x".into()), Some("/y".into())));
        let place = at("runner-prep apply --profile=shell,d");
        assert_eq!(
            place.answer(&[Word::new("dind", "x"), Word::new("shell", "y")]),
            "words\n--profile=shell,dind\tx\n"
        );
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            assert!(script(shell).unwrap().contains("runner-prep"), "{shell}");
        }
    }
}
