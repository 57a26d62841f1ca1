#!/usr/bin/env bash
# Brings up docker-compose.yml with a real Docker engine, does what the documents tell a user to do, kills every container, and
# takes it down again.
# In: "pipeline" to leave out what is in profiles, or nothing; the environment (.env.example lists it all);
# VAULTSTREAM_STANDINS (auto, yes, no: whether images are made here, see deploy/standins/README.md); VAULTSTREAM_BINARIES (a
# folder with programs that are built already, for the stand-ins only).
# Out: each step with its time, exit 0 when every one held. Nothing of the composition is left, and an engine that was started
# for this is ended; its images stay below .cache/compose for the next run (`make clean` removes them).
# Invariant: a composition that somebody uses is not touched: the test refuses to start where its containers or volumes are.

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh
source scripts/engine.sh
source scripts/standins.sh

SCOPE="${1:-all}"
[[ "$SCOPE" == all || "$SCOPE" == pipeline ]] || fail "unknown scope $SCOPE: give nothing or pipeline"
STARTED="$SECONDS"
HOST=localhost
REPLICA_PORT="${VAULTSTREAM_REPLICA_PORT:-5433}"
PROMETHEUS_PORT="${VAULTSTREAM_PROMETHEUS_PORT:-9090}"
GRAFANA_PORT="${VAULTSTREAM_GRAFANA_PORT:-3000}"
SUPERSET_PORT="${VAULTSTREAM_SUPERSET_PORT:-8088}"
AIRFLOW_PORT="${VAULTSTREAM_AIRFLOW_PORT:-8080}"
RATE="${VAULTSTREAM_SIMULATE_RATE:-50}"
DURATION="${VAULTSTREAM_SIMULATE_DURATION:-30s}"
# How long a container may be busy with life going on around its death, and how long what follows may take.
FAULT_DURATION=15s
FAULT_WAIT=240
# A user types it at psql's question, or sets it so.
export PGPASSWORD="$ADMIN_PASSWORD"
CONTAINERS=(postgres_primary postgres_replica postgres_dwh kafka debezium booking_reader dmp_service mart_refresher)
SERVE_CONTAINERS=(redis pgbouncer booking-serve-1 booking-serve-2 booking-serve-3 haproxy)
AIRFLOW_CONTAINERS=(airflow-webserver airflow-scheduler airflow-dag-processor airflow-triggerer)
VOLUMES=(backup-data dwh-data kafka-data primary-data replica-data)
TIMES=()
DONE=no
MAY_REMOVE=no

# A step that is listed with its time at the end: its name, then its command.
measured() {
    local started="$SECONDS"
    step "$@"
    TIMES+=("$(printf '%5d s  %s' $((SECONDS - started)) "$1")")
}

# Shows a command as a user types it, then runs it.
typed() {
    printf '  $ %s\n' "$*" >&2
    "$@"
}

# The output of a command has to hold a text: the text, then the command. The output is shown, shortened.
expect() {
    local wanted="$1" output
    shift
    printf '  $ %s\n' "$*"
    output="$("$@" 2>&1)" || fail "the command has failed: $output"
    head -n 12 <<<"$output" | cut -c 1-160 | sed 's/^/    /'
    [[ "$output" == *"$wanted"* ]] || fail "the output does not hold: $wanted"
}

# Waits until a command succeeds: seconds, what is waited for, then the command.
wait_for() {
    local ends=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@"; do
        ((SECONDS < ends)) || fail "in vain waited for: $what"
        sleep 1
    done
}

on_replica() {
    run_psql "$REPLICA_PORT" "$PRIMARY_DB" "$ADMIN" "$ADMIN_PASSWORD" "$@"
}

# What a server holds: every table's fingerprint, then airport_traffic. Arguments: how a table is named there (a printf format),
# the view's name there, what runs a query. Fails when the server does not answer.
everything() {
    local format="$1" traffic="$2"
    shift 2
    fingerprints "$format" "$@" 2>/dev/null || return 1
    "$@" --tuples-only --no-align --command "
        SELECT airport_code, departure_flights_num, departure_psngr_num, arrival_flights_num, arrival_psngr_num
        FROM $traffic
        ORDER BY 1" 2>/dev/null
}

