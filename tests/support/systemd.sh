#!/bin/sh
# Makes this process the systemd of a throwaway host, which has its own mounts and processes by now, in the control
# group $1. Nothing of the machine's own start runs: no device, no kernel setting and no file system is touched.
set -eu
if [ "$2" = outside ]; then
    umount -R /sys/fs/cgroup 2>/dev/null || :
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir "/sys/fs/cgroup/$1"
    echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
    exec unshare --cgroup /bin/sh -c "$3" systemd.sh "$1" inside
fi
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs /tmp
mkdir /tmp/pts /tmp/shm
for device in null zero full random urandom tty; do
    : >"/tmp/$device"
    mount --bind "/dev/$device" "/tmp/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts /tmp/pts
ln -s pts/ptmx /tmp/ptmx
ln -s /proc/self/fd /tmp/fd
mount --move /tmp /dev
mount -t tmpfs -o mode=0755 tmpfs /usr/lib/systemd/system/sysinit.target.wants
mount -o remount,bind,ro /proc/sys 2>/dev/null || mount --bind -o ro /proc/sys /proc/sys
# Without it systemd would take this for the first start of an image.
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /etc/systemd/system
cat >/etc/systemd/system/throwaway.target <<'EOF'
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service systemd-journald.socket
EOF
exec env -i container=throwaway PATH="$PATH" /lib/systemd/systemd --log-target=journal --show-status=no \
    --unit=throwaway.target
