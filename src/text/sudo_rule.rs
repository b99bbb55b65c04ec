//! One rule of a sudoers file, built of checked parts and rendered in the subset that sudo 1.8 to 1.9 and
//! sudo-rs read alike: ASCII, literal arguments, no alias, no tag but `NOPASSWD` (sudoers(5)).
//!
//! What can't be said in that subset can't be built, and the error says why. The name of the account that gets
//! the rule is the caller's to check.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// The characters that an argument may have beside letters and digits.
const PLAIN: &str = "._/@%+-";
/// The characters that stand for something in a sudoers file and need a backslash there, in every sudo.
const ESCAPED: &str = ",:=";

/// A program by its absolute path, free of all that means something in a sudoers file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^/[A-Za-z0-9._/+-]*[A-Za-z0-9._+-]$"))]
pub struct Program(String);

/// A program, perhaps with arguments; without them it may be called with any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^/"))]
pub struct CommandLine {
    program: Program,
    arguments: Vec<String>,
}

/// True for the name of an account or group that means nothing else in a sudoers file, as `ALL`, `#0`, `%group` and
/// `!name` do: `[a-z_][a-z0-9_-]*` with at most 32 characters.
pub fn is_account_name(name: &str) -> bool {
    let is_one = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(is_one)
}

/// Whose rights a command may be run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs<'a> {
    /// Anybody's: `(ALL)`.
    Anyone,
    /// One account's and those of the group of the same name: `(name:name)`.
    Account(&'a str),
}

/// A rule that lets an account run commands without a password.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// Who may.
    pub account: &'a str,
    /// As whom.
    pub run_as: RunAs<'a>,
    /// What.
    pub commands: &'a [CommandLine],
}

impl Program {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CommandLine {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The arguments, literal.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Program and arguments, as a process gets them.
    pub fn words(&self) -> Vec<String> {
        std::iter::once(&self.program.0).chain(&self.arguments).cloned().collect()
    }
}

impl From<Program> for CommandLine {
    fn from(program: Program) -> Self {
        Self { program, arguments: Vec::new() }
    }
}

impl TryFrom<String> for Program {
    type Error = String;
    fn try_from(path: String) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("the command {path:?} can't be in a sudo rule: {why}"));
        if !path.starts_with('/') {
            return refuse("it must be an absolute path");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
        if let Some(bad) = path.chars().find(|c| !allowed(*c)) {
            return refuse(&format!("{bad:?} is not allowed; letters, digits and ._/+- are"));
        }
        if path[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("it must name one file, without `..`, `.`, `//` or a `/` at its end");
        }
        Ok(Self(path))
    }
}

impl TryFrom<String> for CommandLine {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut words = text.split(' ');
        let program = Program::try_from(words.next().unwrap_or_default().to_owned())?;
        let arguments = words
            .map(|word| match unsafe_argument(word) {
                None => Ok(word.to_owned()),
                Some(why) => Err(format!("the command {text:?} can't be in a sudo rule: {why}")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { program, arguments })
    }
}

/// Why an argument can't be written such that every sudo reads it alike; `None` when it can.
fn unsafe_argument(word: &str) -> Option<String> {
    if word.is_empty() {
        return Some(
            "an argument is empty: put one space between two arguments, and none at the ends".to_owned(),
        );
    }
    let bad =
        word.chars().find(|c| !c.is_ascii_alphanumeric() && !PLAIN.contains(*c) && !ESCAPED.contains(*c))?;
    let why = match bad {
        '*' | '?' | '[' | ']' => {
            "a pattern matches spaces and slashes too, so it allows other arguments, and sudo-rs has none"
        }
        '^' | '$' => "sudo before 1.9.10 and sudo-rs have no regular expressions",
        '"' | '\'' => "sudo takes quotes literally; write the argument as the program gets it",
        '\\' => "what a backslash means differs between versions of sudo",
        '\n' | '\r' | '\0' => "a rule is one line",
        '#' => "it begins a comment",
        '!' | '(' | ')' => "it has a meaning of its own in a sudo rule",
        _ => "",
    };
    let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
    Some(format!("{bad:?} is not allowed in an argument{reason}"))
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.0)?;
        for argument in &self.arguments {
            f.write_str(" ")?;
            for c in argument.chars() {
                if ESCAPED.contains(c) {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// The line without its newline.
impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run_as = match self.run_as {
            RunAs::Anyone => "ALL".to_owned(),
            RunAs::Account(name) => format!("{name}:{name}"),
        };
        let commands: Vec<String> = self.commands.iter().map(ToString::to_string).collect();
        write!(f, "{} ALL=({run_as}) NOPASSWD: {}", self.account, commands.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(texts: &[&str]) -> Vec<CommandLine> {
        texts.iter().map(|text| CommandLine::try_from((*text).to_owned()).unwrap()).collect()
    }

    #[test]
    fn rules_are_rendered_as_sudoers_has_them() {
        let rsync = commands(&["/usr/bin/rsync"]);
        let rule = Rule { account: "gitlab-runner", run_as: RunAs::Anyone, commands: &rsync };
        assert_eq!(rule.to_string(), "gitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync");
        let both = commands(&["/usr/bin/rsync --chown=a:b x,y .", "/usr/bin/id"]);
        let rule = Rule { account: "ci", run_as: RunAs::Account("www"), commands: &both };
        assert_eq!(
            rule.to_string(),
            r"ci ALL=(www:www) NOPASSWD: /usr/bin/rsync --chown\=a\:b x\,y ., /usr/bin/id"
        );
    }

    #[test]
    fn what_sudoers_would_take_for_something_else_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "absolute"),
            ("rsync", "absolute"),
            ("ALL", "absolute"),
            ("/usr/bin/", "one file"),
            ("/usr/../bin/x", "one file"),
            ("/usr/bin//x", "one file"),
            ("/usr/bin/r*", "'*'"),
            ("/usr/bin/rsync,ALL", "','"),
            ("/usr/bin/rsync\nALL ALL=(ALL) ALL", "'\\n'"),
            ("/usr/bin/rsync *", "pattern"),
            ("/usr/bin/rsync a?", "pattern"),
            ("/usr/bin/rsync ^-a$", "regular expressions"),
            ("/usr/bin/rsync \"a b\"", "quotes"),
            ("/usr/bin/rsync a\\ b", "backslash"),
            ("/usr/bin/rsync a\nb", "one line"),
            ("/usr/bin/rsync a  b", "empty"),
            ("/usr/bin/rsync ", "empty"),
            ("/usr/bin/rsync a\tb", "'\\t'"),
            ("/usr/bin/rsync #x", "comment"),
            ("/usr/bin/rsync !x", "meaning"),
            ("/usr/bin/rsync é", "'é'"),
            ("/usr/bin/rsync a\0", "one line"),
            ("/usr/bin/rsync a;b", "';'"),
        ] {
            let said = CommandLine::try_from(text.to_owned()).unwrap_err();
            assert!(said.contains(reason), "{text:?}: {said}");
        }
    }
}
