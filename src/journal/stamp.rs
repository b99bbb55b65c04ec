//! Names of journal entries: the time, and a counter, so that names sort as the runs went, also when the
//! clock steps back.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The name of an entry: `20261123T101502Z-0001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

impl Id {
    /// The name after `last` at a time in seconds since 1970.
    pub(super) fn next(now: u64, last: Option<&Self>) -> Self {
        let stamp = compact(now);
        match last.and_then(|last| last.0.split_once('-')) {
            Some((newest, counter)) if newest >= stamp.as_str() => {
                match counter.parse().unwrap_or_default() {
                    // Ten thousand runs since the clock stepped back: the name of a moment after, if no real one.
                    9999.. => Self(format!("{}-0001", after(newest))),
                    counter => Self(format!("{newest}-{:04}", counter + 1)),
                }
            }
            _ => Self(format!("{stamp}-0001")),
        }
    }
}

/// A time's digits, counted on by one.
fn after(stamp: &str) -> String {
    let mut digits = stamp.to_owned().into_bytes();
    for digit in digits.iter_mut().rev().filter(|byte| byte.is_ascii_digit()) {
        if *digit < b'9' {
            *digit += 1;
            break;
        }
        *digit = b'0';
    }
    String::from_utf8(digits).unwrap_or_default()
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if shape == "00000000T000000Z-0000" { Ok(Self(name)) } else { Err("no name of a journal entry") }
    }
}

/// The current time in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

/// The current time for the name of a file: `20261123T101502Z`.
pub fn moment() -> String {
    compact(now())
}

fn compact(now: u64) -> String {
    long(now).replace(['-', ':'], "")
}

/// A time in seconds since 1970 as `2026-11-23T10:15:02Z`: the Gregorian calendar, counted in eras of 400 years that begin
/// on the first of March.
pub(super) fn long(now: u64) -> String {
    let (days, seconds) = (now / 86_400 + 719_468, now % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    // Four digits keep the names sortable.
    let year = (era * 400 + year_of_era + u64::from(month <= 2)).min(9999);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        assert_eq!(long(0), "1970-01-01T00:00:00Z");
        assert_eq!(long(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(long(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(long(1_795_428_902), "2026-11-23T10:15:02Z");
        assert_eq!(long(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn names_go_on_when_the_clock_does_not() {
        let first = Id::next(1_795_428_902, None);
        assert_eq!(first.to_string(), "20261123T101502Z-0001");
        let same = Id::next(1_795_428_902, Some(&first));
        assert_eq!(same.to_string(), "20261123T101502Z-0002");
        let back = Id::next(1_700_000_000, Some(&same));
        assert_eq!(back.to_string(), "20261123T101502Z-0003");
        let later = Id::next(1_795_428_903, Some(&back));
        assert_eq!(later.to_string(), "20261123T101503Z-0001");
        assert!(first < same && same < back && back < later);
        let full = Id::try_from("20991231T235959Z-9999".to_owned()).unwrap();
        let on = Id::next(1_795_428_903, Some(&full));
        assert_eq!(on.to_string(), "20991231T235960Z-0001");
        assert!(full < on && Id::try_from(on.to_string()).is_ok());
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "..",
            "20261123T101502Z",
            "20261123T101502Z-00011",
            "x0261123T101502Z-0001",
            "٢0261123T101502Z-0001",
        ] {
            assert!(Id::try_from(name.to_owned()).is_err(), "{name}");
        }
    }
}
