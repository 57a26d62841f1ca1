#!/usr/bin/env bash
# Checks all replication of a pipeline with a hot backup and a WAL archive: connections, physical and logical
# replication, data in step, the warehouse's schema, the archive.
# In: nothing, and it starts a pipeline of its own, lets it work, and ends it; "running" checks the pipeline that is up
# in VAULTSTREAM_RUN_DIR with the profile backup; "compose" checks the composition. Out: a list with ok or FAILED and
# figures; exit 0 when nothing has FAILED.
# Invariant: the list changes no data. A check that cannot be made has FAILED.

SCOPE="${1:-own}"
if [[ "$SCOPE" == own ]]; then
    # Everything beside the demo: another run directory, other ports. Set before lib.sh reads .env, which holds the
    # demo's.
    export VAULTSTREAM_RUN_DIR=.run/replication
    export VAULTSTREAM_PRIMARY_PORT=15532 VAULTSTREAM_REPLICA_PORT=15533 VAULTSTREAM_DWH_PORT=15534 VAULTSTREAM_KAFKA_PORT=19192
    export VAULTSTREAM_READER_PORT=18183 VAULTSTREAM_BOOKING_READER_PORT=18185 VAULTSTREAM_LOADER_PORT=18184
    export VAULTSTREAM_BOOKING_PORT=14100 VAULTSTREAM_REDIS_PORT=18390 VAULTSTREAM_PGBOUNCER_PORT=15535
    export VAULTSTREAM_CARGO_PROFILE=dev
    export VAULTSTREAM_SCALE=0.2
    export VAULTSTREAM_SERVERS=backup
fi

source "$(dirname "$0")/lib.sh"
source scripts/pipeline.sh

[[ "$SCOPE" == own || "$SCOPE" == running || "$SCOPE" == compose ]] || fail "unknown scope $SCOPE: give running, compose or nothing"
BACKUP_PORT="${VAULTSTREAM_REPLICA_PORT:-5433}"
# The name of the hot backup and of its slot.
HOT_BACKUP=hot_backup
# How long data may take to be in step, how much WAL a reader may lack, and how old the newest base backup may be.
STEP_SECONDS="${VAULTSTREAM_STEP_SECONDS:-60}"
LAG_MEGABYTES="${VAULTSTREAM_LAG_MEGABYTES:-64}"
BACKUP_DAYS="${VAULTSTREAM_BACKUP_DAYS:-8}"
FAILURES=0

on_backup() {
    run_psql "$BACKUP_PORT" "$PRIMARY_DB" "$ADMIN" "$ADMIN_PASSWORD" "$@"
}

# The archive's commands: backup, check, info in JSON.
archive() {
    if [[ "$SCOPE" == compose ]]; then
        case "$1" in
            check) docker compose exec --no-TTY --user postgres primary pgbackrest --stanza=main check ;;
            info) docker compose exec --no-TTY --user postgres primary pgbackrest --stanza=main info --output=json ;;
        esac
    else
        case "$1" in
            info) "$BIN/devstack" archive --run-dir "$RUN_DIR" info --json ;;
            *) "$BIN/devstack" archive --run-dir "$RUN_DIR" "$@" ;;
        esac
    fi
}

loader_status() {
    if [[ "$SCOPE" == compose ]]; then
        docker compose exec --no-TTY vault-loader vault-loader status
    else
        loader_as vault_loader "$LOADER_PASSWORD" "$BIN/vault-loader" status "${MODELS[@]}"
    fi
}

section() {
    printf '\n%s\n' "$1"
}

line() {
    printf '  %-7s %-42s %s\n' "$1" "$2" "$3"
    [[ "$1" == ok ]] || FAILURES=$((FAILURES + 1))
}

# A line of the list: its name, then a command that prints t or f, a bar, and figures.
judge() {
    local name="$1" answer
    shift
    if ! answer="$("$@" 2>&1)"; then
        line FAILED "$name" "$(head -n 1 <<<"${answer:-no answer}")"
    elif [[ "$answer" == 't|'* ]]; then
        line ok "$name" "${answer#t|}"
    else
        line FAILED "$name" "${answer#f|}"
    fi
}

# Asks a server: what runs psql, then a query of one row.
ask() {
    "$1" --tuples-only --no-align --command "$2"
}

