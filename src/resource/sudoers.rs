//! The sudo rule of the account: one file, `/etc/sudoers.d/gitlab-runner`, in the subset that sudo 1.8
//! to 1.9 and sudo-rs read alike (DESIGN section 6).
//!
//! Owns the typed rule and its rendering. Whether sudo accepts it is asked by `apply`, from the real
//! `visudo`; here only what the host must have for the rule to mean what it says is looked at.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::target::check_name;
use super::{Context, Resource};
use crate::change::{
    Change, Check, Content, FileKind, FileOp, Meta, Notes, Op, Owner, Place, Seen, Shown, Swap,
};
use crate::facts::{Facts, MOST_BYTES};
use crate::fault::fault;

const DIRECTORY: &str = "/etc/sudoers.d";
const FILE: &str = "/etc/sudoers.d/gitlab-runner";
const MODE: u32 = 0o440;

/// The first line of a file of ours.
const MARK: &str = "# Managed by runner-prep";

/// sudo's own default where no `secure_path` is set.
const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs that hand out root when they run as root with arguments of the caller's choice, and how.
const ROOT_EQUIVALENT: &[(&str, &str)] = &[
    ("rsync", "it writes any file and runs programs (-e, --rsync-path)"),
    ("cp", "it writes any file"),
    ("mv", "it writes any file"),
    ("install", "it writes any file"),
    ("tee", "it writes any file"),
    ("dd", "it writes any file"),
    ("tar", "it writes any file and runs programs"),
    ("chmod", "it makes any program setuid"),
    ("chown", "it gives any file away"),
    ("ln", "it replaces any file by a link"),
    ("docker", "a container mounts the host's /"),
    ("podman", "a container mounts the host's /"),
    ("systemctl", "it starts units that the caller wrote"),
    ("apt-get", "it runs hooks given as options"),
    ("find", "it runs programs (-exec)"),
    ("env", "it runs any program"),
    ("bash", "it is a shell"),
    ("sh", "it is a shell"),
    ("dash", "it is a shell"),
    ("su", "it is a shell"),
    ("python3", "it runs any program"),
    ("perl", "it runs any program"),
    ("vi", "it has a shell escape"),
    ("vim", "it has a shell escape"),
    ("less", "it has a shell escape"),
    ("git", "it runs hooks and a pager"),
    ("make", "it runs any program"),
];

/// The `[sudoers]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sudoers {
    /// Programs that run as anybody, with any arguments.
    #[serde(default)]
    commands: Vec<Command>,
}

/// A program by its absolute path, free of all that means something in a sudoers file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Command(String);

