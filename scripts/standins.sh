# shellcheck shell=bash
# The images that the compose file names: pulled from their registry, or made here as stand-ins (deploy/standins/README.md).
# Sourced after lib.sh, pipeline.sh and engine.sh, never run. Invariant: a stand-in gets an official image's name only in an engine that
# was started by these scripts.
# shellcheck disable=SC2034 # STANDINS is for the script that sources this file

STANDINS_DIR="$ENGINE_DIR/standins"
# The binaries that the stand-in of the Rust image hands over.
BINARIES="${VAULTSTREAM_BINARIES:-$BIN}"

# Whether stand-ins are used: yes or no, once provide_images has found out.
STANDINS=

# Whether the images can be pulled. Asked once, with the smallest of those that are needed.
registry_answers() {
    case "${VAULTSTREAM_STANDINS:-auto}" in
        yes) return 1 ;;
        no) return 0 ;;
        auto) timeout 60 docker pull --quiet debian:bookworm-slim &>/dev/null ;;
        *) fail "VAULTSTREAM_STANDINS is yes, no or auto" ;;
    esac
}

# Provides official images or stand-ins: names of folders below deploy/standins, in the order in which they are needed.
provide_images() {
    if registry_answers; then
        say "images: the official ones"
        STANDINS=no
        return
    fi
    [[ "$OWN_ENGINE" == yes ]] ||
        fail "the engine of this machine cannot pull images, and stand-ins are put only into an engine that this script starts"
    say "images: no registry can be reached, so stand-ins are used:"
    STANDINS=yes
    local name
    standin_debian
    for name in "$@"; do
        "standin_$name"
    done
}

# Builds a folder's image under an official name: folder, image, what it is made of.
build_standin() {
    local folder="$1" image="$2" made_of="$3" started="$SECONDS"
    docker build --quiet --network host --tag "$image" "$STANDINS_DIR/$folder" >"$ENGINE_DIR/build-$folder.log" 2>&1 || {
        tail -n 20 "$ENGINE_DIR/build-$folder.log" >&2
        fail "the stand-in for $image cannot be built; see $ENGINE_DIR/build-$folder.log"
    }
    say "stand-in for $image: $made_of ($((SECONDS - started)) s)"
}

# A copy of a folder of deploy/standins, to which what must not be in the repository is added.
stage_standin() {
    rm -rf "${STANDINS_DIR:?}/$1"
    mkdir -p "$STANDINS_DIR"
    cp -a "deploy/standins/$1" "$STANDINS_DIR/$1"
}

standin_debian() {
    local image=debian:bookworm-slim started="$SECONDS" root
    if ! docker image inspect "$image" &>/dev/null; then
        root="$ENGINE_DIR/debootstrap"
        rm -rf "$root"
        debootstrap --variant=minbase bookworm "$root" >"$ENGINE_DIR/build-debian.log" 2>&1 ||
            fail "debootstrap has failed; see $ENGINE_DIR/build-debian.log"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
        tar -C "$root" --one-file-system -c . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
        rm -rf "$root"
    fi
    say "stand-in for $image: debootstrap ($((SECONDS - started)) s)"
}

standin_postgres() {
    stage_standin postgres
    build_standin postgres postgres:15 "Debian's postgresql-15"
}

standin_kafka() {
    local libs
    libs="$CACHE_DIR/kafka-4.3.0/libs"
    [[ -d "$libs" ]] || devstack fetch
    [[ -d "$libs" ]] || fail "Kafka's jars are not in $libs"
    stage_standin kafka
    cp -a "$libs" "$STANDINS_DIR/kafka/libs"
    build_standin kafka apache/kafka:4.3.0 "Kafka's jars from Maven Central, Debian's Java 17"
}

standin_rust() {
    local program
    # The images hold no libssl, so OpenSSL is linked in, as deploy/Dockerfile does.
    [[ -n "${VAULTSTREAM_BINARIES:-}" ]] || OPENSSL_NO_VENDOR=0 step "build the programs" build_pipeline
    for program in cdc-reader vault-loader booking; do
        [[ -x "$BINARIES/$program" ]] ||
            fail "$BINARIES/$program is missing: build it, or say where it is with VAULTSTREAM_BINARIES"
    done
    stage_standin rust
    mkdir "$STANDINS_DIR/rust/prebuilt"
    for program in cdc-reader vault-loader booking; do
        cp "$BINARIES/$program" "$STANDINS_DIR/rust/prebuilt/"
    done
    build_standin rust rust:1.95-bookworm "hands over the binaries of $BINARIES"
}

standin_prometheus() {
    local image
    image="$(service_image prometheus)"
    stage_standin prometheus
    build_standin prometheus "$image" "Debian's prometheus"
}

# The image of a service: that of the stack where a stack is tested, else that of the composition.
image_named() {
    if declare -F stack_image >/dev/null; then stack_image "$1"; else service_image "$1"; fi
}

standin_redis() {
    stage_standin redis
    build_standin redis "$(image_named redis)" "Debian's redis-server"
}

standin_haproxy() {
    stage_standin haproxy
    build_standin haproxy "$(image_named haproxy)" "Debian's haproxy"
}

# A folder whose image installs from PyPI: it gets the requirements, and the CA bundle of the host.
stage_python_standin() {
    local folder="$1" requirements="$2"
    stage_standin "$folder"
    cp "$requirements" "$STANDINS_DIR/$folder/requirements.txt"
    cp /etc/ssl/certs/ca-certificates.crt "$STANDINS_DIR/$folder/"
}

standin_superset() {
    stage_python_standin superset dashboards/superset/requirements.txt
    build_standin superset apache/superset:6.1.0 "PyPI's apache-superset by dashboards/superset/requirements.txt, gunicorn"
}

standin_airflow() {
    stage_python_standin airflow airflow/requirements.txt
    build_standin airflow "$(service_image airflow-webserver)" "PyPI's apache-airflow by airflow/requirements.txt"
}

# PostgreSQL 18 with all its programs, which only PyPI has. scripts/patroni.sh puts them into the cache.
standin_postgres18() {
    local programs="$CACHE_DIR/postgres-18.4-programs"
    [[ -d "$programs" ]] || scripts/patroni.sh --install
    stage_standin postgres18
    cp -a "$programs" "$STANDINS_DIR/postgres18/programs"
    cp /etc/ssl/certs/ca-certificates.crt "$STANDINS_DIR/postgres18/"
    build_standin postgres18 postgres:18-bookworm "PostgreSQL 18.4 from PyPI"
}

standin_etcd() {
    stage_standin etcd
    build_standin etcd "$(stack_image etcd-1)" "Debian's etcd-server"
}
