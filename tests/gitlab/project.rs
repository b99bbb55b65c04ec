//! What GitLab is like: its traps, and what it says of a project.

use serde_json::json;

use super::support::gitlab::{Key, State};
use super::{ALL, Desk, KEY, OTHER, deploy_key};

const FINGERPRINT: &str = "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8";

#[test]
fn a_plan_says_what_and_why_and_writes_nothing() {
    let desk = Desk::new(State::default(), ALL);
    let run = desk.run(&["plan"]);
    run.ok()
        .says(&format!("group/k8s-repo: deploy key {FINGERPRINT}"))
        .says("it is not a deploy key of the project");
    run.says("job tokens of group/code-repo")
        .says("~ least role for pipeline variables: Maintainer -> Developer");
    run.says("3 changes to make");
    desk.run(&["plan", "--exit-code"]).exit(1);
    desk.run(&["check"]).exit(1);
    desk.run(&["check", "--quiet"]).exit(1).says_not("deploy key");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    let document = desk.run(&["check", "--json"]).json();
    assert_eq!((&document["status"], &document["changed"]), (&json!("differs"), &json!(true)));
    assert_eq!(document["changes"][0]["kind"], "gitlab");
    assert_eq!(document["diff"][2]["before"], "Maintainer\n");
}

#[test]
fn apply_tells_how_it_is_taken_back() {
    let desk = Desk::new(State::default(), ALL);
    let run = desk.run(&["apply", "--json"]);
    let host = desk.gitlab.url().replace("http://", "");
    let undo: Vec<String> = run.json()["undo"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        undo,
        [
            format!(
                "glab api --hostname {host} -X PUT projects/7 -f ci_pipeline_variables_minimum_override_role=maintainer"
            ),
            format!("glab api --hostname {host} -X DELETE projects/7/job_token_scope/allowlist/8"),
            format!("glab api --hostname {host} -X DELETE projects/7/deploy_keys/100"),
        ]
    );
    let desk = Desk::new(State { keys: vec![deploy_key(KEY, false)], ..State::default() }, ALL);
    desk.run(&["apply"]).ok().says("to take it back:").says("PUT projects/7/deploy_keys/5 -F can_push=false");
}

#[test]
fn verbose_says_what_is_right() {
    let desk = Desk::new(State::default(), ALL);
    desk.settles();
    let run = desk.run(&["check", "--verbose"]);
    run.ok().says("may push").says("job tokens of group/code-repo are let in").says("from Developer on");
    desk.gitlab.state().variables = "developer";
    desk.put("ours.toml", &desk.gitlab.profile("pipeline_variables = \"maintainer\""));
    desk.run(&["check", "-v"]).ok().says("wider than asked, and left so");
}

#[test]
fn keys_are_known_by_what_they_are() {
    // Another comment, the fingerprint alone, and on the second page.
    let mut first = deploy_key(&KEY.replace("gitlab-runner", "x y"), true);
    let desk = Desk::new(State { keys: vec![first.clone()], ..State::default() }, "deploy_key = \"push\"");
    desk.run(&["check"]).ok();
    first.sha256 = Some(FINGERPRINT.to_owned());
    first.line = "ssh-rsa x".to_owned();
    desk.gitlab.state().keys = vec![first];
    desk.run(&["check"]).ok();
    let many = (0..45).map(|id| Key { id, ..deploy_key(OTHER, true) }).chain([deploy_key(KEY, true)]);
    desk.gitlab.state().keys = many.collect();
    desk.run(&["check"]).ok();
    // A key that may read is no key that may push, and one that may push is one that may read.
    desk.gitlab.state().keys = vec![deploy_key(KEY, true)];
    desk.put("ours.toml", &desk.gitlab.profile("deploy_key = \"read\""));
    desk.run(&["check"]).ok();
    desk.gitlab.state().keys.clear();
    desk.settles();
    assert!(!desk.gitlab.state().keys[0].can_push);
}

#[test]
fn keys_of_several_hosts_are_all_wanted() {
    let desk = Desk::new(State { keys: vec![deploy_key(OTHER, false)], ..State::default() }, ALL);
    desk.put("keys", &format!("# two hosts\n{KEY}\n\n{OTHER}\r\n{KEY}\n"));
    let written = desk.settles();
    assert!(written[0].starts_with("POST /api/v4/projects/7/deploy_keys "), "{written:?}");
    assert!(written[1].starts_with("PUT /api/v4/projects/7/deploy_keys/5 "), "{written:?}");
    assert_eq!(desk.gitlab.state().keys.len(), 2);
}

