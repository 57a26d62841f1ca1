#!/usr/bin/env bash
# All tests, on real servers that are started before and ended after them.
# In: arguments for `cargo nextest run`, such as a filter. Out: exit 0 when every test passed.

source "$(dirname "$0")/lib.sh"

export VAULTSTREAM_TEST_STACK="$TEST_RUN_DIR"
[[ "$VAULTSTREAM_TEST_STACK" == /* ]] || VAULTSTREAM_TEST_STACK="$PWD/$VAULTSTREAM_TEST_STACK"

end_servers() {
    local code=$?
    say "ending the servers"
    end_test_servers "$TARGET_DIR/debug/devstack" "$VAULTSTREAM_TEST_STACK" "$code" || code=1
    exit "$code"
}

run_tests() {
    local profile=default
    [[ "${CI:-}" != true ]] || profile=ci
    cargo nextest run --workspace --locked --profile "$profile" "$@"
}

scripts/setup.sh test
step "build" cargo build --workspace --bins --locked
trap end_servers EXIT
trap 'exit 130' INT TERM
step "downloads" "$TARGET_DIR/debug/devstack" fetch --all
step "a server of S3" scripts/s3-server.sh --install
step "start servers" "$TARGET_DIR/debug/devstack" up --profile test --run-dir "$VAULTSTREAM_TEST_STACK"
step "tests" run_tests "$@"
if (($# == 0)); then
    step "examples in the documentation" cargo test --workspace --doc --locked --quiet
fi
