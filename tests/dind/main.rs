//! The Docker profiles on a real Docker engine: what they promise goes green, and what they are said to keep from
//! jobs is tried.
//!
//! gitlab-runner and the official images cannot be had without a network. [`runner`] stands in for the docker
//! executor and reads the `config.toml` that this program wrote; [`engine`] makes images of the machine's own
//! programs, with entry points that do what those of the official images do. Daemon, containers, certificates
//! and registry are real.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod dockerfile;
mod engine;
mod runner;

use std::collections::BTreeMap;

use engine::{Engine, SECRET};
use runner::{Job, NEW, Runner, Service, Trace, Version};
use support::{Tree, source};

/// What `gitlab-runner register --executor docker --docker-image docker:19.03` makes.
const REGISTERED: &str = "\
concurrent = 1

[[runners]]
  name = \"docker-runner\"
  url = \"https://gitlab.com/\"
  token = \"CANARY-token\"
  executor = \"docker\"
  [runners.docker]
    tls_verify = false
    image = \"docker:19.03\"
    privileged = false
    disable_entrypoint_overwrite = false
    oom_kill_disable = false
    disable_cache = false
    volumes = [\"/cache\"]
    shm_size = 0
";

/// The configuration of a host that this profile prepared.
fn prepared(profile: &str) -> String {
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").config_toml(REGISTERED);
    tree.run(&["apply", "--profile", profile, "--only", "config", "--runner-version", "19.4.0"]).ok();
    tree.text("/etc/gitlab-runner/config.toml")
}

/// The job of a `.gitlab-ci.yml`.
fn job(yaml: &str) -> Job {
    let mut jobs: BTreeMap<String, Job> =
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    jobs.remove("image_build").unwrap_or_else(|| panic!("no job image_build in\n{yaml}"))
}

/// The job that a profile's own comment gives.
fn job_of(profile: &str) -> Job {
    let text = std::fs::read_to_string(source().join(format!("profiles/{profile}.toml"))).unwrap();
    let lines = text.lines().skip_while(|line| *line != "#   image_build:");
    job(&lines.map_while(|line| line.strip_prefix("#   ")).collect::<Vec<_>>().join("\n"))
}

/// The job that README gives for the pipeline `image_build`.
fn job_of_readme() -> Job {
    let text = std::fs::read_to_string(source().join("README.md")).unwrap();
    let lines = text.lines().skip_while(|line| *line != "image_build:");
    job(&lines.take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"))
}

/// What a container does that wants what lies on the host's disk: find the device, or make its node.
fn read_disk(engine: &Engine) -> String {
    let number = engine.disk.trim_start_matches("/dev/loop");
    format!(
        "disk={0}; [ -b $disk ] || {{ disk=/tmp/disk; busybox mknod $disk b 7 {number}; }}
         busybox mkdir -p /tmp/on && busybox mount -o ro $disk /tmp/on && busybox cat /tmp/on/secret",
        engine.disk
    )
}

/// The same in a container of the daemon that the job has, with all that this daemon can give.
fn read_disk_through(engine: &Engine) -> String {
    format!(
        "docker run --rm --privileged \"$CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA\" /bin/busybox sh -c '
           export PATH=/bin; busybox mkdir -p /tmp; {}'",
        read_disk(engine)
    )
}

/// A daemon that takes no orders without a certificate.
const WITHOUT_CERTIFICATE: &str = "\
    for port in 2375 2376; do
        if env -u DOCKER_TLS_CERTDIR -u DOCKER_TLS_VERIFY -u DOCKER_CERT_PATH docker -H tcp://docker:$port ps; then
            echo it obeys anybody
        fi
    done";

/// A job with more in its script, none of which makes it red.
fn and_tries(mut job: Job, attempts: &[(&str, String)]) -> Job {
    for (failed, attempt) in attempts {
        job.script.push(format!("( {attempt} ) || echo {failed}"));
    }
    job
}

/// A job that is nothing but these services.
fn only(services: &[Service]) -> Job {
    let variables = BTreeMap::from([("DOCKER_TLS_CERTDIR".to_owned(), "/certs".to_owned())]);
    Job {
        tags: Vec::new(),
        image: "docker:28".to_owned(),
        services: services.to_vec(),
        variables,
        script: vec!["true".to_owned()],
    }
}

fn service(name: &str) -> Service {
    Service { name: name.to_owned(), ..Service::default() }
}

/// The image of the daemon, with another command than the daemon.
fn bent(engine: &Engine, name: &str) -> Service {
    let script = read_disk(engine) + "; exec nc -l -p 2375";
    Service { command: ["sh", "-c", &script].map(str::to_owned).to_vec(), ..service(name) }
}

/// What is tried on a host that a profile prepared.
type Try = fn(&Part<'_>);

/// A part of the test: what runs on the host that a profile prepared.
struct Part<'a> {
    engine: &'a Engine,
    profile: &'static str,
}

impl Part<'_> {
    fn runner(&self, version: Version) -> Runner<'_> {
        Runner::new(self.engine, &prepared(self.profile), version)
    }

    /// Runs a job that has to build, log in and push.
    #[track_caller]
    fn green(&self, job: &Job) -> Trace {
        self.green_on(&self.runner(NEW), self.profile, job)
    }

    #[track_caller]
    fn green_on(&self, runner: &Runner<'_>, project: &str, job: &Job) -> Trace {
        let trace = runner.run(project, job);
        trace.green();
        assert!(!trace.warned, "a service did not come up: {}", trace.services);
        assert!(
            self.engine.is_pushed(&format!("group/{project}"), "0123abcd"),
            "{project}: nothing was pushed"
        );
        trace
    }
}

