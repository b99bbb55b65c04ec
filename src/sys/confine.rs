//! Walls around this process, each only ever added: for good, and for every program it becomes or starts.
//!
//! Owns the order of system calls within one wall. Which ones are put up is the caller's to decide. To be used
//! while the process has one thread.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, getresgid, getresuid, mkdir, setgroups, setresgid, setresuid, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::identity::Identity;
use super::raw;

/// What a program needs to read that writes files: itself, its libraries, the names of accounts.
const READ: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
];

/// Start afresh: default signals, a usual umask, no core dump, no handle but the first three for programs
/// that are started, and an end when the parent ends.
pub fn begin(at_parents_end: Signal) -> Result<()> {
    raw::close_handles_at_exec();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("cannot let signals in")?;
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)
        .context("cannot switch core dumps off")?;
    end_with_parent(at_parents_end)
}

/// Take back the limits on what a process may use that the caller has set, as far as may be: a limit on time or sizes
/// ends the work in its middle.
pub fn lift_limits() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    /// More handles than are ever open here.
    const HANDLES: u64 = 1024;
    let all = libc::RLIM_INFINITY;
    for (resource, enough) in [
        (Resource::RLIMIT_CPU, all),
        (Resource::RLIMIT_FSIZE, all),
        (Resource::RLIMIT_DATA, all),
        (Resource::RLIMIT_AS, all),
        (Resource::RLIMIT_NOFILE, HANDLES),
    ] {
        // In a container even root may not go beyond what is set for good.
        if setrlimit(resource, enough, enough).is_err() {
            if let Ok((_, most)) = getrlimit(resource) {
                setrlimit(resource, most, most).ok();
            }
        }
    }
}

/// Get this signal when the parent ends. A change of rights takes that back.
pub fn end_with_parent(signal: Signal) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(signal).context("cannot tie this process to its parent")
}

/// Leave the session, and with it the terminal: a program on root's terminal can type into root's shell.
pub fn leave_terminal() -> Result<()> {
    setsid().map(drop).context("cannot leave the session")
}

/// Become an account for good. With its name it gets all its groups, without it the one group.
pub fn become_account(name: Option<&str>, identity: Identity) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if uid.is_root() {
        bail!("uid 0 is no account to give rights up for");
    }
    let groups = match name {
        Some(name) => nix::unistd::initgroups(&CString::new(name)?, gid),
        None => setgroups(&[gid]),
    };
    groups.context("cannot take the account's groups")?;
    setresgid(gid, gid, gid).context("cannot take the account's group")?;
    setresuid(uid, uid, uid).context("cannot take the account's user id")?;
    let (user, group) = (getresuid()?, getresgid()?);
    let is_it = [user.real, user.effective, user.saved] == [uid; 3]
        && [group.real, group.effective, group.saved] == [gid; 3];
    if !is_it || setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        bail!("root's rights could not be given up");
    }
    Ok(())
}

/// No program that is started gets more rights than this process has.
pub fn no_new_privileges() -> Result<()> {
    nix::sys::prctl::set_no_new_privs().context("cannot refuse new privileges")
}

/// Keep of root's powers those over owners and modes of files alone.
pub fn keep_file_powers() -> Result<()> {
    let keep = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
    let now = rustix::thread::capabilities(None).context("cannot read the capabilities")?;
    for capability in CapabilitySet::all().difference(keep).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // INVAL: this kernel has no such capability.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error).context("cannot drop capabilities"),
        }
    }
    let kept = now.permitted & keep;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context("cannot drop capabilities")
}

/// Make every file system read-only for this process, but `target`: Landlock has no say over modes and owners.
///
/// # Errors
/// Where namespaces are forbidden (a container), or the kernel is older than Linux 5.12.
pub fn read_only_but(target: &Path) -> Result<()> {
    mount_in_private().context("no private mounts")?;
    let none: Option<&str> = None;
    mount(Some(target), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .context("no mount of the target")?;
    let path = CString::new(target.as_os_str().as_bytes())?;
    raw::set_mounts_read_only(c"/", true).context("no read-only mounts")?;
    raw::set_mounts_read_only(&path, false).context("the target can't be made writable again")
}

/// Let what the process mounts from now on be seen by nobody else.
pub(super) fn mount_in_private() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    Ok(mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?)
}

