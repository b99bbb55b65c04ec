//! The order in which sudo reads rules: which lines come after ours, and how they come to be read before it.

use std::path::{Path, PathBuf};

use super::Effect;
use crate::fault::quoted;
use crate::policy::SUDOERS_DIRECTORY as DIRECTORY;
use crate::repair::{Repair, run};
use crate::resource::sudo_policy::{Policy, PolicyLine};
use crate::text::sudo_list::ListedCommand;

impl Effect<'_> {
    /// The lines of sudo's files that may hold this rule.
    pub(super) fn spots(&self, entry: Option<&ListedCommand>) -> Vec<&PolicyLine> {
        let all: Vec<&PolicyLine> = self.policy.later.iter().collect();
        let Some(entry) = entry else { return all };
        let is_in = |spot: &&PolicyLine| entry.file.as_ref().is_none_or(|file| spot.file == Path::new(file));
        let in_file: Vec<&PolicyLine> = all.iter().copied().filter(is_in).collect();
        let says: Vec<&PolicyLine> =
            in_file.iter().filter(|spot| spot.line.text.contains(&entry.command)).copied().collect();
        [says, in_file, all].into_iter().find(|spots| !spots.is_empty()).unwrap_or_default()
    }

    /// A name in the directory that is read before ours and that nothing has.
    fn free(&self, name: &str) -> PathBuf {
        let mut free = format!("00-{name}");
        while matches!(self.context.facts.entry(&Path::new(DIRECTORY).join(&free)), Ok(Some(_))) {
            free.insert_str(0, "00-");
        }
        Path::new(DIRECTORY).join(free)
    }

    /// How these rules come to be read before ours.
    pub(super) fn repair(&self, spots: &[&PolicyLine]) -> Repair {
        let Policy { main, by, .. } = self.policy;
        let main = main.display();
        let mut steps: Vec<Repair> = Vec::new();
        let mut last = 0;
        for spot in spots {
            // Read by the same line as ours.
            let is_twice =
                self.policy.later.iter().any(|other| other.file == spot.file && other.by != spot.by);
            let step = match &spot.through {
                Some(file) if spot.by == *by && !is_twice && file != Path::new(self.ours) => {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    mend!("$ mv -n {} {}", quoted(file), quoted(self.free(&name)))
                }
                _ => {
                    last = last.max(spot.by);
                    continue;
                }
            };
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        // What goes on over several lines is not moved by one command.
        if last > *by && self.policy.is_one_line {
            steps.push(mend!("$ sed -i -e '{}{h;d}' -e '{}G' {}", by, last, main));
        }
        if steps.is_empty() {
            let name = &self.context.target.name;
            return mend!("see which rule wins, the last match does: $ sudo -ll -U {}", name);
        }
        steps.push(run("visudo -c"));
        Repair::from("if jobs are to have it, let sudo read the other rule first: ") + Repair::all(steps)
    }
}
