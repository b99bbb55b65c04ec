//! Times as files and servers write them, in seconds since 1970.

use toml_edit::{Datetime, Offset};

/// The months as HTTP calls them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time of a TOML document; of a date alone its first second.
pub fn seconds(time: &Datetime) -> Option<i64> {
    let date = time.date?;
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    // Days from the civil calendar, years beginning in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let clock = time.time.map_or(0, |time| {
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0))
    });
    let offset = match time.offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
        _ => 0,
    };
    Some(days * 86_400 + clock - offset)
}

/// A time in ISO 8601: `2026-11-23T10:15:02.000Z`.
pub fn iso(text: &str) -> Option<i64> {
    seconds(&text.trim().parse().ok()?)
}

/// A time in a header of HTTP: `Mon, 23 Nov 2026 10:15:02 GMT`.
pub fn http(text: &str) -> Option<i64> {
    let [_, day, month, year, clock, "GMT"] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    iso(&format!("{year}-{month:02}-{day:0>2}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2000-03-01", 951_868_800),
            ("2024-02-29T12:00:00.000+02:00", 1_709_200_800),
            ("2023-12-31T23:59:59.999Z", 1_704_067_199),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
        ] {
            assert_eq!(iso(text), Some(expected), "{text}");
        }
        assert_eq!(http("Fri, 31 Dec 1999 23:59:59 GMT"), Some(946_684_799));
        assert_eq!(http("Sat,  1 Jan 2000 00:00:00 GMT"), Some(946_684_800));
        for text in [
            "",
            "x",
            "é",
            "12:00:00",
            "2024-02-30",
            "9",
            "Fri, 31 Dec 1999 23:59:59 CET",
            "Fri, 31 Foo 1999 1:1:1 GMT",
        ] {
            assert_eq!((iso(text), http(text)), (None, None), "{text}");
        }
    }
}
