"""The measurements of tests/bench/run. Runs inside its throwaway host, as its first process."""

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

TARGET = sys.argv[1]
PARTS = sys.argv[2:] or ["converged", "first", "config", "keys", "counts", "size"]
PREP = "/usr/local/bin/runner-prep"
PARSE = "/usr/local/bin/bench-parse"
ANSIBLE = f"{TARGET}/ansible/bin/ansible-playbook"
CONFIG = "/etc/gitlab-runner/config.toml"
ACCOUNT = "gitlab-runner"
ROUNDS = 200
# No comparison goes on for longer, in seconds, however busy the machine is.
PATIENCE = 20
NULL = os.open(os.devnull, os.O_RDWR)
DIND = ["--profile", "dind"]


def run(argv, stdin=None):
    """Starts a program and waits for it: seconds by the clock, seconds of processor, exit code."""
    source = NULL if stdin is None else os.open(stdin, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, NULL, 1), (os.POSIX_SPAWN_DUP2, NULL, 2)]
    path = argv[0] if "/" in argv[0] else shutil.which(argv[0])
    start = time.perf_counter()
    child = os.posix_spawn(path, argv, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    if stdin is not None:
        os.close(source)
    return wall, usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)


def must(argv, codes=(0,), **more):
    result = run(argv, **more)
    if result[2] not in codes:
        sys.exit(f"bench: exit code {result[2]} of {' '.join(argv)}")
    return result


