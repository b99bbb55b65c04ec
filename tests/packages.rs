//! What a release consists of: `.package/build` makes an archive, a `.deb` and a `.rpm` of the program under test, and
//! each is installed in a Debian tree and removed again.

#![expect(clippy::disallowed_methods, reason = "a test starts the build, and looks at what it made")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has to stop")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::image::{IMAGE, inside, with_image};
use support::{Host, PATH, Run, have, long, made, program, run_within, skip, source};

/// Where the packages lie in the tree.
const PACKAGES: &str = "/srv/packages";

/// Builds all packages of the program under test into a directory. Without its symbols, which no release has.
fn build(out: &Path) -> Run {
    let binary = out.join("runner-prep");
    let mut strip = Command::new("strip");
    run_within(LIMIT, strip.arg("-o").arg(&binary).arg(program())).ok();
    let mut command = Command::new(source().join(".package/build"));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tools = [made("tools/bin"), Path::new(&cargo).parent().unwrap().to_path_buf()];
    let path = tools.map(|dir| dir.display().to_string()).join(":");
    command.arg(out).env("BINARY", &binary).env("PATH", format!("{path}:{PATH}"));
    let run = run_within(LIMIT, &mut command);
    std::fs::remove_file(binary).unwrap();
    run
}

/// The tools are built without optimization, and compress for minutes where much else runs.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(1800);

/// The one file of a kind.
fn package(out: &Path, end: &str) -> PathBuf {
    let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// A tree of Debian with the packages in it, and an account that `apply` is to leave alone later.
fn with_packages(out: &Path) -> Option<Host> {
    let host = with_image(Host::or_skip()?)?;
    let mut command = Command::new("cp");
    run_within(LIMIT, command.args(["-a", "--"]).arg(out).arg(host.path(IMAGE).join("srv/packages"))).ok();
    // The tree leaves manual pages out of what is installed; a machine does not.
    host.sh(&format!("rm -f {IMAGE}/etc/dpkg/dpkg.cfg.d/*")).ok();
    Some(host)
}

#[test]
fn the_packages_of_a_release_are_installed_and_removed() {
    // Two tools that take minutes to build: who releases has them.
    if !long() {
        support::skipped("RUNNER_PREP_LONG=1 builds packages, with cargo-deb and cargo-generate-rpm");
        return;
    }
    let missing: Vec<_> = ["cargo-deb", "cargo-generate-rpm"]
        .into_iter()
        .filter(|tool| !made("tools/bin").join(tool).is_file())
        .collect();
    if !missing.is_empty() {
        skip(&format!("not in {}: {}", made("tools/bin").display(), missing.join(", ")));
        return;
    }
    if !have(&["lintian", "rpm", "dpkg", "sha256sum", "strip", "git"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    build(out).ok();
    let sums = format!("cd {} && sha256sum -c SHA256SUMS && test $(wc -l <SHA256SUMS) = 3", out.display());
    run_within(LIMIT, Command::new("sh").args(["-euc", &sums])).ok();
    let deb = package(out, ".deb");
    let mut lintian = Command::new("lintian");
    run_within(LIMIT, lintian.args(["--allow-root", "--fail-on", "error,warning"]).arg(deb)).ok();

    let Some(host) = with_packages(out) else { return };
    deb_is_installed_and_removed(&host);
    rpm_is_installed_and_removed(&host, out);
    archive_is_installed_and_removed(&host);
}

fn deb_is_installed_and_removed(host: &Host) {
    // The tree has what it depends on; `tests/bare_machine` has apt bring that.
    let script = format!("dpkg -i {PACKAGES}/*.deb");
    inside(host, &script).ok();
    inside(host, "runner-prep --version; runner-prep profile list | grep -q ^dind").ok();
    inside(
        host,
        "test -s /usr/share/man/man1/runner-prep.1.gz; test -s /usr/share/man/man1/runner-prep-apply.1.gz
        test -s /usr/share/bash-completion/completions/runner-prep
        test -e /usr/lib/systemd/system/runner-prep-check@.timer
        ! find /etc/systemd -name '*runner-prep*' | grep .",
    )
    .ok();
    let run = inside(host, "runner-prep apply --profile shell");
    run.exit(3).says("changes made").says("gitlab-runner is missing on this host");
    // The profiles that it ships are documentation: none of an older package hides one of a newer program.
    inside(host, "test -s /usr/share/doc/runner-prep/profiles/dind.toml; ! test -e /etc/runner-prep").ok();
    // What jobs need comes with it.
    let needs = inside(host, "dpkg -s runner-prep | grep ^Depends:");
    for package in ["git", "openssh-client", "passwd", "rsync", "sudo"] {
        needs.ok().says(package);
    }
    inside(host, "dpkg -P runner-prep").ok();
    inside(host, "! find /usr /etc -name '*runner-prep*' ! -path '/usr/share/doc/*' | grep .").ok();
    // What it prepared stays.
    inside(host, "test -s ~gitlab-runner/.ssh/id_ed25519; visudo -c").ok();
}

/// The machine's rpm, on a directory of its own: Debian's tree has none.
fn rpm_is_installed_and_removed(host: &Host, out: &Path) {
    let file = package(out, ".rpm");
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let rpm = format!("rpm --root /srv/rpm --dbpath /var/lib/rpm --nodeps {IMAGE}{PACKAGES}/{name}");
    host.sh(&format!("mkdir -p /srv/rpm && {}", rpm.replace("--nodeps", "-i --nodeps --noscripts"))).ok();
    host.sh("test -x /srv/rpm/usr/bin/runner-prep; test -s /srv/rpm/usr/share/man/man1/runner-prep.1.gz")
        .ok();
    let query = rpm.replace("--nodeps", "-qpc");
    assert_eq!(host.sh(&query).ok().stdout, "");
    let requires = host.sh(&rpm.replace("--nodeps", "-qpR"));
    for name in ["git", "openssh-clients", "rsync", "sudo", "/usr/sbin/useradd"] {
        requires.ok().says(name);
    }
    host.sh("rpm --root /srv/rpm --dbpath /var/lib/rpm -e --nodeps runner-prep; ! test -e /srv/rpm/usr/bin/runner-prep")
        .ok();
}

fn archive_is_installed_and_removed(host: &Host) {
    inside(
        host,
        &format!(
            "cd /srv && tar -xzf {PACKAGES}/*.tar.gz && cd runner-prep-*
            ./install.sh -- check --profile shell --allow-pending && test -x /usr/local/bin/runner-prep
            test -s /usr/local/share/man/man1/runner-prep-apply.1.gz
            test -s /usr/local/share/bash-completion/completions/runner-prep
            ./install.sh --uninstall && ! test -e /usr/local/bin/runner-prep"
        ),
    )
    .ok();
}
