//! `key --rotate`: a new key in the place of the old one, which is kept, and the way back as the report gives it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test makes the account's files itself")]

mod support;

use support::{Host, Run, Tree, fixture, have, is_root};

const HOME: &str = "home/gitlab-runner";
const KEY: &str = "home/gitlab-runner/.ssh/id_ed25519";
const SSH: &str = "/home/gitlab-runner/.ssh";
const CONFIG: &str = "/home/gitlab-runner/.ssh/config";

fn tree() -> Tree {
    Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner")
}

/// A tree whose account has a key.
fn with_key(profile: &str) -> Tree {
    let tree = tree().file("/etc/runner-prep/profiles/mine.toml", format!("summary = \"x\"\n{profile}"));
    tree.run(&["apply", "--profile", "mine", "--quiet"]).ok();
    tree
}

/// The names in the account's directory of keys.
fn names(tree: &Tree) -> Vec<String> {
    let mut names: Vec<String> = tree
        .listing()
        .iter()
        .filter_map(|line| Some(line.split_once(".ssh/")?.1.split(' ').next()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn repair(run: &Run) -> String {
    let document = run.json();
    let notes = document["warnings"].as_array().into_iter().flatten();
    let mut repairs = notes.filter(|note| note["code"] == "ssh-key-rotated").map(|note| &note["repair"]);
    repairs.next().and_then(|repair| repair.as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_new_key_of_the_same_type_takes_its_place_and_the_old_one_is_kept() {
    let profiles = [
        ("[ssh_key]\ncomment = \"a \\\"b\\\" c\"\n", "ssh-ed25519 ", "id_ed25519"),
        ("[ssh_key]\ntype = \"rsa\"\nbits = 2048\n", "ssh-rsa ", "id_rsa"),
    ];
    for (profile, kind, name) in profiles {
        if kind == "ssh-rsa " && !have(&["ssh-keygen"]) {
            return;
        }
        let tree = with_key(profile);
        // Of an RSA key the private file shows the public part, too, so that nothing may print the line here.
        let line = || tree.text(&format!("{HOME}/.ssh/{name}.pub"));
        let old = line();
        let private = tree.text(&format!("{HOME}/.ssh/{name}"));
        if kind == "ssh-rsa " {
            tree.run(&["key", "--rotate", "--quiet"]).ok();
        } else {
            let run = tree.run(&["key", "--rotate"]);
            run.ok().says("4 changes made").says("not removed: GitLab lets it in").says_not("PRIVATE KEY");
        }
        let new = line();
        assert!(new.starts_with(kind) && new != old, "{new}");
        let comment = |line: &str| line.splitn(3, ' ').nth(2).map(str::to_owned);
        assert_eq!(comment(&new), comment(&old));
        let aside = names(&tree).into_iter().find(|found| found.starts_with(&format!("{name}.rotated-")));
        let aside = aside.unwrap_or_default();
        assert_eq!(tree.text(&format!("{HOME}/.ssh/{aside}")), private, "{profile}");
        assert_eq!(tree.text(&format!("{HOME}/.ssh/{aside}.pub")), old, "{profile}");
        // Neither is taken for another key of the account's.
        tree.run(&["check", "--profile", "mine", "--quiet"]).ok();
        // Another one, at once.
        tree.run(&["key", "--rotate", "--quiet"]).ok();
        assert_eq!(names(&tree).len(), 6, "{:?}", names(&tree));
        assert_ne!(line(), new);
        tree.run(&["check", "--profile", "mine", "--quiet"]).ok();
    }
}

#[test]
fn where_no_new_key_can_be_made_nothing_has_changed() {
    let before = |tree: &Tree| tree.listing();
    // Nothing to rotate.
    let none = tree();
    let was = before(&none);
    none.run(&["key", "--rotate"]).exit(2).says("no SSH key that jobs can use");
    support::assert_unchanged(&was, &before(&none));
    // ssh tries another name, and would not use the new key.
    let named = with_key("[ssh_key]\n");
    for end in ["", ".pub"] {
        let (from, to) = (format!("{KEY}{end}"), format!("{HOME}/.ssh/deploy{end}"));
        std::fs::rename(named.path(&from), named.path(&to)).unwrap();
    }
    named.put(&format!("{HOME}/.ssh/config"), "IdentityFile ~/.ssh/deploy\n");
    if is_root() {
        std::os::unix::fs::chown(named.path(&format!("{HOME}/.ssh/config")), Some(998), Some(998)).unwrap();
    }
    let old = named.run(&["key"]).ok().stdout.clone();
    named.run(&["key", "--rotate"]).exit(2).says("a new key would not be used").says("the old one is back");
    assert_eq!(names(&named), ["config", "deploy", "deploy.pub"]);
    assert_eq!(named.run(&["key"]).ok().stdout, old);
    named.run(&["key", "--rotate", "--fingerprint"]).exit(2).says("--fingerprint");
}

#[test]
fn the_way_back_works_as_it_is_printed() {
    if !have(&["sudo", "ssh-keygen"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    let old = host.prep(&["key"]).ok().stdout.clone();
    host.as_account("gitlab-runner", "/opt/under-test/runner-prep key --rotate").exit(2).says("must be root");
    let run = host.prep(&["key", "--rotate", "--json"]);
    let repair = repair(run.ok());
    host.as_account("gitlab-runner", "ssh-keygen -y -P '' -f ~/.ssh/id_ed25519").ok().says_not("incorrect");
    let way = repair.split_once("The way back: ").map(|(_, way)| way.to_owned()).unwrap_or_default();
    host.sh(&way).ok();
    assert_eq!(host.prep(&["key"]).ok().stdout, old, "{repair}");
    host.prep(&["check", "--profile", "shell", "--only", "ssh_key"]).ok();
    // Two rotations: undo says of each which pair it replaced.
    host.prep(&["key", "--rotate", "--quiet"]).ok();
    let second = host.prep(&["key"]).ok().stdout.clone();
    host.prep(&["key", "--rotate", "--quiet"]).ok();
    for before in [second, old] {
        let run = host.prep(&["undo", "--json"]);
        let document = run.ok().json();
        let repair = document["warnings"][0]["repair"].as_str().unwrap_or_default().to_owned();
        let way = repair.split_once("its name back: ").unwrap_or_default().1;
        host.sh(way).ok();
        host.prep(&["check", "--profile", "shell", "--only", "ssh_key"]).ok();
        assert_eq!(host.prep(&["key"]).ok().stdout, before, "{repair}");
    }
    // The key of an apply replaced none.
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    host.prep(&["undo"]).ok().says("Deploy keys").says_not("its name back");
}

#[test]
fn a_rotation_after_which_something_waits_ends_with_3() {
    if !have(&["sudo", "ssh"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    host.prep(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    host.sh(&format!("echo 'PubkeyAuthentication no' >{CONFIG}; chown gitlab-runner: {CONFIG}")).ok();
    let run = host.prep(&["key", "--rotate", "--json"]);
    assert_eq!(run.exit(3).json()["pending"][0]["code"], "ssh-key-unused", "{run}");
}

#[test]
fn the_key_that_a_configuration_names_is_made() {
    if !have(&["sudo", "ssh", "ssh-keygen"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    let profile = |kind: &str| {
        format!("mkdir -p /etc/runner-prep/profiles; echo '{kind}' >/etc/runner-prep/profiles/mine.toml")
    };
    let afresh = |config: &str, kind: &str| {
        let text =
            format!("rm -rf {SSH}; install -d -m 0700 -o 998 -g 998 {SSH}; printf '{config}' >{CONFIG}");
        host.sh(&format!("{text}; chown gitlab-runner: {CONFIG}; {}", profile(kind))).ok();
    };
    let (ed25519, rsa) = ("[ssh_key]", "[ssh_key]\ntype = \"rsa\"\nbits = 2048");
    // Of an RSA key the private file shows the public part, too, so that nothing may print the line here.
    // Whether jobs have it is ssh's to say: it offers a file that is there.
    let is_offered = |name: &str| {
        let asked =
            format!("ssh -G git@gitlab.com | grep -qx 'identityfile ~/.ssh/{name}' && test -s ~/.ssh/{name}");
        host.as_account("gitlab-runner", &asked).ok();
    };
    for (config, kind, name) in [
        ("IdentityFile ~/.ssh/id_ed25519\\n", ed25519, "id_ed25519"),
        ("Host gitlab.com\\n  IdentityFile ~/.ssh/id_ed25519\\n", ed25519, "id_ed25519"),
        ("IdentityFile ~/.ssh/id_rsa\\n", rsa, "id_rsa"),
    ] {
        afresh(config, kind);
        host.prep(&["apply", "--profile", "mine", "--quiet"]).ok();
        is_offered(name);
        host.prep(&["key", "--fingerprint"]).ok();
        host.prep(&["key", "--rotate", "--quiet"]).ok();
        is_offered(name);
        host.prep(&["check", "--profile", "mine"]).ok();
    }
    // Where it would not be tried, the repair is enough.
    for (config, kind, name) in [
        ("IdentityFile ~/.ssh/id_rsa\\n", ed25519, "id_ed25519"),
        ("Host gitlab.com\\n  IdentityFile ~/.ssh/id_ed25519\\n", rsa, "id_rsa"),
        ("IdentityFile /nowhere\\n", ed25519, "id_ed25519"),
    ] {
        afresh(config, kind);
        let run = host.prep(&["apply", "--profile", "mine", "--json"]);
        let waits = run.exit(3).json()["pending"][0].clone();
        assert_eq!(waits["code"], "ssh-key-not-tried", "{run}");
        host.sh(waits["repair"].as_str().unwrap_or_default()).ok();
        host.prep(&["apply", "--profile", "mine", "--quiet"]).ok();
        is_offered(name);
    }
    // A key that is there and not tried gets no second one beside it.
    afresh("IdentityFile ~/.ssh/id_ed25519\\n", ed25519);
    host.as_account("gitlab-runner", "ssh-keygen -q -t rsa -b 2048 -N '' -f ~/.ssh/id_rsa").ok();
    let run = host.prep(&["apply", "--profile", "mine", "--json"]);
    let waits = run.exit(3).json()["pending"][0].clone();
    assert_eq!(waits["code"], "ssh-key-name", "{run}");
    host.sh(waits["repair"].as_str().unwrap_or_default()).ok();
    host.prep(&["apply", "--profile", "mine", "--quiet"]).ok();
    is_offered("id_rsa");
}

#[test]
fn a_key_that_servers_refuse_waits_and_is_not_to_be_registered() {
    if !have(&["sudo", "ssh-keygen"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.account("gitlab-runner", 998, "/home/gitlab-runner").start();
    let short = format!("ssh-keygen -q -t rsa -b 1024 -N '' -f {SSH}/id_rsa");
    // ssh-keygen of today makes none.
    let old = format!(
        "cat >{SSH}/id_rsa <<'END'\n{}END\nchmod 0600 {SSH}/id_rsa",
        String::from_utf8_lossy(&fixture("dsa-key"))
    );
    let rsa = "[ssh_key]\ntype = \"rsa\"\nbits = 2048";
    for (profile, weak) in [("[ssh_key]", &short), (rsa, &short), ("[ssh_key]", &old)] {
        let weak = format!("rm -rf {SSH}; mkdir -m 0700 {SSH}; {weak}");
        host.sh(&format!("{weak}\nchown -R gitlab-runner: {SSH}")).ok();
        host.sh(&format!(
            "mkdir -p /etc/runner-prep/profiles; echo '{profile}' >/etc/runner-prep/profiles/mine.toml"
        ))
        .ok();
        let mut said = Vec::new();
        for command in ["plan", "apply", "check"] {
            let run = host.prep(&[command, "--profile", "mine", "--json"]);
            let document = run.json();
            assert!(document["public_key"].is_null(), "{run}");
            assert_eq!(document["pending"][0]["code"], "ssh-key-weak", "{run}");
            assert!(command == "plan" || run.status == 3, "{run}");
            said.push(document["pending"][0].clone());
        }
        let doctor = host.prep(&["doctor", "--profile", "mine", "--json"]).json();
        let found = doctor["findings"].as_array().unwrap();
        let found: Vec<_> = found.iter().filter(|finding| finding["code"] == "ssh-key-weak").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["message"], said[0]["message"]);
        // The public half of a DSA key has whole lines of the private file, and no secret of it.
        if !weak.contains(&old) {
            host.prep(&["key"]).ok().says("which servers refuse");
        }
        host.sh(said[1]["repair"].as_str().and_then(|repair| repair.split_once(": ")).unwrap_or_default().1)
            .ok();
        host.prep(&["check", "--profile", "mine"]).ok();
        // The other way.
        host.sh(&format!("{weak}\nchown -R gitlab-runner: {SSH}")).ok();
        host.prep(&["key", "--rotate", "--quiet"]).ok();
        host.prep(&["check", "--profile", "mine"]).ok();
        // Beside one that servers take it does no harm, and is not the one to be registered.
        let good = format!("ssh-keygen -q -t ed25519 -N '' -f {SSH}/id_ed25519");
        host.sh(&format!("{weak}\n{good}; chown -R gitlab-runner: {SSH}")).ok();
        host.prep(&["check", "--profile", "mine"]).ok();
        host.prep(&["key"]).ok().says("ssh-ed25519 ");
        let doctor = host.prep(&["doctor", "--profile", "mine", "--json"]).json();
        let found = doctor["findings"].as_array().unwrap();
        let found = found.iter().find(|finding| finding["code"] == "ssh-key-weak").unwrap();
        assert_eq!(found["status"], "ok", "{found}");
    }
}

#[test]
fn the_way_to_a_key_names_the_account_that_was_asked_for() {
    let tree = tree().account("deploy", 997, "/home/deploy");
    tree.run(&["key", "--user", "deploy"]).exit(2).says("--only account,ssh_key --user deploy");
    tree.run(&["key"]).exit(2).says("--only account,ssh_key").says_not("--user");
}

/// As it comes out of a mail, of a file of YAML, or from Windows: ssh reads none of it, and a command makes it right.
#[test]
fn a_key_that_was_pasted_gets_the_form_that_ssh_wants() {
    if !have(&["sudo", "visudo", "useradd", "ssh-keygen", "rsync"]) {
        return;
    }
    let Some(host) = Host::or_skip() else { return };
    let host = host.start();
    host.prep(&["apply", "--profile", "shell"]).ok();
    host.sh("cp -a /home/gitlab-runner/.ssh /root/dot-ssh").ok();
    let reads = "su -s /bin/sh gitlab-runner -c 'ssh-keygen -y -P \"\" -f ~/.ssh/id_ed25519'";
    let public = host.sh(reads).ok().stdout.clone();
    let mut unread = 0;
    for damage in [
        "sed -i '1i here is the key:\\n' $key",
        "sed -i 's/^/    /' $key",
        "sed -i '1i \\ \\ ssh_private_key: |' $key; sed -i 's/^/  /' $key",
        "sed -i 's/$/\\r/' $key",
        "truncate -s -1 $key",
    ] {
        host.sh("rm -rf /home/gitlab-runner/.ssh; cp -a /root/dot-ssh /home/gitlab-runner/.ssh").ok();
        host.sh(&format!(
            "key=/home/gitlab-runner/.ssh/id_ed25519; {damage}; chown gitlab-runner: $key; chmod 0600 $key"
        ))
        .ok();
        if host.sh(reads).status == 0 {
            // This ssh reads it.
            continue;
        }
        unread += 1;
        let run = host.prep(&["apply", "--json", "--profile", "shell"]);
        let said = run.exit(2).json()["warnings"][0].clone();
        assert_eq!(said["code"], "ssh-key-unreadable", "{damage}: {run}");
        let (_, command) = said["repair"].as_str().unwrap().split_once(": ").unwrap();
        host.sh(command).ok();
        assert_eq!(host.sh(reads).ok().stdout, public, "{damage}");
        host.prep(&["check", "--profile", "shell"]).ok();
    }
    assert!(unread >= 3, "this ssh reads all but {unread}");
    // Of what is whole, and ssh does not know, no other form is told.
    host.sh("printf '%s\\n' '-----BEGIN PRIVATE KEY-----' MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC \\
         '-----END PRIVATE KEY-----' >/home/gitlab-runner/.ssh/id_ed25519")
        .ok();
    if host.sh(reads).status != 0 {
        let run = host.prep(&["apply", "--profile", "shell"]);
        run.exit(2).says("is not an SSH private key").says("mv -T").says_not("sed ");
    }
}

/// ssh offers what root left beside the account's key. Neither is moved then.
#[test]
fn a_key_of_roots_is_not_moved_aside() {
    let Some(host) = Host::or_skip() else { return };
    if !have(&["ssh", "ssh-keygen"]) {
        return;
    }
    let host = host.start();
    host.prep(&["apply", "--profile", "shell", "--only", "account,ssh_key"]).ok();
    host.sh(
        "ssh-keygen -q -t ecdsa -N '' -f /root/k; install -m 0644 /root/k /home/gitlab-runner/.ssh/id_ecdsa",
    )
    .ok();
    let list = || host.sh("ls -la /home/gitlab-runner/.ssh").stdout;
    let before = list();
    host.prep(&["key", "--rotate"])
        .exit(2)
        .says("id_ecdsa can't be used by gitlab-runner: it belongs to uid 0");
    assert_eq!(list(), before);
}
