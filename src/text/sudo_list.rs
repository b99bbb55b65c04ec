//! What `sudo -ll` prints, as rules in sudo's order: of original sudo and of sudo-rs.

use std::collections::BTreeMap;

use super::glob::matches;

/// One command of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedCommand {
    /// As whom: `ALL`, `root`, …
    pub run_as: Vec<String>,
    /// It says with which groups, too.
    pub with_groups: bool,
    /// True when sudo asks for no password.
    pub free: bool,
    /// Whether it asks is its own word (`PASSWD`, `NOPASSWD`), and no setting's.
    pub own_word: bool,
    /// The command as it stands in the rule.
    pub command: String,
    /// What shows its effect.
    pub shown_by: ShownBy,
    /// The file with the rule, where sudo says it (from 1.9.14 on).
    pub file: Option<String>,
}

/// What shows what a rule comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShownBy {
    /// Its own text.
    #[default]
    Text,
    /// A call: it holds at some times only.
    Call,
    /// A call that does its work: it runs the command elsewhere, or not to its end.
    WholeCall,
}

/// What stands between a rule and a command without a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SudoVerdict<'a> {
    /// No rule allows it.
    Unknown,
    /// This rule takes it away.
    Denied(&'a ListedCommand),
    /// This rule allows it, and sudo asks for a password.
    Asks(&'a ListedCommand),
    /// This rule allows it without a password.
    Free(&'a ListedCommand),
    /// Whether this rule decides is something that only sudo can tell.
    Unclear(&'a ListedCommand),
    /// This rule decides where the command has some arguments, and not with all.
    Partly(&'a ListedCommand),
}

/// A command that is asked about.
pub struct Question<'a> {
    /// As whom it is to run.
    pub run_as: &'a str,
    /// The program, an absolute path.
    pub program: &'a str,
    /// Its arguments, joined; `None` for any.
    pub arguments: Option<&'a str>,
    /// Whether two paths lead to the same file.
    pub same: &'a dyn Fn(&str, &str) -> bool,
}

/// What stands before the settings for some commands, or for some whom sudo becomes.
const SPECIAL: &str = "Runas and Command-specific defaults";

/// What stands before the rules: the settings that hold for the account, whatever it runs.
pub fn settings(text: &str) -> &str {
    let before = text.split("Sudoers entry:").next().unwrap_or_default();
    before.split(SPECIAL).next().unwrap_or_default()
}

/// The words of all other settings that may hold for this call. sudo begins a line anywhere between them.
pub fn special_words<'a>(text: &'a str, question: &Question<'_>) -> Vec<&'a str> {
    let before = text.split("Sudoers entry:").next().unwrap_or_default();
    let special = before.split_once(SPECIAL).map_or("", |(_, special)| special);
    let special = special.split("\nUser ").next().unwrap_or_default();
    let is_about = |settings: &&str| {
        let whom = settings.starts_with('>');
        settings.split([' ', '\t', '\n', ',']).any(|word| {
            let word = word.trim_start_matches(['>', '!']);
            let is_plain = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            let is_whom = word == question.run_as || !is_plain && !word.is_empty();
            if whom { is_whom } else { match_program(word, question) != About::No }
        })
    };
    let words = |settings: &'a str| settings.split([' ', '\t', '\n', ',']);
    special.split("Defaults").skip(1).filter(is_about).flat_map(words).collect()
}

/// The words of all settings that hold for this call, in the order in which sudo goes by them.
pub fn words<'a>(text: &'a str, question: &Question<'_>) -> Vec<&'a str> {
    let words = settings(text).split([' ', '\t', '\n', ',']);
    words.filter(|word| !word.is_empty()).chain(special_words(text, question)).collect()
}

/// Settings that may stop a command in its work, or have it done elsewhere, however well it begins.
const LIMITS: &str =
    "apparmor_profile command_timeout intercept limitprivs noexec privs role runchroot runcwd type";

/// One of these words that limits what a command can do; of two about the same the later one counts.
pub fn limit<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut limits = BTreeMap::new();
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let plain = name.trim_start_matches('!');
        let is_resource = plain.starts_with("rlimit_") && plain != "rlimit_core";
        if is_resource || LIMITS.split(' ').any(|limit| limit == plain) {
            let is_none = name != plain || ["infinity", "default", "user", "*"].contains(&value);
            limits.insert(plain, Some(word).filter(|_| !is_none));
        }
    }
    limits.into_values().flatten().next()
}

/// Read all rules: blocks that begin with `Sudoers entry:`.
pub fn entries(text: &str) -> Vec<ListedCommand> {
    let mut found = Vec::new();
    // What the password rule is where no rule says anything.
    let free = is_free_after(false, settings(text));
    let mut block: Option<ListedCommand> = None;
    let mut in_commands = false;
    for line in text.lines() {
        let word = line.trim();
        if let Some(file) = word.strip_prefix("Sudoers entry:") {
            let file = Some(file.trim().to_owned()).filter(|file| !file.is_empty());
            block = Some(ListedCommand { free, file, ..ListedCommand::default() });
            in_commands = false;
            continue;
        }
        let Some(entry) = &mut block else { continue };
        let list = |words: &str| words.split(',').map(|word| word.trim().to_owned()).collect();
        if let Some(users) = word.strip_prefix("RunAsUsers:") {
            entry.run_as = list(users);
        } else if let Some(options) = word.strip_prefix("Options:") {
            entry.free = is_free_after(entry.free, options);
            entry.own_word = options.split(',').any(|option| option.trim().ends_with("authenticate"));
            if limit(options.split([',', ' '])).is_some() {
                entry.shown_by = ShownBy::WholeCall;
            }
        } else if word == "Commands:" {
            in_commands = true;
        } else if word.starts_with("Matched:") {
            in_commands = false;
        } else if in_commands && !word.is_empty() {
            found.push(ListedCommand { command: word.to_owned(), ..entry.clone() });
        } else if word.starts_with("RunAsGroups:") {
            entry.with_groups = true;
        } else if !in_commands && !word.is_empty() {
            // Where it is done, for how long, when.
            let by = if word.starts_with("Not") { ShownBy::Call } else { ShownBy::WholeCall };
            entry.shown_by = entry.shown_by.max(by);
        }
    }
    found
}

/// Whether sudo asks for no password after these settings, where that was so before them or not: each later one wins.
fn is_free_after(free: bool, settings: &str) -> bool {
    settings.split([',', '\n']).map(str::trim).fold(free, |free, setting| match setting {
        "authenticate" => false,
        "!authenticate" => true,
        _ => free,
    })
}

/// What the rules say of a command: the last one about it counts.
pub fn verdict<'a>(entries: &'a [ListedCommand], question: &Question<'_>) -> SudoVerdict<'a> {
    let mut unclear = None;
    for entry in entries.iter().rev() {
        let about = match (entry.lets_become(question.run_as), entry.about(question)) {
            (Some(false), _) | (_, About::No) => continue,
            (None, About::Yes) => About::Maybe,
            (_, about) => about,
        };
        let decides = if entry.command.starts_with('!') {
            SudoVerdict::Denied(entry)
        } else if entry.free {
            SudoVerdict::Free(entry)
        } else {
            SudoVerdict::Asks(entry)
        };
        let is_free = matches!(decides, SudoVerdict::Free(_));
        if about == About::Yes {
            // What says the same as the rule behind it changes nothing.
            return unclear.filter(|(free, _)| *free != is_free).map_or(decides, |(_, verdict)| verdict);
        }
        let doubt =
            if about == About::Partly { SudoVerdict::Partly(entry) } else { SudoVerdict::Unclear(entry) };
        // One doubt that something is taken away is enough.
        if unclear.is_none_or(|(free, _)| free && !is_free) {
            unclear = Some((is_free, doubt));
        }
    }
    // With some arguments it may be allowed.
    unclear.filter(|(free, _)| *free).map_or(SudoVerdict::Unknown, |(_, verdict)| verdict)
}

/// Whether a rule is about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Yes,
    No,
    Maybe,
    Partly,
}

