//! `doctor --online` against a real sshd and a GitLab on the loopback of a host: never by default, and each failure in
//! the words that a job would see.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]
#![allow(clippy::disallowed_methods, reason = "servers of a test are its own")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;
use support::gitlab::{GitLab, ID, Key, PROJECT, Quirk, State};
use support::{CANARY, Host, Run, Tree, have};

/// What the server says to whoever logs in, and to whoever asks for a project that it does not have.
const SHELL: &str = r#"#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
    '') echo 'Welcome to GitLab, @deployer!' ;;
    *"group/k8s-repo.git'") exec git-upload-pack /srv/git/project.git ;;
    *) echo >&2; echo 'ERROR: The project you were looking for could not be found or you do not have permission to view it.' >&2
       exit 1 ;;
esac
"#;

/// gitlab-runner, which says of each runner what a file says, and keeps what it was asked.
const RUNNER: &str = r#"#!/bin/sh
case $1 in
    --version) echo 'Version:      19.4.0' ;;
    verify) echo "$*" >> /run/verify.asked; cat /run/verify.says >&2; ! grep -q valid /run/verify.says || grep -qv not /run/verify.says ;;
    *) exit 1 ;;
esac
"#;

const CONFIG: &str = "concurrent = 2\n[[runners]]\n  name = \"one\"\n  url = \"https://gitlab.example.com\"\n  token = \
                      \"glrt-CANARY-online-1\"\n  executor = \"shell\"\n[[runners]]\n  name = \"two\"\n  url = \
                      \"https://gitlab.example.com\"\n  token = \"glrt-CANARY-online-2\"\n  executor = \"shell\"\n";

const VALID: &str = "Verifying runner... is valid  runner=CANARY-on";

/// The host, its GitLab, and a registry.
struct Scene {
    host: Host,
    gitlab: GitLab,
    registry: String,
}

impl Scene {
    fn set() -> Option<Self> {
        if !have(&["sshd", "ssh", "ssh-keygen", "git", "sudo", "curl"]) {
            return None;
        }
        let host = Host::or_skip()?
            .sshd()
            .config_toml(CONFIG)
            .file_mode("/usr/local/bin/gitlab-runner", RUNNER, 0o755)
            .file_mode("/usr/local/bin/gitlab-shell", SHELL, 0o755)
            .file("/etc/gitlab-runner/.runner_system_id", "s_000000000000\n")
            .file("/run/verify.asked", "")
            .file("/run/verify.says", format!("{VALID}\n{VALID}\n"))
            .start();
        host.sh(
            "useradd --system --create-home --shell /bin/sh --password '*' git
             install -d -o git -g git /srv/git
             su git -c 'git init -q --bare -b main /srv/git/project.git'
             grep -q '^sshd:' /etc/passwd || useradd --system --no-create-home --shell /usr/sbin/nologin sshd
             mkdir -p /run/sshd /etc/ssh /etc/runner-prep/profiles
             ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
             printf 'HostKey /etc/ssh/ssh_host_ed25519_key\\nPasswordAuthentication no\\nKbdInteractiveAuthentication no\\nUsePAM no\\nKexAlgorithms curve25519-sha256\\nPidFile /run/sshd.pid\\n' >/etc/ssh/sshd_config
             /usr/sbin/sshd -f /etc/ssh/sshd_config",
        )
        .ok();
        let gitlab = host.in_network(|| GitLab::start(State::default()));
        let registry = host.in_network(registry);
        let profile = format!(
            "{}\n[account]\nname = \"gitlab-runner\"\n[ssh_key]\n[known_hosts]\nhosts = [{{ host = \"127.0.0.1\", keys = \
             [\"'\"$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)\"'\"] }}]\n",
            gitlab.profile("deploy_key = \"push\"")
        );
        host.sh(&format!(
            "printf '%s' '{profile}' > /etc/runner-prep/profiles/ours.toml
             (umask 077; echo glpat-{CANARY} > /root/token)"
        ))
        .ok();
        host.prep(&["apply", "--profile", "ours"]).ok();
        host.sh(
            "install -d -m 0700 -o git -g git /home/git/.ssh
             printf 'restrict,command=\"/usr/local/bin/gitlab-shell\" %s\\n' \"$(runner-prep key)\" > /home/git/.ssh/authorized_keys
             chown git:git /home/git/.ssh/authorized_keys",
        )
        .ok();
        let line = host.sh("runner-prep key").stdout.trim().to_owned();
        let key = Key { id: 5, line, can_push: true, expires_at: None, projects: vec![ID], sha256: None };
        gitlab.state().keys.push(key);
        Some(Self { host, gitlab, registry })
    }

