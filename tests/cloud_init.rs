//! The user-data of README.md: accepted by the real cloud-init, and run by its modules on throwaway hosts that start
//! from nothing, with stand-ins for what the network would bring.

#![expect(clippy::disallowed_methods, reason = "the tests lay out what the network would bring")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Host, fixture, have, program, readme_block, run_limited, run_within, source};

const TOKEN: &str = "glrt-CANARY-of-user-data";

/// A data source of its own, and only the modules that the user-data needs: others would reach for disks and boot
/// loaders, which a throwaway host shares with the machine.
const SETTINGS: &str = "datasource_list: [NoCloud, None]
network: {config: disabled}
disable_root: true
users: []
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
output: {all: '| tee -a /var/log/cloud-init-output.log'}
";

/// The four stages of a boot.
const BOOT: &str = "cloud-init init --local
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
cloud-init status --long";

/// Two files: the archive, and the script that adds GitLab's packages.
const CURL: &str = "#!/bin/sh
[ $# = 3 ] && [ \"$1\" = -fsSLo ] || exit 2
case $3 in
*/runner-prep.tar.gz) cp /srv/network/runner-prep.tar.gz \"$2\" ;;
https://packages.gitlab.com/install/repositories/runner/gitlab-runner/script.deb.sh) echo true >\"$2\" ;;
*) exit 22 ;;
esac
";

