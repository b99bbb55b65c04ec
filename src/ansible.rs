//! The program as a binary module of Ansible: called `runner_prep`, with the path of a file of arguments.
//!
//! Owns the translation between Ansible's documents and the command line. Its arguments are the options of
//! `apply` with `_` for `-`, taken from the command line's own definition, so that the two cannot disagree. An argument
//! that is a dictionary is a section of a profile.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction, CommandFactory, Parser as _};
use serde_json::{Map, Value, json};

use crate::cli::{Cli, Command, Environment};
use crate::facts::MOST_BYTES;
use crate::fault::fault;
use crate::profile::did_you_mean;
use crate::report::text::escape_json;
use crate::report::{DetailLevel, Remark, Report};
use crate::resource;
use crate::run::{self, Call, Exit, Streams};
use crate::sys::exec;

/// The module's name in a task. Ansible prefixes the name of its copy on the host.
const NAMES: &[&str] = &["runner_prep", "AnsiballZ_runner_prep"];

/// Options that say how the command line prints, which Ansible says in its own way.
const NOT_OURS: &[&str] = &["dry_run", "json", "color", "quiet", "verbose", "help", "version"];

/// The argument that says which values of the task replace those of the profile: a key of profiles beside the sections.
const REPLACES: &str = "replaces";

/// The arguments after the program's name, when Ansible calls it by the name of a module.
pub fn called(mut arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let program = arguments.next()?;
    let name = Path::new(&program).file_name()?.to_str()?;
    NAMES.contains(&name).then(|| arguments.collect())
}

/// Do what a task asks for, and answer with the one document that Ansible expects.
pub fn module(arguments: &[OsString], environment: Environment, streams: &mut Streams<'_>) -> Exit {
    let document = answer(arguments, environment).unwrap_or_else(|error| failure(&error));
    let failed = document["failed"] == Value::Bool(true);
    run::write(streams.out, &(escape_json(&document.to_string()) + "\n"));
    // Every failure is 1 to Ansible.
    if failed { Exit::Differs } else { Exit::Converged }
}

fn answer(arguments: &[OsString], environment: Environment) -> Result<Value> {
    let [path] = arguments else {
        return Err(fault(
            "usage",
            "under this name the program is a module of Ansible, and takes the path of a file of arguments",
            "copy it to library/runner_prep beside the playbook; for people its name is runner-prep",
        ));
    };
    let mut task = Task::read(Path::new(path), environment)?;
    let given = sections(&mut task.arguments)?;
    let mut cli = Cli::try_parse_from(command_line(&task.arguments)?).map_err(|error| {
        let text = error.render().to_string();
        let line = text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
        fault("usage", line, "the arguments are the options of: $ runner-prep apply --help")
    })?;
    let Command::Apply(apply) = &mut cli.command else {
        return Err(fault("usage", "a module only applies", "leave out what is not an option of apply"));
    };
    apply.selection.given = given;
    let apply = apply.clone();
    let extent = if task.diff { DetailLevel::Diff } else { DetailLevel::Lines };
    let report = run::host(Call::new(&cli, environment, None), &apply.selection, !task.check, extent);
    // In check mode the task before may not have installed what this one waits for.
    document(report, apply.selection.allow_pending || task.check)
}

/// What Ansible wrote into the file of arguments.
struct Task {
    check: bool,
    diff: bool,
    arguments: Map<String, Value>,
}

impl Task {
    fn read(path: &Path, environment: Environment) -> Result<Self> {
        let shown = path.display();
        let machine = run::machine(environment, None)?;
        // Whoever owns the program that runs here has its arguments, too: Ansible puts both into one directory.
        let program = exec::own_program().and_then(|program| machine.stat(&program, true).ok().flatten());
        let seen = machine
            .called_by(program.map(|program| program.uid))
            .given_file(path, MOST_BYTES)?
            .with_context(|| format!("there is no file of arguments {shown}"))?;
        // Without the error's own text: the arguments of a task are nobody's to show but Ansible's.
        let parsed: Option<Map<String, Value>> = serde_json::from_slice(&seen.bytes).ok();
        let all = parsed.with_context(|| format!("the file of arguments {shown} holds no JSON object"))?;
        let flag = |name: &str| all.get(name).and_then(boolean).unwrap_or_default();
        let (check, diff) = (flag("_ansible_check_mode"), flag("_ansible_diff"));
        let arguments = all.into_iter().filter(|(name, _)| !name.starts_with("_ansible_")).collect();
        Ok(Self { check, diff, arguments })
    }
}

