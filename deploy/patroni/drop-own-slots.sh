#!/bin/sh
# Patroni calls this when its server has started or has got another role. On a standby it drops the failover slots that
# the server has from its time as the primary: the copy of the new primary's slot needs the name, and PostgreSQL does
# not replace a slot of the server's own. In: psql, a password file, host, port and user of the server; then Patroni's
# own words: action, role, cluster. Out: exit 0 when no such slot is there, or when the server is not a standby.

psql="$1" pgpass="$2" host="$3" port="$4" user="$5" role="$7"
[ "$role" = replica ] || exit 0

# A server that has just started may not answer yet, and a slot may still be in use for a moment.
tries=0
while [ "$tries" -lt 60 ]; do
    left="$(PGPASSFILE="$pgpass" PGCONNECT_TIMEOUT=3 "$psql" --no-psqlrc --quiet --no-align --tuples-only \
        --set ON_ERROR_STOP=1 --host "$host" --port "$port" --username "$user" --dbname postgres <<'SQL'
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE pg_is_in_recovery() AND slot_type = 'logical' AND failover AND NOT synced AND NOT temporary AND NOT active;
SELECT count(*) FROM pg_replication_slots
WHERE pg_is_in_recovery() AND slot_type = 'logical' AND failover AND NOT synced AND NOT temporary;
SQL
    )" && [ "$(printf '%s' "$left" | tail -n 1)" = 0 ] && exit 0
    tries=$((tries + 1))
    sleep 1
done
echo "drop-own-slots: a failover slot of the server's own is left at $host:$port, or the server does not answer" >&2
exit 1
