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

/// What a resource calls a sudo rule that does what it is for.
pub const EFFECT: &str = "sudo-effect";

/// sudo's own default where no `secure_path` is set.
pub const SECURE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of runner-prep itself.
pub const OURS: &str = "it carries out any profile, and a profile gives the account sudo rules";

/// Programs that hand out root when they run as root with arguments of the caller's choice: how, and their names.
const WAYS_TO_ROOT: &str = include_str!("ways_to_root.tsv");

/// How a program of this name hands out root to whoever chooses its arguments; `None` where no way is known.
pub fn way_to_root(name: &str) -> Option<&'static str> {
    // python3.11 is python, vim.basic is vim.
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let plain = name.split('.').next().unwrap_or(name);
    let is_it = |names: &str| names.split(' ').any(|one| [name, stem, plain].contains(&one));
    WAYS_TO_ROOT
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find(|(_, names)| is_it(names))
        .map(|(way, _)| way)
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
