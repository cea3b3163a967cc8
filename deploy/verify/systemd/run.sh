#!/usr/bin/env bash
# Runs deploy/systemd in a container whose first process is systemd, by the commands of docs/DEPLOYMENT_GUIDE.md, beside
# the stores of docker-compose.prod.yml, and kills, updates and misconfigures nodes.
#
#   deploy/verify/systemd/run.sh            (root, a Docker engine with Compose; the images, or their stand-ins)
#
# LEAD: seconds from the start of the container to the greeting; the nodes need less (240). Everything belongs to the project
# heyday-verify-systemd and is removed at the end; KEEP=1 keeps it.
# Exit code 0: nodes started, greeted once, took a new secret, came back after a kill, and drained.
set -euo pipefail
verify=$(cd "$(dirname "$0")/.." && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd)
export COMPOSE_PROJECT_NAME=heyday-verify-systemd HEYDAY_IMAGE=${HEYDAY_IMAGE:-heyday:0.1.0}
work=$(mktemp -d)
export SECRETS=$work/secrets
. "$verify/steps.sh"
. "$verify/stores.sh"

clean_up() {
    if [ -z "${KEEP:-}" ]; then
        docker rm -f heyday-machine >/dev/null 2>&1 || true
        stop_stores
        rm -rf "$work"
    fi
}
trap clean_up EXIT

"$top/deploy/secrets.sh" "$SECRETS" http://email:8025 /etc/heyday/servers_ca
start_stores

# The guide's commands under "### systemd": those with pip run where a package registry is reachable, the others on the machine.
awk '/^### systemd/ {here = 1; next} /^##/ {here = 0} here && /^    / {sub(/^    /, ""); print}' "$top/docs/DEPLOYMENT_GUIDE.md" >"$work/guide.sh"
context=$work/context
mkdir "$context"
(cd "$top" && cp -r pyproject.toml README.md LICENSE constraints.txt actors service schema deploy "$context")
grep '/opt/heyday' "$work/guide.sh" >"$context/install.sh"
DOCKER_BUILDKIT=0 docker build --quiet --network=host --tag heyday-machine --file "$verify/systemd/Dockerfile" \
    --build-arg PYTHON_IMAGE="$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$top/Dockerfile.prod")" "$context" >/dev/null 2>&1
say "a machine with heyday is installed: $(grep -c . "$context/install.sh") commands"

# What systemd itself needs: mounts for the units, and the control groups of the engine.
docker run --detach --name heyday-machine --hostname machine --network "$COMPOSE_PROJECT_NAME" --cgroupns=host \
    --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --volume /sys/fs/cgroup:/sys/fs/cgroup --tmpfs /run:exec --tmpfs /run/lock --volume "$SECRETS:/heyday/secrets:ro" heyday-machine >/dev/null
on() { docker exec heyday-machine "$@"; }
booted() { [ "$(on systemctl is-system-running)" = running ]; }
in_time 60 "systemd runs" booted

at=$(date -u -d "+${LEAD:-240} seconds" +%FT%TZ)
on install -d -m 700 /etc/heyday/secrets
on bash -c 'install -m 600 secrets/* /etc/heyday/secrets/'
on bash -c "echo HEYDAY_SEND_AT=$(date -u -d "$at" +%T) >>deploy/systemd/heyday.env"
grep -v '/opt/heyday' "$work/guide.sh" | while read -r line; do
    case $line in *nginx*) continue ;; esac   # the proxy is tested by tests/deploy/test_nginx.py
    on bash -c "$line" </dev/null 2>/dev/null || die "the guide's command failed: $line"
done
say "the guide's commands ran"
ready() { on curl --fail --silent --max-time 5 --output /dev/null "http://127.0.0.1:$1/health/ready"; }
for port in 8080 8081; do in_time 180 "heyday@$port is ready" ready $port; done
[ "$(on systemctl is-active heyday-migrate)" = active ] || die "the migration has not ended"
say "the migration has ended; systemd started it again $(on systemctl show --property=NRestarts --value heyday-migrate) times while PostgreSQL started"

