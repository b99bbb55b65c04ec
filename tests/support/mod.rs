//! What the integration tests share: throwaway trees, throwaway hosts, and a way to run the program
//! that looks for secrets in everything it prints.
//!
//! Include it with `mod support;` and start from [`Tree`] (any user, `--root`) or [`Host`] (root, `/`):
//!
//! ```ignore
//! let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(fixture("config-crlf.toml"));
//! tree.run(&["apply", "--profile", "dind"]).ok();
//!
//! let Some(host) = Host::or_skip() else { return };
//! let host = host.config_toml(fixture("config-docker-runner.toml")).start();
//! host.prep(&["apply", "--profile", "dind"]).ok();
//! host.sh("visudo -c").ok();
//! ```

#![allow(dead_code, unused_imports, reason = "every test file uses another part of it")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests prepare and inspect the file system themselves, not through the program's own layers"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot be set up has to stop, and to say why"
)]

mod fleet;
pub(crate) mod gitlab;
mod host;
pub(crate) mod image;
pub(crate) mod judge;
mod listing;
mod namespaces;
mod place;
mod process;
mod readme;
pub(crate) mod repairs;
mod secrets;
mod sudos;
mod systemd;
mod tree;

use std::path::PathBuf;

pub(crate) use fleet::{FORKS, Fleet};
pub(crate) use host::{Host, HostBuilder};
pub(crate) use listing::{assert_unchanged, differences, listing, stamps};
pub(crate) use namespaces::Namespaces;
pub(crate) use process::{Run, program, run_at_terminal, run_limited, run_within};
pub(crate) use readme::{PAGES, page, readme_block, renew};
pub(crate) use secrets::Secrets;
pub(crate) use sudos::{SUDOS, Sudo, with_each};
pub(crate) use systemd::Systemd;
pub(crate) use tree::{SUDOERS, Tree};

/// The text that every token and secret of a fixture contains, so that a leak is found wherever it shows up.
pub(crate) const CANARY: &str = "CANARY";

/// The search path of a service on Debian, which every program under test gets whatever the caller has.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The bytes of a file below `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = source().join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("fixture {}: {error}", path.display()))
}

/// The top of the repository. The variable is asked first, because an archived test run may lie elsewhere
/// than it was compiled.
pub(crate) fn source() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// A file of the sources without the tests in it.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Something that `tests/run.sh` made for the tests, below the build's own directory.
pub(crate) fn made(name: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source().join("target"), PathBuf::from).join(name)
}

/// Whether these tests run as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether the tests that can go on for ever shall go on for long (`RUNNER_PREP_LONG=1`).
pub(crate) fn long() -> bool {
    std::env::var_os("RUNNER_PREP_LONG").is_some_and(|value| !value.is_empty())
}

/// Says that a test cannot run here and why. Where skipping would hide a missing test (`CI` or
/// `RUNNER_PREP_NO_SKIP` is set) it fails instead.
pub(crate) fn skip(reason: &str) {
    let strict = ["CI", "RUNNER_PREP_NO_SKIP"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    assert!(!strict, "a test would be skipped, and CI or RUNNER_PREP_NO_SKIP forbids that: {reason}");
    skipped(reason);
}

/// Says that a test does not run here, and adds it to the list of `tests/run.sh`, which counts it as skipped.
pub(crate) fn skipped(reason: &str) {
    println!("skipped: {reason}");
    let Some(list) = std::env::var_os("RUNNER_PREP_SKIPPED") else { return };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let file = std::env::current_exe().unwrap_or_default();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    let line = format!("{stem} {test}\t{reason}\n");
    // In one write, so that lines of several processes do not mix.
    let opened = std::fs::OpenOptions::new().append(true).open(list);
    let _ = opened.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
}

/// Where a tool lies, looked for in [`PATH`] only, as the program does, and among what was unpacked for the tests.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let unpacked = made("servers/usr/sbin");
    PATH.split(':').map(PathBuf::from).chain([unpacked]).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// True when all tools are here; otherwise says so by [`skip`].
pub(crate) fn have(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|name| tool(name).is_none()).copied().collect();
    // `tests/run.sh` says which of them no package of this distribution has.
    let nowhere = std::env::var("RUNNER_PREP_NOT_TO_BE_HAD").unwrap_or_default();
    if let Some(name) = missing.iter().find(|name| nowhere.split(' ').any(|tool| tool == **name)) {
        skipped(&format!("this distribution has no package of {name}"));
    } else if !missing.is_empty() {
        skip(&format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}
