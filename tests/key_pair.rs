//! Key pairs against the real `ssh-keygen`, and against any bytes.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test runs the real program on files of its own"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use runner_prep::text::key_pair::{Inspection, PublicLine, ed25519, inspect, public_line};
use support::Tree;
use tempfile::TempDir;

fn keygen(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).arg("-f").arg(file);
    command.output().unwrap()
}

/// A directory for keys, or nothing where `ssh-keygen` is missing.
fn workplace() -> Option<TempDir> {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        println!("skipped: there is no ssh-keygen");
        return None;
    }
    Some(tempfile::tempdir().unwrap())
}

/// Writes a private key as ssh-keygen wants to find it.
fn store(file: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The public line that `ssh-keygen -y` derives, if it takes the key without a passphrase.
fn derived(file: &Path) -> Option<String> {
    let output = keygen(&["-y", "-P", ""], file);
    let line = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| line.trim_end_matches('\n').to_owned())
}

/// Checks size, fingerprint and comment against `ssh-keygen -l`.
fn same_fingerprint(file: &Path, line: &PublicLine) {
    let output = keygen(&["-l"], file);
    let shown = String::from_utf8(output.stdout).unwrap();
    let (bits, print) = (line.key().bits(), line.key().fingerprint());
    assert!(shown.starts_with(&format!("{bits} {print} ")), "{shown}");
}

