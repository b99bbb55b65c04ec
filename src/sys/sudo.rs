//! sudo's own word on a policy: every `visudo` that is installed.
//!
//! Owns how they are called and the scratch copy of a merged policy. Must not write to `/etc`.

mod stage;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, bail};

pub use self::stage::Redirect;
use self::stage::Stage;
use super::dir::Dir;
use super::exec::{Finished, Tool, find_all, is_program};
use super::root::Root;
use crate::fault::{Nature, quoted};

/// Where `visudo` of sudo and of sudo-rs are, beside the usual directories.
const CHECKERS: [&str; 3] = ["visudo", "visudo-rs", "visudo.ws"];
/// What a judge calls a text that has no file. Of a tree that is only being made, `/dev` may have no names for it.
pub const INPUT: &str = "/proc/self/fd/0";
const RUST_CHECKER: &str = "/usr/lib/cargo/bin/visudo";

/// The tools that judge the policy of a host or tree.
#[derive(Debug)]
pub struct PolicyCheckers<'a> {
    root: &'a Root,
    asked: Vec<Visudo>,
    redirect: Redirect,
}

/// One `visudo`.
#[derive(Debug)]
struct Visudo {
    program: PathBuf,
    /// The main files with which it found the policy good as it was. With none it still judges a file of ours alone.
    content: Vec<&'static str>,
}

impl<'a> PolicyCheckers<'a> {
    /// Find every `visudo` of the machine, each once.
    ///
    /// # Errors
    /// When there is none: an unchecked rule is never written.
    pub fn find(root: &'a Root, machine: &'a Root, redirect: Redirect) -> Result<Self> {
        let named = CHECKERS.iter().flat_map(|name| find_all(machine, name));
        let rust = Some(PathBuf::from(RUST_CHECKER)).filter(|path| is_program(machine, path));
        let mut judges: Vec<Visudo> = Vec::new();
        let mut known = Vec::new();
        for path in named.chain(rust) {
            let identity = machine.stat(&path, true)?.map(|stat| stat.identity);
            if !known.contains(&identity) {
                known.push(identity);
                judges.push(Visudo { program: path, content: Vec::new() });
            }
        }
        if judges.is_empty() {
            return Err(Nature::NoChecker.fault(
                "visudo-missing",
                "visudo is not installed on this machine, and no sudo rule is written without its consent",
                "install sudo on the machine itself, also for a tree, as with `apt-get install sudo`",
            ));
        }
        Ok(Self { root, asked: judges, redirect })
    }

    /// Learn which judges find the policy good as it is. One that is not content with any file at all is dismissed.
    ///
    /// # Errors
    /// When none is content with the policy: it is broken already, and not by us.
    pub fn keep_content(&mut self, scratch: &Rc<Dir>, name: &OsStr) -> Result<()> {
        let stage = Stage::build(self.root, self.redirect, scratch, name, b"# No rule at all.\n")?;
        let mut complaints = vec![None; stage.mains.len()];
        let mut kept = Vec::new();
        for mut judge in std::mem::take(&mut self.asked) {
            for (main, complaint) in stage.mains.iter().zip(&mut complaints) {
                match self.ask(&judge.program, &stage.copy(main))? {
                    None => judge.content.push(main),
                    Some(said) => *complaint = Some(stage.as_seen(&said)),
                }
            }
            if !judge.content.is_empty() || self.ask(&judge.program, &stage.drop_in(name))?.is_none() {
                kept.push(judge);
            }
        }
        self.asked = kept;
        for (main, complaint) in stage.mains.iter().zip(complaints) {
            let is_good = self.asked.iter().any(|judge| judge.content.contains(main));
            if let Some(said) = complaint.filter(|_| !is_good) {
                return Err(broken(&said, Path::new(main)));
            }
        }
        Ok(())
    }

    /// The candidate alone, and merged into a copy of the whole policy.
    ///
    /// # Errors
    /// When a judge does not accept it.
    pub fn check(&self, scratch: &Rc<Dir>, name: &OsStr, bytes: &[u8]) -> Result<()> {
        let stage = Stage::build(self.root, self.redirect, scratch, name, bytes)?;
        for judge in &self.asked {
            let mains = judge.content.iter().map(|main| stage.copy(main));
            for file in [stage.drop_in(name)].into_iter().chain(mains) {
                if let Some(said) = self.ask(&judge.program, &file)? {
                    return Err(rejected(&judge.program, &stage.as_seen(&said)));
                }
            }
        }
        Ok(())
    }

    /// What each judge says of the live policy, owners and modes included. Only on the host.
    pub fn live(&self) -> Result<Vec<Option<String>>> {
        if !self.root.is_host() {
            return Ok(Vec::new());
        }
        let ask = |Visudo { program, .. }: &Visudo| answer(program, &Tool::new(program).arg("-c").run()?);
        self.asked.iter().map(ask).collect()
    }

    /// Compare with what [`PolicyCheckers::live`] said before the change.
    ///
    /// # Errors
    /// When a judge that was content no longer is.
    pub fn check_not_worse(&self, before: &[Option<String>]) -> Result<()> {
        for ((before, after), judge) in before.iter().zip(self.live()?).zip(&self.asked) {
            if let (None, Some(said)) = (before, after) {
                return Err(rejected(&judge.program, &said));
            }
        }
        Ok(())
    }

    fn ask(&self, checker: &Path, file: &Path) -> Result<Option<String>> {
        let path = self.root.on_machine(file);
        let done = Tool::new(checker).arg("-c").arg("-f").arg(&path).run()?;
        let said = answer(checker, &done)?;
        Ok(said.map(|said| said.replace(&path.display().to_string(), &file.display().to_string())))
    }
}

/// What a judge objects to; `None` where it is content.
///
/// # Errors
/// When it came to no judgement: visudo(8) ends with 0 or 1.
fn answer(checker: &Path, done: &Finished) -> Result<Option<String>> {
    match done.code {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(done.complaint())),
        _ => bail!("{} came to no judgement: {}", checker.display(), done.complaint()),
    }
}

/// What the judges object to in a text, which they call [`INPUT`]; `None` when one of them is content.
///
/// # Errors
/// When there is no judge, or one can't be started.
pub fn objection(root: &Root, machine: &Root, text: &[u8]) -> Result<Option<String>> {
    let judges = PolicyCheckers::find(root, machine, |bytes, _, _| Ok(bytes.to_vec()))?;
    let mut complaint = None;
    for judge in &judges.asked {
        // Not the files themselves: what they include would be read on the machine, as root, whatever it is.
        let done = Tool::new(&judge.program).args(["-c", "-f", INPUT]).input(text).run()?;
        if done.success() {
            return Ok(None);
        }
        complaint = Some(done.complaint());
    }
    // Without /proc nobody can be asked; `apply` asks of copies.
    Ok(complaint.filter(|said| !said.contains(&format!("unable to open {INPUT}"))))
}

/// The error for a policy that is broken, but not by us.
pub fn broken(said: &str, main: &Path) -> anyhow::Error {
    Nature::Policy.fault(
        "policy-broken",
        format!("sudo's policy is broken already, not by runner-prep: {said}"),
        mend!("correct that file with visudo, and look again: $ visudo -c -f {}", quoted(main)),
    )
}

fn rejected(checker: &Path, said: &str) -> anyhow::Error {
    Nature::Policy.fault(
        "policy-rejected",
        format!("{} does not accept the rule: {said}", checker.display()),
        "see the whole policy: $ visudo -c; then correct the profile or the file that it clashes with",
    )
}
