//! What a person gives: the profile, keys, and a token.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::support::gitlab::State;
use super::support::{CANARY, Tree, run_limited};
use super::{ALL, Desk, KEY, OTHER};

#[test]
fn mistakes_in_the_section_have_a_place() {
    let desk = Desk::new(State::default(), ALL);
    let url = desk.gitlab.url();
    for (section, says) in [
        ("[gitlab]\nur = \"x\"", "unknown key `ur`; did you mean `url`?"),
        ("[gitlab]\n[[gitlab.projects]]\npath = \"a/b\"", "unknown key `projects`; did you mean `project`?"),
        ("[gitlab]\n[[gitlab.project]]\npaht = \"a/b\"", "unknown key `paht`; did you mean `path`?"),
        ("[gitlab]\n[[gitlab.project]]\ndeploy_key = \"push\"", "missing field `path`"),
        ("[[gitlab.project]]\npath = \"a/b\"\ndeploy_key = \"write\"", "unknown variant `write`"),
        ("[[gitlab.project]]\npath = \"a/b\"\npipeline_variables = \"no_one_allowed\"", "unknown variant"),
        ("[[gitlab.project]]\npath = \"a/b\"\njob_tokens_from = \"c/d\"", "where a list is wanted"),
        ("[[gitlab.project]]\npath = \"https://gitlab.com/a/b\"", "without the server's address"),
        ("[[gitlab.project]]\npath = \"a/../b\"", "can't be a path"),
        ("[[gitlab.project]]\npath = \"a/b?x\"", "can't be a path"),
        ("[[gitlab.project]]\npath = \"/a/b\"", "can't be a path"),
        ("[[gitlab.project]]\npath = \"a/b.git\"", "did you mean \"a/b\"?"),
        ("[[gitlab.project]]\npath = \"a/b/\"", "can't be a path"),
        ("[[gitlab.project]]\npath = \"a/ü\"", "can't be a path"),
        ("[[gitlab.project]]\npath = \"alone\"", "is not a path of a project"),
        ("[gitlab]\nurl = \"http://gitlab.example.com\"", "would show the token"),
        ("[gitlab]\nurl = \"http://127.0.0.1.example.com\"", "would show the token"),
        ("[gitlab]\nurl = \"ftp://gitlab.com\"", "the address of GitLab is like"),
        ("[gitlab]\nurl = \"https://user:pass@gitlab.com\"", "without user"),
        ("[gitlab]\nurl = \"https://gitlab.com/?private_token=x\"", "without user"),
        ("[gitlab]\nurl = \"https://gitlab.com/api/v4/\"", "without the API: https://gitlab.com"),
        (
            "[gitlab]\nurl = \"https://example.com/git/-/user_settings\"",
            "that of its first page: https://example.com/git",
        ),
        (
            "[gitlab]\nurl = \"https://gitlab.com/users/sign_in\"",
            "that of its first page: https://gitlab.com",
        ),
        ("[gitlab]\nurl = \"gitlab.com\"", "the address of GitLab is like"),
        ("[gitlab]\nurl = \"\"", "the address of GitLab is like"),
        (
            "[[gitlab.project]]\npath = \"a/b\"\ndeploy_key = \"read\"\n[[gitlab.project]]\npath = \"A/B\"\ndeploy_key = \"push\"",
            "stands there twice",
        ),
    ] {
        desk.put("ours.toml", &format!("summary = \"x\"\n{section}\n"));
        let run = desk.run(&["plan"]);
        run.exit(2).says(says).says("ours.toml");
        // A host's commands check it, too.
        let host =
            Tree::new().file("etc/runner-prep/profiles/ours.toml", format!("summary = \"x\"\n{section}\n"));
        host.run(&["check", "--profile", "ours"]).exit(2).says(says);
    }
    assert_eq!(desk.gitlab.asked().len(), 0, "{url}");
}

#[test]
fn profiles_add_to_one_another() {
    let desk = Desk::new(State::default(), "deploy_key = \"push\"");
    desk.put("more.toml", "extends = [\"./ours.toml\"]\n[[gitlab.project]]\npath = \"group/k8s-repo\"\njob_tokens_from = [\"group/code-repo\"]\n");
    let mut command = desk.command(&["apply", "--public-key", "keys", "--token-file", "token"]);
    run_limited(command.args(["--profile", "./more.toml"])).ok();
    assert_eq!(desk.gitlab.written().len(), 2);
}

