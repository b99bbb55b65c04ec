#!/bin/sh
# Runs all tests: as root those on throwaway hosts as well, as an ordinary user those on throwaway trees.
# Further arguments go to `cargo nextest run` or `cargo test`.
#
# It begins with `tests/tools.sh`, which installs what they use. What could not run is counted and named at the end.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."

# shellcheck source=tests/tools.sh
. tests/tools.sh

# Each test that cannot run here adds a line to this: its name and why.
RUNNER_PREP_SKIPPED=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/skipped
export RUNNER_PREP_SKIPPED
: >"$RUNNER_PREP_SKIPPED"
chmod 0666 "$RUNNER_PREP_SKIPPED"

# Thousands of throwaway hosts are written and thrown away. Where there is memory for them, and a file system in it keeps
# all that they need, no disk is asked; it is gone with the tests.
# shellcheck disable=SC2016  # the arguments of that shell
in_memory() {
    [ "$(id -u)" = 0 ] && [ "$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 8 ] &&
        unshare --mount sh -c 'mount -t tmpfs -o mode=1777 none "$0" && cd "$0" && : >x && chattr +i x && chattr -i x &&
            setfattr -n user.x -v x x' "$1" 2>/dev/null
}
memory=$(mktemp -d)
trap 'rmdir "$memory"' EXIT
is_in_memory=false
if in_memory "$memory"; then
    is_in_memory=true
fi

# Runs a command whose exit code is to outlive a pipe.
# shellcheck disable=SC2016  # the arguments of that shell
run() {
    if "$is_in_memory"; then
        set -- unshare --mount sh -c 'mount -t tmpfs -o mode=1777 none "$0" && export TMPDIR="$0" && exec "$@"' "$memory" "$@"
    fi
    "$@" 2>&1 && echo 0 >"$log.rc" || echo $? >"$log.rc"
}
log=${CARGO_TARGET_DIR:-target}/tests.log
if cargo nextest --version >/dev/null 2>&1; then
    # More than there are cores: many tests wait for something to give up. `.config/nextest.toml` says which do not.
    export NEXTEST_TEST_THREADS="${NEXTEST_TEST_THREADS:-$(($(nproc) * 3))}"
    # The examples in the documentation first, which nextest does not run: its closing line is to be the last.
    cargo test --locked --doc
    run cargo nextest run --locked --no-fail-fast "$@" | tee "$log"
else
    run cargo test --locked --no-fail-fast "$@" | tee "$log"
fi
read -r rc <"$log.rc"
# What skipped itself has passed for the runner of the tests, and for nobody else.
skipped=$(cut -f 1 "$RUNNER_PREP_SKIPPED" | sort -u | grep -c .) || :
if [ "$skipped" != 0 ]; then
    printf '\nskipped, each with what it lacks here:\n'
    sort -u "$RUNNER_PREP_SKIPPED" | sed 's/^/  /; s/\t/: /'
    awk '
        function number(word) { return match($0, "[0-9]+ " word) ? substr($0, RSTART, RLENGTH) + 0 : 0 }
        /^ *Summary \[/ || /^test result: / {
            passed += number("passed"); failed += number("failed") + number("timed out"); skipped += number("skipped")
        }
        END { printf "%d passed, %d failed, %d skipped\n", passed - own, failed, skipped }
    ' own="$skipped" skipped="$skipped" "$log"
fi
exit "$rc"