impl TryFrom<String> for Command {
    type Error = anyhow::Error;
    fn try_from(path: String) -> Result<Self> {
        let refuse = |why: &str| Err(anyhow::anyhow!("the command {path:?} can't be in a sudo rule: {why}"));
        if !path.starts_with('/') {
            return refuse("it must be an absolute path");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
        if let Some(bad) = path.chars().find(|c| !allowed(*c)) {
            return refuse(&format!("{bad:?} is not allowed; letters, digits and ._/+- are"));
        }
        if path.ends_with('/')
            || path.split('/').any(|part| part == ".." || part == ".")
            || path.contains("//")
        {
            return refuse("it must name one file, without `..`, `.`, `//` or a `/` at its end");
        }
        Ok(Self(path))
    }
}

impl Resource for Sudoers {
    fn plan(&self, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Change>> {
        let facts = context.facts;
        check_name(&context.target.name)?;
        if self.commands.is_empty() {
            return Ok(Vec::new());
        }
        let policy = Policy::read(facts)?;
        for command in &self.commands {
            check_command(facts, &policy, Path::new(&command.0))?;
            warn_of_root(&command.0, notes);
        }
        let text = self.render(&context.target.name);
        let meta = Meta { owner: Owner::Root, mode: MODE };
        let place = Place::System(FILE.into());
        let before = facts.entry(Path::new(FILE))?;
        let before = match before {
            None => None,
            Some(seen) if seen.kind == FileKind::Regular => facts.file(Path::new(FILE), MOST_BYTES)?,
            Some(seen) => {
                return Err(fault(
                    "sudoers-kind",
                    format!("{FILE} is {}", seen.kind),
                    format!("see what it is for, and remove it: ls -l {FILE}"),
                ));
            }
        };
        let change = |why: String, op: Op| vec![Change { kind: "sudoers", id: FILE.to_owned(), why, op }];
        let Some(seen) = before else {
            let why = format!("{} may run nothing through sudo without a password", context.target.name);
            return Ok(change(why, self.file(context, place, None, text, meta)));
        };
        let found = String::from_utf8_lossy(&seen.bytes).into_owned();
        if rules(&found) != rules(&text) {
            if !found.starts_with(MARK) && !context.options.adopt {
                return Err(foreign(&found));
            }
            let why = "its rules are not the ones of the profile".to_owned();
            return Ok(change(why, self.file(context, place, Some(seen), text, meta)));
        }
        let root = facts.ids(&Owner::Root)?;
        if seen.mode == MODE && root == Some((seen.uid, seen.gid)) {
            return Ok(Vec::new());
        }
        let why = format!(
            "it has mode {:04o} and owner {}:{}; sudo wants 0440 and root",
            seen.mode, seen.uid, seen.gid
        );
        Ok(change(why, Op::Metadata { place, before: seen, after: meta }))
    }
}

impl Sudoers {
    fn file(
        &self,
        context: &Context<'_>,
        place: Place,
        before: Option<Seen>,
        text: String,
        meta: Meta,
    ) -> Op {
        let allowed = self.commands.iter().map(|command| vec![command.0.clone()]).collect();
        Op::File(Box::new(FileOp {
            place,
            before,
            after: Some(Content::ready(text.into_bytes())),
            meta,
            check: Check::Sudoers { account: context.target.name.clone(), allowed },
            shown: Shown::Text,
            swap: Swap::Replace,
        }))
    }

