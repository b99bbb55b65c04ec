//! The two shell pipelines, end to end, with real programs: an account fresh from `apply --profile shell`
//! rsyncs a checkout into a root-owned directory, and clones, commits and pushes through a real sshd whose
//! host key was pinned. Each piece is then taken away, and the job fails with its well-known message.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use support::{Host, Run, have, skip};

/// What the shell executor starts: the script on the standard input of a login shell. Its script ends with
/// `exit 0`, and only then bash reads `.bash_logout`.
fn job(host: &Host, script: &str) -> Run {
    let script = script.replace('\'', "'\\''");
    host.sh(&format!(
        "printf '%s\\n' 'set -e' '{script}' 'exit 0' | su -s /bin/bash gitlab-runner -c 'bash -l'"
    ))
}

const PUSH: &str = r#"cd $(mktemp -d)
git clone -q ssh://git@git.example.com/srv/git/project.git .
git fetch -q origin
echo "image: app:$RANDOM$RANDOM" >pod.yaml
git add pod.yaml
git commit -qm "Change the tag"
git push -q origin HEAD:main"#;

const RSYNC: &str = r#"mkdir -p ~/builds/app/.git
echo hello >~/builds/app/index.html
RUNNER_DIR=~/builds/app
TARGET_DIR=/srv/www/app
sudo rsync -avu --exclude ".git" --chown=root:root ${RUNNER_DIR}/ ${TARGET_DIR}"#;

/// A Git server on the host itself, and a profile that pins its key.
fn server(host: &Host) {
    host.sh(
        "useradd --system --create-home --shell /bin/sh --password '*' git
         install -d -o git -g git /srv/git /srv/www
         chown root:root /srv/www
         su git -c 'git init -q --bare -b main /srv/git/project.git
             git -C /srv/git/project.git config receive.advertisePushOptions true'
         grep -q '^sshd:' /etc/passwd || useradd --system --no-create-home --shell /usr/sbin/nologin sshd
         mkdir -p /run/sshd /etc/ssh /etc/runner-prep/profiles
         ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
         printf 'HostKey /etc/ssh/ssh_host_ed25519_key\\nPasswordAuthentication no\\nKbdInteractiveAuthentication no\\nUsePAM no\\nKexAlgorithms curve25519-sha256\\n' >/etc/ssh/sshd_config
         echo '127.0.0.1 git.example.com' >>/etc/hosts
         { printf 'extends = [\"shell\"]\\n[known_hosts]\\nhosts = [{ host = \"git.example.com\", keys = [\"'
           cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub | tr -d '\\n'
           printf '\"] }]\\n'; } >/etc/runner-prep/profiles/ours.toml
         /usr/sbin/sshd -f /etc/ssh/sshd_config",
    )
    .ok();
}

