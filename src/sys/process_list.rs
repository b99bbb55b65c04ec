//! The processes of the machine, as `/proc` shows them: a snapshot.

use std::io::{self, Read};
use std::path::Path;

use super::dir::Dir;
use super::root::Root;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, which is 100 wherever Rust's Linux targets run.
const TICKS: i64 = 100;

/// No file in `/proc` that is read here is larger.
const MOST_BYTES: u64 = 1024 * 1024;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started: i64,
    /// True when its `/` is not the machine's: it runs in a container, or a changed root directory.
    pub elsewhere: bool,
}

/// The processes whose program has one of these names.
pub fn named(machine: &Root, names: &[&str]) -> io::Result<Vec<Process>> {
    let proc = machine.dir(Path::new("/proc"))?.ok_or(io::ErrorKind::NotFound)?;
    let stat = text(&proc, "stat")?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let boot = boot.ok_or(io::ErrorKind::InvalidData)?;
    let top = machine.dir(Path::new("/"))?.ok_or(io::ErrorKind::NotFound)?.stat()?.identity;
    let mut found = Vec::new();
    for name in proc.names()? {
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while we look.
        let Ok(Some(process)) = proc.child(&name) else { continue };
        let Ok(arguments) = text(&process, "cmdline") else { continue };
        let arguments: Vec<String> =
            arguments.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        let program = arguments.first().and_then(|first| Path::new(first).file_name()?.to_str());
        if !program.is_some_and(|program| names.contains(&program)) {
            continue;
        }
        let (Ok(stat), Ok(owner)) = (text(&process, "stat"), process.stat()) else { continue };
        let Ok(own_top) = process.stat_through("root".as_ref()) else { continue };
        if let Some(ticks) = start_ticks(&stat) {
            let (started, elsewhere) = (boot + ticks / TICKS, own_top.identity != top);
            found.push(Process { pid, uid: owner.uid, arguments, started, elsewhere });
        }
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// The 22nd field of `/proc/PID/stat`; the second is the program's name, which may hold anything.
fn start_ticks(stat: &str) -> Option<i64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// A file in `/proc`, whose size says nothing.
fn text(dir: &Dir, name: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    dir.open(name.as_ref())?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_program_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";
        assert_eq!(start_ticks(stat), Some(4242));
    }

    #[test]
    fn this_process_is_found_and_started_before_now() {
        let own = std::env::args().next().unwrap();
        let own = Path::new(&own).file_name().unwrap().to_str().unwrap();
        let found = named(&Root::open(Path::new("/")).unwrap(), &[own]).unwrap();
        let me = found.iter().find(|process| process.pid == std::process::id()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let age = i64::try_from(now).unwrap() - me.started;
        assert!((-2..3600).contains(&age), "{age}");
        assert!(!me.elsewhere);
    }
}
