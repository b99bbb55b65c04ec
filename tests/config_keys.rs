//! What `doctor` and `plan` say of keys and values in `config.toml`, by the version of gitlab-runner: small files, one for
//! each kind of answer.

#![allow(clippy::unwrap_used, reason = "a host that can't be set up has to stop the test")]

mod support;

use serde_json::Value;
use support::Tree;

/// A runner with these lines under `[[runners]]`, and these tables.
fn file(executor: &str, runner: &str, tables: &str) -> String {
    let who = "name = \"a\"\nurl = \"https://gitlab.com/\"\ntoken = \"glrt-CANARY-1\"\n";
    format!("concurrent = 1\n[[runners]]\n{who}executor = \"{executor}\"\n{runner}\n{tables}\n")
}

fn tree(config: &str) -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(config)
}

/// A profile of these lines, given by its path.
fn own(tree: &Tree, lines: &str) -> String {
    tree.put("/etc/own.toml", format!("[config]\nexecutors = [\"docker\"]\n{lines}\n"));
    tree.path("/etc/own.toml").display().to_string()
}

/// Status, code, and message with repair of what `doctor` finds in the keys and values of the file.
fn found(tree: &Tree, profile: &str, version: &str) -> Vec<[String; 3]> {
    let mut arguments = vec!["doctor", "--profile", profile, "--json"];
    if !version.is_empty() {
        arguments.extend(["--runner-version", version]);
    }
    let document = tree.run(&arguments).json();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let is_meant = |finding: &&Value| {
        let checks = ["config", "config-keys", "config-docker", "config-runners"];
        checks.contains(&text(finding, "check").as_str()) && text(finding, "code") != "ok"
    };
    let all = document["findings"].as_array().cloned().unwrap_or_default();
    let words = |finding: &Value| format!("{} -> {}", text(finding, "message"), text(finding, "repair"));
    all.iter().filter(is_meant).map(|one| [text(one, "status"), text(one, "code"), words(one)]).collect()
}

