//! What `sudo -ll -U ACCOUNT` prints, as rules in sudo's order: of original sudo and of sudo-rs.

/// One command of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// As whom: `ALL`, `root`, …
    pub run_as: Vec<String>,
    /// True when sudo asks for no password.
    pub free: bool,
    /// The command as it stands in the rule.
    pub command: String,
    /// The file with the rule, where sudo says it (from 1.9.14 on).
    pub file: Option<String>,
}

/// What stands between a rule and a command without a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule allows it.
    Unknown,
    /// This rule takes it away.
    Denied(&'a Entry),
    /// This rule allows it, and sudo asks for a password.
    Asks(&'a Entry),
    /// This rule allows it without a password.
    Free(&'a Entry),
}

/// Read all rules: blocks that begin with `Sudoers entry:`.
#[must_use]
pub fn entries(text: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut block: Option<Entry> = None;
    let mut in_commands = false;
    // What the password rule is where no rule says anything.
    let mut free = false;
    for line in text.lines() {
        let word = line.trim();
        if let Some(file) = word.strip_prefix("Sudoers entry:") {
            let file = Some(file.trim().to_owned()).filter(|file| !file.is_empty());
            block = Some(Entry { free, file, ..Entry::default() });
            in_commands = false;
            continue;
        }
        let Some(entry) = &mut block else {
            // The settings that hold for the account; each later one wins.
            for setting in word.split(',').map(str::trim) {
                free = (free && setting != "authenticate") || setting == "!authenticate";
            }
            continue;
        };
        let list = |words: &str| words.split(',').map(|word| word.trim().to_owned()).collect();
        if let Some(users) = word.strip_prefix("RunAsUsers:") {
            entry.run_as = list(users);
        } else if let Some(options) = word.strip_prefix("Options:") {
            for option in options.split(',').map(str::trim) {
                entry.free = (entry.free && option != "authenticate") || option == "!authenticate";
            }
        } else if word == "Commands:" {
            in_commands = true;
        } else if in_commands && !word.is_empty() {
            found.push(Entry { command: word.to_owned(), ..entry.clone() });
        }
    }
    found
}

/// What the rules say of a command line: the last one about it counts.
#[must_use]
pub fn verdict<'a>(entries: &'a [Entry], run_as: &str, wanted: &str) -> Verdict<'a> {
    let about = |entry: &&Entry| entry.lets_become(run_as) && entry.is_about(wanted);
    match entries.iter().rev().find(about) {
        None => Verdict::Unknown,
        Some(entry) if entry.command.starts_with('!') => Verdict::Denied(entry),
        Some(entry) if entry.free => Verdict::Free(entry),
        Some(entry) => Verdict::Asks(entry),
    }
}

impl Entry {
    /// The program and what the rule says of its arguments, backslashes removed; the program alone where any
    /// arguments will do.
    #[must_use]
    pub fn words(&self) -> (String, Option<String>) {
        let command = self.command.replace('\\', "");
        match command.split_once(' ') {
            Some((program, arguments)) => (program.to_owned(), Some(arguments.trim().to_owned())),
            None => (command, None),
        }
    }

    /// True when the rule is about this command: the program with any arguments, or with these.
    fn is_about(&self, wanted: &str) -> bool {
        let command = self.command.trim_start_matches('!').replace('\\', "");
        let program = wanted.split(' ').next().unwrap_or(wanted);
        let is_in = |directory| program.rsplit_once('/').is_some_and(|(above, _)| above == directory);
        let same = command == "ALL" || command == program || command == wanted;
        same || command.strip_suffix('/').is_some_and(is_in)
    }

    /// True when it lets the account become this one. Without a list it is root that sudo becomes.
    #[must_use]
    pub fn lets_become(&self, account: &str) -> bool {
        let is_it = |user: &String| user == "ALL" || user == account;
        self.run_as.iter().any(is_it) || (self.run_as.is_empty() && account == "root")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
Matching Defaults entries for ci on host:
    env_reset, secure_path=/usr/bin\\:/bin, use_pty

User ci may run the following commands on host:

Sudoers entry: /etc/sudoers.d/gitlab-runner
    RunAsUsers: ALL
    Options: !authenticate
    Commands:
\t/usr/bin/rsync

Sudoers entry:
    RunAsUsers: www, deploy
    RunAsGroups: www
    Options: setenv, !authenticate
    Commands:
\t/usr/bin/rsync --chown\\=a\\:b .
\t/opt/bin/

Sudoers entry: /etc/sudoers.d/zz
    RunAsUsers: root
    Commands:
\t/usr/bin/id
\t!/usr/bin/rsync
";

    #[test]
    fn blocks_become_entries() {
        let found = entries(LISTED);
        let shown: Vec<(&str, bool, Option<&str>)> =
            found.iter().map(|entry| (entry.command.as_str(), entry.free, entry.file.as_deref())).collect();
        let (ours, theirs) = (Some("/etc/sudoers.d/gitlab-runner"), Some("/etc/sudoers.d/zz"));
        assert_eq!(
            shown,
            [
                ("/usr/bin/rsync", true, ours),
                ("/usr/bin/rsync --chown\\=a\\:b .", true, None),
                ("/opt/bin/", true, None),
                ("/usr/bin/id", false, theirs),
                ("!/usr/bin/rsync", false, theirs),
            ]
        );
    }

    #[test]
    fn the_last_rule_about_a_command_counts() {
        let found = entries(LISTED);
        assert_eq!(verdict(&found, "root", "/usr/bin/rsync"), Verdict::Denied(&found[4]));
        assert_eq!(verdict(&found, "nobody", "/usr/bin/rsync"), Verdict::Free(&found[0]));
        assert_eq!(verdict(&found, "www", "/usr/bin/rsync --chown=a:b ."), Verdict::Free(&found[1]));
        assert_eq!(verdict(&found, "deploy", "/opt/bin/x"), Verdict::Free(&found[2]));
        assert_eq!(verdict(&found, "deploy", "/opt/bin/x/y"), Verdict::Unknown);
        assert_eq!(verdict(&found, "root", "/usr/bin/id"), Verdict::Asks(&found[3]));
        assert_eq!(verdict(&found, "www", "/usr/bin/id"), Verdict::Unknown);
    }

    #[test]
    fn a_setting_for_all_rules_counts_where_no_rule_says_more() {
        let text = "Matching Defaults entries for ci on host:\n    !authenticate\n\nSudoers entry:\n    \
                    RunAsUsers: root\n    Commands:\n\tALL\n\nSudoers entry:\n    RunAsUsers: root\n    \
                    Options: authenticate\n    Commands:\n\t/bin/a\n";
        let free: Vec<bool> = entries(text).iter().map(|entry| entry.free).collect();
        assert_eq!(free, [true, false]);
    }

    #[test]
    fn other_text_holds_no_rule() {
        assert_eq!(entries("User ci is not allowed to run sudo on host.\n"), []);
        assert_eq!(entries(""), []);
    }
}
