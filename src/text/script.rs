//! What a script before each job hands on to it: the value that it gives a variable for certain.

use std::iter::Peekable;
use std::str::Chars;

/// The value that a script of bash or PowerShell gives a variable at last, and hands on to what is started after it.
/// `None` as well where that depends on something: a condition, a function, what another program says.
///
/// ```
/// use runner_prep::text::script::handed_on;
///
/// assert_eq!(handed_on("set -e; export A=1 B='2'", "B").as_deref(), Some("2"));
/// assert_eq!(handed_on("if x; then export B=2; fi", "B"), None);
/// assert_eq!(handed_on("echo 'a; export B=2' # export B=2", "B"), None);
/// ```
pub fn handed_on(script: &str, name: &str) -> Option<String> {
    let mut state = State { name, ..State::default() };
    let mut rest = script.chars().peekable();
    let (mut blocks, mut groups) = (0_usize, 0_usize);
    let (mut is_doubted, mut is_function) = (false, false);
    while let Some((words, end)) = statement(&mut rest) {
        let first = words.first().map(String::as_str).unwrap_or_default();
        match first {
            // These are run for certain, up to what else might be.
            "if" if blocks == 0 && ["true", ":"].contains(&words.get(1).map_or("", String::as_str)) => {}
            "{" if blocks == 0 && !is_function => {}
            "else" | "elif" if blocks > 0 => {}
            "if" | "else" | "elif" | "case" | "while" | "until" | "for" | "select" | "{" => blocks += 1,
            "fi" | "esac" | "done" | "}" => blocks = blocks.saturating_sub(1),
            "exit" | "return" | "exec" if blocks + groups == 0 && !is_doubted => break,
            _ => {}
        }
        // What is in a pipeline or in the background is handed on to nobody.
        let is_alone = !["|", "&"].contains(&end.as_str());
        if blocks + groups == 0 && !is_doubted && is_alone {
            state.take(&words);
        } else if words.iter().any(|word| word.contains(name)) {
            state.value = None;
        }
        is_function = end == ")";
        is_doubted = match end.as_str() {
            "||" => true,
            "&&" => is_doubted || ["[", "[[", "test"].contains(&first),
            _ => false,
        };
        match end.as_str() {
            "(" => groups += 1,
            ")" => groups = groups.saturating_sub(1),
            // A text of another file follows.
            "<<" => break,
            _ => {}
        }
    }
    state.value.filter(|_| state.is_exported)
}

/// The next words up to a separator, without quotes, and that separator.
fn statement(rest: &mut Peekable<Chars<'_>>) -> Option<(Vec<String>, String)> {
    rest.peek()?;
    let (mut words, mut word) = (Vec::new(), None::<String>);
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            '\'' => word.get_or_insert_default().extend(rest.by_ref().take_while(|c| *c != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    let escaped = if c == '\\' { rest.next_if(|c| ['"', '\\'].contains(c)) } else { None };
                    word.push(escaped.unwrap_or(c));
                }
            }
            '#' if word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            _ if "\n;&|()<".contains(c) => {
                let mut end = c.to_string();
                while let Some(same) = rest.next_if(|next| *next == c && "&|<".contains(c)) {
                    end.push(same);
                }
                if end == "<" {
                    continue;
                }
                words.extend(word);
                return Some((words, end));
            }
            _ if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some((words, String::new()))
}

#[derive(Default)]
struct State<'n> {
    name: &'n str,
    value: Option<String>,
    is_exported: bool,
    exports_all: bool,
}

impl State<'_> {
    /// The value that a word gives the variable.
    fn given(&self, word: &str) -> Option<String> {
        word.strip_prefix(self.name)?.strip_prefix('=').map(str::to_owned)
    }

    /// Run a statement that runs for certain.
    fn take(&mut self, words: &[String]) {
        let is_mark = |word: &&String| ["command", "builtin", "then", "{"].contains(&word.as_str());
        let words: Vec<&str> = words.iter().skip_while(is_mark).map(String::as_str).collect();
        let Some((first, rest)) = words.split_first() else { return };
        let has = |flag: char| rest.iter().any(|word| word.starts_with('-') && word.contains(flag));
        let is_named = |word: &&&str| **word == self.name || self.given(word).is_some();
        let named = rest.iter().filter(is_named).copied().next_back();
        let is_assignment = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
        };
        match *first {
            "set" => self.exports_all |= has('a') || rest.contains(&"allexport"),
            "unset" if named.is_some() => self.value = None,
            "export" | "declare" | "typeset" | "readonly" => {
                let Some(word) = named else { return };
                self.value = self.given(word).or_else(|| self.value.take());
                if *first == "export" {
                    self.is_exported = !has('n');
                } else {
                    self.is_exported |= has('x') || self.exports_all;
                }
            }
            _ if words.iter().all(is_assignment) => {
                if let Some(value) = words.iter().rev().find_map(|word| self.given(word)) {
                    self.value = Some(value);
                    self.is_exported |= self.exports_all;
                }
            }
            "eval" | ":" if rest.iter().any(|word| word.contains(self.name)) => self.value = None,
            _ => {
                // PowerShell's.
                let text = words.join(" ");
                let is_its = text.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("$env:"));
                let Some((name, value)) = text.split_once('=').filter(|_| is_its) else { return };
                if name[5..].trim().eq_ignore_ascii_case(self.name) {
                    self.value = Some(value.trim().to_owned());
                    self.is_exported = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_handed_on() {
        for script in [
            "export A=x",
            "export\tB=1 A=x # c",
            "set -e;export A='x'; true",
            "set -e && cd /srv && export A=\"x\"",
            "A=x; export A",
            "export A; A=x",
            "export \\\n  A=x",
            "command export A=x",
            "declare -x A=x",
            "set -o allexport\nA=x",
            "set -ea\nB=1 A=x",
            "export A=y\nexport A=x",
            "export A=y\nA=x",
            "if y; then z; fi\n{ w; }\n(v)\nexport A=x",
            "export A=x\r\n",
            "$env:A=\"x\"",
            "$Env:A = 'x'",
            "export A=x\ncat > f <<EOF\nexport A=y\nEOF",
            "export A=x; exit 0; export A=y",
            "if true; then B=1; export A=x; fi",
            "{ export A=x; }",
        ] {
            assert_eq!(handed_on(script, "A").as_deref(), Some("x"), "{script}");
        }
        for script in [
            "",
            "A=x",
            "A=x make",
            "env A=x make",
            "# export A=x",
            "true # export A=x",
            "echo \"a; export A=x\"",
            "printf 'export A=x' > f",
            "cat > f <<EOF\nexport A=x\nEOF",
            "if y; then export A=x; fi",
            "[ -z \"$A\" ] && export A=x",
            "test -n \"$A\" || export A=x",
            "while y; do\nexport A=x\ndone",
            "f() { export A=x; }",
            "if y; then\nz\nelse\nexport A=x\nfi",
            "if y; then if true; then export A=x; fi; fi",
            "(export A=x)",
            "export A=x | cat",
            "case $y in\nz) export A=x;;\nesac",
            "export A=x\nunset A",
            "export A=x\nexport -n A",
            "export A=x\nif y; then export A=z; fi",
            "export -n A=x",
            "declare A=x",
            "readonly A=x",
            "export MY_A=x",
            "export A2=x",
            "eval \"export A=x\"",
            ": \"${A:=x}\"; export A",
            "docker run -e A=x y",
            "exit 0\nexport A=x",
        ] {
            assert_eq!(handed_on(script, "A"), None, "{script}");
        }
    }
}