    /// The whole file.
    fn render(&self, account: &str) -> String {
        let commands: Vec<&str> = self.commands.iter().map(|command| command.0.as_str()).collect();
        format!(
            "{MARK}: edit its profile, not this file.\n{account} ALL=(ALL) NOPASSWD: {}\n",
            commands.join(", ")
        )
    }
}

/// What a sudoers file says, without comments and spacing at the ends.
fn rules(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let is_include = |line: &str| line.starts_with("#include") || line.starts_with("#includedir");
    lines.filter(|line| !line.is_empty() && (!line.starts_with('#') || is_include(line))).collect()
}

fn foreign(found: &str) -> anyhow::Error {
    let lines = found.lines().take(40);
    let lines: Vec<String> = lines.map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect();
    let shown = lines.join("\n    ");
    fault(
        "sudoers-foreign",
        format!("{FILE} was written by somebody else and says:\n    {shown}"),
        "compare it with the plan; to replace it: runner-prep apply --adopt …",
    )
}

/// The parts of sudo's policy that decide whether a drop-in means anything.
struct Policy {
    secure_path: String,
}

impl Policy {
    /// Read `/etc/sudoers` and look at the drop-in directory.
    fn read(facts: &dyn Facts) -> Result<Self> {
        let main = Path::new("/etc/sudoers");
        let file = facts.file(main, MOST_BYTES)?.filter(|file| file.kind == FileKind::Regular);
        let Some(file) = file else {
            return Err(fault(
                "sudo-missing",
                "/etc/sudoers does not exist: sudo is not installed",
                "install sudo",
            ));
        };
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        if !text.lines().any(includes_directory) {
            return Err(fault(
                "sudoers-not-included",
                format!("/etc/sudoers does not include {DIRECTORY}, a rule there would be dead"),
                format!("add this line at its end with visudo: @includedir {DIRECTORY}"),
            ));
        }
        let repair = format!("make it a real directory: install -d -m 0750 -o root -g root {DIRECTORY}");
        match facts.entry(Path::new(DIRECTORY))? {
            Some(seen) if seen.kind == FileKind::Directory => {}
            Some(seen) => {
                return Err(fault("sudoers-directory", format!("{DIRECTORY} is {}", seen.kind), repair));
            }
            None => {
                return Err(fault("sudoers-directory", format!("{DIRECTORY} does not exist"), repair));
            }
        }
        if let Some(reason) = facts.distrust(Path::new(DIRECTORY))? {
            return Err(fault(
                "sudoers-directory",
                format!("sudo ignores {DIRECTORY} or others can write there: {reason}"),
                format!("chown root:root {DIRECTORY}; chmod 0750 {DIRECTORY}"),
            ));
        }
        let secure_path = text.lines().filter_map(secure_path).next_back().unwrap_or(SECURE_PATH).to_owned();
        Ok(Self { secure_path })
    }
}

/// True for `@includedir /etc/sudoers.d` and its old form with `#`.
fn includes_directory(line: &str) -> bool {
    let line = line.trim();
    let rest = line.strip_prefix("@includedir").or_else(|| line.strip_prefix("#includedir"));
    rest.is_some_and(|rest| rest.trim().trim_matches('"').trim_end_matches('/') == DIRECTORY)
}

/// The value of `Defaults secure_path="…"`.
fn secure_path(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("Defaults")?.trim_start();
    let value = rest.strip_prefix("secure_path")?.trim_start().strip_prefix('=')?;
    Some(value.trim().trim_matches('"'))
}

/// The program must be root's own, and the one that `sudo NAME` finds.
fn check_command(facts: &dyn Facts, policy: &Policy, path: &Path) -> Result<()> {
    let shown = path.display();
    let name = path.file_name().context("a checked path names a file")?.to_string_lossy();
    let seen = facts.stat(path)?.ok_or_else(|| {
        fault(
            "command-missing",
            format!("the command {shown} does not exist"),
            format!("install it, or correct sudoers.commands: apt-get install {name}"),
        )
    })?;
    if seen.kind != FileKind::Regular || seen.mode & 0o111 == 0 {
        return Err(fault(
            "command-kind",
            format!("the command {shown} is no program: it is {} with mode {:04o}", seen.kind, seen.mode),
            "name an executable file in sudoers.commands",
        ));
    }
    if let Some(reason) = facts.distrust(path)? {
        return Err(fault(
            "command-untrusted",
            format!(
                "the command {shown} can be changed by others than root, who would then be root: {reason}"
            ),
            "make the program and every directory above it root's own, not writable by group or others",
        ));
    }
    let found = policy
        .secure_path
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(&*name));
    for candidate in found {
        let Some(first) = facts.stat(&candidate)?.filter(|first| first.kind == FileKind::Regular) else {
            continue;
        };
        if first.identity == seen.identity {
            return Ok(());
        }
        return Err(not_found_first(path, &candidate));
    }
    Err(fault(
        "command-not-in-secure-path",
        format!("`sudo {name}` does not find {shown}: it is in no directory of secure_path"),
        format!("secure_path is {}; name a program that lies there", policy.secure_path),
    ))
}

fn not_found_first(path: &Path, candidate: &Path) -> anyhow::Error {
    fault(
        "command-shadowed",
        format!(
            "`sudo` finds {} before {}, and the rule would not match it",
            candidate.display(),
            path.display()
        ),
        format!("put {} into sudoers.commands, or remove it", candidate.display()),
    )
}

fn warn_of_root(command: &str, notes: &mut Notes) {
    let name = command.rsplit('/').next().unwrap_or_default();
    if let Some((_, way)) = ROOT_EQUIVALENT.iter().find(|(program, _)| *program == name) {
        notes.warn(
            "root-equivalent-command",
            format!("sudo {name} without a password makes every job root: {way}"),
            "run it as an account that owns the target instead of as root; README, section Security",
        );
    }
}
