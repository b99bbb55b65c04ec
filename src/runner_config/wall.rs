//! What a value of `[runners.docker]` gives jobs that an unprivileged container keeps from them.
//!
//! One table: a key, and what one of its elements gives. A key that the table lacks gives nothing.

use toml_edit::TableLike;

use super::volume::{Volume, holds};
use super::{Item, strings_at};

/// What jobs get, as the rest of a sentence that begins with "jobs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// A way to root on the host, or to its files.
    Root(&'static str),
    /// One of several walls is gone, and the others stand.
    Layer(&'static str),
}
use Grant::{Layer, Root};

/// A value that gives jobs something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// Where it stands: `docker.volumes[1]`.
    pub place: String,
    /// What it gives.
    pub grant: Grant,
}

type WallTest = fn(&str) -> Option<Grant>;

/// The keys of `[runners.docker]`, and what one of their texts gives.
const KEYS: &[(&str, WallTest)] = &[
    ("volumes", volume),
    ("volumes_from", |_| Some(Layer("have the volumes of another container, whatever they hold"))),
    ("cap_add", capability),
    ("devices", device),
    ("device_cgroup_rules", device_rule),
    ("security_opt", security_option),
    ("services_security_opt", security_option),
    ("pid_mode", |mode| is_host(mode, Root("see the host's processes, and can stop them"))),
    ("ipcmode", |mode| is_host(mode, Layer("share memory with programs of the host"))),
    ("network_mode", |mode| {
        is_host(mode, Layer("are on the host's own network, and reach what listens on its localhost"))
    }),
    ("userns_mode", |mode| {
        is_host(mode, Layer("are the host's root also where its daemon maps root to another user"))
    }),
];

/// All of them in a `[runners.docker]`, and in what is wanted beside it: of each key the further texts.
pub fn exposures(docker: Option<&dyn TableLike>, wanted: &dyn Fn(&str) -> Vec<String>) -> Vec<Exposure> {
    let mut found = Vec::new();
    for (key, judge) in KEYS {
        let item = docker.and_then(|docker| docker.get(key));
        let mut look = |place: String, text: &str| {
            found.extend(judge(text).map(|grant| Exposure { place, grant }));
        };
        // What the profile wants may stand there already, and is said in one way before and after.
        let wanted = wanted(key);
        match item.and_then(Item::as_str).filter(|text| !wanted.iter().any(|wanted| wanted == text)) {
            Some(text) => look(format!("docker.{key}"), text),
            None => {
                for (index, text) in strings_at(docker, key).into_iter().enumerate() {
                    if !wanted.iter().any(|wanted| wanted == text) {
                        look(format!("docker.{key}[{index}]"), text);
                    }
                }
            }
        }
        for text in wanted {
            look(format!("docker.{key} of the profile"), &text);
        }
    }
    let devices = docker.and_then(|docker| docker.get("services_devices")).and_then(Item::as_table_like);
    for (pattern, _) in devices.into_iter().flat_map(|table| table.iter()) {
        for grant in strings_at(devices, pattern).into_iter().filter_map(device) {
            found.push(Exposure { place: "docker.services_devices".to_owned(), grant });
        }
    }
    found
}

fn is_host(mode: &str, grant: Grant) -> Option<Grant> {
    (mode == "host").then_some(grant)
}

/// Files of the host that nobody but root reads: who has a directory above one of them has it, too.
const SECRETS: &[(&str, &str)] = &[
    ("/etc/shadow", "read the host's password hashes"),
    ("/etc/gitlab-runner/config.toml", "read the tokens of the runners"),
    ("/root/.ssh", "read root's SSH keys"),
    ("/home", "read the homes of the host's accounts"),
    ("/var/lib/docker/volumes", "read the files of other containers"),
    ("/var/lib/docker/overlay2", "read the files of other containers"),
    ("/var/lib/containerd", "read the files of other containers"),
];

const PROGRAMS: &str = "write programs or libraries of the host, which its root runs";
const OBEYED: &str = "write files that the host's root obeys";

/// What root runs, obeys, or lets others in by: who writes in it, above it or below it, is root in the end.
const OF_ROOT: &[(&str, &str)] = &[
    ("/bin", PROGRAMS),
    ("/sbin", PROGRAMS),
    ("/lib", PROGRAMS),
    ("/lib64", PROGRAMS),
    ("/usr/bin", PROGRAMS),
    ("/usr/sbin", PROGRAMS),
    ("/usr/lib", PROGRAMS),
    ("/usr/lib64", PROGRAMS),
    ("/usr/libexec", PROGRAMS),
    ("/usr/local/bin", PROGRAMS),
    ("/usr/local/sbin", PROGRAMS),
    ("/usr/local/lib", PROGRAMS),
    ("/boot", PROGRAMS),
    ("/etc", OBEYED),
    ("/var/spool/cron", OBEYED),
    ("/run/systemd", OBEYED),
    ("/run/dbus", "command the host's systemd"),
    ("/proc", "set what the host's kernel does"),
    ("/sys", "set what the host's kernel does"),
];

