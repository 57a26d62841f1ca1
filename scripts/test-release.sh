#!/usr/bin/env bash
# Shows that the programs of a release need nothing of the system they run on: each starts on a root with nothing but
# itself, on a bare Debian and on a root with musl and busybox alone, as Alpine has them; and a whole pipeline runs from
# the root with nothing else.
# In: what `make release` has made in target/release-archives; root, for chroot. Out: exit 0 when every check held.
# Invariant: the programs are those of the archives, and the roots hold no other library; a program that is not static
# fails there.

source "$(dirname "$0")/lib.sh"
RUN_DIR=.run/release
PROFILE=dev
# Ports of its own, so that a demo may be up.
while IFS='=' read -r name port; do
    export "VAULTSTREAM_${name}_PORT=$port"
done < <(python3 - <<'END'
import socket
names = "PRIMARY DWH KAFKA READER BOOKING_READER LOADER BOOKING REDIS PGBOUNCER".split()
held = [socket.create_server(("127.0.0.1", 0)) for _ in names]
for name, socket_ in zip(names, held):
    print(f"{name}={socket_.getsockname()[1]}")
END
)
export VAULTSTREAM_CARGO_PROFILE="$PROFILE"
export VAULTSTREAM_SERVERS=demo
source scripts/pipeline.sh

STARTED="$SECONDS"
RELEASE_TARGET="${VAULTSTREAM_RELEASE_TARGET:-x86_64-unknown-linux-musl}"
PROGRAMS=(cdc-reader vault-loader booking)
VERSION="$(workspace_version)"
OUT="$TARGET_DIR/release-archives"
ROOTS="$(mktemp -d "${TMPDIR:-/tmp}/vaultstream-roots.XXXXXX")"
BUILT="$BIN"

finish() {
    local code=$?
    trap - EXIT INT TERM
    if [[ -e "$RUN_DIR/state.json" ]]; then
        end_test_servers "$BUILT/devstack" "$RUN_DIR" "$code" >/dev/null || code=1
    fi
    rm -rf "$ROOTS"
    ((code != 0)) || say "test-release: passed in $((SECONDS - STARTED)) s"
    exit "$code"
}

archives_are_whole() {
    local program name
    (cd "$OUT" && sha256sum --check --strict --quiet SHA256SUMS) || fail "a checksum of $OUT/SHA256SUMS is wrong"
    mkdir "$ROOTS/unpacked"
    for program in "${PROGRAMS[@]}"; do
        name="$program-$VERSION-$RELEASE_TARGET"
        tar --extract --file "$OUT/$name.tar.gz" --directory "$ROOTS/unpacked"
        for file in "$program" LICENSE README.md CHANGELOG.md; do
            [[ -s "$ROOTS/unpacked/$name/$file" ]] || fail "$name.tar.gz has no $file"
        done
        compgen -G "$ROOTS/unpacked/$name/*.example.env" >/dev/null || fail "$name.tar.gz has no example settings"
        grep -q '"bomFormat": "CycloneDX"' "$OUT/$name.cdx.json" || fail "$name.cdx.json is no bill of materials"
        ln -s "$name/$program" "$ROOTS/unpacked/$program"
        printf '  %-14s %5d KB, archive %5d KB\n' "$program" \
            $(($(stat -c %s "$ROOTS/unpacked/$name/$program") / 1024)) $(($(stat -c %s "$OUT/$name.tar.gz") / 1024))
    done
}

# The same programs make the same archives, whenever and wherever they are packed.
archives_come_out_the_same() {
    local before
    before="$(cd "$OUT" && sha256sum -- *.tar.gz)"
    (umask 077 && TZ=Asia/Tokyo scripts/release.sh pack)
    [[ "$(cd "$OUT" && sha256sum -- *.tar.gz)" == "$before" ]] || fail "packed again, the archives differ"
}

root_empty() {
    mkdir "$ROOTS/empty"
}

# What debootstrap unpacks first is a bare Debian with its libraries; nothing has to be configured for a program to
# start.
root_debian() {
    debootstrap --foreign --variant=minbase bookworm "$ROOTS/debian" >"$ROOTS/debootstrap.log" 2>&1 || {
        tail -n 5 "$ROOTS/debootstrap.log" >&2
        fail "debootstrap has failed"
    }
}

