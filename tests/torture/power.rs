//! The power is cut at a system call, and after a reported success.

use std::cell::OnceCell;

use super::disk::{Image, Mounted, mounts_of_our_own};
use super::scene::{CONFIG, Kind, NOWHERE, Scene};
use super::state::{State, converges, violations};
use super::support::{Tree, long, run_limited, skip};
use super::{possible, run_all, sample};

/// Calls after which something is different on the disk, or may be.
const CHANGING: [&str; 11] = [
    "write",
    "pwrite64",
    "fsync",
    "ftruncate",
    "renameat2",
    "renameat",
    "unlinkat",
    "mkdirat",
    "fchown",
    "fchmod",
    "utimensat",
];

/// A scene on a disk.
struct Stage {
    scene: Scene,
    disk: Image,
}

/// One cut.
struct Cut<'a> {
    stage: &'a Stage,
    /// The run is killed there; `None` ends it.
    at: Option<(&'a str, usize)>,
    /// Nothing that the run asks to be made durable is: what the test has to notice.
    never_synced: bool,
    /// Another program syncs a file of its own before the cut.
    others_sync: bool,
}

impl Stage {
    /// Only in a thread that has mounts of its own.
    fn new(kind: Kind) -> Result<Self, String> {
        let (scene, disk) = (Scene::new(kind), Image::new()?);
        let mounted = disk.mount();
        std::fs::set_permissions(mounted.top(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        scene.before.copy_to(&mounted.top().join("root"));
        drop(mounted);
        Ok(Self { scene, disk })
    }

    /// How often each call is made.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let counts = super::calls::counted(&self.scene);
        CHANGING.iter().filter_map(|call| Some((*call, *counts.get(*call)?))).collect()
    }
}

fn tree(mounted: &Mounted) -> Tree {
    Tree::at(&mounted.top().join("root"))
}

/// What is on the disk after the cut, and the exit code of the run.
fn cut(cut: &Cut<'_>) -> (Image, i32) {
    let disk = cut.stage.disk.copy();
    let mounted = disk.mount();
    let mut options = Vec::new();
    let inject = cut.at.map(|(call, when)| format!("inject={call}:signal=KILL:when={when}"));
    if cut.never_synced {
        options.extend(["-e", "inject=fsync,fdatasync:retval=0"]);
    }
    if let Some(inject) = &inject {
        options.extend(["-e", inject]);
    }
    let run = run_limited(&mut cut.stage.scene.kind.traced(tree(&mounted).top(), NOWHERE.as_ref(), &options));
    if cut.others_sync {
        mounted.let_others_sync();
    }
    (disk.copy(), run.status)
}

/// What is wrong with what the cut left.
fn look(cut_: &Cut<'_>) -> Vec<String> {
    thread_local! { static OWN: OnceCell<()> = const { OnceCell::new() } }
    OWN.with(|own| own.get_or_init(|| mounts_of_our_own().unwrap()).to_owned());
    let (disk, status) = cut(cut_);
    let mounted = disk.mount();
    let (tree, scene) = (tree(&mounted), &cut_.stage.scene);
    let mut wrong = violations(scene, &tree);
    if status == 0 && State::of(&tree).swept() != scene.new {
        wrong.push("a reported success is lost".to_owned());
    }
    if cut_.at.is_some() && !matches!(status, 0 | 137) {
        wrong.push(format!("exit code {status}"));
    }
    if wrong.is_empty() && !cut_.never_synced {
        wrong = converges(scene, &tree);
    }
    let Cut { at, others_sync, .. } = cut_;
    let what = format!("{:?}, cut at {at:?}, others sync: {others_sync}", scene.kind);
    wrong.into_iter().map(|wrong| format!("{what}: {wrong}")).collect()
}

/// Runs in a thread whose mounts end with it; skips where there can be none.
fn with_stages(kinds: &[Kind], work: impl Fn(&[Stage]) + Sync) {
    if !possible(&["mkfs.ext4", "mount", "umount", "unshare"]) {
        return;
    }
    // A container that was given none can't have any, in CI neither.
    if !std::path::Path::new("/dev/loop-control").exists() {
        println!("skipped: there are no loop devices here");
        return;
    }
    let made = std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            mounts_of_our_own()?;
            let stages = kinds.iter().map(|kind| Stage::new(*kind)).collect::<Result<Vec<_>, _>>()?;
            work(&stages);
            Ok::<(), String>(())
        });
        done.join()
    });
    match made {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => skip(&format!("no disk can be made of a file here: {reason}")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[test]
fn a_power_cut_leaves_old_or_new_and_takes_no_success_back() {
    let kinds = [Kind::First, Kind::Config, Kind::InPlace, Kind::Undo];
    with_stages(&kinds, |stages| {
        let mut work = Vec::new();
        for (stage, size) in stages.iter().zip([2, 1, 1, 1]) {
            for (number, (call, count)) in stage.counts().into_iter().enumerate() {
                for when in sample(count, size, number) {
                    let both = if long() { vec![false, true] } else { vec![number % 2 == 0] };
                    work.extend(both.into_iter().map(|others_sync| Cut {
                        stage,
                        at: Some((call, when)),
                        never_synced: false,
                        others_sync,
                    }));
                }
            }
            work.push(Cut { stage, at: None, never_synced: false, others_sync: false });
        }
        assert_eq!(run_all("power cut", &work, &look), 0);
    });
}

/// The test can fail: without the syncs of the run it finds both kinds of damage.
#[test]
fn a_power_cut_is_noticed_where_nothing_is_synced() {
    with_stages(&[Kind::First, Kind::Undo], |stages| {
        for stage in stages {
            let lost = look(&Cut { stage, at: None, never_synced: true, others_sync: false });
            assert!(lost.iter().any(|wrong| wrong.contains("a reported success is lost")), "{lost:?}");
            let broken = look(&Cut { stage, at: None, never_synced: true, others_sync: true });
            let name = CONFIG.trim_start_matches('/');
            assert!(
                broken.iter().any(|wrong| wrong.contains(&format!("{name} is neither old nor new"))),
                "{broken:?}"
            );
            println!("{:?} without syncs: {} and {} violations", stage.scene.kind, lost.len(), broken.len());
        }
    });
}
