//! One run or several, there and back.

use super::{CONFIG, JOURNAL, entries, listing, tree};
use crate::support::assert_unchanged;

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
