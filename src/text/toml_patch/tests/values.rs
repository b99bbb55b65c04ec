use super::*;

#[test]
fn a_value_is_replaced_and_its_line_stays() {
    check(
        "concurrent=1# c\n [ t ] # t\n\tkey  =  'old'  # why\n",
        &[set("concurrent", 4), set("t.key", "new")],
        "concurrent=4# c\n [ t ] # t\n\tkey  =  \"new\"  # why\n",
    );
    check("a = true", &[set("a", false)], "a = false");
    check("a = \"\"\"\n# x\n[b]\n\"\"\" # c\n", &[set("a", "y")], "a = \"y\" # c\n");
    check("privileged = \"true\"\n", &[set("privileged", true)], "privileged = true\n");
}

#[test]
fn an_equal_value_keeps_its_spelling() {
    let text = "a = 0x10\nb = 'x'\nc = \"\"\"y\"\"\"\nd = [ 'z', ]\n";
    let list = Edit::new(path("d"), Action::SetList(vec!["z".to_owned()]));
    let edits = [set("a", 16), set("b", "x"), set("c", "y"), list];
    check(text, &edits, text);
}

#[test]
fn keys_are_found_however_they_are_written() {
    check(
        "[[\"runners\"]]\n'a b' = 1\n",
        &[Edit::set(["runners".into(), 0.into(), "a b".into()], 2)],
        "[[\"runners\"]]\n'a b' = 2\n",
    );
    check("\"\\u0061\" . b  = 1\n", &[set("a.b", 2)], "\"\\u0061\" . b  = 2\n");
    check("[ a . 'b' ]\nc = 1\n", &[set("a.b.c", 2)], "[ a . 'b' ]\nc = 2\n");
}

#[test]
fn new_keys_and_values_are_written_as_toml_1_0() {
    let edit = Edit::set(["a b".into()], "C:\\x\u{1b}\n\"é\"");
    check("", &[edit], "\"a b\" = \"C:\\\\x\\u001B\\n\\\"é\\\"\"\n");
}

#[test]
fn strings_that_look_like_toml_are_left_alone() {
    let text = "[[runners]]\n  a = \"\"\"\n[[runners]]\n  # b = 1\n  b = 1\n\"\"\"\n  [runners.docker]\n    c = '''\n# d'''\n";
    check(
        text,
        &[set("runners.0.b", 2), set("runners.0.docker.e", 3), set("runners.0.x.y", 4)],
        "[[runners]]\n  a = \"\"\"\n[[runners]]\n  # b = 1\n  b = 1\n\"\"\"\n  b = 2\n  [runners.docker]\n    c = '''\n# d'''\n    e = 3\n  [runners.x]\n    y = 4\n",
    );
}

#[test]
fn inline_tables_get_keys_between_their_braces() {
    for (before, after) in [
        ("t = {}", "t = { k = true }"),
        ("t = { } # c", "t = { k = true } # c"),
        ("t = {  }", "t = { k = true  }"),
        ("t = { a = 1 }", "t = { a = 1, k = true }"),
        ("t = {a=1}", "t = {a=1, k = true}"),
        ("t = { a.b = 1, c = 2, a.d = { e = 3 } }", "t = { a.b = 1, c = 2, a.d = { e = 3 }, k = true }"),
        // TOML 1.1 stays as it is and gets no line break or last comma of ours.
        ("t = {\n  a = 1, # c\n}", "t = {\n  a = 1, k = true, # c\n}"),
        ("t = {\n  a = 1 # c\n  ,\n}", "t = {\n  a = 1, k = true # c\n  ,\n}"),
        ("t = {\n  # c\n}", "t = { k = true\n  # c\n}"),
    ] {
        check(before, &[set("t.k", true)], after);
    }
}

#[test]
fn inline_lists_of_runners_are_found_by_number() {
    check(
        "runners = [ { name = 'a' }, { name = 'b', docker = { image = 'x' } } ]\n",
        &[
            set("runners.0.docker.privileged", true),
            insert("runners.0.docker.volumes", "/cache"),
            set("runners.1.docker.image", "y"),
            set("runners.1.docker.sysctls.a", "1"),
        ],
        "runners = [ { name = 'a', docker = { privileged = true, volumes = [\"/cache\"] } }, { name = 'b', docker = { image = \"y\", sysctls = { a = \"1\" } } } ]\n",
    );
}

#[test]
fn dotted_keys_stay_dotted() {
    let text = "[[runners]]\n  docker.image = 'x'\n  name = 'n'\n[runners.docker.sysctls]\n";
    let edits = [set("runners.0.docker.privileged", true), set("runners.0.docker.services.a.b", 1)];
    check(
        text,
        &edits,
        "[[runners]]\n  docker.image = 'x'\n  docker.privileged = true\n  docker.services.a.b = 1\n  name = 'n'\n[runners.docker.sysctls]\n",
    );
    let text = "t = { 'docker' . image = 'x', name = 'n' }";
    let edits = [set("t.docker.privileged", true)];
    check(text, &edits, "t = { 'docker' . image = 'x', docker.privileged = true, name = 'n' }");
    let patched = parse("[a]\n").patch(&[set("a.b.c", true)]).unwrap();
    assert!(!patched.text.contains("b.c"), "{}", patched.text);
}

