#!/bin/sh
# Gets the tools that the tests use and the machine has not: as root on Debian and Ubuntu it installs them, elsewhere it
# names them. What is there already is left. `tests/run.sh` begins with it. The server for SSH is only unpacked.
set -eu
unset CDPATH
[ -e tests/tools.sh ] || cd -- "$(dirname -- "$0")/.."

# A tool that the tests start, and the package of Debian that has it.
needs='
sudo:sudo
visudo:sudo
useradd:passwd
su:util-linux
unshare:util-linux
nsenter:util-linux
setpriv:util-linux
mount:mount
chattr:e2fsprogs
mkfs.ext4:e2fsprogs
ip:iproute2
ps:procps
pgrep:procps
script:bsdutils
ssh-keygen:openssh-client
python3:python3
ssh:openssh-client
rsync:rsync
git:git
setfacl:acl
setfattr:attr
strace:strace
shellcheck:shellcheck
cc:gcc
strip:binutils
man:man-db
mmdebstrap:mmdebstrap
chroot:coreutils
systemd-analyze:systemd
systemctl:systemd
journalctl:systemd
'
# No developer's machine should get these for the sake of a test: some would run at the next start.
if [ -n "${CI:-}" ]; then
    needs="$needs
cloud-init:cloud-init
busybox:busybox-static
fish:fish
zsh:zsh
docker-registry:docker-registry
dockerd:docker.io
iptables:iptables
mkfs.ext2:e2fsprogs
newuidmap:uidmap
nsenter:util-linux
openssl:openssl
packer:packer
rootlesskit:rootlesskit
slirp4netns:slirp4netns
"
fi

# The packages of a release are built by the long form alone: the tools for that take minutes to compile.
if [ -n "${RUNNER_PREP_LONG:-}" ]; then
    needs="$needs
lintian:lintian
rpm:rpm
"
fi

# Where an ordinary user's PATH does not lead to, but the tests do.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing() {
    {
        for need in $needs; do
            command -v "${need%%:*}" >/dev/null 2>&1 || printf '%s\n' "${need#*:}"
        done
        /usr/bin/python3 -c 'import jsonschema' 2>/dev/null || echo python3-jsonschema
        # Ansible comes from PyPI, into an environment that this makes.
        [ -x "$ansible/bin/ansible-playbook" ] || /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    } | sort -u | tr '\n' ' '
}

mkdir -p "${CARGO_TARGET_DIR:-target}"
enabled=${CARGO_TARGET_DIR:-target}/enabled
ansible=${CARGO_TARGET_DIR:-target}/ansible
sudos=${CARGO_TARGET_DIR:-target}/sudos
packages=$(missing)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'tests/tools.sh: installing %s\n' "$packages" >&2
    # A server that comes with a package has no business running here.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    else
        policy=
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    # A release may have dropped one. What needs it is skipped then, also in CI: it can't be had.
    known=
    for package in $packages; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            known="$known $package"
            continue
        fi
        for need in $needs; do
            [ "${need#*:}" != "$package" ] || RUNNER_PREP_NOT_TO_BE_HAD="${RUNNER_PREP_NOT_TO_BE_HAD:-} ${need%%:*}"
        done
    done
    export RUNNER_PREP_NOT_TO_BE_HAD
    find /etc/systemd/system -type l 2>/dev/null | sort >"$enabled.before"
    # shellcheck disable=SC2086  # a list of names
    apt-get install -y -qq --no-install-recommends $known >&2 </dev/null
    # Since Debian 13 the client is a package of its own.
    if command -v dockerd >/dev/null 2>&1 && ! command -v docker >/dev/null 2>&1; then
        apt-get install -y -qq --no-install-recommends docker-cli >&2 </dev/null
    fi
    # Nor does it start with the machine.
    find /etc/systemd/system -type l 2>/dev/null | sort | comm -13 "$enabled.before" - | while read -r link; do
        rm -f -- "$link"
    done
    rm -f "$enabled.before"
    if [ -n "$policy" ]; then
        rm -f "$policy"
        trap - EXIT
    fi
    packages=$(missing)
fi
if [ -n "$packages" ]; then
    printf 'tests/tools.sh: not installed, so tests that need it are skipped; as packages of Debian: %s\n' "$packages" >&2
