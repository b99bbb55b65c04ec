//! Directories of sudo's rules.

use super::{apply, host, refused, taken, visudo, without_state};
use crate::support::assert_unchanged;

#[test]
fn directories_of_rules() {
    if !visudo() {
        return;
    }
    let dropped = |name: &str, bytes: &[u8]| host().file_mode(&format!("etc/sudoers.d/{name}"), bytes, 0o440);
    for (name, tree) in [
        ("an escape sequence in a name", dropped("a\u{1b}[2Jb", b"# x\n")),
        ("a newline in a name", dropped("a\nb", b"# x\n")),
        ("a name with a space", dropped("a b", b"# x\n")),
        (
            "names that sudo skips",
            dropped("a.b", b"not ( a rule\n").file("etc/sudoers.d/x~", "not ( a rule\n"),
        ),
        ("a rule that is not UTF-8", dropped("latin", b"# \xe4\xf6\xfc\n")),
        ("a subdirectory", host().dir("etc/sudoers.d/more", 0o755)),
        (
            "500 files",
            (0..500).fold(host(), |tree, n| tree.file_mode(&format!("etc/sudoers.d/f{n}"), "# x\n", 0o440)),
        ),
        ("an alias of somebody's", dropped("alias", b"User_Alias CI = daemon\nCI ALL=(ALL) /bin/true\n")),
    ] {
        taken(name, &tree, &["--profile", "shell", "--only", "sudoers"]);
    }
    let main = |text: &str| {
        let text = format!("root ALL=(ALL:ALL) ALL\n{text}\n@includedir /etc/sudoers.d\n");
        let tree = host();
        tree.remove("etc/sudoers");
        tree.file_mode("etc/sudoers", text, 0o440)
    };
    for text in [
        "Defaults secure_path=\"/usr/sbin:/usr/bin\" # ours",
        "Defaults secure_path=\"/usr/sbin:/usr/bin\", env_reset",
        "Defaults secure_path=\\\n\"/usr/sbin:/usr/bin\"",
        "Defaults !lecture,secure_path = /usr/sbin\\:/usr/bin",
    ] {
        taken(text, &main(text), &["--profile", "shell", "--only", "sudoers"]);
    }
    for (name, tree) in [
        (
            "an alias of two files",
            dropped("a", b"User_Alias X = daemon\n").file_mode(
                "etc/sudoers.d/b",
                "User_Alias X = bin\n",
                0o440,
            ),
        ),
        ("a file that goes on and on", dropped("zz", b"root ALL=(ALL) /bin/true, \\")),
        ("a file that includes itself", dropped("zz", b"@include /etc/sudoers.d/zz\n")),
        ("two megabytes", dropped("zz", &vec![b'#'; 2 << 20])),
    ] {
        let before = without_state(tree.stamps());
        let run = apply(&tree, &["--profile", "shell", "--only", "sudoers"]);
        // Different releases of sudo judge differently; broken it is never left.
        assert!(run.status == 0 || run.status == 2, "{name}: {run}");
        if run.status == 2 {
            assert_unchanged(&before, &without_state(tree.stamps()));
        }
    }
    for (name, bytes) in [
        ("no last newline", b"gitlab-runner ALL=(ALL) NOPASSWD: ALL".as_slice()),
        ("NUL", b"\x00\n"),
        ("BOM", "\u{feff}# Managed by runner-prep\nx\n".as_bytes()),
        ("an end that goes on", b"gitlab-runner ALL=(ALL) NOPASSWD: ALL \\"),
        ("escape sequences", b"\x1b[2Jgitlab-runner ALL=(ALL) ALL\n"),
        (
            "our words in the middle",
            b"x ALL=(ALL) ALL\n# Managed by runner-prep: edit its profile, not this file.\n",
        ),
    ] {
        let tree = dropped("gitlab-runner", bytes);
        refused(name, &tree, &["--profile", "shell", "--only", "sudoers"], "gitlab-runner");
    }
}
