//! The `runner-prep` program.

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use runner_prep::cli::{Cli, Environment};
use runner_prep::run::{Streams, run, usage};

fn main() -> ExitCode {
    let terminal = stdout().is_terminal();
    let mut streams = Streams { out: &mut stdout().lock(), err: &mut stderr().lock(), terminal };
    let exit = match Cli::try_parse() {
        Ok(cli) => run(&cli, Environment::read(), &mut streams),
        Err(error) => usage(&error, &mut streams),
    };
    ExitCode::from(exit as u8)
}
