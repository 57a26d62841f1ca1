#!/usr/bin/env bash
# Asks every part of the stack whether it works: the swarm, each service, who is primary, writes and reads through
# HAProxy, the login of its page, the booking service, the readers, the loader, and whether the readers' slots would
# outlive a failover.
# In: a stack that deploy-ha.sh has deployed; ADDRESS (127.0.0.1), a machine of the swarm. Out: a line for each
# question; exit 0 when every answer is right.

source "$(dirname "$0")/../../scripts/lib.sh"
source deploy/swarm/lib.sh

ADDRESS="${ADDRESS:-127.0.0.1}"
FAILED=0

# A question and a command that answers it: what it prints is shown beside the question.
ask() {
    local question="$1" answer
    shift
    if answer="$("$@" 2>&1)"; then
        printf '  ok      %-58s %s\n' "$question" "$(head -n 1 <<<"$answer")"
    else
        printf '  FAILED  %-58s %s\n' "$question" "$(tail -n 1 <<<"$answer")"
        FAILED=$((FAILED + 1))
    fi
}

swarm_is_active() {
    local machines
    machines="$(docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}}')" || return 1
    paste -sd ';' <<<"$machines"
    ! grep -qv ' Ready Active$' <<<"$machines"
}

everything_runs() {
    local left
    left="$(missing | paste -sd ';')"
    [[ -z "$left" ]] || {
        echo "$left"
        return 1
    }
    echo "$(service_lines | wc -l) services"
}

# psql through HAProxy as the admin; $1 is the port inside the network.
query() {
    PGPASSWORD="$(<"$SECRETS_DIR/postgres_admin")" in_network database --env PGPASSWORD "$PATRONI_IMAGE" psql --no-psqlrc -At --set ON_ERROR_STOP=1 \
        --host haproxy --port "$1" --username admin --dbname airline_tickets
}

one_primary_two_standbys() {
    local number
    for number in 1 2 3; do
        ask_patroni "$number" cluster 2>/dev/null && break
    done | python3 -c '
import json, sys
members = json.load(sys.stdin)["members"]
print(", ".join(f"""{m["name"]} {m["role"]} {m["state"]} lag {m.get("lag", 0)}""" for m in sorted(members, key=lambda m: m["name"])))
leaders = [m for m in members if m["role"] == "leader" and m["state"] == "running"]
standbys = [m for m in members if m["role"] != "leader" and m["state"] == "streaming"]
sys.exit(0 if len(leaders) == 1 and len(standbys) == 2 else 1)'
}

writes_reach_the_primary() {
    [[ "$(query 5432 <<<'SELECT pg_is_in_recovery()')" == f ]] && echo "a server that is not in recovery"
}

reads_reach_a_standby() {
    [[ "$(query 5433 <<<'SELECT pg_is_in_recovery()')" == t ]] && echo "a server in recovery"
}

# A row that is written on one port is read on the other one.
a_write_is_read() {
    local mark ends=$((SECONDS + 15))
    mark="$(query 5432 <<<"SELECT pg_logical_emit_message(true, 'quick-test', '')")" || return 1
    until [[ "$(query 5433 <<<"SELECT pg_last_wal_replay_lsn() >= '$mark'")" == t ]]; do
        ((SECONDS < ends)) || return 1
        sleep 1
    done
    echo "$mark is on a standby"
}

commits_wait_for_a_standby() {
    local setting
    setting="$(query 5432 <<<'SHOW synchronous_standby_names')"
    echo "$setting"
    [[ "$setting" == *ANY* || "$setting" == *FIRST* ]]
}

slots_outlive_a_failover() {
    local slots
    slots="$(query 5433 <<<"SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots
        WHERE failover AND synced AND NOT temporary AND invalidation_reason IS NULL")"
    echo "$slots"
    [[ "$slots" == 'airline_slot booking_slot' ]]
}

# The answer's code: URL, then more arguments of curl. A password comes through a file, because everybody reads
# arguments.
code_of() {
    curl --silent --output /dev/null --max-time 10 --write-out '%{http_code}' "$@"
}

page_needs_a_login() {
    [[ "$(code_of "http://$ADDRESS:$STATISTICS_PORT/stats")" == 401 ]] || return 1
    [[ "$(code_of --config <(printf 'user = "admin:%s"\n' "$(<"$SECRETS_DIR/haproxy_statistics")") \
        "http://$ADDRESS:$STATISTICS_PORT/stats")" == 200 ]] && echo "401 without it, 200 with it"
}

page_shows_the_roles() {
    local up
    up="$(curl --silent --fail --max-time 10 --config <(printf 'user = "admin:%s"\n' "$(<"$SECRETS_DIR/haproxy_statistics")") \
        "http://$ADDRESS:$STATISTICS_PORT/stats;csv" | awk -F, '$2 ~ /^(node|instance)[0-9]/ && $18 == "UP" { count[$1]++ }
        END { printf "writes %d, reads %d, booking %d", count["writes"], count["reads"], count["instances"] }')"
    echo "$up"
    [[ "$up" == 'writes 1, reads 2, booking 3' ]]
}

booking_is_ready() {
    [[ "$(code_of "http://$ADDRESS:$BOOKING_PORT/health/ready")" == 200 && "$(code_of "http://$ADDRESS:$BOOKING_PORT/")" == 200 ]] &&
        echo "http://$ADDRESS:$BOOKING_PORT"
}

# A program's HTTP, in the network of the pipeline: its service, the URL's rest.
http_inside() {
    in_network pipeline "$PATRONI_IMAGE" python -c '
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())' "http://$1"
}

reader_is_ready() {
    http_inside "$1:8083/ready" >/dev/null && http_inside "$1:8083/connectors/$2/status" | grep -o '"state":"RUNNING"' | head -n 1
}

loader_is_ready() {
    http_inside vault-loader:8084/ready >/dev/null && echo ready
}

require_manager
[[ -s "$SECRETS_DIR/postgres_admin" && -s "$SECRETS_DIR/haproxy_statistics" ]] ||
    fail "the passwords of this stack are not in $SECRETS_DIR: set VAULTSTREAM_SWARM_SECRETS to the folder that deploy-ha.sh has filled"
ask "the swarm's machines are ready" swarm_is_active
ask "every service runs, every job is done" everything_runs
ask "one primary, two standbys that stream" one_primary_two_standbys
ask "port $WRITE_PORT leads to the primary" writes_reach_the_primary
ask "port $READ_PORT leads to a standby" reads_reach_a_standby
ask "what is written is read there" a_write_is_read
ask "a commit waits for a standby" commits_wait_for_a_standby
ask "the readers' slots are on a standby too" slots_outlive_a_failover
ask "HAProxy's page asks for a login" page_needs_a_login
ask "HAProxy's page shows who is what" page_shows_the_roles
ask "the booking service is ready" booking_is_ready
ask "the reader of the airline runs" reader_is_ready cdc-reader airline-connector
ask "the reader of the booking service runs" reader_is_ready booking-reader booking-connector
ask "the loader is ready" loader_is_ready
((FAILED == 0)) || fail "$FAILED answers are wrong"
say "quick-test: all is well"
