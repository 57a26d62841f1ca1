#!/usr/bin/env bash
# Airflow beside the demo: the scheduled jobs of airflow/dags, with their own Python environment below .venv/airflow.
# In: a command. setup: makes the environment. start: starts the web interface on port 8080, the scheduler, the DAG processor and
# the triggerer beside the demo's servers; `make down` ends them. run: the same in the foreground, with their logs in AIRFLOW_HOME;
# ends with this script. cli ARGS: runs the airflow command with the same settings.
# lock: resolves airflow/requirements.in to requirements.txt.
# Out: exit 0 when it is done; start returns when a user can log in.
# Invariant: nothing is installed outside .venv/airflow; secrets are made once and stay in a file that only its owner reads.

source "$(dirname "$0")/lib.sh"

VENV="$PWD/.venv/airflow"
REQUIREMENTS=airflow/requirements.txt
# The day after the release of the pinned Airflow: what is newer was not there when it was tested.
PACKAGES_UNTIL=2026-09-18T00:00:00Z
UV_VERSION=0.13.9

HOST=127.0.0.1
PORT="${VAULTSTREAM_AIRFLOW_PORT:-8080}"
DWH_PORT="${VAULTSTREAM_DWH_PORT:-5434}"
DWH_DB="${VAULTSTREAM_DWH_DB:-airline_tickets_dwh}"
LOADER_PORT="${VAULTSTREAM_LOADER_PORT:-8084}"
READER_PORT="${VAULTSTREAM_READER_PORT:-8083}"
PRIMARY_PORT="${VAULTSTREAM_PRIMARY_PORT:-5432}"
ADMIN="${VAULTSTREAM_ADMIN_USER:-admin}"
ADMIN_PASSWORD="${VAULTSTREAM_ADMIN_PASSWORD:-adminpassword}"
PRESENTATION_PASSWORD="${PRESENTATION_WRITER_PASSWORD:-presentation_writer_password}"
CHECKER_PASSWORD="${VAULT_CHECKER_PASSWORD:-vault_checker_password}"
READONLY_PASSWORD="${AIRLINE_READONLY_PASSWORD:-airline_readonly_password}"
LOGIN="${AIRFLOW_ADMIN_USER:-admin}"
LOGIN_PASSWORD="${AIRFLOW_ADMIN_PASSWORD:-admin}"
METADATA_DB="${AIRFLOW_METADATA_DB:-airflow}"
METADATA_PASSWORD="${AIRFLOW_METADATA_PASSWORD:-airflow_password}"
LOGS="$RUN_DIR/airflow-*.log"

python_3_11() {
    local candidate
    for candidate in python3.11 python3; do
        if [[ "$("$candidate" --version 2>/dev/null)" == "Python 3.11."* ]]; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 is needed, with its module venv (Debian: python3.11-venv)"
}

# uv installs the 160 packages in seconds; pip takes minutes. It gets an environment of its own.
uv_command() {
    if command -v uv >/dev/null; then
        uv "$@"
        return
    fi
    local home="$PWD/.venv/uv"
    if [[ ! -x "$home/bin/uv" ]]; then
        "$(python_3_11)" -m venv "$home"
        "$home/bin/pip" install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
    "$home/bin/uv" "$@"
}

# Whether the environment holds what the requirements say: the file is kept in it when it is complete.
is_set_up() {
    [[ -x "$VENV/bin/airflow" ]] && cmp --quiet "$REQUIREMENTS" "$VENV/requirements.txt"
}

setup() {
    is_set_up && return
    local python
    python="$(python_3_11)"
    [[ -x "$VENV/bin/python" ]] || uv_command venv --quiet --python "$python" "$VENV"
    uv_command pip sync --quiet --python "$VENV/bin/python" "$REQUIREMENTS"
    cp "$REQUIREMENTS" "$VENV/requirements.txt"
}

lock() {
    {
        echo "# Made by \`scripts/airflow.sh lock\` from requirements.in. Do not edit."
        uv_command pip compile --quiet --universal --python-version 3.11 --exclude-newer "$PACKAGES_UNTIL" \
            --no-header --no-annotate --no-emit-index-url --no-emit-find-links airflow/requirements.in
    } >"$REQUIREMENTS.new"
    mv "$REQUIREMENTS.new" "$REQUIREMENTS"
}

