//! `doctor`: a host that lacks nothing has no problem, and whatever is wrong is found.

mod patients;
mod support;

use std::collections::BTreeSet;

use patients::{
    Fault, HOST_FAULTS, Patient, TO_LIST, codes, findings, has, infect, listed, text, tree, tree_faults,
};
use support::judge::{Cases, have_judge, judge};
use support::{Run, Tree, assert_unchanged, fixture, have, is_root, skip};

/// Codes of the resources that no test can bring about: what a kernel without Landlock would show.
const UNPROVEN: [&str; 1] = ["deploy-without-landlock"];

/// Checks that look at the machine's kernel, which no test can make good or bad.
const KERNEL: [&str; 2] = ["kernel", "cgroup"];

fn doctor(tree: &Tree) -> Run {
    tree.run(&["doctor", "--profile", "dind", "--json"])
}

/// Demands that the documents of all trees meet the schema.
fn held_to_the_schema(documents: &Cases) {
    if have_judge() {
        judge(&["doctor"], documents);
    }
}

fn sick(fault: &Fault) -> Tree {
    let tree = tree();
    infect(&tree, fault);
    tree
}

/// Demands that of the server's host keys nothing is claimed.
fn has_unknown_host_keys(tree: &Tree) {
    let run = doctor(tree);
    let found = findings(&run);
    let found: Vec<_> = found.iter().filter(|one| text(one, "check") == "server-host-key").collect();
    assert!(found.len() == 1 && text(found[0], "status") == "unknown", "{found:?}");
}

#[test]
fn host_keys_that_nobody_looked_for_are_not_called_known() {
    let mut faults = tree_faults();
    let tree = sick(faults.find(|fault| fault.name == "a configuration that only ssh reads").unwrap());
    has_unknown_host_keys(&tree);
}

/// ssh waits for what comes out of it: nobody knows what it says.
#[test]
fn a_pipe_for_everybodys_configuration_of_ssh_is_no_empty_file() {
    let tree = tree().dir("/etc/ssh/ssh_config.d", 0o755);
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&tree.path("/etc/ssh/ssh_config.d/pipe.conf"), mode).unwrap();
    has_unknown_host_keys(&tree);
}

/// Whoever could write a program may have put another in its place: root's bit alone would make that one root.
#[test]
fn a_sudo_of_somebody_else_is_not_trusted_as_it_is() {
    if !is_root() {
        return skip("only root gives files away");
    }
    let tree = tree();
    std::os::unix::fs::chown(tree.path("/usr/bin/sudo"), Some(4242), None).unwrap();
    let run = doctor(&tree);
    let found = findings(&run);
    let one = found.iter().find(|one| text(one, "code") == "sudo-not-setuid").unwrap();
    assert!(text(one, "repair").contains("reinstall sudo"), "{one}");
}

#[test]
fn a_tree_that_lacks_nothing_has_no_problem() {
    let tree = tree();
    let before = tree.stamps();
    let run = doctor(&tree);
    for finding in findings(run.exit(0)) {
        let is_fine = text(&finding, "status") == "ok" || text(&finding, "code") == "needs-host";
        assert!(is_fine, "{finding}");
    }
    assert_unchanged(&before, &tree.stamps());
    // The same words for people.
    tree.run(&["doctor", "--profile", "dind"]).ok().says("no problem found").says_not("✓");
    tree.run(&["doctor", "--profile", "dind", "-v"]).ok().says("✓ config-keys:");
    assert_eq!(tree.run(&["doctor", "--profile", "dind", "-q"]).ok().stdout, "");
}

#[test]
fn builds_that_no_job_uses_are_no_problem() {
    use patients::Do::{self, Edit, Put, Remove};
    let unusable = [Remove("/home/gitlab-runner/builds"), Put("/home/gitlab-runner/builds", "")];
    let toml = "/etc/gitlab-runner/config.toml";
    let unit = "/etc/systemd/system/gitlab-runner.service";
    for (elsewhere, is_problem) in [
        (Edit(toml, "  executor = \"shell\"", "  builds_dir = \"/srv\"\n  executor = \"shell\""), false),
        (Edit(toml, "  executor = \"shell\"", "  executor = \"docker\""), false),
        (Edit(unit, "/home/gitlab-runner", "/srv/ci"), false),
        (Edit(toml, "  executor = \"shell\"", "  cache_dir = \"/srv\"\n  executor = \"shell\""), true),
    ] {
        let tree = tree();
        let steps: &[Do] = &[unusable[0], unusable[1], elsewhere];
        patients::apply(&tree, steps);
        let found = findings(&doctor(&tree));
        assert_eq!(has(&found, "problem", "builds-unusable"), is_problem, "{elsewhere:?}");
    }
}

