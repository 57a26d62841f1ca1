#!/usr/bin/env bash
# Promotes the standby of this container to be the primary, also for the next starts of the container.
# In: PGDATA, POSTGRES_USER, PRIMARY_HOST, PRIMARY_PORT of the standby. Out: a server that takes writes; exit 1 and nothing done while
# the earlier primary answers, because two primaries would part the data.
set -euo pipefail

if pg_isready --quiet --timeout 5 --host "$PRIMARY_HOST" --port "$PRIMARY_PORT"; then
    echo "$PRIMARY_HOST still answers; stop it first, so that no commit is lost: docker compose stop primary" >&2
    exit 1
fi

on_standby() {
    gosu postgres psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"
}

if [[ "$(on_standby --command 'SELECT pg_is_in_recovery()')" != t ]]; then
    echo "this server is a primary already" >&2
    exit 1
fi
received="$(on_standby --command 'SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())')"
# The file comes first: a container that dies now finds a standby, and removes the file.
install -m 0644 -o postgres -g postgres /dev/null "$(dirname "$PGDATA")/promoted"
if [[ "$(on_standby --command 'SELECT pg_promote(true, 60)')" != t ]]; then
    echo "the server is not a primary after a minute; see its log" >&2
    exit 1
fi
echo "promoted; it has the WAL of $PRIMARY_HOST up to $received"
