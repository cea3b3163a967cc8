#!/usr/bin/env bash
# Makes the files that docker-compose.prod.yml takes its secrets from, each once: what is there stays as it is.
#
#   deploy/secrets.sh DIRECTORY EMAIL_URL
#
# PostgreSQL, Redis and RabbitMQ get certificates of an authority that is made here; its key, servers_ca_key, is given to no
# service: keep it where the backups of secrets are. To renew a certificate delete its two files and run this again. Needs
# OpenSSL 3.
# The proxy's is signed by itself, for a first start: put your own tls_certificate and tls_key there.
set -euo pipefail
umask 077
directory=${1:?a directory for the files} email_url=${2:?the base URL of the email service}
mkdir -p "$directory"
cd "$directory"

random() { openssl rand -hex 24; }
write() { [ -e "$1" ] || printf '%s\n' "$2" >"$1"; }
of() { cat "$1"; }
# certificate NAME DAYS KEY OPTIONS...: a key, and a certificate for it
certificate() {
    local name=$1 days=$2 key=$3 told
    shift 3
    [ ! -e "$key" ] || return 0
    told=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" -keyout "$key" -out "$name" \
        "$@" 2>&1) || { echo "$told" >&2; return 1; }
}
# server NAME HOST...: a server's key, and its certificate by our authority
server() {
    local name=$1
    shift
    certificate "${name}_certificate" 3650 "${name}_key" -subj "/CN=$1" -CA servers_ca -CAkey servers_ca_key \
        -addext "subjectAltName=$(printf 'DNS:%s,' "$@" | sed 's/,$//')" -addext basicConstraints=CA:FALSE
}

# Ten years, as nobody but our own nodes has to trust them: one that runs out is an outage, and a new one takes a minute.
certificate servers_ca 3650 servers_ca_key -subj "/CN=heyday's servers" -addext keyUsage=critical,keyCertSign
server postgres postgres
server redis redis redis-replica
server rabbitmq rabbitmq rabbitmq-1 rabbitmq-2 rabbitmq-3
certificate tls_certificate 90 tls_key -subj /CN=heyday

for role in postgres postgres_migrator postgres_node postgres_backup grafana; do write "${role}_password" "$(random)"; done
verified='sslmode=verify-full&sslrootcert=/run/secrets/servers_ca'
write migrator_database_url "postgresql://heyday_migrator:$(of postgres_migrator_password)@postgres/heyday?$verified"
write node_database_url "postgresql://heyday_node:$(of postgres_node_password)@postgres/heyday?$verified"

# Redis and RabbitMQ read theirs as lines of configuration.
redis=$(random) rabbitmq=$(random)
write redis_password.conf "requirepass $redis
masterauth $redis"
write redis_url "rediss://:$(awk '$1 == "requirepass" {print $2}' redis_password.conf)@redis?ssl_ca_certs=/run/secrets/servers_ca"
write rabbitmq_password.conf "default_pass = $rabbitmq"
write rabbitmq_url "amqps://heyday:$(awk '{print $3}' rabbitmq_password.conf)@rabbitmq/?cafile=/run/secrets/servers_ca"
[ -e rabbitmq_cookie ] || random | tr -d '\n' >rabbitmq_cookie

write api_keys "$(random)"
write email_url "$email_url"
