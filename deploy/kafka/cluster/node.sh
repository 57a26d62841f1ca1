#!/usr/bin/env bash
# Starts one of three Kafka nodes in the image apache/kafka.
# In: NODE_ID, HOST (its name for the others), CONTROLLERS (host:port of all three, in the order of their numbers),
# CLUSTER_ID, a password for each user of USERS as KAFKA_<USER>_PASSWORD; node.properties beside this file; its key and
# certificate in /certificates; /state, which all nodes share. Out: a broker and controller in the foreground; the
# logins of the operator and of the administrator for Kafka's programs in /tmp/operator.properties and
# /tmp/admin.properties.
# Invariant: a node has one vote in all its life. Its first data directory has the identity that the first voters' list
# names. When /state says that it has had one before, an empty directory gets another identity and joins.
set -euo pipefail

USERS=(admin broker operator airline-reader booking-reader vault-loader)
DIRECTORIES=(dmF1bHRzdHJlYW1ub2RlMQ dmF1bHRzdHJlYW1ub2RlMg dmF1bHRzdHJlYW1ub2RlMw)
DATA=/var/lib/kafka/data
BIN=/opt/kafka/bin

# The password of a user: its name.
password_of() {
    local variable="${1//-/_}" value
    variable="KAFKA_${variable^^}_PASSWORD"
    value="${!variable:?}"
    # Another character would end the word in the settings.
    if [[ "$value" == *[!A-Za-z0-9_.~-]* ]]; then
        echo "$variable must consist of letters, digits and - _ . ~" >&2
        exit 1
    fi
    printf '%s' "$value"
}

# Puts a value in the place of a name in the settings.
fill() {
    TEXT="${TEXT//"\${$1}"/"$2"}"
}

write_settings() {
    local password
    password="$(password_of broker)"
    TEXT="$(<"$(dirname "$0")/node.properties")"
    fill NODE_ID "$NODE_ID"
    fill DATA_DIR "$DATA"
    fill CONTROLLERS "$CONTROLLERS"
    fill LISTEN ''
    fill HOST "$HOST"
    fill CLIENT_PORT 29092
    fill INTERNAL_PORT 29094
    fill CONTROLLER_PORT 9093
    # For the health check. Whoever comes this way has no name, and no right.
    fill LOCAL_LISTENER ,LOCAL://localhost:9092
    fill KEYSTORE /certificates/node.pem
    fill TRUSTSTORE /certificates/ca.crt
    fill BROKER_PASSWORD "$password"
    [[ "$TEXT" != *\$\{* ]] || {
        echo "node.properties has a name without a value" >&2
        exit 1
    }
    printf '%s\n' "$TEXT" >/tmp/node.properties
}

# What a user needs to log in with Kafka's own programs: its name.
write_login() {
    local password
    password="$(password_of "$1")"
    cat >"/tmp/$1.properties" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$1" password="$password";
ssl.truststore.type=PEM
ssl.truststore.location=/certificates/ca.crt
END
}

format() {
    local addresses voters=() number user password arguments=()
    if [[ -e "/state/node-$NODE_ID" ]]; then
        echo "node $NODE_ID has had data before: the empty directory joins the voters"
        arguments=(--no-initial-controllers)
    else
        IFS=, read -r -a addresses <<<"$CONTROLLERS"
        for number in 1 2 3; do
            voters+=("$number@${addresses[number - 1]}:${DIRECTORIES[number - 1]}")
        done
        arguments=(--initial-controllers "$(IFS=, && echo "${voters[*]}")")
        for user in "${USERS[@]}"; do
            password="$(password_of "$user")"
            # The program takes passwords as arguments only. It runs once in a node's life, for some seconds.
            arguments+=(--add-scram "SCRAM-SHA-512=[name=$user,password=$password]")
        done
    fi
    "$BIN/kafka-storage.sh" format --cluster-id "$CLUSTER_ID" --config /tmp/node.properties "${arguments[@]}"
}

umask 077
write_settings
write_login operator
write_login admin
[[ -e "$DATA/meta.properties" ]] || format
: >"/state/node-$NODE_ID"
exec "$BIN/kafka-server-start.sh" /tmp/node.properties