/// Takes the sections of a profile out of the arguments, as TOML. They are dictionaries or lists of them, which no
/// option is: `config` may be the path of the file, and what to set in it.
fn sections(arguments: &mut Map<String, Value>) -> Result<Option<String>> {
    let is_section = |name: &str, value: &Value| {
        let tables =
            value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object));
        name == REPLACES || (value.is_object() || tables) && resource::names().contains(&name)
    };
    // A section without a value is said by a play that may give one.
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let is_said = |(name, value): &(String, Value)| {
        !is_empty(value) || name != REPLACES && !resource::names().contains(&name.as_str())
    };
    let said = std::mem::take(arguments).into_iter().filter(is_said);
    let (taken, left): (Map<_, _>, Map<_, _>) = said.partition(|(name, value)| is_section(name, value));
    *arguments = left;
    if taken.is_empty() {
        return Ok(None);
    }
    toml_edit::ser::to_string_pretty(&taken).map(Some).map_err(|error| {
        fault(
            "usage",
            format!("the sections of the task are no profile: {error}"),
            "leave out what has no value",
        )
    })
}

/// The command line that says the same as the arguments of a task.
fn command_line(arguments: &Map<String, Value>) -> Result<Vec<String>> {
    let mut top = Cli::command();
    top.build();
    let apply = top.find_subcommand("apply").context("there is a command apply")?;
    let options: Vec<(String, &Arg)> = apply
        .get_arguments()
        .filter_map(|option| Some((option.get_long()?.replace('-', "_"), option)))
        .filter(|(name, _)| !NOT_OURS.contains(&name.as_str()))
        .collect();
    let mut names: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(resource::names());
    names.push(REPLACES);
    names.sort_unstable();
    names.dedup();
    let mut line = vec![String::from("runner-prep"), String::from("apply")];
    for (name, value) in arguments {
        let Some((_, option)) = options.iter().find(|(known, _)| known == name) else {
            let what = format!(
                "Unsupported parameters for (runner_prep) module: {name}{}",
                did_you_mean(name, &names)
            );
            return Err(fault("usage", what, mend!("Supported parameters include: {}", names.join(", "))));
        };
        line.extend(words(name, option, value)?);
    }
    let profile = arguments.get("profile").filter(|value| !value.is_null());
    if profile.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)) {
        return Err(fault("usage", "missing required arguments: profile", "for example profile: dind"));
    }
    Ok(line)
}

/// The words of one argument on the command line.
fn words(name: &str, option: &Arg, value: &Value) -> Result<Vec<String>> {
    let long = option.get_long().unwrap_or_default();
    let wrong = |wanted: &str| {
        fault("usage", format!("argument {name} is {}", kind(value)), mend!("it has to be {}", wanted))
    };
    let one = |value: &Value| match value {
        Value::String(text) => Some(format!("--{long}={text}")),
        Value::Number(number) => Some(format!("--{long}={number}")),
        _ => None,
    };
    match (option.get_action(), value) {
        (_, Value::Null) => Ok(Vec::new()),
        (ArgAction::SetTrue, value) => match boolean(value) {
            Some(true) => Ok(vec![format!("--{long}")]),
            Some(false) => Ok(Vec::new()),
            None => Err(wrong("true or false")),
        },
        (ArgAction::Append, Value::Array(list)) => {
            list.iter().map(one).collect::<Option<_>>().ok_or_else(|| wrong("a list of texts"))
        }
        (ArgAction::Append, value) => {
            one(value).map(|word| vec![word]).ok_or_else(|| wrong("a list of texts"))
        }
        (_, value) => one(value).map(|word| vec![word]).ok_or_else(|| wrong("a text")),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text that does not fit",
        Value::Array(_) => "a list that does not fit",
        Value::Object(_) => "a dictionary",
    }
}

/// A truth value in any of the words that Ansible takes for one.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_lowercase().as_str() {
            "yes" | "on" | "1" | "true" | "t" | "y" => Some(true),
            "no" | "off" | "0" | "false" | "f" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The report as a module gives it: warnings are texts, and what waits is a failure unless the task allows it.
fn document(mut report: Report, allow_pending: bool) -> Result<Value> {
    let mut failed = None;
    if report.failed {
        // The first one is the error itself.
        let mut error = report.warnings.remove(0);
        if report.needs_root {
            error.repair = "set become: true".into();
        }
        failed = Some(error);
    } else if let (Some(first), false) = (report.pending.first(), allow_pending) {
        let mut waits = first.clone();
        waits.repair = waits.repair + "; or set allow_pending: true";
        failed = Some(waits);
    }
    let mut document = serde_json::to_value(&report)?;
    let told = if failed.is_none() { &report.pending[..] } else { &[] };
    document["warnings"] = report.warnings.iter().chain(told).map(sentence).collect();
    if let Some(remark) = failed {
        explain(&mut document, &remark);
    }
    Ok(document)
}

