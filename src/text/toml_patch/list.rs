//! Lists of strings in every layout: on one line, over many, with comments and commas anywhere.

use std::ops::Range;

use toml_edit::{Array, RawString, Value};

use super::edit::Scalar;
use super::layout::{UNIT, slice};
use super::quote;
use super::target::EditTarget;
use super::walk::Splice;

/// What went wrong, and what to point at.
type ListFailure = (Option<Range<usize>>, String);

/// One element and what surrounds it in the text.
struct ArrayItem {
    /// Where the blanks and comments in front of the element begin.
    lead: usize,
    value: Range<usize>,
    comma: Option<usize>,
}

/// What to do, place by place. Removal and insertion are never mixed; such edits become replacements in place.
#[derive(Debug, Default, PartialEq, Eq)]
struct ListPlan<'a> {
    replace: Vec<(usize, &'a str)>,
    remove: Vec<usize>,
    append: Vec<&'a str>,
}

/// Whether a value of the document equals a wanted scalar, however it is written.
pub(super) fn same_scalar(value: &Value, wanted: &Scalar) -> bool {
    Scalar::of(value).as_ref() == Some(wanted)
}

/// The strings of a list; fails at the first element that is none.
pub(super) fn strings(array: &Array) -> Result<Vec<&str>, ListFailure> {
    let strings = array.iter().map(|value| {
        let string = value.as_str();
        string.ok_or_else(|| (value.span(), "is a list with an element that is not a string".to_owned()))
    });
    strings.collect()
}

/// The pieces that make a list what is asked for.
pub(super) fn edit(text: &str, array: &Array, target: &EditTarget<'_>) -> Result<Vec<Splice>, ListFailure> {
    let span = array.span();
    let fail = |message| (span.clone(), message);
    if let EditTarget::Scalar(_) = target {
        return Err(fail("is a list, and a single value is asked for".to_owned()));
    }
    let old = strings(array)?;
    let new = target.list(Some(&old)).map_err(fail)?.unwrap_or_default();
    let ListPlan { replace, remove, append } = ListPlan::new(&old, &new, target);
    let replace: Vec<_> = replace.into_iter().map(|(index, value)| (index, quote::string(value))).collect();
    let append: Vec<_> = append.into_iter().map(quote::string).collect();
    splices(text, array, &replace, &append, &remove).ok_or_else(|| fail("has no place".to_owned()))
}

/// The pieces that put tables, written as TOML, behind those of a list, or take some of them away.
pub(super) fn tables(
    text: &str,
    array: &Array,
    come: &[String],
    go: &[usize],
) -> Result<Vec<Splice>, ListFailure> {
    let other = array.iter().find(|element| !element.is_inline_table());
    match other {
        Some(other) if !come.is_empty() => {
            Err((other.span(), "is a list with an element that is not a table".to_owned()))
        }
        _ if !come.is_empty() && !go.is_empty() => {
            Err((array.span(), "can't lose tables and get others in one patch".to_owned()))
        }
        _ => splices(text, array, &[], come, go).ok_or_else(|| (array.span(), "has no place".to_owned())),
    }
}

/// The pieces for elements written as TOML. `None` if the parser does not say where the list stands.
fn splices(
    text: &str,
    array: &Array,
    replaced: &[(usize, String)],
    appended: &[String],
    removed: &[usize],
) -> Option<Vec<Splice>> {
    let cells = cells(array)?;
    let span = array.span()?;
    let inside = span.start + 1..span.end.saturating_sub(1);
    let mut splices = Vec::new();
    for (index, value) in replaced {
        if let Some(cell) = cells.get(*index) {
            splices.push(Splice::new(cell.value.clone(), value.clone()));
        }
    }
    if !appended.is_empty() {
        match cells.last() {
            Some(last) => append(text, &cells, last, inside.end, appended, &mut splices),
            None => splices.push(fill(text, inside.clone(), appended)),
        }
    }
    if !removed.is_empty() {
        remove(text, &cells, inside, removed, &mut splices);
    }
    Some(splices)
}

impl<'a> ListPlan<'a> {
    fn new(old: &[&'a str], new: &[&'a str], target: &'a EditTarget<'_>) -> Self {
        if let EditTarget::Elements(elements) = target {
            let removed = |(index, value): (usize, &&str)| {
                (!elements.replace.contains_key(&index) && elements.removes(value)).then_some(index)
            };
            let remove: Vec<usize> = old.iter().enumerate().filter_map(removed).collect();
            if remove.is_empty() || elements.insert.is_empty() {
                let replace = elements.replace.iter().map(|(index, value)| (*index, *value));
                let unlike = replace.filter(|(index, value)| old.get(*index) != Some(value));
                return Self { replace: unlike.collect(), remove, append: elements.insert.clone() };
            }
        }
        Self::between(old, new)
    }

    fn between(old: &[&'a str], new: &[&'a str]) -> Self {
        let mut rest = new.iter().peekable();
        let gone = old
            .iter()
            .enumerate()
            .filter_map(|(index, value)| rest.next_if(|next| *next == value).is_none().then_some(index));
        let gone: Vec<usize> = gone.collect();
        if rest.peek().is_none() {
            return Self { remove: gone, ..Self::default() };
        }
        let pairs = old.iter().zip(new).enumerate();
        let unlike = pairs.filter_map(|(index, (old, new))| (old != new).then_some((index, *new)));
        Self {
            replace: unlike.collect(),
            remove: (new.len()..old.len()).collect(),
            append: new.get(old.len()..).unwrap_or_default().to_vec(),
        }
    }
}

