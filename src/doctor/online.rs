//! `doctor --online`: what lies behind the network, asked with the account's own ssh and git, with gitlab-runner, and
//! with curl. Never without being told to; nothing here opens a connection itself.
//!
//! Each program has a time limit, and each answer is in the words that a job would see.

use anyhow::Result;

use super::context::DoctorContext;
use super::context::{Check, Need, check};
use crate::facts::machine::Finished;
use crate::facts::programs::install;
use crate::facts::ssh::{Client, Trust};
use crate::finding::Findings;
use crate::repair::quoted;
use crate::runner_config::{self, Runner};
use crate::text::job_log::plain;
use crate::text::known_hosts::HostName;

/// What is asked where somebody said so, after all that needs no network.
pub(super) const CHECKS: &[Check] = &[
    check("online-ssh", &["ssh_key", "known_hosts"], &[Need::Account, Need::Machine], servers),
    check("online-git", &["ssh_key", "known_hosts"], &[Need::Account, Need::Machine], projects),
    check("online-runners", &[], &[Need::Config, Need::Program, Need::Machine], runners),
    check("online-registry", &[], &[Need::Machine], registries),
];

/// What keeps ssh from asking anybody, from waiting without end, and from leaving anything behind.
const OPTIONS: [&str; 8] = [
    "BatchMode=yes",
    "ConnectTimeout=8",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=1",
    "UpdateHostKeys=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
];

/// What ssh says when it could not even log in.
const OWN_FAILURE: i32 = 255;

/// curl, without a configuration of its own: one request, of which the status alone is shown.
const CURL: [&str; 12] = [
    "--disable",
    "--globoff",
    "--proto",
    "=http,https",
    "--silent",
    "--show-error",
    "--max-time",
    "10",
    "--output",
    "/dev/null",
    "--write-out",
    "%{http_code}",
];

/// Beginnings of what ssh says where no server answers.
const UNREACHABLE: [&str; 6] = [
    "Could not resolve hostname",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Connection closed by",
];

/// The options of ssh for one server.
fn options(context: &DoctorContext<'_>, host: &HostName) -> Result<Vec<String>> {
    let client = context.target.ssh(context.facts, host)?;
    // Told to take unknown keys, ssh would write them down.
    let writes = matches!(&client, Client::Does(settings) if settings.trust != Trust::Known);
    let options = OPTIONS.into_iter().chain(writes.then_some("UserKnownHostsFile=/dev/null"));
    Ok(options.flat_map(|option| ["-o".to_owned(), option.to_owned()]).collect())
}

/// A server of the profile by its name, and what findings about it have in common: nothing, where it is the only one.
fn wanted(context: &DoctorContext<'_>) -> Vec<(HostName, String)> {
    let hosts = &context.options.servers;
    let about = |host: &HostName| if hosts.len() == 1 { String::new() } else { host.to_string() };
    hosts.iter().map(|host| (host.clone(), about(host))).collect()
}

/// Each server of the profile lets the account in.
fn servers(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = context.account() else { return Ok(()) };
    for (host, about) in wanted(context) {
        let options = options(context, &host)?;
        let (port, address) = (host.port().to_string(), format!("git@{}", host.host()));
        let mut arguments: Vec<&str> = options.iter().map(String::as_str).collect();
        arguments.extend(["-T", "-p", &port, "--", &address]);
        let Some(said) = context.facts.ask(account, "ssh", &arguments, b"")? else {
            // The check of programs says so.
            return Ok(());
        };
        if said.code == Some(OWN_FAILURE) || said.code.is_none() {
            refused(&host, &about, &said, findings);
            continue;
        }
        match said.stdout.lines().chain(said.stderr.lines()).map(words).find(|line| line.contains("Welcome"))
        {
            // The key may be a person's, and then jobs may do what that person may.
            Some(greeting) => findings.about(about).note(
                "ssh-key-owner",
                format!("{} knows the key of {}: \"{greeting}\"", host.host(), account.name),
                "",
            ),
            None => findings.fine(format!("{} knows the key of {}", host.host(), account.name)),
        }
    }
    findings.else_fine("the profile names no server");
    Ok(())
}

