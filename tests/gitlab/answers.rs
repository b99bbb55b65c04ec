//! Whatever a server answers: a clear error, no hang, no panic.

use std::time::{Duration, Instant};

use super::support::gitlab::{GitLab, Quirk, State};
use super::{ALL, Desk};

/// As many requests as an apply of everything sends.
const REQUESTS: usize = 20;

/// Let the answer from each request on be wrong in turn.
fn wrong_from_each(quirk: &Quirk, words: &[&str], codes: &[&str]) {
    for from in 0..REQUESTS {
        let desk = Desk::new(State { quirk: Some((from, quirk.clone())), ..State::default() }, ALL);
        let begun = Instant::now();
        let run = desk.run(&[words, &["--json"]].concat());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(15), "{quirk:?} from {from} took {took:?}");
        let document = run.json();
        if run.status == 0 {
            // It came to its end before.
            assert!(desk.gitlab.state().log.len() <= from, "{quirk:?} from {from}\n{run}");
            continue;
        }
        run.exit(2);
        let code = document["warnings"][0]["code"].as_str().unwrap();
        assert!(codes.contains(&code), "{quirk:?} from {from}: {code}\n{run}");
        let message = document["msg"].as_str().unwrap();
        assert!(message.contains("/api/v4/") && message.len() < 900, "{quirk:?} from {from}: {message}");
    }
}

#[test]
fn an_answer_that_is_cut_off() {
    wrong_from_each(&Quirk::Cut, &["apply"], &["gitlab-unreachable"]);
}

#[test]
fn an_answer_that_comes_too_late() {
    let late = Quirk::Late(Duration::from_secs(3));
    wrong_from_each(&late, &["apply", "--timeout", "1"], &["gitlab-unreachable"]);
}

#[test]
fn an_answer_without_an_end() {
    wrong_from_each(&Quirk::Drip, &["apply", "--timeout", "1"], &["gitlab-unreachable"]);
}

#[test]
fn an_answer_of_ten_megabytes() {
    wrong_from_each(&Quirk::Long(10_000_000), &["apply"], &["gitlab-answer"]);
}

#[test]
fn a_web_page_in_place_of_json() {
    let page = "<!DOCTYPE html><html><body>Sign in glpat-CANARY</body></html>";
    wrong_from_each(&Quirk::Body(page), &["apply"], &["gitlab-answer"]);
}

#[test]
fn json_of_another_kind() {
    for body in
        ["", "null", "42", "\"glpat-CANARY\"", "{", "[1, 2]", "{\"id\": \"x\"}", "[[[[[[", "\u{fffd}\u{0}"]
    {
        wrong_from_each(&Quirk::Body(body), &["apply"], &["gitlab-answer", "not-converged"]);
    }
}

#[test]
fn refusals_say_what_to_do() {
    let table = [
        (401, "", "{\"message\":\"401 Unauthorized\"}", "scope api"),
        (403, "", "{\"message\":\"403 Forbidden\"}", "Manage > Members"),
        (403, "", "{\"error\":\"insufficient_scope\",\"scope\":\"api\"}", "scope api"),
        (403, "", "{\"error\":\"insufficient_granular_scope\",\"error_description\":\"lacks\"}", "scope api"),
        (
            403,
            "",
            "{\"message\":\"403 Forbidden - You must accept the Terms of Service\"}",
            "log in there as",
        ),
        (403, "", "{\"message\":\"403 Forbidden - Your account has been blocked\"}", "log in there as"),
        (
            403,
            "",
            "{\"message\":\"You cannot perform write operations on a read-only instance\"}",
            "no changes now",
        ),
        (403, "", "Forbidden\n", "no proxy or login page"),
        (403, "", "<html>Access denied</html>", "no proxy or login page"),
        (401, "", "<html>Sign in</html>", "no proxy or login page"),
        (
            401,
            "",
            "{\"error\":\"invalid_token\",\"error_description\":\"Token is expired.\"}",
            "Token is expired",
        ),
        (404, "", "<html></html>", "see that `url`"),
        (404, "", "{\"message\":\"404 Project Not Found\"}", "compare the path"),
        (404, "", "<html>glpat-CANARY</html>", "compare the path"),
        (418, "", "\u{1b}[2J", "see what it says"),
        (301, "Location: https://elsewhere.example/x", "", "correct `url`"),
        (500, "", "{\"message\":{\"base\":[\"out of order\",\"glpat-CANARY\"]}}", "few minutes"),
        (429, "Retry-After: 9999", "Retry later", "9999 s"),
    ];
    for (status, header, body, says) in table {
        let quirk = Some((1, Quirk::Status(status, header, body, 9)));
        let desk = Desk::new(State { quirk, ..State::default() }, ALL);
        desk.run(&["check"]).exit(2).says(says).says(&status.to_string()).says_not("\u{1b}");
    }
}

