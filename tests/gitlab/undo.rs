//! What `apply` prints to take it back does so, pasted into a shell as it stands.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::support::gitlab::State;
use super::support::{CANARY, PATH, have, run_limited};
use super::{ALL, Desk, KEY, deploy_key};

/// GitLab's own program, as far as the printed lines need it: `glab api --hostname HOST -X METHOD PATH -f NAME=TEXT -F
/// NAME=VALUE`.
pub(super) const GLAB: &str = r#"#!/usr/bin/python3
import json, os, sys, urllib.request
words = sys.argv[1:]
assert words.pop(0) == "api", words
method, path, host, body = "GET", None, None, {}
while words:
    word = words.pop(0)
    if word == "--hostname":
        host = words.pop(0)
    elif word == "-X":
        method = words.pop(0)
    elif word in ("-f", "-F"):
        name, value = words.pop(0).split("=", 1)
        body[name] = json.loads(value) if word == "-F" and value in ("true", "false", "null") else value
    else:
        assert path is None, word
        path = word
data = json.dumps(body).encode() if body else None
headers = {"PRIVATE-TOKEN": os.environ["GITLAB_TOKEN"], "Content-Type": "application/json"}
print(urllib.request.urlopen(urllib.request.Request(f"http://{host}/api/v4/{path}", data, headers, method=method)).read().decode())
"#;

fn what(state: &State) -> String {
    let State { keys, projects, groups, variables, push, inbound, .. } = state;
    format!("{keys:?} {projects:?} {groups:?} {variables} {push} {inbound}")
}

#[test]
fn the_printed_lines_take_back_what_apply_did_and_nothing_else() {
    if !have(&["python3"]) {
        return;
    }
    let all = format!("{ALL}\npush_by_job_token = true")
        .replace("\"group/code-repo\"", "\"group/code-repo\", \"tools\"");
    let raised = State { keys: vec![deploy_key(KEY, false)], projects: vec![9], ..State::default() };
    let mut elsewhere = deploy_key(KEY, true);
    elsewhere.projects = vec![12];
    let enabled = State { keys: vec![elsewhere], groups: vec![22], ..State::default() };
    for state in [State::default(), raised, enabled] {
        let desk = Desk::new(state, &all);
        let before = what(&desk.gitlab.state());
        let document = desk.run(&["apply", "--json"]).ok().json();
        assert_ne!(what(&desk.gitlab.state()), before);
        desk.put("glab", GLAB);
        std::fs::set_permissions(desk.path("glab"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut steps = Vec::new();
        for step in document["undo"].as_array().unwrap() {
            let (said, command) = (step["what"].as_str().unwrap(), step["command"].as_str().unwrap());
            // Method and path stand in the words, too.
            let method = command.split(" -X ").nth(1).unwrap().split(' ').next().unwrap();
            assert!(said.contains(&format!(": {method} projects/7")), "{said}");
            steps.push(command.to_owned());
        }
        let mut shell = Command::new("/bin/sh");
        shell.args(["-euc", &steps.join("\n")]).env_clear().env("GITLAB_TOKEN", format!("glpat-{CANARY}"));
        run_limited(shell.env("PATH", format!("{}:{PATH}", desk.directory.path().display()))).ok();
        assert_eq!(what(&desk.gitlab.state()), before, "{steps:?}");
    }
}
