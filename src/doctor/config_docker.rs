//! `[runners.docker]` of the runners that are meant: what keeps Docker-in-Docker from working, or opens it.

use std::path::Path;

use anyhow::Result;

use super::DoctorContext;
use crate::finding::Findings;
use crate::repair::Repair;
use crate::runner_config::Runner;

/// Files that `tls_verify` needs in `tls_cert_path`.
const CERTIFICATES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// Look at every runner that is meant.
pub(super) fn look(context: &DoctorContext<'_>, findings: &mut Findings) -> Result<()> {
    for runner in context.docker_runners()? {
        let title = runner.title();
        if context.wanted.brings_dind() {
            environment(&title, &runner, findings);
        }
        link(context, &runner, findings)?;
        if context.facts.is_host() && runner.has_usual_daemon() {
            devices(context, &runner, findings)?;
        }
    }
    findings.else_fine("nothing in [runners.docker] stands in the way");
    Ok(())
}

/// Variables of the client in the runner's environment reach jobs that did not ask for them.
fn environment(title: &str, runner: &Runner<'_>, findings: &mut Findings) {
    let names = runner.environment();
    for name in ["DOCKER_TLS_VERIFY", "DOCKER_HOST"] {
        if names.iter().any(|element| element.split_once('=').is_some_and(|(key, _)| key == name)) {
            let what = format!("{title}: {name} in `environment` reaches every job, also those without TLS");
            findings.note("environment-docker", what, mend!("let the jobs that need {} set it", name));
        }
        let is_in = |line: &str| line.contains(name) && !line.trim_start().starts_with('#');
        if runner.text("pre_build_script").is_some_and(|script| script.lines().any(is_in)) {
            findings.note(
                "environment-docker",
                format!("{title}: `pre_build_script` runs before every job, and has {name} in it: what it makes of that is told only where it is certain"),
                mend!("let the jobs that need {} set it", name),
            );
        }
    }
}

/// What Docker is to bring into containers has to be there: a driver may not be loaded.
fn devices(context: &DoctorContext<'_>, runner: &Runner<'_>, findings: &mut Findings) -> Result<()> {
    for device in runner.docker_strings("devices") {
        let path = Path::new(device.split(':').next().unwrap_or_default());
        if path.is_absolute() && context.facts.stat(path)?.is_none() {
            let title = runner.title();
            let what = format!("{title}: a device in `devices` is not on this host, and every job fails");
            let repair = "load its driver, or take it out: each path before the first `:` has to be there";
            findings.about(&title).problem("device-missing", what, repair);
        }
    }
    Ok(())
}

/// `tls_verify` is about gitlab-runner's own link to the daemon, not about dind.
fn link(context: &DoctorContext<'_>, runner: &Runner<'_>, findings: &mut Findings) -> Result<()> {
    let title = runner.title();
    let value = format!("runners.{}.docker.tls_verify", runner.index);
    if runner.docker_flag("tls_verify") != Some(true) {
        return Ok(());
    }
    let is_wanted_off = context.wanted.wants("tls_verify", false);
    let off = |by_hand: &'static str| {
        let to_dind = "; TLS to dind is /certs/client and DOCKER_TLS_CERTDIR";
        if is_wanted_off { context.apply() } else { Repair::from(by_hand) + to_dind }
    };
    let host = runner.docker_text("host").unwrap_or_default();
    if host.is_empty() {
        // gitlab-runner then takes the address and TLS from its own environment, and neither from here.
        findings.about(value).note(
            "tls-verify-local",
            format!(
                "{title}: tls_verify has no effect without `host`, and nothing to do with dind; with a `host` it keeps \
                 gitlab-runner from the local daemon"
            ),
            off("take it out"),
        );
        return Ok(());
    }
    if ["unix://", "npipe://"].iter().any(|scheme| host.starts_with(scheme)) {
        findings.about(value).problem(
            "tls-verify-local",
            format!(
                "{title}: tls_verify makes gitlab-runner speak TLS to the local socket, whose daemon does not: every job \
                 fails with \"http: server gave HTTP response to HTTPS client\""
            ),
            off("set tls_verify = false"),
        );
        return Ok(());
    }
    let Some(directory) = runner.docker_text("tls_cert_path").filter(|path| path.starts_with('/')) else {
        findings.about(&title).problem(
            "tls-cert-path",
            format!("{title}: tls_verify needs tls_cert_path, the directory of {}", CERTIFICATES.join(", ")),
            "give tls_cert_path an absolute path",
        );
        return Ok(());
    };
    for name in CERTIFICATES {
        if context.facts.stat(&Path::new(directory).join(name))?.is_none() {
            // The path is a value of config.toml: it is not shown.
            findings.about(&title).problem(
                "tls-cert-path",
                format!("{title}: there is no {name} in its tls_cert_path"),
                mend!("put {} there, or take tls_verify out", CERTIFICATES.join(", ")),
            );
        }
    }
    if runner.is_remote() {
        findings.note("tls-verify-remote", format!("{title}: the daemon is another machine's"), "");
    }
    Ok(())
}
