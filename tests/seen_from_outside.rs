//! What others see of a run while it works: of the process itself in `/proc`, and of every program it starts.
//!
//! No secret is in an argument or an environment, nobody dumps or traces it, and nothing that its caller left open
//! reaches a child.

#![allow(clippy::disallowed_methods, reason = "a test looks at the files of the host itself")]
#![allow(clippy::unwrap_used, reason = "a scene that can't be laid out stops the test")]

mod support;

use support::{Host, PATH, have, tool};

/// Waits in the place of a tool until it may go on, and leaves what a child can see.
const STAND_IN: &str = "\
#!/bin/sh
exec >/tmp/child.$$ 2>&1
cat /proc/self/limits | grep core
tr '\\0' '\\n' </proc/$$/environ | sort
# In a shell of its own: for a pipe or a redirection this one has more handles.
(exec ls /proc/$$/fd >/tmp/handles)
echo handles: $(grep -vx -e 10 -e 255 /tmp/handles)
echo session: $(cut -d' ' -f6 /proc/$$/stat)
readlink /proc/$$/fd/0 /proc/$$/cwd
echo $$ >/tmp/child
while [ -e /tmp/hold ]; do sleep .05; done
exit 0
";

fn host() -> Option<support::HostBuilder> {
    let host = Host::or_skip()?;
    let config = support::fixture("config-docker-runner.toml");
    have(&["visudo", "ssh-keygen", "git", "setpriv", "strace", "useradd"]).then(|| host.config_toml(config))
}

