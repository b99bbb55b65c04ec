//! Text formats, pure: text in, text out. Knows nothing of files, accounts or runners.

pub mod certificates;
pub mod deployment;
pub mod git_config;
pub mod glob;
pub mod job_log;
pub mod key_pair;
pub mod known_hosts;
pub mod position;
pub mod public_key;
pub mod script;
pub mod sudo_include;
pub mod sudo_line;
pub mod sudo_list;
pub mod sudo_rule;
pub mod time;
pub mod toml_patch;
pub mod unit_file;

mod ssh_wire;
