//! `runner-prep gitlab`: from the arguments to a report and an exit code.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use super::exit::{Call, Exit, Streams};
use super::key;
use super::output::print;
use super::place::Site;
use super::store::sections;
use crate::cli::{self, Environment, GitlabOptions};
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::{self, Nature, fault, quoted, repair};
use crate::finding::{COULD_NOT_LOOK, Finding, Findings};
use crate::gitlab::connection::Connection;
use crate::gitlab::section::{self, GitlabSection};
use crate::gitlab::{self, Asked, by_hand, public_keys};
use crate::profile::Profile;
use crate::repair::Repair;
use crate::report::{DetailLevel, Report};
use crate::seen::{FileKind, Seen, Stat};
use crate::sys::identity;
use crate::sys::root::Root;
use crate::text::public_key::{PublicLine, public_line};

/// How long all requests of `doctor --online` together may take, in seconds.
const ONLINE_SECONDS: u64 = 30;

/// Plan, check or apply.
pub(super) fn run(call: Call<'_>, command: &cli::GitlabCommand, streams: &mut Streams<'_>) -> Exit {
    let (options, call) = match command {
        cli::GitlabCommand::Plan { options, .. } => (options, call.with_differences()),
        cli::GitlabCommand::Apply(options) | cli::GitlabCommand::Check(options) => (options, call),
    };
    let report =
        work(call, command, options).unwrap_or_else(|error| Report::failed(&options.profile, &error));
    print(&report, call, streams);
    match command {
        cli::GitlabCommand::Plan { exit_code, .. } => Exit::looked(&report, *exit_code, false),
        cli::GitlabCommand::Apply(_) | cli::GitlabCommand::Check(_) => Exit::looked(&report, true, true),
    }
}

fn work(call: Call<'_>, command: &cli::GitlabCommand, options: &GitlabOptions) -> Result<Report> {
    let site = Site::open(call, options.user.as_deref())?;
    let facts = site.facts();
    let names = &options.profile;
    let profile = Profile::load(names, &sections(), &site)?;
    let wanted = section::of(&profile)?.filter(|wanted| !wanted.is_empty()).ok_or_else(|| {
        fault(
            "gitlab-section",
            format!("the profile {} wants nothing of GitLab: it has no [[gitlab.project]] and no [[gitlab.runner]]", names.join(",")),
            "add one; its keys are described in: $ runner-prep schema profile",
        )
    })?;
    let files = NamedFiles { machine: site.machine(), tree: site.root.prefix() };
    let keys = files.keys(&wanted, options, &site.root, &facts)?;
    if let cli::GitlabCommand::Plan { offline: true, .. } = command {
        return Ok(Report::steps(names, by_hand::steps(&wanted, &keys)));
    }
    let gitlab = files.connect(&wanted, options)?;
    let asked = Asked {
        profiles: names,
        wanted: &wanted,
        keys: &keys,
        runner_tokens: options.runner_tokens.as_deref(),
        extent: call.extent(),
    };
    match command {
        cli::GitlabCommand::Apply(_) => gitlab::apply(&gitlab, &asked),
        cli::GitlabCommand::Plan { .. } => gitlab::plan(&gitlab, &asked, true),
        cli::GitlabCommand::Check(_) => gitlab::plan(&gitlab, &asked, false),
    }
}

/// What `gitlab check` would say, as findings of `doctor`: nothing where the profile wants nothing of GitLab, or nobody
/// gave a token.
pub(super) fn findings(
    asked: &cli::DoctorOptions,
    profile: &Profile,
    (root, host): (&Root, &Facts<'_>),
) -> Vec<Finding> {
    let mut findings = Findings::of("online-gitlab");
    let has_token = asked.token_file.is_some() || Environment::token().is_some();
    let names: Vec<String> = profile.names.clone();
    let check = || -> Result<Option<Result<Report>>> {
        let Some(wanted) = section::of(profile)?.filter(|wanted| !wanted.is_empty()) else {
            return Ok(None);
        };
        let options = GitlabOptions {
            profile: names.clone(),
            public_key: None,
            user: asked.host.user.clone(),
            token_file: asked.token_file.clone(),
            runner_tokens: None,
            ca_file: asked.ca_file.clone(),
            timeout: ONLINE_SECONDS,
        };
        let files = NamedFiles { machine: root, tree: root.prefix() };
        let keys = files.keys(&wanted, &options, root, host)?;
        let gitlab = files.connect(&wanted, &options)?;
        let extent = DetailLevel::Lines;
        let asked = Asked { profiles: &names, wanted: &wanted, keys: &keys, runner_tokens: None, extent };
        Ok(Some(gitlab::plan(&gitlab, &asked, false)))
    };
    if !has_token {
        findings.fine("no token was given, so GitLab's settings were not looked at");
        return findings.into_list();
    }
    match check() {
        Ok(None) => findings.fine("the profile wants nothing of GitLab"),
        Ok(Some(Ok(report))) => {
            let apply = mend!("$ runner-prep gitlab apply --profile {}", quoted(names.join(",")));
            for change in &report.changes {
                findings.problem("gitlab-differs", format!("{}: {}", change.id, change.why), &apply);
            }
            for remark in &report.pending {
                findings.problem(&remark.code, &remark.message, &remark.repair);
            }
            for remark in &report.warnings {
                findings.note(&remark.code, &remark.message, &remark.repair);
            }
            findings.else_fine(report.msg);
        }
        // GitLab answered, and what it says is against the profile.
        Ok(Some(Err(error))) if fault::is(&error, Nature::Wrong) => {
            findings.problem("gitlab-differs", format!("{error:#}"), repair(&error));
        }
        Ok(Some(Err(error))) | Err(error) => {
            findings.unknown(COULD_NOT_LOOK, format!("{error:#}"), repair(&error));
        }
    }
    findings.into_list()
}

/// The files that the command line names.
struct NamedFiles<'a> {
    machine: &'a Root,
    /// The tree whose profiles and key are meant; `None` for the machine itself.
    tree: Option<&'a Path>,
}

