#!/bin/sh
# Starts a program with secrets of the swarm in its environment: where the value of a variable says <secret:NAME>, the
# program gets what is in /run/secrets/NAME.
# In: variables; a program with its arguments. Out: that program. Invariant: `docker inspect` shows no secret, and no
# argument holds one.
set -eu

for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*<secret:.*/\1/p'); do
    # A further line of a variable looks like a variable, and is none.
    eval "value=\${$name-}"
    [ -n "$value" ] || continue
    while :; do
        case "$value" in
            *'<secret:'*) ;;
            *) break ;;
        esac
        before="${value%%<secret:*}"
        rest="${value#*<secret:}"
        secret="${rest%%>*}"
        [ -r "/run/secrets/$secret" ] || {
            echo "with-secrets: $name refers to the secret $secret, which this service does not have" >&2
            exit 1
        }
        value="$before$(cat "/run/secrets/$secret")${rest#*>}"
    done
    export "$name=$value"
done
exec "$@"
