#!/bin/sh
# Stands in for dockerd-entrypoint.sh of the official images `docker:…-dind` and `docker:…-dind-rootless`: the
# certificates, where the daemon listens, and how it becomes rootless.
set -eu

make_certificates() {
    mkdir -p "$1/ca" "$1/server" "$1/client"
    [ -s "$1/ca/key.pem" ] || openssl genrsa -out "$1/ca/key.pem" 2048
    openssl req -new -x509 -key "$1/ca/key.pem" -subj '/CN=docker:dind CA' -days 2 -out "$1/ca/cert.pem"
    for side in server client; do
        [ -s "$1/$side/key.pem" ] || openssl genrsa -out "$1/$side/key.pem" 2048
        case $side in
        server) extension="subjectAltName=DNS:docker,DNS:localhost,DNS:$(hostname),IP:127.0.0.1" ;;
        client)
            extension=extendedKeyUsage=clientAuth
            # Whoever the job runs as has to read it.
            chmod 0644 "$1/client/key.pem"
            ;;
        esac
        printf '%s\n' "$extension" >"$1/ca/extension"
        openssl req -new -key "$1/$side/key.pem" -subj "/CN=docker:dind $side" -out "$1/$side/csr.pem"
        openssl x509 -req -in "$1/$side/csr.pem" -CA "$1/ca/cert.pem" -CAkey "$1/ca/key.pem" -CAcreateserial \
            -days 2 -extfile "$1/ca/extension" -out "$1/$side/cert.pem"
        cp "$1/ca/cert.pem" "$1/$side/ca.pem"
    done
}

if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
    socket=unix:///var/run/docker.sock
    if [ "$(id -u)" != 0 ]; then
        XDG_RUNTIME_DIR=/run/user/$(id -u)
        export XDG_RUNTIME_DIR
        socket=unix://$XDG_RUNTIME_DIR/docker.sock
    fi
    case ${DOCKER_HOST:-} in
    unix://*) socket=$DOCKER_HOST ;;
    esac
    if [ -n "${DOCKER_TLS_CERTDIR:-}" ]; then
        make_certificates "$DOCKER_TLS_CERTDIR" >&2
        set -- dockerd --host="$socket" --host=tcp://0.0.0.0:2376 --tlsverify \
            --tlscacert "$DOCKER_TLS_CERTDIR/server/ca.pem" --tlscert "$DOCKER_TLS_CERTDIR/server/cert.pem" \
            --tlskey "$DOCKER_TLS_CERTDIR/server/key.pem" "$@"
        port=2376
    else
        set -- dockerd --host="$socket" --host=tcp://0.0.0.0:2375 "$@"
        port=2375
    fi
    if [ "$(id -u)" != 0 ]; then
        set -- rootlesskit --net=slirp4netns --mtu=1500 --disable-host-loopback --port-driver=builtin \
            --copy-up=/etc --copy-up=/run -p "0.0.0.0:$port:$port/tcp" "$@"
    else
        # With one hierarchy of control groups, a group with processes in it can't hand controllers down.
        if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
            mkdir -p /sys/fs/cgroup/init
            xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null || :
            sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
        fi
    fi
    exec "$@"
fi
exec docker-entrypoint.sh "$@"
