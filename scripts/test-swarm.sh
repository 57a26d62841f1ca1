#!/usr/bin/env bash
# Deploys the highly available stack into a swarm of this machine alone with deploy-ha.sh, asks quick-test.sh, kills the
# primary while rows are written, asks again, deploys once more, and removes everything.
# In: what scripts/standins.sh reads. Out: each step with its time; exit 0 when every one held. An engine that was
# started for this is ended.
# Invariant: what somebody uses is not touched. The test refuses an engine that is not its own and is part of a swarm,
# or has containers or volumes of a stack of that name.

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh
source scripts/engine.sh
source scripts/standins.sh
export VAULTSTREAM_SWARM_SECRETS=.run/test-swarm/secrets
# The stack itself has the usual ports; a demo may have them on this machine.
export VAULTSTREAM_WRITE_PORT="${VAULTSTREAM_SWARM_WRITE_PORT:-15432}" VAULTSTREAM_READ_PORT="${VAULTSTREAM_SWARM_READ_PORT:-15433}"
export VAULTSTREAM_STATISTICS_PORT="${VAULTSTREAM_SWARM_STATISTICS_PORT:-18404}" VAULTSTREAM_BOOKING_PORT="${VAULTSTREAM_SWARM_BOOKING_PORT:-14000}"
source deploy/swarm/lib.sh

STARTED="$SECONDS"
MAY_REMOVE=no
DONE=no
TIMES=()

# A step that is listed with its time at the end: its name, then its command.
measured() {
    local started="$SECONDS"
    step "$@"
    TIMES+=("$(printf '%5d s  %s' $((SECONDS - started)) "$1")")
}

# The image that the stack's file names for a service.
stack_image() {
    docker compose --file "$STACK_FILE" config --format json | python3 -c '
import json, sys
print(json.load(sys.stdin)["services"][sys.argv[1]]["image"])' "$1"
}

refuse_a_swarm_in_use() {
    [[ "$(docker info --format '{{.Swarm.LocalNodeState}}')" == inactive || "$OWN_ENGINE" == yes ]] ||
        fail "the engine of this machine is part of a swarm; the test would change it"
}

# A machine that has left its swarm keeps the volumes of its stacks.
refuse_a_stack_in_use() {
    local found
    found="$(docker ps --all --quiet --filter "label=com.docker.stack.namespace=$STACK"
        docker volume ls --quiet --filter "label=com.docker.stack.namespace=$STACK")"
    [[ -z "$found" || "$OWN_ENGINE" == yes ]] ||
        fail "this engine has containers or volumes of a stack $STACK already; the test would remove them. Remove them yourself, or set VAULTSTREAM_STACK to another name"
    MAY_REMOVE=yes
}

# Removes the swarm and what the stack has left in the engine. Nobody else's: an engine that had any before was refused.
remove_stack() {
    docker swarm leave --force &>/dev/null || true
    docker ps --all --quiet --filter "label=com.docker.stack.namespace=$STACK" | xargs --no-run-if-empty docker rm --force >/dev/null
    docker volume ls --quiet --filter "label=com.docker.stack.namespace=$STACK" | xargs --no-run-if-empty docker volume rm >/dev/null
    rm -rf "$VAULTSTREAM_SWARM_SECRETS"
}

build_images() {
    docker compose --file "$STACK_FILE" build --quiet >"$ENGINE_DIR/build.log" 2>&1 || {
        tail -n 40 "$ENGINE_DIR/build.log" >&2
        fail "docker compose build has failed"
    }
    docker images --format '  {{.Repository}}:{{.Tag}} {{.Size}}' 'vaultstream/*'
}

# psql through HAProxy, from this machine: a port, then arguments.
through_haproxy() {
    local port="$1"
    shift
    PGPASSWORD="$(<"$VAULTSTREAM_SWARM_SECRETS/postgres_admin")" PGCONNECT_TIMEOUT=3 psql --no-psqlrc -At --set ON_ERROR_STOP=1 \
        --host 127.0.0.1 --port "$port" --username admin --dbname airline_tickets "$@"
}

make_marks() {
    through_haproxy "$WRITE_PORT" --quiet --command 'CREATE TABLE public.marks (number bigint PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())'
}

# Writes one number after the other until a file is there, and notes each that was confirmed with its time in ms.
write_marks() {
    local number=0
    until [[ -e "$ROOM/stop" ]]; do
        number=$((number + 1))
        if through_haproxy "$WRITE_PORT" --quiet --command "SET statement_timeout = '5s'; INSERT INTO public.marks (number) VALUES ($number)" &>/dev/null; then
            printf '%s %s\n' "$number" "$((${EPOCHREALTIME/[.,]/} / 1000))" >>"$ROOM/confirmed"
        fi
    done
}

# The container of a server: its number.
container_of() {
    docker ps --quiet --filter "name=${STACK}_postgres-$1."
}

# Lets rows be written while the primary goes, by one of these: kill (from outside, as a crash would, and its machine
# does not start it again before another one is the primary), switchover (in order, by patronictl). Shows the longest
# time without a confirmed row. All that were confirmed are there afterwards.
writes_go_on_after() {
    local way="$1" primary writer longest lost
    ROOM="$(mktemp -d)"
    primary="$(primary_node)"
    [[ -n "$primary" ]] || fail "there is no primary"
    : >"$ROOM/confirmed"
    write_marks &
    writer="$!"
    wait_for_more_rows
    "by_$way" "$primary"
    wait_for_another_primary "$primary"
    wait_for_more_rows
    touch "$ROOM/stop"
    wait "$writer"
    docker service scale --detach "${STACK}_postgres-$primary=1" >/dev/null
    longest="$(awk 'NR > 1 && $2 - last > longest { longest = $2 - last } { last = $2 } END { print longest }' "$ROOM/confirmed")"
    lost="$(comm -23 <(cut -d ' ' -f 1 "$ROOM/confirmed" | sort) <(through_haproxy "$WRITE_PORT" --command 'SELECT number FROM public.marks' | sort) | wc -l)"
    say "  rows confirmed: $(wc -l <"$ROOM/confirmed"), lost: $lost, longest time without one: $longest ms"
    ((lost == 0)) || fail "confirmed rows are lost"
    ((longest <= 15000)) || fail "writes did not go on within 15 s"
    rm -rf "$ROOM"
}

