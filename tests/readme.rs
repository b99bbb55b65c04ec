//! README is true: every command in its `console` blocks runs here, in order, on one throwaway host, and
//! prints what README says. `UPDATE_README=1` writes what the commands print into README.

#![allow(clippy::unwrap_used, reason = "a README that can't be read has to stop the tests")]
#![expect(clippy::disallowed_methods, reason = "reads the README and lays out a release beside the program")]

mod support;

use support::{Host, fixture, have, readme_block, skip, source};

/// What differs from run to run, and what README shows instead.
const SAMPLE_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3q8kq0Tn5oSgWcY7pPz1m2Hn0D4Vn8yqk6vYxk3RrT";
const SAMPLE_FINGERPRINT: &str = "SHA256:tGYQ3xV9Q0bPMtL0vPdVTMQuT5R0BvPcgPPTvYk6mZ4";

/// A fenced block: its language, the lines, and where the first of them is.
struct Block {
    language: String,
    start: usize,
    lines: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), start: number + 1, lines: Vec::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of README is not closed");
    found
}

/// Replace what no two runs share.
fn normal(text: &str) -> String {
    let text = replace_runs(text, "SHA256:", 43, SAMPLE_FINGERPRINT);
    let text = replace_runs(&text, "AAAAC3NzaC1lZDI1NTE5AAAAI", 43, SAMPLE_KEY);
    let text = replace_ids(&text);
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The ids of the journal are times.
fn replace_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "00000000T000000Z-0000"
    };
    let replace = |word: &str| if is_id(word) { "20261124T101502Z-0001".to_owned() } else { word.to_owned() };
    text.split(' ')
        .map(|word| word.split('\n').map(replace).collect::<Vec<_>>().join("\n"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn replace_runs(text: &str, prefix: &str, length: usize, sample: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, found) = rest.split_at(at);
        let run = found[prefix.len()..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "+/".contains(*c))
            .count();
        out.push_str(before);
        let end = prefix.len() + run.min(length);
        // The keys of gitlab.com are the same in every run.
        let is_pinned = before.ends_with("gitlab.com ssh-ed25519 ");
        out.push_str(if run >= length && !is_pinned { sample } else { &found[..end] });
        rest = &found[end..];
    }
    out + rest
}

const MARK: &str = "=-=-= next =-=-=";

#[test]
fn every_command_prints_what_readme_says() {
    if !have(&["sudo", "ssh-keygen", "rsync", "git"]) {
        return skip("sudo, ssh-keygen, rsync or git is missing");
    }
    let Some(host) = Host::or_skip() else { return };
    let path = source().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let host = host
        .release("/srv/runner-prep")
        // What `gitlab-runner register` writes, put in place where README says that a runner was registered.
        .file("/srv/registered.toml", fixture("config-docker-runner.toml"))
        // The profile that README shows.
        .file("/srv/gitlab.toml", readme_block("gitlab.toml"))
        .start();
    let mut lines: Vec<String> = readme.lines().map(str::to_owned).collect();
    let mut shift = 0_isize;
    let mut wrong = Vec::new();
    let registered = readme.lines().position(|line| line.contains("<!-- a runner is registered -->"));
    let mut is_registered = false;
    for block in blocks(&readme).into_iter().filter(|block| block.language == "console") {
        if registered.is_some_and(|line| line < block.start) && !is_registered {
            host.sh("install -d -m 0700 /etc/gitlab-runner; install -m 0600 /srv/registered.toml /etc/gitlab-runner/config.toml")
                .ok();
            is_registered = true;
        }
        let commands: Vec<&str> = block.lines.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
        let mut script = String::from("cd /srv/runner-prep; s=0\n");
        for command in &commands {
            script.push_str(&["echo '", MARK, "'; (exit $s); ", command, "\ns=$?\n"].concat());
        }
        let run = host.command("/bin/sh").args(["-c", &format!("exec 2>&1\n{script}")]).output().unwrap();
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        let outputs: Vec<String> = printed.split(&format!("{MARK}\n")).skip(1).map(normal).collect();
        assert_eq!(outputs.len(), commands.len(), "{printed}");
        let mut fresh = Vec::new();
        for (command, output) in commands.iter().zip(&outputs) {
            fresh.push(format!("$ {command}"));
            fresh.extend(output.lines().map(str::to_owned));
        }
        if fresh != block.lines {
            wrong.push(format!(
                "--- README says\n{}\n--- the program says\n{}",
                block.lines.join("\n"),
                fresh.join("\n")
            ));
            let start = usize::try_from(isize::try_from(block.start).unwrap() + shift).unwrap();
            shift += isize::try_from(fresh.len()).unwrap() - isize::try_from(block.lines.len()).unwrap();
            lines.splice(start..start + block.lines.len(), fresh);
        }
    }
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    } else {
        assert!(wrong.is_empty(), "README is not true; UPDATE_README=1 corrects it\n{}", wrong.join("\n"));
    }
}

