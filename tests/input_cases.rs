//! The table of bad input is whole, and every test that it names is there.

#![expect(clippy::disallowed_methods, reason = "the test reads the tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a table that can't be read stops the test")]

mod support;

/// The cases that were known from other programs and from trials; those after them are our own.
const KNOWN: usize = 95;
/// Of the cases, so many may have a reason instead of a test.
const UNTESTED: usize = 3;

#[test]
fn every_case_has_a_test_or_a_reason() {
    let table = std::fs::read_to_string(support::source().join("tests/input_cases.tsv")).unwrap();
    let lines: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() >= KNOWN + 25, "{} cases", lines.len());
    let mut reasons = 0;
    for (index, line) in lines.iter().enumerate() {
        let [number, title, tests] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        assert_eq!(number, (index + 1).to_string(), "the numbers go on: {line}");
        assert!(!title.is_empty());
        if let Some(reason) = tests.strip_prefix("not tested: ") {
            assert!(reason.len() > 20, "{line}");
            reasons += 1;
            continue;
        }
        for test in tests.split(", ") {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test}: FILE::TEST"));
            let file = if file.starts_with("src/") { file.to_owned() } else { format!("tests/{file}") };
            let text = std::fs::read_to_string(support::source().join(&file))
                .unwrap_or_else(|error| panic!("case {number}: {file}: {error}"));
            let attributes = text.split_once(&format!("fn {name}(")).map(|(before, _)| before);
            let attributes =
                attributes.unwrap_or_else(|| panic!("case {number}: there is no {name} in {file}"));
            assert!(attributes.trim_end().ends_with("#[test]"), "case {number}: {name} is not a test");
        }
    }
    assert_eq!(reasons, UNTESTED);
}
