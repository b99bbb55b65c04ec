//! What a run that was killed between two steps left beside the file.

use rustix::fs::{AtFlags, StatxFlags, statx};

use std::ffi::OsStr;
use std::io;

use anyhow::{Context, Result};

use super::super::dir::{Dir, FileKind};
use super::super::staged;
use super::target::{SharedTarget, compare};
use crate::fault::Fault;

/// Remove it. Only an old file that somebody wrote to after it had been exchanged is kept first: that writer
/// believes in its update.
pub fn sweep(target: &SharedTarget) -> Result<Vec<Fault>> {
    let mut kept = Vec::new();
    let cannot = || format!("cannot remove what a killed run left in {}", target.dir.path().display());
    for name in staged::leftovers(&target.dir, &target.name).with_context(cannot)? {
        if holds_an_update(target, &name).with_context(cannot)? {
            let (live, path) = (target.path(), target.keep(&target.dir.open(&name)?)?);
            let shown = live.display();
            kept.push(Fault::new(
                "conflict",
                format!(
                    "an earlier run was killed while another program wrote {shown}; what it wrote is kept"
                ),
                compare(&live, &path),
            ));
        }
        target.dir.unlink(&name).with_context(cannot)?;
    }
    Ok(kept)
}

/// The live file was made later (so the leftover had the place), but the leftover was written later.
fn holds_an_update(target: &SharedTarget, leftover: &OsStr) -> io::Result<bool> {
    let (Some(live), Some(left)) = (target.dir.stat_entry(&target.name)?, target.dir.stat_entry(leftover)?)
    else {
        return Ok(false);
    };
    if left.kind != FileKind::Regular || left.identity == live.identity || left.modified <= live.modified {
        return Ok(false);
    }
    let (born, left_born) = (birth(&target.dir, &target.name)?, birth(&target.dir, leftover)?);
    // Where birth is not recorded, better one copy too many.
    Ok(left_born.is_none() || left_born < born)
}

fn birth(dir: &Dir, name: &OsStr) -> io::Result<Option<(i64, u32)>> {
    let stat = match statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOSYS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(known.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)))
}
