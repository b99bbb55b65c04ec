//! Starting a program with a time limit, and what came of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a run may take. Far more than any needs, so that only a hang meets it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a finished program left.
#[derive(Debug)]
pub(crate) struct Run {
    /// What was started, for the messages.
    pub(crate) command: String,
    /// The exit code; 128 and the signal's number when a signal ended it, as a shell says it.
    pub(crate) status: i32,
    /// All of the standard output.
    pub(crate) stdout: String,
    /// All of the standard error.
    pub(crate) stderr: String,
}

impl Run {
    /// Demands exit code 0.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        self.exit(0)
    }

    /// Demands this exit code.
    #[track_caller]
    pub(crate) fn exit(&self, code: i32) -> &Self {
        assert!(self.status == code, "exit code {} instead of {code}\n{self}", self.status);
        self
    }

    /// Demands a text in what was printed, on whichever stream.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.contains(text), "nothing says `{text}`\n{self}");
        self
    }

    /// Demands that a text was not printed.
    #[track_caller]
    pub(crate) fn says_not(&self, text: &str) -> &Self {
        assert!(!self.contains(text), "something says `{text}`\n{self}");
        self
    }

    /// Text for people is broken into lines where a space was.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let joined = |stream: &str| stream.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        [&self.stdout, &self.stderr]
            .iter()
            .any(|stream| stream.contains(text) || joined(stream).contains(text))
    }

    /// Standard output as the one JSON document that it has to be.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("standard output is not a single JSON document: {error}\n{self}"),
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {}\n[exit code {}]\n--- stdout\n{}--- stderr\n{}---",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// The program under test. The variable is asked first, because an archived test run may lie elsewhere than
/// it was compiled.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("NEXTEST_BIN_EXE_runner-prep")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_runner-prep")), PathBuf::from)
}

/// Runs a command to its end, without input, and kills it after [`LIMIT`].
///
/// Output goes to unnamed files rather than pipes: a full pipe cannot block the program, and something it
/// leaves behind cannot block us.
#[track_caller]
pub(crate) fn run_limited(command: &mut Command) -> Run {
    run_within(LIMIT, command)
}

/// [`run_limited`] with another limit.
#[track_caller]
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Run {
    run_to_end(limit, command.stdin(Stdio::null()))
}

/// Runs a command at a terminal of its own with that many columns, where `typed` is typed. Both its streams are on it.
#[track_caller]
pub(crate) fn run_at_terminal(columns: u16, command: &Command, typed: &str) -> Run {
    let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    let line = format!("stty columns {columns} rows 50; exec {}", words.collect::<Vec<_>>().join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear();
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        script.current_dir(directory);
    }
    let mut input = tempfile::tempfile().expect("a temporary file for what is typed");
    input.write_all(typed.as_bytes()).and_then(|()| input.rewind()).expect("what is typed");
    run_to_end(LIMIT, script.stdin(input))
}

#[track_caller]
fn run_to_end(limit: Duration, command: &mut Command) -> Run {
    let shown = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let out = tempfile::tempfile().expect("a temporary file for the output");
    let err = tempfile::tempfile().expect("a temporary file for the errors");
    let mut child = command
        .stdout(out.try_clone().expect("a second handle of the output"))
        .stderr(err.try_clone().expect("a second handle of the errors"))
        // A group of its own, so that whatever it started is killed with it.
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
    let deadline = Instant::now() + limit;
    let ended = loop {
        if let Some(status) = child.try_wait().expect("the state of a child") {
            break Some(status);
        }
        if Instant::now() >= deadline {
            let group = Pid::from_raw(child.id().try_into().expect("a process id"));
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut run = Run { command: shown, status: 0, stdout: rewound(out), stderr: rewound(err) };
    let Some(status) = ended else {
        panic!("no end after {} s\n{run}", limit.as_secs());
    };
    run.status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    run
}

/// Everything that was written to a file whose handle the child shared.
fn rewound(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).expect("the output of a child");
    String::from_utf8_lossy(&bytes).into_owned()
}
