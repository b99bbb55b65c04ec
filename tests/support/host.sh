#!/bin/sh
# Makes the throwaway host's `/` out of $1, with the program $2 in it and the layers $3 over `/usr`. Runs in namespaces of its own as their
# first process and ends, with all that it holds, when its standard input does: also when the test is killed.
set -eu
base=$1 program=$2 layers=$3
echo runner-host >/proc/sys/kernel/hostname
if command -v ip >/dev/null; then
    ip link set lo up
fi
if [ -n "$layers" ]; then
    mount -t overlay -o "ro,lowerdir=$layers:/usr" layers /usr
fi
# A mount on a directory with this mount in it: first the inner one, then the outer with all below.
mount --bind "$program" "$base/opt/under-test/runner-prep"
# /tmp last: the directory we copy from may lie in it.
for directory in /etc /home /root /run /var /srv /opt /usr/local/bin /usr/local/sbin /usr/local/share /tmp; do
    if [ -d "$directory" ]; then
        mount --rbind "$base$directory" "$directory"
    fi
done
# Whatever else the machine has, nothing on its root can be written from in here.
mount -o remount,bind,ro /
echo ready
exec cat >/dev/null