/// Has the program make a key of its own, and hands out the files: private and public.
fn made(kind: &str, comment: &str) -> (Vec<u8>, String) {
    let profile = format!("summary = \"a key\"\n[ssh_key]\n{kind}\ncomment = '{comment}'\n");
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file("mine.toml", profile);
    // Not looked through for secrets: a line of an RSA key's private file can be a part of its public modulus alone.
    let run = tree.command(&["apply", "--profile", "./mine.toml"]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let name = if kind.contains("rsa") { "id_rsa" } else { "id_ed25519" };
    let file = format!("home/gitlab-runner/.ssh/{name}");
    assert_eq!(tree.metadata(&file).0, 0o600);
    let left: Vec<String> = tree.listing().into_iter().filter(|line| line.contains("new-key")).collect();
    assert!(left.is_empty(), "{left:?}");
    (tree.read(&file), tree.text(&format!("{file}.pub")))
}

#[test]
fn new_keys_are_taken_by_ssh_keygen() {
    let Some(dir) = workplace() else { return };
    let file = dir.path().join("key");
    for (kind, bits) in [
        ("type = \"ed25519\"", 256),
        ("type = \"rsa\"\nbits = 2048", 2048),
        ("type = \"rsa\"\nbits = 2056", 2056),
    ] {
        for comment in ["", "gitlab-runner", "-C", "zwei Wörter \"#\""] {
            let (private, public) = made(kind, comment);
            store(&file, &private);
            assert_eq!(derived(&file).unwrap() + "\n", public, "{kind}");
            let line = public_line(public.as_bytes()).unwrap();
            assert_eq!((line.comment(), line.key().bits()), (comment, bits));
            same_fingerprint(&file, &line);
        }
    }
}

#[test]
fn what_a_killed_run_left_of_a_new_key_is_removed() {
    let left = "var/lib/runner-prep/new-key";
    let tree = Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner");
    let tree = tree.dir("var/lib/runner-prep", 0o700).dir("var/lib/runner-prep/working", 0o700);
    let tree = tree.dir(left, 0o700).file_mode(&format!("{left}/key"), "half of a key", 0o600);
    tree.run(&["apply", "--profile", "shell", "--only", "account,ssh_key"]).ok();
    assert!(!tree.exists(left));
}

#[test]
fn rsa_keys_are_what_openssl_calls_consistent() {
    let Some(dir) = workplace() else { return };
    let file = dir.path().join("key");
    store(&file, &made("type = \"rsa\"\nbits = 2048", "").0);
    let converted = keygen(&["-p", "-m", "PEM", "-P", "", "-N", ""], &file);
    assert!(converted.status.success());
    let check = Command::new("openssl").args(["rsa", "-check", "-noout", "-in"]).arg(&file).output();
    match check {
        Ok(output) => assert!(String::from_utf8_lossy(&output.stdout).contains("RSA key ok")),
        Err(_) => println!("skipped: there is no openssl"),
    }
}

#[test]
fn every_kind_of_key_is_recognised() {
    let Some(dir) = workplace() else { return };
    let types = [
        ("ed25519", "256"),
        ("rsa", "1024"),
        ("rsa", "2048"),
        ("dsa", "1024"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
    ];
    let formats: [&[&str]; 3] = [&[], &["-m", "PEM"], &["-m", "PKCS8"]];
    for (number, (kind, bits)) in types.into_iter().enumerate() {
        for (format, options) in formats.into_iter().enumerate() {
            for passphrase in ["", "long secret"] {
                let name = format!("{number}-{format}-{}", passphrase.len());
                let file = dir.path().join(name);
                let basic = ["-q", "-t", kind, "-b", bits, "-C", "a b", "-N", passphrase];
                if !keygen(&[&basic, options].concat(), &file).status.success() {
                    println!("skipped: this ssh-keygen makes no {kind} key, {options:?}");
                    continue;
                }
                let bytes = fs::read(&file).unwrap();
                let public = fs::read(file.with_extension("pub")).unwrap();
                let public = public_line(&public).unwrap();
                same_fingerprint(&file.with_extension("pub"), &public);
                match inspect(&bytes) {
                    Inspection::OpenSsh { public: read, encrypted } => {
                        assert!(read.same_key(&public), "{kind} {bits}");
                        assert_eq!(encrypted, !passphrase.is_empty());
                        assert_eq!(read.comment(), if encrypted { "" } else { "a b" });
                        assert!(encrypted || derived(&file).unwrap() == read.to_string());
                    }
                    Inspection::Foreign { format, encrypted } => {
                        assert_eq!(encrypted, !passphrase.is_empty(), "{kind} {format}");
                        assert!(!options.is_empty(), "{kind} {format}");
                    }
                    Inspection::NotAKey { reason } => panic!("{kind} {bits} {options:?}: {reason}"),
                }
            }
        }
    }
}

/// A key of a hardware token, which `ssh-keygen` can't make without one.
#[test]
fn keys_of_hardware_tokens_are_recognised() {
    let string = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes(), bytes].concat()
    };
    let point = ed25519("").unwrap();
    let point = public_line(point.public.as_bytes()).unwrap().key().blob()[15..].to_vec();
    let generator = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let generator: Vec<u8> =
        (0..130).step_by(2).map(|at| u8::from_str_radix(&generator[at..at + 2], 16).unwrap()).collect();
    let ecdsa = [string(b"nistp256"), string(&generator)].concat();
    for (kind, fields) in
        [("sk-ssh-ed25519@openssh.com", point), ("sk-ecdsa-sha2-nistp256@openssh.com", ecdsa)]
    {
        let public = [string(kind.as_bytes()), fields, string(b"ssh:")].concat();
        let mut private =
            [vec![7; 8], public.clone(), vec![1], string(b"handle"), string(b""), string(b"m\xffe")].concat();
        private.extend((1..).take((8 - private.len() % 8) % 8));
        let file = [
            b"openssh-key-v1\0".to_vec(),
            string(b"none"),
            string(b"none"),
            string(b""),
            vec![0, 0, 0, 1],
            string(&public),
            string(&private),
        ];
        let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(&file.concat());
        let text =
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
        let Inspection::OpenSsh { public, encrypted: false } = inspect(text.as_bytes()) else {
            panic!("{kind}: {:?}", inspect(text.as_bytes()));
        };
        assert_eq!((public.key().kind(), public.comment()), (kind, "m\u{fffd}e"));
        if let Some(dir) = workplace() {
            let file = dir.path().join("key");
            store(&file, text.as_bytes());
            assert_eq!(derived(&file).unwrap(), public.to_string());
        }
    }
}