impl NamedFiles<'_> {
    fn keys(
        &self,
        wanted: &GitlabSection,
        options: &GitlabOptions,
        root: &Root,
        host: &Facts<'_>,
    ) -> Result<Vec<PublicLine>> {
        if wanted.projects.iter().all(|project| project.deploy_key.is_none()) {
            return Ok(Vec::new());
        }
        match &options.public_key {
            Some(path) if path == Path::new("-") => {
                let mut text = Vec::new();
                let input = std::io::stdin().lock();
                input.take(MOST_BYTES).read_to_end(&mut text).context("cannot read standard input")?;
                public_keys::read(&text, "standard input")
            }
            Some(path) => {
                let shown = quoted(path);
                let repair = mend!(
                    "make it on each host of jobs, and put the lines together: $ sudo runner-prep key > {}",
                    shown
                );
                public_keys::read(&self.file(path, repair)?.bytes, &path.display().to_string())
            }
            None => {
                let (found, _) = key::find(root, host, options.user.as_ref()).map_err(|error| {
                    if !fault::is(&error, Nature::NoKey) {
                        return error;
                    }
                    let repair = "on each host of jobs, and put the lines together: $ sudo runner-prep key > keys; then add to this \
                                  command: --public-key keys";
                    Nature::NoKey.fault("no-key", error.to_string(), repair)
                })?;
                let line = public_line(found.line.as_bytes());
                Ok(vec![line.with_context(|| format!("cannot read {}", found.path.display()))?])
            }
        }
    }

    fn connect(&self, wanted: &GitlabSection, options: &GitlabOptions) -> Result<Connection> {
        let token = match &options.token_file {
            Some(path) => self.token(path)?,
            None => Environment::token().ok_or_else(|| {
                fault(
                    "gitlab-token",
                    "GitLab answers only with a token, and none was given",
                    mend!("put one of the scope api into a file of yours and name it with --token-file, or set GITLAB_TOKEN; \
                         without one: $ {}", self.offline(options)),
                )
            })?,
        };
        let ca = options
            .ca_file
            .as_ref()
            .map(|path| self.file(path, "give the path of the authority's certificate, in PEM".into()))
            .transpose()?;
        let ca = ca.as_ref().map(|entry| entry.bytes.as_slice());
        Connection::new(&wanted.url, token, ca, Duration::from_secs(options.timeout))
    }

    /// The command that shows the steps without a token.
    fn offline(&self, options: &GitlabOptions) -> String {
        let mut command =
            format!("runner-prep gitlab plan --offline --profile {}", quoted(options.profile.join(",")));
        let user = options.user.as_ref().map(Path::new);
        for (option, value) in
            [("--public-key", options.public_key.as_deref()), ("--user", user), ("--root", self.tree)]
        {
            if let Some(value) = value {
                command.extend([" ", option, " ", &quoted(value)]);
            }
        }
        command
    }

    /// The token alone, from a file that nobody else can read or change.
    fn token(&self, path: &Path) -> Result<Zeroizing<String>> {
        let make = mend!(
            "make it, and put a token of the scope api into it: $ install -m 0600 /dev/null {}",
            quoted(path)
        );
        let Seen { bytes, stat: Stat { uid, mode, .. }, .. } = self.file(path, make)?;
        let bytes = Zeroizing::new(bytes);
        let shown = path.display();
        let is_foreign = !self.machine.is_owner(uid) && uid != identity::user();
        if mode & 0o077 != 0 || is_foreign {
            return Err(fault(
                "gitlab-token",
                format!("others can read the token in {shown}, or change it: uid {uid}, mode {mode:04o}"),
                mend!(
                    "revoke that token in GitLab if anybody may have read it; for the next one: $ chmod 0600 {}",
                    quoted(path)
                ),
            ));
        }
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    /// The file that an option names; `repair` is what to do where there is none.
    fn file(&self, path: &Path, repair: Repair) -> Result<Seen> {
        match self.machine.given_file(path, MOST_BYTES)? {
            Some(entry) if entry.kind == FileKind::Regular => Ok(entry),
            found => {
                let what = found.map(|entry| entry.kind.to_string());
                let what = what.unwrap_or_else(|| "missing".to_owned());
                let message = format!("{} is {what}", path.display());
                Err(fault("gitlab-file", message, repair))
            }
        }
    }
}