check_connections() {
    local version="format('PostgreSQL %s, up since %s', current_setting('server_version'), date_trunc('second', pg_postmaster_start_time()))"
    judge 'primary takes writes' ask on_primary "SELECT NOT pg_is_in_recovery(), $version"
    judge 'hot backup takes queries and no writes' ask on_backup \
        "SELECT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'on', $version"
    judge 'warehouse takes writes' ask on_warehouse "SELECT NOT pg_is_in_recovery(), $version"
}

# How long it takes until the hot backup has replayed what is on the primary now.
replayed() {
    local end ends=$((SECONDS + STEP_SECONDS)) started="${EPOCHREALTIME/[.,]/}"
    end="$(ask on_primary 'SELECT pg_current_wal_insert_lsn()')" || return 1
    until [[ "$(ask on_backup "SELECT pg_last_wal_replay_lsn() >= '$end'" 2>/dev/null)" == t ]]; do
        if ((SECONDS >= ends)); then
            echo "f|not at $end after $STEP_SECONDS s"
            return
        fi
        sleep 0.05
    done
    echo "t|at $end after $(((${EPOCHREALTIME/[.,]/} - started) / 1000)) ms"
}

check_physical() {
    judge 'primary streams to the hot backup' ask on_primary "
        SELECT coalesce(bool_or(state = 'streaming'), false),
               coalesce(string_agg(format('%s, %s; not yet replayed: %s bytes', state, sync_state, pg_current_wal_lsn() - replay_lsn), ', '), 'no connection')
        FROM pg_stat_replication
        WHERE application_name = '$HOT_BACKUP'"
    judge 'slot of the hot backup' ask on_primary "
        SELECT coalesce(bool_or(active AND wal_status IN ('reserved', 'extended')), false),
               coalesce(string_agg(format('%s, %s, keeps %s bytes', slot_type, wal_status, pg_current_wal_lsn() - restart_lsn), ', '), 'no slot')
        FROM pg_replication_slots
        WHERE slot_name = '$HOT_BACKUP' AND slot_type = 'physical'"
    judge 'hot backup receives over its slot' ask on_backup "
        SELECT coalesce(bool_or(status = 'streaming' AND slot_name = '$HOT_BACKUP'), false),
               coalesce(string_agg(format('%s over %s, timeline %s', status, slot_name, received_tli), ', '), 'it receives nothing')
        FROM pg_stat_wal_receiver"
    judge 'hot backup replays' replayed
}

# One value of a connector's file: the file, the property.
property() {
    python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(d["config"].get(sys.argv[2]) or d[sys.argv[2]])' "$1" "$2"
}

# What a reader's REST interface says: its port, its connector's name.
reader_runs() {
    curl --silent --show-error --fail --max-time 10 "http://$HOST:$1/connectors/$2/status" |
        python3 -c '
import json, sys
status = json.load(sys.stdin)
states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
print("t" if states and set(states) == {"RUNNING"} else "f", ", ".join(states), sep="|")'
}

# The lines about a reader: its port, its connector's file.
check_reader() {
    local name slot publication
    name="$(property "$2" name)"
    slot="$(property "$2" slot.name)"
    publication="$(property "$2" publication.name)"
    judge "publication $publication" ask on_primary "
        SELECT count(*) > 0, format('%s tables', count(*)) FROM pg_publication_tables WHERE pubname = '$publication'"
    judge "slot $slot" ask on_primary "
        SELECT coalesce(bool_or(active AND wal_status IN ('reserved', 'extended') AND pg_current_wal_lsn() - confirmed_flush_lsn < $LAG_MEGABYTES * 1048576.0), false),
               coalesce(string_agg(format('%s, %s, %s, not confirmed: %s bytes', plugin, CASE WHEN active THEN 'in use' ELSE 'NOT IN USE' END, wal_status,
                                          pg_current_wal_lsn() - confirmed_flush_lsn), ', '), 'no slot')
        FROM pg_replication_slots
        WHERE slot_name = '$slot' AND slot_type = 'logical'"
    judge "reader $name" reader_runs "$1" "$name"
}

