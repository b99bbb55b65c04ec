//! Every error, warning and remark of the program as a person reads it: `tests/errors/table.txt` holds them all, from
//! top to bottom, and each was said by the program on a host that deserved it.
//!
//! What only `doctor` says is in `src/doctor/codes.tsv`. After a change that is meant, this writes the table anew, as
//! root, on a machine that has all tools:
//!
//! ```sh
//! RUNNER_PREP_RENEW=1 cargo test --test errors; git diff tests/errors/table.txt
//! ```

#![expect(clippy::disallowed_methods, reason = "the test reads the sources, and lays out hosts")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has to stop"
)]
#![allow(clippy::unnecessary_wraps, reason = "cases answer alike, whether they can be skipped or not")]

#[path = "../patients/mod.rs"]
mod patients;
#[path = "../support/mod.rs"]
mod support;

mod gitlab;
mod hosts;
mod parts;
mod said;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use patients::{Fault, tree_faults};
use said::Said;
use support::{is_root, source, without_tests};

const TABLE: &str = "tests/errors/table.txt";

/// A way to bring an error about.
struct Case {
    /// What the program has to say.
    code: &'static str,
    /// What was done, for the reader of the table.
    name: &'static str,
    /// Do it. Nothing where this machine or this user can't; whoever skips says so.
    run: fn() -> Option<Vec<Said>>,
}

/// A case in one line.
const fn case(code: &'static str, name: &'static str, run: fn() -> Option<Vec<Said>>) -> Case {
    Case { code, name, run }
}

/// One entry of the table.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    code: String,
    name: String,
    text: String,
    wrong: Vec<String>,
}

/// What is called with a code; what has a type before it may be called with that of another.
const CALLS: [&str; 10] = [
    "fault(",
    "notes.warn(",
    "notes.harm(",
    "notes.harm_by(",
    "notes.examined(",
    "notes.wait(",
    "notes.doubt(",
    "Fault::new(",
    "Note::new(",
    "code: \"",
];

/// The codes that the sources can give, with the files that give them. A call that hides its code is an error: who
/// reads the table relies on it.
fn codes() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut hidden = Vec::new();
    let mut waiting = vec![source().join("src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(source()).unwrap().display().to_string();
        let is_test = ["tests.rs", "testing.rs"].iter().any(|end| name.ends_with(end));
        if is_test || name.starts_with("src/doctor/") || name == "src/fault.rs" {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let code = without_tests(&text);
        for call in CALLS {
            for (at, _) in code.match_indices(call) {
                let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let rest = code[at + call.trim_end_matches('"').len()..].trim_start();
                match rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    _ if !is_whole => {}
                    Some(said) => {
                        found.entry(said.to_owned()).or_default().insert(name.clone());
                    }
                    None if call.contains("::") => {}
                    None => {
                        let line = code[..at].lines().count();
                        hidden.push(format!("{name}:{line}: no code stands after `{call}`"));
                    }
                }
            }
        }
    }
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
    assert!(found.len() > 120, "the scan finds {} codes", found.len());
    found
}

/// The entries of the table as it is kept.
fn kept() -> String {
    std::fs::read_to_string(source().join(TABLE)).unwrap_or_default()
}

fn cases() -> Vec<Case> {
    [trees::CASES, hosts::CASES, parts::CASES, gitlab::CASES]
        .into_iter()
        .flatten()
        .map(|case| Case { ..*case })
        .collect()
}

