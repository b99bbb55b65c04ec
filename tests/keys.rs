//! The table of gitlab-runner's keys: the script that renews it, and the gates by version that it feeds.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the script is started as people start it, and a host that can't be set up has to stop the test"
)]

mod patients;
mod support;

use std::process::Command;

use patients::{HOME, tree};
use support::{Host, Tree, assert_unchanged, have, run_limited, source};

type Change = (&'static str, &'static str, &'static str);

/// What happens to the source of a made-up gitlab-runner up to a release: file, text that goes, text that comes in its
/// place. Other packages have a `Config` of their own.
const SOURCES: [(&str, &[Change]); 5] = [
    (
        "v15.10.0",
        &[
            (
                "common/config.go",
                "",
                "package common\n\nimport (\n\t\"time\"\n\n\t\"gitlab.com/gitlab-org/gitlab-runner/cache/store\"\n\t\
                 docker_helpers \"gitlab.com/gitlab-org/gitlab-runner/helpers/docker\"\n\t\
                 \"gitlab.com/gitlab-org/gitlab-runner/referees\"\n)\n\n\
                 type Config struct {\n\tConcurrent int `toml:\"concurrent\" json:\"concurrent\"`\n\t\
                 MaxAge *time.Duration `toml:\"max_age,omitempty\"` // a remark\n\tLoaded bool `toml:\"-\"`\n\t\
                 Runners []*RunnerConfig `toml:\"runners\"`\n}\n\n\
                 type RunnerConfig struct {\n\tName string `toml:\"name\"`\n\n\t// A remark.\n\tRunnerSettings\n}\n\n\
                 type RunnerSettings struct {\n\tExpires time.Time `toml:\"expires\"`\n\tHook string `toml:\"hook\"`\n\t\
                 Flags map[string]bool `toml:\"flags\"`\n\tPull StringOrArray `toml:\"pull\"`\n\t\
                 Policies []Policy `toml:\"policies\"`\n\tDocker *DockerConfig `toml:\"docker,omitempty\"`\n\t\
                 Cache *store.Config `toml:\"cache\"`\n\tReferees *referees.Config `toml:\"referees\"`\n\tlabels Labels\n}\n\n\
                 type DockerConfig struct {\n\tdocker_helpers.Credentials\n\tPrivileged bool `toml:\"privileged\"`\n\t\
                 Services []Service `toml:\"services\"`\n}\n\n\
                 type Service struct {\n\tName string `toml:\"name\"`\n}\n\ntype Policy string\n\ntype StringOrArray []string\n",
            ),
            (
                "helpers/docker/credentials.go",
                "",
                "package docker\n\ntype Credentials struct {\n\tHost string `toml:\"host\"`\n}\n",
            ),
            (
                "cache/store/config.go",
                "",
                "package store\n\ntype Config struct {\n\tType string `toml:\"Type\"`\n\tS3 *S3 `toml:\"s3\"`\n}\n\n\
                 type S3 struct {\n\tIdleScale float64 `long:\"idle\"`\n}\n",
            ),
            (
                "cache/store/config_test.go",
                "",
                "package store\n\ntype S3 struct {\n\tWrong bool `toml:\"wrong\"`\n}\n",
            ),
            (
                "referees/referees.go",
                "",
                "package referees\n\ntype Config struct {\n\tMetrics *Metrics `toml:\"metrics\"`\n}\n\n\
                 type Metrics struct {\n\tQueries []string `toml:\"queries\"`\n}\n",
            ),
        ],
    ),
    ("v16.1.0", &[("common/config.go", "\tPrivileged", "\tLimit *int `toml:\"limit\"`\n\tPrivileged")]),
    // Taken back, and brought again: only from then on it can be relied on.
    ("v16.9.0", &[("common/config.go", "\tLimit *int `toml:\"limit\"`\n", "")]),
    ("v16.9.2", &[("common/config.go", "\tPrivileged", "\tLimit *int `toml:\"limit\"`\n\tPrivileged")]),
    (
        "v17.0.0",
        &[
            ("common/config.go", "\tHook string `toml:\"hook\"`\n", ""),
            ("cache/store/config.go", "\tIdleScale", "\tNewest []uint `toml:\"Newest\"`\n\tIdleScale"),
        ],
    ),
];

#[test]
fn the_table_is_renewed_from_gitlab_runners_source() {
    if !have(&["python3", "git"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(place.path()).args(["-c", "user.name=x", "-c", "user.email=x@y"]).args(words);
        git.envs(["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, "2027-01-02T03:04:05Z")));
        run_limited(&mut git).ok();
    };
    let commit = |message: &str| {
        git(&["add", "."]);
        git(&["commit", "-qm", message]);
    };
    let edit = |file: &str, old: &str, new: &str| {
        let path = place.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(before.contains(old), "{file}: {old}");
        std::fs::write(&path, before.replacen(old, new, 1)).unwrap();
    };
    git(&["init", "-q"]);
    for (tag, edits) in SOURCES {
        for (file, old, new) in edits {
            edit(file, old, new);
        }
        commit(tag);
        git(&["tag", tag]);
    }
    git(&["tag", "v17.1.0-rc1"]);
    edit("VERSION", "", "17.1.0\n");
    edit("common/config.go", "\tName string", "\tQuiteNew bool `toml:\"quite_new\"`\n\tName string");
    commit("development");

    let mut renew = Command::new("python3");
    let text =
        run_limited(renew.arg(source().join("tests/renew-keys.py")).arg(place.path())).ok().stdout.clone();
    let (header, keys): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    assert!(header[0].contains("at 17.1 (2027-01)"), "{}", header[0]);
    let expected = "\
global concurrent int
global max_age duration
global runners tables
runners quite_new bool 17.1
runners name string
runners expires datetime
runners flags bools
runners pull strings
runners policies list
runners docker table
runners cache table
runners referees table
runners hook string  17.0
runners.docker host string
runners.docker limit int 16.9.2
runners.docker privileged bool
runners.docker services tables
runners.docker.services name string
runners.cache Type string
runners.cache s3 table
runners.cache.s3 Newest other 17.0
runners.cache.s3 IdleScale float
runners.referees metrics table
runners.referees.metrics queries list
";
    assert_eq!(keys.join("\n").replace('\t', " ") + "\n", expected);
}

const STATUS: &str = "/var/lib/dpkg/status";

fn old(version: &str) -> Tree {
    let tree = tree();
    tree.put(STATUS, format!("Package: gitlab-runner\nStatus: install ok installed\nVersion: {version}\n"));
    tree
}

/// A profile of these lines, given by its path.
fn own(tree: &Tree, docker: &str) -> String {
    tree.put("/etc/own.toml", format!("[config]\nexecutors = [\"docker\"]\n[config.docker]\n{docker}\n"));
    tree.path("/etc/own.toml").display().to_string()
}

/// Values that keep something from jobs, and the first version that keeps it: the version before is refused.
const WALLS: [(&str, &str, &str); 12] = [
    ("privileged = true\nservices_privileged = false", "15.6.3", "15.7.0"),
    ("privileged = true\nallowed_privileged_images = [\"docker:*\"]", "16.0.3", "16.1.0"),
    ("privileged = true\nallowed_privileged_services = [\"docker:*\"]", "16.0.3", "16.1.0"),
    ("services_privileged = true\nallowed_privileged_services = [\"docker:*\"]", "16.0.3", "16.1.0"),
    ("services_limit = 1", "16.8.1", "16.9.0"),
    ("services_limit = 0", "16.8.1", "16.9.0"),
    ("allowed_users = [\"1000\"]", "16.7.1", "16.8.0"),
    ("services_security_opt = [\"no-new-privileges\"]", "15.9.1", "15.10.0"),
    ("allowed_pull_policies = [\"always\"]", "15.0.1", "15.1.0"),
    ("user = \"1000\"", "15.4.2", "15.5.0"),
    // Older than all that are known.
    ("allowed_images = [\"docker:*\"]", "", "12.0.0"),
    ("allowed_services = [\"docker:*\"]", "", "12.0.0"),
];

#[test]
fn a_key_that_fails_open_where_it_is_ignored_is_refused() {
    let tree = tree();
    let before = tree.listing();
    let known = |profile: &str, version: &str| {
        tree.run(&["plan", "--profile", profile, "--only", "config", "--runner-version", version])
    };
    for (wall, last_without, first_with) in WALLS {
        let profile = own(&tree, wall);
        if !last_without.is_empty() {
            known(&profile, last_without)
                .exit(2)
                .says("ignores `")
                .says(&format!("which came with {first_with}"));
        }
        known(&profile, first_with).ok().says_not("ignores").says_not("not known here");
    }
    tree.remove("/etc/own.toml");
    for (profile, last_without, first_with) in [
        ("dind-hardened", "16.0.3", "16.1.0"),
        ("dind-rootless", "16.0.3", "16.1.0"),
        ("dind-rootless-closed", "16.8.1", "16.9.0"),
    ] {
        known(profile, last_without).exit(2).says(&format!("which came with {first_with}"));
        known(profile, first_with).ok().says_not("ignores");
        for command in ["apply", "plan", "check"] {
            let host = old("16.0.3-1");
            let said = host.stamps();
            host.run(&[command, "--profile", profile]).exit(2).says("--runner-version");
            assert_unchanged(&said, &host.stamps());
            // Also before a runner is registered.
            host.remove("/etc/gitlab-runner/config.toml");
            host.run(&[command, "--profile", profile]).exit(2).says("--runner-version");
        }
        let run = old("16.0.3-1").run(&["doctor", "--profile", profile, "--json"]);
        assert!(run.exit(1).stdout.contains("runner-too-old"), "{run}");
    }
    assert_unchanged(&before, &tree.listing());
}

#[test]
fn a_key_that_only_has_no_effect_is_a_warning() {
    let tree = tree();
    for (key, docker, version) in [
        ("volume_keep", "volume_keep = true", "18.9.0"),
        ("services_privileged", "services_privileged = true", "15.6.3"),
        (
            "allowed_privileged_services",
            "allowed_privileged_services = [\"docker:*\"]\nprivileged = false",
            "16.0.0",
        ),
        ("network_mtu", "network_mtu = 1400", "16.4.0"),
        ("service_memory", "service_memory = \"1g\"", "16.8.0"),
    ] {
        let profile = own(&tree, docker);
        let run = tree.run(&["plan", "--profile", &profile, "--runner-version", version, "--json"]);
        let warnings = run.ok().json()["warnings"].clone();
        assert_eq!(warnings[0]["code"], "config-key-too-new", "{docker}: {run}");
        assert!(warnings[0]["message"].to_string().contains(key), "{run}");
    }
    // What a version no longer reads.
    tree.put("/etc/own.toml", "[config]\nexecutors = [\"docker\"]\npre_clone_script = \"true\"\n");
    let profile = tree.path("/etc/own.toml").display().to_string();
    for (version, code) in [("16.11.0", None), ("17.0.0", Some("config-key-removed"))] {
        let run = tree.run(&["plan", "--profile", &profile, "--runner-version", version, "--json"]);
        assert_eq!(run.ok().json()["warnings"][0]["code"].as_str(), code, "{run}");
    }
}

#[test]
fn the_version_of_an_image_is_said() {
    let tree = old("15.0.0");
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "16.1.0"]).ok();
    tree.remove(STATUS);
    let run = tree.run(&["plan", "--profile", "dind-hardened"]);
    run.ok().says("the version of gitlab-runner is not known here").says("--runner-version");
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "v15.0.0"]).exit(2);
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "newest"])
        .exit(2)
        .says("a version is X.Y.Z");
    // No gated key, no word.
    tree.run(&["plan", "--profile", "dind"]).ok().says_not("version of gitlab-runner");
}

