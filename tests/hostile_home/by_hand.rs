//! What root is told to do, carried out by the letter where the account has its hand in.

use super::ACCOUNT;
use crate::support::{Host, Run, have, skipped};

/// Every repair that was told, in lines.
fn repairs(run: &Run) -> Vec<String> {
    let document = run.json();
    let lists = ["warnings", "pending", "findings"].map(|list| document[list].as_array().cloned());
    let told = lists.into_iter().flatten().flatten();
    told.flat_map(|one| one["repair"].as_str().unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Programs that the account names run with its rights, and not at root's terminal: there they could type.
#[test]
fn no_program_of_the_account_types_into_roots_terminal() {
    let needed = ["sudo", "su", "ssh", "git", "perl", "script", "setsid"];
    let Some(host) = Host::or_skip().filter(|_| have(&needed)) else { return };
    if std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|text| text.trim() == "0") {
        skipped("this kernel lets nobody type into a terminal");
        return;
    }
    let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").start();
    // As sudo of Debian 11 and of RHEL 9 comes.
    host.sh("sed -i /use_pty/d /etc/sudoers").ok();
    let program = r#"#!/usr/bin/perl
open(T, "+<", "/dev/tty") or exit 1;
ioctl(T, 0x5412, $_) for split //, "typed\n"; sleep 1; exit 1
"#;
    host.sh(&format!(
        "cd /home/gitlab-runner; printf '#!/bin/sh\\necho fatal: odd >&2; kill -9 $PPID\\n' >odd
         cat >type <<'END'\n{program}END\nchmod 0755 type odd"
    ))
    .ok();
    let ssh = "printf 'Match exec ~/type\\nHost *\\n\\tProxyCommand ~/type\\n' >.ssh/config; chmod 0600 .ssh/config";
    // More settings than are tried one by one.
    let git = "{ printf '[core]\\n\\tpager = ~/type\\n\\tfsmonitor = ~/odd\\n[a]\\n'; seq -f 'b%.0f=c' 20; } >.gitconfig";
    let login = "printf '~/type\\nexport GIT_SSH_COMMAND=x\\n' >.bash_profile";
    for (prepare, only, mark) in [
        (ssh, "known_hosts", "ssh -G"),
        (git, "git", "config --list"),
        (login, "ssh_key", "env"),
        (ssh, "account,ssh_key", "ssh -T"),
    ] {
        host.as_account(
            "gitlab-runner",
            &format!("cd; rm -rf .ssh .gitconfig .bash_profile; mkdir -m 0700 .ssh; {prepare}"),
        )
        .ok();
        let (command, option) =
            if mark == "ssh -T" { ("apply", "--allow-pending") } else { ("plan", "--json") };
        let run = host.prep(&[command, "--profile", "shell", "--only", only, option]);
        let said = if option == "--json" {
            repairs(&run)
        } else {
            run.stdout.lines().map(|line| line.trim().to_owned()).collect()
        };
        let line = said.iter().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark}: {run}"));
        let at = ["sudo ", "su "].iter().filter_map(|start| line.find(start)).min().unwrap();
        // Root's shell reads the next line from the terminal.
        let by_hand = format!("{}\nread -t 1 -r line && echo \"$line\" >/root/read", &line[at..]);
        host.sh(&format!(
            "rm -f /root/read; cat >/root/by-hand <<'END'\n{by_hand}\nEND\nsleep 6 | script -qec 'bash /root/by-hand' /dev/null || true"
        ))
        .ok();
        host.sh("test ! -e /root/read").ok();
    }
}

