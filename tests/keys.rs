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

#[test]
fn the_table_is_renewed_from_gitlab_runners_source() {
    if !have(&["python3"]) {
        return;
    }
    let top = source();
    let mut renew = Command::new("/usr/bin/env");
    renew
        .args(["python3", "tests/renew-keys.py", "20.0", "2027-01", "tests/fixtures/runner-config.go"])
        .current_dir(&top);
    let text = run_limited(&mut renew).ok().stdout.clone();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("at 20.0 (2027-01)"), "{}", lines[0]);
    for line in [
        "global\tlog_level\tstring",
        "global\tconnection_max_age\tduration",
        // New keys come with the version, known ones keep theirs.
        "runners\tquite_new\tbool\t20.0",
        "runners\ttoken_expires_at\tdatetime\t15.3",
        "runners.docker\tservices_privileged\tbool\t15.6.1",
        "runners.docker\tallowed_pull_policies\tlist",
        "runners.docker\tpull_policy\tstrings",
        "runners.docker\thost\tstring",
        "runners.docker.services\tname\tstring",
        "runners.machine\tIdleScaleFactor\tfloat",
        "runners.kubernetes\tvolumes\ttable",
        // What is gone is known to be gone; what lies in a file that was not given stays.
        "runners\turl\tstring\t\t20.0",
        "runners\tpre_clone_script\tstring\t\t16.0",
        "runners.cache.s3\tBucketName\tstring",
    ] {
        assert!(lines.contains(&line), "no line {line:?}");
    }
    for absent in ["runners.kubernetes.volumes", "Loaded", "labels\t"] {
        let is_new =
            |line: &&str| line.contains(absent) && !line.ends_with("20.0") && !line.contains("usage_logger");
        assert_eq!(lines.iter().find(|line| is_new(line)), None);
    }
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

#[test]
fn a_key_that_fails_open_where_it_is_ignored_is_refused() {
    for profile in ["dind-hardened", "dind-rootless", "dind-rootless-closed"] {
        for tree in [old("15.11.0-1"), old("16.0.3-1")] {
            let before = tree.listing();
            for command in ["apply", "plan", "check"] {
                let run = tree.run(&[command, "--profile", profile]);
                run.exit(2).says("ignores `allowed_privileged_services`, which came with 16.1.0");
            }
            assert_unchanged(&before, &tree.listing());
            // Also before a runner is registered.
            tree.remove("/etc/gitlab-runner/config.toml");
            tree.run(&["check", "--profile", profile]).exit(2).says("--runner-version");
        }
        old("16.1.0-1").run(&["plan", "--profile", profile]).ok().says_not("ignores");
    }
    let tree = old("15.6.0");
    let profile = own(&tree, "privileged = true\nservices_privileged = false");
    tree.run(&["plan", "--profile", &profile]).exit(2).says("`services_privileged`, which came with 15.6.1");
}

#[test]
fn a_key_that_only_has_no_effect_is_a_warning() {
    let tree = old("15.0.0");
    for docker in [
        "volume_keep = true",
        "allowed_privileged_services = [\"docker:*\"]\nprivileged = false",
        "services_privileged = true",
    ] {
        let profile = own(&tree, docker);
        let run = tree.run(&["plan", "--profile", &profile, "--json"]);
        assert_eq!(run.ok().json()["warnings"][0]["code"], "config-key-too-new", "{docker}: {run}");
    }
}

#[test]
fn the_version_of_an_image_is_said() {
    let tree = old("15.0.0");
    tree.run(&["plan", "--profile", "dind-hardened", "--runner-version", "16.1.0"]).ok();
    tree.remove(STATUS);
    let run = tree.run(&["plan", "--profile", "dind-hardened"]);
    run.ok().says("the version of gitlab-runner is not known here").says("--runner-version X.Y.Z");
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
map: services_devices volume_driver_ops tmpfs services_tmpfs sysctls container_labels ulimit log_options
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
        ("tmpfs = { \"/a\" = \"rw\" }", "`tmpfs` can't be set by a profile"),
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