#[test]
fn a_converged_run_does_not_start_gitlab_runner() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "su"]) {
        return;
    }
    let asked = "#!/bin/sh\ntouch /run/asked\necho Version: 17.4.0\n";
    let host = host
        .account("gitlab-runner", 998, HOME)
        .file_mode("/usr/local/bin/gitlab-runner", asked, 0o755)
        .config_toml(patients::CONFIG)
        .start();
    let only = ["--profile", "dind-hardened", "--only", "config"];
    host.prep(&[&["apply"], &only[..]].concat()).ok();
    assert!(host.path("/run/asked").exists(), "the version decides, so it was asked for");
    host.sh("rm /run/asked").ok();
    host.prep(&[&["check"], &only[..]].concat()).ok();
    host.prep(&[&["apply"], &only[..]].concat()).ok().says_not("version");
    assert!(!host.path("/run/asked").exists(), "a converged run starts no process");
}

#[test]
fn the_version_is_read_wherever_it_stands() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "su"]) {
        return;
    }
    let host = host.account("gitlab-runner", 998, HOME).config_toml(patients::CONFIG).start();
    let says = |program: &str, script: &str| {
        std::fs::write(host.path("/usr/local/bin").join(program), format!("#!/bin/sh\n{script}\n")).unwrap();
        host.sh(&format!("chmod 0755 /usr/local/bin/{program}")).ok();
    };
    let plan = |profile: &str| host.prep(&["plan", "--profile", profile, "--only", "config"]);
    let unknown = || {
        plan("dind-hardened").ok().says("the version of gitlab-runner is not known here");
    };
    let old = |version: &str| {
        plan("dind-hardened").exit(2).says(&format!("gitlab-runner {version} ignores"));
    };
    host.sh("rm -f /var/lib/dpkg/status").ok();
    unknown();
    // The program itself; one that does not know, or fails, says nothing.
    says("gitlab-runner", "[ \"$1\" = --version ] && printf 'Version:      15.11.0\\nGit revision: 1\\n'");
    old("15.11.0");
    says("gitlab-runner", "echo 'Version:      development version'");
    unknown();
    says("gitlab-runner", "echo 'Version:      15.11.0'; exit 1");
    unknown();
    // rpm is not asked where it has no database: it would make one.
    says("rpm", "touch /run/asked; exit 1");
    unknown();
    assert!(!host.path("/run/asked").exists(), "rpm was started");
    host.sh("mkdir -p /var/lib/rpm; touch /var/lib/rpm/rpmdb.sqlite").ok();
    says("rpm", "[ \"$1 $4\" = '-q gitlab-runner' ] && printf 'Version: 16.0.2\\n'");
    old("16.0.2");
    says("rpm", "echo 'package gitlab-runner is not installed'; exit 1");
    // dpkg's, and a program beside the package: the oldest counts.
    let package = |version: &str| {
        let status = format!("Package: gitlab-runner\nStatus: install ok installed\nVersion: {version}\n");
        host.sh("mkdir -p /var/lib/dpkg").ok();
        std::fs::write(host.path(STATUS), status).unwrap();
    };
    package("16.0.0-1");
    old("16.0.0");
    says("gitlab-runner", "echo 'Version: 17.4.0'");
    old("16.0.0");
    package("17.4.0-1");
    plan("dind-hardened").ok().says_not("version");
    says("gitlab-runner", "echo 'Version: 15.9.1'");
    old("15.9.1");
    host.prep(&["plan", "--profile", "dind-hardened", "--only", "config", "--runner-version", "16.1"]).ok();
    plan("dind").ok();
}