def shown(seconds):
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.1:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def spread(values):
    """The median, and between which values the middle half lies."""
    values = sorted(values)
    low, high = values[len(values) // 4], values[-1 - len(values) // 4]
    return f"{shown(statistics.median(values))} ({shown(low)} to {shown(high)})"


def table(title, head, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()


def together(commands, rounds, codes=(0,)):
    """Runs the commands in turn, so that what disturbs one disturbs all, and each time in another order, because what
    comes after a large program finds its own code less near. For each: the walls and the processor times."""
    found = {name: ([], []) for name, _ in commands}
    order, dice = list(commands), random.Random(1)
    end = time.monotonic() + PATIENCE
    for number in range(rounds + 1):
        dice.shuffle(order)
        for name, argv in order:
            wall, cpu, _ = must(argv, codes)
            if number > 0:
                found[name][0].append(wall)
                found[name][1].append(cpu)
        if number >= 3 and time.monotonic() > end:
            break
    return found


def memory(argv):
    """The most memory that the program or a child of it had, in kilobytes."""
    return int(subprocess.run([PARSE, "memory", *argv], stdout=subprocess.PIPE, check=True, text=True).stdout)


def calls(argv):
    """System calls, and programs started beside the first."""
    trace = "/tmp/trace"
    subprocess.run(["strace", "-f", "-qq", "-o", trace, *argv], stdout=NULL, stderr=NULL, stdin=NULL, check=False)
    lines = open(trace, errors="replace").read().splitlines()
    # What an interrupted call says when it goes on is not a second one.
    lines = [line for line in lines if re.match(r"\d+ +[a-z_0-9]+\(", line)]
    programs = [line for line in lines if re.match(r"\d+ +execve(at)?\(.*= 0", line)]
    return len(lines), len(programs) - 1


def instructions(argv):
    """Instructions by callgrind: the same in every run, but for a few that depend on addresses."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *argv],
        stdout=NULL, stderr=subprocess.PIPE, stdin=NULL, text=True, check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    return f"{int(found[1]) / 1e6:.2f} million" if found else "?"


def config(runners, wanted=False):
    """A config.toml as `gitlab-runner register` leaves it."""
    head = "concurrent = 10\ncheck_interval = 0\nshutdown_timeout = 0\n\n[session_server]\n  session_timeout = 1800\n"
    extra = '  environment = ["DOCKER_TLS_CERTDIR=/certs"]\n' if wanted else ""
    volumes = '["/cache", "/certs/client"]' if wanted else '["/cache"]'
    blocks = (
        f'\n[[runners]]\n  name = "runner-{number}"\n  url = "https://gitlab.com/"\n  id = {number}\n'
        f'  token = "glrt-{number:020}"\n  token_obtained_at = 2026-01-01T00:00:00Z\n'
        f'  token_expires_at = 0001-01-01T00:00:00Z\n  executor = "docker"\n{extra}  [runners.cache]\n'
        "    MaxUploadedArchiveSize = 0\n    [runners.cache.s3]\n    [runners.cache.gcs]\n  [runners.docker]\n"
        f'    tls_verify = false\n    image = "docker:19.03"\n    privileged = {str(wanted).lower()}\n'
        "    disable_entrypoint_overwrite = false\n    oom_kill_disable = false\n    disable_cache = false\n"
        f"    volumes = {volumes}\n    shm_size = 0\n"
        for number in range(runners)
    )
    os.makedirs(os.path.dirname(CONFIG), 0o700, exist_ok=True)
    with open(CONFIG, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(head + "".join(blocks))
        file.flush()
        os.fsync(file.fileno())


def empty():
    """The host as it was before the first apply."""
    subprocess.run(["userdel", "-r", ACCOUNT], stdout=NULL, stderr=NULL, check=False)
    for path in ["/etc/ssh/ssh_known_hosts", f"/etc/sudoers.d/{ACCOUNT}"]:
        if os.path.lexists(path):
            os.remove(path)
    shutil.rmtree("/var/lib/runner-prep", ignore_errors=True)
    shutil.rmtree(f"/home/{ACCOUNT}", ignore_errors=True)
    config(1)


def converge():
    empty()
    must([PREP, "apply", *DIND])


def converged():
    converge()
    commands = [
        ("`true`, a process that does nothing", ["/usr/bin/true"]),
        ("`runner-prep apply --profile dind`", [PREP, "apply", *DIND]),
        ("`runner-prep check --profile dind`", [PREP, "check", *DIND]),
        ("`runner-prep plan --profile dind`", [PREP, "plan", *DIND]),
        ("`runner-prep --version`, which looks at nothing", [PREP, "--version"]),
        ("`visudo -cf` on the one file", ["visudo", "-cf", f"/etc/sudoers.d/{ACCOUNT}"]),
        ("a shell script that greps the facts (same.sh)", ["/bin/sh", "/run/same.sh"]),
    ]
    found = together(commands, ROUNDS)
    if os.path.exists(ANSIBLE):
        playbook = ("an Ansible playbook, connection local (same.yml)", [ANSIBLE, "/run/same.yml"])
        commands.append(playbook)
        found.update(together([playbook], 3))
    nothing = statistics.median(found[commands[0][0]][0])
    rows = []
    for name, argv in commands:
        wall, cpu = found[name]
        heavy = argv[0] == ANSIBLE
        count, programs = ("", "") if heavy else calls(argv)
        times = f"{statistics.median(wall) / nothing:.1f}"
        rows.append((name, spread(wall), times, shown(statistics.median(cpu)), count, programs, f"{memory(argv) / 1024:.1f} MB"))
    head = ["converged host", "time: median (middle half)", "times `true`", "processor", "system calls", "programs started", "memory"]
    table("A converged host", head, rows)


def first():
    kinds = ["account", "ssh_key", "known_hosts", "git", "sudoers", "config"]
    found = {name: [] for name in ["all", *kinds]}
    shell = {name: [] for name in kinds}
    home = f"/home/{ACCOUNT}"
    open("/tmp/rule", "w").write(f"{ACCOUNT} ALL=(ALL) NOPASSWD: /usr/bin/rsync\n")
    drop_in = f"/etc/sudoers.d/{ACCOUNT}"
    must([PREP, "apply", *DIND, "--allow-pending"])
    shutil.copy("/etc/ssh/ssh_known_hosts", "/tmp/known_hosts")
    replaced = {
        "account": "useradd --system --shell /bin/bash --comment 'GitLab Runner' --create-home --skel /dev/null gitlab-runner",
        "ssh_key": f"install -d -m 0700 -o {ACCOUNT} -g {ACCOUNT} {home}/.ssh && setpriv --reuid={ACCOUNT} --regid={ACCOUNT} --clear-groups "
        f"ssh-keygen -q -t ed25519 -N '' -C {ACCOUNT} -f {home}/.ssh/id_ed25519",
        "known_hosts": "tee -a /etc/ssh/ssh_known_hosts </tmp/known_hosts",
        "git": f"export HOME={home}; setpriv --reuid={ACCOUNT} --regid={ACCOUNT} --clear-groups sh -c "
        "'cd; git config --global user.name gitlab-runner; git config --global user.email gitlab-runner@bench-host'",
        "sudoers": f"visudo -c && visudo -cf /tmp/rule && install -m 0440 /tmp/rule {drop_in} && visudo -c && sudo -n -l -U {ACCOUNT} /usr/bin/rsync",
        "config": f"sed -i -e 's/privileged = false/privileged = true/' -e 's|\"/cache\"|&, \"/certs/client\"|' {CONFIG}",
    }
    for _ in range(7):
        empty()
        found["all"].append(must([PREP, "apply", *DIND])[0])
        empty()
        for kind in kinds:
            found[kind].append(must([PREP, "apply", *DIND, "--only", kind])[0])
        empty()
        for kind in kinds:
            shell[kind].append(must(["/bin/sh", "-euc", replaced[kind]])[0])
    rows = [("all of it", spread(found["all"]), spread([sum(times) for times in zip(*shell.values())]))]
    rows += [(f"only {kind}", spread(found[kind]), spread(shell[kind])) for kind in kinds]
    table("The first apply on an empty host", ["", "runner-prep", "the shell commands it replaces"], rows)
    # What of it is waiting for others.
    empty()
    trace = "/tmp/trace"
    subprocess.run(["strace", "-T", "-qq", "-o", trace, PREP, "apply", *DIND], stdout=NULL, stderr=NULL, check=False)
    lines = open(trace, errors="replace").read().splitlines()
    waits = {"fsync": [], "wait for a program": []}
    for line in lines:
        taken = re.search(r"<([0-9.]+)>$", line)
        if taken and line.startswith(("fsync(", "fdatasync(")):
            waits["fsync"].append(float(taken[1]))
        elif taken and line.startswith(("poll(", "wait4(", "waitid(", "ppoll(")):
            waits["wait for a program"].append(float(taken[1]))
    rows = [(name, len(times), shown(sum(times))) for name, times in waits.items()]
    table("What it waits for (with strace, so longer than above)", ["", "calls", "time"], rows)


def many():
    rows = []
    for runners, rounds in [(1, 20), (100, 20), (10_000, 5), (50_000, 3)]:
        only = [*DIND, "--only", "config"]
        config(runners, wanted=True)
        same = together(
            [("parse", [PARSE, "parse", CONFIG]), ("check", [PREP, "check", *only]), ("apply", [PREP, "apply", *only])], rounds
        )
        held = memory([PARSE, "parse", CONFIG]), memory([PREP, "check", *only])
        size = os.path.getsize(CONFIG)
        changed, parsed, one, undone, found = ([], []), ([], []), ([], []), ([], []), ([], [])
        for _ in range(rounds):
            config(runners)
            series = [
                (parsed, [PARSE, "parse", CONFIG]),
                (found, [PREP, "doctor", *DIND]),
                (changed, [PREP, "apply", *only]),
                (undone, [PREP, "undo"]),
                (one, [PREP, "apply", *only, "--runner", "runner-0"]),
            ]
            for times, argv in series:
                wall, cpu, _ = must(argv, (0, 1) if times is found else (0,))
                times[0].append(wall)
                times[1].append(cpu)
        config(runners)
        seen = memory([PREP, "doctor", *DIND])
        most = memory([PREP, "apply", *only])
        back = memory([PREP, "undo"])
        named = memory([PREP, "apply", *only, "--runner", "runner-0"])
        shutil.rmtree("/var/lib/runner-prep", ignore_errors=True)
        of = statistics.median

        def ratio(times, peer, which):
            return f"{of(times[which]) / of(peer[which]):.2f}"

        check, apply, parse = same["check"], same["apply"], same["parse"]
        head = f"{runners:,} ({size / 1e6:.1f} MB)"
        rows.append((head, "parser alone", spread(parse[0]), shown(of(parse[1])), "1", "1", f"{held[0] / 1024:.0f} MB"))
        for name, times, peer, kept in [
            ("check, nothing to do", check, parse, held[1]),
            ("apply, nothing to do", apply, parse, None),
            ("doctor, a finding for each runner", found, parsed, seen),
            ("apply that changes all", changed, parsed, most),
            ("undo of that", undone, parsed, back),
            ("apply --runner, one is changed", one, parsed, named),
        ]:
            kept = "" if kept is None else f"{kept / 1024:.0f} MB"
            rows.append(("", name, spread(times[0]), shown(of(times[1])), ratio(times, peer, 0), ratio(times, peer, 1), kept))
    head = ["runners", "", "time: median (middle half)", "processor", "time / parser", "processor / parser", "memory"]
    table("A long config.toml, --only config", head, rows)


def making(rounds):
    """Seconds to make each key, in a process that does nothing else."""
    made = subprocess.run([PARSE, "key", str(rounds)], stdout=subprocess.PIPE, check=True, text=True)
    return [float(line) for line in made.stdout.split()]


def keys():
    tree = "/tmp/tree"
    rows = []
    for kind, rounds in [("ed25519", 30)]:
        profile = f"/tmp/{kind}.toml"
        open(profile, "w").write(f'summary = "a key"\n[ssh_key]\ntype = "{kind}"\ncomment = "a"\n')
        ours, theirs = [], []
        for _ in range(rounds):
            shutil.rmtree(tree, ignore_errors=True)
            os.makedirs(f"{tree}/etc")
            open(f"{tree}/etc/passwd", "w").write(f"root:x:0:0::/root:/bin/sh\n{ACCOUNT}:x:998:998::/home/{ACCOUNT}:/bin/bash\n")
            os.makedirs(f"{tree}/home/{ACCOUNT}")
            os.chown(f"{tree}/home/{ACCOUNT}", 998, 998)
            ours.append(must([PREP, "apply", "--profile", profile, "--root", tree])[0])
            theirs.append(must(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a", "-f", f"{tree}/key"])[0])
        alone = making(rounds)
        worst = [shown(max(times)) for times in (alone, ours, theirs)]
        rows.append((kind, spread(alone), worst[0], spread(ours), worst[1], spread(theirs), worst[2]))
    head = ["key", "made in the process", "longest", "a whole `apply`, written and durable", "longest", "`ssh-keygen`", "longest"]
    table(f"SSH keys, {os.cpu_count()} cores", head, rows)


def counts():
    converge()
    rows = [("check, converged", instructions([PREP, "check", *DIND])), ("apply, converged", instructions([PREP, "apply", *DIND]))]
    only = [*DIND, "--only", "config"]
    config(10_000, wanted=True)
    rows.append(("check, 10,000 runners", instructions([PREP, "check", *only])))
    rows.append(("the parser alone on the same file", instructions([PARSE, "parse", CONFIG])))
    config(10_000)
    rows.append(("apply that changes all 10,000", instructions([PREP, "apply", *only])))
    table("Instructions (callgrind, the same in each run)", ["", "instructions"], rows)
    if "syscall: 437" in subprocess.run(["valgrind", PREP, "check", *DIND], stdout=NULL, stderr=subprocess.PIPE, stdin=NULL, text=True, check=False).stderr:
        print("\nThis valgrind does not know openat2(2): under it each path is opened step by step, which takes more.")


def size():
    converge()
    cold = []
    for _ in range(20):
        file = os.open(PREP, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
        cold.append(must([PREP, "check", *DIND])[0])
    warm = [must([PREP, "check", *DIND])[0] for _ in range(20)]
    rows = [
        ("size of the program", f"{os.path.getsize(PREP) / 1e6:.2f} MB"),
        ("`check`, the program not in the page cache", spread(cold)),
        ("`check`, the program in it", spread(warm)),
        ("crates in two versions (`cargo tree --duplicates`)", open("/run/duplicates").read().strip()),
    ]
    table("Size and start", ["", ""], rows)


def main():
    version = subprocess.run([PREP, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    load = os.getloadavg()[0]
    print(f"{version}, {time.strftime('%Y-%m-%d')}, Linux {os.uname().release}, {os.cpu_count()} cores, load {load:.1f}")
    if load > os.cpu_count() / 2:
        print("The machine has other work: compare the columns, not the days.")
    for part in PARTS:
        {"converged": converged, "first": first, "config": many, "keys": keys, "counts": counts, "size": size}[part]()


main()