# Whether replica and warehouse show what the primary holds, row for row, and the star schema what the vault holds.
all_equal_primary() {
    SOURCE_PRINT="$(everything 'public.%s' airport_traffic on_primary)" || return 1
    REPLICA_PRINT="$(everything 'public.%s' airport_traffic on_replica)" || return 1
    VAULT_PRINT="$(everything 'dwh_marts.current_%s' dwh_marts.v_airport_traffic on_warehouse)" || return 1
    [[ "$SOURCE_PRINT" == "$REPLICA_PRINT" && "$SOURCE_PRINT" == "$VAULT_PRINT" ]] || return 1
    STAR_DIFFERENCES="$(on_warehouse -At -c 'TABLE dwh_checks.star_equals_vault' 2>/dev/null)" || return 1
    STAR_PRINT="$(on_warehouse -At -c 'SELECT count(*), coalesce(sum(amount), 0) FROM dwh_marts.fact_bookings' 2>/dev/null)" || return 1
    SEGMENTS_PRINT="$(on_primary -At -c 'SELECT count(*), coalesce(sum(amount), 0) FROM ticket_flights' 2>/dev/null)" || return 1
    [[ -z "$STAR_DIFFERENCES" && "$STAR_PRINT" == "$SEGMENTS_PRINT" ]]
}

show_differences() {
    {
        diff <(printf '%s\n' "${SOURCE_PRINT:-}") <(printf '%s\n' "${REPLICA_PRINT:-}") | sed 's/^</primary: /; s/^>/replica: /'
        diff <(printf '%s\n' "${SOURCE_PRINT:-}") <(printf '%s\n' "${VAULT_PRINT:-}") | sed 's/^</primary:  /; s/^>/warehouse:/'
        printf 'segments of the primary: %s, of the star: %s\n%s\n' "${SEGMENTS_PRINT:-}" "${STAR_PRINT:-}" "${STAR_DIFFERENCES:-}"
    } | head -n 30 >&2 || true
}

# Waits until everything shows what the primary holds: at most so many seconds.
catch_up() {
    local ends=$((SECONDS + $1)) started="$SECONDS"
    until all_equal_primary; do
        if ((SECONDS >= ends)); then
            show_differences
            fail "replica or warehouse do not show what the primary holds after $1 s"
        fi
        sleep 1
    done
    say "replica, vault and marts equal the primary after $((SECONDS - started)) s: $(grep -c . <<<"$SOURCE_PRINT") lines compared, $(cut -d '|' -f 1 <<<"$SEGMENTS_PRINT") segments"
}

# The image that the compose file names for a service.
service_image() {
    docker compose --profile '*' config --format json | python3 -c '
import json, sys
print(json.load(sys.stdin)["services"][sys.argv[1]]["image"])' "$1"
}

refuse_a_composition_in_use() {
    local found
    found="$(docker ps --all --quiet --filter label=com.docker.compose.project=vaultstream
        docker volume ls --quiet --filter label=com.docker.compose.project=vaultstream)"
    if [[ -n "$found" && "$OWN_ENGINE" == no ]]; then
        fail "this engine has containers or volumes of a composition vaultstream already; the test would remove them. Remove them yourself: docker compose --profile '*' down --volumes"
    fi
    MAY_REMOVE=yes
    # What an earlier run that was cut off has left in the engine of these tests.
    docker compose --profile '*' down --volumes --remove-orphans --timeout 5 &>/dev/null
    ANONYMOUS_BEFORE="$(anonymous_volumes)"
}

# Volumes without a name: their name is a hash.
anonymous_volumes() {
    docker volume ls --quiet | grep -cE '^[0-9a-f]{64}$' || true
}

# Images without a name, but for those in a list.
nameless_images_but() {
    docker images --quiet --no-trunc --filter dangling=true | sort -u | grep -vxF -f <(printf '%s\n' none "$@") || true
}