fn allow_key(host: &Host) {
    host.sh("install -d -m 0700 -o git -g git /home/git/.ssh
         /opt/under-test/runner-prep key >/home/git/.ssh/authorized_keys
         chown git:git /home/git/.ssh/authorized_keys")
        .ok();
}

#[test]
fn the_shell_pipelines_are_green_and_fail_as_known_without_each_piece() {
    if !have(&["sudo", "sshd", "ssh", "git", "rsync", "clear_console"]) {
        return skip("sudo, sshd, ssh, git, rsync or clear_console is missing");
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.sshd().start();
    server(&host);
    // No key to push with, nobody who commits, a server that is not known: what an unprepared host says.
    host.prep(&["apply", "--profile", "ours"]).ok();
    allow_key(&host);
    job(&host, PUSH).ok();
    job(&host, RSYNC).ok();
    let deployed = host.sh("stat -c '%U:%G %n' /srv/www/app/index.html; test ! -e /srv/www/app/.git");
    assert_eq!(deployed.ok().stdout.trim(), "root:root /srv/www/app/index.html");

    // Each piece is taken away, and put back by the next run.
    let pieces: [(&str, &str, &str); 5] = [
        ("rm /etc/ssh/ssh_known_hosts", PUSH, "Host key verification failed."),
        ("rm /home/gitlab-runner/.gitconfig", PUSH, "Please tell me who you are."),
        ("chmod 0644 /home/gitlab-runner/.ssh/id_ed25519", PUSH, "Permission denied (publickey)"),
        ("rm /etc/sudoers.d/gitlab-runner", RSYNC, "a password is required"),
        // Where a real host has no console, this program fails; the machine of a test may have one.
        (
            "mount --bind /bin/false /usr/bin/clear_console
             install -o gitlab-runner /etc/skel/.bash_logout /home/gitlab-runner/.bash_logout",
            "true",
            "",
        ),
    ];
    for (take_away, script, message) in pieces {
        host.sh(take_away).ok();
        let failed = job(&host, script);
        assert_ne!(failed.status, 0, "the job does not need it: {take_away}");
        let said = format!("{}{}", failed.stdout, failed.stderr);
        assert!(said.contains(message), "{take_away}: {said}");
        host.prep(&["check", "--profile", "ours"]).exit(1);
        host.prep(&["apply", "--profile", "ours"]).ok();
        job(&host, script).ok();
    }

    // Without the key a new one is made, which the server does not know yet.
    host.sh("rm /home/gitlab-runner/.ssh/id_ed25519*").ok();
    host.prep(&["apply", "--profile", "ours"]).ok().says("Deploy keys");
    let failed = job(&host, PUSH);
    assert!(failed.stderr.contains("Permission denied (publickey)"), "{failed}");
    allow_key(&host);
    job(&host, PUSH).ok();
}

/// What is done to a host whose jobs push, whether they do then, the answer of `check`, and what doctor says of a job.
const JOBS: &[(&str, bool, i32, &str)] = &[
    (":", true, 0, "ok"),
    ("echo 'umask 777' | own .profile", false, 0, "job-fails"),
    ("echo 'umask 0277' | own .bashrc; echo '. ~/.bashrc' | own .profile", false, 0, "job-fails"),
    ("echo 'session optional pam_umask.so umask=0777' >>/etc/pam.d/common-session", false, 0, "job-fails"),
    ("echo 'ulimit -f 0' | own .bash_profile", false, 0, "job-fails"),
    ("echo 'gitlab-runner hard fsize 0' >>/etc/security/limits.conf", false, 0, "job-fails"),
    ("install -d -o gitlab-runner /srv/h; echo 'HOME=/srv/h' | own .bash_profile", false, 0, "job-fails"),
    ("printf 'set -a\nGIT_WORK_TREE=/nowhere\n' | own .bash_profile", false, 0, "job-fails"),
    ("printf \"eval 'export GIT_''DIR=/nowhere'\" | own .bash_profile", false, 0, "job-fails"),
    (
        "echo '. ~/.more' | own .profile; echo 'declare -x GIT_INDEX_FILE=/nowhere/x' | own .more",
        false,
        0,
        "job-fails",
    ),
    ("echo 'GIT_DIR=/nowhere' >>/etc/environment", false, 0, "job-fails"),
    ("echo 'export GIT_COMMITTER_NAME=' | own .profile", false, 0, "job-fails"),
    ("echo 'export GIT_CONFIG_GLOBAL=/dev/null' | own .profile", false, 0, "job-fails"),
    ("echo 'export GIT_ALLOW_PROTOCOL=https' | own .profile", false, 0, "job-fails"),
    (
        "echo 'export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=protocol.allow GIT_CONFIG_VALUE_0=never' | own .profile",
        false,
        0,
        "job-fails",
    ),
    (
        "echo 'export GIT_SSH_COMMAND=\"ssh -o PubkeyAuthentication=no\"' | own .profile",
        false,
        0,
        "job-fails",
    ),
    (
        "echo 'export GIT_SSH_COMMAND=\"ssh -o GlobalKnownHostsFile=none\"' | own .profile",
        false,
        0,
        "job-fails",
    ),
    (
        "echo 'export GIT_SSH_COMMAND=\"ssh -o PubkeyAcceptedAlgorithms=rsa-sha2-512\"' | own .profile",
        false,
        0,
        "push-elsewhere",
    ),
    ("echo 'export GIT_SSH_COMMAND=\"ssh -v -o Compression=yes\"' | own .profile", true, 0, "ok"),
    (
        "install -d -o gitlab-runner /srv/x; echo 'touch /srv/x/x || exit 3' | own .profile",
        true,
        0,
        "job-untried",
    ),
    ("echo 'export GIT_SSH=/bin/false' | own .profile", false, 0, "push-elsewhere"),
    (
        "mkdir -p t/hooks; ln -s /bin/false t/hooks/pre-commit; echo 'export GIT_TEMPLATE_DIR=~/t' | own .profile",
        false,
        0,
        "git-hooks-unknown",
    ),
    (
        "echo 'export GIT_TRACE=1 GIT_SSL_NO_VERIFY=1 GIT_CONFIG_NOSYSTEM=1; set -u; cd /' | own .profile",
        true,
        0,
        "ok",
    ),
    ("git config -f /etc/gitconfig protocol.allow never", false, 3, "git-push-refused"),
    ("mine protocol.ssh.allow never", false, 3, "git-push-refused"),
    ("mine protocol.ssh.allow user", true, 0, "ok"),
    ("mine push.recurseSubmodules foo", false, 3, "git-push-refused"),
    ("mine protocol.version 9", false, 3, "git-push-refused"),
    ("mine url./nowhere/.pushInsteadOf ssh://git@git.example.com/", false, 3, "git-push-refused"),
    (
        "mine url.ssh://git@other.example.com/.insteadOf ssh://git@git.example.com/",
        false,
        0,
        "git-push-elsewhere",
    ),
    (
        "mine url.ssh://nobody@git.example.com/.pushInsteadOf ssh://git@git.example.com/",
        false,
        0,
        "git-push-elsewhere",
    ),
    ("mine url.ssh://git@git.example.com/.insteadOf https://git.example.com/", true, 0, "ok"),
    ("mine core.sshCommand 'ssh -o BatchMode=yes'", true, 0, "ok"),
    ("mine core.sshCommand false", false, 0, "git-push-elsewhere"),
    ("echo 'IFS=/' | own .bash_profile", false, 0, "job-fails"),
    ("mkdir -p /etc/profile.d; echo 'IFS=$IFS:' >/etc/profile.d/ours.sh", true, 0, "ok"),
    (
        "echo 'export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=push.gpgSign GIT_CONFIG_VALUE_0=true' | own .profile",
        false,
        0,
        "job-fails",
    ),
    ("echo 'export GIT_DEFAULT_HASH=sha256' | own .profile", false, 0, "job-fails"),
    ("echo 'exec >/dev/null' | own .profile", true, 0, "ok"),
    ("echo 'exec > >(cat >>~/log)' | own .profile", true, 0, "ok"),
    ("echo 'set -x; readonly p d h text' | own .profile", true, 0, "ok"),
    ("echo 'exec >/dev/null 2>&1' | own .profile", true, 0, "job-untried"),
    ("mkdir -p .config/git; chmod 0700 .config", true, 0, "ok"),
    (
        "rm .gitconfig; for who in AUTHOR COMMITTER; do echo \"export GIT_${who}_NAME=x GIT_${who}_EMAIL=x\"; done | own .profile",
        true,
        0,
        "ok",
    ),
    (
        "install -D -o gitlab-runner .gitconfig xdg/git/config; rm .gitconfig; echo 'export XDG_CONFIG_HOME=~/xdg' | own .profile",
        true,
        0,
        "ok",
    ),
    ("echo 'Ciphers 3des-cbc' | own .ssh/config", false, 0, "ssh-config-unknown"),
    ("echo 'KnownHostsCommand /bin/false' | own .ssh/config", false, 0, "ssh-config-unknown"),
    ("echo 'Ciphers aes256-ctr' | own .ssh/config", true, 0, "ok"),
];

/// The same of git's own settings. Where something waits for a person, it is done as it is told, and jobs push then.
const SETTINGS: &[(&str, bool, i32, &str)] = &[
    ("mine push.gpgSign true", false, 3, "git-push-refused"),
    ("git config -f /etc/gitconfig push.gpgSign true", false, 3, "git-push-refused"),
    ("mine push.gpgSign if-asked", true, 0, "ok"),
    ("mine push.pushOption ci.skip", true, 0, "ok"),
    ("mine push.recurseSubmodules only", false, 3, "git-push-refused"),
    ("mine remote.origin.mirror true", false, 3, "git-push-refused"),
    ("mine remote.origin.pushurl ssh://git@git.example.com/nowhere.git", false, 0, "push-elsewhere"),
    (
        "git config -f /etc/gitconfig remote.origin.url ssh://git@git.example.com/x.git",
        false,
        0,
        "push-elsewhere",
    ),
    ("git config -f /etc/gitconfig remote.origin.uploadpack /nowhere", false, 3, "git-push-refused"),
    ("mine remote.origin.vcs nothing", false, 3, "git-push-refused"),
    ("mine pack.threads -1", false, 3, "git-push-refused"),
    ("mine fetch.parallel -1", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -n'", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -o GlobalKnownHostsFile=none'", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -o PubkeyAcceptedAlgorithms=rsa-sha2-512'", false, 0, "git-push-elsewhere"),
    ("mine core.sshCommand plink", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -o IdentityFile=none'", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -o IdentityFile=~/.ssh/nothing'", false, 3, "git-push-refused"),
    ("mine core.sshCommand 'ssh -o IdentityFile=~/.ssh/id_ed25519'", true, 0, "ok"),
    (
        "printf '[push]\n\tgpgSign = true\n' | own inc; mine includeIf.hasconfig:remote.*.url:ssh://**.path ~gitlab-runner/inc",
        false,
        3,
        "git-push-refused",
    ),
    ("mine core.autocrlf true; mine core.safecrlf true", false, 2, "git-config-refused"),
    ("mine clone.defaultRemoteName upstream", false, 3, "git-push-refused"),
    ("mine init.defaultBranch 'a b'", false, 2, "git-config-refused"),
    ("mine push.negotiate true", true, 0, "ok"),
    (
        "printf '[push]\n\tgpgSign = true\n' | own inc; mine init.defaultBranch main; mine includeIf.onbranch:main.path ~gitlab-runner/inc",
        false,
        3,
        "git-push-refused",
    ),
    (
        "printf '[core\n' | own inc; mine 'includeIf.hasconfig:remote.*.url:ssh://**.path' ~gitlab-runner/inc",
        false,
        2,
        "git-config-refused",
    ),
    (
        "mine filter.x.clean false; mine filter.x.smudge false; mine filter.x.required true; mine core.attributesFile ~gitlab-runner/at; echo '*.yaml filter=x' | own at",
        false,
        2,
        "git-config-refused",
    ),
    (
        "mine url.ssh://git@git.example.com/nowhere/.insteadOf ssh://git@git.example.com/",
        false,
        0,
        "git-push-elsewhere",
    ),
];

#[test]
fn doctor_says_what_a_job_can_not_do() {
    hold(JOBS);
}

#[test]
fn plan_says_what_git_can_not_do_and_what_helps() {
    hold(SETTINGS);
}

/// Whether a login file gives an identity is asked where none is known: one that only root can read gives none.
#[test]
fn a_login_file_that_is_kept_from_the_account_keeps_no_identity_from_it() {
    if !have(&["sudo", "git", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.prep(&["apply", "--profile", "shell", "--only", "account"]).ok();
    host.sh("cd /home/gitlab-runner; install -m 0600 /dev/null .bashrc; ln -s nowhere .profile; mkdir .bash_login").ok();
    host.prep(&["plan", "--profile", "shell", "--only", "git"]).ok().says(".gitconfig");
    host.prep(&["apply", "--profile", "shell", "--only", "git"]).ok();
    host.sh("git config -f /home/gitlab-runner/.gitconfig user.name").ok();
}

fn hold(jobs: &[(&str, bool, i32, &str)]) {
    if !have(&["sudo", "sshd", "ssh", "git", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.sshd().start();
    server(&host);
    host.prep(&["apply", "--profile", "ours"]).ok();
    allow_key(&host);
    host.sh("cp -a /etc /home /srv /opt").ok();
    let mut wrong = Vec::new();
    for (before, is_green, exit, code) in jobs {
        host.sh(&format!(
            "for d in etc home srv; do rsync -a --delete --checksum /opt/$d/ /$d/; done; cd /home/gitlab-runner
             own() {{ install -D -o gitlab-runner -m 0644 /dev/stdin $1; }}
             mine() {{ git config -f .gitconfig \"$@\"; chown gitlab-runner: .gitconfig; }}
             {before}"
        ))
        .ok();
        // Whatever a limit on sizes is, the streams of the job are none of it.
        let push = || {
            host.sh(&format!(
                "printf '%s\n' 'set -eo pipefail' '{PUSH}' 'exit 0' >/run/job; chmod 644 /run/job; cd /home/gitlab-runner
                 old=$(cat /srv/git/project.git/refs/heads/main || true)
                 {{ su -s /bin/bash gitlab-runner -c 'bash -l' </run/job && echo runner-prep-ended; }} 2>&1 | cat
                 [ \"$old\" = \"$(cat /srv/git/project.git/refs/heads/main || true)\" ] || echo runner-prep-pushed"
            ))
        };
        let is_pushed = |run: &Run| run.contains("runner-prep-ended") && run.contains("runner-prep-pushed");
        let pushed = push();
        if is_pushed(&pushed) != *is_green {
            wrong.push(format!("{before}: green should be {is_green}: {pushed}"));
        }
        let check = host.prep(&["check", "--profile", "ours"]);
        if check.status != *exit {
            wrong.push(format!("{before}: check is not {exit}: {check}"));
        }
        let run = host.prep(&["doctor", "--json", "--profile", "ours"]);
        let document = run.json();
        let findings = document["findings"].as_array().unwrap().iter();
        let of_push =
            findings.filter(|one| one["check"] == "job" || one["check"] == "git" && one["code"] != "ok");
        let codes: Vec<&str> = of_push.filter_map(|one| one["code"].as_str()).collect();
        if !codes.contains(code) || *is_green && codes != ["ok"] && codes != ["job-untried"] {
            wrong.push(format!("{before}: doctor says {codes:?}"));
        }
        if *exit == 3 {
            let run = host.prep(&["apply", "--json", "--profile", "ours"]);
            for waits in run.json()["pending"].as_array().unwrap() {
                host.sh(waits["repair"].as_str().unwrap());
            }
            let pushed = push();
            if !is_pushed(&pushed) {
                wrong.push(format!("{before}: what is told does not help: {run}\n{pushed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_key_is_fetched_only_when_asked_and_only_by_its_fingerprint() {
    if !have(&["sshd", "ssh-keyscan", "git"]) {
        return skip("sshd, ssh-keyscan or git is missing");
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.sshd().start();
    server(&host);
    let profile = |fingerprint: &str| {
        host.sh(&format!(
            "printf '[known_hosts]\\nhosts = [{{ host = \"git.example.com\", fingerprint = \"%s\" }}]\\n' {fingerprint} \
             >/etc/runner-prep/profiles/printed.toml"
        ))
        .ok();
    };
    let right =
        host.sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2").ok().stdout.clone();
    profile(right.trim());
    host.prep(&["apply", "-p", "printed"]).exit(3).says("--scan-host-keys");
    host.prep(&["apply", "-p", "printed", "--scan-host-keys"]).ok();
    host.sh("ssh-keygen -F git.example.com -f /etc/ssh/ssh_known_hosts").ok();
    // Known now: the network is not needed any more.
    host.sh("pkill sshd").ok();
    host.prep(&["check", "-p", "printed"]).ok();
    host.sh("rm /etc/ssh/ssh_known_hosts; /usr/sbin/sshd -f /etc/ssh/sshd_config").ok();
    profile("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    host.prep(&["apply", "-p", "printed", "--scan-host-keys"]).exit(2).says(right.trim());
    host.sh("test ! -e /etc/ssh/ssh_known_hosts").ok();
}

#[test]
fn another_key_of_a_known_server_is_refused_with_both_fingerprints() {
    if !have(&["ssh-keygen"]) {
        return skip("ssh-keygen is missing");
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.sh("mkdir -p /etc/ssh
         ssh-keygen -q -t ed25519 -N '' -f /root/other
         echo \"gitlab.com $(cut -d' ' -f1,2 /root/other.pub)\" >/etc/ssh/ssh_known_hosts
         ssh-keygen -q -H -f /etc/ssh/ssh_known_hosts; rm /etc/ssh/*.old")
        .ok();
    let before = host.stamps();
    let other = host.sh("ssh-keygen -lf /root/other.pub | cut -d' ' -f2").ok().stdout.clone();
    host.prep(&["apply", "-p", "shell"])
        .exit(2)
        .says(other.trim())
        .says("SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8");
    support::assert_unchanged(&before, &host.stamps());
    host.prep(&["apply", "-p", "shell", "--accept-new-host-keys"]).ok();
    host.sh(
        "ssh-keygen -F gitlab.com -f /etc/ssh/ssh_known_hosts | grep -q AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn",
    )
    .ok();
}
