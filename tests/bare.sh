#!/bin/sh
# Makes, in the directory $1, a tree of the Debian (or Ubuntu) release $2 that has nothing but apt, for the tests that
# install on a bare machine: $1/$2. In its /srv/archive lie the packages that a runner's host needs, as a source for
# apt, so that a test needs no network. What is there already stays.
set -eu
unset CDPATH
umask 022
mkdir -p -- "$1"
tree=$(cd -- "$1" && pwd)/$2
[ ! -d "$tree" ] || exit 0
trap 'rm -rf -- "$tree.new"' EXIT
rm -rf -- "$tree.new"
# The machine's own ways to its packages.
set -- "$2"
for file in /etc/apt/apt.conf.d/*; do
    if grep -q '^Acquire::\(Check\|http\|https\|Retries\)' "$file" 2>/dev/null; then
        set -- --aptopt="$file" "$@"
    fi
done
# shellcheck disable=SC2016  # $1 is the tree, as the hook gets it
mmdebstrap --quiet --mode=root --variant=apt \
    --customize-hook='mkdir -p "$1/srv/archive/partial"' \
    --customize-hook='chroot "$1" apt-get -qq -o Dir::Cache::Archives=/srv/archive -o APT::Keep-Downloaded-Packages=true \
        install --download-only -y --no-install-recommends git openssh-client passwd rsync sudo' \
    "$@" "$tree.new" </dev/null >&2
cd "$tree.new/srv/archive"
rm -rf lock partial
for file in *.deb; do
    dpkg-deb --field "$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d ' ' -f 1)"
done >Packages
mv -- "$tree.new" "$tree"
