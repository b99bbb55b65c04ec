//! Where GitLab and its projects are: below a path, at an IPv6 address, moved, archived, with a number for a name.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::support::gitlab::{GitLab, Key, Quirk, State};
use super::support::run_limited;
use super::{ALL, Desk, KEY, deploy_key};

#[test]
fn below_a_path_and_at_an_ipv6_address() {
    let below = || State { below: "/git", ..State::default() };
    let desk = Desk::new(below(), ALL);
    let host = desk.gitlab.url().replace("http://", "").replace("/git", "");
    desk.run(&["apply"]).ok().says(&format!(
        "GITLAB_API_HOST={host}/git glab api --hostname {host} -X DELETE projects/7/job_token_scope/allowlist/8"
    ));
    desk.settles();
    let wrong = desk.gitlab.profile(ALL).replace("/git\"", "\"");
    desk.put("ours.toml", &wrong);
    desk.run(&["check"]).exit(2).says("compare the path");

    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return super::support::skip("no IPv6 here");
    }
    let desk = Desk::at(GitLab::start_at("[::1]:0", State::default()), ALL);
    let host = desk.gitlab.url().replace("http://", "");
    // A shell would take brackets for a pattern.
    desk.run(&["apply"]).ok().says(&format!("glab api --hostname '{host}' -X DELETE projects/7/"));
    desk.settles();
}

#[test]
fn what_was_moved_is_named_by_its_new_path() {
    for (project, from, now) in [
        ("group/old-repo", "group/code-repo", "group/old-repo was moved in GitLab: it is group/k8s-repo now"),
        ("group/k8s-repo", "group/old-code", "group/old-code was moved in GitLab: it is group/code-repo now"),
        ("group/oldest", "group/code-repo", "group/oldest was moved in GitLab: it is group/code-repo now"),
        ("group/k8s-repo", "group/older", "group/older was moved in GitLab: it is group/sub now"),
    ] {
        let desk = Desk::new(State::default(), ALL);
        let profile = desk.gitlab.profile(ALL);
        let profile =
            profile.replace("group/k8s-repo", project).replace("[\"group/code-repo", &format!("[\"{from}"));
        desk.put("ours.toml", &profile);
        desk.run(&["apply"]).exit(2).says(now).says("somebody else may get the former path");
        assert_eq!(desk.gitlab.written(), Vec::<String>::new(), "{project} {from}");
    }
}

#[test]
fn a_name_of_digits_is_no_number() {
    let desk = Desk::new(State::default(), "job_tokens_from = [\"42\"]");
    desk.run(&["apply"]).exit(2).says("42 of `job_tokens_from` is not there");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new(), "the group with that number is somebody's");
    let desk = Desk::new(State::default(), "job_tokens_from = [\"group/42\"]");
    assert_eq!(
        desk.settles(),
        ["POST /api/v4/projects/7/job_token_scope/allowlist {\"target_project_id\":10}"]
    );
}

#[test]
fn an_archived_project_takes_no_change() {
    let archived = |key: bool| State { archived: true, keys: vec![deploy_key(KEY, key)], ..State::default() };
    let desk = Desk::new(archived(true), "deploy_key = \"push\"");
    desk.run(&["check"]).exit(2).says("is archived").says("Unarchive project");
    let desk = Desk::new(archived(true), ALL);
    desk.run(&["apply"]).exit(2).says("is archived");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    // To clone it nothing is missing.
    let desk = Desk::new(archived(true), "deploy_key = \"read\"");
    desk.run(&["check"]).ok();
}

#[test]
fn what_is_closed_takes_no_job() {
    let gone = |path: &str| json!({ "marked_for_deletion_on": "2026-01-01", "path_with_namespace": path });
    for (more, project, says) in [
        (json!({ "repository_access_level": "disabled" }), "deploy_key = \"read\"", "has no repository"),
        (json!({ "repository_access_level": "disabled" }), "push_by_job_token = true", "has no repository"),
        (json!({ "builds_access_level": "disabled" }), ALL, "has CI/CD switched off"),
        (json!({ "builds_access_level": "disabled" }), "pipeline_variables = \"owner\"", "> CI/CD"),
        (gone("group/k8s-repo"), "deploy_key = \"read\"", "is to be deleted"),
        (gone("group/k8s-repo-deleted-7"), ALL, "it is group/k8s-repo-deleted-7 until then"),
        (
            json!({ "path_with_namespace": "group/k8s-repo-deletion_scheduled-7" }),
            ALL,
            "in group/k8s-repo-deletion_scheduled-7: Settings > General > Advanced > Restore project",
        ),
    ] {
        let desk = Desk::new(State { more, ..State::default() }, project);
        for words in ["check", "apply"] {
            desk.run(&[words]).exit(2).says(says).says_not("moved");
        }
        assert_eq!(desk.gitlab.written(), Vec::<String>::new());
    }
    for (more, project) in [
        (json!({ "repository_access_level": "private", "builds_access_level": "enabled" }), ALL),
        (json!({ "builds_access_level": "disabled" }), "deploy_key = \"push\""),
        (json!({ "repository_access_level": "disabled" }), "job_tokens_from = [\"group/code-repo\"]"),
        (json!({ "marked_for_deletion_on": null, "repository_access_level": null }), ALL),
    ] {
        Desk::new(State { more, ..State::default() }, project).settles();
    }
}

