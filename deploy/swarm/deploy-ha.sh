#!/usr/bin/env bash
# Deploys the highly available airline into a Docker swarm: labels of machines, secrets, images, the stack; waits until
# all of it runs.
# In: nothing, or --init (make this machine a swarm of one first), or --clean (remove the stack, its volumes on this
# machine, its secrets and the machines' labels; nothing is deployed); VAULTSTREAM_REGISTRY where the swarm has several
# machines; VAULTSTREAM_…_PORT. Out: exit 0 when every service runs and every job is done.
# Invariant: what keeps data stays as it is. A second run is an update. A new image goes to the standbys first, one
# server after the other, and to the primary last. Limit: a change of with-secrets.sh, or of the servers' part of
# stack.yml, restarts all three at once.

source "$(dirname "$0")/../../scripts/lib.sh"
source scripts/engine.sh
source deploy/swarm/lib.sh

WAIT_SECONDS="${VAULTSTREAM_SWARM_WAIT:-900}"

# Without an address for other machines, the port by which a swarm is joined and steered is open to this machine alone.
init_swarm() {
    [[ "$(docker info --format '{{.Swarm.LocalNodeState}}')" != active ]] || return 0
    if [[ -n "${VAULTSTREAM_ADVERTISE_ADDRESS:-}" ]]; then
        docker swarm init --advertise-addr "$VAULTSTREAM_ADVERTISE_ADDRESS" >/dev/null
    else
        docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377 >/dev/null
    fi
}

