//! `[[register]]`: gitlab-runner registers, before all else, once, and with its token in no argument and no output.

#![allow(clippy::disallowed_methods, reason = "the test looks at what was left on its hosts")]

mod support;

use support::gitlab::{GitLab, PROJECT, State};
use support::{CANARY, Host, HostBuilder, Tree, fixture, have};

const APPLY: [&str; 5] = ["apply", "--profile", "mine", "--only", "register,config"];
const CONFIG: &str = "/etc/gitlab-runner/config.toml";
const REGISTERED: &str = "/etc/gitlab-runner/config.toml has no runner of that name";

/// It notes how it was called.
const PROGRAM: &str = "#!/bin/sh
tr '\\0' ' ' </proc/$$/cmdline >>/var/log/called
echo >>/var/log/called
exec /opt/gitlab-runner.py \"$@\"
";

fn profile(more: &str) -> String {
    format!(
        "summary = \"x\"\nextends = [\"dind\"]\n[[register]]\nname = \"docker-runner\"\nexecutor = \"docker\"\nimage = \
         \"docker:28\"\ntoken_file = \"/root/runner.token\"\n{more}"
    )
}

fn host(token: &str, more: impl FnOnce(HostBuilder) -> HostBuilder) -> Option<Host> {
    if !have(&["python3", "strace", "sudo"]) {
        return None;
    }
    let host = Host::or_skip()?
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode("/usr/local/bin/gitlab-runner", PROGRAM, 0o755)
        .file_mode("/opt/gitlab-runner.py", fixture("gitlab-runner.py"), 0o755)
        .file("/etc/runner-prep/profiles/mine.toml", profile(""))
        .file_mode("/root/runner.token", format!("{token}\n"), 0o600);
    Some(more(host).start())
}

/// How often gitlab-runner was called to register.
fn calls(host: &Host) -> usize {
    host.sh("grep -c ' register ' /var/log/called || true").stdout.trim().parse().unwrap_or(0)
}

fn runners(host: &Host) -> usize {
    host.text(CONFIG).matches("[[runners]]").count()
}

#[test]
fn a_fresh_host_has_its_runner_after_one_apply() {
    let Some(host) = host("glrt-CANARY-of-the-runner", |host| host) else { return };
    host.prep(&["check", "--profile", "mine", "--only", "register,config"]).exit(1).says(REGISTERED);
    host.prep(&["plan", "--profile", "mine", "--only", "register,config"])
        .ok()
        .says("register    docker-runner");
    host.prep(&["apply", "--profile", "mine", "--only", "register,config", "--dry-run"]).ok();
    assert_eq!(calls(&host), 0, "who only looks starts nothing");

    host.sh("install -m 0600 /dev/null /var/log/trace").ok();
    let traced =
        [&["-qq", "-s", "4096", "-o", "/var/log/trace", "/opt/under-test/runner-prep"], &APPLY[..]].concat();
    let first = host.prep_command(host.command("strace").args(traced));
    first
        .ok()
        .says("undo can't take a registration back")
        .says("1 change made")
        .says_not("no runner is registered");
    let config = host.text(CONFIG);
    for part in
        ["\"docker-runner\"", "\"https://gitlab.com\"", "\"docker:28\"", "glrt-CANARY", "/certs/client"]
    {
        assert!(config.contains(part), "{part}");
    }
    let mut trace = host.text("/var/log/trace");
    trace.retain(|c| c != '\0');
    let is_read = |line: &str| line.starts_with("read(") || line.starts_with("pread64(");
    let told = trace.lines().filter(|line| line.contains("CANARY") && !is_read(line));
    assert_eq!(told.count(), 0, "{trace}");
    assert!(!host.text("/var/log/called").contains("CANARY"));
    host.sh("! grep -rqs CANARY /var/lib/runner-prep").ok();
    host.sh("! ls -A /var/lib/runner-prep | grep -q template").ok();

    let before = host.stamps();
    host.prep(&APPLY).ok().says("the host is as the profile wants it");
    host.prep(&["check", "--profile", "mine", "--only", "register,config"]).ok();
    support::assert_unchanged(&before, &host.stamps());
    assert_eq!(calls(&host), 1);
    host.prep(&["undo"]).says_not("docker-runner");
    assert_eq!(runners(&host), 1, "undo leaves it");
}

