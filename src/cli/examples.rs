//! Examples for each command, as `--help` and the manual pages show them. A test reads each with the program's own parser.

/// A command of the command line with lines for a shell, each with what it is for.
pub type Examples = (&'static str, &'static [(&'static str, &'static str)]);

/// All examples; those of the program itself stand under the empty name.
pub const EXAMPLES: &[Examples] = &[
    (
        "",
        &[
            ("See what would be done on this host", "sudo runner-prep plan --profile dind"),
            ("Do it", "sudo runner-prep apply --profile dind"),
            ("See what still keeps jobs from working", "sudo runner-prep doctor --profile dind"),
            ("Put everything back", "sudo runner-prep undo"),
        ],
    ),
    (
        "apply",
        &[
            ("All that Docker-in-Docker pipelines need", "sudo runner-prep apply --profile dind"),
            (
                "The values of config.toml alone, and of one runner only",
                "sudo runner-prep apply --profile dind --only config --runner docker-runner",
            ),
            (
                "From cloud-init, before a runner is registered: exit code 0 all the same",
                "runner-prep apply --profile dind --allow-pending",
            ),
            (
                "An image in a directory of your own",
                "runner-prep apply --profile dind --root ./image --runner-version 17.5.0",
            ),
        ],
    ),
    (
        "plan",
        &[
            ("What apply would do, and why", "sudo runner-prep plan --profile dind"),
            ("A profile of your own on top of another", "sudo runner-prep plan --profile dind,./ours.toml"),
            (
                "For a script: exit code 1 where something is to be done",
                "runner-prep plan -p dind --exit-code",
            ),
        ],
    ),
    (
        "check",
        &[
            ("For monitoring: exit code 1 where the host differs", "sudo runner-prep check --profile dind"),
            ("With all that was looked at", "sudo runner-prep check --profile dind --verbose"),
            ("For a program", "sudo runner-prep check --profile dind --json"),
        ],
    ),
    (
        "doctor",
        &[
            ("For whatever the registered runners need", "sudo runner-prep doctor"),
            (
                "For jobs of the shell executor, with what is fine",
                "sudo runner-prep doctor -p shell --verbose",
            ),
            ("An image before it is started", "runner-prep doctor --profile dind --root /mnt/image"),
            ("What lies behind the network, too", "sudo runner-prep doctor --profile shell --online"),
            ("What an error of a job means, anywhere", "runner-prep doctor 'sudo: a password is required'"),
            ("The same for a whole log", "runner-prep doctor - < job.log"),
        ],
    ),
    (
        "key",
        &[
            ("The line to paste into Deploy keys", "sudo runner-prep key"),
            ("To compare with what GitLab shows", "sudo runner-prep key --fingerprint"),
            ("A new key, where the old one may have leaked", "sudo runner-prep key --rotate"),
        ],
    ),
    (
        "template",
        &[(
            "A file for a runner that is about to be registered",
            "runner-prep template --profile dind > runner.toml",
        )],
    ),
    (
        "gitlab",
        &[
            ("See what would be done", "runner-prep gitlab plan -p ./ours.toml --public-key keys"),
            ("Do it", "runner-prep gitlab apply -p ./ours.toml --public-key keys --token-file token"),
        ],
    ),
    (
        "gitlab plan",
        &[
            (
                "With the token in GITLAB_TOKEN, for the key of this host",
                "runner-prep gitlab plan --profile ours",
            ),
            (
                "Without a token: what to click, and the same for glab",
                "runner-prep gitlab plan -p ./ours.toml --public-key keys --offline",
            ),
        ],
    ),
    (
        "gitlab apply",
        &[(
            "On an administrator's machine, for the keys of several hosts",
            "runner-prep gitlab apply -p ./ours.toml --public-key keys --token-file token",
        )],
    ),
    (
        "gitlab check",
        &[(
            "A server with an authority of its own",
            "runner-prep gitlab check -p ./ours.toml --public-key keys --ca-file ca.pem",
        )],
    ),
    (
        "undo",
        &[
            ("See what would be put back", "sudo runner-prep undo --dry-run"),
            ("Undo the last run", "sudo runner-prep undo"),
            ("See which runs are kept", "sudo runner-prep undo --list"),
            ("Undo that run and all after it", "sudo runner-prep undo --to 20261124T101502Z-0001"),
        ],
    ),
    (
        "profile",
        &[
            ("Which ones there are", "runner-prep profile list"),
            ("What one of them wants, with every key explained", "runner-prep profile show dind"),
        ],
    ),
    ("profile list", &[("For a program", "runner-prep profile list --json")]),
    (
        "profile show",
        &[
            ("With all that it extends", "runner-prep profile show dind"),
            ("Two in one", "runner-prep profile show shell,dind-rootless"),
        ],
    ),
    (
        "completions",
        &[
            (
                "For all users of bash, as root",
                "runner-prep completions bash > /usr/share/bash-completion/completions/runner-prep",
            ),
            (
                "For all users of zsh, as root",
                "runner-prep completions zsh > /usr/local/share/zsh/site-functions/_runner-prep",
            ),
            (
                "For yourself in fish",
                "runner-prep completions fish > ~/.config/fish/completions/runner-prep.fish",
            ),
        ],
    ),
    (
        "man",
        &[
            ("Read the page of the program", "runner-prep man | man -l -"),
            ("Read the page of a command", "runner-prep man apply | man -l -"),
        ],
    ),
    (
        "schema",
        &[
            ("For an editor that checks profiles", "runner-prep schema profile > profile.schema.json"),
            ("What --json may print", "runner-prep schema output"),
        ],
    ),
];

