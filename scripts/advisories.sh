#!/usr/bin/env bash
# Asks RustSec whether a known weakness, or a crate that was withdrawn, is among the crates of Cargo.lock.
# In: Cargo.lock, deny.toml, and RustSec's database, a git repository on github.com. Out: exit 0 when there is none;
# exit 1 with the advisories, or with the message that the database cannot be fetched.
# It is not part of `make check`: it needs more than the package registries, and its answer changes without a change here.

source "$(dirname "$0")/lib.sh"

fetch_database() {
    cargo deny --locked fetch db ||
        fail "RustSec's database cannot be fetched from github.com, so nothing was checked; run this where github.com can be reached"
}

scripts/setup.sh test
step "fetch RustSec's database" fetch_database
step "advisories" cargo deny --locked check advisories
