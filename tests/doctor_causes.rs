//! One broken thing is one finding of `doctor`: the cause, with what follows from it in one line below.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod patients;
mod support;

use patients::{HOST_FAULTS, Patient, infect, tree, tree_faults};
use serde_json::Value;
use support::{Run, have, is_root, skip};

/// A fault of a tree, the problems that stand for themselves, and what follows from them: `CHECK CODE < CHECK CODE`.
const TREES: &[(&str, &[&str], &[&str])] = &[
    (
        "no home",
        &["home home-missing"],
        &["ssh-key home-missing < home home-missing", "git home-missing < home home-missing"],
    ),
    (
        "no account",
        &["account account-missing"],
        &[
            "ssh-key ssh-key-directory-missing < account account-missing",
            "ssh-key ssh-key-missing < account account-missing",
            "git git-identity < account account-missing",
            "service service-user-missing < account account-missing",
        ],
    ),
    (
        "no .ssh",
        &["ssh-key ssh-key-directory-missing"],
        &["ssh-key ssh-key-missing < ssh-key ssh-key-directory-missing"],
    ),
    (
        "no known_hosts",
        &["known-hosts host-key-missing"],
        &["server-host-key server-host-key < known-hosts host-key-missing"],
    ),
    ("other server", &["server-host-key server-host-key"], &[]),
    (
        "misspelt key",
        &["config-keys config-key-unknown"],
        &["config config-privileged < config-keys config-key-unknown"],
    ),
    ("neither privileged nor certificates", &["config config-privileged", "config config-volumes"], &[]),
    ("volumes is a string", &["config-keys config-type"], &["config config-shape < config-keys config-type"]),
    (
        "tls_verify on the local socket",
        &["config config-tls-verify"],
        &["config-docker tls-verify-local < config config-tls-verify"],
    ),
    (
        "two entries with a token that is rotated",
        &["config-tokens runner-twice"],
        &["config-tokens token-shared < config-tokens runner-twice"],
    ),
    (
        "no runners",
        &["config runner-not-registered"],
        &["config-runners no-runner < config runner-not-registered"],
    ),
    (
        "config.toml writable",
        &["config-file config-untrusted"],
        &["config-file config-mode < config-file config-untrusted"],
    ),
];

/// The same for hosts: a script, or the name of a fault.
const HOSTS: &[(&str, &[&str], &[&str])] = &[
    (
        "chmod 0666 /etc/sudoers.d/gitlab-runner",
        &["sudoers sudoers-mode"],
        &["sudo-policy policy-broken < sudoers sudoers-mode"],
    ),
    (
        "mv /home/gitlab-runner /home/gone",
        &["home home-missing"],
        &["ssh-key home-missing < home home-missing", "git home-missing < home home-missing"],
    ),
    (
        "rm /etc/sudoers.d/gitlab-runner; echo 'Defaults x =' > /etc/sudoers.d/zz; chmod 0440 /etc/sudoers.d/zz",
        &["sudoers policy-broken"],
        &["sudo-policy policy-broken < sudoers policy-broken"],
    ),
    (
        "cd /home/gitlab-runner; rm -r .ssh; touch .ssh; chown gitlab-runner: .ssh",
        &["ssh-key ssh-directory"],
        &[
            "known-hosts path-unusable < ssh-key ssh-directory",
            "key-strength path-unusable < ssh-key ssh-directory",
        ],
    ),
    (
        "printf '\\nDefaults requiretty\\n' >> /etc/sudoers",
        &["sudoers sudo-requiretty"],
        &["sudo-rights could-not-look < sudoers sudo-requiretty"],
    ),
    (
        "Docker daemon down",
        &["docker-daemon docker-daemon-down"],
        &["docker-storage docker-daemon-down < docker-daemon docker-daemon-down"],
    ),
    (
        "gitlab-runner is stopped",
        &["process runner-not-running"],
        &["config-loaded runner-not-running < process runner-not-running"],
    ),
    ("home of root", &["home home-owner"], &["account home-unusable < home home-owner"]),
    (
        "another name for the server",
        &["known-hosts host-name-elsewhere"],
        &["server-host-key server-host-key < known-hosts host-name-elsewhere"],
    ),
];

