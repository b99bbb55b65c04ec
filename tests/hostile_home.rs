//! A home whose owner is an enemy: what lies there, what happens to it meanwhile, and what the account can
//! do to a process that works there with its rights.

#![allow(clippy::disallowed_methods, reason = "a test prepares and inspects the file system itself")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't be set up has to stop"
)]

mod support;

use std::fs::{File, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;
use support::{Host, PATH, Run, Tree, assert_unchanged, have, is_root, run_limited, skip};

const ACCOUNT: u32 = 61_999;
const SSH: &str = "home/gitlab-runner/.ssh";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";
const ONLY_KEY: [&str; 5] = ["apply", "--profile", "shell", "--only", "ssh_key"];

fn home() -> Tree {
    Tree::new().account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").dir(SSH, 0o700).own(SSH, ACCOUNT)
}

fn root() -> bool {
    if !is_root() {
        skip("only root can work as another account");
    }
    is_root()
}

/// The program refuses within seconds and changes nothing.
#[track_caller]
fn refused(tree: &Tree, arguments: &[&str], says: &str) -> Run {
    let before = without_state(tree);
    let began = Instant::now();
    let run = tree.run(arguments);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited");
    assert_unchanged(&before, &without_state(tree));
    run.exit(2).says(says);
    run
}

fn without_state(tree: &Tree) -> Vec<String> {
    tree.stamps().into_iter().filter(|line| !line.contains(" var/lib")).collect()
}

fn generated(tree: &Tree, path: &str, comment: &str) {
    let path = tree.path(path);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&path);
    assert!(command.status().unwrap().success());
    for file in [path.clone(), path.with_extension("pub")] {
        std::os::unix::fs::chown(&file, is_root().then_some(ACCOUNT), is_root().then_some(ACCOUNT)).unwrap();
    }
}

#[test]
fn special_files_where_a_key_belongs() {
    let tree = home().fifo(KEY);
    refused(&tree, &ONLY_KEY, "a FIFO");

    let tree = home();
    let _socket = UnixListener::bind(tree.path(KEY)).unwrap();
    refused(&tree, &ONLY_KEY, "a socket");

    let tree = home().dir(KEY, 0o700);
    refused(&tree, &ONLY_KEY, "a directory");

    let tree = home().link(KEY, "/etc/shadow");
    refused(&tree, &ONLY_KEY, "a symbolic link");

    let tree = home();
    File::create(tree.path(KEY)).unwrap().set_len(1 << 40).unwrap();
    refused(&tree, &ONLY_KEY, "larger than");
}

#[test]
fn a_device_where_a_key_belongs() {
    if !root() {
        return;
    }
    let tree = home();
    let path = tree.path(KEY);
    if mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5)).is_err() {
        return skip("no device can be made here");
    }
    refused(&tree, &ONLY_KEY, "a device");
}

#[test]
fn hard_links_are_no_way_to_the_files_of_others() {
    let tree = home().file_mode("victim", "root's own\n", 0o600);
    std::fs::hard_link(tree.path("victim"), tree.path(KEY)).unwrap();
    // To an ordinary user who makes a tree, all of it belongs.
    refused(&tree, &ONLY_KEY, if is_root() { "can't be used by" } else { "2 names" });

    // One that the account can read.
    let tree = home();
    generated(&tree, KEY, "x");
    std::fs::hard_link(tree.path(KEY), tree.path("second")).unwrap();
    tree.chmod(KEY, 0o644);
    refused(&tree, &ONLY_KEY, "2 names");
}

#[test]
fn a_directory_of_somebody_else() {
    if !root() {
        return;
    }
    let tree = home().own(SSH, 4321);
    refused(&tree, &ONLY_KEY, "belongs to uid 4321");
    tree.chmod(SSH, 0o777);
    refused(&tree, &ONLY_KEY, "belongs to uid 4321");
}