fi

# Only root has hosts to manage.
if [ "$(id -u)" = 0 ] && [ ! -x "$ansible/bin/ansible-playbook" ]; then
    printf 'tests/tools.sh: installing ansible-core from PyPI into %s\n' "$ansible" >&2
    /usr/bin/python3 -m venv "$ansible" >&2 && "$ansible/bin/pip" install -q --disable-pip-version-check ansible-core >&2 </dev/null ||
        printf 'tests/tools.sh: cannot, so the tests that need it are skipped\n' >&2
fi

# A tree of this distribution, for the tests of images: no more than a host needs to be one.
image=${CARGO_TARGET_DIR:-target}/image
if [ "$(id -u)" = 0 ] && [ ! -d "$image" ] && command -v mmdebstrap >/dev/null 2>&1; then
    printf 'tests/tools.sh: making a tree of Debian in %s\n' "$image" >&2
    rm -rf "$image.new"
    # shellcheck source=/dev/null
    mmdebstrap --quiet --mode=root --variant=essential --include=git,login,openssh-client,passwd,rsync,sudo \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$image.new" >&2 </dev/null &&
        mv "$image.new" "$image" ||
        printf 'tests/tools.sh: cannot, so the tests that need it are skipped\n' >&2
fi

# Machines that have nothing but apt, for the tests that install on one. With them the packages that a host needs.
bare=${CARGO_TARGET_DIR:-target}/bare
# shellcheck source=/dev/null
releases=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -z "${RUNNER_PREP_LONG:-}" ] || releases=$(printf '%s\n' "$releases" bullseye bookworm trixie sid | sort -u)
if [ "$(id -u)" = 0 ] && command -v mmdebstrap >/dev/null 2>&1; then
    for release in $releases; do
        [ ! -d "$bare/$release" ] || continue
        printf 'tests/tools.sh: making a bare tree of %s in %s\n' "$release" "$bare" >&2
        tests/bare.sh "$bare" "$release" || printf 'tests/tools.sh: cannot, so the tests that need it are skipped\n' >&2
    done
fi

# A server for SSH that is nowhere installed: throwaway hosts have it laid over their /usr.
servers=${CARGO_TARGET_DIR:-target}/servers
if [ "$(id -u)" = 0 ] && ! command -v sshd >/dev/null 2>&1 && [ ! -e "$servers/usr/sbin/sshd" ] &&
    command -v apt-get >/dev/null 2>&1; then
    printf 'tests/tools.sh: fetching a server for SSH into %s\n' "$servers" >&2
    rm -rf "$servers.new"
    mkdir -p "$servers.new/packages"
    # With the libraries that the machine has not.
    (
        packages=$(apt-get -s -q --no-install-recommends install openssh-server | awk '$1 == "Inst" { print $2 }')
        cd "$servers.new/packages"
        # shellcheck disable=SC2086  # a list of names
        apt-get download -qq ${packages:-openssh-server} >&2
        for package in *.deb; do
            dpkg-deb --extract "$package" ..
        done
        [ ! -d ../lib ] || cp -a ../lib/. ../usr/lib/
    ) && rm -rf "$servers.new/packages" && mv "$servers.new" "$servers" ||
        printf 'tests/tools.sh: cannot, so the tests that need it are skipped\n' >&2
fi

# The versions of sudo that rules and deployments are tried against, on hosts of root's.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && [ ! -e "$sudos/complete" ]; then
    printf 'tests/tools.sh: fetching other versions of sudo into %s\n' "$sudos" >&2
    tests/sudos.sh "$sudos" </dev/null ||
        printf 'tests/tools.sh: cannot, so the tests that need them are skipped\n' >&2
fi

tools=${CARGO_TARGET_DIR:-target}/tools
if [ -n "${RUNNER_PREP_LONG:-}" ] && [ ! -x "$tools/bin/cargo-generate-rpm" ]; then
    printf 'tests/tools.sh: building cargo-deb and cargo-generate-rpm in %s\n' "$tools" >&2
    cargo install --debug --locked --root "$tools" cargo-deb cargo-generate-rpm >&2 </dev/null ||
        printf 'tests/tools.sh: cannot, so the test that needs them is skipped\n' >&2
fi
