//! Brings a GitLab Runner host into the state that a profile describes.
//!
//! Data flows one way and imports only go down; `tests/layers.rs` holds the ranks.

pub mod change;
pub mod facts;
pub mod fault;
pub mod profile;
pub mod sys;
pub mod text;
