//! Files: every way to put another one where root looks, for everything that takes the path of a file.

use super::{ACCOUNT, PERSON, Run, by_sudo, laid_out, rules};
use crate::support::Host;

/// What the account wants root to do.
const RULE: &str = "[sudoers]\ncommands = [\"/usr/bin/rsync\"]\n";

/// A way to lay a file out: a script that finds its content in `$FILE`, as root; and the path that root is given then.
struct Attack {
    name: &'static str,
    script: &'static str,
    path: &'static str,
    /// What the refusal says.
    says: &'static str,
    /// Whether the directory or a link is to blame, and not the file itself.
    way: bool,
}

const fn attack(
    name: &'static str,
    script: &'static str,
    path: &'static str,
    says: &'static str,
    way: bool,
) -> Attack {
    Attack { name, script, path, says, way }
}

/// `jobs` runs a command as the account.
const ATTACKS: &[Attack] = &[
    attack(
        "a link to what was deployed",
        "cp $FILE /srv/www/app/evil.toml; jobs 'ln -s /srv/www/app/evil.toml ~/x.toml'",
        "/home/gitlab-runner/x.toml",
        "/home/gitlab-runner belongs to uid 2001",
        true,
    ),
    attack(
        "a link in the middle",
        "cp $FILE /srv/www/app/evil.toml; jobs 'ln -s /srv/www/app ~/d'",
        "/home/gitlab-runner/d/evil.toml",
        "/home/gitlab-runner belongs to uid 2001",
        true,
    ),
    attack(
        "a link in /tmp",
        "cp $FILE /srv/www/app/evil.toml; jobs 'ln -s /srv/www/app/evil.toml /tmp/x.toml'",
        "/tmp/x.toml",
        "/tmp/x.toml is a link",
        true,
    ),
    attack(
        "a link of the account's in a directory of root's",
        "cp $FILE /srv/www/app/evil.toml; ln -s /srv/www/app/evil.toml /srv/site/x.toml; chown -h gitlab-runner: /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site/x.toml is a link",
        true,
    ),
    attack(
        "a directory of the account's in /tmp",
        "jobs 'mkdir /tmp/d'; cp $FILE /tmp/d/x.toml",
        "/tmp/d/x.toml",
        "/tmp/d belongs to uid 2001",
        true,
    ),
    attack(
        "root's file in the home",
        "cp $FILE /home/gitlab-runner/x.toml",
        "/home/gitlab-runner/x.toml",
        "/home/gitlab-runner belongs to uid 2001",
        true,
    ),
    attack(
        "a directory that the account's group can write",
        "chgrp gitlab-runner /srv/site; chmod 0775 /srv/site; cp $FILE /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site has mode 0775",
        true,
    ),
    attack(
        "a directory that an ACL opens",
        "chmod 0775 /srv/site; cp $FILE /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site has mode 0775",
        true,
    ),
    attack(
        "a directory that everybody can write",
        "mkdir -p /srv/site/a/b; chmod 0777 /srv/site/a; cp $FILE /srv/site/a/b/x.toml",
        "/srv/site/a/b/x.toml",
        "/srv/site/a has mode 0777",
        true,
    ),
    attack(
        "the account's file",
        "cp $FILE /srv/site/x.toml; chown gitlab-runner: /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site/x.toml belongs to uid 2001",
        false,
    ),
    attack(
        "the account's file in /tmp",
        "cp $FILE /tmp/x.toml; chown gitlab-runner: /tmp/x.toml",
        "/tmp/x.toml",
        "/tmp/x.toml belongs to uid 2001",
        false,
    ),
    attack(
        "a file that a group can write",
        "cp $FILE /srv/site/x.toml; chmod 0664 /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site/x.toml has mode 0664",
        false,
    ),
    // Where `fs.protected_hardlinks` is 0, the account makes such names itself.
    attack(
        "a second name in /tmp for a file of root's",
        "cp $FILE /srv/site/other; ln /srv/site/other /tmp/x.toml 2>/dev/null || { cp $FILE /tmp/other; ln /tmp/other /tmp/x.toml; }",
        "/tmp/x.toml",
        "/tmp/x.toml has 2 names",
        false,
    ),
    attack(
        "a link of root's",
        "cp $FILE /srv/www/app/evil.toml; ln -s ../www/app/evil.toml /srv/site/x.toml",
        "/srv/site/x.toml",
        "/srv/site/x.toml is a link, and root follows none",
        true,
    ),
    attack(
        "the kernel's link to the directory",
        "cp $FILE /home/gitlab-runner/x.toml",
        "/proc/self/cwd/x.toml",
        "is a link",
        true,
    ),
    attack(
        "a path from a hostile directory",
        "cp $FILE /home/gitlab-runner/x.toml",
        "./x.toml",
        "/home/gitlab-runner belongs to uid 2001",
        true,
    ),
];

