//! The picture in README is a real terminal run: this test makes it again and compares.
//! `UPDATE_README=1` writes it.

#![expect(clippy::disallowed_methods, reason = "reads and writes the picture beside the tests")]

mod support;

use std::fmt::Write as _;

use support::{Host, fixture, have, skip, source};

const PICTURE: &str = "tests/terminal.svg";

/// Colours of the escape sequences that the program uses.
fn colour(code: &str) -> &'static str {
    match code {
        "31" => "#ff7b72",
        "32" => "#7ee787",
        "33" => "#e3b341",
        "2" => "#8b949e",
        _ => "#e6edf3",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draw what a terminal shows.
fn draw(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    let height = lines.len() * 18 + 24;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" font-family=\"monospace\" \
         font-size=\"13\">\n<rect width=\"720\" height=\"{height}\" rx=\"6\" fill=\"#0d1117\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let _ =
            write!(svg, "<text x=\"14\" y=\"{}\" xml:space=\"preserve\" fill=\"#e6edf3\">", row * 18 + 26);
        for (part, text) in line.split('\u{1b}').enumerate() {
            let (code, text) = match text.strip_prefix('[').and_then(|rest| rest.split_once('m')) {
                Some((code, text)) if part > 0 => (code, text),
                _ => ("0", text),
            };
            if !text.is_empty() {
                let _ = write!(svg, "<tspan fill=\"{}\">{}</tspan>", colour(code), escaped(text));
            }
        }
        svg.push_str("</text>\n");
    }
    svg + "</svg>\n"
}

#[test]
fn the_picture_shows_a_real_run() {
    if !have(&["sudo", "rsync"]) {
        return skip("sudo or rsync is missing");
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.config_toml(fixture("config-docker-runner.toml")).start();
    let mut screen = String::new();
    for command in ["plan --profile dind", "apply --profile dind --quiet", "check --profile dind"] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--color", "always"]);
        let run = host.prep(&arguments);
        let _ = writeln!(screen, "\u{1b}[1m$ sudo runner-prep {command}\u{1b}[0m");
        // What is said beside the results stands once, with the first command.
        let problems = if command.starts_with("plan") { run.stderr.as_str() } else { "" };
        let _ = write!(screen, "{}{problems}", run.stdout);
    }
    let drawn = draw(&screen);
    let path = source().join(PICTURE);
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, drawn).unwrap();
    } else {
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == drawn,
            "the picture is not what the program prints; UPDATE_README=1 draws it again\n{drawn}"
        );
    }
}
