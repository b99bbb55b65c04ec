//! The lines of a sudoers file, told apart: sudoers(5), "SUDOERS FILE FORMAT".

use std::path::Path;

use super::sudo_include::{Include, include};

/// A line, joined with those that it goes on with behind a `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoLine {
    /// The number of its first line in the file, from 1.
    pub first: usize,
    /// The number of its last one.
    pub last: usize,
    /// What it says, without blanks at the ends.
    pub text: String,
}

/// What a line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKind {
    /// Reads other files.
    Include(Include),
    /// Changes settings.
    Defaults(Defaults),
    /// Says who may do what.
    Rule,
    /// A comment, an alias, or nothing.
    Other,
}

/// A `Defaults` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Users that it is for; `None` for everybody. A host, a command or who is become stands as it is written.
    whom: Option<Vec<String>>,
    /// Names, with their values where they have one; a name that is switched off begins with `!`.
    pub settings: Vec<(String, Option<String>)>,
}

/// All lines of a file.
pub fn lines(text: &str) -> Vec<SudoLine> {
    let mut found: Vec<SudoLine> = Vec::new();
    let mut goes_on = false;
    for (index, written) in text.lines().enumerate() {
        let (text, more) = match written.strip_suffix('\\') {
            Some(text) if goes_on || !is_comment(written.trim_start()) => (text, true),
            _ => (written, false),
        };
        match found.last_mut().filter(|_| goes_on) {
            Some(line) => {
                line.text.push_str(text);
                line.last = index + 1;
            }
            None => found.push(SudoLine { first: index + 1, last: index + 1, text: text.to_owned() }),
        }
        goes_on = more;
    }
    for line in &mut found {
        line.text = line.text.trim_matches([' ', '\t']).to_owned();
    }
    found
}

/// `#include` is none, and neither is `#` before a number: that is a user id (sudoers(5), "Other special
/// characters").
pub fn is_comment(line: &str) -> bool {
    let is_rule = |rest: &str| {
        rest.starts_with("include") || rest.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    line.strip_prefix('#').is_some_and(|rest| !is_rule(rest))
}

impl SudoLine {
    /// What the line of a file in the directory `beside` is for.
    pub fn kind(&self, beside: &Path) -> LineKind {
        const ALIASES: [&str; 5] = ["User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias"];
        let line = self.text.as_str();
        if let Some(found) = include(line, beside) {
            return LineKind::Include(found);
        }
        let is_alias = |name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '\t']));
        if line.is_empty() || is_comment(line) || ALIASES.into_iter().any(is_alias) {
            return LineKind::Other;
        }
        let rest = line.strip_prefix("Defaults");
        match rest.filter(|rest| rest.starts_with([' ', '\t', ':', '@', '>', '!'])) {
            Some(rest) => LineKind::Defaults(Defaults::parse(rest)),
            None => LineKind::Rule,
        }
    }

    /// Whether a rule has no form that sudo reads, at a glance: only `visudo` knows.
    pub fn looks_odd(&self) -> bool {
        let Some((users, commands)) = self.text.split_once('=') else { return true };
        let count = |sign| commands.matches(sign).count();
        users.split_whitespace().count() < 2 || commands.trim().is_empty() || count('(') != count(')')
    }

    /// Whether a rule may be about the account: false where it names other accounts alone.
    pub fn may_be_about(&self, account: &str) -> bool {
        let (users, _) = self.text.split_once('=').unwrap_or((&self.text, ""));
        let mut users: Vec<&str> = users.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
        // The last word is a host.
        users.pop();
        users.is_empty() || users.into_iter().any(|user| is_for(user, account) != Some(false))
    }
}

impl Defaults {
    fn parse(rest: &str) -> Self {
        if rest.starts_with([' ', '\t']) {
            return Self { whom: None, settings: settings(rest) };
        }
        let (kind, mut rest) = rest.split_at(1);
        let mut whom = Vec::new();
        loop {
            rest = rest.trim_start();
            let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (user, behind) =
                quoted.unwrap_or_else(|| rest.split_at(rest.find([' ', '\t', ',']).unwrap_or(rest.len())));
            // Only lists of users are taken apart.
            whom.push(if kind == ":" { user.to_owned() } else { format!("{kind}{user}") });
            rest = behind.trim_start();
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Self { whom: Some(whom), settings: settings(rest) },
            }
        }
    }

    /// Whether it holds for the account; `None` where only sudo can tell.
    pub fn holds_for(&self, account: &str) -> Option<bool> {
        let Some(whom) = &self.whom else { return Some(true) };
        whom.iter().try_fold(false, |holds, user| Some(holds | is_for(user, account)?))
    }
}

/// Settings that decide nothing about whether a command runs, sudoers(5).
const HARMLESS: &str = "always_set_home authenticate badpass_message closefrom closefrom_override cmddenial_message \
    compress_io editor env_check env_delete env_editor env_file env_keep env_reset exec_background fqdn \
    ignore_dot insults lecture lecture_file lecture_status_dir listpw log_format log_host log_year \
    logfile loglinelen long_otp_prompt match_group_by_gid passprompt passprompt_override passwd_timeout \
    passwd_tries path_info preserve_groups pwfeedback restricted_env_file root_sudo rootpw runaspw \
    set_home set_logname setenv targetpw timestampdir tty_tickets umask use_pty verifypw visiblepw";