#[test]
fn a_known_bad_release_is_told_only_where_its_fault_can_meet_a_job() {
    use patients::Do::{Edit, Put};
    let toml = "/etc/gitlab-runner/config.toml";
    let no_shell = Edit(toml, "executor = \"shell\"", "executor = \"docker\"");
    for (version, config, expected) in [
        ("18.6.0", None, Some("problem")),
        ("18.6.1", None, Some("problem")),
        ("18.6.2", None, None),
        ("18.5.0", None, None),
        ("18.6.1", Some(no_shell), None),
        // A shell runner may yet be registered.
        ("18.6.1", Some(Put(toml, "concurrent = 1\n")), Some("ok")),
        ("18.0.0", Some(no_shell), Some("ok")),
        ("18.0.1", None, None),
    ] {
        let tree = tree();
        patients::apply(&tree, config.as_slice());
        let run = tree.run(&["doctor", "--profile", "dind", "--json", "--runner-version", version]);
        let told = findings(&run).into_iter().find(|finding| text(finding, "code") == "runner-known-bad");
        assert_eq!(told.as_ref().map(|finding| text(finding, "status")), expected, "{version}: {run}");
    }
}

#[test]
fn every_fault_of_a_tree_is_found_and_nothing_is_written() {
    let mut wrong = Vec::new();
    let (mut all, mut troubled, mut documents) = (BTreeSet::new(), BTreeSet::new(), Cases::new());
    for fault in tree_faults() {
        let tree = sick(fault);
        let before = tree.stamps();
        let run = tree.run(&[&["doctor", "--json"], fault.args].concat());
        let found = findings(&run);
        documents.push((fault.name.to_owned(), "doctor", run.json(), true));
        assert_unchanged(&before, &tree.stamps());
        wrong.extend(found.iter().filter_map(|finding| listed(finding).err()));
        if !has(&found, fault.status, fault.code) {
            let codes: Vec<&str> = found
                .iter()
                .map(|finding| text(finding, "code"))
                .filter(|code| !["ok", "needs-host"].contains(code))
                .collect();
            wrong.push(format!("{}: no {} among {codes:?}", fault.name, fault.code));
        }
        let any = |key: &str, wanted: &str| found.iter().any(|finding| text(finding, key) == wanted);
        let expected = match (any("status", "problem"), any("code", "could-not-look")) {
            (true, _) => 1,
            (false, unseen) => i32::from(unseen) * 2,
        };
        if run.status != expected {
            wrong.push(format!("{}: exit code {} with {}", fault.name, run.status, run.json()["msg"]));
        }
        for finding in &found {
            let (status, code) = (text(finding, "status"), text(finding, "code"));
            if status == "problem" && text(finding, "repair").is_empty() {
                wrong.push(format!("{}: no repair in {finding}", fault.name));
            }
            let check = text(finding, "check").to_owned();
            if code != "ok" && status != "unknown" {
                troubled.insert(check.clone());
            }
            if code != "needs-host" {
                all.insert(check);
            }
        }
    }
    held_to_the_schema(&documents);
    // Every check that a tree can answer has found something.
    wrong.extend(all.difference(&troubled).map(|check| {
        format!("the check {check} has found nothing: add a fault for it to tests/patients/faults.rs")
    }));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_host_that_lacks_nothing_has_no_problem() {
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync"]) {
        return;
    }
    let Some(Patient { host }) = Patient::admit(None) else { return };
    let before = host.stamps();
    let run = host.prep(&["doctor", "--profile", "dind", "--json"]);
    for finding in findings(&run) {
        let is_kernel = KERNEL.contains(&text(&finding, "check"));
        assert!(is_kernel || text(&finding, "status") == "ok", "{finding}");
    }
    assert_unchanged(&before, &host.stamps());
}

