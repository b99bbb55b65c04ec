//! The `runner-prep` program.

use std::env::args_os;
use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use runner_prep::ansible;
use runner_prep::cli::{Cli, Environment};
use runner_prep::run::{Streams, run, usage};

fn main() -> ExitCode {
    let size = stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(stdout()));
    let columns = size.map(|size| size.map_or(80, |size| usize::from(size.ws_col)));
    let mut streams = Streams { out: &mut stdout().lock(), err: &mut stderr().lock(), columns };
    let exit = match ansible::called(args_os()) {
        Some(arguments) => ansible::module(&arguments, Environment::read(), &mut streams),
        None => match Cli::try_parse() {
            Ok(cli) => run(&cli, Environment::read(), &mut streams),
            Err(error) => usage(&error, &mut streams),
        },
    };
    ExitCode::from(exit as u8)
}
