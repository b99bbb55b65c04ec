//! The command line: what the user typed, and the environment. Decides nothing.

pub mod examples;
mod gitlab;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use crate::keys::Version;
use crate::resource::KINDS;
pub use gitlab::{GitlabCommand, GitlabOptions};

/// Prepares a GitLab Runner host: SSH deploy key, sudo rule, config.toml.
#[derive(Debug, Parser)]
#[command(name = "runner-prep", version, max_term_width = 100)]
#[command(after_long_help = examples::help(""))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Work on this tree instead of the host: an image, a chroot, a test
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto, hide_default_value = true)]
    pub color: Color,
    /// Print problems only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the differences, and what is as wanted, too
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the host into the state of a profile
    #[command(after_long_help = examples::help("apply"))]
    Apply(ApplyOptions),
    /// Show what apply would do, each with its reason; writes nothing
    #[command(after_long_help = examples::help("plan"))]
    Plan(PlanOptions),
    /// Exit 1 where the host differs; writes nothing
    #[command(after_long_help = examples::help("check"))]
    Check(CheckOptions),
    /// Find out what keeps pipelines from working on this host; writes nothing
    #[command(after_long_help = examples::help("doctor"))]
    Doctor(DoctorOptions),
    /// Print the account's public SSH key, for Deploy keys in GitLab
    #[command(after_long_help = examples::help("key"))]
    Key(KeyOptions),
    /// Print the file for `gitlab-runner register --template-config`
    #[command(after_long_help = examples::help("template"))]
    Template(Template),
    /// Bring GitLab's side of a profile about: deploy keys, job tokens, variables, runners
    ///
    /// Reads the section `[gitlab]` of the profile and nothing else of it, needs neither root nor the host. It asks GitLab
    /// with your token. It adds and widens, and never narrows or removes.
    #[command(subcommand, after_long_help = examples::help("gitlab"))]
    Gitlab(GitlabCommand),
    /// Put back what the last apply changed; another undo goes one run further back
    ///
    /// Files get their former bytes, owner and mode; one that was root's in the account's home comes back as the
    /// account's. Of config.toml only the values are put back when
    /// gitlab-runner rewrote it since. An SSH key that apply made is moved aside, an account stays. Where
    /// somebody changed since what apply wrote, nothing is undone, and the difference is shown.
    #[command(after_long_help = examples::help("undo"))]
    Undo(UndoOptions),
    /// Show the built-in and local profiles
    #[command(subcommand)]
    #[command(after_long_help = examples::help("profile"))]
    Profile(ProfileCommand),
    /// Print the completions for a shell
    #[command(after_long_help = examples::help("completions"))]
    Completions(Completions),
    /// Print the manual page
    #[command(after_long_help = examples::help("man"))]
    Man(Man),
    /// Print the JSON Schema of profiles, or of what --json prints
    #[command(after_long_help = examples::help("schema"))]
    Schema(Schema),
}

/// Options of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// The page of one command
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Print the names of the commands that have a page, one a line
    #[arg(long, conflicts_with = "command")]
    pub list: bool,
}

/// Options of `schema`.
#[derive(Debug, Clone, Args)]
pub struct Schema {
    /// What is described
    #[arg(value_name = "DOCUMENT", value_enum)]
    pub document: DescribedDocument,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DescribedDocument {
    /// A profile, for editors that check TOML
    Profile,
    /// Whatever --json prints, one of the following
    Output,
    /// apply, plan, check, undo, key, and every error
    Report,
    /// doctor
    Doctor,
    /// doctor with a code, an error or a log
    Explanation,
    /// undo --list
    UndoList,
    /// profile list
    ProfileList,
    /// profile show, template, man, completions
    Text,
}

/// Options of `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyOptions {
    /// What is wanted.
    #[command(flatten)]
    pub selection: Selection,
    /// Write nothing, like plan
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanOptions {
    /// What is wanted.
    #[command(flatten)]
    pub selection: Selection,
    /// Exit 1 when there are changes to make
    #[arg(long)]
    pub exit_code: bool,
    /// Taken as apply takes it; plan writes nothing in any case
    #[arg(long, hide = true)]
    pub dry_run: bool,
}

/// Options of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// What is wanted.
    #[command(flatten)]
    pub selection: Selection,
    /// Taken as apply takes it; check writes nothing in any case
    #[arg(long, hide = true)]
    pub dry_run: bool,
}