/// Privileged job and services: all that a job tries to get at the disk works.
fn dind(part: &Part<'_>) {
    let mut job = and_tries(
        job_of_readme(),
        &[("kept from the job", read_disk(part.engine)), ("no certificate", WITHOUT_CERTIFICATE.to_owned())],
    );
    job.services.push(service("evil:dind"));
    part.green(&job).says(SECRET).says("it is privileged").says_not("it obeys anybody");
    let mut runner = part.runner(NEW);
    runner.own_network = true;
    part.green_on(&runner, "own-network", &job_of_readme());
    part.green_on(&part.runner(NEW), "of-profile", &job_of(part.profile));
    // A runner as it is registered, without the profile.
    let trace = Runner::new(part.engine, REGISTERED, NEW).run("unprepared", &job_of_readme());
    assert!(trace.job.status != 0, "green without the profile: {}", trace.job);
}

fn dind_no_tls(part: &Part<'_>) {
    let attempts =
        [("kept from the job", read_disk(part.engine)), ("no certificate", WITHOUT_CERTIFICATE.to_owned())];
    let mut job = and_tries(job_of(part.profile), &attempts);
    job.services.push(service("evil:dind"));
    part.green(&job).says("it obeys anybody").says(SECRET).says("it is privileged");
}

fn dind_socket(part: &Part<'_>) {
    let attempts =
        [("kept from the job", read_disk(part.engine)), ("no certificate", WITHOUT_CERTIFICATE.to_owned())];
    let mut job = and_tries(job_of(part.profile), &attempts);
    job.services.push(service("evil:dind"));
    part.green(&job).says(SECRET).says("it is privileged").says_not("it obeys anybody");
}

/// Only the daemon's image is privileged, but its command is the job's.
fn dind_hardened(part: &Part<'_>) {
    let mut job = and_tries(job_of(part.profile), &[("kept from the job", read_disk(part.engine))]);
    // As the job writes the name: none of them is one of the list's.
    job.services.extend(["evil:dind", "evil/docker:28-dind", "docker:evil"].map(service));
    part.green(&job).says("kept from the job").says_not(SECRET).says_not("it is privileged");
    let job = and_tries(job_of(part.profile), &[("kept from the daemon", read_disk_through(part.engine))]);
    part.green(&job).says(SECRET);
    let job = only(&[bent(part.engine, "docker:28-dind")]);
    part.runner(NEW).run("bent", &job).green().says(SECRET);
    // A version that ignores the list.
    part.runner((15, 11)).run("old", &only(&[service("evil:dind")])).green().says("it is privileged");
}

/// The daemon is nobody, unless the job says who runs it.
fn dind_rootless(part: &Part<'_>) {
    let attempts = [
        ("kept from the job", read_disk(part.engine)),
        ("kept from the daemon", read_disk_through(part.engine)),
    ];
    let mut job = and_tries(job_of(part.profile), &attempts);
    job.services.push(service("evil:dind"));
    let trace = part.green(&job);
    trace
        .says("kept from the job")
        .says("kept from the daemon")
        .says_not(SECRET)
        .says_not("it is privileged");
    let service = bent(part.engine, "docker:28-dind-rootless");
    part.runner(NEW).run("bent-rootless", &only(std::slice::from_ref(&service))).green().says_not(SECRET);
    let as_root = Service { user: Some("root".to_owned()), ..service };
    part.runner(NEW).run("bent-root", &only(std::slice::from_ref(&as_root))).green().says(SECRET);
    device_through_the_daemon(part);
    left_in_a_volume(part);
}

/// The service stands in config.toml, and jobs bring none.
fn dind_rootless_closed(part: &Part<'_>) {
    let attempts = [
        ("kept from the job", read_disk(part.engine)),
        ("kept from the daemon", read_disk_through(part.engine)),
    ];
    let trace = part.green(&and_tries(job_of(part.profile), &attempts));
    trace
        .says("kept from the job")
        .says("kept from the daemon")
        .says_not(SECRET)
        .says_not("it is privileged");
    let as_root = Service { user: Some("root".to_owned()), ..bent(part.engine, "docker:28-dind-rootless") };
    for service in [as_root, service("docker:28-dind-rootless"), service("evil:dind")] {
        let refused = part.runner(NEW).run("closed", &only(&[service]));
        assert!(refused.job.contains("too many services requested"), "{}", refused.job);
    }
    device_through_the_daemon(part);
    left_in_a_volume(part);
}

