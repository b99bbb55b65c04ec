//! `runner-prep doctor` with a code, an error or a log: what it means. Looks at no host and needs no rights.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::exit::{Call, Exit, Streams};
use super::output::{json, print, write};
use super::place::machine;
use crate::cli::DoctorOptions;
use crate::doctor::explain::{self, Errors};
use crate::fault::quoted;
use crate::profile;
use crate::report::{Explanation, Report};
use crate::sys::dir::FileKind;
use crate::sys::identity;

/// No more of a log is read. GitLab keeps 4 MiB of a job by default.
const MOST_BYTES: u64 = 16 << 20;

/// No known text is shorter.
const LEAST_BYTES: usize = 8;

/// Explain what was given. Exit code 0 where something of it is known, 1 where nothing is.
pub(super) fn run(call: Call<'_>, asked: &DoctorOptions, streams: &mut Streams<'_>) -> Exit {
    let explanation = match answer(call, asked) {
        Ok(explanation) => explanation,
        Err(error) => {
            print(&Report::failed(&[], &error), call, streams);
            return Exit::Error;
        }
    };
    if call.cli.global.json {
        write(streams.out, &json(&explanation));
    } else {
        write(streams.out, &explanation.results(call.style));
    }
    if explanation.explanations.is_empty() { Exit::Differs } else { Exit::Converged }
}

fn answer(call: Call<'_>, asked: &DoctorOptions) -> Result<Explanation> {
    // A log may hold secrets: no core dump, no reader of this memory.
    identity::harden()?;
    if let Some(code) = &asked.explain {
        let found: Vec<_> = explain::code(code).into_iter().collect();
        let mut explanation = Explanation::of(found, "");
        if explanation.explanations.is_empty() {
            let codes: Vec<&str> = explain::codes().map(|(code, _)| code).collect();
            let near = profile::suggest(code, &codes).map(|near| format!("; did you mean {near}?"));
            explanation.msg = format!(
                "doctor has no such code{}",
                near.as_deref().unwrap_or("; it shows its codes in brackets: sudo runner-prep doctor")
            );
        }
        return Ok(explanation);
    }
    let mut errors = Errors::known();
    if asked.text == ["-"] {
        let is_whole = read(std::io::stdin().lock(), &mut errors)?;
        let rest = "only the first 16 MiB were read: give the end of the log alone, through tail -c 4000000";
        return Ok(Explanation::of(errors.met(), if is_whole { "" } else { rest }));
    }
    // Several words are a text without quotes around it.
    let text = asked.text.join(" ");
    for (index, line) in text.split('\n').enumerate() {
        errors.read(index + 1, line);
    }
    errors.read_part(&text);
    let mut explanation = Explanation::of(errors.met(), "");
    if explanation.explanations.is_empty() && is_file(call, Path::new(&text)) {
        let shown = quoted(text);
        explanation.msg = format!("{shown} is a file; for the errors in it: runner-prep doctor - < {shown}");
    }
    Ok(explanation)
}

/// True when the text is the path of a log, in the place of the log itself.
fn is_file(call: Call<'_>, path: &Path) -> bool {
    let found = machine(call.environment, None).and_then(|machine| machine.given_file(path, MOST_BYTES));
    found.is_ok_and(|found| found.is_some_and(|entry| entry.kind == FileKind::Regular))
}

/// Read a log line by line; false where it is longer than what is read.
fn read(input: impl BufRead, errors: &mut Errors) -> Result<bool> {
    let mut input = input.take(MOST_BYTES + 1);
    let mut line = Zeroizing::new(Vec::new());
    let (mut number, mut bytes) = (0, 0);
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).context("cannot read standard input")?;
        if read == 0 {
            return Ok(bytes <= MOST_BYTES);
        }
        (number, bytes) = (number + 1, bytes + read as u64);
        if read >= LEAST_BYTES {
            errors.read(number, &String::from_utf8_lossy(&line));
        }
    }
}
