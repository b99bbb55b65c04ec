//! The architecture as a test: which module may import which, which files may say `unsafe`, how long a file is.

#![expect(clippy::disallowed_methods, reason = "the test reads the source itself")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has to stop")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::visit::Visit;

/// Modules with their rank. A module imports only what has a lower one.
const RANKS: &[(&str, u32)] = &[
    // Imported by everybody, import nobody.
    ("repair", 0),
    ("keys", 0),
    ("text", 0),
    ("fault", 1),
    ("seen", 0),
    ("finding", 1),
    ("change", 2),
    ("sys", 2),
    ("facts", 3),
    ("profile", 3),
    ("runner_config", 3),
    ("policy", 3),
    ("resource", 4),
    ("plan", 5),
    ("journal", 5),
    ("apply", 6),
    ("report", 6),
    ("undo", 7),
    ("gitlab", 7),
    ("doctor", 6),
    ("cli", 7),
    ("manual", 8),
    ("schema", 8),
    ("deploy", 7),
    ("completion", 9),
    ("run", 10),
    ("ansible", 11),
    ("main", 12),
    ("lib", 12),
];

/// Who may touch the operating system.
const MAY_USE_SYS: &[&str] =
    &["facts", "journal", "apply", "undo", "run", "deploy", "ansible", "main", "gitlab"];

/// The one file that may open a connection.
const CONNECTION: &str = "src/gitlab/connection.rs";

/// What a connection is made of.
const OF_CONNECTIONS: &[&str] =
    &["ureq", "rustls", "rustls_native_certs", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];

/// Files of `src/resource` that several resources use, each with its reason.
const SHARED: &[(&str, &str)] = &[
    ("context", "what every resource is asked for, and what it may ask"),
    ("target", "the account that jobs run as is one and the same for all resources"),
    ("settings", "the values of [config], read from a profile apart from their comparison"),
    ("login_shell", "a part of the account: what its login shell reads"),
    ("gate", "what a version of gitlab-runner ignores, a part of [config]"),
    ("drop_in", "one file of sudoers.d, whichever resource wants it"),
    ("sudo_policy", "what sudo's files say, for whichever resource has a rule there"),
    ("sudo_text", "sudo's files as one text, a part of what they say"),
    ("sudo_effect", "what sudo makes of a rule, whichever resource wants it"),
    ("root_file", "one file that is ours as a whole, whichever resource wants it"),
    ("runner", "the entries of config.toml, apart from what is wanted of them"),
];