#[test]
fn a_busy_server_is_asked_again_where_nothing_is_done_twice() {
    for (status, header) in [(429, "Retry-After: 1"), (502, ""), (503, "Retry-After: 0")] {
        for from in 0..REQUESTS {
            let quirk = Some((from, Quirk::Status(status, header, "Retry later", 1)));
            let desk = Desk::new(State { quirk, ..State::default() }, ALL);
            let run = desk.run(&["apply"]);
            let log = std::mem::take(&mut desk.gitlab.state().log);
            match log.get(from) {
                Some((method, path, _)) if method == "POST" => {
                    run.exit(2).says("run the same command again");
                    assert_eq!(log.iter().filter(|(_, other, _)| other == path).count(), 1, "{log:?}");
                }
                _ => drop(run.ok()),
            }
        }
    }
    // Three times, and no more.
    let quirk = Some((0, Quirk::Status(503, "Retry-After: 0", "", 99)));
    let desk = Desk::new(State { quirk, ..State::default() }, ALL);
    desk.run(&["plan"]).exit(2).says("busy or out of order");
    assert_eq!(desk.gitlab.asked().len(), 3);
}

#[test]
fn after_a_lost_answer_the_next_run_goes_on() {
    for from in 0..REQUESTS {
        let desk = Desk::new(State { quirk: Some((from, Quirk::Cut)), ..State::default() }, ALL);
        desk.run(&["apply"]);
        desk.gitlab.state().quirk = None;
        desk.settles();
        let state = desk.gitlab.state();
        assert_eq!((state.keys.len(), state.projects.as_slice()), (1, [8].as_slice()), "{from}");
    }
}

#[test]
fn a_list_without_an_end_is_none() {
    let desk = Desk::new(State::default(), ALL);
    desk.gitlab.state().quirk = Some((2, Quirk::Status(200, "X-Next-Page: 2", "[]", 999)));
    desk.run(&["plan"]).exit(2).says("names a next page that is none");
}

#[test]
fn nobody_answers_at_all() {
    let desk = Desk::new(State::default(), ALL);
    // The port of a server that is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    desk.put(
        "ours.toml",
        &desk.gitlab.profile(ALL).replace(&desk.gitlab.url(), &format!("http://127.0.0.1:{port}")),
    );
    desk.run(&["check"]).exit(2).says("cannot ask GitLab").says("can be reached from here");
}

#[test]
fn a_token_is_not_sent_elsewhere() {
    let other = GitLab::start(State::default());
    for to in [
        format!("{}/api/v4/version", other.url()),
        "//evil.example/x".to_owned(),
        "/api/v4/version".to_owned(),
    ] {
        let quirk = Some((0, Quirk::Redirect(to)));
        let desk = Desk::new(State { quirk, ..State::default() }, ALL);
        desk.run(&["plan"]).exit(2).says("elsewhere (302)");
        assert_eq!(desk.gitlab.asked().len(), 1);
    }
    assert_eq!(other.asked().len(), 0);
}

#[test]
fn a_server_with_an_authority_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let Some(gitlab) = GitLab::start_tls(State::default(), directory.path()) else { return };
    let desk = Desk::at(gitlab, ALL);
    std::fs::copy(directory.path().join("ca.pem"), desk.path("ca.pem")).unwrap();
    desk.run(&["plan"]).exit(2).says("certificate").says("--ca-file");
    desk.run(&["plan", "--ca-file", "keys"]).exit(2).says("no certificate of an authority in the file");
    desk.run(&["plan", "--ca-file", "none"]).exit(2).says("none is missing");
    assert_eq!(desk.gitlab.asked().len(), 0, "nothing was sent to a server that is not known");
    desk.run(&["apply", "--ca-file", "ca.pem"]).ok();
    desk.run(&["check", "--ca-file", "ca.pem"]).ok();
    // Its name counts, too.
    let named = desk.gitlab.url().replace("127.0.0.1", "localhost");
    desk.put("ours.toml", &desk.gitlab.profile(ALL).replace(&desk.gitlab.url(), &named));
    desk.run(&["check", "--ca-file", "ca.pem"]).exit(2).says("certificate");
}