# Keys that nobody has to know: made at the first start, kept for the next.
secrets() {
    local file="$AIRFLOW_HOME/secrets.env"
    if [[ ! -s "$file" ]]; then
        (
            umask 077
            {
                echo "AIRFLOW__CORE__FERNET_KEY=$(openssl rand -base64 32 | tr '+/' '-_')"
                echo "AIRFLOW__API__SECRET_KEY=$(openssl rand -hex 32)"
                echo "AIRFLOW__API_AUTH__JWT_SECRET=$(openssl rand -hex 32)"
            } >"$file.new"
            mv "$file.new" "$file"
        )
    fi
    set -a
    # shellcheck disable=SC1090 # made above
    source "$file"
    set +a
}

configure() {
    # Airflow wants a whole path.
    export AIRFLOW_HOME="${AIRFLOW_HOME:-$RUN_DIR/airflow}"
    mkdir -p "$AIRFLOW_HOME"
    AIRFLOW_HOME="$(cd "$AIRFLOW_HOME" && pwd)"
    secrets
    export PATH="$VENV/bin:$PATH"
    # The triggerer imports the callbacks of the DAGs by name.
    export PYTHONPATH="$PWD/airflow/dags"
    export AIRFLOW__CORE__DAGS_FOLDER="$PWD/airflow/dags"
    export AIRFLOW__CORE__LOAD_EXAMPLES=False
    export AIRFLOW__CORE__EXECUTOR=LocalExecutor
    export AIRFLOW__CORE__PARALLELISM=4
    # Users and roles in the database, with a page to manage them; the default manager knows fixed users in a file only.
    export AIRFLOW__CORE__AUTH_MANAGER=airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
    export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://$HOST:$PORT/execution/"
    export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql+psycopg2://airflow:$METADATA_PASSWORD@$HOST:$DWH_PORT/$METADATA_DB"
    export AIRFLOW__API__HOST="$HOST"
    export AIRFLOW__API__PORT="$PORT"
    export AIRFLOW__API__BASE_URL="http://$HOST:$PORT"
    export AIRFLOW__API__WORKERS=1
    export AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=1
    export AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=60
    export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
    export AIRFLOW_CONN_WAREHOUSE_PRESENTATION="postgresql://presentation_writer:$PRESENTATION_PASSWORD@$HOST:$DWH_PORT/$DWH_DB"
    export AIRFLOW_CONN_WAREHOUSE_CHECKER="postgresql://vault_checker:$CHECKER_PASSWORD@$HOST:$DWH_PORT/$DWH_DB"
    export AIRFLOW_CONN_SOURCE_AIRLINE="postgresql://airline_readonly:$READONLY_PASSWORD@$HOST:$PRIMARY_PORT/airline_tickets"
    export AIRFLOW_CONN_VAULT_LOADER="http://$HOST:$LOADER_PORT"
    export AIRFLOW_CONN_CDC_READER="http://$HOST:$READER_PORT"
}

on_warehouse_server() {
    PGPASSWORD="$ADMIN_PASSWORD" psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
        --host "$HOST" --port "$DWH_PORT" --username "$ADMIN" --dbname postgres "$@"
}

# Airflow's own database, on the warehouse's server: a server more would cost more than it gives here.
create_metadata_database() {
    METADATA_PASSWORD="$METADATA_PASSWORD" on_warehouse_server --set "name=$METADATA_DB" <<'SQL'
\getenv password METADATA_PASSWORD
SET client_min_messages = warning;
SELECT 'CREATE ROLE airflow LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'airflow')
\gexec
SET log_statement = 'none';
ALTER ROLE airflow PASSWORD :'password';
RESET log_statement;
COMMENT ON ROLE airflow IS 'owns Airflow''s database';
SELECT format('CREATE DATABASE %I OWNER airflow', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name')
\gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'name')
\gexec
SQL
}

