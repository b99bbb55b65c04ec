//! `runner-deploy NAME`: what jobs call through sudo to put their checkout where root said.
//!
//! `/usr/local/sbin/runner-deploy` is a text of one line, `#!/usr/local/bin/runner-prep deploy`: the kernel starts
//! this program with it. No shell reads anything, an update of the program updates it too, and even a sudo
//! rule that lost its argument allows nothing but the deployments that root described.
//!
//! Two processes of rsync do the work, and this one has neither's rights nor eyes:
//!
//! ```text
//! runner-deploy (root) ── reads the description, opens nothing of the job's
//!  ├─ deploy-receive (root, or the owner) ── walls up, then rsync: the receiver, in the target
//!  │   └─ deploy-connect ── what rsync takes for a remote shell: hands its two pipes to runner-deploy
//!  └─ deploy-send (the account) ── root's rights given up, then rsync: the sender, in the job's directory
//! ```
//!
//! The job can do to the sender what it likes: it is the job's own. What the sender says is untrusted, and the
//! receiver believes it within the target alone. It comes by way of this process, which looks at none of it and
//! gives up a sender that stands still. Which directory is copied needs no check, because the
//! account reads it. Who calls is of no interest either: the account is the one in the description.
//!
//! Must not open anything by a name that the job chose.

mod child;
mod sender;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::fault::{self, fault};
use crate::repair::Repair;
use crate::sys::accounts;
use crate::sys::dir::FileKind;
use crate::sys::exec;
use crate::sys::fd_passing::{ReceivedFds, Socket};
use crate::sys::identity::{self, Identity};
use crate::sys::root::Root;
use crate::text::deployment::{DIRECTORY, DeploymentName, Description, refuse_place};
use child::{ERROR, PEER, code, complain};
use sender::Sender;

/// No description is larger.
const MOST_BYTES: u64 = 64 * 1024;

/// How long a sender may live on when the receiver has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The exit code when the arguments are those of a deployment; `None` when they are another command's.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    let mut words = arguments.skip(1);
    let stage = words.next()?;
    let work: fn(&[String]) -> Result<u8> = match stage.to_str()? {
        "deploy" => deploy,
        "deploy-receive" => child::receive,
        "deploy-send" => child::send,
        "deploy-connect" => child::connect,
        _ => return None,
    };
    let words: Result<Vec<String>, _> = words.map(OsString::into_string).collect();
    let done = words.map_err(|_| usage()).and_then(|words| {
        // What a panic says could be a part of what was worked on.
        std::panic::set_hook(Box::new(|_| {}));
        let bug = |_| Err(anyhow::anyhow!("this is a bug in runner-prep; nothing more was done"));
        std::panic::catch_unwind(|| work(&words)).unwrap_or_else(bug)
    });
    Some(done.unwrap_or_else(|error| {
        complain(&format!("error: {error:#}"));
        complain(&format!("    {}", fault::repair(&error).text()));
        ERROR
    }))
}

fn usage() -> anyhow::Error {
    fault("usage", "runner-deploy takes the name of a deployment and nothing else", usage_names())
}

/// Everything that is needed, found and checked.
struct Job {
    description: Description,
    /// Who reads.
    account: Identity,
    /// Who writes and owns.
    owner: Identity,
    /// The target after all links.
    target: PathBuf,
    rsync: PathBuf,
    program: PathBuf,
}

/// The arguments are the entry point's path, which the kernel adds, and the name.
fn deploy(words: &[String]) -> Result<u8> {
    let [_, name] = words else {
        return Err(usage());
    };
    let name =
        DeploymentName::try_from(name.clone()).map_err(|why| fault("deploy-name", why, usage_names()))?;
    if !identity::is_root() {
        let repair = mend!("in a job: $ sudo runner-deploy {}", name.as_str());
        return Err(fault("not-root", "runner-deploy works with root's rights", repair));
    }
    identity::harden()?;
    let job = Job::find(&name)?;
    // Before any thread or child: they all are to leave them to the one that waits for them.
    let signals: SigSet =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
    signals.thread_block().context("cannot hold signals back")?;

    let (ours, theirs) = Socket::pair().context("cannot make a socket")?;
    let mut receiver = job.start_receiver(theirs)?;
    let receiver_id = Pid::from_raw(i32::try_from(receiver.id())?);
    std::thread::spawn(move || {
        // rsync removes its temporary file and ends by itself.
        while let Ok(signal) = signals.wait() {
            kill(receiver_id, signal).ok();
        }
    });
    let sender = match ours.receive() {
        Ok(Some(parcel)) => Some(job.start_sender(parcel)),
        Ok(None) => None,
        Err(error) => Some(Err(error.into())),
    };
    match sender {
        None => Ok(code(receiver.wait()?)),
        Some(Err(error)) => {
            ours.answer(ERROR).ok();
            drop(ours);
            receiver.wait()?;
            Err(error.context("cannot start the reading side"))
        }
        Some(Ok(sender)) => {
            let limit = sender.limit;
            let watched = sender.watch(ours);
            let ended = receiver.wait()?;
            // What the sender left in its pipe is worth seeing; a sender that hangs is not worth waiting for.
            watched.said.recv_timeout(PATIENCE).ok();
            if watched.stalled.load(Ordering::SeqCst) { Err(stalled(limit)) } else { Ok(code(ended)) }
        }
    }
}

