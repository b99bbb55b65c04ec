//! Every state of the project, against everybody who may come: the writes are exactly those that are needed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::gitlab::{Key, State};
use super::{ALL, Desk, KEY, deploy_key};

const KEYS: [&str; 4] = ["none", "read-only", "write", "taken"];
const LISTS: [&str; 4] = ["off", "empty", "project", "group"];
const LEAST: [&str; 4] = ["developer", "maintainer", "owner", "no_one_allowed"];
const WHO: [&str; 4] = ["Maintainer", "Owner", "Developer", "scope"];

#[test]
fn what_is_needed_is_written_and_nothing_else() {
    let mut cases = Vec::new();
    for key in KEYS {
        for list in LISTS {
            for least in LEAST {
                cases.extend(WHO.map(|who| (key, list, least, who)));
            }
        }
    }
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = hold(*case) {
                        wrong.lock().unwrap().push(format!("{case:?}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn hold((key, list, least, who): (&str, &str, &'static str, &str)) -> Result<(), String> {
    let mut state = State { variables: least, inbound: list != "off", ..State::default() };
    match key {
        "read-only" => state.keys.push(deploy_key(KEY, false)),
        "write" => state.keys.push(deploy_key(KEY, true)),
        "taken" => state.taken.push(KEY.to_owned()),
        _ => {}
    }
    match list {
        "project" => state.projects.push(8),
        "group" => state.groups.push(21),
        _ => {}
    }
    match who {
        "Owner" => state.role = 50,
        "Developer" => state.role = 30,
        "scope" => state.scope = "read_api",
        _ => {}
    }
    let (add, refused) = match key {
        "none" => (Some("POST /api/v4/projects/7/deploy_keys "), false),
        "read-only" => (Some("PUT /api/v4/projects/7/deploy_keys/5 {\"can_push\":true}"), false),
        "taken" => (Some("POST /api/v4/projects/7/deploy_keys "), true),
        _ => (None, false),
    };
    let allow = (list == "empty")
        .then_some("POST /api/v4/projects/7/job_token_scope/allowlist {\"target_project_id\":8}");
    let set = (least != "developer")
        .then_some("PUT /api/v4/projects/7 {\"ci_pipeline_variables_minimum_override_role\":\"developer\"}");
    let is_closed = ["owner", "no_one_allowed"].contains(&least) && who == "Maintainer";
    let mut wanted: Vec<&str> = [add, allow, set].into_iter().flatten().collect();
    // What GitLab will not have, each time again.
    let mut again: Vec<&str> =
        [add.filter(|_| refused), set.filter(|_| is_closed)].into_iter().flatten().collect();
    let mut exit = if again.is_empty() { 0 } else { 2 };
    if who == "Developer" {
        (wanted, again, exit) = (Vec::new(), Vec::new(), 2);
    }
    if who == "scope" {
        wanted.truncate(1);
        again.clone_from(&wanted);
        exit = if wanted.is_empty() { 0 } else { 2 };
    }
    let desk = Desk::new(state, ALL);
    for (number, wanted) in [wanted, again].into_iter().enumerate() {
        let run = desk.run(&["apply"]);
        let written = desk.gitlab.written();
        let fits = written.len() == wanted.len()
            && written.iter().zip(&wanted).all(|(written, wanted)| written.starts_with(wanted));
        if !fits || run.status != exit {
            return Err(format!(
                "run {number} wrote {written:?}, not {wanted:?}, and {exit} is wanted\n{run}"
            ));
        }
    }
    let state = desk.gitlab.state();
    if exit == 0 && who != "scope" {
        let key = state.keys.first().filter(|key| key.can_push);
        let is_allowed = list != "empty" || state.projects == [8];
        if key.is_none() || !is_allowed || state.variables != "developer" {
            return Err(format!("it is not as wanted: {state:?}"));
        }
    }
    (state.inbound == (list != "off")).then_some(()).ok_or_else(|| "the list was switched".to_owned())
}

/// Two at once, a hundred times, each answer after a time of its own.
#[test]
fn two_runs_at_once_end_where_one_does() {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 100 {
                        break;
                    }
                    if let Err(why) = race(number) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of 100:\n{}", wrong.len(), wrong.join("\n"));
}

fn race(number: usize) -> Result<(), String> {
    let keys = match number % 4 {
        0 => vec![deploy_key(KEY, false)],
        1 => vec![Key { projects: vec![55], ..deploy_key(KEY, true) }],
        _ => Vec::new(),
    };
    let desk = Desk::new(State { keys, jitter: 20_000, ..State::default() }, ALL);
    let runs = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| desk.run(&["apply"])));
        runs.map(|run| run.join().unwrap())
    });
    for run in &runs {
        if run.status != 0 {
            return Err(run.to_string());
        }
    }
    let is_settled = {
        let state = desk.gitlab.state();
        state.keys.len() == 1
            && state.keys[0].can_push
            && state.projects == [8]
            && state.groups.is_empty()
            && state.variables == "developer"
    };
    desk.gitlab.asked();
    desk.run(&["apply"]).ok();
    let written = desk.gitlab.written();
    (is_settled && written.is_empty())
        .then_some(())
        .ok_or_else(|| format!("{written:?}\n{}\n{}", runs[0], runs[1]))
}
