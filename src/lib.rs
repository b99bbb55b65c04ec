//! Brings a GitLab Runner host into the state that a profile describes.
//!
//! Data flows one way and imports only go down; `tests/layers.rs` holds the ranks.

pub mod text;
