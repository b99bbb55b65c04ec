#!/bin/sh
# Stands in for docker-entrypoint.sh of the official image `docker`: how the client finds its daemon.
set -eu

have_certificates() {
    [ -n "${DOCKER_TLS_CERTDIR:-}" ] &&
        [ -s "$DOCKER_TLS_CERTDIR/client/ca.pem" ] &&
        [ -s "$DOCKER_TLS_CERTDIR/client/cert.pem" ] &&
        [ -s "$DOCKER_TLS_CERTDIR/client/key.pem" ]
}

if [ -z "${DOCKER_HOST:-}" ] && [ -S /var/run/docker.sock ]; then
    export DOCKER_HOST=unix:///var/run/docker.sock
fi
if [ -z "${DOCKER_HOST:-}" ]; then
    if have_certificates || [ -n "${DOCKER_TLS_VERIFY:-}" ]; then
        export DOCKER_HOST=tcp://docker:2376
    else
        export DOCKER_HOST=tcp://docker:2375
    fi
fi
if [ "${DOCKER_HOST#tcp:}" != "$DOCKER_HOST" ] && [ -z "${DOCKER_TLS_VERIFY:-}" ] &&
    [ -z "${DOCKER_CERT_PATH:-}" ] && have_certificates; then
    export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$DOCKER_TLS_CERTDIR/client"
fi
exec "$@"