fn failure(error: &anyhow::Error) -> Value {
    let mut document = json!({ "changed": false });
    explain(&mut document, &Remark::of(error));
    document
}

fn explain(document: &mut Value, remark: &Remark) {
    document["failed"] = Value::Bool(true);
    document["code"] = json!(remark.code);
    document["msg"] = json!(sentence(remark));
}

fn sentence(remark: &Remark) -> String {
    if remark.repair.is_empty() {
        remark.message.clone()
    } else {
        format!("{}\n{}", remark.message, remark.repair.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &Value) -> Result<Vec<String>> {
        command_line(arguments.as_object().unwrap())
    }

    #[test]
    fn only_the_name_of_a_module_makes_it_one() {
        let called = |name: &str| called([OsString::from(name), OsString::from("args")].into_iter());
        assert_eq!(called("/root/.ansible/tmp/x/AnsiballZ_runner_prep"), Some(vec![OsString::from("args")]));
        assert_eq!(called("library/runner_prep"), Some(vec![OsString::from("args")]));
        assert_eq!(called("/usr/local/bin/runner-prep"), None);
    }

    #[test]
    fn arguments_become_options_of_apply() {
        let arguments = json!({
            "profile": ["shell", "dind"], "runner": [7, "a b"], "adopt": "yes", "allow_pending": false,
            "user": "-x", "config": null, "root": "/srv/tree",
        });
        let mut words = line(&arguments).unwrap();
        words.sort();
        assert_eq!(
            words,
            [
                "--adopt",
                "--profile=dind",
                "--profile=shell",
                "--root=/srv/tree",
                "--runner=7",
                "--runner=a b",
                "--user=-x",
                "apply",
                "runner-prep",
            ]
        );
        assert!(Cli::try_parse_from(line(&arguments).unwrap()).is_ok());
    }

    #[test]
    fn dictionaries_are_sections_of_a_profile() {
        let all = json!({
            "profile": "shell", "config": { "docker": { "privileged": true, "volumes": ["/cache"] } },
            "deploy": [{ "name": "app", "target": "/srv/www" }], "runner": ["a"], "git": "text",
        });
        let mut arguments = all.as_object().unwrap().clone();
        let text = sections(&mut arguments).unwrap().unwrap();
        let parsed: toml_edit::DocumentMut = text.parse().unwrap();
        assert_eq!(parsed["config"]["docker"]["privileged"].as_bool(), Some(true));
        assert_eq!(parsed["deploy"][0]["name"].as_str(), Some("app"));
        assert_eq!(arguments.keys().collect::<Vec<_>>(), ["git", "profile", "runner"]);
        assert_eq!(sections(&mut arguments).unwrap(), None);
        // The path of the file is an option all the same.
        let mut path = json!({ "config": "/srv/config.toml" }).as_object().unwrap().clone();
        assert_eq!(sections(&mut path).unwrap(), None);
        for nothing in [json!(null), json!([])] {
            let mut none = json!({ "deploy": nothing, "git": nothing, "config": nothing, "replaces": nothing, "only": nothing });
            assert_eq!(sections(none.as_object_mut().unwrap()).unwrap(), None);
            assert_eq!(none.as_object().unwrap().keys().collect::<Vec<_>>(), ["only"]);
        }
        assert!(
            sections(json!({ "git": { "name": null } }).as_object_mut().unwrap())
                .is_err_and(|error| { error.to_string().contains("the sections of the task") })
        );
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        let refused = |arguments: Value| line(&arguments).unwrap_err().to_string();
        assert!(refused(json!({ "profile": "dind", "profil": 1 })).ends_with("did you mean profile?"));
        assert!(refused(json!({ "profile": "dind", "dry_run": true })).contains("dry_run"));
        assert_eq!(refused(json!({ "profile": null })), "missing required arguments: profile");
        assert_eq!(refused(json!({ "profile": [] })), "missing required arguments: profile");
        assert_eq!(
            refused(json!({ "profile": "dind", "adopt": "perhaps" })),
            "argument adopt is a text that does not fit"
        );
        assert_eq!(
            refused(json!({ "profile": "dind", "config": ["a"] })),
            "argument config is a list that does not fit"
        );
        assert_eq!(refused(json!({ "profile": { "name": "dind" } })), "argument profile is a dictionary");
    }

    #[test]
    fn every_word_of_ansible_for_a_truth_value_is_one() {
        assert_eq!(boolean(&json!("Yes")), Some(true));
        assert_eq!(boolean(&json!("off")), Some(false));
        assert_eq!(boolean(&json!(1)), Some(true));
        assert_eq!(boolean(&json!(2)), None);
        assert_eq!(boolean(&json!([])), None);
    }
}