# Builds what the profiles in the arguments need. An image of ours that an earlier run has built loses its name to the new one.
# Beyond that no image may be without a name: it would be one that was built twice.
build_images() {
    local known left
    mapfile -t known < <(
        docker images --quiet --no-trunc --filter dangling=true
        docker images --quiet --no-trunc 'vaultstream/*'
    )
    docker compose "$@" build --quiet >"$ENGINE_DIR/build.log" 2>&1 || {
        tail -n 40 "$ENGINE_DIR/build.log" >&2
        fail "docker compose build has failed"
    }
    left="$(nameless_images_but "${known[@]}")"
    [[ -z "$left" ]] || fail "the build has left images without a name: $left"
    docker images --format '  {{.Repository}}:{{.Tag}} {{.Size}}' 'vaultstream/*'
}

bring_up() {
    printf '  $ docker compose up --detach --wait\n'
    docker compose up --detach --wait --quiet-pull >"$ENGINE_DIR/up.log" 2>&1 || {
        tail -n 40 "$ENGINE_DIR/up.log" >&2
        fail "docker compose up has failed"
    }
    docker compose ps --format 'table {{.Name}}\t{{.Service}}\t{{.Status}}' | sed 's/^/  /'
}

databases_answer() {
    expect 'PostgreSQL 15' psql -h "$HOST" -p "$PRIMARY_PORT" -U "$ADMIN" -d airline_tickets -c "SELECT version();"
    expect 'PostgreSQL 15' psql -h "$HOST" -p "$REPLICA_PORT" -U "$ADMIN" -d airline_tickets -c "SELECT version();"
    expect 'PostgreSQL 15' psql -h "$HOST" -p "$DWH_PORT" -U "$ADMIN" -d airline_tickets_dwh -c "SELECT version();"
}

airport_reaches_the_replica() {
    expect 'INSERT 0 1' psql -h "$HOST" -p "$PRIMARY_PORT" -U "$ADMIN" -d airline_tickets -c "INSERT INTO airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC');"
    wait_for 30 "airport XXX on the replica" replica_has_xxx
    expect 'Test Airport' psql -h "$HOST" -p "$REPLICA_PORT" -U "$ADMIN" -d airline_tickets -c "SELECT * FROM airports WHERE airport_code = 'XXX';"
}

replica_has_xxx() {
    [[ "$(on_replica -At -c "SELECT count(*) FROM airports WHERE airport_code = 'XXX'")" == 1 ]]
}

seed() {
    typed docker compose run --rm --quiet-pull booking seed --scale "$SCALE"
}

simulate() {
    typed docker compose run --rm --quiet-pull booking simulate --rate "$RATE" --duration "$DURATION"
}

topics_are_listed() {
    local topics lines table
    topics="$(typed docker exec kafka kafka-topics --list --bootstrap-server localhost:9092)"
    mapfile -t lines <<<"$topics"
    printf '    %s\n' "${lines[@]}"
    for table in "${TABLES[@]}"; do
        grep -qx "airline.public.$table" <<<"$topics" || fail "the topic of $table is missing"
    done
    # Reading follows the address that the broker gives to clients, which listing does not.
    expect 'Processed a total of 1 messages' docker exec kafka kafka-console-consumer --bootstrap-server localhost:9092 \
        --topic airline.public.airports --from-beginning --max-messages 1 --timeout-ms 60000
}

# The address that the broker gives to clients on this machine has to be the published one. The client is a container in this
# machine's network.
kafka_answers_on_this_machine() {
    local image
    image="$(service_image kafka)"
    expect 'Processed a total of 1 messages' docker run --rm --network host --tmpfs /etc/kafka/secrets --tmpfs /mnt/shared/config --tmpfs /var/lib/kafka/data \
        "$image" /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server "$HOST:$KAFKA_PORT" --topic airline.public.airports \
        --from-beginning --max-messages 1 --timeout-ms 60000
}

vault_has_hubs() {
    expect XXX psql -h "$HOST" -p "$DWH_PORT" -U "$ADMIN" -d airline_tickets_dwh -c "SELECT * FROM dwh_detailed.hub_airports ORDER BY airport_code DESC;"
}

