//! What people are shown and told.

use std::path::Path;

use super::{ACCOUNT, KEY, ONLY_KEY, generated, home};
use crate::support::{Host, have};

#[test]
fn escape_sequences_of_a_comment_are_not_shown() {
    if !have(&["ssh-keygen"]) {
        return;
    }
    for comment in ["\u{1b}]0;title\u{7}\u{1b}[2J", "a\u{9b}31mb", "x\u{202e}y", "carriage\rreturn"] {
        let tree = home();
        generated(&tree, KEY, comment);
        tree.remove(&format!("{KEY}.pub"));
        let plan = ["plan", "--profile", "shell", "--only", "ssh_key"];
        for arguments in [
            &plan[..],
            &ONLY_KEY[..],
            &["key"],
            &["apply", "--profile", "shell", "--only", "ssh_key", "--json"],
        ] {
            let run = tree.run(arguments);
            let odd = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!run.stdout.contains(odd) && !run.stderr.contains(odd), "{comment:?}: {run:?}");
        }
    }
}

#[test]
fn escape_sequences_of_names_are_not_shown() {
    let tree = home();
    for name in ["\u{1b}[31mprofile", "./\u{1b}[31mprofile.toml", "a\nb"] {
        let run = tree.run(&["plan", "--profile", name]);
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!run.stdout.contains(odd) && !run.stderr.contains(odd), "{name:?}: {run:?}");
    }
    assert!(!Path::new("\u{1b}[31mprofile").exists());
}