fn cells(array: &Array) -> Option<Vec<ArrayItem>> {
    let last = array.len().saturating_sub(1);
    let cells = array.iter().enumerate().map(|(index, element)| {
        let value = element.span()?;
        let place = |blank: Option<&RawString>| blank.and_then(RawString::span);
        let lead = place(element.decor().prefix()).map_or(value.start, |blank| blank.start);
        let tail = place(element.decor().suffix()).map_or(value.end, |blank| blank.end);
        Some(ArrayItem { lead, value, comma: (index < last || array.trailing_comma()).then_some(tail) })
    });
    cells.collect()
}

impl ArrayItem {
    /// The end of the element with its comma.
    fn end(&self) -> usize {
        self.comma.map_or(self.value.end, |comma| comma + 1)
    }

    /// If the element begins a line: the line ending above it, and where that stands.
    fn own_line<'t>(&self, text: &'t str) -> Option<(usize, &'t str)> {
        let lead = slice(text, self.lead..self.value.start);
        let (at, ending) = last_line_ending(lead)?;
        Some((self.lead + at, ending))
    }
}

/// The last line ending of a text and its place.
fn last_line_ending(text: &str) -> Option<(usize, &str)> {
    let feed = text.rfind('\n')?;
    let at = if slice(text, 0..feed).ends_with('\r') { feed - 1 } else { feed };
    Some((at, slice(text, at..feed + 1)))
}

/// Adds elements behind the last one, in its manner.
fn append(
    text: &str,
    cells: &[ArrayItem],
    last: &ArrayItem,
    close: usize,
    values: &[String],
    splices: &mut Vec<Splice>,
) {
    let end = last.end();
    let (place, blank) = if let Some((at, ending)) = last.own_line(text) {
        // A comment behind the last element stays on its line.
        let rest = slice(text, end..close);
        let place = rest.find('\n').map_or(end, |feed| {
            let crlf = slice(rest, 0..feed).ends_with('\r');
            end + feed - usize::from(crlf)
        });
        let indent = slice(text, at + ending.len()..last.value.start);
        (place, format!("{ending}{indent}"))
    } else {
        let like = slice(text, last.lead..last.value.start);
        let blank = if cells.len() > 1 { like } else { " " };
        (end, blank.to_owned())
    };
    let values = values.iter().map(|value| format!("{blank}{value}"));
    let mut values = values.collect::<Vec<_>>().join(",");
    if last.comma.is_some() {
        values.push(',');
    } else {
        splices.push(Splice::new(end..end, ",".to_owned()));
    }
    splices.push(Splice::new(place..place, values));
}

/// Puts the first elements into a list that has none.
fn fill(text: &str, inside: Range<usize>, values: &[String]) -> Splice {
    let between = slice(text, inside.clone());
    let Some((at, ending)) = last_line_ending(between) else {
        let values = format!("{between}{}", values.join(", "));
        return Splice::new(inside.start..inside.start, values);
    };
    let comment = between.lines().skip(1).filter(|line| line.trim_start().starts_with('#')).last();
    let indent = if let Some(comment) = comment {
        slice(comment, 0..comment.len() - comment.trim_start().len()).to_owned()
    } else {
        let bracket = slice(between, at + ending.len()..between.len());
        let unit = if bracket.contains('\t') { "\t" } else { UNIT };
        format!("{bracket}{unit}")
    };
    let values = values.iter().map(|value| format!("{ending}{indent}{value}"));
    let place = inside.start + at;
    Splice::new(place..place, values.collect::<Vec<_>>().join(","))
}

/// Takes elements out with their commas and the blanks that they leave; comments stay.
fn remove(text: &str, cells: &[ArrayItem], inside: Range<usize>, gone: &[usize], splices: &mut Vec<Splice>) {
    let between = slice(text, inside.clone());
    if gone.len() == cells.len() && !between.contains('#') {
        splices.push(Splice::new(inside, String::new()));
        return;
    }
    let is_gone = |index: usize| gone.binary_search(&index).is_ok();
    let last_kept = (0..cells.len()).rev().find(|index| !is_gone(*index));
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let no_last_comma = cells.last().is_some_and(|cell| cell.comma.is_none());
    if no_last_comma && is_gone(cells.len() - 1) {
        let comma = last_kept.and_then(|index| cells.get(index)?.comma);
        cuts.extend(comma.map(|comma| comma..comma + 1));
    }
    for index in gone {
        let Some(cell) = cells.get(*index) else {
            continue;
        };
        let tail = cell.end();
        let rest = slice(text, tail..inside.end);
        let word = tail + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
        let ends_line = slice(text, word..inside.end).starts_with(['\r', '\n']);
        let (start, end) = match cell.own_line(text) {
            Some((at, _)) if ends_line => (at, word),
            None if ends_line || last_kept.is_none_or(|kept| kept < *index) => (cell.lead, tail),
            _ => (cell.value.start, word),
        };
        match cell.comma {
            // A comment between the element and its comma stays.
            Some(comma) if slice(text, cell.value.end..comma).contains('#') => {
                cuts.push(cell.value.clone());
                cuts.push(comma..end);
            }
            _ => cuts.push(start..end),
        }
    }
    cuts.sort_by_key(|cut| (cut.start, cut.end));
    let mut done = 0;
    for cut in cuts {
        if cut.end > done {
            splices.push(Splice::new(cut.start.max(done)..cut.end, String::new()));
            done = cut.end;
        }
    }
}
