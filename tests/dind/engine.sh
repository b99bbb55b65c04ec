#!/bin/sh
# Runs a Docker daemon and a registry on what $1 holds, as the first process of namespaces of their own. Ends, with
# all that they started, when its standard input does: also when the test is killed.
set -eu
top=$1 groups=$2
mount -t tmpfs tmpfs /run
ip link set lo up
# What stands for the host's disk. The kernel frees the loop device when this mount goes with its namespace.
mkdir /run/disk
mount -o loop,ro "$top/disk.img" /run/disk
{
    PATH=$top/first:$PATH
    # A certificate of the registry is good where ours is.
    SSL_CERT_FILE=$top/registry/cert.pem exec dockerd --config-file "$top/daemon.json" --data-root "$top/data" \
        --exec-root /run/docker --pidfile /run/docker.pid --cgroup-parent "$groups" \
        --host unix:///var/run/docker.sock --host "unix://$top/docker.sock"
} >"$top/dockerd.log" 2>&1 </dev/null &
# As udev would leave it: a rootless daemon makes its network with it.
mknod -m 0666 /run/tun c 10 200
mount --bind /run/tun /dev/net/tun
# An address that no daemon, neither this one nor those in containers, takes for a network of its own.
ip addr add 198.51.100.1/32 dev lo
docker-registry serve "$top/registry/config.yml" >"$top/registry.log" 2>&1 </dev/null &
findmnt -no SOURCE /run/disk
exec cat >/dev/null
