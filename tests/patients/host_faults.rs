//! What only a running host shows: a name, what is done before gitlab-runner starts and after, and the answer.

use super::HostFault;

const DIND: &[&str] = &["--profile", "dind"];

const fn ill(name: &'static str, before: &'static str, after: &'static str, code: &'static str) -> HostFault {
    HostFault { name, before, after, status: "problem", code, args: DIND }
}

const fn remark(name: &'static str, after: &'static str, code: &'static str) -> HostFault {
    HostFault { name, before: "", after, status: "ok", code, args: DIND }
}

const fn unsure(name: &'static str, after: &'static str, code: &'static str) -> HostFault {
    HostFault { name, before: "", after, status: "unknown", code, args: DIND }
}

/// What only a running host shows.
pub(crate) const HOST_FAULTS: &[HostFault] = &[
    ill(".profile ends", "echo 'exit 0' > /home/gitlab-runner/.profile", "", "login-shell-skips"),
    ill("a shell that reads no script", "echo 'eval() { :; }' > /home/gitlab-runner/.profile", "", "login-shell-skips"),
    ill("/etc/profile.d fails", "mkdir -p /etc/profile.d; echo 'exit 4' > /etc/profile.d/ours.sh", "", "login-shell-fails"),
    ill(".bash_logout fails", "echo false > /home/gitlab-runner/.bash_logout", "", "login-shell-fails"),
    ill("an access list of the directory of homes", "", "setfacl -m u:gitlab-runner:--- /home", "home-shut"),
    ill("no output", "echo 'exec >&-' > /home/gitlab-runner/.profile", "", "login-shell-fails"),
    ill("a name of GitLab's is fixed", "echo 'readonly CI' > /home/gitlab-runner/.profile", "", "login-shell-fails"),
    ill(
        "a function in place of git",
        "printf 'git() {\\n  false\\n}\\n' > /home/gitlab-runner/.profile", "",
        "login-shell-fails",
    ),
    ill("a PATH without programs", "echo 'PATH=/nowhere' > /home/gitlab-runner/.profile", "", "git-not-found"),
    ill("a trap at the end", "echo 'trap \"exit 1\" EXIT' > /home/gitlab-runner/.profile", "", "login-shell-fails"),
    ill("a function in place of cd", "echo 'cd() { builtin cd \"$@\"; false; }' > /home/gitlab-runner/.profile", "", "job-fails"),
    ill("a function in place of sudo", "echo 'sudo() { false; }' > /home/gitlab-runner/.profile", "", "job-fails"),
    remark(
        "files that git does not add",
        "su -s /bin/sh gitlab-runner -c 'mkdir -p ~/.config/git; echo *.yaml >~/.config/git/ignore'",
        "git-ignores-files",
    ),
    ill("a mask for files that shuts jobs out", "echo 'umask 777' > /home/gitlab-runner/.profile", "", "job-fails"),
    unsure("another program for ssh", "echo 'export GIT_SSH=/bin/false' > /home/gitlab-runner/.profile", "push-elsewhere"),
    ill("no remote of the usual name", "git config -f /etc/gitconfig clone.defaultRemoteName upstream", "", "git-push-refused"),
    ill("git may not use ssh", "git config -f /etc/gitconfig protocol.allow never", "", "git-push-refused"),
    remark(
        "another server in place of ours",
        "git config -f /etc/gitconfig url.git@git.example.com:.insteadOf git@gitlab.com:",
        "git-push-elsewhere",
    ),
    ill(
        "ssh_config that ssh refuses",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'Misspelt yes\\n' > /etc/ssh/ssh_config.d/a.conf", "",
        "ssh-config-refused",
    ),
    ill(
        "host keys that ssh does not read",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'GlobalKnownHostsFile none\\n' > /etc/ssh/ssh_config.d/a.conf", "",
        "host-keys-not-read",
    ),
    ill(
        "another name for the server",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'Host gitlab.com\\n  HostName example.com\\n' > /etc/ssh/ssh_config.d/a.conf", "",
        "host-name-elsewhere",
    ),
    ill(
        "no algorithm for host keys",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'HostKeyAlgorithms sk-ssh-ed25519@openssh.com\\n' > /etc/ssh/ssh_config.d/a.conf", "",
        "host-key-algorithms",
    ),
    ill(
        "no keys at all",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'PubkeyAuthentication no\\n' > /etc/ssh/ssh_config.d/a.conf", "",
        "ssh-key-unused",
    ),
    remark(
        "any host key",
        "mkdir -p /etc/ssh/ssh_config.d; printf 'StrictHostKeyChecking no\\nGlobalKnownHostsFile none\\n' > /etc/ssh/ssh_config.d/a.conf",
        "host-keys-unchecked",
    ),
    remark(
        "host keys in the home alone",
        "install -o gitlab-runner /etc/ssh/ssh_known_hosts /home/gitlab-runner/.ssh/known_hosts; rm /etc/ssh/ssh_known_hosts",
        "host-key-in-other-file",
    ),
    remark(
        "an identity that git makes up",
        "rm /home/gitlab-runner/.gitconfig; hostname ci.example.com; echo 127.0.0.1 ci.example.com >> /etc/hosts
         usermod -c Runner gitlab-runner",
        "git-identity-made-up",
    ),
    remark(
        "another rule lets jobs copy",
        "rm /etc/sudoers.d/gitlab-runner; install -m 0440 /dev/null /etc/sudoers.d/aa; echo 'gitlab-runner ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/aa",
        "sudoers-other-rule",
    ),
    remark(
        "a rule of somebody else in our place",
        "echo 'gitlab-runner ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/gitlab-runner",
        "sudoers-foreign",
    ),
    remark("no public half", "rm /home/gitlab-runner/.ssh/id_ed25519.pub", "ssh-key-differs"),
    ill(
        "sudoers syntax error",
        "install -m 0440 /dev/null /etc/sudoers.d/aa; echo 'gitlab-runner ALL=(ALL NOPASSWD' > /etc/sudoers.d/aa",
        "",
        "policy-broken",
    ),
    ill(
        "rule taken away",
        "install -m 0440 /dev/null /etc/sudoers.d/zz; echo 'gitlab-runner ALL=(ALL) !/usr/bin/rsync' > /etc/sudoers.d/zz",
        "",
        "rule-without-effect",
    ),
    ill(
        "later rule asks for a password",
        "install -m 0440 /dev/null /etc/sudoers.d/zz; echo 'gitlab-runner ALL=(ALL) ALL' > /etc/sudoers.d/zz",
        "",
        "sudo-password-asked",
    ),
    remark(
        "later rule for some arguments",
        "install -m 0440 /dev/null /etc/sudoers.d/zz; echo 'gitlab-runner ALL=(ALL) /usr/bin/rsync --daemon *' > /etc/sudoers.d/zz",
        "sudo-some-arguments",
    ),
    unsure(
        "limit of which only a whole call would tell",
        "install -m 0440 /dev/null /etc/sudoers.d/zz; echo 'Defaults command_timeout=1h' > /etc/sudoers.d/zz",
        "sudo-effect-unknown",
    ),
    ill(
        "another name of the same number",
        "sed -i '1i twin:x:998:998::/home/gitlab-runner:/bin/sh' /etc/passwd",
        "",
        "sudo-other-name",
    ),
    ill(
        "gitlab-runner is stopped",
        "",
        "end",
        "runner-not-running",
    ),
    ill(
        "unit changed, not restarted",
        "",
        "sed -i 's/--user gitlab-runner/--user daemon/' /etc/systemd/system/gitlab-runner.service",
        "process-outdated",
    ),
    ill(
        "lint objects",
        "printf '#!/bin/sh\\ncase $1 in --version) echo Version: 19.4.0;; lint) echo CANARY; exit 1;; esac\\n' > /usr/local/bin/gitlab-runner",
        "",
        "config-lint",
    ),
    ill(
        "reload failed",
        "",
        "sleep 2.1; touch /etc/gitlab-runner/config.toml; printf '#!/bin/sh\\necho Configuration loaded; echo ERROR: Failed to load config CANARY\\n' > /usr/local/bin/journalctl",
        "config-not-loaded",
    ),
    unsure(
        "reload not proven",
        "sleep 2.1; touch -d '15 seconds' /dev/null; touch -d '-1 hour' /etc/gitlab-runner/config.toml",
        "config-old-mtime",
    ),
    unsure(
        "a job's word on a reload",
        "sleep 2.1; touch /etc/gitlab-runner/config.toml; printf '#!/bin/sh\\ncase \"$*\" in *_PID=*) ;; *) echo Configuration loaded;; esac\\n' > /usr/local/bin/journalctl",
        "config-just-changed",
    ),
    unsure("changed a moment ago", "sleep 2.1; touch /etc/gitlab-runner/config.toml", "config-just-changed"),
    ill(
        "no Docker daemon",
        "rm /usr/local/bin/dockerd; mv /run/docker.sock /run/docker.stopped
         [ ! -e /usr/sbin/dockerd ] || mount --bind /dev/null /usr/sbin/dockerd",
        "",
        "dockerd-not-found",
    ),
    ill("Docker daemon down", "mv /run/docker.sock /run/docker.stopped", "", "docker-daemon-down"),
    ill(
        "Docker 29 with an old gitlab-runner",
        "printf '#!/bin/sh\necho Version: 17.4.0\n' > /usr/local/bin/gitlab-runner
         echo '{\"Driver\": \"overlayfs\", \"MinAPIVersion\": \"1.44\"}' > /run/docker.info",
        "",
        "docker-api-too-new",
    ),
    HostFault {
        args: &["--profile", "docker-socket"],
        ..remark(
            "the host's new Docker for jobs",
            "sed -i 's|/certs/client|/var/run/docker.sock:/var/run/docker.sock|' /etc/gitlab-runner/config.toml",
            "docker-api-old-images",
        )
    },
    ill(
        "a Docker that maps users",
        "echo '{\"Driver\": \"overlay2\", \"SecurityOptions\": [\"name=seccomp,profile=builtin\", \"name=userns\"]}' > /run/docker.info",
        "",
        "docker-users-mapped",
    ),
    unsure(
        "a Docker newer than is known",
        "echo '{\"Driver\": \"overlayfs\", \"MinAPIVersion\": \"1.99\"}' > /run/docker.info",
        "docker-api-unknown",
    ),
    remark(
        "poor storage driver",
        "echo '{\"Driver\": \"vfs\"}' > /run/docker.info",
        "docker-storage-driver",
    ),
    ill(
        "small packets and a dind that is not told",
        "ip link set lo up; ip route add default dev lo; mount -t tmpfs none /sys/class/net; mkdir /sys/class/net/lo
         echo 1450 > /sys/class/net/lo/mtu
         sed -i 's|    volumes|    services = [{ name = \"docker:28-dind\" }]\\n&|' /etc/gitlab-runner/config.toml",
        "",
        "dind-mtu",
    ),
    ill(
        "kernel too old for a rootless dind",
        "echo 5.10.0-8-amd64 > /run/release; mount --bind /run/release /proc/sys/kernel/osrelease
         sed -i 's|    volumes|    services = [{ name = \"docker:dind-rootless\" }]\\n&|' /etc/gitlab-runner/config.toml",
        "",
        "dind-rootless-kernel",
    ),
    HostFault {
        args: &["--profile", "dind-rootless-closed"],
        ..ill(
            "Docker's volumes in a plain mount",
            "mkdir -p /var/volumes",
            "",
            "docker-volumes-mount",
        )
    },
    ill(
        "an image that is never pulled",
        "sed -i 's|    volumes|    pull_policy = \"never\"\\n&|' /etc/gitlab-runner/config.toml",
        "",
        "image-missing",
    ),
    unsure(
        "an image that is never pulled, and no daemon to ask",
        "mv /run/docker.sock /run/docker.stopped
         sed -i 's|    volumes|    pull_policy = [\"never\"]\\n&|' /etc/gitlab-runner/config.toml",
        "image-unknown",
    ),
    ill(
        "disk of Docker full",
        "mkdir -p /srv/docker; mount -t tmpfs -o size=1m none /srv/docker; head -c 2M /dev/zero > /srv/docker/x || :
         echo '{\"ServerVersion\": \"29.0.4\", \"Driver\": \"overlayfs\", \"MinAPIVersion\": \"1.44\", \
         \"DockerRootDir\": \"/srv/docker\"}' > /run/docker.info; printf '#!/bin/sh\nrm -f /srv/docker/x\n' > \
         /usr/local/bin/docker; chmod 0755 /usr/local/bin/docker",
        "",
        "disk-full",
    ),
    ill(
        "disk of the builds full",
        "mkdir /home/gitlab-runner/builds; mount -t tmpfs -o size=1m,uid=998 none /home/gitlab-runner/builds
         head -c 2M /dev/zero > /home/gitlab-runner/builds/x || :",
        "",
        "disk-full",
    ),
    ill(
        "no inodes for the cache",
        "mkdir /srv/cache; mount -t tmpfs -o nr_inodes=30 none /srv/cache; touch $(seq -f /srv/cache/%g 40) || :
         sed -i 's|^  executor = \"shell\"|  cache_dir = \"/srv/cache\"\\n&|' /etc/gitlab-runner/config.toml",
        "",
        "disk-full",
    ),
    ill(
        "token expired",
        "sed -i 's/0001-01-01/2020-01-01/' /etc/gitlab-runner/config.toml",
        "",
        "token-expired",
    ),
    remark("started by something else", "rm /etc/systemd/system/gitlab-runner.service", "service-other"),
    ill(
        "neither unit nor process",
        "",
        "end; rm /etc/systemd/system/gitlab-runner.service",
        "service-missing",
    ),
    remark(
        "runs in user mode",
        "end; sed -i '/^ExecStart/i User=gitlab-runner' /etc/systemd/system/gitlab-runner.service
        mkfifo -m 666 /run/own; setpriv --reuid 998 --regid 998 --clear-groups \
            /srv/running/gitlab-runner -s run <>/run/own & sleep 0.3",
        "runner-user-mode",
    ),
    ill(
        "a job calls itself gitlab-runner",
        "",
        "end; mkfifo -m 666 /run/own; setpriv --reuid 998 --regid 998 --clear-groups \
            /srv/running/gitlab-runner -s run <>/run/own & sleep 0.3",
        "runner-not-running",
    ),
    ill(
        "a job calls sudo gitlab-runner",
        "",
        "end; mkfifo -m 666 /run/own; setpriv --reuid 998 --regid 998 --init-groups bash -c \
            'exec -a gitlab-runner sudo -S -k run --config /etc/gitlab-runner/config.toml <>/run/own' & sleep 0.3
        ps -e -o euid,args | grep -q '^ *0 gitlab-runner -S -k run'",
        "runner-not-running",
    ),
    ill(
        "a job runs gitlab-runner in a container of its own",
        "",
        "end; mkfifo -m 666 /run/own; setpriv --reuid 998 --regid 998 --clear-groups unshare -Ur \
            chroot /proc/self/root/srv/.. /srv/running/gitlab-runner -s run <>/run/own & sleep 0.3",
        "runner-not-running",
    ),
    remark(
        "runs in a container",
        "end; rm /etc/systemd/system/gitlab-runner.service /usr/local/bin/gitlab-runner
        mkdir /run/image; mount -t tmpfs none /run/image; cd /run/image; mkdir usr proc dev
        mount --bind /usr usr; ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64; mknod -m 666 dev/null c 1 3
        mkfifo hold; cp /bin/bash gitlab-runner; chroot . /gitlab-runner -s run --user=gitlab-runner <>hold & sleep 0.3",
        "runner-in-container",
    ),
    remark(
        "file alone in a container",
        "unshare --mount sh -c 'touch /run/alone; mount --bind /etc/gitlab-runner/config.toml /run/alone; exec sleep 60' &
        sleep 0.3",
        "config-mounted-alone",
    ),
    ill(
        "no unit, other account",
        "",
        "end; rm /etc/systemd/system/gitlab-runner.service; begin --user daemon",
        "process-user",
    ),
    ill(
        "no unit, other file",
        "",
        "end; rm /etc/systemd/system/gitlab-runner.service; begin --user gitlab-runner --config /srv/config.toml",
        "process-config",
    ),
    ill("builds of root", "mkdir /home/gitlab-runner/builds", "", "builds-unusable"),
    ill("home is the root directory", "usermod -d / gitlab-runner", "", "home-owner"),
    ill("home is for everybody", "usermod -d /tmp gitlab-runner", "", "home-owner"),
    ill(
        "a device that is not there",
        "sed -i 's|privileged = true|privileged = true\\n    devices = [\"/dev/kvm-none:/dev/kvm\"]|' /etc/gitlab-runner/config.toml", "",
        "device-missing",
    ),
    ill("home is a device", "usermod -d /dev/null gitlab-runner", "", "home-unusable"),
    ill(
        "home of another account",
        "useradd -m other; rm -r /home/gitlab-runner; usermod -d /home/other gitlab-runner", "",
        "home-owner",
    ),
    ill(
        "home with a blank is open",
        "mv /home/gitlab-runner '/srv/a b'; usermod -d '/srv/a b' gitlab-runner; chmod 0777 '/srv/a b'", "",
        "home-writable",
    ),
    ill(
        "known_hosts leads to a device",
        "ln -sf /dev/null /etc/ssh/ssh_known_hosts", "",
        "known-hosts-kind",
    ),
    ill(
        "PAM refuses the account",
        "sed -i '1i account required pam_deny.so' /etc/pam.d/sudo",
        "",
        "sudo-account-refused",
    ),
    ill("PAM's file for sudo names one that is not there", "echo '@include none' >> /etc/pam.d/sudo", "", "sudo-account-refused"),
    ill("account expired", "chage -E 2020-01-01 gitlab-runner", "", "account-expired"),
    ill("password to be changed", "chage -d 0 gitlab-runner", "", "password-expired"),
    ill("no line in /etc/shadow", "sed -i /^gitlab-runner:/d /etc/shadow", "", "shadow-line-missing"),
    ill("accounts that nobody can read", "", "chmod 0640 /etc/passwd", "accounts-shut"),
    ill("password too old", "chage -d 2020-01-01 -M 30 gitlab-runner", "", "password-expired"),
    ill("home of root", "chown root /home/gitlab-runner", "", "home-owner"),
    ill(
        ".ssh made by root",
        "chown -R root:root /home/gitlab-runner/.ssh; chmod 0700 /home/gitlab-runner/.ssh",
        "",
        "foreign-owner",
    ),
    ill(
        "file of root's in the home",
        "chown root /home/gitlab-runner/.gitconfig; chmod 0600 /home/gitlab-runner/.gitconfig",
        "",
        "foreign-owner",
    ),
    ill("rule of another owner", "chown 998 /etc/sudoers.d/gitlab-runner", "", "sudoers-mode"),
    remark(
        "another file of rules 0644",
        "echo 'ops ALL=(ALL) ALL' > /etc/sudoers.d/90-ops; chmod 0644 /etc/sudoers.d/90-ops",
        "sudoers-lax",
    ),
    remark("policy of another group", "chgrp daemon /etc/sudoers", "sudoers-lax"),
    remark(
        "rule for everything",
        "install -m 0440 /dev/null /etc/sudoers.d/90-cloud; echo 'gitlab-runner ALL=(ALL) NOPASSWD: ALL' > \
         /etc/sudoers.d/90-cloud",
        "root-equivalent-rule",
    ),
    remark(
        "rule for everybody and our own program",
        "echo 'ALL ALL=(ALL) NOPASSWD: /opt/under-test/runner-prep' > /etc/sudoers.d/90-own; chmod 0440 /etc/sudoers.d/90-own",
        "root-equivalent-rule",
    ),
    remark(
        "rule for our own program by another name",
        "ln /opt/under-test/runner-prep /opt/rp || ln -s /opt/under-test/runner-prep /opt/rp
         echo 'gitlab-runner ALL=(ALL) NOPASSWD: /opt/rp' > /etc/sudoers.d/90-own; chmod 0440 /etc/sudoers.d/90-own",
        "root-equivalent-rule",
    ),
    ill(
        "sudo-rs reads another file",
        "printf '#!/bin/sh\\necho sudo-rs 0.2.8\\n' > /usr/local/sbin/sudo; chmod 4755 /usr/local/sbin/sudo
        grep -v includedir /etc/sudoers > /etc/sudoers-rs; chmod 0440 /etc/sudoers-rs",
        "",
        "sudoers-rs",
    ),
    unsure("no visudo", "mount --bind /dev/null $(command -v visudo)", "visudo-missing"),
    unsure("no su", "mount --bind /dev/null $(command -v su)", "login-shell-untried"),
    unsure(
        "version not said",
        "printf '#!/bin/sh\\n' > /usr/local/bin/gitlab-runner",
        "no-lint",
    ),
    unsure(
        "daemon of another machine",
        "sed -i 's|    image|    host = \"tcp://192.0.2.1:2376\"\\n    image|' /etc/gitlab-runner/config.toml",
        "docker-remote",
    ),
    unsure(
        "daemon of another machine, said by the service",
        "mkdir -p /etc/systemd/system/gitlab-runner.service.d; printf '[Service]\\nEnvironmentFile=/run/docker.env\\n' > /etc/systemd/system/gitlab-runner.service.d/docker.conf
        echo DOCKER_HOST=tcp://192.0.2.1:2376 > /run/docker.env",
        "docker-remote",
    ),
    ill("no control groups", "mount -t tmpfs none /sys/fs/cgroup", "", "cgroup-missing"),
    remark(
        "new control groups alone",
        "mount -t tmpfs none /sys/fs/cgroup; touch /sys/fs/cgroup/cgroup.controllers",
        "cgroup-v2",
    ),
    HostFault {
        name: "systemd has not read the drop-in",
        before: DROP_IN,
        after: "printf '#!/bin/sh\\necho NeedDaemonReload=yes\\necho MainPID=0\\n' > /usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl",
        status: "problem",
        code: "service-reload",
        args: &["--profile", "mine"],
    },
    HostFault {
        name: "gitlab-runner has not the proxy of the drop-in",
        before: DROP_IN,
        after: "printf '#!/bin/sh\\necho NeedDaemonReload=no\\necho MainPID=1\\n' > /usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl",
        status: "problem",
        code: "service-restart",
        args: &["--profile", "mine"],
    },
    HostFault {
        name: "systemctl does not answer",
        before: DROP_IN,
        after: "printf '#!/bin/sh\\nexit 1\\n' > /usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl",
        status: "ok",
        code: "service-unknown",
        args: &["--profile", "mine"],
    },
];

/// The drop-in of a profile with a proxy, below a systemd that runs.
const DROP_IN: &str =
    "mkdir -p /run/systemd/system /etc/runner-prep/profiles /etc/systemd/system/gitlab-runner.service.d
     printf '[service]\\nhttp_proxy = \"http://a:1\"\\n' > /etc/runner-prep/profiles/mine.toml
     printf '[Service]\\nEnvironment=\"http_proxy=http://a:1\"\\nEnvironment=\"HTTP_PROXY=http://a:1\"\\n' \\
         > /etc/systemd/system/gitlab-runner.service.d/runner-prep.conf";
