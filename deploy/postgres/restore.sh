#!/usr/bin/env bash
# Replaces PostgreSQL's data by a base backup of backup.sh. When the server starts, it applies the archived log.
#
#   restore.sh [INSTANT]       up to that instant, such as 2027-03-14T09:15:00Z; without it, to the end of the log
#
# Run it as postgres while the server is stopped, with its data at /data and the backups at /backup. It takes the newest backup
# that began before the instant; BACKUP=NAME takes another. Then follow docs/how-to/restore_a_backup.md.
set -euo pipefail
instant=${1:-}
before=$(date -u ${instant:+-d "$instant"} +%Y%m%dT%H%M%SZ)
backup=${BACKUP:-$(find /backup/base -mindepth 1 -maxdepth 1 -name '2*' -printf '%f\n' | awk -v before="$before" '$1 <= before' | sort | tail -n 1)}
[ ! -e /data/postmaster.pid ] || { echo "the server is running, or did not end properly: /data/postmaster.pid" >&2; exit 1; }
[ -n "$backup" ] && gzip --test "/backup/base/$backup"/*.tar.gz || { echo "no whole backup from before $before" >&2; exit 1; }

find /data -mindepth 1 -delete
tar -xzf "/backup/base/$backup/base.tar.gz" -C /data
tar -xzf "/backup/base/$backup/pg_wal.tar.gz" -C /data/pg_wal
# PostgreSQL reads these settings at its start. They have no effect after recovery has ended.
{
    echo "restore_command = 'cp /backup/wal/%f %p'"
    echo "recovery_target_action = 'promote'"
    # With a numeric offset: during its start PostgreSQL knows no zone names and no Z.
    [ -z "$instant" ] || echo "recovery_target_time = '$(date -u -d "$instant" '+%F %T.%6N+00')'"
} >>/data/postgresql.auto.conf
touch /data/recovery.signal
echo "backup $backup is in place; the server recovers ${instant:+to $instant }when it starts"
