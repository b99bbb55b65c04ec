//! What the systemd that runs says of a unit.

/// What systemd has of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitState {
    /// Its files were changed since systemd read them.
    pub needs_reload: bool,
    /// Its main process.
    pub pid: Option<u32>,
}

impl UnitState {
    /// Read what `systemctl show` prints of [`UnitState::PROPERTIES`].
    pub(super) fn read(text: &str) -> Self {
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let pid = value("MainPID").parse().ok().filter(|pid| *pid != 0);
        Self { needs_reload: value("NeedDaemonReload") == "yes", pid }
    }

    /// The options that ask for them.
    pub(super) const PROPERTIES: [&str; 2] = ["--property=NeedDaemonReload", "--property=MainPID"];
}
