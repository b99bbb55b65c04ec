//! The `runner-prep` program.

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use runner_prep::cli::{Cli, Environment};
use runner_prep::run::{Streams, run, usage};

fn main() -> ExitCode {
    if let Some(code) = runner_prep::deploy::run(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let size = stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(stdout()));
    let columns = size.map(|size| size.map_or(80, |size| usize::from(size.ws_col)));
    let mut streams = Streams { out: &mut stdout().lock(), err: &mut stderr().lock(), columns };
    let exit = match Cli::try_parse() {
        Ok(cli) => run(&cli, Environment::read(), &mut streams),
        Err(error) => usage(&error, &mut streams),
    };
    ExitCode::from(exit as u8)
}