#[test]
fn every_file_and_link_that_readme_names_exists() {
    let readme = std::fs::read_to_string(source().join("README.md")).unwrap();
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if let Some(anchor) = target.strip_prefix('#') {
            let slug = |line: &str| -> String {
                let text = line.trim_start_matches('#').trim().to_lowercase();
                let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            };
            let known = readme.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
            assert!(known, "README links to #{anchor}, which it does not have");
        } else if !target.contains("://") {
            assert!(source().join(target).exists(), "README names {target}, which does not exist");
        }
    }
}

#[test]
fn readme_names_every_profile_and_no_other() {
    let readme = std::fs::read_to_string(source().join("README.md")).unwrap();
    for (name, _) in runner_prep::profile::BUILT_IN {
        assert!(readme.contains(&format!("`{name}`")), "README does not name the profile {name}");
        assert!(source().join(format!("profiles/{name}.toml")).exists());
    }
    let files = std::fs::read_dir(source().join("profiles")).unwrap().count();
    assert_eq!(files, runner_prep::profile::BUILT_IN.len(), "a profile is not built in");
}

/// The table of `src/doctor/job_errors.tsv`, whose rows `tests/explain.rs` proves: a job's error, and the codes
/// by which doctor finds what is behind it.
fn job_errors() -> String {
    let data = std::fs::read_to_string(source().join("src/doctor/job_errors.tsv")).unwrap();
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for line in data.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let is_code = fields.len() == 3;
        let code = if is_code { format!("`{}`", fields[2]) } else { fields[3].replace('|', "\\|") };
        let text = fields[0].to_owned();
        match rows.iter_mut().find(|(known, _)| *known == text) {
            Some((_, codes)) if codes.contains(&code) => {}
            Some((_, codes)) => codes.push(code),
            None => rows.push((text, vec![code])),
        }
    }
    let row = |(text, found): &(String, Vec<String>)| {
        let (codes, words): (Vec<&String>, Vec<&String>) = found.iter().partition(|one| one.starts_with('`'));
        let codes: Vec<&str> = codes.into_iter().map(String::as_str).collect();
        let all = [codes.join(", ")].into_iter().filter(|codes| !codes.is_empty());
        let all: Vec<String> = all.chain(words.into_iter().cloned()).collect();
        format!("| `{text}` | {} |\n", all.join("; "))
    };
    ["| the job shows | doctor finds |\n|---|---|\n".to_owned()]
        .into_iter()
        .chain(rows.iter().map(row))
        .collect()
}

#[test]
fn the_page_on_failed_jobs_is_the_proven_table() {
    const BEGIN: &str = "<!-- job errors: made from src/doctor/job_errors.tsv -->\n\n";
    let path = source().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once("\n\n").unwrap();
    let wanted = job_errors();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, [before, BEGIN, wanted.trim_end(), "\n\n", after].concat()).unwrap();
    } else {
        assert_eq!(table, wanted.trim_end(), "UPDATE_README=1 corrects it");
    }
}
