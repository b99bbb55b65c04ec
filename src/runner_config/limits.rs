//! Values of `[runners.docker]` with which Docker starts no container: amounts, limits, devices, rights.

use toml_edit::Item;

use super::DOCKER;
use super::refused::{ALL_FAIL, RunnerValues};
use crate::keys::{Key, Version};

const SERVICES_FAIL: &str = "every job with a service fails";

/// As little memory Docker gives a container, in bytes (since 20.10; before, 4 MiB).
const LEAST_MEMORY: f64 = 6.0 * 1024.0 * 1024.0;

/// The limits of processes that Docker can set, as `setrlimit(2)` names them.
const PROCESS_LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The capabilities of the kernel, as `capabilities(7)` names them, without `CAP_`.
const CAPABILITIES: &str = "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN \
    DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE \
    MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN \
    SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG \
    WAKE_ALARM ALL";

/// An amount of memory in bytes, as Docker's library for that reads it: `1.5g`, `512 MiB`.
fn size(text: &str) -> Option<f64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')? + 1;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let power = match unit.chars().next() {
        None => 0,
        Some('b') if unit == "b" => 0,
        Some(letter) if ["", "b", "ib"].contains(&&unit[letter.len_utf8()..]) => {
            1 + i32::try_from("kmgtp".find(letter)?).ok()?
        }
        Some(_) => return None,
    };
    (number >= 0.0).then_some(number * 1024_f64.powi(power))
}

/// True for the name of a limit and its number or two, `SOFT:HARD`, of which the first is not the greater one; what is
/// below zero is no limit.
fn is_process_limit((name, value): (&str, &Item)) -> bool {
    let Some(text) = value.as_str() else { return true };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let [soft, hard] = [soft, hard]
        .map(|number| number.parse::<i64>().map(|number| u64::try_from(number).unwrap_or(u64::MAX)));
    let is_in_order = matches!((soft, hard), (Ok(soft), Ok(hard)) if soft <= hard);
    is_in_order && PROCESS_LIMITS.contains(&&*name.to_ascii_lowercase())
}

fn is_capability(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    CAPABILITIES.split_whitespace().any(|name| name == word.strip_prefix("CAP_").unwrap_or(&word))
}

/// True for six bytes: `02:42:ac:11:00:02`, the same with `-`, or `0242.ac11.0002`.
fn is_hardware_address(text: &str) -> bool {
    let has = |mark: char, count: usize, digits: usize| {
        let mut parts = text.split(mark);
        let is_part = |part: &str| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.matches(mark).count() + 1 == count && parts.all(is_part)
    };
    has(':', 6, 2) || has('-', 6, 2) || has('.', 3, 4)
}

impl RunnerValues<'_, '_> {
    /// Find them.
    pub(super) fn limits(&mut self) {
        self.memory("", ALL_FAIL);
        self.memory("service_", SERVICES_FAIL);
        self.seccomp();
        let runner = self.runner;
        let has_foreign = |key: &str| runner.docker_strings(key).iter().any(|word| !is_capability(word));
        let table = |key: &str| runner.docker_item(key).and_then(Item::as_table_like);
        let is_logged = |(name, _): (&str, &Item)| ["env", "labels"].contains(&name);
        let is_device = |device: &&str| device.matches(':').count() < 3 && !device.is_empty();
        self.refuse([
            (
                DOCKER,
                "log_options",
                table("log_options").is_some_and(|options| !options.iter().all(is_logged)),
                "has a key other than `env` and `labels`",
                "let `log_options` have `env` and `labels` alone",
            ),
            (
                DOCKER,
                "ulimit",
                table("ulimit").is_some_and(|limits| !limits.iter().all(is_process_limit)),
                "has an element that is no limit of processes",
                "write each element of `ulimit` as in nofile = \"1024:4096\", the greater number last",
            ),
            (
                DOCKER,
                "mac_address",
                runner
                    .docker_text("mac_address")
                    .is_some_and(|text| !text.is_empty() && !is_hardware_address(text)),
                "is no hardware address",
                "let `mac_address` be one, as \"02:42:ac:11:00:02\", or take it out",
            ),
            (
                DOCKER,
                "devices",
                !runner.docker_strings("devices").iter().all(is_device),
                "has an element that is not a path, or two, with rights behind them",
                "write each element of `devices` as in \"/dev/kvm:/dev/kvm:rwm\"",
            ),
            (
                DOCKER,
                "cap_add",
                has_foreign("cap_add"),
                "has a word that is no capability",
                "let `cap_add` have names from capabilities(7), as \"NET_ADMIN\"",
            ),
            (
                DOCKER,
                "cap_drop",
                has_foreign("cap_drop"),
                "has a word that is no capability",
                "let `cap_drop` have names from capabilities(7), as \"NET_RAW\"",
            ),
            (
                DOCKER,
                "tmpfs",
                table("tmpfs").is_some_and(|mounts| mounts.iter().any(|(path, _)| !path.starts_with('/'))),
                "has a path that does not begin with a slash",
                "let each path in `tmpfs` be absolute",
            ),
            (
                DOCKER,
                "oom_score_adjust",
                runner
                    .docker_number("oom_score_adjust")
                    .is_some_and(|score| !(-1000..=1000).contains(&score)),
                "is not between -1000 and 1000",
                "let `oom_score_adjust` be between them, or take it out",
            ),
            (
                DOCKER,
                "shm_size",
                runner.docker_number("shm_size").is_some_and(|size| size < 0),
                "is less than nothing",
                "let `shm_size` be a number of bytes, or take it out",
            ),
        ]);
    }