/// Run all cases, a few at a time: some wait for a program that takes its time.
fn entries(codes: &BTreeMap<String, BTreeSet<String>>) -> Vec<Entry> {
    let cases = cases();
    let faults: Vec<&Fault> = tree_faults().filter(|fault| codes.contains_key(fault.code)).collect();
    let (next, entries, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let run = |case: &Case| {
        let said = (case.run)()?;
        let found = said.iter().find(|said| said.code == case.code);
        if found.is_none() {
            wrong.lock().unwrap().push(format!("{}: no {} in {said:?}", case.name, case.code));
        }
        let Said { code, text, wrong } = found?;
        Some(Entry {
            code: code.clone(),
            name: case.name.to_owned(),
            text: text.clone(),
            wrong: wrong.clone(),
        })
    };
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let entry = match (cases.get(index), faults.get(index.saturating_sub(cases.len()))) {
            (Some(case), _) => run(case),
            (None, Some(fault)) => trees::of_fault(fault),
            (None, None) => break,
        };
        entries.lock().unwrap().extend(entry);
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut entries = entries.into_inner().unwrap();
    entries.sort();
    // Several faults may be told in the same words.
    entries.dedup_by(|one, other| (&one.code, &one.text) == (&other.code, &other.text));
    entries
}

/// What is wrong with the words of an entry, whatever they say.
fn faults_of(entry: &Entry) -> Vec<String> {
    let Entry { code, name, text, wrong: of_repair } = entry;
    let mut wrong: Vec<String> =
        of_repair.iter().map(|why| format!("{code}, {name}: {why}\n{text}")).collect();
    let mut complain = |why: &str| wrong.push(format!("{code}, {name}: {why}\n{text}"));
    // `runner-deploy` puts its name before each line.
    let plain = text.replace("runner-deploy: ", "");
    let (what, repair) = plain.split_once("\n    ").unwrap_or((&plain, ""));
    if repair.trim().is_empty() {
        complain("says nothing of what to do");
    }
    if what.trim_end().ends_with('.') {
        complain("ends with a full stop");
    }
    wrong
}

#[test]
fn every_error_is_in_the_table_and_reads_as_it_says() {
    let codes = codes();
    let entries = entries(&codes);
    let mut wrong: Vec<String> = entries.iter().flat_map(faults_of).collect();
    let said: BTreeSet<&str> = entries.iter().map(|entry| entry.code.as_str()).collect();
    wrong.extend(
        said.iter().filter(|code| !codes.contains_key(**code)).map(|code| format!("{code} is of nobody")),
    );
    let mut table = String::from(
        "# Every error, warning and remark of the program: its code, where it comes from, how it was brought about, and \
         how\n# it reads. tests/errors writes and proves it.\n",
    );
    let mut last = "";
    for Entry { code, name, text, .. } in &entries {
        if code != last {
            let files: Vec<&str> = codes.get(code).into_iter().flatten().map(String::as_str).collect();
            let _ = write!(table, "\n== {code}: {}\n", files.join(", "));
        }
        let _ = write!(table, "-- {name}\n{text}");
        last = code;
    }
    // Who may not make hosts can't bring about everything.
    if is_root() {
        wrong.extend(
            codes
                .keys()
                .filter(|code| !said.contains(code.as_str()))
                .map(|code| format!("nothing brings {code} about: add a case to CASES of tests/errors/trees.rs, or of hosts.rs beside it")),
        );
        if support::renew() {
            std::fs::write(source().join(TABLE), &table).unwrap();
        }
        let kept = kept();
        let differs = similar::TextDiff::from_lines(&kept, &table).unified_diff().to_string();
        if !differs.is_empty() {
            wrong.push(format!(
                "{TABLE} is not what the program says; RUNNER_PREP_RENEW=1 writes it\n{differs}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Also where no host can be made, a code that is new or gone shows.
#[test]
fn the_table_has_every_code_and_no_other() {
    let table = kept();
    let listed: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("== "))
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    let known: BTreeSet<String> = codes().into_keys().collect();
    let differ: Vec<&String> = known.symmetric_difference(&listed).collect();
    assert!(
        differ.is_empty(),
        "{differ:?} are in the sources or in {TABLE}, not in both: add a case for each new one to tests/errors, then \
         RUNNER_PREP_RENEW=1 writes the table"
    );
}
