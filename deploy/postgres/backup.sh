#!/usr/bin/env bash
# Takes a base backup every BACKUP_EVERY seconds. Keeps the last BACKUP_KEEP backups, and the log since the oldest.
# To restore, see docs/how-to/restore_a_backup.md.
set -euo pipefail
export PGHOST=${PGHOST:-postgres} PGUSER=heyday_backup
PGPASSWORD=$(cat /run/secrets/postgres_backup_password)
export PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=/run/secrets/servers_ca

# The steps are joined with &&: `set -e` has no effect within a function whose failure is handled.
backup() {
    local name oldest
    name=$(date -u +%Y%m%dT%H%M%SZ)
    # It has another name until it is complete, so that an incomplete backup is never restored.
    pg_basebackup --pgdata="/backup/base/.$name" --format=tar --gzip --checkpoint=fast --wal-method=stream --no-password &&
        mv "/backup/base/.$name" "/backup/base/$name" &&
        echo "backup $name" || return 1
    completed
    backups | head -n "-${BACKUP_KEEP:-7}" | xargs --no-run-if-empty rm -r
    # Delete segments older than the oldest backup.
    oldest=$(backups | head -n 1)
    find /backup/wal -type f ! -newer "$oldest/backup_manifest" -name '0*' ! -name '*.backup.gz' -mmin +60 -delete
}

# For the textfile collector of node_exporter; renamed, so that it never reads half a file.
completed() {
    printf '%s\n' '# TYPE heyday_backup_completed_timestamp_seconds gauge' \
        "heyday_backup_completed_timestamp_seconds $(date +%s)" >/backup/.heyday_backup.prom &&
        mv /backup/.heyday_backup.prom /backup/heyday_backup.prom
}

backups() { find /backup/base -mindepth 1 -maxdepth 1 -name '2*' "$@" | sort; }

mkdir -p /backup/base
# Until the first backup succeeds, its age counts from here: without the metric no alert can fire.
[ -e /backup/heyday_backup.prom ] || completed || true
while true; do
    rm -rf /backup/base/.2*
    backup || echo "backup failed; the next attempt is in a minute" >&2
    # Retry sooner after a failure.
    newest=$(backups -newermt "-${BACKUP_EVERY:-86400} seconds" | head -n 1)
    sleep "$([ -n "$newest" ] && echo "${BACKUP_EVERY:-86400}" || echo 60)" &
    trap 'exit 0' TERM
    wait $!
done
