//! What was found and changed in GitLab, in the same document and words as for a host.

use super::difference;
use super::document::{DetailLevel, Diff, ManualStep, Report, ReportedChange, SCHEMA, Status, plural, waits};
use crate::change::{Notes, ValueChange};

impl Report {
    /// A report of changes in GitLab, planned or made, each with its value before and after, and of what takes them back.
    pub fn remote(
        profiles: &[String],
        changes: Vec<(ReportedChange, ValueChange)>,
        undo: Vec<ManualStep>,
        notes: &Notes,
        extent: DetailLevel,
    ) -> Self {
        let count = |outcome| changes.iter().filter(|(change, _)| change.outcome == outcome).count();
        let (to_make, made, waiting) = (count("planned"), count("applied"), notes.pending.len());
        let what = if made > 0 { format!("{} made", plural(made, "change")) } else { String::new() };
        let (status, msg) = match (to_make, made, waiting) {
            (0, 0, 0) => (Status::Converged, "GitLab is as the profile wants it".to_owned()),
            (0, 0, _) => (Status::Pending, format!("as wanted, but {} for you", waits(waiting))),
            (0, _, 0) => (Status::Changed, what),
            (0, _, _) => (Status::Pending, format!("{what}, {} for you", waits(waiting))),
            _ => (Status::Differs, format!("{} to make", plural(to_make, "change"))),
        };
        let shown = |(_, value): &(_, ValueChange)| {
            if extent == DetailLevel::Differences { difference::value(value) } else { Vec::new() }
        };
        let diff = changes.iter().filter(|_| extent == DetailLevel::Diff).map(diff).collect();
        Self {
            status,
            msg,
            changed: to_make + made > 0,
            diff,
            shown: changes.iter().map(shown).collect(),
            changes: changes.into_iter().map(|(change, _)| change).collect(),
            undo,
            ..Self::saying(profiles, notes)
        }
    }

    /// The steps that lead to what is wanted, where nobody was asked what of it is there.
    pub fn steps(profiles: &[String], by_hand: Vec<ManualStep>) -> Self {
        let msg =
            format!("{} by hand; GitLab was not asked what of it is done", plural(by_hand.len(), "step"));
        Self {
            schema: SCHEMA,
            msg,
            profiles: profiles.to_vec(),
            status: Status::Pending,
            by_hand,
            ..Self::default()
        }
    }
}

fn diff((change, value): &(ReportedChange, ValueChange)) -> Diff {
    let side = |value: &Option<String>| value.as_ref().map(|value| format!("{value}\n")).unwrap_or_default();
    let header = change.id.clone();
    let (before, after) = (side(&value.before), side(&value.after));
    Diff { before_header: header.clone(), after_header: header, before, after }
}
