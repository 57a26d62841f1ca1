#!/usr/bin/env bash
# Starts the primary of the composition, unless promote.sh has put the hot backup in its place.
# In: PGDATA; the archive in /var/lib/pgbackrest, where promote.sh leaves the file "promoted"; the server and its
# arguments. Out: the image's own entrypoint; exit 1 and no server when the file is there.
# Invariant: the earlier primary takes no writes, and archives nothing beside the server that was promoted.
set -euo pipefail

promoted=/var/lib/pgbackrest/promoted
if [[ -e "$promoted" ]]; then
    cat >&2 <<EOF
The hot backup was promoted: it takes the writes, and this primary does not start beside it. Its data in $PGDATA is as it was.
To start the hot backup without this server: docker compose up --detach --no-deps replica
If the hot backup was given up, or was not promoted after all, remove the file $promoted, and start this server again:
docker compose run --rm --no-deps --entrypoint rm primary $promoted
EOF
    exit 1
fi

exec docker-entrypoint.sh "$@"
