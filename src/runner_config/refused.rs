//! Values that gitlab-runner refuses: with the whole file, or with each job that the runner takes.

use std::net::IpAddr;

use toml_edit::{Item, TableLike};

use super::types::{RefusedValue, wrong_types};
use super::{DOCKER, RUNNERS, Runner, Volume, place, strings, tables};
use crate::keys::{self, GLOBAL};
use crate::repair::Repair;
use crate::text::toml_patch::Toml;

const KUBERNETES: &str = "runners.kubernetes";
const MACHINE: &str = "runners.machine";

/// The words for how an image is pulled.
pub const POLICIES: [&str; 3] = ["always", "if-not-present", "never"];

/// The keys that hold them.
pub const POLICY_KEYS: [&str; 2] = ["pull_policy", "allowed_pull_policies"];

/// The names of shells for which gitlab-runner can write scripts; `cmd` until 17.0.
const SHELLS: [&str; 5] = ["bash", "sh", "pwsh", "powershell", "cmd"];

/// How much gitlab-runner can log, as its library for that names it in any case, and in which forms.
const LOG_LEVELS: [&str; 8] = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];
const LOG_FORMATS: [&str; 3] = ["runner", "text", "json"];

pub(super) const ALL_FAIL: &str = "every job fails";

/// What Docker calls the ways to keep containers apart.
const ISOLATIONS: [&str; 3] = ["default", "process", "hyperv"];

/// All that is refused in a file.
pub fn refused_values(toml: &Toml) -> Vec<RefusedValue> {
    let mut found = Vec::new();
    wrong_types(toml, &mut found);
    start(toml, &mut found);
    let runners = toml.root().get("runners").and_then(tables).unwrap_or_default();
    for (index, table) in runners.into_iter().enumerate() {
        let mut values = RunnerValues { toml, runner: Runner { index, table }, found: &mut found };
        for (name, section) in [("docker", DOCKER), ("kubernetes", KUBERNETES)] {
            if let Some(below) = table.get(name).and_then(Item::as_table_like) {
                values.policies(below, section);
            }
        }
        values.words();
    }
    found
}

/// Section, its table, a key, whether its value is one that gitlab-runner takes, and what such a value does.
type StartRow<'t> = (&'t str, Option<&'t dyn TableLike>, &'t str, &'t dyn Fn(&Item) -> bool, &'t str);

/// Values with which gitlab-runner does not start.
fn start(toml: &Toml, found: &mut Vec<RefusedValue>) {
    let root: &dyn TableLike = toml.root();
    let server = root.get("session_server").and_then(Item::as_table_like);
    let is_word = |item: &Item, is_taken: &dyn Fn(&str) -> bool| item.as_str().is_none_or(is_taken);
    let is_level = |item: &Item| is_word(item, &|word| LOG_LEVELS.contains(&&*word.to_ascii_lowercase()));
    let is_format = |item: &Item| is_word(item, &|word| LOG_FORMATS.contains(&word));
    let is_address = |item: &Item| is_word(item, &|text| text.is_empty() || text.contains(':'));
    let are_labels = |item: &Item| item.as_table_like().is_none_or(|labels| labels.iter().all(is_label));
    let have_names =
        |item: &Item| strings(item).is_none_or(|words| words.iter().all(|word| word.contains("%s")));
    let labels = "have names of 3 to 65 and values of 1 to 256 letters, digits, dots, `-` and `_`";
    let mut rows: Vec<StartRow<'_>> = vec![
        (GLOBAL, Some(root), "log_level", &is_level, "be error, warn, info or debug"),
        (GLOBAL, Some(root), "log_format", &is_format, "be runner, text or json"),
        (GLOBAL, Some(root), "labels", &are_labels, labels),
        ("session_server", server, "listen_address", &is_address, "end with a port, as in 0.0.0.0:8093"),
    ];
    for table in root.get("runners").and_then(tables).unwrap_or_default() {
        let machine = table.get("machine").and_then(Item::as_table_like);
        rows.push((RUNNERS, Some(table), "labels", &are_labels, labels));
        rows.push((MACHINE, machine, "MachineOptionsWithName", &have_names, "have %s in each element"));
    }
    for (section, table, key, is_taken, wanted) in rows {
        let item = table.and_then(|table| table.get(key));
        if let Some(item) = item.filter(|item| !is_taken(item)) {
            let at = place(toml, item);
            found.push(RefusedValue {
                code: "config-value-refused",
                what: format!("{at}`{key}` has to {wanted}: as it is, gitlab-runner does not start"),
                repair: mend!("let `{}` {}, or take it out", key, wanted),
                key: keys::find(section, key),
                is_word: true,
            });
        }
    }
}

