//! What an error of a job means, and what a code of `doctor` means: from two tables, without a look at the host.
//!
//! What is given may hold secrets. No part of it is in an answer: only the texts of the tables are.

use crate::finding::{Cause, Explained, Origin};
use crate::text::job_log::plain;

/// Code, checks, where a test proves it, meaning, and for some what mends it in general.
const CODES: &str = include_str!("codes.tsv");

/// Text of a job, origin, then code or cause and repair.
const ERRORS: &str = include_str!("job_errors.tsv");

/// What mends a code that has no more to say.
const ASK_DOCTOR: &str =
    "on the host, doctor shows where it is and the exact repair: $ sudo runner-prep doctor";

/// A shorter text is no part of one error, but of many.
const LEAST_PART: usize = 12;

/// The rows of a table.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
    table.lines().filter(is_row).map(|line| line.split('\t').collect())
}

/// All codes with their meanings.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    rows(CODES).filter_map(|row| Some((*row.first()?, *row.get(3)?)))
}

/// What a code means; `None` where there is no such code.
pub fn code(asked: &str) -> Option<Explained> {
    let cause = of_code(asked)?;
    let leads_here = |row: &Vec<&'static str>| row.len() == 3 && row.get(2) == cause.code.as_ref();
    let mut errors: Vec<&str> = rows(ERRORS).filter(leads_here).map(|row| row[0]).collect();
    errors.dedup();
    Some(Explained { subject: cause.code?, line: None, causes: vec![cause], errors })
}

fn of_code(code: &str) -> Option<Cause> {
    let row = rows(CODES).find(|row| row.first() == Some(&code))?;
    let repair = row.get(4).copied().unwrap_or(ASK_DOCTOR).into();
    Some(Cause { code: row.first().copied(), origin: Origin::Host, cause: row.get(3)?, repair })
}

/// The errors that are known, and those of them that were met.
#[derive(Debug)]
pub struct Errors {
    known: Vec<KnownError>,
}

#[derive(Debug)]
struct KnownError {
    explained: Explained,
    /// The text of the table as it is compared.
    plain: String,
}

impl Errors {
    /// All that are known; none was met yet.
    pub fn known() -> Self {
        let mut known: Vec<KnownError> = Vec::new();
        for row in rows(ERRORS) {
            let (Some(&subject), Some(cause)) = (row.first(), cause(&row)) else { continue };
            let at = known.iter().position(|one| one.explained.subject == subject);
            let at = at.unwrap_or_else(|| {
                let explained = Explained { subject, line: None, causes: Vec::new(), errors: Vec::new() };
                known.push(KnownError { explained, plain: plain(subject) });
                known.len() - 1
            });
            let causes = &mut known[at].explained.causes;
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        Self { known }
    }

    /// Look at a line of a log. The time is linear in its length.
    pub fn read(&mut self, number: usize, line: &str) {
        let line = plain(line);
        let fits: Vec<String> = self
            .known
            .iter()
            .map(|known| &known.plain)
            .filter(|known| contains(&line, known))
            .cloned()
            .collect();
        // Of two texts the one that says more.
        let says_most = |text: &str| !fits.iter().any(|other| other != text && contains(other, text));
        self.meet(number, |known| fits.iter().any(|fit| fit == known) && says_most(known));
    }

    /// Look at a part of a line: somebody may have copied no more.
    pub fn read_part(&mut self, text: &str) {
        let text = plain(text);
        let text = text.trim();
        if text.len() >= LEAST_PART {
            self.meet(1, |known| known.contains(text));
        }
    }

    fn meet(&mut self, number: usize, fits: impl Fn(&str) -> bool) {
        for known in self.known.iter_mut().filter(|known| known.explained.line.is_none()) {
            if fits(&known.plain) {
                known.explained.line = Some(number);
            }
        }
    }

    /// What was met, in the order of the log. A line that only says that another failed is left out where that other
    /// one is known.
    pub fn met(self) -> Vec<Explained> {
        let met = self.known.into_iter().map(|known| known.explained);
        let mut met: Vec<Explained> = met.filter(|explained| explained.line.is_some()).collect();
        met.sort_by_key(|explained| explained.line);
        let is_above = |explained: &Explained| explained.causes.iter().all(|one| one.origin == Origin::Above);
        if !met.iter().all(is_above) {
            met.retain(|explained| !is_above(explained));
        }
        met
    }
}

fn cause(row: &[&'static str]) -> Option<Cause> {
    let origin = match *row.get(1)? {
        "host" => Origin::Host,
        "job" => Origin::Job,
        "gitlab" => Origin::Gitlab,
        "above" => Origin::Above,
        _ => return of_code(row.get(2)?),
    };
    Some(Cause { code: None, origin, cause: row.get(2)?, repair: (*row.get(3)?).into() })
}

/// True when the parts of a text, between its `…`, stand in the line one after the other.
fn contains(line: &str, text: &str) -> bool {
    let mut rest = Some(line);
    text.split('…').all(|part| {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
        rest.is_some()
    })
}
