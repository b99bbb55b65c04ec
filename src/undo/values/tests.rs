//! Small documents there and back.

use super::*;
use crate::text::toml_patch::Scalar;

/// The single values that differ between two tables, with their places.
fn changed(path: &[Step], before: View<'_>, after: View<'_>) -> Vec<ValueChange> {
    let change = |element, before: Option<Scalar>, after: Option<Scalar>| {
        let [before, after] = [before, after].map(|side| side.map(|value| value.to_string()));
        ValueChange { name: String::new(), path: path.to_vec(), element, before, after }
    };
    let steps: Vec<Step> = match (before.keys(), after.keys(), before.children()) {
        (Some(keys), Some(new), _) => keys.into_iter().chain(new).map(Step::from).collect(),
        (_, _, Some(children)) if after.strings().is_none() => (0..children.len()).map(Step::from).collect(),
        _ => Vec::new(),
    };
    let mut all: Vec<ValueChange> = Vec::new();
    for step in steps.iter().collect::<BTreeSet<_>>() {
        all.extend(changed(
            &[path, std::slice::from_ref(step)].concat(),
            before.below(step),
            after.below(step),
        ));
    }
    if steps.is_empty() && after.strings().is_some() {
        let [old, new] = [before, after].map(|list| list.strings().unwrap());
        for index in 0..old.len().max(new.len()) {
            let sides = [&old, &new].map(|list| list.get(index).map(|text| Scalar::from(*text)));
            if sides[0] != sides[1] {
                let [before, after] = sides;
                all.push(change(true, before, after));
            }
        }
    } else if steps.is_empty() && before.scalar() != after.scalar() {
        all.push(change(false, before.scalar().unwrap(), after.scalar().unwrap()));
    }
    all
}

/// What a run did that found the one and left the other.
fn run((before, after): &(&str, &str)) -> RecordedEdits {
    let [before, after] = [before, after].map(|text| Toml::parse(text.as_bytes()).unwrap());
    let changed = changed(&[], View::Table(before.root()), View::Table(after.root()));
    RecordedEdits::of(&changed, &before).unwrap()
}

/// Each pair is what a run found and left, the newest first.
fn put_back(live: &str, runs: &[(&str, &str)]) -> Result<String, Vec<String>> {
    let edits: Vec<RecordedEdits> = runs.iter().map(run).collect();
    let former = || Toml::parse(runs[0].0.as_bytes()).ok();
    let documents = Documents::default();
    Reversal::of(live.as_bytes(), &edits, &documents)?.put_back(former).map(|done| done.text)
}

const BEFORE: &str = "[[runners]]\nid = 1\nurl = 'u'\ntoken = 'a'\nlimit = 1\n";
const AFTER: &str = "[[runners]]\nid = 1\nurl = 'u'\ntoken = 'a'\nlimit = 2\nshell = 'x'\nvolumes = ['/v']\n";

#[test]
fn only_the_values_of_the_run_go_back() {
    let live = "# new\n[[runners]]\nid = 1\nurl = 'u'\ntoken = 'b'\nlimit = 2\nshell = 'x'\nvolumes = ['/v', '/w']\n";
    let back = "# new\n[[runners]]\nid = 1\nurl = 'u'\ntoken = 'b'\nlimit = 1\nvolumes = ['/w']\n";
    assert_eq!(put_back(live, &[(BEFORE, AFTER)]).unwrap(), back);
    assert_eq!(put_back(back, &[(BEFORE, AFTER)]).unwrap(), back, "twice is once");
    assert_eq!(put_back(AFTER, &[(BEFORE, AFTER)]).unwrap(), BEFORE);
}

#[test]
fn several_runs_go_back_together_also_when_it_was_done_before() {
    let middle = AFTER.replace("limit = 2", "limit = 3").replace("'x'", "'y'").replace("/v", "/u");
    let runs = [(AFTER, middle.as_str()), (BEFORE, AFTER)];
    let token = |text: &str| text.replace("'a'", "'b'");
    for live in [middle.as_str(), AFTER, BEFORE] {
        assert_eq!(put_back(&token(live), &runs).unwrap(), token(BEFORE), "{live}");
    }
}

#[test]
fn a_changed_value_is_named_with_those_that_are_not() {
    let live = AFTER.replace("limit = 2", "limit = 7").replace("'a'", "'secret'");
    let lines = put_back(&live, &[(BEFORE, AFTER)]).unwrap_err();
    assert_eq!(
        lines,
        [
            "runners[0]: limit is 7, runner-prep set 2",
            "runners[0]: shell still is \"x\", as it was set",
            "runners[0]: volumes still has \"/v\", as it was set",
            "also changed since: runners[0].token",
        ]
    );
}

#[test]
fn a_runner_is_known_by_its_number_then_token_then_name() {
    let run = |keys: &str| (format!("[[runners]]\n{keys}"), format!("[[runners]]\n{keys}limit = 2\n"));
    let other = "[[runners]]\nname = 'o'\ntoken = 'o'\nlimit = 2\n";
    for keys in ["id = 1\nurl = 'u'\n", "token = 't'\n", "name = 'n'\n"] {
        let (before, after) = run(keys);
        let live = format!("{other}{after}");
        assert_eq!(put_back(&live, &[(&before, &after)]).unwrap(), format!("{other}{before}"));
        // It is gone: another one that looks alike keeps its values.
        assert_eq!(put_back(other, &[(&before, &after)]).unwrap(), other);
    }
    let (before, after) = run("id = 1\nurl = 'u'\nname = 'n'\n");
    let again = after.replace("id = 1", "id = 2");
    assert_eq!(put_back(&again, &[(&before, &after)]).unwrap(), again, "registered anew");
    let (before, after) = run("name = 'n'\n");
    let twice = format!("{after}{after}");
    assert!(put_back(&twice, &[(&before, &after)]).unwrap_err()[0].contains("several runners"));
}

#[test]
fn runners_in_an_inline_list_go_back_too() {
    let run = |limit: u8| format!("runners = [{{ id = 1, url = 'u', limit = {limit} }}]\n");
    let (before, after) = (run(1), run(2));
    assert_eq!(put_back(&after, &[(&before, &after)]).unwrap(), before);
    let (edits, documents) = ([super::tests::run(&(&before, &after))], Documents::default());
    assert_eq!(Reversal::of(after.as_bytes(), &edits, &documents).unwrap().shown().len(), 1);
}