/// A job makes the device of the disk in a volume which the service has too, and has the daemon read it.
fn device_through_the_daemon(part: &Part<'_>) {
    let number = part.engine.disk.trim_start_matches("/dev/loop");
    let attempt = format!(
        "mknod /cache/disk b 7 {number} && chmod 666 /cache/disk
         docker run --rm -v /cache:/cache \"$CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA\" /bin/busybox cat /cache/disk |
             grep -a -o '{SECRET}'"
    );
    let job = and_tries(job_of(part.profile), &[("kept from the daemon", attempt)]);
    let project = format!("{}-through", part.profile);
    part.green_on(&part.runner(NEW), &project, &job).says(SECRET);
    // What closes it.
    let project = format!("{project}-closed");
    part.engine.no_setuid_no_devices(&format!("cache-{project}-cache"));
    part.green_on(&part.runner(NEW), &project, &job).says("kept from the daemon").says_not(SECRET);
}

/// A job leaves a setuid file, or a device, in a volume; the next one has the service, which is nobody there, use it.
fn left_in_a_volume(part: &Part<'_>) {
    let number = part.engine.disk.trim_start_matches("/dev/loop");
    let as_root = format!("/cache/become -t $$ -m -S 0 -G 0 /bin/sh -c '{}'", read_disk(part.engine));
    for (name, leave, then) in [
        ("setuid", "cp /usr/local/bin/nsenter /cache/become && chmod 4755 /cache/become".to_owned(), as_root),
        (
            "device",
            format!("mknod /cache/disk b 7 {number} && chmod 666 /cache/disk"),
            format!("echo from the device; cat /cache/disk | grep -a -o '{SECRET}'"),
        ),
    ] {
        let mut job = job_of(part.profile);
        job.script = vec![
            format!("{leave} && mkdir -p /cache/bin"),
            format!(
                "cat >/cache/bin/openssl <<'END'\n#!/bin/sh\n{{ {then}; }} >&2\nexec /usr/local/bin/openssl \"$@\"\nEND"
            ),
            "chmod 755 /cache/bin/openssl".to_owned(),
        ];
        let mut next = Job { script: vec!["true".to_owned()], ..job.clone() };
        let path = "/cache/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        next.variables.insert("PATH".to_owned(), path.to_owned());
        let runner = part.runner(NEW);
        let project = format!("{}-{name}", part.profile);
        runner.run(&project, &job).green().says_not(SECRET);
        runner.run(&project, &next).green().says(SECRET);
        // What closes it.
        let project = format!("{project}-closed");
        part.engine.no_setuid_no_devices(&format!("cache-{project}-cache"));
        runner.run(&project, &job).green();
        let tried = if name == "setuid" { "become" } else { "from the device" };
        runner.run(&project, &next).green().says(tried).says_not(SECRET);
    }
}

fn docker_socket(part: &Part<'_>) {
    let through = "docker run --rm -v /:/host \"$CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA\" \
                   /bin/busybox cat /host/run/disk/secret";
    let job = and_tries(job_of(part.profile), &[("kept from the job", read_disk(part.engine))]);
    part.green(&job).says("kept from the job").says_not(SECRET);
    let job = and_tries(job_of(part.profile), &[("kept from the daemon", through.to_owned())]);
    part.green(&job).says(SECRET);
}

/// Tries all of these at once on an engine of their own, and tells which of them failed.
fn tried(all: &[(&'static str, Try)]) -> Option<Vec<(&'static str, Try)>> {
    let engine = &Engine::or_skip()?;
    Some(std::thread::scope(|scope| {
        let all: Vec<_> = all
            .iter()
            .map(|(profile, try_it)| {
                (scope.spawn(move || try_it(&Part { engine, profile })), (*profile, *try_it))
            })
            .collect();
        all.into_iter().filter_map(|(running, part)| running.join().is_err().then_some(part)).collect()
    }))
}

#[test]
fn the_docker_profiles_do_what_they_say() {
    let all: [(&'static str, Try); 7] = [
        ("dind", dind),
        ("dind-hardened", dind_hardened),
        ("dind-rootless", dind_rootless),
        ("dind-rootless-closed", dind_rootless_closed),
        ("dind-no-tls", dind_no_tls),
        ("dind-socket", dind_socket),
        ("docker-socket", docker_socket),
    ];
    let Some(failed) = tried(&all) else { return };
    // Some thirty daemons on a machine that does much else: what fails is tried again, by itself on a new engine.
    for part in failed {
        eprintln!("{}: failed beside the others, and is tried alone", part.0);
        assert!(tried(&[part]).is_some_and(|failed| failed.is_empty()), "{}: failed alone too", part.0);
    }
}
