//! What the program says on `/` of a throwaway host.

use super::said::{Said, of_json, of_text};
use super::{Case, case};
use crate::support::{Host, HostBuilder, fixture, have, tool};

const MINE: &str = "/etc/runner-prep/profiles/mine.toml";
const DEPLOY: &str = "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/www/app\"\ntimeout = 5\n";
const REGISTER: &str = "summary = \"x\"\n[[register]]\nname = \"shell-runner\"\nexecutor = \"shell\"\ntoken_file = \
                        \"/root/runner.token\"\n";

pub(super) const CASES: &[Case] = &[
    case("not-root", "an ordinary user and the whole host", || {
        let host = host(|host| host)?;
        let command = "/opt/under-test/runner-prep plan --profile shell --json || true";
        Some(of_json(&host.as_account("gitlab-runner", command), &[]))
    }),
    case("not-permitted", "an ordinary user and a tree of root's", || {
        let host = host(|host| host.dir("/srv/tree/etc/gitlab-runner", 0o755))?;
        host.sh("cp /etc/passwd /etc/group /srv/tree/etc; install -m 0600 /dev/null /srv/tree/etc/gitlab-runner/config.toml")
            .ok();
        let command =
            "/opt/under-test/runner-prep plan --profile dind --only config --root /srv/tree --json || true";
        Some(of_json(&host.as_account("gitlab-runner", command), &[]))
    }),
    case("account-not-made", "useradd refuses", || {
        let text = "#!/bin/sh\necho \"useradd: cannot lock /etc/passwd; try again later.\" >&2\nexit 1\n";
        let host = plain(|host| host.file_mode("/usr/local/sbin/useradd", text, 0o755))?;
        apply(&host, "", &["--profile", "shell", "--only", "account"])
    }),
    case("accounts-shut", "accounts that nobody can read", || {
        apply(&host(|host| host)?, "chmod 0600 /etc/passwd", &["--profile", "shell", "--only", "account"])
    }),
    case("name-services-empty", "nobody is asked for accounts", || {
        let script = "sed -i 's/^passwd:.*/passwd: [NOTFOUND=return] # files/' /etc/nsswitch.conf";
        apply(&host(|host| host)?, script, &["--profile", "shell"])
    }),
    case("sudoers-special-file", "a pipe in place of sudo's own configuration", || {
        let script = "rm -f /etc/sudo.conf; mkfifo /etc/sudo.conf";
        apply(&host(|host| host)?, script, &["--profile", "shell", "--only", "sudoers"])
    }),
    case("account-half-made", "useradd ends in the middle", || half_made("")),
    case("account-half-made", "the run after it finishes the account", || {
        half_made("rm /usr/local/sbin/useradd; echo 'USERGROUPS_ENAB yes' > /etc/login.defs")
    }),
    case("account-half-made", "the number of its group went to another", || {
        half_made("rm /usr/local/sbin/useradd; echo 'mail:x:990:' >> /etc/group")
    }),
    case("account-half-made", "usermod refuses", || {
        half_made(
            "rm /usr/local/sbin/useradd; printf '#!/bin/sh\\necho \"usermod: no space left\" >&2; exit 1\\n' > \
             /usr/local/sbin/usermod; chmod 0755 /usr/local/sbin/usermod",
        )
    }),
    case("host-unreachable", "a server that does not answer", || {
        let profile = "summary = \"x\"\n[[known_hosts.hosts]]\nhost = \"git.example.com\"\nfingerprint = \
                       \"SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8\"\n";
        let scan = "#!/bin/sh\nexit 1\n";
        let host =
            host(|host| host.file(MINE, profile).file_mode("/usr/local/bin/ssh-keyscan", scan, 0o755))?;
        apply(&host, "", &["--profile", "mine", "--scan-host-keys"])
    }),
    case("service-reload", "systemd has not read the drop-in", || drop_in("echo NeedDaemonReload=yes")),
    case("service-restart", "gitlab-runner was started before", || drop_in("echo MainPID=1")),
    case("service-unknown", "systemctl does not answer", || drop_in("exit 1")),
    case("service-reload", "undo takes the drop-in away", || {
        let host = with_drop_in("echo NeedDaemonReload=no")?;
        Some(of_json(&host.prep(&["undo", "--json"]), &[]))
    }),
    case("register-token", "the file of the token is missing", || registration("")),
    case("register-token", "others can read it", || registration("echo glrt-x > /root/runner.token")),
    case("register-token", "a registration token of the old kind", || {
        registration("umask 077; echo GR1348941x > /root/runner.token")
    }),
    case("register-token", "the token of a runner with another name", || {
        registration(
            "umask 077; echo glrt-x > /root/runner.token; mkdir -p /etc/gitlab-runner
             printf '[[runners]]\nname = \"a\"\nurl = \"https://gitlab.com\"\ntoken = \"glrt-x\"\nexecutor = \"shell\"\n' >/etc/gitlab-runner/config.toml",
        )
    }),
    case("register-token", "two tokens", || {
        registration("umask 077; echo glrt-x glrt-y > /root/runner.token")
    }),
    case("register-failed", "GitLab refuses the token", || {
        registration("umask 077; echo glrt-REFUSED-by-it > /root/runner.token")
    }),
    case("register-failed", "gitlab-runner does nothing", || {
        registration(
            "(umask 077; echo glrt-x > /root/runner.token); ln -sf /bin/true /usr/local/bin/gitlab-runner",
        )
    }),
    case("register-tree", "a profile with [[register]] and a tree", || {
        let host = host(|host| host.dir("/srv/tree/etc", 0o755).file(MINE, REGISTER))?;
        host.sh("cp /etc/passwd /etc/group /srv/tree/etc; mkdir -p /srv/tree/etc/runner-prep/profiles; cp /etc/runner-prep/profiles/mine.toml /srv/tree/etc/runner-prep/profiles").ok();
        apply(&host, "", &["--profile", "mine", "--root", "/srv/tree"])
    }),
    case("ssh-config-refused", "a word that ssh does not know", || ssh_is_told("Misspelt yes")),
    case("host-keys-not-read", "no file for all accounts", || ssh_is_told("GlobalKnownHostsFile none")),
    case("host-name-elsewhere", "another name", || ssh_is_told("Host gitlab.com\n  HostName example.com")),
    case("host-key-algorithms", "only tokens", || {
        ssh_is_told("HostKeyAlgorithms sk-ssh-ed25519@openssh.com")
    }),
    case("host-keys-unchecked", "any key", || {
        ssh_is_told("StrictHostKeyChecking no\nGlobalKnownHostsFile none")
    }),
    case("ssh-key-unused", "no keys", || ssh_is_told("PubkeyAuthentication no")),
    case("git-push-refused", "git may not use ssh", || git_is_told("protocol.allow", "never")),
    case("git-push-elsewhere", "another server", || {
        git_is_told("url.git@git.example.com:.insteadOf", "git@gitlab.com:")
    }),
    case("tool-missing", "no useradd", || {
        let host = plain(|host| host)?;
        apply(
            &host,
            "mount --bind /dev/null $(command -v useradd)",
            &["--profile", "shell", "--only", "account"],
        )
    }),
    case("group-not-joined", "usermod refuses", || {
        let text = "#!/bin/sh\necho \"usermod: cannot lock /etc/group; try again later.\" >&2\nexit 10\n";
        let host = host(|host| {
            let profile = "summary = \"x\"\n[account]\ngroups = [\"users\"]\n";
            host.file_mode("/usr/local/sbin/usermod", text, 0o755).file(MINE, profile)
        })?;
        apply(&host, "", &["--profile", "mine"])
    }),
    case("busy", "a file that is mounted alone", || {
        let host = host(|host| host.file("/etc/ssh/ssh_known_hosts", "").file("/srv/known_hosts", ""))?;
        apply(&host, "mount --bind /srv/known_hosts /etc/ssh/ssh_known_hosts", HOST_KEYS)
    }),
    case("read-only", "a file system that can't be written", || {
        let host = host(|host| host.dir("/etc/ssh", 0o755))?;
        apply(&host, "mount --bind /etc/ssh /etc/ssh; mount -o remount,bind,ro /etc/ssh", HOST_KEYS)
    }),
    case("read-only", "a state directory that can't be written", || {
        let host =
            host(|host| host.dir("/var/lib/runner-prep/journal", 0o700).dir("/var/lib/runner-prep", 0o700))?;
        let journal = "/var/lib/runner-prep/journal";
        apply(
            &host,
            &format!("mount --bind {journal} {journal}; mount -o remount,bind,ro {journal}"),
            HOST_KEYS,
        )
    }),
    case("disk-full", "no room for a file", || {
        let host = host(|host| host.dir("/etc/ssh", 0o755))?;
        let fill =
            "mount -t tmpfs -o size=4k,mode=0755 none /etc/ssh; head -c 4096 /dev/zero > /etc/ssh/full";
        apply(&host, fill, HOST_KEYS)
    }),
    case("changed-meanwhile", "a file that somebody changed while undo looked at it", || {
        let host = host(|host| host)?;
        host.prep(&["apply", "--profile", "shell"]).ok();
        visudo(&host, "echo '# more' >> /etc/ssh/ssh_known_hosts");
        Some(of_json(&host.prep(&["undo", "--json"]), &[]))
    }),
    case("not-converged", "a program that changes it back", || {
        let host = host(|host| host)?;
        visudo(&host, "rm -f /etc/ssh/ssh_known_hosts");
        apply(&host, "", &["--profile", "shell"])
    }),
    case("policy-broken", "a policy that visudo does not read", || {
        let host = host(|host| host)?;
        visudo(&host, "echo \"$3:5:9: syntax error\" >&2; exit 1");
        apply(&host, "mount --bind /usr/local/sbin/visudo $(PATH=/usr/sbin:/sbin command -v visudo)", RULE)
    }),
    case("policy-unknown", "sudo's files have changed, and there is no visudo", || {
        let host = host(|host| host)?;
        host.prep(&[&["apply"], RULE].concat()).ok();
        apply(&host, "touch /etc/sudoers; mount --bind /dev/null $(command -v visudo)", RULE)
    }),
    case("policy-rejected", "visudo refuses the rule", || {
        let host = host(|host| host)?;
        let refuse = "d=$(dirname $3); ! grep -qs rsync $3 $d/sudoers.d/gitlab-runner || \
                      { echo \"$3:2:8: unknown defaults entry\" >&2; exit 1; }";
        visudo(&host, refuse);
        apply(&host, "", RULE)
    }),
    case("policy-locked", "somebody edits the rule", || {
        let host = host(|host| {
            host.file(MINE, "summary = \"x\"\n[sudoers]\ncommands = [\"/usr/bin/rsync\", \"/usr/bin/id\"]\n")
        })?;
        host.prep(&["apply", "--profile", "shell"]).ok();
        let hold = "flock /etc/sudoers.d/gitlab-runner sh -c 'touch /run/held; sleep 60' &
            while [ ! -e /run/held ]; do sleep 0.01; done";
        apply(&host, hold, &["--profile", "mine"])
    }),
    case("rule-without-effect", "a later rule takes the right away", || {
        let rule = "gitlab-runner ALL=(ALL) !/usr/bin/rsync\n";
        apply(&host(|host| host.file_mode("/etc/sudoers.d/zz", rule, 0o440))?, "", RULE)
    }),
    case("sudo-password-asked", "a later rule wants a password", || {
        let rule = "gitlab-runner ALL=(ALL) ALL\n";
        apply(&host(|host| host.file_mode("/etc/sudoers.d/zz", rule, 0o440))?, "", RULE)
    }),
    case("sudo-effect-unknown", "a limit of which only a whole call would tell", || {
        let rule = "Defaults command_timeout=1h\n";
        apply(&host(|host| host.file_mode("/etc/sudoers.d/zz", rule, 0o440))?, "", RULE)
    }),
    case("sudo-account-refused", "PAM lets the account not use sudo", || {
        let rule = "gitlab-runner ALL=(%root) /usr/bin/rsync\n";
        let deny = "sed -i '1i account required pam_deny.so' /etc/pam.d/sudo";
        apply(&host(|host| host.file_mode("/etc/sudoers.d/zz", rule, 0o440))?, deny, RULE)
    }),
    case("sudo-some-arguments", "a later rule for some arguments", || {
        let rule = "gitlab-runner ALL=(ALL) /usr/bin/rsync --daemon *\n";
        apply(&host(|host| host.file_mode("/etc/sudoers.d/zz", rule, 0o440))?, "", RULE)
    }),
    case("sudo-other-name", "another account of the same number", || {
        let twin = "sed -i \"1i twin:x:$(id -u gitlab-runner):100::/home/gitlab-runner:/bin/sh\" /etc/passwd";
        apply(&host(|host| host)?, twin, RULE)
    }),
    case("visudo-missing", "no visudo", || {
        apply(&host(|host| host)?, "mount --bind /dev/null $(command -v visudo)", RULE)
    }),
    case("sudoers-rs", "sudo-rs reads another file", || {
        let script = "printf '#!/bin/sh\\necho sudo-rs 0.2.8\\n' > /usr/local/sbin/sudo; chmod 4755 /usr/local/sbin/sudo
            grep -v includedir /etc/sudoers > /etc/sudoers-rs; chmod 0440 /etc/sudoers-rs";
        let host = host(|host| host)?;
        host.sh(script).ok();
        Some(of_json(&host.prep(&["plan", "--profile", "shell", "--json"]), &[]))
    }),
    case("runner-command-running", "gitlab-runner register while the file is changed", || {
        let start =
            "cp /bin/bash /srv/gitlab-runner; /srv/gitlab-runner -c 'touch /run/ready; sleep 300; :' register &
            while [ ! -e /run/ready ]; do sleep 0.01; done";
        let host = host(|host| host.config_toml(fixture("config-docker-runner.toml")))?;
        apply(&host, start, &["--profile", "dind", "--only", "config"])
    }),
    case("deploy-without-landlock", "a kernel without Landlock", || {
        let host = host(|host| host.file(MINE, DEPLOY))?;
        host.sh("install -m 0755 /opt/under-test/runner-prep /usr/local/bin/runner-prep").ok();
        let kernel =
            "mount -t tmpfs none /sys/kernel/security; echo capability,yama > /sys/kernel/security/lsm";
        apply(&host, kernel, &["--profile", "mine"])
    }),
    case("usage", "runner-deploy without a name", || deploy("usage", "", "runner-deploy")),
    case("deploy-name", "a name that is none", || deploy("deploy-name", "", "runner-deploy ../app")),
    case("deploy-unknown", "a deployment that there is not", || {
        deploy("deploy-unknown", "", "runner-deploy shop")
    }),
    case("deploy-description", "a description that was edited", || {
        let edit = "sed -i 's/^target.*/target = 1/' /etc/runner-prep/deploy/app.toml";
        deploy("deploy-description", edit, "runner-deploy app")
    }),
    case("deploy-account", "the account was deleted", || {
        deploy("deploy-account", "sed -i /^gitlab-runner:/d /etc/passwd", "runner-deploy app")
    }),
    case("untrusted", "a description that others can write", || {
        deploy("untrusted", "chmod 0666 /etc/runner-prep/deploy/app.toml", "runner-deploy app")
    }),
    case("deploy-target", "a target that is gone", || {
        deploy("deploy-target", "rmdir /srv/www/app", "runner-deploy app")
    }),
    case("deploy-checkout", "a job in a directory above the target", || {
        deploy("deploy-checkout", "", "cd /srv; runner-deploy app")
    }),
    case("deploy-stalled", "a reading side that says nothing more", || {
        let fake = "printf '#!/bin/sh\\ncase \"$*\" in *--server*) exec sleep 300 ;; esac\\nexec /usr/bin/rsync \"$@\"\\n' \
                    > /usr/local/sbin/rsync; chmod 0755 /usr/local/sbin/rsync";
        deploy("deploy-stalled", fake, "cd /home/gitlab-runner; runner-deploy app")
    }),
    case("deploy-receiver", "a writing side that asks for another file", || {
        let fake = "printf '#!/bin/sh\\ncase \"$*\" in *--server*) exec /usr/bin/rsync \"$@\" ;; esac\\n\
                    while test \"$1\" != -e; do shift; done\\nexec /usr/bin/rsync -r -e \"$2\" checkout:/etc/passwd ./\\n' \
                    > /usr/local/sbin/rsync; chmod 0755 /usr/local/sbin/rsync";
        deploy("deploy-receiver", fake, "cd /home/gitlab-runner; runner-deploy app")
    }),
    case("not-root", "runner-deploy without sudo", || {
        deploy("not-root", "", "setpriv --reuid 998 --regid 998 --clear-groups runner-deploy app")
    }),
];

