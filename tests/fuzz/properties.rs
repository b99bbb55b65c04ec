//! What holds for every input of a parser or an editor, however broken or hostile. `tests/fuzz.rs` tries these under
//! proptest and on the kept inputs; the targets beside this file try them under libFuzzer.
//!
//! A property takes any bytes and panics where it does not hold.

use std::path::Path;

use runner_prep::journal::Entry as JournalEntry;
use runner_prep::profile::Profile;
use runner_prep::resource::{self, Wanted};
use runner_prep::runner_config::edits::RecordedEdits;
use runner_prep::text::deployment::Description;
use runner_prep::text::key_pair::{Inspection, inspect};
use runner_prep::text::known_hosts::{GITLAB_COM, HostName, entries, keys_of, merge};
use runner_prep::text::public_key::public_line;
use runner_prep::text::sudo_rule::{CommandLine, Rule, RunAs};
use runner_prep::text::toml_patch::{Action, Difference, Edit, Step, Toml};
use runner_prep::text::{git_config, sudo_list};

/// A parser under a property: its name, which is also that of its fuzz target and of the directory of its seeds.
pub type Property = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Property] = &[
    ("profile", profile),
    ("config", config),
    ("known_hosts", known_hosts),
    ("sudoers", sudoers),
    ("git_config", git),
    ("key_pair", key_pair),
    ("sudo_list", sudo_listing),
    ("journal", journal),
    ("deployment", deployment),
];

/// Two texts in one input, parted by the first NUL.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

/// A profile, perhaps with a second one, is resolved or refused; what it resolves to means the same again.
pub fn profile(data: &[u8]) {
    let (mine, other) = halves(data);
    let (Ok(mine), Ok(other)) = (std::str::from_utf8(mine), std::str::from_utf8(other)) else { return };
    let resolve = |mine: &str, names: &[&str]| {
        let read = |path: &Path| {
            Ok(match path.file_stem().and_then(|name| name.to_str()) {
                Some("mine") => Some(mine.to_owned()),
                Some("other") => Some(other.to_owned()),
                _ => None,
            })
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let profile = Profile::load(&names, &resource::names(), &read)?;
        let kinds: Vec<_> = Wanted::resolve(&profile, &|_| true)?.kinds().collect();
        let template = resource::template(&profile)?;
        anyhow::Ok((profile.text()?.to_owned(), kinds, template))
    };
    let once = resolve(mine, &["mine"]);
    if !other.is_empty() {
        resolve(mine, &["mine", "other"]).ok();
    }
    let Ok((text, kinds, template)) = once else { return };
    // `profile show` prints it, and people save what it prints.
    let twice = resolve(&text, &["mine"]).expect("what a profile resolves to is a profile");
    assert_eq!(twice, (text, kinds, template.clone()), "resolving twice");
    if let Some(template) = template {
        Toml::parse(template.as_bytes()).expect("a template is TOML");
    }
}

/// What the profiles of Docker-in-Docker change in a configuration, in the runner of that number.
fn edits(number: usize) -> Vec<Edit> {
    let runner = |keys: &[&str]| -> Vec<Step> {
        let keys = keys.iter().map(|key| Step::from(*key));
        [Step::from("runners"), Step::from(number)].into_iter().chain(keys).collect()
    };
    vec![
        Edit::set(runner(&["docker", "privileged"]), true),
        Edit::set(runner(&["docker", "tls_verify"]), false),
        Edit::insert(runner(&["docker", "volumes"]), "/certs/client"),
        Edit::insert(runner(&["environment"]), "DOCKER_TLS_CERTDIR=/certs"),
        Edit::new(runner(&["docker", "dns"]), Action::SetList(vec!["a\"b".to_owned()])),
        Edit::set([runner(&["docker", "services"]), vec![0.into(), "name".into()]].concat(), "docker:dind"),
    ]
}

/// A configuration takes an edit or says why not: the edit has its effect, alone, and done again it changes nothing.
pub fn config(data: &[u8]) {
    let before = match Toml::parse(data) {
        Ok(before) => before,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0, "{error}");
            return;
        }
    };
    let edits = edits(data.len() % 2);
    let wishes = edits.iter().map(std::slice::from_ref).chain([&edits[..]]);
    for wish in wishes {
        let Ok(patched) = before.patch(wish) else { continue };
        let after = Toml::parse(patched.text.as_bytes()).expect("what was edited is TOML");
        before.verify(&after, wish).expect("nothing but what was wanted differs");
        // Whether an element is there already is for the caller to see: an insertion inserts.
        let settled: Vec<Edit> =
            wish.iter().filter(|edit| !matches!(edit.action, Action::Insert(_))).cloned().collect();
        let again = after.patch(&settled).expect("what was edited can be edited");
        assert!(again.text == patched.text, "the same edit again changes something");
    }
}

