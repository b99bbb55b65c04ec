//! From the words of the command line to what they mean.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::{Args, FromArgMatches as _, Parser as _};

use super::{Cli, Command, Global, Lazy};

impl Cli {
    /// Read the words of the command line, the program's name first.
    ///
    /// # Errors
    /// What the user is to be told: what is wrong with the line, or the help or version that was asked for.
    pub fn read(words: impl IntoIterator<Item: Into<OsString>>) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        Self::read_frequent(&words).map_or_else(|| Self::try_parse_from(&words), Ok)
    }

    /// The same for the commands that timers call, in a third of the time: the others are not even described to clap.
    /// `None` where the line is not one of these, is wrong, or asks for help.
    fn read_frequent(words: &[OsString]) -> Option<Self> {
        let (command, options) = (words.get(1)?.to_str()?, words.get(1..)?);
        match command {
            "apply" => Self::of(options, Command::Apply),
            "check" => Self::of(options, Command::Check),
            "plan" => Self::of(options, Command::Plan),
            _ => None,
        }
    }

    fn of<T: Args>(words: &[OsString], command: fn(Lazy<T>) -> Command) -> Option<Self> {
        let options = Global::augment_args(T::augment_args(clap::Command::new("")));
        let options = options.disable_help_flag(true).mut_args(|option| option.global(false));
        // What describes them is not given back: the process ends soon.
        let mut found = ManuallyDrop::new(options).try_get_matches_from_mut(words).ok()?;
        let command = command(Lazy(T::from_arg_matches_mut(&mut found).ok()?));
        Some(Self { command, global: Global::from_arg_matches_mut(&mut found).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_timers_call_is_read_as_by_the_whole_definition() {
        let read = |words: &[&str]| {
            let words = ["runner-prep"].iter().chain(words).map(OsString::from).collect::<Vec<_>>();
            let shown = |read: Result<Cli, clap::Error>| {
                read.map(|cli| format!("{cli:?}")).map_err(|e| e.to_string())
            };
            (
                Cli::read_frequent(&words).is_some(),
                shown(Cli::read(&words)),
                shown(Cli::try_parse_from(&words)),
            )
        };
        let right: &[&[&str]] = &[
            &["check", "--profile", "dind"],
            &[
                "plan",
                "-p",
                "shell,./ours.toml",
                "-p",
                "dind",
                "--exit-code",
                "-v",
                "--root",
                "/mnt",
                "--json",
            ],
            &[
                "apply",
                "--dry-run",
                "--allow-pending",
                "--color=never",
                "-qp",
                "dind",
                "--only",
                "git,config",
            ],
            &["apply", "-pdind", "--runner", "7", "--runner=b", "--user", "ci", "--runner-version", "16.1"],
        ];
        for words in right {
            let (frequent, read, whole) = read(words);
            assert!(frequent && read.is_ok(), "{words:?}");
            assert_eq!(read, whole, "{words:?}");
        }
        let others: &[&[&str]] = &[
            &[],
            &["--json", "check", "-p", "dind"],
            &["check"],
            &["check", "--help"],
            &["plan", "-h"],
            &["apply", "--version"],
            &["apply", "-p", "dind", "--dry"],
            &["apply", "-p", "dind", "more"],
            &["plan", "-p", "dind", "--only", "git", "--skip", "git"],
            &["check", "-p", "dind", "--root", "/", "--root", "/mnt"],
            &["check", "-p", "dind", "--runner-version", "x"],
            &["chekc", "-p", "dind"],
            &["help", "apply"],
            &["key", "--fingerprint"],
        ];
        for words in others {
            let (frequent, read, whole) = read(words);
            assert!(!frequent, "{words:?}");
            assert_eq!(read, whole, "{words:?}");
        }
    }
}
