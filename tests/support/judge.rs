//! Whether documents of the program meet its schemas, said by another implementation of JSON Schema than the one that
//! made them: Debian's python3-jsonschema.

#![allow(clippy::disallowed_methods, reason = "a test starts the program and the judge of its documents")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{have, program, skip};

/// Reads schemas, and documents with the names of theirs; prints those that are not as expected.
const JUDGE: &str = "
import json, sys
from jsonschema import Draft202012Validator as V
schemas, documents = json.load(sys.stdin)
for schema in schemas.values():
    V.check_schema(schema)
for name, schema, document, valid in documents:
    errors = [e.json_path + ': ' + e.message for e in V(schemas[schema]).iter_errors(document)]
    if bool(errors) == valid:
        print(name, schema, errors or 'is valid')
";

/// Documents to be judged: a name, the schema, the document, whether it is valid.
pub(crate) type Cases = Vec<(String, &'static str, Value, bool)>;

/// A schema as the program prints it.
pub(crate) fn schema(document: &str) -> Value {
    let run = Command::new(program()).args(["schema", document]).output().unwrap();
    assert!(run.status.success(), "{document}: {}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

/// True when the judge is here; otherwise says so.
pub(crate) fn have_judge() -> bool {
    if !have(&["python3"]) {
        return false;
    }
    let run =
        Command::new("/usr/bin/python3").args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    let is_here = run.is_ok_and(|status| status.success());
    if !is_here {
        skip("python3-jsonschema is missing");
    }
    is_here
}

/// Demand that each document is as it is expected to be.
#[track_caller]
pub(crate) fn judge(names: &[&str], cases: &Cases) {
    let schemas: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), schema(name))).collect();
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = json!([schemas, cases]).to_string();
    python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let run = python.wait_with_output().unwrap();
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