/// `[runners.docker]` as `DockerConfig` and `docker.Credentials` have it in gitlab-runner's source at 19.4.
const DOCKER: &str = "\
string: host tls_cert_path hostname image runtime memory memory_swap memory_reservation cgroup_parent cpuset_cpus \
cpuset_mems cpus user userns_mode gpus volume_driver cache_dir network_mode pid_mode ipcmode mac_address service_memory \
service_memory_swap service_memory_reservation service_cgroup_parent service_slot_cgroup_template service_cpuset_cpus \
service_cpus service_gpus isolation helper_image helper_image_flavor
bool: tls_verify privileged services_privileged disable_entrypoint_overwrite oom_kill_disable disable_cache \
volume_keep enable_ipv6
int: cpu_shares oom_score_adjust services_limit service_cpu_shares wait_for_services_timeout shm_size network_mtu
list: dns dns_search allowed_users group_add cap_add cap_drop security_opt services_security_opt devices \
device_cgroup_rules volumes extra_hosts volumes_from links allowed_images allowed_privileged_images \
allowed_privileged_services allowed_pull_policies allowed_services
strings: pull_policy
lists: services_devices
texts: volume_driver_ops tmpfs services_tmpfs sysctls container_labels ulimit log_options
tables: services
";

#[test]
fn the_table_has_every_key_of_runners_docker_with_its_type() {
    let mut found = 0;
    for line in DOCKER.lines() {
        let (kind, names) = line.split_once(": ").unwrap();
        for name in names.split(' ') {
            let known = runner_prep::keys::find("runners.docker", name);
            let shown = format!("{:?}", known.map(|key| key.kind)).to_lowercase();
            assert_eq!(shown, format!("some({kind})"), "{name}");
            found += 1;
        }
    }
    assert_eq!(found, runner_prep::keys::of("runners.docker").count());
}

