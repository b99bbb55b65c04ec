//! Settings of the service of gitlab-runner: one drop-in of its systemd unit.
//!
//! Writes the file and never tells systemd: what waits for a person is said until it is done.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::root_file::{RootFile, marked};
use super::{Context, Resource};
use crate::change::{Change, Notes};
use crate::facts::service::UNIT;
use crate::facts::{Facts, MOST_BYTES, UnitState};

/// The drop-in's name.
const NAME: &str = "runner-prep.conf";

/// Where systemd itself is.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// The `[service]` section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceSection {
    /// How long a stop waits for jobs that run: `2h`, `90min`, `infinity`.
    stop_timeout: Option<TimeSpan>,
    /// The proxy for addresses that begin with `http://`.
    http_proxy: Option<Proxy>,
    /// The proxy for those that begin with `https://`, as GitLab's.
    https_proxy: Option<Proxy>,
    /// Hosts that need none, with commas between them.
    no_proxy: Option<Hosts>,
}

/// A time span as systemd reads it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^(infinity|[1-9][0-9]{0,8} ?(ms|s|sec|min|m|h|d|w)?( ?[1-9][0-9]{0,8} ?(ms|s|sec|min|m|h|d|w))*)$"))]
struct TimeSpan(String);

impl TryFrom<String> for TimeSpan {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut rest = text.as_str();
        let (mut parts, mut is_span) = (0, rest != "infinity");
        while is_span && !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let after = after.strip_prefix(' ').unwrap_or(after);
            let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let is_unit = ["ms", "s", "sec", "min", "m", "h", "d", "w"].contains(&unit);
            is_span = (1..=9).contains(&number.len())
                && !number.starts_with('0')
                && (is_unit || (unit.is_empty() && parts == 0));
            rest = after.strip_prefix(' ').filter(|rest| !rest.is_empty()).unwrap_or(after);
            parts += 1;
        }
        if text == "infinity" || (is_span && parts > 0) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} is no time span: write one like \"2h\", \"1h 30min\" or \"infinity\""))
    }
}

/// The address of a proxy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = r"^(http|https|socks5)://[A-Za-z0-9._:\[\]-]+/?$"))]
struct Proxy(String);

impl TryFrom<String> for Proxy {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('@') {
            // The text is not repeated: it holds a password.
            return Err("a proxy with a user or password can't be set by a profile: everybody on the host can read it \
                        (systemctl show gitlab-runner)"
                .to_owned());
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._:[]-".contains(c);
        let server =
            text.split_once("://").filter(|(scheme, _)| ["http", "https", "socks5"].contains(scheme));
        let server = server.map(|(_, server)| server.strip_suffix('/').unwrap_or(server));
        if server.is_some_and(|server| !server.is_empty() && server.chars().all(is_part)) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} is no address of a proxy: write one like \"http://proxy.example.com:3128\""))
    }
}

/// Hosts that need no proxy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = r"^[A-Za-z0-9._:/*,\[\]-]+$"))]
struct Hosts(String);

