//! Profiles that are odd.

use super::{IS_MINE, host, mine, refused, taken};

#[test]
fn profiles_that_are_odd_and_right() {
    for (name, text) in [
        ("BOM", "\u{feff}[git]\nname = \"x\"\n".to_owned()),
        ("CRLF", "[git]\r\nname = \"x\"\r\n".to_owned()),
        ("dotted keys", "git.name = \"x\"\n".to_owned()),
        ("inline", "git = { name = \"x\" }\n".to_owned()),
        ("quoted keys", "[\"git\"]\n'name' = \"x\"\n".to_owned()),
        ("letters of the world", "[git]\nname = \"Ünï 執行器 🚀\"\n".to_owned()),
        (
            "5,000 volumes",
            format!(
                "[config.docker]\nvolumes = [{}]\n",
                (0..5_000).fold(String::new(), |text, n| text + &format!("\"/v{n}\","))
            ),
        ),
    ] {
        taken(name, &mine(text), &IS_MINE);
    }
    // The same said in two ways is not a contradiction, and lists of tables add to one another like others.
    let one = "[git]\nname = \"x\"\n[config]\nlimit = 16\nenvironment = [\"A=1\"]\n[config.docker]\nservices = [{ name = \"a:1\" }]\n[[deploy]]\nname = \"app\"\ntarget = \"/srv/x\"\n";
    let other = "deploy = [{ target = '/srv/x', name = 'app' }]\n[git]\nname = 'x'\n[config]\nlimit = 0x10\nenvironment = ['A=1', \"B=2\"]\n[[config.docker.services]]\nname = 'b:1'\n";
    let tree = host().file("root/one.toml", one).file("root/other.toml", other);
    for order in ["root/one.toml,root/other.toml", "root/other.toml,root/one.toml"] {
        let shown = tree.run(&["profile", "show", order]).ok().stdout.clone();
        for (what, times) in [("A=1", 1), ("B=2", 1), ("a:1", 1), ("b:1", 1), ("/srv/x", 1), ("limit", 1)] {
            assert_eq!(shown.matches(what).count(), times, "{order}: {what} in\n{shown}");
        }
    }
    // Each extends two that extend two: 2^14 ways to the last one, and each is read once.
    let mut tree = host();
    for level in 0..14 {
        let below = match level {
            13 => "[]\n[git]\nname = \"x\"".to_owned(),
            _ => format!("[\"l{0}\", \"r{0}\"]", level + 1),
        };
        for side in ["l", "r"] {
            tree = tree.file(
                &format!("etc/runner-prep/profiles/{side}{level}.toml"),
                format!("extends = {below}\n"),
            );
        }
    }
    taken("many ways to one profile", &tree, &["--profile", "l0,r0,l0"]);
}

#[test]
fn a_profile_replaces_values_of_those_before_it() {
    // What replaces, a list of profiles, what the resolved one then has and has no more.
    type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);
    let cases: &[Case] = &[
        (
            "a value",
            "extends = [\"shell\"]\nreplaces = [\"git.name\"]\n[git]\nname = \"bot\"\n",
            "mine",
            &["name = \"bot\""],
            &["[git]\nname = \"gitlab-runner\""],
        ),
        (
            "a list, of two levels below",
            "extends = [\"dind\"]\nreplaces = [\"config.docker.volumes\"]\nconfig.docker.volumes = [\"/x\"]\n",
            "mine",
            &["volumes = [\"/x\"]", "privileged = true"],
            &["/certs/client\""],
        ),
        (
            "one of two variables",
            "extends = [\"dind\"]\nreplaces = [\"config.environment\"]\n[config]\nenvironment = [\"DOCKER_TLS_CERTDIR=\"]\n",
            "mine",
            &["DOCKER_TLS_CERTDIR=\""],
            &["TLS_CERTDIR=/certs"],
        ),
        (
            "in a list",
            "replaces = ['git.name']\ngit = { name = 'bot' }\n",
            "shell,mine",
            &["name = 'bot'"],
            &["[git]\nname = \"gitlab-runner\""],
        ),
        (
            "a section",
            "extends = [\"shell\"]\nreplaces = [\"sudoers\"]\n[sudoers]\ncommands = [\"/usr/bin/true\"]\n",
            "mine",
            &["/usr/bin/true"],
            &["rsync\"]"],
        ),
    ];
    for (name, text, asked, has, lacks) in cases {
        let tree = mine(*text);
        let shown = tree.run(&["profile", "show", asked]).ok().stdout.clone();
        assert!(!shown.lines().any(|line| line.starts_with("replaces")), "{name}: {shown}");
        for part in *has {
            assert!(shown.contains(part), "{name}: {part} in\n{shown}");
        }
        for part in *lacks {
            assert!(!shown.contains(part), "{name}: {part} in\n{shown}");
        }
        // The resolved text is a profile that says the same.
        let again = tree.file("root/again.toml", &shown).run(&["profile", "show", "root/again.toml"]);
        assert_eq!(again.ok().stdout, shown, "{name}");
    }
    // Before it, and not after it.
    let tree = mine("extends = [\"shell\"]\nreplaces = [\"git.name\"]\n[git]\nname = \"bot\"\n")
        .file("root/other.toml", "[git]\nname = \"other\"\n");
    tree.run(&["profile", "show", "mine,root/other.toml"]).exit(2).says("replaces = [\"git.name\"]");
}

