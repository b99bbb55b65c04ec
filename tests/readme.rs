//! README and the other pages are true: every command in their `console` blocks runs here, in order, on one throwaway
//! host for each page, and prints what the page says. `RUNNER_PREP_RENEW=1` writes what the commands print.

#![allow(clippy::unwrap_used, reason = "a README that can't be read has to stop the tests")]
#![expect(clippy::disallowed_methods, reason = "reads the README and lays out a release beside the program")]

mod support;

use support::{Host, HostBuilder, PAGES, fixture, have, page, readme_block, renew, skip, source};

/// What differs from run to run, and what README shows instead.
const SAMPLE_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3q8kq0Tn5oSgWcY7pPz1m2Hn0D4Vn8yqk6vYxk3RrT";
const SAMPLE_FINGERPRINT: &str = "SHA256:6Rw0fVPrbR+jkESnDmvWELcdeP/W9LgT7v6yj7Cr/s4";

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
    let mut wrong = Vec::new();
    for path in PAGES {
        let text = page(path);
        if !blocks(&text).iter().any(|block| block.language == "console") {
            continue;
        }
        let Some(host) = Host::or_skip() else { return };
        let (lines, differences) = run_page(host, &text, path != "README.md");
        if renew() {
            std::fs::write(source().join(path), lines.join("\n") + "\n").unwrap();
        } else {
            wrong.extend(differences.into_iter().map(|difference| format!("{path}\n{difference}")));
        }
    }
    assert!(wrong.is_empty(), "a page is not true; RUNNER_PREP_RENEW=1 corrects it\n{}", wrong.join("\n"));
}

/// A file as `gitlab-runner register` writes it for the one runner that README registers.
fn registered() -> String {
    let text = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    let mut parts = text.split("[[runners]]\n");
    [parts.next().unwrap(), "[[runners]]\n", parts.next().unwrap()].concat()
}

/// Run the commands of a page, in order, on one host, which README prepares itself: the page as it should be, and where
/// it differs.
fn run_page(host: HostBuilder, text: &str, prepared: bool) -> (Vec<String>, Vec<String>) {
    let host = host
        .release("/srv/runner-prep")
        // What `gitlab-runner register` writes, put in place where README says that a runner was registered.
        .file("/srv/registered.toml", registered())
        // The profile that README shows.
        .file("/srv/gitlab.toml", readme_block("gitlab.toml"))
        .start();
    if prepared {
        host.sh("/srv/runner-prep/install.sh -- apply --profile dind --allow-pending").ok();
    } else {
        // The first page begins on a host without it.
        host.sh("mv /usr/local/bin/gitlab-runner /srv/").ok();
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut shift = 0_isize;
    let mut wrong = Vec::new();
    let registered = text.lines().position(|line| line.contains("<!-- a runner is registered -->"));
    let mut is_registered = false;
    for block in blocks(text).into_iter().filter(|block| block.language == "console") {
        if registered.is_some_and(|line| line < block.start) && !is_registered {
            host.sh("install -d -m 0700 /etc/gitlab-runner; install -m 0600 /srv/registered.toml /etc/gitlab-runner/config.toml
                     mv /srv/gitlab-runner /usr/local/bin/")
                .ok();
            is_registered = true;
        }
        let commands: Vec<&str> = block.lines.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
        // The reader is a user with sudo, and this one is root.
        let mut script = String::from("sudo() { env SUDO_UID=1000 \"$@\"; }; cd /srv/runner-prep; s=0\n");
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
                "--- the page says\n{}\n--- the program says\n{}",
                block.lines.join("\n"),
                fresh.join("\n")
            ));
            let start = usize::try_from(isize::try_from(block.start).unwrap() + shift).unwrap();
            shift += isize::try_from(fresh.len()).unwrap() - isize::try_from(block.lines.len()).unwrap();
            lines.splice(start..start + block.lines.len(), fresh);
        }
    }
    (lines, wrong)
}

#[test]
fn every_file_and_link_that_a_page_names_exists() {
    for path in PAGES {
        let text = page(path);
        let here = source().join(path);
        let here = here.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, at)| (file, Some(at)));
            let found = if file.is_empty() { source().join(path) } else { here.join(file) };
            assert!(found.exists(), "{path} names {file}, which does not exist");
            if let Some(anchor) = anchor {
                let slug = |line: &str| -> String {
                    let text = line.trim_start_matches('#').trim().to_lowercase();
                    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
                };
                let text = std::fs::read_to_string(found).unwrap();
                let known =
                    text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
                assert!(known, "{path} links to #{anchor}, which {file} does not have");
            }
        }
        // Files that a page names in code, which a reader opens next.
        for name in text.split('`').filter(|name| is_path(name)) {
            assert!(source().join(name).exists(), "{path} names {name}, which does not exist");
        }
    }
}

/// True for what can only be a file of this repository.
fn is_path(name: &str) -> bool {
    let tops = ["src/", "tests/", "profiles/", ".ci/", ".github/", ".package/"];
    tops.iter().any(|top| name.starts_with(top))
        && !name.contains(|c: char| c.is_whitespace() || "*…<$".contains(c))
        && !["NAME", "SECONDS"].iter().any(|word| name.contains(word))
}

#[test]
fn readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(
        lines <= 400,
        "README has {lines} lines: what only some readers look for goes to the other pages"
    );
}

#[test]
fn every_profile_has_its_row_and_no_other() {
    for (name, _) in runner_prep::profile::BUILT_IN {
        for path in ["README.md", "profiles/README.md"] {
            assert!(
                page(path).contains(&format!("| `{name}` |")),
                "{path} has no row for the profile {name}: add `| `{name}` | …` to its table of profiles"
            );
        }
        assert!(source().join(format!("profiles/{name}.toml")).exists());
    }
    let is_profile = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".toml");
    let files = std::fs::read_dir(source().join("profiles")).unwrap();
    let files = files.filter(|entry| is_profile(entry.as_ref().unwrap().file_name())).count();
    assert_eq!(
        files,
        runner_prep::profile::BUILT_IN.len(),
        "each file of profiles/ is a line of BUILT_IN in src/profile/store.rs"
    );
}