# The C library and the shell of Alpine, from Debian's packages.
root_musl() {
    mkdir -p "$ROOTS/musl" "$ROOTS/packages"
    (cd "$ROOTS/packages" && apt-get download -qq -o APT::Sandbox::User=root -o Acquire::Retries=5 musl busybox-static)
    local package
    for package in "$ROOTS"/packages/*.deb; do
        dpkg-deb --extract "$package" "$ROOTS/musl"
    done
    [[ "$(chroot "$ROOTS/musl" /bin/busybox echo here)" == here ]] || fail "the root with musl has no shell"
    [[ ! -e "$ROOTS/musl/lib64/ld-linux-x86-64.so.2" ]] || fail "the root with musl has the GNU C library too"
}

starts_on() {
    local root="$1" program told
    for program in "${PROGRAMS[@]}"; do
        cp "$ROOTS/unpacked/$program" "$ROOTS/$root/$program"
        told="$(chroot "$ROOTS/$root" "/$program" --version)" || fail "$program does not start on the root $root"
        [[ "$told" == "$program $VERSION" ]] || fail "on the root $root, $program --version says: $told"
        told="$(chroot "$ROOTS/$root" "/$program" --help)" || fail "$program --help fails on the root $root"
        [[ "$told" == *Usage:* ]] || fail "on the root $root, $program --help says: $told"
    done
    say "  $root: $(find "$ROOTS/$root" -type f | wc -l) files, all three programs start"
}

# What would be wrong with the test: if a program that needs libraries started on a root without them.
needs_libraries() {
    local root
    for root in empty musl; do
        cp "$BUILT/devstack" "$ROOTS/$root/dynamic"
        ! chroot "$ROOTS/$root" /dynamic --version &>/dev/null || fail "a dynamic program starts on the root $root, so it is not bare"
        rm "$ROOTS/$root/dynamic"
    done
}

# The allocator of decision 11 with its settings, and with the thread that gives memory back.
allocator_is_jemalloc() {
    local program told setting
    for program in cdc-reader vault-loader; do
        told="$(MALLOC_CONF=stats_print:true _RJEM_MALLOC_CONF=stats_print:true "$ROOTS/unpacked/$program" --version 2>&1)"
        for setting in 'opt.background_thread: true' 'opt.dirty_decay_ms: 200 ' 'opt.muzzy_decay_ms: 0 ' 'opt.narenas: 2'; do
            [[ "$told" == *"$setting"* ]] || fail "jemalloc in $program does not say: $setting"
        done
    done
}

# The programs of the pipeline run below the empty root, to which the files that they are given are added, and no
# library.
imprison_programs() {
    local program
    BIN="$ROOTS/bin"
    mkdir "$BIN" "$ROOTS/empty/etc" "$ROOTS/empty/tmp"
    cp -a connectors "$ROOTS/empty/"
    echo '127.0.0.1 localhost' >"$ROOTS/empty/etc/hosts"
    for program in "${PROGRAMS[@]}"; do
        printf '#!/bin/sh\nexec chroot %q /%s "$@"\n' "$ROOTS/empty" "$program" >"$BIN/$program"
        chmod +x "$BIN/$program"
    done
    ln -s "$(realpath "$BUILT/devstack")" "$BIN/devstack"
    # A name, so that the resolver is used.
    HOST=localhost
}

# Whether a process runs by this root, and has the thread of jemalloc.
runs_imprisoned() {
    local pid
    for pid in /proc/[0-9]*; do
        if [[ "$(readlink "$pid/root" 2>/dev/null)" == "$ROOTS/empty" && "$(readlink "$pid/exe" 2>/dev/null)" == */"$1" ]]; then
            grep -qs jemalloc_bg_thd "$pid"/task/*/comm && return
        fi
    done
    return 1
}

pipeline_runs() {
    start_servers
    prepare_source
    SCALE=0.1 seed
    prepare_warehouse
    start_pipeline
    wait_until_caught_up 180
    booking simulate --rate 20 --duration 5s
    wait_until_caught_up 120
    local program
    for program in cdc-reader vault-loader; do
        runs_imprisoned "$program" || fail "$program does not run below the bare root, or without the thread of jemalloc"
    done
    say "  rows compared: $(on_primary -At -c 'SELECT count(*) FROM ticket_flights') segments of tickets, and seven more tables"
}

[[ -s "$OUT/SHA256SUMS" ]] || fail "there is no release in $OUT: run make release"
((EUID == 0)) || fail "this needs root, for chroot; run: sudo --preserve-env=PATH,HOME make test-release"
trap finish EXIT
trap 'exit 130' INT TERM
scripts/setup.sh demo
command -v debootstrap >/dev/null || install_packages debootstrap
step "archives" archives_are_whole
step "archives, packed again" archives_come_out_the_same
for root in empty debian musl; do
    step "a root: $root" "root_$root"
    step "the programs on the root $root" starts_on "$root"
done
step "build the servers' program" cargo build --quiet --locked --package devstack --bins
step "a dynamic program does not start there" needs_libraries
step "the allocator" allocator_is_jemalloc
imprison_programs
step "a pipeline from the empty root" pipeline_runs
