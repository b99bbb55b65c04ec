//! Who reads a repair, and how they call its commands.

use std::path::PathBuf;

use super::{Repair, quoted};

/// Who reads a repair, and of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reader {
    /// The reader is not root, and calls the commands by sudo.
    pub by_sudo: bool,
    /// The reader is not root and works on a tree of their own: chroot alone needs sudo.
    pub chroots_by_sudo: bool,
    /// Where the tree is that was worked on; `None` for the machine itself.
    pub tree: Option<PathBuf>,
    /// The profiles that are meant; empty where there are none.
    pub profiles: String,
    /// The reader wants to see all, however many there are alike.
    pub wants_all: bool,
    /// The options that let another command of this program work on the same, with a space before each.
    pub options: String,
}

impl Reader {
    /// The command that applies the profiles there.
    pub fn apply(&self) -> String {
        self.completed("runner-prep apply")
    }

    /// A command of this program, with the profiles and the place that were meant. Who said it may not have known them.
    fn completed(&self, command: &str) -> String {
        let of_profiles = ["apply", "plan", "check", "doctor"];
        let named = command.split(' ').nth(1).filter(|name| of_profiles.contains(name));
        match named {
            Some(name) if !self.profiles.is_empty() && !command.contains(" --profile ") => {
                let rest = command.split_once(name).map_or("", |(_, rest)| rest);
                format!("runner-prep {name} --profile {}{}{rest}", quoted(&self.profiles), self.options)
            }
            _ => self.in_tree(command),
        }
    }

    /// A command of this program that says its profile, or needs none, and looks into the tree all the same.
    fn in_tree(&self, command: &str) -> String {
        let of_hosts = ["apply", "plan", "check", "doctor", "undo", "key"];
        let looks = command.split(' ').nth(1).is_some_and(|name| of_hosts.contains(&name));
        match self.tree.as_ref().filter(|_| looks && !command.contains(" --root ")) {
            Some(tree) => format!("{command} --root {}", quoted(tree)),
            None => command.to_owned(),
        }
    }

    /// A repair for this reader: each command in it begins as it must.
    pub fn address(&self, repair: &Repair) -> Repair {
        repair.with(|command| self.command(command))
    }

    fn command(&self, text: &str) -> String {
        let mut parts = parts(text).into_iter();
        let mut said = parts.next().map(|part| self.simple(part)).unwrap_or_default();
        while let (Some(between), Some(part)) = (parts.next(), parts.next()) {
            said = [&said, " ", between, " ", &self.simple(part)].concat();
        }
        said
    }

