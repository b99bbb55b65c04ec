//! What a repair may not be, whoever says it.

use runner_prep::repair::pieces;

/// What of a command is a word in capitals, and no place that a reader has to fill in.
const MEANT: [&str; 4] = ["ALL", "CI_SERVER_TOKEN", "NOPASSWD", "TARGET"];

/// Commands of this program that look at no host.
const OF_NO_HOST: [&str; 5] = ["completions", "man", "profile", "schema", "template"];

/// The commands of a repair, in their order.
pub(crate) fn commands(repair: &str) -> Vec<String> {
    let whole = repair.replace("\\\n    ", "");
    let of_line = |line: &str| {
        let found = pieces(line).into_iter().filter(|(is_command, _)| *is_command);
        found.map(|(_, text)| text.trim_end_matches(';').to_owned()).collect::<Vec<_>>()
    };
    whole.lines().flat_map(of_line).collect()
}

/// What is wrong with a repair: something is left to fill in, or, said of this tree, it acts on the machine.
pub(crate) fn wrong_with(repair: &str, tree: Option<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_placeholder = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let last = word.rsplit(['-', '/', '=', ':']).next().unwrap_or_default();
        let is_capital = last.len() > 2 && last.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_capital && !MEANT.contains(&last)
    };
    // Texts in quotes are what a file is to say.
    let unquoted = |text: &str| text.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    for command in commands(repair) {
        let text = unquoted(&command);
        let variables = |word: &&str| !word.contains('=');
        wrong.extend(
            text.split_whitespace()
                .filter(variables)
                .filter(is_placeholder)
                .map(|word| format!("{word} is left to fill in")),
        );
        let parts =
            command.split(" && ").flat_map(|part| part.split(" || ")).flat_map(|part| part.split(" | "));
        let Some(tree) = tree else { continue };
        for part in parts {
            let is_variable = |word: &str| {
                word.split('=').next().is_some_and(|name| {
                    word.contains('=') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                })
            };
            let words: Vec<&str> = part
                .split_whitespace()
                .skip_while(|word| is_variable(word) || *word == "sudo" || word.starts_with("--preserve-env"))
                .filter(|word| !word.starts_with("--userspec="))
                .collect();
            match words[..] {
                ["chroot", at, ..] if at.trim_matches('\'') == tree => {
                    if part.matches(tree).count() > 1 {
                        wrong.push(format!("names the tree twice: {part}"));
                    }
                }
                ["runner-prep", command, ..] => {
                    if !part.contains(&format!("--root {tree}")) && !OF_NO_HOST.contains(&command) {
                        wrong.push(format!("is not for the tree: {part}"));
                    }
                }
                // What only says a text.
                ["echo" | "printf", ..] if !part.contains('>') => {}
                _ => wrong.push(format!("acts on the machine: {part}")),
            }
        }
    }
    let mut words = repair.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word.starts_with("--") && words.peek().is_some_and(is_placeholder) {
            wrong.push(format!("{word} {} is left to fill in", words.peek().unwrap_or(&"")));
        }
    }
    if repair.contains('…') {
        wrong.push("has a gap".to_owned());
    }
    wrong
}

/// True for a text with nothing where something was to be named.
pub(crate) fn has_gap(text: &str) -> bool {
    let gaps = ["()", "``", "''", "  (", " ,", ": ;", "only (", "[]"];
    text.lines().any(|line| gaps.iter().any(|gap| line.contains(gap)) || line.trim_start().contains("  "))
}