#[test]
fn a_run_and_its_children_show_no_secret() {
    let Some(host) = host() else { return };
    let host = host
        .file_mode("/usr/local/sbin/visudo", STAND_IN, 0o755)
        .file("/tmp/hold", "")
        .file_mode("/root/secret", "glrt-CANARY-of-a-handle", 0o600)
        .start();
    // A caller with a secret in its environment, an open handle to another, and a wish for core dumps.
    host.sh("ulimit -c unlimited
        TOKEN=glrt-CANARY-of-the-environment setpriv --groups 27,4 sh -c \
            'exec 9</root/secret; runner-prep apply --profile dind & echo $! >/tmp/parent; wait $!; echo $? >/tmp/ended' \
            </dev/null >/tmp/said 2>&1 &
        n=0; until [ -s /tmp/child ]; do n=$((n + 1)); [ $n -lt 600 ]; sleep .05; done")
        .ok();
    let seen = host.sh("p=$(cat /tmp/parent); c=$(cat /tmp/child)
        grep core /proc/$p/limits; tr '\\0' ' ' </proc/$p/cmdline; echo; grep -E '^(Groups|Uid):' /proc/$p/status
        echo parent session $(cut -d' ' -f6 /proc/$p/stat)
        tr '\\0' ' ' </proc/$c/cmdline; echo
        cat /tmp/child.$c");
    seen.ok().says_not("CANARY").says_not("PRIVATE KEY");
    let lines: Vec<&str> = seen.stdout.lines().collect();
    let cores: Vec<_> = lines.iter().filter(|line| line.contains("core file size")).collect();
    assert_eq!(cores.len(), 2, "{seen}");
    for core in cores {
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{seen}");
    }
    let after = |begin: &str| {
        lines.iter().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("{begin}: {seen}"))
    };
    assert_eq!(after("Groups:").trim(), "", "{seen}");
    assert_eq!(after("handles: ").trim(), "0 1 2", "{seen}");
    assert_ne!(after("session: "), after("parent session "), "{seen}");
    // Nothing of the caller's to read, but the text that it is asked about.
    let [.., input, "/"] = lines[..] else { panic!("{seen}") };
    assert!(input == "/dev/null" || input.starts_with("pipe:"), "{seen}");
    let environment: Vec<&str> = lines.iter().copied().filter(|line| line.contains('=')).collect();
    let known = ["LC_ALL=C", "PATH=", "PWD=/", "OLDPWD="];
    assert!(environment.iter().all(|it| known.iter().any(|known| it.starts_with(known))), "{environment:?}");
    host.sh("rm /tmp/hold; until [ -s /tmp/ended ]; do sleep .05; done; cat /tmp/ended").ok();
}

/// Of a whole run, with all that it makes: an account, a key, a rule, a configuration.
#[test]
fn no_program_is_started_with_a_secret() {
    let Some(host) = host() else { return };
    let host = host.start();
    let trace = "strace -f -qq -v -s 100000 -e trace=execve,execveat -o /tmp/trace";
    host.sh(&format!("TOKEN=glrt-CANARY-of-the-environment {trace} runner-prep apply --profile dind")).ok();
    host.sh(&format!(
        "TOKEN=glrt-CANARY-of-the-environment {trace}.2 runner-prep doctor --profile dind; true"
    ));
    let calls = host.text("/tmp/trace") + &host.text("/tmp/trace.2");
    // The first call is ours, with our caller's environment.
    let started: Vec<&str> = calls
        .lines()
        .filter(|line| line.contains("exec") && !line.contains("/runner-prep\", [\"runner-prep\""))
        .collect();
    assert!(started.len() > 3 && started.iter().any(|line| line.contains("visudo")), "{started:?}");
    let key = host.text("/home/gitlab-runner/.ssh/id_ed25519");
    let body: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    for line in started {
        assert!(!line.contains("CANARY") && !line.contains("PRIVATE KEY"), "{line}");
        assert!(!body.iter().any(|secret| line.contains(secret)), "{line}");
    }
}

/// Somebody with the same user id, who may trace whatever is not protected.
#[test]
fn nobody_of_the_same_user_looks_into_a_run() {
    let Some(host) = host() else { return };
    let host = host.file_mode("/usr/local/sbin/visudo", STAND_IN, 0o755).file("/tmp/hold", "").start();
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups env -i LC_ALL=C";
    host.sh(&format!(
        "mkdir -p /tmp/tree/etc/sudoers.d /tmp/tree/usr/bin /tmp/tree/home/ci /tmp/tree/var/lib
        echo 'ci:x:65534:65534::/home/ci:/bin/sh' >/tmp/tree/etc/passwd; echo 'ci:x:65534:' >/tmp/tree/etc/group
        echo '@includedir /etc/sudoers.d' >/tmp/tree/etc/sudoers; cp /bin/true /tmp/tree/usr/bin/rsync
        chown -R 65534:65534 /tmp/tree
        {nobody} PATH={PATH} sh -c '/opt/under-test/runner-prep apply --profile shell --user ci --root /tmp/tree --only sudoers & \
            echo $! >/tmp/parent; wait $!; echo $? >/tmp/ended' \
            </dev/null >/tmp/said 2>&1 &
        n=0; until [ -s /tmp/child ]; do n=$((n + 1)); [ $n -lt 600 ]; sleep .05; done"
    ))
    .ok();
    let trace = tool("strace").unwrap();
    for attempt in [
        "cat /proc/$p/environ",
        "cat /proc/$p/maps",
        "head -c 1 /proc/$p/mem",
        "ls /proc/$p/fd/",
        &format!("timeout 5 {} -o /dev/null -p $p", trace.display()),
    ] {
        let script =
            format!("p=$(cat /tmp/parent); {nobody} PATH={PATH} sh -c '{}'", attempt.replace("$p", "'$p'"));
        let run = host.sh(&script);
        assert_ne!(run.status, 0, "may: {attempt}\n{run}");
        let refused = ["not permitted", "ermission denied"].iter().any(|it| run.stderr.contains(it));
        assert!(refused, "{attempt}: {run}");
    }
    host.sh("rm /tmp/hold; until [ -s /tmp/ended ]; do sleep .05; done").ok();
    host.sh("cat /tmp/said").ok().says("1 change made");
}
