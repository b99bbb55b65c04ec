//! Values that gitlab-runner refuses: with the whole file, or with each job that the runner takes.

use std::net::IpAddr;

use toml_edit::{Item, TableLike};

use super::types::{RefusedValue, wrong_types};
use super::{DOCKER, RUNNERS, Runner, place, strings, tables};
use crate::keys;
use crate::repair::Repair;
use crate::text::toml_patch::Toml;

const KUBERNETES: &str = "runners.kubernetes";

/// The words for how an image is pulled.
pub const POLICIES: [&str; 3] = ["always", "if-not-present", "never"];

/// The keys that hold them.
pub const POLICY_KEYS: [&str; 2] = ["pull_policy", "allowed_pull_policies"];

/// The names of shells for which gitlab-runner can write scripts; `cmd` until 17.0.
const SHELLS: [&str; 5] = ["bash", "sh", "pwsh", "powershell", "cmd"];

/// What Docker calls the ways to keep containers apart.
const ISOLATIONS: [&str; 3] = ["default", "process", "hyperv"];

/// All that is refused in a file.
pub fn refused_values(toml: &Toml) -> Vec<RefusedValue> {
    let mut found = Vec::new();
    wrong_types(toml, &mut found);
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

/// The values of one runner.
struct RunnerValues<'t, 'f> {
    toml: &'t Toml,
    runner: Runner<'t>,
    found: &'f mut Vec<RefusedValue>,
}

impl<'t> RunnerValues<'t, '_> {
    /// One on which every job fails.
    fn value(&self, section: &str, key: &str, item: &Item, why: &str, repair: Repair) -> RefusedValue {
        let (at, title) = (place(self.toml, item), self.runner.title());
        let what = format!("{at}{title}: {why}, and every job fails");
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
                let value = self.value(section, key, item, &why, repair);
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
            self.found.push(self.value(section, POLICY_KEYS[1], item, why, repair));
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
        let is_no_number = |word: &str| word.split('/').any(|part| part.parse::<f64>().is_err());
        // What a variable in it holds is not seen here.
        let is_no_directory = |path: &str| {
            !path.contains(['$', ':']) && (!path.starts_with('/') || path.trim_matches('/').is_empty())
        };
        let users = runner.docker_strings("allowed_users");
        let servers = runner.docker_strings("dns");
        for (section, key, is_refused, why, repair) in [
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
                "allowed_users",
                !users.is_empty() && is_of_docker("user", &|user| !users.contains(&user)),
                "does not have the `user` of the same runner",
                "let `allowed_users` have the value of `user` as well, or take `user` out",
            ),
            (
                DOCKER,
                "isolation",
                is_of_docker("isolation", &|word| !ISOLATIONS.contains(&&*word.to_ascii_lowercase())),
                "is a word that Docker does not have",
                "take `isolation` out",
            ),
            (
                DOCKER,
                "dns",
                is_docker && servers.iter().any(|server| server.parse::<IpAddr>().is_err()),
                "has a server that is no IP address",
                "name each server in `dns` by its IP address",
            ),
        ] {
            let item = if section == RUNNERS { runner.table.get(key) } else { runner.docker_item(key) };
            if let Some(item) = item.filter(|_| is_refused) {
                let value = self.value(section, key, item, &format!("`{key}` {why}"), repair.into());
                self.found.push(value);
            }
        }
    }
}