#[test]
fn the_next_page_is_found_by_a_link_too() {
    let many = (1000..1045).chain([8]).collect();
    let desk = Desk::new(
        State { links: true, projects: many, ..State::default() },
        "job_tokens_from = [\"group/code-repo\"]",
    );
    desk.run(&["check"]).ok();
    let asked = desk.gitlab.asked();
    assert!(asked.iter().any(|asked| asked.ends_with("allowlist?per_page=20&cursor=3")), "{asked:?}");
    for link in ["Link: <x>; rel=\"next\"", "Link: <http://x/?per_page=100&page=1>; rel=\"next\""] {
        desk.gitlab.state().quirk = Some((3, Quirk::Status(200, link, "[]", 999)));
        desk.run(&["check"]).exit(2).says("names a next page that is none");
        desk.gitlab.asked();
    }
}

fn date(of: &str, form: &str) -> String {
    let run = run_limited(Command::new("date").env("LC_ALL", "C").args(["-u", "-d", of, form]));
    run.ok().stdout.trim().to_owned()
}

#[test]
fn a_busy_server_may_name_a_time() {
    let dates = |then: u64| date(&format!("@{then}"), "+%a, %d %b %Y %H:%M:%S GMT");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (retry, exit) in
        [(dates(now - 5), 0), (dates(now + 3), 0), (dates(now + 9999), 2), ("soon".to_owned(), 2)]
    {
        let header: &'static str = Box::leak(format!("Retry-After: {retry}").into_boxed_str());
        let quirk = Some((0, Quirk::Status(429, header, "Retry later", 1)));
        let desk = Desk::new(State { quirk, ..State::default() }, ALL);
        let begun = std::time::Instant::now();
        let run = desk.run(&["plan", "--timeout", "60"]);
        if run.exit(exit).status == 2 {
            run.says("GitLab wants to be asked again later").says(&retry);
            assert_eq!(desk.gitlab.asked().len(), 1);
        } else if retry == dates(now + 3) {
            assert!(begun.elapsed() > Duration::from_millis(1500), "it waited");
        }
    }
}

#[test]
fn a_key_lives_to_the_minute_and_its_end_is_said() {
    let at = |minutes: i64| date(&format!("{minutes} minutes"), "+%Y-%m-%dT%H:%M:%S.000Z");
    let key =
        |end: String, projects: Vec<u64>| Key { expires_at: Some(end), projects, ..deploy_key(KEY, true) };
    for (key, exit) in [(key(at(-2), vec![7]), 3), (key(at(2), vec![7]), 0), (key(at(-2), vec![55]), 3)] {
        let end = key.expires_at.clone().unwrap();
        let desk = Desk::new(State { keys: vec![key], ..State::default() }, "deploy_key = \"push\"");
        let run = desk.run(&["apply", "--verbose"]);
        if run.exit(exit).status == 0 {
            run.says(&format!("may push, until {}", &end[..10]));
        } else {
            run.says("has expired").says("every other project that has it");
        }
    }
}

#[test]
fn a_key_of_a_bot_goes_with_its_token() {
    let desk = Desk::new(State { bot: true, ..State::default() }, "deploy_key = \"push\"");
    desk.run(&["plan"]).ok().says("only as long as that token lives").says("service account");
    desk.run(&["apply"]).ok();
    desk.run(&["check"]).ok().says_not("as long as");
    let desk = Desk::new(State { bot: true, ..State::default() }, "deploy_key = \"read\"");
    desk.run(&["plan"]).ok().says_not("as long as");
}

#[test]
fn a_comment_of_any_length_is_a_title() {
    let desk = Desk::new(State::default(), "deploy_key = \"push\"");
    for comment in ["é".repeat(400), "\u{1b}[31m x\ty  ".to_owned()] {
        desk.put("keys", &format!("{KEY} {comment}\r\n"));
        desk.gitlab.state().keys.clear();
        desk.run(&["apply"]).ok().says_not("\u{1b}");
        let body = desk.gitlab.state().log.iter().find(|(method, ..)| method == "POST").unwrap().2.clone();
        assert!(body["title"].as_str().unwrap().chars().count() <= 255, "{body}");
        desk.gitlab.asked();
    }
}