#[test]
fn a_profile_without_the_section_is_refused() {
    let desk = Desk::new(State::default(), "");
    for text in ["summary = \"x\"\n[git]\n", "summary = \"x\"\n[gitlab]\n"] {
        desk.put("ours.toml", text);
        desk.run(&["check"]).exit(2).says("has no [[gitlab.project]]");
    }
    // And to a host it says nothing.
    let host = Tree::new().file("etc/runner-prep/profiles/ours.toml", desk.gitlab.profile(ALL));
    host.run(&["check", "--profile", "ours"]).exit(2).says("wants nothing of a host");
    assert_eq!(desk.gitlab.asked().len(), 0);
}

#[test]
fn keys_come_in_every_form_that_key_prints() {
    let document = |line: &str| serde_json::json!({ "changed": false, "public_key": { "account": "x", "path": "/x", "line": line, "fingerprint": "x" } });
    let two = [document(KEY), document(OTHER)];
    for text in [
        format!("{KEY}\n{OTHER}"),
        format!("{}\n{}\n", two[0], two[1]),
        format!("{:#}\n{:#}", two[0], two[1]),
        format!("{}{}", two[0], two[1]),
        format!("# a\n{KEY}\n{:#}\n", two[1]),
    ] {
        let desk = Desk::new(State::default(), "deploy_key = \"push\"");
        desk.put("keys", &text);
        assert_eq!(desk.settles().len(), 2, "{text}");
        let mut command = desk.command(&["check", "--public-key", "-", "--token-file", "token"]);
        command.stdin(Stdio::from(std::fs::File::open(desk.path("keys")).unwrap()));
        assert!(command.output().unwrap().status.success());
    }
}

#[test]
fn what_is_no_public_key_is_refused_and_not_shown() {
    let desk = Desk::new(State::default(), "deploy_key = \"push\"");
    let private =
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n");
    for text in [
        "",
        "\n",
        "{}",
        "{",
        "null",
        "[1]",
        "ssh-ed25519",
        &KEY[..60],
        &private,
        &format!("restrict {KEY}"),
        &format!("@cert-authority * {KEY}"),
        &KEY.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"),
        &format!("{KEY}\nssh-ed25519 AAAA"),
        &format!("\u{feff}{KEY}"),
        "\u{0}\u{1}",
        "{\"public_key\": {\"line\": 3}}",
    ] {
        desk.put("keys", text);
        desk.run(&["plan"]).exit(2).says("give what this prints on each host");
    }
    desk.run(&["plan", "--public-key", "nowhere"]).exit(2).says("nowhere is missing");
    desk.run(&["plan", "--public-key", "."]).exit(2).says("is a directory");
    assert_eq!(desk.gitlab.asked().len(), 0);
}

