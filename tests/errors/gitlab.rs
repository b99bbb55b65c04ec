//! What the program says of GitLab, on loopback.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::said::{Said, of_json};
use super::{Case, case};
use crate::support::gitlab::{GitLab, ID, Key, Quirk, State};
use crate::support::{CANARY, PATH, program, run_limited};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf gitlab-runner";
const PUSH: &str = "deploy_key = \"push\"";
const TOKENS: &str = "job_tokens_from = [\"group/code-repo\"]";
const LEAST: &str = "pipeline_variables = \"developer\"";

pub(super) const CASES: &[Case] = &[
    case("gitlab-section", "a profile without the section", || with(State::default(), "", "", 0o600)),
    case("gitlab-token", "a token that all can read", || with(State::default(), PUSH, KEY, 0o644)),
    case("gitlab-token", "no token", || given(State::default(), PUSH, KEY, None)),
    case("gitlab-keys", "a file without keys", || with(State::default(), PUSH, "x\n", 0o600)),
    case("gitlab-file", "a token file that is not there", || {
        given(State::default(), PUSH, KEY, Some(("/nowhere/token", 0o600)))
    }),
    case("gitlab-unreachable", "an answer that is cut off", || wrong(Quirk::Cut)),
    case("gitlab-proxy", "a proxy of another kind", || {
        let directory = tempfile::tempdir().unwrap();
        let gitlab = GitLab::start_tls(State::default(), directory.path())?;
        let put = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(directory.path().join(name), mode).unwrap();
        };
        put("ours.toml", &gitlab.profile(PUSH));
        put("keys", KEY);
        put("token", CANARY);
        let mut command = Command::new(program());
        command.args(["gitlab", "plan", "--json", "--profile", "./ours.toml", "--public-key", "keys"]);
        command.args(["--token-file", "token", "--ca-file", "ca.pem"]).current_dir(directory.path());
        let run =
            run_limited(command.env_clear().env("PATH", PATH).env("https_proxy", "socks5://localhost:1080"));
        Some(of_json(&run, &[]))
    }),
    case("gitlab-answer", "a web page in place of JSON", || wrong(Quirk::Body("<html>"))),
    case("gitlab-answer", "too many requests", || {
        wrong(Quirk::Status(429, "Retry-After: 0", "Retry later", 9))
    }),
    case("gitlab-answer", "an address that leads elsewhere", || {
        wrong(Quirk::Redirect("https://x.example/y".into()))
    }),
    case("gitlab-refused", "a token that has expired", || {
        wrong(Quirk::Status(401, "", "{\"message\":\"401 Unauthorized\"}", 9))
    }),
    case("gitlab-refused", "a token of another scope", || {
        wrong(Quirk::Status(403, "", "{\"error\":\"insufficient_scope\"}", 9))
    }),
    case("gitlab-refused", "a project that nobody sees", || {
        wrong(Quirk::Status(404, "", "{\"message\":\"404 Project Not Found\"}", 9))
    }),
    case("gitlab-refused", "a token of a Developer", || {
        with(State { role: 30, ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-refused", "a setting that a Developer does not see", || {
        with(State { role: 30, ..State::default() }, LEAST, KEY, 0o600)
    }),
    case("gitlab-refused", "a role that only an Owner changes", || {
        with(State { variables: "no_one_allowed", ..State::default() }, LEAST, KEY, 0o600)
    }),
    case("gitlab-refused", "an upstream that nobody sees", || {
        with(State::default(), "job_tokens_from = [\"group/unseen\"]", KEY, 0o600)
    }),
    case("gitlab-refused", "a full list", || {
        with(State { projects: (1000..1200).collect(), ..State::default() }, TOKENS, KEY, 0o600)
    }),
    case("gitlab-too-old", "an old server", || {
        with(State { version: "18.3.0", ..State::default() }, "push_by_job_token = true", KEY, 0o600)
    }),
    case("gitlab-key-taken", "a key of a user", || {
        with(State { taken: vec![KEY.to_owned()], ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-key-expired", "a key that has expired", || {
        with(State { keys: vec![key(Some("2024-01-01"))], ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-branch", "a branch that nobody may push to", || {
        let protected =
            serde_json::json!([{ "name": "main", "push_access_levels": [{ "access_level": 0 }] }]);
        with(State { keys: vec![key(None)], protected, ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-bot", "a token of the project itself", || {
        with(State { bot: true, ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-moved", "an upstream that was moved", || {
        with(State::default(), "job_tokens_from = [\"group/old-code\"]", KEY, 0o600)
    }),
    case("gitlab-refused", "an archived project", || {
        with(State { archived: true, ..State::default() }, PUSH, KEY, 0o600)
    }),
    case("gitlab-open", "a project that lets all in", || {
        with(State { inbound: false, ..State::default() }, TOKENS, KEY, 0o600)
    }),
    case("gitlab-runner-token", "a new runner, and no place for its token", || {
        with(State::default(), RUNNER, KEY, 0o600)
    }),
    case("gitlab-runner-idle", "a runner that no host has registered", || {
        with(runner("status", "never_contacted"), RUNNER, KEY, 0o600)
    }),
    case("gitlab-runner-paused", "a runner that somebody paused", || {
        with(runner("paused", true), RUNNER, KEY, 0o600)
    }),
    case("gitlab-runner-protected", "a runner of protected branches", || {
        with(runner("access_level", "ref_protected"), RUNNER, KEY, 0o600)
    }),
    case("gitlab-too-old", "a server before runners that are made there", || {
        with(State { version: "15.11.0", ..State::default() }, RUNNER, KEY, 0o600)
    }),
    case("gitlab-refused", "a group that nobody sees", || {
        with(
            State::default(),
            &RUNNER.replace("project = \"group/k8s-repo\"", "group = \"nobody\""),
            KEY,
            0o600,
        )
    }),
    case("gitlab-owner", "a Maintainer before what is an Owner's", || {
        with(State { variables: "owner", ..State::default() }, LEAST, KEY, 0o600)
    }),
];

const RUNNER: &str = "[[gitlab.runner]]\nname = \"ci1\"\nproject = \"group/k8s-repo\"";

/// GitLab with the runner, of which one thing is said.
fn runner(key: &str, value: impl Into<serde_json::Value>) -> State {
    let mut runner = serde_json::json!({
        "id": 31, "of": ID, "description": "ci1", "runner_type": "project_type", "tag_list": [], "run_untagged": true,
    });
    runner[key] = value.into();
    State { runners: vec![runner], ..State::default() }
}

fn key(expires_at: Option<&str>) -> Key {
    let expires_at = expires_at.map(str::to_owned);
    Key { id: 5, line: KEY.to_owned(), can_push: true, expires_at, projects: vec![ID], sha256: None }
}

fn wrong(quirk: Quirk) -> Option<Vec<Said>> {
    with(State { quirk: Some((1, quirk)), ..State::default() }, PUSH, KEY, 0o600)
}

fn with(state: State, project: &str, keys: &str, mode: u32) -> Option<Vec<Said>> {
    given(state, project, keys, Some(("token", mode)))
}

/// Apply it with a token file of that mode.
fn given(state: State, project: &str, keys: &str, token: Option<(&str, u32)>) -> Option<Vec<Said>> {
    let gitlab = GitLab::start(state);
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let profile = gitlab.profile(project);
    let whole = if project.is_empty() { "summary = \"x\"\n" } else { &profile };
    put("ours.toml", whole);
    put("keys", keys);
    put("token", &format!("glpat-{CANARY}\n"));
    let mut command = Command::new(program());
    command.args(["gitlab", "apply", "--json", "--profile", "./ours.toml", "--public-key", "keys"]);
    if let Some((name, mode)) = token {
        command.args(["--token-file", name]);
        let file = directory.path().join("token");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    command.env_clear().env("PATH", PATH).current_dir(directory.path());
    let url = gitlab.url();
    let host = url.replace("http://", "");
    let hide = [
        (url.as_str(), "https://gitlab.example.com"),
        (host.as_str(), "gitlab.example.com"),
        ("uid 0", "uid 1000"),
    ];
    Some(of_json(&run_limited(&mut command), &hide))
}
