use super::*;

const PRIVILEGED: &str = "runners.0.docker.privileged";

#[test]
fn a_key_goes_behind_the_last_one_of_its_own_table() {
    check(
        "concurrent = 1\n\n[[runners]]\n  name = 'a' # c\n  # volumes\n\n  [runners.docker]\n    image = 'x'\n\n  [runners.cache]\n[session_server]\n",
        &[
            set("check_interval", 0),
            set("runners.0.limit", 1),
            set(PRIVILEGED, true),
            set("session_server.timeout", 5),
        ],
        "concurrent = 1\ncheck_interval = 0\n\n[[runners]]\n  name = 'a' # c\n  limit = 1\n  # volumes\n\n  [runners.docker]\n    image = 'x'\n    privileged = true\n\n  [runners.cache]\n[session_server]\n  timeout = 5\n",
    );
}

#[test]
fn a_missing_last_newline_stays_missing() {
    check("[t]\n\ta = 1", &[set("t.b", 2)], "[t]\n\ta = 1\n\tb = 2");
    check("[t]", &[set("t.b", 2)], "[t]\n  b = 2");
    check("[t] # c", &[set("t.u.b", 2)], "[t] # c\n  [t.u]\n    b = 2");
    assert_eq!(patch("a = 1\r\n[t]", &[set("t.b", 2)]), "a = 1\r\n[t]\r\n  b = 2");
}

#[test]
fn mixed_line_endings_follow_the_neighbour() {
    assert_eq!(
        patch("a = 1\n[t]\r\nb = 1\r\n[u]\nc = 1\n", &[set("t.x", 1), set("u.x", 1), set("y", 1)]),
        "a = 1\ny = 1\n[t]\r\nb = 1\r\nx = 1\r\n[u]\nc = 1\nx = 1\n"
    );
}

#[test]
fn a_new_table_goes_to_the_end_of_its_runner() {
    // Indented as gitlab-runner writes it.
    check(
        "[[runners]]\n  name = 'a'\n  [runners.custom_build_dir]\n  [runners.cache]\n    Type = 's3'\n    [runners.cache.s3]\n      A = 'b'\n\n# second\n[[runners]]\n  name = 'b'\n",
        &[
            set(PRIVILEGED, true),
            insert("runners.0.docker.volumes", "/cache"),
            set("runners.1.docker.privileged", true),
        ],
        "[[runners]]\n  name = 'a'\n  [runners.custom_build_dir]\n  [runners.cache]\n    Type = 's3'\n    [runners.cache.s3]\n      A = 'b'\n  [runners.docker]\n    privileged = true\n    volumes = [\"/cache\"]\n\n# second\n[[runners]]\n  name = 'b'\n  [runners.docker]\n    privileged = true\n",
    );
    // Flat.
    check(
        "[[runners]]\nname = 'a'\n\n[runners.cache]\nType = 's3'\n\n[[runners]]\nname = 'b'\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\nname = 'a'\n\n[runners.cache]\nType = 's3'\n\n[runners.docker]\nprivileged = true\n\n[[runners]]\nname = 'b'\n",
    );
    check(
        "[[runners]]\nname = 'a'\n[[runners]]\nname = 'b'\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\nname = 'a'\n\n[runners.docker]\nprivileged = true\n[[runners]]\nname = 'b'\n",
    );
    check(
        "[[runners]]\nname = 'a'\n[runners.cache]\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\nname = 'a'\n[runners.cache]\n[runners.docker]\nprivileged = true\n",
    );
    // Tabs.
    check(
        "[[runners]]\n\tname = 'a'\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\n\tname = 'a'\n\t[runners.docker]\n\t\tprivileged = true\n",
    );
    // Other tables stand between.
    check(
        "[[runners]]\n  name = 'a'\n[session_server]\n  t = 1\n  [runners.cache]\n    x = 1\n[z]\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\n  name = 'a'\n[session_server]\n  t = 1\n  [runners.cache]\n    x = 1\n  [runners.docker]\n    privileged = true\n[z]\n",
    );
}