/// A home lies where the account can lay links; what is told of it gives nothing of root's away.
#[test]
fn a_home_is_given_through_no_link() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo"])) else { return };
    let home = "/srv/ci/gitlab-runner";
    let host = host
        .account("gitlab-runner", ACCOUNT, home)
        .own("/srv/ci", ACCOUNT, ACCOUNT)
        .dir("/srv/root", 0o755)
        .start();
    let account =
        |script: &str| host.as_account("gitlab-runner", &format!("cd /srv/ci; {script}")).ok().status;
    let link = "mv gitlab-runner real; ln -s /srv/root gitlab-runner";
    for (before, meanwhile) in [
        (link, "true"),
        ("mv gitlab-runner real", "ln -s /srv/root gitlab-runner"),
        ("chmod 0777 gitlab-runner", link),
    ] {
        account(before);
        let run = host.prep(&["doctor", "--profile", "shell", "--json"]);
        account(meanwhile);
        let told = repairs(&run);
        let of_home = told.iter().filter(|line| line.contains(home) && !line.contains("--working-directory"));
        for line in of_home.filter_map(|line| {
            Some(
                &line[["mkdir ", "chown ", "sudo ", "install ", "chmod "]
                    .iter()
                    .filter_map(|word| line.find(word))
                    .min()?..],
            )
        }) {
            host.sh(&format!("{line} || true"));
        }
        host.sh("test $(stat -c %u%a /srv/root) = 0755").ok();
        host.sh("cd /srv/ci; rm -rf gitlab-runner; mv real gitlab-runner; chmod 0755 gitlab-runner; chown -R gitlab-runner: .").ok();
    }
}

/// A directory is closed before what lies in it is given to root, and a link that was laid meanwhile is not followed.
#[test]
fn what_is_closed_is_closed_from_the_top_down() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "visudo"])) else { return };
    let profile = "[account]\nname = \"gitlab-runner\"\n[sudoers]\ncommands = [\"/srv/ci/tool\"]\n";
    let host = host
        .account("gitlab-runner", ACCOUNT, "/home/gitlab-runner")
        .file("/root/tool.toml", profile)
        .file_mode("/srv/ci/tool", "#!/bin/sh\n", 0o755)
        .file("/srv/other", "somebody's")
        .own("/srv/other", 4321, 4321)
        .own("/srv/ci/tool", ACCOUNT, ACCOUNT)
        .own("/srv/ci", ACCOUNT, ACCOUNT)
        .start();
    let run = host.prep(&["plan", "--profile", "/root/tool.toml", "--json"]);
    let told = repairs(run.exit(2)).concat();
    let commands: Vec<&str> = told.split("; ").map(|part| part.rsplit(": ").next().unwrap()).collect();
    assert!(commands.len() == 2 && commands[0].ends_with("/srv/ci"), "{commands:?}");
    host.as_account("gitlab-runner", "cd /srv/ci; mv tool real; ln -s /srv/other tool").ok();
    for command in commands {
        host.sh(command).ok();
    }
    host.sh("test $(stat -c %u /srv/other) = 4321; test $(stat -c %u /srv/ci) = 0").ok();
}

/// Repairs of one file are told together, and carried out one after the other.
#[test]
fn a_repair_moves_no_line_that_another_one_names() {
    let Some(host) = Host::or_skip().filter(|_| have(&["git", "ssh", "sudo"])) else { return };
    let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").start();
    let lines = "[url \"https://one/\"]\ninsteadOf = git@one\n[url \"https://two/\"]\ninsteadOf = git@two\n\
        insteadOf = git@three\n[user]\nname = x\nemail = x\n";
    host.as_account("gitlab-runner", &format!("cd; printf '{lines}' >.gitconfig")).ok();
    let run = host.prep(&["plan", "--profile", "shell", "--only", "git", "--json"]);
    let told: Vec<_> = repairs(&run).into_iter().filter(|line| line.contains(".gitconfig")).collect();
    assert_eq!(told.len(), 3, "{run}");
    for line in told {
        host.sh(&line[line.find("sudo ").unwrap()..]).ok();
    }
    host.prep(&["plan", "--profile", "shell", "--only", "git"]).ok().says_not("git-url-rewritten");
    host.as_account("gitlab-runner", "git config user.name").ok();
}
