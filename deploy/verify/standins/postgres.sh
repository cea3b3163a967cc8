#!/usr/bin/env bash
# The needed part of the official entrypoint: the first start makes the cluster and runs the init scripts.
set -euo pipefail
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    password=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}
    initdb --username="$user" --pwfile=<(echo "$password")
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    shift
    pg_ctl -w -o "$(printf '%q ' "$@" -c listen_addresses=)" start
    [ "${POSTGRES_DB:-postgres}" = postgres ] || createdb --username="$user" "$POSTGRES_DB"
    export POSTGRES_USER=$user POSTGRES_DB=${POSTGRES_DB:-postgres}
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) bash "$script" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --username="$user" --dbname="$POSTGRES_DB" -f "$script" ;;
        esac
    done
    pg_ctl -w -m fast stop
    set -- postgres "$@"
fi
exec "$@"
