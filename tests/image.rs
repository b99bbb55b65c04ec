//! Images: the program works on a Debian tree that is not a host yet, and in the step of README.md for Packer. The tree
//! then starts as a host on which jobs find what they need. The Dockerfile of README.md is tried in `tests/dind`.

#![expect(clippy::disallowed_methods, reason = "the tests copy a tree, and look at what is in it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use support::image::{IMAGE, inside, with_image};
use support::{
    Fleet, Host, HostBuilder, differences, fixture, have, readme_block, run_within, source, stamps, tool,
};

/// A machine that builds images, and is a runner itself: everything that the program wants is there, and other.
fn builder() -> Option<HostBuilder> {
    if !have(&["strace", "sudo", "visudo", "useradd", "sshd", "ssh-keygen", "cp", "chroot"]) {
        return None;
    }
    Some(
        Host::or_skip()?
            .sshd()
            .account("gitlab-runner", 4242, "/home/gitlab-runner")
            .file("/home/gitlab-runner/.ssh/id_ed25519", "CANARY of the machine")
            .account("other", 999, "/home/other")
            .account("ops", 1100, "/home/ops")
            .file_mode("/etc/sudoers.d/gitlab-runner", "gitlab-runner ALL=(ALL) ALL\n", 0o440)
            .config_toml(fixture("config-docker-runner.toml")),
    )
}

/// What the machine is but for the tree.
fn outside(host: &Host) -> Vec<String> {
    let tops = ["etc", "home", "opt", "root", "run", "tmp", "usr/local/bin", "usr/local/sbin", "var"];
    tops.iter().flat_map(|top| stamps(host.path(top))).collect()
}

/// Demands of a trace that every file that was opened for writing, made, moved or removed lies in the tree, and that of
/// the machine's own accounts and policy nothing was read, but for what its own tools look up about their caller.
#[track_caller]
fn assert_in_tree(trace: &str) {
    let mut program_of = std::collections::HashMap::new();
    let mut seen = 0;
    for line in trace.lines() {
        let (pid, call) = line.trim_start().split_once(' ').unwrap();
        let call = call.trim_start();
        let Some((name, rest)) = call.split_once('(') else { continue };
        if rest.contains(" = -1 ") || call.starts_with("---") || call.starts_with("+++") {
            continue;
        }
        // Text in quotes is a path; `<…>` after a number is what that handle is open on.
        let quoted: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
        if name == "execve" {
            program_of.insert(pid.to_owned(), quoted[0].to_owned());
            continue;
        }
        let base =
            rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |found| found.0);
        let writes = !name.starts_with("open")
            || ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| rest.contains(flag));
        let paths: Vec<String> = quoted
            .iter()
            .map(|path| if path.starts_with('/') { (*path).to_owned() } else { format!("{base}/{path}") })
            .chain(quoted.is_empty().then(|| base.to_owned()))
            .collect();
        for path in paths {
            seen += 1;
            let harmless = path.starts_with(IMAGE) || path == "/dev/null" || path.starts_with("/proc/self/");
            assert!(harmless || !writes, "written outside of the tree: {line}");
            let secret =
                ["/etc/sudoers", "/etc/shadow", "/etc/gshadow", "/etc/gitlab-runner", "/home", "/root"];
            assert!(!secret.iter().any(|top| path.starts_with(top)), "read outside of the tree: {line}");
            let tool = program_of.get(pid).is_some_and(|program| program.starts_with("/usr/sbin/"));
            let accounts = ["/etc/passwd", "/etc/group"].contains(&path.as_str());
            assert!(!accounts || tool, "the machine's accounts: {line}");
        }
    }
    assert!(seen > 100, "the trace holds only {seen} paths");
}