/// A GitLab that knows one runner, and notes who asked for it.
const SERVER: &str = "import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        known = self.path == '/api/v4/runners/verify' and body.get('token') == 'glrt-CANARY-of-the-runner'
        open('/var/log/verified', 'a').write(f'{self.path} {known}\\n')
        answer = json.dumps({'id': 7, 'token': body.get('token'), 'token_expires_at': None} if known else {}).encode()
        self.send_response(200 if known else 403)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
server = http.server.HTTPServer(('127.0.0.1', 8099), Handler)
open('/var/log/ready', 'w').close()
server.serve_forever()
";

/// With the real gitlab-runner where this machine has it, else with the one that stands for it.
#[test]
fn a_server_is_asked_for_the_runner_and_its_answer_counts() {
    let real = support::tool("gitlab-runner");
    println!("the real gitlab-runner: {real:?}");
    let path = real.map_or_else(|| "/opt/gitlab-runner.py".to_owned(), |path| path.display().to_string());
    for (token, status) in [("glrt-CANARY-of-the-runner", 0), ("glrt-CANARY-of-nobody", 2)] {
        let Some(host) = host(token, |host| {
            host.file_mode(
                "/usr/local/bin/gitlab-runner",
                PROGRAM.replace("/opt/gitlab-runner.py", &path),
                0o755,
            )
            .file("/etc/runner-prep/profiles/mine.toml", profile("url = \"http://127.0.0.1:8099\"\n"))
            .file("/opt/server.py", SERVER)
        }) else {
            return;
        };
        host.sh("ip link set lo up; python3 /opt/server.py >/dev/null 2>&1 & while ! test -e /var/log/ready; do sleep 0.05; done").ok();
        host.prep(&APPLY).exit(status);
        let asked = host.text("/var/log/verified");
        assert!(
            asked.contains("/api/v4/runners/verify") && asked.contains("True") == (status == 0),
            "{asked}"
        );
        if status == 2 {
            host.sh("! grep -qs runners /etc/gitlab-runner/config.toml").ok();
            continue;
        }
        assert_eq!(runners(&host), 1);
        host.prep(&APPLY).ok().says("the host is as the profile wants it");
        assert_eq!((host.text("/var/log/verified"), calls(&host)), (asked, 1));
    }
}

#[test]
fn what_else_is_wanted_of_the_file_is_done_by_the_same_apply() {
    let other = "concurrent = 2\n\n[[runners]]\n  name = \"old\"\n  url = \"https://gitlab.com\"\n  token = \
                 \"CANARY-old\"\n  executor = \"docker\"\n  [runners.docker]\n    image = \"alpine\"\n";
    let two = profile(
        "[[register]]\nname = \"docker-runner\"\nurl = \"https://git.example.com/\"\nexecutor = \"shell\"\ntoken_file = \
         \"/root/runner.token\"\n",
    );
    let Some(host) = host("glrt-CANARY-of-the-runner", |host| {
        host.config_toml(other).file("/etc/runner-prep/profiles/mine.toml", two)
    }) else {
        return;
    };
    let first = host.prep(&[&APPLY[..], &["--json"]].concat());
    let changes = &first.ok().json()["changes"];
    let told: Vec<_> = (0..3).map(|index| (&changes[index]["id"], &changes[index]["outcome"])).collect();
    let names = ["docker-runner at https://gitlab.com", "docker-runner at https://git.example.com", CONFIG];
    for ((id, outcome), name) in told.into_iter().zip(names) {
        assert_eq!((id.as_str(), outcome.as_str()), (Some(name), Some("applied")), "{first}");
    }
    assert_eq!((calls(&host), runners(&host)), (2, 3));
    host.prep(&APPLY).ok().says("the host is as the profile wants it");
    // What undo takes back is what was written after the registration.
    host.prep(&["undo"]).ok();
    assert_eq!(runners(&host), 3);
    host.prep(&APPLY).ok();
    assert_eq!(calls(&host), 2);
}

