//! What `sudo -l -U ACCOUNT` prints, as rules: pure.

/// One command of a rule, in sudo's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// As whom, as sudo writes it: `ALL`, `root`, `ALL : ALL`.
    pub(super) run_as: String,
    /// True when sudo asks for no password.
    pub(super) free: bool,
    /// The command as it stands in the rule.
    pub(super) command: String,
}

/// Words before a command that are tags, not part of it.
const TAGS: [&str; 14] = [
    "NOPASSWD",
    "PASSWD",
    "NOEXEC",
    "EXEC",
    "SETENV",
    "NOSETENV",
    "LOG_INPUT",
    "NOLOG_INPUT",
    "LOG_OUTPUT",
    "NOLOG_OUTPUT",
    "MAIL",
    "NOMAIL",
    "FOLLOW",
    "NOFOLLOW",
];

/// Read all rules: lines that begin with `    (RUNAS) `, continued on lines that are indented deeper.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut rules: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if indent > 0 && line.starts_with('(') {
            rules.push(line.to_owned());
            inside = true;
        } else if inside && indent > 4 {
            if let Some(rule) = rules.last_mut() {
                rule.push(' ');
                rule.push_str(line);
            }
        } else {
            inside = false;
        }
    }
    rules.iter().filter_map(|rule| rule[1..].split_once(')')).flat_map(rule).collect()
}

/// The commands of one rule. A tag holds for the commands after it, too (sudoers(5), `Tag_Spec`).
fn rule((run_as, commands): (&str, &str)) -> Vec<Entry> {
    let mut free = false;
    let mut found = Vec::new();
    for part in split(commands) {
        let mut command = part.as_str();
        while let Some((tag, rest)) = command.split_once(':') {
            let tag = tag.trim();
            if !TAGS.contains(&tag) {
                break;
            }
            free = (free && tag != "PASSWD") || tag == "NOPASSWD";
            command = rest.trim_start();
        }
        found.push(Entry { run_as: run_as.trim().to_owned(), free, command: command.trim().to_owned() });
    }
    found
}

/// At commas that no backslash takes the meaning of.
fn split(commands: &str) -> Vec<String> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for c in commands.chars() {
        if c == ',' && !escaped {
            parts.push(std::mem::take(&mut part).trim().to_owned());
        } else {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(part.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    parts
}

impl Entry {
    /// True when the rule is about this command: the program with any arguments, or with these.
    pub(super) fn is_about(&self, wanted: &str) -> bool {
        let command = self.command.trim_start_matches('!');
        let program = wanted.split(' ').next().unwrap_or(wanted);
        let directory = command.strip_suffix('/');
        let is_in = |directory| program.rsplit_once('/').is_some_and(|(above, _)| above == directory);
        command == "ALL" || command == program || command == wanted || directory.is_some_and(is_in)
    }

    /// True when it lets the account become this one.
    pub(super) fn lets_become(&self, account: &str) -> bool {
        let users = self.run_as.split(':').next().unwrap_or_default();
        users.split(',').map(str::trim).any(|user| user == "ALL" || user == account)
    }

    /// True when it takes the right away.
    pub(super) fn denies(&self) -> bool {
        self.command.starts_with('!')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_hold_until_the_opposite_and_lines_go_on() {
        let text = "Matching Defaults entries for ci on host:\n    env_reset, secure_path=/usr/bin\\:/bin\n\n\
                    User ci may run the following commands on host:\n    \
                    (ALL) NOPASSWD: /usr/bin/rsync, /usr/bin/a b\\, c, PASSWD:\n        /usr/bin/d\n    \
                    (root : root) SETENV: NOPASSWD: /opt/bin/\n    (ALL : ALL) !/usr/bin/rsync\n";
        let found = entries(text);
        let shown: Vec<(&str, bool, &str)> =
            found.iter().map(|entry| (entry.run_as.as_str(), entry.free, entry.command.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("ALL", true, "/usr/bin/rsync"),
                ("ALL", true, "/usr/bin/a b\\, c"),
                ("ALL", false, "/usr/bin/d"),
                ("root : root", true, "/opt/bin/"),
                ("ALL : ALL", false, "!/usr/bin/rsync"),
            ]
        );
        let about: Vec<bool> = found.iter().map(|entry| entry.is_about("/usr/bin/rsync")).collect();
        assert_eq!(about, [true, false, false, false, true]);
        assert!(found[3].is_about("/opt/bin/x") && !found[3].is_about("/opt/bin/x/y"));
        assert!(found[4].denies());
        assert!(found[1].is_about("/usr/bin/a b\\, c") && !found[1].is_about("/usr/bin/a"));
        assert!(found[3].lets_become("root") && !found[3].lets_become("www") && found[0].lets_become("www"));
    }

    #[test]
    fn other_text_holds_no_rule() {
        assert_eq!(entries("User ci is not allowed to run sudo on host.\n"), []);
        assert_eq!(entries(""), []);
    }
}
