#!/usr/bin/env bash
# Superset with this project's dashboards: installs it, starts it beside a running pipeline, imports the dashboards.
# In: one of the subcommands below, the environment (.env.example), the pipeline in the run directory. Out: exit 0 when
# the dashboards are exactly what the files say. Invariant: every subcommand can be run again and then changes nothing.
#
#   setup [test]  the packages at their pinned versions in .venv/superset; with "test" what the tests need, too
#   start         metadata database, roles, users, dashboards; then the server, until `make down`
#   import        roles, users and dashboards again, after a change of files; the server may be running
#   bundle        the dashboards as archives for another Superset: <run directory>/superset/dashboards-{ru,en}.zip
#   run COMMAND   a command with Superset's environment, such as `superset shell`

source "$(dirname "$0")/lib.sh"

HOST=127.0.0.1
PORT="${VAULTSTREAM_SUPERSET_PORT:-8088}"
VENV="$PWD/.venv/superset"
SOURCES="$PWD/dashboards/superset"
UV_VERSION=0.13.9
WORKERS="${SUPERSET_WORKERS:-2}"
THREADS="${SUPERSET_THREADS:-8}"
[[ "$RUN_DIR" == /* ]] || RUN_DIR="$PWD/$RUN_DIR"

# The Python that the packages are pinned for, able to make an environment.
find_python() {
    local candidate
    for candidate in python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

make_environment() {
    [[ -x "$VENV/bin/python" ]] && return
    find_python >/dev/null || install_packages python3 python3-venv
    local python
    python="$(find_python)" || fail "no Python 3.11 with venv; install python3.11 and python3.11-venv"
    "$python" -m venv "$VENV"
}

# Installs a list of pinned packages, unless this very list is installed.
install_list() {
    local list="$1" mark
    mark="$VENV/installed-$(basename "$list")"
    cmp -s "$list" "$mark" && return
    if ! "$VENV/bin/python" -m uv --version &>/dev/null; then
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
    "$VENV/bin/python" -m uv pip install --quiet --python "$VENV/bin/python" --require-hashes --requirement "$list"
    cp "$list" "$mark"
}

setup() {
    make_environment
    install_list "$SOURCES/requirements.txt"
    if [[ "${1:-}" == test ]]; then
        install_list "$SOURCES/requirements-test.txt"
        [[ -n "${CHROMIUM:-}" ]] || command -v chromium >/dev/null || install_packages chromium fonts-dejavu-core
    fi
}

# What Superset and its tests read. The secret key signs sessions; a generated one stays where the metadata is.
set_environment() {
    export SUPERSET_HOME="$RUN_DIR/superset"
    export SUPERSET_CONFIG_PATH="$SOURCES/superset_config.py"
    export VAULTSTREAM_WAREHOUSE_HOST="${VAULTSTREAM_WAREHOUSE_HOST:-$HOST}"
    export VAULTSTREAM_WAREHOUSE_PORT="${VAULTSTREAM_WAREHOUSE_PORT:-${VAULTSTREAM_DWH_PORT:-5434}}"
    export VAULTSTREAM_WAREHOUSE_DB="${VAULTSTREAM_WAREHOUSE_DB:-airline_tickets_dwh}"
    export MART_READER_PASSWORD="${MART_READER_PASSWORD:-mart_reader_password}"
    export TZ=UTC
    export PATH="$VENV/bin:$PATH"
    export PYTHONDONTWRITEBYTECODE=1
    if [[ -z "${SUPERSET_SECRET_KEY:-}" ]]; then
        local file="$SUPERSET_HOME/secret_key"
        if [[ ! -s "$file" ]]; then
            mkdir -p "$SUPERSET_HOME"
            (umask 077 && openssl rand -base64 42 >"$file")
        fi
        SUPERSET_SECRET_KEY="$(<"$file")"
        export SUPERSET_SECRET_KEY
    fi
    mkdir -p "$SUPERSET_HOME"
}

# Runs a command whose words only matter when it fails: name of its log, then the command.
quietly() {
    local log="$SUPERSET_HOME/$1.log"
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "failed: $*; the whole log is $log"
    fi
}

# The metadata database's tables, made or brought up to the installed version. Skipped when that version did it before.
upgrade_metadata() {
    local mark="$SUPERSET_HOME/upgraded" version
    version="$(sed -n 's/^\(apache-superset==[^ ]*\).*/\1/p' "$SOURCES/requirements.txt")"
    if [[ -z "${SUPERSET_METADATA_URI:-}" && -s "$SUPERSET_HOME/superset.db" && "$(cat "$mark" 2>/dev/null)" == "$version" ]]; then
        return
    fi
    quietly upgrade superset db upgrade
    printf '%s\n' "$version" >"$mark"
}

import_dashboards() {
    quietly deploy python "$SOURCES/deploy.py"
    grep 'assets are as the bundle has them' "$SUPERSET_HOME/deploy.log"
}

answers() {
    [[ "$(curl --silent --max-time 5 "http://$HOST:$PORT/health" || true)" == OK ]]
}

start_server() {
    answers && return
    devstack spawn --run-dir "$RUN_DIR" --name superset --endpoint "$HOST:$PORT" -- \
        "$VENV/bin/gunicorn" --bind "$HOST:$PORT" --workers "$WORKERS" --worker-class gthread --threads "$THREADS" \
        --timeout 120 --graceful-timeout 5 --keep-alive 5 'superset.app:create_app()'
    local ends=$((SECONDS + 300))
    until answers; do
        ((SECONDS < ends)) || fail "Superset does not answer on $HOST:$PORT; see $RUN_DIR/superset.log"
        sleep 0.5
    done
}

write_bundles() {
    local language
    for language in ru en; do
        python "$SOURCES/bundle.py" --language "$language" "$SUPERSET_HOME/dashboards-$language.zip"
        say "$SUPERSET_HOME/dashboards-$language.zip"
    done
}

show_next() {
    cat <<END

Superset: http://$HOST:$PORT  administrator ${SUPERSET_ADMIN_USER:-admin}, analyst ${SUPERSET_ANALYST_USER:-analyst}
(passwords: SUPERSET_ADMIN_PASSWORD and SUPERSET_ANALYST_PASSWORD; docs/DASHBOARDS.md has the development defaults)

  http://$HOST:$PORT/superset/dashboard/airports/
  http://$HOST:$PORT/superset/dashboard/passengers/
  http://$HOST:$PORT/superset/dashboard/pipeline/
END
}

command="${1:-}"
shift || true
case "$command" in
    setup)
        step "superset: packages" setup "$@"
        ;;
    start)
        [[ -e "$RUN_DIR/state.json" ]] || fail "no pipeline is up in $RUN_DIR; run make demo first"
        step "superset: packages" setup
        set_environment
        step "superset: metadata database" upgrade_metadata
        step "superset: roles, users, dashboards" import_dashboards
        step "superset: server" start_server
        show_next
        ;;
    import)
        set_environment
        step "superset: roles, users, dashboards" import_dashboards
        ;;
    bundle)
        set_environment
        write_bundles
        ;;
    run)
        set_environment
        exec "$@"
        ;;
    *)
        fail "give one of: setup, start, import, bundle, run"
        ;;
esac
