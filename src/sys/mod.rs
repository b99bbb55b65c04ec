//! The only place that touches the operating system: files by handle, identities, tools, accounts.
//!
//! Knows nothing of profiles, runners or reports. Imports nothing of the crate but [`crate::fault`].

pub mod accounts;
pub mod confine;
pub mod dir;
pub mod exec;
pub mod fd_passing;
pub mod identity;
pub mod keygen;
pub mod lease;
pub mod lock;
pub mod mounts;
pub mod new_secret;
pub mod process_list;
mod raw;
pub mod root;
pub mod shared;
pub mod staged;
pub mod sudo;
pub mod unix_http;
pub mod waiting;
pub mod writable;
