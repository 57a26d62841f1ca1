#!/usr/bin/env bash
# The whole pipeline on real servers: bookings in a PostgreSQL primary, through Kafka, to the marts of a Data Vault warehouse.
# In: the environment (.env.example lists it all); "full" adds Superset and Airflow. Out: marts as tables; everything left
# running until `make down`.
# Invariant: exits 0 only after the warehouse has shown exactly what the primary holds.

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

SCOPE="${1:-pipeline}"
[[ "$SCOPE" == pipeline || "$SCOPE" == full ]] || fail "unknown scope $SCOPE: give nothing or full"
STARTED="$SECONDS"
RATE="${VAULTSTREAM_SIMULATE_RATE:-50}"
DURATION="${VAULTSTREAM_SIMULATE_DURATION:-30s}"

simulate() {
    booking simulate --rate "$RATE" --duration "$DURATION"
}

# Rows in all hubs, links and satellites.
vault_rows() {
    local query
    query="$(on_warehouse --tuples-only --no-align --command "
        SELECT string_agg(format('SELECT count(*) AS n FROM dwh_detailed.%I', tablename), ' UNION ALL ')
        FROM pg_tables
        WHERE schemaname = 'dwh_detailed'")"
    on_warehouse --tuples-only --no-align --command "SELECT sum(n) FROM ($query) AS counted"
}

# Rows of the primary's eight tables.
source_rows() {
    local query
    query="$(printf "SELECT count(*) AS n FROM %s UNION ALL " "${TABLES[@]}")"
    on_primary --tuples-only --no-align --command "SELECT sum(n) FROM (${query% UNION ALL }) AS counted"
}

now_ms() {
    local now="${EPOCHREALTIME/[.,]/}"
    echo "${now%???}"
}

seconds() {
    printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100))
}

show_marts() {
    local mart order
    while read -r mart order; do
        printf '\ndwh_marts.%s\n' "$mart"
        on_warehouse --pset pager=off --command "SELECT * FROM dwh_marts.$mart ORDER BY $order LIMIT 8"
    done <<'END'
v_active_airports_30d day DESC
v_airport_traffic_share flights DESC
v_passenger_metrics_30d day DESC
v_passenger_groups_revenue group_no
v_airport_traffic departure_psngr_num DESC
END
}

# A line of figures: what, how much.
figure() {
    printf '%-58s %s\n' "$1" "$2"
}

show_figures() {
    echo
    figure 'snapshot: rows of the source' "$SNAPSHOT_ROWS"
    figure 'snapshot: from the start of the reader to equal marts' "$(seconds "$SNAPSHOT_MS") s"
    figure 'snapshot: throughput, source to vault' "$((SNAPSHOT_ROWS * 1000 / SNAPSHOT_MS)) rows/s"
    figure 'vault: rows after the snapshot, and now' "$VAULT_ROWS, $(vault_rows)"
    figure 'lag: from the end of the simulation to equal marts' "$(seconds "$CATCH_UP_MS") s"
    figure 'lag: WAL of the primary that the reader has not confirmed' "$(unconfirmed_wal_bytes) bytes"
}

show_next() {
    cat <<END

Everything runs until \`make down\`. Go on with:

  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $PRIMARY_PORT -U $ADMIN $PRIMARY_DB     # the source
  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $DWH_PORT -U $ADMIN $DWH_DB  # the warehouse
  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $DWH_PORT -U $ADMIN $DWH_DB -c 'SELECT * FROM dwh_detailed.hub_airports'
  curl http://$HOST:$READER_PORT/connectors/airline-connector/status
  curl http://$HOST:$READER_PORT/metrics
  curl http://$HOST:$BOOKING_PORT/api/v1/airports     # the booking service; its pages: http://$HOST:$BOOKING_PORT, its interface: http://$HOST:$BOOKING_PORT/docs

See a new row arrive:

  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $PRIMARY_PORT -U $ADMIN $PRIMARY_DB \\
    -c "INSERT INTO airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC')"
  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $DWH_PORT -U $ADMIN $DWH_DB \\
    -c "SELECT * FROM dwh_marts.v_airport_traffic WHERE airport_code = 'XXX'"
END
}

show_bi() {
    cat <<END

Dashboards:         http://$HOST:${VAULTSTREAM_SUPERSET_PORT:-8088}   admin / ${SUPERSET_ADMIN_PASSWORD:-admin}, or analyst / ${SUPERSET_ANALYST_PASSWORD:-analyst} who may look only
Scheduled tables:   http://$HOST:${VAULTSTREAM_AIRFLOW_PORT:-8080}   admin / ${AIRFLOW_ADMIN_PASSWORD:-admin}
END
}

step "set up this machine" scripts/setup.sh demo
step "build" build_pipeline
end_earlier_pipeline
step "start primary, warehouse and Kafka" start_servers
step "prepare the source" prepare_source
step "seed the source at scale $SCALE" seed
step "prepare the warehouse" prepare_warehouse
snapshot_started="$(now_ms)"
step "start reader and loader" start_pipeline
step "snapshot into the vault" wait_until_caught_up 300
SNAPSHOT_MS=$(($(now_ms) - snapshot_started))
SNAPSHOT_ROWS="$(source_rows)"
VAULT_ROWS="$(vault_rows)"
step "simulate an airline for $DURATION" simulate
simulated="$(now_ms)"
step "catch up" wait_until_caught_up 120
CATCH_UP_MS=$(($(now_ms) - simulated))
step "start Redis and PgBouncer" start_companions
# Its reports read the marts.
export BOOKING_WAREHOUSE_URL="postgres://mart_reader:$MART_PASSWORD@$HOST:$DWH_PORT/$DWH_DB"
step "start the booking service" start_booking_service
if [[ "$SCOPE" == full ]]; then
    step "set up Superset" scripts/superset.sh setup
    step "start Superset with its dashboards" scripts/superset.sh start
    step "set up Airflow" scripts/airflow.sh setup
    step "start Airflow with its schedules" scripts/airflow.sh start
fi
show_marts
show_figures
show_next
[[ "$SCOPE" != full ]] || show_bi
say "demo: done in $((SECONDS - STARTED)) s"
