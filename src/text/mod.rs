//! Text formats, pure: text in, text out. Knows nothing of files, accounts or runners.

pub mod position;
pub mod toml_patch;
