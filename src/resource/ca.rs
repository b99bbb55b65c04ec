//! The authority that signed the certificate of one's own GitLab server, where gitlab-runner looks for it.
//!
//! gitlab-runner trusts `/etc/gitlab-runner/certs/HOST.crt` for the server HOST, beside the system's own authorities,
//! unless the runner's `tls-ca-file` names another file (its `network/client.go`): `[config]` lets it name this one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::root_file::{RootFile, marked};
use super::{Context, ExaminedConfig, Resource};
use crate::change::{Change, FileKind, Notes};
use crate::facts::MOST_BYTES;
use crate::fault::{fault, quoted};
use crate::repair::Repair;
use crate::runner_config::{AUTHORITY, certificates_of, own_server};
use crate::text::certificates::{self, NoCertificates};

/// The `[ca]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ca {
    /// A file with certificates as PEM, and nothing else.
    file: AbsolutePath,
}

/// An absolute path.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "PathBuf")]
#[schemars(inline, with = "String", extend("pattern" = "^/"))]
struct AbsolutePath(PathBuf);

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = String;
    fn try_from(path: PathBuf) -> Result<Self, String> {
        if path.is_absolute() { Ok(Self(path)) } else { Err("`file` is an absolute path".to_owned()) }
    }
}

impl Ca {
    /// The file of the profile.
    pub(super) fn file(self) -> PathBuf {
        self.file.0
    }

    /// Its certificates.
    fn certificates(&self, context: &Context<'_>) -> Result<String> {
        let shown = self.file.0.display();
        let refuse = |what: String, repair: Repair| Err(fault("ca-file", what, repair));
        let seen = context.facts.given_file(&self.file.0, MOST_BYTES)?;
        let Some(seen) = seen.filter(|seen| seen.kind == FileKind::Regular) else {
            let what = format!("{shown} with the certificate of the authority is missing, or no file");
            return refuse(what, "put it there as PEM, or correct `file` below [ca] of the profile".into());
        };
        match certificates::read(&seen.text()) {
            Ok(all) => Ok(all.concat()),
            Err(NoCertificates::Secret) => Err(fault(
                "ca-private-key",
                format!("a private key is in {shown}: it is for nobody but the authority itself"),
                "keep it elsewhere, and leave the certificates alone in that file",
            )),
            Err(NoCertificates::None) => refuse(
                format!("no certificate as PEM is in {shown}"),
                mend!("look at it: $ cat {}", quoted(&self.file.0)),
            ),
            Err(NoCertificates::Broken(line)) => refuse(
                format!("{shown}: line {line}: something else than a whole certificate begins here"),
                "leave whole certificates alone in that file, each with the lines around it that PEM has"
                    .into(),
            ),
        }
    }
}

impl Resource for Ca {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let certificates = self.certificates(context)?;
        let config = ExaminedConfig::of(context).checked()?;
        let (shown, runners) = (config.shown(), config.runners()?);
        let registered = runners.iter().filter_map(|runner| runner.text("url"));
        let urls = registered.chain(context.options.registers.iter().map(String::as_str));
        let hosts: BTreeSet<&str> = urls.filter_map(own_server).collect();
        if hosts.is_empty() {
            notes.wait(
                "ca-no-server",
                format!("no runner of {shown} is of a server with a certificate of its own: [ca] has no server yet"),
                "register the runner first, with --tls-ca-file and the file of [ca]; or let the profile do it: [[register]]",
            );
            return Ok(Vec::new());
        }
        let mut changes = Vec::new();
        for host in &hosts {
            let path = PathBuf::from(certificates_of(host));
            let why = format!("gitlab-runner trusts {host} by it");
            let file = RootFile::new("ca", &path, Some(marked(&certificates)), &why);
            RootFile { directories: 0o700, meaning, ..file }.plan(context, &mut changes)?;
            for runner in
                runners.iter().filter(|runner| runner.text("url").and_then(own_server) == Some(host))
            {
                let other =
                    runner.text(AUTHORITY).filter(|other| !other.is_empty() && Path::new(other) != path);
                if other.is_some() && !context.options.trusts_authority {
                    notes.warn(
                        "ca-overridden",
                        format!(
                            "{}: its `tls-ca-file` names another file, and gitlab-runner reads that one and not {}",
                            runner.title(),
                            path.display()
                        ),
                        mend!("give it this one in the profile, below [config]: tls-ca-file = \"{}\"", path.display()),
                    );
                }
            }
        }
        if changes.is_empty() {
            let hosts: Vec<&str> = hosts.into_iter().collect();
            notes.right("ca", format!("gitlab-runner has the certificates for {}", hosts.join(", ")));
        }
        Ok(changes)
    }
}

/// The certificates of a file; of one that has something else, all of it.
fn meaning(text: &str) -> String {
    certificates::read(text).map_or_else(|_| text.to_owned(), |all| all.concat())
}