# Binds each of the three members to a machine, unless it is bound. With fewer than three machines one has several.
label_machines() {
    local number machines machine
    mapfile -t machines < <(docker node ls --filter role=manager --format '{{.ID}}'
        docker node ls --filter role=worker --format '{{.ID}}')
    for number in 1 2 3; do
        if [[ -z "$(docker node ls --quiet --filter "node.label=vaultstream.member$number=yes")" ]]; then
            machine="${machines[$(((number - 1) % ${#machines[@]}))]}"
            docker node update --label-add "vaultstream.member$number=yes" "$machine" >/dev/null
        fi
        printf '  member %s: %s\n' "$number" \
            "$(docker node ls --filter "node.label=vaultstream.member$number=yes" --format '{{.Hostname}}')"
    done
    ((${#machines[@]} == 1)) || [[ -n "$VAULTSTREAM_REGISTRY" ]] ||
        fail "the swarm has ${#machines[@]} machines: set VAULTSTREAM_REGISTRY to where all of them get the images, with a slash at its end"
}

# Makes the secrets that are missing, of random bytes, and keeps a copy that only its owner reads.
make_secrets() {
    local name made=0
    (umask 077 && mkdir -p "$SECRETS_DIR")
    for name in "${SECRETS[@]}"; do
        docker secret inspect "vaultstream_$name" &>/dev/null && continue
        [[ -s "$SECRETS_DIR/$name" ]] || (umask 077 && openssl rand -hex 24 | tr -d '\n' >"$SECRETS_DIR/$name")
        docker secret create "vaultstream_$name" "$SECRETS_DIR/$name" >/dev/null
        made=$((made + 1))
    done
    say "  $made secrets made, ${#SECRETS[@]} in all; their copies are in $SECRETS_DIR"
}

# Builds the images that are missing, and gives them to the registry, if there is one.
provide_images() {
    local missing=() image
    for image in patroni warehouse booking cdc-reader vault-loader; do
        image="${VAULTSTREAM_REGISTRY}vaultstream/$image:$VAULTSTREAM_VERSION"
        docker image inspect "$image" &>/dev/null || missing+=("$image")
    done
    if ((${#missing[@]} > 0)); then
        say "  building ${missing[*]}"
        docker compose --file "$STACK_FILE" build --quiet
    fi
    [[ -z "$VAULTSTREAM_REGISTRY" ]] || docker compose --file "$STACK_FILE" push --quiet postgres-1 warehouse booking cdc-reader vault-loader
}

# Configs do not change in a swarm, so each is named by what it says.
name_configs() {
    local variable file
    while read -r variable file; do
        export "VAULTSTREAM_${variable}_DIGEST=$(sha256sum "$file" | cut -c 1-12)"
    done <<'END'
WITH_SECRETS deploy/swarm/with-secrets.sh
READER deploy/swarm/reader.sh
SOURCE deploy/swarm/source.sh
HAPROXY deploy/haproxy/ha.cfg
REDIS deploy/redis/start.sh
KAFKA_HEALTHY deploy/kafka/healthy.sh
END
}

# Waits until a server is the primary, or a standby that streams: its number.
wait_until_server_follows() {
    local ends=$((SECONDS + WAIT_SECONDS))
    until [[ "$(server_state "$1")" == 'leader running' || "$(server_state "$1")" == *' streaming' ]]; do
        ((SECONDS < ends)) || fail "postgres-$1 does not stream after $WAIT_SECONDS s; docker service logs ${STACK}_postgres-$1 says why"
        sleep 2
    done
}

# A deployment updates all services at once. Servers of one cluster must not go at once, so each gets a new image before
# it, by itself, and the next one has to wait until the one before streams. A service keeps its other settings here: the
# deployment changes them at once.
update_servers() {
    local primary number order=() running
    docker service inspect "${STACK}_postgres-1" &>/dev/null || return 0
    primary="$(primary_node)"
    [[ -n "$primary" ]] || fail "the cluster has no primary; look at it before you update it: docker service logs ${STACK}_postgres-1"
    for number in 1 2 3; do
        [[ "$number" == "$primary" ]] || order+=("$number")
    done
    for number in "${order[@]}" "$primary"; do
        running="$(docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "${STACK}_postgres-$number")"
        if [[ "${running%@*}" != "$PATRONI_IMAGE" ]]; then
            say "  updating postgres-$number"
            docker service update --quiet --with-registry-auth --image "$PATRONI_IMAGE" "${STACK}_postgres-$number" >/dev/null
            wait_until_server_follows "$number"
        fi
    done
    docker service inspect --format '{{range .Spec.TaskTemplate.ContainerSpec.Configs}}{{.ConfigName}} {{end}}' "${STACK}_postgres-1" |
        grep -qF "vaultstream-with-secrets-$VAULTSTREAM_WITH_SECRETS_DIGEST" ||
        say "  with-secrets.sh has changed: all three servers are restarted at once, and clients wait until one is the primary again"
}

deploy() {
    local resolve=never
    [[ -z "$VAULTSTREAM_REGISTRY" ]] || resolve=always
    # It says that it ignores how images are built.
    docker stack deploy --with-registry-auth --resolve-image "$resolve" --prune --compose-file "$STACK_FILE" "$STACK" 2>&1 |
        grep -vE '^(Ignoring unsupported options|$)' | sed 's/^/  /'
}

wait_until_all_runs() {
    local ends=$((SECONDS + WAIT_SECONDS)) left
    while left="$(missing)" && [[ -n "$left" ]]; do
        if ((SECONDS >= ends)); then
            printf '%s\n' "$left" >&2
            docker stack ps --no-trunc --filter desired-state=running --format '{{.Name}} {{.CurrentState}} {{.Error}}' "$STACK" >&2
            fail "not everything runs after $WAIT_SECONDS s; docker service logs ${STACK}_SERVICE says why"
        fi
        sleep 2
    done
}

show() {
    docker service ls --filter "label=com.docker.stack.namespace=$STACK" --format 'table {{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}' | sed 's/^/  /'
    cat <<END

The address of every machine of the swarm will do:

  booking service        http://ADDRESS:$BOOKING_PORT
  who is primary         http://ADDRESS:$STATISTICS_PORT/stats   admin, with the password in $SECRETS_DIR/haproxy_statistics
  writes                 ADDRESS:$WRITE_PORT, airline_tickets     admin, with the password in $SECRETS_DIR/postgres_admin
  reads                  ADDRESS:$READ_PORT, airline_tickets

Every part is asked by deploy/swarm/quick-test.sh. Keep the passwords in a safe place, and then remove $SECRETS_DIR.
END
}

# Takes the labels of the three members from whichever machines have them.
unlabel_machines() {
    local number machine
    for number in 1 2 3; do
        for machine in $(docker node ls --quiet --filter "node.label=vaultstream.member$number=yes"); do
            docker node update --label-rm "vaultstream.member$number" "$machine" >/dev/null
        done
    done
}

clean() {
    local name ends=$((SECONDS + 120))
    docker stack rm "$STACK" >/dev/null
    while [[ -n "$(docker ps --quiet --filter "label=com.docker.stack.namespace=$STACK")$(
        docker network ls --quiet --filter "label=com.docker.stack.namespace=$STACK"
    )" ]]; do
        ((SECONDS < ends)) || fail "the stack does not end"
        sleep 1
    done
    docker ps --all --quiet --filter "label=com.docker.stack.namespace=$STACK" | xargs --no-run-if-empty docker rm >/dev/null
    docker volume ls --quiet --filter "label=com.docker.stack.namespace=$STACK" | xargs --no-run-if-empty docker volume rm >/dev/null
    for name in "${SECRETS[@]}"; do
        docker secret rm "vaultstream_$name" &>/dev/null || true
        rm -f "$SECRETS_DIR/$name"
    done
    # What somebody else has put there stays.
    rmdir "$SECRETS_DIR" 2>/dev/null || true
    unlabel_machines
    say "the stack $STACK, its volumes on this machine, its secrets and the labels of machines are gone; other machines keep their volumes until docker volume rm there"
}

case "${1:-}" in
    '') ;;
    --init) init_swarm ;;
    --clean)
        require_manager
        step "remove" clean
        exit
        ;;
    *) fail "unknown argument $1: give nothing, --init or --clean" ;;
esac
require_manager
require_client
use_compose
step "machines" label_machines
step "secrets" make_secrets
step "images" provide_images
name_configs
step "servers, one after the other" update_servers
step "deploy the stack $STACK" deploy
step "wait until everything runs" wait_until_all_runs
show
