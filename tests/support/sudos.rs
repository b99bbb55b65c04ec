//! The versions of sudo that throwaway hosts can have.

use std::path::PathBuf;

use super::{Host, HostBuilder, have, made, skip};

/// A version of sudo, as one release of a distribution has it.
#[derive(Debug)]
pub(crate) struct Sudo {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// The trees of `tests/sudos.sh` that are laid over the machine's `/usr`, the upper one first.
    layers: &'static [&'static str],
    /// How `sudo --version` begins.
    version: &'static str,
    /// Whether it is sudo-rs.
    pub(crate) is_rust: bool,
}

/// All of them: the machine's own, sudo and sudo-rs of other releases, and both beside each other.
pub(crate) const SUDOS: &[Sudo] = &[
    Sudo { name: "the machine's", layers: &[], version: "Sudo version ", is_rust: false },
    Sudo { name: "Debian 11's", layers: &["sudo-bullseye"], version: "Sudo version 1.9.5", is_rust: false },
    Sudo { name: "Debian 13's", layers: &["sudo-trixie"], version: "Sudo version 1.9.16", is_rust: false },
    Sudo { name: "Debian unstable's", layers: &["sudo-sid"], version: "Sudo version 1.", is_rust: false },
    Sudo {
        name: "Debian 13's sudo-rs",
        layers: &["sudo-rs-first", "sudo-rs-trixie"],
        version: "sudo-rs 0.2.5",
        is_rust: true,
    },
    Sudo {
        name: "Debian unstable's sudo-rs",
        layers: &["sudo-rs-first", "sudo-rs-sid"],
        version: "sudo-rs ",
        is_rust: true,
    },
    Sudo {
        name: "the machine's with sudo-rs beside it",
        layers: &["sudo-rs-sid"],
        version: "Sudo version ",
        is_rust: false,
    },
];

impl Sudo {
    /// A running host with this sudo, laid out by `lay_out`; `None` and a word of [`skip`] where there can be none.
    pub(crate) fn host(&self, lay_out: impl FnOnce(HostBuilder) -> HostBuilder) -> Option<Host> {
        let builder = Host::or_skip()?;
        if !have(&["sudo", "visudo", "su"]) {
            return None;
        }
        let trees = made("sudos");
        if !self.layers.is_empty() && !trees.join("complete").exists() {
            skip(&format!("{} sudo is not in {}: see tests/sudos.sh", self.name, trees.display()));
            return None;
        }
        let layers = self.layers.iter().map(|layer| trees.join(layer).join("usr"));
        let host = lay_out(builder).layers(layers.collect()).start();
        let said = host.sh("sudo --version");
        said.ok();
        // sudo-rs 0.2.5 says it on standard error.
        let says = [&said.stdout, &said.stderr].iter().any(|text| text.starts_with(self.version));
        assert!(says, "{}: {said}", self.name);
        eprintln!("with {} sudo: {}", self.name, said.stdout.lines().next().unwrap_or(&said.stderr));
        Some(host)
    }
}

/// The same test on a host for each of these versions of sudo.
pub(crate) fn with_each(
    sudos: impl IntoIterator<Item = &'static Sudo>,
    lay_out: impl Fn(HostBuilder) -> HostBuilder,
    test: impl Fn(&Sudo, &Host),
) {
    for sudo in sudos {
        if let Some(host) = sudo.host(&lay_out) {
            eprintln!(
                "with {} sudo: {}",
                sudo.name,
                host.sh("sudo --version 2>&1 | head -n 1").stdout.trim()
            );
            test(sudo, &host);
        }
    }
}
