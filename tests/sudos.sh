#!/bin/sh
# Fetches the other versions of sudo that the tests try rules and deployments against, as packages of Debian, into
# the directory $1: a tree for each, to be laid over /usr of a throwaway host. What is there already stays.
#
# Nothing is installed: the packages are only unpacked. Their libc comes along where it is newer than the machine's,
# as with a partial upgrade; everything else is the machine's.
set -eu
unset CDPATH
umask 022
target=$1
# Where the machine's own packages come from, unless somebody says otherwise.
ours=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' | grep '/debian/*$' | head -n 1)
mirror=${RUNNER_PREP_DEBIAN_MIRROR:-$ours}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

if [ -e "$target/complete" ]; then
    exit 0
fi
if [ -z "$mirror" ]; then
    printf 'tests/sudos.sh: this machine has no mirror of Debian; name one in RUNNER_PREP_DEBIAN_MIRROR\n' >&2
    exit 1
fi
if [ ! -e "$keys" ]; then
    printf 'tests/sudos.sh: %s is missing (package debian-archive-keyring)\n' "$keys" >&2
    exit 1
fi
# Programs that were setuid root once are nobody's to start from here.
rm -rf "$target"
mkdir -p "$target"
chmod 0700 "$target"
target=$(cd "$target" && pwd)
complete=$target/complete

apt=$target/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/empty"
for suite in bullseye trixie sid; do
    printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite"
done >"$apt/sources.list"
# Lists and packages apart from the machine's own.
cat >"$apt/apt.conf" <<EOF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "$apt/empty";
Dir::Etc::PreferencesParts "$apt/empty";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
APT::Sandbox::User "root";
EOF
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq >&2

cd "$apt"
# In one call, because each reads all lists anew.
apt-get download -qq sudo/bullseye sudo/trixie sudo/sid sudo-rs/trixie sudo-rs/sid libc6/trixie libc6/sid >&2

machine=$(dpkg-query --show --showformat '${Version}' libc6)
# Of two versions the older one is of trixie.
one_of() {
    # shellcheck disable=SC2012  # names of packages have no newlines
    ls "$1"_*.deb | sort -V | sed -n "$2p"
}
# unpack TREE PACKAGE LIBC: of /usr, what runs.
unpack() {
    tree=$target/$1
    mkdir -p "$tree"
    dpkg-deb --extract "$2" "$tree"
    if [ -n "$3" ] && dpkg --compare-versions "$(dpkg-deb --field "$3" Version)" gt "$machine"; then
        dpkg-deb --extract "$3" "$tree"
    fi
    rm -rf "${tree:?}/usr/share"
}
unpack sudo-bullseye "$(one_of sudo 1)" ''
unpack sudo-trixie "$(one_of sudo 2)" "$(one_of libc6 1)"
unpack sudo-sid "$(one_of sudo 3)" "$(one_of libc6 2)"
unpack sudo-rs-trixie "$(one_of sudo-rs 1)" "$(one_of libc6 1)"
unpack sudo-rs-sid "$(one_of sudo-rs 2)" "$(one_of libc6 2)"
# As the package's postinst does.
chmod 4755 "$target"/sudo-rs-*/usr/lib/cargo/bin/sudo
# Laid over one of sudo-rs: it is the host's sudo, and the other is kept beside it, as in Ubuntu since 25.10.
first=$target/sudo-rs-first/usr
mkdir -p "$first/bin" "$first/sbin"
ln -s ../lib/cargo/bin/sudo "$first/bin/sudo"
ln -s ../lib/cargo/bin/visudo "$first/sbin/visudo"
cp -p /usr/bin/sudo "$first/bin/sudo.ws"
cp -p /usr/sbin/visudo "$first/sbin/visudo.ws"
rm -rf "$apt"
: >"$complete"