#[test]
fn profiles_that_are_odd_and_wrong() {
    let cases: &[(&str, &str, &str)] = &[
        ("control characters in a name", "[git]\nname = \"a\\u0000b\"\n", "line 2"),
        ("a newline in a comment", "[ssh_key]\ncomment = \"a\\nssh-rsa AAAA\"\n", "comment"),
        ("a host with a space", "[known_hosts]\nhosts = [\"a b\"]\n", "line 2"),
        ("a host with a comma", "[known_hosts]\nhosts = [\"a,b\"]\n", "line 2"),
        ("any host", "[known_hosts]\nhosts = [\"*\"]\n", "line 2"),
        ("a host with a newline", "[known_hosts]\nhosts = [\"a\\nb ssh-rsa AAAA\"]\n", "line 2"),
        ("a negated host", "[known_hosts]\nhosts = [\"!a\"]\n", "line 2"),
        ("a port beyond all", "[known_hosts]\nhosts = [\"a:99999\"]\n", "line 2"),
        ("a variable without a name", "[config]\nenvironment = [\"=x\"]\n", "environment"),
        ("a variable without a value", "[config]\nenvironment = [\"A\"]\n", "environment"),
        ("a variable with NUL", "[config]\nenvironment = [\"A=\\u0000\"]\n", "environment"),
        ("an empty variable", "[config]\nenvironment = [\"\"]\n", "environment"),
        ("a date for a name", "[git]\nname = 2026-01-01\n", "line 2"),
        (
            "nesting",
            "x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
            "line 1",
        ),
        ("sections twice", "[git]\nname = \"a\"\n[git]\nname = \"b\"\n", "line 3"),
        ("a number for a list", "extends = 7\n", "line 1"),
        ("direction of text", "[\u{202e}tig]\nname = \"a\"\n", "line 1"),
        ("a group for a command", "[sudoers]\ncommands = [\"%sudo\"]\n", "line 2"),
        ("a number too large", "[ssh_key]\ntype = \"rsa\"\nbits = 99999999999999999999\n", "line 3"),
        ("very many bits", "[ssh_key]\ntype = \"rsa\"\nbits = 1000000\n", "bits"),
    ];
    for (name, text, says) in cases {
        refused(name, &mine(text), &IS_MINE, says);
    }
    let mut tree = host();
    for level in 0..200 {
        let text = format!("extends = [\"p{}\"]\n", level + 1);
        tree = tree.file(&format!("etc/runner-prep/profiles/p{level}.toml"), text);
    }
    refused("a ladder of 200 profiles", &tree, &["--profile", "p0"], "extends");
    for path in ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/dev/fd/0", "/proc/self/mem"] {
        refused(path, &host(), &["--profile", path], "can't be the path of a profile");
    }
    let tree = host().link("root/zero.toml", "/dev/zero").link("root/stdin.toml", "/dev/stdin");
    let path = |name: &str| tree.path(name).display().to_string();
    refused("a link to a device", &tree, &["--profile", &path("root/zero.toml")], "zero.toml");
    refused("a link to standard input", &tree, &["--profile", &path("root/stdin.toml")], "stdin.toml");
}
