#!/usr/bin/env bash
# Makes the secret files for docker-compose.prod.yml, Kubernetes and systemd. It never changes an existing file.
#
#   deploy/secrets.sh DIRECTORY EMAIL_URL [CA]
#
# CA is the path at which nodes find the file servers_ca. It is /run/secrets/servers_ca in Docker Swarm, which is the default,
# /run/secrets/heyday/servers_ca in Kubernetes, and /etc/heyday/servers_ca with systemd.
#
# It makes a certificate authority, and certificates for PostgreSQL, Redis and RabbitMQ. No service gets the authority's key,
# servers_ca_key: keep it with the backups of secrets. To renew a certificate, delete its two files and run this again. Needs
# OpenSSL 3.
# The proxy's certificate is self-signed, for a first start. Replace tls_certificate and tls_key by your own.
set -euo pipefail
umask 077
directory=${1:?a directory for the files} email_url=${2:?the base URL of the email service} ca=${3:-/run/secrets/servers_ca}
mkdir -p "$directory"
cd "$directory"

random() { openssl rand -hex 24; }
write() { [ -e "$1" ] || printf '%s\n' "$2" >"$1"; }
of() { cat "$1"; }
# certificate NAME DAYS KEY OPTIONS...: makes a key and its certificate
certificate() {
    local name=$1 days=$2 key=$3 told
    shift 3
    [ ! -e "$key" ] || return 0
    told=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" -keyout "$key" -out "$name" \
        "$@" 2>&1) || { echo "$told" >&2; return 1; }
}
# server NAME HOST...: makes a server's key, and a certificate of the authority
server() {
    local name=$1
    shift
    certificate "${name}_certificate" 3650 "${name}_key" -subj "/CN=$1" -CA servers_ca -CAkey servers_ca_key \
        -addext "subjectAltName=$(printf 'DNS:%s,' "$@" | sed 's/,$//')" -addext basicConstraints=CA:FALSE
}

# Ten years: only heyday's own nodes trust these certificates, an expired one is an outage, and renewal takes a minute.
certificate servers_ca 3650 servers_ca_key -subj "/CN=heyday's servers" -addext keyUsage=critical,keyCertSign
server postgres postgres
server redis redis redis-replica
server rabbitmq rabbitmq rabbitmq-1 rabbitmq-2 rabbitmq-3
certificate tls_certificate 90 tls_key -subj /CN=heyday

for role in postgres postgres_migrator postgres_node postgres_backup grafana; do write "${role}_password" "$(random)"; done
verified="sslmode=verify-full&sslrootcert=$ca"
write migrator_database_url "postgresql://heyday_migrator:$(of postgres_migrator_password)@postgres/heyday?$verified"
write node_database_url "postgresql://heyday_node:$(of postgres_node_password)@postgres/heyday?$verified"

# Redis and RabbitMQ read their passwords as lines of configuration.
redis=$(random) rabbitmq=$(random)
write redis_password.conf "requirepass $redis
masterauth $redis"
write redis_url "rediss://:$(awk '$1 == "requirepass" {print $2}' redis_password.conf)@redis?ssl_ca_certs=$ca"
write rabbitmq_password.conf "default_pass = $rabbitmq"
write rabbitmq_url "amqps://heyday:$(awk '{print $3}' rabbitmq_password.conf)@rabbitmq/?cafile=$ca"
[ -e rabbitmq_cookie ] || random | tr -d '\n' >rabbitmq_cookie

write api_keys "$(random)"
write email_url "$email_url"