#[test]
fn runs_at_once_and_one_after_a_killed_one_register_once() {
    let command = format!("/opt/under-test/runner-prep {}", APPLY.join(" "));
    let twice = format!("{command} & one=$!; {command}; wait $one");
    let killed = format!(
        "{command} & one=$!; while ! test -e /var/log/asking; do sleep 0.05; done; kill -9 $one; {command}"
    );
    let cases = [
        ("glrt-CANARY-SLOW", &twice, 1),
        // It lives on, and the next run waits for it.
        ("glrt-CANARY-SLOW-QUIET", &killed, 1),
        // What it says then, nobody hears, which ends it before it writes the file.
        ("glrt-CANARY-SLOW", &killed, 2),
    ];
    for (token, script, times) in cases {
        let Some(host) = host(token, |host| host) else { return };
        host.sh(script).ok().says_not("CANARY");
        assert_eq!((calls(&host), runners(&host)), (times, 1), "{token}: {script}");
        host.prep(&APPLY).ok();
        assert_eq!(runners(&host), 1);
        host.sh("! ls -A /var/lib/runner-prep | grep -q -e '^in.progress' -e '^working' -e template").ok();
    }
}

/// Calls at whose instance a run is killed, those that write, start, wait or hand over; the first ones may fail as well.
const CALLS: [&str; 11] = [
    "openat",
    "write",
    "fsync",
    "renameat2",
    "unlinkat",
    "mkdirat",
    "flock",
    "fcntl",
    "clone3",
    "wait4",
    "poll",
];

#[test]
fn a_run_that_ends_anywhere_is_made_whole_by_the_next_one() {
    let Some(host) = host("glrt-CANARY-of-the-runner", |host| host) else { return };
    let fresh = "rm -rf /etc/gitlab-runner /var/lib/runner-prep /var/log/called /var/log/trace";
    let apply = format!("/opt/under-test/runner-prep {}", APPLY.join(" "));
    let strace = "strace -qq -o /var/log/trace";
    host.sh(&format!("{fresh}; {strace} {apply}")).ok();
    let whole = host.text("/var/log/trace");
    let mut ended = 0;
    let kills = CALLS.map(|call| (call, "signal=KILL"));
    let failures = CALLS[..6].iter().map(|call| (*call, "error=EIO"));
    for (call, how) in kills.into_iter().chain(failures) {
        let count = whole.lines().filter(|line| line.starts_with(&format!("{call}("))).count();
        let step = if support::long() { 1 } else { count.div_ceil(3).max(1) };
        for when in (1..=count).step_by(step) {
            let kill = format!("{strace} -e inject={call}:{how}:when={when} {apply}");
            // What was started may live on: the next run has to wait for it.
            let run = host.sh(&format!("{fresh}; {kill} >/dev/null 2>&1 || true; {apply}"));
            let told = format!("{call} {how} {when}: {run}");
            run.ok().says_not("CANARY");
            assert_eq!(runners(&host), 1, "{told}");
            assert!(calls(&host) <= 2, "{told}");
            host.prep(&APPLY).ok().says("the host is as the profile wants it");
            let left = "ls -A /var/lib/runner-prep | grep -e '^in.progress' -e '^working' -e template; grep -rls CANARY /var/lib/runner-prep";
            assert_eq!(host.sh(&format!("{left}; true")).stdout, "", "{told}");
            ended += 1;
        }
    }
    println!("{ended} runs were killed, or had a call that failed");
    assert!(ended >= 25, "{ended}");
}

