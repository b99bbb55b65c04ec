//! The picture in README is a real terminal run: this test makes it again and compares.
//! `RUNNER_PREP_RENEW=1` writes it.

#![expect(clippy::disallowed_methods, reason = "reads and writes the picture beside the tests")]

mod support;

use std::fmt::Write as _;

use support::{Host, fixture, source};

const PICTURE: &str = "tests/terminal.svg";

/// One look, not a page.
const MOST_LINES: usize = 20;

/// What fits into its width.
const MOST_COLUMNS: usize = 88;

/// A line without its colours.
fn plain(line: &str) -> String {
    let parts = line.split('\u{1b}').enumerate();
    parts
        .map(|(part, text)| if part == 0 { text } else { text.split_once('m').map_or("", |(_, text)| text) })
        .collect()
}

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
    let Some(host) = Host::or_skip() else { return };
    // A host of which three things are left to do.
    let host = host.config_toml(fixture("config-docker-runner.toml")).start();
    host.prep(&["apply", "--profile", "dind", "--only", "account,ssh_key"]).ok();
    let address = "printf '[user]\\n\\temail = ci@example.com\\n' > /home/gitlab-runner/.gitconfig";
    host.as_account("gitlab-runner", address).ok();
    let mut screen = String::new();
    for command in ["plan", "apply --quiet", "check"] {
        let command = format!("{command} --profile dind --skip sudoers");
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--color", "always"]);
        let run = host.prep(&arguments);
        if command.starts_with("plan") {
            run.says("3 changes to make").says("docker.privileged: false -> true");
        }
        let _ = writeln!(screen, "\u{1b}[1m$ sudo runner-prep {command}\u{1b}[0m");
        let _ = write!(screen, "{}{}", run.stdout, run.stderr);
    }
    assert!(screen.lines().count() <= MOST_LINES, "{screen}");
    let is_cut = |line: &str| plain(line).chars().count() > MOST_COLUMNS;
    assert!(!screen.lines().any(is_cut), "{screen}");
    let drawn = draw(&screen);
    let path = source().join(PICTURE);
    if support::renew() {
        std::fs::write(path, drawn).unwrap();
    } else {
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == drawn,
            "the picture is not what the program prints; RUNNER_PREP_RENEW=1 draws it again\n{drawn}"
        );
    }
}
