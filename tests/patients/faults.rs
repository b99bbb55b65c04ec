//! What can be wrong, one row each: a name, what is done to the good host, and the answer.

use super::Do::{Edit, Fifo, Grow, Hard, Link, Make, Mode, Put, Remove, Rename};
use super::{Do, Fault};

pub(super) const TOML: &str = "/etc/gitlab-runner/config.toml";
const KEY: &str = "/home/gitlab-runner/.ssh/id_ed25519";
const PUB: &str = "/home/gitlab-runner/.ssh/id_ed25519.pub";
const LOGOUT: &str = "/home/gitlab-runner/.bash_logout";
const RULE: &str = "/etc/sudoers.d/gitlab-runner";
pub(crate) const STATUS: &str = "/var/lib/dpkg/status";
const UNIT: &str = "/etc/systemd/system/gitlab-runner.service";
pub(super) const VOLUMES: &str = "[\"/certs/client\", \"/cache\"]";

/// A key as old programs encrypt it.
const ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,\
                         00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
                         -----END RSA PRIVATE KEY-----\n";
const SKELETON: &str = "# ~/.bash_logout\nif [ \"$SHLVL\" = 1 ]; then\n    [ -x /usr/bin/clear_console ] && \
                        /usr/bin/clear_console -q\nfi\n";
/// Another key of gitlab.com's host than the true one.
const OTHER_HOST_KEY: &str =
    "gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n";
/// The true key, taken back, and a profile that wants no other.
const REVOKED: &str =
    "@revoked gitlab.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\n";
const ONE_SERVER: &str = "summary = \"x\"\n[known_hosts]\nhosts = [{ host = \"gitlab.com\", keys = [\"ssh-ed25519 \
                          AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\"] }]\n";
/// A server in a table of its own, where others stand in a list.
const TABLES: &str = "summary = \"x\"\n[ssh_key]\n[[known_hosts.hosts]]\nhost = \"git.example.com\"\nkeys = [\"ssh-ed25519 \
                      AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\"]\n";
const OTHER_PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB x\n";

pub(super) const fn problem(name: &'static str, steps: &'static [Do], code: &'static str) -> Fault {
    Fault { name, steps, status: "problem", code, args: DIND }
}

pub(super) const fn note(name: &'static str, steps: &'static [Do], code: &'static str) -> Fault {
    Fault { name, steps, status: "ok", code, args: DIND }
}

/// With another profile, or other options.
const fn unknown(name: &'static str, steps: &'static [Do], code: &'static str) -> Fault {
    Fault { status: "unknown", ..problem(name, steps, code) }
}

pub(super) const fn with(args: &'static [&'static str], fault: Fault) -> Fault {
    Fault { args, ..fault }
}

const DIND: &[&str] = &["--profile", "dind"];
/// A profile of the tree's own, which the fault writes.
pub(super) const OURS: &[&str] = &["--profile", "ours"];
pub(super) const OUR_PROFILE: &str = "/etc/runner-prep/profiles/ours.toml";

/// Public keys that are too short for today.
const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDd5pz1auYroIS4KAwdrCguknkq7Kiv0COQ8hy4XowjTMrFOSfsUgPtyjFpdnFNDN9lSVT8NfLVSJX3ThmGFpwf8P7OdVxriRsgFoj+6V6B7new0hLVdHNFrHR39xzbm0i68M2eU7bLM2Y+8p8yfJZICqZgZ4nIJCzP6daIYcKsbQ== x\n";
const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCAAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB x\n";
/// A private key that does not show its public half to us.
const OLD_FORMAT: &str = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";

/// One that servers refuse.
const WEAK_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAlwAAAAdzc2gtcn\nNhAAAAAwEAAQAAAIEA3eac9WrmK6CEuCgMHawoLpJ5Kuyor9AjkPIcuF6MI0zKxTkn7FID\n7coxaXZxTQzfZUlU/DXy1UiV904ZhhacH/D+znVca4kbIBaI/ulege53sNIS1XRzRax0d/\ncc25tIuvDNnlO2yzNmPvKfMnyWSAqmYGeJyCQsz+nWiGHCrG0AAAH4LLItZyyyLWcAAAAH\nc3NoLXJzYQAAAIEA3eac9WrmK6CEuCgMHawoLpJ5Kuyor9AjkPIcuF6MI0zKxTkn7FID7c\noxaXZxTQzfZUlU/DXy1UiV904ZhhacH/D+znVca4kbIBaI/ulege53sNIS1XRzRax0d/cc\n25tIuvDNnlO2yzNmPvKfMnyWSAqmYGeJyCQsz+nWiGHCrG0AAAADAQABAAAAgGFdUvmMUj\npKUHHNgKN0ap0kv+3JsaqTFUgANAHh2nOSulYXYiEbS4YG9e9kfQpl34+9wYB423giRUsi\nBakEOrQoCt4vg6Az17GmQQRrYddUzCEG6Gs9w4xsd5ZUIl+xiOWaFBBRPe5gpCAUOk18uL\nfDaSOIv3L2MGqRsQZMoZWBAAAAQA/aV6mxsbm73g7hB2IZF4mcsFE3ZxAjOKoHP1lTf3ww\nj7VeICcnCQZq39PubFneB8VskbILPBIMkvmxAJgvJ+oAAABBAPC5aibl4dHF24EbsTAqm1\nnHiVQL98ZwY2JgF+6vGLic+HNqrp26dTEwpyLUct3UW+vQ2Tth6BldbHnOZ7cHLbUAAABB\nAOv7aPxdr0oVKB0vGtVQgcf4o9CzRS2vCeMzyzisiwzBtAFy8ISuddtNDbaPFik5mmT6SX\nGRkW+7+WhzUExd9tkAAAABeAEC\n-----END OPENSSH PRIVATE KEY-----\n";

