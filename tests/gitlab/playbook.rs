//! The play in README: the keys of several hosts, and one call on the controller.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use super::support::gitlab::State;
use super::support::{PATH, made, program, readme_block, run_within, skip, tool};
use super::{Desk, KEY, OTHER};

#[test]
fn the_play_of_readme_registers_the_keys_of_all_hosts() {
    let ours = made("ansible/bin/ansible-playbook");
    let Some(ansible) = Some(ours).filter(|path| path.is_file()).or_else(|| tool("ansible-playbook")) else {
        return skip("no ansible-playbook, neither in target/ansible/bin nor in PATH");
    };
    let desk = Desk::new(State::default(), "");
    // The profile is README's, too, with this server and its projects in it.
    let profile = readme_block("gitlab.toml").replace("https://gitlab.com", &desk.gitlab.url());
    let profile =
        profile.replace("group/deploy", "group/k8s-repo").replace("group/code\"]", "group/code-repo\"]");
    let (first, _) = profile.split_once("\n[[gitlab.project]]\npath = \"group/code\"").unwrap();
    desk.put("gitlab.toml", first);
    desk.put("gitlab.yml", &readme_block("gitlab.yml"));
    let local = "ansible_connection=local ansible_python_interpreter=/usr/bin/python3 ansible_become=false";
    desk.put("hosts", &format!("[runners]\none {local}\ntwo {local}\n"));
    // Each host has a key of its own.
    let key = |line: &str| format!("echo '{{\"public_key\": {{\"line\": \"{line}\"}}}}'");
    let here = desk.directory.path().display();
    let wrapper = format!(
        "#!/bin/sh\ncase $1 in\nkey) if mkdir '{here}/called' 2>/dev/null; then {}; else {}; fi ;;\n*) exec '{}' \"$@\" ;;\nesac\n",
        key(KEY),
        key(OTHER),
        program().display()
    );
    desk.put("runner-prep", &wrapper);
    std::fs::set_permissions(desk.path("runner-prep"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let play = || {
        std::fs::remove_dir(desk.path("called")).ok();
        let mut play = Command::new(&ansible);
        play.args(["-i", "hosts", "gitlab.yml", "--forks", "1", "-e", &format!("token_file={here}/token")]);
        play.current_dir(desk.directory.path()).env_clear().env("HOME", desk.directory.path());
        play.env("PATH", format!("{here}:{PATH}")).env("LC_ALL", "C.UTF-8").env("ANSIBLE_NOCOLOR", "1");
        // Whoever runs this may have no home.
        play.env("ANSIBLE_REMOTE_TEMP", desk.path("remote"));
        run_within(Duration::from_secs(300), &mut play)
    };
    play().ok().says("changed=1");
    {
        let state = desk.gitlab.state();
        let mut lines: Vec<&str> = state.keys.iter().map(|key| key.line.as_str()).collect();
        lines.sort_unstable();
        assert_eq!((lines, state.projects.as_slice()), (vec![KEY, OTHER], [8].as_slice()));
    }
    desk.gitlab.asked();
    play().ok().says_not("changed=1");
    assert_eq!(desk.gitlab.written(), Vec::<String>::new());
}