/// What the tree's own machine lacks, whatever else is wrong.
const OF_TREE: &str = "docker-not-found";

fn name(value: &Value) -> String {
    format!("{} {}", value["check"].as_str().unwrap(), value["code"].as_str().unwrap())
}

/// Holds a document and the report for people against what is expected.
fn judge(what: &str, json: &Run, text: &Run, causes: &[&str], consequences: &[&str]) -> Option<String> {
    let document = json.json();
    let all = document["findings"].as_array().unwrap();
    let is_bad = |finding: &&Value| finding["status"] == "problem" && finding["code"] != OF_TREE;
    let (mut roots, mut follow) = (Vec::new(), Vec::new());
    for finding in all.iter().filter(|finding| finding["code"] != "ok") {
        if finding["because_of"].is_null() {
            roots.extend(Some(finding).filter(is_bad).map(name));
            continue;
        }
        follow.push(format!("{} < {}", name(finding), name(&finding["because_of"])));
        // The repair is that of the cause.
        let cause = all.iter().find(|one| name(one) == name(&finding["because_of"])).unwrap();
        assert_eq!(finding["repair"], cause["repair"], "{finding}");
    }
    // A cause may be worth knowing only, and what follows from it a problem.
    let known = follow.iter().any(|line| line.ends_with("runner-twice"));
    if known {
        roots.push("config-tokens runner-twice".to_owned());
    }
    follow.sort();
    follow.dedup();
    let mut expected: Vec<&str> = consequences.to_vec();
    expected.sort_unstable();
    let flat = text.stdout.replace("\n    ", " ").replace("\n  ", " ");
    let is_told = |line: &&&str| {
        let (finding, cause) = line.split_once(" < ").unwrap();
        let shown = |name: &str| {
            name.split_once(' ').map(|(check, code)| (check.to_owned(), format!("[{code}]"))).unwrap()
        };
        let (check, code) = shown(finding);
        let at = flat.find(&shown(cause).1).unwrap_or(flat.len());
        flat[at..].contains(&format!("{check} {code}"))
    };
    let untold: Vec<_> = expected.iter().filter(|line| !is_told(line)).collect();
    let marks = text.stdout.lines().filter(|line| line.starts_with('✗') && !line.contains(OF_TREE)).count();
    let is_right = roots == causes && follow == expected && untold.is_empty() && marks == causes.len();
    (!is_right).then(|| format!("{what}: {roots:?}, {follow:?}, not told: {untold:?}, {marks} marks\n{text}"))
}

#[test]
fn one_broken_thing_of_a_tree_is_one_finding() {
    let mut wrong = Vec::new();
    for (what, causes, consequences) in TREES {
        let fault = tree_faults().find(|fault| fault.name == *what).unwrap();
        let tree = tree();
        infect(&tree, fault);
        let json = tree.run(&[&["doctor", "--json"], fault.args].concat());
        let text = tree.run(&[&["doctor"], fault.args].concat());
        wrong.extend(judge(what, &json, &text, causes, consequences));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_broken_thing_of_a_host_is_one_finding() {
    if !is_root() {
        return skip("a throwaway host needs root");
    }
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync"]) {
        return;
    }
    let mut wrong = Vec::new();
    for (what, causes, consequences) in HOSTS {
        let fault = HOST_FAULTS.iter().find(|fault| fault.name == *what);
        let Some(Patient { host }) = Patient::admit(fault) else { return };
        if fault.is_none() {
            host.sh(what).ok();
        }
        let json = host.prep(&["doctor", "--profile", "dind", "--json"]);
        let text = host.prep(&["doctor", "--profile", "dind"]);
        wrong.extend(judge(what, &json, &text, causes, consequences));
        // So it is one error of a plan.
        let plan = host.prep(&["plan", "--profile", "dind", "--json"]);
        let told = plan.json()["warnings"].as_array().unwrap().len();
        if plan.status == 2 && told != causes.len() {
            wrong.push(format!("{what}: {told} errors\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