/// A program, and the text of a script that is called in its place. It finds the program itself at [`HIDDEN`].
pub type StandIn = (PathBuf, String);

/// Where a program lies that a script stands in for.
pub const HIDDEN: &str = "/tmp/.hidden";

/// Let nothing stay of what the process writes: it has a `/tmp` of its own in memory, where what it changes in `home` lies
/// as well, and every other file system is read-only. And it has no network.
///
/// # Errors
/// Where namespaces are forbidden (a container), where there is no overlayfs, or the kernel is older than Linux 5.12.
pub(super) fn leave_nothing(home: &Path, stand_in: Option<&StandIn>) -> std::io::Result<()> {
    let (flags, none) = (MsFlags::MS_NOSUID | MsFlags::MS_NODEV, None::<&str>);
    mount_in_private()?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    raw::set_mounts_read_only(c"/", true)?;
    // The account may have a hand in what is found at the path.
    let open = nix::fcntl::open(home, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), flags, Some("mode=1777,size=16m"))?;
    let [upper, work] = ["/tmp/.upper", "/tmp/.work"].map(Path::new);
    nix::unistd::mkdir(upper, Mode::S_IRWXU)?;
    lay_over(&open, Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())), upper, work)?;
    let Some((program, script)) = stand_in else { return Ok(()) };
    let stand_in = "/tmp/.stand-in";
    for (path, text) in [(HIDDEN, ""), (stand_in, script.as_str())] {
        let file = nix::fcntl::open(path, OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_EXCL, Mode::S_IRWXU)?;
        nix::unistd::write(&file, text.as_bytes())?;
        fchmod(&file, Mode::from_bits_truncate(0o755))?;
    }
    let bind = |from: &Path, to: &Path| mount(Some(from), to, none, MsFlags::MS_BIND, none);
    bind(program, Path::new(HIDDEN))?;
    Ok(bind(Path::new(stand_in), program)?)
}

/// Let what is written to an open directory, which is found `at` a path, lie in `upper`, with what is there already. It is
/// as open as it was, and as shut.
pub(super) fn lay_over(open: &OwnedFd, at: &Path, upper: &Path, work: &Path) -> std::io::Result<()> {
    let stat = nix::sys::stat::fstat(open)?;
    nix::unistd::mkdir(work, Mode::S_IRWXU)?;
    nix::unistd::chown(upper, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::chmod(upper, rustix::fs::Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let (lower, upper, work) = (open.as_raw_fd(), upper.display(), work.display());
    let layers = format!("lowerdir=/proc/self/fd/{lower},upperdir={upper},workdir={work}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("overlay"), at, Some("overlay"), flags, Some(layers.as_str()))?)
}

/// Let the process reach nothing but `target` for writing and what programs need for reading; no network,
/// no signal to others. False where the kernel has no Landlock.
///
/// # Errors
/// When it has, and the wall can't be built all the same: a caller may have left too few handles, and must not
/// choose which walls there are.
pub fn reach_only(target: &Path, programs: &[&Path]) -> Result<bool> {
    let abi = ABI::V6;
    let read = AccessFs::from_read(abi);
    let special = AccessFs::MakeChar
        | AccessFs::MakeBlock
        | AccessFs::MakeFifo
        | AccessFs::MakeSock
        | AccessFs::Execute
        | AccessFs::IoctlDev;
    let inside: BitFlags<AccessFs> = AccessFs::from_all(abi) & !special;
    let target = PathFd::new(target).context("cannot open the target")?;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(programs, read))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rule(PathBeneath::new(target, inside))?
        .restrict_self()
        .context("cannot put up Landlock")?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The bit in a number that marks a system call of the x32 interface.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

/// Refuse to make setuid and setgid files, whatever the program becomes: root's would be a way to root. And
/// refuse to call others: what listens on a socket may do what this process can't.
/// False on a machine that the filter does not know.
pub fn filter_calls() -> Result<bool> {
    let Ok(machine) = std::env::consts::ARCH.try_into() else {
        return Ok(false);
    };
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = BTreeMap::new();
    let mut modes =
        vec![(libc::SYS_openat, 3), (libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (libc::SYS_fchmodat2, 2)];
    #[cfg(target_arch = "x86_64")]
    modes.extend([(libc::SYS_open, 2), (libc::SYS_creat, 1), (libc::SYS_chmod, 1)]);
    for (call, argument) in modes {
        for bit in [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)] {
            let has_bit =
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), bit)?;
            rules.entry(call).or_default().push(SeccompRule::new(vec![has_bit])?);
        }
    }
    // What an io_uring is told to do are system calls that no filter sees.
    rules.insert(libc::SYS_io_uring_setup, Vec::new());
    // Neither Landlock nor a read-only mount keeps a process from a socket in the file system, and what listens
    // there (systemd, D-Bus, Docker) does what root asks. rsync has its pipes already.
    rules.insert(libc::SYS_socket, Vec::new());
    rules.insert(libc::SYS_connect, Vec::new());
    // Devices, FIFOs and sockets are none that are deployed.
    rules.insert(libc::SYS_mknodat, Vec::new());
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, Vec::new());
    // The second way into the same calls, where the kernel has it.
    #[cfg(target_arch = "x86_64")]
    for (call, conditions) in rules.clone() {
        rules.insert(call | X32, conditions);
    }
    install(rules, Errno::EPERM, machine)?;
    // The mode for openat2(2) lies in memory, where no filter looks; programs go on with openat(2) when it is missing.
    let mut missing = BTreeMap::from([(libc::SYS_openat2, Vec::new())]);
    #[cfg(target_arch = "x86_64")]
    missing.insert(libc::SYS_openat2 | X32, Vec::new());
    install(missing, Errno::ENOSYS, machine)?;
    Ok(true)
}