traffic_is_equal() {
    local on_one on_other
    on_one="$(typed psql -h "$HOST" -p "$PRIMARY_PORT" -U "$ADMIN" -d airline_tickets -c "SELECT * FROM airport_traffic;")"
    on_other="$(typed psql -h "$HOST" -p "$REPLICA_PORT" -U "$ADMIN" -d airline_tickets -c "SELECT * FROM airport_traffic;")"
    [[ "$on_one" == "$on_other" && -n "$on_one" ]] || fail "airport_traffic differs between primary and replica"
    expect airport_code docker exec postgres_primary psql -U "$ADMIN" -d airline_tickets -c 'SELECT * FROM airport_traffic LIMIT 3;'
    expect airport_code docker exec postgres_replica psql -U "$ADMIN" -d airline_tickets -c 'SELECT * FROM airport_traffic LIMIT 3;'
}

connector_runs() {
    expect '"state":"RUNNING"' curl --silent --show-error --fail -X GET "http://$HOST:$READER_PORT/connectors/airline-connector/status"
    expect vault_loader_ curl --silent --show-error --fail "http://$HOST:$LOADER_PORT/metrics"
}

# The way in which a role that an update brings gets into an older volume.
roles_can_be_applied_again() {
    expect 'applying /vaultstream/sql/010_roles.sql' docker exec postgres_dwh /docker-entrypoint-initdb.d/10_init.sh
}

logs_are_there() {
    local container
    for container in dmp_service debezium postgres_primary; do
        printf '  $ docker logs %s\n' "$container"
        [[ -n "$(docker logs --tail 5 "$container" 2>&1)" ]] || fail "docker logs $container says nothing"
        docker logs --tail 1 "$container" 2>&1 | cut -c 1-160 | sed 's/^/    /'
    done
}

# Logs are rotated and memory is bounded on every container, and the broker's health check leaves no process behind.
limits_are_set() {
    local container rotation memory processes
    while read -r container; do
        rotation="$(docker inspect --format '{{index .HostConfig.LogConfig.Config "max-size"}}' "$container")"
        memory="$(docker inspect --format '{{.HostConfig.Memory}}' "$container")"
        [[ "$rotation" == 10m ]] || fail "the log of $container is not rotated"
        ((memory > 0)) || fail "the memory of $container is not bounded"
    done < <(docker compose ps --all --format '{{.Name}}')
    processes="$(docker top kafka -eo pid,args | grep -c '[j]ava')"
    [[ "$processes" == 1 ]] || fail "$processes JVMs run in the container kafka"
    docker stats --no-stream --format '  {{.Name}} {{.MemUsage}}'
}

# Brings up services that are in a profile, each by its name, so that what depends on images that are not there can be left out.
bring_up_more() {
    printf '  $ docker compose up --detach --wait %s\n' "$*"
    docker compose up --detach --wait --quiet-pull "$@" >"$ENGINE_DIR/up.log" 2>&1 || {
        tail -n 40 "$ENGINE_DIR/up.log" >&2
        fail "docker compose up has failed"
    }
    docker compose --profile '*' ps --format 'table {{.Name}}\t{{.Service}}\t{{.Status}}' "$@" | sed 's/^/  /'
}

# Whether an instance of the booking service is ready behind HAProxy and sees Redis.
booking_service_is_ready() {
    local answer
    answer="$(curl --silent --fail --max-time 10 "http://$HOST:$BOOKING_PORT/health/ready")" || return 1
    [[ "$answer" == *'"redis":"up"'* ]]
}

booking_service_answers() {
    expect '"status":"ready"' curl --silent --show-error --fail "http://$HOST:$BOOKING_PORT/health/ready"
    # Instances are one service by what they share, so all of them answer at the one address.
    wait_for 30 "every instance to answer behind HAProxy" every_instance_answers
    docker stats --no-stream --format '  {{.Name}} {{.MemUsage}}' "${SERVE_CONTAINERS[@]}"
}

# Each instance tells its name on the first page.
every_instance_answers() {
    local pages
    # The page reads no parameter; this one lets one call ask nine times.
    pages="$(curl --silent --fail --max-time 10 "http://$HOST:$BOOKING_PORT/?time=[1-9]")" || return 1
    [[ "$(grep -o 'id="instance">[^<]*' <<<"$pages" | sort -u | wc -l)" == 3 ]]
}