/// What people are told to do, done as root by the letter while the account lies in wait, reaches nothing of root's.
#[test]
fn advice_that_is_followed_as_root_leads_nowhere() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "ssh-keygen", "su"])) else { return };
    let home = "/home/gitlab-runner";
    let host = host
        .account("gitlab-runner", ACCOUNT, home)
        .file_mode("/root/.gitconfig", "[user]\n", 0o600)
        .file_mode("/root/.ssh/id_rsa", "root's own", 0o600)
        .dir("/root/drop.d", 0o755)
        .start();
    let account = |script: &str| {
        host.as_account("gitlab-runner", &format!("cd {home}; {script}")).ok();
    };
    // The command in what a person is told after these words.
    let advice = |arguments: &[&str], before: &str, trap: &str| {
        let said = host.prep(&[arguments, &["--json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let told: Vec<String> = report["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["repair"].as_str().unwrap().to_owned())
            .collect();
        let line = told.iter().flat_map(|it| it.lines()).find_map(|line| line.split_once(before));
        let command = line.unwrap_or_else(|| panic!("{before}: {told:?}")).1.to_owned();
        account(trap);
        let done = host.sh(&command);
        let untouched = "test \"$(cat /root/.gitconfig)\" = '[user]' && test \"$(cat /root/.ssh/id_rsa)\" = \"root's own\"
            test -z \"$(ls /root/drop.d)\" && test $(stat -c %a%u /root/.ssh/id_rsa) = 6000 && test $(stat -c %u /root/.gitconfig) = 0";
        let after = host.sh(untouched);
        assert!(after.status == 0, "{command}\n{done}\n{after}");
        done
    };
    let git: &[&str] = &["apply", "--profile", "shell", "--only", "git"];
    let keys: &[&str] = &["apply", "--profile", "shell", "--only", "ssh_key"];

    host.prep(git).ok();
    account("printf '[core]\\npager = evil\\n' >>.gitconfig");
    advice(&["undo"], "move it away: ", "").ok();
    host.prep(&["undo"]).ok();
    account("rm -f .gitconfig*; printf '[core]\\npager = evil\\n' >.gitconfig");
    host.prep(git).ok();
    account("echo '#' >>.gitconfig");
    advice(&["undo"], "put it back by hand: ", "").ok();
    host.prep(&["undo"]).ok();
    host.prep(git).ok();
    account("echo '#' >>.gitconfig");
    advice(&["undo"], "put it back by hand: ", "rm .gitconfig; ln -s /root/drop.d .gitconfig");

    account("mkdir -m 0700 .ssh; echo evil >.ssh/id_rsa; ln -s /root/.ssh .ssh/id_rsa.old");
    advice(keys, "move it away: ", "").ok();
    account("echo evil >.ssh/id_rsa");
    advice(keys, "move it away: ", "mv .ssh real; ln -s /root/.ssh .ssh");
    account(
        "rm .ssh; mv real .ssh; rm .ssh/*; ssh-keygen -q -N '' -t ed25519 -f .ssh/id_ed25519; chmod 0644 .ssh/id_ed25519",
    );
    host.prep(keys).ok();
    advice(&["undo"], "if it must have it: ", "rm .ssh/id_ed25519; ln -s /root/.ssh/id_rsa .ssh/id_ed25519");
}

/// A host whose account is made and has its key, and that has a git file and an ssh file of the
/// system.
struct Told {
    host: Host,
}

const SELECT: [&str; 5] = ["--profile", "shell", "--only", "known_hosts,ssh_key,git", "--json"];

impl Told {
    fn or_skip() -> Option<Self> {
        let host = Host::or_skip()?;
        if !have(&["ssh", "ssh-keygen", "git"]) {
            return None;
        }
        let host = host.start();
        host.prep(&["apply", "--profile", "shell", "--only", "account,ssh_key", "--allow-pending"]).ok();
        host.sh("cp -a /etc/ssh /root/ssh; printf '[core]\n\tautocrlf = input\n' >/etc/gitconfig").ok();
        Some(Self { host })
    }

    /// Whether root is told to do something to `of_system`.
    fn tells(&self, of_system: &str) -> bool {
        let run = self.host.prep(&[&["plan"][..], &SELECT].concat());
        let document = run.json();
        let remarks =
            ["pending", "warnings"].map(|list| document[list].as_array().cloned().unwrap_or_default());
        let mut repairs = remarks.iter().flatten().filter_map(|remark| remark["repair"].as_str());
        repairs.any(|repair| repair.contains(of_system) && !repair.contains("sudo -u"))
    }

    /// Puts a file of the account into its home.
    fn put(&self, name: &str, mode: &str, text: &str) {
        let path = format!("/home/gitlab-runner/{name}");
        let install = format!("install -o gitlab-runner -g gitlab-runner -m {mode} /dev/stdin {path}");
        self.host.sh(&format!("{install} <<'END'\n{text}\nEND")).ok();
    }
}

const GIT: &str = "git config --file /etc/gitconfig";
const SSH: &str = "/etc/ssh/ssh_config";

/// ssh and git of the account start programs that it names, and those can say what ssh and git would say.
#[test]
fn what_a_program_of_the_account_says_moves_root_to_nothing() {
    let Some(scene) = Told::or_skip() else { return };
    let host = &scene.host;
    scene.put(
        ".ssh/config",
        "0600",
        "Match exec \"echo '/etc/ssh/ssh_config: line 1: Bad configuration option: x' >&2\"\nMisspelt yes",
    );
    assert!(!scene.tells(SSH), "ssh");
    host.sh("rm /home/gitlab-runner/.ssh/config; sed -i '1iMisspelt yes' /etc/ssh/ssh_config").ok();
    assert!(scene.tells(SSH), "ssh, by its own word");
    host.sh("cp -a /root/ssh/. /etc/ssh/").ok();
    scene.put("talk", "0755", "#!/bin/sh\necho 'fatal: bad core.autocrlf' >&2; kill -9 $PPID");
    scene.put(".gitconfig", "0644", "[core]\n\tfsmonitor = ~/talk");
    assert!(!scene.tells(GIT), "git");
    host.sh("rm /home/gitlab-runner/.gitconfig; printf '[core]\n\tautocrlf = perhaps\n' >/etc/gitconfig")
        .ok();
    assert!(scene.tells(GIT), "git, by its own word");
}

/// A push is rehearsed as well, and the program in place of ssh may say anything of it.
#[test]
fn what_is_said_in_place_of_ssh_moves_root_to_nothing() {
    let Some(scene) = Told::or_skip() else { return };
    let host = &scene.host;
    scene.put(".gitconfig", "0644", "[core]\n\tsshCommand = ~/talk");
    let ssh = "runner-prep-step:ssh\nuser git\nhostname evil.example\nport 22\nrunner-prep-step:called";
    for (of_system, said) in [
        ("[core]\n\tautocrlf = input", "fatal: bad core.autocrlf"),
        ("[protocol \"file\"]\n\tallow = never", "fatal: transport 'ssh' not allowed"),
        ("[url \"ssh://git@gitlab.com/\"]\n\tinsteadOf = git@gitlab.com:", "fatal: not allowed"),
        ("[url \"ssh://git@gitlab.com/\"]\n\tinsteadOf = git@gitlab.com:", ssh),
    ] {
        scene.put("talk", "0755", &format!("#!/bin/sh\nprintf '%s\\n' \"{said}\" >&2; kill -9 $PPID"));
        host.sh(&format!("printf '%s\n' '{of_system}' >/etc/gitconfig")).ok();
        assert!(!scene.tells("/etc/gitconfig"), "{said}");
    }
    host.sh("rm /home/gitlab-runner/.gitconfig").ok();
    for of_system in [
        "[protocol \"ssh\"]\n\tallow = never",
        "[url \"ssh://git@evil.example/\"]\n\tinsteadOf = git@gitlab.com:",
    ] {
        host.sh(&format!("printf '%s\n' '{of_system}' >/etc/gitconfig")).ok();
        assert!(scene.tells("/etc/gitconfig"), "git, by its own word: {of_system}");
    }
}

/// Where it is root that names a program of the account, it is not started by root.
#[test]
fn a_program_of_the_account_that_root_names_is_started_without_rights() {
    let Some(scene) = Told::or_skip() else { return };
    let host = &scene.host;
    host.sh("printf '[core]\n\tautocrlf = perhaps\n' >/etc/gitconfig").ok();
    let is_root = "[ $(id -u) != 0 ] || { mount -o remount,bind,rw /run; touch /run/was-root; }";
    scene.put(
        "talk",
        "0755",
        &format!(
            "#!/bin/sh\n{is_root}\ncat /root/open >/srv/out\necho 'fatal: bad core.fsmonitor' >&2; kill -9 $PPID"
        ),
    );
    // Nor with more rights than nobody has, and root's home is shut.
    host.sh("chmod 0700 /root; echo secret >/root/open; chmod 0644 /root/open; mkfifo -m 0666 /srv/out
        timeout 120 sh -c 'exec cat <>/srv/out' >/run/leak 2>/dev/null &")
        .ok();
    scene.put("test", "0755", &format!("#!/bin/sh\n{is_root}"));
    host.sh(&format!("{GIT} core.fsmonitor /home/gitlab-runner/talk; {GIT} core.autocrlf no")).ok();
    assert!(scene.tells(GIT), "git, which root has start it");
    let ssh = "printf 'Match exec /home/gitlab-runner/test\nMisspelt yes\n' >/etc/ssh/ssh_config";
    host.sh(&format!("rm /etc/gitconfig; {ssh}")).ok();
    assert!(scene.tells(SSH), "ssh, which root has start it");
    host.sh("test ! -e /run/was-root; test ! -s /run/leak; cp -a /root/ssh/. /etc/ssh/").ok();
    // What ssh can't read is opened to all where it is ssh that says so.
    host.sh("mkdir -p /etc/ssh/ssh_config.d; echo secret >/etc/ssh/ssh_config.d/note; chmod 0600 /etc/ssh/ssh_config.d/note").ok();
    for file in ["note", ".."] {
        let said = format!("Can't open user config file /etc/ssh/ssh_config.d/{file}: Permission denied");
        scene.put("test", "0755", &format!("#!/bin/sh\necho \"{said}\" >&2"));
        scene.put(".ssh/config", "0600", "Match exec ~/test\nMisspelt yes");
        host.sh("chmod 0700 /etc/ssh").ok();
        assert!(!scene.tells("chmod a+r"), "{file}");
        host.sh("chmod 0755 /etc/ssh").ok();
    }
}

/// What the account names is looked at with its rights, and what it lays is moved by nobody else.
#[test]
fn what_the_account_names_is_looked_at_with_its_rights() {
    let Some(scene) = Told::or_skip() else { return };
    let host = &scene.host;
    host.sh("cp -a /home/gitlab-runner/.ssh /root/dot-ssh; truncate -s 2M /srv/large").ok();
    for (name, config, command) in [
        ("a file of hosts", "Match exec \"rm -f ~/.ssh/config\"\nGlobalKnownHostsFile /tmp/evil", "sed"),
        ("a large file", "UserKnownHostsFile /srv/large", "mv"),
        ("a way through a file", "UserKnownHostsFile /etc/passwd/x", "mv"),
        ("a way up", "IdentityFile ~/../../root/.ssh/id_rsa", "give"),
        ("no key", "Match exec \"rm -f ~/.ssh/config\"\nIdentityFile none", "sed"),
    ] {
        scene.put(".ssh/config", "0600", config);
        let run = host.prep(&[&["apply", "--allow-pending"][..], &SELECT].concat());
        assert!(run.status == 0, "{name}: {run}");
        scene.put(".ssh/config", "0600", config);
        assert!(!scene.tells(command), "{name}");
        host.sh("cp -aT /root/dot-ssh /home/gitlab-runner/.ssh; rm -f /home/gitlab-runner/.ssh/config").ok();
    }
    let odd = "cd ~/.ssh; rm id*; ssh-keygen -q -t rsa -N '' -f 'k\\nProxyCommand x'";
    host.sh("echo 'IdentityFile ~/.ssh/id_ed25519' >>/etc/ssh/ssh_config").ok();
    host.as_account("gitlab-runner", odd).ok();
    let run = host.prep(&[&["plan"][..], &SELECT].concat());
    assert!(!run.contains("ProxyCommand"), "{run}");
}

/// A part of everybody's ssh configuration that leads through the home: what is told opens nothing of root's for others.
#[test]
fn what_the_account_chose_is_opened_for_nobody() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "ssh", "ssh-keygen", "su", "rsync"])) else {
        return;
    };
    let host = host
        .account("gitlab-runner", ACCOUNT, "/home/gitlab-runner")
        .file("/etc/ssh/ssh_config", "Include /etc/ssh/ssh_config.d/*.conf\n")
        .link("/etc/ssh/ssh_config.d/a.conf", "/home/gitlab-runner/part")
        .file_mode("/root/own", "# CANARY\n", 0o600)
        .link("/home/gitlab-runner/part", "/root/own")
        .start();
    let document = host.prep(&["plan", "--json", "--profile", "shell"]).ok().json();
    let pending = document["pending"].as_array().unwrap();
    assert!(pending.iter().any(|one| one["code"] == "ssh-config-refused"), "{document}");
    for one in pending {
        host.sh(one["repair"].as_str().unwrap());
    }
    host.sh("test $(stat -c %a /root/own) = 600; ! grep -rqs CANARY /etc /home").ok();
}