    /// What is asked over the network, by status, code and message; and the rest by its codes.
    fn ask(&self, more: &[&str]) -> Vec<(String, String, String)> {
        let run = self.host.prep(&[&["doctor", "--profile", "ours", "--json", "--online"], more].concat());
        online(&run)
    }
}

fn online(run: &Run) -> Vec<(String, String, String)> {
    let document = run.json();
    let all = document["findings"].as_array().unwrap().iter();
    let of_network = all.filter(|one| one["check"].as_str().unwrap().starts_with("online-"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let told = |one: &Value| (text(one, "status"), text(one, "code"), text(one, "message"));
    of_network.map(told).collect()
}

/// A registry that wants to know who asks; on `/none/` it is none.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or_default();
            let asked = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let status = if asked.starts_with("GET /v2/ ") { "401 Unauthorized" } else { "404 Not Found" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    format!("http://127.0.0.1:{port}")
}

/// Something that is wrong, and what is said of it: the script, what mends it, the code, words of the message.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "mv /home/git/.ssh/authorized_keys /home/git/keys",
        "mv /home/git/keys /home/git/.ssh/authorized_keys",
        "ssh-key-unregistered",
        "Permission denied (publickey",
    ),
    (
        "ssh-keygen -q -t ed25519 -N '' -f /run/other; cut -d' ' -f1,2 /run/other.pub | sed 's/^/127.0.0.1 /' > /run/hosts
         cp /etc/ssh/ssh_known_hosts /run/known; cat /run/hosts > /etc/ssh/ssh_known_hosts",
        "cat /run/known > /etc/ssh/ssh_known_hosts; rm /run/other*",
        "host-key-refused",
        "another host key than the known one: \"Host key verification failed.\"",
    ),
    (
        "kill -9 $(cat /run/sshd.pid); sleep 0.5",
        "/usr/sbin/sshd -f /etc/ssh/sshd_config",
        "server-unreachable",
        "Connection refused",
    ),
    (
        "sed -i 's|group/k8s-repo|group/gone|' /usr/local/bin/gitlab-shell",
        "sed -i 's|group/gone|group/k8s-repo|' /usr/local/bin/gitlab-shell",
        "project-not-seen",
        "The project you were looking for could not be found",
    ),
    (
        "sed -i '2s/is valid/is not valid/' /run/verify.says",
        "sed -i '2s/is not valid/is valid/' /run/verify.says",
        "runner-refused",
        "runners[1] \"two\": gitlab-runner verify says \"is not valid\"",
    ),
    (
        "cp /run/verify.says /run/kept; echo 'ERROR: Verifying runner... failed runner=CANARY status=couldn'\\''t execute POST \
         against https://gitlab.example.com/api/v4/runners/verify: dial tcp: lookup gitlab.example.com: no such host' > /run/x
         cat /run/x /run/x > /run/verify.says",
        "mv /run/kept /run/verify.says",
        "runner-server-unreachable",
        "(\"no such host\")",
    ),
    (
        "cp /run/verify.says /run/kept; echo 'ERROR: Verifying runner... failed correlation_id=x runner=CANARY runner_name=one \
         status=502 Bad Gateway system_id=s_1' > /run/x; cat /run/x /run/x > /run/verify.says",
        "mv /run/kept /run/verify.says",
        "runner-server-unreachable",
        "runners[0] \"one\": gitlab-runner verify gets status 502",
    ),
    (
        "cp /run/verify.says /run/kept; echo 'ERROR: Verifying runner... failed runner=CANARY status=404 Not Found' > /run/x
         cat /run/x /run/x > /run/verify.says",
        "mv /run/kept /run/verify.says",
        "runner-server-unreachable",
        "gets status 404",
    ),
    (
        "cp /run/verify.says /run/kept; echo 'ERROR: Verifying runner... failed runner=CANARY status=Runner is orphaned' > /run/x
         cat /run/x /run/x > /run/verify.says",
        "mv /run/kept /run/verify.says",
        "runner-refused",
        "\"orphaned\": GitLab has no project or group of it any more",
    ),
    (
        "cp /run/verify.says /run/kept; echo 'ERROR: Verifying runner... client error runner=CANARY status=get client: open x.crt' > /run/x
         cat /run/x /run/x > /run/verify.says",
        "mv /run/kept /run/verify.says",
        "runner-server-unreachable",
        "can't ask its server with this `url`",
    ),
];