# A flight that can be booked: its id, its airports, its day by the clock of the airport of departure.
find_flight() {
    IFS='|' read -r FLIGHT FROM TO DAY < <(on_primary --tuples-only --no-align --command "
        SELECT f.flight_id, f.departure_airport, f.arrival_airport, (f.scheduled_departure AT TIME ZONE a.timezone)::date
        FROM flights AS f
        JOIN airports AS a ON a.airport_code = f.departure_airport
        WHERE f.status = 'Scheduled' AND f.scheduled_departure > now() + interval '2 days'
        ORDER BY f.flight_id
        LIMIT 1")
    [[ -n "${DAY:-}" ]] || fail "the primary has no flight that can be booked"
}

flight_is_found() {
    expect "\"flight_id\":$FLIGHT," curl --silent --show-error --fail-with-body "http://$HOST:$BOOKING_PORT/api/v1/flights?from=$FROM&to=$TO&date=$DAY"
}

# Sends JSON to the booking service: the path below /api/v1, the body, then further arguments of curl.
post_to_booking() {
    local path="$1" body="$2"
    shift 2
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$body" "$@" \
        "http://$HOST:$BOOKING_PORT/api/v1/$path"
}

# A customer signs up and books the flight; the booking is in the vault.
customer_books() {
    local who='"email": "ann@example.org", "password": "a long password"' token reference
    post_to_booking customers "{$who, \"name\": \"ANN EXAMPLE\"}" >/dev/null || fail "nobody can sign up"
    token="$(post_to_booking sessions "{$who}" | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')"
    [[ -n "$token" ]] || fail "the customer cannot sign in"
    reference="$(post_to_booking bookings "{\"passengers\": [{\"document\": \"1234 567890\", \"name\": \"ANN EXAMPLE\"}],
        \"segments\": [{\"flight_id\": $FLIGHT, \"fare\": \"Economy\"}]}" --header "Authorization: Bearer $token" |
        sed -n 's/.*"book_ref":"\([^"]*\)".*/\1/p')"
    [[ -n "$reference" ]] || fail "the customer cannot book"
    say "booked $reference on flight $FLIGHT, $FROM to $TO on $DAY"
    catch_up "$FAULT_WAIT"
    expect "$reference" psql -h "$HOST" -p "$DWH_PORT" -U "$ADMIN" -d airline_tickets_dwh -c "SELECT book_ref FROM dwh_marts.current_bookings WHERE book_ref = '$reference';"
}

# A container of the booking service dies; the engine starts it again, every instance answers, and flights are found.
serves_after_death_of() {
    comes_back "$1"
    wait_for 60 "the booking service to be ready" booking_service_is_ready
    wait_for 60 "every instance to answer behind HAProxy" every_instance_answers
    flight_is_found
}

# A value of Prometheus: the query.
prometheus_value() {
    curl --silent --show-error --fail --get --data-urlencode "query=$1" "http://$HOST:$PROMETHEUS_PORT/api/v1/query" |
        sed -n 's/.*"value":\[[^,]*,"\([^"]*\)"\].*/\1/p'
}

prometheus_sees_all() {
    [[ "$(prometheus_value 'sum(up{job=~"cdc-reader|vault-loader"})')" == 3 ]]
}

prometheus_watches() {
    wait_for 60 "Prometheus to scrape reader and loader" prometheus_sees_all
    expect '"name":"' curl --silent --show-error --fail "http://$HOST:$PROMETHEUS_PORT/api/v1/rules"
}

grafana_has_its_dashboard() {
    expect '"database":"ok"' curl --silent --show-error --fail "http://$HOST:$GRAFANA_PORT/api/health"
    expect '"type":"dash-db"' curl --silent --show-error --fail --user "${GRAFANA_ADMIN_USER:-admin}:${GRAFANA_ADMIN_PASSWORD:-admin}" \
        "http://$HOST:$GRAFANA_PORT/api/search?type=dash-db"
}

# A page of Superset's API, as the analyst: the path below /api/v1.
superset_page() {
    curl --silent --show-error --fail --header "Authorization: Bearer $SUPERSET_TOKEN" "http://$HOST:$SUPERSET_PORT/api/v1/$1"
}

# The analyst logs in, sees the three dashboards, and every chart's query answers with rows.
superset_shows_dashboards() {
    local login charts chart answer count=0
    login="{\"username\": \"${SUPERSET_ANALYST_USER:-analyst}\", \"password\": \"${SUPERSET_ANALYST_PASSWORD:-analyst}\", \"provider\": \"db\"}"
    SUPERSET_TOKEN="$(curl --silent --show-error --fail --header 'Content-Type: application/json' --data "$login" \
        "http://$HOST:$SUPERSET_PORT/api/v1/security/login" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')"
    [[ -n "$SUPERSET_TOKEN" ]] || fail "the analyst cannot log in to Superset"
    [[ "$(superset_page dashboard/ | sed -n 's/.*"count": *\([0-9]*\).*/\1/p')" == 3 ]] || fail "Superset does not show three dashboards"
    charts="$(superset_page 'chart/?q=(page_size:100)' | sed -n 's/.*"ids": *\[\([^]]*\)\].*/\1/p' | tr -d ' ' | tr , '\n')"
    for chart in $charts; do
        answer="$(superset_page "chart/$chart/data/")" || fail "the query of chart $chart fails"
        [[ "$answer" =~ '"rowcount":'\ *[1-9] ]] || fail "chart $chart shows no rows: ${answer:0:300}"
        count=$((count + 1))
    done
    ((count >= 10)) || fail "Superset shows only $count charts"
    say "Superset: 3 dashboards, $count charts whose query answers with rows"
}

# Whether a run of the DAG has succeeded; shows a failed one at once. Asked of Airflow's database, for the command
# `airflow dags list-runs` loads all of Airflow each time.
a_run_has_succeeded() {
    local runs
    runs="$(docker exec airflow-db psql -U airflow -d airflow -At -c "SELECT run_id, state FROM dag_run WHERE dag_id = '$1'")" || return 1
    ! grep -qw failed <<<"$runs" || fail "a run of $1 has failed: $runs"
    grep -qw success <<<"$runs"
}

# The DAGs are known, and the scheduler brings a run of each to its end in the containers: the one of the last period, which
# starts by itself.
airflow_runs_its_dags() {
    local dag table
    wait_for 240 "the three DAGs in Airflow" airflow_knows_the_dags
    expect frequent_flyer_mart docker exec airflow-webserver airflow dags list
    for dag in airport_passenger_flow_mart frequent_flyer_mart vault_checks; do
        wait_for 900 "a run of $dag to succeed" a_run_has_succeeded "$dag"
        expect "$dag" docker exec airflow-webserver airflow dags list-runs "$dag"
    done
    for table in airport_passenger_flow frequent_flyers; do
        [[ "$(on_warehouse -At -c "SELECT count(*) > 0 FROM presentation.$table")" == t ]] || fail "presentation.$table is empty"
    done
    curl --silent --fail --output /dev/null --header 'Content-Type: application/json' \
        --data "{\"username\": \"${AIRFLOW_ADMIN_USER:-admin}\", \"password\": \"${AIRFLOW_ADMIN_PASSWORD:-admin}\"}" \
        "http://$HOST:$AIRFLOW_PORT/auth/token" || fail "nobody can log in to Airflow"
}

airflow_knows_the_dags() {
    local dags
    dags="$(docker exec airflow-db psql -U airflow -d airflow -At -c "SELECT dag_id FROM dag")" || return 1
    [[ "$dags" == *frequent_flyer_mart* && "$dags" == *airport_passenger_flow_mart* && "$dags" == *vault_checks* ]]
}

# Ends a container's first process as a crash would: from outside of it, and without asking the engine, whose `docker kill`
# also tells it not to start the container again.
crash() {
    local pid
    pid="$(docker inspect --format '{{.State.Pid}}' "$1")"
    ((pid > 0)) || fail "$1 does not run"
    docker run --rm --pid host debian:bookworm-slim bash -c "kill -9 $pid"
}

# Whether a container runs again, and says that it is well where it can say so.
is_well() {
    local state
    state="$(docker inspect --format '{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}} {{.RestartCount}}' "$1")"
    [[ "$state" == 'true healthy '* && "${state##* }" -ge "$2" ]]
}

# A container dies while bookings are made; the engine starts it again, and everything catches up.
survives_death_of() {
    local container="$1" life
    docker compose run --rm --quiet-pull booking simulate --rate "$RATE" --duration "$FAULT_DURATION" >"$ENGINE_DIR/simulate.log" 2>&1 &
    life="$!"
    sleep 4
    comes_back "$container"
    wait "$life" || {
        tail -n 5 "$ENGINE_DIR/simulate.log" >&2
        fail "booking simulate has failed; see $ENGINE_DIR/simulate.log"
    }
    catch_up "$FAULT_WAIT"
}

# A container dies; the engine starts it again, and it says that it is well.
comes_back() {
    local container="$1" restarts
    restarts="$(docker inspect --format '{{.RestartCount}}' "$container")"
    crash "$container"
    say "$container is dead"
    wait_for "$FAULT_WAIT" "$container to be healthy again" is_well "$container" $((restarts + 1))
}

# The simulation's end comes while the primary is away: it ends all the same, and does not fill the log meanwhile.
simulation_ends_without_the_primary() {
    local life lines started
    docker compose run --rm --quiet-pull booking simulate --rate "$RATE" --duration 8s >"$ENGINE_DIR/simulate.log" 2>&1 &
    life="$!"
    started="$SECONDS"
    sleep 5
    typed docker compose stop --timeout 30 primary &>/dev/null
    wait_for 60 "booking simulate to end while the primary is away" has_ended "$life"
    # Whether the run counts as a success is for the program to say; that it ends is what is asked here.
    wait "$life" || true
    lines="$(wc -l <"$ENGINE_DIR/simulate.log")"
    say "booking simulate has ended after $((SECONDS - started)) s with $lines lines"
    ((lines < 300)) || fail "booking simulate has written $lines lines; see $ENGINE_DIR/simulate.log"
    bring_up
    catch_up "$FAULT_WAIT"
}

has_ended() {
    ! kill -0 "$1" 2>/dev/null
}

# All at once, by `docker kill`, as an operator would; it is for `up` to start them again.
survives_kill_of_all() {
    typed docker kill --signal KILL "${CONTAINERS[@]}" >/dev/null
    bring_up
    catch_up "$FAULT_WAIT"
}

down_keeps_the_data() {
    local before
    before="$SOURCE_PRINT"
    docker compose down --timeout 60 2>&1 | grep -E 'Removed|Error' | sed 's/^/  /'
    [[ -z "$(docker compose ps --all --quiet)" ]] || fail "containers are left after down"
    local volume
    for volume in "${VOLUMES[@]}"; do
        docker volume inspect "vaultstream_$volume" >/dev/null || fail "the volume $volume is gone after down"
    done
    [[ "$(anonymous_volumes)" == "$ANONYMOUS_BEFORE" ]] || fail "down has left volumes without a name"
    bring_up
    catch_up "$FAULT_WAIT"
    [[ "$SOURCE_PRINT" == "$before" ]] || fail "the primary's data changed over down and up"
}

down_leaves_nothing() {
    docker compose --profile '*' down --volumes --timeout 60 2>&1 | grep -E 'Removed|Error' | sed 's/^/  /'
    local left
    left="$(
        docker ps --all --quiet --filter label=com.docker.compose.project=vaultstream
        docker volume ls --quiet --filter label=com.docker.compose.project=vaultstream
        docker network ls --quiet --filter label=com.docker.compose.project=vaultstream
    )"
    [[ -z "$left" ]] || fail "left after down --volumes: $left"
    [[ "$(anonymous_volumes)" == "$ANONYMOUS_BEFORE" ]] || fail "volumes without a name are left"
    MAY_REMOVE=no
}

