#!/bin/sh
# Starts Patroni, which starts PostgreSQL.
# In: PATRONI_NAME, MEMBERS (the names of all nodes), PATRONI_ETCD3_HOSTS, the addresses PATRONI_…_CONNECT_ADDRESS, the
# passwords PATRONI_SUPERUSER_PASSWORD, PATRONI_REPLICATION_PASSWORD and PATRONI_RESTAPI_PASSWORD. Out: a node of the
# cluster.
# Invariant: passwords are in variables and in files of the container's memory, and in no argument.
set -eu

umask 077
others=
for member in $MEMBERS; do
    [ "$member" = "$PATRONI_NAME" ] || others="${others:+$others,}$member"
done
sed "s/%OTHERS%/$others/" /opt/vaultstream/patroni.yml >/tmp/patroni.yml
# In a password file a colon and a backslash are written with a backslash before them.
escaped="$(printf '%s' "$PATRONI_SUPERUSER_PASSWORD" | sed 's/[\\:]/\\&/g')"
printf '127.0.0.1:5432:*:admin:%s\n' "$escaped" >/tmp/pgpass-superuser
exec /opt/patroni/bin/python /opt/vaultstream/run.py /tmp/patroni.yml
