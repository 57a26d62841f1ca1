#!/bin/sh
# Writes the file of users and starts PgBouncer.
# In: PGBOUNCER_SERVER (host), PGBOUNCER_USER, PGBOUNCER_PASSWORD. Out: a pooler, whose one user signs in by SCRAM.
# Invariant: the password is in a file of the container's memory that only the pooler reads, and in no argument.
set -eu

umask 077
settings=/tmp/pgbouncer.ini
# In the file of users a quote is written twice.
quoted="$(printf '%s' "$PGBOUNCER_PASSWORD" | sed 's/"/""/g')"
printf '"%s" "%s"\n' "$PGBOUNCER_USER" "$quoted" >/tmp/users.txt
sed "s/%SERVER%/$PGBOUNCER_SERVER/" /etc/vaultstream/pgbouncer.ini >"$settings"
unset PGBOUNCER_PASSWORD
exec pgbouncer "$settings"