impl ListedCommand {
    /// The program and what the rule says of its arguments, backslashes removed; the program alone where any
    /// arguments will do.
    pub fn words(&self) -> (String, Option<String>) {
        split(&self.command)
    }

    fn about(&self, question: &Question<'_>) -> About {
        let command = self.command.trim_start_matches('!');
        // `sha224:…` before a command, or several: it is meant only where the file has these bytes.
        let is_digest = |word: &&str| word.starts_with("sha");
        let bare = command.split_inclusive(' ').skip_while(is_digest).collect::<String>();
        let has_digest = bare != command;
        let (program, arguments) = split(&bare);
        let by_program = match_program(&program, question);
        let by_arguments = match (arguments.as_deref(), question.arguments) {
            (None, _) | (Some("\"\""), Some("")) => About::Yes,
            (Some(_), None) => About::Partly,
            (Some("\"\""), Some(_)) => About::No,
            (Some(given), Some(wanted)) if given == wanted => About::Yes,
            (Some(given), Some(_)) if is_pattern(given) => About::Maybe,
            _ => About::No,
        };
        match (by_program, by_arguments) {
            (About::No, _) | (_, About::No) => About::No,
            (About::Yes, About::Yes) if has_digest => About::Maybe,
            (About::Yes, about) | (about, _) => about,
        }
    }

