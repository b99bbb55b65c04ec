//! The pages that people read, README first: what a reader copies from them is what the tests run.

use super::source;

/// Every page, by its path in the repository.
pub(crate) const PAGES: [&str; 5] = [
    "README.md",
    "profiles/README.md",
    ".package/README.md",
    ".github/CONTRIBUTING.md",
    "tests/bench/README.md",
];

/// The text of a page.
#[track_caller]
pub(crate) fn page(path: &str) -> String {
    std::fs::read_to_string(source().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// True where what the tests compare with is to be written anew.
pub(crate) fn renew() -> bool {
    std::env::var_os("RUNNER_PREP_RENEW").is_some()
}

/// The code block whose opening fence ends in this name, as ```` ```yaml playbook.yml ````; it stands on one of the pages.
#[track_caller]
pub(crate) fn readme_block(name: &str) -> String {
    let found = PAGES.iter().find_map(|path| block(&page(path), name));
    found.unwrap_or_else(|| panic!("no page has a code block called {name}"))
}

fn block(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| {
        line.strip_prefix("```")
            .and_then(|info| info.split_once(' '))
            .is_none_or(|(_, called)| called != name)
    });
    lines.next()?;
    Some(lines.take_while(|line| *line != "```").fold(String::new(), |all, line| all + line + "\n"))
}