/// A label of a runner, as GitLab takes it.
fn is_label((name, value): (&str, &Item)) -> bool {
    let is_of = |text: &str, also: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || also.contains(&byte))
    };
    let is_name = (3..=65).contains(&name.len()) && is_of(name, b".-") && is_of(&name[..1], b"");
    is_name && value.as_str().is_none_or(|text| (1..=256).contains(&text.len()) && is_of(text, b".-"))
}

/// The values of one runner.
pub(super) struct RunnerValues<'t, 'f> {
    toml: &'t Toml,
    pub(super) runner: Runner<'t>,
    pub(super) found: &'f mut Vec<RefusedValue>,
}

impl<'t> RunnerValues<'t, '_> {
    /// One that does this harm.
    pub(super) fn value(
        &self,
        (section, key): (&str, &str),
        item: &Item,
        why: &str,
        harm: &str,
        repair: Repair,
    ) -> RefusedValue {
        let (at, title) = (place(self.toml, item), self.runner.title());
        let what = format!("{at}{title}: {why}, and {harm}");
        let key = keys::find(section, key);
        RefusedValue { code: "config-value-refused", what, repair, key, is_word: true }
    }

    /// Policies that gitlab-runner does not have, and those of which it may use none.
    fn policies(&mut self, table: &'t dyn TableLike, section: &str) {
        let is_cluster = section == KUBERNETES;
        let words = |item: &'t Item| strings(item).unwrap_or_else(|| item.as_str().into_iter().collect());
        // To the cluster an empty word is its own policy.
        let is_policy = |word: &&str| POLICIES.contains(word) || (word.is_empty() && is_cluster);
        let mut is_known = true;
        for (key, item) in POLICY_KEYS.into_iter().filter_map(|key| Some((key, table.get(key)?))) {
            if !words(item).iter().all(is_policy) {
                is_known = false;
                let why = format!("`{key}` has a word that is no policy");
                let repair = mend!("let `{}` have {} alone", key, POLICIES.join(", "));
                let value = self.value((section, key), item, &why, ALL_FAIL, repair);
                self.found.push(RefusedValue { code: "pull-policy-unknown", ..value });
            }
        }
        let Some(item) = table.get(POLICY_KEYS[1]).filter(|_| is_known && !is_cluster) else { return };
        let allowed = words(item);
        let mut used = table.get(POLICY_KEYS[0]).map(words).unwrap_or_default();
        if used.is_empty() {
            used.push(POLICIES[0]);
        }
        if !allowed.is_empty() && !used.iter().any(|word| allowed.contains(word)) {
            let why = "`allowed_pull_policies` has no word of `pull_policy`, which is \"always\" where it is not set";
            let repair = mend!("let `allowed_pull_policies` have {} as well", used.join(", "));
            self.found.push(self.value((section, POLICY_KEYS[1]), item, why, ALL_FAIL, repair));
        }
    }

    /// Words that mean nothing to the runner's executor, or to Docker.
    fn words(&mut self) {
        let runner = self.runner;
        let is_docker = runner.starts_containers();
        let is = |key: &str, is_refused: &dyn Fn(&str) -> bool| {
            runner.text(key).is_some_and(|word| !word.is_empty() && is_refused(word))
        };
        let is_of_docker = |key: &str, is_refused: &dyn Fn(&str) -> bool| {
            is_docker && runner.docker_text(key).is_some_and(|word| !word.is_empty() && is_refused(word))
        };
        let is_no_number = |word: &str| word.split('/').any(|part| !part.parse().is_ok_and(f64::is_finite));
        // What a variable in it holds is not seen here.
        let is_no_directory = |path: &str| {
            !path.contains(['$', ':']) && (!path.starts_with('/') || path.trim_matches('/').is_empty())
        };
        let is_no_daemon = |host: &str| host.split_once("://").is_none_or(|(_, at)| at.is_empty());
        let volumes = runner.docker_strings("volumes");
        let has_cache = volumes.into_iter().any(|volume| Volume::parse(volume).source.is_none());
        self.refuse([
            (
                RUNNERS,
                "shell",
                is("shell", &|name| !SHELLS.contains(&name)),
                "is none that gitlab-runner knows",
                "let `shell` be bash, sh or pwsh, or take it out",
            ),
            (
                RUNNERS,
                "builds_dir",
                is_docker && is("builds_dir", &is_no_directory),
                "is no absolute path of a directory in the container",
                "let `builds_dir` be a path like /builds, or take it out",
            ),
            (
                DOCKER,
                "host",
                runner.has_executor("docker") && is_of_docker("host", &is_no_daemon),
                "is no address of a daemon",
                "let `host` be an address like unix:///var/run/docker.sock, or take it out",
            ),
            (
                DOCKER,
                "cache_dir",
                has_cache && is_of_docker("cache_dir", &is_no_directory),
                "is no absolute path of a directory of the host",
                "let `cache_dir` of [runners.docker] be one, or take it out",
            ),
            (
                DOCKER,
                "cpus",
                is_of_docker("cpus", &is_no_number),
                "is no number",
                "let it be one, as \"1.5\"",
            ),
            (
                DOCKER,
                "service_cpus",
                is_of_docker("service_cpus", &is_no_number),
                "is no number",
                "let it be one, as \"1.5\"",
            ),
            (
                DOCKER,
                "isolation",
                is_of_docker("isolation", &|word| !ISOLATIONS.contains(&&*word.to_ascii_lowercase())),
                "is a word that Docker does not have",
                "take `isolation` out",
            ),
        ]);
        if is_docker {
            self.lists();
            self.limits();
            self.images();
        }
    }

    /// Lists in which an element is no use, or one is missing.
    fn lists(&mut self) {
        let runner = self.runner;
        let users = runner.docker_strings("allowed_users");
        let user = runner.docker_text("user").filter(|user| !user.is_empty());
        let is_no_address = |address: &str| address.parse::<IpAddr>().is_err();
        let is_no_host = |host: &&str| {
            let (name, address) = host.split_once([':', '=']).unwrap_or_default();
            let address = address.trim_matches(['[', ']']);
            name.is_empty() || address != "host-gateway" && is_no_address(address)
        };
        self.refuse([
            (
                DOCKER,
                "allowed_users",
                !users.is_empty() && user.is_some_and(|user| !users.contains(&user)),
                "does not have the `user` of the same runner",
                "let `allowed_users` have the value of `user` as well, or take `user` out",
            ),
            (
                DOCKER,
                "dns",
                runner.docker_strings("dns").into_iter().any(is_no_address),
                "has a server that is no IP address",
                "name each server in `dns` by its IP address",
            ),
            (
                DOCKER,
                "extra_hosts",
                runner.docker_strings("extra_hosts").iter().any(is_no_host),
                "has an element that is not a name, a colon and an IP address",
                "write each element of `extra_hosts` as in \"git.example.com:192.0.2.1\"",
            ),
        ]);
    }

    /// Tell those on which every job fails: section, key, whether it is so, why, and what to do.
    pub(super) fn refuse<const N: usize>(&mut self, rows: [(&str, &str, bool, &str, &'static str); N]) {
        let runner = self.runner;
        for (section, key, is_refused, why, repair) in rows {
            let item = if section == RUNNERS { runner.table.get(key) } else { runner.docker_item(key) };
            if let Some(item) = item.filter(|_| is_refused) {
                let why = format!("`{key}` {why}");
                self.found.push(self.value((section, key), item, &why, ALL_FAIL, repair.into()));
            }
        }
    }
}