# The runbook's way to run commands with the settings of a node.
awk '/With systemd, root reads the same files/ {here = 1; next} /^[^ ]/ && here {exit} here && /^    / {sub(/^    /, ""); print}' \
    "$top/docs/OPERATIONAL_RUNBOOK.md" >"$work/settings.sh"
heyday() { { cat "$work/settings.sh"; printf 'heyday'; printf ' %q' "$@"; echo; } | docker exec -i heyday-machine bash; }
heyday doctor >"$work/doctor" || true
say "doctor, as the runbook says: $(tail -n 1 "$work/doctor")"
grep -E '^  (warn|BAD)' "$work/doctor" || true
heyday call /api/v1/users --data "$(ada "$(date -u -d "$at" +%m-%d)")" >/dev/null
[ "$(date -u +%s)" -lt "$(date -u -d "$at" +%s)" ] || die "the nodes started too slowly: set LEAD to more"
say "a user created, whose greeting is due at $at"
runbook

pid=$(on systemctl show --property=MainPID --value heyday@8080)
user=$(on stat -c %u "/proc/$pid")
[ "$user" != 0 ] || die "the node runs as root"
credentials=$(on bash -c 'ls -l /run/credentials/heyday@8080.service/ | tail -n +2 | wc -l')
[ "$credentials" = 5 ] || die "the node has $credentials credentials"
say "the node runs as user $user, with $credentials credentials; systemd-analyze security: $(on systemd-analyze security heyday@8080 --no-pager 2>/dev/null | tail -n 1 | grep -oP 'service: \K\S+ \w+')"

on systemctl kill --signal=KILL heyday@8080
back() { [ "$(on systemctl show --property=NRestarts --value heyday@8080)" -ge 1 ] && ready 8080; }
in_time 90 "heyday@8080 was killed; systemd started it again and it is ready" back

new=$(openssl rand -hex 24)
on bash -c "echo $new >/etc/heyday/secrets/api_keys"
me() { on curl --silent --output /dev/null --write-out '%{http_code}' -H "Authorization: Bearer $1" "http://127.0.0.1:$2/api/v1/me"; }
[ "$(me "$new" 8080)" = 401 ] || die "a secret changed before the restart"
for port in 8080 8081; do
    on systemctl restart "heyday@$port"
    in_time 60 "heyday@$port is restarted and ready" ready $port
done
[ "$(me "$new" 8080) $(me "$new" 8081)" = "200 200" ] || die "a restarted node does not take the new key"
say "both nodes take the new key"
in_time "$((${LEAD:-240} + 60))" "the email service has accepted the greeting" greeted

on bash -c 'echo HEYDAY_EMAIL_RATE=fast >/etc/heyday/8081.env'
on systemctl restart heyday@8081 || true
failed() { [ "$(on systemctl is-failed heyday@8081)" = failed ]; }
in_time 30 "heyday@8081 with a mistake in its settings has failed" failed
sleep 7
failed || die "systemd starts a node with a mistake in its settings again and again"
on journalctl --unit heyday@8081 --no-pager --lines 5 | grep -q HEYDAY_EMAIL_RATE || die "the journal does not name the setting"
say "it is not started again, and the journal names the setting"

from=$SECONDS
on systemctl stop heyday@8080
on journalctl --unit heyday@8080 --no-pager | grep -q node_drained || die "the node was stopped, and did not drain"
[ "$(on systemctl show --property=Result,ExecMainStatus --value heyday@8080 | xargs)" = "success 0" ] || die "the node did not end well"
say "systemctl stop drained heyday@8080 within $((SECONDS - from)) s"
[ "$(accepted)" = 1 ] || die "the greeting was accepted $(accepted) times"
say "accepted once"
