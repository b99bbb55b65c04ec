//! What `doctor` may say: its findings as data, and the list of their codes.

use serde_json::Value;

use crate::support::Run;

/// What a new code needs.
pub(crate) const TO_LIST: &str = "add its row to src/doctor/codes.tsv, whose head says how, and for `tree` or `host` a fault to \
                       tests/patients";

pub(crate) fn findings(run: &Run) -> Vec<Value> {
    let document = run.json();
    assert_eq!(document["changed"], false, "{run}");
    assert_eq!(document["schema"], 1, "{run}");
    document["findings"].as_array().cloned().unwrap_or_default()
}

pub(crate) fn text<'v>(finding: &'v Value, key: &str) -> &'v str {
    finding[key].as_str().unwrap_or_default()
}

pub(crate) fn has(findings: &[Value], status: &str, code: &str) -> bool {
    findings.iter().any(|finding| text(finding, "status") == status && text(finding, "code") == code)
}

/// The list of all codes, which users may rely on: code, check, where it is proven, meaning.
pub(crate) fn codes() -> Vec<[&'static str; 4]> {
    let lines = include_str!("../../src/doctor/codes.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &'static str| -> [&'static str; 4] {
        let fields: Vec<&str> = line.split('\t').collect();
        // For some, what mends it in general follows.
        fields[..fields.len().min(4)].try_into().unwrap_or([line, "", "no four fields", ""])
    };
    lines.map(row).collect()
}

/// Demands that a finding is one of the list.
pub(crate) fn listed(finding: &Value) -> Result<(), String> {
    let (check, code) = (text(finding, "check"), text(finding, "code"));
    let is_listed =
        codes().iter().any(|[known, checks, ..]| *known == code && checks.split(',').any(|one| one == check));
    let is_common = ["ok", "needs-host", "could-not-look"].contains(&code);
    if is_listed || is_common { Ok(()) } else { Err(format!("not in codes.tsv: {code}\t{check}")) }
}