#[test]
fn a_registration_that_fails_leaves_the_host_as_it_was() {
    let cases = [
        ("glrt-CANARY-REFUSED", "", "PANIC: Failed to verify the runner"),
        ("GR1348941CANARY", "", "old kind"),
        ("glrt-", "", "token"),
        ("glrt-CANARY two", "", "token"),
        ("glrt-CANARY", "rm /root/runner.token", "install -m 0600 /dev/null /root/runner.token"),
        ("glrt-CANARY", "chmod 0644 /root/runner.token", "others can read the token"),
        ("glrt-CANARY", "chown 998 /root/runner.token", "/root/runner.token"),
        (
            "glrt-CANARY",
            "printf '#!/bin/sh\\nkill -9 $$\\n' >/usr/local/bin/gitlab-runner",
            "it said nothing",
        ),
        (
            "glrt-CANARY",
            "printf '#!/bin/sh\\nexit 0\\n' >/usr/local/bin/gitlab-runner",
            "said that it registered",
        ),
        (
            "glrt-CANARY",
            "printf '#!/bin/sh\\necho \"FATAL: $CI_SERVER_TOKEN\"; exit 1\\n' >/usr/local/bin/gitlab-runner",
            "FATAL: [MASKED]",
        ),
    ];
    for (token, script, said) in cases {
        let Some(host) = host(token, |host| host) else { return };
        host.sh(script).ok();
        let run = host.prep(&["apply", "--profile", "mine"]);
        run.exit(2).says(said);
        host.sh("test ! -e /etc/gitlab-runner/config.toml; test ! -e /etc/sudoers.d/gitlab-runner").ok();
        host.sh("test ! -e /home/gitlab-runner/.ssh; ! grep -rqs CANARY /var/lib/runner-prep").ok();
        assert!(!run.contains("\u{1b}") && !run.contains("REFUSED"), "{run}");
    }
}

/// GitLab makes the runner and takes the key, the host registers it: one profile, and nothing to click.
#[test]
fn one_profile_brings_about_both_sides() {
    let Some(host) = host("unused", |host| host) else { return };
    let gitlab = host.in_network(|| GitLab::start(State::default()));
    let url = gitlab.url();
    let ours = profile(&format!(
        "url = \"{url}\"\n[gitlab]\nurl = \"{url}\"\n[[gitlab.project]]\npath = \"{PROJECT}\"\ndeploy_key = \"push\"\n\
         [[gitlab.runner]]\nname = \"ci1\"\nproject = \"{PROJECT}\"\ntags = [\"docker\"]\n"
    ));
    let ours = ours.replace("/root/runner.token", "/root/ci1.token");
    host.sh(&format!("cat >/etc/runner-prep/profiles/mine.toml <<'E'\n{ours}\nE\n(umask 077; echo glpat-{CANARY} >/root/token)")).ok();
    host.prep(&["apply", "--profile", "mine", "--skip", "register", "--allow-pending"]).ok();
    let apply =
        ["gitlab", "apply", "--profile", "mine", "--token-file", "/root/token", "--runner-tokens", "/root"];
    host.prep(&apply).exit(3).says("has never asked for jobs");
    host.prep(&["apply", "--profile", "mine"]).ok();
    {
        let state = gitlab.state();
        assert_eq!((runners(&host), state.keys.len(), state.runners.len()), (1, 1, 1));
    }
    assert!(host.text(CONFIG).contains(&format!("glrt-{CANARY}")));
    host.prep(&apply).ok();
    host.prep(&["check", "--profile", "mine"]).ok().says("the host is as the profile wants it");
}

/// Renamed in the profile, it is the same runner of GitLab's: two entries would share it.
#[test]
fn a_token_is_registered_once_whatever_the_runner_is_called() {
    let Some(host) = host("glrt-CANARY", |host| host) else { return };
    host.prep(&APPLY).ok();
    host.sh("sed -i 's/docker-runner/other-runner/' /etc/runner-prep/profiles/mine.toml").ok();
    for command in ["plan", "check", "apply"] {
        host.prep(&[command, "--profile", "mine"])
            .exit(2)
            .says("is that of runners[0] \"docker-runner\"")
            .says("/root/runner.token");
    }
    assert_eq!((calls(&host), runners(&host)), (1, 1));
}