#[test]
fn a_key_of_another_project_is_enabled() {
    for comment in ["gitlab-runner", "other"] {
        let key = Key { projects: vec![55], ..deploy_key(&KEY.replace("gitlab-runner", comment), true) };
        let desk = Desk::new(State { keys: vec![key], ..State::default() }, "deploy_key = \"push\"");
        desk.run(&["plan"]).ok().says("it is a deploy key of another project");
        assert_eq!(
            desk.settles(),
            [
                "POST /api/v4/projects/7/deploy_keys/5/enable null",
                "PUT /api/v4/projects/7/deploy_keys/5 {\"can_push\":true}"
            ]
        );
    }
}

#[test]
fn a_key_that_is_taken_elsewhere_is_explained() {
    let hidden = Key { projects: vec![99], ..deploy_key(&KEY.replace("gitlab-runner", "x"), true) };
    for state in [
        State { taken: vec![KEY.to_owned()], ..State::default() },
        State { keys: vec![hidden], ..State::default() },
    ] {
        let desk = Desk::new(state, ALL);
        let run = desk.run(&["apply"]);
        run.exit(2)
            .says("GitLab has this key already")
            .says("'keys?fingerprint=SHA256%3AeUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8'");
        // The others are made all the same, and can be taken back.
        run.says("DELETE projects/7/job_token_scope/allowlist/8");
        assert_eq!(desk.gitlab.state().variables, "developer");
        desk.run(&["apply"]).exit(2).says("GitLab has this key already").says_not("to take it back");
    }
}

#[test]
fn a_key_that_has_expired_waits() {
    let old = Key { expires_at: Some("2024-02-29T00:00:00.000Z".to_owned()), ..deploy_key(KEY, true) };
    let desk = Desk::new(State { keys: vec![old.clone()], ..State::default() }, "deploy_key = \"push\"");
    desk.run(&["check"]).exit(3).says("has expired").says("Settings > Repository > Deploy keys");
    for date in ["2999-01-01T00:00:00.000Z", "", "x-y-z", "9", "éééééééééé"] {
        desk.gitlab.state().keys = vec![Key { expires_at: Some(date.to_owned()), ..old.clone() }];
        desk.run(&["check"]).ok();
    }
}

#[test]
fn groups_cover_what_is_below_them() {
    let covered = |from: &str, groups: &[u64], projects: &[u64]| {
        let state = State { groups: groups.to_vec(), projects: projects.to_vec(), ..State::default() };
        let desk = Desk::new(state, &format!("job_tokens_from = [\"{from}\"]"));
        desk.settles()
    };
    for from in [
        "group/code-repo",
        "Group/Code-Repo",
        "group/sub/code",
        "group",
        "group/not-visible",
        "group/k8s-repo",
    ] {
        assert_eq!(covered(from, &[21], &[]), Vec::<String>::new(), "{from}");
    }
    assert_eq!(covered("group/k8s-repo", &[], &[]), Vec::<String>::new(), "a project lets its own jobs in");
    let many: Vec<u64> = (1000..1045).collect();
    assert_eq!(
        covered("group/code-repo", &[], &[&many[..], &[8]].concat()),
        Vec::<String>::new(),
        "the third page"
    );
    let to = "POST /api/v4/projects/7/job_token_scope";
    for (from, groups, wanted) in [
        ("group", vec![], format!("{to}/groups_allowlist {{\"target_group_id\":21}}")),
        ("group/sub", vec![22], String::new()),
        ("tools", vec![21], format!("{to}/groups_allowlist {{\"target_group_id\":22}}")),
        ("group/sub/code", vec![22], format!("{to}/allowlist {{\"target_project_id\":9}}")),
        ("group/code-repo", many, format!("{to}/allowlist {{\"target_project_id\":8}}")),
    ] {
        assert_eq!(covered(from, &groups, &[]).concat(), wanted, "{from}");
    }
}