#[test]
fn imports_only_go_down() {
    let mut wrong = String::new();
    for source in Source::all() {
        let from = source.module.first().map_or("lib", String::as_str);
        let rank = rank(from);
        for import in source.imports() {
            let Some(to) = import.first().map(String::as_str) else { continue };
            if to == from {
                continue;
            }
            let mut complain = |why: &str| {
                let _ = writeln!(wrong, "{}: `{}` {why}", source.name, import.join("::"));
            };
            // `lib` declares the modules, `crate::NAME` without a module is declared there.
            if self::rank_of(to).is_none() {
                complain("is not a module with a rank: give it one in this test");
            } else if self::rank(to) >= rank {
                complain("goes up or sideways");
            } else if to == "sys" && !MAY_USE_SYS.contains(&from) {
                complain("touches the operating system; ask crate::facts instead");
            } else if from == "sys" && !["fault", "repair", "seen"].contains(&to) {
                complain("is nothing that sys may know");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn resources_do_not_know_each_other() {
    let mut wrong = String::new();
    for source in Source::all() {
        let [top, one, ..] = source.module.as_slice() else { continue };
        if top != "resource" {
            continue;
        }
        for import in source.imports() {
            if let [top, other, ..] = import.as_slice() {
                let is_module = Path::new(&format!("src/resource/{other}.rs")).exists()
                    || Path::new(&format!("src/resource/{other}")).is_dir();
                let is_shared = SHARED.iter().any(|(shared, _)| shared == other);
                if top == "resource" && is_module && other != one && !is_shared {
                    let _ = writeln!(wrong, "{} imports the resource {other}", source.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_resource_is_registered() {
    let sources = Source::all();
    let register = sources.iter().find(|source| source.name == "src/resource/mod.rs").unwrap();
    let register = register.file.to_token_stream().to_string().replace(' ', "");
    let mut count = 0;
    for source in sources.iter().filter(|source| source.name.starts_with("src/resource/")) {
        for item in &source.file.items {
            let syn::Item::Impl(item) = item else { continue };
            let of = item.trait_.as_ref().and_then(|(path, _)| path.get_ident());
            if of.is_some_and(|name| name == "Resource") {
                count += 1;
                let name = item.self_ty.to_token_stream().to_string();
                assert!(
                    register.contains(&format!("::{name}>(")),
                    "{name} of {} is not in KINDS",
                    source.name
                );
            }
        }
    }
    assert_eq!(count, register.matches("kind::<").count(), "as many kinds as resources");
    assert!(count >= 4, "the scan finds the resources");
}

#[test]
fn unsafe_stands_in_one_file() {
    let is_unsafe = |source: &&Source| source.has(|token| token.to_string() == "unsafe");
    let found: Vec<String> =
        Source::all().iter().filter(is_unsafe).map(|source| source.name.clone()).collect();
    assert_eq!(found, ["src/sys/raw.rs"]);
}

/// Inside a folder, too, imports go one way: who reads one file needs none of those that need it.
#[test]
fn no_folder_goes_in_circles() {
    let sources: Vec<Source> = Source::all().into_iter().filter(|source| !source.is_test()).collect();
    let modules: BTreeSet<&[String]> = sources.iter().map(|source| &source.module[..]).collect();
    let gives: BTreeMap<_, _> = sources.iter().flat_map(Source::gives).collect();
    // The file that a path leads to: what is given on counts where it stands.
    let file_of = |path: &[String]| -> Option<Vec<String>> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let found = (1..=path.len()).rev().find_map(|end| Some((end, gives.get(&path[..end])?)));
            let Some((end, from)) = found else { break };
            path = [&from[..], &path[end..]].concat();
        }
        (1..=path.len()).rev().map(|end| &path[..end]).find(|path| modules.contains(path)).map(<[_]>::to_vec)
    };
    let mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for source in &sources {
        let to = source
            .named(false)
            .into_iter()
            .filter_map(|path| file_of(&path))
            .filter(|to| *to != source.module);
        arrows.entry(source.module.clone()).or_default().extend(to);
    }
    let mut circles = BTreeSet::new();
    for from in arrows.keys() {
        let mut way = reached(&arrows, from);
        way.retain(|to| reached(&arrows, to).contains(from));
        if !way.is_empty() {
            circles.insert(way.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" <-> "));
        }
    }
    assert!(circles.is_empty(), "\n{}", circles.into_iter().collect::<Vec<_>>().join("\n"));
}

/// All that a module needs, directly or not.
fn reached<'a>(
    arrows: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    from: &Vec<String>,
) -> BTreeSet<&'a Vec<String>> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&Vec<String>> = arrows.get(from).into_iter().flatten().collect();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(arrows.get(next).into_iter().flatten());
        }
    }
    found
}

/// One word for one thing: who looks for a type by its name finds one.
#[test]
fn a_name_is_that_of_one_type() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in Source::all().into_iter().filter(|source| !source.is_test()) {
        let names = source.file.items.iter().filter_map(|item| match item {
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            _ => None,
        });
        for name in names {
            places.entry(name.to_string()).or_default().push(source.name.clone());
        }
    }
    assert!(places.len() > 200, "the scan finds the types");
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "several types have these names; give each its own: {places:#?}");
}

#[test]
fn one_file_opens_connections_and_one_command_uses_it() {
    let mut wrong = String::new();
    for source in Source::all().iter().filter(|source| source.name != CONNECTION) {
        for word in OF_CONNECTIONS.iter().filter(|word| source.has(|token| token.to_string() == **word)) {
            // What an address is, the section of a profile asks of the same library.
            if (source.name.as_str(), *word) != ("src/gitlab/section.rs", "ureq") {
                let _ = writeln!(wrong, "{} says {word}: only {CONNECTION} opens connections", source.name);
            }
        }
        if source.name.starts_with("src/gitlab/") || source.name == "src/run/gitlab.rs" {
            continue;
        }
        for import in source.imports() {
            if import[0] == "gitlab" && import.get(1).is_none_or(|part| part != "section") {
                let import = import.join("::");
                let _ = writeln!(wrong, "{} imports {import}, which is for its own command", source.name);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    let long = |source: &&Source| source.lines > 400;
    let found: Vec<String> = Source::all()
        .iter()
        .filter(long)
        .map(|source| format!("{}: {} lines", source.name, source.lines))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_scan_sees_every_notation() {
    let text = "use crate::{fault, sys::{dir, root}};\nuse super::super::plan;\nuse super::{a::A, self};\n\
        // use crate::comment;\n/* crate::block */ const S: &str = \"crate::text\"; const C: char = '\\'';\n\
        fn f<'a>(x: &'a str) { crate::apply::go(); r#\"crate::raw\"#; }\npub(crate) fn g() {}\n\
        mod tests { use super::*; use super::super::up; mod deep { use super::x; } }\nuse super::last;\n";
    let source = Source::parse(Path::new("src/resource/config/value.rs"), text);
    let imports: Vec<String> = source.imports().into_iter().map(|path| path.join("::")).collect();
    // The module `tests` lies inside the file: its `super` is the file, not the directory.
    let expected = [
        "apply::go",
        "fault",
        "resource::config",
        "resource::config::a::A",
        "resource::config::last",
        "resource::config::up",
        "resource::config::value",
        "resource::config::value::tests::x",
        "resource::plan",
        "sys::dir",
        "sys::root",
    ];
    assert_eq!(imports.into_iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
}

fn rank_of(module: &str) -> Option<u32> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

fn rank(module: &str) -> u32 {
    rank_of(module).unwrap_or_else(|| panic!("{module} has no rank: give it one in this test"))
}

/// A file of `src`, taken apart.
struct Source {
    name: String,
    module: Vec<String>,
    file: syn::File,
    lines: usize,
}

impl Source {
    fn all() -> Vec<Self> {
        let top = support::source();
        let mut found = Vec::new();
        let mut waiting = vec![top.join("src")];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Self::parse(path.strip_prefix(&top).unwrap(), &text));
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(found.len() > 30, "the sources are found");
        found
    }

    fn parse(path: &Path, text: &str) -> Self {
        let mut module: Vec<String> = path
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        module.retain(|part| part != "mod");
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: path.display().to_string(), module, file, lines: text.lines().count() }
    }

    /// The paths that this file names by `crate::` and `super::`, from the top of the crate.
    fn imports(&self) -> BTreeSet<Vec<String>> {
        self.named(true)
    }

    /// The same, of its tests only if wanted.
    fn named(&self, with_tests: bool) -> BTreeSet<Vec<String>> {
        let mut named = Named {
            module: self.module.clone(),
            children: self.children(),
            with_tests,
            found: BTreeSet::new(),
        };
        named.visit_file(&self.file);
        named.found
    }

    /// The modules that it declares, which are files of their own.
    fn children(&self) -> BTreeSet<String> {
        let declared = |item: &syn::Item| match item {
            syn::Item::Mod(item) if item.content.is_none() => Some(item.ident.to_string()),
            _ => None,
        };
        self.file.items.iter().filter_map(declared).collect()
    }

    /// True for a file that only tests have.
    fn is_test(&self) -> bool {
        self.module.iter().any(|part| ["tests", "testing"].contains(&part.as_str()))
    }

    /// Where the names come from that this file gives on (`pub use`).
    fn gives(&self) -> BTreeMap<Vec<String>, Vec<String>> {
        let mut given = BTreeMap::new();
        for item in &self.file.items {
            let syn::Item::Use(item) = item else { continue };
            if matches!(item.vis, syn::Visibility::Inherited) {
                continue;
            }
            for leaf in leaves(&item.tree) {
                let from = match leaf.first().map(String::as_str) {
                    Some("crate" | "super" | "self") => absolute(&self.module, &leaf),
                    // A child of this module.
                    _ => Some([&self.module[..], &leaf].concat()),
                };
                if let (Some(from), Some(name)) = (from, leaf.last()) {
                    let name = renamed(&item.tree, name).unwrap_or_else(|| name.clone());
                    given.insert([&self.module[..], &[name]].concat(), from);
                }
            }
        }
        given
    }

    fn has(&self, is_it: impl Fn(&TokenTree) -> bool) -> bool {
        fn any(tokens: TokenStream, is_it: &dyn Fn(&TokenTree) -> bool) -> bool {
            tokens.into_iter().any(|token| match &token {
                TokenTree::Group(group) => any(group.stream(), is_it),
                token => is_it(token),
            })
        }
        any(self.file.to_token_stream(), &is_it)
    }
}

/// Collects the paths that a file names.
struct Named {
    module: Vec<String>,
    children: BTreeSet<String>,
    with_tests: bool,
    found: BTreeSet<Vec<String>>,
}

impl Named {
    fn add(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        if ["crate", "super"].contains(&first.as_str()) || self.children.contains(first) {
            self.found.extend(absolute(&self.module, path));
        }
    }

    /// What stands in a call of a macro is not a syntax yet: its words.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Punct(colon) if colon.as_char() == ':' => {}
                other => {
                    self.add(&std::mem::take(&mut path));
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
        });
        if is_test && !self.with_tests {
            return;
        }
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What is only given on is not needed here.
        if self.module.is_empty() || !matches!(item.vis, syn::Visibility::Inherited) && !self.with_tests {
            return;
        }
        for leaf in leaves(&item.tree) {
            self.add(&leaf);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // One word may be a variable that is called like a module.
        if words.len() > 1 {
            self.add(&words);
        }
        syn::visit::visit_path(self, path);
    }

    /// Who may see something is not who needs it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

/// The paths that a `use` brings in; `*` and `self` stand for the module before them.
fn leaves(tree: &syn::UseTree) -> Vec<Vec<String>> {
    match tree {
        syn::UseTree::Path(path) => {
            leaves(&path.tree).into_iter().map(|rest| [vec![path.ident.to_string()], rest].concat()).collect()
        }
        syn::UseTree::Name(name) if name.ident == "self" => vec![Vec::new()],
        syn::UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        syn::UseTree::Rename(rename) => vec![vec![rename.ident.to_string()]],
        syn::UseTree::Glob(_) => vec![Vec::new()],
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// What a name is called by whoever takes it from here, where that is another one.
fn renamed(tree: &syn::UseTree, name: &str) -> Option<String> {
    match tree {
        syn::UseTree::Path(path) => renamed(&path.tree, name),
        syn::UseTree::Rename(rename) if rename.ident == name => Some(rename.rename.to_string()),
        syn::UseTree::Group(group) => group.items.iter().find_map(|tree| renamed(tree, name)),
        _ => None,
    }
}

/// A path as it is called from the top of the crate; `None` for one that leads out of it.
fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    for (index, word) in path.iter().enumerate() {
        match word.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()?),
            _ => return Some([&base[..], &path[index..]].concat()),
        }
    }
    Some(base)
}