loader_lag() {
    local status
    status="$(loader_status 2>&1)" || {
        tail -n 1 <<<"$status"
        return 1
    }
    status="$(grep --only-matching 'lag in all: .*' <<<"$status")"
    if [[ "$status" == 'lag in all: 0 events'* ]]; then echo "t|$status"; else echo "f|$status"; fi
}

check_logical() {
    check_reader "$READER_PORT" "$CONNECTOR"
    check_reader "$BOOKING_READER_PORT" "$BOOKING_CONNECTOR"
    judge 'loader' loader_lag
}

# Waits until hot backup and warehouse hold what the primary holds; then a line for each table.
check_data() {
    local ends=$((SECONDS + STEP_SECONDS)) source backup vault relation count digest other
    while :; do
        source="$(fingerprints 'public.%s' on_primary 2>/dev/null)" || source=
        backup="$(fingerprints 'public.%s' on_backup 2>/dev/null)" || backup=
        vault="$(fingerprints 'dwh_marts.current_%s' on_warehouse 2>/dev/null)" || vault=
        if [[ -n "$source" && "$source" == "$backup" && "$source" == "$vault" ]] || ((SECONDS >= ends)); then break; fi
        sleep 0.5
    done
    [[ -n "$source" ]] || line FAILED 'rows of the primary' 'cannot be read'
    while IFS='|' read -r relation count digest; do
        [[ -n "$relation" ]] || continue
        other=
        grep --quiet --fixed-strings --line-regexp "$relation|$count|$digest" <<<"$backup" || other+=', the hot backup differs'
        grep --quiet --fixed-strings --line-regexp "$relation|$count|$digest" <<<"$vault" || other+=', the warehouse differs'
        if [[ -z "$other" ]]; then
            line ok "$relation" "$count rows on primary, hot backup and warehouse"
        else
            line FAILED "$relation" "$count rows on the primary$other"
        fi
    done <<<"$source"
}

check_warehouse() {
    judge 'schemas' ask on_warehouse "
        SELECT count(*) = 4, string_agg(nspname, ', ' ORDER BY nspname)
        FROM pg_namespace
        WHERE nspname IN ('dwh_control', 'dwh_detailed', 'dwh_marts', 'dwh_checks')"
    judge 'vault' ask on_warehouse "
        SELECT count(*) FILTER (WHERE tablename LIKE 'hub\_%') > 0 AND count(*) FILTER (WHERE tablename LIKE 'sat\_%') > 0,
               format('%s hubs, %s links, %s satellites', count(*) FILTER (WHERE tablename LIKE 'hub\_%'),
                      count(*) FILTER (WHERE tablename LIKE 'link\_%'), count(*) FILTER (WHERE tablename LIKE 'sat\_%'))
        FROM pg_tables
        WHERE schemaname = 'dwh_detailed'"
    judge 'star' ask on_warehouse "
        SELECT count(*) > 0, format('%s rows in fact_bookings', count(*)) FROM dwh_marts.fact_bookings"
    judge 'nothing is set aside' ask on_warehouse "
        SELECT paused = 0 AND waiting = 0, format('%s tables paused, %s events in quarantine', paused, waiting)
        FROM (SELECT (SELECT count(*) FROM dwh_control.paused_tables) AS paused, (SELECT count(*) FROM dwh_control.quarantine) AS waiting) AS aside"
}

arrives() {
    local said
    if said="$(archive check 2>&1)"; then echo "t|the segment of now is in the archive"; else echo "f|$(tail -n 1 <<<"$said")"; fi
}

# What the archive says of its base backups: how many, and the newest.
base_backups() {
    local told
    told="$(archive info)" || return 1
    python3 -c '
import json, sys, time
stanza = json.loads(sys.argv[1])[0]
backups = [backup for backup in stanza["backup"] if not backup["error"]]
if not backups:
    print("f|there is none: " + stanza["status"]["message"])
    sys.exit()
newest = max(backups, key=lambda backup: backup["timestamp"]["stop"])
age = time.time() - newest["timestamp"]["stop"]
size = newest["info"]["size"] / 1048576
stored = newest["info"]["repository"]["size"] / 1048576
good = stanza["status"]["code"] == 0 and age < float(sys.argv[2]) * 86400
label = newest["label"]
print("t" if good else "f", f"{len(backups)}; newest {label}, {age / 3600:.1f} h old, {size:.1f} MB, {stored:.1f} MB in the repository", sep="|")' \
        "$told" "$BACKUP_DAYS"
}

