//! `[[config.docker.services]]` from a profile to `config.toml` and back: what others have there stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

mod support;

use support::{Tree, assert_unchanged};

const CONFIG: &str = "/etc/gitlab-runner/config.toml";
const PROFILE: &str = "/etc/runner-prep/profiles/mine.toml";

/// What a profile gives here.
const MINE: &str = "\
summary = \"x\"
[config]
executors = [\"docker\"]
[[config.docker.services]]
name = \"docker:28-dind\"
command = [\"--mtu\", \"1400\"]
environment = [\"A=1\"]
";

const DATABASE: &str = "    # the database
    [[runners.docker.services]] # of all jobs
      name = \"postgres:16\"
";

const OURS: &str = "    [[runners.docker.services]]
      name = \"docker:28-dind\"
      command = [\"--mtu\", \"1400\"]
      environment = [\"A=1\"]
";

/// A runner with these services.
fn config(services: &str) -> String {
    format!(
        "concurrent = 1\n\n[[runners]]\n  name = \"a\"\n  token = \"glrt-CANARY-1\"\n  executor = \"docker\"\n  [runners.docker]\n    \
         image = \"docker:28\"\n{services}  [runners.cache]\n    Shared = true\n\n[[runners]]\n  name = \"b\"\n  executor = \"shell\"\n"
    )
}

/// A host to which the profile was applied, twice: the second time nothing was written.
#[track_caller]
fn applied(services: &str) -> Tree {
    let tree = Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(config(services))
        .file(PROFILE, MINE);
    apply(&tree);
    tree
}

#[track_caller]
fn apply(tree: &Tree) {
    tree.run(&["apply", "--profile", "mine"]).ok();
    let after = tree.stamps();
    assert_eq!(tree.run(&["apply", "--profile", "mine", "--json"]).ok().json()["changed"], false);
    tree.run(&["check", "--profile", "mine"]).ok();
    assert_unchanged(&after, &tree.stamps());
}

/// gitlab-runner wrote the file anew: another token.
fn rotate(text: &str) -> String {
    text.replace("glrt-CANARY-1", "glrt-CANARY-2")
}

#[test]
fn services_come_and_the_former_bytes_come_back() {
    for services in ["", DATABASE, "    services = [{ name = \"postgres:16\" }]\n", OURS] {
        let tree = applied(services);
        if !services.contains('{') && services != OURS {
            assert_eq!(tree.text(CONFIG), config(&format!("{services}{OURS}")));
        }
        if services != OURS {
            tree.run(&["undo"]).ok();
        }
        assert_eq!(tree.text(CONFIG), config(services));
    }
}

#[test]
fn after_a_rewrite_only_our_service_goes() {
    for services in ["", DATABASE, "    services = [{ name = \"postgres:16\" }]\n"] {
        let tree = applied(services);
        tree.put(CONFIG, rotate(&tree.text(CONFIG)));
        tree.run(&["undo", "--dry-run", "-v"]).ok().says("docker.services[").says("docker:28-dind");
        tree.run(&["undo"]).ok().says("undone");
        assert_eq!(tree.text(CONFIG), rotate(&config(services)));
        tree.run(&["undo"]).ok().says("nothing to undo");
    }
    // Another one stands in front of it by now.
    let tree = applied("");
    let front = format!("    image = \"docker:28\"\n{DATABASE}");
    tree.put(CONFIG, rotate(&tree.text(CONFIG)).replace("    image = \"docker:28\"\n", &front));
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(DATABASE)));
    // It went by hand already.
    let tree = applied(DATABASE);
    tree.put(CONFIG, rotate(&config(DATABASE)));
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(DATABASE)));
}

#[test]
fn after_a_rewrite_a_changed_service_is_what_it_was() {
    let before = "    [[runners.docker.services]]
      name = \"docker:19.03-dind\" # old
      command = [\"--mtu\", \"9000\", \"-D\"]
      environment = [\"B=1\"]
";
    let tree = applied(before);
    let after = tree.text(CONFIG);
    assert!(after.contains("\"docker:28-dind\" # old") && after.contains("[\"B=1\", \"A=1\"]"), "{after}");
    // Another one stands in front of it by now.
    let front = format!("{DATABASE}    [[runners.docker.services]]");
    tree.put(CONFIG, rotate(&after).replace("    [[runners.docker.services]]", &front));
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(&format!("{DATABASE}{before}"))));
}

#[test]
fn a_service_that_somebody_changed_is_named_and_stays() {
    for (change, to, why) in [
        (
            "docker:28-dind",
            "docker:27-dind",
            "docker.services[0].name is \"docker:27-dind\", runner-prep set \"docker:28-dind\"",
        ),
        ("\"1400\"", "\"1500\"", "docker.services[0].command[1] is \"1500\", runner-prep set \"1400\""),
        ("\"1400\"]", "\"1400\", \"-D\"]", "docker.services[0].command has more words than runner-prep set"),
        ("A=1", "A=2", "docker.services[0].environment has \"A=2\", runner-prep set \"A=1\""),
        ("\"A=1\"", "\"A=1\", \"B=1\"", "docker.services[0].environment has more than runner-prep set"),
        (
            "      command",
            "      alias = \"x\"\n      command",
            "docker.services[0].alias is there, runner-prep did not set it",
        ),
    ] {
        let tree = applied("");
        tree.put(CONFIG, rotate(&tree.text(CONFIG)).replace(change, to));
        let before = tree.stamps();
        let run = tree.run(&["undo"]);
        run.exit(2).says(why).says_not("CANARY");
        assert!(!run.contains("also changed since: runners[0].docker.services"), "{run}");
        assert_unchanged(&before, &tree.stamps());
    }
    // One that was there before and is gone can't be put back.
    let tree = applied("    [[runners.docker.services]]\n      name = \"docker:19.03-dind\"\n");
    tree.put(CONFIG, rotate(&config("")));
    tree.run(&["undo"]).exit(2).says("docker.services no longer has the service \"docker:28-dind\"");
}

#[test]
fn several_runs_on_a_service_go_back_together() {
    let tree = applied(DATABASE);
    let other =
        MINE.replace("28-dind", "29-dind").replace("\"1400\"", "\"1500\", \"-D\"").replace("A=1", "A=2");
    tree.put(PROFILE, &other);
    apply(&tree);
    tree.put(CONFIG, rotate(&tree.text(CONFIG)));
    let text = tree.text(CONFIG);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(&format!("{DATABASE}{OURS}"))));
    tree.run(&["undo"]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(DATABASE)));

    // Both at once.
    let tree = applied(DATABASE);
    let first = tree.run(&["undo", "--list", "--json"]).ok().json()["runs"][0]["id"].clone();
    tree.put(PROFILE, &other);
    apply(&tree);
    tree.put(CONFIG, &text);
    tree.run(&["undo", "--to", first.as_str().unwrap()]).ok();
    assert_eq!(tree.text(CONFIG), rotate(&config(DATABASE)));
}
