//! Arguments as a module of Ansible gets them, from somebody else.

use std::process::Command;

use super::{acts, host};
use crate::support::{assert_unchanged, program};

/// Called by the name of a module, with a file of arguments that Ansible would not write.
#[test]
fn arguments_of_a_module() {
    let place = tempfile::tempdir().unwrap();
    let module = place.path().join("runner_prep");
    std::os::unix::fs::symlink(program(), &module).unwrap();
    let tree = host();
    let before = tree.stamps();
    let top = serde_json::to_string(tree.top().to_str().unwrap()).unwrap();
    let root = format!("\"root\": {top}");
    let file = place.path().join("arguments");
    let answer = |words: &[&std::path::Path]| {
        let run = tree.run_command(Command::new(&module).args(words).env("LC_ALL", "C"));
        let document = run.json();
        assert_eq!(document["changed"], false, "{run}");
        assert!(!run.stdout.contains(acts) && run.stderr.is_empty(), "{run:?}");
        (run.status, document["failed"] == true, document["msg"].as_str().unwrap_or_default().to_owned())
    };
    let deep = "[".repeat(100_000);
    let long = format!("{{\"profile\": \"{}\", {root}}}", "x".repeat(900_000));
    for text in [
        b"".as_slice(),
        b"not JSON glrt-CANARY-x",
        b"[]",
        b"null",
        b"\"dind\"",
        b"{\"profile\": \"dind\"",
        b"\xff\xfe{\x00}\x00",
        b"{\"profile\": \xff}",
        deep.as_bytes(),
        long.as_bytes(),
        b"#<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>",
        b"profile=dind",
        b"{}",
        b"{\"profile\": null}",
        b"{\"profile\": {\"a\": 1}}",
        b"{\"profile\": [[\"dind\"]]}",
        b"{\"profile\": \"--help\"}",
        b"{\"profile\": \"dind\", \"--dry-run\": true}",
        b"{\"profile\": \"dind\", \"help\": true}",
        "{\"profile\": \"dind\", \"odd\u{1b}[2J\": 1}".as_bytes(),
        b"{\"profile\": \"dind\", \"odd\\u001b[2J\": 1}",
        b"{\"profile\": \"a\\u0000b\\u001b[2J\"}",
        b"{\"profile\": \"dind\", \"runner\": 1e999}",
        b"{\"profile\": \"dind\", \"adopt\": \"perhaps\"}",
        b"{\"profile\": \"dind\", \"config\": \"relative\"}",
        b"{\"profile\": \"dind\", \"root\": \"/nonexistent\"}",
        b"{\"profile\": \"dind\", \"root\": \"/dev/null\"}",
    ] {
        std::fs::write(&file, text).unwrap();
        let (exit, failed, message) = answer(&[&file]);
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert!(exit == 1 && failed && !message.is_empty(), "{shown:?}: {exit} {failed} {message}");
    }
    std::fs::remove_file(&file).unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let sparse = place.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let odd: [&[&std::path::Path]; 6] =
        [&[], &[&file], &[place.path()], &[&fifo], &[&sparse], &[&fifo, &sparse]];
    for words in odd {
        let (exit, failed, message) = answer(words);
        assert!(exit == 1 && failed && !message.is_empty(), "{words:?}: {message}");
    }
    assert_unchanged(&before, &tree.stamps());
}
