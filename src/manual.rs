//! Manual pages, made from the command line's own definition.
//!
//! Owns what a page says beyond that: files, exit codes, examples.

use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, examples};
use crate::fault::fault;
use crate::profile::did_you_mean;

/// What the page of the program says after its options, as roff.
const MORE: &str = include_str!("manual.roff");

/// The commands that have a page of their own, as [`page`] takes them.
pub fn names() -> Vec<String> {
    let mut top = Cli::command().disable_help_subcommand(true);
    top.build();
    pages(&top)
        .into_iter()
        .filter_map(|(name, _)| Some(name.strip_prefix("runner-prep-")?.to_owned()))
        .collect()
}

/// A manual page: of the program, or of one of its commands.
///
/// # Errors
/// When there is no such command.
pub fn page(command: Option<&str>) -> Result<String> {
    let mut top = Cli::command().disable_help_subcommand(true);
    top.build();
    let mut bytes = Vec::new();
    let Some(name) = command else {
        let man = Man::new(top);
        render(&man, &mut bytes)?;
        man.render_subcommands_section(&mut bytes)?;
        let (files, exit_status, see_also) = more();
        return Ok([&String::from_utf8(bytes)?, files, exit_status, &examples(""), see_also].concat());
    };
    let pages = pages(&top);
    let Some((title, found)) =
        pages.iter().find(|(title, _)| title.strip_prefix("runner-prep-") == Some(name))
    else {
        let names = names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what = format!("there is no command {name}{}", did_you_mean(name, &names));
        return Err(fault("usage", what, mend!("the commands are {}", names.join(", "))));
    };
    // A command has no version of its own.
    let man =
        Man::new((*found).clone()).title(title).source(concat!("runner-prep ", env!("CARGO_PKG_VERSION")));
    render(&man, &mut bytes)?;
    if found.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    // The end of the help text is the same, but a page has a name for it.
    let see_also = format!(".SH SEE ALSO\n.BR {} (1)\n", escaped("runner-prep"));
    let (_, exit_status, _) = more();
    Ok([&String::from_utf8(bytes)?, exit_status, &examples(&name.replace('-', " ")), &see_also[..]].concat())
}

/// The sections of [`MORE`]: files, exit status, and what else to see.
fn more() -> (&'static str, &'static str, &'static str) {
    let (files, rest) = MORE.split_at(MORE.find(".SH EXIT STATUS").unwrap_or(MORE.len()));
    let (exit_status, see_also) = rest.split_at(rest.find(".SH SEE ALSO").unwrap_or(rest.len()));
    (files, exit_status, see_also)
}

/// What each page begins with.
fn render(man: &Man, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    man.render_title(bytes)?;
    man.render_name_section(bytes)?;
    man.render_synopsis_section(bytes)?;
    man.render_description_section(bytes)?;
    man.render_options_section(bytes)
}

/// A section with the examples of a command.
fn examples(command: &str) -> String {
    let example = |(what, line): (&str, &str)| {
        format!(".PP\n{}:\n.PP\n.nf\n.RS 4\n{}\n.RE\n.fi\n", escaped(what), escaped(line))
    };
    examples::of(command).map(example).fold(".SH EXAMPLES\n".to_owned(), |all, one| all + &one)
}

/// A line of text as roff has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// All commands with the titles of their pages, those of a command after it.
fn pages(command: &clap::Command) -> Vec<(String, &clap::Command)> {
    let below = command.get_subcommands().flat_map(|below| {
        let title = below.get_display_name().unwrap_or(below.get_name()).to_owned();
        std::iter::once((title, below)).chain(pages(below))
    });
    below.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        for command in Cli::command().get_subcommands() {
            assert!(names().contains(&command.get_name().to_owned()), "{}", command.get_name());
        }
        assert!(names().contains(&"profile-show".to_owned()));
        for name in names() {
            let text = page(Some(&name)).unwrap();
            assert!(text.contains(&format!(".TH runner-prep-{name}")), "{text}");
            assert_eq!(text.matches(".SH EXAMPLES").count(), 1, "{text}");
            assert!(!text.contains(".SH EXTRA"), "{text}");
            assert_eq!(text.matches(".SH EXIT STATUS").count(), 1, "{text}");
            let head = text.lines().find(|line| line.starts_with(".TH ")).unwrap();
            assert!(head.contains(concat!("\"runner-prep ", env!("CARGO_PKG_VERSION"), '"')), "{head}");
        }
        let text = page(None).unwrap();
        assert!(
            text.contains(".SH EXIT STATUS")
                && text.contains("doctor found a problem")
                && text.matches(".SH EXAMPLES").count() == 1,
            "{text}"
        );
        assert!(page(Some("aply")).unwrap_err().to_string().ends_with("did you mean apply?"));
    }
}
