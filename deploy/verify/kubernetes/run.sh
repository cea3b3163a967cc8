#!/usr/bin/env bash
# Runs the containers of deploy/kubernetes/production under Docker with their mounts, users, limits and probes, beside the
# stores of docker-compose.prod.yml, and breaks what a kubelet and an operator break.
#
#   deploy/verify/kubernetes/run.sh            (root, kubectl, a Docker engine with Compose, Python with PyYAML as PYTHON; the images, or their stand-ins)
#
# It needs no cluster: the network, the Service and the Ingress are not tested here. LEAD: seconds from the start to the greeting; the pods need less (300).
# Everything belongs to the project heyday-verify-pods and is removed at the end; KEEP=1 keeps it.
# Exit code 0: the migration ended, nodes became ready, greeted once, survived an outage, took a new secret, and drained.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) verify=$(cd "$(dirname "$0")/.." && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd)
export COMPOSE_PROJECT_NAME=heyday-verify-pods HEYDAY_IMAGE=${HEYDAY_IMAGE:-heyday:0.1.0}
work=$(mktemp -d)
chmod 755 "$work"
export SECRETS=$work/deploy/kubernetes/production/secrets
. "$verify/steps.sh"
. "$verify/stores.sh"

pod() { "${PYTHON:-$top/.venv/bin/python}" "$here/pod.py" "$1" "$work/manifests.yaml" "${@:2}"; }
clean_up() {
    if [ -z "${KEEP:-}" ]; then
        docker rm -f pod-migrate pod-1 pod-2 >/dev/null 2>&1 || true
        stop_stores
        rm -rf "$work"
    fi
}
trap clean_up EXIT

mkdir -p "$work/deploy" "$work/grafana" "$work/mounts"
cp -r "$top/deploy/kubernetes" "$work/deploy/"
rm -rf "$SECRETS"   # the secrets of this checkout are not used
cp -r "$top/grafana/dashboards" "$work/grafana/"
"$top/deploy/secrets.sh" "$SECRETS" http://email:8025 /run/secrets/heyday/servers_ca
kubectl kustomize "$work/deploy/kubernetes/production" >"$work/manifests.yaml"
say "kubectl kustomize built $(grep -c '^kind:' "$work/manifests.yaml") objects"

start_stores
network=$COMPOSE_PROJECT_NAME
node() { pod start "$work/mounts/$1" Deployment "$1" "$HEYDAY_IMAGE" "$network" "HEYDAY_SEND_AT=$SEND_AT"; }
passes() { pod probe Deployment "$2" "$1" 2>&1; }
at=$(date -u -d "+${LEAD:-300} seconds" +%FT%TZ)
SEND_AT=$(date -u -d "$at" +%T)

# As `kubectl apply` does: the nodes and the migration at once.
node pod-1
node pod-2
passes pod-1 startup || die "pod-1 did not start within its startup probe: $(docker logs pod-1 2>&1 | tail -n 3)"
say "pod-1 started; before the migration it is not ready: $(passes pod-1 readiness | cut -c -200)"
pod start "$work/mounts/migrate" Job pod-migrate "$HEYDAY_IMAGE" "$network"
migrated() { [ "$(docker inspect pod-migrate --format '{{.State.Status}} {{.State.ExitCode}}')" = "exited 0" ]; }
# The Job would start it again; PostgreSQL may need longer than one try.
again() { migrated || { [ "$(docker inspect pod-migrate --format '{{.State.Status}}')" != exited ] || docker start pod-migrate >/dev/null; false; }; }
in_time 180 "the migration has ended" again
for name in pod-1 pod-2; do in_time 120 "$name is ready" passes $name readiness; done

for name in pod-1 pod-2; do
    rights=$(docker exec "$name" python3 -c 'print(*(line.split()[1] for line in open("/proc/1/status") if line[:6] in ("Uid:\t1", "CapEff", "NoNewP", "Seccom")))')
    [[ "$rights" =~ ^10001\ 0+\ 1\ 2 ]] || die "$name has more rights than its specification: $rights"
    ! docker exec --user 0 "$name" touch /written 2>/dev/null || die "$name can write to its root"
done
say "user 10001, no capability, no new privileges, seccomp, a read-only root; memory used: $(docker stats --no-stream --format '{{.MemUsage}}' pod-1)"
docker exec pod-1 heyday doctor >"$work/doctor" || true
say "doctor in pod-1: $(tail -n 1 "$work/doctor"); it warns of $(grep -cE '^  (warn|BAD)' "$work/doctor" || true)"
grep -E '^  (warn|BAD)' "$work/doctor" || true

docker exec pod-1 heyday call /api/v1/users --data "$(ada "$(date -u -d "$at" +%m-%d)")" >/dev/null
[ "$(date -u +%s)" -lt "$(date -u -d "$at" +%s)" ] || die "the pods started too slowly: set LEAD to more"
say "a user created, whose greeting is due at $at"
heyday() { docker exec pod-1 heyday "$@"; }
runbook
in_time "$((${LEAD:-300} + 60))" "the email service has accepted the greeting" greeted

docker kill "$(stores ps --quiet postgres)" >/dev/null
away() { ! passes pod-1 readiness; }
in_time 60 "PostgreSQL was killed; pod-1 is not ready" away
passes pod-1 liveness || die "an outage of PostgreSQL would restart the nodes"
say "its answer: $(passes pod-1 readiness | cut -c -200)"
docker start "$(stores ps --all --quiet postgres)" >/dev/null
for name in pod-1 pod-2; do in_time 90 "PostgreSQL is back; $name is ready" passes $name readiness; done
[ "$(docker inspect pod-1 --format '{{.RestartCount}} {{.State.Status}}')" = "0 running" ] || die "pod-1 did not live through the outage"

new=$(openssl rand -hex 24)
pod secret "$work/mounts/pod-1" api_keys "$new"
status() { docker exec pod-1 python3 -c 'import sys, urllib.request as u
print(u.urlopen(u.Request("http://127.0.0.1:8080/api/v1/me", headers={"Authorization": "Bearer " + sys.argv[1]})).status)' "$1"; }
takes_new() { status "$new"; }
in_time 30 "the mounted secret has changed; pod-1 takes the new key" takes_new
! status "$(cat "$SECRETS/api_keys")" >/dev/null 2>&1 || die "pod-1 still takes the old key"

from=$SECONDS
pod stop Deployment pod-1
[ "$(docker inspect pod-1 --format '{{.State.ExitCode}} {{.State.OOMKilled}}')" = "0 false" ] || die "pod-1 did not end well"
docker logs pod-1 2>&1 | grep -q node_drained || die "pod-1 was stopped, and did not drain"
say "preStop and SIGTERM drained pod-1 within $((SECONDS - from)) s, exit code 0"
passes pod-2 readiness || die "pod-2 is not ready without pod-1"
[ "$(accepted)" = 1 ] || die "the greeting was accepted $(accepted) times"
say "accepted once"