impl TryFrom<String> for Hosts {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._:/*,[]-".contains(c);
        if !text.is_empty() && text.chars().all(is_part) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} is no list of hosts: write one like \"localhost,10.0.0.0/8,.example.com\""))
    }
}

impl ServiceSection {
    /// The variables that gitlab-runner is to have. Some programs read them in one case, some in the other.
    fn variables(&self) -> Vec<(String, &str)> {
        let all = [
            ("http_proxy", self.http_proxy.as_ref().map(|proxy| proxy.0.as_str())),
            ("https_proxy", self.https_proxy.as_ref().map(|proxy| proxy.0.as_str())),
            ("no_proxy", self.no_proxy.as_ref().map(|hosts| hosts.0.as_str())),
        ];
        let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.flat_map(|(name, value)| [(name.to_owned(), value), (name.to_uppercase(), value)]).collect()
    }

    /// The drop-in; `None` when nothing is wanted of it.
    fn text(&self) -> Option<String> {
        let stop = self.stop_timeout.as_ref().map(|span| {
            // With the usual signal gitlab-runner ends its jobs at once.
            format!("TimeoutStopSec={}\nKillSignal=SIGQUIT\n", span.0)
        });
        let variables = self.variables();
        let lines = variables.iter().map(|(name, value)| format!("Environment=\"{name}={value}\"\n"));
        let lines: String = stop.into_iter().chain(lines).collect();
        (!lines.is_empty()).then(|| marked(&format!("[Service]\n{lines}")))
    }
}

impl Resource for ServiceSection {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let facts = context.facts;
        let path = PathBuf::from(format!("/etc/systemd/system/{UNIT}.d/{NAME}"));
        let text = self.text();
        let is_wanted = text.is_some();
        let mut has_systemd = false;
        for program in SYSTEMD {
            has_systemd |= facts.stat(program.as_ref())?.is_some();
        }
        if is_wanted && !has_systemd {
            notes.wait(
                "service-no-systemd",
                "systemd is not installed here: nothing would read what [service] of the profile wants",
                "give whatever starts gitlab-runner these settings; then leave the section out: --skip service",
            );
            return Ok(Vec::new());
        }
        let mut changes = Vec::new();
        let why = "the service is not set as the profile wants it";
        let file = RootFile { meaning: lines, ..RootFile::new("service", &path, text, why) };
        file.plan(context, &mut changes)?;
        if changes.is_empty() && is_wanted {
            self.warn_of_others(context, notes)?;
            notes.right("service", format!("{} has the profile's settings", path.display()));
        }
        if changes.is_empty() {
            self.wait(facts, notes)?;
        }
        Ok(changes)
    }
}

impl ServiceSection {
    /// Another drop-in, or a file that one names, may have the last word.
    fn warn_of_others(&self, context: &Context<'_>, notes: &mut Notes) -> Result<()> {
        let Some(service) = &context.target.service else { return Ok(()) };
        let mut others = Vec::new();
        if let Some(span) = &self.stop_timeout {
            for (name, wanted) in [("TimeoutStopSec", span.0.as_str()), ("KillSignal", "SIGQUIT")] {
                if service.setting(name) != Some(wanted) {
                    others.push(name.to_owned());
                }
            }
        }
        for (name, wanted) in self.variables() {
            if service.variable(&name, context.facts)?.as_deref() != Some(wanted) {
                others.push(name);
            }
        }
        if !others.is_empty() {
            notes.warn(
                "service-overridden",
                format!("another file of the service has the last word on {}", others.join(", ")),
                mend!("see which one, and take the line out: grep -rE '^(Environment|TimeoutStopSec|KillSignal)' \
                     /etc/systemd/system/{}.d", UNIT),
            );
        }
        Ok(())
    }

    /// What is on the disk and not yet in systemd, or not yet in the process. systemd is asked where files alone don't say
    /// that all is well.
    fn wait(&self, facts: &Facts<'_>, notes: &mut Notes) -> Result<()> {
        if !facts.has_systemd()? {
            return Ok(());
        }
        if let Some(UnitState { pid, .. }) = facts.unit_seen()? {
            if self.lacking(facts, pid)?.is_empty() {
                return Ok(());
            }
        }
        let UnitState { needs_reload, pid } = match facts.unit_asked() {
            Ok(state) => state,
            Err(error) => {
                let what = format!("whether systemd has read the files of {UNIT} can't be seen: {error:#}");
                let repair = mend!("look yourself: $ systemctl show {} --property=NeedDaemonReload", UNIT);
                notes.warn("service-unknown", what, repair);
                return Ok(());
            }
        };
        if needs_reload {
            let what = format!("systemd has not read the files of {UNIT} since they were changed");
            notes.wait("service-reload", what, "$ systemctl daemon-reload");
        }
        let missing = self.lacking(facts, pid)?;
        if let (Some(pid), false) = (pid, missing.is_empty()) {
            notes.wait(
                "service-restart",
                format!("gitlab-runner (process {pid}) was started without this {}", missing.join(", ")),
                "when no job runs: $ systemctl daemon-reload && systemctl restart gitlab-runner",
            );
        }
        Ok(())
    }

    /// The variables that a process was started without.
    fn lacking(&self, facts: &Facts<'_>, pid: Option<u32>) -> Result<Vec<String>> {
        let variables = self.variables();
        let Some(pid) = pid.filter(|_| !variables.is_empty()) else { return Ok(Vec::new()) };
        let missing = |bytes: &[u8]| -> Vec<String> {
            let has = |wanted: String| bytes.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
            let missing = variables.iter().filter(|(name, value)| !has(format!("{name}={value}")));
            missing.map(|(name, _)| name.clone()).collect()
        };
        // `systemctl restart` ends before the new process is the program: until then it has the environment of systemd,
        // which lacks this one of every service (systemd.exec(5)).
        let is_begun = |bytes: &[u8]| {
            let mut all = bytes.split(|byte| *byte == 0);
            all.any(|one| one.starts_with(b"INVOCATION_ID=")) || missing(bytes).is_empty()
        };
        let file = facts.settled(&PathBuf::from(format!("/proc/{pid}/environ")), MOST_BYTES, &is_begun)?;
        Ok(file.map(|file| missing(&file.bytes)).unwrap_or_default())
    }
}

/// What a drop-in says, without comments.
fn lines(text: &str) -> String {
    let is_comment = |line: &&str| line.starts_with(['#', ';']) || line.is_empty();
    text.lines().map(str::trim).filter(|line| !is_comment(line)).collect::<Vec<_>>().join("\n")
}
