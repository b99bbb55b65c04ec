//! The properties of `fuzz/properties.rs`, on the kept inputs, on broken forms of them, and on any bytes. The same
//! run for as long as one likes with `tests/fuzz/run.sh`, which is guided by what an input reaches.

#![expect(clippy::disallowed_methods, reason = "a test reads its own inputs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "a property that does not hold has to stop the test"
)]

#[path = "fuzz/properties.rs"]
mod properties;

use std::path::{Path, PathBuf};
use std::process::Command;

use properties::{ALL, Property};
use proptest::prelude::*;
use proptest::sample::Index;

fn source() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Good and once bad inputs.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = files(&source().join("tests/fuzz/seeds").join(name));
    match name {
        "profile" => found.extend(files(&source().join("profiles"))),
        "config" => {
            let fixtures = files(&source().join("tests/fixtures"));
            found.extend(
                fixtures.into_iter().filter(|(path, _)| path.extension().is_some_and(|it| it == "toml")),
            );
        }
        _ => {}
    }
    found
}

#[test]
fn every_kept_input_holds() {
    for (name, property) in ALL {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (path, bytes) in seeds {
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "{name} does not hold for {}", path.display());
        }
    }
}

/// cargo-fuzz finds its targets by Cargo.toml; one that is not there is never run.
#[test]
fn every_property_is_a_fuzz_target() {
    let directory = source().join("tests/fuzz");
    let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap();
    let targets = files(&directory.join("fuzz_targets"));
    assert_eq!(targets.len(), ALL.len());
    for (name, _) in ALL {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not a target");
        assert!(targets.iter().any(|(path, _)| path.file_stem().is_some_and(|stem| stem == *name)), "{name}");
    }
    let script = directory.join("run.sh");
    assert!(Command::new("sh").arg("-n").arg(script).status().unwrap().success());
}

/// How a good input becomes a broken one.
#[derive(Debug, Clone)]
enum Damage {
    Cut(Index, u8),
    Double(Index, u8),
    Insert(Index, Vec<u8>),
    Flip(Index, u8),
    End(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let token = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..4),
        "(\"|'|\"\"\"|\\[|\\]|\\[\\[|\\]\\]|\\{|\\}|=|,|\\.|#|\n|\r\n|\r|\\\\|\\\\\n|\u{0}|\u{feff}|\u{1b}\\[2J|é|\u{202e}|!|\\*|:|\\|)"
            .prop_map(String::into_bytes),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, length)| Damage::Double(at, length)),
        (any::<Index>(), token).prop_map(|(at, token)| Damage::Insert(at, token)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        any::<Index>().prop_map(Damage::End),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let size = bytes.len() + 1;
        let end = |at: usize, length: u8| (at + usize::from(length % 32)).min(bytes.len());
        match damage {
            Damage::Cut(at, length) => {
                let at = at.index(size);
                let end = end(at, *length);
                bytes.drain(at..end);
            }
            Damage::Double(at, length) => {
                let at = at.index(size);
                let part = bytes[at..end(at, *length)].to_vec();
                bytes.splice(at..at, part);
            }
            Damage::Insert(at, token) => {
                let at = at.index(size);
                bytes.splice(at..at, token.iter().copied());
            }
            Damage::Flip(at, byte) => {
                if let Some(place) = bytes.get_mut(at.index(size)) {
                    *place = *byte;
                }
            }
            Damage::End(at) => bytes.truncate(at.index(size)),
        }
    }
    bytes
}

fn hold((name, property): &Property) {
    let seeds: Vec<Vec<u8>> = seeds(name).into_iter().map(|(_, bytes)| bytes).collect();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(
        seed in any::<Index>(),
        damages in prop::collection::vec(damage(), 0..6),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    )| {
        property(&damaged(seed.get(&seeds).clone(), &damages));
        property(&bytes);
    });
}

macro_rules! held {
    ($($test:ident $number:literal)*) => {$(
        #[test]
        fn $test() {
            hold(&ALL[$number]);
        }
    )*};
}

held! {
    any_profile_holds 0
    any_configuration_holds 1
    any_known_hosts_file_holds 2
    any_sudoers_value_holds 3
    any_git_configuration_holds 4
    any_key_holds 5
    any_listing_of_sudo_holds 6
    any_journal_holds 7
    any_deployment_holds 8
}
