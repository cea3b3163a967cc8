#!/usr/bin/env bash
# Runs once, when PostgreSQL's container starts with an empty volume: creates the roles, with passwords from files.
set -euo pipefail
sql() { psql --no-psqlrc -v ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" "$@"; }

sql --file=/etc/postgresql/roles.sql
sql --command='create extension if not exists pg_stat_statements'
for role in migrator node backup; do
    # As a psql variable, which is quoted, and from standard input, so that no process list shows it.
    { printf '\\set password `cat /run/secrets/postgres_%s_password`\n' "$role"
      printf "alter role heyday_%s password :'password';\n" "$role"; } | sql
done