/// What root left in the home can be moved by the account to any name there. Its text must not come into a
/// file that the account can read, nor into a report.
#[test]
fn secrets_of_root_in_the_home_stay_secret() {
    if !root() {
        return;
    }
    let text = "[core]\n\tpager = secret-of-root\n";
    let profile = "[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n[git]\nname = \"x\"\n";
    for path in [".gitconfig", ".config/git/config", ".ssh/known_hosts"] {
        let path = format!("home/gitlab-runner/{path}");
        let tree = home().dir("home/gitlab-runner/.config/git", 0o755).file("profile.toml", profile);
        let tree = tree.file_mode(&path, text, 0o600);
        let given = tree.path("profile.toml");
        for command in ["plan", "apply"] {
            let run = refused(&tree, &[command, "--profile", given.to_str().unwrap()], "belongs to uid 0");
            run.says_not("secret-of-root");
        }
    }
}

/// Start the program and hold it where the plan is made and nothing is written: we have its lock.
struct Held {
    child: Child,
    lock: Flock<File>,
}

impl Held {
    fn start(tree: &Tree, arguments: &[&str]) -> Self {
        tree.run(&["apply", "--profile", "shell", "--only", "sudoers"]).ok();
        let lock = File::options().write(true).open(tree.path("var/lib/runner-prep/lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let mut command = tree.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let path = tree.path("var/lib/runner-prep/lock");
        let held = Self { child, lock };
        let deadline = Instant::now() + Duration::from_secs(30);
        // To an ordinary user its handles are not shown.
        while is_root() && !held.handles().contains(&path) {
            assert!(Instant::now() < deadline, "it never asks for the lock");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(if is_root() { 0 } else { 2_000 }));
        held
    }

    fn handles(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        entries.into_iter().flatten().flatten().filter_map(|it| std::fs::read_link(it.path()).ok()).collect()
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Let it go on, to its end.
    fn go_on(self) -> (i32, String) {
        let Self { child, lock } = self;
        drop(lock);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }
}

#[test]
fn a_key_that_appears_between_plan_and_apply_is_kept() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let tree = home();
    let held = Held::start(&tree, &ONLY_KEY);
    generated(&tree, KEY, "of the account");
    let key = tree.read(KEY);
    let (exit, said) = held.go_on();
    // It plans again, and the key is as wanted.
    assert_eq!(exit, 0, "{said}");
    assert!(tree.read(KEY) == key);
    tree.run(&ONLY_KEY).ok();
    assert!(tree.read(KEY) == key);
}

#[test]
fn a_key_exchanged_between_plan_and_apply_is_not_repaired() {
    if !have(&["visudo", "ssh-keygen"]) {
        return;
    }
    let tree = home();
    generated(&tree, KEY, "of the account");
    tree.chmod(KEY, 0o644);
    let held = Held::start(&tree, &ONLY_KEY);
    let victim = tree.path("victim");
    std::fs::copy(tree.path(KEY), &victim).unwrap();
    set_permissions(&victim, PermissionsExt::from_mode(0o644)).unwrap();
    tree.remove(KEY);
    // The same bytes, and still not what was looked at.
    std::fs::hard_link(&victim, tree.path(KEY)).unwrap();
    let before = std::fs::metadata(&victim).unwrap();
    let (exit, said) = held.go_on();
    assert_eq!(exit, 2, "{said}");
    let after = std::fs::metadata(&victim).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.ctime_nsec()),
        (before.mode(), before.uid(), before.ctime_nsec())
    );
}

#[test]
fn nobody_looks_into_a_run_that_holds_secrets() {
    if !have(&["visudo", "strace", "setpriv"]) {
        return;
    }
    let held = Held::start(&home(), &ONLY_KEY);
    let limits = held.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    if is_root() {
        outsider(&held.child, false);
    }
}

