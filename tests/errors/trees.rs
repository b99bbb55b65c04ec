//! What the program says on a tree.

use std::process::Command;

use super::said::{Said, of_json};
use super::{Case, Entry, case};
use crate::patients::{Fault, infect, tree};
use crate::support::{Run, Tree, fixture, have, is_root, program, run_limited, skip};

const CONFIG: &str = "etc/gitlab-runner/config.toml";
const HOME: &str = "home/gitlab-runner";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";
const STATE: &str = "var/lib/runner-prep";
const MINE: &str = "etc/runner-prep/profiles/mine.toml";

pub(super) const CASES: &[Case] = &[
    case("usage", "a command that there is not", || on(&host(), &["aply"])),
    case("usage", "an option that there is not", || on(&host(), &["plan", "--profil", "dind"])),
    case("profile-unknown", "a profile that there is not", || on(&host(), &["plan", "--profile", "dnid"])),
    case("profile-unknown", "a path where no profile is", || on(&host(), &["plan", "--profile", "./x.toml"])),
    case("profile-invalid", "a key that there is not", || with("[git]\nemial = \"x\"\n")),
    case("profile-invalid", "a section that there is not", || with("[sudoer]\n")),
    case("profile-invalid", "a line of the head at the end", || {
        with("[git]\nname = \"x\"\nreplaces = [\"git.name\"]\n")
    }),
    case("profile-invalid", "another type", || with("[config.docker]\nprivileged = \"yes\"\n")),
    case("profile-invalid", "no TOML", || with("[git\n")),
    case("profile-invalid", "a command that no rule may hold", || {
        with("[sudoers]\ncommands = [\"/usr/bin/rsync,/bin/sh\"]\n")
    }),
    case("profile-invalid", "a proxy with a password", || {
        with("[service]\nhttp_proxy = \"http://a:b@c:1\"\n")
    }),
    case("profile-invalid", "a secret of config.toml", || with("[config.cache.s3]\nSecretKey = \"x\"\n")),
    case("profile-invalid", "a key that is no runner's", || with("[config]\nconcurrent = 4\n")),
    case("ca-file", "a certificate that was cut off", || {
        let pem = String::from_utf8(fixture("authority.pem")).unwrap();
        let tree = host().file(MINE, "[ca]\nfile = \"/root/ca.pem\"\n").file("root/ca.pem", &pem[..200]);
        on(&tree, &["plan", "--profile", "mine"])
    }),
    case("ca-file", "no certificate", || {
        let tree = host().file(MINE, "[ca]\nfile = \"/root/ca.pem\"\n").file("root/ca.pem", "x\n");
        on(&tree, &["plan", "--profile", "mine"])
    }),
    case("profile-contradiction", "two profiles that want different things", || {
        with("extends = [\"dind\"]\n[config.docker]\nprivileged = false\n")
    }),
    case("profile-invalid", "two profiles, of whose values only one can be", || {
        on(&host(), &["plan", "--profile", "dind,dind-no-tls"])
    }),
    case("profile-untrusted", "a profile that others can write", || {
        if !is_root() {
            return skipped("only root has to distrust others");
        }
        on(&host().file_mode(MINE, "summary = \"x\"\n[git]\n", 0o666), &["plan", "--profile", "mine"])
    }),
    case("file-untrusted", "host keys in a file that others can write", || {
        if !is_root() {
            return skipped("only root has to distrust others");
        }
        let text = "[known_hosts]\nhosts = [{ host = \"git.example\", file = \"/etc/keys\" }]\n";
        let tree = host().file(MINE, text).file_mode("etc/keys", "", 0o666);
        on(&tree, &["plan", "--profile", "mine"])
    }),
    case("config-untrusted", "config.toml in a directory that others can write", || {
        on(&host().dir("etc/gitlab-runner", 0o777), &["plan", "--profile", "dind"])
    }),
    case("accounts-kind", "a database of a tree that is a link", || {
        let tree = Tree::new();
        tree.remove("etc/gshadow");
        std::os::unix::fs::symlink("/etc/gshadow", tree.path("etc/gshadow")).unwrap();
        on(&tree, &["apply", "--profile", "shell", "--only", "account"])
    }),
    case("root-untrusted", "a tree that others can write", || {
        if !is_root() {
            return skipped("only root has to distrust others");
        }
        on(&host().dir("", 0o777), &["plan", "--profile", "dind"])
    }),
    case("kind-unknown", "a kind of resource that there is not", || {
        on(&host(), &["plan", "--profile", "dind", "--only", "sudoer"])
    }),
    case("nothing-chosen", "--skip of all that there is", || {
        on(
            &host().file(MINE, "summary = \"x\"\n[git]\nname = \"x\"\n"),
            &["plan", "--profile", "mine", "--skip", "git"],
        )
    }),
    case("root-unusable", "a tree that is not there", || {
        let words = ["plan", "--profile", "dind", "--json", "--root", "/nowhere"];
        Some(of_json(&run_limited(Command::new(program()).args(words)), &[]))
    }),
    case("profile-empty", "a profile without a section", || {
        on(&host().file(MINE, "summary = \"x\"\n"), &["check", "--profile", "mine"])
    }),
    case("profile-empty", "an empty file that hides a built-in profile", || {
        let path = "etc/runner-prep/profiles/shell.toml";
        on(&host().file(path, "# nothing yet\n"), &["check", "--profile", "shell"])
    }),
    case("sudo-missing", "sudo without its policy", || {
        let tree = host().file_mode("usr/bin/sudo", "", 0o4755);
        tree.remove("etc/sudoers");
        on(&tree, &["plan", "--profile", "dind"])
    }),
    case("no-template", "a template without values", || on(&host(), &["template", "--profile", "shell"])),
    case("no-key", "a key that there is not", || on(&host(), &["key"])),
    case("ssh-key-rotated", "a key that is moved aside for a new one", || {
        let tree = host();
        tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
        on(&tree, &["key", "--rotate"])
    }),
    case("key-not-rotated", "a key of another name than ssh tries", || {
        let tree = host();
        tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
        std::fs::rename(tree.path(KEY), tree.path(&format!("{HOME}/.ssh/deploy"))).unwrap();
        tree.remove(&format!("{KEY}.pub"));
        on(&tree.file(&format!("{HOME}/.ssh/config"), "IdentityFile ~/.ssh/deploy\n"), &["key", "--rotate"])
    }),
    case("undo-unknown", "a run that there is not", || on(&host(), &["undo", "--to", "yesterday"])),
    case("account-other", "a slip in the name of the account", || {
        on(&host(), &["plan", "--profile", "shell", "--user", "gitlab-runer"])
    }),
    case("account-number", "an account with the number of nobody at all", || {
        let line = "gitlab-runner:x:4294967295:4294967295::/home/gitlab-runner:/bin/bash\n";
        let tree = Tree::new();
        tree.put("etc/passwd", tree.text("etc/passwd") + line);
        on(&tree, &["plan", "--profile", "shell"])
    }),
    case("group-alone", "a group of the account's name alone", || {
        let tree = Tree::new();
        tree.put("etc/group", tree.text("etc/group") + "gitlab-runner:x:998:\n");
        on(&tree, &["plan", "--profile", "shell"])
    }),
    case("account-stays", "undo of an account that was made", || {
        let tree = Tree::new();
        let made = can(&["useradd"]) && applied(&tree, &["--profile", "shell", "--only", "account"]);
        if made { on(&tree, &["undo"]) } else { None }
    }),
    case("membership-stays", "undo of a membership", || {
        let tree = host().file(MINE, "summary = \"x\"\n[account]\ngroups = [\"users\"]\n");
        let made = can(&["usermod"]) && applied(&tree, &["--profile", "mine"]);
        if made { on(&tree, &["undo"]) } else { None }
    }),
    case("account-gone", "undo when the account was deleted", || {
        let tree = host();
        applied(&tree, &["--profile", "shell", "--only", "git"]);
        let text = tree.text("etc/passwd");
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("gitlab-runner:")).collect();
        tree.put("etc/passwd", others.join("\n") + "\n");
        on(&tree, &["undo"])
    }),
    case("ssh-key-aside", "undo of a key that was made", || {
        let tree = host();
        applied(&tree, &["--profile", "shell", "--only", "ssh_key"]);
        on(&tree, &["undo"])
    }),
    case("mode-stays", "undo of a repaired mode", || {
        let tree = tree();
        tree.chmod(KEY, 0o644);
        applied(&tree, &["--profile", "shell", "--only", "ssh_key"]);
        on(&tree, &["undo"])
    }),
    case("runner-gone", "undo when the runner was unregistered", || {
        let tree = host();
        applied(&tree, &["--profile", "dind", "--only", "config"]);
        tree.put(CONFIG, "concurrent = 1\n");
        on(&tree, &["undo"])
    }),
    case("undo-changed-since", "undo of a file that somebody edited", || {
        let tree = host();
        applied(&tree, &["--profile", "shell", "--only", "git"]);
        tree.put(&format!("{HOME}/.gitconfig"), "[user]\n\tname = somebody\n");
        on(&tree, &["undo"])
    }),
    case("undo-changed-since", "undo of a value that somebody changed", || {
        let tree = host();
        applied(&tree, &["--profile", "dind", "--only", "config"]);
        tree.put(CONFIG, tree.text(CONFIG).replace("=/certs\"", "=/other\"").replace("= 1", "= 4"));
        on(&tree, &["undo"])
    }),
    case("undo-changed-since", "undo where config.toml is gone", || {
        let tree = host();
        applied(&tree, &["--profile", "dind", "--only", "config"]);
        tree.remove(CONFIG);
        on(&tree, &["undo"])
    }),
    case("undo-rule-refused", "undo of a sudo rule that sudo never took", || {
        if !have(&["visudo"]) {
            return None;
        }
        let broken = "gitlab-runner ALL=(ALL NOPASSWD: ALL\n";
        let tree = host().file_mode("etc/sudoers.d/gitlab-runner", broken, 0o440);
        applied(&tree, &["--profile", "shell", "--only", "sudoers,git", "--adopt"]);
        on(&tree, &["undo"])
    }),
    case("journal-damaged", "a journal that is cut off", || {
        journal(|text| text[..text.len() / 2].to_owned())
    }),
    case("journal-schema", "a journal of a later version", || {
        journal(|text| text.replacen("\"schema\": 2", "\"schema\": 3", 1))
    }),
    case("interrupted-write", "a look while a write is half done", || {
        let tree = host().dir(STATE, 0o700).file_mode(&format!("{STATE}/in-place-config.toml"), "", 0o600);
        on(&tree, &["plan", "--profile", "dind"])
    }),
    case("interrupted-write", "a repair from what is no copy of ours", || {
        let tree = host().dir(STATE, 0o700).file_mode(&format!("{STATE}/in-place-config.toml"), "", 0o600);
        on(&tree, &["apply", "--profile", "dind"])
    }),
    case("interrupted-write", "a look while an account is half made", || {
        let tree = host().dir(STATE, 0o700).file_mode(&format!("{STATE}/account-gitlab-runner"), "", 0o600);
        on(&tree, &["plan", "--profile", "dind"])
    }),
    case("interrupted-write", "a repair of what was half done", || {
        let tree = host().dir(STATE, 0o700);
        let (old, new) =
            (tree.text(CONFIG), tree.text(CONFIG).replace("privileged = false", "privileged = true"));
        let torn = [&new[..new.len() / 2], &"\0".repeat(new.len() - new.len() / 2)].concat();
        let header = format!("{{\"path\": \"/{CONFIG}\", \"old\": {}, \"new\": {}}}\n", old.len(), new.len());
        let tree = tree.file_mode(&format!("{STATE}/in-place-config.toml"), header + &old + &new, 0o600);
        tree.put(CONFIG, torn);
        on(&tree, &["apply", "--profile", "dind", "--only", "config"])
    }),
    case("conflict", "an update that a killed run has left aside", || {
        let tree =
            host().file_mode("etc/gitlab-runner/.config.toml.runner-prep.1", "concurrent = 2\n", 0o600);
        let (path, text) = (tree.path(CONFIG), tree.read(CONFIG));
        std::thread::sleep(std::time::Duration::from_millis(20));
        // Made later, and written earlier.
        std::fs::remove_file(&path).unwrap();
        let tree = tree.config_toml(text);
        let aside = std::fs::File::options()
            .write(true)
            .open(tree.path("etc/gitlab-runner/.config.toml.runner-prep.1"))
            .unwrap();
        aside.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(1)).unwrap();
        on(&tree, &["apply", "--profile", "dind", "--only", "config"])
    }),
    case("in-use", "another program keeps the file open", || {
        let tree = host();
        let _held = std::fs::File::options().append(true).open(tree.path(CONFIG)).unwrap();
        on(&tree, &["apply", "--profile", "dind", "--only", "config"])
    }),
    case("programs-missing", "a system with nothing but a package manager", || {
        on(&host().file_mode("usr/bin/apt-get", "", 0o755), &["plan", "--profile", "shell"])
    }),
    case("plan-conflict", "one file for two resources", || {
        let path = "etc/ssh/ssh_known_hosts";
        let tree = host().file(path, fixture("config-docker-runner.toml"));
        on(&tree, &["plan", "--profile", "dind", "--config", "/etc/ssh/ssh_known_hosts"])
    }),
    case("directory-untrusted", "a directory that others can write", || {
        on(&host().dir("etc/ssh", 0o777), &["apply", "--profile", "shell", "--only", "known_hosts"])
    }),
    case("immutable", "a file that the kernel keeps as it is", || {
        if !can(&["chattr"]) {
            return None;
        }
        let tree = host().file("etc/ssh/ssh_known_hosts", "");
        let path = tree.path("etc/ssh/ssh_known_hosts");
        let chattr = |flag: &str| {
            let done = Command::new("chattr").arg(flag).arg(&path).status().unwrap();
            assert!(done.success(), "chattr {flag} {}", path.display());
        };
        chattr("+i");
        let run = json(&tree, &["apply", "--profile", "shell", "--only", "known_hosts"]);
        chattr("-i");
        Some(of_json(&run, &[(&tree.top().display().to_string(), "/srv/tree")]))
    }),
    case("left-behind", "the journal can't be told that all was undone", || {
        if !can(&["chattr"]) {
            return None;
        }
        let tree = host();
        applied(&tree, &["--profile", "shell", "--only", "git"]);
        let entry = std::fs::read_dir(tree.path(&format!("{STATE}/journal"))).unwrap().next().unwrap();
        let chattr = |flag: &str| {
            let done = Command::new("chattr").arg(flag).arg(entry.as_ref().unwrap().path()).status().unwrap();
            assert!(done.success(), "chattr {flag}");
        };
        chattr("+i");
        let run = json(&tree, &["undo"]);
        chattr("-i");
        Some(of_json(&run, &[]))
    }),
    case("only-rights", "a rule goes, and the rest can't be done", || {
        if !can(&["visudo", "sudo"]) {
            return None;
        }
        let narrow = "summary = \"x\"\n[git]\nname = \"ci\"\n[sudoers]\n";
        let rule = "# Managed by runner-prep\ngitlab-runner ALL=(ALL) NOPASSWD: /usr/bin/rsync\n";
        let tree = host().file(MINE, narrow).file_mode("etc/sudoers.d/gitlab-runner", rule, 0o440);
        on(&tree.file(&format!("{HOME}/.gitconfig"), "[user\n"), &["apply", "--profile", "mine"])
    }),
    case("foreign-owner", "a key that belongs to somebody else", || {
        if !is_root() {
            return skipped("only root gives files away");
        }
        let tree = host().dir(&format!("{HOME}/.ssh"), 0o700).own(&format!("{HOME}/.ssh"), 998);
        let tree = tree.file_mode(&format!("{HOME}/.ssh/id_rsa"), "x", 0o600);
        on(&tree.own(&format!("{HOME}/.ssh/id_rsa"), 4321), &["plan", "--profile", "shell"])
    }),
    case("file-too-large", "a file that is larger than any of its kind", || {
        let tree = host().file("etc/ssh/ssh_known_hosts", "");
        std::fs::File::options()
            .write(true)
            .open(tree.path("etc/ssh/ssh_known_hosts"))
            .and_then(|file| file.set_len(1 << 30))
            .unwrap();
        on(&tree, &["plan", "--profile", "shell"])
    }),
    case("host-key-missing", "a file that lacks the server", || {
        let profile =
            "summary = \"x\"\n[[known_hosts.hosts]]\nhost = \"git.example.com\"\nfile = \"/etc/ours\"\n";
        on(&host().file(MINE, profile).file("etc/ours", ""), &["plan", "--profile", "mine"])
    }),
    case("root-equivalent-group", "a profile that puts the account into docker", || {
        let tree = host().file(MINE, "summary = \"x\"\n[account]\ngroups = [\"docker\"]\n");
        tree.put("etc/group", tree.text("etc/group") + "docker:x:970:\n");
        on(&tree, &["plan", "--profile", "mine"])
    }),
    case("runner-version-unknown", "values that an old gitlab-runner ignores", || {
        on(&host(), &["plan", "--profile", "dind-hardened"])
    }),
    case("config-key-too-new", "a value that this gitlab-runner ignores", || {
        let profile =
            "summary = \"x\"\n[config]\nexecutors = [\"docker\"]\n[config.docker]\nvolume_keep = true\n";
        let arguments = ["plan", "--profile", "mine", "--runner-version", "16.1.0"];
        on(&host().file(MINE, profile), &arguments)
    }),
    case("config-type", "a value of another type", || {
        let tree = edited("    image =", "    wait_for_services_timeout = \"60\"\n    image =");
        on(&tree, &["plan", "--profile", "dind"])
    }),
    case("executor-unknown", "a misspelt executor", || {
        on(&edited("executor = \"docker\"", "executor = \"dcoker\""), &["plan", "--profile", "dind"])
    }),
    case("config-key-removed", "a value that this gitlab-runner no longer reads", || {
        let profile = "summary = \"x\"\n[config]\nexecutors = [\"docker\"]\npre_clone_script = \"true\"\n";
        let arguments = ["plan", "--profile", "mine", "--runner-version", "17.0.0"];
        on(&host().file(MINE, profile), &arguments)
    }),
];