/// A `known_hosts` file gets the keys that are missing, keeps all other lines, and needs nothing the second time.
pub fn known_hosts(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let accept_new = first % 2 == 1;
    if let Ok(text) = std::str::from_utf8(data) {
        for entry in entries(text, None).unwrap_or_default() {
            let line = entry.to_string();
            assert_eq!(entries(&line, None), Ok(vec![entry]), "{line:?}");
        }
        if let Ok(host) = HostName::parse(text) {
            assert_eq!(HostName::parse(&host.to_string()), Ok(host));
        }
    }
    let wanted = entries(GITLAB_COM, None).expect("the pinned keys");
    let Ok(Some(merged)) = merge(data, &wanted, accept_new) else { return };
    assert_eq!(merge(&merged.text, &wanted, accept_new), Ok(None), "merging twice");
    let found = keys_of(&merged.text, &wanted[0].host);
    assert!(wanted.iter().all(|entry| found.contains(&entry.key)), "a wanted key is missing");
    if !accept_new {
        assert!(merged.text.starts_with(data), "a line that was there is gone");
    }
    let changed: Vec<_> = merged.replaced.iter().map(|conflict| conflict.line).collect();
    let mut rest = merged.text.split(|byte| *byte == b'\n');
    for (index, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let stays = changed.contains(&(index + 1)) || rest.any(|other| other == line);
        assert!(stays, "line {} is gone", index + 1);
    }
}

/// A command becomes one line of a sudoers file that says the same, or is refused.
pub fn sudoers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Result<Vec<CommandLine>, _> = text.split('|').map(|text| text.to_owned().try_into()).collect();
    let Ok(commands) = lines else { return };
    let rule = Rule { account: "ci", run_as: RunAs::Account("www"), commands: &commands }.to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" ._/@%+-,:=\\()".contains(&b);
    assert!(rule.bytes().all(plain), "{rule:?}");
    assert!(!rule.ends_with('\\'), "{rule:?} goes on in the next line");
    // Read as sudoers(5) says: a comma parts two commands unless a backslash precedes it.
    let list = rule.strip_prefix("ci ALL=(www:www) NOPASSWD: ").expect("the rule begins as it has to");
    let (mut read, mut escaped) = (vec![String::new()], false);
    for c in list.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => read.push(String::new()),
            ':' | '=' if !escaped => panic!("{rule:?}: a bare {c:?}"),
            c => {
                read.last_mut().expect("never empty").push(c);
                escaped = false;
            }
        }
    }
    let read: Vec<_> = read.iter().map(|command| command.trim_start()).collect();
    assert_eq!(read.join("|"), text, "{rule:?}");
    for word in commands.iter().flat_map(CommandLine::words) {
        assert!(!word.is_empty(), "{rule:?}");
    }
}

/// A git configuration gets what is missing; all else stays, and the second time nothing is missing.
pub fn git(data: &[u8]) {
    git_config::lines(data).ok();
    let wanted = [("name", "a \"b\" \\ # c"), ("email", "ci@example.com")];
    let before = wanted.map(|(key, _)| git_config::get(data, "user", key));
    let Ok(Some(new)) = git_config::set_missing(data, "user", &wanted) else { return };
    assert_eq!(git_config::set_missing(&new, "user", &wanted), Ok(None), "setting twice");
    for ((key, value), before) in wanted.iter().zip(before) {
        let before = before.expect("it could be edited");
        let now = git_config::get(&new, "user", key).expect("what was edited can be read");
        assert_eq!(now.as_deref(), before.as_deref().or(Some(*value)), "{key}");
    }
    let added = new.len() - data.len();
    let same = new.iter().zip(data).take_while(|(one, other)| one == other).count();
    assert!((0..=same).any(|at| new[at + added..] == data[at..]), "a byte that was there is gone");
}

