#!/usr/bin/env bash
# The hot standby: copies the primary once, then streams from it.
# In: PRIMARY_HOST, PRIMARY_PORT, REPLICATOR_PASSWORD; arguments for postgres. Out: a running standby.
# A copy that was cut off leaves no PG_VERSION under PGDATA and is begun anew. There is no replication slot: one would fill
# the primary's disk while the standby is away. A standby that is away for longer than the primary's wal_keep_size has to be
# copied again: remove its volume.
set -euo pipefail

if [[ ! -s "$PGDATA/PG_VERSION" ]]; then
    copy="$PGDATA.copy"
    rm -rf "$copy"
    install -d -m 0700 -o postgres -g postgres "$copy" "$PGDATA"
    # The password goes through a file of the postgres user's, so that it is in no argument list.
    passfile="$(dirname "$PGDATA")/replicator.pgpass"
    install -m 0600 -o postgres -g postgres /dev/null "$passfile"
    printf '*:*:*:replicator:%s\n' "$(sed -e 's/\\/\\\\/g' -e 's/:/\\:/g' <<<"$REPLICATOR_PASSWORD")" >"$passfile"
    gosu postgres pg_basebackup \
        --dbname "host=$PRIMARY_HOST port=$PRIMARY_PORT user=replicator passfile=$passfile application_name=replica" \
        --pgdata "$copy" --wal-method stream --checkpoint fast --write-recovery-conf --progress --verbose
    rm -rf "$PGDATA"
    mv "$copy" "$PGDATA"
fi

exec docker-entrypoint.sh postgres "$@"
