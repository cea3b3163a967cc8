#!/usr/bin/env bash
# Makes the files that docker-compose.prod.yml takes its secrets from, each once: what is there stays as it is.
#
#   deploy/secrets.sh DIRECTORY EMAIL_URL
#
# The certificate is signed by itself, for a first start: put your own tls_certificate and tls_key there.
set -euo pipefail
umask 077
directory=${1:?a directory for the files} email_url=${2:?the base URL of the email service}
mkdir -p "$directory"
cd "$directory"

random() { openssl rand -hex 24; }
write() { [ -e "$1" ] || printf '%s\n' "$2" >"$1"; }
of() { cat "$1"; }

for role in postgres postgres_migrator postgres_node postgres_backup grafana; do write "${role}_password" "$(random)"; done
write migrator_database_url "postgresql://heyday_migrator:$(of postgres_migrator_password)@postgres/heyday"
write node_database_url "postgresql://heyday_node:$(of postgres_node_password)@postgres/heyday"

# Redis and RabbitMQ read theirs as lines of configuration.
redis=$(random) rabbitmq=$(random)
write redis_password.conf "requirepass $redis
masterauth $redis"
write redis_url "redis://:$(awk '$1 == "requirepass" {print $2}' redis_password.conf)@redis"
write rabbitmq_password.conf "default_pass = $rabbitmq"
write rabbitmq_url "amqp://heyday:$(awk '{print $3}' rabbitmq_password.conf)@rabbitmq/"
[ -e rabbitmq_cookie ] || random | tr -d '\n' >rabbitmq_cookie

write api_keys "$(random)"
write email_url "$email_url"
if [ ! -e tls_key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=heyday \
        -keyout tls_key -out tls_certificate 2>/dev/null
fi
