//! Somebody changed what `apply` left: a person by hand, or gitlab-runner.

use super::{CONFIG, SUDOERS, tree};
use crate::support::{Tree, assert_unchanged, fixture};

#[test]
fn a_hand_edit_is_shown_and_nothing_is_undone() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let text = tree.text(SUDOERS).replace("/usr/bin/rsync", "/usr/bin/rsync, /usr/bin/true");
    tree.chmod(SUDOERS, 0o640);
    tree.put(SUDOERS, &text);
    tree.chmod(SUDOERS, 0o440);
    let before = tree.stamps();
    let run = tree.run(&["undo"]);
    run.exit(2).says("nothing was undone").says("/etc/sudoers.d/gitlab-runner");
    run.says("/usr/bin/true").says("mv /etc/sudoers.d/gitlab-runner");
    assert_unchanged(&before, &tree.stamps());
    let json = tree.run(&["undo", "--json"]).exit(2).json();
    assert_eq!(json["warnings"][0]["code"], "undo-changed-since");

    // What the message says helps.
    tree.remove(SUDOERS);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.read(CONFIG), fixture("config-docker-runner.toml"));
}

#[test]
fn a_changed_mode_is_a_change() {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
    tree.chmod(SUDOERS, 0o400);
    tree.run(&["undo"]).exit(2).says("its mode is 0400, runner-prep left 0440");
    tree.chmod(SUDOERS, 0o440);
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(SUDOERS));
}

/// What gitlab-runner does when it rotates a token: everything is written anew, without comments.
fn rewritten(tree: &Tree) -> String {
    let text = tree.text(CONFIG);
    text.replace("glrt-CANARY-docker-1", "glrt-CANARY-rotated-1").replace("concurrent = 1", "concurrent = 4")
}

#[test]
fn after_a_rewrite_by_gitlab_runner_only_our_values_are_put_back() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    assert!(tree.text(CONFIG).contains("/certs/client"));
    tree.put(CONFIG, rewritten(&tree));
    let run = tree.run(&["undo"]);
    run.ok().says("undone");
    let expected = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let expected = expected
        .replace("glrt-CANARY-docker-1", "glrt-CANARY-rotated-1")
        .replace("concurrent = 1", "concurrent = 4");
    assert_eq!(tree.text(CONFIG), expected);
    tree.run(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn a_runner_is_found_again_wherever_it_stands() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    // Another runner was registered and stands in front now.
    let text = rewritten(&tree).replacen(
        "[[runners]]",
        "[[runners]]\n  name = \"new\"\n  token = \"glrt-CANARY-new\"\n  [runners.docker]\n    privileged = true\n\n[[runners]]",
        1,
    );
    tree.put(CONFIG, &text);
    tree.run(&["undo"]).ok();
    let after = tree.text(CONFIG);
    assert_eq!(after.matches("privileged = true").count(), 1, "the new runner's own");
    assert_eq!(after.matches("privileged = false").count(), 1);
    assert!(after.contains("glrt-CANARY-new") && after.contains("glrt-CANARY-rotated-1"));
}

#[test]
fn a_value_that_somebody_changed_is_named_and_nothing_else() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    tree.put(CONFIG, rewritten(&tree).replace("DOCKER_TLS_CERTDIR=/certs", "DOCKER_TLS_CERTDIR=/other"));
    let before = tree.stamps();
    let run = tree.run(&["undo"]);
    run.exit(2).says("environment has \"DOCKER_TLS_CERTDIR=/other\"");
    run.says("docker.privileged still is true").says("docker.volumes still has \"/certs/client\"");
    run.says("runners[0].token").says("concurrent").says_not("rotated");
    assert_unchanged(&before, &tree.stamps());

    // What people took out themselves is no reason to refuse.
    let text = tree.text(CONFIG).replace("\"/certs/client\"", "\"/mine\"");
    tree.put(CONFIG, text.replace("DOCKER_TLS_CERTDIR=/other", "DOCKER_TLS_CERTDIR=/certs"));
    tree.run(&["undo"]).ok();
    let after = tree.text(CONFIG);
    assert!(
        after.contains("/mine")
            && !after.contains("DOCKER_TLS_CERTDIR")
            && after.contains("privileged = false")
    );
}

#[test]
fn a_torn_or_empty_configuration_is_refused() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    let applied = tree.text(CONFIG);
    let repair = "put a copy of it back, so that gitlab-runner can read it";
    for text in ["", "[[runners]\n  token = \"glrt-CANARY-torn\"\n"] {
        tree.put(CONFIG, text);
        tree.run(&["undo", "--json"]).exit(2).says("/etc/gitlab-runner/config.toml").says(repair);
        assert_eq!(tree.text(CONFIG), text);
    }
    tree.remove(CONFIG);
    tree.run(&["undo", "--json"]).exit(2).says("it is gone").says(repair);
    // What the message says helps.
    tree.put(CONFIG, applied);
    tree.chmod(CONFIG, 0o600);
    tree.put(CONFIG, rewritten(&tree));
    tree.run(&["undo"]).ok().says("undone");
}

/// Two elements set one variable, and the last one counts: that one is put back, and the other stays.
#[test]
fn of_two_variables_with_one_name_the_last_is_put_back() {
    let tree = tree();
    let text = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let twice =
        "executor = \"docker\"\n  environment = [\"DOCKER_TLS_CERTDIR=/certs\", \"DOCKER_TLS_CERTDIR=\"]\n";
    let text = text.replacen("executor = \"docker\"\n", twice, 1);
    assert!(text.contains("CERTDIR=\"]"));
    tree.put(CONFIG, &text);
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    assert!(!tree.text(CONFIG).contains("CERTDIR=\"]"));
    tree.put(CONFIG, rewritten(&tree));
    tree.run(&["undo"]).ok().says("undone");
    let expected = text.replace("glrt-CANARY-docker-1", "glrt-CANARY-rotated-1");
    assert_eq!(tree.text(CONFIG), expected.replace("concurrent = 1", "concurrent = 4"));
}

/// An inline table keeps no list that was made for our services alone.
#[test]
fn an_inline_list_of_services_goes_with_the_last_of_them() {
    let tree = tree();
    let text = "[[runners]]\nname = \"a\"\nurl = \"https://x/\"\ntoken = \"glrt-CANARY-docker-1\"\nexecutor = \"docker\"\ndocker = { image = \"x\" }\n";
    tree.put(CONFIG, text);
    let arguments =
        ["apply", "--profile", "dind-rootless-closed", "--only", "config", "--runner-version", "17.5"];
    tree.run(&arguments).ok();
    assert!(tree.text(CONFIG).contains("services = [{"));
    tree.put(CONFIG, rewritten(&tree));
    tree.run(&["undo"]).ok().says("undone");
    assert_eq!(tree.text(CONFIG), text.replace("docker-1", "rotated-1"));
}
