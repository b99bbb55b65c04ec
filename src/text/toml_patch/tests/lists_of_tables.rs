use super::*;

const SERVICE: &str = "runners.0.docker.services";

/// Edits of the service at a place.
fn service(index: usize) -> [Edit; 2] {
    [set(&format!("{SERVICE}.{index}.name"), "d"), insert(&format!("{SERVICE}.{index}.command"), "-x")]
}

fn gone(index: usize) -> Edit {
    Edit::new(path(&format!("{SERVICE}.{index}")), Action::Remove)
}

/// A table comes, and when it goes again the document is as it was.
#[track_caller]
fn comes_and_goes(before: &str, index: usize, after: &str) {
    check(before, &service(index), after);
    check(after, &[gone(index)], before);
}

#[test]
fn a_new_table_goes_behind_the_last_one_of_its_list() {
    // Indented as gitlab-runner writes it.
    comes_and_goes(
        "[[runners]]\n  name = 'a'\n  [runners.docker]\n    image = 'x'\n    [[runners.docker.services]] # mine\n      name = 'a'\n      # mine too\n  [runners.cache]\n\n[[runners]]\n  name = 'b'\n",
        1,
        "[[runners]]\n  name = 'a'\n  [runners.docker]\n    image = 'x'\n    [[runners.docker.services]] # mine\n      name = 'a'\n      # mine too\n    [[runners.docker.services]]\n      name = \"d\"\n      command = [\"-x\"]\n  [runners.cache]\n\n[[runners]]\n  name = 'b'\n",
    );
    // Flat, with what is below the last one.
    comes_and_goes(
        "[[runners]]\n\n[[runners.docker.services]]\nname = 'a'\n\n[[runners.docker.services]]\nname = 'b'\n\n[runners.docker.services.extra]\na = 1\n\n[x]\n",
        2,
        "[[runners]]\n\n[[runners.docker.services]]\nname = 'a'\n\n[[runners.docker.services]]\nname = 'b'\n\n[runners.docker.services.extra]\na = 1\n\n[[runners.docker.services]]\nname = \"d\"\ncommand = [\"-x\"]\n\n[x]\n",
    );
    check(
        "a = 1\n[[t]] # c\n[[t]]\n\tb = 1\n",
        &[set("t.2.c.d", 1), set("t.3.b", 2), set("t.1.c", 3)],
        "a = 1\n[[t]] # c\n[[t]]\n\tb = 1\n\tc = 3\n[[t]]\n\t[t.c]\n\t\td = 1\n[[t]]\n\tb = 2\n",
    );
    check("[[t]]\na = 1", &[set("t.1.a", 2)], "[[t]]\na = 1\n\n[[t]]\na = 2");
}

#[test]
fn a_list_that_is_not_there_begins_with_its_first_table() {
    comes_and_goes(
        "[[runners]]\n  [runners.docker]\n    image = 'x'\n",
        0,
        "[[runners]]\n  [runners.docker]\n    image = 'x'\n    [[runners.docker.services]]\n      name = \"d\"\n      command = [\"-x\"]\n",
    );
    check(
        "[[runners]]\nlimit = 1\n[[runners]]\n",
        &service(0),
        "[[runners]]\nlimit = 1\n\n[[runners.docker.services]]\nname = \"d\"\ncommand = [\"-x\"]\n[[runners]]\n",
    );
    check(
        "[[runners]]\n  limit = 1\n",
        &[&[set("runners.0.docker.services_limit", 1)][..], &service(0), &service(1)].concat(),
        "[[runners]]\n  limit = 1\n  [runners.docker]\n    services_limit = 1\n    [[runners.docker.services]]\n      name = \"d\"\n      command = [\"-x\"]\n    [[runners.docker.services]]\n      name = \"d\"\n      command = [\"-x\"]\n",
    );
    // The table of docker is there only by what is below it.
    check(
        "[[runners]]\n  [runners.docker.sysctls]\n    a = 'b'\n",
        &[set("runners.0.docker.image", "x"), set("runners.0.docker.services.0.name", "d")],
        "[[runners]]\n  [runners.docker]\n    image = \"x\"\n  [runners.docker.sysctls]\n    a = 'b'\n  [[runners.docker.services]]\n    name = \"d\"\n",
    );
    check("", &[set("t.0.a", 1)], "\n[[t]]\n  a = 1\n");
}