    /// Whether it lets the account become this one; `None` where only sudo can tell. Without a list it is root that
    /// sudo becomes.
    pub fn lets_become(&self, account: &str) -> Option<bool> {
        let mut lets = self.run_as.is_empty() && account == "root";
        for user in &self.run_as {
            let (name, allows) = user.strip_prefix('!').map_or((user.as_str(), true), |name| (name, false));
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            if name == "ALL" || name == account || (name == "#0" && account == "root") {
                lets = allows;
            } else if !is_name && !name.is_empty() {
                return None;
            }
        }
        Some(lets)
    }
}

/// A program and what the rule says of its arguments, backslashes removed.
fn split(command: &str) -> (String, Option<String>) {
    let is_expression = command.starts_with('^');
    let plain = |text: &str| if is_expression { text.to_owned() } else { text.replace('\\', "") };
    match command.split_once(' ') {
        Some((program, arguments)) => (plain(program), Some(arguments.trim().replace('\\', ""))),
        None => (plain(command), None),
    }
}

/// Whether a word of a rule may stand for several.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[']) || text.starts_with('^')
}

/// Whether a program of a rule is the wanted one: by its path, by its directory, by a pattern, or by another path
/// to the same file.
fn match_program(program: &str, question: &Question<'_>) -> About {
    let wanted = question.program;
    let yes = |is_it: bool| if is_it { About::Yes } else { About::No };
    let Some((directory, name)) = wanted.rsplit_once('/') else { return About::Maybe };
    if let Some(expression) = program.strip_prefix('^') {
        return match_expression(expression, wanted);
    }
    if program == "ALL" || program == wanted {
        return About::Yes;
    }
    // `list`, `sudoedit`.
    let Some((above, last)) = program.rsplit_once('/') else { return About::No };
    if is_pattern(program) {
        // Classes by name are no ranges of letters, and braces none at all.
        let is_plain = !program.contains("[:") && !program.contains(['{', '}']);
        let by_name = matches(last, name).filter(|_| is_plain && !last.is_empty());
        return match (matches(program, wanted).filter(|_| is_plain), by_name) {
            (Some(true), _) => About::Yes,
            (_, Some(false)) => About::No,
            (_, Some(true)) if !is_pattern(above) => yes((question.same)(&format!("{above}/{name}"), wanted)),
            _ => About::Maybe,
        };
    }
    if last.is_empty() {
        return yes(above == directory || (question.same)(&format!("{above}/{name}"), wanted));
    }
    yes(last == name && (question.same)(program, wanted))
}

/// An expression behind its `^`: plain letters, then anything or the end. Of others only sudo can tell, unless
/// their plain beginning is another one.
fn match_expression(expression: &str, wanted: &str) -> About {
    let end =
        expression.find(['.', '*', '[', '(', '\\', '?', '+', '{', '|', '$']).unwrap_or(expression.len());
    let (begin, rest) = expression.split_at(end);
    match rest {
        "$" if begin == wanted => About::Yes,
        ".*$" if wanted.starts_with(begin) => About::Yes,
        _ if expression.contains('|') => About::Maybe,
        _ => {
            // The last letter may be there many times, or not at all.
            let begin = if rest.starts_with(['*', '?', '{']) {
                &begin[..begin.len().saturating_sub(1)]
            } else {
                begin
            };
            if wanted.starts_with(begin) && rest != "$" { About::Maybe } else { About::No }
        }
    }
}

#[cfg(test)]
mod tests;