fn stalled(limit: Duration) -> anyhow::Error {
    let seconds = limit.as_secs();
    fault(
        "deploy-stalled",
        format!(
            "the reading side stood still for {seconds} s and was ended: it was stopped, or its disk does not answer"
        ),
        "run the job again; for a checkout on a slow disk give [[deploy]] a longer timeout, and apply it",
    )
}

fn usage_names() -> Repair {
    mend!("the names are those of the files in {}", DIRECTORY)
}

impl Job {
    fn find(name: &DeploymentName) -> Result<Self> {
        let root = Root::open(Path::new("/"))?;
        let description = read(&root, name)?;
        let account = accounts::account(&root, &description.account)?.filter(|account| account.uid != 0);
        let account = account.ok_or_else(|| {
            let what = format!("there is no account {} that is not root's", description.account);
            fault("deploy-account", what, "let root apply the profile of this host again")
        })?;
        let owner = &description.deployment.owner;
        let user = accounts::account(&root, &owner.user)?;
        let group = accounts::group_id(&root, &owner.group)?;
        let owner = user.zip(group).map(|(user, gid)| Identity { uid: user.uid, gid }).ok_or_else(|| {
            let what = format!("there is no {}:{} to own what is deployed", owner.user, owner.group);
            fault("deploy-owner", what, "make the account, or correct the profile")
        })?;
        let target = target(&root, description.deployment.target.path(), owner)?;
        beside(&root, &target, name)?;
        let rsync = exec::find(&root, "rsync").ok_or_else(|| {
            fault(
                "tool-missing",
                "rsync is not installed",
                "see how, as root: $ runner-prep doctor --profile shell",
            )
        })?;
        let program = exec::own_program()
            .context("this program is not found: it was replaced a moment ago, or /proc is not mounted")?;
        for path in [&rsync, &program] {
            trust(&root, path)?;
        }
        let account = Identity { uid: account.uid, gid: account.gid };
        Ok(Self { description, account, owner, target, rsync, program })
    }

    fn start_receiver(&self, socket: Socket) -> Result<Child> {
        let Identity { uid, gid } = self.owner;
        let given_to = self.description.deployment.owner.is_root().then_some((uid, gid));
        exec::clean(&self.program)
            .arg("deploy-receive")
            .args([uid.to_string(), gid.to_string()])
            .args([self.target.as_path(), &self.rsync, &self.program])
            .args(self.description.deployment.rsync_options(given_to))
            .current_dir("/")
            .stdin(Stdio::from(socket.into_handle()))
            .spawn()
            .context("cannot start the writing side")
    }