/// A key that nothing else uses.
const SECOND_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAAACAi4tQcesv++airNs4pzYzA7xCAic44vtTTXvjy4YYDnwAAAIikx9zPpMfc\nzwAAAAtzc2gtZWQyNTUxOQAAACAi4tQcesv++airNs4pzYzA7xCAic44vtTTXvjy4YYDnw\nAAAEAospvcBCFEWnhNtQi4YSU4Jn9dfdnJ52Y6afupF+ohfyLi1Bx6y/75qKs2zinNjMDv\nEICJzji+1NNe+PLhhgOfAAAAAXgBAgME\n-----END OPENSSH PRIVATE KEY-----\n";

/// What a tree shows.
pub(crate) const TREE_FAULTS: &[Fault] = &[
    // The account.
    problem(
        "no account",
        &[
            Edit("/etc/passwd", "gitlab-runner:x:", "someone:x:"),
            Edit("/etc/group", "gitlab-runner:x:", "someone:x:"),
            Rename("/home/gitlab-runner", "/home/someone"),
        ],
        "account-missing",
    ),
    problem(
        "no account, and somebody else's home",
        &[
            Edit("/etc/passwd", "gitlab-runner:x:", "someone:x:"),
            Edit("/etc/group", "gitlab-runner:x:", "someone:x:"),
        ],
        "home-unusable",
    ),
    problem(
        "no account, and homes that can't be used",
        &[
            Edit("/etc/passwd", "gitlab-runner:x:", "someone:x:"),
            Edit("/etc/group", "gitlab-runner:x:", "someone:x:"),
            Rename("/home/gitlab-runner", "/home/someone"),
            Put("/etc/login.defs", "HOME_MODE 0000\n"),
        ],
        "home-mode",
    ),
    problem(
        "no account, and a lock that nobody holds",
        &[
            Edit("/etc/passwd", "gitlab-runner:x:", "someone:x:"),
            Edit("/etc/group", "gitlab-runner:x:", "someone:x:"),
            Rename("/home/gitlab-runner", "/home/someone"),
            Put("/etc/passwd.lock", "x"),
        ],
        "accounts-locked",
    ),
    problem(
        "a group of its name alone",
        &[Edit("/etc/passwd", "gitlab-runner:x:", "someone:x:")],
        "group-alone",
    ),
    note("unit that starts a shell", &[Edit(UNIT, "gitlab-runner run", "start")], "service-unclear"),
    problem(
        "the account is root",
        &[Put(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\ngitlab-runner:x:0:0::/home/gitlab-runner:/bin/bash\n",
        )],
        "account-is-root",
    ),
    problem("stock .bash_logout", &[Put(LOGOUT, SKELETON)], "account-logout"),
    problem(
        ".bash_logout that leads to a FIFO",
        &[Fifo("/home/gitlab-runner/pipe"), Mode("/home/gitlab-runner/pipe", 0o644), Link(LOGOUT, "pipe")],
        "login-shell",
    ),
    note(".bash_logout that is a directory", &[Make(LOGOUT)], "login-shell"),
    problem("own .bash_logout", &[Put(LOGOUT, "date\n/usr/bin/clear\n")], "login-shell"),
    problem("home writable", &[Mode("/home/gitlab-runner", 0o777)], "home-writable"),
    problem(
        "builds is a file",
        &[Remove("/home/gitlab-runner/builds"), Put("/home/gitlab-runner/builds", "")],
        "builds-unusable",
    ),
    problem(
        "home that its account can't write",
        &[Remove("/home/gitlab-runner/builds"), Mode("/home/gitlab-runner", 0o555)],
        "builds-unusable",
    ),
    problem("no home", &[Rename("/home/gitlab-runner", "/home/gone")], "home-missing"),
    problem(
        "a home that is a link to nothing",
        &[Rename("/home/gitlab-runner", "/home/gone"), Link("/home/gitlab-runner", "/srv/nothing")],
        "home-missing",
    ),
    problem(
        "home is a file",
        &[Rename("/home/gitlab-runner", "/home/gone"), Put("/home/gitlab-runner", "")],
        "home-unusable",
    ),
    problem(".ssh writable", &[Mode("/home/gitlab-runner/.ssh", 0o777)], "ssh-directory-writable"),
    problem(".ssh open", &[Mode("/home/gitlab-runner/.ssh", 0o755)], "ssh-key-directory-mode"),
    note(
        "docker group",
        &[Edit("/etc/group", "sudo:x:27:", "sudo:x:27:\ndocker:x:970:gitlab-runner")],
        "root-equivalent-group",
    ),
    problem(
        "docker group without docker",
        &[Edit("/etc/group", "sudo:x:27:", "docker:x:970:gitlab-runner\nsudo:x:27:")],
        "docker-not-found",
    ),
    problem("no git", &[Remove("/usr/bin/git")], "git-not-found"),
    problem("no ssh", &[Remove("/usr/bin/ssh")], "ssh-not-found"),
    problem("no rsync", &[Remove("/usr/bin/rsync")], "rsync-not-found"),
    // The key, and the servers.
    problem("no .ssh", &[Remove("/home/gitlab-runner/.ssh")], "ssh-key-directory-missing"),
    problem("no key", &[Remove(KEY), Remove(PUB)], "ssh-key-missing"),
    problem("key 0644", &[Mode(KEY, 0o644)], "ssh-key-mode"),
    problem("key with a passphrase", &[Put(KEY, ENCRYPTED), Remove(PUB)], "ssh-key-encrypted"),
    problem("key is no key", &[Put(KEY, "hello\n")], "ssh-key-unreadable"),
    problem("pair does not match", &[Put(PUB, OTHER_PUBLIC)], "ssh-key-differs"),
    problem(
        "key under another name",
        &[Rename(KEY, "/home/gitlab-runner/.ssh/deploy"), Remove(PUB)],
        "ssh-key-name",
    ),
    note(
        "key named in .ssh/config",
        &[
            Rename(KEY, "/home/gitlab-runner/.ssh/deploy"),
            Remove(PUB),
            Put("/home/gitlab-runner/.ssh/config", "Host *\n  IdentityFile ~/.ssh/deploy\n"),
        ],
        "ssh-key-configured",
    ),
    note(
        "two keys",
        &[
            Put("/home/gitlab-runner/.ssh/id_ecdsa", SECOND_KEY),
            Mode("/home/gitlab-runner/.ssh/id_ecdsa", 0o600),
        ],
        "ssh-keys-several",
    ),
    note(
        "a second key that others can read",
        &[Put("/home/gitlab-runner/.ssh/id_ecdsa", SECOND_KEY)],
        "ssh-keys-several",
    ),
    note(
        "a first key that is none",
        &[Put("/home/gitlab-runner/.ssh/id_rsa", OLD_FORMAT)],
        "ssh-key-passed-over",
    ),
    problem(
        "another key named in .ssh/config",
        &[Put("/home/gitlab-runner/.ssh/config", "IdentitiesOnly yes\nIdentityFile ~/.ssh/other\n")],
        "ssh-key-not-tried",
    ),
    note(
        "a configuration that only ssh reads",
        &[Put("/home/gitlab-runner/.ssh/config", "UserKnownHostsFile /dev/null\n")],
        "ssh-config-unknown",
    ),
    problem(
        "a service without homes",
        &[Edit(UNIT, "ExecStart", "ProtectHome=yes\nExecStart")],
        "service-confined",
    ),
    problem(
        "a service that writes nowhere",
        &[Edit(UNIT, "ExecStart", "ProtectSystem=strict\nExecStart")],
        "service-confined",
    ),
    problem(
        "a service that has only its own user",
        &[Edit(UNIT, "ExecStart", "PrivateUsers=true\nExecStart")],
        "service-confined",
    ),
    problem("directory of homes shut", &[Mode("/home", 0o700)], "home-shut"),
    problem("host keys in a shut directory", &[Mode("/etc/ssh", 0o700)], "host-keys-shut"),
    problem("host keys for root alone", &[Mode("/etc/ssh/ssh_known_hosts", 0o600)], "known-hosts-mode"),
    with(
        OURS,
        problem(
            "revoked host key",
            &[Put("/home/gitlab-runner/.ssh/known_hosts", REVOKED), Put(OUR_PROFILE, ONE_SERVER)],
            "host-key-revoked",
        ),
    ),
    problem(
        "another host key in the home alone",
        &[Remove("/etc/ssh/ssh_known_hosts"), Put("/home/gitlab-runner/.ssh/known_hosts", OTHER_HOST_KEY)],
        "host-key-changed",
    ),
    problem(
        "git's files in a circle",
        &[Put("/home/gitlab-runner/.gitconfig", "[include]\n\tpath = .gitconfig\n")],
        "git-config-circle",
    ),
    problem(
        "git's system file for root alone",
        &[Put("/etc/gitconfig", "[core]\n"), Mode("/etc/gitconfig", 0o600)],
        "git-config-shut",
    ),
    problem(
        "a committer without a name",
        &[Put("/home/gitlab-runner/.gitconfig", "[user]\n\tname =\n\temail = x\n")],
        "git-name-empty",
    ),
    note(
        "a broken file that git includes on a branch",
        &[
            Put(
                "/home/gitlab-runner/.gitconfig",
                "[includeIf \"onbranch:x\"]\n\tpath = id\n[user]\n\tname = x\n\temail = x\n",
            ),
            Put("/home/gitlab-runner/id", "[user\n"),
        ],
        "git-include-broken",
    ),
    note(
        "an identity that the system's file includes on a branch",
        &[
            Remove("/home/gitlab-runner/.gitconfig"),
            Put("/etc/gitconfig", "[includeIf \"onbranch:x\"]\n\tpath = id\n"),
            Put("/etc/id", "[user]\n\tname = x\n\temail = x\n"),
        ],
        "git-identity-overridden",
    ),
    note("DSA key", &[Put("/home/gitlab-runner/.ssh/id_dsa", "x\n")], "ssh-key-dsa"),
    problem("no known_hosts", &[Remove("/etc/ssh/ssh_known_hosts")], "host-key-missing"),
    problem("other host key", &[Put("/etc/ssh/ssh_known_hosts", OTHER_HOST_KEY)], "host-key-differs"),
    problem(
        "other server",
        &[Edit(TOML, "https://gitlab.com/", "https://git.example.com/")],
        "server-host-key",
    ),
    with(
        OURS,
        note(
            "other server, which the profile names in a table of its own",
            &[Edit(TOML, "https://gitlab.com/", "https://git.example.com/"), Put(OUR_PROFILE, TABLES)],
            "server-host-key",
        ),
    ),
    problem(
        "git is to sign without a key",
        &[Put("/home/gitlab-runner/.gitconfig", "[user]\n\tname = x\n\temail = x\n[commit]\n\tgpgsign\n")],
        "git-signs",
    ),
    note(
        "git is to sign by a program of its own",
        &[Put(
            "/home/gitlab-runner/.gitconfig",
            "[user]\n\tname = x\n\temail = x\n[gpg]\n\tprogram = /usr/local/bin/sign\n[commit]\n\tgpgsign = on\n",
        )],
        "git-signs-unknown",
    ),
    note(
        "git has hooks of its own",
        &[Put(
            "/home/gitlab-runner/.gitconfig",
            "[user]\n\tname = x\n\temail = x\n[core]\n\thooksPath = ~/hooks\n",
        )],
        "git-hooks-unknown",
    ),
    note(
        "git goes by the web",
        &[Put(
            "/home/gitlab-runner/.gitconfig",
            "[user]\n\tname = x\n\temail = x\n[url \"https://ci:CANARY-1@gitlab.com/\"]\n\tinsteadOf = git@gitlab.com:\n",
        )],
        "git-url-rewritten",
    ),
    problem(
        "git is to sign perhaps",
        &[Put("/home/gitlab-runner/.gitconfig", "[commit]\n\tgpgsign = maybe\n")],
        "git-config-refused",
    ),
    note(
        "service with settings of git",
        &[Edit(UNIT, "[Service]", "[Service]\nEnvironment=GIT_CONFIG_GLOBAL=/srv/x")],
        "git-environment",
    ),
    note(
        "runner with another author",
        &[Edit(TOML, "DOCKER_TLS_CERTDIR=/certs\"", "DOCKER_TLS_CERTDIR=/certs\", \"GIT_AUTHOR_NAME=x\"")],
        "git-environment",
    ),
    problem("no git identity", &[Remove("/home/gitlab-runner/.gitconfig")], "git-identity"),
    problem(
        "git configuration broken",
        &[Put("/home/gitlab-runner/.gitconfig", "[user\n")],
        "git-config-invalid",
    ),
    // sudo.
    problem("no sudo", &[Remove("/usr/bin/sudo"), Remove("/etc/sudoers")], "sudo-missing"),
    problem(
        "a service whose jobs never become root",
        &[Edit(UNIT, "ExecStart", "NoNewPrivileges=yes\nExecStart")],
        "sudo-no-new-privileges",
    ),
    problem(
        "services whose jobs never become root",
        &[Put("/etc/systemd/system/service.d/90-hard.conf", "[Service]\nNoNewPrivileges=yes\n")],
        "sudo-no-new-privileges",
    ),
    problem(
        "services without homes",
        &[Put("/etc/systemd/system/service.d/90-hard.conf", "[Service]\nProtectHome=yes\n")],
        "service-confined",
    ),
    problem("sudo without setuid", &[Mode("/usr/bin/sudo", 0o755)], "sudo-not-setuid"),
    problem("no rule", &[Remove(RULE)], "sudoers-missing"),
    problem(
        "rule in a file with a dot",
        &[Rename(RULE, "/etc/sudoers.d/gitlab-runner.conf")],
        "sudoers-name-skipped",
    ),
    problem("rule 0666", &[Mode(RULE, 0o666)], "sudoers-mode"),
    problem("sudo's main file 0666", &[Mode("/etc/sudoers", 0o666)], "sudoers-main-mode"),
    problem(
        "rule names another path",
        &[Edit(RULE, "/usr/bin/rsync", "/usr/local/bin/rsync")],
        "sudoers-differs",
    ),
    problem("rule of somebody else", &[Put(RULE, "gitlab-runner ALL=(ALL) ALL\n")], "sudoers-foreign"),
    note("later rule", &[Put("/etc/sudoers.d/zz", "gitlab-runner ALL=(ALL) ALL\n")], "sudo-later-rule"),
    problem(
        "directory not included",
        &[Edit("/etc/sudoers", "@includedir", "# @includedir")],
        "sudoers-not-included",
    ),
    problem("directory writable", &[Mode("/etc/sudoers.d", 0o777)], "sudoers-directory"),
    problem(
        "requiretty",
        &[Edit("/etc/sudoers", "Defaults\tuse_pty", "Defaults\trequiretty")],
        "sudo-requiretty",
    ),
    with(
        OURS,
        problem(
            "command missing",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[sudoers]\ncommands = [\"/usr/bin/rsynk\"]\n")],
            "command-missing",
        ),
    ),
    problem("command writable", &[Mode("/usr/bin/rsync", 0o777)], "command-untrusted"),
    // config.toml as a file.
    problem("nothing registered", &[Remove(TOML)], "runner-not-registered"),
    problem("config.toml empty", &[Put(TOML, "")], "config-empty"),
    problem("config.toml broken", &[Edit(TOML, "privileged = true", "privileged = yes")], "config-invalid"),
    problem("config.toml 0644", &[Mode(TOML, 0o644)], "config-mode"),
    problem("config.toml writable", &[Mode(TOML, 0o666)], "config-untrusted"),
    note(
        "dotted keys",
        &[
            Remove(STATUS),
            Edit(TOML, "[runners.docker]\n    tls_verify", "docker.tls_verify"),
            Edit(TOML, "    image", "    docker.image"),
            Edit(TOML, "    privileged", "    docker.privileged"),
            Edit(TOML, "    volumes", "    docker.volumes"),
        ],
        "config-dotted-keys",
    ),
    problem(
        "dotted keys for an old runner",
        &[
            Edit(STATUS, "17.4.0", "13.12.0"),
            Edit(TOML, "[runners.docker]\n    tls_verify", "docker.tls_verify"),
            Edit(TOML, "    image", "    docker.image"),
            Edit(TOML, "    privileged", "    docker.privileged"),
            Edit(TOML, "    volumes", "    docker.volumes"),
        ],
        "config-dotted-keys",
    ),
    problem(
        "byte order mark for an old runner",
        &[Edit(STATUS, "17.4.0", "13.12.0"), Edit(TOML, "concurrent", "\u{feff}concurrent")],
        "config-bom",
    ),
    problem(
        "TOML 1.0 for an old runner",
        &[Edit(STATUS, "17.4.0", "13.12.0"), Edit(TOML, "check_interval = 0", "check_interval = 0x0")],
        "config-toml-1-0",
    ),
    problem(
        "TOML 1.1",
        &[Edit(TOML, "    volumes", "    tmpfs = { \"/a\" = \"rw\", }\n    volumes")],
        "config-toml-1-1",
    ),
    // Keys.
    problem("misspelt key", &[Edit(TOML, "privileged", "privilaged")], "config-key-unknown"),
    note(
        "key of somebody else",
        &[Edit(TOML, "  executor", "  x_team_note = \"CANARY\"\n  executor")],
        "config-key-foreign",
    ),
    problem(
        "key in the wrong place",
        &[Edit(TOML, "  [runners.docker]\n", "  privileged = true\n  [runners.docker]\n")],
        "config-misplaced",
    ),
    problem("volumes is a string", &[Edit(TOML, VOLUMES, "\"/certs/client\"")], "config-type"),
    problem(
        "key too new",
        &[Edit(TOML, "    volumes", "    volume_keep = true\n    volumes")],
        "config-key-too-new",
    ),
    problem(
        "key removed",
        &[Edit(TOML, "  executor", "  pre_clone_script = \"CANARY\"\n  executor")],
        "config-key-removed",
    ),
    // Values.
    problem("not privileged", &[Edit(TOML, "privileged = true", "privileged = false")], "config-privileged"),
    problem(
        "neither privileged nor certificates",
        &[Edit(TOML, "privileged = true", "privileged = false"), Edit(TOML, VOLUMES, "[\"/cache\"]")],
        "config-privileged",
    ),
    problem("no volume for certificates", &[Edit(TOML, VOLUMES, "[\"/cache\"]")], "config-volumes"),
    problem("other certificate directory", &[Edit(TOML, "=/certs", "=/tls")], "config-environment"),
    problem("tls_verify on", &[Edit(TOML, "tls_verify = false", "tls_verify = true")], "config-tls-verify"),
    note(
        "tls_verify on a local daemon",
        &[Edit(TOML, "tls_verify = false", "tls_verify = true")],
        "tls-verify-local",
    ),
    problem(
        "tls_verify on the local socket",
        &[Edit(TOML, "tls_verify = false", "tls_verify = true\n    host = \"unix:///var/run/docker.sock\"")],
        "tls-verify-local",
    ),
    problem(
        "environment without TLS",
        &[Edit(TOML, "=/certs\"", "=/certs\", \"DOCKER_HOST=tcp://docker:2375\"")],
        "docker-host-wrong",
    ),
    problem(
        "service that no allow-list names",
        &[Edit(
            TOML,
            "    volumes",
            "    allowed_privileged_services = [\"docker:*-dind\"]\n    services = [{ name = \"registry.example.com/docker:28-dind\" }]\n    volumes",
        )],
        "service-not-allowed",
    ),
    problem(
        "DOCKER_HOST in the job itself",
        &[Edit(TOML, "=/certs\"", "=/certs\", \"DOCKER_HOST=tcp://localhost:2376\"")],
        "docker-host-wrong",
    ),
    problem(
        "certificates looked for elsewhere",
        &[Edit(TOML, "=/certs\"", "=/certs\", \"DOCKER_CERT_PATH=/tls/client\"")],
        "docker-tls-wrong",
    ),
    problem(
        "jobs on the host's network",
        &[Edit(TOML, "    volumes", "    network_mode = \"host\"\n    volumes")],
        "dind-network",
    ),
    problem(
        "jobs without a network",
        &[Edit(TOML, "    volumes", "    network_mode = \"none\"\n    volumes")],
        "network-none",
    ),
    problem(
        "no room for dind",
        &[Edit(TOML, "    volumes", "    services_limit = 0\n    volumes")],
        "services-limit-low",
    ),
    problem(
        "a dind without TLS",
        &[Edit(
            TOML,
            "    volumes",
            "    services = [{ name = \"docker:28-dind\", environment = [\"DOCKER_TLS_CERTDIR=\"] }]\n    volumes",
        )],
        "dind-service-tls",
    ),
    problem(
        "a dind with another command",
        &[Edit(
            TOML,
            "    volumes",
            "    services = [{ name = \"docker:28-dind\", command = [\"dockerd\"] }]\n    volumes",
        )],
        "dind-service-command",
    ),
    problem(
        "a volume in the place of the socket",
        &[Edit(TOML, "\"/cache\"", "\"/cache\", \"/var/run/docker.sock\"")],
        "docker-sock-place",
    ),
    problem(
        "a policy that there is not",
        &[Edit(TOML, "    volumes", "    pull_policy = [\"always\", \"sometimes\"]\n    volumes")],
        "pull-policy-unknown",
    ),
    problem(
        "no policy that is allowed",
        &[Edit(TOML, "    volumes", "    allowed_pull_policies = [\"never\"]\n    volumes")],
        "config-value-refused",
    ),
    problem(
        "a directory for builds that is no path",
        &[Edit(TOML, "executor = \"docker\"", "executor = \"docker\"\n  builds_dir = \"builds\"")],
        "config-value-refused",
    ),
    note(
        "key that GitLab holds",
        &[Edit(TOML, "  executor", "  tag_list = [\"CANARY\"]\n  executor")],
        "config-key-of-gitlab",
    ),
    unknown(
        "key of a newer runner",
        &[Edit(STATUS, "17.4.0", "99.0.0"), Edit(TOML, "  executor", "  quite_new = 1\n  executor")],
        "config-key-unjudged",
    ),
    note("a word for a token", &[Edit(TOML, "glrt-CANARY-patient-2", "YOUR_TOKEN")], "token-placeholder"),
    problem("no executor", &[Edit(TOML, "  executor = \"shell\"\n", "")], "executor-missing"),
    problem(
        "tls_verify without certificates",
        &[Edit(
            TOML,
            "tls_verify = false",
            "tls_verify = true\n    host = \"tcp://10.0.0.1:2376\"\n    tls_cert_path = \"/etc/gitlab-runner/certs\"",
        )],
        "tls-cert-path",
    ),
    note(
        "remote daemon",
        &[Edit(TOML, "tls_verify = false", "tls_verify = true\n    host = \"tcp://10.0.0.1:2376\"")],
        "tls-verify-remote",
    ),
    problem(
        "docker.sock and dind",
        &[Edit(TOML, "\"/cache\"", "\"/var/run/docker.sock:/var/run/docker.sock\"")],
        "docker-sock-and-dind",
    ),
    problem(
        "shared certificates",
        &[Edit(TOML, "\"/certs/client\"", "\"certs:/certs/client\"")],
        "certs-shared",
    ),
    problem(
        "certificates in a directory of the host",
        &[Edit(TOML, "\"/certs/client\"", "\"/srv/certs:/certs/client\"")],
        "certs-shared",
    ),
    problem(
        "certificates that dind can't write",
        &[Edit(TOML, "\"/certs/client\"", "\"/srv/certs:/certs/client:ro\"")],
        "certs-read-only",
    ),
    problem(
        "no volumes of its own",
        &[Edit(TOML, "    volumes", "    disable_cache = true\n    volumes")],
        "cache-disabled",
    ),
    problem(
        "unprivileged services",
        &[Edit(TOML, "    volumes", "    services_privileged = false\n    volumes")],
        "services-unprivileged",
    ),
    problem(
        "volume without a path",
        &[Edit(TOML, "\"/certs/client\"", "\"/certs/client\", \"cache:cached\"")],
        "volume-refused",
    ),
    problem(
        "two volumes at one path",
        &[Edit(TOML, "\"/certs/client\"", "\"/certs/client\", \"/certs/./client\"")],
        "volume-refused",
    ),
    problem(
        "shared authority",
        &[Edit(TOML, "\"/certs/client\"", "\"/certs/client\", \"/certs\"")],
        "certs-ca-shared",
    ),
    problem(
        "allow-list misses dind",
        &[Edit(TOML, "    volumes", "    allowed_privileged_services = [\"docker:2?\"]\n    volumes")],
        "allow-list-misses-dind",
    ),
    problem(
        "allow-list stops at a slash",
        &[Edit(TOML, "    volumes", "    allowed_services = [\"docker/*\"]\n    volumes")],
        "allow-list-misses-dind",
    ),
    problem(
        "allow-list malformed",
        &[Edit(TOML, "    volumes", "    allowed_services = [\"docker:[\", \"**\"]\n    volumes")],
        "allow-list-malformed",
    ),
    note(
        "allow-list with one spelling",
        &[Edit(TOML, "    volumes", "    allowed_services = [\"docker:*\"]\n    volumes")],
        "allow-list-one-spelling",
    ),
    problem(
        "no wait for services",
        &[Edit(TOML, "    volumes", "    wait_for_services_timeout = -1\n    volumes")],
        "wait-for-services-off",
    ),
    note(
        "client variables for all jobs",
        &[Edit(
            TOML,
            "\"DOCKER_TLS_CERTDIR=/certs\"",
            "\"DOCKER_TLS_CERTDIR=/certs\", \"DOCKER_TLS_VERIFY=1\", \"DOCKER_CERT_PATH=/certs/client\"",
        )],
        "environment-docker",
    ),
    problem(
        "a storage driver for the newest dind",
        &[
            Edit(
                TOML,
                "\"DOCKER_TLS_CERTDIR=/certs\"",
                "\"DOCKER_TLS_CERTDIR=/certs\", \"DOCKER_DRIVER=overlay2\"",
            ),
            Edit(TOML, "    volumes", "    services = [{ name = \"docker:dind\" }]\n    volumes"),
        ],
        "storage-driver",
    ),
    // Runners.
    problem("no runners", &[Put(TOML, "concurrent = 1\n")], "no-runner"),
    problem("unknown executor", &[Edit(TOML, "\"shell\"", "\"shel\"")], "executor-unknown"),
    note("no shell runner", &[Edit(TOML, "\"shell\"", "\"ssh\"")], "no-shell-runner"),
    note("too few slots", &[Edit(TOML, "concurrent = 2", "concurrent = 1")], "concurrent-low"),
    problem("no slot at all", &[Edit(TOML, "concurrent = 2", "concurrent = 0")], "concurrent-zero"),
    problem("an address without https", &[Edit(TOML, "https://gitlab.com", "gitlab.com")], "runner-url"),
    problem("no token", &[Edit(TOML, "glrt-CANARY-patient-1", "")], "token-missing"),
    note("registered twice", &[Edit(TOML, "glrt-CANARY-patient-2", "glrt-CANARY-patient-1")], "runner-twice"),
    problem(
        "variable in a token that is rotated",
        &[Edit(TOML, "glrt-CANARY-patient-1", "$CANARY_TOKEN"), Edit(TOML, "0001-01-01", "2999-01-01")],
        "token-variable",
    ),
    note("token that is rotated", &[Edit(TOML, "0001-01-01", "2999-01-01")], "token-shared"),
    problem(
        "two entries with a token that is rotated",
        &[
            Edit(TOML, "glrt-CANARY-patient-2", "glrt-CANARY-patient-1"),
            Edit(TOML, "0001-01-01", "2999-01-01"),
        ],
        "token-shared",
    ),
    // The service.
    problem("no gitlab-runner", &[Remove(STATUS), Remove("/usr/bin/gitlab-runner")], "runner-missing"),
    problem(
        "release that fails each second shell job",
        &[Edit(STATUS, "17.4.0", "18.6.1")],
        "runner-known-bad",
    ),
    note("release that fails submodules", &[Edit(STATUS, "17.4.0", "18.0.0")], "runner-known-bad"),
    note("version not known", &[Remove(STATUS)], "runner-version-unknown"),
    problem("no unit", &[Remove(UNIT)], "service-missing"),
    problem(
        "unit of a missing account",
        &[Edit(UNIT, "--user gitlab-runner", "--user ci")],
        "service-user-missing",
    ),
    problem("service masked", &[Put(UNIT, "")], "service-masked"),
    problem("jobs as root", &[Edit(UNIT, " --user gitlab-runner", "")], "service-jobs-as-root"),
    with(
        &["--profile", "dind", "--user", "gitlab-runer"],
        note("a slip in the account", &[Remove(UNIT)], "account-other"),
    ),
    with(&["--profile", "dind", "--user", "other"], problem("unit of another account", &[], "service-user")),
    with(
        &["--profile", "dind", "--config", "/etc/other.toml"],
        problem("unit of another file", &[], "service-config"),
    ),
    with(&["--profile", "dind", "--config", "x.toml"], problem("no absolute path", &[], "config-path")),
    problem("home of a strange name", &[Edit(UNIT, "--user gitlab-runner", "--user ALL")], "account-name"),
    // Things that are not what they should be.
    problem("link to nowhere", &[Remove(TOML), Link(TOML, "/nowhere")], "config-dangling"),
    problem("config.toml is a directory", &[Remove(TOML), Make(TOML)], "config-kind"),
    problem("config.toml with two names", &[Hard(TOML, "/etc/gitlab-runner/other")], "config-links"),
    problem("runners is a number", &[Put(TOML, "runners = 1\n")], "config-shape"),
    problem("a key in another case", &[Edit(TOML, "image =", "Image =")], "config-key-case"),
    problem(
        "directory is a file",
        &[Remove("/etc/gitlab-runner"), Put("/etc/gitlab-runner", "")],
        "path-unusable",
    ),
    problem(
        "key behind a link",
        &[Rename(KEY, "/home/gitlab-runner/.ssh/real"), Link(KEY, "real")],
        "ssh-key-kind",
    ),
    problem("key is a directory", &[Remove(KEY), Make(KEY)], "ssh-key-kind"),
    problem("key with two names", &[Hard(KEY, "/home/gitlab-runner/.ssh/other")], "ssh-key-links"),
    problem("public half alone", &[Remove(KEY)], "ssh-key-half"),
    problem(
        ".ssh is a file",
        &[Remove("/home/gitlab-runner/.ssh"), Put("/home/gitlab-runner/.ssh", "")],
        "ssh-directory",
    ),
    note(
        "short key beside a good one",
        &[
            Put("/home/gitlab-runner/.ssh/id_rsa", WEAK_KEY),
            Put("/home/gitlab-runner/.ssh/id_rsa.pub", RSA_1024),
        ],
        "ssh-key-weak",
    ),
    note(
        "key of former days",
        &[
            Put("/home/gitlab-runner/.ssh/id_rsa", OLD_FORMAT),
            Put("/home/gitlab-runner/.ssh/id_rsa.pub", RSA_2048),
        ],
        "ssh-key-short",
    ),
    problem(
        "known_hosts leads to a directory",
        &[Remove("/etc/ssh/ssh_known_hosts"), Link("/etc/ssh/ssh_known_hosts", "/etc")],
        "known-hosts-kind",
    ),
    problem(
        "known_hosts is a directory",
        &[Remove("/etc/ssh/ssh_known_hosts"), Make("/etc/ssh/ssh_known_hosts")],
        "known-hosts-kind",
    ),
    Fault {
        status: "unknown",
        ..problem("known_hosts is huge", &[Grow("/etc/ssh/ssh_known_hosts")], "could-not-look")
    },
    problem(
        ".gitconfig is a directory",
        &[Remove("/home/gitlab-runner/.gitconfig"), Make("/home/gitlab-runner/.gitconfig")],
        "git-config-kind",
    ),
    note("no address of git", &[Remove("/home/gitlab-runner/.gitconfig")], "git-email-default"),
    problem("rule is a link", &[Rename(RULE, "/etc/rule"), Link(RULE, "/etc/rule")], "sudoers-kind"),
    note("directory of rules", &[Make("/etc/sudoers.d/more")], "sudoers-no-file"),
    problem("FIFO among the rules", &[Fifo("/etc/sudoers.d/pipe")], "sudoers-special-file"),
    problem("command is not a program", &[Mode("/usr/bin/rsync", 0o644)], "command-kind"),
    problem(
        "another command comes first",
        &[Put("/usr/local/bin/rsync", "#!/bin/sh\n"), Mode("/usr/local/bin/rsync", 0o755)],
        "command-shadowed",
    ),
    problem(
        "command outside secure_path",
        &[Edit("/etc/sudoers", "/usr/sbin:/usr/bin:/sbin:/bin", "/sbin")],
        "command-not-in-secure-path",
    ),
    note("rsync as root", &[], "root-equivalent-command"),
];