/// The beginnings of more of them.
const HARMLESS_KINDS: [&str; 6] = ["log_allowed", "log_denied", "mail", "sudoedit", "syslog", "timestamp_"];

/// Whether a setting decides nothing about whether a command runs that a rule allows without a password.
pub fn is_harmless(setting: &str) -> bool {
    HARMLESS.split(' ').any(|word| word == setting)
        || HARMLESS_KINDS.iter().any(|kind| setting.starts_with(kind))
}

/// Whether a word of a list of users means the account; `None` for a group, an alias, a number, a negation.
fn is_for(user: &str, account: &str) -> Option<bool> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    match user {
        "ALL" => Some(true),
        _ if user == account => Some(true),
        _ if user.chars().all(is_plain) => Some(false),
        _ => None,
    }
}

fn settings(line: &str) -> Vec<(String, Option<String>)> {
    let (mut found, mut name, mut value) = (Vec::new(), String::new(), None::<String>);
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let has_value = value.is_some();
        let into = value.as_mut().unwrap_or(&mut name);
        match letter {
            '"' => quoted = !quoted,
            '\\' => into.extend(letters.next()),
            _ if quoted => into.push(letter),
            ',' => found.push((std::mem::take(&mut name), value.take())),
            '#' => break,
            '=' if !has_value => value = Some(String::new()),
            letter if letter.is_whitespace() => {}
            letter => into.push(letter),
        }
    }
    found.push((name, value));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(text: &str) -> Vec<Defaults> {
        let of = |line: &SudoLine| match line.kind(Path::new("/etc")) {
            LineKind::Defaults(found) => Some(found),
            _ => None,
        };
        lines(text).iter().filter_map(of).collect()
    }

    #[test]
    fn a_setting_is_found_however_it_is_written() {
        for text in [
            "Defaults secure_path=\"/a:/b\"\n",
            "Defaults\tsecure_path = /a:/b\n",
            "  Defaults secure_path=\"/a:/b\" # ours\n",
            "Defaults secure_path=/a:/b# ours\n",
            "Defaults secure_path=\"/a:/b\", env_reset\n",
            "Defaults env_reset, mail_badpass,secure_path=/a\\:/b,!lecture\n",
            "Defaults badpass_message=\"no, \\\"=\", secure_path=\"/a:/b\"\n",
            "Defaults \\\n  secure_path=\\\n\"/a:/b\"\n",
            "Defaults:root, ci secure_path=/a:/b\n",
            "Defaults : \"root\" ,\tci secure_path=/a:/b\n",
            "Defaults:root,ci secure_path=/a:/b\n# Defaults secure_path=/x\nDefaultsx secure_path=/x\n",
        ] {
            let text = text.replace("Defaults :", "Defaults:");
            let found = defaults(&text);
            let value = ("secure_path".to_owned(), Some("/a:/b".to_owned()));
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].settings.contains(&value), "{text}: {found:?}");
            assert_eq!(found[0].holds_for("ci"), Some(true), "{text}");
        }
    }

    #[test]
    fn whom_a_setting_is_for() {
        for (text, expected) in [
            ("Defaults:ci x", Some(true)),
            ("Defaults:ALL x", Some(true)),
            ("Defaults:\"ci\" x", Some(true)),
            ("Defaults:a, b x", Some(false)),
            ("Defaults:CIS x", None),
            ("Defaults:%ci x", None),
            ("Defaults:#998 x", None),
            ("Defaults:ALL,!ci x", None),
            ("Defaults@host x", None),
            ("Defaults>root x", None),
            ("Defaults!/bin/sh x", None),
        ] {
            assert_eq!(defaults(text)[0].holds_for("ci"), expected, "{text}");
        }
    }

    #[test]
    fn rules_are_told_from_the_rest() {
        let text = "# x \\\nci ALL=(ALL) \\\n  ALL\nUser_Alias A = ci\n#998 ALL = ALL\n@include x\n\n";
        let found: Vec<(usize, usize)> = lines(text)
            .iter()
            .filter(|line| line.kind(Path::new("/")) == LineKind::Rule)
            .map(|line| (line.first, line.last))
            .collect();
        assert_eq!(found, [(2, 3), (5, 5)]);
        let about = |text: &str| lines(text)[0].may_be_about("ci");
        for text in
            ["ci ALL=ALL", "a, ci h = ALL", "%ci ALL=ALL", "#9 ALL=ALL", "A ALL=ALL", "ALL ALL=ALL", "?"]
        {
            assert!(about(text), "{text}");
        }
        for text in ["root ALL=(ALL:ALL) ALL", "a, b ALL=ALL", "ci2 ALL=(ci) ALL"] {
            assert!(!about(text), "{text}");
        }
    }
}