/// What lies below `/etc` and is no way to root.
const HARMLESS: [&str; 8] = [
    "/etc/localtime",
    "/etc/timezone",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/docker/certs.d",
    "/etc/gitlab-runner/certs",
];

fn volume(text: &str) -> Option<Grant> {
    let volume = Volume::parse(text);
    let path = volume.host_path()?;
    if path == "/" {
        return Some(Root(if volume.is_read_only {
            "read the host's disk"
        } else {
            "write the host's disk"
        }));
    }
    if volume.daemon_socket().is_some() {
        return Some(Root("command a daemon of the host that starts containers"));
    }
    let is_home = path.strip_prefix("/home/").is_some_and(|name| !name.contains('/'));
    let is_login = path == "/root" || is_home || path.ends_with("/.ssh");
    if !volume.is_read_only {
        if is_login {
            return Some(Root("write who may log in as an account of the host"));
        }
        if HARMLESS.iter().any(|place| holds(place, &path)) {
            return Some(Layer("change a file of the host's /etc"));
        }
        let is_above_or_below = |place: &&(&str, &str)| holds(&path, place.0) || holds(place.0, &path);
        if let Some((_, grant)) = OF_ROOT.iter().find(is_above_or_below) {
            return Some(Root(grant));
        }
    }
    if is_home {
        return Some(Root("read the home of an account of the host"));
    }
    SECRETS.iter().find(|(place, _)| holds(&path, place)).map(|(_, grant)| Root(grant))
}

fn capability(name: &str) -> Option<Grant> {
    let name = name.to_ascii_uppercase();
    match name.strip_prefix("CAP_").unwrap_or(&name) {
        "ALL" => Some(Root("have every capability, and with them the way out of the container")),
        "SYS_ADMIN" => Some(Root("have SYS_ADMIN, with which root mounts and leaves its container")),
        "SYS_MODULE" => Some(Root("have SYS_MODULE, with which root loads code into the host's kernel")),
        "SYS_RAWIO" => Some(Root("have SYS_RAWIO, with which root reads and writes the host's memory")),
        "SYS_BOOT" => Some(Root("have SYS_BOOT, with which root starts another kernel on the host")),
        "DAC_READ_SEARCH" => Some(Root("have DAC_READ_SEARCH, with which root opens the host's files")),
        _ => None,
    }
}

/// Disks below `/dev`: how their names begin, and how many letters and digits follow.
const DISKS: [(&str, usize, bool); 9] = [
    ("sd", 2, false),
    ("hd", 1, false),
    ("vd", 1, false),
    ("xvd", 1, false),
    ("nvme", 0, true),
    ("mmcblk", 0, true),
    ("dm-", 0, true),
    ("md", 0, true),
    ("sg", 0, true),
];

fn device(text: &str) -> Option<Grant> {
    let name = text.split(':').next()?.strip_prefix("/dev")?.trim_matches('/');
    let is_disk = DISKS.iter().any(|(begin, letters, digits)| {
        let Some(rest) = name.strip_prefix(begin) else { return false };
        let numbers = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let count = rest.len() - numbers.len();
        count <= *letters
            && (count > 0 || *digits)
            && (count > 0 || numbers.starts_with(|c: char| c.is_ascii_digit()))
    });
    let is_directory = ["disk", "mapper", "block"].iter().any(|place| holds(place, name));
    let is_memory = ["mem", "kmem", "port"].contains(&name);
    (name.is_empty() || is_disk || is_directory || is_memory)
        .then_some(Root("reach a disk or the memory of the host"))
}

/// `b 8:* rwm`: a job makes the device by itself and reads it.
fn device_rule(text: &str) -> Option<Grant> {
    let mut words = text.split_whitespace();
    let (kind, numbers, rights) = (words.next()?, words.next()?, words.next()?);
    let is_used = rights.contains(['r', 'w']);
    let is_wide = kind == "a" || kind == "b" || (kind == "c" && numbers.starts_with('*'));
    (is_used && is_wide).then_some(Root("reach disks or devices of the host by their numbers"))
}

fn security_option(text: &str) -> Option<Grant> {
    let (name, value) = text.split_once(['=', ':'])?;
    match (name, value) {
        ("seccomp", "unconfined") => Some(Layer("may make every system call: there is no seccomp filter")),
        ("apparmor", "unconfined") => Some(Layer("are held by no AppArmor profile")),
        ("label", "disable") => Some(Layer("are held by no SELinux label")),
        _ => None,
    }
}

