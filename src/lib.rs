//! Brings a GitLab Runner host into the state that a profile describes.
//!
//! Data flows one way, and imports only go down (`tests/layers.rs` holds the ranks):
//!
//! ```text
//! arguments → profile text → resources → facts about the host (read-only)
//!           → Plan = Vec<Change> → apply (the only writer) → Outcome → report
//! ```
//!
//! The map, from the bottom to the top. Each module's own first lines say more.
//!
//! | module | owns | must not |
//! |---|---|---|
//! | [`repair`] | what to do now: text and commands, for root, a sudo user or a tree | look at the host |
//! | [`fault`] | errors with their repair | hold a secret |
//! | [`seen`] | what was observed at a path | look at one |
//! | [`text`] | formats: TOML patches, sudoers, known_hosts, git and ssh files, keys | touch a file |
//! | [`keys`] | gitlab-runner's keys, by version | import the crate |
//! | [`finding`] | what an examination found, as data | touch the host |
//! | [`change`] | what is wanted done and what became of it, as data | know a runner |
//! | [`sys`] | the operating system: handles, identities, tools, accounts | know a profile or a runner |
//! | [`facts`] | the host as resources see it | write |
//! | [`profile`] | finding, joining and merging profiles | know a section's meaning |
//! | [`runner_config`] | the runners of a `config.toml` | show a value |
//! | [`policy`] | what equals root | decide what is done about it |
//! | [`resource`] | what each section wants of a host | write |
//! | [`plan`] | all changes of a run, checked against one another | touch the host |
//! | [`journal`] | the former state of the last runs | decide what is undone |
//! | [`apply`] | staging, checks, commit and rollback: the only writer | know a resource |
//! | [`undo`] | changes that bring a former state back | write |
//! | [`doctor`] | whether jobs would be green, and why not | write, or use the network unasked |
//! | [`gitlab`] | the projects' side, by GitLab's API: the only connection | write to the host |
//! | [`deploy`] | `runner-deploy`, called by jobs through sudo | believe the account |
//! | [`report`] | text and JSON for people and programs | write to the host |
//! | [`cli`], [`manual`], [`completion`], [`schema`] | the face: arguments, pages, completions, schemas | decide |
//! | [`run`] | the order of the steps of each command | decide for a resource |
//! | [`ansible`] | the binary module of Ansible | have options of its own |

#[macro_use]
pub mod repair;

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
pub mod report;
pub mod resource;
pub mod run;
pub mod runner_config;
pub mod schema;
pub mod seen;
pub mod sys;
pub mod text;
pub mod undo;
