# A backup by the stack's own service, the loss of the database, and the restore of docs/how-to/restore_a_backup.md; sourced by run.sh.
# It uses the newest backup before an instant, and the log since.
in_place() {
    docker run --rm --user postgres --entrypoint bash -v "${stack}_postgres:/data" -v "${stack}_backup:/backup" \
        -v "$top/deploy/postgres/restore.sh:/restore.sh:ro" postgres:17.6 /restore.sh "$@"
}
newest() { docker exec "$(container backup)" find /backup/base -maxdepth 1 -name '2*' -newermt "@$1"; }
there() { [ -n "$(newest "$1")" ]; }
stopped() { [ -z "$(container postgres)" ]; }
recovered() { [ "$(sql 'select not pg_is_in_recovery()')" = t ]; }
backup() {
    local from
    from=$(date +%s)
    docker service update --detach --force "${stack}_backup" >/dev/null 2>&1
    in_time 120 "a backup is taken during the wave" there "$from"
    say "$(left) left"
}
drop_and_restore() {
    books >"$work/accepted.ndjson"
    docker service scale --detach "${stack}_postgres=0" >/dev/null
    in_time 90 "PostgreSQL is stopped" stopped
    # To an instant within the wave: the restored database knows less than was sent.
    say "$(in_place "$middle")"
    docker service scale --detach "${stack}_postgres=1" >/dev/null
    in_time 120 "PostgreSQL answers" recovered
    say "$(left) messages not sent, as far as the restored database knows"
    sleep 10
    ! ready >/dev/null 2>&1 || die "nodes work with a database that was restored"
    heyday doctor --adopt --dry-run || true
    heyday doctor --adopt | tail -n 2
    docker exec -i "$(container node)" sh -c 'cat >/dev/shm/accepted && heyday doctor --ledger /dev/shm/accepted --mend' \
        <"$work/accepted.ndjson" | tail -n 2
    heyday redrive --status unknown
}
