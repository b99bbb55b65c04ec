//! The Dockerfile of README.md, built by the real Docker on a tree of Debian.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::engine::{Engine, LIMIT};
use crate::support::{PATH, made, program, readme_block, run_within, skip, source};

/// Debian's apt-get, where there is no network: what it should install is in the tree.
const APT_GET: &str = "#!/bin/sh\necho \"$*\" >>/var/log/apt-get\n";

#[test]
fn the_dockerfile_of_readme_builds_an_image_whose_hosts_get_keys_of_their_own() {
    let tree = made("image");
    if !tree.join("usr/bin/sudo").is_file() {
        return skip("no tree of Debian in target/image: tests/run.sh makes it");
    }
    let Some(engine) = Engine::without_images_or_skip() else { return };
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8], mode: u32| {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    file("above/usr/local/bin/apt-get", APT_GET.as_bytes(), 0o755);
    let import = format!(
        "tar -c -C '{}' . -C '{}' usr/local/bin/apt-get | docker -H {} import - debian:12",
        tree.display(),
        place.path().join("above").display(),
        engine.socket()
    );
    run_within(LIMIT, Command::new("/bin/sh").args(["-euc", &import]).env("PATH", PATH)).ok();

    file("context/Dockerfile", readme_block("Dockerfile").as_bytes(), 0o644);
    file("context/install.sh", &fs::read(source().join("install.sh")).unwrap(), 0o755);
    file("context/runner-prep", &fs::read(program()).unwrap(), 0o755);
    let context = place.path().join("context").display().to_string();
    let built = engine.try_docker(&["build", "-t", "host", &context]);
    built.ok().says("gitlab-runner").says("shell: 3 changes made");

    let run =
        |script: &str| engine.try_docker(&["run", "--rm", "--network", "none", "host", "sh", "-euc", script]);
    run("cat /var/log/apt-get").ok().says("install -y");
    // Nothing that all hosts would share, nothing left over.
    run("! find /home /root -name 'id_*' | grep .; ! ls -A /tmp | grep .; visudo -c").ok();
    // gitlab-runner is not in this image, and waits.
    let started = "runner-prep apply --profile shell --allow-pending >/dev/null
        runner-prep check --profile shell --allow-pending >/dev/null
        su --login gitlab-runner -c 'sudo -n rsync --version >/dev/null; test -r .ssh/id_ed25519'
        runner-prep key --fingerprint";
    let (one, other) = (run(started), run(started));
    assert!(one.ok().stdout.starts_with("SHA256:"), "{one}");
    assert_ne!(one.stdout, other.ok().stdout, "two hosts have the same key");
}