#[test]
fn upstreams_that_cannot_be_let_in() {
    let desk = Desk::new(State::default(), "job_tokens_from = [\"group/unseen\"]");
    desk.run(&["plan"]).exit(2).says("group/unseen of `job_tokens_from` is not there").says("role Guest");
    let projects = (1000..1200).collect();
    let desk = Desk::new(State { projects, ..State::default() }, ALL);
    desk.run(&["plan"]).exit(2).says("has 200 entries").says("name a group");
    // The project itself stands there, too, and takes no place.
    desk.gitlab.state().projects.pop();
    desk.settles();
}

#[test]
fn an_open_project_is_reported_and_left() {
    let desk =
        Desk::new(State { inbound: false, ..State::default() }, "job_tokens_from = [\"group/unseen\"]");
    desk.run(&["apply"]).ok().says("lets in the job tokens of all projects").says("Settings > CI/CD");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    assert!(!desk.gitlab.state().inbound);
}

#[test]
fn a_least_role_is_widened_and_never_narrowed() {
    for (now, wanted) in [
        ("developer", "developer"),
        ("developer", "maintainer"),
        ("developer", "owner"),
        ("maintainer", "owner"),
        ("owner", "owner"),
    ] {
        let desk = Desk::new(
            State { variables: now, ..State::default() },
            &format!("pipeline_variables = \"{wanted}\""),
        );
        assert_eq!(desk.settles(), Vec::<String>::new(), "{now} {wanted}");
    }
    for variables in ["developer", "maintainer", "no_one_allowed"] {
        let state = State { variables, unrestricted: true, ..State::default() };
        let desk = Desk::new(state, "pipeline_variables = \"developer\"");
        assert_eq!(desk.settles(), Vec::<String>::new(), "without a restriction no role counts: {variables}");
    }
    let desk = Desk::new(State { variables: "no_one_allowed", ..State::default() }, ALL);
    desk.run(&["plan"]).ok().says("only an Owner may change that");
    desk.run(&["apply"])
        .exit(2)
        .says("have an Owner of group/k8s-repo set it")
        .says("Minimum role to use pipeline variables");
    // Older versions let a Maintainer do it.
    desk.gitlab.state().strict = false;
    desk.settles();
    let desk = Desk::new(State { variables: "everybody", ..State::default() }, ALL);
    desk.run(&["plan"]).exit(2).says("which this version of runner-prep does not know");
}

#[test]
fn what_is_not_shown_is_not_known() {
    for project in ["pipeline_variables = \"developer\"", "push_by_job_token = true"] {
        let desk = Desk::new(State { role: 30, ..State::default() }, project);
        desk.run(&["check"]).exit(2).says("does not show").says("role: Developer");
    }
    let desk = Desk::new(State { role: 30, ..State::default() }, ALL);
    desk.run(&["check"])
        .exit(2)
        .says("where the token's user is Developer")
        .says("take a token of a Maintainer");
}

#[test]
fn jobs_may_push_by_their_token() {
    let desk = Desk::new(State::default(), "push_by_job_token = true");
    assert_eq!(
        desk.settles(),
        ["PUT /api/v4/projects/7 {\"ci_push_repository_for_job_token_allowed\":true}"]
    );
    // And without a key of any host.
    assert!(desk.gitlab.state().push);
    desk.put("ours.toml", &desk.gitlab.profile("push_by_job_token = false"));
    desk.run(&["check"]).ok();
}

#[test]
fn old_servers_are_told_from_new_ones() {
    for (version, project, says) in [
        ("18.3.5", "push_by_job_token = true", "needs GitLab 18.4.0, and this is 18.3.5"),
        ("16.0.9-ee", "job_tokens_from = [\"group/code-repo\"]", "needs GitLab 16.1.0"),
        ("16.11.0", "job_tokens_from = [\"tools\"]", "from 17.0 on"),
    ] {
        let desk = Desk::new(State { version, ..State::default() }, project);
        desk.run(&["plan"]).exit(2).says(says);
        assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    }
    let desk = Desk::new(State { version: "odd", ..State::default() }, ALL);
    desk.settles();
    let desk = Desk::new(State { version: "16.5.0", ..State::default() }, ALL);
    desk.settles();
}