finish() {
    local code=$?
    trap - EXIT INT TERM
    if [[ "$MAY_REMOVE" == yes ]]; then
        if ((code != 0)); then
            docker compose --profile '*' ps --all --format 'table {{.Name}}\t{{.Status}}' >&2 || true
            docker compose --profile '*' logs --no-color >"$ENGINE_DIR/containers.log" 2>&1 || true
            printf 'the logs of all containers are in %s\n' "$ENGINE_DIR/containers.log" >&2
        fi
        docker compose --profile '*' down --volumes --timeout 5 &>/dev/null || code=1
    fi
    end_engine || code=1
    if ((${#TIMES[@]} > 0)); then
        printf '\n'
        printf '%s\n' "${TIMES[@]}"
    fi
    [[ "$code" == 0 && "$DONE" == yes ]] || {
        say "test-compose: failed after $((SECONDS - STARTED)) s"
        exit $((code == 0 ? 1 : code))
    }
    say "test-compose: passed in $((SECONDS - STARTED)) s"
    exit 0
}

mkdir -p "$ENGINE_DIR"
trap finish EXIT
trap 'exit 130' INT TERM
measured "set up this machine" scripts/setup.sh compose
measured "start an engine" use_engine
measured "find Docker Compose" use_compose
refuse_a_composition_in_use
base_images=(postgres kafka rust)
build_profiles=(--profile booking)
if [[ "$SCOPE" == all ]]; then
    base_images+=(redis haproxy prometheus superset airflow)
    build_profiles+=(--profile serve --profile bi)
fi
measured "provide the base images" provide_images "${base_images[@]}"
measured "build our images" build_images "${build_profiles[@]}"
measured "bring everything up" bring_up
measured "psql on primary, replica and warehouse" databases_answer
measured "an airport reaches the replica" airport_reaches_the_replica
measured "seed the source at scale $SCALE" seed
measured "first load: until everything is equal" catch_up 600
measured "topics are listed in the container kafka" topics_are_listed
measured "Kafka answers a client on this machine" kafka_answers_on_this_machine
measured "hubs are in the vault" vault_has_hubs
measured "airport_traffic is equal on primary and replica" traffic_is_equal
measured "the connector runs" connector_runs
measured "docker logs" logs_are_there
measured "the warehouse's roles can be applied again" roles_can_be_applied_again
measured "simulate an airline for $DURATION" simulate
measured "after the simulation: until everything is equal" catch_up 240
measured "limits are set" limits_are_set
for container in "${CONTAINERS[@]}"; do
    measured "kill -9 of $container, until everything is equal" survives_death_of "$container"
done
measured "the primary is away as the simulation ends" simulation_ends_without_the_primary
measured "docker kill of all, up, until everything is equal" survives_kill_of_all
measured "down and up keep the data" down_keeps_the_data
if [[ "$SCOPE" == all ]]; then
    measured "bring up the booking service" bring_up_more "${SERVE_CONTAINERS[@]}"
    measured "the booking service answers" booking_service_answers
    find_flight
    measured "a flight is found" flight_is_found
    measured "a customer books, until everything is equal" customer_books
    for container in "${SERVE_CONTAINERS[@]}"; do
        measured "kill -9 of $container, until a flight is found" serves_after_death_of "$container"
    done
    measured "bring up Prometheus" bring_up_more prometheus
    measured "Prometheus watches reader and loader" prometheus_watches
    measured "kill -9 of prometheus, until it is healthy" comes_back prometheus
    if [[ "$STANDINS" == no ]]; then
        measured "bring up Grafana" bring_up_more grafana
        measured "Grafana has its dashboard" grafana_has_its_dashboard
    else
        say "not brought up: grafana, for which no stand-in can be made; docker compose config has read its service"
    fi
    measured "bring up Superset" bring_up_more superset
    measured "Superset shows its dashboards" superset_shows_dashboards
    measured "kill -9 of superset, until it is healthy" comes_back superset
    measured "Superset shows its dashboards again" superset_shows_dashboards
    measured "bring up Airflow" bring_up_more "${AIRFLOW_CONTAINERS[@]}"
    measured "Airflow runs its DAGs" airflow_runs_its_dags
    for container in airflow-db "${AIRFLOW_CONTAINERS[@]}"; do
        measured "kill -9 of $container, until it is healthy" comes_back "$container"
    done
fi
measured "down --volumes leaves nothing" down_leaves_nothing
DONE=yes