#[test]
fn servers_are_asked_when_somebody_says_so_and_in_the_words_of_jobs() {
    let Some(scene) = Scene::set() else { return };
    let Scene { host, gitlab, registry } = &scene;
    let (before, running) = (host.stamps(), host.processes());

    // Never by default.
    host.prep(&["doctor", "--profile", "ours"]);
    assert_eq!(gitlab.asked(), Vec::<String>::new());
    host.sh("test ! -s /run/verify.asked").ok();

    // All is well, and nothing is written.
    let found = scene.ask(&["--registry", registry, "--token-file", "/root/token"]);
    assert!(found.iter().all(|(status, ..)| status == "ok"), "{found:#?}");
    let owner = found.iter().find(|(_, code, _)| code == "ssh-key-owner").unwrap();
    assert!(owner.2.contains("Welcome to GitLab, @deployer!"), "{owner:?}");
    for fine in [
        "group/k8s-repo can be fetched",
        "runners[1] \"two\": GitLab knows its token",
        "answers",
        "GitLab is as",
    ] {
        assert!(found.iter().any(|(_, _, message)| message.contains(fine)), "{fine}: {found:#?}");
    }
    assert!(gitlab.asked().iter().all(|asked| asked.starts_with("GET ")));
    let after = host.stamps();
    let changed: Vec<_> = after.iter().filter(|stamp| !before.contains(stamp)).collect();
    assert!(changed.iter().all(|stamp| stamp.contains("verify.asked")), "{changed:?}");
    assert_eq!(after.len(), before.len());
    assert_eq!(host.processes(), running);
    assert_eq!(host.sh("cat /run/verify.asked").stdout, "verify --config /etc/gitlab-runner/config.toml\n");

    for (harm, mend, code, words) in WRONG {
        host.sh(harm).ok();
        let found = scene.ask(&[]);
        let is_it = |(status, one, message): &&(String, String, String)| {
            (status.as_str(), one.as_str()) == ("problem", *code) && message.contains(words)
        };
        assert!(found.iter().any(|one| is_it(&one)), "{code}: {found:#?}");
        host.sh(mend).ok();
    }
    // One server that is not there is one finding; one that takes the call and says nothing ends in time.
    host.sh(WRONG[2].0).ok();
    let shown = host.prep(&["doctor", "--profile", "ours", "--online"]);
    assert_eq!(shown.stdout.matches("can't be reached by SSH").count(), 1, "{shown}");
    let silent = host.in_network(|| TcpListener::bind("127.0.0.1:22").unwrap());
    let found = scene.ask(&[]);
    assert!(
        found
            .iter()
            .any(|(status, code, _)| (status.as_str(), code.as_str()) == ("problem", "server-unreachable")),
        "{found:#?}"
    );
    drop(silent);
    host.sh(WRONG[2].1).ok();

    // Nobody can say what gitlab-runner does not.
    for unknown in ["echo nothing > /run/verify.says", "rm /etc/gitlab-runner/.runner_system_id"] {
        host.sh(&format!("{unknown}; : > /run/verify.asked")).ok();
        let found = scene.ask(&[]);
        let is_it = found
            .iter()
            .any(|(status, code, _)| (status.as_str(), code.as_str()) == ("unknown", "runner-unverified"));
        assert!(is_it, "{unknown}: {found:#?}");
        host.sh("test -e /etc/gitlab-runner/.runner_system_id || test ! -s /run/verify.asked").ok();
    }

    // Registries that are none, or are not there.
    let none = ["http://127.0.0.1:1", "file:///etc/passwd", "http://127.0.0.1:1/'; echo x", "-K/etc/passwd"];
    for address in none.map(str::to_owned).into_iter().chain([format!("{registry}/none")]) {
        let found = scene.ask(&[&format!("--registry={address}")]);
        let is_it = found
            .iter()
            .any(|(status, code, _)| (status.as_str(), code.as_str()) == ("problem", "registry-unreachable"));
        assert!(is_it, "{address}: {found:#?}");
    }

    // GitLab itself, with a token alone.
    gitlab.state().keys.clear();
    let differs = |found: &[(String, String, String)]| {
        let code = "gitlab-differs";
        found.iter().any(|(status, one, message)| {
            (status.as_str(), one.as_str()) == ("problem", code) && message.contains(PROJECT)
        })
    };
    assert!(!differs(&scene.ask(&[])));
    assert!(differs(&scene.ask(&["--token-file", "/root/token"])));
    gitlab.asked();
    host.sh("echo glpat-other > /root/token").ok();
    let run =
        host.prep(&["doctor", "--profile", "ours", "--json", "--online", "--token-file", "/root/token"]);
    assert!(
        online(&run).iter().any(|(_, code, message)| code == "could-not-look" && message.contains("401")),
        "{run}"
    );
}