#[test]
fn protected_branches_wait_for_a_person() {
    let rule = |name: &str, levels: serde_json::Value| json!([{ "id": 1, "name": name, "push_access_levels": levels }]);
    let from = |level: u64| json!({ "access_level": level, "user_id": null, "group_id": null, "deploy_key_id": null });
    let key = |id: u64| json!({ "access_level": 40, "deploy_key_id": id });
    for (name, protected, keys, user, exit) in [
        ("nobody", rule("main", json!([from(0)])), true, 40, 3),
        ("nobody, by a pattern", rule("m*n", json!([from(0)])), true, 40, 3),
        ("another branch", rule("m*d", json!([from(0)])), true, 40, 0),
        ("all branches", rule("*", json!([])), true, 40, 3),
        ("maintainers", rule("main", json!([from(40)])), true, 40, 0),
        ("the key", rule("main", json!([from(0), key(5)])), true, 40, 0),
        ("another key", rule("main", json!([from(0), key(6)])), true, 40, 3),
        (
            "a user, who may be the creator",
            rule("main", json!([{ "access_level": 40, "user_id": 3 }])),
            true,
            40,
            0,
        ),
        ("administrators, and a new key", rule("main", json!([from(60)])), false, 40, 3),
        ("maintainers, and a new key", rule("main", json!([from(40)])), false, 40, 0),
        ("owners, by a token of one", rule("main", json!([from(60)])), false, 50, 3),
        ("administrators, and a key of nobody knows whom", rule("main", json!([from(60)])), true, 40, 0),
        ("nobody, and a new key", rule("main", json!([from(0)])), false, 40, 3),
        (
            "no rule at all in one of two",
            json!([{ "name": "main", "push_access_levels": [] }, { "name": "*", "push_access_levels": [from(30)] }]),
            true,
            40,
            0,
        ),
    ] {
        let keys = if keys { vec![deploy_key(KEY, true)] } else { Vec::new() };
        let desk =
            Desk::new(State { protected, keys, role: user, ..State::default() }, "deploy_key = \"push\"");
        let run = desk.run(&["apply"]);
        assert_eq!(run.status, exit, "{name}\n{run}");
        if exit == 3 {
            run.says("can't push to the protected branch main").says("Allowed to push and merge");
            run.says_not("runner-prep doctor");
        }
    }
}

#[test]
fn a_role_that_comes_by_a_group_that_was_invited_is_none_that_is_shown() {
    // GitLab tells the role in the project's own group alone, and lets deploy keys be seen by Maintainers alone.
    let guest = json!({ "project_access": null, "group_access": { "access_level": 10 } });
    let protected = json!([{ "name": "main", "push_access_levels": [{ "access_level": 40 }] }]);
    for permissions in [guest, json!({ "project_access": null, "group_access": null }), json!(null)] {
        let more = json!({ "permissions": permissions });
        Desk::new(State { more, protected: protected.clone(), ..State::default() }, ALL).settles();
    }
    let protected = json!([{ "name": "main", "push_access_levels": [{ "access_level": 60 }] }]);
    let state = State { admin: true, protected, ..State::default() };
    Desk::new(state, "deploy_key = \"push\"").settles();
}

#[test]
fn a_protection_that_cannot_be_seen_is_not_known() {
    let desk = Desk::new(State { protected: json!(null), ..State::default() }, "deploy_key = \"push\"");
    for words in ["plan", "apply", "check"] {
        desk.run(&[words]).says("whether jobs may push to the branch main of group/k8s-repo is not known");
    }
    desk.put("ours.toml", &desk.gitlab.profile("deploy_key = \"read\""));
    desk.run(&["check"]).ok().says_not("is not known");
}

#[test]
fn a_token_that_may_only_read_is_told_before_it_is_refused() {
    for (scope, is_told) in [("read_api", true), ("api", false), ("granular", false)] {
        let desk = Desk::new(State { scope, ..State::default() }, ALL);
        let told = "GitLab will refuse all changes with it";
        assert_eq!(desk.run(&["plan"]).ok().contains(told), is_told, "{scope}");
        assert_eq!(desk.run(&["check"]).exit(1).contains(told), is_told, "{scope}");
        // Who only looks, and finds all as wanted, needs no more.
        desk.put("ours.toml", &desk.gitlab.profile("pipeline_variables = \"maintainer\""));
        desk.run(&["check"]).ok().says_not(told);
    }
}
