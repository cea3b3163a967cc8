# Deploys the production stack on this machine with the commands of the deployment guide; sourced by run.sh.
stack=${STACK:-heyday}
container() { docker ps --quiet --filter "name=^${stack}_$1\." --filter status=running | head -n 1; }
deploy() {
    docker stack deploy --detach=true --resolve-image never -c "$top/docker-compose.prod.yml" \
        -c "$here/verification.yml" "$stack" >/dev/null 2>&1
}
heyday() { docker exec "$(container node)" heyday "$@"; }
rabbitmqctl() { docker exec "$(container rabbitmq-1)" rabbitmqctl "$@"; }
ready() { heyday health --ready; }
three_ready() {
    local node nodes
    nodes=$(docker ps --quiet --filter "name=^${stack}_node\." --filter health=healthy)
    [ "$(wc -w <<<"$nodes")" = 3 ] || return 1
    for node in $nodes; do docker exec "$node" heyday health --ready || return 1; done
}
members() { docker exec "$(container rabbitmq-1)" rabbitmqctl --quiet list_queues --formatter=json name members leader; }
clustered() { [ "$(members | grep -o '"rabbit@rabbitmq-[123]"' | sort -u | wc -l)" = 3 ]; }
leader() { members | tr '{' '\n' | grep '"heyday.delivery"' | grep -oP '"leader":"rabbit@\K[^"]+'; }
# As the guide says: Prometheus and Alertmanager publish no port, and answer in their containers. Grafana speaks TLS.
prometheus() { docker exec "$(container prometheus)" promtool query instant http://127.0.0.1:9090 "$1"; }
scraped() { prometheus 'count(up{job="heyday"} == 1)' | grep -q '=> 3 '; }
exported() {
    prometheus 'count(heyday_backup_completed_timestamp_seconds) and count(node_filesystem_avail_bytes)' | grep -q '=>' &&
        prometheus 'count(probe_ssl_earliest_cert_expiry)' | grep -q '=> 3 '
}
watched() { docker exec "$(container alertmanager)" amtool --alertmanager.url=http://127.0.0.1:9093 alert | grep -q Watchdog; }
drawn() { curl --silent --insecure --fail --max-time 5 https://127.0.0.1:3000/api/health; }
# The update completed and was not rolled back.
updated() {
    [ "$(docker service inspect "${stack}_node" --format '{{.UpdateStatus.State}}')" = completed ] &&
        [ "$(docker ps --filter "name=^${stack}_node\." --format '{{.Image}}' | sort | uniq -c | xargs)" = "3 heyday:verification-next" ]
}
sql() { docker exec --user postgres "$(container postgres)" psql --no-psqlrc -d heyday -Atc "$1"; }
left() { sql "select count(*) from messages where status not in ('sent', 'failed', 'expired', 'unknown', 'cancelled') and send_at < now() + interval '1 day'"; }
over() { [ "$(left)" = 0 ]; }
books() {
    docker exec "$(container email)" python -c \
        'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen("http://127.0.0.1:8025/accepted").read())'
}
verdict() { docker exec --interactive "$(container node)" python - "$GREETINGS" "$begin" <"$here/verdict.py"; }
