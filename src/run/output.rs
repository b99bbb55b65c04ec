//! The way out: one document or text, and nothing that a closed stream could end half way.

use std::env::args_os;
use std::ffi::OsString;
use std::io::Write;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::{Call, Exit, Streams};
use super::place::reader;
use super::store::listed;
use crate::cli::{Cli, Environment};
use crate::fault::fault;
use crate::profile::BUILT_IN;
use crate::repair::Repair;
use crate::report::text::{escape, escape_json, table};
use crate::report::{Report, Style};

/// Help, the version, or what is wrong with the arguments; as a document where `--json` was among them.
pub fn usage(error: &clap::Error, environment: Environment, streams: &mut Streams<'_>) -> Exit {
    // The error quotes the arguments, and who gave them may not be who reads this.
    let mut text: String = error.render().to_string().lines().map(|line| escape(line) + "\n").collect();
    if let Some(name) = profile_alone(error) {
        text.extend(["\n  tip: a profile is named by --profile: --profile ", name, "\n"]);
    }
    if !error.use_stderr() {
        write(streams.out, &text);
        return Exit::Converged;
    }
    let profiles = if lacks_profile(error) { profiles(environment) } else { Vec::new() };
    if !profiles.is_empty() && !asks_for_json() {
        let profiles = table(&profiles, streams.columns);
        let text =
            format!("error: no profile was named; --profile says what is wanted\n\n{profiles}\n{CHOOSE}\n");
        write(streams.err, &text);
    } else if asks_for_json() {
        // Up to the usage: what is missing stands on lines of its own.
        let about = text.trim_start_matches("error: ").lines().take_while(|line| !line.is_empty());
        let mut message = about.map(str::trim).collect::<Vec<_>>().join(" ");
        if let Some(tip) = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")) {
            message.extend(["; ", tip]);
        }
        let names: Vec<&str> = profiles.iter().map(|(name, _)| name.as_str()).collect();
        let repair = match &names[..] {
            [] => "see runner-prep --help".into(),
            names => Repair::from(CHOOSE) + mend!("; there are {}", names.join(", ")),
        };
        write(streams.out, &json(&Report::failed(&[], &fault("usage", message, repair))));
    } else {
        write(streams.err, &text);
    }
    Exit::Error
}

/// What to do where no profile is named.
const CHOOSE: &str = "add one of these names to the command, or several with commas: --profile dind";

/// True when nothing but the profile is missing.
fn lacks_profile(error: &clap::Error) -> bool {
    let missing = error.get(ContextKind::InvalidArg);
    error.kind() == ErrorKind::MissingRequiredArgument
        && matches!(missing, Some(ContextValue::Strings(names)) if matches!(&names[..], [name] if name.starts_with("--profile ")))
}

/// The built-in profile that was given where nothing stands alone.
fn profile_alone(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    BUILT_IN.iter().map(|(name, _)| *name).find(|name| is_unknown && name == given)
}

/// The profiles that there are for the command that was called, with what they are for.
fn profiles(environment: Environment) -> Vec<(String, String)> {
    let whole = args_os().chain([OsString::from("--profile=dind")]);
    let listed =
        Cli::try_parse_from(whole).ok().and_then(|cli| listed(Call::new(&cli, environment, None)).ok());
    listed.unwrap_or_default().into_iter().map(|(name, summary, _)| (name, summary)).collect()
}

/// After a panic at `place`, which is a bug. One in the middle of the writing does not come here: there
/// everything is taken back first.
pub fn crashed(place: &str, streams: &mut Streams<'_>) -> Exit {
    let error = fault(
        "internal",
        format!("a bug in runner-prep ended the work ({place})"),
        "please report it with the command and this line",
    );
    let report = Report::failed(&[], &error);
    if asks_for_json() {
        write(streams.out, &json(&report));
    } else {
        write(streams.err, &report.problems(Style::default()));
    }
    Exit::Error
}

/// When there are no parsed arguments to ask.
fn asks_for_json() -> bool {
    args_os().any(|argument| argument == "--json")
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| escape_json(&text) + "\n").unwrap_or_default()
}

pub(super) fn print(report: &Report, call: Call<'_>, streams: &mut Streams<'_>) {
    if call.cli.global.json {
        write(streams.out, &json(report));
        return;
    }
    write(streams.out, &report.results(call.style));
    write(streams.err, &report.problems(call.style));
}

/// The end of a command that came to nothing but an error.
pub(super) fn fail(error: &anyhow::Error, call: Call<'_>, streams: &mut Streams<'_>) -> Exit {
    print(&Report::failed(&[], error).addressed(reader(call, &[], Vec::new())), call, streams);
    Exit::Error
}

/// For a command whose output is all that it does: a reader who has enough is no error, a full disk is one.
pub(super) fn deliver(streams: &mut Streams<'_>, text: &str) -> Exit {
    match streams.out.write_all(text.as_bytes()).and_then(|()| streams.out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            write(streams.err, &format!("error: cannot write the output: {error}\n"));
            Exit::Error
        }
        _ => Exit::Converged,
    }
}

/// A closed pipe or a full disk behind the stream is no reason to stop or to panic: the work is done.
pub(crate) fn write(stream: &mut dyn Write, text: &str) {
    if stream.write_all(text.as_bytes()).is_ok() {
        stream.flush().ok();
    }
}