    /// Start what rsync wanted a remote shell to start, in the directory that we were started in.
    fn start_sender(&self, parcel: ReceivedFds) -> Result<Sender> {
        let wanted = match parcel.words.split_first() {
            Some((peer, [rsync, server, options @ ..]))
                if peer == PEER && rsync == "rsync" && server == "--server" =>
            {
                options
            }
            _ => anyhow::bail!("rsync calls its other side in a way that is not known"),
        };
        if !is_a_plain_sender(wanted) {
            let words: String = wanted.join(" ").chars().take(200).collect();
            return Err(fault(
                "deploy-receiver",
                format!("the writing side asks its other side for something else than the checkout: {words}"),
                mend!(
                    "it may have been taken over: see what runs as the owner of the target: $ ps -fu {}; or this rsync hides its arguments unless told otherwise: rsync --version",
                    self.description.deployment.owner.user
                ),
            ));
        }
        let Identity { uid, gid } = self.account;
        let limit = self.description.deployment.timeout.duration();
        let child = exec::clean(&self.program)
            .arg("deploy-send")
            .arg(&self.description.account)
            .args([uid.to_string(), gid.to_string()])
            .arg(&self.rsync)
            // The sender alone gets it, and says a word in time when it has nothing to send. A receiver with a limit
            // of its own would take a slow disk for a silent sender.
            .args(["--server".to_owned(), format!("--timeout={}", limit.as_secs())])
            .args(wanted)
            .stdin(Stdio::from(parcel.input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Sender { child, output: parcel.output, limit })
    }
}

/// True for what a receiver with our options wants: to be sent the directory, and nothing else read or written.
///
/// A receiver with the rights of another owner can be traced by that owner, who is not to become the account by way
/// of the sender. After `e` stands what the receiver can do, which a sender starts nothing with.
fn is_a_plain_sender(wanted: &[String]) -> bool {
    let [sender, options @ .., here, directory] = wanted else { return false };
    let is_known = |option: &String| {
        let flags = option.strip_prefix('-').map(|flags| flags.split_once('e').unwrap_or((flags, "")));
        option == "--safe-links"
            || flags.is_some_and(|(flags, able)| {
                let is_able = |c: char| c.is_ascii_alphanumeric() || c == '.';
                flags.chars().all(|c| "vrlptuog".contains(c)) && able.chars().all(is_able)
            })
    };
    sender == "--sender" && here == "." && directory == "./" && options.iter().all(is_known)
}

/// The description, from a file that nobody but root can write.
fn read(root: &Root, name: &DeploymentName) -> Result<Description> {
    let path = Path::new(DIRECTORY).join(format!("{}.toml", name.as_str()));
    let shown = path.display();
    let unknown =
        || fault("deploy-unknown", format!("there is no deployment {}", name.as_str()), usage_names());
    let read = root.read(&path, MOST_BYTES).with_context(|| format!("cannot read {shown}"))?;
    let entry = read.filter(|entry| entry.kind == FileKind::Regular).ok_or_else(unknown)?;
    trust(root, &path)?;
    let text = String::from_utf8(entry.bytes).with_context(|| format!("{shown} is not text"))?;
    let description = Description::parse(&text).map_err(|why| {
        fault(
            "deploy-description",
            format!("{shown}: {why}"),
            "let root apply the profile of this host again, which writes it anew",
        )
    })?;
    if description.deployment.name == *name { Ok(description) } else { Err(unknown()) }
}

/// Nobody but root may have a hand in a file, or in what leads to it.
fn trust(root: &Root, path: &Path) -> Result<()> {
    match root.change_by_others(path).with_context(|| format!("cannot look at {}", path.display()))? {
        None => Ok(()),
        Some(reason) => Err(fault(
            "untrusted",
            format!("{} can be changed by others than root: {reason}", path.display()),
            "make it and every directory above it root's own, not writable by group or others",
        )),
    }
}

/// A directory above the target would be copied into itself, again and again.
fn beside(root: &Root, target: &Path, name: &DeploymentName) -> Result<()> {
    let here = nix::sys::stat::stat(".").context("cannot look at the directory of the job")?;
    for above in target.ancestors().skip(1) {
        let stat = root.stat(above, true).with_context(|| format!("cannot look at {}", above.display()))?;
        if stat.is_some_and(|stat| stat.identity == (here.st_dev, here.st_ino)) {
            let (target, above, name) = (target.display(), above.display(), name.as_str());
            let what = format!("the target {target} lies in {above}, the directory to deploy");
            let repair = mend!(
                "in the job, go to the checkout first: cd \"$CI_PROJECT_DIR\" && sudo runner-deploy {}",
                name
            );
            return Err(fault("deploy-checkout", what, repair));
        }
    }
    Ok(())
}

/// The target after all links: root's way there, and itself root's or the owner's.
fn target(root: &Root, path: &Path, owner: Identity) -> Result<PathBuf> {
    let missing = || {
        let what = format!("the target {} is not there", path.display());
        fault("deploy-target", what, "let root apply the profile of this host again, which makes it")
    };
    let cannot = || format!("cannot look at {}", path.display());
    let dir = root.dir(path).with_context(cannot)?.ok_or_else(missing)?;
    let resolved = dir.path().to_path_buf();
    root.secure_dir(resolved.parent().unwrap_or(Path::new("/")))?;
    let stat = dir.stat().with_context(cannot)?;
    let is_its_own = owner.uid != 0 && stat.uid == owner.uid && stat.mode & 0o002 == 0;
    if let (false, Some(reason)) = (is_its_own, root.untrusted(&dir).with_context(cannot)?) {
        let what = format!("the target {} can be changed by others than its owner: {reason}", path.display());
        let repair = mend!("$ chown it to its owner, and: chmod go-w {}", fault::quoted(path));
        return Err(fault("deploy-target", what, repair));
    }
    match refuse_place(&resolved) {
        None => Ok(resolved),
        Some(why) => Err(fault(
            "deploy-target",
            format!("{} leads to {}: {why}", path.display(), resolved.display()),
            "name another target in the profile",
        )),
    }
}
