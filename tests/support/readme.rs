//! The code blocks of README.md: what a reader copies is what the tests run.

use super::source;

/// The code block whose opening fence ends in this name, as ```` ```yaml playbook.yml ````.
#[track_caller]
pub(crate) fn readme_block(name: &str) -> String {
    let text = std::fs::read_to_string(source().join("README.md")).expect("README.md can be read");
    block(&text, name).unwrap_or_else(|| panic!("README.md has no code block called {name}"))
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
