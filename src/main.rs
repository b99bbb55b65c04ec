//! The `runner-prep` program.

use std::env::args_os;
use std::io::{IsTerminal, stderr, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser as _;
use runner_prep::ansible;
use runner_prep::cli::{Cli, Environment};
use runner_prep::completion;
use runner_prep::run::{Streams, complete, crashed, run, usage};

/// Where the last panic was.
static PLACE: Mutex<String> = Mutex::new(String::new());

fn main() -> ExitCode {
    if let Some(code) = runner_prep::deploy::run(args_os()) {
        return code.into();
    }
    // Not what a panic says: that could be a part of what was being worked on.
    std::panic::set_hook(Box::new(|panic| {
        if let (Some(place), Ok(mut last)) = (panic.location(), PLACE.lock()) {
            *last = format!("{}:{}", place.file(), place.line());
        }
    }));
    let size = stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(stdout()));
    // One that does not know its width says 0.
    let columns = size.map(|size| size.ok().map_or(0, |size| usize::from(size.ws_col)));
    let columns = columns.map(|columns| if columns == 0 { 80 } else { columns });
    let mut streams = Streams { out: &mut stdout().lock(), err: &mut stderr().lock(), columns };
    let work = AssertUnwindSafe(|| match ansible::called(args_os()) {
        Some(arguments) => ansible::module(&arguments, Environment::read(), &mut streams),
        None => match completion::asked(args_os()) {
            Some(words) => complete(&words, Environment::read(), &mut streams),
            None => match Cli::try_parse() {
                Ok(cli) => run(&cli, Environment::read(), &mut streams),
                Err(error) => usage(&error, Environment::read(), &mut streams),
            },
        },
    });
    let exit = catch_unwind(work).unwrap_or_else(|_| {
        let place = PLACE.lock().map(|place| place.clone()).unwrap_or_default();
        crashed(&place, &mut streams)
    });
    ExitCode::from(exit as u8)
}
