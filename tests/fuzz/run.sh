#!/bin/sh
# Fuzzes every target for so many seconds each: tests/fuzz/run.sh [SECONDS [TARGET…]]
#
# Wants cargo-fuzz (`cargo install cargo-fuzz --locked`) and a C++ compiler. With a nightly toolchain it looks for
# memory errors too; any other one is told to behave as one, and then only panics are finds. What was learnt lies in
# tests/fuzz/corpus and is used by the next run; a find lies in tests/fuzz/artifacts: add it to tests/fuzz/seeds/TARGET
# once it is mended.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")"
seconds=${1:-60}
[ $# -eq 0 ] || shift
# shellcheck disable=SC2046  # a list of names
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | tail -n +2)

sanitizer=address
if ! rustc --version | grep -q nightly; then
    export RUSTC_BOOTSTRAP=1
    sanitizer=none
fi
found=
for target; do
    more=
    case $target in
    profile) more=../../profiles ;;
    config) more=../fixtures ;;
    esac
    mkdir -p "corpus/$target"
    printf '== %s, %s s\n' "$target" "$seconds"
    # shellcheck disable=SC2086  # one directory or none
    cargo fuzz run --fuzz-dir . --sanitizer "$sanitizer" "$target" "corpus/$target" "seeds/$target" $more -- \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 || found="$found $target"
done
[ -z "$found" ] || printf 'finds in:%s\n' "$found"
[ -z "$found" ]