/// Everything that the account could try on a process of root's.
fn outsider(child: &Child, stopped: bool) {
    let pid = child.id();
    let attempts = [
        format!("kill -0 {pid}"),
        format!("kill -STOP {pid}"),
        format!("kill -KILL {pid}"),
        format!("strace -o /dev/null -p {pid}"),
        format!("cat /proc/{pid}/environ"),
        format!("cat /proc/{pid}/maps"),
        format!("head -c 1 /proc/{pid}/mem"),
        format!("ls /proc/{pid}/fd/"),
        format!("ls /proc/{pid}/cwd/"),
        format!("cat /proc/{pid}/stack"),
        format!("echo 1 > /proc/{pid}/oom_score_adj"),
    ];
    for attempt in attempts {
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={ACCOUNT}"), format!("--regid={ACCOUNT}"), "--clear-groups".into()];
        command.args(ids).args(["/bin/sh", "-c", &attempt]).env("PATH", PATH);
        let run = run_limited(&mut command);
        assert_ne!(run.status, 0, "the account may: {attempt}\n{run}");
        let refused = ["not permitted", "ermission denied"].iter().any(|it| run.stderr.contains(it));
        assert!(refused, "{attempt}: {run}");
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(status.contains("T (stopped)"), stopped, "{status}");
    assert!(status.contains("TracerPid:\t0\n"));
}

/// The same with the account's effective ids, caught in the act.
#[test]
fn the_account_has_no_power_over_a_process_with_its_rights() {
    if !root() || !have(&["strace", "setpriv", "ssh-keygen"]) {
        return;
    }
    let wanted = format!("Uid:\t0\t{ACCOUNT}\t0\t{ACCOUNT}\n");
    for attempt in 1..=3_000 {
        let tree = home();
        let mut command = tree.command(&ONLY_KEY);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let status = format!("/proc/{pid}/status");
        let mut caught = false;
        while let Ok(text) = std::fs::read_to_string(&status)
            && !text.contains("State:\tZ")
        {
            if text.contains(&wanted) {
                kill(pid, Signal::SIGSTOP).unwrap();
                std::thread::sleep(Duration::from_millis(2));
                let text = std::fs::read_to_string(&status).unwrap();
                caught = text.contains(&wanted) && text.contains("T (stopped)");
                if caught {
                    println!("caught in attempt {attempt}");
                    outsider(&child, true);
                }
                kill(pid, Signal::SIGCONT).unwrap();
                if caught {
                    break;
                }
            }
        }
        let exit = child.wait().unwrap();
        assert_eq!(exit.code(), Some(0));
        if caught {
            return;
        }
    }
    panic!("never caught it with the account's ids");
}

/// A host with a key that only ssh-keygen reads, and a script in its place that says what a child can do.
fn host_with_tool(script: &str) -> Option<Host> {
    let host = Host::or_skip()?;
    if !have(&["ssh-keygen"]) {
        return None;
    }
    let made = tempfile::tempdir().unwrap();
    let key = made.path().join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f"]).arg(&key);
    assert!(command.status().unwrap().success());
    let host = host
        .account("gitlab-runner", ACCOUNT, "/home/gitlab-runner")
        .dir("/home/gitlab-runner/.ssh", 0o700)
        .own("/home/gitlab-runner/.ssh", ACCOUNT, ACCOUNT)
        .file_mode("/home/gitlab-runner/.ssh/id_ecdsa", std::fs::read(&key).unwrap(), 0o600)
        .own("/home/gitlab-runner/.ssh/id_ecdsa", ACCOUNT, ACCOUNT)
        .file_mode("/usr/local/bin/ssh-keygen", script, 0o755);
    Some(host.start())
}

/// Formats that only `ssh-keygen` reads: it is asked with the account's rights, and has to get at what it is asked.
#[test]
fn keys_in_old_formats_are_kept() {
    if !have(&["ssh-keygen"]) {
        return;
    }
    // Not RSA in PKCS8: there a line that holds only the modulus stands in the public key as well, letter by letter.
    for (kind, format) in [("rsa", "PEM"), ("ecdsa", "PEM"), ("ecdsa", "PKCS8")] {
        let Some(host) = Host::or_skip() else { return };
        let host = host.account("gitlab-runner", ACCOUNT, "/home/gitlab-runner").start();
        let make = format!(
            "mkdir -m 700 ~/.ssh && ssh-keygen -q -t {kind} -m {format} -N '' -f ~/.ssh/id_{kind} &&
            mv ~/.ssh/id_{kind}.pub ~/was.pub && sha256sum ~/.ssh/id_{kind} >~/was.sum"
        );
        host.as_account("gitlab-runner", &make).ok();
        host.prep(&ONLY_KEY).ok();
        let same = format!(
            "cut -d' ' -f1,2 ~/was.pub >~/was && cut -d' ' -f1,2 ~/.ssh/id_{kind}.pub | cmp - ~/was && sha256sum -c ~/was.sum"
        );
        host.as_account("gitlab-runner", &same).ok();
        host.prep(&["check", "--profile", "shell", "--only", "ssh_key"]).ok();
    }
}

/// A child that runs as the account has no terminal to type into, and no handle of ours or our caller's.
#[test]
fn a_child_gets_no_terminal_and_no_handles() {
    let script = "#!/bin/sh\nexec >/tmp/child 2>&1\nid -u\nid -G\nls /proc/self/fd | wc -l\n\
        (: </dev/tty) || echo no terminal\n(: <&9) || echo no handle\ngrep -c . /proc/self/environ\nenv | sort\npwd\n";
    let Some(host) = host_with_tool(script) else { return };
    if !have(&["script"]) {
        return;
    }
    host.sh("cd /root; SECRET=1 script -qec 'exec 9<>/dev/tty; runner-prep plan --profile shell --only ssh_key' /dev/null; test -s /tmp/child");
    let child = host.text("/tmp/child");
    let lines: Vec<_> = child.lines().collect();
    assert_eq!(lines[..2], [ACCOUNT.to_string(), ACCOUNT.to_string()], "{child}");
    // 0, 1, 2 and what `ls` itself opened.
    assert_eq!(lines[2], "4", "{child}");
    for said in ["no terminal", "no handle", "LC_ALL=C", "\n/\n"] {
        assert!(child.contains(said), "{said}: {child}");
    }
    assert!(!child.contains("SECRET"), "{child}");
}

/// The account stops what runs with its rights, traces it, and never lets its end be known.
#[test]
fn a_child_held_by_the_account_is_given_up() {
    let Some(host) = host_with_tool("#!/bin/sh\nexec sleep 1000\n") else { return };
    if !have(&["strace", "setpriv"]) {
        return;
    }
    let script = format!(
        "exec setpriv --reuid {ACCOUNT} --regid {ACCOUNT} --clear-groups sh -c '
        until child=$(pgrep -u {ACCOUNT} -x sleep); do sleep .1; done
        strace -o /dev/null -p $child & sleep 1; kill -STOP $! $child; exec sleep 2000' >/dev/null 2>&1 &"
    );
    host.sh(&script).ok();
    let began = Instant::now();
    let run = host.prep(&["plan", "--profile", "shell", "--only", "ssh_key"]);
    run.exit(2).says("did not finish within 30 s");
    assert!(began.elapsed() < Duration::from_secs(45));
}

#[test]
fn escape_sequences_of_a_comment_are_not_shown() {
    if !have(&["ssh-keygen"]) {
        return;
    }
    for comment in ["\u{1b}]0;title\u{7}\u{1b}[2J", "a\u{9b}31mb", "x\u{202e}y", "carriage\rreturn"] {
        let tree = home();
        generated(&tree, KEY, comment);
        tree.remove(&format!("{KEY}.pub"));
        let plan = ["plan", "--profile", "shell", "--only", "ssh_key"];
        for arguments in [
            &plan[..],
            &ONLY_KEY[..],
            &["key"],
            &["apply", "--profile", "shell", "--only", "ssh_key", "--json"],
        ] {
            let run = tree.run(arguments);
            let odd = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!run.stdout.contains(odd) && !run.stderr.contains(odd), "{comment:?}: {run:?}");
        }
    }
}

