//! What the program says, one remark at a time, in the words that a terminal of 80 columns shows.

use runner_prep::report::{Remark, Report, Style};

use crate::support::Run;
use crate::support::repairs::{has_gap, read, wrong_with};

/// What the table shows for a tree.
pub(crate) const TREE: &str = "/srv/tree";

/// A remark with its code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: String,
    /// As a person reads it.
    pub(crate) text: String,
    /// What is wrong with its repair.
    pub(crate) wrong: Vec<String>,
}

impl Said {
    /// What has no repair of its own to look at.
    pub(crate) fn plain(code: &str, text: String) -> Self {
        Self { code: code.to_owned(), text, wrong: Vec::new() }
    }
}

/// What differs from run to run, and what the table shows instead.
fn steady(text: &str, hide: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in hide {
        text = text.replace(from, to);
    }
    // Identifiers of runs are times; so are the names of what is kept.
    let digits = |shape: &str| shape.replace('0', "N");
    for (shape, sample) in [
        (digits("00000000T000000Z-0000"), "20261124T101502Z-0001"),
        (digits("rotated-00000000T000000Z"), "rotated-20261124T101502Z"),
        (digits("conflict-0000000000.000000000"), "conflict-1795515302.000000001"),
    ] {
        text = like(&text, &shape, sample);
    }
    // A key that was just made.
    let made = "the SSH key SHA256:";
    if let Some((before, after)) = text.split_once(made) {
        let rest = after.get(43..).unwrap_or_default();
        text = format!("{before}{made}6Rw0fVPrbR+jkESnDmvWELcdeP/W9LgT7v6yj7Cr/s4{rest}");
    }
    numbers(&text, "process ", "4711")
}

/// Replace what has this shape, `N` for a digit.
fn like(text: &str, shape: &str, sample: &str) -> String {
    let fits = |rest: &str| {
        rest.len() >= shape.len()
            && rest
                .bytes()
                .zip(shape.bytes())
                .all(|(c, s)| if s == b'N' { c.is_ascii_digit() } else { c == s })
    };
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skip = if fits(rest) {
            out.push_str(sample);
            shape.len()
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    out
}

/// Replace the number after a word.
fn numbers(text: &str, word: &str, sample: &str) -> String {
    let mut parts = text.split(word);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.extend([word, if rest.len() < part.len() { sample } else { "" }, rest]);
    }
    out
}

/// A remark as the program shows it to people.
fn shown(remark: Remark, is_error: bool, waits: bool, tree: Option<&str>) -> Said {
    let mut wrong = wrong_with(&remark.repair.text(), tree);
    // What another program said is its own.
    if has_gap(remark.message.split(": ").next().unwrap_or_default()) {
        wrong.push("names nothing where something was to be named".to_owned());
    }
    let mut report = if is_error { Report::failed(&[], &anyhow::Error::msg("")) } else { Report::default() };
    report.warnings.clear();
    let code = remark.code.clone();
    if waits {
        report.pending.push(remark);
    } else {
        report.warnings.push(remark);
    }
    Said { code, text: report.problems(Style::default()), wrong }
}

/// All that the document of `--json` says.
pub(crate) fn of_json(run: &Run, hide: &[(&str, &str)]) -> Vec<Said> {
    let document = run.json();
    let tree = hide.iter().find(|(_, to)| *to == TREE).map(|_| TREE);
    let remarks = |list: &str| -> Vec<Remark> {
        let list = document[list].as_array().cloned().unwrap_or_default();
        let text =
            |remark: &serde_json::Value, key: &str| steady(remark[key].as_str().unwrap_or_default(), hide);
        let remark = |remark: &serde_json::Value| Remark {
            code: text(remark, "code"),
            message: text(remark, "message"),
            repair: read(&text(remark, "repair")),
        };
        list.iter().map(remark).collect()
    };
    let has_failed = document["failed"] == true;
    let warnings = remarks("warnings").into_iter().enumerate();
    let mut said: Vec<Said> =
        warnings.map(|(index, remark)| shown(remark, has_failed && index == 0, false, tree)).collect();
    said.extend(remarks("pending").into_iter().map(|remark| shown(remark, false, true, tree)));
    said
}

/// An error of a part of the program.
pub(crate) fn of_error(error: &anyhow::Error, hide: &[(&str, &str)]) -> Vec<Said> {
    let Remark { code, message, repair } = Report::failed(&[], error).warnings.remove(0);
    let remark =
        Remark { code, message: steady(&message, hide), repair: read(&steady(&repair.text(), hide)) };
    vec![shown(remark, true, false, None)]
}

/// What was printed on standard error, where no document is.
pub(crate) fn of_text(code: &str, run: &Run) -> Vec<Said> {
    // What other programs say is theirs.
    let text: String =
        run.stderr.split_inclusive('\n').filter(|line| line.starts_with("runner-deploy: ")).collect();
    vec![Said::plain(code, steady(&text, &[]))]
}