/// A key is told from what is none, and a public line says the same again.
pub fn key_pair(data: &[u8]) {
    if let Inspection::OpenSsh { public, .. } = inspect(data) {
        let line = public.to_string();
        let read = public_line(line.as_bytes()).expect("the public half is a public line");
        assert!(read.same_key(&public), "{line:?}");
    }
    if let Ok(line) = public_line(data) {
        let text = line.to_string();
        assert!(!text.contains(['\n', '\r', '\0']), "{text:?} is more than one line");
        let again = public_line(text.as_bytes()).expect("a line that was read can be read");
        assert!(again.same_key(&line), "{text:?}");
    }
}

/// What sudo prints is read; a listing without a command has no rule in it.
pub fn sudo_listing(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = sudo_list::entries(&text);
    if !text.contains("Commands:") {
        assert!(found.is_empty(), "{found:?}");
    }
    for wanted in ["/usr/bin/rsync", "/usr/bin/rsync -a x", ""] {
        let (program, arguments) =
            wanted.split_once(' ').map_or((wanted, None), |(one, rest)| (one, Some(rest)));
        let question =
            sudo_list::Question { run_as: "root", program, arguments, same: &|one, other| one == other };
        let verdict = sudo_list::verdict(&found, &question);
        if let sudo_list::SudoVerdict::Free(entry) = verdict {
            assert!(entry.free && !entry.command.starts_with('!'), "{entry:?}");
        }
    }
}

/// An entry of the journal means the same when it is written again; two configurations differ from both sides.
pub fn journal(data: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<JournalEntry>(data) {
        let text = serde_json::to_vec(&entry).expect("an entry can be written");
        assert_eq!(serde_json::from_slice::<JournalEntry>(&text).expect("and read"), entry);
    }
    if let Ok(edits) = serde_json::from_slice::<RecordedEdits>(data) {
        let text = serde_json::to_vec(&edits).expect("what was done can be written");
        assert_eq!(serde_json::from_slice::<RecordedEdits>(&text).expect("and read"), edits);
    }
    let (before, after) = halves(data);
    if changed(before, after).is_some_and(|values| values.is_empty()) {
        assert_eq!(changed(after, before), Some(Vec::new()), "a difference seen from one side only");
    }
    if Toml::parse(before).is_ok() {
        assert_eq!(changed(before, before), Some(Vec::new()), "a document differs from itself");
    }
}

/// Where single values differ; `None` when more than those do, or one of the texts is not TOML.
fn changed(before: &[u8], after: &[u8]) -> Option<Vec<Vec<Step>>> {
    let difference = Difference::between(&Toml::parse(before).ok()?, &Toml::parse(after).ok()?);
    difference.others.is_empty().then_some(difference.values)
}

/// A description is read or refused; what rsync is started with is one word for each option, and none of them ours
/// to fear.
pub fn deployment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(description) = Description::parse(text) else { return };
    assert_eq!(
        Description::parse(&description.render()),
        Ok(description.clone()),
        "{}",
        description.render()
    );
    let deployment = &description.deployment;
    let target = deployment.target.path();
    assert!(
        target.is_absolute() && !target.as_os_str().as_encoded_bytes().contains(&0),
        "{}",
        target.display()
    );
    assert!(target.components().all(|part| part != std::path::Component::ParentDir), "{}", target.display());
    for option in deployment.rsync_options(Some((0, 0))) {
        assert!(option.starts_with('-') && !option.contains(['\n', '\0']), "{option:?}");
        let safe = ["-v", "-rlptu", "--safe-links", "--no-devices", "--no-specials", "--delete"];
        let begins = ["--chmod=", "--chown=0:0", "--exclude="];
        assert!(
            safe.contains(&option.as_str()) || begins.iter().any(|begin| option.starts_with(begin)),
            "{option:?}"
        );
    }
}