#[test]
fn escape_sequences_of_names_are_not_shown() {
    let tree = home();
    for name in ["\u{1b}[31mprofile", "./\u{1b}[31mprofile.toml", "a\nb"] {
        let run = tree.run(&["plan", "--profile", name]);
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!run.stdout.contains(odd) && !run.stderr.contains(odd), "{name:?}: {run:?}");
    }
    assert!(!Path::new("\u{1b}[31mprofile").exists());
}

/// A killed run leaves files, which go. What the account makes of their names holds no later run up.
#[test]
fn leftovers_that_the_account_made_up_hold_nothing_up() {
    let tree = home().dir(SSH, 0o700).own(SSH, ACCOUNT);
    let forged = |name: &str| format!("{SSH}/.id_ed25519.runner-prep.{name}");
    let [directory, file, link] = ["1", "2", "3"].map(forged);
    let tree = tree.dir(&directory, 0o700).own(&directory, ACCOUNT).file(&file, "").own(&file, ACCOUNT);
    let tree = tree.file_mode("root/secret", "x", 0o600).link(&link, "../../../root/secret");
    tree.run(&ONLY_KEY).ok().says("2 changes made");
    assert!(tree.exists(&directory) && !tree.exists(&file) && !tree.exists(&link));
    assert!(tree.exists("root/secret"));
    // After a killed run every place that it changed is swept, before undo too.
    let journal = tree.path("var/lib/runner-prep/journal");
    let entry = std::fs::read_dir(journal).unwrap().next().unwrap().unwrap().path().join("entry.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, text.replace("\"complete\"", "\"incomplete\"")).unwrap();
    tree.run(&["undo"]).ok();
    assert!(!tree.exists(KEY));
}

