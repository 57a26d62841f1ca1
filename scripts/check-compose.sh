#!/usr/bin/env bash
# Checks docker-compose.yml, docker-compose.cluster.yml and the stack of deploy/swarm without a Docker engine, by
# Compose itself: every profile, and rules that every service keeps.
# In: docker-compose.yml, docker-compose.cluster.yml, .env.example, deploy/haproxy, deploy/swarm. Out: exit 0 when
# nothing is to be said about them.

source "$(dirname "$0")/lib.sh"
source scripts/engine.sh

PROFILES=(none bi airflow monitoring full booking replicas serve)

COMPOSE="$(compose_program)"
COMPOSE_FILES=()

# Compose with no settings but those of the file itself and of an empty .env.
compose() {
    env -i PATH="$PATH" HOME="$HOME" "$COMPOSE" --env-file /dev/null "${COMPOSE_FILES[@]}" "$@"
}

every_profile_is_valid() {
    local profile services
    for profile in "${PROFILES[@]}"; do
        services="$(compose --profile "$profile" config --services | sort | paste -sd ' ')" ||
            fail "docker compose --profile $profile config has failed"
        compose --profile "$profile" config --quiet || fail "docker compose --profile $profile config has failed"
        printf '  %-10s %s\n' "$profile" "$services"
    done
}

# A variable that nobody can find is a setting that nobody can make.
variables_are_documented() {
    local name missing=()
    while read -r name; do
        grep -qE "^#?$name=" .env.example || missing+=("$name")
    done < <(compose --profile '*' config --variables | awk 'NR > 1 { print $1 }' | sort -u)
    ((${#missing[@]} == 0)) || fail "not in .env.example: ${missing[*]}"
}

every_service_keeps_the_rules() {
    compose --profile '*' config --format json | python3 scripts/check_compose.py
}

# The same of what stands in the place of the one broker.
three_brokers_keep_them_too() {
    local COMPOSE_FILES=(--file docker-compose.yml --file docker-compose.cluster.yml)
    variables_are_documented
    every_service_keeps_the_rules
}

# `scripts/setup.sh test` installs HAProxy.
proxy_accepts_its_settings() {
    local haproxy=/usr/sbin/haproxy
    if [[ ! -x "$haproxy" ]]; then
        say "  HAProxy is not on this machine: nobody has read its settings"
        return
    fi
    "$haproxy" -c -q -f deploy/haproxy/haproxy.cfg || fail "deploy/haproxy/haproxy.cfg is refused"
    STATISTICS_PASSWORD=checked "$haproxy" -c -q -f deploy/haproxy/ha.cfg || fail "deploy/haproxy/ha.cfg is refused"
}

# The stack of the swarm, whose rules are others than those of the composition.
stack_keeps_the_rules() {
    compose --file deploy/swarm/stack.yml config --format json | python3 scripts/check_stack.py
}

"$COMPOSE" version
step "every profile of docker-compose.yml" every_profile_is_valid
step "variables of docker-compose.yml" variables_are_documented
step "rules for services" every_service_keeps_the_rules
step "stack for a swarm" stack_keeps_the_rules
step "docker-compose.cluster.yml" three_brokers_keep_them_too
step "settings of HAProxy" proxy_accepts_its_settings