const HOST_KEYS: &[&str] = &["--profile", "shell", "--only", "known_hosts"];
const RULE: &[&str] = &["--profile", "shell", "--only", "sudoers"];

/// A host without an account for jobs.
fn plain(prepare: impl FnOnce(HostBuilder) -> HostBuilder) -> Option<Host> {
    let host = Host::or_skip()?;
    have(&["sudo", "visudo", "rsync", "su", "mount", "useradd"]).then(|| prepare(host).start())
}

/// A host with the account.
fn host(prepare: impl FnOnce(HostBuilder) -> HostBuilder) -> Option<Host> {
    plain(|host| prepare(host.account("gitlab-runner", 998, "/home/gitlab-runner")))
}

/// A host where [service] was applied, and where `systemctl` does this.
fn with_drop_in(systemctl: &str) -> Option<Host> {
    if !have(&["systemctl"]) {
        return None;
    }
    let host = host(|host| {
        host.file(MINE, "summary = \"x\"\n[service]\nhttp_proxy = \"http://proxy.example.com:3128\"\n")
            .file_mode("/usr/local/bin/systemctl", format!("#!/bin/sh\n{systemctl}\n"), 0o755)
            .dir("/run/systemd/system", 0o755)
    })?;
    host.prep(&["apply", "--profile", "mine", "--allow-pending"]).ok();
    Some(host)
}