/// What a project in GitLab leaves to a person, and what it is warned of, with the codes of `gitlab check`.
#[test]
fn what_gitlab_check_says_is_a_finding_each() {
    let Some(Scene { host, gitlab, .. }) = Scene::set() else { return };
    host.sh(
        "sed -i 's/^deploy_key.*/&\\njob_tokens_from = [\"group\\/code-repo\"]\\npipeline_variables = \"developer\"/' \
         /etc/runner-prep/profiles/ours.toml",
    )
    .ok();
    let codes = || -> Vec<(String, String)> {
        let run =
            host.prep(&["doctor", "--profile", "ours", "--json", "--online", "--token-file", "/root/token"]);
        online(&run).into_iter().map(|(status, code, _)| (status, code)).collect()
    };
    let has = |status: &str, code: &str| {
        let found = codes();
        assert!(found.contains(&(status.to_owned(), code.to_owned())), "{code}: {found:?}");
    };
    gitlab.state().inbound = false;
    gitlab.state().variables = "owner";
    has("ok", "gitlab-open");
    has("ok", "gitlab-owner");
    has("problem", "gitlab-differs");
    gitlab.state().protected =
        serde_json::json!([{ "name": "main", "push_access_levels": [{ "access_level": 0 }] }]);
    has("problem", "gitlab-branch");
    gitlab.state().keys[0].expires_at = Some("2024-01-01T00:00:00.000Z".to_owned());
    has("problem", "gitlab-key-expired");
    gitlab.state().keys.clear();
    gitlab.state().bot = true;
    has("ok", "gitlab-bot");
    host.sh(
        "printf '\\n[[gitlab.runner]]\\nname = \"ci1\"\\nproject = \"group/k8s-repo\"\\n' >>/etc/runner-prep/profiles/ours.toml",
    )
    .ok();
    gitlab.state().runners = vec![serde_json::json!({
        "id": 31, "of": 7, "description": "ci1", "runner_type": "project_type", "tag_list": [], "run_untagged": true,
        "paused": true, "status": "never_contacted", "access_level": "ref_protected",
    })];
    has("problem", "gitlab-runner-idle");
    has("problem", "gitlab-runner-paused");
    has("ok", "gitlab-runner-protected");
    gitlab.state().scope = "read_api";
    has("ok", "gitlab-token");
    gitlab.state().scope = "api";
    // What GitLab says of a project is known, also where nothing can be planned for it.
    for more in [
        serde_json::json!({ "archived": true }),
        serde_json::json!({ "repository_access_level": "disabled" }),
        serde_json::json!({ "path_with_namespace": "group/k8s-repo-deletion_scheduled-7" }),
        serde_json::json!({ "path_with_namespace": "group/renamed" }),
    ] {
        gitlab.state().more = more;
        has("problem", "gitlab-differs");
    }
    gitlab.state().more = serde_json::json!({});
    gitlab.state().version = "16.0.0";
    has("problem", "gitlab-differs");
    gitlab.state().version = "19.1.0";
    gitlab.state().role = 30;
    has("unknown", "could-not-look");
    gitlab.state().role = 40;
    for (status, body) in [(502, ""), (403, "{\"message\":\"403 Forbidden\"}"), (200, "<html>Sign in</html>")]
    {
        gitlab.state().quirk = Some((0, Quirk::Status(status, "", body, 99)));
        has("unknown", "could-not-look");
    }
}

#[test]
fn a_tree_has_no_network() {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    let found = online(&tree.run(&["doctor", "--profile", "shell", "--json", "--online"]));
    assert!(!found.is_empty() && found.iter().all(|(_, code, _)| code == "needs-host"), "{found:?}");
    tree.run(&["doctor", "--registry", "registry.example.com"]).exit(2).says("--online");
    tree.run(&["doctor", "--online", "x is not allowed"]).exit(2);
}
