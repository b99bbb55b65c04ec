//! The journal: what it keeps, and entries that are damaged or not root's own.

use super::{CONFIG, JOURNAL, SUDOERS, entries, listing, tree};
use crate::support::{assert_unchanged, fixture, is_root, skip};

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
fn a_damaged_or_newer_entry_is_refused_without_its_words() {
    let tree = tree();
    tree.run(&["apply", "--profile", "dind"]).ok();
    let id = entries(&tree).pop().unwrap();
    let path = format!("{JOURNAL}/{id}/entry.json");
    let good = tree.text(&path);
    for (bad, says) in [
        (String::new(), "line 1, column 0"),
        (good[..good.len() / 2].to_owned(), "not as runner-prep writes it"),
        (good.replacen("\"schema\": 2", "\"schema\": \"CANARY\"", 1), "not as runner-prep writes it"),
        (good.replacen("\"kind\"", "\"CANARY\"", 1), "not as runner-prep writes it"),
        (good.replacen("\"schema\": 2", "\"schema\": 3", 1), "has the format 3"),
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
        return skip("only root gives files away");
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