/// What people are told to do, done as root by the letter while the account lies in wait, reaches nothing of root's.
#[test]
fn advice_that_is_followed_as_root_leads_nowhere() {
    let Some(host) = Host::or_skip().filter(|_| have(&["sudo", "ssh-keygen", "su"])) else { return };
    let home = "/home/gitlab-runner";
    let host = host
        .account("gitlab-runner", ACCOUNT, home)
        .file_mode("/root/.gitconfig", "[user]\n", 0o600)
        .file_mode("/root/.ssh/id_rsa", "root's own", 0o600)
        .dir("/root/drop.d", 0o755)
        .start();
    let account = |script: &str| {
        host.as_account("gitlab-runner", &format!("cd {home}; {script}")).ok();
    };
    // The command in what a person is told after these words.
    let advice = |arguments: &[&str], before: &str, trap: &str| {
        let said = host.prep(&[arguments, &["--json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let told: Vec<String> = report["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["repair"].as_str().unwrap().to_owned())
            .collect();
        let line = told.iter().flat_map(|it| it.lines()).find_map(|line| line.split_once(before));
        let command = line.unwrap_or_else(|| panic!("{before}: {told:?}")).1.to_owned();
        account(trap);
        let done = host.sh(&command);
        let untouched = "test \"$(cat /root/.gitconfig)\" = '[user]' && test \"$(cat /root/.ssh/id_rsa)\" = \"root's own\"
            test -z \"$(ls /root/drop.d)\" && test $(stat -c %a%u /root/.ssh/id_rsa) = 6000 && test $(stat -c %u /root/.gitconfig) = 0";
        let after = host.sh(untouched);
        assert!(after.status == 0, "{command}\n{done}\n{after}");
        done
    };
    let git: &[&str] = &["apply", "--profile", "shell", "--only", "git"];
    let keys: &[&str] = &["apply", "--profile", "shell", "--only", "ssh_key"];

    host.prep(git).ok();
    account("printf '[core]\\npager = evil\\n' >>.gitconfig");
    advice(&["undo"], "move it away: ", "").ok();
    host.prep(&["undo"]).ok();
    account("rm -f .gitconfig*; printf '[core]\\npager = evil\\n' >.gitconfig");
    host.prep(git).ok();
    account("echo '#' >>.gitconfig");
    advice(&["undo"], "put it back by hand: ", "").ok();
    host.prep(&["undo"]).ok();
    host.prep(git).ok();
    account("echo '#' >>.gitconfig");
    advice(&["undo"], "put it back by hand: ", "rm .gitconfig; ln -s /root/drop.d .gitconfig");

    account("mkdir -m 0700 .ssh; echo evil >.ssh/id_rsa; ln -s /root/.ssh .ssh/id_rsa.old");
    advice(keys, "move it away: ", "").ok();
    account("echo evil >.ssh/id_rsa");
    advice(keys, "move it away: ", "mv .ssh real; ln -s /root/.ssh .ssh");
    account(
        "rm .ssh; mv real .ssh; rm .ssh/*; ssh-keygen -q -N '' -t ed25519 -f .ssh/id_ed25519; chmod 0644 .ssh/id_ed25519",
    );
    host.prep(keys).ok();
    advice(&["undo"], "if it must have it: ", "rm .ssh/id_ed25519; ln -s /root/.ssh/id_rsa .ssh/id_ed25519");
}
