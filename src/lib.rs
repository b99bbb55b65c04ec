//! Brings a GitLab Runner host into the state that a profile describes.
//!
//! Data flows one way, and imports only go down (`tests/layers.rs` holds the ranks):
//!
//! ```text
//! arguments → profile text → resources → facts about the host (read-only)
//!           → Plan = Vec<Change> → apply (the only writer) → Outcome → report
//! ```

pub mod ansible;
pub mod apply;
pub mod change;
pub mod cli;
pub mod completion;
pub mod deploy;
pub mod doctor;
pub mod facts;
pub mod fault;
pub mod finding;
pub mod gitlab;
pub mod journal;
pub mod keys;
pub mod manual;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod repair;
pub mod report;
pub mod resource;
pub mod run;
pub mod runner_config;
pub mod schema;
pub mod sys;
pub mod text;
pub mod undo;