migrate() {
    airflow db migrate >"$AIRFLOW_HOME/migrate.log" 2>&1 || fail "Airflow's database cannot be prepared; see $AIRFLOW_HOME/migrate.log"
}

create_user() {
    if ! airflow users create --username "$LOGIN" --password "$LOGIN_PASSWORD" --role Admin \
        --firstname Airflow --lastname Admin --email admin@localhost >"$AIRFLOW_HOME/user.log" 2>&1; then
        fail "the user $LOGIN cannot be made; see $AIRFLOW_HOME/user.log"
    fi
}

# A component of Airflow: its name, where it listens (or nothing), the rest of the command.
spawn() {
    local name="$1" endpoint="$2"
    shift 2
    devstack spawn --run-dir "$RUN_DIR" --name "airflow-$name" --endpoint "$endpoint" -- "$VENV/bin/airflow" "$@"
}

# The logs of tasks are read as files: the two servers that would show them to other machines are not started.
# Tasks tell the API server how they fare: a scheduler that starts them before it answers would lose their first try.
start_components() {
    "$1" api-server "$HOST:$PORT" api-server
    "$1" dag-processor "" dag-processor
    "$1" triggerer "" triggerer --skip-serve-logs
    wait_until api_answers "the API server to answer"
    "$1" scheduler "" scheduler --skip-serve-logs
}

api_answers() {
    curl --silent --fail --max-time 20 --output /dev/null "http://$HOST:$PORT/api/v2/monitor/health"
}

# The same as spawn, as a child of this script.
child() {
    local name="$1"
    shift 2
    "$VENV/bin/airflow" "$@" >"$AIRFLOW_HOME/$name.log" 2>&1 &
    CHILDREN+=($!)
}

end_children() {
    trap '' INT TERM
    kill "${CHILDREN[@]}" 2>/dev/null || true
    wait || true
}

token() {
    curl --silent --fail --max-time 20 --header 'Content-Type: application/json' \
        --data "{\"username\": \"$LOGIN\", \"password\": \"$LOGIN_PASSWORD\"}" "http://$HOST:$PORT/auth/token"
}

# Whether a user can log in and the three DAGs are known.
is_ready() {
    local answer dags
    answer="$(token)" || return 1
    [[ "$answer" =~ \"access_token\"\ *:\ *\"([^\"]*)\" ]] || return 1
    dags="$(curl --silent --fail --max-time 20 --header "Authorization: Bearer ${BASH_REMATCH[1]}" \
        "http://$HOST:$PORT/api/v2/dags?limit=10")" || return 1
    [[ "$dags" == *frequent_flyer_mart* && "$dags" == *airport_passenger_flow_mart* && "$dags" == *vault_checks* ]]
}

# Waits until a condition holds: its name, what to say when it does not. A busy machine takes minutes for what takes seconds.
wait_until() {
    local ends=$((SECONDS + 600))
    until "$1"; do
        ((SECONDS < ends)) || fail "waited 600 s for $2; see $LOGS"
        sleep 1
    done
}

prepare() {
    setup
    configure
    step "Airflow: database" create_metadata_database
    step "Airflow: tables of its database" migrate
    step "Airflow: user" create_user
}

start() {
    prepare
    step "Airflow: start" start_components spawn
    step "Airflow: wait until it is ready" wait_until is_ready "a login and the DAGs"
    say "Airflow: http://localhost:$PORT, login $LOGIN, password $LOGIN_PASSWORD"
}

run() {
    prepare
    CHILDREN=()
    LOGS="$AIRFLOW_HOME/*.log"
    trap end_children EXIT
    trap 'exit 0' INT TERM
    start_components child
    step "Airflow: wait until it is ready" wait_until is_ready "a login and the DAGs"
    say "Airflow: http://localhost:$PORT"
    wait -n "${CHILDREN[@]}" || true
    fail "a component has ended; see $LOGS"
}

case "${1:-}" in
setup) setup ;;
lock) lock ;;
start) start ;;
run) run ;;
cli)
    shift
    configure
    exec "$VENV/bin/airflow" "$@"
    ;;
*) fail "give one of: setup, start, run, cli, lock" ;;
esac
