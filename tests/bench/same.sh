#!/bin/sh
# Asks a converged host for the same facts as `runner-prep check --profile dind`, as one would write it by hand.
# It takes the layout of config.toml for granted, and who could change a file it does not ask.
set -eu
account=gitlab-runner
home=$(getent passwd "$account" | cut -d: -f6)
[ "$(stat -c '%a %U' "$home/.ssh")" = "700 $account" ]
[ "$(stat -c '%a %U' "$home/.ssh/id_ed25519")" = "600 $account" ]
[ "$(ssh-keygen -y -P '' -f "$home/.ssh/id_ed25519" | cut -d' ' -f1,2)" = "$(cut -d' ' -f1,2 "$home/.ssh/id_ed25519.pub")" ]
for kind in ssh-ed25519 ecdsa-sha2-nistp256 ssh-rsa; do
    grep -q "^gitlab.com $kind " /etc/ssh/ssh_known_hosts
done
grep -q '^[[:space:]]*name = ' "$home/.gitconfig"
grep -q '^[[:space:]]*email = ' "$home/.gitconfig"
[ "$(stat -c '%a %U' /etc/sudoers.d/$account)" = '440 root' ]
grep -qx "$account ALL=(ALL) NOPASSWD: /usr/bin/rsync" /etc/sudoers.d/$account
grep -q '^[@#]includedir /etc/sudoers.d' /etc/sudoers
[ "$(stat -c '%U' /usr/bin/rsync)" = root ]
grep -q '^ *privileged = true' /etc/gitlab-runner/config.toml
grep -q '^ *volumes = .*"/certs/client"' /etc/gitlab-runner/config.toml
grep -q '^ *environment = .*"DOCKER_TLS_CERTDIR=/certs"' /etc/gitlab-runner/config.toml