/// What `check` says then.
fn drop_in(systemctl: &str) -> Option<Vec<Said>> {
    let host = with_drop_in(systemctl)?;
    Some(of_json(&host.prep(&["check", "--profile", "mine", "--json"]), &[]))
}

/// What `apply` says of a runner that is to be registered, after a script.
fn registration(script: &str) -> Option<Vec<Said>> {
    let host = host(|host| {
        host.file(MINE, REGISTER).file_mode(
            "/usr/local/bin/gitlab-runner",
            fixture("gitlab-runner.py"),
            0o755,
        )
    })?;
    have(&["python3"]).then(|| apply(&host, script, &["--profile", "mine"])).flatten()
}

/// What `apply` says after a script.
fn apply(host: &Host, script: &str, arguments: &[&str]) -> Option<Vec<Said>> {
    host.sh(script).ok();
    Some(of_json(&host.prep(&[&["apply", "--json"], arguments].concat()), &[]))
}

/// What `apply` says where useradd writes the first of its files and fails, and what the next one says after a script.
/// ssh of every account has a line in its configuration.
fn ssh_is_told(line: &str) -> Option<Vec<Said>> {
    if !have(&["ssh", "ssh-keygen"]) {
        return None;
    }
    let host = host(|host| host.file("/etc/ssh/ssh_config.d/a.conf", format!("{line}\n")))?;
    apply(&host, "", &["--profile", "shell", "--only", "account,ssh_key,known_hosts"])
}

