#!/usr/bin/env bash
# Kafka's programs, by the name under which this file is called.
# In: the program's arguments. Out: what the program says, and its exit code.
set -euo pipefail

case "$(basename "$0")" in
    kafka-topics.sh) class=org.apache.kafka.tools.TopicCommand ;;
    kafka-console-consumer.sh) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    kafka-consumer-groups.sh) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    kafka-configs.sh) class=kafka.admin.ConfigCommand ;;
    kafka-acls.sh) class=org.apache.kafka.tools.AclCommand ;;
    kafka-metadata-quorum.sh) class=org.apache.kafka.tools.MetadataQuorumCommand ;;
    kafka-storage.sh) class=kafka.tools.StorageTool ;;
    kafka-server-start.sh) class=kafka.Kafka ;;
    *)
        echo "$0: unknown program" >&2
        exit 2
        ;;
esac
# shellcheck disable=SC2086 # these are arguments
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*' "$class" "$@"
