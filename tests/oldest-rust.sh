#!/bin/sh
# Checks the program with the oldest Rust that Cargo.toml allows: one of rustup's, or the system's own if it is that, or
# else Debian's, in a tree of that release which is made below target (as root, with mmdebstrap).
#
# The program alone: what the tests are made with may want a newer one.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."
wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
target=${CARGO_TARGET_DIR:-target}
export CARGO_TARGET_DIR="$target/rust-$wanted"
set -- cargo check --locked --lib --bins

is_wanted() {
    case $("$@" --version 2>/dev/null) in
    *" $wanted."*) "$@" --version ;;
    *) return 1 ;;
    esac
}

if is_wanted rustc; then
    exec "$@"
elif is_wanted rustup run "$wanted" rustc; then
    exec rustup run "$wanted" "$@"
elif [ "$(id -u)" != 0 ] || ! command -v mmdebstrap >/dev/null 2>&1; then
    printf 'tests/oldest-rust.sh: no Rust %s here: rustup toolchain install %s; or as root: apt-get install mmdebstrap\n' \
        "$wanted" "$wanted" >&2
    exit 1
fi

tree=$target/debian-with-rust-$wanted
if [ ! -d "$tree" ]; then
    # The release that has it.
    printf 'tests/oldest-rust.sh: making a tree of Debian 13 in %s\n' "$tree" >&2
    rm -rf "$tree.new"
    mkdir -p "$target"
    mmdebstrap --quiet --mode=root --variant=essential --include=cargo,gcc,libc6-dev \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' trixie "$tree.new" </dev/null >&2
    mkdir -p "$tree.new/srv/source" "$tree.new/srv/target" "$tree.new/srv/registry"
    mv "$tree.new" "$tree"
fi
cargo fetch --locked
mkdir -p "$CARGO_TARGET_DIR"
# The source can't be written in there, and there is no network.
# shellcheck disable=SC2016  # the inner shell expands
unshare --mount --propagation private --pid --fork --kill-child --net -- /bin/sh -euc '
    tree=$1 target=$2 registry=$3 check=$4
    mount --bind . "$tree/srv/source"
    mount -o remount,bind,ro "$tree/srv/source"
    mount --bind "$target" "$tree/srv/target"
    mount --bind "$registry" "$tree/srv/registry"
    mount --rbind /dev "$tree/dev"
    mount -t proc proc "$tree/proc"
    exec chroot "$tree" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/srv/cargo \
        CARGO_TARGET_DIR=/srv/target /bin/sh -euc "
            mkdir -p /srv/cargo; ln -sfn /srv/registry /srv/cargo/registry
            cd /srv/source; rustc --version; exec $check --offline"
' sh "$tree" "$CARGO_TARGET_DIR" "${CARGO_HOME:-$HOME/.cargo}/registry" "$*"