/// What a failure of ssh means.
fn refused(host: &HostName, about: &str, said: &Finished, findings: &mut Findings) {
    let name = host.host();
    let lines: Vec<String> = said.stderr.lines().map(words).filter(|line| !line.is_empty()).collect();
    let line_with = |text: &str| lines.iter().find(|line| line.contains(text));
    let findings = findings.about(about);
    if let Some(line) = line_with("Host key verification failed") {
        let is_other = line_with("IDENTIFICATION HAS CHANGED").is_some();
        let what =
            if is_other { "another host key than the known one" } else { "a host key that is not known" };
        findings.problem(
            "host-key-refused",
            format!("{name} shows {what}: \"{line}\""),
            mend!("compare it with what the server's owner publishes, then give its line in the profile, under known_hosts: \
                 $ ssh-keyscan -p {} {}", host.port(), name),
        );
    } else if let Some(line) = line_with("Permission denied") {
        findings.problem(
            "ssh-key-unregistered",
            format!("{name} knows no key of the account: \"{line}\""),
            "add the key in GitLab, Settings > Repository > Deploy keys, with Grant write permissions to this key: \
             $ runner-prep key",
        );
    } else {
        let known = lines.iter().find(|line| UNREACHABLE.iter().any(|text| line.contains(text)));
        let line = known.or(lines.last()).map_or("nothing", String::as_str);
        let repair =
            mend!("see whether its name is right and its port open from here: $ getent hosts {}", name);
        findings.problem("server-unreachable", format!("{name} can't be reached by SSH: \"{line}\""), repair);
    }
}

