#!/usr/bin/env bash
# Replaces PostgreSQL's data by a base backup of backup.sh. When the server starts, it applies the archived log.
#
#   restore.sh [INSTANT]       up to that instant, such as 2027-03-14T09:15:00Z; without it, to the end of the log
#
# Run it as postgres while the server is stopped, with its data at /data (or DATA) and the backups at /backup (or BACKUPS). It
# takes the newest backup that began before the instant; BACKUP=NAME takes another. After a restore to a wrong instant, TIMELINE=N
# takes the log that the server wrote before it, on its timeline N: otherwise the log of the wrong restore is followed. Then see
# docs/how-to/restore_a_backup.md.
set -euo pipefail
instant=${1:-}
data=${DATA:-/data} backups=${BACKUPS:-/backup}
before=$(date -u ${instant:+-d "$instant"} +%Y%m%dT%H%M%SZ)
backup=${BACKUP:-$(find "$backups/base" -mindepth 1 -maxdepth 1 -name '2*' -printf '%f\n' | awk -v before="$before" '$1 <= before' | sort | tail -n 1)}
[ ! -e "$data/postmaster.pid" ] || { echo "the server is running, or did not end properly: $data/postmaster.pid" >&2; exit 1; }
[ -n "$backup" ] && gzip --test "$backups/base/$backup"/*.tar.gz || { echo "no whole backup from before $before" >&2; exit 1; }

find "$data" -mindepth 1 -delete
tar -xzf "$backups/base/$backup/base.tar.gz" -C "$data"
tar -xzf "$backups/base/$backup/pg_wal.tar.gz" -C "$data/pg_wal"
# PostgreSQL reads these settings at its start. They stay in the file, and so in later backups: every restore sets all of them.
{
    echo "restore_command = 'gunzip <$backups/wal/%f.gz >%p'"
    echo "recovery_target_action = 'promote'"
    echo "recovery_target_timeline = '${TIMELINE:-latest}'"
    # Empty is no target. With a numeric offset: during its start PostgreSQL knows no zone names and no Z.
    echo "recovery_target_time = '${instant:+$(date -u -d "$instant" '+%F %T.%6N+00')}'"
} >>"$data/postgresql.auto.conf"
touch "$data/recovery.signal"
echo "backup $backup is in place; the server recovers ${instant:+to $instant }when it starts"
