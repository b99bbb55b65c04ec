//! `undo`: what `apply` changed is as it was before, or nothing is touched and the reason is said.

#![expect(clippy::disallowed_methods, reason = "a test looks at the journal itself")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use support::{Host, Tree, assert_unchanged, differences, fixture, have, is_root};

const CONFIG: &str = "etc/gitlab-runner/config.toml";
const SUDOERS: &str = "etc/sudoers.d/gitlab-runner";
const JOURNAL: &str = "var/lib/runner-prep/journal";
const SSH: &str = "home/gitlab-runner/.ssh";

/// A tree with an account and two runners, on which every kind of change has something to do.
fn tree() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

/// The listing without our own state.
fn listing(tree: &Tree) -> Vec<String> {
    let ours = |line: &String| line.contains(" var/lib/runner-prep");
    tree.listing().into_iter().filter(|line| !ours(line)).collect()
}

/// The names of the entries, the oldest first.
fn entries(tree: &Tree) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(tree.path(JOURNAL)) else {
        return Vec::new();
    };
    let mut names: Vec<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn apply_and_undo_leave_the_host_as_it_was() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "dind", "--skip", "ssh_key"]).ok();
    assert_ne!(before, listing(&tree));
    let planned = tree.run(&["undo", "--dry-run", "--json"]).ok().json();
    tree.run(&["undo"]).ok().says("undone");
    assert_unchanged(&before, &listing(&tree));
    assert_eq!(planned["changed"], true);

    let stamps = tree.stamps();
    tree.run(&["undo"]).ok().says("nothing to undo");
    assert_unchanged(&stamps, &tree.stamps());
    let again = tree.run(&["undo", "--json"]).ok().json();
    assert_eq!((&again["changed"], &again["failed"]), (&false.into(), &false.into()));

    // And forth again.
    tree.run(&["apply", "--profile", "dind", "--skip", "ssh_key"]).ok();
    tree.run(&["undo"]).ok();
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn a_dry_run_writes_nothing_and_needs_no_journal() {
    let tree = tree();
    let before = tree.stamps();
    for arguments in [&["undo"][..], &["undo", "--list"], &["undo", "--dry-run"]] {
        tree.run(arguments).ok();
        assert_unchanged(&before, &tree.stamps());
    }
    tree.run(&["apply", "--profile", "dind"]).ok();
    let before = tree.stamps();
    tree.run(&["undo", "--dry-run"]).ok().says("privileged").says("id_ed25519");
    assert_unchanged(&before, &tree.stamps());
}

#[test]
fn a_key_that_apply_made_is_moved_aside() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let key = tree.read(&format!("{SSH}/id_ed25519"));
    let public = tree.read(&format!("{SSH}/id_ed25519.pub"));
    let id = entries(&tree).pop().unwrap();
    let entry = tree.text(&format!("{JOURNAL}/{id}/entry.json"));
    assert!(!entry.contains("PRIVATE KEY"));
    assert_eq!(std::fs::read_dir(tree.path(&format!("{JOURNAL}/{id}"))).unwrap().count(), 1);

    tree.run(&["undo"]).ok().says(&format!("id_ed25519.undone-{id}")).says("Deploy keys");
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.undone-{id}")), key);
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.pub.undone-{id}")), public);
    assert_eq!(tree.metadata(&format!("{SSH}/id_ed25519.undone-{id}")).0, 0o600);
    let new: Vec<String> = differences(&before, &listing(&tree));
    assert_eq!(new.len(), 3, "the directory and the two halves: {new:?}");

    // A new key is made, and the old one stays where it is.
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    assert_ne!(tree.read(&format!("{SSH}/id_ed25519")), key);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.read(&format!("{SSH}/id_ed25519.undone-{id}")), key);
    assert!(!tree.exists(&format!("{SSH}/id_ed25519")));
}

#[test]
fn modes_are_put_back() {
    let (key, public) = (format!("{SSH}/id_ed25519"), format!("{SSH}/id_ed25519.pub"));
    let pair = fixture_pair();
    let tree = tree()
        .dir(SSH, 0o755)
        .file_mode(&key, pair.0, 0o644)
        .file_mode(&public, pair.1, 0o666)
        .own(SSH, 998)
        .own(&key, 998)
        .own(&public, 998);
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    for (path, mode) in [(SSH, 0o700), (&key, 0o600), (&public, 0o644)] {
        assert_eq!(tree.metadata(path), (mode, Tree::uid(998), Tree::uid(998)).into_meta());
    }
    tree.run(&["undo"]).ok().says("does not get its mode 0644 back");
    assert_eq!(tree.metadata(&key).0, 0o600, "a private key is never opened to others");
    tree.chmod(&key, 0o644);
    assert_unchanged(&before, &listing(&tree));
    tree.run(&["undo"]).ok().says("nothing to undo");
}

