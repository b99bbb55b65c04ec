//! A tree of Debian, which `tests/run.sh` makes, on a throwaway host.

use std::process::Command;

use super::{Host, HostBuilder, Run, made, run_limited, skip};

/// Where the tree lies on the host.
pub(crate) const IMAGE: &str = "/srv/image";

/// Starts the machine, and puts Debian's tree on it, which `tests/run.sh` makes.
pub(crate) fn with_image(builder: HostBuilder) -> Option<Host> {
    let image = made("image");
    if !image.join("usr/bin/sudo").is_file() {
        skip("no tree of Debian in target/image: tests/run.sh makes it");
        return None;
    }
    let host = builder.start();
    let mut command = Command::new("cp");
    run_limited(command.args(["-a", "--"]).arg(image.join(".")).arg(host.path(IMAGE))).ok();
    Some(host)
}

/// Runs a script in the tree as the host that it becomes: with its own mounts and processes.
#[track_caller]
pub(crate) fn inside(host: &Host, script: &str) -> Run {
    let enter = "mount -t proc proc /srv/image/proc; mount --rbind /dev /srv/image/dev
        exec chroot /srv/image /bin/sh -euc \"$1\"";
    let mut command = host.command("unshare");
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]);
    run_limited(command.args(["/bin/sh", "-euc", enter, "sh", script]))
}