/// Executor, lines of the runner, tables, version; status, code and a word of the one answer. No code: there is none.
type Row = [&'static str; 7];

const ROWS: &[Row] = &[
    // All that 19.4 reads.
    ["docker", "prepare_timeout = \"1h\"\nget_sources_timeout = \"1h\"", "", "19.4.0", "", "", ""],
    ["docker", "", "[runners.artifact]\nupload_timeout = \"1h\"", "19.4.0", "", "", ""],
    ["docker", "", "[runners.experimental.boot_verify]\nenabled = true", "19.4.0", "", "", ""],
    ["docker+machine", "", "[runners.machine]\nMaxRemovalAttempts = 3", "19.4.0", "", "", ""],
    ["docker+machine", "", "[machine.shutdown_drain]\nenabled = true", "19.4.0", "", "", ""],
    ["kubernetes", "", "[runners.kubernetes.affinity.node_affinity]", "19.4.0", "", "", ""],
    ["shell", "", "[experimental.usage_logger]\nwriters = [\"logrotate\"]", "19.4.0", "", "", ""],
    // By version.
    ["docker", "prepare_timeout = \"1h\"", "", "18.11.0", "problem", "config-key-too-new", "19.0.0"],
    [
        "docker",
        "",
        "[runners.docker]\npid_mode = \"host\"",
        "19.0.0",
        "problem",
        "config-key-too-new",
        "19.1.0",
    ],
    ["docker", "", "[runners.docker]\nnetwork_mtu = 0", "15.0.0", "", "", ""],
    ["docker", "", "[runners.artifact]", "15.0.0", "", "", ""],
    ["docker", "pre_clone_script = \"true\"", "", "16.11.0", "", "", ""],
    ["docker", "pre_clone_script = \"true\"", "", "17.0.0", "problem", "config-key-removed", "17.0.0"],
    // What nobody here knows.
    ["docker", "quite_new = 1", "", "20.0.0", "unknown", "config-key-unjudged", "20.0.0"],
    ["docker", "privileged = true", "", "20.0.0", "unknown", "config-key-unjudged", "manual"],
    ["docker", "quite_new = 1", "", "", "unknown", "config-key-unjudged", "--runner-version"],
    ["docker", "", "[quite.new]\na = 1", "19.5.0", "unknown", "config-key-unjudged", "19.5.0"],
    ["nomad", "", "", "20.0.0", "unknown", "executor-unknown", "20.0.0 is newer"],
    [
        "docker",
        "shell = \"zsh\"",
        "",
        "20.0.0",
        "unknown",
        "config-value-refused",
        "up to gitlab-runner 19.4",
    ],
    [
        "docker",
        "",
        "[runners.docker]\nshm_size = \"60\"",
        "20.0.0",
        "problem",
        "config-type",
        "a whole number",
    ],
    // Slips and places.
    [
        "docker",
        "",
        "[runners.docker]\nprivilegd = true",
        "19.4.0",
        "problem",
        "config-key-unknown",
        "`privileged`?",
    ],
    [
        "docker",
        "privilged = true",
        "",
        "19.4.0",
        "problem",
        "config-key-unknown",
        "write it as `privileged` under [runners.docker]",
    ],
    // The one that was meant is there already.
    [
        "docker",
        "privilged = true",
        "[runners.docker]\nprivileged = true",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "",
    ],
    [
        "docker",
        "privilged = true",
        "",
        "",
        "unknown",
        "config-key-unjudged",
        "`privileged` under [runners.docker]?",
    ],
    // Short words are near to many.
    ["docker", "dsn = \"a\"", "", "19.4.0", "ok", "config-key-foreign", ""],
    [
        "docker",
        "",
        "[runners.docker]\npull-policy = \"a\"",
        "19.4.0",
        "problem",
        "config-key-unknown",
        "`pull_policy`?",
    ],
    [
        "docker",
        "volumes = [\"/a\"]",
        "",
        "19.4.0",
        "problem",
        "config-misplaced",
        "belongs under [runners.docker]",
    ],
    [
        "docker",
        "image = \"a\"",
        "[runners.docker]\nimage = \"a\"",
        "19.4.0",
        "problem",
        "config-misplaced",
        "take `image` out",
    ],
    [
        "docker",
        "",
        "[runners.docker]\nenvironment = [\"A=1\"]",
        "19.4.0",
        "problem",
        "config-misplaced",
        "[[runners]]",
    ],
    [
        "docker",
        "",
        "[runners.docker]\nlocked = true",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "keep such notes",
    ],
    [
        "custom",
        "",
        "[runners.custom]\nconfig_exec_timeout = 1\nrun_exec_timeout = 2",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "keep such notes",
    ],
    ["kubernetes", "dns_search = [\"a\"]", "", "19.4.0", "ok", "config-key-foreign", "keep such notes"],
    ["docker", "", "[runners.kubernetes]\ncpus = \"\"\nmemory = \"\"", "19.4.0", "", "", ""],
    [
        "kubernetes",
        "",
        "[runners.kubernetes]\nvolume_keep = true",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "keep such notes",
    ],
    [
        "docker",
        "",
        "[runners.cache]\nType = \"s3\"\nBucketName = \"b\"",
        "19.4.0",
        "problem",
        "config-misplaced",
        "cache.s3]",
    ],
    [
        "docker",
        "",
        "[runners.cache]\nType = \"gcs\"\nBucketName = \"b\"",
        "19.4.0",
        "problem",
        "config-misplaced",
        "cache.gcs]",
    ],
    [
        "docker",
        "",
        "[runners.cache]\nInsecure = false",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "take `Insecure` out",
    ],
    // What GitLab holds.
    ["docker", "tags = [\"a\"]", "", "19.4.0", "ok", "config-key-of-gitlab", "GitLab"],
    ["docker", "run-untagged = true", "", "19.4.0", "ok", "config-key-of-gitlab", "GitLab"],
    ["docker", "locked = true", "", "19.4.0", "ok", "config-key-of-gitlab", "GitLab"],
    ["docker", "protected = false", "", "", "ok", "config-key-of-gitlab", "GitLab"],
    // Types, and the link to the daemon.
    [
        "docker",
        "",
        "[runners.docker]\nservices = [\"{'name': 'a'}\"]",
        "19.4.0",
        "problem",
        "config-type",
        "a list of tables",
    ],
    [
        "docker",
        "",
        "[runners.docker]\nshm_size = \"60\"",
        "19.4.0",
        "problem",
        "config-type",
        "a whole number",
    ],
    ["docker", "", "[runners.docker]\npull_policy = [\"always\"]", "19.4.0", "", "", ""],
    [
        "docker",
        "",
        "[runners.docker]\nhost = \"unix:///var/run/docker.sock\"\ntls_verify = true",
        "17.5.0",
        "problem",
        "tls-verify-local",
        "HTTP response to HTTPS client",
    ],
    [
        "docker",
        "",
        "[runners.docker]\ntls_verify = true",
        "17.5.0",
        "ok",
        "tls-verify-local",
        "no effect without `host`",
    ],
    ["", "", "", "19.4.0", "problem", "executor-missing", "`executor` is one of"],
    // What its reader makes of values: a time span, a time, flags, tables of free names.
    ["docker", "unhealthy_interval = \"1h30m\"", "", "19.4.0", "", "", ""],
    ["docker", "unhealthy_interval = \"1d\"", "", "19.4.0", "problem", "config-type", "minutes and seconds"],
    ["docker", "prepare_timeout = \"\"", "", "19.4.0", "problem", "config-type", "refuses the whole file"],
    ["docker", "token_expires_at = \"0001-01-01T00:00:00Z\"", "", "19.4.0", "", "", ""],
    ["docker", "token_expires_at = \"never\"", "", "19.4.0", "problem", "config-type", "a time like"],
    ["docker", "token_expires_at = 0", "", "19.4.0", "problem", "config-type", "a time like"],
    [
        "docker",
        "",
        "[runners.feature_flags]\nFF_X = \"true\"",
        "20.0.0",
        "problem",
        "config-type",
        "true or false",
    ],
    [
        "docker",
        "",
        "[runners.feature_flags]\nFF_X = true",
        "19.4.0",
        "ok",
        "config-key-foreign",
        "ignores `FF_X`",
    ],
    [
        "docker",
        "",
        "[runners.feature_flags]\nff_timestamps = true",
        "19.4.0",
        "problem",
        "config-key-unknown",
        "rename it to `FF_TIMESTAMPS`",
    ],
    ["docker", "labels = [\"a\"]", "", "19.4.0", "problem", "config-type", "and ignores it"],
    [
        "docker",
        "",
        "[runners.docker.services_devices]\n\"a:*\" = \"/dev/kvm\"",
        "19.4.0",
        "problem",
        "config-type",
        "lists of strings",
    ],
    // A version passes over what it does not read.
    ["docker", "unhealthy_interval = \"1d\"", "", "15.6.0", "problem", "config-key-too-new", "15.7.0"],
    ["docker", "pre_clone_script = [\"a\"]", "", "17.0.0", "problem", "config-key-removed", "17.0.0"],
    ["docker", "pre_clone_script = [\"a\"]", "", "16.0.0", "problem", "config-type", "a string"],
    [
        "docker",
        "",
        "[runners.docker]\npull_policy = \"\"",
        "19.4.0",
        "problem",
        "pull-policy-unknown",
        "every job fails",
    ],
    ["kubernetes", "", "[runners.kubernetes]\npull_policy = \"\"", "19.4.0", "", "", ""],
    [
        "kubernetes",
        "",
        "[runners.kubernetes]\npull_policy = \"x\"",
        "19.4.0",
        "problem",
        "pull-policy-unknown",
        "no policy",
    ],
    ["docker", "shell = \"zsh\"", "", "19.4.0", "problem", "config-value-refused", "bash, sh or pwsh"],
    ["shell", "shell = \"fish\"", "", "", "problem", "config-value-refused", "every job fails"],
    ["shell", "shell = \"bash\"\nbuilds_dir = \"builds\"", "", "19.4.0", "", "", ""],
    ["docker", "builds_dir = \"/\"", "", "19.4.0", "problem", "config-value-refused", "absolute path"],
    ["docker", "builds_dir = \"$HOME/b\"", "", "19.4.0", "", "", ""],
    // Executors by version.
    ["docker-ssh", "", "", "15.11.0", "", "", ""],
    ["docker-ssh", "", "", "16.0.0", "problem", "executor-unknown", "gitlab-runner 16.0.0"],
    ["docker-ssh", "", "", "", "unknown", "executor-unknown", "--runner-version"],
    ["instance", "", "", "15.4.0", "problem", "executor-unknown", "gitlab-runner 15.4.0"],
    ["instance", "", "", "15.5.0", "", "", ""],
    ["docker-autoscaler", "", "", "15.10.0", "problem", "executor-unknown", "docker-windows, docker+machine"],
    ["docker-autoscaler", "", "", "15.11.0", "", "", ""],
];

#[test]
fn every_kind_of_key_has_its_answer() {
    let mut wrong = Vec::new();
    for [executor, runner, tables, version, status, code, word] in ROWS {
        let tree = tree(&file(executor, runner, tables).replace("executor = \"\"\n", ""));
        let mut all = found(&tree, &own(&tree, "limit = 0"), version);
        all.retain(|[_, code, _]| code != "runner-not-registered");
        let is_right = match &all[..] {
            [] => code.is_empty(),
            [[of, is, words]] => {
                of == status && is == code && words.contains(word) && !words.contains("CANARY")
            }
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{version}: {runner} {tables}: {all:?}, wanted {status} {code} {word:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_makes_jobs_fail_in_silence_is_said() {
    let host = |value: &str| format!("environment = [\"DOCKER_HOST={value}\"]");
    let script = |text: &str| format!("pre_build_script = '''\n{text}\n'''");
    let service = |name: &str| format!("services = [{{ name = \"{name}\" }}]");
    let (without_tls, with_tls) = ("tcp://docker:2375", "tcp://docker:2376");
    let listed = "allowed_privileged_services = [\"**/docker:*\"]\n";
    let (wrong_host, unlisted) = ("docker-host-wrong", "service-not-allowed");
    for (runner, docker, profile, code) in [
        (host(without_tls), String::new(), "dind", wrong_host),
        (host(with_tls), String::new(), "dind", ""),
        (host(without_tls), String::new(), "dind-no-tls", ""),
        (host(with_tls), String::new(), "dind-no-tls", wrong_host),
        (host(without_tls), String::new(), "dind-socket", wrong_host),
        (host("unix:///runner/services/docker/docker.sock"), String::new(), "dind-socket", ""),
        (host(without_tls), String::new(), "docker-socket", wrong_host),
        (host("tcp://10.0.0.1:2375"), String::new(), "dind", ""),
        (script("export DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", wrong_host),
        (
            script("set -e\nexport DOCKER_HOST=\"tcp://docker:2375\"; true"),
            String::new(),
            "dind-hardened",
            wrong_host,
        ),
        (script("# export DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", ""),
        (script("export DOCKER_HOST=${DOCKER_HOST:-tcp://docker:2375}"), String::new(), "dind", ""),
        (
            script("[ -z \"$DOCKER_HOST\" ] && export DOCKER_HOST=tcp://docker:2375"),
            String::new(),
            "dind",
            "",
        ),
        (script("export MY_DOCKER_HOST=tcp://docker:2375"), String::new(), "dind", ""),
        (script("true; export DOCKER_HOST=http://docker:2376"), String::new(), "dind", wrong_host),
        // With the quotes it is no address.
        (host("\\\"tcp://docker:2376\\\""), String::new(), "dind", wrong_host),
        (host("'unix:///var/run/docker.sock'"), String::new(), "docker-socket", wrong_host),
        (host("tcp://Docker"), String::new(), "dind", wrong_host),
        (host("tcp://Docker"), String::new(), "dind-no-tls", ""),
        (host("docker:2375"), String::new(), "dind", wrong_host),
        (host("https://docker:2376"), String::new(), "dind", wrong_host),
        (host("unix:///run/docker.sock"), String::new(), "dind", wrong_host),
        (host("unix://run/docker.sock"), String::new(), "docker-socket", wrong_host),
        (host(""), String::new(), "dind", ""),
        (host("tcp://$ENGINE:2375"), String::new(), "dind", ""),
        (host("ssh://me@build"), String::new(), "dind", ""),
        (String::new(), service("docker:dind"), "dind-rootless", unlisted),
        (String::new(), service("docker:dind"), "dind-hardened", ""),
        (String::new(), service("registry.example.com/docker:28-dind"), "dind-hardened", unlisted),
        (String::new(), service("registry.example.com/docker:28-dind"), "dind", ""),
        (String::new(), format!("{listed}{}", service("a.example.com/docker:28-dind")), "dind-hardened", ""),
        (String::new(), service("postgres:16"), "dind-hardened", ""),
        (String::new(), "wait_for_services_timeout = \"60\"".to_owned(), "dind", "config-type"),
        (String::new(), "services = [\"{'name': 'a'}\"]".to_owned(), "dind", "config-type"),
    ] {
        let tree = tree(&file("docker", &runner, &format!("[runners.docker]\n{docker}")));
        let plan = ["plan", "--only", "config", "--runner-version", "19.4.0", "--json", "--profile", profile];
        let warnings = tree.run(&plan).json()["warnings"].to_string();
        let all = found(&tree, profile, "19.4.0");
        for silent in [wrong_host, unlisted, "config-type"] {
            let is_problem = all.iter().any(|[status, code, _]| status == "problem" && code == silent);
            assert_eq!(warnings.contains(silent), silent == code, "{runner} {docker} {profile}: {warnings}");
            assert_eq!(is_problem, silent == code, "{runner} {docker} {profile}: {all:?}");
        }
    }
}

#[test]
fn volumes_on_which_every_job_fails_are_told() {
    let tmpfs = "[runners.docker.tmpfs]\n\"/certs/client\" = \"rw\"\n";
    let sock = "/var/run/docker.sock";
    for (volumes, tables, profile, code) in [
        ("\"/certs/client\", \"/cache\"", "", "dind", ""),
        // One path in another spelling is no further volume, beside which Docker refuses it.
        ("\"/certs/./client\", \"/cache\"", "", "dind", ""),
        ("\"/certs//client\", \"/cache\"", "", "dind", "volume-refused"),
        ("\"/certs/client\", \"/cache\", \"/cache/\"", "", "dind", "volume-refused"),
        ("\"/cache\"", tmpfs, "dind", "volume-refused"),
        ("\"/certs/client\", \"/cache\", \"x:/y:cached\"", "", "dind", "volume-refused"),
        ("\"/certs/ca\", \"/certs/client\", \"/cache\"", "", "dind", "certs-ca-shared"),
        (
            "\"/run/user/1000/docker.sock:/var/run/docker.sock\", \"/cache\"",
            "",
            "docker-socket",
            "rights of the user",
        ),
        ("\"/srv/engine.sock:/var/run/docker.sock\", \"/cache\"", "", "docker-socket", "docker-sock-other"),
        ("\"/run/docker.sock:/run/docker.sock\", \"/cache\"", "", "docker-socket", "is root on the host"),
    ] {
        let tree = tree(&file("docker", "", &format!("[runners.docker]\nvolumes = [{volumes}]\n{tables}")));
        let apply = || {
            let run = tree.run(&["apply", "--only", "config", "--profile", profile, "--json"]);
            run.ok().json()["warnings"].to_string()
        };
        let (first, second) = (apply(), apply());
        assert_eq!(first, second, "{volumes}");
        for word in [
            "volume-refused",
            "certs-ca-shared",
            "docker-sock-other",
            "rights of the user",
            "is root on the host",
        ] {
            assert_eq!(first.contains(word), word == code, "{volumes} {tables}: {first}");
        }
        let text = tree.text("/etc/gitlab-runner/config.toml");
        let is_twice = text.matches("certs/client\"").count() + text.matches(sock).count() > 1;
        assert!(!is_twice || !tables.is_empty(), "{text}");
    }
}

#[test]
fn a_refusal_for_the_hosts_socket_names_the_way_out() {
    let sock = "/var/run/docker.sock";
    let with = |volumes: &str| tree(&file("docker", "", &format!("[runners.docker]\nvolumes = [{volumes}]")));
    for (volumes, profile, said, not) in [
        (format!("\"{sock}:{sock}\""), "dind", "--profile docker-socket", "under another name"),
        (
            format!("\"{sock}:{sock}\", \"/certs/client\""),
            "dind",
            "take docker.volumes[0] out",
            "--profile docker-socket",
        ),
        (format!("\"{sock}:/tmp/engine\""), "dind", "a job that does is root on the host", "silently use"),
        ("\"/certs/client\"".to_owned(), "docker-socket", "take /certs/client", "--profile docker-socket"),
    ] {
        let run = with(&volumes).run(&["plan", "--only", "config", "--profile", profile]);
        run.exit(2).says("docker.sock").says(said).says_not(not);
    }
    // The way out is one.
    let tree = with(&format!("\"{sock}:{sock}\""));
    for command in ["apply", "check"] {
        tree.run(&[command, "--only", "config", "--profile", "docker-socket"]).ok();
    }
}

/// Values of `[runners.docker]` that exclude each other or that Docker does not take: the lines, the version, and what is
/// said to be refused.
const REFUSED: [(&str, &str, &str); 83] = [
    ("allowed_pull_policies = [\"never\"]", "19.4.0", "allowed_pull_policies"),
    ("pull_policy = \"never\"\nallowed_pull_policies = [\"always\"]", "15.1.0", "allowed_pull_policies"),
    ("pull_policy = []\nallowed_pull_policies = [\"if-not-present\"]", "", "allowed_pull_policies"),
    ("pull_policy = \"never\"\nallowed_pull_policies = [\"always\"]", "15.0.0", ""),
    ("pull_policy = [\"never\", \"always\"]\nallowed_pull_policies = [\"always\"]", "19.4.0", ""),
    ("pull_policy = \"never\"\nallowed_pull_policies = []", "19.4.0", ""),
    ("user = \"1000\"\nallowed_users = [\"root\"]", "19.4.0", "allowed_users"),
    ("user = \"1000\"\nallowed_users = [\"root\", \"1000\"]", "19.4.0", ""),
    ("allowed_users = [\"root\"]", "19.4.0", ""),
    ("cpus = \"two\"", "19.4.0", "cpus"),
    ("cpus = \"1/2\"\nservice_cpus = \"0.5\"", "19.4.0", ""),
    ("service_cpus = \"50%\"", "19.4.0", "service_cpus"),
    ("isolation = \"hyper-v\"", "19.4.0", "isolation"),
    ("isolation = \"process\"", "19.4.0", ""),
    ("dns = [\"192.0.2.1\", \"2001:db8::1\"]", "19.4.0", ""),
    ("dns = [\"192.0.2.1\", \"ns.example.com\"]", "19.4.0", "dns"),
    ("dns = []", "19.4.0", ""),
    ("extra_hosts = [\"git.example.com 192.0.2.1\"]", "19.4.0", "extra_hosts"),
    ("extra_hosts = [\"git:192.0.2.1\", \"up:host-gateway\", \"six:2001:db8::1\"]", "19.4.0", ""),
    ("host = \"/var/run/docker.sock\"", "17.5.0", "host"),
    ("host = \"localhost:2375\"", "17.5.0", "host"),
    ("host = \"tcp://192.0.2.1:2375\"", "17.5.0", ""),
    ("cache_dir = \"cache\"\nvolumes = [\"/cache\"]", "17.5.0", "cache_dir"),
    ("cache_dir = \"cache\"\nvolumes = [\"/srv:/cache\"]", "17.5.0", ""),
    ("memory = \"2 gigs\"", "12.0.0", "memory"),
    ("memory = \"2g\"\nmemory_swap = \"-1\"", "17.5.0", "memory_swap"),
    ("memory_swap = \"3g\"", "17.5.0", "memory_swap"),
    ("memory_swap = \"0\"\nmemory_reservation = \"50%\"", "17.5.0", "memory_reservation"),
    ("service_memory = \"lots\"", "16.9.0", "service_memory"),
    ("service_memory = \"lots\"", "16.8.0", ""),
    ("memory = \"1.5 GiB\"\nmemory_swap = \"2048MB\"\nmemory_reservation = \"64m\"", "17.5.0", ""),
    ("memory = \"536870912\"\nmemory_swap = \"1g\"", "17.5.0", ""),
    ("memory = \"512\"", "17.5.0", "memory"),
    ("memory = \"6m\"\nmemory_reservation = \"0\"", "17.5.0", ""),
    ("memory = \"2g\"\nmemory_swap = \"1g\"", "17.5.0", "memory_swap"),
    ("memory = \"0\"\nmemory_swap = \"1g\"", "17.5.0", "memory_swap"),
    ("memory = \"1g\"\nmemory_reservation = \"2g\"", "17.5.0", "memory_reservation"),
    ("memory_reservation = \"64k\"", "17.5.0", "memory_reservation"),
    ("service_memory_swap = \"1g\"", "17.5.0", "service_memory_swap"),
    ("service_memory = \"512\"", "17.5.0", "service_memory"),
    ("memory = \"1g\"\nservice_memory = \"1g\"\nservice_memory_swap = \"1g\"", "17.5.0", ""),
    ("cpus = \"inf\"", "19.4.0", "cpus"),
    ("log_options = { env = \"A\", labels = \"b\" }", "19.3.0", ""),
    ("log_options = { max-size = \"10m\" }", "19.3.0", "log_options"),
    ("log_options = { max-size = \"10m\" }", "18.8.0", ""),
    (
        "ulimit = { nofile = \"1024:4096\", core = \"0\", memlock = \"-1:-1\", nproc = \"64:-1\" }",
        "17.5.0",
        "",
    ),
    ("ulimit = { nofile = \"4096:1024\" }", "17.5.0", "ulimit"),
    ("ulimit = { nofile = \"1k\" }", "17.5.0", "ulimit"),
    ("ulimit = { nofile = \"-1:1024\" }", "17.5.0", "ulimit"),
    ("ulimit = { files = \"1024\" }", "17.5.0", "ulimit"),
    ("ulimit = { nofile = \"unlimited\" }", "16.1.0", ""),
    ("mac_address = \"02:42:ac:11:00:02\"", "17.5.0", ""),
    ("mac_address = \"02-42-AC-11-00-02\"", "17.5.0", ""),
    ("mac_address = \"0242.ac11.0002\"", "17.5.0", ""),
    ("mac_address = \"02:42:ac:11:00\"", "17.5.0", "mac_address"),
    ("mac_address = \"02:42:ac:11:00:0g\"", "17.5.0", "mac_address"),
    ("devices = [\"/dev/kvm\", \"/dev/fuse:/dev/fuse:rwm\"]", "17.5.0", ""),
    ("devices = [\"/dev/kvm:/dev/kvm:rwm:x\"]", "17.5.0", "devices"),
    ("cap_add = [\"NET_ADMIN\", \"cap_sys_ptrace\", \"ALL\"]\ncap_drop = [\"net_raw\"]", "17.5.0", ""),
    ("cap_add = [\"SYSADMIN\"]", "17.5.0", "cap_add"),
    ("cap_drop = [\"NET-RAW\"]", "17.5.0", "cap_drop"),
    ("oom_score_adjust = -1000", "17.5.0", ""),
    ("oom_score_adjust = 1001", "17.5.0", "oom_score_adjust"),
    ("shm_size = -1", "17.5.0", "shm_size"),
    ("shm_size = 0", "17.5.0", ""),
    ("tmpfs = { run = \"rw\" }", "17.5.0", "tmpfs"),
    ("tmpfs = { \"/run\" = \"rw\" }", "17.5.0", ""),
    ("image = \"Ubuntu:22.04\"", "17.5.0", "image"),
    ("image = \"https://registry.example.com/x\"", "17.5.0", "image"),
    ("image = \"REGISTRY:5000/a/b@sha256:0A\"", "17.5.0", ""),
    ("image = \"\"", "17.5.0", ""),
    ("image = \"$IMAGE\"", "17.5.0", ""),
    ("helper_image = \"my helper\"", "17.5.0", "helper_image"),
    ("helper_image_flavor = \"debian\"", "17.5.0", "helper_image_flavor"),
    ("helper_image_flavor = \"alpine3.21\"", "17.5.0", ""),
    ("helper_image_flavor = \"own\"\nhelper_image = \"x\"", "17.5.0", ""),
    ("[[runners.docker.services]]\nalias = \"db\"", "17.5.0", "services"),
    ("[[runners.docker.services]]\nname = \"\"", "17.5.0", "name"),
    ("[[runners.docker.services]]\nname = \"Postgres:16\"", "17.5.0", "name"),
    ("[[runners.docker.services]]\nname = \"team/postgres:16\"", "17.5.0", ""),
    ("security_opt = [\"seccomp=/etc/docker/jobs.json\"]", "18.11.0", "security_opt"),
    ("security_opt = [\"seccomp=/etc/docker/jobs.json\"]", "19.0.0", ""),
    ("security_opt = [\"seccomp:unconfined\", \"seccomp={}\", \"label:disable\"]", "17.5.0", ""),
];

#[test]
fn what_every_job_fails_on_is_told_by_all() {
    for (lines, version, refused) in REFUSED {
        let tree = tree(&file("docker", "", &format!("[runners.docker]\n{lines}")));
        let profile = own(&tree, "limit = 1");
        for command in ["plan", "apply", "check", "doctor"] {
            let mut arguments = vec![command, "--profile", &profile, "--json"];
            if !version.is_empty() {
                arguments.extend(["--runner-version", version]);
            }
            let document = tree.run(&arguments).json();
            let list = if command == "doctor" { "findings" } else { "warnings" };
            let is_meant = |note: &&Value| note["code"] == "config-value-refused";
            let found: Vec<&Value> = document[list].as_array().unwrap().iter().filter(is_meant).collect();
            let said = found.first().and_then(|note| note["message"].as_str()).unwrap_or_default();
            assert_eq!(
                found.len(),
                usize::from(!refused.is_empty()),
                "{command} {lines} {version}: {document}"
            );
            assert!(
                said.contains(&format!("`{refused}`")) || refused.is_empty(),
                "{command} {lines}: {said}"
            );
        }
    }
}

#[test]
fn what_keeps_gitlab_runner_from_starting_is_told_by_all() {
    for (line, key) in [
        ("log_level = \"verbose\"", "log_level"),
        ("log_level = \"\"", "log_level"),
        ("log_level = \"WARN\"", ""),
        ("log_format = \"JSON\"", "log_format"),
        ("log_format = \"text\"", ""),
        ("session_server = { listen_address = \"0.0.0.0\" }", "listen_address"),
        ("session_server = { listen_address = \"[::]:8093\" }", ""),
        ("listen_address = \"0.0.0.0\"", ""),
        ("labels = { team = \"a-1\", a_b = \"x\" }", ""),
        ("labels = { team = \"a b\" }", "labels"),
        ("labels = { id = \"x\" }", "labels"),
        ("labels = { team = \"\" }", "labels"),
        ("[[runners]]\nlabels = { \"-team\" = \"x\" }", "labels"),
        ("[[runners]]\nmachine = { MachineOptionsWithName = [\"a=%s\", \"b\"] }", "MachineOptionsWithName"),
        ("[[runners]]\nmachine = { MachineOptionsWithName = [\"a=%s\"] }", ""),
    ] {
        let tree = tree(&file("shell", "", "").replace("concurrent = 1", &format!("concurrent = 1\n{line}")));
        let profile = own(&tree, "limit = 1");
        for command in ["plan", "apply", "check", "doctor"] {
            let run = tree.run(&[command, "--profile", &profile, "--json"]);
            let is_said = run.contains("gitlab-runner does not start");
            assert!(
                is_said != key.is_empty() && (!is_said || run.contains(&format!("`{key}`"))),
                "{line}: {run}"
            );
        }
    }
}

#[test]
fn a_runner_that_can_not_ask_for_jobs_is_told_by_all() {
    let usual = file("docker", "", "");
    let address = "\"https://gitlab.com/\"";
    for (config, code) in [
        (usual.replace(address, "\"gitlab.com\""), "runner-url"),
        (usual.replace(address, "\"https:gitlab.com\""), "runner-url"),
        (usual.replace(address, "\"ssh://git@gitlab.com\""), "runner-url"),
        (usual.replace(address, "\"https:///\""), "runner-url"),
        (usual.replace(address, "\"HTTPS://GitLab.com\""), ""),
        (usual.replace(address, "\"http://[2001:db8::1]:8080/gitlab\""), ""),
        (usual.replace(address, "\"$GITLAB\""), ""),
        (usual.replace("glrt-CANARY-1", ""), "token-missing"),
        (usual.replace("token = \"glrt-CANARY-1\"\n", ""), "token-missing"),
        (usual.clone(), ""),
    ] {
        let tree = tree(&config);
        let profile = own(&tree, "limit = 1");
        for command in ["plan", "apply", "check", "doctor"] {
            let run = tree.run(&[command, "--profile", &profile, "--json"]);
            for known in ["runner-url", "token-missing"] {
                assert_eq!(run.stdout.contains(known), known == code, "{command} {config}: {run}");
            }
        }
    }
}

/// Where the runner that is meant has no executor that there is, a second one is no help.
#[test]
fn a_misspelt_executor_is_corrected_and_not_registered_again() {
    for (executor, is_misspelt) in [("dcoker", true), ("Docker", true), ("", true), ("shell", false)] {
        let config = file(executor, "", "").replace("executor = \"\"\n", "");
        let tree = tree(&config);
        let profile = own(&tree, "limit = 1");
        for command in ["plan", "apply", "check", "doctor"] {
            let run = tree.run(&[command, "--profile", &profile, "--json"]);
            assert_eq!(run.contains("gitlab-runner register"), !is_misspelt, "{command} {executor}: {run}");
            let says = if command == "doctor" {
                "`executor` is one of"
            } else {
                "let `executor` of the one that is meant be docker"
            };
            assert_eq!(run.contains(says), is_misspelt, "{command} {executor}: {run}");
        }
    }
}

#[test]
fn a_pull_policy_is_one_word_or_a_list() {
    let (one, list, two) = ("\"always\"", "[\"always\"]", "[\"always\", \"if-not-present\"]");
    for (wanted, before, after) in [
        (one, "", one),
        (one, one, ""),
        (one, list, ""),
        (list, one, ""),
        (list, list, ""),
        (one, "\"never\"", one),
        (one, "[\"never\"]", list),
        (list, "\"never\"", one),
        (two, "", two),
        (two, "[\"if-not-present\"]", two),
        (two, two, ""),
    ] {
        let line = if before.is_empty() { String::new() } else { format!("pull_policy = {before}") };
        let config = file("docker", "", &format!("[runners.docker]\n{line}"));
        let tree = tree(&config);
        let profile = own(&tree, &format!("[config.docker]\npull_policy = {wanted}"));
        let run = tree.run(&["apply", "--profile", &profile, "--json"]);
        assert_eq!(run.ok().json()["changed"], !after.is_empty(), "{wanted} for {before}: {run}");
        let text = tree.text("/etc/gitlab-runner/config.toml");
        let expected = if after.is_empty() { line } else { format!("pull_policy = {after}\n") };
        assert!(text.contains(&expected), "{wanted} for {before}: {text}");
        tree.run(&["check", "--profile", &profile]).ok();
        if !after.is_empty() {
            tree.run(&["undo"]).ok();
            assert_eq!(tree.text("/etc/gitlab-runner/config.toml"), config);
        }
    }
    let tree = tree(&file("docker", "", ""));
    let profile = own(&tree, "[config.docker]\npull_policy = true");
    tree.run(&["plan", "--profile", &profile]).exit(2).says("a string or a list of strings is wanted");
}

/// Lines of a runner, the code, a version that refuses them, and one that does not.
const NOTATIONS: [[&str; 4]; 12] = [
    ["docker.image = \"a\"", "config-dotted-keys", "15.8.3", "15.9.0"],
    ["\u{feff}", "config-bom", "14.7.0", "15.9.0"],
    ["cache = { Type = \"\", }", "config-toml-1-1", "18.8.0", "18.9.0"],
    // Before TOML 1.0 that was read.
    ["cache = { Type = \"\", }", "config-toml-1-1", "15.9.0", "15.8.3"],
    ["cache = { Type = \"\",\n }", "config-toml-1-1", "15.8.3", "18.9.0"],
    ["x = 0x10", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["x = [1, \"a\"]", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["x = -inf", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["token_expires_at = 2030-01-31 00:00:00Z", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["x = 07:30:00", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["pre_build_script = \"\"\"echo \"a\"\"\"\"", "config-toml-1-0", "15.8.3", "15.9.0"],
    ["pre_build_script = \"\"\"a \\ \n b\"\"\"", "config-toml-1-0", "15.8.3", "15.9.0"],
];

#[test]
fn notations_are_judged_by_version() {
    for [runner, code, refuses, reads] in NOTATIONS {
        let is_mark = runner == "\u{feff}";
        let config = file("docker", if is_mark { "" } else { runner }, "");
        let tree = tree(&if is_mark { format!("{runner}{config}") } else { config });
        let profile = own(&tree, "limit = 3");
        for (version, is_said) in [(refuses, true), (reads, false)] {
            for command in ["plan", "check", "doctor"] {
                let run = tree.run(&[command, "--profile", &profile, "--runner-version", version, "--json"]);
                assert_eq!(run.stdout.contains(code), is_said, "{command} {code} {version}: {run}");
            }
        }
        let unknown = tree.run(&["plan", "--profile", &profile, "--json"]);
        assert!(unknown.ok().stdout.contains(code), "{unknown}");
    }
}

#[test]
fn a_file_with_no_slot_is_told_by_apply_and_a_command_raises_it_or_there_is_none() {
    for (line, has_command) in [
        ("concurrent = 0", true),
        ("  concurrent=-1 # none", true),
        ("\tconcurrent = 0", false),
        ("\"concurrent\" = 0", false),
    ] {
        let tree = tree(&file("docker", "", "").replace("concurrent = 1", line));
        let profile = own(&tree, "limit = 1");
        tree.run(&["apply", "--profile", &profile]).ok().says("`concurrent` below 1");
        let all = found(&tree, &profile, "19.4.0");
        let [[status, code, words]] = &all[..] else { panic!("{line}: {all:?}") };
        assert_eq!((&**status, &**code), ("problem", "concurrent-zero"), "{line}");
        assert_eq!(words.contains("sed -i"), has_command, "{line}: {words}");
    }
    // A line before the mark at the beginning would break the file.
    let two = [
        "\u{feff}",
        &file("docker", "", "").replace("concurrent = 1\n", ""),
        "[[runners]]\nexecutor = \"shell\"\n",
    ];
    let tree = tree(&two.concat());
    let profile = own(&tree, "limit = 0");
    let all = found(&tree, &profile, "19.4.0");
    assert!(all.iter().any(|[_, code, words]| code == "concurrent-low" && !words.contains("sed")), "{all:?}");
}

#[test]
fn a_version_passes_over_values_that_it_does_not_read() {
    let services = "services = [{ name = \"docker:28-dind\" }]\nallowed_privileged_services = [\"x\"]";
    for (docker, code, too_old, reads) in [
        ("services_limit = 0", "services-limit-low", "16.8.1", "16.9.0"),
        ("services_privileged = false", "services-unprivileged", "15.6.0", "15.7.0"),
        (services, "service-not-allowed", "16.0.0", "16.1.0"),
        ("allowed_privileged_services = [\"x\"]", "allow-list-misses-dind", "16.0.0", "16.1.0"),
    ] {
        let tree = tree(&file("docker", "", &format!("[runners.docker]\n{docker}")));
        for (version, is_said) in [(too_old, false), (reads, true), ("", true)] {
            let all = found(&tree, "dind", version);
            assert_eq!(all.iter().any(|[_, found, _]| found == code), is_said, "{version} {code}: {all:?}");
        }
    }
    let tree = tree(&file("docker", "", "[runners.docker]\ndisable_cache = true"));
    for (version, is_said) in [("18.10.1", true), ("18.11.0", false), ("", true)] {
        let all = found(&tree, "dind", version);
        assert_eq!(all.iter().any(|[_, code, _]| code == "cache-disabled"), is_said, "{version}: {all:?}");
    }
}

#[test]
fn a_link_with_certificates_keeps_its_tls() {
    let link = |host: &str, path: &str| {
        let docker = format!("[runners.docker]\nhost = \"{host}\"\ntls_verify = true\n{path}");
        let tree = tree(&file("docker", "", &docker));
        tree.run(&["apply", "--only", "config", "--profile", "dind"]).ok();
        tree.text("/etc/gitlab-runner/config.toml").contains("tls_verify = true")
    };
    let path = "tls_cert_path = \"/etc/docker/certs\"\n";
    assert!(link("tcp://localhost:2376", path) && link("tcp://10.0.0.1:2376", ""));
    assert!(!link("unix:///var/run/docker.sock", path) && !link("tcp://localhost:2375", ""));
}
