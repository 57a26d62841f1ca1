#!/usr/bin/env bash
# Builds what a release consists of: a static program for each of cdc-reader, vault-loader and booking, which needs
# nothing of the system it runs on, in an archive with a licence, a README and example settings; a bill of materials for
# each; and SHA256SUMS.
# In: the sources; VAULTSTREAM_RELEASE_TARGET (x86_64-unknown-linux-musl); SOURCE_DATE_EPOCH (the time of the commit).
# Out: target/release-archives, and below it bin/ with the programs. Invariant: the same programs make the same
# archives, to the byte.

source "$(dirname "$0")/lib.sh"

RELEASE_TARGET="${VAULTSTREAM_RELEASE_TARGET:-x86_64-unknown-linux-musl}"
PROGRAMS=(cdc-reader vault-loader booking)
VERSION="$(workspace_version)"
OUT="$TARGET_DIR/release-archives"
# Zig compiles the C and C++ of OpenSSL, curl, librdkafka and jemalloc for musl, and links; cargo-zigbuild hands it to
# cargo. Both wheels are for machines of x86_64.
ZIG_VERSION=0.15.2
ZIG_SHA256=806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130
ZIGBUILD_VERSION=0.24.1
ZIGBUILD_SHA256=238a1ab54a95053a4eadc34775c81f795a8ad75f80bfed63f3f445f518102375
CYCLONEDX_VERSION=0.5.9

SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" || fail "no commit to take the time of the files from: set SOURCE_DATE_EPOCH"
export SOURCE_DATE_EPOCH

set_up() {
    scripts/setup.sh demo
    local channel
    channel="$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)"
    # rustup says nothing when the target is there already.
    rustup target add --toolchain "$channel" "$RELEASE_TARGET" || fail "the standard library for $RELEASE_TARGET cannot be fetched"
    ZIG_DIR="$CACHE_DIR/zig-$ZIG_VERSION"
    if [[ ! -e "$ZIG_DIR/ziglang/zig" ]]; then
        fetch_wheel "ziglang==$ZIG_VERSION" "$ZIG_SHA256" ziglang "$ZIG_DIR"
        chmod +x "$ZIG_DIR/ziglang/zig"
    fi
    ZIGBUILD_DIR="$CACHE_DIR/cargo-zigbuild-$ZIGBUILD_VERSION"
    if [[ ! -e "$ZIGBUILD_DIR/cargo-zigbuild" ]]; then
        fetch_wheel "cargo-zigbuild==$ZIGBUILD_VERSION" "$ZIGBUILD_SHA256" \
            "cargo_zigbuild-$ZIGBUILD_VERSION.data/scripts/cargo-zigbuild" "$ZIGBUILD_DIR"
        chmod +x "$ZIGBUILD_DIR/cargo-zigbuild"
    fi
    if ! cargo cyclonedx --version &>/dev/null; then
        cargo install --quiet --locked --debug "cargo-cyclonedx@$CYCLONEDX_VERSION"
    fi
}

build() {
    local cargo_home="${CARGO_HOME:-$HOME/.cargo}" packages=() program
    for program in "${PROGRAMS[@]}"; do
        packages+=(--package "$program")
    done
    # OpenSSL is built from its source and linked in (docs/decisions/0007). The paths of sources get into a program by
    # other names; OpenSSL alone remembers where it was built.
    CARGO_ZIGBUILD_ZIG_PATH="$ZIG_DIR/ziglang/zig" \
        OPENSSL_NO_VENDOR=0 \
        CFLAGS="-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$PWD=/vaultstream" \
        CXXFLAGS="-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$PWD=/vaultstream" \
        RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$PWD=/vaultstream" \
        "$ZIGBUILD_DIR/cargo-zigbuild" zigbuild --release --locked --target "$RELEASE_TARGET" --bins "${packages[@]}"
    rm -rf "$OUT"
    mkdir -p "$OUT/bin"
    for program in "${PROGRAMS[@]}"; do
        # The names of functions stay, for a panic's backtrace.
        strip --strip-debug -o "$OUT/bin/$program" "$TARGET_DIR/$RELEASE_TARGET/release/$program"
        is_static "$OUT/bin/$program"
    done
}

# Fails unless a program asks for no interpreter and for no shared library.
is_static() {
    if readelf --program-headers "$1" | grep -q INTERP || readelf --dynamic "$1" | grep -q NEEDED; then
        fail "$1 is not static"
    fi
}

# What goes with a program: its folder in the archive.
fill() {
    local program="$1" dir="$2"
    install -m 0755 "$OUT/bin/$program" "$dir/$program"
    install -m 0644 LICENSE CHANGELOG.md "$dir/"
    install -m 0644 "deploy/release/$program.md" "$dir/README.md"
    case "$program" in
        cdc-reader)
            install -m 0644 connectors/airline/connector.json "$dir/connector.example.json"
            install -m 0644 deploy/release/cdc-reader.example.env "$dir/"
            ;;
        vault-loader)
            install -m 0644 connectors/airline/vault.toml "$dir/vault.example.toml"
            install -m 0644 deploy/release/vault-loader.example.env "$dir/"
            install -m 0644 sql/warehouse/010_roles.sql "$dir/roles.example.sql"
            ;;
        booking)
            install -m 0644 deploy/release/booking.example.env "$dir/"
            install -D -m 0644 -t "$dir/sql" sql/source/*.sql
            ;;
    esac
}

# Sorted, with one time, one owner and no name of a machine in it: what tar and gzip would take from here is told to
# them.
pack() {
    local program name staging
    staging="$(mktemp -d)"
    for program in "${PROGRAMS[@]}"; do
        name="$program-$VERSION-$RELEASE_TARGET"
        mkdir "$staging/$name"
        fill "$program" "$staging/$name"
        tar --directory "$staging" --create --format ustar --sort name --mtime "@$SOURCE_DATE_EPOCH" \
            --owner 0 --group 0 --numeric-owner --mode 'go=u,go-w' "$name" | gzip --no-name --best >"$OUT/$name.tar.gz"
    done
    rm -rf "$staging"
}

# What each program is made of, crate by crate, in CycloneDX's form, with no path of this machine.
bills_of_materials() {
    local program
    # It writes for every program of the workspace, beside its Cargo.toml.
    cargo cyclonedx --quiet --format json --target "$RELEASE_TARGET" --describe binaries --spec-version 1.5 --manifest-path cdc-reader/Cargo.toml
    for program in "${PROGRAMS[@]}"; do
        sed "s,path+file://$PWD/,path+file:///vaultstream/,g" "$program/${program}_bin.cdx.json" >"$OUT/$program-$VERSION-$RELEASE_TARGET.cdx.json"
    done
    rm -f ./*/*_bin.cdx.json
}

checksums() {
    (cd "$OUT" && sha256sum -- *.tar.gz *.cdx.json >SHA256SUMS && cat SHA256SUMS)
}

case "${1:-all}" in
    all)
        step "set up" set_up
        step "build $VERSION for $RELEASE_TARGET" build
        step "pack" pack
        step "bills of materials" bills_of_materials
        step "checksums" checksums
        ls -l "$OUT" "$OUT/bin"
        ;;
    # The archives again, of the programs that are there: test-release.sh compares them.
    pack) pack ;;
    *) fail "unknown argument $1: give nothing, or pack" ;;
esac
