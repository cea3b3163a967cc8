#!/usr/bin/env bash
# Runs docker-compose.yml on this machine until a greeting has left, checks the containers, and drains the node.
#
#   deploy/verify/laptop/run.sh            (a Docker engine with Compose; the images, or root and mmdebstrap for their stand-ins)
#
# LEAD: seconds from the start to the greeting; the servers need less (150). Everything belongs to the project
# heyday-verify-laptop, uses its own ports, and is removed at the end; KEEP=1 keeps it.
# Exit code 0: greeted once, scraped, not root, read-only, drained. Exit code 1: one of these failed.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export COMPOSE_PROJECT_NAME=heyday-verify-laptop
export NODE_PORT=${NODE_PORT:-18080} EMAIL_PORT=${EMAIL_PORT:-18025} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090}
export RABBITMQ_PORT=${RABBITMQ_PORT:-25672} GRAFANA_PORT=${GRAFANA_PORT:-13000}
. deploy/verify/steps.sh

clean_up() { [ -n "${KEEP:-}" ] || docker compose down --volumes --timeout 40 >/dev/null 2>&1; }
trap clean_up EXIT

if ! docker compose config --images | grep -v '^heyday:' | xargs docker image inspect >/dev/null 2>&1; then
    docker compose pull --quiet --ignore-buildable 2>/dev/null || deploy/verify/standins.sh
fi
# The classic builder uses the machine's network, from which package registries are reachable.
DOCKER_BUILDKIT=0 docker build --quiet --network=host --file Dockerfile.prod --tag heyday:0.1.0 . >/dev/null
say "the image has $(($(docker image inspect heyday:0.1.0 --format '{{.Size}}') / 1000000)) MB, of which the base is" \
    "$(($(docker image inspect "$(sed -n 's/^ARG PYTHON_IMAGE=//p' Dockerfile.prod)" --format '{{.Size}}') / 1000000)) MB"

at=$(date -u -d "+${LEAD:-150} seconds" +%FT%TZ)
SEND_AT=$(date -u -d "$at" +%T)
export SEND_AT
from=$SECONDS
docker compose up --wait --no-build 2>&1 | tail -n 12
say "docker compose up --wait reported healthy after $((SECONDS - from)) s"

curl --fail --silent --show-error "http://127.0.0.1:$NODE_PORT/api/v1/users" -H 'Authorization: Bearer only-for-this-laptop' \
    -H 'Content-Type: application/json' --output /dev/null --data '{"firstName": "Ada", "lastName": "Lovelace",
    "email": "ada@example.com", "timezone": "Etc/UTC", "birthdayDate": "1990-'"$(date -u -d "$at" +%m-%d)"'"}'
[ "$(date -u +%s)" -lt "$(date -u -d "$at" +%s)" ] || die "the servers started too slowly: set LEAD to more"
say "a user created, whose greeting is due at $at"

figure() { curl --fail --silent "http://127.0.0.1:$EMAIL_PORT/stats" | grep -oP "\"$1\": ?\K\d+"; }
greeted() { [ "$(figure accepted)" -ge 1 ]; }
in_time "$((${LEAD:-150} + 60))" "the email service has accepted a greeting" greeted
# The service cuts one connection in a hundred after accepting. Then the same key comes again, and /stats counts it.
[ "$(figure duplicates)" -le "$(figure cut)" ] || die "a user was greeted twice"

scraped() {
    curl --fail --silent --get "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" \
        --data-urlencode 'query=messages_sent_total{job="heyday"} == 1 and on (instance) up == 1' | grep -q '"instance"'
}
in_time 60 "Prometheus has the node, and its greeting," scraped

for service in node email; do
    id=$(docker compose ps --quiet "$service")
    users=$(docker top "$id" -eo uid,pid,args | awk 'NR > 1 {print $1}' | sort -u | xargs)
    [[ " $users " != *" 0 "* ]] || die "$service runs as root"
    # As root, so that only the read-only file system can refuse the write.
    ! docker exec --user 0 "$id" touch /written 2>/dev/null || die "$service can write to its root"
    say "$service runs as user $users, and not even root can write to its file system"
done

id=$(docker compose ps --quiet node)
from=$SECONDS
docker compose stop node >/dev/null 2>&1
code=$(docker inspect "$id" --format '{{.State.ExitCode}}')
docker logs "$id" 2>&1 | grep -q node_drained || die "the node was stopped, and did not drain"
[ "$code" = 0 ] || die "the node ended with exit code $code"
say "SIGTERM drained the node within $((SECONDS - from)) s, exit code 0"
