#!/bin/sh
# Starts the reader with its connector file and one property more: its slot is to outlive a failover.
# In: CDC_READER_CONNECTOR and what the connector file refers to. Out: the reader, by a copy of that file in the
# container's memory.
set -eu

with_failover=/tmp/connector.json
sed 's/^\( *\)"slot\.name":/\1"slot.failover": "true",\n&/' "$CDC_READER_CONNECTOR" >"$with_failover"
grep -q '"slot.failover": "true"' "$with_failover" || {
    echo "reader: $CDC_READER_CONNECTOR has no line that begins with \"slot.name\"" >&2
    exit 1
}
export CDC_READER_CONNECTOR="$with_failover"
exec cdc-reader run