/// The group of an ordinary user need not have the user's number.
trait IntoMeta {
    fn into_meta(self) -> (u32, u32, u32);
}

impl IntoMeta for (u32, u32, u32) {
    fn into_meta(self) -> (u32, u32, u32) {
        if is_root() { self } else { (self.0, self.1, nix::unistd::getegid().as_raw()) }
    }
}

/// A private key and its public half.
fn fixture_pair() -> (Vec<u8>, Vec<u8>) {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    (tree.read(&format!("{SSH}/id_ed25519")), tree.read(&format!("{SSH}/id_ed25519.pub")))
}

#[test]
fn a_hand_edit_is_shown_and_nothing_is_undone() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let text = tree.text(SUDOERS).replace("/usr/bin/rsync", "/usr/bin/rsync, /usr/bin/true");
    tree.chmod(SUDOERS, 0o640);
    tree.put(SUDOERS, &text);
    tree.chmod(SUDOERS, 0o440);
    let before = tree.stamps();
    let run = tree.run(&["undo"]);
    run.exit(2).says("nothing was undone").says("/etc/sudoers.d/gitlab-runner");
    run.says("/usr/bin/true").says("mv /etc/sudoers.d/gitlab-runner");
    assert_unchanged(&before, &tree.stamps());
    let json = tree.run(&["undo", "--json"]).exit(2).json();
    assert_eq!(json["warnings"][0]["code"], "undo-changed-since");

    // What the message says helps.
    tree.remove(SUDOERS);
    tree.run(&["undo"]).ok();
    assert_eq!(tree.read(CONFIG), fixture("config-docker-runner.toml"));
}

#[test]
fn a_changed_mode_is_a_change() {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
    tree.chmod(SUDOERS, 0o400);
    tree.run(&["undo"]).exit(2).says("its mode is 0400, runner-prep left 0440");
    tree.chmod(SUDOERS, 0o440);
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(SUDOERS));
}

/// What gitlab-runner does when it rotates a token: everything is written anew, without comments.
fn rewritten(tree: &Tree) -> String {
    let text = tree.text(CONFIG);
    text.replace("glrt-CANARY-docker-1", "glrt-CANARY-rotated-1").replace("concurrent = 1", "concurrent = 4")
}

#[test]
fn after_a_rewrite_by_gitlab_runner_only_our_values_are_put_back() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    assert!(tree.text(CONFIG).contains("/certs/client"));
    tree.put(CONFIG, rewritten(&tree));
    let run = tree.run(&["undo"]);
    run.ok().says("undone");
    let expected = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let expected = expected
        .replace("glrt-CANARY-docker-1", "glrt-CANARY-rotated-1")
        .replace("concurrent = 1", "concurrent = 4");
    assert_eq!(tree.text(CONFIG), expected);
    tree.run(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn a_runner_is_found_again_wherever_it_stands() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    // Another runner was registered and stands in front now.
    let text = rewritten(&tree).replacen(
        "[[runners]]",
        "[[runners]]\n  name = \"new\"\n  token = \"glrt-CANARY-new\"\n  [runners.docker]\n    privileged = true\n\n[[runners]]",
        1,
    );
    tree.put(CONFIG, &text);
    tree.run(&["undo"]).ok();
    let after = tree.text(CONFIG);
    assert_eq!(after.matches("privileged = true").count(), 1, "the new runner's own");
    assert_eq!(after.matches("privileged = false").count(), 1);
    assert!(after.contains("glrt-CANARY-new") && after.contains("glrt-CANARY-rotated-1"));
}

#[test]
fn a_value_that_somebody_changed_is_named_and_nothing_else() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    tree.put(CONFIG, rewritten(&tree).replace("DOCKER_TLS_CERTDIR=/certs", "DOCKER_TLS_CERTDIR=/other"));
    let before = tree.stamps();
    let run = tree.run(&["undo"]);
    run.exit(2).says("environment has \"DOCKER_TLS_CERTDIR=/other\"");
    run.says("docker.privileged still is true").says("docker.volumes still has \"/certs/client\"");
    run.says("runners[0].token").says("concurrent").says_not("rotated");
    assert_unchanged(&before, &tree.stamps());

    // What people took out themselves is no reason to refuse.
    let text = tree.text(CONFIG).replace("\"/certs/client\"", "\"/mine\"");
    tree.put(CONFIG, text.replace("DOCKER_TLS_CERTDIR=/other", "DOCKER_TLS_CERTDIR=/certs"));
    tree.run(&["undo"]).ok();
    let after = tree.text(CONFIG);
    assert!(
        after.contains("/mine")
            && !after.contains("DOCKER_TLS_CERTDIR")
            && after.contains("privileged = false")
    );
}

