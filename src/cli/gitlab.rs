//! The options of `gitlab`: the projects' side, which needs no host.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples;

/// The commands of `gitlab`.
#[derive(Debug, Clone, Subcommand)]
pub enum GitlabCommand {
    /// Show what apply would do in GitLab, each with its reason; writes nothing
    #[command(after_long_help = examples::help("gitlab plan"))]
    Plan {
        /// What is wanted.
        #[command(flatten)]
        options: GitlabOptions,
        /// Ask nobody and need no token: print what to click, and the same for glab
        #[arg(long, conflicts_with_all = ["token_file", "ca_file", "timeout", "exit_code"])]
        offline: bool,
        /// Exit 1 when there are changes to make
        #[arg(long)]
        exit_code: bool,
    },
    /// Bring GitLab into the state of a profile; a second run only reads
    #[command(after_long_help = examples::help("gitlab apply"))]
    Apply(GitlabOptions),
    /// Exit 1 where GitLab differs; writes nothing
    #[command(after_long_help = examples::help("gitlab check"))]
    Check(GitlabOptions),
}

/// Options of the commands of `gitlab`.
#[derive(Debug, Clone, Args)]
pub struct GitlabOptions {
    /// Profiles, by name or path; several are merged
    #[arg(long, short, value_name = "NAME", value_delimiter = ',', required = true)]
    pub profile: Vec<String>,
    /// What `runner-prep key` printed on one host or several, with --json or without; `-` is standard input; otherwise
    /// the key of this host's account
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// The account that jobs run as, where the key is this host's
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with a token of the scope api, readable by you alone; otherwise `GITLAB_TOKEN` is one
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The directory for the tokens of new runners: GitLab shows them once, and each goes into a file NAME.token that
    /// only you can read
    #[arg(long, value_name = "DIR")]
    pub runner_tokens: Option<PathBuf>,
    /// Trust the authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The longest that all requests together may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}
