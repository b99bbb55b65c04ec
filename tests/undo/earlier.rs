//! Entries of the first format, which an earlier program wrote, and those of today: both are undone, also in a file that
//! was written anew since.
//!
//! `tests/fixtures/journal-1` is what that program left: its journal after two runs, and `config.toml`. The `0.before` of
//! the first run is the file before all.

use super::{CONFIG, JOURNAL};
use crate::support::{Tree, fixture, is_root, skip};

const RUNS: [&str; 2] = ["20261130T040752Z-0001", "20261130T040753Z-0001"];

fn kept(path: &str) -> String {
    String::from_utf8(fixture(&format!("journal-1/{path}"))).unwrap()
}

/// The file before each run, and after the last.
fn states() -> [String; 3] {
    let before = |run| kept(&format!("{run}/0.before"));
    [before(RUNS[0]), before(RUNS[1]), kept("config.toml")]
}

/// The host as the earlier program left it.
fn earlier() -> Tree {
    let mut tree = host(&kept("config.toml"));
    for run in RUNS {
        for file in ["0.before", "entry.json"] {
            tree = tree.file_mode(&format!("{JOURNAL}/{run}/{file}"), kept(&format!("{run}/{file}")), 0o600);
        }
    }
    tree
}

/// The same two runs by today's program.
fn today() -> Tree {
    let profile = |limit: u8, image: u8, more: &str| {
        format!(
            "summary = \"x\"\n[config]\nexecutors = [\"docker\"]\nenvironment = [\"A={limit}\", \
             \"DOCKER_TLS_CERTDIR=/certs\"]\nlimit = {limit}\n[config.docker]\nprivileged = true\nvolumes = \
             [\"/certs/client\", \"/cache\"]\n[config.global]\nconcurrent = 4\nlisten_address = \":9252\"\n\
             [config.cache.s3]\nBucketName = \"b\"\n[[config.docker.services]]\nname = \"docker:{image}-dind\"\n\
             command = [\"--mtu\", {more}]\nenvironment = [\"A=1\"]\n"
        )
    };
    let tree = host(&states()[0]);
    for (text, after) in
        [profile(2, 28, "\"1400\""), profile(3, 29, "\"1500\", \"-D\"")].iter().zip(&states()[1..])
    {
        tree.put("etc/runner-prep/profiles/mine.toml", text);
        tree.run(&["apply", "--profile", "mine", "--runner-version", "17.5"]).ok();
        assert_eq!(tree.text(CONFIG), *after);
    }
    tree
}

fn host(config: &str) -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file("etc/runner-prep/profiles/mine.toml", "")
        .config_toml(config)
}

/// gitlab-runner and others wrote the file since: no comment is left, each token is new, the runners stand in another
/// order, and there is one more, which looks like ours.
fn rewritten(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let uncommented: Vec<&str> = lines.map(|line| line.split(" #").next().unwrap_or_default()).collect();
    let text = uncommented.join("\n").replace("-1\"", "-2\"") + "\n";
    let mut runners: Vec<String> =
        text.split("[[runners]]").map(|part| format!("{}\n", part.trim_end())).collect();
    let top = runners.remove(0);
    runners.reverse();
    let new = "\n  name = \"new\"\n  url = \"https://gitlab.com/\"\n  id = 99\n  token = \"glrt-CANARY-new\"\n  \
               executor = \"docker\"\n  limit = 3\n  [runners.docker]\n    image = \"docker:28\"\n    privileged = \
               true\n";
    runners.insert(1, new.to_owned());
    runners.iter().fold(top, |text, runner| text + "\n[[runners]]" + runner)
}

fn both() -> Option<[Tree; 2]> {
    if !is_root() {
        skip("the files of the earlier run were root's");
        return None;
    }
    Some([earlier(), today()])
}

#[test]
fn the_former_bytes_come_back() {
    for tree in both().into_iter().flatten() {
        let [first, second, _] = states();
        tree.run(&["undo", "--dry-run", "-v"]).ok().says("~ runners[0] \"web\": limit: 3 -> 2");
        tree.run(&["undo"]).ok().says("undone");
        assert_eq!(tree.text(CONFIG), second);
        tree.run(&["undo"]).ok().says("undone");
        assert_eq!(tree.text(CONFIG), first);
        tree.run(&["undo"]).ok().says("nothing to undo");
    }
}

#[test]
fn after_a_rewrite_only_the_values_of_the_runs_go_back() {
    for at_once in [false, true] {
        for tree in both().into_iter().flatten() {
            let [first, second, third] = states().map(|text| rewritten(&text));
            tree.put(CONFIG, third);
            let list = tree.run(&["undo", "--list", "--json"]).ok().json();
            let oldest = list["runs"][1]["id"].as_str().unwrap().to_owned();
            if at_once {
                tree.run(&["undo", "--to", &oldest]).ok().says("undone");
            } else {
                tree.run(&["undo"]).ok().says("undone");
                assert_eq!(tree.text(CONFIG), second);
                tree.run(&["undo"]).ok().says("undone");
            }
            assert_eq!(tree.text(CONFIG), first);
            tree.run(&["undo"]).ok().says("nothing to undo");
        }
    }
}

#[test]
fn a_runner_that_is_gone_or_could_be_several_is_named() {
    for tree in both().into_iter().flatten() {
        // It was registered anew: another number at the same server.
        let last = rewritten(&states()[2]);
        tree.put(
            CONFIG,
            last.replace("id = 11\n  token = \"glrt-CANARY-web", "id = 15\n  token = \"glrt-CANARY-web"),
        );
        let run = tree.run(&["undo"]);
        run.ok().says("runners[0] \"web\" is no longer in /etc/gitlab-runner/config.toml");
        assert!(tree.text(CONFIG).contains(
            "id = 15\n  token = \"glrt-CANARY-web-2\"\n  executor = \"docker\"\n  environment = [\"A=3\""
        ));
    }
    for tree in both().into_iter().flatten() {
        let twice =
            rewritten(&states()[2]).replace("name = \"new\"", "name = \"old\"").replace("  id = 99\n", "");
        tree.put(CONFIG, &twice);
        tree.run(&["undo"])
            .exit(2)
            .says("runners[1] \"old\": several runners could be the one")
            .says_not("CANARY");
        assert_eq!(tree.text(CONFIG), twice);
    }
}

/// Who reads the journal's description learns no token, and what it needs is all there: the former bytes may be gone.
#[test]
fn entries_of_today_hold_no_token_and_need_no_former_document() {
    let Some([_, tree]) = both() else { return };
    for run in super::entries(&tree) {
        let edits = tree.text(&format!("{JOURNAL}/{run}/0.edits"));
        assert!(
            edits.contains("\"web\"") && !edits.contains("CANARY") && !edits.contains("gitlab.com"),
            "{edits}"
        );
        tree.put(&format!("{JOURNAL}/{run}/0.before"), "other bytes");
    }
    tree.put(CONFIG, rewritten(&states()[2]));
    tree.run(&["undo"]).ok().says("undone");
    assert_eq!(tree.text(CONFIG), rewritten(&states()[1]));
    // What is done to the values has to be what was kept.
    let run = super::entries(&tree).remove(0);
    tree.put(&format!("{JOURNAL}/{run}/0.edits"), "{}");
    tree.run(&["undo"]).exit(2).says("0.edits: its bytes are not those that were kept");
    assert_eq!(tree.text(CONFIG), rewritten(&states()[1]));
}
