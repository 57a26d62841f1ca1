#!/usr/bin/env bash
# The wholesaler Wide World Importers with its whole pipeline: a seeded history in PostgreSQL, through Kafka, to the
# marts of a Data Vault warehouse, and life in real time with a page that shows and steers it.
# In: the environment (.env.example lists it all). Out: marts as tables; everything left running until `make down`.
# Invariant: exits 0 only after `vault-loader verify` has found no difference between source and vault, at rest and
# while the wholesaler lives.

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

STARTED="$SECONDS"
WHOLESALER_DB=wideworldimporters
MODELS=(--model connectors/wideworld/vault.toml)
PAGE_PORT="${VAULTSTREAM_WIDEWORLD_PORT:-4100}"
GENERATOR_PASSWORD="${WIDEWORLD_GENERATOR_PASSWORD:-wideworld_generator_password}"
ENGINEER_PASSWORD="${WIDEWORLD_ENGINEER_PASSWORD:-data_engineer_password}"
export WIDEWORLD_CAPTURE_PASSWORD="${WIDEWORLD_CAPTURE_PASSWORD:-wideworld_capture_password}"
export WIDEWORLD_HOST="$HOST" WIDEWORLD_PORT="$PRIMARY_PORT"
# A month at half the size takes seconds; a year at full size has about 2.5 million rows.
export WIDEWORLD_DAYS="${WIDEWORLD_DAYS:-30}" WIDEWORLD_SCALE="${WIDEWORLD_SCALE:-0.5}"
export WIDEWORLD_DATABASE_URL="postgres://wideworld_generator:$GENERATOR_PASSWORD@$HOST:$PRIMARY_PORT/$WHOLESALER_DB"
export WIDEWORLD_SPEED="${WIDEWORLD_SPEED:-5}"
LIFE="${VAULTSTREAM_WIDEWORLD_LIFE:-20}"

on_wholesaler() {
    run_psql "$PRIMARY_PORT" "$WHOLESALER_DB" "$ADMIN" "$ADMIN_PASSWORD" "$@"
}

prepare_wholesaler() {
    on_primary --command "CREATE DATABASE $WHOLESALER_DB"
    apply sql/wideworld on_wholesaler \
        "generator_password=$GENERATOR_PASSWORD" \
        "capture_password=$WIDEWORLD_CAPTURE_PASSWORD" \
        "engineer_password=$ENGINEER_PASSWORD"
}

prepare_vault() {
    apply sql/warehouse on_warehouse \
        "loader_password=$LOADER_PASSWORD" \
        "owner_password=$OWNER_PASSWORD" \
        "mart_password=$MART_PASSWORD" \
        "refresher_password=$REFRESHER_PASSWORD" \
        "presentation_password=$PRESENTATION_PASSWORD" \
        "checker_password=$CHECKER_PASSWORD"
    loader_as vault_owner "$OWNER_PASSWORD" "$BIN/vault-loader" migrate "${MODELS[@]}"
    apply sql/wideworld_marts as_owner
}

start_wholesaler_pipeline() {
    loader_as vault_loader "$LOADER_PASSWORD" \
        "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name vault-loader --endpoint "$HOST:$LOADER_PORT" -- \
        "$BIN/vault-loader" run "${MODELS[@]}"
    start_reader wideworld-reader "$READER_PORT" connectors/wideworld/connector.json
}

# Compares every row of the running source with the vault, after the vault has caught up.
verify() {
    local report="$RUN_DIR/verify.txt"
    if ! VAULT_LOADER_SOURCE="postgres://wideworld_capture:$WIDEWORLD_CAPTURE_PASSWORD@$HOST:$PRIMARY_PORT/$WHOLESALER_DB" \
        loader_as vault_loader "$LOADER_PASSWORD" "$BIN/vault-loader" verify "${MODELS[@]}" --wait 600 >"$report" 2>&1; then
        tail -n 20 "$report" >&2
        fail "the vault differs from the source, or has not caught up; see $report and $RUN_DIR/*.log"
    fi
    say "$(grep --count 'rows  equal$' "$report") tables of the vault equal the source"
}

# Starts the wholesaler's life with its page, and lets it live for some seconds.
start_life() {
    "$BIN/devstack" spawn --run-dir "$RUN_DIR" --name wideworld --endpoint "$HOST:$PAGE_PORT" -- \
        "$BIN/wideworld" simulate --listen "$HOST:$PAGE_PORT"
    sleep "$LIFE"
    curl --silent --show-error --fail --max-time 5 --output /dev/null "http://$HOST:$PAGE_PORT/health"
}

show_marts() {
    local mart order
    while read -r mart order; do
        printf '\ndwh_marts.%s\n' "$mart"
        on_warehouse --pset pager=off --command "SELECT * FROM dwh_marts.$mart ORDER BY $order LIMIT 8"
    done <<'END'
ww_orders_by_day day DESC
ww_stock is_to_be_ordered DESC, quantity_on_hand - reorder_level
ww_suppliers orders DESC
ww_supplier_deliveries order_date DESC, purchase_order_id DESC
ww_cold_room_alarms began_when DESC
END
}

show_next() {
    cat <<END

Everything runs until \`make down\`. Go on with:

  http://$HOST:$PAGE_PORT     # the wholesaler's page: what happens, rates, pause, bursts
  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $PRIMARY_PORT -U $ADMIN $WHOLESALER_DB     # the source
  PGPASSWORD=$ADMIN_PASSWORD psql -h $HOST -p $DWH_PORT -U $ADMIN $DWH_DB  # the warehouse
  curl http://$HOST:$READER_PORT/connectors/wideworld-connector/status
  curl http://$HOST:$LOADER_PORT/metrics
END
}

step "set up this machine" scripts/setup.sh demo
step "build" build_pipeline --package wideworld
end_earlier_pipeline
step "start primary, warehouse and Kafka" start_servers
step "prepare the source" prepare_wholesaler
step "seed $WIDEWORLD_DAYS days at scale $WIDEWORLD_SCALE" "$BIN/wideworld" seed
step "prepare the warehouse" prepare_vault
step "start reader and loader" start_wholesaler_pipeline
step "snapshot into the vault, and compare every row" verify
step "let the wholesaler live for $LIFE s" start_life
step "compare every row while it lives" verify
show_marts
show_next
say "demo: done in $((SECONDS - STARTED)) s"