/// Something that takes the path of a file: what has to be in the file, and how root gives the path.
struct Entry {
    name: &'static str,
    content: &'static str,
    command: &'static str,
    code: &'static str,
}

const ENTRIES: &[Entry] = &[
    Entry {
        name: "--profile",
        content: RULE,
        command: "runner-prep apply --json --profile \"$1\"",
        code: "profile-untrusted",
    },
    Entry {
        name: "profile show",
        content: RULE,
        command: "runner-prep profile show --json \"$1\"",
        code: "profile-untrusted",
    },
    Entry {
        name: "doctor",
        content: RULE,
        command: "runner-prep doctor --json --profile \"$1\"",
        code: "profile-untrusted",
    },
    Entry {
        name: "extends",
        content: RULE,
        command: "printf 'extends = [\"%s\"]\\n' \"$1\" >/root/outer.toml; runner-prep apply --json --profile /root/outer.toml",
        code: "profile-untrusted",
    },
    Entry {
        name: "host keys",
        content: "git.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf\n",
        command: "p=$(realpath -s \"$1\"); printf '[known_hosts]\\nhosts = [{ host = \"git.example\", file = \"%s\" }]\\n' \"$p\" >/root/keys.toml; \
                  runner-prep apply --json --profile /root/keys.toml",
        code: "file-untrusted",
    },
    Entry {
        name: "Ansible's arguments",
        content: "{\"profile\": \"shell\", \"sudoers\": {\"commands\": [\"/usr/bin/rsync\"]}}",
        command: "bash -c 'exec -a runner_prep runner-prep \"$1\"' bash \"$1\"",
        code: "file-untrusted",
    },
];

/// Lays the attack out, where nothing of another one is left, and gives root the path, from the account's home.
fn attacked(host: &Host, attack: &Attack, entry: &Entry) -> Run {
    std::fs::write(host.path("/srv/content"), entry.content).unwrap();
    host.sh(&format!(
        "rm -rf /tmp/* /home/gitlab-runner/* /srv/www/app/* /srv/site /etc/runner-prep; mkdir -m 0755 /srv/site
         jobs() {{ su gitlab-runner -s /bin/sh -c \"$1\"; }}; FILE=/srv/content; {}",
        attack.script
    ))
    .ok();
    let script = format!("cd /home/gitlab-runner; set -- '{}'; {}", attack.path, entry.command);
    host.prep_command(host.command("/bin/sh").args(["-euc", &script]))
}

#[test]
fn no_file_of_others_is_taken_for_roots_own() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    for entry in ENTRIES {
        for attack in ATTACKS {
            let name = format!("{}, {}", entry.name, attack.name);
            let run = attacked(&host, attack, entry);
            assert!(run.status != 0, "{name}: taken\n{run}");
            assert!(!rules(&host), "{name}: the account has its rule\n{run}");
            let document = run.json();
            let code = document["code"].as_str().or(document["warnings"][0]["code"].as_str());
            assert_eq!(code, Some(entry.code), "{name}\n{run}");
            assert!(run.contains(attack.says), "{name}: nothing says `{}`\n{run}", attack.says);
            assert!(!run.contains("chown"), "{name}: root gives itself what others made\n{run}");
        }
    }
}

#[test]
fn the_repair_makes_a_copy_that_works_and_is_roots_alone() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    let is_plain = |attack: &&Attack| attack.path.starts_with('/') && !attack.path.starts_with("/proc");
    for attack in ATTACKS.iter().filter(is_plain) {
        let run = attacked(&host, attack, &ENTRIES[0]);
        let repair = run.json()["warnings"][0]["repair"].as_str().unwrap().to_owned();
        if let Some((_, path)) = repair.split_once("without the link: ") {
            host.prep(&["plan", "--profile", path]).ok();
            continue;
        }
        let (_, command) = repair.split_once(": ").unwrap();
        let done = host.sh(command);
        assert!(done.status == 0 && done.stdout == RULE, "{}: {repair}\n{done}", attack.name);
        let path = command.rsplit(' ').next().unwrap();
        assert_eq!(attack.way || path.starts_with("/etc"), path.starts_with("/etc/runner-prep/"), "{repair}");
        host.prep(&["plan", "--profile", path]).ok();
        assert_eq!(host.sh(&format!("stat -c '%a %u:%g %h' {path}")).stdout, "644 0:0 1\n");
    }
}