    /// Paths of seccomp profiles, as older versions hand them on.
    fn seccomp(&mut self) {
        let is_path = |option: &&str| {
            let profile = option.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':']));
            profile.is_some_and(|profile| {
                !profile.starts_with('{') && !["unconfined", "builtin"].contains(&profile)
            })
        };
        for (key, harm) in [("security_opt", ALL_FAIL), ("services_security_opt", SERVICES_FAIL)] {
            let Some(item) = self.runner.docker_item(key) else { continue };
            if self.runner.docker_strings(key).iter().any(is_path) {
                let why = format!(
                    "`{key}` has the path of a seccomp profile, and before 19.0 Docker is given that for its text"
                );
                let repair = mend!(
                    "let `{}` have the text of the profile, or let gitlab-runner be 19.0 or newer",
                    key
                );
                let mut value = self.value((DOCKER, key), item, &why, harm, repair);
                value.key = value.key.map(|key| Key { until: Some(Version(19, 0, 0)), ..key });
                self.found.push(value);
            }
        }
    }

    /// Amounts of memory, of jobs' containers or of services'. What is none ends gitlab-runner itself, with all jobs
    /// that run.
    fn memory(&mut self, of: &str, harm: &str) {
        let [memory, swap, reservation] =
            ["memory", "memory_swap", "memory_reservation"].map(|name| format!("{of}{name}"));
        let runner = self.runner;
        let amount = |key: &str| runner.docker_text(key).filter(|text| !text.is_empty()).map(size);
        let bytes = |key: &str| amount(key).flatten().unwrap_or_default();
        let limit = bytes(&memory);
        for key in [&memory, &swap, &reservation] {
            let Some(item) = runner.docker_item(key) else { continue };
            let has = bytes(key);
            let (why, harm, repair) = if amount(key) == Some(None) {
                let repair = mend!("let `{}` be one, as \"2g\" or \"512m\", or take it out", key);
                (format!("`{key}` is no amount of memory"), "a job ends gitlab-runner with it", repair)
            } else if key == &swap && has > 0.0 && amount(&memory).is_none_or(|memory| memory == Some(0.0)) {
                let repair =
                    mend!("set `{}` as well, to less than `{}`, or take `{}` out", memory, swap, swap);
                (
                    format!("`{swap}`, which is memory and swap together, stands without `{memory}`"),
                    harm,
                    repair,
                )
            } else if key == &swap && has > 0.0 && has < limit {
                let repair =
                    mend!("let `{}` be `{}` and the swap on top of it, or take it out", swap, memory);
                (
                    format!("`{swap}`, which is memory and swap together, is less than `{memory}`"),
                    harm,
                    repair,
                )
            } else if key != &swap && has > 0.0 && has < LEAST_MEMORY {
                let repair = mend!("let `{}` be 6m or more, with its unit, as \"512m\"", key);
                (format!("`{key}` is less than the 6m that Docker wants at least"), harm, repair)
            } else if key == &reservation && limit > 0.0 && has > limit {
                let repair = mend!("let `{}` be at most `{}`, or take it out", reservation, memory);
                (format!("`{reservation}` is more than `{memory}`"), harm, repair)
            } else {
                continue;
            };
            self.found.push(self.value((DOCKER, key), item, &why, harm, repair));
        }
    }
}