#[test]
fn without_a_file_it_is_the_key_of_the_host() {
    let desk = Desk::new(State::default(), "deploy_key = \"push\"");
    let uid = Tree::uid(998);
    let tree = Tree::new()
        .account("gitlab-runner", uid, "/home/gitlab-runner")
        .file("etc/runner-prep/profiles/ours.toml", desk.gitlab.profile("deploy_key = \"push\""));
    let gitlab = |words: &[&str]| {
        let mut command = tree.command(&[&["gitlab"], words, &["--profile", "ours"]].concat());
        run_limited(command.arg("--token-file").arg(desk.path("token")))
    };
    gitlab(&["plan"]).exit(2).says("has no SSH key that jobs can use");
    tree.run(&["apply", "--profile", "shell", "--only", "ssh_key"]).ok();
    gitlab(&["apply"]).ok();
    let key = tree.run(&["key"]).stdout;
    assert_eq!(desk.gitlab.state().keys[0].line, key.trim());
    gitlab(&["check"]).ok();
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let desk = Desk::new(State::default(), ALL);
    for mode in [0o640, 0o604, 0o644, 0o620, 0o666, 0o610] {
        std::fs::set_permissions(desk.path("token"), std::fs::Permissions::from_mode(mode)).unwrap();
        let run = desk.run(&["plan"]);
        // Root goes further: what others can write is not even read.
        let is_untrusted = run.contains("the file token can be changed by others than root");
        assert!(is_untrusted || run.contains("others can read the token"), "{run}");
        run.exit(2);
    }
    for text in ["", "\n", "two words", "two\nlines", "\u{1b}", "é"] {
        desk.put("token", text);
        desk.run(&["plan"]).exit(2).says("is not a token");
    }
    std::fs::remove_file(desk.path("token")).unwrap();
    desk.run(&["plan"]).exit(2).says("token is missing");
    let run = run_limited(&mut desk.command(&["plan", "--public-key", "keys"]));
    run.exit(2)
        .says("none was given")
        .says("--token-file")
        .says("without one: runner-prep gitlab plan --offline --profile ./ours.toml --public-key keys");
    // What is printed goes on where this one ended: with the same key of the same tree.
    let tree = desk.path("tree dir");
    std::fs::create_dir(&tree).unwrap();
    let words = ["plan", "--public-key", "keys", "--user", "ci", "--root", "tree dir"];
    let printed = format!(
        "runner-prep gitlab plan --offline --profile ./ours.toml --public-key keys --user ci --root '{}'",
        tree.display()
    );
    let said = run_limited(&mut desk.command(&[&words[..], &["--json"]].concat())).exit(2).json();
    assert!(said.to_string().contains(&printed), "{said}");
    let mut again = std::process::Command::new("sh");
    let line = printed.replacen("runner-prep", &format!("'{}'", super::support::program().display()), 1);
    run_limited(again.args(["-c", &line]).current_dir(desk.path(""))).ok().says("Deploy keys");
    let run = run_limited(desk.command(&["plan", "--public-key", "keys"]).env("GITLAB_TOKEN", ""));
    run.exit(2).says("none was given");
    assert_eq!(desk.gitlab.asked().len(), 0);
    let token = format!("glpat-{CANARY}");
    run_limited(desk.command(&["plan", "--public-key", "keys"]).env("GITLAB_TOKEN", &token))
        .ok()
        .says_not(CANARY);
}

#[test]
fn without_a_token_it_prints_what_to_do_by_hand() {
    let desk = Desk::new(State::default(), &format!("{ALL}\npush_by_job_token = true"));
    desk.put("ours.toml", &format!("summary = \"x\"\n[[gitlab.project]]\npath = \"group/k8s-repo\"\n{ALL}\npush_by_job_token = true\n"));
    desk.put("keys", &format!("{KEY} it's\n"));
    let words = ["plan", "--offline", "--public-key", "keys"];
    let run = run_limited(&mut desk.command(&words));
    run.ok();
    for says in [
        "in group/k8s-repo: Settings > Repository > Deploy keys > Add new key",
        "tick \"Grant write permissions to this key\"",
        "glab api --hostname gitlab.com -X POST projects/group%2Fk8s-repo/deploy_keys -F can_push=true -f 'key=ssh-ed25519 ",
        "gitlab-runner it'\\''s'",
        "targetPath: \"group/code-repo\"",
        "glab api --hostname gitlab.com -X PUT projects/group%2Fk8s-repo -f ci_pipeline_variables_minimum_override_role=developer",
        "Settings > CI/CD > Variables > Minimum role to use pipeline variables: Developer",
        "glab api --hostname gitlab.com -X PUT projects/group%2Fk8s-repo -F ci_push_repository_for_job_token_allowed=true",
        "Allow Git push requests to the repository",
    ] {
        run.says(says);
    }
    assert!(run.stdout.lines().any(|line| line.trim() == format!("{KEY} it's")), "{run}");
    let document = run_limited(&mut desk.command(&[&words[..], &["--json"]].concat())).json();
    assert_eq!(
        (document["by_hand"].as_array().unwrap().len(), &document["changed"]),
        (4, &serde_json::json!(false))
    );
    run_limited(&mut desk.command(&["check", "--offline"])).exit(2);
    // A machine without jobs has no key of theirs, and gets none.
    std::fs::create_dir(desk.path("empty")).unwrap();
    run_limited(&mut desk.command(&["plan", "--offline", "--root", "empty"]))
        .exit(2)
        .says("has no SSH key")
        .says("sudo runner-prep key > keys; then add to this command: --public-key keys")
        .says_not("runner-prep apply");
    run_limited(&mut desk.command(&["plan", "--offline", "--token-file", "token"])).exit(2);
}
