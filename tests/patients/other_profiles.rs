//! What other profiles and options find.

use super::Do::{Edit, Make, Mode, Put, Remove};
use super::Fault;
use super::faults::{OUR_PROFILE, OURS, STATUS, TOML, VOLUMES, note, problem, with};

/// As [`super::TREE_FAULTS`].
pub(crate) const OTHER_FAULTS: &[Fault] = &[
    // Other profiles and options.
    with(
        &["--profile", "dind-hardened"],
        note(
            "wide allow-list",
            &[Edit(
                TOML,
                "    volumes",
                "    allowed_privileged_services = [\"our.example.com/**\"]\n    volumes",
            )],
            "allow-list-wider",
        ),
    ),
    with(
        &["--profile", "dind-hardened"],
        problem(
            "privileged services of anybody",
            &[Edit(TOML, "    volumes", "    allowed_privileged_services = [\"**\"]\n    volumes")],
            "wall-open",
        ),
    ),
    with(
        &["--profile", "dind-rootless"],
        problem(
            "the host's /etc in jobs",
            &[Edit(TOML, "\"/cache\"", "\"/cache\", \"/etc:/e\"")],
            "wall-open",
        ),
    ),
    with(
        &["--profile", "dind-rootless-closed"],
        problem(
            "a capability for jobs",
            &[Edit(TOML, "    volumes", "    cap_add = [\"SYS_ADMIN\"]\n    volumes")],
            "wall-open",
        ),
    ),
    with(
        &["--profile", "dind-hardened"],
        note(
            "no filter of system calls",
            &[Edit(TOML, "    volumes", "    security_opt = [\"seccomp=unconfined\"]\n    volumes")],
            "wall-thinner",
        ),
    ),
    with(
        &["--profile", "docker-socket"],
        note(
            "another path in the place of the socket",
            &[Edit(TOML, VOLUMES, "[\"/srv/engine.sock:/var/run/docker.sock\"]")],
            "docker-sock-other",
        ),
    ),
    with(
        &["--profile", "dind-hardened"],
        problem("old gitlab-runner", &[Edit(STATUS, "17.4.0", "15.11.0")], "runner-too-old"),
    ),
    with(
        &["--profile", "dind-rootless-closed"],
        problem("jobs could bring a service", &[], "config-services-limit"),
    ),
    with(&["--profile", "dind-rootless-closed"], problem("no service", &[], "config-services")),
    with(
        OURS,
        note(
            "another address of git",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[git]\nname = \"ci\"\nemail = \"ci@example.com\"\n")],
            "git-identity-kept",
        ),
    ),
    with(
        OURS,
        problem(
            "another number of slots",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[config.global]\nconcurrent = 4\n")],
            "config-concurrent",
        ),
    ),
    with(
        OURS,
        problem(
            "another level of the log",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[config.global]\nlog_level = \"warn\"\n")],
            "config-value",
        ),
    ),
    with(
        &["--profile", "dind-rootless-closed"],
        problem(
            "more services than the limit",
            &[Edit(TOML, "    volumes", "    services = [{ name = \"postgres:16\" }]\n    volumes")],
            "services-limit",
        ),
    ),
    with(
        &["--profile", "docker-socket"],
        note("socket for jobs", &[Edit(TOML, VOLUMES, "[\"/cache\"]")], "root-equivalent-socket"),
    ),
    with(
        &["--profile", "dind", "--runner", "imges"],
        problem("no runner of that name", &[], "runner-unknown"),
    ),
    with(
        &["--profile", "dind", "--runner", "deploy"],
        problem("a runner that reads no [runners.docker]", &[], "runner-executor"),
    ),
    with(
        &["--profile", "dind", "--runner", "images"],
        problem("two of one name", &[Edit(TOML, "\"deploy\"", "\"images\"")], "runner-ambiguous"),
    ),
    with(
        OURS,
        problem(
            "group missing",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[account]\ngroups = [\"video9\"]\n")],
            "group-missing",
        ),
    ),
    with(
        OURS,
        problem(
            "not in the group",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[account]\ngroups = [\"sudo\"]\n")],
            "account-group",
        ),
    ),
    with(
        OURS,
        problem(
            "fingerprint alone",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[known_hosts.hosts]]\nhost = \"git.example.com\"\nfingerprint = \
                 \"SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8\"\n",
            )],
            "host-key-unscanned",
        ),
    ),
    with(&["--profile", "dind-hardened"], problem("jobs privileged", &[], "config-services-privileged")),
    with(
        &["--profile", "dind-hardened"],
        problem("no allow-list", &[], "config-allowed-privileged-services"),
    ),
    with(
        OURS,
        problem(
            "rule of a missing account",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"www9\"\ncommands = [\"/usr/bin/rsync\"]\n",
            )],
            "run-as-missing",
        ),
    ),
    with(
        OURS,
        problem(
            "rule as root",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"root\"\ncommands = [\"/usr/bin/rsync\"]\n",
            )],
            "run-as-root",
        ),
    ),
    with(
        OURS,
        problem(
            "rule as itself",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"gitlab-runner\"\ncommands = [\"/usr/bin/rsync\"]\n",
            )],
            "run-as-itself",
        ),
    ),
    with(
        OURS,
        problem(
            "rule without commands",
            &[
                Put(OUR_PROFILE, "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"www\"\ncommands = []\n"),
                Edit("/etc/passwd", "gitlab-runner:x:", "www:x:970:970::/srv:/bin/sh\ngitlab-runner:x:"),
            ],
            "sudo-rule-empty",
        ),
    ),
    with(
        OURS,
        problem(
            "group of another number",
            &[
                Put(
                    OUR_PROFILE,
                    "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"www\"\ncommands = [\"/usr/bin/rsync\"]\n",
                ),
                Edit("/etc/passwd", "gitlab-runner:x:", "www:x:970:970::/srv:/bin/sh\ngitlab-runner:x:"),
                Edit("/etc/group", "sudo:x:27:", "www:x:971:\nsudo:x:27:"),
            ],
            "run-as-group",
        ),
    ),
    with(
        OURS,
        note(
            "rule as a member of docker",
            &[
                Put(
                    OUR_PROFILE,
                    "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"www\"\ncommands = [\"/usr/bin/rsync\"]\n",
                ),
                Edit("/etc/passwd", "gitlab-runner:x:", "www:x:970:970::/srv:/bin/sh\ngitlab-runner:x:"),
                Edit("/etc/group", "sudo:x:27:", "docker:x:970:www\nsudo:x:27:"),
            ],
            "root-equivalent-account",
        ),
    ),
    with(
        OURS,
        problem(
            "target is a file",
            &[
                Put(OUR_PROFILE, "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n"),
                Put("/srv/app", ""),
            ],
            "deploy-target",
        ),
    ),
    with(
        OURS,
        problem(
            "target of the account",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\nowner = \"gitlab-runner:gitlab-runner\"\n",
            )],
            "deploy-owner",
        ),
    ),
    with(
        OURS,
        problem(
            "target that the account could write",
            &[
                Put(
                    OUR_PROFILE,
                    "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\nowner = \
                     \"root:gitlab-runner\"\nchmod = \"ug=rwX,o=rX\"\n",
                ),
                Put("/usr/local/bin/runner-prep", "#!/bin/sh\n"),
                Mode("/usr/local/bin/runner-prep", 0o755),
            ],
            "deploy-group",
        ),
    ),
    with(
        OURS,
        note(
            "rule with several arguments",
            &[Put(
                OUR_PROFILE,
                "summary = \"x\"\n[[sudoers.rule]]\nrun_as = \"www-data\"\ncommands = [\"/usr/bin/rsync -a /srv/a \
                 /srv/b\"]\n",
            )],
            "sudo-arguments-merge",
        ),
    ),
    with(
        OURS,
        problem(
            "deployment without rsync",
            &[
                Put(OUR_PROFILE, "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n"),
                Remove("/usr/bin/rsync"),
            ],
            "rsync-not-found",
        ),
    ),
    with(
        OURS,
        problem(
            "program that others can change",
            &[
                Put(OUR_PROFILE, "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n"),
                Put("/usr/local/bin/runner-prep", "#!/bin/sh\n"),
                Mode("/usr/local/bin/runner-prep", 0o777),
            ],
            "program-not-installed",
        ),
    ),
    with(
        OURS,
        problem(
            "program not installed",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n")],
            "program-not-installed",
        ),
    ),
    with(
        OURS,
        problem(
            "entry point is a directory",
            &[
                Put(OUR_PROFILE, "summary = \"x\"\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/app\"\n"),
                Put("/usr/local/bin/runner-prep", "#!/bin/sh\n"),
                Mode("/usr/local/bin/runner-prep", 0o755),
                Make("/usr/local/sbin/runner-deploy"),
            ],
            "deploy-file-kind",
        ),
    ),
    with(
        OURS,
        problem(
            "no systemd, and settings of the service",
            &[Put(OUR_PROFILE, SERVICE)],
            "service-no-systemd",
        ),
    ),
    with(
        OURS,
        problem(
            "no drop-in of the service",
            &[Put(OUR_PROFILE, SERVICE), Put("/usr/lib/systemd/systemd", "")],
            "service-settings",
        ),
    ),
    with(
        OURS,
        note(
            "another drop-in has the last word",
            &[
                Put(OUR_PROFILE, SERVICE),
                Put("/usr/lib/systemd/systemd", ""),
                Put(DROP_IN, "[Service]\nTimeoutStopSec=2h\nKillSignal=SIGQUIT\n"),
                Put("/etc/systemd/system/gitlab-runner.service.d/zz.conf", "[Service]\nTimeoutStopSec=9\n"),
            ],
            "service-overridden",
        ),
    ),
    with(
        OURS,
        problem(
            "a drop-in of somebody else",
            &[
                Put(OUR_PROFILE, SERVICE),
                Put("/usr/lib/systemd/systemd", ""),
                Put(DROP_IN, "[Service]\nTimeoutStopSec=9\n"),
            ],
            "file-foreign",
        ),
    ),
    with(
        OURS,
        problem(
            "a directory where the drop-in is wanted",
            &[
                Put(OUR_PROFILE, SERVICE),
                Put("/usr/lib/systemd/systemd", ""),
                Put("/etc/systemd/system/gitlab-runner.service.d/a.conf", ""),
                Make(DROP_IN),
            ],
            "file-kind",
        ),
    ),
    with(
        OURS,
        problem(
            "certificates of an authority not placed",
            &[
                Put(OUR_PROFILE, AUTHORITY),
                Put(PEM, CERTIFICATE),
                Edit(TOML, "gitlab.com", "gitlab.example.com"),
            ],
            "ca-certificates",
        ),
    ),
    with(OURS, problem("no file of the authority", &[Put(OUR_PROFILE, AUTHORITY)], "ca-file")),
    with(
        OURS,
        problem(
            "the key of the authority",
            &[Put(OUR_PROFILE, AUTHORITY), Put(PEM, "-----BEGIN PRIVATE KEY-----\n")],
            "ca-private-key",
        ),
    ),
    with(
        OURS,
        problem(
            "an authority, and runners of GitLab.com",
            &[Put(OUR_PROFILE, AUTHORITY), Put(PEM, CERTIFICATE)],
            "ca-no-server",
        ),
    ),
    with(
        OURS,
        note(
            "an authority, and a runner that names another file",
            &[
                Put(OUR_PROFILE, OTHER_AUTHORITY),
                Put(PEM, CERTIFICATE),
                Edit(TOML, "gitlab.com", "gitlab.example.com"),
                Edit(TOML, "  id = 1\n", "  id = 1\n  tls-ca-file = \"/srv/ca.pem\"\n"),
            ],
            "ca-overridden",
        ),
    ),
    with(
        OURS,
        note(
            "an address that is read at the start alone",
            &[Put(OUR_PROFILE, "summary = \"x\"\n[config.global]\nlisten_address = \":9252\"\n")],
            "config-restart",
        ),
    ),
];

const SERVICE: &str = "summary = \"x\"\n[service]\nstop_timeout = \"2h\"\n";
const DROP_IN: &str = "/etc/systemd/system/gitlab-runner.service.d/runner-prep.conf";

const AUTHORITY: &str = "summary = \"x\"\n[ca]\nfile = \"/root/ca.pem\"\n";
/// The profile itself names another file for the runners.
const OTHER_AUTHORITY: &str = "summary = \"x\"\n[ca]\nfile = \"/root/ca.pem\"\n[config]\nexecutors = [\"shell\", \"docker\"]\n\
                               tls-ca-file = \"/srv/ca.pem\"\n";
const PEM: &str = "/root/ca.pem";
const CERTIFICATE: &str = include_str!("../fixtures/authority.pem");
