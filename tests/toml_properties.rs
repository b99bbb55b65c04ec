//! Properties of `text::toml_patch` over any document, seen through its public functions alone.

#![allow(clippy::expect_used, reason = "a property that cannot be asked has to stop")]

mod toml_documents;

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use runner_prep::text::toml_patch::{Action, Edit, Scalar, Step, Toml};
use toml_edit::{Item, Table, Value};

use toml_documents::document;
use toml_documents::plain::{Plain, plain_table};

/// An edit that suits the document, out of four numbers and a text.
fn edit(document: &Plain, choice: (u8, u8, u8, u8), text: &str) -> Edit {
    let (place, runner, action, element) = choice;
    let runners = match document.at(&["runners".into()]) {
        Some(Plain::List(list)) => list.len(),
        _ => 0,
    };
    let mut path: Vec<Step> = match runners {
        0 => vec!["fresh".into()],
        count => vec!["runners".into(), (usize::from(runner) % count).into()],
    };
    let (rest, is_list): (&[&str], bool) = match place % 14 {
        0 => (&["limit"], false),
        1 => (&["environment"], true),
        2 => (&["docker", "image"], false),
        3 | 4 => (&["docker", "privileged"], false),
        5 | 6 => (&["docker", "volumes"], true),
        7 => (&["docker", "sysctls", "a"], false),
        8 => (&["docker", "new", "x y"], false),
        9 => (&["cache", "s3", "list"], true),
        10 => (&["new", "a"], false),
        11 | 12 => {
            // A table of a list, mostly a new one.
            path.extend(["docker", "services"].map(Step::from));
            let there = match document.at(&path) {
                Some(Plain::List(list)) => list.len(),
                _ => 0,
            };
            let chosen = if element % 4 == 0 { usize::from(action) % (there + 1) } else { there };
            path.push(chosen.into());
            [(&["name"][..], false), (&["a", "b"], false), (&["command"], true)][usize::from(place / 14 % 3)]
        }
        _ => {
            path.clear();
            match place / 14 % 4 {
                0 => (&["concurrent"], false),
                1 => (&["list"], true),
                2 => (&["session_server", "timeout"], false),
                _ => (&["fresh", "a", "b"], false),
            }
        }
    };
    path.extend(rest.iter().map(|key| Step::from(*key)));
    let old: Vec<String> = match document.at(&path) {
        Some(Plain::List(list)) => list.iter().map(Plain::text).collect(),
        _ => Vec::new(),
    };
    let text = text.to_owned();
    let chosen = old.get(usize::from(element) % old.len().max(1)).cloned();
    let action = match (is_list, action % 6, chosen) {
        (false, 0, _) => Action::Set(Scalar::Integer(i64::from(element))),
        (false, 1, _) => Action::Set(Scalar::String(text)),
        (false, ..) => Action::Set(Scalar::Bool(element % 2 == 0)),
        (true, 0, Some(_)) => Action::Replace { index: usize::from(element) % old.len(), value: text },
        (true, 1, Some(chosen)) => Action::RemoveElement(chosen),
        (true, 2, chosen) => {
            let mut values: Vec<String> = chosen.into_iter().chain([text]).collect();
            let turn = usize::from(element) % values.len();
            values.rotate_left(turn);
            Action::SetList(values)
        }
        _ => Action::Insert(text),
    };
    Edit { path, action }
}

/// The place of the value at a path, if it is a value.
fn span(root: &Table, path: &[Step]) -> Option<Range<usize>> {
    let mut here = root.get(match &path[0] {
        Step::Key(key) => key,
        Step::Index(_) => return None,
    })?;
    for step in &path[1..] {
        here = match step {
            Step::Key(key) => here.get(key)?,
            Step::Index(index) => match here {
                // An element of a list is no `Item`, and a new one may not be there: its place is that of the list.
                Item::Value(Value::Array(array)) => return array.span(),
                other => other.get(*index)?,
            },
        };
    }
    here.as_value()?.span()
}

