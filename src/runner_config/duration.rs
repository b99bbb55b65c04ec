//! Time spans as gitlab-runner reads and writes them.

use crate::text::toml_patch::Scalar;

/// The length of a time span as gitlab-runner reads it, in nanoseconds: `1h30m`. `None` for anything else.
pub fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0.0;
    loop {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let nanoseconds = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        sum += digits.parse::<f64>().ok()? * nanoseconds;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    // A time span of Go has 63 bits.
    #[expect(clippy::cast_possible_truncation, reason = "it was compared with the bound")]
    (sum < 9.2e18).then_some((sign * sum).round() as i64)
}

/// The same for a value of the file, which may be a number of nanoseconds.
pub fn nanoseconds(value: &Scalar) -> Option<i64> {
    match value {
        Scalar::String(text) => duration(text),
        Scalar::Integer(number) => Some(*number),
        Scalar::Bool(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1ns", Some(1)),
            ("15m0s", Some(900_000_000_000)),
            ("-1.5h", Some(-5_400_000_000_000)),
            ("+.5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("1µs", Some(1_000)),
            ("", None),
            ("1", None),
            ("h", None),
            (".s", None),
            ("1 h", None),
            ("1d", None),
            ("1h-1m", None),
            ("1..5h", None),
            ("9999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
