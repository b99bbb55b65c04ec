#!/bin/sh
# Makes the files of an image out of this machine's own programs, each with the libraries it is linked to:
#
#   image.sh DIRECTORY PROGRAM…
#
# There is no network in a test, so no registry to take `docker:19.03-dind` from.
set -eu
tree=$1
shift

put() {
    path=$(command -v "$1") || {
        echo "image.sh: no $1 here" >&2
        exit 1
    }
    mkdir -p "$tree/usr/local/bin"
    cp -L "$path" "$tree/usr/local/bin/$1"
    # Nothing for a static program.
    { ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$tree$library" ] || {
            mkdir -p "$tree${library%/*}"
            cp -L "$library" "$tree$library"
        }
    done
}

mkdir -p "$tree"
chmod 0755 "$tree"
for name in bin sbin lib lib64; do
    mkdir -p "$tree/usr/$name"
    ln -s "usr/$name" "$tree/$name"
done
mkdir -p "$tree/dev" "$tree/etc" "$tree/mnt" "$tree/proc" "$tree/run" "$tree/root" "$tree/sys" "$tree/var/lib"
ln -s /run "$tree/var/run"
mkdir -m 1777 "$tree/tmp"
# As in the official image.
mkdir -m 1777 "$tree/certs" "$tree/certs/client"
printf 'root:x:0:0:root:/root:/bin/sh\nrootless:x:1000:1000:Rootless:/home/rootless:/bin/sh\n' >"$tree/etc/passwd"
printf 'root:x:0:\nrootless:x:1000:\n' >"$tree/etc/group"

for program in "$@"; do
    put "$program"
    case $program in
    busybox)
        mv "$tree/usr/local/bin/busybox" "$tree/usr/bin/busybox"
        for applet in $("$tree/usr/bin/busybox" --list); do
            [ -e "$tree/usr/bin/$applet" ] || ln -s busybox "$tree/usr/bin/$applet"
        done
        ;;
    iptables)
        # Its matches and targets are plugins.
        for plugins in /usr/lib/*/xtables /usr/lib/xtables /usr/lib64/xtables; do
            if [ -d "$plugins" ]; then
                mkdir -p "$tree${plugins%/*}"
                cp -RL "$plugins" "$tree$plugins"
            fi
        done
        ;;
    openssl)
        config=$(openssl version -d | sed 's/^[^"]*"\(.*\)"$/\1/')
        mkdir -p "$tree$config"
        cp -L "$config/openssl.cnf" "$tree$config/openssl.cnf"
        ;;
    newuidmap | newgidmap) chmod u+s "$tree/usr/local/bin/$program" ;;
    esac
done