/// Each project that the profile names can be fetched.
fn projects(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(account) = context.account() else { return Ok(()) };
    let Some((url, projects)) = &context.projects else { return Ok(()) };
    let server = runner_config::host_of(url).unwrap_or_default();
    // By SSH it may have another port.
    let known = wanted(context).into_iter().find(|(host, _)| host.host() == server);
    let Some((host, about)) = known.or_else(|| Some((HostName::parse(server).ok()?, server.to_owned())))
    else {
        return Ok(());
    };
    for path in projects {
        let own = context.facts.ask(account, "git", &["config", "--get", "core.sshCommand"], b"")?;
        let own = own.filter(Finished::success).map(|said| said.stdout.trim().to_owned());
        let command = own.filter(|own| !own.is_empty()).unwrap_or_else(|| "ssh".to_owned());
        let command = [vec![command], options(context, &host)?].concat().join(" ");
        let address = format!("ssh://git@{}:{}/{path}.git", bracketed(host.host()), host.port());
        let command = format!("core.sshCommand={command}");
        let arguments = ["-c", &command, "ls-remote", "--", &address, "HEAD"];
        let Some(said) = context.facts.ask(account, "git", &arguments, b"")? else { return Ok(()) };
        if said.success() {
            findings.fine(format!("{path} can be fetched"));
            continue;
        }
        let lines: Vec<String> = said.stderr.lines().map(words).filter(|line| !line.is_empty()).collect();
        let is_login = |line: &String| {
            ["Permission denied", "Host key verification failed"].iter().any(|text| line.contains(text))
        };
        if lines.iter().any(|line| is_login(line) || UNREACHABLE.iter().any(|text| line.contains(text))) {
            refused(&host, &about, &said, findings);
            continue;
        }
        // git goes on with words of its own, the same whatever the server said.
        let general = |line: &&String| {
            !line.starts_with("fatal: Could not read from remote")
                && !line.trim_matches(['=', ' ']).is_empty()
        };
        let line = lines.iter().find(|line| line.contains("could not be found") || line.contains("ERROR"));
        let line = line.or_else(|| lines.iter().find(general)).map_or("nothing", String::as_str);
        findings.about(&about).problem(
            "project-not-seen",
            format!("{path} can't be fetched with the key of {}: \"{line}\"", account.name),
            "add the key to that project in GitLab, Settings > Repository > Deploy keys, or correct its path in the \
             profile: $ runner-prep key",
        );
    }
    findings.else_fine("the profile names no project");
    Ok(())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// GitLab knows the token of each runner (`gitlab-runner verify`, which deletes nothing unless it is told to).
fn runners(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    let runners = context.all_runners()?;
    if runners.is_empty() {
        findings.fine("no runner is registered");
        return Ok(());
    }
    // `gitlab-runner verify` would make this file, which belongs to a gitlab-runner that has run.
    if context.facts.stat(&context.config.path.with_file_name(".runner_system_id"))?.is_none() {
        findings.unknown(
            "runner-unverified",
            "gitlab-runner has not run with this file yet, so it was not asked about the tokens in it",
            "$ systemctl start gitlab-runner",
        );
        return Ok(());
    }
    let Some(said) =
        context.facts.ask_tool("gitlab-runner", &["verify", "--config", &context.shown()], &[])?
    else {
        findings.unknown(
            "runner-unverified",
            "gitlab-runner is not where programs are looked for, so it was not asked about tokens",
            "see where it is: $ command -v gitlab-runner",
        );
        return Ok(());
    };
    // A line for each runner, in the order of the file. It may hold the address and a part of the token.
    let lines = said.stderr.lines().chain(said.stdout.lines()).map(plain);
    let verdicts: Vec<String> = lines.filter(|line| line.contains("verifying runner...")).collect();
    if verdicts.len() != runners.len() {
        findings.unknown(
            "runner-unverified",
            "gitlab-runner verify does not say whether GitLab knows the runners",
            mend!("see what it says: $ gitlab-runner verify --config {}", context.shown()),
        );
        return Ok(());
    }
    for (runner, verdict) in runners.iter().zip(&verdicts) {
        verified(runner, verdict, &context.shown(), findings);
    }
    Ok(())
}

/// What gitlab-runner says of one runner.
fn verified(runner: &Runner<'_>, verdict: &str, shown: &str, findings: &mut Findings) {
    let title = runner.title();
    let has = |texts: &[&'static str]| texts.iter().copied().find(|text| verdict.contains(text));
    let status = verdict.split_once("status=").and_then(|(_, rest)| rest.get(..3));
    let status = status.filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(said) = has(&["is not valid", "is removed", "orphaned"]) {
        let why = if said == "orphaned" {
            "has no project or group of it any more"
        } else {
            "does not know its token"
        };
        findings.problem(
            "runner-refused",
            format!("{title}: gitlab-runner verify says \"{said}\": GitLab {why}, and gives it no job"),
            "make a runner in GitLab, and register it with the token that it shows: $ gitlab-runner register",
        );
    } else if has(&["is valid", "is alive"]).is_some() {
        findings.fine(format!("{title}: GitLab knows its token"));
    } else {
        let known = [
            "certificate signed by unknown authority",
            "certificate has expired",
            "no such host",
            "connection refused",
            "i/o timeout",
            "no route to host",
            "network is unreachable",
        ];
        let why = match (status, has(&["client error", "runner... error"])) {
            (Some(status), _) => format!("gets status {status} from its server, and no word about the token"),
            (_, Some(_)) => "can't ask its server with this `url` and the `tls-` keys beside it".to_owned(),
            _ => {
                let why = has(&known).map(|why| format!(" (\"{why}\")")).unwrap_or_default();
                format!("gets no answer from its server{why}")
            }
        };
        let is_busy = status.is_some_and(|status| status == "429" || status.starts_with('5'));
        let repair = if is_busy {
            "run the same command again in a few minutes".into()
        } else {
            mend!(
                "see whether `url` in config.toml is right, and reached from here: $ gitlab-runner verify --config {}",
                shown
            )
        };
        let message = format!("{title}: gitlab-runner verify {why}");
        findings.problem("runner-server-unreachable", message, repair);
    }
}

/// Each registry that was named answers.
fn registries(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for registry in context.registries {
        let address = match registry.split_once("://") {
            Some(_) => registry.trim_end_matches('/').to_owned(),
            None => format!("https://{}", registry.trim_end_matches('/')),
        };
        let address = format!("{address}/v2/");
        let arguments = [&CURL[..], &["--", &address]].concat();
        let Some(said) = context.facts.ask_tool("curl", &arguments, &[])? else {
            let message = "curl is not installed, which would ask the registry";
            findings.unknown("registry-unreachable", message, install(context.facts, &["curl"])?);
            continue;
        };
        let status = said.stdout.trim();
        let message = match status {
            // Who it is, a job says with a token.
            "200" | "401" => {
                findings.fine(format!("{registry} answers"));
                continue;
            }
            _ if !said.success() => format!("{registry} does not answer: \"{}\"", words(&said.complaint())),
            _ => format!("{registry} answers with status {}, as no registry does", words(status)),
        };
        findings.about(registry).problem(
            "registry-unreachable",
            message,
            mend!("see what it says from here: $ curl -sS -o /dev/null {}", quoted(&address)),
        );
    }
    findings.else_fine("no registry was named");
    Ok(())
}

/// A line of another program or server, made fit to be shown.
fn words(line: &str) -> String {
    let line = line.trim().chars().filter(|c| !c.is_control());
    line.take(200).collect()
}
