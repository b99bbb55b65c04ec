//! What git of the jobs calls instead of plain `ssh`: `GIT_SSH_COMMAND` of a login, or git's `core.sshCommand`. With `-i`
//! it names the key itself, and ssh then tries no other.

use anyhow::Result;

use super::found::{Usable, observe};
use crate::change::{FileKind, Notes, Seen};
use crate::facts::ssh::whole_path;
use crate::facts::{Finished, MOST_BYTES};
use crate::resource::Context;

/// The files of which a login of bash reads the first that is there.
const LOGIN: [&str; 3] = [".bash_profile", ".bash_login", ".profile"];
/// The account's own files of git.
const GIT: [&str; 2] = [".config/git/config", ".gitconfig"];
/// The options of ssh that take the next word.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOopQRSWw";

/// What a command of git's says about the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ByCommand<K> {
    /// Nothing: ssh does what its configuration says.
    Nothing,
    /// It names this one.
    Key(K),
    /// It decides, and only the command itself can tell, or jobs can't use the key.
    Unknown,
}

/// The key that git's command names, where it decides on the key.
pub(super) fn by_command(context: &Context<'_>, notes: &mut Notes) -> Result<ByCommand<Usable>> {
    let (Some(account), Some((by, words))) = (&context.target.account, set(context)?) else {
        return Ok(ByCommand::Nothing);
    };
    let key = match words.map_or(ByCommand::Unknown, |words| named(&words)) {
        ByCommand::Nothing => return Ok(ByCommand::Nothing),
        ByCommand::Key(key) => Some(key),
        ByCommand::Unknown => None,
    };
    let home = &context.target.home;
    let below = |path: String| {
        let rest = ["$HOME/", "${HOME}/"].iter().find_map(|start| path.strip_prefix(start));
        let whole = whole_path(account, &rest.map_or_else(|| path.clone(), |rest| format!("~/{rest}")))?;
        Some(whole.strip_prefix(home).ok()?.to_str()?.to_owned())
    };
    let name: Vec<String> = key.and_then(below).into_iter().collect();
    let found = observe(context.facts, account, false, &name)?;
    if let Some((_, (message, _))) = found.weak.first() {
        notes.harm("ssh-key-weak", message.clone(), "make a stronger key, and let that command name it");
    }
    let found = found.all().next();
    let see = match by {
        "core.sshCommand" => context.as_account("git config --show-origin --get core.sshCommand"),
        _ => format!("su -l {} -c env", account.name),
    };
    let see = mend!("see what git calls: $ {}", see);
    match &found {
        Some(usable) => {
            notes.warn("ssh-key-configured", format!("{by} names the key: ~/{}", usable.name), see);
        }
        None => notes.warn(
            "ssh-config-unknown",
            format!("which key git of {} offers is not known: {by} decides on it", account.name),
            see,
        ),
    }
    Ok(found.map_or(ByCommand::Unknown, ByCommand::Key))
}

/// Where a command is set, and the command.
fn set(context: &Context<'_>) -> Result<Option<(&'static str, Option<String>)>> {
    let Some(account) = &context.target.account else { return Ok(None) };
    let mut texts: Vec<Seen> =
        context.target.home(context.facts, &LOGIN)?.into_iter().flatten().take(1).collect();
    texts.extend(context.facts.file("/etc/profile".as_ref(), MOST_BYTES)?);
    for text in &texts {
        if let Some(set) = text.text().lines().rev().find_map(exported) {
            return Ok(Some(set));
        }
    }
    if !context.facts.is_host() {
        return Ok(None);
    }
    // What git can't read to its end is for those to tell who look at git.
    let own = context.target.home(context.facts, &GIT)?;
    if own.iter().flatten().any(|seen| seen.kind != FileKind::Regular) {
        return Ok(None);
    }
    let ask = ["config", "--includes", "--get", "core.sshCommand"];
    let Ok(asked) = context.facts.ask(account, "git", &ask, b"") else { return Ok(None) };
    Ok(asked.filter(Finished::success).map(|said| ("core.sshCommand", Some(said.stdout.trim().to_owned()))))
}

/// What a line of a shell sets.
fn exported(line: &str) -> Option<(&'static str, Option<String>)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    if line.starts_with("GIT_SSH=") {
        return Some(("GIT_SSH", None));
    }
    let value = line.strip_prefix("GIT_SSH_COMMAND=")?.trim();
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c));
    let value = quote.map_or(value, |quote| value.trim_matches(quote));
    Some(("GIT_SSH_COMMAND", Some(value.to_owned())))
}

/// The key that a command names.
fn named(command: &str) -> ByCommand<String> {
    let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    if !matches!(words.next(), Some("ssh" | "/usr/bin/ssh")) {
        return ByCommand::Unknown;
    }
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-') else { return ByCommand::Unknown };
        let letter = option.chars().next().unwrap_or_default();
        let value =
            if option.len() == 1 && WITH_VALUE.contains(letter) { words.next() } else { option.get(1..) };
        let value = value.unwrap_or_default();
        match letter {
            'i' => return ByCommand::Key(value.to_owned()),
            'F' => return ByCommand::Unknown,
            'o' if value.to_ascii_lowercase().starts_with("identityfile") => return ByCommand::Unknown,
            _ => {}
        }
    }
    ByCommand::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_a_key_or_not() {
        let key = |name: &str| ByCommand::Key(name.to_owned());
        for (command, expected) in [
            ("ssh", ByCommand::Nothing),
            ("ssh -v -o StrictHostKeyChecking=no", ByCommand::Nothing),
            ("ssh -i ~/.ssh/deploy", key("~/.ssh/deploy")),
            ("/usr/bin/ssh -o IdentitiesOnly=yes -i/srv/k -v", key("/srv/k")),
            ("ssh -i '~/.ssh/deploy'", key("~/.ssh/deploy")),
            ("ssh -F /srv/config", ByCommand::Unknown),
            ("ssh -oIdentityFile=/srv/k", ByCommand::Unknown),
            ("/srv/bin/ssh -i x", ByCommand::Unknown),
            ("", ByCommand::Unknown),
        ] {
            assert_eq!(named(command), expected, "{command}");
        }
        assert_eq!(
            exported("  export GIT_SSH_COMMAND='ssh -i x'"),
            Some(("GIT_SSH_COMMAND", Some("ssh -i x".into())))
        );
        assert_eq!(exported("GIT_SSH=/srv/x"), Some(("GIT_SSH", None)));
        assert_eq!(exported("# export GIT_SSH_COMMAND=ssh"), None);
    }
}
