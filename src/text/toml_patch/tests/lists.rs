use super::*;

fn set_list(words: &str, values: &[&str]) -> Edit {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Edit::new(path(words), Action::SetList(values))
}

fn remove(words: &str, value: &str) -> Edit {
    Edit::new(path(words), Action::RemoveElement(value.to_owned()))
}

#[test]
fn elements_are_appended_in_the_manner_of_the_list() {
    for (before, after) in [
        ("l = []", r#"l = ["x", "y"]"#),
        ("l = [ ] # c", r#"l = [ "x", "y" ] # c"#),
        ("l = [\n]", "l = [\n  \"x\",\n  \"y\"\n]"),
        ("l = [\n\t]", "l = [\n\t\t\"x\",\n\t\t\"y\"\n\t]"),
        ("l = [ # c\n  ]", "l = [ # c\n    \"x\",\n    \"y\"\n  ]"),
        ("l = [\n    # c\n\n]", "l = [\n    # c\n\n    \"x\",\n    \"y\"\n]"),
        (r#"l = ["a"]"#, r#"l = ["a", "x", "y"]"#),
        ("l = [ 'a' ]", r#"l = [ 'a', "x", "y" ]"#),
        ("l = ['a','b']", r#"l = ['a','b',"x","y"]"#),
        ("l = ['a', ]", r#"l = ['a', "x", "y", ]"#),
        ("l = ['a' # c\n]", "l = ['a', \"x\", \"y\" # c\n]"),
        ("l = ['a', # c\n]", "l = ['a', \"x\", \"y\", # c\n]"),
        ("l = [\n  'a',\n  'b'\n]", "l = [\n  'a',\n  'b',\n  \"x\",\n  \"y\"\n]"),
        (
            "l = [\n  'a', # a\n  'b', # b\n  # c\n]",
            "l = [\n  'a', # a\n  'b', # b\n  \"x\",\n  \"y\",\n  # c\n]",
        ),
        ("l = [\n  'a' # a\n  # c\n]", "l = [\n  'a', # a\n  \"x\",\n  \"y\"\n  # c\n]"),
        ("l = [\n  'a' # a\n  , # c\n]", "l = [\n  'a' # a\n  , # c\n  \"x\",\n  \"y\",\n]"),
        ("l = [\n  'a' ]", "l = [\n  'a',\n  \"x\",\n  \"y\" ]"),
        ("l = [\n 'a', 'b',\n 'c', 'd' ]", "l = [\n 'a', 'b',\n 'c', 'd', \"x\", \"y\" ]"),
        ("l = ['''\na''']", "l = ['''\na''', \"x\", \"y\"]"),
        ("t = 1", "t = 1\nl = [\"x\", \"y\"]"),
    ] {
        check(before, &[insert("l", "x"), insert("l", "y")], after);
    }
}

#[test]
fn one_element_is_replaced() {
    let edit = |index, value: &str| {
        let value = value.to_owned();
        Edit::new(path("l"), Action::Replace { index, value })
    };
    check("l = ['a', 'b', # c\n 'c']", &[edit(1, "x")], "l = ['a', \"x\", # c\n 'c']");
    check("l = ['a', 'b']", &[edit(0, "a"), edit(1, "x"), insert("l", "y")], "l = ['a', \"x\", \"y\"]");
}

#[test]
fn elements_are_removed_with_their_commas() {
    for (before, gone, after) in [
        ("l = ['a']", "a", "l = []"),
        ("l = [ 'a', ]", "a", "l = []"),
        ("l = ['a', 'b']", "a", "l = ['b']"),
        ("l = ['a', 'b']", "b", "l = ['a']"),
        ("l = ['a', 'b', ]", "b", "l = ['a', ]"),
        ("l = ['a', 'b', 'b']", "b", "l = ['a']"),
        ("l = ['b', 'a', 'b']", "b", "l = ['a']"),
        ("l = [\n  'a',\n  'b',\n]", "b", "l = [\n  'a',\n]"),
        ("l = [\n  'a',\n  'b'\n]", "b", "l = [\n  'a'\n]"),
        ("l = [\n  'a', # a\n  'b' # b\n]", "b", "l = [\n  'a' # a\n  # b\n]"),
        ("l = [\n  'a', # a\n  'b' # b\n]", "a", "l = [\n  # a\n  'b' # b\n]"),
        ("l = [\n  'a' # a\n  ,\n  'b'\n]", "a", "l = [\n   # a\n  \n  'b'\n]"),
        ("l = [ 'a' # a\n]", "a", "l = [ # a\n]"),
        ("l = ['a']", "z", "l = ['a']"),
        ("t = 1", "z", "t = 1"),
        ("t = 1\n[u]", "z", "t = 1\n[u]"),
    ] {
        check(before, &[remove("l", gone)], after);
    }
    check("[u]\n", &[remove("u.v.l", "x")], "[u]\n");
}

#[test]
fn a_whole_list_is_set_with_few_changes() {
    for (before, values, after) in [
        ("l = ['a', 'b', 'c'] # l", &["b", "c"][..], "l = ['b', 'c'] # l"),
        ("l = ['a', 'b']", &["a", "x", "y"], "l = ['a', \"x\", \"y\"]"),
        ("l = ['a', 'b', 'c']", &["x", "b"], "l = [\"x\", 'b']"),
        ("l = ['a', 'b']", &[], "l = []"),
        ("l = []", &["a"], "l = [\"a\"]"),
        ("", &["a"], "l = [\"a\"]\n"),
        ("", &[], "l = []\n"),
    ] {
        check(before, &[set_list("l", values)], after);
    }
}

#[test]
fn elements_that_go_and_come_at_once_share_places() {
    check("l = ['a', 'b', 'c']", &[remove("l", "c"), insert("l", "x")], "l = ['a', 'b', \"x\"]");
    check("l = ['a', 'b', 'c']", &[insert("l", "x"), remove("l", "a")], "l = [\"b\", \"c\", \"x\"]");
    check("l = ['a']", &[remove("l", "a"), insert("l", "a")], "l = ['a']");
}