/// What is wanted of which host.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Selection {
    /// Profiles, by name or path; several are merged
    #[arg(long, short, value_name = "NAME", value_delimiter = ',', required = true)]
    pub profile: Vec<String>,
    /// Only these kinds of resources
    #[arg(long, value_name = "KIND", value_delimiter = ',', long_help = only())]
    pub only: Vec<String>,
    /// All but these kinds; the same names as for --only
    #[arg(long, value_name = "KIND", value_delimiter = ',', conflicts_with = "only")]
    pub skip: Vec<String>,
    /// What of it is meant.
    #[command(flatten)]
    pub host: HostOptions,
    /// Replace a sudoers file that somebody else wrote, and give the account a key that root keeps in its ~/.ssh
    #[arg(long)]
    pub adopt: bool,
    /// Replace host keys that differ from the profile's
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// Ask servers for their host keys where the profile gives a fingerprint
    #[arg(long)]
    pub scan_host_keys: bool,
    /// Exit 0 also when something waits for you
    #[arg(long)]
    pub allow_pending: bool,
    /// The version of gitlab-runner, for images that do not have it yet
    #[arg(long, value_name = "X.Y.Z")]
    pub runner_version: Option<Version>,
    /// Sections of a profile beside those that are named, as TOML: the arguments of a task of Ansible.
    #[arg(skip)]
    pub given: Option<String>,
}

/// What of a host is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct HostOptions {
    /// Only this runner of config.toml; may be repeated
    #[arg(long, value_name = "NAME_OR_ID")]
    pub runner: Vec<String>,
    /// The account that jobs run as
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The configuration file of gitlab-runner
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn only() -> String {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    format!("Only these kinds of resources: {}", kinds.join(", "))
}

/// Options of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// Look at no host: say what this error of a job means, and what mends it; - reads a whole log from standard input.
    /// Exit code 1 where nothing of it is known
    #[arg(value_name = "TEXT", conflicts_with_all = ["profile", "runner", "user", "config", "runner_version", "online"])]
    pub text: Vec<String>,
    /// Look at no host: say what this code means; exit code 1 where there is no such code
    #[arg(
        long,
        value_name = "CODE",
        conflicts_with_all = ["text", "profile", "runner", "user", "config", "runner_version", "online"]
    )]
    pub explain: Option<String>,
    /// Profiles whose pipelines are meant, by name or path; by default what the registered runners suggest
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    pub profile: Vec<String>,
    /// What of it is meant.
    #[command(flatten)]
    pub host: HostOptions,
    /// The version of gitlab-runner, whatever is installed
    #[arg(long, value_name = "X.Y.Z")]
    pub runner_version: Option<Version>,
    /// Ask servers, too: with the account's ssh and git, with gitlab-runner verify, and with a token GitLab itself
    #[arg(long)]
    pub online: bool,
    /// With --online: whether this registry answers; may be repeated
    #[arg(long, value_name = "HOST", requires = "online")]
    pub registry: Vec<String>,
    /// With --online: a file with a token for what the profile wants of GitLab; otherwise `GITLAB_TOKEN` is one
    #[arg(long, value_name = "FILE", requires = "online")]
    pub token_file: Option<PathBuf>,
    /// With --online and a token: trust the authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", requires = "online")]
    pub ca_file: Option<PathBuf>,
}

impl DoctorOptions {
    /// True when something is to be explained, and no host to be examined.
    pub fn explains(&self) -> bool {
        self.explain.is_some() || !self.text.is_empty()
    }
}

/// Options of `undo`.
#[derive(Debug, Clone, Args)]
pub struct UndoOptions {
    /// Show the runs that are kept, the newest first
    #[arg(long, conflicts_with_all = ["to", "dry_run"])]
    pub list: bool,
    /// Undo this run and all that came after it
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Write nothing, show what would be put back
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `key`.
#[derive(Debug, Clone, Args)]
pub struct KeyOptions {
    /// Print the fingerprint instead of the key
    #[arg(long)]
    pub fingerprint: bool,
    /// Move the key aside and make a new one of its type; needs root
    #[arg(long, conflicts_with = "fingerprint")]
    pub rotate: bool,
    /// The account that jobs run as
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// Options of `template`.
#[derive(Debug, Clone, Args)]
pub struct Template {
    /// Profiles, by name or path; several are merged
    #[arg(long, short, value_name = "NAME", value_delimiter = ',', required = true)]
    pub profile: Vec<String>,
}

/// The commands of `profile`.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List all profiles
    #[command(after_long_help = examples::help("profile list"))]
    List,
    /// Show a profile with all that it extends
    #[command(after_long_help = examples::help("profile show"))]
    Show {
        /// Profiles, by name or path; several are merged
        #[arg(value_name = "NAME", value_delimiter = ',', required = true)]
        name: Vec<String>,
    },
}

/// What the environment says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Environment {
    /// `NO_COLOR` is set, or the terminal can't do colours.
    pub plain: bool,
    /// The terminal can do nothing but write on.
    pub dumb: bool,
    /// The user behind `sudo`.
    pub sudo_uid: Option<u32>,
}

impl Environment {
    /// Read it, once.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let sudo_uid = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
        Self { plain: no_color || dumb, dumb, sudo_uid }
    }

    /// The token in `GITLAB_TOKEN`; asked for by the one command that needs it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn token() -> Option<Zeroizing<String>> {
        std::env::var("GITLAB_TOKEN").ok().filter(|token| !token.is_empty()).map(Zeroizing::new)
    }
}