#[test]
fn the_version_that_is_told_does_not_make_the_program_be_there() {
    let tree = patients::tree();
    tree.remove("/usr/bin/gitlab-runner");
    tree.remove("/var/lib/dpkg/status");
    let doctor = ["doctor", "--profile", "dind", "--runner-version", "18.5.0", "--verbose"];
    tree.run(&doctor).exit(1).says("gitlab-runner is not installed").says_not("gitlab-runner 18.5.0");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test reads the source itself")]
fn every_code_is_listed_and_every_listed_code_is_proven() {
    let codes = codes();
    let mut wrong = Vec::new();
    for [code, _, place, meaning] in &codes {
        let proven = match *place {
            "tree" => tree_faults().any(|fault| fault.code == *code),
            "host" => HOST_FAULTS.iter().any(|fault| fault.code == *code),
            // What no test can make of a running kernel is judged from data.
            "unit" => ["Problem", "Unknown", "Ok"].iter().any(|status| {
                include_str!("../src/doctor/kernel.rs").contains(&format!("\"{status} {code}\""))
            }),
            // Here, in tests/push.rs, tests/register.rs, or in tests/errors on a host of its own.
            "wait" => [
                "config-load-unproven",
                "job-untried",
                "policy-unknown",
                "register-token",
                "register-tree",
                "tool-missing",
            ]
            .contains(code),
            "online" => include_str!("doctor_online.rs").contains(&format!("\"{code}\"")),
            _ => false,
        };
        if !proven || meaning.is_empty() {
            wrong.push(format!("{code} is not proven in a {place}, or has no meaning"));
        }
    }
    let known: BTreeSet<&str> = codes.iter().map(|[code, ..]| *code).collect();
    if known.len() != codes.len() {
        wrong.push("a code stands twice".to_owned());
    }
    let faults = tree_faults().map(|fault| fault.code).chain(HOST_FAULTS.iter().map(|fault| fault.code));
    let common = ["could-not-look"];
    wrong.extend(
        faults
            .filter(|code| !known.contains(code) && !common.contains(code))
            .map(|code| format!("{code} is not listed: {TO_LIST}")),
    );
    // What the checks themselves say.
    let source = support::source().join("src/doctor");
    for entry in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let code = support::without_tests(&text);
        for call in ["problem(", "note(", "unknown("] {
            for rest in code.split(&["findings.", call].concat()).skip(1) {
                let Some(said) = rest.trim_start().strip_prefix('"') else { continue };
                let said = said.split('"').next().unwrap();
                if !known.contains(said) {
                    wrong.push(format!("{said} of src/doctor is not listed: {TO_LIST}"));
                }
            }
        }
    }
    // What the resources say: `fault("code", …)`, `notes.warn("code", …)` and its kin.
    let mut paths = vec![support::source().join("src/resource")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let code = support::without_tests(&text);
        let of_notes = ["warn(", "harm(", "harm_by(", "examined(", "wait(", "doubt("]
            .map(|call| format!("notes.{call}"));
        let calls = [" fault(", "(fault(", ".fault(", "Note::new("].map(str::to_owned);
        for call in calls.iter().chain(&of_notes) {
            for rest in code.split(call).skip(1) {
                let Some(said) = rest.trim_start().strip_prefix('"') else { continue };
                let said = said.split('"').next().unwrap();
                if !known.contains(said) && !UNPROVEN.contains(&said) {
                    wrong.push(format!("{said} of src/resource is not listed: {TO_LIST}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// It takes as long as gitlab-runner has for its next look at the file.
#[test]
fn a_reload_that_nobody_vouches_for_is_not_called_fine() {
    if !is_root() {
        return skip("a throwaway host needs root");
    }
    if !have(&["sudo", "visudo", "su", "git", "ssh", "rsync"]) {
        return;
    }
    let Some(Patient { host }) = Patient::admit(None) else { return };
    host.sh("sleep 2.1; touch /etc/gitlab-runner/config.toml; sleep 10.5").ok();
    let found = findings(host.prep(&["doctor", "--profile", "dind", "--json"]).exit(0));
    assert!(has(&found, "unknown", "config-load-unproven"), "{found:?}");
}

#[test]
fn the_profile_is_chosen_by_the_registered_runners() {
    let tree = tree();
    tree.run(&["doctor"]).ok().says("dind (no profile was named, and a runner starts containers)");
    tree.put(
        "/etc/gitlab-runner/config.toml",
        "concurrent = 1\n[[runners]]\n  executor = \"shell\"\n  token = \"x\"\n",
    );
    tree.run(&["doctor"]).ok().says("shell (no profile was named, and no runner starts containers)");
}

#[test]
fn repairs_work_on_what_was_looked_at() {
    let tree = sick(tree_faults().find(|fault| fault.name == "no rule").unwrap());
    let run = tree.run(&["doctor", "--profile", "shell", "--user", "gitlab-runner"]);
    run.exit(1).says(&format!("apply --profile shell --root {} --user gitlab-runner", tree.top().display()));
}

#[test]
fn what_can_not_be_examined_is_an_error() {
    let tree = tree();
    tree.run(&["doctor", "--profile", "nonsense"]).exit(2).says("there is no profile nonsense");
    let run = tree.run(&["doctor", "--profile", "nonsense", "--json"]);
    let document = run.exit(2).json();
    assert_eq!(document["failed"], true);
    assert_eq!(document["warnings"][0]["code"], "profile-unknown");
    tree.run(&["doctor", "--runner-version", "new"]).exit(2).says("a version is X.Y.Z");
}

#[test]
fn hostile_configurations_neither_leak_nor_end_the_program() {
    for name in ["config-bom.toml", "config-crlf.toml", "config-hand-kept.toml", "config-shell-between.toml"]
    {
        let tree = tree();
        tree.put("/etc/gitlab-runner/config.toml", fixture(name));
        let run = doctor(&tree);
        assert!([0, 1].contains(&run.status), "{name}: {run}");
        tree.run(&["doctor", "-v"]);
    }
    let tree = tree();
    for text in [
        "token = 'CANARY'\nrunners = 'CANARY'\n",
        "[[runners]]\ndocker = 'CANARY'\ntoken = ['CANARY']\nurl = 1\n",
    ] {
        tree.put("/etc/gitlab-runner/config.toml", text);
        doctor(&tree).exit(1);
    }
}
