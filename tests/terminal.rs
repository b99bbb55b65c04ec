//! What a person at a terminal sees and a log does not.

#![allow(clippy::disallowed_methods, reason = "`script` is started, which makes a terminal")]

mod support;

use std::process::Command;

use support::{Tree, have, run_limited};

const SLOW: &str = "summary = \"a key\"\n[ssh_key]\ntype = \"rsa\"\nbits = 3072\ncomment = \"a\"\n";

#[test]
fn something_moves_on_a_terminal_while_a_key_is_made_and_nowhere_else() {
    if !have(&["script"]) {
        return;
    }
    let tree = || Tree::new().account("gitlab-runner", 998, "/home/gitlab-runner").file("slow.toml", SLOW);
    let arguments = ["apply", "--profile", "./slow.toml"];
    let at_terminal = |tree: &Tree, more: &str| {
        let command = tree.command(&arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{} {more}", words.join(" ")), "/dev/null"]).current_dir(tree.top());
        run_limited(&mut script)
    };

    let run = at_terminal(&tree(), "");
    run.ok().says("\r| making a key ").says("\r\u{1b}[K").says("change");
    at_terminal(&tree(), "--quiet").ok().says_not("making");
    // What is made at once shows nothing, and neither does a plan, which makes no key.
    let quick = tree();
    quick.put("slow.toml", SLOW.replace("rsa", "ed25519").replace("bits = 3072\n", ""));
    at_terminal(&quick, "").ok().says_not("making");
    at_terminal(&tree(), "--dry-run").ok().says_not("making");

    tree().run(&arguments).ok().says_not("making").says_not("\r");
}
