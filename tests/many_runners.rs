//! A `config.toml` with as many runners as nobody has: it is changed, put back, and takes memory in proportion.

#![expect(clippy::disallowed_methods, reason = "a test looks at the journal itself")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::fmt::Write as _;
use std::process::Command;

use support::{Tree, assert_unchanged};

const CONFIG: &str = "etc/gitlab-runner/config.toml";
const JOURNAL: &str = "var/lib/runner-prep/journal";

/// As `gitlab-runner register` leaves it; every third runner lacks the list, every fifth is of another executor.
fn config(runners: usize) -> String {
    let mut text = "concurrent = 10\n\n[session_server]\n  session_timeout = 1800\n".to_owned();
    for number in 0..runners {
        let executor = if number % 5 == 4 { "shell" } else { "docker" };
        let _ = write!(
            text,
            "\n[[runners]]\n  name = \"runner {number}\"\n  url = \"https://gitlab.com\"\n  id = {number}\n  \
             token = \"token-{number}\"\n  executor = \"{executor}\"\n  [runners.docker]\n    image = \"a\"\n    \
             privileged = false\n"
        );
        if number % 3 != 0 {
            text += "    volumes = [\"/cache\"]\n";
        }
    }
    text
}

/// Changes all runners, and takes it back: the bytes, then the single values of a file that was written since.
fn there_and_back(runners: usize) {
    let before = config(runners);
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(&before);
    let prep = |command: &[&str]| tree.run(&[command, &["--profile", "dind", "--only", "config"]].concat());
    let meant = runners - runners / 5;

    prep(&["apply"]).ok().says("1 change made");
    let after = tree.text(CONFIG);
    assert_eq!(after.matches("privileged = true").count(), meant);
    assert_eq!(after.matches("\"/certs/client\"").count(), meant);
    assert_eq!(after.matches("environment = [\"DOCKER_TLS_CERTDIR=/certs\"]").count(), meant);
    let stamps = tree.stamps();
    prep(&["apply"]).ok().says("the host is as the profile wants it");
    prep(&["check"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
    let id = std::fs::read_dir(tree.path(JOURNAL)).unwrap().next().unwrap().unwrap().file_name();
    // All but the former bytes themselves.
    let file = |name: &str| tree.path(&format!("{JOURNAL}/{}/{name}", id.to_string_lossy()));
    let bytes =
        ["entry.json", "0.edits"].iter().map(|name| file(name).metadata().unwrap().len()).sum::<u64>();
    assert!(bytes < 4096 + 256 * meant as u64, "the journal takes {bytes} bytes for {meant} runners");

    tree.run(&["undo"]).ok();
    assert!(tree.text(CONFIG) == before, "the former bytes");

    // One by its name, another by its id.
    prep(&["apply", "--runner", "runner 7", "--runner", "12"]).ok().says("1 change made");
    assert_eq!(tree.text(CONFIG).matches("privileged = true").count(), 2);
    prep(&["apply", "--runner", "runner"]).exit(2).says("no runner with the name or id");
    tree.run(&["undo"]).ok();
    assert!(tree.text(CONFIG) == before, "the former bytes again");

    // gitlab-runner gets new tokens, and somebody registers one more in front of all others.
    prep(&["apply"]).ok();
    let first = "[[runners]]\n  name = \"new\"\n  executor = \"shell\"\n\n[[runners]]\n";
    let rewritten = |text: &str| text.replace("token-", "new-").replacen("[[runners]]\n", first, 1);
    tree.put(CONFIG, rewritten(&after));
    tree.run(&["undo"]).ok();
    let back = tree.text(CONFIG);
    // What had a list has the list, and what had none has none.
    assert!(back == rewritten(&before), "only our values");
}

#[test]
fn changing_and_putting_back_takes_memory_in_proportion() {
    // In kilobytes, the program itself with it: the trees of the file before and after; none where the former bytes come back.
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(config(3_000));
    let within = |most: &str, command: &[&str]| {
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh", most]).arg(support::program());
        tree.run_command(limited.args(command).arg("--root").arg(tree.top()))
    };
    within("131072", &["apply", "--profile", "dind", "--only", "config"]).ok().says("1 change made");
    within("65536", &["undo"]).ok();
    assert!(tree.text(CONFIG) == config(3_000), "the former bytes");
}

#[test]
fn three_thousand_runners_are_changed_and_put_back() {
    there_and_back(3_000);
}

#[test]
fn fifty_thousand_runners_are_changed_and_put_back() {
    if support::long() {
        there_and_back(50_000);
    }
}