#[test]
fn without_gitlab_runner_a_registration_waits_and_the_rest_is_done() {
    let Some(host) = host("glrt-CANARY", |host| host) else { return };
    host.sh("mv /usr/local/bin/gitlab-runner /root").ok();
    for command in ["plan", "apply"] {
        let run = host.prep(&[command, "--profile", "mine"]);
        run.exit(if command == "plan" { 0 } else { 3 })
            .says("gitlab-runner is missing on this host")
            .says("is registered by gitlab-runner, which is missing")
            .says("runner-prep apply --profile mine");
    }
    host.sh("test -e /etc/sudoers.d/gitlab-runner; test -e /home/gitlab-runner/.ssh/id_ed25519").ok();
    host.sh("mv /root/gitlab-runner /usr/local/bin").ok();
    host.prep(&["apply", "--profile", "mine"]).ok().says("+ register ");
}

#[test]
fn a_section_that_can_not_be_meant_is_refused_with_its_place() {
    let whole = ["name = \"a\"", "executor = \"docker\"", "image = \"x\"", "token_file = \"/t\""];
    let cases: [(usize, &str, &str); 12] = [
        (0, "", "name"),
        (0, "name = \" \"", "name"),
        (0, "name = \"a\\nb\"", "name"),
        (0, "name = \"a\"\nurl = \"gitlab.com\"", "url"),
        (0, "name = \"a\"\nurl = \"https://me@gitlab.com\"", "url"),
        (0, "name = \"a\"\nurl = \"https://$HOST\"", "url"),
        (0, "name = \"a\"\ntags = [\"x\"]", "tags"),
        (1, "executor = \"dokcer\"", "executor"),
        (1, "executor = \"shell\"", "image"),
        (2, "", "image"),
        (3, "token_file = \"t\"", "absolute"),
        (3, "token_file = \"/t\"\ntoken = \"x\"", "token"),
    ];
    for (place, line, said) in cases {
        let mut lines = whole;
        lines[place] = line;
        let text = format!("summary = \"x\"\n[[register]]\n{}\n", lines.join("\n"));
        let tree = Tree::new().file("/etc/runner-prep/profiles/mine.toml", text);
        tree.run(&["apply", "--profile", "mine"]).exit(2).says(said).says("line ");
    }
    let one = whole.join("\n");
    let two =
        format!("summary = \"x\"\n[[register]]\n{one}\n[[register]]\n{one}\nurl = \"https://gitlab.com/\"\n");
    let tree = Tree::new().file("/etc/runner-prep/profiles/mine.toml", two);
    tree.run(&["plan", "--profile", "mine"]).exit(2).says("two runners");
    let other = one.replace("\"a\"", "\"b\"");
    let shared = format!("summary = \"x\"\n[[register]]\n{one}\n[[register]]\n{other}\n");
    let tree = Tree::new().file("/etc/runner-prep/profiles/mine.toml", shared);
    tree.run(&["plan", "--profile", "mine"]).exit(2).says("have one `token_file`");
}

#[test]
fn a_tree_has_no_runner_to_register() {
    let tree = Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file("/etc/runner-prep/profiles/mine.toml", profile(""));
    let waits = "the runner docker-runner of https://gitlab.com is registered on the host where it is to run";
    tree.run(&["plan", "--profile", "mine"]).ok().says(waits).says_not("gitlab-runner register");
    tree.run(&["apply", "--profile", "mine"]).exit(3).says(waits);
    assert!(tree.exists("/home/gitlab-runner/.ssh/id_ed25519"), "the rest is done");
    tree.run(&["doctor", "--profile", "mine", "--json"]).exit(1).says("register-tree");
    tree.run(&["check", "--profile", "mine"]).exit(3).says(waits);
    tree.run(&["apply", "--profile", "mine", "--only", "config"]).exit(3).says("no runner is registered");
}
