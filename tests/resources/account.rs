//! The account and its login shell.

use super::{Expected, Host, ID, changes, codes, converged, file, own, possible, refused};

const PLAIN: &str = "[account]\n";
const DOCKER: &str = "[account]\ngroups = [\"docker\"]\n";
const LOGOUT: &str = "/home/gitlab-runner/.bash_logout";
const DEBIAN: &str = "# leave\nif [ \"$SHLVL\" = 1 ]; then\n    [ -x /usr/bin/clear_console ] && /usr/bin/clear_console -q\nfi\n";
const UNIT: &str = "/etc/systemd/system/gitlab-runner.service";

fn create(name: &str) -> Expected {
    Expected::new("create", name, None)
}

fn join(group: &str) -> Expected {
    Expected::new("update", &format!("gitlab-runner:{group}"), None)
}

fn unit(user: &str) -> String {
    format!("[Service]\nExecStart=/usr/bin/gitlab-runner \"run\" \"--user\" \"{user}\"\n")
}

#[test]
fn the_account_is_made_once_and_found_by_every_name() {
    if !possible() {
        return;
    }
    changes("missing", PLAIN, &Host::bare(), &[create("gitlab-runner")]);
    let another =
        changes("named by the profile", "[account]\nname = \"ci\"\n", &Host::new(), &[create("ci")]);
    assert_eq!(codes(&another, "warnings"), ["account-other"]);
    let alone = changes("named and alone", "[account]\nname = \"ci\"\n", &Host::bare(), &[create("ci")]);
    assert!(codes(&alone, "warnings").is_empty());
    changes("named by the service", PLAIN, &Host::bare().file(UNIT, 0o644, 0, unit("ci")), &[create("ci")]);
    converged("there", PLAIN, &Host::new());
    converged("old name", PLAIN, &Host::bare().account("gitlab_ci_multi_runner", 997, "/srv/ci"));
    let both = Host::new().account("ci", 1001, "/srv/ci").file(UNIT, 0o644, 0, unit("ci"));
    assert!(codes(&converged("of the service", PLAIN, &both), "warnings").is_empty());
    // Nothing that a profile says changes an account's own entry.
    converged("in another place", PLAIN, &Host::bare().account("gitlab-runner", 4711, "/opt/ci"));
}

#[test]
fn another_account_than_the_services_is_warned_of() {
    if !possible() {
        return;
    }
    let host = Host::new().file(UNIT, 0o644, 0, unit("ci"));
    assert_eq!(codes(&converged("the service's is missing", PLAIN, &host), "warnings"), ["service-user"]);
    let named =
        converged("named", "[account]\nname = \"gitlab-runner\"\n", &host.account("ci", 9, "/srv/ci"));
    assert_eq!(codes(&named, "warnings"), ["service-user"]);
}

#[test]
fn groups_are_joined_and_root_by_another_name_is_warned_of() {
    if !possible() {
        return;
    }
    let host = Host::new().group("docker", 120, "somebody").group("ci", 121, "");
    let notes = changes("no member", DOCKER, &host, &[join("docker")]);
    assert_eq!(codes(&notes, "warnings"), ["root-equivalent-group"]);
    changes("harmless", "[account]\ngroups = [\"ci\"]\n", &host, &[join("ci")]);
    let member = host.copy().group("docker", 120, "gitlab-runner");
    assert_eq!(codes(&converged("member", DOCKER, &member), "warnings"), ["root-equivalent-group"]);
    let missing = Host::bare().group("docker", 120, "");
    changes("both", DOCKER, &missing, &[create("gitlab-runner"), join("docker")]);
    refused("no group", DOCKER, &Host::new(), "group-missing");
}

#[test]
fn root_by_any_name_is_refused() {
    if !possible() {
        return;
    }
    let host = Host::bare().account("toor", 0, "/root");
    refused("uid 0", "[account]\nname = \"toor\"\n", &host, "account-is-root");
    refused("service", PLAIN, &Host::new().file(UNIT, 0o644, 0, unit("root")), "account-is-root");
    refused("no name", PLAIN, &Host::new().file(UNIT, 0o644, 0, unit("%wheel")), "account-name");
}

#[test]
fn a_login_shell_that_fails_is_repaired_and_nothing_else_is_touched() {
    if !possible() {
        return;
    }
    let commented = "# leave\n# if [ \"$SHLVL\" = 1 ]; then\n#     [ -x /usr/bin/clear_console ] && /usr/bin/clear_console -q\n# fi\n";
    let host = |mode, owner, text: &str| Host::new().file(LOGOUT, mode, owner, text);
    for mode in [0o644, 0o600] {
        let expected = file(LOGOUT, Some(DEBIAN), commented, own(mode));
        changes("skeleton", PLAIN, &host(mode, ID, DEBIAN), &[expected]);
    }
    changes(
        "made by root",
        PLAIN,
        &host(0o644, 0, "clear\n"),
        &[file(LOGOUT, Some("clear\n"), "# clear\n", own(0o644))],
    );
    converged("comments only", PLAIN, &host(0o644, ID, commented));
    converged("somebody's own", PLAIN, &host(0o644, ID, "echo bye\n"));
    let notes = converged("somebody's own that may fail", PLAIN, &host(0o644, ID, "tput clear\n"));
    assert_eq!(codes(&notes, "warnings"), ["login-shell"]);
    let notes = converged("FIFO", PLAIN, &Host::new().fifo(LOGOUT));
    assert_eq!(codes(&notes, "warnings"), ["login-shell"]);
    let notes = converged("two names", PLAIN, &host(0o644, ID, DEBIAN).hard_linked(LOGOUT));
    assert_eq!(codes(&notes, "warnings"), ["login-shell"]);
    let notes = converged("directory", PLAIN, &Host::new().dir(LOGOUT, 0o755, ID));
    assert_eq!(codes(&notes, "warnings"), ["login-shell"]);
    let other = "/home/gitlab-runner/other";
    let linked = |text: &str| Host::new().file(other, 0o644, ID, text).link(LOGOUT, "other");
    let notes = converged("link to the skeleton", PLAIN, &linked(DEBIAN));
    assert_eq!(codes(&notes, "warnings"), ["login-shell"]);
    refused("kept from the account", PLAIN, &host(0o600, 4711, DEBIAN), "foreign-owner");
}
