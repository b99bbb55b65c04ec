use super::*;

#[test]
fn wrong_shapes_name_the_path_and_the_place() {
    let text = "a = 1\nlist = [1]\n\n[[runners]]\n  name = \"x\"\n  docker = 'no'\n  inline = { 'é' = 1, a = [] }\n[t]\n";
    let cases: [(Edit, &str); 17] = [
        (set("a.b", true), "line 1, column 5: a: is a single value, not a table"),
        (set("a.0", true), "line 1, column 5: a: is a single value, not a list"),
        (insert("a", "x"), "line 1, column 5: a: is a single value, not a list"),
        (insert("list", "x"), "line 2, column 9: list: is a list with an element that is not a string"),
        (set("list", true), "line 2, column 8: list: is a list, and a single value is asked for"),
        (set("list.x", true), "line 2, column 8: list: is a list, not a table"),
        (set("list.1", 2), "line 2, column 8: list: has no element 1, only 1"),
        (set("t", true), "line 8, column 1: t: is a table, not a value"),
        (insert("t", "x"), "line 8, column 1: t: is a table, not a value"),
        (set("t.0", true), "line 8, column 1: t: is a table, not a list"),
        (set("runners", true), "line 4, column 1: runners: is a list of tables, not a value"),
        (set("runners.0", true), "line 4, column 1: runners[0]: is a table, not a value"),
        (set("runners.name", true), "line 4, column 1: runners: is a list, not a table"),
        (set("runners.2.x", true), "line 4, column 1: runners: has no element 2, only 1"),
        (
            set("runners.0.docker.x", true),
            "line 6, column 12: runners[0].docker: is a single value, not a table",
        ),
        (set("runners.0.inline", true), "line 7, column 12: runners[0].inline: is a table, not a value"),
        (
            set("runners.0.inline.é.x", true),
            "line 7, column 20: runners[0].inline.\"é\": is a single value, not a table",
        ),
    ];
    for (edit, error) in cases {
        fails(text, &[edit], error);
    }
}

#[test]
fn what_is_not_there_can_not_be_chosen_by_number() {
    fails("", &[set("runners.1.x", true)], "line 1, column 1: runners: has no element 1, only 0");
    fails("", &[set("runners.0", true)], "line 1, column 1: runners: has no element 0, only 0");
    let replace = |index| {
        let value = "y".to_owned();
        Edit::new(path("t.list"), Action::Replace { index, value })
    };
    fails("[t]\n", &[replace(0)], "line 1, column 1: t.list: has no element 0, only 0");
    let text = "[t]\nlist = ['x']\n";
    fails(text, &[replace(1)], "line 2, column 8: t.list: has no element 1, only 1");
}

#[test]
fn edits_that_contradict_each_other_are_refused() {
    let clash = |edits: &[Edit]| {
        let error = parse("a = 1\n").patch(edits).unwrap_err();
        assert_eq!(error.message, "two edits of one patch contradict each other");
    };
    clash(&[set("a", 1), set("a", 2)]);
    clash(&[set("b", 1), insert("b", "x")]);
    clash(&[set("b", 1), set("b.c", 2)]);
    clash(&[set("b.c", 1), set("b", 2)]);
    let below = |step: Step| Edit::set(vec!["c".into(), 0.into(), step], 7);
    clash(&[below(0.into()), below("a".into())]);
    clash(&[below("a".into()), below(0.into())]);
    let list = |value: &str| Edit::new(path("b"), Action::SetList(vec![value.to_owned()]));
    clash(&[list("x"), list("y")]);
    clash(&[list("x"), insert("b", "x")]);
    check("a = 1\n", &[set("a", 2), set("a", 2)], "a = 2\n");
}

#[test]
fn a_path_has_steps_and_an_end() {
    let error = parse("").patch(&[Edit::set([], true)]).unwrap_err();
    assert_eq!(error.message, "the path of an edit is empty");
    let deep = vec![Step::from("a"); 65];
    let error = parse("").patch(&[Edit::set(deep, true)]).unwrap_err();
    assert_eq!(error.message, "the path of an edit is too long");
}

#[test]
fn broken_documents_are_refused_without_showing_them() {
    let cases: [(&[u8], &str); 12] = [
        (b"token = glrt-CANARY\n", "line 1, column 9: string values must be quoted, expected literal string"),
        (b"token = \"glrt-CANARY\n", "line 1, column 21: invalid basic string, expected `\"`"),
        (b"a = 1\n[b]\n  glrt-CANARY\n", "line 3, column 14: key with no value, expected `=`"),
        (b"a = 1\na = 2\n", "line 2, column 1: duplicate key"),
        (b"a = 1\n[a.b]\n", "line 2, column 2: cannot extend value of type integer with a dotted key"),
        (b"\xff\xfea\0", "line 1, column 1: not UTF-8"),
        (b"\xef\xbb\xbfa = 1\nb = '\xff'", "line 2, column 6: not UTF-8"),
        (b"a = 1\nb = '\0'\n", "line 2, column 6: NUL byte"),
        (b"a = 1\rb = 2\n", "line 1, column 6: carriage return without a line feed"),
        (b"a = '''\r'''\n", "line 1, column 8: carriage return without a line feed"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa = 1\n", "line 1, column 1: second byte order mark"),
        (b"a = 99999999999999999999\n", "line 1, column 5: integer number overflowed"),
    ];
    for (bytes, expected) in cases {
        let error = Toml::parse(bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("CANARY"));
    }
}

#[test]
fn debug_output_holds_no_text() {
    let toml = parse("token = 'glrt-CANARY'\n");
    assert_eq!(format!("{toml:?}"), "Toml { bytes: 22, bom: false, .. }");
    let patched = toml.patch(&[set("a", true)]).unwrap();
    assert_eq!(format!("{patched:?}"), "Patched { bytes: 31 }");
}