/// The part of the old text between the common begin and the common end.
fn difference(old: &[u8], new: &[u8]) -> Range<usize> {
    let begin = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = old[begin..].iter().rev().zip(new[begin..].iter().rev());
    let end = rest.take_while(|(old, new)| old == new).count();
    begin..old.len() - end
}

fn choices() -> impl Strategy<Value = (u8, u8, u8, u8)> {
    any::<(u8, u8, u8, u8)>()
}

/// Lines that together make every mixture of headers, dotted keys, lists and inline tables.
const LINES: &[&str] = &[
    "[a]",
    "[[a]]",
    "[a.b]",
    "[[a.b]]",
    "[a.b.c]",
    "[[a.b.c]]",
    "[b]",
    "[ b . c ]",
    "[[c]]",
    "  [c.a]",
    "[c.a.b]",
    "a = 1",
    "  b = 'x'",
    "c = 1.5 # c",
    "a.b = 1",
    "a.b.c = 1",
    "b.c = 1",
    "\tc.'a' = 1",
    "b.a = {}",
    "a = {}",
    "b = { }",
    "c = { a = 1 }",
    "b = { a.b = 1, c = 'x', a.c = 1 }",
    "a = { b = {\n # c\n} }",
    "a = []",
    "b = ['x']",
    "c = ['a', # c\n 'x',\n]",
    "b = [\n  'y' # c\n]",
    "a = [ { b = [] }, { c = 1 } ]",
    "c = [[], [{}]]",
    "",
    "# c",
    "  # [a]",
    "a = \"\"\"\n[a]\n# b\"\"\"",
];

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases * 4, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_edit_changes_one_value_and_no_other_byte(
        bytes in vec(any::<u8>(), 0..300),
        choice in choices(),
        text in "[a-z/:\"\\\\\u{0}\n€]{0,6}",
    ) {
        let source = document(&bytes);
        let before = Toml::parse(source.as_bytes()).expect(&source);
        let values = plain_table(before.root());
        let edit = edit(&values, choice, &text);
        let patched = before.patch(std::slice::from_ref(&edit));
        let patched = patched.unwrap_or_else(|error| panic!("{error}\n{edit:?}\n{source}"));
        let after = Toml::parse(patched.text.as_bytes()).expect("the result is TOML");

        // The values.
        let expected = values.edited(&edit);
        prop_assert_eq!(plain_table(after.root()), expected.clone());
        prop_assert_eq!(after.has_bom(), before.has_bom());
        prop_assert!(before.verify(&after, std::slice::from_ref(&edit)).is_ok());
        if expected != values {
            prop_assert!(before.verify(&before, std::slice::from_ref(&edit)).is_err());
        }

        // The bytes: a new key is one piece put in, anything else stays within the old value.
        let old = difference(before.text().as_bytes(), after.text().as_bytes());
        match span(before.root(), &edit.path) {
            Some(span) => prop_assert!(old.is_empty() || span.start <= old.start && old.end <= span.end),
            None => prop_assert!(old.is_empty(), "{}", &before.text()[old]),
        }
        if expected == values {
            prop_assert_eq!(&patched.text, &source);
        }

        // Line endings of the document, and none in inline tables: that would be TOML 1.1.
        let inline = matches!(before.root().get("runners"), Some(Item::Value(_)));
        let comes = edit.path.iter().rposition(|step| matches!(step, Step::Index(_)));
        let in_list = comes.is_some_and(|at| values.at(&edit.path[..=at]).is_none());
        if inline && !in_list && values.at(&edit.path).is_none() && edit.path[0] == "runners".into() {
            prop_assert_eq!(patched.text.matches('\n').count(), source.matches('\n').count());
        }
        if !source.contains("\r\n") {
            prop_assert!(!patched.text.contains('\r'));
        }

        // Once is enough.
        if matches!(edit.action, Action::Set(_) | Action::SetList(_) | Action::Replace { .. } | Action::RemoveElement(_)) {
            let again = after.patch(std::slice::from_ref(&edit)).expect("still fits");
            prop_assert_eq!(again.text, patched.text);
        }
    }

    #[test]
    fn a_value_that_goes_takes_nothing_along(
        bytes in vec(any::<u8>(), 0..300),
        choice in choices(),
    ) {
        let source = document(&bytes);
        let before = Toml::parse(source.as_bytes()).expect(&source);
        let values = plain_table(before.root());
        let set = edit(&values, choice, "x");
        let remove = Edit::new(set.path.clone(), Action::Remove);
        // What the document holds goes, and what was put in goes again.
        let filled = before.patch(std::slice::from_ref(&set)).expect("an edit").text;
        for text in [&source, &filled] {
            let toml = Toml::parse(text.as_bytes()).expect("TOML");
            match toml.patch(std::slice::from_ref(&remove)) {
                Ok(patched) => {
                    let after = Toml::parse(patched.text.as_bytes()).expect("the result is TOML");
                    let expected = plain_table(toml.root()).edited(&remove).pruned();
                    prop_assert_eq!(plain_table(after.root()).pruned(), expected);
                    prop_assert_eq!(&after.patch(std::slice::from_ref(&remove)).expect("again").text, &patched.text);
                }
                Err(error) => prop_assert!(error.message.contains("dotted keys between braces") || error.message.contains("has no element"), "{}\n{}", error, text),
            }
        }
    }

    #[test]
    fn a_table_that_comes_goes_again_and_takes_nothing_along(
        bytes in vec(any::<u8>(), 0..300),
        runner in any::<u8>(),
        count in 1..3_usize,
    ) {
        let source = document(&bytes);
        let before = Toml::parse(source.as_bytes()).expect(&source);
        let values = plain_table(before.root());
        let Some(Plain::List(runners)) = values.at(&["runners".into()]) else { return Ok(()) };
        if runners.is_empty() {
            return Ok(());
        }
        let list = ["runners".into(), (usize::from(runner) % runners.len()).into(), "docker".into(), "services".into()];
        let there = match values.at(&list) {
            Some(Plain::List(services)) => services.len(),
            _ => 0,
        };
        let step = |index: usize| -> Vec<Step> { [&list[..], &[index.into()]].concat() };
        let below = |index: usize, key: &str| -> Vec<Step> { [step(index), vec![key.into()]].concat() };
        let come: Vec<Edit> = (there..there + count)
            .flat_map(|index| [Edit::set(below(index, "name"), "x"), Edit::insert(below(index, "command"), "y")])
            .collect();
        let filled = before.patch(&come).unwrap_or_else(|error| panic!("{error}\n{source}")).text;
        let toml = Toml::parse(filled.as_bytes()).expect("the result is TOML");
        let expected = come.iter().fold(values.clone(), |values, edit| values.edited(edit));
        prop_assert_eq!(plain_table(toml.root()), expected.clone());
        prop_assert!(before.verify(&toml, &come).is_ok());
        prop_assert!(before.verify(&before, &come).is_err());
        prop_assert!(toml.verify(&toml, &come[..1]).is_ok());
        prop_assert!(before.verify(&toml, &come[1..]).is_err());

        // All of them, one of them, and one that was there before.
        let new: Vec<usize> = (there..there + count).collect();
        for gone in [&new[..], &new[..1], &[0]] {
            let go: Vec<Edit> = gone.iter().map(|index| Edit::new(step(*index), Action::Remove)).collect();
            let expected = go.iter().rev().fold(expected.clone(), |values, edit| values.edited(edit));
            match toml.patch(&go) {
                Ok(patched) => {
                    let after = Toml::parse(patched.text.as_bytes()).expect("the result is TOML");
                    prop_assert_eq!(plain_table(after.root()).filled(), expected.filled());
                    prop_assert!(toml.verify(&after, &go).is_ok());
                    prop_assert!(toml.verify(&toml, &go).is_err());
                    // Comments stay; what was there before may have had some within its values.
                    let comments = |text: &str| text.matches('#').count();
                    prop_assert!(*gone == [0] || comments(&patched.text) == comments(&source));
                }
                // Its own keys may be tables.
                Err(error) => prop_assert!(gone == [0] && there > 0, "{}\n{}", error, filled),
            }
        }
    }

    #[test]
    fn many_edits_at_once_equal_one_after_another(
        bytes in vec(any::<u8>(), 0..300),
        choices in vec((choices(), "[a-z]{1,3}"), 1..8),
    ) {
        let source = document(&bytes);
        let before = Toml::parse(source.as_bytes()).expect(&source);
        let values = plain_table(before.root());
        let mut expected = values.clone();
        let mut edits: Vec<Edit> = Vec::new();
        for (choice, text) in choices {
            let edit = edit(&values, choice, &text);
            let alone = edits.iter().all(|other| other.path != edit.path);
            if alone || matches!(edit.action, Action::Insert(_))
                && edits.iter().all(|other| other.path != edit.path || matches!(other.action, Action::Insert(_)))
            {
                expected = expected.edited(&edit);
                edits.push(edit);
            }
        }
        let patched = before.patch(&edits);
        let patched = patched.unwrap_or_else(|error| panic!("{error}\n{edits:?}\n{source}"));
        let after = Toml::parse(patched.text.as_bytes()).expect("the result is TOML");
        prop_assert_eq!(plain_table(after.root()), expected);
        prop_assert!(before.verify(&after, &edits).is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..60)) {
        let _ = Toml::parse(&bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Toml::parse(text.as_bytes());
    }

    #[test]
    fn an_error_never_shows_the_text(
        bytes in vec(any::<u8>(), 0..200),
        place in any::<prop::sample::Index>(),
        noise in "[\\[\\]{}=.,\"'#\\\\\n\ré0-9a-z]{1,3}",
    ) {
        let mut text = document(&bytes).replace("/cache", "CANARY");
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        text.insert_str(*place.get(&places), &noise);
        match Toml::parse(text.as_bytes()) {
            Err(error) => {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("CANARY"), "{}", shown);
            }
            Ok(toml) => {
                let edit = Edit::set(["runners".into(), 0.into(), "docker".into(), "volumes".into()], true);
                if let Err(error) = toml.patch(&[edit]) {
                    let shown = format!("{error} {error:?}");
                    prop_assert!(!shown.contains("CANARY"), "{}", shown);
                }
            }
        }
    }

    #[test]
    fn any_toml_takes_an_edit_or_says_why_not(
        lines in vec(prop::sample::select(LINES), 0..9),
        crlf in any::<bool>(),
        paths in vec(vec(prop_oneof![
            prop::sample::select(vec!["a", "b", "c"]).prop_map(Step::from),
            (0..2_usize).prop_map(Step::from),
        ], 1..4), 1..4),
        lists in any::<bool>(),
    ) {
        let text = lines.join(if crlf { "\r\n" } else { "\n" });
        let Ok(before) = Toml::parse(text.as_bytes()) else {
            return Ok(());
        };
        let edit = |path| if lists { Edit::insert(path, "x") } else { Edit::set(path, 7) };
        let edits: Vec<Edit> = paths.into_iter().map(edit).collect();
        match before.patch(&edits) {
            Ok(patched) => {
                let after = Toml::parse(patched.text.as_bytes()).expect("the result is TOML");
                let values = plain_table(before.root());
                let expected = edits.iter().fold(values, |values, edit| values.edited(edit));
                prop_assert_eq!(plain_table(after.root()), expected);
            }
            Err(error) => prop_assert!(!error.message.contains("this layout"), "{error}\n{text}\n{edits:?}"),
        }
    }
}
