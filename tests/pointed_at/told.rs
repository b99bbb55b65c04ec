//! What messages show of a file: no line that whoever called could not read, and no value that may be a secret.

use super::{PERSON, by_sudo, laid_out};
use crate::support::Host;

/// Texts that are wrong in one way each, with a secret where a value, a name or a word is.
const WRONG: &[&str] = &[
    "root:$6$CANARY:19000:0:99999:7:::\n",
    "CANARY\n",
    "CANARY = 1\n",
    "[CANARY]\n",
    "x = CANARY\n",
    "a = 'CANARY\n",
    "[git]\nCANARY = 1\n",
    "[git]\nname = [\"CANARY\"]\n",
    "[git]\nname = CANARY\n",
    "[git]\nemail = { \"CANARY\" = 1 }\n",
    "summary = [\"CANARY\"]\n",
    "extends = \"CANARY\"\n",
    "extends = [\"CANARY\"]\n",
    "[sudoers]\ncommands = \"CANARY\"\n",
    "[sudoers]\ncommands = [\"/usr/bin/x --password=CANARY\"]\n",
    "[sudoers]\ncommands = [\"CANARY\"]\n",
    "[sudoers.CANARY]\n",
    "[config]\nenvironment = \"API_KEY=CANARY\"\n",
    "[config]\nenvironment = [\"API_KEY=CANARY\", \"API_KEY=other\"]\n",
    "[config]\nenvironment = [\"CANARY\"]\n",
    "[config]\nexecutors = [\"CANARY\"]\n",
    "[config.docker]\nprivileged = \"CANARY\"\n",
    "[config.docker]\nvolumes = [\"/CANARY/a:/b\", \"/CANARY/c:/b\"]\n",
    "[account]\nname = \"CANARY\"\n",
    "[account]\nname = \"a b CANARY\"\n",
    "[ssh_key]\ntype = \"CANARY\"\n",
    "[known_hosts]\nhosts = [\"CANARY CANARY\"]\n",
    "[known_hosts]\nhosts = [{ host = \"a\", keys = \"CANARY\" }]\n",
    "[known_hosts]\nhosts = [{ host = \"a\", keys = [\"CANARY\"] }]\n",
    "[known_hosts]\nhosts = [{ host = \"a\", file = \"CANARY\" }]\n",
    "[known_hosts]\nhosts = [{ host = \"a\", fingerprint = \"CANARY\" }]\n",
    "[[deploy]]\nname = \"CANARY\"\ntarget = \"x\"\n",
    "[[deploy]]\nname = \"a\"\ntarget = \"CANARY\"\n",
];

/// Every command that reads a profile.
const COMMANDS: [&str; 5] = [
    "plan --profile",
    "plan --json --profile",
    "profile show",
    "profile show --json",
    "doctor --json --profile",
];

#[test]
fn a_person_learns_nothing_of_a_file_that_they_may_not_read() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    for (index, text) in WRONG.iter().enumerate() {
        let text = text.replace("CANARY", "Hunter2Secret");
        // Root's own file; a readable one where nobody gets in; a second name of root's file in the person's directory.
        put(&host, "/srv/site/x.toml", &text);
        host.sh(
            "chmod 0600 /srv/site/x.toml; mkdir -p -m 0700 /srv/shut; install -m 0644 /srv/site/x.toml /srv/shut/x.toml
             rm -f /srv/home.toml; mkdir -p /home/alice/d; chown alice: /home/alice/d; ln -f /srv/site/x.toml /home/alice/d/x.toml 2>/dev/null || cp -p /srv/site/x.toml /home/alice/d/x.toml",
        )
        .ok();
        let commands = if index == 0 { &COMMANDS[..] } else { &COMMANDS[1..2] };
        for command in commands {
            for path in ["/srv/site/x.toml", "/srv/shut/x.toml", "/home/alice/d/x.toml"] {
                let run = by_sudo(&host, PERSON, &format!("{command} {path}"));
                assert!(run.status != 0, "{text}\n{run}");
                assert!(!run.contains("Hunter2Secret"), "{text}\n{run}");
            }
        }
    }
    // Their own they are shown.
    host.as_account(PERSON, "printf '[git]\\nnmae = 1\\n' >~/x.toml; chmod 0600 ~/x.toml").ok();
    by_sudo(&host, PERSON, "plan --profile ./x.toml")
        .exit(2)
        .says("2 | nmae = 1")
        .says("did you mean `name`?");
}

#[test]
fn a_task_of_ansible_shows_no_value_of_its_arguments() {
    let Some(host) = laid_out() else { return };
    let host = host.start();
    let sections = [
        r#""git": {"name": ["CANARY"]}"#,
        r#""sudoers": {"commands": "CANARY"}"#,
        r#""sudoers": {"commands": ["CANARY"]}"#,
        r#""sudoers": {"commands": ["/usr/bin/x --password=CANARY"]}"#,
        r#""config": {"environment": "API_KEY=CANARY"}"#,
        r#""config": {"environment": ["PLAIN=CANARY", "PLAIN=other"]}"#,
        r#""config": {"environment": ["CANARY"]}"#,
        r#""config": {"executors": ["CANARY"]}"#,
        r#""config": {"docker": {"privileged": "CANARY"}}"#,
        r#""config": {"docker": {"volumes": ["/CANARY:/b", "/CANARY/c:/b"]}}"#,
        r#""account": {"name": "not a CANARY"}"#,
        r#""ssh_key": {"type": "CANARY"}"#,
        r#""known_hosts": {"hosts": [{"host": "a", "keys": ["CANARY"]}]}"#,
        r#""known_hosts": {"hosts": ["CANARY CANARY"]}"#,
        r#""deploy": [{"name": "a", "target": "CANARY"}]"#,
        r#""git": {"nmae": "CANARY"}"#,
    ];
    for section in sections {
        let text = format!("{{\"profile\": \"dind\", {section}}}").replace("CANARY", "Hunter2Secret");
        put(&host, "/srv/site/args", &text);
        let run = host.prep_command(
            host.command("bash").args(["-c", "exec -a runner_prep runner-prep /srv/site/args"]),
        );
        run.exit(1);
        assert_eq!(run.json()["failed"], true, "{run}");
        assert!(!run.contains("Hunter2Secret"), "{section}\n{run}");
    }
    // The names of keys it shows, and which was meant.
    put(&host, "/srv/site/args", r#"{"profile": "dind", "git": {"nmae": "x"}}"#);
    let run = host
        .prep_command(host.command("bash").args(["-c", "exec -a runner_prep runner-prep /srv/site/args"]));
    run.exit(1).says("unknown key `nmae`; did you mean `name`?");
}

fn put(host: &Host, path: &str, text: &str) {
    std::fs::write(host.path(path), text).unwrap();
}
