//! sudo's own word on a policy: every `visudo` that is installed.
//!
//! Owns how they are called and what they read. Must not write to `/etc`.

mod text;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

pub use self::text::{PolicyFile, PolicyText};
use super::dir::Dir;
use super::exec::{Finished, Tool, find_all, is_program};
use super::root::Root;
use super::staged::write;
use crate::fault::{Nature, quoted};

/// Where `visudo` of sudo and of sudo-rs are, beside the usual directories.
const CHECKERS: [&str; 3] = ["visudo", "visudo-rs", "visudo.ws"];
/// What a judge calls a text that has no file. Of a tree that is only being made, `/dev` may have no names for it.
const INPUT: &str = "/proc/self/fd/0";
const RUST_CHECKER: &str = "/usr/lib/cargo/bin/visudo";

/// The tools that judge the policy of a host or tree.
#[derive(Debug)]
pub struct PolicyCheckers<'a> {
    root: &'a Root,
    asked: Vec<Visudo>,
}

/// One `visudo`.
#[derive(Debug)]
struct Visudo {
    program: PathBuf,
    /// The main files with which it found the policy good as it was. With none it still judges a file of ours alone.
    content: Vec<PathBuf>,
}

impl<'a> PolicyCheckers<'a> {
    /// Find every `visudo` of the machine, each once.
    ///
    /// # Errors
    /// When there is none: an unchecked rule is never written.
    pub fn find(root: &'a Root, machine: &'a Root) -> Result<Self> {
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
        Ok(Self { root, asked: judges })
    }

    /// Learn which judges find the policy good as it is. One that is not content with any file at all is dismissed.
    ///
    /// # Errors
    /// When none is content with the policy: it is broken already, and not by us.
    pub fn keep_content(&mut self, scratch: &Rc<Dir>, mains: &[PolicyText]) -> Result<()> {
        let mut complaints = vec![None; mains.len()];
        let mut kept = Vec::new();
        for mut judge in std::mem::take(&mut self.asked) {
            for (main, complaint) in mains.iter().zip(&mut complaints) {
                match self.ask(&judge.program, scratch, main)? {
                    None => judge.content.push(main.main().to_path_buf()),
                    Some(said) => *complaint = Some(said),
                }
            }
            if !judge.content.is_empty()
                || self.ask(&judge.program, scratch, &PolicyText::default())?.is_none()
            {
                kept.push(judge);
            }
        }
        self.asked = kept;
        for (main, complaint) in mains.iter().zip(complaints) {
            let is_good = self.asked.iter().any(|judge| judge.content.iter().any(|good| good == main.main()));
            if let Some(said) = complaint.filter(|_| !is_good) {
                return Err(broken(&said, main.main()));
            }
        }
        Ok(())
    }

    /// The candidate alone, and merged into the whole policy.
    ///
    /// # Errors
    /// When a judge does not accept it.
    pub fn check(&self, scratch: &Rc<Dir>, candidate: &PolicyText, mains: &[PolicyText]) -> Result<()> {
        for judge in &self.asked {
            let mains = mains.iter().filter(|main| judge.content.iter().any(|good| good == main.main()));
            for text in [candidate].into_iter().chain(mains) {
                if let Some(said) = self.ask(&judge.program, scratch, text)? {
                    return Err(rejected(&judge.program, &said));
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

    /// What a judge objects to in a text, which it reads in a directory that only root can enter.
    fn ask(&self, checker: &Path, scratch: &Rc<Dir>, text: &PolicyText) -> Result<Option<String>> {
        let (cannot, name) = ("cannot copy sudo's policy to check it", OsStr::new("policy"));
        scratch.remove_scratch(name).context(cannot)?;
        let directory = scratch.make_scratch(name).context(cannot)?;
        write(&directory, name, text.text().as_bytes(), 0o440).context(cannot)?;
        let path = self.root.on_machine(&directory.path().join(name));
        let done = Tool::new(checker).arg("-c").arg("-f").arg(&path).run();
        // What can't be removed now is removed by the next check.
        scratch.remove_scratch(name).ok();
        let said = answer(checker, &done?)?;
        Ok(said.map(|said| text.as_seen(&said.replace(&path.display().to_string(), INPUT))))
    }
}

/// What a judge objects to; `None` where it is content.
///
/// # Errors
/// When it came to no judgement: visudo(8) ends with 0 or 1.
fn answer(checker: &Path, done: &Finished) -> Result<Option<String>> {
    match done.code {
        Some(0) => Ok(None),
        // So it is with a `sudoers_locale` that the host lacks, of which sudo makes nothing. Whatever is wrong is said.
        Some(1) if done.is_silent() => Ok(None),
        Some(1) => Ok(Some(done.complaint())),
        _ => bail!("{} came to no judgement: {}", checker.display(), done.complaint()),
    }
}

/// What the judges object to in a text; `None` when one of them is content.
///
/// # Errors
/// When there is no judge, or one can't be started.
pub fn objection(root: &Root, machine: &Root, text: &PolicyText) -> Result<Option<String>> {
    let judges = PolicyCheckers::find(root, machine)?;
    let mut complaint = None;
    for judge in &judges.asked {
        // Not the files themselves: what they include would be read on the machine, as root, whatever it is.
        let done = Tool::new(&judge.program).args(["-c", "-f", INPUT]).input(text.text().as_bytes()).run()?;
        complaint = answer(&judge.program, &done)?;
        if complaint.is_none() {
            break;
        }
    }
    // Without /proc nobody can be asked; `apply` asks of copies.
    let complaint = complaint.filter(|said| !said.contains(&format!("unable to open {INPUT}")));
    Ok(complaint.map(|said| text.as_seen(&said)))
}

/// The error for a policy that is broken, but not by us.
pub fn broken(said: &str, main: &Path) -> anyhow::Error {
    let what = format!("sudo's policy is broken already, not by runner-prep: {said}");
    let repair = mend!("correct that file with visudo, and look again: $ visudo -c -f {}", quoted(main));
    Nature::Policy.fault("policy-broken", what, repair)
}

fn rejected(checker: &Path, said: &str) -> anyhow::Error {
    Nature::Policy.fault(
        "policy-rejected",
        format!("{} does not accept the rule: {said}", checker.display()),
        "see the whole policy: $ visudo -c; then correct the profile or the file that it clashes with",
    )
}
