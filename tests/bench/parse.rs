//! What `tests/bench/run` measures our program against, and with: the TOML parser alone, the making of a key alone, and
//! how much memory another program took.
//!
//! `parse FILE` parses the file once with the parser that the program has, and nothing else. `key COUNT` makes as
//! many Ed25519 keys in this process and prints the seconds of each. `memory PROGRAM …` runs
//! a program and prints the largest memory that it or a child had, in kilobytes; a small process has to do that,
//! because the kernel counts what the parent had before the program began.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for the bench, whose result is what it prints"
)]

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use runner_prep::text::key_pair::ed25519;
use toml_edit::Document;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let done = match (arguments.next().as_deref(), arguments.next()) {
        (Some("parse"), Some(path)) => parse(&path),
        (Some("key"), Some(count)) => keys(&count),
        (Some("memory"), Some(program)) => memory(&program, arguments),
        _ => Err("usage: parse FILE | key COUNT | memory PROGRAM [ARGUMENT …]; the bench is tests/bench/run"
            .to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parse(path: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let document = Document::parse(text).map_err(|error| error.message().to_owned())?;
    println!("{}", document.as_table().len());
    Ok(())
}

fn keys(count: &str) -> Result<(), String> {
    for _ in 0..count.parse::<u32>().map_err(|error| format!("{count}: {error}"))? {
        let began = Instant::now();
        let made = ed25519("a").map_err(|error| error.to_string())?;
        println!("{:.9}", began.elapsed().as_secs_f64());
        drop(made);
    }
    Ok(())
}

fn memory(program: &str, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map_err(|error| format!("{program}: {error}"))?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    println!("{}", usage.max_rss());
    Ok(())
}
