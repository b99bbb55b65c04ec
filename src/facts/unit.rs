//! What the systemd that runs has of a unit: by the files that it leaves, or in its own words.
//!
//! systemd makes the directories of its generators anew each time that it reads all units (systemd.generator(7)). Where
//! one is newer than whatever the unit is made of, systemd has read that; and its main process is the one of root
//! in its control group that systemd itself started. Where files leave a doubt, systemd is asked, which takes a program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::service::{OF_ALL, UNIT, UNIT_DIRECTORIES, drop_ins};
use super::{Facts, MOST_BYTES};
use crate::sys::exec::Finished;

/// The directories of generators, of which those that stay empty are taken away again.
const GENERATED: [&str; 3] =
    ["/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"];

/// What systemd has of the unit of gitlab-runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitState {
    /// Its files were changed since systemd read them.
    pub needs_reload: bool,
    /// Its main process.
    pub pid: Option<u32>,
}

impl Facts<'_> {
    /// True where a systemd runs on this host whose units these are.
    pub fn has_systemd(&self) -> Result<bool> {
        Ok(self.is_host() && self.stat(Path::new("/run/systemd/system"))?.is_some())
    }

    /// What files say of it; `None` where they leave a doubt.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn unit_seen(&self) -> Result<Option<UnitState>> {
        let mut read = None;
        for directory in GENERATED {
            read = read.max(self.stat(Path::new(directory))?.map(|seen| seen.modified.0));
        }
        let changed = self.unit_changed()?;
        if read.is_none_or(|read| read <= changed) {
            return Ok(None);
        }
        let units = Path::new("/run/systemd/units");
        let is_started = self.entry(&units.join(format!("invocation:{UNIT}")))?.is_some();
        let pid = if is_started { self.unit_process()? } else { None };
        let is_known = pid.is_some() || (!is_started && self.stat(units)?.is_some());
        Ok(is_known.then_some(UnitState { needs_reload: false, pid }))
    }

    /// When whatever the unit may be made of was changed last.
    fn unit_changed(&self) -> Result<i64> {
        let mut changed = self.stat(Path::new(OF_ALL))?.map_or(0, |seen| seen.modified.0);
        for directory in UNIT_DIRECTORIES.map(Path::new) {
            for directory in [directory, &directory.join(format!("{UNIT}.d"))] {
                changed = changed.max(self.stat(directory)?.map_or(0, |seen| seen.modified.0));
            }
            changed = changed.max(self.stat(&directory.join(UNIT))?.map_or(0, |seen| seen.changed.0));
        }
        for path in drop_ins(self)?.values() {
            changed = changed.max(self.stat(path)?.map_or(0, |seen| seen.changed.0));
        }
        Ok(changed)
    }

    /// The process of root in the unit's control group that the first process of the machine started.
    fn unit_process(&self) -> Result<Option<u32>> {
        for top in ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"] {
            let path = PathBuf::from(format!("{top}/system.slice/{UNIT}/cgroup.procs"));
            let Some(file) = self.file(&path, MOST_BYTES)? else { continue };
            // The processes of jobs come after it.
            let first: Option<u32> = file.text().lines().filter_map(|line| line.parse().ok()).min();
            let Some(pid) = first else { continue };
            let Some(stat) = self.file(&PathBuf::from(format!("/proc/{pid}/stat")), MOST_BYTES)? else {
                continue;
            };
            let text = stat.text();
            let parent = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            return Ok(Some(pid).filter(|_| stat.uid == 0 && parent == Some("1")));
        }
        Ok(None)
    }

    /// What systemd says of it.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn unit_asked(&self) -> Result<UnitState> {
        let asked = ["show", UNIT, "--property=NeedDaemonReload", "--property=MainPID"];
        let said = self.ask_tool("systemctl", &asked, b"")?;
        let said = said.filter(Finished::success).context("systemctl does not answer")?;
        let value = |name: &str| {
            let mut lines = said.stdout.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let pid = value("MainPID").parse().ok().filter(|pid| *pid != 0);
        Ok(UnitState { needs_reload: value("NeedDaemonReload") == "yes", pid })
    }
}
