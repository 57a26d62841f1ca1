# shellcheck shell=bash
# What deploy-ha.sh and quick-test.sh share. Sourced after scripts/lib.sh, never run.
# shellcheck disable=SC2034 # some variables are for the scripts that source this file

STACK="${VAULTSTREAM_STACK:-vaultstream}"
STACK_FILE=deploy/swarm/stack.yml
# The passwords, one file each, for the operator alone: a swarm never shows a secret again.
SECRETS_DIR="${VAULTSTREAM_SWARM_SECRETS:-.run/swarm/secrets}"
# The names of the secrets in the stack's file are those below vaultstream_.
SECRETS=(postgres_admin postgres_replication patroni_rest haproxy_statistics cdc_reader booking_app airline_readonly booking_service
    booking_redis warehouse_admin vault_owner vault_loader mart_reader mart_refresher presentation_writer vault_checker)
# With one machine the images need not come from a registry.
VAULTSTREAM_VERSION="${VAULTSTREAM_VERSION:-$(workspace_version)}"
VAULTSTREAM_REGISTRY="${VAULTSTREAM_REGISTRY:-}"
WRITE_PORT="${VAULTSTREAM_WRITE_PORT:-5432}"
READ_PORT="${VAULTSTREAM_READ_PORT:-5433}"
STATISTICS_PORT="${VAULTSTREAM_STATISTICS_PORT:-8404}"
BOOKING_PORT="${VAULTSTREAM_BOOKING_PORT:-4000}"
PATRONI_IMAGE="${VAULTSTREAM_REGISTRY}vaultstream/patroni:$VAULTSTREAM_VERSION"
export VAULTSTREAM_VERSION VAULTSTREAM_REGISTRY

require_manager() {
    docker info &>/dev/null || fail "no Docker engine answers"
    [[ "$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')" == 'active true' ]] ||
        fail "this machine is no manager of a swarm: run docker swarm init, or join one; or give --init"
}

# An older client reads no file without a version, and knows no jobs.
require_client() {
    local version
    version="$(docker version --format '{{.Client.Version}}')"
    ((${version%%.*} >= 25)) || fail "the docker command is of version $version: 25 or newer is needed"
}

# The services of the stack: name, mode, running and wanted tasks, one line each.
service_lines() {
    docker service ls --filter "label=com.docker.stack.namespace=$STACK" --format '{{.Name}} {{.Mode}} {{.Replicas}}' |
        sed "s/^${STACK}_//"
}

# Prints what is not yet as it should be, one line for each service; nothing when all is well.
missing() {
    local name replicas more
    while read -r name _ replicas more; do
        # A job: "replicated job 0/1 (1/1 completed)".
        if [[ "$replicas" == job ]]; then
            [[ "$more" =~ \(([0-9]+)/([0-9]+) && "${BASH_REMATCH[1]}" == "${BASH_REMATCH[2]}" ]] || echo "$name: not done yet"
        else
            [[ "${replicas%/*}" == "${replicas#*/}" && "$replicas" != 0/* ]] || echo "$name: $replicas"
        fi
    done < <(service_lines)
}

# A command in the stack's network of databases, in a container that is removed after it; $1 is the network.
in_network() {
    local network="$1"
    shift
    docker run --rm --interactive --network "${STACK}_$network" --entrypoint "" "$@"
}

# What a Patroni says of itself, as JSON; $1 is the number of the node, $2 the path.
ask_patroni() {
    in_network database "$PATRONI_IMAGE" python -c '
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
' "http://postgres-$1:8008/$2"
}

# The node that is the primary: 1, 2 or 3; nothing when there is none.
primary_node() {
    local number
    for number in 1 2 3; do
        if ask_patroni "$number" cluster 2>/dev/null | python3 -c '
import json, sys
members = json.load(sys.stdin)["members"]
leader = [m["name"].removeprefix("node") for m in members if m["role"] == "leader" and m["state"] == "running"]
print(*leader)
sys.exit(0 if leader else 1)' 2>/dev/null; then
            return
        fi
    done
}

# Role and state of a server as the cluster sees it, such as "leader running" or "quorum_standby streaming"; $1 is its
# number.
server_state() {
    local number
    for number in 1 2 3; do
        if ask_patroni "$number" cluster 2>/dev/null | python3 -c '
import json, sys
members = json.load(sys.stdin)["members"]
print(*(m["role"] + " " + m["state"] for m in members if m["name"] == "node" + sys.argv[1]))' "$1" 2>/dev/null; then
            return
        fi
    done
}
