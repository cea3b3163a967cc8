# A backup by the stack's own service, the loss of the database, and the way back of docs/how-to/restore_a_backup.md; sourced by run.sh.
in_volumes() {
    docker run --rm --user postgres --entrypoint bash -v "${stack}_postgres:/data" -v "${stack}_backup:/backup" postgres:17.6 -euc "$1"
}
newest() { docker exec "$(container backup)" find /backup/base -maxdepth 1 -name '2*' -newermt "@$1"; }
there() { [ -n "$(newest "$1")" ]; }
stopped() { [ -z "$(container postgres)" ]; }
answers() { sql 'select 1'; }
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
    # Its data are gone; what the archive has beyond the backup is not used: the restored database knows less than was done.
    in_volumes 'find /data -mindepth 1 -delete
        cd "/backup/base/$(ls /backup/base | sort | tail -n 1)"
        tar -xzf base.tar.gz -C /data && tar -xzf pg_wal.tar.gz -C /data/pg_wal'
    say "its data deleted, and the backup put in their place"
    docker service scale --detach "${stack}_postgres=1" >/dev/null
    in_time 120 "PostgreSQL answers" answers
    say "$(left) messages not sent, as far as the backup knows"
    sleep 10
    ! ready >/dev/null 2>&1 || die "nodes work with a database that was restored"
    heyday doctor --adopt --dry-run || true
    heyday doctor --adopt
    docker exec -i "$(container node)" sh -c 'cat >/dev/shm/accepted && heyday doctor --ledger /dev/shm/accepted --mend' \
        <"$work/accepted.ndjson"
    heyday redrive --status unknown
}
