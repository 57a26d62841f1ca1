#!/usr/bin/env bash
# Format, lints, dependencies, imports, shell scripts, documentation, alerts, the version, the workflows and the compose
# file, with every warning an error.
# In: the sources. Out: exit 0 when nothing is to be said about them.

source "$(dirname "$0")/lib.sh"

scripts/setup.sh test
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- --deny warnings
step "licences, versions and origins of crates" cargo deny --locked check licenses bans sources
step "unused crates" cargo machete
step "shell scripts" scripts/check-shell.sh
step "imports" python3 scripts/check_imports.py shared cdc-reader vault-loader synthetic booking wideworld devstack
step "documentation" env RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
step "alerts and rules" scripts/test-monitoring.sh
step "pictures" scripts/pictures.sh check
step "version" scripts/check-version.sh
step "workflows" scripts/check-workflows.sh
step "composition" scripts/check-compose.sh
