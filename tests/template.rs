//! A runner registered with `runner-prep template` needs nothing more: gitlab-runner's own rules for merging
//! the template, and the bytes that it then writes, leave `apply` nothing to do.

#![expect(clippy::unwrap_used, reason = "a fixture that is not as expected has to stop the test")]

mod support;

use runner_prep::profile::BUILT_IN;
use runner_prep::text::toml_patch::Toml;
use support::Tree;
use toml_edit::{Item, Table, TableLike};

/// What `gitlab-runner register --non-interactive --executor docker --docker-image docker:19.03
/// --template-config FILE` makes of a template: zero values of the flags are filled from it, `/cache` is
/// appended where no volume ends in it, and the whole is written by an encoder that drops empty lists and
/// always writes these truth values (gitlab-runner 19.4: commands/register.go, common/config.go).
fn register(template: &str) -> String {
    let template = Toml::parse(template.as_bytes()).unwrap();
    let runners = template.root().get("runners").and_then(Item::as_array_of_tables).unwrap();
    assert_eq!(runners.len(), 1, "a template holds exactly one runner");
    let runner = runners.get(0).unwrap();
    let docker = runner.get("docker").and_then(Item::as_table_like).unwrap();
    let flag = |key: &str| docker.get(key).and_then(Item::as_bool).unwrap_or(false);
    let list = |table: &dyn TableLike, key: &str| -> Vec<String> {
        let array = table.get(key).and_then(Item::as_array);
        array.map(|array| array.iter().map(|v| v.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
    };
    let line = |indent: &str, key: &str, list: &[String]| {
        if list.is_empty() { String::new() } else { format!("{indent}{key} = {list:?}\n") }
    };
    let mut volumes = list(docker, "volumes");
    if !volumes.iter().any(|volume| volume.rsplit(':').next() == Some("/cache")) {
        volumes.push("/cache".to_owned());
    }
    let services = docker.get("services_privileged").and_then(Item::as_bool);
    let limit = docker.get("services_limit").and_then(Item::as_integer);
    let given = docker.get("services").and_then(Item::as_array_of_tables).into_iter().flatten();
    let name = |service: &Table| service.get("name").and_then(Item::as_str).unwrap().to_owned();
    let given: Vec<String> = given
        .map(|service| format!("    [[runners.docker.services]]\n      name = {:?}\n", name(service)))
        .collect();
    [
        "concurrent = 1\ncheck_interval = 0\nshutdown_timeout = 0\n\n[session_server]\n  session_timeout = 1800\n\n",
        "[[runners]]\n  name = \"runner-host\"\n  url = \"https://gitlab.com\"\n  id = 1\n  token = \"CANARY-glrt\"\n",
        "  token_obtained_at = 2026-08-01T00:00:00Z\n  token_expires_at = 0001-01-01T00:00:00Z\n",
        "  executor = \"docker\"\n",
        &line("  ", "environment", &list(runner, "environment")),
        "  [runners.cache]\n    MaxUploadedArchiveSize = 0\n    [runners.cache.s3]\n  [runners.docker]\n",
        &format!("    tls_verify = {}\n    image = \"docker:19.03\"\n", flag("tls_verify")),
        &format!("    privileged = {}\n", flag("privileged")),
        &services.map(|on| format!("    services_privileged = {on}\n")).unwrap_or_default(),
        "    disable_entrypoint_overwrite = false\n    oom_kill_disable = false\n    disable_cache = false\n",
        &line("    ", "volumes", &volumes),
        &line("    ", "allowed_privileged_services", &list(docker, "allowed_privileged_services")),
        "    shm_size = 0\n    network_mtu = 0\n",
        &limit.map(|limit| format!("    services_limit = {limit}\n")).unwrap_or_default(),
        &given.concat(),
    ]
    .concat()
}

#[test]
fn a_runner_registered_with_the_template_needs_nothing_more() {
    let mut tried = 0;
    for (profile, _) in BUILT_IN {
        let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
        let template = tree.run(&["template", "--profile", profile]);
        if template.status == 2 {
            // A profile for shell jobs alone has nothing to say about config.toml.
            template.says("wants nothing of config.toml");
            continue;
        }
        tried += 1;
        let registered = register(&template.ok().stdout);
        tree.put("/etc/gitlab-runner/config.toml", &registered);
        tree.chmod("/etc/gitlab-runner/config.toml", 0o600);
        tree.run(&["apply", "--profile", profile, "--only", "config"]).ok().says("as the profile wants it");
        assert_eq!(tree.text("/etc/gitlab-runner/config.toml"), registered, "{profile}");
    }
    assert!(tried >= 5, "the profiles for dind have templates");
}

#[test]
fn key_prints_the_line_alone_and_says_when_there_is_none() {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    tree.run(&["key"]).exit(2).says("no SSH key");
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok().says("Deploy keys");
    let key = tree.run(&["key"]);
    let file = tree.text("/home/gitlab-runner/.ssh/id_ed25519.pub");
    assert_eq!(key.ok().stdout, file);
    assert_eq!(key.stdout.lines().count(), 1);
    let fingerprint = tree.run(&["key", "--fingerprint"]);
    assert!(fingerprint.ok().stdout.starts_with("SHA256:"));
    let document = tree.run(&["key", "--json"]).json();
    assert_eq!(document["public_key"]["line"].as_str(), Some(file.trim()));
    assert_eq!(document["public_key"]["fingerprint"].as_str(), Some(fingerprint.stdout.trim()));
    assert_eq!(document["schema"], 1);
}

/// The change is made by then, and the second look has nothing to say of it.
#[test]
fn the_report_of_an_apply_says_with_which_address_jobs_commit() {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    let said = "gitlab-runner@runner-host";
    let arguments = ["apply", "--profile", "shell", "--only", "git", "--json"];
    let first = tree.run(&arguments);
    assert_eq!(first.ok().json()["warnings"][0]["code"], "git-email-default", "{first:?}");
    first.says(said);
    let second = tree.run(&arguments);
    assert_eq!(second.ok().json()["warnings"], serde_json::json!([]));
}

#[test]
fn bad_words_in_known_hosts_and_git_are_refused_with_their_place() {
    let cases = [
        ("[known_hosts]\nhosts = [\"git example.com\"]\n", "host"),
        ("[known_hosts]\nhosts = [\"-oProxyCommand=x\"]\n", "host"),
        ("[known_hosts]\nhosts = [\"a\\nb\"]\n", "host"),
        ("[known_hosts]\nhosts = [\"git.example.com\"]\n", "no built-in keys"),
        ("[known_hosts]\nhosts = [{ host = \"a\", keys = [\"ssh-ed25519 AAAA\"] }]\n", "a key of a"),
        ("[known_hosts]\nhosts = [{ host = \"a\", keys = [] }]\n", "empty"),
        ("[known_hosts]\nhosts = [{ host = \"a\", fingerprint = \"MD5:00:11\" }]\n", "SHA256:"),
        ("[known_hosts]\nhosts = [{ host = \"a\", file = \"keys\" }]\n", "absolute"),
        ("[known_hosts]\nhosts = [{ host = \"a\", prints = \"x\" }]\n", "host"),
        ("[git]\nname = \"x\"\nemail = \"a\\nb@c\"\n", "address"),
        ("[git]\nname = \"a\\nb\"\n", "name"),
    ];
    for (profile, word) in cases {
        let tree =
            Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file("/etc/bad.toml", profile);
        let before = tree.stamps();
        let path = tree.path("/etc/bad.toml");
        tree.run(&["apply", "--profile", path.to_str().unwrap()])
            .exit(2)
            .says(word)
            .says("line ")
            .says("column ");
        support::assert_unchanged(&before, &tree.stamps());
    }
}
