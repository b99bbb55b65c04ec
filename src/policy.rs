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

/// sudo's own default where no `secure_path` is set.
pub const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
