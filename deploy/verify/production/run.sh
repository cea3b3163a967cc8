#!/usr/bin/env bash
# Runs docker-compose.prod.yml on this machine, breaks it during a wave, and compares the email service's log with the database.
#
#   deploy/verify/production/run.sh            (a Docker engine in Swarm mode; port 443 and 3000 free; the images, or their stand-ins)
#
# GREETINGS: number of greetings (3000). LEAD: seconds from the deployment to the wave, longer than the stack needs to start (240).
# Everything belongs to the stack heyday-verify (STACK) and is removed at the end; KEEP=1 keeps it.
# Exit code 0: nothing lost, twice or early. Exit code 1: a greeting was, or a step failed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd)
export STACK=${STACK:-heyday-verify} GREETINGS=${GREETINGS:-3000} HEYDAY_CLUSTER=verification OVERLAY_ENCRYPTED=false
work=$(mktemp -d)
export SECRETS=$work/secrets
. "$here/../steps.sh"
. "$here/stack.sh"
. "$here/faults.sh"
. "$here/restore.sh"

clean_up() {
    if [ -z "${KEEP:-}" ]; then
        docker stack rm "$stack" >/dev/null 2>&1 || true
        for _ in {1..60}; do [ -n "$(docker ps -aq --filter "name=^${stack}_")" ] || break; sleep 1; done
        docker ps -aq --filter "name=^${stack}_" | xargs --no-run-if-empty docker rm -f >/dev/null
        docker volume ls -q --filter "name=^${stack}_" | xargs --no-run-if-empty docker volume rm >/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT

for label in postgres redis redis-replica rabbitmq-1 rabbitmq-2 rabbitmq-3 monitoring proxy; do
    docker node update --label-add "heyday.$label=true" "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
done
"$top/deploy/secrets.sh" "$SECRETS" http://email:8025
begin=$(date -u -d "+${LEAD:-240} seconds" +%FT%TZ)
SEND_AT=$(date -u -d "$begin" +%T)
export SEND_AT
say "deploying; the wave is at $begin"
deploy
in_time 240 "RabbitMQ has three members" clustered
in_time 240 "three nodes are ready" three_ready
say "what the doctor is not content with (the email service of this script speaks no TLS):"
heyday doctor | grep -E '^  (warn|BAD)' || true

users() {
    local day number
    day=1990-$(date -u -d "$begin" +%m-%d)
    for number in $(seq "$GREETINGS"); do
        echo '{"firstName":"Ada","lastName":"Nr '"$number"'","email":"ada'"$number"'@example.com","birthdayDate":"'"$day"'","timezone":"Etc/UTC"}'
    done
}
created=$(users | curl --silent --show-error --insecure --max-time 120 https://127.0.0.1/api/v1/users:import \
    -H "Authorization: Bearer $(cat "$SECRETS/api_keys")" -H 'Content-Type: application/x-ndjson' --data-binary @- |
    grep -cE '"status": ?201')
[ "$created" = "$GREETINGS" ] || die "$created of $GREETINGS users created"
[ "$(date -u +%s)" -lt "$(date -u -d "$begin" +%s)" ] || die "the stack started too slowly: set LEAD to more"
say "$created users created through the proxy"
ADA=ada1@example.com runbook

in_time 60 "Prometheus sees three nodes" scraped
in_time 180 "Prometheus sees the backup, the disks and three certificates" exported
# Alertmanager has a name after its first health check at 30 s. Prometheus looks names up every 30 s, and sends an alert again after a minute.
in_time 180 "Alertmanager has the Watchdog" watched
in_time 60 "Grafana answers by TLS" drawn

in_time "${LEAD:-240}" "the wave has begun" begun
backup
rolling_update
kill_node
kill_leader
in_time 600 "the update is complete" updated
in_time 900 "the wave is over" over
verdict || die "the wave did not keep the guarantees"
drop_and_restore
in_time 300 "what was held is sent" over
verdict || die "the restored database did not keep the guarantees"
say "lost 0, twice 0, early 0"
