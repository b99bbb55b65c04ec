//! What `Defaults` lines make of `secure_path`: sudoers(5), "Defaults" and "Other special characters and reserved words".

use std::borrow::Cow;

/// Where sudo looks for the programs of one account, as the lines read so far have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurePath {
    of_all: Option<String>,
    of_account: Option<String>,
}

impl SecurePath {
    /// The value that counts: of the account's own lines the last one, else of those for everybody. `None` where it is not
    /// set, or switched off.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.of_account.as_deref().or(self.of_all.as_deref()).filter(|value| !value.is_empty())
    }

    /// Take a line, joined with those that go on with it ([`joined`]).
    pub fn take(&mut self, line: &str, account: &str) {
        let Some(rest) = line.trim_start().strip_prefix("Defaults") else { return };
        let (target, rest) = match rest.strip_prefix(':') {
            Some(rest) => {
                let (users, rest) = rest.trim_start().split_once([' ', '\t']).unwrap_or_default();
                if !users.split(',').any(|user| user == account || user == "ALL") {
                    return;
                }
                (&mut self.of_account, rest)
            }
            None if rest.starts_with([' ', '\t']) => (&mut self.of_all, rest),
            // For a host, a command or what is run as.
            None => return,
        };
        for (name, value) in settings(rest) {
            match name.as_str() {
                "secure_path" => *target = value,
                "!secure_path" => *target = Some(String::new()),
                _ => {}
            }
        }
    }
}

/// The lines of a file; of `Defaults` also what goes on behind a `\` at the end of a line.
pub fn joined(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut line = Cow::Borrowed(lines.next()?);
        while line.ends_with('\\') && line.trim_start().starts_with("Defaults") {
            let whole = line.to_mut();
            whole.pop();
            whole.push_str(lines.next().unwrap_or_default());
        }
        Some(line)
    })
}

/// The names of a line, with their values where they have one.
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

    fn of(text: &str) -> Option<String> {
        let mut path = SecurePath::default();
        joined(text).for_each(|line| path.take(&line, "ci"));
        path.value().map(str::to_owned)
    }

    #[test]
    fn the_last_value_counts_however_it_is_written() {
        for text in [
            "Defaults secure_path=\"/a:/b\"\n",
            "Defaults\tsecure_path = /a:/b\n",
            "  Defaults secure_path=\"/a:/b\" # ours\n",
            "Defaults secure_path=/a:/b# ours\n",
            "Defaults secure_path=\"/a:/b\", env_reset\n",
            "Defaults env_reset, mail_badpass,secure_path=/a\\:/b,!lecture\n",
            "Defaults badpass_message=\"no, \\\"=\", secure_path=\"/a:/b\"\n",
            "Defaults \\\n  secure_path=\\\n\"/a:/b\"\n",
            "Defaults secure_path=\"/x\"\nDefaults secure_path=\"/a:/b\"\n",
            "Defaults:ci secure_path=/a:/b\nDefaults secure_path=/x\n",
            "Defaults:root,ci secure_path=/a:/b\n",
            "Defaults secure_path=/a:/b\nDefaults:root secure_path=/x\nDefaults@host secure_path=/x\n",
            "Defaults secure_path=/a:/b\n# Defaults secure_path=/x\nDefaultsx secure_path=/x\n",
        ] {
            assert_eq!(of(text).as_deref(), Some("/a:/b"), "{text}");
        }
        for text in
            ["", "Defaults !secure_path\n", "Defaults secure_path=/x\nDefaults env_reset, !secure_path"]
        {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
