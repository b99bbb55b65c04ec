//! What equals root, as data: known to the resources that warn of it and to `doctor`.

/// Groups whose members are root by another way, with the way.
pub const ROOT_GROUPS: [(&str, &str); 6] = [
    ("docker", "a member starts a container that mounts the host's /"),
    ("lxd", "a member starts a container that mounts the host's /"),
    ("sudo", "its members run everything as root"),
    ("wheel", "its members run everything as root"),
    ("disk", "a member writes the disks below the file systems"),
    ("shadow", "a member reads every password hash"),
];

/// Where sudo reads further rules.
pub const SUDOERS_DIRECTORY: &str = "/etc/sudoers.d";

/// What a resource calls a sudo rule that does what it is for, and one of which nobody can tell.
pub const EFFECT: &str = "sudo-effect";
/// The code of the note on a policy that sudo does not read to its end.
pub const POLICY_BROKEN: &str = "policy-broken";
/// See [`EFFECT`].
pub const UNKNOWN_EFFECT: &str = "sudo-effect-unknown";

/// sudo's own default where no `secure_path` is set.
pub const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The main files of sudo: the administrator's, and where there is none the distribution's (openSUSE).
pub const SUDOERS: [&str; 2] = ["/etc/sudoers", "/usr/etc/sudoers"];

/// What sudo-rs reads instead of `/etc/sudoers` when it is there.
pub const RUST_SUDOERS: &str = "/etc/sudoers-rs";

const WRITES: &str = "it writes any file";
const RUNS: &str = "it runs any program";
const SHELL: &str = "it is a shell";
const ESCAPE: &str = "it has a shell escape";
/// Of runner-prep itself.
pub const OURS: &str = "it carries out any profile, and a profile gives the account sudo rules";
const MOUNTS: &str = "a container mounts the host's /";

/// Programs that hand out root when they run as root with arguments of the caller's choice, and how.
const WAYS_TO_ROOT: &[(&str, &[&str])] = &[
    ("it writes any file and runs programs (-e, --rsync-path)", &["rsync"]),
    ("it writes any file and runs programs", &["tar", "zip", "cpio", "scp", "sftp"]),
    (
        WRITES,
        &[
            "cp", "mv", "install", "tee", "dd", "sed", "patch", "unzip", "7z", "curl", "wget", "sponge",
            "visudo",
        ],
    ),
    ("it makes any program setuid", &["chmod", "setcap", "setfacl"]),
    ("it gives any file away", &["chown", "chgrp"]),
    ("it replaces any file by a link", &["ln", "mount", "umount"]),
    (MOUNTS, &["docker", "podman", "nerdctl", "ctr", "lxc", "machinectl", "kubectl", "docker-compose"]),
    ("it starts units that the caller wrote", &["systemctl", "systemd-run", "service"]),
    ("it runs hooks given as options", &["apt-get", "apt", "aptitude", "yum", "dnf", "zypper", "git"]),
    ("it runs the scripts of any package", &["dpkg", "rpm", "snap", "pip", "npm", "gem", "cpan", "flatpak"]),
    ("it runs programs (-exec)", &["find"]),
    (SHELL, &["sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "busybox", "csh", "tcsh", "su", "sudo"]),
    (
        RUNS,
        &[
            "env",
            "python",
            "perl",
            "ruby",
            "node",
            "php",
            "lua",
            "awk",
            "gawk",
            "mawk",
            "make",
            "xargs",
            "nice",
            "nohup",
            "timeout",
            "time",
            "setsid",
            "chroot",
            "nsenter",
            "unshare",
            "strace",
            "gdb",
            "script",
            "expect",
            "watch",
            "parallel",
            "ansible",
            "ansible-playbook",
            "terraform",
            "java",
            "go",
            "cargo",
            "at",
            "crontab",
            "runuser",
            "setpriv",
            "start-stop-daemon",
            "flock",
            "ionice",
            "taskset",
            "stdbuf",
            "ssh",
            "socat",
            "nc",
            "tmux",
            "screen",
            "capsh",
            "insmod",
            "modprobe",
        ],
    ),
    (
        ESCAPE,
        &["vi", "vim", "nvim", "view", "nano", "emacs", "ed", "less", "more", "man", "journalctl", "mysql"],
    ),
    (OURS, &["runner-prep"]),
    ("it makes accounts or changes their rights", &["useradd", "usermod", "passwd", "chpasswd", "gpasswd"]),
];

/// How a program of this name hands out root to whoever chooses its arguments; `None` where no way is known.
#[must_use]
pub fn way_to_root(name: &str) -> Option<&'static str> {
    // python3.11 is python, vim.basic is vim.
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let plain = name.split('.').next().unwrap_or(name);
    let is_it = |names: &[&str]| [name, stem, plain].iter().any(|one| names.contains(one));
    WAYS_TO_ROOT.iter().find(|(_, names)| is_it(names)).map(|(way, _)| *way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_any_of_its_names() {
        for name in ["runner-prep", "bash", "python3", "python3.11", "vim.basic", "rsync", "lua5.4", "7z"] {
            assert!(way_to_root(name).is_some(), "{name}");
        }
        for name in ["runner-deploy", "true", "id", "rsync-ssl", "deploy.sh", ""] {
            assert_eq!(way_to_root(name), None, "{name}");
        }
    }
}
