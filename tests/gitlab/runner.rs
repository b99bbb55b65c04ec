//! `[[gitlab.runner]]`: a runner that GitLab is to know, made once, whose token is kept.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use serde_json::{Value, json};

use super::Desk;
use super::support::gitlab::{ID, Quirk, State};
use super::support::{CANARY, PATH, have, run_limited};

/// Somebody with a profile that wants this of a runner, and nothing else.
fn desk(state: State, runner: &str) -> Desk {
    let desk = Desk::new(state, "");
    let url = desk.gitlab.url();
    desk.put(
        "ours.toml",
        &format!("summary = \"x\"\n[gitlab]\nurl = \"{url}\"\n[[gitlab.runner]]\n{runner}\n"),
    );
    desk
}

const SHELL: &str = "name = \"ci1-shell\"\nproject = \"group/k8s-repo\"\ntags = [\"shell\", \"rsync\"]";
const TO: [&str; 3] = ["apply", "--runner-tokens", "."];

/// A runner of the project that has asked for jobs.
fn known(more: &Value) -> Value {
    let mut runner = json!({
        "id": 31, "of": ID, "description": "ci1-shell", "runner_type": "project_type", "paused": false,
        "tag_list": ["shell", "rsync"], "run_untagged": false, "access_level": "not_protected", "status": "online",
    });
    for (key, value) in more.as_object().unwrap() {
        runner[key] = value.clone();
    }
    runner
}

