//! Examples for each command, as `--help` and the manual pages show them. A test reads each with the program's own parser.

/// A line for each: the command, what the line for a shell is for, and that line. Those of the program itself stand
/// under the empty name.
const EXAMPLES: &str = include_str!("examples.tsv");

/// The command, what it is for, and the line.
fn examples() -> impl Iterator<Item = [&'static str; 3]> {
    EXAMPLES.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok())
}

/// What the lines of a command are for, and the lines.
pub fn of(command: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    examples().filter(move |[name, ..]| *name == command).map(|[_, what, line]| (what, line))
}

/// The same for the end of a help text.
pub(super) fn help(command: &str) -> String {
    let mut text = String::from("Examples:");
    for (what, line) in of(command) {
        text.extend(["\n  ", what, ":\n    ", line]);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    /// All commands with their paths.
    fn all() -> Vec<String> {
        let mut top = Cli::command().disable_help_subcommand(true);
        top.build();
        commands(&top, "")
    }

    /// The commands with their paths, those of a command after it.
    fn commands(command: &clap::Command, above: &str) -> Vec<String> {
        let path = |below: &clap::Command| format!("{above} {}", below.get_name()).trim_start().to_owned();
        let below = command.get_subcommands().map(|below| (path(below), below));
        below.flat_map(|(path, below)| std::iter::once(path.clone()).chain(commands(below, &path))).collect()
    }

    #[test]
    fn every_command_has_examples_that_it_understands() {
        let mut known: BTreeSet<String> = all().into_iter().collect();
        known.insert(String::new());
        let found: BTreeSet<String> = examples().map(|[command, ..]| command.to_owned()).collect();
        assert_eq!(known, found);
        assert_eq!(examples().count(), EXAMPLES.lines().count(), "each line has three parts");
        for [command, what, line] in examples() {
            // What the shell does with it is not ours.
            let words = line.split(['|', '>']).next().unwrap_or_default().trim_start_matches("sudo ");
            let words: Vec<&str> = words.split_whitespace().collect();
            assert!(Cli::try_parse_from(&words).is_ok(), "{line}");
            let path = ["runner-prep", command].join(" ");
            assert!(words.join(" ").starts_with(path.trim_end()), "{line} is not an example of {path}");
            assert!(what.len() < 76 && !what.ends_with('.'), "{what}");
        }
    }

    #[test]
    fn help_is_short_or_has_examples() {
        for path in all().iter().map(String::as_str).chain([""]) {
            let words =
                |flag: &'static str| ["runner-prep"].into_iter().chain(path.split_whitespace()).chain([flag]);
            let help = |flag| Cli::try_parse_from(words(flag)).unwrap_err().to_string();
            assert!(help("--help").contains(&super::help(path)), "{path}");
            assert!(!help("-h").contains("Examples:"), "{path}");
        }
    }
}