#[test]
fn a_torn_or_empty_configuration_is_refused() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    for text in ["", "[[runners]\n  token = \"glrt-CANARY-torn\"\n"] {
        tree.put(CONFIG, text);
        tree.run(&["undo"]).exit(2).says("/etc/gitlab-runner/config.toml");
        assert_eq!(tree.text(CONFIG), text);
    }
}

#[test]
fn undo_goes_back_run_by_run_or_to_one() {
    let tree = tree();
    let mut states = vec![listing(&tree)];
    for kind in ["sudoers", "known_hosts", "config"] {
        tree.run(&["apply", "--profile", "dind", "--only", kind]).ok();
        states.push(listing(&tree));
    }
    let ids = entries(&tree);
    assert_eq!(ids.len(), 3);
    tree.run(&["undo"]).ok().says(&ids[2]);
    assert_unchanged(&states[2], &listing(&tree));
    tree.run(&["undo", "--to", "20010101T000000Z-0001"]).exit(2).says("undo --list");
    tree.run(&["undo", "--to", &ids[0]]).ok().says(&ids[1]).says(&ids[0]);
    assert_unchanged(&states[0], &listing(&tree));
    tree.run(&["undo"]).ok().says("nothing to undo");

    let list = tree.run(&["undo", "--list", "--json"]).ok().json();
    let runs = list["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!((&runs[0]["id"], &runs[0]["state"]), (&ids[2].as_str().into(), &"undone".into()));
    assert_eq!(runs[2]["changes"][0]["id"], "/etc/sudoers.d/gitlab-runner");
    tree.run(&["undo", "--list"]).ok().says("undone").says("+ sudoers     /etc/sudoers.d/gitlab-runner");
}

#[test]
fn several_runs_on_one_file_are_undone_at_once_and_after_a_kill() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    let ids = entries(&tree);
    // Somebody else's change between two runs of ours, and a second change of the same value.
    tree.put(CONFIG, tree.text(CONFIG).replace("privileged = true", "privileged = false"));
    tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
    tree.run(&["undo", "--to", &ids[0]]).ok();
    assert_unchanged(&before, &listing(&tree));

    // The same state with entries that are not marked yet is what a kill at the end leaves.
    for id in entries(&tree) {
        let path = format!("{JOURNAL}/{id}/entry.json");
        tree.put(&path, tree.text(&path).replace("\"undone\"", "\"complete\""));
    }
    tree.run(&["undo", "--to", &ids[0]]).ok().says("nothing of it was left");
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn the_journal_is_roots_alone_and_keeps_ten() {
    let tree = tree();
    for round in 0..6 {
        tree.run(&["apply", "--profile", "dind", "--only", "config,sudoers"]).ok();
        tree.put(CONFIG, fixture("config-docker-runner.toml"));
        tree.run(&["apply", "--profile", "dind", "--only", "config"]).ok();
        tree.put(CONFIG, fixture("config-docker-runner.toml"));
        tree.remove(SUDOERS);
        assert!(entries(&tree).len() <= 10, "round {round}");
    }
    let ids = entries(&tree);
    assert_eq!(ids.len(), 10);
    assert_eq!(tree.metadata("var/lib/runner-prep").0, 0o700);
    assert_eq!(tree.metadata(JOURNAL).0, 0o700);
    for id in &ids {
        assert_eq!(tree.metadata(&format!("{JOURNAL}/{id}")).0, 0o700);
        for file in std::fs::read_dir(tree.path(&format!("{JOURNAL}/{id}"))).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "{name}");
            assert_eq!(tree.metadata(&format!("{JOURNAL}/{id}/{name}")).0, 0o600);
        }
    }
}