fn remove(words: &str) -> Edit {
    Edit::new(path(words), Action::Remove)
}

#[test]
fn a_key_goes_with_its_line_and_nothing_else() {
    let text = "a = 1\n[t] # t\n  b = [\n    'x',\n  ]\n  # c\n  c = 2 # mine\nd = 3\n";
    check(text, &[remove("t.b")], "a = 1\n[t] # t\n  # c\n  c = 2 # mine\nd = 3\n");
    check(text, &[remove("t.c")], "a = 1\n[t] # t\n  b = [\n    'x',\n  ]\n  # c\n  # mine\nd = 3\n");
    check(text, &[remove("a"), remove("t.d")], "[t] # t\n  b = [\n    'x',\n  ]\n  # c\n  c = 2 # mine\n");
    check(text, &[remove("t.x"), remove("x.y")], text);
    check("[t]\na.b = 1\na.c = 2\n", &[remove("t.a.b")], "[t]\na.c = 2\n");
    check("[t]\na.b = 1\n", &[remove("t.a.b")], "[t]\n");
}

#[test]
fn the_last_line_goes_as_it_came() {
    check("[t]\na = 1\nb = 2", &[remove("t.b")], "[t]\na = 1");
    check("[t]\na = 1", &[remove("t.a")], "[t]");
    let all = patch("[t]\na = 1\nb = 2", &[remove("t.a"), remove("t.b")]);
    assert_eq!(all.trim_end(), "[t]");
}

#[test]
fn an_entry_goes_with_one_comma() {
    let text = "t = { a = 1, b = 2, c = 3 }\n";
    check(text, &[remove("t.a")], "t = { b = 2, c = 3 }\n");
    check(text, &[remove("t.b")], "t = { a = 1, c = 3 }\n");
    check(text, &[remove("t.c")], "t = { a = 1, b = 2 }\n");
    check(text, &[remove("t.a"), remove("t.b")], "t = { c = 3 }\n");
    check(text, &[remove("t.c"), remove("t.b")], "t = { a = 1 }\n");
    check(text, &[remove("t.c"), remove("t.b"), remove("t.a")], "t = { }\n");
    // What stands between the last value and its comma stays.
    check("t = [{a = 1\n # ',] }\n # b\n,}, {}]\n", &[remove("t.0.a")], "t = [{\n # ',] }\n # b\n}, {}]\n");
    check("t = { a = 1 , }\n", &[remove("t.a")], "t = { }\n");
}

#[test]
fn a_whole_table_never_goes() {
    fails("a = { b = 1 }\n", &[remove("a")], "line 1, column 5: a: is a table, not a value");
    fails("[a]\nb = 1\n", &[remove("a")], "line 1, column 1: a: is a table, not a value");
}

#[test]
fn a_table_without_keys_goes_where_that_is_asked() {
    let unmake = |words: &str| Edit::new(path(words), Action::Unmake);
    let all = [remove("t.a"), remove("t.u.b"), unmake("t"), unmake("t.u"), unmake("x.y")];
    check("r = 1\n\n[t]\na = 1 # mine\n\n[t.u]\nb = 2\n", &all, "r = 1\n# mine\n");
    check("[t]\na = 1\n[t.u]\nb = 2\nc = 3\n", &all, "[t.u]\nc = 3\n");
    check("[r]\n\n[t]\na = 1\n\n  [t.u]\n  b = 2\n\n[s]\n", &all, "[r]\n\n[s]\n");
    check("[r]\n\n[t]\na = 1\n[t.u]\nb = 2\n[s]\n", &all, "[r]\n\n[s]\n");
    check("[r]\n\n[t]\na = 1\n[t.u]\nb = 2\n", &all, "[r]\n");
    check("[t]\nc = 1\n[t.u]\n", &all, "[t]\nc = 1\n");
    check("[t]\nu.b = 1\na = 2\n[v]\n", &all, "[v]\n");
    check("t = { a = 1, u = { b = 2 } } # mine\n", &all, "# mine\n");
    check("t = { c = 1, u = { b = 2 } }\n", &all, "t = { c = 1 }\n");
    check("t = { a = 1, u = { c = 2 } }\n", &all, "t = { u = { c = 2 } }\n");
    check("a = 1\nb = 2\n\n# t\n[t]\n", &[remove("a"), remove("b")], "# t\n[t]\n");
    check("a = 1\nb = 2\n\n# t\n[t]\n", &[remove("a")], "b = 2\n\n# t\n[t]\n");
    fails("t = 1\n", &[unmake("t")], "line 1, column 5: t: is a single value, not a list");
}
