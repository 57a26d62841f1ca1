#!/usr/bin/env bash
# A read replica with a physical slot of its own: copies the primary once, then streams from it.
# In: REPLICA_NAME, which is its slot and its application_name; PRIMARY_HOST, PRIMARY_PORT, REPLICATOR_PASSWORD;
# arguments for postgres. Out: a running standby. The slot keeps the WAL that the replica has not received, up to the
# primary's max_slot_wal_keep_size. A replica that was away for longer finds its slot lost; it then copies the primary
# anew by itself. A copy that was cut off lies beside PGDATA and is begun anew. A primary that does not answer is no
# reason to throw a copy away. A replica that was promoted may hold rows that nobody else has: its data is never
# removed, and it does not start as a replica any more. It starts as a primary when promote.sh promoted it.
set -euo pipefail

# promote.sh leaves this file beside the data: the server was promoted on purpose.
promoted="$(dirname "$PGDATA")/promoted"
if [[ -e "$promoted" && -s "$PGDATA/PG_VERSION" && ! -e "$PGDATA/standby.signal" ]]; then
    echo "$REPLICA_NAME was promoted by promote.sh: it starts as a primary"
    exec docker-entrypoint.sh postgres "$@"
fi
rm -f "$promoted"

# The password goes through a file of the postgres user's, so that it is in no argument list.
passfile="$(dirname "$PGDATA")/replicator.pgpass"
install -m 0600 -o postgres -g postgres /dev/null "$passfile"
printf '*:*:*:replicator:%s\n' "$(sed -e 's/\\/\\\\/g' -e 's/:/\\:/g' <<<"$REPLICATOR_PASSWORD")" >"$passfile"
conninfo="host=$PRIMARY_HOST port=$PRIMARY_PORT user=replicator passfile=$passfile"

on_primary() {
    gosu postgres psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 \
        --set "slot=$REPLICA_NAME" --dbname "$conninfo dbname=postgres connect_timeout=5"
}

# Prints the state of the slot, or "absent"; fails when the primary does not answer.
slot_status() {
    on_primary <<<"SELECT coalesce((SELECT coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = :'slot'), 'absent')"
}

renew_slot() {
    on_primary <<'SQL' >/dev/null
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :'slot';
SELECT pg_create_physical_replication_slot(:'slot', true);
SQL
}

copy_primary() {
    local copy="$PGDATA.copy"
    rm -rf "$copy"
    install -d -m 0700 -o postgres -g postgres "$copy" "$PGDATA"
    renew_slot
    gosu postgres pg_basebackup --dbname "$conninfo application_name=$REPLICA_NAME" --slot "$REPLICA_NAME" \
        --pgdata "$copy" --wal-method stream --checkpoint fast --write-recovery-conf --progress --verbose
    # A primary that was recovered to a point in time still has the settings of that recovery, and a standby would obey
    # them.
    sed -i '/^restore_command\b/d; /^recovery_target/d' "$copy/postgresql.auto.conf"
    rm -rf "$PGDATA"
    mv "$copy" "$PGDATA"
}

if [[ ! -s "$PGDATA/PG_VERSION" ]]; then
    copy_primary
# A copy has this file from its first moment on, and a promotion removes it.
elif [[ ! -e "$PGDATA/standby.signal" ]]; then
    cat >&2 <<EOF
$REPLICA_NAME was promoted: $PGDATA has no standby.signal, and may hold rows that no other server has, so it is not copied anew.
To run it as a primary from now on: make the empty file $promoted in its volume, and the next start finds it. Or keep
the rows by moving $PGDATA away; or remove $PGDATA if nobody needs them. Without $PGDATA, the next start of $REPLICA_NAME copies the primary.
EOF
    exit 1
elif status="$(slot_status)"; then
    if [[ "$status" == lost || "$status" == absent ]]; then
        echo "the slot $REPLICA_NAME is $status: the primary no longer keeps the WAL that this replica needs; copying it anew"
        rm -rf "$PGDATA"
        copy_primary
    fi
else
    echo "the primary does not answer; the replica starts on the data that it has"
fi

exec docker-entrypoint.sh postgres "$@"