/// True for a pattern of an allow-list that an image of anybody's choice has a name for: a wildcard stands where the
/// name says whose image it is. What stands below a registry for everybody is anybody's as well.
pub fn allows_anybody(pattern: &str) -> bool {
    const PUBLIC: [&str; 5] =
        ["docker.io/", "index.docker.io/", "registry-1.docker.io/", "ghcr.io/", "quay.io/"];
    let name = PUBLIC.iter().find_map(|registry| pattern.strip_prefix(registry)).unwrap_or(pattern);
    let first = name.split('/').next().unwrap_or_default();
    // Without a `/` the name ends where the tag begins.
    let whose = if first.len() == name.len() { first.split(':').next().unwrap_or_default() } else { first };
    whose.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_host_is_judged_by_what_lies_there() {
        for text in [
            "/:/host",
            "/:/host:ro",
            "/etc:/e",
            "/etc:/e:ro",
            "/var:/v",
            "/var/lib:/v:ro",
            "/usr/bin/docker:/usr/bin/docker",
            "/etc/docker/daemon.json:/etc/docker/daemon.json",
            "/run/containerd/containerd.sock:/c",
            "/var/run/dbus/system_bus_socket:/d",
            "/proc:/host/proc",
            "/home/gitlab-runner:/h",
            "/home/gitlab-runner:/h:ro",
            "/home/a/.ssh:/root/.ssh",
            "/root:/r",
            "/srv/../etc:/e",
        ] {
            assert!(matches!(volume(text), Some(Root(_))), "{text}");
        }
        for text in [
            "/cache",
            "/etc",
            "etc:/etc",
            "/srv/cache:/cache",
            "/etc/ssl/certs:/etc/ssl/certs:ro",
            "/etc/docker/daemon.json:/etc/docker/daemon.json:ro",
            "/usr/bin/docker:/usr/bin/docker:ro",
            "/lib/modules:/lib/modules:ro",
            "/proc:/host/proc:ro",
            "/home/a/cache:/cache",
            "/home/a/.ssh:/root/.ssh:ro",
            "/root/.m2:/root/.m2",
            "/usr/share/zoneinfo:/z",
            "/etcetera:/e",
            "/opt/maven.xml:/usr/local/maven/conf/settings.xml",
        ] {
            assert_eq!(volume(text), None, "{text}");
        }
        assert!(matches!(volume("/etc/localtime:/etc/localtime"), Some(Layer(_))));
    }

    #[test]
    fn other_values_are_judged_by_what_docker_makes_of_them() {
        let is_root = |grant: Option<Grant>| matches!(grant, Some(Root(_)));
        for (name, way) in [
            ("SYS_ADMIN", true),
            ("cap_sys_module", true),
            ("all", true),
            ("NET_ADMIN", false),
            ("MKNOD", false),
        ] {
            assert_eq!(is_root(capability(name)), way, "{name}");
        }
        for (name, way) in [
            ("/dev/sda:/dev/sda:rwm", true),
            ("/dev/nvme0n1", true),
            ("/dev/mem", true),
            ("/dev", true),
            ("/dev/kvm", false),
            ("/dev/fuse", false),
            ("/dev/sdb2", true),
            ("/dev/disk/by-id/x:/dev/x", true),
            ("/dev/sgx_enclave", false),
            ("/dev/hdmi", false),
            ("/dev/dri", false),
            ("/dev/memory", false),
            ("/dev/snd", false),
            ("/dev/net/tun", false),
            ("/dev/ttyUSB0", false),
            ("vendor.com/class=name", false),
        ] {
            assert_eq!(is_root(device(name)), way, "{name}");
        }
        for (rule, way) in [
            ("b 8:* rwm", true),
            ("a *:* rwm", true),
            ("c *:* rw", true),
            ("b 8:0 m", false),
            ("c 189:* rmw", false),
            ("c 10:200 rwm", false),
            ("", false),
        ] {
            assert_eq!(is_root(device_rule(rule)), way, "{rule}");
        }
        for option in ["seccomp=unconfined", "seccomp:unconfined", "apparmor=unconfined", "label=disable"] {
            assert!(matches!(security_option(option), Some(Layer(_))), "{option}");
        }
        for option in ["no-new-privileges", "no-new-privileges:true", "seccomp=/etc/s.json", "label=type:x"] {
            assert_eq!(security_option(option), None, "{option}");
        }
    }

    #[test]
    fn a_pattern_is_wide_where_anybody_has_a_name_for_it() {
        for pattern in
            ["*", "**", "*:*", "*-dind", "*/*:dind", "**/docker:*", "docker.io/*/docker:dind", "?ocker:*"]
        {
            assert!(allows_anybody(pattern), "{pattern}");
        }
        for pattern in [
            "docker:*",
            "docker:*-dind",
            "docker.io/library/docker:*",
            "registry.example.com/**",
            "our/*:dind",
        ] {
            assert!(!allows_anybody(pattern), "{pattern}");
        }
    }
}
