#!/usr/bin/env bash
# Gives each user of the cluster the rights that it needs, and no more. docs/KAFKA_CLUSTER.md has the table.
# In: BOOTSTRAP_SERVERS, KAFKA_ADMIN_PASSWORD, the authority in /ca/ca.crt. Out: the rules; those that are there already
# are kept.
set -euo pipefail

allow() {
    local user="$1"
    shift
    KAFKA_HEAP_OPTS=-Xmx128m /opt/kafka/bin/kafka-acls.sh --bootstrap-server "$BOOTSTRAP_SERVERS" --command-config /tmp/admin.properties \
        --add --allow-principal "User:$user" "$@" >/dev/null
    echo "rights of $user: $*"
}

# A reader makes and writes its topics, and keeps its offsets: its user, the topic prefix.
allow_reader() {
    allow "$1" --operation Create --operation Write --operation Describe --topic "$2." --resource-pattern-type prefixed
    allow "$1" --operation Create --operation Write --operation Read --operation Describe --operation DescribeConfigs \
        --topic connect-offsets --topic "__debezium-heartbeat.$2"
}

umask 077
cat >/tmp/admin.properties <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$KAFKA_ADMIN_PASSWORD";
ssl.truststore.type=PEM
ssl.truststore.location=/ca/ca.crt
END
allow_reader airline-reader airline
allow_reader booking-reader booking
allow vault-loader --operation Read --operation Describe --topic airline. --topic booking. --group vault-loader- --resource-pattern-type prefixed
allow vault-loader --operation Read --operation Describe --topic __debezium-heartbeat.airline --topic __debezium-heartbeat.booking
allow operator --operation Describe --operation DescribeConfigs --operation AlterConfigs --topic '*' --cluster
allow operator --operation Describe --group '*'
