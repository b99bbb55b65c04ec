//! What is in the home is exchanged for links to root's things.

use std::fs::{File, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Instant;

use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::{Gid, Uid};

use super::attacker::Attack;
use super::support::{Tree, assert_unchanged, program, stamps};
use super::{ACCOUNT, Figures, root_key, rounds, scene, turn};

/// Let the program work under attack; after each round root's things must be what they were.
fn attack(tree: &Tree, victim: &Path, swap: (&str, &str), made: &str, rounds: u32) -> Figures {
    let usual = ["apply", "--profile", "shell", "--only", "ssh_key,git"];
    attack_on(tree, victim, swap, (made, ""), &usual, rounds)
}

/// The same with other arguments, and a text that is put back where the program mended it. With such a
/// text it goes on until one round came to its end: a program that always refuses would never be touched.
fn attack_on(
    tree: &Tree,
    victim: &Path,
    swap: (&str, &str),
    (made, again): (&str, &str),
    arguments: &[&str],
    rounds: u32,
) -> Figures {
    let attack = Attack::start(&tree.path(swap.0), &tree.path(swap.1), &tree.path(made), again);
    let before = stamps(victim);
    let mut figures = Figures::default();
    let most = if again.is_empty() { rounds } else { rounds * 20 };
    while figures.rounds < rounds || (figures.done == 0 && figures.rounds < most) {
        let ended = tree.command(arguments).output().unwrap();
        figures.count(ended.status.code().unwrap_or(-1), &String::from_utf8_lossy(&ended.stderr));
        figures.touched += u32::from(stamps(victim) != before);
    }
    attack.end();
    assert_unchanged(&before, &stamps(victim));
    figures
}

#[test]
fn a_directory_exchanged_for_a_link_leads_nowhere() {
    let Some(_turn) = turn() else { return };
    let began = Instant::now();
    let mut all = Figures::default();
    for with_key in [false, true] {
        let (tree, victim) = scene();
        if with_key {
            root_key(&victim.join("id_ed25519"));
            set_permissions(victim.join("id_ed25519"), PermissionsExt::from_mode(0o644)).unwrap();
        }
        symlink(&victim, tree.path("home/gitlab-runner/lnk")).unwrap();
        chown_link(&tree.path("home/gitlab-runner/lnk"));
        // The link does not lead out of the tree for the program, so that its own way to the place is tried, too.
        let inside = tree.path("home/gitlab-runner/inside");
        symlink("/victim", &inside).unwrap();
        let swap = |link: &'static str| ("home/gitlab-runner/.ssh", link);
        for link in ["home/gitlab-runner/lnk", "home/gitlab-runner/inside"] {
            let real = "home/gitlab-runner/.ssh";
            let found = attack(&tree, &victim, swap(link), real, rounds(500));
            put_back(&tree, link);
            all.rounds += found.rounds;
            all.done += found.done;
            all.refused += found.refused;
            all.half_way += found.half_way;
            all.touched += found.touched;
        }
    }
    println!("~/.ssh exchanged: {all:?}, {:.1} s", began.elapsed().as_secs_f64());
    println!("touched: {}", all.touched);
    assert_eq!(all.touched, 0);
    // It has to have come between the steps, or nothing was tried.
    assert!(all.half_way > 0, "the attacker never met the program: {all:?}");
}

#[test]
fn a_file_exchanged_for_a_link_leads_nowhere() {
    let Some(_turn) = turn() else { return };
    let began = Instant::now();
    let (tree, victim) = scene();
    root_key(&victim.join("id_ed25519"));
    let key = tree.path("home/gitlab-runner/.ssh/id_ed25519");
    root_key(&key);
    chown(&key, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    chown(key.with_extension("pub"), Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    symlink(victim.join("id_ed25519"), tree.path("home/gitlab-runner/.ssh/lnk")).unwrap();
    let swap = ("home/gitlab-runner/.ssh/id_ed25519", "home/gitlab-runner/.ssh/lnk");
    let keys = attack(&tree, &victim, swap, "home/gitlab-runner/.ssh", rounds(300));

    let (tree, victim) = scene();
    let tree = tree.file("home/gitlab-runner/.gitconfig", "[core]\n\tbare = false\n");
    let tree = tree.own("home/gitlab-runner/.gitconfig", ACCOUNT);
    std::fs::write(victim.join("gitconfig"), "[core]\n").unwrap();
    symlink(victim.join("gitconfig"), tree.path("home/gitlab-runner/lnk")).unwrap();
    let swap = ("home/gitlab-runner/.gitconfig", "home/gitlab-runner/lnk");
    let git = attack(&tree, &victim, swap, "home/gitlab-runner/.ssh", rounds(200));

    let profile = "[account]\n[known_hosts]\nhosts = [\"gitlab.com\"]\nfile = \"account\"\n";
    let mut others = Vec::new();
    for (name, text) in [(".ssh/known_hosts", "# none\n"), (".bash_logout", "clear\n")] {
        let (tree, victim) = scene();
        let path = format!("home/gitlab-runner/{name}");
        let tree = tree.file("profile.toml", profile).file(&path, text).own(&path, ACCOUNT);
        // The account may read it, so that its text is no reason to refuse; it is root's to write.
        std::fs::write(victim.join("file"), text).unwrap();
        symlink(victim.join("file"), tree.path("home/gitlab-runner/.ssh/lnk")).unwrap();
        let profile = tree.path("profile.toml");
        let arguments = ["apply", "--profile", profile.to_str().unwrap()];
        let swap = (&*path, "home/gitlab-runner/.ssh/lnk");
        let found =
            attack_on(&tree, &victim, swap, ("home/gitlab-runner/.ssh", text), &arguments, rounds(100));
        println!("~/{name}: {found:?}");
        others.push(found);
    }
    assert!(others.iter().all(|found| found.touched == 0 && found.done > 0), "{others:?}");

    println!("a key: {keys:?}, ~/.gitconfig: {git:?}, {:.1} s", began.elapsed().as_secs_f64());
    println!("touched: {}", keys.touched + git.touched);
    assert_eq!(keys.touched + git.touched, 0);
}

/// That the attack is one: what programs usually do falls to it.
#[test]
fn the_attack_works_against_the_usual_way() {
    let Some(_turn) = turn() else { return };
    let (tree, victim) = scene();
    symlink(&victim, tree.path("home/gitlab-runner/lnk")).unwrap();
    let ssh = tree.path("home/gitlab-runner/.ssh");
    let link = tree.path("home/gitlab-runner/lnk");
    let _attack = Attack::start(&ssh, &link, &ssh, "");
    let before = stamps(&victim);
    let began = Instant::now();
    for round in 1.. {
        // Is it a directory of the account's? Then go ahead, by name.
        if std::fs::symlink_metadata(&ssh).is_ok_and(|meta| meta.is_dir()) {
            std::fs::write(ssh.join("id_ed25519"), "a key").ok();
            chown(ssh.join("id_ed25519"), Some(ACCOUNT), Some(ACCOUNT)).ok();
        }
        if stamps(&victim) != before {
            println!("the usual way: touched in round {round}");
            return;
        }
        assert!(began.elapsed().as_secs() < 60, "the attacker is too weak: {round} rounds");
    }
}

/// After an attack either name may have the directory.
fn put_back(tree: &Tree, link: &str) {
    let (ssh, link) = (tree.path("home/gitlab-runner/.ssh"), tree.path(link));
    if ssh.is_symlink() {
        renameat2(AT_FDCWD, &ssh, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).unwrap();
    }
    File::open(&ssh).unwrap();
    assert!(program().exists());
}

fn chown_link(path: &Path) {
    nix::unistd::fchownat(
        AT_FDCWD,
        path,
        Some(Uid::from_raw(ACCOUNT)),
        Some(Gid::from_raw(ACCOUNT)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
}
