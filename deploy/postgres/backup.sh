#!/usr/bin/env bash
# Takes a base backup every BACKUP_EVERY seconds and keeps the last BACKUP_KEEP of them, with the log from the oldest on.
# Restoring: docs/how-to/restore_a_backup.md.
set -euo pipefail
export PGHOST=${PGHOST:-postgres} PGUSER=heyday_backup
PGPASSWORD=$(cat /run/secrets/postgres_backup_password)
export PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=/run/secrets/servers_ca

# Each step only after the one before it: `set -e` does not hold within a function whose failure is handled.
backup() {
    local name oldest
    name=$(date -u +%Y%m%dT%H%M%SZ)
    # Under another name until it is whole, so that nobody restores half a backup.
    pg_basebackup --pgdata="/backup/base/.$name" --format=tar --gzip --checkpoint=fast --wal-method=stream --no-password &&
        mv "/backup/base/.$name" "/backup/base/$name" &&
        echo "backup $name" || return 1
    backups | head -n "-${BACKUP_KEEP:-7}" | xargs --no-run-if-empty rm -r
    # Segments older than the oldest backup that is kept serve nobody.
    oldest=$(backups | head -n 1)
    find /backup/wal -type f ! -newer "$oldest/backup_manifest" -name '0*' ! -name '*.backup' -mmin +60 -delete
}

backups() { find /backup/base -mindepth 1 -maxdepth 1 -name '2*' "$@" | sort; }

mkdir -p /backup/base
while true; do
    rm -rf /backup/base/.2*
    backup || echo "backup failed; the next attempt is in a minute" >&2
    # After a failure sooner than planned.
    newest=$(backups -newermt "-${BACKUP_EVERY:-86400} seconds" | head -n 1)
    sleep "$([ -n "$newest" ] && echo "${BACKUP_EVERY:-86400}" || echo 60)" &
    trap 'exit 0' TERM
    wait $!
done