/// What GitLab's package does after it was unpacked (packaging/root/usr/share/gitlab-runner/post-install).
const APT_GET: &str = "#!/bin/sh
set -eu
echo \"$*\" >>/var/log/apt
for name; do [ \"$name\" != gitlab-runner ] || break; done
[ \"$name\" = gitlab-runner ] || exit 0
if id gitlab-runner >>/var/log/apt 2>&1; then :; else
    useradd --system --shell /bin/bash --comment 'GitLab Runner' --create-home --skel /dev/null gitlab-runner
fi
mkdir -p /etc/gitlab-runner
chmod 0700 /etc/gitlab-runner
install -m 0755 /srv/network/gitlab-runner.py /usr/local/bin/gitlab-runner.py
printf '#!/bin/sh\\ntr \"\\\\0\" \" \" </proc/$$/cmdline >>/var/log/arguments\\ncat /proc/[0-9]*/cmdline >>/var/log/arguments\\nexec gitlab-runner.py \"$@\"\\n' \\
    >/usr/local/bin/gitlab-runner
chmod 0755 /usr/local/bin/gitlab-runner
";

/// A host as it starts, the user-data in its seed.
fn host() -> Option<Host> {
    if !have(&[
        "cloud-init",
        "sudo",
        "rsync",
        "ssh-keygen",
        "git",
        "tar",
        "gzip",
        "sha256sum",
        "strip",
        "python3",
    ]) {
        return None;
    }
    let new = Host::or_skip()?;
    let release = tempfile::tempdir().unwrap();
    let binary = release.path().join("runner-prep");
    let mut strip = Command::new("strip");
    run_limited(strip.arg("-o").arg(&binary).arg(program())).ok();
    let mut build = Command::new(source().join(".package/build"));
    run_limited(build.arg("--archive").arg(release.path()).env("BINARY", binary)).ok();
    let sums = std::fs::read_to_string(release.path().join("SHA256SUMS")).unwrap();
    let (sum, name) = sums.trim_end().split_once("  ").unwrap();
    let archive = release.path().join(name);
    let user_data = readme_block("user-data.yaml");
    assert!(user_data.contains("glrt-TOKEN") && user_data.contains("SHA256SUM"));
    let user_data = user_data.replace("glrt-TOKEN", TOKEN).replace("SHA256SUM", sum);
    Some(
        new.file_mode("/usr/local/bin/curl", CURL, 0o755)
            .file_mode("/usr/local/bin/apt-get", APT_GET, 0o755)
            .file("/srv/network/gitlab-runner.py", fixture("gitlab-runner.py"))
            .file("/srv/network/runner-prep.tar.gz", std::fs::read(archive).unwrap())
            .file("/etc/cloud/cloud.cfg", SETTINGS)
            .file_mode("/var/lib/cloud/seed/nocloud/user-data", user_data, 0o600)
            .file("/var/lib/cloud/seed/nocloud/meta-data", "instance-id: one\n")
            .start(),
    )
}

#[test]
fn the_schema_accepts_it() {
    if !have(&["cloud-init"]) {
        return;
    }
    let kept = tempfile::tempdir().unwrap();
    let path = kept.path().join("user-data.yaml");
    std::fs::write(&path, readme_block("user-data.yaml")).unwrap();
    let mut command = Command::new("cloud-init");
    command.args(["schema", "--config-file"]).arg(path);
    run_limited(&mut command).ok().says("Valid").says_not("deprecat");
}

/// Starts a host from nothing in an environment, and gives the modes of all that came of it.
fn start(environment: &[&str], before: &str) -> Option<Vec<String>> {
    let host = host()?;
    let secrets = host.secrets();
    let mut command = host.command("env");
    command.arg("-i").args(environment).args(["/bin/sh", "-euc", &[before, BOOT].concat()]);
    let run = run_within(Duration::from_secs(240), &mut command);
    let log = host.text("/var/log/cloud-init-output.log");
    run.ok().says("status: done").says_not("Failed");
    secrets.assert_kept(&run);
    assert!(!log.contains("CANARY") && !log.contains("PRIVATE KEY") && !log.contains("panicked"), "{log}");

    let result = host.text("/var/lib/cloud/data/result.json");
    assert!(result.contains("\"errors\": []"), "{result}");

    // One run registers the runner and does all else, and nothing waits for anybody.
    assert!(log.contains("+ register    docker-runner\n"), "{log}");
    assert!(!log.contains("waiting: "), "{log}");
    let config = host.text("/etc/gitlab-runner/config.toml");
    for value in
        [TOKEN, "\"docker-runner\"", "privileged = true", "\"/certs/client\"", "DOCKER_TLS_CERTDIR=/certs"]
    {
        assert!(config.contains(value), "{value}");
    }
    let again = host.prep(&["apply", "--profile", "/root/site.toml"]);
    again.ok().says("site.toml: the host is as the profile wants it");
    host.as_account(
        "gitlab-runner",
        "sudo -n rsync --version; git config user.name; test -r .ssh/id_ed25519",
    )
    .ok();

    // The token was in no process's arguments while it was used, and stays where only root reads.
    let arguments = host.text("/var/log/arguments");
    assert!(arguments.contains("register") && arguments.contains("--template-config"), "{arguments}");
    assert!(!arguments.contains("CANARY"), "{arguments}");
    host.sh("test ! -e /root/runner.token").ok();
    host.as_account("gitlab-runner", "! grep -rqs CANARY /etc /home /root /run /srv /tmp /var").ok();

    let ours = [
        "etc/gitlab-runner",
        "etc/runner-prep",
        "etc/ssh",
        "etc/sudoers.d",
        "home",
        "usr/local",
        "var/lib/runner-prep",
    ];
    Some(
        host.listing()
            .iter()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .map(|fields| format!("{} {} {} {}", fields[0], fields[1], fields[2], fields[5]))
            .filter(|line| ours.iter().any(|top| line.contains(&format!(" {top}"))))
            // The name of a run in its journal is a time.
            .filter(|line| !line.contains("var/lib/runner-prep/journal/"))
            .collect(),
    )
}

#[test]
fn its_modules_bring_a_host_from_nothing_to_a_registered_runner_in_any_environment() {
    const PATH: &str = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let Some(open) = start(&[PATH], "umask 000\n") else { return };
    let Some(closed) = start(&[PATH, "LANG=C.UTF-8"], "umask 077\n") else { return };
    assert_eq!(support::differences(&open, &closed), [""; 0]);
    for line in &open {
        let mode = u32::from_str_radix(line.split(' ').next().unwrap(), 8).unwrap();
        assert!(mode & 0o022 == 0 || line.contains(" l "), "others can write: {line}");
    }
}