/// The usual host with another text in its configuration.
fn edited(old: &str, new: &str) -> Tree {
    let text = String::from_utf8(fixture("config-docker-runner.toml")).unwrap();
    assert!(text.contains(old), "{old}");
    host().config_toml(text.replacen(old, new, 1))
}

fn host() -> Tree {
    Tree::new()
        .account("gitlab-runner", 998, "/home/gitlab-runner")
        .config_toml(fixture("config-docker-runner.toml"))
}

/// Skip a case.
fn skipped(reason: &str) -> Option<Vec<Said>> {
    skip(reason);
    None
}

/// Whether root is here with a tool.
fn can(tools: &[&str]) -> bool {
    if !is_root() {
        skip("only root brings it about");
    }
    is_root() && have(tools)
}

fn json(tree: &Tree, arguments: &[&str]) -> Run {
    tree.run(&[arguments, &["--json"]].concat())
}

/// What a command says on a tree.
fn on(tree: &Tree, arguments: &[&str]) -> Option<Vec<Said>> {
    let top = tree.top().display().to_string();
    Some(of_json(&json(tree, arguments), &[(&top, "/srv/tree")]))
}

/// What is said of a profile.
fn with(text: &str) -> Option<Vec<Said>> {
    on(&host().file(MINE, text), &["plan", "--profile", "mine"])
}

fn applied(tree: &Tree, arguments: &[&str]) -> bool {
    tree.run(&[&["apply"], arguments].concat()).ok();
    true
}

/// Undo with a journal that was changed.
fn journal(change: fn(&str) -> String) -> Option<Vec<Said>> {
    let tree = host();
    applied(&tree, &["--profile", "shell", "--only", "git"]);
    let entry = std::fs::read_dir(tree.path(&format!("{STATE}/journal"))).unwrap().next().unwrap().unwrap();
    let path = format!("{STATE}/journal/{}/entry.json", entry.file_name().to_string_lossy());
    tree.put(&path, change(&tree.text(&path)));
    on(&tree, &["undo"])
}

/// What `plan` says of a fault that `doctor` is tried with.
pub(super) fn of_fault(fault: &Fault) -> Option<Entry> {
    let tree = tree();
    infect(&tree, fault);
    let arguments: Vec<&str> = ["plan"].iter().chain(fault.args).copied().collect();
    let said = on(&tree, &arguments)?.into_iter().find(|said| said.code == fault.code)?;
    Some(Entry { code: said.code, name: fault.name.to_owned(), text: said.text, wrong: said.wrong })
}