    /// One program with its arguments, and where its output goes.
    fn simple(&self, text: &str) -> String {
        let output = |at: usize| {
            let (arrow, file) = text[at + 1..].split_once(' ')?;
            Some((&text[..at], (if arrow == ">>" { " -a" } else { "" }, file)))
                .filter(|_| [">", ">>"].contains(&arrow))
        };
        let (text, output) = gaps(text)
            .into_iter()
            .find_map(output)
            .map_or((text, None), |(text, output)| (text, Some(output)));
        let mut words = text.split(' ').peekable();
        let mut variables = Vec::new();
        while let Some(word) = words.next_if(|word| is_variable(word)) {
            variables.push(word);
        }
        let mut rest = words.collect::<Vec<_>>().join(" ");
        let is_ours = rest.trim_start_matches("sudo ").starts_with("runner-prep ");
        if let Some(at) = rest.find("runner-prep ").filter(|_| is_ours) {
            rest = [&rest[..at], &self.completed(&rest[at..])].concat();
        }
        let of_machine =
            rest.strip_prefix("command ").filter(|rest| !rest.starts_with('-')).map(str::to_owned);
        let chroot = match &self.tree {
            Some(tree) if of_machine.is_none() => format!("chroot {} ", quoted(tree)),
            _ => String::new(),
        };
        // The shell itself says a text; what takes it is the program.
        let is_text = output.is_some() && ["echo ", "printf "].iter().any(|word| rest.starts_with(word));
        let is_outside = !is_ours && !chroot.is_empty();
        rest = of_machine.unwrap_or(rest);
        if is_outside && !is_text {
            // chroot itself becomes the account: a tree need not have sudo.
            rest = match rest.strip_prefix("sudo -u ").and_then(|rest| rest.split_once(' ')) {
                Some((account, rest)) => chroot.replacen(' ', &format!(" --userspec={account} "), 1) + rest,
                None => chroot.clone() + &rest,
            };
        }
        let is_of_root = is_outside || (self.tree.is_some() && chroot.is_empty());
        let needs_root = self.by_sudo || (self.chroots_by_sudo && is_of_root);
        let by_sudo = needs_root && !is_text && !rest.starts_with("sudo ");
        if by_sudo {
            let names: Vec<&str> =
                variables.iter().filter_map(|word| Some(word.split_once('=')?.0)).collect();
            let keep =
                if names.is_empty() { String::new() } else { format!("--preserve-env={} ", names.join(",")) };
            rest = ["sudo ", &keep, &rest].concat();
        }
        let mut said = variables.iter().fold(String::new(), |all, word| all + word + " ") + &rest;
        if let Some((option, file)) = output {
            // In a tree a link could lead the reader's own shell out of it.
            let into_tree = !chroot.is_empty() && file.starts_with('/') && !file.starts_with("/dev/");
            let chroot = if into_tree { chroot.as_str() } else { "" };
            let sudo = if self.by_sudo || (self.chroots_by_sudo && into_tree) { "sudo " } else { "" };
            if into_tree || !sudo.is_empty() {
                said.extend([" | ", sudo, chroot, "tee", option, " ", file, " >/dev/null"]);
            } else {
                said.extend([if option.is_empty() { " > " } else { " >> " }, file]);
            }
        }
        said
    }
}

/// `NAME=value`.
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The spaces that stand between words: what is quoted or in `$(…)` is one word.
fn gaps(text: &str) -> Vec<usize> {
    let (mut found, mut quote, mut depth, mut is_escaped) = (Vec::new(), None, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' if quote != Some('\'') => is_escaped = true,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '(' if quote.is_none() => depth += 1,
            ')' if quote.is_none() => depth = depth.saturating_sub(1),
            ' ' if quote.is_none() && depth == 0 => found.push(at),
            _ => {}
        }
    }
    found
}

/// The commands that are joined by `&&`, `||` or `|`, and what is between them.
fn parts(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    for at in gaps(text) {
        let is_here =
            |joint: &&str| text[at + 1..].strip_prefix(*joint).is_some_and(|rest| rest.starts_with(' '));
        if let Some(joint) = ["&&", "||", "|"].into_iter().find(is_here) {
            found.extend([&text[start..at], joint]);
            start = at + joint.len() + 2;
        }
    }
    found.push(&text[start..]);
    found
}

