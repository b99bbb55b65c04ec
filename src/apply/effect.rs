//! Whether a sudo rule that was written does what it is for, in sudo's own words.

use anyhow::Result;

use super::Judged;
use crate::change::Allowed;
use crate::fault::Fault;
use crate::text::sudo_list::{Verdict, entries, verdict};

/// Warn of each command that sudo allows and asks a password for: a rule that is read later wins.
///
/// `sudo -l COMMAND` can't tell, it is content with either rule. The rule stays: it is what was wanted, and
/// whose the other one is only a person can say.
pub(super) fn look(judged: &Judged<'_>, account: &str, allowed: &[Allowed]) -> Result<Vec<Fault>> {
    let mut noticed = Vec::new();
    let Some(listing) = judged.judge.listing(account)? else {
        return Ok(noticed);
    };
    let rules = entries(&listing);
    for Allowed { run_as, command } in allowed {
        let command = command.join(" ");
        let Verdict::Asks(winner) = verdict(&rules, run_as.as_deref().unwrap_or("root"), &command) else {
            continue;
        };
        let ours = format!("/etc/sudoers.d/{}", judged.name.to_string_lossy());
        let later = judged.judge.later_than(&judged.name)?;
        let later: Vec<String> = later.iter().map(|path| path.display().to_string()).collect();
        let place = match &winner.file {
            Some(file) => format!("in {file}"),
            None if later.is_empty() => {
                "in /etc/sudoers, after the line that includes the directory".to_owned()
            }
            None => format!("in {} or at the end of /etc/sudoers", later.join(", ")),
        };
        noticed.push(Fault {
            code: "sudo-password-asked",
            what: format!(
                "sudo asks {account} for a password before it runs {command}: a rule {place} comes after {ours}, and the last one counts"
            ),
            repair: format!("take that rule out, or rename its file so that it is read before {ours}: sudo -ll -U {account}"),
        });
    }
    Ok(noticed)
}