/// What git of the account is told by the system's file.
fn git_is_told(key: &str, value: &str) -> Option<Vec<Said>> {
    if !have(&["git", "ssh"]) {
        return None;
    }
    let host = host(|host| host)?;
    let before = format!("git config -f /etc/gitconfig {key} {value}");
    apply(&host, &before, &["--profile", "shell", "--only", "account,known_hosts,git"])
}

fn half_made(script: &str) -> Option<Vec<Said>> {
    const ONLY: &[&str] = &["--profile", "shell", "--only", "account"];
    let text =
        "#!/bin/sh\necho 'gitlab-runner:x:990:990:GitLab Runner:/home/gitlab-runner:/bin/bash' >> /etc/passwd
        echo 'useradd: failure while writing changes to /etc/shadow' >&2; exit 1\n";
    let host = plain(|host| host.file_mode("/usr/local/sbin/useradd", text, 0o755))?;
    let first = apply(&host, "", ONLY);
    if script.is_empty() { first } else { apply(&host, script, ONLY) }
}

/// A visudo that does something else first.
fn visudo(host: &Host, script: &str) {
    let real = tool("visudo").expect("a visudo, which was there a moment ago");
    let path = host.path("/usr/local/sbin/visudo");
    std::fs::write(path, format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display())).unwrap();
    host.sh("chmod 0755 /usr/local/sbin/visudo").ok();
}

/// What `runner-deploy` says after a script.
fn deploy(code: &str, script: &str, command: &str) -> Option<Vec<Said>> {
    let host = host(|host| host.file(MINE, DEPLOY))?;
    host.sh("install -m 0755 /opt/under-test/runner-prep /usr/local/bin/runner-prep").ok();
    host.prep(&["apply", "--profile", "mine"]).ok();
    host.sh(script).ok();
    let run = host.sh(command);
    run.exit(2);
    Some(of_text(code, &run))
}