#[test]
fn a_run_that_was_taken_back_leaves_no_entry() {
    let tree = tree().file_mode("etc/sudoers.d/broken", "this is no rule\n", 0o440);
    tree.run(&["apply", "--profile", "dind"]).exit(2);
    assert_eq!(entries(&tree), [""; 0]);
    tree.run(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn an_incomplete_run_can_be_undone() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "dind", "--skip", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"complete\"", "\"incomplete\""));
    // What did not go live, and what the killed run left beside.
    tree.put(CONFIG, fixture("config-docker-runner.toml"));
    let left = "etc/gitlab-runner/.config.toml.runner-prep.0123456789abcdef";
    let tree = tree.file_mode(left, "token = \"glrt-CANARY-left\"", 0o600);
    tree.run(&["undo", "--list"]).ok().says("incomplete");
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(left));
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn the_run_after_a_killed_one_cleans_up_also_when_nothing_is_to_be_changed() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let after = listing(&tree);
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"complete\"", "\"incomplete\""));
    // What a run that was killed leaves to tell of itself, before anybody opens the journal.
    std::fs::create_dir(tree.path("var/lib/runner-prep/working")).unwrap();
    let left = "etc/gitlab-runner/.config.toml.runner-prep.0123456789abcdef";
    let tree = tree.file_mode(left, "token = \"glrt-CANARY-left\"", 0o600);
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&after, &listing(&tree));
    let stamps = tree.stamps();
    tree.run(&["apply", "--profile", "dind"]).ok();
    assert_unchanged(&stamps, &tree.stamps());
}

#[test]
fn a_damaged_or_newer_entry_is_refused_without_its_words() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    let good = tree.text(&path);
    for (bad, says) in [
        (String::new(), "line 1, column 0"),
        (good[..good.len() / 2].to_owned(), "not as runner-prep writes it"),
        (good.replacen("\"schema\": 1", "\"schema\": \"CANARY\"", 1), "not as runner-prep writes it"),
        (good.replacen("\"kind\"", "\"CANARY\"", 1), "not as runner-prep writes it"),
        (good.replacen("\"schema\": 1", "\"schema\": 2", 1), "has the format 2"),
        (good.replacen(&id, "20200101T000000Z-0001", 1), "another entry"),
        (good.replace("\"0.before\"", "\"../x\"").replace("\"1.before\"", "\"../x\""), ""),
    ] {
        tree.put(&path, &bad);
        let before = listing(&tree);
        let run = tree.run(&["undo"]);
        if !says.is_empty() {
            run.exit(2).says(says);
            tree.run(&["undo", "--list"]).ok().says("damaged");
            let list = tree.run(&["undo", "--list", "--json"]).ok().json();
            assert_eq!(list["runs"][0]["state"], "damaged");
            assert_unchanged(&before, &listing(&tree));
        }
    }
    tree.put(&path, &good);
    for file in std::fs::read_dir(tree.path(&format!("{JOURNAL}/{id}"))).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let path = format!("{JOURNAL}/{id}/{name}");
        if name.ends_with(".before") {
            tree.put(&path, "other bytes");
        }
    }
    tree.run(&["undo"]).exit(2).says("not those that were kept");
    assert_eq!(entries(&tree), [id]);
}

#[test]
fn an_entry_that_others_could_have_written_is_refused() {
    if !is_root() {
        return;
    }
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    let tree = tree.own(&path, 998);
    tree.run(&["undo"]).exit(2).says("belongs to uid 998");
    let tree = tree.own(&path, 0).own(JOURNAL, 998);
    tree.run(&["undo"]).exit(2).says("belongs to uid 998");
}

#[test]
fn a_file_in_the_way_of_a_key_is_kept() {
    let tree = tree();
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    let aside = format!("{SSH}/id_ed25519.undone-{id}");
    let tree = tree.file_mode(&aside, "mine", 0o600).own(&aside, 998);
    let before = listing(&tree);
    tree.run(&["undo"]).exit(2);
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn directories_stay_while_something_is_in_them() {
    let tree = tree();
    let before = listing(&tree);
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let id = entries(&tree).pop().unwrap();
    for name in ["id_ed25519", "id_ed25519.pub"] {
        tree.remove(&format!("{SSH}/{name}"));
    }
    let tree = tree.file_mode(&format!("{SSH}/mine"), "x", 0o600).own(&format!("{SSH}/mine"), 998);
    tree.run(&["undo"]).ok();
    assert!(tree.exists(&format!("{SSH}/mine")));
    // Empty, it goes.
    tree.remove(&format!("{SSH}/mine"));
    let path = format!("{JOURNAL}/{id}/entry.json");
    tree.put(&path, tree.text(&path).replace("\"undone\"", "\"complete\""));
    tree.run(&["undo"]).ok();
    assert_unchanged(&before, &listing(&tree));
}

#[test]
fn an_account_stays_and_the_report_says_how_it_goes() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let host = host.config_toml(fixture("config-docker-runner.toml")).start();
    host.prep(&["apply", "--profile", "dind"]).ok();
    host.sh("sudo -n -l -U gitlab-runner /usr/bin/rsync").ok();
    let run = host.prep(&["undo"]);
    run.ok().says("userdel -r gitlab-runner");
    host.sh("getent passwd gitlab-runner; visudo -c").ok();
    assert!(!host.path("/etc/sudoers.d/gitlab-runner").exists());
    assert_eq!(
        host.text("/etc/gitlab-runner/config.toml").into_bytes(),
        fixture("config-docker-runner.toml")
    );
    // The account is gone, too: nothing more to say.
    host.prep(&["apply", "--profile", "dind"]).ok();
    host.sh("userdel -r gitlab-runner").ok();
    host.prep(&["undo"]).ok();
    host.prep(&["undo"]).ok().says("nothing to undo");
}

