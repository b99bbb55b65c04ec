//! Deployments.

use super::{Expected, Host, ID, changes, converged, file, made, possible, refused, repaired, root};

const PROFILE: &str = "[[deploy]]\nname = \"app\"\ntarget = \"/srv/www/app\"\n";
const TARGET: &str = "/srv/www/app";
const ENTRY: &str = "/usr/local/sbin/runner-deploy";
const DROP_IN: &str = "/etc/sudoers.d/gitlab-runner-deploy";
const DESCRIPTION: &str = "/etc/runner-prep/deploy/app.toml";
const ENTRY_TEXT: &str = "#!/usr/local/bin/runner-prep deploy\n# Managed by runner-prep. Called by jobs: sudo runner-deploy NAME\n";
const RULE: &str = "# Managed by runner-prep: edit its profile, not this file.\n\
    gitlab-runner ALL=(root:root) NOPASSWD: /usr/local/sbin/runner-deploy app\n";

/// The description as the program writes it; its text is the business of `text::deployment`.
fn description() -> String {
    prepared().0.text(DESCRIPTION)
}

fn everything(description: &str) -> Vec<Expected> {
    vec![
        made("/srv/www", root(0o755)),
        made(TARGET, root(0o755)),
        made("/etc/runner-prep", root(0o755)),
        made("/etc/runner-prep/deploy", root(0o755)),
        file(DESCRIPTION, None, description, root(0o644)),
        file(ENTRY, None, ENTRY_TEXT, root(0o755)),
        file(DROP_IN, None, RULE, root(0o440)),
    ]
}

/// A host as it is wanted.
fn prepared() -> Host {
    Host::new().applied(PROFILE, &[])
}

#[test]
fn everything_is_made_once() {
    if !possible() {
        return;
    }
    let text = description();
    assert!(
        text.contains("account = \"gitlab-runner\"") && text.contains("target = \"/srv/www/app\""),
        "{text}"
    );
    changes("missing", PROFILE, &Host::new(), &everything(&text));
    converged("right", PROFILE, &prepared());
}

#[test]
fn what_drifted_is_put_right() {
    if !possible() {
        return;
    }
    let text = description();
    let cases: [(&str, Host, Expected); 6] = [
        (
            "description",
            prepared().file(DESCRIPTION, 0o644, 0, "x"),
            file(DESCRIPTION, Some("x"), &text, root(0o644)),
        ),
        ("its mode", prepared().file(DESCRIPTION, 0o666, 0, &text), repaired(DESCRIPTION, root(0o644))),
        ("its owner", prepared().file(DESCRIPTION, 0o644, ID, &text), repaired(DESCRIPTION, root(0o644))),
        (
            "entry point",
            prepared().file(ENTRY, 0o755, 0, "#!/bin/sh\n"),
            file(ENTRY, Some("#!/bin/sh\n"), ENTRY_TEXT, root(0o755)),
        ),
        ("its mode", prepared().file(ENTRY, 0o4755, 0, ENTRY_TEXT), repaired(ENTRY, root(0o755))),
        ("rule", prepared().file(DROP_IN, 0o644, 0, RULE), repaired(DROP_IN, root(0o440))),
    ];
    for (name, host, expected) in cases {
        changes(name, PROFILE, &host, &[expected]);
    }
}

#[test]
fn a_target_that_jobs_reach_without_help_is_refused() {
    if !possible() {
        return;
    }
    refused("the account's", PROFILE, &prepared().dir(TARGET, 0o755, ID), "deploy-target");
    refused("open", PROFILE, &prepared().dir(TARGET, 0o777, 0), "deploy-target");
    refused("a file", PROFILE, &Host::new().file(TARGET, 0o644, 0, ""), "deploy-target");
    let open = Host::new().dir("/srv", 0o777, 0);
    refused("others write above it", PROFILE, &open, "deploy-target");
    let own = format!("{PROFILE}owner = \"gitlab-runner:gitlab-runner\"\n");
    refused("owned by jobs", &own, &Host::new(), "deploy-owner");
    let nobody = format!("{PROFILE}owner = \"www:www\"\n");
    refused("owner missing", &nobody, &Host::new(), "deploy-owner");
    refused("entry point is a link", PROFILE, &Host::new().link(ENTRY, "/bin/sh"), "deploy-file-kind");
    let fifo = Host::new().fifo(DESCRIPTION);
    refused("description is a FIFO", PROFILE, &fifo, "deploy-file-kind");
    let nowhere = Host::new().without("/usr/local/bin/runner-prep");
    refused("not installed", PROFILE, &nowhere, "program-not-installed");
}