kept_wal() {
    local told
    told="$(archive info)" || return 1
    python3 -c '
import json, sys
archives = [archive for archive in json.loads(sys.argv[1])[0]["archive"] if archive["min"]]
print("t" if archives else "f", "; ".join(archive["min"] + " to " + archive["max"] for archive in archives) or "none", sep="|")' "$told"
}

check_archive() {
    judge 'settings' ask on_primary "
        SELECT current_setting('archive_mode') = 'on' AND setting::int BETWEEN 1 AND 3600,
               format('archive_mode %s, archive_timeout %s s', current_setting('archive_mode'), setting)
        FROM pg_settings
        WHERE name = 'archive_timeout'"
    judge 'a segment arrives' arrives
    judge 'last archived segment' ask on_primary "
        SELECT last_archived_wal IS NOT NULL, format('%s, %s s ago', last_archived_wal, extract(epoch FROM now() - last_archived_time)::int)
        FROM pg_stat_archiver"
    judge 'failures' ask on_primary "
        SELECT last_failed_time IS NULL OR last_failed_time < last_archived_time, format('%s in all, last %s', failed_count, coalesce(last_failed_time::text, 'never'))
        FROM pg_stat_archiver"
    judge 'segments in the archive' kept_wal
    judge 'base backups' base_backups
}

# The whole list. Succeeds when nothing has FAILED.
list() {
    FAILURES=0
    section Connections
    check_connections
    section 'Physical replication: primary to hot backup'
    check_physical
    section 'Logical replication: primary to warehouse'
    check_logical
    section 'Data in step'
    check_data
    section 'Schema of the warehouse'
    check_warehouse
    section 'WAL archive and base backups'
    check_archive
    echo
    if ((FAILURES > 0)); then
        echo "$FAILURES FAILED"
        return 1
    fi
    echo 'all replication is as it should be'
}

end_pipeline() {
    local code=$?
    say "ending the pipeline"
    end_test_servers "$BIN/devstack" "$RUN_DIR" "$code" || code=1
    exit "$code"
}

# A list that cannot fail shows nothing. The lines that look at the hot backup have failed; the others may have too.
list_without_hot_backup() {
    local shown name
    "$BIN/devstack" stop --run-dir "$RUN_DIR" "$HOT_BACKUP"
    if shown="$(STEP_SECONDS=3 list)"; then
        fail "the list does not notice that the hot backup is away: $shown"
    fi
    for name in 'hot backup takes queries and no writes' 'primary streams to the hot backup' 'slot of the hot backup' \
        'hot backup receives over its slot' 'hot backup replays'; do
        grep --quiet "FAILED *$name" <<<"$shown" || fail "the list does not say that this has failed: $name"
    done
    grep --quiet 'FAILED .*the hot backup differs' <<<"$shown" || fail "the list does not say that the data of the hot backup differs"
    grep FAILED <<<"$shown"
    "$BIN/devstack" start --run-dir "$RUN_DIR" "$HOT_BACKUP"
}

hot_backup_streams() {
    local ends=$((SECONDS + STEP_SECONDS))
    until [[ "$(ask on_primary "SELECT count(*) FROM pg_stat_replication WHERE application_name = '$HOT_BACKUP' AND state = 'streaming'")" == 1 ]]; do
        ((SECONDS < ends)) || fail "the hot backup does not stream again; see $RUN_DIR/$HOT_BACKUP/postgres.log"
        sleep 0.2
    done
}

if [[ "$SCOPE" != own ]]; then
    list
    exit
fi
scripts/setup.sh test
step "build" build_pipeline
trap end_pipeline EXIT
trap 'exit 130' INT TERM
end_earlier_pipeline
step "start primary, hot backup, archive, warehouse and Kafka" start_servers
step "prepare the source" prepare_source
step "seed the source" seed
step "prepare the warehouse" prepare_warehouse
step "start the pipeline" start_pipeline
step "snapshot into the vault" wait_until_caught_up 300
step "base backup" archive backup
step "a few changes" booking simulate --rate 50 --duration 5s
step "the list" list
step "the list without the hot backup" list_without_hot_backup
step "the hot backup follows again" hot_backup_streams
step "the list again" list