#[test]
fn a_runner_is_made_once_and_its_token_is_kept_for_one_reader() {
    let desk = desk(State::default(), SHELL);
    desk.run(&["plan"]).ok().says("group/k8s-repo: runner ci1-shell").says("jobs tagged shell, rsync");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    desk.run(&TO).exit(3).says("has never asked for jobs").says("ci1-shell.token");
    let written = desk.gitlab.written();
    assert_eq!(
        written,
        [
            r#"POST /api/v4/user/runners {"description":"ci1-shell","project_id":7,"run_untagged":false,"runner_type":"project_type","tag_list":"shell,rsync"}"#
        ]
    );
    let file = desk.path("ci1-shell.token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("glrt-{CANARY}\n"));
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    // Until a host registers it, something waits, and nothing is written.
    desk.run(&["check"]).exit(3);
    desk.run(&TO).exit(3);
    desk.gitlab.state().runners[0]["status"] = json!("online");
    assert_eq!(desk.settles(), Vec::<String>::new());
}

#[test]
fn a_runner_of_a_group_is_made_by_an_owner_alone() {
    let group = SHELL.replace("project = \"group/k8s-repo\"", "group = \"group\"");
    let refused = desk(State::default(), &group);
    refused
        .run(&["plan"])
        .exit(2)
        .says("cannot look at the runners of group")
        .says("403")
        .says("an Owner of the group");
    let desk = desk(State { role: 50, ..State::default() }, &group);
    desk.run(&TO).exit(3);
    let written = desk.gitlab.written();
    assert!(written[0].contains(r#""group_id":21"#) && written[0].contains("group_type"), "{written:?}");
    desk.run(&["plan"]).ok();
    let unseen = self::desk(State::default(), &group.replace("\"group\"", "\"nobody\""));
    unseen.run(&["plan"]).exit(2).says("the group nobody is not there");
}

#[test]
fn a_runner_that_is_there_takes_more_jobs_and_never_fewer() {
    for (more, asked, sent) in [
        (json!({}), "", None),
        (json!({ "tag_list": ["rsync", "shell", "more"], "run_untagged": true }), "", None),
        (json!({ "tag_list": ["own"] }), "", Some(r#"{"run_untagged":false,"tag_list":"own,shell,rsync"}"#)),
        (json!({}), "run_untagged = true", Some(r#"{"run_untagged":true,"tag_list":"shell,rsync"}"#)),
        // Of another place, or of another name, it is another one.
        (json!({ "runner_type": "instance_type" }), "", Some("POST")),
        (json!({ "runner_type": "group_type" }), "", Some("POST")),
        (json!({ "description": "ci1-shell-old" }), "", Some("POST")),
        (json!({ "description": null }), "", Some("POST")),
    ] {
        let case = format!("{more} {asked}");
        let desk =
            desk(State { runners: vec![known(&more)], ..State::default() }, &format!("{SHELL}\n{asked}"));
        let run = desk.run(&TO);
        let written = desk.gitlab.written();
        match sent {
            None => {
                run.ok();
                assert_eq!(written, Vec::<String>::new(), "{case}");
            }
            Some("POST") => {
                assert!(written[0].starts_with("POST /api/v4/user/runners "), "{case}: {written:?}");
            }
            Some(sent) => {
                run.ok();
                assert_eq!(written, [format!("PUT /api/v4/runners/31 {sent}")], "{case}");
            }
        }
        desk.run(&TO);
        assert_eq!(desk.gitlab.written(), Vec::<String>::new(), "{case}");
    }
    // Of two of that name, the one that works is looked at.
    let runners =
        vec![known(&json!({ "status": "never_contacted", "tag_list": [] })), known(&json!({ "id": 32 }))];
    desk(State { runners, ..State::default() }, SHELL).run(&["check"]).ok();
    let paused = desk(State { runners: vec![known(&json!({ "paused": true }))], ..State::default() }, SHELL);
    paused.run(&TO).exit(3).says("is paused in GitLab");
    assert_eq!(paused.gitlab.written(), Vec::<String>::new());
    let protected =
        State { runners: vec![known(&json!({ "access_level": "ref_protected" }))], ..State::default() };
    desk(protected, SHELL).run(&["check"]).ok().says("protected branches and tags alone");
}

/// Without a place for the token, nothing is sent; and a file that is there is nobody's to lose.
#[test]
fn no_runner_is_made_whose_token_would_be_lost() {
    let desk = desk(State::default(), SHELL);
    desk.run(&["plan"]).ok().says("no place is named for it");
    desk.run(&["check"]).exit(1).says_not("no place is named for it");
    desk.run(&["apply"]).exit(2).says("no place is named for it").says("--runner-tokens .");
    desk.run(&["apply", "--runner-tokens", "nowhere"]).exit(2).says("can't be put into");
    desk.put("ci1-shell.token", "glrt-former\n");
    desk.run(&TO).exit(2).says("mv -n ./ci1-shell.token ./ci1-shell.token.old");
    std::fs::remove_file(desk.path("ci1-shell.token")).unwrap();
    std::os::unix::fs::symlink("elsewhere", desk.path("ci1-shell.token")).unwrap();
    desk.run(&TO).exit(2).says("can't be put into");
    assert!(!desk.path("elsewhere").exists());
    std::fs::remove_file(desk.path("ci1-shell.token")).unwrap();
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    // What GitLab refuses, and what it does not answer, leaves no file.
    for quirk in
        [Quirk::Status(403, "", "{\"message\":\"403 Forbidden - Insufficient permissions\"}", 9), Quirk::Cut]
    {
        desk.gitlab.asked();
        desk.gitlab.state().quirk = Some((3, quirk));
        desk.run(&TO).exit(2);
        assert!(!desk.path("ci1-shell.token").exists());
    }
    // A disk that takes nothing: the runner goes again.
    desk.gitlab.state().quirk = None;
    desk.gitlab.asked();
    let mut full = Command::new("/bin/sh");
    full.args(["-c", "trap '' XFSZ; (ulimit -f 0; exec \"$@\") 2>&1 | cat", "sh"]).arg(super::program());
    full.args([
        "gitlab",
        "apply",
        "--profile",
        "./ours.toml",
        "--token-file",
        "token",
        "--runner-tokens",
        ".",
    ]);
    full.env_clear().env("PATH", PATH).current_dir(desk.directory.path());
    run_limited(&mut full).says("it was deleted again").says_not(CANARY);
    assert_eq!(desk.gitlab.written().len(), 2);
    assert_eq!(desk.gitlab.state().runners, Vec::<Value>::new());
    assert!(!desk.path("ci1-shell.token").exists());
}

/// What would fail is found before the first call that writes.
#[test]
fn without_a_place_for_the_token_nothing_else_is_begun_either() {
    let desk = Desk::new(State::default(), &format!("{}\n[[gitlab.runner]]\n{SHELL}", super::ALL));
    desk.run(&["apply"]).exit(2).says("no place is named for it");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    desk.run(&TO).exit(3);
    assert_eq!(desk.gitlab.written().len(), 4);
}

#[test]
fn what_cannot_be_a_runner_is_told_with_its_place() {
    for (runner, said) in [
        ("name = \"a/b\"\nproject = \"group/x\"", "without /"),
        ("name = \".a\"\nproject = \"group/x\"", "without /"),
        ("name = \"\"\nproject = \"group/x\"", "in one line"),
        ("name = \"a\"", "one of `project` and `group`"),
        ("name = \"a\"\nproject = \"group/x\"\ngroup = \"group\"", "one of `project` and `group`"),
        ("name = \"a\"\nproject = \"group\"", "not a path of a project"),
        ("name = \"a\"\nproject = \"group/x\"\ntags = [\"a,b\"]", "can't be a tag"),
    ] {
        desk(State::default(), runner).run(&["plan"]).exit(2).says(said);
    }
    let old = State { version: "15.11.0", ..State::default() };
    desk(old, SHELL).run(&["plan"]).exit(2).says("16.0");
}

/// What is printed without a token makes the same runner; what is printed to take it back does so.
#[test]
fn the_printed_lines_make_a_runner_and_take_it_back() {
    if !have(&["python3"]) {
        return;
    }
    let desk = desk(State::default(), SHELL);
    desk.put("glab", super::undo::GLAB);
    std::fs::set_permissions(desk.path("glab"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let carry_out = |document: &Value, of: &str| {
        for step in document[of].as_array().unwrap() {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-euc", step["command"].as_str().unwrap()]).env_clear();
            shell.env("GITLAB_TOKEN", format!("glpat-{CANARY}"));
            run_limited(shell.env("PATH", format!("{}:{PATH}", desk.directory.path().display()))).ok();
        }
    };
    let offline =
        run_limited(desk.command(&["plan", "--offline", "--json"]).env("GITLAB_TOKEN", "")).ok().json();
    carry_out(&offline, "by_hand");
    let by_hand = std::mem::take(&mut desk.gitlab.state().runners);
    let document = desk.run(&["apply", "--runner-tokens", ".", "--json"]).exit(3).json();
    assert_eq!(desk.gitlab.state().runners, by_hand);
    carry_out(&document, "undo");
    assert_eq!(desk.gitlab.state().runners, Vec::<Value>::new());
    let narrow = known(&json!({ "tag_list": ["own"] }));
    desk.gitlab.state().runners = vec![narrow.clone()];
    let document = desk.run(&["apply", "--json"]).ok().json();
    assert_ne!(desk.gitlab.state().runners[0], narrow);
    carry_out(&document, "undo");
    assert_eq!(desk.gitlab.state().runners, [narrow]);
}