fn install(
    rules: BTreeMap<libc::c_long, Vec<SeccompRule>>,
    error: Errno,
    machine: seccompiler::TargetArch,
) -> Result<()> {
    let code = u32::try_from(error as i32)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(code), machine)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program).context("cannot put up the filter of system calls")
}

/// A file of root's as it would be, for one program alone: mounted where it looks, in a namespace that goes with it. For
/// setuid programs alone: neither they nor a process that has just given up root's rights can be traced by an account, which
/// else could use what is only supposed (ptrace(2), `PR_SET_DUMPABLE`).
#[derive(Debug, Clone)]
pub struct Supposed {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// Let this process, and what it becomes, find these files: in memory, no file of the machine is opened for writing. What lies beside them stays to be seen.
///
/// # Errors
/// Where namespaces are forbidden (a container), or where there is no overlayfs.
pub(super) fn suppose(files: &[Supposed]) -> io::Result<()> {
    let (flags, directory) = (MsFlags::MS_NOSUID | MsFlags::MS_NODEV, OFlag::O_PATH | OFlag::O_CLOEXEC);
    let Some(base) = files.first().and_then(|file| file.path.parent()) else { return Ok(()) };
    mount_in_private()?;
    // The memory lies over the first directory, until all is mounted, and then behind it. A file that is there is covered by
    // itself, so that nothing else that is mounted beside it is.
    let first = open(base, directory, Mode::empty())?;
    mount(Some("tmpfs"), base, Some("tmpfs"), flags, Some("mode=0700,size=4m"))?;
    for (number, Supposed { path, bytes, mode }) in files.iter().enumerate().rev() {
        let (parent, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
        let [upper, work] = ["upper", "work"].map(|kind| base.join(format!("{kind}-{number}")));
        mkdir(&upper, Mode::S_IRWXU)?;
        let create = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let copy = open(&upper.join(name), create, Mode::S_IRUSR)?;
        fchmod(&copy, Mode::from_bits_truncate(*mode))?;
        File::from(copy).write_all(bytes)?;
        if number > 0 && path.exists() {
            mount(Some(&upper.join(name)), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            continue;
        }
        let below = if number == 0 { first.try_clone()? } else { open(parent, directory, Mode::empty())? };
        lay_over(&below, parent, &upper, &work)?;
    }
    Ok(())
}
