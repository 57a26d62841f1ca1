#!/bin/bash
# .tf.sh SEED COUNT FILTER OUT
export VAULTSTREAM_TEST_STACK=$PWD/.run/test PATH=$HOME/.cargo/bin:$PATH RUST_BACKTRACE=0
export VAULTSTREAM_TEST_SEED=$1 
[ "$2" = - ] || export VAULTSTREAM_TEST_FAULTS=$2
target/debug/devstack up --profile test --run-dir $VAULTSTREAM_TEST_STACK > .run-tt-up.log 2>&1
nice cargo nextest run -p e2e --locked --no-capture $3 > $4 2>&1