#[test]
fn a_former_sudo_rule_that_sudo_no_longer_accepts_is_not_put_back() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .file_mode(
            "/etc/sudoers.d/gitlab-runner",
            "User_Alias CI = gitlab-runner\nCI ALL=(ALL) NOPASSWD: /usr/bin/true\n",
            0o440,
        )
        .start();
    host.prep(&["apply", "--profile", "shell", "--only", "sudoers", "--adopt"]).ok();
    host.sh("umask 226; echo 'User_Alias CI = root' > /etc/sudoers.d/a-clash; visudo -c").ok();
    let rules = |host: &Host| support::listing(host.path("/etc/sudoers.d"));
    let before = rules(&host);
    host.prep(&["undo"]).exit(2).says("visudo");
    assert_unchanged(&before, &rules(&host));
    host.sh("rm /etc/sudoers.d/a-clash").ok();
    host.prep(&["undo"]).ok();
    host.sh("visudo -c; sudo -n -l -U gitlab-runner /usr/bin/true").ok();
}

#[test]
fn a_read_only_file_system_is_named_and_nothing_is_half_done() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["sudo", "visudo", "useradd", "rsync", "mount"]) {
        return;
    }
    let host = host
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
        .start();
    host.prep(&["apply", "--profile", "dind"]).ok();
    let mount = |directory: &str| {
        host.sh(&format!("mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}")).ok();
    };
    let before = host.listing();
    mount("/etc/gitlab-runner");
    host.prep(&["undo"]).exit(2).says("read-only");
    assert_unchanged(&before, &host.listing());
    host.sh("umount /etc/gitlab-runner").ok();
    mount("/var/lib");
    host.prep(&["undo"]).exit(2).says("/var/lib");
    assert_unchanged(&before, &host.listing());
    host.sh("umount /var/lib").ok();
    host.prep(&["undo"]).ok();
}

/// Runs the program until the `nth` call of a system call, and kills it there; false when it ended before.
fn killed(tree: &Tree, arguments: &[&str], call: &str, nth: u32) -> bool {
    let plain = tree.command(arguments);
    let mut command = std::process::Command::new(support::tool("strace").unwrap());
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    command.arg(format!("inject={call}:signal=KILL:when={nth}"));
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().env("PATH", support::PATH).current_dir(tree.top());
    let run = tree.run_command(&mut command);
    assert!([0, 137].contains(&run.status), "{run}");
    run.status == 137
}

const APPLY: &[&str] = &["apply", "--profile", "dind", "--skip", "ssh_key"];

/// `RUNNER_PREP_LONG=1` kills at more kinds of calls.
#[test]
fn a_kill_at_any_step_of_apply_or_undo_can_be_undone() {
    if !have(&["strace", "visudo"]) {
        return;
    }
    let long = std::env::var_os("RUNNER_PREP_LONG").is_some();
    let calls: &[&str] =
        if long { &["renameat2", "unlinkat", "fsync", "fchmod", "mkdirat"] } else { &["renameat2"] };
    let (mut kills, mut whole) = (0, Vec::new());
    for undoes in [false, true] {
        for call in calls {
            for nth in 1.. {
                let tree = tree();
                let before = listing(&tree);
                if undoes {
                    tree.run(APPLY).ok();
                }
                if whole.is_empty() {
                    let other = self::tree();
                    other.run(APPLY).ok();
                    whole = [other.read(CONFIG), other.read(SUDOERS)].to_vec();
                }
                let arguments = if undoes { &["undo"] } else { APPLY };
                if !killed(&tree, arguments, call, nth) {
                    break;
                }
                kills += 1;
                let config = tree.read(CONFIG);
                assert!(config == whole[0] || config == fixture("config-docker-runner.toml"), "{call} {nth}");
                assert!(!tree.exists(SUDOERS) || tree.read(SUDOERS) == whole[1], "{call} {nth}");
                tree.run(&["undo"]).ok();
                assert_unchanged(&before, &listing(&tree));
                tree.run(&["undo"]).ok().says("nothing to undo");
            }
        }
    }
    println!("killed {kills} times");
    assert!(kills > if long { 60 } else { 8 }, "{kills}");
}