by_kill() {
    kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$(container_of "$1")")"
    docker service scale --detach "${STACK}_postgres-$1=0" >/dev/null
    say "  postgres-$1, the primary, is dead"
}

by_switchover() {
    docker exec "$(container_of "$1")" with-secrets.sh patronictl --config-file /tmp/patroni.yml switchover --force | tail -n 8
}

wait_for_more_rows() {
    local wanted ends=$((SECONDS + 60))
    wanted=$(($(wc -l <"$ROOM/confirmed") + 20))
    until (($(wc -l <"$ROOM/confirmed") >= wanted)); do
        ((SECONDS < ends)) || fail "no rows are confirmed"
        sleep 0.2
    done
}

wait_for_another_primary() {
    local ends=$((SECONDS + 60)) now
    while now="$(primary_node)" && [[ -z "$now" || "$now" == "$1" ]]; do
        ((SECONDS < ends)) || fail "no other server becomes the primary"
        sleep 0.5
    done
    say "  postgres-$now is the primary"
}

whole_again() {
    local ends=$((SECONDS + 300))
    until deploy/swarm/quick-test.sh >"$ENGINE_DIR/quick-test.log" 2>&1; do
        ((SECONDS < ends)) || {
            cat "$ENGINE_DIR/quick-test.log" >&2
            fail "the stack is not whole again"
        }
        sleep 3
    done
    cat "$ENGINE_DIR/quick-test.log"
}

# The containers that run, by their names, which a new one changes.
containers() {
    docker ps --filter "label=com.docker.stack.namespace=$STACK" --format '{{.Names}}' | sort
}

deployed_again_nothing_changes() {
    local before
    before="$(containers)"
    deploy/swarm/deploy-ha.sh
    [[ "$(containers)" == "$before" ]] || {
        diff <(echo "$before") <(containers) >&2
        fail "a second deployment has replaced containers"
    }
}

clean_leaves_nothing() {
    local left
    deploy/swarm/deploy-ha.sh --clean
    left="$(
        docker ps --all --quiet --filter "label=com.docker.stack.namespace=$STACK"
        docker volume ls --quiet --filter "label=com.docker.stack.namespace=$STACK"
        docker service ls --quiet
        docker secret ls --quiet
        docker config ls --quiet
        docker node inspect self --format '{{range $label, $value := .Spec.Labels}}{{$label}} {{end}}'
    )"
    [[ -z "${left//[[:space:]]/}" ]] || fail "left after --clean: $left"
    [[ ! -e "$VAULTSTREAM_SWARM_SECRETS" ]] || fail "left after --clean: $VAULTSTREAM_SWARM_SECRETS"
}

finish() {
    local code=$?
    trap - EXIT INT TERM
    [[ -z "${ROOM:-}" ]] || touch "$ROOM/stop" 2>/dev/null || true
    if [[ "$MAY_REMOVE" == yes ]]; then
        if ((code != 0)); then
            docker stack ps --no-trunc --format '{{.Name}} {{.CurrentState}} {{.Error}}' "$STACK" >&2 || true
            local service
            for service in $(docker service ls --format '{{.Name}}'); do
                docker service logs --tail 60 "$service" >"$ENGINE_DIR/$service.log" 2>&1 || true
            done
            printf 'the logs of all services are in %s\n' "$ENGINE_DIR" >&2
        fi
        remove_stack || code=1
    fi
    end_engine || code=1
    ((${#TIMES[@]} == 0)) || printf '%s\n' "${TIMES[@]}"
    [[ "$code" == 0 && "$DONE" == yes ]] || {
        say "test-swarm: failed after $((SECONDS - STARTED)) s"
        exit $((code == 0 ? 1 : code))
    }
    say "test-swarm: passed in $((SECONDS - STARTED)) s"
    exit 0
}

((EUID == 0)) || fail "this needs root"
mkdir -p "$ENGINE_DIR" .run/test-swarm
trap finish EXIT
trap 'exit 130' INT TERM
measured "set up this machine" scripts/setup.sh compose
measured "start an engine" use_engine
measured "find Docker Compose" use_compose
refuse_a_swarm_in_use
refuse_a_stack_in_use
# What an earlier run that was cut off has left in the engine of these tests.
remove_stack
measured "provide the base images" provide_images postgres postgres18 kafka rust etcd haproxy redis
[[ "$STANDINS" == no ]] || export VAULTSTREAM_BUILD_NETWORK=host
measured "build our images" build_images
measured "deploy-ha.sh --init" deploy/swarm/deploy-ha.sh --init
measured "quick-test.sh" whole_again
measured "a table of marks" make_marks
measured "the primary dies while rows are written" writes_go_on_after kill
measured "quick-test.sh, when the old primary is back" whole_again
measured "a switchover while rows are written" writes_go_on_after switchover
measured "quick-test.sh, after the switchover" whole_again
measured "deploy-ha.sh again changes nothing" deployed_again_nothing_changes
measured "deploy-ha.sh --clean leaves nothing" clean_leaves_nothing
DONE=yes
