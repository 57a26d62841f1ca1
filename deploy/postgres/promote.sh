#!/usr/bin/env bash
# Promotes the standby of this container to be the primary, also for the next starts of the container.
# In: PGDATA, POSTGRES_USER, PRIMARY_HOST, PRIMARY_PORT of the standby; the archive in /var/lib/pgbackrest, which the
# earlier primary has too. Out: a server that takes writes, and the file "promoted" in the archive, with which
# primary.sh refuses to start; exit 1 and nothing done while something listens at the earlier primary's address, because
# two primaries would part the data.
set -euo pipefail

fence=/var/lib/pgbackrest/promoted

# A primary that starts or stops listens and refuses connections, which is code 1. Nobody listens where the code is 2.
primary_is_gone() {
    local code=0
    pg_isready --quiet --timeout 5 --host "$PRIMARY_HOST" --port "$PRIMARY_PORT" || code=$?
    ((code == 2))
}

refuse_two_primaries() {
    primary_is_gone && return
    [[ "$1" != new ]] || rm -f "$fence"
    echo "$PRIMARY_HOST runs, starts or stops; stop it first, so that no commit is lost: docker compose stop primary" >&2
    exit 1
}

on_standby() {
    gosu postgres psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres "$@"
}

if [[ "$(on_standby --command 'SELECT pg_is_in_recovery()')" != t ]]; then
    echo "this server is a primary already" >&2
    exit 1
fi
refuse_two_primaries kept
received="$(on_standby --command 'SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())')"
# From here on no primary starts any more. One that has just started listens within these seconds.
if [[ ! -e "$fence" ]]; then
    install -m 0644 -o postgres -g postgres /dev/null "$fence"
    sleep 3
    refuse_two_primaries new
fi
# The file comes first: a container that dies now finds a standby, and removes the file.
install -m 0644 -o postgres -g postgres /dev/null "$(dirname "$PGDATA")/promoted"
if [[ "$(on_standby --command 'SELECT pg_promote(true, 60)')" != t ]]; then
    echo "the server is not a primary after a minute; see its log" >&2
    exit 1
fi
echo "promoted; it has the WAL of $PRIMARY_HOST up to $received"