/// What the crate `ssh-key` would decide otherwise than `ssh-keygen` does: why public keys are read by code of our own.
#[test]
fn ssh_keygen_and_public_line_agree_on_odd_keys() {
    let Some(dir) = workplace() else { return };
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let rsa = |modulus: Vec<u8>| [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&modulus)].concat();
    let modulus = |bytes: usize| [vec![0, 0x80], vec![1; bytes - 1]].concat();
    let ecdsa = |point: &[u8]| [string(b"ecdsa-sha2-nistp256"), string(b"nistp256"), string(point)].concat();
    let x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    let x: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&x[at..at + 2], 16).unwrap()).collect();
    let file = dir.path().join("odd.pub");
    for (name, blob) in [
        ("a usual modulus", rsa(modulus(256))),
        ("a modulus with zeros before it", rsa([vec![0, 0], modulus(256)].concat())),
        ("a negative modulus", rsa(modulus(256)[1..].to_vec())),
        ("a modulus that is too short", rsa(modulus(96))),
        ("a modulus that is too long", rsa(modulus(2049))),
        ("a compressed point", ecdsa(&[&[3], &x[..]].concat())),
        ("a byte too many", [rsa(modulus(256)), vec![0]].concat()),
    ] {
        let kind = std::str::from_utf8(&blob[4..4 + usize::from(blob[3])]).unwrap();
        let line = format!("{kind} {} c\n", <base64ct::Base64 as base64ct::Encoding>::encode_string(&blob));
        fs::write(&file, &line).unwrap();
        let taken = keygen(&["-l"], &file).status.success();
        assert_eq!(public_line(line.as_bytes()).is_ok(), taken, "{name}: {:?}", public_line(line.as_bytes()));
    }
}

/// Changes the text of a key.
type Edit = fn(&str) -> String;

/// The same key with other line ends: ssh-keygen minds no width.
fn rewrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines.remove(0), lines.pop().unwrap());
    let body = lines.concat();
    let body: Vec<&str> =
        body.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("{first}\n{}\n{last}\n", body.join("\n"))
}

/// The same damage on every format.
#[test]
fn ssh_keygen_and_inspect_agree_on_damage() {
    let Some(dir) = workplace() else { return };
    let edits: [(&str, Edit); 12] = [
        ("lines of 64", |text| rewrapped(text, 64)),
        ("one long line", |text| rewrapped(text, 1 << 20)),
        ("nothing", str::to_owned),
        ("CRLF", |text| text.replace('\n', "\r\n")),
        ("CRLF inside", |text| text.replacen('\n', "\r\n", 3).replacen("\r\n", "\n", 1)),
        ("no last newline", |text| text.trim_end().to_owned()),
        ("BOM", |text| format!("\u{feff}{text}")),
        ("text before", |text| format!("note\n{text}")),
        ("text after", |text| format!("{text}note\n")),
        ("empty lines", |text| text.replacen('\n', "\n\n", 2)),
        ("half", |text| text[..text.len() / 2].to_owned()),
        ("one line missing", |text| {
            let cut: Vec<_> =
                text.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
            cut.join("\n") + "\n"
        }),
    ];
    for (number, options) in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-m", "PEM"],
        &["-t", "ecdsa", "-m", "PKCS8"],
        &["-t", "ecdsa"],
    ]
    .into_iter()
    .enumerate()
    {
        let original = dir.path().join(number.to_string());
        assert!(keygen(&[options, &["-q", "-N", ""]].concat(), &original).status.success());
        let text = fs::read_to_string(&original).unwrap();
        let file = dir.path().join("edited");
        for (name, edit) in edits {
            let bytes = edit(&text);
            store(&file, bytes.as_bytes());
            let (seen, taken) = (inspect(bytes.as_bytes()), derived(&file).is_some());
            let agreed = match seen {
                Inspection::OpenSsh { .. } => taken,
                Inspection::Foreign { .. } => true, // ssh-keygen has the last word
                Inspection::NotAKey { .. } => !taken,
            };
            assert!(agreed, "{options:?} with {name}: {seen:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_inspected(bytes in prop::collection::vec(any::<u8>(), 0..300), label in "(RSA |EC |OPENSSH |ENCRYPTED |)") {
        let _ = inspect(&bytes);
        let _ = public_line(&bytes);
        let mut framed = format!("-----BEGIN {label}PRIVATE KEY-----\n").into_bytes();
        framed.extend(&bytes);
        framed.extend(format!("\n-----END {label}PRIVATE KEY-----\n").into_bytes());
        let _ = inspect(&framed);
    }

    #[test]
    fn damaged_keys_never_pass_for_another_key(at in 0_usize..400, byte in any::<u8>()) {
        let pair = ed25519("gitlab-runner").unwrap();
        let mut private = pair.private.as_bytes().to_vec();
        let at = at % private.len();
        private[at] = byte;
        if let Inspection::OpenSsh { public, .. } = inspect(&private) {
            prop_assert!(public.same_key(&public_line(pair.public.as_bytes()).unwrap()));
        }
        let mut public = pair.public.into_bytes();
        let at = at % public.len();
        public[at] = byte;
        let _ = public_line(&public);
    }
}