#[test]
fn lists_between_brackets_get_tables_between_braces() {
    let both = [set("t.l.0.a", 1), set("t.l.1.b.c", "x"), set("t.l.1.d.0.e", true)];
    let made = "{ a = 1 }, { b = { c = \"x\" }, d = [{ e = true }] }";
    let inline = |text: &str| text.replace('@', made);
    check("[t]\nl = []\n", &both, &inline("[t]\nl = [@]\n"));
    check("t = {}\n", &both, &inline("t = { l = [@] }\n"));
    check("t.a = 1\n", &both, &inline("t.a = 1\nt.l = [@]\n"));
    check("t = { a.b = 1 }\n", &[set("t.a.l.0.c", 2)], "t = { a.b = 1, a.l = [{ c = 2 }] }\n");
    for (before, after) in [
        ("l = [{ a = 1 }]\n", "l = [{ a = 1 }, { b = 2 }]\n"),
        ("l = [ {a=1} , ] # c\n", "l = [ {a=1} , { b = 2 }, ] # c\n"),
        ("l = [\n  { a = 1 }, # c\n]\n", "l = [\n  { a = 1 }, # c\n  { b = 2 },\n]\n"),
        ("l = [\n  { a = 1 } # c\n]\n", "l = [\n  { a = 1 }, # c\n  { b = 2 }\n]\n"),
    ] {
        check(before, &[set("l.1.b", 2)], after);
    }
    let remove = |index| Edit::new(path(&format!("l.{index}")), Action::Remove);
    check("l = [{ a = 1 }, { b = 2 }]\n", &[remove(1)], "l = [{ a = 1 }]\n");
    check("l = [{ a = 1 }, { b = 2 }]\n", &[remove(0), set("l.1.b", 3)], "l = [{ b = 3 }]\n");
    check("l = [{ a = 1 }]\n", &[remove(0)], "l = []\n");
}

#[test]
fn a_table_goes_with_its_keys_and_nothing_else() {
    check(
        "[[t]]\na = 1\n\n# first\n[[t]] # c\n  # of a\n  a.b = '''\n[[t]]'''\n  c = [ # d\n  ] # e\n[x]\n",
        &[Edit::new(path("t.1"), Action::Remove)],
        "[[t]]\na = 1\n\n# first\n# c\n  # of a\n  # e\n[x]\n",
    );
    check(
        "[[t]]\n\n[[t]]\na = 1\n",
        &[Edit::new(path("t.0"), Action::Remove), set("t.1.a", 2)],
        "\n[[t]]\na = 2\n",
    );
}

#[test]
fn other_lists_and_other_tables_stay() {
    let remove = |words: &str| Edit::new(path(words), Action::Remove);
    fails(
        "l = ['x']\n",
        &[set("l.1.a", 1)],
        "line 1, column 6: l: is a list with an element that is not a table",
    );
    fails("l = ['x']\n", &[remove("l.0")], "line 1, column 6: l[0]: is a single value, not a list");
    fails("[[l]]\n[l.a]\n", &[remove("l.0")], "line 1, column 1: l[0]: holds other tables");
    fails("[l]\n", &[remove("l.0")], "line 1, column 1: l: is a table, not a list");
    fails("[[l]]\n", &[remove("l.1")], "line 1, column 1: l: has no element 1, only 1");
    fails(
        "",
        &[set("l.0.a", 1), set("l.b", 1)],
        "line 1, column 1: l.b: two edits of one patch contradict each other",
    );
    fails(
        "l = [{ a = 1 }]\n",
        &[remove("l.0"), set("l.1.a", 2)],
        "line 1, column 5: l: can't lose tables and get others in one patch",
    );
    let error = parse("[[l]]\na = 1\n").patch(&[remove("l.0"), set("l.1.a", 2)]).unwrap_err();
    assert_eq!(error.message, "two edits of one patch overlap");
}