#[test]
fn local_profiles_and_their_directories_are_roots_alone() {
    for (script, says) in [
        ("chown gitlab-runner: /etc/runner-prep", "/etc/runner-prep belongs to uid 2001"),
        ("chmod 0777 /etc/runner-prep/profiles", "/etc/runner-prep/profiles has mode 0777"),
        ("chown gitlab-runner: /etc/runner-prep/profiles/site.toml", "site.toml belongs to uid 2001"),
        (
            "mv /etc/runner-prep/profiles/site.toml /srv/x.toml; ln -s /srv/x.toml /etc/runner-prep/profiles/site.toml",
            "site.toml is a link",
        ),
        ("mv /etc/runner-prep /srv/rp; ln -s /srv/rp /etc/runner-prep", "/etc/runner-prep is a link"),
    ] {
        let Some(host) = laid_out() else { return };
        let host = host.file("/etc/runner-prep/profiles/site.toml", RULE).start();
        host.sh(script).ok();
        let run = host.prep(&["apply", "--profile", "site", "--json"]);
        run.exit(2).says(says);
        assert!(!rules(&host), "{script}\n{run}");
        let repair = run.json()["warnings"][0]["repair"].as_str().unwrap().to_owned();
        let profile = if let Some((_, path)) = repair.split_once("without the link: ") {
            path
        } else {
            host.sh(repair.split_once(": ").unwrap().1).ok().says("commands");
            "site"
        };
        host.prep(&["apply", "--profile", profile]).ok();
        assert!(rules(&host), "{repair}");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    host.sh("mkfifo /srv/site/pipe.toml; mkdir /srv/site/dir.toml; truncate -s 1T /srv/site/huge.toml").ok();
    for (path, says) in [
        ("/srv/site/pipe.toml", "is a FIFO"),
        ("/srv/site/dir.toml", "is a directory"),
        ("/srv/site/huge.toml", "is larger than"),
        ("/dev/stdin", "must"),
    ] {
        let run = host.prep(&["apply", "--profile", path]);
        run.exit(2);
        if path != "/dev/stdin" {
            run.says(says);
        }
    }
    let run = host.prep_command(
        host.command("bash").args(["-c", "exec -a runner_prep runner-prep /dev/stdin </etc/shadow"]),
    );
    run.exit(1).says("/dev/stdin is a link");
}

#[test]
fn the_file_of_config_is_found_by_a_way_of_roots() {
    let config = "concurrent = 1\n[[runners]]\n  name = \"d\"\n  executor = \"docker\"\n  [runners.docker]\n    image = \"a\"\n";
    for (script, path, refused) in [
        ("mkdir -p /srv/c; cp $FILE /srv/c/config.toml", "/srv/c/config.toml", false),
        // A link of root's to root's file is resolved, as gitlab-runner does.
        (
            "mkdir -p /srv/c; cp $FILE /srv/c/real; ln -s ../c/real /srv/c/config.toml",
            "/srv/c/config.toml",
            false,
        ),
        (
            "cp $FILE /srv/c; su gitlab-runner -s /bin/sh -c 'ln -s /srv/c ~/config.toml'",
            "/home/gitlab-runner/config.toml",
            true,
        ),
        (
            "cp $FILE /srv/c; su gitlab-runner -s /bin/sh -c 'ln -s /srv/c ~/c'; ln -s /home/gitlab-runner/c /srv/site/config.toml",
            "/srv/site/config.toml",
            true,
        ),
        ("mkdir /srv/c; chmod 0777 /srv/c; cp $FILE /srv/c/config.toml", "/srv/c/config.toml", true),
        (
            "cp $FILE /srv/c; su gitlab-runner -s /bin/sh -c 'ln -s /srv/c /tmp/config.toml'",
            "/tmp/config.toml",
            true,
        ),
    ] {
        let Some(host) = laid_out() else { return };
        let host = host.file_mode("/srv/content", config, 0o600).start();
        host.sh(&format!("FILE=/srv/content; {script}")).ok();
        for command in ["plan", "apply"] {
            let run =
                host.prep(&[command, "--profile", "dind", "--only", "config", "--config", path, "--json"]);
            if refused {
                assert_eq!(run.json()["warnings"][0]["code"], "config-untrusted", "{script}\n{run}");
                run.exit(2);
            } else {
                run.ok();
            }
        }
        let text = host.sh("cat /srv/content /srv/c/real /srv/c /srv/c/config.toml 2>/dev/null || true");
        assert_eq!(text.contains("privileged"), !refused, "{script}\n{text}");
    }
}

#[test]
fn a_person_is_pointed_at_their_own_files_and_the_account_never() {
    let Some(host) = laid_out() else { return };
    let host = host
        .file_mode(
            "/etc/sudoers.d/jobs",
            "gitlab-runner ALL=(root) NOPASSWD: /opt/under-test/runner-prep\n",
            0o440,
        )
        .start();
    for account in [PERSON, ACCOUNT] {
        host.as_account(account, &format!("cat >~/site.toml <<'E'\n{RULE}\nE\n")).ok();
    }
    let run = by_sudo(&host, ACCOUNT, "apply --profile ./site.toml");
    run.exit(2).says("/home/gitlab-runner belongs to uid 2001");
    assert!(!rules(&host), "{run}");
    // Nor by a variable of its own: sudo sets it anew.
    let run = host.as_account(
        ACCOUNT,
        "cd; SUDO_UID=3001 sudo -n /opt/under-test/runner-prep plan --profile /home/alice/site.toml",
    );
    run.exit(2).says("/home/alice belongs to uid 3001");
    // Root without sudo has no caller.
    host.prep(&["plan", "--profile", "/home/alice/site.toml"])
        .exit(2)
        .says("/home/alice belongs to uid 3001");
    by_sudo(&host, PERSON, "plan --profile ./site.toml").ok();
    // Of a person, too, nobody else may be able to change it.
    host.as_account(PERSON, "mkdir -m 0777 ~/open; cp ~/site.toml ~/open").ok();
    by_sudo(&host, PERSON, "plan --profile ./open/site.toml").exit(2).says("/home/alice/open has mode 0777");
    by_sudo(&host, PERSON, "apply --profile ./site.toml").ok();
    assert!(rules(&host));
}

#[test]
fn an_ordinary_user_reads_what_they_may_read() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    host.as_account(
        PERSON,
        &format!("cat >~/real.toml <<'E'\n{RULE}\nE\nln -s real.toml ~/link.toml; chmod 0664 ~/real.toml"),
    )
    .ok();
    for path in ["./real.toml", "./link.toml"] {
        let run = host.as_account(PERSON, &format!("cd; /opt/under-test/runner-prep profile show {path}"));
        run.ok().says("/usr/bin/rsync");
    }
    host.as_account(PERSON, "/opt/under-test/runner-prep profile show /tmp/../root/x.toml").exit(2);
}
