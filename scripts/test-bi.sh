#!/usr/bin/env bash
# Tests what analysts and schedulers use, on a whole pipeline that is started for them and ended after them.
# In: nothing. Out: exit 0 when the tests of Superset's dashboards and of Airflow's tables passed.

# Everything beside the demo: another run directory, other ports. Set before lib.sh reads .env, which holds the demo's.
export VAULTSTREAM_RUN_DIR=.run/bi
export VAULTSTREAM_PRIMARY_PORT=15432 VAULTSTREAM_DWH_PORT=15434 VAULTSTREAM_KAFKA_PORT=19092
export VAULTSTREAM_READER_PORT=18083 VAULTSTREAM_BOOKING_READER_PORT=18085 VAULTSTREAM_LOADER_PORT=18084
export VAULTSTREAM_BOOKING_PORT=14000 VAULTSTREAM_REDIS_PORT=18380 VAULTSTREAM_PGBOUNCER_PORT=15433
export VAULTSTREAM_SUPERSET_PORT=18088 VAULTSTREAM_AIRFLOW_PORT=18080
export VAULTSTREAM_CARGO_PROFILE=dev
export VAULTSTREAM_SCALE=1
export VAULTSTREAM_SERVERS=demo

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

end_pipeline() {
    local code=$?
    say "ending the pipeline"
    end_test_servers "$BIN/devstack" "$RUN_DIR" "$code" || code=1
    exit "$code"
}

scripts/setup.sh test
step "build" build_pipeline
trap end_pipeline EXIT
trap 'exit 130' INT TERM
end_earlier_pipeline
step "start primary, warehouse and Kafka" start_servers
step "prepare the source" prepare_source
step "seed the source" seed
step "prepare the warehouse" prepare_warehouse
step "start the pipeline" start_pipeline
step "snapshot into the vault" wait_until_caught_up 300
# How late a change is loaded is not known before one was streamed.
step "a few changes" booking simulate --rate 20 --duration 5s
step "catch up" wait_until_caught_up 60
step "scheduled tables" scripts/test-airflow.sh
step "dashboards" scripts/test-dashboards.sh