#[test]
fn comments_stay_with_what_they_are_about() {
    // Those of the runner before the new header, those of the next header after it.
    check(
        "[[runners]]\n  name = 'a'\n  # tags\n# next\n[[runners]]\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\n  name = 'a'\n  # tags\n  [runners.docker]\n    privileged = true\n# next\n[[runners]]\n",
    );
    check(
        "[[runners]]\n  name = 'a'\n# end\n\n# next\n[[runners]]\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\n  name = 'a'\n# end\n  [runners.docker]\n    privileged = true\n\n# next\n[[runners]]\n",
    );
    check(
        "[[runners]]\n  name = 'a'\n  # end",
        &[set(PRIVILEGED, true)],
        "[[runners]]\n  name = 'a'\n  # end\n  [runners.docker]\n    privileged = true",
    );
}

#[test]
fn an_implied_table_gets_its_header_in_front() {
    check(
        "[[runners]]\n  name = 'a'\n  # why\n    [runners.docker.sysctls]\n      a = '1'\n",
        &[set(PRIVILEGED, true), set("runners.0.docker.x.y", 1)],
        "[[runners]]\n  name = 'a'\n  [runners.docker]\n    privileged = true\n  # why\n    [runners.docker.sysctls]\n      a = '1'\n    [runners.docker.x]\n      y = 1\n",
    );
    check(
        "[[runners]]\nname = 'a'\n\n[[runners.docker.services]]\nname = 's'\n",
        &[set(PRIVILEGED, true)],
        "[[runners]]\nname = 'a'\n\n[runners.docker]\nprivileged = true\n\n[[runners.docker.services]]\nname = 's'\n",
    );
    check(
        "x = '''\n# a'''\n[a.b.c]\n",
        &[set("a.k", 1), set("a.b.k", 2), set("k", 3)],
        "x = '''\n# a'''\nk = 3\n[a]\n  k = 1\n[a.b]\n  k = 2\n[a.b.c]\n",
    );
}

#[test]
fn the_root_takes_keys_before_the_first_header() {
    check("", &[set("a", 1)], "a = 1\n");
    check("# c", &[set("a", 1)], "# c\na = 1");
    check("# c\n\n", &[set("a", 1), set("t.b", 2)], "# c\n\na = 1\n\n[t]\n  b = 2\n");
    check("# top\n\n# t\n[t]\n", &[set("a", 1)], "# top\n\na = 1\n\n# t\n[t]\n");
    check("[a.b]\n", &[set("k", 1), set("a.x", 2)], "k = 1\n\n[a]\n  x = 2\n[a.b]\n");
}

#[test]
fn a_new_table_of_the_root_goes_to_the_end() {
    check("a = 1\n", &[set("t.b", 2)], "a = 1\n\n[t]\n  b = 2\n");
    check("[[runners]]\n  a = 1\n\n\n", &[set("t.b", 2)], "[[runners]]\n  a = 1\n\n[t]\n  b = 2\n\n\n");
    check(
        "[s]\nx = 1\n[[runners]]\na = 1",
        &[set("t.u.b", 2)],
        "[s]\nx = 1\n[[runners]]\na = 1\n[t.u]\nb = 2",
    );
    // Three tables end at one place: the keys come first, then the deepest new header.
    check(
        "[[r]]\n  a = 1\n  [r.d]\n    b = 1\n",
        &[set("t.x", 1), set("r.0.e.x", 1), set("r.0.d.f.x", 1), set("r.0.d.c", 1)],
        "[[r]]\n  a = 1\n  [r.d]\n    b = 1\n    c = 1\n    [r.d.f]\n      x = 1\n  [r.e]\n    x = 1\n\n[t]\n  x = 1\n",
    );
}
