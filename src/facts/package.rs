//! The version of gitlab-runner, as the package database or the program itself writes it down.

use std::path::Path;

use anyhow::Result;

use super::{ASKING, Facts};
use crate::keys::Version;
use crate::sys::exec::Tool;

/// dpkg's list of what is installed: some megabytes on a machine with a desktop.
const STATUS: &str = "/var/lib/dpkg/status";
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Databases of rpm, by their age.
const RPM_DATABASES: [&str; 4] = [
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
];

/// The oldest version of what is there: of dpkg's database, and where programs may be started of their own word and rpm's.
pub(super) fn oldest(facts: &Facts<'_>, start: bool) -> Result<Option<Version>> {
    let mut oldest = debian(facts)?;
    if !start {
        return Ok(oldest);
    }
    let mut ask = vec![("gitlab-runner", &["--version"][..])];
    // Where rpm has no database it makes one.
    if RPM_DATABASES.iter().any(|path| matches!(facts.stat(Path::new(path)), Ok(Some(_)))) {
        ask.push(("rpm", &["-q", "--queryformat", "Version: %{VERSION}\\n", "gitlab-runner"]));
    }
    for (tool, arguments) in ask {
        if let Some(program) = facts.tool(tool) {
            let done = Tool::new(&program).args(arguments).patience(ASKING).run()?;
            let version = said(&done.stdout).filter(|_| done.success());
            oldest = oldest.into_iter().chain(version).min();
        }
    }
    Ok(oldest)
}

/// The version in dpkg's database; `None` when the package is not installed from a Debian package.
fn debian(facts: &Facts<'_>) -> Result<Option<Version>> {
    let Some(seen) = facts.file(Path::new(STATUS), MOST_BYTES)? else { return Ok(None) };
    let text = seen.text();
    Ok(["gitlab-runner", "gitlab-runner-fips"].iter().find_map(|name| installed(&text, name)))
}

/// The version in the stanza of a package that is installed, not merely remembered.
fn installed(status: &str, name: &str) -> Option<Version> {
    let head = format!("Package: {name}");
    let stanza = status.split("\n\n").find(|stanza| stanza.lines().any(|line| line == head))?;
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if !field("Status")?.ends_with(" installed") {
        return None;
    }
    let version = field("Version")?;
    version.split_once(':').map_or(version, |(_epoch, version)| version).parse().ok()
}

/// The version in what `gitlab-runner --version` prints: a line `Version:      16.1.0`.
fn said(text: &str) -> Option<Version> {
    text.lines().find_map(|line| line.trim().strip_prefix("Version:")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_package_counts() {
        let status = |state: &str, version: &str| {
            format!(
                "Package: git\nStatus: install ok installed\nVersion: 1:2.39.5-0\n\nPackage: gitlab-runner\n\
                 Status: {state}\nPriority: extra\nDescription: x\n Package: y\nVersion: {version}\n\nPackage: z\n"
            )
        };
        let version = |state, version| installed(&status(state, version), "gitlab-runner");
        assert_eq!(version("install ok installed", "15.6.0-1"), Some(Version(15, 6, 0)));
        assert_eq!(version("hold ok installed", "1:16.1.0-1"), Some(Version(16, 1, 0)));
        assert_eq!(version("deinstall ok config-files", "16.1.0-1"), None);
        assert_eq!(version("install ok half-installed", "16.1.0-1"), None);
        assert_eq!(installed(&status("install ok installed", "1.2"), "gitlab"), None);
    }

    #[test]
    fn the_programs_own_word_is_read() {
        let text = "Version:      17.4.0\nGit revision: b92ee590\nGit branch:   17-4-stable\n";
        assert_eq!(said(text), Some(Version(17, 4, 0)));
        assert_eq!(said("Version: development version\n"), None);
    }
}
