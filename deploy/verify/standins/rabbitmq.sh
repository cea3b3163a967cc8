#!/usr/bin/env bash
# The needed part of the official entrypoint: user and password from the environment, and not as root.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    if [ -n "${RABBITMQ_DEFAULT_USER:-}" ]; then
        printf 'default_user = %s\ndefault_pass = %s\nloopback_users = none\n' \
            "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" >/etc/rabbitmq/conf.d/10-default-user.conf
    fi
    chown -R rabbitmq: /var/lib/rabbitmq
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$@"
fi
exec "$@"
