//! Changes single values of a TOML document and keeps every other byte.
//!
//! `toml_edit` tells where each value stands; the new text is the old one with small pieces replaced or put in
//! between. Nothing is printed anew, so line endings, comments, order and spacing stay as they are.
//!
//! ```
//! use runner_prep::text::toml_patch::{Edit, Toml};
//!
//! let before = Toml::parse(b"[[runners]]\r\n  name = 'a' # mine\r\n")?;
//! let path = ["runners".into(), 0.into(), "docker".into(), "privileged".into()];
//! let after = before.patch(&[Edit::set(path, true)])?;
//! assert_eq!(
//!     after.text,
//!     "[[runners]]\r\n  name = 'a' # mine\r\n  [runners.docker]\r\n    privileged = true\r\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod difference;
mod document;
mod edit;
mod inline;
mod layout;
mod list;
mod new_entries;
mod quote;
mod remove;
mod standard;
mod style;
mod target;
mod verify;
mod view;
mod visit;
mod walk;

#[cfg(test)]
mod tests;

pub use self::difference::Difference;
pub use self::document::Toml;
pub use self::edit::{Action, Edit, PatchError, Patched, Scalar, Step, dotted};
pub use self::quote::key;
pub use self::view::View;