/// The examples of a command.
#[must_use]
pub fn of(command: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map(|(_, examples)| *examples).unwrap_or_default()
}

/// The same for the end of a help text.
pub(super) fn help(command: &str) -> String {
    let mut text = String::from("Examples:");
    for (what, line) in of(command) {
        text.extend(["\n  ", what, ":\n    ", line]);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    /// All commands with their paths.
    fn all() -> Vec<String> {
        let mut top = Cli::command().disable_help_subcommand(true);
        top.build();
        commands(&top, "")
    }

    /// The commands with their paths, those of a command after it.
    fn commands(command: &clap::Command, above: &str) -> Vec<String> {
        let path = |below: &clap::Command| format!("{above} {}", below.get_name()).trim_start().to_owned();
        let below = command.get_subcommands().map(|below| (path(below), below));
        below.flat_map(|(path, below)| std::iter::once(path.clone()).chain(commands(below, &path))).collect()
    }

    #[test]
    fn every_command_has_examples_that_it_understands() {
        let mut known: BTreeSet<String> = all().into_iter().collect();
        known.insert(String::new());
        let found: BTreeSet<String> = EXAMPLES.iter().map(|(command, _)| (*command).to_owned()).collect();
        assert_eq!(known, found);
        for (command, examples) in EXAMPLES {
            assert!(!examples.is_empty(), "{command}");
            for (what, line) in *examples {
                // What the shell does with it is not ours.
                let words = line.split(['|', '>']).next().unwrap_or_default().trim_start_matches("sudo ");
                let words: Vec<&str> = words.split_whitespace().collect();
                assert!(Cli::try_parse_from(&words).is_ok(), "{line}");
                let path = ["runner-prep", command].join(" ");
                assert!(words.join(" ").starts_with(path.trim_end()), "{line} is not an example of {path}");
                assert!(what.len() < 76 && !what.ends_with('.'), "{what}");
            }
        }
    }

    #[test]
    fn help_is_short_or_has_examples() {
        for path in all().iter().map(String::as_str).chain([""]) {
            let words =
                |flag: &'static str| ["runner-prep"].into_iter().chain(path.split_whitespace()).chain([flag]);
            let help = |flag| Cli::try_parse_from(words(flag)).unwrap_err().to_string();
            assert!(help("--help").contains(&super::help(path)), "{path}");
            assert!(!help("-h").contains("Examples:"), "{path}");
        }
    }
}