#[test]
fn a_tree_is_prepared_and_starts_as_a_host_and_nothing_outside_is_touched() {
    let Some(host) = builder().and_then(with_image) else { return };
    let before = outside(&host);
    let calls = "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,\
        symlink,symlinkat,mknod,mknodat,truncate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,utimensat,execve,\
        setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr";
    let mut command = host.command("strace");
    command.args(["-f", "-y", "-s", "4096", "-o", "/srv/trace", "-e", &format!("trace={calls}"), "--"]);
    command.args(["/opt/under-test/runner-prep", "apply", "--root", IMAGE, "--profile", "shell"]);
    host.prep_command(&mut command).ok().says("shell: 7 changes made");
    assert_eq!(differences(&before, &outside(&host)), [""; 0]);
    assert_in_tree(&host.text("/srv/trace"));

    // The account is the tree's: neither the number nor the home of the machine's.
    let accounts = host.text("/srv/image/etc/passwd");
    assert!(accounts.contains("\ngitlab-runner:x:999:"), "{accounts}");
    host.sh("test \"$(stat -c %u:%a /srv/image/home/gitlab-runner/.ssh)\" = 999:700").ok();

    let tree = |host: &Host| ["etc", "home", "var"].map(|top| stamps(host.path(IMAGE).join(top))).concat();
    let prepared = tree(&host);
    let again = host.sh("runner-prep apply --root /srv/image --profile shell");
    again.ok().says("the host is as the profile wants it");
    host.sh("runner-prep check --root /srv/image --profile shell").ok();
    assert_eq!(differences(&prepared, &tree(&host)), [""; 0]);

    // It starts: the account logs in, is root for rsync and only for that, and its key opens a server.
    inside(&host, "visudo -c; su --login gitlab-runner -c 'sudo -n rsync --version; ! sudo -n true'").ok();
    host.sh("install -d -o ops -g ops -m 0700 /home/ops/.ssh
        install -o ops -g ops -m 0600 /srv/image/home/gitlab-runner/.ssh/id_ed25519.pub /home/ops/.ssh/authorized_keys
        usermod -p '*' ops
        ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
        echo \"127.0.0.1 $(cat /etc/ssh/ssh_host_ed25519_key.pub)\" >>/srv/image/etc/ssh/ssh_known_hosts
        printf 'HostKey /etc/ssh/ssh_host_ed25519_key\\nPidFile none\\nUsePAM no\\n' >/etc/ssh/sshd_image
        /usr/sbin/sshd -f /etc/ssh/sshd_image")
        .ok();
    let login = "su --login gitlab-runner -c 'ssh -o BatchMode=yes ops@127.0.0.1 id -un'";
    inside(&host, login).ok().says("ops");
}

#[test]
fn packer_prepares_a_host_as_readme_says() {
    if !have(&["packer"]) {
        return;
    }
    let Some(fleet) = Host::or_skip().and_then(|host| Fleet::or_skip(vec![host])) else { return };
    let host = &fleet.hosts()[0];
    // The part of README, in the build of somebody who has a machine already.
    let build = format!(
        "source \"null\" \"host\" {{
          communicator         = \"ssh\"
          ssh_host             = \"198.18.1.2\"
          ssh_username         = \"ops\"
          ssh_private_key_file = \"{}\"
        }}
        build {{
          sources = [\"source.null.host\"]
          {}
        }}\n",
        fleet.path("operator").display(),
        readme_block("image.pkr.hcl")
    );
    fleet.put("image.pkr.hcl", build);
    fleet.put("install.sh", std::fs::read(source().join("install.sh")).unwrap());
    std::fs::set_permissions(fleet.path("install.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    fleet.put_program("runner-prep");
    let mut packer = fleet.command(&tool("packer").unwrap());
    packer.args(["build", "-color=false", "image.pkr.hcl"]).env("CHECKPOINT_DISABLE", "1");
    run_within(Duration::from_secs(120), &mut packer).ok().says("shell: 3 changes made");

    // It holds what all hosts made of it share, and each gets a key of its own.
    host.sh("! find /home /root -name 'id_*' | grep .; ! ls /tmp/install.sh /tmp/runner-prep").ok();
    let first = host.sh("runner-prep apply --profile shell");
    first.ok().says("shell: 4 changes made").says("ssh_key").says("user.email");
    host.sh("su --login gitlab-runner -c 'sudo -n rsync --version; test -r .ssh/id_ed25519'").ok();
}
