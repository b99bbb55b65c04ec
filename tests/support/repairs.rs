//! What a repair may not be, whoever says it.

use runner_prep::repair::Repair;

/// Programs that repairs name. What follows one is a command, for copying.
const PROGRAMS: &str = "apk apt-get bash cat chage chattr chgrp chmod chown chroot command cp curl df diff dmesg dnf docker du echo find \
    findmnt free fuser getent git gitlab-runner glab gpasswd groupadd groupmod id install journalctl ln ls \
    lsattr microdnf mkdir modprobe mount mv namei pacman printf ps pwconv rc-service rc-update rm runner-prep sed setfacl sh sleep ssh \
    ssh-keygen ssh-keyscan su sudo systemctl touch truncate umount uname useradd userdel usermod visudo yum zypper";

/// Those of them that a sentence can begin with, too.
const WORDS: [&str; 8] = ["command", "docker", "echo", "find", "git", "install", "mount", "ssh"];

/// What of a command is a word in capitals, and no place that a reader has to fill in.
const MEANT: [&str; 4] = ["ALL", "CI_SERVER_TOKEN", "NOPASSWD", "TARGET"];

/// Commands of this program that look at no host.
const OF_NO_HOST: [&str; 5] = ["completions", "man", "profile", "schema", "template"];

/// The commands of a repair, in their order, as a person finds them who reads it.
pub(crate) fn commands(repair: &str) -> Vec<String> {
    let whole = repair.replace("\\\n    ", "");
    let of_line = |line: &str| {
        let found = pieces(line).into_iter().filter(|(is_command, _)| *is_command);
        found.map(|(_, text)| text.trim_end_matches(';').to_owned()).collect::<Vec<_>>()
    };
    whole.lines().flat_map(of_line).collect()
}

fn is_program(word: &str) -> bool {
    PROGRAMS.split(' ').any(|program| program == word)
}

/// `NAME=value`.
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Words, and whole commands: one begins with a program's name after a colon or a semicolon, or where the line does, and
/// ends at a semicolon. True for commands.
fn pieces(line: &str) -> Vec<(bool, &str)> {
    let (mut found, mut rest): (Vec<(bool, &str)>, _) = (Vec::new(), line);
    while !rest.is_empty() {
        let word = rest.find(' ').unwrap_or(rest.len());
        let may_begin = found.last().is_none_or(|(_, before)| before.ends_with([':', ';']));
        // `install it: …` is not a command, `install -d …` is one.
        let is_prose = found.is_empty()
            && WORDS.contains(&&rest[..word])
            && !rest[word..].trim_start().starts_with(['-', '/', '+'])
            && !rest
                .strip_prefix("command ")
                .is_some_and(|rest| is_program(rest.split(' ').next().unwrap_or_default()));
        let is_called = is_program(&rest[..word]) || is_variable(&rest[..word]);
        let is_command = may_begin && is_called && !is_prose;
        let end = if is_command { rest.find("; ").map_or(rest.len(), |at| at + 1) } else { word };
        found.push((is_command, &rest[..end]));
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

/// The same repair in its author's words.
pub(crate) fn read(repair: &str) -> Repair {
    let of_line = |line: &str| {
        // A further line of a longer command.
        if line.starts_with(' ') {
            return line.to_owned();
        }
        let piece =
            |(is_command, text): (bool, &str)| if is_command { format!("$ {text}") } else { text.to_owned() };
        pieces(line).into_iter().map(piece).collect::<Vec<_>>().join(" ")
    };
    let words: String = repair.split('\n').map(of_line).collect::<Vec<_>>().join("\n");
    Repair::from(&*words.leak())
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