impl Repair {
    /// The same repair, of what is on the machine itself although a tree is worked on. The shell's `command` says so.
    #[must_use]
    pub fn on_machine(&self) -> Self {
        let of_machine = |part: &str| {
            if ["&&", "||", "|"].contains(&part) { part.to_owned() } else { format!("command {part}") }
        };
        self.with(|command| parts(command).into_iter().map(of_machine).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_ours_is_completed() {
        let options = " --root /a".to_owned();
        let reader = Reader { profiles: "dind".to_owned(), options, ..Reader::default() };
        for (text, expected) in [
            ("run again: $ runner-prep apply", "run again: runner-prep apply --profile dind --root /a"),
            ("$ sudo runner-prep doctor -v", "sudo runner-prep doctor --profile dind --root /a -v"),
            ("$ runner-prep apply --profile shell", "runner-prep apply --profile shell"),
            ("$ runner-prep undo --list", "runner-prep undo --list"),
        ] {
            assert_eq!(reader.address(&text.into()).text(), expected);
        }
    }

    #[test]
    fn a_command_begins_as_its_reader_must_call_it() {
        let by_sudo = Reader { by_sudo: true, ..Reader::default() };
        let of_tree = Reader { tree: Some("/srv/my image".into()), ..Reader::default() };
        for (text, sudo, tree) in [
            ("$ chmod 0600 /etc/a", "sudo chmod 0600 /etc/a", "chroot '/srv/my image' chmod 0600 /etc/a"),
            (
                "see why: $ ls -l /a; then apt-get update && apt-get install -y git",
                "see why: sudo ls -l /a; then apt-get update && apt-get install -y git",
                "see why: chroot '/srv/my image' ls -l /a; then apt-get update && apt-get install -y git",
            ),
            (
                "$ apt-get update && apt-get install -y git",
                "sudo apt-get update && sudo apt-get install -y git",
                "chroot '/srv/my image' apt-get update && chroot '/srv/my image' apt-get install -y git",
            ),
            (
                "$ runner-prep template --profile a > /root/a",
                "sudo runner-prep template --profile a | sudo tee /root/a >/dev/null",
                "runner-prep template --profile a | chroot '/srv/my image' tee /root/a >/dev/null",
            ),
            (
                "$ TOKEN=x gitlab-runner register \\\n    --url y",
                "TOKEN=x sudo --preserve-env=TOKEN gitlab-runner register \\\n    --url y",
                "TOKEN=x chroot '/srv/my image' gitlab-runner register \\\n    --url y",
            ),
            (
                "$ sudo -u ci mv -T /a /b",
                "sudo -u ci mv -T /a /b",
                "chroot --userspec=ci '/srv/my image' mv -T /a /b",
            ),
            (
                "add it: $ printf 'a && b' >> /c",
                "add it: printf 'a && b' | sudo tee -a /c >/dev/null",
                "add it: printf 'a && b' | chroot '/srv/my image' tee -a /c >/dev/null",
            ),
            ("name another account", "name another account", "name another account"),
            (
                "see where: $ command -v a",
                "see where: sudo command -v a",
                "see where: chroot '/srv/my image' command -v a",
            ),
        ] {
            let repair = Repair::from(text);
            assert_eq!(Reader::default().address(&repair), repair);
            let of_machine = repair.on_machine();
            assert_eq!(
                of_tree.address(&of_machine),
                Reader::default().address(&of_machine),
                "{of_machine:?}"
            );
            assert_eq!(by_sudo.address(&repair).text(), sudo);
            assert_eq!(of_tree.address(&repair).text(), tree);
        }
    }

    #[test]
    fn a_user_with_a_tree_of_their_own_needs_sudo_for_chroot_alone() {
        let reader = Reader { chroots_by_sudo: true, tree: Some("/tree".into()), ..Reader::default() };
        for (text, expected) in [
            ("$ chmod 0600 /etc/a", "sudo chroot /tree chmod 0600 /etc/a"),
            ("$ TOKEN=x gitlab-runner y", "TOKEN=x sudo --preserve-env=TOKEN chroot /tree gitlab-runner y"),
            ("$ sudo -u ci mv -T /a /b", "sudo chroot --userspec=ci /tree mv -T /a /b"),
            ("$ printf a >> /c", "printf a | sudo chroot /tree tee -a /c >/dev/null"),
            (
                "$ runner-prep template --profile a > /root/a",
                "runner-prep template --profile a | sudo chroot /tree tee /root/a >/dev/null",
            ),
            ("$ command apt-get install git", "sudo apt-get install git"),
        ] {
            assert_eq!(reader.address(&text.into()).text(), expected);
        }
        // The machine is nobody's own.
        let repair = Repair::from("$ chmod 0600 /etc/a");
        assert_eq!(Reader { tree: None, ..reader }.address(&repair), repair);
    }
}