#[test]
fn a_slip_in_a_profile_never_reaches_a_host() {
    for (line, said) in [
        ("privilegd = true", "did you mean `privileged`?"),
        ("Privileged = true", "did you mean `privileged`?"),
        ("privileged = \"true\"", "true or false is wanted"),
        ("volumes = \"/cache\"", "a list is wanted"),
        ("services_limit = \"1\"", "a whole number is wanted"),
        ("allowed_privileged_service = []", "did you mean `allowed_privileged_services`?"),
        ("environment = [\"A=1\"]", "unknown key `environment`"),
        ("services_devices = { \"/a\" = [\"/dev/kvm\"] }", "`services_devices` can't be set by a profile"),
        ("tmpfs = { \"/a\" = 1 }", "a string is wanted"),
    ] {
        let tree = tree();
        let profile = own(&tree, line);
        let before = tree.listing();
        for command in ["plan", "apply", "template"] {
            let run = tree.run(&[command, "--profile", &profile]);
            run.exit(2).says(said).says("line 4, column");
        }
        assert_unchanged(&before, &tree.listing());
    }
}

#[test]
fn what_a_profile_applies_has_no_problem_for_doctor() {
    for (name, _) in runner_prep::profile::BUILT_IN {
        // What `shell-hardened` lets jobs call is the installed program.
        let tree = tree().file_mode("/usr/local/bin/runner-prep", "the program", 0o755);
        let registered = patients::CONFIG
            .replace("  environment = [\"DOCKER_TLS_CERTDIR=/certs\"]\n", "")
            .replace("privileged = true", "privileged = false")
            .replace("\"/certs/client\", ", "");
        tree.put("/etc/gitlab-runner/config.toml", registered);
        let before = tree.listing();
        tree.run(&["apply", "--profile", name]).ok();
        let is_changed = before != tree.listing();
        let stamps = tree.stamps();
        tree.run(&["doctor", "--profile", name]).ok().says("no problem found");
        assert_unchanged(&stamps, &tree.stamps());
        assert_eq!(is_changed, *name != "shell", "{name}");
    }
}
