//! New RSA keys, made by `ssh-keygen` in a directory that only root can enter.

use std::ffi::OsStr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::dir::Dir;
use super::exec::{self, Tool};
use super::root::Root;

/// The directory that a key is made in, beside the lock.
const DIRECTORY: &str = "new-key";

/// The private key's file in it.
const FILE: &str = "key";

/// A slow machine takes minutes for the largest size.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// No private key that `ssh-keygen` makes is larger, in bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// Make an RSA key of `bits` bits, without a passphrase, with the `ssh-keygen` of `machine`: the private key file. It lies
/// below the `state` directory while it is made, and is gone from there when this returns.
///
/// # Errors
/// When `ssh-keygen` is missing or makes none.
pub fn rsa(
    root: &Root,
    machine: &Root,
    state: &Rc<Dir>,
    bits: u32,
    comment: &str,
) -> Result<Zeroizing<String>> {
    let program = exec::find(machine, "ssh-keygen").context("ssh-keygen is not installed")?;
    sweep(state)?;
    let made = || -> Result<Zeroizing<String>> {
        let dir = state.make_scratch(OsStr::new(DIRECTORY))?;
        let file = root.on_machine(dir.path()).join(FILE);
        let size = bits.to_string();
        let tool = Tool::new(&program).args(["-q", "-t", "rsa", "-b", &size, "-N", "", "-C", comment]);
        let said = tool.arg("-f").arg(file).patience(PATIENCE).run()?;
        if !said.success() {
            bail!("{}: {}", program.display(), said.complaint());
        }
        let made = dir.read(FILE.as_ref(), MOST_BYTES)?.context("ssh-keygen wrote no file")?;
        Ok(Zeroizing::new(String::from_utf8(made.bytes)?))
    };
    let made = made().context("cannot make an RSA key");
    sweep(state)?;
    made
}

/// Remove what a killed run left of this.
///
/// # Errors
/// When it can't be removed.
pub fn sweep(state: &Rc<Dir>) -> Result<()> {
    state
        .remove_scratch(DIRECTORY.as_ref())
        .with_context(|| format!("cannot remove {}", state.path().join(DIRECTORY).display()))
}
