//! The hosts on which runs are interrupted, and the run that is.

use std::path::Path;
use std::process::{Command, Stdio};

use super::state::State;
use super::support::{Run, Tree, fixture, program, run_limited};

pub(crate) const CONFIG: &str = "/etc/gitlab-runner/config.toml";
pub(crate) const SUDOERS: &str = "/etc/sudoers.d/gitlab-runner";
pub(crate) const SSH: &str = "/home/gitlab-runner/.ssh";

/// A log that nobody reads.
pub(crate) const NOWHERE: &str = "/dev/null";

const APPLY: [&str; 3] = ["apply", "--profile", "dind"];

/// What the interrupted run has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything but the account.
    First,
    /// The account, too.
    Account,
    /// Three values of `config.toml`, nothing else.
    Config,
    /// The same where that file is a mount of its own and is written in place.
    InPlace,
    /// Take a first apply back.
    Undo,
}

/// A host before the run, and what the run makes of it when nothing disturbs it.
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    pub(crate) before: Tree,
    pub(crate) old: State,
    pub(crate) new: State,
}

impl Scene {
    pub(crate) fn new(kind: Kind) -> Self {
        let before = kind.lay_out();
        let after = before.copy();
        run_limited(&mut kind.command(after.top())).ok();
        let (old, new) = (State::of(&before), State::of(&after));
        Self { kind, before, old, new }
    }
}

impl Kind {
    fn lay_out(self) -> Tree {
        let tree = Tree::new().config_toml(fixture("config-hand-kept.toml"));
        let tree = match self {
            Self::Account => tree,
            _ => tree.account("gitlab-runner", 998, "/home/gitlab-runner"),
        };
        let rule = "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/true\n";
        let tree = tree.file_mode(SUDOERS, rule, 0o440);
        match self {
            Self::First | Self::Account => {}
            Self::Config | Self::InPlace => {
                tree.run(&APPLY).ok();
                tree.put(CONFIG, fixture("config-hand-kept.toml"));
            }
            Self::Undo => {
                tree.run(&APPLY).ok();
            }
        }
        tree
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        if self == Self::Undo { &["undo"] } else { &APPLY }
    }

    /// The run on a tree, with a tracer that is told by `options` what to do, and writes to `log`.
    pub(crate) fn traced(self, top: &Path, log: &Path, options: &[&str]) -> Command {
        let mut words = vec!["strace".to_owned(), "-qq".to_owned(), "-o".to_owned()];
        words.push(log.to_string_lossy().into_owned());
        words.extend(options.iter().map(|option| (*option).to_owned()));
        self.started(top, &words)
    }

    /// The run on a tree.
    pub(crate) fn command(self, top: &Path) -> Command {
        self.started(top, &[])
    }

    fn started(self, top: &Path, through: &[String]) -> Command {
        let mut command = Command::new("sh");
        // A mount of the run's own, which nobody else sees.
        let file = top.join(CONFIG.trim_start_matches('/'));
        let script = if self == Self::InPlace {
            "exec unshare --mount --propagation private sh -c 'mount --bind \"$0\" \"$0\"; exec \"$@\"' \"$@\""
        } else {
            "shift; exec \"$@\""
        };
        command.args(["-c", script, "sh"]).arg(file).args(through).arg(program());
        command.args(self.arguments()).arg("--root").arg(top);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(top);
        command.stdin(Stdio::null());
        command
    }

    /// Nothing interrupts this one.
    pub(crate) fn run(self, tree: &Tree) -> Run {
        run_limited(&mut self.command(tree.top()))
    }
}
